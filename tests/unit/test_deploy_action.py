# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action deploy: which services a verb is about, what is handed to the module, what the user is told."""

from __future__ import annotations

import json
from types import SimpleNamespace
from unittest import mock

import pytest
import render_harness as h
from ansible import context
from ansible.errors import AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader
from ansible.utils.context_objects import CLIArgs
from ansible.utils.vars import load_extra_vars

from ansible_collections.homelab.mediastack.plugins.action import deploy
from ansible_collections.homelab.mediastack.plugins.plugin_utils import deployment
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

OFF = {"mediastack_vpn_enabled": False, "mediastack_profiles": [], "mediastack_bind_addresses": ["127.0.0.1"]}


class Run:
    """One run of the action on a fake host, with what it handed over and printed."""

    def __init__(
        self,
        monkeypatch,
        tmp_path,
        task_args=None,
        extra_vars=None,
        answer=None,
        check=False,
        looked=None,
        reached=True,
        **variables,
    ):
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
        arguments = {"extra_vars": tuple(f"{name}={value}" for name, value in (extra_vars or {}).items())}
        monkeypatch.setattr(context, "CLIARGS", CLIArgs(arguments))
        monkeypatch.setattr(load_extra_vars, "extra_vars", None, raising=False)
        self.printed = []
        monkeypatch.setattr(deploy.display, "display", lambda text, **_style: self.printed.append(text))
        task = SimpleNamespace(
            args=task_args or {},
            async_val=0,
            check_mode=check,
            diff=False,
            no_log=False,
            environment=None,
            action="deploy",
        )
        templar = h.templar()
        action = deploy.ActionModule(
            task=task,
            connection=mock.Mock(),
            play_context=mock.Mock(),
            loader=DataLoader(),
            templar=templar,
            shared_loader_obj=mock.Mock(),
        )
        self.calls, self.looks = [], []

        def execute(module_name, module_args, task_vars):
            if not reached:
                raise AnsibleConnectionFailure("connect to host nas port 22: No route to host")
            if module_name == deploy.LOOK:
                self.looks.append(module_args["request"])
                return looked or {"differs": True}
            self.calls.append((module_name, module_args))
            said = answer(module_args) if callable(answer) else answer or {}
            return dict({"changed": True, "invocation": {"module_args": module_args}}, **said)

        action._execute_module = execute
        variables = {"inventory_hostname": "nas", "inventory_dir": str(tmp_path), **OFF, **variables}
        self.result = action.run(task_vars={**variables, "hostvars": {"nas": variables}})

    @property
    def args(self):
        return self.calls[0][1]

    @property
    def bundle(self):
        return json.loads(self.args["bundle"])


@pytest.fixture
def run(monkeypatch, tmp_path):
    return lambda *arguments, **named: Run(monkeypatch, tmp_path, *arguments, **named)


def test_site_hands_everything_over_in_one_module_execution(run):
    done = run()
    assert [name for name, _args in done.calls] == ["homelab.mediastack.compose_stack"]
    assert done.args["state"] == "present"
    assert done.args["project_path"] == "/srv/mediastack/compose"
    assert done.args["project_name"] == "homelab-mediastack"
    assert (done.args["services"], done.args["remove_orphans"]) == ([], True)
    assert (done.args["pull"], done.args["wait_timeout"]) == ("missing", 300)
    assert "sonarr" in done.bundle["services"]


def test_a_host_that_matches_is_only_looked_at(run):
    """The look brings half of the code: what most runs end with is to be quick."""
    done = run(looked={"differs": False, "messages": [], "actions": []})
    assert not done.calls
    assert len(done.looks) == 1 and "sonarr" in json.loads(done.looks[0]["bundle"])["services"]
    assert not done.result.get("failed")
    assert "differs" not in run().result


@pytest.mark.parametrize("how", [{"check": True}, {"task_args": {"verb": "stop"}}, {"task_args": {"state": "pulled"}}])
def test_what_a_look_cannot_tell_is_left_to_the_whole_module(run, how):
    done = run(**how)
    assert not done.looks and len(done.calls) == 1


def test_a_look_that_was_killed_is_no_answer(run):
    done = run(looked={"rc": 137, "module_stdout": "", "failed": True})
    assert len(done.looks) == len(done.calls) == 1


def test_an_unreachable_host_is_a_failed_one_so_that_a_rollout_counts_it(run):
    result = run(reached=False).result
    assert result["failed"] is True and not result.get("unreachable")
    assert result["msg"].startswith("nas cannot be reached: connect to host nas port 22")


def test_the_bundle_is_text_so_that_ansible_does_not_hide_every_word_of_it(run):
    assert isinstance(run().args["bundle"], str)


def test_the_result_has_what_comes_next_and_no_arguments(run):
    result = run().result
    assert "invocation" not in result
    assert result["project"] == {"name": "homelab-mediastack", "path": "/srv/mediastack/compose"}
    assert result["settings"]["mediastack_engine_install"] is True
    assert {"sonarr", "qbittorrent"} <= {service["name"] for service in result["health_services"]}


def test_messages_are_printed_once_and_only_when_something_was_done(run):
    done = run(answer={"messages": ["VPN OFF: torrents use your own address", "gluetun was restarted"]})
    assert done.printed == ["nas: VPN OFF: torrents use your own address", "nas: gluetun was restarted"]
    assert run(answer={"engine_missing": True}).printed == []


def test_check_mode_says_what_would_be_done_and_a_real_run_what_it_took_away(run):
    """`stop --check` said `changed` and nothing else, and `site` took containers away without a word."""
    actions = ["remove readarr: readarr is no longer wanted", "stop sonarr: asked for", "stop radarr: asked for"]

    def said(**answer):
        done = run(answer=answer, check=answer.pop("check", False))
        return [line for line in done.printed if "VPN OFF" not in line]

    assert said(actions=actions, check=True) == [
        "nas: would remove readarr: readarr is no longer wanted",
        "nas: would stop sonarr, radarr: asked for",
    ]
    assert said(actions=actions) == ["nas: removed readarr: readarr is no longer wanted"]
    assert said(actions=actions, failed=True) == []


def test_options_of_the_task_win_over_settings(run):
    done = run({"pull": "always", "recreate": "always", "engine_missing_ok": True}, mediastack_lock_timeout=7)
    assert (done.args["pull"], done.args["recreate"], done.args["lock_timeout"]) == ("always", "always", 7)
    assert done.args["engine_missing_ok"] is True


def test_pulled_renders_too(run):
    assert "sonarr" in run({"state": "pulled"}).bundle["services"]


# -- names


def test_start_is_about_what_is_named_and_what_it_depends_on(run):
    done = run({"verb": "start"}, {"service": "qbittorrent"}, mediastack_vpn_enabled=True, **h.VPN)
    assert done.args["services"] == ["gluetun", "qbittorrent"]
    assert done.args["remove_orphans"] is False
    assert "sonarr" in done.bundle["services"], "the files hold the whole stack all the same"
    assert [service["name"] for service in done.result["health_services"]] == ["gluetun", "qbittorrent"]


def test_start_of_something_new_adds_it_and_says_how_to_keep_it(run):
    done = run({"verb": "start"}, {"profiles": "music"})
    assert done.args["services"] == ["lidarr"]
    assert (
        "nas: lidarr is not in the inventory: it is held started until you stop it; "
        "to keep it for good, write mediastack_services: {lidarr: true}" in done.printed
    )
    assert done.args["holds"]["extra"] == ["lidarr"]


def test_an_app_means_all_of_its_services_with_what_they_require(run):
    done = run({"verb": "start", "services": ["authentik"]})
    assert done.args["services"] == ["authentik-server", "authentik-worker", "authentik-postgresql"]
    one = run({"verb": "start", "services": ["authentik-postgresql"]})
    assert one.args["services"] == ["authentik-postgresql"]


def test_who_asks_for_what_goes_along(run):
    holds = run({"verb": "stop"}, {"service": "sonarr,radarr"}).args["holds"]
    assert (holds["verb"], holds["why"], holds["release"]) == ("stop", "stop service=sonarr,radarr", False)
    assert "@" in holds["who"]
    assert run(None, {"release_holds": "yes"}).args["holds"]["release"] is True
    assert run({"release_holds": True}).args["holds"]["release"] is True
    assert "holds" not in run({"state": "absent"}).args


def test_what_is_held_started_on_the_host_is_rendered_too(run):
    def answer(arguments):
        lacking = [name for name in ("lidarr", "gone") if name not in json.loads(arguments["bundle"])["services"]]
        return {"render_also": [name for name in lacking if name not in arguments["holds"]["unknown"]]}

    done = run(answer=answer)
    assert len(done.calls) == 2
    assert "lidarr" not in json.loads(done.calls[0][1]["bundle"])["services"]
    again = done.calls[1][1]
    assert "lidarr" in json.loads(again["bundle"])["services"]
    assert (again["holds"]["extra"], again["holds"]["unknown"]) == (["lidarr"], ["gone"])
    assert again["services"] == [] and again["remove_orphans"] is True
    assert "lidarr" in {service["name"] for service in done.result["health_services"]}


def test_a_host_whose_holds_never_settle_is_an_error(run):
    done = run(answer=lambda _arguments: {"render_also": ["lidarr"]})
    assert len(done.calls) == 4
    assert done.result["failed"] and "lidarr" in done.result["msg"]


def test_a_host_whose_clock_is_years_ahead_is_told_so_at_once(run):
    """It refuses every certificate that is made for it."""
    tls = {"mediastack_profiles": ["proxy"], "mediastack_domain": "home.example.org"}

    def answer(arguments):
        from ansible_collections.homelab.mediastack.plugins.module_utils import certificate_terms

        specs = json.loads(arguments["bundle"])["secrets"]
        try:
            certificate_terms.settle(specs, {}.get, 4102444800)
        except certificate_terms.CertificatesDue as due:
            return {"issue": due.wanted}
        return {}

    done = run(answer=answer, **tls)
    assert len(done.calls) == 2 and done.result["failed"]
    said = done.result["msg"]
    assert said.startswith("ingress_ca, ingress_certificate: a certificate that was made just now does not hold long")
    assert "clock says 2100-01-01 00:00 UTC" in said and "timedatectl set-ntp true" in said


@pytest.mark.parametrize(("verb", "state"), [("stop", "stopped"), ("restart", "restarted")])
def test_stop_and_restart_render_nothing(run, verb, state):
    done = run({"verb": verb}, {"service": "sonarr,radarr"})
    assert "bundle" not in done.args
    assert (done.args["state"], done.args["services"]) == (state, ["radarr", "sonarr"])
    assert done.args["remove_orphans"] is False
    assert "health_services" not in done.result
    assert run({"verb": verb}).args["services"] == []
    assert run({"verb": verb}, {"profiles": "plex"}).args["services"] == ["plex", "tautulli", "seerr"]


def test_a_host_variable_called_service_means_nothing(run):
    assert run({"verb": "stop"}, service="sonarr").args["services"] == []


# -- failures: nothing is executed, one readable text


def failure(done):
    assert done.calls == []
    assert done.result["failed"] is True and done.result["changed"] is False
    assert "Traceback" not in done.result["msg"]
    return done.result["msg"]


def test_a_wrong_name_on_the_command_line(run):
    assert "Did you mean sonarr?" in failure(run({"verb": "start"}, {"service": "sonar"}))
    assert "Did you mean music?" in failure(run({"verb": "stop"}, {"profiles": "musik"}))
    assert "Did you mean sonarr?" in failure(run({"verb": "stop", "services": ["sonar"]}))


def test_wrong_settings(run):
    assert "mediastack_puid" in failure(run(mediastack_puid="x"))


def test_gluetun_cannot_be_started_with_the_vpn_off(run):
    message = failure(run({"verb": "start", "services": ["gluetun"]}))
    assert (
        message
        == "Nothing was touched: gluetun runs exactly when the VPN is on; set mediastack_vpn_enabled: true to start it"
    )


def test_wrong_service_files_are_all_named(run, tmp_path):
    own = tmp_path / "services"
    own.mkdir()
    for name in ("one", "two"):
        (own / f"{name}.yml.j2").write_text(f"services: {{{name}: {{x-mediastack: {{titel: X, profiles: [always]}}}}}}")
    message = failure(run())
    assert message.startswith("Nothing was touched: 4 problems.\n  - ")
    assert "one.yml.j2: one: x-mediastack.titel is unknown. Did you mean title?" in message
    assert "two.yml.j2: two: image is missing" in message


def test_one_problem_is_one_line():
    assert deployment.failure(RenderError("it is wrong")) == "Nothing was touched: it is wrong"
