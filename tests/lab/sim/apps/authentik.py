# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""authentik: server with its outpost, and worker, on a real PostgreSQL; 503 until the worker's migrations are there."""

import json
import os
import subprocess
import time

from .. import authentik_model, authentik_outpost
from ..core import App, Response, json_response, page, redirect
from ..identity import StartError

NO_SECRET = "Secret key missing, check https://goauthentik.io/docs/installation/."


class APP(App):
    """``server`` (ports 9000 and 9300; there is no 9443 here) or ``worker``, as the image's user."""

    config_dir = "/data"
    owned = ()
    starting_for = 0.0
    refuse = 1.0

    def check(self):
        """Refuse to start without a secret key, a bootstrap password given twice, or an unknown command."""
        if self.args not in (["server"], ["worker"]):
            raise StartError(f"authentik: unknown command {' '.join(self.args) or '(none)'}; use server or worker")
        if not self.value("AUTHENTIK_SECRET_KEY"):
            raise StartError(NO_SECRET)

    def value(self, name, default=""):
        """Return a setting; file:///path and env://NAME are followed."""
        value = self.env.get(name, default)
        if value.startswith("file://"):
            path = value.removeprefix("file://")
            try:
                with open(path, encoding="utf-8") as stream:
                    return stream.read().strip()
            except OSError as error:
                raise StartError(f"Failed to read config value from {path}: {error.strerror} ({name})") from None
        return self.env.get(value.removeprefix("env://"), "") if value.startswith("env://") else value

    def prepare(self):
        """Read the database settings."""
        get = self.value
        self.database = {
            "PGHOST": get("AUTHENTIK_POSTGRESQL__HOST", "localhost"),
            "PGPORT": get("AUTHENTIK_POSTGRESQL__PORT", "5432"),
            "PGUSER": get("AUTHENTIK_POSTGRESQL__USER", "authentik"),
            "PGPASSWORD": get("AUTHENTIK_POSTGRESQL__PASSWORD"),
            "PGDATABASE": get("AUTHENTIK_POSTGRESQL__NAME", "authentik"),
            "PGCONNECT_TIMEOUT": "3",
        }
        self.migrated = False
        self.checked = 0.0
        self.known, self.loaded = authentik_model.new(), 0.0
        self.outpost = authentik_outpost.Outpost(self.model, self.version)
        if self.args == ["server"]:
            self.ports = (9000, 9300)

    def query(self, statement):
        """Run one statement in the database; returns (worked, output)."""
        command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", statement]
        done = subprocess.run(command, env={**os.environ, **self.database}, capture_output=True, text=True, check=False)
        return done.returncode == 0, (done.stdout if done.returncode == 0 else done.stderr).strip()

    def background(self):
        """Wait for the database; the worker then migrates it and makes the first user, once."""
        while True:
            worked, output = self.query("SELECT 1")
            if worked:
                break
            print(
                f"PostgreSQL connection failed, retrying... ({output.splitlines()[-1] if output else 'no answer'})",
                flush=True,
            )
            time.sleep(1)
        print("PostgreSQL connection successful", flush=True)
        if self.args == ["worker"]:
            user = (
                "1"
                if self.value("AUTHENTIK_BOOTSTRAP_PASSWORD") or self.value("AUTHENTIK_BOOTSTRAP_PASSWORD_HASH")
                else "0"
            )
            self.query(
                "CREATE TABLE IF NOT EXISTS authentik_lab_model (one int PRIMARY KEY, model text);"
                "CREATE TABLE IF NOT EXISTS authentik_version_history (version text PRIMARY KEY, bootstrapped int);"
                f"INSERT INTO authentik_version_history VALUES ('{self.version}', {user}) ON CONFLICT DO NOTHING"
            )
            if self.load() is None:
                # The first start; the password counts at no other one.
                model, password = authentik_model.new(), self.value("AUTHENTIK_BOOTSTRAP_PASSWORD")
                if password:
                    authentik_model.add_user(model, "akadmin", password, [authentik_model.ADMINS])
                self.save(model)
            print("Finished authentik bootstrap", flush=True)

    def load(self):
        """What is in the database; None before the worker has put something there."""
        worked, output = self.query("SELECT model FROM authentik_lab_model")
        return json.loads(output) if worked and output else None

    def save(self, model):
        """Write it; returns whether that worked."""
        text = authentik_outpost.dumped(model)
        new = f"INSERT INTO authentik_lab_model VALUES (1, $lab${text}$lab$)"
        return self.query(f"{new} ON CONFLICT (one) DO UPDATE SET model = excluded.model")[0]

    def model(self):
        """What the server goes by; read anew every second, as the real one is told of changes."""
        if time.time() - self.loaded > 1:
            self.known, self.loaded = self.load() or self.known, time.time()
        return self.known

    def is_ready(self):
        """Return whether the migrations are there; asked at most once a second, and again after 10 s."""
        if time.time() - self.checked > (10 if self.migrated else 1):
            self.migrated = self.query("SELECT version FROM authentik_version_history LIMIT 1")[0]
            self.checked = time.time()
        return self.migrated

    def starting(self, request):
        """503 with a hint to come back."""
        if request.path == "/-/health/live/":
            return Response(200, b"", None)
        retry = [("Retry-After", "5")]
        if "application/json" in (request.headers.get("Accept") or ""):
            return json_response({"error": "authentik starting"}, 503, headers=retry)
        return Response(503, "authentik starting", headers=retry)

    def unhealthy(self, _request):
        """The database is gone."""
        return Response(503, b"", None)

    def handle(self, request):
        """Answer health and the login flow; the API needs a token."""
        if request.path in ("/-/health/live/", "/-/health/ready/"):
            return Response(200, b"", None)
        if request.path.startswith(authentik_outpost.PREFIX):
            return self.outpost.handle(request)
        if request.path == "/application/o/authorize/":
            return self.outpost.authorize(request)
        if request.path == authentik_outpost.EXECUTOR:
            return self.outpost.execute(request)
        if request.path == "/api/v3/root/config/":
            return json_response({"capabilities": [], "error_reporting": {"enabled": False}})
        if request.path.startswith("/api/"):
            token = self.value("AUTHENTIK_BOOTSTRAP_TOKEN")
            if not token or request.headers.get("Authorization") != f"Bearer {token}":
                return json_response({"detail": "Authentication credentials were not provided."}, 403)
            if request.path == "/api/v3/admin/version/":
                return json_response(
                    {"version_current": self.version, "version_latest": self.version, "outdated": False}
                )
            return json_response({"pagination": {"count": 0}, "results": []})
        if request.path.startswith("/if/flow/initial-setup/"):
            return page("authentik - Setup")
        if request.path.startswith("/if/flow/"):
            return page("authentik - Login")
        if request.path == "/flows/-/default/authentication/":
            return redirect(f"{authentik_outpost.LOGIN}?{request.raw_query}")
        return redirect("/flows/-/default/authentication/?next=/")
