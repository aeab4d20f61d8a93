"""What fuzzing has found, each as the smallest input that showed it."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
from functools import cache
from typing import Any, cast

import pytest
import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from client.proxy import Proxy, _ask
from party.address import Address
from party.certificates import load_certificate, pem_of, requested_key, uris
from party.contract import parse_contract
from party.jobfile import read_table
from party.passing import SocketStream
from psi.errors import LinkLost, PeerViolation, UsageError, VeiljoinError
from tests.fuzz.draws import Draws
from tests.fuzz.keys import signed_again
from tests.fuzz.mutators import read_der, write_der
from tests.fuzz.nodes import pair
from tests.fuzz.papers import ProxySocket, contracts
from tests.party.standing_pair import Pair
from veiljoin.control_messages import Propose, Refuse

KEY = ec.generate_private_key(ec.SECP256R1())
EMPTY = x509.Name([])
DAY = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)


def edited(data: bytes, *way: int, value: bytes) -> bytes:
    """Return a DER structure with another value at ``way``, signed again."""
    nodes: list[Any] = read_der(data)
    at = nodes[0]
    for step in way:
        at = at[1][step]
    at[1] = value
    return signed_again(write_der(nodes), KEY)


def csr() -> bytes:
    """A sound request."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(EMPTY)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def certificate(*extensions: x509.ExtensionType) -> bytes:
    """A certificate that its own key signed, DER."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(EMPTY)
        .issuer_name(EMPTY)
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(DAY)
        .not_valid_after(DAY + datetime.timedelta(days=1))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def pem(der: bytes) -> bytes:
    """The same as PEM, without looking at it."""
    return b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(der) + b"\n-----END CERTIFICATE-----\n"


def test_a_request_of_a_version_that_does_not_exist() -> None:
    """Anybody can send one to the port of enrolment."""
    with pytest.raises(PeerViolation, match="cannot be read"):
        requested_key(edited(csr(), 0, 0, value=b"\x04"))


def test_a_certificate_of_a_version_that_does_not_exist() -> None:
    sound = certificate()
    assert load_certificate(pem(sound)).serial_number == 7
    with pytest.raises(PeerViolation, match="something else than one certificate"):
        load_certificate(pem(edited(sound, 0, 0, 0, value=b"\x01")))


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("serial", [b"\x00", b"\xff"])
def test_a_certificate_with_an_impossible_serial_number(serial: bytes) -> None:
    with pytest.raises(PeerViolation, match="impossible serial number"):
        load_certificate(pem(edited(certificate(), 0, 1, value=serial)))


def test_a_certificate_with_damaged_names() -> None:
    """Its extensions are parsed only when somebody asks for one of them."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://bank/server")])
    found = x509.load_der_x509_certificate(certificate(names))
    assert uris(found) == ("spiffe://bank/server",)
    damaged = certificate(names).replace(b"spiffe://bank/server", b"spiffe://bank/serve\xff")
    with pytest.raises(PeerViolation, match="cannot be read"):
        uris(load_certificate(pem(damaged)))
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    nodes: list[Any] = read_der(certificate(names, usage))
    extensions = nodes[0][1][0][1][-1][1][0][1]
    extensions.append(extensions[0])
    with pytest.raises(PeerViolation, match="cannot be read"):
        uris(load_certificate(pem(write_der(nodes))))
    assert pem_of(found).startswith(b"-----BEGIN")


@cache
def nodes() -> Pair:
    """Two nodes that are on the line."""
    both = pair()
    both.connect()
    return both


@cache
def proposed() -> tuple[str, bytes]:
    """A job that the platform was asked for: its id and contract."""
    nodes().draft()
    nodes().talk()
    (known,) = nodes().platform.jobs.list().jobs
    return known.id, known.contract or b""


@pytest.mark.parametrize(
    "sent", [b"true", b"[]", b'"kind"', b"6", b"null", b"{", b'{"a":NaN}', b'{"a":"\\ud800"}', b'{ "a": 1}']
)
def test_a_job_table_that_is_none(sent: bytes) -> None:
    with pytest.raises(UsageError, match="not canonical JSON"):
        read_table(sent)
    job, contract = proposed()
    answer = nodes().platform.agent.receive("bank", Propose(job, sent, contract, bytes(32), bytes(64)))
    assert answer.messages == (Refuse(job, "contract"),)


def changed(place: str, value: Any) -> bytes:
    """A contract with another value at the top or in the policy."""
    body = json.loads(next(each.canonical for each in contracts() if each.kind.value == "measure"))
    *sections, key = place.split(".")
    at = body
    for section in sections:
        at = at[section]
    at[key] = value
    return rfc8785.dumps(body)


def test_noise_on_figures_of_any_size() -> None:
    """1 - e^(-1/scale) is 0 in a float where the scale is large."""
    body = json.loads(changed("policy.epsilon", "1/100"))
    body["policy"]["max_rows"] = 1
    (value, *_) = body["parties"]["bank"]["columns"]["values"]
    value |= {"min": 0, "max": 10**15, "scale": 1}
    body["parties"]["bank"]["columns"]["values"] = [value]
    terms = parse_contract(rfc8785.dumps(body)).sum_terms()
    variance = terms.noise_variances()[f"square:{value['column']}"]
    scale = terms.noise_scale("", 0, 10**30)
    assert scale is not None
    assert variance == pytest.approx(2 * float(scale) ** 2)


@pytest.mark.parametrize(
    ("place", "value", "what"),
    [
        ("job", "\x1b[2J", "job is no id"),
        ("job", "", "job is no id"),
        ("expires", "2026-11-02\x1b00:00:00+00:00", "expires is not written"),
    ],
)
def test_a_contract_whose_texts_would_reach_a_terminal(place: str, value: str, what: str) -> None:
    with pytest.raises(VeiljoinError, match=what) as raised:
        parse_contract(changed(place, value))
    assert str(raised.value).isprintable()


def test_a_proxy_that_answers_with_control_characters() -> None:
    line = ProxySocket(Draws(b"HTTP/1.1 \x1b[2J\r\n\r\n"), breaks=False)
    with pytest.raises(LinkLost, match="no answer") as raised:
        _ask(cast(Any, line), Address("bank.example", 7443), Proxy(Address("proxy", 8080), "http_proxy"))
    assert str(raised.value).isprintable()


def test_a_proxy_that_never_ends_its_answer() -> None:
    line = ProxySocket(Draws(b"HTTP/1.1 503 " + b"x" * 100_000), breaks=False)
    with pytest.raises(LinkLost, match="status 503"):
        _ask(cast(Any, line), Address("bank.example", 7443), Proxy(Address("proxy", 8080), "http_proxy"))
    assert line.taken == 16 * 1024


def test_a_frame_that_is_no_envelope() -> None:
    async def read() -> None:
        stream = SocketStream()
        stream._reader.feed_data(b"\x00\x00\x00\x01\x04")
        with pytest.raises(PeerViolation, match="no message"):
            await stream.read()

    asyncio.run(read())
