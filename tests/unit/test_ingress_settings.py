# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of the reverse proxy: what is wrong is said before anything is touched, with the name and what to do."""

import datetime

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import certificates, ingress_rules, settings

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


def pair(days=100, names=("*.home.example.org",), ahead=0):
    """A given certificate that ends in so many days; `ahead`: days from now until it begins."""
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=397 - days if not ahead else -1 - ahead)
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
        (
            {"acme_credentials": {"TRANSIP_PRIVATE_KEY_PATH": "/srv/transip key.pem"}},
            "TRANSIP_PRIVATE_KEY_PATH: the value (not shown) is a path, and Traefik sees no file there. Give the ",
        ),
        (
            {"acme_credentials": {"GCE_SERVICE_ACCOUNT_FILE": "~/gce.json"}},
            "GCE_SERVICE_ACCOUNT_FILE: the value (not sh",
        ),
        (
            {"acme_credentials": {"AKAMAI_EDGERC": "../.edgerc"}},
            "AKAMAI_EDGERC: the value (not shown) is a path, and Tr",
        ),
        (
            {"acme_credentials": {"ACME_DNS_STORAGE_PATH": "/srv/acme.json"}},
            "sees: config/traefik there. Write /etc/traefik/mediastack/acme-dns.json.",
        ),
        (
            {"acme_credentials": {"EXEC_PATH": "/etc/traefik/mediastack/../x"}},
            "EXEC_PATH: the value (not shown) is no path below /etc/traefik/mediastack/",
        ),
        ({"acme_server": "letsencrypt"}, 'mediastack_acme_server: "letsencrypt" is no https URL of an ACME directory'),
        (
            {"acme_server": "http://a.example/x"},
            '"http://a.example/x" is no https URL of an ACME directory, such as ht',
        ),
    ],
)
def test_what_is_wrong_with_acme_is_said(changed, message):
    found = problems(**{**DNS, **changed})
    assert any(message in problem for problem in found), found


def test_credentials_of_several_lines_are_files():
    text = "[default]\naws_access_key_id = a\n"
    resolved = resolve(**{**DNS, "acme_credentials": {"AWS_SHARED_CREDENTIALS_FILE": text}})
    assert resolved.values["mediastack_acme_credentials"] == {"AWS_SHARED_CREDENTIALS_FILE": text}


def test_what_a_provider_calls_a_path_is_given_the_text_of_a_file_or_a_path_that_traefik_has():
    given = {
        "TRANSIP_PRIVATE_KEY_PATH": "of several\nlines\n",
        "HYPERONE_PASSPORT_LOCATION": '{\n"a": 1\n}\n',
        "ACME_DNS_STORAGE_PATH": "/etc/traefik/mediastack/acme-dns.json",
        "ACME_DNS_API_BASE": "https://auth.example.org",
    }
    assert resolve(**{**DNS, "acme_credentials": given}).values["mediastack_acme_credentials"] == given
    assert [ingress_rules.variable(name) for name in given] == [
        "TRANSIP_PRIVATE_KEY_PATH",
        "HYPERONE_PASSPORT_LOCATION",
        "ACME_DNS_STORAGE_PATH_FILE",
        "ACME_DNS_API_BASE_FILE",
    ]


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


def test_a_given_certificate_is_for_the_routes_that_there_are():
    hosts = ("sonarr.home.example.org", "seerr.home.example.org")
    values = resolve(**pair(names=hosts)).values
    assert ingress_rules.uncovered(values, hosts) == ""
    assert ingress_rules.uncovered(values, [*hosts, "radarr.home.example.org", "tdarr.home.example.org"]) == (
        "mediastack_tls_cert: is for sonarr.home.example.org, seerr.home.example.org, and not for "
        "radarr.home.example.org, tdarr.home.example.org, which have a route. Get one for *.home.example.org, or these "
        "names too, or take the apps out: mediastack_services, or x-mediastack.route in their service file."
    )
    values = resolve(**pair(), ingress_style="path").values
    assert "not for home.example.org, which" in ingress_rules.uncovered(values, [*hosts, "home.example.org"])


def test_a_given_certificate_that_does_not_hold_yet_is_refused():
    (said,) = problems(**pair(ahead=3))
    begin = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3)
    assert said.startswith(f"mediastack_tls_cert: holds from {begin:%Y-%m-%d %H:}")
    assert f"UTC only, and here it is {datetime.datetime.now(datetime.UTC):%Y-%m-%d}" in said
    assert said.endswith("Give the one that holds now, or set this computer's clock.")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "192.168.1.10",
            '"192.168.1.10" is an address, and nothing has a name below an address. Write a domain such as',
        ),
        ("::1", '"::1" is an address'),
        ("[fd00::1]", '"[fd00::1]" is an address'),
        ("localhost", '"localhost" is each computer for itself, so no other one would find a route. Write a domain'),
        (
            "home.42",
            '"home.42" ends in a number, so browsers take it for an address. Write a domain whose last part has',
        ),
        ("42", '"42" ends in a number'),
        ("home.0x1f", '"home.0x1f" ends in a number'),
    ],
)
def test_a_domain_below_which_nothing_can_be_found_is_refused(value, message):
    assert any(problem.startswith(f"mediastack_domain: {message}") for problem in problems(domain=value))
    assert resolve(domain="42.example").values["mediastack_domain"] == "42.example"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nas.local", '"nas.local" is neither an address nor a network. Write one such as 192.168.1.5'),
        ("192.168.1.5/24", '"192.168.1.5/24" is neither an address nor a network.'),
        ("127.0.0.1", "127.0.0.1 is Traefik's own container there. For a proxy on this server write the first address"),
        ("0.0.0.0/0", "0.0.0.0/0 is everybody, who could then pose as anybody. Write the proxy's own address."),
        ("::/0", "::/0 is everybody"),
        ("0.0.0.0", "0.0.0.0 is nobody's address."),
        ("224.0.0.1", "224.0.0.1 is nobody's address. Write the one that the proxy asks from."),
    ],
)
def test_a_proxy_that_cannot_be_trusted_is_refused(value, message):
    assert any(
        problem.startswith(f"mediastack_trusted_proxies: {message}") for problem in problems(trusted_proxies=[value])
    )
    good = resolve(trusted_proxies=["192.168.1.5", "fd00::/64"]).values["mediastack_trusted_proxies"]
    assert good == ["192.168.1.5/32", "fd00::/64"]


@pytest.mark.parametrize("name", ["ingress_ca", "ingress_certificate", "ingress_key"])
def test_a_certificate_is_no_secret_of_the_inventory(name):
    found = problems(secrets={name: "x"})
    assert len(found) == 1 and found[0].startswith(f"mediastack_secrets: {name}: is ")
    assert "mediastack_tls_key" in found[0] and "Take it out" in found[0]


def test_a_given_certificate_that_ends_is_said():
    assert "mediastack_tls_cert: has ended on " in problems(**pair(days=-2))[0]
    assert "in 9 days. Get a new one." in resolve(**pair(days=10)).warnings[0]


def test_a_domain_of_one_label_is_warned_of():
    said = resolve(domain="lan").warnings
    assert said and "browsers take no certificate for *.lan" in said[0] and "media.lan" in said[0]
