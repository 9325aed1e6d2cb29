# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups of the small projects of `compose_stack_lab`: services with files and databases, and restless writers."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import subprocess
import sys
import threading

from compose_stack_lab import Lab

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_cli, backup_state, snapshot_store
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker
from ansible_collections.homelab.mediastack.plugins.plugin_utils import backup_plan, backup_program

HEALTH = {"kind": "container"}


class BackupLab(Lab):
    """A project whose bundle says what is to be backed up, as the controller's does."""

    def __init__(self):
        super().__init__()
        self.snapshots, self.wiring, self.health = {}, {}, {}
        # The machine under the tests may be one that systemd runs.
        self.timer = "false"
        self.settings = {
            "mediastack_project_name": self.name,
            "mediastack_backup_keep": 3,
            "mediastack_backup_max_age": 50,
            "mediastack_backup_target": "",
            "mediastack_backup_recipients": [],
            "mediastack_lock_timeout": 30,
            "mediastack_compose_files": [],
        }

    @property
    def backups(self):
        """The directory of the backups."""
        return self.base / "backups"

    def config(self, service):
        """The config directory of a service."""
        path = self.base / "config" / service
        for directory in (path.parent, path):
            if not directory.exists():
                directory.mkdir()
                os.chown(directory, 1000, 1000)
        return path

    def keeps(self, service, method, *paths, **more):
        """`service` keeps `paths` of its config directory, which it has on /config."""
        volume = {"type": "bind", "source": str(self.config(service)), "target": "/config"}
        health = more.pop("health", HEALTH)
        self.wiring[service] = more.pop("wiring", None)
        self.add(service, volumes=[volume], **more)
        self.snapshots[service], self.health[service] = {"method": method, "paths": list(paths)}, health
        return self

    def bundle(self):
        """As the lab's, with the plan and the program of backups."""
        made = super().bundle()
        for name, service in made["services"].items():
            service.update(
                snapshot=self.snapshots.get(name),
                config_dir=str(self.config(name)) if name in self.snapshots else None,
                wiring=self.wiring.get(name),
                health=self.health.get(name, HEALTH),
            )
        paths = dict(made["paths"], backup=str(self.backups), project=str(self.path))
        made["paths"]["backup"] = str(self.backups)
        places = [self.base / "config" / name for name in self.snapshots]
        made["directories"] += [{"path": str(path), "mode": "2775", "owner": 1000, "group": 1000} for path in places]
        made["backup"] = {"timer": self.timer, "time": "03:30", "target": "", "recipients": []}
        made["files"] += [
            backup_plan.entry(made["services"], self.settings, paths),
            backup_program.entry(str(self.path)),
        ]
        return made

    def backup(self, *arguments):
        """(return code, result) of `bin/mediastack-backup`, in this process."""
        out, err = io.StringIO(), io.StringIO()
        docker = Docker(environ=self.environ)
        code = backup_cli.main(["--json", *arguments], str(self.path), out, err, docker)
        return code, json.loads(out.getvalue()) if out.getvalue() else {"msg": err.getvalue()}

    def store(self):
        """The store of the backups."""
        return snapshot_store.Store(str(self.backups))

    def newest(self):
        """The newest snapshot."""
        return self.store().all()[0]

    def state(self):
        """What the host knows of its backups."""
        return backup_state.read(str(self.path))

    def audit(self):
        """The lines of the audit log."""
        return [json.loads(line) for line in (self.path / ".mediastack/audit.log").read_text().splitlines()]


_WRITER = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=30)
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, half BLOB, other BLOB)")
while True:
    with database:
        for _row in range(40):
            word = os.urandom(1000)
            database.execute("INSERT INTO t (half, other) VALUES (?, ?)", (word, word))
        database.execute("DELETE FROM t WHERE n <= (SELECT max(n) FROM t) - 4000")
    print("more", flush=True)
"""


@contextlib.contextmanager
def writing(path):
    """A database at `path` to which another process writes all the time, in WAL mode, and which has 40 rows or more."""
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "more\n"
        # Nobody reads the rest: the pipe must not fill up and stop the writer.
        drain = threading.Thread(target=process.stdout.read)
        drain.start()
        yield process
    finally:
        process.kill()
        process.wait(20)
        drain.join()
        process.stdout.close()


def rows_of(path):
    """How many rows a copied database has, and the number of the newest; each is whole, and the database sound."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT count(*) FROM t WHERE half <> other").fetchone() == (0,)
        return database.execute("SELECT count(*), max(n) FROM t").fetchone()
    finally:
        database.close()
