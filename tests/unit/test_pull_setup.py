# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pull mode put onto a host and taken away again, and the rules for its settings."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

from ansible_collections.homelab.mediastack.plugins.module_utils import pull_lock, pull_place, pull_setup
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.plugin_utils import pull_plan, setting_rules, settings

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = {"project": "stack", "host": "nas", "url": "https://git.example.org/x", "interval": 900, "jitter": 0}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs into a directory of a host without systemd."""
    monkeypatch.setattr(pull_setup.pull_unit, "possible", lambda root="": False)
    archive = tmp_path / "collection.tar.gz"
    digest, data = pull_plan.archive()
    archive.write_bytes(data)

    def make(check=False, **config):
        setup = pull_setup.Setup(str(tmp_path / "pull"), {**CONFIG, **config}, b"program", check)
        setup.install(digest, str(archive))
        return setup

    return make


def test_it_is_put_there_once(install, tmp_path):
    first = install()
    root = tmp_path / "pull"
    assert root.stat().st_mode & 0o777 == 0o700
    assert (root / "config.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((root / "config.json").read_text())["host"] == "nas"
    assert (root / "collections/ansible_collections/homelab/mediastack/playbooks/site.yml").exists()
    assert (root / "bin/mediastack-pull").read_bytes() == b"program"
    assert first.actions and "*/15 * * * * root " in first.messages[0]
    assert install().actions == []
    assert install(interval=60).actions == [f"write {root}/config.json"]


def test_check_mode_touches_nothing(install, tmp_path):
    assert install(check=True).actions
    assert not (tmp_path / "pull").exists()


def test_a_directory_of_somebody_else_is_left_alone(install, tmp_path):
    (tmp_path / "pull").mkdir()
    (tmp_path / "pull" / "photo.jpg").write_text("mine")
    with pytest.raises(FileError, match="mediastack_gitops_path"):
        install()
    setup = pull_setup.Setup(str(tmp_path / "pull"), {})
    setup.uninstall("stack")
    assert (tmp_path / "pull" / "photo.jpg").exists() and "stays" in setup.messages[0]


def test_it_is_taken_away_as_a_whole(install, tmp_path):
    install()
    pull_setup.Setup(str(tmp_path / "pull"), {}).uninstall("stack")
    assert not (tmp_path / "pull").exists()


def test_remove_pauses_it_and_the_next_install_ends_that_pause(install, tmp_path):
    install()
    root = str(tmp_path / "pull")
    pull_setup.retire("stack", root)
    assert os.path.exists(os.path.join(root, "paused.json"))
    assert install().actions == ["end the pause"]
    assert not os.path.exists(os.path.join(root, "paused.json"))


def test_remove_ends_a_step_that_waits(install, tmp_path):
    install()
    root = str(tmp_path / "pull")
    name, value = pull_lock.mark(pull_place.Place(root))
    child = subprocess.Popen(["sleep", "300"], env={**os.environ, name: value})
    try:
        pull_setup.retire("stack", root)
        assert child.wait(timeout=60) == -9
    finally:
        child.kill()
        child.wait()


def look_at_venv(place, python):
    """What the role says of the virtual environment of a place."""
    task = yaml.safe_load((ROOT / "roles/gitops/tasks/venv.yml").read_text())[0]
    words = {
        "{{ gitops_placed.path }}": str(place),
        "{{ gitops_settings.settings['mediastack_gitops_python'] }}": python,
    }
    argv = task["ansible.builtin.command"]["argv"]
    for word, value in words.items():
        argv = [argument.replace(word, str(value)) for argument in argv]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def test_a_virtual_environment_is_made_anew_where_it_is_broken_or_of_another_python(tmp_path):
    assert look_at_venv(tmp_path, sys.executable) == ""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (packages,) = tmp_path.glob("venv/lib/python*/site-packages")
    assert look_at_venv(tmp_path, sys.executable) == ""
    (packages / "pip.py").touch()
    assert look_at_venv(tmp_path, sys.executable) == "whole"
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho /usr/bin/python3.99 '(3, 99)'\n")
    other.chmod(0o755)
    assert look_at_venv(tmp_path, other) == ""
    # The system's Python became a newer one.
    packages.parent.rename(packages.parent.with_name("python3.1"))
    assert look_at_venv(tmp_path, sys.executable) == ""


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0000000000000000000000000000000000000000000"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gitops_url", "git@git.example.org:me/homelab.git"),
        ("gitops_url", "ssh://git@git.example.org:2222/me/homelab.git"),
        ("gitops_url", "https://git.example.org/me/homelab.git"),
        ("gitops_url", "/srv/git/homelab.git"),
        ("gitops_branch", "release/2026"),
        ("gitops_inventory", "inventories/home.yml"),
        ("gitops_commit", "a" * 40),
        ("gitops_allowed_signers", [f"me@example.org {KEY} me", f'me@example.org namespaces="git" {KEY}']),
        ("gitops_known_hosts", [f"git.example.org {KEY}", f"[git.example.org]:2222 {KEY}"]),
        ("gitops_rollout", 0),
        ("gitops_webhook_url", "https://hooks.example.org/x?to=me@example.org"),
        ("gitops_vault_password_file", "/etc/mediastack/vault-password"),
        ("gitops_textfile_directory", "/var/lib/prometheus/node-exporter"),
    ],
)
def test_what_is_right_is_taken(name, value):
    errors = []
    assert setting_rules.Rules(None).check(name, value, errors) == value
    assert errors == []


def test_a_file_of_the_host_may_lie_in_a_directory_of_the_system():
    # Settings of the type path are directories that the stack will own.
    spec = settings.load_spec()
    assert not [name for name in spec if name.startswith("mediastack_gitops_") and spec[name]["type"] == "path"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gitops_url", "https://me:token@git.example.org/me/homelab.git"),
        ("gitops_url", "ext::sh -c evil"),
        ("gitops_url", "--upload-pack=evil"),
        ("gitops_branch", "--all"),
        ("gitops_branch", "a..b"),
        ("gitops_inventory", "../inventory.yml"),
        ("gitops_inventory", "/etc/inventory.yml"),
        ("gitops_commit", "abc123"),
        ("gitops_allowed_signers", ["me@example.org"]),
        ("gitops_known_hosts", ["git.example.org"]),
        ("gitops_gpg_keys", ["0xDEADBEEF"]),
        ("gitops_rollout", 101),
        ("gitops_interval", 1),
        ("gitops_webhook_url", "file:///etc/passwd"),
        ("gitops_webhook_url", "https://me:s3cret@hooks.example.org/x"),
        ("gitops_path", "relative"),
    ],
)
def test_what_is_wrong_is_told(name, value):
    errors = []
    setting_rules.Rules(None).check(name, value, errors)
    assert errors
