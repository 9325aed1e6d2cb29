# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs on this host that update containers by themselves: would they touch ours?

They replace one container at a time, without a snapshot and without asking whether the app came up; a gluetun that is
replaced so leaves everything behind it without a network. Ours carry the label that keeps Watchtower and its forks away
(plugin_utils/assemble.py); of the others it is an error where they would touch ours, a warning where that stands in
settings which only they can read. What only tells of updates (Diun, Cup) or acts on its own stacks alone (Dockge,
Portainer, Komodo) is no matter. https://containrrr.dev/watchtower/container-selection/,
https://github.com/pyouroboros/ouroboros/wiki/Usage, https://getwud.github.io/wud/#/configuration/triggers/docker/
"""

from __future__ import annotations

import re

from ansible_collections.homelab.mediastack.plugins.module_utils.preflight_problem import is_ours, name_of, problem

WATCHTOWER_ENABLE = "com.centurylinklabs.watchtower.enable"
WATCHTOWER_SCOPE = "com.centurylinklabs.watchtower.scope"
# Every image of Watchtower and of its forks has it, so that it knows itself.
_WATCHTOWER_ITSELF = "com.centurylinklabs.watchtower"
_TRUE = ("true", "1", "yes", "on")
_PROMISE = "let only the playbook update renew images: it takes a snapshot first and goes back if the app fails"


def check(bundle, containers, warnings):
    """Problems with updaters among all `containers` (docker inspect); sentences on those that may be told to touch ours
    go to `warnings`.
    """
    ours = [container for container in containers if is_ours(container, bundle)]
    problems = []
    for container in containers:
        if not (container.get("State") or {}).get("Running") or is_ours(container, bundle):
            continue
        judge = next((judge for fits, judge in _KNOWN if fits(container)), None)
        if judge:
            found = judge(container, ours, bundle)
            if isinstance(found, str):
                warnings.append(found)
            elif found:
                problems.append(found)
    return problems


def _image(container):
    """The repository without registry, tag and digest: `containrrr/watchtower`."""
    image = str((container.get("Config") or {}).get("Image") or "").lower().partition("@")[0]
    first, slash, rest = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        image = rest
    return image.rsplit(":", 1)[0] if ":" in image.rsplit("/", 1)[-1] else image


def _named(pattern):
    expression = re.compile(pattern)
    return lambda container: bool(expression.search(_image(container)))


def _labels(container):
    return (container.get("Config") or {}).get("Labels") or {}


def _environment(container):
    entries = (container.get("Config") or {}).get("Env") or []
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def _on(value):
    return str(value or "").strip().strip("\"'").lower() in _TRUE


def _arguments(container):
    return [str(word) for word in [*(container.get("Args") or [])]]


def _problem(container, title, what, remedy):
    return problem(
        "updaters",
        "%s runs on this host (container %s, image %s) and %s"
        % (title, name_of(container), (container.get("Config") or {}).get("Image"), what),
        "container %s" % name_of(container),
        None,
        "%s; %s" % (remedy, _PROMISE),
    )


def _warning(container, title, what):
    return "%s runs on this host (container %s): %s" % (title, name_of(container), what)


# Watchtower and its forks


def _is_watchtower(container):
    itself = _on(_labels(container).get(_WATCHTOWER_ITSELF))
    return itself or bool(re.search(r"(?:^|[/-])watchtower$", _image(container)))


def _watchtower(container, ours, _bundle):
    environment, arguments = _environment(container), _arguments(container)

    def is_set(flag, variable):
        return _on(environment.get(variable)) or flag in arguments or "%s=true" % flag in arguments

    if is_set("--monitor-only", "WATCHTOWER_MONITOR_ONLY"):
        return None
    scope = environment.get("WATCHTOWER_SCOPE") or _value(arguments, "--scope")
    named = _watchtower_names(arguments)
    only_enabled = is_set("--label-enable", "WATCHTOWER_LABEL_ENABLE")

    def touched(one):
        labels = _labels(one)
        enabled = labels.get(WATCHTOWER_ENABLE)
        if enabled is None and only_enabled or enabled is not None and not _on(enabled):
            return False
        if scope and scope != "none" and labels.get(WATCHTOWER_SCOPE) != scope:
            return False
        return not named or name_of(one) in named

    # What has no such label at all was made before ours had it, and is about to be made anew.
    asked_for = [name_of(one) for one in ours if _labels(one).get(WATCHTOWER_ENABLE) is not None and touched(one)]
    if asked_for:
        return _problem(
            container,
            "Watchtower",
            "would update %s, whose label %s says so" % (", ".join(sorted(asked_for)), WATCHTOWER_ENABLE),
            "take that label out of mediastack_overrides",
        )
    if only_enabled or named or scope not in (None, "", "none"):
        return None
    return _warning(
        container,
        "Watchtower",
        "it updates containers by itself. It leaves ours alone as long as their label %s is false, which is so unless "
        "mediastack_overrides say otherwise" % WATCHTOWER_ENABLE,
    )


# Flags of Watchtower that take a value of their own, in the next word.
_WITH_VALUE = re.compile(
    r"^(?:-H|-i|-s|-t|-a|--host|--interval|--schedule|--stop-timeout|--api-version|--scope|--notification.*|--notifications"
    r"|--disable-containers|--log-level|--log-format|--http-api-token|--health-check.*|--porcelain|--cooldown.*)$"
)


def _watchtower_names(arguments):
    """Names of containers on the command line: nothing else is watched then."""
    names, skip = [], False
    for word in arguments:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = bool(_WITH_VALUE.match(word))
        elif word and not word.startswith("/"):
            names += [name for name in re.split(r"[ ,]+", word) if name]
    return names


def _value(arguments, flag):
    for position, word in enumerate(arguments):
        if word.startswith(flag + "="):
            return word[len(flag) + 1 :]
        if word == flag and position + 1 < len(arguments):
            return arguments[position + 1]
    return None


# Others


def _ouroboros(container, ours, bundle):
    environment = _environment(container)
    monitored = re.split(r"[ ,]+", environment.get("MONITOR", "").strip("\"' "))
    ignored = re.split(r"[ ,]+", environment.get("IGNORE", "").strip("\"' "))
    if _on(environment.get("DRY_RUN")) or _on(environment.get("MONITOR_ONLY")):
        return None

    def touched(name, labels):
        enabled = labels.get("com.ouroboros.enable")
        if _on(environment.get("LABEL_ENABLE")) and enabled is not None:
            return _on(enabled)
        if _on(environment.get("LABELS_ONLY")):
            return False
        return name not in ignored and (monitored == [""] or name in monitored)

    present = {name_of(one): _labels(one) for one in ours}
    names = {service.get("container_name") or name for name, service in bundle.get("services", {}).items()}
    would = sorted(name for name in names | set(present) if touched(name, present.get(name, {})))
    if not would:
        return None
    return _problem(
        container,
        "Ouroboros",
        "would update %s" % ", ".join(would),
        "set LABEL_ENABLE=true and LABELS_ONLY=true there, or stop it (it is no longer maintained)",
    )


def _wud(container, _ours, _bundle):
    """What's Up Docker and its fork Drydock: they update only by a trigger, and only what they watch."""
    environment = _environment(container)
    upper = {name.upper(): value for name, value in environment.items()}
    triggers = {
        name.rsplit("_", 1)[0] if name.count("_") > 3 else name
        for name in upper
        if re.match(r"^(?:WUD_TRIGGER|DD_TRIGGER|DD_ACTION)_DOCKER(?:COMPOSE)?_", name)
    }
    acting = [
        trigger
        for trigger in triggers
        if not _on(upper.get(trigger + "_DRYRUN"))
        and upper.get(trigger + "_AUTO", "true").lower() not in ("false", "none")
    ]
    watches = [value for name, value in upper.items() if re.match(r"^(?:WUD|DD)_WATCHER_.*_WATCHBYDEFAULT$", name)]
    if not acting or watches and not any(_on(value) for value in watches):
        return None
    return _problem(
        container,
        "What's Up Docker",
        "has a trigger that replaces containers (%s) and watches every container" % ", ".join(sorted(acting)),
        "set WUD_WATCHER_<name>_WATCHBYDEFAULT=false there and the label wud.watch=true on what it may update, or the "
        "trigger's AUTO=false",
    )


def _by_its_own_settings(title):
    def judge(container, _ours, bundle):
        return _warning(
            container,
            title,
            "it can update containers by itself, by settings that only it can read. Leave the project %s out; %s"
            % (bundle["project"]["name"], _PROMISE),
        )

    return judge


_KNOWN = (
    (_is_watchtower, _watchtower),
    (_named(r"(?:^|[/-])ouroboros$"), _ouroboros),
    (_named(r"(?:^|/)(?:wud|whats-up-docker|drydock)$"), _wud),
    (_named(r"(?:^|/)dockhand$"), _by_its_own_settings("Dockhand")),
    (_named(r"(?:^|/)dockmon$"), _by_its_own_settings("DockMon")),
    (_named(r"(?:^|/)tugtainer(?:-app)?$"), _by_its_own_settings("Tugtainer")),
)
