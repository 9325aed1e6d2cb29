# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether this host has a firewall that published ports go past. Only read; nothing of it is asked to change.

Docker sends what comes in for a published port on to the container before the chain INPUT is asked, which is where ufw
and most rules made by hand decide: https://docs.docker.com/engine/network/packet-filtering-firewalls/
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess

DOCS = "https://docs.docker.com/engine/network/packet-filtering-firewalls/"
DEADLINE = 10
#: Where root's programs are that a login without a terminal does not look for.
SBIN = ("/usr/sbin", "/sbin", "/usr/local/sbin")
_UFW_ON = re.compile(r"^\s*ENABLED\s*=\s*[\"']?yes\b", re.IGNORECASE | re.MULTILINE)
_CHAIN = re.compile(r"^\s*chain\s+(\S+)\s*\{(.*?)^\s*\}", re.DOTALL | re.MULTILINE)
_INPUT_HOOK = re.compile(r"\bhook\s+input\b")
_DECIDES = re.compile(r"\bpolicy\s+drop\b|\b(?:drop|reject)\b")


def found(root="/", run=None):
    """Names of the firewalls that are on, for people; empty where there is none.

    `root`: where files are read; `run`: function of a command's words that returns its output, None where it fails.
    """
    run = run or _run
    names = []
    if _UFW_ON.search(_text(os.path.join(root, "etc/ufw/ufw.conf"))):
        names.append("ufw")
    if _runs("firewalld", os.path.join(root, "proc")):
        names.append("firewalld")
    if not names:
        if nft_decides(run("nft", "list", "ruleset") or ""):
            names.append("nftables")
        elif iptables_decides(run("iptables", "-S", "INPUT") or ""):
            names.append("iptables")
    return names


def nft_decides(ruleset):
    """Whether a chain of `nft list ruleset` drops or rejects what comes in for this host."""
    return any(_INPUT_HOOK.search(body) and _DECIDES.search(body) for _name, body in _CHAIN.findall(ruleset))


def iptables_decides(rules):
    """Whether `iptables -S INPUT` drops or rejects anything."""
    return bool(re.search(r"^-P INPUT (?:DROP|REJECT)|-j (?:DROP|REJECT)\b", rules, re.MULTILINE))


def warning(names, places):
    """What to tell of `places` (words for what is published to the network), None where there is nothing to tell."""
    if not names or not places:
        return None
    part = "#docker-and-ufw" if "ufw" in names else "#integration-with-firewalld" if "firewalld" in names else ""
    return (
        "%s is on, but published ports bypass it: Docker sends what comes for them on to the containers before the "
        "rules for input are asked (%s%s). So its rules neither close nor open %s; mediastack_bind_addresses and the "
        "chain DOCKER-USER do" % (" and ".join(names), DOCS, part, ", ".join(places))
    )


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read(65536)
    except OSError:
        return ""


def _runs(program, proc):
    try:
        pids = [name for name in os.listdir(proc) if name.isdigit()]
    except OSError:
        return False
    return any(_text(os.path.join(proc, pid, "comm")).strip() == program for pid in pids)


def _run(*command):
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN])
    program = shutil.which(command[0], path=path)
    if not program:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]], stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
