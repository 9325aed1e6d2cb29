# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program around a repair: a VPN that is to stay off, patience, and what is printed."""

from __future__ import annotations

import argparse
import io
import json

import pytest
from test_vpn_verbs import Host, host, server  # noqa: F401 (fixtures)

from ansible_collections.homelab.mediastack.plugins.module_utils import holds, repair_cli, stack

RUN = stack.run
OPTIONS = argparse.Namespace(check=False, wait_timeout=5.0, lock_timeout=1.0)
ROLES = """\
[[roles]]
name = "mediastack"
routes = ["GET /v1/version", "GET /v1/vpn/status"]
auth = "apikey"
apikey = "reads"

[[roles]]
name = "mediastack-control"
routes = ["PUT /v1/vpn/status"]
auth = "apikey"
apikey = "changes"
"""


@pytest.fixture
def rebooted(host, monkeypatch):  # noqa: F811
    """A host whose VPN somebody had stopped; gluetun's container has been started since, and it connected."""
    (host.path / ".env").write_text('COMPOSE_PROJECT_NAME="media"\n')
    holds.record(str(host.path), [holds.VPN], holds.VPN_STOP, "anna@laptop", "vpn_stop", now=0)
    monkeypatch.setattr(stack, "run", RUN)
    return host


def attempt(host, **changes):  # noqa: F811
    options = argparse.Namespace(**{**vars(OPTIONS), **changes})
    return repair_cli.attempt(options, str(host.path), host)


def test_a_held_vpn_is_stopped_again(rebooted):
    record = rebooted.held()
    result, error = attempt(rebooted)
    assert error is None and result["changed"]
    assert rebooted.control.vpn == "stopped" and rebooted.held() == record
    assert len(result["actions"]) == 1
    assert result["actions"][0].startswith("disconnect the VPN: the VPN is held stopped since ")
    assert result["left"].keys() == {"qbittorrent"}
    again, error = attempt(rebooted)
    assert error is None and not again["changed"] and again["actions"] == again["messages"] == []


def test_a_held_vpn_in_check_mode(rebooted):
    result, error = attempt(rebooted, check=True)
    assert error is None and result["changed"] and len(result["actions"]) == 1
    assert rebooted.control.vpn == "running"


def test_keys_that_the_inventory_gives_stand_in_gluetuns_own_file_alone(rebooted, tmp_path):
    rebooted.store({})
    result, error = attempt(rebooted)
    assert "this host has no gluetun_api_key yet" in error and rebooted.control.vpn == "running"
    assert error.startswith("the VPN is to stay off (vpn_stop), but it could not be stopped: ")
    (tmp_path / "gluetun" / "auth").mkdir(parents=True)
    (tmp_path / "gluetun" / "auth" / "mediastack.toml").write_text(ROLES)
    rebooted.containers["gluetun"]["Mounts"][0]["Source"] = str(tmp_path / "gluetun")
    _result, error = attempt(rebooted)
    assert error is None and rebooted.control.vpn == "stopped"


def test_a_vpn_that_nobody_stopped_is_not_asked(rebooted):
    holds.clear(str(rebooted.path), [holds.VPN])
    rebooted.store({})
    assert attempt(rebooted) == ({"changed": False, "actions": [], "messages": [], "left": {}}, None)
    assert rebooted.control.vpn == "running"


def test_a_gluetun_that_is_down_is_not_started_to_be_stopped(rebooted):
    rebooted.containers["gluetun"]["State"]["Status"] = "exited"
    result, error = attempt(rebooted)
    assert error is None and not result["changed"]


class Attempts:
    """Answers of `attempt`, in order, the last one for ever; and what was printed."""

    def __init__(self, monkeypatch, *answers):
        self.answers, self.slept = list(answers), []
        monkeypatch.setattr(repair_cli, "attempt", self.attempt)
        self.out, self.err = io.StringIO(), io.StringIO()

    def attempt(self, _options, _path):
        actions, error = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return {"changed": bool(actions), "actions": actions, "messages": [], "left": {}}, error

    def main(self, *arguments):
        return repair_cli.main(list(arguments), "/srv/x", self.out, self.err, self.slept.append)


def test_once_without_patience(monkeypatch):
    given = Attempts(monkeypatch, ([], "the engine does not answer"))
    assert given.main() == 1
    assert (given.out.getvalue(), given.err.getvalue()) == ("", "mediastack-repair: the engine does not answer\n")
    assert given.slept == []


def test_patience_says_the_same_thing_once_and_all_that_was_done(monkeypatch):
    given = Attempts(
        monkeypatch, ([], "no engine"), ([], "no engine"), (["start gluetun: x"], "unhealthy"), (["y"], None)
    )
    assert given.main("--patience", "600") == 0
    assert given.out.getvalue() == "start gluetun: x\ny\n"
    assert given.err.getvalue() == "not yet: no engine\nnot yet: unhealthy\n"
    assert given.slept == [5.0] * 3


def test_check_says_would_and_its_return_code_tells(monkeypatch):
    given = Attempts(monkeypatch, (["restart sabnzbd: x"], None))
    assert given.main("--check") == 3 and given.out.getvalue() == "would restart sabnzbd: x\n"
    assert Attempts(monkeypatch, ([], None)).main("--check") == 0


def test_json(monkeypatch):
    given = Attempts(monkeypatch, (["a"], "b"))
    assert given.main("--json") == 1
    assert json.loads(given.out.getvalue()) == {
        "actions": ["a"], "changed": True, "failed": True, "left": {}, "messages": [], "msg": "b",
    }  # fmt: skip


@pytest.mark.parametrize("value", ["-1", "x", "1e9", "nan"])
def test_nonsense_in_seconds_is_refused(monkeypatch, value, capsys):
    with pytest.raises(SystemExit) as caught:
        Attempts(monkeypatch, ([], None)).main("--patience", value)
    assert caught.value.code == 2 and "--patience" in capsys.readouterr().err


def test_damaged_holds_are_told_as_such(rebooted):
    (rebooted.path / ".mediastack" / "holds.json").write_text("{")
    _result, error = attempt(rebooted)
    assert error.startswith(f"{rebooted.path}/.mediastack/holds.json is not JSON") and "VPN" not in error
