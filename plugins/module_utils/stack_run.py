# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every run of `compose_stack` has in common: the lock, looking, predicting, carrying out, the gate and the
result.
"""

from __future__ import annotations

import contextlib
import difflib
import time
from typing import NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    convergence,
    engine_state,
    holds,
    made_record,
    stack_report,
    wanted,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import Decision, Plan
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError, EngineMissing
from ansible_collections.homelab.mediastack.plugins.module_utils.engine_state import Project
from ansible_collections.homelab.mediastack.plugins.module_utils.gate import FAILED, SETTLED, STABLE, STARTED, Gate
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import SILENT, Progress
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import RunLock
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import Ask, Holding

# How often a run looks again after its own work: gluetun may have restarted meanwhile, or someone may have stopped
# something.
ROUNDS = 3
# As vpn_tunnel.SERVICE.
VPN_SERVICE = "gluetun"


class StackError(Exception):
    """The run failed: readable text, and more keys for the result (`details`)."""

    def __init__(self, message, **details):
        super().__init__(message)
        self.details = details


class Differs(Exception):
    """There is something to do, and this run only looks. Nothing was touched."""


class Request(NamedTuple):
    """The parameters of the module; see its documentation."""

    state: str
    project_path: str
    project_name: str | None = None
    bundle: dict | None = None
    services: Sequence[str] = ()
    profiles: Sequence[str] = ()
    pull: str = "missing"
    recreate: str = "auto"
    remove_orphans: bool = True
    wait: bool = True
    wait_timeout: int = 300
    timeout: int | None = None
    lock_timeout: int = 60
    stable_for: float = 2
    engine_missing_ok: bool = False
    check: bool = False
    #: Who asks for what, so that holds count; None: they do not.
    holds: Ask | None = None
    #: Where the run says what it is doing; None: nobody wants to know.
    progress: Progress | None = None
    #: V(keep): a service of our own stack keeps its image (P8); V(follow): it follows its tag.
    images: str = "follow"
    #: Whether images that failed their gate are tried, or forgotten, again.
    retry_failed: bool = False
    #: What an update, a rollback or a restore is about (update_ask.Change); None for every other run.
    change: object | None = None


class Run:
    """One run; a subclass for each `state` says what `work` is."""

    def __init__(self, request, docker, source):
        """`docker`: a Docker; `source`: a Bundled or a Plain."""
        self.request = request
        self.docker = docker
        self.source = source
        self.progress = request.progress or SILENT
        self.path = request.project_path
        self.name = request.project_name or source.project_name
        self.project = None
        self.wanted = {}
        self.plan = Plan()
        self.gate = None
        self.deadline = None
        self.supply = None
        self.holding = Holding()
        #: How our containers were when we made them (made_record.Made), where that counts.
        self.made = None
        #: Whether the run before this one never came to its end.
        self.interrupted = False
        #: Whether anything was changed already: until then a failure leaves everything as it was.
        self.touched = False
        #: Check mode on a host without engine: what is missing (see EngineMissing), else None.
        self.no_engine = None
        #: The module of that name; None: this run only looks.
        self.acting = None
        #: Parts of the result.
        self.changed = False
        self.messages = list((request.bundle or {}).get("messages") or [])
        self.actions = []
        self.diff = []
        self.removed = []
        self.decisions = {}

    # What a subclass brings

    def work(self, lock):
        """Do it. `lock`: the RunLock that is held, or None where there is no place for one."""
        raise NotImplementedError

    def prepare_place(self, lock):
        """Make a place for the lock where there is none yet; False where nothing may be made."""
        raise NotImplementedError

    def goals(self):
        """service → what is waited for at the end."""
        return dict.fromkeys(
            self.plan.acting(convergence.START, convergence.RESTART, convergence.CREATE, convergence.RECREATE), STABLE
        )

    def what_is_left(self):
        """The Plan for another round, after a look at what this one made; empty when all is well."""
        raise NotImplementedError

    # The frame

    def run(self):
        """Do what was asked for; the result of the module. Any of the errors of the parts when it cannot be."""
        lock = RunLock(
            self.path,
            "compose_stack state=%s" % self.request.state,
            self.request.lock_timeout,
            shared=self.request.check,
            sleep=self._wait_for_other,
        )
        if not lock.possible and (self.request.check or not self.prepare_place(lock)):
            self.work(None)
            return self.result()
        with lock:
            self.docker.inherit = (lock.descriptor,)
            self.interrupted = lock.interrupted
            if lock.interrupted and not self.request.check:
                self.messages.append(
                    "an earlier run (%s by %s, since %s) was interrupted; this one repairs what it left"
                    % tuple(lock.earlier.get(key, "unknown") for key in ("what", "who", "started"))
                )
            try:
                self.work(lock)
            except BaseException:
                # What an interrupted run left is repaired by one that comes that far: until then, the next is to know.
                lock.keeps_earlier = lock.keeps_earlier or not self.touched
                raise
            return self.result()

    @property
    def act(self):
        """The module `acting`; Differs where this run only looks."""
        if self.acting is None:
            raise Differs
        return self.acting

    def _wait_for_other(self, seconds):
        self.progress.say("waiting for another run on this host to end")
        time.sleep(seconds)

    # Looking

    def read(self):
        """The Project as it is now."""
        try:
            return engine_state.read_project(self.docker, self.name, self.path)
        except EngineMissing as error:
            if self.request.check and self.request.engine_missing_ok:
                self.no_engine = error.what
                return Project(self.name, self.path, [])
            raise

    def held(self):
        """The holds of the host, where they count."""
        return holds.read(self.path) if self.request.holds else {}

    def refuse_unknown(self, names):
        """StackError when the user named a service that is not among `names`."""
        for name in self.request.services:
            if name not in names:
                near = difflib.get_close_matches(name, list(names), 1)
                raise StackError(
                    "there is no service %s%s. The services here: %s"
                    % (name, " (did you mean %s?)" % near[0] if near else "", ", ".join(sorted(names)) or "none")
                )

    def refuse_to_replace_foreign(self):
        """StackError when Compose, making containers anew, would replace another project's of our name too."""
        anew = self.plan.acting(convergence.CREATE, convergence.RECREATE)
        if anew and self.project.foreign:
            raise StackError(
                "%s cannot be made anew while %s has the same project name: Compose would replace that one too"
                % (", ".join(anew), self.project.foreign[0].name)
            )

    # Saying

    def describe(self):
        """Write down what is to happen: check mode's prediction, and the report of a run that went as planned."""
        self.decisions = dict(self.plan.decisions)
        self.messages += list(self.plan.messages) + self.holding.messages
        self.actions += self.holding.actions + self.plan.sentences()
        sections = [self.holding.diff(), stack_report.services_diff(self.plan, self.project, self.wanted)]
        self.diff += [section for section in sections if section]
        self.removed = [container.name for container in list(self.plan.clear) + list(self.plan.remove)]
        self.changed = self.changed or self.holding.changed or not self.plan.empty

    def result(self):
        """The result of the module."""
        project = self.project or Project(self.name, self.path, [])
        known = stack_report.digests(self.path, self.supply.digests() if self.supply and self.touched else {})
        rendered = self.source.rendered
        return {
            "changed": self.changed,
            "diff": self.diff,
            "messages": self.messages,
            "actions": self.actions,
            "files": rendered.actions if rendered else {},
            "file_reasons": rendered.reasons if rendered else {},
            "unknown_files": rendered.unknown if rendered else [],
            "by_hand": self.made.by_hand(project) if self.made else {},
            "held": self.holding.held,
            "removed": self.removed,
            "engine_missing": self.no_engine is not None,
            "left": self.holding.left,
            "render_also": self.holding.lacking,
            "services": stack_report.services(list(self.wanted) or project.services, project, self.decisions, known),
        }

    def result_of_failure(self):
        """The result of a run that failed: what it did, not what it was about to do."""
        if not self.touched:
            self.changed, self.actions, self.diff, self.removed, self.decisions = False, [], [], [], {}
            return dict(self.result(), files={}, file_reasons={})
        if self.gate:
            with contextlib.suppress(DockerError):
                self.project = self.read()
        return self.result()

    # Doing

    def prepare_gate(self):
        """Start the clock of `wait_timeout`; whoever only looks waits for nothing."""
        if self.gate is None:
            self.deadline = time.monotonic() + (self.request.wait_timeout if self.acting else 0)
            self.gate = Gate(self.read, self.request.stable_for, progress=self.progress)

    def pins(self, plan):
        """service → (image id, image it stands for): images that a service keeps although it gets a new container."""
        names = [name for name in plan.acting(convergence.CREATE, convergence.RECREATE) if name in self.wanted]
        return self.supply.kept(names, self.project) if self.supply else {}

    def carry(self, plan, while_stopped=None, edited=()):
        """Carry out `plan`; service → what went wrong."""
        carrier_of = self.act.carrier
        self.prepare_gate()
        pins = self.pins(plan)
        self.touched = True
        made = self.made or made_record.Made(self.path)
        made.begin(plan.acting(convergence.CREATE, convergence.RECREATE))
        carrier = carrier_of(
            self.docker,
            lambda: self.source.compose(self.name),
            self.gate,
            self.deadline,
            self.request.timeout,
            self.progress,
        )
        needs = dict(
            wanted.needs_of_containers(self.project), **{name: want.depends_on for name, want in self.wanted.items()}
        )
        carrier.carry_out(
            plan, self.project, needs, wanted.parents(self.project, self.wanted), pins, while_stopped, edited
        )
        self.note_skipped(plan, carrier.skipped)
        return carrier.failures

    def note_skipped(self, plan, names):
        """Take back what was said about services that were not brought up in the end."""
        for name in names:
            self.take_back(name, plan.decisions[name])
            if any(container.active for container in self.project.of(name)):
                self.decisions[name] = Decision(convergence.STOP, ["what it needs failed"])
                self.actions.append(convergence.sentence(name, self.decisions[name]))

    def take_back(self, name, decision):
        """Nothing was done about a service after all."""
        self.decisions[name] = Decision(convergence.NONE)
        text = convergence.sentence(name, decision)
        self.actions = [action for action in self.actions if action != text]

    def converge(self, plan, while_stopped=None, edited=()):
        """Carry out `plan`, wait at the gate, and look whether it came out so; what did not is done again."""
        for _round in range(ROUNDS):
            failures = self.carry(plan, while_stopped, edited)
            # What an edit asks for is done once.
            while_stopped, edited = None, ()
            goals = {
                name: goal if self.request.wait else STARTED
                for name, goal in self.goals().items()
                if name not in failures
            }
            verdicts = self.gate.wait(goals, self.deadline)
            before, self.project = self.project, self.gate.project
            self.forget_gentle(plan, before)
            lost = any(verdict.status == FAILED and not verdict.stopped for verdict in verdicts.values())
            plan = Plan() if failures or lost else self.what_is_left()
            if plan.empty:
                self.pass_gate(verdicts, failures)
                return
            self.actions += [sentence for sentence in plan.sentences() if sentence not in self.actions]
        raise self.failure(
            {
                name: "does not stay as it should be: %s" % "; ".join(plan.decisions[name].reasons)
                for name in plan.acting()
            }
        )

    def forget_gentle(self, plan, before):
        """Where Compose had the last word and found nothing to do, nothing was done. (Never so in our own stacks.)"""
        if self.source.rendered:
            return
        for name in plan.acting():
            decision = plan.decisions[name]
            if decision.gentle and {c.id for c in before.of(name)} == {c.id for c in self.project.of(name)}:
                self.take_back(name, decision)
        if not self.actions:
            self.changed, self.diff = False, []

    def pass_gate(self, verdicts, failures=None):
        """StackError unless everything is settled.

        `verdicts`: of the gate; `failures`: service → what went wrong before.
        """
        what = dict(failures or {})
        what.update((name, verdict.what) for name, verdict in verdicts.items() if verdict.status == FAILED)
        late = [name for name, verdict in verdicts.items() if verdict.status not in (FAILED, SETTLED)]
        if not what:
            ending = ", after %g s (wait_timeout)" % self.request.wait_timeout
            what, late = {name: verdicts[name].what + ending for name in late}, []
        if what:
            raise self.failure(what, late)

    def failure(self, what, late=()):
        """The StackError for services that are not as they should be.

        `what`: service → why; `late`: names of those that were not waited for to the end.
        """
        explain = self.act.explain
        mask = self.source.rendered.mask if self.source.rendered else str
        failures = []
        for name in sorted(what):
            containers = self.project.of(name)
            log = engine_state.log_tail(self.docker, containers[0]) if containers else []
            health = stack_report.health_log(containers[0]) if containers else []
            failures.append(
                {
                    "service": name,
                    "what": explain(what[name], log) if name == VPN_SERVICE else what[name],
                    "log": [mask(line) for line in log],
                    "health_log": [dict(entry, output=mask(entry["output"])) for entry in health],
                }
            )
        return StackError(
            stack_report.failure_message(failures, late, max(len(self.goals()), len(failures))), failures=failures
        )
