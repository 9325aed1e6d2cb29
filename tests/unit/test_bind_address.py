# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bind address: found once, saved, never moved silently (P14)."""

import json
import stat

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import bind_address
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError

HEADER = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
LOOPBACK_GATEWAY = "lo\t00000000\t0100007F\t0003\t0\t0\t%d\t00000000\t0\t0\t0\n"


@pytest.fixture
def routes(tmp_path):
    """The default route's gateway is 127.0.0.1, so this host's own address on the way there is too."""
    path = tmp_path / "route"
    path.write_text(HEADER + LOOPBACK_GATEWAY % 0)
    return str(path)


@pytest.fixture
def no_route(tmp_path):
    path = tmp_path / "no_route"
    path.write_text(HEADER + "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
    return str(path)


def test_found_saved_and_kept(tmp_path, routes, no_route):
    project = str(tmp_path / "project")
    addresses, to_save, problem = bind_address.resolve(project, [], routes)
    assert (addresses, problem) == (["127.0.0.1"], None)
    assert not (tmp_path / "project").exists()
    bind_address.save(project, to_save)
    path = tmp_path / "project" / ".mediastack" / "bind.json"
    assert json.loads(path.read_text())["address"] == "127.0.0.1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert bind_address.resolve(project, [], no_route) == (["127.0.0.1"], None, None)


def test_a_saved_address_that_is_gone_names_the_new_one(tmp_path, routes):
    project = str(tmp_path)
    bind_address.save(project, {"schema": 1, "address": "192.0.2.77"})
    addresses, to_save, problem = bind_address.resolve(project, [], routes)
    assert addresses == ["192.0.2.77"]
    assert to_save is None, "it must not move silently"
    assert "192.0.2.77" in problem["what"]
    assert "mediastack_bind_addresses: [127.0.0.1]" in problem["remedy"]
    assert "delete %s/.mediastack/bind.json" % project in problem["remedy"]


def test_by_hand_is_taken_as_it_is(tmp_path, routes):
    for wanted in (["127.0.0.1"], ["0.0.0.0"], ["::"], ["127.0.0.1", "127.0.0.2"]):
        assert bind_address.resolve(str(tmp_path), wanted, routes) == (wanted, None, None)


def test_an_address_of_another_host_is_refused(tmp_path, routes):
    problem = bind_address.resolve(str(tmp_path), ["192.0.2.77", "127.0.0.1"], routes)[2]
    assert problem["what"] == "this host has no address 192.0.2.77"
    assert bind_address.resolve(str(tmp_path), ["nas.local"], routes)[2]


def test_no_default_route(tmp_path, no_route):
    addresses, to_save, problem = bind_address.resolve(str(tmp_path), [], no_route)
    assert (addresses, to_save) == ([], None)
    assert "no default route" in problem["what"]
    assert "mediastack_bind_addresses" in problem["remedy"]
    assert bind_address.default_address(str(tmp_path / "absent")) is None


def test_the_route_with_the_lowest_metric_counts(tmp_path):
    path = tmp_path / "route"
    far = "eth9\t00000000\t4D0200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
    path.write_text(HEADER + far + LOOPBACK_GATEWAY % 100)
    assert bind_address.default_address(str(path)) == "127.0.0.1"


def test_this_host_has_the_address_that_its_own_route_says():
    address = bind_address.default_address()
    assert address is None or bind_address.resolve("/nonexistent", [address])[2] is None


def test_a_damaged_file_is_named(tmp_path, routes):
    (tmp_path / ".mediastack").mkdir()
    (tmp_path / ".mediastack" / "bind.json").write_text("[")
    with pytest.raises(FileError, match="bind.json"):
        bind_address.resolve(str(tmp_path), [], routes)
