# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A registry on loopback that can ask for a login, be slow, busy, broken or a liar; and a proxy that leads to it.

By the proxy it stands for registries of any name, with TLS of an authority of its own: no test asks a stranger.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import ipaddress
import json
import select
import socket
import socketserver
import ssl
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
CREATED = "2026-10-01T10:00:00.123456789Z"
USER, PASSWORD, TOKEN = "sam", "correct horse", "t0ken"


def digest_of(body):
    return "sha256:" + hashlib.sha256(body).hexdigest()


class World:
    """What the registry has, how it behaves, and what it was asked.

    Attributes:
        login: None, `token`, `token-user` (no token without a user) or `basic`.
        faults: functions that are given the handler, one a request; the first that returns True has answered. One that
            returns None is asked again at the next request; it is removed when its `times` are over.
        log: `(method, path, headers)` of every request.
    """

    def __init__(self):
        self.contents, self.faults, self.log = {}, [], []
        self.login = None
        self.realm = None
        self.tells_digest, self.knows_head = True, True
        self.redirect_blobs_to = None
        self.lock = threading.Lock()
        self.busy = self.most_busy = 0
        self.gate = None

    # -- contents ----------------------------------------------------------------------------------------------------

    def put(self, repository, tag, value, media, **_ignored):
        """Put a manifest or index (a map) there, by its tag too where it has one; its digest."""
        body = json.dumps(value).encode()
        digest = digest_of(body)
        for name in filter(None, (tag, digest)):
            self.contents[f"/v2/{repository}/manifests/{name}"] = (body, media)
        return digest

    def blob(self, repository, value):
        body = json.dumps(value).encode()
        self.contents[f"/v2/{repository}/blobs/{digest_of(body)}"] = (body, "application/octet-stream")
        return digest_of(body)

    def image(self, repository, tag=None, platform="linux/amd64", created=CREATED, media=OCI_MANIFEST, **manifest):
        """An image for one platform; the digest of its manifest."""
        system, architecture, variant = (*platform.split("/"), "")[:3]
        config = {"os": system, "architecture": architecture, "created": created, "rootfs": {}, "mark": tag}
        config = {key: value for key, value in config.items() if value is not None}
        if variant:
            config["variant"] = variant
        kind = OCI_CONFIG if media == OCI_MANIFEST else DOCKER_CONFIG
        entry = {"mediaType": kind, "digest": self.blob(repository, config), "size": 1}
        value = {"schemaVersion": 2, "mediaType": media, "config": entry, "layers": [], **manifest}
        return self.put(repository, tag, value, media)

    def index(self, repository, tag, platforms, media=OCI_INDEX, extra=(), **more):
        """An index of images; `(digest, {platform: digest})`."""
        child = OCI_MANIFEST if media == OCI_INDEX else DOCKER_MANIFEST
        images = {one: self.image(repository, None, one, media=child, **more) for one in platforms}
        entries = []
        for platform, digest in images.items():
            words = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
            entries.append({"mediaType": child, "digest": digest, "size": 1, "platform": words})
        value = {"schemaVersion": 2, "mediaType": media, "manifests": [*entries, *extra]}
        return self.put(repository, tag, value, media), images

    # -- faults ------------------------------------------------------------------------------------------------------

    def fail(self, times, answer, only=""):
        """Let `answer(handler)` answer the next `times` requests whose path holds `only`."""
        left = [times]

        def fault(handler):
            with self.lock:
                if not left[0] or only not in handler.path:
                    return False
                left[0] -= 1
            answer(handler)
            return True

        self.faults.append(fault)

    def paths(self):
        """`METHOD path` of every request, without what the test has named itself."""
        return [f"{method} {path.partition('?')[0]}" for method, path, _headers in self.log]


def status(code, body=b"", **headers):
    """An answer for `World.fail`."""

    def answer(handler):
        handler.reply(code, body, {name.replace("_", "-"): value for name, value in headers.items()})

    return answer


def truncated(handler):
    """Half of what was promised, and the end of the connection."""
    body, media = handler.world.contents[handler.path]
    handler.send_response(200)
    handler.send_header("Content-Type", media)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def liar(handler):
    """Well-formed, and something else than was asked for."""
    handler.reply(200, b'{"schemaVersion": 2, "config": {}, "layers": []}', {"Content-Type": OCI_MANIFEST})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def world(self):
        return self.server.world

    def reply(self, code, body=b"", headers=None):
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _handle(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.sent = self.rfile.read(length).decode()
        world = self.world
        with world.lock:
            world.log.append((self.command, self.path, dict(self.headers)))
            world.busy += 1
            world.most_busy = max(world.most_busy, world.busy)
        try:
            if world.gate is not None:
                # Several at once get through together; one alone does not wait for ever.
                with contextlib.suppress(threading.BrokenBarrierError):
                    world.gate.wait(0.5)
            if not any(fault(self) for fault in world.faults):
                self._answer()
        finally:
            with world.lock:
                world.busy -= 1

    do_GET = do_HEAD = do_POST = _handle

    def _answer(self):
        world, given = self.world, self.headers.get("Authorization", "")
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.path.startswith("/token"):
            known = given == basic or f"refresh_token={TOKEN}" in self.sent
            if (given or self.command == "POST" or world.login == "token-user") and not known:
                return self.reply(401, b'{"errors": [{"message": "incorrect username or password"}]}')
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query or self.sent)
            return self.reply(200, json.dumps({"token": "for " + query["scope"][0]}).encode())
        repository = self.path.removeprefix("/v2/").rpartition("/")[0].rpartition("/")[0]
        wanted = basic if world.login == "basic" else f"Bearer for repository:{repository}:pull"
        if world.login and given != wanted:
            scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
            realm = world.realm or f"{scheme}://{self.headers['Host']}/token"
            header = (
                'Basic realm="registry"'
                if world.login == "basic"
                else f'Bearer realm="{realm}",service="the registry",scope="repository:{repository}:pull"'
            )
            return self.reply(
                401, b'{"errors": [{"message": "authentication required"}]}', {"WWW-Authenticate": header}
            )
        if "/blobs/" in self.path and world.redirect_blobs_to:
            return self.reply(307, b"", {"Location": world.redirect_blobs_to + self.path})
        if self.command == "HEAD" and not world.knows_head:
            return self.reply(405)
        body, media = world.contents.get(self.path, (None, None))
        if body is None:
            return self.reply(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}')
        headers = {"Content-Type": media}
        if world.tells_digest:
            headers["Docker-Content-Digest"] = digest_of(body)
        return self.reply(200, body, headers)

    def log_message(self, *_arguments):
        pass


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


@contextlib.contextmanager
def serving(world, context=None):
    """The world's server; `127.0.0.1:port`."""
    server = _Quiet(("127.0.0.1", 0), _Handler)
    server.world = world
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Proxy(socketserver.BaseRequestHandler):
    def handle(self):
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.request.recv(4096)
            if not data:
                return
            head += data
        self.server.asked.append(head.split(b"\r\n")[0].decode())
        if not head.startswith(b"CONNECT"):
            self.request.sendall(b"HTTP/1.1 502 no\r\nContent-Length: 0\r\n\r\n")
            return
        host, port = self.server.target.split(":")
        with socket.create_connection((host, int(port)), 5) as other:
            self.request.sendall(b"HTTP/1.1 200 yes\r\n\r\n")
            ends = {self.request: other, other: self.request}
            while True:
                readable, _writable, _wrong = select.select(list(ends), [], [], 5)
                if not readable:
                    return
                for one in readable:
                    data = one.recv(65536)
                    if not data:
                        return
                    ends[one].sendall(data)


@contextlib.contextmanager
def proxy_to(target):
    """A proxy that connects everybody to *target*; `(address, [first line of every request])`."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            pass

    server = Server(("127.0.0.1", 0), _Proxy)
    server.target, server.asked = target, []
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def authority(folder, *names):
    """An authority with one certificate for *names*: `(path of the authority, server's SSL context)`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a registry of a test")])
    now = datetime.datetime.now(datetime.UTC)
    hosts = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *(x509.DNSName(one) for one in names)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "authority.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = folder / "key.pem"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, private)
    return str(path), context
