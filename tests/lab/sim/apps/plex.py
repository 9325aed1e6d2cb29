# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plex Media Server, unclaimed unless Preferences.xml has a token.

/identity for all, the rest for those who have one.
"""

import os
import secrets
import uuid
from xml.etree import ElementTree

from ..core import HTML, App, Response, json_response, page


class APP(App):
    """Port 32400, Preferences.xml."""

    ports = (32400,)
    starting_for = 1.0

    def prepare(self):
        """Write Preferences.xml with the server's identity where it has none."""
        directory = self.path("Library", "Application Support", "Plex Media Server")
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, "Preferences.xml")
        root = ElementTree.parse(path).getroot() if os.path.exists(path) else ElementTree.Element("Preferences")
        if not root.get("ProcessedMachineIdentifier"):
            root.set("MachineIdentifier", str(uuid.uuid4()))
            root.set("ProcessedMachineIdentifier", secrets.token_hex(20))
        root.set("AcceptedEULA", "1")
        ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
        self.preferences = root
        claim = self.env.get("PLEX_CLAIM")
        if claim and not root.get("PlexOnlineToken"):
            print("[plex-claim] cannot exchange the claim token: plex.tv cannot be reached", flush=True)

    def starting(self, _request):
        """Every path answers 503 while the server starts."""
        text = (
            'code="503" title="Maintenance" status="Plex Media Server is currently running startup maintenance tasks."'
        )
        return Response(503, f'<?xml version="1.0" encoding="UTF-8"?>\n<Response {text}/>\n', "text/xml;charset=utf-8")

    def handle(self, request):
        """Answer /identity, the web app, and 401 for what needs a token."""
        token = self.preferences.get("PlexOnlineToken") or ""
        machine, claimed = self.preferences.get("ProcessedMachineIdentifier"), bool(token)
        if request.path == "/identity":
            if "application/json" in (request.headers.get("Accept") or ""):
                return json_response(
                    {
                        "MediaContainer": {
                            "size": 0,
                            "claimed": claimed,
                            "machineIdentifier": machine,
                            "version": self.version,
                        }
                    }
                )
            text = f'size="0" apiVersion="1.1.1" claimed="{int(claimed)}" machineIdentifier="{machine}"'
            text += f' version="{self.version}"'
            return Response(
                200,
                f'<?xml version="1.0" encoding="UTF-8"?>\n<MediaContainer {text}>\n</MediaContainer>\n',
                "text/xml;charset=utf-8",
            )
        if request.path.startswith("/web"):
            return page("Plex")
        given = request.headers.get("X-Plex-Token") or request.query.get("X-Plex-Token") or ""
        local = request.client in ("127.0.0.1", "::1")
        if (claimed and given == token) or (not claimed and local):
            return Response(
                200, '<?xml version="1.0" encoding="UTF-8"?>\n<MediaContainer size="0"/>\n', "text/xml;charset=utf-8"
            )
        return Response(
            401, "<html><head><title>Unauthorized</title></head><body><h1>401 Unauthorized</h1></body></html>", HTML
        )
