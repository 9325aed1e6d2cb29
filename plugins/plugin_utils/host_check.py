# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that can be said about a host's configuration without asking the host, as findings."""

from __future__ import annotations

import dataclasses
import os
import re

from . import catalogue, gluetun_environment, lint_model, notify_rules, render, settings, stack_lint
from .errors import RenderError
from .lint_model import ERROR, WARNING, Finding
from .ports import VPN_PARENT
from .settings import PREFIX

# `mediastack_puid (host_vars/nas.yml:3): what is wrong`, as the settings say it.
_SENTENCE = re.compile(rf"(?P<where>{PREFIX}\w+(?: \((?:[^()]|\([^()]*\))*\))?): (?P<message>.*)", re.DOTALL)


def check(task_vars, templar, open_files=None):
    """All findings about one host.

    Args:
        task_vars: its variables, untemplated.
        templar: an action's.
        open_files: function of the resolved settings that returns sentences about files with secrets; None: not asked.

    Returns:
        `(findings, notes)`: findings sorted, errors first; notes are sentences on what was not looked at.
    """
    found = []
    try:
        renderer = render.Renderer(render.user_directory(task_vars))
    except RenderError as error:
        renderer = None
        found += _rendering(error)
    try:
        resolved = settings.resolve(
            task_vars, templar, known=lambda: catalogue.names_of(renderer.facts) if renderer else None
        )
    except settings.SettingsError as error:
        return _sorted([*found, *(_setting(ERROR, sentence) for sentence in error.errors)]), []
    found += [_setting(WARNING, sentence) for sentence in resolved.warnings]
    found += [_setting(ERROR, sentence) for sentence in notify_rules.slow_problems(resolved.values)]
    found += [Finding(ERROR, "", "", text.rstrip(".")) for text in (open_files(resolved) if open_files else [])]
    if renderer:
        try:
            found += _stack(renderer, resolved.values, task_vars, templar)
        except RenderError as error:
            found += _rendering(error)
    extra = resolved.values[PREFIX + "compose_files"]
    notes = [f"not looked at, for they are on the host ({PREFIX}compose_files): {', '.join(extra)}"] if extra else []
    return _sorted(found), notes


def _stack(renderer, values, task_vars, templar):
    rendered = renderer.render(values, task_vars, templar, renderer.select(values))
    model = stack_lint.model_of(rendered.catalogue, rendered.stack, values)
    found = list(stack_lint.lint(model))
    secrets = {}
    try:
        bundle = renderer.build(rendered, values, templar)
    except RenderError as error:
        found += _rendering(error)
    else:
        secrets = {name: spec.get("value") for name, spec in bundle["secrets"].items()}
    variables = {
        "TZ": values[PREFIX + "timezone"],
        "PUID": values[PREFIX + "puid"],
        "PGID": values[PREFIX + "pgid"],
        "UMASK": values[PREFIX + "umask"],
        **values[PREFIX + "env"],
    }
    meta = model.meta.get(VPN_PARENT) or {}
    return [*found, *gluetun_environment.check(model, meta, secrets, variables)]


def _setting(level, sentence):
    match = _SENTENCE.fullmatch(sentence)
    if match is None:
        return Finding(level, "", "", sentence.rstrip("."))
    return Finding(level, "", match["where"], match["message"].rstrip("."))


def _rendering(error):
    return [Finding(ERROR, "", "", problem.rstrip(".")) for problem in error.problems]


def from_here(finding):
    """A finding with the paths below the working directory as seen from there."""
    here = os.path.join(os.getcwd(), "")
    if here == os.sep:
        return finding
    where = finding.where.removeprefix(here).replace(f"({here}", "(")
    return dataclasses.replace(finding, where=where, message=finding.message.removeprefix(here))


def _sorted(found):
    return sorted(set(found), key=lambda finding: (lint_model.LEVELS.index(finding.level), finding))


def lines(findings_of, paint=None):
    """What to print: findings under the hosts that they are about, and a sentence that counts them.

    Args:
        findings_of: host → its findings.
        paint: function of (text, colour name) that colours a level; None: plain.

    Returns:
        `(lines, sentence)`.
    """
    hosts_of = {}
    for host, findings in findings_of.items():
        for finding in findings:
            hosts_of.setdefault(finding, []).append(host)
    blocks = {}
    for finding in _sorted(hosts_of):
        blocks.setdefault(tuple(hosts_of[finding]), []).append(finding)
    order = {host: number for number, host in enumerate(findings_of)}
    printed = []
    for hosts in sorted(blocks, key=lambda names: [order[name] for name in names]):
        printed.append(", ".join(hosts))
        for finding in blocks[hosts]:
            level = finding.level.ljust(len(WARNING))
            level = paint(level, "red" if finding.level == ERROR else "yellow") if paint else level
            printed.append(f"  {level}  {finding.text}")
    return printed, count(hosts_of)


def count(findings):
    """`3 problems: 1 error, 2 warnings`, or `no problems`."""
    findings = list(findings)
    if not findings:
        return "no problems"
    errors = sum(finding.level == ERROR for finding in findings)
    parts = [
        f"{number} {word}{'' if number == 1 else 's'}"
        for number, word in ((errors, ERROR), (len(findings) - errors, WARNING))
        if number
    ]
    return f"{len(findings)} problem{'' if len(findings) == 1 else 's'}: {', '.join(parts)}"
