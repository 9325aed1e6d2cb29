# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values of `mediastack_env` come out of Compose, and into a container, exactly as they went into the inventory."""

from __future__ import annotations

import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "unit"))

import render_harness as h  # noqa: E402

from ansible_collections.homelab.mediastack.plugins.module_utils import secret_store  # noqa: E402
from ansible_collections.homelab.mediastack.plugins.plugin_utils import service_files  # noqa: E402

IMAGE = "msrender-env:1"
PROJECT = "msrender-env"
NASTY = list("ab09 \t$#'\"`\\(){}[]<>|&;*?!~%^=+-_.,:/@\x01\x7f\x85\xa0é漢🙂\u2028\ufeff") + [
    "$$",
    "${X}",
    "$(id)",
    "\\n",
    " #",
    "''",
]
TEXT = st.lists(
    st.one_of(st.sampled_from(NASTY), st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r")),
    max_size=24,
).map("".join)
BATCH = 75
EXAMPLES = 22

# Written by hand: what people have as passwords, and what broke other quotings.
VALUES = [
    "plain", "pa$$word", "pa$word", "$", "$$", "${HOME}", "$(id)", "`id`", "a#b", "a #b", "#", "'", "it's", "''", '"',
    '"quoted"', "\\", "a\\", "\\\\", "\\$", 'back\\"slash', " leading and trailing ", "tab\there", "{{ 7 * 7 }}",
    "{% raw %}", "a=b;c&d|e",
    "é漢🙂", "!exclamation", "%percent%", "~", "*", "null", "true", "1e3", "0644", "",
]  # fmt: skip


def compose_env(directory, names):
    """What `docker compose config` says of the environment of the service app."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
    done = subprocess.run(
        ["docker", "compose", "config", "--format", "json"],
        cwd=directory, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "variable is not set" not in done.stderr
    # Compose writes its output so that it could be read again: $ is doubled.
    environment = json.loads(done.stdout)["services"]["app"]["environment"]
    return [environment[name].replace("$$", "$") for name in names]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return h.World(tmp_path_factory.mktemp("world"))


def through_compose(world, directory, values):
    """Settings → bundle → the host's replacement of tokens → Compose."""
    names = [f"V{number}" for number in range(len(values))]
    world.write(
        "app",
        "services:\n  app:\n    image: example/app:1\n    environment:\n"
        + "".join(f"      {name}: ${{{name}}}\n" for name in names)
        + "    x-mediastack: {title: App, profiles: [always]}\n",
    )
    bundle = world.bundle(
        mediastack_services={"sonarr": False, "qbittorrent": False},
        mediastack_env=dict(zip(names, values, strict=True)),
    )
    store = secret_store.SecretStore(str(directory / "no-store"))
    images = {name: service["image"] for name, service in bundle["services"].items()}
    tokens = store.tokens(store.resolve(bundle["secrets"], check_mode=True), "127.0.0.1", images)
    for entry in bundle["files"]:
        path = directory / pathlib.PurePath(entry["path"]).name
        encoding = secret_store.encoding_for(entry["path"])
        path.write_text(tokens(entry["content"], encoding, {"app": "0"}), encoding="utf-8", newline="\n")
    return compose_env(directory, names)


def test_every_printable_text_round_trips(world, tmp_path):
    seen = []

    # Without shrinking, which would ask Compose for minutes: the comparison shows the text that came back changed.
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.lists(TEXT, min_size=BATCH, max_size=BATCH))
    def check(values):
        seen.extend(values)
        assert through_compose(world, tmp_path, values) == values

    check()
    assert len(seen) >= 1500


@pytest.fixture
def image():
    """A shell and a sleep, the smallest thing that can hold an environment."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        wanted = {"/bin/sh", "/bin/sleep"}
        for program in list(wanted):
            out = subprocess.run(["ldd", os.path.realpath(program)], capture_output=True, text=True, check=True).stdout
            wanted.update(re.findall(r"(/\S+) \(0x", out))
        for path in sorted(wanted):
            tar.add(os.path.realpath(path), arcname=path.lstrip("/"))
    subprocess.run(
        ["docker", "import", "--change", 'CMD ["/bin/sleep", "infinity"]', "-", IMAGE],
        input=archive.getvalue(), capture_output=True, check=True,
    )  # fmt: skip
    yield IMAGE
    subprocess.run(["docker", "image", "rm", "-f", IMAGE], capture_output=True, check=False)


def test_from_the_inventory_to_the_container(image, tmp_path):
    assert len(VALUES) >= 20
    names = [f"V{number}" for number in range(len(VALUES))]
    entries = "".join(
        f"        {name}: {'!unsafe ' if '{' in value else ''}{json.dumps(value, ensure_ascii=False)}\n"
        for name, value in zip(names, VALUES, strict=True)
    )
    facts = service_files.scan(service_files.find())
    switched_off = {app: False for app, fact in facts.items() if "always" in fact.profiles and app != "gluetun"}
    (tmp_path / "inventory.yml").write_text(
        f"""
mediastack:
  hosts:
    box:
      ansible_connection: local
      ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
      mediastack_base_path: {tmp_path}/data
      mediastack_project_name: {PROJECT}
      mediastack_bind_addresses: [127.0.0.1]
      mediastack_vpn_enabled: false
      mediastack_profiles: []
      mediastack_services: {json.dumps(switched_off)}
      mediastack_pull: never
      mediastack_env:
{entries}"""
    )
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "app.yml.j2").write_text(
        f"services:\n  app:\n    image: {image}\n    container_name: {PROJECT}-app\n"
        "    stop_grace_period: 1s\n    environment:\n"
        + "".join(f"      {name}: ${{{name}}}\n" for name in names)
        + "    x-mediastack: {title: App, profiles: [always], health: {kind: container}, login: {kind: no_ui}}\n"
    )
    (tmp_path / "play.yml").write_text(
        "- hosts: mediastack\n  gather_facts: false\n  tasks:\n    - homelab.mediastack.deploy:\n"
    )
    playbook = pathlib.Path(sys.executable).parent / "ansible-playbook"
    try:
        done = subprocess.run(
            [playbook, "-i", tmp_path / "inventory.yml", tmp_path / "play.yml", "--diff", "-vvv"],
            cwd=h.ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        assert "back\\\\slash" not in done.stdout and "pa$$word" not in done.stdout, "secrets in the output"
        project = tmp_path / "data" / "compose"
        assert compose_env(project, names) == VALUES
        inspected = subprocess.run(
            ["docker", "inspect", "--format", "{{json .Config.Env}}", f"{PROJECT}-app"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        environment = dict(entry.split("=", 1) for entry in json.loads(inspected.stdout))
        assert [environment[name] for name in names] == VALUES
        for number in (1, 4, 20, 21, 26):
            shown = subprocess.run(
                ["docker", "exec", f"{PROJECT}-app", "/bin/sh", "-c", f'printf %s "$V{number}"'],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert shown.stdout == VALUES[number]
    finally:
        subprocess.run(["docker", "rm", "-f", f"{PROJECT}-app"], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", PROJECT], capture_output=True, check=False)
