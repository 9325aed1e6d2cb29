# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of a whole Compose project that `docker compose config -q` does not make, or makes only on the host."""

from __future__ import annotations

from . import interpolation, volumes
from .closest import closest
from .errors import did_you_mean
from .fragments import depends_on


def references(definition):
    """The top-level entries that a service uses: kind → names."""
    networks = definition.get("networks") or {}
    return {
        "volumes": volumes.named(definition),
        "secrets": _sources(definition.get("secrets")),
        "configs": _sources(definition.get("configs")),
        "networks": [str(name) for name in networks],
    }


def _sources(entries):
    return [str(entry.get("source")) if isinstance(entry, dict) else str(entry) for entry in entries or []]


def check(services, definitions, overrides, shared, own_networks):
    """The problems of the assembled services.

    Args:
        services: name → `catalogue.Service`.
        definitions: name → assembled definition.
        overrides: name → override.
        shared: kind → top-level entries of the service files.
        own_networks: networks that assembly defines itself.
    """
    problems, containers = [], {}
    for name, definition in definitions.items():
        where = services[name].path
        defined = {kind: set(entries) for kind, entries in shared.items()}
        defined["networks"].update(own_networks)
        defined["secrets"].update(services[name].meta.get("secret_files") or {})
        for kind, wanted in references(definition).items():
            for entry in wanted:
                if entry not in defined[kind]:
                    problems.append(
                        f"{where}: {name} uses {kind}.{entry}, which no service file defines"
                        f"{did_you_mean(entry, defined[kind])}"
                    )
        merged = {**definition, **overrides.get(name, {})}
        if merged.get("network_mode") and definition.get("networks"):
            problems.append(f"{where}: {name} has both network_mode and networks; Compose takes one of them")
        if "healthcheck" in definition and not isinstance(definition["healthcheck"], dict):
            problems.append(f"{where}: {name}: healthcheck must be a map")
        container = definition["container_name"]
        if containers.setdefault(container, name) != name:
            problems.append(f"{where}: {name} and {containers[container]} have the same container_name {container}")
        for text in interpolation.stray_dollars(merged):
            problems.append(
                f"{where}: {name}: a dollar sign that Compose cannot read in {text!r}; write $$ for a literal one"
            )
    return problems + cycles(definitions)


def cycles(definitions):
    """The problems of services that wait for each other."""
    done, problems = set(), []

    def visit(name, trail):
        if name in trail:
            circle = [*trail[trail.index(name) :], name]
            problems.append(f"depends_on goes in a circle: {' → '.join(circle)}")
            return
        if name in done or name not in definitions:
            return
        for need in depends_on(definitions[name]):
            visit(need, [*trail, name])
        done.add(name)

    for name in definitions:
        visit(name, [])
    return problems


def missing_variables(services, definitions, overrides, env_names):
    """`${NAME}` that nothing sets: Compose would only warn and put in nothing."""
    problems = []
    for name, definition in definitions.items():
        override = overrides.get(name, {})
        required, _optional = interpolation.variables([definition, override])
        by_user, _optional = interpolation.variables(override)
        for variable in sorted(required - set(env_names)):
            near = closest(variable, env_names)
            where = "mediastack_overrides" if variable in by_user else services[name].path
            problems.append(
                f"{where}: {name} uses ${{{variable}}}, which is not set; "
                + (f"did you mean ${{{near}}}?" if near else "add it to mediastack_env")
            )
    return problems
