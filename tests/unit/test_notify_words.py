# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a notification says, and what it never says."""

from __future__ import annotations

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import notify_words


def change(what="new", title="Sonarr", words="STOPPED: it exited", severity="failure"):
    since = "2026-11-23T03:00:00Z"
    return {"what": what, "title": title, "words": words, "severity": severity, "since": since, "key": title}


def test_one_trouble_is_its_own_title():
    severity, title, body = notify_words.message("nas", [change()])
    assert (severity, title) == ("failure", "nas: Sonarr: STOPPED: it exited")
    assert body == "Sonarr: STOPPED: it exited"


def test_many_are_one_message():
    changes = [change(title=name) for name in ("A", "B", "C", "D", "E")]
    changes.append(change("recovered", "F", "", "success"))
    severity, title, body = notify_words.message("nas", changes)
    assert (severity, title) == ("failure", "nas: A, B, C and 2 more not well; F recovered")
    assert body.splitlines()[-1] == "recovered: F (bad since 2026-11-23 03:00 UTC)"


def test_what_happened_is_named():
    assert notify_words.message("nas", [change("happened", "update done", "sonarr 1 → 2", "success")]) == (
        "success",
        "nas: update done",
        "update done: sonarr 1 → 2",
    )


def test_a_message_fits_where_messages_fit():
    changes = [change(title=f"app{n}", words="x" * 200) for n in range(40)]
    _severity, title, body = notify_words.message("nas", changes)
    assert len(title) <= 120 and len(body) <= notify_words.MOST
    assert len(notify_words.clean("y" * 5000, str)) <= notify_words.MOST_OF_ONE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seen as 84.12.3.4.", "seen as (public address)."),
        ("from 84.12.3.4:51820 and [2a02:1206:1::1]:80", "from (public address):51820 and [(public address)]:80"),
        ("2a02:1206:1::1 is not 193.32.126.66", "(public address) is not (public address)"),
        ("at 192.168.1.10, 10.64.0.2/32, 127.0.0.1:8989, ::1 and fe80::1", None),
        ("image 4.0.19.2995, since 2026-11-23 20:39:10, 12:30:45", None),
        ("mac 02:42:ac:11:00:02 and sha256:1f0e2a", None),
    ],
)
def test_no_public_address_is_told(text, said):
    assert notify_words.clean(text, str) == (said or text)


def test_no_secret_is_told_and_nothing_moves_the_cursor():
    mask = {"key hunter2hunter2": "key ********"}.get
    assert notify_words.clean("key hunter2hunter2", mask) == "key ********"
    assert "\x1b" not in notify_words.clean("a\x1b[2Jb", str)


def test_a_diff_keeps_its_indentation():
    assert notify_words.clean("a:\n    b: 1\n-   c\n", str).splitlines()[1] == "    b: 1"
