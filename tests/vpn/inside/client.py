# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a World does from inside a container: VERB WORD … SECONDS. Prints the answer, nothing when there is none."""

import contextlib
import os
import socket
import struct
import sys
import threading
import time
import urllib.request


def udp(address, seconds):
    """Return a UDP socket of the address's family."""
    link = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    link.settimeout(seconds)
    return link


def fetch(url, seconds):
    """Return what a URL answers."""
    with urllib.request.urlopen(url, timeout=seconds) as answer:
        return answer.read().decode().strip()


def resolve(name, server, seconds):
    """Return the IPv4 address of a name, by DNS over UDP."""
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0\0\1\0\1"
    with udp(server, seconds) as link:
        link.sendto(struct.pack(">6H", 4711, 0x100, 1, 0, 0, 0) + question, (server, 53))
        return socket.inet_ntoa(link.recv(512)[-4:])


def announce(address, port, seconds):
    """Announce a torrent that is none to a UDP tracker (BEP 15)."""
    with udp(address, seconds) as link:
        link.sendto(struct.pack(">QII", 0x41727101980, 0, 1), (address, int(port)))
        number = struct.unpack(">IIQ", link.recv(64)[:16])[2]
        torrent = b"h" * 20, b"-MS0001-" + os.urandom(12)
        link.sendto(
            struct.pack(">QII20s20sQQQIIIiH", number, 1, 2, *torrent, 0, 1, 0, 2, 0, 0, -1, 6881), (address, int(port))
        )
        return "announced" if struct.unpack(">I", link.recv(512)[:4])[0] == 1 else "refused"


def connect(address, port, seconds):
    """Return open, closed or silent: what a TCP port does."""
    try:
        socket.create_connection((address, int(port)), seconds).close()
    except ConnectionRefusedError:
        return "closed"
    except OSError:
        return "silent"
    return "open"


def handshake(address, port, info_hash, seconds):
    """Greet a BitTorrent client as a peer does (BEP 3); returns the peer id of its own greeting, as text."""
    torrent = bytes.fromhex(info_hash)
    with socket.create_connection((address, int(port)), seconds) as link:
        link.settimeout(seconds)
        link.sendall(b"\x13BitTorrent protocol" + bytes(8) + torrent + b"-MS0001-" + b"peer" * 3)
        answer = b""
        while len(answer) < 68 and (part := link.recv(68 - len(answer))):
            answer += part
    greets = answer.startswith(b"\x13BitTorrent protocol") and answer[28:48] == torrent
    return answer[48:].decode(errors="replace") if greets else ""


def chatter(echo, resolver, tracker, seconds):
    """Try to get out by every way, again and again, until standard input ends; nothing is waited for.

    TCP connections are never closed, and a new one is opened when the last one hears nothing for a second: what belongs
    to the old ones is "established" for a firewall, and goes on trying.
    """
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    print("chatter", flush=True)
    kept, old, heard = None, [], 0.0
    while True:
        with contextlib.suppress(OSError), udp(tracker, 0) as link:
            link.sendto(struct.pack(">QII", 0x41727101980, 0, 1), (tracker, 6969))
        with contextlib.suppress(OSError), udp(resolver, 0) as link:
            link.sendto(struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"\7chatter\7example\0\0\1\0\1", (resolver, 53))
        try:
            if kept is None or time.monotonic() > heard + 1:
                old = [*old[-20:], kept]
                kept = socket.create_connection((echo, 80), 0.2)
                kept.setblocking(False)
                heard = time.monotonic()
            kept.sendall(b"GET /chatter HTTP/1.1\r\nHost: echo.example\r\n\r\n")
            if kept.recv(65536):
                heard = time.monotonic()
        except BlockingIOError:
            pass
        except OSError:
            heard = 0.0
        time.sleep(seconds)


VERBS = {"fetch": fetch, "resolve": resolve, "announce": announce, "connect": connect, "chatter": chatter}
VERBS["handshake"] = handshake

if __name__ == "__main__":
    verb, *words, limit = sys.argv[1:]
    with contextlib.suppress(OSError):
        print(VERBS[verb](*words, float(limit)))
