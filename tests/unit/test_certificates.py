# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates of the stack's own authority: made on the controller, kept on the host, renewed in time."""

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ansible_collections.homelab.mediastack.plugins.module_utils import certificate_terms, secret_store
from ansible_collections.homelab.mediastack.plugins.module_utils.certificate_terms import CertificatesDue
from ansible_collections.homelab.mediastack.plugins.plugin_utils import certificates, ingress_offer

NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
DAY = 86400
CA = {"kind": "ca", "names": ["home.example.org"], "shown": "/x/ca.crt"}
SERVER = {"kind": "server", "ca": "ca", "names": ["home.example.org", "*.home.example.org"]}


def specs(offers=None, server=SERVER, ca=CA):
    found = {"ca": {"issue": ca}, "server": {"issue": server}, "other": {"value": "x"}}
    for name, text in (offers or {}).items():
        found[name]["offer"] = text
    return found


def wanted(kept, days=0, **more):
    """What a host asks for that keeps this, so many days later."""
    with pytest.raises(CertificatesDue) as caught:
        certificate_terms.settle(specs(**more), kept.get, NOW.timestamp() + days * DAY)
    return caught.value.wanted


@pytest.fixture(scope="module")
def made():
    """An authority and a certificate, as a first run makes them."""
    return certificates.issue(wanted({}), NOW)


def test_a_new_host_asks_for_both_and_takes_what_it_is_offered(made):
    asked = wanted({})
    assert {name: one["why"] for name, one in asked.items()} == {
        "ca": "there is none yet",
        "server": "there is none yet",
    }
    assert certificate_terms.settle(specs(made), {}.get, NOW.timestamp()) == made


def test_what_does_is_kept_whatever_is_offered(made):
    others = certificates.issue(wanted({}), NOW)
    assert certificate_terms.settle(specs(others), made.get, NOW.timestamp() + 300 * DAY) == {}


@pytest.mark.parametrize(
    ("days", "names"), [(306, []), (308, ["server"]), (398, ["server"]), (6799, ["server"]), (6801, ["ca", "server"])]
)
def test_a_new_one_is_due_in_time(made, days, names):
    if not names:
        assert certificate_terms.settle(specs(), made.get, NOW.timestamp() + days * DAY) == {}
        return
    asked = wanted(made, days)
    assert sorted(asked) == names
    # The authority that stays is to sign it: every device that trusts it goes on doing so.
    assert asked["server"]["ca"] == (None if "ca" in names else made["ca"])


def test_a_renewed_one_is_signed_by_the_same_authority(made):
    later = NOW + datetime.timedelta(days=320)
    renewed = certificates.issue(wanted(made, 320), later)
    assert list(renewed) == ["server"]
    assert certificate_terms.settle(specs(renewed), made.get, later.timestamp()) == renewed
    one, two = (x509.load_pem_x509_certificate(text.encode()) for text in (made["ca"], renewed["server"]))
    two.verify_directly_issued_by(one)
    assert two.not_valid_after_utc == later + datetime.timedelta(days=397)


def test_another_domain_needs_another_authority(made):
    asked = wanted(
        made, server={**SERVER, "names": ["other.example", "*.other.example"]}, ca={**CA, "names": ["other.example"]}
    )
    assert asked["ca"]["why"] == "it is for home.example.org, not for other.example"
    assert sorted(asked) == ["ca", "server"]


def test_an_offer_of_a_strange_authority_is_not_taken(made):
    """Somebody else's run has made an authority meanwhile."""
    others = certificates.issue(wanted({}), NOW)
    asked = wanted({"ca": made["ca"]}, offers=others)
    assert list(asked) == ["server"] and asked["server"]["ca"] == made["ca"]


def test_an_offer_that_is_too_old_for_the_hosts_clock_is_told_apart(made):
    """The host's clock is a year ahead: every new one would be refused for the same reason."""
    asked = wanted({"ca": made["ca"]}, 365, offers={"server": made["server"]})
    assert asked["server"]["ended"] and asked["server"]["now"] == int(NOW.timestamp()) + 365 * DAY
    said = ingress_offer.clocks(asked)
    assert said.startswith("server: a certificate that was made just now does not hold long enough for the host, whose")
    assert (
        "clock says 2027-11-23 12:00 UTC; that of this computer says 20" in said and "timedatectl set-ntp true" in said
    )
    # Others, for which another offer helps.
    others = certificates.issue(wanted({}), NOW)
    for asked in (wanted({}), wanted(made, 320), wanted({"ca": made["ca"]}, offers=others)):
        assert ingress_offer.clocks(asked) == ""


def test_the_pair_is_one_that_clients_accept(made, tmp_path):
    """Read by OpenSSL, as a server and as a client would."""
    (tmp_path / "pair.pem").write_text(made["server"])
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "pair.pem")
    authority = certificate_terms.public(made["ca"])
    assert authority.startswith("-----BEGIN CERTIFICATE") and "PRIVATE" not in authority
    ssl.create_default_context(cadata=authority)
    certificate = x509.load_pem_x509_certificate(made["server"].encode())
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lifetime.days <= 398
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]


def test_the_store_keeps_what_is_offered_and_its_public_half_is_all_that_is_shown(made, tmp_path):
    offers = certificates.issue(wanted({}), datetime.datetime.now(datetime.UTC))
    given = specs(offers)
    store = secret_store.SecretStore(str(tmp_path))
    values = store.resolve(given)
    assert values["server"] == offers["server"]
    store.save()
    assert (tmp_path / ".mediastack" / "secrets.json").stat().st_mode & 0o777 == 0o600
    again = secret_store.SecretStore(str(tmp_path))
    assert again.resolve(specs()) == values and again.pending == {}
    tokens = again.tokens(values)
    assert tokens("@@mediastack:certificate:ca@@", "raw") == certificate_terms.public(offers["ca"])
    with pytest.raises(CertificatesDue):
        secret_store.SecretStore(str(tmp_path / "new")).resolve(specs())


def test_check_mode_keeps_nothing(made, tmp_path):
    offers = certificates.issue(wanted({}), datetime.datetime.now(datetime.UTC))
    store = secret_store.SecretStore(str(tmp_path))
    store.resolve(specs(offers), check_mode=True)
    store.save()
    assert not (tmp_path / ".mediastack").exists()


def test_a_password_for_traefik_is_as_htpasswd_writes_it(tmp_path):
    """The sum is the one of `htpasswd -nbs admin secret`."""
    tokens = secret_store.SecretStore(str(tmp_path)).tokens({"p": "secret"})
    assert tokens("admin:@@mediastack:htpasswd:p@@\n", "raw") == "admin:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"
    assert "5en6" not in tokens.mask("admin:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n", "admin:@@mediastack:htpasswd:p@@\n")


def test_a_given_certificate_is_read(made):
    chain, _mark, key = made["server"].partition("-----BEGIN PRIVATE KEY-----")
    key = "-----BEGIN PRIVATE KEY-----" + key
    given = certificates.read(chain, key)
    assert given.covers("sonarr.home.example.org") and given.covers("home.example.org")
    assert not given.covers("a.b.home.example.org") and not given.covers("example.org")
    assert given.days_left(NOW) == 397 and given.holds_yet(NOW)
    assert not given.holds_yet(NOW - datetime.timedelta(days=2))
    private = serialization.load_pem_private_key(key.encode(), None)
    locked = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    ).decode()
    other = made["ca"][made["ca"].index("-----BEGIN PRIVATE") :]
    for pair, message in (
        (("nonsense", key), "is no PEM certificate"),
        ((chain, "nonsense"), "has no PEM private key beside it"),
        ((chain, locked), "has a key that is encrypted: give it without a passphrase"),
        ((chain, other), "does not belong to the key: they are of two pairs"),
    ):
        with pytest.raises(certificates.CertificateError, match=message):
            certificates.read(*pair)
