# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The gate on the real engine: what `docker compose up --wait` calls healthy and is not."""

from __future__ import annotations

import time

import pytest
from compose_stack_lab import QUICK, docker, until


def test_crash_loop_without_health_check_is_a_failure(lab):
    """Compose 2.40.3: `up --wait` gives return code 0 and the word Healthy."""
    lab.add("sonarr").add("radarr", command=["sh", "-c", "echo database is locked >&2; sleep 0.3; exit 3"])
    started = time.monotonic()
    result, error = lab.attempt(wait_timeout=60)
    assert time.monotonic() - started < 20
    assert "1 of 2 services failed" in error
    assert "radarr crash loop: ended with code 3" in error
    assert "database is locked" in error
    failure = result["failures"][0]
    assert failure["service"] == "radarr" and "database is locked" in failure["log"]
    assert lab.states()["sonarr"] == "running"


def test_crash_loop_gets_a_fresh_start_and_is_still_a_failure(lab):
    lab.add("radarr", command=["sh", "-c", "sleep 0.3; exit 3"])
    lab.attempt()
    # The engine waits for seconds by now until it tries again; how often it did so far depends on the machine.
    until(lambda: lab.one("radarr")["State"]["Status"] == "restarting" and lab.one("radarr")["RestartCount"] > 5)
    before = lab.one("radarr")
    result, error = lab.attempt()
    assert "radarr crash loop" in error
    assert [action.partition(":")[0] for action in result["actions"]] == ["restart radarr"]
    assert lab.one("radarr")["Id"] == before["Id"]
    assert lab.one("radarr")["RestartCount"] < before["RestartCount"]


def test_late_crash_is_seen_within_stable_for(lab):
    lab.add("radarr", command=["sh", "-c", "sleep 2; exit 3"])
    _result, error = lab.attempt(stable_for=5)
    assert "radarr crash loop: ended with code 3" in error


def test_unhealthy_names_the_last_check(lab):
    lab.add("sonarr", healthcheck=dict(QUICK, test=["CMD-SHELL", "echo connection refused; exit 7"]))
    result, error = lab.attempt()
    assert "sonarr is unhealthy: its health check failed with code 7: connection refused" in error
    assert result["failures"][0]["health_log"][-1] == {"exit_code": 7, "output": "connection refused"}


def test_never_healthy_ends_at_the_deadline(lab):
    """Compose 2.40.3: `--wait-timeout` gave return code 0 in 3 of 12 runs."""
    lab.add("sonarr", healthcheck=dict(QUICK, test=["CMD", "false"], start_period="200s", retries=100))
    for _try in range(3):
        started = time.monotonic()
        _result, error = lab.attempt(wait_timeout=2)
        assert time.monotonic() - started < 15
        assert (
            "sonarr is starting: its health check has not passed yet" in error and "after 2 s (wait_timeout)" in error
        )


def test_no_wait_reports_what_is(lab):
    lab.add("sonarr", healthcheck=dict(QUICK, test=["CMD", "false"], start_period="200s", retries=100))
    result = lab.run(wait=False)
    assert result["services"]["sonarr"]["state"] == "running"
    assert result["services"]["sonarr"]["health"] == "starting"


def test_what_needs_an_unhealthy_service_is_not_started(lab):
    lab.add("database", healthcheck=dict(QUICK, test=["CMD", "false"]))
    lab.add("server", after=["database"]).add("sonarr")
    _result, error = lab.attempt()
    assert "database is unhealthy" in error and "server was not started, because it needs database" in error
    assert set(lab.states()) == {"database", "sonarr"}


def test_stopped_by_somebody_while_it_waits_is_started_again(lab):
    slow = dict(QUICK, test=["CMD", "test", "-e", "/tmp/ready"], retries=60)
    lab.add(
        "jellyfin",
        healthcheck=slow,
        command=["sh", "-c", "trap 'exit 0' TERM; sleep 3; echo > /tmp/ready; while :; do sleep 0.1; done"],
    )
    process = lab.start_process()
    until(lambda: lab.states().get("jellyfin") == "running")
    docker("stop", "-t", 1, f"{lab.name}-jellyfin")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert lab.one("jellyfin")["State"]["Health"]["Status"] == "healthy"


@pytest.mark.long
def test_out_of_order_restart_of_gluetun_during_the_gate_is_repaired(lab):
    slow = dict(QUICK, test=["CMD", "test", "-e", "/tmp/ready"], retries=60)
    lab.vpn("qbittorrent").add(
        "jellyfin", healthcheck=slow, command=["sh", "-c", "sleep 4; echo > /tmp/ready; exec sleep 1000"], init=True
    )
    process = lab.start_process()
    until(lambda: lab.states().get("qbittorrent") == "running")
    docker("restart", "-t", 1, f"{lab.name}-gluetun")
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, out + err
    assert lab.same_network("qbittorrent", "gluetun")
