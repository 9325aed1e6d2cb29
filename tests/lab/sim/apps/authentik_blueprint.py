# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`ak apply_blueprint FILE`: take a blueprint over into the database, or say why not."""

import pathlib
import sys

from .. import authentik_model
from . import authentik

BLUEPRINTS = pathlib.Path("/blueprints")


class APP:
    """One run of the command."""

    def __init__(self, name, args=(), env=None):
        """Find the database as the worker does."""
        self.files = list(args)
        self.app = authentik.APP(name, ["worker"], env)
        self.app.prepare()

    def run(self):
        """Return the exit code."""
        for name in self.files:
            model = self.app.load()
            if model is None:
                print("relation authentik_tenants_tenant does not exist", file=sys.stderr)
                return 1
            try:
                text = (BLUEPRINTS / name).read_text(encoding="utf-8")
                found = authentik_model.apply(model, text, authentik_model.SYSTEM)
            except (OSError, authentik_model.BlueprintError) as error:
                print(f"Blueprint invalid\n\t{error}", file=sys.stderr)
                return 1
            if not self.app.save(found):
                return 1
        return 0
