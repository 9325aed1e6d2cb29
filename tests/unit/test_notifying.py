# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run that tells what it found: with the record on the host, with a host that is away, with secrets."""

from __future__ import annotations

import json
import types

import notify_servers
import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.homelab.mediastack.plugins.module_utils import notify_state
from ansible_collections.homelab.mediastack.plugins.plugin_utils import notify_teller, notifying, settings

SECRET = "hunter2hunter2"  # noqa: S105 (made up)


class Action:
    """An action whose module runs here, on a directory that stands for the host."""

    def __init__(self, project, check=False):
        self._task = types.SimpleNamespace(check_mode=check)
        self.project, self.runs, self.away = project, 0, False

    def _execute_module(self, module_name, module_args, task_vars):
        assert module_name == notify_teller.MODULE and task_vars["inventory_hostname"] == "nas"
        assert not self._task.check_mode
        # What crosses to the host is JSON, and no address.
        text = json.dumps(module_args)
        assert "json://" not in text and SECRET not in text
        self.runs += 1
        if self.away:
            raise AnsibleConnectionFailure("no route to host")
        store = notify_state.Store(str(self.project))
        if module_args["state"] == "commit":
            store.commit(module_args["outcomes"], module_args["claim"])
            return {}
        findings, channels = module_args["findings"], module_args["channels"]
        return {"due": store.compare(findings, channels, module_args["events"], module_args["claim"])}


@pytest.fixture
def hooks():
    made = notify_servers.Hooks()
    yield made
    made.down()


@pytest.fixture
def run(tmp_path, hooks, monkeypatch):
    """Runs: `tell(status rows…)` and `away(reason)`; `values` and `action` can be changed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(notifying.context, "CLIARGS", {})
    warned = []
    monkeypatch.setattr(notify_teller.display, "warning", warned.append)
    project = tmp_path / "host"
    project.mkdir()
    urls = [f"json://anna:{SECRET}@127.0.0.1:{hooks.port}/hook"]
    given = {"mediastack_vpn_enabled": False, "mediastack_notify_urls": urls, "mediastack_admin_user": "admin"}
    values = settings.resolve(given, environ={}).values
    world = types.SimpleNamespace(values=values, action=Action(project), warned=warned, hooks=hooks)
    task_vars = {"inventory_hostname": "nas", "inventory_dir": "/inventory", "my_api_key": "abcdef0123456789"}

    def tell(message="", status="UNHEALTHY"):
        rows = [{"name": "sonarr", "title": "Sonarr", "status": status, "message": message}]
        rows.append({"name": "radarr", "title": "Radarr", "status": "HEALTHY", "message": ""})
        return notifying.tell(world.action, task_vars, world.values, "of_status", {"services": rows})

    world.tell = tell
    world.away = lambda reason: notifying.unreachable(world.action, task_vars, world.values, reason)
    return world


def test_one_message_a_change_and_one_module_run_without_one(run):
    assert run.tell() == 1
    assert run.action.runs == 2
    assert run.tell() == 0
    assert run.action.runs == 3
    assert run.tell(status="HEALTHY") == 1
    assert [title for title, _text in run.hooks.take()] == ["nas: Sonarr: UNHEALTHY", "nas: Sonarr recovered"]


def test_without_addresses_nothing_is_done(run):
    run.values["mediastack_notify_urls"] = []
    assert run.tell() == 0 and run.action.runs == 0


def test_check_mode_tells_nothing(run, monkeypatch):
    run.action._task.check_mode = True
    assert run.tell() == 0
    # The task of `plan` is in check mode by itself.
    run.action.ONLY_LOOKS = True
    assert run.tell() == 1 and run.action._task.check_mode
    monkeypatch.setattr(notifying.context, "CLIARGS", {"check": True})
    assert run.tell(status="HEALTHY") == 0


def test_secrets_of_the_host_and_addresses_are_not_in_a_message(run):
    run.tell(f"key abcdef0123456789 refused at http://anna:{SECRET}@x from 84.12.3.4 ")
    [(title, text)] = run.hooks.take()
    for secret in ("abcdef0123456789", SECRET, "84.12.3.4"):
        assert secret not in title + text
    assert "refused" in text


def test_a_dead_server_is_a_warning_without_its_secrets_and_is_told_next_time(run):
    run.hooks.down()
    assert run.tell() == 0
    [warning] = run.warned
    assert "json to 127.0.0.1" in warning and SECRET not in warning
    run.hooks.up()
    assert run.tell() == 1 and run.tell() == 0


def test_a_host_that_is_away_is_told_once_and_so_is_its_return(run):
    run.away("ssh: no route to host")
    run.away("ssh: timed out")
    assert run.action.runs == 0
    run.tell(status="HEALTHY")
    run.tell(status="HEALTHY")
    titles = [title for title, _text in run.hooks.take()]
    assert titles == ["nas: the host: cannot be asked: ssh: no route to host", "nas: the host recovered"]


def test_a_host_that_is_lost_meanwhile_ends_no_run(run):
    run.action.away = True
    assert run.tell() == 0
    assert len(run.warned) == 1 and "lost" in run.warned[0]


def test_whatever_goes_wrong_is_said_without_its_words(run, monkeypatch):
    def broken(*_arguments):
        raise ValueError(SECRET)

    monkeypatch.setattr(notify_teller.notify_send, "send", broken)
    assert run.tell() == 0
    assert "ValueError" in run.warned[0] and SECRET not in run.warned[0]


def test_two_controllers_tell_it_once_between_them(run, tmp_path, monkeypatch):
    assert run.tell() == 1
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    assert run.tell() == 0
