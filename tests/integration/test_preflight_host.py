# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Host half of a deploy against the real engine: what is foreign stays as it is, files and first logins are right."""

import io
import json
import os
import pathlib
import subprocess
import tarfile
import time

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    app_login,
    docker_cli,
    engine_facts,
    first_login,
    preflight,
    presets,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.project_files import FileSet
from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import SecretStore

PREFIX = "mspre"
IMAGE = "%s-empty:1" % PREFIX
# The image is empty; the programs are the host's, read-only.
HOST_PROGRAMS = [("/usr", "/usr"), ("/lib", "/lib"), ("/lib64", "/lib64"), ("/bin", "/bin")]
NASTY = "p\"a$s\\w'o#r`d é"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the engine and other users' files need root")


def docker(*arguments, **more):
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def programs():
    return [
        part
        for source, target in HOST_PROGRAMS
        if os.path.isdir(source)
        for part in ("-v", "%s:%s:ro" % (source, target))
    ]


def run_container(name, *options, command=("/usr/bin/sleep", "600"), image=IMAGE):
    return docker("run", "--detach", "--name", name, *programs(), *options, image, *command).strip()


def inspect(*names):
    return json.loads(docker("inspect", *names))


def picture(name):
    """All that the engine tells, but for the order of the mounts, which it shuffles itself."""
    (container,) = inspect(name)
    container["Mounts"].sort(key=lambda mount: mount["Destination"])
    return container


@pytest.fixture(scope="module", autouse=True)
def image():
    """An image with nothing but a directory, and one with the label of the lab."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo("srv")
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    for change, tag in (([], IMAGE), (["--change", "LABEL mediastack.lab=true"], "%s-lab:1" % PREFIX)):
        subprocess.run(["docker", "import", *change, "-", tag], input=data.getvalue(), check=True, capture_output=True)
    yield
    subprocess.run(["docker", "image", "rm", "--force", IMAGE, "%s-lab:1" % PREFIX], check=True, capture_output=True)


@pytest.fixture(autouse=True)
def clean():
    yield
    names = docker("ps", "--all", "--quiet", "--filter", "name=^%s-" % PREFIX).split()
    if names:
        docker("rm", "--force", "--volumes", *names)
    networks = docker("network", "ls", "--quiet", "--filter", "name=^%s-" % PREFIX).split()
    if networks:
        docker("network", "rm", *networks)


@pytest.fixture
def bundle(tmp_path):
    base = str(tmp_path / "data")
    return {
        "schema": 1,
        "project": {"name": "mspre-stack", "path": base + "/compose"},
        "identity": {"puid": 12345, "pgid": 12345, "umask": "002"},
        "paths": {
            "base": base,
            "config": base + "/config",
            "media": base + "/media",
            "downloads": base + "/downloads",
            "split_mounts": False,
        },
        "timezone": "Etc/UTC",
        "bind_addresses": ["127.0.0.1"],
        "lab_images": False,
        "vpn": {"enabled": False, "members": []},
        "secrets": {"key": {"generate": {"kind": "hex", "length": 32}}, "nasty": {"value": NASTY}},
        "directories": [],
        "files": [],
        "presets": [],
        "services": {
            "app": {
                "image": IMAGE,
                "container_name": "mspre-app",
                "config_hash": "1",
                "inputs": [],
                "config_dir": base + "/config/app",
                "login": {"kind": "servarr", "username": "admin", "password": "nasty", "api_key": "key"},
                "ports": [
                    {"name": "web", "service": "app", "protocol": "tcp", "port": 21500, "target": 80, "addresses": []}
                ],
            }
        },
    }


class LocalImage:
    def __init__(self, labels):
        self.labels = labels


def check(bundle, check_mode=False, warnings=None):
    """Preflight with the engine's own facts."""
    local = {}
    for service in bundle["services"].values():
        labels = inspect(service["image"])[0]["Config"]["Labels"] or {}
        local[service["image"]] = LocalImage(labels)
    facts, containers = engine_facts.gather(docker_cli.Docker(), local)
    ours = [item for item in containers if item["Name"].startswith("/mspre-")]
    return preflight.run(bundle, facts, ours, check_mode, warnings)


def names_of(problems):
    return [problem["check"] for problem in problems]


def test_this_host_is_good(bundle, tmp_path):
    assert check(bundle) == []
    assert list(tmp_path.iterdir()) == []


def test_a_hand_made_stack_is_named_and_stays_as_it_is(bundle, tmp_path):
    """P1: same project name, container names and ports beside ours."""
    other = tmp_path / "other"
    other.mkdir()
    compose = {
        "name": "mspre-stack",
        "services": {
            "app": {
                "container_name": "mspre-app",
                "image": IMAGE,
                "command": ["/usr/bin/sleep", "600"],
                "ports": ["127.0.0.1:21500:80"],
                "volumes": ["%s:%s:ro" % pair for pair in HOST_PROGRAMS if os.path.isdir(pair[0])],
            }
        },
    }
    (other / "compose.yml").write_text(json.dumps(compose))
    docker("compose", "--file", str(other / "compose.yml"), "up", "--detach", "--quiet-pull")
    try:
        before = picture("mspre-app")
        problems = check(bundle)
        assert names_of(problems) == ["container", "port"]
        text = preflight.message(problems)
        assert "mspre-app" in text
        assert str(other / "compose.yml") in text
        assert "mediastack_ports: {app: 215" in text
        assert picture("mspre-app") == before
    finally:
        docker("compose", "--file", str(other / "compose.yml"), "down", "--timeout", "0")


def test_our_own_container_keeps_its_port(bundle):
    labels = {
        "com.docker.compose.project": "mspre-stack",
        "com.docker.compose.project.working_dir": bundle["project"]["path"],
    }
    options = [part for pair in labels.items() for part in ("--label", "%s=%s" % pair)]
    run_container("mspre-app", "--publish", "127.0.0.1:21500:80", *options)
    assert check(bundle) == []
    docker("rm", "--force", "mspre-app")
    run_container("mspre-app", "--publish", "127.0.0.1:21500:80")
    assert names_of(check(bundle)) == ["container", "port"]


def test_a_container_on_the_hosts_network_is_named_by_its_name(bundle):
    listen = (
        "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 21500)); s.listen(); "
        "print('listening', flush=True); time.sleep(600)"
    )
    run_container("mspre-host", "--network", "host", command=("/usr/bin/python3", "-c", listen))
    deadline = time.monotonic() + 20
    while "listening" not in docker("logs", "mspre-host"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (problem,) = check(bundle)
    assert "held by container mspre-host (started without Compose, image %s)" % IMAGE in problem["what"]


def test_lab_images_are_refused(bundle):
    bundle["services"]["app"]["image"] = "mspre-lab:1"
    (problem,) = check(bundle)
    assert problem["check"] == "lab"
    bundle["lab_images"] = True
    assert check(bundle) == []


def test_a_small_disk_in_memory(bundle, tmp_path):
    place = tmp_path / "memory disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=50", "mspre", str(place)], check=True)
    try:
        bundle["paths"].update(base=str(place), config=str(place / "config"))
        problems = check(bundle)
        assert names_of(problems) == ["base", "space", "inodes"]
        assert "%s is on %s (tmpfs)" % (place, place) in problems[0]["what"]
        assert "only 8 MiB are free" in problems[1]["what"] or "only 7 MiB are free" in problems[1]["what"]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_links_over_two_mounts_of_one_file_system(bundle, tmp_path):
    """Both have the same st_dev, and still no link is possible."""
    for name in ("media", "downloads", "config"):
        path = pathlib.Path(bundle["paths"][name])
        path.mkdir(parents=True)
        os.chown(path, 12345, 12345)
    assert check(bundle) == []
    media = bundle["paths"]["media"]
    subprocess.run(["mount", "--bind", media, media], check=True)
    try:
        assert os.stat(media).st_dev == os.stat(bundle["paths"]["downloads"]).st_dev
        assert names_of(check(bundle)) == ["hardlinks"]
    finally:
        subprocess.run(["umount", media], check=True)


def test_a_read_only_disk(bundle, tmp_path):
    place = tmp_path / "ro"
    place.mkdir()
    subprocess.run(["mount", "--bind", str(place), str(place)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        bundle["paths"].update(config=str(place / "config"))
        (problem,) = check(bundle)
        assert problem["check"] == "write"
        assert "cannot be made in %s" % place in problem["what"]
        bundle["paths"].update({name: str(place / name) for name in ("media", "downloads")}, base=str(place))
        (problem,) = check(bundle)
        assert "cannot be made in %s" % place in problem["what"]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def write_all(bundle):
    project = bundle["project"]["path"]
    store = SecretStore(project)
    values = store.resolve(bundle["secrets"])
    tokens = store.tokens(values, "127.0.0.1")
    files = FileSet(bundle, project)
    changes = files.plan(tokens)
    changed = presets.plan(bundle["presets"], tokens, bundle)
    created = [change["path"] for change in changes]
    logins = first_login.plan(bundle["services"], project, created)
    above = [change for change in changes if change["kind"] == "directory" and project.startswith(change["path"])]
    files.apply(above)
    store.save()
    files.apply([change for change in changes if change not in above])
    presets.apply(changed)
    return values, changes, changed, logins


def full(bundle):
    """A bundle with everything: directories, Compose file, `.env`, secret file, preset."""
    base, project = bundle["paths"]["base"], bundle["project"]["path"]
    for path in (base, base + "/config", base + "/config/app"):
        bundle["directories"].append({"path": path, "mode": "2775", "owner": 12345, "group": 12345})
    bundle["directories"].append({"path": project, "mode": "0750", "owner": 0, "group": 0})
    volumes = [
        {"type": "bind", "source": source, "target": target, "read_only": True}
        for source, target in HOST_PROGRAMS
        if os.path.isdir(source)
    ]
    stand_in = pathlib.Path(base).parent / "stand_in.py"
    stand_in.write_text(STAND_IN)
    volumes.append({"type": "bind", "source": str(stand_in), "target": "/srv", "read_only": True})
    volumes[-1]["target"] = "/stand_in.py"
    volumes.append({"type": "bind", "source": base + "/config/app", "target": "/config"})
    compose = {
        "services": {
            "app": {
                "image": IMAGE,
                "container_name": "mspre-app",
                "command": ["/usr/bin/python3", "/stand_in.py"],
                "environment": {"NASTY": "${NASTY}"},
                "volumes": volumes,
                "secrets": ["token"],
                "labels": {"org.homelab.mediastack.content": "@@mediastack:hash:app@@"},
                "stop_grace_period": "0s",
            }
        },
        "secrets": {"token": {"file": "./secrets/token"}},
        "networks": {"default": {"name": "mspre-net"}},
    }
    for name, content, mode, secret in (
        ("compose.core.yml", json.dumps(compose), "0644", False),
        (
            ".env",
            'COMPOSE_PROJECT_NAME=mspre-stack\nCOMPOSE_FILE=compose.core.yml\nNASTY="@@mediastack:secret:nasty@@"\n',
            "0600",
            True,
        ),
        ("secrets/token", "@@mediastack:secret:nasty@@", "0400", True),
    ):
        bundle["files"].append(
            {"path": project + "/" + name, "content": content, "mode": mode, "owner": 0, "group": 0, "secret": secret}
        )
    bundle["presets"].append(
        {
            "service": "app",
            "path": base + "/config/app/config.xml",
            "format": "xml",
            "mode": "0600",
            "owner": 12345,
            "group": 12345,
            "content": "<Config>\n  <ApiKey>@@mediastack:secret:key@@</ApiKey>\n</Config>\n",
            "keys": [{"key": ["Config", "ApiKey"], "value": "@@mediastack:secret:key@@", "replace": None}],
        }
    )
    bundle["services"]["app"]["inputs"] = [project + "/secrets/token"]
    bundle["services"]["app"]["tokens"] = ["@@mediastack:secret:key@@"]
    return bundle


# What Sonarr's HostConfigController asks for; it starts slowly and reads its key from the preset file.
STAND_IN = """
import http.server, json, re, time
begin = time.monotonic()
key = re.search("<ApiKey>(.*)</ApiKey>", open("/config/config.xml").read()).group(1)
host = {"id": 1, "username": "", "password": "", "authenticationMethod": "none"}
class Handler(http.server.BaseHTTPRequestHandler):
    def do(self):
        global host
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        if self.headers.get("X-Api-Key") != key: status, answer = 401, ""
        elif time.monotonic() - begin < 1: status, answer = 503, {"errorMessage": "starting up"}
        elif self.path == "/api": status, answer = 200, {"current": "v3"}
        elif self.command == "PUT":
            host = body
            status, answer = 202, host
            open("/config/login.json", "w").write(json.dumps(host))
        else: status, answer = 200, host
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    do_GET = do_PUT = do
http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()
"""


def test_from_nothing_to_a_running_app_with_its_login(bundle, tmp_path):
    full(bundle)
    project = bundle["project"]["path"]
    values, changes, changed, logins = write_all(bundle)
    assert logins == ["app"]
    assert [change["action"] for change in changed] == ["create"]
    for path, owner, mode in (
        ("config/app", 12345, 0o2775),
        ("config/app/config.xml", 12345, 0o600),
        ("compose/.env", 0, 0o600),
        ("compose/secrets", 0, 0o700),
        ("compose/secrets/token", 0, 0o400),
        ("compose", 0, 0o750),
        ("compose/.mediastack", 0, 0o700),
        ("compose/.mediastack/secrets.json", 0, 0o600),
    ):
        info = os.stat(os.path.join(bundle["paths"]["base"], path))
        assert (path, info.st_uid, info.st_mode & 0o7777) == (path, owner, mode)

    # Plain `docker compose` in the project directory, without Ansible.
    config = json.loads(docker("compose", "config", "--format", "json", cwd=project))
    assert config["services"]["app"]["environment"]["NASTY"].replace("$$", "$") == NASTY
    docker("compose", "up", "--detach", "--pull", "never", cwd=project)
    try:
        (container,) = inspect("mspre-app")
        environment = dict(line.split("=", 1) for line in container["Config"]["Env"])
        assert environment["NASTY"] == NASTY
        assert (
            container["Config"]["Labels"]["org.homelab.mediastack.content"]
            == FileSet(bundle, project).content_labels(bundle["services"], SecretStore(project).tokens(values))["app"]
        )
        assert docker("exec", "mspre-app", "/usr/bin/cat", "/run/secrets/token") == NASTY

        # Nothing is published: the app is reached at its own address, once it has started.
        assert app_login.address("app", bundle["services"], [container])[1] == 80
        result = first_login.apply(logins, bundle["services"], values, [container], time.monotonic() + 30, project)
        assert result == {"app": {"action": "set", "error": None}}
        login = json.loads(pathlib.Path(bundle["paths"]["config"], "app", "login.json").read_text())
        assert (login["username"], login["password"], login["authenticationMethod"]) == ("admin", NASTY, "forms")
        assert first_login.plan(bundle["services"], project) == []

        # Again: nothing to do, the secrets are the same, and preflight takes our own container for ours.
        again, changes, changed, logins = write_all(bundle)
        assert (again, changes, changed, logins) == (values, [], [], [])
        assert check(bundle) == []
    finally:
        docker("compose", "down", "--timeout", "0", cwd=project)
