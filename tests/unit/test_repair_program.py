# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`bin/mediastack-repair`: the same bytes every time, whole, and in need of nothing but Python's standard library."""

from __future__ import annotations

import ast
import base64
import io
import subprocess
import sys
import zipfile
import zlib

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import backup_program, repair_program

# All that the oldest Python on a host brings (3.8), as far as the program uses it.
STANDARD = sys.stdlib_module_names | {"__future__"}


@pytest.fixture
def installed(tmp_path):
    path = tmp_path / "my stack" / "bin" / "mediastack-repair"
    path.parent.mkdir(parents=True)
    path.write_bytes(repair_program.program())
    path.chmod(0o755)
    return path


def imports(source):
    """Every module that is imported anywhere in `source`, within functions too: [(name, whether at the top)]."""
    tree = ast.parse(source, feature_version=(3, 8))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in tree.body) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == repair_program.PACKAGE:
            yield from ((f"{node.module}.{alias.name}", node in tree.body) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module, node in tree.body


def test_it_runs_without_ansible_and_without_site_packages(installed):
    for command in (
        [sys.executable, "-S", "-I", str(installed), "--help"],
        [str(installed), "--help"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env={"PATH": "/usr/bin"})
        assert done.returncode == 0, done.stderr
        assert "usage: mediastack-repair" in done.stdout and f"{installed.parents[1]}" in " ".join(done.stdout.split())
    check = "import sys; sys.path.insert(0, sys.argv[1]); import %s.%s; print('ansible' in sys.modules)"
    command = [sys.executable, "-S", "-I", "-c", check % (repair_program.PACKAGE, repair_program.ENTRY), str(installed)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_every_controller_makes_the_same_bytes(monkeypatch):
    once = repair_program.program()
    repair_program.program.cache_clear()
    monkeypatch.setattr("time.time", lambda: 2_000_000_000)
    monkeypatch.setattr(zlib, "compress", lambda *_given: pytest.fail("what is packed depends on the zlib at hand"))
    assert repair_program.program() == once


def test_what_travels_is_the_program():
    entry = repair_program.entry("/srv/mediastack/compose")
    assert entry["path"] == "/srv/mediastack/compose/bin/mediastack-repair"
    assert (entry["mode"], entry["owner"], entry["secret"]) == ("0755", 0, False)
    assert zlib.decompress(base64.b64decode(entry["content"])) == repair_program.program()
    assert len(entry["content"]) < 200_000


@pytest.mark.parametrize("made", [repair_program, backup_program], ids=["repair", "backup"])
def test_it_holds_all_that_it_imports_and_python_3_8_reads_it(made):
    with zipfile.ZipFile(io.BytesIO(made.program())) as archive:
        assert archive.testzip() is None
        sources = {name: archive.read(name).decode() for name in archive.namelist()}
    held = {name[:-3].replace("/", ".") for name in sources}
    for path, source in sources.items():
        for name, at_the_top in imports(source):
            if name.startswith(repair_program.PACKAGE + "."):
                # What is imported late belongs to other verbs, or is imported at the top elsewhere.
                assert name in held or not at_the_top, (path, name)
            else:
                assert name.partition(".")[0] in STANDARD, (path, name)
    late = f"{repair_program.PACKAGE}.carry_out"
    assert late in held or made is backup_program, "a repair carries out plans; meanwhile its file may be replaced"


def test_imports_in_every_spelling_are_found(tmp_path):
    (tmp_path / "a.py").write_text(
        f"from {repair_program.PACKAGE} import b\nfrom {repair_program.PACKAGE} import (\n    c,  # why (really)\n"
        f"    d,\n)\nfrom {repair_program.PACKAGE}.e import (\n    X,\n)\nfrom {repair_program.PACKAGE} import f as g\n"
        f"def late():\n    from {repair_program.PACKAGE} import h\n"
    )
    for name in "bcdefgh":
        (tmp_path / f"{name}.py").write_text("")
    assert set(repair_program.modules("a", tmp_path)) - {"g"} == set("abcdef")
