# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A setting that counts for a play as a whole: how many hosts at once, and how many may fail."""

from __future__ import annotations

DOCUMENTATION = r"""
name: waves
short_description: A setting of the first host, for a keyword of a play
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - The keywords C(serial) and C(max_fail_percentage) count for all hosts of a play, before any of them is in it. What
    they are is a setting of the first host for which an earlier play has checked its settings.
  - With one host there is nothing to decide, and nothing need have been checked.
options:
  _terms:
    description: The setting.
    type: list
    elements: str
    required: true
  checked:
    description: The variable in which an earlier play registered what M(homelab.mediastack.settings) returned.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Make hosts match the inventory
  hosts: mediastack
  serial: "{{ query('homelab.mediastack.waves', 'mediastack_site_serial', checked='site_settings') | first }}"
"""

RETURN = r"""
_raw:
  description: The setting; what makes one batch of all hosts, and lets none of them fail, where none was checked.
  type: list
  elements: raw
"""

from ansible.plugins.lookup import LookupBase  # noqa: E402

_OF_ONE_HOST = {"mediastack_max_fail_percentage": 0}


class LookupModule(LookupBase):
    """Looks at the hosts in the order of the inventory."""

    def run(self, terms, variables=None, **kwargs):
        """Return the value of each of *terms*."""
        self.set_options(var_options=variables, direct=kwargs)
        found = self._settings(variables or {}, self.get_option("checked"))
        return [found.get(term, _OF_ONE_HOST.get(term, ["100%"])) for term in terms]

    @staticmethod
    def _settings(variables, checked):
        hostvars = variables.get("hostvars") or {}
        # Those of the play, by C(--limit) too: to ask another host for its variables may take a while.
        for host in variables.get("ansible_play_hosts_all") or []:
            known = hostvars.raw_get(host) if hasattr(hostvars, "raw_get") else hostvars.get(host)
            result = known.get(checked) if hasattr(known, "get") else None
            if result and result.get("settings"):
                return result["settings"]
        return {}
