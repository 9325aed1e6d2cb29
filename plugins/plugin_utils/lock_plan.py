# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which digest every service of every host is to run, and what the lock file says afterwards (docs/updates.md).

Hosts that are behind the lock are brought to it first, and no registry is asked: what another host has passed its gate
with is what they get. Only where none is behind are tags resolved anew.
"""

from __future__ import annotations

import dataclasses
import datetime

from . import image_jump, lock_file, registry_client, registry_errors
from .collection_version import version
from .image_reference import parse, short

_LOCK_ONLY = "ansible-playbook homelab.mediastack.update -e lock_only=true"
# What a registry says of an image that was never pushed, or that is not there at all on the host's own address.
_NOWHERE = (registry_errors.MISSING, registry_errors.LOGIN, registry_errors.UNREACHABLE)


class PlanError(Exception):
    """Nothing can be updated as asked; every reason is in `problems`."""

    def __init__(self, problems):
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for; the options of the module `lock`.

    Attributes:
        images: host → service → `{image, wiring_kind}`, as the inventory wants it.
        surveys: host → `{services: {name: {image, digest, digests, platform}}, refused: {name: {digest, when}}}`.
        minimum_age: days.
        prune: whether `images` has every host, so that what an entry has taken the place of may go.
    """

    images: dict
    surveys: dict = dataclasses.field(default_factory=dict)
    from_lock: bool = False
    lock_only: bool = False
    allow_major: bool = False
    retry_failed: bool = False
    minimum_age: int = 0
    prune: bool = False


@dataclasses.dataclass
class Plan:
    """What is to be done.

    Attributes:
        source: `lock` or `registry`, where the digests come from.
        targets: host → service → `{image, digest, created}`.
        pending: host → whether it runs something else than a target of its.
        held: sentences, one for each thing that is not taken; `refused` are those of them that need allow_major,
            `failed` those that have failed their gate.
        messages: sentences.
        lock: the lock file as it would be written; `fresh`: the entries that are other than before; `drop`: keys of
            those that go.
    """

    source: str
    targets: dict
    pending: dict = dataclasses.field(default_factory=dict)
    held: list = dataclasses.field(default_factory=list)
    refused: list = dataclasses.field(default_factory=list)
    failed: list = dataclasses.field(default_factory=list)
    messages: list = dataclasses.field(default_factory=list)
    lock: lock_file.Lock = dataclasses.field(default_factory=lock_file.Lock)
    fresh: list = dataclasses.field(default_factory=list)
    drop: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class _Case:
    """One service on one host, and what is known of what runs there."""

    host: str
    service: str
    image: str
    wiring_kind: str | None
    surveyed: bool
    running: dict | None
    refused: dict | None
    held: bool = False

    @property
    def platform(self):
        return str((self.running or {}).get("platform") or "")

    def runs(self, entry):
        """Whether the entry's image is what runs there."""
        running = self.running or {}
        return any(entry.covers(digest) for digest in (running.get("digest"), *(running.get("digests") or ())))

    def is_ahead_of(self, entry):
        """Whether the host was moved on from what the lock still names: that run ended before it wrote the lock."""
        running = self.running or {}
        return running.get("lock_was") == entry.digest and not self.runs(entry)


def plan(request, lock, resolve=registry_client.resolve, now=None):
    """The `Plan`.

    Params:
        request: a Request; lock: a `lock_file.Lock`.
        resolve: as `registry_client.resolve`, which is asked at most once.
        now: an aware datetime, for tests.
    Raises:
        PlanError: everything that is wrong, and nothing was written.
        RequestsMissing: a registry would have to be asked, and cannot.
    """
    return _Planner(request, lock, resolve, now or datetime.datetime.now(datetime.UTC)).plan()


class _Planner:
    """The making of one plan."""

    def __init__(self, request, lock, resolve, now):
        self.request, self.lock, self.resolve, self.now = request, lock, resolve, now
        self.cases = _cases(request)
        self.problems, self.messages = [], []
        # Sentence → hosts: what holds for several is said once.
        self.held, self.refused, self.failed, self.notes = {}, {}, {}, {}
        self.targets = {host: {} for host in request.images}

    def plan(self):
        request = self.request
        if request.from_lock and request.lock_only:
            raise PlanError(["-e from_lock=true asks no registry and -e lock_only=true does nothing else: give one."])
        behind = [] if request.lock_only else [case for case in self.cases if self._is_behind(case)]
        for case in self.cases:
            digest = case.image.partition("@")[2]
            if digest:
                # The inventory has the last word: no lock and no age counts, but what is one-way is one-way.
                self._take(case, lock_file.Entry(case.service, case.image, digest))
        fresh = []
        if request.from_lock or behind:
            self._from_lock(behind)
        else:
            fresh = self._from_registries()
        if self.problems:
            # What became of the logins may be why.
            raise PlanError([*self.problems, *self.messages])
        drop = self._unused(fresh)
        merged = lock_file.merged(self.lock, fresh, drop)
        self._tell(behind, fresh)
        return Plan(
            source="lock" if request.from_lock or behind else "registry",
            targets=self.targets,
            pending={
                host: any(self._moves(host, *one) for one in found.items()) for host, found in self.targets.items()
            },
            held=_by_host({**self.refused, **self.failed, **self.held}),
            refused=_by_host(self.refused),
            failed=_by_host(self.failed),
            messages=[*self.messages, *_by_host(self.notes)],
            lock=merged,
            fresh=[entry for entry in fresh if self.lock.entry(*entry.key) != merged.entry(*entry.key)],
            drop=drop,
        )

    # -- the lock ----------------------------------------------------------------------------------------------------

    def _is_behind(self, case):
        """Whether a host runs something else than the lock has for it, and may run that."""
        entry = self.lock.entry(case.service, case.image)
        if entry is None or case.running is None or case.runs(entry):
            return False
        # What somebody holds is not moved until it is let go, and keeps nobody else from the registries.
        if case.held or case.is_ahead_of(entry):
            return False
        return not self._failed_before(case, entry) and not self._jump(case, entry).refusal

    def _from_lock(self, behind):
        """Targets from the lock. Its digests were judged when they were written: their age does not count again."""
        for case in self.cases:
            entry = self.lock.entry(case.service, case.image)
            if entry is not None and case.is_ahead_of(entry) and not self.request.from_lock:
                continue
            if entry is not None:
                self._take(case, entry)
            elif "@" in case.image:
                continue
            elif self.request.from_lock:
                where = self.lock.path or lock_file.NAME
                self.problems.append(
                    f"{case.service}: {case.image} is not in {where}, and -e from_lock=true asks no registry. "
                    f"Write it there: {_LOCK_ONLY}"
                )
            else:
                self._add(
                    self.notes,
                    case,
                    f"{case.service}: {case.image} is not locked yet. It waits for the next update: "
                    "this one brings hosts to the lock.",
                )

    # -- registries --------------------------------------------------------------------------------------------------

    def _from_registries(self):
        """Targets from registries; the entries of the lock that they make."""
        users = {}
        for case in self.cases:
            if "@" not in case.image:
                users.setdefault(case.image, {}).setdefault(case.service, []).append(case)
        if not users:
            return []
        known = {entry.image: entry for entry in self.lock.entries}
        answers = self.resolve(list(users), known=known)
        self.messages += answers.messages
        self._unresolved(answers.problems, users)
        fresh = []
        stamp = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        for image, services in users.items():
            found = answers.found.get(image)
            for service, cases in services.items() if found else ():
                entry = lock_file.Entry(
                    service, image, found.digest, dict(found.platforms), found.created, stamp, version()
                )
                if self._too_young(entry, cases):
                    old = self.lock.entry(*entry.key)
                    for case in cases if old else ():
                        self._take(case, old)
                    continue
                taken = [case for case in cases if self._take(case, entry)]
                if taken:
                    fresh.append(entry)
        return fresh

    def _too_young(self, entry, cases):
        old = self.lock.entry(*entry.key)
        if old is not None and old.digest == entry.digest:
            return False
        if all(case.runs(entry) for case in cases):
            # They all run it: to write that down changes nothing.
            return False
        held = image_jump.held(entry.service, entry.image, entry.created, self.request.minimum_age, self.now)
        if held:
            for case in cases:
                self._add(self.held, case, held.sentence)
        return held is not None

    def _unresolved(self, problems, users):
        rest = {}
        for image, error in problems.items():
            loopback = image.split("/")[0].startswith(("127.", "localhost", "[::1]"))
            local = [
                case
                for cases in users[image].values()
                for case in cases
                if case.running and not case.running.get("digest") and case.running.get("image") == image
            ]
            if error.kind in _NOWHERE and (local or (loopback and error.kind == registry_errors.UNREACHABLE)):
                hosts = ", ".join(dict.fromkeys(case.host for case in local)) or "the host"
                why = "was built there or loaded into its engine" if local else "is of a registry on the host itself"
                self.problems.append(
                    f"{', '.join(users[image])}: {image} on {hosts} {why}, and this computer finds it in no registry: "
                    "there is no digest to update to. Push it to a registry that this computer and every host reach, "
                    "or name the services to update: -e service=…"
                )
            else:
                rest[image] = error
        self.problems += registry_client.sentences(rest, {image: list(users[image]) for image in rest})

    # -- one service on one host -------------------------------------------------------------------------------------

    def _take(self, case, entry):
        """Make an entry the target of a case, unless something speaks against it; whether it is."""
        if not case.runs(entry) or self.request.lock_only:
            if self._failed_before(case, entry):
                when = f" on {str(case.refused['when'])[:10]}" if case.refused.get("when") else ""
                self._add(
                    self.failed,
                    case,
                    f"{case.service}: {entry.image} {short(entry.digest)} failed its gate{when} and is held back until "
                    "there is another one. To try it again: -e retry_failed=true",
                )
                return False
            jump = self._jump(case, entry)
            if jump.refusal:
                self._add(self.refused, case, jump.refusal)
                return False
            if jump.note:
                self._add(self.notes, case, jump.note)
        if entry.platforms and case.platform and not _runs_on(case.platform, entry.platforms):
            self.problems.append(
                f"{case.host}: {case.service}: {entry.image} is there for {', '.join(entry.platforms)}, and not for "
                f"{case.platform}. Choose another image in mediastack_images."
            )
            return False
        self.targets[case.host][case.service] = {
            "image": entry.image,
            "digest": entry.digest,
            "created": entry.created,
        }
        return True

    def _jump(self, case, entry):
        old, image = str((case.running or {}).get("image") or ""), entry.image
        locked = self._locked_before(case.service, image)
        # An id tells no version, and a host that was not looked at tells nothing. A lock by itself is a change of the
        # one before: that is what a pull request shows, whatever one host has come to.
        if old.startswith("sha256:") or not case.surveyed or (self.request.lock_only and locked):
            old = locked
            same = self.lock.entry(case.service, image)
            if same is not None and same.digest == entry.digest:
                return image_jump.Jump(image_jump.SAME)
        return image_jump.assess(case.service, old, image, case.wiring_kind, self.request.allow_major)

    def _locked_before(self, service, image):
        """The image that a service was locked to before; None where it was not."""
        images = [entry.image for entry in self.lock.of(service)]
        if image in images or not images:
            return image if images else None

        def height(one):
            found = image_jump.version_of(parse(one).tag)
            return found.numbers if found else ()

        return max(images, key=height)

    def _failed_before(self, case, entry):
        if self.request.retry_failed or not case.refused:
            return False
        return entry.covers(case.refused.get("digest"))

    @staticmethod
    def _add(sentences, case, sentence):
        hosts = sentences.setdefault(sentence, [])
        if case.host not in hosts:
            hosts.append(case.host)

    # -- what is said and written ------------------------------------------------------------------------------------

    def _unused(self, fresh):
        """Keys of entries that no host asks for any more and that something has taken the place of.

        A service that is in no host's list stays: it may be another group's, or not be asked about this time. One that
        waits, for its image is too young or too big a step, keeps what it is locked to.
        """
        if not self.request.prune:
            return []
        wanted = {(case.service, case.image) for case in self.cases}
        settled = {entry.service for entry in fresh} | {key[0] for key in wanted if self.lock.entry(*key)}
        settled |= {case.service for case in self.cases if "@" in case.image}
        return [entry.key for entry in self.lock.entries if entry.key not in wanted and entry.service in settled]

    def _moves(self, host, service, target):
        """Whether a host runs something else than this target."""
        case = next(case for case in self.cases if (case.host, case.service) == (host, service))
        running = case.running or {}
        same = {running.get("digest"), *(running.get("digests") or ())} - {None}
        return running.get("image") != target["image"] or target["digest"] not in same

    def _tell(self, behind, fresh):
        for entry in fresh:
            old = self.lock.entry(*entry.key)
            built = f", built on {entry.created[:10]}" if entry.created else ""
            if old is not None and old.digest != entry.digest:
                moved = f"is {short(entry.digest)} now{built}; it was {short(old.digest)}"
                self.messages.append(f"{entry.service}: {entry.image} {moved}")
            elif old is None:
                self.messages.append(f"{entry.service}: {entry.image} is {short(entry.digest)}{built}")
        if behind and not self.request.from_lock:
            hosts = ", ".join(dict.fromkeys(case.host for case in behind))
            services = ", ".join(dict.fromkeys(case.service for case in behind))
            self.messages.append(f"{hosts} to be brought to the lock ({services}); no registry is asked")


def _cases(request):
    cases = []
    for host, services in request.images.items():
        survey = request.surveys.get(host)
        survey = survey if isinstance(survey, dict) and isinstance(survey.get("services"), dict) else None
        refused = (survey or {}).get("refused") or {}
        for service, wanted in services.items():
            cases.append(
                _Case(
                    host=host,
                    service=service,
                    image=wanted["image"],
                    wiring_kind=wanted.get("wiring_kind"),
                    surveyed=survey is not None,
                    running=survey["services"].get(service) if survey else None,
                    refused=refused.get(service),
                    held=service in (survey or {}).get("held", ()),
                )
            )
    return cases


def _by_host(sentences):
    return [f"{', '.join(hosts)}: {sentence}" for sentence, hosts in sentences.items()]


def _runs_on(platform, platforms):
    """Whether one of `platforms` is of the system and architecture of `platform`; variants are left to the engine."""
    wanted = platform.split("/")[:2]
    return any(one.split("/")[:2] == wanted for one in platforms)
