# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The environment that gluetun would get from a rendered stack, and what gluetun would say to it."""

from __future__ import annotations

import re

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_settings

from .fragments import as_map
from .lint_model import ERROR, WARNING, Finding
from .ports import VPN_PARENT
from .table import tag

_SECRETS = "/run/secrets"
_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|\{(?P<braced>\w+)(?:(?P<operator>:?[-+?])(?P<word>[^}]*))?\}|(?P<bare>\w+))"
)


def check(model, meta, secrets, variables):
    """The findings of gluetun's own rules; none without gluetun.

    Args:
        model: the `lint_model.Model`.
        meta: `x-mediastack` of gluetun.
        secrets: secret name → text, of those that the inventory gives.
        variables: what `.env` sets, name → text.
    """
    definition = model.services.get(VPN_PARENT)
    if not definition:
        return []
    env = {
        name: fill(str(value), variables)
        for name, value in as_map(definition.get("environment")).items()
        if value is not None
    }
    texts = {}
    for name, spec in (meta.get("secret_files") or {}).items():
        text = secrets.get(spec if isinstance(spec, str) else spec.get("secret", name))
        if text is not None:
            texts[name] = text
    files = {f"{_SECRETS}/{name}": text for name, text in texts.items()}
    env = gluetun_settings.with_secrets(env, texts)
    release = tag(str(definition.get("image") or ""))
    problems = gluetun_settings.validate(env, release, files)
    doubts = gluetun_settings.warnings(env, release, files)
    where = f"gluetun {release}"
    return [
        *(Finding(ERROR, VPN_PARENT, where, problem.rstrip(".")) for problem in problems),
        *(Finding(WARNING, VPN_PARENT, where, doubt.rstrip(".")) for doubt in doubts),
    ]


def fill(text, variables):
    """*text* with Compose's variables put in; one that is not set is empty."""

    def value(match):
        if match["dollar"]:
            return "$"
        known = variables.get(match["braced"] or match["bare"])
        operator = match["operator"] or ""
        # With a colon an empty variable counts as not set.
        given = bool(known) if operator.startswith(":") else known is not None
        if operator.endswith("-") and not given:
            return match["word"]
        if operator.endswith("+"):
            return match["word"] if given else ""
        return str(known) if known is not None else ""

    return _VARIABLE.sub(value, text)
