# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No secret shows up where it does not belong: what the playbooks say, the engine tells, processes carry, files hold.

gluetun is the lab's stand-in. The runs are those of a user, with `-vvvv --diff` and every other way to make Ansible
talk; each secret is looked for in all its spellings. `test_vpn_secrets_search.py` shows that it would be found.
"""

import http.client
import json
import os
import subprocess

import pytest
import stack_harness
import vpn_secrets_lab as lab
from stack_harness import docker
from vpn_secrets_story import CLIENT, CUSTOM, ENCRYPTED, WIREGUARD, Story

PROJECT = f"mssecret-{os.getpid()}"
PREFIX = f"{PROJECT}-"


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """The first hour, with WireGuard."""
    small = {**stack_harness.SMALL, "unpackerr": True, "prowlarr": False, "sabnzbd": False}
    made = Story(tmp_path_factory.mktemp("secrets"), PROJECT, mediastack_services=small)
    made.stack.remove()
    try:
        with lab.Processes() as made.processes:
            made.first_hour()
            yield made
    finally:
        made.stack.remove()


@pytest.fixture(scope="module")
def whole(story):
    """And then OpenVPN. It does not connect, so the run fails and tells what gluetun wrote."""
    said = story.with_other_vpn(CUSTOM, "-e", "mediastack_wait_timeout=3", code=2)
    assert "services failed:" in said and "Traceback" in said
    return story


# -- least privilege ---------------------------------------------------------------------------------------------------


def answer(story, method, path, key=None, address="127.0.0.1"):
    """What gluetun's control server answers: the status, 0 where nothing listens."""
    port = story.stack.variables["mediastack_vpn_control_port"]
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        body = '{"status":"running"}' if method == "PUT" else None
        connection.request(method, path, body, {"X-API-Key": key} if key else {})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


READS = ("version", "vpn/status", "dns/status", "publicip/ip", "portforward", "updater/status", "openvpn/status")
SETTINGS = ("GET /v1/vpn/settings", "PUT /v1/vpn/settings", "GET /v1/openvpn/settings", "GET /openvpn/settings")
WRITES = (
    "PUT /v1/vpn/status",
    "PUT /v1/openvpn/status",
    "PUT /v1/dns/status",
    "PUT /v1/updater/status",
    "PUT /v1/portforward",
)
OLD = ("/openvpn/actions/restart", "/openvpn/portforwarded", "/unbound/actions/restart", "/updater/restart")


@pytest.mark.long
def test_each_key_opens_what_it_is_for_and_nothing_else(story):
    keys = story.stored["secrets"]
    reads = [f"GET /v1/{path}" for path in READS]
    old = [f"GET {path}" for path in OLD]
    opened = {}
    for name, key in (("none", None), ("read", keys["gluetun_api_key"]), ("control", keys["gluetun_control_key"])):
        codes = {route: answer(story, *route.split(), key=key) for route in (*reads, *SETTINGS, *WRITES, *old)}
        opened[name] = {route for route, code in codes.items() if code != 401}
    assert opened == {"none": set(), "read": set(reads), "control": {"PUT /v1/vpn/status"}}
    assert answer(story, "PUT", "/v1/vpn/status", keys["gluetun_control_key"]) == 200
    assert all(answer(story, *route.split(), key=keys["gluetun_api_key"]) == 200 for route in reads)


def test_the_control_server_is_published_on_loopback_only(story):
    published = story.stack.containers()["gluetun"]["NetworkSettings"]["Ports"]
    assert [entry["HostIp"] for entry in published["8000/tcp"]] == ["127.0.0.1"]
    # The web interfaces are where the inventory says.
    addresses = {
        entry["HostIp"] for port, entries in published.items() if port != "8000/tcp" for entry in entries or []
    }
    assert addresses == {"127.0.0.2"}
    assert answer(story, "GET", "/v1/version", address="127.0.0.2") == 0


def test_the_file_of_roles_is_for_gluetun_alone(story):
    path = story.stack.base / "config" / "gluetun" / "auth" / "mediastack.toml"
    assert path.stat().st_mode & 0o777 == 0o600
    mounts = [
        (service, mount["Source"])
        for service, entry in story.stack.containers().items()
        for mount in entry["Mounts"]
        if str(path).startswith(mount["Source"].rstrip("/") + "/") or mount["Source"] == str(path)
    ]
    # The downloads and the library are mounted from the base path, with an empty mask over all configuration.
    assert {service for service, source in mounts if source != str(story.stack.base)} == {"gluetun"}
    for service in {service for service, source in mounts if source == str(story.stack.base)}:
        inside = f"/data/{path.relative_to(story.stack.base)}"
        assert docker("exec", f"{PREFIX}{service}", "ls", "/data/config") == ""
        assert (
            "No such file"
            in subprocess.run(
                ["docker", "exec", f"{PREFIX}{service}", "cat", inside], capture_output=True, text=True, check=False
            ).stderr
        )


# -- the search --------------------------------------------------------------------------------------------------------


def test_no_run_says_a_secret(whole):
    assert len(whole.said) >= 22
    assert whole.secrets.in_places(whole.said) == []


def test_nothing_of_a_run_stays_behind(whole):
    """Log, facts, temporary files, reports, the system's log, and what else lies about in the machine's own places."""
    left = whole.directory / "left"
    assert b"Invoked with" in (left / "syslog").read_bytes() and (left / "ansible.log").stat().st_size > 100_000
    assert len(json.loads((left / "status.json").read_text())["services"]) == 4
    assert whole.secrets.in_places(lab.below(left)) == []
    elsewhere = lab.left_in_tmp(whole.began, str(whole.directory))
    assert whole.secrets.in_places(elsewhere) == []


def test_the_engine_tells_no_secret(whole):
    said = dict(whole.told)
    assert (
        b"/run/secrets/openvpn_encrypted_key" in said["docker inspect"] and b"gluetun" in said["docker compose config "]
    )
    assert whole.secrets.in_places(whole.told) == []
    assert whole.secrets.in_places(lab.events(whole.stack, whole.began)) == []


def test_no_process_carries_a_secret(whole):
    """Ansible's own, docker's, and those in the containers, from the first `site` to the last."""
    seen = whole.processes.places()
    assert whole.processes.rounds > 500
    for program in (b"docker\0", b"ansible-playbook\0", b"compose\0", b"qbittorrent"):
        assert any(program in data for _place, data in seen), program
    assert whole.secrets.in_places(seen) == []


def test_only_files_of_their_own_hold_secrets(whole):
    """0600 or 0400, of root or of the user whom the apps run as, in a project directory that others cannot enter."""
    wrong, holding = lab.open_files(whole.secrets, whole.stack.base, (0, 1000))
    path = str(whole.stack.project_path)
    # The hash of a password, which qBittorrent itself writes, as its umask says.
    assert [each for each in wrong if "derived.pbkdf2_qbittorrent" not in each] == []
    inside = {os.path.relpath(each, path) for each in holding if each.startswith(f"{path}/")}
    kept = {f"openvpn_{name}" for name in ("user", "password", "clientcrt", "clientkey", "encrypted_key", "file")}
    kept |= {"openvpn_key_passphrase", "unpackerr_sonarr_api_key"}
    assert inside == {".mediastack/secrets.json", *(f"secrets/{name}" for name in kept)}
    for directory, mode in (("", 0o750), ("secrets", 0o700), (".mediastack", 0o700)):
        assert os.stat(f"{path}/{directory}").st_mode & 0o777 == mode
    assert set(os.listdir(f"{path}/secrets")) == kept


# -- the long form -----------------------------------------------------------------------------------------------------

PROFILES = ("music", "books", "jellyfin", "plex", "proxy", "dashboard", "auth", "transcoding")
# Where which secret shows all the same, and nowhere else: docs/secrets.md, its part on variables; what an image
# makes of a file is in the environment of its processes.
VARIABLE = {"docker inspect", "docker compose", "environ of"}
SHOWN = {
    "secrets.authentik_password": VARIABLE,
    "secrets.authentik_token": VARIABLE,
    "secrets.transmission_password": {"environ of"},
}
# Hashes of passwords, in files that the apps themselves write, as their umask says.
HASHES = ("derived.pbkdf2_qbittorrent",)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Every app, every way to a VPN, refused and broken runs, with and without pipelining, an override without care."""
    downloaders = ["transmission", "deluge", "nzbget"]
    made = Story(
        tmp_path_factory.mktemp("everything"),
        f"{PROJECT}-all",
        mediastack_services={},
        mediastack_profiles=[*PROFILES, *downloaders],
    )
    made.stack.remove()
    try:
        with lab.Processes() as made.processes:
            made.stack.set(**made.first_hour().variables)
            assert "secrets/wireguard_preshared_key" in made.run("site")
            made.read()
            made.refused()
            made.environment["ANSIBLE_PIPELINING"] = "1"
            made.refused()
            made.with_other_vpn(ENCRYPTED)
            made.with_other_vpn(CLIENT)
            for verb in ("status", "vpn_status", "vpn_stop", "vpn_start", "restart", "logs", "config_show"):
                made.run(verb)
            made.with_other_vpn(CUSTOM, "-e", "mediastack_wait_timeout=3", code=2)
        yield made
    finally:
        made.stack.remove()


@pytest.mark.long
def test_no_secret_shows_with_every_app_and_every_way_to_a_vpn(everything):
    left = [*lab.below(everything.directory / "left"), *lab.left_in_tmp(everything.began, str(everything.directory))]
    processes = everything.processes.places()
    places = [*everything.said, *left, *everything.told, *processes]
    print(f"\n{len(everything.secrets.values)} secrets in {len(everything.secrets)} spellings × {len(places)} places")
    print(
        f"output {len(everything.said)}, files {len(left)}, engine {len(everything.told)}, processes {len(processes)}"
    )
    assert everything.secrets.in_places([*everything.said, *left]) == []
    shown = {}
    # The stand-in of authentik asks its database by psql, which takes the password from there; the real one does not.
    processes = [(place, data) for place, data in processes if b"PGPASSWORD=" not in data]
    for place, _colon, what in (
        each.partition(": ") for each in everything.secrets.in_places([*everything.told, *processes])
    ):
        shown.setdefault(what.split()[0], set()).add(" ".join(place.split()[:2]))
    assert shown == SHOWN


@pytest.mark.long
def test_no_file_with_a_secret_of_any_app_is_open_to_others(everything):
    wrong, holding = lab.open_files(everything.secrets, everything.stack.base, (0, 70, 1000))
    print(f"\n{len(holding)} files with secrets below the base directory")
    assert [each for each in wrong if not any(name in each for name in HASHES)] == []
    assert len(holding) > 20


@pytest.mark.long
def test_an_override_that_puts_a_secret_into_a_variable_is_refused_or_found(story):
    """By gluetun's own name for it; by another the container shows it, and the run's diff hides it all the same."""
    key = WIREGUARD["mediastack_vpn_wireguard_private_key"]
    ports = ["0.0.0.0:%d:8000" % (story.stack.variables["mediastack_vpn_control_port"] + 38)]
    careless = {"environment": {"WIREGUARD_PRIVATE_KEY": key}}
    other = story.beside("refused", **WIREGUARD, mediastack_overrides={"gluetun": careless})
    out = story.run("site", stack=other, code=2)
    assert "environment WIREGUARD_PRIVATE_KEY: set mediastack_vpn_wireguard_private_key instead" in " ".join(
        out.split()
    )
    assert story.secrets.found(out.encode()) == []
    careless = {"environment": {"NOTE": key}, "ports": ports}
    other = story.beside("careless", **WIREGUARD, mediastack_overrides={"gluetun": careless})
    said = " ".join(other.play("config_validate").stdout.split())
    assert "publishes gluetun's control server on 0.0.0.0" in said and key not in said
    out = story.run("site", stack=other)
    assert "compose.overrides.yml" in out and story.secrets.found(out.encode()) == []
    there = {each.partition(": ")[0] for each in story.secrets.in_places(lab.of_engine(story.stack))}
    assert {"docker inspect", "docker compose config "} <= there
