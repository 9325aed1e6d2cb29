# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prowlarr: indexers, API v1, port 9696."""

from ..servarr import Servarr


class APP(Servarr):
    """Prowlarr: indexers, API v1, port 9696."""

    title = "Prowlarr"
    api = "v1"
    port = 9696
    ssl_port = 6969

    def health(self):
        """A fresh Prowlarr has no indexers."""
        return [
            {
                "source": "IndexerCheck",
                "type": "error",
                "message": "No indexers enabled, Prowlarr will not return search results",
                "wikiUrl": "https://wiki.servarr.com/prowlarr/system#no-indexers-enabled",
            }
        ]
