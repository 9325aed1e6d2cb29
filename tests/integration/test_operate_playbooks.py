# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`stop`, `start`, `restart`, `credentials` and `remove` as a user runs them, from `site` to nothing."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import subprocess
import termios
import time

import pytest
import stack_harness as h

PROJECT = f"msoperate-{os.getpid()}"
FIRST_PORT = h.free_ports()
INVENTORY = {"gluetun", "qbittorrent", "sonarr"}
SINCE = r"since \d{4}-\d\d-\d\d \d\d:\d\d [+-]\d{4} by \S+@\S+"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A converged stack of three: gluetun, qbittorrent behind it, sonarr beside it."""
    made = h.Stack(
        tmp_path_factory.mktemp("operate"),
        PROJECT,
        FIRST_PORT,
        mediastack_container_prefix=f"{PROJECT}-",
        mediastack_services={**h.SMALL, "prowlarr": False, "sabnzbd": False},
    )
    made.remove()
    made.play("site")
    yield made
    made.remove()
    shutil.rmtree(made.directory, ignore_errors=True)


def lives(stack):
    """service → (id, start, running)."""
    return {name: (c["Id"], c["State"]["StartedAt"], c["State"]["Running"]) for name, c in stack.containers().items()}


def running(stack):
    return {name for name, life in lives(stack).items() if life[2]}


def held(stack):
    """name → verb, as on the host."""
    path = stack.project_path / ".mediastack" / "holds.json"
    return {name: e["verb"] for name, e in json.loads(path.read_text())["holds"].items()} if path.exists() else {}


def assert_contained(stack):
    containers = stack.containers()
    spaces = {os.readlink(f"/proc/{containers[name]['State']['Pid']}/ns/net") for name in ("gluetun", "qbittorrent")}
    assert len(spaces) == 1


def on_terminal(stack, *arguments, answer=None):
    """(exit code, all that a terminal showed) of a playbook; *answer*: (what is waited for, what is typed then)."""
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        stack.command(*arguments),
        cwd=h.ROOT,
        env={**stack.environment, "TERM": "xterm"},
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        start_new_session=True,
        preexec_fn=_controlling_terminal,
    )
    os.close(secondary)
    shown, deadline = "", time.monotonic() + 120
    try:
        while time.monotonic() < deadline:
            if not select.select([primary], [], [], 1)[0]:
                # Ansible throws away what is typed before it has shown its question and set up the terminal.
                if answer and answer[0] in shown:
                    os.write(primary, f"{answer[1]}\r".encode())
                continue
            try:
                chunk = os.read(primary, 65536)
            except OSError:
                break
            shown += chunk.decode(errors="replace").replace("\r\n", "\n")
        return process.wait(timeout=30), shown
    finally:
        process.kill()
        os.close(primary)


def _controlling_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.long
def test_what_was_stopped_stays_stopped_and_everybody_says_so_until_it_is_started(stack):
    assert h.changed(stack.play("stop", "-e", "service=sonarr")) == 1
    assert running(stack) == {"gluetun", "qbittorrent"} and held(stack) == {"sonarr": "stop"}
    before = lives(stack)
    done = stack.play("site")
    assert h.changed(done) == 0 and lives(stack) == before
    assert re.search(rf"box: sonarr is left as it is: held stopped {SINCE}", done.stdout), done.stdout
    status = stack.play("status", check=False)
    assert status.returncode != 0
    assert re.search(rf"sonarr +STOPPED +held stopped {SINCE}; run start", status.stdout), status.stdout
    assert "1 of 3 not healthy: box/sonarr" in status.stdout + status.stderr
    assert h.changed(stack.play("start", "-e", "service=sonarr")) == 1
    assert running(stack) == INVENTORY and held(stack) == {}
    assert h.changed(stack.play("start", "-e", "service=sonarr")) == 0


@pytest.mark.long
def test_stop_of_gluetun_takes_its_dependents_and_start_of_one_brings_it_up_first(stack):
    done = stack.play("stop", "-e", "service=gluetun")
    assert "qbittorrent is stopped too: it lives in the network of gluetun" in done.stdout
    assert running(stack) == {"sonarr"} and held(stack) == {"gluetun": "stop"}
    site = stack.play("site", "--check")
    assert h.changed(site) == 0
    assert re.search(rf"qbittorrent is left as it is: it needs gluetun, held stopped {SINCE}", site.stdout)
    stack.play("start", "-e", "service=qbittorrent")
    assert running(stack) == INVENTORY and held(stack) == {}
    assert_contained(stack)
    before = lives(stack)
    stack.play("restart", "-e", "service=gluetun")
    assert {name for name, life in lives(stack).items() if life != before[name]} == {"gluetun", "qbittorrent"}
    assert_contained(stack)


@pytest.mark.long
def test_what_was_started_beyond_the_inventory_stays_until_it_is_stopped(stack):
    done = stack.play("start", "-e", "profiles=music")
    assert "write mediastack_services: {lidarr: true}" in done.stdout
    assert held(stack) == {"lidarr": "start"} and "lidarr" in running(stack)
    before = lives(stack)
    site = stack.play("site")
    assert h.changed(site) == 0 and lives(stack) == before
    assert re.search(rf"lidarr is kept although the inventory does not select it: held started {SINCE}", site.stdout)
    assert "lidarr" in (stack.project_path / "compose.media.yml").read_text()
    released = stack.play("site", "-e", "release_holds=true")
    assert h.changed(released) == 1 and held(stack) == {} and set(lives(stack)) == INVENTORY


@pytest.mark.parametrize(
    ("verb", "word", "hint"),
    [
        ("stop", "service=qbitorrent", "qbittorrent"),
        ("credentials", "servcie=sonarr", "service"),
        ("remove", "service=sonarr", "no effect on remove"),
        ("remove", "purge_confg=true", "purge_config"),
    ],
)
def test_a_misspelt_word_is_an_error_before_anything_is_touched(stack, verb, word, hint):
    before = lives(stack), held(stack)
    done = stack.play(verb, "-e", word, check=False)
    assert done.returncode != 0 and hint in done.stdout and "Traceback" not in done.stdout + done.stderr
    assert (lives(stack), held(stack)) == before


def test_credentials_are_shown_on_the_terminal_and_nowhere_else(stack, tmp_path):
    secrets = json.loads((stack.project_path / ".mediastack" / "secrets.json").read_text())["secrets"]
    log = tmp_path / "ansible.log"
    piped = stack.play("credentials", "-e", "service=sonarr", check=False, env={"ANSIBLE_LOG_PATH": str(log)})
    assert piped.returncode != 0 and "credentials are shown on a terminal only" in piped.stdout
    code, shown = on_terminal(_Logged(stack, log), "credentials", "-vvv", "-e", "service=sonarr,qbittorrent,gluetun")
    assert code == 0, shown
    for name in ("sonarr_password", "sonarr_api_key", "qbittorrent_password"):
        assert shown.count(secrets[name]) == 1, (name, shown)
        assert secrets[name] not in piped.stdout + log.read_text()
    assert f"URL       http://127.0.0.1:{FIRST_PORT + 4}" in shown and "user      admin" in shown
    assert "has no web interface" in shown
    assert "ok: [box]" in log.read_text()


class _Logged:
    """A stack whose runs also write Ansible's log file."""

    def __init__(self, stack, log):
        self.command = stack.command
        self.environment = {**stack.environment, "ANSIBLE_LOG_PATH": str(log)}


def test_a_login_that_was_changed_in_the_app_is_called_its_own(stack):
    config = stack.base / "config" / "qbittorrent" / "qBittorrent" / "qBittorrent.conf"
    kept = config.read_bytes()
    config.write_bytes(re.sub(rb"PBKDF2=.*", b'PBKDF2="@ByteArray(AAAA:BBBB)"', kept))
    try:
        code, shown = on_terminal(stack, "credentials", "-e", "service=qbittorrent")
    finally:
        config.write_bytes(kept)
    assert code == 0 and "its own, from your configuration" in shown


def test_remove_takes_the_stack_and_its_configuration_only_with_the_hosts_name(stack):
    before = lives(stack)
    refused = stack.play("remove", "-e", "purge_config=true", check=False)
    assert refused.returncode != 0 and "-e confirm=box" in refused.stdout and "Traceback" not in refused.stdout
    code, shown = on_terminal(stack, "remove", "-e", "purge_config=true", answer=("to go on:", "bx"))
    assert code != 0 and "'bx' is not 'box'" in shown
    assert lives(stack) == before

    said = stack.play("remove", "--check")
    assert "box: would be removed" in said.stdout and lives(stack) == before
    done = stack.play("remove")
    assert h.changed(done) == h.changed(said) == 1 and lives(stack) == {}
    for kept in ("config", "media", "downloads"):
        assert (stack.base / kept).is_dir() and str(stack.base / kept) in done.stdout
    assert not list(stack.project_path.glob("compose*.yml")) and not (stack.project_path / ".env").exists()

    code, shown = on_terminal(stack, "remove", "-e", "purge_config=true", answer=("to go on:", "box"))
    assert code == 0, shown
    assert sorted(path.name for path in stack.base.iterdir()) == ["downloads", "media"]
    assert h.changed(stack.play("remove", "-e", "purge_config=true", "-e", "confirm=box")) == 0
