#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state of gluetun: documentation and a thin main; the work is in module_utils/gluetun_client.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gluetun_status
short_description: Read the state of a gluetun VPN container
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Asks the HTTP control server of gluetun whether the VPN is connected, where it comes out, and which ports are
    forwarded.
  - Knows the control servers from v3.38 to the development version of 2026, which differ in routes, bodies and in what
    they ask credentials for.
  - Reads only routes that show no secrets. C(/v1/vpn/settings), which holds the private key, is never asked for.
  - gluetun's own V(running) does not mean connected. RV(connected) is true only when there is a public IP too, which
    gluetun looks up through the tunnel. With C(PUBLICIP_ENABLED=off) it is never true.
  - Never changes anything, and uses no proxy of the environment.
options:
  url:
    description:
      - Address of the control server, as seen from the host where the module runs.
      - A path is for a reverse proxy that puts the control server below one.
    type: str
    default: http://127.0.0.1:8000
  api_key:
    description: Key of a role with C(auth = "apikey"). It is sent in the header C(X-API-Key), never in the address.
    type: str
  username:
    description: User name of a role with C(auth = "basic"). It is sent without being asked for.
    type: str
  password:
    description: Password for O(username).
    type: str
  timeout:
    description: Seconds for one look, which is several requests, however slowly the server answers.
    type: float
    default: 10
  expect_port_forwarding:
    description: Fail unless a port is forwarded.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait until the VPN is connected and, with O(expect_port_forwarding), a port is forwarded. V(0) looks
        once.
      - Meanwhile it does not matter that nothing listens or that connections are closed; gluetun may be starting.
      - That the VPN is not connected at the end is a result, not a failure.
    type: float
    default: 0
attributes:
  check_mode:
    support: full
    description: Changes nothing, with or without check mode.
  diff_mode:
    support: none
    description: Changes nothing, so there is no difference.
notes:
  - "The task fails when nothing listens, when no answer comes in time, when something else than gluetun answers, and
    when gluetun refuses the credentials. Without credentials a refusal is a result: RV(auth_required) is true and
    RV(connected) is false."
  - "A role for it: C(routes = [\"GET /v1/vpn/status\", \"GET /v1/publicip/ip\", \"GET /v1/portforward\",
    \"GET /v1/dns/status\", \"GET /v1/updater/status\", \"GET /v1/openvpn/status\", \"GET /v1/version\"]). The first two
    are needed; what the others would tell is V(null) without them. Before v3.41.0 the port is at
    C(GET /v1/openvpn/portforwarded)."
seealso:
  - name: gluetun's control server
    description: How to set it up, and its roles.
    link: https://github.com/qdm12/gluetun-wiki/blob/main/setup/advanced/control-server.md
  - module: homelab.mediastack.stack_health
"""

EXAMPLES = r"""
- name: Look at the VPN
  homelab.mediastack.gluetun_status:
    url: http://127.0.0.1:8000
    api_key: "{{ vault_gluetun_api_key }}"
  register: vpn

- name: Stop here unless it is connected
  ansible.builtin.assert:
    that: vpn.connected
    fail_msg: "The VPN is {{ vpn.status }} and not connected"

- name: Wait for the tunnel and the forwarded port after a start
  homelab.mediastack.gluetun_status:
    username: ansible
    password: "{{ vault_gluetun_password }}"
    expect_port_forwarding: true
    wait_timeout: 60
"""

RETURN = r"""
status:
  description:
    - "gluetun's word for the VPN: V(starting), V(running), V(stopping), V(stopped) or V(crashed)."
    - V(null), here and below, is what is not known, because this version has no such route or these credentials may
      not read it.
  type: str
  returned: success
  sample: running
connected:
  description: Whether the VPN is V(running) and has a public IP.
  type: bool
  returned: success
public_ip:
  description: Address at which the VPN comes out; empty without one.
  type: str
  returned: success
  sample: 185.159.157.1
country:
  description: Country of that address, its English name; here and below empty where the lookup did not tell.
  type: str
  returned: success
  sample: Netherlands
region:
  description: Region of that address.
  type: str
  returned: success
  sample: North Holland
city:
  description: City of that address.
  type: str
  returned: success
  sample: Amsterdam
organization:
  description: Who has that address.
  type: str
  returned: success
  sample: AS51852 Private Layer INC
forwarded_ports:
  description: Ports that the VPN provider forwards to us; empty for none.
  type: list
  elements: int
  returned: success
  sample: [5914]
dns_status:
  description: gluetun's word for its DNS server.
  type: str
  returned: success
  sample: running
updater_status:
  description: gluetun's word for the updater of its server list.
  type: str
  returned: success
  sample: completed
version:
  description: Release of gluetun; V(latest) for its development version.
  type: str
  returned: success
  sample: v3.41.3
commit:
  description: Commit that it was built from.
  type: str
  returned: success
  sample: 3d1e20c
vpn_type:
  description:
    - V(openvpn) or V(wireguard), as far as it shows without reading the settings, so not of a stopped VPN.
    - V(wireguard) is anything but OpenVPN (AmneziaWG in the development version).
  type: str
  returned: success
  sample: wireguard
auth_required:
  description: Whether gluetun wants credentials and none were given.
  type: bool
  returned: success
diff:
  description: Always empty.
  type: dict
  returned: always
duration_ms:
  description: How long the module took.
  type: int
  returned: always
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_client


def main():
    """Arguments in, one look (or more, with `wait_timeout`), its result out."""
    started = time.monotonic()
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "http://127.0.0.1:8000"},
            "api_key": {"type": "str", "no_log": True},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "timeout": {"type": "float", "default": 10},
            "expect_port_forwarding": {"type": "bool", "default": False},
            "wait_timeout": {"type": "float", "default": 0},
        },
        mutually_exclusive=[["api_key", "username"], ["api_key", "password"]],
        required_together=[["username", "password"]],
        supports_check_mode=True,
    )
    given = module.params
    expected = given.pop("expect_port_forwarding")

    def outcome(**more):
        return dict(
            more,
            changed=False,
            diff={"before": "", "after": ""},
            duration_ms=round((time.monotonic() - started) * 1000),
        )

    if given["timeout"] <= 0:
        module.fail_json(**outcome(msg="timeout is %g: it must be more than 0 seconds" % given["timeout"]))
    if given["wait_timeout"] < 0:
        module.fail_json(**outcome(msg="wait_timeout is %g: it must be 0 seconds or more" % given["wait_timeout"]))
    try:
        status = gluetun_client.wait_for_status(ports=expected, **given)
    except gluetun_client.GluetunError as error:
        module.fail_json(**outcome(msg=str(error)))
    if expected and not (status["connected"] and status["forwarded_ports"]):
        module.fail_json(**outcome(msg=no_port(status, given["url"], given["wait_timeout"]), **status))
    module.exit_json(**outcome(**status))


def no_port(status, url, waited):
    """Why there is no forwarded port, and what to do about it."""
    after = " after %g s" % waited if waited else ""
    if status["auth_required"]:
        return (
            "%s: a forwarded port is expected, but gluetun answers HTTP 401: it shows nothing without credentials. "
            "Give api_key, or username and password." % url
        )
    if not status["connected"]:
        return "%s: a forwarded port is expected, but the VPN is not connected%s: its status is %s%s." % (
            url,
            after,
            status["status"],
            ", and it has no public IP" if status["status"] == "running" else "",
        )
    if status["forwarded_ports"] is None:
        return (
            "%s: a forwarded port is expected, but gluetun does not show its ports with these credentials. Add the "
            'route "GET %s" (before v3.41.0 "GET %s") to their role and restart gluetun.'
            % (url, gluetun_client.PORTS, gluetun_client.PORTS_BEFORE)
        )
    return (
        "%s: a forwarded port is expected, but gluetun has none%s, although the VPN is connected. VPN_PORT_FORWARDING "
        "must be on, the server must offer it, and the lines [port forwarding] in gluetun's log say what went wrong."
        % (url, after)
    )


if __name__ == "__main__":
    main()
