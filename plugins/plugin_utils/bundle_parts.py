# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parts of the bundle that come from `x-mediastack`: secrets, preset config files, directories."""

from __future__ import annotations

import posixpath

from . import interpolation, volumes
from .errors import did_you_mean

DIRECTORY_MODE = "2775"
# TRaSH's layout: one tree, so that downloads are hard-linked into the library.
MEDIA = ("tv", "movies", "music", "books")
DOWNLOADS = (
    "torrents",
    *(f"torrents/{kind}" for kind in MEDIA),
    "usenet",
    "usenet/incomplete",
    "usenet/complete",
    *(f"usenet/complete/{kind}" for kind in MEDIA),
)


def config_directory(service, definition, paths):
    """The directory below the config path that the service mounts, or None: the one of its own name, else the first."""
    own = posixpath.join(paths["config"], service.name)
    mounted = [posixpath.normpath(source) for source, _target in volumes.binds(definition)]
    inside = [source for source in mounted if volumes.below(source, paths["config"])]
    if any(source == own or volumes.below(source, own) for source in inside):
        return own
    if inside:
        return posixpath.join(paths["config"], posixpath.relpath(inside[0], paths["config"]).split("/")[0])
    return None


def _config_base(service, paths):
    return config_directory(service, service.definition, paths) or posixpath.join(paths["config"], service.name)


class Secrets:
    """The secrets of all selected services.

    Attributes:
        specs: the bundle's `secrets`.
        problems: sentences.
    """

    def __init__(self, catalogue, settings, paths):
        self._catalogue = catalogue
        self._given = settings["mediastack_secrets"]
        self.specs = {}
        self.problems = []
        for service in catalogue.services.values():
            for name, spec in (service.meta.get("secrets") or {}).items():
                self._add(service, name, spec, settings, paths)

    def _add(self, service, name, spec, settings, paths):
        value = self._given.get(name)
        if value is not None and spec.get("issue"):
            self.problems.append(
                f"mediastack_secrets: {name}: is a certificate that the stack makes, as {service.path} says. "
                "Take it out."
            )
            return
        source = spec.get("from")
        if value is None and source:
            # A map of secrets is one setting.
            source, _dot, key = source.partition(".")
            if source not in settings:
                self.problems.append(
                    f"{service.path}: x-mediastack.secrets.{name}.from: {source!r} is no setting"
                    f"{did_you_mean(source, settings)}"
                )
                return
            value = settings[source][key] if key else settings[source]
            # Nothing given, but one can be made up.
            if value in (None, "") and spec.get("generate"):
                value = None
        entry = {
            "value": None if value is None else str(value),
            "generate": {"length": 32, **spec["generate"]} if spec.get("generate") else None,
            "adopt": [
                {**origin, "path": posixpath.join(_config_base(service, paths), origin["path"])}
                for origin in spec.get("adopt") or []
            ],
        }
        if spec.get("issue") and value is None:
            entry["issue"] = spec["issue"]
        if value is not None and name not in self._given:
            entry["given_by"] = spec["from"]
        if spec.get("fixed"):
            entry["fixed"] = spec["fixed"]
        if self.specs.setdefault(name, entry) != entry:
            self.problems.append(
                f"{service.path}: the secret {name} is defined differently by another service; name it after the "
                "service, "
                "as in {{ mediastack_service ~ '_api_key' }}"
            )

    def files(self, directory):
        """The secret files, for the bundle's `files`."""
        found = {}
        for service in self._catalogue.services.values():
            for name, spec in (service.meta.get("secret_files") or {}).items():
                spec = {"secret": spec} if isinstance(spec, str) else spec
                secret, owner = spec.get("secret", name), spec.get("owner", 0)
                if secret not in self.specs:
                    self.problems.append(
                        f"{service.path}: x-mediastack.secret_files.{name}: there is no secret {secret!r}"
                        f"{did_you_mean(secret, self.specs)}"
                    )
                entry = {
                    "path": posixpath.join(directory, name),
                    "content": spec.get("content", f"@@mediastack:secret:{secret}@@"),
                    "encoding": "raw",
                    "mode": "0400",
                    "owner": owner,
                    "group": spec.get("group", 0),
                    "secret": True,
                }
                if found.setdefault(name, entry) != entry:
                    self.problems.append(
                        f"{service.path}: the secret file {name} is defined differently by another service; give it "
                        "another name"
                    )
        return list(found.values())

    def undefined(self, places):
        """The problems of tokens that stand for no secret.

        Args:
            places: path → text, or nested lists and maps of text.
        """
        problems = []
        for place, content in places.items():
            for whole, kind, name in interpolation.tokens(content):
                if kind in (*interpolation.SECRET_KINDS, *interpolation.PUBLIC_KINDS) and name not in self.specs:
                    problems.append(
                        f"{place}: {whole}: no selected service defines the secret {name!r} in x-mediastack.secrets"
                        f"{did_you_mean(name, self.specs)}"
                    )
        return problems


def presets(catalogue, settings, paths):
    """The bundle's `presets`."""
    found = []
    for service in catalogue.services.values():
        for preset in service.meta.get("presets") or []:
            found.append(
                {
                    "service": service.name,
                    "path": posixpath.join(_config_base(service, paths), preset["path"]),
                    "format": preset["format"],
                    "mode": str(preset.get("mode", "0600")),
                    "owner": settings["mediastack_puid"],
                    "group": settings["mediastack_pgid"],
                    "content": preset.get("content", ""),
                    "keys": [{"replace": None, **key} for key in preset.get("keys") or []],
                    **({"rotate": preset["rotate"]} if preset.get("rotate") else {}),
                }
            )
    return found


def directories(catalogue, stack, settings, paths, all_presets):
    """The bundle's `directories`, parents first: base tree, mounted config directories, what services ask for."""
    puid, pgid = settings["mediastack_puid"], settings["mediastack_pgid"]
    found = {}

    def add(path, mode=DIRECTORY_MODE, owner=puid, group=pgid):
        found[posixpath.normpath(path)] = {
            "path": posixpath.normpath(path),
            "mode": str(mode),
            "owner": owner,
            "group": group,
        }

    for path in (paths["base"], paths["config"], paths["media"], paths["downloads"]):
        add(path)
    for name in MEDIA:
        add(posixpath.join(paths["media"], name))
    for name in DOWNLOADS:
        add(posixpath.join(paths["downloads"], name))
    rendered = {preset["path"] for preset in all_presets}
    wanted = [posixpath.dirname(path) for path in rendered]
    for definition in stack.definitions.values():
        wanted += [source for source, _target in volumes.binds(definition) if source not in rendered]
    for path in wanted:
        path = posixpath.normpath(path)
        while volumes.below(path, paths["config"]):
            add(path)
            path = posixpath.dirname(path)
    for service in catalogue.services.values():
        for entry in service.meta.get("directories") or []:
            add(
                posixpath.join(_config_base(service, paths), entry["path"]),
                entry.get("mode", DIRECTORY_MODE),
                entry.get("owner", puid),
                entry.get("group", pgid),
            )
    add(paths["project"], "0750", 0, 0)
    add(paths["backup"], "0700", 0, 0)
    if any(service.meta.get("secret_files") for service in catalogue.services.values()):
        add(posixpath.join(paths["project"], "secrets"), "0700", 0, 0)
    return [found[path] for path in sorted(found)]
