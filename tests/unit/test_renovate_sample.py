# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sample for Renovate: its own regular expressions on an inventory and a lock, and what a bump makes of both.

Renovate itself is a program for Node.js and asks registries; what is done here is what it does with a regex manager:
find, replace the match (by the template where there is one), and find again.
"""

from __future__ import annotations

import json
import pathlib
import re

import pytest
import yaml

from ansible_collections.homelab.mediastack.plugins.plugin_utils import lock_file
from ansible_collections.homelab.mediastack.plugins.plugin_utils.lock_file import Entry, Lock
from ansible_collections.homelab.mediastack.plugins.plugin_utils.setting_rules import IMAGE

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLE = json.loads((ROOT / "docs/examples/renovate.json").read_text(encoding="utf-8"))
A, B, C, NEW = ("sha256:" + letter * 64 for letter in "abcd")
VARS = f"""\
---
mediastack_profiles: [jellyfin]
# Looks like an image and is none: see ghcr.io/owner/app:1.2.3
mediastack_timezone: Europe/Berlin
mediastack_images:
  # pinned until the plugin follows
  sonarr: lscr.io/linuxserver/sonarr:4.0.18   # a word on it

  traefik: "traefik:v3.7.13"
  'sabnzbd': 'lscr.io/linuxserver/sabnzbd:5.1.1-ls267'
  mine: nas.lan:5000/me/app:1.0@{C}
mediastack_ports:
  sonarr: {{web: 18989}}
other: registry.example/not/ours:1.0
"""
LOCK = lock_file.merged(
    Lock(),
    [
        Entry("gluetun", "qmcgaw/gluetun:v3.41.3", A, {"linux/amd64": B}, "2026-10-01T10:00:00Z", None, "0.1.0"),
        Entry(
            "sonarr",
            "lscr.io/linuxserver/sonarr:4.0.18",
            A,
            {"linux/amd64": B, "linux/arm64": C},
            "2026-10-01T10:00:00Z",
            "2026-11-23T07:00:00Z",
            "0.1.0",
        ),
        Entry("traefik", "traefik:v3.7.13", B),
    ],
)


def expression(text):
    """A JavaScript expression as Python's: named groups are written otherwise."""
    return re.compile(re.sub(r"\(\?<(?=[A-Za-z])", "(?P<", text))


def managers(name):
    """The managers that read a file of this name."""
    return [
        manager
        for manager in SAMPLE["customManagers"]
        if any(expression(pattern.strip("/")).search(name) for pattern in manager["managerFilePatterns"])
    ]


def found(name, text):
    """`(manager, match)` of everything that is found in a file; of `recursive`, in what the expression before found."""
    matches = []
    for manager in managers(name):
        texts = [text]
        *outer, last = [expression(one) for one in manager["matchStrings"]]
        for one in outer:
            texts = [match[0] for part in texts for match in one.finditer(part)]
        matches += [(manager, match) for part in texts for match in last.finditer(part)]
    return matches


def bumped(name, text, image, value, digest):
    """The file after Renovate has bumped one image."""
    for manager, match in found(name, text):
        groups = match.groupdict()
        if groups["depName"] != image:
            continue
        template = manager.get("autoReplaceStringTemplate")
        if template:
            words = {"depName": image, "newValue": value, "newDigest": digest}
            after = re.sub(r"\{\{\{(\w+)\}\}\}", lambda word, words=words: words[word[1]], template)
        else:
            after = match[0].replace(groups["currentValue"], value)
            if groups["currentDigest"]:
                after = after.replace(groups["currentDigest"], digest)
        assert text.count(match[0]) >= 1
        text = text.replace(match[0], after)
    return text


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("inventory/group_vars/mediastack.yml", True),
        ("host_vars/nas/mediastack.yaml", True),
        ("mediastack.lock.yml", True),
        ("inventory/mediastack.lock.yml", True),
        ("inventory/hosts.yml", False),
        ("group_vars/README.md", False),
        ("services/app.yml.j2", False),
    ],
)
def test_which_files_are_read(name, read):
    assert bool(managers(name)) is read


def test_what_is_found_in_the_vars():
    name = "group_vars/mediastack.yml"
    assert [match.groupdict() for _manager, match in found(name, VARS)] == [
        {"depName": "lscr.io/linuxserver/sonarr", "currentValue": "4.0.18", "currentDigest": None},
        {"depName": "traefik", "currentValue": "v3.7.13", "currentDigest": None},
        {"depName": "lscr.io/linuxserver/sabnzbd", "currentValue": "5.1.1-ls267", "currentDigest": None},
        {"depName": "nas.lan:5000/me/app", "currentValue": "1.0", "currentDigest": C},
    ]


def test_a_map_in_one_line_is_found_too():
    text = (
        'mediastack_images: {sonarr: "lscr.io/linuxserver/sonarr:4.0.18", gluetun: qmcgaw/gluetun:v3.41.3}\nx: a/b:1\n'
    )
    images = [match["depName"] for _manager, match in found("group_vars/all.yml", text)]
    assert images == ["lscr.io/linuxserver/sonarr", "qmcgaw/gluetun"]


def test_what_is_found_in_the_lock_is_every_entry():
    matches = [match.groupdict() for _manager, match in found("mediastack.lock.yml", lock_file.text(LOCK))]
    assert [f"{one['depName']}:{one['currentValue']}" for one in matches] == [entry.image for entry in LOCK.entries]
    assert [one["currentDigest"] for one in matches] == [entry.digest for entry in LOCK.entries]


def test_every_image_of_the_catalogue_can_be_bumped_in_a_lock():
    images = sorted(
        {
            image
            for path in (ROOT / "compose_templates").glob("*/*.j2")
            for image in re.findall(r"^ +image: (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        }
    )
    assert all(IMAGE.fullmatch(image) for image in images)
    lock = lock_file.merged(Lock(), [Entry(f"s{number}", image, A) for number, image in enumerate(images)])
    matches = [match for _manager, match in found("mediastack.lock.yml", lock_file.text(lock))]
    assert sorted(f"{match['depName']}:{match['currentValue']}" for match in matches) == images


def test_a_bump_changes_tag_and_digest_in_both_files_and_nothing_else(tmp_path):
    image = "lscr.io/linuxserver/sonarr"
    text = bumped("group_vars/mediastack.yml", VARS, image, "4.0.19", NEW)
    assert text == VARS.replace("sonarr:4.0.18 ", "sonarr:4.0.19 ")
    assert yaml.safe_load(text)["mediastack_images"]["sonarr"] == f"{image}:4.0.19"
    path = tmp_path / lock_file.NAME
    path.write_text(bumped(path.name, lock_file.text(LOCK), image, "4.0.19", NEW))
    lock = lock_file.read(str(path))
    # What was known of the former digest would be wrong for this one, and is gone.
    assert lock.of("sonarr") == [Entry("sonarr", f"{image}:4.0.19", NEW)]
    assert [entry for entry in lock.entries if entry.service != "sonarr"] == [
        entry for entry in LOCK.entries if entry.service != "sonarr"
    ]
    # Renovate looks whether it finds there what it wrote.
    again = [match for _manager, match in found(path.name, path.read_text()) if match["depName"] == image]
    assert [(match["currentValue"], match["currentDigest"]) for match in again] == [("4.0.19", NEW)]


def test_a_digest_that_moved_alone_is_bumped_too(tmp_path):
    path = tmp_path / lock_file.NAME
    path.write_text(bumped(path.name, lock_file.text(LOCK), "traefik", "v3.7.13", NEW))
    assert lock_file.read(str(path)).of("traefik") == [Entry("traefik", "traefik:v3.7.13", NEW)]
    text = bumped("group_vars/mediastack.yml", VARS, "nas.lan:5000/me/app", "1.1", NEW)
    assert yaml.safe_load(text)["mediastack_images"]["mine"] == f"nas.lan:5000/me/app:1.1@{NEW}"


def test_builds_of_linuxserver_are_versions():
    (versioning,) = [rule["versioning"] for rule in SAMPLE["packageRules"] if "versioning" in rule]
    match = expression(versioning.removeprefix("regex:")).fullmatch("5.1.1-ls267")
    assert match.groupdict() == {"major": "5", "minor": "1", "patch": "1", "build": "267"}


def test_re2_understands_every_expression():
    """Renovate's engine has no look-around and no back references."""
    texts = [one for manager in SAMPLE["customManagers"] for one in manager["matchStrings"]]
    texts += [one for manager in SAMPLE["customManagers"] for one in manager["managerFilePatterns"]]
    for text in texts:
        assert not re.search(r"\(\?(?:=|!|<=|<!|>)|\\[1-9]|\\k<", text), text
