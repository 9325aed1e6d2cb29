# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a case of `bad_inputs` to a verdict: an inventory file, Ansible's loader, the validator, the renderer."""

from __future__ import annotations

import functools
import inspect
import posixpath

import bad_inputs
import bad_inputs_read
import jinja2
import render_harness as h
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from bad_inputs import CANARY, ENVIRONMENT, REFUSED

from ansible_collections.homelab.mediastack.plugins.module_utils import presets, secret_store
from ansible_collections.homelab.mediastack.plugins.plugin_utils import catalogue, notify_rules, render, settings
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

ROOT = h.ROOT
TRUST = {"trusted_as_template": True}
if "trusted_as_template" not in inspect.signature(DataLoader.load_from_file).parameters:
    TRUST = {}

# Where a number was written is known to ansible-core from 2.19 on only.
MISREAD = (
    "octal", "sexagesimal", "sexagesimal, named", "sexagesimal elsewhere", "grouped", "hexadecimal", "zero at the end",
    "exponent in YAML",
)  # fmt: skip
_OFF = "mediastack_vpn_enabled: false\n"
_WIREGUARD = f"mediastack_vpn_wireguard_private_key: {h.KEY}\nmediastack_vpn_wireguard_addresses: [10.64.0.2/32]\n"
_MULLVAD = "mediastack_vpn_provider: mullvad\n" + _WIREGUARD
_CUSTOM = f"""mediastack_vpn_provider: custom
mediastack_vpn_wireguard_public_key: {h.KEY}
mediastack_vpn_wireguard_endpoint_ip: 198.51.100.9
mediastack_vpn_wireguard_endpoint_port: 51820
{_WIREGUARD}"""
_AIRVPN = f"mediastack_vpn_provider: airvpn\nmediastack_vpn_wireguard_preshared_key: {h.KEY}\n" + _WIREGUARD
_OPENVPN = """mediastack_vpn_provider: custom
mediastack_vpn_type: openvpn
mediastack_vpn_openvpn_custom_config: remote 198.51.100.9 1194
mediastack_vpn_openvpn_key_passphrase: x
"""
# Of the modes of the proxy, one for which nobody makes a certificate.
_ACME = """mediastack_domain: home.example.org
mediastack_tls: acme_http
mediastack_acme_email: me@example.org
"""
_BEGINS = (
    ("vpn_openvpn_", _OPENVPN),
    ("vpn_wireguard_", _CUSTOM),
    ("vpn_server_", _AIRVPN),
    ("vpn_port_forwarding_provider", "mediastack_vpn_port_forwarding: true\n" + _CUSTOM),
    ("vpn_port_forwarding", "mediastack_vpn_provider: protonvpn\n" + _WIREGUARD),
    ("vpn_torrent_port", _OFF),
    ("vpn_", _MULLVAD),
    ("media_path", "mediastack_split_mounts: true\n" + _OFF),
    ("downloads_path", "mediastack_split_mounts: true\n" + _OFF),
    ("plex_claim", "mediastack_profiles: [plex]\n" + _OFF),
    ("sso_", _ACME + _OFF),
    ("", _OFF),
)
# What runs, so that not all of the catalogue is rendered for each.
_NEEDED = {
    "admin_user": ["sabnzbd"],
    "domain": ["sabnzbd"],
    "sso_groups": ["authentik", "traefik"],
    "sso_users": ["authentik", "traefik"],
}
_ALONE = ("services", "profiles", "ports")


@functools.cache
def _renderer():
    return render.Renderer(None)


def compile_once(monkeypatch):
    """Let Jinja compile each text once: three thousand renderings of the same service files are compared here."""
    compile_text, compiled = jinja2.Environment.compile, {}

    def cached(self, source, *arguments, **options):
        key = (type(self), source, arguments, tuple(options.items()), self.undefined)
        if key not in compiled:
            compiled[key] = compile_text(self, source, *arguments, **options)
        return compiled[key]

    monkeypatch.setattr(jinja2.Environment, "compile", cached)


class World:
    """One directory with an inventory, over the shipped catalogue."""

    def __init__(self, directory):
        self.inventory = directory / "nas.yml"
        self.canary = directory / "canary"
        self.renderer = _renderer()
        self.names = catalogue.names_of(self.renderer.facts)
        self._usual = [app for app, fact in self.renderer.facts.items() if "always" in fact.profiles]

    def _services(self, setting, apps):
        """The line that switches off what is always on, but sonarr and what the case needs."""
        if setting in _ALONE:
            return "mediastack_profiles: [jellyfin]\n" if setting == "services" else ""
        wanted = {"sonarr", "gluetun", *apps}
        off = [f"{app}: false" for app in self._usual if app not in wanted]
        on = [f"{app}: true" for app in sorted(wanted - {"gluetun"})]
        profiles = "" if setting == "plex_claim" else "mediastack_profiles: []\n"
        return f"{profiles}mediastack_services: {{{', '.join([*off, *on])}}}\n"

    def text(self, case):
        """The inventory of a case, and the apps' lines that let it be seen."""
        name = f"mediastack_{case.setting}"
        apps = list(_NEEDED.get(case.setting, ()))
        begin = next(text for start, text in _BEGINS if case.setting.startswith(start))
        if case.setting == "secrets" and isinstance(case.expected, dict):
            apps += [bad_inputs_read.HOLDERS[secret] for secret in case.expected]
            begin = _MULLVAD if "gluetun" in apps else begin
        own = "" if case.way == ENVIRONMENT else f"{name}: {case.text}\n"
        lines = (begin + self._services(case.setting, apps)).splitlines()
        rest = [line for line in lines if not line.startswith(name + ":")]
        return (own + "\n".join(rest) + "\n").replace(CANARY, str(self.canary))

    def resolve(self, text, environ=None):
        """The settings of an inventory, as an action resolves them: `(values, variables, templar)`."""
        self.inventory.write_text(text, encoding="utf-8")
        loader = DataLoader()
        variables = {"inventory_hostname": "nas", **loader.load_from_file(str(self.inventory), **TRUST)}
        templar = Templar(loader=loader, variables=variables)
        resolved = settings.resolve(variables, templar, environ or {}, "", lambda: self.names)
        problems = notify_rules.slow_problems(resolved.values)
        if problems:
            raise settings.SettingsError(problems)
        return resolved.values, variables, templar

    def render(self, text, environ=None):
        """An inventory's rendered stack, as the host writes it: a `Reading`."""
        values, variables, templar = self.resolve(text, environ)
        bundle = self.renderer.bundle(values, variables, templar, self.renderer.select(values))
        store = secret_store.SecretStore(str(self.inventory.parent / "nothing"))
        images = {name: service["image"] for name, service in bundle["services"].items()}
        tokens = store.tokens(store.resolve(bundle["secrets"], check_mode=True), "127.0.0.1", images)
        hashes = dict.fromkeys(bundle["services"], "0")
        files = {}
        for entry in bundle["files"]:
            name = posixpath.relpath(entry["path"], bundle["project"]["path"])
            if not name.startswith("bin/"):
                encoding = entry.get("encoding") or secret_store.encoding_for(entry["path"])
                files[name] = tokens(entry["content"], encoding, hashes)
        for preset in bundle["presets"]:
            if preset["content"]:
                name = posixpath.relpath(preset["path"], bundle["paths"]["config"])
                files[f"config:{name}"] = presets._create(preset, tokens)["data"].decode("utf-8")
        return bad_inputs_read.Reading(files, bundle, values)

    def errors(self, text, environ=None):
        """What an inventory is refused for; no errors where it is not."""
        try:
            self.render(text, environ)
        except settings.SettingsError as error:
            return error.errors
        except RenderError as error:
            return error.problems
        return []

    def judge(self, case):
        """What is wrong with what became of a case; an empty text where nothing is."""
        if case.kind in MISREAD and not TRUST:
            return ""
        text = self.text(case)
        environ = {f"MEDIASTACK_{case.setting.upper()}": case.text} if case.way == ENVIRONMENT else {}
        if case.expected == REFUSED:
            return self._refused(case, text, environ)
        try:
            reading = self.render(text, environ)
            expected = self._with_canary(case.expected)
            found = bad_inputs_read.found(case.setting, reading, expected)
        except (settings.SettingsError, RenderError) as error:
            return f"refused: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "" if found == expected else f"rendered as {found!r}"

    def _with_canary(self, value):
        if isinstance(value, dict):
            return {key: self._with_canary(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._with_canary(item) for item in value]
        return value.replace(CANARY, str(self.canary)) if isinstance(value, str) else value

    def _refused(self, case, text, environ):
        try:
            errors = self.errors(text, environ)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        if not errors:
            return "neither refused nor expected to be taken"
        sentence = next((error for error in errors if f"mediastack_{case.setting}" in error), None)
        if sentence is None:
            return f"refused without its name: {errors[0]}"
        if not sentence.isprintable() or len(sentence) > 1500:
            return f"refused in no readable line: {sentence!r}"
        secret = settings.load_spec()[f"mediastack_{case.setting}"].get("no_log")
        text = case.text.removeprefix("!unsafe ").strip("'\"")[:20]
        if secret and len(text) == 20 and text in sentence:
            return f"refused, and the secret shown: {sentence}"
        return ""


__all__ = ["ROOT", "World", "bad_inputs"]
