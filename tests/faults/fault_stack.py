# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`FaultStack`: a user's stack of three to five small apps, whose images come from a registry behind a fault proxy."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import fault_data
import stack_harness
from fault_images import Shelf
from fault_proxy import FaultProxy
from registry import running_registry
from stack_harness import docker

HERE = pathlib.Path(__file__).resolve().parent
OTHERS = ("qbittorrent", "sabnzbd", "prowlarr", "sonarr", "radarr", "bazarr", "flaresolverr", "unpackerr")
#: The service that things happen to; it has a health check.
TARGET = "library"
#: Nothing is ever done to this one.
STEADY = "steady"
#: This one has no health check of any kind.
PLAIN = "plain"
#: Lives in gluetun's network.
BEHIND = "behind"
#: Selected later, so that there is something to be pulled and brought up for the first time.
EXTRA = "extra"
UID = 1000
# What begins so reaches the docker programs that a module starts.
MARK = "DOCKER_FAULTS_MARK"
SETTINGS = "name=mine\nword=written by the user, and by nobody else\n"
_serial = itertools.count(1)

LIBRARY = """\
services:
  {{ mediastack_service }}:
    image: {{ faults_registry }}/{{ mediastack_service }}:{{ faults_tags[mediastack_service] | default('1') }}
    user: ${PUID}:${PGID}
    init: false
    environment:
{% if mediastack_service == (faults_target | default('library')) %}
      APP_STOP: {{ faults_stop | default('0') | to_json }}
      WORD: {{ faults_word | default('first') | to_json }}
{% endif %}
      TZ: ${TZ}
    volumes:
      - type: bind
        source: {{ (mediastack_config_path ~ '/' ~ mediastack_service) | to_json }}
        target: /config
        bind: {create_host_path: false}
{% for volume in mediastack_media_volumes %}
      - {{ volume | to_json }}
{% endfor %}
    stop_grace_period: 10s
    healthcheck:
      test: [CMD, busybox, wget, -q, -O, /dev/null, "http://127.0.0.1:8080/ping"]
      interval: 1s
      timeout: 10s
      retries: 4
      start_period: 15s
    x-mediastack:
      title: The {{ mediastack_service }}
      profiles: []
      run_as: ids
      ports:
        web: {port: {{ mediastack_ports | homelab.mediastack.port(mediastack_service, 'web', 8080) }}, target: 8080}
      health: {kind: http, port: web, path: /ping, json: {status: OK}}
      login: {kind: no_ui}
      snapshot: {method: sqlite, paths: [app.db, settings.ini]}
"""
LIKE = """\
services:
  NAME:
    image: {{ faults_registry }}/NAME:{{ faults_tags['NAME'] | default('1') }}
    healthcheck: CHECK
    x-mediastack: {like: library, title: The NAME, profiles: [], ports: {web: {port: PORT, target: TARGET}}}
"""
NO_PROBE = "x-mediastack: {health: {kind: container, port: null, path: null, json: null}, "
# As the target's, or none; seldom where nothing ever happens.
CHECKS = {PLAIN: "null", STEADY: "{interval: 4s}"}


class FaultStack(stack_harness.Stack):
    """A stack, its registry, and what is known of its databases."""

    #: Where the proxy listens.
    proxy_addresses = ("127.0.0.1",)

    def __init__(self, vpn=False, services=(TARGET, STEADY, PLAIN), **variables):
        """Write the inventory and publish the first releases. variables: of the inventory."""
        number = next(_serial)
        name = f"faults-{os.getpid()}-{number}"
        place = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/var/tmp"))
        place.chmod(0o755)
        self.closing = contextlib.ExitStack()
        self.closing.callback(shutil.rmtree, place, ignore_errors=True)
        first = stack_harness.free_ports(16)
        self.registry_port, self.proxy_port = first + 14, first + 15
        self.services = tuple(services)
        self.ports = {service: first + 1 + index for index, service in enumerate((*self.services, EXTRA))}
        #: A port that nobody has.
        self.spare = first + 13
        self.schemas = itertools.count(2)
        self.vpn = vpn
        unwanted = dict.fromkeys(OTHERS, False)
        settings = {
            "mediastack_container_prefix": f"{name}-",
            "mediastack_vpn_enabled": vpn,
            "mediastack_vpn_services": [BEHIND] if vpn else [],
            "mediastack_services": {**unwanted, **dict.fromkeys(self.services, True)},
            "mediastack_ports": self.ports,
            "mediastack_update_stable_for": 3,
            "mediastack_wait_timeout": 60,
            "mediastack_lock_timeout": 60,
            "faults_tags": {},
            "faults_registry": f"127.0.0.1:{self.proxy_port}/faults",
            **variables,
        }
        super().__init__(place, name, first, **settings)
        if vpn:
            self._own_gluetun()
        #: Where its ports are.
        self.address = "127.0.0.1"
        self.config = self.base / "config"
        self._files()
        self._registry()

    # -- making it -----------------------------------------------------------------------------------------------------

    def _files(self):
        folder = self.directory / "services"
        folder.mkdir()
        for service in (*self.services, EXTRA):
            text = LIBRARY
            if service != TARGET:
                port = "{{ mediastack_ports | homelab.mediastack.port('%s', 'web', 8080) }}" % service
                text = LIKE.replace("NAME", service).replace("PORT", port).replace("TARGET", "8080")
            if service == PLAIN:
                text = text.replace("x-mediastack: {", NO_PROBE)
            text = text.replace("CHECK", CHECKS.get(service, "{}"))
            (folder / f"{service}.yml.j2").write_text(text)

    def _own_gluetun(self):
        """The lab's gluetun under a name of this registry: an update refuses stand-ins that bear a real one's."""
        own = f"127.0.0.1:{self.proxy_port}/faults/gluetun:1"
        docker("tag", self._gluetun_image(), own)
        self.set(mediastack_images={"gluetun": own})

    @staticmethod
    def _gluetun_image():
        listed = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "label=mediastack.lab=true")
        return next(name for name in listed.splitlines() if name.startswith("mediastack-lab/gluetun:"))

    def _registry(self):
        storage = self.directory / "registry"
        storage.mkdir()
        self.closing.enter_context(running_registry(storage, f"127.0.0.1:{self.registry_port}"))
        self.proxy = self.closing.enter_context(FaultProxy(self.proxy_port, self.registry_port, self.proxy_addresses))
        self.shelf = Shelf(self.registry_port)
        self.digests = {service: self.publish(service) for service in self.services}

    def publish(self, service=TARGET, fault="", tag="1", schema=None, **more):
        """Move a tag to a new release; its digest. schema: None: the first for a tag that is new, else the next."""
        known = schema or (1 if not hasattr(self, "digests") else next(self.schemas))
        return self.shelf.publish(f"faults/{service}", tag, known, fault, **more)

    def select(self, service=EXTRA, fault=""):
        """Have the inventory ask for one more service, with a release that nobody has."""
        tag = str(next(self.schemas))
        self.publish(service, fault, tag, int(tag))
        self.services = tuple(dict.fromkeys((*self.services, service)))
        self._selected({service: tag})

    def deselect(self, service=EXTRA):
        """Have the inventory ask for it no more, and `site` take it away: it would come back as it was otherwise."""
        self.services = tuple(one for one in self.services if one != service)
        self._selected({})
        self.play("site", check=False)
        self.docker("rm", "--force", self.container(service), check=False)
        shutil.rmtree(self.config / service, ignore_errors=True)

    def _selected(self, tags):
        services = {name: on for name, on in self.variables["mediastack_services"].items() if not on}
        self.set(mediastack_services={**services, **dict.fromkeys(self.services, True)}, faults_tags=tags)

    def user_files(self):
        """What a user has written beside the databases."""
        for service in self.services:
            path = self.config / service / "settings.ini"
            path.write_text(SETTINGS)
            os.chown(path, UID, UID)

    def set(self, **variables):
        """Change variables of the inventory; None takes one away."""
        self.variables.update(variables)
        self.variables = {name: value for name, value in self.variables.items() if value is not None}
        self.write()

    @property
    def lock_file(self):
        """The lock file, which the controller writes."""
        return self.directory / "mediastack.lock.yml"

    @property
    def backups(self):
        """Where snapshots and backups are."""
        return pathlib.Path(self.variables.get("mediastack_backup_path") or self.base / "backups")

    def state(self, name):
        """A JSON file of `.mediastack`; None where there is none that can be read."""
        try:
            return json.loads((self.project_path / ".mediastack" / f"{name}.json").read_text())
        except (OSError, ValueError):
            return None

    def docker(self, *words, check=True):
        """Standard output of docker on the stack's host."""
        return docker(*words, check=check)

    def in_its_directory(self, one):
        """Whether a running container (as inspected) has the config directory that is there now."""
        service = one["Config"]["Labels"]["com.docker.compose.service"]
        try:
            inside, outside = (
                os.stat(pathlib.Path("/proc", str(one["State"]["Pid"]), "root", "config")),
                os.stat(self.config / service),
            )
        except OSError:
            return False
        return (inside.st_dev, inside.st_ino) == (outside.st_dev, outside.st_ino)

    def read(self):
        """service → Contents of its config directory."""
        return fault_data.read_all(self.config, self.databases, UID)

    def container(self, service=TARGET):
        """The name of a service's container."""
        return f"{self.prefix}{service}"

    @property
    def expected(self):
        """Names of the services that there must be."""
        return {*self.services, *(["gluetun"] if self.vpn else [])}

    @property
    def asked(self):
        """service → the port where it answers."""
        return {service: self.ports[service] for service in self.services}

    @property
    def databases(self):
        """Names of the services that have a database."""
        return self.services

    @property
    def kept(self):
        """Where what was put aside is looked for."""
        return [self.backups, self.project_path, *self.base.glob("[!cdm]*")]

    def leftovers(self):
        """What a run has left that nobody needs: containers, networks, half-written files, a journal.

        Not what a killed run said last, `progress-….json`, which later runs remove after a day.
        """
        named = self.docker("ps", "--all", "--format", "{{.Names}}", "--filter", f"name={self.project}").split()
        found = [f"container {name}" for name in named if name not in {self.container(one) for one in self.expected}]
        networks = self.docker("network", "ls", "--format", "{{.Name}}", "--filter", f"name={self.project}").split()
        found += [f"network {name}" for name in sorted(networks)[1:]]
        for place in (self.base, self.backups):
            for path in place.rglob("*"):
                if path.name.endswith((".tmp", ".new", ".part")) or path.name == "journal.json":
                    found.append(f"file {path.relative_to(place)}")
        return sorted(set(found))

    # -- running -------------------------------------------------------------------------------------------------------

    def begin(self, playbook, *arguments, mark):
        """Start a playbook without waiting, its output in a file; its processes have `mark` in the environment."""
        environment = {**self.environment, MARK: mark}
        log = open(self.directory / f"{mark}.log", "w+", encoding="utf-8")  # noqa: SIM115
        process = subprocess.Popen(
            self.command(playbook, *arguments),
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=stack_harness.ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        process.log = log
        return process

    def images(self):
        """service → the image id that it runs."""
        return {service: found["Image"] for service, found in self.containers().items()}

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self):
        """Everything goes."""
        self.remove()
        if self.vpn:
            # The name alone: the image is the lab's.
            docker("image", "rm", self.variables["mediastack_images"]["gluetun"], check=False)
        marks = [f"127.0.0.1:{self.proxy_port}/", f"mediastack-keep/{self.project}-"]
        listed = docker("image", "ls", "--all", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()
        mine = {line.split()[1] for line in listed if any(line.startswith(mark) for mark in marks)}
        if mine:
            docker("image", "rm", "--force", *sorted(mine), check=False)
        self.closing.close()
