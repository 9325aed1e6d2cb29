# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Between Ansible's values (tagged, unsafe, encrypted) and Python's own."""

from __future__ import annotations

import linecache
import re
from collections.abc import Mapping

from ansible import template as ansible_template

try:  # Since ansible-core 2.19 every value knows where it was written.
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None

# Since ansible-core 2.19 only what is marked as trusted is templated; before, all that is not marked as unsafe.
_NUMBER = re.compile(r"[-+]?[0-9][0-9A-Za-z_.:+-]*")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_TRUST_IS_OPT_IN = hasattr(ansible_template, "trust_as_template")


def plain(value):
    """A deep copy made of Python's own types, without Ansible's tags, trust or laziness; vaulted text is decrypted.

    Raises:
        AnsibleError: when vaulted text cannot be decrypted.
    """
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if getattr(value, "__ENCRYPTED__", False):
        return str(value)
    for kind in (str, int, float):
        if isinstance(value, kind) and not isinstance(value, bool):
            return kind.__add__(value, kind())
    return value


def protect(value):
    """``value`` in a form that Ansible never templates, whatever braces it holds."""
    if _TRUST_IS_OPT_IN:
        return value
    from ansible.utils.unsafe_proxy import wrap_var

    return wrap_var(value)


def origin(value):
    """Where an inventory value was written, as ``file:line``, or an empty string when Ansible does not say."""
    if Origin is not None:
        tag = Origin.get_tag(value)
        if tag is None or not tag.path:
            return ""
        return f"{tag.path}:{tag.line_num}" if tag.line_num else str(tag.path)
    position = getattr(value, "ansible_pos", None)
    return f"{position[0]}:{position[1]}" if position and position[0] else ""


def misread(value, octal_is_fine=False):
    """Whole numbers that YAML 1.1 makes of something else: `22:22` is 1342 to it, `0755` is 493 and `1_000` is 1000.

    Only of values that were written in a file that can be read, and by an Ansible that says where (2.19 and newer).

    Parameters:
        value: as the inventory has it, with Ansible's tags.
        octal_is_fine: where modes of files are written, which are octal on purpose.
    Returns:
        `[(as it is written, the number)]`.
    """
    if isinstance(value, Mapping):
        return [pair for item in value.values() for pair in misread(item, octal_is_fine)]
    if isinstance(value, (list, tuple)):
        return [pair for item in value for pair in misread(item, octal_is_fine)]
    if isinstance(value, bool) or not isinstance(value, int):
        return []
    written = _as_written(value)
    if not written or _DECIMAL.fullmatch(written) or (octal_is_fine and ":" not in written):
        return []
    return [(written, int(value))]


def _as_written(value):
    """The text of a number at the place where it was written; empty where that is not known."""
    tag = Origin.get_tag(value) if Origin is not None else None
    if tag is None or not (tag.path and tag.line_num and tag.col_num):
        return ""
    path = str(tag.path)
    linecache.checkcache(path)
    found = _NUMBER.match(linecache.getline(path, tag.line_num), tag.col_num - 1)
    return found.group() if found else ""
