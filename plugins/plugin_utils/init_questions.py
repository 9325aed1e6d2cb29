# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The questions: storage, VPN, services, and what most people leave as it is."""

from __future__ import annotations

import os
import posixpath

from . import init_proposals, vpn_providers
from .bundle import VPN_OFF
from .init_terminal import NOTHING

_TITLES = {
    vpn_providers.USER: "OpenVPN user name (not the login of the web site)",
    vpn_providers.PASSWORD: "OpenVPN password",
    vpn_providers.CERT: "Client certificate, path of the PEM file on this computer",
    vpn_providers.KEY: "Client key, path of the PEM file on this computer",
    vpn_providers.ENCRYPTED_KEY: "Encrypted client key, path of the PEM file on this computer",
    vpn_providers.PASSPHRASE: "Passphrase of the encrypted client key",
    vpn_providers.CUSTOM_CONFIG: "OpenVPN configuration, path of the .ovpn file on this computer",
    vpn_providers.PRIVATE_KEY: "WireGuard private key (PrivateKey)",
    vpn_providers.PRESHARED_KEY: "WireGuard preshared key (PresharedKey)",
    vpn_providers.PUBLIC_KEY: "Public key of the server (PublicKey)",
    vpn_providers.ADDRESSES: "Addresses of the tunnel (Address), such as 10.64.0.2/32",
    vpn_providers.ENDPOINT_IP: "IP address of the server (in Endpoint)",
    vpn_providers.ENDPOINT_PORT: "Port of the server (in Endpoint)",
}
_FILES = (vpn_providers.CERT, vpn_providers.KEY, vpn_providers.ENCRYPTED_KEY, vpn_providers.CUSTOM_CONFIG)
_TYPES = {"wireguard": "faster", "openvpn": "older"}
_LONGEST_FILE = 65536


class Questions:
    """Asks until every answer is right by itself, and together with those before it.

    Parameters:
        terminal: `init_terminal.Terminal`.
        answers: `init_answers.Answers`; what was answered is in there, also after an interruption.
        facts: result of the module host_info.
        look: a function without parameters that tries the storage and returns host_info's result.
        fixed: `{setting: why}` of those that are not to be changed here.
    """

    def __init__(self, terminal, answers, facts, look, fixed):
        self.terminal = terminal
        self.answers = answers
        self.facts = facts
        self.look = look
        self.fixed = fixed

    def run(self):
        """All of them.

        Raises:
            Interrupted, NoTerminal.
        """
        self.terminal.say("Enter keeps what stands in brackets, - empties it, Ctrl-C ends without a trace.")
        self.storage()
        self.vpn()
        self.services()
        self.advanced()

    # -- asking for one setting ------------------------------------------------------------------------------------

    def ask(self, short, title, read=None, optional=True):
        """Ask for one setting until its answer is right.

        Parameters:
            short: its name without prefix.
            title: the question.
            read: a function from the text typed to the value to check; it may raise ValueError with a sentence.
            optional: whether the setting may be empty.
        """
        if self.is_fixed(short):
            return
        secret, present = self.answers.is_secret(short), self.answers[short]
        file = short in _FILES
        while True:
            shown = "" if secret else self.shown(short)
            text = self.terminal.text(title, shown, secret=secret and not file, kept=secret and bool(present))
            try:
                value = self.typed(short, text, shown, present, read)
            except ValueError as error:
                self.terminal.wrong(str(error))
                continue
            value, errors, warnings = self.answers.check(short, value)
            if not errors and not optional and value in ("", [], 0):
                errors = ["something is needed here."]
            if errors:
                self.terminal.wrong(errors)
                continue
            for warning in warnings:
                self.terminal.say(f"  note: {warning}", warn=True)
            self.answers.set(short, value)
            return

    def typed(self, short, text, shown, present, read):
        """The value that a text stands for."""
        if text == shown or (not text and present):
            return present
        if text == NOTHING:
            return type(present)()
        if short in _FILES:
            return _content(text)
        return read(text) if read else text

    def shown(self, short):
        """A present value as somebody would type it."""
        value = self.answers[short]
        if isinstance(value, list):
            return ", ".join(value)
        if isinstance(value, dict):
            return ", ".join(f"{name}={port}" for name, port in value.items() if not isinstance(port, dict))
        return "" if value == "" or (value == 0 and short not in ("puid", "pgid")) else str(value)

    def is_fixed(self, short):
        """Say so when a setting is not to be changed here."""
        why = self.fixed.get(f"mediastack_{short}")
        if why:
            self.terminal.say(f"mediastack_{short} stays as it is: {why}.")
        return bool(why)

    # -- storage -----------------------------------------------------------------------------------------------------

    def storage(self):
        """Where everything lies, until the host has shown that it can."""
        self.terminal.title("Storage")
        self.terminal.say(
            "Library, downloads, configuration and the Compose project: one directory on one file system,\n"
            "so that imports are hard links and take no time and no space."
        )
        self.disks()
        while True:
            self.ask("base_path", "Directory, or the number of a disk", self.disk_or_path, optional=False)
            self.elsewhere()
            if self.proven():
                return

    def disks(self):
        """The host's disks, numbered."""
        width = max([len(disk["mount"]) for disk in self.facts["disks"]], default=0)
        for number, disk in enumerate(self.facts["disks"], 1):
            free, total = (init_proposals.size(disk[key]) for key in ("free_bytes", "total_bytes"))
            network = ", on the network" if disk["kind"] == "network" else ""
            about = f"{disk['fstype']}, {free} free of {total}{network}"
            self.terminal.say(f"  {number:>2}  {disk['mount']:<{width}}  {about}")

    def disk_or_path(self, text):
        """A path, typed as such or as the number of a disk."""
        if not text.isdigit():
            return text
        if not 1 <= int(text) <= len(self.facts["disks"]):
            raise ValueError(f"there is no disk {text}.")
        mount = self.facts["disks"][int(text) - 1]["mount"]
        return posixpath.join("/srv" if mount == "/" else mount, init_proposals.BASE)

    def elsewhere(self):
        """Library and downloads outside of the base path, for those who must."""
        if self.is_fixed("split_mounts"):
            return
        together = self.terminal.yes("Library and downloads in it", default=not self.answers["split_mounts"])
        if together:
            if self.answers["split_mounts"]:
                for short in ("media_path", "downloads_path", "split_mounts"):
                    self.answers.clear(short)
            return
        self.terminal.say("  note: imports are then copies that take twice the room, no hard links.", warn=True)
        self.answers.set("split_mounts", True)
        present = init_proposals.paths(self.answers)
        for name, title in (("media", "Directory of the library"), ("downloads", "Directory of the downloads")):
            self.answers.values[f"mediastack_{name}_path"] = present[name]
            self.ask(f"{name}_path", title, optional=False)

    def proven(self):
        """Try the directories on the host; ask for what can be asked otherwise when that fails."""
        result = self.look()
        for warning in result["warnings_found"]:
            self.terminal.say(f"  note: {warning}", warn=True)
        if not result["problems"]:
            ids = f"{self.answers['puid']}:{self.answers['pgid']}"
            linked = "written" if self.answers["split_mounts"] else "written and linked"
            self.terminal.say(f"  Tried on the host: {ids} has {linked} files there.")
            return True
        kinds = set()
        for problem in result["problems"]:
            self.terminal.wrong([f"{problem['what']}.", f"  {problem['remedy']}"])
            kinds.add(problem["check"])
        if "timezone" in kinds:
            self.ask("timezone", "Time zone", optional=False)
        if kinds & {"write", "owner"}:
            self.ids()
        if "config" in kinds:
            self.answers.values["mediastack_config_path"] = init_proposals.paths(self.answers)["config"]
            self.ask("config_path", "Directory of the apps' own files, on a local disk")
        return False

    def ids(self):
        """Whom the apps run as."""
        self.ask("puid", "User id of the apps (id -u)", optional=True)
        self.ask("pgid", "Group id of the apps (id -g)", optional=True)

    # -- VPN -----------------------------------------------------------------------------------------------------------

    def vpn(self):
        """Provider, protocol and what these need."""
        self.terminal.title("VPN")
        if not self.is_fixed("vpn_enabled"):
            self.answers.set("vpn_enabled", self.with_vpn())
        if not self.answers["vpn_enabled"]:
            return
        self.provider()
        name, kind = self.answers["vpn_provider"], self.answers["vpn_type"]
        provider = vpn_providers.PROVIDERS[name]
        for field in getattr(provider, kind):
            self.ask(field, _TITLES[field], optional=True)
        if (name, kind) == ("windscribe", "wireguard"):
            self.ask(vpn_providers.PRESHARED_KEY, _TITLES[vpn_providers.PRESHARED_KEY])
        self.servers(provider)
        if provider.forwards and not self.is_fixed("vpn_port_forwarding"):
            question = "Have the provider forward a port, which torrents gain by"
            self.answers.set("vpn_port_forwarding", self.terminal.yes(question, self.answers["vpn_port_forwarding"]))
        self.forget_the_rest()

    def with_vpn(self):
        """Whether there is to be a VPN; without one only after a second thought."""
        while not self.terminal.yes("Downloaders reach the internet through a VPN only", self.answers["vpn_enabled"]):
            self.terminal.say(f"  note: {VPN_OFF}", warn=True)
            if self.terminal.yes("Really without a VPN", not self.answers["vpn_enabled"]):
                return False
        return True

    def provider(self):
        """The provider from a menu, and its protocol where there is a choice."""
        if not self.is_fixed("vpn_provider"):
            menu = {
                name: ", ".join(kind for kind in _TYPES if getattr(provider, kind) is not None)
                for name, provider in vpn_providers.PROVIDERS.items()
            }
            self.answers.set("vpn_provider", self.terminal.choice("VPN provider", menu, self.answers["vpn_provider"]))
        if self.is_fixed("vpn_type"):
            return
        provider = vpn_providers.PROVIDERS[self.answers["vpn_provider"]]
        offered = {kind: words for kind, words in _TYPES.items() if getattr(provider, kind) is not None}
        kind = self.answers["vpn_type"] if self.answers["vpn_type"] in offered else next(iter(offered))
        if len(offered) > 1:
            kind = self.terminal.choice("Protocol", offered, kind)
        self.answers.set("vpn_type", kind)

    def servers(self, provider):
        """From which servers to choose, by the broadest filter that the provider has."""
        for kind in ("countries", "regions", "cities"):
            if kind in provider.filters:
                self.ask(f"vpn_server_{kind}", f"{kind.capitalize()} of the VPN server, comma between (empty: any)")
                return

    def forget_the_rest(self):
        """Empty what an earlier provider had and this one refuses."""
        for name in self.answers.spec:
            short = name.removeprefix("mediastack_")
            if short.startswith("vpn_") and not self.answers.is_default(short) and name not in self.fixed:
                _value, errors, _warnings = self.answers.check(short, self.answers[short])
                if errors:
                    self.answers.clear(short)
                    self.terminal.say(f"  {name} is emptied: it is not for this provider.")

    # -- services ------------------------------------------------------------------------------------------------------

    def services(self):
        """Profiles, and single apps on top of them."""
        self.terminal.title("Services")
        names = self.answers.known()
        width = max(map(len, names.profiles))
        for number, (profile, apps) in enumerate(names.profiles.items(), 1):
            self.terminal.say(f"  {number:>2}  {profile:<{width}}  {', '.join(apps)}")

        def numbers(text):
            words = [word.strip() for word in text.split(",") if word.strip()]
            wrong = [word for word in words if word.isdigit() and not 1 <= int(word) <= len(names.profiles)]
            if wrong:
                raise ValueError(f"there is no profile {wrong[0]}.")
            return [list(names.profiles)[int(word) - 1] if word.isdigit() else word for word in words]

        self.ask("profiles", "Profiles on top of what always runs, comma between", numbers)
        if self.is_fixed("services"):
            return
        switches = dict(self.answers["services"])
        for on, title in ((False, "Single apps to leave out"), (True, "Single apps to add")):
            switches = self.switch(switches, on, title)
        self.answers.set("services", switches)

    def switch(self, switches, on, title):
        """Ask for the apps that are switched one way."""
        shown = ", ".join(name for name, value in switches.items() if value is on)
        while True:
            text = self.terminal.text(f"{title}, comma between", shown)
            chosen = [] if text == NOTHING else [word.strip() for word in text.split(",") if word.strip()]
            result = {name: value for name, value in switches.items() if value is not on and name not in chosen}
            result.update(dict.fromkeys(chosen, on))
            value, errors, _warnings = self.answers.check("services", result)
            if not errors:
                return value
            self.terminal.wrong(errors)

    # -- the rest ------------------------------------------------------------------------------------------------------

    def advanced(self):
        """What most people leave as it is."""
        self.terminal.title("Further settings")
        for short, title in (("puid", "User id"), ("pgid", "Group id"), ("timezone", "Time zone")):
            origin = self.answers.origins.get(short)
            self.terminal.say(f"  {title}: {self.answers[short]}{f' ({origin})' if origin else ''}")
        proxied = "127.0.0.1, and Traefik " * ("proxy" in (self.answers["profiles"] or []))
        usual = f"{proxied}{self.facts['address'] or 'no address'}"
        self.terminal.say(f"  Web interfaces: {self.shown('bind_addresses') or usual}")
        while self.terminal.yes("Change these, the domain or ports", False):
            before = self.answers["puid"], self.answers["pgid"]
            self.ids()
            self.ask("timezone", "Time zone", optional=False)
            self.ask("bind_addresses", "Addresses that web interfaces listen on (empty: the default route's)")
            self.ask("domain", "Domain of your reverse proxy (empty: none)")
            self.ask("ports", "Ports that differ, such as sonarr=8990, comma between", self.ports)
            if before == (self.answers["puid"], self.answers["pgid"]) or self.proven():
                return

    def ports(self, text):
        """Ports as typed, with those that stand in the inventory by name."""
        result = {name: port for name, port in self.answers["ports"].items() if isinstance(port, dict)}
        for part in (part.strip() for part in text.split(",")):
            name, sign, port = part.partition("=")
            if part and not sign:
                raise ValueError(f'"{part}" is not of the form sonarr=8990.')
            if part:
                result[name.strip()] = port.strip()
        return result


def _content(path):
    full = os.path.expanduser(path)
    try:
        if os.path.getsize(full) > _LONGEST_FILE:
            raise ValueError(f"{path} is too long to be that file.")
        with open(full, encoding="utf-8") as stream:
            return stream.read()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file.") from error
