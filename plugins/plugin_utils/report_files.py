# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the report of `status` goes: which files `output` may name, and writing them."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable

from . import report_html, report_junit, report_prometheus

STDOUT = "-"


class OutputError(Exception):
    """The report cannot be written where `output` says; the text says why and what can be."""


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of the report.

    Attributes:
        render: function of (report, fail_on) that returns the text.
        mode: of the file; None = as the umask says.
    """

    render: Callable[[dict, str], str]
    mode: int | None = None


def as_json(report, _fail_on=None):
    """The report as text, its keys in the order of the documentation."""
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def as_json_line(report):
    """The report on one line, for a stream of reports."""
    return json.dumps(report, ensure_ascii=False)


FORMATS = {
    ".json": Format(as_json),
    ".html": Format(report_html.render),
    ".xml": Format(report_junit.render),
    # Whoever runs node_exporter reads it.
    ".prom": Format(report_prometheus.render, 0o644),
}
"""The end of a file's name → its format."""


def check_outputs(output, formats=tuple(FORMATS)):
    """Where to write: a list of absolute paths, and `-` for standard output.

    Args:
        output: a comma list of file names; empty for none.
        formats: the ends that a name may have.

    Raises:
        OutputError: with everything that is wrong. No report is written here.
    """
    found, errors = [], []
    for name in filter(None, (part.strip() for part in (output or "").split(","))):
        try:
            where = name if name == STDOUT else _file(name, formats)
        except OutputError as error:
            errors.append(str(error))
            continue
        if where not in found:
            found.append(where)
    if errors:
        raise OutputError("; ".join(errors))
    return found


def _file(name, formats):
    path = os.path.realpath(os.path.expanduser(name))
    if _suffix(name) not in formats:
        raise OutputError(f'"{name}" is neither - (standard output) nor a file name ending in {", ".join(formats)}')
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        raise OutputError(f'"{name}" is a directory; name a file in it')
    if os.path.lexists(path) and not os.path.isfile(path):
        raise OutputError(f'"{name}" is no ordinary file; name another')
    if not os.path.isdir(folder):
        raise OutputError(f'"{name}": there is no directory {folder}; create it, or name another')
    try:
        # Permissions do not tell everything: a full or a read-only file system refuses too.
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
        os.close(descriptor)
        os.unlink(temporary)
    except OSError as error:
        raise OutputError(f'"{name}": no file can be made in {folder} ({error.strerror}); name another') from error
    return path


def _suffix(path):
    return os.path.splitext(path)[1].lower()


def write_all(paths, report, fail_on):
    """Write *report* to every one of *paths*, each in its format.

    Raises:
        OutputError: with everything that could not be written; the others are.
    """
    errors = []
    for path in paths:
        kind = FORMATS[_suffix(path)]
        try:
            write(path, kind.render(report, fail_on), kind.mode)
        except OutputError as error:
            errors.append(str(error))
    if errors:
        raise OutputError("; ".join(errors))


def write(path, text, mode=None):
    """Write *text* to *path*: the old report stays until the new one is complete. Raises OutputError.

    *mode* is that of the file, None what the umask leaves of 0666.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".", suffix=".tmp")
        # An app's answer may hold half a sign; a report with a question mark is better than none.
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as handle:
            handle.write(text)
        # mkstemp makes 0600; a report is for whoever may read the directory.
        os.chmod(temporary, 0o666 & ~_umask() if mode is None else mode)
        os.replace(temporary, path)
    except BaseException as error:
        # Also when a watch is interrupted here.
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OutputError(f'"{path}" cannot be written: {error.strerror}') from error
        raise


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask
