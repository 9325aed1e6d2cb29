# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`config_show`, `config_edit` and `config_validate` as a user runs them; the editor at a real terminal."""

from __future__ import annotations

import os
import pathlib
import shlex
import stat
import subprocess

import pexpect
import pytest
import stack_harness as harness

PASSWORD = "a password"
INVENTORY = """\
mediastack:
  hosts:
    nas:
    attic:
      mediastack_domain: attic.example
"""
GROUP = f"""\
mediastack_vpn_provider: mullvad
mediastack_vpn_wireguard_addresses: [10.64.0.2/32]
mediastack_base_path: /srv/cf3
mediastack_split_mounts: false
mediastack_vpn_wireguard_private_key: {harness.WIREGUARD_KEY}
"""
MINE = "host_vars/nas/mediastack.yml"
VAULT = "host_vars/nas/mediastack.vault.yml"


class Home:
    """A user's directory."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.write("inventory.yml", INVENTORY)
        self.write("group_vars/mediastack/mediastack.yml", GROUP)
        self.write(MINE, "---\n# Of this server.\nmediastack_puid: 1001\n")
        self.write("password", PASSWORD)
        self.write("ansible.cfg", "[defaults]\ninventory = inventory.yml\nvault_password_file = password\n")

    def write(self, path, text):
        """Write a file."""
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def read(self, path):
        """The text of a file."""
        return (self.directory / path).read_text()

    def encrypt(self, path, text):
        """Write a file that `ansible-vault` encrypts."""
        self.write(path, text)
        self.vault("encrypt", path)

    def vault(self, verb, path):
        """What `ansible-vault` prints."""
        done = subprocess.run(
            [harness.VENV / "ansible-vault", verb, path], cwd=self.directory, env=self.environment(),
            capture_output=True, text=True, timeout=60, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.stdout

    def environment(self, **more):
        """The environment of a run: nothing of the caller's settings."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MEDIASTACK_", "NO_COLOR"))}
        kept.pop("VISUAL", None)
        kept.update(PATH=f"{harness.VENV}:{kept['PATH']}", XDG_CONFIG_HOME=str(self.directory / "xdg"))
        kept.update(ANSIBLE_COLLECTIONS_PATH=str(harness.ROOT / ".ansible" / "collections"), TERM="xterm")
        return {**kept, **more}

    def play(self, verb, *arguments, **more):
        """Run a playbook without a terminal."""
        return subprocess.run(
            [harness.VENV / "ansible-playbook", f"homelab.mediastack.{verb}", *arguments],
            cwd=self.directory, env=self.environment(**more), capture_output=True, text=True, timeout=120,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    def editor(self, name, *lines):
        """A program that does this to the file `$1`."""
        file = self.write(f"bin/{name}", "#!/bin/sh\n" + "\n".join(lines) + "\n")
        file.chmod(0o755)
        return str(file)

    def edit(self, editor, *arguments, **more):
        """Run `config_edit` at a terminal."""
        command = shlex.join([str(harness.VENV / "ansible-playbook"), "homelab.mediastack.config_edit", *arguments])
        return pexpect.spawn(
            command, cwd=str(self.directory), env=self.environment(EDITOR=editor, ANSIBLE_NOCOLOR="1", **more),
            encoding="utf-8", timeout=60, dimensions=(40, 160),
        )  # fmt: skip


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def end(child):
    """What else is said until the end, and the exit code."""
    text = child.read()
    child.close()
    return text, child.exitstatus


def said(done):
    return done.stdout + done.stderr


# -- config_show -------------------------------------------------------------------------------------------------------


def test_show(home):
    home.encrypt(VAULT, "mediastack_plex_claim: claim-abcdef\n")
    home.write("host_vars/attic.yml", "mediastack_overrides: {sonarr: {environment: {API_KEY: hush-hush}}}\n")
    done = home.play("config_show", MEDIASTACK_TIMEZONE="Europe/Berlin")
    assert done.returncode == 0, said(done)
    lines = {" ".join(line.split()) for line in done.stdout.splitlines()}
    assert "HOST SETTING VALUE ORIGIN" in lines
    for line in (
        "* nas mediastack_puid 1001 host_vars/nas/mediastack.yml:3",
        "* nas mediastack_plex_claim '********' host_vars/nas/mediastack.vault.yml:1",
        "* attic mediastack_domain attic.example inventory.yml:5",
        "* attic mediastack_overrides {sonarr: {environment: {API_KEY: '********'}}} host_vars/attic.yml:1",
        "* (all 2) mediastack_base_path /srv/cf3 group_vars/mediastack/mediastack.yml:3",
        "(all 2) mediastack_split_mounts false group_vars/mediastack/mediastack.yml:4",
        "* (all 2) mediastack_vpn_wireguard_private_key '********' group_vars/mediastack/mediastack.yml:5",
        "* (all 2) mediastack_timezone Europe/Berlin environment variable MEDIASTACK_TIMEZONE",
        "(all 2) mediastack_gpu none default",
    ):
        assert line in lines, done.stdout
    for secret in (harness.WIREGUARD_KEY, "claim-abcdef", "hush-hush"):
        assert secret not in said(done)
    assert "\x1b" not in done.stdout and "changed=0" in done.stdout


@pytest.mark.long
def test_show_some(home):
    done = home.play("config_show", "--check", "-e", "setting=mediastack_puid,domain", "--limit", "nas")
    assert done.returncode == 0, said(done)
    shown = [word for line in done.stdout.splitlines() for word in line.split() if word.startswith("mediastack_")]
    assert shown == ["mediastack_puid", "mediastack_domain"], done.stdout

    done = home.play("config_show", "-e", "setting=prots", "--limit", "nas")
    assert done.returncode != 0
    assert 'FAILED! => -e setting=: "prots" is no setting. Did you mean ports?\n' in said(done)


def test_show_what_is_wrong(home):
    home.write(MINE, "mediastack_puid: many\n")
    done = home.play("config_show", "-e", "setting=puid")
    assert done.returncode != 0
    assert any(line.split()[:4] == ["!", "nas", "mediastack_puid", "many"] for line in done.stdout.splitlines())
    assert "1 problem with the settings shown above" in said(done)
    assert "Traceback" not in said(done)


# -- config_validate ---------------------------------------------------------------------------------------------------


def test_validate(home):
    done = home.play("config_validate")
    assert done.returncode == 0, said(done)
    assert "problem" in done.stdout and " error" not in done.stdout


def test_validate_tells_all_of_all_hosts(home):
    home.write(MINE, "mediastack_puid: many\nmediastack_profile: [music]\n")
    home.write(
        "host_vars/attic.yml", "mediastack_overrides: {qbittorrent: {cap_add: [NET_ADMIN]}, sonarr: {imag: x}}\n"
    )
    done = home.play("config_validate", "--check")
    assert done.returncode != 0
    text = said(done)
    for line in (
        f'  error    mediastack_puid ({MINE}:1): "many" is not a whole number',
        f"  error    mediastack_profile ({MINE}:2): no such setting. Did you mean mediastack_profiles",
        "  error    sonarr: imag: is not a key of Compose; Did you mean image?",
        "  error    qbittorrent: cap_add: with NET_ADMIN it could change the firewall of gluetun, whose namespace",
    ):
        assert line in text, text
    assert text.index("\nnas\n") < text.index("\nattic\n"), "in the inventory's order"
    assert "FAILED! => 4 problems: 4 errors" in text
    assert harness.WIREGUARD_KEY not in text and "Traceback" not in text

    one = home.play("config_validate", "--limit", "attic")
    assert one.returncode != 0 and "FAILED! => 2 problems: 2 errors" in said(one)


# -- config_edit -------------------------------------------------------------------------------------------------------


def test_edit_at_a_terminal(home):
    (home.directory / MINE).chmod(0o640)
    editor = home.editor("ed", "test -t 0 && test -t 1 && test -t 2 || exit 9", 'echo "mediastack_pgid: 1002" >> "$1"')
    text, code = end(home.edit(editor, "--limit", "nas"))
    assert code == 0, text
    assert f"{MINE} is saved. site makes the servers match it." in text and "changed=1" in text
    assert home.read(MINE) == "---\n# Of this server.\nmediastack_puid: 1001\nmediastack_pgid: 1002\n"
    assert stat.S_IMODE((home.directory / MINE).stat().st_mode) == 0o640


def test_edit_again_until_it_is_well(home):
    editor = home.editor(
        "ed",
        'if grep -q many "$1"; then sed -i s/many/1003/ "$1"; else sed -i s/1001/many/ "$1"; fi',
    )
    child = home.edit(editor, "--limit", "nas")
    child.expect(r"\[e\]dit again, \[k\]eep it all the same, \[t\]hrow it away\? ")
    assert f'error    mediastack_puid ({MINE}:3): "many" is not a whole number' in child.before
    assert "1001" in home.read(MINE), "not before it is well"
    child.send("e")
    text, code = end(child)
    assert code == 0, text
    assert "mediastack_puid: 1003\n" in home.read(MINE)


@pytest.mark.parametrize(("answer", "kept"), [("t", False), ("\x03", False), ("k", True)])
def test_an_edit_with_errors_is_the_users_to_decide(home, answer, kept):
    editor = home.editor("ed", 'sed -i s/1001/many/ "$1"')
    child = home.edit(editor, "--limit", "nas")
    child.expect(r"throw it away\? |\[t\]hrow it away\? ")
    child.send(answer)
    text, code = end(child)
    assert ("many" in home.read(MINE)) is kept
    assert (code == 0) is kept, text
    if not kept:
        assert f"FAILED! => {MINE} is as it was: the edit was thrown away." in text


def test_an_editor_that_fails_or_is_missing(home):
    before = home.read(MINE)
    text, code = end(home.edit(home.editor("ed", 'echo x >> "$1"', "exit 1"), "--limit", "nas"))
    assert code != 0 and f"FAILED! => {MINE} is as it was: {home.directory}/bin/ed ended with 1." in text
    text, code = end(home.edit("no-such-editor --wait", "--limit", "nas"))
    assert code != 0 and "EDITOR=no-such-editor --wait: there is no program no-such-editor. Set EDITOR" in text
    assert home.read(MINE) == before


@pytest.mark.long
def test_ctrl_c_while_the_editor_runs(home):
    before = home.read(MINE)
    editor = home.editor("ed", 'echo "mediastack_puid: 7" >> "$1"', 'echo "$1" $$', "sleep 100")
    child = home.edit(editor, "--limit", "nas")
    child.expect(r"(/\S+/mediastack\.yml) (\d+)\r\n")
    copy, process = child.match[1], int(child.match[2])
    for _turn in range(3):
        # A shell that is about to start a program may miss it; whoever pressed it presses it again.
        child.sendintr()
        if child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=10) == 0:
            break
    text, code = end(child)
    assert code != 0, text
    assert home.read(MINE) == before
    harness.wait_for(lambda: not os.path.exists(f"/proc/{process}"), 10, "the end of the editor")
    assert not os.path.exists(copy), "the copy may hold secrets"


@pytest.mark.parametrize("program", ["ed", "ed -f --wait"])
def test_an_editor_that_opens_its_terminal_itself(home, program):
    """micro and emacs do; and what the arguments of EDITOR are is theirs. Ctrl-C is a key for the editor alone."""
    editor = home.editor(
        "ed",
        'for file; do :; done; echo "mediastack_pgid: 1002 # $#" >> "$file"',
        "exec < /dev/tty > /dev/tty && stty -isig && stty size && echo ready && head -n 1 | cat -v && stty isig",
    )
    child = home.edit(editor + program.removeprefix("ed"), "--limit", "nas")
    child.expect("40 160\r\nready\r\n")
    child.send("\x03ok\r")
    text, code = end(child)
    assert code == 0 and "^Cok" in text, text
    assert f"mediastack_pgid: 1002 # {len(program.split())}\n" in home.read(MINE)


@pytest.mark.parametrize("deaf", ["", "trap '' HUP"])
def test_the_terminal_goes_away_while_the_editor_runs(home, deaf):
    """Nothing is changed, and nothing stays: no process, no copy that may hold secrets."""
    before = home.read(MINE)
    mark = f"MEDIASTACK_TEST_MARK_{home.directory.name}"
    editor = home.editor("ed", deaf, 'echo "mediastack_puid: 7" >> "$1"', 'echo "$1" ready', "sleep 100", "exit 0")
    child = home.edit(editor, "--limit", "nas", TEST_MARK=mark)
    child.expect(r"(/\S+/mediastack\.yml) ready\r\n")
    copy = child.match[1]
    harness.hang_up(child, mark)
    assert home.read(MINE) == before
    assert not os.path.exists(copy)


@pytest.mark.long
def test_edit_an_encrypted_file(home):
    home.encrypt(VAULT, "mediastack_plex_claim: claim-old\n")
    before = (home.directory / VAULT).read_bytes()
    editor = home.editor("ed", 'grep -q claim-old "$1" || exit 9', 'sed -i s/claim-old/claim-new/ "$1"')
    text, code = end(home.edit(editor, "--limit", "nas", "-e", "file=vault"))
    assert code == 0, text
    after = (home.directory / VAULT).read_bytes()
    assert after != before and after.startswith(b"$ANSIBLE_VAULT") and b"claim" not in after
    assert home.vault("view", VAULT) == "mediastack_plex_claim: claim-new\n"
    assert "claim-new" not in text

    invalid = home.editor("ed", 'sed -i s/claim-new/no-claim/ "$1"')
    child = home.edit(invalid, "--limit", "nas", "-e", "file=vault")
    child.expect("throw it away|hrow it away")
    assert "mediastack_plex_claim" in child.before and "no-claim" not in child.before
    child.send("t")
    assert end(child)[1] != 0
    assert (home.directory / VAULT).read_bytes() == after


def test_edit_what_a_group_shares(home):
    editor = home.editor("ed", 'sed -i s/cf3/cf4/ "$1"')
    text, code = end(home.edit(editor, "-e", "scope=mediastack"))
    assert code == 0, text
    assert "mediastack_base_path: /srv/cf4" in home.read("group_vars/mediastack/mediastack.yml")


def test_edit_where_the_settings_stand(home):
    editor = home.editor("ed", 'sed -i s/attic.example/loft.example/ "$1"')
    text, code = end(home.edit(editor, "--limit", "attic"))
    assert code == 0, text
    assert "host_vars/attic/mediastack.yml is not there; 1 setting of attic stands in inventory.yml" in text
    assert "loft.example" in home.read("inventory.yml")


@pytest.mark.long
def test_without_a_terminal(home):
    home.encrypt(VAULT, "mediastack_plex_claim: claim-old\n")
    done = home.play("config_edit", "--limit", "nas", EDITOR="cat")
    assert done.returncode != 0
    assert f"The file is {MINE}; edit it with: cat {home.directory / MINE}" in said(done)
    done = home.play("config_edit", "--limit", "nas", "-e", "file=vault", "--vault-id", "default@password")
    assert f"ansible-vault edit --vault-id default@password {home.directory / VAULT}" in said(done)
    assert done.returncode != 0 and "Traceback" not in said(done)

    done = home.play("config_edit", "--limit", "nas", "--check")
    assert done.returncode == 0 and f"would open {MINE}" in done.stdout


def test_several_hosts(home):
    done = home.play("config_edit")
    assert done.returncode != 0
    assert (
        "FAILED! => config_edit opens the file of one host, and this run has 2 (nas, attic). Name one with "
        "--limit nas, or edit what they share with -e scope=<group> (all, mediastack)." in said(done)
    )
