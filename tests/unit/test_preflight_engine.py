# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Versions, foreign containers, lab images and address pools."""

import ipaddress

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import nas_family, preflight_engine

BUNDLE = {
    "project": {"name": "homelab-mediastack", "path": "/srv/mediastack/compose"},
    "services": {"sonarr": {"container_name": "sonarr", "image": "sonarr:4"}},
}


def facts(engine="26.1.5", api="1.45", compose="2.40.3", **more):
    return dict({"server": {"version": engine, "api": api}, "compose": compose}, **more)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (facts(), None),
        (facts("20.10.24+dfsg1", "1.41", "2.40.3"), None),
        (facts("24.0.2", "1.43", "2.20.1-6047-g6817716"), None),
        (facts("24.0.2", "1.43", "v2.20.1"), None),
        (facts("19.03.15", "1.40"), "Docker Engine 19.03.15 is too old: 20.10 or later"),
        (facts("20.10.0", "1.40"), "API 1.40 is too old: 1.41"),
        (facts(compose="2.19.9"), "Docker Compose 2.19.9 is too old: 2.20"),
        (facts(compose=None), "'docker compose' is missing"),
        (facts(compose=None, compose_v1="1.29.2"), "only docker-compose 1.29.2 is here, which is version 1"),
        (facts("24.0.2", "1.43", "5.1.0"), "5.1.0 cannot connect containers to several networks"),
        (facts("24.0.2", "1.43", "5.1.1"), "5.1.1 cannot connect"),
        (facts("24.0.2", "1.43", "5.1.2"), None),
        (facts("29.0.0", "1.52", "5.1.1"), None),
        ({"error": "Cannot connect to the Docker daemon"}, "the Docker Engine does not answer: Cannot connect"),
        ({}, None),
    ],
)
def test_version_floors(given, words):
    problems = preflight_engine.versions(given, [])
    assert [words in problem["what"] for problem in problems] == ([True] if words else [])


def test_compose_5_2_0_is_only_a_warning():
    warnings = []
    assert preflight_engine.versions(facts(compose="5.2.0"), warnings) == []
    assert "5.3.0" in warnings[0]


@pytest.mark.parametrize(("counts", "said"), [(False, 1), (True, 0), (None, 0)])
def test_a_memory_limit_that_the_kernel_cannot_keep_is_told(counts, said):
    warnings = []
    services = {"sonarr": {"memory_limit": "1g"}, "radarr": {"memory_limit": None}}
    preflight_engine.memory_limits({"services": services}, {"memory_limit": counts}, warnings)
    assert len(warnings) == said
    assert not said or "the memory limit of sonarr has no effect" in warnings[0]
    preflight_engine.memory_limits(BUNDLE, {"memory_limit": False}, warnings)
    assert len(warnings) == said


@pytest.mark.parametrize(
    ("file", "content", "family", "remedy"),
    [
        ("etc/synoinfo.conf", "", "synology", "update DSM to 7.2"),
        ("etc/config/qpkg.conf", "", "qnap", "Container Station"),
        ("etc/unraid-version", "", "unraid", "Compose Manager"),
        ("etc/version", "TrueNAS-SCALE-22.12", "truenas", "24.10"),
        ("etc/version", "1.0", "generic", "docker-compose-plugin"),
        ("etc/openmediavault/config.xml", "", "generic", "docker-compose-plugin"),
    ],
)
def test_what_to_do_depends_on_the_family(tmp_path, file, content, family, remedy):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert nas_family.family(str(tmp_path)) == family
    (problem,) = preflight_engine.versions(facts("19.03.1"), [], str(tmp_path))
    assert remedy in problem["remedy"]


def container(name, project=None, directory=None, **labels):
    if project:
        labels["com.docker.compose.project"] = project
        labels["com.docker.compose.project.working_dir"] = directory
        labels["com.docker.compose.project.config_files"] = directory + "/docker-compose.yml"
    return {"Name": "/" + name, "Config": {"Labels": labels, "Image": "img"}, "State": {"Running": True}}


def test_our_own_containers_are_no_problem():
    ours = container("sonarr", "homelab-mediastack", "/srv/mediastack/compose")
    renamed = container("0123456789ab_sonarr", "homelab-mediastack", "/srv/mediastack/compose/")
    assert preflight_engine.foreign_containers(BUNDLE, [ours, renamed, container("other")]) == []


def test_a_foreign_project_of_our_name_is_named_with_its_file():
    (problem,) = preflight_engine.foreign_containers(BUNDLE, [container("x", "homelab-mediastack", "/home/tom/stack")])
    assert "container x" in problem["what"]
    assert "/home/tom/stack/docker-compose.yml" in problem["what"]
    assert "mediastack_project_name" in problem["remedy"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (container("sonarr"), "started without Compose, image img"),
        (container("sonarr", "arr", "/home/tom/arr"), "Compose project arr, file /home/tom/arr/docker-compose.yml"),
        (container("0123456789ab_sonarr", "arr", "/home/tom/arr"), "Compose project arr"),
    ],
)
def test_a_container_that_has_our_name(other, words):
    (problem,) = preflight_engine.foreign_containers(BUNDLE, [other])
    assert words in problem["what"]
    assert "mediastack_services: {sonarr: false}" in problem["remedy"]


def test_the_demo_beside_it_is_one_problem_however_many_names_it_has():
    demo = [container(name, "mediastack-demo", "/home/tom/demo") for name in ("sonarr", "gluetun")]
    for one in demo:
        one["Config"]["Labels"]["mediastack.lab"] = "true"
    bundle = dict(BUNDLE, services={"sonarr": {"image": "sonarr:4"}, "gluetun": {"image": "gluetun:3"}})
    (problem,) = preflight_engine.foreign_containers(bundle, demo)
    assert "the demo runs on this host and has 2 of our containers' names: gluetun, sonarr" in problem["what"]
    assert problem["remedy"].startswith("'make demo-down'")
    # Two labs on one engine are as foreign to each other as any two stacks.
    assert len(preflight_engine.foreign_containers(dict(bundle, lab_images=True), demo)) == 2


def test_lab_images_are_for_the_lab():
    given = {"images": {"sonarr:4": {"mediastack.lab": "true"}}}
    (problem,) = preflight_engine.lab_images(BUNDLE, given)
    assert "1 image on this host is the demo's" in problem["what"] and "sonarr:4" in problem["what"]
    assert "docker image rm sonarr:4" in problem["remedy"]
    assert preflight_engine.lab_images(dict(BUNDLE, lab_images=True), given) == []
    assert preflight_engine.lab_images(BUNDLE, {"images": {"sonarr:4": {}}}) == []
    assert preflight_engine.lab_images(BUNDLE, {}) == []


def network(subnet, name="n", project=None, **more):
    labels = {"com.docker.compose.project": project} if project else {}
    return dict(
        {"Name": name, "Id": "f" * 64, "Labels": labels, "Options": {}, "IPAM": {"Config": [{"Subnet": subnet}]}},
        **more,
    )


def routes(tmp_path, *rows):
    path = tmp_path / "route"
    lines = ["Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT"]
    for interface, subnet in rows:
        parsed = ipaddress.ip_network(subnet)
        words = [int.from_bytes(address.packed, "little") for address in (parsed.network_address, parsed.netmask)]
        lines.append("%s %08X 00000000 0001 0 0 0 %08X 0 0 0" % (interface, words[0], words[1]))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


ALL_POOLS = ["172.%d.0.0/16" % second for second in range(17, 32)] + [
    "192.168.%d.0/20" % third for third in range(0, 256, 16)
]


def test_address_pools(tmp_path):
    none = routes(tmp_path)
    used = [network(subnet) for subnet in ALL_POOLS]
    assert preflight_engine.address_pools(BUNDLE, {"networks": used[:-1]}, [], none) == []
    (problem,) = preflight_engine.address_pools(BUNDLE, {"networks": used}, [], none)
    assert "no subnet left" in problem["what"]
    assert "docker network ls" in problem["remedy"]
    mine = used[:-1] + [network(ALL_POOLS[-1], project="homelab-mediastack")]
    assert preflight_engine.address_pools(BUNDLE, {"networks": mine}, [], none) == []
    own_pool = {"networks": [network("10.200.0.0/24")], "address_pools": [{"Base": "10.200.0.0/23", "Size": 24}]}
    assert preflight_engine.address_pools(BUNDLE, own_pool, [], none) == []
    taken_by_a_route = routes(tmp_path, ("eth0", "10.200.1.0/24"))
    assert len(preflight_engine.address_pools(BUNDLE, own_pool, [], taken_by_a_route)) == 1
    assert preflight_engine.address_pools(BUNDLE, {}, []) == []


def test_our_network_over_a_route_of_the_host(tmp_path):
    ours = network("172.20.0.0/16", "media", "homelab-mediastack")
    bridge = "br-" + "f" * 12
    warnings = []
    preflight_engine.address_pools(BUNDLE, {"networks": [ours]}, warnings, routes(tmp_path, (bridge, "172.20.0.0/16")))
    assert warnings == []
    preflight_engine.address_pools(BUNDLE, {"networks": [ours]}, warnings, routes(tmp_path, ("eth1", "172.20.5.0/24")))
    assert "hides the route to 172.20.5.0/24 on eth1" in warnings[0]
