# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which shape Compose wants for each key of a service: text, number, truth value, list or map.

As https://github.com/compose-spec/compose-spec/blob/main/schema/compose-spec.json has it (a
unit test compares). A key that is not in the tables is left to `lint_words` and to Compose.
"""

from __future__ import annotations

import re

from .setting_types import kind, shown

TEXT, NUMBER, TRUTH, LIST, MAP = "a text", "a number", "true or false", "a list", "a map"


def _keys(words, *shapes):
    return dict.fromkeys(words.split(), frozenset(shapes))


# Of the value itself. Empty (None) is taken everywhere: Compose reads it as not set.
SHAPES = {
    **_keys("blkio_config credential_spec deploy develop healthcheck logging provider storage_opt ulimits", MAP),
    **_keys("cap_add cap_drop configs device_cgroup_rules devices dns_opt expose external_links group_add links", LIST),
    **_keys("ports post_start pre_start pre_stop profiles secrets security_opt volumes volumes_from", LIST),
    **_keys("cgroup cgroup_parent container_name cpuset domainname hostname image ipc isolation mac_address", TEXT),
    **_keys("network_mode pid platform pull_policy pull_refresh_after restart runtime stop_grace_period", TEXT),
    **_keys("stop_signal user userns_mode uts working_dir", TEXT),
    **_keys("cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus", NUMBER, TEXT),
    **_keys("mem_limit mem_reservation mem_swappiness memswap_limit oom_score_adj pids_limit", NUMBER, TEXT),
    **_keys("scale shm_size", NUMBER, TEXT),
    **_keys("attach init oom_kill_disable privileged read_only stdin_open tty", TRUTH, TEXT),
    **_keys("use_api_socket", TRUTH),
    **_keys("build extends", TEXT, MAP),
    **_keys("annotations depends_on environment extra_hosts labels models networks sysctls", LIST, MAP),
    **_keys("command dns dns_search entrypoint env_file gpus label_file tmpfs", TEXT, LIST),
}
# Of the entries of a list; elsewhere texts.
ENTRIES = {
    **_keys("configs devices env_file secrets volumes", TEXT, MAP),
    **_keys("expose group_add", TEXT, NUMBER),
    **_keys("ports", TEXT, NUMBER, MAP),
    **_keys("gpus post_start pre_start pre_stop", MAP),
}
# Of the values of a map.
VALUES = {
    **_keys("depends_on", MAP),
    **_keys("models networks", MAP),
    **_keys("ulimits", NUMBER, TEXT, MAP),
    **_keys("sysctls storage_opt", TEXT, NUMBER),
}
# Of what stands inside of a map, by its name.
INSIDE = {
    "healthcheck": {
        **_keys("test", TEXT, LIST),
        **_keys("interval timeout start_period start_interval", TEXT),
        **_keys("retries", NUMBER, TEXT),
        **_keys("disable", TRUTH, TEXT),
    },
    "logging": {**_keys("driver", TEXT), **_keys("options", MAP)},
    "deploy": {
        **_keys("resources restart_policy rollback_config update_config placement", MAP),
        **_keys("mode endpoint_mode", TEXT),
        **_keys("replicas", NUMBER, TEXT),
        **_keys("labels", LIST, MAP),
    },
}
# [address:][host port or ports:]container port or ports[/protocol]; an address of IPv6 best in brackets.
_ADDRESS = r"\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:]*::[0-9A-Fa-f:.]*|[0-9]+(?:\.[0-9]+){3}"
_SHORT_PORT = re.compile(
    rf"(?:(?:(?:{_ADDRESS}):)?(?P<host>[0-9]*(?:-[0-9]+)?):)?"
    r"(?P<inner>[0-9]+(?:-[0-9]+)?)(?:/(?:tcp|udp|sctp))?"
)


def problems(where, key, value):
    """What of an override has another shape than Compose takes.

    Parameters:
        where: the place as the sentences name it, such as `sonarr.networks`.
        key: the Compose key.
        value: what is given.
    Returns:
        Sentences.
    """
    if key not in SHAPES:
        return
    yield from _wrong(where, value, SHAPES[key])
    if isinstance(value, list):
        for number, entry in enumerate(value, 1):
            yield from _wrong(f"{where}, entry {number}", entry, ENTRIES.get(key, frozenset((TEXT,))), empty=False)
            if key == "ports":
                yield from _port(f"{where}, entry {number}", entry)
    elif isinstance(value, dict):
        for name, item in value.items():
            wanted = VALUES.get(key) or INSIDE.get(key, {}).get(name)
            if wanted:
                yield from _wrong(f"{where}.{name}", item, wanted, empty=key != "depends_on")


def _wrong(where, value, wanted, empty=True):
    if (value is None and empty) or _shape(value) in wanted:
        return
    choice = " or ".join(shape for shape in (TEXT, NUMBER, TRUTH, LIST, MAP) if shape in wanted)
    yield f"{where}: {shown(value)} is {kind(value)}, and Compose takes {choice} there."


def _shape(value):
    # A truth value is a number for Python: first.
    for types, shape in ((bool, TRUTH), (str, TEXT), ((int, float), NUMBER), (list, LIST), (dict, MAP)):
        if isinstance(value, types):
            return shape
    return None


def _port(where, entry):
    """A port in the short form that no engine can publish; one with a variable in it is Compose's to read."""
    if isinstance(entry, bool) or not isinstance(entry, (str, int)) or "$" in str(entry):
        return
    match = _SHORT_PORT.fullmatch(str(entry))
    numbers = [int(each) for part in ("host", "inner") for each in re.findall("[0-9]+", (match and match[part]) or "")]
    if match is None or not all(1 <= each <= 65535 for each in numbers):
        yield f'{where}: {shown(entry)} is no port that Compose can publish. Write "127.0.0.1:8080:80".'
