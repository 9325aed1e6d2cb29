# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the cells rest on: what is not well is seen, a lost row is missed, the registry fails as it is told to."""

from __future__ import annotations

import http.client
import http.server
import json
import socket
import sqlite3
import threading

import fault_data
import pytest
from fault_polls import Polls
from fault_proxy import FaultProxy
from fault_stack import PLAIN, STEADY, TARGET
from stack_harness import wait_for

BODY = b"0123456789" * 100


# -- the stack ---------------------------------------------------------------------------------------------------------


def test_what_is_not_well_is_seen(cells):
    stack = cells.stack
    assert cells.unwell() == []
    stack.docker("stop", "--time", "0", stack.container(PLAIN))
    assert [found for found in cells.unwell() if PLAIN in found]
    stack.play("site")
    # It has no health check, so `site` does not wait until it answers.
    wait_for(lambda: cells.unwell() == [], 20, "a stack that is well")
    stack.docker("pause", stack.container(TARGET))
    assert [found for found in cells.unwell() if TARGET in found]
    stack.docker("unpause", stack.container(TARGET))
    wait_for(lambda: cells.unwell() == [], 20, "a stack that is well")
    stack.docker(
        "run", "--detach", "--name", f"{stack.container(TARGET)}-old", stack.images()[STEADY], "busybox", "sleep", "99"
    )
    assert stack.leftovers() == [f"container {stack.container(TARGET)}-old"]
    stack.docker("rm", "--force", f"{stack.container(TARGET)}-old")
    assert stack.leftovers() == []


def test_a_time_without_an_answer_is_measured(cells):
    stack = cells.stack
    with Polls(stack.asked) as polls:
        stack.docker("restart", "--time", "1", stack.container(TARGET))
        wait_for(lambda: cells.unwell() == [], 20, "a stack that is well")
    assert 0.2 < polls.gap(TARGET) < 10
    assert polls.gap(STEADY) == 0


def test_a_config_directory_that_was_exchanged_is_seen(cells):
    folder = cells.stack.config / STEADY
    away = folder.with_name("away")
    folder.rename(away)
    folder.mkdir()
    assert [found for found in cells.unwell() if found.startswith(STEADY)]
    folder.rmdir()
    away.rename(folder)
    assert cells.unwell() == []


# -- the data ----------------------------------------------------------------------------------------------------------


def database(folder, beats, version=1):
    """A config directory as the app leaves it."""
    folder.mkdir(parents=True)
    connection = sqlite3.connect(folder / "app.db")
    connection.execute("CREATE TABLE library (id INTEGER PRIMARY KEY, title TEXT)")
    connection.execute("CREATE TABLE beats (id INTEGER PRIMARY KEY, at REAL, version INT, note TEXT)")
    connection.execute("INSERT INTO library (title) VALUES ('one')")
    connection.executemany(
        "INSERT INTO beats (id, note) VALUES (?, ?)", [(number, f"note {number}") for number in beats]
    )
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()


def read(place):
    """What is there."""
    return fault_data.read_all(place, ["app"], None, seconds=0)


def test_a_row_that_is_gone_is_missed_unless_it_is_kept_aside(tmp_path):
    database(tmp_path / "before" / "app", range(10))
    database(tmp_path / "after" / "app", range(7))
    before, after = read(tmp_path / "before"), read(tmp_path / "after")
    assert fault_data.lost(before, before, []) == (0, 0)
    assert fault_data.lost(before, after, []) == (3, len("note 7note 8note 9"))
    database(tmp_path / "aside" / "failed" / "txn" / "app", range(5, 9))
    assert fault_data.lost(before, after, [tmp_path / "aside"]) == (1, len("note 9"))


def test_a_change_of_the_library_or_of_the_users_file_is_seen(tmp_path):
    database(tmp_path / "app", range(3))
    (tmp_path / "app" / "settings.ini").write_text("mine")
    digest = read(tmp_path)["app"].digest
    assert read(tmp_path)["app"].digest == digest
    (tmp_path / "app" / "settings.ini").write_text("theirs")
    assert read(tmp_path)["app"].digest != digest
    (tmp_path / "app" / "settings.ini").write_text("mine")
    connection = sqlite3.connect(tmp_path / "app" / "app.db")
    connection.execute("UPDATE library SET title = 'two'")
    connection.commit()
    connection.close()
    assert read(tmp_path)["app"].digest != digest


def test_a_damaged_database_does_not_count_as_read(tmp_path):
    database(tmp_path / "app", range(2000))
    path = tmp_path / "app" / "app.db"
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    path.write_bytes(content)
    assert read(tmp_path) == {"app": None}


# -- the registry ------------------------------------------------------------------------------------------------------


class _Backend(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_words):
        """Nothing."""


@pytest.fixture
def proxy():
    """A proxy before something that answers."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Backend) as backend:
        threading.Thread(target=backend.serve_forever, daemon=True).start()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with FaultProxy(port, backend.server_address[1]) as made:
            yield made
        backend.shutdown()


def ask(proxy, path="/v2/faults/library/blobs/sha256:0", timeout=5):
    """(status, Retry-After, body) of a GET."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Retry-After"), answer.read()
    finally:
        connection.close()


def test_the_proxy_fails_as_it_is_told_and_is_well_again(proxy):
    assert ask(proxy) == (200, None, BODY)
    proxy.fail("429")
    status, after, body = ask(proxy)
    assert (status, after, json.loads(body)["errors"][0]["code"]) == (429, "2", "TOOMANYREQUESTS")
    proxy.fail("503", "/blobs/")
    assert ask(proxy)[0] == 503
    assert ask(proxy, "/v2/")[0] == 200
    proxy.fail("truncated")
    with pytest.raises(http.client.IncompleteRead):
        ask(proxy)
    proxy.fail("hang")
    with pytest.raises(TimeoutError):
        ask(proxy, timeout=0.3)
    assert proxy.met.is_set()
    proxy.fail("dead")
    with pytest.raises(ConnectionRefusedError):
        ask(proxy)
    proxy.mend()
    assert ask(proxy) == (200, None, BODY)
