# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small catalogue and Ansible's own templar, for tests of rendering."""

from __future__ import annotations

import pathlib
import shutil
import sys
import warnings

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

from ansible_collections.homelab.mediastack.plugins.plugin_utils import catalogue, compose_yaml, render, settings
from ansible_collections.homelab.mediastack.plugins.plugin_utils.plain_values import protect

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "catalogue"
SHIPPED = ROOT / "compose_templates"
# A well-formed WireGuard key that belongs to nobody.
KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
VPN = {
    "mediastack_vpn_provider": "mullvad",
    "mediastack_vpn_wireguard_private_key": KEY,
    "mediastack_vpn_wireguard_addresses": ["10.64.0.2/32"],
}
NO_VPN = {"mediastack_vpn_enabled": False}

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    init_plugin_loader([str(ROOT / ".ansible" / "collections")])
# Imported by Python itself before Ansible's loader was there, the collection lacks what that loader keeps with it.
sys.modules["ansible_collections.homelab.mediastack"].__dict__.setdefault("_collection_meta", {})


def templar():
    """A templar as an action has it."""
    return Templar(loader=DataLoader(), variables={})


class World:
    """A collection's templates and a user's own service files below one directory."""

    def __init__(self, directory, shipped=FIXTURES):
        self.templates = pathlib.Path(directory) / "compose_templates"
        self.own = pathlib.Path(directory) / "services"
        self.own.mkdir()
        shutil.copytree(shipped, self.templates)
        shutil.copy(SHIPPED / "env.j2", self.templates / "env.j2")

    def write(self, name, text, group=None):
        """Put a service file in place: the user's own, or with a group one of the collection's."""
        folder = self.templates / group if group else self.own
        (folder / f"{name}.yml.j2").write_text(text)

    def renderer(self):
        """The renderer of this world."""
        return render.Renderer(str(self.own), self.templates)

    def bundle(self, also=(), task_vars=None, **given):
        """The bundle for settings *given* over the defaults; without VPN settings the VPN is off."""
        given = {"mediastack_profiles": [], **given}
        if not any(name.startswith("mediastack_vpn_") for name in given):
            given.update(NO_VPN)
        # As an inventory marks text that is no template.
        given = {name: protect(value) for name, value in given.items()}
        renderer = self.renderer()
        values = settings.resolve(given, templar(), {}, "", lambda: catalogue.names_of(renderer.facts)).values
        return renderer.bundle(values, task_vars or {}, templar(), renderer.select(values, also))


def compose(bundle, group):
    """The parsed Compose document of a group; `overrides` is the last one."""
    return compose_yaml.load(file(bundle, f"compose.{group}.yml")["content"])


def service(bundle, name):
    """The assembled Compose definition of a service."""
    found = [
        compose_yaml.load(entry["content"])["services"].get(name)
        for entry in bundle["files"]
        if "/compose." in entry["path"] and not entry["path"].endswith("overrides.yml")
    ]
    return next(definition for definition in found if definition)


def file(bundle, name):
    """The bundle's file of that name."""
    return next(entry for entry in bundle["files"] if entry["path"].endswith("/" + name))


def published(definition):
    """Published ports: `{(address, port, target, protocol)}`."""
    return {
        (port["host_ip"], int(port["published"]), port["target"], port["protocol"])
        for port in definition.get("ports", [])
    }
