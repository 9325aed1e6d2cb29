# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run lock: one at a time, and everybody can read who."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import run_lock
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import LockError, RunLock


def lock(path, **more):
    made = RunLock(str(path), "compose_stack state=present", **dict({"timeout": 0}, **more))
    made.make_place()
    return made


def test_no_place_before_the_first_run(tmp_path):
    made = RunLock(str(tmp_path / "compose"), "x", 0)
    assert not made.possible and not (tmp_path / "compose").exists()
    made.make_place()
    assert made.possible
    assert os.stat(tmp_path / "compose" / ".mediastack").st_mode & 0o777 == 0o700


def test_record_while_held_and_after(tmp_path):
    with lock(tmp_path):
        record = json.loads((tmp_path / ".mediastack" / "run.json").read_text())
        assert record["pid"] == os.getpid() and record["finished"] is None
        assert set(record) >= {"who", "pid", "host", "started", "what"}
        assert os.stat(tmp_path / ".mediastack" / "run.json").st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / ".mediastack" / "run.json").read_text())["finished"]


def test_second_one_names_the_holder(tmp_path):
    with lock(tmp_path), pytest.raises(LockError) as caught, lock(tmp_path):
        pass
    assert f"process {os.getpid()} on " in str(caught.value)
    assert "compose_stack state=present" in str(caught.value) and "lock_timeout" in str(caught.value)


def test_waits_for_the_holder(tmp_path):
    holder = lock(tmp_path)
    holder.__enter__()
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            holder.__exit__(None, None, None)

    with lock(tmp_path, timeout=60, sleep=sleep) as second:
        assert second.waited and len(slept) == 3
        assert not second.interrupted


def test_those_who_only_look_share_it(tmp_path):
    both = lock(tmp_path, shared=True), lock(tmp_path, shared=True)
    with both[0], both[1], pytest.raises(LockError, match="only looks"), lock(tmp_path):
        pass
    with lock(tmp_path), pytest.raises(LockError, match=str(os.getpid())), lock(tmp_path, shared=True):
        pass


def test_interrupted_run_is_known(tmp_path):
    with lock(tmp_path):
        pass
    record = tmp_path / ".mediastack" / "run.json"
    record.write_text(json.dumps(dict(json.loads(record.read_text()), finished=None)))
    with lock(tmp_path) as after:
        assert after.interrupted
    with lock(tmp_path) as after:
        assert not after.interrupted


def test_the_child_keeps_the_lock(tmp_path):
    """A killed run stays locked until the command that it started has ended."""
    held = lock(tmp_path)
    held.__enter__()
    child = subprocess.Popen(["sleep", "60"], pass_fds=(held.descriptor,))
    held._close()
    try:
        with pytest.raises(LockError), lock(tmp_path):
            pass
    finally:
        child.kill()
        child.wait()
    with lock(tmp_path):
        pass


def test_a_dead_holder_is_told_from_a_live_one():
    child = subprocess.Popen(["true"])
    child.wait()
    record = dict(run_lock.describe_run("x"), pid=child.pid)
    assert "a docker command that it started still runs" in run_lock.describe_wait("/srv/x", record, 1)
    assert "still runs" not in run_lock.describe_wait("/srv/x", run_lock.describe_run("x"), 1)


@pytest.mark.parametrize("text", ["", "{", "[]", "7"])
def test_unreadable_record_does_not_stop_a_run(tmp_path, text):
    made = lock(tmp_path)
    (tmp_path / ".mediastack" / "run.json").write_text(text)
    with made:
        assert not made.interrupted


def test_no_permission_names_the_remedy(tmp_path, monkeypatch):
    made = lock(tmp_path)

    def refuse(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(run_lock.os, "open", refuse)
    with pytest.raises(LockError, match="become: true"), made:
        pass
