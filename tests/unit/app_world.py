# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apps that listen on loopback, and one look at them as `status` takes it."""

import json
import pathlib
import sys
import types

from ansible_collections.homelab.mediastack.plugins.module_utils import app_reads, health_sweep, probes
from ansible_collections.homelab.mediastack.plugins.module_utils.health_model import Verdict

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))

from sim import core  # noqa: E402

KEY = "0123456789abcdef0123456789abcdef"
RECORDED = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "downloaders"
RECORDED_PASSWORD = "s3cret"


class World:
    """Apps that listen on loopback, and one look at them."""

    def __init__(self, directory, stack):
        self.directory = directory
        self.stack = stack
        self.services, self.examined, self.log = [], [], []
        self.secrets = {}

    def stand_in(self, module, name, **app):
        """Start a stand-in of the lab; returns it."""
        config = self.directory / name
        config.mkdir()
        (config / "config.xml").write_text(f"<Config><ApiKey>{KEY}</ApiKey></Config>")
        (config / "config").mkdir()
        (config / "config" / "config.yaml").write_text(f"auth: {{apikey: '{KEY}'}}\n")
        found = type("APP", (module.APP,), {"config_dir": str(config)})(name, (), {"LAB_VERSION": "1.2.3"})
        found.faults.files = [str(config / "faults")]
        found.prepare()
        found.ready_at = 0
        self.listen(name, found.respond, found.faults.now, key=f"{name}_api_key", **app)
        self.secrets[f"{name}_api_key"] = {"value": KEY}
        return found

    def listen(self, name, respond, faults=dict, **app):
        """Serve requests with a function; the app is asked as `app` says."""

        def logged(request):
            self.log.append((request.method, request.path))
            return respond(request)

        server = core.serve(("127.0.0.1", 0), logged, faults)
        self.stack.callback(server.server_close)
        self.stack.callback(server.shutdown)
        port = server.server_address[1]
        raw = {
            "Config": {"Env": []},
            "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}},
        }
        container = types.SimpleNamespace(raw=raw, status="running", network_mode="media", name=name, id=name)
        self.services.append({"name": name, "title": name.title(), "app": {"port": 80, **app}})
        self.examined.append(health_sweep.Examined(container, Verdict("HEALTHY", "", True), holder=container))

    def look(self, timeout=5, young=False, status="HEALTHY"):
        """One sweep; returns rows by name, and the AppReads."""
        apps = app_reads.AppReads(str(self.directory / "project"), self.secrets)
        outcomes = probes.sweep(apps.jobs(list(zip(self.services, self.examined, strict=True))), timeout)
        rows = [{"name": service["name"], "status": status, "message": ""} for service in self.services]
        apps.judge(rows, outcomes, lambda _name: young)
        return {row["name"]: (row["status"], row["message"]) for row in rows}, apps


def plain(text, status=200, headers=()):
    """An answer that is not JSON."""
    return core.Response(status, text, core.TEXT, headers)


def recorded(app, note, method=None):
    """The exchange of that note (and method) as (status, headers, body)."""
    for line in (RECORDED / f"{app}.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["note"] == note and method in (None, entry["request"].get("method")):
            return core.Response(entry["status"], entry["body"], None, list(entry["headers"].items()))
    raise AssertionError(f"nothing recorded of {app}: {note} {method}")


def value(app, note, method=None):
    """The result in a recorded body."""
    return json.loads(recorded(app, note, method).body)["result"]


def given(world, app, respond, password=RECORDED_PASSWORD):
    """Let an app with a login answer with a function; `password`: what the stack has for it."""
    world.listen(app["kind"], respond, **app)
    world.secrets[app["password"]] = {"value": password}
