# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stack whose parts a test changes by hand: gluetun, qBittorrent behind it, and small services of its own."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import subprocess

import compose_stack_lab
import stack_harness as h

OWN = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta")
SERVICE = """services:
  {{ mediastack_service }}:
    image: IMAGE
    command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.2; done"]
    secrets: ["{{ mediastack_service ~ '_token' }}"]
    environment: {TZ: "${TZ}"}
    volumes:
      - type: bind
        source: {{ (mediastack_config_path ~ '/' ~ mediastack_service) | to_json }}
        target: /config
        bind: {create_host_path: false}
    x-mediastack:
      title: A box
      profiles: [always]
      health: {kind: container}
      login: {kind: no_ui}
      presets:
        - path: app.ini
          format: ini
          content: |
            [General]
            Theme=dark
          keys:
            - key: [General, Theme]
              value: dark
      secrets:
        "{{ mediastack_service ~ '_token' }}": {generate: {kind: hex, length: 32}}
      secret_files:
        "{{ mediastack_service ~ '_token' }}": "{{ mediastack_service ~ '_token' }}"
    healthcheck: {test: [CMD, "true"], interval: 1s}
"""


def image(tag="1"):
    """The image of the small services; another tag is another image."""
    return f"msplan-{os.getpid()}/box:{tag}"


def make(directory, project, first_port, own=OWN, **services):
    """The stack, not converged yet."""
    for tag in ("1", "other"):
        compose_stack_lab.build_image(image(tag), tag)
    files = pathlib.Path(directory) / "services"
    files.mkdir(parents=True)
    for name in own:
        (files / f"{name}.yml.j2").write_text(SERVICE.replace("IMAGE", image()))
    off = {**h.SMALL, "prowlarr": False, "sabnzbd": False, "sonarr": False, **services}
    prefix = f"{project}-"
    return h.Stack(directory, project, first_port, mediastack_container_prefix=prefix, mediastack_services=off)


def remove(stack):
    """Take everything away."""
    stack.remove()
    h.docker("rmi", "-f", image("1"), image("other"), check=False)


def state(stack):
    """All that `plan` must leave as it is: every file with its bytes, mode, owner and times, and every container."""
    found = {}
    for path in sorted(stack.base.rglob("*")):
        info = path.lstat()
        data = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
        # The running app writes its own; the times of the directories that it does so in are its doing too.
        if (stack.base / "config") not in path.parents:
            found[str(path)] = (info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, data)
    ids = h.docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={stack.project}").split()
    for name, raw in h.inspect(*ids).items():
        # Of the health check, which goes on.
        raw["State"].pop("Health", None)
        raw.pop("ExecIDs", None)
        # The engine has them in no order.
        raw["Mounts"].sort(key=lambda mount: mount["Destination"])
        found[name] = json.dumps(raw, sort_keys=True)
    return found


def plan(stack, *arguments, **more):
    """(process, report) of a plan."""
    path = stack.directory / "plan.json"
    path.unlink(missing_ok=True)
    done = stack.play("plan", "-e", f"output={path}", *arguments, check=False, **more)
    return done, json.loads(path.read_text()) if path.exists() else None


def made_anew(stack, service, *options):
    """Make the container of a service anew, with its labels and its networks, as an updater or a person would."""
    raw = stack.containers()[service]
    [network] = raw["NetworkSettings"]["Networks"]
    labels = [part for pair in raw["Config"]["Labels"].items() for part in ("--label", "=".join(pair))]
    name = raw["Name"].lstrip("/")
    h.docker("rm", "-f", name)
    more = ["--name", name, "--network", network, "--network-alias", service, *labels]
    return h.docker("run", "-d", *more, *options, raw["Config"]["Image"], *raw["Config"]["Cmd"])


def compose(stack, *arguments):
    """`docker compose` by hand, in the project's directory."""
    subprocess.run(["docker", "compose", *arguments], cwd=stack.project_path, check=True, capture_output=True)
