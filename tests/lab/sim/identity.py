# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the families of real images come from root to the app's user.

The real ones start as root, change the owner of their config directory and drop to PUID:PGID, or they run as the
image's (or Compose's) user all along. What they need for it (CHOWN, DAC_OVERRIDE, SETUID, SETGID; KILL where root stays
and supervises) is needed here too.
"""

import os
import signal
import sys
import time

# As S6_SERVICES_GRACETIME and S6_KILL_GRACETIME of s6-overlay: what does not end within it is left to the kernel.
GRACE = 6.0


class StartError(Exception):
    """The image cannot start; ``code`` is the exit code of the container."""

    def __init__(self, message, code=1):
        """Keep the message for the log and the container's exit code."""
        super().__init__(message)
        self.code = code


def number(env, name, default):
    """Return the integer of an environment variable; raises StartError when it is none."""
    value = env.get(name) or default
    try:
        return int(value)
    except ValueError:
        raise StartError(f"usermod: invalid user ID '{value}' (from {name})") from None


def take_files(env):
    """Set NAME for every FILE__NAME (LinuxServer images): https://docs.linuxserver.io/FAQ/#file__."""
    for name in [key for key in env if key.startswith("FILE__")]:
        target = name[len("FILE__") :]
        try:
            with open(env[name], encoding="utf-8") as stream:
                env[target] = stream.read().rstrip("\n")
            print(f"[env-init] {target} set from {name}", flush=True)
        except OSError as error:
            print(f"[env-init] {target} could not be set from {name}: {error}", flush=True)


def own(paths, uid, gid):
    """Give the trees to uid:gid, as ``chown -R``; what cannot be changed is said, not fatal (as lsiown does)."""
    for top in paths:
        if not os.path.isdir(top):
            continue
        for directory, names, files in os.walk(top):
            for path in [directory, *(os.path.join(directory, name) for name in [*names, *files])]:
                try:
                    stat = os.lstat(path)
                    if (stat.st_uid, stat.st_gid) != (uid, gid):
                        os.lchown(path, uid, gid)
                except OSError as error:
                    print(f"**** Permissions could not be set on {path}: {error.strerror} ****", flush=True)
                    return


def write_as_root(paths):
    """The image's start writes into what it has just given away (mkdir, cp); StartError without DAC_OVERRIDE."""
    for top in filter(os.path.isdir, paths):
        if not os.access(top, os.W_OK | os.X_OK, effective_ids=True):
            raise StartError(f"mkdir: can't create directory '{top}/…': Permission denied")


def supervise():
    """Stay behind as root, and go on in a child: returns in the child only.

    As s6 it hands on the signal that ends the container, which takes KILL for a process of another user. Without it the
    app learns nothing, and is killed with its container.
    """
    child = os.fork()
    if not child:
        return

    def end(number, _frame):
        try:
            os.kill(child, number)
        except PermissionError as error:
            print(f"s6-svc: fatal: unable to signal the service: {error.strerror}", flush=True)
            time.sleep(GRACE)
            os._exit(137)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, end)
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(128 - code if code < 0 else code)


def drop(uid, gid):
    """Become uid:gid for good; raises StartError without SETUID and SETGID."""
    try:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)
    except PermissionError:
        raise StartError(
            "s6-applyuidgid: fatal: unable to set supplementary group list: Operation not permitted", 111
        ) from None


def linuxserver(env, owned):
    """LinuxServer images: PUID and PGID (911), UMASK (022), the config directory owned by them."""
    take_files(env)
    os.umask(int(env.get("UMASK") or "022", 8))
    if os.geteuid() != 0:
        print("[migrations] running as non-root: PUID and PGID are ignored", flush=True)
        return
    uid, gid = number(env, "PUID", 911), number(env, "PGID", 911)
    print(
        f"\n───────────────────────────────\nUser UID:    {uid}\nUser GID:    {gid}\n───────────────────────────────",
        flush=True,
    )
    own(owned, uid, gid)
    write_as_root(owned)
    supervise()
    drop(uid, gid)


def named(uid_name, gid_name, default, umask_name="UMASK"):
    """Return a family that reads its ids from other variables (Plex: PLEX_UID, Tdarr: UMASK_SET)."""

    def family(env, owned):
        os.umask(int(env.get(umask_name) or "022", 8))
        if os.geteuid() == 0:
            uid, gid = number(env, uid_name, default), number(env, gid_name, default)
            own(owned, uid, gid)
            if uid:
                drop(uid, gid)

    return family


def as_given(_env, _owned):
    """Run as the image's or Compose's user; nothing is changed."""


FAMILIES = {
    "linuxserver": linuxserver,
    "plexinc": named("PLEX_UID", "PLEX_GID", 1000),
    "tautulli": named("PUID", "PGID", 1000),
    "homepage": named("PUID", "PGID", 0),
    "tdarr": named("PUID", "PGID", 1000, "UMASK_SET"),
    "user": as_given,
}


def leave(error):
    """Say why the container ends and end it."""
    print(error, file=sys.stderr, flush=True)
    sys.exit(error.code)
