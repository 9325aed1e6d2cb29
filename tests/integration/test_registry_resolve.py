# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tags resolved against Debian's docker-registry: what the engine pulls by that digest is what was resolved."""

from __future__ import annotations

import datetime
import io
import json
import os
import pathlib
import socket
import subprocess
import tarfile
import tempfile
import urllib.request

import pytest
import yaml
from registry import running_registry

from ansible_collections.homelab.mediastack.plugins.plugin_utils import lock_file, registry_client, registry_errors
from ansible_collections.homelab.mediastack.plugins.plugin_utils.registry_credentials import Credentials
from ansible_collections.homelab.mediastack.plugins.plugin_utils.registry_http import Transport

ROOT = pathlib.Path(__file__).resolve().parents[2]
PREFIX = f"mslock-{os.getpid()}"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def docker(*arguments, check=True, **options):
    done = subprocess.run(["docker", *arguments], capture_output=True, check=False, **options)
    assert not check or done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def registry():
    """The address of a registry; the engine has none of its images afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with tempfile.TemporaryDirectory(prefix="mslock-", dir="/var/tmp") as place:
        try:
            with running_registry(pathlib.Path(place), address):
                yield f"{address}/{PREFIX}"
        finally:
            known = docker("image", "ls", "--format", "{{.ID}}", f"{address}/{PREFIX}/*").split()
            if known:
                docker("image", "rm", "-f", *known, check=False)


@pytest.fixture(autouse=True)
def no_login(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker"))


def push(image, mark, platform="linux/amd64"):
    """Push an image of one file; the digest that the engine has learned of it."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        entry = tarfile.TarInfo("mark")
        entry.size = len(mark)
        archive.addfile(entry, io.BytesIO(mark.encode()))
    docker("import", "--platform", platform, "-", image, input=raw.getvalue())
    docker("push", "--quiet", image)
    return json.loads(docker("image", "inspect", image))[0]["RepoDigests"][0].partition("@")[2]


def request(method, image, reference, data=None, **headers):
    name, _slash, repository = image.partition("/")
    url = f"http://{name}/v2/{repository}/manifests/{reference}"
    made = urllib.request.Request(
        url, data, {name.replace("_", "-"): value for name, value in headers.items()}, method=method
    )
    with urllib.request.urlopen(made, timeout=10) as answer:
        return answer.read(), answer.headers


def push_index(image, tag, children, media):
    """Put an index of `children` (platform → digest) under a tag; its digest as the registry says it."""
    entries = []
    for platform, digest in children.items():
        words = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        body, _headers = request("GET", image, digest, Accept=MANIFEST)
        entries.append({"mediaType": MANIFEST, "digest": digest, "size": len(body), "platform": words})
    value = json.dumps({"schemaVersion": 2, "mediaType": media, "manifests": entries}).encode()
    _body, headers = request("PUT", image, tag, value, Content_Type=media)
    return headers["Docker-Content-Digest"]


def resolve(*images, known=None):
    transport = Transport(Credentials(), timeout=10)
    answers = registry_client.resolve(images, known, transport)
    return answers, transport


def test_a_pushed_image_is_resolved_to_what_the_engine_pulls(registry):
    image = f"{registry}/app:1"
    digest = push(image, "one")
    answers, transport = resolve(image)
    found = answers.found[image]
    assert (found.digest, found.platforms) == (digest, {"linux/amd64": digest})
    built = datetime.datetime.strptime(found.created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
    assert abs((datetime.datetime.now(datetime.UTC) - built).total_seconds()) < 600
    assert transport.requests_sent == 3
    docker("image", "rm", "-f", image)
    docker("pull", "--quiet", f"{image.rsplit(':', 1)[0]}@{found.digest}")


def test_a_tag_that_moves_has_another_digest_and_one_that_stays_costs_one_request(registry):
    image = f"{registry}/moving:1"
    first = push(image, "first")
    before = resolve(image)[0].found[image]
    again, transport = resolve(image, known={image: before})
    assert again.found[image] == before
    assert transport.requests_sent == 1
    second = push(image, "second")
    after = resolve(image, known={image: before})[0].found[image]
    assert (before.digest, after.digest) == (first, second)
    assert first != second
    fixed = f"{image}@{first}"
    assert resolve(fixed)[0].found[fixed].digest == first


@pytest.mark.parametrize("media", [INDEX, OCI_INDEX])
def test_an_index_is_resolved_to_itself_and_to_what_is_behind_it(registry, media):
    image = f"{registry}/multi"
    children = {
        "linux/amd64": push(f"{image}:amd64", "for amd64"),
        "linux/arm64": push(f"{image}:arm64", "for arm64", "linux/arm64"),
    }
    tag = "docker" if media == INDEX else "oci"
    digest = push_index(image, tag, children, media)
    name = f"{image}:{tag}"
    found = resolve(name)[0].found[name]
    assert found.digest == digest
    assert found.platforms == children
    assert found.created
    # The engine, told that digest, takes what is for its own platform.
    docker("pull", "--quiet", f"{image}@{digest}")
    pulled = json.loads(docker("image", "inspect", f"{image}@{digest}"))[0]
    assert (pulled["Os"], pulled["Architecture"]) == ("linux", "amd64")
    docker("image", "rm", "-f", f"{image}@{digest}")


def test_what_the_registry_has_not_is_told(registry):
    image = f"{registry}/none:9"
    problem = resolve(image)[0].problems[image]
    assert (problem.kind, problem.status) == (registry_errors.MISSING, 404)
    assert "has no" in problem.why


def test_a_playbook_writes_the_lock_of_its_hosts(registry, tmp_path):
    """By Ansible itself: what the module returns is what the next task takes, and a second run changes nothing."""
    image = f"{registry}/book:1"
    digest = push(image, "book")
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    (inventory / "hosts.yml").write_text(
        yaml.safe_dump({"mediastack": {"hosts": {name: {"ansible_connection": "local"} for name in ("nas", "attic")}}})
    )
    wanted = {name: {"sonarr": {"image": image, "wiring_kind": "servarr"}} for name in ("nas", "attic")}
    play = [
        {
            "name": "Lock",
            "hosts": "mediastack",
            "gather_facts": False,
            "tasks": [
                {
                    "name": "Resolve",
                    "homelab.mediastack.lock": {"images": wanted, "surveys": {}},
                    "run_once": True,
                    "register": "resolved",
                },
                {
                    "name": "Every host has its targets",
                    "ansible.builtin.assert": {
                        "that": [
                            f"resolved.targets[inventory_hostname].sonarr.digest == '{digest}'",
                            f"resolved.targets[inventory_hostname].sonarr.image == '{image}'",
                        ]
                    },
                },
                {
                    "name": "Write",
                    "homelab.mediastack.lock": {"mode": "write", "lock": "{{ resolved.lock }}"},
                    "run_once": True,
                },
            ],
        }
    ]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))

    def run(*options):
        command = ["ansible-playbook", "-i", str(inventory), str(tmp_path / "play.yml"), *options]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    path = inventory / lock_file.NAME
    checked = run("--check", "--diff")
    assert f"+    digest: {digest}" in checked
    assert not path.exists()
    assert f"sonarr: {image} is {digest[:19]}" in run()
    entry = lock_file.read(str(path)).entry("sonarr", image)
    assert entry.digest == digest
    assert entry.created
    before = path.stat().st_mtime_ns
    assert "changed=0" in run()
    assert path.stat().st_mtime_ns == before
