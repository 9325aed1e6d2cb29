# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Notifications of a real stack: what arrives at servers on loopback, and how often."""

from __future__ import annotations

import json
import os
import re
import shutil

import notify_servers
import plan_lab as lab
import pytest
import stack_harness as h

PROJECT = f"msnotify-{os.getpid()}"
TOKEN = "tk_hidden0123456789"  # noqa: S105 (made up)


@pytest.fixture(scope="module")
def hooks():
    made = notify_servers.Hooks()
    yield made
    made.down()


@pytest.fixture(scope="module")
def stack(tmp_path_factory, hooks):
    made = lab.make(tmp_path_factory.mktemp("notify"), PROJECT, h.free_ports(), own=("alpha", "beta"))
    try:
        made.set(mediastack_notify_urls=[f"json://user:{TOKEN}@127.0.0.1:{hooks.port}/hook"])
        made.play("site", env=controller(made))
        assert hooks.take() == []
        yield made
    finally:
        lab.remove(made)
        shutil.rmtree(made.directory, ignore_errors=True)


def status(stack, *arguments, **more):
    return stack.play("status", "-e", "fail_on=never", *arguments, env=controller(stack), **more)


def controller(stack, name="one"):
    """The environment of one controller among several: what it remembers is its own."""
    return {"XDG_STATE_HOME": str(stack.directory / f"state-{name}")}


def edit(path, text, period):
    """Give the first service another period to stop in."""
    changed = re.sub(r"(stop_grace_period:) \S+", rf"\1 {period}", text, count=1)
    assert changed != text, text
    path.write_text(changed)


def stop(stack, service):
    h.docker("stop", "-t", "1", f"{PROJECT}-{service}")


def start(stack, service):
    h.docker("start", f"{PROJECT}-{service}")
    h.wait_for(lambda: stack.containers()[service]["State"]["Health"]["Status"] == "healthy")


def test_a_stopped_app_is_told_once_by_whoever_looks_and_so_is_its_recovery(stack, hooks):
    stop(stack, "alpha")
    first = status(stack, "-vvvv")
    # One message, also of the first look at the backups.
    [(title, text)] = hooks.take()
    assert "box" in title and "STOPPED" in text and "the backup: there is none yet" in text
    assert TOKEN not in first.stdout + first.stderr
    assert "stack_notify.py" in first.stdout
    # Not again, by another controller neither.
    stack.play("status", "-e", "fail_on=never", env=controller(stack, "two"))
    assert hooks.take() == []
    start(stack, "alpha")
    status(stack)
    [(title, text)] = hooks.take()
    assert "recovered" in title and "STOPPED" not in text
    record = (stack.project_path / ".mediastack" / "notify.json").read_text()
    assert TOKEN not in record and "127.0.0.1" not in record


@pytest.mark.long
def test_a_drift_is_told_with_its_diff_once_and_another_one_again(stack, hooks):
    compose = stack.project_path / "compose.services.yml"
    before = compose.read_text()
    edit(compose, before, "31s")
    nights = [stack.play("plan", check=False, env=controller(stack)) for _night in range(2)]
    told = hooks.take()
    assert len(told) == 1, nights[0].stdout + nights[0].stderr
    [(title, text)] = told
    assert "changed on the server" in title + text
    assert "31s" in text and "30s" in text
    edit(compose, before, "32s")
    stack.play("plan", check=False, env=controller(stack))
    [(_title, text)] = hooks.take()
    assert "32s" in text
    # A site puts it right, and the next plan says so.
    stack.play("site", env=controller(stack))
    stack.play("plan", env=controller(stack))
    [(title, _text)] = hooks.take()
    assert "recovered" in title
    # What the inventory asks for since then is another thing.
    stack.set(mediastack_timezone="Europe/Berlin")
    stack.play("plan", check=False, env=controller(stack))
    [(title, text)] = hooks.take()
    assert "not applied yet" in title and "Europe/Berlin" in text
    stack.set(mediastack_timezone="Etc/UTC")
    stack.play("plan", env=controller(stack))
    assert len(hooks.take()) == 1


@pytest.mark.long
def test_a_server_that_was_down_is_told_at_the_next_run(stack, hooks):
    stop(stack, "beta")
    hooks.down()
    dead = status(stack)
    assert "was not told" in dead.stdout + dead.stderr
    assert TOKEN not in dead.stdout + dead.stderr
    hooks.up()
    # By a run that is not about services too.
    stack.play("plan", check=False, env=controller(stack))
    told = hooks.take()
    assert len(told) == 1 and "STOPPED" in told[0][1]
    start(stack, "beta")
    status(stack)
    stack.play("plan", env=controller(stack))
    hooks.take()


@pytest.mark.long
def test_a_failed_site_is_told_and_a_good_one_ends_it(stack, hooks):
    stack.set(mediastack_overrides={"alpha": {"healthcheck": {"test": ["CMD", "false"], "retries": 1}}})
    stack.set(mediastack_wait_timeout=10)
    failed = stack.play("site", check=False, env=controller(stack))
    assert failed.returncode == 2
    [(title, text)] = hooks.take()
    assert "alpha" in title + text
    stack.set(mediastack_overrides={}, mediastack_wait_timeout=180)
    stack.play("site", env=controller(stack))
    assert any("recovered" in title for title, _text in hooks.take())


def test_the_playbook_notify_tries_every_channel_and_tells_what_others_know(stack, hooks):
    mails = notify_servers.Mails()
    try:
        urls = stack.variables["mediastack_notify_urls"]
        stack.set(
            mediastack_notify_urls=[
                *urls,
                f"ntfy://127.0.0.1:{hooks.port}/topic",
                f"mailto://127.0.0.1:{mails.port}?from=nas@lab.test&to=anna@lab.test",
            ]
        )
        stack.play("notify", env=controller(stack))
        assert len(mails.got) == 1 and "notifications work" in mails.got[0]["subject"]
        assert sorted(one["path"] for one in hooks.got) == ["/", "/hook"]
        hooks.got = []
        stack.set(mediastack_notify_urls=urls)
        answer = ["-e", json.dumps({"condition": "pull", "state": "bad", "message": "commit 4f2a is not signed"})]
        stack.play("notify", *answer, env=controller(stack))
        stack.play("notify", *answer, env=controller(stack))
        [(_title, text)] = hooks.take()
        assert "not signed" in text
        stack.play("notify", "-e", "condition=pull", "-e", "state=good", env=controller(stack))
        assert len(hooks.take()) == 1
        hooks.answer = 403
        wrong = stack.play("notify", check=False, env=controller(stack))
        said = wrong.stdout + wrong.stderr
        assert wrong.returncode == 2 and "json to 127.0.0.1" in said and "403" in said and TOKEN not in said
    finally:
        hooks.answer = 200
        mails.down()
        stack.set(mediastack_notify_urls=urls)


@pytest.mark.long
def test_without_addresses_nothing_is_run_on_the_host(stack, hooks):
    urls = stack.variables["mediastack_notify_urls"]
    stack.set(mediastack_notify_urls=[])
    try:
        done = stack.play("status", "-vvv", "-e", "fail_on=never")
        assert "stack_notify.py" not in done.stdout
    finally:
        stack.set(mediastack_notify_urls=urls)


def test_a_malformed_address_is_refused_for_every_host_and_not_shown(tmp_path):
    secret = "verysecrettoken"  # noqa: S105 (made up)
    stack = h.Stack(tmp_path, PROJECT, 27000, mediastack_notify_urls=[f"tgram://{secret}"])
    inventory = tmp_path / "inventory.yml"
    hosts = {"box": {}, "attic": {}}
    inventory.write_text(json.dumps({"mediastack": {"hosts": hosts, "vars": stack.variables}}))
    done = stack.play("site", "-vvvv", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 2 and secret not in said
    assert said.count("Nothing was touched") >= 2 and "entry 1 (tgram://…)" in said
    assert not stack.base.exists()
