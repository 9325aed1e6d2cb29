# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's images in the fleet's registry, written there as they are: compressing them would take minutes.

A release is another configuration of the same layers, so that one more is a matter of milliseconds.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import pathlib
import secrets
import subprocess
import tarfile
import tempfile

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar"
LAB = "mediastack-lab"


def _digest(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Shelf:
    """The releases of the fleet's apps in a registry on 127.0.0.1."""

    def __init__(self, port, place):
        """port: of the registry; place: the directory where it is kept what there is (`shelf.json`)."""
        self.port, self.kept = port, pathlib.Path(place) / "shelf.json"
        #: app → {"config": as its image has it, "layers": as a manifest has them}.
        self.apps = json.loads(self.kept.read_text(encoding="utf-8")) if self.kept.exists() else {}

    def fill(self, apps):
        """Hand the lab's newest image of each app to the registry; apps: app → the image's name in the lab."""
        names = {app: _newest(name) for app, name in apps.items()}
        with tempfile.TemporaryDirectory(dir=self.kept.parent) as place:
            path = pathlib.Path(place) / "images.tar"
            subprocess.run(["docker", "save", "--output", path, *names.values()], check=True, timeout=300)
            with tarfile.open(path) as archive:
                listed = {one["RepoTags"][0]: one for one in json.load(archive.extractfile("manifest.json"))}
                there = {}
                for app, name in names.items():
                    config = json.load(archive.extractfile(listed[name]["Config"]))
                    layers = [self._layer(archive, member, app, there) for member in listed[name]["Layers"]]
                    self.apps[app] = {"config": config, "layers": layers}
        self.kept.write_text(json.dumps(self.apps), encoding="utf-8")

    def publish(self, app, fault=""):
        """Make ``fleet/APP:1`` a new release; its digest. `fault`: of tests/lab, from the start on."""
        config = json.loads(json.dumps(self.apps[app]["config"]))
        config["config"]["Env"] += [f"FLEET_RELEASE={secrets.token_hex(8)}", f"LAB_FAULTS={fault}"]
        body = json.dumps(config).encode()
        digest = _digest(body)
        self._upload(app, digest, body)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": self.apps[app]["layers"]}
        manifest["config"] = {"mediaType": CONFIG, "size": len(body), "digest": digest}
        body = json.dumps(manifest).encode()
        self._ask("PUT", f"/v2/fleet/{app}/manifests/1", body, MANIFEST, 201)
        return _digest(body)

    def _layer(self, archive, member, app, there):
        """Have a layer in an app's repository; what a manifest says of it. `there`: member → that, for other apps."""
        if member in there:
            first, described = there[member]
            # It is the registry's already, under the other app's name.
            self._ask(
                "POST", f"/v2/fleet/{app}/blobs/uploads/?mount={described['digest']}&from=fleet/{first}", b"", "", 201
            )
            return described
        link = archive.getmember(member)
        content = archive.extractfile(link).read()
        described = {"mediaType": LAYER, "size": len(content), "digest": _digest(content)}
        self._upload(app, described["digest"], content)
        there[member] = (app, described)
        return described

    def _upload(self, app, digest, content):
        answer = self._ask("POST", f"/v2/fleet/{app}/blobs/uploads/", b"", "", 202)
        path = answer.headers["Location"].partition(f":{self.port}")[2] or answer.headers["Location"]
        self._ask("PUT", f"{path}{'&' if '?' in path else '?'}digest={digest}", content, "", 201)

    def _ask(self, method, path, body, kind, status):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, body, {"Content-Type": kind or "application/octet-stream"})
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        assert answer.status == status, f"{method} {path}: {answer.status} {said[:500]}"
        return answer


def _newest(name):
    command = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{LAB}/{name}"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()
    assert listed, f"there is no image {LAB}/{name}: run tests/lab/bin/images build"
    return listed[0]
