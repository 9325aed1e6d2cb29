# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wrong and nasty inventories through the real ansible-playbook, many hosts a run: what the user sees, what is left.

All of them, in-process: tests/unit/test_bad_inputs.py. Here one of each class.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = "msbadinputs"
CANARY = "@CANARY@"
RUN = "{{ lookup('pipe', 'touch " + CANARY + "') }}"

# Class of a value → (line of the inventory, what the message says of it).
WRONG = {
    "type": ("mediastack_puid: many", '"many" is not a whole number.'),
    "range": ("mediastack_ports: {sonarr: 70000}", "sonarr: 70000 is not a port from 1 to 65535."),
    "negative": ("mediastack_ports: {sonarr: -1}", "sonarr: -1 is not a port"),
    "below": ("mediastack_healthcheck_interval: -5", "-5 is not seconds from 0 to 3600."),
    "huge": ("mediastack_puid: 0x" + "f" * 5000, "has more than 18 digits."),
    "sexagesimal": ("mediastack_ports: {sonarr: 22:22}", "22:22 is the number 1342 to YAML."),
    "octal": ("mediastack_pgid: 0755", "0755 is the number 493 to YAML."),
    "mode": ("mediastack_umask: 002", "2 is a number, not a text. Put it in quotes"),
    "word": ("mediastack_timezone: no", "False is a truth value, not a text."),
    "words": ("mediastack_overrides: {sonarr: {environment: {A: yes}}}", "sonarr.environment.A: True is a truth value"),
    "date": ("mediastack_overrides: {sonarr: {labels: {a: 2026-01-01}}}", "is a date, which Compose does not know."),
    "scalar": ("mediastack_profiles: {music: true}", "{'music': True} is a map, not a list."),
    "twice": ("mediastack_ports: {sonarr: 8990, radarr: 8990}", "radarr: 8990 is given to sonarr already."),
    "key": ("mediastack_services: {sonar: true}", '"sonar" is not a service. Did you mean sonarr?'),
    "misspelt": ("mediastack_pudi: 5", "no such setting. Did you mean mediastack_puid?"),
    "invisible": ('mediastack_admin_user: "ad\\u202Emin"', '"ad\\u202emin" holds a line end or another character'),
    "escape": ('mediastack_vpn_local_subnets: ["\\e[2J"]', '"\\x1b[2J" holds a line end or another character'),
    "nul": ('mediastack_overrides: {sonarr: {labels: {a: "x\\0"}}}', "holds a NUL or half a character"),
    "template": (f'mediastack_vpn_server_cities: [!unsafe "{RUN}"]', "holds {{, which begins a template"),
    "command": (f"mediastack_domain: $(touch {CANARY})", "is not a domain"),
    "backticks": (f"mediastack_gitops_branch: '`touch {CANARY}`'", "is no name of a branch"),
    "semicolon": (f"mediastack_gitops_python: python3; touch {CANARY}", "is no name or absolute path of a Python"),
    "zone": ("mediastack_bind_addresses: ['fe80::1%$(id)']", "has a zone (%)"),
    "dollar": (f"mediastack_overrides: {{sonarr: {{environment: {{A: $(touch {CANARY})}}}}}}", "has a dollar sign"),
    "up": ("mediastack_config_path: /srv/../etc", "\"/srv/../etc\" holds '..'."),
    "home": ("mediastack_config_path: ~/config", '"~/config" begins with ~'),
    "system": ("mediastack_config_path: /etc/", '"/etc" belongs to the operating system.'),
    "variable": ("mediastack_config_path: /srv/$HOME", '"/srv/$HOME" holds $'),
    "secret": ("mediastack_env: {TOKEN: [1234567890]}", "TOKEN: the value (not shown) is a list, not a text."),
    "secret-octal": ("mediastack_env: {TOKEN: 01234567}", "TOKEN: the value (not shown) is another number to YAML"),
    "octal-text": ("mediastack_overrides: {sonarr: {labels: {a: 0755}}}", "sonarr.labels.a: 0755 is the number 493"),
}
# What is found only when everything is rendered.
RENDERED = {
    "key-of-compose": ("mediastack_overrides: {sonarr: {imge: x}}", "imge: is not a key of Compose"),
    "not-published": ("mediastack_ports: {flaresolverr: 8990}", "flaresolverr publishes no port"),
}
# Taken, and found again exactly: setting → value.
NASTY = {
    "path": {"mediastack_config_path": "/srv/`touch x`; it's \"{# x #}\" é漢\U0001f642 %n"},
    "text": {"mediastack_overrides": {"sonarr": {"labels": {"a": RUN, "b": "$$(touch x) `touch x`; {% raw %}"}}}},
    "name": {"mediastack_gitops_inventory": "a; touch x `touch x` $(touch x) {# x #}"},
    "list": {"mediastack_gitops_pip_packages": ["$(touch x)", "a; touch x", "`touch x`", "é漢\U0001f642"]},
}  # fmt: skip

PLAY = """
- hosts: mediastack
  gather_facts: false
  tasks:
    - name: Check
      homelab.mediastack.settings:
      register: checked
    - name: Keep what a task gets of it
      ansible.builtin.copy:
        content: "{{ checked.settings | to_json }}"
        dest: "{{ playbook_dir }}/{{ inventory_hostname }}.json"
        mode: "0600"
"""


@pytest.fixture
def run(tmp_path):
    """`run(playbook, {host: lines})` → (return code, output)."""

    def playbook(name, hosts, **environment):
        group = "mediastack:\n  hosts:\n" + "".join(f"    {host}:\n" for host in hosts)
        group += "all:\n  vars:\n    ansible_connection: local\n"
        group += "    ansible_python_interpreter: '{{ ansible_playbook_python }}'\n"
        (tmp_path / "hosts.yml").write_text(group, encoding="utf-8")
        (tmp_path / "host_vars").mkdir(exist_ok=True)
        for host, line in hosts.items():
            text = (
                f"{line}\nmediastack_base_path: {tmp_path}/data/{host}\nmediastack_project_name: {PROJECT}-{host}\n"
                + ("" if "vpn_" in line else "mediastack_vpn_enabled: false\n")
            )
            text = text.replace(CANARY, str(tmp_path / "canary"))
            (tmp_path / "host_vars" / f"{host}.yml").write_text(text, encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDIASTACK_")}
        done = subprocess.run(
            [pathlib.Path(sys.executable).with_name("ansible-playbook"), "-i", tmp_path / "hosts.yml", name],
            cwd=ROOT, env={**kept, "XDG_CONFIG_HOME": str(tmp_path), **environment},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return playbook


def untouched(tmp_path):
    """Nothing was made on the host, and nothing of an inventory was run."""
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "canary").exists() and not (ROOT / "x").exists()
    for kind in ("container", "network"):
        everything = ["--all"] if kind == "container" else []
        command = ["docker", kind, "ls", *everything, "--quiet", "--filter", f"name={PROJECT}"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""


def readable(output):
    """Neither a traceback nor a result as JSON, and no secret."""
    assert "Traceback" not in output and '"changed"' not in output and "1234567" not in output
    assert all(line.isprintable() for line in output.replace("\t", " ").splitlines())


def test_each_class_is_refused_with_its_name_before_anything_is_touched(run, tmp_path):
    hosts = {host: line for host, (line, _message) in WRONG.items()}
    assert len(hosts) >= 20
    code, output = run("homelab.mediastack.site", hosts)
    assert code != 0
    readable(output)
    flat = " ".join(output.split())
    for host, (line, message) in WRONG.items():
        begin = f"[{host}]: FAILED! => Nothing was touched: 1 problem with the settings."
        assert begin in flat, (host, output[-3000:])
        said = flat.partition(begin)[2].partition("fatal: [")[0]
        # Of a truth value Ansible does not say where it stands.
        where = ":" if host == "word" else f" ({tmp_path}/host_vars/{host}.yml:1"
        assert f"- {line.partition(':')[0]}{where}" in said, (host, said)
        assert message in said, (host, said)
    untouched(tmp_path)


def test_what_only_the_rendering_finds_is_refused_by_name_too(run, tmp_path):
    code, output = run("homelab.mediastack.plan", {host: line for host, (line, _message) in RENDERED.items()})
    assert code != 0
    readable(output)
    for line, message in RENDERED.values():
        found = [text for text in output.splitlines() if message in text]
        assert found and all(line.partition(":")[0] in text for text in found), output
    untouched(tmp_path)


def test_what_is_taken_arrives_letter_by_letter_and_is_never_run(run, tmp_path):
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    hosts = {host: f"{name}: {unsafe(value)}" for host, given in NASTY.items() for name, value in given.items()}
    canary = str(tmp_path / "canary")
    text = {"sonarr": {"labels": {"a": RUN.replace(CANARY, canary)}}}
    code, output = run(str(tmp_path / "play.yml"), {**hosts, "environment": ""}, MEDIASTACK_OVERRIDES=json.dumps(text))
    assert code == 0, output
    for host, given in {**NASTY, "environment": {"mediastack_overrides": text}}.items():
        got = json.loads((tmp_path / f"{host}.json").read_text(encoding="utf-8"))
        for name, value in given.items():
            assert got[name] == json.loads(json.dumps(value).replace(CANARY, canary))
    code, output = run("homelab.mediastack.config_validate", hosts)
    assert code == 0, output
    readable(output)
    untouched(tmp_path)


def unsafe(value):
    """*value* as YAML, its text as text that is no template."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {unsafe(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(unsafe, value)) + "]"
    return "!unsafe '" + value.replace("'", "''") + "'"
