# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The logins of a host's apps as a person reads them (pure)."""

from __future__ import annotations

_WIDTH = 10


def text(host, entries, local):
    """A block for each of *entries* (of the module stack_credentials) of *host*.

    *local*: the host is the machine that the reader sits at, so 127.0.0.1 leads there.
    """
    return "".join(_block(host, entry, local) for entry in entries)


def _block(host, entry, local):
    lines = [f"\n{host}: {entry['title']}"]
    for url in entry["urls"]:
        far = "" if local or not _is_loopback(url) else "  (on the server itself)"
        lines.append(_line("URL", url + far))
    if entry["password"] is not None:
        lines.append(_line("user", entry["user"] or "(it asks for the password only)"))
        lines.append(_line("password", entry["password"]))
    else:
        lines.append(_line("login", entry["note"]))
    for user, password in sorted((entry.get("others") or {}).items()):
        lines.append(_line("user", user))
        lines.append(_line("password", password + "  (the first one)"))
    if entry["api_key"]:
        lines.append(_line("API key", entry["api_key"]))
    return "\n".join(lines) + "\n"


def _line(name, value):
    # A sign that would move the cursor is shown as its escape.
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in value)
    return f"  {name:<{_WIDTH}}{shown}"


def _is_loopback(url):
    return url.startswith(("http://127.", "http://[::1]"))
