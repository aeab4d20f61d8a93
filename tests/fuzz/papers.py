"""Targets: texts that a partner hands over: tokens, contracts, job tables, and what a proxy answers on the way."""

from __future__ import annotations

import base64
import datetime
import hashlib
import random
import socket
from typing import Any, cast

import rfc8785

from client.proxy import Proxy, ProxyLogin, _ask
from party import invitation
from party.address import Address
from party.contract import Contract, DatasetFacts, check_agrees, draft, parse_contract
from party.invitation import Invitation, InvitationSecret, read_fingerprint, read_token
from party.jobfile import Job, parse_job, read_table
from party.jobspec import SIDES
from tests.fuzz.draws import Draws
from tests.fuzz.mutators import json_text, plain
from tests.fuzz.target import Target, require
from tests.party.jobs import table
from tests.party.sum_jobs import WHOLE, sum_table

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
IDENTITIES = {"bank": bytes(range(32)), "platform": bytes(range(1, 33))}
FACTS = {side: DatasetFacts(f"{side}'s data", hashlib.sha256(side.encode()).hexdigest()) for side in SIDES}
TABLES: list[dict[str, Any]] = [
    table(),
    table(receiver="both", holdout=0.1, output="unmatched", bank__tier="tier", bank__tiers=["gold", "银卡"]),
    table(kind="overlap", receiver="bank", suite="ristretto255", policy__min_group=100),
    *(sum_table(kind) for kind in WHOLE),
    sum_table("measure", policy__epsilon=0.5, receiver="both", key_bits=3072, base="customers"),
]


def _job(told: dict[str, Any]) -> Job:
    return parse_job(told, "the fuzzer's job")


def contracts() -> list[Contract]:
    """Return a contract of every kind."""
    return [draft(_job(each), FACTS, IDENTITIES, now=NOW) for each in TABLES]


def _contract(data: bytes) -> None:
    """Read a contract and ask everything that is asked of one before it is signed."""
    contract = parse_contract(data)
    require(rfc8785.dumps(dict(contract.body)) == data, "a contract was read that is not canonical")
    for side in SIDES:
        contract.identity(side), contract.schema(side)
    if contract.kind.is_sum:
        contract.sum_role("bank")
        contract.sum_terms().noise_variances(1)
    else:
        contract.role("bank")
        contract.terms()
    require(contract.seconds_left(NOW) > 0, "an expired contract passed")
    for told in TABLES:
        if told["kind"] == contract.kind.value:
            check_agrees(contract, _job(told), "platform", FACTS["platform"], IDENTITIES["platform"])


def contract() -> Target:
    """The canonical JSON of a contract, and what the parties ask of it."""
    return Target("contract", _contract, [each.canonical for each in contracts()], 16_384, json_text)


def _jobtable(data: bytes) -> None:
    job = _job(read_table(data))
    contract = draft(job, FACTS, IDENTITIES, now=NOW)
    require(parse_contract(contract.canonical).body == contract.body, "a drafted contract is refused")


def jobtable() -> Target:
    """The job's table as a proposal brings it; what is accepted must give a contract that is accepted."""
    return Target("jobtable", _jobtable, [rfc8785.dumps(each) for each in TABLES], 16_384, json_text)


# -- tokens


def _token(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    if text.startswith("vj"):
        told = read_token(text)
        require(read_token(told.token()) == told, "a token does not say the same when it is written again")
    else:
        read_fingerprint(text)


def _mutate_token(data: bytes, rng: random.Random, limit: int) -> bytes:
    """Change what is behind the encoding, and give it a right checksum again."""
    if not data.startswith(b"vj1_") or rng.random() < 0.3:
        return plain(data, rng, limit)
    coded = data[4:]
    try:
        raw = base64.urlsafe_b64decode(coded + b"=" * (-len(coded) % 4))
    except ValueError:
        return plain(data, rng, limit)
    body = plain(raw[:-4], rng, 440)
    changed = b"vj1_" + base64.urlsafe_b64encode(body + invitation._checksum(body)).rstrip(b"=")
    return changed[:limit]


def token() -> Target:
    """The line that an operator pastes, and the fingerprint that a person types."""
    secret = InvitationSecret(bytes(16))
    hosts = ("bank.example", "192.0.2.1", "2001:db8::1")
    seeds = [Invitation(Address(host, 7443), bytes(32), "acme-ads", secret).token() for host in hosts]
    seeds += [f"{seeds[0][:40]}\n {seeds[0][40:]}", "0123 4567 89ab cdef 0123 4567 89AB CDEF", "vj2_AAAA"]
    return Target("token", _token, [each.encode() for each in seeds], 700, _mutate_token)


# -- proxies


class ProxySocket:
    """A connection on which a proxy answers any bytes, in any pieces, or breaks off."""

    def __init__(self, answer: Draws, breaks: bool) -> None:
        self._answer = answer
        self._breaks = breaks
        self.taken = 0

    def sendall(self, data: bytes) -> None:
        """Take the request."""

    def settimeout(self, timeout: float | None) -> None:
        """Take the patience."""

    def gettimeout(self) -> float | None:
        """Return the patience."""
        return 1.0

    def recv(self, count: int) -> bytes:
        """Return the next bytes of the answer."""
        part = self._answer.take(count)
        self.taken += len(part)
        if not part and self._breaks:
            raise TimeoutError
        return part


def _proxy(data: bytes) -> None:
    draws = Draws(data)
    flags = draws.number(1)
    login = ProxyLogin(b"dXNlcjpwYXNz") if flags & 1 else None
    line = ProxySocket(draws, bool(flags & 2))
    try:
        _ask(
            cast(socket.socket, line),
            Address("bank.example", 7443),
            Proxy(Address("proxy", 8080), "http_proxy", login),
        )
    finally:
        require(line.taken <= 16 * 1024, "more was read of a proxy's answer than the limit")


def proxy() -> Target:
    """What a CONNECT proxy answers."""
    answers = (
        b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n\x16\x03\x01",
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 502 Bad Gateway\r\n\r\n<html>",
        b"HTTP/1.1 \x1b[2J\r\n\r\n",
        b"HTTP/2 200\r\n",
    )
    return Target("proxy", _proxy, [bytes([i % 4]) + answer for i, answer in enumerate(answers)], 1_024)
