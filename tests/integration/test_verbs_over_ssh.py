# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The verbs by real ssh, as a user whose sudo asks for a password, on one host for the whole file."""

from __future__ import annotations

import json
import os
import re
import sys

import pexpect
import pytest
import ssh_lab
import stack_harness
from nested import run
from stack_harness import ROOT, docker, free_ports, wait_for

PROJECT, PREFIX = f"sv4-{os.getpid()}", f"sv4-{os.getpid()}-"
PORT = free_ports(9)
BECOME = ("-e", json.dumps({"ansible_become_password": ssh_lab.PASSWORD}))
ONLY = {**stack_harness.SMALL, "prowlarr": False, "sabnzbd": False}
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Remote(stack_harness.Stack):
    """The stack on a host that is reached by ssh; `host` is what is behind it."""

    host = None

    def command(self, playbook, *arguments):
        """With sudo's password, as everything is run here."""
        return super().command(playbook, *BECOME, *arguments)

    def at_terminal(self, playbook, *arguments, **environment):
        """The playbook at a pseudo-terminal."""
        program, *words = self.command(playbook, *arguments)
        return pexpect.spawn(
            program, words, cwd=str(ROOT), env={**self.environment, "TERM": "xterm", **environment},
            encoding="utf-8", timeout=60, dimensions=(40, 200),
        )  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    images = [sys.executable, str(ROOT / "tests/lab/bin/images"), "build", "--only", "gluetun,qbittorrent,sonarr"]
    run(images, timeout=600)
    place = tmp_path_factory.mktemp("sv4")
    made = Remote(
        place,
        PROJECT,
        PORT + 1,
        mediastack_container_prefix=PREFIX,
        mediastack_services=ONLY,
        mediastack_healthcheck_interval=1,
    )
    with ssh_lab.user_host(f"{PREFIX}host", place, PORT) as made.host:
        made.set(**made.host.variables)
        try:
            made.play("site")
            yield made
        finally:
            made.remove()


@pytest.fixture(autouse=True)
def nothing_is_left_there(stack):
    """Whatever a verb does, its files and processes on the host are gone afterwards."""
    yield
    wait_for(lambda: not stack.host.left(), 20, "the end of all that Ansible had there")


def states(stack):
    return {name: raw["State"]["Status"] for name, raw in stack.containers().items()}


def everything(done):
    return CONTROL.sub("", done.stdout + done.stderr)


def end(child):
    """What else is on the terminal until the end, and the exit code."""
    text = CONTROL.sub("", child.read())
    child.close()
    return text, child.exitstatus


@pytest.mark.long
def test_status_and_vpn_status(stack):
    done = stack.play("status")
    assert "3 of 3 healthy" in done.stdout, done.stdout
    done = stack.play("vpn_status")
    assert "box: VPN connected: mullvad (wireguard), exit in Netherlands" in done.stdout
    assert ssh_lab.PASSWORD not in everything(done)


@pytest.mark.long
def test_a_wrong_password_of_sudo_is_one_line(stack):
    text, code = end(stack.at_terminal("credentials", "-e", "ansible_become_password=wrong"))
    assert code != 0
    [line] = [line for line in text.splitlines() if "Incorrect sudo password" in line]
    assert line.startswith("fatal: [box]: ") and "Traceback" not in text and '{"' not in text, text


def test_credentials_on_the_terminal(stack):
    text, code = end(stack.at_terminal("credentials", "-e", "service=sonarr", "-vvv"))
    assert code == 0, text
    secrets = json.loads((stack.project_path / ".mediastack" / "secrets.json").read_text())["secrets"]
    assert text.count(secrets["sonarr_password"]) == text.count(secrets["sonarr_api_key"]) == 1, "and not by -vvv"
    assert re.search(rf"URL +http://127\.0\.0\.1:{PORT + 5}", text)


def test_logs_are_followed_until_ctrl_c(stack):
    child = stack.at_terminal("logs", "-e", "follow=true", "-e", "service=sonarr", "-e", "tail=1")
    child.expect("sonarr.*listens on")
    for _turn in range(2):
        docker("restart", "--time", "2", f"{PREFIX}sonarr")
        child.expect("sonarr.*listens on")
    child.sendintr()
    _text, code = end(child)
    assert code == 99


@pytest.mark.parametrize(
    ("verb", "arguments", "shown"),
    [
        ("logs", ("-e", "follow=true", "-e", "service=sonarr"), "listens on"),
        pytest.param("status", ("-e", "watch=1"), "3 of 3 healthy", marks=pytest.mark.long),
    ],
)
@pytest.mark.long
def test_a_terminal_that_goes_away_ends_what_would_go_on_for_ever(stack, verb, arguments, shown):
    mark = f"{PREFIX}{verb}-gone"
    child = stack.at_terminal(verb, *arguments, TEST_MARK=mark)
    child.expect(shown)
    stack_harness.hang_up(child, mark)


@pytest.mark.long
def test_stop_and_start(stack):
    stopped = stack.play("stop", "-e", "service=sonarr")
    assert stack_harness.changed(stopped) == 1
    assert states(stack) == {"gluetun": "running", "qbittorrent": "running", "sonarr": "exited"}
    told = stack.play("status", check=False)
    assert told.returncode != 0 and "FAILED! => 1 of 3 not healthy: box/sonarr" in everything(told)
    assert everything(told).count("held stopped since") == 1, everything(told)
    started = stack.play("start", "-e", "service=sonarr")
    assert "1 of 1 healthy" in started.stdout and set(states(stack).values()) == {"running"}


@pytest.mark.long
def test_vpn_stop_and_start(stack):
    stopped = stack.play("vpn_stop")
    assert "box: VPN stopped; the kill switch stays: nothing behind it gets out." in stopped.stdout
    assert stack.play("vpn_status", check=False).returncode != 0
    assert "box: VPN connected" in stack.play("vpn_start").stdout


@pytest.mark.long
def test_remove(stack):
    """The last one: data and configuration stay."""
    done = stack.play("remove")
    assert "box: removed" in done.stdout and "box: stays" in done.stdout
    assert states(stack) == {}
    assert not (stack.project_path / ".env").exists() and (stack.base / "config" / "sonarr").is_dir()
    secrets = stack.project_path / ".mediastack" / "secrets.json"
    assert secrets.exists() and secrets.stat().st_uid == 0
