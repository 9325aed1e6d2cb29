# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who works on this host, who owns its data, and its time zone."""

from __future__ import annotations

import grp
import os
import pwd
import re

from ansible_collections.homelab.mediastack.plugins.module_utils import mounts

# What the vendors' own apps run as.
_FAMILY_IDS = {"unraid": (99, 100, "Unraid's nobody:users"), "truenas": (568, 568, "TrueNAS's apps")}
_FALLBACK = 1000
_ZONEINFO = re.compile(r"zoneinfo/(?:posix/|right/)?(.+)$")


def user(environ=None):
    """{name, uid, gid, root, login} of this process; `login`: the person behind sudo, as {name, uid, gid}, or None."""
    environ = os.environ if environ is None else environ
    uid, gid = os.geteuid(), os.getegid()
    found = {"name": _user_name(uid), "uid": uid, "gid": gid, "root": uid == 0, "login": None}
    try:
        entry = pwd.getpwnam(environ.get("SUDO_USER") or "")
    except (KeyError, ValueError):
        entry = None
    if entry is None and uid != 0:
        found["login"] = {"name": found["name"], "uid": uid, "gid": gid}
    elif entry is not None and entry.pw_uid != 0:
        found["login"] = {"name": entry.pw_name, "uid": entry.pw_uid, "gid": entry.pw_gid}
    return found


def data_owner(paths, family, who, accounts=None):
    """{puid, pgid, from}: whom the apps should run as.

    Parameters:
        paths: directories that hold or will hold data, the most telling first.
        family: of `nas_family`.
        who: of `user`.
        accounts: entries of passwd; default this host's.
    """
    for path in [each for each in paths if each] + [mounts.existing(path) for path in paths[:1] if path]:
        try:
            info = os.stat(path)
        except OSError:
            continue
        if info.st_uid != 0:
            return {"puid": info.st_uid, "pgid": info.st_gid, "from": "the owner of %s" % path}
    if family in _FAMILY_IDS:
        puid, pgid, words = _FAMILY_IDS[family]
        return {"puid": puid, "pgid": pgid, "from": words}
    if who["login"]:
        return {"puid": who["login"]["uid"], "pgid": who["login"]["gid"], "from": "the user %s" % who["login"]["name"]}
    accounts = pwd.getpwall() if accounts is None else accounts
    people = sorted((entry.pw_uid, entry) for entry in accounts if 1000 <= entry.pw_uid < 60000)
    if people:
        entry = people[0][1]
        return {"puid": entry.pw_uid, "pgid": entry.pw_gid, "from": "the user %s" % entry.pw_name}
    return {"puid": _FALLBACK, "pgid": _FALLBACK, "from": "the usual first user"}


def describe_owner(path):
    """{path, exists, owner, group, uid, gid, mode} of the path itself, or of the nearest directory above it."""
    place = mounts.existing(path)
    info = os.stat(place)
    return {
        "path": place,
        "exists": os.path.isdir(path),
        "owner": _user_name(info.st_uid),
        "group": _group_name(info.st_gid),
        "uid": info.st_uid,
        "gid": info.st_gid,
        "mode": "%04o" % (info.st_mode & 0o7777),
    }


def time_zone(root="/", environ=None):
    """This host's time zone by the name of the tz database, or None when it does not say."""
    environ = os.environ if environ is None else environ
    try:
        match = _ZONEINFO.search(os.readlink(os.path.join(root, "etc/localtime")))
        if match:
            return match.group(1)
    except OSError:
        pass
    for file, pattern in (
        ("etc/timezone", r"^([A-Za-z0-9_+/-]+)\s*$"),
        ("boot/config/ident.cfg", r'(?m)^timeZone="([^"]+)"'),
    ):
        try:
            with open(os.path.join(root, file), encoding="utf-8", errors="replace") as handle:
                match = re.search(pattern, handle.read(4096))
        except OSError:
            continue
        if match:
            return match.group(1)
    name = environ.get("TZ", "").lstrip(":")
    return name if re.match(r"^[A-Z][A-Za-z_]+/[A-Za-z0-9_+/-]+$", name) else None


def _user_name(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid):
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
