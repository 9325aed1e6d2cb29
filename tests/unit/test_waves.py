# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Batches of hosts: what a play's keywords are, and what is said of a rollout that stopped."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest
from ansible.plugins.loader import lookup_loader
from render_harness import ROOT

SPEC = importlib.util.spec_from_file_location("waves_callback", ROOT / "playbooks/callback_plugins/mediastack_waves.py")
waves = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(waves)
HOSTS = ["nas", "attic", "cellar", "shed"]


def look_up(setting, **registered):
    plugin = lookup_loader.get("homelab.mediastack.waves")
    variables = {"ansible_play_hosts_all": HOSTS, "hostvars": {host: {} for host in ("other", *HOSTS)}}
    for host, settings in registered.items():
        variables["hostvars"][host]["checked"] = {"settings": settings} if settings else {"skipped": True}
    return plugin.run([setting], variables=variables, checked="checked")[0]


def test_the_first_host_of_the_play_decides():
    assert look_up(
        "mediastack_site_serial", attic={"mediastack_site_serial": ["2"]}, shed={"mediastack_site_serial": ["1"]}
    ) == ["2"]


@pytest.mark.parametrize("registered", [{}, {"nas": None}])
def test_one_host_needs_no_check_before(registered):
    assert look_up("mediastack_site_serial", **registered) == ["100%"]
    assert look_up("mediastack_max_fail_percentage", **registered) == 0


class Rollout:
    """The callback, fed as Ansible feeds it."""

    def __init__(self, playbook="site.yml", action="homelab.mediastack.deploy"):
        self.printed, self.action = [], action
        self.callback = waves.CallbackModule()
        self.callback._display = SimpleNamespace(display=lambda text, **_style: self.printed.append(text))
        self.callback.v2_playbook_on_start(SimpleNamespace(_file_name=str(ROOT / "playbooks" / playbook)))
        manager = SimpleNamespace(get_vars=lambda play: {"ansible_play_hosts_all": HOSTS})
        self.callback.v2_playbook_on_play_start(SimpleNamespace(get_variable_manager=lambda: manager))

    def result(self, host, action=None, args=None, once=False, **result):
        task = SimpleNamespace(action=action or self.action, args=args or {}, run_once=once)
        return SimpleNamespace(_host=SimpleNamespace(get_name=lambda: host), _task=task, _result=result)

    def end(self):
        self.callback.v2_playbook_on_stats(None)
        return "\n".join(self.printed)


def test_a_stopped_rollout_says_who_has_what():
    rollout = Rollout()
    rollout.callback.v2_runner_on_ok(rollout.result("nas"))
    rollout.callback.v2_runner_on_failed(rollout.result("attic", msg="1 of 3 not healthy: attic/sonarr\nmore"))
    gone = rollout.result("cellar", msg="cellar cannot be reached: no route", cannot_reach=True)
    rollout.callback.v2_runner_on_failed(gone)
    assert rollout.end().splitlines() == [
        "4 hosts: 1 done, 1 failed, 1 not reached, 1 untouched",
        "  done         nas",
        "  failed       attic: 1 of 3 not healthy: attic/sonarr",
        "  not reached  cellar: no route",
        "  untouched    shed",
    ]


def test_a_reason_that_is_a_list_names_its_first_entry():
    rollout = Rollout()
    rollout.callback.v2_runner_on_failed(
        rollout.result("nas", msg="1 of 2 services failed:\n- sonarr: crash loop\n- x")
    )
    assert "  failed       nas: 1 of 2 services failed: sonarr: crash loop" in rollout.end().splitlines()


def test_an_update_that_went_back_failed_although_its_task_did_not():
    rollout = Rollout("update.yml", "homelab.mediastack.update")
    rollout.callback.v2_runner_on_ok(rollout.result("nas", args={"step": "survey"}))
    rollout.callback.v2_runner_on_ok(rollout.result("attic", args={"step": "prepare"}))
    rollout.callback.v2_runner_on_ok(rollout.result("nas", trouble="rolled back: sonarr"))
    rollout.callback.v2_runner_on_failed(rollout.result("nas", "ansible.builtin.fail", msg="rolled back: sonarr"))
    assert "1 failed, 3 untouched" in rollout.end() and "nas: rolled back: sonarr" in rollout.end()


@pytest.mark.parametrize("outcome", ["v2_runner_on_ok", "v2_runner_on_skipped", "v2_runner_on_failed"])
def test_nothing_is_said_where_all_hosts_came_out_alike(outcome):
    rollout = Rollout()
    for host in HOSTS:
        getattr(rollout.callback, outcome)(rollout.result(host, msg="x"))
    assert rollout.end() == ""


def test_what_fails_for_all_hosts_is_no_fault_of_the_first():
    rollout = Rollout("update.yml", "homelab.mediastack.update")
    for host in HOSTS:
        rollout.callback.v2_runner_on_ok(rollout.result(host))
    rollout.callback.v2_runner_on_failed(rollout.result("nas", "ansible.builtin.fail", once=True, msg="held back"))
    assert rollout.end() == ""


def test_nothing_is_said_of_other_playbooks():
    rollout = Rollout("status.yml")
    rollout.callback.v2_runner_on_failed(rollout.result("nas", msg="x"))
    assert rollout.end() == ""
