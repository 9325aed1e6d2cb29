# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make certificates for a stack's ingress, and read those that a user gives.

They are made here because a host has nothing to make them with: Ansible itself needs `cryptography` on the controller,
and only there. What is made is handed to the host, which keeps it among its secrets (certificate_terms.py); nothing of
it stays on the controller. `cryptography` is loaded when it is needed: most runs do not.
"""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress

from ansible_collections.homelab.mediastack.plugins.module_utils import certificate_terms

# An authority is trusted by hand on every device, so it lasts; what it signs does not. 825 days is the most that
# Apple's systems take from a server, whoever signed it: https://support.apple.com/103769
DAYS = {"ca": 7300, "server": 397}
# Clocks differ.
_EARLIER = datetime.timedelta(days=1)


class CertificateError(Exception):
    """A certificate or key that cannot be used; the text says why, without any of its content."""


@dataclasses.dataclass(frozen=True)
class Given:
    """A certificate that a user gave: for whom it is (`names`), and from when until when it holds (in UTC)."""

    names: tuple
    since: datetime.datetime
    until: datetime.datetime

    def covers(self, host):
        """Whether it is for `host`; a wildcard stands for one label."""
        parent = host.partition(".")[2]
        return host in self.names or f"*.{parent}" in self.names

    def holds_yet(self, at=None):
        """Whether it has begun."""
        return self.since <= (at or now())

    def days_left(self, at=None):
        """Days that it still holds; negative when it has ended."""
        return (self.until - (at or now())) // datetime.timedelta(days=1)


def now():
    """The time of this computer, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def issue(wanted, at=None):
    """Make what a host asks for.

    Args:
        wanted: as `certificate_terms.CertificatesDue` has it.
        at: when, in UTC.

    Returns:
        name of a secret → text: terms, certificates, private key.
    """
    made = {}
    at = at or now()
    for name, one in sorted(wanted.items(), key=lambda item: item[1]["spec"]["kind"] != "ca"):
        spec = one["spec"]
        if spec["kind"] == "ca":
            made[name] = _authority(spec["names"], at)
        else:
            made[name] = _server(spec["names"], made.get(spec["ca"]) or one["ca"], at)
    return made


def _authority(names, now):
    """An authority for these domains and nothing else: whoever steals its key cannot pose as anybody's bank."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Media stack of {names[0]}"[:64])])
    everywhere = [x509.IPAddress(ipaddress.ip_network(network)) for network in ("0.0.0.0/0", "::/0")]
    builder = (
        _builder(subject, subject, key, DAYS["ca"], now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign=True), critical=True)
        .add_extension(x509.NameConstraints([x509.DNSName(name) for name in names], everywhere), critical=True)
    )
    return _text("authority", names, builder, key, key, None, DAYS["ca"], now)


def _server(names, authority, now):
    """A certificate for these host names, signed by `authority` (its text with the key)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    signer = _first(authority)
    signing_key = serialization.load_pem_private_key(authority[authority.index("-----BEGIN PRIVATE") :].encode(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    # Neither shall outlive its authority.
    left = (_aware(signer, "not_valid_after") - now) // datetime.timedelta(days=1)
    days = min(DAYS["server"], left)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0][:64])])
    key_id = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(subject, signer.subject, key, days, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
    )
    return _text("certificate", names, builder, key, signing_key, signer, days, now)


def _builder(subject, issuer, key, days, now):
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(sign):
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )


def _text(kind, names, builder, key, signing_key, signer, days, now):
    from cryptography.hazmat.primitives import hashes, serialization

    certificate = builder.sign(signing_key, hashes.SHA256())
    until = int((now + datetime.timedelta(days=days)).timestamp())
    number = f"{certificate.serial_number:x}"
    head = certificate_terms.head(kind, names, until, number, f"{(signer or certificate).serial_number:x}")
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    return head + (certificate.public_bytes(pem) + private).decode()


def read(chain, key):
    """Read a certificate that a user gives, with its private key.

    Args:
        chain: PEM text, the server's certificate first.
        key: PEM text, not encrypted.

    Returns:
        `Given`.

    Raises:
        CertificateError: it cannot be used.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        certificate = _first(chain)
    except ValueError as error:
        raise CertificateError("is no PEM certificate") from error
    try:
        private = serialization.load_pem_private_key(key.encode(), None)
    except TypeError as error:
        raise CertificateError("has a key that is encrypted: give it without a passphrase") from error
    except ValueError as error:
        raise CertificateError("has no PEM private key beside it") from error
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise CertificateError("does not belong to the key: they are of two pairs")
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        found = ()
    return Given(found, _aware(certificate, "not_valid_before"), _aware(certificate, "not_valid_after"))


def _first(text):
    """The first certificate of a PEM text; ValueError where there is none."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate_terms.public(text).encode())


def _aware(certificate, name):
    """When it begins or ends, in UTC; before version 42 of cryptography without saying so."""
    return getattr(certificate, name + "_utc", None) or getattr(certificate, name).replace(tzinfo=datetime.UTC)
