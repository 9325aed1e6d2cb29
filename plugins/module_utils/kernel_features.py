# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the running kernel can do, by looking only: nothing is loaded, no device is made.

Three answers: True, False, and None where it cannot be known. A wrong False would keep a host that works from working,
so it takes proof: the kernel's own configuration, or complete lists of its modules.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import struct

_MODULE_FILE = re.compile(r"([^/]+)\.ko(?:\.\w+)?$")
_OPTION = re.compile(r"^CONFIG_(\w+)=(\S+)", re.M)
_RTM_NEWRULE, _RTM_GETRULE = 32, 34
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3


class Kernel:
    """The kernel of a host."""

    def __init__(self, root="/", release=None, whole=True):
        """`release`: of `uname -r`; `whole`: whether this file system is the kernel's own. In a container it is not,
        and what is not in /lib/modules says nothing.
        """
        self.root, self.whole = root, whole
        self.release = release or os.uname()[2]
        self._modules = os.path.join(root, "lib/modules")
        self._known = {}

    @property
    def gone(self):
        """Whether the modules of the running kernel were removed, as an update of the kernel does: no other module can
        be loaded until the next boot.
        """
        if not self.whole or os.path.isdir(os.path.join(self._modules, self.release)):
            return False
        return any(os.path.exists(os.path.join(self._modules, name, "modules.dep")) for name in _entries(self._modules))

    def has(self, module, option):
        """Whether a feature is there or comes by itself when it is asked for.

        `module`: its name; `option`: in the kernel's configuration, without `CONFIG_`.
        """
        loadable = self.loadable(module)
        if loadable or self.loaded(module):
            return True
        setting = self._option(option)
        if setting in ("y", "n"):
            return setting == "y"
        if setting == "m" and self.gone:
            return False
        return None if loadable is None else False

    def loaded(self, module):
        """Whether a module is loaded; one that is built in may be missed."""
        names = self._once("proc/modules", lambda text: {line.split(" ")[0] for line in text.splitlines()})
        return module in (names or ()) or os.path.isdir(os.path.join(self.root, "sys/module", module))

    def loadable(self, module):
        """Whether a module is among those that the kernel finds by itself, or built in."""
        listed = [
            self._once(os.path.join("lib/modules", self.release, name), _module_names)
            for name in ("modules.dep", "modules.builtin")
        ]
        if any(module in names for names in listed if names):
            return True
        return False if self.whole and all(listed) else None

    def module_file(self, module):
        """Path of a module that lies in /lib/modules itself, as on Synology, where nothing loads it by itself."""
        path = os.path.join(self._modules, module + ".ko")
        return path if os.path.exists(path) else None

    def device(self, name):
        """Whether the kernel has a device of the class misc, as tun is, just now."""
        names = self._once("proc/misc", lambda text: {line.split()[-1] for line in text.splitlines() if line.strip()})
        return None if names is None else name in names

    def table(self, name):
        """Whether iptables of the old kind has a table just now."""
        return name in (self._once("proc/net/ip_tables_names", lambda text: set(text.split())) or ())

    def match(self, name):
        """Whether a match of iptables is registered just now."""
        return name in (self._once("proc/net/ip_tables_matches", lambda text: set(text.split())) or ())

    @property
    def ipv6(self):
        """Whether there is IPv6 at all; `ipv6.disable=1` on the kernel's command line takes all of it away."""
        net = os.path.join(self.root, "proc/sys/net")
        return os.path.isdir(os.path.join(net, "ipv6")) if os.path.isdir(os.path.join(net, "ipv4")) else None

    def _option(self, name):
        """y, m, n, or None where the kernel keeps its configuration to itself."""
        if "config" not in self._known:
            text = _zipped(os.path.join(self.root, "proc/config.gz"))
            text = text or _text(os.path.join(self.root, "boot/config-%s" % self.release))
            options = dict(_OPTION.findall(text or ""))
            # A configuration without networking is a piece of one.
            self._known["config"] = options if options.get("NET") == "y" else None
        options = self._known["config"]
        return None if options is None else options.get(name, "n")

    def _once(self, path, parse):
        """What `parse` makes of a file, read once; None without one."""
        if path not in self._known:
            text = _text(os.path.join(self.root, path))
            self._known[path] = None if text is None else parse(text)
        return self._known[path]


def _module_names(text):
    """Names of the modules in the lines of modules.dep or modules.builtin."""
    found = (_MODULE_FILE.search(line.split(":")[0].strip()) for line in text.splitlines())
    return {match.group(1).replace("-", "_") for match in found if match}


def _entries(path):
    try:
        return os.listdir(path)
    except OSError:
        return []


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return None


def _zipped(path):
    # Some NAS systems have a Python in pieces.
    with contextlib.suppress(ImportError, OSError, EOFError):
        import gzip

        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as handle:
            return handle.read()
    return None


def policy_routing():
    """Whether the kernel has rules for routes (CONFIG_IP_MULTIPLE_TABLES), by listing them, as gluetun does first."""
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    question = struct.pack("=IHHII", 16 + len(body), _RTM_GETRULE, _NLM_F_REQUEST_DUMP, 1, 0) + body
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
            sock.settimeout(2)
            sock.send(question)
            return rules_answer(sock.recv(65536))
    except (OSError, AttributeError):
        return None


def rules_answer(message):
    """What the kernel's first answer to the question for its rules means."""
    kind = struct.unpack("=H", message[4:6])[0]
    if kind == _NLMSG_ERROR:
        code = -struct.unpack("=i", message[16:20])[0]
        return False if code in (errno.EOPNOTSUPP, errno.EAFNOSUPPORT) else None
    return True if kind in (_RTM_NEWRULE, _NLMSG_DONE) else None
