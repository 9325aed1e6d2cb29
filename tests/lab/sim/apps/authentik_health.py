# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`ak healthcheck`: the server must be ready; the worker's process is enough."""

import http.client
import sys


class APP:
    """Exit 0 when the container's authentik is well."""

    def __init__(self, *_args):
        """Nothing to read: the command of the container says which process it is."""

    def run(self):
        """Return the exit code."""
        with open("/proc/1/cmdline", "rb") as stream:
            if b"worker" in stream.read().split(b"\0"):
                return 0
        try:
            connection = http.client.HTTPConnection("127.0.0.1", 9000, timeout=5)
            connection.request("HEAD", "/-/health/ready/")
            status = connection.getresponse().status
        except OSError as error:
            print(f"failed to send healthcheck request: {error}", file=sys.stderr)
            return 1
        print(f"ready: {status}")
        return 0 if status < 300 else 1
