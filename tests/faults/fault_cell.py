# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One cell of the matrix: a verb runs, something happens, all is repaired, one `site` follows; what was seen is a row.

cells.cell("update", "kill -9 of Ansible", "recreating", act=…, prepare=…)
"""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
import time
from typing import NamedTuple

import fault_data
import fault_results
from fault_inject import NeverCame, kill_all
from fault_polls import Polls
from fault_stack import TARGET
from stack_harness import processes_with

RUN_SECONDS = 150
DIRECTORY = "works on a directory that is not there any more"
LOOK_SECONDS = 1.2
_serial = itertools.count(1)
_FATAL = re.compile(r"(?:fatal: \[\w+\]: FAILED! => |\[ERROR\]: )(.*)")
# An error that no user should have to read.
_RAW = re.compile(
    r"Unsupported parameters|Traceback \(most recent|MODULE FAILURE|unexpected exception|object has no attr", re.I
)
_SAID = re.compile(r"^box: (?!VPN OFF|images are unlocked)(.*)")


class Seen(NamedTuple):
    """What one cell has shown; see fault_results for the keys of a row."""

    row: dict
    #: What is wrong with it: nothing in a cell that is as it must be.
    problems: list


class Run:
    """One run of a playbook to which something happens."""

    def __init__(self, stack, target=TARGET):
        """target: the service that the run changes."""
        self.stack, self.target = stack, target
        self.mark = f"{stack.project}-{next(_serial)}"
        self.before_ids = {service: one["Id"] for service, one in stack.containers().items()}
        self.process = None
        self._after = contextlib.ExitStack()
        self._text = ""

    def after(self, undo):
        """Call `undo()` when the run and what came of it have been looked at."""
        self._after.callback(undo)

    def start(self, verb, *arguments):
        """Start the playbook."""
        self.process = self.stack.begin(verb, *arguments, mark=self.mark)

    def output(self):
        """What it has printed by now."""
        if self.process is not None and not self.process.log.closed:
            self.process.log.seek(0)
            self._text = self.process.log.read()
        return self._text

    def wait(self, seconds=RUN_SECONDS):
        """Wait for its end; whether it came in time. A run that does not end is killed."""
        try:
            self.process.wait(seconds)
            # A docker program that it started may go on without it.
            deadline = time.monotonic() + 30
            while processes_with(self.mark) and time.monotonic() < deadline:
                time.sleep(0.02)
            return True
        except subprocess.TimeoutExpired:
            return False
        finally:
            kill_all(self)
            self.process.wait()
            self.output()

    def said(self):
        """The first line of the error; else the last thing that it told."""
        found = _FATAL.search(self._text)
        if found:
            lines = [line.strip() for line in self._text[found.start(1) :].splitlines()]
            first = lines[0]
            more = next((line for line in lines[1:] if line), "")
            return f"{first} {more}" if first.endswith(":") and more else first
        told = [match[1] for line in self._text.splitlines() if (match := _SAID.match(line))]
        return told[-1] if told else "nothing"

    def mend(self):
        """Undo what happened, as far as it lasts."""
        self._after.close()

    def close(self):
        """The log is read."""
        self.process.log.close()


class Cells:
    """The cells that share a stack."""

    def __init__(self, stack):
        """stack: a FaultStack that is well."""
        self.stack = stack
        #: Whether a cell has left the stack in a state that the next one cannot begin with.
        self.spoiled = False

    def unwell(self, images=None):
        """What is wrong with the stack, by Docker and HTTP alone: [] = nothing. images: service → id that must run."""
        first = self.stack.containers()
        # What ends again and again does so within this time.
        with Polls(self.stack.asked, self.stack.address) as polls:
            time.sleep(LOOK_SECONDS)
        second = self.stack.containers()
        found = [f"{service} is missing" for service in self.stack.expected if service not in second]
        for service, one in second.items():
            state = one["State"]
            if service not in self.stack.expected:
                found.append(f"{service} should not be there")
            elif state["Status"] != "running":
                found.append(f"{service} is {state['Status']}")
            elif first.get(service, {}).get("State", {}).get("StartedAt") != state["StartedAt"]:
                found.append(f"{service} restarted")
            elif service in self.stack.asked and polls.gap(service) > 0:
                found.append(f"{service} does not answer")
            elif service in self.stack.databases and not self.stack.in_its_directory(one):
                found.append(f"{service} {DIRECTORY}")
            elif images and service in images and one["Image"] != images[service]:
                found.append(f"{service} runs another image than it should")
        return found

    def read(self):
        """service → its Contents."""
        return self.stack.read()

    def cell(self, verb, fault, step, act, arguments=(), prepare=None, target=TARGET, ok=False):
        """Run one cell; its row is written down, and AssertionError says what was not as it must be.

        act(run): does it, while the run is under way; arguments: of the playbook; prepare(run): before it begins;
        target: the service that the run changes; ok: the run must say ok.
        """
        began = time.monotonic()
        run = Run(self.stack, target)
        before = {name: found for name, found in self.read().items() if found}
        images = self.stack.images()
        row = {"verb": verb, "fault": fault, "step": step}
        problems = []
        if prepare:
            prepare(run)
        asked = {name: port for name, port in self.stack.asked.items() if name in images}
        with Polls(asked, self.stack.address) as polls:
            run.start(verb, *arguments)
            try:
                act(run)
                ended = run.wait()
            except NeverCame as error:
                problems.append(f"the fault did not happen: {error}")
                ended = run.wait(1)
            rc = run.process.returncode
            if not ended:
                problems.append(f"the run did not end within {RUN_SECONDS} s")
            row |= {"rc": rc, "said": run.said(), "raw": bool(_RAW.search(run.output()))}
            if rc < 0 or rc in (137, 143):
                row["said"] = f"(killed) {row['said']}"
            # What is well now?
            unwell = self.unwell()
            row["well"] = not unwell
            row["false_greens"] = [f"{verb} said ok: {'; '.join(unwell)}"] if rc == 0 and unwell else []
            # Which directory an app works on is none of what `status` is about.
            bad = [words for words in unwell if DIRECTORY not in words]
            if bad and self.stack.play("status", check=False).returncode == 0 and self.unwell():
                row["false_greens"].append(f"status said ok: {'; '.join(bad)}")
            run.mend()
            row |= self._repaired(unwell, images, row["false_greens"])
        # Now all of it is over.
        after = self.read()
        row |= {
            "gap": polls.gap(target) if target in asked else 0.0,
            "others": max((polls.gap(name) for name in asked if name != target), default=0.0),
            "hashes": {name: [_short(before[name]), _short(after.get(name))] for name in before},
            "lost_rows": 0,
            "lost_bytes": 0,
            "seconds": round(time.monotonic() - began, 1),
        }
        lost = fault_data.lost(before, after, self.stack.kept)
        row |= {"lost_rows": lost.rows, "lost_bytes": lost.bytes}
        problems += self._judge(row, rc, ok)
        row["problems"] = problems
        fault_results.save(row)
        self.spoiled = bool(problems)
        output = run.output()
        run.close()
        assert not problems, "\n".join([*problems, "-- the run --", output[-5000:]])
        return row

    def _repaired(self, unwell, images, false_greens):
        """One `site`: keys of the row."""
        before = {name: (one["Id"], one["State"]["StartedAt"]) for name, one in self.stack.containers().items()}
        journal = self.stack.state("journal")
        done = self.stack.play("site", check=False)
        unwell_after = self.unwell()
        if done.returncode == 0 and unwell_after:
            false_greens.append(f"site said ok afterwards: {'; '.join(unwell_after)}")
        told_of_it = done.returncode != 0 and "rolled back" in done.stdout and not unwell_after
        if told_of_it:
            # It has finished the way back of what was interrupted, and fails once to say so.
            done = self.stack.play("site", check=False)
        after = {name: (one["Id"], one["State"]["StartedAt"]) for name, one in self.stack.containers().items()}
        untouched = before == after and not journal
        converged = done.returncode == 0 and not unwell_after
        told = "" if converged else f"site ended with {done.returncode}: {done.stdout[-2500:]}"
        return {
            "converged": converged,
            "by": "itself" if untouched and not unwell else "site, which tells of it" if told_of_it else "site",
            "unwell_after": unwell_after,
            "site_said": told,
            "leftovers": self.stack.leftovers(),
            "image": "new" if self.stack.images().get(TARGET) != images.get(TARGET) else "old",
        }

    def _judge(self, row, rc, ok):
        problems = [f"not readable: {row['said']}"] if row["raw"] else []
        if not row["converged"]:
            problems.append(f"not converged: {row['unwell_after']} {row['site_said']}")
        if row["lost_bytes"]:
            problems.append(f"{row['lost_rows']} rows lost, {row['lost_bytes']} bytes")
        changed = [name for name, (old, new) in row["hashes"].items() if old != new]
        if changed:
            problems.append(f"databases changed: {', '.join(changed)}")
        problems += row["false_greens"] + [f"left: {name}" for name in row["leftovers"]]
        if ok and rc != 0:
            problems.append(f"ended with {rc}: {row['said']}")
        return problems


def _short(contents):
    return contents.digest[:10] if contents else "unreadable"
