# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Interrupt it anywhere, run it twice at once: the next run leaves a sound stack. On the real engine."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time

import pytest
from compose_stack_lab import SLEEP, docker, until

STUBBORN = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]


def sound(lab):
    """Right names, one container a service, all running, dependents in the living network, and nothing more to do."""
    assert lab.names() == lab.expected_names()
    assert set(lab.states().values()) == {"running"}
    for service, meta in lab.meta.items():
        if meta["behind"]:
            assert lab.same_network(service, meta["behind"])
    assert lab.run()["changed"] is False


def children(pid):
    """Process ids of a process's children and theirs."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as handle:
                    parent = int(handle.read().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found += [int(entry), *children(int(entry))]
    return found


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


KILLS = int(os.environ.get("MEDIASTACK_TEST_KILLS", "2"))


@pytest.mark.parametrize("version", [pytest.param("2.20.3", marks=pytest.mark.long), None])
def test_killed_at_random_moments(labs, version):
    """SIGKILL of the module, of docker compose, or of both, during a recreate of everything."""
    lab = labs(version).vpn("qbittorrent", "sabnzbd").add("sonarr").add("radarr")
    lab.run()
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    killed = 0
    for attempt in range(KILLS):
        for compose in lab.services.values():
            compose["environment"] = {"V": str(attempt)}
        process = lab.start_process()
        time.sleep(chance.uniform(0.3, 5))
        compose_processes = children(process.pid)
        victims = {0: [process.pid], 1: compose_processes, 2: [process.pid, *compose_processes]}[attempt % 3]
        killed += bool(victims) and process.poll() is None
        kill(victims)
        process.communicate(timeout=90)
        result = lab.run()
        assert {
            raw["Config"]["Env"][0] if raw["Config"]["Env"][0].startswith("V=") else raw["Config"]["Env"][1]
            for raw in lab.all()
        } == {f"V={attempt}"}, (seed, attempt, result["actions"])
        sound(lab)
    assert killed >= KILLS // 2, "the runs were over before they were killed"


@pytest.mark.long
def test_compose_killed_while_it_waits_for_a_stubborn_container(lab):
    """Compose leaves `<id>_name` behind then, and its own next `up` never repairs the name."""
    lab.add("sonarr", command=STUBBORN, stop_grace_period="6s").add("radarr")
    lab.run()
    lab.services["sonarr"]["environment"] = {"A": "b"}
    process = lab.start_process()
    until(lambda: any(name.endswith("_" + f"{lab.name}-sonarr") for name in lab.names()), 30)
    kill([process.pid, *children(process.pid)])
    process.communicate()
    result = lab.run()
    assert any("left behind by an interrupted run" in action for action in result["actions"])
    assert any("was interrupted" in message for message in result["messages"])
    sound(lab)


def test_running_container_with_a_temporary_name_gets_its_own(lab):
    """What `docker compose up` by hand makes of such a leftover: it runs, under a wrong name, for ever."""
    lab.add("sonarr")
    lab.run()
    identifier = lab.one("sonarr")["Id"]
    docker("rename", identifier, f"{identifier[:12]}_{lab.name}-sonarr")
    forecast = lab.run(check=True)
    result = lab.run()
    assert result["actions"] == forecast["actions"]
    assert result["services"]["sonarr"]["action"] == "recreate"
    sound(lab)


def test_created_but_never_started(lab):
    lab.add("sonarr").add("radarr")
    lab.run()
    docker("rm", "-f", f"{lab.name}-sonarr")
    docker("compose", "create", "sonarr", cwd=lab.path)
    assert lab.states()["sonarr"] == "created"
    result = lab.run()
    assert result["services"]["sonarr"]["action"] == "create"
    sound(lab)


@pytest.mark.long
def test_two_runs_of_compose_at_once_are_repaired(lab):
    """Compose has no lock: two recreates at once leave containers with wrong names, or none."""
    lab.add("sonarr").add("radarr").add("lidarr")
    lab.run()
    for attempt in range(2):
        document = json.loads((lab.path / "compose.core.yml").read_text())
        runs = []
        for half in range(2):
            for service in document["services"].values():
                service["environment"] = {"V": f"{attempt}.{half}"}
            other = lab.path / f"by-hand-{half}.yml"
            other.write_text(json.dumps(document))
            runs.append(
                subprocess.Popen(
                    ["docker", "compose", "-f", str(other), "up", "-d", "-t", "1"],
                    cwd=lab.path,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        for run in runs:
            run.wait(timeout=60)
            (lab.path / f"by-hand-{runs.index(run)}.yml").unlink()
        for service in lab.services.values():
            service["environment"] = {"OURS": str(attempt)}
        lab.run()
        sound(lab)


def test_two_runs_at_once(lab):
    lab.vpn("qbittorrent").add("sonarr")
    first, second = lab.start_process(), lab.start_process()
    outputs = [process.communicate(timeout=120) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    changed = sorted(json.loads(out)["changed"] for out, _err in outputs)
    assert changed == [False, True]
    sound(lab)


def test_second_run_stops_with_the_holders_name(lab):
    lab.add("sonarr", command=STUBBORN, stop_grace_period="5s")
    lab.run()
    lab.services["sonarr"]["environment"] = {"A": "b"}
    holder = lab.start_process()
    record = lab.path / ".mediastack" / "run.json"
    until(lambda: json.loads(record.read_text())["pid"] == holder.pid)
    result, error = lab.attempt(lock_timeout=1)
    assert holder.poll() is None, "it gave up before the other one was done"
    assert f"process {holder.pid} on " in error and "compose_stack state=present" in error
    assert json.loads(record.read_text())["started"] in error and "lock_timeout" in error
    assert result["changed"] is False
    holder.communicate(timeout=60)
    assert holder.returncode == 0
    sound(lab)


@pytest.mark.long
def test_a_killed_run_stays_locked_until_its_compose_has_ended(lab):
    """The compose process of a killed module goes on; a second run beside it would wreck the project."""
    lab.add("sonarr", command=STUBBORN, stop_grace_period="6s")
    lab.run()
    lab.services["sonarr"]["environment"] = {"A": "b"}
    process = lab.start_process()
    until(lambda: any(name.endswith("_" + f"{lab.name}-sonarr") for name in lab.names()), 30)
    kill([process.pid])
    process.wait()
    _result, error = lab.attempt(lock_timeout=1)
    assert "a docker command that it started still runs" in error
    process.communicate(timeout=60)
    lab.run()
    sound(lab)


def test_deadline_of_an_external_call(lab, monkeypatch):
    """A docker that hangs does not hang the run."""
    lab.add("sonarr", command=SLEEP)
    hanging = lab.base / "docker"
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(lab.docker, "executable", str(hanging))
    monkeypatch.setitem(type(lab.docker).run.__kwdefaults__, "deadline", 1)
    from ansible_collections.homelab.mediastack.plugins.module_utils import stack

    started = time.monotonic()
    result, error = stack.run(lab.request(), lab.docker)
    # A machine that is busy is no failure; ten minutes are what a docker that hangs would cost.
    assert time.monotonic() - started < 60
    assert "did not end within 1 s" in error
    assert result["changed"] is False
