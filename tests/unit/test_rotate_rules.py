# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which secrets may be rotated, and in which words the others are refused."""

from __future__ import annotations

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import rotate_rules

MADE = {"kind": "hex", "length": 32}
SECRETS = {
    "sonarr_api_key": {"value": None, "generate": MADE},
    "sonarr_password": {"value": None, "generate": MADE},
    "radarr_api_key": {"value": "0123456789abcdef", "generate": MADE},
    "wireguard_private_key": {
        "value": "wg-value",
        "generate": None,
        "given_by": "mediastack_vpn_wireguard_private_key",
    },
    "ingress_ca": {"value": None, "generate": None, "issue": {"kind": "ca"}},
    "tdarr_api_key": {"value": None, "generate": MADE, "fixed": "Tdarr keeps every key"},
    "env.TOKEN": {"value": "of the user"},
}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("radarr_api_key", "it comes from the inventory (mediastack_secrets.radarr_api_key): change it there"),
        ("wireguard_private_key", "it comes from the inventory (mediastack_vpn_wireguard_private_key)"),
        ("ingress_ca", "it is a certificate, which site renews"),
        ("tdarr_api_key", "cannot be rotated: Tdarr keeps every key"),
        ("env.TOKEN", "is no secret of this host"),
        ("sonar_api_key", "is no secret of this host. Did you mean sonarr_api_key?"),
    ],
)
def test_what_cannot_be_rotated_is_refused_by_name_with_the_reason(name, words):
    names, sentences, (problem,) = rotate_rules.choose(["sonarr_api_key", name], SECRETS)
    assert names == [] and sentences == []
    assert name in problem and words in problem
    assert "0123456789abcdef" not in problem and "wg-value" not in problem and "of the user" not in problem


def test_without_a_name_the_names_are_listed_and_nothing_is_chosen():
    names, _sentences, (problem,) = rotate_rules.choose([], SECRETS)
    assert names == []
    assert problem.endswith("can be changed: sonarr_api_key, sonarr_password.")


def test_all_is_every_one_that_can_be_changed_and_the_others_are_named():
    names, sentences, problems = rotate_rules.choose(["all"], SECRETS)
    assert names == ["sonarr_api_key", "sonarr_password"] and problems == []
    assert [text.partition(" stays: ")[0] for text in sentences] == [
        "ingress_ca",
        "radarr_api_key",
        "tdarr_api_key",
        "wireguard_private_key",
    ]


def test_a_name_that_is_given_twice_is_rotated_once():
    assert rotate_rules.choose(["sonarr_api_key", "sonarr_api_key"], SECRETS)[0] == ["sonarr_api_key"]
