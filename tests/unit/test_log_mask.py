# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No secret of the stack is in a log line that is shown."""

import base64
import json
import os
import urllib.parse

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, log_mask, log_text

MASK = "********"


def hide(text, *values):
    return log_mask.Mask(values)(text)


@pytest.mark.parametrize("value", ["s3cret", "p@ss w/rd+1&2", 'quo"te\\back', "grüße!", "a<b>&c'd", "aB3/+x==9yZ12345"])
def test_a_value_in_every_spelling(value):
    spellings = {
        value,
        urllib.parse.quote(value),
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote(value, safe="").lower() if "%" in urllib.parse.quote(value, safe="") else value,
        urllib.parse.quote_plus(value),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
    }
    for spelling in spellings:
        if spelling.lower() == spelling and value.lower() != value:
            continue
        assert hide(f"begin {spelling} end", value) == f"begin {MASK} end", spelling


def test_lower_case_of_percent_signs():
    assert hide("x?q=a%2fb%2bcdef", "a/b+cdef") == f"x?q={MASK}"


def test_basic_authentication_by_its_base64():
    key = "averylongkey1234"
    assert key not in hide("b64 " + base64.b64encode(key.encode()).decode(), key)
    assert MASK in hide("b64 " + base64.b64encode((key + ":more").encode()).decode(), key)


def test_a_secret_inside_of_another():
    assert hide("longsecretvalue secretvalue", "secretvalue", "longsecretvalue") == f"{MASK} {MASK}"


def test_short_values_do_not_tear_words_apart():
    assert hide("a test of abc", "abc", "a") == "a test of abc"


def test_a_key_of_several_lines():
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEA"
    pem = f"-----BEGIN PRIVATE KEY-----\n{body}\n{body[::-1]}\n-----END PRIVATE KEY-----\n"
    assert hide(f"loaded {body}", pem) == f"loaded {MASK}"


def test_the_words_of_a_configuration_are_no_secrets():
    ovpn = "client\ndev tun\nproto udp\nremote 1.2.3.4 1194\n<key>\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw\n</key>\n"
    assert hide("the client uses proto udp", ovpn) == "the client uses proto udp"
    assert hide("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw", ovpn) == MASK


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /api?apikey=0123abcd&x=1", f"GET /api?apikey={MASK}&x=1"),
        ("GET /api?t=search&ApiKey=0123abcd HTTP/1.1", f"GET /api?t=search&ApiKey={MASK} HTTP/1.1"),
        ("api_key='abc def'", f"api_key='{MASK}'"),
        ('{"apiKey": "abc", "x": 1}', f'{{"apiKey": "{MASK}", "x": 1}}'),
        ('{"password":"a b"}', f'{{"password":"{MASK}"}}'),
        ("X-Api-Key: 0123456789abcdef", f"X-Api-Key: {MASK}"),
        ("X-Plex-Token=AbC1", f"X-Plex-Token={MASK}"),
        ("Authorization: Bearer eyJhbGciOi.x.y", f"Authorization: Bearer {MASK}"),
        ("authorization: Basic dXNlcjpwYXNz", f"authorization: Basic {MASK}"),
        ("http://user:pa55@nas:8080/x", f"http://user:{MASK}@nas:8080/x"),
        ("https://t.example/0123456789abcdef0123/announce", f"https://t.example/{MASK}/announce"),
        ("The WebUI administrator password is: 4Zk9s2Qw1", f"The WebUI administrator password is: {MASK}"),
        (
            "A temporary password is provided for this session: NPdVcUnYt",
            f"A temporary password is provided for this session: {MASK}",
        ),
        ("temporary password: aB3dE5fG7", f"temporary password: {MASK}"),
        ("private_key=abcdefgh", f"private_key={MASK}"),
        # What only sounds like it.
        ("password: wrong", "password: wrong"),
        ("Invalid API key: missing", "Invalid API key: missing"),
        ("token expired", "token expired"),
        ("monkey=banana", "monkey=banana"),
        ("passage=3", "passage=3"),
        ("12:30:45 [Info] level=debug", "12:30:45 [Info] level=debug"),
        ("see http://nas:8080/x@y", "see http://nas:8080/x@y"),
    ],
)
def test_what_looks_like_a_secret(text, shown):
    assert hide(text) == shown


def test_a_long_line_takes_no_time():
    # A pattern that goes over a line again and again would take minutes.
    for sign in (
        "a",
        "apikey ",
        "x:",
        "http://",
        "-_",
        '"',
        "password is ",
        "token-",
        "a.b://",
        "http://a/0123456789abcdef",
    ):
        hide((":" + sign * 40000)[: log_text.LOOKED_AT])


@pytest.fixture
def project(tmp_path):
    state = tmp_path / ".mediastack"
    state.mkdir()
    derived = {"pbkdf2_qbittorrent:x": "stampstamp @ByteArray(salt==:key==)"}
    store = {"schema": 1, "secrets": {"sonarr": "storedsecret"}, "salts": {"a": "saltsaltsalt"}, "derived": derived}
    (state / "secrets.json").write_text(json.dumps(store))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "vpn_key").write_text("filesecret\n")
    return tmp_path


def test_everything_that_the_host_knows(project):
    environment = [
        "API_KEY=envsecret1",
        "DB_PASSWORD=envsecret2",
        "DB_PASSWORD_FILE=/run/secrets/db",
        "PASSWORD_MIN_LENGTH=10",
        "MONKEY=envsecret3",
        "PATH=/usr/bin:/bin",
        "PLEX_CLAIM=claim-123456",
    ]
    mask = log_mask.Mask(log_mask.known(str(project), ["givensecret"], environment))
    for value in ("storedsecret", "saltsaltsalt", "filesecret", "givensecret", "envsecret1", "envsecret2"):
        assert mask(f"<{value}>") == f"<{MASK}>", value
    assert mask("@ByteArray(salt==:key==)") == MASK
    assert mask("claim-123456") == MASK
    for value in ("envsecret3", "/run/secrets/db", "/usr/bin:/bin"):
        assert mask(value) == value


def test_a_project_without_secrets(tmp_path):
    assert log_mask.known(str(tmp_path / "none")) == []


def test_secrets_that_cannot_be_read_stop_it(project):
    (project / ".mediastack" / "secrets.json").write_text("{")
    with pytest.raises(atomic_files.FileError, match="not JSON"):
        log_mask.known(str(project))


def test_without_permission_it_names_the_remedy(project, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(atomic_files.FileError, match="become: true"):
        log_mask.known(str(project))
