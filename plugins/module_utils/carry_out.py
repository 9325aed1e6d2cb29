# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carrying out a Plan, parents before dependents on the way up and after them on the way down."""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils import compose_cli
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import (
    CREATE,
    NONE,
    RECREATE,
    RESTART,
    START,
    STOP,
    Decision,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import (
    DockerError,
    EngineMissing,
    EngineRefused,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.gate import SETTLED
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import SILENT, names
from ansible_collections.homelab.mediastack.plugins.module_utils.wanted import layers

# Creating containers on a slow NAS, and on top of it what the old ones take for stopping.
UP_DEADLINE = 300
STOP_SLACK = 60
DEFAULT_STOP_SECONDS = 10


class Carrier:
    """Carries out plans in one project."""

    def __init__(self, docker, compose, gate, deadline, timeout=None, progress=SILENT):
        """`compose()` gives the ComposeProject as it is then; `gate`: a Gate.

        `deadline`: of the whole run, monotonic seconds; `timeout`: what a container gets for stopping; None: its own;
        `progress`: told what is done.
        """
        self._docker = docker
        self._compose = compose
        self._gate = gate
        self._deadline = deadline
        self._timeout = timeout
        self._progress = progress
        self._parents, self._pins = {}, {}
        #: service → what went wrong with it.
        self.failures = {}
        self._stopped = set()
        #: Services that were not brought up, because of what failed before them.
        self.skipped = []

    def carry_out(self, plan, project, needs, parents, pins=None, while_stopped=None, edited=()):
        """Do what `plan` says to `project` (as it was read).

        `needs`: service → {service: condition}; `parents`: service → service whose network it shares; `pins`: service
        → (image id, image it stands for); `while_stopped()` is called when everything that must be down is down, the
        services `edited` among it. What goes wrong with single services is in `failures`.
        """
        self._parents, self._pins = parents, pins or {}
        self._clear(plan, needs)
        self._take_down(plan, project, needs, edited)
        if while_stopped:
            self._while_stopped(while_stopped, needs)
        acting = plan.acting(START, RESTART, CREATE, RECREATE)
        awaited = {other for service in acting for other in needs.get(service) or {}}
        for layer in layers(acting, needs):
            permitted = self._permitted(layer, needs)
            # The engine starts what comes in one call in any order; what others wait for is not to be the last of
            # twenty: a database that is ready later makes the whole start so much longer.
            self._bring_up([name for name in permitted if name in awaited], plan)
            self._bring_up([name for name in permitted if name not in awaited], plan)

    def _while_stopped(self, work, needs):
        try:
            work()
        except Exception:
            # It could not be done (a full disk, say): what was stopped for it runs again, as it was.
            for layer in layers(self._stopped, needs):
                self._start(layer)
            raise

    # Down

    def _clear(self, plan, needs):
        self._stop([container for container in plan.clear if container.active], {})
        self._remove(plan.clear)
        for identifier, _name in plan.drop_networks:
            self._docker.run("network", "rm", identifier)
        self._stop([container for container in plan.remove if container.active], needs)
        self._remove(plan.remove)
        for container, name in plan.rename:
            self._docker.run("rename", container.id, name)

    def _take_down(self, plan, project, needs, edited):
        going = {container.id for container in list(plan.clear) + list(plan.remove)}

        def must_stop(container):
            action = plan.decisions.get(container.service, Decision(NONE)).action
            # A dependent stops before its parent is made or replaced: no contained app ever runs without its container,
            # nor goes on by a network of its own until the parent is well.
            contained = container.parent_id or self._parents.get(container.service)
            return (
                container.active
                and container.id not in going
                and (action in (STOP, RESTART) or (action == RECREATE and (contained or container.service in edited)))
            )

        stopping = [container for container in project.containers if must_stop(container)]
        self._stopped = {container.service for container in stopping}
        self._stop(stopping, needs)

    def _stop(self, containers, needs):
        """Stop containers, those first that need the others."""
        frozen = [container.id for container in containers if container.status == "paused"]
        if frozen:
            self._tolerant("unpause", *frozen)
        for layer in reversed(layers({container.service for container in containers}, needs)):
            batch = [container for container in containers if container.service in layer]
            self._progress.say("stopping %s" % names(container.service for container in batch))
            wish = ["-t", self._timeout] if self._timeout is not None else []
            self._tolerant("stop", *wish, *(container.id for container in batch), deadline=self._stop_seconds(batch))

    def _remove(self, containers):
        if containers:
            self._tolerant("rm", "--force", *(container.id for container in containers), deadline=UP_DEADLINE)

    def _stop_seconds(self, containers):
        own = [container.raw["Config"].get("StopTimeout") or DEFAULT_STOP_SECONDS for container in containers]
        return (self._timeout if self._timeout is not None else max(own + [0])) + STOP_SLACK

    def _tolerant(self, *arguments, **options):
        """Run a command on containers of which some may be gone already, or be going: that is what we want of them."""
        done = self._docker.run(*arguments, check=False, **options)
        fine = ("no such container", "is already in progress", "is not paused")
        if done.rc != 0 and not all(
            any(sign in line.lower() for sign in fine) for line in done.err.splitlines() if line.strip()
        ):
            raise DockerError(
                "'docker %s' failed: %s" % (arguments[0], " / ".join(done.err.split("\n")).strip(" /")),
                rc=done.rc,
                stderr=done.err,
            )

    # Up

    def _permitted(self, layer, needs):
        """The services of a layer whose needs are met; waits for them. The others are failures."""
        known = self._gate.read()
        goals = {
            other: condition
            for service in layer
            for other, condition in (needs.get(service) or {}).items()
            if other not in self.failures and known.of(other)
        }
        verdicts = self._gate.wait(goals, self._deadline, known, patient=True)
        for name, verdict in verdicts.items():
            if verdict.status != SETTLED:
                self.failures[name] = verdict.what
        permitted = []
        for service in layer:
            lacking = [other for other in needs.get(service) or {} if other in self.failures]
            if lacking:
                self.failures[service] = "was not started, because it needs %s, which %s" % (
                    lacking[0],
                    self.failures[lacking[0]],
                )
                self.skipped.append(service)
            else:
                permitted.append(service)
        return permitted

    def _bring_up(self, services, plan):
        decisions = {name: plan.decisions[name] for name in services}
        forced = [name for name, d in decisions.items() if d.action in (CREATE, RECREATE) and not d.gentle]
        gentle = [name for name, d in decisions.items() if d.action in (CREATE, RECREATE) and d.gentle]
        self._up(forced, True)
        self._up(gentle, False)
        self._start([name for name, d in decisions.items() if d.action in (START, RESTART)])

    def _up(self, services, force):
        """`docker compose up`; one service that cannot start does not keep the others from it."""
        while services:
            try:
                self._compose_up(services, force)
                return
            except (EngineMissing, EngineRefused):
                raise
            except DockerError as error:
                project = self._gate.read()
                blamed = _blame(project, services, str(error))
                if not blamed:
                    raise
                self.failures.update(blamed)
                # What the failed call left half made would be taken for done.
                unfinished = [c for name in services for c in project.of(name) if c.status == "created"]
                self._remove([container for container in unfinished if container.service not in blamed])
                services = [name for name in services if name not in blamed and not _runs(project, name)]

    def _compose_up(self, services, force):
        self._progress.say("creating and starting %s" % names(services))
        compose = self._compose()
        with _OverrideFile(compose.path, self._overrides(services)) as extra:
            arguments = compose.up(services, force, self._timeout, extra)
            self._docker.run(
                *arguments, cwd=compose.path, env=compose.environ, deadline=UP_DEADLINE + 10 * len(services)
            )

    def _overrides(self, services):
        images = {name: self._pins[name] for name in services if name in self._pins}
        holders = {name: self._gate.project.of(self._parents[name]) for name in services if self._parents.get(name)}
        parents = {name: found[0].id for name, found in holders.items() if found}
        return compose_cli.overrides(images, parents) if images or parents else None

    def _start(self, services):
        if not services:
            return
        project = self._gate.read()
        containers = [container for name in services for container in project.of(name)]
        frozen = [container.id for container in containers if container.status == "paused"]
        if frozen:
            self._tolerant("unpause", *frozen)
        resting = [container for container in containers if container.status in ("exited", "created")]
        if resting:
            self._progress.say("starting %s" % names(container.service for container in resting))
            done = self._docker.run(
                "start", *(container.id for container in resting), check=False, deadline=UP_DEADLINE
            )
            if done.rc != 0:
                blamed = _blame(self._gate.read(), services, done.err.strip())
                self.failures.update(blamed or {resting[0].service: "could not be started: %s" % done.err.strip()})


class _OverrideFile:
    """The generated Compose file of one call, there only while Compose reads it."""

    def __init__(self, path, text):
        self._text = text
        self._path = os.path.join(path, ".mediastack", "call.yml")

    def __enter__(self):
        if not self._text:
            return []
        with open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
            handle.write(self._text)
        return [self._path]

    def __exit__(self, _kind, _error, _trace):
        if self._text:
            os.unlink(self._path)


def _blame(project, services, text):
    """service → what went wrong, for those of `services` that the engine itself has a complaint about."""
    blamed = {}
    for name in services:
        containers = project.of(name)
        for container in containers:
            if container.error and container.status in ("created", "exited"):
                blamed[name] = "could not be started: %s" % container.error
        if name not in blamed and not any(container.status == "running" for container in containers):
            names = [container.name for container in containers] + [name]
            if any("ontainer %s " % one in text or '"/%s"' % one in text for one in names):
                blamed[name] = "could not be started: %s" % text
    return blamed


def _runs(project, service):
    return any(container.status == "running" for container in project.of(service))
