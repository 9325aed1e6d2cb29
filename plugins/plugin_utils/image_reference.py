# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the name of an image says: its registry, repository, tag and digest, by Docker's rules.

https://github.com/distribution/reference: the part before the first `/` is a registry where it holds a dot or a colon
or is `localhost`; without one the image is Docker Hub's, and without an owner it is one of its `library/`.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re

HUB = "docker.io"
# Names that Docker Hub has had, or is spelt by.
_HUBS = ("docker.io", "index.docker.io", "registry-1.docker.io")
_HUB_API = "registry-1.docker.io"
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*", re.ASCII
)
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
DEFAULT_TAG = "latest"


class BadReference(ValueError):
    """The text is not the name of an image; says what is wrong with it."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """An image by its name.

    Attributes:
        text: as it was written.
        registry: `docker.io`, `lscr.io`, `127.0.0.1:5000`.
        repository: in that registry: `library/traefik`, `linuxserver/sonarr`.
        tag: `latest` where the text has neither tag nor digest; None where it has a digest only.
        digest: `sha256:…`, or None.
    """

    text: str
    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def api(self):
        """Host and port of the registry's API."""
        return _HUB_API if self.registry == HUB else self.registry

    @property
    def loopback(self):
        """Whether the registry is on a loopback address, where Docker does without TLS."""
        return is_loopback(host_of(self.registry))

    @property
    def asked(self):
        """What to ask the registry for: the digest where there is one, else the tag."""
        return self.digest or self.tag

    @property
    def named(self):
        """The text without a digest."""
        return self.text.partition("@")[0]

    @property
    def app(self):
        """The last part of the repository: `sonarr`."""
        return self.repository.rsplit("/", 1)[-1]


def parse(text):
    """The `Reference` of a text such as `lscr.io/linuxserver/sonarr:4.0.19`.

    Raises:
        BadReference: it is none.
    """
    name, _at, digest = str(text).partition("@")
    if _at and not DIGEST.fullmatch(digest):
        raise BadReference(f"{text!r}: after the @ there must be sha256: and 64 hexadecimal digits")
    registry, slash, rest = name.partition("/")
    if not (slash and ("." in registry or ":" in registry or registry == "localhost" or registry != registry.lower())):
        registry, rest = HUB, name
    repository, colon, tag = rest.partition(":")
    if registry in _HUBS:
        registry = HUB
        if "/" not in repository:
            repository = f"library/{repository}"
    host = _HOST.fullmatch(registry)
    if not host or (host["port"] and not 0 < int(host["port"]) < 65536):
        raise BadReference(f"{text!r}: {registry!r} is no address of a registry")
    if not _REPOSITORY.fullmatch(repository) or len(repository) > 255:
        raise BadReference(f"{text!r} is not the name of an image, such as ghcr.io/owner/app:1.2.3")
    if colon and not _TAG.fullmatch(tag):
        raise BadReference(f"{text!r}: {tag!r} is not a tag")
    return Reference(str(text), registry, repository, tag or (None if digest else DEFAULT_TAG), digest or None)


def host_of(address):
    """The host of `host:port` or `[address]:port`, without brackets."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0]


def is_loopback(host):
    """Whether a host name or address is this machine's own: 127.0.0.0/8, ::1, localhost."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_digest(text):
    """Whether a text is a sha256 digest."""
    return isinstance(text, str) and DIGEST.fullmatch(text) is not None


def short(digest):
    """A digest as people read it: `sha256:0123456789ab`."""
    return digest[:19] if is_digest(digest) else str(digest)
