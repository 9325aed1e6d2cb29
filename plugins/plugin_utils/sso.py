# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Single sign-on: which doors authentik keeps, and who may pass which (pure).

A door is a host name: authentik tells its applications apart by nothing else. So apps that share one share its rule.
"""

from __future__ import annotations

import dataclasses
import re

from . import ingress

# What a group of mediastack_sso_groups may see besides names of apps and of their groups.
ALL = "all"
# authentik's own group of its administrators, which its first user is in.
ADMINS = "authentik Admins"
# What the proxy puts into a request for the app to read, and takes out of one that comes from outside.
IDENTITY_HEADERS = (
    *(
        "X-authentik-username",
        "X-authentik-groups",
        "X-authentik-entitlements",
        "X-authentik-email",
        "X-authentik-name",
    ),
    *("X-authentik-uid", "X-authentik-jwt", "X-authentik-meta-jwks", "X-authentik-meta-outpost"),
    *("X-authentik-meta-provider", "X-authentik-meta-app", "X-authentik-meta-version"),
)


@dataclasses.dataclass(frozen=True)
class Door:
    """One host name, as authentik knows it.

    Attributes:
        slug: its name in authentik's addresses.
        title: for people.
        url: where it is, without a slash at the end.
        rule: name of what decides who may pass: doors with the same rule have the same `groups`.
        groups: of mediastack_sso_groups, that may pass.
    """

    slug: str
    title: str
    url: str
    rule: str
    groups: tuple


@dataclasses.dataclass(frozen=True)
class Plan:
    """What authentik is to know.

    Attributes:
        url: of authentik itself, as browsers reach it.
        doors: `Door`s.
    """

    url: str
    doors: tuple


def plan(services, routes, settings):
    """The doors of a stack.

    Args:
        services: name → rendered `catalogue.Service`.
        routes: of `ingress.find`.
        settings: resolved `mediastack_*` values.

    Returns:
        `(Plan or None without single sign-on, messages)`.
    """
    own = next((route for route in routes if route.service == ingress.IDENTITY), None)
    if own is None:
        return None, []
    port = ingress.port_of(services, settings)
    suffix = "" if port == 443 else f":{port}"
    behind = {}
    for route in routes:
        if route.sso:
            behind.setdefault(route.host, []).append(route)
    doors, messages = [], []
    for host, apps in behind.items():
        url = f"https://{host}{suffix}"
        if apps[0].path:
            door, message = _shared(url, host, apps, settings["mediastack_sso_groups"])
            messages += message
        else:
            door = _own(url, apps[0], settings["mediastack_sso_groups"])
        doors.append(door)
    return Plan(f"https://{own.host}{suffix}", tuple(doors)), messages


def _own(url, route, groups):
    named = {route.service, route.app}
    # A rule for each group of apps, and one for an app that stands in the settings by its name.
    by_name = any(named & set(seen) for seen in groups.values())
    rule = f"app {route.service}" if by_name else f"apps {route.group}"
    slug = re.sub(r"[^a-z0-9]+", "-", route.service.lower()).strip("-")
    return Door(f"mediastack-{slug}", route.title, url, f"mediastack {rule}", _may(route, groups))


def _shared(url, host, apps, groups):
    """One door for several apps: who may not see all of them does not pass."""
    each = [_may(route, groups) for route in apps]
    common = tuple(name for name in groups if all(name in may for may in each))
    left = [name for name in groups if name not in common and any(name in may for may in each)]
    messages = []
    if left:
        only = ", ".join(common) or ADMINS
        names = ", ".join(route.service for route in apps)
        messages.append(
            f"{host} is one door for {names}: with single sign-on {only} may pass; "
            f"{', '.join(left)}, who may see some of them, may not (mediastack_ingress_style: host tells apps apart)"
        )
    return Door("mediastack", "Media stack", url, "mediastack shared", common), messages


def _may(route, groups):
    """Names of the groups that may see an app, in the order of the setting."""
    return tuple(
        name for name, seen in groups.items() if not {ALL, route.group, route.service, route.app}.isdisjoint(seen)
    )
