# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The questions: what is asked for which provider, what is taken, what comes back into the settings."""

from __future__ import annotations

import pytest
from ansible.errors import AnsiblePromptInterrupt, AnsiblePromptNoninteractive

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    catalogue,
    init_answers,
    init_ports,
    init_proposals,
    init_questions,
    init_remedies,
    init_review,
    init_survey,
    init_terminal,
    settings,
)

KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
PUBLIC = "wOEI9rqqbDwnN8/Bpp22sVz48T71vJ4fYmFWujulwUU="
PEM = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
GIB = 2**30


def disk(mount, free=10, kind="local"):
    return {
        "mount": mount,
        "fstype": "ext4",
        "source": "/dev/x",
        "kind": kind,
        "total_bytes": 20 * GIB,
        "free_bytes": free * GIB,
    }


FACTS = {
    "platform": {"family": "generic", "distribution": "debian"},
    "disks": [disk("/"), disk("/mnt/data", 500), disk("/mnt/net", 900, "network")],
    "user": {"login": {"name": "anna", "uid": 1000, "gid": 1000}},
    "owner": {"puid": 1001, "pgid": 1002, "from": "the owner of /mnt/data"},
    "timezone": "Europe/Berlin",
    "address": "192.168.1.10",
}
FINE = {"problems": [], "warnings_found": []}


class Display:
    """Ansible's display with somebody in front of it."""

    def __init__(self, typed):
        self.typed = list(typed)
        self.asked, self.lines, self.hidden = [], [], []

    def display(self, text, color=None, **_more):
        self.lines.append(text)

    def prompt_until(self, question, private=False):
        self.asked.append(question)
        if not self.typed:
            raise AssertionError(f"nothing left to answer: {question}\n" + "\n".join(self.lines))
        text = self.typed.pop(0)
        if isinstance(text, Exception):
            raise text
        if private:
            self.hidden.append(question)
        return text if isinstance(text, bytes) else text.encode()

    @property
    def said(self):
        return "\n".join(self.lines)


def questions(*typed, given=(), look=None, facts=None, fixed=()):
    draft = settings.draft(dict(given), environ={})
    known = catalogue.names()
    answers = init_answers.Answers(draft, lambda: known)
    init_proposals.propose(answers, facts or FACTS)
    display = Display(typed)
    looks = list(look or [])
    return (
        init_questions.Questions(
            init_terminal.Terminal(display),
            answers,
            facts or FACTS,
            lambda: looks.pop(0) if looks else FINE,
            dict(fixed),
        ),
        answers,
        display,
    )


@pytest.mark.parametrize(
    ("provider", "kind", "typed", "expected"),
    [
        ("mullvad", "wireguard", [KEY, "10.64.0.2/32", ""], {"vpn_wireguard_addresses": ["10.64.0.2/32"]}),
        ("nordvpn", "wireguard", [KEY, "Spain"], {"vpn_server_countries": ["Spain"]}),
        ("windscribe", "wireguard", [KEY, "10.64.0.2", KEY, "US East"], {"vpn_server_regions": ["US East"]}),
        ("airvpn", "wireguard", [KEY, "10.64.0.2", KEY, ""], {"vpn_wireguard_preshared_key": KEY}),
        (
            "custom",
            "wireguard",
            [KEY, "10.64.0.2", "vpn.example.org", "203.0.113.7", "51820", PUBLIC],
            {"vpn_wireguard_endpoint_ip": "203.0.113.7", "vpn_wireguard_endpoint_port": 51820},
        ),
        ("purevpn", None, ["me", "pw", ""], {"vpn_type": "openvpn", "vpn_openvpn_user": "me"}),
        ("private internet access", None, ["me", "pw", "", "yes"], {"vpn_port_forwarding": True}),
        ("ivpn", "openvpn", ["i-abcd-abcd-abcd", "", ""], {"vpn_openvpn_password": ""}),
        ("perfect privacy", None, ["me", "pw", "Berlin", "no"], {"vpn_server_cities": ["Berlin"]}),
    ],
)
def test_only_what_a_provider_and_its_protocol_need(provider, kind, typed, expected):
    asked, answers, display = questions("yes", provider, *([kind] if kind else []), *typed)
    asked.vpn()
    assert display.typed == [], display.said
    for short, value in expected.items():
        assert answers[short] == value
    assert all(
        "key" in question.lower() or "password" in question or "user name" in question for question in display.hidden
    )
    assert KEY not in display.said and "pw" not in display.said.split()
    settings.resolve(answers.variables(), environ={})


def test_keys_in_files_are_read_here(tmp_path):
    (tmp_path / "cert.pem").write_text(PEM)
    path = str(tmp_path / "cert.pem")
    asked, answers, display = questions(
        "yes", "airvpn", "openvpn", str(tmp_path / "none.pem"), str(tmp_path), path, path, ""
    )
    asked.vpn()
    assert answers["vpn_openvpn_cert"] == PEM.strip() and "none.pem: No such file" in display.said


def test_without_a_vpn_only_after_a_second_thought():
    asked, answers, display = questions("no", "no", "no", "yes")
    asked.vpn()
    assert answers["vpn_enabled"] is False
    assert "VPN OFF: torrents use your own address" in display.said


def test_another_provider_empties_what_it_refuses():
    given = {
        "mediastack_vpn_provider": "mullvad",
        "mediastack_vpn_wireguard_private_key": KEY,
        "mediastack_vpn_wireguard_addresses": ["10.64.0.2/32"],
        "mediastack_vpn_server_countries": ["Spain"],
    }
    asked, answers, display = questions("yes", "windscribe", "1", "", "", "", "US East", given=given)
    asked.vpn()
    assert answers["vpn_server_countries"] == [] and answers["vpn_wireguard_private_key"] == KEY
    assert "mediastack_vpn_server_countries is emptied" in display.said


def test_a_disk_by_number_and_a_path_that_the_host_refuses():
    refused = {
        "problems": [{"check": "write", "what": "1:1 cannot write", "remedy": "chown", "where": "", "value": ""}],
        "warnings_found": ["little room"],
    }
    asked, answers, display = questions("9", "2", "yes", "1003", "1004", "/mnt/data/ours", "", look=[refused, FINE])
    asked.storage()
    assert (answers["base_path"], answers["puid"], answers["pgid"]) == ("/mnt/data/ours", 1003, 1004)
    assert (
        "there is no disk 9" in display.said and "1:1 cannot write." in display.said and "little room" in display.said
    )


def test_library_elsewhere_and_back_again():
    asked, answers, display = questions("/srv/ms", "no", "/mnt/data/media", "/srv/ms/downloads")
    asked.storage()
    assert answers["split_mounts"] is True and answers["media_path"] == "/mnt/data/media"
    assert "copies that take twice the room" in display.said
    settings.resolve({**answers.variables(), "mediastack_vpn_enabled": False}, environ={})
    asked, answers, _display = questions(
        "/srv/ms", "yes", given={"mediastack_split_mounts": True, "mediastack_media_path": "/mnt/data/media"}
    )
    asked.storage()
    assert answers["split_mounts"] is False and answers["media_path"] == ""


def test_services_by_name_and_number():
    asked, answers, display = questions("99", "jellyfin, 1, musik", "jellyfin, 1", "sonar", "sabnzbd", "lidarr")
    asked.services()
    assert answers["profiles"] == ["jellyfin", "deluge"]
    assert answers["services"] == {"sabnzbd": False, "lidarr": True}
    assert "there is no profile 99" in display.said and "Did you mean sonarr?" in display.said


def test_single_apps_can_be_changed_back():
    asked, answers, _display = questions(
        "", "-", "-", given={"mediastack_services": {"sabnzbd": False, "lidarr": True}}
    )
    asked.services()
    assert answers["services"] == {}


def test_advanced_settings_and_a_new_proof_for_new_ids():
    asked, answers, display = questions(
        "yes", "1500", "", "Berlin", "Europe/Paris", "", "https://x", "home.example.org", "sonarr", "sonarr=70000",
        "sonarr=8990", given={"mediastack_ports": {"traefik": {"web": 88}}},
    )  # fmt: skip
    asked.advanced()
    assert answers["puid"] == 1500 and answers["timezone"] == "Europe/Paris" and answers["domain"] == "home.example.org"
    assert answers["ports"] == {"traefik": {"web": 88}, "sonarr": 8990}
    assert "Did you mean Europe/Berlin?" in display.said and "has written and linked" in display.said


def test_what_is_fixed_is_not_asked():
    fixed = {
        "mediastack_base_path": "mediastack.yml:3 holds an expression",
        "mediastack_vpn_provider": "x",
        "mediastack_vpn_type": "x",
    }
    given = {"mediastack_vpn_provider": "nordvpn"}
    asked, _answers, display = questions("yes", "yes", KEY, "", given=given, fixed=fixed.items())
    asked.storage()
    asked.vpn()
    assert "mediastack_base_path stays as it is: mediastack.yml:3 holds an expression." in display.said
    assert not any("disk" in question for question in display.asked)


def test_keys_that_type_nothing_are_not_taken():
    asked, answers, display = questions("\x1b[A", b"\xff", "Europe/Rome")
    asked.ask("timezone", "Time zone")
    assert answers["timezone"] == "Europe/Rome" and display.said.count("types nothing") == 2


def test_ctrl_c_and_no_terminal_end_it():
    asked, _answers, _display = questions(AnsiblePromptInterrupt("user interrupt"))
    with pytest.raises(init_terminal.Interrupted):
        asked.run()
    asked, _answers, _display = questions(AnsiblePromptNoninteractive("stdin is not interactive"))
    with pytest.raises(init_terminal.NoTerminal):
        asked.run()


# -- proposals ----------------------------------------


@pytest.mark.parametrize(
    ("platform", "disks", "expected"),
    [
        (("generic", "debian"), ["/", "/mnt/data"], "/srv/mediastack"),
        (("synology", "synology"), ["/", "/volume1"], "/volume1/mediastack"),
        (("unraid", "unraid"), ["/", "/mnt/disk1", "/mnt/user"], "/mnt/user/mediastack"),
        (("unraid", "unraid"), ["/"], None),
        (("generic", "openmediavault"), ["/", "/srv/dev-disk-by-uuid-1"], "/srv/dev-disk-by-uuid-1/mediastack"),
        (("generic", "macos"), ["/"], "/Users/anna/mediastack"),
    ],
)
def test_where_data_may_lie(platform, disks, expected):
    facts = {**FACTS, "platform": dict(zip(("family", "distribution"), platform, strict=True))}
    facts["disks"] = [disk(mount) for mount in disks]
    assert init_proposals.base_path(facts) == expected


def test_the_owner_of_the_data_unless_somebody_said_otherwise():
    _asked, answers, _display = questions()
    init_proposals.owner(answers, FACTS)
    assert (answers["puid"], answers["pgid"]) == (1001, 1002) and "owner of /mnt/data" in answers.origins["puid"]
    answers.set("puid", 7)
    init_proposals.owner(answers, {"owner": {"puid": 5, "pgid": 6, "from": "x"}})
    assert (answers["puid"], answers["pgid"]) == (7, 6)
    _asked, answers, _display = questions(given={"mediastack_puid": 3, "mediastack_pgid": 4})
    init_proposals.owner(answers, FACTS)
    assert (answers["puid"], answers["pgid"]) == (3, 4) and "mediastack_puid" not in answers.touched


def test_the_review_hides_secrets_and_shows_what_was():
    given = {"mediastack_timezone": "Etc/UTC", "mediastack_domain": "a.b"}
    _asked, answers, _display = questions(given=given)
    before = dict(answers.values)
    answers.set("timezone", "Europe/Berlin")
    answers.set("domain", "a.b")
    answers.set("vpn_wireguard_private_key", KEY)
    writing = init_answers.writing(answers, {}, {}, {"mediastack_domain": "a.b"})
    text = "\n".join(init_review.settings(answers, before, writing))
    assert "Europe/Berlin  (was Etc/UTC)" in text and "(as the inventory says already)" in text
    assert "(hidden)" in text and KEY not in text and "vpn_enabled" not in text


# -- ports ----------------------------------------


def port(line):
    return {
        "check": "port",
        "what": "taken",
        "where": "mediastack_ports",
        "value": 1,
        "remedy": f"stop it, or set {line}",
    }


def test_ports_are_moved_when_nothing_else_is_wrong():
    problems = [port("mediastack_ports: {sonarr: 8990}"), port("mediastack_ports: {traefik: {https: 444}}")]
    found = init_ports.moves(problems)
    assert found == {"sonarr": 8990, "traefik": {"https": 444}}
    assert init_ports.words(found) == "sonarr=8990, traefik.https=444"
    assert init_ports.moved({"traefik": {"web": 81}, "x": 1}, found) == {
        "traefik": {"web": 81, "https": 444},
        "x": 1,
        "sonarr": 8990,
    }
    assert init_ports.moves([*problems, {"check": "tun", "remedy": "modprobe"}]) == {}
    assert init_ports.moves([]) == {}


# -- a server that is in no inventory ----------------------------------------


class Done:
    def __init__(self, out="", code=0, err=""):
        self.stdout, self.returncode, self.stderr = out, code, err


def survey(target="you@nas", sftp=0, **found):
    answers = {"uid": "1000", "name": "nas", "sudo": "free", "python": "/usr/bin/python3", "version": "3.11"}
    answers = {**answers, "docker": "/usr/bin/docker", **found}
    text = "".join(f"{name}={value}\n" for name, value in answers.items() if value is not None)
    parsed = init_survey.parse(target)
    return parsed, init_survey.look(
        parsed, lambda argv, **_more: Done(text, 0) if "sftp" not in argv[0] else Done("", sftp)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("this", (None, None, None)),
        ("you@nas.home", ("nas.home", "you", None)),
        ("192.168.1.10", ("192.168.1.10", None, None)),
        ("you@[fe80::1]:2222", ("fe80::1", "you", 2222)),
    ],
)
def test_a_server_as_typed(text, expected):
    target = init_survey.parse(text)
    assert (target.host, target.user, target.port) == expected


@pytest.mark.parametrize("text", ["", "you@", "-oProxyCommand=x", "you@nas:99999", "you@nas; reboot", "a b"])
def test_what_is_no_server(text):
    with pytest.raises(init_survey.SurveyError, match="neither this nor of the form"):
        init_survey.parse(text)


def test_a_fine_server():
    how, lines = init_survey.judge(*survey())
    assert how == {"python": None, "transfer": None, "become": True}
    assert dict(lines)["sudo"] == "without a password" and dict(lines)["docker"] == "/usr/bin/docker"


def test_what_is_odd_but_can_be_worked_with():
    how, lines = init_survey.judge(
        *survey(sftp=255, python="/usr/local/bin/python3", docker="", elsewhere="/volume1/docker", uid="0", sudo="root")
    )
    assert how == {"python": "/usr/local/bin/python3", "transfer": "piped", "become": False}
    assert "no SFTP" in dict(lines)["files"] and "not on PATH" in dict(lines)["docker"]


def test_every_obstacle_has_a_remedy_of_one_line():
    with pytest.raises(init_survey.SurveyError) as caught:
        init_survey.judge(*survey(python=None, version=None, old="2.7", docker="", sudo="none", family="unraid"))
    sudo, python, docker = caught.value.problems
    assert "Log in as root" in sudo and "only 2.7 was found" in python and "Unraid: the plugin" in python
    assert "Docker Compose Manager" in docker and "ln -s" in docker


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("ssh: Could not resolve hostname nsa: Name or service not known", "Check the spelling"),
        ("you@nas: Permission denied (publickey,password).", "ssh-copy-id you@nas"),
        ("Host key verification failed.", "ssh you@nas"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @ Host key verification failed.", "ssh-keygen -R nas"),
        ("ssh: connect to host nas port 22: Connection refused", "Switch SSH on there"),
        ("ssh: connect to host nas port 22: No route to host", "ping nas"),
        ("sudo: a password is required", "--ask-become-pass"),
        ("you is not in the sudoers file.", "Log in as root"),
        ("/bin/sh: 1: sudo: not found", "Log in as root"),
        ("The module interpreter '/usr/bin/python3' was not found.", "Install Python 3.8"),
        ("/bin/sh: /usr/bin/python3: not found", "Install Python 3.8"),
        (
            "failed to transfer file to /tmp/x: subsystem request failed on channel 0",
            "ansible_ssh_transfer_method: piped",
        ),
        ("something new", ""),
    ],
)
def test_remedies(said, remedy):
    found = init_remedies.remedy(said, "nas", "you")
    assert remedy in found if remedy else found == ""
    target = init_survey.parse("you@nas")
    with pytest.raises(init_survey.SurveyError, match="you@nas: "):
        init_survey.look(target, lambda *_argv, **_more: Done("", 255, said))
