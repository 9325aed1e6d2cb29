# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which web interface has a route through the reverse proxy, and where it leads (pure)."""

from __future__ import annotations

import dataclasses

from . import ingress_rules
from .errors import RenderError, did_you_mean
from .fragments import merge
from .ports import normalize

# The app that serves the routes, and its service that serves the pages for apps that do not answer.
PROXY = "traefik"
PAGES = "traefik-pages"
# The app that knows who somebody is, and its service that the proxy asks.
IDENTITY_APP = "authentik"
IDENTITY = "authentik-server"
NO_DOMAIN = (
    "Traefik has no routes, and behind it web interfaces listen on 127.0.0.1 unless mediastack_bind_addresses says "
    "where: set mediastack_domain, such as home.example.org, and each has a route (docs/ingress.md), or take proxy out "
    "of mediastack_profiles"
)
NO_TLS = (
    "mediastack_tls is none: passwords for the apps cross the network in the clear, unless something before Traefik "
    "encrypts, which mediastack_trusted_proxies names"
)
NO_SSO_WITHOUT_TLS = (
    "mediastack_tls is none, and the profile auth is on: authentik and its cookies need https from Traefik on. Set "
    "mediastack_tls: internal, or take auth out of mediastack_profiles"
)


@dataclasses.dataclass(frozen=True)
class Route:
    """The way to one web interface.

    Attributes:
        service: its service, whose name the route has.
        title: for people.
        host: the host name that it answers to.
        path: what its addresses begin with, `/sonarr`; empty: the host is all its own.
        strip: whether the app knows nothing of `path`, so that it is taken off on the way.
        upstream: URL of the app in the stack's network.
        pass_host: whether the app is told the host name that was asked for; without it, its own.
        check: where the app says that it is well, and with which code: `(path, code)`; None where a proxy cannot tell.
        sign_in: whether the proxy asks for a password first, because the app does not.
        group: of its service file.
        app: of its service file.
        sso: whether the proxy asks authentik first.
        open: paths that go past authentik, for programs that have a key of the app; `path` is a part of them.
    """

    service: str
    title: str
    host: str
    path: str
    strip: bool
    upstream: str
    pass_host: bool
    check: tuple | None
    sign_in: bool
    group: str = ""
    app: str = ""
    sso: bool = False
    open: tuple = ()


def is_on(apps, settings):
    """Whether there are routes. `apps`: names of the selected apps."""
    return PROXY in apps and bool(settings["mediastack_domain"])


def has_sso(apps, settings):
    """Whether authentik is asked who somebody is. `apps`: names of the selected apps."""
    return is_on(apps, settings) and IDENTITY_APP in apps


def shares_host(apps, settings):
    """Whether apps share a host name, each below a path. `apps`: names of the selected apps."""
    return is_on(apps, settings) and settings["mediastack_ingress_style"] == "path"


def find(services, definitions, overrides, settings):
    """The routes of a stack.

    Args:
        services: name → rendered `catalogue.Service`.
        definitions, overrides: name → Compose definition, and what is merged over it.
        settings: resolved `mediastack_*` values.

    Returns:
        `(routes, messages)`.

    Raises:
        RenderError: every problem found.
    """
    if PROXY not in services:
        return [], []
    if not settings["mediastack_domain"]:
        return [], [NO_DOMAIN]
    routes, cut_off, owners = [], [], {}
    problems = _sso_problems(services, settings)
    for service in services.values():
        spec = service.meta.get("route", {})
        ports = service.meta.get("ports", {})
        name = spec.get("port", "web")
        if not spec.get("enabled", True) or ("port" not in spec and not _has_ui(service, ports)):
            continue
        if name not in ports:
            problems.append(
                f"{service.path}: {service.name}: x-mediastack.route.port: there is no port {name!r}"
                f"{did_you_mean(name, ports)}"
            )
            continue
        definition = merge(definitions[service.name], overrides.get(service.name, {}))
        upstream = _upstream(service.name, definition)
        if upstream is None:
            cut_off.append(service.name)
            continue
        sso = IDENTITY in services and spec.get("sso", True) and service.app != IDENTITY_APP
        route = _route(service, spec, upstream, normalize(ports[name])["target"], settings, sso)
        other = owners.setdefault((route.host, route.path), route.service)
        if other != route.service:
            problems.append(
                f"{service.path}: {service.name}: {route.host}{route.path} is the address of {other} already; give one "
                "another x-mediastack.route.name"
            )
        routes.append(route)
    if settings["mediastack_tls"] == "files":
        problems += filter(None, [ingress_rules.uncovered(settings, [route.host for route in routes])])
    if IDENTITY in cut_off:
        problems.append(f"{IDENTITY} is not in the stack's network, where Traefik asks it who somebody is")
    if problems:
        raise RenderError(problems)
    messages = [NO_TLS] if settings["mediastack_tls"] == "none" else []
    if cut_off:
        messages.append(f"{', '.join(cut_off)}: no route, for they are not in the stack's network")
    return routes, messages


def addresses(routes, services, settings):
    """What a browser is given: service → `{host, path, strip, url}`; *routes* of `find`, the others as there."""
    scheme, usual = ("http", 80) if settings["mediastack_tls"] == "none" else ("https", 443)
    port = port_of(services, settings) if routes else usual
    suffix = "" if port == usual else f":{port}"
    return {
        route.service: {
            "host": route.host,
            "path": route.path,
            "strip": route.strip,
            "url": f"{scheme}://{route.host}{suffix}{route.path}/",
        }
        for route in routes
    }


def port_of(services, settings):
    """The port on the host at which routes are reached."""
    from .ports import host_port

    name = "web" if settings["mediastack_tls"] == "none" else "https"
    ports = services[PROXY].meta["ports"]
    return host_port(settings["mediastack_ports"], PROXY, name, normalize(ports[name])["port"], tuple(ports))


def _sso_problems(services, settings):
    """What keeps authentik from being asked; an app that is meant to be behind it is never served without."""
    own = [service for service in services.values() if service.app == IDENTITY_APP]
    if not own:
        return []
    if settings["mediastack_tls"] == "none":
        return [NO_SSO_WITHOUT_TLS]
    if IDENTITY not in services:
        return [f"{own[0].path}: there is no service {IDENTITY}, which Traefik asks who somebody is"]
    if not services[IDENTITY].meta.get("route", {}).get("enabled", True):
        return [f"{own[0].path}: {IDENTITY}: x-mediastack.route.enabled is false, but people log in there"]
    return []


def _has_ui(service, ports):
    return "web" in ports and service.meta.get("login", {}).get("kind") != "no_ui"


def _upstream(name, definition):
    """The name that other containers reach a service by; None where they cannot."""
    mode = str(definition.get("network_mode") or "")
    if mode.startswith("service:"):
        return mode[len("service:") :]
    networks = definition.get("networks")
    if mode or (networks is not None and "media" not in networks):
        return None
    return name


def _route(service, spec, upstream, target, settings, sso):
    domain = settings["mediastack_domain"]
    # A service's name may hold what a part of a host name may not.
    name = spec.get("name", service.name.replace("_", "-").replace(".", "-"))
    below = settings["mediastack_ingress_style"] == "path" and spec.get("path", "none") != "none"
    sso = sso and not {service.name, service.app} & set(settings["mediastack_sso_exclude"])
    return Route(
        service=service.name,
        title=service.meta["title"],
        host=domain if below else f"{name}.{domain}",
        path=f"/{name}" if below else "",
        strip=below and spec["path"] == "strip",
        upstream=f"{spec.get('scheme', 'http')}://{upstream}:{target}",
        pass_host=spec.get("pass_host", True),
        check=_check(service, spec.get("port", "web")),
        sign_in=_open_to_all(service, spec.get("port", "web"), settings),
        group=service.group,
        app=service.app,
        sso=sso,
        open=tuple((f"/{name}" if below else "") + path for path in spec.get("open", ())) if sso else (),
    )


def _check(service, port):
    """The app's own probe, where its code says enough: a proxy reads no body, and knows one code or any good one."""
    health = service.meta.get("health") or {}
    if health.get("kind") != "http" or health.get("port") != port or health.get("headers"):
        return None
    codes = health.get("status", [200])
    if len(codes) > 1 and any(not 200 <= code < 400 for code in codes):
        return None
    return health.get("path", "/"), codes[0]


def _open_to_all(service, port, settings):
    """Whether whoever gets there is in: it has no login, or its first visitor makes one, and its user has not said that
    this is meant. These are the ones that are published on 127.0.0.1 only.
    """
    if {service.name, service.app} & set(settings["mediastack_open_uis"]):
        return False
    exposed = normalize(service.meta["ports"][port])["expose"]
    kind = service.meta.get("login", {}).get("kind")
    return kind == "none" or exposed == "loopback" or (kind == "wizard" and exposed == "none")
