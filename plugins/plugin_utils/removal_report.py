# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `remove` took away from a host and what it left, for people (pure)."""

from __future__ import annotations

import posixpath

# What to say of what stays, and how to be rid of it.
_NOTES = {
    "config": "-e purge_config=true removes the stack's part of it",
    "volumes": "-e purge_config=true removes them",
    "records": "the passwords and keys of the configuration, and what else a next site goes on from",
    "edited files": "somebody has changed them since they were rendered",
    "images": "docker image rm removes them",
    "pull mode": "paused; the playbook gitops, with -e uninstall=true, removes it",
    "backups": "docs/backup.md; nothing here ever removes them",
}
_WIDTH = 14


def removal_report(host, result, check_mode, purged):
    """The report, several lines.

    Args:
        host: name in the inventory.
        result: of the module stack_remove, `{gone, stays}` by kind.
        check_mode: whether it is only about to go.
        purged: whether configuration was to go too.
    """
    gone = [(kind, names) for kind, names in result["gone"].items() if names]
    stays = [(kind, names) for kind, names in result["stays"].items() if names]
    lines = []
    if gone:
        lines.append(f"{host}: {'would be removed' if check_mode else 'removed'}")
        lines += [_line(kind, names) for kind, names in gone]
    else:
        lines.append(f"{host}: nothing of the stack is there to be removed")
    lines.append(f"{host}: stays")
    lines += [_line(kind, names, None if purged and kind == "config" else _NOTES.get(kind)) for kind, names in stays]
    lines.append(_line("engine", ["Docker Engine and Compose"]))
    return "\n".join(lines)


def _line(kind, names, note=None):
    places = _shortened(names)
    text = ("; " if any(": " in place for place in places) else ", ").join(places)
    return f"  {kind:<{_WIDTH}}{text}" + (f" ({note})" if note else "")


def _shortened(names):
    """Paths with one directory for all that lie in it: `/srv/compose: .env, compose.core.yml`."""
    places = {}
    for name in names:
        directory, base = posixpath.split(name) if name.startswith("/") else ("", name)
        places.setdefault(directory, []).append(base)
    found = []
    for directory, bases in places.items():
        if not directory:
            found += bases
        elif len(bases) == 1:
            found.append(posixpath.join(directory, bases[0]))
        else:
            found.append(f"{directory}: {', '.join(bases)}")
    return found
