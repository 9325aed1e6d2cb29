# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `site` promises, seen from outside: docker inspect, HTTP, bytes of files, exit codes (P1-P3, P10, P13-P15)."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import time

import lived_in
import psutil
import pytest
import stack_harness as h
from site_seen import MEMBERS, assert_contained, site_json

PROJECT = "ms-e2e"
FIRST_PORT = 25000
CORE = {"gluetun", "qbittorrent", "sabnzbd", "prowlarr", "sonarr"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A converged stack of the core and sonarr, behind the VPN stand-in."""
    made = h.Stack(tmp_path_factory.mktemp("e2e"), PROJECT, FIRST_PORT, mediastack_container_prefix="e2e-")
    made.remove()
    yield made
    made.remove()
    shutil.rmtree(made.directory, ignore_errors=True)


def services_of(tasks):
    """The per-service results of the task that converged the stack."""
    return next(result["services"] for result in tasks.values() if "services" in result and "actions" in result)


def test_check_mode_on_a_bare_host_predicts_what_then_changes_and_a_second_run_changes_nothing(stack):
    predicted = site_json(stack, "--check", "--diff")
    assert not stack.base.exists(), "check mode wrote something"
    assert stack.containers() == {}
    really = site_json(stack)
    for name, result in really.items():
        assert predicted[name].get("changed", False) == result.get("changed", False), name
    wanted = {name: entry["action"] for name, entry in services_of(really).items()}
    assert {name: entry["action"] for name, entry in services_of(predicted).items()} == wanted
    assert set(wanted) == CORE and set(wanted.values()) == {"create"}
    before = {name: (c["Id"], c["State"]["StartedAt"]) for name, c in stack.containers().items()}
    assert h.changed(stack.play("site")) == 0
    assert {name: (c["Id"], c["State"]["StartedAt"]) for name, c in stack.containers().items()} == before
    assert_contained(stack)


def test_the_apps_answer_on_loopback_only_and_the_torrent_port_is_not_published(stack):
    status, body = h.get(f"http://127.0.0.1:{FIRST_PORT + 4}/ping")
    assert (status, json.loads(body)) == (200, {"status": "OK"})
    assert h.get(f"http://127.0.0.1:{FIRST_PORT + 1}/")[0] == 200
    assert "version" in h.get(f"http://127.0.0.1:{FIRST_PORT + 2}/api?mode=version&output=json")[1]
    published = {
        (port, binding["HostIp"])
        for container in stack.containers().values()
        for port, bindings in (container["HostConfig"]["PortBindings"] or {}).items()
        for binding in bindings
    }
    assert {address for _port, address in published} == {"127.0.0.1"}
    assert not [port for port, _address in published if port.startswith("6881")]


def test_no_secret_of_ours_shows_in_docker_inspect_or_in_the_rendered_files(stack):
    secrets = json.loads((stack.project_path / ".mediastack" / "secrets.json").read_text())
    values = [*re.findall(r'"([A-Za-z0-9+/=]{20,})"', json.dumps(secrets)), h.WIREGUARD_KEY]
    seen = json.dumps(list(stack.containers().values()))
    files = "".join(p.read_text() for p in stack.project_path.glob("compose*.yml"))
    for value in values:
        assert value not in seen and value not in files
    for path in stack.project_path.rglob("*"):
        if path.is_file() and ("secret" in str(path) or path.name == ".env"):
            assert path.stat().st_mode & 0o077 == 0, path


def test_plain_docker_compose_in_the_project_directory_works_on_the_result(stack):
    out = h.subprocess.run(
        ["docker", "compose", "ps", "--services"], cwd=stack.project_path, capture_output=True, text=True, check=True
    )
    assert set(out.stdout.split()) == CORE
    dry = h.subprocess.run(
        ["docker", "compose", "--dry-run", "up", "-d"],
        cwd=stack.project_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Recreate" not in dry.stderr + dry.stdout and "Creat" not in dry.stderr + dry.stdout


def test_a_profile_turned_off_takes_its_containers_and_leaves_its_data(stack):
    stack.set(mediastack_profiles=["music"])
    stack.play("site")
    assert "lidarr" in stack.containers()
    config = stack.base / "config" / "lidarr"
    before = {p.relative_to(config): p.read_bytes() for p in config.rglob("*") if p.is_file()}
    assert before
    stack.set(mediastack_profiles=[])
    check = stack.play("site", "--check")
    assert h.changed(check) > 0 and "lidarr" in stack.containers()
    stack.play("site")
    assert "lidarr" not in stack.containers()
    after = {p.relative_to(config): p.read_bytes() for p in config.rglob("*") if p.is_file()}
    assert {k: v for k, v in after.items() if k in before and "log" not in str(k)} == {
        k: v for k, v in before.items() if "log" not in str(k)
    }


def test_a_changed_setting_recreates_its_service_and_no_other(stack):
    before = {name: c["Id"] for name, c in stack.containers().items()}
    stack.set(mediastack_overrides={"sonarr": {"environment": {"MARK": "new"}}})
    predicted = services_of(site_json(stack, "--check"))
    tasks = services_of(site_json(stack))
    assert {n for n, s in predicted.items() if s["action"] != "none"} == {"sonarr"}
    assert {n for n, s in tasks.items() if s["action"] != "none"} == {"sonarr"}
    after = {name: c["Id"] for name, c in stack.containers().items()}
    assert {name for name in after if after[name] != before[name]} == {"sonarr"}
    assert "MARK=new" in stack.containers()["sonarr"]["Config"]["Env"]
    stack.set(mediastack_overrides={})
    stack.play("site")


def test_two_fresh_checkouts_use_the_same_generated_secrets(stack, tmp_path):
    key = (stack.base / "config" / "sonarr" / "config.xml").read_text()
    other = h.Stack(tmp_path / "second", PROJECT, FIRST_PORT, **stack.variables)
    assert h.changed(other.play("site")) == 0
    assert (stack.base / "config" / "sonarr" / "config.xml").read_text() == key


def test_two_runs_at_once_wait_or_name_the_holder_and_the_stack_stays_sound(stack):
    stack.set(mediastack_env={"TURN": "1"}, mediastack_overrides={"sonarr": {"environment": {"TURN": "${TURN}"}}})
    runs = [stack.start("site"), stack.start("site")]
    outputs = [run.communicate(timeout=300)[0] for run in runs]
    for run, output in zip(runs, outputs, strict=True):
        assert run.returncode == 0 or "holds the lock" in output, output[-3000:]
    stack.play("site")
    assert h.changed(stack.play("site")) == 0
    assert_contained(stack)
    names = {c["Name"].lstrip("/") for c in stack.containers().values()}
    assert names == {stack.prefix + name for name in CORE}
    networks = h.docker("network", "ls", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
    assert len(networks) == 1


def _command(process):
    """The command line of a process; empty where it has ended (a zombie has none)."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _kill_during_recreate(stack, seed, turn):
    """Start a `site` that recreates everything, kill a process of it at a random moment, run `site` again."""
    chance = random.Random(seed)
    marks = {name: {"environment": {"TURN": str(turn)}} for name in CORE}
    stack.set(mediastack_overrides=marks)
    run = stack.start("site")
    time.sleep(chance.uniform(1.0, 9.0))  # the fault's moment is the input of the test, not a wait for a state
    whole_run = chance.random() < 0.5
    family = psutil.Process(run.pid).children(recursive=True) if run.poll() is None else []
    composes = [process for process in family if "compose" in " ".join(_command(process)[:4])]
    if whole_run or not composes:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        victims = family
    else:
        victims = composes[:1]
    for process in victims:
        # It may have ended by itself meanwhile.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    run.communicate(timeout=300)
    stack.play("site")
    containers = stack.containers()
    assert {c["Name"].lstrip("/") for c in containers.values()} == {stack.prefix + name for name in CORE}
    assert all(f"TURN={turn}" in c["Config"]["Env"] for c in containers.values())
    assert_contained(stack)
    assert h.changed(stack.play("site")) == 0


@pytest.mark.parametrize("turn", range(int(os.environ.get("MEDIASTACK_TEST_KILLS", "1"))))
def test_a_kill_at_a_random_moment_of_a_recreate_is_healed_by_the_next_run(stack, turn):
    _kill_during_recreate(stack, f"kill-{turn}", turn)


def test_a_foreign_stack_with_our_names_is_named_and_left_alone(stack, tmp_path):
    image = stack.containers()["sonarr"]["Config"]["Image"]
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "compose.yml").write_text(
        f"name: {PROJECT}\nservices:\n  lidarr:\n    image: {image}\n    container_name: e2e-lidarr\n"
        f"    entrypoint: [sleep, infinity]\n    ports: ['127.0.0.1:{FIRST_PORT + 5}:80']\n"
    )
    h.subprocess.run(["docker", "compose", "up", "-d"], cwd=foreign, check=True, capture_output=True)
    try:
        before = h.docker("inspect", "e2e-lidarr")
        stack.set(mediastack_profiles=["music"])
        done = stack.play("site", check=False)
        assert done.returncode != 0
        assert "e2e-lidarr" in done.stdout and str(foreign) in done.stdout
        assert h.docker("inspect", "e2e-lidarr") == before
        stack.set(mediastack_profiles=[])
        stack.play("site", check=False)
        assert h.docker("inspect", "e2e-lidarr") == before
    finally:
        h.subprocess.run(["docker", "rm", "-f", "e2e-lidarr"], check=True, capture_output=True)
        stack.set(mediastack_profiles=[])


def test_a_taken_port_stops_the_run_with_its_owner_a_free_port_and_the_line_to_set(stack):
    before = {name: c["Id"] for name, c in stack.containers().items()}
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", FIRST_PORT + 60))
        holder.listen()
        ports = {**stack.variables["mediastack_ports"], "sonarr": FIRST_PORT + 60}
        old = stack.variables["mediastack_ports"]
        stack.set(mediastack_ports=ports)
        done = stack.play("site", check=False)
        stack.set(mediastack_ports=old)
    assert done.returncode != 0
    assert str(FIRST_PORT + 60) in done.stdout and "mediastack_ports" in done.stdout
    # The message, and nothing of the module's result or of Ansible's insides around it.
    assert "health_services" not in done.stdout and "Origin:" not in done.stdout + done.stderr
    assert f"pid {os.getpid()}" in done.stdout or str(os.getpid()) in done.stdout
    assert {name: c["Id"] for name, c in stack.containers().items()} == before


def test_stop_of_gluetun_takes_its_dependents_and_start_of_a_dependent_brings_it_back(stack):
    done = stack.play("stop", "-e", "service=gluetun")
    containers = stack.containers()
    assert not any(containers[name]["State"]["Running"] for name in MEMBERS | {"gluetun"})
    assert containers["sonarr"]["State"]["Running"]
    assert "qbittorrent" in done.stdout
    stack.play("start", "-e", "service=qbittorrent")
    containers = stack.containers()
    assert containers["gluetun"]["State"]["Running"] and containers["qbittorrent"]["State"]["Running"]
    assert not containers["sabnzbd"]["State"]["Running"]
    stack.play("site")
    assert_contained(stack)


def test_restart_restarts_and_keeps_every_container(stack):
    before = {n: (c["Id"], c["State"]["StartedAt"]) for n, c in stack.containers().items()}
    done = stack.play("restart", "-e", "service=gluetun")
    count = 1 + len(MEMBERS)
    assert f"{count} of {count} healthy" in done.stdout
    after = {n: (c["Id"], c["State"]["StartedAt"]) for n, c in stack.containers().items()}
    assert {n: seen[0] for n, seen in after.items()} == {n: seen[0] for n, seen in before.items()}
    assert {n for n in after if after[n][1] != before[n][1]} == {"gluetun"} | MEMBERS
    assert_contained(stack)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["-e", "servcie=sonarr"], "service"),
        (["-e", "service=sonar"], "sonarr"),
        (["-e", "service="], "service"),
        (["-e", "mediastack_pgdi=5"], "mediastack_pgid"),
        (["-e", "mediastack_puid=nobody"], "mediastack_puid"),
        (["-e", '{"mediastack_profiles": ["musik"]}'], "music"),
        (["-e", "mediastack_vpn_provider=mulvad"], "mullvad"),
    ],
)
def test_a_misspelt_word_is_an_error_with_the_closest_one_before_anything_is_touched(stack, arguments, hint):
    before = {n: (c["Id"], c["State"]["StartedAt"]) for n, c in stack.containers().items()}
    done = stack.play("restart", *arguments, check=False)
    assert done.returncode != 0
    assert hint in done.stdout, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert {n: (c["Id"], c["State"]["StartedAt"]) for n, c in stack.containers().items()} == before


def test_lived_in_config_directories_are_adopted_before_the_first_site(tmp_path):
    """P2: real and simulated apps with years of settings; each fixture is a file as the real app writes it."""
    stack = h.Stack(tmp_path, "ms-lived", FIRST_PORT + 100, mediastack_container_prefix="lived-")
    config = stack.base / "config"
    places = {
        "sonarr/config.xml": "sonarr/config.xml",
        "prowlarr/config.xml": "prowlarr/config.xml",
        "qbittorrent/qBittorrent.conf": "qbittorrent/qBittorrent/qBittorrent.conf",
        "sabnzbd/sabnzbd.ini": "sabnzbd/sabnzbd.ini",
    }
    for source, target in places.items():
        (config / target).parent.mkdir(parents=True, exist_ok=True)
        (config / target).write_bytes(lived_in.read(source))
        (config / target).with_name("mine.dat").write_bytes(b"years of work")
    for path in [stack.base, *stack.base.rglob("*")]:
        os.chown(path, 1000, 1000)
    before = {target: (config / target).read_bytes() for target in places.values()}
    key = re.search(rb"<ApiKey>(\w+)</ApiKey>", before["sonarr/config.xml"])[1].decode()
    try:
        stack.play("site")
        for target, old in before.items():
            path = config / target
            copies = list(path.parent.glob(path.name + ".mediastack-*"))
            kept = [copy.read_bytes() for copy in copies] == [old]
            assert path.read_bytes() == old or kept or _by_the_app(path, old), target
            assert path.with_name("mine.dat").read_bytes() == b"years of work"
        assert f"<ApiKey>{key}</ApiKey>" in (config / "sonarr/config.xml").read_text()
        sonarr = f"http://127.0.0.1:{stack.variables['mediastack_ports']['sonarr']}"
        assert h.get(f"{sonarr}/api/v3/system/status?apikey={key}")[0] == 200
        assert h.changed(stack.play("site")) == 0
    finally:
        stack.remove()


def _by_the_app(path, old):
    """Whether only the app itself rewrote the file: the settings that it still knows have their old values."""
    now = path.read_bytes()
    lines = [line for line in old.splitlines() if b"=" in line and not line.lstrip().startswith((b"#", b";", b"["))]
    return sum(line.strip() in now for line in lines) >= 0.8 * len(lines)


def test_without_credentials_nothing_is_touched_and_the_variables_are_named(stack):
    kept = dict(stack.variables)
    before = {n: (c["Id"], c["State"]["StartedAt"]) for n, c in stack.containers().items()}
    stack.set(mediastack_vpn_wireguard_private_key="")
    done = stack.play("site", check=False)
    stack.set(**kept)
    assert done.returncode != 0 and "mediastack_vpn_wireguard_private_key" in done.stdout
    assert {n: (c["Id"], c["State"]["StartedAt"]) for n, c in stack.containers().items()} == before


def test_an_empty_group_is_an_error(stack, tmp_path):
    (tmp_path / "inventory.yml").write_text("other: {hosts: {elsewhere: {ansible_connection: local}}}\n")
    command = [*stack.command("site")]
    command[2] = str(tmp_path / "inventory.yml")
    done = h.subprocess.run(command, cwd=h.ROOT, env=stack.environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "mediastack" in done.stdout + done.stderr


def test_status_prints_every_service_and_fails_when_one_is_down(stack, tmp_path):
    stack.play("site")
    report = tmp_path / "status.json"
    done = stack.play("status", "-e", f"output={report}")
    for name in CORE:
        assert re.search(rf"\b{name}\b.*HEALTHY", done.stdout), done.stdout
    data = json.loads(report.read_text())
    assert data["healthy"] is True and {s["name"] for s in data["services"]} == CORE
    h.docker("stop", stack.containers()["sonarr"]["Name"])
    failed = stack.play("status", check=False)
    assert failed.returncode != 0 and re.search(r"sonarr.*STOPPED", failed.stdout)
    assert "box/sonarr" in failed.stdout + failed.stderr
    stack.play("site")


def test_vpn_off_counts_only_from_the_inventory_and_is_said(stack):
    done = stack.play("site", check=False, env={"MEDIASTACK_VPN_ENABLED": "false"})
    assert done.returncode != 0
    stack.set(mediastack_vpn_enabled=False)
    done = stack.play("site")
    assert "VPN OFF" in done.stdout
    containers = stack.containers()
    assert "gluetun" not in containers
    assert containers["qbittorrent"]["HostConfig"]["NetworkMode"] == PROJECT
    assert h.changed(stack.play("site")) == 0
