# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Following: the program that a host runs for each look, and the loop on the controller."""

import json
import os
import subprocess
import sys

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.homelab.mediastack.plugins.plugin_utils import log_follow, log_program

WISH = {"project": "stack", "path": "/srv/stack", "services": [], "tail": 50, "since": "", "grep": "", "mask": []}
DOCKER = """#!/bin/sh
case "$1" in
  ps) printf '1\\tsonarr\\t1\\tFalse\\t/srv/stack\\n' ;;
  inspect) cat "${0%/*}/inspect.json" ;;
  logs) echo "2026-11-22T20:49:08.5Z hello $4" ;;
esac
"""
INSPECT = [
    {
        "Id": "1",
        "Name": "/sonarr",
        "Image": "sha256:0",
        "Config": {"Labels": {}, "Env": ["API_KEY=envsecret"]},
        "State": {"Status": "running"},
        "HostConfig": {"LogConfig": {"Type": "json-file"}},
    }
]


@pytest.fixture
def host(tmp_path):
    """Runs the program as a host does, with a docker of the test's own."""
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "inspect.json").write_text(json.dumps(INSPECT))

    def run(program, positions):
        done = subprocess.run(
            [sys.executable, "-I", "-", log_program.argument(positions)],
            input=program,
            capture_output=True,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            check=False,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return run


def test_the_program_needs_nothing_but_python(host):
    answer = log_program.answer(*host(log_program.build(WISH), {}))
    assert [line[1:] for line in answer["lines"]] == [["sonarr", "hello "]]
    again = log_program.answer(*host(log_program.build(WISH), answer["positions"]))
    assert again["lines"] == []


def test_a_failure_is_an_answer(host):
    answer = log_program.answer(*host(log_program.build({**WISH, "grep": "["}), {}))
    assert "unterminated character set" in answer["error"]


def test_nothing_in_it_needs_a_newer_python_than_hosts_have():
    import ast

    for name in log_program.PARTS:
        ast.parse((log_program.SOURCES / f"{name}.py").read_text(), feature_version=(3, 8))


def test_it_fits_into_a_command_line():
    positions = {
        f"{number:064x}": {
            "path": f"/var/lib/docker/containers/{number:064x}/{number:064x}-json.log",
            "mark": [number, number * 999, number * 10**15],
            "at": [number * 10**15, 1],
            "window": 200,
        }
        for number in range(100)
    }
    # Linux takes 128 KiB for one argument.
    assert len(log_program.argument(positions)) < 64 * 1024


@pytest.mark.parametrize(
    ("out", "err", "said"),
    [
        ("", "sudo: a password is required\n", "sudo: a password is required"),
        ("Welcome!\n", "", "Welcome!"),
        ("", "", "return code 1, and it said nothing"),
        ("mediastack-logs:{broken", "", "mediastack-logs:{broken"),
    ],
)
def test_no_answer(out, err, said):
    with pytest.raises(log_program.AnswerError) as caught:
        log_program.answer(1, out, err)
    assert str(caught.value) == said


def test_what_login_scripts_print_does_no_harm():
    assert log_program.answer(0, 'motd\nmediastack-logs:{"lines": []}\nbye\n', "") == {"lines": []}


# The loop


class Done(Exception):
    """The test's end of following."""


def answer(*lines, positions=None, troubles=None, more=False):
    return {
        "lines": list(lines),
        "positions": positions if positions is not None else {"at": len(lines)},
        "troubles": troubles or {},
        "more": more,
    }


def follow(answers, hosts=1):
    """What was (asked, shown, told, slept) until the answers came to an end."""
    asked, shown, told, slept = [], [], [], []
    answers = iter(answers)

    def ask(positions):
        asked.append(positions)
        given = next(answers, Done())
        if isinstance(given, Exception):
            raise given
        return given

    follower = log_follow.Follower(
        ask, lambda given: shown.extend(given["lines"]), told.append, hosts, sleep=slept.append
    )
    with pytest.raises(Done):
        follower.run({"begin": 1})
    return asked, shown, told, slept


def test_each_look_goes_on_where_the_last_one_ended():
    asked, shown, told, slept = follow([answer("a", positions={"p": 1}), answer("b", positions={"p": 2})])
    assert asked == [{"begin": 1}, {"p": 1}, {"p": 2}]
    assert (shown, told) == (["a", "b"], [])
    assert slept == [log_follow.PAUSE] * 2


def test_what_is_left_is_read_at_once():
    _asked, _shown, _told, slept = follow([answer("a", more=True), answer("b")])
    assert len(slept) == 1


def test_many_hosts_are_asked_less_often():
    assert follow([answer()], hosts=20)[3][0] > log_follow.PAUSE
    assert log_follow.PAUSE < 0.5


def test_an_outage_is_told_once_and_the_place_is_kept():
    outage = AnsibleConnectionFailure("ssh: connect to host nas: No route to host\nmore")
    asked, shown, told, slept = follow(
        [answer("a", positions={"p": 1}), outage, outage, log_program.AnswerError("other"), answer("b")]
    )
    assert asked[1:] == [{"p": 1}] * 4 + [{"at": 1}]
    assert shown == ["a", "b"]
    assert [text.split(";")[0] for text in told] == [
        "ssh: connect to host nas: No route to host",
        "other",
        "it answers again",
    ]
    assert slept.count(log_follow.PAUSE_OUTAGE) == 3


def test_a_failure_of_the_host_is_an_outage_too():
    told = follow([{"error": "the Docker Engine does not answer"}, answer()])[2]
    assert told == ["the Docker Engine does not answer; trying again until it answers", "it answers again"]


def test_a_trouble_is_told_once():
    trouble = {"sonarr": "its log cannot be read"}
    told = follow([answer(troubles=trouble), answer(troubles=trouble), answer(), answer(troubles=trouble)])[2]
    assert told == ["sonarr: its log cannot be read"] * 2


WORKER = """
import os, sys
from ansible_collections.homelab.mediastack.plugins.plugin_utils import log_follow
read, write = os.pipe()
if os.fork() == 0:
    log_follow.end_with_parent(0.05)
    os.write(1, b"watches")
    # Nobody ever reads that pipe to its end, and somebody has it open: this process.
    while True:
        os.write(write, bytes(100000))
sys.stdin.read()
"""


def test_a_worker_that_is_stuck_ends_with_the_controller():
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.read(7) == b"watches"
    process.kill()
    # The end of its output comes when the worker is gone too.
    assert process.communicate(timeout=30)[0] == b""


# The way to the host


class Become:
    name = "sudo"

    def __init__(self, prompt=False):
        self.prompt = prompt

    def expect_prompt(self):
        return self.prompt


class Connection:
    """As far as the choice of the way depends on it."""

    def __init__(self, transport="ssh", pipelining=True, enabled=False, become=None):
        self.transport, self.has_pipelining, self._enabled, self.become = transport, pipelining, enabled, become

    def is_pipelining_enabled(self, _wrap_async):
        return self._enabled


@pytest.mark.parametrize(
    ("connection", "by_input"),
    [
        (Connection(), True),
        (Connection(pipelining=False), False),
        (Connection(become=Become(True)), True),
        (Connection("local"), True),
        (Connection("local", become=Become()), True),
        (Connection("local", become=Become(True)), False),
        (Connection("local", become=Become(True), enabled=True), True),
    ],
)
def test_by_standard_input_where_there_is_one(connection, by_input):
    assert log_follow._takes_input(connection) is by_input


class FakeAction:
    """An action whose connection runs a function."""

    def __init__(self, run, connection=None):
        self._connection = connection or Connection()
        self._connection._shell = self
        self.run, self.sent = run, []

    def join_path(self, *parts):
        return "/".join(parts)

    def _make_tmp_path(self):
        return "/tmp/ansible-1"

    def _transfer_data(self, path, data):
        self.sent.append((path, data))

    def _fixup_perms2(self, paths):
        assert paths == ("/tmp/ansible-1", "/tmp/ansible-1/mediastack_logs.py")

    def _low_level_execute_command(self, command, in_data=None):
        return dict(zip(("rc", "stdout", "stderr"), self.run(command, in_data), strict=True))


ANSWER = (0, 'mediastack-logs:{"lines": []}', "")


def test_a_terminal_is_demanded_so_it_goes_as_a_file_without_secrets():
    commands = []

    def run(command, in_data):
        commands.append(command)
        return (1, "", "sudo: sorry, you must have a tty to run sudo") if in_data else ANSWER

    action = FakeAction(run)
    asker = log_follow.Asker(action, "/usr/bin/python3", {**WISH, "mask": ["topsecret"]})
    assert asker.masks_there
    assert asker.ask({}) == {"lines": []}
    assert asker.ask({}) == {"lines": []}
    assert not asker.masks_there
    assert [command.split()[1] for command in commands] == ["-", *["/tmp/ansible-1/mediastack_logs.py"] * 2]
    ((_path, program),) = action.sent
    assert program == log_program.build({**WISH, "mask": []})


def test_a_later_failure_is_an_outage_not_another_way():
    answers = iter([ANSWER, (255, "", "broken pipe"), ANSWER])
    action = FakeAction(lambda _command, _data: next(answers))
    asker = log_follow.Asker(action, "/usr/bin/python3", WISH)
    asker.ask({})
    with pytest.raises(log_program.AnswerError, match="broken pipe"):
        asker.ask({})
    assert asker.ask({}) == {"lines": []}
    assert action.sent == []
