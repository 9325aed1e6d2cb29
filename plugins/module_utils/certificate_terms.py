# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates of the stack's own authority, as the host keeps them among its secrets: for whom they are, how long they
hold, and when a new one is due.

The standard library can neither make nor read a certificate, and nothing is installed on a host: the controller makes
them (plugin_utils/certificates.py), and writes their terms as plain lines above the PEM blocks, where every reader of
PEM ignores them. A secret of this kind has `issue` in its spec: `{kind: ca|server, names: [...], ca: name of the
secret of its authority}`, and `offer`, a new one, when the controller has made one.
"""

from __future__ import annotations

import re
import time

_DAY = 86400
# Days that one must still hold. A server's certificate holds 397 days: with 90 left there is time for a run that fails.
# An authority must outlive every certificate that it may still sign.
LEAST = {"server": 90, "ca": 500}
_TERM = re.compile(r"^(names|until|number|authority): (.*)$", re.MULTILINE)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)


class CertificatesDue(Exception):
    """The controller has to make certificates first; nothing was touched.

    `wanted`: name of a secret → {why, spec, ca: the text of the authority that is to sign it, None where that is due,
    too, now: the host's time in seconds since 1970, ended: whether the one that was offered does not hold long enough}.
    """

    def __init__(self, wanted):
        super().__init__("certificates are due: %s" % ", ".join(sorted(wanted)))
        self.wanted = wanted


def head(kind, names, until, number, authority):
    """The lines above the PEM blocks. `until`: seconds since 1970; `number`, `authority`: serial numbers in hex."""
    return "homelab.mediastack %s\nnames: %s\nuntil: %d\nnumber: %s\nauthority: %s\n" % (
        kind,
        ",".join(names),
        until,
        number,
        authority,
    )


def terms(text):
    """{names, until, number, authority} of a kept certificate; what it does not say is empty."""
    found = dict(_TERM.findall(text.partition("-----BEGIN")[0]))
    until = found.get("until", "")
    return {
        "names": [name for name in found.get("names", "").split(",") if name],
        "until": int(until) if until.isdigit() else 0,
        "number": found.get("number", ""),
        "authority": found.get("authority", ""),
    }


def public(text):
    """Only the certificates of a PEM text: no private key."""
    return "".join(block if block.endswith("\n") else block + "\n" for block in _CERTIFICATE.findall(text))


def why_due(spec, kept, authority, now):
    """Why a new certificate is needed, in words; None while the kept one does.

    `spec`: its `issue`; `kept`: the text that the host keeps, or None; `authority`: that of the authority's secret;
    `now`: seconds since 1970.
    """
    if not kept:
        return "there is none yet"
    have = terms(kept)
    if have["names"] != list(spec["names"]):
        return "it is for %s, not for %s" % (", ".join(have["names"]) or "nobody", ", ".join(spec["names"]))
    left = _left(have, now)
    if left < LEAST[spec["kind"]]:
        return "it ends in %d days" % left if left >= 0 else "it has ended"
    if spec["kind"] == "server" and have["authority"] != terms(authority or "")["number"]:
        return "another authority has signed it"
    return None


def _left(have, now):
    return (have["until"] - now) // _DAY


def settle(specs, kept, now=None):
    """The new certificates to use: name of a secret → its text.

    `specs`: secrets of the bundle; `kept`: function from a secret's name to the text that the host keeps, or None;
    `now`: seconds since 1970. CertificatesDue when one is due and none is offered that would do.
    """
    now = time.time() if now is None else now
    issued = {name: spec["issue"] for name, spec in specs.items() if (spec or {}).get("issue")}
    new, wanted = {}, {}
    # Authorities first: an offer counts only if the authority that the host keeps, or is about to, has signed it.
    for name, spec in sorted(issued.items(), key=lambda item: item[1]["kind"] != "ca"):
        signer = spec.get("ca")
        authority = new.get(signer) or (kept(signer) if signer else None)
        why = why_due(spec, kept(name), authority, now)
        if not why and signer not in wanted:
            continue
        offer = specs[name].get("offer")
        if offer and signer not in wanted and not why_due(spec, offer, authority, now):
            new[name] = offer
        else:
            wanted[name] = {
                "why": why or "its authority is new",
                "spec": spec,
                "ca": None if signer in wanted else authority,
                "now": int(now),
                "ended": bool(offer) and _left(terms(offer), now) < LEAST[spec["kind"]],
            }
    if wanted:
        raise CertificatesDue(wanted)
    return new
