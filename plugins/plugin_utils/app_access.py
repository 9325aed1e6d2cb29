# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the host asks each app itself, from `x-mediastack` in the bundle: kind of API, and which secrets open it."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import forwarded_port

KINDS = (
    "gluetun",
    "servarr",
    "prowlarr",
    "bazarr",
    "qbittorrent",
    "transmission",
    "deluge",
    "sabnzbd",
    "nzbget",
)
"""`wiring.kind` of the apps that module_utils/app_reads.py can read. No secret of another app leaves the controller."""


def of_bundle(bundle):
    """`({service: app}, {secret: spec})`, for the options `services[].app` and `secrets` of the module stack_health.

    `app` has `kind`, `api`, `port` and `config_dir`, and `key` (the secret that `wiring.api_key` names, by default
    `<service>_api_key`), or where there is none `username` and `password` of `login`.
    A spec is that of the bundle without what generates one: a status makes no secrets.
    """
    apps, secrets = {}, {}
    for name, service in bundle["services"].items():
        wiring, login = service.get("wiring") or {}, service.get("login") or {}
        if wiring.get("kind") not in KINDS:
            continue
        app = {
            "kind": wiring["kind"],
            "api": wiring.get("api"),
            "port": wiring.get("port") or "web",
            "config_dir": service.get("config_dir"),
        }
        key, password = wiring.get("api_key") or f"{name}_api_key", login.get("password")
        if key in bundle["secrets"]:
            app["key"] = key
        elif password in bundle["secrets"]:
            app.update(username=login.get("username"), password=password)
        for secret in (app.get("key"), app.get("password")):
            if secret:
                spec = bundle["secrets"][secret]
                secrets[secret] = {"value": spec.get("value"), "adopt": spec.get("adopt") or []}
        apps[name] = app
    return apps, secrets


def forwarding_services(services, bundle):
    """Those of `services` (entries of `bundle.health_services`) that a forwarded port is about, with `app`: gluetun and
    the torrent clients in its network whose port can be set.
    """
    apps, _secrets = of_bundle(bundle)
    chosen = [
        {**service, "app": apps[service["name"]]}
        for service in services
        if apps.get(service["name"], {}).get("kind") in ("gluetun", *forwarded_port.KINDS)
    ]
    kinds = {one["app"]["kind"] for one in chosen}
    return chosen if "gluetun" in kinds and len(kinds) > 1 else []
