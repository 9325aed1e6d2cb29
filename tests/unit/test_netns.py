# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dead and foreign network namespaces, from recorded containers."""

from __future__ import annotations

import os

import pytest
from test_engine_state import recorded

from ansible_collections.homelab.mediastack.plugins.module_utils import netns
from ansible_collections.homelab.mediastack.plugins.module_utils.netns import RECREATE, RESTART


@pytest.mark.parametrize(
    ("state", "action"),
    [
        ("well", None),
        ("gluetun_restarted", RESTART),
        ("gluetun_recreated", RECREATE),
        ("gluetun_gone", RECREATE),
    ],
)
def test_verdict_and_orphans(state, action):
    project = recorded(state)
    gluetun = (project.of("gluetun") or [None])[0]
    for name in ("qbittorrent", "sabnzbd"):
        verdict = netns.verdict(project.of(name)[0], "gluetun", gluetun)
        assert (verdict and verdict[0]) == action
    found = {container.service: kind for container, kind, _why in netns.orphans(project)}
    assert found == ({"qbittorrent": action, "sabnzbd": action} if action else {})


def test_an_app_outside_of_the_vpn_is_recreated_into_it():
    project = recorded("well")
    assert netns.verdict(project.of("sonarr")[0], "gluetun", project.of("gluetun")[0])[0] == RECREATE


def test_a_stopped_dependent_of_a_restarted_parent_needs_only_a_start():
    project = recorded("gluetun_restarted")
    container = project.of("qbittorrent")[0]
    container.status = "exited"
    assert netns.verdict(container, "gluetun", project.of("gluetun")[0]) is None


@pytest.mark.parametrize(
    ("state", "same", "action"),
    [
        # The clock was set back between the start of the apps and a restart of gluetun: an old Raspberry Pi's boot.
        ("well", False, RESTART),
        # The clock was set back between the start of gluetun and that of the apps.
        ("gluetun_restarted", True, None),
        ("gluetun_restarted", None, RESTART),
        ("gluetun_recreated", True, RECREATE),
    ],
)
def test_the_kernel_knows_better_than_the_times_of_start(monkeypatch, state, same, action):
    project = recorded(state)
    gluetun = project.of("gluetun")[0]
    names = {None: lambda _container: None, True: lambda _container: "net:[1]", False: lambda one: one.id}
    monkeypatch.setattr(netns, "kernel_name", names[same])
    verdict = netns.verdict(project.of("qbittorrent")[0], "gluetun", gluetun)
    assert (verdict and verdict[0]) == action
    found = {container.service: kind for container, kind, _why in netns.orphans(project)}
    assert found == ({"qbittorrent": action, "sabnzbd": action} if action else {})


def test_a_process_that_is_not_the_containers_tells_nothing(monkeypatch):
    container = recorded("well").of("gluetun")[0]
    container.raw["State"]["Pid"] = os.getpid()
    assert netns.kernel_name(container) is None
    container.raw["State"]["Pid"] = 0
    assert netns.kernel_name(container) is None
    container.raw["State"]["Pid"] = 2**22 + 1
    assert netns.kernel_name(container) is None
