# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What several files of cells do: the change that a run makes, the kills, the registry's faults, a second run."""

from __future__ import annotations

import itertools
import subprocess

import fault_inject as inject

REGISTRY = {
    "429": "registry says 429",
    "503": "registry says 503",
    "hang": "registry hangs",
    "truncated": "registry breaks off",
    "dead": "registry is dead",
}
HANG_SECONDS = 6
WHOLE, MODULE, COMPOSE, TERM = (
    "kill -9 of the whole run",
    "kill -9 of the module on the host",
    "kill -9 of compose",
    "SIGTERM to the whole run",
)
KILLS = {
    WHOLE: inject.kill_all,
    MODULE: inject.kill_module,
    COMPOSE: inject.kill_compose,
    TERM: inject.terminate,
}
SECOND = "a second run at once"
_words = itertools.count(1)


# -- what the inventory or the registry asks for -----------------------------------------------------------------------


def changed(run):
    """The inventory asks for another container of the target, which takes two seconds to stop."""
    run.stack.set(faults_word=f"word {next(_words)}", faults_stop="2")


def selected(run):
    """The inventory asks for a service that nobody has, whose release has to be pulled."""
    run.stack.select()


def released(run, fault=""):
    """The tag of the target moves to a new release in the registry; its database is of the next version."""
    return run.stack.publish(run.target, fault)


def other_generation(cells):
    """Arguments for going to the generation that is not the present one, whichever that is by now."""
    record = cells.stack.state("generations")
    numbers = sorted(one["number"] for one in record["generations"] if one["number"] != record["current"])
    return "-e", f"generation={numbers[-1]}"


# -- steps -------------------------------------------------------------------------------------------------------------


def pull_waits(run):
    """Wait until a pull has met the fault of the registry."""
    inject.until(run, run.stack.proxy.met.is_set, "a request to the registry")


def at(step):
    """Wait until the journal says so."""
    return lambda run: inject.journal_at(run, step)


# -- what happens ------------------------------------------------------------------------------------------------------


def nothing(_run):
    """What is to happen has happened before."""


def killed(kill, wait):
    """Wait for the step, kill, and let the registry answer again."""

    def act(run):
        wait(run)
        kill(run)
        run.wait()

    return act


def hung(run):
    """The registry says nothing for a while, and hangs up."""
    pull_waits(run)
    try:
        run.process.wait(HANG_SECONDS)
    except subprocess.TimeoutExpired:
        run.stack.proxy.mend()


def broken(kind, path=""):
    """Have the registry fail so, until the run is over."""

    def prepare(run):
        run.stack.proxy.fail(kind, path)
        run.after(run.stack.proxy.mend)

    return prepare


def both(*parts):
    """Prepare several things."""

    def prepare(run):
        for part in parts:
            part(run)

    return prepare


def second(verb, wait, seen):
    """Start another run when the step has come; `seen` gets its completed process."""

    def act(run):
        wait(run)
        seen.append(run.stack.play(verb, check=False))

    return act


def steal(wait):
    """Take the target's port as soon as its container lets go of it."""

    def act(run):
        wait(run)
        inject.steal_port(run, run.stack.ports[run.target])

    return act


def config_gone(run):
    """The target's config directory is somewhere else until the run is over."""
    folder = run.stack.config / run.target
    away = folder.with_name(f".{run.target}-away")
    folder.rename(away)

    def back():
        if folder.exists():
            # What a run has made in its place has nothing of the user's in it.
            folder.rename(folder.with_name(f".{run.target}-empty"))
        away.rename(folder)

    run.after(back)
