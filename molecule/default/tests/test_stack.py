# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a user of the converged stack sees: containers, answers, files and who owns them."""

import json
import os
import pathlib

import pytest
import testinfra

BASE = pathlib.Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / "build" / "molecule" / "data"
SERVICES = ("gluetun", "prowlarr", "qbittorrent", "sonarr")


@pytest.fixture(scope="module")
def host():
    """This machine: the scenario's only host is local."""
    return testinfra.get_host("local://")


def inspect(host, service):
    """Return what docker inspect says about the service's only container."""
    labels = "--filter label=com.docker.compose.project=msmol --filter label=com.docker.compose.service=%s"
    listing = host.check_output(f"docker ps --all --quiet {labels}", service)
    (container,) = listing.split()
    return json.loads(host.check_output("docker inspect %s", container))[0]


def get(host, url):
    """Return status code and body of a GET."""
    answer = host.check_output("curl --silent --max-time 10 --write-out '\\n%%{http_code}' %s", url)
    body, _separator, code = answer.rpartition("\n")
    return int(code), body


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_and_is_healthy(host, name):
    state = inspect(host, name)["State"]
    assert state["Status"] == "running"
    assert state["Health"]["Status"] == "healthy"


def test_nothing_else_runs_in_the_project(host):
    form = "'{{.Label \"com.docker.compose.service\"}}'"
    listing = host.check_output(f"docker ps --all --filter label=com.docker.compose.project=msmol --format {form}")
    assert sorted(listing.split()) == list(SERVICES)


@pytest.mark.parametrize("url", ["http://127.0.0.1:23089/ping", "http://127.0.0.1:23096/ping"])
def test_an_arr_answers_on_its_port(host, url):
    code, body = get(host, url)
    assert code == 200
    assert json.loads(body) == {"status": "OK"}


def test_qbittorrent_lives_behind_the_vpn(host):
    gluetun = inspect(host, "gluetun")
    assert inspect(host, "qbittorrent")["HostConfig"]["NetworkMode"] == f"container:{gluetun['Id']}"
    published = gluetun["NetworkSettings"]["Ports"]
    assert {binding["HostPort"] for bindings in published.values() for binding in bindings or []} == {"23080", "23000"}
    code, _body = get(host, "http://127.0.0.1:23080/")
    assert code == 200


def test_every_port_is_bound_to_the_given_address_only(host):
    for name in SERVICES:
        for bindings in (inspect(host, name)["NetworkSettings"]["Ports"] or {}).values():
            assert all(binding["HostIp"] == "127.0.0.1" for binding in bindings or [])


def test_nothing_asks_an_unknown_visitor_in(host):
    assert get(host, "http://127.0.0.1:23089/api/v3/system/status")[0] == 401
    assert get(host, "http://127.0.0.1:23080/api/v2/app/preferences")[0] == 403


def test_secrets_are_for_root_and_the_apps_own_user_only(host):
    kept = host.file(str(BASE / "compose" / ".mediastack"))
    assert kept.is_directory and kept.mode == 0o700
    assert host.file(str(BASE / "compose" / ".env")).mode & 0o077 == 0


@pytest.mark.parametrize("name", ["prowlarr", "qbittorrent", "sonarr"])
def test_a_config_directory_belongs_to_the_apps_user(host, name):
    directory = host.file(str(BASE / "config" / name))
    assert (directory.uid, directory.gid) == (1000, 1000)


def test_plain_docker_compose_works_on_the_result(host):
    listing = host.check_output("cd %s && docker compose ps --services", str(BASE / "compose"))
    assert sorted(listing.split()) == list(SERVICES)
