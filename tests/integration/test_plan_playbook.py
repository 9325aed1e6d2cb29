# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`plan`: what was changed by hand is named, nothing is touched, and after `site` there is nothing to say."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket

import jsonschema
import plan_lab as lab
import pytest
import stack_harness as h
import yaml

PROJECT = f"msplan-{os.getpid()}"
SCHEMA = json.loads((h.ROOT / "docs" / "plan.schema.json").read_text())


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = lab.make(tmp_path_factory.mktemp("plan"), PROJECT, h.free_ports())
    try:
        made.play("site")
        yield made
    finally:
        lab.remove(made)
        shutil.rmtree(made.directory, ignore_errors=True)


def name_of(service):
    return f"{PROJECT}-{service}"


def update(*options):
    return lambda stack, service: h.docker("update", *options, name_of(service))


def leave_network(stack, service):
    h.docker("network", "disconnect", PROJECT, name_of(service))


def lose_alias(stack, service):
    leave_network(stack, service)
    h.docker("network", "connect", PROJECT, name_of(service))


def rename(stack, service):
    h.docker("rename", name_of(service), f"{name_of(service)}-x")


def restart(stack, service):
    h.docker("restart", "-t", "1", name_of(service))


def stop(stack, service):
    h.docker("stop", "-t", "1", name_of(service))


def take_away(stack, service):
    h.docker("rm", "-f", name_of(service))


def other_image(stack, service):
    """As Watchtower does it: the tag moves, then the container is made anew with it."""
    h.docker("tag", lab.image("other"), lab.image())
    lab.compose(stack, "up", "-d", "--no-deps", "--force-recreate", "--pull", "never", service)


def run_again(stack, service):
    lab.made_anew(stack, service, "--restart", "no")


def stranger(stack, _service):
    """A container that somebody puts into the project."""
    labels = {
        "project": PROJECT,
        "service": "stranger",
        "oneoff": "False",
        "container-number": "1",
        "project.working_dir": stack.project_path,
    }
    given = [part for key, value in labels.items() for part in ("--label", f"com.docker.compose.{key}={value}")]
    h.docker("run", "-d", "--name", name_of("stranger"), *given, lab.image(), "sleep", "1000")


def edit(path, old, new):
    def apply(stack, _service):
        whole = stack.base / path
        text = whole.read_text()
        assert re.search(old, text), text
        info = whole.stat()
        whole.write_text(re.sub(old, new, text, count=1))
        os.chown(whole, info.st_uid, info.st_gid)

    return apply


def mode(path, bits):
    return lambda stack, _service: (stack.base / path).chmod(bits)


def delete(path):
    return lambda stack, _service: (stack.base / path).unlink()


def replace_secret(stack, service):
    path = stack.project_path / "secrets" / f"{service}_token"
    path.chmod(0o600)
    path.write_text("somebody-elses-token")
    path.chmod(0o400)


# Two rounds, in each of which nothing has to do with the others: what is done, to what, and what `plan` says of it.
FIRST = {
    "restart policy": (update("--restart=no"), "alpha", "changed by hand", r"restart policy unless-stopped → no"),
    "memory": (update("--memory=64m", "--memory-swap=64m"), "beta", "changed by hand", r"memory limit none → 64 MiB"),
    "processes": (update("--pids-limit=50"), "gamma", "changed by hand", r"process limit 4096 → 50"),
    "network left": (leave_network, "delta", "changed by hand", rf"taken off the network {PROJECT}$"),
    "alias lost": (lose_alias, "epsilon", "changed by hand", rf"names on the network {PROJECT} without epsilon"),
    "renamed": (rename, "zeta", "container", r"its name is \S+-zeta-x, it should be \S+-zeta$"),
    "dead namespace": (restart, "gluetun", "dead namespace", r"dead network"),
    "stranger": (stranger, "stranger", "orphan", r"stranger is no longer wanted"),
    "compose file": (edit("compose/compose.core.yml", "services:", "services: # x"), None, "file", r"somebody edited"),
    "file mode": (mode("compose/.env", 0o644), None, "file", r"another mode or owner"),
    "directory mode": (mode("compose/secrets", 0o755), None, "directory", r"another mode or owner"),
}  # fmt: skip
SECOND = {
    "paused": (lambda stack, service: h.docker("pause", name_of(service)), "alpha", "container", r"it is paused"),
    "stopped": (stop, "beta", "container", r"it is not running"),
    "taken away": (take_away, "gamma", "container", r"there is no container"),
    "another image": (other_image, "delta", "changed by hand", r"Watchtower"),
    "made anew": (run_again, "epsilon", "changed by hand", r"restart policy unless-stopped → no"),
    "secret": (replace_secret, "zeta", "file", r"somebody edited"),
    "preset key": (edit("config/eta/app.ini", "dark", "light"), "eta", "app setting", r"General/Theme"),
    "file deleted": (delete("compose/compose.services.yml"), None, "file", r"it was deleted"),
}
# Whatever else a change brings about: `site` deals with it too.
FOLLOWING = {"gluetun": "qbittorrent"}


class Round:
    """One round: everything done, plan, site, plan."""

    def __init__(self, stack, kinds):
        for apply, service, _kind, _words in kinds.values():
            apply(stack, service)
        self.before = lab.state(stack)
        self.done, self.report = lab.plan(stack)
        self.after = lab.state(stack)
        self.site = stack.play("site", check=False)
        self.then, self.in_the_end = lab.plan(stack)


@pytest.fixture(scope="module")
def first(stack):
    (stack.project_path / "compose.extra.yml").write_text("services: {}\n")
    return Round(stack, FIRST)


@pytest.fixture(scope="module")
def second(stack, first):
    return Round(stack, SECOND)


def test_in_sync_is_empty_and_says_so(stack):
    before = lab.state(stack)
    done, report = lab.plan(stack)
    assert done.returncode == 0 and "1 of 1 hosts in sync" in done.stdout, done.stdout + done.stderr
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    assert report["result"] == "in_sync"
    assert (report["hosts"]["box"]["changes"], report["hosts"]["box"]["diff"]) == ([], "")
    assert {row["service"] for row in report["hosts"]["box"]["images"]} == {"gluetun", "qbittorrent", *lab.OWN}
    assert lab.state(stack) == before
    assert h.changed(stack.play("site")) == 0


@pytest.mark.parametrize(("turn", "name"), [("first", name) for name in FIRST] + [("second", name) for name in SECOND])
def test_every_kind_of_change_by_hand_is_named(request, turn, name):
    found = request.getfixturevalue(turn)
    _apply, service, kind, words = {**FIRST, **SECOND}[name]
    service = FOLLOWING.get(service, service)
    changes = found.report["hosts"]["box"]["changes"]
    hits = [one for one in changes if one["kind"] == kind and re.search(words, one["why"])]
    about = [one for one in hits if service in (None, "stranger", one["service"]) or service in (one["path"] or "")]
    assert about, json.dumps(changes, indent=1)
    assert about[0]["why"].split(" → ")[0] in " ".join(found.done.stdout.split())


@pytest.mark.parametrize("turn", ["first", "second"])
def test_drift_is_exit_code_2_and_nothing_is_touched(request, turn):
    found = request.getfixturevalue(turn)
    assert found.done.returncode == 2, found.done.stdout
    jsonschema.Draft202012Validator(SCHEMA).validate(found.report)
    assert found.report["result"] == "drift" and "0 of 1 hosts in sync" in found.done.stdout
    assert "Traceback" not in found.done.stdout + found.done.stderr
    changed = {key for key in found.before if found.before[key] != found.after.get(key)}
    assert found.before == found.after, changed


@pytest.mark.parametrize("turn", ["first", "second"])
def test_after_site_it_is_empty_again(request, turn):
    found = request.getfixturevalue(turn)
    assert found.site.returncode == 0, found.site.stdout[-3000:] + found.site.stderr
    assert found.then.returncode == 0, found.then.stdout
    assert found.in_the_end["result"] == "in_sync" and found.in_the_end["hosts"]["box"]["changes"] == []


def test_no_secret_is_shown(stack, second):
    secrets = json.loads((stack.project_path / ".mediastack" / "secrets.json").read_text())
    values = [value for value in _texts(secrets) if len(value) >= 16] + [h.WIREGUARD_KEY]
    assert values
    for shown in (second.done.stdout, json.dumps(second.report)):
        assert not [value for value in values if value in shown] and "somebody-elses-token" not in shown


def _texts(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] if isinstance(value, str) else [text for one in inner for text in _texts(one)]


def test_a_file_of_somebody_elses_is_a_note(stack, first):
    path = str(stack.project_path / "compose.extra.yml")
    assert any(path in message for message in first.report["hosts"]["box"]["messages"])
    assert any(path in message for message in first.in_the_end["hosts"]["box"]["messages"])


def test_a_container_that_was_updated_by_hand_stays_and_the_others_do_not_follow(stack, second):
    images = {name: raw["Image"] for name, raw in stack.containers().items()}
    assert images["delta"] != images["alpha"] == images["gamma"]
    assert "delta: changed by hand: image" in second.site.stdout


@pytest.mark.long
def test_a_setting_is_drift_and_says_which(stack, second):
    stack.set(mediastack_timezone="Europe/Berlin")
    try:
        done, report = lab.plan(stack)
        lenient = stack.play("plan", "-e", "fail_on_drift=false", "-e", "output=-", check=False)
    finally:
        stack.set(mediastack_timezone="Etc/UTC")
    assert done.returncode == 2 and report["result"] == "drift"
    assert "TZ: Etc/UTC → Europe/Berlin" in done.stdout
    assert lenient.returncode == 0 and json.loads(lenient.stdout)["result"] == "drift"


@pytest.mark.long
def test_a_hold_is_told_and_is_no_drift(stack, second):
    stack.play("stop", "-e", "service=alpha")
    try:
        done, report = lab.plan(stack)
    finally:
        stack.play("start", "-e", "service=alpha")
    assert done.returncode == 0, done.stdout
    assert [hold["service"] for hold in report["hosts"]["box"]["holds"]] == ["alpha"]
    assert "held: alpha: held stopped since" in done.stdout


# What goes wrong


def with_hosts(stack, **hosts):
    """An inventory of other hosts beside the first one."""
    path = stack.directory / "inventory.yml"
    known = yaml.safe_load(path.read_text())
    known["mediastack"]["hosts"].update(hosts)
    path.write_text(yaml.safe_dump(known))


@pytest.fixture
def unreachable(stack):
    """Variables of a host that nobody answers for."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    return {**stack.variables, "ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": port}


@pytest.mark.long
def test_a_host_that_cannot_be_reached_is_an_error_and_hides_nobody(stack, unreachable):
    with_hosts(stack, far=unreachable)
    try:
        done, report = lab.plan(stack)
        alone, its_report = lab.plan(stack, "--limit", "far")
    finally:
        stack.write()
    assert (done.returncode, alone.returncode) == (4, 4), done.stdout + done.stderr
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    assert report["result"] == its_report["result"] == "error"
    assert report["hosts"]["far"]["unreachable"] and "unreachable" in report["hosts"]["far"]["messages"][0]
    assert report["hosts"]["box"]["result"] in ("in_sync", "drift")
    assert re.search(r"fatal: \[far\]: UNREACHABLE! => .*unreachable", done.stdout), done.stdout


def test_a_wrong_setting_is_an_error_in_the_file(stack):
    stack.set(mediastack_puid="many")
    try:
        done, report = lab.plan(stack)
    finally:
        stack.set(mediastack_puid=1000)
    assert done.returncode == 2 and report["result"] == "error"
    assert "mediastack_puid" in report["hosts"]["box"]["messages"][0] and "mediastack_puid" in done.stdout


def test_a_dead_engine_is_an_error_even_if_drift_is_none(stack):
    done, report = lab.plan(stack, "-e", "fail_on_drift=false", env={"DOCKER_HOST": "unix:///nonexistent/docker.sock"})
    assert done.returncode == 2 and report["result"] == "error", done.stdout
    assert "Docker" in report["hosts"]["box"]["messages"][0]


def test_a_run_that_ends_before_the_first_task_leaves_no_older_report(stack):
    path = stack.directory / "plan.json"
    path.write_text('{"result": "in_sync"}')
    done = stack.play("plan", "-e", f"output={path}", "-e", "mediastack_hosts=nobody", check=False)
    assert done.returncode != 0
    report = json.loads(path.read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    assert report["result"] == "error"


@pytest.mark.parametrize("given", ["output=plan.txt", "outptu=-"])
def test_what_is_wrong_on_the_command_line_is_said(stack, given):
    done = stack.play("plan", "-e", given, check=False)
    assert done.returncode == 2 and given.split("=")[0] in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
