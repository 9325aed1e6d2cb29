# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's channels were told: once per change, by whichever controller, whatever was down meanwhile."""

from __future__ import annotations

import datetime
import json

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import notify_state as state

NOW = datetime.datetime(2026, 11, 23, 3, 0, tzinfo=datetime.UTC)
KEY = "unhealthy/sonarr"


def bad(mark="failure", key=KEY, severity="failure", words="stopped"):
    return {"bad": {key: {"event": "unhealthy", "severity": severity, "mark": mark, "title": "Sonarr", "words": words}}}


def good(*severities, key=KEY):
    return {"good": {key: list(severities)}}


class Host:
    """A record, and controllers that come by."""

    def __init__(self):
        self.record, self.now, self._turn = state.empty(), NOW, 0

    def look(self, findings, channels=("a",), only=state.EVENTS, send=True, minutes=5):
        """`{channel: [what]}` that a run sends; *send*: whether it comes through."""
        self._turn += 1
        self.now += datetime.timedelta(minutes=minutes)
        token = str(self._turn)
        self.record, due = state.compare(self.record, findings, channels, only, token, self.now)
        if send is not None:
            self.record = state.commit(self.record, {name: due[name] if send else [] for name in due}, token)
        return {name: [one["what"] for one in changes] for name, changes in due.items()}


@pytest.fixture
def host():
    return Host()


def test_the_same_trouble_is_told_once_and_its_end_once(host):
    assert host.look(bad()) == {"a": ["new"]}
    assert host.look(bad(words="stopped, 3 of 4")) == {}
    assert host.look(good()) == {"a": ["recovered"]}
    assert host.look(good()) == {}
    assert host.look(bad()) == {"a": ["new"]}


def test_another_trouble_is_told_and_keeps_its_beginning(host):
    host.look(bad())
    since = host.record["present"][KEY]["since"]
    assert host.look(bad(mark="other")) == {"a": ["changed"]}
    assert host.record["present"][KEY]["since"] == since


def test_what_is_not_known_is_neither_bad_nor_over(host):
    host.look(bad())
    assert host.look({"keep": [KEY], "gone": ["unhealthy/"]}) == {}
    assert KEY in host.record["present"]
    # A run that looks at other things says nothing about it.
    assert host.look(good(key="disk/media")) == {}


def test_a_look_clears_only_what_it_can_see(host):
    host.look(bad(mark="warning", severity="warning"))
    assert host.look(good("failure")) == {}
    assert host.look(good()) == {"a": ["recovered"]}


def test_what_is_gone_or_done_on_purpose_is_forgotten_without_a_word(host):
    host.look(bad())
    assert host.look({"gone": ["unhealthy/"]}) == {}
    assert host.look(good()) == {}
    host.look(bad())
    assert host.look({"quiet": [KEY]}) == {}
    assert host.record["present"] == {} and host.record["channels"]["a"]["told"] == {}


def test_what_did_not_come_through_is_told_by_the_next_run_of_any_kind(host):
    assert host.look(bad(), send=False) == {"a": ["new"]}
    assert host.look({}) == {"a": ["new"]}
    assert host.look({}) == {}


def test_what_began_and_ended_while_a_channel_was_down_is_not_told(host):
    host.look(bad(), send=False)
    assert host.look(good()) == {}


def test_each_channel_is_told_by_itself(host):
    host.look(bad(), channels=("a",))
    assert host.look(bad(), channels=("a", "b")) == {"b": ["new"]}
    assert host.look(good(), channels=("a", "b")) == {"a": ["recovered"], "b": ["recovered"]}


def test_an_event_is_told_once_and_waits_for_a_channel_that_is_down(host):
    host.look({})
    event = {"events": [{"id": "update/1", "event": "update", "severity": "success", "title": "done", "words": "x"}]}
    assert host.look(event, send=False) == {"a": ["happened"]}
    assert host.look({}) == {"a": ["happened"]}
    assert host.look(event) == {}
    # A channel that was not there then does not hear of it.
    assert host.look({}, channels=("new",)) == {}


def test_the_first_event_reaches_a_channel_that_was_never_used(host):
    event = {"events": [{"id": "update/1", "event": "update", "severity": "success", "title": "done", "words": "x"}]}
    assert host.look(event) == {"a": ["happened"]}


def test_only_what_is_asked_for_is_told(host):
    assert host.look(bad(), only=["vpn"]) == {}
    assert host.look(bad(), only=["unhealthy"]) == {"a": ["new"]}


def test_two_controllers_at_once_tell_it_once_and_a_killed_one_not_never(host):
    assert host.look(bad(), send=None, minutes=0) == {"a": ["new"]}
    assert host.look(bad(), minutes=1) == {}
    # The first was killed before it could say that it had sent.
    assert host.look(bad(), minutes=2) == {"a": ["new"]}


def test_a_channel_that_nobody_uses_is_forgotten(host):
    host.look(bad(), channels=("old",))
    host.look(bad(), channels=("new",), minutes=60 * 24 * 91)
    assert set(host.record["channels"]) == {"new"}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": 2}', '{"schema": 1, "present": {"x": 1}, "events": [], "channels": {"a": 1}}']
)
def test_a_damaged_record_begins_anew(tmp_path, text):
    (tmp_path / state.FILE).write_text(text)
    store = state.Store(str(tmp_path))
    [due] = store.compare(bad(), ["a"], state.EVENTS, "t")["a"]
    assert due["key"] == KEY
    store.commit({"a": [due]}, "t")
    assert store.compare(bad(), ["a"], state.EVENTS, "t") == {}


def test_the_record_is_for_its_owner_only_and_written_only_when_something_changed(tmp_path):
    store = state.Store(str(tmp_path))
    store.compare(bad(), ["a"], state.EVENTS, "t")
    path = tmp_path / state.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    store.commit({"a": []}, "t")
    before = path.stat()
    store.compare({}, [], state.EVENTS, "t")
    assert path.stat().st_ino == before.st_ino
    assert json.loads(path.read_text())["schema"] == 1


def test_check_mode_writes_nothing(tmp_path):
    assert state.Store(str(tmp_path), check=True).compare(bad(), ["a"], state.EVENTS, "t")["a"]
    assert list(tmp_path.iterdir()) == []
