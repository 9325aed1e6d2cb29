# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text of others as Markdown: nothing in it is markup, a mention or a link, and what looks like a secret is masked.

The playbooks mask secrets on the servers already. This is the second look, because a comment is read by more people
than a log.
"""

from __future__ import annotations

import os
import re

MASK = "********"
# Environment variables of the job whose values must never be shown.
SECRET_VARIABLES = ("VAULT_PASSWORD", "SSH_PRIVATE_KEY", "FORGE_TOKEN")
SHORTEST = 6
PATTERNS = (
    # A PEM text, also when its end was cut off.
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    # 32 bytes in base64: a WireGuard key.
    re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])"),
    # The password of a URL.
    re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"),
)
# What somebody calls a secret, with its value.
NAMED = re.compile(
    r"""((?:password|passwd|passphrase|token|secret|api_?key|private_?key)["']?\s*[=:]\s*["']?)([^\s"',;*]{4,})""",
    re.IGNORECASE,
)
# Signs that mean something in Markdown. A mention would send mail to whoever has that name, an issue's number and an
# address would be links.
SIGNS = re.compile(r"[&<>@#\\`*_{}\[\]|~$:]")


def masked(text, environment=None):
    """*text* without what looks like a secret, and without the values of this job's own secrets."""
    environment = os.environ if environment is None else environment
    for name in SECRET_VARIABLES:
        for line in environment.get(name, "").splitlines():
            if len(line.strip()) >= SHORTEST:
                text = text.replace(line.strip(), MASK)
    for pattern in PATTERNS:
        text = pattern.sub(MASK, text)
    return NAMED.sub(lambda found: found[1] + MASK, text)


def inline(text):
    """*text* in one line, for a table or a sentence: masked, and every sign stands for itself."""
    return SIGNS.sub(lambda sign: f"&#{ord(sign[0])};", " ".join(masked(str(text)).split()))


def block(text, language=""):
    """*text* as a block of code: masked, and fenced so that nothing in it ends the block."""
    text = masked(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def size(text):
    """Bytes of *text*: what forges and environment variables count."""
    return len(text.encode())
