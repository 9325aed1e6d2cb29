# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The generations of a host, and what a rollback goes back to."""

from __future__ import annotations

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import generations, update_generation
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import SnapshotError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import StackError
from ansible_collections.homelab.mediastack.plugins.module_utils.update_ask import RESTORE, ROLLBACK, Change


def image(number):
    return {"image": f"sonarr:{number}", "digest": f"sha256:{number}", "image_id": f"id{number}"}


@pytest.fixture
def path(tmp_path):
    (tmp_path / ".mediastack").mkdir()
    return str(tmp_path)


def grown(path, count, keep=10):
    """A record after so many updates."""
    generations.note(path, generations.read(path), {"sonarr": image(0)})
    for number in range(1, count + 1):
        record = generations.read(path)
        generations.commit(path, record, {"sonarr": image(number)}, "update", f"t{number}", f"snap{number}", keep)
    return generations.read(path)


def test_the_first_converge_makes_the_first_and_the_next_ones_keep_it_true(path):
    assert generations.note(path, generations.read(path), {"sonarr": image(0)})
    assert not generations.note(path, generations.read(path), {"sonarr": image(0)})
    assert generations.note(path, generations.read(path), {"sonarr": image(0), "radarr": image(5)})
    record = generations.read(path)
    assert record["current"] == 1 and set(generations.images(record)) == {"sonarr", "radarr"}


def test_an_update_leaves_its_snapshot_with_the_generation_before(path):
    record = grown(path, 2)
    assert [(one["number"], one["snapshot"]) for one in record["generations"]] == [
        (1, "snap1"),
        (2, "snap2"),
        (3, None),
    ]


def test_only_so_many_are_kept(path):
    record = grown(path, 5, keep=2)
    assert [one["number"] for one in record["generations"]] == [4, 5, 6]


def test_a_rollback_goes_to_the_one_before_or_to_the_one_that_is_named(path):
    record = grown(path, 3)
    found = update_generation.resolve(Change(ROLLBACK, generation=0), record)
    assert (found.generation, found.targets["sonarr"]["image_id"], found.data) == (3, "id2", "snap3")
    assert update_generation.resolve(Change(ROLLBACK, generation=1), record).targets == {"sonarr": image(0)}
    assert update_generation.resolve(Change(ROLLBACK, generation=1, keep_data=True), record).data is None
    with pytest.raises(StackError, match="generation 1 has nothing of radarr"):
        update_generation.resolve(Change(ROLLBACK, generation=1, names=["radarr"]), record)


@pytest.mark.parametrize(("number", "words"), [(9, "there is no generation 9"), (4, "generation 4 is the present one")])
def test_a_generation_that_there_is_not_is_told_with_those_that_there_are(path, number, words):
    with pytest.raises(StackError, match=rf"{words}. Kept here: 1 \("):
        update_generation.resolve(Change(ROLLBACK, generation=number), grown(path, 3))


def test_a_host_without_an_update_has_nothing_to_go_back_to(path):
    with pytest.raises(StackError, match=r"there is no earlier generation. Kept here: 1 \("):
        update_generation.resolve(Change(ROLLBACK, generation=0), grown(path, 0))


def test_after_a_rollback_the_next_goes_further_back(path):
    record = grown(path, 3)
    generations.go_back(path, record, 3, {"sonarr": image(2)}, "safety")
    record = generations.read(path)
    assert record["current"] == 3 and generations.find(record, 4)["snapshot"] == "safety"
    assert update_generation.resolve(Change(ROLLBACK, generation=0), record).generation == 2
    generations.commit(path, record, {"sonarr": image(9)}, "update", "t9", "snap9", 10)
    assert generations.read(path)["current"] == 5


def test_after_a_rollback_and_another_update_it_goes_back_to_what_that_update_left(path):
    record = grown(path, 3)
    generations.go_back(path, record, 3, {"sonarr": image(2)}, "safety")
    generations.commit(path, record, {"sonarr": image(9)}, "update", "t9", "snap9", 10)
    found = update_generation.resolve(Change(ROLLBACK, generation=0), generations.read(path))
    assert (found.generation, found.data) == (3, "snap9")


def test_what_a_rollback_has_left_is_forgotten_first(path):
    record = grown(path, 3, keep=3)
    generations.go_back(path, record, 3, {"sonarr": image(2)}, "safety")
    forgotten = generations.commit(path, record, {"sonarr": image(9)}, "update", "t9", "snap9", 1)
    assert [one["number"] for one in forgotten] == [4, 1, 2]
    assert [one["number"] for one in generations.read(path)["generations"]] == [3, 5]


def test_a_rollback_of_one_service_is_a_generation_of_its_own(path):
    two = [{"sonarr": image(number), "radarr": image(number)} for number in range(2)]
    generations.note(path, generations.read(path), two[0])
    generations.commit(path, generations.read(path), two[1], "update", "t1", "snap", 3)
    record = generations.read(path)
    entry = {"id": "t2", "verb": ROLLBACK, "generation": 1, "snapshot": "safety"}
    mixed = {"sonarr": image(0), "radarr": image(1)}
    assert update_generation.commit(path, record, entry, mixed, ["sonarr"], 3) == []
    record = generations.read(path)
    assert record["current"] == 3 and generations.find(record, 1)["images"] == two[0]
    # A run that was killed right after that writes nothing twice.
    assert update_generation.commit(path, record, entry, mixed, ["sonarr"], 3) is None
    entry = {"id": "t3", "verb": ROLLBACK, "generation": 1, "snapshot": "safety3"}
    assert update_generation.commit(path, record, entry, two[0], ["radarr"], 3) is None
    assert generations.read(path)["current"] == 1


SERVICES = {name: {"snapshot": {"method": "copy", "paths": ["."]}} for name in ("sonarr", "radarr", "jellyfin")}


@pytest.fixture
def steps(path, monkeypatch):
    """1 → 2 moved sonarr, 2 → 3 jellyfin, 3 → 4 sonarr again; snapshots hold what was moved."""
    taken = {"s1": ["sonarr"], "s2": ["jellyfin"], "s3": ["sonarr"]}

    def data_of(change, services):
        return change.data, [name for name in taken[change.data] if not change.names or name in change.names]

    monkeypatch.setattr(update_generation, "data_of", data_of)
    generations.note(path, generations.read(path), {"sonarr": image(0)})
    for number in (1, 2, 3):
        generations.commit(path, generations.read(path), {"sonarr": image(number)}, "update", "t", f"s{number}", 9)
    return generations.read(path)


def between(record, number, moved, **options):
    change = update_generation.resolve(Change(ROLLBACK, generation=number, **options), record)
    return update_generation.data_between(change, SERVICES, record, moved)


def test_each_service_gets_the_data_that_it_had_then_from_the_oldest_snapshot_that_has_it(steps):
    assert between(steps, 1, ["sonarr", "jellyfin"]) == {"s1": ["sonarr"], "s2": ["jellyfin"]}
    assert between(steps, 3, ["sonarr"]) == {"s3": ["sonarr"]}
    assert between(steps, 2, ["sonarr", "jellyfin"]) == {"s2": ["jellyfin"], "s3": ["sonarr"]}


def test_nothing_is_done_when_the_data_of_a_moved_service_is_in_no_snapshot(steps):
    with pytest.raises(StackError, match="no snapshot of generation 1 or later has the data of radarr"):
        between(steps, 1, ["sonarr", "radarr"])


class Backup:
    """As `snapshot_store.Snapshot`; one whose record is damaged where `missing` is None."""

    def __init__(self, identifier, services, missing=()):
        self.id, self._services, self._missing = identifier, services, missing

    services = property(lambda self: self._told(dict.fromkeys(self._services, {})))
    missing = property(lambda self: self._told(dict.fromkeys(self._missing or (), "its disk failed")))

    def _told(self, what):
        if self._missing is None:
            raise SnapshotError("damaged")
        return what

    def verify(self):
        return []


@pytest.mark.parametrize(
    ("names", "backups", "found"),
    [
        ((), [Backup("3", ["radarr"], ["sonarr"]), Backup("2", ["sonarr", "radarr"]), Backup("1", ["sonarr"])], "2"),
        (("sonarr",), [Backup("3", ["radarr"], ["sonarr"]), Backup("2", ["sonarr"], ["radarr"])], "2"),
        (("radarr",), [Backup("3", ["radarr"], ["sonarr"]), Backup("2", ["sonarr", "radarr"])], "3"),
        ((), [Backup("3", [], None), Backup("2", ["sonarr"])], "2"),
    ],
)
def test_the_newest_backup_that_has_what_is_asked_for(monkeypatch, names, backups, found):
    monkeypatch.setattr(update_generation.Store, "all", lambda self, kind: backups)
    assert update_generation.data_of(Change(RESTORE, names=names, data="latest"), SERVICES)[0] == found


def test_a_restore_of_everything_from_what_is_not_everything_has_to_be_asked_for(monkeypatch):
    monkeypatch.setattr(update_generation.Store, "all", lambda self, kind: [Backup("3", ["radarr"], ["sonarr"])])
    with pytest.raises(StackError, match=r"3, the newest, lacks sonarr. To put back what it has: -e backup=3"):
        update_generation.data_of(Change(RESTORE, data="latest"), SERVICES)
