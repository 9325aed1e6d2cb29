# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parts of pull mode that only think: rollout, reasons, reports, news, files of secrets, the command line."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import http.server
import io
import json
import os
import pathlib
import re
import subprocess
import threading

import pytest
import yaml

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    pull_cli,
    pull_decide,
    pull_facts,
    pull_lock,
    pull_log,
    pull_notify,
    pull_place,
    pull_reason,
    pull_report,
    pull_run,
    pull_unit,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_steps import Step
from ansible_collections.homelab.mediastack.plugins.plugin_utils import pull_plan, report_facts, report_model

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = pull_place.Config(project="stack", host="nas", url="https://git.example.org/x", interval=60, jitter=10)


def last(result="good", **facts):
    known = {
        "wanted": "a" * 40, "live": "a" * 40, "live_since": "2026-11-23T10:00:00Z", "reason": "", "healthy": True,
        "drift": [], "messages": [], "steps": [Step("site", 0, "", True)], "started": "2026-11-23T10:00:00Z",
        "ended": "2026-11-23T10:00:30Z", "log": "/x.log",
    }  # fmt: skip
    return pull_report.document(CONFIG, result, **{**known, **facts})


# The rollout


def test_a_larger_share_has_the_hosts_of_a_smaller_one_and_some_more():
    hosts = [f"nas{number}" for number in range(1000)]
    shares = [{host for host in hosts if pull_decide.takes(host, share)} for share in (0, 10, 50, 100)]
    assert shares[0] == set() and shares[3] == set(hosts)
    assert shares[1] < shares[2]
    assert 50 < len(shares[1]) < 150 and 400 < len(shares[2]) < 600


@pytest.mark.parametrize(("value", "share"), [(0, 0), (100, 100), ("25", 25), ("25%", 25)])
def test_a_percentage_is_read(value, share):
    assert pull_decide.percentage(value) == share


@pytest.mark.parametrize("value", [-1, 101, "many", True, None, "{{ x }}"])
def test_what_is_no_percentage_is_told(value):
    with pytest.raises(ValueError, match="is no percentage from 0 to 100"):
        pull_decide.percentage(value)


# Reasons

OUTPUT = """\
TASK [homelab.mediastack.stack : Check every setting before anything is touched] ***
[ERROR]: Task failed: Action failed: Nothing was touched: 1 problem with the settings.
Origin: /x/main.yml:2:3

fatal: [nas]: FAILED! => Nothing was touched: 1 problem with the settings.
  - mediastack_puid: "x" is not a whole number.

PLAY RECAP *********************************************************************
nas                        : ok=2    changed=1    unreachable=0    failed=1
"""


def test_a_failure_is_the_message_of_the_last_task_that_failed():
    assert pull_reason.failure(OUTPUT).splitlines() == [
        "Nothing was touched: 1 problem with the settings.",
        '  - mediastack_puid: "x" is not a whole number.',
    ]
    assert pull_reason.failure("\x1b[31m[ERROR]: no inventory\x1b[0m\n") == "no inventory"
    assert pull_reason.failure("it just\nended\n") == "ended"
    assert pull_reason.failure("") == ""
    assert len(pull_reason.failure("fatal: [nas]: FAILED! => " + "x" * 9000)) == pull_reason.LONGEST


def test_a_change_is_counted_in_the_recap():
    assert pull_reason.changed(OUTPUT) and not pull_reason.changed(OUTPUT.replace("changed=1", "changed=0"))


PULLED = "1 of 2 images could not be pulled, so no service was touched:\n  lscr.io/x:1 (for x): %s"


@pytest.mark.parametrize(
    "reason",
    [
        PULLED % "manifest unknown",
        "sonarr: manifest for lscr.io/linuxserver/sonarr:9.9 not found: manifest unknown",
        "0 of 3 healthy: nas/sonarr UNHEALTHY connection refused",
        "Nothing was touched: 1 problem with the settings.",
        "hello is full of surprises",
        "1 of 3 services failed:\n  sonarr crash loop: ended with code 137 (out of memory), restarted 3 times",
        "1 of 3 services failed:\n  sonarr is unhealthy: its health check failed 3 times: dial tcp: connection refused",
        "1 of 3 services failed:\n  sonarr could not be started: error mounting /x: read-only file system",
        "1 of 2 services failed:\n  radarr ended with code 1 | last line of its log: cannot allocate memory",
        "1 of 2 services failed:\n  x ended with code 1 | last line of its log: no space left on device",
        "1 of 3 not healthy: nas/sonarr https://127.0.0.1:8989/ping: i/o timeout",
        "sonarr: https://127.0.0.1:8989/api: connection refused",
        "service x: x:2, digest 12 failed its gate on now (cannot allocate memory): it is held back",
    ],
)
def test_what_a_commit_says_wrong_is_no_circumstance(reason):
    assert pull_reason.environment(reason) is None


@pytest.mark.parametrize(
    "reason",
    [
        "write /x: No space left on device",
        PULLED % "Get https://lscr.io/v2/: net/http: TLS handshake timeout",
        PULLED % "toomanyrequests: You have reached your pull rate limit",
        "the Docker Engine does not answer (no): start it (sudo systemctl start docker)",
        "Nothing was touched: 1 problem.\n  only 12 MiB are free for /var/lib/docker: 500 MiB are needed",
        "another run works on /srv/x: site (anna)",
    ],
)
def test_circumstances_are_known_by_their_words(reason):
    assert pull_reason.environment(reason)


# Reports


def test_the_report_says_who_is_where():
    good = last()
    assert good["ok"] and good["changed"] and good["duration_s"] == 30 and good["next_run"] == "2026-11-23T10:01:10Z"
    assert good["commit"]["refused"] is None
    bad = last("refused", wanted="b" * 40, reason="it is\nnot signed")
    assert not bad["ok"] and bad["commit"]["refused"] == "b" * 40
    assert pull_report.sentence(bad) == (
        "pull: commit bbbbbbbbbbbb refused: it is not signed; commit aaaaaaaaaaaa live since 2026-11-23T10:00:00Z"
    )
    assert last("waiting")["ok"] and not last("failed")["ok"] and not last("paused")["ok"]
    # Degraded, such as a dead indexer: that is not for pull mode to mend.
    assert last(healthy=False)["ok"]


def test_the_metrics_are_prometheus_text():
    text = pull_report.metrics(last("refused", wanted="b" * 40, healthy=None))
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \S+ .+|mediastack_pull_\w+\{(\w+="[^"]*",?)+\} -?\d+', line), line
    assert 'mediastack_pull_ok{host="nas",project="stack"} 0\n' in text
    assert 'mediastack_pull_result{host="nas",project="stack",result="refused"} 1\n' in text
    assert "mediastack_pull_healthy" not in text


def test_files_are_written_and_one_that_cannot_be_keeps_nothing_else_back(tmp_path):
    place = pull_place.Place(str(tmp_path))
    config = CONFIG._replace(textfile_directory=str(tmp_path / "missing"))
    problems = pull_report.write(place, config, last())
    assert len(problems) == 1 and "missing" in problems[0]
    assert json.loads((tmp_path / "last.json").read_text())["result"] == "good"
    assert (tmp_path / "last.json").stat().st_mode & 0o777 == 0o600
    assert pull_facts.read(str(tmp_path))["text"].startswith("pull: commit aaaaaaaaaaaa live since")
    assert pull_facts.read("") == pull_facts.read(str(tmp_path / "missing")) == {}


def test_a_webhook_gets_the_report_and_its_address_is_in_no_message():
    got = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204 if "fine" in self.path else 500)
            self.end_headers()

        def log_message(self, *_words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        assert pull_report.post(f"{address}/fine?token=s3cret", last()) is None
        assert pull_report.post(f"{address}/bad?token=s3cret", last()) == "the webhook answered with 500"
    finally:
        server.shutdown()
        server.server_close()
    assert "s3cret" not in pull_report.post(f"{address}/gone?token=s3cret", last())
    assert got[0]["result"] == "good"
    # What is before an @ is taken for a port by http.client, which says so.
    assert "s3cret" not in pull_report.post("http://me:s3cret@127.0.0.1/x", last())


def test_news_is_what_differs_from_what_was_told():
    good, bad = last(), last("refused", reason="not signed")
    assert pull_notify.news(good, {}) == []
    (told,) = pull_notify.news(bad, {})
    assert told[:2] == ("pull", "bad") and "not signed" in told[2]
    known = {"pull": list(told[1:])}
    assert pull_notify.news(bad, known) == []
    assert [one[:2] for one in pull_notify.news(good, known)] == [("pull", "good")]
    assert pull_notify.news(last(drift=["hello: gone"]), {}) == []


# The command line


@pytest.fixture
def root(tmp_path):
    values = {**CONFIG._asdict(), "schema": pull_place.SCHEMA}
    (tmp_path / "config.json").write_text(json.dumps(values))
    return tmp_path


def call(root, *arguments):
    out, err = io.StringIO(), io.StringIO()
    return pull_cli.main(list(arguments), str(root), out, err), out.getvalue(), err.getvalue()


def test_a_second_run_leaves_at_once_and_names_the_first(root):
    (root / "holder.json").write_text(json.dumps({"pid": os.getpid(), "who": "timer", "started": "now"}))
    with open(root / "lock", "w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        rc, _out, err = call(root)
    assert rc == pull_cli.BUSY
    assert f"another run is at work: process {os.getpid()} (timer), since now" in err


def test_what_a_killed_run_has_left_at_work_keeps_the_next_one_back(root):
    place = pull_place.Place(str(root))
    name, value = pull_lock.mark(place)
    child = subprocess.Popen(["sleep", "60"], env={**os.environ, name: value})
    try:
        rc, _out, err = call(root)
        assert rc == pull_cli.BUSY and f"still at work: process {child.pid}." in err
        assert json.loads((root / "last.json").read_text())["result"] == "failed"
    finally:
        child.kill()
        child.wait()
    assert pull_lock.orphans(place) == []


def test_a_pause_keeps_every_run_from_doing_anything(root):
    assert call(root, "--pause", "moving house")[0] == 0
    rc, out, _err = call(root, "--json")
    assert rc == 0
    # A pause that somebody forgot is to be noticed, but it is no failure of the program.
    assert call(root, "--status")[0] == 0 and not json.loads(out)["ok"]
    told = json.loads(out)
    assert told["result"] == "paused" and "moving house" in told["reason"] and told["steps"] == []
    assert not (root / "mirror.git").exists()
    assert call(root, "--resume")[0] == 0
    assert not (root / "paused.json").exists()


def test_a_run_that_cannot_work_says_why_and_leaves_a_report(root):
    values = json.loads((root / "config.json").read_text())
    values.update(url=str(root / "nowhere"), verify="none")
    (root / "config.json").write_text(json.dumps(values))
    rc, out, _err = call(root)
    assert rc == 1 and "is not here" in out
    assert call(root, "--status")[0] == 1
    assert json.loads((root / "last.json").read_text())["result"] == "failed"
    for _time in range(3):
        call(root)
    assert not (root / "journal.json").exists()


@pytest.mark.parametrize("error", [pull_run.Refused("it is bad"), KeyError("host"), http.client.InvalidURL("x")])
def test_whatever_ends_a_run_is_in_its_report_and_the_run_counts_as_ended(root, monkeypatch, error):
    place = pull_place.Place(str(root))
    pull_report.write(place, CONFIG, last())

    def work(run):
        run.journal.enter("apply", "a" * 40)
        raise error

    monkeypatch.setattr(pull_run.Run, "work", work)
    rc, _out, err = call(root)
    told = json.loads((root / "last.json").read_text())
    assert rc == 1 and told["result"] == "failed" and type(error).__name__ in told["reason"] and "Traceback" not in err
    assert not (root / "journal.json").exists()


def test_a_damaged_memory_does_not_leave_an_earlier_good_report(root):
    pull_report.write(pull_place.Place(str(root)), CONFIG, last())
    (root / "state.json").write_text("{")
    rc, _out, err = call(root)
    told = json.loads((root / "last.json").read_text())
    assert rc == 1 and "state.json" in err
    assert told["result"] == "failed" and "state.json" in told["reason"] and told["commit"]["live"] == "a" * 40


def test_a_report_that_cannot_be_sent_does_not_make_the_run_one_that_was_cut_off(root, monkeypatch):
    monkeypatch.setattr(pull_run.Run, "work", lambda run: run.journal.enter("apply", "a" * 40))

    def fail(*_words):
        raise RuntimeError("no")

    monkeypatch.setattr(pull_report, "write", fail)
    with pytest.raises(RuntimeError):
        call(root)
    assert not (root / "journal.json").exists()


def test_a_log_that_cannot_be_written_ends_nothing():
    for path in ("/dev/full", "/nowhere/x.log"):
        log = pull_log.Log(path)
        log.write("x\n")
        assert log.tell() == 2
        log.close()


def test_a_log_is_its_owners_and_has_what_was_written(tmp_path):
    log = pull_log.Log(str(tmp_path / "x.log"))
    log.write("one\n")
    log.write("two\n")
    log.close()
    assert (tmp_path / "x.log").read_text() == "one\ntwo\n"
    assert (tmp_path / "x.log").stat().st_mode & 0o777 == 0o600


def test_a_damaged_configuration_says_what_to_do(root):
    (root / "config.json").write_text("{}")
    rc, _out, err = call(root)
    assert rc == 1 and "homelab.mediastack.gitops" in err and "Traceback" not in err


# What the controller hands over


def test_the_packages_are_the_pinned_ones():
    role = yaml.safe_load((ROOT / "roles/gitops/vars/main.yml").read_text())["gitops_python_packages"]
    pinned = set(re.findall(r"^\S+==\S+$", (ROOT / "requirements/constraints.txt").read_text(), re.M))
    assert set(role) <= pinned
    needed = re.findall(r"^([\w-]+)==", (ROOT / "requirements/python.txt").read_text(), re.M)
    # docker is for the declared dependency community.docker: a host that works on itself needs none.
    assert {name.lower() for name in needed} - {"docker"} <= {one.partition("==")[0].lower() for one in role}


def test_the_archive_is_the_collection_and_the_same_every_time():
    digest, data = pull_plan.archive()
    pull_plan.archive.cache_clear()
    assert pull_plan.archive() == (digest, data)
    assert len(data) < 4 * 1024 * 1024


def test_the_units_run_the_program_of_the_place():
    place = pull_place.Place("/var/lib/mediastack-pull/my stack")
    texts = pull_unit.texts(CONFIG, place)
    service, timer = texts.values()
    assert 'ExecStart="/var/lib/mediastack-pull/my stack/venv/bin/python" -I "' in service
    assert "[Timer]\nOnBootSec=2min\nOnUnitActiveSec=60s\nRandomizedDelaySec=10s" in timer


def test_the_first_run_is_started_once_with_the_installation(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(pull_unit, "UNITS", str(tmp_path))
    monkeypatch.setattr(pull_unit, "systemctl", lambda *words: calls.append(words))
    pull_unit.start("stack")
    service, timer = pull_unit.names("stack")
    assert calls == [("daemon-reload",), ("restart", timer), ("start", "--no-block", service)]
    calls.clear()
    pull_unit.start("stack")
    assert calls == [("daemon-reload",), ("restart", timer)]


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"mediastack_gitops_url": ""}, "mediastack_gitops_url is empty"),
        ({"mediastack_gitops_allowed_signers": []}, "neither mediastack_gitops_allowed_signers"),
        ({"mediastack_gitops_verify": "commit"}, "mediastack_gitops_commit names none"),
        ({"mediastack_gitops_commit": "a" * 40}, "pins a commit"),
    ],
)
def test_what_is_missing_is_told(changed, word):
    values = {
        "mediastack_gitops_url": "https://git.example.org/x", "mediastack_gitops_verify": "signature",
        "mediastack_gitops_allowed_signers": ["me ssh-ed25519 AAAA"], "mediastack_gitops_gpg_keys": [],
        "mediastack_gitops_commit": "",
    }  # fmt: skip
    assert pull_plan.problems(values) == []
    assert word in " ".join(pull_plan.problems({**values, **changed}))


def test_status_tells_of_the_last_run_and_warns_where_it_was_not_well(tmp_path):
    place = pull_place.Place(str(tmp_path))
    for result, state in (("good", "plain"), ("refused", "bad")):
        pull_report.write(place, CONFIG, last(result, reason="not signed"))
        report = report_model.build({"nas": {"services": [], "pull": pull_facts.read(str(tmp_path))}})
        (fact,) = report_facts.of_host("nas", report["hosts"]["nas"], report["services"])
        assert (fact.what, fact.level) == ("pull", state) and "live since" in fact.text
        assert [one["about"] for one in report["warnings"]] == (["pull"] if state == "bad" else [])
    assert "pull" not in report_model.build({"nas": {"services": []}})["hosts"]["nas"]


def test_the_numbers_of_hosts_go_from_0_to_99():
    """With 1 % somebody is first, and with 99 % somebody waits."""
    numbers = {pull_decide.bucket(f"host{number}") for number in range(3000)}
    assert numbers == set(range(100))
    assert pull_decide.bucket("nas") == int(hashlib.sha256(b"nas").hexdigest(), 16) % 100
