# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run as a whole: which kind of run a request asks for, and every expected failure as one readable text."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker, DockerError, EngineMissing
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import LockError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import HoldError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import StackError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_sources import Bundled, Plain, SourceError


def run(request, docker=None, kind=None):
    """(result, error text or None) of a Request. The result is whole in both cases, as far as the run came.

    `kind`: function of (request, docker, source) that makes the Run; None: the one for `request.state`.
    """
    made = None
    try:
        docker = docker or Docker()
        source = (
            Bundled(request.bundle, request.check, request.services)
            if request.bundle
            else Plain(docker, request.project_path, request.profiles)
        )
        made = (kind or _kind(request.state))(request, docker, source)
        result = made.run()
        return dict(result, engine_missing_reason=made.no_engine) if made.no_engine else result, None
    except EngineMissing as error:
        if made and made.touched:
            # It was there when the run began: nothing is to be installed.
            return _so_far(made), "%s. It went away in the middle of this run: run it again when it is back" % error
        return dict(
            _so_far(made), engine_missing=True, engine_missing_reason=error.what
        ), None if request.engine_missing_ok else str(error)
    except StackError as error:
        return dict(_so_far(made), **error.details), str(error)
    except (DockerError, FileError, HoldError, LockError, SourceError) as error:
        return _so_far(made), str(error)


def _kind(state):
    if state == "present":
        from ansible_collections.homelab.mediastack.plugins.module_utils.stack_present import Present

        return Present
    if state == "updated":
        from ansible_collections.homelab.mediastack.plugins.module_utils.update_run import Update

        return Update
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


def _so_far(made):
    if made:
        return made.result_of_failure()
    return {
        "changed": False,
        "diff": [],
        "messages": [],
        "actions": [],
        "files": {},
        "removed": [],
        "services": {},
        "engine_missing": False,
        "left": {},
        "render_also": [],
    }
