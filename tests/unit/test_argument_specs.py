# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every setting stands once, with a type and a default that agree, and whatever uses a setting finds it there."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

from ansible_collections.homelab.mediastack.plugins.plugin_utils import setting_types

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON_TYPES = {"path": "str"}
TYPES = ("str", "path", "int", "bool", "list", "dict")

# What a service file is rendered with besides the settings (docs/architecture.md).
RENDER_VARIABLES = {
    "mediastack_service",
    "mediastack_selected",
    "mediastack_vpn_members",
    "mediastack_ingress",
    "mediastack_ingress_paths",
    "mediastack_acme_variables",
    "mediastack_sso",
    "mediastack_url_base",
    "mediastack_data_volumes",
    "mediastack_media_volumes",
    "mediastack_downloads_volumes",
    "mediastack_env_entries",
}


def kind(value):
    """The name of the value's very type: a truth value is not a number here."""
    return value.__class__.__name__


def python_type(option):
    """The name of the Python type of an option's values."""
    return PYTHON_TYPES.get(option["type"], option["type"])


def specs(role):
    path = ROOT / "roles" / role / "meta" / "argument_specs.yml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]


SETTINGS = specs("mediastack")["settings"]["options"]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_typed_described_and_prefixed(name):
    option = SETTINGS[name]
    assert name.startswith("mediastack_")
    assert option["type"] in TYPES
    assert option["description"]
    assert "default" in option, "a user who leaves it out must get something"
    assert (option["type"] == "list") == ("elements" in option)
    assert "required" not in option, "no setting is required by Ansible: the settings action says what is missing"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_default_is_of_its_own_type_and_survives_the_cast(name):
    option = SETTINGS[name]
    default = option["default"]
    assert kind(default) == python_type(option)
    assert setting_types.cast(default, option) == default
    assert kind(setting_types.cast(default, option)) == kind(default)
    if "choices" in option:
        assert default in option["choices"]
        assert all(kind(choice) == kind(default) for choice in option["choices"])


@pytest.mark.parametrize("name", SETTINGS)
def test_a_secret_is_marked_and_what_is_marked_is_a_secret(name):
    secret = re.search(
        r"private_key|preshared|password|passphrase|openvpn_(user|key|cert|enc|custom)|claim|_env$|_secrets$|notify_urls|webhook"
        r"|tls_(cert|key)$|_credentials$",
        name,
    )
    # Where a secret lies is none.
    assert bool(SETTINGS[name].get("no_log")) == (bool(secret) and not name.endswith("_password_file"))


@pytest.mark.parametrize("role", ROLES)
def test_a_roles_defaults_are_its_argument_specs(role):
    """By name, value and type; roles/mediastack has no defaults file, its specification is the only place."""
    path = ROOT / "roles" / role / "defaults" / "main.yml"
    defaults = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}
    if role == "mediastack":
        assert not path.exists()
        return
    options = {}
    for entry in (specs(role) if (ROOT / "roles" / role / "meta" / "argument_specs.yml").exists() else {}).values():
        options.update(entry.get("options") or {})
    stated = {name: option["default"] for name, option in options.items() if "default" in option}
    assert defaults == stated
    for name, value in defaults.items():
        assert kind(value) == kind(stated[name])
        assert kind(value) == python_type(options[name])
        assert name.startswith(f"{role}_"), "a role's own variables carry its name"


# Names that look like settings: metrics, and a program's file.
NO_SETTINGS = {
    "plugins/module_utils/pull_report.py",
    "plugins/plugin_utils/log_follow.py",
    "plugins/plugin_utils/report_prometheus.py",
}


def users():
    """Yield the files that may read a setting."""
    for pattern in (
        "compose_templates/**/*.j2",
        "plugins/**/*.py",
        "roles/**/*.yml",
        "playbooks/*.yml",
        "inventory.example/**/*.yml",
        "tests/lab/inventory/**/*",
        "molecule/**/*.yml",
    ):
        yield from (
            path
            for path in ROOT.glob(pattern)
            if path.is_file() and path.relative_to(ROOT).as_posix() not in NO_SETTINGS
        )


def names_in(path):
    text = path.read_text(encoding="utf-8")
    # Whole names: not the prefix itself, and not what only begins like one.
    return set(re.findall(r"(?<![\w./-])mediastack_[a-z0-9_]*[a-z0-9](?![\w*-])", text))


def test_whatever_reads_a_setting_finds_it_in_the_specification():
    known = set(SETTINGS) | RENDER_VARIABLES | {"mediastack_hosts"}
    strangers = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in users()
        for name in names_in(path)
        if name not in known and not name.startswith("mediastack_x_")
    }
    assert not strangers


def test_no_setting_is_without_effect():
    specification = ROOT / "roles" / "mediastack" / "meta" / "argument_specs.yml"
    used = set()
    for path in users():
        if path != specification and not path.is_relative_to(ROOT / "inventory.example"):
            used |= names_in(path)
            # Plugins also name settings without the prefix.
            if path.suffix == ".py":
                used |= {
                    f"mediastack_{word}" for word in re.findall(r"""["'](\w+)["']""", path.read_text(encoding="utf-8"))
                }
    assert set(SETTINGS) <= used, f"nothing reads {sorted(set(SETTINGS) - used)}"


def test_the_documentation_has_every_setting():
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    missing = [name for name in SETTINGS if name not in text]
    assert not missing
