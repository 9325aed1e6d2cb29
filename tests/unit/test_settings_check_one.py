# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One setting as it is typed, and settings that are not complete yet."""

from __future__ import annotations

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import catalogue, settings


@pytest.mark.parametrize(
    ("short", "text", "others", "value", "error"),
    [
        ("puid", "1000", {}, 1000, None),
        ("puid", "me", {}, None, '"me" is not a whole number.'),
        ("base_path", "/srv/media/", {}, "/srv/media", None),
        ("base_path", "/srv", {}, None, '"/srv" is a whole volume'),
        ("downloads_path", "/data/x", {"base_path": "/srv/a", "split_mounts": True}, "/data/x", None),
        ("downloads_path", "/data/x", {"base_path": "/srv/a"}, None, "/data/x is not below mediastack_base_path"),
        ("vpn_provider", "PIA", {}, "private internet access", None),
        ("vpn_type", "wireguard", {"vpn_provider": "purevpn"}, None, "gluetun does not offer wireguard"),
        (
            "vpn_wireguard_addresses",
            "10.0.0.2, fd00::2",
            {"vpn_provider": "mullvad"},
            ["10.0.0.2/32", "fd00::2/128"],
            None,
        ),
        ("profiles", "musik", {}, None, '"musik" is not a profile. Did you mean music?'),
        ("ports", {"sonarr": "8000"}, {}, None, "sonarr: 8000 is mediastack_vpn_control_port already"),
    ],
)
def test_one_setting(short, text, others, value, error):
    given = {f"mediastack_{name}": other for name, other in others.items()}
    found, errors, _warnings = settings.check_one(f"mediastack_{short}", text, given, catalogue.names)
    if error:
        assert errors and errors[0].startswith(error)
    else:
        assert (found, errors) == (value, [])


def test_only_what_is_wrong_with_this_one_is_told():
    _value, errors, warnings = settings.check_one("mediastack_puid", "0", {"mediastack_vpn_provider": "nobody"})
    assert errors == [] and warnings == ["0 runs the apps as root. Give them a user of their own."]


def test_a_draft_is_what_is_right_so_far():
    draft = settings.draft(
        {"mediastack_puid": "x", "mediastack_pgid": 7, "mediastack_vpn_provider": "Mullvad"}, environ={}
    )
    assert draft.values["mediastack_puid"] == 1000 and draft.sources["mediastack_puid"] == "default"
    assert draft.values["mediastack_pgid"] == 7 and draft.sources["mediastack_pgid"] == "inventory"
    assert draft.values["mediastack_vpn_provider"] == "mullvad" and draft.values["mediastack_media_path"] == ""
    assert len(draft.errors) == 1 and "mediastack_puid" in draft.errors[0]
