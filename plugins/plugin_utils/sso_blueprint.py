# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What authentik is to know, as a blueprint: a YAML file that its worker applies (pure).

Nothing in it is secret: passwords are read from the worker's own secret files. What it lists is kept as it says, each
time that it is applied; what it does not list (users made in authentik, their groups, flows) is left alone.
https://docs.goauthentik.io/customize/blueprints/
"""

from __future__ import annotations

import json
import posixpath

import yaml

from . import sso

# Below the project; in the container, as authentik's worker finds it.
PATH = "sso/mediastack.yaml"
_HEADER = (
    "# Rendered by homelab.mediastack from mediastack_sso_* and the services that are on; changes made here are\n"
    "# overwritten by the next run. It is applied by authentik-worker.\n"
)
# authentik's own objects: scopes of every proxy provider, without which nobody's name would be known.
_NEEDED = ("System - OAuth2 Provider - Scopes", "System - Proxy Provider - Scopes")
_OUTPOST = {"managed": "goauthentik.io/outposts/embedded"}
_OUTPOST_NAME = "authentik Embedded Outpost"


class _Tag:
    """A value with one of authentik's YAML tags."""

    def __init__(self, name, value):
        self.name, self.value = name, value


class _Dumper(yaml.SafeDumper):
    """Without anchors, and with tags."""

    def ignore_aliases(self, data):
        """Never write `&id001`: each entry stands for itself."""
        return True


_Dumper.add_representer(_Tag, lambda dumper, tag: dumper.represent_scalar(f"!{tag.name}", tag.value))


def file_of(plan, settings, project):
    """The blueprint as a file: `{path: text}`; empty without single sign-on.

    Args:
        plan: of `sso.plan`.
        settings: resolved `mediastack_*` values.
        project: the project's directory.
    """
    if plan is None:
        return {}
    text = yaml.dump(document(plan, settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**16)
    return {posixpath.join(project, PATH): _HEADER + text}


def document(plan, settings):
    """The blueprint. `_Tag` stands for what authentik looks up."""
    groups, users = settings["mediastack_sso_groups"], settings["mediastack_sso_users"]
    rules = {door.rule: door.groups for door in plan.doors}
    return {
        "version": 1,
        "metadata": {"name": "homelab.mediastack", "labels": {"blueprints.goauthentik.io/description": "Media stack"}},
        "entries": [
            *(_needed(name) for name in _NEEDED),
            *_flows(),
            *(_entry("authentik_core.group", {"name": name}, {}, f"group-{name}") for name in groups),
            *(entry for name in sorted(users) for entry in _user(name, users[name])),
            *(_rule(name, allowed) for name, allowed in rules.items()),
            *(entry for door in plan.doors for entry in _door(door)),
            _outpost(plan),
        ],
    }


def secret_of(user):
    """Name of the secret that is a user's first password."""
    return f"sso_user_{user}"


def _entry(model, identifiers, attrs, key=None, state="present"):
    return {
        "model": model,
        "state": state,
        **({"id": key} if key else {}),
        "identifiers": identifiers,
        "attrs": attrs,
    }


def _key(name):
    return _Tag("KeyOf", name)


def _needed(name):
    return {
        "model": "authentik_blueprints.metaapplyblueprint",
        "attrs": {"identifiers": {"name": name}, "required": True},
    }


def _flows():
    """What follows a login, and a logout from one app: nothing more is asked. authentik's own would do, but are the
    user's to change, and are not there yet when the worker starts for the first time.
    """
    title = "Redirecting to %(app)s"
    yield _entry(
        "authentik_flows.flow",
        {"slug": "mediastack-authorization"},
        {
            "name": "Media stack",
            "title": title,
            "designation": "authorization",
            "authentication": "require_authenticated",
        },
        "authorization",
    )
    title = "You've logged out of %(app)s."
    yield _entry(
        "authentik_flows.flow",
        {"slug": "mediastack-invalidation"},
        {"name": "Media stack: logout", "title": title, "designation": "invalidation", "authentication": "none"},
        "invalidation",
    )


def _user(name, given):
    """Its password is set once and is the user's own from then on; the rest is kept as the settings say."""
    password = {"password": _Tag("File", f"/run/secrets/{secret_of(name)}")}
    known = {"name": given.get("name") or name, **({"email": given["email"]} if given.get("email") else {})}
    yield _entry("authentik_core.user", {"username": name}, {**known, **password}, state="created")
    groups = [_key(f"group-{group}") for group in given["groups"]]
    yield _entry("authentik_core.user", {"username": name}, {**known, "groups": groups})


def _rule(name, allowed):
    # JSON's lists of texts are Python's too.
    names = json.dumps([sso.ADMINS, *allowed])
    expression = f"return any(ak_is_group_member(request.user, name=name) for name in {names})"
    return _entry("authentik_policies_expression.expressionpolicy", {"name": name}, {"expression": expression}, name)


def _door(door):
    provider, application = f"provider-{door.slug}", f"application-{door.slug}"
    yield _entry(
        "authentik_providers_proxy.proxyprovider",
        {"name": door.slug},
        {
            "authorization_flow": _key("authorization"),
            "invalidation_flow": _key("invalidation"),
            "mode": "forward_single",
            "external_host": door.url,
            # Its cookie is for this host name alone: an app learns of no session but its own.
            "cookie_domain": "",
            # HTTP Basic is the app's own (NZBGet, Transmission), and never a way to try passwords at authentik.
            "intercept_header_auth": False,
            # How long somebody goes on who is taken out meanwhile.
            "access_token_validity": "hours=24",
        },
        provider,
    )
    yield _entry(
        "authentik_core.application",
        {"slug": door.slug},
        {
            "name": door.title,
            "group": "Media stack",
            "provider": _key(provider),
            "meta_launch_url": door.url,
            "policy_engine_mode": "all",
        },
        application,
    )
    # One binding a door, found by its place: whoever is taken out of the settings is out.
    yield _entry(
        "authentik_policies.policybinding",
        {"target": _key(application), "order": 0},
        {"policy": _key(door.rule), "enabled": True, "timeout": 30},
    )


def _outpost(plan):
    """The outpost in authentik's server. `type` is what the providers are checked against."""
    providers = [_key(f"provider-{door.slug}") for door in plan.doors]
    config = {"authentik_host": plan.url, "authentik_host_insecure": False, "log_level": "info"}
    attrs = {"name": _OUTPOST_NAME, "type": "proxy", "providers": providers, "config": config}
    return _entry("authentik_outposts.outpost", dict(_OUTPOST), attrs)
