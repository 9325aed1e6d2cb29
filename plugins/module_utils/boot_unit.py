# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The systemd unit that runs `bin/mediastack-repair` whenever the engine has started (docs/boot-repair.md)."""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils.systemd_unit import (
    ENGINE,
    HostUnit,
    disable,
    entry,
    quoted,
    reload,
)

__all__ = ["BootUnit", "PATIENCE", "disable", "reload"]

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


class BootUnit(HostUnit):
    """The unit of one bundle."""

    setting, page = "mediastack_boot_repair", "docs/boot-repair.md"
    enabled = "enabled: it runs after every start of %s\n" % ENGINE

    def name(self, project):
        """File name of the unit."""
        return "mediastack-%s-repair.service" % project

    def wish(self, bundle):
        """What the bundle says."""
        return bundle.get("boot_repair", "false")

    def entries(self, bundle):
        """The unit as a file of the bundle."""
        project = bundle["project"]
        program = os.path.join(project["path"], "bin", "mediastack-repair")
        text = _TEXT.format(
            project=project["name"],
            engine=ENGINE,
            quoted=quoted(project["path"]),
            program=program.replace("%", "%%"),
            quoted_program=quoted(program).replace("$", "$$"),
            patience=PATIENCE,
            timeout=PATIENCE + 600,
        )
        return [entry(self.path, text)]
