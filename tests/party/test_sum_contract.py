"""Contracts of grouped sums: what both sides sign, what the roles are told, and bodies that are refused."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any

import pytest
import rfc8785

from federated.terms import MAX_DAYS, SumRole, SumTerms, ValueColumn, WindowTerms
from party.contract import Contract, card_hash, parse_contract
from party.jobfile import SIDES, Job
from psi.errors import UsageError, VeiljoinError
from psi.suites import X25519_ELL2
from tests.party.jobs import job
from tests.party.sum_jobs import WHOLE, sum_job
from tests.party.test_contract import NOW, agrees, drafted, edited, leaves, look, other, put, refused

FULL = sum_job(
    "lift",
    receiver="both",
    platform__groups=["creative", "arm"],
    policy={"epsilon": 0.5, "min_group": 60, "max_set": 1_000_000, "max_rows": 20, "outside": "reject"},
)
every_kind = pytest.mark.parametrize("kind", list(WHOLE))


def test_a_contract_holds_what_was_agreed() -> None:
    body = drafted(FULL).body
    assert set(body) == {
        "version", "protocol_version", "job", "kind", "purpose", "identifier", "suite", "receiver", "value_holder",
        "base", "key_bits", "window", "arms", "policy", "parties", "card", "chunk_elements", "expires",
    }  # fmt: skip
    assert body["card"] == card_hash(FULL)
    assert body["window"] == {
        "days": 14,
        "exposure": "last",
        "timezone": "Europe/Berlin",
        "retention_days": None,
    }
    assert body["arms"] == {"column": "arm", "control": "control", "control_share": 0.2}
    assert body["policy"] == {
        "min_group": 60,
        "max_set": 1_000_000,
        "min_converters": 10,
        "dominance": 10,
        "max_rows": 20,
        "epsilon": "1/2",
        "outside": "reject",
    }
    assert body["parties"]["bank"]["columns"] == {
        "identifier": "mobile",
        "time": "converted_at",
        "stages": [],
        "tags": [],
        "values": [{"column": "amount", "min": 0, "max": 5_000_000, "scale": 100}],
        "groups": [],
        "cost": None,
    }
    assert body["parties"]["platform"]["columns"] == {
        "identifier": "phone",
        "time": "assigned_at",
        "stages": [],
        "tags": [],
        "values": [],
        "groups": ["creative", "arm"],
        "cost": "cost",
    }
    assert set(body["parties"]["bank"]) == {"columns", "dataset", "identity", "keep", "schema"}


@every_kind
def test_it_is_read_back_and_agreed_to(kind: str) -> None:
    of = sum_job(kind)
    contract = drafted(of)
    again = parse_contract(contract.canonical)
    assert again == contract
    assert again.sum_terms() == contract.sum_terms()
    assert again.kind is of.kind
    for side in SIDES:
        agrees(again, of, side)


def test_terms_are_those_of_the_contract() -> None:
    contract = drafted(FULL, chunk_elements=1000)
    assert contract.sum_terms() == SumTerms(
        contract=contract.hash,
        suite=X25519_ELL2,
        readers=frozenset(SumRole),
        customers=False,
        values=(ValueColumn("amount", 0, 5_000_000),),
        window=WindowTerms(14, None),
        max_rows=20,
        value_limit=1_000_000,
        group_limit=1_000_000,
        min_group=60,
        epsilon=Fraction(1, 2),
        label_parts=2,
        arm_part=1,
        chunk_elements=1000,
    )
    funnel = drafted(sum_job("funnel", base="customers", key_bits=3072)).sum_terms()
    assert (funnel.customers, funnel.key_bits, funnel.stages) == (True, 3072, ("bound", "activated"))
    assert funnel.window == WindowTerms(30, 20)
    # The highest stage stands before the groups.
    assert (funnel.label_parts, funnel.arm_part) == (2, None)
    profile = drafted(sum_job("profile")).sum_terms()
    assert (profile.customers, profile.tag_columns, profile.window) == (True, ("age", "interest"), None)


@pytest.mark.parametrize("holder", SIDES)
@pytest.mark.parametrize("receiver", [*SIDES, "both"])
def test_roles_and_readers_follow_from_value_holder_and_receiver(holder: str, receiver: str) -> None:
    sides = {"bank": WHOLE["profile"]["bank"], "platform": WHOLE["profile"]["platform"]}
    if holder == "bank":
        sides = {"bank": sides["platform"], "platform": sides["bank"]}
    contract = drafted(sum_job("profile", receiver=receiver, value_holder=holder, **sides))
    roles = {side: contract.sum_role(side) for side in SIDES}
    assert roles[holder] is SumRole.VALUE_HOLDER
    assert set(roles.values()) == set(SumRole)
    read = SIDES if receiver == "both" else (receiver,)
    assert contract.sum_terms().readers == {roles[side] for side in read}


def test_each_primitive_has_its_own_terms() -> None:
    match, sums = drafted(job()), drafted(FULL)
    for call, whose in (
        (sums.terms, "grouped sum, not for a private match"),
        (lambda: sums.role("bank"), "grouped sum, not"),
        (match.sum_terms, "private match, not for a private grouped sum"),
        (lambda: match.sum_role("bank"), "private match, not"),
    ):
        with pytest.raises(UsageError, match=f"is for a private {whose.removeprefix('private ')}") as raised:
            call()
        assert raised.value.code.name == "bad_contract"
        assert raised.value.hint


# -- figures that do not fit


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"policy__epsilon": 0.01},
        {"bank__values": {f"v{number}": {"max": 10**6} for number in range(8)}},
        {"policy__max_set": 1 << 40},
    ],
    ids=str,
)
def test_what_fits(changes: dict[str, Any]) -> None:
    contract = drafted(sum_job("measure", **changes))
    contract.sum_terms().layout(rows=contract.body["policy"]["max_set"], days=MAX_DAYS)


def test_what_does_not_fit_is_told_with_the_keys_to_lower() -> None:
    large = {"max": 10**14, "scale": 1}
    policy = {"max_set": 1 << 40, "max_rows": 10_000}
    changes = {"bank__values": {f"v{number}": large for number in range(8)}, "policy": policy}
    with pytest.raises(
        UsageError, match=r"figures of jobs/spring\.toml do not fit .* 2048-bit key"
    ) as raised:
        drafted(sum_job("measure", **changes))
    assert raised.value.code.name == "bad_setting"
    for key in ("max_set", "max_rows", "max or scale", "fewer values", "key_bits = 3072"):
        assert key in raised.value.hint
    contract = drafted(sum_job("measure", **changes, key_bits=3072))
    with pytest.raises(UsageError, match=f"contract of job {contract.job} do not fit") as raised:
        parse_contract(edited(contract, put(("key_bits",), 2048)))
    assert raised.value.code.name == "bad_contract"

    def more(body: dict[str, Any]) -> None:
        body["parties"]["bank"]["columns"]["values"] *= 2

    with pytest.raises(UsageError, match="3072-bit key") as raised:
        parse_contract(edited(contract, more))
    assert "key_bits" not in raised.value.hint


# -- any edit

NOT_OURS = {("job",), ("expires",)}
PATHS = list(leaves(drafted(FULL).body))


def another(value: Any) -> Any:
    """Return another value than ``value``."""
    if value is None:
        return "more"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return []
    return other(value)


@pytest.mark.parametrize("path", PATHS, ids=[".".join(path) for path in PATHS])
@pytest.mark.parametrize("side", SIDES)
def test_a_difference_is_refused_and_named(path: tuple[str, ...], side: str) -> None:
    body = copy.deepcopy(dict(drafted(FULL).body))
    put(path, another(look(body, path)))(body)
    changed = Contract(rfc8785.dumps(body), body)
    theirs = path[:1] == ("parties",) and path[1] != side and path[2] in ("dataset", "schema", "identity")
    if path in NOT_OURS or theirs:
        agrees(changed, FULL, side)
        return
    named = ".".join(path[1:3]) if path[0] == "parties" else path[0]
    with pytest.raises(VeiljoinError, match="differs from the job") as raised:
        agrees(changed, FULL, side)
    assert f" in {named}." in raised.value.message


# -- bodies that are refused


def every_place(body: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every key, of objects too."""
    if not isinstance(body, dict):
        return []
    return [each for key in body for each in ((*path, key), *every_place(body[key], (*path, key)))]


PLACES = every_place(drafted(FULL).body)
every_key = pytest.mark.parametrize("path", PLACES, ids=[".".join(path) for path in PLACES])
WRONG: list[Any] = [None, True, 0.5, -1, 10**15, "", "text", "1/0", [], [1], [{}], {}, {"identity": 1}, [[]]]


@every_key
def test_a_key_that_is_missing(path: tuple[str, ...]) -> None:
    def drop(body: dict[str, Any]) -> None:
        look(body, path[:-1]).pop(path[-1])

    versions = {("version",), ("protocol_version",)}
    name = ".".join(path)
    refused(
        edited(drafted(FULL), drop),
        "a version that this node" if path in versions else f"malformed: {name} is missing",
    )


@pytest.mark.parametrize(
    "path",
    [(), ("policy",), ("window",), ("arms",), ("parties", "bank"), ("parties", "platform", "columns")],
    ids=".".join,
)
def test_a_key_that_nobody_knows(path: tuple[str, ...]) -> None:
    def add(body: dict[str, Any]) -> None:
        look(body, path)["hidden"] = "clause"

    refused(edited(drafted(FULL), add), f"{'.'.join(path) or 'it'} has a key that this version does not know")


def use(canonical: bytes) -> None:
    """Do with a contract all that a party does."""
    contract = parse_contract(canonical)
    contract.sum_terms()
    contract.seconds_left(NOW)
    for side in SIDES:
        contract.identity(side)
        contract.sum_role(side)
        agrees(contract, FULL, side)


@every_key
def test_a_value_of_any_type_is_a_contract_or_refused(path: tuple[str, ...]) -> None:
    contract = drafted(FULL)
    for wrong in WRONG:
        changed = edited(contract, put(path, wrong))
        if changed == contract.canonical or (path == ("job",) and isinstance(wrong, str)):
            continue
        with pytest.raises(VeiljoinError):
            use(changed)


VALUE = ("parties", "bank", "columns", "values", 0)
IMPOSSIBLE: list[tuple[tuple[Any, ...], Any, str]] = [
    (("kind",), "survey", "kind is not one that this version knows"),
    (("kind",), "overlap", "holdout is missing"),
    (("kind",), "measure", "arms belong to a lift"),
    (("arms",), None, "arms belong to a lift"),
    (("receiver",), "nobody", "receiver is nobody"),
    (("value_holder",), "both", "value_holder is nobody"),
    (("value_holder",), "platform", "parties.bank.columns.values is the other side's"),
    (("base",), "all", "base is not one of its values"),
    (("key_bits",), 1024, "key_bits is not one of its values"),
    (("policy", "outside"), "wrap", "policy.outside is not one of its values"),
    (("policy", "min_group"), 0, "policy.min_group is out of range"),
    (("policy", "min_group"), 1_000_001, "policy.min_group is out of range"),
    (("policy", "max_set"), 0, "policy.max_set is out of range"),
    (("policy", "max_set"), (1 << 40) + 1, "policy.max_set is out of range"),
    (("policy", "min_converters"), 0, "policy.min_converters is out of range"),
    (("policy", "dominance"), -1, "policy.dominance is out of range"),
    (("policy", "max_rows"), 0, "policy.max_rows is out of range"),
    (("policy", "max_rows"), 10_001, "policy.max_rows is out of range"),
    *(
        (("policy", "epsilon"), text, "policy.epsilon is not a fraction in range")
        for text in (
            "2/4",
            "1/0",
            "0/1",
            "1",
            "0.5",
            "-1/2",
            "21/1",
            "1/101",
            "1/2\n",
            "1" * 50 + "/1",
            "٣/٤",
        )
    ),
    (("window", "days"), 367, "window.days is out of range"),
    (("window", "days"), -1, "window.days is out of range"),
    (("window", "retention_days"), 0, "window.retention_days is out of range"),
    (("window", "exposure"), "any", "window.exposure is not one of its values"),
    (("parties", "bank", "columns", "time"), None, "parties.bank.columns.time is missing for the window"),
    (("arms", "control_share"), 1, "arms.control_share is out of range"),
    (("arms", "column"), "campaign", "arms.column is not a group column"),
    (("parties", "bank", "columns", "groups"), ["a"], "bank.columns.groups is the other side's"),
    (("parties", "bank", "columns", "cost"), "cost", "bank.columns.cost is the other side's"),
    (("parties", "platform", "columns", "tags"), ["a"], "platform.columns.tags is the other side's"),
    (("parties", "bank", "columns", "groups"), [1], "bank.columns.groups has a value of a wrong type"),
    ((*VALUE, "max"), 0, "bank.columns.values has impossible bounds"),
    ((*VALUE, "min"), -(10**15) - 1, "bank.columns.values has impossible bounds"),
    ((*VALUE, "scale"), 50, "bank.columns.values has impossible bounds"),
    ((*VALUE, "scale"), "100", "bank.columns.values.scale has a value of a wrong type"),
    ((*VALUE, "unit"), "yuan", "bank.columns.values has a key that this version does not know"),
]


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [pytest.param(*row, id=f"{'.'.join(map(str, row[0]))} = {row[1]!r:.30}") for row in IMPOSSIBLE],
)
def test_a_value_that_cannot_be(path: tuple[Any, ...], value: Any, sentence: str) -> None:
    refused(edited(drafted(FULL), put(path, value)), sentence)


@every_kind
def test_the_same_job_drafts_the_same_terms(kind: str) -> None:
    def same_job(body: dict[str, Any]) -> None:
        body["job"] = "0" * 32

    of: Job = sum_job(kind)
    assert len({edited(drafted(of), same_job) for _ in range(3)}) == 1
