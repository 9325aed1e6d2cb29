# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is about to be written, for somebody who has to agree to it."""

from __future__ import annotations

import os

HIDDEN = "(hidden)"
_WIDEST = 60


def settings(answers, before, writing):
    """A line for each setting that was answered, without those that nobody ever changed; what it was before.

    Parameters:
        answers: `init_answers.Answers`.
        before: `{name: typed value}` before the questions.
        writing: `init_answers.Writing`.
    """
    rows, written = [], {*writing.settings, *writing.vault}
    for name in (name for name in answers.spec if name in answers.touched):
        value, short = answers.values[name], name.removeprefix("mediastack_")
        if name not in written and answers.is_default(short) and value == before[name]:
            continue
        secret = answers.is_secret(short)
        note = ""
        if value != before[name] and answers.sources[name] != "default":
            note = "(changed)" if secret else f"(was {_shown(before[name])})"
        elif name in writing.equal:
            note = "(as the inventory says already)"
        rows.append((name, HIDDEN if secret and value else _shown(value), note))
    width = max((len(name) for name, _value, _note in rows), default=0)
    return [f"  {name:<{width}}  {value}  {note}".rstrip() for name, value, note in rows]


def files(changes, notes):
    """A line for each file.

    Parameters:
        changes: of `init_files`.
        notes: `{path: words}` to put behind a path.
    """
    return [f"  {change.word:<7}  {_home(change.path)}{_note(change, notes)}" for change in changes]


def host(predicted, bundle):
    """What will be on the host.

    Parameters:
        predicted: result of compose_stack in check mode.
        bundle: what it was asked to write.
    """
    words = list((predicted.get("files") or {}).values())
    made = [entry for entry in bundle["directories"] if entry["path"] in (predicted.get("files") or {})]
    count = (
        f"{len(words) - len(made)} files and {len(made)} directories to be written"
        if words
        else "nothing to be written"
    )
    return [f"  {bundle['project']['path']}: {len(bundle['services'])} services, {count}. Nothing is started."]


def _note(change, notes):
    words = notes.get(change.path) or ("encrypted" if change.secret else "")
    return f"  ({words})" if words else ""


def _shown(value):
    if value in ("", [], {}):
        return "(empty)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        text = ", ".join(map(str, value))
    elif isinstance(value, dict):
        text = ", ".join(
            f"{name}: {str(item).lower() if isinstance(item, bool) else item}" for name, item in value.items()
        )
    else:
        text = str(value)
    text = " ".join(text.split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _home(path):
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if home != "/" and path.startswith(home + "/") else path
