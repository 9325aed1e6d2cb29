# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file of roles that gluetun gets: the least that the verbs need, in the form that its releases since v3.41 take.

Recordings: fixtures/gluetun/auth-config-v3.41.3.txt.
"""

import math
import pathlib
import re
import sys
import tomllib

import pytest
import render_harness as h

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))

from sim import gluetun_control, gluetun_rules  # noqa: E402

RECORDED = (HERE.parent / "fixtures" / "gluetun" / "auth-config-v3.41.3.txt").read_text()
CONFIG_PATH = "HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH"
KEYS = ("gluetun_api_key", "gluetun_control_key")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return h.World(tmp_path_factory.mktemp("roles"), shipped=h.SHIPPED).bundle(**h.VPN)


@pytest.fixture(scope="module")
def preset(bundle):
    return next(entry for entry in bundle["presets"] if entry["path"].endswith("/mediastack.toml"))


@pytest.fixture(scope="module")
def roles(preset):
    """Roles by their key, as TOML has them."""
    return {role["apikey"]: role for role in tomllib.loads(preset["content"])["roles"]}


def token(name):
    return f"@@mediastack:secret:{name}@@"


def supported():
    """Every route of v3.41.3 that a role may name, as recorded."""
    line = re.search(r"^CASE nofile\+default: .* routes=(\d+) \[(.*)\]$", RECORDED, re.MULTILINE)
    routes = {f"{method} {path}" for method, path in re.findall(r"([A-Z]+) (/\S+)", line[2])}
    assert len(routes) == int(line[1])
    return routes


def test_two_roles_with_a_key_each(roles):
    assert set(roles) == {token(name) for name in KEYS}
    for role in roles.values():
        # gluetun refuses a file with any other key.
        assert set(role) == {"name", "routes", "auth", "apikey"}
        assert role["auth"] == "apikey"


def test_the_lab_knows_the_routes_that_were_recorded():
    assert gluetun_control.known_routes("v3.41.2") == supported()


def test_every_route_is_one_of_the_pinned_release_in_its_exact_form(bundle, roles):
    assert bundle["services"]["gluetun"]["image"].endswith(":v3.41.3")
    for role in roles.values():
        assert set(role["routes"]) <= supported()
        # A route without a space is a panic of gluetun's since v3.41.2, one with two is refused.
        assert all(re.fullmatch(r"(GET|PUT) (/[a-z0-9]+)+", route) for route in role["routes"])


@pytest.mark.parametrize("era", gluetun_control.ERAS[gluetun_control.ERAS.index("v3.41.0") :])
def test_no_release_ends_at_it(preset, tmp_path, era):
    """gluetun ends at a route that it does not have: PUT /v1/portforward before v3.41.2."""
    (tmp_path / "roles.toml").write_text(re.sub(r"@@mediastack:secret:(\w+)@@", r"\1", preset["content"]))
    read = gluetun_rules.read_roles(str(tmp_path / "roles.toml"), gluetun_control.known_routes(era))
    assert [role["apikey"] for role in read] == list(KEYS)


def test_neither_key_shows_or_changes_settings_and_the_first_changes_nothing(roles):
    reads, controls = (set(roles[token(name)]["routes"]) for name in KEYS)
    assert all(route.startswith("GET ") for route in reads)
    assert not any("settings" in route or "actions" in route or "restart" in route for route in reads | controls)
    assert controls == {"PUT /v1/vpn/status"}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_cannot_be_guessed(bundle, name):
    spec = bundle["secrets"][name]["generate"]
    assert spec["length"] * math.log2({"hex": 16, "alnum": 62}[spec["kind"]]) >= 128


def test_gluetun_finds_the_file_and_others_cannot_read_it(bundle, preset):
    definition = h.service(bundle, "gluetun")
    path = definition["environment"][CONFIG_PATH]
    # gluetun reads the path in lower case.
    assert path == path.lower()
    (mount,) = [volume for volume in definition["volumes"] if volume["target"] == "/gluetun"]
    assert preset["path"] == mount["source"] + path.removeprefix("/gluetun")
    assert preset["mode"] == "0600"


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["192.168.1.5"], ["0.0.0.0"], []])
def test_the_control_server_is_on_loopback_wherever_the_apps_are(tmp_path, addresses):
    world = h.World(tmp_path, shipped=h.SHIPPED)
    definition = h.service(world.bundle(**h.VPN, mediastack_bind_addresses=addresses), "gluetun")
    found = {address for address, _port, target, _protocol in h.published(definition) if target == 8000}
    assert found == {"127.0.0.1"}
