# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tdarr's node: no listener; it reports to the server as long as it can."""

import http.client
import json
import socket
import time

from ..core import App


class APP(App):
    """Reports to serverIP:serverPort every five seconds."""

    config_dir = "/app/configs"
    owned = ("/app/configs", "/app/logs")

    def background(self):
        """Report, and say when the server cannot be reached."""
        name = self.env.get("nodeName") or socket.gethostname()
        address = (self.env.get("serverIP") or "0.0.0.0", int(self.env.get("serverPort") or 8266))
        key = self.env.get("apiKey") or ""
        while True:
            try:
                connection = http.client.HTTPConnection(*address, timeout=5)
                connection.request("POST", "/api/v2/lab-node", json.dumps({"nodeName": name}), {"x-api-key": key})
                status = connection.getresponse().status
                connection.close()
                if status != 200:
                    print(f"[ERROR] Tdarr_Node - the server answered {status}", flush=True)
            except OSError as error:
                print(f"[ERROR] Tdarr_Node - cannot reach http://{address[0]}:{address[1]}: {error}", flush=True)
            time.sleep(5)
