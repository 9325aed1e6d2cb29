# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a program for the host out of the collection's own modules: one file that needs Python 3.8 and nothing else.

It is a zip archive with a `__main__.py`, as of the standard library's `zipapp`. Nothing in it is packed, so that every
controller makes the same bytes whatever its zlib; on the way to the host it is.
"""

from __future__ import annotations

import base64
import functools
import io
import pathlib
import posixpath
import re
import zipfile
import zlib

PACKAGE = "ansible_collections.homelab.mediastack.plugins.module_utils"
SOURCES = pathlib.Path(__file__).resolve().parents[1] / "module_utils"
_HEADER = """\
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""
_MAIN = (
    _HEADER
    + '''"""{program} of a project of homelab.mediastack. It works on the project that it lies in."""

import os
import sys

from {package}.{entry} import main

if __name__ == "__main__":
    PROGRAM = os.path.realpath(os.path.dirname(__file__))
    sys.exit(main(sys.argv[1:], os.path.dirname(os.path.dirname(PROGRAM))))
'''
)
# A look at the text: parsing it all would take a third of a second of every run.
_IMPORT = re.compile(rf"^from {re.escape(PACKAGE)}(?:\.(\w+))? import (?:\(([\s\S]*?)\n\)|(.+))$", re.M)
_COMMENT = re.compile("#.*")
# 1980 is when the time of zip begins.
_TIME = (1980, 1, 1, 0, 0, 0)


def modules(start, sources=SOURCES):
    """name → source of `start` and of every module that it imports at its top level, directly or through others."""
    found, waiting = {}, [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = (sources / f"{name}.py").read_text(encoding="utf-8")
            waiting += _imports(found[name], sources)
    return dict(sorted(found.items()))


def _imports(source, sources):
    for module, several, one in _IMPORT.findall(source):
        names = [module] if module else re.findall(r"\w+", _COMMENT.sub("", several or one))
        yield from (name for name in names if (sources / f"{name}.py").exists())


@functools.lru_cache
def program(path, start):
    """The bytes of a program.

    Args:
        path: where it lies in a project: `bin/mediastack-repair`.
        start: the module whose `main` it calls, with the arguments and the project's directory.
    """
    parts = PACKAGE.split(".")
    files = {"__main__.py": _MAIN.format(program=path, package=PACKAGE, entry=start)}
    files.update({"/".join([*parts[: depth + 1], "__init__.py"]): _HEADER for depth in range(len(parts))})
    files.update({"/".join([*parts, f"{name}.py"]): text for name, text in modules(start).items()})
    written = io.BytesIO()
    written.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, text in sorted(files.items()):
            entry_of = zipfile.ZipInfo(name, _TIME)
            entry_of.create_system = 3
            entry_of.external_attr = 0o100644 << 16
            archive.writestr(entry_of, text.encode("utf-8"))
    return written.getvalue()


@functools.lru_cache
def packed(path, start):
    """The bytes of `program`, as they travel."""
    # The quickest: it saves more time here than it costs on the way.
    return base64.b64encode(zlib.compress(program(path, start), 1)).decode("ascii")


def entry(project, path, start):
    """A program as a file of the bundle; `project`: path of the project directory."""
    return {
        "path": posixpath.join(project, path),
        "content": packed(path, start),
        "encoding": "zlib",
        "mode": "0755",
        "owner": 0,
        "group": 0,
        "secret": False,
    }
