# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page of `status -e output=FILE.html` in Chromium: on a desk and on a phone, in light and in dark."""

import json
import pathlib

import pytest

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build" / "browser"
DESK, PHONE = (1100, 900), (390, 844)

VISIBLE = """[...document.querySelectorAll('tbody tr')].filter(e => e.offsetParent !== null)
    .map(e => e.querySelector('th').innerText.trim())"""
HOSTS = "[...document.querySelectorAll('h2')].filter(e => e.offsetParent !== null).map(e => e.innerText)"
# Every text on the page: how it contrasts with what is behind it, as WCAG 2.2 computes it.
CONTRASTS = """(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = parse(getComputedStyle(element).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.offsetParent === null) continue;
    const [one, other] = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => a - b);
    found.push([(other + .05) / (one + .05), walker.currentNode.data.trim()]);
  }
  return found;
})()"""
# What sticks out of the window, or has its text cut off.
OVERFLOWING = """[...document.querySelectorAll('body *')].filter(e => e.offsetParent !== null &&
    e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + ' ' + e.innerText)"""


@pytest.fixture(scope="module", autouse=True)
def pictures():
    BUILD.mkdir(parents=True, exist_ok=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_it_fits_and_can_be_read(chromium, page, size, scheme):
    chromium.open(page, *size, scheme)
    name = f"{'phone' if size == PHONE else 'desk'}-{scheme}.png"
    (BUILD / name).write_bytes(chromium.screenshot(whole=True))
    assert chromium.value("document.documentElement.scrollWidth") <= size[0], "nothing to scroll sideways"
    assert chromium.value(OVERFLOWING) == []
    contrasts = chromium.value(CONTRASTS)
    assert len(contrasts) > 50
    assert [entry for entry in contrasts if entry[0] < 4.5] == []
    background = chromium.value("getComputedStyle(document.body).backgroundColor")
    assert (sum(json.loads(background.replace("rgb(", "[").replace(")", "]"))) > 3 * 128) is (scheme == "light")


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_nothing_is_asked_of_the_network_and_nothing_is_wrong(chromium, page, size):
    chromium.open(page, *size)
    assert [request["request"]["url"] for request in chromium.of("Network.requestWillBeSent")] == [page]
    assert chromium.of("Log.entryAdded") == []
    assert chromium.of("Runtime.exceptionThrown") == []


def test_the_filter_works_without_a_script(chromium, page):
    chromium.open(page, *DESK)
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        assert len(chromium.value(VISIBLE)) == 12

        def choose(name):
            box = chromium.value(
                f"(r => [r.x + r.width / 2, r.y + r.height / 2])"
                f"(document.getElementById('show-{name}').closest('label').getBoundingClientRect())"
            )
            for kind in ("mousePressed", "mouseReleased"):
                chromium.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

        choose("BAD")
        assert chromium.value(VISIBLE) == ["Prowlarr", "Sonarr", "Bazarr", "Disk media"]
        assert chromium.value(HOSTS) == ["nas"], "a host with nothing to show is not shown"
        choose("UNHEALTHY")
        assert chromium.value(VISIBLE) == ["Sonarr"]
        choose("HEALTHY")
        assert chromium.value(HOSTS) == ["nas", "attic"]
        assert "Sonarr" not in chromium.value(VISIBLE)
        choose("ALL")
        assert len(chromium.value(VISIBLE)) == 12
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)


def test_the_filter_works_with_the_keyboard(chromium, page):
    chromium.open(page, *DESK)
    for key in ("Tab", "ArrowRight"):
        for kind in ("rawKeyDown", "keyUp"):
            code = {"Tab": 9, "ArrowRight": 39}[key]
            chromium.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)
    assert chromium.value("document.activeElement.id") == "show-BAD"
    assert chromium.value(VISIBLE) == ["Prowlarr", "Sonarr", "Bazarr", "Disk media"]
    outline = "getComputedStyle(document.activeElement.closest('label')).outlineStyle"
    assert chromium.value(outline) == "solid", "where the keyboard is can be seen"


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_screen_reader_finds_tables_with_headings(chromium, page, size):
    chromium.open(page, *size)
    nodes = chromium.call("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node.get("ignored")]
    names = {node["name"]["value"] for node in nodes if node.get("name") and node["role"]["value"] == "table"}
    assert names == {"nas", "attic"}
    assert roles.count("row") == 14
    assert roles.count("rowheader") == 12
    assert roles.count("columnheader") == 10, "on a phone they are out of sight, and still there"
    assert roles.count("radio") == 6
    assert roles.count("heading") == 3


def test_on_a_phone_there_is_something_to_hit(chromium, page):
    chromium.open(page, *PHONE)
    sizes = chromium.value("[...document.querySelectorAll('label')].map(e => e.getBoundingClientRect().height)")
    assert min(sizes) >= 44
