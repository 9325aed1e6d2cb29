# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Git for pull mode: a mirror of the branch, whose signature a commit has, and checkouts, one directory a commit.

Nothing of the host's own configuration of git counts, and nothing of a commit is run here: `verify` works on the
mirror, before a file of the commit is written anywhere.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import subprocess

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_place import PullError

_FETCH_SECONDS = 600
_SECONDS = 120
_CONFIG = """\
# Written by mediastack-pull in every run.
[gpg "ssh"]
    allowedSignersFile = %s
[safe]
    directory = *
[fetch]
    fsckObjects = true
[core]
    fsync = all
    hooksPath = /dev/null
[advice]
    detachedHead = false
[gc]
    autoDetach = false
"""


# What git, gpg and ssh-keygen say where the host keeps them from answering. A return code does not tell: 1 is that of
# a signature that does not count, too.
_UNABLE = re.compile(
    r"could not create temporary|cannot (?:run|fork|exec|create)|unable to (?:start|fork|create|write|append)"
    r"|fail(?:ed|ure) (?:to )?(?:writ|creat)|write error|died of signal|no space left|disk quota exceeded"
    r"|read-only file system|input/output error|cannot allocate memory|out of memory|too many open files"
    r"|resource temporarily unavailable|no answer within",
    re.IGNORECASE,
)


class Git:
    """The repository of one place."""

    def __init__(self, place, config, environ=None):
        """`environ`: of the run, without anything of git's."""
        self._place, self._config = place, config
        self.environ = {
            name: value for name, value in (environ or os.environ).items() if not name.startswith(("GIT_", "SSH_"))
        }
        self.environ.update(
            GIT_CONFIG_GLOBAL=place.gitconfig,
            GIT_CONFIG_NOSYSTEM="1",
            GIT_TERMINAL_PROMPT="0",
            GIT_SSH_COMMAND=self._ssh(),
            GNUPGHOME=place.gnupg,
            LC_ALL="C.UTF-8",
            # Of signatures too: a full /tmp is no reason to call one bad.
            TMPDIR=place.temporary,
        )

    def _ssh(self):
        words = ["ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
        words += ["-o", "ConnectTimeout=30"]
        if self._config.known_hosts:
            words += ["-o", "UserKnownHostsFile=%s" % self._place.known_hosts, "-o", "GlobalKnownHostsFile=/dev/null"]
        if self._config.ssh_key_file:
            words += ["-i", self._config.ssh_key_file, "-o", "IdentitiesOnly=yes"]
        return " ".join(_quoted(word) for word in words)

    def prepare(self):
        """Write what git is to know. PullError where a program is missing."""
        missing = [
            name for name in ("git", *self._verifiers()) if not shutil.which(name, path=self.environ.get("PATH"))
        ]
        if missing:
            raise PullError("%s: not found on this host. Install it and run again." % ", ".join(missing))
        shutil.rmtree(self._place.temporary, ignore_errors=True)
        for path in (self._place.work, self._place.temporary, self._place.releases, self._place.logs):
            os.makedirs(path, mode=0o700, exist_ok=True)
        texts = {
            self._place.gitconfig: _CONFIG % self._place.signers,
            self._place.signers: "".join("%s\n" % line for line in self._config.allowed_signers),
            self._place.known_hosts: "".join("%s\n" % line for line in self._config.known_hosts),
        }
        for path, text in texts.items():
            atomic_files.write(path, text.encode("utf-8"), 0o600)
        # Always: a key that was withdrawn must not stay.
        shutil.rmtree(self._place.gnupg, ignore_errors=True)
        if self._config.gpg_keys:
            os.makedirs(self._place.gnupg, mode=0o700)
            # A keyring is its keys, one after the other; gpg --import would start an agent, which stays.
            keys = b"".join(_dearmored(key) for key in self._config.gpg_keys)
            atomic_files.write(os.path.join(self._place.gnupg, "pubring.gpg"), keys, 0o600)

    def _verifiers(self):
        if self._config.verify != "signature":
            return
        if self._config.allowed_signers:
            yield "ssh-keygen"
        if self._config.gpg_keys:
            yield "gpg"

    def unlock(self):
        """Remove the locks of a git that was killed; only one run at a time gets here."""
        tops = [self._place.mirror]
        with contextlib.suppress(OSError):
            tops += [os.path.join(self._place.releases, name, ".git") for name in os.listdir(self._place.releases)]
        for top in tops:
            for directory, _names, files in os.walk(top):
                for name in files:
                    if name.endswith(".lock"):
                        with contextlib.suppress(OSError):
                            os.unlink(os.path.join(directory, name))

    # The mirror

    def fetch(self):
        """Bring the mirror up to date; why that was not possible, or None.

        A mirror that is damaged (power cut) is made anew.
        """
        reason = self._fetch()
        if reason is not None and os.path.isdir(self._place.mirror) and self._damaged():
            shutil.rmtree(self._place.mirror, ignore_errors=True)
            reason = self._fetch()
        return reason

    def _fetch(self):
        branch = self._config.branch
        if not os.path.isdir(self._place.mirror):
            temporary = self._place.mirror + ".tmp"
            shutil.rmtree(temporary, ignore_errors=True)
            self._git("init", "--quiet", "--bare", temporary)
            self._git("--git-dir", temporary, "symbolic-ref", "HEAD", "refs/heads/%s" % branch)
            os.rename(temporary, self._place.mirror)
        words = ["fetch", "--quiet", "--force", "--no-tags", "--prune", "--no-recurse-submodules"]
        refspec = "+refs/heads/%s:refs/heads/%s" % (branch, branch)
        done = self._mirror(*words, self._config.url, refspec, seconds=_FETCH_SECONDS)
        return None if done.returncode == 0 else _last(done.stderr) or "git fetch ended with %d" % done.returncode

    def _damaged(self):
        """Whether fsck has found damage; one that was killed, or had no time or memory, has found nothing."""
        done = self._mirror("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
        # Bits of what it found, or 128: no repository at all. 124 is ours.
        return 0 < done.returncode < 64 or (done.returncode == 128 and not _UNABLE.search(done.stderr))

    def tip(self):
        """Id of the commit that the branch is at, or None."""
        done = self._mirror("rev-parse", "--verify", "--quiet", "refs/heads/%s^{commit}" % self._config.branch)
        return done.stdout.strip() or None

    def has(self, commit):
        """Whether the mirror has a commit."""
        return self._mirror("cat-file", "-e", "%s^{commit}" % commit).returncode == 0

    def _lacks(self, commit):
        """Whether the mirror says of itself that it does not have a commit; not where it says nothing."""
        return self._mirror("cat-file", "-e", commit).returncode == 1

    def descends(self, commit, base):
        """Whether `commit` descends from `base`; not where the mirror does not know `base`. PullError where git cannot
        tell."""
        done = self._mirror("merge-base", "--is-ancestor", base, commit)
        if done.returncode in (0, 1) or self._lacks(base):
            return done.returncode == 0
        raise self._no_answer("merge-base", done)

    def unsigned(self, commit):
        """Why the signature of a commit does not count, or None. PullError where git cannot tell."""
        read = self._mirror("cat-file", "commit", commit)
        if read.returncode and self._lacks(commit):
            return "it is not in the repository any more"
        if read.returncode:
            raise self._no_answer("cat-file", read)
        header = read.stdout.partition("\n\n")[0]
        if "\ngpgsig" not in header:
            return "it is not signed (mediastack_gitops_verify: signature)"
        ssh = "-----BEGIN SSH SIGNATURE-----" in header
        setting = "mediastack_gitops_allowed_signers" if ssh else "mediastack_gitops_gpg_keys"
        if not (self._config.allowed_signers if ssh else self._config.gpg_keys):
            return "it is signed with %s, and %s is empty" % ("an SSH key" if ssh else "GPG", setting)
        done = self._mirror("verify-commit", "--raw", commit)
        # git calls the signature of an SSH key good whose owner it does not know.
        good = 'Good "git" signature for ' if ssh else "[GNUPG:] VALIDSIG "
        if done.returncode == 0 and good in done.stderr:
            return None
        if done.returncode not in (0, 1) or _UNABLE.search(done.stderr):
            raise self._no_answer("verify-commit", done)
        return "its signature is not by anybody in %s: %s" % (setting, _last(done.stderr) or "git does not accept it")

    def has_submodules(self, commit):
        """Whether a commit names other repositories. PullError where git cannot tell."""
        done = self._mirror("ls-tree", "--name-only", commit, "--", ".gitmodules")
        if done.returncode:
            raise self._no_answer("ls-tree", done)
        return bool(done.stdout.strip())

    # Releases

    def checkout(self, commit):
        """A clean checkout of a commit that was verified; its directory."""
        path = self._place.release(commit)
        if self._clean(path, commit):
            return path
        temporary = path + ".tmp"
        for left in (path, temporary):
            shutil.rmtree(left, ignore_errors=True)
        self._git("clone", "--quiet", "--no-checkout", "--no-hardlinks", self._place.mirror, temporary)
        self._git("-C", temporary, "checkout", "--quiet", "--detach", commit)
        os.rename(temporary, path)
        return path

    def _clean(self, path, commit):
        if not os.path.isdir(os.path.join(path, ".git")):
            return False
        head = self._call(["git", "-C", path, "rev-parse", "HEAD"]).stdout.strip()
        left = self._call(["git", "-C", path, "status", "--porcelain", "--ignored"])
        return head == commit and left.returncode == 0 and not left.stdout.strip()

    def prune(self, keep):
        """Remove every checkout but those of `keep`, and what killed runs left."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self._place.releases):
                if name not in keep:
                    shutil.rmtree(os.path.join(self._place.releases, name), ignore_errors=True)

    # Calling git

    def _mirror(self, *words, seconds=_SECONDS):
        return self._call(["git", "--git-dir", self._place.mirror, *words], seconds=seconds)

    @staticmethod
    def _no_answer(name, done):
        """The PullError for a git that ended without a verdict: no commit is to blame."""
        why = _last(done.stderr) or "it ended with %d" % done.returncode
        return PullError("'git %s' gave no answer: %s. Nothing was decided; the next run asks again." % (name, why))

    def _git(self, *words):
        done = self._call(["git", *words])
        if done.returncode:
            raise PullError("'git %s' failed: %s" % (" ".join(words), _last(done.stderr)))

    def _call(self, argv, seconds=_SECONDS):
        try:
            return subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env=self.environ,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(argv, 124, "", "no answer within %d s" % seconds)
        except OSError as error:
            raise PullError("'%s' cannot be run: %s" % (argv[0], error.strerror)) from error


def _dearmored(text):
    """The bytes of a key as of `gpg --armor --export`. PullError."""
    body = text.partition("-----BEGIN PGP PUBLIC KEY BLOCK-----")[2].partition("-----END")[0].replace("\r", "")
    # Headers end at an empty line; a line that begins with = is a checksum.
    lines = [line.strip() for line in body.partition("\n\n")[2].splitlines()]
    try:
        data = base64.b64decode("".join(line for line in lines if not line.startswith("=")), validate=True)
    except ValueError:
        data = b""
    if not data:
        raise PullError("mediastack_gitops_gpg_keys: one is no public key as of gpg --armor --export")
    return data


def _last(text):
    """The last line of what git says that is no hint."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("hint:")]
    lines = [line for line in lines if not line.startswith("[GNUPG:]")] or lines
    fatal = [line for line in lines if line.startswith("fatal: ")]
    return " / ".join((lines if len(lines) < 3 else fatal or lines[-1:])[:2])


def _quoted(word):
    return "'%s'" % word.replace("'", "'\\''") if not word.replace("/", "").replace("=", "").isalnum() else word
