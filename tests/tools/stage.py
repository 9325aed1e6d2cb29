#!/usr/bin/env python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the stages of a long make target, time them, and sum them up.

stage.py run [--quiet|--block] DIRECTORY NAME COMMAND...   run it, note result and time
    --quiet: its output on failure only; --block: its output in one piece when it has ended, for stages beside others
stage.py summary DIRECTORY          the table, the counts of the JUnit files there; exit 1 on a failure

A failed stage does not keep the next from running: one run shows everything that is wrong.
"""

import json
import pathlib
import resource
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

OUTCOMES = ("failures", "errors", "skipped")


def run(directory, name, command, option):
    """Run *command* as the stage *name* and append its result to the directory's stages.jsonl."""
    print(f"──── {name}", flush=True)
    started = time.time()
    streams = {"stdin": subprocess.DEVNULL}
    if option:
        streams.update(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    done = subprocess.run(command, check=False, **streams)
    ended = time.time()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    head = f"──── {name}: {verdict(done.returncode)} in {ended - started:.1f} s, {cpu:.0f} s of a core\n".encode()
    shown = done.stdout if option == "--block" or (option and done.returncode) else b""
    sys.stdout.buffer.write(shown + head)
    sys.stdout.buffer.flush()
    with (directory / "stages.jsonl").open("a", encoding="utf-8") as results:
        result = {"name": name, "rc": done.returncode, "started": started, "ended": ended, "cpu": cpu}
        results.write(json.dumps(result) + "\n")


def verdict(returncode):
    """Return the word for an exit code."""
    return "ok" if returncode == 0 else f"FAILED (exit {returncode})"


def counts(directory):
    """Return passed, failed and skipped tests over the JUnit files of *directory*."""
    total = dict.fromkeys(("tests", *OUTCOMES), 0)
    for report in directory.glob("*.xml"):
        for suite in ET.parse(report).getroot().iter("testsuite"):
            for key in total:
                total[key] += int(suite.get(key, 0))
    failed = total["failures"] + total["errors"]
    return total["tests"] - failed - total["skipped"], failed, total["skipped"]


def summary(directory):
    """Print the stages and the counts; return the exit code."""
    stages = [json.loads(line) for line in (directory / "stages.jsonl").read_text(encoding="utf-8").splitlines()]
    print()
    for stage in stages:
        seconds = f"{stage['ended'] - stage['started']:>7.1f} s {stage['cpu']:>7.0f} s of a core"
        print(f"  {stage['name']:<24} {seconds}  {verdict(stage['rc'])}")
    # Stages may stand beside each other: the time is the clock's, not their sum.
    seconds = max(stage["ended"] for stage in stages) - min(stage["started"] for stage in stages)
    bad = [stage["name"] for stage in stages if stage["rc"]]
    passed, failed, skipped = counts(directory)
    words = [f"{len(bad)} of {len(stages)} stages failed: {', '.join(bad)}" if bad else f"{len(stages)} stages ok"]
    if passed or failed or skipped:
        words.insert(0, f"{failed} failed, {passed} passed, {skipped} skipped")
    print(f"\n==== {'; '.join(words)} in {seconds:.1f}s ====")
    return 1 if bad else 0


def main(arguments):
    """Dispatch on the first argument; return the exit code."""
    verb, *rest = arguments
    option = rest.pop(0) if rest[0].startswith("--") else None
    directory, *rest = rest
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if verb == "summary":
        return summary(directory)
    name, *command = rest
    run(directory, name, command, option)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
