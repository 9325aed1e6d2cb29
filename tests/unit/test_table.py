# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The status table as a person sees it."""

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import table


def row(name="sonarr", status="HEALTHY", message="", host="nas", **changes):
    entry = {
        "host": host,
        "name": name,
        "title": name.title(),
        "status": status,
        "message": message,
        "latency_ms": 4.2,
        "container": name,
        "image": f"lscr.io/linuxserver/{name}:4.0.16",
        "url": None,
    }
    entry.update(changes)
    return entry


def test_columns_are_aligned():
    lines = table.render([row(), row("radarr", "UNHEALTHY", "connection refused", latency_ms=None)])
    assert lines == [
        "HOST  SERVICE  STATUS     MESSAGE             LATENCY  IMAGE",
        "nas   sonarr   HEALTHY                        4 ms     4.0.16",
        "nas   radarr   UNHEALTHY  connection refused           4.0.16",
    ]


def test_what_runs_is_a_column_where_it_is_known():
    lines = table.render([row(runs="real 5.1.0"), row("radarr", runs="stand-in")], runs=True)
    assert lines[0].endswith("IMAGE   RUNS")
    assert [line.split("4.0.16  ")[1] for line in lines[1:]] == ["real 5.1.0", "stand-in"]


@pytest.mark.parametrize("name", ["影音服务", "ソナー", "😀", "e\u0301tage", "👩‍💻", "plain"])
def test_wide_signs_do_not_break_the_columns(name):
    lines = table.render([row(name, "UNHEALTHY", "気"), row("sonarr", "UNHEALTHY", "x")])
    starts = [table.width(line[: line.index("UNHEALTHY")]) for line in lines[1:]]
    assert starts[0] == starts[1]
    assert table.width(lines[1][: lines[1].index("4 ms")]) == table.width(lines[2][: lines[2].index("4 ms")])


def test_a_message_is_cut_on_a_terminal_and_whole_in_a_pipe():
    long = "気" * 40 + "x" * 100
    rows = [row(message=long), row("radarr")]
    assert long in table.render(rows)[1]
    lines = table.render(rows, columns=80)
    assert all(table.width(line) <= 80 for line in lines)
    assert "…" in lines[1]
    assert lines[1].endswith("4.0.16")


def test_a_narrow_terminal_keeps_some_of_the_message():
    lines = table.render([row(message="m" * 100)], columns=20)
    assert "m" * 19 + "…" in lines[1]


def test_only_the_status_is_coloured_and_the_columns_stay():
    seen = []

    def paint(text, color):
        seen.append((text.strip(), color))
        return f"<{color}>{text}</>"

    lines = table.render([row(), row("radarr", "STOPPED")], paint=paint)
    assert seen == [("HEALTHY", "green"), ("STOPPED", "bright gray")]
    assert lines[1] == "nas   sonarr   <green>HEALTHY</>           4 ms     4.0.16"
    plain = [line.replace("<green>", "").replace("<bright gray>", "").replace("</>", "") for line in lines]
    assert plain == table.render([row(), row("radarr", "STOPPED")])


def test_every_status_has_a_colour_that_ansible_knows():
    from ansible import constants

    assert set(table.COLORS.values()) <= set(constants.COLOR_CODES)


def test_control_signs_of_a_message_do_not_reach_the_terminal():
    [_heading, line] = table.render([row(message="\x1b[2Jaway\r\nnext\tline\u2028end \u202edlo\u2066 \udcff")])
    assert "[2Jaway next line end dlo \ufffd" in line
    assert line.isprintable()


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("lscr.io/linuxserver/sonarr:4.0.16", "4.0.16"),
        ("localhost:5000/sonarr", "latest"),
        ("sonarr", "latest"),
        ("localhost:5000/sonarr:1@sha256:" + "a" * 64, "1"),
        ("sonarr@sha256:" + "ab" * 32, "abababababab"),
        ("sha256:" + "ab" * 32, "abababababab"),
        (None, ""),
    ],
)
def test_the_tag_of_an_image(image, tag):
    assert table.tag(image) == tag


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(None, ""), (0.4, "<1 ms"), (4.2, "4 ms"), (999.4, "999 ms"), (1234, "1.2 s")]
)
def test_latency(milliseconds, text):
    assert table.latency(milliseconds) == text


def not_healthy(entry):
    return entry["status"] != "HEALTHY"


def test_a_host_of_which_nothing_is_known_is_one_row():
    rows = [row()] + [row(f"s{n}", "UNKNOWN", "unreachable: no route", "attic", latency_ms=None) for n in range(9)]
    lines = table.render(rows)
    assert len(lines) == 3
    assert "attic  (all 9)  UNKNOWN  unreachable: no route" in lines[2]
    assert table.summary(rows, not_healthy) == "9 of 10 not healthy: attic (all 9)"


def test_the_disks_of_a_host_of_which_nothing_is_known_stay():
    rows = [row(f"s{n}", "UNKNOWN", "no engine", "attic") for n in range(9)]
    rows.append(row("(disk base)", "UNKNOWN", "no answer", "attic"))
    assert [line["name"] for line in table.collapse(rows)] == ["(all 9)", "(disk base)"]
    assert table.collapse(table.collapse(rows)) == table.collapse(rows)
    assert table.summary(rows, not_healthy) == "10 of 10 not healthy: attic (all 9), attic (disk base)"


def test_different_reasons_stay_rows_of_their_own():
    rows = [row("a", "UNKNOWN", "one"), row("b", "UNKNOWN", "two")]
    assert len(table.render(rows)) == 3


def test_the_sentence():
    rows = [row("sonarr", "UNHEALTHY"), row("radarr"), row("lidarr", "MISSING", host="attic")]
    assert table.summary(rows, not_healthy) == "2 of 3 not healthy: nas/sonarr, attic/lidarr"
    assert table.summary(rows[1:2], not_healthy) == "1 of 1 healthy"
    assert table.summary([], not_healthy) == "no service to look at"
    many = [row(f"s{n}", "STOPPED") for n in range(20)]
    assert table.summary(many, not_healthy).endswith("nas/s11 and 8 more")
