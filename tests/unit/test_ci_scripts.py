# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the pipeline's shell scripts do with secrets, and what the lint finds; Ansible is a stand-in here."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

CI = pathlib.Path(__file__).resolve().parents[2] / "docs/examples/ci/ci"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\r\nabc\r\n-----END OPENSSH PRIVATE KEY-----"
KNOWN = "nas ssh-ed25519 AAAAC3Nza"
# Tells what a playbook would have: its arguments, each secret file with its mode, what is in the environment.
STAND_IN = """#!/bin/sh
echo "arguments: $*"
known=${ANSIBLE_SSH_COMMON_ARGS##*UserKnownHostsFile=}
for file in "$ANSIBLE_VAULT_PASSWORD_FILE" "$ANSIBLE_PRIVATE_KEY_FILE" "${known%% *}"; do
  [ -z "$file" ] || { stat -c '%a %n' "$file" "$(dirname "$file")"; cat "$file"; }
done
env | sed 's/^/env: /'
[ -z "$LINGER" ] || { echo ready; exec sleep 60; }
exit "${CODE:-0}"
"""


@pytest.fixture
def repository(tmp_path):
    """A repository with ci/ and an environment that is a stand-in."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "ci").symlink_to(CI)
    tools = tmp_path / ".ci/venv/bin"
    tools.mkdir(parents=True)
    (tools / "ansible-playbook").write_text(STAND_IN)
    (tools / "ansible-playbook").chmod(0o755)
    (tools / "yamllint").symlink_to(pathlib.Path(sys.executable).parent / "yamllint")
    (tmp_path / "temp").mkdir()
    return tmp_path


def environment(repository, **more):
    return {"PATH": os.environ["PATH"], "RUNNER_TEMP": str(repository / "temp"), "CI": "true", **more}


def run(repository, *command, code=0, **more):
    done = subprocess.run(
        command, cwd=repository, env=environment(repository, **more), capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert list((repository / "temp").iterdir()) == [], "a secret stayed behind"
    return done.stdout + done.stderr


def commit(repository, **files):
    for name, text in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    subprocess.run(["git", "add", "-f", *files], cwd=repository, check=True)


def test_secrets_are_in_files_of_this_user_while_the_playbook_runs(repository):
    secrets = {"VAULT_PASSWORD": "correct horse", "SSH_PRIVATE_KEY": KEY, "SSH_KNOWN_HOSTS": KNOWN}
    said = run(repository, "ci/run.sh", "plan", "-e", "output=plan.json", **secrets)
    assert "arguments: homelab.mediastack.plan -e output=plan.json\n" in said
    for name, text in (("vault-password", "correct horse\n"), ("key", KEY.replace("\r", "") + "\n")):
        assert f"/{name}\n700 " in said
        assert text in said
    assert [line.split()[0] for line in said.splitlines() if "/mediastack." in line and line[0].isdigit()] == [
        "600",
        "700",
    ] * 3
    assert "-o StrictHostKeyChecking=yes -o UserKnownHostsFile=" in said
    # Not where every module and every task could read them.
    assert "env: VAULT_PASSWORD" not in said
    assert "env: SSH_PRIVATE_KEY" not in said
    assert f"env: ANSIBLE_CONFIG={repository}/ansible.cfg" in said
    assert "env: ANSIBLE_HOST_KEY_CHECKING=true" in said


def test_secrets_may_be_files_as_on_gitlab(repository):
    (repository / "given").write_text("correct horse\n")
    said = run(repository, "ci/run.sh", "plan", VAULT_PASSWORD_FILE=str(repository / "given"))
    assert "correct horse\n" in said
    said = run(repository, "ci/run.sh", "plan", code=1, VAULT_PASSWORD_FILE="/nowhere")
    assert said == "VAULT_PASSWORD_FILE: cannot read /nowhere\n"


def test_the_exit_code_is_the_playbooks(repository):
    run(repository, "ci/run.sh", "plan", code=4, CODE="4")


def test_a_key_without_known_hosts_is_refused(repository):
    said = run(repository, "ci/run.sh", "plan", code=1, SSH_PRIVATE_KEY=KEY)
    assert said.startswith("SSH_KNOWN_HOSTS is empty: ")
    assert "arguments" not in said


def test_a_forgotten_vault_password_is_said_before_anything_runs(repository):
    commit(repository, **{"host_vars/nas/mediastack.vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n00\n"})
    said = run(repository, "ci/run.sh", "plan", code=1)
    assert said.startswith("VAULT_PASSWORD is empty, and there are encrypted settings: ")
    # A runner that has its own.
    assert "arguments" in run(repository, "ci/run.sh", "plan", ANSIBLE_VAULT_PASSWORD_FILE="/etc/hostname")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_cancelled_job_leaves_neither_playbook_nor_secret(repository, sent):
    child = subprocess.Popen(
        ["ci/run.sh", "site"],
        cwd=repository,
        env=environment(repository, LINGER="1", VAULT_PASSWORD="correct horse"),
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in child.stdout:
        if line == "ready\n":
            break
    child.send_signal(sent)
    # The end of its output is the end of the playbook, which has the same one.
    child.stdout.read()
    assert child.wait(30) != 0
    assert list((repository / "temp").iterdir()) == []


def test_lint_is_content_with_what_is_right(repository):
    files = {
        "inventory.yml": "mediastack:\n    hosts: {nas: }\n",
        "host_vars/nas.vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n00\n",
    }
    commit(repository, **files)
    assert run(repository, "ci/lint.sh") == ""


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("inventory.yml", "a: 1\na: 2\n", 'duplication of key "a"'),
        ("inventory.yml", "a: [1\n", "syntax error"),
        (
            "host_vars/n/mediastack.vault.yml",
            "mediastack_vpn_openvpn_password: x\n",
            "mediastack.vault.yml: is not encrypted",
        ),
        ("my-vault-password", "correct horse\n", "my-vault-password: looks like the vault's password"),
    ],
)
def test_lint_refuses(repository, name, text, said):
    commit(repository, **{"other.yml": "a: 1\n", name: text})
    assert said in run(repository, "ci/lint.sh", code=1)


def test_lint_looks_at_what_is_committed_only(repository):
    commit(repository, **{"inventory.yml": "a: 1\n"})
    (repository / "mine.vault.yml").write_text("a: 1\na: 2\n")
    run(repository, "ci/lint.sh")


def test_a_python_that_is_too_old_is_said_so(repository):
    old = repository / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    said = run(repository, "ci/install.sh", code=1, PYTHON=str(old))
    assert "install Python 3.11 or newer with venv" in said
