# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogue: what there is to select, what is selected, and the selected service files rendered and checked."""

from __future__ import annotations

import copy
import dataclasses
import json
import re

from ansible import template as ansible_template
from ansible.errors import AnsibleError

from . import compose_yaml, service_files, service_meta
from .errors import RenderError, did_you_mean
from .fragments import inherit
from .ports import VPN_PARENT

ALWAYS = "always"
SHARED_KINDS = ("volumes", "secrets", "configs", "networks")
# After an even number of backslashes: an odd one makes the next a backslash itself.
_TWO_ESCAPES = re.compile(r"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})")
_FRAGMENT_KEYS = ("services", *SHARED_KINDS)


@dataclasses.dataclass(frozen=True)
class Names:
    """Every name that a setting may use.

    Attributes:
        apps: units of selection, in the catalogue's order.
        services: service → app.
        profiles: profile → apps (without `always`).
        replaces: legacy app name → the app that it selects now.
        ports: service → names of its ports.
        secrets: names of secrets that `mediastack_secrets` may give.
    """

    apps: tuple
    services: dict
    profiles: dict
    replaces: dict
    ports: dict
    secrets: frozenset


@dataclasses.dataclass(frozen=True)
class Selection:
    """`apps` in the catalogue's order, and what there is to say about them."""

    apps: tuple
    messages: tuple


@dataclasses.dataclass
class Service:
    """A rendered service: its Compose definition without `x-mediastack`, and that mapping as `meta`."""

    name: str
    app: str
    group: str
    path: str
    definition: dict
    meta: dict


@dataclasses.dataclass
class Catalogue:
    """The rendered services of the selected apps, and the top-level entries (`volumes`, …) that their files bring."""

    services: dict
    shared: dict
    messages: list


def names(user_dir=None, templates=service_files.TEMPLATES):
    """All names, read from the files without rendering them (a few milliseconds in all).

    Raises:
        RenderError: a file that cannot be read.
    """
    return names_of(service_files.scan(service_files.find(user_dir, templates)))


def names_of(facts):
    """The `Names` in `service_files.scan`'s result."""
    profiles, replaces = {}, {}
    for app, fact in facts.items():
        for profile in fact.profiles:
            if profile != ALWAYS:
                profiles.setdefault(profile, []).append(app)
        for legacy in fact.replaces:
            replaces.setdefault(legacy, app)
    return Names(
        apps=tuple(facts),
        services={service: app for app, fact in facts.items() for service in fact.services},
        profiles=profiles,
        replaces=replaces,
        ports={service: ports for fact in facts.values() for service, ports in fact.services.items()},
        secrets=frozenset(secret for fact in facts.values() for secret in fact.secrets),
    )


def select(facts, profiles, switches, vpn_enabled, also=()):
    """Decide which apps run.

    Args:
        facts: of every app.
        profiles: `mediastack_profiles`.
        switches: `mediastack_services`, app → bool.
        vpn_enabled: gluetun runs if and only if this is true.
        also: apps selected in any case (named on the command line).

    Raises:
        RenderError: unknown names, or an app that is switched off but needed.
    """
    known = names_of(facts)
    problems, messages = [], []
    for profile in profiles:
        if profile not in known.profiles and profile != ALWAYS:
            problems.append(f"mediastack_profiles: {profile!r} is no profile{did_you_mean(profile, known.profiles)}")
    chosen = {app for app, fact in facts.items() if ALWAYS in fact.profiles or set(fact.profiles) & set(profiles)}
    switches = dict(switches)
    for name in list(switches):
        if name in facts:
            continue
        if name in known.replaces:
            successor = known.replaces[name]
            switches.setdefault(successor, switches.pop(name))
            messages.append(f"mediastack_services.{name}: {name} is now {successor}; write {successor} instead")
        else:
            valid = [*facts, *known.replaces]
            problems.append(f"mediastack_services: {name!r} is no service{did_you_mean(name, valid)}")
    if problems:
        raise RenderError(problems)
    if VPN_PARENT in facts:
        if switches.get(VPN_PARENT, vpn_enabled) != vpn_enabled:
            raise RenderError(
                f"mediastack_services.{VPN_PARENT} is {str(switches[VPN_PARENT]).lower()}, but mediastack_vpn_enabled "
                "is "
                f"{str(vpn_enabled).lower()}: {VPN_PARENT} runs exactly when the VPN is on; set "
                "mediastack_vpn_enabled alone"
            )
        switches[VPN_PARENT] = vpn_enabled
    chosen |= {app for app, on in switches.items() if on} | set(also)
    chosen -= {app for app, on in switches.items() if not on and app not in also}
    queue = sorted(chosen)
    while queue:
        app = queue.pop()
        for need in facts[app].requires:
            if need not in facts:
                problems.append(f"{facts[app].path}: requires {need!r}, which is no service{did_you_mean(need, facts)}")
            elif switches.get(need) is False and need not in also:
                problems.append(f"{app} needs {need}, which mediastack_services switches off; switch {app} off too")
            elif need not in chosen:
                chosen.add(need)
                queue.append(need)
    if problems:
        raise RenderError(problems)
    return Selection(tuple(app for app in facts if app in chosen), tuple(messages))


def vpn_members(facts, apps, vpn_services, vpn_enabled):
    """The services of the selected *apps* that live in gluetun's network namespace.

    A name in *vpn_services* is a service, or an app and then all of its services. A service file that says `like` one
    of them is behind the VPN too: a second torrent client must not get out because its name is new.
    """
    if not vpn_enabled or VPN_PARENT not in apps:
        return ()
    members = []
    for app in apps:
        fact = facts[app]
        if app == VPN_PARENT:
            continue
        whole = app in vpn_services or fact.like in vpn_services
        like_names = {}
        if fact.like:
            base = facts[fact.like].services
            like_names = {service_files.renamed_service(name, fact.like, app): name for name in base}
        for service in fact.services:
            if whole or service in vpn_services or like_names.get(service) in vpn_services:
                members.append(service)
    return tuple(members)


def load(files, facts, selection, variables, templar):
    """Render and check the files of the selected apps.

    Args:
        files: `service_files.find`'s result.
        facts: `service_files.scan`'s result.
        selection: what to render.
        variables: what templates may use, without `mediastack_service`. Values that must never be templated again (from
            the environment, prompts, files) have to be marked as unsafe by the caller.
        templar: the action's.

    Raises:
        RenderError: every problem of every file.
    """
    services, shared, problems, messages = {}, {kind: {} for kind in SHARED_KINDS}, [], list(selection.messages)
    for app in selection.apps:
        file = files[app]
        try:
            document = _document(file, app, variables, templar)
            if facts[app].like:
                base = _document(files[facts[app].like], app, variables, templar)
                document = inherit(file, facts[app].like, base, document)
            found = _services_of(file, document)
        except RenderError as error:
            problems.extend(error.problems)
            continue
        for service in found:
            other = services.get(service.name)
            if other:
                problems.append(
                    f"{file.path}: the service {service.name} is in {other.path} too; give one another name"
                )
                continue
            services[service.name] = service
            if service.meta.get("legacy"):
                messages.append(f"{service.name} is legacy: {service.meta['legacy']}")
        for kind in SHARED_KINDS:
            for name, definition in (document.get(kind) or {}).items():
                if shared[kind].setdefault(name, definition) != definition:
                    problems.append(f"{file.path}: {kind}.{name} is defined differently in another service file")
    if problems:
        raise RenderError(problems)
    return Catalogue(services, shared, messages)


def _services_of(file, document):
    problems, found = [], []
    for name, definition in document["services"].items():
        definition = copy.deepcopy(definition)
        meta = definition.pop("x-mediastack", None) or {}
        wrong = service_meta.check(meta, definition) if isinstance(meta, dict) else ["x-mediastack must be a map"]
        if not definition.get("image"):
            wrong.append("image is missing: services run from a pinned image, they are not built on the host")
        problems += [f"{file.path}: {name}: {problem}" for problem in wrong]
        found.append(Service(str(name), file.app, file.group, file.path, definition, meta))
    if problems:
        raise RenderError(problems)
    return found


def _document(file, app, variables, templar):
    """The rendered and parsed file, as the file of *app*."""
    base = f"/{app}" if variables.get("mediastack_ingress_paths") else ""
    own = {"mediastack_service": app, "mediastack_url_base": base}
    text = render(file.path, file.text, {**variables, **own}, templar)
    try:
        document = compose_yaml.load(_joined(text))
    except compose_yaml.YamlError as error:
        number = str(error).partition(":")[0].removeprefix("line ")
        lines = text.splitlines()
        near = f" (near: {lines[int(number) - 1].strip()})" if number.isdigit() and int(number) <= len(lines) else ""
        raise RenderError(f"{file.path}: rendered, {error}{near}") from error
    if not isinstance(document, dict):
        raise RenderError(f"{file.path}: a service file is a Compose fragment with 'services:'")
    problems = [
        f"{file.path}: {key!r} cannot stand at the top of a service file{did_you_mean(key, _FRAGMENT_KEYS)}"
        for key in document
        if key not in _FRAGMENT_KEYS and not str(key).startswith("x-")
    ]
    for key in _FRAGMENT_KEYS:
        section = document.get(key)
        if section is not None and not isinstance(section, dict):
            problems.append(f"{file.path}: {key} must be a map")
    if not problems:
        for name, definition in (document.get("services") or {}).items():
            if not isinstance(definition, dict):
                problems.append(f"{file.path}: services.{name} must be a map")
    if problems:
        raise RenderError(problems)
    document["services"] = document.get("services") or {}
    return document


def _joined(text):
    """`to_json` writes a character beyond U+FFFF as two escapes, which JSON joins and YAML does not."""
    return _TWO_ESCAPES.sub(lambda match: match[1] + json.loads(f'"{match[2]}"'), text)


def render(path, text, variables, templar):
    """Render a template of ours or of the user's with Ansible's templar.

    Text from a file is not a template for ansible-core from 2.19 on unless it is marked so.

    Args:
        path: for messages.
        text: the template.
        variables: all that it may use.
        templar: the action's.

    Raises:
        RenderError: with the file and what Jinja says.
    """
    trust = getattr(ansible_template, "trust_as_template", None)
    worker = templar.copy_with_new_env(available_variables=variables)
    options = {"escape_backslashes": False, "overrides": {"trim_blocks": True, "lstrip_blocks": True}}
    if trust is None:
        # Before 2.19 a result that looks like a list or a map would be turned into one.
        options["convert_data"] = False
    try:
        result = worker.template(text if trust is None else trust(text), **options)
    except AnsibleError as error:
        raise RenderError(f"{path}: {' '.join(str(error).split())}") from error
    result = "".join(result) if isinstance(result, str) else str(result)
    for mark in ("{{", "{%"):
        if mark in result and not service_files.writes_literally(text, mark):
            line = result[: result.index(mark)].count("\n")
            raise RenderError(
                f"{path}: {mark!r} is left after rendering, near: {result.splitlines()[line].strip()}; a literal one "
                "goes "
                "into {% raw %} … {% endraw %}"
            )
    return result
