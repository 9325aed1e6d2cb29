# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bench's stack: the lab's inventory with names of its own, and what the idiomatic play needs for the same job."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / ".ansible" / "collections"
INVENTORY = ROOT / "tests" / "lab" / "inventory"
HOST = "demo"
WORK = ROOT / "build" / "bench"
EXTRA = WORK / "extra.json"
TEMPLATES = WORK / "templates"
PROJECT = "mediastack-bench"
PREFIX = "bench-"
# The demo's ports begin at 18000, the bench's at 24000.
SHIFT = 6000

sys.path.insert(0, str(COLLECTIONS))

# pylint: disable=wrong-import-position
from ansible.inventory.manager import InventoryManager  # noqa: E402
from ansible.parsing.dataloader import DataLoader  # noqa: E402
from ansible.plugins.loader import init_plugin_loader  # noqa: E402
from ansible.template import Templar  # noqa: E402
from ansible.vars.manager import VariableManager  # noqa: E402

init_plugin_loader([str(COLLECTIONS)])

from ansible_collections.homelab.mediastack.plugins.plugin_utils import render, settings  # noqa: E402


def _variables(extra):
    """The lab host's variables with *extra* over them, its resolved settings, and the templar for both."""
    loader = DataLoader()
    loader.set_basedir(str(ROOT))
    inventory = InventoryManager(loader=loader, sources=[str(INVENTORY)])
    manager = VariableManager(loader=loader, inventory=inventory)
    task_vars = {**manager.get_vars(host=inventory.get_host(HOST)), **extra}
    templar = Templar(loader=loader, variables=task_vars)
    renderer = render.Renderer(render.user_directory(task_vars))
    values = settings.resolve(task_vars, templar).values
    return task_vars, values, templar, renderer


def bundle(extra):
    """The bundle of the lab's stack with the variables *extra*."""
    task_vars, values, templar, renderer = _variables(extra)
    return renderer.bundle(values, task_vars, templar, renderer.select(values))


def _shifted(bundle):
    """`mediastack_ports` with every port of the lab's stack moved by SHIFT."""
    moved = {}
    for service in bundle["services"].values():
        for port in service["ports"]:
            if port["service"] != "gluetun":
                moved.setdefault(port["service"], {})[port["name"]] = port["port"] + SHIFT
    return moved


def prepare():
    """Write the variables that make the lab's stack the bench's."""
    remove()
    WORK.mkdir(parents=True, exist_ok=True)
    _task_vars, values, _templar, _renderer = _variables({})
    lab = bundle({})
    extra = {
        "mediastack_project_name": PROJECT,
        "mediastack_container_prefix": PREFIX,
        "mediastack_base_path": str(WORK / "data"),
        "mediastack_ports": _shifted(lab),
        "mediastack_vpn_control_port": values["mediastack_vpn_control_port"] + SHIFT,
        "mediastack_vpn_torrent_port": values["mediastack_vpn_torrent_port"] + SHIFT,
    }
    EXTRA.write_text(json.dumps(extra), encoding="utf-8")


def describe():
    """Add to the variables what the idiomatic play loops over: directories, files and health checks of the stack."""
    extra = json.loads(EXTRA.read_text(encoding="utf-8"))
    stack = bundle(extra)
    project = pathlib.Path(stack["project"]["path"])
    rendered = sorted(
        path for path in [*project.glob("*.yml"), project / ".env", *project.glob("secrets/*")] if path.is_file()
    )
    TEMPLATES.mkdir(parents=True, exist_ok=True)
    extra.update(
        bench_project_path=str(project),
        bench_project_name=PROJECT,
        bench_compose_files=_compose_files(project),
        bench_directories=[_owned(pathlib.Path(entry["path"])) for entry in stack["directories"]],
        bench_files=[_templated(path) for path in rendered],
        bench_presets=[_templated(pathlib.Path(entry["path"])) for entry in stack["presets"]],
        bench_health=[entry for name in stack["services"] if (entry := _health(stack, name))],
    )
    EXTRA.write_text(json.dumps(extra), encoding="utf-8")


def _compose_files(project):
    """The names of the project's Compose files, in their order."""
    line = next(line for line in (project / ".env").read_text(encoding="utf-8").splitlines() if "COMPOSE_FILE=" in line)
    return line.partition("=")[2].strip("\"'").split(":")


def _owned(path):
    """The path with its owner, group and mode, as it is now."""
    status = path.stat()
    return {
        "path": str(path),
        "owner": str(status.st_uid),
        "group": str(status.st_gid),
        "mode": f"{status.st_mode & 0o7777:04o}",
    }


def _templated(path):
    """The file as a template of the idiomatic play."""
    template = TEMPLATES / (re.sub(r"[^\w.]+", "_", str(path.relative_to(WORK))) + ".j2")
    # No newline of our own: the result is the file, byte for byte.
    template.write_text("{% raw %}" + path.read_text(encoding="utf-8") + "{% endraw %}", encoding="utf-8")
    return {**_owned(path), "template": str(template)}


def _health(bundle, name):
    """What `uri` asks of a service; nothing for one whose port is not published, which uri cannot reach."""
    health = bundle["services"][name]["health"]
    if health["kind"] != "http":
        return None
    for holder in bundle["services"].values():
        for port in holder["ports"]:
            if port["service"] == name and port["name"] == health.get("port") and port.get("addresses"):
                return {
                    "name": name,
                    "url": f"http://{port['addresses'][0]}:{port['port']}{health.get('path', '/')}",
                    "status": health.get("status") or [200],
                }
    return None


def remove():
    """Remove what a bench leaves: its containers and networks, by their project's label, and its files."""
    label = f"label=com.docker.compose.project={PROJECT}"
    for kind, listing, removal in (
        ("containers", ["docker", "ps", "--all", "--quiet"], ["docker", "rm", "--force", "--volumes"]),
        ("networks", ["docker", "network", "ls", "--quiet"], ["docker", "network", "rm"]),
        ("volumes", ["docker", "volume", "ls", "--quiet"], ["docker", "volume", "rm"]),
    ):
        found = subprocess.run(
            [*listing, "--filter", label], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.split()
        if found and subprocess.run([*removal, *found], stdout=subprocess.DEVNULL, check=False).returncode:
            raise SystemExit(f"the bench's {kind} cannot be removed: docker ps --all --filter {label}")
    for path in (WORK / "data", TEMPLATES, EXTRA):
        if path.is_dir() and os.geteuid() != 0:
            # The apps' files belong to the users of their containers.
            subprocess.run(["sudo", "rm", "-rf", str(path)], check=True)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
