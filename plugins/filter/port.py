# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter of homelab.mediastack.port: the host port of a service after `mediastack_ports`."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError

from ansible_collections.homelab.mediastack.plugins.plugin_utils.ports import host_port
from ansible_collections.homelab.mediastack.plugins.plugin_utils.service_meta import is_port


def port(ports, service, name, default):
    """The host port of *service*'s port *name*: what `mediastack_ports` (*ports*) says, else *default*."""
    if not isinstance(ports, dict) and ports is not None:
        raise AnsibleFilterError(f"port: mediastack_ports is {ports!r}: it must be a map")
    number = host_port(ports, service, name, default)
    if not is_port(number):
        raise AnsibleFilterError(f"port: {service}.{name} is {number!r}: it must be a number from 1 to 65535")
    return number


class FilterModule:
    """Jinja filters on ports."""

    def filters(self):
        """The filter by its name."""
        return {"port": port}
