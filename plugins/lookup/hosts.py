# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A hosts pattern that fails when it stands for no host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: hosts
short_description: A hosts pattern that must match a host
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Returns the pattern as it is, for the keyword C(hosts) of a play, when it stands for a host of the inventory and of
    C(--limit); fails otherwise.
  - Ansible itself skips a play without hosts and ends with success, also when the group is misspelt or missing. A task
    cannot tell, for a play without hosts runs none, and with C(--limit) not even a play on C(localhost) runs.
  - Does not fail when nothing is run (C(--syntax-check), C(--list-hosts), C(--list-tasks), C(--list-tags)).
options:
  _terms:
    description: The pattern.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Check that there are hosts to work on
  hosts: "{{ lookup('homelab.mediastack.hosts', mediastack_hosts | default('mediastack')) }}"
  gather_facts: false
  tasks: []
"""

RETURN = r"""
_raw:
  description: The pattern.
  type: list
  elements: str
"""

import re  # noqa: E402

from ansible import constants, context  # noqa: E402
from ansible.errors import AnsibleError  # noqa: E402
from ansible.inventory.manager import InventoryManager  # noqa: E402
from ansible.plugins.lookup import LookupBase  # noqa: E402

# A pattern that is one name.
_NAME = re.compile(r"[\w.-]+")
_LOOKING_ONLY = ("syntax", "listhosts", "listtasks", "listtags")


class LookupModule(LookupBase):
    """Evaluates the pattern against the groups that the play sees."""

    def run(self, terms, variables=None, **kwargs):
        """Return the pattern, or fail with what it does not match."""
        variables = variables or {}
        pattern = ",".join(str(part) for term in terms for part in (term if isinstance(term, list) else [term]))
        if any(context.CLIARGS.get(option) for option in _LOOKING_ONLY):
            return [pattern]
        groups, limit = variables.get("groups") or {}, variables.get("ansible_limit")
        if not self._matches(pattern, groups, None):
            raise AnsibleError(_no_host(pattern, groups, variables.get("ansible_inventory_sources")))
        if limit and not self._matches(pattern, groups, limit):
            raise AnsibleError(f"No host to work on: none of '{pattern}' is in --limit {limit}.")
        return [pattern]

    def _matches(self, pattern, groups, limit):
        if _NAME.fullmatch(pattern) and not limit and pattern not in constants.LOCALHOST:
            # The manager would warn of one that it does not know, and the error says it all.
            return bool(groups.get(pattern)) or any(pattern in hosts for hosts in groups.values())
        inventory = InventoryManager(self._loader, parse=False)
        for group, hosts in groups.items():
            inventory.add_group(group)
            for host in hosts:
                inventory.add_host(host, group=group)
        inventory.subset(limit)
        return bool(inventory.list_hosts(pattern))


def _no_host(pattern, groups, sources):
    """The sentence for a pattern without hosts: whether the group is empty or missing, and what to do."""
    where = ", ".join(str(source) for source in sources or [])
    inventory = f"the inventory ({where})" if where else "the inventory (give one with -i)"
    if pattern in groups:
        return f"No host to work on: the group '{pattern}' in {inventory} is empty. Add a host to it."
    if not any(groups.values()):
        return (
            f"No host to work on: {inventory} is not there, or has no host. Go to the directory that init wrote, or "
            "name your inventory with -i; ansible-playbook homelab.mediastack.init writes a new one."
        )
    return (
        f"No host to work on: '{pattern}' matches nothing in {inventory}. "
        "Put your hosts into the group mediastack, or name others with -e mediastack_hosts=..."
    )
