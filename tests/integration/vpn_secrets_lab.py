# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks for secrets wherever a run, its containers or its files may show them, however they are spelled."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import pathlib
import random
import re
import stat
import string
import subprocess
import threading
import time
import urllib.parse

# So many characters of a long secret, first or last ones, are as good as the secret: nobody else has them.
PART = 16
# A line of several that is shorter, or has blanks in it, is a word of the format.
_DISTINCTIVE = re.compile(r"^[^\s<>-]\S{15,}$")
_WIREGUARD = re.compile(r"^[A-Za-z0-9+/]{43}=$")

CHECKOUT = str(pathlib.Path(__file__).resolve().parents[2])

# What a module says to the system's log goes into a file: Python reads this at its start.
_SYSLOG = """import os, syslog
def _write(*words):
    with open(os.environ["MSSECRETS_SYSLOG"], "a") as log:
        log.write(" ".join(map(str, words)) + chr(10))
syslog.syslog = _write
"""


def text(length, signs=string.ascii_letters + string.digits):
    """A random text that occurs nowhere else."""
    return "".join(random.choices(signs, k=length))


def wireguard_key():
    """32 bytes in base64; some spellings differ only where there is a sign that is not a letter."""
    while True:
        key = base64.b64encode(random.randbytes(32)).decode()
        if "+" in key[PART:-PART] and "/" in key:
            return key


def pem(kind):
    """An armoured text as gluetun takes it: what it decodes to matters to nobody here."""
    body = base64.b64encode(random.randbytes(240)).decode()
    lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n"


def _base64(data, table):
    """The signs of *data* in base64 that do not depend on what stands before and after it, for each place in three."""
    for before in range(3):
        coded = table(b"\0" * before + data).decode().rstrip("=")
        end = len(coded) - (1 if (before + len(data)) % 3 else 0)
        yield coded[(0, 2, 3)[before] : end]


def _parts(value):
    """The pieces of a secret by which it is known: all of it, its lines, the ends of what is long."""
    lines = [line.strip() for line in value.strip().splitlines()]
    pieces = lines if len(lines) == 1 else [line for line in lines if _DISTINCTIVE.match(line)]
    for piece in pieces:
        yield piece
        if len(piece) > 2 * PART:
            yield piece[:PART]
            yield piece.rstrip("=")[-PART:]


def spellings(value):
    """Every way in which a file, a program or a protocol may write *value*: `{bytes: how}`."""
    found = {}
    for piece in _parts(value):
        data = piece.encode()
        for how, written in (
            ("as it is", piece),
            ("in JSON", json.dumps(piece)[1:-1]),
            ("in JSON", json.dumps(piece, ensure_ascii=False)[1:-1]),
            ("in Python", repr(piece)[1:-1]),
            ("in YAML", piece.replace("'", "''")),
            ("in a Compose file", piece.replace("$", "$$")),
            ("in HTML", html.escape(piece)),
            ("in an address", urllib.parse.quote(piece, safe="")),
            ("in an address", urllib.parse.quote(piece)),
            ("in an address", urllib.parse.quote_plus(piece)),
            ("in an address", urllib.parse.quote(piece, safe="").replace("%", "%25")),
            ("in hex", data.hex()),
            *(("in base64", each) for each in _base64(data, base64.b64encode)),
            *(("in base64", each) for each in _base64(data, base64.urlsafe_b64encode)),
        ):
            found.setdefault(written.encode(), how)
        if _WIREGUARD.match(piece):
            found[base64.b64decode(piece)] = "as bytes"
            found[base64.b64decode(piece).hex().encode()] = "in hex, as WireGuard's tools take it"
    return {written: how for written, how in found.items() if len(written) >= 8}


class Secrets:
    """Secrets by name, to be looked for."""

    def __init__(self):
        self._needles = {}
        #: Every value of every name: one that is rotated counts twice.
        self.values = set()

    def add(self, **values):
        """Look for these, too."""
        self.values.update((name, value) for name, value in values.items() if value)
        for name, value in values.items():
            for written, how in spellings(value).items():
                self._needles.setdefault(written, f"{name} {how}")

    def __len__(self):
        return len(self._needles)

    def found(self, data):
        """What of them *data* holds: sorted `NAME how it is written`; never the value."""
        # Ansible breaks what it warns of into lines of 79 signs.
        joined = data.replace(b"\n", b"")
        return sorted({name for written, name in self._needles.items() if written in data or written in joined})

    def in_places(self, places):
        """`["place: NAME how …"]` for an iterable of `(place, bytes)`."""
        return [f"{place}: {name}" for place, data in places for name in self.found(data)]


class Processes:
    """Reads the arguments and the environment of every process of this machine, again and again, until left."""

    # A process is another program after its start, and hardly ever later: an old one is read in one round of so many.
    YOUNG, SELDOM = 8, 40

    def __enter__(self):
        self.rounds = 0
        self._seen, self._ages = {}, {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _run(self):
        while not self._over.is_set():
            there = {name: self._ages.get(name, 0) + 1 for name in os.listdir("/proc") if name.isdigit()}
            self._ages = there
            for name, age in there.items():
                if age <= self.YOUNG or (age + int(name)) % self.SELDOM == 0:
                    self._read(name)
            self.rounds += 1
            # A breath for what is looked at: a program lives for some milliseconds at least.
            self._over.wait(0.004)

    def _read(self, number):
        for kind in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                with open(f"/proc/{number}/{kind}", "rb") as handle:
                    data = handle.read()
                if data not in self._seen:
                    with open(f"/proc/{number}/comm") as handle:
                        self._seen[data] = f"{kind} of a process {handle.read().strip()}"

    def places(self):
        """`(place, bytes)` of everything that was seen."""
        return [(place, data) for data, place in list(self._seen.items())]


def private(directory):
    """Environment of a run that keeps all that it leaves behind below *directory*, and says as much as it can."""
    directory = pathlib.Path(directory)
    for name in ("tmp", "facts", "python"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "python" / "sitecustomize.py").write_text(_SYSLOG)
    (directory / "syslog").touch()
    return {
        "TMPDIR": str(directory / "tmp"),
        "ANSIBLE_LOCAL_TEMP": str(directory / "local"),
        "ANSIBLE_REMOTE_TMP": str(directory / "remote"),
        "ANSIBLE_CACHE_PLUGIN": "jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(directory / "facts"),
        "ANSIBLE_LOG_PATH": str(directory / "ansible.log"),
        "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "1",
        "ANSIBLE_DISPLAY_TRACEBACK": "always",
        "PYTHONPATH": str(directory / "python"),
        "MSSECRETS_SYSLOG": str(directory / "syslog"),
    }


def below(directory, since=0):
    """`(path, bytes)` of every regular file below *directory* that came or changed after *since* (a time)."""
    for where, _names, files in os.walk(directory):
        for name in files:
            yield from _one(os.path.join(where, name), since)


def left_in_tmp(since, *but):
    """`(path, bytes)` of the files in the places for temporary ones that came or changed after *since* (a time).

    By the time of the inode's change, which no copy carries over; neither below *but* nor in this checkout.
    """
    but = (*but, CHECKOUT)
    for place in ("/tmp", "/var/tmp", "/dev/shm", os.path.expanduser("~/.ansible/tmp")):  # noqa: S108 - looked at only
        with contextlib.suppress(OSError):
            for entry in os.scandir(place):
                if entry.path in but or any(each.startswith(entry.path + "/") for each in but):
                    continue
                if entry.stat(follow_symlinks=False).st_ctime >= since:
                    inside = entry.is_dir(follow_symlinks=False)
                    yield from below(entry.path, since) if inside else _one(entry.path, since)


def _one(path, since):
    # Something that is removed meanwhile, or a socket.
    with contextlib.suppress(OSError):
        seen = os.lstat(path)
        if stat.S_ISREG(seen.st_mode) and seen.st_ctime >= since:
            yield path, pathlib.Path(path).read_bytes()


def _said(*command, **options):
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, **options)
    return done.stdout + done.stderr


def of_engine(stack):
    """`(place, bytes)` of all that the engine tells of a project to whoever may ask it."""
    mine = f"label=com.docker.compose.project={stack.project}"
    containers = _said("docker", "ps", "-aq", "--no-trunc", "--filter", mine).decode().split()
    assert containers
    yield "docker inspect", _said("docker", "inspect", *containers)
    yield "docker ps", _said("docker", "ps", "-a", "--no-trunc", "--filter", mine, "--format", "{{json .}}")
    for kind in ("network", "volume"):
        names = _said("docker", kind, "ls", "-q", "--filter", mine).decode().split()
        yield f"docker {kind} inspect", _said("docker", kind, "inspect", *names) if names else b""
    for image in {entry["Image"] for entry in stack.containers().values()}:
        yield f"docker history {image}", _said("docker", "history", "--no-trunc", image)
        yield f"docker image inspect {image}", _said("docker", "image", "inspect", image)
    for service, entry in stack.containers().items():
        yield f"docker logs of {service}", _said("docker", "logs", entry["Id"])
    # As the user calls it, in the project's directory.
    here = {"cwd": stack.project_path, "env": {"PATH": os.environ["PATH"], "HOME": os.path.expanduser("~")}}
    for words in ((), ("--format", "json"), ("--no-interpolate",), ("--environment",)):
        yield f"docker compose config {' '.join(words)}", _said("docker", "compose", "config", *words, **here)


def events(stack, since):
    """`(place, bytes)`: what the engine told of the project's containers since *since* (a time)."""
    now = str(int(time.time()))
    mine = f"label=com.docker.compose.project={stack.project}"
    yield (
        "docker events",
        _said("docker", "events", "--since", str(int(since)), "--until", now, "--filter", mine),
    )


def open_files(secrets, directory, owners):
    """Files below *directory* that hold a secret and that others may read, or that belong to none of *owners*.

    Returns:
        `(wrong, [path of every file with a secret])`; a wrong one is a sentence.
    """
    wrong, holding = [], []
    for path, data in below(directory):
        names = secrets.found(data)
        if not names:
            continue
        holding.append(path)
        info = os.lstat(path)
        if info.st_mode & 0o077 or info.st_uid not in owners:
            wrong.append(f"{path}: {stat.filemode(info.st_mode)} of {info.st_uid}: {', '.join(names)}")
    return wrong, holding
