# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The port that the VPN provider forwards, and the one that a torrent client listens on: the same, or nobody gets in.

gluetun tells qBittorrent once, by a command, when it is given a port. qBittorrent may not be up then, may be started
anew with an older file, or somebody sets another port: so a converge reads both back and brings them in line. It does
the same for Transmission and Deluge, which gluetun tells nothing.

Sources: https://github.com/qdm12/gluetun-wiki/blob/main/setup/advanced/vpn-port-forwarding.md;
https://github.com/qbittorrent/qBittorrent/wiki/WebUI-API-(qBittorrent-5.0)#application; Transmission:
docs/rpc-spec.md, `session-set`; Deluge: deluge/core/preferencesmanager.py.
"""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import health_model

INTERFACE = "tun0"
"""gluetun's default for VPN_INTERFACE, of both kinds of VPN."""

KINDS = ("qbittorrent", "transmission", "deluge")
"""`wiring.kind` of the torrent clients whose port is set; the first one that is there gets it."""

PORT = {"qbittorrent": "listen_port", "transmission": "peer-port", "deluge": "listen_ports"}
"""Their setting for the port."""

OFF = {
    "qbittorrent": ("random_port", "upnp"),
    "transmission": ("peer-port-random-on-start", "port-forwarding-enabled"),
    "deluge": ("random_port", "upnp", "natpmp"),
}
"""Their settings that take another port, or ask a router for one."""

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


def chosen(clients):
    """The torrent client that gets the port, of those behind one gluetun; None when there is none.

    One only: they share a network, where a port is one program's. Whether it runs does not matter: else the port would
    go to and fro with every stop and start.

    Args:
        clients: pairs of `wiring.kind` and name.
    """
    able = [(KINDS.index(kind), name != kind, name) for kind, name in clients if kind in KINDS]
    return min(able)[2] if able else None


def difference(kind, ports, preferences, interface):
    """The settings of a torrent client that have to change, with their values; {} when it is in line.

    Args:
        kind: of `KINDS`.
        ports: that gluetun forwards. Empty, or with zeros only: there is none, and no port is set; but gluetun's own
            command has bound qBittorrent to `lo`, where it reaches nobody, until the next port comes.
        preferences: the client's own. What this version does not have is not asked for.
        interface: of the tunnel.
    """
    ports = [port for port in ports or [] if port]
    if kind == "qbittorrent":
        wanted = {"current_network_interface": interface}
        if not ports and preferences.get("current_network_interface") != "lo":
            return {}
    else:
        wanted = {}
    if ports:
        # It listens on one port; of several that are forwarded any will do.
        listens = _listens(kind, preferences)
        port = listens if listens in ports else ports[0]
        wanted[PORT[kind]] = [port, port] if kind == "deluge" else port
        wanted.update(dict.fromkeys(OFF[kind], False))
    return {name: value for name, value in wanted.items() if name in preferences and preferences[name] != value}


def _listens(kind, preferences):
    """The port that a client is set to; None for a range of them."""
    value = preferences.get(PORT[kind])
    if kind != "deluge":
        return value
    return value[0] if isinstance(value, list) and value and len(set(value)) == 1 else None


def sentence(kind, ports, preferences, change):
    """What is wrong, for people; `change`: of `difference`."""
    if PORT[kind] in change:
        forwarded = ", ".join(str(port) for port in ports if port)
        port = preferences[PORT[kind]]
        if isinstance(port, list):
            where = "port %s" % "-".join(str(one) for one in dict.fromkeys(port))
        else:
            where = "port %s" % port if port else "a random port"
        return "it listens on %s, but the VPN forwards %s" % (where, forwarded)
    if "current_network_interface" in change:
        bound = preferences["current_network_interface"] or "every interface"
        return "it is bound to %s, not to the tunnel's %s" % (bound, change["current_network_interface"])
    if set(change) & {"random_port", "peer-port-random-on-start"}:
        return "it takes a random port at every start, but the VPN forwards one already"
    return "it asks a router for a port (UPnP), but the VPN forwards one already"


def judge_vpn(ports, reading):
    """Bring into gluetun's app_reading.Reading what is to be said of the `ports` that it is to have forwarded."""
    if ports is None:
        words = "whether its provider forwards a port cannot be read with the stack's key: run site"
        reading.problem(words, health_model.UNKNOWN)
    elif not any(ports):
        reading.problem("its provider forwards no port; docker logs gluetun", settles=True)


def judge_client(kind, ports, reading, interface):
    """Bring into the Reading of a torrent client how it listens."""
    change = difference(kind, ports, reading.preferences, interface)
    if change:
        reading.problem("%s: run site" % sentence(kind, ports, reading.preferences, change), settles=True)
