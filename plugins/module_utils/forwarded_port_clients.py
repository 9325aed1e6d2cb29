# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the torrent clients are asked how they listen, and told: one session each, with the stack's own password.

What is read and told has the client's own names, see `forwarded_port`.
"""

from __future__ import annotations

import json

from ansible_collections.homelab.mediastack.plugins.module_utils import app_reads_deluge, probes
from ansible_collections.homelab.mediastack.plugins.module_utils import app_reads_downloaders as downloaders
from ansible_collections.homelab.mediastack.plugins.module_utils.app_http import FORM


class Qbittorrent:
    """A session of qBittorrent's web API."""

    def __init__(self, access, http):
        """Log in. `access`: an app_reads.Access; `http`: an AppHttp. Raises Refused, ProbeFailed, OSError."""
        self._access, self._http = access, http
        self._cookie = downloaders.qbittorrent_login(access, http)

    def read(self):
        """Its settings. Raises ProbeFailed, OSError."""
        return downloaders.qbittorrent_preferences(self._access, self._http, self._cookie)

    def tell(self, change):
        """Change settings. Raises ProbeFailed, OSError."""
        path = downloaders.qbittorrent_api(self._access) + "/app/setPreferences"
        reply = self._http.call("POST", path, self._cookie, {"json": json.dumps(change)}, FORM)
        # What sets no result is answered with 204 since 5.2.
        self._http.expect(reply, "POST", path, (200, 204))

    def close(self):
        """Log out."""
        downloaders.qbittorrent_logout(self._access, self._http, self._cookie)


class Transmission:
    """Transmission's RPC; it knows no logging in or out."""

    def __init__(self, access, http):
        """As Qbittorrent."""
        self._rpc = downloaders.TransmissionRpc(access, http)

    def read(self):
        """As Qbittorrent."""
        return self._rpc.call("session-get")

    def tell(self, change):
        """As Qbittorrent."""
        self._rpc.call("session-set", change)

    def close(self):
        """Nothing."""


class Deluge:
    """A session of Deluge's web UI, connected to its daemon."""

    def __init__(self, access, http):
        """As Qbittorrent."""
        self._rpc = app_reads_deluge.Rpc(access, http)
        self._rpc.log_in(access.password())
        if self._rpc.call("web.connected") is not True and not app_reads_deluge.connect(self._rpc):
            self.close()
            raise probes.ProbeFailed("its daemon does not answer its web UI", probes.INCONCLUSIVE)

    def read(self):
        """As Qbittorrent."""
        return app_reads_deluge.preferences(self._rpc)

    def tell(self, change):
        """As Qbittorrent."""
        self._rpc.call("core.set_config", change)

    def close(self):
        """Log out."""
        self._rpc.log_out()


CLIENTS = {"qbittorrent": Qbittorrent, "transmission": Transmission, "deluge": Deluge}
"""`wiring.kind` → session."""
