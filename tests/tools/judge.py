#!/usr/bin/env python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What no linter looks for, in every file that git has or would take.

Paths of the machine that wrote it, muted linters, leftovers, large files, executables without a program line.
JUDGE_FORBIDDEN, a regular expression, adds words of the caller's own.
"""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LARGEST = 1_000_000

HERE = "|".join(re.escape(str(path)) for path in (ROOT, pathlib.Path.home()) if len(path.parts) > 1)

EVERYWHERE = {
    "a path of this machine": rf"(?<![\w.])({HERE})(?=[/\s\"':]|$)",
    "a file outside the repository": r"\.\./shared/",
    "a conflict marker": r"^(<{7}|>{7}) ",
    "work left over": r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b",
}
YAML = {
    "a muted linter": r"#\s*noqa|^\s*skip_list:|^\s*warn_list:|#\s*yamllint disable",
}
# Other people's files, as they are.
FOREIGN = ("LICENSE", "tests/fixtures/")


def tracked():
    """Yield the files that git has or would take, as paths below the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    listing = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout.decode()
    for name in filter(None, listing.split("\0")):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            yield name, path


def complaints(name, path):
    """Yield what is wrong with one file, as text."""
    if path.stat().st_size > LARGEST:
        yield f"{name}: {path.stat().st_size} bytes; what is that large belongs elsewhere"
    if re.fullmatch(r"tests/sanity/ignore-.*\.txt", name) and path.read_text(encoding="utf-8").strip():
        yield f"{name}: ansible-test's findings are repaired, not ignored"
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    if os.access(path, os.X_OK) and not text.startswith("#!"):
        yield f"{name}: executable, but has no #! line"
    if name.startswith(FOREIGN) or path == pathlib.Path(__file__).resolve():
        return
    rules = {**EVERYWHERE, **(YAML if path.suffix in (".yml", ".yaml") else {})}
    if os.environ.get("JUDGE_FORBIDDEN"):
        rules["a word from JUDGE_FORBIDDEN"] = f"(?i:{os.environ['JUDGE_FORBIDDEN']})"
    for what, pattern in rules.items():
        for number, line in enumerate(text.splitlines(), start=1):
            if pattern and re.search(pattern, line):
                yield f"{name}:{number}: {what}: {line.strip()[:120]}"


def main():
    """Print every complaint; return the exit code."""
    found = [text for name, path in tracked() for text in complaints(name, path)]
    print("\n".join(found) or "nothing found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
