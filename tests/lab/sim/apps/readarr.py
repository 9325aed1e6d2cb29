# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Readarr (retired): books, API v1, port 8787."""

from ..servarr import Servarr


class APP(Servarr):
    """Readarr (retired): books, API v1, port 8787."""

    title = "Readarr"
    api = "v1"
    port = 8787
    ssl_port = 6868
    basic_allowed = True
