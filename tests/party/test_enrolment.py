"""Tokens, requests and confirmations: who gets a certificate, who does not, and what each is told."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from party.address import Address, check_name, parse_address, same_person
from party.callers import Caller
from party.certificates import (
    load_certificate,
    new_tls_key,
    partner_uri,
    public_key,
    request,
    requested_key,
    serial_of,
    uris,
)
from party.enrolment import MAX_FAILURES
from party.invitation import (
    Invitation,
    check_proof,
    grouped,
    new_secret,
    prove,
    prove_identity,
    read_fingerprint,
    read_token,
    verifier,
)
from party.partners import PartnerState, invitations
from psi.errors import PeerViolation, PolicyRefusal, UsageError
from tests.party.enrolments import ENROL_AT, NODE_AT, Bank, Clock, Node
from veiljoin.control_messages import EnrolReply, EnrolState


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
def bank(tmp_path: Path, clock: Clock, store_url: str) -> Iterator[Bank]:
    """A bank without partners, on either database."""
    made = Bank(tmp_path / "bank", clock, store_url=store_url)
    yield made
    made.home.store.close()


def issued(reply: EnrolReply) -> x509.Certificate:
    """Return the certificate of a reply that has one."""
    assert reply.state is EnrolState.ISSUED
    return load_certificate(reply.certificate)


def caller(certificate: x509.Certificate) -> Caller:
    """Return who shows ``certificate``."""
    return Caller(frozenset(uris(certificate)), certificate)


def enrolled(bank: Bank, partner: str = "acme") -> Node:
    """Enrol a partner."""
    node = Node(bank.invite(partner))
    bank.ask(node)
    bank.enrolments.confirm(partner, node.fingerprint, "ben")
    return node


# -- tokens


def sample(address: Address = ENROL_AT) -> Invitation:
    """Return an invitation."""
    return Invitation(address, bytes(range(32)), "acme-ads", new_secret())


@pytest.mark.parametrize(
    "address", ["bank.example:7444", "192.0.2.7:1", "[2001:db8::1]:65535", "a" * 63 + ".b:80"]
)
def test_a_token_says_what_the_invitation_says(address: str) -> None:
    invitation = sample(parse_address(address, "test"))
    token = invitation.token()
    assert token.startswith("vj1_")
    assert len(token.split()) == 1
    assert read_token(token) == invitation
    # As a mail or a terminal may break it.
    assert read_token(f"  {token[:40]}\r\n {token[40:]}\n") == invitation


def test_every_wrong_character_of_a_token_is_noticed() -> None:
    token, choose = sample().token(), random.Random(7)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place in range(4, len(token)):
        other = choose.choice([letter for letter in letters if letter != token[place]])
        with pytest.raises(UsageError, match="damaged") as caught:
            read_token(token[:place] + other + token[place + 1 :])
        assert token[4:30] not in str(caught.value)
    for place in range(5, len(token) - 1):
        swapped = token[:place] + token[place + 1] + token[place] + token[place + 2 :]
        if swapped != token:
            with pytest.raises(UsageError):
                read_token(swapped)
        with pytest.raises(UsageError):
            read_token(token[:place])


@pytest.mark.parametrize("text", ["", "hello", "vj1_", "vj1_!!!!", "vj1_" + "A" * 5000, "vj1_é"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_token(text)
    assert caught.value.hint


def test_a_newer_token_asks_for_a_newer_program() -> None:
    with pytest.raises(UsageError, match="version") as caught:
        read_token("vj2_AAAA")
    assert "update" in caught.value.hint


def test_a_token_can_be_long_but_its_parts_are_checked() -> None:
    # A right checksum over a wrong name: only who can make a token can make this one.
    for name in ("", "Acme", "a/b", "a" * 40):
        with pytest.raises(UsageError):
            read_token(Invitation(ENROL_AT, bytes(32), name, new_secret()).token())


def test_the_secret_shows_nowhere() -> None:
    invitation = sample()
    for text in (repr(invitation), str(invitation), f"{invitation.secret}"):
        assert invitation.secret.reveal().hex() not in text
        assert repr(invitation.secret.reveal()) not in text
        assert "redacted" in text


# -- proofs


def test_a_proof_binds_key_identity_partner_and_authority() -> None:
    invitation, csr, identity = sample(), request(new_tls_key()), bytes(range(32))
    key = verifier(invitation.secret)
    proof = prove(invitation, csr, identity)
    check_proof(key, proof, "acme-ads", csr, identity, invitation.pin)
    others = [
        (verifier(new_secret()), proof, "acme-ads", csr, identity, invitation.pin),
        (key, bytes(64), "acme-ads", csr, identity, invitation.pin),
        (key, b"", "acme-ads", csr, identity, invitation.pin),
        (key, proof, "acme", csr, identity, invitation.pin),
        (key, proof, "acme-ads", request(new_tls_key()), identity, invitation.pin),
        (key, proof, "acme-ads", csr, bytes(32), invitation.pin),
        (key, proof, "acme-ads", csr, identity, bytes(32)),
    ]
    for other in others:
        with pytest.raises(PeerViolation) as caught:
            check_proof(*other)
        assert caught.value.code.name == "peer_identity"


def test_what_the_bank_keeps_does_not_prove_anything(bank: Bank) -> None:
    node = Node(bank.invite())
    with bank.home.store.reading() as connection:
        kept = connection.execute(invitations.select()).one().verifier
    assert node.invitation.secret.reveal() not in kept
    thief = Node(dataclasses.replace(node.invitation, secret=type(node.invitation.secret)(kept[:16])))
    assert bank.ask(thief) == EnrolReply(EnrolState.REFUSED, "unproven")


def test_a_fingerprint_is_typed_as_it_is_read_out() -> None:
    text = "0123456789abcdef0123456789abcdef"
    assert grouped(text) == "0123 4567 89ab cdef 0123 4567 89ab cdef"
    for typed in (text, grouped(text), text.upper(), "0123-4567:89AB.CDEF 0123 4567 89ab cdef\n"):
        assert read_fingerprint(typed) == text
    for wrong in ("", text[:-1], text + "0", "g" + text[1:], "0x" + text[2:]):
        with pytest.raises(UsageError):
            read_fingerprint(wrong)


# -- requests for certificates


def signed_request(key: object, names: list[x509.GeneralName] | None = None) -> bytes:
    """A CSR of any key, with any names."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bank")])
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)  # type: ignore[call-overload,no-any-return]


def test_keys_that_the_link_cannot_use_are_refused() -> None:
    keys = [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65_537, 2048),
    ]
    for key in keys:
        with pytest.raises(PeerViolation, match="P-256"):
            requested_key(signed_request(key))


def test_a_request_that_its_key_did_not_sign_is_refused() -> None:
    csr = bytearray(request(new_tls_key()))
    csr[-1] ^= 1
    with pytest.raises(PeerViolation):
        requested_key(bytes(csr))
    for junk in (b"", b"junk", bytes(5_000), request(new_tls_key())[:-10]):
        with pytest.raises(PeerViolation):
            requested_key(junk)


def test_the_names_that_a_request_asks_for_are_ignored(bank: Bank) -> None:
    node = Node(bank.invite())
    private = serialization.load_pem_private_key(node.key.reveal(), None)
    wanted = [x509.UniformResourceIdentifier(partner_uri("bank", "rival")), x509.DNSName("bank.example")]
    csr = signed_request(private, list(wanted))
    sound = node.asked()
    asked = dataclasses.replace(
        sound,
        csr=csr,
        proof=prove(node.invitation, csr, sound.identity),
        identity_proof=prove_identity(node.invitation, csr, node.identity),
    )
    assert bank.enrolments.request(asked, "x").state is EnrolState.PENDING
    bank.enrolments.confirm("acme", node.fingerprint, "ben")
    certificate = issued(bank.enrolments.request(asked, "x"))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(partner_uri("bank", "acme"))]
    assert "bank" not in certificate.subject.rfc4514_string()


# -- the whole way


def test_a_partner_is_invited_asks_is_confirmed_and_may_call(bank: Bank, clock: Clock) -> None:
    node = Node(bank.invite())
    assert bank.partners.get("acme").state is PartnerState.INVITED
    assert bank.enrolments.pending() == []
    assert bank.ask(node) == EnrolReply(EnrolState.PENDING)
    assert bank.ask(node) == EnrolReply(EnrolState.PENDING)
    assert bank.partners.get("acme").state is PartnerState.PENDING
    (waiting,) = bank.enrolments.pending()
    assert (waiting.partner, waiting.fingerprint) == ("acme", node.fingerprint)
    assert (waiting.source, waiting.invited_by) == ("192.0.2.1", "ann")
    bank.enrolments.confirm("acme", grouped(node.fingerprint).upper(), "ben")
    reply = bank.ask(node)
    assert (reply.bank, reply.identity, reply.address) == ("bank", bank.identity, str(NODE_AT))
    certificate = issued(reply)
    assert certificate.public_key() == public_key(node.key)
    certificate.verify_directly_issued_by(bank.authority.certificate)
    assert bank.partners.identify(caller(certificate)) == "acme"
    partner = bank.partners.get("acme")
    assert partner.state is PartnerState.ACTIVE
    assert partner.identity == node.asked().identity
    # Its answer may have been lost.
    assert issued(bank.ask(node)) == certificate
    assert [(e.actor, e.event) for e in bank.partners.history("acme")] == [
        ("ann", "invited"),
        ("node", "requested"),
        ("ben", "confirmed"),
    ]


def test_who_invites_does_not_confirm(bank: Bank) -> None:
    node = Node(bank.invite(actor="Ann"))
    bank.ask(node)
    for same in ("Ann", "ann", " ANN ", "\uff21nn"):
        with pytest.raises(PolicyRefusal) as caught:
            bank.enrolments.confirm("acme", node.fingerprint, same)
        assert caught.value.code.name == "not_allowed"
    assert bank.ask(node).state is EnrolState.PENDING
    assert not same_person("ann", "anna")


def test_another_fingerprint_is_not_confirmed(bank: Bank) -> None:
    node = Node(bank.invite())
    bank.ask(node)
    other = Node(node.invitation)
    with pytest.raises(PeerViolation) as caught:
        bank.enrolments.confirm("acme", other.fingerprint, "ben")
    assert caught.value.code.name == "peer_identity"
    assert bank.ask(node).state is EnrolState.PENDING
    assert bank.partners.history("acme")[-1].event == "fingerprint differs"


def test_nothing_waits(bank: Bank) -> None:
    fingerprint = "0" * 32
    with pytest.raises(UsageError, match="'acme'") as caught:
        bank.enrolments.confirm("acme", fingerprint, "ben")
    assert "invite" in caught.value.hint
    bank.invite()
    with pytest.raises(UsageError) as caught:
        bank.enrolments.confirm("acme", fingerprint, "ben")
    assert "client join" in caught.value.hint


def test_a_token_is_good_for_one_node(bank: Bank) -> None:
    invitation = bank.invite()
    first, second = Node(invitation), Node(invitation)
    assert bank.ask(first).state is EnrolState.PENDING
    assert bank.ask(second) == EnrolReply(EnrolState.REFUSED, "used")
    bank.enrolments.confirm("acme", first.fingerprint, "ben")
    assert bank.ask(second) == EnrolReply(EnrolState.REFUSED, "used")
    # The same link key under another identity is another node, too.
    third = Node(invitation)
    third.key = first.key
    assert bank.ask(third) == EnrolReply(EnrolState.REFUSED, "used")
    assert "token used again" in [event.event for event in bank.partners.history("acme")]


def test_of_many_nodes_at_once_one_gets_the_token(bank: Bank) -> None:
    invitation = bank.invite()
    nodes = [Node(invitation) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(bank.ask, nodes))
    assert [reply.state for reply in replies].count(EnrolState.PENDING) == 1
    assert [reply.code for reply in replies].count("used") == 7
    (waiting,) = bank.enrolments.pending()
    first = next(node for node, reply in zip(nodes, replies, strict=True) if not reply.code)
    assert waiting.fingerprint == first.fingerprint


def test_a_token_ends_after_fifteen_minutes(bank: Bank, clock: Clock) -> None:
    late, early = Node(bank.invite("late")), Node(bank.invite("early"))
    assert bank.ask(early).state is EnrolState.PENDING
    clock.forward(minutes=15)
    assert bank.ask(late) == EnrolReply(EnrolState.REFUSED, "expired")
    # What was used in time waits for a person.
    assert bank.ask(early).state is EnrolState.PENDING
    clock.forward(hours=24)
    assert bank.ask(early) == EnrolReply(EnrolState.REFUSED, "expired")
    assert bank.enrolments.pending() == []
    with pytest.raises(UsageError, match="24 hours"):
        bank.enrolments.confirm("early", early.fingerprint, "ben")


def test_a_wrong_secret_learns_nothing(bank: Bank) -> None:
    invitation = bank.invite()
    for asked in (
        Node(dataclasses.replace(invitation, secret=new_secret())),
        Node(dataclasses.replace(invitation, partner="nobody")),
        Node(dataclasses.replace(invitation, pin=bytes(32))),
    ):
        if asked.invitation.pin == invitation.pin:
            assert bank.ask(asked) == EnrolReply(EnrolState.REFUSED, "unproven")
        else:
            with pytest.raises(PeerViolation):
                bank.ask(asked)


def test_wrong_secrets_lock_a_token_and_are_seen(bank: Bank) -> None:
    invitation = bank.invite()
    for _ in range(MAX_FAILURES):
        stranger = Node(dataclasses.replace(invitation, secret=new_secret()))
        assert bank.ask(stranger, "203.0.113.9").code == "unproven"
    assert bank.ask(Node(invitation)) == EnrolReply(EnrolState.REFUSED, "locked")
    last = bank.partners.history("acme")[-1]
    assert (last.actor, last.event, last.note) == ("stranger", "token locked", "203.0.113.9")
    # No more is kept of strangers than that.
    count = len(bank.partners.history("acme"))
    assert bank.ask(Node(dataclasses.replace(invitation, secret=new_secret()))).code == "unproven"
    assert len(bank.partners.history("acme")) == count
    # A new token is a new start.
    assert bank.ask(Node(bank.invite())).state is EnrolState.PENDING


def test_strangers_do_not_lock_what_is_in_use(bank: Bank) -> None:
    node = Node(bank.invite())
    bank.ask(node)
    for _ in range(MAX_FAILURES + 1):
        bank.ask(Node(dataclasses.replace(node.invitation, secret=new_secret())))
    assert bank.ask(node).state is EnrolState.PENDING


def test_a_request_whose_identity_did_not_sign_is_refused(bank: Bank) -> None:
    node, other = Node(bank.invite()), Node(bank.invite("other"))
    asked = dataclasses.replace(node.asked(), identity=other.asked().identity)
    with pytest.raises(PeerViolation):
        bank.enrolments.request(asked, "x")


def test_a_newer_token_voids_the_older(bank: Bank) -> None:
    older, newer = Node(bank.invite()), Node(bank.invite())
    assert bank.ask(older) == EnrolReply(EnrolState.REFUSED, "replaced")
    assert bank.ask(newer).state is EnrolState.PENDING


def test_a_request_can_be_refused(bank: Bank) -> None:
    node = Node(bank.invite())
    bank.ask(node)
    bank.enrolments.refuse("acme", "ann")
    assert bank.ask(node) == EnrolReply(EnrolState.REFUSED, "refused")
    assert bank.partners.get("acme").state is PartnerState.REVOKED


# -- later


def test_a_revoked_partner_may_not_call(bank: Bank) -> None:
    node = enrolled(bank)
    certificate = issued(bank.ask(node))
    assert bank.enrolments.revoke("acme", "ann") == 1
    with pytest.raises(PeerViolation, match="revoked") as caught:
        bank.partners.identify(caller(certificate))
    assert caught.value.code.name == "peer_identity"
    assert bank.ask(node) == EnrolReply(EnrolState.REFUSED, "revoked")
    with pytest.raises(PeerViolation):
        bank.enrolments.renew("acme", serial_of(certificate), request(new_tls_key()))
    with pytest.raises(UsageError):
        bank.enrolments.revoke("nobody", "ann")
    # Invited again it comes back, with new keys only.
    again = Node(bank.invite())
    again.key = node.key
    with pytest.raises(PeerViolation, match="had one before"):
        bank.ask(again)
    fresh = Node(again.invitation)
    bank.ask(fresh)
    bank.enrolments.confirm("acme", fresh.fingerprint, "ben")
    assert bank.partners.identify(caller(issued(bank.ask(fresh)))) == "acme"
    with pytest.raises(PeerViolation):
        bank.partners.identify(caller(certificate))


def test_an_expired_certificate_may_not_call(bank: Bank, clock: Clock) -> None:
    certificate = issued(bank.ask(enrolled(bank)))
    clock.forward(days=6, hours=23)
    assert bank.partners.identify(caller(certificate)) == "acme"
    clock.forward(hours=1)
    with pytest.raises(PeerViolation, match="expired"):
        bank.partners.identify(caller(certificate))


def test_an_open_invitation_leaves_the_partner_at_work(bank: Bank) -> None:
    before = issued(bank.ask(enrolled(bank)))
    node = Node(bank.invite())
    bank.ask(node)
    assert bank.partners.identify(caller(before)) == "acme"
    bank.enrolments.confirm("acme", node.fingerprint, "ben")
    with pytest.raises(PeerViolation, match="revoked"):
        bank.partners.identify(caller(before))
    assert bank.partners.identify(caller(issued(bank.ask(node)))) == "acme"


def test_a_certificate_that_is_not_in_the_store_may_not_call(bank: Bank, clock: Clock) -> None:
    enrolled(bank)
    # The same authority and name, issued behind the store's back.
    issuer = bank.authority._issuer
    stray = issuer.issue_partner("acme", public_key(new_tls_key()), bank.authority.lifetime, clock())
    with pytest.raises(PeerViolation, match="not in the store"):
        bank.partners.identify(caller(stray))


def test_a_renewal_takes_a_new_key_and_can_be_asked_again(bank: Bank, clock: Clock) -> None:
    old = issued(bank.ask(enrolled(bank)))
    clock.forward(days=5)
    csr = request(new_tls_key())
    new = load_certificate(bank.enrolments.renew("acme", serial_of(old), csr))
    assert uris(new) == uris(old)
    assert new.not_valid_after_utc > old.not_valid_after_utc
    assert load_certificate(bank.enrolments.renew("acme", serial_of(old), csr)) == new
    assert bank.partners.identify(caller(new)) == "acme"
    assert bank.partners.identify(caller(old)) == "acme"
    with pytest.raises(PeerViolation, match="old key"):
        bank.enrolments.renew("acme", serial_of(new), csr)
    with pytest.raises(PeerViolation, match="too often"):
        bank.enrolments.renew("acme", serial_of(new), request(new_tls_key()))


def test_a_key_is_certified_for_one_partner_only(bank: Bank, clock: Clock) -> None:
    acme = enrolled(bank)
    rival = enrolled(bank, "rival")
    clock.forward(days=5)
    with pytest.raises(PeerViolation, match="had one before"):
        bank.enrolments.renew("rival", serial_of(issued(bank.ask(rival))), request(acme.key))


# -- what people type


@pytest.mark.parametrize(
    "text", ["bank", "bank:", ":1", "bank:0", "bank:65536", "ba nk:1", "bank:1:2", "::1:80", "[x]:1", "-:1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--listen"):
        parse_address(text, "--listen")


def test_loopback_is_known_by_every_name() -> None:
    assert all(parse_address(text, "x").loopback for text in ("localhost:1", "127.0.0.2:1", "[::1]:1"))
    assert not parse_address("bank.example:1", "x").loopback


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "é", "a" * 33, "a\n"])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name, "partner")
