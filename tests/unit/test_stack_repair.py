# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A repair as a run: what it leaves on the disk, whom it keeps out, and the file that a converge writes for it."""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from test_engine_state import RECORDED
from test_project_files import Stack

from ansible_collections.homelab.mediastack.plugins.module_utils import stack, stack_repair
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Completed
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import RunLock
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Request
from ansible_collections.homelab.mediastack.plugins.plugin_utils.setting_types import CastError, cast

EARLIER = {
    "what": "compose_stack state=present",
    "who": "anna",
    "pid": 1,
    "host": "x",
    "started": "s",
    "finished": None,
}


class Engine:
    """Recorded containers, for looking at only."""

    inherit = ()

    def __init__(self, name, path):
        self.raw = json.loads((RECORDED / f"{name}.json").read_text())
        self.calls, self.inherited = [], []
        for one in self.raw:
            one["Config"]["Labels"]["com.docker.compose.project.working_dir"] = str(path)

    def run(self, *arguments, **_options):
        self.calls.append(arguments[0])
        self.inherited.append(len(self.inherit))
        assert arguments[0] in ("ps", "inspect"), arguments
        if arguments[0] == "ps":
            return Completed(0, "\n".join(one["Id"] for one in self.raw), "")
        return Completed(0, json.dumps(self.raw), "")


@pytest.fixture
def place(tmp_path):
    (tmp_path / ".mediastack").mkdir(mode=0o700)
    (tmp_path / ".mediastack" / "run.json").write_text(json.dumps(EARLIER))
    (tmp_path / ".mediastack" / "run.lock").write_text("")
    return tmp_path


def repair(place, state="well", **more):
    engine = Engine(state, place)
    request = Request(
        "repaired", str(place), "media", wait=False, lock_timeout=0.1, remove_orphans=False, **{"check": False, **more}
    )
    return (*stack.run(request, engine, stack_repair.Repaired), engine)


def snapshot(place):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in place.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("state", "check"), [("well", False), ("well", True), ("gluetun_restarted", True)])
def test_two_looks_at_the_engine_and_no_trace_on_the_disk(place, state, check):
    before = snapshot(place)
    result, error, engine = repair(place, state, check=check)
    assert error is None and result["changed"] == (state != "well")
    assert engine.calls == ["ps", "inspect"] and engine.inherited == [1, 1] and engine.inherit == ()
    assert snapshot(place) == before


def test_those_who_look_do_not_keep_it_out_and_those_who_work_do(place):
    with RunLock(str(place), "status", 1, shared=True):
        assert repair(place)[1] is None
    with RunLock(str(place), "compose_stack state=present", 1):
        error = repair(place)[1]
    assert error.startswith(f"another run works on {place}: compose_stack state=present (")


@pytest.mark.parametrize("keeps", [True, False])
def test_the_record_of_an_interrupted_run_outlives_a_repair(place, keeps):
    with RunLock(str(place), "mediastack-repair", 1) as lock:
        lock.keeps_earlier = keeps
        assert json.loads((place / ".mediastack" / "run.json").read_text())["what"] == "mediastack-repair"
    after = json.loads((place / ".mediastack" / "run.json").read_text())
    assert (after == EARLIER) == keeps
    with RunLock(str(place), "compose_stack state=present", 1) as lock:
        assert lock.interrupted == keeps


def test_no_stack(tmp_path):
    result, error, engine = repair(tmp_path)
    assert error == f"there is no stack in {tmp_path}: run site, which makes it"
    assert engine.calls == [] and not result["changed"] and list(tmp_path.iterdir()) == []


# -- the file --------------------------------------------------------------------------------------------------------


def packed(data):
    return base64.b64encode(zlib.compress(data)).decode()


def test_a_file_that_is_no_text_is_written_as_it_is_and_shown_by_its_size(tmp_path):
    project = Stack(tmp_path)
    data = b"#!/x\n\x00\xff@@mediastack:secret:pw@@"
    path = project.file("bin/program", packed(data), mode="0755", encoding="zlib")
    changes = project.plan()
    shown = next(change for change in changes if change["path"] == str(path))
    assert shown["after"].startswith(f"{len(data)} bytes, sha256 ") and shown["before"] == ""
    project.run()
    assert path.read_bytes() == data and path.stat().st_mode & 0o777 == 0o755
    # Another compression of the same bytes is no change.
    level = base64.b64encode(zlib.compress(data, 0)).decode()
    project.file("bin/program", level, mode="0755", encoding="zlib")
    assert project.plan() == []


# -- the setting -----------------------------------------------------------------------------------------------------

OPTION = {"type": "str", "choices": ["auto", "true", "false"]}


@pytest.mark.parametrize(("value", "expected"), [(True, "true"), (False, "false"), ("true", "true"), ("auto", "auto")])
def test_true_and_false_need_no_quotes_where_they_are_choices(value, expected):
    assert cast(value, OPTION) == expected


@pytest.mark.parametrize(("value", "option"), [("yes", OPTION), (1, OPTION), (True, {"type": "str"})])
def test_other_texts_stay_as_strict_as_they_were(value, option):
    with pytest.raises(CastError):
        cast(value, option)
