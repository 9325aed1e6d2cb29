# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resolve and validate every `mediastack_*` setting.

A value comes from, later ones win: the default in `roles/mediastack/meta/argument_specs.yml`, the controller's
config.yml, its environment, the inventory (with the play and `-e`). Everything that is wrong is reported at once.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import posixpath
import re

import yaml

from . import (
    ingress_rules,
    override_rules,
    path_rules,
    setting_rules,
    setting_sources,
    sso_rules,
    text_rules,
    vpn_rules,
)
from .closest import closest, near_miss
from .plain_values import misread, origin, plain, protect
from .setting_sources import PREFIX, Given
from .setting_types import CastError, cast

SPEC = pathlib.Path(__file__).resolve().parents[2] / "roles" / "mediastack" / "meta" / "argument_specs.yml"
ENTRY_POINT = "settings"
DEFAULT, INVENTORY = "default", "inventory"
# Words of other tools for our settings, too unlike to be found as near misses.
_SYNONYMS = {
    "data_path": "base_path",
    "local_subnet": "vpn_local_subnets",
    "provider": "vpn_provider",
    "root_path": "base_path",
    "torrent_port": "vpn_torrent_port",
    "tz": "timezone",
    "vpn_service_provider": "vpn_provider",
}
_UNDEFINED = re.compile(r"'[A-Za-z_][A-Za-z0-9_.]*' is undefined")


class SettingsError(Exception):
    """What is wrong with the settings, all of it.

    Attributes:
        errors: sentences, one a problem; they hold no secret.
    """

    def __init__(self, errors):
        self.errors = list(dict.fromkeys(errors))
        super().__init__("\n".join(self.errors))


@dataclasses.dataclass(frozen=True)
class Settings:
    """Every setting, resolved.

    Attributes:
        values: `{mediastack_*: typed value}`, paths derived from the base path included.
        sources: `{mediastack_*: default, config.yml, environment or inventory}`.
        notice: one line that names the settings from config.yml and the environment; empty when there are none.
        warnings: sentences.
        secret: names whose values must not be shown.
    """

    values: dict
    sources: dict
    notice: str
    warnings: list
    secret: frozenset

    @property
    def messages(self):
        """The notice and the warnings."""
        return [self.notice, *self.warnings] if self.notice else list(self.warnings)

    def shown(self):
        """The values without the secret ones."""
        return {name: value for name, value in self.values.items() if name not in self.secret}

    def variables(self):
        """The values as variables for Ansible's templar: what they hold is not templated again."""
        return {name: protect(value) for name, value in self.values.items()}


@functools.lru_cache(maxsize=4)
def load_spec(path=None):
    """The options of the argument specification, `{mediastack_*: option}`."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with open(path or SPEC, encoding="utf-8") as stream:
        document = yaml.load(stream, Loader=loader)  # nosec B506 # noqa: S506 (a safe loader)
    return document["argument_specs"][ENTRY_POINT]["options"]


def resolve(task_vars, templar=None, environ=None, config_file=None, known=None, spec=None):
    """Resolve and validate all settings of one host.

    Parameters:
        task_vars: the host's variables as an action gets them, untemplated.
        templar: the action's templar; without one nothing is templated.
        environ: the controller's environment; default `os.environ`.
        config_file: path of config.yml; default as `setting_sources.config_path` says.
        known: a function that returns `catalogue.Names`, called only when a name is to be checked; without it (or when
            it returns `None`) names of services, profiles and secrets are not checked.
        spec: options as `load_spec` returns them.
    Returns:
        `Settings`.
    Raises:
        SettingsError: with everything that is wrong.
    """
    environ = os.environ if environ is None else environ
    path = setting_sources.config_path(environ) if config_file is None else config_file
    return _Resolution(spec or load_spec(), known).run(task_vars, templar, environ, path)


@dataclasses.dataclass(frozen=True)
class Draft:
    """What is set so far, for somebody who is about to complete it.

    Attributes:
        values: `{mediastack_*: typed value}`, the default where none or a wrong one is given; paths that derive from
            the base path are left empty.
        sources: as in `Settings`; default for a wrong one.
        errors: sentences.
    """

    values: dict
    sources: dict
    errors: list


def draft(task_vars, templar=None, environ=None, config_file=None, known=None, spec=None):
    """As `resolve`, for settings that need not be complete nor right: a `Draft`, and no error."""
    environ = os.environ if environ is None else environ
    path = setting_sources.config_path(environ) if config_file is None else config_file
    return _Resolution(spec or load_spec(), known).draft(task_vars, templar, environ, path)


def check_one(name, value, others, known=None, spec=None):
    """Check one setting as it is typed, with all rules of its own and those between it and `others`.

    Parameters:
        name: a setting.
        value: plain, as typed: text stands for any type.
        others: `{name: typed value}` of the other settings, without paths that are derived; what is missing has its
            default.
        known, spec: as for `resolve`.
    Returns:
        `(typed value, errors, warnings)`; the sentences do not begin with the name.
    """
    return _Resolution(spec or load_spec(), known).check_one(name, value, others)


class _Resolution:
    """One pass over all settings."""

    def __init__(self, spec, known):
        self.spec = spec
        self.rules = setting_rules.Rules(known)
        self.errors = []
        self.warnings = []
        self.given = {}
        self.values = {}
        self.failed = set()

    def run(self, task_vars, templar, environ, config_file):
        self.read_and_check(task_vars, templar, environ, config_file)
        self.derive_paths(self.values)
        self.check_together()
        if self.errors:
            raise SettingsError(self.errors)
        return Settings(
            values=self.values,
            sources=self.sources(),
            notice=self.notice(config_file),
            warnings=list(dict.fromkeys([*self.warnings, *self.rules.warnings])),
            secret=frozenset(name for name, option in self.spec.items() if option.get("no_log")),
        )

    def draft(self, task_vars, templar, environ, config_file):
        self.read_and_check(task_vars, templar, environ, config_file)
        values = {**self.values, **{name: plain(self.spec[name]["default"]) for name in self.failed}}
        sources = {**self.sources(), **dict.fromkeys(self.failed, DEFAULT)}
        return Draft(vpn_rules.normalized(values), sources, list(dict.fromkeys(self.errors)))

    def check_one(self, name, value, others):
        self.values = {each: others.get(each, plain(option["default"])) for each, option in self.spec.items()}
        self.given[name] = Given(value, INVENTORY, "")
        self.take(name, value)
        self.check_each()
        self.derive_paths(self.values)
        self.check_together()
        begin = f"{name}: "
        errors, warnings = (
            [sentence[len(begin) :] for sentence in dict.fromkeys(sentences) if sentence.startswith(begin)]
            for sentences in (self.errors, [*self.warnings, *self.rules.warnings])
        )
        return self.values[name], errors, warnings

    def read_and_check(self, task_vars, templar, environ, config_file):
        self.read_controller(environ, config_file)
        self.unknown_names(task_vars)
        self.read_inventory(task_vars, templar)
        self.check_each()

    def sources(self):
        return {name: self.given[name].source if name in self.given else DEFAULT for name in self.spec}

    def error(self, name, text):
        where = f" ({self.given[name].where})" if name in self.given and self.given[name].where else ""
        self.errors.append(f"{name}{where}: {text}")
        self.failed.add(name)

    # -- reading -----------------------------------------------------------------------------------------------------

    def read_controller(self, environ, config_file):
        """Defaults, config.yml, environment: plain values, never templated."""
        for name, option in self.spec.items():
            self.values[name] = plain(option["default"])
        for given, errors, warnings in (
            setting_sources.read_config_file(config_file, self.spec),
            setting_sources.read_environment(environ, self.spec),
        ):
            self.given.update(given)
            self.errors += errors
            self.warnings += warnings
        for name in self.given:
            self.take(name, self.given[name].value)
        off = PREFIX + "vpn_enabled"
        if off in self.given and self.values[off] is False:
            self.error(
                off,
                "false counts only from the inventory (or -e), so that no stray variable exposes you. Set it there.",
            )

    def take(self, name, value):
        """Cast one value and keep it."""
        encrypted = text_rules.still_encrypted(value)
        if encrypted:
            self.error(name, encrypted)
            return
        try:
            self.values[name] = cast(value, self.spec[name])
        except CastError as error:
            self.error(name, f"{error}.")

    def unknown_names(self, task_vars):
        """Names below the prefix that are no settings: near misses are errors, others warnings."""
        short = {name[len(PREFIX) :]: name for name in self.spec}
        for name in task_vars:
            if not isinstance(name, str) or not name.startswith(PREFIX) or name in self.spec:
                continue
            if setting_sources.is_not_a_setting(name):
                continue
            word = name[len(PREFIX) :]
            near = _SYNONYMS.get(word) or near_miss(word.lower(), short)
            where = origin(task_vars[name])
            subject = f"{name} ({where})" if where else name
            if near:
                self.errors.append(f"{subject}: no such setting. Did you mean {PREFIX}{near}?")
            else:
                like = closest(word, short)
                advice = f"Did you mean {PREFIX}{like}?" if like else setting_sources.SEE
                self.warnings.append(
                    f"{subject}: no such setting, it has no effect. {advice} Names of your own: mediastack_x_*."
                )

    def read_inventory(self, task_vars, templar):
        """The inventory's values, templated once, with all other settings at hand."""
        names = [name for name in self.spec if name in task_vars]
        base = PREFIX + "base_path"
        # The base path first: every other value may refer to it and to the paths that derive from it.
        for group in ([base] if base in names else [], [name for name in names if name != base]):
            template = self.templating(task_vars, templar) if group else None
            for name in group:
                self.given[name] = Given(task_vars[name], INVENTORY, origin(task_vars[name]))
                self.failed.discard(name)
                try:
                    value = plain(template(task_vars[name]))
                    odd = misread(task_vars[name], *self.numbers(name))
                except Exception as error:  # the user's lookups and filters may raise anything
                    self.error(name, f"cannot be read: {self.reason(name, error)}")
                else:
                    self.take(name, value)
                    for place, written, number in [] if name in self.failed else odd:
                        self.error(name, self.otherwise(name, place, written, number))

    def numbers(self, name):
        """Where numbers are meant in a setting, as `misread` asks for it; elsewhere each is refused for what it is."""
        if name == PREFIX + "overrides":
            return False, override_rules.EXACT
        return self.spec[name]["type"] == "int" or name in (PREFIX + "ports", PREFIX + "env"), ()

    def otherwise(self, name, place, written, number):
        """The sentence about a number that YAML reads otherwise than it is written."""
        begin = f"{place}: " if place else ""
        if self.spec[name].get("no_log"):
            return f"{begin}the value (not shown) is another number to YAML, as 0755 is 493. Quote it."
        return f"{begin}{written} is the number {number} to YAML. Write what is meant, or quote it."

    def templating(self, task_vars, templar):
        """A function that templates one value, with the host's variables and all settings so far."""
        if templar is None:
            return lambda value: value
        others = dict(self.values)
        self.derive_paths(others)
        variables = {name: protect(other) for name, other in others.items()}
        variables.update(task_vars)
        return templar.copy_with_new_env(available_variables=variables).template

    def reason(self, name, error):
        """Why templating failed; of a secret only which variable is missing, for the text may hold the secret."""
        text = " ".join(str(error).split())
        undefined = _UNDEFINED.search(text)
        if undefined:
            return f"{undefined.group()}."
        return f"{type(error).__name__}." if self.spec[name].get("no_log") else text

    # -- checking ----------------------------------------------------------------------------------------------------

    def check_each(self):
        """The rules of single settings. Defaults are right: a unit test sees to it."""
        for name, option in self.spec.items():
            if name in self.failed or name not in self.given:
                continue
            value = self.values[name]
            problems = text_rules.problems(name[len(PREFIX) :], option, value)
            if problems:
                pass
            elif option["type"] == "path":
                if value:
                    value = path_rules.check_directory(value, problems)
                elif option["default"]:
                    problems.append("nothing is given. Remove the line to have the default, or write a path.")
            elif option.get("elements") == "path":
                value = [path_rules.check_path(item, problems) for item in value]
            else:
                value = self.rules.check(name[len(PREFIX) :], value, problems)
            self.values[name] = value
            for problem in problems:
                self.error(name, problem)

    def derive_paths(self, values):
        """Give the paths below the base path that are not given themselves."""
        for short, directory in path_rules.BELOW_BASE.items():
            if not values[PREFIX + short]:
                values[PREFIX + short] = posixpath.join(values[PREFIX + "base_path"], directory)

    def check_together(self):
        """The rules between settings."""
        self.layout()
        self.port_numbers()
        self.ingress()
        self.sso()
        vpn = [name for name in self.spec if name.startswith(PREFIX + "vpn_")]
        if self.failed.isdisjoint(vpn):
            self.values = vpn_rules.normalized(self.values)
            if self.values[PREFIX + "vpn_enabled"]:
                errors, warnings = vpn_rules.check(self.values)
                for error in errors:
                    name, _colon, text = error.partition(": ")
                    self.error(name, text)
                self.warnings += warnings
                if self.values[PREFIX + "services"].get("gluetun") is False:
                    self.error(
                        PREFIX + "services",
                        "gluetun: false leaves no VPN. Set mediastack_vpn_enabled: false if that is meant.",
                    )

    def layout(self):
        names = ["base_path", *path_rules.BELOW_BASE]
        if self.failed.isdisjoint([PREFIX + short for short in (*names, "split_mounts")]):
            paths = {short: self.values[PREFIX + short] for short in names}
            for short, problem in path_rules.check_layout(paths, self.values[PREFIX + "split_mounts"]):
                self.error(PREFIX + short, problem)

    def ingress(self):
        names = ("domain", "tls", "tls_cert", "tls_key", "acme_email", "acme_provider", "acme_credentials", "ports")
        if self.failed.isdisjoint(PREFIX + name for name in names):
            errors, warnings = ingress_rules.check(self.values)
            for name, text in errors:
                self.error(name, text)
            self.warnings += [f"{name}: {text}" for name, text in warnings]

    def sso(self):
        if self.failed.isdisjoint((PREFIX + "sso_groups", PREFIX + "sso_users")):
            for name, text in sso_rules.check(self.values):
                self.error(name, text)

    def port_numbers(self):
        """Ports of the VPN settings that `mediastack_ports` gives away."""
        ports = PREFIX + "ports"
        own = PREFIX + ("vpn_control_port" if self.values[PREFIX + "vpn_enabled"] else "vpn_torrent_port")
        if not self.failed.isdisjoint((ports, own)):
            return
        for service, given in self.values[ports].items():
            for port in given.values() if isinstance(given, dict) else (given,):
                if port == self.values[own] and service not in ("gluetun", "qbittorrent"):
                    self.error(ports, f"{service}: {port} is {own} already. Choose another.")

    def notice(self, config_file):
        """One line that names what config.yml and the environment decide."""
        parts = []
        for source, title in (
            (setting_sources.CONFIG_FILE, f"from {config_file}"),
            (setting_sources.ENVIRONMENT, "from the environment"),
        ):
            names = [name for name in self.spec if name in self.given and self.given[name].source == source]
            if names:
                parts.append(f"{title}: {', '.join(names)}")
        return f"Settings {'; '.join(parts)}" if parts else ""
