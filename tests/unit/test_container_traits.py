# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was changed by hand about a container, from `docker inspect` alone, and the record that it is compared with."""

from __future__ import annotations

import copy
import json
import pathlib

import pytest
from test_convergence import as_it_is
from test_engine_state import recorded

from ansible_collections.homelab.mediastack.plugins.module_utils import container_traits, convergence, made_record
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import Aim
from ansible_collections.homelab.mediastack.plugins.module_utils.engine_state import Container, Project


def sonarr():
    """`docker inspect` of a container with a network of its own."""
    return copy.deepcopy(next(c.raw for c in recorded("well").containers if c.service == "sonarr"))


def after(**host):
    raw = sonarr()
    raw["HostConfig"].update(host)
    return raw


def compared(raw, before=None):
    return container_traits.changes(container_traits.traits(before or sonarr()), container_traits.traits(raw))


NO = {"Name": "no", "MaximumRetryCount": 0}


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"RestartPolicy": NO}, "restart policy unless-stopped → no"),
        (
            {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}},
            "restart policy unless-stopped → on-failure:3",
        ),
        ({"Memory": 64 * 2**20}, "memory limit none → 64 MiB"),
        ({"NanoCpus": 1500000000}, "CPU limit none → 1.5"),
        ({"CpuQuota": 50000, "CpuPeriod": 100000}, "CPU limit none → 0.5"),
        ({"CpuShares": 512}, "CPU shares none → 512"),
        ({"PidsLimit": 100}, "process limit none → 100"),
        ({"CapAdd": ["NET_ADMIN"]}, "added capabilities with NET_ADMIN"),
        ({"Privileged": True}, "privileged none → yes"),
        ({"ReadonlyRootfs": True}, "read-only root none → yes"),
        ({"SecurityOpt": ["no-new-privileges:true"]}, "security options with no-new-privileges"),
        ({"Binds": ["/etc:/host:ro"]}, "mounts with /etc on /host (read-only)"),
        ({"Tmpfs": {"/run": ""}}, "mounts with tmpfs on /run"),
        ({"PortBindings": {"80/tcp": [{"HostPort": "81"}]}}, "published ports with every address:81 to 80/tcp"),
        ({"PidMode": "host"}, "process namespace none → host"),
    ],
)  # fmt: skip
def test_what_was_changed_is_said(host, words):
    assert compared(after(**host)) == [words]


def test_networks():
    raw = sonarr()
    networks = raw["NetworkSettings"]["Networks"]
    networks["bridge"] = {"Aliases": None}
    assert compared(raw) == ["put on the network bridge"]
    networks["media_default"]["Aliases"] = [raw["Id"][:12]]
    assert compared(raw)[1] == "names on the network media_default without media-sonarr, without sonarr"
    del networks["media_default"], networks["bridge"]
    assert compared(raw) == ["taken off the network media_default"]


@pytest.mark.parametrize(
    "host",
    [
        {"PidsLimit": -1},
        {"PidsLimit": 0},
        {"CapAdd": [], "CapDrop": [], "SecurityOpt": [], "Binds": [], "Mounts": [], "Devices": []},
        {"MemorySwap": -1, "Memory": 0, "NanoCpus": None},
        {"PortBindings": None, "Tmpfs": None, "Sysctls": {}},
        {"Binds": ["%s:/config:rw" % ("ab" * 32)]},
    ],
)
def test_every_spelling_of_nothing_is_the_same(host):
    assert compared(after(**host)) == []


def test_what_another_engine_spells_otherwise_is_the_same():
    before, raw = after(CapAdd=["CAP_NET_ADMIN", "NET_RAW"]), after(CapAdd=["NET_RAW", "NET_ADMIN"])
    network = raw["NetworkSettings"]["Networks"]["media_default"]
    # Engine 25 and later: no id among the aliases, names of their own for DNS, other addresses after every start.
    network.update(Aliases=["sonarr", "media-sonarr"], DNSNames=["x"], MacAddress="02:00:00:00:00:01", IPAddress="10.1")
    before["HostConfig"]["SecurityOpt"] = ["no-new-privileges"]
    raw["HostConfig"]["SecurityOpt"] = ["no-new-privileges:true"]
    assert compared(raw, before) == []


def test_no_secret_is_kept():
    raw = sonarr()
    raw["Config"]["Env"] = ["API_KEY=very-secret"]
    assert "very-secret" not in json.dumps(container_traits.traits(raw))
    assert compared(raw) == ["environment, command or user"]


def test_a_trait_that_only_one_version_knows_is_no_change():
    older = container_traits.traits(sonarr())
    del older["process limit"]
    assert container_traits.changes(older, container_traits.traits(after(PidsLimit=5))) == []
    assert container_traits.changes(dict(older, spin="left"), older) == []


# The record


def project(*raws):
    return Project("media", "/srv/mediastack/compose", [Container(raw) for raw in raws])


@pytest.fixture
def place(tmp_path):
    (tmp_path / ".mediastack").mkdir()
    return str(tmp_path)


def record_file(place):
    return pathlib.Path(place, ".mediastack", "made.json")


def made(place, *raws):
    """The record after a run that made these containers."""
    made_record.Made(place).remember(project(*raws))
    return made_record.Made(place)


def anew(raw, identifier="f" * 64, **top):
    """The same container, made anew."""
    text = json.dumps(raw).replace(raw["Id"], identifier).replace(raw["Id"][:12], identifier[:12])
    return dict(json.loads(text), **top)


def test_what_is_seen_first_is_how_it_should_be(place):
    assert made_record.Made(place).by_hand(project(after(RestartPolicy=NO))) == {}
    assert made(place, after(RestartPolicy=NO)).by_hand(project(after(RestartPolicy=NO))) == {}


def test_a_change_by_hand_is_seen_until_the_container_is_made_anew(place):
    record, changed = made(place, sonarr()), project(after(RestartPolicy=NO))
    assert record.by_hand(changed) == {"sonarr": ["changed by hand: restart policy unless-stopped → no"]}
    record.remember(changed)
    assert made_record.Made(place).by_hand(changed), "left as it is, it stays known"
    record.begin(["sonarr"])
    record.remember(project(anew(sonarr())))
    assert made_record.Made(place).by_hand(project(anew(sonarr()))) == {}
    assert list(json.loads(record_file(place).read_text())["containers"]) == ["f" * 64]


def test_a_container_made_anew_by_others_is_compared_with_the_one_before_it(place):
    record = made(place, sonarr())
    assert record.by_hand(project(anew(sonarr()))) == {}
    changed = anew(after(RestartPolicy=NO))
    assert list(record.by_hand(project(changed))) == ["sonarr"]
    record.remember(project(changed))
    assert list(made_record.Made(place).by_hand(project(changed))) == ["sonarr"]


def test_another_image_under_the_same_name_is_named_once_and_kept(place):
    record = made(place, sonarr())
    updated = anew(sonarr(), Image="sha256:" + "1" * 64)
    updated["Config"]["Env"] = ["VERSION=2"]
    [sentence] = record.by_hand(project(updated))["sonarr"]
    assert sentence.startswith("changed by hand: image ") and "→ 111111111111 (" in sentence
    assert record.changed(project(updated)) == {}, "an app that was updated is not put back: its data may be newer"
    record.remember(project(updated))
    assert made_record.Made(place).by_hand(project(updated)) == {}


def test_what_a_killed_run_of_ours_made_is_nobodys_doing_by_hand(place):
    made(place, sonarr()).begin(["sonarr"])
    record = made_record.Made(place)
    assert record.by_hand(project(anew(after(RestartPolicy=NO), Image="sha256:" + "1" * 64))) == {}
    assert record.by_hand(project(after(RestartPolicy=NO))), "the one from before is still known"


def test_another_definition_is_another_container(place):
    changed = anew(after(RestartPolicy=NO))
    changed["Config"]["Labels"]["org.homelab.mediastack.content"] = "another"
    assert made(place, sonarr()).by_hand(project(changed)) == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 99, "containers": {}}', '{"schema": 1, "containers": 3}'])
def test_a_damaged_record_is_none(place, text):
    made(place, sonarr())
    record_file(place).write_text(text)
    assert made_record.Made(place).by_hand(project(after(RestartPolicy=NO))) == {}


def test_nothing_is_written_where_nothing_differs(place):
    made(place, sonarr())
    before = record_file(place).stat().st_ino
    made(place, sonarr())
    assert record_file(place).stat().st_ino == before


# The decision


def plan(**aim):
    well = recorded("well")
    [identifier] = [container.id for container in well.containers if container.service == "gluetun"]
    return convergence.plan_present(as_it_is(well), well, Aim(by_hand={identifier: ["changed by hand: x"]}, **aim))


def test_what_was_changed_by_hand_is_made_anew_with_what_depends_on_it():
    decisions = plan().decisions
    assert (decisions["gluetun"].action, list(decisions["gluetun"].reasons)) == ("recreate", ["changed by hand: x"])
    assert not decisions["gluetun"].gentle and decisions["qbittorrent"].action == "recreate"


def test_recreate_never_leaves_it_and_says_so():
    found = plan(recreate="never")
    assert found.empty and list(found.messages) == ["gluetun: changed by hand: x (left as it is: recreate is never)"]


def test_what_the_run_is_not_about_is_left():
    assert plan(services=("sonarr",)).empty
