# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a user does with a stack and its VPN, run by run, and everything that was said about it meanwhile."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import stack_harness
import vpn_secrets_lab as lab
from stack_harness import docker

LOUD = ("-vvvv", "--diff")
# Signs that one file, shell, address or template or the other writes in a way of its own.
PASSWORD = "p" + lab.text(10) + """"$&é'<%+/\\#:@""" + lab.text(10)
WIREGUARD = {
    "mediastack_vpn_provider": "airvpn",
    "mediastack_vpn_type": "wireguard",
    "mediastack_vpn_wireguard_private_key": lab.wireguard_key(),
    "mediastack_vpn_wireguard_preshared_key": lab.wireguard_key(),
}
# A provider that is not there: openvpn itself reads this, and complains.
OVPN = "client\ndev tun\nremote 127.0.0.1 1194\nauth-user-pass\n<ca>\n{}</ca>\n<cert>\n{}</cert>\n<key>\n{}</key>\n"
LOGIN = {
    "mediastack_vpn_type": "openvpn",
    "mediastack_vpn_openvpn_user": "u" + lab.text(20),
    "mediastack_vpn_openvpn_password": PASSWORD,
}
CUSTOM = {
    **LOGIN,
    "mediastack_vpn_provider": "custom",
    "mediastack_vpn_openvpn_cert": lab.pem("CERTIFICATE"),
    "mediastack_vpn_openvpn_key": lab.pem("PRIVATE KEY"),
    "mediastack_vpn_openvpn_encrypted_key": lab.pem("ENCRYPTED PRIVATE KEY"),
    "mediastack_vpn_openvpn_key_passphrase": "f" + lab.text(24),
    "mediastack_vpn_openvpn_custom_config": OVPN.format(*map(lab.pem, ("CERTIFICATE", "CERTIFICATE", "PRIVATE KEY"))),
}
ENCRYPTED = {
    **LOGIN,
    "mediastack_vpn_provider": "vpnsecure",
    "mediastack_vpn_openvpn_cert": lab.pem("CERTIFICATE"),
    "mediastack_vpn_openvpn_encrypted_key": lab.pem("ENCRYPTED PRIVATE KEY"),
    "mediastack_vpn_openvpn_key_passphrase": "f" + lab.text(24),
}
CLIENT = {
    **LOGIN,
    "mediastack_vpn_provider": "airvpn",
    "mediastack_vpn_openvpn_cert": lab.pem("CERTIFICATE"),
    "mediastack_vpn_openvpn_key": lab.pem("PRIVATE KEY"),
}
SECRET = ("private_key", "preshared_key", "user", "password", "cert", "_key", "passphrase", "custom_config")
# Web interfaces, mostly; what is not selected is not published.
MORE_PORTS = [
    (app, "metrics" if app == "unpackerr" else "web")
    for app in (
        *("unpackerr", "readarr", "jellyfin", "seerr", "plex", "tautulli", "traefik", "heimdall"),
        *("authentik-server", "tdarr", "transmission", "deluge", "nzbget"),
    )
]
# Nobody but this machine is asked for anything.
NOBODY = {
    "mediastack_leak_test_ip_echo": "http://127.0.0.1:9/",
    "mediastack_leak_test_tracker": "udp://127.0.0.1:9",
    "mediastack_leak_test_public_dns": ["127.0.0.1"],
}


def secret_settings(settings):
    return {name: value for name, value in settings.items() if name.endswith(SECRET)}


class Story:
    """What a user does with one stack, and everything that was said about it meanwhile."""

    def __init__(self, directory, name, **variables):
        self.directory, self.began = directory, time.time()
        self.secrets = lab.Secrets()
        self.said, self.told = [], []
        given = lab.text(32, "0123456789abcdef")
        self.secrets.add(sonarr_api_key=given)
        first = stack_harness.free_ports(38)
        self.variables = {
            "mediastack_container_prefix": f"{name}-",
            # Not where the control server is.
            "mediastack_bind_addresses": ["127.0.0.2"],
            "mediastack_secrets": {"sonarr_api_key": given},
            "mediastack_pull": "never",
            **NOBODY,
            **variables,
        }
        self.stack = stack_harness.Stack(directory / "box", name, first, **self.variables)
        ports = self.stack.variables["mediastack_ports"]
        ports.update({app: {name: first + 8 + number} for number, (app, name) in enumerate(MORE_PORTS)})
        ports["authentik-server"]["https"], ports["tdarr"]["server"] = first + 34, first + 35
        ports["traefik"].update(https=first + 36, ping=first + 37)
        self.environment = lab.private(directory / "left")
        self.settings(self.stack, **WIREGUARD)

    def settings(self, stack, **settings):
        """Change the inventory; what is secret in it is looked for from now on."""
        self.secrets.add(**secret_settings(settings))
        stack.set(**settings)

    def beside(self, name, **settings):
        """The same host and project in another inventory."""
        made = stack_harness.Stack(self.directory / name, self.stack.project, 1, **self.stack.variables)
        self.settings(made, **settings)
        return made

    def run(self, playbook, *arguments, stack=None, code=0):
        """Run a playbook that says as much as it can; what it says is kept. Its standard output."""
        words = f"{playbook} {' '.join(arguments)}"
        done = (stack or self.stack).play(playbook, *LOUD, *arguments, check=False, env=self.environment)
        self.said += [(f"stdout of {words}", done.stdout.encode()), (f"stderr of {words}", done.stderr.encode())]
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-2000:]}"
        return done.stdout

    def read(self):
        """Ask the engine for all that it tells, and keep it; generated secrets are looked for from now on."""
        path = self.stack.project_path / ".mediastack" / "secrets.json"
        self.stored = json.loads(path.read_text())
        for kind in ("secrets", "salts", "derived"):
            self.secrets.add(**{f"{kind}.{name}": value for name, value in self.stored[kind].items()})
        self.told += lab.of_engine(self.stack)

    def changed(self):
        """The inventory with another key, in a file of its own."""
        key = "mediastack_vpn_wireguard_preshared_key"
        return self.beside("changed", **{key: lab.wireguard_key()})

    def refused(self):
        """Runs that end before anything is touched, and one whose Python is none."""
        image = self.beside("image", mediastack_images={"sonarr": "0.0.1"})
        assert "0.0.1" in self.run("site", stack=image, code=2)
        # One sign too many, but a secret all the same.
        key = lab.wireguard_key()[:-1] + "A="
        mistyped = self.beside("mistyped", mediastack_vpn_wireguard_private_key=key)
        assert "is not a WireGuard key" in self.run("site", stack=mistyped, code=2)
        for interpreter in ("/bin/false", "/bin/sh", "/usr/bin/python9"):
            self.run("site", stack=self.beside("crash", ansible_python_interpreter=interpreter), code=2)

    def look(self):
        """Whatever changes nothing, side by side."""
        other = self.changed()
        left = self.directory / "left"
        status = ",".join(f"{left}/status.{kind}" for kind in ("json", "html", "xml", "prom"))
        with ThreadPoolExecutor(4) as pool:
            # There is no internet: the leak test says so and fails.
            leak = pool.submit(self.run, "leak_test", "-e", f"output={left}/leak.json,{left}/leak.xml", code=2)
            runs = {
                "status": pool.submit(self.run, "status", "-e", f"output={status}"),
                "vpn_status": pool.submit(self.run, "vpn_status"),
                "config_show": pool.submit(self.run, "config_show"),
                "config_validate": pool.submit(self.run, "config_validate"),
                "changed": pool.submit(self.run, "site", "--check", stack=other),
            }
            said = {name: run.result() for name, run in runs.items()}
            assert "checks failed" in leak.result()
        # They did what they are for.
        for name, words in {
            "vpn_status": f"VPN connected: {self.stack.variables['mediastack_vpn_provider']}",
            "config_show": "mediastack_vpn_openvpn_password",
            "changed": "secrets/wireguard_preshared_key",
        }.items():
            assert words in said[name], said[name]
        return other

    def first_hour(self):
        """Set up, look, stop and start the VPN; an inventory with another key is returned."""
        self.run("site")
        self.read()
        other = self.look()
        self.run("vpn_stop")
        self.run("vpn_start")
        self.run("restart", "-e", "service=unpackerr")
        self.change_secrets()
        return other

    def change_secrets(self):
        """Plan, try and rotate; what was there before is looked for all the same."""
        self.run("plan")
        # On a terminal only; and no registry has stand-ins.
        assert "on a terminal only" in " ".join(self.run("credentials", code=2).split())
        self.run("update", "--check", code=2)
        names = "secret=sonarr_password,qbittorrent_password"
        self.run("rotate", "--check", "-e", names)
        before = self.stored["secrets"]
        self.run("rotate", "-e", names)
        self.read()
        assert {name for name, value in self.stored["secrets"].items() if value != before[name]} == {
            "sonarr_password",
            "qbittorrent_password",
        }

    def with_other_vpn(self, settings, *arguments, code=0):
        """Another provider with other credentials: what `site` says of it, and what the engine tells then."""
        self.stack.set(**{name: "" for name in secret_settings(self.stack.variables) if "_vpn_" in name})
        self.settings(self.stack, **settings)
        said = self.run("site", *arguments, code=code)
        if settings is CUSTOM:
            gluetun = self.stack.containers()["gluetun"]["Id"]
            stack_harness.wait_for(lambda: "openvpn ended with 1" in docker("logs", gluetun), 180, "its complaint")
        self.read()
        return said
