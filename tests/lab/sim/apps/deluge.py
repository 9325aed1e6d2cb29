# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The real Deluge (Debian's): daemon and web UI, started as LinuxServer's image does.

https://github.com/linuxserver/docker-deluge/blob/master/root/etc/s6-overlay/s6-rc.d
"""

from ..real import Real


class APP(Real):
    """deluged and deluge-web with /config."""

    def program_env(self):
        """As the image sets it."""
        return {**self.env, "HOME": "/config", "PYTHON_EGG_CACHE": "/config/plugins/.python-eggs"}

    def commands(self):
        """Return the image's command lines."""
        level = self.env.get("DELUGE_LOGLEVEL") or "info"
        return [
            ["deluged", "--do-not-daemonize", "--config=/config", f"--loglevel={level}"],
            ["deluge-web", "--do-not-daemonize", "--config=/config", f"--loglevel={level}"],
        ]
