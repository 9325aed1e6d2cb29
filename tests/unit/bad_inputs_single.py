# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Table of `bad_inputs`: values that only one setting can be given, as in `bad_inputs_maps`."""

from __future__ import annotations

from bad_inputs_maps import CANARY, PATHS

_ZONES = ["fe80::1%eth0", "fe80::1%$(touch " + CANARY + ")", "fe80::1%${HOME}", 'fe80::1%"x']
_KEY_44 = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="


def _all(*values):
    return [(repr(value)[:60], value, None) for value in values]


def _lists(*values):
    return [(repr(value)[:60], [value], None) for value in values]


def _kept(*values):
    return [(repr(value)[:60], value, value) for value in values]


_BATCHES = _lists("0", "-1", "1.5", "101%", "0%", "%", "5 %", "100000") + [("none", [], None)]
_SIGNER = "me ssh-ed25519 " + "A" * 30

SINGLE = {
    "timezone": _all("Berlin", "europe/berlin", "../../etc/passwd", "/etc/localtime", "UTC+1", "Europe/Berlin\n")
    + _kept("Europe/Berlin", "America/Argentina/Buenos_Aires"),
    "puid": _all(2**31, -(2**31)) + [("root", 0, 0), ("text", "99", 99)],
    "umask": _all("2", "999", "0o22", "777", "00022", "-22", "rwx") + _kept("022", "002", "0022"),
    "admin_user": _all("a b", "", "-x", ".x", "a:b", "a=b", "a'b", "ü", "a" * 64)
    + _kept("true", "null", "0755", "1e3", "yes", "me@example.org", "a" * 63),
    "domain": _all(
        *("https://a.example", "a.example/", "A.example", "a..b", "-a.b", ".a", "a_b.c", "a" * 64 + ".b", "ü.de"),
        *("127.0.0.1", "192.168.1.10", "::1", "[::1]", "localhost", "a.42", "0755", "a.0x2a"),
    )
    + _kept("a.example", "1e3", "null", "1.example"),
    "project_name": _all("", "My Stack", "-x", "_x", "x.y", "a" * 64, "x/y") + _kept("a" * 63, "0755", "null", "on"),
    "container_prefix": _all("-x", "X-", "a/", "a" * 32) + _kept("on-", "0755-", "x."),
    "profiles": _lists("always", "jelyfin", "", "JELLYFIN") + _all("jellyfin;music", "jellyfin music"),
    "bind_addresses": _lists(
        "nas.local", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4/24", "224.0.0.1", "ff02::1", "::1%", *_ZONES
    )
    + [("every and one", ["0.0.0.0", "192.168.1.2"], None), ("kept", ["127.0.0.1", "::1"], ["127.0.0.1", "::1"])],
    "trusted_proxies": _lists(
        "nas.local",
        "1.2.3",
        "01.2.3.4",
        "1.2.3.4/24",
        "127.0.0.1",
        "::1",
        "0.0.0.0/0",
        "::/0",
        "ff02::1",
        "::",
        *_ZONES,
    ),
    "network_subnet": _all(
        "172.28.0.1/24", "8.8.8.0/24", "172.28.0.0/29", "0.0.0.0/0", "10.0.0.0/33", "fd00::/64", "10.0.0.0/-1"
    )
    + _kept("172.28.0.0/24"),
    "plex_claim": _all("claim-", "x", "claim-a b", "claim-$(id)") + _kept("claim-aB3_-"),
    "open_uis": _lists("sonnar", ""),
    "sso_exclude": _lists("sonnar", ""),
    "notify_urls": _lists("ntfy.example/x", "", "x"),
    "notify_events": _lists("unhealty", "", "UPDATE"),
    "site_serial": _BATCHES,
    "update_serial": _BATCHES,
    "backup_time": _all("24:00", "3:30", "03:60", "0330", "03:30:00", "noon", "") + _kept("23:59"),
    "backup_target": _all(
        "nas:",
        "host:relative",
        "-x@host:/a",
        "a@-oX:/a",
        "h:/a/../b",
        "h:/",
        "relative",
        "/",
        "/etc/x",
        "a b:/x",
        "h:/a\nb",
    )
    + _kept("me@h.example:/a $(touch x) `y`;'\"#%{# é漢\U0001f642", "[fe80::1]:/a", "/mnt/share/b ackups"),
    "backup_recipients": _lists("age1", "AGE-SECRET-KEY-1", "ssh-dss AAAA", "ssh-rsa", "ssh-rsa AAAA\nx"),
    "log_max_size": _all("10", "10 MB", "10M", "0k", "-1m", "1.5g", "m") + _kept("1g"),
    "engine_compose_version": _all("2", "2.40", "v2.40.3", "2.19.0", "2.40.3-rc1", "2.40.3;id", "2.40.3/../x")
    + _kept("5.0.1"),
    "healthcheck_interval": _all(3601) + [("every service's own", 0, 0), ("kept", 60, 60)],
    "pids_limit": _all(99, 1, 2**22 + 1) + [("none", 0, 0), ("least", 100, 100), ("most", 2**22, 2**22)],
    "vpn_provider": _all("mulvad", "nordvpn; id", "cyberghostt", "mullvad,airvpn"),
    "vpn_wireguard_private_key": _all(
        "x", "A" * 43, "A" * 44, _KEY_44[:-1], _KEY_44 + "=", _KEY_44[:20] + " " + _KEY_44[20:]
    ),
    "vpn_wireguard_public_key": _all("x", _KEY_44[:-1]) + _kept(_KEY_44),
    "vpn_wireguard_preshared_key": _all("x", _KEY_44[:-1]) + _kept(_KEY_44),
    "vpn_wireguard_addresses": _lists(
        "x", "10.64.0.2/33", "10.64.0", "10.64.0.2/-1", "10.64.0.2 ,", *_ZONES, *(f"{zone}/64" for zone in _ZONES)
    ),
    "vpn_wireguard_endpoint_ip": _all("vpn.example", "1.2.3", "1.2.3.4:51820", *_ZONES)
    + _kept("198.51.100.7", "2001:db8::7"),
    "vpn_wireguard_endpoint_port": _all(65536),
    "vpn_openvpn_cert": _all("-----BEGIN CERTIFICATE-----", "é", "a"),
    "vpn_openvpn_custom_config": _all("remote vpn.example 1194", "remote 1.2.3.4 99999", "client\n")
    + _kept("remote 1.2.3.4 1194\nup \"/bin/sh -c 'touch x'\"\n# $HOME ${X} {{ x }} `y` é漢\U0001f642\n\ttab"),
    "vpn_local_subnets": _lists("192.168.1.1", "0.0.0.0/0", "::/0", "x/24", "192.168.1.0/33", "fe80::%x/64", *_ZONES),
    "vpn_services": _lists("gluetun", "qbitorrent", "sonarr; id", ""),
    "vpn_torrent_port": _all(0, 80, 1023, 65536) + [("as text", "06881", 6881)],
    "vpn_control_port": _all(0, 65536),
    "vpn_port_forwarding_provider": _all("mullvad", "nope"),
    "leak_test_ip_echo": _all(
        "ipinfo.io", "ftp://a/b", "https://u:p@a/b", "https://a/'b", "file:///etc/passwd", "https://a/\x1b[2J", ""
    ),
    "leak_test_tracker": _all("http://a:1", "udp://a", "udp://a:b", "udp://a:999999", "udp://a:1/\x1b[2J"),
    "leak_test_public_dns": _lists("dns.example", "1.2.3", _ZONES[1], _ZONES[2], _ZONES[3], "fe80::1%" + "a" * 16),
    "leak_test_resolvers": _lists("dns.example", _ZONES[1]) + [("zone", ["fe80::1%eth0"], ["fe80::1%eth0"])],
    "gitops_url": _all(
        "ssh://-oProxyCommand=x/y",
        "-x",
        "--upload-pack=x",
        "-oX@h:p",
        "ext::sh -c x",
        "https://u:p@h/x",
        "h:/x y",
        "x",
    )
    + _kept("git@h.example:me/homelab.git", "https://h.example/x.git", "/srv/git/x.git"),
    "gitops_branch": _all("-x", "a..b", "a//b", "a b", "a.lock", "a@{1}", "/a", "a/", "", "a:b", "a~1")
    + _kept("feature/x.y"),
    "gitops_commit": _all("abc", "0" * 39, "G" * 40, "HEAD", "main") + _kept("0" * 40),
    "gitops_allowed_signers": _lists(
        "me", "# me ssh-ed25519 " + "A" * 30, "me ssh-ed25519 A", _SIGNER + "\nyou ssh-rsa x"
    ),
    "gitops_known_hosts": _lists("h", "# h ssh-rsa " + "A" * 30, "h ssh-rsa " + "A" * 30 + "\nx"),
    "gitops_gpg_keys": _lists("x", "-----BEGIN PGP PRIVATE KEY BLOCK-----"),
    "gitops_webhook_url": _all("ftp://x", "x", "https://u:p@h/x", "https://h/ x"),
    "gitops_python": _all("python3 -c x", "python3;x", "../python", "/usr/bin/python3 -x", "$(touch x)", "")
    + _kept("python3.12", "/opt/python/bin/python3"),
    "gitops_inventory": _all("/etc/x", "../x", "a/../../x", "", "-x") + _kept("sites/home/inventory.yml"),
    "gitops_path": _all("x", "/", "/etc/x", "/srv/a b", "/srv/a;b", "/srv/a#b", '/srv/a"b', "/srv/é", "/srv/%n")
    + _kept("/srv/pull+1"),
    "gitops_ssh_key_file": PATHS,
    "gitops_vault_password_file": PATHS,
    "gitops_age_key_file": PATHS,
    "gitops_textfile_directory": PATHS,
}
