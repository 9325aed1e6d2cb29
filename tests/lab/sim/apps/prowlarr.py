# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prowlarr: indexers, API v1, port 9696."""

from .. import servarr_monitoring
from ..servarr import Servarr


class APP(Servarr):
    """Prowlarr: indexers, API v1, port 9696."""

    title = "Prowlarr"
    api = "v1"
    port = 9696
    ssl_port = 6969

    def health(self):
        """A fresh Prowlarr has no indexers; one that fails is named, another one still answers."""
        failing = self.faults.now().get("failing_indexer")
        if failing:
            text = f"Indexers unavailable due to failures: {failing}"
            return [servarr_monitoring.message(self, "IndexerStatusCheck", "warning", text)]
        text = "No indexers enabled, Prowlarr will not return search results"
        return [servarr_monitoring.message(self, "IndexerCheck", "error", text)]
