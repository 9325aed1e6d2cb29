# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a judge found, and what of it is waived: a line with a reason in waivers.yml or known_values.yml."""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import pathlib
import re

import yaml

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One finding of one judge.

    Attributes:
        judge: which.
        rule: its rule.
        level: its word for how bad it is.
        where: the service, or the file.
        text: what it says.
        value: of detect-secrets, the text that looks like a secret.
    """

    judge: str
    rule: str
    level: str
    where: str
    text: str
    value: str = ""

    @property
    def digest(self):
        """What known_values.yml knows the value by."""
        return hashlib.sha1(self.value.encode(), usedforsecurity=False).hexdigest()[:16]

    def line(self):
        """The finding as a line for people."""
        hint = f' ({self.digest}: "{self.value[:40]}")' if self.value else ""
        return f"{self.judge} {self.level} {self.rule} {self.where}: {self.text}{hint}"


class Waivers:
    """The waivers; each knows whether it was needed.

    A waiver is `{rule, where, text, value, reason}`: `rule` is equal, `where` a shell pattern, `text` a part of the
    finding's text, `value` a regular expression for the whole value; what is not there matches everything.
    """

    def __init__(self, waivers=None, known=None):
        """`waivers`: judge → list of waivers; `known`: digest → reason. By default those of the two files."""
        self._waivers = _load("waivers.yml") if waivers is None else waivers
        self._known = _load("known_values.yml") if known is None else known
        self._used = set()
        for judge, entries in self._waivers.items():
            for entry in entries:
                if not entry.get("reason") or set(entry) == {"reason"}:
                    raise ValueError(f"waivers.yml: {judge}: {entry}: a waiver says what it waives, and its reason")

    def waived(self, finding):
        """The reason why a finding does not count; None when it does."""
        if finding.judge == "detect-secrets" and finding.digest in self._known:
            return self._known[finding.digest]
        for number, entry in enumerate(self._waivers.get(finding.judge, [])):
            if _matches(entry, finding):
                self._used.add((finding.judge, number))
                return entry["reason"]
        return None

    def unneeded(self, judges):
        """The waivers of these judges that no finding needed, as text: what they wait for must not come unseen."""
        return [
            f"{judge}: {entry}"
            for judge in judges
            for number, entry in enumerate(self._waivers.get(judge, []))
            if (judge, number) not in self._used
        ]


def _matches(entry, finding):
    return (
        entry.get("rule") in (None, finding.rule)
        and fnmatch.fnmatchcase(finding.where, entry.get("where", "*"))
        and entry.get("text", "") in finding.text
        and ("value" not in entry or re.fullmatch(entry["value"], finding.value))
    )


def _load(name):
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8")) or {}
