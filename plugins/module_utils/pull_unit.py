# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The systemd units of pull mode: a timer with jitter and the service that it starts. Nothing of a bundle: they belong
to the playbook `gitops`, and `remove` takes them away.
"""

from __future__ import annotations

import contextlib
import os

from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError, reason
from ansible_collections.homelab.mediastack.plugins.module_utils.systemd_unit import (
    ENGINE,
    TIMERS,
    UNITS,
    quoted,
    systemctl,
)

_PAGE = "https://github.com/homelab-mediastack/homelab.mediastack/blob/main/docs/gitops.md"
_HEAD = "# Rendered by homelab.mediastack; changes made here are overwritten by the next run of gitops, "
_HEAD += 'those of "systemctl edit" stay.\n'
# No run is stopped half-way by systemd: the program ends its own steps. 3: another run is at work.
_SERVICE = (
    _HEAD
    + """\
[Unit]
Description=Make {project} match its git repository
Documentation={page}
Wants=network-online.target
After={engine} network-online.target
RequiresMountsFor={root}
ConditionPathExists={plain}

[Service]
Type=oneshot
ExecStart={python} -I {program}
SuccessExitStatus=3
Nice=5
TimeoutStartSec=infinity
"""
)
# Monotonic: a host that was off, or whose clock jumped, runs two minutes after it is up, and then as ever. Nothing is
# counted from the start of the timer: that is at boot, too. The first run is started by the installation.
_TIMER = (
    _HEAD
    + """\
[Unit]
Description=Make {project} match its git repository, every {interval} s
Documentation={page}

[Timer]
OnBootSec=2min
OnUnitActiveSec={interval}s
RandomizedDelaySec={jitter}s
AccuracySec=1s

[Install]
WantedBy={timers}
"""
)


def names(project):
    """File names of the service and the timer."""
    return tuple("mediastack-%s-pull.%s" % (project, kind) for kind in ("service", "timer"))


def possible(root=""):
    """Whether systemd runs here and we may install units."""
    return os.path.isdir(root + "/run/systemd/system") and os.geteuid() == 0


def texts(config, place, root=""):
    """path → text of both units."""
    service, timer = (os.path.join(root + UNITS, name) for name in names(config.project))
    words = {
        "project": config.project,
        "page": _PAGE,
        "engine": ENGINE,
        "timers": TIMERS,
        "root": quoted(place.root),
        "plain": place.program.replace("%", "%%"),
        "python": quoted(place.tool("python")).replace("$", "$$"),
        "program": quoted(place.program).replace("$", "$$"),
        "interval": config.interval,
        "jitter": config.jitter,
    }
    return {service: _SERVICE.format(**words), timer: _TIMER.format(**words)}


def present(project, root=""):
    """Paths of what is installed of them: units and the link that enables the timer."""
    paths = [os.path.join(root + UNITS, name) for name in names(project)] + [link(project, root)]
    return [path for path in paths if os.path.lexists(path)]


def link(project, root=""):
    """The link that enables the timer."""
    return os.path.join(root + UNITS, TIMERS + ".wants", names(project)[1])


def start(project):
    """Tell systemd of new units, and start the timer; where they were not there before, a first run too. FileError."""
    path = link(project)
    new = not os.path.lexists(path)
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        if new:
            os.symlink(os.path.join(UNITS, names(project)[1]), path)
    except OSError as error:
        raise FileError("cannot make %s: %s" % (path, reason(error))) from error
    systemctl("daemon-reload")
    service, timer = names(project)
    systemctl("restart", timer)
    if new:
        systemctl("start", "--no-block", service)


def active(project):
    """Whether the timer runs."""
    with contextlib.suppress(FileError):
        systemctl("is-active", "--quiet", names(project)[1])
        return True
    return False


def remove(project, root=""):
    """Stop and remove both, a run that is at work too; the paths that went. FileError."""
    found = present(project, root)
    if found and possible(root):
        # Timer first: it would start the service again.
        for name in reversed(names(project)):
            with contextlib.suppress(FileError):
                systemctl("stop", name)
    for path in found:
        try:
            os.unlink(path)
        except OSError as error:
            raise FileError("cannot remove %s: %s" % (path, reason(error))) from error
    if found and possible(root):
        systemctl("daemon-reload")
    return found
