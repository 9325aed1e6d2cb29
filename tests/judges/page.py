# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The numbers of the judges: on the terminal, and in docs/judges.md.

Two parts of the page are written: the numbers, which `make lint` compares with its own, and when and with what they
were taken, which it does not.
"""

from __future__ import annotations

import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "judges.md"
# judge, what it saw, level → bound ("" where it is published only)
ROWS = (
    ("compose-lint", "rendered stacks", (("critical", "0"), ("high", "0"), ("medium", ""), ("low", ""))),
    ("dclint", "rendered stacks", (("error", "0"), ("warning", ""))),
    ("detect-secrets", "repository, rendered stacks", (("secret", "0"),)),
    ("bandit", "shipped Python", (("high", "0"), ("medium", "0"), ("low", "0"))),
)


def plain(results):
    """The lines for a terminal."""
    lines = [
        f"  {judge:<15} {level:<9} {_count(results, judge, level):>5}   {bound and 'bound ' + bound}".rstrip()
        for judge, _saw, levels in ROWS
        for level, bound in levels
    ]
    lines.append(f"  compose-harden  score     {_score(results):>5}")
    return [*lines, f"  {results['stacks']} stacks, {results['seconds']} s"]


def numbers(results):
    """The part of the page that must agree with every run."""
    lines = ["| judge | saw | level | findings | bound | waived |", "| --- | --- | --- | ---: | ---: | ---: |"]
    for judge, saw, levels in ROWS:
        for level, bound in levels:
            count = _count(results, judge, level)
            # Values of tests come and go; each is a line of known_values.yml.
            waived = results["waived"].get(judge, 0) if level == levels[0][0] and judge != "detect-secrets" else ""
            lines.append(f"| {judge} | {saw} | {level} | {count} | {bound} | {waived} |")
    harden = results["harden"]
    passed, applicable = harden["widest"]
    lines += [
        "",
        (
            f"compose-harden: **{_score(results)} of 100** for the whole stack, {passed} of {applicable} checks; "
            f"{harden['worst'][0]} to {harden['best'][0]} over all stacks. Published, not gated."
        ),
        "",
        "| judge | rule | level | services, or files |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {judge} | {rule} | {level} | {len(where)}: {', '.join(where)} |"
        for judge, rule, level, where in results["rules"]
    ]
    return "\n".join(lines)


def surroundings(results):
    """The part of the page that is of one run."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(results["versions"].items()))
    return (
        f"{results['date']}, by `make judges`: {results['stacks']} stacks, {results['files']} distinct Compose files, "
        f"{results['seconds']} s. {versions}. {results['waived'].get('detect-secrets', 0)} findings of detect-secrets "
        "are values that are known to be none."
    )


def _count(results, judge, level):
    return results["counts"].get(f"{judge} {level}", 0)


def _score(results):
    passed, applicable = results["harden"]["widest"]
    return round(100 * passed / applicable)


def write(results):
    """Put both parts between their marks."""
    text = PAGE.read_text(encoding="utf-8")
    for name, content in (("judges", numbers(results)), ("judges-run", surroundings(results))):
        text = _pattern(name).sub(lambda match, content=content: f"{match[1]}\n{content}\n{match[3]}", text)
    PAGE.write_text(text, encoding="utf-8")


def agrees(results):
    """Whether the page has the numbers of these results."""
    found = _pattern("judges").search(PAGE.read_text(encoding="utf-8"))
    return found is not None and found[2].strip() == numbers(results)


def _pattern(name):
    return re.compile(f"(<!-- {name}: begin -->)(.*?)(<!-- {name}: end -->)", re.DOTALL)
