# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Anything longer than three seconds says what it is doing: on the host, in a pipe, and in place on a terminal."""

import json
import os
import pty
import re
import select
import subprocess
import time

import pytest
import ssh_lab
from compose_stack_lab import QUICK, SLEEP, build_image
from stack_harness import Stack, docker, free_ports, wait_for

PROJECT = f"msprogress-{os.getpid()}"
IMAGE = f"{PROJECT}:1"
TOKEN = "0123456789abcdef"
OFF = ("bazarr", "flaresolverr", "prowlarr", "qbittorrent", "radarr", "sabnzbd", "sonarr", "unpackerr")
# Healthy as soon as somebody says so.
SLOW = f"""services:
  slow:
    image: {IMAGE}
    command: {json.dumps(SLEEP)}
    healthcheck: {{test: ["CMD", "test", "-e", "/tmp/well"], interval: 1s, start_period: 60s}}
    stop_grace_period: 1s
    x-mediastack: {{title: Slow, profiles: [always], health: {{kind: container}}, login: {{kind: no_ui}}}}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    build_image(IMAGE, "1")
    made = Stack(
        tmp_path_factory.mktemp("progress"),
        PROJECT,
        free_ports(),
        mediastack_vpn_enabled=False,
        mediastack_services=dict.fromkeys(OFF, False),
        mediastack_container_prefix=f"{PROJECT}-",
        mediastack_healthcheck_interval=0,
        mediastack_wait_timeout=90,
        mediastack_ports={},
    )
    (made.directory / "services").mkdir()
    (made.directory / "services" / "slow.yml.j2").write_text(SLOW)
    try:
        yield made
    finally:
        made.remove()
        docker("image", "rm", "-f", IMAGE, check=False)


@pytest.fixture
def gone(stack):
    """Before the test the service has no container."""
    if stack.containers():
        docker("rm", "-f", f"{PROJECT}-slow")


def get_well():
    docker("exec", f"{PROJECT}-slow", "sh", "-c", ">/tmp/well")


def shown_by(process):
    """All that a run prints; the service gets well as soon as it is said that it is waited for."""
    shown = ""
    for line in process.stdout:
        shown += line
        if re.match("box: waiting for slow: is starting: its health check has not passed yet", line):
            get_well()
            break
    shown += process.communicate(timeout=100)[0]
    assert process.returncode == 0, shown
    return shown


def left(stack):
    return [name for name in os.listdir(stack.project_path / ".mediastack") if name.startswith("progress")]


@pytest.mark.long
def test_a_file_on_the_host_while_the_module_runs(lab):
    lab.add(
        "app",
        healthcheck=dict(QUICK, test=["CMD", "test", "-e", "/tmp/well"], retries=400),
    )
    path = lab.path / ".mediastack" / f"progress-{TOKEN}.json"
    process = lab.start_process(progress=TOKEN)

    def waits():
        try:
            record = json.loads(path.read_text())
            return record["what"] == "waiting for app" and "is starting" in record["why"]
        except FileNotFoundError:
            return False

    wait_for(waits, 90, "the word that app is waited for")
    assert path.stat().st_mode & 0o777 == 0o600
    docker("exec", f"{lab.name}-app", "sh", "-c", ">/tmp/well")
    result = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 0, result
    assert not path.exists()

    # Nothing to do: nothing is said, and no file made.
    before = sorted(os.listdir(path.parent))
    process = lab.start_process(progress=TOKEN)
    seen = []
    while process.poll() is None:
        seen += [name for name in os.listdir(path.parent) if name.startswith("progress")]
        time.sleep(0.002)
    assert (process.returncode, seen, sorted(os.listdir(path.parent))) == (0, [], before)
    process.communicate()


@pytest.mark.long
def test_lines_in_a_pipe_and_none_for_what_is_quick(stack, gone):
    shown = shown_by(stack.start("site"))
    assert "box: waiting for slow" in shown
    assert "\x1b[K" not in shown
    assert left(stack) == []

    noop = stack.play("site")
    assert "box: waiting" not in noop.stdout
    assert "changed=0" in noop.stdout


def test_in_place_on_a_terminal(stack, gone):
    first, second = pty.openpty()
    process = subprocess.Popen(
        stack.command("start"),
        stdin=second,
        stdout=second,
        stderr=second,
        cwd=stack.directory.parent,
        env={**stack.environment, "TERM": "xterm"},
        start_new_session=True,
    )
    os.close(second)
    output, painted = b"", re.compile(rb"\r\x1b\[Kbox: waiting for slow \((\d+) s\): is starting")
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        if select.select([first], [], [], 1)[0]:
            try:
                output += os.read(first, 65536)
            except OSError:
                break
            if len(painted.findall(output)) == 2:
                get_well()
    os.close(first)
    assert process.wait(timeout=30) == 0, output.decode()
    text = output.decode()
    seconds = [int(found) for found in painted.findall(output)]
    assert len(seconds) >= 2, text
    assert seconds == sorted(seconds)
    # What was painted is wiped away before the next line.
    last = text.rindex("box: waiting for slow")
    assert text[last:].index("\r\x1b[K") < text[last:].index("\n")


@pytest.mark.long
def test_through_ssh(stack, gone, tmp_path):
    with ssh_lab.server(tmp_path, free_ports(1)) as reach:
        stack.set(**reach)
        try:
            shown = shown_by(stack.start("site"))
            noop = stack.play("site")
        finally:
            stack.set(ansible_connection="local")
    assert "box: waiting for slow" in shown
    assert "box: waiting" not in noop.stdout
    assert left(stack) == []
