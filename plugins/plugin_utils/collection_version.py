# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The version of this collection: of the installed artifact's MANIFEST.json, or of a checkout's galaxy.yml."""

from __future__ import annotations

import functools
import json
import pathlib
import re

_ROOT = pathlib.Path(__file__).resolve().parents[2]


@functools.cache
def version():
    """The version, such as `0.1.0`; `unknown` where neither file can be read."""
    try:
        return str(json.loads((_ROOT / "MANIFEST.json").read_text(encoding="utf-8"))["collection_info"]["version"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        found = re.search(r"^version: *(\S+)", (_ROOT / "galaxy.yml").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else "unknown"
