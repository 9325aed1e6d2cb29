# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tables of `bad_inputs`: paths, maps, and values that only one setting can be given.

Each row is `(class, value, what must be found)`; None there: it must be refused.
"""

from __future__ import annotations

import datetime

CANARY = "@CANARY@"
_DATE = datetime.date(2026, 1, 1)
_LONG = "a" * 300000

# Texts that go where free text is meant to go, and come back byte for byte.
FREE = [
    "$HOME", "${HOME}", "$(touch " + CANARY + ")", "`touch " + CANARY + "`", "x; touch " + CANARY,
    "{{ lookup('pipe', 'touch " + CANARY + "') }}", "{% raw %}", "{# x #}", "it's", 'say "x"', "a #b", "#", "a: b",
    " a ", "\\", "a\\nb", "\\$", "$$",
    "é漢\U0001f642", "%n", "0755", "22:22", "yes", "null", "1e3", "2026-01-01", "~", "*a",
    "!x", "a" * 70000, "<&>]]>", "a=b,c",
]  # fmt: skip
# The same where nothing invisible is refused.
INVISIBLE = ["a\tb", "a\x1bb", "a\u202eb", "\ufeffa", "a\u00a0b", "a\u2028b", "a\x85b", "a\x7f"]

# -- paths -----------------------------------------------------------------------------------------------------------

PATHS = [
    ("relative", "media", None),
    ("home", "~/media", None),
    ("somebody's home", "~root/media", None),
    ("up", "/srv/../etc/x", None),
    ("up at the end", "/srv/x/..", None),
    ("variable", "/srv/$HOME", None),
    ("variable in braces", "/srv/${HOME}", None),
    ("command", "/srv/$(touch " + CANARY + ")", None),
    ("colon", "/srv/a:b", None),
    ("comma", "/srv/a,b", None),
    ("backslash", "/srv/a\\b", None),
    ("template", "/srv/{{ lookup('pipe', 'touch " + CANARY + "') }}", None),
    ("statement", "/srv/{% x %}", None),
    ("token", "/srv/@@mediastack:bind@@", None),
    ("line end", "/srv/a\nb", None),
    ("NUL", "/srv/a\0b", None),
    ("escape", "/srv/a\x1b[2Jb", None),
    ("right to left", "/srv/a\u202eb", None),
    ("tab", "/srv/a\tb", None),
    ("no-break space", "/srv/a\u00a0b", None),
    ("blank at the end", "/srv/a ", None),
    ("a name too long", "/srv/" + "a" * 256, None),
    ("a name too long in bytes", "/srv/" + "é" * 128, None),
    ("too long", "/srv" + "/abcdefg" * 600, None),
    ("blank", "/srv/a b", "/srv/a b"),
    ("quotes", '/srv/it\'s "it"', '/srv/it\'s "it"'),
    ("backticks", "/srv/`touch x`", "/srv/`touch x`"),
    ("semicolon", "/srv/;touch x", "/srv/;touch x"),
    ("comment", "/srv/{# x #}", "/srv/{# x #}"),
    ("hash", "/srv/# x", "/srv/# x"),
    ("percent", "/srv/%n%%", "/srv/%n%%"),
    ("star", "/srv/*[a-z]?", "/srv/*[a-z]?"),
    ("signs", "/srv/!&|<>()=", "/srv/!&|<>()="),
    ("option", "/srv/-rf", "/srv/-rf"),
    ("beyond U+FFFF", "/srv/é漢\U0001f642", "/srv/é漢\U0001f642"),
    ("combined", "/srv/e\u0301", "/srv/e\u0301"),
    ("half of it escaped", "/srv/ud83d\U0001f642", "/srv/ud83d\U0001f642"),
    ("slashes", "//srv//x///", "/srv/x"),
    ("dots", "/srv/./x/.", "/srv/x"),
    ("a name of 255 bytes", "/srv/" + "a" * 255, "/srv/" + "a" * 255),
]
# Only of directories that the stack will own.
PLACES = [
    (path, path, None)
    for path in (
        "/", "//", "/.", "/home", "/home/alice", "/home/alice/", "/./root", "/srv", "/srv/", "/volume1", "/mnt/user",
        "/etc", "/etc/mediastack", "/proc/self/root/srv/x", "/sys/x", "/dev/shm/x", "/boot/x", "/usr/local/x",
        "/var/lib", "/var/lib/docker/x", "/var/run/x", "/run/x", "/tmp", "/mnt/disk1", "/share/CACHEDEV1_DATA",
    )  # noqa: S108 (none of them is made)
]  # fmt: skip

# -- maps ------------------------------------------------------------------------------------------------------------

_NAMES = [
    ("no such name", "sonar"),
    ("no such name", "nope"),
    ("line end in a name", "sonarr\n"),
    ("escape in a name", "sonarr\x1b[2J"),
    ("right to left in a name", "son\u202earr"),
    ("capitals", "Sonarr"),
    ("blank in a name", "sonarr "),
    ("empty name", ""),
    ("template in a name", "{{ lookup('pipe', 'touch " + CANARY + "') }}"),
    ("command in a name", "$(touch " + CANARY + ")"),
    ("path in a name", "../sonarr"),
    ("huge name", "a" * 70000),
    ("NUL in a name", "sonarr\0"),
]


def _named(value):
    return [(kind, {name: value}, None) for kind, name in _NAMES]


def _at_sonarr(values):
    return [(repr(value)[:40], {"sonarr": value}, None) for value in values]


_SERVICES = [
    *_named(True),
    *_at_sonarr([2, -1, 1.5, None, "", "maybe", "ja", [], [True], {}, {"on": True}, _DATE, "a\0", "$(id)"]),
    ("word", {"sonarr": "off"}, {"sonarr": False}),
    ("word", {"bazarr": "yes"}, {"bazarr": True}),
    ("successor", {"overseerr": True}, {"overseerr": True}),
]
_PORTS = [
    *_named(8990),
    *_at_sonarr([0, -1, 65536, 70000, 8990.5, 8990.0, True, None, "", "web", "8990/tcp", "8990:8989", "0x2320", "1e3"]),
    *_at_sonarr(["８９９０"]),
    *_at_sonarr([[8990], [], _DATE, "$(id)", 10**30, "9" * 30, {"web": None}, {"web": []}, {"web": {"a": 1}}]),
    ("no such port", {"sonarr": {"wbe": 8990}}, None),
    ("escape in the name of a port", {"sonarr": {"web\x1b[2J": 8990}}, None),
    ("number as name of a port", {"sonarr": {5: 8990}}, None),
    ("twice", {"sonarr": 8990, "radarr": 8990}, None),
    ("twice, once as text", {"sonarr": 8990, "radarr": "8990"}, None),
    ("twice in one", {"traefik": {"web": 8990, "https": 8990}}, None),
    ("the VPN's torrent port", {"sonarr": 6881}, None),
    ("not published", {"flaresolverr": 8990}, None),
    ("as text", {"sonarr": "8990"}, {"sonarr": 8990}),
    ("least", {"sonarr": 1}, {"sonarr": 1}),
    ("most", {"sonarr": {"web": 65535}}, {"sonarr": {"web": 65535}}),
    ("with a zero", {"sonarr": "08990"}, {"sonarr": 8990}),
]
_IMAGE = "lscr.io/linuxserver/sonarr"
_IMAGES = [
    *_named(_IMAGE + ":4"),
    *_at_sonarr([None, 4, 1.1, True, "", [], [_IMAGE + ":4"], {}, _DATE, _IMAGE, "Sonarr:4", _IMAGE + ":", ":4"]),
    *_at_sonarr([_IMAGE + ":4\n", _IMAGE + ":4 ", _IMAGE + ":$(id)", _IMAGE + ":4; touch " + CANARY, "-v:4", "../x:4"]),
    *_at_sonarr([_IMAGE + ":" + "a" * 129, "http://x/y:4", "a//b:4", "{{ x }}:4", "a:b:c", _IMAGE + "@sha256:abc"]),
    *_at_sonarr(["a-" * 40000 + ":4", "é:4", _IMAGE + ":4\0", _IMAGE + ":4\u202e"]),
    ("digest", {"sonarr": "a/b@sha256:" + "0" * 64}, {"sonarr": "a/b@sha256:" + "0" * 64}),
    ("registry with a port", {"sonarr": "h.example:5000/a/b:v1"}, {"sonarr": "h.example:5000/a/b:v1"}),
    ("words of YAML", {"sonarr": "a/b:on"}, {"sonarr": "a/b:on"}),
    ("numbers of YAML", {"sonarr": "a/b:1e3"}, {"sonarr": "a/b:1e3"}),
]
_MEMORY = [
    *_named("512m"),
    *_at_sonarr(
        [None, 512, 0, -1, 1.5, True, "", [], ["1g"], {}, {"a": "1g"}, _DATE, "512", "1G", "512 m", "1gb", "-1g"]
    ),
    *_at_sonarr(["0m", "031m", "1m", "31m", "6k", "1.5g", "1e3m", "９m", "99999999g", "1g\n", "1g\0", "$(id)", "1t"]),
    ("least", {"sonarr": "32m"}, {"sonarr": "32m"}),
    ("most", {"sonarr": "9999999g"}, {"sonarr": "9999999g"}),
]
_ENV = [
    *[(name, {name: "x"}, None) for name in ("", "1A", "A-B", "A B", "A=B", "É", "A\n", "A\0", "$A", "a.b")],
    *[(name, {name: "x"}, None) for name in ("TZ", "PUID", "COMPOSE_FILE", "DOCKER_HOST")],
    *[(repr(value)[:40], {"A": value}, None) for value in (True, None, [], ["a"], {}, {"a": "b"}, _DATE, b"x")],
    *[(repr(value), {"A": value}, None) for value in (float("nan"), float("inf"), 10**30)],
    *[(repr(value), {"A": value}, {"A": str(value)}) for value in (0, 5, -1, 8080, 1.5)],
    *[(repr(value)[:40], {"A": value}, None) for value in ("a\nb", "a\rb", "a\0b", "@@mediastack:bind@@", _LONG)],
    ("a huge name", {"A" * 70000: "x"}, None),
    *[(repr(value)[:40], {"A": value}, {"A": value}) for value in (*FREE, *INVISIBLE, "")],
]  # fmt: skip
_KEY = "sonarr_api_key"
# One of each kind of file.
_HELD = (_KEY, "tautulli_password", "sabnzbd_nzb_key", "bazarr_api_key", "tdarr_api_key", "gluetun_api_key")
_SECRETS = [
    *_named("x"),
    *[(repr(value)[:40], {_KEY: value}, None) for value in (5, 1.1, True, None, "", [], ["a"], {}, {"a": "b"}, _DATE)],
    *[(repr(value)[:40], {_KEY: value}, None) for value in ("a\nb", "a\0b", "@@mediastack:bind@@", *INVISIBLE)],
    ("both quotes at an end", {_KEY: "'a\""}, None),
    *[
        (repr(value)[:40], dict.fromkeys(_HELD, value), dict.fromkeys(_HELD, value))
        for value in FREE
        if len(value) < 99
    ],
    *[(repr(value)[:40], {_KEY: value}, {_KEY: value}) for value in FREE if len(value) >= 99],
]


def _keys(*values):
    return [(repr(value)[:60], {"sonarr": value}, None) for value in values]


def _set(value):
    return {"sonarr": {"environment": {"A": value}}}


_MANY = {"sonarr": {"labels": {f"k{number}": "v" for number in range(2000)}}}
_OVERRIDES = [
    *_named({"mem_limit": "1g"}),
    *_keys(None, "x", 5, True, [], ["a"], _DATE),
    *_keys({"imge": "x"}, {"x-mediastack": {}}, {"container_name": "x"}, {"build": "."}, {"profiles": ["x"]}),
    *_keys({5: "x"}, {True: "x"}, {None: "x"}, {"mem_limit": _DATE}, {"mem_limit": b"1g"}, {"cpus": float("nan")}),
    *_keys({"cpus": float("inf")}, {"mem_limit": 10**30}, {"environment": "A=1"}, {"environment": 5}),
    *_keys({"environment": ["A=1", 2]}, {"environment": [True]}, {"environment": {"A=B": "x"}}),
    *_keys(
        {"environment": {5: "x"}},
        {"environment": {"": "x"}},
        {"labels": "a"},
        {"labels": {"a": True}},
        {"labels": {"a": []}},
    ),
    *_keys({"ports": "80:80"}, {"ports": [True]}, {"ports": [1.5]}, {"ports": ["-1:80"]}, {"ports": ["web"]}),
    *_keys({"healthcheck": "x"}, {"depends_on": {"nope": {}}}, {"hostname": "a\0b"}, {"hostname\n": "x"}),
    *_keys({"hostname\x1b[2J": "x"}, {"labels": {"a": {"b": {"c": _DATE}}}}, {"image": "x:1\n"}),
    *[(repr(value), _set(value), None) for value in (True, False, [], ["a"], {}, _DATE, b"x", float("nan"), 10**30)],
    *[(value, _set(value), None) for value in ("$", "$(touch " + CANARY + ")", "a $ b", "$1", "${HOME}", "$HOME")],
    *[(repr(value)[:40], _set(value), None) for value in ("a\0b", "@@mediastack:bind@@", _LONG)],
    *[
        (repr(value)[:40], _set(value.replace("$", "$$")), _set(value))
        for value in (*FREE, *INVISIBLE, "", "a\nb\n", "\n")
    ],
    ("command", {"sonarr": {"command": ["touch x; echo $$HOME"]}}, {"sonarr": {"command": ["touch x; echo $HOME"]}}),
    ("huge number of keys", _MANY, _MANY),
    *[(repr(number), _set(number), _set(str(number))) for number in (0, 5, -1, 8080, 1.5, 1000000.5)],
    ("a label", {"sonarr": {"labels": {"a": 5}}}, {"sonarr": {"labels": {"a": "5"}}}),
    ("a port", {"sonarr": {"ports": [8080]}}, {"sonarr": {"ports": ["8080"]}}),
]

# What Traefik is given for a DNS provider, each as a file.
_CREDENTIALS = [
    ("small letters", {"cf_token": "x"}, None),
    ("blank in the name", {"CF TOKEN": "x"}, None),
    ("equals in the name", {"CF=TOKEN": "x"}, None),
    ("digit first", {"5CF": "x"}, None),
    ("no name", {"": "x"}, None),
    ("line end in the name", {"CF\nTOKEN": "x"}, None),
    ("command in the name", {"$(touch " + CANARY + ")": "x"}, None),
    ("path in the name", {"../CF": "x"}, None),
    ("empty", {"CF_TOKEN": ""}, None),
    ("line end", {"CF_TOKEN": "a\nb"}, None),
    ("NUL", {"CF_TOKEN": "a\0b"}, None),
    ("escape", {"CF_TOKEN": "a\x1bb"}, None),
    ("right to left", {"CF_TOKEN": "a\u202eb"}, None),
    ("nothing", {"CF_TOKEN": None}, None),
    ("list", {"CF_TOKEN": ["x"]}, None),
    ("map", {"CF_TOKEN": {"a": "x"}}, None),
    ("no file for it", {"AWS_ACCESS_KEY_ID": "x"}, None),
    ("twice", {"CF_TOKEN": "x", "CF_TOKEN_FILE": "x"}, None),
    ("path for a text", {"TRANSIP_PRIVATE_KEY_PATH": "/srv/key.pem"}, None),
    ("path that Traefik has not", {"ACME_DNS_STORAGE_PATH": "/srv/acme.json"}, None),
]
# Names that stand in an address, in a file's name and in a rule of authentik; maps of lists and of maps.
_WRONG_NAMES = [
    ("line end in a name", "a\nb"),
    ("escape in a name", "a\x1b[2J"),
    ("right to left in a name", "a\u202eb"),
    ("empty name", ""),
    ("template in a name", "{{ lookup('pipe', 'touch " + CANARY + "') }}"),
    ("command in a name", "$(touch " + CANARY + ")"),
    ("backticks in a name", "`touch " + CANARY + "`"),
    ("path in a name", "../users"),
    ("quote in a name", 'a"]) or True #'),
    ("single quote in a name", "a'b"),
    ("tag of YAML in a name", "!Env HOME"),
    ("huge name", "a" * 70000),
    ("NUL in a name", "a\0b"),
    ("token in a name", "@@mediastack:secret:sonarr_api_key@@"),
    ("not of this alphabet", "é"),
    ("blank at the end of a name", "users "),
]
_SSO_GROUPS = [
    *[(kind, {name: ["all"]}, None) for kind, name in _WRONG_NAMES],
    *[
        (repr(value)[:40], {"users": value}, None)
        for value in (
            "all",
            5,
            True,
            None,
            {},
            {"all": True},
            [5],
            [None],
            [["all"]],
            ["sonar"],
            [""],
            ["All"],
            [_DATE],
        )
    ],
    ("template in a list", {"users": ["{{ x }}"]}, None),
    ("kept", {"My family": ["media", "homepage"], "0755": []}, {"My family": ["media", "homepage"], "0755": []}),
]
_SSO_USERS = [
    *[(kind, {name: {"groups": ["users"]}}, None) for kind, name in _WRONG_NAMES],
    ("capitals", {"Alice": {"groups": ["users"]}}, None),
    ("authentik's own", {"akadmin": {"groups": ["users"]}}, None),
    *[
        (repr(value)[:40], {"alice": value}, None)
        for value in ("users", ["users"], 5, True, None, {}, {"groups": []}, {"groups": "users"}, {"groups": [5]})
    ],
    ("no such group", {"alice": {"groups": ["user"]}}, None),
    ("no such key", {"alice": {"groups": ["users"], "password": "x"}}, None),
    *[
        (f"name {value!r}"[:40], {"alice": {"groups": ["users"], "name": value}}, None)
        for value in (5, True, [], "a\nb", "a\0b", "a\u202eb", "{{ x }}", "{% x %}", "a" * 201, "@@mediastack:bind@@")
    ],
    *[
        (f"mail {value!r}"[:40], {"alice": {"groups": ["users"], "email": value}}, None)
        for value in (5, "alice", "a@b c", "a@b\nc", "<a@b.c>", "a@b.c, d@e.f", "a" * 200 + "@b.c", "{{ x }}@b.c")
    ],
    *[
        (f"kept {value!r}"[:40], {"alice": {"groups": ["users"], "name": value}}, {"alice": value})
        for value in FREE
        if len(value) < 99 and not value.startswith(("{{", "{%"))
    ],
]
MAPS = {
    "sso_groups": _SSO_GROUPS,
    "sso_users": _SSO_USERS,
    "acme_credentials": _CREDENTIALS,
    "services": _SERVICES,
    "ports": _PORTS,
    "images": _IMAGES,
    "memory_limits": _MEMORY,
    "env": _ENV,
    "secrets": _SECRETS,
    "overrides": _OVERRIDES,
}
# What only YAML itself can say.
RAW_MAPS = {
    "ports": [
        ("sexagesimal", "{sonarr: 22:22}"),
        ("octal", "{sonarr: 0755}"),
        ("hexadecimal", "{sonarr: 0x2320}"),
        ("grouped", "{sonarr: 8_990}"),
        ("sexagesimal, named", "{sonarr: {web: 22:22}}"),
    ],
    "env": [
        ("octal", "{A: 0755}"),
        ("sexagesimal", "{A: 22:22}"),
        ("word", "{A: yes}"),
        ("zero at the end", "{A: 1.10}"),
        ("grouped", "{A: 1_000}"),
        ("exponent in YAML", "{A: 1.0e+3}"),
    ],  # fmt: skip
    "overrides": [
        ("sexagesimal", "{sonarr: {ports: [22:22]}}"),
        ("octal", "{sonarr: {environment: {A: 0755}}}"),
        ("sexagesimal", "{sonarr: {environment: {A: 22:22}}}"),
        ("grouped", "{sonarr: {labels: {a: 1_000}}}"),
        ("zero at the end", "{sonarr: {labels: {a: 1.10}}}"),
        ("octal", "{sonarr: {ports: [0755]}}"),
        ("sexagesimal elsewhere", "{sonarr: {stop_grace_period: 1:30}}"),
        ("word", "{sonarr: {environment: {A: yes}}}"),
        ("date", "{sonarr: {labels: {built: 2026-01-01}}}"),
        ("itself", "&a {sonarr: *a}"),
        ("deep", "{sonarr: " + "[" * 80 + "]" * 80 + "}"),
        ("a set", "!!set {sonarr}"),
    ],
    "services": [("itself", "&a {sonarr: *a}"), ("a set", "!!set {sonarr}")],
}
