# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is said to PostgreSQL; tests/integration/test_snapshot_postgres.py says it to a real one."""

from __future__ import annotations

import os
import pathlib

import pytest
from snapshot_world import Host, Project

from ansible_collections.homelab.mediastack.plugins.module_utils import snapshot_postgres
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import SnapshotError

# Answers as the programs of the container do, as far as a dump needs them, and writes down what it was called with.
PROGRAM = """#!/bin/sh
printf '%%s\\n' "$*" >> %(log)s
case "$*" in
  *row_to_json*) echo '{"owner": "app", "encoding_name": "UTF8", "datcollate": "C", "size": 1}' ;;
  *pg_dump*) printf 'PGDMP\\377binary'; exit %(code)d ;;
  *pg_restore*) [ "$(cat | wc -c)" = 12 ] ;;
esac
"""


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path)
    host.service("db", "pg_dump", ["app"])
    host.services["db"]["wiring"] = {"username": "app"}
    return host


def program(host, code=0):
    path = host.place / "docker"
    path.write_text(PROGRAM % {"log": host.place / "log", "code": code})
    path.chmod(0o755)
    return Docker(str(path), {"PATH": os.environ["PATH"]})


def test_a_dump_goes_straight_to_a_file(host):
    snapshot = host.take(docker=program(host))
    (entry,) = snapshot.services["db"]["databases"]
    assert entry == {
        "name": "app",
        "file": "1.dump",
        "user": "app",
        "owner": "app",
        "encoding_name": "UTF8",
        "datcollate": "C",
        "size": 1,
    }
    # Not a byte of it went through a decoder.
    assert pathlib.Path(snapshot.data("db"), "1.dump").read_bytes() == b"PGDMP\xffbinary"
    called = (host.place / "log").read_text().splitlines()
    assert called[1:] == [
        "exec c-db pg_dump -Fc -U app app",
        "exec -i c-db pg_restore --list",
        "exec -i c-db pg_restore --file=/dev/null",
    ]


def test_a_dump_that_fails_leaves_nothing(host):
    with pytest.raises(SnapshotError, match="cannot dump the database app of db"):
        host.take(docker=program(host, code=1))
    assert os.listdir(host.store.root) == []


def test_a_server_that_does_not_run(host):
    (host.place / "config/db/PG_VERSION").write_text("16\n")
    with pytest.raises(SnapshotError, match="db does not run, so its databases cannot be dumped: start it"):
        host.take(project=Project(running=[]))


def test_names_are_quoted_and_cut_where_postgresql_cuts():
    assert snapshot_postgres.quoted('a"b') == '"a""b"' and snapshot_postgres.literal("a'b") == "'a''b'"
    assert snapshot_postgres.limited("authentik", "_ab12_in") == "authentik_ab12_in"
    long = snapshot_postgres.limited("ü" * 40, "_ab12_in")
    assert len(long.encode()) <= 63 and long.endswith("ü_ab12_in")


@pytest.mark.parametrize(
    ("service", "user"),
    [
        ({"wiring": {"username": "a"}, "snapshot": {"username": "b"}}, "a"),
        ({"wiring": None, "snapshot": {"username": "b"}}, "b"),
        ({"snapshot": {}}, "postgres"),
    ],
)
def test_user(service, user):
    assert snapshot_postgres.user_of(service) == user


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, ""),
        ({"encoding_name": "UTF8", "datcollate": "C", "datctype": "C"}, " ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"),
        ({"datlocprovider": "c", "daticulocale": None}, ""),
        ({"datlocprovider": "i", "daticulocale": "und"}, " LOCALE_PROVIDER icu ICU_LOCALE 'und'"),
        ({"datlocprovider": "b", "datlocale": "C.UTF-8"}, " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"),
    ],
)
def test_locale(entry, words):
    assert snapshot_postgres._locale(entry) == words
