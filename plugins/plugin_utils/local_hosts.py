# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which hosts of a play are the very machine that Ansible runs on."""

from __future__ import annotations

LOCAL = ("local", "ansible.builtin.local")


def among(hosts, task_vars, connection):
    """Those of *hosts*, a set, whose connection is `local`.

    Args:
        hosts: names.
        task_vars: variables of a task; they lead to the other hosts' own.
        connection: the task's connection, for hosts that name none.
    """
    hostvars = task_vars.get("hostvars") or {}
    return {host for host in hosts if (_connection(hostvars, host) or connection) in LOCAL}


def _connection(hostvars, host):
    try:
        return hostvars[host].get("ansible_connection")
    except (KeyError, TypeError):
        return None
