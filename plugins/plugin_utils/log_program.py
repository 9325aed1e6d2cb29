# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that a follower runs on the host, in one piece: our own module_utils and what it is asked for.

Nothing is installed for it: it comes by standard input, as Ansible's own modules do with pipelining, or, where a
connection has no standard input, lies in Ansible's temporary directory.
"""

from __future__ import annotations

import base64
import json
import pathlib
import zlib

from ansible_collections.homelab.mediastack.plugins.module_utils.log_answer import MARK, pack

PACKAGE = "ansible_collections.homelab.mediastack.plugins.module_utils"
SOURCES = pathlib.Path(__file__).resolve().parents[1] / "module_utils"
# In the order in which they need one another.
PARTS = (
    "docker_cli",
    "engine_state",
    "atomic_files",
    "log_text",
    "log_mask",
    "log_position",
    "log_source",
    "log_reader",
    "log_answer",
)
_BEGIN = """\
import json, sys, types
def package(name):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = []
    return module
parts, wish = json.loads(TEXT)
names = PACKAGE.split(".")
for size in range(1, len(names) + 1):
    parent = package(".".join(names[:size]))
for name, source in parts:
    module = sys.modules[PACKAGE + "." + name] = types.ModuleType(PACKAGE + "." + name)
    setattr(parent, name, module)
    exec(compile(source, name + ".py", "exec"), module.__dict__)
sys.modules[PACKAGE + ".log_answer"].main(wish, sys.argv[1])
"""


class AnswerError(Exception):
    """The host did not answer as the program does; the text says what it said instead."""


def build(wish):
    """The program, in bytes, for Python 3.8 or later; `wish`: fields of `log_reader.Wish` that stay the same."""
    parts = [(name, (SOURCES / f"{name}.py").read_text(encoding="utf-8")) for name in PARTS]
    text = f"PACKAGE = {PACKAGE!r}\nTEXT = {json.dumps([parts, wish])!r}\n{_BEGIN}"
    packed = base64.b64encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii")
    return f'import base64, zlib\nexec(zlib.decompress(base64.b64decode("{packed}")))\n'.encode("ascii")


def argument(positions):
    """The program's one argument."""
    return pack(positions)


def answer(code, out, err):
    """What the program answered: the map that `log_reader.Reader.look` returned, or `{"error": …}`.

    Raises:
        AnswerError: something else was run, or it did not come to its end.
    """
    for line in reversed(out.splitlines()):
        if line.startswith(MARK):
            try:
                return json.loads(line[len(MARK) :])
            except ValueError:
                break
    said = [line.strip() for line in (err or out).splitlines() if line.strip()]
    raise AnswerError(said[-1] if said else f"return code {code}, and it said nothing")
