# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a registry's refusal means, in one sentence with the remedy. No header, token or password is ever in one."""

from __future__ import annotations

import json
import re

# Kinds of failure. Of the first three a wait may help, and they were tried again.
BUSY, TIMEOUT, CUT = "busy", "timeout", "cut"
DNS, TLS, UNREACHABLE, PROXY = "dns", "tls", "unreachable", "proxy"
LOGIN, MISSING, LIMIT, FORMAT, OTHER = "login", "missing", "limit", "format", "other"
# With these the registry as a whole is of no use, whatever the image.
WHOLE_REGISTRY = (DNS, TLS, UNREACHABLE, PROXY)

# As much of a registry's own words as a message takes.
_MOST_WORDS = 160
_TAG = re.compile(r"<[^>]*>")


class RegistryError(Exception):
    """One image could not be resolved.

    Attributes:
        kind: one of the kinds above.
        registry: its host.
        status: the HTTP status, or None.
        why: what happened and what to do, without the image's name.
    """

    def __init__(self, kind, registry, why, status=None):
        self.kind, self.registry, self.why, self.status = kind, registry, why, status
        super().__init__(why)


class RequestsMissing(Exception):
    """The library `requests` is not there."""

    def __init__(self):
        super().__init__(
            "The Python library requests is not installed for this Ansible, and registries are asked with it. "
            "Install it where ansible-playbook runs: pip install requests"
        )


def status_error(registry, status, words, repository, logged_in, tag=None, who=None):
    """The `RegistryError` of an HTTP status.

    Params:
        words: what the body says, cut short by `body_words`; logged_in: whether a password or token of a user was used;
        tag: the tag or digest that was asked for; who: the host that answered, where that may be another.
    """
    who = who or registry
    said = f" ({words})" if words else ""
    if status in (401, 403):
        if logged_in:
            remedy = (
                f"The login for {registry} on this computer may not read {repository}, or has expired: "
                f"docker login {registry}, or docker logout {registry} if the image is public."
            )
        else:
            remedy = (
                f"There is no {repository}, or it is private: check the name; for a private image, "
                f"docker login {registry} on the computer that runs Ansible."
            )
        return RegistryError(LOGIN, registry, f"{who} answered {status}{said}. {remedy}", status)
    if status == 404:
        return RegistryError(
            MISSING,
            registry,
            f"{who} answered 404{said}: it has no {repository}{_asked(tag)}. "
            "Look at the tags that it has, and write one of them to mediastack_images.",
            status,
        )
    if status == 429:
        remedy = "Wait for some minutes" if logged_in else f"Wait, or docker login {registry} for a higher limit"
        return RegistryError(LIMIT, registry, f"{who} answered 429{said}: too many requests. {remedy}.", status)
    if status in (500, 502, 503, 504):
        return RegistryError(
            BUSY, registry, f"{who} answered {status}{said}: it has trouble of its own. Try again later.", status
        )
    if status == 407:
        return RegistryError(PROXY, registry, "The proxy asks for a login: write it to HTTPS_PROXY.", status)
    return RegistryError(
        OTHER, registry, f"{who} answered {status}{said}, which no registry should. Is it one?", status
    )


def _asked(tag):
    if not tag:
        return ""
    return f"@{tag[:19]}" if tag.startswith("sha256:") else f":{tag}"


def body_words(data):
    """What an answer's body (bytes) says, for a message: the message of the registry's JSON, or its first words."""
    text = data.decode("utf-8", "replace")
    try:
        value = json.loads(text)
        errors = value.get("errors") or [value]
        text = str(errors[0].get("message") or errors[0].get("details") or errors[0].get("code") or "")
    except (ValueError, AttributeError, IndexError, TypeError, KeyError):
        text = _TAG.sub(" ", text)
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= _MOST_WORDS else text[: _MOST_WORDS - 1] + "…"


def transport_error(requests, registry, error, timeout, who=None):
    """The `RegistryError` of an exception of `requests`; its own text holds names of classes and is left out.

    Params:
        requests: the module; timeout: s, for the sentence; who: the host that failed, where that may be another.
    """
    who = who or registry
    kinds = requests.exceptions
    causes = _causes(error)
    if isinstance(error, kinds.ProxyError):
        return RegistryError(
            PROXY, registry, "The proxy of HTTPS_PROXY or HTTP_PROXY does not answer, or refuses. Correct or unset it."
        )
    if isinstance(error, kinds.SSLError):
        return RegistryError(
            TLS,
            registry,
            f"{who}: no secure connection ({_tls_words(causes)}). Is the clock of this computer right? For an "
            "authority of your own, name its certificates in REQUESTS_CA_BUNDLE.",
        )
    if any(type(cause).__name__ in ("NameResolutionError", "gaierror") for cause in causes):
        return RegistryError(
            DNS,
            registry,
            f"this computer finds no address for {who}. Check the name, its DNS and its internet access.",
        )
    if isinstance(error, kinds.Timeout):
        return RegistryError(
            TIMEOUT, registry, f"{who} did not answer within {timeout:g} s. Try again later, or check the network."
        )
    if isinstance(error, (kinds.ChunkedEncodingError, kinds.ContentDecodingError)):
        return RegistryError(CUT, registry, f"{who} ended its answer before it was whole. Try again later.")
    if isinstance(error, kinds.ConnectionError):
        if any("Read timed out" in str(cause) for cause in causes):
            return transport_error(requests, registry, kinds.ReadTimeout(), timeout, who)
        return RegistryError(
            UNREACHABLE,
            registry,
            f"no connection to {who} ({_words(causes)}). Is it running, and does a firewall let this one out?",
        )
    return RegistryError(OTHER, registry, f"{who} cannot be asked: {type(error).__name__}.")


def _causes(error):
    """An exception, what it came from, and so on, in what way ever libraries keep that."""
    found, queue = [], [error]
    while queue:
        one = queue.pop(0)
        if not isinstance(one, BaseException) or any(one is other for other in found):
            continue
        found.append(one)
        queue += [one.__cause__, one.__context__, getattr(one, "reason", None), *getattr(one, "args", ())]
    return found


def _tls_words(causes):
    for cause in causes:
        words = getattr(cause, "verify_message", "")
        if words:
            return words
    text = " ".join(str(cause) for cause in causes)
    return "it does not speak TLS" if "WRONG_VERSION_NUMBER" in text or "record layer" in text else "TLS failed"


def _words(causes):
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return "it was cut off"
