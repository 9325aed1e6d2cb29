# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which hosts are this machine, so that 127.0.0.1 means the same there and here."""

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import local_hosts

HOSTVARS = {
    "here": {"ansible_connection": "local"},
    "also": {"ansible_connection": "ansible.builtin.local"},
    "far": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1"},
    "plain": {},
}


@pytest.mark.parametrize(
    ("connection", "found"), [("ssh", {"here", "also"}), ("local", {"here", "also", "plain", "unheard"})]
)
def test_by_the_hosts_connection_or_else_the_plays(connection, found):
    hosts = [*HOSTVARS, "unheard"]
    assert local_hosts.among(hosts, {"hostvars": HOSTVARS}, connection) == found
