# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is to blame where a pull run does not succeed: a commit, which is refused, or the host, which tries it again."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess

import pytest
from pull_world import quick, ssh_key

from ansible_collections.homelab.mediastack.plugins.module_utils import pull_git
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_place import PullError


@pytest.fixture
def world(tmp_path, monkeypatch):
    return quick(tmp_path, monkeypatch)


@contextlib.contextmanager
def ends_with(name, code, words):
    """A command of git that ends with a code and words of its own."""
    call = pull_git.Git._call

    def pretend(self, argv, seconds=60):
        if name in argv and "-e" not in argv:
            return subprocess.CompletedProcess(argv, code, "", words)
        return call(self, argv, seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pull_git.Git, "_call", pretend)
        yield


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("verify-commit", 124, "no answer within 120 s"),
        ("verify-commit", 1, "error: could not create temporary file: No space left on device"),
        ("verify-commit", 1, "error: cannot run ssh-keygen: Resource temporarily unavailable"),
        ("verify-commit", 1, "error: ssh-keygen died of signal 9"),
        ("verify-commit", -9, ""),
        ("cat-file", 124, "no answer within 120 s"),
        ("merge-base", 128, "fatal: unable to create thread: Resource temporarily unavailable"),
        ("merge-base", 124, "no answer within 120 s"),
    ],
)
def test_a_git_that_cannot_answer_blames_no_commit(world, name, code, words):
    world.remote.commit("first")
    world.run()
    second = world.remote.commit("second")
    with ends_with(name, code, words), pytest.raises(PullError, match="gave no answer"):
        world.run()
    assert world.run().result == "good"
    assert world.good == second


def test_a_temporary_directory_that_cannot_be_used_refuses_nothing(world, monkeypatch):
    world.remote.commit("first")
    monkeypatch.setenv("TMPDIR", "/nowhere")
    assert world.run().result == "good"


def test_the_last_good_commit_is_never_remembered_as_refused(world, tmp_path):
    first = world.remote.commit("first")
    world.run()
    mine, other = world.settings["allowed_signers"], [f"other@example.org {ssh_key(tmp_path / 'other')}"]
    world.settings["allowed_signers"] = other
    assert world.run().result == "refused"
    world.settings["allowed_signers"] = mine
    assert world.run().result == "good"
    assert world.good == first


def test_where_the_last_good_commit_fails_too_no_commit_is_to_blame(world):
    first = world.remote.commit("first")
    world.run()
    second = world.remote.commit("second")
    world.script.fails = {("site", second): "no", ("site", first): "no either"}
    run = world.run()
    assert run.result == "failed" and "no either" in run.reason
    world.script.fails = {}
    assert world.run().result == "good"
    assert world.good == second


@pytest.mark.parametrize(
    "reason",
    [
        "write /srv/mediastack: no space left on device",
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.",
        "1 of 2 images could not be pulled, so no service was touched: lscr.io/x (for x): lookup x: no such host",
        "another run works on /srv/mediastack/compose: site (anna, process 1 on laptop, since now)",
    ],
)
def test_what_the_host_or_the_network_is_to_blame_for_is_tried_again(world, reason):
    world.remote.commit("first")
    world.run()
    second = world.remote.commit("second")
    world.script.fails = {("site", second): reason}
    assert world.run().result == "failed"
    world.script.fails = {}
    assert world.run().result == "good"
    assert world.good == second


def test_what_an_app_says_of_itself_is_the_commits_fault(world):
    world.remote.commit("first")
    world.run()
    second = world.remote.commit("second")
    words = "1 of 2 services failed:\n  x crash loop: ended with code 137 (out of memory), restarted 3 times"
    world.script.fails = {("site", second): words}
    assert world.run().result == "refused"


def test_an_image_that_failed_with_one_commit_is_tried_again_with_the_next(world):
    (world.remote.place / "work" / "mediastack.lock.yml").write_text("schema: 1\n", encoding="utf-8")
    first = world.remote.commit("first")
    world.run()
    bad = world.remote.commit("bad")
    world.script.fails = {("update", bad): "1 of 1 services failed: x"}
    world.run()
    assert world.script.retried == [("site", bad), ("update", bad)]
    assert world.steps[2:] == [("site", first), ("update", first), ("status", first)]
    mended = world.remote.commit("mended")
    assert world.run().result == "good"
    assert world.script.retried == [("site", mended), ("update", mended)]
    # Put right, not tried anew.
    world.run()
    assert world.script.retried == []


def test_what_failed_its_gate_is_not_tried_again_with_the_same_commit_unless_asked_for(world):
    first = world.remote.commit("first")
    world.run()
    bad = world.remote.commit("bad")
    world.script.fails = {("site", bad): "no", ("site", first): "no either"}
    assert world.run().result == "failed" and world.script.retried == [("site", bad)]
    assert world.run().result == "failed" and world.script.retried == []
    world.run(retry=True)
    assert ("site", bad) in world.script.retried


def test_while_somebody_else_is_at_work_nothing_is_run_in_vain(world):
    world.remote.commit("first")
    world.run()
    second = world.remote.commit("second")
    world.script.fails = {("site", second): "another run works on /srv/x: site (anna)"}
    assert world.run().result == "failed"
    assert world.steps == [("site", second)]


def test_an_inventory_that_cannot_be_read_is_refused_before_anything_is_run(world):
    first = world.remote.commit("first")
    world.run()
    bad = world.remote.commit("bad")
    world.script.unreadable = {bad: "its inventory cannot be read"}
    run = world.run()
    assert run.result == "refused" and {commit for _name, commit in world.steps} == {first}


@pytest.mark.parametrize("words", ["Decryption failed (no vault secrets were found)", "ended with 250"])
def test_an_inventory_that_cannot_be_read_of_the_last_good_commit_either_blames_none(world, words):
    first = world.remote.commit("first")
    world.run()
    second = world.remote.commit("second")
    world.script.unreadable = {first: words, second: words}
    with pytest.raises(PullError, match="last good commit fails as well"):
        world.run()
    world.script.unreadable = {}
    assert world.run().result == "good"
    assert world.good == second


def test_an_inventory_that_the_host_cannot_read_blames_no_commit(world):
    world.remote.commit("first")
    world.run()
    second = world.remote.commit("second")
    world.script.unreadable = {second: "OSError: [Errno 28] No space left on device"}
    with pytest.raises(PullError, match="No space"):
        world.run()
    world.script.unreadable = {}
    assert world.run().result == "good"


def test_the_very_first_inventory_that_cannot_be_read_is_tried_again(world):
    first = world.remote.commit("first")
    world.script.unreadable = {first: "Decryption failed"}
    with pytest.raises(PullError, match="nothing|no last good commit"):
        world.run()
    world.script.unreadable = {}
    assert world.run().result == "good"


def test_nobody_goes_back_to_a_commit_whose_key_was_withdrawn(world, tmp_path):
    first = world.remote.commit("first")
    world.run()
    ssh_key(tmp_path / "other")
    bad = world.remote.commit("bad", key=tmp_path / "other")
    public = (tmp_path / "other.pub").read_text(encoding="utf-8").strip()
    world.settings.update(allowed_signers=[f"other@example.org {public}"], digest="two")
    world.script.fails = {("site", bad): "no"}
    run = world.run()
    assert run.result == "refused" and "counts no more" in run.reason
    assert world.steps == [("site", bad)] and world.good == first


@pytest.mark.parametrize(("code", "words", "kept"), [(124, "", True), (-9, "", True), (2, "missing blob", False)])
def test_a_mirror_is_made_anew_only_for_damage_that_was_found(world, code, words, kept):
    world.remote.commit("first")
    world.run()
    mark = pathlib.Path(world.place.mirror, "mark")
    mark.touch()
    os.rename(world.remote.place / "work", world.remote.place / "away")
    # Made anew without a repository to fetch, the mirror has no commit.
    with ends_with("fsck", code, words), contextlib.suppress(PullError):
        world.run()
    assert mark.exists() == kept


def test_a_loose_secret_stops_the_run_and_blames_no_commit(world, tmp_path):
    commit = world.remote.commit("first")
    secret = tmp_path / "password"
    secret.write_text("secret")
    secret.chmod(0o644)
    world.settings["vault_password_file"] = str(secret)
    with pytest.raises(PullError, match="chmod 600"):
        world.run()
    secret.chmod(0o600)
    world.run()
    assert world.good == commit
