# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The closest valid name."""

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils.closest import closest, distance, hint, near_miss

NAMES = ["service", "profiles", "tail", "follow", "vpn_wireguard_private_key", "puid", "pgid"]


@pytest.mark.parametrize(
    ("left", "right", "steps"),
    [("", "ab", 2), ("abc", "abc", 0), ("servcie", "service", 1), ("sonar", "sonarr", 1), ("kitten", "sitting", 3)],
)
def test_distance(left, right, steps):
    assert [distance(*pair) for pair in ((left, right), (right, left))] == [steps, steps]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("servcie", "service"),
        ("services", "service"),
        ("profile", "profiles"),
        ("tial", "tail"),
        ("mail", None),
        ("wireguard_private_key", "vpn_wireguard_private_key"),
        ("uid", None),
        ("pid", "pgid"),
        ("environment", None),
        ("", None),
    ],
)
def test_near_miss(name, meant):
    assert near_miss(name, NAMES) == meant


def test_hints():
    assert closest("jelly", ["jellyfin", "plex"]) == "jellyfin"
    assert hint("Sonar", ["sonarr", "radarr"]) == "Did you mean sonarr?"
    assert hint("zzz", ["sonarr", "radarr"]) == "Valid: radarr, sonarr."
    assert hint("zzz", ["sonarr"], "Look there.") == "Look there."
    assert hint("zzz", []) == "There is none to choose from."
    assert hint("zzz", [f"name{number}" for number in range(40)]) == "None of the valid names is like it."
