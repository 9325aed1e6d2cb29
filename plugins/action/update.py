# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.update: the parts of update, rollback and restore that concern one host."""

from __future__ import annotations

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.action import deploy
from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    bundle,
    caller,
    deployment,
    image_reference,
    notifying,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

display = Display()
#: How old images are kept, and how long what is new must run well.
_CHANGE_SETTINGS = {
    "keep": "mediastack_update_keep",
    "stable_for": "mediastack_update_stable_for",
    "backup_path": "mediastack_backup_path",
}


class ActionModule(deploy.ActionModule):
    """`survey`: what runs there; `prepare`: check the host and have the images; `apply`: the transaction."""

    MODULE = "homelab.mediastack.stack_update"

    def run(self, tmp=None, task_vars=None):
        """Do one step of one verb."""
        ActionBase.run(self, tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "verb": {"type": "str", "choices": ["update", "rollback", "restore"], "default": "update"},
                "step": {"type": "str", "choices": ["survey", "prepare", "apply"], "default": "apply"},
                "targets": {"type": "dict", "default": {}},
                "survey": {"type": "dict", "default": {}},
                "data": {"type": "str"},
                "fail": {"type": "bool", "default": True},
            }
        )
        arguments.update(services=[], profiles=[], state="present", release_holds=False, remove_orphans=None)
        arguments.update(health=arguments["step"] != "prepare", **dict.fromkeys(deploy.PASSED))
        try:
            request, values = self._request(arguments, task_vars)
            if arguments["step"] == "survey" and values["mediastack_lab_images"]:
                _refuse_stand_ins(request)
            self._change = self._asked(request, arguments, values)
            if arguments["step"] == "prepare" and not self._anything_to_prepare(request, arguments):
                return {"changed": False, "actions": []}
            with notifying.unreachable_is_told(self, task_vars):
                result = self._execute(request, arguments, values, task_vars)
        except deploy.WRONG as error:
            return {"failed": True, "changed": False, "msg": deployment.failure(error)}
        except AnsibleConnectionFailure as error:
            return deploy.unreachable(task_vars, error)
        if arguments["step"] == "survey":
            return self._surveyed(result, request, values)
        told = self._told(result, request, values, task_vars)
        if arguments["step"] == "apply" or told.get("failed"):
            verb = arguments["verb"]
            notifying.tell(self, task_vars, values, "of_change", told, verb)
        told["given"] = request.given
        if told.get("failed") and not arguments["fail"]:
            # For the tasks after it, which end the run all the same.
            told["trouble"] = told.pop("msg", "it failed")
            told["failed"] = False
            told.pop("exception", None)
        return told

    @staticmethod
    def _surveyed(result, request, values):
        """What the tasks after the survey need of it."""
        if result.get("failed"):
            result.pop("invocation", None)
            return result
        services = request.bundle["services"]
        about = _named(request) or list(services)
        found = {name: result[name] for name in ("survey", "health", "duration_ms") if name in result}
        found["images"] = {
            name: {"image": services[name]["image"], "wiring_kind": (services[name]["wiring"] or {}).get("kind")}
            for name in about
        }
        # It has changed nothing; whether there is something to do besides images is what counts.
        found["in_sync"] = not result["changed"] and not result["survey"]["interrupted"]
        found.update(changed=False, given=request.given)
        found["minimum_age"] = values["mediastack_update_minimum_age"]
        return found

    def _asked(self, request, arguments, values):
        """Option `change` of the module."""
        change = {name: values[setting] for name, setting in _CHANGE_SETTINGS.items()}
        change["backup_path"] = change["backup_path"] or bundle.paths_of(values)["backup"]
        change.update(verb=arguments["verb"], who=caller.who(), prepare=arguments["step"] == "prepare")
        change["survey"] = arguments["step"] == "survey"
        about = set(request.services)
        if arguments["verb"] == "update":
            change["targets"] = {name: one for name, one in arguments["targets"].items() if not about or name in about}
        elif arguments["verb"] == "rollback":
            change["generation"] = request.given.get("generation", 0)
            change["keep_data"] = request.given.get("keep_data", False)
            change["names"] = _named(request)
        else:
            change["data"] = request.given.get("backup") or arguments["data"] or "latest"
            change["names"] = _named(request)
        return change

    @staticmethod
    def _anything_to_prepare(request, arguments):
        """Whether a service runs another image than its target; without a look at the host."""
        running = (arguments["survey"] or {}).get("services") or {}
        for name, target in arguments["targets"].items():
            known = running.get(name)
            if not known or known["image"] != target["image"]:
                return True
            if target.get("digest") and target["digest"] not in known["digests"]:
                return True
        return False

    def _module_args(self, request, arguments, values):
        args = super()._module_args(request, arguments, values)
        if arguments["verb"] != "update":
            # What a verb like restore is about is one service, not also what that needs.
            args["services"] = []
        for name in ("state", "images", "timeout", "recreate", "wait", "stable_for", "engine_missing_ok"):
            args.pop(name, None)
        args["holds"]["verb"] = "site"
        args["change"] = self._change
        args["pull"] = "never" if args.get("pull") == "never" else "missing"
        return args


def _refuse_stand_ins(request):
    """RenderError for stand-ins with real names: a registry has the real images, not these."""
    services = request.bundle["services"]
    about = _named(request) or list(services)
    names = [name for name in about if not image_reference.parse(services[name]["image"]).loopback]
    if names:
        raise RenderError(
            f"{', '.join(names)}: the images here are stand-ins, built on this machine under the names of real ones "
            "(mediastack_lab_images): no registry has a newer one, and the real ones are not to take their place"
        )


def _named(request):
    """The services that the user named, without what they need; empty: all."""
    if request.profiles:
        return list(request.services)
    services = request.bundle["services"]
    return [name for name, one in services.items() if name in request.names or one["app"] in request.names]
