# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the diff of a predicted run says (pure): as one text, and as sentences about the settings behind it.

The module masks every secret on the host, before anything comes here.
"""

from __future__ import annotations

import difflib
import posixpath
import re

import yaml

from . import table

# What is about containers and holds stands in the list of changes.
_NO_FILES = ("services", "holds")
_OURS = "org.homelab.mediastack."
_DIRECTORY = re.compile(r"(directory, )?mode \d{4} owner \S+ group \S+\s*")
_COMPOSE = re.compile(r"compose\.[\w-]+\.yml")
_MOST = 4
_LONGEST = 60


class Settings:
    """The sections of one diff."""

    def __init__(self, sections):
        """`sections`: `{before_header, after_header, before, after}`, as Ansible's modules return them."""
        self._sections = [one for one in sections if one.get("before_header") not in _NO_FILES]
        self._texts = {}
        for one in self._sections:
            if "(kept as " not in one.get("after_header", ""):
                self._texts[one["before_header"]] = (one.get("before") or "", one.get("after") or "")
        self._services = self._differences()

    @property
    def text(self):
        """All of it, as `diff -u` would show it."""
        return "".join(_unified(one) for one in self._sections if one["before_header"])

    def of(self, service):
        """What changed in the definition of a service: `ports: … → …`; at most a few, and how many more there are."""
        return _few(self._services.get(service, []))

    def variables(self, path=None):
        """What changed in an `.env` file, by default in that of the project: `TZ: a → b`."""
        path = path or next((one for one in self._texts if posixpath.basename(one) == ".env"), "")
        if posixpath.basename(path) != ".env" or path not in self._texts:
            return []
        before, after = (_environment(text) for text in self._texts[path])
        return _few(_changed(before, after)) if before and after else []

    def words(self, path):
        """(before, after) of a file where these are short: its mode and owner; (None, None) where the diff shows it."""
        before, after = self._texts.get(path, (None, None))
        if before and _DIRECTORY.fullmatch(before) and _DIRECTORY.fullmatch(after):
            return before.strip(), after.strip()
        return None, None

    def makes_directory(self, path):
        """Whether a path is that of a directory that is made."""
        return self._texts.get(path, ("", ""))[1].startswith("directory, ")

    def _differences(self):
        before, after = {}, {}
        for path, texts in self._texts.items():
            if _COMPOSE.fullmatch(posixpath.basename(path)):
                for document, text in zip((before, after), texts, strict=True):
                    document.update(_services(text))
        return {name: _changed(_flat(before[name]), _flat(after[name])) for name in before.keys() & after.keys()}


def _unified(section):
    before, after = section.get("before") or "", section.get("after") or ""
    names = section["before_header"], section.get("after_header") or section["before_header"]
    if before == after:
        return f"--- {names[0]}\n+++ {names[1]}\n {before.strip() or 'nothing to show'}\n"
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _services(text):
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    services = document.get("services") if isinstance(document, dict) else None
    return {str(name): one for name, one in (services or {}).items() if isinstance(one, dict)}


def _environment(text):
    lines = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value.strip("\"'") for name, equals, value in lines if equals}


def _flat(value, name=""):
    """A definition as `key.key` → text; lists as they are, without what we add ourselves."""
    if not isinstance(value, dict):
        shown = ", ".join(map(_one, value)) if isinstance(value, list) else _one(value)
        return {name: shown}
    found = {}
    for key, inner in value.items():
        if not str(key).startswith(_OURS):
            found.update(_flat(inner, f"{name}.{key}" if name else str(key)))
    return found


def _one(value):
    if isinstance(value, dict):
        return " ".join(f"{key}={_one(inner)}" for key, inner in value.items())
    return str(value)


def _changed(before, after):
    found = []
    for name in [*before, *(key for key in after if key not in before)]:
        if before.get(name) != after.get(name):
            old, new = (table.cut(table.clean(each.get(name, "none")), _LONGEST) for each in (before, after))
            found.append(f"{name}: {old} → {new}" if old != new else name)
    return found


def _few(sentences):
    more = len(sentences) - _MOST
    return sentences if more <= 0 else [*sentences[:_MOST], f"and {more} more"]
