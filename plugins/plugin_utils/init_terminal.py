# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Questions at the terminal of ansible-playbook: text, secrets, yes or no, one of several."""

from __future__ import annotations

from ansible import constants
from ansible.errors import AnsibleError, AnsiblePromptInterrupt, AnsiblePromptNoninteractive
from ansible.utils.display import Display

from .closest import hint

NO_TERMINAL = (
    "init asks questions, and there is no terminal to ask at. Run it in one, or give the answers in a file: "
    "-e @answers.yml (docs/init.md lists what goes into it)."
)
INTERRUPTED = "Interrupted. Nothing was changed."
NOTHING = "-"


class Interrupted(Exception):
    """Somebody pressed Ctrl-C at a question."""


class NoTerminal(Exception):
    """There is nobody to ask."""


class Terminal:
    """Asks and tells.

    Parameters:
        display: Ansible's display, which brings prompts from a worker to the terminal.
    """

    def __init__(self, display=None):
        self._display = display or Display()

    def say(self, text="", warn=False):
        """Print a line, or several."""
        self._display.display(text, color=constants.COLOR_WARN if warn else None)

    def title(self, text):
        """Begin a part."""
        self.say(f"\n{text}\n{'-' * len(text)}")

    def wrong(self, sentences):
        """Say why an answer was not taken."""
        for sentence in [sentences] if isinstance(sentences, str) else sentences:
            self._display.display(f"  ! {sentence}", color=constants.COLOR_ERROR)

    def text(self, question, default="", secret=False, kept=False):
        """One line, without the blanks around it.

        Parameters:
            question: without the default, which is shown in brackets.
            default: what Enter stands for.
            secret: nothing of it is shown.
            kept: Enter keeps a value that is not shown.
        Raises:
            Interrupted, NoTerminal.
        """
        shown = "keep the present one" if kept else default
        while True:
            answer = self._read(f"{question} [{shown}]:" if shown else f"{question}:", secret)
            if answer is None:
                continue
            answer = answer.strip()
            if secret:
                self.say("  > (hidden)" if answer else "  > (kept)" if kept else "  >")
            else:
                self.say(f"  > {answer or default}")
            return answer or default

    def yes(self, question, default=True):
        """Yes or no."""
        while True:
            answer = self.text(f"{question} (yes/no)", "yes" if default else "no").lower()
            if answer in ("y", "yes", "n", "no"):
                return answer.startswith("y")
            self.wrong("Please answer yes or no.")

    def choice(self, question, options, default):
        """One of several names, by name or number.

        Parameters:
            options: `{name: words about it}`.
        """
        width = max(map(len, options))
        for number, (name, about) in enumerate(options.items(), 1):
            self.say(f"  {number:>2}  {name:<{width}}  {about}".rstrip())
        names = list(options)
        while True:
            answer = self.text(question, default).lower()
            if answer in options:
                return answer
            if answer.isdigit() and 1 <= int(answer) <= len(names):
                self.say(f"    {names[int(answer) - 1]}")
                return names[int(answer) - 1]
            self.wrong(f'"{answer}" is none of these. {hint(answer, names)}')

    def _read(self, question, secret):
        try:
            raw = self._display.prompt_until(question, private=secret)
        except AnsibleError as error:
            if isinstance(error, AnsiblePromptInterrupt):
                raise Interrupted from None
            if isinstance(error, AnsiblePromptNoninteractive):
                raise NoTerminal from None
            raise
        try:
            answer = raw.decode("utf-8")
        except UnicodeDecodeError:
            answer = "\0"
        if not answer.isprintable():
            self.wrong("That held a key that types nothing, such as an arrow. Once more, please.")
            return None
        return answer
