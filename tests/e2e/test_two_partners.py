"""Two partners under one authority: what either can do with the other's jobs, datasets and certificates.

A real bank's node runs, and the node of ``acme``; what its rival tries is spoken by the tests over the rival's own,
valid certificate. The tests follow each other, as the last of them takes acme's access away.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from client.dialer import dial, dial_control
from client.enrolment import check
from party.address import parse_address
from party.certificates import BANK_HOST, Issuer, TlsKey, new_tls_key, pem_of, public_key
from party.identity import TlsMaterial
from party.jobs import Jobs
from party.node import Node
from party.partners import Kind, record
from party.runner import SOFTWARE
from party.synthetic import Pair
from party.transport import OPTIONS, ControlLink
from psi.errors import LinkLost, PeerViolation, VeiljoinError
from psi.suites import PROTOCOL_VERSION
from tests.e2e.command import NOTICED, Running, Sandbox
from tests.e2e.standing import PARTNER, Standing, rule
from veiljoin import control_codec
from veiljoin.control_messages import (
    RUN_BYTES,
    Accept,
    Cancel,
    CatalogueEntry,
    CheckRequest,
    ControlHello,
    ControlMessage,
    JobState,
    Ping,
    PreflightAsk,
    PreflightVerdict,
    Propose,
    Refuse,
    Start,
)
from veiljoin.log_messages import LogKeys, LogOffer
from veiljoin.messages import Hello
from veiljoin.v1 import control_pb2_grpc, session_pb2_grpc

RIVAL: Final = "rival"
HELLO: Final = ControlHello(PROTOCOL_VERSION, SOFTWARE, 0)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine in an event loop of its own."""
    asyncio.run(asyncio.wait_for(test, 240))


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, small: Pair) -> Standing:
    """Two enrolled partners; acme has a dataset and accepts lists by a rule, counts by a person."""
    nodes = Standing(Sandbox(tmp_path_factory.mktemp("two")))
    with nodes.serving(partner=False):
        nodes.enrol()
        nodes.enrol(RIVAL)
    nodes.add(nodes.bank, "customers", small.bank, "mobile")
    nodes.add(nodes.home(), "users", small.platform, "phone")
    (nodes.home() / "policy.toml").write_text(rule(["users"], "audience"))
    return nodes


@pytest.fixture(scope="module")
def nodes(standing: Standing) -> Iterator[list[Running]]:
    """The bank's node and acme's, running."""
    with standing.serving() as running:
        yield running


def tls_of(standing: Standing, partner: str) -> TlsMaterial:
    """What a partner's node proves itself with."""
    with Node.open(standing.home(partner)) as node:
        return node.credentials.material()


@asynccontextmanager
async def speaking(standing: Standing, tls: TlsMaterial) -> AsyncIterator[tuple[ControlLink, ControlHello]]:
    """A control stream on which both have greeted, and the bank's greeting."""
    async with dial_control(standing.listen, tls, patience=10) as link:
        await link.send(HELLO)
        greeting = await link.receive()
        assert isinstance(greeting, ControlHello)
        yield link, greeting


async def answers(link: ControlLink, *said: ControlMessage) -> list[ControlMessage]:
    """Say something, then ping; return what came back before the ping did, but for what is of the bank's own log."""
    for message in said:
        await link.send(message)
    mark = Ping(uuid.uuid4().int >> 96)
    await link.send(mark)
    heard = []
    while (message := await link.receive()) != mark:
        if not isinstance(message, LogKeys | LogOffer):
            heard.append(message)
    return heard


async def until_lost(link: ControlLink) -> None:
    """Hear what the bank says of its own log, until the stream ends."""
    while True:
        assert isinstance(await link.receive(), LogKeys | LogOffer)


def words_about(job: str, digest: bytes) -> list[ControlMessage]:
    """Everything that a platform, or somebody who plays the bank, could say of a job."""
    return [
        Accept(job, digest, bytes(64)),
        Refuse(job, "person"),
        Cancel(job),
        Start(job, 1),
        JobState(job, "accepted", attempt=1),
        JobState(job, "running"),
        JobState(job, "done", attempt=1),
        JobState(job, "failed", "failed"),
        JobState(job, "cancelled"),
        JobState(job, "expired"),
        Propose(job, b"{}", b"{}", bytes(32), bytes(64)),
        PreflightAsk(
            job, bytes(RUN_BYTES), digest, "x25519-ell2", "phone", "users", bytes(32), "phone", "CN"
        ),
        PreflightVerdict(bytes(RUN_BYTES), "passed"),
    ]


def history(home: Path, job: str) -> tuple[Any, ...]:
    """All that a home knows of a job's course."""
    with Node.open(home) as node:
        jobs = Jobs(node.home.store, node.file.role)
        return jobs.get(job).state, jobs.events(job), jobs.approvals(job)


def try_everything(standing: Standing, job: str) -> None:
    """Say everything about acme's job as its rival; it has to be as if the job were none."""

    async def test() -> None:
        with Node.open(standing.bank) as node:
            digest = bytes.fromhex(Jobs(node.home.store, node.file.role).get(job).digest)
        none = uuid.uuid4().hex
        async with speaking(standing, tls_of(standing, RIVAL)) as (link, _):
            for about, nothing in zip(words_about(job, digest), words_about(none, digest), strict=True):
                heard, expected = await answers(link, about), await answers(link, nothing)
                assert [type(each) for each in heard] == [type(each) for each in expected]
                assert heard in ([], [Cancel(job)])

    before = history(standing.bank, job)
    run(test())
    assert history(standing.bank, job) == before


def test_a_rival_cannot_decide_on_a_proposal(standing: Standing, nodes: list[Running]) -> None:
    job = standing.draft(standing.sandbox.job("overlap"))
    standing.wait(standing.home(), job, "proposed")
    standing.wait(standing.bank, job, "proposed")
    try_everything(standing, job)
    standing.command("job", "refuse", job, "--home", standing.home(), "--as", "carol")
    assert standing.wait(standing.bank, job, "refused") == "refused"


def test_a_rival_cannot_touch_a_running_job(standing: Standing, nodes: list[Running]) -> None:
    async def intrude(job: str) -> None:
        async with dial(standing.listen, tls_of(standing, RIVAL), patience=10) as link:
            await link.send(Hello(PROTOCOL_VERSION, job, SOFTWARE))
            await link.receive()

    gate = standing.hold("order")
    job = standing.draft(standing.sandbox.job())
    standing.wait_for_phase(standing.bank, job, "order")
    try_everything(standing, job)
    with pytest.raises(VeiljoinError):
        run(intrude(job))
    assert standing.state(standing.bank, job) == "running"
    gate.unlink()
    for home in (standing.bank, standing.home()):
        assert standing.wait(home, job, "done", "failed") == "done"
    assert standing.steps(standing.bank, job).count("start") == 1


def test_a_rival_hears_nothing_of_the_other(standing: Standing, nodes: list[Running]) -> None:
    async def test() -> None:
        async with speaking(standing, tls_of(standing, RIVAL)) as (link, greeting):
            # The bank's own datasets, as every partner is told them, and nothing of acme's.
            assert [entry.name for entry in greeting.catalogue] == ["customers"]
            job = standing.draft(standing.sandbox.job("overlap"))
            await asyncio.to_thread(standing.wait, standing.home(), job, "proposed")
            assert await answers(link) == []
            # What it tells under the same name is its own.
            told = CatalogueEntry("users", ("email",), ("address",), 9, bytes(32))
            await answers(link, ControlHello(PROTOCOL_VERSION, SOFTWARE, 0, (told,)))

    run(test())
    forms = [
        standing.data("dataset", "list", "--partner", partner, "--home", standing.bank)["datasets"][0]["form"]
        for partner in (PARTNER, RIVAL)
    ]
    assert forms == ["phone", "email"]


# -- certificates that are none of a partner's


def bank_issuer(standing: Standing) -> Issuer:
    """The bank's own authority, which somebody would hold who had broken into it."""
    with Node.open(standing.bank) as node:
        return node.authority()._issuer


def issued(issuer: Issuer, standing: Standing, lifetime: datetime.timedelta, *, kept: bool) -> TlsMaterial:
    """A certificate of ``issuer`` in acme's name; ``kept``: as if the bank had issued it itself."""
    key: TlsKey = new_tls_key()
    certificate = issuer.issue_partner(
        PARTNER, public_key(key), lifetime, datetime.datetime.now(datetime.UTC)
    )
    if kept:
        with Node.open(standing.bank) as node, node.home.store.transaction() as connection:
            record(connection, Kind.PARTNER, PARTNER, certificate)
    return TlsMaterial(bank_issuer(standing).pem, pem_of(certificate), key)


def credentials(standing: Standing, kind: str) -> grpc.ChannelCredentials:
    """What a stranger of some kind dials with."""
    hour = datetime.timedelta(hours=1)
    if kind == "none":
        return grpc.ssl_channel_credentials(bank_issuer(standing).pem)
    if kind == "of another authority":
        tls = issued(
            Issuer.create("bank", hour, datetime.datetime.now(datetime.UTC)), standing, hour, kept=False
        )
    else:
        expired = kind == "expired"
        tls = issued(bank_issuer(standing), standing, -hour / 60 if expired else hour, kept=expired)
    return grpc.ssl_channel_credentials(tls.authority, tls.key.reveal(), tls.certificate)


@pytest.mark.parametrize("kind", ["none", "of another authority", "expired", "not in the store"])
def test_a_stranger_reaches_nothing(standing: Standing, nodes: list[Running], kind: str) -> None:
    async def status(call: Any) -> grpc.StatusCode:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            async with asyncio.timeout(5):
                assert await call.read() is grpc.aio.EOF
        return grpc.StatusCode((await call.code()).value)

    async def test() -> None:
        options = [*OPTIONS, ("grpc.ssl_target_name_override", BANK_HOST), ("grpc.enable_http_proxy", 0)]
        shown = credentials(standing, kind)
        async with grpc.aio.secure_channel(standing.listen, shown, options=options) as channel:
            nodes_stub = control_pb2_grpc.NodesStub(channel)
            codes = {
                await status(session_pb2_grpc.SessionsStub(channel).Join()),
                await status(nodes_stub.Control()),
            }
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await nodes_stub.Check(control_codec.encode_check(CheckRequest(PROTOCOL_VERSION, SOFTWARE)))
            codes.add(caught.value.code())
        # Only what our own authority signed gets through the handshake, and no further.
        through = kind == "not in the store"
        assert codes == {grpc.StatusCode.PERMISSION_DENIED if through else grpc.StatusCode.UNAVAILABLE}

    run(test())
    assert standing.state(standing.bank, "nothing") == "unknown"


def test_an_access_that_is_taken_away_ends_streams_and_job(standing: Standing, nodes: list[Running]) -> None:
    def ended(node: Running, job: str) -> dict[str, Any]:
        return node.wait_for(lambda event: event["event"] == "ended" and event["job"] == job)

    async def rival_stays() -> None:
        async with speaking(standing, tls_of(standing, RIVAL)) as (link, _):
            standing.command("server", "revoke", RIVAL, "--home", standing.bank)
            since = time.monotonic()
            with pytest.raises(LinkLost):
                await until_lost(link)
            assert time.monotonic() - since < NOTICED

    gate = standing.hold("order")
    job = standing.draft(standing.sandbox.job())
    standing.wait_for_phase(standing.bank, job, "order")
    since = time.monotonic()
    standing.command("server", "revoke", PARTNER, "--home", standing.bank, "--as", "ann")
    event = ended(nodes[0], job)
    assert time.monotonic() - since < NOTICED
    assert event["code"] == "peer_identity"
    assert event["text"] == "The certificate of acme was revoked."
    assert standing.wait(standing.bank, job, "failed", "accepted") == "failed"
    told = nodes[1].wait_for(lambda event: event["event"] == "unreached" and "know our" in event["text"])
    assert "join again" in told["hint"]
    gate.unlink()
    with pytest.raises(PeerViolation):
        run(check_again(standing))
    with pytest.raises(PeerViolation):
        run(rival_stays())


async def check_again(standing: Standing) -> None:
    """Ask the bank whether it still accepts acme."""
    await check(parse_address(standing.listen, "test"), tls_of(standing, PARTNER), SOFTWARE)
