# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The systemd unit that runs `bin/mediastack-repair` whenever the engine has started (docs/boot-repair.md).

The unit is a file like the rendered ones, in the manifest too. Its link in `docker.service.wants` is what `systemctl
enable` makes; here by hand, so that a look costs no process.
"""

from __future__ import annotations

import os
import re
import subprocess

from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError, reason

UNITS = "/etc/systemd/system"
ENGINE = "docker.service"
_WANTS = ENGINE + ".wants"
_NAME = re.compile(r"^mediastack-.+-repair\.service$")
_PLACES = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system")
_PLACES += ("/usr/lib/systemd/system", "/lib/systemd/system")
_RELOAD_SECONDS = 60
AUTO, ALWAYS = "auto", "true"
# A router takes longer to start than a server: until then there is no VPN, and nothing behind it is started.
PATIENCE = 900

_TEXT = """\
# Rendered by homelab.mediastack; changes made here are overwritten by the next run, those of "systemctl edit" stay.
[Unit]
Description=Put the apps of {project} back behind their VPN after the engine has started
Documentation=https://github.com/homelab-mediastack/homelab.mediastack/blob/main/docs/boot-repair.md
After={engine}
RequiresMountsFor={quoted}
ConditionPathExists={program}

[Service]
Type=oneshot
ExecStart=/usr/bin/env python3 -I -S {quoted_program} --patience {patience}
TimeoutStartSec={timeout}

[Install]
WantedBy={engine}
"""


class BootUnit:
    """The unit of one bundle: what is to be there, and what is."""

    def __init__(self, bundle, root=""):
        """`root`: of the file system, for tests. FileError where a unit is asked for and cannot be."""
        self._root = root
        name = "mediastack-%s-repair.service" % bundle["project"]["name"]
        self.path = os.path.join(root + UNITS, name)
        self._link = os.path.join(root + UNITS, _WANTS, name)
        wish = bundle.get("boot_repair", "false")
        obstacle = self._obstacle() if wish in (AUTO, ALWAYS) else None
        if obstacle and wish == ALWAYS:
            raise FileError(
                "mediastack_boot_repair is true, but %s: set it to auto, and see docs/boot-repair.md for a line for "
                "another task scheduler" % obstacle
            )
        self.wanted = wish == ALWAYS or (wish == AUTO and not obstacle and self._engine_is_a_unit())
        self.files = [_entry(self.path, bundle["project"])] if self.wanted else []

    def _obstacle(self):
        if not os.path.isdir(self._root + "/run/systemd/system"):
            return "systemd does not run here"
        return None if os.geteuid() == 0 else "only root can install a unit (become: true)"

    def _engine_is_a_unit(self):
        return any(os.path.exists(os.path.join(self._root + place, ENGINE)) for place in _PLACES)

    def leave(self):
        """Leave the unit as it is, after all."""
        self.wanted, self.files = False, []

    @property
    def changed(self):
        """Whether the unit is there to stay and not enabled."""
        return self.wanted and not os.path.lexists(self._link)

    def diff(self):
        """Sections of the diff, besides those of the file."""
        if not self.changed:
            return []
        header = os.path.basename(self.path)
        text = "enabled: it runs after every start of %s\n" % ENGINE
        return [{"before_header": header, "after_header": header, "before": "", "after": text}]

    def before(self, changes):
        """Disable the unit if `changes` (of a FileSet) take its file away."""
        if not self.wanted and any(change["path"] == self.path for change in changes):
            disable([self.path], self._root)

    def after(self, changes):
        """Enable the unit where it is wanted, and tell systemd, once `changes` are made."""
        enabling = self.changed
        if enabling:
            try:
                os.makedirs(os.path.dirname(self._link), mode=0o755, exist_ok=True)
                os.symlink(os.path.join(UNITS, os.path.basename(self.path)), self._link)
            except OSError as error:
                raise FileError("cannot make %s: %s" % (self._link, reason(error))) from error
        if enabling or any(change["path"] == self.path for change in changes):
            reload([self.path], self._root)


def _entry(path, project):
    """The unit as a file of the bundle."""
    program = os.path.join(project["path"], "bin", "mediastack-repair")
    text = _TEXT.format(
        project=project["name"],
        engine=ENGINE,
        quoted=_quoted(project["path"]),
        program=program.replace("%", "%%"),
        quoted_program=_quoted(program).replace("$", "$$"),
        patience=PATIENCE,
        timeout=PATIENCE + 600,
    )
    return {
        "path": path,
        "content": text,
        "encoding": "raw",
        "mode": "0644",
        "owner": 0,
        "group": 0,
        "secret": False,
    }


def _quoted(path):
    """A path as one word of a unit file."""
    return '"%s"' % path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def _ours(paths, root):
    return [path for path in paths if os.path.dirname(path) == root + UNITS and _NAME.match(os.path.basename(path))]


def disable(paths, root=""):
    """Remove the links of those of `paths` that are our units. FileError."""
    for path in _ours(paths, root):
        link = os.path.join(root + UNITS, _WANTS, os.path.basename(path))
        try:
            os.unlink(link)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise FileError("cannot remove %s: %s" % (link, reason(error))) from error


def reload(paths, root=""):
    """Tell systemd that those of `paths` that are our units have changed; nothing where it does not run. FileError."""
    if not _ours(paths, root) or not os.path.isdir(root + "/run/systemd/system"):
        return
    command = ["systemctl", "daemon-reload"]
    try:
        subprocess.run(
            command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            timeout=_RELOAD_SECONDS,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode("utf-8", "replace").strip()
        raise FileError("'%s' failed: %s" % (" ".join(command), words or "it said nothing")) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FileError("'%s' failed: %s" % (" ".join(command), error)) from error
