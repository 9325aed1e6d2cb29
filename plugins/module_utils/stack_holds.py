# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the holds of a host mean for a run, and how a run changes them. Pure but for `Holding.write`."""

from __future__ import annotations

from typing import NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils import holds, wanted
from ansible_collections.homelab.mediastack.plugins.module_utils.holds import START, STOP, VPN

# The service whose container `vpn_stop` leaves running, disconnected.
VPN_SERVICE = "gluetun"
RELEASED = "release_holds"


class HoldError(Exception):
    """What is asked for contradicts a hold that the verb does not clear; the text names both and the remedy."""


class Ask(NamedTuple):
    """The option `holds` of the module: who asks for what."""

    verb: str
    who: str
    why: str
    #: Services of the bundle that the inventory does not select.
    extra: Sequence[str] = ()
    #: Services that no service file has.
    unknown: Sequence[str] = ()
    release: bool = False


class Holding:
    """The holds before and after a run, and what follows from them."""

    def __init__(self, ask=None, held=None):
        """`held`: of `holds.read`. Without `ask` nothing is held and nothing is recorded."""
        self._ask = ask
        self.held = dict(held or {}) if ask else {}
        #: name → verb of the hold that begins, or None for one that ends.
        self._changes = {}
        #: One sentence for each change.
        self.actions = []
        #: Sentences for the user.
        self.messages = []
        #: service → why a run that was not asked about it leaves it as it is.
        self.left = {}
        #: service → why it is restarted.
        self.restart = {}
        #: Services that are held started and that the bundle lacks: it has to be made again, with them.
        self.lacking = []

    @property
    def changed(self):
        """Whether the record is to be changed."""
        return bool(self._changes)

    def over(self, name, why):
        """The hold on `name` ends."""
        self._changes[name] = None
        self.actions.append("let go of %s, %s: %s" % (name, holds.since(self.held[name]), why))

    def begin(self, name, verb):
        """A hold on `name` begins."""
        self._changes[name] = verb
        self.actions.append("hold %s %s, until %s or release_holds" % ((name,) + _OPPOSITE[verb]))

    def remaining(self, verb):
        """name → record of the holds by `verb` that are there before and after the run."""
        return {name: entry for name, entry in self.held.items() if entry["verb"] == verb and name not in self._changes}

    def leave(self, names, needs, why):
        """Leave `names` as they are, and what needs them. `needs`: service → services it needs; `why`: of the hold."""
        for name in names:
            self.left[name] = why[name]
        for name in needs:
            lacking = sorted(wanted.reach(name, needs).intersection(names))
            if lacking and name not in self.left:
                self.left[name] = "it needs %s, %s" % (lacking[0], why[lacking[0]])

    def diff(self):
        """The section of the diff; None where nothing changes."""
        if not self._changes:
            return None
        before = {name: holds.since(entry) for name, entry in self.held.items()}
        after = dict(before)
        for name, verb in self._changes.items():
            after[name] = "held %s by %s" % (_OPPOSITE[verb][0], self._ask.who) if verb else None
        return {
            "before_header": "holds",
            "after_header": "holds",
            "before": "".join("%s: %s\n" % pair for pair in sorted(before.items())),
            "after": "".join("%s: %s\n" % pair for pair in sorted(after.items()) if pair[1]),
        }

    def write(self, project_path):
        """Change the record."""
        for verb in (STOP, START):
            begun = [name for name, new in self._changes.items() if new == verb]
            if begun:
                holds.record(project_path, begun, verb, self._ask.who, self._ask.why)
        holds.clear(project_path, [name for name, new in self._changes.items() if new is None])


_OPPOSITE = {STOP: ("stopped", "start"), START: ("started", "stop")}


def for_present(ask, held, services, project, asked, interrupted=False):
    """The Holding of a run that makes services what they should be: `site`, or `start` of `asked` (empty: all).

    `services`: name → Wanted; `interrupted`: the run before was, so a missing container proves nothing. HoldError
    when `start` is asked for something behind a VPN that is held stopped.
    """
    found = Holding(ask, held)
    if not ask:
        return found
    chosen = set(wanted.selection(services, asked)) if ask.verb == "start" else set()
    for name, entry in found.held.items():
        if ask.release:
            found.over(name, RELEASED)
        elif entry["verb"] == START:
            _started(found, ask, name, services, project.of(name) or interrupted)
        elif entry["verb"] == STOP:
            _stopped(found, name, services, project, chosen)
    for name in sorted(chosen.intersection(ask.extra)):
        if found.held.get(name, {}).get("verb") != START or ask.release:
            found.begin(name, START)
    needs = {name: want.depends_on for name, want in services.items()}
    stopped = {name: holds.since(entry) for name, entry in found.remaining(STOP).items()}
    found.leave(stopped, needs, stopped)
    _vpn(found, needs, project, chosen)
    if ask.verb != "start":
        found.messages += ["%s is left as it is: %s" % pair for pair in found.left.items()]
        found.messages += [
            "%s is kept although the inventory does not select it: %s" % (name, holds.since(entry))
            for name, entry in found.remaining(START).items()
            if name not in found.lacking
        ]
    return found


def _started(found, ask, name, services, there):
    if name in ask.unknown:
        found.over(name, "no service file has it any more")
    elif name in services and name not in ask.extra:
        found.over(name, "the inventory selects it now")
    elif name not in services and there:
        found.lacking.append(name)
    elif name not in services:
        found.over(name, "it has no container any more")


def _stopped(found, name, services, project, chosen):
    if name in chosen:
        found.over(name, START)
    elif name not in services:
        found.over(name, "the inventory does not select it any more")
    elif any(container.active for container in project.of(name)):
        found.over(name, "it runs, so somebody started it")


def _vpn(found, needs, project, chosen):
    """What `vpn_stop` asks for: gluetun stays disconnected, so what needs it is left as it is too."""
    active = any(container.active for container in project.of(VPN_SERVICE))
    if VPN not in found.held:
        return
    if VPN not in found.remaining(found.held[VPN]["verb"]):
        # Its container connects when it starts.
        found.restart = {VPN_SERVICE: "the VPN was held stopped"} if active else {}
        return
    why = "the VPN is %s" % holds.since(found.held[VPN])
    blocked = sorted(name for name in chosen if name == VPN_SERVICE or VPN_SERVICE in wanted.reach(name, needs))
    if blocked and active:
        raise HoldError(
            "%s cannot be started: %s. Run vpn_start first, or add -e release_holds=true" % (", ".join(blocked), why)
        )
    if blocked:
        found.over(VPN, "%s is started, which connects it" % VPN_SERVICE)
    elif VPN_SERVICE in needs:
        found.leave([VPN_SERVICE], needs, {VPN_SERVICE: found.left.get(VPN_SERVICE, why)})


def for_stopped(ask, held, project, asked):
    """The Holding of `stop` of `asked` (empty: all)."""
    found = Holding(ask, held)
    for name in (asked or sorted(set(project.services) | set(found.held) - {VPN})) if ask else ():
        verb = found.held.get(name, {}).get("verb")
        if verb == START:
            found.over(name, STOP)
        elif verb is None and (asked or name in project.services):
            found.begin(name, STOP)
    return found


def for_restarted(ask, held, project, asked, needs, parents):
    """The Holding of `restart` of `asked`; when that is empty, what is held stopped is left as it is.

    `needs`: service → services it needs; `parents`: service → service whose network it shares.
    """
    found = Holding(ask, held)
    stopped = {name: holds.since(entry) for name, entry in found.remaining(STOP).items()}
    vpn = "the VPN is %s" % holds.since(found.held[VPN]) if VPN in found.held else None
    if not asked:
        found.leave([name for name in stopped if project.of(name)], needs, stopped)
        if vpn:
            found.leave([VPN_SERVICE], needs, {VPN_SERVICE: found.left.get(VPN_SERVICE, vpn)})
        found.messages = ["%s is left as it is: %s" % pair for pair in found.left.items() if project.of(pair[0])]
        return found
    blocked = [name for name in asked if parents.get(name) == VPN_SERVICE]
    if vpn and blocked and VPN_SERVICE not in asked:
        raise HoldError("%s cannot be restarted: %s. Run vpn_start first" % (", ".join(blocked), vpn))
    if vpn and VPN_SERVICE in asked:
        found.over(VPN, "%s is restarted, which connects it" % VPN_SERVICE)
    for name in sorted(set(stopped).intersection([*asked, *map(parents.get, asked)])):
        found.over(name, "restart")
    return found
