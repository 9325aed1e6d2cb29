# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""FlareSolverr: answers, and refuses to solve anything, because there is no internet here."""

from ..core import App, json_response

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"


class APP(App):
    """Port 8191, runs as the image's user."""

    owned = ()
    ports = (8191,)
    refuse = 1.0
    starting_for = 0.0

    def handle(self, request):
        """Answer /, /health and /v1."""
        if request.path == "/health":
            return json_response({"status": "ok"})
        if request.path == "/":
            return json_response({"msg": "FlareSolverr is ready!", "version": self.version, "userAgent": AGENT})
        if request.path == "/v1" and request.method == "POST":
            return json_response(
                {
                    "status": "error",
                    "message": "Error: Error solving the challenge. Message: unknown error: net::ERR_NAME_NOT_RESOLVED",
                },
                500,
            )
        return json_response({"error": "Not Found"}, 404)
