# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was answered so far, by setting, and what of it belongs into the host's own files."""

from __future__ import annotations

import dataclasses

from . import settings
from .plain_values import plain

PREFIX = settings.PREFIX
# Written down although they may equal the collection's default, which another release may change.
ESSENTIAL = ("timezone", "puid", "pgid", "base_path", "profiles", "vpn_provider", "vpn_type")
_VPN_ONLY = ("vpn_provider", "vpn_type")


class Answers:
    """The settings of one host while they are being decided.

    Parameters:
        draft: `settings.Draft` of what is set so far.
        known: a function that returns `catalogue.Names`.
    """

    def __init__(self, draft, known):
        self.spec = settings.load_spec()
        self.known = known
        self.values = dict(draft.values)
        self.sources = draft.sources
        #: Settings (with prefix) that were asked or given: only these are ever written.
        self.touched = []
        #: Why a proposed value is what it is, by short name.
        self.origins = {}

    def __getitem__(self, short):
        return self.values[PREFIX + short]

    def is_given(self, short):
        """Whether anybody has set it."""
        return PREFIX + short in self.touched or self.sources[PREFIX + short] != settings.DEFAULT

    def is_secret(self, short):
        """Whether its value must not be shown."""
        return bool(self.spec[PREFIX + short].get("no_log"))

    def check(self, short, value):
        """`(typed value, errors, warnings)` of a value as typed, in the light of the other answers."""
        return settings.check_one(PREFIX + short, value, self.values, self.known)

    def set(self, short, value):
        """Take a value that was checked."""
        self.values[PREFIX + short] = value
        self.origins.pop(short, None)
        if PREFIX + short not in self.touched:
            self.touched.append(PREFIX + short)

    def propose(self, short, value, origin=""):
        """Take a value unless somebody has set or typed one; it is written like an answer."""
        typed = PREFIX + short in self.touched and short not in self.origins
        if typed or self.sources[PREFIX + short] != settings.DEFAULT:
            return
        self.set(short, value)
        self.origins[short] = origin

    def clear(self, short):
        """Back to the default."""
        self.set(short, plain(self.spec[PREFIX + short]["default"]))

    def is_default(self, short):
        """Whether its value is the default."""
        return self[short] == self.spec[PREFIX + short]["default"]

    def variables(self):
        """The answers as `settings.resolve` takes them from an inventory, to be put over the host's own."""
        return {name: self.values[name] for name in self.touched}


@dataclasses.dataclass(frozen=True)
class Writing:
    """What is to be changed in a pair of vars files.

    Attributes:
        settings, vault: `{name: value}` to set in the open and in the encrypted file.
        settings_out, vault_out: names to take out.
        equal: names that need not be written, because a group or the inventory says the same.
    """

    settings: dict
    vault: dict
    settings_out: tuple
    vault_out: tuple
    equal: tuple

    @property
    def empty(self):
        """Whether there is nothing to change."""
        return not (self.settings or self.vault or self.settings_out or self.vault_out)


def writing(answers, own_settings, own_vault, inherited):
    """Decide what of the answers goes where.

    Parameters:
        answers: `Answers`.
        own_settings, own_vault: `{name: typed value}` of what the files hold now.
        inherited: `{name: typed value}` of what the host would have without these files.
    Returns:
        `Writing`. What stands in one of the files with the same value stays as it is; what is set elsewhere to the same
        value is not written, and taken out here.
    """
    changes, outs, equal = ({}, {}), ([], []), []
    for name in answers.spec:
        if name not in answers.touched:
            continue
        value, short = answers.values[name], name[len(PREFIX) :]
        own = [name in own_settings, name in own_vault]
        present = own_vault[name] if own[1] else own_settings.get(name)
        if name in inherited and inherited[name] == value:
            equal += [name]
            unwanted = own
        elif any(own) and present == value:
            continue
        elif name not in inherited and answers.is_default(short) and not _essential(short, answers):
            unwanted = own
        else:
            vault = own[1] or answers.is_secret(short)
            changes[vault][name] = value
            unwanted = [own[0] and vault, False]
        for file in (0, 1):
            outs[file].extend([name] if unwanted[file] else [])
    return Writing(changes[0], changes[1], tuple(outs[0]), tuple(outs[1]), tuple(equal))


def _essential(short, answers):
    return short in ESSENTIAL and (answers["vpn_enabled"] or short not in _VPN_ONLY)
