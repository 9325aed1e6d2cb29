# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make verify-images` against a registry on loopback, whose images are good, broken, stand-ins or missing."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import pytest
from registry import running_registry

ROOT = pathlib.Path(__file__).resolve().parents[2]
REGISTRY = "127.0.0.1:23500"
PROJECT = "mediastack-verify-test"
CACHE = ROOT / ".cache" / "verify-images"
GOOD, FORGETFUL = "lscr.io/linuxserver/bazarr:1.5.6", "ghcr.io/tautulli/tautulli:v2.17.2"
PROXY, NO_CURL = "ghcr.io/tecnativa/docker-socket-proxy:0.4.1", "ghcr.io/flaresolverr/flaresolverr:v3.5.0"
STAND_IN, MISSING = "ghcr.io/gethomepage/homepage:v1.12.3", "lscr.io/linuxserver/heimdall:2.7.6"
APPS = "bazarr,tautulli,homepage,flaresolverr,heimdall"

# Starts as root and drops to PUID:PGID, as the real ones do; answers every health address of the apps above.
START = """#!/bin/sh
trap 'exit 0' TERM
if [ -e /forgetful ]; then echo '[General]' >/config/config.ini; fi
if [ -n "$PUID" ]; then echo "app:x:$PUID:$PGID::/:/bin/sh" >/etc/passwd; as="-c $PUID:$PGID"; fi
for port in 6767 8181 2375; do start-stop-daemon -S -p /none $as -x /bin/httpd -- -f -p $port -h /www & done
wait
"""
ANSWERS = {"api/system/ping": '{"status": "OK"}', "status": '{"result": "success"}', "_ping": "OK"}


def docker(*arguments, check=True, **options):
    done = subprocess.run(["docker", *arguments], capture_output=True, check=False, **options)
    assert not check or done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def busybox():
    """The static busybox of Debian's package."""
    path = CACHE / "busybox"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as place:
            subprocess.run(["apt-get", "download", "busybox-static"], cwd=place, check=True, capture_output=True)
            subprocess.run(["dpkg", "-x", str(next(pathlib.Path(place).glob("*.deb"))), place], check=True)
            shutil.copy(pathlib.Path(place, "bin/busybox"), path)
    return path


def push(folder, image, *changes, programs=("wget", "curl"), files=()):
    """Build an image and leave it in the registry only."""
    root = folder / image.replace("/", "_")
    for name in ("bin", "tmp", "etc", "config", "www/api/system"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox(), root / "bin/busybox")
    for name in ("sh", "httpd", "start-stop-daemon", "[", *(program for program in programs if program != "curl")):
        (root / "bin" / name).symlink_to("busybox")
    if "curl" in programs:
        (root / "bin/curl").write_text(
            '#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nexec /bin/busybox wget -qO- "$1"\n'
        )
        (root / "bin/curl").chmod(0o755)
    for path, text in ANSWERS.items():
        (root / "www" / path).write_text(text)
    for name in files:
        (root / name).touch()
    (root / "start").write_text(START)
    (root / "start").chmod(0o755)
    archive = subprocess.run(
        ["tar", "--owner=0", "--group=0", "-C", root, "-c", "."], capture_output=True, check=True
    ).stdout
    name = f"{REGISTRY}/{image}"
    options = [word for change in ("ENV PATH=/bin", 'CMD ["/start"]', *changes) for word in ("--change", change)]
    docker("import", *options, "-", name, input=archive)
    docker("push", "--quiet", name)
    docker("image", "rm", name)


@pytest.fixture(scope="module")
def world():
    """A directory off tmpfs, with the results of one run against the registry: (directory, process, report)."""
    with tempfile.TemporaryDirectory(prefix="verify-images-", dir="/var/tmp") as place:
        folder = pathlib.Path(place)
        (folder / "settings.yml").write_text("mediastack_healthcheck_interval: 1\n")
        try:
            with running_registry(folder, REGISTRY):
                push(folder, GOOD)
                push(folder, FORGETFUL, files=["forgetful"])
                push(folder, PROXY)
                push(folder, NO_CURL, programs=["wget"])
                push(folder, STAND_IN, "LABEL mediastack.lab=true")
                yield folder, verify(folder), json.loads((folder / "verify-images.json").read_text())
        finally:
            for name in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split():
                if name.startswith(f"{REGISTRY}/"):
                    docker("image", "rm", "--force", name)


def verify(folder, *more, apps=APPS):
    """Run the program."""
    command = [sys.executable, "tests/verify_images/verify.py", "--registry", REGISTRY, "--only", apps]
    command += [
        "--project",
        PROJECT,
        "--build",
        str(folder),
        "--first-port",
        "23510",
        "--wait",
        "60",
        "--stable-for",
        "2",
    ]
    command += ["--settings", str(folder / "settings.yml"), *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)


def entry(report, image):
    return next(one for one in report["images"] if one["image"] == image)


@pytest.mark.long
def test_not_every_image_passed_so_the_run_fails(world):
    _folder, done, report = world
    assert done.returncode == 1, done.stdout + done.stderr
    assert report["passed"] is False
    assert len(report["images"]) == 6


@pytest.mark.long
def test_it_says_first_what_it_is_about_to_pull(world):
    first = world[1].stdout.splitlines()[0]
    assert first.startswith(f"verify-images pulls 6 images from {REGISTRY} ")


def test_a_good_image_passes_with_all_that_was_checked(world):
    found = entry(world[2], GOOD)
    assert (found["result"], found["reason"]) == ("passed", ""), world[1].stdout
    assert found["digest"].startswith("sha256:")
    assert found["date"] == time.strftime("%Y-%m-%d", time.gmtime())
    assert set(found["checked"]) >= {
        "health command curl",
        "health",
        "drops to 1311:1312",
        "rights: CHOWN DAC_OVERRIDE FOWNER KILL SETGID SETUID",
        "ends",
        "preset keys of config.yaml",
    }


def test_an_image_that_loses_our_preset_keys_fails(world):
    found = entry(world[2], FORGETFUL)
    assert found["result"] == "failed", world[1].stdout
    assert "does not keep our keys in config.ini" in found["reason"]


def test_an_image_without_the_program_of_its_health_check_fails(world):
    found = entry(world[2], NO_CURL)
    assert found["result"] == "failed"
    assert "health command: curl not in the image" in found["reason"]


def test_an_image_that_the_registry_lacks_fails_with_its_answer(world):
    found = entry(world[2], MISSING)
    assert (found["result"], found["digest"]) == ("failed", None)
    assert "manifest unknown" in found["reason"] or "not found" in found["reason"]


def test_a_stand_in_never_passes_for_the_real_image(world):
    found = entry(world[2], STAND_IN)
    assert found["result"] == "failed"
    assert "stand-in" in found["reason"]


def test_what_was_not_started_is_inconclusive(world):
    found = entry(world[2], PROXY)
    assert (found["result"], found["reason"]) == (
        "inconclusive",
        "docker-socket-proxy: not started, because of homepage",
    )


def test_the_table_names_every_image_with_its_result(world):
    for one in world[2]["images"]:
        assert any(line.split()[:2] == [one["image"], one["result"]] for line in world[1].stdout.splitlines())


def test_nothing_is_left_running(world):
    assert docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}") == ""
    assert docker("network", "ls", "--quiet", "--filter", f"name={PROJECT}") == ""
    assert not (world[0] / "verify-images").exists()


def test_read_only_mounts_are_looked_at_and_all_passed_is_success(world):
    done = verify(world[0], apps="docker-socket-proxy")
    assert done.returncode == 0, done.stdout + done.stderr
    found = entry(json.loads((world[0] / "verify-images.json").read_text()), PROXY)
    assert "2 read-only flags" in found["checked"]


def test_names_held_by_stand_ins_are_not_taken_from_the_lab(world):
    name = f"{REGISTRY}/{STAND_IN}"
    before = docker("image", "inspect", "--format", "{{.Id}}", name)
    done = verify(world[0], apps="homepage")
    assert done.returncode == 3
    assert "make demo-down" in done.stderr
    assert docker("image", "inspect", "--format", "{{.Id}}", name) == before


def test_a_registry_that_cannot_be_reached_proves_nothing(world):
    done = verify(world[0], "--registry", "127.0.0.1:23509", apps="heimdall")
    assert done.returncode == 1
    report = json.loads((world[0] / "verify-images.json").read_text())
    assert [one["result"] for one in report["images"]] == ["inconclusive"]
    assert "connection refused" in report["images"][0]["reason"]


def test_a_misspelt_app_is_named_with_the_closest(world):
    done = verify(world[0], apps="bazar")
    assert done.returncode == 3
    assert "bazarr" in done.stderr
