# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mutations of a small Compose project, for the stack linter and for a real engine: both must come to the same verdict.

`SERVICES` are keys of one service each: name → (keys, whether the engine refuses it). `PROJECTS` change the whole
document: name → (function, whether it is refused).
"""

from __future__ import annotations

import copy

IMAGE = "mscf3-box:1"
PROJECT = "mscf3-lint"
PORT = 26500
_PLAIN = {"image": IMAGE, "command": ["sleep", "1000"], "init": True, "stop_grace_period": "0s"}
_JOINED = {"network_mode": "service:vpn"}
_HOST = {"network_mode": "host"}
_DNS = {"dns": ["1.1.1.1"]}
_MAC = {"mac_address": "02:42:ac:11:00:02"}


def _publish(number, target=80, address="127.0.0.1"):
    return {"ports": [f"{address}:{number}:{target}"]}


def _test(**more):
    return {"healthcheck": {"test": ["CMD", "true"], **more}}


def _log(driver="json-file", **options):
    return {"logging": {"driver": driver, "options": options}}


# What `docker compose config` lets pass.
SERVICES = {
    "plain": ({}, False),
    "joined": (_JOINED, False),
    "joined-ports": ({**_JOINED, **_publish(PORT + 1)}, True),
    "joined-expose": ({**_JOINED, "expose": ["80"]}, True),
    "joined-hostname": ({**_JOINED, "hostname": "h"}, True),
    "joined-domainname": ({**_JOINED, "domainname": "d.example"}, False),
    "joined-dns": ({**_JOINED, **_DNS}, True),
    "joined-extra-hosts": ({**_JOINED, "extra_hosts": ["a:1.2.3.4"]}, True),
    "joined-mac": ({**_JOINED, **_MAC}, True),
    "joined-links": ({**_JOINED, "links": ["vpn"]}, True),
    "joined-sysctls": ({**_JOINED, "sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"}}, False),
    "host-ports": ({**_HOST, **_publish(PORT + 2)}, False),
    "host-hostname": ({**_HOST, "hostname": "h"}, False),
    "host-mac": ({**_HOST, **_MAC}, True),
    "host-links": ({**_HOST, "links": ["vpn"]}, True),
    "host-sysctls": ({**_HOST, "sysctls": {"net.ipv4.ip_forward": "1"}}, True),
    "none-ports": ({"network_mode": "none", **_publish(PORT + 3)}, False),
    "mode": ({"network_mode": "nosuch"}, True),
    "ipc": ({"ipc": "service:vpn"}, True),
    "ipc-word": ({"ipc": "nonsense"}, True),
    "published": ({"ports": [{"target": 80, "published": "70000"}]}, True),
    "target": ({"ports": [{"target": 70000, "published": str(PORT + 4)}]}, True),
    "protocol": ({"ports": [{"target": 80, "published": str(PORT + 5), "protocol": "icmp"}]}, True),
    "port-twice": ({"ports": [f"127.0.0.1:{PORT + 6}:81", f"127.0.0.1:{PORT + 6}:82"]}, True),
    "container-name": ({"container_name": "mscf3 web"}, True),
    "restart": ({"restart": "sometimes"}, True),
    "restart-count": ({"restart": "always:3"}, True),
    "restart-failure": ({"restart": "on-failure:3"}, False),
    "security": ({"security_opt": ["nonsense:1"]}, True),
    "security-value": ({"security_opt": ["no-new-privileges:maybe"]}, True),
    "security-equals": ({"security_opt": ["no-new-privileges=true"]}, False),
    "capability": ({"cap_add": ["NET_ADMINN"]}, True),
    "capability-case": ({"cap_add": ["net_admin", "CAP_CHOWN"]}, False),
    "capability-drop": ({"cap_drop": ["NOPE"]}, True),
    "memory": ({"mem_limit": "1m"}, True),
    "memory-reserved": ({"mem_limit": "20m", "mem_reservation": "30m"}, True),
    "memory-swap": ({"mem_limit": "30m", "memswap_limit": "20m"}, True),
    "memory-swap-alone": ({"memswap_limit": "20m"}, True),
    "memory-well": ({"mem_limit": "30m", "mem_reservation": "20m"}, False),
    "image-case": ({"image": "Mscf3-Box:1"}, True),
    "image-blank": ({"image": "mscf3 box:1"}, True),
    "image-tags": ({"image": "mscf3-box:1:2"}, True),
    "image-no-tag": ({"image": "mscf3-box:"}, True),
    "image-digest": ({"image": "mscf3-box@sha256:123"}, True),
    "image-scheme": ({"image": "https://mscf3-box:1"}, True),
    "health-interval": (_test(interval="1us"), True),
    "health-well": (_test(interval="1m30s", timeout="500ms"), False),
    "log-driver": (_log("nosuch"), True),
    "log-option": (_log(maxsize="10m"), True),
    "log-size": (_log(**{"max-size": "ten"}), True),
    "log-files": (_log(**{"max-file": "0"}), True),
    "log-well": (_log(**{"max-size": "10m", "max-file": "3"}), False),
    "mount-relative": ({"volumes": ["/tmp:config"]}, True),
    "mount-root": ({"volumes": ["/tmp:/"]}, True),
    "mount-twice": ({"volumes": ["/tmp:/config", "/var:/config/"]}, False),
    "mount-propagation": (
        {"volumes": [{"type": "bind", "source": "/tmp", "target": "/x", "bind": {"propagation": "nonsense"}}]},
        True,
    ),
    "tmpfs-relative": ({"tmpfs": ["config"]}, True),
    "tmpfs-option": ({"tmpfs": ["/config:nonsense=1"]}, True),
    "tmpfs-well": ({"tmpfs": ["/config:ro,size=4k,mode=0555"]}, False),
    "ulimit": ({"ulimits": {"nofile": {"soft": 200, "hard": 100}}}, True),
    "ulimit-name": ({"ulimits": {"nofiles": 100}}, True),
    "ulimit-well": ({"ulimits": {"nofile": {"soft": 100, "hard": 200}}}, False),
    "signal": ({"stop_signal": "SIGFOO"}, True),
    "signal-well": ({"stop_signal": "SIGRTMIN+3"}, False),
    "mac": ({"mac_address": "nonsense"}, True),
    "hostname-long": ({"hostname": "a" * 70}, True),
    "hostname-uts": ({"hostname": "h", "uts": "host"}, True),
    "extra-hosts": ({"extra_hosts": ["a:b"]}, True),
    "extra-hosts-well": ({"extra_hosts": ["a:1.2.3.4", "b=::1", "c:host-gateway"]}, False),
    "directory": ({"working_dir": "relative"}, True),
    "sysctl": ({"sysctls": {"vm.swappiness": "1"}}, True),
    "sysctl-well": ({"sysctls": {"net.ipv4.ip_forward": "1"}}, False),
    "environment": ({"environment": ["=x"]}, True),
    "device-rule": ({"device_cgroup_rules": ["nonsense"]}, True),
    "cpu-period": ({"cpu_period": 1, "cpu_quota": 1}, True),
    "cpu-both": ({"cpu_quota": 5000, "cpus": 0.5}, True),
    "cpuset": ({"cpuset": "a"}, True),
}


def _web(**keys):
    def change(document):
        document["services"]["web"].update(keys)

    return change


def _address(web, vpn=None, subnet="10.199.7.0/24", **more):
    def change(document):
        document["networks"]["media"]["ipam"] = {"config": [{"subnet": subnet, **more}]}
        document["services"]["web"]["networks"] = {"media": {"ipv4_address": web} if web else {}}
        if vpn:
            document["services"]["vpn"]["networks"] = {"media": {"ipv4_address": vpn}}

    return change


def _overlap(document):
    document["networks"]["media"]["ipam"] = {"config": [{"subnet": "10.199.7.0/24"}]}
    document["networks"]["other"] = {"ipam": {"config": [{"subnet": "10.199.0.0/16"}]}}
    document["services"]["web"]["networks"] = ["media", "other"]


def _circle(document):
    document["services"]["web"]["depends_on"] = ["vpn"]
    document["services"]["vpn"]["depends_on"] = ["web"]


def _volume(name):
    def change(document):
        document["volumes"] = {"data": {"name": name}}
        document["services"]["web"]["volumes"] = ["data:/x"]

    return change


def _driver(document):
    document["networks"]["media"]["driver"] = "nosuch"


PROJECTS = {
    "well": (lambda document: None, False),
    "same host port": (_web(**_publish(PORT, 81)), True),
    "same host port on every address": (_web(ports=[f"{PORT}:81"]), True),
    "same host port in a range": (_web(ports=[f"127.0.0.1:{PORT}-{PORT + 2}:81-83"]), True),
    "same host port, other protocol": (_web(ports=[f"127.0.0.1:{PORT}:81/udp"]), False),
    "same host port, other address": (_web(**_publish(PORT, 81, "127.0.0.2")), False),
    "address": (_address("10.199.7.9"), False),
    "address outside": (_address("10.199.8.9"), True),
    "address twice": (_address("10.199.7.9", "10.199.7.9"), True),
    "address of the gateway": (_address("10.199.7.1"), True),
    "address that is none": (_address("10.199.7.x"), True),
    "address without a subnet": (_web(networks={"media": {"ipv4_address": "172.16.238.10"}}), True),
    "subnet that is none": (_address(None, subnet="10.199.7.0"), True),
    "gateway outside": (_address(None, gateway="10.199.8.1"), True),
    "overlapping subnets": (_overlap, True),
    "network driver": (_driver, True),
    "volume name": (_volume("mscf3 volume"), True),
    # Compose itself refuses these.
    "no such service to join": (_web(network_mode="service:nosuch", networks=None), True),
    "its own network": (_web(network_mode="service:web", networks=None), True),
    "network_mode and networks": (_web(network_mode="service:vpn"), True),
    "container name twice": (_web(container_name=f"{PROJECT}-vpn"), True),
    "unknown network": (_web(networks=["nosuch"]), True),
    "unknown volume": (_web(volumes=["data:/x"]), True),
    "unknown secret": (_web(secrets=["nosuch"]), True),
    "unknown config": (_web(configs=["nosuch"]), True),
    "unknown dependency": (_web(depends_on=["nosuch"]), True),
    "unknown link": (_web(links=["nosuch"]), True),
    "unknown condition": (_web(depends_on={"vpn": {"condition": "service_ready"}}), True),
    "circle": (_circle, True),
    "misspelt key": (_web(imagee="x"), True),
    "port that is none": (_web(ports=["x:80"]), True),
    "address of a port that is none": (_web(ports=["localhost:26501:80"]), True),
    "health test": (_web(healthcheck={"test": ["true"]}), True),
    "volume type": (_web(volumes=[{"type": "nonsense", "source": "/tmp", "target": "/x"}]), True),
    "bind without source": (_web(volumes=[{"type": "bind", "target": "/x"}]), True),
    "tmpfs on a volume": (_web(volumes=["/tmp:/x"], tmpfs=["/x"]), True),
}


def services_document():
    """One document with a service for each of `SERVICES`."""
    document = project_document(lambda _document: None)
    del document["services"]["web"]
    for name, (keys, _refused) in SERVICES.items():
        service = {**_PLAIN, **copy.deepcopy(keys)}
        if "network_mode" not in service:
            service["networks"] = ["media"]
        document["services"][name] = service
    return document


def project_document(change):
    """The document of `PROJECTS`, changed."""
    document = {
        "name": PROJECT,
        "services": {
            "vpn": {
                **_PLAIN,
                "networks": ["media"],
                "container_name": f"{PROJECT}-vpn",
                **_publish(PORT),
            },
            "web": {**_PLAIN, "networks": ["media"]},
        },
        "networks": {"media": {"name": f"{PROJECT}-media"}},
    }
    change(document)
    services = document["services"]
    for name, service in services.items():
        services[name] = {key: value for key, value in service.items() if value is not None}
    return document
