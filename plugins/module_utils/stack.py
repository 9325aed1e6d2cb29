# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run that may do everything: which kind of run a request asks for, with all that it may need."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import acting, stack_frame


def run(request, docker=None, kind=None):
    """(result, error text or None) of a Request. The result is whole in both cases, as far as the run came.

    `kind`: function of (request, docker, source) that makes the Run; None: the one for `request.state`.
    """
    result, error, _made = stack_frame.run(request, docker, kind or acting.kind(request.state), acting)
    return result, error
