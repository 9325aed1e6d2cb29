# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role engine on a bare Debian host without an init system, and on hosts that it must leave alone."""

from __future__ import annotations

import re

import nested
import pytest

ROLE = {
    "ansible.builtin.include_role": {"name": "homelab.mediastack.engine"},
    "vars": {"engine_source": "distribution"},
}


# Minutes of installing packages.
@pytest.mark.long
def test_debian_12_gets_an_engine_and_compose_v2_and_a_second_run_changes_nothing(tmp_path):
    with nested.host("msnest-engine", "bookworm") as host:
        assert host.sh("command -v docker", check=False) == ""
        nested.play([ROLE], host.name, tmp_path)
        assert host.sh("docker version --format '{{.Server.Version}}'").startswith("20.10.")
        assert host.sh("docker compose version --short") == "2.40.3"
        again = nested.play([ROLE], host.name, tmp_path)
        assert re.search(r"changed=0\s", again.stdout), again.stdout


def test_a_nas_without_a_running_engine_is_left_alone(tmp_path):
    with nested.host("msnest-nas", "trixie", nested.CLIENT_PACKAGES) as host:
        host.sh("touch /etc/synoinfo.conf")
        done = nested.play([ROLE], host.name, tmp_path, check=False)
        assert done.returncode == 2
        assert "Synology DSM" in done.stdout and "Container Manager" in done.stdout
        assert host.sh("command -v dockerd", check=False) == ""
