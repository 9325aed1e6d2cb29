# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixtures for tests of `compose_stack` on the real engine, and the long form of the integration tests."""

from __future__ import annotations

import itertools
import os

import pytest


def pytest_configure(config):
    """Tests marked `long` take long and have a shorter one beside them, or are about what seldom changes."""
    config.addinivalue_line("markers", "long: only in `make test-long` (MEDIASTACK_TEST_LONG=1)")
    config.addinivalue_line("markers", "alone: measures against a clock; runs in `make test-promises`, beside nothing")


def pytest_collection_modifyitems(config, items):
    """Leave the long form to `make test-long`."""
    if os.environ.get("MEDIASTACK_TEST_LONG") == "1":
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def box():
    """The little image that the services of these tests run."""
    from compose_stack_lab import IMAGE, build_image, have_image

    # It stays, 2 MB: another worker, or another run beside this one, may not be done with it.
    have_image(IMAGE, lambda: build_image(IMAGE, "1"))
    return IMAGE


@pytest.fixture
def moving_image():
    """Makes an image, another one at every call, always under the same tag; gone after the test."""
    from compose_stack_lab import build_image, docker

    tag = f"mscs-moving-{os.getpid()}:1"
    turns = itertools.count()

    def build():
        build_image(tag, str(next(turns)))
        return tag

    yield build
    docker("image", "rm", "-f", tag, check=False)


@pytest.fixture
def labs(box):
    """Makes Labs; all of them are gone after the test."""
    from compose_stack_lab import Lab

    made = []

    def make(compose_version=None):
        made.append(Lab(compose_version))
        return made[-1]

    yield make
    for lab in made:
        lab.clean()


@pytest.fixture
def lab(labs):
    """One project on the Compose of this host."""
    return labs()
