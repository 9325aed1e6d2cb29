# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of a log line reaches the terminal, and how a line of `docker logs --timestamps` is read."""

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import log_text

STAMP = "2026-11-22T20:49:08.123456789Z"
NANOSECONDS = 1795380548123456789


def test_a_line():
    assert log_text.parse(f"{STAMP} [Info] ready".encode()) == (NANOSECONDS, "[Info] ready", 1)
    assert log_text.parse(f"{STAMP} ".encode()) == (NANOSECONDS, "", 1)
    assert log_text.parse(f"{STAMP}".encode()) == (NANOSECONDS, "", 1)


def test_times_are_numbers_because_the_engine_trims_zeros():
    short, long = (log_text.parse(f"2026-11-22T20:49:08{end}Z x".encode())[0] for end in (".1", ".09"))
    assert short > long


def test_bytes_that_are_no_text():
    assert log_text.parse(STAMP.encode() + b" caf\xe9")[1] == "caf\ufffd"


@pytest.mark.parametrize("line", [b"", b"Error response from daemon: x", b"2026-13-45T99:00:00Z x"])
def test_what_has_no_time_is_no_line(line):
    assert log_text.parse(line) is None


def test_the_pieces_of_a_long_line_are_joined():
    pieces = ["a" * log_text.PIECE, "b" * log_text.PIECE, "c" * 7]
    line = "".join(f"{STAMP} {piece}" for piece in pieces)
    assert log_text.parse(line.encode()) == (NANOSECONDS, "".join(pieces), 3)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("windows\r", "windows"),
        ("tab\tstays", "tab\tstays"),
        ("10%\r20%", "10% 20%"),
        ("bell\x07 back\x08space", "bell  back space"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b]0;my title\x07after", "after"),
        ("\x1b]52;c;ZXZpbA==\x1b\\after", "after"),
        ("\x1bP1$r0m\x1b\\after", "after"),
        ("\x1b]8;;http://evil\x07link\x1b]8;;\x07", "link"),
        ("\x9b31mred in one byte", "\x1b[31mred in one byte\x1b[0m"),
        ("\x1bc reset", " reset"),
        ("\x1b(0 charset", " charset"),
        ("\x1b[?1049h alternate", " alternate"),
        ("\x1b[>c who", " who"),
        ("an open \x1b]0;title", "an open 0;title"),
        ("nul \x00 here", "nul   here"),
        ("abc\u202egnp.exe", "abc gnp.exe"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[1;31mopen", "\x1b[1;31mopen\x1b[0m"),
        ("\x1b[38;5;196mmany\x1b[m", "\x1b[38;5;196mmany\x1b[0m"),
        ("\x1b[38;2;1;2;3mtrue\x1b[0m", "\x1b[38;2;1;2;3mtrue\x1b[0m"),
        ("\x1b[8mhidden", "hidden"),
        ("\x1b[5;31mblinking", "\x1b[31mblinking\x1b[0m"),
        ("\x1b[38;5mcut", "cut"),
        ("\x1b[31\x1b[2Kdouble", "31double"),
    ],
)
def test_only_colours_pass(text, shown):
    assert log_text.clean(text) == shown


def test_no_control_character_is_left_whatever_comes():
    everything = "".join(chr(number) for number in range(0x100)) * 2
    left = {sign for sign in log_text.clean(everything) if ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0}
    assert left <= {"\t"}


def test_a_long_line_takes_no_time():
    for sign in ("\x1b]", "\x9d", "\x1b[", "\x1b[3", "\x00", "\x1b[1m"):
        log_text.clean(sign * 200000)


def test_plain_has_no_colours():
    assert log_text.plain(log_text.clean("\x1b[1;31mred\x1b[0m and \x1b[32mgreen")) == "red and green"


def test_a_line_without_end_is_cut():
    shown = log_text.shortened("x" * 20000)
    assert shown == "x" * log_text.SHOWN + " … (cut)"
    assert log_text.shortened("short") == "short"
