# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a secret comes from, that it stays the same, and that its tokens give what the apps accept."""

import base64
import hashlib
import json
import os
import re
import shutil
import stat

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import (
    MASK,
    SecretError,
    SecretStore,
    encode,
    encoding_for,
)

HEX = {"generate": {"kind": "hex", "length": 32}}


def adopting(path, **more):
    return dict({"adopt": [{"path": str(path), "format": "xml", "key": ["Config", "ApiKey"]}]}, **more)


def test_generated_once_and_the_same_for_ever(tmp_path):
    spec = {"a": HEX, "b": {"generate": {"kind": "alnum", "length": 24}}}
    first = SecretStore(str(tmp_path))
    values = first.resolve(spec)
    assert re.fullmatch("[0-9a-f]{32}", values["a"])
    assert re.fullmatch("[A-Za-z0-9]{24}", values["b"])
    assert first.pending == values
    assert not (tmp_path / ".mediastack").exists()
    first.save()
    again = SecretStore(str(tmp_path))
    assert again.resolve(spec) == values
    assert again.pending == {}
    assert again.save() is False


def test_the_store_is_for_its_owner_only(tmp_path):
    old = os.umask(0)
    try:
        store = SecretStore(str(tmp_path / "new"))
        store.resolve({"a": HEX})
        store.save()
    finally:
        os.umask(old)
    path = tmp_path / "new" / ".mediastack" / "secrets.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_given_beats_stored_beats_adopted_beats_generated(tmp_path):
    config = tmp_path / "config.xml"
    config.write_text("<Config><ApiKey>from-the-app</ApiKey></Config>")
    spec = {"key": adopting(config, **HEX)}
    store = SecretStore(str(tmp_path))
    assert store.resolve(spec) == {"key": "from-the-app"}
    assert store.sources == {"key": "adopted"}
    store.save()
    config.write_text("<Config><ApiKey>changed</ApiKey></Config>")
    assert SecretStore(str(tmp_path)).resolve(spec) == {"key": "from-the-app"}
    given_store = SecretStore(str(tmp_path))
    assert given_store.resolve({"key": dict(spec["key"], value="from-the-vault")}) == {"key": "from-the-vault"}
    assert given_store.pending == {}
    given_store.save()
    assert "from-the-vault" not in (tmp_path / ".mediastack" / "secrets.json").read_text()


@pytest.mark.parametrize("content", ["", "<Config></Config>", "<Config><ApiKey></ApiKey></Config>"])
def test_nothing_to_adopt_means_generate(tmp_path, content):
    config = tmp_path / "config.xml"
    config.write_text(content)
    store = SecretStore(str(tmp_path))
    store.resolve({"key": adopting(config, **HEX)})
    assert store.sources == {"key": "generated"}


def test_a_damaged_app_file_is_an_error_that_names_it(tmp_path):
    config = tmp_path / "config.xml"
    config.write_text("<Config><ApiKey>")
    with pytest.raises(SecretError, match="secret key.*config.xml.*not well-formed"):
        SecretStore(str(tmp_path)).resolve({"key": adopting(config, **HEX)})


def test_check_mode_keeps_nothing(tmp_path):
    store = SecretStore(str(tmp_path))
    store.resolve({"a": HEX}, check_mode=True)
    assert set(store.pending) == {"a"}
    store.save()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["{", "[]", '{"secrets": {"a": 1}}', '{"secrets": []}'])
def test_a_damaged_store_never_leads_to_new_secrets(tmp_path, content):
    (tmp_path / ".mediastack").mkdir()
    (tmp_path / ".mediastack" / "secrets.json").write_text(content)
    with pytest.raises(SecretError, match="secrets.json.*restore it from a backup"):
        SecretStore(str(tmp_path))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "mediastack_secrets: {x"),
        ({"generate": {"kind": "words"}}, "hex or alnum"),
        ({"generate": {"kind": "hex", "length": 4}}, "length 4"),
        ({"value": "a@@mediastack:secret:b@@"}, "reserved"),
        ({"value": "a\x00b"}, "NUL"),
    ],
)
def test_a_secret_that_cannot_be_is_named(tmp_path, spec, words):
    with pytest.raises(SecretError, match=words) as error:
        SecretStore(str(tmp_path)).resolve({"x": spec})
    assert "secret x" in str(error.value)


def tokens_of(tmp_path, values, bind=None):
    store = SecretStore(str(tmp_path))
    store.resolve({name: {"value": value} for name, value in values.items()})
    return store, store.tokens(values, bind)


def test_tokens_give_what_the_apps_accept(tmp_path):
    store, tokens = tokens_of(tmp_path, {"pw": "geheim"}, "192.168.1.5")
    assert tokens("a @@mediastack:secret:pw@@ b") == "a geheim b"
    assert tokens("@@mediastack:bind@@:80") == "192.168.1.5:80"
    assert tokens("@@mediastack:md5:pw@@") == hashlib.md5(b"geheim").hexdigest()
    salt = tokens("@@mediastack:salt:pw@@")
    assert tokens("@@mediastack:sha1_deluge:pw@@") == hashlib.sha1((salt + "geheim").encode()).hexdigest()
    text = tokens("@@mediastack:pbkdf2_qbittorrent:pw@@")
    salt64, key64 = re.fullmatch(r"@ByteArray\((.+):(.+)\)", text).groups()
    raw = base64.b64decode(salt64)
    assert len(raw) == 16
    assert base64.b64decode(key64) == hashlib.pbkdf2_hmac("sha512", b"geheim", raw, 100000, 64)
    store.save()
    _store, again = tokens_of(tmp_path, {"pw": "geheim"})
    assert again("@@mediastack:pbkdf2_qbittorrent:pw@@") == text
    assert again("@@mediastack:salt:pw@@") == salt


def test_a_kept_derivation_follows_its_secret(tmp_path):
    store = SecretStore(str(tmp_path))
    values = store.resolve({"pw": HEX})
    first = store.tokens(values)("@@mediastack:pbkdf2_qbittorrent:pw@@")
    store.save()
    assert SecretStore(str(tmp_path)).tokens(values)("@@mediastack:pbkdf2_qbittorrent:pw@@") == first
    assert SecretStore(str(tmp_path)).tokens({"pw": "other"})("@@mediastack:pbkdf2_qbittorrent:pw@@") != first


def test_hashes_are_filled_in_later(tmp_path):
    _store, tokens = tokens_of(tmp_path, {})
    assert tokens("@@mediastack:hash:sonarr@@") == "@@mediastack:hash:sonarr@@"
    assert tokens("@@mediastack:hash:sonarr@@", hashes={"sonarr": "abc"}) == "abc"
    with pytest.raises(SecretError, match="no service radarr"):
        tokens("@@mediastack:hash:radarr@@", hashes={"sonarr": "abc"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("@@mediastack:secret:sonar_key@@", "did you mean sonarr_key"),
        ("@@mediastack:bcrypt:sonarr_key@@", "unknown token"),
        ("@@mediastack:secret@@", "unknown token"),
        ("x @@mediastack:secret:sonarr key@@", "not a token"),
        ("@@mediastack:", "not a token"),
        ("@@mediastack:bind@@", "mediastack_bind_addresses"),
    ],
)
def test_an_unknown_token_is_named_with_its_file(tmp_path, text, words):
    _store, tokens = tokens_of(tmp_path, {"sonarr_key": "x"})
    with pytest.raises(SecretError, match=words) as error:
        tokens(text, where="/srv/compose.yml")
    assert "/srv/compose.yml" in str(error.value)


def test_values_are_written_for_their_format(tmp_path):
    _store, tokens = tokens_of(tmp_path, {"x": "a\"b\\c$d<e&'f"})
    assert tokens('P="@@mediastack:secret:x@@"', "env") == 'P="a\\"b\\\\c$$d<e&\'f"'
    assert json.loads(tokens('["@@mediastack:secret:x@@"]', "json")) == ["a\"b\\c$d<e&'f"]
    assert yaml.safe_load(tokens('k: "@@mediastack:secret:x@@"', "yaml")) == {"k": "a\"b\\c$d<e&'f"}
    assert yaml.safe_load(tokens("k: '@@mediastack:secret:x@@'", "yaml")) == {"k": "a\"b\\c$d<e&'f"}
    assert tokens("<a>@@mediastack:secret:x@@</a>", "xml") == "<a>a&quot;b\\c$d&lt;e&amp;'f</a>"
    with pytest.raises(SecretError, match="double quotes"):
        tokens("k: @@mediastack:secret:x@@", "yaml")


def test_what_a_format_cannot_hold_is_an_error(tmp_path):
    _store, tokens = tokens_of(tmp_path, {"x": "two\nlines", "y": "a\x01"})
    for encoding, name in (("env", "x"), ("line", "x"), ("xml", "y")):
        with pytest.raises(SecretError, match="line break|control character"):
            tokens("@@mediastack:secret:%s@@" % name, encoding)


def test_a_value_is_not_looked_at_for_tokens_again(tmp_path):
    store = SecretStore(str(tmp_path))
    assert (
        store.tokens({"a": "@@mediastack:secret:b@@", "b": "x"})("@@mediastack:secret:a@@") == "@@mediastack:secret:b@@"
    )


def test_masks_hide_values_in_every_writing_and_old_ones_by_their_line(tmp_path):
    _store, tokens = tokens_of(tmp_path, {"pw": 'quote"secret', "pin": "12"})
    template = 'A="@@mediastack:secret:pw@@"\nPIN="@@mediastack:secret:pin@@"\nTZ="Etc/UTC"\n'
    after = tokens(template, "env")
    assert tokens.mask(after, template) == 'A="%s\nPIN="%s\nTZ="Etc/UTC"\n' % (MASK, MASK)
    assert tokens.mask('A="an-older-value"\nTZ="x"\n', template) == 'A="%s\nTZ="x"\n' % MASK
    assert 'quote\\"secret' not in tokens.mask("elsewhere " + after)
    assert 'quote"secret' not in tokens.mask('a log with quote"secret in it')


def test_encoding_by_name():
    assert encoding_for("/p/.env") == "env"
    assert encoding_for("/p/compose.media.yml") == "compose"
    assert encoding_for("/p/secrets/token") == "raw"
    assert encoding_for("/p/traefik.yml") == "yaml"


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30))
def test_any_text_survives_json_and_yaml(value):
    assert json.loads('"%s"' % encode(value, "json")) == value
    assert encode(value, "compose").replace("$$", "$") == encode(value, "json")


def test_two_runs_from_two_checkouts_use_the_same_secrets(tmp_path):
    host = tmp_path / "host"
    first = SecretStore(str(host))
    values = first.resolve({"a": HEX})
    first.save()
    copy = tmp_path / "restored"
    shutil.copytree(host, copy)
    assert SecretStore(str(copy)).resolve({"a": HEX}) == values


def test_what_is_known_is_read_and_nothing_is_made_up(tmp_path):
    own = tmp_path / "config.xml"
    own.write_text("<Config><ApiKey>its-own</ApiKey></Config>")
    store = SecretStore(str(tmp_path))
    assert store.known("a", HEX) is None
    assert store.known("a", adopting(own)) == "its-own"
    assert store.known("a", adopting(tmp_path / "nowhere.xml", value="given")) == "given"
    assert store.known("a", adopting(tmp_path / "nowhere.xml")) is None
    assert store.pending == {}
    made = store.resolve({"a": HEX})["a"]
    store.save()
    assert SecretStore(str(tmp_path)).known("a", adopting(own)) == made


def test_the_hash_of_a_stored_password_is_known_without_making_it(tmp_path):
    store = SecretStore(str(tmp_path))
    password = store.resolve({"p": HEX})["p"]
    assert store.derived("p", password) is None
    made = store.qbittorrent("p", password)
    store.save()
    again = SecretStore(str(tmp_path))
    assert again.derived("p", password) == made
    assert again.derived("p", "another") is None
