# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Following the logs of one host: short looks, one after the other, through whatever connection there is.

Nothing stays on the host between two looks. Where each look ended is known here only, so after an outage the next one
goes on from there.
"""

from __future__ import annotations

import os
import shlex
import threading
import time

from ansible.errors import AnsibleConnectionFailure

from . import log_program

# Between two looks, and a little more for every host that is followed beside this one.
PAUSE, PAUSE_MORE = 0.3, 0.02
# While the host does not answer.
PAUSE_OUTAGE = 3.0
# A look that takes longer is given up; the next one tries again.
SECONDS = 30


class Asker:
    """Runs the program of `log_program` on the host of an action plugin."""

    def __init__(self, action, python, wish):
        """`action`: the ActionBase; `python`: the host's Python; `wish`: fields of `log_reader.Wish`."""
        self._action, self._python = action, python
        self._by_input = _takes_input(action._connection)
        # A file outlives a controller that is killed: no secret of the inventory stands in it.
        self._program = log_program.build(wish if self._by_input else {**wish, "mask": []})
        self._wish = wish
        self._works, self._file = False, None

    def ask(self, positions):
        """The answer to one look.

        Raises:
            AnswerError, AnsibleConnectionFailure: there is none.
        """
        word = log_program.argument(positions)
        if self._by_input:
            done = self._run(f"{shlex.quote(self._python)} - {word}", self._program)
            try:
                answer = log_program.answer(done["rc"], done["stdout"], done["stderr"])
                self._works = True
                return answer
            except log_program.AnswerError:
                if self._works:
                    # An outage: the way is not to blame.
                    raise
                # A sudo that asks for a terminal, say: as a file it may go.
                self._by_input, self._program = False, log_program.build({**self._wish, "mask": []})
        if not self._file:
            self._file = self._send()
        done = self._run(f"{shlex.quote(self._python)} {shlex.quote(self._file)} {word}")
        return log_program.answer(done["rc"], done["stdout"], done["stderr"])

    @property
    def masks_there(self):
        """Whether the host masks the inventory's secrets too; else the caller has to."""
        return self._by_input

    def _run(self, command, data=None):
        return self._action._low_level_execute_command(command, in_data=data)

    def _send(self):
        action = self._action
        directory = action._make_tmp_path()
        path = action._connection._shell.join_path(directory, "mediastack_logs.py")
        action._transfer_data(path, self._program)
        action._fixup_perms2((directory, path))
        return path


def _takes_input(connection):
    """Whether a program may come by standard input: the plugin passes it on, and no terminal is needed for become."""
    if not connection.has_pipelining:
        return False
    become = connection.become
    if not become:
        return True
    pipelining = getattr(connection, "is_pipelining_enabled", None)
    if pipelining and pipelining(False):
        return True
    # The local connection gives sudo a terminal for its question, and then has no other standard input.
    return become.name == "sudo" and not (connection.transport == "local" and become.expect_prompt())


class Follower:
    """Looks again and again, and hands over what is new."""

    def __init__(self, ask, show, tell, hosts=1, sleep=time.sleep):
        """`ask(positions)`: a look; `show(answer)`: prints its lines; `tell(text)`: a sentence for the user.

        `hosts`: how many are followed at once.
        """
        self._ask, self._show, self._tell = ask, show, tell
        self._pause = PAUSE + PAUSE_MORE * (hosts - 1)
        self._sleep, self._said = sleep, {}

    def run(self, positions):
        """Go on for ever; Ctrl-C ends the process that this runs in."""
        outage = None
        while True:
            try:
                answer = self._ask(positions)
                reason = answer.get("error")
            except (AnsibleConnectionFailure, log_program.AnswerError) as error:
                reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            if reason:
                if reason != outage:
                    self._tell(f"{reason}; trying again until it answers")
                outage = reason
                self._sleep(PAUSE_OUTAGE)
                continue
            if outage:
                self._tell("it answers again")
                outage = None
            positions = answer["positions"]
            self._show(answer)
            self._troubles(answer["troubles"])
            if not answer["more"]:
                self._sleep(self._pause)

    def _troubles(self, troubles):
        """Tell what is new among them; what is over may come again."""
        for service, reason in troubles.items():
            if self._said.get(service) != reason:
                self._tell(f"{service}: {reason}")
        self._said = dict(troubles)


def end_with_parent(pause=1.0):
    """End this process, whatever it is at, when the one that started it is gone; looked at every `pause` seconds.

    A worker that waits for a killed main process to take its lines would wait for ever.
    """
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(pause)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
