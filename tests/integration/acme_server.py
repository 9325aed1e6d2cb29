# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small ACME authority (RFC 8555) that checks HTTP-01 challenges for real, at a port of this machine, and DNS-01
challenges against the records that it is shown. It answers by https, for Traefik asks no other one, with a certificate
of its own authority.

It takes requests on trust (signatures of accounts are not checked): what is tested is the other side.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import http.client
import http.server
import ipaddress
import json
import secrets
import ssl
import tempfile
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def _plain(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _coded(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _thumbprint(jwk):
    """RFC 7638: over the required members of the key, in order."""
    members = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}[jwk["kty"]]
    text = json.dumps({name: jwk[name] for name in members}, separators=(",", ":"))
    return _coded(hashlib.sha256(text.encode()).digest())


class AcmeServer:
    """The authority. Its certificate is `pem`; `issued` the names that it has signed, `mails` who has asked."""

    def __init__(self, challenge_port=None, address="127.0.0.1", records=None):
        """What it offers.

        Args:
            challenge_port: where port 80 of every name leads; None where it offers the DNS challenge.
            address: the one that it is reached by.
            records: function from a name to the texts of its TXT records.
        """
        self.challenge_port, self.issued, self.mails, self.refused = challenge_port, [], [], []
        self.records, self.kind = records, "dns-01" if records else "http-01"
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ACME of the tests")])
        self.certificate = self._sign(self.name, self.key.public_key(), [], True)
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        self.keys, self.orders, self.certificates = {}, [], []
        handler = type("Handler", (_Handler,), {"acme": self})
        # Not only at its address, which may not be there yet.
        self.server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), handler)
        self.server.socket = self._context(address).wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self.server.server_address[1]
        self.directory = f"https://{address}:{self.port}/directory"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()

    def _context(self, address):
        """TLS with a certificate for the address."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address(address))]
        own = self._sign(x509.Name([]), key.public_key(), names, False)
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(key.private_bytes(*form) + own.public_bytes(serialization.Encoding.PEM))
            file.flush()
            context.load_cert_chain(file.name)
        return context

    def _sign(self, subject, public, names, authority):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=90))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not list(subject))
        return builder.sign(self.key, hashes.SHA256())

    def check(self, name, token, jwk):
        """Whether the name's records, or its port 80, answer the challenge; the latter without a redirect."""
        if self.records:
            wanted = _coded(hashlib.sha256(f"{token}.{_thumbprint(jwk)}".encode()).digest())
            found = self.records(f"_acme-challenge.{name}")
            if wanted not in found:
                self.refused.append((name, wanted, found))
            return wanted in found
        connection = http.client.HTTPConnection("127.0.0.1", self.challenge_port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", f"/.well-known/acme-challenge/{token}", headers={"Host": name})
            answer = connection.getresponse()
            body = answer.read().decode(errors="replace")
        right = answer.status == 200 and body.strip() == f"{token}.{_thumbprint(jwk)}"
        if not right:
            self.refused.append((name, answer.status, body))
        return right

    def finalize(self, order, csr):
        """Sign what was asked for."""
        request = x509.load_der_x509_csr(csr)
        asked = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = asked.get_values_for_type(x509.DNSName)
        assert set(names) == {one["value"] for one in order["identifiers"]}
        own = self._sign(request.subject, request.public_key(), list(asked), False)
        self.certificates.append(own.public_bytes(serialization.Encoding.PEM) + self.pem)
        self.issued += names
        return len(self.certificates) - 1


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    acme = None

    def log_message(self, *_arguments):
        """Nobody reads it."""

    @property
    def base(self):
        return f"https://{self.headers['Host']}"

    def _answer(self, status, body=None, location=None, kind="application/json"):
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Replay-Nonce", secrets.token_urlsafe(12))
        self.send_header("Content-Length", str(len(data)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_HEAD(self):  # noqa: N802 - as http.server calls it
        """A nonce."""
        self._answer(200)

    def do_GET(self):  # noqa: N802
        """The directory, or a nonce."""
        if self.path == "/directory":
            names = ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")
            self._answer(200, {name: f"{self.base}/{name}" for name in names})
        else:
            self._answer(204)

    def do_POST(self):  # noqa: N802
        """Everything else, as a JWS."""
        outer = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        head = json.loads(_plain(outer["protected"]))
        payload = json.loads(_plain(outer["payload"]) or b"{}")
        what, _slash, number = self.path.lstrip("/").partition("/")
        getattr(self, f"_{what}")(head, payload, number)

    def _newAccount(self, head, payload, _number):  # noqa: N802 - as in the path
        number = str(len(self.acme.keys))
        self.acme.keys[f"{self.base}/account/{number}"] = head["jwk"]
        self.acme.mails += payload.get("contact", [])
        self._answer(201, {"status": "valid"}, f"{self.base}/account/{number}")

    def _account(self, _head, _payload, _number):
        self._answer(200, {"status": "valid"})

    def _newOrder(self, _head, payload, _number):  # noqa: N802
        number = len(self.acme.orders)
        authorizations = [
            {"name": one["value"], "token": secrets.token_urlsafe(16), "status": "pending"}
            for one in payload["identifiers"]
        ]
        order = {"identifiers": payload["identifiers"], "authorizations": authorizations, "certificate": None}
        self.acme.orders.append(order)
        self._show(number, 201)

    def _show(self, number, status=200):
        order = self.acme.orders[number]
        ready = all(one["status"] == "valid" for one in order["authorizations"])
        body = {
            "status": "valid" if order["certificate"] is not None else "ready" if ready else "pending",
            "identifiers": order["identifiers"],
            "authorizations": [f"{self.base}/authz/{number}.{at}" for at in range(len(order["authorizations"]))],
            "finalize": f"{self.base}/finalize/{number}",
        }
        if order["certificate"] is not None:
            body["certificate"] = f"{self.base}/cert/{order['certificate']}"
        self._answer(status, body, f"{self.base}/order/{number}")

    def _order(self, _head, _payload, number):
        self._show(int(number))

    def _one(self, number):
        order, _dot, at = number.partition(".")
        return self.acme.orders[int(order)]["authorizations"][int(at)]

    def _challenge_of(self, number):
        one = self._one(number)
        return {
            "type": self.acme.kind,
            "url": f"{self.base}/chall/{number}",
            "token": one["token"],
            "status": one["status"],
        }

    def _authz(self, _head, _payload, number):
        one = self._one(number)
        body = {"status": one["status"], "identifier": {"type": "dns", "value": one["name"].removeprefix("*.")}}
        if one["name"].startswith("*."):
            body["wildcard"] = True
        self._answer(200, {**body, "challenges": [self._challenge_of(number)]})

    def _chall(self, head, _payload, number):
        one = self._one(number)
        right = self.acme.check(one["name"].removeprefix("*."), one["token"], self.acme.keys[head["kid"]])
        one["status"] = "valid" if right else "invalid"
        self._answer(200, self._challenge_of(number))

    def _finalize(self, _head, payload, number):
        order = self.acme.orders[int(number)]
        order["certificate"] = self.acme.finalize(order, _plain(payload["csr"]))
        self._show(int(number))

    def _cert(self, _head, _payload, number):
        self._answer(200, self.acme.certificates[int(number)], kind="application/pem-certificate-chain")
