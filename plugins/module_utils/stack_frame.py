# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run as a whole: every expected failure as one readable text."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.certificate_terms import CertificatesDue
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker, DockerError, EngineMissing
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import LockError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import HoldError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Differs, StackError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_sources import Bundled, Plain, SourceError


def run(request, docker, kind, acting):
    """(result, error text or None, the Run or None) of a Request.

    Args:
        docker: a Docker, or None.
        kind: function of (request, docker, source) that makes the Run.
        acting: the module of that name, or None for a run that only looks: then stack_run.Differs comes through, before
            anything is touched, where there is something to do.
    """
    made = None
    try:
        docker = docker or Docker()
        source = (
            Bundled(request.bundle, request.check, request.services)
            if request.bundle
            else Plain(docker, request.project_path, request.profiles)
        )
        made = kind(request, docker, source)
        made.acting = acting
        result = made.run()
        return dict(result, engine_missing_reason=made.no_engine) if made.no_engine else result, None, made
    except EngineMissing as error:
        if made and made.touched:
            # It was there when the run began: nothing is to be installed.
            text = "%s. It went away in the middle of this run: run it again when it is back" % error
            return _so_far(made), text, made
        missing = dict(_so_far(made), engine_missing=True, engine_missing_reason=error.what)
        return missing, None if request.engine_missing_ok else str(error), made
    except CertificatesDue as error:
        if acting is None:
            raise Differs from error
        return dict(_so_far(made), issue=error.wanted), None, made
    except StackError as error:
        return dict(_so_far(made), **error.details), str(error), made
    except (DockerError, FileError, HoldError, LockError, SourceError) as error:
        return _so_far(made), str(error), made


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
