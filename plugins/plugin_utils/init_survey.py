# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether Ansible can work on a server that is in no inventory yet: SSH, sudo, Python, file transfer, docker.

Asked by one small shell script over plain ssh, so that it works where Python is what lacks.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess

from ansible_collections.homelab.mediastack.plugins.module_utils import nas_family

from . import init_remedies

THIS = "this"
_TARGET = re.compile(
    r"(?:(?P<user>[A-Za-z_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9_.-]*|\[[0-9a-f:%.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
_SECONDS = 15
_SCRIPT = r"""
say() { printf '%s=%s\n' "$1" "$2"; }
say uid "$(id -u)"
say name "$(uname -n)"
for at in synology:/etc/synoinfo.conf qnap:/etc/config/qpkg.conf unraid:/etc/unraid-version truenas:/usr/bin/midclt; do
  [ -e "${at#*:}" ] && say family "${at%%:*}"
done
if [ "$(id -u)" = 0 ]; then say sudo root
elif ! command -v sudo >/dev/null 2>&1; then say sudo none
elif sudo -n true >/dev/null 2>&1; then say sudo free
else say sudo password
fi
for python in "$(command -v python3 2>/dev/null)" /usr/bin/python3 /usr/local/bin/python3 /opt/bin/python3 \
    /usr/bin/python3.[89] /usr/bin/python3.1[0-9] /usr/local/bin/python3.[89] /usr/local/bin/python3.1[0-9] \
    /volume*/@appstore/[Pp]ython3*/usr/bin/python3 /share/*/.qpkg/[Pp]ython3/*/bin/python3; do
  if [ -x "$python" ]; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case $version in 3.[0-7]|2.*) say old "$version"; continue;; esac
    say python "$python"; say version "$version"; break
  fi
done
docker=$(command -v docker 2>/dev/null)
say docker "$docker"
if [ -z "$docker" ]; then
  for docker in /usr/local/bin/docker /usr/bin/docker /snap/bin/docker \
      /volume*/@appstore/ContainerManager/usr/bin/docker /volume*/@appstore/Docker/usr/bin/docker \
      /share/*/.qpkg/container-station/bin/docker /share/*/.qpkg/container-station/usr/bin/docker; do
    [ -x "$docker" ] && say elsewhere "$docker" && break
  done
fi
[ -n "$docker" ] && "$docker" ps >/dev/null 2>&1 && say open yes
:
"""


class SurveyError(ValueError):
    """The server cannot be worked on; one sentence with the remedy a problem, in `problems`."""

    def __init__(self, problems):
        self.problems = [problems] if isinstance(problems, str) else problems
        super().__init__("\n".join(self.problems))


@dataclasses.dataclass(frozen=True)
class Target:
    """A server: this machine (`host` is `None`), or one to reach by ssh."""

    host: str | None
    user: str | None = None
    port: int | None = None

    @property
    def words(self):
        """As ssh takes it."""
        return f"{self.user}@{self.host}" if self.user else self.host

    def command(self, program, port_flag):
        """argv of ssh or sftp, without a chance to ask anything."""
        port = [port_flag, str(self.port)] if self.port else []
        return [program, "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_SECONDS}", *port]


def parse(text):
    """The server that somebody typed.

    Raises:
        SurveyError: neither `this` nor user@host.
    """
    if text.lower() in (THIS, "this machine", "localhost", "127.0.0.1", "1"):
        return Target(None)
    match = _TARGET.fullmatch(text)
    if not match or (match["port"] and not 1 <= int(match["port"]) <= 65535):
        raise SurveyError(f'"{text}" is neither {THIS} nor of the form user@host or user@host:22.')
    return Target(match["host"].strip("[]"), match["user"], int(match["port"]) if match["port"] else None)


def look(target, run=subprocess.run):
    """What the server says of itself, `{name: text}`.

    Parameters:
        target: a `Target`.
        run: as `subprocess.run`.
    Raises:
        SurveyError: it cannot be reached.
    """
    command = ["sh", "-s"] if target.host is None else [*target.command("ssh", "-p"), target.words, "sh -s"]
    done = _run(run, command, _SCRIPT, target)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if done.returncode or "uid" not in found:
        said = (done.stderr or done.stdout or f"it ended with {done.returncode} and said nothing").strip()
        raise SurveyError(f"{target.words}: {init_remedies.sentence(said, target.host, target.user)}")
    if target.host is not None:
        done = _run(run, [*target.command("sftp", "-P"), "-q", "-b", "-", target.words], "pwd\n", target)
        found["sftp"] = "" if done.returncode else "yes"
    return found


def _run(run, command, text, target):
    try:
        return run(
            command, input=text, capture_output=True, text=True, errors="replace", timeout=4 * _SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise SurveyError(
            f"{target.words or 'this machine'}: no answer within {4 * _SECONDS} s. Check that it is in reach."
        ) from None
    except OSError as error:
        raise SurveyError(f"{command[0]}: {error.strerror}. Install an SSH client here.") from error


def judge(target, found):
    """What to do with what `look` found: `({python, transfer, become}, lines to show)`.

    Raises:
        SurveyError: Ansible could not work there; every reason.
    """
    family = nas_family.words(found.get("family", "generic"))
    problems, lines = [], []
    if target.host is not None:
        lines.append(("SSH", f"{target.words} answers"))
    become = found["sudo"] in ("free", "password")
    sudo = {"root": "not needed, this is root", "free": "without a password", "password": "asks for a password"}
    if found["sudo"] != "none":
        lines.append(("sudo", sudo[found["sudo"]]))
    elif found.get("open"):
        lines.append(("sudo", "there is none; this user may use docker without"))
    else:
        problems.append(f"sudo: there is none, and this user may not use docker without. {init_remedies.SUDO}")
    python = found.get("python")
    if python:
        lines.append(("Python", f"{found['version']} at {python}"))
    else:
        old = f"only {found['old']} was found" if found.get("old") else "none was found"
        problems.append(f"Python: {old}. {init_remedies.PYTHON}")
    transfer = None
    if target.host is not None:
        transfer = None if found.get("sftp") else "piped"
        lines.append(
            ("files", "by SFTP" if not transfer else "no SFTP there: by SSH instead (ansible_ssh_transfer_method)")
        )
    if found.get("docker"):
        lines.append(("docker", found["docker"]))
    elif found.get("elsewhere"):
        lines.append(("docker", f"{found['elsewhere']}; not on PATH, but the collection looks there"))
    elif found.get("family"):
        problems.append(
            f"docker: it was found neither on PATH nor where {family['name']} has it. Install it there "
            f"({family['engine']}); or where it is elsewhere: sudo ln -s /its/place/docker /usr/local/bin/docker"
        )
    else:
        lines.append(("docker", "none yet: site installs it"))
    if problems:
        raise SurveyError(problems)
    usual = python == "/usr/bin/python3" or target.host is None
    return {"python": None if usual else python, "transfer": transfer, "become": become}, lines
