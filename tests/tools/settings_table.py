# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the tables of settings in docs/settings.md: `python tests/tools/settings_table.py`."""

import json
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = ROOT / "roles" / "mediastack" / "meta" / "argument_specs.yml"
PAGE = ROOT / "docs" / "settings.md"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
_HEADING = re.compile(r" {6}# -- (.+?) -+")
_OPTION = re.compile(r" {6}(mediastack_[a-z_]+):")


def tables():
    """The tables as Markdown, one a heading of the specification."""
    text = SPEC.read_text(encoding="utf-8")
    options = yaml.safe_load(text)["argument_specs"]["settings"]["options"]
    lines = []
    for line in text.splitlines():
        heading, option = _HEADING.fullmatch(line), _OPTION.fullmatch(line)
        if heading:
            title = heading[1][0].upper() + heading[1][1:]
            lines += ["", f"### {title}", "", "| setting | type | default | what it is |", "|---|---|---|---|"]
        elif option:
            lines.append(_row(option[1], options[option[1]]))
    return "\n".join([BEGIN, *lines, "", END])


def _row(name, option):
    kind = (
        "one of " + ", ".join(f"`{choice}`" for choice in option["choices"]) if "choices" in option else option["type"]
    )
    default = f"`{json.dumps(option['default'])}`" if option["default"] != "" else ""
    description = option["description"]
    text = " ".join(description) if isinstance(description, list) else description
    text = re.sub(r"[CV]\(((?:[^()]|\([^()]*\))*)\)", r"`\1`", text)
    text = re.sub(r"U\(([^)]*)\)", r"<\1>", text).replace("|", "\\|")
    secret = " *Secret: never shown.*" if option.get("no_log") else ""
    return f"| `{name}` | {kind} | {default} | {text}{secret} |"


def page():
    """The page with its tables up to date."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return before + tables() + after


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
