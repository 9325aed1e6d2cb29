# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation reads as it was meant: code ends where it ends, and no table is cut in two."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def lines(request):
    return request.param.read_text(encoding="utf-8").splitlines()


def test_every_code_block_ends_on_a_line_of_its_own(lines):
    """A fence at the end of a line of code ends nothing, and the rest of the page is shown as code."""
    fences = [line for line in lines if "```" in line]
    assert len(fences) % 2 == 0
    for begin, end in zip(fences[::2], fences[1::2], strict=True):
        assert re.fullmatch(r" *```[a-z]*", begin)
        assert re.fullmatch(r" *```", end)


def test_every_table_has_its_head(lines):
    """Rows after an empty line are no rows any more."""
    code = False
    for before, line, after in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
        code = code != line.lstrip().startswith("```")
        if not code and line.startswith("| ") and not before.startswith("|"):
            assert re.fullmatch(r"\|[\s:|-]+\|", after), line
