# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PostgreSQL databases in snapshots, with a real server in the container that the catalogue names."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import engine_state
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import SnapshotError, Store

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = f"mssnap-{os.getpid()}"
SERVICE = "authentik-postgresql"
USER = "authentik"
# Cut where PostgreSQL would cut it, a quote in it, and not only ASCII.
DATABASE = 'authentik "ünï" 0123456789012345678901234567890'


def docker(*arguments, check=True):
    done = subprocess.run(["docker", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def image():
    sys.path.insert(0, str(ROOT / "tests" / "lab"))
    try:
        from images import names
    finally:
        sys.path.pop(0)
    subprocess.run([sys.executable, str(ROOT / "tests/lab/bin/images"), "build", "--only", "postgres"], check=True)
    return next(one.name for one in names.catalogue([ROOT / "compose_templates"]) if one.entry == "postgres")


class Server:
    """A running PostgreSQL as `site` makes it, as far as a snapshot depends on it."""

    def __init__(self, place):
        self.place = place
        self.config = place / "config" / SERVICE
        self.config.mkdir(parents=True)
        self.name = f"{PROJECT}-{SERVICE}"
        self.services = {
            SERVICE: {
                "config_dir": str(self.config),
                "container_name": self.name,
                "snapshot": {"method": "pg_dump", "paths": [DATABASE]},
                "wiring": {"kind": "postgresql", "username": USER},
            }
        }
        self.docker = Docker()
        self.store = Store(str(place / "backups"))
        compose = "com.docker.compose."
        labels = {"project": PROJECT, "service": SERVICE, "project.working_dir": str(place), "container-number": 1}
        words = [f"--label={compose}{key}={value}" for key, value in labels.items()]
        environment = {"POSTGRES_USER": USER, "POSTGRES_DB": DATABASE, "POSTGRES_PASSWORD": "not a secret"}
        words += [f"--env={key}={value}" for key, value in environment.items()]
        mount = f"--volume={self.config}:/var/lib/postgresql/data"
        docker("run", "--detach", f"--name={self.name}", "--network=none", "--shm-size=64m", mount, *words, image())
        self.wait()

    @property
    def project(self):
        return engine_state.read_project(self.docker, PROJECT, str(self.place))

    def sql(self, text, database=DATABASE, check=True):
        return docker("exec", self.name, "psql", "-XAtq", "-U", USER, "-d", database, "-c", text, check=check)

    def wait(self):
        deadline = time.monotonic() + 120
        # Its first start ends with one more: the one that is asked over the network is the last.
        ask = ["docker", "exec", self.name, "pg_isready", "-h", "127.0.0.1", "-U", USER, "-d", DATABASE]
        while subprocess.run(ask, capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, docker("logs", self.name)

    def databases(self):
        return set(self.sql("SELECT datname FROM pg_database WHERE NOT datistemplate", "postgres").split("\n"))

    def take(self):
        with self.store.begin("backup", {}) as draft:
            assert draft.needs_stop(self.services, [SERVICE]) == []
            draft.take_running(self.services, [SERVICE], self.project, self.docker)
            return draft.finish()

    def put_back(self, snapshot, word):
        snapshot.put_back_databases(self.services, [SERVICE], self.project, self.docker, word)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    # Its own user reads and writes there.
    place = tmp_path_factory.mktemp("postgres")
    for directory in (place, *place.parents[:2]):
        directory.chmod(directory.stat().st_mode | 0o011)
    try:
        yield Server(place)
    finally:
        docker("rm", "--force", "--volumes", f"{PROJECT}-{SERVICE}", check=False)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def table(server):
    """A table of 20,000 rows in the server's database, and no databases of other tests."""
    for name in server.databases() - {DATABASE, "postgres"}:
        server.sql('DROP DATABASE "%s"' % name.replace('"', '""'), "postgres")
    server.sql("DROP TABLE IF EXISTS t")
    server.sql("CREATE TABLE t (x int PRIMARY KEY, filler text)")
    server.sql("INSERT INTO t SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 20000) n")
    return "t"


def kept(word):
    """The name that the present database is kept under."""
    ending = "_" + word
    return DATABASE.encode()[: 63 - len(ending)].decode("utf-8", "ignore") + ending


def test_dump_and_put_back(server, table, capsys):
    began = time.monotonic()
    snapshot = server.take()
    took = time.monotonic() - began
    assert snapshot.verify() == []
    record = snapshot.services[SERVICE]
    (entry,) = record["databases"]
    assert (entry["name"], entry["owner"], entry["user"]) == (DATABASE, USER, USER)
    path = pathlib.Path(snapshot.data(SERVICE), entry["file"])
    assert path.stat().st_mode & 0o777 == 0o600 and path.read_bytes()[:5] == b"PGDMP"

    server.sql("DELETE FROM t WHERE x > 10")
    server.sql("CREATE TABLE later (x int)")
    before = server.sql(
        "SELECT datcollate, datctype, pg_encoding_to_char(encoding) FROM pg_database WHERE datname LIKE 'auth%'"
    )
    began = time.monotonic()
    server.put_back(snapshot, "20261123T064500Z-update-ab12")
    back = time.monotonic() - began
    with capsys.disabled():
        size = entry["size"] / 1e6
        print(
            f"\nPostgreSQL: database {size:.1f} MB, dump {record['files'][0]['size'] / 1e6:.2f} MB, {took:.2f} s;"
            f" put back in {back:.2f} s"
        )
    assert server.sql("SELECT count(*), max(x) FROM t") == "20000|20000"
    assert server.sql("SELECT to_regclass('later')") == ""
    assert server.sql("SELECT tableowner FROM pg_tables WHERE tablename = 't'") == USER
    # The one that was there is kept, with all that was in it.
    aside = kept("20261123T064500Z-update-ab12")
    assert len(aside.encode()) <= 63
    assert server.databases() == {DATABASE, "postgres", aside}
    assert server.sql("SELECT count(*) FROM t", aside) == "10"
    after = server.sql(
        "SELECT datcollate, datctype, pg_encoding_to_char(encoding) FROM pg_database WHERE datname LIKE 'auth%'"
    )
    assert set(after.split("\n")) == set(before.split("\n"))

    # Called again it has nothing to do: what was written since stays.
    server.sql("INSERT INTO t VALUES (99999, 'since')")
    server.put_back(snapshot, "20261123T064500Z-update-ab12")
    assert server.sql("SELECT count(*) FROM t") == "20001"


def test_an_app_that_keeps_connecting_does_not_prevent_it(server, table):
    snapshot = server.take()
    server.sql("DELETE FROM t")
    ended = threading.Event()

    def nag():
        while not ended.is_set():
            server.sql("SELECT pg_sleep(0.2)", check=False)

    naggers = [threading.Thread(target=nag) for _turn in range(2)]
    for thread in naggers:
        thread.start()
    try:
        deadline = time.monotonic() + 30
        ask = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(0.2)' AND state = 'active'"
        while int(server.sql(ask, "postgres")) == 0:
            assert time.monotonic() < deadline
        server.put_back(snapshot, "busy")
    finally:
        ended.set()
        for thread in naggers:
            thread.join()
    assert server.sql("SELECT count(*) FROM t") == "20000"
    assert server.sql("SELECT count(*) FROM t", kept("busy")) == "0"


def test_a_dump_that_cannot_be_restored_changes_nothing(server, table):
    snapshot = server.take()
    path = pathlib.Path(snapshot.data(SERVICE), snapshot.services[SERVICE]["databases"][0]["file"])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    before = server.databases()
    with pytest.raises(SnapshotError, match=rf"cannot restore authentik .* of {SERVICE}: .*pg_restore: error"):
        server.put_back(snapshot, "broken")
    assert server.databases() == before and server.sql("SELECT count(*) FROM t") == "20000"


def test_what_a_killed_restore_left_is_cleared_away(server, table):
    snapshot = server.take()
    half = kept("mediastack_new")
    server.sql('CREATE DATABASE "%s"' % half.replace('"', '""'), "postgres")
    server.sql("CREATE TABLE t (half int)", half)
    server.sql("DELETE FROM t")
    server.put_back(snapshot, "again")
    assert server.databases() == {DATABASE, "postgres", kept("again")}
    assert server.sql("SELECT count(*) FROM t") == "20000"


def test_a_database_that_is_gone_is_put_back(server, table):
    snapshot = server.take()
    server.sql('DROP DATABASE "%s"' % DATABASE.replace('"', '""'), "postgres")
    server.put_back(snapshot, "gone")
    assert server.databases() == {DATABASE, "postgres"}
    assert server.sql("SELECT count(*) FROM t") == "20000"


def test_errors_name_the_database_and_the_service(server, table):
    server.services["other"] = dict(server.services[SERVICE], snapshot={"method": "pg_dump", "paths": ["x"]})
    with server.store.begin("backup", {}) as draft:
        wrong = {SERVICE: dict(server.services[SERVICE], snapshot={"method": "pg_dump", "paths": ["nobody"]})}
        with pytest.raises(SnapshotError, match=rf'nobody of {SERVICE}: .*database "nobody" does not exist') as caught:
            draft.take_running(wrong, [SERVICE], server.project, server.docker)
        assert caught.value.service == SERVICE and draft.services == {}
        # It has a data directory, so it has run; that it does not run now is no reason to leave it out.
        with pytest.raises(SnapshotError, match="other does not run, so its databases cannot be dumped: start it"):
            draft.take_running(server.services, ["other"], server.project, server.docker)
        server.services["other"]["config_dir"] = str(server.place / "nothing")
        draft.take_running(server.services, ["other"], server.project, server.docker)
        assert draft.services["other"]["absent"] == ["x"]


def test_full_disk(server, table, tmp_path):
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "mssnap", tmp_path], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.decode().strip()}")
    try:
        server.sql("CREATE TABLE big AS SELECT md5(n::text || random()) FROM generate_series(1, 20000) n")
        draft = Store(str(tmp_path / "b")).begin("backup", {})
        with pytest.raises(
            SnapshotError, match=r"a snapshot of authentik-postgresql does not fit on the disk of .*free\."
        ):
            draft.take_running(server.services, [SERVICE], server.project, server.docker)
        assert os.listdir(tmp_path / "b") == []
    finally:
        server.sql("DROP TABLE IF EXISTS big")
        subprocess.run(["umount", "--lazy", tmp_path], check=True)
