# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.notify: try out the channels of a host, or tell a condition that somebody else knows."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    deployment,
    notify_send,
    notifying,
    settings,
)

display = Display()

NOBODY = (
    "mediastack_notify_urls is empty, so there is nobody to tell. Set it to addresses such as "
    "ntfy://ntfy.example/topic, in a vault"
)


class ActionModule(ActionBase):
    """Sends from the controller; with a condition one or two module executions on the host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        """Send a test message, failing where a channel takes none; with `condition` tell what is new."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "condition": {"type": "str", "default": ""},
                "state": {"type": "str", "choices": ["", "bad", "good"], "default": ""},
                "message": {"type": "str", "default": ""},
            }
        )
        name, state, host = arguments["condition"], arguments["state"], task_vars["inventory_hostname"]
        if bool(name) != bool(state):
            lacks, given = ("state", "condition") if name else ("condition", "state")
            return _failed(f"{given} is given and {lacks} is not: both, or none for a test message")
        try:
            values = settings.resolve(task_vars, self._templar).values
        except settings.SettingsError as error:
            return _failed(deployment.failure(error))
        urls = values[notifying.URLS]
        if not urls:
            # A condition is told by programs, in places where nobody may want to be told.
            return {"changed": False, "skipped": True, "msg": NOBODY} if name else _failed(NOBODY)
        if self._task.check_mode:
            return {"changed": False, "msg": "check mode: nothing is sent", "sent": 0}
        if not name:
            return self._try_out(host, urls)
        sent = notifying.tell(self, task_vars, values, "from_outside", name, state == "bad", arguments["message"])
        return {"changed": sent > 0, "sent": sent, "msg": f"{sent} messages sent"}

    @staticmethod
    def _try_out(host, urls):
        text = ("info", f"{host}: notifications work", f"This is a test. Troubles of {host} will be told here.")
        sent = notify_send.send(dict.fromkeys(urls, text))
        outcome = [(notify_send.label(url), sent[url]) for url in urls]
        wrong = [f"{label}: {why}" for label, why in outcome if why]
        good = [label for label, why in outcome if not why]
        if good:
            display.display(f"{host}: sent a test message by {', '.join(good)}")
        if wrong:
            return _failed(f"{len(wrong)} of {len(outcome)} channels took no message: {'; '.join(wrong)}")
        return {"changed": True, "sent": len(good), "msg": f"{len(good)} messages sent"}


def _failed(message):
    return {"failed": True, "changed": False, "msg": message}
