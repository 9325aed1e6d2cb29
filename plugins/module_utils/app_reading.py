# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was read from one app, and what that makes of its row (pure)."""

from __future__ import annotations

import re

from ansible_collections.homelab.mediastack.plugins.module_utils import health_model, probes

MOST = 3
"""Sentences of one app that its row shows; of more it says how many."""

LENGTH = 200
"""Characters of an app's own words that are shown."""

_WORST_FIRST = (
    health_model.UNHEALTHY,
    health_model.STOPPED,
    health_model.UNKNOWN,
    health_model.STARTING,
    health_model.DEGRADED,
)


class Reading:
    """What one app says of itself, filled in as it is read: what came before a failure counts."""

    def __init__(self):
        #: [(status, sentence, whether it may pass by itself soon after a start)]
        self.problems = []
        #: Sentences that change no status.
        self.hints = []
        #: The entry of the result's `queues`, or None.
        self.queue = None
        #: The result's `vpn`, or None.
        self.vpn = None
        #: The settings of a torrent client whose port the VPN is to forward, or None.
        self.preferences = None

    def problem(self, sentence, status=health_model.DEGRADED, settles=False):
        """Something that is not well. `settles`: normal for a while after a start."""
        self.problems.append((status, probes.excerpt(sentence, LENGTH), settles))

    def hint(self, sentence):
        """Something worth saying that is no fault."""
        self.hints.append(probes.excerpt(sentence, LENGTH))

    def says(self, words):
        """Whether a problem mentions `words`, a name or path, already: not as part of a longer one."""
        whole_words = re.compile(r"(?<![\w/-])%s(?![\w-]|/\w)" % re.escape(words))
        return any(whole_words.search(sentence) for _status, sentence, _settles in self.problems)


def judge(row, reading, outcome, young):
    """Change `row`, an entry of the result model, by what its app said.

    Args:
        reading: its Reading.
        outcome: the probes.Outcome of reading it; anything but OK means that not all was read.
        young: the container started so short a time ago that what settles is no fault yet.

    A row that is not HEALTHY stays: what the engine and the probe say comes first.
    """
    if row["status"] != health_model.HEALTHY:
        return
    found = [
        (health_model.STARTING if settles and young else status, sentence)
        for status, sentence, settles in reading.problems
    ]
    if outcome.verdict != probes.OK:
        passing = outcome.verdict == probes.FAILED and young
        found.append((health_model.STARTING if passing else health_model.UNKNOWN, outcome.message))
    found.sort(key=lambda entry: _WORST_FIRST.index(entry[0]))
    if found:
        row["status"], row["asked"] = found[0][0], True
    sentences = list(dict.fromkeys([sentence for _status, sentence in found] + reading.hints))
    if len(sentences) > MOST:
        sentences[MOST:] = ["and %d more" % (len(sentences) - MOST)]
    row["message"] = "; ".join(part for part in ("; ".join(sentences), row["message"]) if part)


def count(number, one, many=None):
    """`1 torrent`, `3 torrents`."""
    return "%d %s" % (number, one if number == 1 else many or one + "s")


def number(value):
    """A number of an app as a float ≥ 0, also from text; 0 for what is none."""
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return 0.0


def whole(value):
    """`number` without its fraction."""
    found = number(value)
    return int(found) if found < float("inf") else 0
