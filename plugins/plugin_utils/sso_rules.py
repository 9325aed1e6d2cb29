# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules for `mediastack_sso_*`, one method each as in `setting_rules.py`, and those between them."""

from __future__ import annotations

import re

from .closest import hint
from .setting_types import kind, shown

# What a name may be that stands in a file's name, in authentik's addresses and in a rule of its.
_USER = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_GROUP = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,61}[A-Za-z0-9])?")
_MAIL = re.compile(r"[A-Za-z0-9.!#%&'*+/=?^_{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
# Groups of apps: directories of service files, and a user's own.
_APPS = ("all", "core", "media", "request", "infrastructure", "services")
_KEYS = ("groups", "name", "email")
# authentik's first user has a login already, and is in charge of all others.
_TAKEN = ("akadmin", "akadmin-service", "anonymoususer")
_LONGEST = 200


class SsoRules:
    """Checks of single settings: value and problems to add to in, the value to use out."""

    def _check_sso_exclude(self, value, errors):
        for service in value:
            self._refer(service, "services", "a service", errors)
        return value

    def _check_sso_groups(self, value, errors):
        for name, seen in value.items():
            if not isinstance(name, str) or not _GROUP.fullmatch(name):
                errors.append(
                    f"{shown(name)} is no name of a group: letters, digits, blanks and . _ - only, 63 at most."
                )
            elif not isinstance(seen, list):
                errors.append(f"{name}: {shown(seen)} is {kind(seen)}, not a list. Write [request, sonarr].")
            else:
                for entry in seen:
                    self._check_seen(name, entry, errors)
        return value

    def _check_seen(self, group, entry, errors):
        if entry in _APPS:
            return
        if not isinstance(entry, str):
            errors.append(f"{group}: {shown(entry)} is {kind(entry)}, not a name.")
            return
        known = self.known()
        names = {*_APPS, *(known.services if known else ())}
        if known is not None and entry not in names:
            errors.append(f"{group}: {shown(entry)} is neither a service nor a group of them. {hint(entry, names)}")

    @staticmethod
    def _check_sso_users(value, errors):
        for name, given in value.items():
            if not isinstance(name, str) or not _USER.fullmatch(name):
                errors.append(f"{shown(name)} is no user name: lower-case letters, digits and . _ - only, 63 at most.")
            elif name in _TAKEN:
                errors.append(f"{name} is authentik's own user. Take another name.")
            elif not isinstance(given, dict):
                errors.append(f"{name}: {shown(given)} is {kind(given)}, not a map. Write {{groups: [users]}}.")
            else:
                errors += [f"{name}: {problem}" for problem in _problems(given)]
        return value


def _problems(given):
    """What is wrong with one user."""
    for key in given:
        if key not in _KEYS:
            yield f"{shown(key)} is no key of a user. {hint(str(key), _KEYS)}"
    groups = given.get("groups")
    if not isinstance(groups, list) or not groups or not all(isinstance(group, str) for group in groups):
        yield "groups is missing or no list of names. Write groups: [users]."
    title = given.get("name", "")
    if not isinstance(title, str) or len(title) > _LONGEST or not title.isprintable():
        yield f"name: {shown(title)} is no name: a text that can be printed, {_LONGEST} characters at most."
    elif "{{" in title or "{%" in title:
        yield f"name: {shown(title)} holds a template that nothing filled in. Remove it."
    mail = given.get("email", "")
    if not isinstance(mail, str) or (mail and (len(mail) > _LONGEST or not _MAIL.fullmatch(mail))):
        yield f"email: {shown(mail)} is no mail address, such as you@example.org."


def check(values):
    """The rules between the settings of single sign-on.

    Args:
        values: typed values of all settings.

    Returns:
        Pairs `(setting, sentence)`.
    """
    groups = values["mediastack_sso_groups"]
    return [
        (
            "mediastack_sso_users",
            f"{name}: {shown(group)} is no group of mediastack_sso_groups. {hint(group, groups)}",
        )
        for name, given in values["mediastack_sso_users"].items()
        for group in given["groups"]
        if group not in groups
    ]
