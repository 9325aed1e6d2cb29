# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How big a step from one image to another is, which steps wait for allow_major, and how old an image must be."""

from __future__ import annotations

import datetime
import pathlib
import re

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import image_jump
from ansible_collections.homelab.mediastack.plugins.plugin_utils.image_reference import BadReference, parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
SONARR = "lscr.io/linuxserver/sonarr"
NOW = datetime.datetime(2026, 11, 23, 7, 0, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("4.0.19", "4.0.19", "same"),
        ("4.0.18", "4.0.19", "patch"),
        ("4.0.19.2979", "4.0.19.3006", "patch"),
        ("4.0.19", "4.1.0", "minor"),
        ("4.0.19", "5.0.0", "major"),
        ("4.0.19", "4.0.9", "down"),
        ("v3.41.3", "v3.42.0", "minor"),
        ("v3.41.3", "3.41.3", "same"),
        ("v2.17.2", "v3.0.0", "major"),
        ("16.13-alpine", "16.14-alpine", "minor"),
        ("5.1.1-ls267", "5.1.1-ls268", "patch"),
        ("5.1.1-ls267", "5.1.1-ls99", "down"),
        ("5.1.1-ls267", "5.1.2-ls268", "patch"),
        ("version-4.0.18", "4.0.19", "patch"),
        ("arm64v8-4.0.18", "arm64v8-4.0.19", "patch"),
        ("version-4.0.19.1234", "version-4.0.19.1300", "patch"),
        ("version-4.0.19.1234", "version-5.0.0.1", "major"),
        ("release-3.0.10.1567", "release-4.0.14.2939", "major"),
        ("release-4.0.13.2932", "release-4.0.14.2939", "patch"),
        ("stable-1.4", "stable-2.0", "major"),
        ("4.6.7-1", "5.1.0-1", "major"),
        ("4.6.7-1", "4.6.7-2", "patch"),
        ("4.6.7_2", "4.7.0_1", "minor"),
        ("1.41.3.9314-a0bfb8370", "1.42.1.10060-4e8b05daf", "minor"),
        ("1.43.0-4e8b05daf", "2.0.0-77a1", "major"),
        ("1.5.3-r0-ls123", "1.5.3-r0-ls124", "patch"),
        ("1.5.3-r0-ls123", "2.0.0-r0-ls1", "major"),
        ("17-alpine", "18-alpine", "major"),
        ("20260505", "20260512", "minor"),
        ("20260512", "20260505", "down"),
        ("2026.5.4", "20260512", "minor"),
        ("20269905", "20279912", "major"),
        ("2026.5.4", "2026.5.5", "patch"),
        ("2026.5.5", "2026.8.0", "minor"),
        # The year tells when, not how much.
        ("2026.11.2", "2027.2.0", "minor"),
        ("2027.2.0", "2026.11.2", "down"),
        ("26.1.20260606", "26.2", "minor"),
        ("25.4", "26.1.20260606", "major"),
        ("0.4.18-develop", "0.4.19-develop", "patch"),
        ("0.4.18-develop", "0.4.18", "patch"),
        ("0.14.5", "0.15.2", "minor"),
        ("2.62.01", "2.63.01", "minor"),
        ("16", "16.14", "minor"),
        ("4.0", "4.0.19", "patch"),
        ("16.14", "17", "major"),
        ("latest", "4.0.19", "unknown"),
        ("4.0.19", "develop", "unknown"),
        ("2026.5.5", "4.0.19", "unknown"),
        ("nightly", "latest", "unknown"),
        ("latest", "latest", "same"),
    ],
)
def test_the_kind_of_a_step(old, new, kind):
    assert image_jump.kind_of(f"{SONARR}:{old}", f"{SONARR}:{new}") == kind


def test_every_tag_of_the_catalogue_is_understood():
    images = [
        found
        for path in (ROOT / "compose_templates").glob("*/*.j2")
        for found in re.findall(r"^ +image: (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(images) > 25
    assert {image: image_jump.version_of(parse(image).tag) for image in images if not parse(image).tag} == {}
    assert all(image_jump.version_of(parse(image).tag) for image in images), images


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("linuxserver/sonarr:4.0.18", "lscr.io/linuxserver/sonarr:4.0.19"),
        ("lscr.io/linuxserver/sonarr:4.0.18", "ghcr.io/linuxserver/sonarr:4.0.19"),
    ],
)
def test_one_image_by_two_registries_is_one_image(old, new):
    assert image_jump.kind_of(old, new) == "patch"


def test_a_tag_without_a_version_that_has_moved_is_told():
    jump = image_jump.assess("sonarr", f"{SONARR}:latest", f"{SONARR}:latest")
    assert jump.refusal is None
    assert jump.note == (
        "sonarr: sonarr latest is another image now: how big a step that is cannot be told from its tag."
    )
    # One with a version has what that says.
    assert image_jump.assess("sonarr", f"{SONARR}:4.0.19", f"{SONARR}:4.0.19").note is None


@pytest.mark.parametrize(("image", "kind"), [("postgres:alpine", None), ("ghcr.io/me/database:latest", "postgresql")])
def test_a_database_whose_tag_tells_no_version_waits_when_the_tag_has_moved(image, kind):
    refusal = image_jump.assess("db", image, image, kind).refusal
    assert "is another image now: the tags do not tell the major version of PostgreSQL" in refusal
    assert image_jump.assess("db", image, image, kind, allow_major=True).refusal is None


def test_another_builds_version_says_nothing():
    jump = image_jump.assess("sonarr", "ghcr.io/hotio/sonarr:4.0.18", f"{SONARR}:4.0.19")
    assert (jump.kind, jump.refusal) == ("unknown", None)
    assert "how big a step" in jump.note
    # Nor of an app that only has the migration's numbers.
    assert image_jump.assess("seerr", "me/requests:1.0", "ghcr.io/seerr-team/seerr:v3.0.1").refusal is None


@pytest.mark.parametrize(
    ("service", "old", "new", "words"),
    [
        ("sonarr", f"{SONARR}:4.0.19", f"{SONARR}:5.0.0", "sonarr 4.0.19 to 5.0.0: a new major version"),
        ("sonarr", f"{SONARR}:4.1.0", f"{SONARR}:4.0.19", "a step back"),
        (
            "jellyfin",
            "lscr.io/linuxserver/jellyfin:10.10.7",
            "lscr.io/linuxserver/jellyfin:10.11.11",
            "moves its whole library to another database",
        ),
        (
            "jellyfin",
            "jellyfin/jellyfin:10.10.7",
            "lscr.io/linuxserver/jellyfin:10.11.11",
            "jellyfin/jellyfin:10.10.7 to lscr.io/linuxserver/jellyfin:10.11.11: Jellyfin 10.11 moves its whole",
        ),
        ("seerr", "sctx/overseerr:1.34.0", "ghcr.io/seerr-team/seerr:v3.0.1", "Seerr 3 takes over the database"),
        ("seerr", "fallenbagel/jellyseerr:2.7.3", "ghcr.io/seerr-team/seerr:v3.0.1", "Seerr 3 takes over the database"),
        ("jellyfin", "jellyfin/jellyfin:10.8.13", "jellyfin/jellyfin:10.9.0", "no earlier version can read"),
        ("jellyfin", "jellyfin/jellyfin:10.11.11", "jellyfin/jellyfin:12.1", "rewrites its database"),
        (
            "authentik",
            "ghcr.io/goauthentik/server:2025.2.4",
            "ghcr.io/goauthentik/server:2025.4.1",
            "going back to an earlier version no longer works",
        ),
        (
            "authentik-worker",
            "ghcr.io/goauthentik/server:2025.8.1",
            "ghcr.io/goauthentik/server:2025.10.0",
            "PostgreSQL 14 or newer",
        ),
        (
            "authentik",
            "ghcr.io/goauthentik/server:2026.2.2",
            "ghcr.io/goauthentik/server:2026.8.0",
            "release by release",
        ),
    ],
)
def test_a_step_that_there_is_no_way_back_from_waits(service, old, new, words):
    refusal = image_jump.assess(service, old, new).refusal
    assert refusal.startswith(f"{service}: ")
    assert words in refusal
    # Why, and what to do.
    assert "take a backup, then run again with -e allow_major=true." in refusal
    allowed = image_jump.assess(service, old, new, allow_major=True)
    assert allowed.refusal is None
    assert words in allowed.note


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"{SONARR}:4.0.18", f"{SONARR}:4.0.19"),
        (f"{SONARR}:4.0.18", f"{SONARR}:4.1.0"),
        ("jellyfin/jellyfin:10.11.6", "jellyfin/jellyfin:10.11.11"),
        ("ghcr.io/goauthentik/server:2026.5.5", "ghcr.io/goauthentik/server:2026.8.0"),
        ("owner/app:20260505", "owner/app:20270112"),
        ("plexinc/pms-docker:1.41.3.9314-a0bfb8370", "plexinc/pms-docker:1.42.1.10060-4e8b05daf"),
        ("ghcr.io/goauthentik/server:2026.11.1", "ghcr.io/goauthentik/server:2027.2.0"),
        ("postgres:16.13-alpine", "postgres:16.14-alpine"),
        ("postgres:16-alpine", "postgres:16.14-alpine"),
        # The digest of one tag has moved: there is nothing to compare, only an age.
        ("postgres:16.14-alpine", "postgres:16.14-alpine"),
        (None, "postgres:18-alpine"),
        ("", f"{SONARR}:5.0.0"),
        # Another app that is called server.
        ("ghcr.io/owner/server:2025.2", "ghcr.io/owner/server:2025.4"),
    ],
)
def test_a_step_like_any_other_is_taken_without_a_word(old, new):
    jump = image_jump.assess("one", old, new)
    assert (jump.refusal, jump.note) == (None, None)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("postgres:16.14-alpine", "postgres:17.2-alpine", "PostgreSQL 17 does not start on the data of PostgreSQL 16"),
        ("postgres:17.2-alpine", "postgres:16.14-alpine", "PostgreSQL 16 does not start on the data of PostgreSQL 17"),
        ("postgres:16.14-alpine", "postgres:alpine", "do not tell the major version"),
        ("postgres:16.14-alpine", "postgres:16.14-bookworm", "REINDEX"),
        ("postgres:16.14", "docker.io/bitnami/postgresql:16.14", "REINDEX"),
    ],
)
def test_a_postgresql_that_would_not_start_on_its_data_waits(old, new, words):
    assert words in image_jump.assess("authentik-postgresql", old, new).refusal


def test_a_database_is_known_by_its_wiring_too():
    old, new = "ghcr.io/me/database:1-pg15", "ghcr.io/me/database:2-pg16"
    assert "PostgreSQL 16 does not start" in image_jump.assess("db", old, new, wiring_kind="postgresql").refusal


@pytest.mark.parametrize(
    ("repository", "old", "new", "words"),
    [
        ("pgvector/pgvector", "pg16", "pg17", "PostgreSQL 17 does not start on the data of PostgreSQL 16"),
        ("pgvector/pgvector", "0.8.0-pg16", "0.8.0-pg17", "PostgreSQL 17 does not start on the data of PostgreSQL 16"),
        ("pgvector/pgvector", "pg16", "0.8.1", "do not tell the major version"),
        ("timescale/timescaledb", "2.17.2-pg16", "2.17.2-pg17", "PostgreSQL 17 does not start"),
        ("timescale/timescaledb", "2.17.2", "2.18.0", "do not tell the major version"),
        ("timescale/timescaledb-ha", "pg16.4-ts2.17", "pg17.2-ts2.17", "PostgreSQL 17 does not start"),
        ("postgis/postgis", "16-3.4", "17-3.4", "PostgreSQL 17 does not start on the data of PostgreSQL 16"),
        ("ghcr.io/immich-app/postgres", "14-vectorchord0.4.3-pgvectors0.2.0", "15-vectorchord0.4.3", "PostgreSQL 15"),
        # What is ahead of it may move on by itself.
        ("pgvector/pgvector", "0.7.4-pg16", "0.8.0-pg16", None),
        ("pgvector/pgvector", "pg16", "0.8.0-pg16", None),
        ("timescale/timescaledb", "2.17.2-pg16", "2.18.0-pg16", None),
        ("timescale/timescaledb-ha", "pg16.4-ts2.17", "pg16.6-ts2.18", None),
        ("postgis/postgis", "16-3.4", "16-3.5", None),
    ],
)
def test_a_database_with_extensions_has_its_major_version_in_a_later_part(repository, old, new, words):
    refusal = image_jump.assess("db", f"{repository}:{old}", f"{repository}:{new}").refusal
    assert (words in refusal) if words else refusal is None


def test_a_small_step_back_is_taken_and_told():
    jump = image_jump.assess("sonarr", f"{SONARR}:4.0.19", f"{SONARR}:4.0.18")
    assert jump.refusal is None
    assert "rollback takes the data back too" in jump.note


def test_every_known_migration_names_its_source():
    assert all(one.source.startswith("https://") and one.why for one in image_jump.MIGRATIONS)


# -- age -------------------------------------------------------------------------------------------------------------


def test_a_young_image_is_held_back_for_so_many_days():
    held = image_jump.held("sonarr", f"{SONARR}:4.0.19", "2026-11-21T07:00:00Z", 7, NOW)
    assert held.days_left == 5
    assert held.sentence == (
        f"sonarr: {SONARR}:4.0.19 is held back for 5 more days: it was built on 2026-11-21, "
        "and mediastack_update_minimum_age is 7 days."
    )
    assert "1 more day:" in image_jump.held("sonarr", "a/b:1", "2026-11-16T08:00:00Z", 7, NOW).sentence


def test_what_is_old_enough_is_not_held_back():
    assert image_jump.held("sonarr", "a/b:1", "2026-11-16T07:00:00Z", 7, NOW) is None
    assert image_jump.held("sonarr", "a/b:1", "2026-11-23T06:59:59Z", 0, NOW) is None
    assert image_jump.held("sonarr", "a/b:1", None, 0, NOW) is None


def test_what_does_not_say_its_age_might_be_young():
    held = image_jump.held("sonarr", "a/b:1", None, 3, NOW)
    assert held.days_left is None
    assert "does not say when it was built" in held.sentence


def test_an_image_of_the_future_is_young():
    assert image_jump.held("sonarr", "a/b:1", "2027-01-01T00:00:00Z", 3, NOW).days_left == 42


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "api"),
    [
        ("traefik:v3.7.13", "docker.io", "library/traefik", "v3.7.13", "registry-1.docker.io"),
        ("qmcgaw/gluetun:v3.41.3", "docker.io", "qmcgaw/gluetun", "v3.41.3", "registry-1.docker.io"),
        ("docker.io/traefik", "docker.io", "library/traefik", "latest", "registry-1.docker.io"),
        ("index.docker.io/a/b:1", "docker.io", "a/b", "1", "registry-1.docker.io"),
        ("lscr.io/linuxserver/sonarr:4.0.19", "lscr.io", "linuxserver/sonarr", "4.0.19", "lscr.io"),
        ("localhost/a:1", "localhost", "a", "1", "localhost"),
        ("nas:5000/a/b/c:1", "nas:5000", "a/b/c", "1", "nas:5000"),
        ("[::1]:5000/a:1", "[::1]:5000", "a", "1", "[::1]:5000"),
    ],
)
def test_an_images_name_is_read_as_docker_reads_it(text, registry, repository, tag, api):
    found = parse(text)
    assert (found.registry, found.repository, found.tag, found.api) == (registry, repository, tag, api)


def test_a_digest_is_read_with_and_without_a_tag():
    digest = "sha256:" + "a" * 64
    assert (parse(f"a/b@{digest}").tag, parse(f"a/b@{digest}").asked) == (None, digest)
    assert (parse(f"a/b:1@{digest}").tag, parse(f"a/b:1@{digest}").named) == ("1", "a/b:1")


@pytest.mark.parametrize(
    "text",
    ["", "A/B:1", "a b:1", "a:1:2", "a@sha256:12", "a/:1", "host.tld:99999/a:1", "-x.io/a:1", "a:" + "x" * 129, "a:.1"],
)
def test_what_is_no_image_is_said_to_be_none(text):
    with pytest.raises(BadReference):
        parse(text)


@pytest.mark.parametrize(
    ("name", "loopback"),
    [
        ("127.0.0.1:5000", True),
        ("127.9.9.9", True),
        ("localhost:5000", True),
        ("[::1]:5000", True),
        ("nas:5000", False),
    ],
)
def test_only_loopback_does_without_tls(name, loopback):
    assert parse(f"{name}/a:1").loopback is loopback
