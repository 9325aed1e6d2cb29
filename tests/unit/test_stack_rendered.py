# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`state: rendered`: files and directories are written, with and without an engine, and nothing else is done."""

from __future__ import annotations

import os

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import preflight_paths, preflight_vpn, stack
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import EngineMissing
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Request


class NoDocker:
    """A host without docker."""

    inherit = ()
    environ = {}
    executable = None

    def run(self, *arguments, **_more):
        raise EngineMissing("no docker program", "cli")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory that counts as one on a disk: pytest's own may be on a tmpfs, which is refused."""
    monkeypatch.setattr(preflight_paths, "_VOLATILE", ())
    return tmp_path


def request(base, files, check=False, **more):
    project = str(base / "compose")
    ids = {"owner": os.geteuid(), "group": os.getegid()}
    entries = [
        {"path": f"{project}/{name}", "content": text, "mode": "0644", "secret": False, **ids} for name, text in files
    ]
    directories = [str(base), *(str(base / name) for name in ("media", "downloads", "config", "compose"))]
    bundle = {
        "schema": 1,
        "project": {"name": "unit", "path": project},
        "identity": {"puid": os.geteuid(), "pgid": os.getegid(), "umask": "002"},
        "timezone": "Etc/UTC",
        "paths": {
            **{name: str(base / name) for name in ("media", "downloads", "config")},
            "base": str(base),
            "split_mounts": False,
        },
        "bind_addresses": ["127.0.0.1"],
        "lab_images": False,
        "vpn": {"enabled": False, "members": []},
        "secrets": {},
        "directories": [{"path": path, "mode": "2775", **ids} for path in directories],
        "files": entries,
        "presets": [],
        "services": {},
        "extra_compose_files": [],
        "messages": [],
    }
    return Request("rendered", project, bundle=bundle, engine_missing_ok=True, check=check, **more)


FILES = [(".env", "A=1\n"), ("compose.core.yml", "services: {}\n")]


def test_without_an_engine_everything_is_written(place):
    predicted, error = stack.run(request(place / "stack", FILES, check=True), NoDocker())
    assert error is None and predicted["changed"] and not (place / "stack").exists()
    result, error = stack.run(request(place / "stack", FILES), NoDocker())
    assert error is None and result["engine_missing"] and result["engine_missing_reason"] == "cli"
    assert result["files"] == predicted["files"] and result["actions"] == []
    assert (place / "stack" / "compose" / ".env").read_text() == "A=1\n" and (place / "stack" / "media").is_dir()
    again, error = stack.run(request(place / "stack", FILES), NoDocker())
    assert error is None and not again["changed"] and again["files"] == {}


def test_an_engine_may_be_demanded(place):
    _result, error = stack.run(request(place / "stack", FILES)._replace(engine_missing_ok=False), NoDocker())
    assert "no docker program" in error and not (place / "stack").exists()


def test_files_that_are_not_wanted_any_more_are_left_to_the_next_present(place):
    """A container may still have them mounted."""
    stack.run(request(place / "stack", [*FILES, ("old.yml", "x\n")]), NoDocker())
    result, error = stack.run(request(place / "stack", FILES), NoDocker())
    assert error is None and (place / "stack" / "compose" / "old.yml").exists()
    assert result["files"] == {} and not result["changed"]


def test_what_preflight_refuses_is_not_written(place, monkeypatch):
    problem = {"check": "tun", "what": "no tun", "where": "x", "value": None, "remedy": "modprobe tun"}
    monkeypatch.setattr(preflight_vpn, "check", lambda bundle, facts, warnings: [problem])
    _result, error = stack.run(request(place / "stack", FILES), NoDocker())
    assert "no tun" in error and "modprobe tun" in error and not (place / "stack").exists()


def test_it_is_for_a_whole_bundle(place):
    asked = request(place / "stack", FILES)
    assert "leave out services" in stack.run(asked._replace(services=["sonarr"]), NoDocker())[1]
    assert "needs a bundle" in stack.run(asked._replace(bundle=None), NoDocker())[1]
