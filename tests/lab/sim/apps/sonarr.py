# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sonarr: TV, API v3, port 8989."""

from ..servarr import Servarr


class APP(Servarr):
    """Sonarr: TV, API v3, port 8989."""

    title = "Sonarr"
    port = 8989
    ssl_port = 9898
    basic_allowed = True
