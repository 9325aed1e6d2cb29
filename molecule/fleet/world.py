# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scenario's servers and its registry: ``world.py create``, ``publish``, ``destroy``.

Nothing listens on anything but 127.0.0.1 and the scenario's own network, which is on no wire.
"""

from __future__ import annotations

import dataclasses
import pathlib
import secrets
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

import nested  # noqa: E402
import registry  # noqa: E402
from nested import run  # noqa: E402
from shelf import Shelf  # noqa: E402
from stack_harness import wait_for  # noqa: E402

#: What the inventory knows as `fleet_place`.
PLACE = ROOT / "build" / "molecule" / "fleet"
NETWORK, SUBNET = "mediastack-fleet", "10.213.77.0/24"
REGISTRY, REGISTRY_PORT = "mediastack-fleet-registry", 23950
#: app → the name of its image in the lab.
APPS = {one: one for one in ("gluetun", "lidarr", "prowlarr", "qbittorrent", "sabnzbd")} | {
    "jellyfin": "jellyfin-linuxserver"
}
USER = "you"


@dataclasses.dataclass(frozen=True)
class Server:
    """One server of the fleet.

    Attributes:
        name: in the inventory; suite: of Debian; address: on the scenario's network; ssh_port: where sshd listens;
        python: its only one; engine: what its version begins with; compose: version of the Compose plugin that it gets,
        "" where Debian brings one; asks: whether sudo asks for a password.
    """

    name: str
    suite: str
    address: str
    ssh_port: int
    python: str
    engine: str
    compose: str = ""
    asks: bool = False

    @property
    def container(self):
        """Its name on this machine's engine."""
        return f"mediastack-fleet-{self.name}"

    @property
    def nested(self):
        """It, as `nested` knows a host."""
        return nested.Nested(self.container)


SERVERS = {
    one.name: one
    for one in (
        Server("cellar", "bullseye", "10.213.77.11", 22, "3.9", "20.10.5", "2.20.3"),
        Server("attic", "bookworm", "10.213.77.12", 2222, "3.11", "20.10.24", "2.40.3"),
        Server("shed", "trixie", "10.213.77.13", 22, "3.13", "26.1.", asks=True),
    )
}


def create():
    """Make network, registry, servers, keys and passwords anew."""
    destroy()
    PLACE.mkdir(parents=True, exist_ok=True)
    # Its lock names releases that the registry has no more.
    shutil.rmtree(PLACE / "user", ignore_errors=True)
    for name in ("key", "key.pub", "known_hosts", "sudo-password", "shelf.json"):
        (PLACE / name).unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(PLACE / "key")])
    password = PLACE / "sudo-password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(12), encoding="utf-8")
    run(["docker", "network", "create", "--subnet", SUBNET, NETWORK])
    keys = [create_server(server) for server in SERVERS.values()]
    (PLACE / "known_hosts").write_text("".join(keys), encoding="utf-8")
    _create_registry()
    for server in SERVERS.values():
        server.nested.forward(REGISTRY_PORT, _address(REGISTRY), REGISTRY_PORT)


def create_server(server):
    """Start one server with its engine and sshd; its line of ``known_hosts``."""
    packages = [*nested.SERVER_PACKAGES, *([] if server.compose else ["docker-cli", "docker-compose"])]
    source = nested.image(server.suite, packages)
    host = nested.create(
        server.container, source, "--hostname", server.name, "--network", NETWORK, "--ip", server.address
    )
    if server.compose:
        host.add_compose(nested.compose_binary(server.compose, ROOT / ".cache" / "compose"))
    key = (PLACE / "key.pub").read_text(encoding="utf-8")
    host.sh(
        f"useradd --create-home --groups sudo --shell /bin/bash {USER}"
        f" && for home in ~root ~{USER}; do mkdir -p -m 700 $home/.ssh"
        f" && echo '{key.strip()}' >$home/.ssh/authorized_keys; done"
        f" && chown -R {USER}: /home/{USER}/.ssh && rm -f /etc/ssh/ssh_host_* && ssh-keygen -q -A"
    )
    if server.asks:
        host.sh("chpasswd", stdin=f"{USER}:{(PLACE / 'sudo-password').read_text(encoding='utf-8')}")
    else:
        host.sh(f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER}")
    start_sshd(server)
    host.start_engine()
    where = server.address if server.ssh_port == 22 else f"[{server.address}]:{server.ssh_port}"
    return f"{where} {' '.join(host.sh('cat /etc/ssh/ssh_host_ed25519_key.pub').split()[:2])}\n"


def start_sshd(server):
    """Start the server's sshd."""
    server.nested.sh(f"mkdir -p /run/sshd && /usr/sbin/sshd -p {server.ssh_port} -o PidFile=/run/sshd.pid")


def stop_sshd(server):
    """End the server's sshd and whoever is logged in: connections are refused from now on."""
    server.nested.sh("kill $(cat /run/sshd.pid); pkill -x sshd; pkill -x sshd-session; true")
    wait_for(lambda: not server.nested.sh("pgrep -x sshd", check=False), 20, "the end of sshd")


def _create_registry():
    """Debian's docker-registry in a container, so that it ends with the scenario, whoever started that."""
    registry.install()
    settings = (
        f'{{version: 0.1, log: {{level: error}}, storage: {{filesystem: {{}}}}, http: {{addr: ":{REGISTRY_PORT}"}}}}'
    )
    (PLACE / "registry.yml").write_text(settings, encoding="utf-8")
    run(
        ["docker", "run", "--detach", "--init", "--name", REGISTRY, "--network", NETWORK]
        + ["--publish", f"127.0.0.1:{REGISTRY_PORT}:{REGISTRY_PORT}"]
        + [
            "--volume",
            f"{PLACE}/registry.yml:/registry.yml:ro",
            "--volume",
            "/usr/bin/docker-registry:/docker-registry:ro",
        ]
        + [nested.image("trixie", [*nested.SERVER_PACKAGES, "docker-cli", "docker-compose"])]
        + ["/docker-registry", "serve", "/registry.yml"]
    )


def _address(container):
    return run(
        ["docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container]
    ).stdout.strip()


def publish():
    """Hand the lab's images to the registry, the first release of each app."""
    shelf = Shelf(REGISTRY_PORT, PLACE)
    shelf.fill(APPS)
    for app in APPS:
        shelf.publish(app)


def destroy():
    """Remove all of it, where it is there. The images of the servers stay, for the next time."""
    for server in SERVERS.values():
        nested.remove(server.container)
    run(["docker", "rm", "-f", "-v", REGISTRY], check=False)
    run(["docker", "network", "rm", NETWORK], check=False)


if __name__ == "__main__":
    {"create": create, "publish": publish, "destroy": destroy}[sys.argv[1]](*sys.argv[2:])
