# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's images in real containers: how they start, fail and answer; the real programs take what we preset."""

import base64
import functools
import hashlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from images import names  # noqa: E402

PREFIX = f"mslab-{uuid.uuid4().hex[:6]}"
IMAGES = {image.entry: image.name for image in names.catalogue([ROOT / "compose_templates"])}
VPN = {
    "VPN_TYPE": "wireguard",
    "VPN_SERVICE_PROVIDER": "mullvad",
    "WIREGUARD_PRIVATE_KEY": "A" * 43 + "=",
    "WIREGUARD_ADDRESSES": "10.64.0.2/32",
}
TUN = ["--cap-add", "NET_ADMIN", "--device", "/dev/net/tun:/dev/net/tun"]


def docker(*arguments, check=True):
    """Run docker; returns what it said, both ways."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module", autouse=True)
def images():
    """The lab's images, and nothing of ours left behind."""
    subprocess.run([sys.executable, str(ROOT / "tests/lab/bin/images"), "build"], check=True)
    yield
    left = docker("ps", "--all", "--quiet", "--filter", f"name={PREFIX}").split()
    if left:
        docker("rm", "--force", "--volumes", *left)
    docker("network", "rm", f"{PREFIX}-net", check=False)


@pytest.fixture(scope="module")
def network(images):
    """A network of its own, with name resolution."""
    docker("network", "create", f"{PREFIX}-net")
    return f"{PREFIX}-net"


class Box:
    """One container."""

    def __init__(self, entry, *options, env=None, command=(), name=None):
        """Start it."""
        self.name = f"{PREFIX}-{name or entry}-{uuid.uuid4().hex[:4]}"
        variables = [word for key, value in (env or {}).items() for word in ("--env", f"{key}={value}")]
        docker("run", "--detach", "--name", self.name, *variables, *options, IMAGES[entry], *command)

    def inspect(self, path):
        """Return one value of docker inspect."""
        return json.loads(docker("inspect", "--format", "{{json " + path + "}}", self.name))

    def exec(self, *command, check=True, user="0"):
        """Run a command inside."""
        return docker("exec", "--user", user, self.name, *command, check=check)

    def logs(self):
        """Return what it printed."""
        return docker("logs", self.name)

    def address(self):
        """Return its address on its network."""
        networks = self.inspect(".NetworkSettings.Networks")
        return next(iter(networks.values()))["IPAddress"]

    def ask(self, port, method, path, body=None, headers=()):
        """Return (status, body, headers) of one HTTP request; status 0 = nobody listens."""
        connection = http.client.HTTPConnection(self.address(), port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), dict(answer.getheaders())
        except (ConnectionError, TimeoutError):
            return 0, "", {}
        finally:
            connection.close()

    def wait(self, question, seconds=60):
        """Wait until question() is true; returns its value."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            value = question()
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"{self.name}: not so within {seconds} s; its log:\n{self.logs()[-2000:]}")

    def ended(self):
        """Return its exit code once it has ended."""
        self.wait(lambda: self.inspect(".State.Status") == "exited", 30)
        return self.inspect(".State.ExitCode")


def config(tmp_path, **files):
    """Make a config directory of 1000:1000 with files; returns the bind option."""
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        os.chown(path, 1000, 1000)
    return ["--volume", f"{tmp_path}:/config"]


IDS = {"PUID": "1000", "PGID": "1000", "UMASK": "002"}


# -- how they start ----------------------------------------------------------------------------------------------------


def test_refused_then_starting_then_healthy():
    """As the real one: nobody listens, 503, {"status": "OK"}."""
    box = Box("sonarr", env={"LAB_FAULTS": "refuse=1,starting=2", **IDS})
    box.wait(lambda: box.inspect(".State.Running"))
    seen = []

    def healthy():
        status = box.ask(8989, "GET", "/ping")[0]
        if not seen or seen[-1] != status:
            seen.append(status)
        return status == 200

    box.wait(healthy)
    assert seen == [0, 503, 200]


def test_files_belong_to_puid_and_umask_holds(tmp_path):
    """The image starts as root, gives /config away and drops; what the app writes follows UMASK."""
    (tmp_path / "old").write_text("x")
    box = Box("radarr", "--volume", f"{tmp_path}:/config", env={"PUID": "1234", "PGID": "1235", "UMASK": "002"})
    box.wait(lambda: box.ask(7878, "GET", "/ping")[0] == 200)
    made = (tmp_path / "config.xml").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (1234, 1235, 0o664)
    assert (tmp_path / "old").stat().st_uid == 1234
    # Root supervises, as s6 does.
    running = [line.split()[1:] for line in docker("top", box.name, "-eo", "pid,uid,gid").splitlines()[1:]]
    assert running == [["0", "0"], ["1234", "1235"]]


def test_without_the_capabilities_that_the_real_image_needs_it_says_so_and_ends():
    """cap_drop: ALL breaks LinuxServer images; theirs and ours say why."""
    box = Box("sonarr", "--cap-drop", "ALL", env=IDS)
    assert box.ended() == 111
    assert "s6-applyuidgid: fatal: unable to set supplementary group list: Operation not permitted" in box.logs()


S6 = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID")


def with_powers(*names):
    """Options of a container that has these capabilities and no others."""
    return ["--cap-drop", "ALL", *(word for name in names for word in ("--cap-add", name))]


def test_the_capabilities_of_the_service_files_are_enough_and_none_is_too_many(tmp_path):
    """With one less it does not start, or does not end by itself, as the real ones."""
    options = config(tmp_path, old="x")
    box = Box("sonarr", *options, *with_powers(*S6), "--security-opt", "no-new-privileges:true", env=IDS)
    box.wait(lambda: box.ask(8989, "GET", "/ping")[0] == 200)
    docker("stop", "--time", "20", box.name)
    assert box.inspect(".State.ExitCode") == 0
    for missing, said in (
        ("DAC_OVERRIDE", "mkdir: can't create directory '/config/"),
        ("SETUID", "s6-applyuidgid: fatal"),
        ("SETGID", "s6-applyuidgid: fatal"),
    ):
        box = Box("sonarr", *options, *with_powers(*(name for name in S6 if name != missing)), env=IDS)
        assert box.ended() != 0, missing
        assert said in box.logs()


def test_without_kill_the_app_is_not_told_that_it_ends(tmp_path):
    """The supervisor is root, the app is not."""
    box = Box("sonarr", *with_powers(*(name for name in S6 if name != "KILL")), env=IDS)
    box.wait(lambda: box.ask(8989, "GET", "/ping")[0] == 200)
    docker("stop", "--time", "20", box.name)
    assert box.inspect(".State.ExitCode") == 137
    assert "unable to signal the service" in box.logs()


def test_tdarr_starts_as_linuxservers_base_does(tmp_path):
    """Its image is made from that: user, umask, a key from a file; with the capabilities of its service file alone."""
    key = tmp_path / "key"
    key.write_text("tapi_of_a_file")
    key.chmod(0o400)
    for name in ("server", "configs", "logs"):
        (tmp_path / name).mkdir()
    mounts = [word for name in ("server", "configs", "logs") for word in ("-v", f"{tmp_path / name}:/app/{name}")]
    options = [*mounts, "-v", f"{key}:/run/secrets/key:ro", "--security-opt", "no-new-privileges:true"]
    env = {**IDS, "auth": "true", "FILE__seededApiKey": "/run/secrets/key"}
    box = Box("tdarr", *options, *with_powers(*S6), env=env)
    ask = functools.partial(box.ask, 8265, "GET", "/api/v2/get-nodes")
    box.wait(lambda: ask()[0] == 401)
    assert ask(headers={"x-api-key": "tapi_of_a_file"})[0] == 200
    assert "tapi_" not in json.dumps(box.inspect(".Config"))
    made = next((tmp_path / "configs").iterdir()).stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (1000, 1000, 0o664)
    docker("stop", "--time", "20", box.name)
    assert box.inspect(".State.ExitCode") == 0


def test_gluetun_without_dac_override_knows_no_address():
    """As the real one, it goes on and stays without one."""
    box = Box("gluetun", *with_powers("NET_ADMIN", "NET_RAW", "CHOWN"), *TUN[2:], env=VPN)
    box.wait(lambda: "/tmp/gluetun" in box.logs() and "permission denied" in box.logs())
    whole = Box("gluetun", *with_powers("NET_ADMIN", "NET_RAW", "CHOWN", "DAC_OVERRIDE"), *TUN[2:], env=VPN)
    whole.wait(lambda: "Public IP address is 198.51.100.7" in whole.logs())


def test_postgresql_needs_to_look_into_its_directory(tmp_path):
    """Its entrypoint runs find as root in what belongs to uid 70."""
    os.chown(tmp_path, 70, 70)
    tmp_path.chmod(0o700)
    options = ["--volume", f"{tmp_path}:/var/lib/postgresql/data"]
    env = {"POSTGRES_PASSWORD": "x"}
    powers = ("CHOWN", "FOWNER", "SETGID", "SETUID")
    box = Box("postgres", *options, *with_powers(*powers), env=env)
    assert box.ended() == 1
    assert "find: '/var/lib/postgresql/data': Permission denied" in box.logs()
    box = Box("postgres", *options, *with_powers("DAC_OVERRIDE", *powers), env=env)
    box.wait(lambda: "ready to accept connections" in box.logs().rpartition("init process complete")[2])


def test_no_new_privileges_does_not_break_it():
    """The option that the stack sets on every service."""
    box = Box("sonarr", "--security-opt", "no-new-privileges:true", env=IDS)
    box.wait(lambda: box.ask(8989, "GET", "/ping")[0] == 200)


def test_a_directory_that_it_cannot_write_is_named(tmp_path):
    """Seerr runs as its image's user and has no way to take the directory."""
    tmp_path.chmod(0o700)
    box = Box("seerr", "--volume", f"{tmp_path}:/app/config")
    assert box.ended() == 1
    assert "Permission denied: /app/config/" in box.logs()


def test_image_health_checks_are_where_the_real_images_have_them():
    """And nowhere else."""
    with_check = {
        entry
        for entry, name in IMAGES.items()
        if '"Test"' in docker("inspect", "--format", "{{json .Config.Healthcheck}}", name)
    }
    assert with_check == {"authentik", "gluetun", "homepage", "tautulli"} & set(IMAGES)


@pytest.mark.parametrize(
    ("entry", "curl", "wget"),
    [
        ("sonarr", 0, 0),
        ("seerr", 127, 0),
        ("authentik", 127, 127),
        ("homepage", 127, 0),
        ("flaresolverr", 0, 127),
        ("gluetun", 127, 0),
    ],
)
def test_only_the_tools_of_the_real_image_are_there(entry, curl, wget):
    """A health check that calls curl in Seerr fails here as it would there."""
    script = "curl --version >/dev/null 2>&1; a=$?; wget --help >/dev/null 2>&1; echo $a $?"
    assert docker("run", "--rm", "--entrypoint", "sh", IMAGES[entry], "-c", script).split() == [str(curl), str(wget)]


# -- faults ------------------------------------------------------------------------------------------------------------


def test_a_crash_loop_on_demand():
    """Killed a moment after each start; Docker counts the restarts."""
    box = Box("prowlarr", "--restart", "unless-stopped", env={"LAB_FAULTS": "crash=0.5", **IDS})
    box.wait(lambda: box.inspect(".RestartCount") >= 2)
    docker("stop", "--time", "1", box.name)


def test_an_exit_code_on_demand():
    """At once, with a line in the log."""
    box = Box("qbittorrent", env={"LAB_FAULTS": "exit=7", **IDS})
    assert box.ended() == 7
    assert "lab: fault: exit 7" in box.logs()


def test_a_misspelt_fault_ends_the_container_and_names_the_right_one():
    """A fault that silently does nothing would make a test pass for the wrong reason."""
    box = Box("sonarr", env={"LAB_FAULTS": "unhelthy"})
    assert box.ended() == 64
    assert "unhealthy" in box.logs()


def test_lab_fault_switches_while_it_runs():
    """docker exec APP lab-fault …"""
    box = Box("sonarr", env=IDS)
    box.wait(lambda: box.ask(8989, "GET", "/ping")[0] == 200)
    box.exec("lab-fault", "unhealthy")
    assert box.ask(8989, "GET", "/ping")[0] == 500
    box.exec("lab-fault", "drop")
    with pytest.raises(http.client.IncompleteRead):
        box.ask(8989, "GET", "/ping")
    box.exec("lab-fault", "hang")
    assert box.ask(8989, "GET", "/ping")[0] == 0
    box.exec("lab-fault")
    assert box.ask(8989, "GET", "/ping")[0] == 200


# -- the real programs -------------------------------------------------------------------------------------------------


def test_the_real_qbittorrent_takes_a_preset_password(tmp_path):
    """PBKDF2 as the collection writes it; the real 5.1 lets us in with it and with nothing else."""
    salt = b"0123456789abcdef"
    digest = hashlib.pbkdf2_hmac("sha512", b"s3cret", salt, 100000, 64)
    stored = f"{base64.b64encode(salt).decode()}:{base64.b64encode(digest).decode()}"
    conf = (
        "[LegalNotice]\nAccepted=true\n\n[Preferences]\nWebUI\\Username=admin\n"
        f'WebUI\\Password_PBKDF2="@ByteArray({stored})"\nWebUI\\ServerDomains=*\n'
    )
    box = Box(
        "qbittorrent", *config(tmp_path, **{"qBittorrent/qBittorrent.conf": conf}), env={"WEBUI_PORT": "22601", **IDS}
    )
    box.wait(lambda: box.ask(22601, "GET", "/")[0] == 200)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    wrong = box.ask(22601, "POST", "/api/v2/auth/login", "username=admin&password=wrong", form)
    assert wrong[:2] == (200, "Fails.")
    status, text, headers = box.ask(22601, "POST", "/api/v2/auth/login", "username=admin&password=s3cret", form)
    assert (status, text) == (200, "Ok.")
    cookie = {"Cookie": headers["set-cookie"].partition(";")[0]}
    assert box.ask(22601, "GET", "/api/v2/app/version", headers=cookie)[1].startswith("v5.1")
    assert box.ask(22601, "GET", "/api/v2/app/version")[0] == 403
    assert box.inspect(".Config.Labels")["mediastack.lab.runs"].startswith("real 5.1")


def test_the_real_sabnzbd_takes_its_port_and_key_from_the_ini(tmp_path):
    """It listens where sabnzbd.ini says and knows the preset key."""
    key = "0123456789abcdef0123456789abcdef"
    box = Box("sabnzbd", *config(tmp_path, **{"sabnzbd.ini": f"[misc]\nport = 22602\napi_key = {key}\n"}), env=IDS)
    box.wait(lambda: box.ask(22602, "GET", "/api?mode=version")[0] == 200)
    assert json.loads(box.ask(22602, "GET", "/api?mode=version")[1])["version"].startswith("4.5")
    assert box.ask(22602, "GET", "/api?mode=queue")[0] == 403
    assert box.ask(22602, "GET", f"/api?mode=queue&apikey={key}")[0] == 200
    assert (tmp_path / "sabnzbd.ini").stat().st_uid == 1000


def test_the_real_transmission_takes_user_and_password_from_the_environment(tmp_path):
    """FILE__PASS as LinuxServer's images read it; 401 without."""
    (tmp_path / "pass").write_text("s3cret\n")
    mount = ["--volume", f"{tmp_path / 'pass'}:/run/secrets/pass:ro"]
    box = Box("transmission", *mount, env={"USER": "admin", "FILE__PASS": "/run/secrets/pass", **IDS})
    box.wait(lambda: box.ask(9091, "GET", "/transmission/rpc")[0])
    assert box.ask(9091, "GET", "/transmission/rpc")[0] == 401
    login = {"Authorization": "Basic " + base64.b64encode(b"admin:s3cret").decode()}
    assert box.ask(9091, "GET", "/transmission/rpc", headers=login)[0] == 409


def test_the_real_deluge_takes_a_preset_password(tmp_path):
    """sha1(salt + password) in web.conf."""
    sha1 = hashlib.sha1(b"salt" + b"s3cret").hexdigest()
    web = '{"file": 2, "format": 1}{"first_login": false, "port": 8112, "pwd_salt": "salt", "pwd_sha1": "%s"}' % sha1
    box = Box("deluge", *config(tmp_path, **{"web.conf": web}), env=IDS)
    box.wait(lambda: box.ask(8112, "GET", "/")[0] == 200)

    def login(password):
        call = json.dumps({"id": 1, "method": "auth.login", "params": [password]})
        ask = functools.partial(box.ask, 8112, "POST", "/json", call, {"Content-Type": "application/json"})
        # deluge-web may be too busy with its own start to answer the first call: no answer is status 0
        status, text, _headers = box.wait(lambda: next((seen for seen in [ask()] if seen[0]), None))
        assert status == 200, text
        return json.loads(text)["result"]

    assert login("wrong") is False
    assert login("s3cret") is True

    def daemon():
        lines = docker("top", box.name, "-o", "pid,args").splitlines()
        return next((int(line.split()[0]) for line in lines if "/deluged" in line), None)

    # As s6 in the real image, which keeps both running.
    first = box.wait(daemon)
    os.kill(first, signal.SIGSEGV)
    box.wait(lambda: daemon() not in (None, first))
    assert login("s3cret") is True


def test_the_real_postgresql_makes_its_database_and_authentik_waits_for_it(network, tmp_path):
    """Ready only when the worker has migrated the real database; a wrong password never gets there."""
    (tmp_path / "password").write_text("s3cret")
    mount = ["--volume", f"{tmp_path / 'password'}:/run/secrets/password:ro", "--network", network]
    base = Box(
        "postgres", *mount, env={"POSTGRES_USER": "authentik", "POSTGRES_PASSWORD_FILE": "/run/secrets/password"}
    )
    env = {
        "AUTHENTIK_SECRET_KEY": "k" * 50,
        "AUTHENTIK_POSTGRESQL__HOST": base.name,
        "AUTHENTIK_POSTGRESQL__PASSWORD": "s3cret",
        "AUTHENTIK_BOOTSTRAP_TOKEN": "t",
    }
    server = Box("authentik", "--network", network, env=env, command=["server"])
    server.wait(lambda: server.ask(9000, "GET", "/-/health/live/")[0] == 200)
    base.wait(lambda: "accepting connections" in base.exec("pg_isready", "-U", "authentik", check=False))
    status, text, headers = server.ask(9000, "GET", "/-/health/ready/", headers={"Accept": "application/json"})
    assert (status, json.loads(text), headers["Retry-After"]) == (503, {"error": "authentik starting"}, "5")
    wrong = Box(
        "authentik", "--network", network, env={**env, "AUTHENTIK_POSTGRESQL__PASSWORD": "x"}, command=["worker"]
    )
    wrong.wait(lambda: "password authentication failed" in wrong.logs())
    Box("authentik", "--network", network, env=env, command=["worker"])
    server.wait(lambda: server.ask(9000, "GET", "/-/health/ready/")[0] == 200)
    assert server.exec("ak", "healthcheck", user="1000").strip() == "ready: 200"
    assert base.exec("id", "-u", "postgres").strip() == "70"
    assert server.ask(9000, "GET", "/api/v3/admin/version/")[0] == 403
    assert server.ask(9000, "GET", "/api/v3/admin/version/", headers={"Authorization": "Bearer t"})[0] == 200


def test_postgresql_refuses_to_start_without_a_password():
    """As docker-library's entrypoint."""
    box = Box("postgres")
    assert box.ended() == 1
    assert "superuser password is not specified" in box.logs()


def test_the_real_traefik_answers_ping():
    """Its own health command reads the same flags."""
    flags = ["--ping=true", "--global.checknewversion=false"]
    box = Box("traefik", command=flags)
    box.wait(lambda: box.ask(8080, "GET", "/ping")[:2] == (200, "OK"))
    assert "OK:" in box.exec("traefik", "healthcheck", "--ping")


def test_the_socket_proxy_talks_to_the_real_engine():
    """Containers yes, images no, nothing written."""
    box = Box(
        "docker-socket-proxy", "--volume", "/var/run/docker.sock:/var/run/docker.sock:ro", env={"CONTAINERS": "1"}
    )
    box.wait(lambda: box.ask(2375, "GET", "/_ping")[0] == 200)
    listed = json.loads(box.ask(2375, "GET", "/v1.41/containers/json")[1])
    assert f"/{box.name}" in [name for container in listed for name in container["Names"]]
    assert box.ask(2375, "GET", "/images/json")[0] == 403
    assert box.ask(2375, "POST", f"/containers/{box.name}/kill")[0] == 403
    assert box.inspect(".State.Running")


# -- gluetun -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "env", "words"),
    [
        (["--device", "/dev/net/tun:/dev/net/tun"], VPN, "NET_ADMIN capability is missing"),
        (["--cap-add", "NET_ADMIN"], VPN, "checking TUN device: TUN device is not available: open /dev/net/tun"),
        (TUN, {**VPN, "WIREGUARD_PRIVATE_KEY": ""}, "VPN settings: Wireguard settings: private key is not set"),
        (TUN, {**VPN, "WIREGUARD_PRIVATE_KEY": "abc"}, "illegal base64 data at input byte 0"),
        (TUN, {**VPN, "VPN_TYPE": "openvpn", "VPN_SERVICE_PROVIDER": "nordvpn"}, "OpenVPN settings: user is empty"),
        (TUN, {**VPN, "VPN_SERVICE_PROVIDER": "private-internet-access"}, "VPN provider name is not valid"),
    ],
)
def test_gluetun_refuses_what_the_real_one_refuses(options, env, words):
    """Exit 1, in its words."""
    box = Box("gluetun", *options, env=env)
    assert box.ended() == 1
    assert words in box.logs()


@pytest.mark.long
def test_gluetun_becomes_healthy_and_dependents_live_behind_its_kill_switch(network, tmp_path):
    """Key from a secret file; the dependent is reached through gluetun, and gets out to its own network only."""
    (tmp_path / "wireguard_private_key").write_text("A" * 43 + "=\n")
    (tmp_path / "config.toml").write_text(
        '[[roles]]\nname = "x"\nroutes = ["GET /v1/vpn/status", "GET /v1/publicip/ip"]\nauth = "apikey"\napikey = "K"\n'
    )
    options = [
        *TUN,
        "--network",
        network,
        "--volume",
        f"{tmp_path}:/run/secrets:ro",
        "--volume",
        f"{tmp_path}:/gluetun/auth:ro",
    ]
    env = {name: value for name, value in VPN.items() if name != "WIREGUARD_PRIVATE_KEY"}
    outside = Box("sonarr", env=IDS)
    neighbour = Box("radarr", "--network", network, env=IDS)
    gluetun = Box("gluetun", *options, env=env)
    gluetun.wait(lambda: gluetun.inspect(".State.Health.Status") == "healthy", 40)
    assert gluetun.ask(8000, "GET", "/v1/vpn/status")[0] == 401
    key = {"X-API-Key": "K"}
    assert gluetun.ask(8000, "GET", "/v1/vpn/status", headers=key)[:2] == (200, '{"status":"running"}\n')
    assert json.loads(gluetun.ask(8000, "GET", "/v1/publicip/ip", headers=key)[1])["public_ip"] == "198.51.100.7"
    assert gluetun.ask(8000, "GET", "/v1/dns/status", headers=key)[0] == 401
    dependent = Box("prowlarr", "--network", f"container:{gluetun.name}", env=IDS)
    dependent.wait(lambda: gluetun.ask(9696, "GET", "/ping")[0] == 200)
    neighbour.wait(lambda: neighbour.ask(7878, "GET", "/ping")[0] == 200)
    outside.wait(lambda: outside.ask(8989, "GET", "/ping")[0] == 200)

    def reaches(box, url):
        return "OK" in box.exec("curl", "--silent", "--max-time", "2", url, check=False)

    assert reaches(dependent, f"http://{neighbour.name}:7878/ping")
    assert not reaches(dependent, f"http://{outside.address()}:8989/ping")
    gluetun.exec("lab-fault", "unhealthy")
    gluetun.wait(lambda: gluetun.inspect(".State.Health.Status") == "unhealthy", 40)


# -- names that are not ours -------------------------------------------------------------------------------------------


def test_the_lab_stops_at_a_foreign_image_and_leaves_it_as_it_is(tmp_path):
    """P3, on the real engine: exit 3, the name is said, the image is the same as before."""
    foreign = "lscr.io/linuxserver/sonarr:mslab-foreign"
    subprocess.run(["docker", "import", "-", foreign], input=b"\0" * 10240, check=True, capture_output=True)
    try:
        before = docker("image", "inspect", "--format", "{{.Id}}", foreign)
        (tmp_path / "x.yml.j2").write_text(f"services:\n  x:\n    image: {foreign}\n")
        command = [sys.executable, str(ROOT / "tests/lab/bin/images"), "build", "--templates", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 3
        assert foreign in done.stderr
        assert docker("image", "inspect", "--format", "{{.Id}}", foreign) == before
    finally:
        docker("rmi", foreign)


def test_all_is_there_means_a_fraction_of_a_second():
    """Warm: one look at the labels; ten seconds are promised."""
    began = time.monotonic()
    subprocess.run([sys.executable, str(ROOT / "tests/lab/bin/images"), "build"], check=True)
    assert time.monotonic() - began < 10
