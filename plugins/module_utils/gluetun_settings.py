# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether gluetun accepts its environment variables, told before it is started.

gluetun checks them itself at its start, stops at the first mistake, in random order, and its container restarts for
ever. Here every mistake is found at once, named with variable, value unless it is secret, and remedy.
"""

from __future__ import annotations

import re

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    gluetun_settings_other,
    gluetun_settings_warnings,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_settings_reader import Reader
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_settings_vpn import Vpn
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_variables import SECRET_FILES

_PEM = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]+-----")


def validate(env, release, files=None):
    """What gluetun would refuse, one sentence each; empty means that it accepts.

    Parameters: `env`, variable → value; `release`, the tag of its image with or without `v` (`v3.41.3`, `3.41.3`,
    `v3`, `latest`); `files`, path in the container → text, for files that variables name (OPENVPN_CUSTOM_CONFIG).
    A file that is neither there nor readable here is taken for well, and is a warning.

    Names of servers, countries and the like are compared by gluetun with a list inside its image. Here they pass, and
    are a warning.

    Rules of v3.41.3, and what is known to differ in v3.38 to v3.41.2 and on master.
    """
    reader = Reader(env, release)
    vpn = Vpn(reader, files)
    vpn.check()
    gluetun_settings_other.check(reader, vpn.name)
    return list(dict.fromkeys(reader.problems))


def warnings(env, release, files=None):
    """What gluetun accepts and its user should know, one sentence each: leaks, names that have no effect, values that
    cannot be checked here. Parameters as of `validate`.
    """
    reader = Reader(env, release)
    vpn = Vpn(reader, files)
    return gluetun_settings_warnings.find(reader, vpn, release)


def with_secrets(env, secrets):
    """`env` as gluetun sees it with Compose secrets, which win over variables.

    `secrets`: name of the file in /run/secrets → text. PEM armour is stripped from certificates and keys, as gluetun
    does with files only.
    """
    result = dict(env)
    for name, text in secrets.items():
        variable = SECRET_FILES.get(name, name.upper())
        value = str(text).strip()
        if variable in ("OPENVPN_CERT", "OPENVPN_KEY", "OPENVPN_ENCRYPTED_KEY"):
            value = "".join(_PEM.sub("", value).split())
        result[variable] = value
    return result
