# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find service files and read from them, without rendering, what selection needs to know.

A service file is a template, yet names must be known before anything is rendered: to refuse an unknown profile, and to
render only what is selected. So the template is read once with every expression replaced by a placeholder (and
`mediastack_service` by the app's name) and parsed as YAML. What selection reads (names of services, `profiles`,
`requires`, `replaces`, `like`) must therefore stand there literally.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import re

import jinja2

from . import compose_yaml
from .errors import RenderError, did_you_mean

GROUPS = ("core", "media", "request", "infrastructure")
OWN_GROUP = "services"
SUFFIX = ".yml.j2"
COLLECTION_ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATES = COLLECTION_ROOT / "compose_templates"

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*\Z")
_PLACEHOLDER = "__templated__"
_TO_JSON = re.compile(r"\|\s*(?:ansible\.builtin\.)?to_json\s*\Z")
_PART = re.compile(r"\s*(?:(mediastack_service)|'([^'\\]*)'|\"([^\"\\]*)\")\s*\Z")


@dataclasses.dataclass(frozen=True)
class ServiceFile:
    """One file: `app` is its unit of selection, `group` decides the Compose file it is written to."""

    app: str
    group: str
    path: str
    text: str

    @property
    def own(self):
        """Whether it is the user's, not the collection's."""
        return self.group == OWN_GROUP


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a service file says literally.

    `services` maps each service to the names of its ports; `like` is the app it starts from, or None.
    """

    app: str
    group: str
    path: str
    services: dict
    profiles: tuple
    requires: tuple
    replaces: tuple
    like: str | None
    secrets: tuple


def find(user_dir=None, templates=TEMPLATES):
    """All service files, by app. A user's file wins over the collection's of the same name.

    Args:
        user_dir: the directory that holds the user's `*.yml.j2`, or None.
        templates: the collection's `compose_templates`.

    Returns:
        `{app: ServiceFile}`, in the order core, media, request, infrastructure, the user's; by name within a group.

    Raises:
        RenderError: a file name that cannot be a service's name, or a file that cannot be read.
    """
    files, problems = {}, []
    folders = [(group, pathlib.Path(templates) / group) for group in GROUPS]
    if user_dir:
        folders.append((OWN_GROUP, pathlib.Path(user_dir)))
    for group, folder in folders:
        for path in sorted(folder.glob("*" + SUFFIX)):
            app = path.name[: -len(SUFFIX)]
            if not _NAME.match(app):
                problems.append(
                    f"{path}: {app!r} cannot name a service: use lower-case letters, digits, '-', '_' and '.'"
                )
                continue
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{path}: cannot be read: {error}")
                continue
            files.pop(app, None)
            files[app] = ServiceFile(app, group, str(path), text)
    if problems:
        raise RenderError(problems)
    return files


def scan(files):
    """The facts of every file, by app.

    Raises:
        RenderError: for every file whose facts cannot be read.
    """
    facts, problems = {}, []
    for app, file in files.items():
        try:
            facts[app] = _scan_one(file, files)
        except RenderError as error:
            problems.extend(error.problems)
    if problems:
        raise RenderError(problems)
    return facts


def warm():
    """Read the collection's files once, in the process that forks a worker for each host: they inherit the result."""
    with contextlib.suppress(RenderError):
        scan(find())


def _scan_one(file, files):
    document = _parse(file, file.app)
    services, metas = {}, []
    for name, definition in document["services"].items():
        meta = _mapping(definition, "x-mediastack")
        metas.append(meta)
        services[str(name)] = tuple(_mapping(meta, "ports"))
    first = metas[0]
    for meta in metas:
        for key in ("profiles", "requires", "replaces"):
            _check_names(file, key, meta.get(key, []))
    if not isinstance(first.get("profiles"), list):
        raise RenderError(
            f"{file.path}: x-mediastack.profiles is missing on its first service: give a list of profile names, "
            "[always], or [] for a service that only mediastack_services turns on"
        )
    secrets = [name for meta in metas for name in _mapping(meta, "secrets")]
    requires = [name for meta in metas for name in meta.get("requires", [])]
    likes = {meta["like"] for meta in metas if meta.get("like")}
    if len(likes) > 1:
        raise RenderError(
            f"{file.path}: x-mediastack.like stands on more than one service; one file starts from one app"
        )
    like = likes.pop() if likes else None
    if like is not None:
        base = _base_of(file, like, files)
        base_document = _parse(base, file.app)
        for name, definition in base_document["services"].items():
            meta = _mapping(definition, "x-mediastack")
            renamed = renamed_service(str(name), base.app, file.app)
            services[renamed] = tuple(dict.fromkeys((*_mapping(meta, "ports"), *services.get(renamed, ()))))
            requires.extend(meta.get("requires", []))
            secrets.extend(_mapping(meta, "secrets"))
    return Facts(
        app=file.app,
        group=file.group,
        path=file.path,
        services=services,
        profiles=tuple(first["profiles"]),
        requires=tuple(dict.fromkeys(requires)),
        replaces=tuple(name for meta in metas for name in meta.get("replaces", [])),
        like=like,
        secrets=tuple(dict.fromkeys(secrets)),
    )


def _base_of(file, like, files):
    base = files.get(like)
    if base is None or base.app == file.app:
        names = [name for name in files if name != file.app]
        raise RenderError(f"{file.path}: like: {like!r} is not another app{did_you_mean(like, names)}")
    if "like:" in base.text and any(
        _mapping(definition, "x-mediastack").get("like") for definition in _parse(base, base.app)["services"].values()
    ):
        raise RenderError(f"{file.path}: like: {like} is itself 'like' another app; name that one instead")
    return base


def renamed_service(name, base, app):
    """The name that a service of *base*'s file has in *app*'s file that says `like: base`.

    A file may name its services by `mediastack_service`; these have the new name already.
    """
    if name in (base, app):
        return app
    if name.startswith(base + "-") and not name.startswith(app + "-"):
        return app + name[len(base) :]
    return name


def _check_names(file, key, value):
    if not isinstance(value, list) or not all(isinstance(name, str) and _NAME.match(name) for name in value):
        raise RenderError(
            f"{file.path}: x-mediastack.{key} is {value!r}: it must be a literal list of names, "
            "because it is read before the file is rendered"
        )


def _mapping(parent, key):
    value = parent.get(key) if isinstance(parent, dict) else None
    return value if isinstance(value, dict) else {}


@functools.lru_cache(maxsize=512)
def _parse(file, app):
    """The document of *file* with placeholders, as the file of *app*; shared by all callers, who only read it."""
    try:
        document = compose_yaml.load(neutral(file.text, app), strict=False)
    except jinja2.TemplateSyntaxError as error:
        raise RenderError(f"{file.path}: line {error.lineno}: {error.message}") from error
    except compose_yaml.YamlError as error:
        raise RenderError(f"{file.path}: {error}") from error
    if not isinstance(document, dict) or not _mapping(document, "services"):
        raise RenderError(f"{file.path}: it has no service: a service file is a Compose fragment with 'services:'")
    for name in document["services"]:
        if not isinstance(name, str) or not _NAME.match(name) or _PLACEHOLDER in name:
            raise RenderError(
                f"{file.path}: {name!r} cannot name a service: "
                "write a literal lower-case name or {{ mediastack_service }}"
            )
    return document


@functools.lru_cache(maxsize=1)
def _lexer():
    return jinja2.Environment(autoescape=False)  # nosec B701 # noqa: S701 - only its lexer is used, nothing is rendered


def neutral(text, app):
    """The template *text* without its blocks and comments, with a placeholder for every expression.

    Raises:
        jinja2.TemplateSyntaxError: the text is not a template.
    """
    pieces, inside, last = [], None, 1
    for line, token, value in _lexer().lex(text):
        last = line
        if token == "data" and inside is None:
            pieces.append(value)
        elif token in ("variable_begin", "block_begin", "comment_begin", "raw_begin"):
            inside = [] if token != "raw_begin" else None
        elif token in ("variable_end", "block_end", "comment_end"):
            if token == "variable_end":
                pieces.append(_evaluate("".join(inside), app))
            inside = None
        elif inside is not None:
            inside.append(value)
    if inside is not None:
        raise jinja2.TemplateSyntaxError("an expression, a block or a comment is not closed", last)
    return "".join(pieces)


def _evaluate(expression, app):
    """The value of `mediastack_service`, of a quoted text and of such joined with `~`; a placeholder for all else."""
    result = ""
    for part in _TO_JSON.sub("", expression).strip().strip("()").split("~"):
        match = _PART.match(part)
        if not match:
            return _PLACEHOLDER
        result += app if match.group(1) else match.group(2) or match.group(3) or ""
    return result


def writes_literally(text, mark):
    """Whether the template *text* itself writes *mark* (`{{` or `{%`): in a raw block or in a quoted text."""
    return any(
        token == "raw_begin" or (token == "string" and mark in value) for _line, token, value in _lexer().lex(text)
    )
