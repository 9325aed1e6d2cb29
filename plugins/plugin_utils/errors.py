# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one error of rendering: every problem found, each with its place, value and remedy."""

from __future__ import annotations

from .closest import hint


class RenderError(Exception):
    """What is wrong with service files or with settings in the light of them.

    Attributes:
        problems: sentences, one a problem, in the order found.
    """

    def __init__(self, problems):
        self.problems = [problems] if isinstance(problems, str) else list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def did_you_mean(name, valid):
    """``. Did you mean sonarr?`` or, where no name is near, ``. Valid: …``, to end a sentence with."""
    return f". {hint(str(name), [str(candidate) for candidate in valid])}"
