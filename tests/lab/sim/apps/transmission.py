# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The real Transmission (Debian's), started as LinuxServer's image does.

https://github.com/linuxserver/docker-transmission/blob/main/root/etc/s6-overlay/s6-rc.d/init-transmission-config/run
"""

import json
import os

from ..real import Real

DEFAULTS = {
    "download-dir": "/downloads/complete",
    "incomplete-dir": "/downloads/incomplete",
    "incomplete-dir-enabled": True,
    "peer-port": 51413,
    "rpc-authentication-required": False,
    "rpc-host-whitelist": "",
    "rpc-host-whitelist-enabled": False,
    "rpc-password": "",
    "rpc-port": 9091,
    "rpc-username": "",
    "rpc-whitelist": "",
    "rpc-whitelist-enabled": False,
    "umask": 2,
    "watch-dir": "/watch",
    "watch-dir-enabled": True,
}


class APP(Real):
    """transmission-daemon with /config/settings.json."""

    def prepare(self):
        """Write defaults where there are none, then USER, PASS and the other variables, at every start."""
        path, settings = self.path("settings.json"), dict(DEFAULTS)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as stream:
                settings = json.load(stream)
        settings["rpc-authentication-required"] = bool(self.env.get("USER") and self.env.get("PASS"))
        if settings["rpc-authentication-required"]:
            settings["rpc-username"], settings["rpc-password"] = self.env["USER"], self.env["PASS"]
        for name, key in (("WHITELIST", "rpc-whitelist"), ("HOST_WHITELIST", "rpc-host-whitelist")):
            settings[f"{key}-enabled"] = bool(self.env.get(name))
            if self.env.get(name):
                settings[key] = self.env[name]
        if self.env.get("PEERPORT"):
            settings["peer-port"] = int(self.env["PEERPORT"])
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(settings, stream, indent=4)

    def program_env(self):
        """As the image sets it."""
        return {**self.env, "HOME": "/config"}

    def commands(self):
        """Return the image's command line."""
        return [["transmission-daemon", "--config-dir", "/config", "--foreground"]]
