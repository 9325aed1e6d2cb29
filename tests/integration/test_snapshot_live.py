# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A database that an app in a container writes to without a pause: each snapshot of it is whole and holds all that was
committed before it began, and the app does not notice.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import engine_state
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import Store

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = f"mslive-{os.getpid()}"
SNAPSHOTS = 20
USER = 1234
FILLED = 5000
# The app: one row a transaction, some thousand a second so that the database stays small; what it has committed is in a
# file of its own. A lock that it does not get within five seconds, as most apps wait, ends it.
APP = """
import os, sqlite3, sys, time
connection = sqlite3.connect("/config/app.db", isolation_level=None, timeout=5)
connection.execute("PRAGMA journal_mode = %(mode)s")
connection.execute("PRAGMA synchronous = NORMAL")
connection.execute("CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY, filler)")
connection.execute("BEGIN")
number = connection.execute("SELECT count(*) FROM t").fetchone()[0]
for number in range(number + 1, max(number, %(filled)d) + 1):
    connection.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 2000))
connection.execute("COMMIT")
said = os.open("/said/committed", os.O_WRONLY | os.O_CREAT, 0o644)
longest = 0.0
while True:
    number += 1
    began = time.monotonic()
    connection.execute("INSERT INTO t VALUES (?, ?)", (number, "y" * 200))
    longest = max(longest, time.monotonic() - began)
    os.pwrite(said, b"%%012d %%012.6f\\n" %% (number, longest), 0)
    time.sleep(0.0002)
"""


def docker(*arguments, check=True):
    done = subprocess.run(["docker", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image():
    """One of the lab's images: they all have Python with a newer SQLite than this host's."""
    sys.path.insert(0, str(ROOT / "tests" / "lab"))
    try:
        from images import names
    finally:
        sys.path.pop(0)
    subprocess.run([sys.executable, str(ROOT / "tests/lab/bin/images"), "build", "--only", "sonarr"], check=True)
    return next(one.name for one in names.catalogue([ROOT / "compose_templates"]) if one.entry == "sonarr")


class App:
    """The app's container and its directories."""

    def __init__(self, place, image, mode):
        self.place, self.image, self.mode = place, image, mode
        self.config, self.said = place / "config/app", place / "said"
        for directory in (self.config, self.said):
            directory.mkdir(parents=True)
            os.chown(directory, USER, USER)
        self.name = f"{PROJECT}-{mode.lower()}"
        snapshot = {"method": "sqlite", "paths": ["app.db"]}
        self.services = {"app": {"config_dir": str(self.config), "container_name": self.name, "snapshot": snapshot}}
        self.docker = Docker()
        self.store = Store(str(place / "backups"))

    def start(self):
        compose = "com.docker.compose."
        labels = {"project": PROJECT, "service": "app", "project.working_dir": str(self.place), "container-number": 1}
        words = [f"--label={compose}{key}={value}" for key, value in labels.items()]
        volumes = [f"--volume={self.config}:/config", f"--volume={self.said}:/said"]
        program = APP % {"mode": self.mode, "filled": FILLED}
        (self.said / "committed").unlink(missing_ok=True)
        docker(
            *("run", "--detach", f"--name={self.name}", "--network=none", f"--user={USER}:{USER}", *volumes, *words),
            *("--entrypoint=python3", self.image, "-c", program),
        )
        self.wait_for(FILLED + 50)

    def state(self):
        """(last committed row, longest commit in seconds)."""
        try:
            number, longest = (self.said / "committed").read_text().split()
        except (FileNotFoundError, ValueError):
            return 0, 0.0
        return int(number), float(longest)

    def wait_for(self, row):
        deadline = time.monotonic() + 120
        while self.state()[0] < row:
            time.sleep(0.01)
            assert time.monotonic() < deadline, docker("logs", self.name)

    def take(self):
        project = engine_state.read_project(self.docker, PROJECT, str(self.place))
        with self.store.begin("backup", {}) as draft:
            draft.take_running(self.services, ["app"], project, self.docker)
            assert draft.needs_stop(self.services, ["app"]) == []
            return draft.finish()

    def remove(self):
        docker("rm", "--force", self.name, check=False)


@pytest.fixture
def apps(tmp_path, image):
    made = []

    def make(mode):
        made.append(App(tmp_path, image, mode))
        # pytest's own directories are closed to others.
        for directory in (tmp_path, *tmp_path.parents[:2]):
            directory.chmod(directory.stat().st_mode | 0o011)
        made[-1].start()
        return made[-1]

    yield make
    for app in made:
        app.remove()


def rows_of(path):
    """The rows of a copy; it is whole."""
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]
    finally:
        connection.close()


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_snapshots_under_constant_writes(apps, mode, tmp_path, capsys):
    app = apps(mode)
    times, whole, snapshot = [], 0, None
    for _turn in range(SNAPSHOTS):
        app.wait_for(app.state()[0] + 20)
        before, began = app.state()[0], time.monotonic()
        snapshot = app.take()
        times.append(time.monotonic() - began)
        assert snapshot.verify() == []
        assert snapshot.services["app"]["databases"] == [{"path": "app.db", "check": "ok"}]
        assert [path.name for path in pathlib.Path(snapshot.data("app")).iterdir()] == ["app.db"]
        found = rows_of(pathlib.Path(snapshot.data("app"), "app.db"))
        assert found == list(range(1, len(found) + 1)), "not a prefix of what was written"
        assert len(found) >= before, "a row that was committed before the snapshot began is missing"
        whole += 1
        app.store.prune("backup", 1)
    last, longest = app.state()
    with capsys.disabled():
        print(
            f"\n{mode}: {whole} of {SNAPSHOTS} whole; {snapshot.size / 1e6:.1f} MB in {statistics.median(times):.2f} s"
            f" (longest {max(times):.2f} s); {last - FILLED} rows written meanwhile, longest commit {longest:.2f} s"
        )
    # What SQLite keeps beside the database is the app's, not root's.
    assert {path.stat().st_uid for path in app.config.iterdir()} == {USER}
    assert docker("inspect", "--format={{.State.Running}}", app.name) == "true"

    # Back from a snapshot, with the app killed in the middle of a write: it goes on from there.
    app.wait_for(last + 20)
    docker("kill", "--signal=KILL", app.name)
    app.remove()
    reached = app.state()[0]
    snapshot.put_back(app.services, ["app"], str(tmp_path / "aside"))
    assert rows_of(app.config / "app.db") == found
    assert [path.name for path in app.config.iterdir()] == ["app.db"]
    assert (app.config / "app.db").stat().st_uid == USER
    app.start()
    app.wait_for(len(found) + 20)
    app.remove()
    # And nothing of what it had written since is lost.
    scratch = tmp_path / "scratch"
    shutil.copytree(tmp_path / "aside/app", scratch)
    connection = sqlite3.connect(scratch / "app.db")
    assert connection.execute("SELECT max(x) FROM t").fetchone()[0] >= reached
    connection.close()
