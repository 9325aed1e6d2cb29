# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stack in which one thing at a time is broken: `status` names exactly that and fails, the rest stays right.

qBittorrent and SABnzbd are the real programs, gluetun and the *arr apps stand-ins of the lab. A container
that is younger than a minute is still STARTING where an older one is at fault; the long form waits until all are old.
"""

import contextlib
import datetime
import hashlib
import http.cookiejar
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest
import stack_harness as h

PROJECT = f"msbroken-{os.getpid()}"
FIRST_PORT = h.free_ports()
TIMEOUT = 3
GRACE = 60
TITLE = "A.Private.Title"
QBITTORRENT = f"http://127.0.0.1:{FIRST_PORT + 1}/api/v2"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """gluetun, qBittorrent and SABnzbd behind it, Prowlarr and Sonarr beside it; all well."""
    # Here the probe and what the app says decide: their own health checks pass once and never give up.
    quiet = {"healthcheck": {"start_period": "1s", "retries": 1000}}
    made = h.Stack(
        tmp_path_factory.mktemp("broken"),
        PROJECT,
        FIRST_PORT,
        mediastack_container_prefix=f"{PROJECT}-",
        mediastack_health_timeout=TIMEOUT,
        mediastack_overrides=dict.fromkeys(("prowlarr", "sonarr", "qbittorrent", "sabnzbd"), quiet),
    )
    made.remove()
    try:
        made.play("site")
        yield made
    finally:
        made.remove()
        shutil.rmtree(made.directory, ignore_errors=True)


def age(service):
    """Seconds since the start of a container."""
    started = h.inspect(f"{PROJECT}-{service}")[f"{PROJECT}-{service}"]["State"]["StartedAt"][:19] + "+00:00"
    return (datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(started)).total_seconds()


def expect_fault(stack, service, state, words):
    """As `expect`, of a *state* that only an old container gets; the long form waits until it is old."""
    if os.environ.get("MEDIASTACK_TEST_LONG") == "1":
        h.wait_for(lambda: age(service) > GRACE + 1, GRACE + 5, f"{service} to be old")
    before = age(service)
    report = expect(stack, None, words)
    found = {name: status for name, (status, _message) in broken(report).items()}
    young = [{service: "STARTING"}] if before < GRACE + 1 else []
    old = [{service: state}] if age(service) > GRACE - 1 else []
    assert found in young + old
    return report


def come_round(service):
    """Wait until the health check of a container that was started again has passed."""

    def health():
        return h.inspect(f"{PROJECT}-{service}")[f"{PROJECT}-{service}"]["State"]["Health"]["Status"]

    h.wait_for(lambda: health() == "healthy", 60, f"{service} to be healthy")


def status(stack):
    """A run that prints the report only: its exit code, the report, what was said on standard error."""
    done = stack.play("status", "-e", "output=-", check=False)
    assert TITLE not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def broken(report):
    """Rows that are not healthy: name → (status, message)."""
    rows = report["services"]
    return {row["name"]: (row["status"], row["message"]) for row in rows if row["status"] != "HEALTHY"}


@contextlib.contextmanager
def fault(service, words):
    """A stand-in that misbehaves for a while."""
    h.docker("exec", f"{PROJECT}-{service}", "lab-fault", *words.split())
    try:
        yield
    finally:
        h.docker("exec", f"{PROJECT}-{service}", "lab-fault")


def expect(stack, wanted, words):
    """`status` names what is *wanted*, `{name: status}` (None: see who asks), and nothing else, and says *words*."""
    code, report, said = status(stack)
    found = broken(report)
    if wanted is not None:
        assert {name: state for name, (state, _message) in found.items()} == wanted, found
    assert found
    assert code != 0
    assert report["healthy"] is False
    assert words in " ".join(message for _state, message in found.values())
    for name in found:
        assert f"box/{name}" in said or f"box {name}" in said, said
    return report


@pytest.mark.long
def test_all_is_well_and_no_secret_is_printed(stack):
    file = stack.directory / "status.json"
    done = stack.play("status", "-vvvv", "-e", f"output={file}")
    report = json.loads(file.read_text())
    assert broken(report) == {}
    for name, value in secrets(stack).items():
        assert value not in done.stdout + done.stderr + file.read_text(), name
    rows = {row["name"]: row for row in report["services"]}
    assert rows["sonarr"]["message"] == "not set up yet: no download client, no indexer"
    assert rows["sonarr"]["url"] == f"http://127.0.0.1:{FIRST_PORT + 4}"
    host = report["hosts"]["box"]
    assert host["vpn"]["connected"] is True
    assert (host["vpn"]["provider"], host["vpn"]["country"]) == ("mullvad", "Netherlands")
    assert host["vpn"]["public_ip"] == "198.51.100.7"
    assert set(host["queues"]) == {"qbittorrent", "sabnzbd"}
    for queue in host["queues"].values():
        assert (queue["active"], queue["stalled"], queue["total"], queue["speed_bytes"]) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("service", "words", "state", "message"),
    [
        ("sonarr", "other_key", "UNKNOWN", "Sonarr refused the stack's key sonarr_api_key"),
        ("prowlarr", "failing_indexer=Foo", "DEGRADED", "Indexers unavailable due to failures: Foo"),
        pytest.param(
            "sonarr", "no_root_folder=/data/tv", "DEGRADED", "Missing root folder: /data/tv", marks=pytest.mark.long
        ),
        pytest.param("sonarr", "queue_warnings=3", "DEGRADED", "3 downloads in need of", marks=pytest.mark.long),
    ],
)
def test_an_app_that_says_what_is_wrong(stack, service, words, state, message):
    with fault(service, words):
        expect(stack, {service: state}, message)


def test_a_disk_over_its_threshold(stack):
    """Media on a small file system of their own, nearly full."""
    media = stack.base / "media"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(media)], check=True)
    try:
        (media / "filler").write_bytes(b"x" * (3800 * 1024))
        report = expect(stack, {"(disk media)": "DEGRADED"}, f"{media}: 92 % full, ")
        assert report["hosts"]["box"]["disks"]["media"]["total_bytes"] == 4 * 1024 * 1024
    finally:
        subprocess.run(["umount", str(media)], check=True)


@pytest.mark.long
def test_an_app_that_is_down(stack):
    h.docker("stop", "--time", "1", f"{PROJECT}-sabnzbd")
    try:
        report = expect(stack, {"sabnzbd": "STOPPED"}, "stopped")
        assert "sabnzbd" not in report["hosts"]["box"]["queues"]
    finally:
        h.docker("start", f"{PROJECT}-sabnzbd")
        come_round("sabnzbd")


@pytest.mark.long
def test_a_crash_loop(stack):
    """Its own entry point ends it at once; the engine starts it again and again."""
    file = stack.base / "config" / "prowlarr" / "lab-faults"
    file.write_text("exit=3\n")
    try:
        h.docker("restart", "--time", "1", f"{PROJECT}-prowlarr")
        h.wait_for(lambda: stack.containers()["prowlarr"]["RestartCount"] >= 3, 30, "three restarts")
        expect(stack, {"prowlarr": "UNHEALTHY"}, "crash loop")
    finally:
        file.unlink()
        h.docker("restart", "--time", "1", f"{PROJECT}-prowlarr")
        come_round("prowlarr")


@pytest.mark.parametrize(
    ("service", "words", "state", "message"),
    [
        ("gluetun", "disconnected", "UNHEALTHY", "the VPN is running, but not connected"),
        ("sonarr", "status=503", "UNHEALTHY", "HTTP 503"),
        ("sonarr", "hang", "UNHEALTHY", f"timed out after {TIMEOUT} s"),
        pytest.param(
            "sonarr", "hang_api", "UNKNOWN", f"timed out after {TIMEOUT} s while waiting", marks=pytest.mark.long
        ),
    ],
)
def test_an_app_that_does_not_do_its_work(stack, service, words, state, message):
    with fault(service, words):
        if service == "gluetun":
            # It notices within a tenth of a second; its own health check goes on to pass.
            h.wait_for(lambda: not connected(stack), 10, "the VPN to be disconnected")
        report = expect_fault(stack, service, state, message)
    if service == "gluetun":
        assert report["hosts"]["box"]["vpn"]["connected"] is False
        assert "public_ip" not in report["hosts"]["box"]["vpn"]
        h.wait_for(lambda: connected(stack), 10, "the VPN to be connected again")


def connected(stack):
    """Whether gluetun has a public address."""
    key = secrets(stack)["gluetun_api_key"]
    request = urllib.request.Request(f"http://127.0.0.1:{FIRST_PORT}/v1/publicip/ip", headers={"X-API-Key": key})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return bool(json.load(answer)["public_ip"])


def secrets(stack):
    """The stack's generated secrets."""
    path = stack.project_path / ".mediastack" / "secrets.json"
    return json.loads(path.read_text())["secrets"]


@pytest.mark.long
def test_a_queue_that_stands_still(stack):
    with torrent_without_peers(stack):
        report = expect_fault(stack, "qbittorrent", "DEGRADED", "1 of 1 unfinished torrent stalled")
    queue = report["hosts"]["box"]["queues"]["qbittorrent"]
    assert (queue["stalled"], queue["total"], queue["active"]) == (1, 1, 0)


@contextlib.contextmanager
def torrent_without_peers(stack):
    """A torrent of our own making in the real qBittorrent: private, no tracker, behind a VPN without a tunnel."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def post(path, data, kind="application/x-www-form-urlencoded"):
        request = urllib.request.Request(QBITTORRENT + path, data=data, headers={"Content-Type": kind})
        with opener.open(request, timeout=10) as answer:
            return answer.read().decode()

    def states():
        with opener.open(f"{QBITTORRENT}/torrents/info", timeout=10) as answer:
            return [entry["state"] for entry in json.load(answer)]

    password = secrets(stack)["qbittorrent_password"]
    post("/auth/login", urllib.parse.urlencode({"username": "admin", "password": password}).encode())
    name, pieces = TITLE.encode(), hashlib.sha1(uuid.uuid4().bytes).digest() * 4
    info = b"d6:lengthi1048576e4:name%d:%s12:piece lengthi262144e6:pieces80:%s7:privatei1ee" % (len(name), name, pieces)
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="torrents"; filename="a.torrent"\r\n\r\n'
    body = head.encode() + b"d4:info" + info + b"e" + f"\r\n--{boundary}--\r\n".encode()
    post("/torrents/add", body, f"multipart/form-data; boundary={boundary}")
    try:
        h.wait_for(lambda: states() == ["stalledDL"], 20, "the torrent to stand still")
        yield
    finally:
        post("/torrents/delete", b"hashes=all&deleteFiles=true")
        h.wait_for(lambda: states() == [], 20, "the torrent to be gone")


def test_gluetun_stopped(stack):
    """Last: what is behind it has no network until `site` repairs it. What is beside it is well."""
    h.docker("stop", "--time", "1", f"{PROJECT}-gluetun")
    wanted = {"gluetun": "STOPPED", "qbittorrent": "UNHEALTHY", "sabnzbd": "UNHEALTHY"}
    expect(stack, wanted, "dead network namespace (gluetun is not running)")
