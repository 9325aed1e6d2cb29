# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stacks that the cells of a file share; one that a cell has spoiled is made anew."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(ROOT / "tests" / "integration")]

pytest.register_assert_rewrite("fault_cell")

from fault_cell import Cells  # noqa: E402
from fault_stack import FaultStack  # noqa: E402
from fault_sweep import sweep  # noqa: E402


def pytest_configure(config):
    """Tests marked `full` are cells beyond those of the short form."""
    config.addinivalue_line("markers", "full: only in `make test-faults`, not in `make test`")


@pytest.fixture(scope="session", autouse=True)
def _swept():
    """What earlier tests left when they were killed is gone."""
    sweep()


@pytest.fixture(scope="session")
def gluetun_image():
    """The lab's gluetun, made of what is in the checkout."""
    subprocess.run([sys.executable, str(ROOT / "tests/lab/bin/images"), "build", "--only", "gluetun"], check=True)


@pytest.fixture(scope="module")
def _kept():
    """name → Cells of this file."""
    kept = {}
    yield kept
    for cells in kept.values():
        cells.stack.close()


@pytest.fixture
def stacks(_kept):
    """Makes Cells on a stack that is well; the same one for the same name."""

    def make(name="plain", kind=FaultStack, **options):
        if name in _kept and _kept[name].spoiled:
            _kept.pop(name).stack.close()
        if name not in _kept:
            stack = kind(**options)
            # Kept at once, so that it goes also when it does not come up.
            cells = _kept[name] = Cells(stack)
            cells.spoiled = True
            stack.play("site")
            # What is refused is then not what the inventory asks for, so that `site` may be content with what runs.
            stack.play("update", "-e", "lock_only=true", "-e", f"service={','.join(stack.services)}")
            stack.user_files()
            cells.spoiled = False
        return _kept[name]

    return make


@pytest.fixture
def cells(stacks):
    """Cells on a stack without a VPN."""
    return stacks()
