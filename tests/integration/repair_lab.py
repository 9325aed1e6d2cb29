# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`bin/mediastack-repair` beside the small projects of `compose_stack_lab`, run as its users do: without Ansible."""

from __future__ import annotations

import json
import subprocess

from ansible_collections.homelab.mediastack.plugins.plugin_utils import repair_program

# Neither the site directories nor the caller's environment: nothing but the standard library is within reach.
PYTHON = ["/usr/bin/python3", "-S", "-I"]


def install(lab):
    """Write the program into the project, as a converge does; its path."""
    path = lab.path / repair_program.PROGRAM
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(repair_program.program())
    path.chmod(0o755)
    return path


def rendered(lab, boot_repair="auto"):
    """From now on the lab's bundle brings the program and says that of the unit, as the controller's does."""
    plain = lab.bundle

    def bundle():
        made = plain()
        files = [*made["files"], repair_program.entry(str(lab.path))]
        return dict(made, files=files, boot_repair=boot_repair)

    lab.bundle = bundle
    return lab


def command(lab, *arguments):
    """The command line of a repair of that project."""
    return [*PYTHON, str(lab.path / repair_program.PROGRAM), *arguments]


def start(lab, *arguments):
    """A repair that runs beside the test."""
    return subprocess.Popen(
        command(lab, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
    )


def attempt(lab, *arguments):
    """A repair, to its end: the completed process."""
    return subprocess.run(command(lab, *arguments), capture_output=True, text=True, timeout=120, check=False, cwd="/")


def repair(lab, *arguments):
    """The lines that a repair printed which did what it should."""
    done = attempt(lab, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout.splitlines()


def repair_json(lab, *arguments):
    """(return code, the object that a repair printed)."""
    done = attempt(lab, "--json", *arguments)
    return done.returncode, json.loads(done.stdout)
