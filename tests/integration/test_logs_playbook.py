# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`ansible-playbook homelab.mediastack.logs` as a user runs it: lines, colours, secrets, errors, following."""

import contextlib
import os
import pathlib
import re
import signal
import statistics
import subprocess
import time

import pytest
from logs_lab import COUNT, Logs, memory, name_of, processes, write_store
from stack_harness import docker, wait_for

NOISE = ("PLAY", "TASK", "ok=", "changed", "Traceback", "msg:", '{"', "[ERROR]", "[WARNING]")


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    made = Logs(tmp_path_factory.mktemp("logs"))
    try:
        yield made
    finally:
        made.clean()


@pytest.fixture
def talker(logs):
    """A service that has written a few lines and ended, and another between them."""
    logs.ended("talker", "echo one; echo two; echo three")
    logs.ended("writer", "echo four")
    docker("start", "-a", name_of("talker"))
    yield
    logs.remove("talker", "writer")


def everything(done):
    return done.stdout + done.stderr


@pytest.mark.long
def test_all_services_by_time(logs, talker):
    done = logs.logs()
    assert done.returncode == 0, everything(done)
    names = [line.split(" | ")[0] for line in done.stdout.splitlines()]
    assert names == ["nas/talker"] * 3 + ["nas/writer"] + ["nas/talker"] * 3, everything(done)
    assert done.stdout.splitlines()[3] == "nas/writer | four"
    assert not any(sign in everything(done) for sign in NOISE), everything(done)
    assert "\x1b" not in done.stdout

    two = logs.logs("-e", "service=talker,absent", "-e", "tail=2", "-e", "grep=t[wh]")
    assert two.returncode != 0
    assert two.stdout == "nas/talker | two\nnas/talker | three\n"
    assert "nas: absent has no container here" in two.stderr
    assert "no container of absent on any of the hosts" in two.stderr
    assert not any(sign in everything(two) for sign in NOISE), everything(two)

    checked = logs.logs("--check", "-e", "service=writer", "-e", "since=1h")
    assert (checked.returncode, checked.stdout) == (0, "nas/writer | four\n"), everything(checked)


def test_two_hosts_by_time_aligned_and_coloured(logs, talker):
    logs.write({"nas": {}, "attic-server": {}})
    try:
        done = logs.logs("-e", "service=talker", "-e", "tail=2", ANSIBLE_FORCE_COLOR="1")
    finally:
        logs.write({"nas": {}})
    lines = done.stdout.splitlines()
    plain = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in lines]
    assert sorted(plain) == sorted(
        [
            f"{host}/talker{' ' * pad} | {text}"
            for host, pad in (("nas", 9), ("attic-server", 0))
            for text in ("two", "three")
        ]
    )
    assert len({line.split(" | ")[0] for line in lines}) == 2
    assert all(line.startswith("\x1b[") for line in lines)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (
            {"service": "writr"},
            ['[nas]: FAILED! => Nothing was touched: "writr" is not a service. Did you mean writer?'],
        ),
        ({"tail": "0"}, ["0 lines would be nothing"]),
        (
            {"since": "10", "grep": "[", "tail": "many", "servcie": "x"},
            [
                "has no unit. Write 10s, 10m or 10h",
                "is no regular expression",
                "is not a whole number",
                "Did you mean service=?",
            ],
        ),
    ],
)
def test_mistakes(logs, extra, said):
    done = logs.logs(*(word for name, value in extra.items() for word in ("-e", f"{name}={value}")))
    assert done.returncode != 0
    assert [words for words in said if words not in done.stderr] == [], everything(done)
    assert done.stdout == ""
    assert not any(sign in done.stderr for sign in ("Traceback", "msg:", '{"')), everything(done)


def test_secrets_and_control_sequences_stay_on_the_host(logs):
    write_store(logs, talker_key="stored/secret+1")
    (logs.path / "secrets" / "vpn").write_text("filesecret99\n")
    logs.write({"nas": {}}, mediastack_secrets={}, mediastack_env={"SMTP_PASSWORD": "given secret 7"})
    script = r"""
        printf 'stored/secret+1 ?q=stored%%2Fsecret%%2B1 filesecret99 "given secret 7" %s\n' "$API_KEY"
        printf 'GET /api?apikey=unknown123 HTTP/1.1\n'
        printf '\033]0;title\007\033[2J\033[31mred\033[0m\r\n'
    """
    logs.ended("talker", script.strip(), "-e", "API_KEY=envsecret42")
    try:
        plain = logs.logs("-e", "service=talker")
        coloured = logs.logs("-e", "service=talker", "-vvv", ANSIBLE_FORCE_COLOR="1")
        found = logs.logs("-e", "service=talker", "-e", "grep=secret")
    finally:
        logs.remove("talker")
        logs.write({"nas": {}})
    mask = "********"
    assert plain.stdout.splitlines() == [
        f'nas/talker | {mask} ?q={mask} {mask} "{mask}" {mask}',
        f"nas/talker | GET /api?apikey={mask} HTTP/1.1",
        "nas/talker | red",
    ], everything(plain)
    assert "\x1b[31mred\x1b[0m" in coloured.stdout
    for secret in (
        "stored/secret",
        "stored%2F",
        "filesecret99",
        "given secret",
        "envsecret42",
        "unknown123",
        "\x1b]0",
        "\x1b[2J",
    ):
        assert secret not in everything(coloured), secret
    assert found.stdout == ""


@pytest.mark.long
def test_a_log_that_cannot_be_read(logs):
    logs.run("mute", "echo x; sleep 1000", "--log-driver", "none")
    try:
        done = logs.logs("-e", "service=mute")
    finally:
        logs.remove("mute")
    assert done.returncode != 0
    assert "nas: mute: its log cannot be read: the log driver none keeps nothing to read" in done.stderr
    assert "the log of nas/mute could not be read" in done.stderr


def test_no_stack_at_all(logs):
    done = logs.logs()
    assert done.returncode != 0
    assert "there is no container of the stack on any of the hosts: run site" in done.stderr


@pytest.mark.long
@pytest.mark.parametrize("follow", [False, True])
def test_a_reader_that_has_enough(logs, follow):
    """`| head -5`: neither an error nor a run that never ends, and nothing is left on the host."""
    logs.run("writer", COUNT, arguments=["1000"])
    try:
        head = subprocess.Popen(["head", "-n", "5"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        process = subprocess.Popen(
            logs.command("-e", f"follow={follow}", "-e", "tail=1000"),
            cwd=logs.directory,
            env=logs.environment(),
            stdin=subprocess.DEVNULL,
            stdout=head.stdin,
            stderr=subprocess.PIPE,
        )
        head.stdin.close()
        head.stdin = None
        try:
            shown, _errors = head.communicate(timeout=60)
            _out, errors = process.communicate(timeout=60)
        finally:
            process.kill()
        assert len(numbers(shown.splitlines())) == 5
        assert errors == b""
        assert process.returncode == (99 if follow else 0)
        assert_nothing_left(logs)
    finally:
        logs.remove("writer")


# Following


def numbers(lines, prefix=""):
    return [int(found.group(1)) for line in lines if (found := re.search(rf" \| {prefix}(\d+) end$", line))]


def test_follow_only_describes_in_check_mode(logs):
    done = logs.logs("--check", "-e", "follow=true", "-e", "service=writer")
    assert (done.returncode, done.stdout) == (0, ""), everything(done)
    assert "nas: would follow writer until Ctrl-C" in done.stderr


@pytest.mark.long
def test_more_hosts_than_forks(logs):
    logs.write({"nas": {}, "attic": {}, "shed": {}})
    try:
        done = logs.logs("-e", "follow=true", "-f", "2")
    finally:
        logs.write({"nas": {}})
    assert done.returncode != 0
    assert "3 hosts are to be followed at once, but Ansible works on 2 at a time: add -f 3" in done.stderr


@pytest.mark.parametrize("connection", ["local", "without_input"])
def test_every_line_once_through_restart_and_recreate(logs, connection, tmp_path):
    """Numbered lines, 200 a second; the container is restarted and replaced by another meanwhile."""
    (tmp_path / "without_input.py").write_text(WITHOUT_INPUT)
    logs.write({"nas": {"ansible_connection": connection}})
    try:
        with logs.following("-e", "service=writer,talker", ANSIBLE_CONNECTION_PLUGINS=str(tmp_path)) as followed:
            wait_for(lambda: "writer has no container here" in followed.said, 60, "the note on the missing container")
            logs.run("writer", COUNT, "-e", "PREFIX=a", arguments=["200", "8"])
            docker("wait", name_of("writer"))
            followed.wait("a159 end")
            docker("start", name_of("writer"))
            docker("wait", name_of("writer"))
            wait_for(lambda: numbers(followed.texts, "a").count(159) == 2, 30, "the second life's last line")
            docker("rm", name_of("writer"))
            logs.run("writer", COUNT, "-e", "PREFIX=b", arguments=["200", "8"])
            followed.wait("b159 end")
            code = followed.end()
    finally:
        logs.remove("writer")
        logs.write({"nas": {}})
    assert code == 99
    assert numbers(followed.texts, "a") == [*range(160), *range(160)]
    assert numbers(followed.texts, "b") == [*range(160)]
    assert followed.texts == [line for line in followed.texts if line.startswith("nas/writer | ")]
    assert "interrupted" not in followed.said


# As chroot, jail and some others: no standard input for a command.
WITHOUT_INPUT = '''
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: without_input
short_description: Local, without standard input
description: Local, without standard input.
extends_documentation_fragment: [connection_pipelining]
options: {}
"""


class Connection(Local):
    transport = "without_input"
    has_pipelining = False

    def exec_command(self, cmd, in_data=None, sudoable=True):
        assert in_data is None
        return super().exec_command(cmd, None, sudoable)
'''


def assert_nothing_left(logs):
    """Of a run that has ended nothing goes on, neither here nor on the host, which is here too."""
    identifier = docker("inspect", "-f", "{{.Id}}", name_of("writer"))
    wait_for(lambda: not processes(identifier, str(logs.directory)), 15, "the end of all processes")


WIDE = "x" * 300


@contextlib.contextmanager
def follow_a_burst(logs, lines):
    """A run that follows a service which has written so many lines at once; nobody reads them."""
    script = "echo begin; until test -e /tmp/go; do sleep 0.1; done" + COUNT
    logs.run("writer", script, "-e", f"PREFIX={WIDE}", arguments=[str(10 * lines), "1"])
    try:
        with logs.following("-e", "service=writer") as followed:
            followed.wait("begin")
            docker("exec", name_of("writer"), "sh", "-c", ">/tmp/go")
            followed.stop_reading()
            yield followed
    finally:
        logs.remove("writer")


@pytest.mark.long
def test_a_reader_that_stops_reading(logs):
    """`| less`: no memory is taken meanwhile, no line lost or doubled afterwards, and Ctrl-C ends it at once."""
    with follow_a_burst(logs, 60000) as followed:
        before = memory(followed.process.pid)
        # 20 MB: a tenth more memory is 12 MB.
        docker("wait", name_of("writer"))
        after = memory(followed.process.pid)
        assert set(before) == set(after)
        assert sum(after.values()) <= 1.1 * sum(before.values()), (before, after)
        followed.read_on()
        followed.wait("x19999 end", 120)
        followed.stop_reading()
        began = time.monotonic()
        assert (followed.end(), followed.said) == (99, "")
        assert time.monotonic() - began < 8
        assert_nothing_left(logs)
    found = numbers(followed.texts, WIDE)
    assert found == list(range(len(found)))


@pytest.mark.long
def test_killed_while_nobody_reads(logs):
    with follow_a_burst(logs, 6000) as followed:
        os.kill(followed.process.pid, signal.SIGKILL)
        assert_nothing_left(logs)


@pytest.mark.long
def test_an_outage_is_told_and_nothing_is_lost(logs):
    store = logs.path / ".mediastack" / "secrets.json"
    write_store(logs)
    good = store.read_text()
    logs.run("writer", 'n=0; while true; do echo "$n end"; n=$((n+1)); sleep 0.2; done')
    try:
        with logs.following("-e", "service=writer", "-e", "tail=100") as followed:
            wait_for(lambda: len(followed.texts) >= 5, 60, "the first lines")
            store.write_text("{")
            wait_for(lambda: "trying again until it answers" in followed.said, 30, "the outage")
            store.write_text(good)
            wait_for(lambda: "nas: it answers again" in followed.said, 30, "its end")
            count = len(followed.texts)
            wait_for(lambda: len(followed.texts) > count, 30, "more lines")
    finally:
        logs.remove("writer")
    found = numbers(followed.texts)
    assert found == list(range(len(found)))


@pytest.mark.alone
@pytest.mark.parametrize(
    ("first", "last"), [(2, 6), pytest.param(10, 60, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_a_thousand_lines_a_second(logs, first, last):
    """A line is seen within a second, after a minute the controller's memory is at most 1.1 times that after ten
    seconds, and after Ctrl-C nothing runs on the host.
    """
    logs.run("writer", COUNT, "-e", "STAMP=at", arguments=["1000"])
    try:
        with logs.following("-e", "service=writer", "-e", "tail=0") as followed:
            wait_for(lambda: followed.lines, 60, "the first line")
            begin, seen = followed.lines[0][0], {}
            for seconds in (first, last):
                wait_for(lambda upto=seconds: followed.lines[-1][0] - begin >= upto, seconds + 20, f"{seconds} s")
                seen[seconds] = memory(followed.process.pid)
            lines = list(followed.lines)
            assert followed.end() == 99
        assert_nothing_left(logs)
    finally:
        logs.remove("writer")
    # The main process and the worker of the one host.
    assert set(seen[first]) == set(seen[last])
    assert len(seen[last]) == 2
    before, after = (sum(seen[seconds].values()) for seconds in (first, last))
    booted = time.time() - uptime()
    late = [at - booted - float(line.split(" at ")[1].split()[0]) for at, line in lines if " | at " in line]
    print(
        f"{len(lines)} lines in {last} s; controller {before} kB after {first} s, {after} kB after {last} s;"
        f" at most {max(late):.2f} s behind, in the middle {statistics.median(late):.2f} s"
    )
    assert len(lines) >= 300 * last
    assert after <= 1.1 * before
    assert statistics.median(late) <= 1.0
    # On a machine that is busy with other things one line says nothing about the follower.
    assert max(late) <= 1.0 or os.getloadavg()[0] > os.cpu_count()
    got = numbers(followed.texts)
    assert got == list(range(got[0], got[0] + len(got)))


def uptime():
    """Seconds since this machine, and so every container, was started."""
    return float(pathlib.Path("/proc/uptime").read_text(encoding="ascii").split()[0])
