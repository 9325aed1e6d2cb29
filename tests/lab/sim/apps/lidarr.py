# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lidarr: music, API v1, port 8686."""

from ..servarr import Servarr


class APP(Servarr):
    """Lidarr: music, API v1, port 8686."""

    title = "Lidarr"
    api = "v1"
    port = 8686
    ssl_port = 6868
