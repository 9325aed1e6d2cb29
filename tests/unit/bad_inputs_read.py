# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a value has become in what is rendered, read as its reader does: Compose, an app, or a module of ours.

Nothing here is the product's: the files are taken apart with other parsers, or with a few lines of our own.
"""

from __future__ import annotations

import io
import json
import re
import tomllib
import xml.etree.ElementTree

import configobj
import yaml


class Reading:
    """One rendered stack.

    Attributes:
        files: path below the project → text, and `config:<path below the config path>` → text of preset files.
        bundle: what the module on the host gets.
        values: the resolved settings.
    """

    def __init__(self, files, bundle, values):
        self.files, self.bundle, self.values = files, bundle, values
        self.env = dict(_env_lines(files[".env"]))

    def compose(self, service, group=None):
        """A service's definition, every scalar as text; of the overrides' file where `group` says so."""
        names = [f"compose.{group}.yml"] if group else [name for name in self.files if name.startswith("compose.")]
        for name in names:
            found = yaml.load(self.files[name], Loader=yaml.CBaseLoader)["services"].get(service)  # noqa: S506 (text only)
            if found:
                return self._filled(found)
        raise AssertionError(f"there is no {service}")

    def _filled(self, value):
        if isinstance(value, dict):
            return {self._filled(key): self._filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        return interpolated(value, self.env)

    def mount(self, target, service="sonarr"):
        """The host path that a service sees at a place."""
        return next(one["source"] for one in self.compose(service)["volumes"] if one["target"] == target)


def interpolated(text, env):
    """*text* with `$$` and `${NAME}` read as Compose does; any other dollar sign is an error there."""

    def one(match):
        if match[0] == "$$":
            return "$"
        return env[match[1]]

    return re.sub(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$", one, text)


def _env_lines(text):
    """The entries of a `.env` in double quotes."""
    for line in text.split("\n"):
        if line and not line.startswith("#"):
            name, _equals, value = line.partition("=")
            assert value[0] == value[-1] == '"', line
            yield name, re.sub(r"\\(.)|\$\$|[\"$]", lambda match: match[1] or {"$$": "$"}[match[0]], value[1:-1])


def _ini(reading, path):
    return configobj.ConfigObj(io.StringIO(reading.files[path]), interpolation=False)


def _toml(reading, path):
    return tomllib.loads(reading.files[path])


def _sabnzbd(reading, name):
    return _ini(reading, "config:sabnzbd/sabnzbd.ini")["misc"][name]


_SECRETS = {
    "sonarr_api_key": lambda read: xml.etree.ElementTree.fromstring(  # noqa: S314 (our own text)
        read.files["config:sonarr/config.xml"]
    ).findtext("ApiKey"),
    "tautulli_password": lambda read: _ini(read, "config:tautulli/config.ini")["General"]["http_password"],
    "sabnzbd_nzb_key": lambda read: _sabnzbd(read, "nzb_key"),
    "bazarr_api_key": lambda read: yaml.safe_load(read.files["config:bazarr/config/config.yaml"])["auth"]["apikey"],
    "tdarr_api_key": lambda read: read.files["secrets/tdarr_api_key"].removeprefix("tapi_"),
    "gluetun_api_key": lambda read: _toml(read, "config:gluetun/auth/mediastack.toml")["roles"][0]["apikey"],
}
# Which app has the secret.
HOLDERS = {name: name.split("_")[0] for name in _SECRETS}


def _secrets(read, expected):
    return {name: _SECRETS[name](read) for name in expected}


def _overrides(read, expected):
    """Those keys of the overrides' file that are expected."""
    found = {}
    for service, keys in expected.items():
        rendered = read.compose(service, "overrides")
        assert set(rendered) == set(keys)
        found[service] = rendered
    return found


def _environment(read, expected):
    return {name: read.env[name] for name in expected}


def _ports(read, expected):
    found = {}
    for service, given in expected.items():
        numbers = [int(port["published"]) for port in read.compose(service)["ports"]]
        found[service] = dict(zip(given, numbers, strict=True)) if isinstance(given, dict) else numbers[0]
    return found


def _blueprint(read, model):
    """What authentik is told of one kind: identifiers and attributes, every scalar as text, its tags left out."""
    document = yaml.load(read.files["sso/mediastack.yaml"], Loader=yaml.CBaseLoader)  # noqa: S506 (text only)
    found = [entry for entry in document["entries"] if entry["model"] == model and entry["state"] == "present"]
    return [(entry["identifiers"], entry["attrs"]) for entry in found]


def _sso_groups(read, _expected):
    names = [identifiers["name"] for identifiers, _attrs in _blueprint(read, "authentik_core.group")]
    return {name: read.values["mediastack_sso_groups"][name] for name in names}


def _sso_users(read, _expected):
    return {identifiers["username"]: attrs["name"] for identifiers, attrs in _blueprint(read, "authentik_core.user")}


def _gluetun(variable):
    return lambda read, _expected: read.compose("gluetun")["environment"][variable]


def _servers(variable):
    return lambda read, _expected: [read.compose("gluetun")["environment"][variable]]


def _secret_file(name):
    return lambda read, expected: read.files.get(f"secrets/{name}", "" if expected == "" else None)


_READERS = {
    "timezone": lambda read, _expected: read.compose("sonarr")["environment"]["TZ"],
    "puid": lambda read, _expected: int(read.compose("sonarr")["environment"]["PUID"]),
    "umask": lambda read, _expected: read.compose("sonarr")["environment"]["UMASK"],
    "base_path": lambda read, _expected: read.mount("/data"),
    "config_path": lambda read, _expected: read.mount("/config").removesuffix("/sonarr"),
    "media_path": lambda read, _expected: read.mount("/data/media"),
    "downloads_path": lambda read, _expected: read.mount("/data/downloads"),
    "project_path": lambda read, _expected: read.bundle["project"]["path"],
    "backup_path": lambda read, _expected: json.loads(read.files[".mediastack/backup.json"])["backup"],
    "compose_files": lambda read, _expected: read.env["COMPOSE_FILE"].split(":")[1:],
    "services": lambda read, expected: {
        app: {"overseerr": "seerr"}.get(app, app) in read.bundle["services"] for app in expected
    },
    "ports": _ports,
    "images": lambda read, expected: {name: read.compose(name)["image"] for name in expected},
    "env": _environment,
    "secrets": _secrets,
    "overrides": _overrides,
    "project_name": lambda read, _expected: read.env["COMPOSE_PROJECT_NAME"],
    "container_prefix": lambda read, _expected: read.compose("sonarr")["container_name"].removesuffix("sonarr"),
    "admin_user": lambda read, _expected: _sabnzbd(read, "username"),
    "domain": lambda read, _expected: _sabnzbd(read, "host_whitelist")[-1].removeprefix("sabnzbd."),
    "sso_groups": _sso_groups,
    "sso_users": _sso_users,
    "bind_addresses": lambda read, _expected: [port["host_ip"] for port in read.compose("sonarr")["ports"]],
    "plex_claim": _secret_file("plex_claim"),
    "backup_target": lambda read, _expected: json.loads(read.files[".mediastack/backup.json"])["target"],
    "vpn_wireguard_public_key": _gluetun("WIREGUARD_PUBLIC_KEY"),
    "vpn_wireguard_preshared_key": _secret_file("wireguard_preshared_key"),
    "vpn_wireguard_endpoint_ip": _gluetun("WIREGUARD_ENDPOINT_IP"),
    "vpn_openvpn_user": _secret_file("openvpn_user"),
    "vpn_openvpn_password": _secret_file("openvpn_password"),
    "vpn_openvpn_key_passphrase": _secret_file("openvpn_key_passphrase"),
    "vpn_openvpn_cert": _secret_file("openvpn_clientcrt"),
    "vpn_openvpn_key": _secret_file("openvpn_clientkey"),
    "vpn_openvpn_encrypted_key": _secret_file("openvpn_encrypted_key"),
    "vpn_openvpn_custom_config": _secret_file("openvpn_file"),
    **{
        f"vpn_server_{kind}": _servers(f"SERVER_{kind.upper()}")
        for kind in ("countries", "regions", "cities", "hostnames", "names")
    },
}


def found(setting, reading, expected):
    """What has become of a setting; of one that is in no file, the value that modules and playbooks get."""
    reader = _READERS.get(setting)
    return reader(reading, expected) if reader else json.loads(json.dumps(reading.values[f"mediastack_{setting}"]))
