# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the wrappers of real programs share: the image's start, then the program in place of the wrapper."""

import os
import signal
import subprocess
import sys
import time

from . import core


class Real(core.App):
    """A real program started as its image starts it. Only faults of the start apply (refuse, exit, crash)."""

    refuse = 0.0

    def commands(self):
        """Return the argv lists of the program's processes; the first one is the app."""
        raise NotImplementedError

    def program_env(self):
        """Return the environment of the program."""
        return dict(self.env)

    def run(self):
        """Become the program; with several processes or a crash to come, watch over them. Returns the exit code."""
        active = core.begin(self)
        commands, env = self.commands(), self.program_env()
        if len(commands) == 1 and "crash" not in active:
            sys.stdout.flush()
            os.execvpe(commands[0][0], commands[0], env)
        children = [subprocess.Popen(command, env=env) for command in commands]
        stopping = []

        def stop(number, _frame):
            stopping.append(number)
            for child in children:
                child.send_signal(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        while True:
            pid, status = os.wait()
            if stopping or len(commands) == 1:
                break
            # s6 starts each of several services again, a second after it ended. It has to: on a busy machine, one start
            # of deluged in sixty ends with SIGSEGV.
            time.sleep(1)
            for number, child in enumerate(children):
                if child.pid == pid:
                    children[number] = subprocess.Popen(commands[number], env=env)
        stop(signal.SIGTERM, None)
        for child in children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
        return os.waitstatus_to_exitcode(status) & 0xFF
