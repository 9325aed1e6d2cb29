# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One key of a lived-in config file is changed, all else stays byte for byte; other parsers read the same."""

import copy
import io
import json
import string
from xml.etree import ElementTree

import configobj
import lived_in
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.homelab.mediastack.plugins.module_utils import config_formats
from ansible_collections.homelab.mediastack.plugins.module_utils.config_formats import (
    ConfigFormatError,
    get_value,
    same,
    set_value,
)

# (file, format, key, its value in the file)
PRESENT = [
    ("sonarr/config.xml", "xml", ["Config", "ApiKey"], "1f0e4c6a2b9d4a5f8c7e6d5b4a392817"),
    ("sonarr/config.xml", "xml", ["Config", "UrlBase"], ""),
    ("radarr/config.xml", "xml", ["Config", "InstanceName"], "Radarr & Freunde"),
    ("prowlarr/config.xml", "xml", ["Config", "UrlBase"], "/prowlarr"),
    ("lidarr/config.xml", "xml", ["Config", "EnableFeature"], ""),
    ("plex/Preferences.xml", "xml", ["Preferences", "@PlexOnlineToken"], "xXyYzZ1234567890abcd"),
    ("plex/Preferences.xml", "xml", ["Preferences", "@MachineIdentifier"], "8a1b2c3d-0000-4000-8000-1234567890ab"),
    ("plex/Preferences.xml", "xml", ["Preferences", "@FriendlyName"], "Küche & Bad"),
    ("jellyfin/system.xml", "xml", ["ServerConfiguration", "ServerName"], "nas"),
    (
        "jellyfin/system.xml",
        "xml",
        ["ServerConfiguration", "PluginRepositories", "RepositoryInfo", "Name"],
        "Jellyfin Stable",
    ),
    ("qbittorrent/qBittorrent.conf", "ini", ["Preferences", "WebUI\\Username"], "tom"),
    ("qbittorrent/qBittorrent.conf", "ini", ["Preferences", "WebUI\\Port"], "8090"),
    (
        "qbittorrent/qBittorrent.conf",
        "ini",
        ["Preferences", "WebUI\\AuthSubnetWhitelist"],
        ["192.168.178.0/24", "10.8.0.0/24"],
    ),
    ("qbittorrent/qBittorrent.conf", "ini", ["BitTorrent", "Session\\Tags"], ["linux", "isos, old", "bücher"]),
    ("qbittorrent/qBittorrent.conf", "ini", ["AutoRun", "program"], ""),
    ("sabnzbd/sabnzbd.ini", "ini", ["misc", "api_key"], "5ab1e5ab1e5ab1e5ab1e5ab1e5ab1e00"),
    ("sabnzbd/sabnzbd.ini", "ini", ["misc", "password"], "p#ss, ü"),
    ("sabnzbd/sabnzbd.ini", "ini", ["misc", "host_whitelist"], ["4f3a9c1e77b2", "nas.local", "sabnzbd"]),
    ("sabnzbd/sabnzbd.ini", "ini", ["misc", "local_ranges"], []),
    ("sabnzbd/sabnzbd.ini", "ini", ["ncenter", "ncenter_cats"], ["*"]),
    ("sabnzbd/sabnzbd.ini", "ini", ["categories", "movies", "dir"], "filme"),
    ("sabnzbd/sabnzbd.ini", "ini", ["servers", "news.example.net", "password"], "geheim"),
    ("sabnzbd/sabnzbd.ini", "ini", ["__version__"], "19"),
    ("tautulli/config.ini", "ini", ["General", "api_key"], "7d1c4a5be2f84b6b9d6f8a3c1e0b2d4f"),
    ("tautulli/config.ini", "ini", ["PMS", "pms_name"], "Küche, NAS"),
    ("nzbget/nzbget.conf", "ini", ["ControlPassword"], "tegbzn6789"),
    ("nzbget/nzbget.conf", "ini", ["controlusername"], "nzbget"),
    ("nzbget/nzbget.conf", "ini", ["Server1.Password"], "ge=heim # echt"),
    ("bazarr/config.yaml", "yaml", ["auth", "apikey"], "9f8e7d6c5b4a39281706f5e4d3c2b1a0"),
    ("bazarr/config.yaml", "yaml", ["general", "port"], 6767),
    ("bazarr/config.yaml", "yaml", ["general", "use_sonarr"], True),
    (
        "bazarr/config.yaml",
        "yaml",
        ["general", "postprocessing_cmd"],
        (
            "chmod 664 \"{{subtitles}}\" && echo 'fertig, {{episode_name}} hat jetzt Untertitel' "
            ">> /config/log/nachher.log"
        ),
    ),
    ("bazarr/config.yaml", "yaml", ["opensubtitlescom", "password"], "gäste: #1"),
    ("transmission/settings.json", "json", ["rpc-port"], 9091),
    ("transmission/settings.json", "json", ["rpc-authentication-required"], True),
    ("deluge/web.conf", "json", ["pwd_salt"], "c26ab3bbd8b137f99cd83c2c1c0963bcc1a35cad"),
    ("deluge/core.conf", "json2", ["proxy", "port"], 8080),
    ("seerr/settings.json", "json", ["main", "apiKey"], "MTcwMDAwMDAwMDAwMDZiN2YyZDBl"),
]
ABSENT = [
    ("sonarr/config.xml", "xml", ["Config", "Theme"]),
    ("plex/Preferences.xml", "xml", ["Preferences", "@GlobalMusicVideoPathMigrated"]),
    ("jellyfin/system.xml", "xml", ["ServerConfiguration", "A", "B"]),
    ("qbittorrent/qBittorrent.conf", "ini", ["Preferences", "WebUI\\CSRFProtection"]),
    ("qbittorrent/qBittorrent.conf", "ini", ["New", "A\\B"]),
    ("sabnzbd/sabnzbd.ini", "ini", ["misc", "new_key"]),
    ("sabnzbd/sabnzbd.ini", "ini", ["categories", "music", "dir"]),
    ("sabnzbd/sabnzbd.ini", "ini", ["brand", "new", "key"]),
    ("sabnzbd/sabnzbd.ini", "ini", ["__encoding2__"]),
    ("nzbget/nzbget.conf", "ini", ["Category2.Name"]),
    ("bazarr/config.yaml", "yaml", ["auth", "new"]),
    ("bazarr/config.yaml", "yaml", ["zimuku", "enabled"]),
    ("transmission/settings.json", "json", ["rpc-whitelist"]),
    ("deluge/web.conf", "json", ["new", "deep", "key"]),
]
STRINGS = ["xml", "yaml", "json", "json2"]
PRINTABLE = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc", "Cn", "Zl", "Zp")), max_size=40)
ANY_TEXT = st.text(max_size=40)


def read(name):
    return lived_in.read(name)


def ids(rows):
    return ["%s:%s" % (row[0], "/".join(row[2])) for row in rows]


@pytest.mark.parametrize(("name", "fmt", "key", "value"), PRESENT, ids=ids(PRESENT))
def test_reads_what_the_app_wrote(name, fmt, key, value):
    assert get_value(read(name), fmt, key) == value


@pytest.mark.parametrize(("name", "fmt", "key"), ABSENT, ids=ids(ABSENT))
def test_an_absent_key_is_none(name, fmt, key):
    assert get_value(read(name), fmt, key) is None


@pytest.mark.parametrize(("name", "fmt", "key", "value"), PRESENT, ids=ids(PRESENT))
def test_a_change_keeps_every_other_byte(name, fmt, key, value):
    data = read(name)
    changed = set_value(data, fmt, key, "NEW-value_1")
    assert get_value(changed, fmt, key) == "NEW-value_1"
    start, end = common(data, changed)
    # What differs is within the value: putting the new one in its place gives the new file.
    assert b"NEW-value_1" in changed[start - 12 : len(changed) - end + 12]
    assert len(data) - start - end <= len(str(value)) + 60
    assert b"\n" not in data[start : len(data) - end].strip(b"\n") or "postprocessing" in key[-1]


@pytest.mark.parametrize(("name", "fmt", "key"), ABSENT, ids=ids(ABSENT))
def test_an_added_key_leaves_the_old_bytes_around_it(name, fmt, key):
    data = read(name)
    changed = set_value(data, fmt, key, "added")
    assert get_value(changed, fmt, key) == "added"
    start, end = common(data, changed)
    assert start + end >= len(data), "old bytes were lost"
    if b"\r\n" in data:
        assert b"\n" not in changed.replace(b"\r\n", b"")


def common(old, new):
    """Lengths of the common beginning and of the common end, not overlapping."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return start, end


def test_crlf_and_byte_order_mark_stay():
    data = read("radarr/config.xml")
    changed = set_value(data, "xml", ["Config", "Added"], "x")
    assert changed.startswith(b"\xef\xbb\xbf<Config>\r\n")
    assert b"\r\n  <Added>x</Added>\r\n</Config>" in changed


def test_typed_qt_values_and_plain_ones_are_told_apart():
    data = read("qbittorrent/qBittorrent.conf")
    key = ["Preferences", "WebUI\\Password_PBKDF2"]
    changed = set_value(data, "ini", key, "@ByteArray(c2FsdA==:a2V5)")
    assert b'WebUI\\Password_PBKDF2="@ByteArray(c2FsdA==:a2V5)"\n' in changed
    assert get_value(changed, "ini", key) == "@ByteArray(c2FsdA==:a2V5)"
    assert b"WebUI\\Username=@@home\n" in set_value(data, "ini", ["Preferences", "WebUI\\Username"], "@home")


def test_a_list_is_written_as_the_program_writes_it():
    sab = set_value(read("sabnzbd/sabnzbd.ini"), "ini", ["misc", "host_whitelist"], ["sabnzbd", "a, b"])
    assert b'host_whitelist = sabnzbd, "a, b"\n' in sab
    assert b"cleanup_list = nfo,\n" in set_value(sab, "ini", ["misc", "cleanup_list"], ["nfo"])
    assert b"cleanup_list = ,\n" in set_value(sab, "ini", ["misc", "cleanup_list"], [])


def test_new_subsection_goes_to_its_section():
    changed = set_value(read("sabnzbd/sabnzbd.ini"), "ini", ["servers", "second", "host"], "b.example.net")
    assert b'notes = ""\n[[second]]\nhost = b.example.net\n[categories]\n' in changed


def test_an_inline_comment_stays():
    data = b"[misc]\napi_key = old  # do not touch\nother = 1\n"
    assert set_value(data, "ini", ["misc", "api_key"], "new") == b"[misc]\napi_key = new  # do not touch\nother = 1\n"
    data = b"auth:\n  apikey: old  # mine\n  type: null\n"
    assert set_value(data, "yaml", ["auth", "apikey"], "n") == b"auth:\n  apikey: 'n'  # mine\n  type: null\n"


def test_bytes_that_are_no_utf8_stay():
    data = b"[misc]\n# \xff\xfe caf\xe9\napi_key = old\n"
    assert set_value(data, "ini", ["misc", "api_key"], "new") == data.replace(b"old", b"new")


def test_latin1_xml_gets_character_references():
    data = '<?xml version="1.0" encoding="ISO-8859-1"?>\n<Config><Name>ä</Name><Key/></Config>'.encode("latin-1")
    changed = set_value(data, "xml", ["Config", "Key"], "é")
    assert changed == data.replace(b"<Key/>", b"<Key>&#233;</Key>")
    assert get_value(changed, "xml", ["Config", "Name"]) == "ä"


def test_an_all_digit_key_stays_text_in_yaml():
    for value in ("12345678901234567890123456789012", "1e5", "null", "true", "0x10", "yes", "", "~"):
        changed = set_value(read("bazarr/config.yaml"), "yaml", ["auth", "apikey"], value)
        assert yaml.safe_load(changed)["auth"]["apikey"] == value


def test_yaml_types_and_empty_maps():
    data = b"auth: {}\ngeneral:\n"
    assert set_value(data, "yaml", ["auth", "type"], "form") == b"auth:\n  type: 'form'\ngeneral:\n"
    changed = set_value(data, "yaml", ["general", "port"], 6767)
    assert yaml.safe_load(changed) == {"auth": {}, "general": {"port": 6767}}
    assert yaml.safe_load(set_value(changed, "yaml", ["general", "on"], True))["general"] == {"port": 6767, "on": True}


@pytest.mark.parametrize(
    ("fmt", "key", "data", "words"),
    [
        ("xml", ["Config", "ApiKey"], b"", "not well-formed"),
        ("xml", ["Config", "ApiKey"], b"<Config><ApiKey>x</Config>", "not well-formed"),
        ("xml", ["Config", "ApiKey"], b"<Settings></Settings>", "root element is not <Config>"),
        ("xml", ["Config", "A"], b"<Config><A><B/></A></Config>", "further elements"),
        ("xml", ["Config", "A"], b'<!DOCTYPE c [<!ENTITY a "b">]><Config><A>&a;</A></Config>', "DOCTYPE"),
        ("json", ["a"], b"", "empty"),
        ("json", ["a"], b'{"a": 1,}', "not JSON"),
        ("json", ["a"], b"[1]", "not a JSON object"),
        ("json", ["a"], b"{}{}{}", "more than two"),
        ("ini", ["misc", "a"], b"[misc]\njust words\n", "line 2"),
        ("ini", ["misc", "a"], b"[misc\na = 1\n", "not a section"),
        ("ini", ["misc", "a"], b'[misc]\na = "never closed\nb = 1\n', "never closed"),
        ("ini", ["misc", "a"], b"[[deep]]\na = 1\n", "not a section"),
        ("ini", ["misc", "a"], b'[misc]\na = """never\nb = 1\n', "never ends"),
        ("ini", ["misc", "a"], b"[misc]\na\x00 = 1\n", "NUL"),
        ("yaml", ["a", "b"], b"- 1\n- 2\n", "line 1"),
        ("yaml", ["a", "b"], b"a:\n\tb: 1\n", "line"),
        ("yaml", ["a", "b"], b"a: &x\n  b: 1\n", "not a plain value|goes on|not a map|line"),
        ("yaml", ["a", "b"], b'a:\n  b: "never closed\n', "never closed"),
        ("yaml", ["a", "b"], b"a:\n  b: 1\n c: 2\n", "indented"),
        ("yaml", ["a", "b"], b"a:\n  b: 1\n---\na: 2\n", "second document"),
        ("yaml", ["a"], b"a:\n- 1\n", "not a plain value"),
        ("yaml", ["a"], b"a: |\n  text\n", "not a plain value"),
    ],
)
def test_what_cannot_be_parsed_is_an_error_with_a_reason(fmt, key, data, words):
    with pytest.raises(ConfigFormatError, match=words):
        set_value(data, fmt, key, "x")


@pytest.mark.parametrize(
    ("name", "fmt", "key", "value"),
    [
        ("sonarr/config.xml", "xml", ["Config", "ApiKey"], "a\x01b"),
        ("sabnzbd/sabnzbd.ini", "ini", ["misc", "api_key"], "two\nlines"),
        ("nzbget/nzbget.conf", "ini", ["ControlPassword"], " blank"),
        ("nzbget/nzbget.conf", "ini", ["ControlPassword"], ["a"]),
        ("bazarr/config.yaml", "yaml", ["auth", "apikey"], ["a"]),
        ("bazarr/config.yaml", "yaml", ["auth"], "x"),
        ("seerr/settings.json", "json", ["main", "apiKey", "x"], "y"),
        ("seerr/settings.json", "json", ["main", "apiKey"], float("nan")),
        ("seerr/settings.json", "toml", ["main"], "x"),
        ("seerr/settings.json", "json", [], "x"),
    ],
)
def test_a_value_that_the_format_cannot_hold_is_refused(name, fmt, key, value):
    with pytest.raises(ConfigFormatError):
        set_value(read(name), fmt, key, value)


def test_numbers_booleans_and_their_texts_mean_the_same():
    assert same("8080", 8080)
    assert same("True", True)
    assert same("true", True)
    assert not same("8081", 8080)
    assert not same(None, "")
    assert same(None, None)
    assert same("a", ["a"])
    assert not same(["a", "b"], ["b", "a"])


@settings(max_examples=100, deadline=None)
@given(ANY_TEXT)
def test_any_text_in_json(value):
    changed = set_value(read("transmission/settings.json"), "json", ["rpc-password"], value)
    assert json.loads(changed)["rpc-password"] == value
    assert json.loads(changed)["rpc-username"] == "tom"


@settings(max_examples=100, deadline=None)
@given(ANY_TEXT)
def test_any_text_in_xml_as_another_parser_reads_it(value):
    for name, key in (
        ("sonarr/config.xml", ["Config", "SslCertPassword"]),
        ("plex/Preferences.xml", ["Preferences", "@x"]),
    ):
        try:
            changed = set_value(read(name), "xml", key, value)
        except ConfigFormatError:
            assert any(ord(char) < 32 and char not in "\t\n\r" or char in "\ufffe\uffff" for char in value)
            continue
        root = ElementTree.fromstring(changed)
        assert (root.get("x") if key[-1] == "@x" else root.findtext("SslCertPassword") or "") == value


@settings(max_examples=100, deadline=None)
@given(ANY_TEXT)
@example("\n")
@example("ends with\n")
def test_any_text_in_yaml_as_another_parser_reads_it(value):
    before = yaml.safe_load(read("bazarr/config.yaml"))
    changed = set_value(read("bazarr/config.yaml"), "yaml", ["auth", "password"], value)
    before["auth"]["password"] = value
    assert yaml.safe_load(changed) == before


@settings(max_examples=100, deadline=None)
@given(PRINTABLE)
def test_any_line_in_configobj_as_the_library_reads_it(value):
    data = read("sabnzbd/sabnzbd.ini")
    before = configobj.ConfigObj(io.BytesIO(data), encoding="utf-8", interpolation=False)
    try:
        changed = set_value(data, "ini", ["misc", "password"], value)
    except ConfigFormatError:
        assert "'" in value and '"' in value
        return
    after = configobj.ConfigObj(io.BytesIO(changed), encoding="utf-8", interpolation=False)
    before["misc"]["password"] = value
    assert after.dict() == before.dict()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(string.ascii_letters + " ,#.", max_size=8).filter(lambda text: text == text.strip()), max_size=4)
)
def test_any_list_in_configobj_as_the_library_reads_it(value):
    changed = set_value(read("sabnzbd/sabnzbd.ini"), "ini", ["misc", "host_whitelist"], value)
    after = configobj.ConfigObj(io.BytesIO(changed), encoding="utf-8", interpolation=False)
    assert after["misc"]["host_whitelist"] == value


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40))
def test_any_text_in_qt_reads_back(value):
    data = read("qbittorrent/qBittorrent.conf")
    changed = set_value(data, "ini", ["Preferences", "WebUI\\Username"], value)
    assert get_value(changed, "ini", ["Preferences", "WebUI\\Username"]) == value
    lines, old = changed.splitlines(), data.splitlines()
    assert [line for line in lines if not line.startswith(b"WebUI\\Username=")] == [
        line for line in old if not line.startswith(b"WebUI\\Username=")
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.text(string.ascii_letters + " :#'\"-,é", max_size=90) | st.integers() | st.booleans() | st.none(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.from_regex(r"[a-z][a-z_]{1,8}", fullmatch=True), inner, max_size=4)
        ),
        max_leaves=12,
    ),
    st.booleans(),
)
def test_any_map_that_pyyaml_writes_is_read_and_kept(tree, wide):
    # A copy: PyYAML writes the same object twice as an alias.
    document = {"first": {"key": "old", "tree": tree}, "last": {"other": copy.deepcopy(tree), "key": "x"}}
    data = yaml.safe_dump(document, width=200 if wide else 60, allow_unicode=wide).encode()
    changed = set_value(data, "yaml", ["last", "key"], "new: value")
    document["last"]["key"] = "new: value"
    assert yaml.safe_load(changed) == document


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.text(max_size=10) | st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from([None, 1, 4]),
    st.booleans(),
)
def test_any_json_is_kept(tree, indent, ascii_only):
    document = {"a": tree, "key": "old", "z": tree}
    data = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
    document["key"] = {"x": "é"}
    assert json.loads(set_value(data, "json", ["key"], {"x": "é"})) == document
    document["new"] = {"deep": True}
    added = set_value(data, "json", ["new", "deep"], True)
    assert json.loads(added)["new"] == {"deep": True}
    start, end = common(data, added)
    assert start + end >= len(data)


def test_formats_are_those_of_the_catalogue():
    assert set(config_formats.FORMATS) >= {"xml", "ini", "yaml", "json"}
