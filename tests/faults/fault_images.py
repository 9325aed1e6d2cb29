# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases of the app, good and bad, written straight into the registry: a tag moves in milliseconds, nothing is built.

All share two layers, Debian's Python and the app; each has a small one of its own, so that it is another image and
something is left to be pulled.
"""

from __future__ import annotations

import datetime
import fcntl
import gzip
import hashlib
import http.client
import io
import itertools
import json
import os
import pathlib
import platform
import subprocess
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "faults"
PACKAGES = "python3-minimal,libpython3-stdlib,busybox-static"
# The suite's own directories are links into /usr; nothing configures the packages that would make them.
LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin"}
DROPPED = ("usr/bin/dpkg", "usr/bin/tar", "usr/bin/debconf", "usr/share", "var/lib", "etc/dpkg")
DOCKER = "application/vnd.docker."
MANIFEST = f"{DOCKER}distribution.manifest.v2+json"
CONFIG = f"{DOCKER}container.image.v1+json"
LAYER = f"{DOCKER}image.rootfs.diff.tar.gzip"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_serial = itertools.count(1)


def _digest(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _archive(files, folders=()):
    """A tar of files (path → bytes), bit for bit the same at every call."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in folders:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class Layer:
    """A layer: its bytes as the registry has them, and the digest of what is in them."""

    def __init__(self, archive):
        """archive: an uncompressed tar."""
        self.diff = _digest(archive)
        self.content = gzip.compress(archive, 1, mtime=0)
        self.digest = _digest(self.content)


def _debian():
    """A tar of Debian's Python with SQLite and busybox, without what only installing needs; made once."""
    path = CACHE / "python.tar"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as place:
                made = pathlib.Path(place) / "root.tar"
                command = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={PACKAGES}", "trixie", str(made)]
                subprocess.run(command, check=True, timeout=600)
                _slim(made, pathlib.Path(place) / "slim.tar").replace(path)
    return path.read_bytes()


def _slim(source, target):
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for name, to in LINKS.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, to
            new.addfile(entry)
        for member in old:
            name = member.name.removeprefix("./")
            if name and not name.startswith(DROPPED) and not name.startswith("dev/") and name not in LINKS:
                member.name = name
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
    return target


class Shelf:
    """The releases in one registry."""

    def __init__(self, port):
        """port: of the registry itself, on 127.0.0.1 (not of the proxy before it)."""
        self.port = port
        self._layers = [
            Layer(_debian()),
            Layer(_archive({"app.py": (HERE / "inside" / "app.py").read_bytes()}, ["config"])),
        ]
        self._there = set()

    def publish(self, repository, tag="1", schema=1, fault="", size=100_000, age=0):
        """Make `repository:tag` a new release of the app; its digest.

        schema: version of its database; fault: see inside/app.py; size: bytes that it brings along; age: days ago that
        it was built.
        """
        number = next(_serial)
        layers = [*self._layers, Layer(_archive({"release": os.urandom(size)}))]
        built = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=age)
        config = {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "created": built.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "config": {
                "Env": ["PATH=/usr/bin", f"APP_SCHEMA={schema}", f"APP_FAULT={fault}"],
                "Cmd": ["python3", "/app.py"],
                "Labels": {"mediastack.lab": "true", "mediastack.faults": f"{os.getpid()}-{number}"},
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.diff for layer in layers]},
        }
        described = [self._blob(repository, layer.content, layer.digest, LAYER) for layer in layers]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": described}
        manifest["config"] = self._blob(repository, json.dumps(config).encode(), None, CONFIG)
        body = json.dumps(manifest).encode()
        self._ask("PUT", f"/v2/{repository}/manifests/{tag}", body, {"Content-Type": MANIFEST}, 201)
        return _digest(body)

    def _blob(self, repository, content, digest, media_type):
        digest = digest or _digest(content)
        if (repository, digest) not in self._there:
            where = self._ask("POST", f"/v2/{repository}/blobs/uploads/", b"", {}, 202).headers["Location"]
            path = where.partition(f":{self.port}")[2] or where
            joint = "&" if "?" in path else "?"
            self._ask("PUT", f"{path}{joint}digest={digest}", content, {}, 201)
            self._there.add((repository, digest))
        return {"mediaType": media_type, "size": len(content), "digest": digest}

    def _ask(self, method, path, body, headers, status):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/octet-stream", **headers}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        assert answer.status == status, f"{method} {path}: {answer.status} {said[:500]}"
        return answer
