# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Radarr: films, API v3, port 7878."""

from ..servarr import Servarr


class APP(Servarr):
    """Radarr: films, API v3, port 7878."""

    title = "Radarr"
    port = 7878
    ssl_port = 9898
