# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rows of `config_show`: values, origins, and that no secret is among them."""

import config_world
import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    setting_mask,
    setting_origins,
    setting_rows,
    settings,
)

SPEC = settings.load_spec()


@pytest.fixture
def world(tmp_path):
    return config_world.World(tmp_path)


@pytest.fixture
def show(world, monkeypatch, tmp_path):
    """`show(environ, config.yml)`: setting → row."""

    def rows(environ=None, config=None, extra=None):
        environ = dict(environ or {}, XDG_CONFIG_HOME=str(tmp_path / "xdg"))
        if config:
            world.write("xdg/mediastack/config.yml", config).chmod(0o600)
        variables = {**world.variables(), **(extra or {})}
        monkeypatch.setattr(setting_origins, "load_extra_vars", lambda _loader: extra or {})
        config_file = str(tmp_path / "xdg" / "mediastack" / "config.yml")
        draft = settings.draft(variables, world.templar(), environ, config_file)
        origins = setting_origins.Origins(variables, world.loader(), SPEC, environ, str(tmp_path))
        return {row["setting"]: row for row in setting_rows.rows("nas", draft, SPEC, origins, variables)}

    return rows


# -- origins -----------------------------------------------------------------------------------------------------------


def test_file_and_line_of_each_layer(world, show):
    world.write("group_vars/mediastack/mediastack.yml", config_world.VPN_OFF + "mediastack_umask: '022'\n")
    world.write("host_vars/nas/mediastack.yml", "---\nmediastack_puid: 1001\nmediastack_profiles: [music]\n")
    world.write(
        "inventory.yml",
        "mediastack:\n  hosts:\n    nas:\n      mediastack_pgid: 1002\n    attic:\n  vars:\n"
        "    mediastack_domain: x.example\n",
    )
    rows = show({"MEDIASTACK_TIMEZONE": "Europe/Berlin"}, "admin_user: me\n")
    assert rows["mediastack_umask"]["origin"] == "group_vars/mediastack/mediastack.yml:2"
    assert rows["mediastack_puid"]["origin"] == "host_vars/nas/mediastack.yml:2"
    assert rows["mediastack_profiles"]["origin"] == "host_vars/nas/mediastack.yml:3"
    assert rows["mediastack_pgid"]["origin"] == "inventory.yml:4"
    assert rows["mediastack_domain"]["origin"] == "inventory.yml:7"
    assert rows["mediastack_timezone"]["origin"] == "environment variable MEDIASTACK_TIMEZONE"
    assert rows["mediastack_admin_user"]["origin"] == "xdg/mediastack/config.yml:1"
    assert rows["mediastack_gpu"]["origin"] == "default"
    assert rows["mediastack_media_path"]["origin"] == "default (below mediastack_base_path)"
    assert rows["mediastack_media_path"]["value"] == "/srv/mediastack/media"


def test_of_a_truth_value_the_place_that_counts(world, show):
    """Ansible gives these no mark, and their key has that of the first file."""
    world.write("group_vars/mediastack/mediastack.yml", config_world.VPN_OFF + "mediastack_split_mounts: false\n")
    world.write("host_vars/nas/mediastack.yml", "# mine\nmediastack_split_mounts: true\n")
    rows = show()
    assert rows["mediastack_split_mounts"]["value"] == "true"
    assert rows["mediastack_split_mounts"]["origin"] == "host_vars/nas/mediastack.yml:2"
    assert rows["mediastack_vpn_enabled"]["origin"] == "group_vars/mediastack/mediastack.yml:1"


def test_of_a_truth_value_in_two_groups_the_one_that_says_it(world, show):
    world.write("inventory.yml", "mediastack:\n  hosts:\n    nas:\nfast:\n  hosts:\n    nas:\n")
    world.write("group_vars/fast.yml", "mediastack_split_mounts: false\n")
    world.write("group_vars/mediastack/mediastack.yml", config_world.VPN_OFF + "mediastack_split_mounts: true\n")
    rows = show()
    expected = {
        "true": "group_vars/mediastack/mediastack.yml:2",
        "false": "group_vars/fast.yml:1",
    }
    row = rows["mediastack_split_mounts"]
    assert row["origin"] == expected[row["value"]]


def test_a_truth_value_inside_the_inventory(world, show):
    world.write(
        "inventory.yml",
        "mediastack:\n  hosts:\n    nas:\n      mediastack_split_mounts: true\n  vars:\n"
        "    mediastack_split_mounts: false\n",
    )
    assert show()["mediastack_split_mounts"]["origin"] == "inventory.yml:4"


def test_an_inventory_in_ini(world, show):
    world.sources = ["hosts"]
    world.write("hosts", "[mediastack]\nnas mediastack_puid=1001\n[mediastack:vars]\nmediastack_split_mounts=true\n")
    rows = show()
    assert rows["mediastack_split_mounts"]["origin"] in ("hosts:4", "hosts")
    assert rows["mediastack_puid"]["origin"].startswith("hosts")


def test_extra_vars(show):
    assert show(extra={"mediastack_puid": "1003"})["mediastack_puid"]["origin"] == "-e"


# -- values ------------------------------------------------------------------------------------------------------------


def test_what_is_set_comes_first_and_what_differs_is_marked(world, show):
    world.write("host_vars/nas/mediastack.yml", "mediastack_puid: 1001\nmediastack_pgid: 1000\n")
    rows = show()
    marks = {name: row["mark"] for name, row in rows.items()}
    assert (marks["mediastack_puid"], marks["mediastack_pgid"], marks["mediastack_gpu"]) == ("*", " ", " ")
    assert [row["given"] for row in rows.values()] == sorted((row["given"] for row in rows.values()), reverse=True)
    assert len(rows) == len(SPEC)


def test_what_is_wrong_is_shown_as_it_is_written(world, show):
    world.write("host_vars/nas/mediastack.yml", "mediastack_puid: many\n")
    row = show()["mediastack_puid"]
    assert (row["value"], row["mark"], row["origin"]) == ("many", "!", "host_vars/nas/mediastack.yml:1")


def test_values_are_yaml_in_one_line(world, show):
    world.write(
        "host_vars/nas/mediastack.yml",
        'mediastack_umask: "022"\nmediastack_ports:\n  sonarr: 8990\nmediastack_profiles:\n  - music\n  - plex\n',
    )
    rows = show()
    assert rows["mediastack_umask"]["value"] == "'022'"
    assert rows["mediastack_ports"]["value"] == "{sonarr: 8990}"
    assert rows["mediastack_profiles"]["value"] == "[music, plex]"
    assert rows["mediastack_domain"]["value"] == "''"


# -- secrets -----------------------------------------------------------------------------------------------------------


def shown(rows):
    return "\n".join(setting_rows.render(list(rows.values())))


def test_secret_settings_are_masked_but_not_their_names(world, show):
    world.write(
        "host_vars/nas/mediastack.yml",
        f"mediastack_vpn_wireguard_private_key: {config_world.KEY}\nmediastack_env: {{SMTP_HOST: hush-hush}}\n"
        "mediastack_secrets: {sonarr_api_key: 0123456789abcdef}\n",
    )
    rows = show()
    assert rows["mediastack_vpn_wireguard_private_key"]["value"] == "'********'"
    assert rows["mediastack_env"]["value"] == "{SMTP_HOST: '********'}"
    assert rows["mediastack_secrets"]["value"] == "{sonarr_api_key: '********'}"
    assert rows["mediastack_plex_claim"]["value"] == "''"
    for secret in (config_world.KEY, "hush-hush", "0123456789abcdef"):
        assert secret not in shown(rows)


def test_an_encrypted_file_is_masked_whatever_it_holds(world, show):
    world.write(
        "host_vars/nas/mediastack.vault.yml",
        "mediastack_domain: private.example\nmediastack_puid: 4711\nmediastack_split_mounts: true\nmine: deep secret\n",
        secret=0,
    )
    world.write(
        "host_vars/nas/mediastack.yml",
        'mediastack_overrides: {sonarr: {labels: {a: "{{ mine }}", b: "see private.example"}}}\n',
    )
    rows = show()
    for name in ("domain", "puid", "split_mounts"):
        assert rows[f"mediastack_{name}"]["value"] == "'********'"
    assert rows["mediastack_puid"]["origin"] == "host_vars/nas/mediastack.vault.yml:2"
    for secret in ("private.example", "4711", "deep secret"):
        assert secret not in shown(rows)


def test_a_vaulted_value_is_masked_where_it_is_repeated(world, show):
    text = config_world.VaultLib().encrypt(b"tiny", config_world.SECRETS[0][1]).decode()
    indented = "".join(f"  {line}\n" for line in text.splitlines())
    world.write(
        "host_vars/nas/mediastack.yml",
        f"mediastack_domain: !vault |\n{indented}mine: !vault |\n{indented}"
        'mediastack_admin_user: "{{ mine }}"\nmediastack_overrides: {sonarr: {labels: {a: "{{ mine }}"}}}\n',
    )
    rows = show()
    assert rows["mediastack_domain"]["value"] == "'********'"
    assert rows["mediastack_admin_user"]["value"] == "'********'"
    assert rows["mediastack_overrides"]["value"] == "{sonarr: {labels: {a: '********'}}}"
    assert "tiny" not in shown(rows)


def test_what_looks_like_a_secret_in_an_override_is_masked(world, show):
    world.write(
        "host_vars/nas/mediastack.yml",
        "mediastack_overrides:\n"
        "  sonarr:\n"
        "    environment: [API_KEY=abcdef, HOST=fine, TOKEN_FILE=/run/secrets/t]\n"
        "    labels: {url: 'https://me:sesame1@x/', password: p, password2: '${PASSWORD}'}\n"
        f"    command: [--key, {config_world.KEY}]\n"
        "    configs: |\n      -----BEGIN PRIVATE KEY-----\n      abcd\n      -----END PRIVATE KEY-----\n",
    )
    text = show()["mediastack_overrides"]["value"]
    for secret in ("abcdef", "sesame1", "password: p,", config_world.KEY, "abcd"):
        assert secret not in text, text
    for known in ("HOST=fine", "/run/secrets/t", "${PASSWORD}", "--key"):
        assert known in text, text


def test_nothing_of_a_wrong_vaulted_value(world, show):
    world.write("host_vars/nas/mediastack.vault.yml", "mediastack_puid: many-secrets\n", secret=0)
    row = show()["mediastack_puid"]
    assert (row["value"], row["mark"]) == ("'********'", "!")


def test_a_mask_leaves_alone_what_is_no_secret():
    mask = setting_mask.SettingMask({"sesame"}, frozenset())
    assert mask("x", {"a": 1, "b": [True, None, "plain"], "c": "opensesame"}) == {
        "a": 1,
        "b": [True, None, "plain"],
        "c": "open********",
    }


# -- choosing and printing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["mediastack_ports"], ["mediastack_ports"]),
        (["ports"], ["mediastack_ports"]),
        (["PUID", "pgid"], ["mediastack_puid", "mediastack_pgid"]),
        (["log"], ["mediastack_log_max_size", "mediastack_log_max_file"]),
        (["wireguard_endpoint"], ["mediastack_vpn_wireguard_endpoint_ip", "mediastack_vpn_wireguard_endpoint_port"]),
    ],
)
def test_settings_are_chosen_by_name_or_by_parts_of_it(words, expected):
    assert setting_rows.choose(words, SPEC) == expected


def test_all_without_a_choice():
    assert setting_rows.choose([], SPEC) == list(SPEC)


def test_an_unknown_setting_is_an_error_with_the_closest():
    with pytest.raises(setting_rows.UnknownSetting, match='"prots" is no setting. Did you mean ports?'):
        setting_rows.choose(["puid", "prots"], SPEC)


def row(host, setting, value, mark=" ", given=True):
    return {"host": host, "setting": setting, "value": value, "origin": "x.yml:1", "mark": mark, "given": given}


def test_the_table_is_aligned_and_cut_on_a_terminal_only():
    rows = [row("nas", "mediastack_a", "v" * 100, "*"), row("nas", "mediastack_long", "w")]
    lines = setting_rows.render(rows)
    assert lines[0].split() == ["HOST", "SETTING", "VALUE", "ORIGIN"]
    assert lines[1] == f"* nas   mediastack_a     {'v' * 100}  x.yml:1"
    assert lines[-1] == "* differs from its default"
    cut = setting_rows.render(rows, columns=80, paint=lambda text, color: f"<{color}>{text}")
    assert all(len(line) <= 80 + len("<yellow>") for line in cut)
    assert cut[1].startswith("<yellow>* nas") and "…  x.yml:1" in cut[1]


def test_what_all_hosts_have_in_common_is_shown_once():
    rows = [
        row("nas", "mediastack_a", "1"),
        row("nas", "mediastack_b", "1"),
        row("nas", "mediastack_c", "0", given=False),
        row("attic", "mediastack_a", "1"),
        row("attic", "mediastack_b", "2"),
        row("attic", "mediastack_c", "0", given=False),
    ]
    lines = setting_rows.render(rows)[1:]
    assert [line.split()[:-1] for line in lines] == [
        ["(all", "2)", "mediastack_a", "1"],
        ["nas", "mediastack_b", "1"],
        ["attic", "mediastack_b", "2"],
        ["(all", "2)", "mediastack_c", "0"],
    ]
