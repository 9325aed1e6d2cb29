# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules of single settings, of paths and between settings: what is refused, in which words, and what is not."""

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import settings
from ansible_collections.homelab.mediastack.plugins.plugin_utils.catalogue import Names

VPN = {
    "vpn_provider": "mullvad",
    "vpn_wireguard_private_key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "vpn_wireguard_addresses": ["10.64.0.2/32"],
}
NAMES = Names(
    apps=("sonarr", "seerr", "gluetun", "traefik"),
    services={name: name for name in ("sonarr", "seerr", "gluetun", "traefik", "qbittorrent", "deluge")},
    profiles={"jellyfin": [], "music": [], "plex": []},
    replaces={"overseerr": "seerr"},
    ports={"sonarr": ("web",), "traefik": ("web", "https")},
    secrets=frozenset({"sonarr_api_key"}),
)


def resolve(**given):
    """Resolve an inventory; names without prefix."""
    variables = {f"mediastack_{name}": value for name, value in {**VPN, **given}.items()}
    return settings.resolve(variables, None, {}, "/nonexistent/config.yml", lambda: NAMES)


def errors(**given):
    with pytest.raises(settings.SettingsError) as caught:
        resolve(**given)
    return caught.value.errors


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        # types
        ("puid", "abc", '"abc" is not a whole number.'),
        ("puid", 1.5, "1.5 is not a whole number."),
        ("puid", True, "True is not a whole number."),
        ("puid", -1, "-1 is not a user id from 0"),
        ("umask", 2, "2 is a number, not a text. Put it in quotes"),
        ("timezone", True, "True is a truth value, not a text. Put it in quotes."),
        ("domain", ["a"], "['a'] is a list, not a text."),
        ("split_mounts", "maybe", '"maybe" is not a truth value.'),
        ("profiles", {"music": True}, "{'music': True} is a map, not a list."),
        ("profiles", [1], "1 is a number, not a text."),
        ("profiles", None, "nothing is given."),
        ("profiles", "[music", '"[music" is not a list: '),
        ("ports", ["sonarr"], "['sonarr'] is a list, not a map."),
        ("ports", {8989: 1}, "the key 8989 is a number, not a name."),
        ("gpu", "cuda", '"cuda" is not one of none, auto, vaapi, qsv, nvidia.'),
        ("pull", "nevre", '"nevre" is not one of missing, never. Did you mean never?'),
        # names
        ("profiles", ["jelyfin"], '"jelyfin" is not a profile. Did you mean jellyfin?'),
        ("profiles", ["always"], '"always" is not chosen'),
        ("services", {"sonar": True}, '"sonar" is not a service. Did you mean sonarr?'),
        ("services", {"sonarr": "maybe"}, 'sonarr: "maybe" is not a truth value.'),
        ("images", {"overseerr": "a/b:1"}, '"overseerr" is not a service. overseerr became seerr: write that.'),
        ("vpn_services", ["gluetun"], '"gluetun" is the VPN itself.'),
        ("vpn_services", ["qbitorrent"], '"qbitorrent" is not a service. Did you mean qbittorrent?'),
        ("open_uis", ["sonnar"], '"sonnar" is not a service.'),
        (
            "secrets",
            {"sonar_api_key": "x"},
            '"sonar_api_key" is not a secret of any service. Did you mean sonarr_api_key?',
        ),
        # single values
        ("timezone", "Berlin", '"Berlin" is not a time zone of the tz database. Did you mean Europe/Berlin?'),
        ("timezone", "europe/berlin", "Did you mean Europe/Berlin?"),
        ("timezone", "../etc/passwd", '"../etc/passwd" is not a time zone'),
        ("umask", "2", '"2" is not a umask: three octal digits'),
        ("umask", "777", '"777" would lock the apps out'),
        ("ports", {"sonarr": 70000}, "sonarr: 70000 is not a port from 1 to 65535."),
        ("ports", {"sonarr": "web"}, 'sonarr: "web" is not a whole number.'),
        ("ports", {"sonarr": 80, "seerr": 80}, "seerr: 80 is given to sonarr already."),
        ("ports", {"traefik": {"web": 80, "https": "80"}}, "traefik.https: 80 is given to traefik.web already."),
        ("ports", {"traefik": {"htps": 80}}, "traefik.htps: traefik has no such port. Did you mean https?"),
        ("ports", {"sonarr": 8000}, "sonarr: 8000 is mediastack_vpn_control_port already."),
        ("images", {"sonarr": "lscr.io/linuxserver/sonarr"}, "has neither tag nor digest. Write lscr.io"),
        ("images", {"sonarr": "Sonarr:1"}, 'sonarr: "Sonarr:1" is not an image with a tag'),
        ("images", {"sonarr": 4}, "sonarr: 4 is not an image with a tag"),
        ("overrides", {"sonarr": "x"}, 'sonarr: "x" is not a map of Compose keys.'),
        ("overrides", {"sonarr": {"x-mediastack": {}}}, "sonarr: x-mediastack is not a Compose key."),
        ("overrides", {"sonarr": {"a": ["@@mediastack:secret:x@@"]}}, "holds @@mediastack:"),
        ("env", {"PUID": "1"}, "PUID is written from mediastack_puid"),
        ("env", {"COMPOSE_PROFILES": "1"}, "COMPOSE_PROFILES would change how Docker Compose itself works"),
        ("env", {"1A": "x"}, "'1A' is not a name"),
        ("env", {"A": "x\ny"}, "A: the character '\\n'"),
        ("project_name", "My Stack", '"My Stack" is not a Compose project name'),
        ("container_prefix", "-x", '"-x" cannot begin a container\'s name'),
        ("bind_addresses", ["nas.local"], '"nas.local" is not an IP address of the host.'),
        ("bind_addresses", ["0.0.0.0", "192.168.1.2"], "0.0.0.0 is every address, and 192.168.1.2 is one of them."),
        ("bind_addresses", ["224.0.0.1"], "224.0.0.1 is a multicast address."),
        ("domain", "https://example.org", '"https://example.org" is not a domain'),
        ("admin_user", "a b", '"a b" is not a user name'),
        ("network_subnet", "172.28.0.1/24", '"172.28.0.1/24" is not an IPv4 network'),
        ("network_subnet", "172.28.0.0/29", "172.28.0.0/29 must be a private network of /8 to /26"),
        ("log_max_size", "10 MB", '"10 MB" is not a size'),
        ("log_max_file", 0, "0 is not a number of files from 1"),
        ("wait_timeout", 0, "0 is not seconds from 1 to 86400."),
        ("disk_warn_percent", 101, "101 is not percent from 1 to 100."),
        ("disk_critical_percent", 0, "0 is not percent from 1 to 100."),
        ("vpn_torrent_port", 80, "80 is not a port that the torrent client can open from 1024"),
        ("vpn_control_port", 0, "0 is not a port from 1"),
        ("engine_compose_version", "2.19.0", '"2.19.0" is not a version of Docker Compose from 2.20.3 on'),
        # paths
        ("base_path", "media", '"media" is relative.'),
        ("base_path", "~/media", '"~/media" begins with ~'),
        ("base_path", "", "nothing is given."),
        (
            "base_path",
            "/",
            '"/" is a whole volume, a home or a system directory. Take a directory in it, such as /mediastack.',
        ),
        ("base_path", "/volume1/", '"/volume1" is a whole volume'),
        ("base_path", "/home/alice", '"/home/alice" is a whole volume, a home'),
        ("base_path", "/mnt/user", '"/mnt/user" is a whole volume'),
        ("base_path", "/srv/../etc", "holds '..'"),
        ("base_path", "/etc/mediastack", '"/etc/mediastack" belongs to the operating system.'),
        ("base_path", "/srv/a:b", '"/srv/a:b" holds :, which Docker Compose reads as its own.'),
        ("base_path", "/srv/a$b,c", "holds , and $, which"),
        ("base_path", "/srv/a\nb", '"/srv/a\\nb" holds a blank at an end, a line end'),
        ("compose_files", ["mine.yml"], '"mine.yml" is relative.'),
        (
            "config_path",
            "/srv/mediastack/media/config",
            "holds the apps' secrets and lies in what they share, mediastack_media_path",
        ),
        ("config_path", "/srv/mediastack/compose", "is, or lies in, mediastack_config_path (/srv/mediastack/compose)"),
        ("project_path", "/srv/mediastack/config/compose", "is, or lies in, mediastack_config_path"),
        ("project_path", "/srv/mediastack", "is, or holds, the directory that all apps see, mediastack_base_path"),
        ("media_path", "/mnt/nfs/media", "/mnt/nfs/media is not below mediastack_base_path (/srv/mediastack)"),
        ("downloads_path", "/srv/mediastack/dl", "has another name below mediastack_base_path"),
    ],
)
def test_refused(name, value, message):
    found = errors(**{name: value})
    assert all(error.startswith("mediastack_") for error in found)
    assert any(message in error for error in found), found


def test_a_refusal_begins_with_the_setting():
    (message,) = errors(puid="abc")
    assert message == 'mediastack_puid: "abc" is not a whole number.'


def test_library_and_downloads_may_not_hold_each_other():
    (message,) = errors(split_mounts=True, media_path="/mnt/a", downloads_path="/mnt/a/dl")
    assert message.startswith("mediastack_downloads_path: /mnt/a/dl is, or lies in, the library,")


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("puid", "99", 99),
        ("profiles", "music,plex,music", ["music", "plex"]),
        ("services", {"overseerr": "yes"}, {"overseerr": True}),
        ("services", None, {}),
        ("ports", {"sonarr": "8990", "traefik": {"https": 443}}, {"sonarr": 8990, "traefik": {"https": 443}}),
        ("images", {"sonarr": "reg.example.org:5000/a/b:1@sha256:" + "0" * 64}, None),
        ("env", {"A": "ü $x '\" #", "B": 1, "C": "1.10"}, {"A": "ü $x '\" #", "B": "1", "C": "1.10"}),
        ("bind_addresses", ["0.0.0.0", "::1"], ["0.0.0.0", "::1"]),
        ("base_path", "/volume1//media stack/", "/volume1/media stack"),
        ("base_path", "/mnt/user/mediastack", None),
        ("base_path", "/home/alice/media", None),
        ("network_subnet", "172.28.0.0/24", None),
        ("timezone", "America/Argentina/Buenos_Aires", None),
        ("umask", "0022", None),
        ("plex_claim", "claim-abc_DEF-1", None),
        ("engine_compose_version", "5.0.1", None),
    ],
)
def test_accepted(name, value, result):
    assert resolve(**{name: value}).values[f"mediastack_{name}"] == (value if result is None else result)


def test_split_mounts_allow_library_and_downloads_anywhere():
    found = resolve(split_mounts=True, media_path="/mnt/nfs/media", downloads_path="/mnt/ssd/downloads").values
    assert found["mediastack_media_path"] == "/mnt/nfs/media"
    assert found["mediastack_config_path"] == "/srv/mediastack/config"


def test_the_torrent_port_is_the_hosts_only_without_the_vpn():
    assert resolve(ports={"sonarr": 6881}).values["mediastack_ports"] == {"sonarr": 6881}
    (message,) = errors(ports={"sonarr": 6881}, vpn_enabled=False)
    assert "6881 is mediastack_vpn_torrent_port already" in message


def test_warnings():
    found = resolve(puid=0, images={"sonarr": "a/b:latest"}).warnings
    assert [warning.partition(":")[0] for warning in found] == ["mediastack_puid", "mediastack_images"]


def test_without_names_nothing_is_known_to_be_wrong():
    variables = {f"mediastack_{name}": value for name, value in VPN.items()}
    found = settings.resolve({**variables, "mediastack_profiles": ["x"]}, None, {}, "/nonexistent")
    assert found.values["mediastack_profiles"] == ["x"]


# -- what nobody has decrypted -----------------------------------------------------------------------------------------

SOPS = "ENC[AES256_GCM,data:xpzVu2Y=,iv:AA==,tag:BB==,type:str]"
VAULT = "$ANSIBLE_VAULT;1.1;AES256\n3633\n"
AGE = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n"


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("vpn_wireguard_private_key", SOPS, ""),
        ("vpn_openvpn_custom_config", VAULT, ""),
        ("tls_key", f"\n {AGE}", ""),
        ("puid", SOPS, ""),
        ("profiles", [SOPS], ""),
        ("secrets", {"sonarr_api_key": SOPS}, "sonarr_api_key: "),
        ("overrides", {"sonarr": {"environment": {"A": VAULT}}}, "sonarr.environment.A: "),
    ],
)
def test_a_value_that_is_still_encrypted_is_refused_by_its_name_and_never_shown(name, value, place):
    (error,) = errors(**{name: value})
    assert error.startswith(f"mediastack_{name}: {place}the value (not shown) is still encrypted with ")
    assert not any(part in error for part in ("AES256", "xpzVu2Y", "3633", "YWdl"))
    assert "docs/secrets.md" in error


def test_a_value_that_only_speaks_of_encryption_is_taken(tmp_path):
    assert resolve(env={"NOTE": "see ENC[AES256_GCM,"}).values["mediastack_env"] == {"NOTE": "see ENC[AES256_GCM,"}
