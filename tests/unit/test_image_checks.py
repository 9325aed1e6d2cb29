# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `make verify-images` demands of an image, and when it calls that a pass."""

import pathlib
import re
import sys
import types

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import service_files

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "verify_images"))

import image_checks as checks  # noqa: E402


def test_results_are_as_bad_as_the_worst_and_nothing_is_no_pass():
    assert checks.worst(["passed", "inconclusive", "failed"]) == "failed"
    assert checks.worst(["passed", "inconclusive"]) == "inconclusive"
    assert checks.worst(["passed", "passed"]) == "passed"
    assert checks.worst([]) == "inconclusive"


@pytest.mark.parametrize(
    ("complaint", "result"),
    [
        ("Error response from daemon: manifest for x/y:1 not found: manifest unknown: manifest unknown", "failed"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "failed"),
        ("pull access denied for x/y, repository does not exist or may require 'docker login'", "failed"),
        ('Get "https://ghcr.io/v2/": dial tcp: lookup ghcr.io: host not found', "inconclusive"),
        ("toomanyrequests: You have reached your pull rate limit.", "inconclusive"),
        ("'docker pull' did not end within 3600 s and was stopped", "inconclusive"),
    ],
)
def test_only_a_registry_that_answered_fails_an_image(complaint, result):
    assert checks.pull_refused(complaint)[0] == result
    assert complaint in checks.pull_refused(complaint)[1]


@pytest.mark.parametrize(
    ("healthcheck", "image_test", "programs"),
    [
        ({"test": ["CMD", "curl", "-f", "http://127.0.0.1/"]}, None, ["curl"]),
        ({"test": 'test "$$(curl -fsS http://127.0.0.1:8096/health)" = Healthy'}, None, ["/bin/sh", "curl"]),
        ({"test": ["CMD-SHELL", "wget -q --spider http://x || exit 1"]}, None, ["/bin/sh", "wget"]),
        ({"test": ["CMD-SHELL", 'curl -H "k: $$k" "http://$$h" | grep -qF "$$n"']}, None, ["/bin/sh", "curl", "grep"]),
        ({"interval": "2s"}, ["CMD", "/gluetun-entrypoint", "healthcheck"], ["/gluetun-entrypoint"]),
        (None, ["CMD-SHELL", "ak healthcheck"], ["/bin/sh", "ak"]),
    ],
)
def test_the_programs_of_a_health_check_are_found(healthcheck, image_test, programs):
    assert checks.health_programs(healthcheck, image_test, False) == (programs, "")


def test_a_missing_health_check_counts_unless_the_service_is_probed():
    assert "it has none" in checks.health_programs({"interval": "2s"}, None, True)[1]
    assert "it has none" in checks.health_programs(None, ["NONE"], False)[1]
    assert checks.health_programs(None, None, True) == ([], "")


IDS = (1311, 1312)
DROPS = {"environment": {"PUID": "${PUID}", "PGID": "${PGID}"}}
GIVEN = {"user": "${PUID}:${PGID}"}
ROOT, APP = ("0", "0", "s6-svscan"), ("1311", "1312", "sonarr")


@pytest.mark.parametrize(
    ("definition", "processes", "problem"),
    [
        (DROPS, [ROOT, APP], None),
        (DROPS, [ROOT, ("911", "911", "sonarr")], "sonarr 911:911"),
        (DROPS, [("1311", "0", "sonarr")], "sonarr 1311:0"),
        (GIVEN, [APP], None),
        (GIVEN, [APP, ROOT], "s6-svscan 0:0"),
        (GIVEN, [], "no process"),
        ({"user": "1000:1000"}, [APP], "sonarr 1311:1312"),
        ({}, [ROOT], None),
        ({**DROPS, "cap_add": ["NET_ADMIN"]}, [ROOT], None),
    ],
)
def test_ids_are_those_that_our_file_gives(definition, processes, problem):
    found = checks.wrong_ids(definition, IDS, processes)[0]
    assert found is None if problem is None else problem in found


def test_read_only_flags_must_be_in_force():
    definition = {
        "read_only": True,
        "secrets": ["key"],
        "volumes": [{"target": "/sock", "read_only": True}, {"target": "/config"}],
    }
    mounts = [{"Destination": "/sock", "RW": False}, {"Destination": "/run/secrets/key", "RW": False}]
    assert checks.wrong_flags(definition, {"Mounts": mounts, "HostConfig": {"ReadonlyRootfs": True}}) == ([], 3)
    mounts[0]["RW"] = True
    writable = checks.wrong_flags(definition, {"Mounts": mounts[:1], "HostConfig": {"ReadonlyRootfs": False}})
    assert writable == (["/sock", "/run/secrets/key", "/"], 3)


HARD = {"cap_drop": ["ALL"], "cap_add": ["KILL", "CHOWN"], "security_opt": ["no-new-privileges:true"]}


def status(powers, name="app", privileges="1"):
    return {"Name": name, "CapBnd": f"{powers:016x}", "NoNewPrivs": privileges}


@pytest.mark.parametrize(
    ("definition", "processes", "problem"),
    [
        (HARD, [status(0x21), status(0x21)], None),
        (HARD, [status(0x21), status(0xA80425FB)], "capabilities a80425fb and not 21"),
        (HARD, [status(0x1)], "capabilities 1 and not 21"),
        (HARD, [status(0x21, "sh", "0")], "without no-new-privileges: sh"),
        ({"cap_drop": ["ALL"]}, [status(0)], None),
        ({}, [status(0xA80425FB, privileges="0")], None),
        (HARD, None, None),
    ],
)
def test_rights_are_those_of_our_file(definition, processes, problem):
    assert checks.wrong_rights(definition, processes)[0] == problem


def test_what_is_not_looked_at_is_not_called_looked_at():
    assert checks.wrong_rights(HARD, None)[1] == "rights not looked at: the engine is on another machine"
    assert checks.wrong_rights(HARD, [status(0x21)])[1] == "rights: CHOWN KILL"


def test_a_supervised_app_ends_by_itself():
    assert checks.wrong_end(HARD, 0) is None and checks.wrong_end({}, 137) is None
    assert "was killed" in checks.wrong_end(HARD, 137)


def test_every_capability_of_the_catalogue_has_its_number():
    files = service_files.find(None).values()
    given = {
        name
        for file in files
        for names in re.findall(r"cap_add: \[(.*)\]", file.text)
        for name in re.findall("[A-Z_]+", names)
    }
    assert len(given) > 8
    assert all(checks.wrong_rights({"cap_drop": ["ALL"], "cap_add": [name]}, []) for name in given)


def test_apps_that_others_bring_along_have_no_run_of_their_own():
    facts = {name: types.SimpleNamespace(requires=()) for name in ("proxy", "page", "alone")}
    facts["page"].requires = ("proxy",)
    assert checks.runs(facts, ["proxy", "page", "alone"]) == {"page": ["page", "proxy"], "alone": ["alone"]}
    assert checks.runs(facts, ["proxy"]) == {"proxy": ["proxy"]}


def test_apps_that_need_each_other_are_run():
    facts = {"a": types.SimpleNamespace(requires=("b",)), "b": types.SimpleNamespace(requires=("a",))}
    assert {name for apps in checks.runs(facts, ["a", "b"]).values() for name in apps} == {"a", "b"}


def test_every_app_of_the_catalogue_is_covered():
    facts = service_files.scan(service_files.find(None))
    covered = {app for apps in checks.runs(facts, list(facts)).values() for app in apps}
    assert covered == set(facts)
    assert len(covered) > 20


def finding(result, reason="", *checked):
    return {"result": result, "reason": reason, "checked": list(checked)}


def test_an_image_of_two_services_passes_with_both():
    entry = checks.merged(
        "server:1",
        "sha256:" + "a" * 64,
        {"web": finding("passed", "", "health"), "worker": finding("failed", "ends")},
        "d",
    )
    assert (entry["result"], entry["reason"], entry["services"]) == ("failed", "worker: ends", ["web", "worker"])
    assert entry["checked"] == ["health"]


def test_an_image_that_was_not_reached_is_no_pass():
    entry = checks.merged("x:1", None, {}, "2030-01-02")
    assert (entry["result"], entry["reason"]) == ("inconclusive", "not reached")
    assert checks.table([entry])[1].split() == ["x:1", "inconclusive", "-", "not", "reached"]


def test_a_registry_of_ones_own_stands_before_the_whole_name():
    assert checks.rewritten("lscr.io/a/b:1", "127.0.0.1:5000") == "127.0.0.1:5000/lscr.io/a/b:1"
    assert checks.rewritten("lscr.io/a/b:1", "") == "lscr.io/a/b:1"
