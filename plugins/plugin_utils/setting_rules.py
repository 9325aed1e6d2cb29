# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules for the value of one setting, beyond its type. Paths and the VPN have rules of their own."""

from __future__ import annotations

import functools
import ipaddress
import re
import zoneinfo

from . import envfile, ingress_rules, override_rules
from .change_rules import ChangeRules
from .closest import hint
from .ingress_rules import IngressRules
from .notify_rules import NotifyRules
from .setting_types import CastError, number_as_text, shown, to_bool, to_number, to_text
from .sso_rules import SsoRules

MIN_COMPOSE = (2, 20, 3)
_DAY = 86400
# Threads count: an app at rest has some fifty of them. The kernel counts no further than the other end.
_FEWEST_PROCESSES, _MOST_PROCESSES = 100, 2**22
_LEAST_MEMORY = 32
# Of an IPv6 address: the name of an interface. Python takes any text.
_ZONE = re.compile(r"[A-Za-z0-9_.-]{0,15}")
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
IMAGE = re.compile(
    rf"(?:{_NAME}(?::[0-9]+)?/)?[a-z0-9]+(?:(?:\.|_{{1,2}}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{{1,2}}|-+)[a-z0-9]+)*)*"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


class Rules(ChangeRules, IngressRules, NotifyRules, SsoRules):
    """Checks of single settings, one method a setting: value and problems to add to in, the value to use out.

    Parameters:
        known: a function that returns `catalogue.Names`; `None`, from it or for it, leaves names unchecked.
    """

    def __init__(self, known):
        self.known = known or (lambda: None)
        self.warnings = []

    def check(self, name, value, errors):
        """Check one setting (name without prefix); returns the value to use."""
        rule = getattr(self, f"_check_{name}", None)
        if rule is not None:
            return rule(value, errors)
        if name.endswith("_timeout"):
            return _between(value, 1, _DAY, errors, "seconds")
        if name.endswith("_percent"):
            return _between(value, 1, 100, errors, "percent")
        self.in_range(name, value, errors)
        return value

    # -- who and where -----------------------------------------------------------------------------------------------

    def _check_timezone(self, value, errors):
        if not value or value.startswith(("/", ".")) or not _is_timezone(value):
            zones = _zones()
            if not zones:  # a controller without the tz database cannot say; the host can
                return value
            found = zones.get(value.lower())
            advice = f"Did you mean {found}?" if found else _zone_hint(value, zones)
            errors.append(f"{shown(value)} is not a time zone of the tz database. {advice}")
        return value

    def _check_puid(self, value, errors):
        if value == 0:
            self.warnings.append("mediastack_puid: 0 runs the apps as root. Give them a user of their own.")
        return _between(value, 0, 2**31 - 1, errors, "a user id")

    def _check_pgid(self, value, errors):
        return _between(value, 0, 2**31 - 1, errors, "a group id")

    def _check_umask(self, value, errors):
        if not re.fullmatch(r"0?[0-7]{3}", value):
            errors.append(f'{shown(value)} is not a umask: three octal digits in quotes, such as "002".')
        elif value[-3] != "0":
            errors.append(f'{shown(value)} would lock the apps out of their own files. Take "002" or "022".')
        return value

    # -- what runs ---------------------------------------------------------------------------------------------------

    def _check_profiles(self, value, errors):
        for profile in value:
            if profile == "always":
                errors.append('"always" is not chosen: its services run in any case. Remove it.')
            else:
                self._refer(profile, "profiles", "a profile", errors)
        return value

    def _check_services(self, value, errors):
        result = {}
        for app, on in value.items():
            self._refer(app, "apps", "a service", errors)
            try:
                result[app] = to_bool(on)
            except CastError as error:
                errors.append(f"{app}: {error}.")
        return result

    def _check_ports(self, value, errors):
        result, owners = {}, {}
        for service, given in value.items():
            self._refer(service, "services", "a service", errors)
            named = given if isinstance(given, dict) else {"": given}
            checked = {}
            for name, port in named.items():
                self._port_name(service, name, errors)
                label = f"{service}.{name}" if name else service
                try:
                    port = to_number(port)
                except CastError as error:
                    errors.append(f"{label}: {error}. A port is a number from 1 to 65535.")
                    continue
                if not 1 <= port <= 65535:
                    errors.append(f"{label}: {port} is not a port from 1 to 65535.")
                elif port in owners:
                    errors.append(f"{label}: {port} is given to {owners[port]} already. Choose another.")
                owners.setdefault(port, label)
                checked[name] = port
            result[service] = checked if isinstance(given, dict) else checked.get("")
        return result

    def _port_name(self, service, name, errors):
        known = self.known()
        ports = known.ports.get(service) if known else None
        if name and ports is not None and name not in ports:
            errors.append(f"{service}.{name}: {service} has no such port. {hint(str(name), ports)}")

    def _check_images(self, value, errors):
        for service, image in value.items():
            self._refer(service, "services", "a service", errors)
            match = IMAGE.fullmatch(image) if isinstance(image, str) else None
            if match is None:
                errors.append(f"{service}: {shown(image)} is not an image with a tag, such as ghcr.io/owner/app:1.2.3.")
            elif not match["tag"] and not match["digest"]:
                errors.append(f"{service}: {shown(image)} has neither tag nor digest. Write {image}:<version>.")
            elif match["tag"] == "latest" and not match["digest"]:
                self.warnings.append(
                    f"mediastack_images: {service}: {image} is another image every day. Write a version."
                )
        return value

    def _check_overrides(self, value, errors):
        result = dict(value)
        for service, keys in value.items():
            self._refer(service, "services", "a service", errors)
            if not isinstance(keys, dict):
                errors.append(f"{service}: {shown(keys)} is not a map of Compose keys.")
            elif "x-mediastack" in keys:
                errors.append(
                    f"{service}: x-mediastack is not a Compose key. Put it in a service file of your own (services/)."
                )
            else:
                found = override_rules.problems(service, keys)
                errors += found
                result[service] = keys if found else override_rules.as_texts(keys)
        return result

    def _check_pids_limit(self, value, errors):
        if value and not _FEWEST_PROCESSES <= value <= _MOST_PROCESSES:
            errors.append(
                f"{value} is not a number of processes from {_FEWEST_PROCESSES} to {_MOST_PROCESSES}. 0 is no limit."
            )
        return value

    def _check_memory_limits(self, value, errors):
        for service, limit in value.items():
            self._refer(service, "services", "a service", errors)
            match = re.fullmatch(r"([1-9][0-9]{0,6})([mg])", limit) if isinstance(limit, str) else None
            if match is None:
                errors.append(f"{service}: {shown(limit)} is not a size such as 512m or 2g.")
            elif match[2] == "m" and int(match[1]) < _LEAST_MEMORY:
                errors.append(
                    f"{service}: {limit} is less than {_LEAST_MEMORY}m: no app starts with that. Write more, as 512m."
                )
        return value

    def _check_env(self, value, errors):
        result = {}
        for name, text in value.items():
            try:
                envfile.check_name(name)
            except envfile.EnvError as error:
                errors.append(f"{error}.")
                continue
            try:
                result[name] = number_as_text(text) or to_text(text, secret=True)
                envfile.quote(result[name])
            except (CastError, envfile.EnvError) as error:
                errors.append(f"{name}: {error}.")
        return result

    def _check_secrets(self, value, errors):
        result = {}
        for name, secret in value.items():
            if name in ingress_rules.CERTIFICATES:
                errors.append(f"{name}: {ingress_rules.CERTIFICATES[name]}")
                continue
            self._refer(name, "secrets", "a secret of any service", errors)
            try:
                result[name] = to_text(secret, secret=True)
            except CastError as error:
                errors.append(f"{name}: {error}.")
                continue
            if not result[name] or not result[name].isprintable():
                errors.append(f"{name}: the value (not shown) is empty or holds a character that cannot be printed.")
            elif {"'", '"'} <= set(result[name]) and {result[name][0], result[name][-1]} & {"'", '"'}:
                errors.append(f"{name}: the value (not shown) has ' and \", one of them at an end: no INI file can.")
        return result

    def _check_project_name(self, value, errors):
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", value):
            errors.append(
                f"{shown(value)} is not a Compose project name: lower-case letters, digits, - and _ only, 63 at most."
            )
        return value

    def _check_container_prefix(self, value, errors):
        if value and not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,30}", value):
            errors.append(f"{shown(value)} cannot begin a container's name: lower-case letters, digits and _ . - only.")
        return value

    # -- who gets in -------------------------------------------------------------------------------------------------

    def _check_bind_addresses(self, value, errors):
        addresses = []
        for text in value:
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                errors.append(f"{shown(text)} is not an IP address of the host. Write one such as 192.168.1.10.")
                continue
            if "%" in text:
                errors.append(f"{shown(text)} has a zone (%), which Docker cannot publish on. Write another address.")
            if address.is_multicast:
                errors.append(f"{text} is a multicast address. Write an address of the host.")
            addresses.append(address)
        for every in (address for address in addresses if address.is_unspecified):
            covered = [str(address) for address in addresses if address != every and address.version == every.version]
            if covered:
                errors.append(
                    f"{every} is every address, and {', '.join(covered)} is one of them. Keep one of the two."
                )
        return [str(address) for address in addresses]

    def _check_open_uis(self, value, errors):
        for service in value:
            self._refer(service, "services", "a service", errors)
        return value

    def _check_admin_user(self, value, errors):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}", value):
            errors.append(f"{shown(value)} is not a user name: letters, digits and . _ @ - only.")
        return value

    def _check_network_subnet(self, value, errors):
        if value:
            try:
                network = ipaddress.IPv4Network(value)
            except ValueError as error:
                reason = f" ({error})" if len(value) < 50 else ""
                errors.append(f"{shown(value)} is not an IPv4 network such as 172.28.0.0/24{reason}.")
                return value
            if not network.is_private or not 8 <= network.prefixlen <= 26:
                errors.append(f"{value} must be a private network of /8 to /26: every service needs an address.")
        return value

    def _check_plex_claim(self, value, errors):
        if value and not re.fullmatch(r"claim-[A-Za-z0-9_-]+", value):
            errors.append(
                "the value (not shown) is not a claim token: it begins with claim-. Get one from https://plex.tv/claim."
            )
        return value

    # -- VPN: what is not gluetun's to judge -------------------------------------------------------------------------

    def _check_vpn_services(self, value, errors):
        for service in value:
            if service == "gluetun":
                errors.append('"gluetun" is the VPN itself. Remove it.')
            else:
                self._refer(service, "services", "a service", errors)
        return value

    def _check_vpn_torrent_port(self, value, errors):
        return _between(value, 1024, 65535, errors, "a port that the torrent client can open")

    def _check_vpn_control_port(self, value, errors):
        return _between(value, 1, 65535, errors, "a port")

    def _check_leak_test_ip_echo(self, value, errors):
        if not re.fullmatch(r"https?://[^\s/@'\"]+(/[^\s'\"]*)?", value):
            errors.append(f"{shown(value)} is not a URL such as https://ipinfo.io/ip.")
        return value

    def _check_leak_test_tracker(self, value, errors):
        if value and not re.fullmatch(r"udp://[^\s/:@]+:[0-9]{1,5}(/\S*)?", value):
            errors.append(f"{shown(value)} is not a UDP tracker such as udp://tracker.example:1337.")
        return value

    def _check_leak_test_public_dns(self, value, errors):
        return _addresses(value, errors)

    def _check_leak_test_resolvers(self, value, errors):
        return _addresses(value, errors)

    # -- running -----------------------------------------------------------------------------------------------------

    def _check_log_max_size(self, value, errors):
        if not re.fullmatch(r"[1-9][0-9]*[kmg]", value):
            errors.append(f"{shown(value)} is not a size such as 500k, 10m or 1g.")
        return value

    def _check_healthcheck_interval(self, value, errors):
        return _between(value, 0, 3600, errors, "seconds")

    def _check_log_max_file(self, value, errors):
        return _between(value, 1, 1000, errors, "a number of files")

    def _check_engine_compose_version(self, value, errors):
        match = re.fullmatch(r"([0-9]+)\.([0-9]+)\.([0-9]+)", value)
        if not match or tuple(map(int, match.groups())) < MIN_COMPOSE:
            least = ".".join(map(str, MIN_COMPOSE))
            errors.append(f"{shown(value)} is not a version of Docker Compose from {least} on, such as 2.40.3.")
        return value

    def _refer(self, name, kind, title, errors):
        """Check that a name is in the catalogue; a retired app still selects its successor."""
        known = self.known()
        if known is None:
            return
        names = set(getattr(known, kind))
        successor = known.replaces.get(name)
        if name in names or (successor and kind == "apps"):
            return
        advice = f"{name} became {successor}: write that." if successor else hint(name, names)
        errors.append(f"{shown(name)} is not {title}. {advice}")


def _between(value, least, most, errors, meaning):
    if not least <= value <= most:
        errors.append(f"{value} is not {meaning} from {least} to {most}.")
    return value


def _addresses(value, errors):
    for address in value:
        try:
            if not _ZONE.fullmatch(str(getattr(ipaddress.ip_address(address), "scope_id", None) or "")):
                raise ValueError(address)
        except ValueError:
            errors.append(f"{shown(address)} is not an IP address such as 192.168.1.1.")
    return value


@functools.cache
def _zones():
    """All zones, by their name in lower case."""
    return {zone.lower(): zone for zone in zoneinfo.available_timezones()}


def _is_timezone(name):
    try:
        return bool(zoneinfo.ZoneInfo(name))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _zone_hint(name, zones):
    # Cities are what people remember: "Berlin" is near to nothing but "Europe/Berlin"'s last part.
    city = name.lower().replace(" ", "_").rpartition("/")[2]
    found = sorted(zone for zone in zones.values() if zone.lower().rpartition("/")[2] == city)
    return f"Did you mean {found[0]}?" if found else hint(name, list(zones.values()), "Names look like Europe/Berlin.")
