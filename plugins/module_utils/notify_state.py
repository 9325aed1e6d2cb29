# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a host, and which channel was told of it: `<project>/.mediastack/notify.json`.

It lies on the host, so that every controller, pipeline and pull mode that looks after it tells a thing once between
them. `{schema, present: {key: condition}, events: [event], channels: {id: {told, events, claims, used}}}`:

* `present`: what is wrong now, `{event, severity, mark, title, words, since}`. Another `mark` is another trouble.
* `events`: what happened and is over (an update), `{id, event, severity, title, words, when}`.
* `channels`: for each address by its id (a hash; the address itself never comes here) what it was told. `claims` are
  what somebody is sending at this moment, so that two controllers at once do not both send it.

Whatever a channel was not told yet is due at the next run, of whatever kind: a notification server that was down, or a
run that was killed, loses nothing. The controller uses the same for hosts that it cannot reach.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import fcntl
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError

SCHEMA = 1
FILE = "notify.json"
LOCK_FILE = "notify.lock"
#: Kinds of things that are told, as in `mediastack_notify_events`.
EVENTS = ("unhealthy", "vpn", "leak", "update", "disk", "drift", "backup", "pull")
NEW, CHANGED, RECOVERED, HAPPENED = "new", "changed", "recovered", "happened"
#: Seconds after which what somebody was sending counts as not sent: longer than any sending takes.
CLAIM_SECONDS = 120
#: Days for which a channel that nobody uses any more is remembered.
CHANNEL_DAYS = 90
#: How many events are kept for channels that could not be reached.
EVENTS_KEPT = 20


def empty():
    """A record in which nothing is known."""
    return {"schema": SCHEMA, "present": {}, "events": [], "channels": {}}


def sound(record):
    """`record`, or an empty one where it is damaged or of another version."""
    right = (
        isinstance(record, dict)
        and record.get("schema") == SCHEMA
        and isinstance(record.get("present"), dict)
        and isinstance(record.get("events"), list)
        and isinstance(record.get("channels"), dict)
    )
    return record if right else empty()


def compare(record, findings, channels, only, token, now):
    """Take over what a run found, and say what each channel is to be told.

    Parameters:
        record: of this module; it is not changed.
        findings: `{bad, good, quiet, gone, keep, events}`, all optional. `bad`: key → `{event, severity, mark, title,
            words}`, and `deep` where an app said so. `good`: key → severities that this look can clear, of what no app
            said; empty for all. `quiet`: keys that are forgotten
            without a word. `gone`: beginnings of keys; what begins so and stands in none of the others is forgotten
            too. `keep`: keys of which nothing is known.
        channels: ids.
        only: kinds of events that are told.
        token: of this run, for its claims.
        now: a datetime in UTC.
    Returns:
        `(record, due)`, `due`: channel → list of `{what, key, mark, …}`; channels with nothing to tell are left out.
    """
    record = copy.deepcopy(record)
    known_events = [one["id"] for one in record["events"]]
    _take_over(record, findings, now)
    due = {}
    for channel in channels:
        entry = record["channels"].get(channel)
        if entry is None:
            # What happened before anybody knew this channel is no news for it; what is wrong now is.
            entry = record["channels"][channel] = {"told": {}, "events": known_events, "claims": {}, "used": _text(now)}
        if now - _moment(entry["used"]) > datetime.timedelta(days=1):
            entry["used"] = _text(now)
        found = [one for one in _differences(record, entry) if one["event"] in only]
        claims = entry["claims"]
        found = [one for one in found if not _is_claimed(claims.get(one["key"]), token, now)]
        for one in found:
            claims[one["key"]] = {
                "token": token,
                "until": _text(now + datetime.timedelta(seconds=CLAIM_SECONDS)),
            }
        if found:
            due[channel] = found
    _prune(record, now)
    return record, due


def commit(record, outcomes, token):
    """Write down what was sent, and let go of the claims of this run.

    Parameters:
        record: of this module; it is not changed.
        outcomes: channel → what of `due` it was told, as `compare` gave it; an empty list where nothing came through.
        token: of the run.
    Returns:
        The record.
    """
    record = copy.deepcopy(record)
    for channel, told in outcomes.items():
        entry = record["channels"].get(channel)
        if entry is None:
            continue
        for one in told:
            if one["what"] == HAPPENED:
                entry["events"] = [*entry["events"], one["key"]]
            elif one["what"] == RECOVERED:
                entry["told"].pop(one["key"], None)
            else:
                entry["told"][one["key"]] = {name: one[name] for name in ("mark", "event", "title", "since")}
    for entry in record["channels"].values():
        entry["claims"] = {key: claim for key, claim in entry["claims"].items() if claim["token"] != token}
        kept = [one["id"] for one in record["events"]]
        entry["events"] = [one for one in kept if one in entry["events"]]
    return record


def _take_over(record, findings, now):
    present = record["present"]
    bad = findings.get("bad") or {}
    for key, condition in bad.items():
        before = present.get(key)
        present[key] = dict(condition, since=before["since"] if before else _text(now))
    good, keep = findings.get("good") or {}, set(findings.get("keep") or [])
    for key, severities in good.items():
        known = present.get(key)
        if known and key not in bad and (not severities or (known["severity"] in severities and not known.get("deep"))):
            del present[key]
    told = {key for entry in record["channels"].values() for key in entry["told"]}
    beginnings = tuple(findings.get("gone") or [])
    spoken_of = {*bad, *good, *keep}
    gone = {key for key in {*present, *told} if beginnings and key.startswith(beginnings)} - spoken_of
    for key in {*gone, *(findings.get("quiet") or [])}:
        present.pop(key, None)
        for entry in record["channels"].values():
            entry["told"].pop(key, None)
    known = {one["id"] for one in record["events"]}
    new = [dict(one, when=_text(now)) for one in findings.get("events") or [] if one["id"] not in known]
    record["events"] = [*record["events"], *new][-EVENTS_KEPT:]


def _differences(record, entry):
    """What a channel does not know yet: news first, then what is over."""
    found = []
    for key, one in record["present"].items():
        told = entry["told"].get(key)
        if told is None or told["mark"] != one["mark"]:
            found.append(dict(one, key=key, what=NEW if told is None else CHANGED))
    for one in record["events"]:
        if one["id"] not in entry["events"]:
            found.append(dict(one, key=one["id"], what=HAPPENED, mark="", since=one["when"]))
    for key, told in entry["told"].items():
        if key not in record["present"]:
            found.append(dict(told, key=key, what=RECOVERED, severity="success", words=""))
    return found


def _is_claimed(claim, token, now):
    return bool(claim) and claim["token"] != token and _moment(claim["until"]) > now


def _prune(record, now):
    longest = datetime.timedelta(days=CHANNEL_DAYS)
    record["channels"] = {
        name: entry for name, entry in record["channels"].items() if now - _moment(entry["used"]) <= longest
    }


def _text(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)


class Store:
    """The record in a directory, changed under a lock of its own: it is held for the length of one write."""

    def __init__(self, directory, name=FILE, check=False):
        """`check`: read only."""
        self._directory, self._name, self._check = directory, name, check

    @property
    def path(self):
        """Where it is."""
        return os.path.join(self._directory, self._name)

    def compare(self, findings, channels, only, token):
        """As the function; returns `due`. FileError."""
        with self._locked():
            record = self._read()
            now = datetime.datetime.now(datetime.timezone.utc)
            changed, due = self._tried(record, lambda known: compare(known, findings, channels, only, token, now))
            self._write(record, changed)
        return due

    def commit(self, outcomes, token):
        """As the function. FileError."""
        with self._locked():
            record = self._read()
            self._write(record, commit(record, outcomes, token))

    @staticmethod
    def _tried(record, work):
        # What is damaged in a way that nobody foresaw must not end every run from now on.
        try:
            return work(record)
        except (AttributeError, KeyError, TypeError, ValueError):
            return work(empty())

    def _read(self):
        try:
            return sound(atomic_files.read_json(self.path, empty()))
        except FileError:
            return empty()

    def _write(self, before, after):
        if after != before and not self._check:
            atomic_files.write_json(self.path, after)

    @contextlib.contextmanager
    def _locked(self):
        if self._check:
            yield
            return
        path = os.path.join(self._directory, LOCK_FILE)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FileError("cannot open %s: %s" % (path, atomic_files.reason(error))) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            # The lock ends with the descriptor.
            os.close(descriptor)
