# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixtures for tests of `compose_stack` on the real engine."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def box():
    """The little image that the services of these tests run."""
    from compose_stack_lab import IMAGE, build_image, docker

    build_image(IMAGE, "1")
    yield IMAGE
    docker("image", "rm", "-f", IMAGE, check=False)


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
