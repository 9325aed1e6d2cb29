# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which secrets of a stack `rotate` may change, and why not the others. Pure."""

from __future__ import annotations

from .closest import hint

ALL = "all"


def reason(name, spec):
    """Why a secret of the bundle cannot be rotated, with what to do; empty where it can."""
    if spec.get("value") is not None:
        place = spec.get("given_by") or f"mediastack_secrets.{name}"
        return (
            f"it comes from the inventory ({place}): change it there and run site, and where the app keeps a password "
            "by itself, change that in the app"
        )
    if spec.get("issue"):
        return "it is a certificate, which site renews by itself before it ends"
    if spec.get("fixed"):
        return spec["fixed"]
    return "" if spec.get("generate") else "it is not generated here"


def choose(asked, secrets):
    """Which secrets are to be rotated.

    Parameters:
        asked: names, or `all`.
        secrets: the bundle's.
    Returns:
        `(names, sentences for the user, problems)`; with problems there are no names.
    """
    # Values of mediastack_env are the user's own.
    specs = {name: spec for name, spec in secrets.items() if not name.startswith("env.")}
    reasons = {name: reason(name, spec) for name, spec in specs.items()}
    possible = sorted(name for name, why in reasons.items() if not why)
    listed = ", ".join(possible) or "none"
    if not asked:
        return [], [], [f"-e secret=: say which, or all. Those of this host that can be changed: {listed}."]
    if ALL in asked:
        left = [f"{name} stays: {why}" for name, why in sorted(reasons.items()) if why]
        return possible, left, [] if possible else ["-e secret=all: this host has no secret that can be changed."]
    problems = []
    for name in dict.fromkeys(asked):
        if name not in specs:
            problems.append(f'-e secret=: "{name}" is no secret of this host. {hint(name, [*possible, ALL])}')
        elif reasons[name]:
            problems.append(f"-e secret=: {name} cannot be rotated: {reasons[name]}.")
    return ([] if problems else list(dict.fromkeys(asked))), [], problems
