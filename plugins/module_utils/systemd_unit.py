# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units of ours on a host whose engine systemd runs: files like the rendered ones, in the manifest too.

Their links in a `.wants` directory are what `systemctl enable` makes; here by hand, so that a look costs no process.
"""

from __future__ import annotations

import abc
import os
import re
import subprocess

from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError, reason

UNITS = "/etc/systemd/system"
ENGINE = "docker.service"
TIMERS = "timers.target"
_REPAIR = re.compile(r"^mediastack-.+-repair\.service$")
_TIMER = re.compile(r"^mediastack-.+-backup\.timer$")
_BACKUP = re.compile(r"^mediastack-.+-backup\.service$")
_PLACES = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system")
_PLACES += ("/usr/lib/systemd/system", "/lib/systemd/system")
_SYSTEMCTL_SECONDS = 60
AUTO, ALWAYS = "auto", "true"


class HostUnit(abc.ABC):
    """A unit of one bundle: what is to be there, and what is. A subclass says which."""

    #: The setting, and the page that tells what to do where there is no systemd.
    setting, page = "", ""
    #: Who wants the unit that is enabled, and what that means, for a diff.
    wanted_by, enabled = ENGINE, ""

    def __init__(self, bundle, root=""):
        """`root`: of the file system, for tests. FileError where a unit is asked for and cannot be."""
        self._root = root
        #: The unit that is enabled.
        self.path = os.path.join(root + UNITS, self.name(bundle["project"]["name"]))
        self._link = _link_of(self.path, root)
        wish = self.wish(bundle)
        obstacle = self._obstacle() if wish in (AUTO, ALWAYS) else None
        if obstacle and wish == ALWAYS:
            raise FileError(
                "%s is true, but %s: set it to auto, and see %s for a line for another task scheduler"
                % (self.setting, obstacle, self.page)
            )
        self.wanted = wish == ALWAYS or (wish == AUTO and not obstacle and self._engine_is_a_unit())
        self.files = self.entries(bundle) if self.wanted else []

    @abc.abstractmethod
    @abc.abstractmethod
    def name(self, project):
        """File name of the unit that is enabled."""

    @abc.abstractmethod
    @abc.abstractmethod
    def wish(self, bundle):
        """What the bundle says: auto, true or false."""

    @abc.abstractmethod
    @abc.abstractmethod
    def entries(self, bundle):
        """The unit, and what it needs, as files of the bundle."""

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
        """Sections of the diff, besides those of the files."""
        if not self.changed:
            return []
        header = os.path.basename(self.path)
        return [{"before_header": header, "after_header": header, "before": "", "after": self.enabled}]

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
        ours = {self.path} | {entry["path"] for entry in self.files}
        if enabling or any(change["path"] in ours for change in changes):
            reload([self.path], self._root)
            if self.wanted and _TIMER.match(os.path.basename(self.path)):
                # A link counts from the next boot on.
                systemctl("restart", os.path.basename(self.path))


def entry(path, text):
    """A unit as a file of the bundle."""
    return {
        "path": path,
        "content": text,
        "encoding": "raw",
        "mode": "0644",
        "owner": 0,
        "group": 0,
        "secret": False,
    }


def quoted(path):
    """A path as one word of a unit file."""
    return '"%s"' % path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def _link_of(path, root):
    name = os.path.basename(path)
    return os.path.join(root + UNITS, (TIMERS if _TIMER.match(name) else ENGINE) + ".wants", name)


def _ours(paths, root):
    return [
        path
        for path in paths
        if os.path.dirname(path) == root + UNITS
        and any(pattern.match(os.path.basename(path)) for pattern in (_REPAIR, _TIMER, _BACKUP))
    ]


def disable(paths, root=""):
    """Remove the links of those of `paths` that are our units, and stop timers. FileError."""
    for path in _ours(paths, root):
        link = _link_of(path, root)
        try:
            os.unlink(link)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise FileError("cannot remove %s: %s" % (link, reason(error))) from error
        if _TIMER.match(os.path.basename(path)) and os.path.isdir(root + "/run/systemd/system"):
            systemctl("stop", os.path.basename(path))


def reload(paths, root=""):
    """Tell systemd that those of `paths` that are our units have changed; nothing where it does not run. FileError."""
    if _ours(paths, root) and os.path.isdir(root + "/run/systemd/system"):
        systemctl("daemon-reload")


def systemctl(*words):
    """Run systemctl. FileError with what it said."""
    command = ["systemctl", *words]
    try:
        subprocess.run(
            command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            timeout=_SYSTEMCTL_SECONDS,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip()
        raise FileError("'%s' failed: %s" % (" ".join(command), said or "it said nothing")) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FileError("'%s' failed: %s" % (" ".join(command), error)) from error
