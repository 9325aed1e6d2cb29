# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Docker Engine refuses of one container although `docker compose config` lets it pass.

Every rule here was held against a real engine (20.10.24 with Compose 2.40.3), and a test does so again. Only what the
text itself decides is judged: not the host's devices, files or number of processors.
"""

from __future__ import annotations

import ipaddress
import re

from .closest import closest, hint
from .lint_model import ERROR, WARNING, Finding, literal, mounts, parent_of, strings
from .lint_words import CAPABILITIES, LOG_DRIVERS, LOG_OPTIONS, SIGNALS, TMPFS, ULIMITS
from .setting_rules import IMAGE

_CONTAINER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[bkmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_LEAST_MEMORY = 6 * 2**20
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h|d|w))+")
_TOO_SHORT = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs))+|0\.[0-9]+ms")
_RESTART = ("no", "always", "unless-stopped", "on-failure")
_SECURITY = ("apparmor", "label", "no-new-privileges", "seccomp", "systempaths")
_MAC = re.compile(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}|(?:[0-9a-fA-F]{2}-){5}[0-9a-fA-F]{2}")
_LONGEST_HOSTNAME = 64
_OWN_SYSCTLS = ("net.", "fs.mqueue.", "kernel.msg", "kernel.sem", "kernel.shm", "kernel.domainname", "kernel.hostname")
_DEVICE_RULE = re.compile(r"[acb] (?:[0-9]+|\*):(?:[0-9]+|\*) [rwm]{1,3}")
_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
# In another container's network namespace there is nothing of one's own to say these about.
_NOT_WHEN_JOINED = {
    "ports": "publish the port on {parent}",
    "expose": "remove it: every port is open inside the shared namespace anyway",
    "hostname": "remove it, or set it for {parent}",
    "dns": "set it for {parent}",
    "extra_hosts": "set it for {parent}",
    "mac_address": "remove it, or set it for {parent}",
    "links": "remove it: names of services resolve without",
    "networks": "connect {parent} to the network instead",
}


def check(name, definition):
    """The findings of one service's definition."""
    found = []
    for rule in _RULES:
        found += [Finding(level, name, *rest) for level, *rest in rule(definition)]
    return found


def _network_mode(definition):
    mode = literal(definition.get("network_mode")) or ""
    if parent_of(definition) is not None or mode.startswith("container:"):
        parent = mode.partition(":")[2]
        for key, remedy in _NOT_WHEN_JOINED.items():
            if definition.get(key):
                message = f"cannot be set: with network_mode {mode} it has no network of its own"
                yield ERROR, key, message, remedy.format(parent=parent)
    elif mode == "host":
        for key in ("mac_address", "links", "networks"):
            if definition.get(key):
                yield ERROR, key, "cannot be set with network_mode host", "remove it"
        for option in _names(definition.get("sysctls")):
            if option.startswith("net."):
                yield ERROR, f"sysctls.{option}", "cannot be set with network_mode host", "set it on the host itself"
        if definition.get("ports"):
            yield WARNING, "ports", "has no effect with network_mode host: what it listens on is open", "remove it"
    elif mode and definition.get("networks"):
        yield ERROR, "networks", f"cannot be set with network_mode {mode}", "remove one of the two"


def _names(value):
    entries = value if isinstance(value, list) else list(value or {})
    return [str(entry).partition("=")[0] for entry in entries]


def _identity(definition):
    container = literal(definition.get("container_name"))
    if container is not None and not _CONTAINER_NAME.fullmatch(container):
        message = f"{container!r} is not a name: two or more letters, digits, _ . -, beginning with a letter or digit"
        yield ERROR, "container_name", message, "choose another"
    if not definition.get("image"):
        yield ERROR, "image", "is missing", "name an image with its version"
        return
    image = literal(definition["image"])
    if image is None:
        return
    match = IMAGE.fullmatch(image)
    if match is None:
        yield ERROR, "image", f"{image!r} is not an image reference", "write one such as ghcr.io/owner/app:1.2.3"
    elif not match["digest"] and match["tag"] in (None, "latest"):
        yield WARNING, "image", f"{image} is another image every day", "write a version"


def _restart(definition):
    restart = literal(definition.get("restart"))
    if restart is None:
        return
    policy, colon, count = restart.partition(":")
    if policy not in _RESTART:
        yield ERROR, "restart", f"{restart!r} is not a restart policy", hint(policy, _RESTART)
    elif colon and policy != "on-failure":
        yield ERROR, "restart", f"{policy} takes no count, and {restart!r} has one", f"write {policy}"
    elif colon and not count.isdigit():
        yield WARNING, "restart", f"{count!r} is not a number of tries and has no effect", "write on-failure:3"


def _rights(definition):
    for option in strings(definition.get("security_opt")):
        key, _sign, value = option.replace("=", ":", 1).partition(":")
        if key not in _SECURITY:
            yield ERROR, "security_opt", f"{option!r} is not an option of the engine", hint(key, _SECURITY)
        elif key == "no-new-privileges" and value not in ("", "true", "false"):
            yield ERROR, "security_opt", f"{option!r}: {value!r} is neither true nor false", "write true or false"
    for key in ("cap_add", "cap_drop"):
        for name in strings(definition.get(key)):
            bare = name.upper().removeprefix("CAP_")
            if bare not in CAPABILITIES:
                near = closest(bare, CAPABILITIES)
                remedy = f"Did you mean {near}?" if near else "man 7 capabilities lists them"
                yield ERROR, key, f"{name!r} is not a capability", remedy
    signal = literal(definition.get("stop_signal"))
    if signal is not None and not signal.isdigit():
        bare = signal.upper().removeprefix("SIG")
        if bare not in SIGNALS and not bare.startswith("RTM"):
            yield ERROR, "stop_signal", f"{signal!r} is not a signal", "write one such as SIGTERM"


def size(value):
    """Bytes of a Compose size such as `512m`; None when it is not known here."""
    match = _SIZE.fullmatch((literal(value) or "").strip())
    return int(float(match["number"]) * _UNITS[match["unit"].lower()]) if match else None


def _memory(definition):
    resources = (definition.get("deploy") or {}).get("resources") or {}
    limit = size(definition.get("mem_limit", (resources.get("limits") or {}).get("memory")))
    reserved = size(definition.get("mem_reservation", (resources.get("reservations") or {}).get("memory")))
    swap = size(definition.get("memswap_limit"))
    if limit and limit < _LEAST_MEMORY:
        yield ERROR, "mem_limit", f"{definition.get('mem_limit', 'the limit')} is less than 6 MB", "raise it"
    if limit and reserved and reserved > limit:
        yield ERROR, "mem_reservation", "is more than mem_limit", "lower it, or raise mem_limit"
    if swap and not limit:
        yield ERROR, "memswap_limit", "needs mem_limit", "set both, or neither"
    elif swap and swap < limit:
        yield ERROR, "memswap_limit", "is less than mem_limit", "it counts memory and swap together: raise it"


def _ulimits(definition):
    for name, value in (definition.get("ulimits") or {}).items():
        if name not in ULIMITS:
            yield ERROR, f"ulimits.{name}", "is not a limit of the system", hint(str(name), ULIMITS)
        elif isinstance(value, dict):
            soft, hard = value.get("soft"), value.get("hard")
            if isinstance(soft, int) and isinstance(hard, int) and (soft > hard >= 0 or soft < 0 <= hard):
                yield ERROR, f"ulimits.{name}", f"the soft limit {soft} is above the hard one, {hard}", "raise hard"


def _healthcheck(definition):
    healthcheck = definition.get("healthcheck")
    if healthcheck is not None and not isinstance(healthcheck, dict):
        yield ERROR, "healthcheck", "must be a map", "write test: and interval: in it"
        return
    for key in ("interval", "timeout", "start_period", "start_interval"):
        value = literal((healthcheck or {}).get(key))
        if value is None:
            continue
        if value != "0" and not _DURATION.fullmatch(value):
            yield ERROR, f"healthcheck.{key}", f"{value!r} is not a duration", "write one such as 30s or 1m30s"
        elif _TOO_SHORT.fullmatch(value):
            yield ERROR, f"healthcheck.{key}", f"{value} is less than 1 ms", "write one such as 30s"
        elif key == "start_interval":
            message = "needs Docker Engine 25; an older one refuses the container"
            yield WARNING, f"healthcheck.{key}", message, "leave it out unless every host has Engine 25"


def _logging(definition):
    logging = definition.get("logging") or {}
    driver = literal(logging.get("driver"))
    if driver is not None and driver not in LOG_DRIVERS and ":" not in driver and "/" not in driver:
        yield ERROR, "logging.driver", f"{driver!r} is not a log driver", hint(driver, LOG_DRIVERS)
    if driver not in (None, "json-file"):
        return
    for option, value in (logging.get("options") or {}).items():
        if option not in LOG_OPTIONS:
            yield ERROR, f"logging.options.{option}", "is not an option of json-file", hint(option, LOG_OPTIONS)
        elif option == "max-size" and literal(value) not in (None, "-1") and not size(value):
            yield ERROR, "logging.options.max-size", f"{value!r} is not a size", "write one such as 10m"
        elif option == "max-file" and literal(value) is not None and not re.fullmatch(r"0*[1-9][0-9]*", str(value)):
            yield ERROR, "logging.options.max-file", f"{value!r} is not a number from 1", "write one such as 3"


def _mount_points(definition):
    seen = {}
    for mount in mounts(definition):
        target = literal(mount.target.replace("$", "$$")) if mount.target else ""
        if not target:
            continue
        if not target.startswith("/"):
            yield ERROR, "volumes", f"{target} in the container is not an absolute path", f"write /{target}"
        elif not target.strip("/"):
            yield ERROR, "volumes", "/ in the container cannot be mounted over", "mount a directory in it"
        target = "/" + target.strip("/")
        other = seen.setdefault(target, mount)
        if other is not mount and "tmpfs" in (other.kind, mount.kind) and other.kind != mount.kind:
            yield ERROR, "volumes", f"{target} is mounted twice, once by tmpfs", "keep one of the two"
        elif other is not mount and other != mount:
            message = f"{target} is mounted twice: {other.source or other.kind} is lost to {mount.source or mount.kind}"
            yield WARNING, "volumes", message, "keep one of the two"
    for entry in definition.get("volumes") or []:
        propagation = literal((entry.get("bind") or {}).get("propagation")) if isinstance(entry, dict) else None
        if propagation is not None and propagation not in _PROPAGATION:
            yield ERROR, "volumes", f"{propagation!r} is not a bind propagation", hint(propagation, _PROPAGATION)


def _tmpfs(definition):
    for entry in strings(definition.get("tmpfs")):
        for option in entry.partition(":")[2].split(","):
            name = option.partition("=")[0]
            if name and name not in TMPFS:
                yield ERROR, "tmpfs", f"{option!r} is not an option of tmpfs", hint(name, TMPFS)


def _addresses(definition):
    mac = literal(definition.get("mac_address"))
    if mac is not None and not _MAC.fullmatch(mac):
        yield ERROR, "mac_address", f"{mac!r} is not a MAC address", "write one such as 02:42:ac:11:00:02"
    hostname = literal(definition.get("hostname"))
    if hostname is not None and len(hostname) > _LONGEST_HOSTNAME:
        yield ERROR, "hostname", f"has {len(hostname)} letters, and {_LONGEST_HOSTNAME} are the most", "shorten it"
    if hostname and literal(definition.get("uts")) == "host":
        yield ERROR, "hostname", "cannot be set with uts host", "remove one of the two"
    hosts = definition.get("extra_hosts") or []
    if isinstance(hosts, dict):
        pairs = [(host, address) for host, value in hosts.items() for address in strings(value)]
    else:
        pairs = [re.split("[:=]", entry, maxsplit=1) for entry in strings(hosts) if re.search("[:=]", entry)]
    for host, address in pairs:
        if address != "host-gateway" and not _is_address(address.strip("[]")):
            message = f"{address!r} is not an address"
            yield ERROR, f"extra_hosts.{host}", message, "write an IP address, or host-gateway"


def _is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _process(definition):
    directory = literal(definition.get("working_dir"))
    if directory is not None and not directory.startswith("/"):
        yield ERROR, "working_dir", f"{directory!r} is not an absolute path", f"write /{directory}"
    for name in _names(definition.get("environment")):
        if not name:
            yield ERROR, "environment", "an entry has no name", "write NAME=value"
    for option in _names(definition.get("sysctls")):
        if not option.startswith(_OWN_SYSCTLS):
            message = "belongs to the whole host, not to a container"
            yield ERROR, f"sysctls.{option}", message, "set it on the host, in /etc/sysctl.d"
    for rule in strings(definition.get("device_cgroup_rules")):
        if not _DEVICE_RULE.fullmatch(rule):
            yield ERROR, "device_cgroup_rules", f"{rule!r} is not a rule", "write one such as c 188:* rwm"


def _processors(definition):
    period = literal(definition.get("cpu_period"))
    if period is not None and period.isdigit() and int(period) and not 1000 <= int(period) <= 1000000:
        yield ERROR, "cpu_period", f"{period} is not from 1000 to 1000000 microseconds", "use cpus instead"
    if definition.get("cpus") and (definition.get("cpu_quota") or definition.get("cpu_period")):
        yield ERROR, "cpus", "cannot be set together with cpu_quota or cpu_period", "keep cpus alone"
    cpuset = literal(definition.get("cpuset"))
    if cpuset and not re.fullmatch(r"[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*", cpuset):
        yield ERROR, "cpuset", f"{cpuset!r} is not a list of processors", "write one such as 0-1 or 0,2"


_RULES = (
    _network_mode,
    _identity,
    _restart,
    _rights,
    _memory,
    _ulimits,
    _healthcheck,
    _logging,
    _mount_points,
    _tmpfs,
    _addresses,
    _process,
    _processors,
)
