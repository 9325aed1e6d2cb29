# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All obstacles at once, in words for a person."""

import os
import socket

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import preflight


@pytest.fixture
def bundle(tmp_path):
    base = str(tmp_path)
    return {
        "project": {"name": "mspre-unit", "path": base + "/compose"},
        "identity": {"puid": os.geteuid(), "pgid": os.getegid()},
        "paths": {"base": base, "config": base + "/config", "media": base + "/media", "downloads": base + "/downloads"},
        "timezone": "Etc/UTC",
        "bind_addresses": ["127.0.0.1"],
        "lab_images": False,
        "vpn": {"enabled": False},
        "services": {"sonarr": {"container_name": "sonarr", "image": "sonarr:4", "ports": []}},
    }


def test_nothing_wrong(bundle):
    assert preflight.run(bundle, {}, []) == []


def test_all_at_once(bundle):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        bundle["services"]["sonarr"]["ports"] = [
            {
                "name": "web",
                "service": "sonarr",
                "protocol": "tcp",
                "addresses": [],
                "port": holder.getsockname()[1],
                "target": 1,
            }
        ]
        bundle.update(timezone="Etc/UTX", bind_addresses=["127.0.0.1", "192.0.2.9"])
        facts = {
            "server": {"version": "19.3.0", "api": "1.40"},
            "compose": None,
            "images": {"sonarr:4": {"mediastack.lab": "true"}},
        }
        raw = {"Id": "1", "Name": "/sonarr", "Config": {"Labels": {}, "Image": "x"}, "State": {}}
        before = sorted(os.listdir(bundle["paths"]["base"]))
        problems = preflight.run(bundle, facts, [raw], check=True)
        assert sorted(os.listdir(bundle["paths"]["base"])) == before
    assert [problem["check"] for problem in problems] == [
        "engine",
        "compose",
        "container",
        "lab",
        "bind",
        "port",
        "timezone",
    ]
    assert all(problem["what"] and problem["remedy"] for problem in problems)
    text = preflight.message(problems)
    assert text.startswith("7 problems to solve first; nothing was changed:\n- ")
    assert len(text.splitlines()) == 15


def test_containers_as_the_engine_state_has_them(bundle):
    class Container:
        raw = {"Id": "1", "Name": "/sonarr", "Config": {"Labels": {}, "Image": "x"}, "State": {}}

    assert [problem["check"] for problem in preflight.run(bundle, {}, [Container()])] == ["container"]


def test_one_problem_is_one():
    text = preflight.message([{"check": "x", "what": "it is broken", "where": "here", "value": 5, "remedy": "mend it"}])
    assert text == "1 problem to solve first; nothing was changed:\n- it is broken [here] (5)\n  mend it"
