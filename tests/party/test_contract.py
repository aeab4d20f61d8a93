"""What both sides sign: one canonical form, agreed to in every key, refused in any other shape."""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from party.contract import (
    MAX_LIFETIME,
    Contract,
    DatasetFacts,
    card_hash,
    check_agrees,
    draft,
    parse_contract,
)
from party.identity import new_identity, public_identity, sign_contract, verify_contract
from party.jobfile import SIDES, Job
from psi.errors import PeerViolation, UsageError, VeiljoinError
from psi.secret import SigningSeed
from psi.suites import RISTRETTO255, X25519_ELL2
from psi.terms import CHUNK_ELEMENTS, Kind, Role
from tests.party.jobs import job

NOW = datetime.datetime(2026, 5, 1, 12, 0, tzinfo=datetime.UTC)
FACTS = {side: DatasetFacts(f"{side}.csv", hashlib.sha256(side.encode()).hexdigest()) for side in SIDES}
IDENTITIES = {side: SigningSeed(hashlib.sha256(f"identity of {side}".encode()).digest()) for side in SIDES}
PUBLIC = {side: public_identity(identity) for side, identity in IDENTITIES.items()}

JOB = job(bank__tier="level", bank__tiers=["gold", "银卡"], policy__min_group=60, holdout=0.1)


def drafted(of: Job = JOB, **settings_: Any) -> Contract:
    """Draft the contract of a job."""
    return draft(of, FACTS, PUBLIC, now=NOW, **settings_)


def agrees(contract: Contract, of: Job = JOB, side: str = "bank", **changes: Any) -> None:
    """Check a contract as ``side`` does."""
    own: dict[str, Any] = {"own": FACTS[side], "identity": PUBLIC[side]} | changes
    check_agrees(contract, of, side, **own)


def edited(contract: Contract, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return the canonical bytes of ``contract`` after ``change``."""
    body = copy.deepcopy(dict(contract.body))
    change(body)
    return rfc8785.dumps(body)


# -- drafting


def test_a_contract_holds_what_was_agreed() -> None:
    contract = drafted()
    body = contract.body
    assert json.loads(contract.canonical) == body
    assert set(body) == {
        "version", "protocol_version", "job", "kind", "purpose", "identifier", "suite", "receiver",
        "protocol_receiver", "output", "holdout", "policy", "parties", "card", "chunk_elements", "expires",
    }  # fmt: skip
    assert body["expires"] == "2026-05-02T12:00:00+00:00"
    assert body["card"] == card_hash(JOB)
    assert body["policy"] == {"min_group": 60, "max_set": 50_000_000}
    assert body["parties"]["bank"] == {
        "columns": {"identifier": "mobile", "tier": "level"},
        "dataset": "bank.csv",
        "schema": FACTS["bank"].schema,
        "identity": PUBLIC["bank"].hex(),
        "keep": "first",
        "tier_rule": "highest",
        "tiered": True,
        "tiers": ["gold", "银卡"],
    }
    assert contract.identity("bank") == PUBLIC["bank"]
    assert contract.schema("platform") == FACTS["platform"].schema
    assert contract.job == body["job"]
    assert len(contract.job) == 32


def test_it_is_canonical_json_and_its_hash_is_that_of_the_bytes() -> None:
    contract = drafted()
    assert contract.canonical == rfc8785.dumps(contract.body)
    assert contract.hash == hashlib.sha256(contract.canonical).digest()
    # RFC 8785: keys sorted, no blanks, text as UTF-8.
    assert contract.canonical.startswith(b'{"card":"')
    assert b'": ' not in contract.canonical
    assert "银卡".encode() in contract.canonical
    assert list(json.loads(contract.canonical)) == sorted(contract.body)


def test_a_contract_that_is_read_back_is_the_same() -> None:
    contract = drafted()
    again = parse_contract(contract.canonical)
    assert again == contract
    assert again.hash == contract.hash
    assert again.terms() == contract.terms()


def test_every_draft_is_another_job() -> None:
    contracts = [drafted() for _ in range(20)]
    assert len({contract.job for contract in contracts}) == 20
    assert len({contract.hash for contract in contracts}) == 20


def test_the_same_terms_hash_the_same_bytes() -> None:
    # But for the job's id, which is drawn, nothing is left to chance or to the order of a dict.
    def same_job(body: dict[str, Any]) -> None:
        body["job"] = "0" * 32

    assert len({edited(drafted(), same_job) for _ in range(5)}) == 1


@pytest.mark.parametrize("side", SIDES)
def test_both_sides_agree_to_an_honest_contract(side: str) -> None:
    agrees(parse_contract(drafted().canonical), side=side)


# -- terms


def test_terms_are_those_of_the_contract() -> None:
    contract = drafted(chunk_elements=1000)
    terms = contract.terms()
    assert terms.contract == contract.hash
    assert (terms.suite, terms.kind, terms.both) == (X25519_ELL2, Kind.AUDIENCE, False)
    assert (terms.min_group, terms.chunk_elements) == (60, 1000)
    assert (terms.receiver_limit, terms.sender_limit) == (50_000_000, 50_000_000)
    assert (terms.receiver_tiered, terms.sender_tiered) == (False, True)
    assert (terms.receiver_labels, terms.sender_labels) == ((), ("gold", "银卡"))
    assert not terms.unmatched
    assert drafted(job(output="unmatched")).terms().unmatched
    assert contract.role("platform") is Role.RECEIVER
    assert contract.role("bank") is Role.SENDER
    assert drafted().terms().chunk_elements == CHUNK_ELEMENTS


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kind": "overlap", "receiver": "bank", "holdout": None}, ("bank", Kind.OVERLAP, False, True, True)),
        ({"receiver": "both"}, ("platform", Kind.AUDIENCE, True, True, True)),
        ({"receiver": "platform"}, ("platform", Kind.AUDIENCE, False, False, True)),
        # A receiver's own tiers are of no use in a list, so they are not told.
        ({"receiver": "bank"}, ("bank", Kind.AUDIENCE, False, False, True)),
    ],
)
def test_roles_and_tiers_follow_from_kind_and_receiver(
    changes: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    of = job(bank__tier="level", platform__tier="grade", **{"holdout": 0.1} | changes)
    contract = drafted(of)
    terms = contract.terms()
    receiver = next(side for side in SIDES if contract.role(side) is Role.RECEIVER)
    told = (receiver, terms.kind, terms.both, terms.receiver_tiered, terms.sender_tiered)
    assert told == expected
    assert contract.body["protocol_receiver"] == receiver


def test_the_suite_is_the_one_named() -> None:
    assert drafted(job(suite="ristretto255")).terms().suite is RISTRETTO255


@pytest.mark.parametrize(
    "changes",
    [
        {"policy": {"min_group": 0, "max_set": 1}},
        {"chunk_elements": 0},
        {"chunk_elements": CHUNK_ELEMENTS + 1},
        {"suite": "x448"},
        {"kind": "overlap", "receiver": "both"},
    ],
    ids=str,
)
def test_terms_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        parse_contract(edited(drafted(), lambda body: body.update(changes))).terms()


# -- any edit


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value below ``value`` that is no object, and of every object's place."""
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*path, key))
    else:
        yield path


def put(path: tuple[Any, ...], value: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change that puts ``value`` at ``path``."""

    def change(body: dict[str, Any]) -> None:
        inner: Any = body
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return change


def look(body: Any, path: tuple[Any, ...]) -> Any:
    """Return the value at ``path``."""
    for key in path:
        body = body[key]
    return body


def other(value: Any) -> Any:
    """Return another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [*value, "more"] if isinstance(value, list) else value[:-1] + ("0" if value[-1:] != "0" else "1")


PATHS = list(leaves(drafted().body))
every_path = pytest.mark.parametrize("path", PATHS, ids=[".".join(path) for path in PATHS])
# What a side cannot know from its own job file: the job's id, and how long it holds.
NOT_OURS = {("job",), ("expires",)}


@every_path
def test_any_edit_changes_the_hash_and_voids_both_signatures(path: tuple[str, ...]) -> None:
    contract = drafted()
    canonical = edited(contract, put(path, other(look(contract.body, path))))
    changed = hashlib.sha256(canonical).digest()
    assert changed != contract.hash
    for side in SIDES:
        signature = sign_contract(IDENTITIES[side], contract.hash, side)
        with pytest.raises(PeerViolation):
            verify_contract(PUBLIC[side], changed, signature, side)


@every_path
@pytest.mark.parametrize("side", SIDES)
def test_a_difference_is_refused_and_named(path: tuple[str, ...], side: str) -> None:
    contract = drafted()
    body = copy.deepcopy(dict(contract.body))
    put(path, other(look(body, path)))(body)
    changed = Contract(rfc8785.dumps(body), body)
    foreign = "platform" if side == "bank" else "bank"
    # Of the partner's dataset and identity a side knows nothing of its own; they are bound by the signature.
    if path in NOT_OURS or (
        path[:2] == ("parties", foreign) and path[2] in ("dataset", "schema", "identity")
    ):
        agrees(changed, side=side)
        return
    with pytest.raises(VeiljoinError, match="differs from the job") as raised:
        agrees(changed, side=side)
    named = ".".join(path[1:3]) if path[0] == "parties" else path[0]
    assert f" in {named}." in raised.value.message
    assert f"the {side}'s side" in raised.value.message
    assert raised.value.code.name == "bad_contract"
    assert str(look(body, path)) not in raised.value.message.replace(named, "")


def test_all_differences_are_named_at_once() -> None:
    with pytest.raises(VeiljoinError, match=r"purpose, policy, card, bank\.keep, bank\.schema") as raised:
        agrees(
            drafted(),
            job(
                bank__tier="level",
                bank__tiers=["gold", "银卡"],
                holdout=0.1,
                policy__min_group=61,
                purpose="another",
                bank__keep="last",
            ),
            own=DatasetFacts("bank.csv", "changed"),
        )
    assert "another" not in str(raised.value)


def test_another_identity_than_ours_is_refused() -> None:
    with pytest.raises(VeiljoinError, match=r"bank\.identity"):
        agrees(drafted(), identity=public_identity(new_identity()))


# -- signatures


def test_each_sides_signature_is_its_own() -> None:
    contract = drafted()
    for side in SIDES:
        signature = sign_contract(IDENTITIES[side], contract.hash, side)
        verify_contract(contract.identity(side), contract.hash, signature, side)
        wrong = "platform" if side == "bank" else "bank"
        with pytest.raises(PeerViolation, match=f"does not carry the {wrong}'s signature"):
            verify_contract(contract.identity(wrong), contract.hash, signature, wrong)


# -- expiry


@pytest.mark.parametrize(
    ("seconds", "expired"), [(-86400, False), (0, False), (86399, False), (86400, True), (10**7, True)]
)
def test_expiry(seconds: int, expired: bool) -> None:
    contract = parse_contract(drafted().canonical)
    now = NOW + datetime.timedelta(seconds=seconds)
    for zone in (datetime.UTC, datetime.timezone(datetime.timedelta(hours=8))):
        if not expired:
            assert contract.seconds_left(now.astimezone(zone)) == 86400 - seconds
            continue
        with pytest.raises(VeiljoinError, match=f"{contract.job} expired at 2026-05-02T12:00:00") as raised:
            contract.seconds_left(now.astimezone(zone))
        assert raised.value.code.name == "bad_contract"
        assert raised.value.hint


def test_a_lifetime_of_ones_own() -> None:
    contract = drafted(lifetime=datetime.timedelta(minutes=5))
    assert contract.seconds_left(NOW + datetime.timedelta(minutes=4)) == 60
    with pytest.raises(VeiljoinError, match="expired"):
        contract.seconds_left(NOW + datetime.timedelta(minutes=5))


def test_a_contract_that_would_hold_for_ever_is_refused() -> None:
    assert drafted(lifetime=MAX_LIFETIME).seconds_left(NOW) == MAX_LIFETIME.total_seconds()
    for lifetime in (MAX_LIFETIME + datetime.timedelta(seconds=1), datetime.timedelta(days=365_000)):
        contract = drafted(lifetime=lifetime)
        with pytest.raises(VeiljoinError, match=f"{contract.job} would hold until") as raised:
            contract.seconds_left(NOW)
        assert "30 days" in raised.value.hint


def test_two_sides_of_one_identity_are_refused() -> None:
    contract = draft(JOB, FACTS, dict.fromkeys(SIDES, PUBLIC["bank"]), now=NOW)
    for side in SIDES:
        with pytest.raises(VeiljoinError, match=r"side in identity\."):
            agrees(contract, side=side, identity=PUBLIC["bank"])


# -- bytes that are no contract


def refused(canonical: bytes, sentence: str) -> None:
    """Check that ``canonical`` is refused with ``sentence``, as every contract's fault is."""
    with pytest.raises(VeiljoinError, match=sentence) as raised:
        parse_contract(canonical)
    assert raised.value.code.name == "bad_contract"
    assert raised.value.hint
    assert raised.value.message.endswith(".")


def not_canonical() -> dict[str, bytes]:
    """Return other JSON of the same content, and what is no JSON at all."""
    contract = drafted()
    text = contract.canonical.decode()
    reordered = json.dumps(
        dict(reversed(list(contract.body.items()))), separators=(",", ":"), ensure_ascii=False
    )
    return {
        "blanks": json.dumps(contract.body).encode(),
        "another order": reordered.encode(),
        "a line at the end": contract.canonical + b"\n",
        "a byte order mark": b"\xef\xbb\xbf" + contract.canonical,
        "UTF-16": text.encode("utf-16"),
        "escapes": text.replace("银", "\\u94f6").encode(),
        "a key twice": text.replace('{"card":', '{"card":"x","card":', 1).encode(),
        "a number written otherwise": text.replace('"holdout":0.1', '"holdout":1e-1').encode(),
        "a float for a whole number": text.replace('"version":1', '"version":1.0').encode(),
        "cut off": contract.canonical[:-1],
        "twice": contract.canonical * 2,
        "a list": b"[]",
        "text": b'"contract"',
        "null": b"null",
        "nothing": b"",
        "not a number": text.replace('"holdout":0.1', '"holdout":NaN').encode(),
        "infinity": text.replace('"holdout":0.1', '"holdout":Infinity').encode(),
        "a huge number": text.replace('"version":1', '"version":' + "1" * 6000).encode(),
        "beyond 2^53": text.replace('"version":1', '"version":9007199254740993').encode(),
        "half a surrogate": text.replace("银", "\\ud800").encode(),
        "not UTF-8": contract.canonical.replace("银".encode(), b"\xff"),
        "very deep": b"[" * 100_000,
        "very deep and closed": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    }


@pytest.mark.parametrize("name", list(not_canonical()))
def test_other_bytes_of_the_same_content_are_refused(name: str) -> None:
    refused(not_canonical()[name], "not canonical JSON")


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(VeiljoinError):
        parse_contract(data)


# -- well-formed, perhaps even signed, and yet no contract


def every_place(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every key, of objects too; the columns are a party's own and may be any."""
    if isinstance(body, dict) and path[-1:] != ("columns",):
        for key in body:
            yield (*path, key)
            yield from every_place(body[key], (*path, key))


PLACES = list(every_place(drafted().body))
every_key = pytest.mark.parametrize("path", PLACES, ids=[".".join(path) for path in PLACES])
VERSIONS = {("version",), ("protocol_version",)}
WRONG: list[Any] = [None, True, 0.5, -1, "", "text", [], {}, {"identity": 1}, [[]]]


@every_key
def test_a_key_that_is_missing(path: tuple[str, ...]) -> None:
    def drop(body: dict[str, Any]) -> None:
        look(body, path[:-1]).pop(path[-1])

    name = ".".join(path)
    sentence = "a version that this node" if path in VERSIONS else f"malformed: {name} is missing"
    refused(edited(drafted(), drop), sentence)


@pytest.mark.parametrize("path", [(), ("policy",), ("parties",), ("parties", "bank")], ids=".".join)
def test_a_key_that_nobody_knows(path: tuple[str, ...]) -> None:
    def add(body: dict[str, Any]) -> None:
        look(body, path)["hidden \x1b[2J"] = "clause"

    with pytest.raises(VeiljoinError) as raised:
        parse_contract(edited(drafted(), add))
    where = ".".join(path) or "it"
    assert (
        raised.value.message
        == f"The contract is malformed: {where} has a key that this version does not know."
    )


def use(canonical: bytes) -> None:
    """Do with a contract all that a party does."""
    contract = parse_contract(canonical)
    contract.terms()
    contract.seconds_left(NOW)
    for side in SIDES:
        contract.identity(side)
        contract.role(side)
        agrees(contract, side=side)


@every_key
def test_a_value_of_any_type_is_a_contract_or_refused(path: tuple[str, ...]) -> None:
    """Whatever stands at a key: reading and using it raises no other error than ours."""
    contract = drafted()
    for wrong in WRONG:
        if type(wrong) is type(look(contract.body, path)):
            sentence = None  # perhaps a value that cannot be, perhaps one that differs
        elif path in VERSIONS:
            sentence = "a version that this node does not speak"
        elif isinstance(look(contract.body, path), dict) and path[-1] != "columns":
            sentence = f"malformed: {'.'.join(path)} is not an object"
        elif path == ("holdout",) and type(wrong) in (int, float):
            sentence = None
        else:
            sentence = f"malformed: {'.'.join(path)} has a value of a wrong type"
        changed = edited(contract, put(path, wrong))
        if changed == contract.canonical:
            continue
        if path == ("job",) and isinstance(wrong, str) and wrong:
            use(changed)  # the job's id may be any plain text
            continue
        with pytest.raises(VeiljoinError, match=sentence):
            use(changed)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("kind",), "survey", "kind is not one that this version knows"),
        (("receiver",), "nobody", "receiver is nobody"),
        (("job",), "", "job is no id"),
        (("job",), "\x1b[2J", "job is no id"),
        (("job",), "x" * 65, "job is no id"),
        (("expires",), "2999-01-01\x1b00:00:00+00:00", "expires is not written as a time is here"),
        (("protocol_receiver",), "both", "protocol_receiver is nobody"),
        (("parties", "platform", "identity"), "ab" * 31, "platform.identity is not a public key"),
        (("parties", "bank", "identity"), "AB" * 32, "bank.identity is not a public key"),
        (("parties", "bank", "identity"), "zz" * 32, "bank.identity is not a public key"),
        (("parties", "bank", "identity"), "ab" * 32 + "\n", "bank.identity is not a public key"),
        (("expires",), "tomorrow", "expires is not a time"),
        (("expires",), "2026-05-02T12:00:00", "expires has no time zone"),
        (("version",), 2, "malformed: keep_seed is missing"),
        (("version",), 3, "a version that this node does not speak"),
        (("protocol_version",), 0, "a version that this node does not speak"),
        (("version",), True, "a version that this node does not speak"),
    ],
)
def test_a_value_that_cannot_be(path: tuple[str, ...], value: Any, sentence: str) -> None:
    refused(edited(drafted(), put(path, value)), sentence)


def test_a_later_version_is_told_as_such_whatever_its_shape() -> None:
    refused(
        rfc8785.dumps({"version": 3, "protocol_version": 1, "new": {}}), "a version that this node does not"
    )


def test_a_contract_shows_no_more_than_it_says() -> None:
    shown = repr(drafted())
    for identity in IDENTITIES.values():
        assert identity.reveal().hex() not in shown


# -- a kept seed


@pytest.mark.parametrize(("keeper", "keeps"), [("bank", "bank"), ("platform", "platform"), ("both", "both")])
def test_a_kept_seed_makes_a_contract_of_the_second_version(keeper: str, keeps: str) -> None:
    of = job(keep_seed=keeper)
    contract = parse_contract(drafted(of).canonical)
    assert (contract.body["version"], contract.body["keep_seed"]) == (2, keeps)
    assert [side for side in SIDES if contract.keeps_seed(side)] == list(of.seed_keepers)
    agrees(contract, of)
    for other in (JOB, *(job(keep_seed=each) for each in ("bank", "platform", "both") if each != keeper)):
        with pytest.raises(VeiljoinError, match=r"differs from the job on the bank's side in .*card"):
            agrees(contract, other)


def test_without_one_a_contract_is_as_it_always_was() -> None:
    contract = drafted()
    assert contract.body["version"] == 1
    assert "keep_seed" not in contract.body
    assert not any(contract.keeps_seed(side) for side in SIDES)
    with pytest.raises(
        VeiljoinError, match="differs from the job on the bank's side in version, keep_seed, "
    ):
        agrees(contract, job(keep_seed="bank"))


def test_a_kept_seed_in_the_wrong_version_is_refused() -> None:
    kept = drafted(job(keep_seed="bank"))
    refused(edited(kept, put(("version",), 1)), "it has a key that this version does not know")
    refused(edited(kept, put(("keep_seed",), "nobody")), "malformed: keep_seed is nobody")
    refused(edited(kept, put(("keep_seed",), None)), "malformed: keep_seed has a value of a wrong type")
    refused(edited(drafted(), put(("keep_seed",), None)), "it has a key that this version does not know")
