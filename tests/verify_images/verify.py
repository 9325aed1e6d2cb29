#!/usr/bin/env python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pull every pinned image, start it with our own file, and see whether it keeps what the file promises.

One app at a time, in a Compose project of its own on 127.0.0.1. Ends with 0 only if every image passed, with 1 if not,
and with 3 if it could not begin.
"""

from __future__ import annotations

import argparse
import datetime
import fcntl
import json
import pathlib
import signal
import sys

import app_run
import image_checks
import yaml

from ansible_collections.homelab.mediastack.plugins.module_utils import images, preflight_engine
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker, DockerError
from ansible_collections.homelab.mediastack.plugins.plugin_utils import catalogue, render
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError, did_you_mean
from ansible_collections.homelab.mediastack.plugins.plugin_utils.settings import SettingsError

NO_VPN = "not started: it needs the account of a VPN provider (--settings FILE with mediastack_vpn_…)"
# Well-formed and nobody's: enough to render the file and to pull the image.
EMPTY_VPN = {
    "mediastack_vpn_provider": "mullvad",
    "mediastack_vpn_wireguard_private_key": "bWVkaWFzdGFjayB2ZXJpZnk6IG5vdCBhIHJlYWwga2U=",
    "mediastack_vpn_wireguard_addresses": ["10.64.0.2/32"],
}


class CannotBegin(Exception):
    """Nothing was pulled or started; the text says why, and the remedy."""


def arguments(words):
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="comma list of apps; their required apps come along")
    parser.add_argument("--registry", default="", help="host:port that serves all images, instead of their own")
    parser.add_argument("--settings", type=pathlib.Path, help="YAML file of mediastack_* settings, a VPN account")
    parser.add_argument("--wait", type=int, default=600, help="seconds for an app to be well (default: 600)")
    parser.add_argument("--stable-for", type=float, default=10, help="seconds without a restart (default: 10)")
    parser.add_argument("--first-port", type=int, default=25000, help="the apps' ports on 127.0.0.1 start here")
    parser.add_argument("--project", default="mediastack-verify", help="name of the Compose project")
    parser.add_argument("--build", type=pathlib.Path, default=app_run.ROOT / "build", help="where results go")
    return parser.parse_args(words)


def settings_of(path):
    """The user's settings. CannotBegin when the file holds no map."""
    if path is None:
        return {}
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CannotBegin(f"--settings {path} cannot be read: {error}") from error
    if not isinstance(given, dict):
        raise CannotBegin(f"--settings {path}: write a map of mediastack_* settings")
    return given


def apps_of(facts, only):
    """The apps to verify. CannotBegin for a name that no app has."""
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    for name in wanted:
        if name not in facts:
            raise CannotBegin(f"--only {name}: there is no such app{did_you_mean(name, facts)}")
    return wanted or list(facts)


def refuse_stand_ins(docker, names):
    """CannotBegin where the lab holds the name of an image: pulling would take it away from a demo that runs."""
    held = [
        name
        for name, local in images.look_up(docker, names).items()
        if local and local.labels.get(preflight_engine.LAB_LABEL)
    ]
    if held:
        raise CannotBegin(
            f"{len(held)} of {len(names)} image names belong to stand-ins of the lab ({held[0]}, …): make demo-down"
        )


def pull(docker, name):
    """Pull one image: (digest or None, result, reason)."""
    try:
        images.pull(docker, {name: [name]})
        return images.digest_of(images.look_up(docker, [name])[name], name), image_checks.PASSED, ""
    except images.PullError as error:
        return None, *image_checks.pull_refused(str(error).splitlines()[-1].split("): ", 1)[-1])


class Verification:
    """All runs, and the report, which is written anew after each of them."""

    def __init__(self, options):
        self.options = options
        self.docker = Docker()
        given = settings_of(options.settings)
        self.has_vpn = any(name.startswith("mediastack_vpn_") for name in given)
        renderer = render.Renderer()
        wanted = image_checks.runs(renderer.facts, apps_of(renderer.facts, options.only))
        vpn = {} if self.has_vpn else EMPTY_VPN
        self.runs = {app: app_run.AppRun(renderer, apps, options, {**vpn, **given}) for app, apps in wanted.items()}
        #: image as pinned → the name it is pulled by, its digest, service → finding.
        self.names, self.digests, self.findings = {}, {}, {}
        for run in self.runs.values():
            self.names.update({image: run.pulled[name] for name, image in run.images.items()})
        self.source = options.registry or "public registries"

    def entries(self):
        """The report's `images`."""
        today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
        return [
            image_checks.merged(image, self.digests.get(image), self.findings.get(image, {}), today)
            for image in sorted(self.names)
        ]

    def write(self):
        """Write the report; it is whole at any moment."""
        path = self.options.build / "verify-images.json"
        entries = self.entries()
        report = {"schema": 1, "registry": self.source, "passed": passed(entries), "images": entries}
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)
        return path

    def one(self, app, run):
        """Pull and run one app."""
        answers = {}
        for image in dict.fromkeys(run.images.values()):
            print(f"{app}: pull {self.names[image]}", flush=True)
            answers[image] = pull(self.docker, self.names[image])
            self.digests[image] = answers[image][0]
        refused = [image for image, answer in answers.items() if answer[1] != image_checks.PASSED]
        for name, image in run.images.items():
            _digest, result, reason = answers[image]
            run.findings[name].update(result=result, reason=reason)
        if refused:
            run.leave_open(f"not started: {', '.join(refused)} is not here")
        elif app == catalogue.VPN_PARENT and not self.has_vpn:
            run.leave_open(NO_VPN)
        else:
            print(f"{app}: start {', '.join(run.images)}", flush=True)
            run.look()

    def all(self):
        """Do it; whether every image passed."""
        refuse_stand_ins(self.docker, list(self.names.values()))
        print(
            f"verify-images pulls {len(self.names)} images from {self.source} (several GB; they stay) and starts them "
            f"one app at a time, as project {self.options.project}, on 127.0.0.1 from port {self.options.first_port}",
            flush=True,
        )
        path = self.write()
        for app, run in self.runs.items():
            try:
                self.one(app, run)
            except (DockerError, OSError) as error:
                run.leave_open(f"could not be finished: {error}")
            for name, image in run.images.items():
                self.findings.setdefault(image, {})[name] = run.findings[name]
            path = self.write()
        entries = self.entries()
        print("\n".join(image_checks.table(entries)))
        counts = [f"{sum(entry['result'] == kind for entry in entries)} {kind}" for kind in image_checks.RESULTS]
        print(f"{', '.join(counts)}; report: {path}")
        return passed(entries)


def passed(entries):
    """Whether every image passed; inconclusive is not a pass."""
    return bool(entries) and all(entry["result"] == image_checks.PASSED for entry in entries)


def main(words=None):
    """Run; the exit code."""
    options = arguments(words)
    # So that an ended run takes its containers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        options.build.mkdir(parents=True, exist_ok=True)
        with (options.build / "verify-images.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return 0 if Verification(options).all() else 1
    except BlockingIOError:
        print(f"verify-images: another run works in {options.build}; wait for its end", file=sys.stderr)
    except (CannotBegin, RenderError, SettingsError, DockerError) as error:
        print(f"verify-images: {error}", file=sys.stderr)
    except OSError as error:
        print(f"verify-images: {options.build} cannot be used: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("verify-images: interrupted; the images not reached are inconclusive", file=sys.stderr)
        return 130
    return 3


if __name__ == "__main__":
    sys.exit(main())
