# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asking the apps themselves, with the stack's own keys, in the same sweep as the probes.

A container that runs and answers may still do nothing for anybody: no VPN, failing indexers, a queue that stands still,
a library that is not mounted. Each read is a job of `probes.sweep`; what cannot be read makes its row UNKNOWN.
"""

from __future__ import annotations

import functools
import json

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    app_reading,
    app_reads_deluge,
    app_reads_downloaders,
    app_reads_nzbget,
    app_reads_servarr,
    app_reads_vpn,
    forwarded_port,
    health_address,
    health_model,
    probes,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.app_http import AppHttp
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import SecretStore

HTTP_READERS = {
    "servarr": app_reads_servarr.read,
    "prowlarr": app_reads_servarr.read_prowlarr,
    "bazarr": app_reads_servarr.read_bazarr,
    "qbittorrent": app_reads_downloaders.read_qbittorrent,
    "transmission": app_reads_downloaders.read_transmission,
    "deluge": app_reads_deluge.read,
    "sabnzbd": app_reads_downloaders.read_sabnzbd,
    "nzbget": app_reads_nzbget.read,
}
"""`wiring.kind` → reader of (Access, AppHttp, Reading). The kinds stand in plugin_utils/app_access.py too."""

QUEUES = ("qbittorrent", "transmission", "deluge", "sabnzbd", "nzbget")
"""Kinds that have an entry in the result's `queues`."""

VPN_KIND = "gluetun"
KINDS = (VPN_KIND,) + tuple(sorted(HTTP_READERS))


class Keys:
    """The stack's keys of one host, read once and never changed."""

    def __init__(self, project_path, specs):
        """`specs`: secret → {value, adopt} as in the bundle; a store that cannot be read says so at the first use."""
        self._specs = specs
        self._store, self._trouble = None, ""
        try:
            self._store = SecretStore(project_path)
        except FileError as error:
            self._trouble = str(error)

    def value(self, name):
        """The value of a secret. Raises ProbeFailed with a remedy when there is none."""
        if self._trouble:
            what = "the stack's keys cannot be read: %s" % self._trouble
            raise probes.ProbeFailed(what, probes.INCONCLUSIVE)
        try:
            value = self._store.known(name, self._specs.get(name) or {})
        except FileError as error:
            raise probes.ProbeFailed(str(error), probes.INCONCLUSIVE) from None
        if not value:
            raise probes.ProbeFailed("the stack has no %s on this host: run site" % name, probes.INCONCLUSIVE)
        try:
            value.encode("utf-8")
        except UnicodeError:  # whose words would show the value
            raise probes.ProbeFailed("%s holds what no app can be sent" % name, probes.INCONCLUSIVE) from None
        return value

    def derived(self, name, value):
        """What stands in qBittorrent.conf for `value` of a secret, where that is kept; else None."""
        return self._store.derived(name, value) if self._store else None


class Access:
    """How one app is asked."""

    def __init__(self, service, container, keys, holder=None):
        """`service`: entry of the module's `services`, with `app`; `container`: its own; `keys`: a Keys; `holder`: the
        container whose network it uses, where that is another one.
        """
        self.spec = service["app"]
        self.name = service["name"]
        self.title = service.get("title") or service["name"]
        self.container = container
        self.holder = holder or container
        self._keys = keys

    @property
    def key_name(self):
        """The name of its API key among the secrets."""
        return self._named("key")

    def key(self):
        """Its API key. Raises ProbeFailed."""
        return self._keys.value(self.key_name)

    def username(self):
        """The user to log in as."""
        return str(self.spec.get("username") or "")

    def password(self):
        """Its password. Raises ProbeFailed."""
        return self._keys.value(self._named("password"))

    def derived(self, password):
        """See Keys.derived, of its password."""
        return self._keys.derived(self._named("password"), password)

    def refusal(self):
        """What to say when it does not take the key or password."""
        if self.spec.get("key"):
            words = "%s refused the stack's key %s: run site, which sets it, or give the key that it has"
            return (words + " in mediastack_secrets: {%s: …}") % (self.title, self.spec["key"], self.spec["key"])
        name = self.spec.get("password")
        return "%s refused the stack's password: give the one that it has in mediastack_secrets: {%s: …}" % (
            self.title,
            name,
        )

    def _named(self, what):
        name = self.spec.get(what)
        if not name:
            words = "its service file names no secret for its %s: login.password or wiring.api_key"
            raise probes.ProbeFailed(words % ("password" if what == "password" else "API key"), probes.INCONCLUSIVE)
        return name


class AppReads:
    """The reads of one sweep: jobs for `probes.sweep`, then their part in rows and result.

    Attributes:
        vpn: the result's `vpn`, empty without gluetun.
        queues: the result's `queues`.
    """

    def __init__(self, project_path, specs):
        """`project_path`: where the stack keeps its secrets; `specs`: see Keys."""
        self._keys = Keys(project_path, specs)
        self._readings, self._kinds, self._where, self._accesses, self._behind = {}, {}, {}, {}, {}
        self.vpn, self.queues = {}, {}

    def jobs(self, seen):
        """`{key: (what, probe)}` of the apps that can be asked.

        `seen`: pairs of a service and its health_sweep.Examined.
        """
        self._readings, self._kinds, self._where, self._accesses, self._behind = {}, {}, {}, {}, {}
        found = {}
        for service, examined in seen:
            kind = (service.get("app") or {}).get("kind")
            if examined.holder:
                self._behind.setdefault(examined.holder.id, []).append((kind, service["name"]))
            if kind not in KINDS or not _worth_asking(kind, examined):
                continue
            name = service["name"]
            reading, self._kinds[name] = app_reading.Reading(), kind
            self._readings[name] = reading
            access = Access(service, examined.container, self._keys, examined.holder)
            self._accesses[name] = access
            try:
                target = health_address.target_of(service, examined.holder, service["app"].get("port") or "web")
            except health_address.NoAddress as error:
                self._where[name] = "cannot be asked: %s" % error
                continue
            what = "http://%s%s" % (target.netloc(), service["app"].get("api") or "")
            found["app", name] = (what, functools.partial(_read, kind, access, target, reading))
        return found

    def judge(self, rows, outcomes, is_young):
        """Bring what was read into `rows` (entries of the result model), `vpn` and `queues`.

        `outcomes`: of `probes.sweep`; `is_young`: function of a service's name, whether it has only just started.
        """
        self.vpn, self.queues = {}, {}
        self._compare_ports()
        for row in rows:
            reading = self._readings.get(row["name"])
            if reading is None:
                continue
            outcome = outcomes.get(("app", row["name"]))
            if outcome is None:
                outcome = probes.Outcome(probes.INCONCLUSIVE, self._where[row["name"]])
            if self._kinds[row["name"]] == VPN_KIND and row["status"] != health_model.HEALTHY:
                # Its own health check says that it is not well; the control server says why.
                words = [sentence for _status, sentence, _settles in reading.problems]
                row["message"] = "; ".join([row["message"]] + words)
            app_reading.judge(row, reading, outcome, is_young(row["name"]))
            self._keep(row["name"], reading, outcome)

    def _compare_ports(self):
        """Whether the VPN forwards a port where it is to, and the torrent client that gets it listens on that."""
        for name, reading in self._readings.items():
            if self._kinds[name] != VPN_KIND or not (reading.vpn and reading.vpn.get("connected")):
                continue
            gluetun = self._accesses[name].container
            if not forwarded_port.is_asked_for(gluetun):
                continue
            ports = reading.vpn["forwarded_ports"]
            forwarded_port.judge_vpn(ports, reading)
            client = forwarded_port.chosen(self._behind.get(gluetun.id, ()))
            behind = self._readings.get(client)
            if behind is not None and behind.preferences is not None:
                interface = forwarded_port.interface_of(gluetun)
                forwarded_port.judge_client(self._kinds[client], ports, behind, interface)

    def _keep(self, name, reading, outcome):
        error = {} if outcome.verdict == probes.OK else {"error": outcome.message}
        if reading.queue is not None:
            self.queues[name] = dict(reading.queue)
        elif error and self._kinds[name] in QUEUES:
            self.queues[name] = error
        if reading.vpn is not None:
            self.vpn = dict(reading.vpn)
        elif error and self._kinds[name] == VPN_KIND:
            self.vpn = {"connected": None, "message": outcome.message}


def _worth_asking(kind, examined):
    """A running container; the VPN also when its own health check fails, to tell why."""
    container = examined.container
    if container is None or container.status != "running":
        return False
    return examined.verdict.probe or kind == VPN_KIND


def _read(kind, access, target, reading, attempt):
    """Body of a job."""
    if kind == VPN_KIND:
        app_reads_vpn.read(access, target, attempt, reading)
    else:
        HTTP_READERS[kind](access, AppHttp(attempt, target, access.refusal()), reading)


def specs_of(text):
    """The module's `secrets` (JSON text) as a map. ValueError when it is none."""
    specs = json.loads(text or "{}")
    if not isinstance(specs, dict) or not all(isinstance(spec, dict) for spec in specs.values()):
        raise ValueError("secrets must be a map of maps with value and adopt")
    return specs
