# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host for the tests of snapshots: a config directory, a store, and containers that run or do not."""

from __future__ import annotations

import hashlib
import os
import pathlib
import sqlite3
import stat
import subprocess
import sys
import types

from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import Store

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Project:
    """An engine_state.Project as far as a snapshot looks at it."""

    name = "mediastack-test"

    def __init__(self, running=None):
        """`running`: names of services whose container runs; None: all."""
        self.running = running

    def of(self, service):
        runs = self.running is None or service in self.running
        return [types.SimpleNamespace(active=runs, status="running" if runs else "exited", id="c-%s" % service)]


class Host:
    """Config directories of services, and a store."""

    def __init__(self, place):
        self.place = pathlib.Path(place)
        self.store = Store(str(self.place / "backups"))
        self.aside = self.place / "aside"
        self.services = {}
        self.project = Project()

    def service(self, name, method, paths, made=True):
        """Add one to the bundle; its config directory, a Path."""
        directory = self.place / "config" / name
        if made:
            directory.mkdir(parents=True, exist_ok=True)
        snapshot = {"method": method, "paths": list(paths)}
        self.services[name] = {"config_dir": str(directory), "container_name": name, "snapshot": snapshot}
        return directory

    def take(self, *names, kind="backup", docker=None, project=None):
        """A whole snapshot of `names` (default: all), taken as an update does."""
        names = list(names or self.services)
        with self.store.begin(kind, {"why": "test"}) as draft:
            draft.take_running(self.services, names, project or self.project, docker)
            draft.take_stopped(self.services, draft.needs_stop(self.services, names))
            return draft.finish()

    def put_back(self, snapshot, *names):
        snapshot.put_back(self.services, list(names or self.services), str(self.aside))


def database(path, rows=("one",), mode="DELETE"):
    """A SQLite database with a table t(x) that holds `rows`."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = %s" % mode)
    connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
    connection.executemany("INSERT INTO t VALUES (?)", [(row,) for row in rows])
    connection.commit()
    connection.close()


def rows(path):
    """What t(x) of a database holds; it is opened as an app would."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY rowid")]
    finally:
        connection.close()


def tree(root):
    """path → (kind, mode, uid, gid, mtime, content) of all below a directory, itself as `.`."""
    found = {}
    root = os.fspath(root)
    for place, directories, files in os.walk(root):
        for name in [""] + directories + files:
            path = os.path.join(place, name) if name else place
            info = os.lstat(path)
            if stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(info.st_mode):
                content = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
            else:
                content = None
            about = (stat.S_IFMT(info.st_mode), stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid)
            found[os.path.relpath(path, root)] = about + (info.st_mtime_ns, content)
    return found


def contents(root):
    """path → bytes of the files below a directory."""
    root = pathlib.Path(root)
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def python(code, *arguments, **options):
    """A process with a program of Python that sees the collection and this directory."""
    environment = dict(
        os.environ, PYTHONPATH=os.pathsep.join([str(ROOT / ".ansible" / "collections"), str(ROOT / "tests/unit")])
    )
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], env=environment, text=True, **options)
