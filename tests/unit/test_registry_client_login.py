# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Logins for registries: where they come from, how they are used, and that nobody else is shown them."""

from __future__ import annotations

import base64
import json

import pytest
import registry_world as w

from ansible_collections.homelab.mediastack.plugins.plugin_utils import registry_client, registry_errors
from ansible_collections.homelab.mediastack.plugins.plugin_utils.registry_credentials import HUB_KEY, Credentials
from ansible_collections.homelab.mediastack.plugins.plugin_utils.registry_http import Transport

PAIR = base64.b64encode(f"{w.USER}:{w.PASSWORD}".encode()).decode()


@pytest.fixture(autouse=True)
def docker(monkeypatch, tmp_path):
    """A function that writes Docker's config.json; without a call there is none."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    def write(**config):
        (folder / "config.json").write_text(json.dumps(config))

    return write


@pytest.fixture
def world():
    return w.World()


@pytest.fixture
def here(world):
    with w.serving(world) as address:
        yield address


def ask(*images, **options):
    transport = Transport(Credentials(), timeout=5, wait=lambda _seconds: None, **options)
    return registry_client.resolve(images, None, transport)


def helper(tmp_path, monkeypatch, name, script):
    """A credential helper on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_token_is_asked_for_where_the_registry_says(world, here):
    world.login = "token"
    digest = world.image("team/app", "1")
    assert ask(f"{here}/team/app:1").found[f"{here}/team/app:1"].digest == digest
    method, path, headers = world.log[1]
    assert (method, path) == ("GET", "/token?service=the+registry&scope=repository%3Ateam%2Fapp%3Apull")
    assert "Authorization" not in headers
    assert world.log[2][2]["Authorization"] == "Bearer for repository:team/app:pull"
    # HEAD, token, HEAD, manifest, config: the token is asked for once.
    assert len(world.log) == 5


def test_the_next_image_of_that_registry_brings_its_token_along(world, here):
    world.login = "token"
    for name in ("one", "two"):
        world.image(f"team/{name}", "1")
    transport = Transport(Credentials(), timeout=5)
    registry_client.resolve([f"{here}/team/one:1"], None, transport)
    before = len(world.log)
    registry_client.resolve([f"{here}/team/two:1"], None, transport)
    assert [path for _method, path, _headers in world.log[before:]][0].startswith("/token")
    assert len(world.log) - before == 4


@pytest.mark.parametrize(
    "entry", [{"auth": PAIR}, {"username": w.USER, "password": w.PASSWORD}, {"identitytoken": w.TOKEN}]
)
def test_a_login_of_docker_is_used_for_the_token(world, here, docker, entry):
    world.login = "token-user"
    world.image("team/private", "1")
    docker(auths={here: entry})
    assert list(ask(f"{here}/team/private:1").found) == [f"{here}/team/private:1"]


def test_a_login_of_docker_is_used_as_it_is_where_there_are_no_tokens(world, here, docker):
    world.login = "basic"
    world.image("team/private", "1")
    docker(auths={f"http://{here}/v1/": {"auth": PAIR}})
    assert list(ask(f"{here}/team/private:1").found) == [f"{here}/team/private:1"]


def test_without_a_login_the_remedy_is_to_log_in(world, here):
    for world.login in ("basic", "token-user"):
        why = ask(f"{here}/team/private:1").problems[f"{here}/team/private:1"]
        assert (why.kind, why.status) == (registry_errors.LOGIN, 401)
        assert (
            f"There is no team/private, or it is private: check the name; for a private image, docker login {here}"
            in (why.why)
        )


def test_a_login_that_is_not_accepted_is_told_and_not_shown(world, here, docker):
    wrong = base64.b64encode(b"sam:hunter2").decode()
    docker(auths={here: {"auth": wrong}})
    for world.login in ("basic", "token-user"):
        why = ask(f"{here}/team/private:1").problems[f"{here}/team/private:1"].why
        assert f"The login for {here} on this computer may not read team/private, or has expired" in why
        assert f"docker logout {here} if the image is public" in why
        assert "hunter2" not in why
        assert wrong not in why


def test_a_login_is_asked_for_only_where_a_registry_wants_one(world, here, docker, tmp_path, monkeypatch):
    helper(tmp_path, monkeypatch, "store", f"touch {tmp_path}/was-asked; exit 1")
    docker(credsStore="store")
    world.image("team/app", "1")
    assert ask(f"{here}/team/app:1").messages == []
    assert not (tmp_path / "was-asked").exists()


def test_a_helper_gives_the_login(world, here, docker, tmp_path, monkeypatch):
    answer = json.dumps({"ServerURL": here, "Username": w.USER, "Secret": w.PASSWORD})
    helper(tmp_path, monkeypatch, "store", f"[ \"$1\" = get ] && [ \"$(cat)\" = '{here}' ] && echo '{answer}'")
    world.login = "basic"
    world.image("team/private", "1")
    for config in ({"credHelpers": {here: "store"}}, {"credsStore": "store", "auths": {here: {}}}):
        docker(**config)
        done = ask(f"{here}/team/private:1")
        assert (list(done.found), done.messages) == ([f"{here}/team/private:1"], [])


def test_a_helper_may_give_an_identity_token(world, here, docker, tmp_path, monkeypatch):
    helper(tmp_path, monkeypatch, "store", f"""echo '{{"Username": "<token>", "Secret": "{w.TOKEN}"}}'""")
    docker(credHelpers={here: "store"})
    world.login = "token-user"
    world.image("team/private", "1")
    assert list(ask(f"{here}/team/private:1").found) == [f"{here}/team/private:1"]


def test_a_helper_that_is_not_there_is_told_and_public_images_go_on(world, here, docker):
    docker(credsStore="of-another-computer")
    world.login = "token"
    world.image("team/app", "1")
    done = ask(f"{here}/team/app:1")
    assert list(done.found) == [f"{here}/team/app:1"]
    (message,) = done.messages
    assert message.startswith(f"The login for {here} is kept by docker-credential-of-another-computer, which is not on")


@pytest.mark.parametrize(
    ("script", "messages"),
    [
        ("echo credentials not found in native keychain; exit 1", 0),
        ("echo the keychain is locked >&2; exit 1", 1),
        ("echo no JSON", 1),
    ],
)
def test_a_helper_without_a_login_is_told_only_where_that_is_a_surprise(
    world, here, docker, tmp_path, monkeypatch, script, messages
):
    helper(tmp_path, monkeypatch, "store", script)
    docker(credsStore="store")
    world.login = "token"
    world.image("team/app", "1")
    done = ask(f"{here}/team/app:1")
    assert (len(done.found), len(done.messages)) == (1, messages)


def test_a_helpers_name_is_no_path_to_another_program(docker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docker-credential-x").mkdir()
    helper(tmp_path, monkeypatch, "any", f"touch {tmp_path}/was-run")
    docker(credsStore="x/../bin/docker-credential-any")
    credentials = Credentials()
    assert credentials.of("ghcr.io") is None
    assert not (tmp_path / "was-run").exists()
    assert "not on PATH" in credentials.messages[0]


def test_the_login_of_docker_hub_has_a_name_of_its_own(docker):
    docker(auths={HUB_KEY: {"auth": PAIR}})
    login = Credentials().of("docker.io")
    assert (login.username, login.password) == (w.USER, w.PASSWORD)
    assert Credentials().of("ghcr.io") is None
    # A traceback or a log shows no password.
    assert w.PASSWORD not in repr(login)


@pytest.mark.parametrize("text", ["{", '{"auths": [1]}', '{"auths": {"ghcr.io": {"auth": "%%"}}}', "[]"])
def test_a_config_that_makes_no_sense_is_no_login(docker, tmp_path, text):
    (tmp_path / "docker" / "config.json").write_text(text)
    credentials = Credentials()
    assert credentials.of("ghcr.io") is None
    assert len(credentials.messages) == (1 if text == "{" else 0)


# -- nobody else is shown them ---------------------------------------------------------------------------------------


def test_a_token_does_not_follow_to_another_host(world, here, docker):
    """Blobs are in a store elsewhere; it may not see the token, and refuses it besides."""
    store = w.World()
    world.login = "token"
    world.image("team/app", "1")
    store.contents = {path: content for path, content in world.contents.items() if "/blobs/" in path}
    with w.serving(store) as elsewhere:
        world.redirect_blobs_to = f"http://{elsewhere}"
        assert ask(f"{here}/team/app:1").found[f"{here}/team/app:1"].created
    assert len(store.log) == 1
    assert "Authorization" not in store.log[0][2]


@pytest.mark.parametrize("target", ["http://registry.example", "ftp://127.0.0.1", "file:///etc"])
def test_a_registry_may_not_lead_to_what_is_not_safe(world, here, target):
    world.image("team/app", "1")
    world.redirect_blobs_to = target
    why = ask(f"{here}/team/app:1").problems[f"{here}/team/app:1"].why
    assert "which is not safe" in why


def test_a_registry_may_not_have_logins_sent_in_clear_text(world, here, docker):
    docker(auths={here: {"auth": PAIR}})
    world.login, world.realm = "token", "http://registry.example/token"
    why = ask(f"{here}/team/app:1").problems[f"{here}/team/app:1"].why
    assert "sends logins to 'http://registry.example/token', which is no https address" in why


def test_what_netrc_has_for_a_registry_is_none_of_its_business(world, here, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password mine\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    world.login = "token"
    world.image("team/app", "1")
    ask(f"{here}/team/app:1")
    basic = [headers for _method, _path, headers in world.log if headers.get("Authorization", "").startswith("Basic")]
    assert basic == []


def test_the_host_that_gives_no_token_is_named(world, here):
    with w.serving(w.World()) as gone:
        pass
    world.login, world.realm = "token", f"http://{gone}/token"
    problem = ask(f"{here}/team/app:1").problems[f"{here}/team/app:1"]
    assert problem.registry == here
    assert problem.why.startswith(f"no connection to {gone} (for {here}) (")


def test_the_host_that_refuses_a_token_is_named(world, here):
    other = w.World()
    other.fail(9, w.status(500, b"out of tokens"))
    with w.serving(other) as tokens:
        world.login, world.realm = "token", f"http://{tokens}/token"
        problem = ask(f"{here}/team/app:1").problems[f"{here}/team/app:1"]
    assert problem.why.startswith(f"{tokens} (for {here}) answered 500 (out of tokens)")


def test_the_host_that_a_registry_leads_to_is_named(world, here):
    world.image("team/app", "1")
    with w.serving(w.World()) as gone:
        pass
    world.redirect_blobs_to = f"http://{gone}"
    assert f"no connection to {gone} (for {here}) (" in ask(f"{here}/team/app:1").problems[f"{here}/team/app:1"].why
