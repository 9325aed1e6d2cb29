# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""At the end of a converge: qBittorrent listens on the port that gluetun forwards, or is told to, and asked again."""

from __future__ import annotations

import functools
import json
from typing import Mapping, NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    app_reads,
    forwarded_port,
    gluetun_client,
    health_address,
    health_sweep,
    probes,
)
from ansible_collections.homelab.mediastack.plugins.module_utils import app_reads_downloaders as downloaders
from ansible_collections.homelab.mediastack.plugins.module_utils.app_http import FORM, AppHttp
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker, DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import GluetunError, Server

GLUETUN = "gluetun"
CLIENT = "qbittorrent"
"""`wiring.kind` of the torrent client whose port is set."""


class Outcome(NamedTuple):
    """What was done, or with `check` would be (`actions`, `diff`), and what could not be found out (`messages`)."""

    actions: Sequence[str] = ()
    messages: Sequence[str] = ()
    diff: Sequence[Mapping] = ()


def bring_in_line(services, secrets, project_name, project_path, timeout, check=False):
    """The Outcome for every qBittorrent that lives in the network of a gluetun which is to have a port forwarded.

    Args:
        services: entries of the module stack_health, of gluetun and qBittorrent, with `app`.
        secrets: secret → spec, as in the bundle.
        timeout: seconds for all of it.
        check: only look.
    """
    try:
        snapshot = health_sweep.read_snapshot(Docker(), project_name, project_path)
    except DockerError as error:
        return Outcome(messages=["whether the forwarded port is used is not known: %s" % error])
    keys = app_reads.Keys(project_path, secrets)
    jobs, found = {}, {}
    for service in services:
        pair = _pair(service, services, snapshot)
        if pair:
            found[service["name"]] = []
            work = functools.partial(_align, service, pair, keys, check, found[service["name"]])
            jobs[service["name"]] = ("%s and gluetun" % service["name"], work)
    actions, messages, diff = [], [], []
    for name, outcome in probes.sweep(jobs, timeout).items():
        for action, section in found[name]:
            actions.append(action)
            diff.append(section)
        if outcome.verdict != probes.OK:
            messages.append("whether %s listens on the forwarded port is not known: %s" % (name, outcome.message))
    return Outcome(actions, messages, diff)


def _pair(service, services, snapshot):
    """(container, its gluetun, gluetun's entry of `services`) for a qBittorrent that is to listen on a forwarded port;
    else None.
    """
    container = snapshot.container(service) if service["app"]["kind"] == CLIENT else None
    holder = snapshot.parent(container) if container and container.status == "running" else None
    if holder is None or holder.status != "running" or not forwarded_port.is_asked_for(holder):
        return None
    for other in services:
        found = snapshot.container(other) if other["app"]["kind"] == GLUETUN else None
        if found and found.id == holder.id:
            return container, holder, other
    return None


def _align(service, pair, keys, check, done, attempt):
    """Body of a job of `probes.sweep`: adds to `done` an action and its section of the diff."""
    container, holder, gluetun = pair
    ports = _forwarded(gluetun, holder, keys, attempt)
    if not ports:
        # None yet: gluetun tells qBittorrent itself when it is given one.
        return
    access = app_reads.Access(service, container, keys, holder)
    http = AppHttp(attempt, _target(service, holder, "web"), access.refusal())
    cookie = downloaders.qbittorrent_login(access, http)
    interface = forwarded_port.interface_of(holder)
    before = downloaders.qbittorrent_preferences(access, http, cookie)
    change = forwarded_port.difference(ports, before, interface)
    if change:
        said = forwarded_port.sentence(ports, before, change)
        done.append(("set how %s listens: %s" % (service["name"], said), _section(service["name"], before, change)))
        if not check:
            _set(access, http, cookie, change)
            left = forwarded_port.difference(
                ports, downloaders.qbittorrent_preferences(access, http, cookie), interface
            )
            if left:
                raise probes.ProbeFailed("it does not take %s" % ", ".join(sorted(left)))
    downloaders.qbittorrent_logout(access, http, cookie)


def _section(name, before, change):
    """A section of the diff."""
    headline = "%s, settings" % name
    before, after = (
        "".join("%s: %s\n" % (key, json.dumps(values[key])) for key in sorted(change)) for values in (before, change)
    )
    return {"before_header": headline, "after_header": headline, "before": before, "after": after}


def _set(access, http, cookie, change):
    path = downloaders.qbittorrent_api(access) + "/app/setPreferences"
    # Since 5.2 it answers without a body.
    http.expect(http.call("POST", path, cookie, {"json": json.dumps(change)}, FORM), "POST", path, (200, 204))


def _forwarded(gluetun, holder, keys, attempt):
    """The ports that gluetun forwards. Raises ProbeFailed."""
    attempt.stage = "waiting for gluetun's control server"
    key = app_reads.Access(gluetun, holder, keys).key()
    url = "http://%s" % _target(gluetun, holder, gluetun["app"].get("port") or "control").netloc()
    try:
        ports = gluetun_client.read_ports(Server(url, key, timeout=attempt.remaining()))
    except GluetunError as error:
        raise probes.ProbeFailed(str(error)) from None
    if ports is None:
        raise probes.ProbeFailed("gluetun does not tell its forwarded ports to the stack's key", probes.INCONCLUSIVE)
    return ports


def _target(service, holder, port):
    try:
        return health_address.target_of(service, holder, port)
    except health_address.NoAddress as error:
        raise probes.ProbeFailed(str(error), probes.INCONCLUSIVE) from None
