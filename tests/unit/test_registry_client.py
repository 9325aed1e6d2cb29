# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From tags to digests: what is found out of each kind of image, with how many requests, by which way."""

from __future__ import annotations

import threading

import pytest
import registry_world as w

from ansible_collections.homelab.mediastack.plugins.plugin_utils import registry_client, registry_errors
from ansible_collections.homelab.mediastack.plugins.plugin_utils.lock_file import Entry
from ansible_collections.homelab.mediastack.plugins.plugin_utils.registry_credentials import Credentials
from ansible_collections.homelab.mediastack.plugins.plugin_utils.registry_http import Transport


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No login, proxy or authority of whoever runs the tests."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def world():
    return w.World()


@pytest.fixture
def here(world):
    with w.serving(world) as address:
        yield address


def one(image, known=None, **options):
    """The Resolved of one image."""
    options.setdefault("timeout", 5)
    transport = Transport(Credentials(), **options)
    answers = registry_client.resolve([image], {image: known} if known else None, transport)
    assert answers.problems == {}, answers.problems
    return answers.found[image]


def test_an_image_for_one_platform(world, here):
    digest = world.image("team/app", "1.2", media=w.DOCKER_MANIFEST)
    found = one(f"{here}/team/app:1.2")
    assert (found.digest, found.platforms) == (digest, {"linux/amd64": digest})
    assert found.created == "2026-10-01T10:00:00Z"
    assert [path.split("/")[-2] for path in world.paths()] == ["manifests", "manifests", "blobs"]
    assert world.paths()[0] == "HEAD /v2/team/app/manifests/1.2"
    # By its digest: the tag may move between two requests.
    assert world.paths()[1] == f"GET /v2/team/app/manifests/{digest}"


S390 = {"os": "linux", "architecture": "s390x"}
# Buildkit marks what is no image in both ways; others in one of them.
ATTESTATIONS = [
    {"platform": {"os": "unknown", "architecture": "unknown"}},
    {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}, "platform": S390},
    {"mediaType": "application/vnd.example.signature.v1+json", "platform": S390},
]


@pytest.mark.parametrize("media", [w.OCI_INDEX, w.DOCKER_INDEX])
def test_an_index_for_several_platforms(world, here, media):
    common = {"mediaType": w.OCI_MANIFEST, "digest": "sha256:" + "0" * 64, "size": 1}
    platforms = ["linux/arm/v7", "linux/arm64/v8", "linux/amd64"]
    attestations = [{**common, **one} for one in ATTESTATIONS]
    digest, children = world.index("team/app", "1.2", platforms, media, attestations)
    found = one(f"{here}/team/app:1.2")
    assert found.digest == digest
    assert found.platforms == {
        "linux/amd64": children["linux/amd64"],
        "linux/arm/v7": children["linux/arm/v7"],
        "linux/arm64": children["linux/arm64/v8"],
    }
    assert found.created == "2026-10-01T10:00:00Z"


def test_an_index_that_does_not_tell_its_platforms(world, here):
    child = world.image("team/app", None, "linux/riscv64")
    index = {"schemaVersion": 2, "manifests": [{"mediaType": w.OCI_MANIFEST, "digest": child}]}
    world.put("team/app", "1", index, w.OCI_INDEX)
    assert one(f"{here}/team/app:1").platforms == {"linux/riscv64": child}


def test_what_is_known_and_has_not_changed_costs_one_request(world, here):
    image = f"{here}/team/app:1.2"
    digest, _children = world.index("team/app", "1.2", ["linux/amd64"])
    known = Entry("app", image, digest, {"linux/amd64": "sha256:" + "1" * 64}, "2026-01-01T00:00:00Z")
    found = one(image, known)
    assert world.paths() == ["HEAD /v2/team/app/manifests/1.2"]
    assert (found.platforms, found.created) == (known.platforms, known.created)


@pytest.mark.parametrize("known", [{"digest": "sha256:" + "2" * 64}, {"platforms": {}}])
def test_what_has_changed_or_is_known_in_part_is_fetched(world, here, known):
    image = f"{here}/team/app:1.2"
    digest = world.image("team/app", "1.2")
    before = {"digest": digest, "platforms": {"linux/amd64": digest}, "created": "2020-01-01T00:00:00Z", **known}
    found = one(image, Entry("app", image, **before))
    assert (found.digest, found.created) == (digest, "2026-10-01T10:00:00Z")
    assert len(world.log) == 3


def test_an_image_named_by_digest_is_that_one(world, here):
    digest = world.image("team/app", "1.2")
    world.image("team/app", "1.2", created="2026-11-01T00:00:00Z")
    assert one(f"{here}/team/app:1.2@{digest}").digest == digest
    assert "HEAD /v2/team/app/manifests/1.2" not in world.paths()


@pytest.mark.parametrize(("name", "value"), [("knows_head", False), ("tells_digest", False)])
def test_a_registry_that_tells_nothing_by_head_is_asked_by_get(world, here, name, value):
    setattr(world, name, value)
    digest = world.image("team/app", "1.2")
    assert one(f"{here}/team/app:1.2").digest == digest


@pytest.mark.parametrize(
    ("told", "created"),
    [
        ("2026-10-01T12:00:00+02:00", "2026-10-01T10:00:00Z"),
        ("2026-10-01T10:00:00Z", "2026-10-01T10:00:00Z"),
        # Reproducible builds: the date means nothing.
        ("1970-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_when_an_image_was_built(world, here, told, created):
    world.image("team/app", "1", created=told)
    assert one(f"{here}/team/app:1").created == created


def test_the_annotation_tells_where_the_config_does_not(world, here):
    annotations = {"org.opencontainers.image.created": "2026-09-01T00:00:00Z"}
    world.image("team/app", "1", created="1970-01-01T00:00:00Z", annotations=annotations)
    assert one(f"{here}/team/app:1").created == "2026-09-01T00:00:00Z"


def test_what_is_no_image_for_containers_has_neither_date_nor_platform(world, here):
    config = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": world.blob("a/chart", {})}
    digest = world.put("a/chart", "1", {"schemaVersion": 2, "config": config, "layers": []}, w.OCI_MANIFEST)
    found = one(f"{here}/a/chart:1")
    assert (found.digest, found.platforms, found.created) == (digest, {}, None)


def test_many_images_are_asked_for_at_once_and_each_has_its_own_answer(world, here):
    digests = {f"{here}/team/app{number}:1": world.image(f"team/app{number}", "1", mark=number) for number in range(20)}
    world.gate = threading.Barrier(4)
    answers = registry_client.resolve([*digests, f"{here}/team/none:1"], None, Transport(Credentials(), timeout=5))
    assert {image: found.digest for image, found in answers.found.items()} == digests
    assert list(answers.problems) == [f"{here}/team/none:1"]
    assert 4 <= world.most_busy <= registry_client.WORKERS


def test_the_same_image_twice_is_asked_for_once(world, here):
    world.image("team/app", "1")
    image = f"{here}/team/app:1"
    assert list(registry_client.resolve([image, image], None, Transport(Credentials())).found) == [image]
    assert len(world.log) == 3


def test_nothing_to_ask_for_is_nothing_asked():
    assert registry_client.resolve([]).found == {}


def test_a_text_that_is_no_image_is_a_problem_of_its_own(world, here):
    world.image("team/app", "1")
    answers = registry_client.resolve([f"{here}/team/app:1", "NO"], None, Transport(Credentials()))
    assert list(answers.found) == [f"{here}/team/app:1"]
    assert "not the name of an image" in answers.problems["NO"].why


# -- ways ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def internet(world, monkeypatch, tmp_path):
    """Every registry of any name is the world, by TLS and a proxy; the first lines that the proxy has heard."""
    names = ("registry-1.docker.io", "lscr.io", "registry.example")
    bundle, context = w.authority(tmp_path, *names)
    with w.serving(world, context) as address, w.proxy_to(address) as (proxy, asked):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
        yield asked


def test_docker_hub_has_an_address_and_a_library_of_its_own(world, internet):
    digest = world.image("library/traefik", "v3.7.13")
    assert one("traefik:v3.7.13").digest == digest
    assert world.paths()[0] == "HEAD /v2/library/traefik/manifests/v3.7.13"
    assert internet[0].startswith("CONNECT registry-1.docker.io:443 ")


def test_another_registry_is_asked_by_tls_and_the_proxy(world, internet):
    digest = world.image("linuxserver/sonarr", "4.0.19")
    assert one("lscr.io/linuxserver/sonarr:4.0.19").digest == digest
    assert all("lscr.io:443" in line for line in internet)


def test_loopback_is_asked_past_the_proxy_and_without_tls(world, internet):
    plain = w.World()
    digest = plain.image("team/app", "1")
    with w.serving(plain) as address:
        assert one(f"{address}/team/app:1").digest == digest
    assert internet == []


@pytest.mark.parametrize("no_proxy", ["registry.example", ".example", "*"])
def test_no_proxy_is_heard(world, internet, monkeypatch, no_proxy):
    monkeypatch.setenv("NO_PROXY", no_proxy)
    # Nobody is to be looked up; that it was tried is what shows the way.
    monkeypatch.setattr("socket.getaddrinfo", _nobody)
    transport = Transport(Credentials(), timeout=2, attempts=1)
    answers = registry_client.resolve(["registry.example/team/app:1"], None, transport)
    assert answers.problems["registry.example/team/app:1"].kind == registry_errors.DNS
    assert internet == []


def test_no_proxy_may_name_a_network(monkeypatch):
    from ansible_collections.homelab.mediastack.plugins.plugin_utils.registry_http import _in_networks

    assert _in_networks("10.1.2.3", "localhost, 10.0.0.0/8")
    assert not _in_networks("11.1.2.3", "localhost, 10.0.0.0/8")
    assert not _in_networks("registry.example", "10.0.0.0/8")


def _nobody(*_arguments, **_options):
    import socket

    raise socket.gaierror(-2, "Name or service not known")


def test_an_authority_that_is_not_known_is_not_trusted(world, internet, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    world.image("linuxserver/sonarr", "4.0.19")
    image = "lscr.io/linuxserver/sonarr:4.0.19"
    problem = registry_client.resolve([image], None, Transport(Credentials(), timeout=5)).problems[image]
    assert problem.kind == registry_errors.TLS
    assert problem.why.startswith("lscr.io: no secure connection (")
    assert "REQUESTS_CA_BUNDLE" in problem.why
    assert world.log == []


def test_a_name_that_is_not_found_says_so_once_for_all_images(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", _nobody)
    images = [f"nowhere.example/app{number}:1" for number in range(3)]
    transport = Transport(Credentials(), timeout=2, wait=lambda _seconds: None)
    answers = registry_client.resolve(images, None, transport)
    (sentence,) = registry_client.sentences(answers.problems, {images[0]: ["sonarr"]})
    assert sentence.startswith(f"{images[0]} (for sonarr), {images[1]}, {images[2]}: ")
    assert "finds no address for nowhere.example" in sentence
    assert "DNS" in sentence


def test_a_registry_without_tls_is_not_asked_in_clear_text(world, monkeypatch):
    with w.serving(world) as plain, w.proxy_to(plain) as (proxy, _asked):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        image = "nas.example:5000/team/app:1"
        problem = registry_client.resolve([image], None, Transport(Credentials(), timeout=5)).problems[image]
    assert problem.kind == registry_errors.TLS
    assert "it does not speak TLS" in problem.why
    assert world.log == []


def test_a_proxy_that_is_not_there_is_told(world, monkeypatch):
    with w.proxy_to("127.0.0.1:9") as (proxy, _asked):
        pass
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    image = "lscr.io/team/app:1"
    problem = registry_client.resolve([image], None, Transport(Credentials(), timeout=5)).problems[image]
    assert problem.kind == registry_errors.PROXY
    assert "The proxy of HTTPS_PROXY" in problem.why


@pytest.mark.parametrize("platform", ["linux/AMD64", "Linux/amd64", "linux/arm/v7 "])
def test_a_platform_that_nobody_writes_so_is_none(world, platform):
    """The lock file would not be read with it."""
    with w.serving(world) as address:
        digest, children = world.index("team/app", "1", ["linux/arm64", platform])
        found = registry_client.resolve([f"{address}/team/app:1"], None, Transport(Credentials(), timeout=5)).found
    one = found[f"{address}/team/app:1"]
    assert (one.digest, one.platforms) == (digest, {"linux/arm64": children["linux/arm64"]})
