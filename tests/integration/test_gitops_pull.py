# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pull mode on a host that systemd boots: what is good gets live by the timer, what is bad does not, and nothing that
is cut off stays so.
"""

from __future__ import annotations

import json
import os

import gitops_lab
import pytest
from gitops_lab import HOST, PLACE, PROJECT, SERVICE, TIMER

PROJECT_PATH = "/srv/mediastack/compose"
# A busy machine is no failure.
PATIENCE = 600


@pytest.fixture(scope="module")
def host(box, tmp_path_factory):
    """A host that follows the repository, made by the playbook, at a first good commit."""
    place = tmp_path_factory.mktemp("gitops")
    for directory in (place, *place.parents):
        if directory.stat().st_uid == os.geteuid() and len(directory.parts) > 2:
            directory.chmod(0o755)
    with gitops_lab.puller(place, f"mspull-{os.getpid()}") as made:
        made.first = made.repository.commit()
        made.play("gitops", mediastack_gitops_interval=15)
        made.wait(lambda: (made.last() or {}).get("result") == "good", PATIENCE, "the first commit")
        yield made


@pytest.fixture
def quiet(host):
    """The host without its timer, at a good commit that is the tip of the branch."""
    host.box.sh(f"systemctl stop {TIMER}")
    host.wait(host.idle, PATIENCE, "the end of the run by the timer")
    live = host.last()["commit"]["live"]
    host.repository.git("reset", "-q", "--hard", live)
    for name in ("mediastack_puid", "probe", "patience", "mediastack_lock_timeout"):
        host.repository.variables.pop(name, None)
    host.repository.variables["mediastack_wait_timeout"] = 20
    return host


def test_what_is_signed_gets_live_by_the_timer_and_what_is_not_does_not(host):
    assert host.greeting() == "first"
    assert host.box.sh(f"systemctl is-enabled {TIMER}") == "enabled"
    assert host.box.sh(f"stat -c '%a %U' {PLACE} {PLACE}/config.json") == "700 root\n600 root"
    second = host.repository.commit(greeting="second")
    host.wait(lambda: host.last()["commit"]["live"] == second, PATIENCE, "the second commit")
    assert host.greeting() == "second"
    third = host.repository.commit(sign=False, greeting="third")
    host.wait(lambda: host.last()["commit"]["wanted"] == third, PATIENCE, "the word on the third commit")
    last = host.last()
    assert (last["result"], last["ok"], last["commit"]["live"]) == ("refused", False, second)
    assert last["commit"]["refused"] == third and "not signed" in last["reason"]
    assert host.greeting() == "second"
    assert f'mediastack_pull_ok{{host="{HOST}",project="{PROJECT}"}} 0' in host.box.sh(f"cat {PLACE}/metrics.prom")


@pytest.mark.long
def test_a_stranger_s_signature_and_an_old_commit_are_refused(quiet, tmp_path):
    other = gitops_lab.Repository(tmp_path)
    mine, quiet.repository.key = quiet.repository.key, other.key
    try:
        bad = quiet.repository.commit(greeting="stranger")
    finally:
        quiet.repository.key = mine
    last = quiet.pull()[1]
    assert (last["commit"]["refused"], last["result"]) == (bad, "refused")
    assert "mediastack_gitops_allowed_signers" in last["reason"]
    quiet.repository.push(f"{quiet.first}:main")
    last = quiet.pull()[1]
    if last["commit"]["live"] != quiet.first:
        assert last["commit"]["refused"] == quiet.first and "does not descend" in last["reason"]
    assert quiet.greeting() not in ("stranger", None)


@pytest.mark.long
def test_a_setting_that_is_wrong_is_refused_and_told(quiet):
    before = quiet.last()["commit"]["live"]
    bad = quiet.repository.commit(mediastack_puid="x", greeting="wrong")
    done, last = quiet.pull()
    assert done.returncode == 1
    assert (last["result"], last["commit"]["refused"], last["commit"]["live"]) == ("refused", bad, before)
    assert "mediastack_puid" in last["reason"] and last["healthy"]
    assert quiet.greeting() != "wrong"


@pytest.mark.long
def test_an_app_that_never_gets_well_leaves_the_last_good_state(quiet):
    before, greeting = quiet.last()["commit"]["live"], quiet.greeting()
    bad = quiet.repository.commit(probe="false", greeting="sick")
    last = quiet.pull()[1]
    assert (last["result"], last["commit"]["refused"], last["commit"]["live"]) == ("refused", bad, before)
    assert "hello" in last["reason"], last
    assert quiet.greeting() == greeting
    assert quiet.app()["State"]["Health"]["Status"] == "healthy"
    steps = [step["name"] for step in last["steps"]]
    assert steps == ["site", "site", "status"]
    # Until there is another one, it is not tried again, and it is told every time.
    last = quiet.pull()[1]
    assert (last["result"], last["commit"]["refused"]) == ("refused", bad)
    assert [step["name"] for step in last["steps"]] == ["plan", "status"]
    mended = quiet.repository.commit(probe="true", greeting="mended")
    last = quiet.pull()[1]
    assert (last["result"], last["commit"]["live"], quiet.greeting()) == ("good", mended, "mended")


@pytest.mark.long
def test_what_somebody_changed_is_told_and_put_right(quiet):
    quiet.box.sh("docker rm -f hello")
    last = quiet.pull()[1]
    assert last["result"] == "good" and last["drift"] and last["changed"]
    assert "hello" in " ".join(last["drift"])
    assert quiet.app()["State"]["Running"]
    assert quiet.pull()[1]["drift"] == []


@pytest.mark.long
def test_two_runs_never_overlap_and_a_push_run_names_the_pull(quiet):
    # It gets well when it is told to: until then the run is at its work.
    slow = {"probe": "test -e /tmp/ready", "patience": "1h", "mediastack_wait_timeout": 3600}
    commit = quiet.repository.commit(**slow, greeting="slow")
    quiet.start()
    record = f"{PROJECT_PATH}/.mediastack/run.json"

    def at_work():
        known = json.loads(quiet.box.sh(f"cat {record}"))
        return not known["finished"] and known["who"].startswith("pull of commit ")

    quiet.wait(at_work, PATIENCE, "the pull at its work")
    done, _last = quiet.pull(check=False)
    assert done.returncode == 3 and "another run is at work: process" in done.stderr
    pushed = quiet.play("site", "-e", "mediastack_lock_timeout=1", check=False)
    assert pushed.returncode
    assert "another run works on" in pushed.stdout + pushed.stderr
    assert "pull of commit" in pushed.stdout + pushed.stderr
    quiet.box.sh("docker exec hello sh -c ': >/tmp/ready'")
    quiet.wait(quiet.idle, PATIENCE, "the end of the run")
    last = quiet.last()
    assert (last["result"], last["commit"]["live"]) == ("good", commit)


@pytest.mark.long
def test_a_pull_run_names_who_is_at_work_and_tries_the_commit_again(quiet):
    fine = quiet.repository.commit(mediastack_lock_timeout=1, greeting="patient")
    lock = f"{PROJECT_PATH}/.mediastack/run.lock"
    record = json.dumps({"what": "site", "who": "anna", "pid": 1, "host": "laptop", "started": "now", "finished": None})
    quiet.box.sh(f"cat >{PROJECT_PATH}/.mediastack/run.json", stdin=record)
    quiet.box.sh(f"flock -x {lock} sleep 3601 >/dev/null 2>&1 &")
    last = quiet.pull()[1]
    assert last["result"] == "failed" and "another run works on" in last["reason"] and "anna" in last["reason"]
    assert last["commit"]["refused"] is None
    quiet.box.sh("pkill -x -f 'sleep 3601'")
    last = quiet.pull()[1]
    assert (last["result"], last["commit"]["live"], quiet.greeting()) == ("good", fine, "patient")


@pytest.mark.long
@pytest.mark.parametrize("phase", ["checkout", "apply", "back", "converge"])
def test_kill_of_everything_is_repaired_by_the_next_run(quiet, phase):
    if phase == "back":
        quiet.repository.commit(probe="false", greeting="never")
    elif phase != "converge":
        quiet.repository.commit(greeting=f"killed in {phase}")
    else:
        quiet.box.sh("docker rm -f hello")
    quiet.start()
    quiet.wait(lambda: phase in quiet.box.sh(f"cat {PLACE}/journal.json 2>/dev/null; true"), PATIENCE, phase)
    if phase == "apply":
        quiet.wait(lambda: quiet.box.sh("pgrep -f compose_stack; true"), PATIENCE, "the module")
    gitops_lab.kill_everything(quiet.box)
    quiet.wait(quiet.idle, PATIENCE, "the end of the killed run")
    good = (
        quiet.repository.commit(probe="true", greeting=f"after {phase}") if phase == "back" else quiet.repository.head()
    )
    last = quiet.pull()[1]
    assert last["result"] == "good", f"{last}\n{quiet.log()}"
    assert last["commit"]["live"] == good and last["healthy"]
    assert "was cut off" in " ".join(last["messages"])
    assert quiet.app()["State"]["Health"]["Status"] == "healthy"
    assert not quiet.box.sh(f"ls {PLACE}/journal.json {PLACE}/releases/*.tmp 2>/dev/null; true")


@pytest.mark.long
def test_a_loose_vault_password_file_stops_every_run_and_is_no_fault_of_the_commit(quiet):
    quiet.box.sh("echo secret >/etc/vault-password; chmod 644 /etc/vault-password")
    quiet.play("gitops", mediastack_gitops_vault_password_file="/etc/vault-password")
    try:
        quiet.box.sh(f"systemctl stop {TIMER}")
        quiet.wait(quiet.idle, PATIENCE, "the end of the run by the timer")
        last = quiet.pull()[1]
        assert last["result"] == "failed" and "chmod 600" in last["reason"] and last["commit"]["refused"] is None
        quiet.box.sh("chmod 600 /etc/vault-password")
        last = quiet.pull()[1]
        assert last["result"] in ("good", "refused"), last
    finally:
        quiet.play("gitops", mediastack_gitops_vault_password_file="")


@pytest.mark.long
def test_remove_takes_the_timer_and_absent_takes_the_rest(quiet):
    quiet.play("remove")
    assert quiet.app() is None
    assert quiet.box.sh("ls /etc/systemd/system | grep -c mspull", check=False) == "0"
    assert quiet.box.sh(f"systemctl is-active {TIMER}", check=False) == "inactive"
    assert quiet.pull()[1]["result"] == "paused"
    quiet.play("gitops", "-e", "uninstall=true")
    assert quiet.box.sh(f"ls {PLACE}", check=False) == ""
    assert quiet.box.sh(f"systemctl cat {SERVICE}", check=False) == ""
