# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a run learns what should be there: our own bundle, or a Compose project that a user keeps on the host."""

from __future__ import annotations

import json
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import wanted
from ansible_collections.homelab.mediastack.plugins.module_utils.compose_cli import ComposeProject, project_files
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError


class SourceError(Exception):
    """There is nothing to learn from; the text says what is missing."""


class Bundled:
    """Our own stack: the bundle that the controller made."""

    def __init__(self, bundle, check, asked):
        """`asked`: services that the user named; empty: all."""
        self.bundle = bundle
        self.rendered = None
        #: service → image_choice.Chosen, set by a run that chooses; empty: as the bundle names them.
        self.chosen = {}
        #: Secrets that change: (name → value, name → value before), set by `rotate`; else None.
        self.turn = None
        self._check, self._asked = check, asked
        self._path = bundle["project"]["path"]

    @property
    def project_name(self):
        """Name of the Compose project."""
        return self.bundle["project"]["name"]

    def look(self, _project, left=()):
        """name → Wanted; plans the files of the bundle on the way (`rendered`), without the apps' own files of
        services that are `left` as they are.
        """
        from ansible_collections.homelab.mediastack.plugins.module_utils.rendered import Rendered

        selected = wanted.selection(self.graph(), self._asked)
        images = {name: one.image for name, one in self.chosen.items()}
        due = [name for name in selected if name not in left]
        self.rendered = Rendered(self.bundle, self._check, due, images, self.turn)
        return self._as_chosen(wanted.from_bundle(self.bundle["services"], self.rendered.labels))

    def _as_chosen(self, services):
        for name, one in self.chosen.items():
            services[name] = services[name]._replace(image=one.image, digest=one.digest, image_id=one.image_id)
        return services

    def graph(self):
        """name → Wanted without what only the files tell: for runs that render nothing."""
        return self._as_chosen(wanted.from_bundle(self.bundle["services"], {}))

    def compose(self, name):
        """The ComposeProject, with the files as they are on the host now."""
        return ComposeProject(name, self._path, project_files(self._path))


class Plain:
    """A Compose project that is not ours to write: its files say what should be there, Compose's own hash what
    differs.
    """

    rendered = None

    def __init__(self, docker, path, profiles):
        """`profiles`: names of Compose profiles to switch on."""
        self._docker, self._path, self._profiles = docker, path, list(profiles)
        self._known = None

    @property
    def project_name(self):
        """Name of the Compose project, as Compose itself finds it."""
        return self._config(None)["name"]

    def look(self, project, _left=()):
        """name → Wanted, by two to five calls of `docker compose config`."""
        config = wanted.resolve_parents(self._config(project.name), project)
        hashes = {name: [value] for name, value in self._hashes(config, project.name).items()}
        if any(container.config_hash not in hashes.get(container.service, ()) for container in project.containers):
            # Up to Compose 2.26 the hash tells apart what was made with `--no-deps`, as we do, and without, as people
            # do.
            variants = [wanted.without_needs(config)]
            kept = wanted.with_kept_images(config, project)
            if kept != config:
                variants += [kept, wanted.without_needs(kept)]
            for variant in variants:
                for name, value in self._hashes(variant, project.name).items():
                    hashes[name].append(value)
        return wanted.from_config(self._config(project.name), hashes)

    def _hashes(self, config, name):
        compose = self.compose(name)
        done = self._docker.run(*compose.hashes(), stdin=json.dumps(config), cwd=self._path, env=compose.environ)
        return dict(line.split()[:2] for line in done.out.splitlines() if len(line.split()) >= 2)

    def graph(self):
        """name → Wanted without hashes."""
        return wanted.from_config(self._config(None), {}) if project_files(self._path) else {}

    def compose(self, name):
        """The ComposeProject."""
        files = project_files(self._path)
        if not files:
            raise SourceError(
                "there is no Compose file in %s: set project_path to the directory that holds compose.yaml" % self._path
            )
        # As with `docker compose` by hand, the environment may fill in variables; which files and project are meant
        # it may not.
        environ = {key: value for key, value in os.environ.items() if not key.startswith("COMPOSE_")}
        return ComposeProject(name, self._path, files, self._profiles, environ)

    def _config(self, name):
        if self._known is None:
            compose = self.compose(name)
            try:
                done = self._docker.run(*compose.config(), cwd=self._path, env=compose.environ)
                self._known = json.loads(done.out)
            except ValueError as error:
                raise DockerError("'docker compose config' in %s printed no JSON: %s" % (self._path, error)) from error
        return self._known
