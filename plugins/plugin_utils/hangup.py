# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A terminal that goes away, or the user's ssh session with it, ends a run as Ctrl-C does.

Ansible's main process dies of SIGHUP at once. Its workers lead sessions of their own and do not get it: one that waits
for an answer or for an editor would stay for ever.
"""

from __future__ import annotations

import os
import signal

# What a prompt of Ansible reads as Ctrl-C, unless the user has another key for that: then it ends by the signal.
_CTRL_C = b"\x03"


def end_with_terminal(end):
    """From now on a hang-up calls `end`, once. To be called in Ansible's main process, in its main thread.

    Nothing is done where SIGHUP is ignored (`nohup`) or is somebody else's.

    Args:
        end: function without arguments that ends the run soon; it must not wait.
    """
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL:
        return
    main = os.getpid()
    terminals = [number for number in (0, 1, 2) if _is_terminal(number)]

    def hung_up(number, _frame):
        if os.getpid() != main:
            # A worker before ansible-core 2.19, which is in the terminal's session: as if this were not here.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        signal.signal(number, signal.SIG_IGN)
        _replace(terminals)
        end()

    signal.signal(signal.SIGHUP, hung_up)


def _is_terminal(number):
    try:
        return os.isatty(number)
    except OSError:
        return False


def _replace(terminals):
    """Put something in the place of streams to a terminal that is gone.

    Writing to it is an error, which would end Ansible's thread for results; and a prompt that reads from it finds the
    end of the file again and again, and keeps the display locked.
    """
    for number in terminals:
        if number == 0:
            source, target = os.pipe()
            os.write(target, _CTRL_C)
        else:
            source = os.open(os.devnull, os.O_WRONLY)
        os.dup2(source, number)
        os.close(source)
