# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A drift in words, and what makes it the same drift the next night (pure).

Two kinds are told apart: what is otherwise than a run of ours left it (somebody, or something, did that on the server),
and what the inventory, the lock or a new release of the collection asks for since then (nobody has run `site` yet).
"""

from __future__ import annotations

import hashlib
import json
import re

BY_HAND, PENDING = "drift/by-hand", "drift/pending"
TITLES = {BY_HAND: "changed on the server", PENDING: "not applied yet"}
_BY_HAND_KINDS = ("changed by hand", "dead namespace", "network")
_BY_HAND_REASONS = re.compile(
    r"somebody edited it|it was deleted|it has another mode or owner|it is paused|it is not running|it fell over"
    r"|its name is |it was made without this collection|its network parent"
)
#: What a changed inventory, or a new release, shows itself by.
_NEWS = re.compile(r"what is rendered for it is another text now|it is not there yet|nothing needs it any more")
#: What both can come of: a container that is missing, or one too many.
_EITHER_KINDS = ("orphan", "app setting", "unit")
_EITHER_REASONS = re.compile(r"there is no container")
#: What is another one every night without a difference.
_VOLATILE = re.compile(r", built \d+ days ago|\.kept-\d{8}-\d{6}(-\d+)?|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?\S*")
_SECTION = re.compile(r"^--- (.+)\n", re.MULTILINE)
#: Lines of changes and of diff in a message.
LINES, DIFF_LINES = 12, 24


def groups(plan):
    """`[(key, title, words, mark)]` of both kinds, without words where there is no such drift.

    Parameters:
        plan: of `plan_model.host`; secrets in it are masked already.
    """
    sections = _sections(plan.get("diff") or "")
    news = any(_NEWS.search(one["why"] or "") for one in plan["changes"])
    found = []
    for key, title in TITLES.items():
        changes = [one for one in plan["changes"] if (key == BY_HAND) == is_by_hand(one, news)]
        paths = {one["path"] for one in changes if one["path"]}
        others = {one["path"] for one in plan["changes"]} - paths
        # What belongs to no change that is listed is the rest of what the inventory asks for.
        diff = [text for path, text in sections if path in paths or (key == PENDING and path not in others)]
        found.append((key, title, _words(changes, diff), _mark(changes, diff)) if changes else (key, title, "", ""))
    return found


def is_by_hand(change, news):
    """Whether a change of a plan undoes what was done on the server, rather than doing what is new.

    *news*: whether the same plan has files of which another text is rendered. What can come of both comes of those
    then: a service that was just selected has no container yet.
    """
    why = change["why"] or ""
    if change["kind"] in _BY_HAND_KINDS or _BY_HAND_REASONS.search(why):
        return True
    return not news and (change["kind"] in _EITHER_KINDS or bool(_EITHER_REASONS.search(why)))


def _words(changes, diff):
    lines = [_line(one) for one in changes[:LINES]]
    if len(changes) > LINES:
        lines.append(f"and {len(changes) - LINES} more")
    shown = "".join(diff).splitlines()
    lines += shown[:DIFF_LINES]
    if len(shown) > DIFF_LINES:
        lines.append(f"… {len(shown) - DIFF_LINES} more lines: plan --diff shows them")
    return "\n".join(lines)


def _line(one):
    about = one["service"] or one["path"]
    return " ".join(
        part for part in (f"{one['kind']}:", about, one["what"], f"({one['why']})" * bool(one["why"])) if part
    )


def _mark(changes, diff):
    told = [[one[name] for name in ("kind", "service", "path", "what", "why", "before", "after")] for one in changes]
    text = _VOLATILE.sub("", json.dumps([told, diff], sort_keys=True, default=str))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sections(diff):
    """`[(path, text)]` of a diff of several files."""
    starts = [match.start() for match in _SECTION.finditer(diff)]
    ends = [*starts[1:], len(diff)]
    parts = [diff[start:end] for start, end in zip(starts, ends, strict=False)]
    return [(_SECTION.match(part)[1], part) for part in parts]
