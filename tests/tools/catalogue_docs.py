#!/usr/bin/env python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the parts of the documentation that the catalogue knows: catalogue_docs.py [--check]

The README's table of services, the values of docs/first-hour.md, and what docs/hardening.md says of each service. Each
stands between two marks, <!-- catalogue:NAME --> and <!-- /catalogue:NAME -->. --check changes nothing and ends with 1
when one is out of date.
"""

import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / ".ansible" / "collections"))

# pylint: disable=wrong-import-position
from ansible.parsing.dataloader import DataLoader  # noqa: E402
from ansible.plugins.loader import init_plugin_loader  # noqa: E402
from ansible.template import Templar  # noqa: E402

init_plugin_loader([str(ROOT / ".ansible" / "collections")])

from ansible_collections.homelab.mediastack.plugins.plugin_utils import render, settings  # noqa: E402

DOCUMENTS = ("README.md", "docs/first-hour.md", "docs/hardening.md")
# Where an app's login comes from: shortly for the table, in full for the first hour.
LOGINS = {
    "preset": "generated",
    "env": "generated",
    "servarr": "generated",
    "jellyfin": "generated",
    "wizard": "its first page asks",
    "none": "none: 127.0.0.1 only",
    "no_ui": "–",
}
ASKED = {
    "wizard": "its first page asks for one: open it right after the first `site`, before anyone else does",
    "none": "it has none: published on 127.0.0.1 only, unless it stands in `mediastack_open_uis`",
}


class Book:
    """The whole catalogue, rendered with the defaults.

    Attributes:
        facts: what the service files say literally, by app.
        services: the bundle's entries, by service.
        definitions: the Compose definitions, by service.
        meta: `x-mediastack`, by service.
        defaults: the default of every setting.
    """

    def __init__(self, vpn_enabled=True):
        renderer = render.Renderer()
        self.facts = renderer.facts
        self.defaults = {name: option["default"] for name, option in settings.load_spec().items()}
        switches = {app: True for app in self.facts if app != "gluetun"}
        values = {**self.defaults, "mediastack_vpn_enabled": vpn_enabled, "mediastack_services": switches}
        selection = renderer.select(values)
        templar = Templar(loader=DataLoader())
        rendered = renderer.render(values, {}, templar, selection)
        bundle = renderer.build(rendered, values, templar)
        self.services = bundle["services"]
        self.definitions = rendered.stack.definitions
        self.meta = {name: service.meta for name, service in rendered.catalogue.services.items()}
        self.members = set(bundle["vpn"]["members"])

    def ports(self, name):
        """The service's ports by name, also when gluetun publishes them."""
        entries = [port for service in self.services.values() for port in service["ports"] if port["service"] == name]
        return {port["name"]: port for port in entries}

    def wired(self, kind):
        """The services of a kind of wiring, with their `wiring` entry."""
        return [(name, s) for name, s in self.services.items() if (s.get("wiring") or {}).get("kind") == kind]


def row(*cells):
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"


def services_table(book):
    """The README's table: app, profile, whether it runs by default, its port, image and login."""
    lines = [
        row("app", "profile", "by default", "port", "login", "image"),
        row(*["---"] * 6),
    ]
    for app, fact in book.facts.items():
        own = {name: service for name, service in book.services.items() if service["app"] == app}
        web = next((port for name in own if (port := book.ports(name).get("web"))), None)
        main = own[web["service"]] if web else next(iter(own.values()))
        running = "yes" if is_default(book, app) else "–"
        profile = ", ".join(f"`{name}`" for name in fact.profiles if name != "always")
        if "always" in fact.profiles:
            profile = "always"
        elif not profile:
            users = [other for other, entry in book.facts.items() if app in entry.requires]
            profile = "with " + ", ".join(users) if users else "by name only"
        title = next(iter(own.values()))["title"]
        lines.append(
            row(
                f"{title} (`{app}`)" if title.lower() != app else title,
                profile,
                running,
                str(web["port"]) if web else "–",
                LOGINS[(main.get("login") or {"kind": "no_ui"})["kind"]],
                f"`{main['image']}`",
            )
        )
    legacy = [f"`{old}` selects {app}" for app, fact in book.facts.items() for old in fact.replaces]
    return "\n".join([*lines, "", "Names of apps that are no more: " + ", ".join(legacy) + ", with a message."])


def is_default(book, app):
    """Whether the defaults select the app."""
    chosen = {"always", *book.defaults["mediastack_profiles"]}
    if chosen & set(book.facts[app].profiles):
        return True
    return any(app in fact.requires and chosen & set(fact.profiles) for fact in book.facts.values())


def secret(name):
    """How the documentation names a secret's value."""
    return f"*secret* `{name}`"


def login_of(service):
    """User and password of a service's web interface, for a table; None without one of ours."""
    login = service.get("login") or {}
    if not login.get("password"):
        return None
    user = f"`{login['username']}`" if login.get("username") else "no user name"
    return f"{user}, {secret(login['password'])}"


def logins(book):
    """Where to log in, and as whom."""
    lines = [row("app", "port", "user, password"), row("---", "---", "---")]
    for name, service in book.services.items():
        web = book.ports(name).get("web")
        kind = (service.get("login") or {}).get("kind")
        if web and kind != "no_ui":
            lines.append(row(service["title"], str(web["port"]), login_of(service) or ASKED[kind]))
    return "\n".join(lines)


def api_key(name):
    """How the documentation names an app's API key."""
    return secret(f"{name}_api_key")


def download_clients(book):
    """What Sonarr, Radarr and Lidarr want to know about each download client."""
    lines = [row("client", "host", "port", "credentials", "folder"), row(*["---"] * 5)]
    for kind in ("qbittorrent", "transmission", "deluge", "sabnzbd", "nzbget"):
        for name, service in book.wired(kind):
            wiring = service["wiring"]
            credentials = api_key(name) if kind == "sabnzbd" else login_of(service)
            lines.append(
                row(service["title"], f"`{name}`", str(wiring["port"]), credentials, f"`{wiring['downloads']}`")
            )
    return "\n".join(lines)


def managers(book):
    """Root folder, category and API key of each *arr."""
    lines = [row("app", "root folder", "category", "address for other apps", "API key"), row(*["---"] * 5)]
    for name, service in book.wired("servarr"):
        wiring = service["wiring"]
        target = book.ports(name)["web"]["target"]
        lines.append(
            row(
                service["title"],
                f"`{wiring['root_folder']}`",
                f"`{wiring['category']}`",
                f"`http://{name}:{target}`",
                api_key(name),
            )
        )
    return "\n".join(lines)


def libraries(book):
    """The folders of a media server's libraries."""
    lines = [row("server", "library", "folder"), row(*["---"] * 3)]
    for kind in ("jellyfin", "plex"):
        for _name, service in book.wired(kind):
            for library, folder in service["wiring"]["libraries"].items():
                lines.append(row(service["title"], library, f"`{folder}`"))
    return "\n".join(lines)


def vpn_difference(book, without):
    """What changes with the VPN off: nothing of the values, as long as this finds nothing."""
    shown = (logins, download_clients, managers, libraries)
    changed = [part.__name__ for part in shown if part(book) != part(without)]
    if changed:
        raise SystemExit(f"with the VPN off {', '.join(changed)} differ: docs/first-hour.md must show both")
    behind = ", ".join(book.services[name]["title"] for name in sorted(book.members))
    return (
        f"Behind the VPN: {behind}. With `mediastack_vpn_enabled: false` they get a network of their own. "
        "Their names, ports and folders stay the same, because gluetun answers to the names of those behind it: "
        "every value on this page holds for both."
    )


def real_programs(book):
    """The apps that are real programs in the lab, and where those come from."""
    table = tomllib.loads((ROOT / "tests" / "lab" / "images" / "images.toml").read_text(encoding="utf-8"))["image"]
    sources = {"debian": "Debian", "pypi": "PyPI"}
    lines = [row("real program in the demo", "from"), row("---", "---")]
    for entry, image in table.items():
        runs = image.get("runs")
        if isinstance(runs, dict):
            title = book.services[entry]["title"] if entry in book.services else entry
            (kind, package), *_rest = runs.items()
            lines.append(row(title, f"{sources[kind]}, `{package}`"))
    return "\n".join(lines)


def runs_as(definition, meta):
    """Whose the processes of a service are."""
    if definition.get("user"):
        return definition["user"].replace("${PUID}:${PGID}", "PUID:PGID")
    if meta.get("run_as") != "root":
        return "the image's user"
    # gluetun has the ids for its files only.
    dropping = "PUID" in (definition.get("environment") or {}) and "NET_ADMIN" not in definition.get("cap_add", [])
    return "root, then PUID:PGID" if dropping else "root"


def hardening(book):
    """What each service may do, and why: user, capabilities, root file system."""
    lines = [row("service", "runs as", "capabilities", "root", "why"), row(*["---"] * 5)]
    for name, definition in book.definitions.items():
        reason = book.meta[name]["privileges"].strip()
        lines.append(
            row(
                f"`{name}`",
                runs_as(definition, book.meta[name]),
                ", ".join(f"`{power}`" for power in definition.get("cap_add", [])) or "none",
                "read-only" if definition.get("read_only") else "writable",
                reason[0].upper() + reason[1:],
            )
        )
    return "\n".join(lines)


def parts():
    """Every generated part, by name."""
    book, without = Book(), Book(vpn_enabled=False)
    return {
        "services": services_table(book),
        "real": real_programs(book),
        "logins": logins(book),
        "download-clients": download_clients(book),
        "managers": managers(book),
        "libraries": libraries(book),
        "vpn": vpn_difference(book, without),
        "hardening": hardening(book),
    }


def filled(text, generated):
    """The text with every part between its marks replaced."""

    def part(match):
        if match["name"] not in generated:
            raise SystemExit(f"no part is called {match['name']!r}; there are {', '.join(generated)}")
        return f"{match['open']}\n\n{generated[match['name']]}\n\n{match['close']}"

    pattern = r"(?P<open><!-- catalogue:(?P<name>[a-z-]+) -->).*?(?P<close><!-- /catalogue:(?P=name) -->)"
    return re.sub(pattern, part, text, flags=re.DOTALL)


def main(arguments):
    """Write, or compare; return the exit code."""
    generated, stale = parts(), []
    for name in DOCUMENTS:
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        after = filled(before, generated)
        if after != before:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(after, encoding="utf-8")
    if "--check" in arguments and stale:
        print(f"out of date: {', '.join(stale)}; make docs writes them")
        return 1
    print(f"written: {', '.join(stale)}" if stale else "up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
