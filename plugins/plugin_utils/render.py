# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From resolved settings to the bundle, in one call."""

from __future__ import annotations

import dataclasses
import pathlib

from . import bundle, catalogue, ingress, ingress_rules, service_files, stack_lint, volumes
from .assemble import Stack, assemble
from .errors import RenderError
from .plain_values import protect

USER_DIRECTORY = "services"


def user_directory(task_vars):
    """Where the user's own service files are: `services/` beside the host's inventory; None without an inventory."""
    inventory = task_vars.get("inventory_dir")
    return str(pathlib.Path(str(inventory)) / USER_DIRECTORY) if inventory else None


@dataclasses.dataclass(frozen=True)
class Rendered:
    """The selected apps, rendered (`catalogue`) and assembled (`stack`), with the variables that their files saw."""

    catalogue: catalogue.Catalogue
    stack: Stack
    variables: dict


class Renderer:
    """Everything that rendering starts from: the service files and what they say literally.

    Attributes:
        files: `service_files.find`'s result.
        facts: `service_files.scan`'s result.

    Raises:
        RenderError: a service file that cannot be read.
    """

    def __init__(self, user_dir=None, templates=service_files.TEMPLATES):
        self._templates = pathlib.Path(templates)
        self.files = service_files.find(user_dir, templates)
        self.facts = service_files.scan(self.files)

    def select(self, settings, also=()):
        """The selected apps, `also` among them in any case; their `like` bases are not."""
        selection = catalogue.select(
            self.facts,
            settings["mediastack_profiles"],
            settings["mediastack_services"],
            settings["mediastack_vpn_enabled"],
            also,
        )
        shadowed = tuple(
            f"{file.path} takes the place of the collection's {app}"
            for app, file in self.files.items()
            if file.own and app in selection.apps and self._is_shipped(app)
        )
        return catalogue.Selection(selection.apps, (*selection.messages, *shadowed))

    def _is_shipped(self, app):
        name = app + service_files.SUFFIX
        return any((self._templates / group / name).exists() for group in service_files.GROUPS)

    def bundle(self, settings, task_vars, templar, selection):
        """Render the selected apps and build the bundle; arguments as of `render`.

        Raises:
            RenderError: every problem found, and what the engine would refuse.
        """
        rendered = self.render(settings, task_vars, templar, selection)
        model = stack_lint.model_of(rendered.catalogue, rendered.stack, settings)
        refused = stack_lint.refusals(model, rendered.stack.effective)
        if refused:
            raise RenderError(refused)
        return self.build(rendered, settings, templar)

    def render(self, settings, task_vars, templar, selection):
        """Render and assemble the selected apps.

        Args:
            settings: resolved `mediastack_*` values.
            task_vars: the host's variables; service files may use them, `mediastack_x_*` for example.
            templar: the action's.
            selection: of `select`.

        Raises:
            RenderError: every problem found.
        """
        paths = bundle.paths_of(settings)
        members = catalogue.vpn_members(
            self.facts, selection.apps, settings["mediastack_vpn_services"], settings["mediastack_vpn_enabled"]
        )
        own = {
            **settings,
            **volumes.data_variables(paths),
            "mediastack_selected": list(selection.apps),
            "mediastack_vpn_members": list(members),
            "mediastack_ingress": ingress.is_on(selection.apps, settings),
            "mediastack_sso": ingress.has_sso(selection.apps, settings),
            "mediastack_acme_variables": {
                name: ingress_rules.variable(name) for name in settings["mediastack_acme_credentials"]
            },
            "mediastack_ingress_paths": ingress.shares_host(selection.apps, settings),
        }
        # Settings are final: nothing in them is templated again.
        variables = {**task_vars, **{name: protect(value) for name, value in own.items()}}
        loaded = catalogue.load(self.files, self.facts, selection, variables, templar)
        all_services = catalogue.names_of(self.facts).services
        stack = assemble(loaded, settings, members, all_services, paths)
        return Rendered(loaded, stack, variables)

    def build(self, rendered, settings, templar):
        """The bundle of what `render` returned.

        Raises:
            RenderError: every problem found.
        """

        def render_env(entries):
            path = self._templates / "env.j2"
            local = {**rendered.variables, "mediastack_env_entries": protect([list(entry) for entry in entries])}
            return catalogue.render(str(path), path.read_text(encoding="utf-8"), local, templar)

        return bundle.build(rendered.catalogue, rendered.stack, settings, render_env)
