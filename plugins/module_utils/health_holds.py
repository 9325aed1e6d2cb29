# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What holds add to the health of a stack: who stopped what is stopped, and what runs although it is not selected."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import holds
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.health_model import (
    HEALTHY,
    MISSING,
    STOPPED,
    UNKNOWN,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import VPN_SERVICE

_SERVICE = dict.fromkeys(("container", "image", "health", "holder", "ports", "url"))


def read(project_path):
    """`(holds, None)`, or `({}, why they cannot be read)`: that must not hide how the services are."""
    try:
        return holds.read(project_path), None
    except FileError as error:
        return {}, str(error)


def also(services, held):
    """Entries, as of `services`, for what is held started and not among them: only their containers are known."""
    listed = {service["name"] for service in services}
    return [
        dict(_SERVICE, name=name, title=name)
        for name, entry in sorted(held.items())
        if entry["verb"] == holds.START and name not in listed
    ]


def explain(services, more, rows, held):
    """`rows` (entries of the result model, of `services` and of what `also` gave, in order) with what `held` tells."""
    explained = []
    for service, row in zip(services + more, rows):
        if service in more and row["status"] in (MISSING, UNKNOWN):
            # Nobody would miss it: the next `site` lets go of this hold.
            continue
        explained.append(dict(row, message=_message(row, service["name"], service.get("holder"), held)))
    return explained


def _message(row, name, holder, held):
    entry, message = held.get(name), row["message"]
    down = row["status"] in (STOPPED, MISSING)
    if entry and entry["verb"] == holds.START:
        return "; ".join(part for part in (message, holds.since(entry)) if part)
    if entry and down:
        return "%s; run start" % holds.since(entry)
    if holder in held and down:
        return "%s, whose network it uses, is %s" % (holder, holds.since(held[holder]))
    if holds.VPN in held and VPN_SERVICE in (name, holder) and row["status"] != HEALTHY:
        return "%s; the VPN is %s" % (message, holds.since(held[holds.VPN]))
    return message
