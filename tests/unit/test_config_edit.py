# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`config_edit`: which file it opens, what it checks, and that the file is replaced whole or not at all."""

import contextlib
import os
import pathlib
import stat

import config_world
import pytest
from ansible.parsing.vault import VaultLib

from ansible_collections.homelab.mediastack.plugins.plugin_utils import edit_check, edit_session, edit_target, editor
from ansible_collections.homelab.mediastack.plugins.plugin_utils.init_vault import Keyring, VaultError

MINE = "host_vars/nas/mediastack.yml"
VAULT = "host_vars/nas/mediastack.vault.yml"


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    directory = tmp_path / "inventory"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return config_world.World(directory)


@pytest.fixture
def find(world):
    def target(file="settings", scope="", hosts=("nas",), can_encrypt=True):
        return edit_target.find(world.variables(), world.loader(), file, scope, hosts, can_encrypt)

    return target


# -- which file --------------------------------------------------------------------------------------------------------


def test_the_file_of_the_host(world, find):
    world.write(MINE, "mediastack_puid: 1\n")
    world.write("inventory.yml", "mediastack:\n  hosts:\n    nas: {mediastack_pgid: 1, mediastack_gpu: none}\n")
    target = find()
    assert (target.path, target.exists, target.encrypted, target.note) == (world.path(MINE), True, False, "")
    assert target.shown == MINE and target.hosts == ("nas",)


def test_a_new_file_where_there_is_none(world, find):
    target = find()
    assert (target.path, target.exists, target.note) == (world.path(MINE), False, f"{MINE} is new")
    target = find("vault")
    assert (target.path, target.exists, target.encrypted) == (world.path(VAULT), False, True)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("inventory.yml", "mediastack:\n  hosts:\n    nas:\n      mediastack_puid: 1\n      mediastack_pgid: 1\n"),
        ("host_vars/nas.yml", "mediastack_puid: 1\nmediastack_pgid: 1\n"),
        ("host_vars/nas/main.yml", "mediastack_puid: 1\nmediastack_pgid: 1\n"),
    ],
)
def test_the_file_where_the_settings_really_stand(world, find, place, text):
    world.write(place, text)
    target = find()
    assert (target.path, target.exists) == (world.path(place), True)
    assert target.note == f"{MINE} is not there; 2 settings of nas stand in {place}"


def test_an_inventory_in_ini(world, find):
    world.sources = ["hosts"]
    world.write(
        "hosts", "[mediastack]\nnas mediastack_puid=1 # mediastack_x=2\n\n[mediastack:vars]\nmediastack_gpu=none\n"
    )
    assert find().note == f"{MINE} is not there; 1 setting of nas stands in hosts"
    world.write("group_vars/mediastack/mediastack.yml", "")
    os.unlink(world.path("group_vars/mediastack/mediastack.yml"))
    assert find(scope="mediastack").path == world.path("hosts")


def test_a_file_that_a_directory_would_hide(world, find):
    """Ansible reads host_vars/nas.yml only while there is no directory host_vars/nas."""
    world.write("host_vars/nas.yml", "mine: 1\n")
    assert find().path == world.path("host_vars/nas.yml")
    with pytest.raises(edit_target.TargetError, match="would hide it. Move it to host_vars/nas/mediastack.yml first"):
        find("vault")


def test_the_encrypted_file(world, find):
    world.write(VAULT, "mediastack_puid: 1\n", secret=0)
    target = find("vault")
    assert (target.path, target.encrypted, target.note) == (world.path(VAULT), True, "")


def test_another_encrypted_file(world, find):
    world.write("host_vars/nas/secrets.yml", "mediastack_plex_claim: claim-x\n", secret=0)
    world.write("host_vars/nas/mediastack.yml", "mediastack_puid: 1\n")
    target = find("vault")
    assert (target.path, target.encrypted) == (world.path("host_vars/nas/secrets.yml"), True)


def test_no_password_for_a_new_encrypted_file(find):
    with pytest.raises(edit_target.TargetError, match="no vault password to encrypt a new one"):
        find("vault", can_encrypt=False)


def test_the_file_of_a_group(world, find):
    target = find(scope="mediastack", hosts=("nas", "attic"))
    assert target.path == world.path("group_vars/mediastack/mediastack.yml")
    assert target.hosts == ("nas", "attic")


def test_several_hosts_need_a_limit_or_a_group(find):
    with pytest.raises(edit_target.TargetError) as caught:
        find(hosts=("nas", "attic"))
    assert "this run has 2 (nas, attic)" in str(caught.value)
    assert "--limit nas" in str(caught.value) and "-e scope=<group> (all, mediastack)" in str(caught.value)


def test_an_unknown_group(find):
    with pytest.raises(edit_target.TargetError, match='"mediastak" is no group of the hosts.*Did you mean mediastack'):
        find(scope="mediastak")


# -- what is checked ---------------------------------------------------------------------------------------------------


@pytest.fixture
def check(world, find, tmp_path):
    def findings(text, **target):
        found = edit_check.check(
            find(**target),
            text,
            [world.path(each) for each in world.sources],
            world.loader(),
            world.templar(),
            str(tmp_path),
        )
        return {host: [each.text for each in findings] for host, findings in found.items()}

    return findings


def test_a_good_edit(world, check):
    assert check("mediastack_puid: 1001\n") == {"nas": []}
    assert not os.path.exists(world.path("host_vars"))


def test_a_setting_that_is_wrong_with_the_file_that_the_user_knows(world, check, monkeypatch):
    assert check("---\nmediastack_puid: many\n") == {
        "nas": [f'mediastack_puid ({MINE}:2): "many" is not a whole number']
    }
    monkeypatch.chdir("/")
    (text,) = check("---\nmediastack_puid: many\n")["nas"]
    assert text.startswith(f"mediastack_puid ({world.path(MINE)}:2)")


def test_the_rest_of_the_inventory_counts(world, check):
    world.write("group_vars/mediastack/mediastack.yml", "mediastack_vpn_enabled: false\nmediastack_x_base: /srv/x\n")
    world.write(VAULT, "mediastack_puid: many\n", secret=1)
    texts = check('mediastack_base_path: "{{ mediastack_x_base }}/ms"\nmediastack_pgid: 1001\n')["nas"]
    assert texts == [f'mediastack_puid ({VAULT}:1): "many" is not a whole number']
    assert check("mediastack_puid: many\n", file="vault") == {"nas": texts}


def test_what_another_file_overrides_does_not_count(world, check):
    world.write(MINE, "mediastack_puid: 1001\n")
    text = "mediastack_vpn_enabled: false\nmediastack_puid: many\n"
    found = check(text, scope="mediastack", hosts=("nas", "attic"))
    assert found["nas"] == []
    assert found["attic"] == ['mediastack_puid (group_vars/mediastack/mediastack.yml:2): "many" is not a whole number']


def test_the_linter_looks_at_it_too(check):
    texts = check("mediastack_overrides: {sonarr: {restart: allways}}\n")["nas"]
    assert texts == ["sonarr: restart: 'allways' is not a restart policy; Did you mean always?"]


def test_own_service_files_are_seen(world, check):
    world.write(
        "services/chat.yml.j2",
        "services:\n  chat:\n    image: chat:1\n"
        "    x-mediastack: {title: Chat, profiles: [always], login: {kind: none}}\n",
    )
    assert check("mediastack_overrides: {chat: {restart: 'no'}}\n") == {"nas": []}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mediastack_puid: [1\n", f"{MINE}:2: not YAML: "),
        ("- mediastack_puid\n", f"{MINE}:1: must be a map of name: value"),
        (
            "mediastack_puid: 1\nx: 2\nmediastack_puid: 3\n",
            f"{MINE}:3: mediastack_puid stands here a second time, first in",
        ),
    ],
)
def test_what_cannot_be_read(check, text, message):
    texts = check(text)["nas"]
    assert len(texts) == 1 and texts[0].startswith(message), texts


def test_the_inventory_itself(world, check):
    world.write("inventory.yml", "mediastack:\n  hosts:\n    nas: {mediastack_pgid: 1001}\n")
    assert check("mediastack:\n  hosts:\n    nas: {mediastack_puid: many}\n") == {
        "nas": ['mediastack_puid (inventory.yml:3): "many" is not a whole number']
    }
    assert check("mediastack:\n  hosts:\n    box: {}\n") == {"nas": ["inventory.yml: nas is gone from the inventory"]}


def test_nothing_is_left_behind(check, tmp_path):
    check("mediastack_puid: 1001\n")
    assert os.listdir(tmp_path) == ["inventory"]


# -- the session -------------------------------------------------------------------------------------------------------


class FakeTerminal:
    """An editor that writes what it is told, and a user who answers as told."""

    def __init__(self, edits, answers=()):
        self.edits, self.answers, self.said, self.seen, self.copies = list(edits), list(answers), "", [], []

    held = staticmethod(contextlib.nullcontext)

    def edit(self, _words, path):
        file = pathlib.Path(path)
        self.seen.append(file.read_text())
        self.copies.append((path, stat.S_IMODE(os.stat(path).st_mode)))
        edit = self.edits.pop(0)
        if isinstance(edit, int):
            return edit
        if callable(edit):
            edit(file)
        else:
            file.write_bytes(edit if isinstance(edit, bytes) else edit.encode())
        return 0

    def write(self, text):
        self.said += text

    def key(self, question, keys):
        self.said += question
        assert keys == ("e", "k", "t")
        return self.answers.pop(0)


@pytest.fixture
def edit(world, find, check, tmp_path):
    def run(terminal, secrets=None, **options):
        target = find(**options)

        def judge(text):
            return edit_check.check(
                target,
                text,
                [world.path(each) for each in world.sources],
                world.loader(),
                world.templar(),
                str(tmp_path),
            )

        session = edit_session.Session(
            target,
            Keyring(config_world.SECRETS if secrets is None else secrets),
            terminal,
            ["ed"],
            judge,
            str(tmp_path),
        )
        return session.run()

    return run


def test_a_good_edit_replaces_the_file_with_its_mode(world, edit, tmp_path):
    file = world.write(MINE, "# mine\nmediastack_puid: 1\n")
    file.chmod(0o640)
    terminal = FakeTerminal(["# mine\nmediastack_puid: 1001\n"])
    assert edit(terminal).changed
    assert terminal.seen == ["# mine\nmediastack_puid: 1\n"]
    assert file.read_text() == "# mine\nmediastack_puid: 1001\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert terminal.copies[0][1] == 0o600 and os.path.basename(terminal.copies[0][0]) == "mediastack.yml"
    assert os.listdir(tmp_path) == ["inventory"]
    assert os.listdir(file.parent) == ["mediastack.yml"]


def test_without_a_change_nothing_is_touched(world, edit):
    file = world.write(MINE, "mediastack_puid: many\n")
    before = file.stat()
    outcome = edit(FakeTerminal(["mediastack_puid: many\n"]))
    assert not outcome.changed
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_errors_are_shown_and_edited_again(world, edit):
    file = world.write(MINE, "mediastack_puid: 1\n")
    terminal = FakeTerminal(["mediastack_puid: many\n", "mediastack_puid: 1001\n"], ["e"])
    assert edit(terminal).errors == 0
    assert "1 problem: 1 error" in terminal.said and '"many" is not a whole number' in terminal.said
    assert terminal.seen[1] == "mediastack_puid: many\n", "the editor opens what was written before"
    assert file.read_text() == "mediastack_puid: 1001\n"


def test_errors_are_kept_when_the_user_says_so(world, edit):
    file = world.write(MINE, "mediastack_puid: 1\n")
    outcome = edit(FakeTerminal(["mediastack_puid: many\n"], ["k"]))
    assert (outcome.changed, outcome.errors) == (True, 1)
    assert file.read_text() == "mediastack_puid: many\n"


@pytest.mark.parametrize(
    ("edits", "answers", "reason"),
    [
        (["mediastack_puid: many\n"], ["t"], "the edit was thrown away"),
        (["mediastack_puid: many\n"], [None], "the edit was thrown away"),
        ([1], [], "ed ended with 1"),
        ([-15], [], "ed was ended by signal 15"),
        ([lambda file: file.unlink()], [], "ed has removed the copy"),
    ],
)
def test_given_up(world, edit, edits, answers, reason, tmp_path):
    file = world.write(MINE, "mediastack_puid: 1\n")
    with pytest.raises(edit_session.GivenUp, match=reason):
        edit(FakeTerminal(edits, answers))
    assert file.read_text() == "mediastack_puid: 1\n"
    assert os.listdir(tmp_path) == ["inventory"]


def test_warnings_do_not_ask(world, edit):
    world.write(MINE, "mediastack_puid: 1\n")
    terminal = FakeTerminal(["mediastack_puid: 0\n"])
    assert edit(terminal).changed
    assert "1 problem: 1 warning" in terminal.said


def test_bytes_that_are_no_text_are_an_error(world, edit):
    world.write(MINE, "mediastack_puid: 1\n")
    terminal = FakeTerminal([b"mediastack_domain: x.example # \xff\n"], ["t"])
    with pytest.raises(edit_session.GivenUp):
        edit(terminal)
    assert "not UTF-8" in terminal.said


def test_somebody_else_has_changed_it_meanwhile(world, edit):
    file = world.write(MINE, "mediastack_puid: 1\n")

    def both(copy):
        copy.write_text("mediastack_puid: 1001\n")
        file.write_text("mediastack_puid: 7\n")

    terminal = FakeTerminal([both], ["t"])
    with pytest.raises(edit_session.GivenUp):
        edit(terminal)
    assert "was changed by somebody else meanwhile" in terminal.said
    assert file.read_text() == "mediastack_puid: 7\n"


def test_a_new_file(world, edit):
    terminal = FakeTerminal(["mediastack_puid: 1001\n"])
    assert edit(terminal).changed
    assert terminal.seen[0].startswith("---\n# Settings of nas.")
    assert pathlib.Path(world.path(MINE)).read_text() == "mediastack_puid: 1001\n"


def test_a_new_file_that_stays_empty_is_not_made(world, edit):
    assert not edit(FakeTerminal([lambda file: None])).changed
    assert not os.path.exists(world.path("host_vars"))


@pytest.mark.parametrize("secret", [0, 1])
def test_an_encrypted_file_stays_so_with_the_same_password(world, edit, secret, tmp_path):
    file = world.write(VAULT, "mediastack_plex_claim: claim-a\n", secret=secret)
    file.chmod(0o600)
    terminal = FakeTerminal(["mediastack_plex_claim: claim-b\n"])
    assert edit(terminal, file="vault").changed
    assert terminal.seen == ["mediastack_plex_claim: claim-a\n"]
    data = file.read_bytes()
    assert data.startswith(b"$ANSIBLE_VAULT") and b"claim-b" not in data
    assert VaultLib([config_world.SECRETS[secret]]).decrypt(data) == b"mediastack_plex_claim: claim-b\n"
    assert os.listdir(tmp_path) == ["inventory"]


def test_a_new_encrypted_file(world, edit):
    assert edit(FakeTerminal(["mediastack_plex_claim: claim-b\n"]), file="vault").changed
    file = pathlib.Path(world.path(VAULT))
    assert file.read_bytes().startswith(b"$ANSIBLE_VAULT")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_encrypted_file_without_its_password(world, edit):
    file = world.write(VAULT, "mediastack_plex_claim: claim-a\n", secret=1)
    before = file.read_bytes()
    with pytest.raises(VaultError, match="no vault password of this run fits"):
        edit(FakeTerminal([]), config_world.SECRETS[:1], file="vault")
    assert file.read_bytes() == before


def test_a_link_stays_a_link(world, edit):
    real = world.write("shared.yml", "mediastack_puid: 1\n")
    link = pathlib.Path(world.path(MINE))
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert edit(FakeTerminal(["mediastack_puid: 1001\n"])).changed
    assert link.is_symlink() and real.read_text() == "mediastack_puid: 1001\n"


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "a.yml"
    file.write_text("old")

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        edit_session.replace(str(file), b"new", 0o644)
    assert file.read_text() == "old" and os.listdir(tmp_path) == ["a.yml"]


# -- the editor --------------------------------------------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("vi", "nano", "code"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder)}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"VISUAL": "code --wait", "EDITOR": "nano"}, ["code", "--wait"]),
        ({"VISUAL": " ", "EDITOR": "nano"}, ["nano"]),
        ({}, ["vi"]),
    ],
)
def test_the_editor(programs, given, words):
    assert editor.command({**programs, **given}) == words


def test_the_last_resort(programs, tmp_path):
    (tmp_path / "bin" / "vi").unlink()
    assert editor.command(programs) == ["nano"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"EDITOR": "emacs -nw"}, "EDITOR=emacs -nw: there is no program emacs. Set EDITOR to your editor."),
        ({"VISUAL": "code '"}, "VISUAL=code ': No closing quotation"),
        ({"PATH": "/nowhere"}, "There is no editor: neither vi nor nano is installed. Set EDITOR to yours."),
    ],
)
def test_an_editor_that_is_missing(programs, given, message):
    with pytest.raises(editor.EditorError) as caught:
        editor.command({**programs, **given})
    assert str(caught.value).startswith(message)
