# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The remedies of a host after the fact, and which container a host is itself."""

from __future__ import annotations

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_log, vpn_remedies

CONNECTED = "2026-11-22T10:00:00Z INFO [ip getter] Public IP address is 198.51.100.7 (Netherlands - source: ipinfo)"


@pytest.mark.parametrize(
    ("what", "log", "words"),
    [
        (
            "crash loop",
            ["\x1b[31mERROR\x1b[0m checking TUN device: TUN device is not available"],
            "crash loop: gluetun cannot",
        ),
        (
            'could not be started: custom device "/dev/net/tun": no such file or directory',
            [],
            "directory: gluetun cannot",
        ),
        ("crash loop", ["ERROR something new"], None),
        # It had worked, and waiting may help.
        ("is unhealthy", ["ERROR TUN device is gone", CONNECTED], None),
        ("is unhealthy", ["WARN restarting VPN because it failed to pass the healthcheck: startup check: x"], None),
    ],
)
def test_why_a_run_of_site_could_not_start_it(what, log, words):
    said = gluetun_log.explain(what, log)
    assert said == what if words is None else words in said and vpn_remedies.tun(vpn_remedies.look()) in said


# -- which container this host is -------------------------------------------------------------------------------------


OVERLAY = "722 601 0:68 / / rw,relatime - overlay overlay rw,lowerdir=/l\n"
DISK = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"run/systemd/container": "lxc\n"}, "lxc"),
        ({"run/host/container-manager": "podman"}, "podman"),
        ({"proc/1/environ": "HOME=/\0container=lxc-libvirt\0"}, "lxc"),
        ({"run/systemd/container": "wsl"}, None),
        ({"proc/vz/version": ""}, "openvz"),
        # The machine under the OpenVZ containers.
        ({"proc/vz/version": "", "proc/bc/resources": ""}, None),
        ({".dockerenv": "", "proc/1/mountinfo": OVERLAY}, "docker"),
        ({"run/.containerenv": "", "proc/1/mountinfo": OVERLAY}, "podman"),
        # A machine whose disk was made from an image.
        ({".dockerenv": "", "proc/1/mountinfo": DISK}, None),
        ({".dockerenv": ""}, None),
    ],
)
def test_which_container_this_host_is(tmp_path, files, expected):
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert vpn_remedies.container(str(tmp_path)) == expected
