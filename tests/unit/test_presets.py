# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Preset files: whole before the first start, our keys only in lived-in ones (P2)."""

import json
import os
import pathlib
import re
import stat

import lived_in
import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import config_formats, presets
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import SecretStore

KEY = "@@mediastack:secret:key@@"
CONFIG = "<Config>\n  <ApiKey>%s</ApiKey>\n</Config>\n" % KEY

# One of each app: (file, format, keys)
APPS = [
    ("sonarr/config.xml", "xml", [(["Config", "ApiKey"], KEY, None)]),
    ("radarr/config.xml", "xml", [(["Config", "ApiKey"], KEY, None)]),
    ("prowlarr/config.xml", "xml", [(["Config", "ApiKey"], KEY, None)]),
    (
        "lidarr/config.xml",
        "xml",
        [(["Config", "ApiKey"], KEY, None), (["Config", "AuthenticationMethod"], "Forms", [None])],
    ),
    (
        "qbittorrent/qBittorrent.conf",
        "ini",
        [
            (["Preferences", "WebUI\\Username"], "admin", None),
            (["Preferences", "WebUI\\Password_PBKDF2"], "@@mediastack:pbkdf2_qbittorrent:key@@", None),
            (["Preferences", "WebUI\\Port"], "8080", None),
        ],
    ),
    (
        "sabnzbd/sabnzbd.ini",
        "ini",
        [(["misc", "api_key"], KEY, None), (["misc", "host_whitelist"], ["sabnzbd", "x"], None)],
    ),
    ("bazarr/config.yaml", "yaml", [(["auth", "apikey"], KEY, None), (["auth", "type"], "form", [None, ""])]),
    ("tautulli/config.ini", "ini", [(["General", "api_key"], KEY, None)]),
    ("transmission/settings.json", "json", [(["rpc-password"], KEY, None), (["rpc-port"], 9092, None)]),
    (
        "deluge/web.conf",
        "json",
        [
            (["pwd_sha1"], "@@mediastack:sha1_deluge:key@@", [None, "2ce1a410bcdcc53064129b6d950f2e9fee4edc1e"]),
            (["pwd_salt"], "@@mediastack:salt:key@@", [None, "c26ab3bbd8b137f99cd83c2c1c0963bcc1a35cad"]),
        ],
    ),
    ("nzbget/nzbget.conf", "ini", [(["ControlPassword"], KEY, ["tegbzn6789"])]),
    ("seerr/settings.json", "json", [(["main", "apiKey"], KEY, None)]),
    ("plex/Preferences.xml", "xml", [(["Preferences", "@FriendlyName"], "nas", None)]),
]


@pytest.fixture
def tokens(tmp_path):
    return SecretStore(str(tmp_path / "project")).tokens({"key": "our-own-secret-key"})


def preset(path, fmt="xml", content=CONFIG, keys=(), **more):
    return dict(
        {
            "service": path.parent.name,
            "path": str(path),
            "format": fmt,
            "mode": "0600",
            "owner": os.geteuid(),
            "group": os.getegid(),
            "content": content,
            "keys": [{"key": key, "value": value, "replace": replace} for key, value, replace in keys],
        },
        **more,
    )


API_KEY = [(["Config", "ApiKey"], KEY, None)]


def test_whole_where_there_is_none(tmp_path, tokens):
    path = tmp_path / "config" / "sonarr" / "config.xml"
    wanted = [preset(path, keys=API_KEY)]
    changes = presets.plan(wanted, tokens)
    assert not path.parent.exists()
    assert [(change["action"], change["needs_stop"]) for change in changes] == [("create", False)]
    assert "our-own-secret-key" not in json.dumps(presets.diff(changes))
    assert presets.apply(changes) == []
    assert path.read_text() == "<Config>\n  <ApiKey>our-own-secret-key</ApiKey>\n</Config>\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert presets.plan(wanted, tokens) == []


@pytest.mark.parametrize(("name", "fmt", "keys"), APPS, ids=[app[0] for app in APPS])
def test_a_lived_in_file_keeps_all_but_our_keys(tmp_path, tokens, name, fmt, keys):
    path = tmp_path / name
    path.parent.mkdir()
    path.write_bytes(lived_in.read(name))
    path.chmod(0o640)
    old = path.read_bytes()
    wanted = [preset(path, fmt, "must not be used", keys)]
    changes = presets.plan(wanted, tokens)
    assert path.read_bytes() == old
    assert [(change["action"], change["needs_stop"]) for change in changes] == [("edit", True)]
    (copy,) = presets.apply(changes)
    assert re.search(r"\.mediastack-\d{8}-\d{6}$", copy)
    assert pathlib.Path(copy).read_bytes() == old
    assert stat.S_IMODE(os.stat(copy).st_mode) == stat.S_IMODE(path.stat().st_mode) == 0o640
    new = path.read_bytes()
    changed = {tuple(key) for change in changes for key in change["keys"]}
    if fmt in ("xml", "ini") and len(old.splitlines()) > 5:
        assert len(old.splitlines()) == len(new.splitlines())
        assert sum(a != b for a, b in zip(old.splitlines(), new.splitlines(), strict=True)) == len(changed)
    # Putting the old values back gives the old file, but for the quotes of a value in YAML.
    for key, _value, _replace in keys:
        before = config_formats.get_value(old, fmt, key)
        if tuple(key) in changed and before is not None and fmt != "yaml":
            new = config_formats.set_value(new, fmt, key, before)
    if fmt != "yaml":
        assert new == old
    assert presets.plan(wanted, tokens) == []
    text = json.dumps(presets.diff(changes))
    assert "our-own-secret-key" not in text
    for secret in ("1f0e4c6a2b9d4a5f8c7e6d5b4a392817", "geheim", "tegbzn6789"):
        assert secret not in text


def test_a_key_with_replace_is_left_when_somebody_chose_a_value(tmp_path, tokens):
    path = tmp_path / "deluge" / "web.conf"
    path.parent.mkdir()
    path.write_text('{"file": 2, "format": 1}{"pwd_sha1": "chosen", "pwd_salt": "chosen too"}')
    assert presets.plan([preset(path, "json", "", APPS[9][2])], tokens) == []


def test_what_the_app_wrote_while_stopping_is_kept(tmp_path, tokens):
    path = tmp_path / "sonarr" / "config.xml"
    path.parent.mkdir()
    path.write_text("<Config><ApiKey>a</ApiKey><Theme>light</Theme></Config>")
    changes = presets.plan([preset(path, keys=API_KEY)], tokens)
    path.write_text("<Config><ApiKey>a</ApiKey><Theme>dark</Theme></Config>")
    presets.apply(changes)
    assert path.read_text() == "<Config><ApiKey>our-own-secret-key</ApiKey><Theme>dark</Theme></Config>"


def test_a_link_stays_a_link(tmp_path, tokens):
    target = tmp_path / "pool" / "config.xml"
    path = tmp_path / "sonarr" / "config.xml"
    target.parent.mkdir()
    path.parent.mkdir()
    target.write_text("<Config><ApiKey>a</ApiKey></Config>")
    path.symlink_to(target)
    presets.apply(presets.plan([preset(path, keys=API_KEY)], tokens))
    assert path.is_symlink()
    assert "our-own-secret-key" in target.read_text()


@pytest.mark.parametrize("content", ["", "<Config><ApiKey>"])
def test_what_cannot_be_parsed_is_named_and_untouched(tmp_path, tokens, content):
    path = tmp_path / "sonarr" / "config.xml"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(FileError, match="sonarr/config.xml cannot be parsed as xml.*untouched: repair it"):
        presets.plan([preset(path, keys=API_KEY)], tokens)
    assert path.read_text() == content
    assert len(list(path.parent.iterdir())) == 1


def bundle_of(tmp_path, *entries):
    config = tmp_path / "config" / "sonarr"
    return {
        "project": {"path": str(tmp_path / "project")},
        "presets": list(entries),
        "files": [],
        "directories": [{"path": str(config)}, {"path": str(config / "sub")}],
        "services": {"sonarr": {"config_dir": str(config)}},
    }


@pytest.mark.parametrize(
    ("made", "created"),
    [
        ([], True),
        (["@eaDir/"], True),
        (["sub/"], True),
        (["other.conf"], True),
        (["sonarr.db"], False),
        (["sub/data.db"], False),
        (["logs/"], False),
    ],
)
def test_no_whole_file_into_the_data_of_an_app_that_has_run(tmp_path, tokens, made, created):
    config = tmp_path / "config" / "sonarr"
    config.mkdir(parents=True)
    for name in made:
        path = config / name
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if name.endswith("/") else path.write_text("x")
    wanted = preset(config / "config.xml", keys=API_KEY)
    other = preset(config / "other.conf", "ini", "a=b\n", service="sonarr")
    notes = []
    changes = presets.plan([wanted], tokens, bundle_of(tmp_path, wanted, other), notes)
    assert bool(changes) is created
    assert bool(notes) is not created
    if notes:
        assert str(config / made[0].rstrip("/")) in notes[0]


def test_without_content_there_is_nothing_to_create(tmp_path, tokens):
    assert presets.plan([preset(tmp_path / "sonarr" / "config.xml", content="", keys=API_KEY)], tokens) == []


def test_keys_beat_the_content(tmp_path, tokens):
    path = tmp_path / "sab" / "sabnzbd.ini"
    presets.apply(
        presets.plan([preset(path, "ini", "[misc]\nport = 8080\n", [(["misc", "port"], 8085, None)])], tokens)
    )
    assert path.read_text() == "[misc]\nport = 8085\n"


def test_text_is_written_whole_or_left_alone(tmp_path, tokens):
    path = tmp_path / "gluetun" / "post-rules.txt"
    wanted = preset(path, "text", "iptables -L\n", [])
    presets.apply(presets.plan([wanted], tokens))
    assert path.read_text() == "iptables -L\n"
    path.write_text("iptables -S\n")
    assert presets.plan([wanted], tokens) == []


def test_a_broken_preset_is_named(tmp_path, tokens):
    with pytest.raises(FileError, match="the preset .*config.xml of sonarr is not sound"):
        presets.plan([preset(tmp_path / "sonarr" / "config.xml", content="<Config>", keys=API_KEY)], tokens)


def test_leftovers_of_an_interrupted_run_go(tmp_path, tokens):
    path = tmp_path / "sonarr" / "config.xml"
    path.parent.mkdir()
    path.write_text("<Config><ApiKey>a</ApiKey></Config>")
    (path.parent / ".config.xml.mediastack-0123456789ab.tmp").write_text("half")
    presets.apply(presets.plan([preset(path, keys=API_KEY)], tokens))
    assert not list(path.parent.glob(".*.tmp"))


# -- secrets that change -----------------------------------------------------------------------------------------------


def turned(tmp_path, text, fmt, key, replace, name="app.conf", **more):
    """The file's text after a rotation of the secret `key` from `old-value` to `new-value`."""
    path = tmp_path / name
    path.write_text(text)
    store = SecretStore(str(tmp_path))
    preset = {"service": "app", "path": str(path), "format": fmt, "content": "", **more}
    preset["keys"] = [{"key": key, "value": KEY, "replace": replace}] if key else []
    was, tokens = store.tokens({"key": "old-value"}), store.tokens({"key": "new-value"})
    changes = presets.plan([preset], tokens, was=was)
    assert all("-value" not in change["before"] + change["after"] for change in changes)
    presets.apply(changes)
    return path.read_text()


def test_a_password_that_is_the_old_one_becomes_the_new_one_whatever_site_may_replace(tmp_path):
    assert turned(tmp_path, "[misc]\npassword = old-value\n", "ini", ["misc", "password"], [None, ""]) == (
        "[misc]\npassword = new-value\n"
    )


def test_a_password_that_somebody_set_stays(tmp_path):
    text = "[misc]\npassword = of-the-user\n"
    assert turned(tmp_path, text, "ini", ["misc", "password"], [None, ""]) == text


def test_a_file_without_keys_changes_only_while_it_is_as_it_was_written(tmp_path):
    content = f'apikey = "{KEY}"\n'
    ours = 'apikey = "old-value"\n'
    changed = turned(tmp_path, ours, "text", None, None, "roles.toml", content=content)
    assert changed == 'apikey = "new-value"\n'
    by_hand = ours + "# mine\n"
    assert turned(tmp_path, by_hand, "text", None, None, "other.toml", content=content) == by_hand


def test_what_an_app_keeps_in_another_form_is_given_to_it_anew_when_its_secret_changes_and_only_then(tmp_path):
    rotate = [{"key": ["General", "http_password"], "value": KEY}, {"key": ["General", "hashed"], "value": "0"}]
    text = "[General]\nhttp_password = a$hash\nhashed = 1\nother = 1\n"
    expected = "[General]\nhttp_password = new-value\nhashed = 0\nother = 1\n"
    assert turned(tmp_path, text, "ini", ["General", "nothing"], [""], rotate=rotate) == expected
    path, store = tmp_path / "app.conf", SecretStore(str(tmp_path))
    same = store.tokens({"key": "new-value"})
    preset = {"service": "app", "path": str(path), "format": "ini", "content": "", "keys": [], "rotate": rotate}
    path.write_text(text)
    assert presets.plan([preset], same, was=same) == [] and presets.plan([preset], same) == []
