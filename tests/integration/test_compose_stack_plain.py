# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A user's own Compose project, without bundle, and the module as Ansible runs it. On the real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from compose_stack_lab import IMAGE, MODULE, ROOT, docker

VERSIONS = [
    pytest.param("2.20.3", marks=pytest.mark.long),
    pytest.param("2.26.1", marks=pytest.mark.long),
    pytest.param("2.34.0", marks=pytest.mark.long),
    None,
]


def forecast_and_run(lab, **more):
    """A run that does what its check mode said."""
    said = lab.run(plain=True, check=True, **more)
    result = lab.run(plain=True, **more)
    assert (result["actions"], result["changed"]) == (said["actions"], said["changed"])
    return result


@pytest.mark.parametrize("version", VERSIONS)
def test_plain_project(labs, version):
    """Compose's own hash is believed, also where `config --hash` alone misleads: env_file, and a shared network."""
    lab = labs(version).vpn("qbittorrent").add("app", env_file=["app.env"], environment={"A": "a$$b"})
    lab.path.mkdir()
    (lab.path / "app.env").write_text('B=1\nC="x $$y"\n')
    lab.write_plain()
    result = forecast_and_run(lab)
    assert {one["action"] for one in result["services"].values()} == {"create"}
    lives = lab.lives()
    assert forecast_and_run(lab)["changed"] is False
    assert lab.lives() == lives
    (lab.path / "app.env").write_text("B=2\n")
    result = forecast_and_run(lab)
    assert {name: one["action"] for name, one in result["services"].items()} == {
        "app": "recreate",
        "gluetun": "none",
        "qbittorrent": "none",
    }
    assert "B=2" in lab.one("app")["Config"]["Env"]
    lab.services["gluetun"]["environment"] = {"X": "y"}
    lab.write_plain()
    forecast_and_run(lab)
    assert lab.same_network("qbittorrent", "gluetun")
    assert forecast_and_run(lab)["changed"] is False


@pytest.mark.long
@pytest.mark.parametrize("version", VERSIONS)
def test_a_service_keeps_its_image_when_its_definition_changes(moving_image, labs, version):
    """A tag that moved is no change, not even of the hash that Compose makes with the image it kept."""
    lab = labs(version).add("gluetun", image=moving_image(), healthcheck={"test": ["CMD", "true"], "interval": "1s"})
    lab.add("qbittorrent", behind="gluetun").write_plain()
    forecast_and_run(lab)
    kept = lab.one("gluetun")["Image"]
    assert moving_image() == lab.services["gluetun"]["image"]
    lab.services["gluetun"]["environment"] = {"X": "y"}
    lab.write_plain()
    forecast_and_run(lab)
    assert lab.one("gluetun")["Image"] == kept
    assert lab.same_network("qbittorrent", "gluetun")
    lives = lab.lives()
    assert forecast_and_run(lab)["changed"] is False
    assert lab.lives() == lives
    lab.services["gluetun"]["image"] = IMAGE
    lab.write_plain()
    forecast_and_run(lab)
    assert lab.one("gluetun")["Image"] == lab.one("qbittorrent")["Image"] != kept


def test_project_made_by_compose_is_taken_over_as_it_is(lab):
    lab.vpn("qbittorrent").add("app")
    lab.write_plain()
    docker("compose", "up", "-d", cwd=lab.path)
    lives = lab.lives()
    assert forecast_and_run(lab)["changed"] is False
    assert lab.lives() == lives


def test_profiles(lab):
    lab.add("app").add("extra", profiles=["more"])
    lab.write_plain()
    assert set(forecast_and_run(lab, profiles=["more"])["services"]) == {"app", "extra"}
    result = forecast_and_run(lab)
    assert result["removed"] == [f"{lab.name}-extra"]
    assert lab.states() == {"app": "running"}


def test_replicas(lab):
    lab.add("app", scale=2)
    del lab.services["app"]["container_name"]
    lab.write_plain()
    forecast_and_run(lab)
    assert lab.names() == [f"{lab.name}-app-1", f"{lab.name}-app-2"]
    assert forecast_and_run(lab)["changed"] is False
    docker("rm", "-f", f"{lab.name}-app-2")
    result = forecast_and_run(lab)
    assert result["services"]["app"]["reasons"] == ["it has 1 of 2 containers"]
    assert lab.names() == [f"{lab.name}-app-1", f"{lab.name}-app-2"]


def test_image_that_was_not_built(lab):
    lab.add("app", build=".")
    del lab.services["app"]["image"]
    lab.write_plain()
    _result, error = lab.attempt(plain=True)
    assert "run 'docker compose build'" in error


def test_no_compose_file(lab):
    lab.path.mkdir()
    _result, error = lab.attempt(plain=True)
    assert f"no Compose file in {lab.path}" in error


def test_broken_compose_file(lab):
    lab.path.mkdir()
    (lab.path / "compose.yaml").write_text("services: {app: {imag: x}}")
    _result, error = lab.attempt(plain=True)
    assert "imag" in error


def playbook(lab, tmp_path, bundle, *arguments):
    """ansible-playbook with one task."""
    book = tmp_path / "play.yml"
    task = {"homelab.mediastack.compose_stack": {"bundle": bundle, "stable_for": 0.2}}
    book.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    environ = dict(
        os.environ,
        ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default",
        ANSIBLE_CALLBACK_RESULT_FORMAT="json",
        ANSIBLE_FORCE_COLOR="0",
    )
    return subprocess.run(
        [
            str(ROOT / ".venv/bin/ansible-playbook"),
            "-i",
            "localhost,",
            "-c",
            "local",
            "-e",
            "ansible_python_interpreter={{ ansible_playbook_python }}",
            str(book),
            *arguments,
        ],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long
def test_through_ansible_secrets_do_not_show(lab, tmp_path):
    lab.add("sonarr", environment={"KEY": "${KEY}"})
    lab.secrets["key"] = {"value": "s3cr3t-of-the-vault"}
    lab.files[lab.path / "key.env"] = "KEY=@@mediastack:secret:key@@\n"
    done = playbook(lab, tmp_path, lab.bundle(), "-vvv", "--diff")
    assert done.returncode == 0, done.stdout
    assert "s3cr3t-of-the-vault" not in done.stdout
    assert '"container": "%s-sonarr"' % lab.name in done.stdout
    assert "s3cr3t-of-the-vault" in (lab.path / "key.env").read_text()
    again = playbook(lab, tmp_path, lab.bundle())
    assert "changed=0" in again.stdout


def test_parameters_that_contradict(lab, tmp_path):
    lab.add("sonarr")
    process = lab.start_process(profiles=["x"])
    out, _err = process.communicate(timeout=30)
    assert "profiles is for a project without bundle" in json.loads(out)["msg"]


def test_a_forwarded_port_needs_the_keys_of_a_bundle():
    arguments = {"project_path": "/srv/nowhere", "forwarding": [{"name": "gluetun"}]}
    done = subprocess.run(
        [sys.executable, "-m", MODULE],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        env=dict(os.environ, PYTHONPATH=str(ROOT / ".ansible" / "collections")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "forwarding needs bundle, which has the keys of its services, and health" in json.loads(done.stdout)["msg"]


def test_engine_that_does_not_answer(lab):
    lab.add("sonarr")
    lab.environ["DOCKER_HOST"] = "unix:///var/tmp/mscs-no-engine.sock"
    result, error = lab.attempt()
    assert "the Docker Engine does not answer" in error and result["engine_missing"] is True
    result, error = lab.attempt(engine_missing_ok=True)
    assert error is None
    assert result["engine_missing"] is True and result["engine_missing_reason"] == "daemon"
    assert not lab.path.exists()
    forecast, error = lab.attempt(engine_missing_ok=True, check=True)
    assert error is None and forecast["engine_missing"] is True and forecast["changed"] is True
    assert f"pull {IMAGE} for sonarr" in forecast["actions"]
    assert any("no usable engine yet" in text for text in forecast["messages"])


def test_host_without_compose(lab):
    lab.add("sonarr")
    lab.environ["DOCKER_CONFIG"] = str(lab.base)
    fake = lab.base / "docker"
    fake.write_text(
        '#!/bin/sh\nif [ "$1" = compose ]; then echo "docker: \'compose\' is not a docker command." >&2; exit 1; fi\n'
        f'exec {docker_program()} "$@"\n'
    )
    fake.chmod(0o755)
    lab.environ["PATH"] = f"{lab.base}:{lab.environ['PATH']}"
    result, error = lab.attempt()
    assert result["engine_missing"] is True and result["engine_missing_reason"] == "compose"
    assert "Compose v2 plugin" in error
    assert not lab.path.exists()


def docker_program():
    """Path of the docker program."""
    return subprocess.run(["sh", "-c", "command -v docker"], capture_output=True, text=True, check=True).stdout.strip()


def test_user_without_access_to_the_socket():
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", docker_program(), "ps"],
        capture_output=True,
        text=True,
        check=False,
    )
    from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Completed, EngineRefused, explain

    error = explain(["ps"], Completed(done.returncode, done.stdout, done.stderr))
    assert isinstance(error, EngineRefused), done.stderr
    assert "become: true" in str(error) and "group docker" in str(error)


def test_preset_of_a_running_app_is_edited_while_it_is_stopped(lab):
    """Running apps write their settings when they end: an edit under a running app would be lost."""
    config = lab.base / "config" / "sonarr"
    saved = r'echo "{\"key\": \"old\", \"own\": $(cat /c/count)}" > /c/app.json'
    rewrite = ["sh", "-c", f"trap '{saved}; exit 0' TERM; while :; do sleep 0.1; done"]
    lab.add("sonarr", command=rewrite, volumes=[f"{config}:/c"]).add("radarr")
    lab.run()
    (config / "app.json").write_text('{"key": "old", "own": 0}')
    (config / "count").write_text("7")
    lab.presets = [
        {
            "service": "sonarr",
            "path": str(config / "app.json"),
            "format": "json",
            "mode": "0600",
            "owner": 0,
            "group": 0,
            "content": "{}",
            "keys": [{"key": ["key"], "value": "new", "replace": None}],
        }
    ]
    lives = lab.lives()
    forecast = lab.run(check=True)
    result = lab.run()
    assert forecast["actions"] == result["actions"]
    assert forecast["files"] == result["files"] == {str(config / "app.json"): "edit"}
    assert result["services"]["sonarr"]["action"] == "restart"
    assert json.loads((config / "app.json").read_text()) == {"key": "new", "own": 7}
    assert lab.lives()["radarr"] == lives["radarr"]
    assert lab.lives()["sonarr"][0] == lives["sonarr"][0]
    assert lab.run()["changed"] is False
