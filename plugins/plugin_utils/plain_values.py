# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Between Ansible's values (tagged, unsafe, encrypted) and Python's own."""

from __future__ import annotations

import linecache
import re
from collections.abc import Mapping

import yaml
from ansible import template as ansible_template

try:  # Since ansible-core 2.19 every value knows where it was written.
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None

_NUMBER = re.compile(r"[-+]?[0-9.][0-9A-Za-z_.:+-]*")
# Since ansible-core 2.19 only what is marked as trusted is templated; before, all that is not marked as unsafe.
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


def misread(value, exact=True, exact_below=(), place=""):
    """Numbers that are not rendered as they are written: to YAML 1.1 `22:22` is 1342, `0755` 493 and `1.10` is 1.1.

    Only of values that were written in a file that can be read, and by an Ansible that says where (2.19 and newer).

    Parameters:
        value: as the inventory has it, with Ansible's tags.
        exact: whether numbers are texts or plain numbers to their reader. Where they are not, modes of files may be
            written, which are octal on purpose, and only those with colons are found.
        exact_below: keys of maps below which they are.
        place: keys that lead to the value, with dots.
    Returns:
        `[(place, as it is written, as it is rendered)]`.
    """
    if isinstance(value, Mapping):
        return [
            found
            for key, item in value.items()
            for found in misread(
                item, exact or key in exact_below, exact_below, f"{place}.{key}" if place else str(key)
            )
        ]
    if isinstance(value, (list, tuple)):
        return [found for item in value for found in misread(item, exact, exact_below, place)]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return []
    written, rendered = _as_written(value), _rendered(value)
    if not written or written == rendered or not (exact or ":" in written):
        return []
    return [(place, written, rendered)]


def _rendered(value):
    try:
        return str(value)
    except ValueError:  # more digits than Python writes; refused for that
        return ""


def _as_written(value):
    """The text of a number at the place where it was written; empty where that is not known."""
    tag = Origin.get_tag(value) if Origin is not None else None
    if tag is None or not (tag.path and tag.line_num and tag.col_num):
        return ""
    path = str(tag.path)
    linecache.checkcache(path)
    found = _NUMBER.match(linecache.getline(path, tag.line_num), tag.col_num - 1)
    if not found:
        return ""
    # What stands there may be something else: of an encrypted file it is.
    try:
        return found.group() if yaml.safe_load(found.group()) == value else ""
    except (ValueError, yaml.YAMLError):
        return ""
