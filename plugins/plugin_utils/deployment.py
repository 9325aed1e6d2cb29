# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one run of the action deploy is about: from names to services and, where it renders, the bundle."""

from __future__ import annotations

import dataclasses

from . import catalogue, lock_file
from .errors import RenderError, did_you_mean


@dataclasses.dataclass
class Request:
    """What is asked for, and after `render_for` or `select_for` what follows from it.

    Attributes:
        verb, state: of the action.
        names: services or apps; profiles: names. Both empty: everything.
        services: the services to act on; empty: all.
        bundle: what to hand over, or None where nothing is rendered.
        looked_at: a bundle that is not handed over, for the services whose health is asked for.
        release: whether every hold on the host ends.
        retry: whether images that failed their gate count again.
        given: the verb's extra vars.
        messages: sentences for the user.
        held: services that are held started on the host, so that they are rendered too.
        extra: services of the bundle that the inventory does not select.
        unknown: those of `held` that no service file has.
    """

    verb: str
    state: str
    names: list
    profiles: list
    release: bool = False
    retry: bool = False
    given: dict = dataclasses.field(default_factory=dict)
    services: list = dataclasses.field(default_factory=list)
    bundle: dict | None = None
    looked_at: dict | None = None
    messages: list = dataclasses.field(default_factory=list)
    held: list = dataclasses.field(default_factory=list)
    extra: list = dataclasses.field(default_factory=list)
    unknown: list = dataclasses.field(default_factory=list)

    @property
    def words(self):
        """What was asked for, as on a command line: `stop service=sonarr`."""
        named = [("service", self.names), ("profiles", self.profiles)]
        return " ".join([self.verb, *(f"{name}={','.join(values)}" for name, values in named if values)])


def failure(error):
    """One readable text for everything that is wrong."""
    problems = list(getattr(error, "problems", None) or getattr(error, "errors", None) or [str(error)])
    if len(problems) == 1:
        return f"Nothing was touched: {problems[0]}"
    return "\n".join([f"Nothing was touched: {len(problems)} problems.", *(f"  - {problem}" for problem in problems)])


def _named(request, facts):
    """The apps and the services that the request names: `(apps, services)`, in the catalogue's order."""
    known = catalogue.names_of(facts)
    apps, services, problems = set(), set(), []
    for name in request.names:
        name = known.replaces.get(name, name) if name not in facts and name not in known.services else name
        if name in facts:
            apps.add(name)
            services.update(facts[name].services)
        elif name in known.services:
            apps.add(known.services[name])
            services.add(name)
        else:
            problems.append(f"{name!r} is no service{did_you_mean(name, [*facts, *known.services])}")
    for profile in request.profiles:
        if profile in known.profiles:
            apps.update(known.profiles[profile])
            services.update(service for app in known.profiles[profile] for service in facts[app].services)
        else:
            problems.append(f"{profile!r} is no profile{did_you_mean(profile, known.profiles)}")
    if problems:
        raise RenderError(problems)
    return [app for app in facts if app in apps], [service for service in known.services if service in services]


def select_for(request, renderer):
    """Fill in the services of a verb that renders nothing.

    Raises:
        RenderError: a name that nothing has.
    """
    _apps, request.services = _named(request, renderer.facts)


def render_for(request, renderer, values, task_vars, templar):
    """Fill in the bundle, and the services with all that they need.

    What is named or held but not selected by the inventory is selected for this run.

    Raises:
        RenderError: everything that is wrong.
    """
    apps, services = _named(request, renderer.facts)
    usual = renderer.select(values).apps
    extra = [app for app in apps if app not in usual]
    if catalogue.VPN_PARENT in extra:
        raise RenderError("gluetun runs exactly when the VPN is on; set mediastack_vpn_enabled: true to start it")
    known = catalogue.names_of(renderer.facts).services
    request.unknown = [name for name in request.held if name not in known]
    held = [known[name] for name in request.held if name in known and known[name] not in usual]
    selection = renderer.select(values, also=list(dict.fromkeys([*extra, *held])))
    request.bundle = renderer.bundle(values, task_vars, templar, selection)
    lock_file.for_bundle(task_vars.get("inventory_dir"), request.bundle["services"])
    request.extra = [name for name, service in request.bundle["services"].items() if service["app"] not in usual]
    request.messages = [
        f"{app} is not in the inventory: it is held started until you stop it; "
        f"to keep it for good, write mediastack_services: {{{app}: true}}"
        for app in extra
    ]
    if request.names or request.profiles:
        rendered = request.bundle["services"]
        request.services = _with_needs([name for name in services if name in rendered], rendered, renderer.facts)


def _with_needs(names, rendered, facts):
    """*names* and everything that they depend on, in the bundle's order."""
    found, queue = set(), list(names)
    while queue:
        name = queue.pop()
        if name in found or name not in rendered:
            continue
        found.add(name)
        queue += rendered[name]["depends_on"]
        if rendered[name]["network_parent"]:
            queue.append(rendered[name]["network_parent"])
        for app in facts[rendered[name]["app"]].requires:
            queue += facts[app].services
    return [name for name in rendered if name in found]
