# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PostgreSQL databases: dumped and restored with the programs of their own container, which fit its server."""

from __future__ import annotations

import errno
import json
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import snapshot_files
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_files import SnapshotError

# Of a dump or a restore, in seconds.
DEADLINE = 4 * 3600
# Identifiers of PostgreSQL, in bytes; a longer one would be cut silently.
LONGEST = 63
# There in every server; nobody renames a database that he is connected to.
MAINTENANCE = "postgres"
_FACTS = (
    "SELECT row_to_json(d)::jsonb || jsonb_build_object('owner', pg_get_userbyid(datdba), 'encoding_name', "
    "pg_encoding_to_char(encoding), 'size', pg_database_size(oid), 'server', current_setting('server_version')) "
    "FROM pg_database d WHERE datname = current_database()"
)
# Of the row of pg_database, as far as this server has them: what it takes to make one that is alike.
_KEPT = (
    "owner",
    "encoding_name",
    "size",
    "server",
    "datcollate",
    "datctype",
    "datlocprovider",
    "daticulocale",
    "datlocale",
)


def take(service, name, databases, project, docker, place, record):
    """Dump `databases` into the directory `place` and write them down in `record`. SnapshotError, OSError."""
    container = _running(project, name)
    if container is None:
        if not project.of(name) and not _has_data(service):
            record["absent"] += databases
            return
        raise SnapshotError(
            "%s does not run, so its databases cannot be dumped: start it (-e service=%s) and run again; nothing was "
            "changed" % (name, name),
            name,
        )
    user = user_of(service)
    for number, database in enumerate(databases, 1):
        file = "%d.dump" % number
        path = os.path.join(place, file)
        facts = json.loads(query(docker, container, user, database, _FACTS, name))
        _dump(docker, container, user, database, path, name)
        size, digest = snapshot_files.checksum(path)
        info = os.stat(path)
        record["files"].append(
            {"path": file, "size": size, "mode": 0o600, "uid": 0, "gid": 0, "mtime": info.st_mtime_ns, "sha256": digest}
        )
        record["databases"].append(
            dict({key: facts[key] for key in _KEPT if facts.get(key) is not None}, name=database, file=file, user=user)
        )


def put_back(snapshot, services, name, project, docker, aside_name):
    """Restore all databases of the service `name`. SnapshotError."""
    container = _running(project, name)
    if container is None:
        raise SnapshotError("%s does not run, so its databases cannot be put back: start it first" % name, name)
    user = user_of(services.get(name) or {})
    for entry in snapshot.services[name]["databases"]:
        path = os.path.join(snapshot.data(name), entry["file"])
        restore(docker, container, user, entry, path, aside_name, name)


def restore(docker, container, user, entry, path, aside_name, name):
    """Restore the dump at `path` as database entry["name"]; the present one is renamed to <db>_<aside_name>.

    It is restored under a name of its own first, and both are renamed in one transaction: until then nothing has
    changed, and once the aside name is there it is done.
    """
    database = entry["name"]
    kept, new = limited(database, "_" + aside_name), limited(database, "_mediastack_new")
    present = set(query(docker, container, user, MAINTENANCE, "SELECT datname FROM pg_database", name).split("\n"))
    if kept in present:
        return
    drop = [_terminate(new), "DROP DATABASE %s" % quoted(new)]
    if new in present:
        _sql(docker, container, user, MAINTENANCE, drop, name, turns=5)
    create = "CREATE DATABASE %s OWNER %s TEMPLATE template0%s" % (quoted(new), quoted(entry["owner"]), _locale(entry))
    _sql(docker, container, user, MAINTENANCE, [create], name)
    try:
        with open(path, "rb") as dump:
            _execute(
                docker,
                container,
                ["pg_restore", "--exit-on-error", "-U", user, "-d", new],
                name,
                "restore %s of %s" % (database, name),
                stdin=dump,
            )
    except SnapshotError:
        _sql(docker, container, user, MAINTENANCE, drop, name, turns=5)
        raise
    steps = ["ALTER DATABASE %s RENAME TO %s" % (quoted(new), quoted(database))]
    if database in present:
        steps.insert(0, "ALTER DATABASE %s RENAME TO %s" % (quoted(database), quoted(kept)))
    swap = [_terminate(database), "BEGIN"] + steps + ["COMMIT"]
    _sql(docker, container, user, MAINTENANCE, swap, name, turns=5)


def _locale(entry):
    """Encoding and locale of a database in CREATE DATABASE."""
    words = "".join(
        " %s %s" % (word, literal(entry[key]))
        for word, key in (("ENCODING", "encoding_name"), ("LC_COLLATE", "datcollate"), ("LC_CTYPE", "datctype"))
        if key in entry
    )
    provider, locale = entry.get("datlocprovider"), entry.get("daticulocale") or entry.get("datlocale")
    if provider == "i" and locale:
        words += " LOCALE_PROVIDER icu ICU_LOCALE %s" % literal(locale)
    elif provider == "b" and locale:
        words += " LOCALE_PROVIDER builtin BUILTIN_LOCALE %s" % literal(locale)
    return words


def user_of(service):
    """The user of a service's databases: wiring.username, else snapshot.username, else the image's own."""
    for part in ("wiring", "snapshot"):
        user = (service.get(part) or {}).get("username")
        if user:
            return str(user)
    return "postgres"


def quoted(identifier):
    """An identifier in SQL."""
    return '"%s"' % identifier.replace('"', '""')


def literal(text):
    """A text in SQL."""
    return "'%s'" % text.replace("'", "''")


def limited(database, ending):
    """`database` + `ending`, cut before the ending to what PostgreSQL keeps of a name."""
    room = LONGEST - len(ending.encode("utf-8"))
    return database.encode("utf-8")[:room].decode("utf-8", "ignore") + ending


def query(docker, container, user, database, sql, name):
    """What a query prints, as text without frame. SnapshotError."""
    arguments = ["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database, "-c", sql]
    return _execute(docker, container, arguments, name, "ask the database %s of %s" % (database, name)).out.strip()


def _sql(docker, container, user, database, statements, name, turns=1):
    script = ";\n".join(statements) + ";\n"
    arguments = ["psql", "-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database]
    for turn in range(turns):
        try:
            _execute(docker, container, arguments, name, "change databases of %s" % name, stdin=script)
            return
        except SnapshotError as error:
            # Its app has connected again in the meantime.
            if turn + 1 == turns or "being accessed by other users" not in str(error):
                raise


def _terminate(database):
    return (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"  # nosec B608 # quoted by literal()
        % literal(database)
    )


def _dump(docker, container, user, database, path, name):
    what = "dump the database %s of %s" % (database, name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        _execute(docker, container, ["pg_dump", "-Fc", "-U", user, database], name, what, stdout=handle, place=path)
    # Reads all of it, so that one that was cut off is found.
    for arguments in (["--list"], ["--file=/dev/null"]):
        with open(path, "rb") as handle:
            _execute(docker, container, ["pg_restore"] + arguments, name, "read the " + what[5:], stdin=handle)


def _execute(docker, container, arguments, name, what, stdin=None, stdout=None, place=None):
    """Run a program in the container. SnapshotError; OSError when the disk of `place` is full."""
    command = ["exec"] + (["-i"] if stdin is not None else []) + [container.id] + arguments
    try:
        return docker.run(*command, stdin=stdin, stdout=stdout, deadline=DEADLINE)
    except DockerError as error:
        if "no space left on device" in error.stderr.lower() and place:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place) from error
        raise SnapshotError("cannot %s: %s" % (what, error), name) from error


def _running(project, name):
    for container in project.of(name):
        if container.status == "running":
            return container
    return None


def _has_data(service):
    """Whether there is a data directory in the service's config directory."""
    root = service.get("config_dir")
    if not root:
        return False
    return any(found.name == "PG_VERSION" for found in snapshot_files.walk(root, ["."]))
