# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Output that nobody reads: Ctrl-C ends a run whose thread for results waits for the reader."""

import os
import signal
import subprocess
import sys

import pytest

RUN = """
import sys, threading
from ansible_collections.homelab.mediastack.plugins.plugin_utils import unread
PREPARE
def results():
    # Much more than a pipe holds.
    sys.stdout.write("x" * 10**6)
    sys.stdout.flush()
    done.set()
done = threading.Event()
threading.Thread(target=results).start()
try:
    print("writes", file=sys.stderr, flush=True)
    done.wait()
except KeyboardInterrupt:
    done.wait()
    sys.exit(99)
"""


@pytest.fixture
def run():
    """Starts a program whose standard output nobody reads."""
    started = []

    def start(prepare):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN.replace("PREPARE", prepare)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        started.append(process)
        assert process.stderr.readline() == b"writes\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_ctrl_c_ends_it(run):
    process = run("unread.end_all_the_same()")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 99


def test_a_reader_that_reads_on_after_ctrl_c_gets_what_there_was(run):
    process = run("unread.DROP_AFTER = 30; unread.end_all_the_same()")
    process.send_signal(signal.SIGINT)
    assert len(process.stdout.read()) == 10**6
    assert process.wait(timeout=30) == 99


def test_where_ctrl_c_is_ignored_nothing_is_changed(run):
    process = run("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); unread.end_all_the_same()")
    process.send_signal(signal.SIGINT)
    assert len(process.stdout.read()) == 10**6
    assert process.wait(timeout=30) == 0
