# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What gluetun accepts without a word, and its user should know.

Sources: gluetun v3.41.3 and its wiki; for each kind of leak the page `setup/options/` of its variable.
"""

from __future__ import annotations

import difflib
import json
import re

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_providers as gp
from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_variables as names
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_settings_other import (
    KILL_SWITCH,
    default_role,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_settings_reader import (
    FALSE,
    TRUE,
    network,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_settings_vpn import read_file

UPDATE_HOURS = 360
"""Hours between two updates of the list of servers that gluetun's author asks for at least."""

_KEY = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
_RELEASE = re.compile(r"v?\d+(\.\d+){0,2}$")


def find(reader, vpn, release):
    """All of them, sentences. `reader` and `vpn` of the settings, `release` as given."""
    found = []
    for each in (_release, _variables, _lists, _kill_switch, _dns, _control_server, _vpn, _forwarding, _updater):
        found += each(reader, vpn, release)
    return found


def _on(reader, name):
    return reader.get(name) in TRUE


def _off(reader, name):
    return reader.get(name) in FALSE


def _release(_reader, _vpn, release):
    if not _RELEASE.match(str(release).strip()):
        yield (
            "the image's tag %s moves with gluetun's development; take a release, such as v3.41.3." % release
            if str(release).strip()
            else "the image has no tag, which is gluetun's development version; take a release, such as v3.41.3."
        )


def _variables(reader, _vpn, _release_text):
    """Names that do not do what their reader thinks."""
    for name in sorted(reader.env):
        if not reader.env[name].strip():
            continue
        present = names.OLD.get(name)
        current = present in names.SINCE_V3_41 and reader.version < (3, 41)
        if present and not current:
            yield "%s: an old name, which wins over %s without a word. Write %s." % (name, present, present)
        elif name in names.SINCE_V3_41 and reader.version < (3, 41):
            old = names.OLD_NAMES.get(name)
            yield "%s: this release does not know it and ignores it.%s" % (name, " Write %s." % old[0] if old else "")
        elif name in names.MASTER_ONLY and reader.version < gp.MASTER:
            yield "%s: this release does not know it and ignores it." % name
        elif name in _obsolete(reader.version):
            yield "%s: has no effect any more. Remove it." % name
        elif name == "BORINGPOLL_GLUETUNCOM":
            yield "%s: has no effect any more, and asked another's web site. Remove it." % name
        elif name not in names.KNOWN and not name.endswith(("_SECRETFILE", "_FILE")):
            yield from _unknown(name)


def _obsolete(version):
    """Names that a release knows and ignores."""
    if version >= gp.MASTER:
        return names.OBSOLETE | names.OBSOLETE_ON_MASTER
    return names.OBSOLETE if version >= (3, 41) else set()


def _unknown(name):
    """gluetun ignores what it does not know, so a slip of the pen is never found."""
    near = difflib.get_close_matches(name, sorted(names.KNOWN - set(names.OLD)), 1, 0.85)
    if near:
        yield "%s: gluetun knows no such variable and ignores it. Did you mean %s?" % (name, near[0])
    elif name.startswith(names.PREFIXES):
        yield "%s: gluetun knows no such variable and ignores it." % name


def _lists(reader, vpn, _release_text):
    for name in gp.FILTERS:
        items = reader.items(name)
        if not items or (vpn.name == gp.CUSTOM and name == gp.NAMES):
            continue
        counting = reader.find(name)[0]
        if any(item != item.strip() or not item for item in items):
            yield (
                "%s: a space after a comma is part of the name, so that gluetun knows no such server and leaves it "
                "out. Write it without." % counting
            )
        if vpn.provider is None or name in vpn.provider.filters:
            yield (
                "%s: whether %s has %s is known to gluetun's own list only; it refuses to start when it knows none of "
                "them, and leaves out those that it does not know."
                % (counting, vpn.name, ", ".join('"%s"' % item.strip() for item in items))
            )
    if reader.get("SERVER_NUMBER") and vpn.name != "nordvpn":
        yield "SERVER_NUMBER: only servers of nordvpn have numbers; here it may leave none."


def _kill_switch(reader, vpn, _release_text):
    if _off(reader, KILL_SWITCH):
        yield "%s: the kill switch is off: without the VPN everything leaves by your own address." % KILL_SWITCH
    tunnel = [address for address in map(_network, reader.items(gp.ADDRESSES)) if address]
    for item in reader.items("FIREWALL_OUTBOUND_SUBNETS"):
        subnet = _network(item)
        if subnet and any(each.version == subnet.version and each.overlaps(subnet) for each in tunnel):
            yield (
                "FIREWALL_OUTBOUND_SUBNETS: %s overlaps WIREGUARD_ADDRESSES: what is meant for the tunnel may leave "
                "it, and Proton's port forwarding fails." % item
            )
    if vpn.kind == "openvpn":
        return
    for item in reader.items(gp.ADDRESSES):
        if ":" in item and "/" not in item:
            yield "WIREGUARD_ADDRESSES: gluetun appends /32 to %s, although it is IPv6. Write %s/128." % (
                item.strip(),
                item.strip(),
            )
        elif ":" in item and not item.strip().endswith("/128"):
            yield "WIREGUARD_ADDRESSES: an IPv6 address of a tunnel has the length /128: %s." % item.strip()
        if ":" in item:
            yield "WIREGUARD_ADDRESSES: gluetun does not start with %s where the container has no IPv6." % item.strip()


def _network(text):
    try:
        return network(text.strip()).network
    except ValueError:
        return None


def _dns(reader, _vpn, _release_text):
    outside = "names are asked for outside of the tunnel, or in plain text."
    if reader.get("DNS_UPSTREAM_RESOLVER_TYPE") == "plain":
        yield "DNS_UPSTREAM_RESOLVER_TYPE: plain: names are asked for in plain text. Take dot or doh."
    address = reader.get("DNS_ADDRESS")
    if address and address != "127.0.0.1":
        yield "%s: %s: %s Leave it at 127.0.0.1." % (reader.find("DNS_ADDRESS")[0], address, outside)
    if reader.get("DNS_UPSTREAM_PLAIN_ADDRESSES") and reader.version >= gp.MASTER:
        yield "DNS_UPSTREAM_PLAIN_ADDRESSES: " + outside
    if _off(reader, "DNS_SERVER"):
        yield "%s: off: %s" % (reader.find("DNS_SERVER")[0], outside)
    if _on(reader, "DNS_KEEP_NAMESERVER"):
        yield "DNS_KEEP_NAMESERVER: on: " + outside
    if _off(reader, "HEALTH_RESTART_VPN"):
        yield "HEALTH_RESTART_VPN: off: a tunnel that died stays dead until someone restarts it."


def _control_server(reader, _vpn, _release_text):
    name = "HTTP_CONTROL_SERVER_AUTH_DEFAULT_ROLE"
    text = reader.get(name)
    role = default_role(reader)
    path = reader.get("HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH")
    if role and role["auth"] == "none":
        yield "%s: auth none: whoever reaches port 8000 stops the VPN and reads your private key." % name
    elif role:
        unknown = sorted(set(role) - {"auth", "apikey", "username", "password", "name"})
        if unknown:
            yield "%s: gluetun ignores %s in it: it holds for every route that no role names." % (
                name,
                ", ".join(unknown),
            )
    elif text and text != "{}" and json_text(text) != {}:
        yield "%s: gluetun drops it without a word, because it is not JSON with an auth. " % name + _without(reader)
    elif not path:
        yield "no role for the control server: " + _without(reader)
    raw = reader.env.get("HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH", "")
    if raw != raw.lower():
        yield "HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH: gluetun reads it in lower case: %s." % raw.lower()


def json_text(text):
    """The value of a JSON text, None when it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _without(reader):
    """What holds without any role."""
    if reader.version >= gp.MASTER:
        return "gluetun then refuses every request to its port 8000."
    return "Unless %s has roles, whoever reaches port 8000 stops the VPN: publish it on 127.0.0.1 only." % (
        reader.get("HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH") or "/gluetun/auth/config.toml"
    )


def _vpn(reader, vpn, _release_text):
    if vpn.name == "mullvad" and vpn.kind == "openvpn":
        yield "VPN_TYPE: Mullvad ended OpenVPN on 2026-01-15, so this cannot connect. Take wireguard."
    if vpn.name == "perfect privacy":
        yield "VPN_SERVICE_PROVIDER: gluetun's releases after v3.41 do not have perfect privacy any more."
    if vpn.kind == "openvpn":
        path = reader.get(gp.CUSTOM_CONFIG)
        if path and vpn.name != gp.CUSTOM:
            yield "OPENVPN_CUSTOM_CONFIG: has no effect with %s. It is for the provider custom." % vpn.name
        elif path and read_file(path, vpn.files) is None:
            yield "OPENVPN_CUSTOM_CONFIG: %s is a path in the container and cannot be looked into from here." % path
        return
    for name in (gp.PRIVATE_KEY, gp.PRESHARED_KEY, gp.PUBLIC_KEY):
        value = reader.get(name)
        if len(value) == 44 and not _KEY.fullmatch(value):
            yield "%s: no program makes keys that end so; is it copied right? (the value is not shown)" % name
    if vpn.name == "windscribe" and not reader.get(gp.PRESHARED_KEY):
        yield "WIREGUARD_PRESHARED_KEY: not given, and Windscribe's configurations have one."


def _forwarding(reader, vpn, _release_text):
    if _off(reader, "PUBLICIP_ENABLED"):
        yield "PUBLICIP_ENABLED: off: nothing can tell whether the VPN is connected."
    if not _on(reader, "VPN_PORT_FORWARDING"):
        return
    for name in ("VPN_PORT_FORWARDING_LISTENING_PORT", "VPN_PORT_FORWARDING_LISTENING_PORTS"):
        if reader.get(name).strip("0,"):
            yield "%s: not for torrent clients, which would announce a port that nobody reaches." % name
    if vpn.name == "protonvpn" and vpn.kind == "openvpn" and not reader.get(gp.USER).endswith("+pmp"):
        yield "OPENVPN_USER: Proton forwards a port only to a user name that ends in +pmp."
    if reader.version < (3, 41):
        for name in ("VPN_PORT_FORWARDING_UP_COMMAND", "VPN_PORT_FORWARDING_DOWN_COMMAND"):
            if re.search(r"\{\{(PORT|VPN_INTERFACE)\}\}", reader.env.get(name, "")):
                yield "%s: this release fills in {{PORTS}} only." % name


def _updater(reader, _vpn, _release_text):
    text = reader.get("UPDATER_PERIOD")
    hours = re.fullmatch(r"(\d+)h", text)
    if text not in ("", "0", "0s", "0h") and not (hours and int(hours.group(1)) >= UPDATE_HOURS):
        yield "UPDATER_PERIOD: %s: gluetun's author asks for %dh at least." % (text, UPDATE_HOURS)
    password = reader.env.get("UPDATER_PROTONVPN_PASSWORD", "")
    if password != password.lower():
        yield "UPDATER_PROTONVPN_PASSWORD: gluetun reads it in lower case (a mistake of its own)."
