# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run of Ansible says of its own end, out of its output: why it failed, whether the host or the network is to
blame, and whether anything was changed.
"""

from __future__ import annotations

import re

#: As long as a reason gets, in characters.
LONGEST = 1500
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_FAILED = re.compile(r"^(?:fatal: \[[^\]]*\]: \w+!?(?: => )?|failed: \[[^\]]*\].*? => |\[?ERROR\]?:? ?!? ?)(.*)$")
_TASK_FAILED = re.compile(r"^Task failed(?:: |\.$)")
_NEXT = re.compile(r"^(?:PLAY|TASK|RUNNING HANDLER|NO MORE HOSTS|Origin: |\[WARNING\]|\.\.\.ignoring|to retry)")
_CHANGED = re.compile(r"^\S+ +: ok=\d+ +changed=(\d+) ", re.MULTILINE)
# A gate, a health check and a refused image quote what an app said of itself. "connection refused" and "out of memory"
# in there are the app's words, and the commit may well be to blame: only the last good one can tell.
_OF_APPS = re.compile(
    r"\d+ of \d+ services failed:|\d+ of \d+ (?:not )?healthy\b|crash loop: |could not be started: |health check"
    r"|failed its gate"
)
#: What the host or the network is to blame for, whatever the commit says: the words of the engine, of the kernel and of
#: our own modules. A registry that answers, and has no such image, is not among them: that is a typing error.
_DISK = r"no space left on device|disk quota exceeded|not enough (?:free )?(?:room|space)"
_DISK += r"|is full, \S+ \S+ free|disk [^;]{0,200}is full\b|only \d+ (?:mib|inodes) are free for"
_ENGINE = r"cannot connect to the docker daemon|docker engine (?:does not answer|is not running)"
_ENGINE += r"|error during connect"
# Of a pull of images only: everything else that talks to somebody talks to apps.
_PULL = r"(?:images could not be pulled|'docker (?:\S+ )*pull\b).*"
_NETWORK = _PULL + r"(?:no such host|connection refused|i/o timeout"
_NETWORK += r"|network is unreachable|no route to host|tls handshake timeout|temporary failure in name resolution"
_NETWORK += r"|server misbehaving|connection reset|context deadline exceeded|timeout exceeded)"
_LIMIT = _PULL + r"(?:toomanyrequests|too many requests|rate limit|received unexpected http status: 5\d\d)"
#: Somebody else works on the stack: nothing was touched.
BUSY = "another run is at work"
_ENVIRONMENT = (
    (_DISK, "the disk is full"),
    (r"read-only file system|input/output error", "the disk cannot be written"),
    (_ENGINE, "the Docker Engine does not answer"),
    (_NETWORK, "a registry cannot be reached"),
    (_LIMIT, "a registry refuses for now"),
    (r"another run works on ", BUSY),
    (r"cannot allocate memory", "the host has no memory left"),
)


def failure(output):
    """Why a run failed: the message of its last failure, without Ansible's dressing; empty where it says nothing."""
    lines = _ESCAPE.sub("", output).splitlines()
    found, current = [], None
    for line in lines:
        begun = _FAILED.match(line)
        if begun:
            current = [begun[1].strip()]
            found.append(current)
        elif _NEXT.match(line):
            current = None
        elif current is not None:
            current.append(line.rstrip())
    texts = ["\n".join(part).strip() for part in found]
    texts = [text for text in texts if text and not _TASK_FAILED.match(text)] or [text for text in texts if text]
    text = texts[-1] if texts else next((line.strip() for line in reversed(lines) if line.strip()), "")
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def environment(reason):
    """Which circumstance a reason is about, or None where nothing says that it is one."""
    text = " ".join(reason.split()).lower()
    if _OF_APPS.search(text):
        return None
    return next((name for pattern, name in _ENVIRONMENT if re.search(pattern, text)), None)


def changed(output):
    """Whether a recap counts a change."""
    return any(int(count) for count in _CHANGED.findall(_ESCAPE.sub("", output)))
