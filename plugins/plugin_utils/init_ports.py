# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ports that the host says are taken, moved to those that it says are free."""

from __future__ import annotations

import re

import yaml

_LINE = re.compile(r"mediastack_ports: (\{.*\})$")


def moves(problems):
    """`{service: port or {name: port}}` that preflight proposes; empty unless ports are all that is wrong.

    Parameters:
        problems: of compose_stack. The remedy of a port ends in the line to set.
    """
    found = {}
    for problem in problems:
        match = _LINE.search(problem["remedy"]) if problem["check"] == "port" else None
        if match is None:
            return {}
        for service, port in yaml.safe_load(match[1]).items():
            present = found.get(service)
            if present is None:
                found[service] = port
            elif isinstance(present, dict) and isinstance(port, dict):
                present.update(port)
            else:
                return {}
    return found


def words(found):
    """The moves for people: `sonarr=8990, traefik.https=444`."""
    parts = []
    for service, port in found.items():
        named = port.items() if isinstance(port, dict) else [("", port)]
        parts += [f"{service}{f'.{name}' if name else ''}={number}" for name, number in named]
    return ", ".join(parts)


def moved(ports, found):
    """`mediastack_ports` with the moves in it; a name keeps the others of its service."""
    result = dict(ports)
    for service, port in found.items():
        present = result.get(service)
        result[service] = {**present, **port} if isinstance(present, dict) and isinstance(port, dict) else port
    return result
