# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies of backups on another host, by rsync over SSH. Nothing is asked: the key and the known host are there or not.

What arrives has another name until it is whole; only directories whose name is an id of ours are ever removed there.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_state
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_state import BackupError

_REMOTE = re.compile(
    r"^(?P<login>(?:[A-Za-z_][A-Za-z0-9_.-]*@)?(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])):(?P<path>/.*)$"
)
# A copy that is not whole, and the file that rsync writes while it is under way.
_PART = re.compile(r"^\.{1,2}(?P<id>%s)(\.tar\.age)?\.part(\.[A-Za-z0-9]{6})?$" % backup_state.ID.pattern[1:-1])
# A host that answers nothing is given up; a transfer that stands still as well.
CONNECT_SECONDS, STALL_SECONDS, COMMAND_SECONDS = 20, 300, 120
SSH = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=%d" % CONNECT_SECONDS]
SSH += ["-o", "ServerAliveInterval=30", "-o", "ServerAliveCountMax=4"]
_LIST = 'cd -- %s && for name in *; do printf "%%s\\n" "$name"; done'


def is_remote(target):
    """Whether a target is another host's."""
    return bool(_REMOTE.match(target))


class RemoteTarget:
    """user@host:/directory."""

    def __init__(self, target, run=subprocess.run):
        """`run`: as `subprocess.run`."""
        match = _REMOTE.match(target)
        self.path = match.group("path").rstrip("/") or "/"
        #: As rsync wants it, and as ssh does: that one takes no brackets.
        self._for_rsync, self._login = match.group("login"), match.group("login").replace("[", "").replace("]", "")
        self._run = run
        self.messages = []

    def prepare(self):
        """BackupError unless the host lets us in and has the directory, or makes it."""
        here = shlex.quote(self.path)
        # Not by a pattern: where none fits, some shells take that for an error.
        self._sweep(self._remote("mkdir -p -m 700 -- %s && cd -- %s && ls -a" % (here, here)).splitlines())

    def _sweep(self, names):
        """Remove what a copy that broke off has left: the next one has another id, so it never goes on."""
        matches = [match for match in map(_PART.match, names) if match]
        # By the time in the id: rsync gives a directory the time of its original.
        left = [match.group(0) for match in matches if backup_state.is_stale(match.group("id"))]
        if not left:
            return
        try:
            self._remote("cd -- %s && rm -rf -- %s" % (shlex.quote(self.path), " ".join(map(shlex.quote, left))))
        except BackupError as error:
            self.messages.append(
                "what broken copies have left could not be removed, remove it by hand (%s): %s"
                % (", ".join(left), error)
            )

    def put_directory(self, source, name):
        """Copy a directory. BackupError."""
        part = ".%s.part" % name
        self._rsync([source + "/"], part + "/", ["--delete"])
        self._rename(part, name)

    @staticmethod
    def stage(name, beside):
        """Where a file is to be written that `put_file` then sends: `beside` the snapshots."""
        return os.path.join(beside, ".%s%s" % (name, backup_state.SEALED))

    def put_file(self, source, name, digest):
        """Send a file, with its checksum beside it. BackupError."""
        part = ".%s.part" % name
        self._rsync([source], part, ["--chmod=F600"])
        line = shlex.quote("%s  %s" % (digest, name))
        here = shlex.quote(self.path)
        checksum = shlex.quote(name + ".sha256")
        self._remote("cd -- %s && umask 077 && printf '%%s\\n' %s > %s" % (here, line, checksum))
        self._rename(part, name)

    def _rename(self, part, name):
        self._remote("cd -- %s && mv -- %s %s && sync" % tuple(map(shlex.quote, (self.path, part, name))))

    def mark(self, name):
        """Make an empty file. BackupError."""
        self._remote("cd -- %s && umask 077 && : > %s" % (shlex.quote(self.path), shlex.quote(name)))

    def names(self):
        """Names of what is there. BackupError."""
        return self._remote(_LIST % shlex.quote(self.path)).splitlines()

    def remove(self, identifier):
        """Remove one copy."""
        if not backup_state.taken(identifier):
            raise BackupError("%r is no id of a backup" % identifier)
        names = " ".join(shlex.quote(identifier + ending) for ending in backup_state.ENDINGS)
        self._remote("cd -- %s && rm -rf -- %s" % (shlex.quote(self.path), names))

    def _rsync(self, sources, name, more):
        command = ["rsync", "--archive", "--numeric-ids", "--partial", "--timeout=%d" % STALL_SECONDS, *more]
        # The other side's shell sees the path: no word of it may mean anything there.
        command += ["--protect-args", "-e", " ".join(SSH), "--", *sources]
        command.append("%s:%s" % (self._for_rsync, os.path.join(self.path, name)))
        done = self._call(command, None)
        if done.returncode != 0:
            raise BackupError("rsync to %s failed: %s" % (self._login, _complaint(done)))

    def _remote(self, script):
        done = self._call([*SSH, "--", self._login, script], COMMAND_SECONDS)
        if done.returncode == 255:
            raise BackupError("%s cannot be reached by SSH: %s" % (self._login, _explained(_complaint(done))))
        if done.returncode != 0:
            raise BackupError("%s:%s: %s" % (self._login, self.path, _complaint(done)))
        return done.stdout.decode("utf-8", "replace")

    def _call(self, command, seconds):
        try:
            return self._run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BackupError("%s did not answer within %d s" % (self._login, seconds)) from error


def _complaint(done):
    lines = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else "return code %d, and it said nothing" % done.returncode


def _explained(text):
    if "Host key verification failed" in text:
        return text + ": connect once as root and compare the host's key (ssh-keyscan), or add it to known_hosts"
    if "Permission denied" in text:
        return text + ": root's key of this host must be among the authorized_keys there, without a passphrase"
    return text
