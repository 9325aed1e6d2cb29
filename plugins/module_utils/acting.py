# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run needs besides looking. Each part is loaded when it is needed.

A run that only looks (`stack_look`) has none of it: what a module can import, though it may never do so, Ansible reads,
packs and sends on every run.
"""

from __future__ import annotations


def kind(state):
    """The class of the run for a `state`."""
    if state == "present":
        from ansible_collections.homelab.mediastack.plugins.module_utils.stack_present import Present

        return Present
    if state == "updated":
        from ansible_collections.homelab.mediastack.plugins.module_utils.update_run import Update

        return Update
    if state == "rotated":
        from ansible_collections.homelab.mediastack.plugins.module_utils.rotate_run import Rotate

        return Rotate
    if state == "rendered":
        from ansible_collections.homelab.mediastack.plugins.module_utils.stack_rendered import Rendered

        return Rendered
    from ansible_collections.homelab.mediastack.plugins.module_utils import stack_verbs

    return {
        "stopped": stack_verbs.Stopped,
        "restarted": stack_verbs.Restarted,
        "absent": stack_verbs.Absent,
        "pulled": stack_verbs.Pulled,
    }[state]


def carrier(*arguments):
    """A carry_out.Carrier."""
    from ansible_collections.homelab.mediastack.plugins.module_utils.carry_out import Carrier

    return Carrier(*arguments)


def resume(run, entry):
    """See update_resume.finish."""
    from ansible_collections.homelab.mediastack.plugins.module_utils import update_resume

    update_resume.finish(run, entry)


def resume_rotation(run, entry):
    """See rotate_run.resume."""
    from ansible_collections.homelab.mediastack.plugins.module_utils import rotate_run

    rotate_run.resume(run, entry)


def foreign(bundle, containers):
    """See preflight_engine.foreign_containers."""
    from ansible_collections.homelab.mediastack.plugins.module_utils import preflight_engine

    return preflight_engine.foreign_containers(bundle, containers)


def check_host(run, local, warnings):
    """The problems that preflight finds.

    `run`: the Run; `local`: what images.Supply.local returned; `warnings`: gets sentences for the user.
    """
    from ansible_collections.homelab.mediastack.plugins.module_utils import engine_facts, preflight

    facts, containers = engine_facts.gather(run.docker, local)
    return preflight.run(run.request.bundle, facts, containers, run.request.check, warnings)


def in_words(problems):
    """See preflight.message."""
    from ansible_collections.homelab.mediastack.plugins.module_utils import preflight

    return preflight.message(problems)


def explain(what, log):
    """See gluetun_log.explain."""
    from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_log

    return gluetun_log.explain(what, log)
