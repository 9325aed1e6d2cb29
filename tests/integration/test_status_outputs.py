# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `status` puts out: files of every format, the table at a real terminal, and watching until Ctrl-C."""

import contextlib
import json
import os
import re
import signal
import subprocess
import xml.etree.ElementTree as ET

import health_lab as lab
import html5lib
import jsonschema
import pexpect
import psutil
import pyte
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from stack_harness import free_ports

PROJECT = f"{lab.PREFIX}-outputs"
FIRST_PORT = free_ports()
PORTS = {"sonarr": FIRST_PORT, "chat": FIRST_PORT + 1}
SCHEMA = lab.ROOT / "docs" / "status.schema.json"
SERVICE_FILE = """services:
  APP:
    image: IMAGE:1
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
    return SERVICE_FILE.replace("IMAGE", lab.IMAGE).replace("PROJECT", PROJECT).replace("APP", app)


ALL_OF_THEM = ["bazarr", "flaresolverr", "prowlarr", "qbittorrent", "radarr", "sabnzbd", "unpackerr"]


class Place:
    """A user's directory with an inventory of local hosts, and everything that a run of theirs may leave somewhere."""

    def __init__(self, base):
        self.base = base
        self.scratch = base / "scratch"
        for name in ("data/media", "data/downloads", "data/config", "services", "scratch/tmp", "scratch/home"):
            (base / name).mkdir(parents=True)
        for app in PORTS:
            (base / "services" / f"{app}.yml.j2").write_text(service_file(app))
        self.inventory("nas")

    def inventory(self, *hosts, far=False):
        local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        found = dict.fromkeys(hosts, local)
        if far:
            found["far"] = {"ansible_host": "127.0.0.1", "ansible_port": FIRST_PORT + 2, "ansible_connection": "ssh"}
        settings = {
            "mediastack_project_name": PROJECT,
            "mediastack_base_path": str(self.base / "data"),
            "mediastack_vpn_enabled": False,
            "mediastack_profiles": [],
            "mediastack_bind_addresses": ["127.0.0.1"],
            "mediastack_health_timeout": 3,
            # The machine's own disk is nobody's business here.
            "mediastack_disk_warn_percent": 99,
            "mediastack_disk_critical_percent": 100,
            "mediastack_services": dict.fromkeys(ALL_OF_THEM, False),
            "mediastack_ports": PORTS,
        }
        text = yaml.safe_dump({"mediastack": {"hosts": found, "vars": settings}})
        (self.base / "inventory.yml").write_text(text)

    def environment(self, **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MEDIASTACK_", "NO_COLOR"))}
        kept.update(
            PATH=f"{lab.ROOT / '.venv' / 'bin'}:{kept['PATH']}",
            ANSIBLE_COLLECTIONS_PATH=str(lab.COLLECTIONS),
            # Where this run, and the modules on its local hosts, put what they need for a while.
            TMPDIR=str(self.scratch / "tmp"),
            HOME=str(self.scratch / "home"),
            TERM="xterm-256color",
        )
        return {**kept, **more}

    def left_behind(self):
        """What runs have left in their temporary directories; Ansible's own empty one does not count."""
        found = [path for path in self.scratch.rglob("*") if not path.is_dir()]
        return found + [path for path in self.scratch.rglob("*ansible*") if path.name not in (".ansible",)]

    def command(self, *arguments):
        return ["ansible-playbook", "-i", str(self.base / "inventory.yml"), "homelab.mediastack.status", *arguments]

    def status(self, *arguments, **more):
        return subprocess.run(
            self.command(*arguments),
            cwd=self.base,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    @contextlib.contextmanager
    def stopped(self, service):
        lab.docker("stop", "--time", "0", f"{PROJECT}-{service}")
        try:
            yield
        finally:
            lab.docker("start", f"{PROJECT}-{service}")
            lab.wait_for(lambda: self.status().returncode == 0, f"{service} to be back", 60)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    lab.build_image()
    base = tmp_path_factory.mktemp("outputs")
    project = lab.Project(PROJECT, base / "data" / "compose")
    try:
        place = Place(base)
        for service, port in PORTS.items():
            project.run(service, "ok", port)
        lab.wait_for(lambda: place.status().returncode == 0, "the two services to answer", 60)
        yield place
    finally:
        project.remove()
        lab.remove_image()


@pytest.fixture
def several(place):
    """An inventory of two hosts (the same machine twice), and one that nobody can reach."""
    place.inventory("nas", "attic", far=True)
    yield place
    place.inventory("nas")


def is_readable(output):
    """P18: no traceback, no JSON blob, no dump of a task."""
    assert "Traceback" not in output
    assert '"changed"' not in output
    assert "invocation" not in output


def test_every_format_tells_the_same(place):
    (place.base / "out").mkdir(exist_ok=True)
    with place.stopped("sonarr"):
        done = place.status("-e", "output=out/a.json,out/b.html,out/c.xml,out/d.prom")
    assert done.returncode == 2
    is_readable(done.stdout + done.stderr)
    assert "1 of 2 not healthy: nas/sonarr" in done.stdout + done.stderr
    assert re.search(r"^report: \S+a\.json, \S+b\.html, \S+c\.xml, \S+d\.prom$", done.stdout, re.M)
    out = {path.name: path.read_text() for path in (place.base / "out").iterdir()}
    assert sorted(out) == ["a.json", "b.html", "c.xml", "d.prom"]

    report = json.loads(out["a.json"])
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(report)
    assert {row["name"]: row["status"] for row in report["services"]} == {"sonarr": "STOPPED", "chat": "HEALTHY"}
    assert report["hosts"]["nas"]["disks"]["media"]["free_bytes"] > 0

    html5lib.HTMLParser(strict=True).parse(out["b.html"])
    assert "1 of 2 not healthy: nas/sonarr" in out["b.html"]
    assert f'href="http://127.0.0.1:{PORTS["chat"]}"' in out["b.html"], "a local host's own address is clickable"

    cases = {case.get("name"): [child.tag for child in case] for case in ET.fromstring(out["c.xml"]).iter("testcase")}
    assert cases == {"sonarr": ["failure"], "chat": []}

    families = {family.name: family for family in text_string_to_metric_families(out["d.prom"])}
    healthy = {sample.labels["service"]: sample.value for sample in families["mediastack_service_healthy"].samples}
    assert healthy == {"sonarr": 0, "chat": 1}
    assert (place.base / "out" / "d.prom").stat().st_mode & 0o777 == 0o644


def test_a_file_beside_only_the_json(place):
    done = place.status("-e", "output=-,beside.xml")
    assert done.returncode == 0
    assert json.loads(done.stdout)["healthy"] is True
    assert (place.base / "beside.xml").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["output=a.pdf"],
            '"a.pdf" is neither - (standard output) nor a file name ending in .json, .html, .xml, .prom',
        ),
        (["output=data/x.json,nowhere/a.html", "watch=2"], '"nowhere/a.html": there is no directory'),
        (["output=/proc/a.json"], '"/proc/a.json": no file can be made in /proc'),
        (["watch=0"], "-e watch=: 0 is too small; give a number of seconds"),
        (["watch=soon"], '-e watch=: "soon" is not a whole number'),
    ],
)
def test_what_cannot_be_is_refused_before_any_host_is_asked(several, arguments, words):
    done = several.status(*(part for argument in arguments for part in ("-e", argument)))
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert words in said
    is_readable(said)
    assert "TASK [Look at every service]" not in said
    assert not (several.base / "data" / "x.json").exists()


def test_a_remote_hosts_own_loopback_is_no_address_for_us(several):
    # The host far is this machine too, but Ansible cannot know that.
    done = several.status("-e", "output=-")
    urls = {(row["host"], row["name"]): row["url"] for row in json.loads(done.stdout)["services"]}
    assert urls["nas", "chat"] == f"http://127.0.0.1:{PORTS['chat']}"
    assert urls["far", "chat"] is None


class Terminal:
    """A run at a pseudo-terminal, and the screen as a person sees it."""

    def __init__(self, place, *arguments, rows=24, columns=100, **more):
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self.screen)
        self.raw = ""
        [program, *rest] = place.command(*arguments)
        self.child = pexpect.spawn(
            program,
            rest,
            cwd=str(place.base),
            env=place.environment(**more),
            dimensions=(rows, columns),
            encoding="utf-8",
            timeout=60,
        )

    def read(self):
        with contextlib.suppress(pexpect.TIMEOUT):
            text = self.child.read_nonblocking(65536, timeout=0.2)
            self.raw += text
            self._stream.feed(text)

    def until(self, predicate, what, seconds=40):
        """Read until `predicate(lines of the screen)` is true; returns its value."""

        def look():
            with contextlib.suppress(pexpect.EOF):
                self.read()
            return predicate([line.rstrip() for line in self.screen.display])

        try:
            return lab.wait_for(look, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n" + "\n".join(self.screen.display)) from None

    def finish(self):
        """Read to the end; the exit code."""
        with contextlib.suppress(pexpect.EOF):
            while True:
                self.read()
        self.child.close()
        return self.child.exitstatus


def line_of(lines, *words):
    return next((line for line in lines if line.split()[: len(words)] == list(words)), None)


def processes_of(child):
    """The process and everything that it started."""
    main = psutil.Process(child.pid)
    return [main, *main.children(recursive=True)]


@pytest.mark.long
def test_a_table_at_a_terminal(place):
    terminal = Terminal(place, rows=50, columns=90)
    code = terminal.finish()
    assert code == 0
    row = line_of([line.rstrip() for line in terminal.screen.display], "nas", "chat", "HEALTHY")
    assert row is not None
    assert "\x1b[0;32mHEALTHY" in terminal.raw
    assert f"\x1b]8;;http://127.0.0.1:{PORTS['chat']}\x1b\\chat\x1b]8;;\x1b\\" in terminal.raw, "its name is a link"
    plain = Terminal(place, rows=50, columns=90, ANSIBLE_NOCOLOR="1")
    assert plain.finish() == 0
    assert "\x1b" not in plain.raw


@pytest.mark.long
def test_watching_at_a_terminal(several):
    report = several.base / "watched.json"
    terminal = Terminal(several, "-e", "watch=1", "-e", f"output={report}", rows=24, columns=100)
    started = processes_of(terminal.child)

    def well(lines):
        return line_of(lines, "nas", "chat", "HEALTHY") and line_of(lines, "attic", "chat", "HEALTHY")

    terminal.until(well, "the first picture")
    lines = [line.rstrip() for line in terminal.screen.display]
    assert re.match(r"\d\d:\d\d:\d\d, every 1 s, Ctrl-C ends$", lines[0]), "painted from the top"
    assert line_of(lines, "far", "(all", "2)", "UNKNOWN"), "a host that nobody reaches hides nobody"
    assert any(line.startswith("2 of 6 not healthy: far (all 2)") for line in lines)
    lab.docker("stop", "--time", "0", f"{PROJECT}-chat")
    try:
        terminal.until(lambda lines: line_of(lines, "attic", "chat", "STOPPED"), "the other state")
        lines = [line.rstrip() for line in terminal.screen.display]
        assert re.match(r"\d\d:\d\d:\d\d, every", lines[0]), "in the same place"
        assert len([line for line in lines if line.startswith("HOST ")]) == 1
        statuses = {(r["host"], r["name"]): r["status"] for r in json.loads(report.read_text())["services"]}
        assert statuses["attic", "chat"] == "STOPPED", "the file is as new as the picture"
    finally:
        lab.docker("start", f"{PROJECT}-chat")
    terminal.until(well, "the first state again")
    terminal.child.setwinsize(12, 70)
    terminal.screen.resize(12, 70)
    terminal.until(lambda lines: lines[0].endswith("Ctrl-C ends") and "not healthy" in "".join(lines), "a smaller one")
    started += processes_of(terminal.child)
    terminal.child.sendintr()
    assert terminal.finish() == 99
    is_readable(terminal.raw)
    assert "interrupted" not in terminal.raw
    lab.wait_for(lambda: not any(process.is_running() for process in started), "every process to be gone", 20)
    assert several.left_behind() == []


def reader(process):
    """Function that reads what has come from a process so far, without waiting for more."""
    os.set_blocking(process.stdout.fileno(), False)
    found = []

    def read():
        with contextlib.suppress(BlockingIOError, TypeError):
            found.append(process.stdout.read() or "")
        return "".join(found)

    return read


def watching(place, *arguments):
    return subprocess.Popen(
        place.command("-e", "watch=1", *arguments),
        cwd=place.base,
        env=place.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.long
def test_watching_in_a_pipe(place):
    process = watching(place)
    read = reader(process)
    try:
        lab.wait_for(lambda: read().count("2 of 2 healthy") >= 3, "three tables, each when it is made", 40)
        process.send_signal(signal.SIGINT)
        lab.wait_for(lambda: process.poll() is not None, "the end", 20)
    finally:
        process.kill()
    text = read()
    assert process.returncode == 99
    times = re.findall(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4})\nHOST +SERVICE", text, re.M)
    assert len(times) >= 3
    assert times == sorted(times)
    assert "\x1b" not in text
    is_readable(text + process.stderr.read())
    assert place.left_behind() == []


def test_watching_as_lines_of_json_ends_with_its_reader(place):
    process = watching(place, "-e", "output=-")
    try:
        lines = [process.stdout.readline() for _line in range(2)]
        process.stdout.close()
        lab.wait_for(lambda: process.poll() is not None, "the end", 20)
    finally:
        process.kill()
    reports = [json.loads(line) for line in lines]
    assert [report["healthy"] for report in reports] == [True, True]
    assert process.returncode == 99
    is_readable(process.stderr.read())


def test_a_watch_whose_ansible_is_killed_ends_by_itself(place):
    process = watching(place)
    read = reader(process)
    lab.wait_for(lambda: "2 of 2 healthy" in read(), "the first table", 40)
    started = processes_of(process)
    assert len(started) > 1
    process.kill()
    process.wait()
    lab.wait_for(lambda: not any(process.is_running() for process in started[1:]), "its workers to be gone", 20)
    remains = [path for path in place.left_behind() if "watch-" in str(path) or "ansible-tmp" in str(path)]
    assert remains == []
    for path in place.left_behind():
        # What Ansible itself leaves when it is killed.
        subprocess.run(["rm", "-rf", path], check=True)


def test_more_hosts_than_forks_are_refused(several):
    done = several.status("-e", "watch=1", "-f", "2")
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert said.count("3 hosts are to be watched at once, but Ansible works on 2 at a time: add -f 3") == 1
    is_readable(said)


def test_watching_in_check_mode_is_only_described(several):
    done = several.status("-e", "watch=1", "-e", "output=never.json", "--check")
    assert done.returncode == 0
    assert "check mode: would look at attic, far, nas every 1 s until Ctrl-C, and write " in done.stdout
    assert not (several.base / "never.json").exists()
    assert "HOST" not in done.stdout


@pytest.mark.long
def test_a_watch_does_not_grow(several):
    process = watching(several, "-e", f"output={several.base / 'grow.json'},{several.base / 'grow.html'}")
    read = reader(process)
    try:

        def memory(tables):
            lab.wait_for(lambda: read().count("not healthy") >= tables, f"{tables} tables", 300)
            return sum(one.memory_full_info().uss for one in processes_of(process) if "ansible" in one.name())

        early = memory(8)
        late = memory(60)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
    assert late <= 1.1 * early, f"{early} bytes after 8 looks, {late} after 60"
