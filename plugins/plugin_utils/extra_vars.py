# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The extra vars of a verb, such as `-e service=sonarr`: from the command line only, cast and checked.

A variable of a host or a group that happens to be called `service` means nothing here. Extra vars that are no verb's
are the user's own and are left alone, unless they are a misspelling of one of the verb's.
"""

from __future__ import annotations

import dataclasses
import re

from ansible.utils.vars import load_extra_vars

from ansible_collections.homelab.mediastack.plugins.module_utils import notify_state

from .closest import hint, near_miss
from .plain_values import plain
from .setting_types import CastError, cast

MAX_CAPTURE = 3600
# A kind of event, and what tells one from others.
_CONDITION = re.compile(r"[a-z]+(/[A-Za-z0-9_.-]{1,60})?")
# Where Ansible puts the words of -e that are not of the form name=value.
_CUT_OFF = "_raw_params"
_LIST = {"type": "list", "elements": "str", "default": []}
# What each extra var is; its name, type, choices and default as in an argument specification.
OPTIONS = {
    "service": _LIST,
    "profiles": _LIST,
    "output": {"type": "str", "default": ""},
    "fail_on": {"type": "str", "default": "degraded", "choices": ["degraded", "unhealthy", "never"]},
    "watch": {"type": "int", "default": 0},  # seconds between two looks
    "tail": {"type": "int", "default": -1},  # lines; below 0: as many as log_options.tail says
    "since": {"type": "str", "default": ""},
    "grep": {"type": "str", "default": ""},
    "follow": {"type": "bool", "default": False},
    "kill_switch": {"type": "bool", "default": False},
    "capture": {"type": "int", "default": 0},  # seconds
    "on_leak": {"type": "str", "default": "report", "choices": ["report", "stop"]},
    "show_host_ip": {"type": "bool", "default": False},
    "allow_open": {"type": "bool", "default": False},
    "stop_apps": {"type": "bool", "default": False},
    "release_holds": {"type": "bool", "default": False},
    "setting": _LIST,
    "secret": _LIST,
    "file": {"type": "str", "default": "settings", "choices": ["settings", "vault"]},
    "scope": {"type": "str", "default": ""},
    "lock_only": {"type": "bool", "default": False},
    "from_lock": {"type": "bool", "default": False},
    "allow_major": {"type": "bool", "default": False},
    "retry_failed": {"type": "bool", "default": False},
    "fail_on_drift": {"type": "bool", "default": True},
    "backup": {"type": "str", "default": ""},  # id of a backup or snapshot
    "generation": {"type": "int", "default": 0},
    "keep_data": {"type": "bool", "default": False},
    "drill": {"type": "bool", "default": False},
    "purge_config": {"type": "bool", "default": False},
    "confirm": {"type": "str", "default": ""},
    "server": {"type": "str", "default": ""},  # this, or user@host
    "server_name": {"type": "str", "default": ""},
    "directory": {"type": "str", "default": ""},
    "vault_password_file": {"type": "str", "default": ""},
    "condition": {"type": "str", "default": ""},  # pull, or pull/something
    "state": {"type": "str", "default": "", "choices": ["bad", "good"]},
    "message": {"type": "str", "default": ""},
    "uninstall": {"type": "bool", "default": False},
}
# The verbs, and the extra vars of each.
VERBS = {
    "init": ("scope", "server", "server_name", "directory", "vault_password_file"),
    "site": ("release_holds", "retry_failed"),
    "start": ("service", "profiles", "release_holds", "retry_failed"),
    "stop": ("service", "profiles"),
    "restart": ("service", "profiles"),
    "status": ("output", "fail_on", "watch"),
    "logs": ("service", "tail", "since", "grep", "follow"),
    "vpn_status": (),
    "vpn_start": (),
    "vpn_stop": ("stop_apps",),
    "leak_test": ("kill_switch", "capture", "on_leak", "show_host_ip", "output"),
    "exposure": ("allow_open", "output"),
    "config_show": ("setting",),
    "config_edit": ("file", "scope"),
    "config_validate": (),
    "credentials": ("service",),
    "remove": ("purge_config", "confirm"),
    "plan": ("output", "fail_on_drift"),
    "update": ("service", "profiles", "lock_only", "from_lock", "allow_major", "retry_failed"),
    "backup": ("service",),
    "restore": ("service", "backup", "drill"),
    "rollback": ("service", "generation", "keep_data"),
    "notify": ("condition", "state", "message"),
    "gitops": ("uninstall",),
    "rotate": ("secret",),
}


class ExtraVarsError(Exception):
    """What is wrong with the verb's extra vars, all of it, in `errors`."""

    def __init__(self, errors):
        self.errors = list(errors)
        super().__init__("\n".join(self.errors))


@dataclasses.dataclass(frozen=True)
class VerbArgs:
    """The verb's extra vars.

    Attributes:
        verb: its name.
        values: `{name: typed value}` of every extra var that the verb has; the default where none is given.
        messages: sentences for the user.
    """

    verb: str
    values: dict
    messages: list


def parse(verb, cliargs, loader, known=None, template=None):
    """Take the verb's extra vars from the command line.

    Parameters:
        verb: one of `VERBS`.
        cliargs: `ansible.context.CLIARGS`; without extra vars every value is its default.
        loader: Ansible's data loader, which reads `-e @file`.
        known: a function that returns `catalogue.Names` (or `None`); without it names are not checked.
        template: a function that templates a value, as Ansible does with extra vars.
    Returns:
        `VerbArgs`.
    Raises:
        ExtraVarsError: with everything that is wrong.
    """
    given = load_extra_vars(loader) if cliargs.get("extra_vars") else {}
    return check(verb, given, known, template)


def check(verb, given, known=None, template=None):
    """As `parse`, with the extra vars as a map."""
    if verb not in VERBS:
        raise ExtraVarsError([f"verb: {verb!r} is not a verb. {hint(str(verb), VERBS)}"])
    names = VERBS[verb]
    values, errors, messages = {}, [], []
    for name in sorted(given, key=str):
        if name in names or not isinstance(name, str) or name.startswith(("mediastack_", "ansible_", _CUT_OFF)):
            continue
        near = near_miss(name, names)
        other = name if name in OPTIONS else near_miss(name, OPTIONS)
        if near and other != name:
            errors.append(f"-e {name}=: {verb} knows no such name. Did you mean {near}=?")
        elif other:
            verbs = ", ".join(each for each, options in VERBS.items() if other in options)
            what = f"-e {name}=" if other == name else f"-e {name}=: {other}=, if that is meant,"
            # Who names one service does not want all of them gone.
            told = errors if verb == "remove" else messages
            told.append(f"{what} has no effect on {verb}; it is for {verbs}.")
    if given.get(_CUT_OFF):
        # What is left of -e is too little for what was asked: one of two services, or half a path.
        errors.append(
            f'-e: "{given[_CUT_OFF]}" is cut off from what stands before it: Ansible splits -e at spaces. Write lists '
            "without them, service=sonarr,radarr, and quote a value with spaces: -e \"output='/my files/status.json'\"."
        )
    for name in names:
        option = OPTIONS[name]
        if name not in given:
            values[name] = type(option["default"])(option["default"])
            continue
        try:
            value = plain(template(given[name]) if template else given[name])
            # Services that only a host's own Compose files name are none to us; the action logs asks the host.
            names = None if verb == "logs" else known
            values[name] = _checked(verb, name, cast(value, option), names, errors, messages)
        except CastError as error:
            errors.append(f"-e {name}=: {error}{'' if str(error).endswith(('.', '?')) else '.'}")
        except Exception as error:  # a template of the user's may raise anything
            errors.append(f"-e {name}=: cannot be read: {' '.join(str(error).split())}")
    if errors:
        raise ExtraVarsError(errors)
    return VerbArgs(verb, values, messages)


def _check_output(verb, value):
    """CastError for a file that cannot be a report of that verb. Only who names one pays for what knows the formats."""
    from . import leak_report, plan_model, report_files

    formats = dict.fromkeys(("leak_test", "exposure"), leak_report.FORMATS).get(verb)
    formats = plan_model.FORMATS if verb == "plan" else formats
    try:
        report_files.check_outputs(value, **({"formats": formats} if formats else {}))
    except report_files.OutputError as error:
        raise CastError(str(error)) from error


def _checked(verb, name, value, known, errors, messages):
    if value in ("", []) and name != "message":
        raise CastError("is empty. Leave it out for the default, or write a value")
    if name in ("tail", "watch", "capture") and value < (0 if name == "tail" else 1):
        raise CastError(f"{value} is too small; give a number of {'lines' if name == 'tail' else 'seconds'}")
    if name == "capture" and value > MAX_CAPTURE:
        raise CastError(f"{value} is too long; give at most {MAX_CAPTURE} seconds")
    if name == "output":
        _check_output(verb, value)
        return value
    if name == "condition":
        event = value.partition("/")[0]
        if not _CONDITION.fullmatch(value) or event not in notify_state.EVENTS:
            raise CastError(
                f'"{value}" begins with no kind of event, such as pull or pull/job. {hint(event, notify_state.EVENTS)}'
            )
        return value
    if name in ("since", "grep"):
        from . import log_options

        # Only whether it can be read: a duration counts from the moment in which it is used.
        getattr(log_options, name)(value)
        return value
    names = known() if known and name in ("profiles", "service") else None
    if name == "profiles" and names:
        for profile in value:
            if profile not in names.profiles:
                errors.append(f'-e profiles=: "{profile}" is not a profile. {hint(profile, names.profiles)}')
    if name == "service" and names:
        return _services(value, names, errors, messages)
    return value


def _services(value, known, errors, messages):
    names, result = {*known.services, *known.apps}, []
    for service in value:
        successor = known.replaces.get(service)
        if service in names:
            result.append(service)
        elif successor:
            messages.append(f"-e service=: {service} became {successor}, which is taken instead.")
            result.append(successor)
        else:
            errors.append(f'-e service=: "{service}" is not a service. {hint(service, {*names, *known.replaces})}')
    return list(dict.fromkeys(result))
