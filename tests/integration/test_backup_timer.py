# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The timer on a host that systemd boots: installed by a converge, it makes backups; taken away on demand."""

from __future__ import annotations

import json
import os

import nested
import pytest
import systemd_host
from backup_lab import BackupLab
from compose_stack_lab import IMAGE

pytestmark = pytest.mark.long


@pytest.fixture
def server(box):
    with systemd_host.host(f"mscs-timer-{os.getpid()}") as made:
        made.load(IMAGE)
        yield made


def converge(server, lab, directory):
    task = {"homelab.mediastack.compose_stack": {"bundle": json.dumps(lab.bundle()), "lock_timeout": 120}}
    return nested.play([task], server.name, directory).stdout


def test_the_timer_is_there_makes_a_backup_and_goes(server, tmp_path):
    lab = BackupLab()
    try:
        lab.keeps("sonarr", "copy", "config.xml")
        lab.timer = "auto"
        converge(server, lab, tmp_path)
        timer, service = (f"mediastack-{lab.name}-backup.{kind}" for kind in ("timer", "service"))
        assert server.sh(f"systemctl is-enabled {timer}") == "enabled"
        assert server.sh(f"systemctl is-active {timer}") == "active"
        verified = server.sh(f"systemd-analyze verify /etc/systemd/system/{timer} 2>&1", check=False)
        assert "mediastack" not in verified, verified
        server.sh(f"echo x >{lab.config('sonarr')}/config.xml")
        server.sh(f"systemctl start {service}")
        assert server.sh(f"systemctl show -p Result {service}") == "Result=success"
        listed = server.sh(f"{lab.path}/bin/mediastack-backup --list")
        assert "-backup-" in listed and len(listed.splitlines()) == 1
        assert json.loads(server.sh(f"tail -1 {lab.path}/.mediastack/audit.log"))["who"] == "timer"
        assert "changed=0" in converge(server, lab, tmp_path)
        lab.timer = "false"
        converge(server, lab, tmp_path)
        assert server.sh(f"systemctl is-active {timer}", check=False) == "inactive"
        assert server.sh("ls /etc/systemd/system | grep -c mediastack", check=False) == "0"
        assert server.sh("ls /etc/systemd/system/timers.target.wants | grep -c mediastack", check=False) == "0"
    finally:
        lab.clean()
