"""The bank's authority that persists, and what a node proves itself with."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder
from cryptography.x509.verification import Store as TrustStore

from party import renewal
from party.authority import LIFETIME, StandingAuthority
from party.certificates import (
    BANK_HOST,
    bank_uri,
    load_certificate,
    new_tls_key,
    partner_uri,
    pem_of,
    public_key,
    request,
    serial_of,
    uris,
)
from party.credentials import Credentials, check_issued, renewal_time
from party.identity import public_identity
from party.node import Node
from party.nodefile import NODE_FILE, NodeFile, bank_ports, load_node, parse_node, write_node
from party.vault import open_vault
from psi.errors import PeerViolation, UsageError
from tests.party.blankstore import write_store
from tests.party.enrolments import Bank, Clock, Home, home
from veiljoin.control_messages import Renewed


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
def bank(tmp_path: Path, clock: Clock) -> Bank:
    """A bank without partners."""
    return Bank(tmp_path / "bank", clock)


def issue(bank: Bank, csr: bytes, partner: str = "acme") -> x509.Certificate:
    """Issue a partner's certificate."""
    with bank.home.store.transaction() as connection:
        return bank.authority.issue_partner(connection, partner, csr)


def test_the_authority_is_the_same_after_a_restart(bank: Bank, clock: Clock) -> None:
    store, vault = bank.home.store, bank.home.vault
    again = StandingAuthority.load(store, vault, clock)
    assert (again.bank, again.certificate, again.pin) == (
        "bank",
        bank.authority.certificate,
        bank.authority.pin,
    )
    assert StandingAuthority.ensure(store, vault, "bank", clock).pin == again.pin
    csr = request(new_tls_key())
    with store.transaction() as connection:
        issued = again.issue_partner(connection, "acme", csr)
    issued.verify_directly_issued_by(bank.authority.certificate)
    with pytest.raises(UsageError, match="already"):
        StandingAuthority.create(store, vault, "bank", clock)
    with pytest.raises(UsageError, match="'bank'"):
        StandingAuthority.ensure(store, vault, "other", clock)


def test_the_authority_signs_certificates_and_nothing_else(bank: Bank) -> None:
    extensions = bank.authority.certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature


def test_no_private_half_lies_open_in_the_home(bank: Bank, tmp_path: Path) -> None:
    bank.home.store.close()
    secrets = [bank.authority._issuer.key, bank.home.credentials.material().key]
    for path in (tmp_path / "bank").iterdir():
        if path.is_file():
            content = path.read_bytes()
            assert b"PRIVATE KEY" not in content
            for secret in secrets:
                body = b"".join(secret.reveal().splitlines()[1:-1])
                assert body not in content
            assert path.stat().st_mode & 0o077 == 0


def test_an_authority_whose_key_is_another_is_not_used(tmp_path: Path, bank: Bank, clock: Clock) -> None:
    other = Bank(tmp_path / "other", clock)
    key = other.authority._issuer.key
    bank.home.vault.seal("authority/key", key, purpose="certificates", replace=True)
    with pytest.raises(UsageError, match="does not belong"):
        StandingAuthority.load(bank.home.store, bank.home.vault, clock)
    (tmp_path / "bank" / "node.key").write_bytes(bytes(32))
    with pytest.raises(UsageError, match="another node key"):
        StandingAuthority.load(bank.home.store, open_vault(tmp_path / "bank", bank.home.store), clock)


def test_what_is_issued_is_what_the_other_side_checks(bank: Bank, clock: Clock) -> None:
    partner = issue(bank, request(new_tls_key()))
    own = bank.home.credentials.current()
    assert own is not None
    assert uris(own.certificate) == (bank_uri("bank"),)
    assert uris(partner) == (partner_uri("bank", "acme"),)
    usages = [
        list(each.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        for each in (own.certificate, partner)
    ]
    assert usages == [[ExtendedKeyUsageOID.SERVER_AUTH], [ExtendedKeyUsageOID.CLIENT_AUTH]]
    assert partner.not_valid_after_utc - clock() <= LIFETIME
    # An independent verifier, under the rules of the Web PKI, agrees.
    trust = TrustStore([bank.authority.certificate])
    verifier = PolicyBuilder().store(trust).time(clock()).build_server_verifier(x509.DNSName(BANK_HOST))
    assert verifier.verify(own.certificate, [])[0] == own.certificate


def test_nothing_outlives_the_authority(bank: Bank, clock: Clock) -> None:
    clock.forward(days=3_649)
    partner = issue(bank, request(new_tls_key()))
    assert partner.not_valid_after_utc == bank.authority.certificate.not_valid_after_utc


def test_a_key_is_certified_once(bank: Bank) -> None:
    key = new_tls_key()
    issue(bank, request(key))
    for partner in ("acme", "rival"):
        with pytest.raises(PeerViolation, match="had one before"):
            issue(bank, request(key), partner)


def test_the_banks_own_certificate_is_renewed_at_two_thirds(bank: Bank, clock: Clock) -> None:
    credentials = bank.home.credentials
    first = credentials.material()
    start = clock()
    assert not bank.authority.renew_own(credentials)
    clock.forward(days=4, hours=15)
    assert not bank.authority.renew_own(credentials)
    clock.forward(hours=2)
    assert credentials.due()
    assert bank.authority.renew_own(credentials)
    second = credentials.material()
    assert second.key != first.key
    assert not credentials.due()
    middle = renewal_time(load_certificate(first.certificate)) - start
    assert abs(middle - LIFETIME * 2 / 3) < datetime.timedelta(seconds=2)
    # Once the first has ended, its key is gone.
    kept = len(bank.home.vault.names())
    clock.forward(days=5)
    assert bank.authority.renew_own(credentials)
    assert len(bank.home.vault.names()) == kept


def test_an_expired_node_says_when_and_what_to_do(bank: Bank, clock: Clock) -> None:
    clock.forward(days=8)
    with pytest.raises(UsageError, match="expired on") as caught:
        bank.home.credentials.material()
    assert "token" in caught.value.hint


def test_a_node_that_never_joined_says_so(tmp_path: Path, clock: Clock) -> None:
    credentials = home(tmp_path / "node", clock).credentials
    for ask in (credentials.material, credentials.authority, credentials.bank):
        with pytest.raises(UsageError, match="no certificate yet"):
            ask()
    assert not credentials.due()
    with pytest.raises(UsageError):
        credentials.identity()
    first = public_identity(credentials.ensure_identity())
    assert public_identity(credentials.ensure_identity()) == first


# -- a partner's side


@pytest.fixture
def node(tmp_path: Path, clock: Clock, bank: Bank) -> Home:
    """A node that has a certificate."""
    joined = home(tmp_path / "node", clock)
    issued = issue(bank, request(joined.credentials.new_key()))
    joined.credentials.adopt("acme", issued, "bank", bank.authority.certificate)
    return joined


def test_a_renewal_is_asked_for_with_one_key_until_it_came(node: Home, bank: Bank, clock: Clock) -> None:
    first = renewal.ask(node.credentials)
    again = renewal.ask(Credentials(node.store, node.vault, clock))
    assert request_key(first.csr) == request_key(again.csr)
    before = node.credentials.material()
    issued = issue(bank, again.csr)
    clock.forward(days=5)
    renewal.adopt(node.credentials, Renewed(pem_of(issued)), clock)
    assert node.credentials.material().certificate == pem_of(issued)
    assert node.credentials.material().key != before.key
    assert request_key(renewal.ask(node.credentials).csr) != request_key(first.csr)


def request_key(csr: bytes) -> object:
    """The public key of a request."""
    return x509.load_der_x509_csr(csr).public_key()


def test_a_renewal_that_does_not_fit_is_refused(node: Home, bank: Bank, tmp_path: Path, clock: Clock) -> None:
    before = node.credentials.material()
    stranger = Bank(tmp_path / "stranger", clock)
    asked = renewal.ask(node.credentials)
    for answer, fault in (
        (issue(stranger, asked.csr), "not signed"),
        (issue(bank, asked.csr, "rival"), "somebody else"),
        (issue(bank, request(new_tls_key())), "not this node's"),
        (bank.authority.certificate, "not signed|somebody else"),
    ):
        with pytest.raises(PeerViolation, match=fault):
            renewal.adopt(node.credentials, Renewed(pem_of(answer)), clock)
    for junk in (b"junk", pem_of(bank.authority.certificate) * 2):
        with pytest.raises(PeerViolation):
            renewal.adopt(node.credentials, Renewed(junk), clock)
    assert node.credentials.material() == before


def test_a_certificate_is_judged_by_this_machines_clock(bank: Bank, clock: Clock) -> None:
    issued = issue(bank, request(new_tls_key()))
    check_issued(issued, bank.authority.certificate, clock() - datetime.timedelta(minutes=4))
    for shift in (datetime.timedelta(minutes=-6), LIFETIME):
        with pytest.raises(PeerViolation, match="not valid at this machine's time") as caught:
            check_issued(issued, bank.authority.certificate, clock() + shift)
        assert "clock" in caught.value.hint


def test_a_partners_serials_differ(bank: Bank) -> None:
    serials = {serial_of(issue(bank, request(new_tls_key()))) for _ in range(20)}
    assert len(serials) == 20
    key = new_tls_key()
    assert issue(bank, request(key)).public_key() == public_key(key)


# -- node.toml


def test_the_settings_of_a_node_are_read_as_written(tmp_path: Path) -> None:
    ports = bank_ports("0.0.0.0:7443", None, "veiljoin.bank.example:443", None)
    assert str(ports.enrol_listen) == "0.0.0.0:7444"
    assert str(ports.enrol_address) == "veiljoin.bank.example:7444"
    for name, file in (
        ("b", NodeFile("bank", "bank", ports, 'postgresql+psycopg://u:p"w\\@h/n')),
        ("p", NodeFile("acme-ads", "platform", None)),
    ):
        (tmp_path / name).mkdir()
        write_node(tmp_path / name, file)
        assert load_node(tmp_path / name) == file
        assert (tmp_path / name / NODE_FILE).stat().st_mode & 0o777 == 0o600
        assert 'p"w' not in repr(file)
        with pytest.raises(UsageError, match="already"):
            write_node(tmp_path / name, file)


def test_settings_that_cannot_be_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only says where to listen") as caught:
        bank_ports("0.0.0.0:7443", None, None, None)
    assert "--address" in caught.value.hint
    with pytest.raises(UsageError, match="Both ports"):
        bank_ports("10.0.0.1:7443", "10.0.0.1:7443", None, None)
    with pytest.raises(UsageError, match="not the home of a node"):
        load_node(tmp_path)
    for table, fault in (
        ({"name": "bank", "role": "bank"}, "listen is missing"),
        ({"role": "platform"}, "name is missing"),
        ({"name": "x", "role": "platfrom"}, "platfrom"),
        ({"name": "x", "role": "platform", "adress": "a:1"}, "adress"),
        ({"name": "X", "role": "platform"}, "'X'"),
        ({"name": "x", "role": "bank", "listen": "x"}, "listen"),
    ):
        with pytest.raises(UsageError, match=fault):
            parse_node(table, "node.toml")
    (tmp_path / NODE_FILE).write_text("name = ")
    with pytest.raises(UsageError, match="not valid TOML"):
        load_node(tmp_path)


def test_a_home_is_opened_in_its_role_only(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir(mode=0o700)
    write_store(tmp_path / "p" / "store.sqlite")
    write_node(tmp_path / "p", NodeFile("acme", "platform", None))
    with Node.open(tmp_path / "p", role="platform") as node, pytest.raises(UsageError, match="no port"):
        str(node.ports)
    with pytest.raises(UsageError, match="home of a platform") as caught:
        Node.open(tmp_path / "p", role="bank")
    assert "veiljoin client" in caught.value.hint
