# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What lives in gluetun's network is never left in a dead one, and never runs without it. On the real engine."""

from __future__ import annotations

import threading

import pytest
from compose_stack_lab import QUICK, docker, until

from ansible_collections.homelab.mediastack.plugins.module_utils import engine_state, netns

VERSIONS = [pytest.param("2.20.3", marks=pytest.mark.long), None]


def repaired(lab, actions):
    """A run after gluetun was disturbed, and what it did. How long it may take is held by tests that run alone."""
    forecast = lab.run(check=True)
    result = lab.run()
    assert result["changed"] is True
    assert result["actions"] == forecast["actions"]
    assert {name: one["action"] for name, one in result["services"].items()} == actions
    for name in ("qbittorrent", "sabnzbd"):
        assert lab.same_network(name, "gluetun")
    assert lab.names() == lab.expected_names()
    assert lab.run()["changed"] is False
    return result


@pytest.mark.parametrize("version", VERSIONS)
def test_restarted_gluetun_restarts_its_dependents(labs, version):
    lab = labs(version).vpn("qbittorrent", "sabnzbd").add("sonarr")
    lab.run()
    sonarr, ids = lab.lives()["sonarr"], {name: life[0] for name, life in lab.lives().items()}
    docker("restart", "-t", 1, f"{lab.name}-gluetun")
    # Compose calls this fine.
    assert lab.interfaces("qbittorrent") == {"lo"}
    result = repaired(lab, {"gluetun": "none", "qbittorrent": "restart", "sabnzbd": "restart", "sonarr": "none"})
    assert "gluetun was started after it" in result["services"]["qbittorrent"]["reasons"][0]
    assert {name: life[0] for name, life in lab.lives().items()} == ids
    assert lab.lives()["sonarr"] == sonarr


@pytest.mark.parametrize("version", VERSIONS)
def test_removed_gluetun_comes_back_first(labs, version):
    lab = labs(version).vpn("qbittorrent", "sabnzbd").add("sonarr")
    lab.run()
    sonarr = lab.lives()["sonarr"]
    docker("rm", "-f", f"{lab.name}-gluetun")
    repaired(lab, {"gluetun": "create", "qbittorrent": "recreate", "sabnzbd": "recreate", "sonarr": "none"})
    assert lab.lives()["sonarr"] == sonarr


def test_gluetun_recreated_by_hand_leaves_orphans_that_are_recreated(lab):
    lab.vpn("qbittorrent", "sabnzbd")
    lab.run()
    docker("compose", "up", "-d", "--no-deps", "--force-recreate", "gluetun", cwd=lab.path)
    repaired(lab, {"gluetun": "none", "qbittorrent": "recreate", "sabnzbd": "recreate"})


@pytest.mark.long
def test_stopped_gluetun_starts_before_its_dependents(lab):
    lab.vpn("qbittorrent", "sabnzbd")
    lab.run()
    docker("stop", "-t", 1, f"{lab.name}-gluetun")
    repaired(lab, {"gluetun": "start", "qbittorrent": "restart", "sabnzbd": "restart"})


@pytest.mark.long
def test_crashed_gluetun(lab):
    lab.vpn("qbittorrent", "sabnzbd")
    lab.run()
    before = lab.one("gluetun")["State"]
    docker("exec", lab.one("gluetun")["Id"], "kill", "-9", "-1")
    docker("kill", f"{lab.name}-qbittorrent")
    until(
        lambda: (
            lab.one("gluetun")["State"]["StartedAt"] != before["StartedAt"]
            or lab.one("gluetun")["State"]["Status"] == "exited"
            or docker("kill", f"{lab.name}-gluetun", check=False) is not None
        )
    )
    lab.run()
    for name in ("qbittorrent", "sabnzbd"):
        assert lab.same_network(name, "gluetun")


def test_no_dependent_runs_while_gluetun_is_replaced(lab):
    lab.vpn("qbittorrent", "sabnzbd")
    lab.run()
    old = lab.one("gluetun")["Id"]
    lab.services["gluetun"]["environment"] = {"SERVER_COUNTRIES": "Sweden"}
    seen, done = [], threading.Event()

    def watch():
        while not done.is_set():
            found = {
                raw["Config"]["Labels"]["com.docker.compose.service"]: raw
                for raw in lab.all()
                if raw["State"]["Status"] == "running"
            }
            parents = {raw["Id"] for raw in found.values()}
            for name in ("qbittorrent", "sabnzbd"):
                if name in found:
                    seen.append(found[name]["HostConfig"]["NetworkMode"].split(":")[1] in parents)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = lab.run()
    finally:
        done.set()
        watcher.join()
    assert lab.one("gluetun")["Id"] != old
    assert {one["action"] for one in result["services"].values()} == {"recreate"}
    assert seen and all(seen)


def test_dependents_stay_down_while_gluetun_is_not_healthy(lab):
    """The tunnel does not come up: no app behind it may run, and the failure names gluetun."""
    lab.vpn("qbittorrent").add("sonarr")
    lab.services["gluetun"]["healthcheck"] = dict(QUICK, test=["CMD-SHELL", "echo no handshake; exit 1"])
    result, error = lab.attempt()
    assert "gluetun is unhealthy: its health check failed with code 1: no handshake" in error
    assert "qbittorrent was not started, because it needs gluetun" in error
    assert result["services"]["qbittorrent"]["action"] == "none"
    assert set(lab.states()) == {"gluetun", "sonarr"}
    assert result["services"]["sonarr"]["state"] == "running"


def test_dependents_stop_when_the_new_gluetun_does_not_come_up(lab):
    lab.vpn("qbittorrent").add("sonarr")
    lab.run()
    lab.services["gluetun"]["healthcheck"] = dict(QUICK, test=["CMD-SHELL", "exit 1"])
    result, error = lab.attempt()
    assert "gluetun is unhealthy" in error
    assert lab.states() == {"gluetun": "running", "qbittorrent": "exited", "sonarr": "running"}
    assert result["services"]["qbittorrent"]["action"] == "stop"
    assert result["services"]["qbittorrent"]["state"] == "exited"


@pytest.mark.long
def test_subset_run_takes_the_dependents_along(lab):
    lab.vpn("qbittorrent").add("sonarr")
    lab.run()
    lab.services["gluetun"]["environment"] = {"A": "b"}
    result = lab.run(services=["gluetun"])
    assert result["services"]["qbittorrent"]["action"] == "recreate"
    assert lab.same_network("qbittorrent", "gluetun")


@pytest.mark.long
def test_vpn_switched_off_and_on(lab):
    """The apps leave gluetun's network, gluetun goes; and back."""
    lab.vpn("qbittorrent").add("sonarr")
    lab.run()
    behind = lab.services.pop("qbittorrent"), lab.meta.pop("qbittorrent")
    gluetun = lab.services.pop("gluetun"), lab.meta.pop("gluetun")
    lab.add("qbittorrent")
    result = lab.run()
    assert result["removed"] == [f"{lab.name}-gluetun"]
    assert lab.interfaces("qbittorrent") == {"eth0", "lo"}
    lab.services["gluetun"], lab.meta["gluetun"] = gluetun
    lab.services["qbittorrent"], lab.meta["qbittorrent"] = behind
    lab.run()
    assert lab.same_network("qbittorrent", "gluetun")


def test_the_kernel_tells_a_dead_network_from_a_live_one_whatever_the_clock_says(lab):
    lab.vpn("qbittorrent")
    lab.run()

    def verdict(later):
        project = engine_state.read_project(lab.docker, lab.name, str(lab.path))
        gluetun, app = project.of("gluetun")[0], project.of("qbittorrent")[0]
        app.started_at = gluetun.started_at + later
        return netns.verdict(app, "gluetun", gluetun)

    assert verdict(-1) is verdict(1) is None
    docker("restart", "-t", 1, f"{lab.name}-gluetun")
    assert [verdict(later)[0] for later in (-1, 1)] == [netns.RESTART, netns.RESTART]
    assert "the kernel's name" in verdict(1)[1]


def test_an_app_that_is_to_live_behind_the_vpn_does_not_run_until_gluetun_is_well(lab):
    """The VPN is switched on while torrents run: by their own network they must not go on beside it."""
    lab.add("qbittorrent")
    lab.run()
    del lab.services["qbittorrent"]
    marker = lab.base / "well"
    lab.add(
        "gluetun",
        healthcheck=dict(QUICK, test=["CMD", "test", "-e", "/x/well"], retries=100),
        volumes=[f"{lab.base}:/x:ro"],
    )
    lab.add("qbittorrent", behind="gluetun")
    result, error = lab.attempt(wait_timeout=4)
    assert "needs gluetun" in error
    assert lab.states() == {"gluetun": "running", "qbittorrent": "exited"}, result["actions"]
    # Not by a policy of the engine either.
    marker.write_text("")
    lab.run()
    assert lab.same_network("qbittorrent", "gluetun")
    assert lab.run()["changed"] is False


def test_an_app_whose_gluetun_is_removed_reaches_nobody(lab):
    """Nobody stops it until the next run, and nobody has to: its network is gone but for the loopback."""
    lab.vpn("qbittorrent")
    lab.run()
    assert "eth0" in lab.interfaces("qbittorrent")
    docker("rm", "-f", f"{lab.name}-gluetun")
    assert lab.states() == {"qbittorrent": "running"}
    assert lab.interfaces("qbittorrent") == {"lo"}
    # It cannot come back by itself either.
    docker("restart", "-t", 1, f"{lab.name}-qbittorrent", check=False)
    assert lab.states() == {"qbittorrent": "exited"}
