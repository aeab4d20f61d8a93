"""Targets: keys, certificates and group elements of a partner."""

from __future__ import annotations

import base64
import random
from typing import Any, Final

import gmpy2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from federated.ciphertexts import check_ciphertexts, encode
from federated.proof import ROOTS, prove_modulus, receive_public_key, verify_modulus
from party.callers import FixedDirectory, caller_of
from party.certificates import (
    Issuer,
    TlsKey,
    key_digest,
    load_certificate,
    new_tls_key,
    partner_uri,
    public_key,
    request,
    requested_key,
    uris,
)
from party.credentials import check_issued, check_named
from psi.hash_to_curve import derive_scalar
from psi.points import LOW_ORDER_X, check_elements, check_masked, truncate
from psi.suites import RISTRETTO255, X25519_ELL2, Suite, domain_separation_tag
from tests.federated.keys_for_tests import CONTRACT, private_key
from tests.fuzz.mutators import der, plain, read_der, write_der
from tests.fuzz.papers import NOW
from tests.fuzz.target import Target, require
from tests.psi.pair import engine_for


def _signer(key: TlsKey) -> ec.EllipticCurvePrivateKey:
    loaded = serialization.load_pem_private_key(key.reveal(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return loaded


def signed_again(data: bytes, signer: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a request or certificate with a right signature over what it says now."""
    nodes: list[Any] = read_der(data)
    if len(nodes) != 1 or not isinstance(nodes[0][1], list) or len(nodes[0][1]) != 3:
        return data
    said = write_der([nodes[0][1][0]])
    nodes[0][1][2] = [0x03, b"\x00" + signer.sign(said, ec.ECDSA(hashes.SHA256()))]
    return write_der(nodes)


def csr() -> Target:
    """A certificate request in DER; with the first byte even it is signed again, so that its content is looked at."""
    key = new_tls_key()
    signer, plainly = _signer(key), request(key)
    named = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "acme")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("acme.example")]), critical=True)
        .sign(signer, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    other = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384())
        .public_bytes(serialization.Encoding.DER)
    )

    def feed(data: bytes) -> None:
        body = data[1:]
        found = requested_key(signed_again(body, signer) if data[:1] < b"\x80" else body)
        require(found.curve.name == "secp256r1", "a key of another curve passed")
        key_digest(found)

    return Target(
        "csr",
        feed,
        [mark + each for mark in (b"\x00", b"\xff") for each in (plainly, named, other)],
        4_400,
        _headed_der,
    )


def _headed_der(data: bytes, rng: random.Random, limit: int) -> bytes:
    return (data[:1] or b"\x00") + der(data[1:], rng, limit - 1)


def certificate() -> Target:
    """A certificate as a bank sends it and as a caller shows it; in DER, as PEM is only its wrapping.

    The first byte says whether it is signed again, and whether the bytes are taken for PEM as they are.
    """
    issuer = Issuer.create("bank", NOW.replace(year=2027) - NOW, NOW)
    signer, subject = _signer(issuer.key), public_key(new_tls_key())
    issued = issuer.issue_partner("acme", subject, NOW.replace(month=12) - NOW, NOW)
    bank = issuer.issue_bank(subject, NOW.replace(month=12) - NOW, NOW)
    san = partner_uri("bank", "acme")
    directory = FixedDirectory({san: "acme"}, lambda: NOW)
    der_of = [each.public_bytes(serialization.Encoding.DER) for each in (issued, bank, issuer.certificate)]

    def pem(body: bytes) -> bytes:
        return b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(body) + b"\n-----END CERTIFICATE-----\n"

    def feed(data: bytes) -> None:
        how, body = data[0] % 3 if data else 0, data[1:]
        shown = body if how == 2 else pem(signed_again(body, signer) if how == 0 else body)
        names = (san.encode(), body[:40])
        directory.identify(caller_of({"x509_pem_cert": [shown], "x509_subject_alternative_name": names}))
        found = load_certificate(shown)
        check_issued(found, issuer.certificate, NOW)
        require(all(isinstance(each, str) for each in uris(found)), "a name that is no text")
        check_named(found, san)

    seeds = [bytes([how]) + each for how in (0, 1) for each in der_of]
    seeds += [b"\x02" + pem(der_of[0]), b"\x02" + pem(der_of[0]) * 2]
    return Target("certificate", feed, seeds, 8_000, _headed_der)


# -- Paillier

_BITS: Final = 2048


def paillier() -> Target:
    """A modulus with its proof, a proof for a sound modulus, and ciphertexts; the first byte says which.

    Most inputs are moduli: a proof that is refused costs the square of the time.
    """
    private = private_key(_BITS)
    public = private.public
    modulus, shown = public.encode(), prove_modulus(private, CONTRACT)
    wide = [1, 2, public.n - 1, public.n + 1, public.n**2 - 1]

    def feed(data: bytes) -> None:
        match data[0] % 16 if data else 0:
            case 1:
                verify_modulus(public, CONTRACT, data[1:])
                require(data[1:] == shown, "another proof passed")
            case 2 | 3 | 4:
                check_ciphertexts(public, data[1:])
            case _:
                size = _BITS // 8
                found = receive_public_key(data[1 : 1 + size], data[1 + size :], _BITS, CONTRACT)
                require(found == public, "another modulus passed")

    seeds = [b"\x00" + modulus + shown, b"\x00" + modulus, b"\x01" + shown, b"\x01" + modulus * ROOTS]
    seeds += [
        b"\x02" + encode(public, map(gmpy2.mpz, wide)),
        b"\x03" + modulus,
        b"\x04" + encode(public, [private.primes[0]]),
    ]
    seeds += [b"\x00" + (public.n // factor).to_bytes(_BITS // 8, "big") + shown for factor in (2, 3)]
    return Target("paillier", feed, seeds, 4_096)


# -- points


def points() -> Target:
    """Chunks of elements of both suites: what passes the check is masked, and the masks are checked."""
    suites = (X25519_ELL2, RISTRETTO255)
    scalars = {suite: derive_scalar(suite, bytes(range(64))) for suite in suites}

    def feed(data: bytes) -> None:
        suite = suites[data[0] % 2 if data else 0]
        body = data[1:]
        check_elements(suite, body)
        require(len(body) % 32 == 0, "a part of an element passed")
        masked = engine_for(suite).mask(body, scalars[suite])
        check_masked(suite, masked)
        require(len(truncate(masked)) * 2 == len(body), "masks of another number")

    def sound(suite: Suite) -> bytes:
        tag = domain_separation_tag(suite, CONTRACT)
        return engine_for(suite).hash_and_mask(tag, [b"a", b"b", b"c"], scalars[suite])

    low = b"".join(x.to_bytes(32, "little") for x in LOW_ORDER_X)
    seeds = [bytes([number]) + body for number, suite in enumerate(suites) for body in (sound(suite), low)]
    edge = b"".join((2**255 - 19 + step).to_bytes(32, "little") for step in (-2, -1, 0, 1, 18))
    seeds += [b"\x00" + edge, b"\x01" + edge, b"\x01" + bytes(32), b"\x00" + b"\xff" * 32]
    return Target("points", feed, seeds, 321, _whole_elements)


def _whole_elements(data: bytes, rng: random.Random, limit: int) -> bytes:
    """Mutate without losing the length, mostly."""
    changed = plain(data, rng, limit)
    if rng.random() < 0.1:
        return changed
    return changed + bytes(-(len(changed) - 1) % 32)
