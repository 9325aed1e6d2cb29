#!/usr/bin/env python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run detect-secrets with its own defaults on the files named on stdin, NUL between them.

Prints a JSON list of `[type, file, line, value]`. The tool's own command prints digests only, and one cannot tell from
them what was found.
"""

import json
import sys

from detect_secrets.core import scan
from detect_secrets.settings import default_settings


def main():
    """Scan, print."""
    names = [name for name in sys.stdin.read().split("\0") if name]
    with default_settings():
        found = [
            [secret.type, name, secret.line_number, secret.secret_value]
            for name in names
            for secret in scan.scan_file(name)
        ]
    print(json.dumps(sorted(found)))


if __name__ == "__main__":
    main()
