# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to propose for a host that was looked at, where nobody has said anything yet."""

from __future__ import annotations

import posixpath

BASE = "mediastack"
_GENERIC = "/srv/" + BASE


def propose(answers, facts):
    """Put what the host says into the answers that nobody has given.

    Parameters:
        answers: `init_answers.Answers`.
        facts: result of the module host_info.
    """
    base = base_path(facts)
    if base:
        answers.propose("base_path", base, "the usual place")
    elif not answers.is_given("base_path"):
        # The collection's default is for other systems.
        answers.values["mediastack_base_path"] = ""
    answers.propose("timezone", facts["timezone"] or answers["timezone"], "the host's")
    for short in ("profiles", "vpn_provider", "vpn_type"):
        answers.propose(short, answers[short])


def owner(answers, facts):
    """Put the owner of the data into the answers, unless somebody has set both ids."""
    found = facts["owner"]
    for short in ("puid", "pgid"):
        answers.propose(short, found[short], found["from"])


def base_path(facts):
    """Where everything may lie on this host; `None` where there is no telling."""
    platform, disks = facts["platform"], [disk["mount"] for disk in facts["disks"] if disk["kind"] == "local"]
    others = [mount for mount in disks if mount != "/"]
    if platform["distribution"] == "macos":
        login = facts["user"]["login"]
        return posixpath.join("/Users", login["name"], BASE) if login else None
    if platform["distribution"] == "openmediavault":
        others = [mount for mount in others if mount.startswith("/srv/")]
    elif platform["family"] == "unraid":
        others = [mount for mount in others if mount == "/mnt/user"]
    elif platform["family"] == "generic":
        return _GENERIC
    return posixpath.join(others[0], BASE) if others else None


def paths(answers):
    """The directories of the stack, the derived ones too, as host_info takes them."""
    base = answers["base_path"]
    found = {"base": base}
    for name, directory in (
        ("config", "config"),
        ("media", "media"),
        ("downloads", "downloads"),
        ("project", "compose"),
    ):
        found[name] = answers[f"{name}_path"] or posixpath.join(base, directory)
    return found


def size(count):
    """Bytes for people."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB" if count < 1000 else f"{count / 1000:.1f} PB"
