"""Who signed, and who is on the line: two sorts of keys that never stand in for each other."""

from __future__ import annotations

import datetime
import hashlib

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from party.identity import (
    BANK_HOST,
    Authority,
    TlsMaterial,
    bank_uri,
    new_identity,
    partner_uri,
    public_identity,
    sign_contract,
    verify_contract,
)
from psi.errors import PeerViolation
from psi.secret import SecretBytes, SigningSeed

HASH = hashlib.sha256(b"a contract").digest()


# -- signatures


def test_the_public_identity_is_that_of_rfc_8032() -> None:
    # Section 7.1, TEST 1.
    seed = SigningSeed(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    expected = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert public_identity(seed).hex() == expected


def test_a_signature_is_checked_against_key_and_hash() -> None:
    identity, stranger = new_identity(), new_identity()
    signature = sign_contract(identity, HASH, "bank")
    verify_contract(public_identity(identity), HASH, signature, "bank")
    other_hash = hashlib.sha256(b"another contract").digest()
    bad = [
        (public_identity(stranger), HASH, signature),
        (public_identity(identity), other_hash, signature),
        (public_identity(identity), HASH, sign_contract(stranger, HASH, "bank")),
        (public_identity(identity), HASH, sign_contract(identity, other_hash, "bank")),
        # What the other side signed, sent back to it under our name.
        (public_identity(identity), HASH, sign_contract(identity, HASH, "platform")),
        (public_identity(identity), HASH, bytes(64)),
        (public_identity(identity), HASH, signature[:32] + bytes(32)),
        (public_identity(identity), HASH, b""),
        (bytes(32), HASH, signature),
    ]
    for public, digest, given in bad:
        with pytest.raises(PeerViolation, match="does not carry the bank's signature") as raised:
            verify_contract(public, digest, given, "bank")
        assert raised.value.hint
        assert given.hex() not in str(raised.value) or not given


def test_every_bit_of_a_signature_counts() -> None:
    identity = new_identity()
    signature = sign_contract(identity, HASH, "bank")
    for bit in range(0, 512, 37):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PeerViolation):
            verify_contract(public_identity(identity), HASH, bytes(flipped), "bank")


def test_a_signature_over_the_bare_hash_is_none_over_the_contract() -> None:
    # The label keeps a signature that was made for something else from counting here.
    identity = new_identity()
    key = Ed25519PrivateKey.from_private_bytes(identity.reveal())
    with pytest.raises(PeerViolation):
        verify_contract(public_identity(identity), HASH, key.sign(HASH), "bank")


def test_identities_are_fresh_and_quiet() -> None:
    identities = [new_identity() for _ in range(20)]
    assert len({public_identity(each) for each in identities}) == 20
    assert {type(each) for each in identities} == {SigningSeed}
    assert repr(identities[0]) == "SigningSeed(<redacted>)"


# -- certificates


@pytest.fixture(scope="module")
def authority() -> Authority:
    """One authority for the module."""
    return Authority("bank")


def certificate(material: TlsMaterial) -> x509.Certificate:
    """Parse the certificate of ``material``."""
    return x509.load_pem_x509_certificate(material.certificate)


def names(material: TlsMaterial) -> x509.SubjectAlternativeName:
    """Return the subject alternative names of ``material``."""
    return certificate(material).extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_names_are_where_the_other_side_looks(authority: Authority) -> None:
    bank, partner = authority.issue_bank(), authority.issue_partner("platform-7")
    assert set(names(bank).get_values_for_type(x509.DNSName)) == {BANK_HOST, "localhost"}
    assert names(bank).get_values_for_type(x509.UniformResourceIdentifier) == [bank_uri("bank")]
    assert names(partner).get_values_for_type(x509.UniformResourceIdentifier) == [
        "spiffe://bank/partner/platform-7/node/1"
    ]
    # A partner has no host name, so it cannot pose as the bank.
    assert len(list(names(partner))) == 1
    assert partner_uri("bank", "platform-7", 2) == "spiffe://bank/partner/platform-7/node/2"


def test_each_certificate_is_good_for_one_direction(authority: Authority) -> None:
    usages = {}
    for name, material in (("bank", authority.issue_bank()), ("partner", authority.issue_partner("p"))):
        extensions = certificate(material).extensions
        usages[name] = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert usages == {"bank": [ExtendedKeyUsageOID.SERVER_AUTH], "partner": [ExtendedKeyUsageOID.CLIENT_AUTH]}


def test_certificates_are_signed_by_their_authority_and_no_other(authority: Authority) -> None:
    issuer = x509.load_pem_x509_certificate(authority.pem)
    stranger = x509.load_pem_x509_certificate(Authority("bank").pem)
    issuer.verify_directly_issued_by(issuer)
    for material in (authority.issue_bank(), authority.issue_partner("p")):
        assert material.authority == authority.pem
        certificate(material).verify_directly_issued_by(issuer)
        with pytest.raises(InvalidSignature):
            certificate(material).verify_directly_issued_by(stranger)
    assert issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_a_key_fits_its_certificate_and_no_other(authority: Authority) -> None:
    bank, partner = authority.issue_bank(), authority.issue_partner("p")
    keys = []
    for material in (bank, partner):
        key = serialization.load_pem_private_key(material.key.reveal(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert key.public_key() == certificate(material).public_key()
        keys.append(key.public_key())
    assert keys[0] != keys[1]
    assert isinstance(bank.key, SecretBytes)


def test_serial_numbers_differ_and_days_are_few(authority: Authority) -> None:
    issued = [certificate(authority.issue_partner("p")) for _ in range(10)]
    assert len({each.serial_number for each in issued}) == 10
    now = datetime.datetime.now(datetime.UTC)
    for each in issued:
        assert each.not_valid_before_utc < now < each.not_valid_after_utc
        assert each.not_valid_after_utc - now <= datetime.timedelta(days=1)
        assert each.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "p"


def test_a_lifetime_of_ones_own(authority: Authority) -> None:
    short = certificate(authority.issue_partner("p", datetime.timedelta(minutes=3)))
    left = short.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(minutes=2) < left <= datetime.timedelta(minutes=3)
    expired = certificate(authority.issue_partner("p", datetime.timedelta(minutes=-1)))
    assert expired.not_valid_after_utc < datetime.datetime.now(datetime.UTC)


def test_a_partners_certificate_does_not_pass_as_the_banks(authority: Authority) -> None:
    builder = PolicyBuilder().store(Store([x509.load_pem_x509_certificate(authority.pem)]))
    verifier = builder.build_server_verifier(x509.DNSName(BANK_HOST))
    with pytest.raises(VerificationError):
        verifier.verify(certificate(authority.issue_partner("p")), [])
