# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The real SABnzbd (Debian's), started as LinuxServer's image does: an address, the port from sabnzbd.ini.

https://github.com/linuxserver/docker-sabnzbd/blob/master/root/etc/s6-overlay/s6-rc.d/svc-sabnzbd/run
"""

from ..real import Real


class APP(Real):
    """sabnzbdplus with /config/sabnzbd.ini."""

    def program_env(self):
        """Its look for news of itself fails at once: the lab talks to nobody outside."""
        return {**self.env, "HOME": "/config", "https_proxy": "http://127.0.0.1:9", "no_proxy": "localhost,127.0.0.1"}

    def commands(self):
        """Return the image's command line; --console keeps its log on standard output."""
        return [
            [
                "sabnzbdplus",
                "--config-file",
                "/config",
                "--server",
                "::",
                "--browser",
                "0",
                "--disable-file-log",
                "--console",
            ]
        ]
