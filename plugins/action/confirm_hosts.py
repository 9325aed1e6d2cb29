# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.confirm_hosts: nothing irreversible happens to a host whose name was not written."""

from __future__ import annotations

from ansible.errors import AnsiblePromptInterrupt, AnsiblePromptNoninteractive
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils.closest import hint

display = Display()


class ActionModule(ActionBase):
    """Asks on the controller; nothing is sent to a host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Every host's name from `confirmed`, else asked for one after the other; fail unless all are there."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "hosts": {"type": "list", "elements": "str", "required": True},
                "what": {"type": "str", "required": True},
                "confirmed": {"type": "str", "default": ""},
            }
        )
        hosts, what = arguments["hosts"], arguments["what"]
        if self._task.check_mode:
            return {"changed": False, "msg": f"a run asks for {', '.join(hosts)} by name before it is to {what}"}
        given = [name.strip() for name in arguments["confirmed"].split(",") if name.strip()]
        known = set(task_vars["groups"]["all"]) | set(hosts)
        unknown = [f"confirm={name}: there is no such host. {hint(name, known)}" for name in given if name not in known]
        if unknown:
            return _refused("\n".join(unknown))
        if given:
            missing = [host for host in hosts if host not in given]
            if missing:
                return _refused(
                    f"to {what} on {', '.join(missing)} needs -e confirm={','.join(hosts)}, or --limit without it"
                )
        else:
            for host in hosts:
                refusal = _ask(host, what, hosts)
                if refusal:
                    return _refused(refusal)
        return {"changed": False, "msg": f"confirmed: {', '.join(hosts)}"}


def _ask(host, what, hosts):
    """Ask for one name; why it is not confirmed, or None."""
    try:
        answer = display.prompt_until(
            f"{host}: this is to {what}. It cannot be undone. Type the host's name, {host}, to go on:"
        )
    except AnsiblePromptInterrupt:
        return "interrupted"
    except AnsiblePromptNoninteractive:
        return f"to {what} asks for the host's name at a terminal; without one, write -e confirm={','.join(hosts)}"
    text = answer.decode("utf-8", "replace").strip()
    return None if text == host else f"{text!r} is not {host!r}, the host's name"


def _refused(why):
    return {"failed": True, "changed": False, "msg": f"Nothing was touched: {why}"}
