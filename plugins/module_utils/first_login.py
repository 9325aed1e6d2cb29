# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The first login of apps that take one only through their API: Sonarr and its kin, and Jellyfin's startup wizard.

Once an app, and only where this project made its config directory: what somebody set up by hand stays. Done is
remembered in `<project>/.mediastack/logins.json`.
"""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files
from ansible_collections.homelab.mediastack.plugins.module_utils.project_files import load_manifest

SCHEMA = 1
KINDS = ("servarr", "jellyfin")


def plan(services, project_path, created=()):
    """Names of the services whose first login is to be set.

    `created`: paths of directories that this run makes (in check mode they are not in the manifest yet).
    """
    past = done(project_path)
    made = set(load_manifest(project_path)["directories"]) | set(created)
    return [
        name
        for name, service in sorted(services.items())
        if (service.get("login") or {}).get("kind") in KINDS and name not in past and service.get("config_dir") in made
    ]


def apply(names, services, values, containers, deadline, project_path):
    """Set the first login of `names`, side by side. Returns {name: {action: set|present, error}}.

    `values`: name → secret; `containers`: docker inspect of the project's; `deadline`: of `time.monotonic()`.
    """
    if not names:
        return {}
    # HTTP and threads are needed once in the life of an app: the other runs do not load them.
    import concurrent.futures

    from ansible_collections.homelab.mediastack.plugins.module_utils import app_login

    results = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(8, len(names))) as pool:
        jobs = {pool.submit(app_login.log_in, name, services, values, containers, deadline): name for name in names}
        for job in concurrent.futures.as_completed(jobs):
            name = jobs[job]
            try:
                results[name] = {"action": job.result(), "error": None}
            except app_login.LoginError as error:
                results[name] = {"action": None, "error": "the login of %s was not set: %s" % (name, error)}
                continue
            # At once: an interrupted run must not take the next one through a wizard that is closed.
            past = done(project_path)
            past[name] = results[name]["action"]
            atomic_files.state_directory(project_path)
            atomic_files.write_json(_path(project_path), {"schema": SCHEMA, "services": past})
    return results


def _path(project_path):
    return os.path.join(project_path, ".mediastack", "logins.json")


def done(project_path):
    """service → what came of its first login: `set` by us, or `present` before."""
    services = atomic_files.read_json(_path(project_path), {}).get("services", {})
    return dict(services) if isinstance(services, dict) else dict.fromkeys(services)
