# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a reverse proxy lets in: its own ports are open to the network, and behind each name there is a UI (pure)."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import exposure_judge

TLS = "https"
"""Name of the proxy's port that speaks TLS; the other one is `web`."""
NOBODY = (404, 421)
"""What a proxy answers for a name that it has no route for."""
REMEDY = "take its route out of the proxy, or put a login in front of it"


def places(services, rows, visited):
    """What to visit by name: [(row of the proxy, place for exposure_probe)], a place also with `service`.

    Its entry, that is, with `front`, what its addresses begin with there, and `below`, what of that it does not know.

    Args:
        services: entries of the module's `services`; `proxy` says which one is the reverse proxy, `route` where it
            serves another.
        rows: rows of what is on the network.
        visited: the places of these, in their order.
    """
    proxies = {service["name"] for service in services if service.get("proxy")}
    found = []
    for row, place in zip(rows, visited):
        if row.service not in proxies or row.listener.name not in (exposure_judge.WEB, TLS):
            continue
        for service in services:
            route = service.get("route")
            if route:
                path = route.get("path") or ""
                # An app that knows its path has it in `login.closed` already.
                behind = dict(service, front=path, below=path if route.get("strip") else "")
                more = {"service": behind, "host": route["host"], "tls": row.listener.name == TLS}
                found.append((row, {**place, **more, "requests": exposure_judge.requests_of(behind)}))
    return found


def is_front(row, service, seen):
    """Whether a listener is the reverse proxy's, and says to whoever knows no name that nobody is there."""
    return bool((service or {}).get("proxy")) and row.listener.name in (exposure_judge.WEB, TLS) and not is_route(seen)


def is_route(seen):
    """Whether somebody is behind the name: not the proxy's own word that nobody is, nor its way from HTTP to HTTPS."""
    answers = [answer for answer in seen["answers"] if answer["status"] is not None]
    if not answers or all(answer["status"] in NOBODY for answer in answers):
        return False
    return not all(_to_https(answer) for answer in answers)


def _to_https(answer):
    return not answer["tls"] and bool(answer["hops"]) and answer["hops"][-1].startswith("https://")
