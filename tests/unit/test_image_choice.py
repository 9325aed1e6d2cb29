# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which image a service gets: `site` moves nothing that runs (P8)."""

from __future__ import annotations

import types

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import refused, update_ask
from ansible_collections.homelab.mediastack.plugins.module_utils.image_choice import Chosen, choose, differences

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


class Project:
    """Containers by service."""

    def __init__(self, **images):
        self.images = images

    def of(self, name):
        """As engine_state.Project."""
        if name not in self.images:
            return []
        image, identifier, *state = self.images[name]
        status, health, restarts = state or ("running", "healthy", 0)
        seen = {"requested_image": image, "image_id": identifier, "status": status, "health": health}
        return [types.SimpleNamespace(**seen, restart_count=restarts)]


def service(image, lock=None):
    return {"image": image, "locked": {"image": lock[0], "digest": lock[1], "created": None} if lock else None}


def test_what_runs_is_kept_whatever_inventory_and_lock_say():
    services = {"sonarr": service("sonarr:2", ("sonarr:2", NEW))}
    assert choose(services, Project(sonarr=("sonarr:1", "id1")), {}) == {
        "sonarr": Chosen("sonarr:1", None, "id1", "kept")
    }


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (("running", "healthy", 7), True),
        (("running", None, 0), True),
        (("running", "starting", 0), True),
        (("paused", "healthy", 0), True),
        (("restarting", None, 4), False),
        (("running", None, 4), False),
        (("running", "unhealthy", 0), False),
        (("exited", None, 0), False),
    ],
)
def test_a_first_release_that_never_got_well_is_not_kept_unless_it_is_remembered(state, kept):
    services = {"sonarr": service("sonarr:2")}
    project = Project(sonarr=("sonarr:1", "id1", *state))
    assert (choose(services, project, {})["sonarr"].image == "sonarr:1") is kept
    recorded = {"sonarr": {"image": "sonarr:1", "digest": None, "image_id": "id1"}}
    assert choose(services, project, recorded)["sonarr"] == Chosen("sonarr:1", None, "id1", "kept")


def test_what_is_gone_comes_back_as_it_was():
    recorded = {"sonarr": {"image": "sonarr:1", "digest": OLD, "image_id": "id1"}}
    services = {"sonarr": service("sonarr:2")}
    assert choose(services, Project(), recorded)["sonarr"] == Chosen("sonarr:1", OLD, "id1", "recorded")


def test_what_is_new_comes_from_the_lock_else_from_its_tag():
    services = {"sonarr": service("sonarr:2", ("sonarr:1", OLD)), "radarr": service("radarr:5")}
    found = choose(services, Project(), {})
    assert found["sonarr"] == Chosen("sonarr:1", OLD, None, "locked")
    assert found["radarr"] == Chosen("radarr:5", None, None, "asked")


def test_a_digest_in_the_inventory_is_taken_as_it_is():
    image = f"sonarr:2@{NEW}"
    assert choose({"sonarr": service(image)}, Project(), {})["sonarr"] == Chosen(image, NEW, None, "asked")


def test_only_a_target_moves_what_runs():
    services = {"sonarr": service("sonarr:2")}
    target = {"sonarr": {"image": "sonarr:2", "digest": NEW}}
    found = choose(services, Project(sonarr=("sonarr:1", "id1")), {}, target)
    assert found["sonarr"] == Chosen("sonarr:2", NEW, None, "target")


@pytest.mark.parametrize(
    ("asked", "lock", "known", "words"),
    [
        ("s:1", None, set(), None),
        ("s:1", ("s:1", OLD), {OLD}, None),
        ("s:1", ("s:1", NEW), {OLD}, "it stays on s:1, mediastack.lock.yml names s:1 (sha256:bbbbbbbbbbbb)"),
        ("s:2", ("s:1", OLD), {OLD}, "the inventory asks for s:2, mediastack.lock.yml names s:1"),
        ("s:2", None, set(), "it stays on s:1, the inventory names s:2"),
        # Known by two digests, one of which is the lock's.
        ("s:1", ("s:1", NEW), {OLD, NEW}, None),
    ],
)
def test_what_differs_from_lock_and_inventory_is_told(asked, lock, known, words):
    services = {"sonarr": service(asked, lock)}
    chosen = choose(services, Project(sonarr=("s:1", "id1")), {})
    found = differences(services, chosen, {"id1": known})
    assert found == ({"sonarr": f"sonarr: {words}: `update` brings it there"} if words else {})


def test_a_refused_digest_is_held_back_until_the_lock_names_another():
    known = {"sonarr": {"image": "s:1", "digest": NEW, "why": "crash loop", "when": "2026-11-23T07:00:00Z"}}
    assert refused.held_back({"sonarr": service("s:1", ("s:1", NEW))}, known) == known
    assert refused.held_back({"sonarr": service("s:1", ("s:1", OLD))}, known) == {}
    # Without a lock the tag is all there is.
    assert refused.held_back({"sonarr": service("s:1")}, known) == known
    assert refused.held_back({"sonarr": service("s:2")}, known) == {}
    assert refused.held_back({}, known) == {}


def test_groups_are_one_app_one_network_and_what_needs_what():
    services = {
        "gluetun": {"app": "gluetun", "network_parent": None, "depends_on": []},
        "qbittorrent": {"app": "qbittorrent", "network_parent": "gluetun", "depends_on": ["gluetun"]},
        "server": {"app": "authentik", "network_parent": None, "depends_on": ["postgresql"]},
        "worker": {"app": "authentik", "network_parent": None, "depends_on": ["postgresql"]},
        "postgresql": {"app": "authentik", "network_parent": None, "depends_on": []},
        "sonarr": {"app": "sonarr", "network_parent": None, "depends_on": []},
    }
    assert update_ask.touching(services, ["qbittorrent"]) == ["gluetun", "qbittorrent"]
    assert update_ask.touching(services, ["worker"]) == ["server", "worker", "postgresql"]
    assert update_ask.touching(services, ["sonarr"]) == ["sonarr"]
    assert update_ask.touching(services, []) == []
    # Only the same app's data may be changed by another image, not everybody's in the network.
    assert update_ask.same_apps(services, ["gluetun"]) == ["gluetun"]
    assert update_ask.same_apps(services, ["worker"]) == ["server", "worker", "postgresql"]
