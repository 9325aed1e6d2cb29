# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One look at what of a stack is reached from the network: listen, visit, judge. Changes nothing of the host.

For a moment there is a network namespace with a pair of interfaces, see `neighbour.py`.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    bind_address,
    engine_state,
    exposure_firewall,
    exposure_judge,
    exposure_listen,
    exposure_probe,
    exposure_routes,
    holds,
    leak_space,
    neighbour,
    preflight_ports,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.exposure_judge import (
    FAILED,
    INCONCLUSIVE,
    NONE,
    PASSED,
    UNKNOWN,
    Verdict,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.leak_space import SpaceError

NETWORK, HOST, NOBODY = "network", "this host", "nobody"
"""Who reaches a listener; UNKNOWN where that was not seen."""
GRACE = 5
"""Seconds that a child has beyond its own deadline before it is ended."""
NOT_TRIED = Verdict(INCONCLUSIVE, UNKNOWN, "not tried")
LAYER2 = (
    "machines in the same network segment that set a route of their own reach what is published on 127.0.0.1 here: %s. "
    "Engines before 28 let them (https://docs.docker.com/engine/network/port-publishing/); this one is %s"
)


class Ask(NamedTuple):
    """What is asked for; see the documentation of the module."""

    services: Sequence[dict]
    project_name: str
    project_path: str
    timeout: float = 10
    allow_open: bool = False


class Row:
    """A listener, or a service without one, and what came of it."""

    def __init__(self, listener, verdict=NOT_TRIED, reached=UNKNOWN, service=""):
        self.listener, self.verdict, self.reached = listener, verdict, reached
        self.service = listener.service if listener else service

    def result(self):
        """As the module returns it."""
        listener, verdict = self.listener, self.verdict
        found = {"service": self.service, "name": "", "protocol": "", "address": "", "port": None, "kernel": None}
        if listener:
            found.update({key: getattr(listener, key) for key in ("name", "protocol", "address", "port", "kernel")})
        return {**found, "reached": self.reached, **verdict._asdict()}


class Exposure:
    """One look."""

    def __init__(self, ask, docker):
        """`ask`: an Ask; `docker`: a docker_cli.Docker."""
        self.ask, self.docker = ask, docker
        self.rows, self.messages = [], []
        #: Rows of what the reverse proxy serves, which come last.
        self.routes = []
        self._services = {service["name"]: service for service in ask.services}
        self._sockets, self._project, self._held = [], None, {}

    def run(self):
        """Fill `rows` and `messages`. DockerError, FileError when it cannot be done at all."""
        project = engine_state.read_project(self.docker, self.ask.project_name, self.ask.project_path)
        self._project, self._held = project, holds.read(self.ask.project_path)
        elsewhere = _elsewhere(project)
        self._sockets = [] if elsewhere else preflight_ports.listening()
        found = exposure_listen.listeners(project, self.ask.services, None if elsewhere else "/proc")
        self.rows = [Row(listener) for listener in found]
        if elsewhere:
            self._not_seen(elsewhere)
        else:
            self._visit()
        self._absent()
        self.rows += self.routes
        if not self.rows:
            why = "no container of this project publishes a port on this host: run site first"
            self.rows.append(Row(None, Verdict(INCONCLUSIVE, UNKNOWN, why), service="(host)"))
        public = [
            row
            for row in self.rows
            if row.listener and row not in self.routes and not exposure_listen.is_loopback(row.listener.address)
        ]
        if not elsewhere:
            names = sorted({"%s %s" % (row.service, row.listener.place()) for row in public if not row.listener.hosts})
            told = exposure_firewall.warning(exposure_firewall.found() if names else [], names)
            self.messages += [told] if told else []

    def result(self):
        """The result of the module."""
        rows = [row.result() for row in self.rows]
        return {
            "changed": False,
            "passed": bool(rows) and all(row["state"] == PASSED for row in rows),
            "ports": rows,
            "open": sorted({row["service"] for row in rows if row["open"]}),
            "messages": self.messages,
            "diff": {"before": "", "after": ""},
        }

    # The visit

    def _visit(self):
        seen, closed, why = {}, {}, None
        try:
            with neighbour.neighbour() as near:
                seen, closed = self._from(near)
                self._past_loopback(near)
        except SpaceError as error:
            why = str(error)
        from_host = self._from_host([row for row in self._public() if not seen.get(row, {}).get("reached")])
        for row in self.rows:
            if row in closed:
                row.reached = NETWORK if closed[row] else HOST
                row.verdict = exposure_judge.loopback_only(closed[row])
            elif exposure_listen.is_loopback(row.listener.address):
                row.reached = HOST
                row.verdict = self._unreached(row, why)
            else:
                self._judge(row, seen.get(row), from_host.get(row), why)

    def _public(self):
        return [row for row in self.rows if not exposure_listen.is_loopback(row.listener.address)]

    def _from(self, near):
        """What a neighbour sees: ({row: seen} of the public ones, {row: reached} of the others)."""
        public, places = [], []
        for row in self._public():
            address = _address_for(row.listener.address, near)
            if address and row.listener.protocol == "tcp":
                public.append(row)
                places.append(self._place(row, address))
        shut, tries = [], []
        lan = bind_address.default_address() or near.host4
        for row in self.rows:
            if row not in public and self._may_try(row):
                shut.append(row)
                tries.append({"address": lan, "port": row.listener.port, "requests": []})
        routes = exposure_routes.places(self.ask.services, public, places)
        timeout = self.ask.timeout
        asked = places + tries + [place for _row, place in routes]
        seen = near.run(exposure_probe.look, asked, timeout, deadline=timeout + GRACE)
        self._judge_routes(routes, seen[len(places) + len(tries) :])
        return (
            dict(zip(public, seen)),
            {row: one["reached"] for row, one in zip(shut, seen[len(places) :])},
        )

    def _judge_routes(self, routes, seen):
        """A row for each UI that the reverse proxy serves by its name."""
        for (row, place), one in zip(routes, seen):
            if exposure_routes.is_route(one):
                service = place["service"]
                listener = row.listener._replace(service=service["name"], name=exposure_judge.WEB)
                verdict = exposure_judge.judge(listener, service, one, self.ask.allow_open)
                if verdict.state == FAILED:
                    verdict = verdict._replace(remedy=exposure_routes.REMEDY)
                elif verdict.state == INCONCLUSIVE and not self._runs(service["name"]):
                    # The proxy's page says that nobody answers.
                    verdict = self._down(service["name"])
                self.routes.append(Row(listener._replace(name=place["host"] + service["front"]), verdict, NETWORK))

    def _place(self, row, address):
        requests = exposure_judge.requests_of(self._services.get(row.service))
        return {"address": address, "port": row.listener.port, "requests": requests}

    def _may_try(self, row):
        """Whether a loopback listener's port, tried on the host's own address, could only be its own."""
        listener = row.listener
        if listener.protocol != "tcp" or not exposure_listen.is_loopback(listener.address):
            return False
        beside = any(row.listener.port == listener.port for row in self._public())
        return not beside and not exposure_listen.others_on(self._sockets, listener.port)

    def _from_host(self, rows):
        """What the host itself sees where the network was not let in: {row: seen}."""
        rows = [row for row in rows if row.listener.protocol == "tcp"]
        places = []
        for row in rows:
            address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(row.listener.address, row.listener.address)  # nosec B104 # compared, not listened on
            places.append(self._place(row, address))
        return dict(zip(rows, exposure_probe.look(places, self.ask.timeout))) if rows else {}

    def _past_loopback(self, near):
        """Tell of what is published on 127.0.0.1 and reached nevertheless by a route of the neighbour's own."""
        rows = [
            row
            for row in self.rows
            if row.listener.protocol == "tcp" and row.listener.address == "127.0.0.1" and not row.listener.hosts
        ]
        ports = sorted({row.listener.port for row in rows})
        if not ports:
            return
        # Most are silent, which takes all of the time.
        patience = min(2.0, self.ask.timeout)
        with contextlib.suppress(SpaceError):
            reached = near.run(
                exposure_probe.past_loopback, near.host4, neighbour.INSIDE, ports, patience, deadline=patience + GRACE
            )
            names = ["%s %d" % (row.service, row.listener.port) for row in rows if row.listener.port in (reached or [])]
            if names:
                self.messages.append(LAYER2 % (", ".join(names), self._version()))

    def _version(self):
        return self.docker.run("version", "--format", "{{.Server.Version}}", check=False).out.strip() or "unknown"

    # The judgement

    def _judge(self, row, seen, from_host, why):
        service = self._services.get(row.service)
        if row.listener.protocol != "tcp":
            row.verdict = exposure_judge.judge(row.listener, service, {"answers": []}, self.ask.allow_open)
            return
        if seen and seen["reached"]:
            row.reached = NETWORK
            row.verdict = exposure_judge.judge(row.listener, service, seen, self.ask.allow_open)
            if row.verdict.state == INCONCLUSIVE and exposure_routes.is_front(row, service, seen):
                row.verdict = Verdict(PASSED, NONE, "only its routes, which are asked by their names")
            elif row.verdict.state == INCONCLUSIVE and not self._runs(row.service):
                # What another container has published for it: docker-proxy accepts whatever comes.
                row.verdict = self._down(row.service)
            return
        reason = why or (
            "IPv6 is off here" if seen is None else "a neighbour's connection ended with %s" % seen["reason"]
        )
        if from_host and from_host["reached"]:
            row.reached = UNKNOWN if why else HOST
            judged = exposure_judge.judge(row.listener, service, from_host, self.ask.allow_open)
            words = "%s; asked from the host itself, for from the network it was not reached: %s" % (
                judged.evidence,
                reason,
            )
            # A firewall that lets some in may close itself to the neighbour: what is open stays open.
            state = INCONCLUSIVE if why and judged.state == PASSED else judged.state
            row.verdict = judged._replace(state=state, evidence=words)
            return
        row.reached = NOBODY
        if not self._runs(row.service):
            row.verdict = self._down(row.service)
            return
        words = "nobody answers, not even to the host itself"
        remedy = "run this again when status says that it is well"
        row.verdict = Verdict(INCONCLUSIVE, UNKNOWN, words, remedy=remedy)

    @staticmethod
    def _unreached(row, why):
        """A loopback listener that was not tried from the network."""
        if why:
            return Verdict(INCONCLUSIVE, NONE, "published for this host only; not tried from the network: %s" % why)
        return Verdict(PASSED, NONE, "published for this host only")

    def _not_seen(self, why):
        for row in self.rows:
            row.verdict = Verdict(INCONCLUSIVE, UNKNOWN, "not tried: %s" % why)

    def _absent(self):
        """Rows for services that should listen and do not run."""
        shown = {row.service for row in self.rows}
        for name, service in self._services.items():
            if name in shown or not service.get("ports"):
                continue
            if self._runs(name):
                why = "it runs, but none of its ports is published: run site"
                self.rows.append(Row(None, Verdict(INCONCLUSIVE, UNKNOWN, why), NOBODY, name))
            else:
                self.rows.append(Row(None, self._down(name), NOBODY, name))

    def _runs(self, name):
        return any(one.status in exposure_listen.RUNNING for one in self._project.of(name))

    def _is_held(self, name):
        return self._held.get(name, {}).get("verb") == holds.STOP

    def _down(self, name):
        """The Verdict on a service that does not run: nothing of it is open, and nothing is known of its login."""
        if self._is_held(name):
            return Verdict(PASSED, NONE, "nobody listens: it is %s" % holds.since(self._held[name]))
        return Verdict(INCONCLUSIVE, UNKNOWN, "it does not run, so whether it asks for a login was not seen: run site")


def _elsewhere(project):
    """Why the engine's processes are not this host's to see; None where they are, or none runs."""
    running = [one for one in project.containers if one.status in exposure_listen.RUNNING]
    if not running or os.geteuid() != 0:
        return None
    try:
        leak_space.of(running[0])
    except SpaceError as error:
        return str(error)
    return None


def _address_for(address, near):
    """Where a neighbour knocks for what is bound to `address`; None where there is no such way."""
    if address == "0.0.0.0":  # nosec B104 # compared, not listened on
        return bind_address.default_address() or near.host4
    return near.host6 if address == "::" else address
