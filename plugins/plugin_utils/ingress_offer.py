# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates that a host asks for, made and put into its bundle."""

from __future__ import annotations

import contextlib
import datetime

from . import unsaid


def asked(action, bundle):
    """The context in which a module is given *bundle*: where it may ask for a certificate, what it answers is not said.

    The host sends the authority along with its key, for its controller keeps neither.

    Args:
        action: the action plugin that runs the module.
        bundle: of the host; None where there is none.
    """
    may_ask = any("issue" in (entry or {}) for entry in (bundle or {}).get("secrets", {}).values())
    return unsaid.answers(action) if may_ask else contextlib.nullcontext()


def clocks(wanted):
    """Why another offer would be refused like the one before; empty where that is not so.

    Args:
        wanted: the module's `issue`.

    Returns:
        A sentence: a certificate that has just been made is too old for the host, so one of the clocks is wrong.
    """
    from . import certificates

    ended = {name: one for name, one in sorted(wanted.items()) if one.get("ended")}
    if not ended:
        return ""
    there = datetime.datetime.fromtimestamp(next(iter(ended.values()))["now"], datetime.UTC)
    return (
        f"{', '.join(ended)}: a certificate that was made just now does not hold long enough for the host, whose clock "
        f"says {there:%Y-%m-%d %H:%M} UTC; that of this computer says {certificates.now():%Y-%m-%d %H:%M} UTC. Set "
        "the one that is wrong (timedatectl set-ntp true), then run again"
    )


def add(bundle, wanted):
    """Make certificates and offer them to the host.

    Args:
        bundle: of the host; gets the `offer` of each secret.
        wanted: the module's `issue`: name of a secret → why, for whom, signed by which authority.

    Returns:
        Sentences for the user.
    """
    from . import certificates

    for name, text in certificates.issue(wanted).items():
        bundle["secrets"][name]["offer"] = text
    said = []
    for one in wanted.values():
        if one["spec"]["kind"] == "ca":
            place = f"have your devices trust {one['spec']['shown']}, see docs/ingress.md"
            said.append(f"a new certificate authority for {one['spec']['names'][0]} ({one['why']}): {place}")
        else:
            said.append(f"a new certificate for {', '.join(one['spec']['names'])}: {one['why']}")
    return said
