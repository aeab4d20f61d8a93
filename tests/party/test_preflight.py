"""Preflights: canaries of every form meet, what does not fit is named, nothing real enters, no more can be asked."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from party.canaries import COMMON, PERSONS, cells, persons
from party.consent import approve
from party.identifiers import Normaliser, parse_form
from party.jobrecords import JobRecord
from party.preflight import Subject, Trial, UnfitError, look, standing_of
from party.preflights import ASKED_PER_JOB, PER_JOB, PER_PARTNER, Preflight, Preflights
from party.sample import FIRST_ROWS, PLACES, ROWS_PER_PLACE, check_content, judge, sampled
from party.store import Store
from psi.engines import open_engine
from psi.errors import PeerViolation, UsageError
from psi.messages import Announce, Chunk, Message, Stream, Tier
from psi.suites import SUITES
from tests.party.standing_pair import TABLE, Pair, Side
from veiljoin.control_messages import ControlMessage, PreflightAsk, PreflightPart, PreflightVerdict, Propose

SEED = b"\7" * 32
ONE_OF_EACH = [
    "phone",
    "email",
    "oaid",
    "idfa",
    "gaid",
    "imei",
    "national_id",
    "uscc",
    "openid",
    "unionid",
    "opaque",
    *(
        f"{algorithm}:phone:{spelling}"
        for algorithm in ("md5", "sha256", "sm3")
        for spelling in ("e164", "digits", "cn11")
    ),
    "md5:oaid:upper",
    "sha256:oaid:lower",
    "md5:idfa:upper",
    "md5:gaid:lower-bare",
    "sha256:imei",
    "sm3:national_id",
    "sha256:uscc",
    "sha256:email",
    "md5:openid",
    "sha256:unionid",
    "sm3:opaque",
]


def canonical(form: str, declared: str, side: str, region: str = "CN") -> list[bytes | None]:
    """The canaries of a side as they go into the match."""
    written = cells(parse_form(form), parse_form(declared), SEED, side, region)
    found: list[bytes | None] = Normaliser(parse_form(form), region=region)(
        pa.array(written)
    ).canonical.to_pylist()
    return found


# -- canaries


@pytest.mark.parametrize("form", ONE_OF_EACH)
@pytest.mark.parametrize("region", ["CN", "HK"])
def test_both_sides_read_the_same_persons_whether_hashed_or_not(form: str, region: str) -> None:
    raw = parse_form(form).type
    bank, platform = canonical(form, raw, "bank", region), canonical(form, form, "platform", region)
    assert None not in bank
    assert len(set(bank)) == len(set(platform)) == PERSONS
    assert bank[:COMMON] == platform[:COMMON]
    assert not set(bank[COMMON:]) & set(platform)
    # Each side writes them its own way.
    written = [
        cells(parse_form(raw), parse_form(raw), SEED, side, region)[:COMMON] for side in ("bank", "platform")
    ]
    assert all(one != other for one, other in zip(*written, strict=True))


@pytest.mark.parametrize(
    ("form", "declared"),
    [
        ("sha256:phone:e164", "sha256:phone:cn11"),
        ("sha256:phone:e164", "sm3:phone:e164"),
        ("sha256:idfa:upper", "sha256:idfa:lower"),
        ("md5:oaid:lower", "md5:oaid:upper"),
    ],
)
def test_another_spelling_or_digest_of_the_same_length_meets_nobody(form: str, declared: str) -> None:
    bank, platform = canonical(form, parse_form(form).type, "bank"), canonical(form, declared, "platform")
    assert None not in platform
    assert set(bank).isdisjoint(platform)


def test_canaries_are_nobody(fresh: str) -> None:
    """Numbers that cannot be anybody's, and others at each job."""
    people = {
        form: persons(parse_form(form), SEED, "bank") for form in ("phone", "email", "imei", "national_id")
    }
    assert {each[3:6] for each in people["phone"]} == {"154", "161", "164", "179"}
    assert {each.partition("@")[2].partition(".")[0] for each in people["email"]} == {
        "example",
        "xn--fsqu00a",
    }
    assert {each[:2] for each in people["imei"]} == {"00"}
    assert {(each[2:6], each[6:9]) for each in people["national_id"]} == {("9999", "190")}
    assert set(people["phone"]).isdisjoint(persons(parse_form("phone"), fresh.encode(), "bank"))


@pytest.fixture
def fresh() -> str:
    """The seed of another job."""
    return secrets.token_hex(16)


# -- samples


def columns(number: int) -> list[str]:
    """Mobiles."""
    return [f"138{each:08d}" for each in range(number)]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "utf-16.csv", "gb18030.csv"])
def test_a_sample_has_the_first_rows_and_some_far_behind(tmp_path: Path, ending: str) -> None:
    from party.datasets import open_dataset

    path, rows = tmp_path / f"users.{ending}", columns(60_000)
    names = ["城市", "phone"]
    match ending.rpartition(".")[2]:
        case "parquet":
            pq.write_table(pa.table({"城市": rows, "phone": rows}), path, row_group_size=3_000)
        case "jsonl":
            path.write_text("".join(json.dumps({"城市": "x", "phone": each}) + "\n" for each in rows))
        case _:
            text = "".join(f'"上,\n海",{each}\n' for each in rows)
            encoding = "gb18030" if "gb" in ending else "utf-16" if "16" in ending else "utf-8"
            path.write_text(",".join(names) + "\n" + text, encoding=encoding)
    dataset = open_dataset(path, encoding="utf-16" if "16" in ending else None)
    found = sampled(dataset, "phone").to_pylist()
    assert found[:FIRST_ROWS] == rows[:FIRST_ROWS]
    assert len(found) <= FIRST_ROWS + PLACES * ROWS_PER_PLACE
    if "16" not in ending:
        assert set(found) <= set(rows)
        assert len({int(each[3:]) // 6_000 for each in found}) >= 7


@pytest.mark.parametrize(
    ("declared", "given", "told"),
    [
        (
            "phone",
            [f"{each:064x}" for each in range(1, 50)],
            "49 sampled cells 0 can be read as that: mostly",
        ),
        (
            "sha256:phone:cn11",
            columns(50),
            "50 sampled cells 0 are 64 hexadecimal digits, and 50 hold a phone",
        ),
        ("md5:email", [f"{each:064x}" for each in range(1, 50)], "0 are 32 hexadecimal digits."),
        ("imei", columns(50), "can be read as that"),
        ("phone", [*columns(49), *("n/a" for _ in range(51))], "100 sampled cells 49 can be read"),
    ],
)
def test_a_column_in_another_form_is_told(tmp_path: Path, declared: str, given: list[str], told: str) -> None:
    side = standalone(tmp_path, declared, given)
    with pytest.raises(UsageError) as caught:
        check_content(side, "CN")
    assert (
        f"Column 'phone' of {tmp_path / 'users.csv'} is registered as {declared}, but of "
        in caught.value.message
    )
    assert told in caught.value.message
    assert "dataset check" in caught.value.hint
    assert not any(cell in str(caught.value) for cell in given if len(cell) > 4)


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        ("phone", [*columns(50), *("n/a" for _ in range(50)), *("" for _ in range(500))]),
        ("sha256:phone:cn11", [f"{each:064X}" for each in range(1, 50)]),
        ("opaque", columns(50)),
    ],
)
def test_a_column_that_is_merely_dirty_passes(tmp_path: Path, declared: str, given: list[str]) -> None:
    check_content(standalone(tmp_path, declared, given), "CN")
    assert judge(pa.array(["", None, " "], pa.string()), parse_form(declared), "CN").plausible


def standalone(folder: Path, declared: str, given: list[str]) -> Any:
    """A registered dataset of one column."""
    from party.catalogue import Catalogue

    path = folder / "users.csv"
    path.write_text("phone,x\n" + "".join(f"{each},1\n" for each in given))
    store = Store(f"sqlite:///{folder / 'store.sqlite'}")
    try:
        return Catalogue(store).add("users", path, "phone", parse_form(declared), 5, "ann")
    finally:
        store.close()


# -- two nodes


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two nodes on the line; the platform has a rule that covers all audiences."""
    rule = '[[standing]]\nname = "usual"\nkinds = ["audience"]\ndatasets = ["users"]\n'
    both = Pair(tmp_path, rule)
    both.connect()
    yield both
    both.close()


def register(side: Side, form: str, given: list[str], column: str = "phone") -> None:
    """Put a file in place of the side's dataset."""
    name = "customers" if side.node.file.role == "bank" else "users"
    path = side.folder / f"{name}.csv"
    path.write_text(f"{column},city\n" + "".join(f"{each},x\n" for each in given))
    side.catalogue.add(name, path, column, parse_form(form), 1_234, "ann", replace=True)


def drafted(pair: Pair, **keys: Any) -> JobRecord:
    """A draft over both datasets whatever their forms are."""
    from party.drafting import draft_with
    from party.jobfile import parse_job
    from party.jobrecords import person

    table = TABLE | keys
    made = draft_with(
        pair.bank.node,
        parse_job(table, "JOB.toml"),
        table,
        "acme",
        dataset="customers",
        partner_dataset="users",
    )
    return pair.bank.jobs.draft(
        made.table, "", person("ann"), partner="acme", dataset=made.dataset, contract=made.contract
    )


def hashed(spelling: str) -> list[str]:
    """Hashes of mobiles in a spelling."""
    lead = {"cn11": "", "e164": "+86", "digits": "86"}[spelling]
    return [hashlib.sha256(f"{lead}{each}".encode()).hexdigest() for each in columns(40)]


def stands(side: Side, record: JobRecord) -> Preflight:
    """How the preflight of a job stands at a side."""
    return standing_of(side.node, record)


KINDS: list[dict[str, Any]] = [
    {},
    {"receiver": "both"},
    {"kind": "overlap", "receiver": "bank"},
    {
        "kind": "profile",
        "value_holder": "platform",
        "platform": {"identifier": "phone", "tags": ["city"]},
        "bank": {"identifier": "mobile", "groups": ["town"]},
    },
]


def test_drafts_of_all_kinds_and_suites_are_tried_and_pass(pair: Pair) -> None:
    pair.bank.add("customers", "mobile", "town")
    records = [drafted(pair, suite=suite, **keys) for suite in SUITES for keys in KINDS]
    assert {stands(pair.bank, record).state.value for record in records} == {"not_run"}
    pair.talk(2)
    for record in records:
        assert stands(pair.bank, record).state == "passed"
        assert pair.states(record.id) == ("draft", "unknown")
        # The platform has no job yet; what it knows of the run is under the job's id.
        store = Preflights(pair.platform.node.home.store, pair.clock)
        (row,) = store.rows([record.id])[record.id]
        assert (row.own, row.peer, row.detail) == ("passed", "passed", None)


def test_an_approved_job_waits_for_its_preflight_and_a_rule_takes_it(pair: Pair) -> None:
    record = pair.draft()
    asked = pair.bank.agent.news("acme")
    assert [type(each) for each in asked] == [PreflightAsk]
    assert pair.bank.agent.news("acme") == []
    pair.hear(pair.platform, asked[0])
    assert stands(pair.bank, record).clear
    pair.talk()
    assert pair.states(record.id) == ("accepted", "accepted")


@pytest.mark.parametrize(
    ("form", "bank", "platform", "code", "own"),
    [
        # What the job matches on, what each side has its dataset registered as.
        ("sha256:phone:e164", "phone", "sha256:phone:cn11", "mismatch", None),
        ("sha256:phone:cn11", "sha256:phone:e164", "sha256:phone:cn11", "mismatch", None),
        ("phone", "phone", "sha256:phone:cn11", "form", False),
        ("phone", "sha256:phone:cn11", "phone", "form", True),
        ("email", "phone", "phone", "form", True),
    ],
)
def test_forms_that_do_not_meet_are_found_before_anything_is_proposed(
    pair: Pair, form: str, bank: str, platform: str, code: str, own: bool | None
) -> None:
    for side, declared in ((pair.bank, bank), (pair.platform, platform)):
        spelling = declared.rpartition(":")[2]
        register(side, declared, columns(40) if declared == "phone" else hashed(spelling))
    pair.connect()
    record = drafted(pair, identifier=form, bank={"identifier": "phone"})
    pair.talk()
    found = stands(pair.bank, record)
    assert (found.state, found.code, found.own) == ("failed", code, own)
    if own is not False:
        assert bank in found.detail
    if code == "mismatch":
        assert platform in found.detail
    assert pair.states(record.id) == ("draft", "unknown")
    with pytest.raises(UsageError, match=f"failed .{code}"):
        Preflights(pair.bank.node.home.store).require(found, "job", must_have_run=False)
    # Nothing was spent: no run of a job, no budget.
    assert pair.platform.jobs.list().jobs == ()


def test_raw_bank_data_meets_hashes_in_the_form_that_the_job_names(pair: Pair) -> None:
    register(pair.platform, "sha256:phone:cn11", hashed("cn11"))
    pair.connect()
    record = drafted(pair, identifier="sha256:phone:cn11")
    pair.talk()
    assert stands(pair.bank, record).clear


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda side: register(side, "sha256:phone:cn11", columns(40)), "form"),
        (lambda side: register(side, "phone", hashed("cn11")), "content"),
        (lambda side: (side.folder / "users.csv").unlink(), "unreadable"),
        (lambda side: register(side, "phone", columns(40), "msisdn"), "dataset"),
    ],
    ids=["registered as hashed", "hashed", "gone", "other columns"],
)
def test_what_is_wrong_at_the_partner_arrives_as_a_word(
    pair: Pair, change: Callable[[Side], object], code: str
) -> None:
    record = pair.draft()
    change(pair.platform)
    pair.talk()
    found = stands(pair.bank, record)
    assert (found.state, found.code, found.own, found.detail) == ("failed", code, False, "")
    # It was approved already: it ends, and can be drafted again.
    after = pair.bank.jobs.get(record.id)
    assert (after.state, after.code) == ("refused", "canary")
    (row,) = Preflights(pair.platform.node.home.store).rows([record.id])[record.id]
    assert row.own == code
    assert row.detail


def test_a_job_that_names_another_column_than_the_registered_one(pair: Pair) -> None:
    pair.bank.add("customers", "mobile", "home_phone")
    record = drafted(pair, bank={"identifier": "home_phone"})
    assert pair.bank.agent.news("acme") == []  # nothing is asked
    found = stands(pair.bank, record)
    assert (found.code, found.own) == ("column", True)
    assert "registered by column 'mobile'" in found.detail


def test_it_is_tried_again_once_a_dataset_is_added_again_or_a_person_asks(pair: Pair) -> None:
    register(pair.bank, "phone", hashed("cn11"), "mobile")
    record = drafted(pair)
    pair.talk()
    assert stands(pair.bank, record).code == "content"
    pair.talk()
    store = Preflights(pair.bank.node.home.store, pair.clock)
    assert len(store.rows([record.id])[record.id]) == 1
    # The file is mended, and a person says so.
    (pair.bank.folder / "customers.csv").write_text("mobile,city\n13800138000,x\n")
    store.again(record.id, record.digest, "acme", "ann")
    assert stands(pair.bank, record).state == "not_run"
    pair.talk()
    assert stands(pair.bank, record).clear
    # Its form is corrected: what was tried is not what there is.
    pair.clock.forward(minutes=1)
    register(pair.bank, "phone", columns(40), "mobile")
    assert stands(pair.bank, record).state == "not_run"
    pair.talk()
    assert stands(pair.bank, record).clear


def test_a_rule_does_not_take_what_a_bank_did_not_try(pair: Pair) -> None:
    record = pair.draft(untried=True)
    assert stands(pair.bank, record).actor == "bob"
    pair.talk()
    assert pair.states(record.id) == ("proposed", "proposed")
    there = pair.platform.jobs.get(record.id)
    store = Preflights(pair.platform.node.home.store, pair.clock)
    with pytest.raises(UsageError, match="no preflight"):
        store.require(stands(pair.platform, there), "job", must_have_run=True)
    store.go_without(there.id, there.digest, "bank", "carol")
    assert stands(pair.platform, there).clear
    approve(pair.platform.node, pair.platform.jobs, there, "carol")
    pair.talk()
    assert pair.states(record.id) == ("accepted", "accepted")


def test_a_verdict_that_was_lost_is_said_again_before_the_proposal(pair: Pair) -> None:
    record = pair.draft()
    (ask,) = pair.bank.agent.news("acme")
    run = ask.run  # type: ignore[union-attr]
    lost = [message for message in exchange(pair, ask) if isinstance(message, PreflightVerdict)]
    assert lost == [PreflightVerdict(run, "passed")]
    assert not stands(pair.platform, record).clear
    said = pair.bank.agent.news("acme")
    assert [type(each) for each in said] == [PreflightVerdict, Propose]
    pair.connect()
    assert pair.states(record.id) == ("accepted", "accepted")


def exchange(pair: Pair, first: ControlMessage) -> list[ControlMessage]:
    """Pass messages on in the order of a stream, all but the bank's verdict; returns what the bank said."""
    queue: list[tuple[Side, ControlMessage]] = [(pair.platform, first)]
    said = []
    while queue:
        side, message = queue.pop(0)
        bank_says = side is pair.platform
        if bank_says:
            said.append(message)
        if bank_says and isinstance(message, PreflightVerdict):
            continue
        answers = side.agent.receive("bank" if bank_says else "acme", message).messages
        queue += [(pair.bank if bank_says else pair.platform, each) for each in answers]
    return said


def test_a_connection_that_is_lost_in_the_middle_leaves_nothing_and_it_is_tried_anew(pair: Pair) -> None:
    record = pair.draft()
    (ask,) = pair.bank.agent.news("acme")
    pair.platform.agent.receive("bank", ask)
    pair.clock.forward(minutes=1)
    pair.connect()
    assert pair.states(record.id) == ("accepted", "accepted")
    rows = Preflights(pair.bank.node.home.store).rows([record.id])[record.id]
    assert [(row.own, row.peer) for row in rows] == [(None, None), ("passed", "passed")]


def test_what_is_known_follows_from_the_rows_on_either_database(store: Store) -> None:
    kept, run, other = Preflights(store), secrets.token_bytes(16), secrets.token_bytes(16)

    def stand(digest: str = "d", facts: str = "f") -> str:
        return kept.standing(kept.rows(["job"])["job"], digest, facts).state.value

    assert stand() == "not_run"
    assert kept.begin(run, "job", "d", "f", "acme")
    assert kept.known(run)
    assert not kept.known(other)
    kept.say_own(run, "passed")
    kept.say_peer(run, "another", "passed")
    assert stand() == "not_run"
    kept.say_peer(run, "acme", "passed")
    kept.say_peer(run, "acme", "form")  # the first word counts
    assert stand() == "passed"
    assert {stand("another"), stand(facts="g")} == {"not_run"}
    kept.again("job", "d", "acme", "ann")
    assert stand() == "not_run"
    assert kept.begin(other, "job", "d", "f", "acme")
    kept.say_own(other, "content", "A sentence.", "A hint.")
    found = kept.standing(kept.rows(["job"])["job"], "d", "f")
    assert (found.state, found.own, found.detail, found.hint) == ("failed", True, "A sentence.", "A hint.")
    note = kept.go_without("job", "d", "acme", "ann")
    assert stand(facts="g") == "without"
    assert stand("another") == "not_run"
    kept.take_back(note)
    assert stand() == "failed"


# -- what a partner might try


def asking(pair: Pair, **changes: Any) -> PreflightAsk:
    """A question of the bank about the platform's dataset."""
    schema = bytes.fromhex(pair.platform.catalogue.get("users").schema)
    ask = PreflightAsk(
        secrets.token_hex(16),
        secrets.token_bytes(16),
        bytes(32),
        "x25519-ell2",
        "phone",
        "users",
        schema,
        "phone",
        "CN",
    )
    return dataclasses.replace(ask, **changes)


def told(pair: Pair, ask: PreflightAsk) -> str:
    """What the platform answers: a word, or that it begins."""
    (answer,) = pair.platform.agent.receive("bank", ask).messages
    return answer.code if isinstance(answer, PreflightVerdict) else type(answer).__name__


def test_questions_are_limited_per_job_and_in_all(pair: Pair) -> None:
    job = secrets.token_hex(16)
    answers = [told(pair, asking(pair, job=job)) for _ in range(PER_JOB + 2)]
    assert answers == ["PreflightPart"] * PER_JOB + ["limited"] * 2
    answers = [told(pair, asking(pair)) for _ in range(PER_PARTNER)]
    assert answers.count("limited") == PER_JOB
    assert answers[-1] == "limited"
    pair.clock.forward(minutes=61)
    assert told(pair, asking(pair, job=job)) == "PreflightPart"
    # The same question again is none.
    ask = asking(pair)
    assert told(pair, ask) == "PreflightPart"
    assert pair.platform.agent.receive("bank", ask).messages == ()


def test_the_bank_does_not_ask_for_ever(pair: Pair) -> None:
    pair.draft()
    asked = 0
    for _ in range(30):
        asked += len(pair.bank.agent.news("acme"))
        pair.bank.agent.connected("acme")
        pair.clock.forward(seconds=30)
    assert asked == ASKED_PER_JOB < PER_JOB


NOTHING_TO_ASK: list[tuple[dict[str, Any], str]] = [
    ({"dataset": "others"}, "dataset"),
    ({"schema": bytes(32)}, "dataset"),
    # Only the registered column, and only the type that the catalogue tells.
    ({"column": "city"}, "column"),
    ({"form": "email"}, "form"),
    ({"form": "nonsense"}, "form"),
    ({"region": "ZZ"}, "form"),
    ({"suite": "nonsense"}, "failed"),
]


def test_nothing_else_can_be_asked(pair: Pair) -> None:
    words = [told(pair, asking(pair, **changes)) for changes, _ in NOTHING_TO_ASK]
    assert words == [word for _, word in NOTHING_TO_ASK]


def test_a_bank_answers_no_questions(pair: Pair) -> None:
    assert pair.bank.agent.receive("acme", asking(pair)).messages == ()
    run = secrets.token_bytes(16)
    for side, name in ((pair.bank, "acme"), (pair.platform, "bank")):
        for message in (
            PreflightVerdict(run, "passed"),
            PreflightPart(run, Chunk(run, Stream.SENDER_POINTS, 0, bytes(32))),
        ):
            assert side.agent.receive(name, message).messages == ()


def test_another_partner_cannot_speak_for_a_run(pair: Pair) -> None:
    record = pair.draft()
    (ask,) = pair.bank.agent.news("acme")
    run = ask.run  # type: ignore[union-attr]
    pair.bank.agent.receive("other", PreflightVerdict(run, "mismatch"))
    (row,) = Preflights(pair.bank.node.home.store).rows([record.id])[record.id]
    assert row.peer is None


SUBJECT = Subject("job", "ab" * 32, "x25519-ell2", "phone", "users", "cd" * 32, "phone", "CN")


def trials(
    bank: list[bytes], platform: list[bytes], suite: str = "x25519-ell2"
) -> tuple[str, str, list[Message]]:
    """Both words of a run over these canonical identifiers, and all messages."""
    subject, run = dataclasses.replace(SUBJECT, suite=suite), secrets.token_bytes(16)
    sides = Trial(subject, run, "bank", bank), Trial(subject, run, "platform", platform)
    queue = [(at, each) for at in (0, 1) for each in sides[at].start()]
    said = []
    while queue:
        at, message = queue.pop(0)
        said.append(message)
        queue += [(1 - at, each) for each in sides[1 - at].receive(message)]
    words = sides[0].word(), sides[1].word()
    for side in sides:
        side.close()
    return *words, said


def good(side: str) -> list[bytes]:
    """Canonical canaries of a side."""
    return [each for each in canonical("phone", "phone", side) if each]


def test_all_of_the_common_half_and_none_of_the_other_must_meet() -> None:
    bank, platform = good("bank"), good("platform")
    assert trials(bank, platform)[:2] == ("passed", "passed")
    assert trials(bank, [*platform[:-1], bank[-1]])[:2] == ("mismatch", "mismatch")
    assert trials([b"nobody", *bank[1:]], platform)[:2] == ("mismatch", "mismatch")


def test_no_two_runs_share_a_point_or_a_token() -> None:
    seen: set[bytes] = set()
    for _ in range(2):
        chunks = [each.data for each in trials(good("bank"), good("platform"))[2] if isinstance(each, Chunk)]
        assert sorted(map(len, chunks)) == [PERSONS * 16] * 2 + [PERSONS * 32] * 2
        parts = {data[at : at + 16] for data in chunks for at in range(0, len(data), 16)}
        assert not seen & parts
        seen |= parts


def test_a_set_of_another_size_is_a_violation() -> None:
    run = secrets.token_bytes(16)
    for size in (1, PERSONS - 1, PERSONS + 1):
        trial = Trial(SUBJECT, run, "platform", good("platform"))
        (mine,) = trial.start()
        assert isinstance(mine, Announce)
        theirs = dataclasses.replace(mine, role=mine.role.other, tiers=(Tier("", size),))
        with pytest.raises(PeerViolation):
            trial.receive(theirs)
        trial.close()


def test_real_identifiers_in_a_partners_set_meet_nobody() -> None:
    # A platform that puts people of the bank in place of its canaries learns that they are not in a set of canaries.
    people = [f"+861380013{each:04d}".encode() for each in range(COMMON)]
    _, word, said = trials(good("bank"), [*people, *good("platform")[COMMON:]])
    assert word == "mismatch"
    assert len(said) == len(trials(good("bank"), good("platform"))[2])


def test_the_own_data_is_not_in_the_match(tmp_path: Path) -> None:
    people = columns(40)
    registered = standalone(tmp_path, "phone", people)
    subject = dataclasses.replace(SUBJECT, schema=registered.schema)
    found = look(registered, subject, "platform")
    assert found == canaries_of(subject)
    assert not {f"+86{each}".encode() for each in people} & set(found)
    with pytest.raises(UnfitError) as caught:
        look(None, subject, "platform")
    assert "users" not in str(caught.value)


def canaries_of(subject: Subject) -> list[bytes]:
    """The canaries of the platform for a subject, from their description."""
    seed = hashlib.sha256(b"veiljoin/v1/preflight\x00" + (subject.contract + subject.job).encode()).digest()
    written = cells(parse_form("phone"), parse_form("phone"), seed, "platform", "CN")
    found: list[bytes] = Normaliser(parse_form("phone"))(pa.array(written)).canonical.to_pylist()
    return found


def test_an_engine_that_cannot_run_is_no_verdict(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise UsageError("No engine.", code="engine_unavailable")

    record = drafted(pair)
    monkeypatch.setattr("party.preflight.open_engine", broken)
    pair.talk()
    assert stands(pair.bank, record).state == "not_run"
    monkeypatch.setattr("party.preflight.open_engine", open_engine)
    pair.clock.forward(minutes=1)
    pair.talk()
    assert stands(pair.bank, record).clear


def test_nothing_about_a_cell_is_kept(pair: Pair) -> None:
    record = drafted(pair)
    pair.talk()
    rows = [
        Preflights(side.node.home.store).rows([record.id])[record.id] for side in (pair.bank, pair.platform)
    ]
    kept = repr(list(itertools.chain(*rows)))
    assert "13800138000" not in kept
    assert not any(each[1:] in kept for each in persons(parse_form("phone"), SEED, "bank"))
    assert np.all([row.detail is None for row in itertools.chain(*rows)])
