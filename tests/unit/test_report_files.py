# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a report may go, and how it gets there."""

import errno
import json
import os
import pathlib
import stat
import tempfile

import pytest
import report_sample

from ansible_collections.homelab.mediastack.plugins.plugin_utils import report_files, report_model


def report():
    return report_model.build(report_sample.results(), moment=report_sample.MOMENT)


def test_json_keeps_every_sign():
    found = report_model.build(
        {"nas": {"services": [{"name": "影音", "status": "HEALTHY", "message": "\u201ca\u201d\n"}]}}
    )
    text = report_files.as_json(found)
    assert "影音" in text
    assert text.startswith("{")
    assert text.endswith("}\n")
    assert json.loads(text) == found
    assert json.loads(report_files.as_json_line(found)) == found
    assert "\n" not in report_files.as_json_line(found)


def test_where_to_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert report_files.check_outputs("") == []
    assert report_files.check_outputs(None) == []
    assert os.listdir(tmp_path) == []
    assert report_files.check_outputs("-") == ["-"]
    assert report_files.check_outputs("status.json") == [str(tmp_path / "status.json")]
    assert report_files.check_outputs("~/status.JSON") == [str(tmp_path / "status.JSON")]
    assert report_files.check_outputs("a.html, b.xml,-,./a.html,b.prom") == [
        str(tmp_path / "a.html"),
        str(tmp_path / "b.xml"),
        "-",
        str(tmp_path / "b.prom"),
    ]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "status.json").symlink_to("there/real.json")
    assert report_files.check_outputs(str(tmp_path / "status.json")) == [str(tmp_path / "there" / "real.json")]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("report.txt", "neither - (standard output) nor a file name ending in .json, .html, .xml, .prom"),
        ("report", "neither - (standard output) nor a file name ending in .json, .html, .xml, .prom"),
        (".json", "neither - (standard output) nor a file name ending in .json"),
        ("nowhere/report.json", "there is no directory"),
        ("folder.html", "is a directory; name a file in it"),
        ("pipe.xml", "is no ordinary file"),
        ("ok.json,bad.pdf", '"bad.pdf" is neither'),
    ],
)
def test_where_not_to_write(tmp_path, monkeypatch, output, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.html").mkdir()
    os.mkfifo(tmp_path / "pipe.xml")
    with pytest.raises(report_files.OutputError) as raised:
        report_files.check_outputs(output)
    assert words in str(raised.value)
    assert f'"{output.split(",")[-1]}"' in str(raised.value)


def test_every_mistake_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(report_files.OutputError, match=r'"a\.txt" .*; "b/c\.json"'):
        report_files.check_outputs("a.txt,b/c.json")


def test_a_directory_without_permission(tmp_path, monkeypatch):
    # As root every directory is writable.
    def refused(**_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", refused)
    with pytest.raises(report_files.OutputError, match=r"no file can be made in .* \(Permission denied\); name an"):
        report_files.check_outputs(str(tmp_path / "a.json"))


def test_a_report_takes_the_place_of_the_old_one_at_once(tmp_path):
    path = tmp_path / "status.json"
    path.write_text("old")
    before = path.stat().st_ino
    umask = os.umask(0o027)
    try:
        report_files.write(str(path), "new")
    finally:
        os.umask(umask)
    assert path.read_text() == "new"
    assert path.stat().st_ino != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["status.json"]


def test_each_file_has_its_format_and_prometheus_may_read_its_own(tmp_path):
    umask = os.umask(0o077)
    try:
        names = ["a.json", "b.html", "c.xml", "d.prom"]
        report_files.write_all([str(tmp_path / name) for name in names], report(), "degraded")
    finally:
        os.umask(umask)
    assert [(tmp_path / name).read_text().split()[0] for name in names] == ["{", "<!DOCTYPE", "<?xml", "#"]
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names]
    assert modes == [0o600, 0o600, 0o600, 0o644]


def test_half_a_sign_does_not_stop_a_report(tmp_path):
    found = report_model.build({"nas": {"services": [report_sample.row(message="half \udcff a sign")]}})
    paths = [str(tmp_path / f"a{suffix}") for suffix in report_files.FORMATS]
    report_files.write_all(paths, found, "degraded")
    for path in paths:
        text = pathlib.Path(path).read_text(encoding="utf-8")
        assert "half " in text or path.endswith(".prom")


def test_a_report_that_cannot_be_written_leaves_nothing_behind_and_the_others_are(tmp_path):
    (tmp_path / "status.json").mkdir()
    paths = [str(tmp_path / "status.json"), str(tmp_path / "status.xml")]
    with pytest.raises(report_files.OutputError, match=r"status\.json. cannot be written"):
        report_files.write_all(paths, report(), "degraded")
    assert sorted(os.listdir(tmp_path)) == ["status.json", "status.xml"]


def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        report_files.write(str(tmp_path / "status.json"), "new")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", list(report_files.FORMATS))
def test_no_format_tells_the_name_of_a_download_or_the_hosts_own_address(suffix):
    text = report_files.FORMATS[suffix].render(report(), "degraded")
    assert report_sample.DOWNLOAD not in text
    assert report_sample.OWN_ADDRESS not in text
    assert "sonarr" in text
