# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page: valid, whole in itself, readable for everybody. How it looks: tests/browser."""

import re

import html5lib
import pytest
import report_sample

from ansible_collections.homelab.mediastack.plugins.plugin_utils import report_html, report_model, table

NAMESPACE = "{http://www.w3.org/1999/xhtml}"


@pytest.fixture(scope="module")
def text():
    report = report_model.build(report_sample.results(), moment=report_sample.MOMENT)
    return report_html.render(report)


def parsed(text):
    """The document; an error of the parser, as a browser would silently repair it, fails."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


@pytest.fixture(scope="module")
def page(text):
    return parsed(text)


def words(element):
    return " ".join("".join(element.itertext()).split())


def rows(page):
    return [element for element in page.iter("tr") if element.get("data-status")]


def test_the_frame_of_the_page(text, page):
    assert text.startswith("<!DOCTYPE html>\n<html lang=")
    assert page.get("lang") == "en"
    assert page.find("head/title").text.startswith("Media stack: 6 of 8 not healthy: nas/sonarr, nas/prowlarr")
    metas = {meta.get("name") or meta.get("http-equiv"): meta.get("content") for meta in page.iter("meta")}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert metas["Content-Security-Policy"].startswith("default-src 'none'")
    assert [words(element) for element in page.iter("h1")] == ["Media stack"]
    assert [words(element) for element in page.iter("h2")] == ["nas", "attic", "cellar", "far"]
    assert page.find(".//time").get("datetime") == report_sample.MOMENT
    assert words(page.find(".//time")) == "2026-11-22 20:35:12 UTC"
    for landmark in ("header", "main"):
        assert page.find(f"body/{landmark}") is not None


def test_nothing_is_fetched_and_nothing_runs(text, page):
    for element in page.iter():
        assert element.tag not in ("script", "img", "iframe", "object", "embed", "base", "form", "video", "audio")
        for name, value in element.attrib.items():
            assert not name.startswith("on"), f"{element.tag} {name}={value}"
            assert name not in ("src", "srcset", "action", "ping", "background", "poster", "style")
            if name == "href":
                assert element.tag == "a" or value.startswith("data:"), f"{element.tag} {name}={value}"
    [style] = page.iter("style")
    assert not re.search(r"url\(|@import|@font-face|expression", style.text)


def test_every_value_is_text(page):
    [row] = [row for row in rows(page) if "prowlarr" in words(row) or "alert(1)" in words(row)]
    plain = table.clean(report_sample.NASTY)
    cells = [words(cell) for cell in row if cell.tag in ("th", "td")]
    assert cells[:4] == [" ".join(plain.split()), "DEGRADED", " ".join(plain.split()), "1.2 s"]
    assert "{{ 7 * 7 }}" in cells[0]


def test_rows_and_their_columns(page):
    found = {words(row.find("th")): [words(cell) for cell in row.iter("td")] for row in rows(page)}
    assert found["Sonarr"] == ["UNHEALTHY", "HTTP 503 (starting), expected 200", "", "4.0.16"]
    assert found["Gluetun"] == ["HEALTHY", "", "4 ms", "4.0.16"]
    assert found["(host)"][0] == "UNKNOWN"
    for element in page.iter("table"):
        headings = [words(cell) for cell in element.find("thead/tr")]
        assert headings == ["Service", "Status", "Message", "Latency", "Image"]
        assert all(cell.get("scope") == "col" for cell in element.find("thead/tr"))


def test_what_runs_in_the_lab_is_a_column_when_it_is_known():
    results = {"nas": {"services": [report_sample.row(runs="stand-in"), report_sample.row("radarr")]}}
    page = parsed(report_html.render(report_model.build(results)))
    assert [[words(cell) for cell in row.iter("td")][-2:] for row in rows(page)] == [
        ["4.0.16", "stand-in"],
        ["4.0.16", ""],
    ]


def test_addresses_on_the_network_lead_there_and_others_nowhere(page):
    links = {words(link): link.get("href") for link in page.iter("a")}
    assert links["Sonarr"] == "http://192.168.1.10:8989"
    assert "Gluetun" not in links
    assert "Jellyfin" not in links, "127.0.0.1 is not that host's from here"
    assert all(link.get("rel") == "noreferrer" for link in page.iter("a"))


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil", "http:", "http://[x", "", None])
def test_no_link_but_to_the_web(url):
    assert report_html.link(url) == ""


def test_facts_of_a_host(page):
    sections = {words(section.find(".//h2")): section for section in page.iter("section")}
    facts = {}
    key = None
    for element in sections["nas"].find("dl"):
        if element.tag == "dt":
            key = words(element)
        else:
            facts[key] = (words(element), element.get("class"))
    assert facts["VPN"] == ("connected · mullvad · Switzerland · 193.32.126.66 · forwarded port 51820", "good")
    assert facts["disk base"] == ("120 of 500 GB free", None)
    assert facts["disk media and downloads"] == ("280 GB of 4.0 TB free, LOW", "bad")
    assert facts["downloads"][1] == "bad"
    meters = [meter.get("value") for meter in sections["nas"].iter("meter")]
    assert meters == ["0.760", "0.930"]
    assert all(meter.get("aria-label") for meter in page.iter("meter"))
    assert sections["cellar"].find("dl") is None


def test_the_filter_has_a_choice_for_what_there_is(page):
    choices = {element.get("id"): words(label) for label in page.iter("label") for element in label.iter("input")}
    assert choices == {
        "show-ALL": "all 8",
        "show-BAD": "not healthy 6",
        "show-HEALTHY": "HEALTHY 2",
        "show-DEGRADED": "DEGRADED 2",
        "show-UNHEALTHY": "UNHEALTHY 1",
        "show-STOPPED": "STOPPED 1",
        "show-UNKNOWN": "UNKNOWN 2",
    }
    assert page.find(".//fieldset/legend") is not None
    checked = [element.get("id") for element in page.iter("input") if element.get("checked") is not None]
    assert checked == ["show-ALL"]


def test_ids_are_unique_and_what_refers_to_them_finds_them(page):
    ids = [element.get("id") for element in page.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in page.iter():
        if element.get("aria-labelledby"):
            assert element.get("aria-labelledby") in ids


def test_a_page_of_nothing_and_one_of_all_well():
    empty = parsed(report_html.render(report_model.build({})))
    assert "no service to look at" in words(empty)
    well = report_html.render(report_model.build({"nas": {"services": [report_sample.row()]}}))
    page = parsed(well)
    assert "1 of 1 healthy" in words(page.find("head/title"))
    assert page.find(".//p[@class='verdict good']") is not None
    assert 'id="show-BAD"' not in well


# Contrast, as WCAG 2.2 computes it: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def palettes(text):
    """The colours for light and for dark."""
    blocks = [
        dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", block)) for block in re.findall(r":root \{(.*?)\}", text, re.S)
    ]
    assert len(blocks) == 2
    return {"light": blocks[0], "dark": blocks[1]}


def test_contrast_is_computed_right():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(text, scheme):
    colors = palettes(text)[scheme]
    grounds = {name: colors.pop(name) for name in ("page", "card")}
    del colors["line"]
    assert {status.lower() for status in report_model.STATUSES} | {"text", "muted", "link"} == set(colors)
    for ground, color in grounds.items():
        for name, other in colors.items():
            assert contrast(color, other) >= 4.5, f"{name} on {ground} in {scheme}: {contrast(color, other):.2f}"


def test_every_colour_of_the_page_is_one_of_the_palette(text):
    [style] = re.findall(r"<style>(.*)</style>", text, re.S)
    outside = re.sub(r":root \{.*?\}", "", style, flags=re.S)
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)", outside)
    assert set(re.findall(r"(?<!-)(?:color|background): ([^;}]+)[;}]", outside)) <= {
        f"var(--{name})" for name in palettes(text)["light"]
    }
