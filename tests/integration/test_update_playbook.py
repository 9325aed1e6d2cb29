# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`update`, `rollback` and `restore` as a user runs them: only they move what runs, and every way back is there (P8).

The apps are small ones with a real SQLite database, their images are in a registry on loopback (tests/faults). What
happens under faults is the fault matrix's.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import sqlite3
import sys

import pytest
import stack_harness as h
import yaml

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "faults"))

from fault_stack import PLAIN, STEADY, TARGET, FaultStack  # noqa: E402

KEEP = "mediastack-keep/"


@pytest.fixture(scope="module")
def stack():
    """A converged stack of three apps, unlocked."""
    made = FaultStack(mediastack_update_stable_for=2)
    with contextlib.closing(made):
        made.play("site")
        yield made


def running(stack, service=TARGET):
    """(image name, digest) that a service runs, as the engine knows it."""
    container = stack.containers()[service]
    image = json.loads(h.docker("image", "inspect", container["Image"]))[0]
    digests = [one.partition("@")[2] for one in image["RepoDigests"] if f"/{service}@" in one]
    return container["Config"]["Labels"]["org.homelab.mediastack.image"], digests[0] if digests else None


def locked(stack, service=TARGET):
    """The digest in the lock file; None without one."""
    if not stack.lock_file.exists():
        return None
    entries = yaml.safe_load(stack.lock_file.read_text())["images"]
    return next((entry["digest"] for entry in entries if entry["service"] == service), None)


def version_of(stack, service=TARGET):
    """Version of a service's database."""
    database = stack.config / service / "app.db"
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def titles(stack, service=TARGET):
    """What is in a service's library."""
    database = stack.config / service / "app.db"
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute("SELECT title FROM library ORDER BY id")]


def add_title(stack, title, service=TARGET):
    """Add one to a running service's library."""
    database = stack.config / service / "app.db"
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        connection.execute("INSERT INTO library (title) VALUES (?)", (title,))


def lives(stack):
    """service → (container, its start): other ones whenever anything is done to it."""
    return {name: (one["Id"], one["State"]["StartedAt"]) for name, one in stack.containers().items()}


def test_nothing_moves_without_update_and_update_moves_what_moved_and_writes_the_lock(stack):
    before, first = lives(stack), running(stack)[1]
    done = stack.play("site")
    assert "images are unlocked" in done.stdout and h.changed(done) == 0
    new = stack.publish(TARGET)
    assert h.changed(stack.play("site")) == 0 and lives(stack) == before
    predicted = stack.play("update", "--check")
    assert lives(stack) == before and not stack.lock_file.exists() and h.changed(predicted) > 0
    stack.play("update")
    assert running(stack)[1] == new == locked(stack) != first
    after = lives(stack)
    assert {name for name in after if after[name] != before[name]} == {TARGET}
    text = stack.lock_file.read_bytes()
    assert h.changed(stack.play("update")) == 0 and stack.lock_file.read_bytes() == text and lives(stack) == after
    done = stack.play("site")
    assert h.changed(done) == 0 and "unlocked" not in done.stdout


@pytest.mark.long
def test_another_tag_in_the_inventory_is_told_of_and_only_update_goes_there(stack):
    before, image = lives(stack), running(stack)[0]
    new = stack.publish(TARGET, tag="1.1")
    stack.set(faults_tags={TARGET: "1.1"})
    done = stack.play("site")
    asked = image.removesuffix(":1") + ":1.1"
    words = " ".join(done.stdout.split())
    assert f"the inventory asks for {asked}, mediastack.lock.yml names {image}" in words
    assert lives(stack) == before and running(stack)[0] == image
    compose = "".join(path.read_text() for path in stack.project_path.glob("compose.*.yml"))
    # By hand, too, `docker compose up` would keep what runs.
    assert image in compose and asked not in compose
    stack.play("update")
    assert running(stack) == (asked, new)
    assert h.changed(stack.play("site")) == 0


@pytest.mark.long
def test_a_change_of_the_lock_alone_is_a_whole_update_and_asks_no_registry(stack):
    old = locked(stack)
    new = stack.publish(TARGET, tag="1.1")
    newest = stack.publish(TARGET, tag="1.1")
    stack.lock_file.write_text(stack.lock_file.read_text().replace(old, new))
    done = stack.play("site")
    assert "`update` brings it there" in done.stdout and running(stack)[1] == old
    stack.play("update")
    assert running(stack)[1] == new == locked(stack) != newest
    stack.play("update", "-e", "from_lock=true")
    assert running(stack)[1] == new


def test_a_bad_release_goes_back_with_image_and_data_and_is_held_back(stack):
    good, version, before = running(stack)[1], version_of(stack), titles(stack)
    add_title(stack, "added by hand")
    bad = stack.publish(TARGET, tag=running(stack)[0].rpartition(":")[2], fault="bad")
    others = {name: life for name, life in lives(stack).items() if name != TARGET}
    done = stack.play("update", check=False)
    assert done.returncode == 2
    assert "this release fails after it has migrated its database" in done.stdout
    assert running(stack)[1] == good == locked(stack) and version_of(stack) == version
    assert titles(stack) == [*before, "added by hand"]
    assert {name: life for name, life in lives(stack).items() if name != TARGET} == others
    line = json.loads((stack.project_path / ".mediastack" / "audit.log").read_text().splitlines()[-1])
    assert (line["result"], line["services"][TARGET]["to"]["digest"]) == ("rolled_back", bad)
    # What the bad release made of the data is kept.
    aside = list(pathlib.Path(line["aside"]).rglob("app.db"))
    with contextlib.closing(sqlite3.connect(aside[0])) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] > version
    # The lock names what was good: `site` has nothing to hold back. `update` tells, and does not try again.
    assert h.changed(stack.play("site")) == 0
    again = stack.play("update", check=False)
    assert again.returncode == 2 and "failed its gate" in again.stdout and running(stack)[1] == good
    # A lock that names it is refused, until it names another.
    text = stack.lock_file.read_text()
    stack.lock_file.write_text(text.replace(good, bad))
    held = stack.play("site", check=False)
    assert held.returncode == 2 and f"digest {bad} failed its gate on" in held.stdout and running(stack)[1] == good
    stack.lock_file.write_text(text)
    assert h.changed(stack.play("site")) == 0


@pytest.mark.long
def test_what_was_refused_is_tried_again_when_asked_for_and_a_newer_one_without(stack):
    bad = stack.state("refused")["services"][TARGET]["digest"]
    done = stack.play("update", "-e", "retry_failed=true", check=False)
    assert done.returncode == 2 and "was rolled back to" in done.stdout
    new = stack.publish(TARGET, tag="1.1")
    stack.play("update")
    assert running(stack)[1] == new == locked(stack) != bad
    assert stack.state("refused") is None


@pytest.mark.long
def test_one_bad_of_two_goes_back_alone(stack):
    good, new = stack.publish(STEADY), running(stack)[1]
    stack.publish(TARGET, tag="1.1", fault="crash")
    done = stack.play("update", check=False)
    assert done.returncode == 2 and f"updated all the same: {STEADY}" in done.stdout
    assert running(stack, STEADY)[1] == good == locked(stack, STEADY)
    assert running(stack)[1] == new == locked(stack)
    stack.publish(TARGET, tag="1.1")
    stack.play("update")
    assert running(stack, STEADY)[1] == good == locked(stack, STEADY) and running(stack)[1] == locked(stack) != new


@pytest.mark.long
def test_two_bad_releases_of_which_one_shows_late_go_back_both(stack):
    """The gate ends at the first failure; the other one shows on the way back."""
    new, other = running(stack)[1], running(stack, STEADY)[1]
    bad = {TARGET: stack.publish(TARGET, tag="1.1", fault="crash"), STEADY: stack.publish(STEADY, fault="never")}
    done = stack.play("update", check=False)
    assert done.returncode == 2 and running(stack)[1] == new and running(stack, STEADY)[1] == other, done.stdout
    assert {name: one["digest"] for name, one in stack.state("refused")["services"].items()} == bad
    assert stack.state("journal") is None
    stack.play("site")
    for service, tag in ((TARGET, "1.1"), (STEADY, "1")):
        stack.publish(service, tag=tag)
    stack.play("update")


@pytest.mark.long
def test_what_is_held_is_not_moved_and_uses_up_no_generation(stack):
    digest = running(stack)[1]
    stack.play("stop", "-e", f"service={TARGET}")
    new = stack.publish(TARGET, tag="1.1")
    record = stack.state("generations")
    done = stack.play("update")
    assert f"{TARGET}: its image waits until it is started" in done.stdout
    assert stack.state("generations") == record and running(stack)[1] == digest == locked(stack)
    stack.play("start", "-e", f"service={TARGET}")
    stack.play("update")
    assert running(stack)[1] == new == locked(stack)


def test_rollback_works_with_the_registry_dead_and_after_a_prune(stack):
    record = stack.state("generations")
    before, version = record["generations"][-2]["images"][TARGET]["digest"], version_of(stack)
    assert before != running(stack)[1]
    h.docker("image", "prune", "--force", "--filter", "label=mediastack.faults")
    add_title(stack, "written after the update")
    stack.proxy.fail("dead")
    try:
        stack.play("rollback")
        assert running(stack)[1] == before and version_of(stack) < version
        assert "written after the update" not in titles(stack)
        assert stack.state("generations")["current"] == record["current"] - 1
        # And forward again, with what was there then.
        stack.play("rollback", "-e", f"generation={record['current']}")
    finally:
        stack.proxy.mend()
    assert version_of(stack) == version and "written after the update" in titles(stack)
    assert stack.play("rollback", "-e", "generation=99", check=False).returncode == 2


@pytest.mark.long
def test_only_so_many_generations_are_kept(stack):
    stack.set(mediastack_update_keep=1)
    stack.publish(PLAIN)
    stack.play("update")
    assert len(stack.state("generations")["generations"]) == 2
    tags = h.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{KEEP}{stack.project}*").split()
    kept = stack.state("generations")["generations"][0]["number"]
    assert {tag.rpartition(":")[2] for tag in tags} == {str(kept)}
    assert f"{KEEP}{stack.project}-{PLAIN}:{kept}" in tags
    kept = [path for path in stack.backups.iterdir() if "-update-" in path.name]
    assert len(kept) == 1


@pytest.mark.long
def test_restore_puts_the_data_back_and_keeps_what_was_there(stack):
    add_title(stack, "before the backup")
    stack.play("backup")
    version = version_of(stack)
    add_title(stack, "after the backup")
    images = stack.images()
    stack.play("restore", "-e", f"service={TARGET}")
    assert "after the backup" not in titles(stack) and "before the backup" in titles(stack)
    assert version_of(stack) == version and stack.images() == images
    line = json.loads((stack.project_path / ".mediastack" / "audit.log").read_text().splitlines()[-1])
    assert (line["verb"], line["result"]) == ("restore", "committed")
    assert h.changed(stack.play("site")) == 0
    wrong = stack.play("restore", "-e", "backup=nonsense", check=False)
    assert wrong.returncode == 2 and "Traceback" not in wrong.stdout + wrong.stderr
    # What was replaced is in the snapshot that was taken first.
    stack.play("restore", "-e", f"backup={line['snapshot']}")
    assert "after the backup" in titles(stack)


@pytest.mark.long
def test_a_fresh_host_gets_exactly_what_the_lock_names(stack):
    wanted = {name: running(stack, name)[1] for name in stack.services}
    stack.publish(STEADY)
    stack.remove()
    for name in stack.services:
        h.docker("image", "rm", "--force", running_id(stack, name), check=False)
    (stack.project_path / ".mediastack" / "generations.json").unlink()
    stack.play("site")
    assert {name: running(stack, name)[1] for name in stack.services} == wanted


def running_id(stack, service):
    """Id of the image that the host's record has for a service."""
    record = stack.state("generations")
    return record["generations"][-1]["images"][service]["image_id"]
