# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order of a rotation, and what becomes of one that fails or is interrupted: the store and the journal as files."""

from __future__ import annotations

import json
import os
import stat
import types

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import acting, rotate_run, rotation, secret_store
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import Plan
from ansible_collections.homelab.mediastack.plugins.module_utils.engine_state import Project
from ansible_collections.homelab.mediastack.plugins.module_utils.rendered import Rendered
from ansible_collections.homelab.mediastack.plugins.module_utils.rotate_doors import DoorError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Request, StackError

BUNDLE = {
    "project": {"name": "stack", "path": ""},
    "secrets": {"sonarr_api_key": {"value": None, "generate": {"kind": "hex", "length": 32}}},
    "services": {},
}
OLD, NEW = "0" * 32, "1" * 32


class Source:
    """As stack_sources.Bundled, as far as a rotation touches it."""

    project_name, rendered, turn = "stack", None, None

    def __init__(self, *_words):
        pass


@pytest.fixture
def place(tmp_path):
    """A project whose store has one secret, and what else has become of it."""
    store = secret_store.SecretStore(str(tmp_path))
    store.pending["sonarr_api_key"] = OLD
    store.save()
    return tmp_path


def stored(place):
    return json.loads((place / ".mediastack" / "secrets.json").read_text())["secrets"]["sonarr_api_key"]


def entry(step=rotation.APPLYING):
    return {
        "id": "t1",
        "who": "anna@laptop",
        "started": "2026-11-23T22:00:00Z",
        "step": step,
        "secrets": {"sonarr_api_key": {"old": OLD, "new": NEW}},
    }


def make(place, monkeypatch, applied):
    """A Rotate whose work on containers is only written down: (from, to)."""
    made = rotate_run.Rotate(Request("rotated", str(place), bundle=BUNDLE), None, Source())
    monkeypatch.setattr(rotate_run.Rotate, "apply", lambda _self, _entry, to, was: applied.append((was, to)))
    return made


def audit(place):
    lines = (place / ".mediastack" / "audit.log").read_text().splitlines()
    return [(line["verb"], line["result"], line["secrets"]) for line in map(json.loads, lines)]


def test_both_values_are_kept_for_root_alone_until_it_is_over(place):
    rotation.write(str(place), entry())
    mode = os.stat(rotation.path_of(str(place)))
    assert stat.S_IMODE(mode.st_mode) == 0o600
    assert rotation.values(rotation.read(str(place)), "new") == {"sonarr_api_key": NEW}


def test_what_is_proven_is_kept_and_the_journal_goes(place, monkeypatch):
    run = make(place, monkeypatch, [])
    run.commit(entry())
    assert stored(place) == NEW and rotation.read(str(place)) is None
    assert audit(place) == [("rotate", "rotated", ["sonarr_api_key"])]
    assert NEW not in (place / ".mediastack" / "audit.log").read_text()


def test_a_failure_puts_everything_back_and_says_why(place, monkeypatch):
    applied = []
    run = make(place, monkeypatch, applied)
    with pytest.raises(StackError, match=r"the old sonarr_api_key still opens sonarr\nEverything is as it was before"):
        run.put_back(entry(), DoorError("the old sonarr_api_key still opens sonarr"))
    assert applied == [("new", "old")] and stored(place) == OLD and rotation.read(str(place)) is None
    assert audit(place) == [("rotate", "taken back", ["sonarr_api_key"])]


def test_where_the_way_back_fails_the_journal_stays_for_the_next_run(place, monkeypatch):
    run = make(place, monkeypatch, [])

    def fails(*_words):
        raise StackError("no room")

    monkeypatch.setattr(rotate_run.Rotate, "apply", fails)
    with pytest.raises(StackError, match="The way back did not succeed either: no room"):
        run.put_back(entry(), DoorError("first"))
    assert rotation.read(str(place))["step"] == rotation.TAKING_BACK and stored(place) == OLD


@pytest.mark.parametrize("step", [rotation.APPLYING, rotation.TAKING_BACK, rotation.PROVEN])
def test_the_next_run_takes_back_what_was_not_proven_and_finishes_what_was(place, monkeypatch, step):
    applied = []
    make(place, monkeypatch, applied)
    rotation.write(str(place), entry(step))
    run = types.SimpleNamespace(
        request=Request("present", str(place), bundle=BUNDLE),
        docker=None,
        source=Source(),
        acting=acting,
        path=str(place),
        messages=[],
        actions=[],
        changed=False,
        touched=False,
    )
    rotate_run.resume(run, rotation.read(str(place)))
    proven = step == rotation.PROVEN
    assert applied == ([] if proven else [("new", "old")])
    assert stored(place) == (NEW if proven else OLD) and rotation.read(str(place)) is None
    assert ("finished" if proven else "taken back") in run.messages[0] and run.changed


def test_new_values_are_as_long_as_the_old_ones_and_others():
    made = rotation.fresh(BUNDLE["secrets"], {"sonarr_api_key": OLD})
    assert len(made["sonarr_api_key"]) == 32 and made["sonarr_api_key"] != OLD


# -- all of it, with files for an app and without containers -----------------------------------------------------------


class Whole(rotate_run.Rotate):
    """A rotation of one app, which is its configuration file: what stands there opens it."""

    stubborn = False

    def look(self):
        self.project, self.plan, self.wanted = Project("stack", self.path, []), Plan(), {}
        self.supply = types.SimpleNamespace(name_images=lambda names: list(names), digests=dict)
        self.source.rendered = Rendered(self.request.bundle, self.request.check, ["sonarr"], turn=self.source.turn)

    def check_host(self):
        pass

    def converge(self, plan, while_stopped=None, edited=()):
        if while_stopped:
            while_stopped()

    def opens(self, asked, door, value):
        if self.stubborn and value == self.first:
            return True
        with open(self.source.rendered._bundle["presets"][0]["path"]) as stream:
            return value in stream.read()


@pytest.fixture
def whole(tmp_path):
    project, config = tmp_path / "compose", tmp_path / "config.xml"
    ids = {"owner": os.geteuid(), "group": os.getegid()}
    token = "@@mediastack:secret:sonarr_api_key@@"
    key = {"key": ["Config", "ApiKey"], "value": token, "replace": None}
    content = f"<Config>\n  <ApiKey>{token}</ApiKey>\n</Config>\n"
    bundle = {
        **BUNDLE,
        "project": {"name": "stack", "path": str(project)},
        "bind_addresses": ["127.0.0.1"],
        "directories": [{"path": str(path), "mode": "0700", **ids} for path in (project, project / "secrets")],
        "files": [
            {"path": str(project / "secrets" / "user"), "content": token, "mode": "0400", "secret": True, **ids},
        ],
        "presets": [
            {"service": "sonarr", "path": str(config), "format": "xml", "content": content, "keys": [key], **ids}
        ],
        "services": {
            "sonarr": {
                "title": "Sonarr",
                "image": "sonarr:1",
                "wiring": {"kind": "servarr"},
                "tokens": [],
                "ports": [],
                "inputs": [],
                "config_hash": "",
            }
        },
        "extra_compose_files": [],
        "boot_repair": "false",
        "backup": {"timer": "false"},
    }

    def make(check=False, stubborn=False):
        source = Source()
        source.project_name = "stack"
        request = Request(
            "rotated", str(project), bundle=bundle, check=check, change=rotate_run.Ask(["sonarr_api_key"])
        )
        run = Whole(request, None, source)
        run.acting, run.stubborn = acting, stubborn
        return run

    (project / "secrets").mkdir(parents=True)
    for path in (project, project / "secrets"):
        path.chmod(0o700)
    first = make()
    first.look()
    first.source.rendered.write()
    first.source.rendered.write_presets()
    return make, project, config


def held(project, config):
    """What is stored, what the app has, and what its user has."""
    stored = json.loads((project / ".mediastack" / "secrets.json").read_text())["secrets"]["sonarr_api_key"]
    return stored, config.read_text().split("<ApiKey>")[1].split("<")[0], (project / "secrets" / "user").read_text()


def test_the_store_the_app_and_its_user_change_together(whole):
    make, project, config = whole
    before = set(held(project, config))
    run = make()
    run.work(None)
    after = set(held(project, config))
    assert len(before) == len(after) == 1 and before != after
    result = run.result()
    assert result["rotated"] == ["sonarr_api_key"] and result["unproven"] == []
    assert "rotate sonarr_api_key" in result["actions"] and result["changed"]
    assert not any(value in json.dumps(result) for value in (*before, *after))
    assert rotation.read(str(project)) is None


def test_an_old_value_that_still_opens_the_app_takes_everything_back(whole):
    make, project, config = whole
    before = held(project, config)
    run = make(stubborn=True)
    run.first = before[0]
    with pytest.raises(StackError, match="the old sonarr_api_key still opens sonarr") as caught:
        run.work(None)
    assert before[0] not in str(caught.value)
    assert held(project, config) == before and rotation.read(str(project)) is None


def test_check_mode_predicts_with_masks_and_writes_nothing(whole):
    make, project, config = whole
    before = held(project, config)
    run = make(check=True)
    run.work(None)
    result = run.result()
    assert held(project, config) == before and not (project / ".mediastack" / "rotation.json").exists()
    assert sorted(result["files"]) == sorted([str(project / "secrets" / "user"), str(config)])
    assert before[0] not in json.dumps(result) and "********" in json.dumps(result["diff"])


def test_what_somebody_changed_in_the_app_stays_his(whole):
    make, project, config = whole
    run = make()
    run.opens = lambda _asked, _door, _value: False
    with pytest.raises(
        StackError, match="Nothing was touched: sonarr_api_key does not open sonarr: somebody has changed"
    ):
        run.work(None)
    assert len(set(held(project, config))) == 1 and not run.touched


def test_other_work_comes_first(whole):
    make, project, config = whole
    config.write_text(
        config.read_text().replace("<Config>", "<Config>\n  <Port>1</Port>").replace("</ApiKey>", "x</ApiKey>")
    )
    with pytest.raises(StackError, match="there is something to do here first .*config.xml.* Run site"):
        make().work(None)
