# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`ansible-playbook homelab.mediastack.status` as a user runs it: table, sentence, exit code, files."""

import json
import os
import pty
import re
import subprocess

import health_lab as lab
import pytest
import yaml
from stack_harness import free_ports

PROJECT = f"{lab.PREFIX}-status"
OFF = ("bazarr", "flaresolverr", "prowlarr", "qbittorrent", "radarr", "sabnzbd", "unpackerr")
IMAGE = f"{lab.IMAGE}:1"
FIRST_PORT = free_ports()
PORTS = {"sonarr": FIRST_PORT, "chat": FIRST_PORT + 1}
UNREACHABLE = FIRST_PORT + 2


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    lab.build_image()
    base = tmp_path_factory.mktemp("status")
    found = lab.Project(PROJECT, base / "data" / "compose")
    try:
        (base / "data" / "media").mkdir(parents=True)
        (base / "data" / "downloads").mkdir()
        (base / "data" / "config").mkdir()
        (base / "services").mkdir()
        (base / "services" / "sonarr.yml.j2").write_text(service_file("sonarr"))
        (base / "services" / "chat.yml.j2").write_text(service_file("chat"))
        found.directory = base
        found.inventory = base / "inventory.yml"
        write_inventory(found)
        found.run("sonarr", "ok", PORTS["sonarr"])
        found.run("chat", "ok", PORTS["chat"], options=["--label", "mediastack.lab.runs=stand-in"])
        lab.wait_for(lambda: status(found).returncode == 0, "the two services to answer", 60)
        yield found
    finally:
        found.remove()
        lab.remove_image()


SERVICE_FILE = """services:
  APP:
    image: IMAGE
    container_name: PROJECT-APP
    x-mediastack:
      title: APP
      profiles: [always]
      ports:
        web: {port: 22400, target: 8080}
      health: {kind: http, port: web, path: /ping, json: {status: OK}}
      login: {kind: none}
"""


def service_file(app):
    """The app's own file; its port in the container is that of the lab's server."""
    return SERVICE_FILE.replace("IMAGE", IMAGE).replace("PROJECT", PROJECT).replace("APP", app)


def write_inventory(project, far=False, **variables):
    local = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }
    hosts = {"nas": local}
    if far:
        hosts["far"] = {"ansible_host": "127.0.0.1", "ansible_port": UNREACHABLE, "ansible_connection": "ssh"}
    settings = {
        "mediastack_project_name": PROJECT,
        "mediastack_base_path": str(project.directory / "data"),
        "mediastack_vpn_enabled": False,
        "mediastack_profiles": [],
        "mediastack_bind_addresses": ["127.0.0.1"],
        "mediastack_health_timeout": 3,
        "mediastack_services": dict.fromkeys(OFF, False),
        "mediastack_ports": PORTS,
        **variables,
    }
    text = yaml.safe_dump({"mediastack": {"hosts": hosts, "vars": settings}})
    project.inventory.write_text(text)


def environment(project, **more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MEDIASTACK_", "NO_COLOR"))}
    kept["PATH"] = f"{lab.ROOT / '.venv' / 'bin'}:{kept['PATH']}"
    # A user's own directory: no ansible.cfg of ours but the way to the collection.
    kept["ANSIBLE_COLLECTIONS_PATH"] = str(lab.COLLECTIONS)
    kept["XDG_CONFIG_HOME"] = str(project.directory / "xdg")
    return {**kept, **more}


def command(project, *arguments):
    return ["ansible-playbook", "-i", str(project.inventory), "homelab.mediastack.status", *arguments]


def status(project, *arguments, **more):
    return subprocess.run(
        command(project, *arguments),
        cwd=project.directory,
        env=environment(project, **more),
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def everything(done):
    return done.stdout + done.stderr


def test_all_is_well(project):
    done = status(project)
    assert done.returncode == 0, everything(done)
    lines = done.stdout.splitlines()
    heading = next(line for line in lines if line.startswith("HOST"))
    assert heading.split() == ["HOST", "SERVICE", "STATUS", "MESSAGE", "LATENCY", "IMAGE", "RUNS"]
    assert any(re.match(r"nas +chat +HEALTHY +\d+ ms +1 +stand-in$", line) for line in lines), done.stdout
    assert "2 of 2 healthy" in lines
    assert "VPN OFF: torrents use your own address" in lines
    assert "changed=0" in done.stdout
    assert "\x1b" not in done.stdout


def test_check_mode_looks_as_well(project):
    done = status(project, "--check")
    assert done.returncode == 0
    assert "2 of 2 healthy" in done.stdout


def test_what_is_not_well_is_one_readable_line(project):
    lab.docker("stop", "--time", "0", f"{PROJECT}-sonarr")
    try:
        done = status(project)
        json_only = status(project, "-e", "output=-")
        passing = status(project, "-e", "fail_on=never")
        lenient = status(project, "-e", "fail_on=unhealthy")
    finally:
        lab.docker("start", f"{PROJECT}-sonarr")
    assert done.returncode != 0
    assert re.search(r"^nas +sonarr +STOPPED +stopped \d+ s ago \(exit code 137\)", done.stdout, re.MULTILINE)
    assert re.search(r"^nas +chat +HEALTHY", done.stdout, re.MULTILINE)
    assert "fatal: [nas]: FAILED! => 1 of 2 not healthy: nas/sonarr\n" in everything(done)
    for sign in ("Traceback", '{"', "'msg'", "msg:", "Origin:", "[ERROR]", "[WARNING]"):
        assert sign not in everything(done), everything(done)

    assert json_only.returncode != 0
    assert json.loads(json_only.stdout)["healthy"] is False
    assert "1 of 2 not healthy: nas/sonarr" in json_only.stderr

    assert passing.returncode == 0
    assert "1 of 2 not healthy: nas/sonarr" in passing.stdout
    assert lenient.returncode != 0


@pytest.mark.long
def test_only_the_json(project):
    lab.wait_for(lambda: status(project).returncode == 0, "sonarr to be back", 60)
    done = status(project, "-e", "output=-")
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert list(report) == ["schema", "healthy", "generated", "services", "hosts", "warnings"]
    assert (report["schema"], report["healthy"]) == (1, True)
    rows = {row["name"]: row for row in report["services"]}
    assert set(rows) == {"sonarr", "chat"}
    assert rows["chat"]["url"] == f"http://127.0.0.1:{PORTS['chat']}"
    assert rows["chat"]["runs"] == "stand-in"
    assert rows["sonarr"]["container"] == f"{PROJECT}-sonarr"
    host = report["hosts"]["nas"]
    assert host["vpn"] == {"enabled": False, "services": []}
    assert host["disks"]["media"]["path"] == str(project.directory / "data" / "media")
    assert host["disks"]["media"]["free_bytes"] > 0
    assert host["queues"] == {}


def test_a_reader_that_has_read_enough_does_not_hang_the_run(project):
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        command(project, "-e", "output=-"),
        cwd=project.directory,
        env=environment(project),
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    try:
        _out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert b"Traceback" not in errors


def test_a_file(project):
    done = status(project, "-e", "output=status.json")
    assert done.returncode == 0
    assert "2 of 2 healthy" in done.stdout
    report = json.loads((project.directory / "status.json").read_text())
    assert report["healthy"] is True


@pytest.mark.parametrize("output", ["status.htm", "status.txt", "", "nowhere/status.json"])
def test_a_file_that_cannot_be_written(project, output):
    done = status(project, "-e", f"output={output}")
    assert done.returncode != 0
    assert "output=" in everything(done)
    assert ".json" in everything(done) or "default" in everything(done)
    assert "Traceback" not in everything(done)


def test_an_unreachable_host_is_a_row_and_hides_nobody(project):
    write_inventory(project, far=True)
    try:
        done = status(project)
        report = json.loads(status(project, "-e", "output=-").stdout)
    finally:
        write_inventory(project)
    assert done.returncode != 0
    assert re.search(
        rf"^far +\(all 2\) +UNKNOWN +unreachable: .*{UNREACHABLE}.*Connection refused", done.stdout, re.MULTILINE
    )
    assert re.search(r"^nas +sonarr +HEALTHY", done.stdout, re.MULTILINE)
    assert "2 of 4 not healthy: far (all 2)" in everything(done)
    assert {row["status"] for row in report["services"] if row["host"] == "far"} == {"UNKNOWN"}
    assert report["healthy"] is False


def test_a_host_with_refused_settings_is_a_row(project):
    write_inventory(project, far=True)
    text = project.inventory.read_text().replace(f"ansible_port: {UNREACHABLE}", "mediastack_puid: many")
    project.inventory.write_text(text)
    try:
        done = status(project)
    finally:
        write_inventory(project)
    assert done.returncode != 0
    assert "mediastack_puid" in everything(done)
    assert re.search(r"^far +\(host\) +UNKNOWN +its health was not read", done.stdout, re.MULTILINE)
    assert re.search(r"^nas +sonarr +HEALTHY", done.stdout, re.MULTILINE)


def test_a_host_without_python_is_a_row(project):
    write_inventory(project)
    text = project.inventory.read_text().replace("'{{ ansible_playbook_python }}'", "/nonexistent/python3")
    assert "/nonexistent" in text
    project.inventory.write_text(text)
    try:
        done = status(project)
    finally:
        write_inventory(project)
    assert done.returncode != 0
    assert re.search(r"^nas +\(all 2\) +UNKNOWN", done.stdout, re.MULTILINE), everything(done)


def test_an_engine_that_does_not_answer_is_unknown(project):
    done = status(project, DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert done.returncode != 0
    assert re.search(r"^nas +\(all 2\) +UNKNOWN +.*Docker", done.stdout, re.MULTILINE), everything(done)


def on_terminal(project, columns, **more):
    """Output of a run whose standard output is a terminal of that width."""
    primary, secondary = pty.openpty()
    subprocess.run(["stty", "cols", str(columns), "rows", "50"], stdin=secondary, check=True)
    process = subprocess.Popen(
        command(project),
        cwd=project.directory,
        env=environment(project, TERM="xterm", **more),
        stdin=subprocess.DEVNULL,
        stdout=secondary,
        stderr=secondary,
    )
    os.close(secondary)
    output = b""
    while True:
        try:
            chunk = os.read(primary, 65536)
        except OSError:
            break
        if not chunk:
            break
        output += chunk
    os.close(primary)
    process.wait(timeout=60)
    return output.decode().replace("\r\n", "\n")


@pytest.mark.long
def test_a_terminal_has_colours_and_no_overlong_line(project):
    long = f"{lab.IMAGE}:" + "x" * 100
    write_inventory(project, mediastack_images={"sonarr": long})
    try:
        output = on_terminal(project, 100)
        plain = on_terminal(project, 100, ANSIBLE_NOCOLOR="1")
        piped = status(project).stdout
    finally:
        write_inventory(project)
    line = next(line for line in output.splitlines() if "sonarr" in line and "HEALTHY" in line)
    assert "\x1b[0;32mHEALTHY" in line
    assert "…" in line
    assert len(re.sub(r"\x1b\[[0-9;]*m|\x1b]8;;[^\x1b]*\x1b\\", "", line)) <= 100
    assert "\x1b" not in next(line for line in plain.splitlines() if "sonarr" in line and "HEALTHY" in line)
    assert f"the inventory says {long}" in piped
