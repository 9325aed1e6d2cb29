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
# Lines and characters of one container that one look hands over: after a long pause they come in pieces.
PIECE, PIECE_CHARACTERS = 5000, 2 * 1024 * 1024


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


class Fresh:
    """Takes the end of a log line by line, and keeps what is new in it: no more than one look hands over, however much
    there is.
    """

    def __init__(self, position, whole):
        """`position`: after the look before; `whole`: it is known that there are no lines before the first to come."""
        self._whole = whole
        self._time, self._left = position or (None, 0)
        self._tracker, self._characters = Tracker(), 0
        #: Number of the first line with the position's time, None until it comes.
        self._place = None
        #: What is new, (key for sorting, text), and the position after it. Until the position's time comes: all.
        self.lines, self.position = [], position
        #: Whether more is new than that.
        self.more = False

    def take(self, time, text):
        """One line more; whether the rest is not needed."""
        if self._place is None and self._time == time:
            self._place = self._tracker.lines
            self.lines, self._characters, self.more = [], 0, False
        key = self._tracker.add(time)
        if self._place is not None and self._left:
            self._left -= time == self._time
        elif len(self.lines) < PIECE and self._characters < PIECE_CHARACTERS:
            self.lines.append((key, text))
            self._characters += len(text)
        else:
            self.more = True
            return (self._place is not None or self._time is None) and self.sure(self._whole)
        self.position = self._tracker.position
        return False

    def sure(self, whole):
        """Whether it is known what is new; `whole`: there are no lines before the first that came."""
        # Right at the beginning of a part, lines with this time may stand before: they could not be counted.
        return whole or (self._place is not None and self._place >= NEIGHBOURS)

    @property
    def lost(self):
        """Whether the line that was last then is gone from the log."""
        return self._time is not None and self._place is None and bool(self.lines)
