# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run of `site` did, as its JSON callback says it, and whether the members lie in the network of gluetun."""

from __future__ import annotations

import datetime
import json
import os

MEMBERS = {"qbittorrent", "sabnzbd"}


def site_json(stack, *arguments):
    """Run `site` with the JSON callback; returns {task name: result} of the host and the process."""
    done = stack.play("site", *arguments, env={"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"})
    report = json.loads(done.stdout[done.stdout.index("{") :])
    tasks = {}
    for play in report["plays"]:
        for task in play["tasks"]:
            for host, result in task["hosts"].items():
                if host == "box":
                    ended = datetime.datetime.fromisoformat(task["task"]["duration"]["end"])
                    tasks[task["task"]["name"]] = {**result, "ended": ended}
    return tasks


def assert_contained(stack):
    """Every member lives in the network namespace of the running gluetun, by id and by time of start."""
    containers = stack.containers()
    gluetun = containers["gluetun"]
    assert gluetun["State"]["Running"]
    for name in MEMBERS:
        member = containers[name]
        assert member["State"]["Running"], name
        assert member["HostConfig"]["NetworkMode"] == f"container:{gluetun['Id']}", name
        mine = os.readlink(f"/proc/{member['State']['Pid']}/ns/net")
        assert mine == os.readlink(f"/proc/{gluetun['State']['Pid']}/ns/net"), name
