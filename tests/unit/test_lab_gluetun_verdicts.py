# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's gluetun refuses only what the real one refuses, in its words (see fixtures/gluetun/SOURCE*.md)."""

import pathlib
import re
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))

from sim import gluetun_control, gluetun_rules  # noqa: E402

KEY = "A" * 43 + "="
MULLVAD = {
    "VPN_TYPE": "wireguard",
    "VPN_SERVICE_PROVIDER": "mullvad",
    "WIREGUARD_PRIVATE_KEY": KEY,
    "WIREGUARD_ADDRESSES": "10.64.0.2/32",
}
#: What the stand-in does not look at; the real one may refuse these for their sake.
NOT_CHECKED = re.compile(
    r"_ONLY|UNBLOCK|UPDATER|LOG_LEVEL|PUBLICIP_API|ALLOWED_IPS|KEEPALIVE|noremote|OPENVPN_ENDPOINT_PORT|PRESET|MSSFIX|NUMBER"
)


def cases():
    """Return (case, environment, the real verdict) of every recorded case."""
    found, case = [], None
    for line in (HERE.parent / "fixtures" / "gluetun" / "env-validation-v3.41.3.txt").read_text().splitlines():
        if line.startswith("   =>"):
            verdict = line.partition("=>")[2].strip()
            text = case.replace("<32B-B64>", KEY)
            env = dict(MULLVAD) if text.startswith("[MULLVAD-WG]") else {}
            words = re.split(r" (?=[A-Z_0-9]+=)", text.replace("[MULLVAD-WG]", "").strip())
            env.update(word.split("=", 1) for word in words if word)
            found.append((case, env, verdict))
        elif not line.startswith("   "):
            case = line
    return found


@pytest.mark.parametrize(("case", "env", "verdict"), cases(), ids=[case for case, _env, _verdict in cases()])
def test_the_verdict_is_the_recorded_one(case, env, verdict):
    """Accepted is accepted, a refusal has the same words; what the stand-in does not look at may pass."""
    try:
        gluetun_rules.check(gluetun_rules.Source(env, "/nonexistent", "/nonexistent"))
        said = "OK"
    except gluetun_rules.SettingsError as error:
        said = str(error)
    if said == "OK" and NOT_CHECKED.search(case):
        return
    assert said == verdict.split("ERR: ", 1)[-1]


def test_most_cases_are_checked():
    """The exceptions are few."""
    assert sum(not NOT_CHECKED.search(case) for case, _env, _verdict in cases()) >= 45


def read(tmp_path, text):
    """Read a config.toml of v3.41.3."""
    (tmp_path / "config.toml").write_text(text)
    return gluetun_rules.read_roles(str(tmp_path / "config.toml"), gluetun_control.known_routes("v3.41.2"))


ROLE = '[[roles]]\nname="a"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('routes=["GET /v1/foo"]\nauth="none"', "route path not supported by the control server: /v1/foo"),
        (
            'routes=["POST /v1/vpn/status"]\nauth="none"',
            "not supported for the path: POST for path /v1/vpn/status",
        ),
        ('routes=["GET /v1/vpn/status"]\nauth="token"', "authentication method not supported: token"),
        ('routes=["GET /v1/vpn/status"]\nauth="apikey"', "for role a: api key is empty"),
        ('route=["GET /v1/vpn/status"]\nauth="none"', "fields in the document are missing in the target struct"),
    ],
)
def test_a_wrong_role_ends_the_start(tmp_path, text, words):
    """In gluetun's words."""
    with pytest.raises(gluetun_rules.SettingsError, match=re.escape(words)):
        read(tmp_path, ROLE + text)


def test_a_route_without_a_space_panics_as_it_does_from_v3_41_2(tmp_path):
    """A regression of the real one that a config of ours must never meet."""
    with pytest.raises(RuntimeError, match="index out of range"):
        read(tmp_path, ROLE + 'routes=["GET"]\nauth="none"')


def test_no_file_is_no_role_and_a_directory_is_an_error(tmp_path):
    """A bind mount of a missing file makes a directory."""
    assert gluetun_rules.read_roles(str(tmp_path / "nothing"), set()) == []
    with pytest.raises(gluetun_rules.SettingsError, match="is a directory"):
        gluetun_rules.read_roles(str(tmp_path), set())
