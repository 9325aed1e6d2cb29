# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`rotate`: new values for generated secrets, in the store, in the apps and in whatever else uses them; all or none.

The store keeps the old values until the new ones have opened every app and the old ones do not any more. Until then
`rotation.json` has both, so that a failure, or the next run after a kill, puts everything back.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    generations,
    journal,
    rotate_change,
    rotate_database,
    rotate_doors,
    rotation,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.rotate_doors import DATABASE, DoorError
from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import SecretStore
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_present import Present
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import StackError

#: What goes wrong on the way, and leads back.
TROUBLE = (StackError, DockerError, FileError, DoorError)
# What is left to the user, by the role of a secret.
_BY_HAND = {
    rotate_doors.API_KEY: "what you entered by hand in other apps and on phones needs the new key",
    rotate_doors.PASSWORD: "whoever logs in needs the new password",
}


class Ask(NamedTuple):
    """What is asked for: names of secrets that can be rotated, and who asks."""

    names: Sequence[str] = ()
    who: str = ""


class Rotate(Present):
    """One rotation."""

    def __init__(self, request, docker, source):
        super().__init__(request, docker, source)
        self.ask = request.change or Ask()
        #: For the result: what was rotated, and how it was proven.
        self.rotated = []
        #: Secrets of which no app could be asked.
        self.unproven = []

    def make_so(self, lock):
        """Do it, on a stack that is as the inventory says."""
        if self.project is None or lock is None or lock.waited or lock.earlier:
            self.look()
        if self.no_engine:
            raise StackError("there is no usable engine here: run site first")
        if self.holding.lacking:
            return
        self.refuse_unfinished()
        self.check_host()
        specs = self.request.bundle["secrets"]
        old = {name: self.source.rendered.values[name] for name in self.ask.names}
        entry = {
            "id": "%s-rotate-%s" % (generations.now().replace("-", "").replace(":", ""), os.urandom(2).hex()),
            "who": self.ask.who,
            "started": generations.now(),
            "step": rotation.APPLYING,
            "secrets": {name: {"old": old[name], "new": value} for name, value in rotation.fresh(specs, old).items()},
        }
        self.turn(entry, "new", "old")
        self.refuse_held(entry)
        self.describe()
        self.actions[:0] = ["rotate %s" % name for name in sorted(entry["secrets"])]
        self.changed = True
        if self.request.check:
            return
        self.prove_old(entry)
        self.touched = True
        rotation.write(self.path, entry)
        try:
            self.apply(entry, "new", "old")
            self.prove_new(entry)
        except TROUBLE as error:
            self.put_back(entry, error)
        self.commit(entry)

    # Steps

    def refuse_unfinished(self):
        """StackError where the stack is not as the inventory says: taking back must not mean more than the secrets."""
        rendered = self.source.rendered
        if self.plan.empty and not (rendered.changed or rendered.logins or self.holding.changed):
            return
        first = self.plan.sentences()[:3] or ["write %s" % path for path in sorted(rendered.actions)[:3]]
        raise StackError(
            "rotate changes secrets and nothing else, but there is something to do here first (%s). Run site, or plan "
            "to see all of it, then rotate" % "; ".join(first or ["a first login is to be set"])
        )

    def turn(self, entry, to, was):
        """Look at the host with other values than those that are stored; `to`, `was`: old or new."""
        self.source.turn = (rotation.values(entry, to), rotation.values(entry, was))
        self.look()

    def doors(self, entry):
        """Every way into an app that the secrets open."""
        services = self.request.bundle["services"]
        return [door for name in sorted(entry["secrets"]) for door in rotate_doors.find(name, services)]

    def asked(self):
        """A rotate_doors.Doors on the containers as they are now."""
        self.prepare_gate()
        raw = [container.raw for container in self.project.containers]
        return rotate_doors.Doors(self.request.bundle["services"], raw, self.deadline)

    def refuse_held(self, entry):
        """StackError where something that would have to change is held."""
        users = {door.service for door in self.doors(entry)}.union(
            name
            for name, service in self.request.bundle["services"].items()
            if any(token.endswith(":%s@@" % secret) for secret in entry["secrets"] for token in service["tokens"])
        )
        held = sorted(name for name in users if name in self.holding.left)
        if held:
            why = "; ".join("%s: %s" % (name, self.holding.left[name]) for name in held)
            raise StackError("%s uses it and is left as it is (%s): start it first" % (", ".join(held), why))

    def opens(self, asked, door, value):
        """Whether a value opens a door; None where nobody can tell."""
        if door.role == DATABASE:
            return rotate_database.opens(self.docker, self.project, door, value)
        return asked.opens(door, value)

    def prove_old(self, entry):
        """StackError unless the stored values open the apps now: one that somebody changed there is not ours."""
        asked, wrong = self.asked(), []
        for door in self.doors(entry):
            try:
                if self.opens(asked, door, entry["secrets"][door.secret]["old"]) is False:
                    wrong.append(
                        "%s does not open %s: somebody has changed it in the app, where it stays yours to change"
                        % (door.secret, door.service)
                    )
            except DoorError as error:
                wrong.append(str(error))
        if wrong:
            raise StackError("Nothing was touched: %s" % "; ".join(wrong))

    def apply(self, entry, to, was):
        """Put the values `to` (old or new) everywhere; everything of it may be done again."""
        doors = self.doors(entry)
        self.gate, self.deadline = None, None
        self.turn(entry, to, was)
        self.prepare_gate()
        rotate_change.before(self, doors, rotation.values(entry, to))
        rendered = self.source.rendered
        rendered.write()
        self.supply.name_images(name for name in self.new_containers() if name in self.wanted)
        if rendered.preset_changes:
            self.converge(self.plan, rendered.write_presets, rendered.edits)
        else:
            self.converge(self.plan)
        rotate_change.after(
            self.asked(), doors, rotation.values(entry, to), rotation.values(entry, was), rendered.values
        )

    def prove_new(self, entry):
        """DoorError unless the old values open nothing any more, and the new ones do."""
        asked, known = self.asked(), set()
        self.progress.say("trying the old and the new values")
        for door in self.doors(entry):
            pair = entry["secrets"][door.secret]
            old = self.opens(asked, door, pair["old"])
            if old is None:
                continue
            if old:
                raise DoorError("the old %s still opens %s" % (door.secret, door.service))
            if not self.opens(asked, door, pair["new"]):
                raise DoorError("the new %s does not open %s" % (door.secret, door.service))
            known.add(door.secret)
        self.unproven = sorted(set(entry["secrets"]) - known)

    def commit(self, entry):
        """The new values are the secrets from now on."""
        entry["step"] = rotation.PROVEN
        rotation.write(self.path, entry)
        SecretStore(self.path).replace(rotation.values(entry, "new"))
        self.end(entry, "rotated")
        self.source.turn = None
        self.rotated = sorted(entry["secrets"])
        roles = {door.role for door in self.doors(entry)}
        self.messages += [_BY_HAND[role] for role in (rotate_doors.API_KEY, rotate_doors.PASSWORD) if role in roles]
        if self.unproven:
            self.messages.append(
                "not tried, because no app answers for it: %s. Everything that uses it runs with the new value"
                % ", ".join(self.unproven)
            )

    def put_back(self, entry, error):
        """Put everything back as it was; always raises StackError."""
        entry["step"] = rotation.TAKING_BACK
        rotation.write(self.path, entry)
        try:
            self.apply(entry, "old", "new")
        except TROUBLE as other:
            raise StackError(
                "%s\nThe way back did not succeed either: %s\nThe next run of site or rotate tries it again"
                % (error, other),
                **getattr(error, "details", {}),
            ) from error
        self.end(entry, "taken back", str(error))
        self.source.turn = None
        raise StackError(
            "%s\nEverything is as it was before: the old values are in use" % error, **getattr(error, "details", {})
        ) from error

    def end(self, entry, result, why=None):
        """Audit it and forget it."""
        line = {
            "txn": entry["id"],
            "verb": "rotate",
            "who": entry["who"],
            "started": entry["started"],
            "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "result": result,
            "why": why,
            "secrets": sorted(entry["secrets"]),
        }
        journal.audit(self.path, line)
        rotation.clear(self.path)

    def result(self):
        """With what was rotated."""
        return dict(super().result(), rotated=self.rotated, unproven=self.unproven)


def resume(run, entry):
    """Finish or take back the rotation of `entry` that was interrupted, for `run` (any converging run with the lock).

    StackError when the old values could not be put back.
    """
    known = run.request.bundle["secrets"]
    what = "rotate %s was interrupted" % entry["id"]
    for name in [name for name in entry["secrets"] if name not in known]:
        del entry["secrets"][name]
    other = Rotate(
        run.request._replace(change=Ask(who=entry["who"]), services=(), check=False),
        run.docker,
        type(run.source)(run.request.bundle, False, ()),
    )
    other.acting, other.interrupted = run.acting, True
    if entry["step"] == rotation.PROVEN:
        SecretStore(run.path).replace(rotation.values(entry, "new"))
        other.end(entry, "rotated")
        run.messages.append("%s: it is finished" % what)
        run.changed = True
        return
    run.touched = True
    entry["step"] = rotation.TAKING_BACK
    rotation.write(run.path, entry)
    try:
        other.apply(entry, "old", "new")
    except DoorError as error:
        raise StackError("%s, and cannot be taken back: %s" % (what, error)) from error
    other.end(entry, "taken back", "it was interrupted")
    run.messages.append("%s: it was taken back, the old values are in use" % what)
    run.actions += other.actions
    run.changed = True
