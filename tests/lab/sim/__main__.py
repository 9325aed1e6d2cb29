# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Start one stand-in, or the wrapper of a real program: ``start APP [argument …]``."""

import importlib
import sys

from . import core, faults, identity


def main(argv):
    """Run the app named first; the rest is the container's command."""
    if not argv:
        sys.exit("usage: start APP [argument …]")
    module = importlib.import_module(f".apps.{argv[0].replace('-', '_')}", __package__)
    try:
        app = module.APP(argv[0], argv[1:])
    except faults.FaultError as error:
        identity.leave(identity.StartError(f"LAB_FAULTS: {error}", 64))
    sys.exit(app.run() if hasattr(app, "run") else core.run(app))


if __name__ == "__main__":
    main(sys.argv[1:])
