# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shapes of Compose's keys, held against Compose's own schema (which check-jsonschema brings)."""

from __future__ import annotations

import json
import pathlib

import check_jsonschema
import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import compose_shapes as shapes
from ansible_collections.homelab.mediastack.plugins.plugin_utils import interpolation, lint_words, override_rules

SCHEMA = json.loads(
    (pathlib.Path(check_jsonschema.__file__).parent / "builtin_schemas/vendor/compose-spec.json").read_text()
)
NAMES = {
    "string": shapes.TEXT,
    "number": shapes.NUMBER,
    "integer": shapes.NUMBER,
    "boolean": shapes.TRUTH,
    "array": shapes.LIST,
    "object": shapes.MAP,
}
ONE_OF_EACH = {
    shapes.TEXT: "x",
    shapes.NUMBER: 5,
    shapes.TRUTH: True,
    shapes.LIST: ["x"],
    shapes.MAP: {"a": "x"},
}
# What the schema leaves open, or holds only for `build`.
ELSEWHERE = {"image", "umask"}


def resolved(node):
    return SCHEMA["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


def properties(node):
    node = resolved(node)
    found = dict(node.get("properties", {}))
    for part in node.get("allOf", []):
        found.update(properties(part))
    return found


def types(node):
    """The shapes that a node of the schema takes."""
    node = resolved(node)
    own = node.get("type", [])
    found = {NAMES[each] for each in ([own] if isinstance(own, str) else own) if each != "null"}
    found |= {shapes.TEXT} if "enum" in node and not own else set()
    return found.union(*(types(part) for word in ("oneOf", "anyOf") for part in node.get(word, [])))


def entries(node):
    """The shapes that the entries of a list take, where the schema says so."""
    node = resolved(node)
    found = types(node["items"]) if "items" in node else set()
    return found.union(*(entries(part) for word in ("oneOf", "anyOf") for part in node.get(word, [])))


KEYS = properties(SCHEMA["$defs"]["service"])


@pytest.mark.parametrize("key", sorted(shapes.SHAPES))
def test_the_table_says_what_the_schema_says(key):
    assert shapes.SHAPES[key] == types(KEYS[key])
    found = entries(KEYS[key])
    if found:
        assert shapes.ENTRIES.get(key, {shapes.TEXT}) == found


def test_no_key_of_a_service_is_left_out():
    assert set(KEYS) - set(shapes.SHAPES) - ELSEWHERE == set()
    assert set(shapes.SHAPES) <= set(lint_words.KEYS)


@pytest.mark.parametrize("key", sorted(shapes.SHAPES))
def test_each_other_shape_is_refused_by_name(key):
    wrong = [value for shape, value in ONE_OF_EACH.items() if shape not in shapes.SHAPES[key]]
    assert wrong
    for value in wrong:
        found = override_rules.problems("sonarr", {key: value})
        assert found and all(text.startswith(f"sonarr.{key}") for text in found), value


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("ports", ["99999:80"], "sonarr.ports, entry 1"),
        ("ports", ["8990:8989:80"], "sonarr.ports, entry 1"),
        ("ports", ["8990:80", "0:80"], "sonarr.ports, entry 2"),
        ("ports", [70000], "sonarr.ports, entry 1"),
        ("ports", [[1]], "sonarr.ports, entry 1"),
        ("ports", [True], "sonarr.ports, entry 1"),
        ("volumes", [5], "sonarr.volumes, entry 1"),
        ("cap_add", [None], "sonarr.cap_add, entry 1"),
        ("depends_on", {"radarr": 5}, "sonarr.depends_on.radarr"),
        ("networks", {"media": "x"}, "sonarr.networks.media"),
        ("healthcheck", {"test": 5}, "sonarr.healthcheck.test"),
        ("healthcheck", {"interval": ["1s"]}, "sonarr.healthcheck.interval"),
        ("logging", {"options": "max-size=1m"}, "sonarr.logging.options"),
        ("environment", {"A": "${PUID"}, "sonarr.environment"),
        ("environment", {"A": "${PUID.x}"}, "sonarr.environment"),
        ("environment", {"A": "${TZ:a}"}, "sonarr.environment"),
        ("environment", {"A": "${PUID }"}, "sonarr.environment"),
        ("environment", {"A": "${PUID-"}, "sonarr.environment"),
    ],
)
def test_what_compose_refuses_within_is_refused_by_its_place(key, value, place):
    found = override_rules.problems("sonarr", {key: value})
    assert found and all(text.startswith(place) for text in found), found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ports", ["127.0.0.1:8080:80", "8080:80/udp", "80", 80, "[::1]:8080:80", "3000-3005", "9090-9091:8080-8081"]),
        ("ports", ["127.0.0.1::80", "${WEB}:80", {"target": 80, "published": "8080"}]),
        ("networks", {"media": None, "other": {"aliases": ["x"]}}),
        ("command", None),
        ("env_file", ["a.env", {"path": "b.env", "required": False}]),
        ("ulimits", {"nofile": 1024, "nproc": {"soft": 1, "hard": 2}}),
        ("group_add", ["video", 44]),
        ("privileged", "true"),
        ("environment", {"A": "${TZ:-UTC} ${PUID?no} ${A:-${B:-c}} ${B+x} $TZ $$"}),
    ],
)
def test_what_compose_takes_passes(key, value):
    assert override_rules.problems("sonarr", {key: value}) == []


def test_the_variables_of_what_passes_are_found():
    assert interpolation.variables({"a": "${TZ} ${A:-${B}} $C ${D:?x}"}) == ({"TZ", "B", "C", "D"}, {"A"})
