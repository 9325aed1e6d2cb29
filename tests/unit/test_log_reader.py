# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading logs again and again: every line once, whatever happens between two looks. The engine here is simulated."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    docker_cli,
    engine_state,
    log_position,
    log_reader,
    log_source,
)

SECOND = 10**9
DIRECTORY = "/srv/stack/compose"


class FakeContainer:
    """A container whose log is a list of (nanoseconds, text)."""

    def __init__(self, service, number=1, directory=DIRECTORY, one_off="False", driver="json-file", env=()):
        self.service, self.number, self.directory, self.one_off = service, number, directory, one_off
        self.driver, self.env, self.log, self.complaint = driver, list(env), [], ""

    def write(self, time, *texts):
        self.log += [(time, text) for text in texts]


class FakeEngine:
    """Answers what log_reader asks of docker."""

    def __init__(self):
        self.containers = {}
        self.asked, self.handed_over = [], 0

    def add(self, identifier, *args, **kwargs):
        self.containers[identifier] = FakeContainer(*args, **kwargs)
        return self.containers[identifier]

    def run(self, *arguments, **_options):
        assert arguments[0] == "ps"
        rows = [
            "\t".join([identifier, c.service, str(c.number), c.one_off, c.directory])
            for identifier, c in self.containers.items()
        ]
        return docker_cli.Completed(0, "\n".join(rows), "")

    def inspect(self, _docker, ids):
        found = []
        for identifier in ids:
            container = self.containers[identifier]
            found.append(
                engine_state.Container(
                    {
                        "Id": identifier,
                        "Name": f"/{container.service}",
                        "Image": "sha256:0",
                        "Config": {"Labels": {}, "Image": "x", "Env": container.env},
                        "State": {"Status": "running"},
                        "HostConfig": {"LogConfig": {"Type": container.driver}},
                        "LogPath": "",
                    }
                )
            )
        return found

    def sweep(self, _docker, jobs, take, _seconds):
        failed = {}
        for key, arguments in jobs:
            self.asked.append(arguments)
            container = self.containers[key]
            if container.complaint:
                failed[key] = container.complaint
                continue
            lines = container.log
            if "--tail" in arguments:
                size = int(arguments[arguments.index("--tail") + 1])
                lines = lines[len(lines) - min(size, len(lines)) :]
            if "--since" in arguments:
                since = float(arguments[arguments.index("--since") + 1]) * SECOND
                lines = [line for line in lines if line[0] >= since]
            for time, text in lines:
                self.handed_over += 1
                if take(key, time, text, 1):
                    break
        return failed


@pytest.fixture
def engine(monkeypatch):
    fake = FakeEngine()
    monkeypatch.setattr(engine_state, "inspect", fake.inspect)
    monkeypatch.setattr(log_source, "sweep", fake.sweep)
    return fake


def look(engine, positions=None, **asked):
    asked = {"tail": 50, **asked}
    return log_reader.look(engine, log_reader.Wish("stack", DIRECTORY, positions=positions, **asked))


def texts(result):
    return [text for _time, _service, text in result["lines"]]


def test_the_last_lines_of_all_services_by_time(engine):
    one, two = engine.add("1", "sonarr"), engine.add("2", "radarr")
    for second in range(0, 10, 2):
        one.write(second * SECOND, f"s{second}")
        two.write((second + 1) * SECOND, f"r{second + 1}")
    result = look(engine, tail=3)
    assert texts(result) == ["s4", "r5", "s6", "r7", "s8", "r9"]
    assert result["lines"][0] == [4 * SECOND, "sonarr", "s4"]
    assert (result["services"], result["missing"]) == (["radarr", "sonarr"], [])


def test_only_the_services_asked_for(engine):
    engine.add("1", "sonarr").write(1, "a")
    engine.add("2", "radarr").write(2, "b")
    result = look(engine, services=["radarr", "lidarr"])
    assert texts(result) == ["b"]
    assert result["missing"] == ["lidarr"]


def test_what_is_not_ours_is_left_out(engine):
    engine.add("1", "sonarr", directory="/somewhere/else").write(1, "foreign")
    engine.add("2", "sonarr", one_off="True").write(1, "run by hand")
    assert look(engine)["services"] == []


def test_a_second_container_of_a_service_has_its_number(engine):
    engine.add("1", "app").write(1, "a")
    engine.add("2", "app", 2).write(2, "b")
    assert [line[1] for line in look(engine)["lines"]] == ["app", "app-2"]


def test_a_pattern_finds_what_is_far_back(engine):
    container = engine.add("1", "sonarr")
    container.write(1, *(f"line {number}" for number in range(1000)))
    result = look(engine, grep=r"7\d\d$", tail=5)
    assert texts(result) == [f"line {number}" for number in range(795, 800)]
    assert result["left_out"] == {"sonarr": 95}


def test_a_pattern_does_not_see_secrets(engine):
    engine.add("1", "sonarr", env=["API_KEY=deadbeef01"]).write(1, "GET ?x=deadbeef01", "other")
    assert texts(look(engine, grep="deadbeef")) == []
    assert texts(look(engine, grep="GET")) == ["GET ?x=********"]


def test_a_time(engine):
    container = engine.add("1", "sonarr")
    for second in range(100):
        container.write((1000 + second) * SECOND, f"{second}")
    result = look(engine, since="1090", tail=5)
    assert texts(result) == ["95", "96", "97", "98", "99"]
    assert result["left_out"] == {"sonarr": 5}


def test_seconds_ago_count_by_the_hosts_clock(engine, monkeypatch):
    monkeypatch.setattr(log_reader.time, "time", lambda: 1100.0)
    engine.add("1", "sonarr").write(1000 * SECOND, "old")
    engine.containers["1"].write(1095 * SECOND, "new")
    assert texts(look(engine, since="10s")) == ["new"]


def test_a_log_driver_that_cannot_be_read(engine):
    engine.add(
        "1", "sonarr", driver="none"
    ).complaint = "Error response from daemon: configured logging driver does not support reading"
    engine.add("2", "radarr").write(1, "fine")
    result = look(engine)
    assert texts(result) == ["fine"]
    assert "driver none" in result["troubles"]["sonarr"]
    assert "mediastack_overrides: {sonarr: {logging:" in result["troubles"]["sonarr"]


def test_a_pattern_that_never_ends_is_stopped(engine):
    engine.add("1", "sonarr").write(1, "a" * 60 + "b")
    with pytest.raises(log_reader.TooLong, match="simpler pattern"):
        look(engine, grep="(a+)+$", seconds=0.1)


# Following


class Followed:
    """Looks at an engine again and again and keeps what it was shown."""

    def __init__(self, engine, **asked):
        self.engine, self.asked, self.shown = engine, dict(asked, follow=True), []
        self.result = look(engine, **self.asked)
        self.shown += texts(self.result)

    def again(self):
        more = True
        while more:
            self.result = look(self.engine, self.result["positions"], **self.asked)
            self.shown += texts(self.result)
            more = self.result["more"]


def test_nothing_new_is_nothing(engine):
    engine.add("1", "sonarr").write(1, *"abcdef")
    followed = Followed(engine)
    followed.again()
    followed.again()
    assert followed.shown == list("abcdef")


def test_lines_of_one_moment_across_looks(engine):
    container = engine.add("1", "sonarr")
    container.write(5, "1", "2")
    followed = Followed(engine)
    for number in range(3, 9):
        container.write(5, str(number))
        followed.again()
    assert followed.shown == [str(number) for number in range(1, 9)]


def test_more_lines_of_one_moment_than_a_look_begins_with(engine):
    container = engine.add("1", "sonarr")
    container.write(5, *(str(number) for number in range(log_reader.WINDOW + 5)))
    followed = Followed(engine, tail=1)
    container.write(5, "new")
    followed.again()
    assert followed.shown == [str(log_reader.WINDOW + 4), "new"]


def test_the_clock_goes_back_an_hour(engine):
    container = engine.add("1", "sonarr")
    container.write(7200 * SECOND, "before")
    followed = Followed(engine)
    container.write(3600 * SECOND, "after")
    followed.again()
    container.write(3601 * SECOND, "later")
    followed.again()
    assert followed.shown == ["before", "after", "later"]


def test_a_recreated_container(engine):
    engine.add("1", "sonarr").write(1, "old")
    followed = Followed(engine)
    engine.containers["1"].write(2, "last words")
    followed.again()
    del engine.containers["1"]
    followed.again()
    engine.add("2", "sonarr").write(3, "first words", "second")
    followed.again()
    assert followed.shown == ["old", "last words", "first words", "second"]


def test_a_service_that_comes_later(engine):
    followed = Followed(engine, services=["sonarr"])
    assert followed.result["missing"] == ["sonarr"]
    engine.add("1", "sonarr").write(1, *(str(number) for number in range(500)))
    followed.again()
    assert followed.shown == [str(number) for number in range(500)]


def test_an_emptied_log_is_told(engine):
    container = engine.add("1", "sonarr")
    container.write(1, *"abc")
    followed = Followed(engine)
    container.log = [(9, "new")]
    followed.again()
    assert followed.shown == ["a", "b", "c", "new"]
    assert "lines may be missing" in followed.result["troubles"]["sonarr"]


def test_following_from_a_time_shows_nothing_older(engine):
    container = engine.add("1", "sonarr")
    container.write(1000 * SECOND, "old", "older")
    followed = Followed(engine, since="2000")
    followed.again()
    container.write(3000 * SECOND, "new")
    followed.again()
    assert followed.shown == ["new"]


def test_following_with_no_lines_to_begin_with(engine):
    container = engine.add("1", "sonarr")
    container.write(1, "old")
    followed = Followed(engine, tail=0)
    container.write(2, "new")
    followed.again()
    assert followed.shown == ["new"]


def test_much_at_once_comes_in_pieces(engine):
    container = engine.add("1", "sonarr")
    container.write(1, "first")
    followed = Followed(engine)
    container.write(2, *(str(number) for number in range(3 * log_position.PIECE)))
    first = look(engine, followed.result["positions"], **followed.asked)
    assert (len(first["lines"]), first["more"]) == (log_position.PIECE, True)
    followed.again()
    assert followed.shown == ["first", *(str(number) for number in range(3 * log_position.PIECE))]


def test_after_a_long_pause_no_look_takes_or_reads_much(engine, monkeypatch):
    """Nobody read what was printed for a while, or the host did not answer."""
    monkeypatch.setattr(log_position, "PIECE", 500)
    monkeypatch.setattr(log_reader, "MEANWHILE", 1000)
    container = engine.add("1", "sonarr")
    container.log = [(number, f"old {number}") for number in range(20000)]
    followed = Followed(engine, tail=1)
    container.log += [(10**6 + number, str(number)) for number in range(10000)]
    more, looks, engine.handed_over = True, 0, 0
    while more:
        followed.result = look(engine, followed.result["positions"], **followed.asked)
        followed.shown += texts(followed.result)
        more, looks = followed.result["more"], looks + 1
        assert len(followed.result["lines"]) <= log_position.PIECE
        # The log goes on meanwhile.
        if looks <= 4:
            container.write(looks * 10**7, *(f"meanwhile {number}" for number in range(50)))
    assert followed.shown == [
        "old 19999",
        *map(str, range(10000)),
        *(f"meanwhile {number}" for _look in range(4) for number in range(50)),
    ]
    assert looks == 21
    assert engine.handed_over < 6 * 10200


def test_long_lines_make_smaller_pieces(engine):
    container = engine.add("1", "sonarr")
    container.write(1, "first")
    followed = Followed(engine)
    container.write(2, *["x" * 10**6] * 200)
    first = look(engine, followed.result["positions"], **followed.asked)
    assert first["more"] is True
    assert len(first["lines"]) < 100
    followed.again()
    assert len(followed.shown) == 201


def test_an_idle_look_reads_little(engine):
    container = engine.add("1", "sonarr")
    for second in range(100000):
        container.write(second * SECOND, "x")
    followed = Followed(engine)
    engine.asked.clear()
    followed.again()
    assert engine.asked == [["logs", "--timestamps", "--tail", str(log_reader.WINDOW), "1"]]


@pytest.fixture
def file(engine, monkeypatch, tmp_path):
    """The file in which the engine keeps the log of a container."""
    path, inspect = tmp_path / "1-json.log", engine.inspect
    path.write_text("x")

    def with_path(docker, ids):
        found = inspect(docker, ids)
        for one in found:
            one.raw["LogPath"] = str(path)
        return found

    monkeypatch.setattr(engine_state, "inspect", with_path)
    return path


def test_an_unchanged_file_is_not_read(engine, file):
    container = engine.add("1", "sonarr")
    container.write(1, "a")
    followed = Followed(engine)
    engine.asked.clear()
    followed.again()
    assert engine.asked == []
    container.write(2, "b")
    file.write_text("xx")
    followed.again()
    assert followed.shown == ["a", "b"]


def test_an_unchanged_file_is_read_for_what_is_left_of_it(engine, file):
    container = engine.add("1", "sonarr")
    container.write(1, "first")
    followed = Followed(engine)
    container.write(2, *(str(number) for number in range(2 * log_position.PIECE)))
    file.write_text("xx")
    followed.again()
    assert len(followed.shown) == 1 + 2 * log_position.PIECE


EVENTS = st.lists(
    st.tuples(
        # How the clock moves before the lines: not at all, a little, far, or back.
        st.sampled_from([0, 0, 0, 1, 3 * SECOND, 4000 * SECOND, -5000 * SECOND]),
        st.sampled_from([0, 1, 2, 5, 230]),
        st.sampled_from(["look", "look", "write on", "recreate"]),
    ),
    max_size=10,
)


@settings(max_examples=60, deadline=None)
@given(events=EVENTS, begin=st.sampled_from([0, 1, 49, 260]))
def test_every_line_once(events, begin):
    engine = FakeEngine()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_state, "inspect", engine.inspect)
        patch.setattr(log_source, "sweep", engine.sweep)
        # Now and then more than one look hands over.
        patch.setattr(log_position, "PIECE", 100)
        patch.setattr(log_reader, "MEANWHILE", 200)
        now, number, identifier = 10**6 * SECOND, 0, 1
        container = engine.add("1", "sonarr")

        def write(count):
            nonlocal number
            for _line in range(count):
                # Several lines of one moment, and now and then two in the wrong order, as two streams make them.
                skew = -2 if number % 7 == 3 else 0
                container.write(now + number // 3 + skew, str(number))
                number += 1

        write(begin)
        followed = Followed(engine, tail=10**6)
        for step, count, then in events:
            now += step
            write(count)
            if then == "recreate":
                followed.again()
                del engine.containers[str(identifier)]
                identifier += 1
                container = engine.add(str(identifier), "sonarr")
            elif then == "look":
                followed.again()
        followed.again()
    assert followed.shown == [str(line) for line in range(number)]


def test_arguments_hold_nothing_that_a_shell_would_read(engine):
    engine.add("1", "sonarr").write(1, "x")
    look(engine, grep="$(touch /tmp/x); `id`")
    assert all(re.fullmatch(r"[\w.-]+", word) for arguments in engine.asked for word in arguments)
