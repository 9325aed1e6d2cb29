# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The systemd timer that runs `bin/mediastack-backup` every day (docs/backup.md)."""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils.systemd_unit import (
    ENGINE,
    TIMERS,
    HostUnit,
    entry,
    quoted,
)

_HEAD = "# Rendered by homelab.mediastack; changes made here are overwritten by the next run, "
_HEAD += 'those of "systemctl edit" stay.\n'
# A copy over a slow line may take the night.
_SERVICE = (
    _HEAD
    + """\
[Unit]
Description=Back up the apps of {project}
Documentation=https://github.com/homelab-mediastack/homelab.mediastack/blob/main/docs/backup.md
Wants=network-online.target
After={engine} network-online.target
RequiresMountsFor={quoted} {quoted_backup}
ConditionPathExists={program}

[Service]
Type=oneshot
ExecStart=/usr/bin/env python3 -I -S {quoted_program} --who timer --lock-timeout 3600
Nice=10
IOSchedulingClass=idle
TimeoutStartSec=12h
"""
)
_TIMER = (
    _HEAD
    + """\
[Unit]
Description=Back up the apps of {project} every day
Documentation=https://github.com/homelab-mediastack/homelab.mediastack/blob/main/docs/backup.md

[Timer]
OnCalendar=*-*-* {time}:00
RandomizedDelaySec=15min
Persistent=true

[Install]
WantedBy={timers}
"""
)


class BackupUnit(HostUnit):
    """The timer of one bundle, with the service that it starts."""

    setting, page = "mediastack_backup_timer", "docs/backup.md"
    enabled = "enabled: it makes a backup every day\n"

    def name(self, project):
        """File name of the timer."""
        return "mediastack-%s-backup.timer" % project

    def wish(self, bundle):
        """What the bundle says."""
        return (bundle.get("backup") or {}).get("timer", "false")

    def entries(self, bundle):
        """Service and timer as files of the bundle."""
        project = bundle["project"]
        program = os.path.join(project["path"], "bin", "mediastack-backup")
        service = _SERVICE.format(
            project=project["name"],
            engine=ENGINE,
            quoted=quoted(project["path"]),
            quoted_backup=quoted(bundle["paths"]["backup"]),
            program=program.replace("%", "%%"),
            quoted_program=quoted(program).replace("$", "$$"),
        )
        timer = _TIMER.format(project=project["name"], time=bundle["backup"]["time"], timers=TIMERS)
        return [entry(self.path[: -len("timer")] + "service", service), entry(self.path, timer)]
