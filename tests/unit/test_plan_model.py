# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of `plan`: from what compose_stack predicts to changes, and as text."""

from __future__ import annotations

import datetime
import json
import pathlib

import jsonschema
import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import plan_model, plan_text

SCHEMA = json.loads((pathlib.Path(__file__).parents[2] / "docs" / "plan.schema.json").read_text())
NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
PATH = "/srv/mediastack/compose"
DIGEST, NEWER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
COMPOSE = f"{PATH}/compose.media.yml"


def service(action="none", *reasons, state="running", **more):
    known = {"image": "app:1", "digest": DIGEST, "image_id": "sha256:" + "c" * 64}
    return {"action": action, "reasons": list(reasons), "state": state, **known, **more}


def bundle(*names, locked=DIGEST, **more):
    lock = {"image": "app:1", "digest": locked, "created": "2026-11-11T10:00:00Z"} if locked else None
    return {"services": {name: {"image": "app:1", "locked": lock} for name in names}, "messages": [], **more}


def section(path, before, after, header=None):
    return {"before_header": path, "after_header": header or path, "before": before, "after": after}


def host(names=("sonarr",), locked=DIGEST, more=None, messages=(), **result):
    result.setdefault("services", {name: service() for name in names})
    return plan_model.host(result, bundle(*names, locked=locked, **(more or {})), messages, NOW)


def report(**hosts):
    found = plan_model.report({name: {"plan": plan} for name, plan in hosts.items()})
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    return found


def text(**hosts):
    return "\n".join(plan_text.lines(report(**hosts)))


def only(plan):
    [change] = plan["changes"]
    return change


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert tuple(SCHEMA["$defs"]["change"]["properties"]["kind"]["enum"]) == plan_model.KINDS


def test_in_sync_is_empty():
    plan = host()
    assert (plan["result"], plan["changes"], plan["messages"], plan["diff"]) == ("in_sync", [], [], "")
    assert plan["images"] == [
        {
            "service": "sonarr",
            "image": "app:1",
            "running_image": "app:1",
            "running": DIGEST,
            "locked": DIGEST,
            "created": "2026-11-11T10:00:00Z",
            "age_days": 12,
        }
    ]
    assert text(nas=plan) == "nas: in sync\n1 of 1 hosts in sync"
    assert report(nas=plan)["result"] == "in_sync"


@pytest.mark.parametrize(
    ("found", "kind", "what", "why"),
    [
        (service("create", "there is no container", state="absent"), "container", "create", "there is no container"),
        (service("start", "it is paused", state="paused"), "container", "start", "it is paused"),
        (
            service("recreate", "changed by hand: restart policy unless-stopped → no"),
            "changed by hand",
            "recreate",
            "restart policy unless-stopped → no",
        ),
        (
            service("restart", "its network parent gluetun was started after it, so it is in a dead network"),
            "dead namespace",
            "restart",
            "its network parent gluetun was started after it, so it is in a dead network",
        ),
    ],
)
def test_what_happens_to_a_container(found, kind, what, why):
    plan = host(services={"sonarr": found})
    change = only(plan)
    assert plan["result"] == "drift"
    assert (change["kind"], change["service"], change["what"], change["why"]) == (kind, "sonarr", what, why)
    assert f"\n    sonarr  {what}  {why}\n" in text(nas=plan)


@pytest.mark.parametrize(
    ("action", "kind", "what", "why"),
    [
        ("remove old: lidarr is no longer wanted", "orphan", "remove old", "lidarr is no longer wanted"),
        ("remove x_old, left behind by a run", "orphan", "remove x_old", "left behind by a run"),
        ("pull app:2 for sonarr", "image", "pull app:2", "for sonarr"),
        ("remove a duplicate of the network media", "network", "remove a duplicate of media", ""),
        ("set the first login of sonarr", "app setting", "set the first login of sonarr", ""),
        ("let go of sonarr, held since X: it runs", "hold", "let go of sonarr", "held since X: it runs"),
        ("do what nobody knew of", "other", "do what nobody knew of", ""),
    ],
)  # fmt: skip
def test_every_action_is_a_change(action, kind, what, why):
    change = only(host(actions=[action]))
    assert (change["kind"], change["what"], change["why"]) == (kind, what, why)


def test_what_is_said_of_a_service_is_said_once():
    reason = "its image changed from app:1 to app:2"
    plan = host(services={"sonarr": service("recreate", reason)}, actions=[f"recreate sonarr: {reason}"])
    assert only(plan)["why"] == reason


def test_a_changed_definition_says_which_setting():
    before = 'services:\n  sonarr:\n    ports: ["8989:8989"]\n    environment: {TZ: Etc/UTC, KEY: "********"}\n'
    after = before.replace("8989:", "9000:").replace("Etc/UTC", "Europe/Berlin")
    plan = host(
        services={"sonarr": service("recreate", "its definition or a file that it mounts changed")},
        files={COMPOSE: "change"},
        file_reasons={COMPOSE: "what is rendered for it is another text now"},
        diff=[section(COMPOSE, before, after), section("services", "sonarr: running\n", "sonarr: running\n")],
    )
    assert plan["changes"][0]["why"] == (
        "its definition or a file that it mounts changed "
        "(ports: 8989:8989 → 9000:8989; environment.TZ: Etc/UTC → Europe/Berlin)"
    )
    assert plan["changes"][1]["kind"] == "file"
    assert "-    environment: {TZ: Etc/UTC" in plan["diff"] and "services" not in plan["diff"].splitlines()[0]
    assert "********" in plan["diff"] and "+    environment" in text(nas=plan)


def test_the_variables_of_env_are_named():
    path = f"{PATH}/.env"
    plan = host(
        files={path: "change"},
        file_reasons={path: "other text"},
        diff=[section(path, "PUID=1000\nA=b\n", "PUID=1\nA=b\n")],
    )
    assert only(plan)["why"] == "other text (PUID: 1000 → 1)"


def test_files_directories_units_and_app_settings():
    paths = {name: f"{PATH}/{name}" for name in ("secrets/a", "bin", "new")}
    preset, unit = "/srv/mediastack/config/sonarr/config.xml", "/etc/systemd/system/mediastack-x-repair.service"
    theirs = {preset: "edit", unit: "change"}
    mode = ("mode 0777 owner 0 group 0\n", "mode 0750 owner 0 group 0\n")
    plan = host(
        more={"presets": [{"path": preset, "service": "sonarr"}], "files": [{"path": paths["secrets/a"]}]},
        files={**dict.fromkeys([paths["secrets/a"], paths["bin"]], "mode"), paths["new"]: "create", **theirs},
        file_reasons={preset: "Config/ApiKey"},
        diff=[
            section(paths["secrets/a"], *mode),
            section(paths["bin"], *mode),
            section(paths["new"], "", "directory, mode 0750 owner 0 group 0\n"),
            section(preset, "Config/Port: 1\n", "Config/Port: 8989\n"),
        ],
    )
    assert [(one["kind"], one["path"]) for one in plan["changes"]] == [
        ("file", paths["secrets/a"]),
        ("directory", paths["bin"]),
        ("directory", paths["new"]),
        ("unit", unit),
        ("app setting", preset),
    ]
    assert (plan["changes"][1]["before"], plan["changes"][1]["after"]) == tuple(words.strip() for words in mode)
    assert plan["changes"][4]["service"] == "sonarr" and plan["changes"][4]["why"] == "Config/ApiKey"
    assert "mode 0777 owner 0 group 0 → mode 0750 owner 0 group 0" in text(nas=plan)


def test_a_secret_file_that_somebody_replaced_is_named_and_not_shown():
    path, hidden, kept = f"{PATH}/secrets/key", "(secret, not shown)\n", "key.kept-20261123-100000"
    plan = host(
        more={"files": [{"path": path}]},
        files={path: "change"},
        file_reasons={path: f"somebody edited it; what it is now is kept as {kept}"},
        diff=[section(path, hidden, hidden, f"{path} (kept as {kept})"), section(path, hidden, hidden)],
    )
    assert only(plan)["kind"] == "file" and "somebody edited it" in only(plan)["why"]
    assert plan["diff"].count("(secret, not shown)") == 2


def test_another_image_by_hand_is_named_and_kept():
    plan = host(by_hand={"sonarr": ["changed by hand: image aaa → bbb (app:1)"]})
    change = only(plan)
    assert (change["kind"], change["before"], change["after"]) == ("changed by hand", "aaa", "bbb (app:1)")
    assert "runs another image than it was made with  aaa → bbb (app:1); somebody, or an updater" in text(nas=plan)


def test_what_a_hold_leaves_is_no_drift():
    held = {"verb": "stop", "who": "anna@laptop", "when": "2026-11-22T20:39:00+00:00", "why": "stop"}
    since = "held stopped since 2026-11-22 20:39 +0000 by anna@laptop"
    plan = host(
        names=("sonarr", "bazarr"),
        held={"sonarr": held},
        left={"sonarr": since, "bazarr": f"it needs sonarr, {since}"},
        by_hand={"sonarr": ["changed by hand: restart policy no → always"]},
        messages=[f"sonarr is left as it is: {since}"],
    )
    assert plan["result"] == "in_sync"
    assert plan["holds"] == [
        {"service": "sonarr", "why": since, "asked": "stop"},
        {"service": "bazarr", "why": f"it needs sonarr, {since}", "asked": None},
    ]
    assert plan["messages"] == ["sonarr is left as it is, changed by hand: restart policy no → always"]
    assert f"  held: sonarr: {since}\n" in text(nas=plan)


def test_images_that_are_not_the_locked_ones():
    plan = host(locked=NEWER)
    change = only(plan)
    assert (change["kind"], change["what"]) == ("image", "update")
    assert (change["before"], change["after"]) == (f"app:1 {DIGEST}", f"app:1 {NEWER}, built 12 days ago")
    short = "app:1 sha256:aaaaaaaaaaaa → app:1 sha256:bbbbbbbbbbbb, built 12 days ago"
    assert f"    sonarr  update  {short}; the lock names another digest\n" in text(nas=plan)


def test_what_the_host_says_of_images_wins():
    note = "sonarr: it stays on app:1, mediastack.lock.yml names app:2: `update` brings it there"
    image = {"image": "app:1", "digest": DIGEST, "image_id": "x", "wanted": {"image": "app:2", "digest": NEWER}}
    plan = host(images={"sonarr": dict(image, note=note)}, messages=[note])
    assert only(plan)["why"] == note.removeprefix("sonarr: ") and plan["messages"] == []
    assert host(locked=NEWER, images={"sonarr": dict(image, note=None)})["changes"] == []


def test_unlocked_is_said_and_is_no_drift():
    plan = host(names=("sonarr", "radarr"), locked=None)
    assert plan["result"] == "in_sync" and plan["messages"] == [plan_model.UNLOCKED % "every image is unlocked"]
    said = host(locked=None, messages=["images are unlocked: there is no lock"])
    assert said["messages"] == ["images are unlocked: there is no lock"]
    fixed = plan_model.host({}, {"services": {"a": {"image": "app@" + DIGEST, "locked": None}}}, (), NOW)
    assert fixed["messages"] == []


def test_an_age_that_nobody_knows():
    known = bundle("sonarr")
    for created in (None, "", "yesterday"):
        known["services"]["sonarr"]["locked"]["created"] = created
        assert plan_model.host({}, known, (), NOW)["images"][0]["age_days"] is None


def test_files_of_others_are_a_note():
    plan = host(unknown_files=[f"{PATH}/compose.extra.yml"])
    assert plan["result"] == "in_sync" and f"{PATH}/compose.extra.yml" in text(nas=plan)


def test_an_engine_that_is_to_be_installed():
    plan = host(engine_missing=True, engine_missing_reason="cli", actions=["pull app:1 for sonarr"])
    assert [one["kind"] for one in plan["changes"]] == ["engine", "image"]


def test_hosts_that_could_not_be_asked():
    hosts = {
        "nas": {"plan": host()},
        "attic": {"plan": plan_model.trouble("unreachable: no route to host", unreachable=True)},
        "cellar": {"plan": plan_model.trouble("Nothing was touched: 2 problems.\n  - a\n  - b")},
        "shed": None,
    }
    found = plan_model.report(hosts)
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    assert found["result"] == "error"
    assert found["message"] == "1 of 4 hosts in sync; not in sync: attic (unreachable), cellar (error), shed (error)"
    lines = plan_text.lines(found)
    assert lines[1:3] == ["attic: unreachable", "  unreachable: no route to host"]
    assert "not looked at" in lines[-2]


def test_no_host_and_no_end_are_errors():
    for found in (plan_model.report({}), plan_model.unfinished()):
        jsonschema.Draft202012Validator(SCHEMA).validate(found)
        assert found["result"] == "error"


def test_a_long_diff_is_cut_unless_asked_for():
    after = "".join(f"line {number}\n" for number in range(100))
    plan = host(files={COMPOSE: "create"}, diff=[section(COMPOSE, "", after)])
    shown = plan_text.lines(report(nas=plan))
    assert len([line for line in shown if "+line" in line]) < plan_text.DIFF_LINES
    assert any("more lines of the diff: --diff shows them" in line for line in shown)
    assert "  +line 99" in plan_text.lines(report(nas=plan), whole_diff=True)


def test_nothing_of_a_host_moves_the_cursor():
    plan = host(messages=["a\x1b[31mb"], diff=[section(COMPOSE, "", "\x1b]0;title\x07\n")], files={COMPOSE: "create"})
    assert "\x1b" not in text(nas=plan) and "\x07" not in text(nas=plan)


def test_kinds_are_grouped_and_in_order():
    services = {
        "a": service("create", "there is no container", state="absent"),
        "b": service("recreate", "changed by hand: process limit none → 5"),
        "c": service("create", "there is no container", state="absent"),
    }
    lines = plan_text.lines(report(nas=host(names=("a", "b", "c"), services=services)))
    assert lines[:7] == [
        "nas: 3 changes",
        "  changed by hand",
        "    b  recreate  process limit none → 5",
        "  containers",
        "    a  create  there is no container",
        "    c  create  there is no container",
        "0 of 1 hosts in sync; not in sync: nas (3 changes)",
    ]
