# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which digest every service of every host is to run: from the lock, from registries, or not yet."""

from __future__ import annotations

import datetime

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    lock_file,
    lock_outcome,
    lock_plan,
    registry_errors,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.collection_version import version
from ansible_collections.homelab.mediastack.plugins.plugin_utils.lock_file import Entry, Lock
from ansible_collections.homelab.mediastack.plugins.plugin_utils.registry_client import Answers, Resolved
from ansible_collections.homelab.mediastack.plugins.plugin_utils.registry_errors import RegistryError

A, B, C, D = ("sha256:" + letter * 64 for letter in "abcd")
SONARR, RADARR = "lscr.io/linuxserver/sonarr:4.0.19", "lscr.io/linuxserver/radarr:6.2.1"
OLD_SONARR = "lscr.io/linuxserver/sonarr:4.0.18"
POSTGRES = "postgres:16.14-alpine"
NOW = datetime.datetime(2026, 11, 23, 7, 0, tzinfo=datetime.UTC)
LONG_AGO = "2026-10-01T10:00:00Z"


class Registry:
    """What registries have: image → digest, or (digest, created, platforms), or a RegistryError."""

    def __init__(self, **_ignored):
        self.images, self.messages = {}, []
        self.asked = []
        self.known = None

    def __call__(self, images, known=None):
        self.asked.append(sorted(images))
        self.known = known
        found, problems = {}, {}
        for image in images:
            answer = self.images[image]
            if isinstance(answer, RegistryError):
                problems[image] = answer
                continue
            digest, created, platforms = answer if isinstance(answer, tuple) else (answer, LONG_AGO, None)
            found[image] = Resolved(image, digest, platforms or {"linux/amd64": digest}, created)
        return Answers(found, problems, self.messages)


@pytest.fixture
def registry():
    one = Registry()
    one.images = {SONARR: B, RADARR: C}
    return one


def locked(*pairs):
    entries = [Entry(service, image, digest, {"linux/amd64": digest}, LONG_AGO) for service, image, digest in pairs]
    return lock_file.merged(Lock("/etc/stack/mediastack.lock.yml"), entries)


def wants(**services):
    return {name: {"image": image, "wiring_kind": None} for name, image in services.items()}


def runs(refused=None, **services):
    """A survey: service → (image, digest)."""
    return {
        "services": {
            name: {"image": image, "digest": digest, "digests": [digest] if digest else [], "platform": "linux/amd64"}
            for name, (image, digest) in services.items()
        },
        "refused": refused or {},
    }


def plan(registry, images, surveys=None, lock=None, **options):
    request = lock_plan.Request(images=images, surveys=surveys or {}, **options)
    return lock_plan.plan(request, lock or Lock("/etc/stack/mediastack.lock.yml"), registry, NOW)


def digests(done):
    return {host: {name: one["digest"] for name, one in services.items()} for host, services in done.targets.items()}


def test_without_a_lock_tags_are_resolved_and_everything_is_locked(registry):
    done = plan(registry, {"nas": wants(sonarr=SONARR, radarr=RADARR)}, {"nas": runs(sonarr=(SONARR, A))})
    assert digests(done) == {"nas": {"sonarr": B, "radarr": C}}
    assert done.targets["nas"]["sonarr"] == {"image": SONARR, "digest": B, "created": LONG_AGO}
    assert (done.source, done.held, done.drop) == ("registry", [], [])
    assert [entry.key for entry in done.lock.entries] == [("radarr", RADARR), ("sonarr", SONARR)]
    entry = done.lock.entry("sonarr", SONARR)
    assert (entry.resolved, entry.by, entry.platforms) == ("2026-11-23T07:00:00Z", version(), {"linux/amd64": B})


def test_a_host_behind_the_lock_is_brought_to_it_and_no_registry_is_asked(registry):
    """The first hosts took B; B is what the others get, although the tag has moved on since."""
    registry.images[SONARR] = D
    images = {"nas": wants(sonarr=SONARR, radarr=RADARR), "attic": wants(sonarr=SONARR, radarr=RADARR)}
    surveys = {
        "nas": runs(sonarr=(SONARR, B), radarr=(RADARR, C)),
        "attic": runs(sonarr=(SONARR, A), radarr=(RADARR, C)),
    }
    lock = locked(("sonarr", SONARR, B), ("radarr", RADARR, C))
    done = plan(registry, images, surveys, lock)
    assert registry.asked == []
    assert done.source == "lock"
    assert digests(done) == {host: {"sonarr": B, "radarr": C} for host in images}
    assert (done.fresh, done.lock) == ([], lock)
    assert "attic to be brought to the lock (sonarr); no registry is asked" in done.messages


def test_a_host_that_is_behind_because_somebody_holds_the_service_keeps_nobody_from_the_registries(registry):
    registry.images[SONARR] = D
    surveys = {"nas": runs(sonarr=(SONARR, B)), "attic": {**runs(sonarr=(SONARR, A)), "held": ["sonarr"]}}
    images = {host: wants(sonarr=SONARR) for host in surveys}
    assert plan(registry, images, surveys, locked(("sonarr", SONARR, B))).source == "registry"


def test_with_every_host_at_the_lock_tags_are_resolved_anew(registry):
    registry.images[SONARR] = D
    done = plan(
        registry,
        {"nas": wants(sonarr=SONARR, radarr=RADARR)},
        {"nas": runs(sonarr=(SONARR, B), radarr=(RADARR, C))},
        locked(("sonarr", SONARR, B), ("radarr", RADARR, C)),
    )
    assert registry.asked == [sorted([SONARR, RADARR])]
    assert registry.known[SONARR].digest == B
    assert digests(done) == {"nas": {"sonarr": D, "radarr": C}}
    assert [entry.key for entry in done.fresh] == [("sonarr", SONARR)]
    assert any(
        f"sonarr: {SONARR} is {D[:19]} now, built on 2026-10-01; it was {B[:19]}" in one for one in done.messages
    )


def test_a_changed_tag_that_the_lock_names_already_is_behind(registry):
    """A pull request has bumped tag and lock; after the merge `update` takes what was merged."""
    done = plan(
        registry,
        {"nas": wants(sonarr=SONARR)},
        {"nas": runs(sonarr=(OLD_SONARR, A))},
        locked(("sonarr", SONARR, B)),
    )
    assert registry.asked == []
    assert digests(done) == {"nas": {"sonarr": B}}


def test_what_is_not_in_the_lock_waits_for_the_next_update_and_is_told(registry):
    done = plan(
        registry,
        {"nas": wants(sonarr=SONARR, radarr=RADARR)},
        {"nas": runs(sonarr=(SONARR, A))},
        locked(("sonarr", SONARR, B)),
    )
    assert digests(done) == {"nas": {"sonarr": B}}
    assert any(f"nas: radarr: {RADARR} is not locked yet" in one for one in done.messages)


def test_an_engine_may_know_an_image_by_its_platforms_digest(registry):
    lock = Lock(None, (Entry("sonarr", SONARR, A, {"linux/amd64": B}, LONG_AGO),))
    registry.images[SONARR] = A
    done = plan(registry, {"nas": wants(sonarr=SONARR)}, {"nas": runs(sonarr=(SONARR, B))}, lock)
    assert done.source == "registry"
    survey = runs(sonarr=(SONARR, None))
    survey["services"]["sonarr"]["digests"] = [C, B]
    assert plan(registry, {"nas": wants(sonarr=SONARR)}, {"nas": survey}, lock).source == "registry"


def test_an_image_with_a_digest_is_that_digest(registry):
    fixed = f"{SONARR}@{D}"
    done = plan(registry, {"nas": wants(sonarr=fixed)}, {"nas": runs(sonarr=(SONARR, A))}, minimum_age=30)
    assert (registry.asked, digests(done), done.held) == ([], {"nas": {"sonarr": D}}, [])
    assert done.lock.entries == ()


# -- from_lock, lock_only --------------------------------------------------------------------------------------------


def test_from_the_lock_alone(registry):
    done = plan(
        registry,
        {"nas": wants(sonarr=SONARR)},
        {"nas": runs(sonarr=(SONARR, B))},
        locked(("sonarr", SONARR, B)),
        from_lock=True,
    )
    assert (registry.asked, done.source, digests(done)) == ([], "lock", {"nas": {"sonarr": B}})


def test_from_the_lock_alone_what_it_lacks_is_an_error(registry):
    with pytest.raises(lock_plan.PlanError) as error:
        plan(registry, {"nas": wants(sonarr=SONARR, radarr=RADARR)}, from_lock=True)
    assert len(error.value.problems) == 2
    assert (
        f"sonarr: {SONARR} is not in /etc/stack/mediastack.lock.yml, and -e from_lock=true asks no registry"
        in error.value.problems[0]
    )
    assert "-e lock_only=true" in error.value.problems[0]


def test_the_lock_alone_is_resolved_whatever_hosts_run(registry):
    done = plan(
        registry,
        {"nas": wants(sonarr=SONARR)},
        {"nas": runs(sonarr=(SONARR, A))},
        locked(("sonarr", SONARR, D)),
        lock_only=True,
    )
    assert registry.asked == [[SONARR]]
    assert done.lock.entry("sonarr", SONARR).digest == B


def test_the_lock_alone_is_compared_with_the_lock_before(registry):
    new = "lscr.io/linuxserver/radarr:7.0.0"
    registry.images[new] = D
    images = {"nas": wants(radarr=new)}
    lock = locked(("radarr", RADARR, C))
    # Whoever reviews the lock sees a major version, also where a host was moved on by hand.
    for survey in (runs(radarr=(new, D)), runs(radarr=(new, B)), runs()):
        done = plan(registry, images, {"nas": survey}, lock, lock_only=True)
        assert "radarr 6.2.1 to 7.0.0: a new major version" in done.refused[0]
        assert done.fresh == []
    # The lock has it already, and a host is behind.
    ahead = plan(registry, images, {"nas": runs(radarr=(RADARR, C))}, locked(("radarr", new, B)), lock_only=True)
    assert (ahead.refused, [entry.digest for entry in ahead.fresh]) == ([], [D])
    # What was never locked is a change of what runs.
    first = plan(registry, images, {"nas": runs(radarr=(RADARR, C))}, lock_only=True)
    assert "radarr 6.2.1 to 7.0.0" in first.refused[0]


def test_both_at_once_mean_nothing(registry):
    with pytest.raises(lock_plan.PlanError, match="give one"):
        plan(registry, {"nas": wants(sonarr=SONARR)}, from_lock=True, lock_only=True)


# -- what is held back -----------------------------------------------------------------------------------------------


def test_a_major_jump_is_left_out_and_the_rest_goes_on(registry):
    new = "lscr.io/linuxserver/radarr:7.0.0"
    registry.images[new] = D
    images = {"nas": wants(sonarr=SONARR, radarr=new)}
    surveys = {"nas": runs(sonarr=(SONARR, A), radarr=(RADARR, C))}
    done = plan(registry, images, surveys, locked(("radarr", RADARR, C)))
    assert digests(done) == {"nas": {"sonarr": B}}
    assert len(done.held) == 1
    assert done.held == done.refused
    assert done.held[0].startswith("nas: radarr: radarr 6.2.1 to 7.0.0: a new major version")
    assert [entry.key for entry in done.lock.entries] == [("radarr", RADARR), ("sonarr", SONARR)]
    allowed = plan(registry, images, surveys, locked(("radarr", RADARR, C)), allow_major=True)
    assert digests(allowed) == {"nas": {"sonarr": B, "radarr": D}}
    assert allowed.held == []
    assert any("a new major version" in one for one in allowed.messages)


def test_a_host_that_may_not_take_the_locked_image_keeps_no_other_from_new_ones(registry):
    """It is behind for good, until somebody allows it; registries are asked for the others all the same."""
    new = "lscr.io/linuxserver/radarr:7.0.0"
    registry.images[new] = D
    done = plan(
        registry,
        {"nas": wants(sonarr=SONARR, radarr=new)},
        {"nas": runs(sonarr=(SONARR, A), radarr=(RADARR, C))},
        locked(("radarr", new, D), ("sonarr", SONARR, A)),
    )
    assert done.source == "registry"
    assert digests(done) == {"nas": {"sonarr": B}}


def test_the_same_reason_on_two_hosts_is_one_sentence(registry):
    new = "lscr.io/linuxserver/radarr:7.0.0"
    registry.images[new] = D
    images = {host: wants(radarr=new) for host in ("nas", "attic")}
    surveys = {host: runs(radarr=(RADARR, C)) for host in images}
    done = plan(registry, images, surveys)
    assert len(done.held) == 1
    assert done.held[0].startswith("nas, attic: radarr: ")


def test_a_postgresql_of_another_major_version_waits_even_when_it_is_locked(registry):
    new = "postgres:18-alpine"
    images = {"nas": {"db": {"image": new, "wiring_kind": "postgresql"}}}
    done = plan(registry, images, {"nas": runs(db=(POSTGRES, A))}, locked(("db", new, B)), from_lock=True)
    assert done.targets == {"nas": {}}
    assert "does not start on the data of PostgreSQL 16" in done.held[0]


def test_a_tag_without_a_version_is_taken_with_a_word_where_it_has_moved(registry):
    latest = "lscr.io/linuxserver/sonarr:latest"
    registry.images[latest] = B
    images, lock = {"nas": wants(sonarr=latest)}, locked(("sonarr", latest, A))
    moved = plan(registry, images, {"nas": runs(sonarr=(latest, A))}, lock)
    assert digests(moved) == {"nas": {"sonarr": B}}
    word = "nas: sonarr: sonarr latest is another image now: how big a step that is cannot be told from its tag."
    assert word in moved.messages
    assert word in plan(registry, images, {}, lock, lock_only=True).messages
    same = locked(("sonarr", latest, B))
    assert plan(registry, images, {"nas": runs(sonarr=(latest, B))}, same).messages == []
    assert plan(registry, images, {}, same, lock_only=True).messages == []


def test_a_postgresql_whose_tag_tells_no_version_waits_when_it_has_moved(registry):
    registry.images["me/db:latest"] = B
    images = {"nas": {"db": {"image": "me/db:latest", "wiring_kind": "postgresql"}}}
    surveys = {"nas": runs(db=("me/db:latest", A))}
    done = plan(registry, images, surveys, locked(("db", "me/db:latest", A)))
    assert done.targets == {"nas": {}}
    assert "do not tell the major version of PostgreSQL" in done.refused[0]
    # It is not behind either, where a lock names the new one.
    assert plan(registry, images, surveys, locked(("db", "me/db:latest", B))).targets == {"nas": {}}
    allowed = plan(registry, images, surveys, locked(("db", "me/db:latest", A)), allow_major=True)
    assert digests(allowed) == {"nas": {"db": B}}


def test_without_a_look_at_hosts_the_lock_is_what_runs(registry):
    new = "lscr.io/linuxserver/radarr:7.0.0"
    registry.images[new] = D
    lock = locked(("radarr", "lscr.io/linuxserver/radarr:6.1.0", A), ("radarr", RADARR, C))
    done = plan(registry, {"nas": wants(radarr=new)}, lock=lock, lock_only=True)
    assert "radarr 6.2.1 to 7.0.0" in done.held[0]
    assert done.lock == lock


def test_on_a_host_that_has_no_such_service_there_is_no_jump(registry):
    new = "lscr.io/linuxserver/radarr:7.0.0"
    registry.images[new] = D
    done = plan(registry, {"nas": wants(radarr=new)}, {"nas": runs()}, locked(("radarr", RADARR, C)))
    assert digests(done) == {"nas": {"radarr": D}}


def test_a_young_image_is_held_back_and_the_locked_one_stays(registry):
    registry.images[SONARR] = (D, "2026-11-22T07:00:00Z", None)
    lock = locked(("sonarr", SONARR, B))
    images = {"nas": wants(sonarr=SONARR), "attic": wants(sonarr=SONARR)}
    surveys = {"nas": runs(sonarr=(SONARR, B)), "attic": runs()}
    done = plan(registry, images, surveys, lock, minimum_age=3)
    (sentence,) = done.held
    assert sentence.startswith(f"nas, attic: sonarr: {SONARR} is held back for 2 more days: it was built on 2026-11-22")
    assert done.refused == []
    assert done.lock == lock
    # What is new on a host runs what the others run.
    assert digests(done) == {"nas": {"sonarr": B}, "attic": {"sonarr": B}}


def test_an_image_without_a_date_is_held_back_too(registry):
    registry.images[SONARR] = (D, None, None)
    done = plan(registry, {"nas": wants(sonarr=SONARR)}, {"nas": runs(sonarr=(SONARR, B))}, minimum_age=1)
    assert digests(done) == {"nas": {}}
    assert "does not say when it was built" in done.held[0]


def test_what_runs_already_is_locked_however_young_it_is(registry):
    registry.images[SONARR] = (D, "2026-11-22T07:00:00Z", None)
    done = plan(registry, {"nas": wants(sonarr=SONARR)}, {"nas": runs(sonarr=(SONARR, D))}, minimum_age=3)
    assert done.held == []
    assert done.lock.entry("sonarr", SONARR).digest == D


def test_the_age_of_what_is_locked_does_not_count_again(registry):
    lock = Lock(None, (Entry("sonarr", SONARR, D, {}, "2026-11-22T07:00:00Z"),))
    done = plan(registry, {"nas": wants(sonarr=SONARR)}, {"nas": runs(sonarr=(SONARR, B))}, lock, minimum_age=30)
    assert (digests(done), done.held) == ({"nas": {"sonarr": D}}, [])


def test_what_has_failed_on_a_host_is_held_back_there_only(registry):
    refused = {"sonarr": {"image": SONARR, "digest": B, "when": "2026-11-20T03:30:00Z", "why": "never healthy"}}
    images = {"nas": wants(sonarr=SONARR), "attic": wants(sonarr=SONARR)}
    surveys = {"nas": runs(sonarr=(SONARR, A), refused=refused), "attic": runs(sonarr=(SONARR, B))}
    lock = locked(("sonarr", SONARR, B))
    done = plan(registry, images, surveys, lock)
    # It is not behind: registries are asked for something better.
    assert done.source == "registry"
    assert digests(done) == {"nas": {}, "attic": {"sonarr": B}}
    (sentence,) = done.held
    assert sentence.startswith(f"nas: sonarr: {SONARR} {B[:19]} failed its gate on 2026-11-20 and is held back until")
    assert sentence.endswith("-e retry_failed=true")
    again = plan(registry, images, surveys, lock, retry_failed=True)
    assert again.source == "lock"
    assert digests(again) == {"nas": {"sonarr": B}, "attic": {"sonarr": B}}
    registry.images[SONARR] = D
    assert digests(plan(registry, images, surveys, lock)) == {"nas": {"sonarr": D}, "attic": {"sonarr": D}}


# -- what is wrong ---------------------------------------------------------------------------------------------------


def test_every_image_that_is_not_found_is_named_and_nothing_is_done(registry):
    dead = RegistryError(registry_errors.DNS, "lscr.io", "this computer finds no address for lscr.io.")
    registry.images = {SONARR: dead, RADARR: dead, "traefik:v3": RegistryError("missing", "docker.io", "no such tag.")}
    with pytest.raises(lock_plan.PlanError) as error:
        plan(registry, {"nas": wants(sonarr=SONARR, radarr=RADARR, traefik="traefik:v3")})
    assert error.value.problems == [
        f"{SONARR} (for sonarr), {RADARR} (for radarr): this computer finds no address for lscr.io.",
        "traefik:v3 (for traefik): no such tag.",
    ]


def test_a_login_that_could_not_be_had_is_told_with_what_failed(registry):
    """A private image without its login looks as if it were not there."""
    registry.images = {SONARR: RegistryError(registry_errors.LOGIN, "lscr.io", "lscr.io answered 401.", 401)}
    registry.messages = ["The login for lscr.io is kept by docker-credential-x, which is not on PATH."]
    with pytest.raises(lock_plan.PlanError) as error:
        plan(registry, {"nas": wants(sonarr=SONARR)})
    assert error.value.problems == [f"{SONARR} (for sonarr): lscr.io answered 401.", *registry.messages]


def test_an_image_that_was_built_on_its_host_is_named(registry):
    mine = "mine/sonarr:1"
    registry.images[mine] = RegistryError(registry_errors.LOGIN, "docker.io", "docker.io answered 401.", 401)
    with pytest.raises(lock_plan.PlanError) as error:
        plan(registry, {"nas": wants(sonarr=mine)}, {"nas": runs(sonarr=(mine, None))})
    said = error.value.problems[0]
    assert said.startswith(f"sonarr: {mine} on nas was built there or loaded into its engine")
    assert "-e service=" in said


def test_a_registry_on_the_host_itself_is_named(registry):
    mine = "127.0.0.1:5000/sonarr:1"
    registry.images[mine] = RegistryError(registry_errors.UNREACHABLE, "127.0.0.1:5000", "no connection.")
    with pytest.raises(lock_plan.PlanError, match="is of a registry on the host itself"):
        plan(registry, {"nas": wants(sonarr=mine)}, {"nas": runs(sonarr=(mine, A))})


def test_a_platform_that_the_image_is_not_there_for_is_told_before_anything_stops(registry):
    registry.images[SONARR] = (D, LONG_AGO, {"linux/amd64": D, "linux/arm64": D})
    survey = runs(sonarr=(SONARR, B))
    survey["services"]["sonarr"]["platform"] = "linux/arm"
    with pytest.raises(
        lock_plan.PlanError, match="nas: sonarr: .* for linux/amd64, linux/arm64, and not for linux/arm"
    ):
        plan(registry, {"nas": wants(sonarr=SONARR)}, {"nas": survey})
    survey["services"]["sonarr"]["platform"] = "linux/arm64/v8"
    assert digests(plan(registry, {"nas": wants(sonarr=SONARR)}, {"nas": survey})) == {"nas": {"sonarr": D}}


# -- what goes -------------------------------------------------------------------------------------------------------


def test_an_entry_that_nobody_asks_for_any_more_goes_when_all_hosts_are_known(registry):
    lock = locked(("sonarr", OLD_SONARR, A), ("gone", "a/gone:1", D))
    images, surveys = {"nas": wants(sonarr=SONARR)}, {"nas": runs(sonarr=(OLD_SONARR, A))}
    done = plan(registry, images, surveys, lock, prune=True)
    assert done.drop == [("sonarr", OLD_SONARR)]
    # Another group's, or not asked about this time: it stays.
    assert [entry.key for entry in done.lock.entries] == [("gone", "a/gone:1"), ("sonarr", SONARR)]
    assert plan(registry, images, surveys, lock).drop == []


def test_what_is_held_back_keeps_its_entry(registry):
    new = "lscr.io/linuxserver/radarr:7.0.0"
    registry.images[new] = D
    lock = locked(("radarr", RADARR, C))
    done = plan(registry, {"nas": wants(radarr=new)}, {"nas": runs(radarr=(RADARR, C))}, lock, prune=True)
    assert (done.drop, done.lock) == ([], lock)


def document(*pairs, drop=(), **targets):
    """What `passed` is given: entries of (service, image), host → {service: image}."""
    return {
        "entries": [{"service": service, "image": image} for service, image in pairs],
        "drop": [list(key) for key in drop],
        "targets": {host: {name: {"image": image} for name, image in one.items()} for host, one in targets.items()},
    }


def test_what_went_back_on_a_host_is_not_written():
    both = {"sonarr": "s:2", "radarr": "r:2"}
    made = document(*both.items(), drop=[("sonarr", "s:1"), ("radarr", "r:1")], nas=both, attic=both)
    went = {"services": {"sonarr": {"result": "rolled_back"}, "radarr": {"result": "committed"}}}
    outcomes = {"nas": {"changed": True}, "attic": {"trouble": "sonarr was rolled back", "transaction": went}}
    assert lock_outcome.passed(made, {"nas": {}, "attic": {}}) == made
    left = lock_outcome.passed(made, outcomes)
    assert (left["entries"], left["drop"]) == ([{"service": "radarr", "image": "r:2"}], [])
    # A host that never came to it says nothing for any of them.
    nothing = lock_outcome.passed(made, {"nas": {}, "attic": {"trouble": "the registry is gone"}})
    assert (nothing["entries"], nothing["drop"]) == ([], [])


def test_what_no_host_has_come_to_yet_is_not_written():
    """Batch 1 is nas; what attic is to run may fail there."""
    made = document(
        ("sonarr", "s:2"),
        ("jellyfin", "j:2"),
        drop=[("sonarr", "s:1"), ("jellyfin", "j:1")],
        nas={"sonarr": "s:2"},
        attic={"jellyfin": "j:2"},
    )
    first = lock_outcome.passed(made, {"nas": {"skipped": True}})
    assert (first["entries"], first["drop"]) == ([{"service": "sonarr", "image": "s:2"}], [["sonarr", "s:1"]])
    assert lock_outcome.passed(made, {"nas": {}, "attic": {}}) == made
    unreachable = lock_outcome.passed(made, {"nas": {}, "attic": {"unreachable": True}})
    assert unreachable["entries"] == []


def test_what_somebody_holds_was_not_moved_and_is_not_written():
    made = document(("sonarr", "s:2"), ("radarr", "r:2"), nas={"sonarr": "s:2", "radarr": "r:2"})
    left = lock_outcome.passed(made, {"nas": {"held": ["sonarr"]}})
    assert left["entries"] == [{"service": "radarr", "image": "r:2"}]


def test_an_old_entry_stays_until_every_host_has_moved_on():
    targets = {"nas": {"sonarr": "s:2"}, "attic": {"sonarr": "s:3"}}
    made = document(("sonarr", "s:2"), ("sonarr", "s:3"), drop=[("sonarr", "s:1")], **targets)
    first = lock_outcome.passed(made, {"nas": {}})
    assert (first["entries"], first["drop"]) == ([{"service": "sonarr", "image": "s:2"}], [])
    assert lock_outcome.passed(made, {"nas": {}, "attic": {}}) == made


def test_a_host_ahead_of_the_lock_is_not_taken_back(registry):
    """Its update was killed before it wrote the lock: what it runs is newer than what that names."""
    ahead = runs(sonarr=(SONARR, B))
    ahead["services"]["sonarr"]["lock_was"] = A
    lock = locked(("sonarr", SONARR, A))
    done = plan(registry, {"nas": wants(sonarr=SONARR)}, {"nas": ahead}, lock)
    assert done.source == "registry" and digests(done) == {"nas": {"sonarr": B}}
    assert [entry.digest for entry in done.fresh] == [B]
    # Beside one that is behind it stays where it is.
    images = {"nas": wants(sonarr=SONARR), "attic": wants(sonarr=SONARR)}
    both = plan(registry, images, {"nas": ahead, "attic": runs(sonarr=(SONARR, C))}, lock)
    assert digests(both) == {"nas": {}, "attic": {"sonarr": A}}
    # A lock that names another by now is meant.
    assert digests(plan(registry, {"nas": wants(sonarr=SONARR)}, {"nas": ahead}, locked(("sonarr", SONARR, D)))) == {
        "nas": {"sonarr": D}
    }
