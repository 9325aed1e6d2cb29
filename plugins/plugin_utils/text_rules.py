# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What no setting may hold, whatever it is about: text that no file can carry, or that a reader cannot see."""

from __future__ import annotations

from .setting_types import MAX_DIGITS, shown

TOKEN = "@@mediastack:"  # what only the collection's own templates may hold
_DEEPEST = 50
# The beginnings of Jinja's expressions and statements: a value that holds them was meant to be templated, and was not.
_TEMPLATE = ("{{", "{%")
# Texts of several lines, and what others choose: passed on as files, byte for byte.
_AS_IT_IS = ("vpn_openvpn_", "gitops_gpg_keys", "tls_cert", "tls_key")
# How a value begins that nobody has decrypted, and what to do about it.
_ENCRYPTED = {
    "ENC[AES256_GCM,": (
        "SOPS",
        "Name the file *.sops.yml, enable the vars plugin community.sops.sops, and see that sops finds its key",
    ),
    "$ANSIBLE_VAULT;": (
        "Ansible Vault",
        "Write `!vault |` between the name and the encrypted text, or encrypt the file as a whole",
    ),
    "-----BEGIN AGE ENCRYPTED FILE-----": ("age", "Ansible decrypts Ansible Vault, and SOPS with community.sops"),
}


def problems(short, option, value):
    """What is wrong with the text in one value.

    Parameters:
        short: the setting's name without prefix.
        option: its entry of the argument specification.
        value: typed.
    Returns:
        Sentences; at most one for each kind of problem. None shows a secret, or a character that cannot be printed.
    """
    secret = bool(option.get("no_log"))
    try:
        leaves = list(_leaves(value))
    except _TooDeep:
        return [f"is nested more than {_DEEPEST} deep. Write what is meant by itself."]
    found = []
    for leaf in leaves:
        if isinstance(leaf, int) and abs(leaf) >= 10**MAX_DIGITS:
            found.append(f"{shown(leaf, secret)} has more than {MAX_DIGITS} digits. Put it in quotes if it is a text.")
        elif isinstance(leaf, str) and TOKEN in leaf:
            found.append(f"holds {TOKEN}, which only the collection's own templates may. Remove it.")
        elif isinstance(leaf, str) and _unwritable(leaf):
            found.append(f"{shown(leaf, secret)} holds a NUL or half a character, which no file can carry. Remove it.")
    if not found and option["type"] in ("str", "list") and not short.startswith(_AS_IT_IS):
        # Blanks and line ends around the VPN's values are taken away.
        texts = [leaf.strip() if short.startswith("vpn_") else leaf for leaf in leaves if isinstance(leaf, str)]
        found = [problem for problem in (_line(text, secret) for text in texts) if problem]
    if not found and option["type"] == "dict":
        found = [
            f"the key {shown(key)} holds a line end or another character that cannot be printed. Remove it."
            for key in _keys(value)
            if not key.isprintable()
        ]
    return found[:1]


def still_encrypted(value):
    """What to say of a value that was to be decrypted before it came here, or None: no app can use it.

    Parameters:
        value: as given, of any type.
    Returns:
        One sentence and its remedy; it names the place in a map, never what stands there.
    """
    try:
        for place, leaf in _places(value):
            begin = leaf.lstrip()[:40] if isinstance(leaf, str) else ""
            for mark, (tool, remedy) in _ENCRYPTED.items():
                if begin.startswith(mark):
                    where = f"{place[:80]}: " if place.isprintable() and place else ""
                    return f"{where}the value (not shown) is still encrypted with {tool}. {remedy} (docs/secrets.md)."
    except _TooDeep:
        # Refused for that.
        pass
    return None


def _line(text, secret):
    if not text.isprintable():
        return f"{shown(text, secret)} holds a line end or another character that cannot be printed. Remove it."
    for mark in _TEMPLATE:
        if mark in text:
            return f"{shown(text, secret)} holds {mark}, which begins a template that nothing filled in. Remove it."
    return None


def _unwritable(text):
    return "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)


class _TooDeep(Exception):
    """More levels than anybody writes: a value that holds itself, or one that is meant to do harm."""


def _leaves(value, depth=0):
    """Keys and values at any depth."""
    if depth > _DEEPEST:
        raise _TooDeep
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _leaves(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, depth + 1)
    else:
        yield value


def _places(value, place="", depth=0):
    """`(keys to it, joined by dots; value)` of everything in a value that holds no others."""
    if depth > _DEEPEST:
        raise _TooDeep
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, f"{place}.{key}" if place else str(key), depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _places(item, place, depth + 1)
    else:
        yield place, value


def _keys(value):
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield key
            yield from _keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item)
