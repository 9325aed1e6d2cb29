# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of the reverse proxy: its routes, as its file provider reads them, and a page for each app that does not
answer (pure).
"""

from __future__ import annotations

import html
import posixpath
import string

import yaml

from . import ingress, sso

_HEADER = (
    "# Rendered by homelab.mediastack from the services that are on; changes here are overwritten by the next run.\n"
    "# Routes of your own go into a file of their own in this directory.\n"
)
ROUTES = "dynamic/mediastack.yml"
AUTHORITY = "ca.crt"
# Names in the routes file: what all routes share.
HEADERS, SIGN_IN, PAGES = "mediastack-headers", "mediastack-sign-in", "mediastack-pages"
SSO, SSO_PAGE = "mediastack-sso", "mediastack-sso-page"
RESOLVER = "mediastack"
# What an app that is gone, still starts or hangs comes to: no connection, its own 503, no server that is well.
_NO_ANSWER = "502-504"
# Traefik asks authentik through an entry point of its own, in its container only: what answers there in place of an
# authentik that is down is a page, where a question that fails is an empty error.
SSO_ENTRY, _SSO_AT = "sso", "http://127.0.0.1:8086"
_OUTPOST = "/outpost.goauthentik.io/"
_ASK = _OUTPOST + "auth/traefik"
# Programs that make variables of headers read these signs as one.
_IDENTITY = "(?i)^X[-_.]Authentik[-_.]"
# What an app may read as another path than the proxy does is never open: a coded slash, a backslash, a way up.
_PLAIN = r"!PathRegexp(`%|\\|\.\.`)"
# From an authentik that is down or starts, that does not know the host name yet, or whose outpost is not there yet.
_NOT_READY = ["400", "404", "500-504"]
_CERTIFICATE = "/run/secrets/ingress_certificate"
_KEYS = {"internal": _CERTIFICATE, "files": "/run/secrets/ingress_key"}
# Half a year. Not for subdomains: that would speak for hosts that are none of this stack's.
_HSTS = 15768000
_PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<meta http-equiv="refresh" content="15">
<title>$title does not answer</title>
<style>
body { font: 1.05rem/1.6 system-ui, sans-serif; max-width: 34rem; margin: 12vh auto; padding: 0 1.2rem;
  color: #1c2430; background: #fff }
code { background: #eef1f5; padding: .1em .35em; border-radius: .25em; white-space: nowrap }
@media (prefers-color-scheme: dark) { body { color: #dde3ea; background: #14181d } code { background: #262d36 } }
</style>
<h1>$title does not answer</h1>
<p>It is stopped, still starting, or not well. This page tries again every 15 seconds.</p>
<p>For whoever looks after this server: <code>ansible-playbook homelab.mediastack.status</code> says which of these,
and <code>logs -e service=$service</code> why.</p>
</html>
""")


def build(services, routes, settings, config, project):
    """All files.

    Args:
        services: name → rendered `catalogue.Service`.
        routes: of `ingress.find`.
        settings: resolved `mediastack_*` values.
        config, project: the config directory of the apps, and the project's directory.

    Returns:
        path → text.
    """
    if ingress.PROXY not in services:
        return {}
    own = posixpath.join(config, ingress.PROXY)
    files = {posixpath.join(own, ROUTES): routes_text(routes, settings)}
    if routes and settings["mediastack_tls"] == "internal":
        files[posixpath.join(own, AUTHORITY)] = "@@mediastack:certificate:ingress_ca@@"
    titles = {"index": ("This address", "SERVICE"), **{one.service: (one.title, one.service) for one in routes}}
    for name, (title, service) in titles.items():
        text = _PAGE.substitute(title=html.escape(title), service=html.escape(service))
        files[posixpath.join(project, "ingress", f"{name}.html")] = text
    return files


def routes_text(routes, settings):
    """The routes file. It is there without routes too: Traefik would keep what an earlier one said."""
    if not routes:
        return _HEADER + "{}\n"
    return _HEADER + yaml.safe_dump(document(routes, settings), sort_keys=False, allow_unicode=True, width=2**16)


def document(routes, settings):
    """Traefik's dynamic configuration. Nothing in it is secret."""
    tls = settings["mediastack_tls"]
    behind = [route for route in routes if route.sso]
    middlewares = {HEADERS: {"headers": _headers(tls != "none", bool(behind))}}
    if any(SIGN_IN in guards(route) for route in routes):
        middlewares[SIGN_IN] = {
            "basicAuth": {"usersFile": "/run/secrets/ingress_users", "realm": "media stack", "removeHeader": True}
        }
    if behind:
        middlewares.update(_sso_middlewares())
    for route in routes:
        middlewares.update(_middlewares_of(route))
    services = {route.service: {"loadBalancer": _balancer(route)} for route in routes}
    services[PAGES] = {"loadBalancer": {"servers": [{"url": f"http://{ingress.PAGES}:8080"}]}}
    found = {
        "http": {
            "routers": {
                **{route.service: _router(route, settings) for route in routes},
                **_sso_routers(behind, settings),
            },
            "middlewares": middlewares,
            "services": services,
        }
    }
    if tls != "none":
        found["tls"] = {"options": {"default": {"minVersion": "VersionTLS12"}}}
    if tls in _KEYS:
        pair = {"certFile": _CERTIFICATE, "keyFile": _KEYS[tls]}
        found["tls"]["stores"] = {"default": {"defaultCertificate": pair}}
    return found


def _headers(encrypted, named):
    """`named`: whether apps are told who asks, which nobody else may tell them."""
    return {
        **({"stsSeconds": _HSTS} if encrypted else {}),
        "contentTypeNosniff": True,
        # A page elsewhere cannot show an app in a frame and have its buttons pressed.
        "customFrameOptionsValue": "SAMEORIGIN",
        "referrerPolicy": "same-origin",
        "permissionsPolicy": "camera=(), geolocation=(), microphone=()",
        # An empty one takes away what the app says.
        "customResponseHeaders": {"X-Robots-Tag": "noindex, nofollow", "Server": "", "X-Powered-By": ""},
        **({"customRequestHeaders": dict.fromkeys(sso.IDENTITY_HEADERS, "")} if named else {}),
    }


def _sso_middlewares():
    return {
        # The host name that it tells is the one that was asked for, whatever a client says of it in X-Forwarded-Host.
        SSO: {
            "forwardAuth": {
                "address": _SSO_AT + _ASK,
                "trustForwardHeader": False,
                "authResponseHeadersRegex": _IDENTITY,
                "maxResponseBodySize": 2**20,
            }
        },
        SSO_PAGE: {"errors": {"status": _NOT_READY, "service": PAGES, "query": f"/{ingress.IDENTITY}.html"}},
    }


def _sso_routers(behind, settings):
    """Where Traefik asks; on each host name where browsers come back to from a login; what goes past it.

    All of these rules are longer than the app's own, so Traefik looks at them first.
    """
    if not behind:
        return {}
    ask = {"rule": f"Path(`{_ASK}`)", "entryPoints": [SSO_ENTRY], "middlewares": [SSO_PAGE]}
    found = {SSO: {**ask, "service": ingress.IDENTITY}}
    for route in {route.host: route for route in reversed(behind)}.values():
        rule = f"Host(`{route.host}`) && PathPrefix(`{_OUTPOST}`)"
        middlewares = [HEADERS, f"{ingress.IDENTITY}-page"]
        found[f"{SSO}-{route.service}"] = _routed(rule, middlewares, ingress.IDENTITY, settings)
    for route in behind:
        if route.open:
            paths = " || ".join(_below(path) for path in route.open)
            middlewares = [HEADERS, *_at_the_app(route)]
            name = f"mediastack-open-{route.service}"
            rule = f"Host(`{route.host}`) && ({paths}) && {_PLAIN}"
            found[name] = _routed(rule, middlewares, route.service, settings)
    return found


def _middlewares_of(route):
    """What only this route has: its page, and what its path needs."""
    found = {f"{route.service}-page": _page(route)}
    if route.strip:
        # Relative addresses in the app's pages need the slash.
        found[f"{route.service}-slash"] = {
            "redirectRegex": {"regex": f"^(https?://[^/]+{route.path})$", "replacement": "${1}/"}
        }
        found[f"{route.service}-strip"] = {"stripPrefix": {"prefixes": [route.path]}}
    return found


def _page(route):
    return {"errors": {"status": [_NO_ANSWER], "service": PAGES, "query": f"/{route.service}.html"}}


def guards(route):
    """Names of the middlewares that decide who gets to the app, the first one first.

    What stands here sees every request before the app does.
    """
    if route.sso:
        return [SSO]
    return [SIGN_IN] if route.sign_in else []


def _router(route, settings):
    rule = f"Host(`{route.host}`)"
    if route.path:
        rule += f" && ({_below(route.path)})"
    return _routed(rule, [HEADERS, *guards(route), *_at_the_app(route)], route.service, settings)


def _below(path):
    return f"Path(`{path}`) || PathPrefix(`{path}/`)"


def _at_the_app(route):
    """Names of the middlewares next to an app. Its page is the last one but for the path: the answer gets the headers,
    and nobody sees it who may not see the app.
    """
    return [f"{route.service}-page", *([f"{route.service}-slash", f"{route.service}-strip"] if route.strip else [])]


def _routed(rule, middlewares, service, settings):
    tls = settings["mediastack_tls"]
    router = {
        "rule": rule,
        "entryPoints": ["web" if tls == "none" else "https"],
        "middlewares": middlewares,
        "service": service,
    }
    if tls in _KEYS:
        router["tls"] = {}
    elif tls != "none":
        router["tls"] = {"certResolver": RESOLVER}
        if tls == "acme_dns":
            domain = settings["mediastack_domain"]
            # One certificate for all: the lists of issued certificates, which everybody can read, name no app.
            router["tls"]["domains"] = [{"main": domain, "sans": [f"*.{domain}"]}]
    return router


def _balancer(route):
    balancer = {"servers": [{"url": route.upstream}]}
    if not route.pass_host:
        balancer["passHostHeader"] = False
    if route.check:
        # Without it a request to an app that hangs would wait for as long as the browser does.
        path, code = route.check
        check = {"path": path, "interval": "15s", "unhealthyInterval": "3s", "timeout": "5s"}
        if route.pass_host:
            # Homepage refuses the name that Traefik would ask for by itself, and would be taken for ill.
            check["hostname"] = route.host
        balancer["healthCheck"] = check if 200 <= code < 400 else {**check, "status": code}
    return balancer
