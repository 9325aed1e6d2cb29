# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of a bench: on the terminal, and in docs/performance.md with the machine and the versions."""

import pathlib
import re

from describe import ROOT

PAGE = ROOT / "docs" / "performance.md"
_CPU = re.compile(r"^model name\s*:\s*(.+)$", re.M)


def plain(numbers, rows):
    """The lines for a terminal.

    Args:
        numbers: the results.
        rows: `(key, whether its bound is kept, the bound in words)`.
    """
    return [f"  {key:<23} {numbers[key]:>8}   {bound} {_word(kept, bound)}".rstrip() for key, kept, bound in rows]


def write(name, numbers, rows):
    """Put the table between the marks of *name* on the page; arguments as of `plain`."""
    lines = ["| figure | measured | bound | |", "| --- | ---: | --- | --- |"]
    lines += [f"| `{key}` | {numbers[key]} | {bound} | {_word(kept, bound)} |" for key, kept, bound in rows]
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    text = PAGE.read_text(encoding="utf-8")
    before, found, rest = text.partition(begin)
    _old, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{PAGE} has no marks {begin.strip()} … {end.strip()}")
    PAGE.write_text(before + begin + "\n".join([*lines, "", _where(numbers), ""]) + end + after, encoding="utf-8")


def _word(kept, bound):
    return "" if not bound else "kept" if kept else "**missed**"


def _where(numbers):
    known = numbers["versions"]
    cpu = _CPU.search(pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return (
        f"{numbers['date'][:10]}, commit {known['commit']}: {numbers['cpus']} cores"
        f"{f' ({cpu[1].strip()})' if cpu else ''}, load {numbers['load_1m']} at the end; "
        f"ansible-core {known['ansible_core']}, Python {known['python']}, "
        f"Docker Engine {known['engine']}, Compose {known['compose']}."
    )
