# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run's messages about one host: what is due by the record on the host, sending it, writing down what came through.

What a host cannot remember, that it cannot be reached, this controller does, in `$XDG_STATE_HOME/mediastack/notify`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid

from ansible.errors import AnsibleConnectionFailure
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.module_utils import notify_state
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError

from . import bundle, notify_conditions, notify_send, notify_words, setting_mask, settings, table

MODULE = "homelab.mediastack.stack_notify"
URLS, EVENTS = "mediastack_notify_urls", "mediastack_notify_events"

display = Display()


class Teller:
    """One run's messages about one host."""

    def __init__(self, action, task_vars, values):
        self._action, self._task_vars, self._values = action, task_vars, values
        self.host = task_vars["inventory_hostname"]
        #: How many messages were taken.
        self.told = 0
        self._path = bundle.paths_of(values)["project"]
        place = f"{values['mediastack_project_name']} {self._path}"
        self._channels = {notify_send.channel_id(url, place): url for url in values[URLS]}
        self._claim = uuid.uuid4().hex

    @contextlib.contextmanager
    def whatever_happens(self):
        """No trouble with notifications ends a run, or says more than its kind: an address could be in its text."""
        try:
            yield
        except FileError as error:
            self._warn(f"notifications: {table.clean(error)}")
        except AnsibleConnectionFailure:
            self._warn("notifications: the host was lost before anything could be told; the next run tells")
        except Exception as error:
            self._warn(f"notifications: nothing was told ({type(error).__name__}); the next run tries again")

    def tell(self, findings):
        """Tell what the host's record says is due, and that it can be reached again."""
        self.tell_here(notify_conditions.of_reached())
        found = self._module(state="compare", findings=self._fit(findings), **self._about())
        if found and found["due"]:
            self._module(state="commit", outcomes=self._send(found["due"]))

    def tell_here(self, findings):
        """The same with the record that this controller keeps of hosts that it cannot reach."""
        directory = _state_directory()
        store = notify_state.Store(directory, self._record_name())
        if not findings["bad"] and not os.path.exists(store.path):
            return
        os.makedirs(directory, mode=0o700, exist_ok=True)
        due = store.compare(self._fit(findings), list(self._channels), self._values[EVENTS], self._claim)
        if due:
            store.commit(self._send(due), self._claim)

    def _about(self):
        return {"channels": list(self._channels), "events": self._values[EVENTS]}

    def _module(self, **arguments):
        """Run the module; None where it could not say anything, which was told then."""
        task = self._action._task
        check, task.check_mode = task.check_mode, False
        try:
            result = self._action._execute_module(
                module_name=MODULE,
                module_args={"project_path": self._path, "claim": self._claim, **arguments},
                task_vars=self._task_vars,
            )
        finally:
            task.check_mode = check
        if result.get("failed"):
            self._warn(f"notifications: {table.clean(str(result.get('msg')).strip().splitlines()[0])}")
            return None
        return result

    def _send(self, due):
        """Send; returns what came through, for `commit`."""
        texts = {self._channels[name]: notify_words.message(self.host, changes) for name, changes in due.items()}
        outcome = notify_send.send(texts)
        through = {}
        for name, changes in due.items():
            why = outcome[self._channels[name]]
            through[name] = [] if why else changes
            self.told += not why
            if why:
                label = notify_send.label(self._channels[name])
                self._warn(f"notifications: {label} was not told: {why}; the next run tries again")
        return through

    def _fit(self, findings):
        """The findings with words that may leave this controller."""
        if not findings["bad"] and not findings["events"]:
            return findings
        secret = [name for name, option in settings.load_spec().items() if option.get("no_log")]
        known = setting_mask.secrets_of(self._task_vars, self._values, secret)
        known |= notify_send.passwords(self._values[URLS])
        mask = setting_mask.SettingMask(known, secret).text

        def fit(one):
            return {
                **one,
                "title": notify_words.clean(one["title"], mask),
                "words": notify_words.clean(one["words"], mask),
            }

        return {
            **findings,
            "bad": {key: fit(one) for key, one in findings["bad"].items()},
            "events": [fit(one) for one in findings["events"]],
        }

    def _record_name(self):
        """Of this host of this inventory."""
        where = f"{self._task_vars.get('inventory_dir')}\n{self.host}"
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", self.host)[:60].lstrip(".")
        return f"{name}-{hashlib.sha256(where.encode()).hexdigest()[:12]}.json"

    def _warn(self, words):
        display.warning(f"{self.host}: {words}")


def _state_directory():
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "mediastack", "notify")
