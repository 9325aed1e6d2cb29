# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A nested host that systemd boots and whose engine systemd runs, for what happens when a server is switched on."""

from __future__ import annotations

import contextlib
import subprocess

from nested import Nested, run
from stack_harness import wait_for

IMAGE = "mediastack-lab/nested:trixie-systemd"
PACKAGES = (
    "python3,systemd,systemd-sysv,dbus,docker.io,docker-cli,docker-compose,iptables,iproute2,procps,ca-certificates"
)
# What the units of the engine ask for and a container without CAP_SYS_RESOURCE is not given.
LIMITS = """\
[Service]
OOMScoreAdjust=
Delegate=no
"""


def image(extra=""):
    """Name of the local image of such a host with `extra` packages (``git,gpg``); built on first use."""
    name = IMAGE + ("-" + extra.split(",")[0] if extra else "")
    if not run(["docker", "image", "inspect", name], check=False).returncode:
        return name
    packages = ",".join(filter(None, (PACKAGES, extra)))
    build = subprocess.Popen(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", "trixie", "-"], stdout=subprocess.PIPE
    )
    change = ["-c", "LABEL mediastack.lab=true", "-c", 'CMD ["/sbin/init"]']
    run(["docker", "import", *change, "-", name], stdin=build.stdout, timeout=900)
    assert build.wait(timeout=60) == 0
    return name


@contextlib.contextmanager
def host(name, *options, packages=""):
    """A booted host for the length of a `with`; removed with its volume afterwards.

    `options`: further words for ``docker create``; `packages`: further Debian packages, with commas.
    """
    source = image(packages)
    run(["docker", "rm", "-f", "-v", name], check=False)
    run(["docker", "volume", "rm", name], check=False)
    # systemd 257 wants to be told that the old hierarchy of control groups is meant.
    flags = ["--hostname", name, "-e", "container=docker", "-e", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]
    flags += ["--stop-signal", "SIGRTMIN+3", "--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"]
    for option in ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"):
        flags += ["--security-opt", option]
    flags += ["--device-cgroup-rule", "a *:* rwm", "--tmpfs", "/run", "--tmpfs", "/run/lock"]
    flags += ["-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "-v", f"{name}:/var/lib/docker"]
    run(["docker", "create", "--name", name, *flags, *options, source])
    try:
        for unit in ("docker", "containerd"):
            archive = f"d=$(mktemp -d); mkdir -p $d/etc/systemd/system/{unit}.service.d"
            archive += f"; printf '%s' '{LIMITS}' >$d/etc/systemd/system/{unit}.service.d/lab.conf"
            run(["sh", "-c", f"{archive}; tar -C $d -c etc | docker cp - {name}:/; rm -r $d"])
        run(["docker", "start", name])
        made = Nested(name)
        wait_for(
            lambda: made.sh("systemctl is-active docker.service", check=False) == "active", 120, "the nested engine"
        )
        yield made
    finally:
        run(["docker", "rm", "-f", "-v", name], check=False)
        run(["docker", "volume", "rm", name], check=False)
