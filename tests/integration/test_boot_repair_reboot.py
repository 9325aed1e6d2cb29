# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server that is switched on: systemd starts the engine, that starts everything at once, the unit puts it right."""

from __future__ import annotations

import json
import os

import nested
import pytest
import repair_lab
import systemd_host
from compose_stack_lab import IMAGE
from stack_harness import wait_for

pytestmark = pytest.mark.long
APPS = ("qbittorrent", "sabnzbd", "nzbget", "transmission")
TURNS = 3


@pytest.fixture
def server(box):
    with systemd_host.host(f"mscs-systemd-{os.getpid()}") as made:
        made.load(IMAGE)
        yield made


def play(server, tmp_path, *tasks):
    """Run tasks on the server; what Ansible printed."""
    return nested.play(list(tasks), server.name, tmp_path).stdout


def converge(lab):
    return {"homelab.mediastack.compose_stack": {"bundle": json.dumps(lab.bundle()), "lock_timeout": 120}}


def power_cut(server):
    """Everything on the server ends at once, nothing in order; then it is switched on again."""
    nested.run(["docker", "kill", server.name])
    nested.run(["docker", "start", server.name])
    wait_for(lambda: server.sh("systemctl is-active docker.service", check=False) == "active", 120, "the nested engine")


def state(server, lab):
    """service → (status, network namespace): nothing but a namespace tells where a container really is."""
    found = server.inspect(*(f"{lab.name}-{name}" for name in ("gluetun", *APPS)))
    names = {}
    for raw in found.values():
        pid = raw["State"]["Pid"]
        space = server.sh(f"readlink /proc/{pid}/ns/net", check=False) if pid else ""
        names[raw["Config"]["Labels"]["com.docker.compose.service"]] = (raw["State"]["Status"], space)
    return names


def repaired(server, unit, before):
    """Wait until the unit has run since `before` (its invocation); the new one."""

    def ended():
        shown = server.sh(f"systemctl show -p InvocationID -p ActiveState -p Result {unit}", check=False)
        values = dict(line.partition("=")[::2] for line in shown.splitlines())
        fresh = values.get("InvocationID") not in ("", None, before)
        return values if fresh and values["ActiveState"] in ("inactive", "failed") else None

    values = wait_for(ended, 120, "the unit's end")
    assert values["Result"] == "success", server.sh(f"journalctl --no-pager -u {unit}")
    return values["InvocationID"]


def test_every_start_of_the_engine_is_followed_by_a_repair(server, lab, tmp_path):
    repair_lab.rendered(lab.vpn(*APPS))
    unit = f"mediastack-{lab.name}-repair.service"
    assert "changed=1" in play(server, tmp_path, converge(lab))
    assert server.sh(f"systemctl is-enabled {unit}") == "enabled"
    assert unit not in server.sh(f"systemd-analyze verify /etc/systemd/system/{unit} 2>&1", check=False)
    assert "changed=0" in play(server, tmp_path, converge(lab))

    last = ""
    for turn in range(TURNS):
        if turn == 1:
            power_cut(server)
        else:
            server.sh("systemctl restart docker.service")
        last = repaired(server, unit, last)
        found = state(server, lab)
        assert {status for status, _space in found.values()} == {"running"}, found
        assert len({space for _status, space in found.values()}) == 1, found
    print(server.sh(f"journalctl --no-pager -o cat -u {unit}"))

    paths = {name: str(lab.base / name) for name in ("config", "media", "downloads")}
    removal = {"project_path": str(lab.path), "project_name": lab.name, "paths": dict(paths, base=str(lab.base))}
    play(server, tmp_path, {"homelab.mediastack.stack_remove": removal})
    assert server.sh(f"systemctl is-enabled {unit} 2>&1", check=False) in ("not-found", "")
    assert server.sh(f"find /etc/systemd/system -name {unit}") == ""
