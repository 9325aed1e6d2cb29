# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One look of a follower: a short program on the host, which takes the positions and prints what is new as JSON.

It is no module because a follower looks twice a second, and starting a module takes longer than looking.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import zlib

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, docker_cli, log_reader

# Shells and login scripts print things of their own.
MARK = "mediastack-logs:"


def pack(positions):
    """Positions as one word of a command line; they hold no secret."""
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(positions).encode("utf-8"))).decode("ascii")


def unpack(word):
    """The positions that `pack` was given."""
    return json.loads(zlib.decompress(base64.urlsafe_b64decode(word)).decode("utf-8"))


def main(wish, word):
    """Look once and print the answer. `wish`: fields of `log_reader.Wish`; `word`: of `pack`."""
    try:
        asked = log_reader.Wish(**dict(wish, positions=unpack(word), follow=True))
        answer = log_reader.look(docker_cli.Docker(), asked)
    except (log_reader.TooLong, docker_cli.DockerError, atomic_files.FileError, re.error) as error:
        answer = {"error": str(error)}
    sys.stdout.write("\n%s%s\n" % (MARK, json.dumps(answer)))
