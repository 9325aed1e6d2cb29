# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finding, reading, selecting and rendering service files."""

from __future__ import annotations

import pytest
import render_harness as h

from ansible_collections.homelab.mediastack.plugins.plugin_utils import catalogue, compose_yaml, service_files
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

MINIMAL = """
services:
  {{ mediastack_service }}:
    image: example/app:1
    x-mediastack: {title: App, profiles: [mine]}
"""


@pytest.fixture
def world(tmp_path):
    return h.World(tmp_path)


def problems(call, *arguments, **named):
    with pytest.raises(RenderError) as caught:
        call(*arguments, **named)
    return str(caught.value)


def facts_of(world):
    return world.renderer().facts


# -- names, read without rendering


def test_names_come_from_all_files_the_users_too(world):
    world.write("mine", MINIMAL)
    names = catalogue.names(str(world.own), world.templates)
    assert names.apps == ("gluetun", "qbittorrent", "helper", "sonarr", "mine")
    assert names.profiles == {"extra": ["helper"], "mine": ["mine"]}
    assert names.services["sonarr"] == "sonarr"
    assert names.replaces == {"oldhelper": "helper"}
    assert names.ports["helper"] == ("web", "feed")
    assert {"sonarr_api_key", "wireguard_private_key"} <= names.secrets


def test_the_shipped_catalogue_reads_the_same_without_rendering_as_rendered(tmp_path):
    world = h.World(tmp_path, shipped=h.SHIPPED)
    facts = facts_of(world)
    profiles = sorted({profile for fact in facts.values() for profile in fact.profiles} - {"always"})
    bundle = world.bundle(mediastack_profiles=profiles, mediastack_gpu="vaapi", **h.VPN)
    scanned = {name for fact in facts.values() for name in fact.services}
    assert set(bundle["services"]) == scanned
    assert set(bundle["secrets"]) <= {secret for fact in facts.values() for secret in fact.secrets}


def test_expressions_with_braces_quotes_and_blocks_do_not_confuse_reading(world):
    world.write(
        "odd",
        """
{# a comment with {{ braces }} and services: #}
{% set name = 'x' %}
services:
  {{ mediastack_service }}:
    image: example/app:1
    environment: {{ {'A': {'B': '}}'}} | to_json }}
{% for n in [1, 2] %}
    k{{ n }}: {{ n }}
{% endfor %}
{% raw %}
    command: "{{.Port}}"
{% endraw %}
    x-mediastack:
      title: Odd
      profiles: []
      secrets: {{ '{' }}{{ mediastack_service ~ '_key' }}: {}}
""",
    )
    assert facts_of(world)["odd"].services == {"odd": ()}
    assert facts_of(world)["odd"].secrets == ("odd_key",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("services:\n  a:\n   image: x\n  b: [", "line 5"),
        ("services: {}\n", "no service"),
        ("just text", "no service"),
        ("services:\n  a: {image: x, x-mediastack: {title: A}}\n", "profiles is missing on its first service"),
        (
            "services:\n  a: {image: x, x-mediastack: {title: A, profiles: music}}\n",
            "'music': it must be a literal list",
        ),
        ("services:\n  a: {image: x, x-mediastack: {profiles: ['{{ p }}']}}\n", "must be a literal list"),
        ("services:\n  '{{ other }}': {image: x, x-mediastack: {profiles: []}}\n", "cannot name a service"),
        ("services:\n  a: {{ oops\n", "is not closed"),
        ("services:\n  bad: {x-mediastack: {profiles: [], like: sonar}}\n", "Did you mean sonarr?"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_what_is_wrong(world, text, expected):
    world.write("bad", text)
    message = problems(world.renderer)
    assert "bad.yml.j2" in message
    assert expected in message


def test_every_unreadable_file_is_named_at_once(world):
    world.write("bad1", "services: {}")
    world.write("bad2", "services: {}")
    world.write("Bad Name", MINIMAL)
    assert "'Bad Name' cannot name a service" in problems(world.renderer)
    (world.own / "Bad Name.yml.j2").unlink()
    message = problems(world.renderer)
    assert "bad1.yml.j2" in message and "bad2.yml.j2" in message


# -- selection


def apps(world, profiles=(), switches=None, vpn=False, also=()):
    return catalogue.select(facts_of(world), profiles, switches or {}, vpn, also)


def test_always_profiles_and_switches(world):
    assert apps(world).apps == ("qbittorrent", "sonarr")
    assert apps(world, ["extra"]).apps == ("qbittorrent", "helper", "sonarr")
    assert apps(world, switches={"qbittorrent": False, "helper": True}).apps == ("helper", "sonarr")
    assert apps(world, also=["helper"]).apps == ("qbittorrent", "helper", "sonarr")


def test_gluetun_runs_exactly_when_the_vpn_is_on(world):
    assert "gluetun" in apps(world, vpn=True).apps
    assert "gluetun" not in apps(world, vpn=False).apps
    assert "set mediastack_vpn_enabled alone" in problems(apps, world, switches={"gluetun": False}, vpn=True)
    assert "set mediastack_vpn_enabled alone" in problems(apps, world, switches={"gluetun": True}, vpn=False)


def test_a_legacy_name_selects_its_successor_and_says_so(world):
    selection = apps(world, switches={"oldhelper": True})
    assert "helper" in selection.apps
    assert selection.messages == ("mediastack_services.oldhelper: oldhelper is now helper; write helper instead",)


def test_what_is_switched_off_but_needed_is_an_error(world):
    message = problems(apps, world, ["extra"], {"sonarr": False})
    assert message == "helper needs sonarr, which mediastack_services switches off; switch helper off too"


def test_unknown_names_come_with_the_closest(world):
    assert "Did you mean extra?" in problems(apps, world, ["extar"])
    assert "Did you mean sonarr?" in problems(apps, world, switches={"sonnar": True})
    world.write("needy", MINIMAL.replace("profiles: [mine]", "profiles: [always], requires: [sonar]"))
    assert "Did you mean sonarr?" in problems(apps, world)


# -- VPN membership


def members(world, names, selected, vpn=True):
    return catalogue.vpn_members(facts_of(world), selected, names, vpn)


def test_members_are_the_listed_services_that_are_selected(world):
    selected = ("gluetun", "qbittorrent", "sonarr")
    assert members(world, ["qbittorrent", "helper"], selected) == ("qbittorrent",)
    assert members(world, ["qbittorrent"], selected, vpn=False) == ()


def test_a_second_torrent_client_is_behind_the_vpn_without_being_listed(world):
    world.write("qbit-tv", "services:\n  qbit-tv: {x-mediastack: {like: qbittorrent, title: TV, profiles: []}}\n")
    assert members(world, ["qbittorrent"], ("gluetun", "qbit-tv")) == ("qbit-tv",)


# -- rendering


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL.replace("example/app:1", "{{ no_such_variable }}"), "'no_such_variable' is undefined"),
        (MINIMAL.replace("title: App", "titel: App"), "x-mediastack.titel is unknown. Did you mean title?"),
        (MINIMAL.replace("title: App, ", ""), "x-mediastack.title is missing"),
        (MINIMAL.replace("    image: example/app:1\n", ""), "image is missing"),
        (MINIMAL + "    image: again\n", "the key 'image' stands twice"),
        (MINIMAL + "volume: {}\n", "'volume' cannot stand at the top of a service file. Did you mean volumes?"),
        (MINIMAL + "version: '3'\n", "'version' cannot stand at the top"),
        (MINIMAL + "volumes: [a]\n", "volumes must be a map"),
        (MINIMAL.replace("profiles: [mine]", "profiles: [mine], health: {kind: htpt}"), "Did you mean http?"),
        (
            MINIMAL.replace("profiles: [mine]", "profiles: [mine], ports: {web: 80}, health: {kind: http, port: wbe}"),
            "health.port is 'wbe': name one of its ports. Did you mean web?",
        ),
        (MINIMAL.replace("profiles: [mine]", "profiles: [mine], ports: {web: 0}"), "port is 0"),
        (
            MINIMAL.replace("profiles: [mine]", "profiles: [mine], ports: {web: {port: 1, expose: wan}}"),
            "expose is 'wan'",
        ),
        (MINIMAL.replace("profiles: [mine]", "profiles: [mine], login: {kind: nobody}"), "login.kind is 'nobody'"),
        (
            MINIMAL.replace("profiles: [mine]", "profiles: [mine], presets: [{path: ../x, format: xml}]"),
            "presets[0].path is '../x'",
        ),
        (
            MINIMAL.replace(
                "profiles: [mine]",
                "profiles: [mine], presets: [{path: x, format: text, keys: [{key: [a], value: b}]}]",
            ),
            "presets[0].keys: a file of the format text has none",
        ),
        (
            MINIMAL.replace("profiles: [mine]", "profiles: [mine], secrets: {k: {generate: {kind: hex, length: 2}}}"),
            "8 to 256 characters",
        ),
        (
            MINIMAL.replace("[mine]", "[mine], secrets: {k: {generate: {kind: alnum, length: 21}}}"),
            "generate.length is 21, which is 125 bits: write 22 or more (128 bits)",
        ),
        (
            MINIMAL.replace("profiles: [mine]", "profiles: [mine], secrets: {k: {generate: {kind: hex, length: 31}}}"),
            "generate.length is 31, which is 124 bits: write 32 or more",
        ),
        (MINIMAL.replace("profiles: [mine]", "profiles: [mine], secrets: {k: {fixed: ''}}"), "fixed is ''"),
        (MINIMAL.replace("profiles: [mine]", "profiles: [mine], secrets: {k: {adpot: []}}"), "Did you mean adopt?"),
    ],
)
def test_a_selected_file_with_a_mistake_is_refused_with_its_place(world, text, expected):
    world.write("app", text)
    message = problems(world.bundle, mediastack_services={"app": True})
    assert "app.yml.j2" in message
    assert expected in message


def test_an_app_that_takes_only_a_short_secret_names_the_page_that_says_so(world):
    spec = "{k: {generate: {kind: alnum, length: 8, limit: 'https://example.org/eight-characters'}}}"
    world.write("app", MINIMAL.replace("profiles: [mine]", f"profiles: [mine], secrets: {spec}"))
    secrets = world.bundle(mediastack_services={"app": True})["secrets"]
    assert secrets["k"]["generate"]["length"] == 8


def test_a_file_that_is_not_selected_is_not_rendered(world):
    world.write("app", MINIMAL.replace("example/app:1", "{{ no_such_variable }}"))
    assert "app" not in world.bundle()["services"]


def test_the_users_own_variables_can_be_used(world):
    world.write("app", MINIMAL.replace("example/app:1", "example/app:{{ mediastack_x_tag }}"))
    bundle = world.bundle(mediastack_services={"app": True}, task_vars={"mediastack_x_tag": "7"})
    assert bundle["services"]["app"]["image"] == "example/app:7"


def test_settings_are_not_templated_again(world):
    world.write("app", MINIMAL + "    command: {{ mediastack_x_text | to_json }}\n")
    renderer = world.renderer()
    text = catalogue.render("f", "a: {{ v | to_json }} {{ 1 }}\n", {"v": "{ { 7 * 7 } }"}, h.templar())
    assert text == 'a: "{ { 7 * 7 } }" 1\n'
    # a value with braces never gets as far as a second pass: what is left of a template is an error
    with pytest.raises(RenderError, match="is left after rendering"):
        catalogue.render("f", "a: {{ v | to_json }} {{ 1 }}\n", {"v": h.protect("{{ 7 * 7 }}")}, h.templar())
    assert renderer.facts["app"]


def test_braces_that_the_file_writes_itself_are_kept(world):
    world.write("app", MINIMAL + "{% raw %}\n    command: '{{.Names}}'\n{% endraw %}\n")
    definition = h.service(world.bundle(mediastack_services={"app": True}), "app")
    assert definition["command"] == "{{.Names}}"


def test_two_files_with_one_service_name_clash(world):
    world.write("app", MINIMAL.replace("{{ mediastack_service }}", "sonarr"))
    assert "the service sonarr is in" in problems(world.bundle, mediastack_services={"app": True})


def test_a_users_file_takes_the_place_of_the_collections_and_says_so(world):
    world.write("sonarr", MINIMAL.replace("[mine]", "[always]"))
    bundle = world.bundle()
    assert bundle["services"]["sonarr"]["image"] == "example/app:1"
    assert any("takes the place of the collection's sonarr" in message for message in bundle["messages"])


def test_what_a_legacy_service_says_is_told(world):
    assert "helper is legacy: it is old" in world.bundle(mediastack_profiles=["extra"])["messages"]


# -- like


def second_sonarr(world, extra=""):
    text = (
        "services:\n  sonarr-4k:\n    environment: {EXTRA: '1'}\n    x-mediastack:\n"
        "      like: sonarr\n      title: Sonarr 4K\n      profiles: [always]\n      ports: {web: 8990}\n" + extra
    )
    assert len(text.splitlines()) <= 10
    world.write("sonarr-4k", text)


def test_like_makes_a_second_instance_of_its_own(world):
    second_sonarr(world)
    bundle = world.bundle(mediastack_bind_addresses=["127.0.0.1"])
    first, second = bundle["services"]["sonarr"], bundle["services"]["sonarr-4k"]
    assert second["title"] == "Sonarr 4K"
    assert second["config_dir"].endswith("/config/sonarr-4k")
    assert h.published(h.service(bundle, "sonarr-4k")) == {("127.0.0.1", 8990, 8989, "tcp")}
    assert h.service(bundle, "sonarr-4k")["environment"] == {
        "PUID": "${PUID}",
        "API": "@@mediastack:secret:sonarr-4k_api_key@@",
        "EXTRA": "1",
    }
    assert bundle["secrets"]["sonarr-4k_api_key"]["adopt"][0]["path"].endswith("/config/sonarr-4k/config.xml")
    assert first["config_hash"] != second["config_hash"]
    assert second["health"] == first["health"]


def test_like_must_name_the_service_as_the_file(world):
    world.write("sonarr-4k", "services:\n  other: {x-mediastack: {like: sonarr, title: X, profiles: [always]}}\n")
    assert "must be named sonarr-4k" in problems(world.bundle)


def test_like_of_like_is_refused(world):
    second_sonarr(world)
    world.write("sonarr-8k", "services:\n  sonarr-8k: {x-mediastack: {like: sonarr-4k, title: X, profiles: []}}\n")
    assert "itself 'like' another app" in problems(world.renderer)


def test_services_of_a_file_of_several_are_renamed_with_what_refers_to_them(world):
    world.write(
        "suite",
        "services:\n"
        "  suite: {image: 'a:1', depends_on: [suite-db], x-mediastack: {title: S, profiles: []}}\n"
        "  suite-db: {image: 'b:1', x-mediastack: {title: DB}}\n",
    )
    world.write("suite2", "services:\n  suite2: {x-mediastack: {like: suite, title: S2, profiles: [always]}}\n")
    bundle = world.bundle()
    assert {"suite2", "suite2-db"} <= set(bundle["services"])
    assert h.service(bundle, "suite2")["depends_on"] == {"suite2-db": {"condition": "service_started"}}


# -- YAML as Compose reads it


def test_words_mean_what_they_mean_to_compose():
    document = compose_yaml.load("{a: on, b: 22:22, c: 1e3, d: 0644, e: true, f: 2024-01-01, g: ~, h: 1.5}")
    assert document == {
        "a": "on", "b": "22:22", "c": "1e3", "d": 0o644, "e": True, "f": "2024-01-01", "g": None, "h": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    "value", ["1e3", "0o17", "yes", "null", "", " x", "a: b", "#c", "*d", "2001-01-01", "x\ny\n", "\x07"]
)
def test_what_is_written_is_read_back(value):
    assert compose_yaml.load(compose_yaml.dump({"k": value})) == {"k": value}


def test_a_token_stands_in_double_quotes_wherever_it_is():
    text = compose_yaml.dump({"k": "first\n@@mediastack:secret:a@@\n", "p": "x@@mediastack:secret:a@@"})
    assert text == 'k: "first\\n@@mediastack:secret:a@@\\n"\np: "x@@mediastack:secret:a@@"\n'


def test_where_templates_are_is_found_from_the_plugin():
    assert (service_files.TEMPLATES / "env.j2").is_file()
