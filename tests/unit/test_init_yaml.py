# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Editing a vars file by its lines: what is not meant keeps every byte, no comment is lost, it reads as meant."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.homelab.mediastack.plugins.plugin_utils import init_yaml

LIVED_IN = """---
# head
mediastack_puid: 1000  # me
mediastack_profiles:   # which
  - jellyfin   # family
  # inner
  - music

# before ports
mediastack_ports: {sonarr: 8990} # flow
my_own: "{{ lookup('env', 'X') }}"
secret: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  6162

text: |
  a
  # not a comment
  b

anchored: &here [1]
alias: *here
empty:
last: 5"""


def test_a_change_of_one_key_is_a_change_of_one_line():
    after = init_yaml.edit(LIVED_IN, {"mediastack_puid": 7})
    assert after == LIVED_IN.replace("mediastack_puid: 1000  # me", "mediastack_puid: 7  # me")


def test_new_keys_are_appended_and_the_rest_stays():
    after = init_yaml.edit(LIVED_IN, {"new": ["a", "no"]})
    assert after == LIVED_IN + "\nnew:\n  - a\n  - 'no'\n"


def test_comments_inside_a_replaced_value_move_above_it():
    after = init_yaml.edit(LIVED_IN, {"mediastack_profiles": ["books"], "text": "x\ny\n"})
    assert "# which\n# family\n# inner\nmediastack_profiles:\n  - books\n\n# before ports\n" in after
    assert "text: |\n  x\n  y\n\nanchored" in after


def test_a_comment_behind_a_line_does_not_become_text():
    after = init_yaml.edit("key: 1 # why\n", {"key": "a\nb\n"})
    assert after == "# why\nkey: |\n  a\n  b\n"


def test_removal_takes_the_lines_and_leaves_the_comments():
    after = init_yaml.edit(LIVED_IN, {}, ["mediastack_profiles", "last", "never there"])
    assert "# head\nmediastack_puid: 1000  # me\n# which\n# family\n# inner\n\n# before ports\n" in after
    assert after.endswith("empty:\n")


@pytest.mark.parametrize(
    ("key", "what"),
    [("my_own", "an expression"), ("secret", "!vault"), ("anchored", "an anchor"), ("alias", "an anchor")],
)
def test_what_a_program_leaves_alone(key, what):
    with pytest.raises(init_yaml.VarsFileError, match=f"{key} holds {what}"):
        init_yaml.edit(LIVED_IN, {key: 1})
    assert init_yaml.entries(LIVED_IN)[key].fixed == what


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- a\n", "must be a map"),
        ("{a: 1}\n", "one pair of braces"),
        ("a: [1\n", "line 2: not YAML"),
        ("a: 1\n---\nb: 2\n", "not YAML"),
        ("? a\n: 1\n", "must be a plain name"),
        ("a\n", "must be a map"),
    ],
)
def test_what_cannot_be_edited_is_refused(text, why):
    with pytest.raises(init_yaml.VarsFileError, match=why):
        init_yaml.edit(text, {"b": 1})


@pytest.mark.parametrize("text", ["", "---\n", "# only a comment\n", "---\n# head\n", "\n\n"])
def test_a_file_without_keys_takes_the_first(text):
    after = init_yaml.edit(text, {"b": "x"})
    assert after == text + "b: x\n"


def test_a_document_end_and_windows_lines_are_kept():
    assert init_yaml.edit("a: 1\n...\n", {"b": 2}) == "a: 1\nb: 2\n...\n"
    assert init_yaml.edit("a: 1\r\n", {"b": ["x"]}) == "a: 1\r\nb:\r\n  - x\r\n"


def test_of_a_key_that_stands_twice_the_last_counts():
    assert init_yaml.edit("a: 1\na: 2\n", {"a": 3}) == "a: 1\na: 3\n"


def test_what_ansible_would_template_is_marked():
    text = init_yaml.dump("key", {"a": "x{{y}}", "b": ["{% z", "plain"], "c": "l1{#\nl2\n"})
    assert text.count("!unsafe") == 3
    assert init_yaml.load(text) == {"key": {"a": "x{{y}}", "b": ["{% z", "plain"], "c": "l1{#\nl2\n"}}
    assert init_yaml.entries(text)["key"].fixed is None
    assert init_yaml.edit(text, {"key": "z"}) == "key: z\n"


NAMES = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("on", "off", "no", "yes", "y", "n")
)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
SCALARS = st.one_of(
    TEXT,
    st.integers(-9, 70000),
    st.booleans(),
    st.sampled_from(["a\nb\n", "a\nb", "a\n\n", "\n", " a\n b\n"]),
    st.just("{{ x }}"),
    st.just("# no"),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(NAMES, SCALARS, max_size=3))
COMMENT = st.from_regex(r"#[ a-z:{}!&*'-]{0,12}", fullmatch=True)


@st.composite
def files(draw):
    """A vars file as people write them: values in any style, comments and blank lines between and behind."""
    lines, keys = draw(st.sampled_from([[], ["---"]])), draw(st.lists(NAMES, max_size=5, unique=True))
    for key in keys:
        lines += draw(st.lists(st.one_of(st.just(""), COMMENT), max_size=2))
        value, flow = draw(VALUES), draw(st.booleans())
        entry = yaml.safe_dump({key: value}, default_flow_style=flow, allow_unicode=True, width=10**6).rstrip("\n")
        entry = entry[1:-1] if flow else entry
        if "{{" in entry:
            entry = yaml.safe_dump({key: "plain"}).rstrip("\n")
        if "\n" not in entry and draw(st.booleans()):
            entry += "  " + draw(COMMENT)
        lines.append(entry)
    lines += draw(st.lists(st.one_of(st.just(""), COMMENT), max_size=2))
    return "\n".join(lines) + draw(st.sampled_from(["", "\n"]))


@settings(max_examples=300, deadline=None)
@given(files(), st.dictionaries(NAMES, VALUES, max_size=3), st.lists(NAMES, max_size=2))
def test_any_edit_reads_as_meant_and_loses_nothing(text, changes, removals):
    try:
        before = init_yaml.load(text)
    except init_yaml.VarsFileError:
        return
    removals = [name for name in [*removals, *list(before)[:1]] if name not in changes]
    after = init_yaml.edit(text, changes, removals)
    expected = {**before, **changes}
    assert init_yaml.load(after) == {name: value for name, value in expected.items() if name not in removals}
    untouched = [
        entry for name, entry in init_yaml.entries(text).items() if name not in changes and name not in removals
    ]
    for entry in untouched:
        assert text[entry.start : entry.end] in after
    assert sorted(comments(text) - comments(after)) == []
    assert init_yaml.edit(after, {}, removals) == after


def comments(text):
    """The comments of a YAML text: what stands between its tokens."""
    found, position = set(), 0
    for token in yaml.scan(text):
        found |= set(re.findall(r"#[^\n]*", text[position : token.start_mark.index]))
        position = max(position, token.end_mark.index)
    return found | set(re.findall(r"#[^\n]*", text[position:]))
