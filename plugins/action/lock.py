# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.lock: from tags to digests, and the lock file beside the inventory."""

from __future__ import annotations

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    deployment,
    lock_file,
    lock_outcome,
    lock_place,
    lock_plan,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.plain_values import plain
from ansible_collections.homelab.mediastack.plugins.plugin_utils.registry_errors import RequestsMissing

display = Display()
GROUP = "mediastack"


class ActionModule(ActionBase):
    """Works on the controller, once a play; nothing is sent to a host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Resolve, or write what was resolved."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "mode": {"type": "str", "choices": ["resolve", "write"], "default": "resolve"},
                "images": {"type": "dict", "default": {}},
                "surveys": {"type": "dict", "default": {}},
                "from_lock": {"type": "bool", "default": False},
                "lock_only": {"type": "bool", "default": False},
                "allow_major": {"type": "bool", "default": False},
                "retry_failed": {"type": "bool", "default": False},
                "minimum_age": {"type": "int", "default": 0},
                "write": {"type": "bool", "default": False},
                "lock": {"type": "dict"},
                "outcomes": {"type": "dict"},
            },
            required_if=[("mode", "resolve", ["images"]), ("mode", "write", ["lock"])],
        )
        arguments = plain(arguments)
        if arguments["mode"] == "write":
            path = lock_file.path_of(task_vars.get("inventory_dir"))
            return self._write_passed(path, arguments["lock"], arguments["outcomes"])
        try:
            path = lock_file.path_of(lock_place.directory_of(arguments["images"], task_vars))
            return self._resolve(path, arguments, task_vars)
        except (lock_plan.PlanError, lock_file.LockFileError, RequestsMissing) as error:
            return {"failed": True, "changed": False, "msg": deployment.failure(error)}

    def _resolve(self, path, arguments, task_vars):
        lock = lock_file.read(path)
        writes = arguments["lock_only"] or arguments["write"]
        if writes and path is None:
            lock_file.check_writable(path)
        request = lock_plan.Request(
            images=arguments["images"],
            surveys=arguments["surveys"],
            from_lock=arguments["from_lock"],
            lock_only=arguments["lock_only"],
            allow_major=arguments["allow_major"],
            retry_failed=arguments["retry_failed"],
            minimum_age=arguments["minimum_age"],
            prune=_is_whole(arguments["images"], task_vars),
        )
        plan = lock_plan.plan(request, lock)
        if (plan.fresh or plan.drop) and not self._task.check_mode:
            # The playbook writes when hosts have changed: too late to find out that it cannot.
            lock_file.check_writable(path)
        lock_file.check_readable(path or lock_file.NAME, plan.lock)
        for sentence in plan.messages:
            display.display(sentence)
        for sentence in plan.held:
            display.display(sentence, color=constants.COLOR_WARN)
        document = {
            "path": path,
            "text": lock_file.text(plan.lock),
            "entries": [entry.as_dict() for entry in plan.fresh],
            "drop": [list(key) for key in plan.drop],
            "targets": plan.targets,
        }
        result = {
            "changed": False,
            "source": plan.source,
            "targets": plan.targets,
            "pending": plan.pending,
            "held": plan.held,
            "refused": plan.refused,
            "failed_before": plan.failed,
            "messages": plan.messages,
            "lock": document,
        }
        return {**result, **self._write(path, document)} if writes else result

    def _write_passed(self, path, document, outcomes):
        """Write what hosts have passed their gate with; without `outcomes` everything."""
        try:
            return self._write(path, document if outcomes is None else lock_outcome.passed(document, outcomes))
        except lock_file.LockFileError as error:
            again = "What hosts were changed to stays, but it is not locked. Mend that, and run update again."
            return {"failed": True, "changed": False, "msg": f"{error}\n{again}"}

    def _write(self, path, document):
        """Put what was resolved into the file as it is now: somebody may have changed another entry meanwhile."""
        before = lock_file.read(path)
        entries = [lock_file.Entry(**entry) for entry in document.get("entries") or []]
        drop = [tuple(key) for key in document.get("drop") or []]
        after = lock_file.merged(before, entries, drop)
        # A file that says the same in other words, as a person writes it, is left as it is.
        changed = after.entries != before.entries
        result = {"changed": changed, "path": path}
        if changed:
            result["diff"] = {
                "before": lock_file.text(before) if before else "",
                "after": lock_file.text(after),
                "before_header": path,
                "after_header": path,
            }
            if path is None or not self._task.check_mode:
                lock_file.write(path, after)
        return result


def _is_whole(images, task_vars):
    """Whether `images` has every host that the lock file is for, so that what none of them asks for may go."""
    if task_vars.get("ansible_limit"):
        return False
    hosts = {*task_vars.get("ansible_play_hosts_all", ()), *task_vars.get("groups", {}).get(GROUP, ())}
    shared = lock_place.is_shared(task_vars.get("inventory_dir"), task_vars.get("ansible_inventory_sources"))
    return hosts <= set(images) and not shared
