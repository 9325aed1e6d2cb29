# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whose password is it: the one that we made, or the app's own."""

from __future__ import annotations

import hashlib
import json

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import credentials
from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import SecretStore
from ansible_collections.homelab.mediastack.plugins.plugin_utils import credentials_text

SECRETS = {"app_password": {"generate": {"kind": "alnum", "length": 24}}, "app_api_key": {}}


class Host:
    """The records of a project, and one app."""

    def __init__(self, path):
        self.path = path
        self.config = path / "config" / "app"
        self.config.mkdir(parents=True)
        self.state = path / ".mediastack"
        self.state.mkdir()

    def write(self, name, content):
        (self.state / name).write_text(json.dumps(content))
        return self

    def stored(self, **values):
        return self.write("secrets.json", {"schema": 1, "secrets": values})

    def made(self):
        return self.write("manifest.json", {"directories": {str(self.config): [0, 0, 0]}})

    def entry(self, kind, presets=(), secrets=None, more=None, **login):
        service = {
            "title": "App",
            "login": {"kind": kind, "username": "admin", "password": "app_password", **login},
            "wiring": None,
            "config_dir": str(self.config),
            "ports": [{"name": "web", "port": 80, "addresses": ["10.0.0.5", "::1"]}],
            **(more or {}),
        }
        (found,) = credentials.read(str(self.path), {"app": service}, secrets or SECRETS, list(presets))
        return found

    def preset(self, name, fmt, key, token):
        keys = [{"key": key, "value": f"@@mediastack:{token}:app_password@@", "replace": [None]}]
        path = str(self.config / name)
        return {"service": "app", "path": path, "format": fmt, "content": "", "keys": keys}


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_what_we_made_is_shown_with_its_address_and_key(host):
    entry = host.stored(app_password="secret", app_api_key="key").entry("env")
    assert (entry["user"], entry["password"], entry["api_key"]) == ("admin", "secret", "key")
    assert entry["urls"] == ["http://10.0.0.5:80", "http://[::1]:80"]
    assert (entry["note"], entry["missing"]) == ("", False)


@pytest.mark.parametrize(
    ("addresses", "urls"),
    [
        (["127.0.0.1", "::1"], ["https://app.example.org/"]),
        (["10.0.0.5"], ["https://app.example.org/", "http://10.0.0.5:80"]),
    ],
)
def test_behind_the_proxy_it_is_the_proxys_address_that_is_shown(host, addresses, urls):
    """127.0.0.1 leads nobody anywhere who can open the name."""
    ports = [{"name": "web", "port": 80, "addresses": addresses}]
    entry = host.stored(app_password="secret").entry("env", more={"url": "https://app.example.org/", "ports": ports})
    assert entry["urls"] == urls


def test_further_users_have_first_passwords_of_their_own(host):
    secrets = {**SECRETS, "app_alice": {}, "app_bob": {}}
    host.stored(app_password="secret", app_alice="first")
    entry = host.entry("env", secrets=secrets, others={"alice": "app_alice", "bob": "app_bob"})
    assert entry["others"] == {"alice": "first"}, "bob's is not made yet"
    shown = credentials_text.text("nas", [entry], False)
    assert "user      alice\n" in shown and "password  first  (the first one)\n" in shown
    assert host.entry("env")["others"] == {}


def test_what_the_inventory_gives_needs_no_record(host):
    assert host.entry("env", secrets={"app_password": {"value": "given"}})["password"] == "given"


def test_nothing_is_made_up(host):
    before = sorted(host.path.rglob("*"))
    entry = host.entry("env")
    assert (entry["password"], entry["note"], entry["missing"]) == (None, credentials.NOT_MADE, True)
    assert sorted(host.path.rglob("*")) == before


@pytest.mark.parametrize("kind", ["servarr", "jellyfin"])
def test_a_login_that_was_there_before_is_the_apps_own(host, kind):
    host.stored(app_password="secret")
    assert host.entry(kind)["note"] == credentials.OWN, "somebody brought the configuration along"
    entry = host.made().entry(kind)
    assert (entry["note"], entry["missing"], entry["password"]) == (credentials.NOT_SET, True, None)
    host.write("logins.json", {"services": {"app": "present"}})
    assert host.entry(kind)["note"] == credentials.OWN
    host.write("logins.json", {"services": {"app": "set"}})
    assert host.entry(kind)["password"] == "secret"


def test_a_password_in_a_file_counts_as_long_as_it_is_ours(host):
    host.stored(app_password="secret").made()
    preset = host.preset("app.ini", "ini", ["misc", "password"], "secret")
    assert host.entry("preset", [preset])["note"] == credentials.NOT_SET
    (host.config / "app.ini").write_text("[misc]\npassword = secret\n")
    assert host.entry("preset", [preset])["password"] == "secret"
    (host.config / "app.ini").write_text("[misc]\npassword = changed\n")
    entry = host.entry("preset", [preset])
    assert (entry["password"], entry["user"], entry["note"]) == (None, None, credentials.OWN)


def test_a_hash_is_compared_as_a_hash(host):
    host.stored(app_password="secret")
    preset = host.preset("app.ini", "ini", ["misc", "password"], "md5")
    (host.config / "app.ini").write_text("[misc]\npassword = %s\n" % hashlib.md5(b"secret").hexdigest())
    assert host.entry("preset", [preset])["password"] == "secret"
    store = SecretStore(str(host.path))
    pbkdf2 = host.preset("app.ini", "ini", ["Preferences", "Password"], "pbkdf2_qbittorrent")
    store.qbittorrent("app_password", "secret")
    store.pending["app_password"] = "secret"
    value = store.qbittorrent("app_password", "secret")
    store.save()
    (host.config / "app.ini").write_text(f'[Preferences]\nPassword="{value}"\n')
    assert host.entry("preset", [pbkdf2])["password"] == "secret"


def test_where_a_preset_says_nothing_of_the_password_the_directory_tells_whose_it_is(host):
    host.stored(app_password="secret")
    (host.config / "app.ini").write_text("[misc]\n")
    preset = dict(host.preset("app.ini", "ini", ["misc", "x"], "secret"), keys=[])
    assert host.entry("preset", [preset])["note"] == credentials.OWN
    assert host.made().entry("preset", [preset])["password"] == "secret"


@pytest.mark.parametrize("kind", ["none", "no_ui", "wizard"])
def test_an_app_without_login_says_so(host, kind):
    entry = host.stored(app_password="secret").entry(kind)
    assert (entry["note"], entry["password"], entry["missing"]) == (credentials.WITHOUT[kind], None, False)


def test_a_login_without_a_user_has_none(host):
    assert host.stored(app_password="secret").entry("env", username="")["user"] == ""
