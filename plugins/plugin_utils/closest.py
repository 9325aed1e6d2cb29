# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The closest valid name: what somebody who mistyped a name most likely meant."""

from __future__ import annotations

import difflib

# Alike enough to be the same name with a word left out: wireguard_private_key for vpn_wireguard_private_key.
_SAME_WORDS = 0.85
# Alike enough to be worth a suggestion.
_WORTH_A_HINT = 0.6
# As many names as a reader takes in; the services are as many.
_LISTED = 32


def distance(left, right):
    """Number of letters to insert, leave out, replace or swap with their neighbour to get from one to the other."""
    before, row = [], list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]


def is_near(name, valid):
    """Whether ``name`` is so close to the valid name ``valid`` that it can hardly mean anything else.

    Short names differ in few letters by nature (``mail`` is not ``tail``), so they must also begin alike.
    """
    if name == valid:
        return True
    if not name:
        return False
    length = min(len(name), len(valid))
    allowed = 1 if length <= 5 else 2 if length <= 12 else 3
    if abs(len(name) - len(valid)) <= allowed and distance(name, valid) <= allowed:
        return length > 5 or name[0] == valid[0]
    # Alike is only what is about as long; of a text of any length the comparison would take minutes.
    alike = 2 * length >= _SAME_WORDS * (len(name) + len(valid))
    return length > 12 and alike and difflib.SequenceMatcher(None, name, valid).ratio() >= _SAME_WORDS


def near_miss(name, names):
    """The one of ``names`` that ``name`` is a misspelling of, or ``None``."""
    near = [valid for valid in names if is_near(name, valid)]
    return min(near, key=lambda valid: (distance(name, valid), valid)) if near else None


def closest(name, names):
    """The one of ``names`` that is worth suggesting for ``name``, or ``None`` when none is alike."""
    found = near_miss(name, names)
    if found is None:
        matches = difflib.get_close_matches(name, list(names), n=1, cutoff=_WORTH_A_HINT)
        found = matches[0] if matches else None
    return found


def hint(name, names, otherwise=None):
    """A sentence for an error message: the closest name; when none is alike, ``otherwise`` or else all of them."""
    found = closest(name.lower(), names)
    if found is not None:
        return f"Did you mean {found}?"
    if otherwise is not None:
        return otherwise
    if not names:
        return "There is none to choose from."
    return f"Valid: {', '.join(sorted(names))}." if len(names) <= _LISTED else "None of the valid names is like it."
