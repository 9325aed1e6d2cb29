# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where settings come from besides the inventory: the controller's config.yml and its environment.

Both are read as plain text: nothing in them is ever templated.
"""

from __future__ import annotations

import dataclasses
import os
import stat

import yaml

from .closest import hint, near_miss

PREFIX = "mediastack_"
ENVIRONMENT_PREFIX = "MEDIASTACK_"
CONFIG_FILE = "config.yml"
ENVIRONMENT = "environment"
SEE = "See docs/settings.md or ansible-doc -t role homelab.mediastack.mediastack."
# Names below the prefix that are not settings: the hosts pattern of the plays, and what is the user's own.
NOT_SETTINGS = (PREFIX + "hosts",)
OWN_PREFIX = PREFIX + "x_"

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(frozen=True)
class Given:
    """A value, the kind of its source (`config.yml`, `environment`, `inventory`) and the place to show for it."""

    value: object
    source: str
    where: str


def is_not_a_setting(name):
    """Whether a name below the prefix is none of our business."""
    return name in NOT_SETTINGS or name.startswith(OWN_PREFIX)


def config_path(environ):
    """The controller's config.yml, `$XDG_CONFIG_HOME/mediastack/config.yml`, or `None` without a home.

    A relative `XDG_CONFIG_HOME` is ignored, as the XDG base directory specification says.
    """
    base = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):
        home = environ.get("HOME", "")
        if not os.path.isabs(home):
            return None
        base = os.path.join(home, ".config")
    return os.path.join(base, "mediastack", "config.yml")


def read_config_file(path, spec):
    """Read the settings of config.yml; names with or without the prefix.

    Parameters:
        path: the file, or `None`; one that does not exist holds nothing.
        spec: the argument specification, by name.
    Returns:
        `({name: Given}, errors, warnings)`.
    """
    if path is None:
        return {}, [], []
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
            readable_by_all = bool(os.fstat(stream.fileno()).st_mode & stat.S_IROTH)
    except FileNotFoundError:
        return {}, [], []
    except (OSError, UnicodeDecodeError) as error:
        return {}, [f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"], []
    try:
        pairs = _pairs(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        return {}, [f"{path}{line}: not YAML: {getattr(error, 'problem', None) or 'it cannot be parsed'}"], []
    given, errors, warnings = {}, [], []
    for key, line, value in pairs:
        where = f"{path}:{line}"
        name = key if isinstance(key, str) and key.startswith(PREFIX) else f"{PREFIX}{key}"
        if is_not_a_setting(name):
            continue
        if name not in spec:
            errors.append(f"{where}: {key} is not a setting. {hint(name, spec, SEE)}")
        elif name in given:
            errors.append(f"{where}: {name} stands here a second time, first at {given[name].where}")
        else:
            given[name] = Given(value, CONFIG_FILE, where)
    secret = [name for name in given if spec[name].get("no_log")]
    if secret and readable_by_all:
        warnings.append(f"{path} holds secrets ({', '.join(secret)}) and everybody can read it: chmod 600 {path}")
    return given, errors, warnings


def _pairs(text):
    """The top-level keys with their lines and values."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return []
        if not isinstance(node, yaml.MappingNode):
            raise yaml.MarkedYAMLError(
                problem="the settings must be a map of name: value", problem_mark=node.start_mark
            )
        return [
            (
                loader.construct_object(key, deep=True),
                key.start_mark.line + 1,
                loader.construct_object(value, deep=True),
            )
            for key, value in node.value
        ]
    finally:
        loader.dispose()


def read_environment(environ, spec):
    """Read the settings of the environment, `MEDIASTACK_<NAME>`; an empty variable counts as not set.

    Returns:
        `({name: Given}, errors, warnings)`.
    """
    given, errors, warnings = {}, [], []
    known = [ENVIRONMENT_PREFIX + name[len(PREFIX) :].upper() for name in spec]
    for variable in sorted(environ):
        if not variable.startswith(ENVIRONMENT_PREFIX) or not environ[variable]:
            continue
        name = PREFIX + variable[len(ENVIRONMENT_PREFIX) :].lower()
        where = f"environment variable {variable}"
        if name in spec:
            given[name] = Given(environ[variable], ENVIRONMENT, where)
        elif name in NOT_SETTINGS:
            warnings.append(f"{where} has no effect: give -e {name}=... instead")
        elif not is_not_a_setting(name):
            near = near_miss(variable, known)
            if near:
                errors.append(f"{where} is not a setting. Did you mean {near}?")
            else:
                warnings.append(f"{where} is not a setting and has no effect. {SEE}")
    return given, errors, warnings
