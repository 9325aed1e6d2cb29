# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far a container's log was read, and what of a later look at its end is new (pure).

The clock does not decide it: clocks step, and many lines may carry the same time. The place of the last line that was
seen does, in the order in which the engine filed the lines.

A position is `[time, count]`: the time of the last line in nanoseconds, and how many of the lines up to it have that
time; None where there was no line yet. It is made of JSON because it travels.

Measured with Docker Engine 20.10: `--since` includes its moment and is as fine as a nanosecond, but reads all of a log
(0.7 s for 24 MB, `--tail 200` 0.03 s) and leaves out a line that was filed late: of 800 lines that a program wrote to
both streams in turn, 2 were filed after a younger one.
"""

from __future__ import annotations

import collections

# The two streams of a container may be filed in another order than that of their times, but no more than a few lines
# apart.
NEIGHBOURS = 8
# Of so many different times it is known how often they came.
REMEMBERED = 64


class Tracker:
    """Follows the lines of one container and knows the position after them."""

    def __init__(self):
        self.lines = 0
        self._last, self._key = None, None
        #: time → [how many lines, number of the first of them], the latest times
        self._times = collections.OrderedDict()

    def add(self, time):
        """One line more; its key for sorting: its time, but never less than that of a line before it."""
        known = self._times.get(time)
        if known:
            known[0] += 1
        else:
            self._times[time] = [1, self.lines]
            if len(self._times) > REMEMBERED:
                self._times.popitem(last=False)
        self.lines += 1
        self._last = time
        self._key = time if self._key is None else max(self._key, time)
        return self._key

    @property
    def settled(self):
        """Whether all lines with the last time are surely among those that came."""
        return self._last is not None and self._times[self._last][1] >= NEIGHBOURS

    @property
    def position(self):
        """The position after these lines."""
        return None if self._last is None else [self._last, self._times[self._last][0]]


def unseen(times, position, whole):
    """Where in a look at the end of a log the new lines begin.

    Args:
        times: of the last lines of the log, in its order.
        position: after the look before.
        whole: whether there are no lines before these.

    Returns:
        Index of the first new line; None when more of the log is needed to tell.
    """
    if position is None or position[0] not in times:
        # All of it came after the look before, if this is all; the line that was last then is gone from the log.
        return 0 if whole else None
    first = times.index(position[0])
    if not whole and first < NEIGHBOURS:
        # Lines with this time may stand before: they could not be counted.
        return None
    index, left = first, position[1]
    while left and index < len(times):
        left -= times[index] == position[0]
        index += 1
    return index
