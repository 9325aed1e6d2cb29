# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Registries that are busy, slow, dead, broken or lying: what is tried again, and what the user is told."""

from __future__ import annotations

import builtins
import email.utils
import socket
import sys
import threading
import time

import pytest
import registry_world as w

from ansible_collections.homelab.mediastack.plugins.plugin_utils import registry_client, registry_errors, registry_http
from ansible_collections.homelab.mediastack.plugins.plugin_utils.registry_credentials import Credentials
from ansible_collections.homelab.mediastack.plugins.plugin_utils.registry_http import Transport


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


@pytest.fixture
def world():
    return w.World()


@pytest.fixture
def image(world):
    """The name of an image of the world."""
    world.image("team/app", "1")
    with w.serving(world) as address:
        yield f"{address}/team/app:1"


class Run:
    """One look-up, with the pauses that were made."""

    def __init__(self, *images, **options):
        self.pauses = []
        options.setdefault("timeout", 5)
        self.answers = registry_client.resolve(
            images, None, Transport(Credentials(), wait=self.pauses.append, **options)
        )
        self.problem = self.answers.problems.get(images[0])

    @property
    def ok(self):
        return not self.answers.problems


def test_a_busy_registry_is_given_time_and_more_of_it(world, image):
    world.fail(3, w.status(503))
    run = Run(image)
    assert run.ok
    assert len(run.pauses) == 3
    for pause, longest in zip(run.pauses, (0.5, 1.0, 2.0), strict=True):
        assert longest / 2 <= pause <= longest


@pytest.mark.parametrize("code", [502, 503, 504])
def test_a_registry_that_stays_busy_is_named(world, image, code):
    world.fail(99, w.status(code, b"<html><h1>upstream  gone</h1></html>"), only="sha256")
    run = Run(image)
    assert (run.problem.kind, run.problem.status) == (registry_errors.BUSY, code)
    assert run.problem.why.endswith(f"answered {code} (upstream gone): it has trouble of its own. Try again later.")
    assert len(run.pauses) == 3


def test_as_much_time_as_it_asks_for(world, image):
    world.fail(1, w.status(429, Retry_After="7"))
    assert Run(image).pauses == [7.0]
    world.fail(1, w.status(429, Retry_After=email.utils.formatdate(time.time() + 30, usegmt=True)))
    (pause,) = Run(image).pauses
    assert 25 < pause <= 30


def test_more_time_than_anybody_waits_is_told_at_once(world, image):
    world.fail(99, w.status(429, b'{"errors": [{"message": "pull rate limit"}]}', Retry_After="3600"))
    run = Run(image, image.replace("app:1", "other:1"))
    assert run.pauses == []
    assert (run.problem.kind, run.problem.status) == (registry_errors.LIMIT, 429)
    assert "answered 429" in run.problem.why
    assert "docker login 127.0.0.1" in run.problem.why
    # The limit is the registry's, not the image's.
    assert len(run.answers.problems) == 2


def test_what_a_limit_says_is_told_where_there_is_a_body(world, image):
    world.fail(99, w.status(429, b'{"errors": [{"message": "pull rate limit"}]}'), only="sha256")
    assert "(pull rate limit)" in Run(image).problem.why


def test_a_tag_that_is_not_there_is_told_and_not_asked_for_again(world, image):
    run = Run(image.rsplit(":", 1)[0] + ":9.9")
    assert (run.problem.kind, run.problem.status) == (registry_errors.MISSING, 404)
    assert "has no team/app:9.9" in run.problem.why
    assert "mediastack_images" in run.problem.why
    assert run.pauses == []


def test_a_registry_that_hangs_is_left_after_two_tries(world, image):
    release = threading.Event()
    world.fail(99, lambda handler: release.wait(10))
    started = time.monotonic()
    try:
        run = Run(image, timeout=0.3)
    finally:
        release.set()
    assert run.problem.kind == registry_errors.TIMEOUT
    assert "did not answer within 0.3 s" in run.problem.why
    assert len(run.pauses) == 1
    assert time.monotonic() - started < 5


def test_a_registry_that_sends_drop_by_drop_is_left_too(world, image):
    release = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not release.wait(0.02):
            handler.wfile.write(b" ")

    world.fail(99, drip, only="sha256")
    try:
        run = Run(image, timeout=0.2, attempts=2)
    finally:
        release.set()
    assert run.problem.kind == registry_errors.TIMEOUT


def test_a_body_that_is_cut_off_is_fetched_again(world, image):
    world.fail(1, w.truncated, only="sha256")
    run = Run(image)
    assert run.ok
    assert len(run.pauses) == 1


def test_a_body_that_is_always_cut_off_is_told(world, image):
    world.fail(99, w.truncated, only="sha256")
    run = Run(image)
    assert run.problem.kind == registry_errors.CUT
    assert "ended its answer before it was whole" in run.problem.why


def test_a_body_with_another_digest_is_not_believed(world, image):
    world.fail(99, w.liar, only="sha256")
    run = Run(image)
    assert run.problem.kind == registry_errors.CUT
    assert "its sha256 is another" in run.problem.why
    assert run.answers.found == {}


def test_a_config_with_another_digest_is_not_believed(world, image):
    world.fail(99, w.liar, only="/blobs/")
    assert "its sha256 is another" in Run(image).problem.why


def test_a_connection_that_breaks_is_made_again(world, image):
    def hang_up(handler):
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    world.fail(2, hang_up)
    assert Run(image).ok


def test_where_nobody_listens_is_told_and_the_others_need_not_find_out():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        images = [f"127.0.0.1:{taken.getsockname()[1]}/team/app{number}:1" for number in range(30)]
        run = Run(*images)
    assert run.problem.kind == registry_errors.UNREACHABLE
    assert "connection refused" in run.problem.why
    assert len(run.answers.problems) == 30
    # As many as ask at the same moment find out by themselves.
    assert len(run.pauses) <= 3 * registry_client.WORKERS


def test_an_answer_without_end_is_not_read_to_its_end(world, image, monkeypatch):
    monkeypatch.setattr(registry_http, "LARGEST", 1000)
    world.fail(99, w.status(200, b" " * 200000), only="sha256")
    run = Run(image)
    assert run.problem.kind == registry_errors.FORMAT
    assert "sends more than 1000 bytes" in run.problem.why


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, "an image in the format of before 2016"),
        ({"hello": 1}, "is no image"),
        ([1], "is no image"),
        ({"schemaVersion": 2, "manifests": []}, "an index without an image for any platform"),
    ],
)
def test_what_is_no_image_is_told(world, image, value, words):
    world.put("team/app", "1", value, w.OCI_INDEX)
    assert words in Run(image).problem.why


def test_a_web_server_that_is_no_registry_is_told(world, image):
    world.fail(99, w.status(418, b"I am a teapot"))
    assert "answered 418" in Run(image).problem.why
    assert "Is it one?" in Run(image).problem.why


def test_a_registry_that_leads_in_circles_is_left(world, image):
    world.fail(99, lambda handler: handler.reply(307, b"", {"Location": handler.path}))
    assert "leads in circles" in Run(image).problem.why


def test_a_registry_that_gives_no_token_is_told(world, image):
    world.login = "token"
    world.fail(1, w.status(200, b"{}"), only="/token")
    assert "gave no token" in Run(image).problem.why


def test_words_of_a_registry_are_cut_short_and_are_one_line():
    assert registry_errors.body_words(b"a\r\n\x1b[31m" + b"b" * 999).startswith("a [31mbbb")
    assert len(registry_errors.body_words(b"b" * 999)) == 160
    assert registry_errors.body_words(b"\xff\xfe") == "��"
    assert registry_errors.body_words(b'{"errors": []}') == ""


def test_without_the_library_the_remedy_is_its_name(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("requests"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(registry_errors.RequestsMissing, match="pip install requests"):
        registry_client.resolve(["traefik:v3"])


def test_no_other_playbook_pays_for_the_library():
    """`site` imports what is beside it; a tenth of a second for every fork is not to be had."""
    import subprocess

    module = "ansible_collections.homelab.mediastack.plugins.plugin_utils.registry_client"
    program = f"import sys; sys.path[:0] = {sys.path!r}; import {module}; print('requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
