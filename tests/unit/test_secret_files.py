# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets in plain text on the controller: tracked by a real git, or open by their mode; and what is none."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret

from ansible_collections.homelab.mediastack.plugins.plugin_utils import secret_files, settings

SECRET = frozenset(name for name, option in settings.load_spec().items() if option.get("no_log"))
KEY = "mediastack_vpn_wireguard_private_key"
VALUE = "yAnz5TF-not-to-be-shown"
VAULT = VaultLib([("default", VaultSecret(b"password"))])


class World:
    """A directory with an inventory, which other users can enter."""

    def __init__(self, directory):
        self.path = directory
        self.write("hosts.yml", "mediastack: {hosts: {nas: {}}}\n")

    def write(self, name, text, mode=0o600):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def git(self, *words):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *words], cwd=self.path, env=clean, check=True, capture_output=True)

    def track(self):
        self.git("init", "--quiet")
        self.git("add", "--all")

    def problems(self, vault_files=(), environ=None, lab=False, vars_files=(), **variables):
        task_vars = {
            "inventory_hostname": "nas",
            "group_names": ["mediastack"],
            "groups": {"all": ["nas"], "mediastack": ["nas"]},
            "ansible_inventory_sources": [str(self.path / "hosts.yml")],
            **variables,
        }
        values = {"mediastack_lab_images": lab}
        found = secret_files.problems(task_vars, DataLoader(), values, SECRET, vault_files, environ, vars_files)
        assert not any(VALUE in sentence for sentence in found)
        return found


@pytest.fixture
def world():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="mediastack-secrets-"))
    directory.chmod(0o755)
    yield World(directory)
    shutil.rmtree(directory)


def vaulted(text):
    lines = VAULT.encrypt(text.encode()).decode().splitlines()
    return "!vault |\n" + "".join(f"  {line}\n" for line in lines)


def test_a_file_that_git_tracks_is_refused_with_its_name_and_what_to_do(world):
    path = world.write("host_vars/nas/mediastack.yml", f"{KEY}: {VALUE}\n")
    assert world.problems() == []
    world.track()
    (sentence,) = world.problems()
    assert sentence.startswith(f"{path} holds {KEY} in plain text and is tracked by git")
    assert f"ansible-vault encrypt {path}" in sentence


def test_what_is_ignored_by_git_or_not_added_is_not_tracked(world):
    world.write(".gitignore", "host_vars/\n")
    world.track()
    world.write("host_vars/nas/mediastack.yml", f"{KEY}: {VALUE}\n")
    world.write("group_vars/mediastack.yml", f"{KEY}: {VALUE}\n")
    assert world.problems() == []


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666])
def test_a_file_that_everybody_can_read_is_refused(world, mode):
    path = world.write("group_vars/mediastack.yml", f"mediastack_secrets:\n  sonarr_api_key: {VALUE}\n", mode)
    (sentence,) = world.problems()
    assert f"{path} holds mediastack_secrets in plain text, and every user of this machine can read it" in sentence
    assert f"chmod 600 {path}" in sentence


def test_a_file_that_others_cannot_get_to_is_well(world):
    world.write("group_vars/mediastack.yml", f"{KEY}: {VALUE}\n", 0o644)
    world.path.chmod(0o700)
    assert world.problems() == []
    world.path.chmod(0o755)
    (world.path / "group_vars" / "mediastack.yml").chmod(0o640)
    assert world.problems() == []


def encrypted(kind):
    if kind == "whole":
        return VAULT.encrypt(f"{KEY}: {VALUE}\n".encode()).decode()
    if kind == "inline":
        return f"{KEY}: {vaulted(VALUE)}mediastack_secrets:\n  a: {vaulted(VALUE).replace(chr(10), chr(10) + '  ')}\n"
    if kind == "sops":
        return (
            f"{KEY}: ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]\nsops: {{mac: 'ENC[AES256_GCM,data:eA==]'}}\n"
        )
    return f"{KEY}: \"{{{{ lookup('community.general.keyring', 'a b') }}}}\"\nmediastack_secrets: {{}}\n"


@pytest.mark.parametrize("kind", ["whole", "inline", "sops", "lookup"])
def test_what_is_encrypted_or_kept_elsewhere_passes_tracked_and_open(world, kind):
    world.write("group_vars/mediastack.yml", encrypted(kind), 0o644)
    world.track()
    assert world.problems() == []


def test_a_secret_by_another_name_is_found_through_the_setting_that_uses_it(world):
    world.write("group_vars/all.yml", f"my_key: {VALUE}\nother: {VALUE}\nmediastack_x_key: {VALUE}\n", 0o644)
    assert world.problems() == []
    (sentence,) = world.problems(
        **{KEY: "{{ my_key | trim }}", "my_key": "{{ mediastack_x_key }}", "mediastack_x_key": VALUE}
    )
    assert "holds mediastack_x_key, my_key in plain text" in sentence


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hosts.yml", f"mediastack: {{hosts: {{nas: {{{KEY}: {VALUE}}}}}}}\n"),
        ("hosts.yml", f"mediastack: {{vars: {{{KEY}: {VALUE}}}, hosts: {{nas: }}}}\n"),
    ],
)
def test_the_inventory_itself_counts(world, name, text):
    world.write(name, text, 0o644)
    assert "every user of this machine" in world.problems()[0]


def test_an_inventory_in_inis_form_counts(world):
    path = world.write("hosts", f"[mediastack]\nnas {KEY}={VALUE} # mine\n# {KEY}=x\n", 0o644)
    assert "every user" in world.problems(ansible_inventory_sources=[str(path)])[0]
    path.write_text(f"[mediastack]\nnas\n# {KEY}={VALUE}\n")
    assert world.problems(ansible_inventory_sources=[str(path)]) == []


@pytest.mark.parametrize("name", ["keys.yml", "keys.json", "keys", "keys.vars"])
def test_a_file_of_extra_variables_counts_wherever_it_lies(world, name):
    path = world.write(f"elsewhere/{name}", f'{{"{KEY}": "{VALUE}"}}\n', 0o644)
    world.track()
    assert world.problems() == []
    tracked, opened = world.problems(vars_files=[str(path), "/dev/null", str(world.path / "missing")])
    assert tracked.startswith(f"{path} holds {KEY} in plain text and is tracked by git") and "every user" in opened
    path.write_text(VAULT.encrypt(f"{KEY}: {VALUE}\n".encode()).decode())
    assert world.problems(vars_files=[str(path)]) == []


@pytest.mark.parametrize(
    "text",
    [
        "mediastack_env: {TURN: '1', TZ_NAME: x}\n",
        f"mediastack_tls_cert: {VALUE}\n",
        f"{KEY}: ''\n",
        f"{KEY}:\n",
        f"# {KEY}: {VALUE}\n",
        "mediastack_timezone: Europe/Berlin\n",
        f"mediastack_x_note: see {KEY}\n",
        f"{KEY}: [\n",
    ],
)
def test_what_is_no_secret_is_left_alone(world, text):
    world.write("group_vars/mediastack.yml", text, 0o644)
    world.track()
    assert world.problems() == []


def test_the_values_of_the_lab_open_nothing(world):
    world.write("group_vars/mediastack.yml", f"{KEY}: {VALUE}\n", 0o644)
    world.track()
    assert world.problems(lab=True) == [] and len(world.problems()) == 2


def test_the_password_of_the_vault_is_for_its_owner_and_no_repository(world):
    path = world.write(".vault-password", VALUE, 0o644)
    world.track()
    tracked, opened = world.problems([str(path)])
    assert "holds the password of a vault in plain text and is tracked by git" in tracked
    assert f"git rm --cached {path}" in tracked and "ansible-vault" not in tracked
    assert f"chmod 600 {path} (docs/secrets.md)" in opened
    # A program that asks a keyring holds nothing.
    path.chmod(0o755)
    assert world.problems([str(path), str(world.path / "missing"), "prompt"]) == []


def test_dotenv_and_age_keys_beside_the_inventory_count(world):
    world.write(".env", f"TZ=x\nWIREGUARD_PRIVATE_KEY={VALUE}\nTOKEN_FILE=/run/secrets/x\n", 0o644)
    world.write("lab.agekey", f"# created\nAGE-SECRET-KEY-1{VALUE}\n", 0o644)
    assert [sentence.partition(" holds ")[2].partition(" in plain")[0] for sentence in world.problems()] == [
        "WIREGUARD_PRIVATE_KEY",
        "an age key",
    ]
    world.write(".env", "TZ=x\nPASSWORD=${FROM_ELSEWHERE}\nAPI_KEY_FILE=/run/x\n", 0o644)
    world.write("lab.agekey", "age1publickey\n", 0o644)
    assert world.problems() == []
    key = world.write("sub/keys", "AGE-SECRET-KEY-1\n", 0o644)
    assert "an age key" in world.problems(environ={"SOPS_AGE_KEY_FILE": str(key)})[0]


def test_names_that_a_shell_or_git_would_read_as_something_else(world):
    name = "group_vars/mediastack/-- $(touch x) *':(top).yml"
    path = world.write(name, f"{KEY}: {VALUE}\n", 0o644)
    world.track()
    tracked, _opened = world.problems()
    assert "'\\''" in tracked and not (world.path / "x").exists() and str(path) in tracked


def test_without_git_the_mode_counts_all_the_same(world, monkeypatch):
    world.write("group_vars/mediastack.yml", f"{KEY}: {VALUE}\n", 0o644)
    world.track()
    monkeypatch.setenv("PATH", "/nonexistent")
    (sentence,) = world.problems()
    assert "every user" in sentence


def test_a_repository_whose_configuration_runs_programs_runs_none(world):
    world.write("group_vars/mediastack.yml", f"{KEY}: {VALUE}\n")
    world.track()
    mark = world.path / "ran"
    world.git("config", "core.fsmonitor", f"touch {mark}; true")
    world.git("config", "core.pager", f"touch {mark}")
    assert len(world.problems()) == 1 and not mark.exists()
