# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of the reverse proxy: what is wrong is said before anything is touched, with the name and what to do."""

import datetime

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import certificates, settings

DNS = {
    "tls": "acme_dns",
    "domain": "home.example.org",
    "acme_email": "me@example.org",
    "acme_provider": "cloudflare",
    "acme_credentials": {"CF_DNS_API_TOKEN": "abc"},
}


def resolve(**given):
    variables = {f"mediastack_{name}": value for name, value in {"vpn_enabled": False, **given}.items()}
    return settings.resolve(variables, None, {}, "/nonexistent/config.yml")


def problems(**given):
    with pytest.raises(settings.SettingsError) as caught:
        resolve(**given)
    return caught.value.errors


def pair(days=100, names=("*.home.example.org",)):
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=397 - days)
    asked = {
        "ca": {"spec": {"kind": "ca", "names": ["example.org"]}, "ca": None},
        "own": {"spec": {"kind": "server", "ca": "ca", "names": list(names)}, "ca": None},
    }
    text = certificates.issue(asked, now)["own"]
    cut = text.index("-----BEGIN PRIVATE")
    return {"tls": "files", "domain": "home.example.org", "tls_cert": text[:cut], "tls_key": text[cut:]}


def test_what_is_right_is_taken():
    assert resolve(**DNS).values["mediastack_acme_credentials"] == {"CF_DNS_API_TOKEN": "abc"}
    assert resolve(**pair()).warnings == []
    assert resolve(tls="acme_http", domain="a.example", acme_email="me@a.example").warnings == []
    assert resolve().values["mediastack_tls"] == "internal"


def test_secrets_are_secret():
    resolved = resolve(**DNS)
    assert {f"mediastack_{name}" for name in ("tls_cert", "tls_key", "acme_credentials")} <= resolved.secret


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tls": "acme"}, 'mediastack_tls: "acme" is not one of internal, files, acme_dns, acme_http, none.'),
        ({"ingress_style": "paths"}, 'mediastack_ingress_style: "paths" is not one of host, path.'),
        (
            {"acme_email": ""},
            "mediastack_acme_email: is empty, and mediastack_tls is acme_dns. Write your mail address.",
        ),
        ({"acme_email": "me"}, 'mediastack_acme_email: "me" is no mail address'),
        ({"acme_email": "me@x --api.insecure"}, "mediastack_acme_email: "),
        ({"domain": ""}, "mediastack_domain: is empty, and mediastack_tls is acme_dns. Write the domain"),
        ({"acme_provider": ""}, "mediastack_acme_provider: is empty, and mediastack_tls is acme_dns. Write your DNS"),
        ({"acme_provider": "Cloud flare"}, 'mediastack_acme_provider: "Cloud flare" is no name of a DNS provider'),
        (
            {"acme_credentials": {}},
            "mediastack_acme_credentials: is empty, and mediastack_tls is acme_dns. Write the var",
        ),
        ({"acme_credentials": {"cf token": "x"}}, 'mediastack_acme_credentials: "cf token" is no name of a variable'),
        ({"acme_credentials": {"A": ""}}, "mediastack_acme_credentials: A: the value (not shown) is empty"),
        (
            {"acme_credentials": {"A": "x\ny"}},
            "mediastack_acme_credentials: A: the value (not shown) is empty or holds",
        ),
        (
            {"acme_credentials": {"AWS_ACCESS_KEY_ID": "x"}},
            "AWS_ACCESS_KEY_ID cannot reach Traefik as a file. Give AWS_SH",
        ),
        ({"acme_credentials": {"A": "x", "A_FILE": "y"}}, "A_FILE and A say the same thing. Give one of them."),
        ({"acme_server": "letsencrypt"}, 'mediastack_acme_server: "letsencrypt" is no URL of an ACME directory'),
    ],
)
def test_what_is_wrong_with_acme_is_said(changed, message):
    found = problems(**{**DNS, **changed})
    assert any(message in problem for problem in found), found


def test_credentials_of_several_lines_are_files():
    text = "[default]\naws_access_key_id = a\n"
    resolved = resolve(**{**DNS, "acme_credentials": {"AWS_SHARED_CREDENTIALS_FILE": text}})
    assert resolved.values["mediastack_acme_credentials"] == {"AWS_SHARED_CREDENTIALS_FILE": text}


def test_acme_by_http_on_another_port_is_warned_of():
    given = {"tls": "acme_http", "domain": "a.example", "acme_email": "me@a.example"}
    said = resolve(**given, ports={"traefik": {"web": 8080, "https": 8443}}).warnings
    assert len(said) == 1
    assert said[0].startswith(
        "mediastack_ports: traefik.web is 8080, but acme_http is asked at port 80: have your router"
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tls_cert": ""}, "mediastack_tls_cert: is empty, and mediastack_tls is files. Write the PEM text"),
        ({"tls_key": ""}, "mediastack_tls_key: is empty, and mediastack_tls is files."),
        ({"tls_cert": "x"}, "mediastack_tls_cert: the value (not shown) is no PEM certificate."),
        ({"tls_key": "x"}, "mediastack_tls_cert: the value (not shown) has no PEM private key beside it."),
        (
            {"domain": "x.org"},
            "mediastack_tls_cert: is for *.home.example.org. Get one for *.x.org, or change mediastack_d",
        ),
    ],
)
def test_what_is_wrong_with_given_certificates_is_said(changed, message):
    found = problems(**{**pair(), **changed})
    assert any(message in problem for problem in found), found


def test_a_given_certificate_that_ends_is_said():
    assert "mediastack_tls_cert: has ended on " in problems(**pair(days=-2))[0]
    assert "in 9 days. Get a new one." in resolve(**pair(days=10)).warnings[0]


def test_a_domain_of_one_label_is_warned_of():
    said = resolve(domain="lan").warnings
    assert said and "browsers take no certificate for *.lan" in said[0] and "media.lan" in said[0]
