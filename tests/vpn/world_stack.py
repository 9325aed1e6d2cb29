# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A user's stack behind a World's provider, made by `site`, with apps that really download."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
import subprocess
import sys
import urllib.parse

import stack_harness
from world_plan import docker

#: qBittorrent, SABnzbd and Transmission are the real programs.
APPS = ("qbittorrent", "sabnzbd", "transmission", "nzbget")
PORTS = ("control", "qbittorrent", "sabnzbd", "transmission", "nzbget")
PARTS = 20000  # of the file that SABnzbd downloads, 8 KiB each: more than any test waits for
FORWARDED_BY = "protonvpn"


def bencode(value):
    """Return a value as BEP 3 writes it; text is UTF-8."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"


class WorldStack(stack_harness.Stack):
    """gluetun behind the world's provider, with a forwarded port, and four apps that share its network."""

    def __init__(self, world, directory, kind="wireguard", **variables):
        """Write the inventory. kind: "wireguard" or "openvpn"; variables: of the inventory, in place of these."""
        self.world = world
        name = f"{world.prefix}-{kind}"
        first = stack_harness.free_ports(len(PORTS))
        self.ports = {app: first + number for number, app in enumerate(PORTS)}
        unwanted = {**stack_harness.SMALL, "prowlarr": False, "sonarr": False}
        settings = {
            "mediastack_container_prefix": f"{name}-",
            "mediastack_services": {**unwanted, "transmission": True, "nzbget": True},
            "mediastack_vpn_control_port": first,
            "mediastack_ports": {app: self.ports[app] for app in APPS},
            "mediastack_vpn_port_forwarding": True,
            "mediastack_vpn_port_forwarding_provider": FORWARDED_BY,
            "mediastack_leak_test_ip_echo": f"{world.echo_url}/",
            "mediastack_leak_test_tracker": world.tracker_url,
            "mediastack_leak_test_public_dns": [world.resolver],
            **world.stack_variables(kind),
            **variables,
        }
        super().__init__(directory, name, first, **settings)

    # -- its containers ----------------------------------------------------------------------

    def container(self, service):
        """Return the name of a service's container."""
        return f"{self.prefix}{service}"

    def docker(self, *words):
        """Run docker on the stack's host; returns its output. Raises WorldError."""
        return docker(*words)

    @property
    def label(self):
        """The filter for what is the stack's."""
        return f"label=com.docker.compose.project={self.project}"

    @property
    def root(self):
        """The root directory of the stack's host."""
        return pathlib.Path("/")

    @property
    def config(self):
        """The directory of the apps' configurations."""
        return self.root / str(self.base / "config").lstrip("/")

    @property
    def network(self):
        """The name of its Docker network."""
        found = docker(
            "network", "ls", "--format", "{{.Name}}", "--filter", f"label=com.docker.compose.project={self.project}"
        )
        return found.split()[0]

    def places(self, services=("gluetun", *APPS)):
        """Return {service: (process id, inode of its network namespace)} of those that run."""
        lines = self.docker("ps", "--quiet", "--filter", self.label).split()
        form = '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Pid}}'
        told = self.docker("inspect", "--format", form, *lines).splitlines() if lines else []
        found = {}
        for service, pid in (line.split() for line in told):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if service in services:
                    found[service] = (int(pid), self.space(pid).stat().st_ino)
        return found

    def space(self, pid):
        """Return the file of the network namespace of one of its processes."""
        return self.root / f"proc/{pid}/ns/net"

    def together(self):
        """Return whether gluetun and every app run, and the kernel's name of their network is the same."""
        places = self.places()
        return len(places) == 1 + len(APPS) and len({space for _pid, space in places.values()}) == 1

    def repair(self, check=True):
        """Run `bin/mediastack-repair` as a boot does; returns the completed process."""
        program = [sys.executable, str(self.project_path / "bin" / "mediastack-repair")]
        done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    # -- its apps ----------------------------------------------------------------------

    def secret(self, name):
        """Return a secret that the stack generated."""
        kept = self.root / str(self.project_path).lstrip("/") / ".mediastack" / "secrets.json"
        return json.loads(kept.read_text())["secrets"][name]

    def qbittorrent(self, call, *options):
        """Ask qBittorrent's web API from its own namespace, where it wants no password; returns what it answers."""
        url = f"http://127.0.0.1:{self.ports['qbittorrent']}/api/v2/{call}"
        return self.docker("exec", self.container("qbittorrent"), "curl", "-sS", "--max-time", "10", *options, url)

    def sabnzbd(self, mode, **words):
        """Ask SABnzbd's API from its own namespace; returns the decoded answer."""
        query = {"mode": mode, "output": "json", "apikey": self.secret("sabnzbd_api_key"), **words}
        url = f"http://127.0.0.1:{self.ports['sabnzbd']}/api?{urllib.parse.urlencode(query)}"
        return json.loads(self.docker("exec", self.container("sabnzbd"), "curl", "-sS", "--max-time", "10", url))

    def download(self):
        """Give qBittorrent a torrent of the world's trackers, and SABnzbd a file of its news server."""
        info = {
            "name": "lab.bin",
            "piece length": 16384,
            "length": 16384 * 64,
            "pieces": hashlib.sha1(b"lab").digest() * 64,
        }
        trackers = [[self.world.tracker_url], [self.world.tracker_http_url]]
        torrent = {"announce": self.world.tracker_url, "announce-list": trackers, "info": info}
        (self.config / "qbittorrent" / "lab.torrent").write_bytes(bencode(torrent))
        said = self.qbittorrent("torrents/add", "-F", "torrents=@/config/lab.torrent")
        assert said == "Ok.", said
        server = {"keyword": "news", "host": "news.example", "port": 119, "connections": 2, "ssl": 0, "timeout": 20}
        self.sabnzbd("set_config", section="servers", name="news", enable=1, optional=0, **server)
        (self.config / "sabnzbd" / "lab.nzb").write_text(self.nzb(), encoding="utf-8")
        assert self.sabnzbd("addlocalfile", name="/config/lab.nzb")["status"]

    @staticmethod
    def nzb():
        """Return the NZB of one large file of the world's news server."""
        parts = "".join(
            f'<segment bytes="8600" number="{number}">{number}-{PARTS}@lab.example</segment>'
            for number in range(1, PARTS + 1)
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<nzb xmlns="http://www.newzbin.com/DTD/2003/nzb"><file poster="lab" date="1700000000" '
            f'subject="&quot;lab.bin&quot; yEnc (1/{PARTS})"><groups><group>lab</group></groups>'
            f"<segments>{parts}</segments></file></nzb>"
        )

    def announce(self):
        """Have qBittorrent announce now."""
        self.qbittorrent("torrents/reannounce", "--data", "hashes=all")
