# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`ansible-playbook homelab.mediastack.init` as users meet it: at a pseudo-terminal, unattended, interrupted, again."""

from __future__ import annotations

import os
import pathlib
import socket
import stat
import subprocess
import tempfile

import pytest
import yaml
from init_harness import VENV, WIREGUARD_KEY, User
from stack_harness import free_ports, hang_up

PROJECT = f"msinit-{os.getpid()}"
FIRST_PORT = free_ports()
PORTS = dict(zip(("qbittorrent", "sabnzbd", "prowlarr", "sonarr"), range(FIRST_PORT + 1, FIRST_PORT + 5), strict=True))
OFF = "bazarr, flaresolverr, unpackerr, radarr"
SHARED = {"mediastack_vpn_control_port": FIRST_PORT, "mediastack_ports": PORTS}
BACK_UP = "Back this file up: nobody can recover it"


@pytest.fixture
def user():
    """A user whose directories are gone afterwards. Not pytest's own: whoever has PUID could not come so far."""
    with tempfile.TemporaryDirectory(prefix="init-test-") as place:
        pathlib.Path(place).chmod(0o755)
        yield User(place, PROJECT)


def to_the_end_of_vpn(user):
    """Answers up to and with the VPN's."""
    return [
        ("number of a disk", str(user.data)),
        ("Library and downloads in it", ""),
        ("through a VPN only", ""),
        ("VPN provider", "mullvad"),
        ("Protocol", "1"),
        ("PrivateKey", WIREGUARD_KEY),
        ("(Address)", "10.64.0.2/32"),
        ("Countries", "Netherlands, Sweden"),
    ]


SERVICES = [
    ("Profiles on top", "-"),
    ("Single apps to leave out", OFF),
    ("Single apps to add", ""),
    ("Change these", ""),
]


def view(user, path):
    """The plain text of an encrypted file, read as a plain `ansible-vault` does in the user's directory."""
    done = subprocess.run(
        [str(VENV / "ansible-vault"), "view", str(path)],
        capture_output=True,
        text=True,
        cwd=user.work,
        env=user.environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_from_the_first_question_to_a_second_run(user):
    """Wrong answers are named, a yes writes; plain ansible-playbook works then; the second time changes nothing."""
    options = user.inventory(**SHARED)
    inventory_before = (user.work / "inventory.yml").read_bytes()
    locked = user.place / "locked"
    (locked / "media").mkdir(parents=True)
    session = user.at_terminal(*options)
    session.answers(
        [
            ("number of a disk", "/srv"),
            ("number of a disk", "99"),
            ("number of a disk", "media/stack"),
            ("number of a disk", str(locked)),
            ("Library and downloads in it", "perhaps"),
            ("Library and downloads in it", "yes"),
            ("User id", "-5"),
            ("User id", ""),
            ("Group id", ""),
            *to_the_end_of_vpn(user)[:3],
            ("VPN provider", "mulvad"),
            ("VPN provider", "mullvad"),
            ("Protocol", "wireguard"),
            ("PrivateKey", "not-a-key"),
            ("PrivateKey", WIREGUARD_KEY),
            ("(Address)", "10.64.0.2/99"),
            ("(Address)", "10.64.0.2"),
            ("Countries", "Netherlands, Sweden"),
            ("Profiles on top", "musik"),
            ("Profiles on top", "-"),
            ("Single apps to leave out", OFF + ", radar"),
            ("Single apps to leave out", OFF),
            *SERVICES[2:],
            ("Password file", str(user.work / "password")),
            ("Password file", ""),
            ("Write this", "yes"),
        ]
    )
    assert session.end() == 0, session.transcript
    said = session.transcript
    for mistake in (
        '"/srv" is a whole volume',
        "there is no disk 99",
        '"media/stack" is relative',
        f"cannot write to {locked}/media, which belongs to root:root (0:0), mode 0755",
        "-5 is not a user id from 0",
        "Please answer yes or no",
        "Did you mean mullvad?",
        "is not a WireGuard key: not base64",
        '"10.64.0.2/99" is not an address with prefix length',
        "Did you mean music?",
        '"radar" is not a service. Did you mean radarr?',
        "which may be committed. Choose a file outside of it.",
    ):
        assert mistake in said, mistake
    assert "has written and linked files there" in said
    assert WIREGUARD_KEY not in said and "(hidden)" in said
    assert BACK_UP in said and "Nothing is started" in said
    files = user.work / "host_vars" / "box"
    settings = yaml.safe_load((files / "mediastack.yml").read_text())
    assert settings["mediastack_base_path"] == str(user.data)
    assert settings["mediastack_vpn_wireguard_addresses"] == ["10.64.0.2/32"]
    assert settings["mediastack_services"] == dict.fromkeys(OFF.split(", "), False)
    assert not {"mediastack_ports", "mediastack_vpn_control_port", "mediastack_domain"} & set(settings)
    assert (files / "mediastack.vault.yml").read_text().startswith("$ANSIBLE_VAULT;1.1;AES256")
    password = user.home / ".config" / "mediastack" / "vault-password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600 and stat.S_IMODE(password.parent.stat().st_mode) == 0o700
    assert "vault_password_file = ~/.config/mediastack/vault-password" in (user.work / "ansible.cfg").read_text()
    assert yaml.safe_load(view(user, files / "mediastack.vault.yml")) == {
        "mediastack_vpn_wireguard_private_key": WIREGUARD_KEY
    }
    assert (user.work / "inventory.yml").read_bytes() == inventory_before
    assert (user.data / "compose" / "compose.core.yml").exists() and (user.data / "media" / "tv").is_dir()
    assert not list(user.place.rglob(".mediastack-probe-*")) and user.containers() == []

    checked = user.run("site", *options, "--check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert user.containers() == []

    before = user.snapshot()
    again = user.at_terminal(*options)
    keep = [(question, "") for question, _text in to_the_end_of_vpn(user)]
    again.answers([*keep, *((question, "") for question, _text in SERVICES), ("Write this", "yes")])
    assert again.end() == 0, again.transcript
    assert "[keep the present one]" in again.transcript and "nothing to change" in again.transcript
    after = user.snapshot()
    # The host remembers who held its run lock last.
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed <= {"data/compose/.mediastack/run.json"}


@pytest.mark.parametrize(
    "where",
    [
        pytest.param("number of a disk", marks=pytest.mark.long),
        "PrivateKey",
        pytest.param("Countries", marks=pytest.mark.long),
        pytest.param("Password file", marks=pytest.mark.long),
        "Write this",
    ],
)
def test_ctrl_c_leaves_no_trace(user, where):
    options = user.inventory(**SHARED)
    (user.work / "host_vars" / "box").mkdir(parents=True)
    (user.work / "host_vars" / "box" / "mediastack.yml").write_text("# mine\nmediastack_umask: '022'  # so\n")
    before = user.snapshot()
    session = user.at_terminal(*options)
    for question, text in [*to_the_end_of_vpn(user), *SERVICES, ("Password file", "")]:
        if question == where:
            break
        session.answer(question, text)
    assert session.press(where) == 2, session.transcript
    assert "Interrupted. Nothing was changed." in session.transcript and "Traceback" not in session.transcript
    assert user.snapshot() == before


def test_a_terminal_that_goes_away_leaves_no_trace_and_no_process(user):
    options = user.inventory(**SHARED)
    before = user.snapshot()
    mark = user.extra["TEST_MARK"] = f"mark of {user.place}"
    session = user.at_terminal(*options)
    session.answer("number of a disk", str(user.data))
    session.child.expect("Library and downloads in it")
    hang_up(session.child, mark)
    assert user.snapshot() == before


@pytest.mark.long
def test_no_terminal_is_an_error_and_check_mode_describes(user):
    options = user.inventory(**SHARED)
    before = user.snapshot()
    done = user.run("init", *options, timeout=60)
    assert done.returncode == 2 and "there is no terminal to ask at" in done.stdout, done.stdout + done.stderr
    assert "-e @answers.yml" in done.stdout
    described = user.run("init", *options, "--check", timeout=60)
    assert described.returncode == 0, described.stdout + described.stderr
    assert user.snapshot() == before


def answers_file(user, **answers):
    path = user.place / "answers.yml"
    path.write_text(yaml.safe_dump(answers))
    return f"@{path}"


def test_unattended_names_everything_that_is_wrong_at_once(user):
    options = user.inventory(**SHARED)
    locked = user.place / "locked"
    (locked / "media").mkdir(parents=True)
    answers = answers_file(
        user,
        mediastack_base_path=str(locked),
        mediastack_timezone="Mars/Olympus",
        mediastack_profiles=["musik"],
        mediastack_vpn_provider="mullvad",
        mediastack_vpn_wireguard_private_key="secret-but-no-key",
        mediastack_puidd=5,
    )
    before = user.snapshot()
    done = user.run("init", *options, "-e", answers)
    assert done.returncode == 2, done.stdout
    for sentence in (
        "Mars/Olympus",
        "Did you mean music?",
        "answers.yml:7): is not a WireGuard key",
        "mediastack_vpn_wireguard_addresses: not given",
        "Did you mean mediastack_puid?",
        f"cannot write to {locked}/media, which belongs to root:root (0:0)",
    ):
        assert sentence in done.stdout, f"{sentence}\n{done.stdout}"
    assert "secret-but-no-key" not in done.stdout + done.stderr and "Traceback" not in done.stdout + done.stderr
    assert user.snapshot() == before


@pytest.mark.long
def test_unattended_for_a_group_keeps_comments_expressions_and_what_is_said_already(user):
    """With `scope`, the group's files; host_vars is not made, a taken port is an error that names a free one."""
    options = user.inventory(**SHARED, mediastack_timezone="Europe/Berlin")
    shared = user.work / "group_vars" / "mediastack"
    shared.mkdir(parents=True)
    head = "# all servers\nmediastack_umask: '022'  # ours\nmy_own: \"{{ 1 + 1 }}\"\n"
    mine = head + "mediastack_profiles: [jellyfin] # old\n"
    (shared / "mediastack.yml").write_text(mine)
    answers = {
        "mediastack_base_path": str(user.data),
        "mediastack_timezone": "Europe/Berlin",
        "mediastack_profiles": [],
        "mediastack_services": dict.fromkeys(OFF.split(", "), False),
        "mediastack_vpn_provider": "nordvpn",
        "mediastack_vpn_wireguard_private_key": WIREGUARD_KEY,
        "scope": "mediastack",
    }
    unsafe = "mediastack_env: {FREE_TEXT: !unsafe 'a{{b}}{%c'}\n"
    file = answers_file(user, **answers)
    path = pathlib.Path(file[1:])
    path.write_text(path.read_text() + unsafe)
    with socket.create_server(("127.0.0.1", PORTS["sonarr"])):
        taken = user.run("init", *options, "-e", file)
    assert taken.returncode == 2 and f"TCP port {PORTS['sonarr']} of sonarr (web) is held by" in taken.stdout
    assert (shared / "mediastack.yml").read_text() == mine and not user.home.joinpath(".config").exists()

    done = user.run("init", *options, "-e", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert BACK_UP in done.stdout
    text = (shared / "mediastack.yml").read_text()
    assert text.startswith(head)
    assert "mediastack_profiles: [] # old" in text and "mediastack_timezone" not in text
    assert not (user.work / "host_vars").exists()
    assert 'FREE_TEXT: !unsafe "a{{b}}{%c"' in view(user, shared / "mediastack.vault.yml")
    env = (user.data / "compose" / ".env").read_text()
    assert "a{{b}}{%c" in env


def test_without_an_inventory_a_directory_in_which_site_runs(user):
    """Unattended, this machine: the files of inventory.example, and then a playbook without a single option."""
    answers = answers_file(
        user,
        server="this",
        server_name="nas",
        mediastack_base_path=str(user.data),
        mediastack_profiles=[],
        mediastack_services=dict.fromkeys(OFF.split(", "), False),
        mediastack_vpn_provider="nordvpn",
        mediastack_vpn_wireguard_private_key=WIREGUARD_KEY,
        **SHARED,
    )
    done = user.run("init", "-e", answers)
    assert done.returncode == 0, done.stdout + done.stderr
    written = {str(path.relative_to(user.work)) for path in user.work.rglob("*") if path.is_file()}
    expected = {".gitignore", "ansible.cfg", "inventory.yml", "requirements.yml"}
    assert written == expected | {"host_vars/nas/mediastack.yml", "host_vars/nas/mediastack.vault.yml"}
    checked = user.run("site", "--check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "nas" in checked.stdout
