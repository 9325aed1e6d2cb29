#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The health of a media stack: documentation and a thin main; the work is in module_utils/health_*.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_health
short_description: Tell the health of every service of a media stack
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Looks at the containers of a Compose project with one C(docker ps) and one C(docker inspect), and asks every service
    itself, all at once, by HTTP or TCP, as its service file says.
  - An answer counts only when its code and its body are the expected ones. A crash loop, a dead network namespace and a
    container in another one than the inventory wants are found, although the engine calls these containers running.
  - With O(apps) the apps tell, by their own APIs and with the stack's keys, what they complain of, how the VPN is and
    what is in the download queues.
  - What cannot be known is V(UNKNOWN), never V(HEALTHY). So is all of a host that cannot be reached; the play goes on.
  - Never changes anything. That a service is not healthy is a result (RV(healthy) is false), not a failure of the task.
options:
  services:
    description:
      - The services to look at.
      - Run as a task, the default is every service that the inventory selects.
      - An empty list is no error. Nothing was looked at then, which is not the same as healthy, so an entry C((host))
        of RV(services) is V(UNKNOWN) and says so. The disks, and what is held started, are looked at all the same.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the Compose service.
        type: str
        required: true
      title:
        description: Name for people.
        type: str
      container:
        description: Name that its container should have.
        type: str
      image:
        description: The image that the inventory wants.
        type: str
      health:
        description:
          - How to ask it, as C(x-mediastack.health) of its service file says.
          - Without it, its container's own health check is all that is looked at.
        type: dict
      holder:
        description: Name of the container whose network it uses (behind the VPN V(gluetun)), or of its own container.
        type: str
      ports:
        description: Its ports, a list of maps with C(name), C(protocol), C(port) and C(target).
        type: list
        elements: dict
      url:
        description: Address of its web interface for people, through a reverse proxy; without it, the one published.
        type: str
      app:
        description:
          - How to read the app itself, with O(apps). A map with C(kind) (V(servarr), V(prowlarr), V(bazarr),
            V(qbittorrent), V(transmission), V(deluge), V(sabnzbd), V(nzbget) or V(gluetun)), C(api) (the path of its
            API), C(port) (a name of O(services[].ports), or a number in the container), C(key) or C(password) (names in
            O(secrets)), C(username), and C(config_dir) (its configuration on the host).
        type: dict
  apps:
    description:
      - Ask the apps themselves too, within O(timeout). What they complain of makes their service V(DEGRADED), what
        cannot be read makes it V(UNKNOWN).
      - Run as a task without O(services), the default is V(true).
    type: bool
    default: false
  secrets:
    description:
      - The keys and passwords that O(services[].app) names, a map by name, or JSON text of it. Each is a map with
        C(value), or C(adopt), a list of places (C(path), C(format), C(key)) where the app keeps it.
      - Without them those that the stack has stored on the host, below O(project_path), are used.
      - Run as a task without O(services), the default is what the inventory gives.
    type: json
  pull_path:
    description: Directory of pull mode, for RV(pull).
    type: path
  disk_warn_percent:
    description:
      - Percent in use from which on one of O(paths) makes a V(DEGRADED) entry of its own.
      - When it is not given, none does.
      - Run as a task, the default is C(mediastack_disk_warn_percent).
    type: float
  disk_critical_percent:
    description:
      - Percent in use from which on that entry is V(UNHEALTHY).
      - Run as a task, the default is C(mediastack_disk_critical_percent).
    type: float
  project_name:
    description:
      - Name of the Compose project.
      - Run as a task, the default is C(mediastack_project_name).
    type: str
  project_path:
    description:
      - Directory of the Compose project. Containers of a project elsewhere that has the same name are not looked at.
      - Run as a task, the default is C(mediastack_project_path).
    type: path
  paths:
    description:
      - Directories whose free space is reported, by name.
      - Run as a task, the default are the base path, the media and the downloads.
    type: dict
    default: {}
  timeout:
    description:
      - Seconds for all probes together. A service that hangs costs at most this, and the others nothing.
    type: float
    default: 10
  grace:
    description:
      - Seconds after the start of a container in which a failing probe means V(STARTING), not V(UNHEALTHY).
      - A longer start period of its own health check counts instead.
    type: float
    default: 60
  wait:
    description:
      - Seconds to wait until every service is healthy. V(0) looks once.
      - The waiting ends early when only stopped and missing services are left, which nobody starts meanwhile.
    type: float
    default: 0
  host:
    description:
      - Name of the host in the result.
      - Run as a task, the default is the host's name in the inventory.
    type: str
    default: localhost
attributes:
  check_mode:
    support: full
    description: Changes nothing, with or without check mode.
  diff_mode:
    support: none
    description: Changes nothing, so there is no difference.
seealso:
  - module: homelab.mediastack.report
"""

EXAMPLES = r"""
- name: Read the health of every service that the inventory selects
  homelab.mediastack.stack_health:
  register: health

- name: Stop here unless all is well
  ansible.builtin.assert:
    that: health.healthy

- name: Ask one service of any Compose project
  homelab.mediastack.stack_health:
    project_name: media
    project_path: /opt/media
    wait: 30
    services:
      - name: sonarr
        health: {kind: http, port: web, path: /ping, json: {status: OK}}
        ports: [{name: web, port: 8989, target: 8989}]
"""

RETURN = r"""
healthy:
  description: Whether every service is V(HEALTHY).
  type: bool
  returned: success
services:
  description:
    - The result model, one entry a service.
    - A disk that is nearly full, or cannot be looked at, is one more entry, such as C((disk media)).
  type: list
  elements: dict
  returned: success
  sample:
    - host: nas
      name: sonarr
      title: Sonarr
      status: UNHEALTHY
      message: "http://127.0.0.1:8989/ping: connection refused, nothing listens there"
      latency_ms: null
      container: sonarr
      image: lscr.io/linuxserver/sonarr:4.0.16
      url: http://192.168.1.10:8989
disks:
  description:
    - Space of each of O(paths), or C(error), why it is not known. Percents are those of C(df).
    - C(inodes_used_percent) is V(null) on file systems without a fixed number of inodes; C(device) tells file systems
      apart.
  type: dict
  returned: success
  sample:
    base:
      path: /srv/mediastack
      total_bytes: 4000000000000
      free_bytes: 1200000000000
      used_percent: 70.0
      inodes_used_percent: 3.1
      device: 2049
queues:
  description:
    - Download queues by service, with O(apps). C(total) counts what is not complete, C(active) what downloads now,
      C(stalled) what should and does not, C(failed) (not SABnzbd) what has ended with an error; C(speed_bytes) is per
      second. C(error) stands in their place where the queue could not be read. Names of downloads are never returned.
  type: dict
  returned: success
  sample: {qbittorrent: {active: 2, speed_bytes: 5300000, stalled: 1, total: 4, failed: 0}}
backup:
  description:
    - How it stands with the backups, with O(apps). C(taken) and C(age_hours) of the newest one of everything, C(count)
      of those that are kept, C(ok) and C(why) of the last attempt, C(copied) whether it is at
      C(mediastack_backup_target), C(same_disk) as the configuration, C(drill_when) and C(drill_ok) of the last restore
      drill. What is not known is left out.
  type: dict
  returned: success
  sample: {path: /srv/mediastack/backups, count: 7, age_hours: 2.5, max_age_hours: 50, ok: true, copied: true}
pull:
  description:
    - What the last run of pull mode came to, with O(pull_path). C(ok), C(result), C(text) for people, C(ended), and the
      commits C(wanted) and C(live). Empty where the host is not in pull mode.
  type: dict
  returned: success
  sample: {ok: true, result: good, text: "pull: commit 1a2b3c4d5e6f live since 2026-11-23T10:00:00Z"}
holds:
  description:
    - What somebody stopped or started by hand on this host and the inventory has no say in until then, by name; V(vpn)
      is the VPN itself. The messages of RV(services) tell of it too.
  type: dict
  returned: success
  sample:
    sonarr: {verb: stop, who: anna@laptop, when: "2026-11-22T20:39:03+00:00", why: stop service=sonarr}
holds_unreadable:
  description: Why RV(holds) could not be read; V(null) when they could.
  type: str
  returned: success
diff:
  description: Always empty.
  type: dict
  returned: success
vpn:
  description:
    - The VPN. C(enabled), C(services) and C(provider) are the inventory's, of a task that was not given everything.
    - With O(apps) and gluetun among the services also C(connected) (V(null) when it cannot be told), C(status),
      C(public_ip) and place (C(country), C(region), C(city), C(organization)) of its exit, C(forwarded_ports),
      C(dns_status), C(vpn_type), C(version), and C(message) when it is not connected.
  type: dict
  returned: success
  sample:
    enabled: true
    services: [qbittorrent, sabnzbd]
    provider: mullvad
    connected: true
    status: running
    public_ip: 193.32.126.66
    country: Switzerland
    forwarded_ports: []
messages:
  description: Sentences for the user. Of a task that was not given O(services).
  type: list
  elements: str
  returned: when settings were read
  sample: ["VPN OFF: torrents use your own address"]
duration_ms:
  description: How long the module took.
  type: int
  returned: success
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    app_reads,
    backup_facts,
    disk_health,
    health_model,
    health_sweep,
    pull_facts,
)

NO_SERVICE = (
    "no service is selected, so nothing was looked at, which is not the same as healthy: select some with "
    "mediastack_profiles or mediastack_services"
)
SERVICE_OPTIONS = {
    "name": {"type": "str", "required": True},
    "title": {"type": "str"},
    "container": {"type": "str"},
    "image": {"type": "str"},
    "health": {"type": "dict"},
    "holder": {"type": "str"},
    "ports": {"type": "list", "elements": "dict"},
    "url": {"type": "str"},
    "app": {"type": "dict"},
}


def main():
    """Arguments in, one look (or more, with `wait`), result model out."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "options": SERVICE_OPTIONS},
            "project_name": {"type": "str"},
            "project_path": {"type": "path"},
            "paths": {"type": "dict", "default": {}},
            "timeout": {"type": "float", "default": 10},
            "grace": {"type": "float", "default": 60},
            "wait": {"type": "float", "default": 0},
            "host": {"type": "str", "default": "localhost"},
            "apps": {"type": "bool", "default": False},
            "pull_path": {"type": "path"},
            "secrets": {"type": "json", "no_log": True},
            "disk_warn_percent": {"type": "float"},
            "disk_critical_percent": {"type": "float"},
        },
        required_together=[("disk_warn_percent", "disk_critical_percent")],
        supports_check_mode=True,
    )
    given = module.params
    if given["services"] is None:
        module.fail_json(msg="services is not given: name those to look at")
    for name in ("project_name", "project_path"):
        if not given[name]:
            module.fail_json(msg="%s is not given: with services, name the Compose project that they belong to" % name)
    if given["timeout"] <= 0:
        module.fail_json(msg="timeout is %g: it must be more than 0 seconds" % given["timeout"])
    for name in ("grace", "wait"):
        if given[name] < 0:
            module.fail_json(msg="%s is %g: it must be 0 seconds or more" % (name, given[name]))
    module.exit_json(**look(module, given))


def look(module, given):
    """The result: services with what their apps say, disks, VPN and queues."""
    apps = None
    if given["apps"]:
        try:
            apps = app_reads.AppReads(given["project_path"], app_reads.specs_of(given["secrets"]))
        except ValueError as error:
            module.fail_json(msg="secrets cannot be read: %s" % error)
    result = health_sweep.result(
        given["services"],
        given["host"],
        given["project_name"],
        given["project_path"],
        given["paths"],
        given["timeout"],
        given["grace"],
        given["wait"],
        apps,
    )
    if not result["services"]:
        nothing = {"name": "(host)", "title": ""}
        result["services"] = [health_model.row(nothing, given["host"], health_model.UNKNOWN, NO_SERVICE)]
    if given["disk_warn_percent"] is not None:
        thresholds = given["disk_warn_percent"], given["disk_critical_percent"]
        result["services"] += disk_health.rows(result["disks"], given["host"], *thresholds)
        result["healthy"] = health_model.is_healthy(result["services"])
    backup = backup_facts.read(given["project_path"]) if apps else {}
    more = {"backup": backup, "pull": pull_facts.read(given["pull_path"] or "")}
    return dict(result, vpn=apps.vpn if apps else {}, queues=apps.queues if apps else {}, **more)


if __name__ == "__main__":
    main()
