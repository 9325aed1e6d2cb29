# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read and change one key of a config file that an app owns; every other byte of it stays.

`xml`, `ini`, `yaml` and `json` (`json2`: Deluge's file of two JSON objects; `json` knows it too). A key is a list of
names from the outside in: [Config, ApiKey], [misc, api_key], [auth, apikey]. An XML attribute is `@name` at the end;
an INI key before any section, or of a file without sections, has one part.
"""

from __future__ import annotations

import codecs

from ansible_collections.homelab.mediastack.plugins.module_utils import config_ini, config_json, config_xml, config_yaml
from ansible_collections.homelab.mediastack.plugins.module_utils.config_error import ConfigFormatError

__all__ = ["FORMATS", "ConfigFormatError", "get_value", "set_value", "same"]

_TEXT = {"ini": config_ini, "yaml": config_yaml, "json": config_json, "json2": config_json}
FORMATS = ("xml",) + tuple(sorted(_TEXT))
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def get_value(data, fmt, key):
    """The value of `key` in `data` (bytes): str, or what the format's own type gives; None where the key is absent.

    ConfigFormatError when the file cannot be parsed.
    """
    _check(fmt, key)
    if fmt == "xml":
        return config_xml.get_value(data, key)
    return _TEXT[fmt].get_value(_decode(data)[1], key)


def set_value(data, fmt, key, value):
    """`data` (bytes) with `key` set to `value` (str, int, float or bool; in JSON anything), all else byte for byte as
    it was.

    The result is read again: ConfigFormatError, rather than a file that an app would misread.
    """
    _check(fmt, key)
    if fmt == "xml":
        changed = config_xml.set_value(data, key, value)
    else:
        mark, text, encoding = _decode(data)
        try:
            changed = mark + _TEXT[fmt].set_value(text, key, value).encode(encoding, "surrogateescape")
        except UnicodeEncodeError as error:
            raise ConfigFormatError("the value of %s is not valid Unicode: %s" % ("/".join(key), error)) from error
    if not same(get_value(changed, fmt, key), value):
        raise ConfigFormatError("the value of %s cannot be written so that it is read back the same" % "/".join(key))
    return changed


def same(present, wanted):
    """Whether a present value means the wanted one: `8080` and `"8080"`, `True`, `"True"` and `true` are the same to
    an app."""
    if present is None or wanted is None:
        return present is wanted
    if isinstance(wanted, (list, tuple)):
        present = present if isinstance(present, list) else [present]
        return len(present) == len(wanted) and all(same(one, other) for one, other in zip(present, wanted))
    if isinstance(present, (dict, list)) or isinstance(wanted, dict):
        return present == wanted
    return _plain(present) == _plain(wanted)


def _plain(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value in ("True", "False"):
        return value.lower()
    return str(value)


def _check(fmt, key):
    if fmt not in FORMATS:
        raise ConfigFormatError("unknown format %r: it is one of %s" % (fmt, ", ".join(FORMATS)))
    if not isinstance(key, (list, tuple)) or not key or not all(isinstance(part, str) and part for part in key):
        raise ConfigFormatError("key %r is not a list of names" % (key,))


def _decode(data):
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return mark, _text(data[len(mark) :], encoding), encoding
    return b"", _text(data, "utf-8"), "utf-8"


def _text(data, encoding):
    # surrogateescape: a byte that is no UTF-8 in somebody's comment is kept as it is.
    try:
        text = data.decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise ConfigFormatError("it is not the %s that its first bytes promise: %s" % (encoding, error)) from error
    if "\x00" in text:
        raise ConfigFormatError("it holds NUL bytes: it is damaged, or not a text file")
    return text
