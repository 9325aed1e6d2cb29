# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation's tables are what the catalogue says, and every page that is linked exists."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
VERBS = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}


def test_the_tables_are_the_catalogues():
    # In a process of its own: it sets up Ansible's loader of collections, which must not see this process's imports.
    command = [sys.executable, "tests/tools/catalogue_docs.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_pages_exist(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(((?!https?:|#|mailto:)[^)#\s]+)", text)
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_command_map_calls_available_what_there_is():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if re.match(r"\| (`|–)", line) and line.count("|") == 5]
    claimed = {}
    for _empty, _command, playbooks, _extra, state, _end in rows:
        for name in re.findall(r"`(\w+)`", playbooks):
            claimed[name] = state.strip().startswith("available")
    assert {"init", "site", "status", "vpn_stop"} <= set(claimed)
    assert {name for name, available in claimed.items() if available} == VERBS & set(claimed)
