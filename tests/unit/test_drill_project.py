# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the definition of a stack to that of a drill: nothing of the real one is mounted, published or reachable."""

from __future__ import annotations

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import drill_project
from ansible_collections.homelab.mediastack.plugins.module_utils.drill_project import NotDrilled, Place

PLACE = Place("/srv/m/compose", "/srv/m/config", ("/srv/m", "/srv/m/media", "/mnt/dl"), "/mnt/backups/.drill")
SCRATCH = "/mnt/backups/.drill"


def definition(**more):
    base = {
        "image": "sonarr:4",
        "container_name": "sonarr",
        "ports": [{"target": 8989, "published": "8989"}],
        "network_mode": "service:gluetun",
        "depends_on": {"gluetun": {}},
        "restart": "unless-stopped",
        "labels": {"a": "b"},
        "environment": {"PUID": "1000"},
        "healthcheck": {"test": ["CMD", "true"]},
    }
    return {**base, **more}


def made(**more):
    return drill_project.service_definition(definition(**more), "sonarr", PLACE, "stack", "sha256:0123")


def bind(source, **more):
    return {"type": "bind", "source": source, "target": "/x", **more}


def test_what_ties_a_service_to_the_rest_is_gone():
    found, _directories, _files = made()
    assert not {"ports", "network_mode", "depends_on", "profiles"} & set(found)
    assert found["networks"] == {"default": {"aliases": ["sonarr"]}} and found["dns"] == ["192.0.2.1"]
    assert (found["image"], found["pull_policy"], found["restart"]) == ("sha256:0123", "never", "no")
    assert found["container_name"] == "mediastack-drill-stack-sonarr"
    assert found["labels"] == {"a": "b", "org.homelab.mediastack.drill": "stack"}
    assert found["environment"] == {"PUID": "1000"} and found["healthcheck"]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("/srv/m/config/sonarr", f"{SCRATCH}/config/sonarr"),
        ("/srv/m/config", f"{SCRATCH}/config"),
        ("/srv/m/compose/secrets/key", f"{SCRATCH}/project/secrets/key"),
        ("/srv/m", f"{SCRATCH}/data/srv_m"),
        ("/srv/m/media/tv", f"{SCRATCH}/data/srv_m_media_tv"),
        ("/mnt/dl", f"{SCRATCH}/data/mnt_dl"),
        ("/opt/scripts", f"{SCRATCH}/elsewhere/opt_scripts"),
        (f"{SCRATCH}/project/x", f"{SCRATCH}/project/x"),
    ],
)
def test_no_real_directory_is_written_to(source, target):
    found, directories, _files = made(volumes=[bind(source)])
    assert found["volumes"][0]["source"] == target
    assert directories == {target: source}


def test_a_users_own_directory_that_is_only_read_stays():
    assert made(volumes=[bind("/etc/localtime", read_only=True)])[0]["volumes"][0]["source"] == "/etc/localtime"


def test_a_named_volume_loses_its_name():
    volume = {"type": "volume", "source": "cache", "target": "/cache"}
    assert made(volumes=[volume])[0]["volumes"] == [{"type": "volume", "target": "/cache"}]


@pytest.mark.parametrize("source", ["/var/run/docker.sock", "/run/docker.sock"])
def test_nobody_is_given_the_engine(source):
    with pytest.raises(NotDrilled, match="the engine of this host"):
        made(volumes=[bind(source, read_only=True)])


def test_nobody_is_given_the_host():
    with pytest.raises(NotDrilled, match="privileged"):
        made(privileged=True)


def test_the_document_has_one_network_that_leads_nowhere_and_no_volume():
    whole = {
        "secrets": {"key": {"file": f"{SCRATCH}/project/secrets/key"}, "theirs": {"external": True}},
        "volumes": {"cache": {"name": "real_cache"}},
        "networks": {"media": {"name": "real_media"}},
    }
    found = drill_project.document({"sonarr": {}}, whole, "stack")
    assert found["name"] == "mediastack-drill-stack"
    assert list(found["networks"]) == ["default"] and found["networks"]["default"]["internal"] is True
    assert found["networks"]["default"]["driver_opts"] == {"com.docker.network.bridge.inhibit_ipv4": "true"}
    assert list(found["secrets"]) == ["key"] and "volumes" not in found
