# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The password of a PostgreSQL user: changed and tried by the programs of its own container.

No password is an argument of a program, and none is sent in plain text: the server gets what it would store.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import snapshot_postgres
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.rotate_doors import DoorError

_DEADLINE = 60
_ROUNDS = 4096
# Asked over the network, as its app does: the image trusts the socket and 127.0.0.1.
_TRY = 'IFS= read -r PGPASSWORD; export PGPASSWORD; exec psql -X -w -q -A -t -h "$1" -U "$2" -d "$3" -c "SELECT 1"'


def verifier(password, salt=None):
    """What PostgreSQL stores of a password (RFC 5803): `SCRAM-SHA-256$rounds:salt$StoredKey:ServerKey`."""
    salt = salt or os.urandom(16)
    # Letters and digits only: SASLprep has nothing to change in what is generated.
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("utf-8"), salt, _ROUNDS)
    client = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
    server = hmac.new(salted, b"Server Key", hashlib.sha256).digest()
    parts = [base64.b64encode(part).decode("ascii") for part in (salt, hashlib.sha256(client).digest(), server)]
    return "SCRAM-SHA-256$%d:%s$%s:%s" % (_ROUNDS, *parts)


def change(docker, project, door, password):
    """Give the user of `door` this password. DoorError."""
    container = _running(project, door)
    user, words = snapshot_postgres.quoted(door.username), snapshot_postgres.literal(verifier(password))
    arguments = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", door.username, "-d", snapshot_postgres.MAINTENANCE]
    sql = "ALTER ROLE %s PASSWORD %s;\n" % (user, words)
    try:
        docker.run("exec", "-i", container.id, *arguments, stdin=sql, deadline=_DEADLINE)
    except DockerError as error:
        raise DoorError("%s: the password of %s could not be changed: %s" % (door.service, user, error)) from error


def opens(docker, project, door, password):
    """Whether the user of `door` gets in with this password. DoorError."""
    container = _running(project, door)
    networks = ((container.raw.get("NetworkSettings") or {}).get("Networks") or {}).values()
    address = next((one["IPAddress"] for one in networks if one.get("IPAddress")), None)
    if not address:
        raise DoorError("%s has no address" % door.service)
    arguments = ["sh", "-c", _TRY, "sh", address, door.username, snapshot_postgres.MAINTENANCE]
    done = docker.run("exec", "-i", container.id, *arguments, stdin=password + "\n", deadline=_DEADLINE, check=False)
    if done.rc == 0:
        return True
    if "authentication failed" in done.err:
        return False
    raise DoorError("%s: %s" % (door.service, " ".join(done.err.split())[:200] or "psql failed"))


def _running(project, door):
    for container in project.of(door.service):
        if container.status == "running":
            return container
    raise DoorError("%s does not run, so its password cannot be changed: start it first" % door.service)
