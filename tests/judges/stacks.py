# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stacks that the judges see: which settings, and each rendered into a directory as it would lie on a host.

All profiles, none, each alone and each left out, each with VPN and proxy on and off, and a pairwise cover of everything
that a stack can differ in. Nothing is started: the same code renders as in a run, in this process. Secrets are made of
their own names, so that two runs of the judges see the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import pathlib
import posixpath
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [
    path for path in (str(ROOT / ".ansible" / "collections"), str(ROOT / "tests" / "unit")) if path not in sys.path
]

# pylint: disable=wrong-import-position
import allpairspy  # noqa: E402
import render_harness  # noqa: E402

from ansible_collections.homelab.mediastack.plugins.module_utils import (  # noqa: E402
    gpu_overlay,
    host_gpu,
    project_files,
    secret_store,
)

PROXY = "proxy"
# What a stack can differ in beside its profiles: setting → values. The first one is the default.
FACTORS = {
    "mediastack_ingress_style": ["host", "path"],
    "mediastack_tls": ["internal", "acme_dns", "none"],
    "mediastack_gpu": ["none", "qsv", "nvidia"],
    "mediastack_split_mounts": [False, True],
    "mediastack_bind_addresses": [["192.0.2.10"], ["127.0.0.1"]],
}
# What the host of the stacks has.
GPUS = host_gpu.Gpus(
    [host_gpu.Node("/dev/dri/renderD128", 105, "0x8086", "i915")], ["/dev/nvidia0"], "nvidia-container-runtime-hook"
)
_OF_PROXY = ("mediastack_ingress_style", "mediastack_tls")


@dataclasses.dataclass(frozen=True)
class Stack:
    """A name to find it again, and the settings that make it."""

    name: str
    settings: dict


def profiles():
    """Every profile of the catalogue, sorted, but the one that is always there."""
    from ansible_collections.homelab.mediastack.plugins.plugin_utils import service_files

    facts = service_files.scan(service_files.find())
    return sorted({profile for fact in facts.values() for profile in fact.profiles} - {"always"})


def every():
    """All stacks to judge, those that are the same left out."""
    named = profiles()
    others = [profile for profile in named if profile != PROXY]
    shapes = [("all", others), ("none", [])]
    shapes += [(f"only-{profile}", [profile]) for profile in others]
    shapes += [(f"without-{profile}", [other for other in others if other != profile]) for profile in others]
    stacks = [
        _stack(f"{name}-{'vpn' if vpn else 'open'}{'-proxy' if proxy else ''}", chosen, vpn, proxy)
        for (name, chosen), vpn, proxy in itertools.product(shapes, (True, False), (True, False))
    ]
    return [*stacks, *_pairs(named)]


def _stack(name, chosen, vpn, proxy, **more):
    settings = {
        "mediastack_profiles": sorted([*chosen, *([PROXY] if proxy else [])]),
        "mediastack_bind_addresses": FACTORS["mediastack_bind_addresses"][0],
        **({"mediastack_domain": "home.example.org"} if proxy else {}),
        **(render_harness.VPN if vpn else render_harness.NO_VPN),
        **more,
    }
    if settings.get("mediastack_tls") == "acme_dns":
        settings |= {
            "mediastack_acme_email": "me@example.org",
            "mediastack_acme_provider": "cloudflare",
            "mediastack_acme_credentials": {"CF_DNS_API_TOKEN": _value({}, "CF_DNS_API_TOKEN")},
        }
    return Stack(name, settings)


def _pairs(named):
    """Stacks in which every two values of any two factors stand together at least once."""
    factors = [[True, False] for _profile in [*named, "vpn"]] + list(FACTORS.values())
    for number, row in enumerate(allpairspy.AllPairs(factors), start=1):
        switches, vpn, rest = row[: len(named)], row[len(named)], row[len(named) + 1 :]
        chosen = [profile for profile, on in zip(named, switches, strict=True) if on and profile != PROXY]
        proxy = switches[named.index(PROXY)]
        more = dict(zip(FACTORS, rest, strict=True))
        if not proxy:
            more = {name: value for name, value in more.items() if name not in _OF_PROXY}
        if more["mediastack_split_mounts"]:
            more |= {"mediastack_media_path": "/mnt/media", "mediastack_downloads_path": "/mnt/downloads"}
        yield _stack(f"pairs-{number}", chosen, vpn, proxy, **more)


@dataclasses.dataclass(frozen=True)
class File:
    """A rendered file.

    Attributes:
        path: below the project's directory.
        text: as the host has it.
        readable: as a judge of secrets sees it: without the labels of content, and where only root may read the file
            also without the secrets that are put there, for they belong there.
        secret: whether it is one that is there to hold secrets (`secrets/`, `.env`).
    """

    path: str
    text: str
    readable: str
    secret: bool


def render(world, stack):
    """The files of a stack as the host would have them, by `render_harness.World.bundle`; without programs."""
    bundle = world.bundle(**stack.settings)
    gpu_overlay.settle(bundle, GPUS)
    project, services = bundle["project"]["path"], bundle["services"]
    values = {name: _value(spec, name) for name, spec in bundle["secrets"].items()}
    images = {name: service["image"] for name, service in services.items()}
    address = (stack.settings.get("mediastack_bind_addresses") or ["192.0.2.10"])[0]
    tokens = secret_store.SecretStore("/nonexistent").tokens(values, address, images)
    labels = {name: hashlib.sha256(service["config_hash"].encode()).hexdigest() for name, service in services.items()}
    files = []
    for entry in bundle["files"]:
        path, content = posixpath.relpath(entry["path"], project), entry["content"]
        encoding = entry.get("encoding") or secret_store.encoding_for(path)
        if encoding == project_files.PACKED:
            continue
        private = int(entry["mode"], 8) & 0o077 == 0
        readable = content if private else tokens(content, encoding, None, path)
        files.append(File(path, tokens(content, encoding, labels, path), readable, entry["secret"]))
    return files


def write(directory, files):
    """Put the files of a stack into *directory*, below it even where a host has them beside its project."""
    for file in files:
        path = directory / file.path.replace("../", "")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")


def _value(spec, name):
    """A secret made of its own name, of the length that is asked for."""
    if spec.get("value") is not None:
        return str(spec["value"])
    length = (spec.get("generate") or {}).get("length", 32)
    return (hashlib.sha512(name.encode()).hexdigest() * 4)[:length]
