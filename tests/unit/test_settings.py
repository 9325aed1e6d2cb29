# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a setting's value comes from, and that everything wrong is said at once."""

import inspect

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.homelab.mediastack.plugins.plugin_utils import settings
from ansible_collections.homelab.mediastack.plugins.plugin_utils.catalogue import Names

KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
VPN = f"""
mediastack_vpn_provider: mullvad
mediastack_vpn_wireguard_private_key: {KEY}
mediastack_vpn_wireguard_addresses: [10.64.0.2/32]
"""
NAMES = Names(
    apps=("sonarr", "seerr", "gluetun", "traefik"),
    services={name: name for name in ("sonarr", "seerr", "gluetun", "traefik", "qbittorrent", "authentik-server")},
    profiles={"jellyfin": [], "music": [], "plex": []},
    replaces={"overseerr": "seerr"},
    ports={"sonarr": ("web",), "traefik": ("web", "https")},
    secrets=frozenset({"sonarr_api_key"}),
)
TRUST = {"trusted_as_template": True}
if "trusted_as_template" not in inspect.signature(DataLoader.load_from_file).parameters:
    TRUST = {}


@pytest.fixture
def run(tmp_path):
    """`run(inventory text, environ, config.yml text)` resolves as an action would."""

    def resolve(inventory="", environ=None, config="", names=NAMES):
        file = tmp_path / "nas.yml"
        file.write_text(inventory + (VPN if "vpn_provider" not in inventory else ""), encoding="utf-8")
        loader = DataLoader()
        variables = {"inventory_hostname": "nas", "plain": "x", **loader.load_from_file(str(file), **TRUST)}
        config_file = tmp_path / "config.yml"
        config_file.write_text(config, encoding="utf-8")
        config_file.chmod(0o600)
        templar = Templar(loader=loader, variables=variables)
        return settings.resolve(variables, templar, environ or {}, str(config_file), lambda: names)

    return resolve


@pytest.fixture
def errors(run):
    def collect(*arguments, **named):
        with pytest.raises(settings.SettingsError) as caught:
            run(*arguments, **named)
        return caught.value.errors

    return collect


# -- precedence ------------------------------------------------------------------------------------------------------


def test_defaults_are_those_of_the_specification(run):
    found = run()
    derived = {f"mediastack_{name}_path" for name in ("project", "media", "downloads", "config", "backup")}
    for name, option in settings.load_spec().items():
        if name not in derived and name not in VPN:
            assert found.values[name] == option["default"]
            assert type(found.values[name]) is type(option["default"])
            assert found.sources[name] == "default"
    assert found.values["mediastack_config_path"] == "/srv/mediastack/config"
    assert found.values["mediastack_project_path"] == "/srv/mediastack/compose"


def test_defaults_pass_their_own_rules(run):
    """Defaults are not checked at run time, so here they are given as an inventory."""
    text = "".join(
        f"{name}: {settings.yaml.safe_dump(option['default'], default_flow_style=True).removesuffix('...' + chr(10))}"
        for name, option in settings.load_spec().items()
        if name not in VPN and name != "mediastack_vpn_services" and option["default"] != ""
    )
    assert run(text).sources["mediastack_base_path"] == "inventory"


def test_later_sources_win(run):
    config = "puid: 1001\nmediastack_pgid: 1001\ntimezone: Europe/Berlin\n"
    found = run("mediastack_pgid: 1003\n", {"MEDIASTACK_PUID": "1002", "MEDIASTACK_PGID": "1002"}, config)
    assert [found.values[f"mediastack_{name}"] for name in ("timezone", "puid", "pgid")] == [
        "Europe/Berlin",
        1002,
        1003,
    ]
    assert [found.sources[f"mediastack_{name}"] for name in ("timezone", "puid", "pgid")] == [
        "config.yml",
        "environment",
        "inventory",
    ]


def test_one_line_names_what_config_and_environment_decide(run, tmp_path):
    found = run("mediastack_pgid: 1\n", {"MEDIASTACK_PUID": "1002", "MEDIASTACK_PGID": "7"}, "umask: '022'\n")
    assert found.notice == (
        f"Settings from {tmp_path}/config.yml: mediastack_umask; from the environment: mediastack_puid"
    )
    assert found.messages == [found.notice]
    assert run().messages == []


def test_environment_values_are_cast(run):
    found = run(
        environ={
            "MEDIASTACK_PROFILES": "music, plex",
            "MEDIASTACK_BIND_ADDRESSES": '["127.0.0.1"]',
            "MEDIASTACK_SERVICES": "{sonarr: off}",
            "MEDIASTACK_SPLIT_MOUNTS": "Yes",
            "MEDIASTACK_UMASK": "022",
            "MEDIASTACK_PGID": "",
            "MEDIASTACK_X_MINE": "1",
            "OTHER": "1",
        }
    )
    assert found.values["mediastack_profiles"] == ["music", "plex"]
    assert found.values["mediastack_bind_addresses"] == ["127.0.0.1"]
    assert found.values["mediastack_services"] == {"sonarr": False}
    assert found.values["mediastack_split_mounts"] is True
    assert found.values["mediastack_umask"] == "022"
    assert found.values["mediastack_pgid"] == 1000
    assert found.warnings == []


# -- templating ------------------------------------------------------------------------------------------------------


def test_inventory_may_refer_to_settings_that_have_only_defaults(run):
    found = run(
        'mediastack_media_path: "{{ mediastack_base_path }}/media"\n'
        'mediastack_base_path: "/srv/{{ inventory_hostname }}"\n'
        'mediastack_compose_files: ["{{ mediastack_config_path }}/mine.yml"]\n'
        'mediastack_env: {ZONE: "{{ mediastack_timezone }}"}\n',
        {"MEDIASTACK_TIMEZONE": "Europe/Berlin"},
    )
    assert found.values["mediastack_media_path"] == "/srv/nas/media"
    assert found.values["mediastack_compose_files"] == ["/srv/nas/config/mine.yml"]
    assert found.values["mediastack_env"] == {"ZONE": "Europe/Berlin"}


def test_environment_and_config_are_never_templated(run):
    found = run(
        'mediastack_env: {A: "{{ mediastack_admin_user }}", B: "a{{ 7 * 7 }}b"}\n'
        'mediastack_overrides: {sonarr: {labels: {a: "{{ mediastack_secrets.sonarr_api_key }}"}}}\n',
        {"MEDIASTACK_SECRETS": '{"sonarr_api_key": "{{ 7 * 7 }}"}'},
        config="admin_user: admin\n",
    )
    assert found.values["mediastack_env"] == {"A": "admin", "B": "a49b"}
    assert found.values["mediastack_secrets"] == {"sonarr_api_key": "{{ 7 * 7 }}"}
    assert found.values["mediastack_overrides"] == {"sonarr": {"labels": {"a": "{{ 7 * 7 }}"}}}


def test_values_are_pythons_own_types(run):
    found = run(
        "mediastack_profiles: [\"{{ 'music' }}\"]\nmediastack_puid: 5\nmediastack_overrides: {sonarr: {a: [1]}}\n"
    )

    def types(value):
        yield type(value)
        for item in value.items() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
            yield from types(item)

    assert set(types(found.values)) <= {str, int, bool, list, dict, tuple}


def test_an_undefined_variable_is_named_without_showing_the_secret(errors):
    found = errors(
        VPN.replace(KEY, '"{{ nope }}"') + 'mediastack_timezone: "{{ gone }}"\n'
        "mediastack_plex_claim: \"{{ 'hidden' | no_such_filter }}\"\n"
    )
    assert any("mediastack_vpn_wireguard_private_key" in error and "'nope' is undefined" in error for error in found)
    assert any("mediastack_timezone" in error and "'gone' is undefined" in error for error in found)
    assert not any("hidden" in error for error in found)


def test_values_for_ansible_are_not_templated_again(run):
    found = run(environ={"MEDIASTACK_SECRETS": '{"sonarr_api_key": "{{ 7 * 7 }}"}'})
    templar = Templar(loader=DataLoader(), variables=found.variables())
    assert templar.template(found.variables()["mediastack_secrets"]) == {"sonarr_api_key": "{{ 7 * 7 }}"}
    assert "mediastack_secrets" not in found.shown()
    assert "mediastack_vpn_wireguard_private_key" not in found.shown()


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mediastack_profile", "mediastack_profiles"),
        ("mediastack_tz", "mediastack_timezone"),
        ("mediastack_wireguard_private_key", "mediastack_vpn_wireguard_private_key"),
        ("mediastack_service", "mediastack_services"),
    ],
)
def test_near_misses_are_errors_with_their_place(errors, tmp_path, name, meant):
    (message,) = errors(f"{name}: here\n")
    assert message.startswith(name)
    assert message.endswith(f"no such setting. Did you mean {meant}?")
    assert f"{tmp_path}/nas.yml:1" in message


def test_other_unknown_names_are_warnings_and_own_names_are_fine(run):
    found = run("mediastack_backup_window: 1\nmediastack_x_profile: 1\nmediastack_hosts: all\nmystack: 1\n")
    (warning,) = found.warnings
    assert warning.startswith("mediastack_backup_window")
    assert "mediastack_x_*" in warning


def test_unknown_environment_names(run, errors):
    (message,) = errors(environ={"MEDIASTACK_PUDI": "1"})
    assert message == "environment variable MEDIASTACK_PUDI is not a setting. Did you mean MEDIASTACK_PUID?"
    (warning,) = run(environ={"MEDIASTACK_CI_JOB": "1"}).warnings
    assert "MEDIASTACK_CI_JOB is not a setting and has no effect" in warning


def test_config_file_mistakes_name_file_and_line(errors, tmp_path):
    path = f"{tmp_path}/config.yml"
    (message,) = errors(config="puid: 1000\npgdi: 1\nx_mine: 1\n")
    assert message == f"{path}:2: pgdi is not a setting. Did you mean mediastack_pgid?"
    (message,) = errors(config="puid: 1\nmediastack_puid: 2\n")
    assert message == f"{path}:2: mediastack_puid stands here a second time, first at {path}:1"
    (message,) = errors(config="puid: [1\npgid: 2\n")
    assert message.startswith(f"{path}:2: not YAML: ")
    (message,) = errors(config="- puid\n")
    assert message == f"{path}:1: not YAML: the settings must be a map of name: value"
    (message,) = errors(config="vpn_openvpn_password: !vault |\n  3132\n")
    assert message.startswith(f"{path}:1: not YAML: could not determine a constructor for the tag '!vault'")
    (message,) = errors(config="\n\npuid: many\n")
    assert message == f'mediastack_puid ({path}:3): "many" is not a whole number.'


def test_config_file_that_is_missing_unreadable_or_open_to_all(run, tmp_path):
    assert settings.resolve(run_variables(), None, {}, str(tmp_path / "none.yml")).notice == ""
    with pytest.raises(settings.SettingsError, match="cannot be read: Is a directory"):
        settings.resolve(run_variables(), None, {}, str(tmp_path))
    home = tmp_path / "mediastack"
    home.mkdir()
    (home / "config.yml").write_text("plex_claim: claim-x\n", encoding="utf-8")
    (home / "config.yml").chmod(0o644)
    found = settings.resolve(run_variables(), None, {"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/nowhere"})
    assert "everybody can read it: chmod 600" in found.warnings[0]
    assert "claim-x" not in found.warnings[0]


def run_variables():
    return settings.yaml.safe_load(VPN)


# -- the VPN ---------------------------------------------------------------------------------------------------------


def test_the_vpn_is_turned_off_from_the_inventory_only(run, errors):
    off = "mediastack_vpn_enabled: false\nmediastack_vpn_provider: ''\n"
    assert run(off).values["mediastack_vpn_enabled"] is False
    for given in ({"environ": {"MEDIASTACK_VPN_ENABLED": "no"}}, {"config": "vpn_enabled: false\n"}):
        (message,) = errors(**given)
        assert message.startswith("mediastack_vpn_enabled (")
        assert "false counts only from the inventory" in message
    assert run(environ={"MEDIASTACK_VPN_ENABLED": "true"}).values["mediastack_vpn_enabled"] is True


def test_no_credentials_are_refused_naming_the_variables(errors):
    (message,) = errors("mediastack_vpn_provider: ''\n")
    assert message.startswith("mediastack_vpn_provider")
    assert "mediastack_vpn_wireguard_private_key" in message


def test_gluetun_cannot_be_turned_off_behind_the_vpns_back(errors):
    (message,) = errors("mediastack_services: {gluetun: false}\n")
    assert "gluetun: false leaves no VPN" in message


def test_secrets_are_never_shown(errors):
    marks = ("s3cret-a", "s3cret-b", "s3cret-c", "s3cret-d")
    found = errors(
        "mediastack_vpn_provider: mullvad\n"
        f"mediastack_vpn_wireguard_private_key: {marks[0]}\n"
        f'mediastack_env: {{GOOD: "{marks[1]}\\n", BAD: ["{marks[1]}"]}}\n'
        f'mediastack_secrets: {{sonarr_api_key: "{marks[2]}\\n"}}\n'
        f"mediastack_plex_claim: {marks[3]}\n",
        environ={"MEDIASTACK_SECRETS": f"[{marks[0]}"},
    )
    assert len(found) >= 6
    assert not [error for error in found for mark in marks if mark in error]


def test_everything_wrong_is_said_at_once_and_nothing_twice(errors):
    found = errors(
        "mediastack_puid: x\nmediastack_profile: y\nmediastack_base_path: z\n", {"MEDIASTACK_GPU": "cuda"}, "pgdi: 1\n"
    )
    assert len(found) == len(set(found)) == 5
