# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files that init writes: all or none, ansible.cfg by one line, the password file where it is safe, the example."""

from __future__ import annotations

import os
import pathlib
import re
import stat

import pytest
import yaml
from ansible.parsing.vault import VaultSecret

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    init_answers,
    init_directory,
    init_files,
    init_inventory,
    init_plan,
    init_vault,
    settings,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.init_files import Change, FilesError

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "inventory.example"


def snapshot(directory):
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(directory.rglob("*"))}


# -- writing ----------------------------------------


def test_files_are_written_with_their_modes_and_directories(tmp_path):
    old = tmp_path / "old.yml"
    old.write_text("before")
    old.chmod(0o640)
    init_files.write(
        [
            Change(str(old), b"before", b"after"),
            Change(str(tmp_path / "a" / "b" / "new"), None, b"secret", 0o600, directory_mode=0o700),
        ]
    )
    assert old.read_text() == "after" and stat.S_IMODE(old.stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "a" / "b" / "new").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


@pytest.mark.parametrize("failing", ["changed meanwhile", "unwritable", "rename"])
def test_after_an_error_all_is_as_it_was(tmp_path, monkeypatch, failing):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("1")
    changes = [Change(str(first), b"1", b"2"), Change(str(tmp_path / "new" / "file"), None, b"x")]
    if failing == "changed meanwhile":
        second.write_text("theirs")
        changes.append(Change(str(second), b"mine", b"other"))
    elif failing == "unwritable":
        second.write_text("a file where a directory is needed")
        changes.append(Change(str(second / "below"), None, b"x"))
    else:
        replace = os.replace

        def full(source, target):
            if target != str(first):
                raise OSError(28, "full", target)
            replace(source, target)

        monkeypatch.setattr(os, "replace", full)
    before = snapshot(tmp_path)
    with pytest.raises(FilesError):
        init_files.write(changes)
    assert snapshot(tmp_path) == before


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text("1")
    (tmp_path / "link").symlink_to("real")
    init_files.write([Change(str(tmp_path / "link"), b"1", b"2")])
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "2"


@pytest.mark.parametrize("name", ["nas", "nas.yml", "nas.yaml", "nas.json"])
def test_a_file_that_ansible_would_stop_reading_is_in_the_way(tmp_path, name):
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / name).write_text("a: 1\n")
    with pytest.raises(FilesError, match=rf"host_vars/{name} is a file.*main\.yml"):
        init_files.places(str(tmp_path), "host_vars", "nas")


# -- ansible.cfg ----------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[defaults]\nx = 1\n"),
        ("[defaults]\na = 2\n\n[inventory]\nb = 3\n", "[defaults]\na = 2\nx = 1\n\n[inventory]\nb = 3\n"),
        ("[inventory]\nb = 3", "[inventory]\nb = 3\n\n[defaults]\nx = 1\n"),
        ("[defaults]\n# x = old\na = 2\n", "[defaults]\n# x = old\nx = 1\na = 2\n"),
        ("[other]\n# x = 9\n[defaults]\n", "[other]\n# x = 9\n[defaults]\nx = 1\n"),
    ],
)
def test_one_option_is_one_line(before, after):
    assert init_files.set_option(before, "defaults", "x", "1") == after


def test_a_config_file_elsewhere_is_left_alone(tmp_path):
    other = tmp_path / "elsewhere.cfg"
    other.write_text("[defaults]\n")
    change, advice = init_inventory.config_change(str(tmp_path), str(other), "~/pw")
    assert change is None and "is left alone" in advice and "vault_password_file = ~/pw" in advice
    change, advice = init_inventory.config_change(str(tmp_path), None, "~/pw")
    assert advice is None and change.after == b"[defaults]\nvault_password_file = ~/pw\n"


# -- password file ----------------------------------------


def test_where_a_password_file_may_be(tmp_path):
    def problem(path):
        return " ".join(init_vault.check_password_file(str(path), [str(tmp_path / "repo")]))

    (tmp_path / "repo").mkdir()
    assert problem(tmp_path / "new" / "pw") == ""
    assert "may be committed" in problem(tmp_path / "repo" / "pw")
    (tmp_path / "into").symlink_to(tmp_path / "repo")
    assert "may be committed" in problem(tmp_path / "into" / "pw")
    assert "is relative" in problem("pw")
    assert "is not a file" in problem(tmp_path)
    file = tmp_path / "pw"
    file.write_text("x\n")
    file.chmod(0o644)
    assert f"chmod 600 {file}" in problem(file)
    file.chmod(0o700)
    assert "is a program" in problem(file)
    file.chmod(0o600)
    assert problem(file) == ""
    file.write_text("\n")
    assert "is empty" in problem(file)


def test_a_known_password_is_used_as_it_is(tmp_path):
    keyring = init_vault.Keyring([("mine", VaultSecret(b"pw"))])
    assert init_plan.choose_password(keyring, str(tmp_path), "") is None
    data = keyring.encrypt("a: 1\n")
    assert data.startswith(b"$ANSIBLE_VAULT;1.2;AES256;mine\n")
    text, key = keyring.decrypt(data, "x")
    assert text == "a: 1\n" and key[0] == "mine"
    with pytest.raises(init_vault.VaultError, match="no vault password of this run fits"):
        init_vault.Keyring([("mine", VaultSecret(b"other"))]).decrypt(data, "x")


def test_from_the_home_directory_the_proposed_password_file_does(tmp_path, monkeypatch):
    """Whoever begins in his home, as the README does, was refused the very file that was proposed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    inventory = str(tmp_path / "homelab")
    password = init_plan.choose_password(init_vault.Keyring([]), inventory, "")
    assert password.full == str(tmp_path / ".config" / "mediastack" / "vault-password")
    with pytest.raises(init_vault.VaultError, match="may be committed"):
        init_plan.choose_password(init_vault.Keyring([]), inventory, "~/homelab/password")
    # A home that is a repository is one.
    (tmp_path / ".git").mkdir()
    with pytest.raises(init_vault.VaultError, match="may be committed"):
        init_plan.choose_password(init_vault.Keyring([]), inventory, "")


def test_a_new_password_is_strong_and_never_the_same():
    assert len({init_vault.new_password() for _turn in range(5)}) == 5
    assert len(init_vault.new_password()) >= 43


# -- the pair of vars files ----------------------------------------


def answers(given, **values):
    draft = settings.Draft(
        {name: option["default"] for name, option in settings.load_spec().items()} | given,
        dict.fromkeys(settings.load_spec(), "default") | dict.fromkeys(given, "inventory"),
        [],
    )
    found = init_answers.Answers(draft, lambda: None)
    for short, value in values.items():
        found.set(short, value)
    return found


def test_what_goes_where():
    found = answers(
        {},
        timezone="Europe/Berlin",
        puid=1000,
        vpn_provider="mullvad",
        vpn_wireguard_private_key="key",
        vpn_port_forwarding=False,
        umask="022",
    )
    writing = init_answers.writing(found, {}, {}, {"mediastack_timezone": "Europe/Berlin", "mediastack_umask": "002"})
    assert writing.settings == {
        "mediastack_puid": 1000,
        "mediastack_umask": "022",
        "mediastack_vpn_provider": "mullvad",
    }
    assert writing.vault == {"mediastack_vpn_wireguard_private_key": "key"}
    assert writing.equal == ("mediastack_timezone",) and not writing.settings_out


def test_a_value_stays_where_it_stands_and_goes_when_a_group_says_it():
    found = answers({}, timezone="Europe/Berlin", puid=5, domain="a.b", vpn_openvpn_password="new", pgid=7)
    writing = init_answers.writing(
        found,
        {"mediastack_timezone": "Etc/UTC", "mediastack_puid": 5, "mediastack_vpn_openvpn_password": "old"},
        {"mediastack_domain": "x.y"},
        {"mediastack_timezone": "Europe/Berlin"},
    )
    assert writing.settings_out == ("mediastack_timezone", "mediastack_vpn_openvpn_password")
    assert writing.vault == {"mediastack_domain": "a.b", "mediastack_vpn_openvpn_password": "new"}
    assert writing.settings == {"mediastack_pgid": 7}


def test_an_open_vault_file_is_encrypted_when_it_changes_and_only_then(tmp_path):
    folder = tmp_path / "host_vars" / "nas"
    folder.mkdir(parents=True)
    (folder / "mediastack.vault.yml").write_text("# mine\nmediastack_vpn_openvpn_user: me\n")
    keyring = init_vault.Keyring([("default", VaultSecret(b"pw"))])
    pair = init_inventory.Pair(str(tmp_path), "host_vars", "nas", keyring)
    empty = init_answers.Writing({}, {}, (), (), ())
    assert pair.is_open and pair.changes(empty, {}) == []
    (change,) = pair.changes(init_answers.Writing({}, {"mediastack_vpn_openvpn_password": "x"}, (), (), ()), {})
    text, _key = keyring.decrypt(change.after, "x")
    assert text == "# mine\nmediastack_vpn_openvpn_user: me\nmediastack_vpn_openvpn_password: x\n"
    assert change.diff()["after"] == init_files.HIDDEN


def test_an_encrypted_settings_file_and_broken_yaml_are_named(tmp_path):
    folder = tmp_path / "host_vars" / "nas"
    folder.mkdir(parents=True)
    keyring = init_vault.Keyring([("default", VaultSecret(b"pw"))])
    (folder / "mediastack.yml").write_bytes(keyring.encrypt("a: 1\n"))
    with pytest.raises(FilesError, match="ansible-vault decrypt"):
        init_inventory.Pair(str(tmp_path), "host_vars", "nas", keyring)
    (folder / "mediastack.yml").write_text("a: [1\n")
    with pytest.raises(FilesError, match=r"mediastack\.yml: line 2: not YAML"):
        init_inventory.Pair(str(tmp_path), "host_vars", "nas", keyring)


# -- a new directory ----------------------------------------

NAS = {
    "local": False,
    "host": "192.168.1.10",
    "user": "you",
    "port": None,
    "python": None,
    "transfer": None,
    "become": True,
}


def test_the_example_is_what_init_writes(tmp_path):
    """The same files; the same inventory; the settings that its comments explain are those that init writes."""
    changes = init_directory.changes(str(tmp_path), "nas", NAS, "~/.config/mediastack/vault-password")
    keyring = init_vault.Keyring([("default", VaultSecret(b"pw"))])
    pair = init_inventory.Pair(str(tmp_path), "host_vars", "nas", keyring)
    shown = yaml.safe_load((EXAMPLE / "host_vars" / "nas" / "mediastack.yml").read_text())
    found = answers({}, **{name.removeprefix("mediastack_"): value for name, value in shown.items()})
    found.set("vpn_wireguard_private_key", "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=")
    changes += pair.changes(init_answers.writing(found, {}, {}, {}), {})
    written = {str(pathlib.Path(change.path).relative_to(tmp_path)): change.after for change in changes}
    there = {str(path.relative_to(EXAMPLE)) for path in EXAMPLE.rglob("*") if path.is_file()}
    assert set(written) == there
    for name in ("inventory.yml", "host_vars/nas/mediastack.yml", "requirements.yml"):
        assert yaml.safe_load(written[name]) == yaml.safe_load((EXAMPLE / name).read_text()), name
    vault, _key = keyring.decrypt(written["host_vars/nas/mediastack.vault.yml"], "x")
    example_vault = yaml.safe_load((EXAMPLE / "host_vars" / "nas" / "mediastack.vault.yml").read_text())
    assert set(yaml.safe_load(vault)) == set(example_vault)
    assert written[".gitignore"] == (EXAMPLE / ".gitignore").read_bytes()
    commented = (EXAMPLE / "ansible.cfg").read_text()
    assert written["ansible.cfg"].decode() == re.sub(r"(?m)^# (vault_password_file)", r"\1", commented)


def test_the_inventory_of_this_machine_and_of_an_odd_one():
    here = {**dict.fromkeys(NAS), "local": True, "become": False}
    text = init_directory.inventory("here", here)
    assert 'ansible_python_interpreter: "{{ ansible_playbook_python }}"' in text and "become" not in text
    odd = {**NAS, "port": 2222, "python": "/opt/bin/python3", "transfer": "piped", "become": False}
    (host,) = yaml.safe_load(init_directory.inventory("odd", odd))["mediastack"]["hosts"].values()
    assert host == {
        "ansible_host": "192.168.1.10",
        "ansible_user": "you",
        "ansible_port": 2222,
        "ansible_python_interpreter": "/opt/bin/python3",
        "ansible_ssh_transfer_method": "piped",
    }


@pytest.mark.parametrize("name", ["ansible.cfg", "inventory.yml", "host_vars", ".gitignore"])
def test_nothing_in_a_directory_is_overwritten(tmp_path, name):
    init_directory.refuse(str(tmp_path / "not" / "yet"))
    (tmp_path / name).write_text("mine")
    with pytest.raises(FilesError, match=f"{name} is there already"):
        init_directory.refuse(str(tmp_path))
    with pytest.raises(FilesError, match="is not a directory"):
        init_directory.refuse(str(tmp_path / name))


def test_the_root_of_the_file_system_is_no_place_for_an_inventory():
    with pytest.raises(FilesError, match="/ is no place for an inventory"):
        init_directory.refuse("/")


def test_names_of_hosts():
    assert init_directory.check_name("nas-2.home") == ""
    for name in ("", "my nas", "all", "mediastack", "-x", "a/b"):
        assert init_directory.check_name(name)
