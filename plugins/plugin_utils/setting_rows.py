# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rows of `config_show`: a host's settings with value, origin and whether they differ from the default."""

from __future__ import annotations

import posixpath
import re

import yaml

from . import path_rules, setting_mask
from .closest import hint
from .plain_values import plain
from .settings import DEFAULT, PREFIX
from .table import GAP, clean, cut, width

HEADING = ("HOST", "SETTING", "VALUE", "ORIGIN")
VALUE_AT = HEADING.index("VALUE")
CHANGED, INVALID, SAME = "*", "!", " "
COLORS = {CHANGED: "yellow", INVALID: "red"}
LEGEND = {CHANGED: "* differs from its default", INVALID: "! is wrong, see below"}
_VALUE_AT_LEAST = 24


class UnknownSetting(ValueError):
    """A word of `-e setting=` that stands for no setting; the text says which."""


def choose(words, names):
    """The settings that *words* stand for, in the order of *names*; all of them without words.

    A word is a setting, with or without the prefix, or parts of names: `vpn`, `path`, `vpn_server`.

    Raises:
        UnknownSetting: with the closest name.
    """
    if not words:
        return list(names)
    found = set()
    for word in words:
        short = word.lower().removeprefix(PREFIX)
        if PREFIX + short in names:
            found.add(PREFIX + short)
            continue
        matching = [name for name in names if short and f"_{short}_" in f"_{name[len(PREFIX) :]}_"]
        if not matching:
            short_names = [name[len(PREFIX) :] for name in names]
            advice = hint(short, short_names, "ansible-doc -t role homelab.mediastack.mediastack lists all settings.")
            raise UnknownSetting(f'-e setting=: "{word}" is no setting. {advice}')
        found.update(matching)
    return [name for name in names if name in found]


def rows(host, draft, spec, origins, task_vars):
    """One host's settings, those that are set first, each `{host, setting, value, origin, mark}`; nothing is secret.

    Args:
        host: its name.
        draft: `settings.Draft`.
        spec: the options.
        origins: `setting_origins.Origins`.
        task_vars: the host's variables.
    """
    secret_settings = frozenset(name for name, option in spec.items() if option.get("no_log"))
    secrets = setting_mask.secrets_of(task_vars, draft.values, secret_settings)
    mask = setting_mask.SettingMask(secrets, secret_settings)
    values = _with_derived_paths(draft.values)
    wrong = {found[0] for found in (re.match(rf"{PREFIX}\w+", error) for error in draft.errors) if found}
    result = []
    for name in spec:
        raw = origins.raw(name)
        given = origins.layer(name) != DEFAULT
        hidden = setting_mask.is_vaulted(raw) or origins.is_encrypted(name)
        # Of what is wrong, as it is written: what it would be is not known.
        shown = plain(raw) if name in wrong and given and not hidden else values[name]
        differs = given and draft.values[name] != plain(spec[name]["default"])
        result.append(
            {
                "host": host,
                "setting": name,
                "value": as_yaml(mask(name, shown, hidden)),
                "origin": origins.of(name, bool(draft.values[name])),
                "mark": INVALID if name in wrong else CHANGED if differs else SAME,
                "given": given,
            }
        )
    return sorted(result, key=lambda row: not row["given"])


def _with_derived_paths(values):
    result = dict(values)
    for short, directory in path_rules.BELOW_BASE.items():
        if not result[PREFIX + short]:
            result[PREFIX + short] = posixpath.join(result[PREFIX + "base_path"], directory)
    return result


def as_yaml(value):
    """A value in one line, as it could be written in the inventory."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=2**20, sort_keys=False)
    return clean(text.removesuffix("\n").removesuffix("\n..."))


def render(all_rows, columns=None, paint=None):
    """The table of rows as lines, the heading first.

    Args:
        all_rows: of all hosts, as `rows` returns them.
        columns: width of the terminal, to which values are cut; None: nothing is cut.
        paint: function of (text, colour name); None: plain.
    """
    all_rows = _together(all_rows)
    cells = [[clean(row["host"]), row["setting"], row["value"], clean(row["origin"])] for row in all_rows]
    widths = [max(width(line[i]) for line in [HEADING, *cells]) for i in range(len(HEADING))]
    if columns:
        others = sum(widths) - widths[VALUE_AT] + len(GAP) * len(HEADING) + 1
        widths[VALUE_AT] = min(widths[VALUE_AT], max(_VALUE_AT_LEAST, columns - others))
    lines = [_line(SAME, HEADING, widths, None)]
    for row, line in zip(all_rows, cells, strict=True):
        line[VALUE_AT] = cut(line[VALUE_AT], widths[VALUE_AT])
        lines.append(_line(row["mark"], line, widths, paint))
    present = {row["mark"] for row in all_rows}
    legend = [text for mark, text in LEGEND.items() if mark in present]
    return [*lines, *([", ".join(legend)] if legend else [])]


def _together(all_rows):
    """What all hosts have in common, once; set ones before defaults, and the common ones first."""
    hosts = list(dict.fromkeys(row["host"] for row in all_rows))
    if len(hosts) < 2:
        return all_rows
    same = {}
    for row in all_rows:
        same.setdefault(tuple(row[key] for key in ("setting", "value", "origin", "mark", "given")), []).append(row)
    common = [{**rows[0], "host": f"(all {len(hosts)})"} for rows in same.values() if len(rows) == len(hosts)]
    own = [row for rows in same.values() if len(rows) < len(hosts) for row in rows]
    own.sort(key=lambda row: hosts.index(row["host"]))
    return sorted([*common, *own], key=lambda row: not row["given"])


def _line(mark, cells, widths, paint):
    padded = [cell + " " * (columns - width(cell)) for cell, columns in zip(cells, widths, strict=True)]
    line = f"{mark} {GAP.join(padded)}".rstrip()
    return paint(line, COLORS[mark]) if paint and mark in COLORS else line
