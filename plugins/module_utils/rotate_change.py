# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets that an app keeps where no file of ours reaches: changed through the app itself.

Each change may be made again: it looks first whether it is made already.
"""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import rotate_database
from ansible_collections.homelab.mediastack.plugins.module_utils import rotate_doors as doors_of
from ansible_collections.homelab.mediastack.plugins.module_utils.rotate_doors import DATABASE, PASSWORD, DoorError

#: Kinds whose password is in their own database.
_BY_API = ("servarr", "prowlarr", "jellyfin")


def before(run, doors, to):
    """What has to be changed while the containers still are as they were: the database first, its apps after it."""
    for door in doors:
        if door.role == DATABASE and not rotate_database.opens(run.docker, run.project, door, to[door.secret]):
            run.progress.say("changing the password of %s" % door.service)
            rotate_database.change(run.docker, run.project, door, to[door.secret])


def after(asked, doors, to, was, values):
    """What is changed in apps that run with their new configuration.

    `asked`: rotate_doors.Doors; `to`, `was`: name → value; `values`: every secret as it is now. DoorError.
    """
    for door in doors:
        if door.role != PASSWORD or door.kind not in _BY_API or asked.opens(door, to[door.secret]):
            continue
        if door.kind == "jellyfin":
            _jellyfin(asked, door, to[door.secret], was[door.secret])
        else:
            _servarr(asked, door, to[door.secret], values)


def _servarr(asked, door, password, values):
    """PUT /config/host, as for the first login."""
    key = values.get("%s_api_key" % door.service)
    if not key:
        raise DoorError("%s: its API key is unknown" % door.service)
    headers, base = {"X-Api-Key": key}, asked.base(door)
    reply = asked.ask(door, "GET", base + "/api", headers)
    if reply.status != 200:
        raise DoorError("%s does not take its API key (%d)" % (door.service, reply.status))
    version = (reply.json() or {}).get("current")
    path = "%s/api/%s/config/host" % (base, version)
    host = asked.ask(door, "GET", path, headers).json()
    if not isinstance(host, dict):
        raise DoorError("%s: GET %s did not give its settings" % (door.service, path))
    host.update(username=door.username, password=password, passwordConfirmation=password)
    reply = asked.ask(door, "PUT", "%s/%s" % (path, host.get("id", 1)), headers, host)
    if reply.status not in (200, 202):
        raise DoorError("%s: PUT %s was answered with %d" % (door.service, path, reply.status))


def _jellyfin(asked, door, password, before_it):
    """POST /Users/Password (Jellyfin.Api/Controllers/UserController.cs; up to 10.8 /Users/{id}/Password)."""
    session = doors_of.jellyfin_login(asked, door, before_it)
    if session is None:
        raise DoorError("%s takes neither the old nor the new password" % door.service)
    token, user = session
    body, headers = {"CurrentPw": before_it, "NewPw": password}, doors_of.jellyfin_token(token)
    for path in ("/Users/Password?userId=%s" % user, "/Users/%s/Password" % user):
        reply = asked.ask(door, "POST", path, headers, body)
        if reply.status not in (404, 405):
            break
    if reply.status not in (200, 204):
        raise DoorError("%s: changing the password was answered with %d" % (door.service, reply.status))
