# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What authentik knows, and how a blueprint changes it: as far as its server and its outpost read it here.

A blueprint is refused for an unknown model or field, a reference to nothing, a missing file, as authentik refuses it.
The fields are those of the serializers of authentik 2026.x, as far as they may be of use to a media stack.
"""

import hashlib
import re

import yaml

SYSTEM = ("System - OAuth2 Provider - Scopes", "System - Proxy Provider - Scopes")
ADMINS = "authentik Admins"
EMBEDDED = "goauthentik.io/outposts/embedded"
# Model → fields that it may be given, and those that a new one must have.
MODELS = {
    "authentik_blueprints.metaapplyblueprint": ({"identifiers", "required"}, set()),
    "authentik_flows.flow": (
        {"slug", "name", "title", "designation", "authentication", "layout", "denied_action"},
        {"slug", "name", "title", "designation"},
    ),
    "authentik_core.group": ({"name", "is_superuser", "attributes", "users", "parents", "roles"}, {"name"}),
    "authentik_core.user": (
        {"username", "name", "email", "password", "groups", "is_active", "path", "type", "attributes"},
        {"username", "name"},
    ),
    "authentik_policies_expression.expressionpolicy": (
        {"name", "expression", "execution_logging"},
        {"name", "expression"},
    ),
    "authentik_policies.policybinding": (
        {"target", "order", "policy", "group", "user", "enabled", "timeout", "negate", "failure_result"},
        {"target", "order"},
    ),
    "authentik_providers_proxy.proxyprovider": (
        {
            *("name", "authorization_flow", "invalidation_flow", "authentication_flow", "property_mappings", "mode"),
            *("external_host", "internal_host", "internal_host_ssl_validation", "certificate", "skip_path_regex"),
            *("basic_auth_enabled", "basic_auth_password_attribute", "basic_auth_user_attribute", "cookie_domain"),
            *("intercept_header_auth", "access_token_validity", "refresh_token_validity"),
        },
        {"name", "authorization_flow", "invalidation_flow", "external_host"},
    ),
    "authentik_core.application": (
        {
            *("name", "slug", "provider", "backchannel_providers", "open_in_new_tab", "meta_launch_url", "icon"),
            *("meta_description", "meta_publisher", "policy_engine_mode", "group"),
        },
        {"name", "slug"},
    ),
    "authentik_outposts.outpost": ({"name", "type", "providers", "service_connection", "config", "managed"}, {"type"}),
}
# What an entry is found by, where the blueprint says nothing else.
_KEYS = {"authentik_core.user": "username", "authentik_core.application": "slug", "authentik_flows.flow": "slug"}


class BlueprintError(Exception):
    """What authentik says of a blueprint that it does not take."""


class Tag:
    """!KeyOf, !File, !Env, !Find …: a name and what it is given."""

    def __init__(self, name, value):
        """Keep both."""
        self.name, self.value = name, value


class _Loader(yaml.SafeLoader):
    """YAML with tags."""


def _construct(loader, suffix, node):
    plain = loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else loader.construct_sequence(node)
    return Tag(suffix, plain)


_Loader.add_multi_constructor("!", _construct)


def new():
    """The model after the first start: its own outpost, the group of its administrators."""
    return {
        "authentik_core.group": {ADMINS: {"name": ADMINS}},
        "authentik_core.user": {},
        "authentik_outposts.outpost": {EMBEDDED: {"managed": EMBEDDED, "providers": [], "config": {}}},
    }


def hashed(password, salt):
    """A password as it is kept."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 1000).hex()


def add_user(model, username, password, groups):
    """A user that is there once and for all, as the first one; one that is there is left alone."""
    users = model["authentik_core.user"]
    if username not in users:
        users[username] = {"username": username, "password": hashed(password, username), "groups": groups}


def apply(model, text, system, read=None):
    """Take over a blueprint, all of it or nothing.

    *system*: names of authentik's own blueprints that are applied; *read*: returns a file's text. Returns the new
    model. Raises BlueprintError.
    """
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe one)
    except yaml.YAMLError as error:
        raise BlueprintError(f"failed to parse blueprint: {error}") from None
    if not isinstance(document, dict) or document.get("version") != 1 or not document.get("entries"):
        raise BlueprintError("Invalid blueprint version")
    found = {kind: {key: dict(value) for key, value in items.items()} for kind, items in model.items()}
    ids = {}
    for entry in document["entries"]:
        _apply_entry(found, entry, ids, system, read or _read)
    return found


def _read(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read().strip()


def _apply_entry(model, entry, ids, system, read):
    kind = entry["model"]
    if kind not in MODELS:
        raise BlueprintError(f"app or model does not exist: {kind}")
    allowed, needed = MODELS[kind]
    given = {**entry.get("identifiers", {}), **entry.get("attrs", {})}
    unknown = set(given) - allowed
    if unknown:
        raise BlueprintError(f"entry invalid: {kind}: {', '.join(sorted(unknown))}")
    if kind == "authentik_blueprints.metaapplyblueprint":
        if given.get("required", True) and given["identifiers"]["name"] not in system:
            raise BlueprintError("Required blueprint does not exist")
        return
    identifiers = _resolved(entry.get("identifiers", {}), ids, read)
    if not identifiers:
        raise BlueprintError("No or invalid identifiers")
    key = "/".join(str(value) for value in identifiers.values())
    there = model.setdefault(kind, {}).get(key)
    if not (there and entry.get("state") == "created"):
        value = {**(there or {}), **_resolved(entry.get("attrs", {}), ids, read), **identifiers}
        _check(kind, value, needed if there is None else set())
        if "password" in entry.get("attrs", {}):
            value["password"] = hashed(value["password"], value["username"])
        model[kind][key] = value
    if "id" in entry:
        ids[entry["id"]] = key


def _check(kind, value, needed):
    missing = needed - set(value)
    if missing:
        raise BlueprintError(f"Serializer errors {kind}: {', '.join(sorted(missing))}: This field is required.")
    if kind == "authentik_policies.policybinding" and sum(map(bool, map(value.get, ("policy", "group", "user")))) != 1:
        raise BlueprintError("One of 'policy', 'group' or 'user' must be set.")
    if kind == "authentik_providers_proxy.proxyprovider":
        if value.get("mode", "proxy") == "proxy" and not value.get("internal_host"):
            raise BlueprintError("Internal host cannot be empty when forward auth is disabled.")
        if not re.match(r"https?://[^/\s]+", value["external_host"]):
            raise BlueprintError("external_host: Enter a valid URL.")


def _resolved(value, ids, read):
    if isinstance(value, Tag):
        if value.name == "KeyOf":
            if value.value not in ids:
                raise BlueprintError(f"KeyOf: failed to find entry with `id` of `{value.value}` and a model instance")
            return ids[value.value]
        if value.name == "File":
            try:
                return read(value.value)
            except OSError as error:
                raise BlueprintError(f"Failed to read file {value.value}: {error.strerror}") from None
        raise BlueprintError(f"could not determine a constructor for the tag !{value.name}")
    if isinstance(value, dict):
        return {key: _resolved(item, ids, read) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, ids, read) for item in value]
    return value


def may(model, username, application):
    """Whether a user passes an application's bindings; without any, everybody does."""
    user = model["authentik_core.user"].get(username)
    bindings = [
        one
        for one in model.get("authentik_policies.policybinding", {}).values()
        if one["target"] == application and one.get("enabled", True)
    ]
    if user is None:
        return False
    return all(_passes(model, user, binding) for binding in bindings)


def _passes(model, user, binding):
    if binding.get("group"):
        return binding["group"] in user["groups"]
    policy = model["authentik_policies_expression.expressionpolicy"][binding["policy"]]
    member = lambda _user, name: name in user["groups"]  # noqa: E731 (as authentik hands it to the expression)
    scope = {"ak_is_group_member": member, "request": type("Request", (), {"user": user}), "__builtins__": {"any": any}}
    exec(f"def handle():\n    {policy['expression']}\n", scope)  # noqa: S102 (authentik's expressions are Python)
    return bool(scope["handle"]())
