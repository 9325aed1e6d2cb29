# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module gluetun_status as Ansible runs it: results, failures, and no secret in either."""

import json
import os
import subprocess
import sys
import time

import gluetun_wire as wire
import pytest
from conftest import COLLECTIONS

MODULE = "ansible_collections.homelab.mediastack.plugins.modules.gluetun_status"
NO_ADDRESS = {"/v1/publicip/ip": wire.http(body='{"public_ip":""}\n')}
NO_PORT = {"/v1/portforward": wire.http(body='{"port":0,"ports":[]}\n')}


def run(**arguments):
    """(result, everything that the module wrote)."""
    done = subprocess.run(
        [sys.executable, "-m", MODULE],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {"_ansible_check_mode": True, **arguments}}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS), "http_proxy": "http://127.0.0.1:1"},
    )
    try:
        return json.loads(done.stdout), done.stdout + done.stderr
    except ValueError:
        raise AssertionError(f"no result: {done.stdout}{done.stderr}") from None


def refused(**arguments):
    result, _said = run(**arguments)
    assert result.get("failed") is True, result
    assert result["changed"] is False
    assert result["diff"] == {"before": "", "after": ""}
    assert isinstance(result["duration_ms"], int)
    return result["msg"]


def test_a_connected_vpn():
    with wire.WireServer(wire.well) as server:
        result, said = run(url=server.url, api_key="very-secret-key", expect_port_forwarding=True)
    invocation = result.pop("invocation")
    assert "very-secret-key" not in said
    assert invocation["module_args"]["api_key"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    assert result.pop("duration_ms") >= 0
    assert result == {
        "changed": False,
        "diff": {"before": "", "after": ""},
        "status": "running",
        "connected": True,
        "public_ip": "185.159.157.1",
        "country": "Netherlands",
        "region": "",
        "city": "",
        "organization": "",
        "forwarded_ports": [5914],
        "dns_status": "running",
        "updater_status": "completed",
        "version": "v3.41.3",
        "commit": "3d1e20c",
        "vpn_type": "wireguard",
        "auth_required": False,
    }


def test_running_without_an_address_is_not_connected_and_no_failure():
    with wire.WireServer(lambda request: wire.well(request, **NO_ADDRESS)) as server:
        result, _said = run(url=server.url)
    assert (result["status"], result["connected"], result["public_ip"]) == ("running", False, "")
    assert not result.get("failed")


@pytest.mark.parametrize("recording", [path for path in wire.RECORDINGS if "default-apikey" in path.stem])
def test_a_refusal_is_a_result_without_credentials_and_a_failure_with_them(recording):
    exchanges = wire.read(recording)

    def answer(request):
        known = [each for each in exchanges if each.target == request.target and each.auth == request.auth]
        # Of what the recorder did not ask without a key, the answer is the same refusal.
        return next(iter(known), next(each for each in exchanges if each.status == 401)).wire

    with wire.WireServer(answer) as server:
        result, _said = run(url=server.url)
        assert (result["auth_required"], result["connected"], result.get("failed")) == (True, False, None)
        message = refused(url=server.url, api_key="bad")
        assert f"{server.url}/v1/vpn/status: HTTP 401: gluetun refuses this API key" in message
        assert "HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH" in message
        assert "gluetun refuses this user name and password" in refused(url=server.url, username="x", password="y")
        assert run(url=server.url, api_key="K")[0]["status"] == "running"


def test_what_is_no_gluetun_fails():
    with wire.WireServer(lambda request: wire.http(200, "<html>", "text/html")) as server:
        assert "HTTP 200 with a web page. That is not gluetun" in refused(url=server.url)
    assert "http://127.0.0.1:1/v1/vpn/status: connection refused" in refused(url="http://127.0.0.1:1")
    with wire.WireServer(lambda request: wire.hang) as server:
        assert "timed out after 0.3 s" in refused(url=server.url, timeout=0.3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (NO_PORT, "gluetun has none after 0.6 s, although the VPN is connected. VPN_PORT_FORWARDING must be on"),
        (NO_ADDRESS, "the VPN is not connected after 0.6 s: its status is running, and it has no public IP"),
        ({"/v1/vpn/status": wire.http(body='{"status":"crashed"}')}, "after 0.6 s: its status is crashed."),
        ({"/v1/portforward": wire.http(401, "Unauthorized\n")}, 'Add the route "GET /v1/portforward"'),
        ({"/v1/vpn/status": wire.http(401, "Unauthorized\n")}, "Give api_key, or username and password"),
    ],
    ids=["no port", "not connected", "crashed", "not shown", "no credentials"],
)
def test_an_expected_port_that_does_not_come(changes, words):
    with wire.WireServer(lambda request: wire.well(request, **changes)) as server:
        begun = time.monotonic()
        message = refused(url=server.url, expect_port_forwarding=True, wait_timeout=0.6)
        assert time.monotonic() - begun < 30
    assert f"{server.url}: a forwarded port is expected, but " in message
    assert words in message


def test_an_expected_port_that_comes_late():
    begun = time.monotonic()

    def answer(request):
        return wire.well(request, **(NO_PORT if time.monotonic() - begun < 1 else {}))

    with wire.WireServer(answer) as server:
        result, _said = run(url=server.url, expect_port_forwarding=True, wait_timeout=20)
    assert result["forwarded_ports"] == [5914]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"timeout": 0}, "timeout is 0: it must be more than 0 seconds"),
        ({"wait_timeout": -1}, "wait_timeout is -1: it must be 0 seconds or more"),
        ({"url": "gluetun:8000"}, "url gluetun:8000: it is not an address such as http://127.0.0.1:8000."),
    ],
)
def test_arguments_that_make_no_sense(arguments, words):
    assert words in refused(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"api_key": "K", "username": "u", "password": "p"}, {"username": "u"}, {"password": "p"}]
)
def test_credentials_that_do_not_go_together(arguments):
    assert run(url="http://127.0.0.1:1", **arguments)[0]["failed"] is True
