# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a pull run does: with real git and real signatures, and a script in place of Ansible."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest
from pull_world import quick, ssh_key

from ansible_collections.homelab.mediastack.plugins.module_utils import pull_decide, pull_run
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_place import PullError
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_state import State


@pytest.fixture
def world(tmp_path, monkeypatch):
    return quick(tmp_path, monkeypatch)


def names(world):
    return [name for name, _commit in world.steps]


def test_a_signed_commit_gets_live_and_is_then_looked_at_first(world):
    first = world.remote.commit("first")
    assert world.run().result == "good"
    assert (world.good, names(world)) == (first, ["site", "status"])
    assert os.readlink(world.place.live) == f"releases/{first}"
    assert world.run().result == "good"
    assert names(world) == ["plan", "site", "status"]


def test_where_a_plan_finds_nothing_only_the_health_is_looked_at(world):
    world.remote.commit("first")
    world.run()
    world.script.plan = {"result": "in_sync", "changes": []}
    assert world.run().result == "good"
    assert names(world) == ["plan", "status"]


def test_what_others_changed_is_told_and_put_right(world):
    world.remote.commit("first")
    world.run()
    change = {"kind": "service", "service": "sonarr", "path": None, "what": "create", "why": "it is gone"}
    world.script.plan = {"result": "drift", "changes": [change]}
    run = world.run()
    assert run.drift == ["sonarr: create (it is gone)"] and names(world) == ["plan", "site", "status"]


def test_an_unsigned_commit_is_refused_and_nothing_of_it_is_run(world):
    first = world.remote.commit("first")
    world.run()
    bad = world.remote.commit("bad", sign=False)
    run = world.run()
    assert run.result == "refused" and "not signed" in run.reason
    assert {commit for _name, commit in world.steps} == {first}
    assert not os.path.exists(world.place.release(bad))


def test_a_signature_of_a_stranger_is_refused(world, tmp_path):
    ssh_key(tmp_path / "stranger")
    world.remote.commit("first", key=tmp_path / "stranger")
    run = world.run()
    assert run.result == "refused" and "mediastack_gitops_allowed_signers" in run.reason
    assert world.good is None and names(world) == []


def test_a_key_that_was_withdrawn_runs_nothing_any_more(world, tmp_path):
    world.remote.commit("first")
    world.run()
    world.settings.update(allowed_signers=[f"other@example.org {ssh_key(tmp_path / 'other')}"], digest="two")
    run = world.run()
    assert run.result == "refused" and names(world) == []


def test_a_signature_cannot_be_pretended_in_the_message(world):
    text = "gpgsig -----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----"
    world.remote.commit(text, sign=False)
    assert "not signed" in world.run().reason


def test_a_pinned_commit_is_taken_wherever_the_branch_is(world):
    first = world.remote.commit("first", sign=False)
    world.remote.commit("second", sign=False)
    world.settings.update(verify="commit", commit=first)
    assert world.run().result == "good"
    assert world.good == first


def test_a_pinned_commit_that_is_not_there_is_no_fault_of_a_commit(world):
    world.remote.commit("first")
    world.settings.update(verify="commit", commit="0" * 40)
    with pytest.raises(PullError, match="0000000"):
        world.run()


@pytest.mark.parametrize("allowed", [False, True])
def test_the_branch_goes_back_only_where_that_is_allowed(world, allowed):
    first = world.remote.commit("first")
    world.run()
    second = world.remote.commit("second")
    world.run()
    world.remote.git("reset", "-q", "--hard", first)
    world.settings["allow_rewind"] = allowed
    run = world.run()
    assert run.result == ("good" if allowed else "refused")
    assert world.good == (first if allowed else second)


def test_rewritten_history_is_refused_although_it_is_signed(world):
    first = world.remote.commit("first")
    world.run()
    world.remote.commit("second")
    world.run()
    world.remote.git("reset", "-q", "--hard", first)
    world.remote.commit("another second")
    run = world.run()
    assert run.result == "refused" and "does not descend" in run.reason
    # The mirror is made anew, without what is in no branch any more.
    shutil.rmtree(world.place.mirror)
    run = world.run()
    assert run.result == "refused" and "does not descend" in run.reason
    assert "not in the repository any more" in world.said.getvalue()


def test_a_bad_commit_is_tried_once_the_last_good_one_is_live_and_a_third_one_mends_it(world):
    first = world.remote.commit("first")
    world.run()
    bad = world.remote.commit("bad")
    world.script.fails = {("site", bad): "0 of 1 healthy: nas/sonarr"}
    run = world.run()
    assert (run.result, run.reason) == ("refused", "site: 0 of 1 healthy: nas/sonarr")
    assert world.steps == [("site", bad), ("site", first), ("status", first)]
    run = world.run()
    assert (run.result, run.reason) == ("refused", "site: 0 of 1 healthy: nas/sonarr")
    assert world.steps == [("plan", first), ("site", first), ("status", first)]
    third = world.remote.commit("third")
    assert world.run().result == "good"
    assert world.good == third


def test_retry_and_another_configuration_try_a_refused_commit_again(world):
    world.remote.commit("first")
    world.run()
    bad = world.remote.commit("bad")
    world.script.fails = {("site", bad): "not healthy"}
    world.run()
    world.script.fails = {}
    assert world.run().result == "refused"
    assert world.run(retry=True).result == "good"
    bad = world.remote.commit("bad again")
    world.script.fails = {("status", bad): "not healthy"}
    assert world.run().result == "refused"
    world.script.fails = {}
    world.settings["digest"] = "two"
    assert world.run().result == "good"


def test_the_update_is_made_from_the_lock_and_only_where_there_is_one(world):
    world.remote.commit("first")
    (world.remote.place / "work" / "mediastack.lock.yml").write_text("schema: 1\n", encoding="utf-8")
    second = world.remote.commit("second")
    world.run()
    assert names(world) == ["site", "update", "status"]
    bad = world.remote.commit("third")
    world.script.fails = {("update", bad): "rolled back"}
    assert world.run().result == "refused"
    # Its update was reached: the images of the last good lock come back too.
    assert world.steps[2:] == [("site", second), ("update", second), ("status", second)]
    bad = world.remote.commit("fourth")
    world.script.fails = {("site", bad): "no"}
    world.run()
    assert world.steps == [("site", bad), ("site", second), ("status", second)]


def test_a_key_of_gpg_that_was_withdrawn_is_in_no_keyring(world):
    world.remote.commit("first")
    os.makedirs(world.place.gnupg)
    pathlib.Path(world.place.gnupg, "pubring.gpg").write_bytes(b"withdrawn")
    world.run()
    assert not os.path.exists(world.place.gnupg)


def test_a_commit_with_submodules_is_refused(world):
    first = world.remote.commit("first")
    world.run()
    text = '[submodule "x"]\n\tpath = x\n\turl = https://git.example.org/x\n'
    (world.remote.place / "work" / ".gitmodules").write_text(text, encoding="utf-8")
    world.remote.commit("second")
    run = world.run()
    assert run.result == "refused" and ".gitmodules" in run.reason and world.good == first


def test_a_host_waits_for_its_turn_and_keeps_the_last_good_commit_in_order(world):
    first = world.remote.commit("first")
    world.run()
    number = pull_decide.bucket("nas")
    second = world.remote.commit("second")
    world.script.rollout = number
    run = world.run()
    assert (run.result, world.good) == ("waiting", first)
    assert str(number) in run.reason and {commit for _name, commit in world.steps} == {first}
    world.script.rollout = number + 1
    assert world.run().result == "good"
    assert world.good == second


def test_a_rollout_that_is_no_number_is_refused(world):
    world.remote.commit("first")
    world.script.rollout = "a few"
    assert "mediastack_gitops_rollout" in world.run().reason


def test_without_the_repository_the_last_good_commit_is_kept_in_order(world):
    world.remote.commit("first")
    world.run()
    os.rename(world.remote.place / "work", world.remote.place / "away")
    run = world.run()
    assert run.result == "good" and "cannot be fetched" in run.messages[0]
    assert names(world) == ["plan", "site", "status"]


def test_a_mirror_that_is_broken_is_made_anew(world):
    world.remote.commit("first")
    world.run()
    objects = os.path.join(world.place.mirror, "objects")
    for directory, _names, files in os.walk(objects):
        for name in files:
            path = os.path.join(directory, name)
            os.chmod(path, 0o600)
            with open(path, "w", encoding="utf-8"):
                pass
    second = world.remote.commit("second")
    assert world.run().result == "good"
    assert world.good == second


def test_old_checkouts_go(world):
    for text in ("first", "second", "third"):
        last = world.remote.commit(text)
        world.run()
    assert os.listdir(world.place.releases) == [last]


def test_a_checkout_that_somebody_changed_is_made_anew(world):
    first = world.remote.commit("first")
    world.run()
    path = os.path.join(world.place.release(first), "inventory.yml")
    with open(path, "w", encoding="utf-8") as handle:
        handle.write("evil")
    world.run()
    with open(path, encoding="utf-8") as handle:
        assert handle.read() == "first"


class Killed(BaseException):
    """kill -9: nothing of the run gets to tidy up."""


def kill_at(world, step, commit):
    def before(name, at):
        if (name, at) == (step, commit):
            raise Killed

    world.script.before = before
    with pytest.raises(Killed):
        world.run()
    world.script.before = lambda name, at: None


def leave_locks(world):
    """What a git that is killed leaves."""
    for path in (world.place.mirror + "/packed-refs.lock", world.place.mirror + "/refs/heads/main.lock"):
        with open(path, "w", encoding="utf-8"):
            pass


@pytest.mark.parametrize("step", ["site", "status"])
def test_a_run_that_was_cut_off_is_repaired_by_the_next(world, step):
    world.remote.commit("first")
    world.run()
    second = world.remote.commit("second")
    kill_at(world, step, second)
    leave_locks(world)
    os.makedirs(world.place.release("0" * 40) + ".tmp")
    run = world.run()
    assert run.result == "good" and "was cut off (apply" in run.messages[0]
    assert world.good == second and os.listdir(world.place.releases) == [second]
    assert not os.path.exists(world.place.journal)


def test_one_that_was_cut_off_on_its_way_back_goes_back_again(world):
    first = world.remote.commit("first")
    world.run()
    bad = world.remote.commit("bad")
    world.script.fails = {("site", bad): "not healthy"}
    kill_at(world, "site", first)
    assert world.run().result == "refused"
    assert world.steps == [("site", bad), ("site", first), ("status", first)]


def test_a_commit_that_cuts_every_run_off_is_refused_in_the_end(world):
    first = world.remote.commit("first")
    world.run()
    bad = world.remote.commit("bad")
    for _time in range(pull_decide.MOST_INTERRUPTED):
        kill_at(world, "site", bad)
    run = world.run()
    assert run.result == "refused" and "cut off" in run.reason
    assert {commit for _name, commit in world.steps} == {first}


def test_a_pause_ends_a_run_before_its_next_step(world):
    first = world.remote.commit("first")

    def pause(name, _commit):
        if name == "site":
            pathlib.Path(world.place.paused).write_text("{}", encoding="utf-8")

    world.script.before = pause
    with pytest.raises(pull_run.Paused):
        world.run()
    assert world.steps == [("site", first)]


def test_a_damaged_journal_is_none_and_a_damaged_state_says_what_to_do(world):
    world.remote.commit("first")
    world.run()
    with open(world.place.journal, "w", encoding="utf-8") as handle:
        handle.write("{")
    assert world.run().result == "good"
    with open(world.place.state, "w", encoding="utf-8") as handle:
        handle.write("{")
    with pytest.raises(Exception, match="restore it from a backup or move it away"):
        world.run()


def test_the_state_remembers_only_so_many_refused_commits(world):
    state = State(world.place)
    for number in range(50):
        state.refuse(f"{number:040d}", "bad", "one")
    with open(world.place.state, encoding="utf-8") as handle:
        assert len(json.load(handle)["refused"]) == 20


def gpg(home, *words):
    argv = [
        "gpg",
        "--homedir",
        str(home),
        "--batch",
        "--quiet",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
        *words,
    ]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(not shutil.which("gpg"), reason="gpg is not installed")
def test_a_commit_signed_with_gpg_is_taken_from_whom_the_settings_name(world):
    # Short names: there are sockets in them.
    homes = [pathlib.Path(tempfile.mkdtemp(prefix="gpg-")) for _number in range(2)]
    for home in homes:
        gpg(home, "--quick-generate-key", "me@example.org", "ed25519", "sign", "never")
    world.settings.update(allowed_signers=[], gpg_keys=[gpg(homes[1], "--armor", "--export")])
    mine = gpg(homes[0], "--armor", "--export")
    sign = ["-c", "gpg.format=openpgp", "-c", "user.signingkey=me@example.org"]
    os.environ["GNUPGHOME"] = str(homes[0])
    try:
        world.remote.git(
            *sign, "-C", str(world.remote.place / "work"), "commit", "-q", "--allow-empty", "-S", "-m", "x", there=False
        )
    finally:
        del os.environ["GNUPGHOME"]
        for home in homes:
            subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
            shutil.rmtree(home, ignore_errors=True)
    run = world.run()
    assert run.result == "refused" and "mediastack_gitops_gpg_keys" in run.reason
    world.settings.update(gpg_keys=[mine], digest="two")
    assert world.run().result == "good"
