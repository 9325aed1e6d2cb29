# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The built artifact, installed without its dependency into an empty place, used from a user's own playbook (P12).

The server is a container that shares this machine's engine and network. The playbook reaches it as root with no sudo
there, and as an ordinary user with become and a password.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess

import nested
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "artifact-test"
PROJECT = "msmol-artifact"
PREFIX = "msmol-artifact-"
HOST = "msmol-artifact-host"
FIRST_PORT = 23100
PASSWORD = "correct horse battery staple"
# A well-formed WireGuard key that belongs to nobody (gluetun's documentation uses it as its example).
WIREGUARD_KEY = "wOEI9rqqbDwnN8/Bpp22sVz48T71vJ4fYmFWujulwUU="

PLAYBOOK = """---
- name: My own playbook
  hosts: mediastack
  gather_facts: false
  tasks:
    - name: Something of mine
      ansible.builtin.debug:
        msg: before
    - name: The media stack
      ansible.builtin.include_role:
        name: homelab.mediastack.stack
    - name: Something else of mine
      ansible.builtin.debug:
        msg: after
"""


def run(*argv, check=True, timeout=300, **kwargs):
    """Run a command; its output is in the error when it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False, **kwargs)
    if check and done.returncode:
        raise AssertionError(f"{argv} ended with {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-4000:]}")
    return done


def environment(collections):
    """The environment of a user who has nothing but the venv's Ansible and the installed collection."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MEDIASTACK_"))}
    return {
        **keep,
        "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
        "HOME": str(WORK / "home"),
        "XDG_CONFIG_HOME": str(WORK / "home" / ".config"),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
    }


def remove_stack():
    """Remove the test's containers and networks, by their project."""
    label = f"label=com.docker.compose.project={PROJECT}"
    for listing, removal in (
        (["docker", "ps", "--all", "--quiet"], ["docker", "rm", "--force", "--volumes"]),
        (["docker", "network", "ls", "--quiet"], ["docker", "network", "rm"]),
    ):
        found = run(*listing, "--filter", label).stdout.split()
        if found:
            run(*removal, *found)


@pytest.fixture(scope="module", autouse=True)
def place():
    """An empty directory on a real disk, and no stack of ours; both removed afterwards."""
    remove_stack()
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "home").mkdir(parents=True)
    yield WORK
    remove_stack()
    shutil.rmtree(WORK)


@pytest.fixture(scope="module")
def collections(place):
    """The path that the artifact is installed in, built from the checkout a moment ago."""
    galaxy = str(ROOT / ".venv" / "bin" / "ansible-galaxy")
    run(galaxy, "collection", "build", "--output-path", str(place / "artifact"), str(ROOT), cwd=place)
    (artifact,) = (place / "artifact").glob("homelab-mediastack-*.tar.gz")
    target = place / "collections"
    run(
        galaxy,
        "collection",
        "install",
        "--force",
        "--no-deps",
        "--offline",
        "-p",
        str(target),
        str(artifact),
        cwd=place,
    )
    namespaces = [path.name for path in (target / "ansible_collections").iterdir() if "." not in path.name]
    assert namespaces == ["homelab"], "nothing but ours is there"
    return target


@pytest.fixture(scope="module")
def images():
    """The lab's images of the services that the user's inventory runs."""
    run(str(ROOT / "tests/lab/bin/images"), "build", "--only", "gluetun,qbittorrent,sonarr", timeout=600)


@pytest.fixture(scope="module")
def inventory(place, images):
    """A user's inventory: two services, the VPN, everything within the test's directory."""
    off = ("bazarr", "flaresolverr", "prowlarr", "radarr", "sabnzbd", "unpackerr")
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "mediastack_project_name": PROJECT,
        "mediastack_container_prefix": PREFIX,
        "mediastack_base_path": str(place / "data"),
        "mediastack_bind_addresses": ["127.0.0.1"],
        "mediastack_lab_images": True,
        "mediastack_boot_repair": False,
        "mediastack_backup_timer": "false",
        "mediastack_pull": "never",
        "mediastack_profiles": [],
        "mediastack_services": dict.fromkeys(off, False),
        "mediastack_ports": {"qbittorrent": FIRST_PORT, "sonarr": FIRST_PORT + 1},
        "mediastack_vpn_control_port": FIRST_PORT + 2,
        "mediastack_vpn_torrent_port": FIRST_PORT + 3,
        "mediastack_vpn_provider": "mullvad",
        "mediastack_vpn_wireguard_private_key": WIREGUARD_KEY,
        "mediastack_vpn_wireguard_addresses": ["10.64.222.21/32"],
    }
    path = place / "user" / "inventory.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"mediastack": {"hosts": {"box": variables}}}), encoding="utf-8")
    (place / "user" / "mine.yml").write_text(PLAYBOOK, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def host(place):
    """A server that shares this machine's engine and network: sshd's part is played by Ansible's docker connection."""
    image = nested.image("trixie", nested.CLIENT_PACKAGES)
    run("docker", "rm", "--force", HOST, check=False)
    mounts = [
        "--device",
        "/dev/net/tun",
        "--volume",
        f"{engine_socket()}:/var/run/docker.sock",
        "--volume",
        f"{place}:{place}",
    ]
    run("docker", "run", "--detach", "--init", "--name", HOST, "--network", "host", *mounts, image, "sleep", "infinity")
    run("docker", "exec", HOST, "useradd", "--create-home", "--groups", "sudo", "--shell", "/bin/bash", "you")
    run("docker", "exec", "--interactive", HOST, "chpasswd", input=f"you:{PASSWORD}\n")
    yield HOST
    run("docker", "rm", "--force", HOST)


def engine_socket():
    """The path of the engine's socket."""
    address = (
        os.environ.get("DOCKER_HOST")
        or run("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}").stdout.strip()
    )
    assert address.startswith("unix://"), f"the tests need a local engine, not {address}"
    return address.removeprefix("unix://")


def play(collections, inventory, *arguments, check=True):
    """Run the user's own playbook in the user's own directory."""
    return run(
        str(ROOT / ".venv" / "bin" / "ansible-playbook"),
        "-i",
        str(inventory),
        "mine.yml",
        *arguments,
        check=check,
        cwd=inventory.parent,
        env=environment(collections),
        stdin=subprocess.DEVNULL,
    )


def states():
    """Service → state of the test's containers, by Compose's labels."""
    form = '{{.Label "com.docker.compose.service"}} {{.State}}'
    label = f"label=com.docker.compose.project={PROJECT}"
    return dict(
        line.split() for line in run("docker", "ps", "--all", "--filter", label, "--format", form).stdout.splitlines()
    )


def test_everything_that_a_run_needs_is_installed(collections):
    installed = collections / "ansible_collections" / "homelab" / "mediastack"
    for folder in ("compose_templates", "plugins", "roles", "playbooks", "inventory.example"):
        shipped = {str(path.relative_to(ROOT / folder)) for path in (ROOT / folder).rglob("*") if shippable(path)}
        there = {
            str(path.relative_to(installed / folder)) for path in (installed / folder).rglob("*") if path.is_file()
        }
        assert shipped and shipped == there


def shippable(path):
    """Whether a file below a shipped folder belongs into the artifact."""
    return path.is_file() and "__pycache__" not in path.parts


def test_the_services_templates_are_found_from_the_installed_place(collections, inventory, place):
    """The local connection, check mode: nothing of the checkout is asked."""
    done = play(collections, inventory, "--check", "--diff")
    assert f"{place}/data/compose/compose.media.yml" in done.stdout
    assert "lscr.io/linuxserver/sonarr" in done.stdout
    assert "after" in done.stdout, "the user's tasks go on behind the role"
    assert states() == {}


def reached_as(host, user, **more):
    """Connection variables of the host for a user, as extra variables."""
    return [
        "--extra-vars",
        json.dumps(
            {
                "ansible_connection": "community.docker.docker",
                "ansible_host": host,
                "ansible_user": user,
                "ansible_python_interpreter": "/usr/bin/python3",
                **more,
            }
        ),
    ]


def with_connection_plugin(collections):
    """The installed artifact first, and behind it the checkout's community.docker for the connection alone."""
    tools = WORK / "tools" / "ansible_collections"
    tools.mkdir(parents=True, exist_ok=True)
    link = tools / "community"
    if not link.exists():
        link.symlink_to(ROOT / ".ansible" / "collections" / "ansible_collections" / "community")
    return f"{collections}:{tools.parent}"


@pytest.mark.long
def test_include_role_as_root_without_sudo(collections, inventory, host):
    path = with_connection_plugin(collections)
    run("docker", "exec", host, "chmod", "000", "/usr/bin/sudo")
    run("docker", "exec", host, "mv", "/usr/bin/sudo", "/usr/bin/sudo.away")
    try:
        done = play(path, inventory, *reached_as(host, "root"))
    finally:
        run("docker", "exec", host, "mv", "/usr/bin/sudo.away", "/usr/bin/sudo")
        run("docker", "exec", host, "chmod", "4755", "/usr/bin/sudo")
    assert "after" in done.stdout
    assert states() == {"gluetun": "running", "qbittorrent": "running", "sonarr": "running"}


@pytest.mark.long
def test_include_role_with_become_and_a_password_finds_nothing_to_do(collections, inventory, host):
    """What root made, the user with sudo's password finds as it should be."""
    path = with_connection_plugin(collections)
    become = {"ansible_become": True, "ansible_become_password": PASSWORD}
    done = play(path, inventory, *reached_as(host, "you", **become))
    assert "changed=0" in done.stdout
    assert "failed=0" in done.stdout


def test_include_role_with_become_does_the_work(collections, inventory, host):
    path = with_connection_plugin(collections)
    run("docker", "rm", "--force", f"{PREFIX}sonarr")
    become = {"ansible_become": True, "ansible_become_password": PASSWORD}
    done = play(path, inventory, *reached_as(host, "you", **become))
    assert "changed=1" in done.stdout
    assert states()["sonarr"] == "running"


def test_without_the_password_nothing_is_touched(collections, inventory, host):
    path = with_connection_plugin(collections)
    before = run("docker", "inspect", f"{PREFIX}sonarr").stdout
    done = play(path, inventory, *reached_as(host, "you", ansible_become=True), check=False)
    assert done.returncode != 0
    assert "assword" in done.stdout + done.stderr
    assert json.loads(run("docker", "inspect", f"{PREFIX}sonarr").stdout)[0]["Id"] == json.loads(before)[0]["Id"]
