# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`ansible-playbook homelab.mediastack.logs` as a user runs it: lines, colours, secrets, errors, following."""

import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
from logs_lab import COUNT, Logs, memory, processes, write_store
from stack_harness import docker, wait_for

NOISE = ("PLAY", "TASK", "ok=", "changed", "Traceback", "msg:", '{"', "[ERROR]", "[WARNING]")


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    made = Logs(tmp_path_factory.mktemp("logs"))
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def talker(logs):
    """A service that has written a few lines and ended, and another between them."""
    logs.ended("talker", "echo one; echo two; echo three")
    logs.ended("writer", "echo four")
    docker("start", "-a", "lo3-talker")
    yield
    logs.remove("talker", "writer")


def everything(done):
    return done.stdout + done.stderr


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


def test_mistakes(logs):
    for extra, said in {
        "service=writr": '[nas]: FAILED! => Nothing was touched: "writr" is not a service. Did you mean writer?',
        "since=10": "has no unit. Write 10s, 10m or 10h",
        "since=yesterday": "is no time. Write how long ago (10m,",
        "grep=[": "is no regular expression",
        "tail=many": "is not a whole number",
        "tail=0": "0 lines would be nothing",
        "servcie=x": "Did you mean service=?",
    }.items():
        done = logs.logs("-e", extra)
        assert done.returncode != 0, extra
        assert said in done.stderr, everything(done)
        assert done.stdout == "", extra
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


def test_a_reader_that_has_enough(logs, talker):
    """`| head -1`: neither an error nor a run that never ends."""
    for follow in ("false", "true"):
        reader, writer = os.pipe()
        process = subprocess.Popen(
            logs.command("-e", f"follow={follow}"),
            cwd=logs.directory,
            env=logs.environment(),
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
        )
        os.close(writer)
        os.close(reader)
        try:
            _out, errors = process.communicate(timeout=60)
        finally:
            process.kill()
        assert errors == b""
        assert process.returncode == (99 if follow == "true" else 0)


# Following


def numbers(lines, prefix=""):
    return [int(found.group(1)) for line in lines if (found := re.search(rf" \| {prefix}(\d+) end$", line))]


def test_follow_only_describes_in_check_mode(logs):
    done = logs.logs("--check", "-e", "follow=true", "-e", "service=writer")
    assert (done.returncode, done.stdout) == (0, ""), everything(done)
    assert "nas: would follow writer until Ctrl-C" in done.stderr


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
            docker("wait", "lo3-writer")
            followed.wait("a159 end")
            docker("start", "lo3-writer")
            docker("wait", "lo3-writer")
            wait_for(lambda: numbers(followed.texts, "a").count(159) == 2, 30, "the second life's last line")
            docker("rm", "lo3-writer")
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


@pytest.mark.alone
def test_how_far_behind_and_what_stays(logs):
    """A line is seen within a second; after Ctrl-C, and after the controller was killed, nothing runs on the host."""
    logs.run("writer", 'while true; do echo "at $(cat /proc/uptime)"; sleep 0.1; done')
    try:
        for sign in (signal.SIGINT, signal.SIGKILL):
            with logs.following("-e", "service=writer", "-e", "tail=0") as followed:
                wait_for(lambda found=followed: len(found.texts) >= 20, 60, "twenty lines")
                if sign == signal.SIGKILL:
                    os.kill(followed.process.pid, sign)
                followed.end(sign)
            offset = uptime_offset()
            late = [at - (float(line.split("at ")[1].split()[0]) + offset) for at, line in followed.lines]
            assert max(sorted(late)[:-1]) <= 1.0, late
            identifier = docker("inspect", "-f", "{{.Id}}", "lo3-writer")
            wait_for(lambda found=identifier: not processes(found, str(logs.directory)), 15, "the end of all processes")
    finally:
        logs.remove("writer")


def uptime_offset():
    """Seconds since 1970 at boot."""
    return time.time() - float(pathlib.Path("/proc/uptime").read_text(encoding="ascii").split()[0])


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


@pytest.mark.parametrize(
    ("first", "last"), [(2, 6), pytest.param(10, 60, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_memory_does_not_grow(logs, first, last):
    """At 1,000 lines a second the controller's memory after a minute is at most 1.1 times that after ten seconds."""
    logs.run("writer", COUNT, arguments=["1000"])
    try:
        with logs.following("-e", "service=writer", "-e", "tail=0") as followed:
            wait_for(lambda: followed.lines, 60, "the first line")
            begin = followed.lines[0][0]
            seen = {}
            for seconds in (first, last):
                wait_for(lambda upto=seconds: followed.lines[-1][0] - begin >= upto, seconds + 20, f"{seconds} s")
                seen[seconds] = memory(followed.process.pid)
            count = len(followed.texts)
    finally:
        logs.remove("writer")
    # The main process and the worker of the one host.
    assert set(seen[first]) == set(seen[last])
    assert len(seen[last]) == 2
    before, after = (sum(seen[seconds].values()) for seconds in (first, last))
    print(f"{count} lines in {last} s; controller {before} kB after {first} s, {after} kB after {last} s")
    assert count >= 300 * last
    assert after <= 1.1 * before
    got = numbers(followed.texts)
    assert got == list(range(got[0], got[0] + len(got)))
