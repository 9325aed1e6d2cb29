# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules `stack_backup` and `stack_drill` have in common: from their arguments to their results."""

from __future__ import annotations

import atexit
import time

from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import Progress


def carry_out(module, make, errors):
    """Run a module to its end; does not return.

    Args:
        module: the `AnsibleModule`; of its parameters `project_path` and `progress` are looked at.
        make: `make(docker, progress)` returns an object with `run()` and `result()`; what it came to is told also when
            `run` fails.
        errors: exceptions whose text is an answer for the user.
    """
    started = time.monotonic()
    path = module.params["project_path"]
    if not path:
        module.fail_json(msg="project_path is not given: name the directory of the Compose project")
    progress = Progress(path, None if module.check_mode else module.params["progress"])
    atexit.register(progress.close)
    result, error = {}, None
    try:
        work = make(Docker(), progress)
        try:
            work.run()
        finally:
            result = work.result()
    except errors as failure:
        error = str(failure)
    result["duration_ms"] = round((time.monotonic() - started) * 1000)
    if error:
        module.fail_json(msg=error, **result)
    module.exit_json(**result)
