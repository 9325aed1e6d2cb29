# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's gluetun, and one world for a file of tests."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(ROOT / "tests" / "integration")]

pytest.register_assert_rewrite("chaos_proof")

from world import World  # noqa: E402


def pytest_configure(config):
    """Tests marked `full` repeat what a short form shows, with more events."""
    config.addinivalue_line("markers", "full: only in `make test-vpn`, not in `make test`")


@pytest.fixture(scope="session")
def images():
    """The lab's gluetun, made of what is in the checkout."""
    subprocess.run([sys.executable, str(ROOT / "tests/lab/bin/images"), "build", "--only", "gluetun"], check=True)


@pytest.fixture(scope="module")
def world(images):
    """A world that the tests of a file share."""
    with World() as made:
        yield made
