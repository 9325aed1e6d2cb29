# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the numbers depend on: machine, date, versions."""

import datetime
import os
import subprocess

from describe import ROOT


def surroundings():
    """Return `{cpus, load_1m, date, versions}`."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "load_1m": round(os.getloadavg()[0], 2),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
    }


def versions():
    """Return what the numbers depend on."""

    def first_line(*command):
        return (
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
            .stdout.splitlines()[0]
            .strip()
        )

    return {
        "ansible_core": first_line(".venv/bin/python", "-c", "import ansible.release as r; print(r.__version__)"),
        "engine": first_line("docker", "version", "--format", "{{.Server.Version}}"),
        "compose": first_line("docker", "compose", "version", "--short"),
        "python": first_line(".venv/bin/python", "-c", "import platform; print(platform.python_version())"),
        "commit": first_line("git", "rev-parse", "--short", "HEAD"),
    }
