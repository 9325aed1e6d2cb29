# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stack linter: what is wrong with a Compose project although `docker compose config` passes.

`refusals` is the part that `site` runs at render time: what the engine would refuse, half way through a deployment, and
what would let traffic out of the VPN. The rest is for `config_validate`.
"""

from __future__ import annotations

from . import lint_containment, lint_engine, lint_paths, lint_project, lint_syntax
from .lint_model import ERROR, LEVELS, of_documents


def model_of(catalogue, stack, settings):
    """The model of a rendered stack.

    Args:
        catalogue: the rendered `catalogue.Catalogue`.
        stack: the assembled `assemble.Stack`.
        settings: resolved `mediastack_*` values.
    """
    documents = [*stack.documents.values(), *([stack.overrides] if stack.overrides else [])]
    meta = {name: service.meta for name, service in catalogue.services.items()}
    return of_documents(documents, meta=meta, split_mounts=settings["mediastack_split_mounts"])


def lint(model):
    """Every `lint_model.Finding` about a `lint_model.Model`, errors first, sorted."""
    found = [*_strict(model), *lint_paths.check(model)]
    return sorted(set(found), key=lambda finding: (LEVELS.index(finding.level), finding))


def refusals(model, overrides=None):
    """The errors for which a deployment must not begin, as sentences.

    What comes from *overrides* (service → override) begins with the setting that it stands in.
    """
    return sorted({_named(finding, overrides or {}) for finding in _strict(model) if finding.level == ERROR})


def _named(finding, overrides):
    key = finding.where.partition(".")[0]
    return f"mediastack_overrides: {finding.text}" if key in overrides.get(finding.service, {}) else finding.text


def _strict(model):
    found = []
    for name, definition in model.services.items():
        found += lint_syntax.check(name, definition, model.services)
        found += lint_engine.check(name, definition)
    return [*found, *lint_project.check(model), *lint_containment.check(model)]
