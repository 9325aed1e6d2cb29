# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run of `bin/mediastack-repair` puts every app back into gluetun's live network, and touches nothing else."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
import repair_lab
from compose_stack_lab import IMAGE, QUICK, SLEEP, docker, until
from repair_lab import attempt, repair, repair_json

from ansible_collections.homelab.mediastack.plugins.module_utils import holds, run_lock, stack_remove
from ansible_collections.homelab.mediastack.plugins.module_utils import stack as stack_run
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import Ask

APPS = ("qbittorrent", "sabnzbd", "nzbget", "transmission")
REPAIR_SECONDS = 5


def names(lab, *services):
    return [f"{lab.name}-{service}" for service in services]


def all_inside(lab, apps=APPS):
    """Whether every app runs in the network of the running gluetun."""
    states = lab.states()
    up = all(states.get(name) == "running" for name in ("gluetun", *apps))
    return up and all(lab.same_network(app, "gluetun") for app in apps)


def snapshot(lab):
    """Every file of the project, with its bytes: a run that changes nothing leaves this as it is."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(lab.path.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def stack(lab):
    """gluetun with four apps behind it, and sonarr, which is not; the program is in place."""
    lab.vpn(*APPS).add("sonarr")
    lab.run()
    repair_lab.install(lab)
    return lab


def restarted(lab):
    docker("restart", "-t", 1, *names(lab, "gluetun"))


def killed(lab):
    docker("kill", *names(lab, "gluetun"))


def removed(lab):
    docker("rm", "-f", *names(lab, "gluetun"))


def made_anew_by_hand(lab):
    docker("rm", "-f", *names(lab, "gluetun"))
    docker("compose", "up", "-d", "--no-deps", "gluetun", cwd=lab.path)


def stopped_by_hand(lab):
    docker("stop", "-t", 1, *names(lab, "gluetun"))


def started_in_the_wrong_order(lab):
    docker("stop", "-t", 1, *names(lab, *APPS, "gluetun", "sonarr"))
    for name in names(lab, *APPS):
        docker("start", name, check=False)
        assert docker("inspect", "-f", "{{.State.Status}}", name) == "exited"
    docker("start", *names(lab, "sonarr", "gluetun"))


def made_anew_while_all_is_down(lab):
    docker("stop", "-t", 1, *names(lab, *APPS))
    made_anew_by_hand(lab)
    for name in names(lab, *APPS):
        docker("start", name, check=False)
        assert docker("inspect", "-f", "{{.State.Status}}", name) == "exited"


def crashed(lab):
    before = lab.one("gluetun")["State"]
    os.kill(before["Pid"], signal.SIGKILL)
    until(
        lambda: lab.one("gluetun")["State"]["StartedAt"] != before["StartedAt"] and lab.states()["gluetun"] == "running"
    )


@pytest.mark.parametrize(
    ("event", "action"),
    [
        (restarted, "restart"),
        pytest.param(killed, "restart", marks=pytest.mark.long),
        pytest.param(stopped_by_hand, "restart", marks=pytest.mark.long),
        (crashed, "restart"),
        (removed, "recreate"),
        pytest.param(made_anew_by_hand, "recreate", marks=pytest.mark.long),
        (made_anew_while_all_is_down, "recreate"),
        (started_in_the_wrong_order, "start"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_one_run_leaves_every_app_in_the_live_network(stack, event, action):
    event(stack)
    sonarr = stack.lives()["sonarr"]
    assert not all_inside(stack)
    predicted = repair_json(stack, "--check")
    assert predicted[0] == 3

    lines = repair(stack)

    assert all_inside(stack), stack.states()
    assert lines == predicted[1]["actions"]
    said = [line for line in lines if line.startswith(f"{action} ") and line.split(":")[0].split()[1] in APPS]
    assert len(said) == len(APPS), lines
    assert stack.lives()["sonarr"] == sonarr and stack.names() == stack.expected_names()
    assert not (stack.path / ".mediastack" / "repair.json").exists()
    # A converge finds nothing to do but the program itself, which this lab's bundle lacks.
    assert not stack.run(check=True)["changed"]


def test_nothing_is_touched_where_all_is_well(stack):
    lives, files = stack.lives(), snapshot(stack)
    assert repair(stack) == ["nothing to repair"]
    assert repair_json(stack, "--check") == (
        0, {"actions": [], "changed": False, "failed": False, "left": {}, "messages": [], "msg": ""},
    )  # fmt: skip
    assert (stack.lives(), snapshot(stack)) == (lives, files)


@pytest.mark.alone
@pytest.mark.parametrize("event", [restarted, made_anew_by_hand], ids=lambda event: event.__name__)
def test_four_apps_are_back_within_five_seconds(stack, event):
    event(stack)
    begun = time.monotonic()
    repair(stack)
    took = time.monotonic() - begun
    assert all_inside(stack)
    begun = time.monotonic()
    assert repair(stack) == ["nothing to repair"]
    print(f"after {event.__name__}: {took:.2f} s; with nothing to repair: {time.monotonic() - begun:.2f} s")
    assert took <= REPAIR_SECONDS, f"{took:.1f} s"


def test_check_touches_nothing(stack):
    restarted(stack)
    lives, files = stack.lives(), snapshot(stack)
    done = attempt(stack, "--check")
    assert done.returncode == 3
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [f"would restart {app}" for app in sorted(APPS)]
    assert (stack.lives(), snapshot(stack)) == (lives, files)


def test_what_was_stopped_by_hand_or_is_held_stays_so(stack):
    docker("stop", "-t", 1, *names(stack, "nzbget"))
    docker("pause", *names(stack, "transmission"))
    stack.run("stopped", services=["sabnzbd"], holds=Ask("stop", "anna@laptop", "stop -e service=sabnzbd"))
    restarted(stack)
    lines = repair(stack)
    assert lines[0].startswith("restart qbittorrent: ") and len(lines) == 4
    assert lines[1:3] == [
        "nzbget is left as it is: somebody has stopped it",
        lines[2],
    ]
    assert "sabnzbd is left as it is: held stopped since" in lines[2] and "by anna@laptop" in lines[2]
    states = stack.states()
    assert (states["nzbget"], states["sabnzbd"], states["transmission"]) == ("exited", "exited", "paused")
    assert stack.same_network("qbittorrent", "gluetun")


@pytest.mark.long
def test_a_held_gluetun_stays_down_and_what_needs_it_is_left(stack):
    stack.run("stopped", services=["gluetun"], holds=Ask("stop", "anna@laptop", "stop -e service=gluetun"))
    docker("start", *names(stack, "qbittorrent"), check=False)
    lives = stack.lives()
    lines = repair(stack)
    assert lines.pop() == "nothing to repair" and len(lines) == 4
    assert all("left as it is: it needs gluetun, held stopped since" in line for line in lines)
    assert stack.lives() == lives and stack.states()["gluetun"] == "exited"


@pytest.mark.long
def test_stopped_as_a_whole_by_hand_stays_stopped(stack):
    docker("stop", "-t", 1, *names(stack, *APPS, "gluetun"))
    lives = stack.lives()
    lines = repair(stack)
    assert lines.pop() == "nothing to repair" and len(lines) == 4
    assert all("is left as it is: somebody has stopped it" in line for line in lines)
    assert stack.lives() == lives and set(stack.states().values()) == {"exited", "running"}


@pytest.mark.long
def test_foreign_containers_of_the_same_project_name_are_not_touched(stack, tmp_path):
    """A stack that somebody made by hand in another directory, in as bad a state as ours."""
    path = tmp_path / "theirs"
    path.mkdir()
    theirs = {
        "gluetun": {"image": IMAGE, "command": SLEEP, "container_name": f"{stack.name}-foreign-gluetun"},
        "app": {
            "image": IMAGE,
            "command": SLEEP,
            "container_name": f"{stack.name}-foreign-app",
            "network_mode": "service:gluetun",
        },
    }
    (path / "compose.yaml").write_text(json.dumps({"name": stack.name, "services": theirs}))
    docker("compose", "-p", stack.name, "up", "-d", "--no-recreate", "app", cwd=path)
    foreign = names(stack, "foreign-gluetun", "foreign-app")
    found = [one for one in foreign if docker("ps", "-aq", "--filter", f"name=^{one}$")]
    assert foreign[1] in found
    restarted(stack)
    if foreign[0] in found:
        docker("restart", "-t", 1, foreign[0])
    before = docker("inspect", *found)
    repair(stack)
    assert docker("inspect", *found) == before


@pytest.mark.long
def test_two_repairs_at_once(stack):
    restarted(stack)
    both = [repair_lab.start(stack) for _turn in range(2)]
    outputs = [one.communicate(timeout=60) for one in both]
    assert [one.returncode for one in both] == [0, 0], outputs
    assert all_inside(stack)
    done = [line for out, _err in outputs for line in out.splitlines() if line.startswith("restart ")]
    assert len(done) == len(APPS), outputs


@pytest.mark.long
def test_a_repair_waits_for_a_run_that_holds_the_lock_and_names_it_when_that_takes_too_long(stack):
    restarted(stack)
    with run_lock.RunLock(str(stack.path), "compose_stack state=present", 5):
        done = attempt(stack, "--lock-timeout", "0.5")
        assert done.returncode == 1 and done.stdout == ""
        assert "another run works on" in done.stderr and "compose_stack state=present" in done.stderr
        waiting = repair_lab.start(stack)
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, out + err
    assert all_inside(stack)


@pytest.mark.long
def test_a_repair_does_not_hide_that_a_run_before_it_was_interrupted(stack):
    record = stack.path / ".mediastack" / "run.json"
    earlier = dict(json.loads(record.read_text()), finished=None)
    record.write_text(json.dumps(earlier))
    restarted(stack)
    repair(stack)
    assert json.loads(record.read_text()) == earlier


@pytest.mark.long
def test_what_a_killed_repair_has_stopped_is_started_by_the_next_one(labs):
    lab = labs()
    lab.vpn("qbittorrent", "sabnzbd")
    lab.run()
    repair_lab.install(lab)
    marker = lab.base / "broken"
    lab.services["gluetun"]["healthcheck"] = dict(QUICK, test=["CMD", "test", "!", "-e", "/x/broken"], retries=100)
    lab.services["gluetun"]["volumes"] = [f"{lab.base}:/x:ro"]
    lab.run()
    marker.write_text("")
    restarted(lab)
    process = repair_lab.start(lab)
    until(lambda: set(lab.states().values()) == {"running", "exited"}, what="both apps stopped")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert lab.states()["qbittorrent"] == "exited"
    marker.unlink()
    lines = repair(lab)
    assert [line.split(":")[0] for line in lines] == ["start qbittorrent", "start sabnzbd"]
    assert all_inside(lab, ("qbittorrent", "sabnzbd"))


@pytest.mark.long
def test_gluetun_that_does_not_get_well_is_a_readable_failure_and_nothing_runs_outside(labs):
    lab = labs()
    lab.vpn("qbittorrent")
    lab.run()
    repair_lab.install(lab)
    marker = lab.base / "broken"
    lab.services["gluetun"]["healthcheck"] = dict(QUICK, test=["CMD", "test", "!", "-e", "/x/broken"])
    lab.services["gluetun"]["volumes"] = [f"{lab.base}:/x:ro"]
    lab.run()
    marker.write_text("")
    docker("kill", *names(lab, "gluetun"))
    done = attempt(lab, "--wait-timeout", "10")
    assert done.returncode == 1
    assert "qbittorrent was not started, because it needs gluetun" in done.stderr and "Traceback" not in done.stderr
    assert lab.states()["qbittorrent"] == "exited"
    # The provider answers again while the unit still has patience.
    process = repair_lab.start(lab, "--patience", "60", "--wait-timeout", "10")
    marker.unlink()
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, out + err
    assert all_inside(lab, ("qbittorrent",))


def test_errors_are_sentences(lab, tmp_path):
    lab.vpn("qbittorrent")
    lab.run()
    program = repair_lab.install(lab)
    missing = attempt(lab, "--patience", "x")
    assert missing.returncode == 2
    (lab.path / ".env").rename(tmp_path / "env")
    done = attempt(lab)
    assert done.returncode == 1 and "names no project (COMPOSE_PROJECT_NAME): run site" in done.stderr
    (tmp_path / "env").rename(lab.path / ".env")
    os.rename(lab.path / ".mediastack", tmp_path / "state")
    done = attempt(lab)
    assert done.returncode == 1 and f"there is no stack in {lab.path}: run site" in done.stderr
    os.rename(tmp_path / "state", lab.path / ".mediastack")
    (lab.path / ".mediastack" / holds.HOLDS_FILE).write_text("{")
    done = attempt(lab)
    damaged = f"mediastack-repair: {lab.path}/.mediastack/holds.json is not JSON"
    assert done.returncode == 1 and done.stderr.startswith(damaged)
    assert program.stat().st_mode & 0o777 == 0o755


def test_a_converge_brings_the_program_once_and_removal_takes_it_away(lab):
    repair_lab.rendered(lab.vpn("qbittorrent"))
    forecast = lab.run(check=True)
    result = lab.run()
    program = str(lab.path / "bin" / "mediastack-repair")
    assert forecast["files"] == result["files"] and result["files"][program] == "create"
    shown = next(section for section in result["diff"] if section["before_header"] == program)
    assert "bytes, sha256 " in shown["after"] and len(shown["after"]) < 100
    assert not lab.run()["changed"]
    restarted(lab)
    assert repair(lab)[0].startswith("restart qbittorrent: ")
    assert not lab.run()["changed"]
    # Somebody's edit is kept aside, a lost bit of the mode is put back.
    os.chmod(program, 0o644)
    assert lab.run()["files"] == {program: "mode"}
    paths = {name: str(lab.base / name) for name in ("config", "media", "downloads")}
    wish = stack_remove.Wish(dict(paths, base=str(lab.base)))
    _result, error = stack_run.run(lab.request("absent", plain=True), lab.docker, stack_remove.kind(wish))
    assert error is None and not os.path.exists(os.path.dirname(program))
