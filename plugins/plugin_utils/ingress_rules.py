# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules for the settings of the reverse proxy, one method each as in `setting_rules.py`, and those between them."""

from __future__ import annotations

import re

from .setting_types import CastError, shown, to_text

_MAIL = re.compile(r"[A-Za-z0-9.!#%&'*+/=?^_{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_PROVIDER = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PEM = re.compile(r"\s*-----BEGIN [A-Z0-9 ]+-----\r?\n[ -~\r\n]+-----END [A-Z0-9 ]+-----\s*")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+(?:/[A-Za-z0-9._~/-]*)?")
# The SDK of Amazon reads these by itself, and knows no files for them.
_NO_FILES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_SHARED = (
    "Give AWS_SHARED_CREDENTIALS_FILE instead, with the text of a credentials file: [default], aws_access_key_id = …, "
    "aws_secret_access_key = …"
)
PREFIX = "mediastack_"
# Days before its end from which a given certificate is talked about.
_SOON = 21


class IngressRules:
    """Checks of single settings: value and problems to add to in, the value to use out."""

    @staticmethod
    def _check_acme_email(value, errors):
        if value and not _MAIL.fullmatch(value):
            errors.append(f"{shown(value)} is no mail address, such as you@example.org.")
        return value

    @staticmethod
    def _check_acme_server(value, errors):
        if value and not _URL.fullmatch(value):
            errors.append(
                f"{shown(value)} is no URL of an ACME directory, such as https://acme-v02.api.letsencrypt.org/directory."
            )
        return value

    @staticmethod
    def _check_acme_provider(value, errors):
        if value and not _PROVIDER.fullmatch(value):
            errors.append(
                f"{shown(value)} is no name of a DNS provider, such as cloudflare: they stand on "
                "https://go-acme.github.io/lego/dns/."
            )
        return value

    @staticmethod
    def _check_acme_credentials(value, errors):
        result = {}
        for name, text in value.items():
            if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
                errors.append(f"{shown(name)} is no name of a variable of your DNS provider, such as CF_DNS_API_TOKEN.")
                continue
            if name in _NO_FILES:
                errors.append(f"{name} cannot reach Traefik as a file. {_SHARED}.")
            try:
                result[name] = to_text(text, secret=True)
            except CastError as error:
                errors.append(f"{name}: {error}.")
                continue
            lines = result[name].replace("\n", "") if name.endswith("_FILE") else result[name]
            if not lines or not lines.isprintable():
                errors.append(f"{name}: the value (not shown) is empty or holds a character that cannot be printed.")
        twice = {name for name in result if name.endswith("_FILE") and name[: -len("_FILE")] in result}
        errors += [
            f"{name} and {name[: -len('_FILE')]} say the same thing. Give one of them." for name in sorted(twice)
        ]
        return result


def check(values):
    """The rules between the settings of the reverse proxy.

    Args:
        values: typed values of all settings.

    Returns:
        `(errors, warnings)`: lists of `(setting, sentence)`.
    """
    tls = values[PREFIX + "tls"]
    errors, warnings = [], []
    if tls == "files":
        _check_files(values, errors, warnings)
    elif values[PREFIX + "tls_cert"] or values[PREFIX + "tls_key"]:
        # Nobody reads them yet: what is no PEM text is a slip, and is said before it is needed.
        errors += [
            (PREFIX + name, "the value (not shown) is no PEM text (-----BEGIN …). Write it after `|`, or look it up.")
            for name in ("tls_cert", "tls_key")
            if values[PREFIX + name] and not _PEM.fullmatch(values[PREFIX + name])
        ]
        unused = f"not used: mediastack_tls is {tls}. Set mediastack_tls: files to use it."
        warnings.append((PREFIX + "tls_cert", unused))
    if tls in ("acme_dns", "acme_http"):
        _check_acme(tls, values, errors, warnings)
    domain = values[PREFIX + "domain"]
    if tls == "internal" and domain and "." not in domain:
        refused = f"browsers take no certificate for *.{domain}. With the profile proxy use two labels: media.{domain}."
        warnings.append((PREFIX + "domain", refused))
    return errors, warnings


def _check_acme(tls, values, errors, warnings):
    if not values[PREFIX + "acme_email"]:
        errors.append((PREFIX + "acme_email", f"is empty, and mediastack_tls is {tls}. Write your mail address."))
    if not values[PREFIX + "domain"]:
        empty = f"is empty, and mediastack_tls is {tls}. Write the domain to get certificates for."
        errors.append((PREFIX + "domain", empty))
    if tls == "acme_dns":
        for name, what in (("acme_provider", "your DNS provider"), ("acme_credentials", "the variables it needs")):
            if not values[PREFIX + name]:
                empty = f"is empty, and mediastack_tls is acme_dns. Write {what}: https://go-acme.github.io/lego/dns/."
                errors.append((PREFIX + name, empty))
        return
    port = _web_port(values)
    if port != 80:
        moved = f"traefik.web is {port}, but acme_http is asked at port 80: have your router forward that to it."
        warnings.append((PREFIX + "ports", moved))


def _web_port(values):
    given = values[PREFIX + "ports"].get("traefik", 80)
    return given.get("web", 80) if isinstance(given, dict) else given


def _check_files(values, errors, warnings):
    from . import certificates

    missing = [name for name in ("tls_cert", "tls_key") if not values[PREFIX + name]]
    for name in missing:
        errors.append((PREFIX + name, "is empty, and mediastack_tls is files. Write the PEM text, or look a file up."))
    if missing:
        return
    name = PREFIX + "tls_cert"
    try:
        given = certificates.read(values[name], values[PREFIX + "tls_key"])
    except certificates.CertificateError as error:
        errors.append((name, f"the value (not shown) {error}."))
        return
    domain = values[PREFIX + "domain"]
    host = "sonarr." + domain if values[PREFIX + "ingress_style"] == "host" else domain
    if domain and not given.covers(host):
        wanted = domain if host == domain else "*." + domain
        other = f"is for {', '.join(given.names) or 'no host name'}. Get one for {wanted}, or change mediastack_domain."
        errors.append((name, other))
    left = given.days_left()
    if left < 0:
        errors.append((name, f"has ended on {given.until:%Y-%m-%d}. Get a new one."))
    elif left < _SOON:
        warnings.append((name, f"ends on {given.until:%Y-%m-%d}, in {left} days. Get a new one."))
