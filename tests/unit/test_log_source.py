# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Several `docker logs` at once, of programs that take docker's place."""

import os
import time

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import docker_cli, log_source

# Prints as many lines as its last argument says, or complains, or says nothing for ever.
DOCKER = """#!/bin/sh
case "$1" in
  many) n=0; while [ $n -lt "$2" ]; do echo "2026-11-22T20:49:08.5Z line $n"; n=$((n+1)); done ;;
  endless) while echo "2026-11-22T20:49:08.5Z line"; do :; done ;;
  refused) echo "Error response from daemon: no" >&2; exit 1 ;;
  silent) exec sleep 1000 ;;
esac
"""


@pytest.fixture
def docker(tmp_path):
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    return docker_cli.Docker(environ={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})


def test_every_line_of_every_log_in_its_order(docker):
    taken = {}
    jobs = [(number, ["many", str(number * 100)]) for number in range(2 * log_source.AT_ONCE)]
    failed = log_source.sweep(docker, jobs, lambda key, _at, text, _n: taken.setdefault(key, []).append(text), 30)
    assert failed == {}
    assert taken == {key: [f"line {number}" for number in range(100 * key)] for key, _arguments in jobs if key}


def test_one_of_which_there_is_enough_is_ended(docker):
    taken = []

    def take(_key, _at, text, _pieces):
        taken.append(text)
        return len(taken) == 1000

    assert log_source.sweep(docker, [("a", ["endless"])], take, 30) == {}
    assert len(taken) == 1000


def test_what_docker_complains_about(docker):
    failed = log_source.sweep(docker, [("a", ["refused"]), ("b", ["many", "1"])], lambda *_line: None, 30)
    assert failed == {"a": "Error response from daemon: no"}


def test_one_that_never_ends_is_given_up(docker):
    began = time.monotonic()
    with pytest.raises(docker_cli.DeadlineExceeded, match=r"within 0\.3 s"):
        log_source.sweep(docker, [("a", ["silent"])], lambda *_line: None, 0.3)
    assert time.monotonic() - began < 20
