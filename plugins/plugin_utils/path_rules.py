# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules for the directories of the stack: where they may be, and how they may lie to each other.

Only what the text of a path says; file systems, mounts and owners are looked at on the host.
"""

from __future__ import annotations

import posixpath
import re

from .setting_types import shown

# What is below the base path when nothing else is said, by setting.
BELOW_BASE = {
    "project_path": "compose",
    "media_path": "media",
    "downloads_path": "downloads",
    "config_path": "config",
    "backup_path": "backups",
}

# Directories that hold other people's things: fine to be in, never to be taken as a whole.
_WHOLE = re.compile(
    r"/|/(?:home|srv|mnt|media|opt|tmp|var|share|data|DATA|Users|export|pool)|/root|/home/[^/]+|/Users/[^/]+|/var/lib"
    r"|/[Vv]olume[0-9]+|/mnt/(?:user|user0|cache|disk[0-9]+)|/share/[A-Z0-9]+_DATA|/srv/dev-disk-by-[^/]+"
)
# Directories of the operating system, with all that is in them.
_SYSTEM = re.compile(
    r"/(?:bin|boot|dev|etc|lib|lib32|lib64|proc|run|sbin|sys|usr|lost\+found|var/lib/docker|var/run)(?:/.*)?"
)
# They end Compose's short syntax, COMPOSE_FILE's list or a variable's name.
_FORBIDDEN = (":", ",", "$", "\\")
# Linux's for one name, and for a whole path less what lies below it.
_NAME_BYTES, _PATH_BYTES = 255, 2048


def check_path(value, errors):
    """Check one path; returns it without superfluous slashes."""
    if not value.startswith("/"):
        what = "begins with ~, which means another directory for every user" if value.startswith("~") else "is relative"
        errors.append(f"{shown(value)} {what}. Write an absolute path of the host, such as /srv/mediastack.")
        return value
    if value != value.strip() or not value.isprintable():
        errors.append(
            f"{shown(value)} holds a blank at an end, a line end or another character that cannot be printed."
        )
        return value
    found = [character for character in _FORBIDDEN if character in value]
    if found:
        errors.append(
            f"{shown(value)} holds {' and '.join(found)}, which Docker Compose reads as its own. Choose another path."
        )
        return value
    found = [mark for mark in ("{{", "{%") if mark in value]
    if found:
        errors.append(f"{shown(value)} holds {found[0]}, which begins a template that nothing filled in. Remove it.")
        return value
    sizes = [len(part.encode("utf-8", "replace")) for part in value.split("/")]
    if max(sizes) > _NAME_BYTES or sum(sizes) + len(sizes) > _PATH_BYTES:
        errors.append(
            f"{shown(value)} is too long: {_NAME_BYTES} bytes for one name, {_PATH_BYTES} in all. Choose another."
        )
        return value
    if ".." in value.split("/"):
        errors.append(f"{shown(value)} holds '..'. Write the path that is meant.")
        return value
    return "/" + posixpath.normpath(value).lstrip("/")


def check_directory(value, errors):
    """Check a directory that the stack will own."""
    before = len(errors)
    value = check_path(value, errors)
    if len(errors) > before:
        return value
    if _WHOLE.fullmatch(value):
        errors.append(
            f"{shown(value)} is a whole volume, a home or a system directory. Take a directory in it, such as "
            f"{posixpath.join(value, 'mediastack')}."
        )
    elif _SYSTEM.fullmatch(value):
        errors.append(f"{shown(value)} belongs to the operating system. Take a directory such as /srv/mediastack.")
    return value


def contains(outer, inner):
    """Whether `inner` is `outer` or lies in it."""
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")


def check_layout(paths, split_mounts):
    """How the directories may lie to each other.

    Parameters:
        paths: `base_path`, `project_path`, `media_path`, `downloads_path`, `config_path`, `backup_path`, checked.
        split_mounts: whether library and downloads are mounted each on its own.
    Returns:
        `[(setting, problem)]`.
    """
    problems = []
    base, media, downloads = paths["base_path"], paths["media_path"], paths["downloads_path"]

    def clash(setting, other, why):
        problems.append((setting, f"{paths[setting]} {why} mediastack_{other} ({paths[other]})."))

    for private in ("config_path", "project_path", "backup_path"):
        for shared in ("media_path", "downloads_path"):
            if contains(paths[shared], paths[private]):
                clash(private, shared, "holds the apps' secrets and lies in what they share,")
            elif contains(paths[private], paths[shared]):
                clash(shared, private, "lies in the apps' private files,")
        if contains(paths[private], base):
            clash(private, "base_path", "is, or holds, the directory that all apps see,")
    if contains(paths["config_path"], paths["project_path"]):
        clash("project_path", "config_path", "is, or lies in,")
    elif contains(paths["project_path"], paths["config_path"]):
        clash("config_path", "project_path", "lies in")
    for private in ("config_path", "project_path"):
        # What restores the one must not lie in the other.
        if contains(paths[private], paths["backup_path"]):
            clash("backup_path", private, "is, or lies in,")
        elif contains(paths["backup_path"], paths[private]):
            clash(private, "backup_path", "lies in")
    if contains(media, downloads):
        clash("downloads_path", "media_path", "is, or lies in, the library,")
    elif contains(downloads, media):
        clash("media_path", "downloads_path", "lies in the downloads,")
    if not split_mounts:
        for setting in ("media_path", "downloads_path"):
            expected = posixpath.join(base, BELOW_BASE[setting])
            if paths[setting] != expected:
                problems.append((setting, _not_below(paths[setting], base, expected)))
    return problems


def _not_below(path, base, expected):
    where = "is not below" if not contains(base, path) else "has another name below"
    return (
        f"{path} {where} mediastack_base_path ({base}), which the apps see as /data. Take {expected}, or "
        "set mediastack_split_mounts: true (imports are then copies, not hard links)."
    )
