# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is tried from inside a network namespace. Everything here runs in a child process that has joined it, and
returns what was seen as JSON; `leak_judge.py` says what it means.
"""

from __future__ import annotations

import codecs
import concurrent.futures
import contextlib
import http.client
import ipaddress
import json
import os
import re
import socket
import ssl
import struct
import urllib.parse

from ansible_collections.homelab.mediastack.plugins.module_utils import leak_bypass, leak_dns, leak_routes

# Names are looked up in a child process, which should not import any more.
codecs.lookup("idna")

MAX_BODY = 65536
ROUTE_TARGETS = ("1.1.1.1", "208.67.222.222")
"""One in each half of the address space: OpenVPN may route the halves apart. Looked up in the kernel, not contacted."""
ROUTE_TARGET6 = "2606:4700:4700::1111"
"""Only looked up as well."""
HTTPS = 443
_BEP15_MAGIC = 0x41727101980
_WORD = re.compile(r"(?<![\w:.%-])[0-9A-Fa-f:.]{3,}(?![\w:%-])")
_KEYS = ("ip", "query", "origin", "address", "ip_addr", "ip_address", "ipAddress")
"""Where the JSON of IP echoes has the address."""


class EchoError(Exception):
    """The IP echo gave no address; the text says why."""


class Echo:
    """An IP echo: a web page whose text is the address that it is asked from."""

    def __init__(self, url):
        """`url`: http(s)://host[:port]/path."""
        parts = urllib.parse.urlsplit(url)
        self.url = url
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (HTTPS if self.secure else 80)
        self.path = (parts.path or "/") + ("?" + parts.query if parts.query else "")

    @property
    def is_address(self):
        """Whether the host is an address, which needs no resolver."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    def ask(self, address, timeout):
        """The address that it sees us at, asked at the address `address`. EchoError."""
        try:
            with socket.create_connection((address, self.port), timeout) as plain:
                sock = plain
                if self.secure:
                    sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)
                connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
                connection.sock = sock
                connection.request("GET", self.path, headers={"User-Agent": "curl/8", "Accept": "text/plain, */*"})
                answer = connection.getresponse()
                body = answer.read(MAX_BODY).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise EchoError(_words(error)) from error
        if answer.status != 200:
            raise EchoError("it answers HTTP %d" % answer.status)
        found = address_in(body)
        if not found:
            raise EchoError("its answer holds no IP address, or several")
        return found


def _words(error):
    if isinstance(error, socket.timeout):
        return "no answer in time"
    if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
        # Its text is the answer's, in which the address may stand that nobody is to see.
        return "its answer is not HTTP"
    return getattr(error, "strerror", None) or str(error) or error.__class__.__name__


def address_in(text):
    """The IP address that an echo's answer tells, as text or JSON; None where there is none, or more than one.

    A page with several (a captive portal, an error page of a proxy) does not say which one is ours.
    """
    with contextlib.suppress(ValueError):
        known = json.loads(text)
        for key in _KEYS if isinstance(known, dict) else ():
            if isinstance(known.get(key), str) and _addresses(known[key]):
                return _only(_addresses(known[key]))
    return _only(_addresses(text))


def _addresses(text):
    found = []
    for word in _WORD.findall(text):
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(word.rstrip(".:") if word.endswith((".", ":")) else word)
            if not (address.is_unspecified or address.is_loopback):
                found.append(str(address))
    return found


def _only(found):
    return found[0] if len(set(found)) == 1 else None


def host_address(url, timeout):
    """The host's own public address, by its own resolver. EchoError."""
    echo = Echo(url)
    try:
        found = socket.getaddrinfo(echo.host, echo.port, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise EchoError("%s has no address here: %s" % (echo.host, error.strerror)) from error
    return echo.ask(found[0][4][0], timeout)


def look(asked):
    """Everything that is seen from inside while the tunnel is up.

    `asked`: `echo` (URL), `name` (to resolve), `resolvers` (the app's), `others` (that must not answer), `direct`
    (public resolvers), `tcp6` (address and port that would answer by IPv6, or None), `tunnel` (its interface),
    `timeout`.
    """
    timeout, ports = asked["timeout"], []
    echo = Echo(asked["echo"])
    resolvers = [_resolve(server, asked["name"], timeout, ports) for server in asked["resolvers"]]
    address, address6 = _echo_addresses(echo, resolvers, asked["name"], timeout)
    targets = [*ROUTE_TARGETS, *([address] if address else [])]
    past = {
        **asked,
        "tcp4": (address, echo.port) if address else None,
        "tcp6": (address6, echo.port) if address6 else asked["tcp6"],
        "timeout": min(timeout, 3.0),
    }
    seen = {
        "interfaces": leak_routes.interfaces(),
        "addresses6": leak_routes.addresses6(),
        "routes": {target: leak_routes.interface_to(target) for target in targets},
        "route6": leak_routes.interface_to(address6 or ROUTE_TARGET6),
        "resolvers": resolvers,
        "others": _at_once(
            [
                lambda server=server: _resolve(server, asked["name"], min(timeout, 2.0), ports)
                for server in asked["others"]
            ]
        ),
        "echo": {"at": address, "at6": address6, "port": echo.port, "address": None, "reason": None},
        "own_ports": ports,
        "six": None,
        "bypass": _at_once(leak_bypass.jobs(past)),
    }
    if seen["route6"] not in (None, asked["tunnel"], "lo"):
        seen["six"] = _connect((address6, echo.port) if address6 else asked["tcp6"], timeout)
    if address:
        try:
            seen["echo"]["address"] = echo.ask(address, timeout)
        except EchoError as error:
            seen["echo"]["reason"] = str(error)
    else:
        seen["echo"]["reason"] = "%s could not be resolved" % echo.host
    return seen


def _resolve(server, name, timeout, ports):
    """What a resolver says, and by which interface it was asked."""
    answer, reason = leak_dns.ask(server, name, timeout=timeout, on_port=ports.append)
    return {
        "server": server,
        "route": leak_routes.interface_to(server),
        "answered": answer is not None,
        "knows": bool(answer and answer.knows),
        "addresses": list(answer.addresses) if answer else [],
        "reason": reason,
    }


def _echo_addresses(echo, resolvers, name, timeout):
    """(IPv4 address or None, IPv6 address or None) of the echo, by the app's own resolvers."""
    if echo.is_address:
        return (None, echo.host) if ":" in echo.host else (echo.host, None)
    for resolver in resolvers:
        if name == echo.host and resolver["addresses"]:
            other, _reason = leak_dns.ask(resolver["server"], name, leak_dns.AAAA, timeout)
            return resolver["addresses"][0], (other.addresses[0] if other and other.addresses else None)
    return None, None


# Does anything get out?


def attempts(asked):
    """Try to get out in every way: {way: {done, reason, route}}.

    `asked`: `tcp4`, `tcp6`, `udp`: (address, port) or None; `resolvers`: the app's; `direct`: public ones;
    `name`: to resolve below; `timeout`: seconds for each, all at once. `done` means that an answer came from outside.
    """
    timeout = asked["timeout"]
    # A name that nobody has asked for: what a resolver remembers would not have got out.
    fresh = "%s.%s" % (os.urandom(6).hex(), asked["name"])
    jobs = {
        "tcp4": lambda: _connect(asked["tcp4"], timeout),
        "tcp6": lambda: _connect(asked["tcp6"], timeout) if asked["tcp6"] else _no_route6(),
        "udp": lambda: announce(asked["udp"], timeout),
    }
    for number, server in enumerate([*asked["resolvers"], *asked["direct"]]):
        jobs["dns%d" % number] = lambda server=server: _resolve_fresh(server, fresh, timeout)
    return dict(zip(jobs, _at_once(list(jobs.values()))))


def _no_route6():
    """Where nobody is to be tried by IPv6, having no route says as much."""
    route = leak_routes.interface_to(ROUTE_TARGET6)
    return {"to": "the internet", "done": False, "reason": "untried" if route else "ENETUNREACH", "route": route}


def _resolve_fresh(server, name, timeout):
    answer, reason = leak_dns.ask(server, name, timeout=timeout)
    return {
        "to": server,
        "done": bool(answer and answer.knows),
        "reason": reason or ("code %d" % answer.code),
        "route": leak_routes.interface_to(server),
    }


def _at_once(jobs):
    """The results of all functions, in order. A thread is in the namespace of the one that made it."""
    if not jobs:
        return []
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


def _connect(place, timeout):
    if not place:
        return {"to": "", "done": False, "reason": "untried", "route": None}
    address, port = place
    done, reason = False, None
    try:
        with socket.create_connection((address, port), timeout):
            done = True
    except socket.timeout:
        # A firewall that drops what is sent is silent about TCP, but tells the sender of a datagram.
        reason = _send_nothing(address, port) or "timeout"
    except OSError as error:
        reason = leak_dns.reason(error)
    return {
        "to": "%s port %d" % (address, port),
        "done": done,
        "reason": reason,
        "route": leak_routes.interface_to(address),
    }


def _send_nothing(address, port):
    """Why the kernel does not send an empty datagram there; None when it does."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, port))
            sock.send(b"")
    except OSError as error:
        return leak_dns.reason(error)
    return None


def announce(place, timeout):
    """Begin an announce at a UDP tracker (BEP 15): the request for a connection, which names no torrent."""
    if not place:
        return {"to": "", "done": False, "reason": "untried", "route": None}
    address, port = place
    number = struct.unpack("!I", os.urandom(4))[0]
    done, reason = False, None
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout)
            sock.connect((address, port))
            sock.send(struct.pack("!QII", _BEP15_MAGIC, 0, number))
            done = len(sock.recv(2048)) > 0
    except socket.timeout:
        reason = "timeout"
    except OSError as error:
        reason = leak_dns.reason(error)
    return {
        "to": "%s port %d" % (address, port),
        "done": done,
        "reason": reason,
        "route": leak_routes.interface_to(address),
    }


def addresses_of(name, resolvers, timeout):
    """IPv4 addresses of `name` by the first of `resolvers` that knows them."""
    try:
        return [str(ipaddress.ip_address(name))]
    except ValueError:
        pass
    for server in resolvers:
        answer, _reason = leak_dns.ask(server, name, timeout=timeout)
        if answer and answer.addresses:
            return list(answer.addresses)
    return []
