# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which images the catalogue names, and what the lab runs under each name."""

import dataclasses
import difflib
import hashlib
import json
import pathlib
import re
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TABLE = HERE / "images.toml"
IMAGE_LINE = re.compile(r"""^\s+image:\s*(?P<name>\S.*?)\s*(?:#.*)?$""", re.MULTILINE)
LITERAL = re.compile(
    r"""^["']?(?P<repository>[a-z0-9][a-z0-9._/-]*(?::\d+/[a-z0-9._/-]+)?):(?P<tag>[\w][\w.-]{0,127})["']?$"""
)


class LabError(Exception):
    """What stops the lab, in words for the person at the terminal."""


@dataclasses.dataclass(frozen=True)
class Image:
    """One image of the catalogue and its entry in images.toml."""

    name: str  # as the catalogue names it, with tag
    entry: str  # key in images.toml
    spec: dict

    @property
    def tag(self):
        """Return the tag."""
        return self.name.rpartition(":")[2]

    @property
    def lab_name(self):
        """Return the name under which the lab keeps it."""
        return f"mediastack-lab/{self.entry}:{self.tag}"

    @property
    def app(self):
        """Return the file of tests/lab/sim/apps."""
        return self.spec.get("app", self.entry).replace("-", "_")

    @property
    def version(self):
        """Return the version that a stand-in claims: the numbers of the tag, or the tag."""
        match = re.search(r"\d+(?:\.\d+)+", self.tag)
        return match[0] if match and self.entry != "gluetun" else self.tag


def table():
    """Return images.toml."""
    with TABLE.open("rb") as stream:
        return tomllib.load(stream)


def plain(repository):
    """Return a repository without what Docker adds to it."""
    return repository.removeprefix("docker.io/").removeprefix("library/")


def named_in(folder):
    """Return the image names that stand in the service files below a folder, sorted.

    Raises LabError for what it cannot read.
    """
    names = {}
    for path in sorted(pathlib.Path(folder).rglob("*.yml.j2")):
        for match in IMAGE_LINE.finditer(path.read_text(encoding="utf-8")):
            literal = LITERAL.match(match["name"])
            if not literal:
                raise LabError(
                    f"{path}: image {match['name']}: the lab reads images as repository:tag, written out, "
                    "with no expression or digest in it"
                )
            names[f"{literal['repository']}:{literal['tag']}"] = path
    return names


def catalogue(folders, only=()):
    """Return the Image of every name in the folders' service files; only: entries or app names to keep.

    Raises LabError when images.toml has no entry for a name, or when only names something that does not exist.
    """
    entries = table()["image"]
    by_repository = {repository: entry for entry, spec in entries.items() for repository in spec["repositories"]}
    images = []
    for folder in folders:
        for name, path in named_in(folder).items():
            entry = by_repository.get(plain(name.rpartition(":")[0]))
            if entry is None:
                near = difflib.get_close_matches(name.rpartition(":")[0], by_repository, 1)
                hint = f" (the closest is {near[0]})" if near else ""
                raise LabError(f"{path}: nothing in {TABLE.relative_to(ROOT)} stands in for {name}{hint}; add an entry")
            images.append(Image(name, entry, entries[entry]))
    if only:
        known = {image.entry for image in images}
        for wanted in only:
            if wanted not in known:
                near = difflib.get_close_matches(wanted, known, 1) or sorted(known)
                raise LabError(f"--only {wanted}: no such image; did you mean {', '.join(near)}?")
        images = [image for image in images if image.entry in only]
    return images


def digest(*parts):
    """Return a short fingerprint of texts, bytes and JSON values."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode())
        total.update(b"\0")
    return total.hexdigest()[:16]


def digest_of_tree(folder):
    """Return the fingerprint of a folder's files, names and modes; compiled Python does not count."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return digest(
        *(
            part
            for path in files
            for part in (str(path.relative_to(folder)), path.stat().st_mode & 0o111, path.read_bytes())
        )
    )
