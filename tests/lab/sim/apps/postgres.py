# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The real PostgreSQL (Debian's), started as docker-library's image does.

https://github.com/docker-library/postgres/blob/master/docker-entrypoint.sh
"""

import contextlib
import glob
import os
import pwd
import subprocess
import tempfile

from .. import identity
from ..real import Real

NO_PASSWORD = """Error: Database is uninitialized and superuser password is not specified.
       You must specify POSTGRES_PASSWORD to a non-empty value for the
       superuser. For example, "-e POSTGRES_PASSWORD=password" on "docker run"."""


class APP(Real):
    """postgres with PGDATA, POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and their _FILE forms."""

    def check(self):
        """Read the variables as root, own PGDATA, become the image's postgres user."""
        self.data = self.env.get("PGDATA") or "/var/lib/postgresql/data"
        self.values = {
            name: self.variable(name)
            for name in ("POSTGRES_PASSWORD", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_INITDB_ARGS")
        }
        self.user = self.values["POSTGRES_USER"] or "postgres"
        self.family = "user"
        self.bin = max(glob.glob("/usr/lib/postgresql/*/bin"))
        try:
            os.makedirs(self.data, 0o700, exist_ok=True)
            os.makedirs("/var/run/postgresql", 0o3775, exist_ok=True)
        except OSError as error:
            raise identity.StartError(f"mkdir: cannot create directory '{error.filename}': {error.strerror}") from None
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            try:
                os.listdir(self.data)
            except PermissionError:
                raise identity.StartError(f"find: '{self.data}': Permission denied") from None
            identity.own([self.data, "/var/run/postgresql"], entry.pw_uid, entry.pw_gid)
            with contextlib.suppress(PermissionError):
                os.chmod(self.data, 0o700)
            try:
                os.setgroups([entry.pw_gid])
                os.setgid(entry.pw_gid)
                os.setuid(entry.pw_uid)
            except PermissionError:
                raise identity.StartError("error: failed switching to 'postgres': operation not permitted") from None

    def variable(self, name):
        """Return NAME, or the content of the file that NAME_FILE names; both at once are an error."""
        value, path = self.env.get(name), self.env.get(f"{name}_FILE")
        if value and path:
            raise identity.StartError(f"error: both {name} and {name}_FILE are set (but are exclusive)")
        if not path:
            return value or ""
        try:
            with open(path, encoding="utf-8") as stream:
                return stream.read().rstrip("\n")
        except OSError as error:
            raise identity.StartError(
                f"/usr/local/bin/docker-entrypoint.sh: line 21: {path}: {error.strerror}"
            ) from None

    def prepare(self):
        """Create the cluster and the database where there is none yet."""
        if os.path.exists(os.path.join(self.data, "PG_VERSION")):
            print(
                "\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n", flush=True
            )
            return
        if not self.values["POSTGRES_PASSWORD"]:
            raise identity.StartError(NO_PASSWORD)
        with tempfile.NamedTemporaryFile("w") as password:
            password.write(self.values["POSTGRES_PASSWORD"] + "\n")
            password.flush()
            options = [
                "--username",
                self.user,
                "--pwfile",
                password.name,
                "--encoding=UTF8",
                "--no-sync",
                *self.values["POSTGRES_INITDB_ARGS"].split(),
            ]
            self.tool("initdb", "--pgdata", self.data, *options)
        with open(os.path.join(self.data, "pg_hba.conf"), "a", encoding="utf-8") as stream:
            stream.write("\nhost all all all scram-sha-256\n")
        database = self.values["POSTGRES_DB"] or self.user
        if database != "postgres":
            self.tool("pg_ctl", "-D", self.data, "-w", "-o", "-c listen_addresses='' -p 5432", "start")
            quoted = database.replace('"', '""')
            self.tool(
                "psql",
                "-v",
                "ON_ERROR_STOP=1",
                "--no-psqlrc",
                "-U",
                self.user,
                "-d",
                "postgres",
                "-c",
                f'CREATE DATABASE "{quoted}"',
            )
            self.tool("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")
        print("\nPostgreSQL init process complete; ready for start up.\n", flush=True)

    def tool(self, name, *arguments):
        """Run one of PostgreSQL's programs; its failure ends the container."""
        done = subprocess.run([os.path.join(self.bin, name), *arguments], check=False)
        if done.returncode:
            raise identity.StartError(f"{name} failed with exit code {done.returncode}", done.returncode)

    def program_env(self):
        """The password is not handed on."""
        return {name: value for name, value in self.env.items() if name != "POSTGRES_PASSWORD"}

    def commands(self):
        """Return postgres with the container's arguments; it listens on every address, as in the image."""
        rest = self.args[1:] if self.args[:1] == ["postgres"] else self.args
        return [[os.path.join(self.bin, "postgres"), "-D", self.data, "-c", "listen_addresses=*", *rest]]
