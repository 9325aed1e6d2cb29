# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How big the step from one image to another is, and whether somebody should look before it is taken (pure).

What an app writes with a newer version an older one often cannot read. An update that fails is taken back with its
data, but only while the gate looks; so a step that is known to be one-way waits for `-e allow_major=true`.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import re

from .image_reference import BadReference, parse

SAME, PATCH, MINOR, MAJOR, DOWN, UNKNOWN = "same", "patch", "minor", "major", "down", "unknown"
ALLOW = "-e allow_major=true"

# 4.0.19, v3.41.3, 16.14-alpine, 5.1.1-ls267, version-4.0.19.2979, release-3.0.10.1567, arm64v8-1.2, 4.6.7-1,
# 1.41.3.9314-a0bfb8370: numbers, and what comes after them.
_VERSION = re.compile(
    r"(?:(?:version|release|stable|amd64|arm64|arm64v8|arm32v7|armhf)-)*[vV]?"
    r"(?P<numbers>\d+(?:\.\d+)*)(?P<rest>(?:[-_+].*|\.?[A-Za-z].*)?)"
)
# LinuxServer counts its builds of one version.
_BUILD = re.compile(r"-ls(\d+)$")
# A first number from here on is a year: it says when, not how much has changed.
_FIRST_YEAR, _LAST_YEAR = 2000, 2199
# 20260505 is a day.
_DAY = re.compile(r"20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
# The same app by these registries: linuxserver/sonarr is on Docker Hub, GitHub and its own.
_MIRRORS = {"docker.io", "ghcr.io", "lscr.io", "quay.io", "gcr.io", "public.ecr.aws"}


@dataclasses.dataclass(frozen=True)
class Version:
    """What a tag says: `numbers`, the `variant` behind them (`alpine`, `develop`), LinuxServer's `build`."""

    numbers: tuple
    variant: str = ""
    build: int | None = None

    @property
    def by_date(self):
        """Whether the first number is a year or a day."""
        first = self.numbers[0]
        return _FIRST_YEAR <= first <= _LAST_YEAR or _DAY.fullmatch(str(first)) is not None

    @property
    def text(self):
        """The numbers as they are written."""
        return ".".join(str(number) for number in self.numbers)


@dataclasses.dataclass(frozen=True)
class Jump:
    """One step.

    Attributes:
        kind: one of the words above.
        refusal: a sentence that says why it needs `-e allow_major=true`; None where it does not, or has it.
        note: a sentence worth saying although it goes on; None without.
    """

    kind: str
    refusal: str | None = None
    note: str | None = None


@dataclasses.dataclass(frozen=True)
class Migration:
    """A step that there is no way back from: from below `at` to it or above, for images of these names."""

    apps: tuple
    at: tuple
    why: str
    source: str


# As of 2026-11. What crosses a major version needs allow_major anyhow and is here for its reason.
MIGRATIONS = (
    Migration(
        ("jellyfin",),
        (10, 11),
        "Jellyfin 10.11 moves its whole library to another database, which takes long, fails for some, and no earlier "
        "version can read",
        "https://github.com/jellyfin/jellyfin/issues/15027",
    ),
    Migration(
        ("jellyfin",),
        (10, 9),
        "no earlier version can read the database of Jellyfin 10.9",
        "https://github.com/jellyfin/jellyfin/issues/11547",
    ),
    Migration(
        ("jellyfin",),
        (12,),
        "Jellyfin 12 rewrites its database at the first start and switches old ways of logging in off, which older "
        "apps and plugins use",
        "https://github.com/Pharkie/ultimate-arr-stack/pull/32",
    ),
    Migration(
        ("authentik",),
        (2025, 4),
        "authentik 2025.4 changes its database so that going back to an earlier version no longer works",
        "https://github.com/goauthentik/authentik/issues/14501",
    ),
    Migration(
        ("authentik",),
        (2025, 10),
        "authentik 2025.10 needs PostgreSQL 14 or newer and keeps in it what was in Redis before",
        "https://docs.goauthentik.io/releases/2025.10/",
    ),
    Migration(
        ("seerr", "jellyseerr", "overseerr"),
        (3,),
        "Seerr 3 takes over the database of Overseerr and Jellyseerr, which cannot read it afterwards",
        "https://github.com/seerr-team/seerr/issues/1300",
    ),
)
# app → months that a release may be ahead of the one that runs: releases are not to be skipped.
# authentik releases every two or three months (2025.10, 2025.12, 2026.2, 2026.5, 2026.8) and has its databases
# migrated release by release: https://docs.goauthentik.io/installation/upgrade
_ONE_BY_ONE = {"authentik": 3}
# Repositories whose last part is not the app's name.
_APPS = {"goauthentik/server": "authentik", "library/postgres": "postgres"}
# Images that have a version of their own in front, and PostgreSQL's in a later part: 0.8.0-pg16.
_EXTENDED = {"pgvecto-rs", "pgvector", "timescaledb", "timescaledb-ha", "vchord-postgres"}
_POSTGRES = {"postgres", "postgresql", "postgis", *_EXTENDED}
_PG = re.compile(r"(?:^|-)pg(\d+)")


def version_of(tag):
    """The `Version` of a tag; None for one that names none, such as `latest`."""
    match = _VERSION.fullmatch(tag or "")
    if not match:
        return None
    rest = match["rest"]
    build = _BUILD.search(rest)
    if build:
        rest = rest[: build.start()]
    numbers = tuple(int(number) for number in match["numbers"].split("."))
    return Version(numbers, rest.lstrip("-_+.").lower(), int(build[1]) if build else None)


def kind_of(old, new):
    """The kind of the step from one image (name) to another."""
    try:
        before, after = parse(old), parse(new)
    except BadReference:
        return UNKNOWN
    if not _same_image(before, after):
        return UNKNOWN
    if before.tag == after.tag and before.tag is not None:
        return SAME
    return _compare(version_of(before.tag), version_of(after.tag))


def _same_image(before, after):
    if before.repository != after.repository:
        return False
    return before.registry == after.registry or {before.registry, after.registry} <= _MIRRORS


def _compare(old, new):
    if old is None or new is None or old.by_date != new.by_date:
        return UNKNOWN
    # A shorter tag stands for all that begin with it: 16 and 16.14 differ in nothing that both say.
    length = min(len(old.numbers), len(new.numbers))
    before, after = old.numbers[:length], new.numbers[:length]
    if before == after:
        if len(old.numbers) != len(new.numbers):
            return PATCH if length > 1 else MINOR
        if old.build is not None and new.build is not None and old.build != new.build:
            return PATCH if new.build > old.build else DOWN
        return SAME if old.variant == new.variant else PATCH
    if after < before:
        return DOWN
    first = next(number for number in range(length) if before[number] != after[number])
    if first == 0:
        # A year tells when something was released, not that it breaks with what was before: authentik 2026.11 to
        # 2027.2 is as small a step as 2026.8 to 2026.11. What is known to break is in the tables above.
        return MINOR if new.by_date else MAJOR
    return MINOR if first == 1 else PATCH


def assess(service, old, new, wiring_kind=None, allow_major=False):
    """The `Jump` of a service from one image (name) to another, which has another digest.

    Params:
        old: what runs, or what was locked; None or empty: nothing, and any step is right. The same name as `new`: its
            tag has moved.
        wiring_kind: `wiring.kind` of the service's file; `postgresql` has rules of its own.
        allow_major: whether `-e allow_major=true` was given; what would be refused is then a note.
    """
    if not old:
        return Jump(UNKNOWN)
    kind = kind_of(old, new)
    if kind == SAME and version_of(parse(new).tag) is None:
        # latest is what it was by its name only.
        kind = UNKNOWN
    why = _why_not(old, new, kind, wiring_kind)
    if why:
        sentence = f"{service}: {_words(old, new)}: {why}."
        if allow_major:
            return Jump(kind, note=sentence)
        return Jump(
            kind, refusal=f"{sentence} Look at its release notes and take a backup, then run again with {ALLOW}."
        )
    if kind == UNKNOWN:
        return Jump(kind, note=f"{service}: {_words(old, new)}: how big a step that is cannot be told from its tag.")
    if kind == DOWN:
        return Jump(
            kind, note=f"{service}: {_words(old, new)} is a step back; the playbook rollback takes the data back too."
        )
    return Jump(kind)


def _words(old, new):
    """What changes, without what stays: `sonarr 4.0.18 to 4.0.19`."""
    try:
        before, after = parse(old), parse(new)
    except BadReference:
        return f"{old} to {new}"
    if (before.registry, before.repository) != (after.registry, after.repository):
        return f"{old} to {new}"
    if before.tag == after.tag and after.tag:
        return f"{after.app} {after.tag} is another image now"
    return f"{after.app} {before.tag or before.digest[:19]} to {after.tag or after.digest[:19]}"


def _why_not(old, new, kind, wiring_kind):
    """Why a step is not taken without being asked for; None where it is."""
    try:
        before, after = parse(old), parse(new)
    except BadReference:
        return None
    was_app, app = (_APPS.get(one.repository, one.app) for one in (before, after))
    was, will = version_of(before.tag), version_of(after.tag)
    if wiring_kind == "postgresql" or app in _POSTGRES:
        majors = [_postgres_major(*one) for one in ((was_app, before.tag), (app, after.tag))]
        return _postgres(*majors, _same_image(before, after) and _is_alpine(before.tag) == _is_alpine(after.tag))
    # Before anything else: Overseerr becomes Seerr by another repository, and Jellyfin is in several.
    reason = _migration((was_app, app), was, will)
    if reason or kind == UNKNOWN:
        return reason
    if kind == DOWN:
        if was.numbers[:2] == will.numbers[:2]:
            return None
        return (
            "a step back: what the newer version wrote the older one may not be able to read. "
            "The playbook rollback puts back image and data"
        )
    months = _ONE_BY_ONE.get(app)
    if months and was and will and len(was.numbers) > 1 and len(will.numbers) > 1:
        apart = (will.numbers[0] - was.numbers[0]) * 12 + will.numbers[1] - was.numbers[1]
        if apart > months:
            return (
                f"{app} is to be updated release by release, and this leaves some out "
                "(https://docs.goauthentik.io/installation/upgrade)"
            )
    return "a new major version, which may change its data and settings for good" if kind == MAJOR else None


def _migration(apps, was, will):
    """Why a step of `apps` (before and after) is known to be one-way; None where it is not."""
    if not was or not will:
        return None
    for migration in MIGRATIONS:
        if set(apps) <= set(migration.apps) and was.numbers[: len(migration.at)] < migration.at <= will.numbers:
            return f"{migration.why} ({migration.source})"
    return None


def _postgres_major(app, tag):
    """The major version of PostgreSQL in a tag; None where it does not say."""
    found = _PG.search((tag or "").lower())
    if found:
        return int(found[1])
    version = version_of(tag)
    return version.numbers[0] if version and app not in _EXTENDED else None


def _is_alpine(tag):
    return "alpine" in (tag or "").lower()


def _postgres(was, will, same_build):
    """PostgreSQL reads the data of its own major version (`was`, `will`) only, and sorts text as its C library does."""
    if was is None or will is None:
        return (
            "the tags do not tell the major version of PostgreSQL, and it starts on no data of another one. "
            "Write one that does, such as 16.14-alpine or pg16"
        )
    if was != will:
        return (
            f"PostgreSQL {will} does not start on the data of PostgreSQL {was}, neither newer "
            "nor older: dump the databases, move the directory away, start the new version and load them "
            "(https://www.postgresql.org/docs/current/upgrading.html)"
        )
    if not same_build:
        return (
            "another build of PostgreSQL may sort text in another order, and its indexes are wrong then until REINDEX "
            "(https://wiki.postgresql.org/wiki/Locale_data_changes)"
        )
    return None


# -- age -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Held:
    """An image that is too young: `days_left` until it is taken (None: its age is not known), and a sentence."""

    days_left: int | None
    sentence: str


def held(service, image, created, minimum_age, now=None):
    """The `Held` of an image that is younger than `minimum_age` days; None where it may be taken.

    Params:
        created: `2026-10-01T10:00:00Z`, or None where it is not known: that counts as too young, for it might be.
        minimum_age: days; 0 holds nothing back.
        now: an aware datetime, for tests.
    """
    if minimum_age <= 0:
        return None
    rule = f"mediastack_update_minimum_age is {minimum_age} days"
    if created is None:
        return Held(
            None,
            f"{service}: {image} is held back: it does not say when it was built, and {rule}. "
            f"Pin it with its digest in mediastack_images, or update {service} by itself with the setting at 0.",
        )
    now = now or datetime.datetime.now(datetime.UTC)
    built = datetime.datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
    left = minimum_age - (now - built).total_seconds() / 86400
    if left <= 0:
        return None
    days = math.ceil(left)
    return Held(
        days,
        f"{service}: {image} is held back for {days} more day{'' if days == 1 else 's'}: "
        f"it was built on {created[:10]}, and {rule}.",
    )
