# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings, extra vars and the check of hosts through the real ansible-playbook; no engine is needed."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLAYBOOK = """
- name: Check hosts
  ansible.builtin.import_playbook: homelab.mediastack.check_hosts
- name: Check settings
  hosts: "{{ mediastack_hosts | default('mediastack') }}"
  gather_facts: false
  tasks:
    - name: Check
      homelab.mediastack.settings:
        verb: start
      register: checked
    - name: Show
      ansible.builtin.debug:
        msg: "services={{ checked.args.service | to_json }} puid={{ checked.settings.mediastack_puid | to_json }}"
"""
HOSTS = """
other:
  hosts:
    web:
mediastack:
  hosts:
    nas:
      service: radarr
      mediastack_vpn_provider: nordvpn
      mediastack_vpn_wireguard_private_key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
    nas2:
      mediastack_vpn_enabled: false
all:
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""


@pytest.fixture
def playbook(tmp_path):
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")

    def run(*arguments, hosts=HOSTS, book=str(tmp_path / "play.yml"), **environment):
        (tmp_path / "hosts.yml").write_text(hosts, encoding="utf-8")
        environment = {"XDG_CONFIG_HOME": str(tmp_path), **environment}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDIASTACK_")}
        done = subprocess.run(
            [
                str(pathlib.Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                str(tmp_path / "hosts.yml"),
                book,
                *arguments,
            ],
            cwd=ROOT,
            check=False,
            env={**kept, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_settings_of_two_hosts_in_check_mode_with_one_line_on_their_sources(playbook, tmp_path):
    (tmp_path / "mediastack").mkdir()
    (tmp_path / "mediastack" / "config.yml").write_text("umask: '022'\n", encoding="utf-8")
    code, output = playbook("--check", "-e", "service=sonarr,lidarr", MEDIASTACK_PUID="1001")
    assert code == 0, output
    notice = f"Settings from {tmp_path}/mediastack/config.yml: mediastack_umask; from the environment: mediastack_puid"
    assert output.count(notice) == 1
    assert output.count('services=["sonarr", "lidarr"] puid=1001') == 2


def test_a_host_variable_called_service_changes_nothing(playbook):
    code, output = playbook("--limit", "nas")
    assert code == 0, output
    assert "services=[] puid=1000" in output


def test_mistakes_stop_the_run_readably(playbook):
    code, output = playbook("--limit", "nas", "-e", "servcie=sonarr", "-e", "mediastack_profiles=jelyfin")
    assert code != 0
    assert "Nothing was touched: 2 problems with the settings." in output
    assert 'mediastack_profiles: "jelyfin" is not a profile. Did you mean jellyfin?' in output
    assert "-e servcie=: start knows no such name. Did you mean service=?" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("arguments", "hosts", "message"),
    [
        ((), "mediastack: {}", "the group 'mediastack' in the inventory"),
        ((), "other: {hosts: {web: {}}}", "'mediastack' matches nothing in the inventory"),
        (("--limit", "web"), HOSTS, "none of 'mediastack' is in --limit web."),
        (("-e", "mediastack_hosts=nsa"), HOSTS, "'nsa' matches nothing in the inventory"),
    ],
)
def test_no_host_to_work_on_is_an_error(playbook, arguments, hosts, message):
    code, output = playbook(*arguments, hosts=hosts)
    assert code != 0
    assert "No host to work on: " in output
    assert message in " ".join(output.split())


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ("mediastack: {}", "the group 'mediastack' in the inventory (HOSTS) is empty. Add a host to it."),
        (
            "other: {hosts: {web: {}}}",
            (
                "'mediastack' matches nothing in the inventory (HOSTS). Put your hosts into the group mediastack, or "
                "name others with -e mediastack_hosts=..."
            ),
        ),
    ],
)
def test_of_an_empty_or_missing_group_a_verb_says_one_sentence(playbook, tmp_path, hosts, message):
    code, output = playbook(hosts=hosts, book="homelab.mediastack.status")
    assert code != 0
    assert output.strip() == "[ERROR]: No host to work on: " + message.replace("HOSTS", str(tmp_path / "hosts.yml"))


def test_a_refused_command_line_is_told_once_and_stops_every_host(playbook):
    hosts = HOSTS.replace("mediastack_vpn_provider: nordvpn", "mediastack_vpn_enabled: false")
    code, output = playbook("-e", "output=table.txt", hosts=hosts, book="homelab.mediastack.status")
    assert code != 0
    assert output.count('"table.txt" is neither - (standard output) nor a file name ending in') == 1
    assert output.count("FAILED!") == 1 and output.count("failed=1") == 2, output

    # What is wrong with one host alone is told of that host.
    wrong = HOSTS.replace("mediastack_vpn_enabled: false", "mediastack_puid: many")
    code, output = playbook("-e", "output=table.txt", hosts=wrong, book="homelab.mediastack.status")
    assert code != 0 and output.count("table.txt") == 2 and '"many" is not a whole number' in output, output

    # An expression may be refused for one host and not for the first.
    code, output = playbook("-e", "output={{ inventory_hostname }}.txt", hosts=hosts, book="homelab.mediastack.status")
    assert code != 0 and '"nas.txt" is' in output and '"nas2.txt" is' in output, output


def test_nothing_fails_where_nothing_runs(playbook):
    code, output = playbook("--syntax-check", hosts="mediastack: {}")
    assert code == 0, output


@pytest.mark.parametrize("book", ["play.yml", "plan"])
def test_a_plain_secret_in_a_file_of_extra_variables_is_refused(playbook, tmp_path, book):
    """Tracked by git; encrypted it is read and passes."""
    path = tmp_path / "keys.yml"
    path.write_text('mediastack_vpn_wireguard_private_key: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="\n')
    for words in (("init", "--quiet"), ("add", "keys.yml")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    name = "homelab.mediastack.plan" if book == "plan" else str(tmp_path / book)
    code, said = playbook("-e", f"@{path}", "--limit", "nas", book=name)
    assert code == 2 and f"{path} holds mediastack_vpn_wireguard_private_key in plain text" in " ".join(said.split())
    assert "AAE=" not in said
    if book != "plan":
        password = tmp_path / "password"
        password.write_text("x")
        vault = ["ansible-vault", "encrypt", "--vault-password-file", str(password), str(path)]
        subprocess.run([pathlib.Path(sys.executable).with_name(vault[0]), *vault[1:]], check=True, capture_output=True)
        code, said = playbook("-e", f"@{path}", "--limit", "nas", "--vault-password-file", str(password))
        assert code == 0, said
