# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The real qBittorrent (Debian's), started as LinuxServer's image does.

https://github.com/linuxserver/docker-qbittorrent/blob/master/root/etc/s6-overlay/s6-rc.d/svc-qbittorrent/run
"""

import os

from ..real import Real

DEFAULTS = """[AutoRun]
enabled=false
program=

[BitTorrent]
Session\\DefaultSavePath=/downloads/
Session\\Port=6881
Session\\TempPath=/downloads/incomplete/

[LegalNotice]
Accepted=true

[Preferences]
Connection\\PortRangeMin=6881
Connection\\UPnP=false
Downloads\\SavePath=/downloads/
Downloads\\TempPath=/downloads/incomplete/
WebUI\\Address=*
WebUI\\ServerDomains=*
"""


class APP(Real):
    """qbittorrent-nox with WEBUI_PORT and TORRENTING_PORT."""

    def prepare(self):
        """Write the image's default file where there is none."""
        path = self.path("qBittorrent", "qBittorrent.conf")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.exists(path):
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(DEFAULTS)

    def program_env(self):
        """Everything lives under /config."""
        return {**self.env, "HOME": "/config", "XDG_CONFIG_HOME": "/config", "XDG_DATA_HOME": "/config"}

    def commands(self):
        """Return the image's command line."""
        command = ["qbittorrent-nox", f"--webui-port={self.env.get('WEBUI_PORT') or 8080}"]
        if self.env.get("TORRENTING_PORT"):
            command.append(f"--torrenting-port={self.env['TORRENTING_PORT']}")
        return [command]
