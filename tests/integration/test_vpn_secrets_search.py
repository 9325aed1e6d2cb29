# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The search for secrets finds what is there, in every spelling and every place where `test_vpn_secrets` finds none."""

import base64
import html
import json
import os
import pathlib
import subprocess
import time
import urllib.parse

import pytest
import stack_harness
import vpn_secrets_lab as lab
import yaml
from stack_harness import docker

# Signs that one file, shell, address or template or the other writes in a way of its own.
PASSWORD = "p" + lab.text(20) + """"$&é'<%+/\\#:@""" + lab.text(20)


@pytest.mark.parametrize(
    "written",
    [
        lambda value: value,
        json.dumps,
        repr,
        lambda value: json.dumps(value, ensure_ascii=False),
        lambda value: "a=" + urllib.parse.quote(value, safe=""),
        lambda value: "a=" + urllib.parse.quote_plus(value),
        lambda value: yaml.safe_dump({"a": value}, allow_unicode=True),
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.b64encode(b"user:" + value.encode() + b":x").decode(),
        lambda value: base64.urlsafe_b64encode(b"u:" + value.encode() + b":xy").decode(),
        lambda value: value.encode().hex(),
        html.escape,
        lambda value: value[:20],
        lambda value: f"…{value[-20:]}",
        lambda value: f"{value[:30]}\n{value[30:]}",
    ],
)
@pytest.mark.parametrize("value", [PASSWORD, lab.wireguard_key()], ids=["password", "key"])  # the same in every worker
def test_a_secret_is_found_however_it_is_spelled(value, written):
    secrets = lab.Secrets()
    secrets.add(password=value)
    assert secrets.found(f"before {written(value)} after".encode()), written(value)
    assert secrets.found(b"before ******** after") == []


def test_a_key_of_several_lines_is_found_by_each_of_them_and_not_by_its_armour():
    key = lab.pem("PRIVATE KEY")
    secrets = lab.Secrets()
    secrets.add(key=key, config=f"client\ndev tun\nremote 127.0.0.1 1194\n<key>\n{key}</key>\n")
    first, *body, last = key.splitlines()
    assert all(secrets.found(line.encode()) for line in body)
    assert secrets.found(f"{first}\nclient\ndev tun\nremote 127.0.0.1 1194\n<key>\n{last}".encode()) == []


def found(secrets, places):
    """The places in which something is found."""
    return {each.partition(": ")[0] for each in secrets.in_places(places)}


def shown(secrets, processes):
    """`{(cmdline or environ, secret)}` of what was seen of processes, by whatever name they had at that moment."""
    return {(each.partition(" ")[0], each.split(": ")[-1].split()[0]) for each in secrets.in_places(processes.places())}


PLAY = """
- hosts: mediastack
  gather_facts: false
  tasks:
    - name: Say it
      ansible.builtin.debug:
        var: mediastack_vpn_openvpn_password
    - name: Put it into an argument
      ansible.builtin.command:
        argv: [sh, -c, sleep 0.3; true, "{{ mediastack_vpn_openvpn_password }}"]
    - name: Write it
      ansible.builtin.copy:
        content: "{{ mediastack_vpn_openvpn_password }}"
        dest: "{{ playbook_dir }}/left/tmp/planted"
        mode: "0644"
    - name: Remember it
      ansible.builtin.set_fact:
        remembered: "{{ mediastack_vpn_openvpn_password }}"
        cacheable: true
"""


@pytest.mark.long
def test_what_a_playbook_lets_out_is_found(tmp_path):
    """Output, log, the host's log, facts, temporary files, arguments of a program: by a playbook without care."""
    planted = lab.text(40)
    secrets = lab.Secrets()
    secrets.add(planted=planted)
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "inventory.yml").write_text(
        yaml.safe_dump(
            {
                "mediastack": {
                    "hosts": {"box": {"ansible_connection": "local", "mediastack_vpn_openvpn_password": planted}},
                    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
                }
            }
        )
    )
    command = [str(stack_harness.VENV / "ansible-playbook"), "-i", str(tmp_path / "inventory.yml"), "-vvvv", "--diff"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment = {**kept, "ANSIBLE_CONFIG": str(stack_harness.ROOT / "ansible.cfg"), **lab.private(tmp_path / "left")}
    with lab.Processes() as processes:
        done = subprocess.run(
            [*command, str(tmp_path / "play.yml")], capture_output=True, env=environment, timeout=100, check=False
        )
    assert done.returncode == 0, done.stdout
    assert found(secrets, [("stdout", done.stdout)]) == {"stdout"}
    left = tmp_path / "left"
    there = found(secrets, lab.below(left))
    assert {str(left / name) for name in ("ansible.log", "syslog", "tmp/planted")} < there
    assert any(path.startswith(str(left / "facts")) for path in there), there
    assert ("cmdline", "planted") in shown(secrets, processes)
    assert lab.open_files(secrets, left / "tmp", (0,))[0] == [f"{left}/tmp/planted: -rw-r--r-- of 0: planted as it is"]


@pytest.mark.long
def test_what_the_engine_lets_out_is_found(box, tmp_path):
    """Arguments, variables, output, layers, rendered and temporary files, by a project without care."""
    names = {name: lab.text(40) for name in ("inside", "argument", "output", "variable", "layer")}
    secrets = lab.Secrets()
    secrets.add(**names)
    project = f"mssearch-{os.getpid()}"
    stack = stack_harness.Stack(tmp_path, project, 1)
    stack.project_path.mkdir(parents=True)
    image = f"{project}:1"
    (tmp_path / "Dockerfile").write_text(f"FROM {box}\nENV LAYER={names['layer']}\n")
    service = {
        "image": image,
        "entrypoint": ["sh", "-c", f"echo {names['output']}; sleep 100; true", names["argument"]],
        "environment": {"VARIABLE": names["variable"]},
        "init": True,
        "stop_grace_period": "0s",
    }
    (stack.project_path / "compose.yml").write_text(yaml.safe_dump({"services": {"web": service}}))
    (stack.project_path / ".env").write_text(f"COMPOSE_PROJECT_NAME={project}\nVARIABLE={names['inside']}\n")
    lying, since = pathlib.Path(f"/tmp/{project}"), time.time()
    try:
        lying.write_text(names["inside"])
        classic = {**os.environ, "DOCKER_BUILDKIT": "0"}
        build = ["docker", "build", "--quiet", "--tag", image, str(tmp_path)]
        subprocess.run(build, env=classic, capture_output=True, check=True)
        with lab.Processes() as processes:
            docker("compose", "--project-directory", str(stack.project_path), "up", "--detach")
            wanted = {("cmdline", "argument"), ("environ", "variable"), ("environ", "layer")}
            stack_harness.wait_for(lambda: wanted <= shown(secrets, processes), 60, f"in processes: {wanted}")
        (web,) = stack.containers().values()
        docker("exec", web["Id"], "true", names["inside"])
        told = secrets.in_places(lab.of_engine(stack))
        for words in (
            "docker inspect: argument",
            "docker inspect: variable",
            "docker inspect: layer",
            f"docker history {web['Image']}: layer",
            f"docker image inspect {web['Image']}: layer",
            "docker logs of web: output",
            "docker compose config : variable",
            "docker compose config --format json: argument",
            "docker compose config --environment: inside",
        ):
            assert f"{words} as it is" in told, told
        assert secrets.in_places(lab.events(stack, since)) == ["docker events: inside as it is"]
        assert {path for path, _ in lab.left_in_tmp(since, str(tmp_path))} >= {str(lying)}
        assert found(secrets, lab.left_in_tmp(since, str(tmp_path))) == {str(lying)}
    finally:
        stack.remove()
        docker("image", "rm", image, check=False)
        lying.unlink(missing_ok=True)
