# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One leak test of a stack, from the first look to the last row; what is seen is judged in `leak_judge.py`."""

from __future__ import annotations

import contextlib
import re
import urllib.parse
from typing import NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    engine_state,
    holds,
    leak_around,
    leak_exec,
    leak_judge,
    leak_kill_switch,
    leak_probe,
    leak_space,
    netns,
    stack,
    stack_holds,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import GluetunError
from ansible_collections.homelab.mediastack.plugins.module_utils.leak_count import Count
from ansible_collections.homelab.mediastack.plugins.module_utils.leak_judge import FAILED, INCONCLUSIVE, PASSED, Verdict
from ansible_collections.homelab.mediastack.plugins.module_utils.leak_space import SpaceError
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import RunLock
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Request
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_started import Started
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_tunnel import SERVICE, VpnError

NAME = "cloudflare.com"
"""Resolved where the IP echo is an address: gluetun's own health check asks for it too."""
ALIVE = ("running", "paused")
"""States of a container that has a network to look at: one that is paused goes on where it was."""
LAB_LABEL = "mediastack.lab"
STAND_IN = "gluetun is a stand-in with gluetun's rules here: this says nothing about the real one"


class Test(NamedTuple):
    """What is asked for, besides a `vpn_verbs.Ask`; see the documentation of the module."""

    echo: str
    tracker: str = ""
    public_dns: Sequence[str] = ()
    resolvers: Sequence[str] = ()
    kill_switch: bool = False
    capture: float = 0
    stop_leaking: bool = False
    show_host_ip: bool = False
    timeout: float = 5


class App:
    """One contained app, and what was seen of it."""

    def __init__(self, name, container):
        self.name, self.container = name, container
        self.space = self.seen = None
        #: Whether it ended while it was looked at.
        self.fell_over = False
        self.resolvers = []
        self.trouble = None
        self.verdicts = []

    def inconclusive(self, checks, why):
        """None of `checks` could be made."""
        self.verdicts += [Verdict(check, INCONCLUSIVE, why) for check in checks]


class LeakTest(Started):
    """One run. It looks; only `kill_switch` and `stop_leaking` change anything."""

    def __init__(self, ask, test, docker):
        """`ask`: a vpn_verbs.Ask, `test`: a Test."""
        super().__init__(ask, docker)
        self.test = test
        self.apps = []
        self.host = None
        self.why_no_host = ""
        self.subnets = []
        self.echo = leak_probe.Echo(test.echo)
        self.name = NAME if self.echo.is_address else self.echo.host

    # Results

    def result(self):
        """The result of the module, as far as the run came."""
        rows = [
            {"app": app.name, "check": v.check, "state": v.state, "evidence": self.masked(v.evidence), "leak": v.leak}
            for app in self.apps
            for v in app.verdicts
        ]
        found = {
            "changed": self.changed,
            "passed": bool(rows) and all(row["state"] == PASSED for row in rows),
            "checks": rows,
            "leaking": self.leaking(),
            "actions": self.actions,
            "messages": [self.masked(message) for message in self.messages],
        }
        if self.test.show_host_ip:
            found["host_ip"] = self.host
        return found

    def masked(self, text):
        """`text` without the host's own address, unless it was asked for."""
        if not self.host or self.test.show_host_ip:
            return text
        return re.sub(r"(?<![\w.:])%s(?!\w|[.:]\w)" % re.escape(self.host), "(the host's own address)", text)

    def leaking(self):
        """Names of the apps that a packet got out of."""
        return [app.name for app in self.apps if any(v.state == FAILED and v.leak for v in app.verdicts)]

    # The run

    def run(self):
        """Look, try, judge. VpnError, GluetunError, DockerError, LockError, FileError when it cannot be done at all."""
        with self._lock():
            self.tunnel.look()
            if self.ask.check:
                self._describe()
                return
            self._find_apps()
            self._look_from_host()
            count = Count(self.docker, self.tunnel, self.test.capture)
            try:
                if self.test.capture:
                    count.begin(self.apps)
                self._look_inside()
                self._look_again()
                for app in self.apps:
                    self._judge(app)
                if self.test.kill_switch:
                    self._try_kill_switch()
                if self.test.capture:
                    count.wait(self.ask.progress.say)
                    ports = [port for app in self.apps if app.seen for port in app.seen["own_ports"]]
                    for app in self.apps:
                        app.verdicts.append(count.judge(app, self.subnets, ports))
            finally:
                count.close()
        leaking = self.leaking()
        if leaking and self.test.stop_leaking:
            self._stop(leaking)

    def _lock(self):
        # Others that only look may do so meanwhile, but not while the VPN is down.
        lock = RunLock(
            self.ask.project_path,
            "leak_test",
            self.ask.lock_timeout,
            shared=self.ask.check or not self.test.kill_switch,
            sleep=self._wait_for_other,
        )
        if not lock.possible:
            raise VpnError("there is no stack at %s: run site, which makes it" % self.ask.project_path)
        return lock

    def _names(self):
        return sorted({*self.ask.members, *self.tunnel.behind()})

    def _describe(self):
        names = ", ".join(self._names()) or "nothing"
        self.actions.append("ask %s which address %s is seen at, and the host" % (self.echo.host, names))
        self.actions.append("look at network, routes, DNS and IPv6 from inside %s" % names)
        if self.test.kill_switch:
            self.actions.append("take the VPN down, try to get out in every way, bring it back")
        if self.test.capture:
            self.actions.append("count packets past the tunnel for %g s" % self.test.capture)
        if self.test.stop_leaking:
            self.actions.append("stop what leaks, and hold it stopped")

    def _find_apps(self):
        held = holds.read(self.ask.project_path)
        for name in self._names():
            containers = self.tunnel.project.of(name)
            running = [container for container in containers if container.status in ALIVE]
            if not running and held.get(name, {}).get("verb") == holds.STOP:
                self.messages.append("%s was not tested: it is %s" % (name, holds.since(held[name])))
                continue
            for container in running or containers[:1] or [None]:
                self.apps.append(App(name, container))
        if not self.apps:
            raise VpnError("there is nothing to test: no app behind the VPN runs. Run site, or start what is stopped")
        container = self.tunnel.container
        if container and container.labels.get(LAB_LABEL) == "true":
            self.messages.append(STAND_IN)

    def _look_from_host(self):
        self.ask.progress.say("asking %s and gluetun" % self.echo.host)
        if self.tunnel.runs:
            try:
                self.status = self.tunnel.read()
            except (GluetunError, VpnError) as error:
                self.messages.append(str(error))
        if not self._connected():
            self.messages.append("VPN not connected: %s" % self.tunnel.why_not(self.status))
        try:
            self.host = leak_space.in_child(_host_address, (self.test.echo, self.test.timeout), 20)
        except SpaceError as error:
            self.why_no_host = str(error)

    def _connected(self):
        return bool(self.status and self.tunnel.connected(self.status))

    @property
    def interface(self):
        """Name of the tunnel's interface."""
        return self.tunnel.environment.get("VPN_INTERFACE") or "tun0"

    # Inside

    def _look_inside(self):
        seen = {}
        self.subnets = leak_around.home_networks(self.tunnel.environment)
        six = [address for address in self.test.public_dns if ":" in address]
        for app in self.apps:
            if app.container is None or app.container.status not in ALIVE:
                state = "has no container" if app.container is None else "is %s" % app.container.status
                app.trouble = "it %s: run site, or stop it, which is remembered" % state
                continue
            self.ask.progress.say("looking from inside %s" % app.name)
            with contextlib.suppress(SpaceError):
                app.space = leak_space.of(app.container)
            try:
                app.resolvers = self._resolvers(app)
                asked = self._asked(app, six)
                key = (app.space.inode if app.space else None, app.container.parent_id, tuple(app.resolvers))
                if key not in seen:
                    seen[key] = self._look(app, asked)
                app.seen = seen[key]
            except (SpaceError, OSError) as error:
                app.trouble = str(error)

    def _look_again(self):
        """What was seen of an app that has ended meanwhile says nothing of the one that runs now."""
        ids = [app.container.id for app in self.apps if app.container is not None]
        now = {container.id: container for container in engine_state.inspect(self.docker, ids)}
        for app in self.apps:
            before = app.container
            after = now.get(before.id) if before is not None else None
            if before is None or before.status not in ALIVE:
                continue
            if after is None or (after.status, after.started_at) != (before.status, before.started_at):
                app.fell_over = True
                app.seen = app.space = None
                app.trouble = "it ended or was started anew while it was looked at: see what its log says"

    def _resolvers(self, app):
        if app.space is None:
            return leak_exec.nameservers(self.docker, app.container)
        return leak_space.nameservers(app.space.read("/etc/resolv.conf"))

    def _asked(self, app, six):
        own = app.container if app.container.networks else self.tunnel.container
        gateways = leak_around.gateways(own) if own else []
        given = [*self.test.resolvers, *leak_around.upstreams(self.tunnel.environment)]
        others = leak_around.foreign_resolvers(self.subnets, gateways, given)
        return {
            "echo": self.test.echo,
            "name": self.name,
            "resolvers": app.resolvers,
            "others": [server for server in others if server not in app.resolvers],
            "direct": list(self.test.public_dns),
            "tcp6": (six[0], 53) if six else None,
            "tunnel": self.interface,
            "timeout": self.test.timeout,
        }

    def _look(self, app, asked):
        if app.space:
            return app.space.run(leak_probe.look, asked, deadline=30 + self.test.timeout * 8)
        if self._record(app) is None and self.tunnel.runs:
            return leak_exec.look(self.docker, self.tunnel.container, asked)
        raise SpaceError("only root may look from inside it (become: true)")

    def _record(self, app):
        """What the engine's record says against it: None, or (action, why)."""
        if app.container.parent_id is None:
            if app.container.network_mode == "host":
                return None, "it is in the host's own network"
            return None, "it has a network of its own"
        if not self.tunnel.runs:
            return netns.RESTART, self.tunnel.why_not(None)
        return netns.verdict(app.container, SERVICE, self.tunnel.container)

    def _judge(self, app):
        if app.fell_over or app.container is None or app.container.status not in ALIVE:
            app.inconclusive(leak_judge.ALWAYS, app.trouble)
            return
        same = None
        if app.space and self.tunnel.runs:
            with contextlib.suppress(SpaceError):
                same = leak_space.of(self.tunnel.container).inode == app.space.inode
        interfaces = app.seen["interfaces"] if app.seen else None
        app.verdicts.append(leak_judge.namespace(self._record(app), same, interfaces))
        if app.seen is None:
            app.inconclusive(leak_judge.ALWAYS[1:], app.trouble)
            return
        gluetun = (self.status or {}).get("public_ip") if self._connected() else ""
        app.verdicts += [
            leak_judge.route(app.seen, self.interface, self.subnets),
            leak_judge.public_ip(app.seen, self.interface, gluetun, self.host, self.why_no_host),
            leak_judge.dns(app.seen, self.interface, self.subnets),
            leak_judge.ipv6(app.seen, self.interface),
            leak_judge.bypass(app.seen),
        ]

    # The kill switch

    def _try_kill_switch(self):
        apps = []
        for app in self.apps:
            if app.space and app.seen:
                apps.append(app)
            else:
                app.inconclusive([leak_judge.KILL_SWITCH], app.trouble or "only root may try it (become: true)")
        if not apps:
            return
        if not self.tunnel.kill_switch:
            words = "gluetun's firewall is switched off (mediastack_overrides): the VPN was not taken down"
            for app in apps:
                app.verdicts.append(Verdict(leak_judge.KILL_SWITCH, FAILED, words, False))
            return
        if not self._connected():
            for app in apps:
                app.inconclusive(
                    [leak_judge.KILL_SWITCH], "the VPN is not connected, so there was nothing to take down"
                )
            return
        spaces = {app.space.inode: app.space for app in apps}
        asked = {app.space.inode: self._ways(app) for app in apps}
        patience = 20 + 3 * self.test.timeout
        up = leak_kill_switch.inside(spaces, asked, patience)
        changed = self.changed
        down, stayed = leak_kill_switch.tried(self, lambda: leak_kill_switch.inside(spaces, asked, patience))
        self.changed = changed  # it is as it was
        for app in apps:
            before, after = up[app.space.inode], down[app.space.inode]
            if isinstance(before, str) or isinstance(after, str):
                app.inconclusive([leak_judge.KILL_SWITCH], before if isinstance(before, str) else after)
            else:
                app.verdicts.append(leak_judge.kill_switch(before, after, stayed))

    def _ways(self, app):
        """What is tried from inside an app; see `leak_probe.attempts`."""
        echo = app.seen["echo"]
        six = [address for address in self.test.public_dns if ":" in address]
        tracker = None
        parts = urllib.parse.urlsplit(self.test.tracker)
        if parts.hostname and parts.port:
            with contextlib.suppress(SpaceError):
                found = app.space.run(
                    leak_probe.addresses_of, parts.hostname, app.resolvers, self.test.timeout, deadline=30
                )
                tracker = (found[0], parts.port) if found else None
        return {
            "tcp4": (echo["at"], echo["port"]) if echo["at"] else None,
            "tcp6": (echo["at6"], echo["port"]) if echo["at6"] else (six[0], 53) if six else None,
            "udp": tracker,
            "resolvers": app.resolvers,
            "direct": [address for address in self.test.public_dns if ":" not in address],
            "name": self.name,
            "timeout": self.test.timeout,
        }

    # What leaks

    def _stop(self, names):
        self.ask.progress.say("stopping %s" % ", ".join(names))
        request = Request(
            state="stopped",
            project_path=self.ask.project_path,
            project_name=self.ask.project_name,
            services=names,
            remove_orphans=False,
            lock_timeout=int(self.ask.lock_timeout),
            holds=stack_holds.Ask("stop", self.ask.who, self.ask.why),
            progress=self.ask.progress,
        )
        result, error = stack.run(request, self.docker)
        self.actions += result["actions"]
        self.changed = self.changed or result["changed"]
        if error:
            raise VpnError("it leaks and could not be stopped: %s" % error)


def _host_address(url, timeout):
    try:
        return leak_probe.host_address(url, timeout)
    except leak_probe.EchoError as error:
        raise SpaceError(str(error)) from error


def sentence(result):
    """The result of a run in one sentence, for a failure."""
    bad = [row for row in result["checks"] if row["state"] != PASSED]
    words = "; ".join("%s %s %s: %s" % (row["app"], row["check"], row["state"], row["evidence"]) for row in bad)
    return "%d of %d checks passed. %s" % (len(result["checks"]) - len(bad), len(result["checks"]), words)
