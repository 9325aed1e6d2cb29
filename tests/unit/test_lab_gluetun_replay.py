# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's gluetun answers as the real control server did when it was recorded (fixtures/gluetun/SOURCE.md)."""

import http.client
import json
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))

from sim import core, gluetun_control, gluetun_rules  # noqa: E402

FIXTURES = HERE.parent / "fixtures" / "gluetun"
RECORDINGS = sorted(FIXTURES.glob("http-*.jsonl"))
COMPARED = (
    "Content-Type",
    "Location",
    "Www-Authenticate",
    "X-Content-Type-Options",
    "Content-Length",
    "Transfer-Encoding",
)
PUBLIC_IP = {
    "public_ip": "185.159.157.1",
    "region": "North Holland",
    "country": "Netherlands",
    "city": "Amsterdam",
    "hostname": "h.example",
    "location": "52.3740,4.8897",
    "organization": "AS51852 Private Layer INC",
    "postal_code": "1012",
    "timezone": "Europe/Amsterdam",
}
#: What the recorder had configured, by VPN type.
ENVIRONMENTS = {
    "wireguard": {
        "VPN_TYPE": "wireguard",
        "VPN_SERVICE_PROVIDER": "protonvpn",
        "WIREGUARD_PRIVATE_KEY": "A" * 43 + "=",
        "SERVER_COUNTRIES": "Netherlands",
        "VPN_PORT_FORWARDING": "on",
        "OPENVPN_USER": "u",
        "OPENVPN_PASSWORD": "p",
    },
    "openvpn": {
        "VPN_TYPE": "openvpn",
        "VPN_SERVICE_PROVIDER": "private internet access",
        "SERVER_REGIONS": "Netherlands",
        "OPENVPN_USER": "u",
        "OPENVPN_PASSWORD": "p",
    },
}
DEFAULT_ROLES = {
    "none": None,
    "default-none": {"auth": "none"},
    "default-apikey": {"auth": "apikey", "apikey": "K"},
    "default-basic": {"auth": "basic", "username": "u", "password": "p"},
}


def make_control(recording):
    """Return the control server in the state in which the recording began."""
    version, rest = recording.stem.removeprefix("http-").split("-", 1)
    auth, kind = rest.rsplit("-", 1)
    era = "master" if version == "MASTER" else gluetun_control.era_of(version)
    source = gluetun_rules.Source(ENVIRONMENTS[kind], "/nonexistent", "/nonexistent")
    provider, kind = gluetun_rules.check(source)
    control = gluetun_control.Control(
        era,
        gluetun_rules.settings_object(source, provider, kind, era),
        {"version": "v3.41.1", "commit": "abcdef0", "created": "2026-02-09T00:00:00Z"},
        default_role=DEFAULT_ROLES[auth],
        choices={"countries": ["Netherlands", "Canada"], "regions": ["Europe"]},
    )
    control.vpn, control.dns, control.updater = "running", "running", "completed"
    control.updater_seconds = 3600
    return control


def inject(control, number):
    """Change the state as the recorder did before that request."""
    changes = {
        34: {"public_ip": PUBLIC_IP},
        35: {"ports": []},
        36: {"ports": [5914]},
        38: {"ports": [5914, 5915]},
        98: {"vpn": "crashed"},
        102: {"vpn": "starting"},
        103: {"vpn": "running"},
        111: {"updater": "completed"},
    }
    for name, value in changes.get(number, {}).items():
        setattr(control, name, value)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_every_recorded_exchange_is_answered_byte_for_byte(recording):
    """Status, body and the headers that a client may rely on, in the recorded order, over a real socket."""
    control = make_control(recording)
    server = core.serve(("127.0.0.1", 0), control.answer)
    different = []
    try:
        for line in recording.read_text(encoding="utf-8").splitlines():
            wanted = json.loads(line)
            inject(control, wanted["seq"])
            connection = http.client.HTTPConnection(*server.server_address, timeout=5)
            connection.request(wanted["method"], wanted["target"], wanted["body"].encode() or None, wanted["headers"])
            answer = connection.getresponse()
            got = (
                answer.status,
                answer.reason,
                answer.read().decode(),
                {name: answer.getheader(name) for name in COMPARED},
            )
            connection.close()
            headers = {name.lower(): value for name, value in wanted["resp_headers"].items()}
            expected = (
                wanted["status"],
                wanted["reason"],
                wanted["resp_body"],
                {name: headers.get(name.lower()) for name in COMPARED},
            )
            if got != expected:
                different.append((wanted["seq"], wanted["method"], wanted["target"], wanted["body"], got, expected))
    finally:
        server.shutdown()
        server.server_close()
    assert not different, different[:3]


def test_there_are_recordings_of_three_eras():
    """An empty directory would make the test above pass."""
    eras = {path.stem.split("-")[1] for path in RECORDINGS}
    assert {"v3.40.4", "v3.41.3", "MASTER"} <= eras
    assert len(RECORDINGS) >= 7
