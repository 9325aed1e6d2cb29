# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""At the end of a converge: the torrent client listens on the port that gluetun forwards, or is told to and asked."""

from __future__ import annotations

import functools
import json
from typing import Mapping, NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    app_reads,
    forwarded_port,
    forwarded_port_clients,
    gluetun_client,
    health_address,
    health_sweep,
    probes,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.app_http import AppHttp
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker, DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import GluetunError, Server

GLUETUN = "gluetun"


class Outcome(NamedTuple):
    """What was done, or with `check` would be (`actions`, `diff`), and what could not be found out (`messages`)."""

    actions: Sequence[str] = ()
    messages: Sequence[str] = ()
    diff: Sequence[Mapping] = ()


def bring_in_line(services, secrets, project_name, project_path, timeout, check=False):
    """The Outcome for the torrent client in the network of each gluetun which is to have a port forwarded.

    Args:
        services: entries of the module stack_health, of gluetun and torrent clients, with `app`.
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
    for service, container, gluetun, holder in _pairs(services, snapshot):
        name = service["name"]
        found[name] = []
        work = functools.partial(_align, service, container, gluetun, holder, keys, check, found[name])
        jobs[name] = ("%s and gluetun" % name, work)
    actions, messages, diff = [], [], []
    for name, outcome in probes.sweep(jobs, timeout).items():
        for action, section in found[name]:
            actions.append(action)
            diff.append(section)
        if outcome.verdict != probes.OK:
            messages.append("whether %s listens on the forwarded port is not known: %s" % (name, outcome.message))
    return Outcome(actions, messages, diff)


def _pairs(services, snapshot):
    """[(torrent client, its container, gluetun, gluetun's container)] where both run and a port is to be forwarded."""
    containers = {service["name"]: snapshot.container(service) for service in services}
    found = []
    for gluetun in services:
        holder = containers[gluetun["name"]]
        if gluetun["app"]["kind"] != GLUETUN or holder is None or holder.status != "running":
            continue
        if not forwarded_port.is_asked_for(holder):
            continue
        behind = {}
        for service in services:
            parent = snapshot.parent(containers[service["name"]]) if containers[service["name"]] else None
            if parent is not None and parent.id == holder.id:
                behind[service["name"]] = service
        name = forwarded_port.chosen([(service["app"]["kind"], each) for each, service in behind.items()])
        if name and containers[name].status == "running":
            found.append((behind[name], containers[name], gluetun, holder))
    return found


def _align(service, container, gluetun, holder, keys, check, done, attempt):
    """Body of a job of `probes.sweep`: adds to `done` an action and its section of the diff."""
    name, kind = service["name"], service["app"]["kind"]
    ports, running = _forwarded(gluetun, holder, keys, attempt)
    if not (ports or running):
        # gluetun tells qBittorrent itself when it is given a port.
        return
    access = app_reads.Access(service, container, keys, holder)
    http = AppHttp(attempt, _target(service, holder, service["app"].get("port") or "web"), access.refusal())
    client = forwarded_port_clients.CLIENTS[kind](access, http)
    interface = forwarded_port.interface_of(holder)
    before = client.read()
    change = forwarded_port.difference(kind, ports, before, interface)
    if change:
        said = forwarded_port.sentence(kind, ports, before, change)
        done.append(("set how %s listens: %s" % (name, said), _section(name, before, change)))
        if not check:
            client.tell(change)
            left = forwarded_port.difference(kind, ports, client.read(), interface)
            if left:
                raise probes.ProbeFailed("it does not take %s" % ", ".join(sorted(left)))
    client.close()


def _section(name, before, change):
    """A section of the diff."""
    headline = "%s, settings" % name
    before, after = (
        "".join("%s: %s\n" % (key, json.dumps(values[key])) for key in sorted(change)) for values in (before, change)
    )
    return {"before_header": headline, "after_header": headline, "before": before, "after": after}


def _forwarded(gluetun, holder, keys, attempt):
    """The ports that gluetun forwards, and whether its VPN runs, which is asked only when there are none.

    Raises ProbeFailed.
    """
    attempt.stage = "waiting for gluetun's control server"
    key = app_reads.Access(gluetun, holder, keys).key()
    url = "http://%s" % _target(gluetun, holder, gluetun["app"].get("port") or "control").netloc()
    server = Server(url, key, timeout=attempt.remaining())
    try:
        ports = gluetun_client.read_ports(server)
        running = True
        if ports == []:
            answer = server.get(gluetun_client.STATUS)
            running = answer.status == 200 and answer.json().get("status") == "running"
    except GluetunError as error:
        raise probes.ProbeFailed(str(error)) from None
    if ports is None:
        raise probes.ProbeFailed("gluetun does not tell its forwarded ports to the stack's key", probes.INCONCLUSIVE)
    return ports, running


def _target(service, holder, port):
    try:
        return health_address.target_of(service, holder, port)
    except health_address.NoAddress as error:
        raise probes.ProbeFailed(str(error), probes.INCONCLUSIVE) from None
