# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules for the settings of the reverse proxy, one method each as in `setting_rules.py`, and those between them."""

from __future__ import annotations

import ipaddress
import posixpath
import re

from .setting_types import CastError, shown, to_text

_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
# What a browser takes for the end of an address: https://url.spec.whatwg.org/#ends-in-a-number-checker
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAIL = re.compile(r"[A-Za-z0-9.!#%&'*+/=?^_{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_PROVIDER = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PEM = re.compile(r"\s*-----BEGIN [A-Z0-9 ]+-----\r?\n[ -~\r\n]+-----END [A-Z0-9 ]+-----\s*")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
# lego asks an authority by https only.
_URL = re.compile(r"https://[A-Za-z0-9.\[\]:_-]+(?:/[A-Za-z0-9._~/-]*)?")
# The SDK of Amazon reads these by itself, and knows no files for them.
_NO_FILES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_SHARED = (
    "Give AWS_SHARED_CREDENTIALS_FILE instead, with the text of a credentials file: [default], aws_access_key_id = …, "
    "aws_secret_access_key = …"
)
# Of mediastack_acme_credentials, what lego or the SDK of a provider takes for the path of a file that it reads; besides
# these whatever ends in _FILE or _PATH.
_READ = (
    *("AKAMAI_EDGERC", "GOOGLE_APPLICATION_CREDENTIALS", "HYPERONE_PASSPORT_LOCATION"),
    # https://go-acme.github.io/lego/advanced/options/
    "LEGO_CA_CERTIFICATES",
)
# The path of a file that is written, and of a program: only its own directory is there for them.
_KEPT = ("ACME_DNS_STORAGE_PATH", "EXEC_PATH")
_OWN = "/etc/traefik/mediastack/"
_A_PATH = re.compile(r"(?:~|\.{1,2})?(?:/[A-Za-z0-9_.@ -]+)+")
_OF_THE_STACK = (
    "is made by the stack and kept on the host. Take it out; a certificate of your own is mediastack_tls: files, with "
    "mediastack_tls_cert and mediastack_tls_key."
)
# Secrets of the reverse proxy that mediastack_secrets cannot give, and why.
CERTIFICATES = {
    "ingress_ca": _OF_THE_STACK,
    "ingress_certificate": _OF_THE_STACK,
    "ingress_key": "is not given here, where nobody checks it. Take it out, and write it to mediastack_tls_key.",
}
PREFIX = "mediastack_"
# Days before its end from which a given certificate is talked about.
_SOON = 21


def variable(name):
    """What Traefik's environment calls an entry of `mediastack_acme_credentials`, whose value there is a path.

    A name that is a file's already stays; lego reads every other one from a file with `_FILE` added to it
    (https://go-acme.github.io/lego/dns/).
    """
    return name if _is_file(name) else name + "_FILE"


def _is_file(name):
    return name not in _KEPT and (name.endswith(("_FILE", "_PATH")) or name in _READ)


class IngressRules:
    """Checks of single settings: value and problems to add to in, the value to use out."""

    @staticmethod
    def _check_domain(value, errors):
        if not value:
            return value
        if _is_address(value):
            errors.append(
                f"{shown(value)} is an address, and nothing has a name below an address. Write a domain such as "
                f"home.example.org, and have your DNS answer *.home.example.org with {value}."
            )
        elif not _DOMAIN.fullmatch(value):
            errors.append(
                f"{shown(value)} is not a domain in lower case such as home.example.org, without http:// and path."
            )
        elif value == "localhost":
            errors.append(
                '"localhost" is each computer for itself, so no other one would find a route. Write a domain such as '
                "home.example.org, and have your DNS answer *.home.example.org with this server's address."
            )
        elif _NUMBER.fullmatch(value.rpartition(".")[2]):
            errors.append(
                f"{shown(value)} ends in a number, so browsers take it for an address. Write a domain whose last part "
                "has a letter, such as home.example.org."
            )
        return value

    @staticmethod
    def _check_trusted_proxies(value, errors):
        found = []
        for text in value:
            try:
                if "%" in text:
                    raise ValueError(text)
                network = ipaddress.ip_network(text)
            except ValueError:
                errors.append(
                    f"{shown(text)} is neither an address nor a network. Write one such as 192.168.1.5 or "
                    "172.28.0.0/24."
                )
                continue
            if network.is_loopback:
                errors.append(
                    f"{text} is Traefik's own container there. For a proxy on this server write the first address of "
                    "the stack's network, such as 172.28.0.1 with mediastack_network_subnet: 172.28.0.0/24."
                )
            elif not network.prefixlen:
                errors.append(f"{text} is everybody, who could then pose as anybody. Write the proxy's own address.")
            elif network.is_multicast or network.is_unspecified:
                errors.append(f"{text} is nobody's address. Write the one that the proxy asks from.")
            found.append(str(network))
        return found

    @staticmethod
    def _check_acme_email(value, errors):
        if value and not _MAIL.fullmatch(value):
            errors.append(f"{shown(value)} is no mail address, such as you@example.org.")
        return value

    @staticmethod
    def _check_acme_server(value, errors):
        if value and not _URL.fullmatch(value):
            errors.append(
                f"{shown(value)} is no https URL of an ACME directory, such as "
                "https://acme-v02.api.letsencrypt.org/directory."
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
            lines = result[name].replace("\n", "") if _is_file(name) else result[name]
            if not lines or not lines.isprintable():
                errors.append(f"{name}: the value (not shown) is empty or holds a character that cannot be printed.")
            elif _is_file(name) and _A_PATH.fullmatch(lines):
                errors.append(
                    f"{name}: the value (not shown) is a path, and Traefik sees no file there. Give the file's text: "
                    "\"{{ lookup('file', '…') }}\", or the text in a vault."
                )
            elif name in _KEPT and not _below_own(lines):
                such = _OWN + ("acme-dns.json" if "DNS" in name else "hook.sh")
                errors.append(
                    f"{name}: the value (not shown) is no path below {_OWN}, the only directory of the host "
                    f"that Traefik sees: config/traefik there. Write {such}."
                )
        twice = {name for name in result if name.endswith("_FILE") and name[: -len("_FILE")] in result}
        errors += [
            f"{name} and {name[: -len('_FILE')]} say the same thing. Give one of them." for name in sorted(twice)
        ]
        return result


def _is_address(value):
    try:
        ipaddress.ip_address(value.strip("[]"))
    except ValueError:
        return False
    return True


def _below_own(path):
    return path.startswith(_OWN) and posixpath.normpath(path) == path


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
    # Whether it is for every route that there is, `uncovered` says as soon as it is known which there are.
    domain = values[PREFIX + "domain"]
    if domain and not any(one == domain or one.endswith("." + domain) for one in given.names):
        other = f"is for {_named(given)}. Get one for *.{domain}, or change mediastack_domain."
        errors.append((name, other))
    left = given.days_left()
    if not given.holds_yet():
        begin, here = (f"{when:%Y-%m-%d %H:%M} UTC" for when in (given.since, certificates.now()))
        early = f"holds from {begin} only, and here it is {here}"
        errors.append((name, f"{early}. Give the one that holds now, or set this computer's clock."))
    elif left < 0:
        errors.append((name, f"has ended on {given.until:%Y-%m-%d}. Get a new one."))
    elif left < _SOON:
        warnings.append((name, f"ends on {given.until:%Y-%m-%d}, in {left} days. Get a new one."))


def uncovered(values, hosts):
    """What is wrong with a given certificate in the light of the routes; empty where nothing is.

    Args:
        values: typed values of all settings; `check` has passed them.
        hosts: host names of all routes.

    Returns:
        A sentence.
    """
    from . import certificates

    given = certificates.read(values[PREFIX + "tls_cert"], values[PREFIX + "tls_key"])
    others = sorted({host for host in hosts if not given.covers(host)})
    if not others:
        return ""
    domain = values[PREFIX + "domain"]
    wanted = "these names too" if any(host == domain for host in others) else f"*.{domain}, or these names too"
    return (
        f"{PREFIX}tls_cert: is for {_named(given)}, and not for {', '.join(others)}, which have a route. Get one for "
        f"{wanted}, or take the apps out: mediastack_services, or x-mediastack.route in their service file."
    )


def _named(given):
    return ", ".join(given.names) or "no host name"
