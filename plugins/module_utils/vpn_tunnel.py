# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tunnel of a stack as it is on its host: gluetun's container, what its control server says, who is behind it."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    engine_state,
    gluetun_client,
    gluetun_log,
    health_address,
    holds,
    netns,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import UNAUTHORIZED, GluetunError
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_settings_other import KILL_SWITCH
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_settings_reader import FALSE
from ansible_collections.homelab.mediastack.plugins.module_utils.probes import excerpt
from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import SecretStore

SERVICE = "gluetun"
CONTROL_PORT = 8000
READ_KEY, CONTROL_KEY = "gluetun_api_key", "gluetun_control_key"
RUN_SITE = "run site, which makes it"


class VpnError(Exception):
    """What was asked for is not so; the text says what is instead, and the remedy."""


class Tunnel:
    """Looks at the tunnel of one project; changes nothing."""

    def __init__(self, docker, project_name, project_path, members, given_keys, timeout):
        """`members`: services that should be behind the VPN; `given_keys`: secret → value, those that the inventory
        gives (the others are stored on the host); `timeout`: seconds for one look at the control server.
        """
        self.docker = docker
        self.name, self.path = project_name, project_path
        self.members = members
        self.timeout = timeout
        self._given = given_keys
        self.project = None
        #: gluetun's engine_state.Container, None when there is none.
        self.container = None

    def look(self):
        """Read the containers anew."""
        self.project = engine_state.read_project(self.docker, self.name, self.path)
        found = self.project.of(SERVICE)
        self.container = found[0] if found else None
        return self

    # gluetun

    @property
    def runs(self):
        """Whether gluetun's container runs, so that it can be asked."""
        return self.container is not None and self.container.status == "running"

    @property
    def environment(self):
        """gluetun's variables, as its container was made with them."""
        entries = (self.container.raw["Config"].get("Env") or []) if self.container else []
        return dict(entry.partition("=")[::2] for entry in entries)

    @property
    def kill_switch(self):
        """Whether gluetun's firewall is left on, as it is unless somebody switches it off."""
        return self.environment.get(KILL_SWITCH, "on").strip().lower() not in FALSE

    @property
    def looks_up_address(self):
        """Whether gluetun looks up the address at which the VPN comes out."""
        return self.environment.get("PUBLICIP_ENABLED", "on").strip().lower() not in FALSE

    def url(self):
        """Where its control server answers. VpnError."""
        try:
            target = health_address.target_of({"ports": []}, self.container, CONTROL_PORT)
        except health_address.NoAddress as error:
            raise VpnError("the control server of gluetun cannot be reached: %s. Run site" % error) from None
        return "http://%s" % target.netloc()

    def key(self, name):
        """A key of the control server. VpnError when the host has none yet."""
        value = SecretStore(self.path).known(name, {"value": self._given.get(name)})
        if not value:
            raise VpnError("this host has no %s yet: run site, then restart -e service=gluetun" % name)
        return value

    def read(self):
        """What its control server says, as `gluetun_client.read_status`. GluetunError, VpnError."""
        return self._asked(gluetun_client.read_status, self.key(READ_KEY), READ_KEY, self.timeout)

    def put(self, wanted, patience):
        """Ask for `running` or `stopped`, waiting `patience` seconds at most; what came of it, in gluetun's words."""

        def ask(url, api_key, timeout):
            return gluetun_client.set_status(url, wanted, api_key=api_key, timeout=timeout)

        return self._asked(ask, self.key(CONTROL_KEY), CONTROL_KEY, patience)

    def _asked(self, ask, key, name, timeout):
        try:
            return ask(self.url(), api_key=key, timeout=timeout)
        except GluetunError as error:
            if error.kind != UNAUTHORIZED:
                raise
            raise VpnError(
                "gluetun refuses the stack's key %s: its file of roles was not written by this release. Delete %s, run "
                "site, which writes it again, and restart -e service=gluetun" % (name, self._roles_file())
            ) from None

    def _roles_file(self):
        for mount in self.container.raw.get("Mounts") or []:
            if mount.get("Destination") == "/gluetun":
                return "%s/auth/mediastack.toml" % mount.get("Source")
        return "/gluetun/auth/mediastack.toml in its container"

    def connected(self, status):
        """Whether the tunnel carries traffic.

        Where gluetun does not look up its address, its own health check, which goes through the tunnel, decides.
        """
        if status["connected"] or self.looks_up_address:
            return status["connected"]
        return status["status"] == "running" and self.container.health == "healthy"

    def reason(self, since=None):
        """A gluetun_log.Reason from its log, or None."""
        return gluetun_log.find(gluetun_log.read(self.docker, self.container, since)) if self.container else None

    def held(self):
        """The record of who stopped the VPN, None when nobody did. FileError."""
        return holds.read(self.path).get(holds.VPN)

    def why_not(self, status=None):
        """Why the VPN is not connected: a sentence without its full stop."""
        if self.container is None:
            return "gluetun has no container: " + RUN_SITE
        held = self.held()
        reason = self.reason()
        if not self.runs:
            words = "gluetun's container is %s" % self.container.status
            if self.container.status in ("exited", "restarting"):
                words += " (exit code %d)" % self.container.exit_code
        elif status is None:
            words = "the control server of gluetun is not asked"
        elif status["status"] == "running":
            words = "gluetun is running, but has no public IP"
        else:
            words = "gluetun is %s" % excerpt(status["status"] or "in no known state")
        if held:
            return "%s; %s: run vpn_start" % (words, holds.since(held))
        if status and status["status"] == "stopped":
            return "%s: run vpn_start" % words
        return "%s; %s" % (words, reason.text) if reason else words

    # Who is behind it

    def outside(self):
        """service → (netns.RESTART, netns.RECREATE or None, why): members that run without the tunnel.

        None: nothing but `site` brings it behind the VPN, and now it reaches the network on its own.
        """
        found = {}
        for name in self.members:
            for container in self.project.of(name):
                if not container.active:
                    continue
                if container.parent_id is None:
                    found[name] = (None, "it has a network of its own")
                    continue
                verdict = netns.verdict(container, SERVICE, self.container)
                if verdict:
                    found[name] = verdict
        return found

    def behind(self):
        """Services that have a container in gluetun's network, running or not, and the members of the inventory."""
        sharing = self.project.sharing(self.container) if self.container else []
        names = {container.service for container in sharing} | {name for name in self.members if self.project.of(name)}
        return sorted(names)

    def running(self):
        """Those of `behind` that run."""
        return [name for name in self.behind() if any(container.active for container in self.project.of(name))]
