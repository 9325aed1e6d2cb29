# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The port that the VPN provider forwards, and the one that qBittorrent listens on: the same, or nobody gets in.

gluetun tells qBittorrent once, by a command, when it is given a port. qBittorrent may not be up then, may be started
anew with an older file, or somebody sets another port: so a converge reads both back and brings them in line.

https://github.com/qdm12/gluetun-wiki/blob/main/setup/advanced/vpn-port-forwarding.md
https://github.com/qbittorrent/qBittorrent/wiki/WebUI-API-(qBittorrent-5.0)#application
"""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import health_model

INTERFACE = "tun0"
"""gluetun's default for VPN_INTERFACE, of both kinds of VPN."""

ON = ("on", "yes", "true", "enable", "enabled", "1")


def environment(container):
    """The environment of an engine_state.Container as a map."""
    return dict(entry.partition("=")[::2] for entry in container.raw["Config"].get("Env") or [])


def is_asked_for(container):
    """Whether a container of gluetun is to have a port forwarded."""
    return environment(container).get("VPN_PORT_FORWARDING", "").lower() in ON


def interface_of(container):
    """Name of the tunnel's interface in a container of gluetun."""
    return environment(container).get("VPN_INTERFACE") or INTERFACE


def difference(ports, preferences, interface):
    """The preferences of qBittorrent that have to change, with their values; {} when it is in line.

    Args:
        ports: that gluetun forwards; empty, or with zeros only: there is none, and gluetun's own command has told
            qBittorrent so.
        preferences: of `/api/v2/app/preferences`. What this version does not have is not asked for.
        interface: of the tunnel.
    """
    ports = [port for port in ports or [] if port]
    if not ports:
        return {}
    # It listens on one port; of several that are forwarded any will do.
    listens = preferences.get("listen_port")
    wanted = {
        "listen_port": listens if listens in ports else ports[0],
        "random_port": False,
        "upnp": False,
        "current_network_interface": interface,
    }
    return {name: value for name, value in wanted.items() if name in preferences and preferences[name] != value}


def sentence(ports, preferences, change):
    """What is wrong, for people; `change`: of `difference`."""
    if "listen_port" in change:
        forwarded = ", ".join(str(port) for port in ports if port)
        return "it listens on port %s, but the VPN forwards %s" % (preferences["listen_port"], forwarded)
    if "current_network_interface" in change:
        bound = preferences["current_network_interface"] or "every interface"
        return "it is bound to %s, not to the tunnel's %s" % (bound, change["current_network_interface"])
    return "it takes a random port or asks a router for one (UPnP), but the VPN forwards one already"


def judge_vpn(ports, reading):
    """Bring into gluetun's app_reading.Reading what is to be said of the `ports` that it is to have forwarded."""
    if ports is None:
        words = "whether its provider forwards a port cannot be read with the stack's key: run site"
        reading.problem(words, health_model.UNKNOWN)
    elif not any(ports):
        reading.problem("its provider forwards no port; docker logs gluetun", settles=True)


def judge_client(ports, reading, interface):
    """Bring into the Reading of a torrent client how it listens."""
    change = difference(ports, reading.preferences, interface)
    if change:
        reading.problem("%s: run site" % sentence(ports, reading.preferences, change), settles=True)
