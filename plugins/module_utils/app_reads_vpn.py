# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The VPN as gluetun's control server shows it, for the table's VPN line and gluetun's row."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_client, health_model, probes
from ansible_collections.homelab.mediastack.plugins.module_utils.app_http import Refused
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import UNAUTHORIZED, GluetunError

SHOWN = (
    "status",
    "connected",
    "public_ip",
    "country",
    "region",
    "city",
    "organization",
    "forwarded_ports",
    "dns_status",
    "vpn_type",
    "version",
)
OFF = ("off", "no", "false", "disable", "disabled", "0")


def read(access, target, attempt, reading):
    """Ask the control server at `target` within the time that `attempt` has left."""
    attempt.stage = "waiting for the control server"
    url = "http://%s" % target.netloc()
    try:
        state = gluetun_client.read_status(url, api_key=access.key(), timeout=attempt.remaining())
    except GluetunError as error:
        if error.kind == UNAUTHORIZED:
            raise Refused(
                "gluetun refused the stack's key %s: delete %s/auth/mediastack.toml, run site, which writes it again, "
                "and restart -e service=gluetun" % (access.key_name, access.spec.get("config_dir") or "/gluetun")
            ) from None
        # The sentence begins with the URL; so will ours.
        words = str(error)
        raise probes.ProbeFailed(words[words.find(": ") + 2 :] if words.startswith(url) else words) from None
    judge(state, looks_up_address(access.container), reading)


def looks_up_address(container):
    """Whether gluetun looks up its public address at all (PUBLICIP_ENABLED, before v3.39 PUBLICIP_PERIOD=0)."""
    settings = dict(entry.partition("=")[::2] for entry in container.raw["Config"].get("Env") or [])
    return settings.get("PUBLICIP_ENABLED", "on").lower() not in OFF and settings.get("PUBLICIP_PERIOD", "") != "0"


def judge(state, has_address, reading):
    """The line and the row from `gluetun_client.read_status`.

    `has_address`: whether gluetun looks up its address. Where it does not, a connection cannot be seen from here:
    gluetun's own health check, which goes through the tunnel, decides alone.
    """
    reading.vpn = {key: state.get(key) for key in SHOWN}
    if state["connected"]:
        return
    # It may be the address that the host itself had when the tunnel went away.
    reading.vpn["public_ip"] = ""
    status = probes.excerpt(state.get("status") or "in no known state")
    if status == "running" and not has_address:
        reading.vpn.update(connected=None, message="running; its address is not looked up (PUBLICIP_ENABLED is off)")
        return
    if status == "running":
        words = "running, but not connected: it has no public address"
        reading.problem("the VPN is %s; docker logs gluetun" % words, health_model.UNHEALTHY, settles=True)
    elif status == "stopped":
        words = "stopped: what is behind it reaches nobody"
        reading.problem("the VPN is %s; run vpn_start" % words, health_model.STOPPED, settles=True)
    else:
        words = "%s, not connected" % status
        reading.problem("the VPN is %s; docker logs gluetun" % words, health_model.UNHEALTHY, settles=True)
    reading.vpn["message"] = words
