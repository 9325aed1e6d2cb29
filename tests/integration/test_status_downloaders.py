# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`status` and the real Deluge and Transmission: their queues, another password, a daemon that hangs."""

import base64
import hashlib
import http.client
import json
import os
import pathlib
import subprocess
import sys

import health_lab as lab
import pytest

sys.path.insert(0, str(lab.ROOT / "tests" / "lab"))

from images import names  # noqa: E402

PREFIX = f"msdl{os.getpid()}"
IMAGES = {image.entry: image.name for image in names.catalogue([lab.ROOT / "compose_templates"])}
PASSWORD = "s3cret"
PORTS = {"deluge": 8112, "transmission": 9091}
HEALTH = {
    "deluge": {"kind": "http", "port": "web", "path": "/", "contains": "Deluge"},
    "transmission": {"kind": "http", "port": "web", "path": "/transmission/rpc", "status": [401]},
}
APPS = {
    "deluge": {"kind": "deluge", "api": "/json", "username": "", "password": "deluge_password", "port": "web"},
    "transmission": {
        "kind": "transmission",
        "api": "/transmission/rpc",
        "username": "admin",
        "password": "transmission_password",
        "port": "web",
    },
}
TIMEOUT = 3


class Stack:
    """The two in a network without a way out, so that they look for nobody."""

    def __init__(self, directory):
        self.name, self.path, self.addresses = PREFIX, str(directory / "compose"), {}
        pathlib.Path(self.path, ".mediastack").mkdir(parents=True)
        sha1 = hashlib.sha1(b"salt" + PASSWORD.encode()).hexdigest()
        web = {"first_login": False, "port": 8112, "pwd_salt": "salt", "pwd_sha1": sha1}
        self.write(directory / "deluge", "web.conf", '{"file": 2, "format": 1}' + json.dumps(web))
        core = {"dht": False, "lsd": False, "natpmp": False, "upnp": False, "new_release_check": False}
        self.write(directory / "deluge", "core.conf", '{"file": 1, "format": 1}' + json.dumps(core))
        self.write(
            directory / "transmission", "settings.json", json.dumps({"dht-enabled": False, "lpd-enabled": False})
        )
        self.directory = directory

    def start_all(self):
        lab.docker("network", "create", "--internal", PREFIX)
        for app in PORTS:
            self.start(app, self.directory / app)

    @staticmethod
    def write(directory, name, text):
        directory.mkdir(exist_ok=True)
        (directory / name).write_text(text)
        for path in (directory, directory / name):
            os.chown(path, 1000, 1000)

    def start(self, app, config):
        labels = {"project": PREFIX, "service": app, "oneoff": "False", "project.working_dir": self.path}
        argv = [word for key, value in labels.items() for word in ("--label", f"com.docker.compose.{key}={value}")]
        argv += ["--network", PREFIX, "--restart", "unless-stopped", "--volume", f"{config}:/config"]
        for variable in ("PUID=1000", "PGID=1000", "USER=admin", f"PASS={PASSWORD}"):
            argv += ["--env", variable]
        lab.docker("run", "--detach", "--name", f"{PREFIX}-{app}", *argv, IMAGES[app])
        networks = lab.docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", f"{PREFIX}-{app}")
        self.addresses[app] = json.loads(networks)[PREFIX]["IPAddress"]

    def keep(self, password):
        """Write the stack's own secret store."""
        secrets = {app["password"]: password for app in APPS.values()}
        pathlib.Path(self.path, ".mediastack", "secrets.json").write_text(json.dumps({"secrets": secrets}))

    def look(self, **arguments):
        """One look; returns the module's result and its rows by name."""
        services = [
            lab.service(
                app,
                self,
                HEALTH[app],
                image=IMAGES[app],
                app=APPS[app],
                ports=[
                    {"name": "web", "protocol": "tcp", "port": port, "target": port, "addresses": [], "service": app}
                ],
            )
            for app, port in PORTS.items()
        ]
        given = {"apps": True, "secrets": "{}", "grace": 0, "timeout": TIMEOUT, **arguments}
        result = lab.stack_health(self, services, **given)
        return result, {row["name"]: (row["status"], row["message"]) for row in result["services"]}

    def ask(self, app, path, body, headers):
        """One call to an app's own API; returns (headers, JSON)."""
        connection = http.client.HTTPConnection(self.addresses[app], PORTS[app], timeout=10)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        text = answer.read()
        return answer.headers, json.loads(text) if answer.status == 200 else None

    def remove(self):
        lab.docker("rm", "--force", "--volumes", *(f"{PREFIX}-{app}" for app in PORTS), check=False)
        lab.docker("network", "rm", PREFIX, check=False)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    wanted = ",".join(PORTS)
    subprocess.run([sys.executable, str(lab.ROOT / "tests/lab/bin/images"), "build", "--only", wanted], check=True)
    found = Stack(tmp_path_factory.mktemp("downloaders"))
    try:
        found.start_all()
        yield found
    finally:
        found.remove()


def torrent(name):
    """A torrent of one file that nobody has."""
    info = b"d6:lengthi9e4:name%d:%b12:piece lengthi16384e6:pieces20:%be" % (len(name), name.encode(), b"x" * 20)
    tracker = b"http://127.0.0.1:9/"
    return base64.b64encode(b"d8:announce%d:%b4:info%be" % (len(tracker), tracker, info)).decode()


def add_to_deluge(stack, *names_of_torrents):
    headers, _answer = stack.ask("deluge", "/json", {"id": 1, "method": "auth.login", "params": [PASSWORD]}, {})
    cookie = {"Cookie": headers["Set-Cookie"].partition(";")[0]}
    for name in names_of_torrents:
        options = {"download_location": "/config", "add_paused": name == "paused"}
        call = {"id": 1, "method": "core.add_torrent_file", "params": [name, torrent(name), options]}
        assert stack.ask("deluge", "/json", call, cookie)[1]["result"]


def add_to_transmission(stack, name):
    login = {"Authorization": "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()}
    call = {
        "method": "torrent-add",
        "arguments": {"metainfo": torrent(name), "download-dir": "/config", "paused": True},
    }
    login["X-Transmission-Session-Id"] = stack.ask("transmission", "/transmission/rpc", call, login)[0][
        "X-Transmission-Session-Id"
    ]
    assert stack.ask("transmission", "/transmission/rpc", call, login)[1]["result"] == "success"


def test_the_real_deluge_and_transmission(stack):
    stack.keep(PASSWORD)
    healthy = dict.fromkeys(PORTS, ("HEALTHY", ""))
    lab.wait_for(lambda: stack.look()[1] == healthy, "both to be well", 60)
    well, _rows = stack.look()
    nothing = {"active": 0, "speed_bytes": 0, "stalled": 0, "total": 0, "failed": 0}
    assert well["queues"] == {"deluge": nothing, "transmission": nothing}

    # The file of one is there and cannot be read; a paused one waits for nobody.
    unreadable = stack.directory / "deluge" / "unreadable"
    unreadable.write_text("nothing")
    unreadable.chmod(0)
    add_to_deluge(stack, "paused", "unreadable")
    add_to_transmission(stack, "paused")
    lab.wait_for(lambda: stack.look()[0]["queues"]["deluge"].get("failed"), "Deluge to fail", 30)
    result, rows = stack.look()
    assert rows == {"deluge": ("DEGRADED", "1 torrent has failed"), "transmission": ("HEALTHY", "")}
    assert [result["queues"][app]["total"] for app in PORTS] == [2, 1]

    stack.keep("another")
    result, rows = stack.look()
    for app, title in (("deluge", "Deluge"), ("transmission", "Transmission")):
        assert rows[app][0] == "UNKNOWN"
        assert f"{title} refused the stack's password" in rows[app][1]
        assert list(result["queues"][app]) == ["error"]
    assert "another" not in json.dumps(result)

    # The web UI answers its health page, its daemon does not.
    stack.keep(PASSWORD)
    lab.docker("exec", f"{PREFIX}-deluge", "pkill", "-STOP", "-f", "bin/deluged")
    try:
        result, rows = stack.look()
    finally:
        lab.docker("exec", f"{PREFIX}-deluge", "pkill", "-CONT", "-f", "bin/deluged")
    assert rows["deluge"][0] == "UNKNOWN"
    assert f"timed out after {TIMEOUT} s" in rows["deluge"][1]
    assert rows["transmission"] == ("HEALTHY", "")
