# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to do when a host cannot be worked on, in one line: by what ssh, sudo or Ansible said."""

from __future__ import annotations

import re

PYTHON = (
    "Install Python 3.8 or newer there (Debian: apt install python3; Synology and QNAP: their package centre; Unraid: "
    "the plugin Python 3), or set ansible_python_interpreter to where it is."
)
SUDO = "Log in as root and leave ansible_become out, or give the user the right to use sudo."
TRANSFER = (
    "Switch SFTP on (Synology: Control Panel, File Services, FTP, SFTP), or set ansible_ssh_transfer_method: piped for "
    "this host."
)
_PASSWORD = (
    r"missing sudo password|sudo: a (?:terminal|password) is required|incorrect sudo password|sorry, try again|"
    r"timeout.*waiting for privilege|1 incorrect password"
)
# What was said, as a pattern, and the remedy. The first that fits counts.
_REMEDIES = (
    (
        r"remote host identification has changed",
        "Another machine answers, or it was set up anew: ssh-keygen -R {host}, then log in once by hand and compare.",
    ),
    (r"host key verification failed", "Log in once by hand, compare the key and say yes: ssh {target}"),
    (r"too many authentication failures", "Name the key in ~/.ssh/config: IdentityFile, and IdentitiesOnly yes."),
    (
        r"permission denied \(|authentication failure|no more authentication methods",
        "Bring your key there: ssh-copy-id {target}",
    ),
    (
        r"could not resolve hostname|name or service not known",
        "Check the spelling, or write the address: user@192.168.1.10",
    ),
    (
        r"connection refused",
        "Switch SSH on there (a NAS has a page for it in its settings), or write the port: user@host:2222",
    ),
    (
        r"connection timed out|operation timed out|no route to host|network is unreachable",
        "Check that it is switched on and in reach: ping {host}",
    ),
    (r"not in the sudoers|may not run sudo", SUDO),
    (r"sudo: (?:command )?not found|no such file or directory: '?sudo|sudo: no such file", SUDO),
    (_PASSWORD, "Give the right password of sudo: --ask-become-pass"),
    (r"must be (?:run from )?a tty|you must have a tty", "Take 'Defaults requiretty' out of sudoers there."),
    (r"interpreter .*not found|python[0-9.]*:? (?:command )?not found|python[0-9.]*: no such file", PYTHON),
    (r"requires a minimum of python|unsupported python", PYTHON),
    (r"subsystem request failed|failed to transfer file|sftp.*(?:not found|failed)", TRANSFER),
    (r"failed to create temporary directory|no space left", "Make room on the disk of that user's home directory."),
)


def remedy(said, host, user=None):
    """The one-line remedy for what ssh, sudo or Ansible said, or an empty string when none is known.

    Parameters:
        said: their message.
        host, user: of the connection.
    """
    target = f"{user}@{host}" if user else host
    for pattern, words in _REMEDIES:
        if re.search(pattern, said, re.IGNORECASE):
            return words.format(host=host, target=target)
    return ""


def wants_password(said):
    """Whether sudo only lacks a password."""
    return bool(re.search(_PASSWORD, said, re.IGNORECASE))


def sentence(said, host, user=None):
    """What was said, on one line, and the remedy."""
    words = " ".join(said.split())
    if len(words) > 400:
        words = words[:399] + "…"
    return f"{words.rstrip('.')}. {remedy(said, host, user)}".rstrip()
