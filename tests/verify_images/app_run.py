# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One app of the catalogue, rendered and started as `site` does it, in a project of its own, and looked at."""

from __future__ import annotations

import functools
import json
import pathlib
import shutil
import sys
import warnings

from image_checks import (
    FAILED,
    INCONCLUSIVE,
    PASSED,
    health_programs,
    rewritten,
    wrong_end,
    wrong_flags,
    wrong_ids,
    wrong_rights,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / ".ansible" / "collections"
sys.path.insert(0, str(COLLECTIONS))

from ansible.parsing.dataloader import DataLoader  # noqa: E402
from ansible.plugins.loader import init_plugin_loader  # noqa: E402
from ansible.template import Templar  # noqa: E402

from ansible_collections.homelab.mediastack.plugins.module_utils import (  # noqa: E402
    engine_state,
    first_login,
    health_sweep,
    preflight_engine,
    stack,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker, DockerError  # noqa: E402
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Request  # noqa: E402
from ansible_collections.homelab.mediastack.plugins.plugin_utils import (  # noqa: E402
    bundle,
    catalogue,
    compose_yaml,
    plain_values,
    settings,
)

# Of nobody, and no image's default: an app that runs as these took them from us.
IDS = (1311, 1312)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    init_plugin_loader([str(COLLECTIONS)])
# Imported by Python itself before Ansible's loader was there, the collection lacks what that loader keeps with it.
sys.modules["ansible_collections.homelab.mediastack"].__dict__.setdefault("_collection_meta", {})


class AppRun:
    """The run of some apps together.

    Attributes:
        images: service → image, as pinned in the catalogue.
        pulled: service → the name it is pulled by.
    """

    def __init__(self, renderer, apps, options, given):
        """Render. RenderError or SettingsError when the apps cannot be.

        `options`: of the command line; `given`: the user's `mediastack_*` settings.
        """
        self.docker = Docker()
        self.wait, self.stable_for = options.wait, options.stable_for
        self.base = options.build.resolve() / "verify-images"
        self.project = options.project
        templar = Templar(loader=DataLoader(), variables={})
        known = catalogue.names_of(renderer.facts)
        services = [service for app in apps for service in renderer.facts[app].services]
        ports = iter(range(options.first_port, options.first_port + 100))
        values = {
            **given,
            "mediastack_project_name": self.project,
            "mediastack_container_prefix": f"{self.project}-",
            "mediastack_base_path": str(self.base),
            "mediastack_bind_addresses": ["127.0.0.1"],
            "mediastack_puid": IDS[0],
            "mediastack_pgid": IDS[1],
            "mediastack_profiles": [],
            "mediastack_vpn_enabled": catalogue.VPN_PARENT in apps,
            "mediastack_services": {app: app in apps for app in renderer.facts if app != catalogue.VPN_PARENT},
            "mediastack_ports": {
                name: {port: next(ports) for port in known.ports[name]} for name in services if known.ports[name]
            },
        }

        def rendered(**more):
            chosen = {name: plain_values.protect(value) for name, value in {**values, **more}.items()}
            final = settings.resolve(chosen, templar, {}, "", lambda: known).values
            return renderer.bundle(final, {}, templar, renderer.select(final))

        self.bundle = rendered()
        self.images = {name: service["image"] for name, service in self.bundle["services"].items()}
        self.pulled = {name: rewritten(image, options.registry) for name, image in self.images.items()}
        if options.registry:
            self.bundle = rendered(mediastack_images=self.pulled)
        documents = [file["content"] for file in self.bundle["files"] if "/compose." in file["path"]]
        self.definitions = {}
        for text in documents:
            self.definitions.update(compose_yaml.load(text)["services"])
        self.findings = {name: {"result": PASSED, "reason": "", "checked": []} for name in self.images}

    def look(self):
        """Judge every service; service → {result, reason, checked}. All images are here already."""
        for name in self.images:
            self.check_health_program(name)
        bad = [name for name, found in self.findings.items() if found["result"] != PASSED]
        if bad:
            self.leave_open(f"not started, because of {', '.join(bad)}")
            return self.findings
        self.clear()
        try:
            if self.start():
                self.look_at_containers()
                self.look_at_presets()
        except DockerError as error:
            self.leave_open(f"the engine refused: {error}")
        finally:
            self.clear()
        return self.findings

    def note(self, name, check, problem=None):
        """Write down a check of a service, and what it found wrong."""
        found = self.findings[name]
        found["checked"].append(check)
        if problem:
            found["result"] = FAILED
            found["reason"] = "; ".join(part for part in (found["reason"], problem) if part)

    def leave_open(self, reason):
        """What has not failed was not shown to be right either."""
        for found in self.findings.values():
            if found["result"] == PASSED:
                found.update(result=INCONCLUSIVE, reason=reason)

    def check_health_program(self, name):
        """The image is no stand-in, and holds the program of its health check; it is not started for that."""
        config = json.loads(self.docker.run("image", "inspect", self.pulled[name]).out)[0]["Config"]
        if (config.get("Labels") or {}).get(preflight_engine.LAB_LABEL):
            self.note(name, "pulled", "the registry gave a stand-in of the lab, not the real image")
            return
        self.note(name, "pulled")
        probe = self.bundle["services"][name]["health"]["kind"] != "container"
        test = (config.get("Healthcheck") or {}).get("Test")
        programs, complaint = health_programs(self.definitions[name].get("healthcheck"), test, probe)
        path = dict(entry.split("=", 1) for entry in config.get("Env") or []).get("PATH", _PATH)
        missing = [program for program in programs if not self.has_program(self.pulled[name], program, path)]
        if missing:
            complaint = f"health command: {', '.join(missing)} not in the image (PATH {path})"
        self.note(name, f"health command {' '.join(programs) or 'none, probe only'}", complaint)

    def has_program(self, image, program, path):
        """Whether an image holds a program. Copying it out needs nothing in the image, not even a shell."""
        places = [program] if "/" in program else [f"{folder}/{program}" for folder in path.split(":")]
        # The command is never run; an image without one could not be created otherwise.
        container = self.docker.run("create", "--network", "none", image, "none").out.strip()
        try:
            return any(
                self.docker.run("cp", f"{container}:{place}", "-", check=False).rc == 0 for place in places if place
            )
        finally:
            self.docker.run("rm", "--force", "--volumes", container)

    def request(self, state, **more):
        """One run of compose_stack: (result, error text or None)."""
        path = self.bundle["project"]["path"]
        asked = Request(state, path, self.project, pull="never", wait_timeout=self.wait, **more)
        return stack.run(asked, self.docker)

    def clear(self):
        """Remove the containers, the network and the directory of this program's project."""
        _result, error = self.request("absent", bundle=self.bundle)
        if error:
            raise DockerError(f"an earlier run cannot be cleared away: {error}")
        if self.base.exists():
            shutil.rmtree(self.base)

    def start(self):
        """Start everything as `site` does, first logins included; whether all is well."""
        result, error = self.request("present", bundle=self.bundle, stable_for=self.stable_for)
        if not error:
            for name, service in self.bundle["services"].items():
                if (service["login"] or {}).get("kind") in first_login.KINDS:
                    self.note(name, "first login")
            return True
        for failure in result.get("failures") or []:
            log = failure["health_log"][-1]["output"].strip() if failure["health_log"] else ""
            last = log or "".join(failure["log"][-1:])
            self.note(failure["service"], "started", f"{failure['what']}{': ' if last else ''}{last[:300]}")
        others = "" if result.get("failures") else f": {error}"
        self.leave_open(f"this run did not come up{others}")
        return False

    def look_at_containers(self):
        """Probe, ids, rights and read-only flags of every running service."""
        path = self.bundle["project"]["path"]
        read = functools.partial(health_sweep.read_snapshot, self.docker, self.project, path)
        rows, _disks = health_sweep.wait_for_health(
            bundle.health_services(self.bundle), "verify", read, {}, 10, 0, self.wait
        )
        for row in rows:
            problem = None if row["status"] == "HEALTHY" else f"{row['status']}: {row['message']}"
            self.note(row["name"], "health", problem)
        containers = {one.service: one for one in engine_state.read_project(self.docker, self.project, path).containers}
        for name, definition in self.definitions.items():
            top = self.docker.run("top", containers[name].id, "-eo", "pid,uid,gid,comm").out.splitlines()[1:]
            problem, demand = wrong_ids(definition, IDS, [tuple(line.split(None, 3)[1:]) for line in top])
            self.note(name, demand, problem)
            problem, demand = wrong_rights(definition, self.statuses(containers[name].id))
            self.note(name, demand, problem)
            lacking, number = wrong_flags(definition, containers[name].raw)
            self.note(name, f"{number} read-only flags", f"writable: {', '.join(lacking)}" if lacking else None)

    def statuses(self, container):
        """What the kernel says of each process of a container; None where its numbers are those of another machine."""
        found = []
        for line in self.docker.run("top", container, "-eo", "pid,comm").out.splitlines()[1:]:
            number, name = line.split(None, 1)
            try:
                lines = pathlib.Path("/proc", number, "status").read_text(encoding="utf-8").splitlines()
            except OSError:
                return None
            status = {key: value.strip() for key, _colon, value in (one.partition(":") for one in lines)}
            if status.get("Name") != name.strip():
                return None
            found.append(status)
        return found

    def look_at_ends(self):
        """Whether what was asked to end did so itself."""
        path = self.bundle["project"]["path"]
        for one in engine_state.read_project(self.docker, self.project, path).containers:
            if one.service in self.definitions:
                self.note(one.service, "ends", wrong_end(self.definitions[one.service], one.raw["State"]["ExitCode"]))

    def look_at_presets(self):
        """Stop the apps, which makes them write their files, and ask what `site` would have to set again."""
        _result, error = self.request("stopped", bundle=self.bundle)
        if not error:
            self.look_at_ends()
        again, trouble = self.request("present", bundle=self.bundle, check=True) if not error else ({}, error)
        if trouble:
            self.leave_open(f"preset keys could not be read back: {trouble}")
            return
        for preset in self.bundle["presets"]:
            file = pathlib.Path(preset["path"]).name
            change = again["files"].get(preset["path"])
            lost = f"does not keep our keys in {file}: the next site would {change} it" if change else None
            self.note(preset["service"], f"preset keys of {file}", lost)
