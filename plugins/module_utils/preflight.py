# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The checks before anything is touched: all of them, so that one run names every obstacle."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    bind_address,
    gpu_overlay,
    place_marks,
    preflight_backup,
    preflight_engine,
    preflight_paths,
    preflight_ports,
    preflight_updaters,
    preflight_vpn,
)


def run(bundle, engine_facts, containers, check=False, warnings=None):
    """Every problem of deploying `bundle` on this host, a list of {check, what, where, value, remedy}; empty when
    there is none.

    `engine_facts` (what is missing is not checked): `server` {version, api, min_api}, `client` {version}, `compose`
    "2.40.3", `compose_v1` "1.29.2", `error` (why the engine does not answer), `root_dir`, `networks` (docker network
    inspect), `address_pools`, `security_options`, `kernel` and `memory_limit` (DefaultAddressPools, SecurityOptions,
    KernelVersion and MemoryLimit of docker info), `images` {reference: {label: value}}.
    `containers`: docker inspect of all. `check`: write nothing, not even a probe file. `warnings`: a list to which
    sentences are added that are no obstacle.
    """
    notes = [] if warnings is None else warnings
    containers = [getattr(container, "raw", container) for container in containers]
    problems = preflight_engine.versions(engine_facts, notes)
    preflight_engine.memory_limits(bundle, engine_facts, notes)
    problems += preflight_engine.foreign_containers(bundle, containers)
    problems += preflight_engine.lab_images(bundle, engine_facts)
    problems += preflight_vpn.check(bundle, engine_facts, notes)
    problems += gpu_overlay.check(bundle)
    problems += preflight_engine.address_pools(bundle, engine_facts, notes)
    saved, _save, problem = bind_address.resolve(bundle["project"]["path"], bundle.get("bind_addresses") or [])
    problems += [problem] if problem else []
    problems += preflight_ports.check(bundle, containers, saved)
    problems += preflight_paths.check(bundle, engine_facts, check, notes)
    problems += preflight_updaters.check(bundle, containers, notes)
    problems += preflight_backup.check(bundle)
    problems += place_marks.problems(bundle)
    problems += place_marks.gone(bundle, containers)
    return problems


def message(problems):
    """One readable text of all problems: a line each, the remedy below it."""
    count = "1 problem" if len(problems) == 1 else "%d problems" % len(problems)
    lines = ["%s to solve first; nothing was changed:" % count]
    for problem in problems:
        lines.append("- %s" % sentence(problem))
        lines.append("  %s" % problem["remedy"])
    return "\n".join(lines)


def sentence(problem):
    """What is wrong, where, with which value."""
    text = problem["what"]
    for name in ("where", "value"):
        if problem[name] not in (None, "") and str(problem[name]) not in text:
            text += " (%s)" % problem[name] if name == "value" else " [%s]" % problem[name]
    return text
