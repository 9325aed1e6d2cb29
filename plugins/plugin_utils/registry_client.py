# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From names of images to digests, by the API of their registries (https://github.com/opencontainers/distribution-spec).

Of each image: the digest of what the tag names (the index, where it is for several platforms), the platforms behind
it, and when it was built. A HEAD comes first: Docker Hub does not count it as a pull, and it is all there is to do
where the digest is known.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from concurrent.futures import ThreadPoolExecutor

from . import registry_errors as errors
from .image_reference import BadReference, is_digest, parse
from .lock_file import PLATFORM
from .registry_credentials import Credentials
from .registry_errors import RegistryError
from .registry_http import Transport, digest_of

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_CREATED = "org.opencontainers.image.created"
_ATTESTATION = "vnd.docker.reference.type"
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)")
# Reproducible builds carry the beginning of some era for a date; no image is older than Docker.
_FIRST_YEAR = 2013
# Whose config tells when an index was built: one of them is enough, they are built together.
_FIRST_CHOICE = "linux/amd64"
WORKERS = 8


@dataclasses.dataclass(frozen=True)
class Resolved:
    """What a registry has of an image.

    Attributes:
        image: the name that was asked for.
        digest: `sha256:…` of the index, or of the only manifest.
        platforms: `{"linux/amd64": "sha256:…"}`; empty where the image does not say.
        created: `2026-10-01T10:00:00Z`, or None where it does not say.
    """

    image: str
    digest: str
    platforms: dict
    created: str | None


@dataclasses.dataclass(frozen=True)
class Answers:
    """What came of asking.

    Attributes:
        found: image → Resolved; problems: image → RegistryError; each image is in one of them.
        messages: sentences for the user.
    """

    found: dict
    problems: dict
    messages: list


def resolve(images, known=None, transport=None, workers=WORKERS):
    """Ask the registries of `images` (names), several at once.

    Params:
        known: image → anything with `digest`, `platforms` and `created`, such as `lock_file.Entry`: what is still so
            is not fetched again.
        transport: a `registry_http.Transport`; None: one with the logins of this computer.
    Returns:
        Answers.
    Raises:
        RequestsMissing: the library `requests` is not there.
    """
    known, problems, found = known or {}, {}, {}
    own = transport is None
    transport = transport or Transport(Credentials(), connections=workers)

    def one(image):
        try:
            return _resolve(transport, parse(image), known.get(image))
        except BadReference as error:
            return RegistryError(errors.FORMAT, "", str(error))
        except RegistryError as error:
            return error

    images = list(dict.fromkeys(images))
    try:
        with ThreadPoolExecutor(max(1, min(workers, len(images)))) as pool:
            try:
                answers = list(pool.map(one, images))
            except BaseException:
                transport.close()
                raise
    finally:
        if own:
            transport.close()
    for image, answer in zip(images, answers, strict=True):
        (problems if isinstance(answer, RegistryError) else found)[image] = answer
    return Answers(found, problems, list(transport.credentials.messages))


def sentences(problems, users=None):
    """`problems` of Answers as text: each reason once, with the images that it holds for.

    Params:
        users: image → services, to name them.
    """
    reasons = {}
    for image, error in problems.items():
        services = (users or {}).get(image)
        reasons.setdefault(error.why, []).append(f"{image} (for {', '.join(services)})" if services else image)
    return [f"{', '.join(images)}: {why}" for why, images in reasons.items()]


def _resolve(transport, reference, known):
    digest = reference.digest or _head(transport, reference)
    if digest and known is not None and known.digest == digest and known.platforms:
        return Resolved(reference.text, digest, dict(known.platforms), known.created)
    digest, manifest = _manifest(transport, reference, digest)
    created = _created_of(manifest)
    if isinstance(manifest.get("manifests"), list):
        children = _children(manifest["manifests"])
        if not children:
            raise RegistryError(
                errors.FORMAT, reference.registry, "it is an index without an image for any platform. Is it one?"
            )
        platform = _FIRST_CHOICE if _FIRST_CHOICE in children else min(children)
        _digest, child = _manifest(transport, reference, children[platform])
        config = _config(transport, reference, child)
        if "" in children:
            children = {_platform(config): children[""], **{name: one for name, one in children.items() if name}}
        created = _time(config.get("created")) or created or _created_of(child)
    else:
        config = _config(transport, reference, manifest)
        children = {_platform(config): digest}
        created = _time(config.get("created")) or created
    children.pop("", None)
    return Resolved(reference.text, digest, dict(sorted(children.items())), created)


def _head(transport, reference):
    """The digest that the tag stands for, or None where a registry does not tell it by HEAD."""
    path = f"manifests/{reference.tag}"
    answer = transport.get(reference, path, (*INDEXES, *MANIFESTS), head=True)
    digest = answer.headers.get("Docker-Content-Digest", "").strip()
    if answer.status == 200 and is_digest(digest):
        return digest
    if answer.status == 404 or answer.status >= 500:
        raise transport.refusal(reference, answer, path)
    return None


def _manifest(transport, reference, digest):
    """`(digest, manifest)`; by the digest where there is one, so that a tag that moves meanwhile does no harm."""
    answer = transport.get(
        reference, f"manifests/{digest or reference.tag}", (*INDEXES, *MANIFESTS), digest=digest or None
    )
    try:
        value = json.loads(answer.body)
    except ValueError:
        value = None
    if not isinstance(value, dict) or not (isinstance(value.get("manifests"), list) or "config" in value):
        what = (
            "an image in the format of before 2016" if isinstance(value, dict) and "fsLayers" in value else "no image"
        )
        raise RegistryError(
            errors.FORMAT, reference.registry, f"what {reference.registry} has under this name is {what}."
        )
    return digest or digest_of(answer.body), value


def _config(transport, reference, manifest):
    """The image's config; empty for what is no image for containers."""
    entry = manifest.get("config")
    digest = entry.get("digest") if isinstance(entry, dict) else None
    if not is_digest(digest) or entry.get("mediaType") not in _CONFIGS:
        return {}
    answer = transport.get(reference, f"blobs/{digest}", digest=digest)
    try:
        value = json.loads(answer.body)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _children(entries):
    """platform → digest of an index, without what is no image (attestations); "" where the platform is not told."""
    found = {}
    for entry in entries:
        if not isinstance(entry, dict) or not is_digest(entry.get("digest")):
            continue
        annotations = entry.get("annotations")
        if isinstance(annotations, dict) and annotations.get(_ATTESTATION):
            continue
        if entry.get("mediaType") not in (None, *MANIFESTS):
            continue
        platform = entry.get("platform")
        if isinstance(platform, dict) and platform.get("os") == "unknown":
            continue
        found.setdefault(_platform(platform if isinstance(platform, dict) else {}), entry["digest"])
    return found


def _platform(told):
    """`linux/arm/v7` of a map with `os`, `architecture`, `variant`; "" where it says none that the lock takes."""
    system, architecture, variant = (str(told.get(key) or "") for key in ("os", "architecture", "variant"))
    if not system or not architecture:
        return ""
    if (architecture, variant) in (("arm64", "v8"), ("amd64", "v1")):
        # containerd takes both as one.
        variant = ""
    platform = "/".join(part for part in (system, architecture, variant) if part)
    return platform if PLATFORM.fullmatch(platform) else ""


def _created_of(manifest):
    annotations = manifest.get("annotations")
    return _time(annotations.get(_CREATED)) if isinstance(annotations, dict) else None


def _time(text):
    """A time of RFC 3339 in UTC to the second, `2026-10-01T10:00:00Z`; None where there is none that means anything."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if not match:
        return None
    try:
        when = datetime.datetime.fromisoformat(match[1] + match[2]).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return None
    return when.strftime("%Y-%m-%dT%H:%M:%SZ") if when.year >= _FIRST_YEAR else None
