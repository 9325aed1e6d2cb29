# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The actions plan and plan_report: one look at a host that never fails, and the verdict that does."""

from __future__ import annotations

import importlib.util
import json
import pathlib
from types import SimpleNamespace
from unittest import mock

import pytest
import render_harness as h
from ansible import context
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader
from ansible.utils.context_objects import CLIArgs
from ansible.utils.vars import load_extra_vars

from ansible_collections.homelab.mediastack.plugins.action import deploy, plan, plan_report
from ansible_collections.homelab.mediastack.plugins.plugin_utils import plan_model

OFF = {"mediastack_vpn_enabled": False, "mediastack_profiles": [], "mediastack_bind_addresses": ["127.0.0.1"]}
CALLBACK = pathlib.Path(__file__).parents[2] / "playbooks" / "callback_plugins" / "mediastack_output.py"


def action(kind, args=None, diff=False, check=False):
    task = SimpleNamespace(args=args or {}, async_val=0, check_mode=check, diff=diff, no_log=False, action="x")
    task.environment = None
    return kind.ActionModule(
        task=task,
        connection=mock.Mock(),
        play_context=mock.Mock(),
        loader=DataLoader(),
        templar=h.templar(),
        shared_loader_obj=mock.Mock(),
    )


@pytest.fixture
def look(monkeypatch, tmp_path):
    """Runs the action plan on a fake host: (result, [(arguments of the module, check mode)])."""

    def run(answer=None, extra_vars=None, **variables):
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
        given = {"extra_vars": tuple(f"{name}={value}" for name, value in (extra_vars or {}).items())}
        monkeypatch.setattr(context, "CLIARGS", CLIArgs(given))
        monkeypatch.setattr(load_extra_vars, "extra_vars", None, raising=False)
        monkeypatch.setattr(deploy.display, "display", lambda *_args, **_style: pytest.fail("plan says nothing itself"))
        made, calls = action(plan), []

        def execute(module_name, module_args, task_vars):
            calls.append((module_name, module_args, made._task.check_mode))
            if isinstance(answer, Exception):
                raise answer
            return {"changed": False, "invocation": {"module_args": module_args}, **(answer or {})}

        made._execute_module = execute
        task_vars = {"inventory_hostname": "nas", "inventory_dir": str(tmp_path), **OFF, **variables}
        return made.run(task_vars=task_vars), calls

    return run


def test_it_is_what_site_predicts_in_one_call_in_check_mode(look):
    result, calls = look({"services": {}})
    [(module, arguments, check)] = calls
    assert module == "homelab.mediastack.compose_stack" and check
    assert (arguments["state"], arguments["remove_orphans"], arguments["holds"]["verb"]) == ("present", True, "site")
    assert not result["changed"] and result["plan"]["result"] == "in_sync"
    assert result["args"] == {"output": "", "fail_on_drift": True}
    assert "secrets" not in json.dumps(result)


def test_extra_vars_of_site_do_not_count(look):
    result, [(_module, arguments, _check)] = look({"services": {}}, {"release_holds": "true", "retry_failed": "true"})
    assert not arguments["holds"]["release"] and not arguments.get("retry_failed")
    assert any("release_holds" in message and "no effect" in message for message in result["plan"]["messages"])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"failed": True, "msg": "the port 80 is taken"}, "the port 80 is taken"),
        ({"failed": True, "exception": "Traceback\nValueError: x"}, "ValueError: x"),
        ({"engine_missing": True, "engine_missing_reason": "daemon"}, "the Docker Engine on this host does not answer"),
    ],
)
def test_what_the_host_refuses_is_an_error(look, answer, words):
    result, _calls = look(answer)
    assert result["plan"]["result"] == "error" and result["plan"]["messages"][0].startswith(words)
    assert not result.get("failed") and "unreachable" not in result["plan"]


def test_a_host_that_cannot_be_reached(look):
    result, _calls = look(AnsibleConnectionFailure("no route to host\nand more"))
    assert result["plan"] == plan_model.trouble("unreachable: no route to host", unreachable=True)


def test_a_wrong_setting_and_a_wrong_extra_var_are_errors(look):
    result, calls = look(mediastack_puid="many", extra_vars={"output": "plan.json"})
    assert calls == [] and "mediastack_puid" in result["plan"]["messages"][0]
    assert result["args"]["output"] == "plan.json", "the file is written all the same"
    result, calls = look(extra_vars={"fail_on_drift": "perhaps"})
    assert calls == [] and "fail_on_drift" in result["plan"]["messages"][0]
    assert result["args"] == {"output": "", "fail_on_drift": True}


def test_what_site_refuses_to_carry_is_an_error(look, tmp_path):
    """A file with a secret in plain text that everybody reads; its value is shown by nobody."""
    tmp_path.chmod(0o755)
    path = tmp_path / "hosts.yml"
    path.write_text("mediastack: {hosts: {nas: {mediastack_secrets: {sonarr_api_key: not-to-be-shown}}}}\n")
    path.chmod(0o644)
    with mock.patch("ansible_collections.homelab.mediastack.plugins.plugin_utils.secret_files._others_read") as others:
        others.side_effect = lambda name: name == str(path)
        result, calls = look(ansible_inventory_sources=[str(path)])
    assert calls == [] and result["plan"]["result"] == plan_model.ERROR
    [message] = result["plan"]["messages"]
    assert f"{path} holds mediastack_secrets in plain text, and every user" in message and "not-to-be" not in message


# The report


HOSTS = {
    "nas": {"result": "in_sync", "changes": [], "images": [], "holds": [], "messages": [], "diff": ""},
    "attic": dict(plan_model.trouble("x"), result="drift", changes=[plan_model.change("other", "do it")], messages=[]),
    "far": plan_model.trouble("unreachable: no route", unreachable=True),
    "wrong": plan_model.trouble("Nothing was touched: a"),
    "wrong2": plan_model.trouble("Nothing was touched: a"),
}


class Vars(dict):
    """What Ansible gives of other hosts."""

    def raw_get(self, name):
        return {"found": {"plan": HOSTS[name]}}


def told(host="nas", hosts=HOSTS, diff=False, **args):
    task_vars = {"inventory_hostname": host, "hostvars": Vars(), "ansible_play_hosts_all": list(hosts)}
    return action(plan_report, {"variable": "found", **args}, diff).run(task_vars=task_vars)


@pytest.fixture
def printed(monkeypatch):
    lines = []
    monkeypatch.setattr(plan_report.display, "display", lambda text, **_style: lines.append(text))
    return lines


def test_the_report_is_printed_and_written_and_does_not_fail(printed, tmp_path):
    path = tmp_path / "plan.json"
    result = told(output=str(path))
    assert not result.get("failed") and result["result"] == "error"
    assert json.loads(path.read_text())["hosts"] == HOSTS
    assert printed[0].endswith(result["msg"]) and printed[1] == f"report: {path}"


def test_only_the_json(printed):
    told(output="-")
    [text] = printed
    assert json.loads(text)["hosts"] == HOSTS


def test_a_file_that_cannot_be_written(printed, tmp_path):
    with pytest.raises(AnsibleActionFail, match="output"):
        told(output=str(tmp_path / "plan.txt"))


def test_a_file_that_fails_at_the_end_keeps_no_other_from_the_report(printed, tmp_path, monkeypatch):
    bad, good, write = tmp_path / "bad.json", tmp_path / "good.json", plan_report.report_files.write

    def fail(path, text):
        if path == str(bad):
            raise plan_report.report_files.OutputError(f'"{path}" cannot be written: No space left on device')
        write(path, text)

    monkeypatch.setattr(plan_report.report_files, "write", fail)
    result = told(output=f"{bad},{good}")
    assert result["failed"] is True
    assert f'output: "{bad}" cannot be written' in result["msg"]
    assert json.loads(good.read_text())["hosts"] == HOSTS


@pytest.mark.parametrize(
    ("host", "state", "message"),
    [
        ("nas", None, "in sync"),
        ("attic", "failed", "1 change"),
        ("far", "unreachable", "unreachable: no route"),
        ("wrong", "failed", "Nothing was touched: a"),
    ],
)
def test_the_verdict_is_each_hosts_own(printed, host, state, message):
    result = told(host, verdict=True)
    assert [key for key in ("failed", "unreachable") if result.get(key)] == ([state] if state else [])
    assert result["msg"] == message and printed == []


def test_drift_may_pass_and_errors_may_not(printed):
    assert not told("attic", verdict=True, fail_on_drift=False)["failed"]
    assert told("wrong", verdict=True, fail_on_drift=False)["failed"]


def test_the_same_words_are_said_of_one_host(printed):
    result = told("wrong2", verdict=True)
    assert result["failed"] and result["said_of"] == "wrong"


def test_until_the_report_comes_the_file_says_error(tmp_path):
    spec = importlib.util.spec_from_file_location("mediastack_output", CALLBACK)
    callback = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(callback)
    path = tmp_path / "plan.json"
    path.write_text('{"result": "in_sync"}')
    callback.begin_report(f"-,{path}")
    assert json.loads(path.read_text())["result"] == "error"
    callback.begin_report(str(tmp_path / "nowhere" / "plan.json"))
    callback.begin_report("")
    path.write_text('{"result": "in_sync"}')
    callback.begin_report(f"{tmp_path / 'nowhere' / 'plan.json'}, {path}, plan.txt")
    assert json.loads(path.read_text())["result"] == "error"
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.json"]
