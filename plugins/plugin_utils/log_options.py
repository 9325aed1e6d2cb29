# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What may be asked of the verb logs: since when, what to look for, and of which services."""

from __future__ import annotations

import datetime
import re
import time

from .closest import hint
from .setting_types import CastError

# Lines of each service, and with a time and nothing else said.
TAIL, TAIL_SINCE = 50, 5000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(?:[0-9]+[smhdw])+")
_SINCE = "Write how long ago (10m, 2h30m, 3d) or when (2026-01-31, 2026-01-31T14:05, 2026-01-31T14:05:00Z)"


class OptionError(CastError):
    """Something that cannot be asked for; the message says what may be."""


def since(text, now=time.time):
    """What `stack_logs` takes as `since`: `600s` for a duration, else seconds since 1970.

    Parameters:
        text: `10m`, `2h30m`, `3d`; a date, a date with a time (in this machine's time zone) or RFC 3339. Empty: empty.
        now: the present time in seconds since 1970.
    Raises:
        OptionError: it is none of these, or lies in the future.
    """
    word = text.strip()
    if not word:
        return ""
    if _DURATION.fullmatch(word):
        seconds = sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([smhdw])", word))
        if seconds > now():
            raise OptionError(f'"{text}" is longer ago than 1970. {_SINCE}')
        return f"{seconds}s"
    if re.fullmatch(r"[0-9]+", word):
        raise OptionError(f'"{text}" has no unit. Write {word}s, {word}m or {word}h')
    try:
        moment = datetime.datetime.fromisoformat(word)
        seconds = moment.timestamp()
    except (ValueError, OverflowError, OSError):
        raise OptionError(f'"{text}" is no time. {_SINCE}') from None
    if seconds > now():
        raise OptionError(f'"{text}" lies in the future. {_SINCE}')
    if seconds < 0:
        raise OptionError(f'"{text}" lies before 1970. {_SINCE}')
    return f"{seconds:.6f}"


def grep(text):
    r"""The regular expression, as Python takes it.

    On the command line Ansible reads `\b` as a backspace, which no shown line holds: it is made `\b` again.

    Raises:
        OptionError: it is none.
    """
    pattern = text.replace("\b", r"\b")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise OptionError(
            f'"{pattern}" is no regular expression: {error}. Put a backslash before signs that stand for themselves, '
            r"as in \[Error\]"
        ) from None
    return pattern


def tail(number, since_when, follow):
    """How many lines of each service; `number` below 0: not said.

    Raises:
        OptionError: nothing would be shown.
    """
    if number < 0:
        return TAIL_SINCE if since_when else TAIL
    if number == 0 and not follow:
        raise OptionError("0 lines would be nothing; 0 is for follow=true, which then shows only what is new")
    return number


def services(names, facts, known, own_files):
    """The services that *names* stand for: `(services, messages)`.

    Parameters:
        names: of services, or of apps with all of their services.
        facts: `service_files.scan`'s result.
        known: `catalogue.Names`.
        own_files: whether the host may have services that only its own Compose files name.
    Raises:
        OptionError: with every name that is none, and the closest one.
    """
    found, messages, wrong = [], [], []
    for name in names:
        successor = known.replaces.get(name)
        if name in facts:
            found += facts[name].services
        elif name in known.services:
            found.append(name)
        elif successor in facts:
            messages.append(f"{name} became {successor}, which is taken instead.")
            found += facts[successor].services
        elif own_files:
            found.append(name)
        else:
            wrong.append(f'"{name}" is not a service. {hint(name, {*facts, *known.services, *known.replaces})}')
    if wrong:
        raise OptionError(" ".join(wrong))
    return list(dict.fromkeys(found)), messages
