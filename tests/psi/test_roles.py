"""Both roles against a plain intersection of sets, in memory and on disk, and what a role refuses to its owner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from party.workspace import DiskKeep, Workspace
from psi.errors import PolicyRefusal, UsageError
from psi.machine import State
from psi.memory import MemoryKeep
from psi.messages import Stream
from psi.ports import Keep
from psi.results import AudienceResult, Cell, OverlapResult
from psi.suites import RISTRETTO255, X25519_ELL2
from psi.terms import CHUNK_ELEMENTS, MAX_SET, Kind, Role, Terms
from tests.psi.pair import Pair, Tiers, match, pair, party, people, terms_for

Keeps = Callable[[Terms], tuple[Keep, Keep]]


@contextmanager
def keeps_for(where: str, terms: Terms) -> Iterator[tuple[Keep, Keep]]:
    """Open both sides' keeps, in memory or on disk."""
    if where == "memory":
        yield MemoryKeep(terms), MemoryKeep(terms)
        return
    with (
        TemporaryDirectory() as folder,
        Workspace(Path(folder) / "receiver", 1) as receiver,
        Workspace(Path(folder) / "sender", 1) as sender,
    ):
        yield DiskKeep(receiver, terms), DiskKeep(sender, terms)


everywhere = pytest.mark.parametrize("where", ["memory", "disk"])


@dataclass(frozen=True)
class Case:
    """Terms and two sets."""

    terms: Terms
    receiver: Tiers
    sender: Tiers
    order: int


def tiers_of(members: dict[bytes, int], count: int, min_group: int) -> Tiers:
    """Split people by their tier number, leaving out tiers that are too small."""
    if count == 1:
        return [("", list(members))] if len(members) >= min_group else []
    parts = [(f"tier {k}", [each for each, tier in members.items() if tier == k]) for k in range(count)]
    return [(label, part) for label, part in parts if len(part) >= min_group]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Sets of up to 40 persons that overlap somehow, in 1 to 3 tiers on either side."""
    min_group = draw(st.sampled_from([1, 1, 2, 4]))
    counts = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    sets = []
    for count in counts:
        numbers = st.dictionaries(st.integers(0, 39), st.integers(0, count - 1), min_size=min_group)
        drawn = tiers_of({people(n)[0]: t for n, t in draw(numbers).items()}, count, min_group)
        sets.append(drawn or [("" if count == 1 else "tier 0", people(*range(min_group)))])
    kind = draw(st.sampled_from(Kind))
    terms = terms_for(
        kind,
        both=kind is Kind.AUDIENCE and draw(st.booleans()),
        unmatched=kind is Kind.AUDIENCE and draw(st.booleans()),
        receiver_tiered=counts[0] > 1,
        sender_tiered=counts[1] > 1,
        min_group=min_group,
        chunk_elements=draw(st.integers(1, 9)),
    )
    return Case(terms, sets[0], sets[1], draw(st.integers(0, 9)))


def expected_overlap(own: Tiers, peer: Tiers, min_group: int) -> OverlapResult:
    """Count by plain intersection, then withhold."""
    counts = {(a, b): len(set(x) & set(y)) for a, x in own for b, y in peer}
    small = [n for n in counts.values() if n < min_group]
    cells = tuple(Cell(*names, None if n < min_group else n) for names, n in counts.items())
    # What one withheld count could be if the total were told: it must leave half of its values open.
    most = (len(small) - 1) * (min_group - 1)
    open_values = [n for n in range(min_group) if 0 <= sum(small) - n <= most]
    if not small or (len(small) > 1 and sum(small) >= min_group and len(open_values) > min_group // 2):
        return OverlapResult(cells, sum(counts.values()), complete=True)
    shown = [n for n in counts.values() if n >= min_group]
    return OverlapResult(cells, sum(shown) if shown else None, complete=False)


def expected_matches(own: Tiers, peer: Tiers) -> dict[bytes, str]:
    """Return the own persons that the partner has, with the partner's tier."""
    tier_of = {each: label for label, members in peer for each in members}
    return {each: tier_of[each] for _, members in own for each in members if each in tier_of}


def check(case: Case, done: Pair) -> None:
    """Compare both results with what plain sets say."""
    sides = ((Role.RECEIVER, case.receiver, case.sender), (Role.SENDER, case.sender, case.receiver))
    for role, own, peer in sides:
        side = done.party(role)
        result = side.part.result
        if role is Role.SENDER and not case.terms.both:
            assert result is None
        elif case.terms.kind is Kind.OVERLAP:
            assert result == expected_overlap(own, peer, case.terms.min_group)
        else:
            assert isinstance(result, AudienceResult)
            expected = expected_matches(own, peer)
            withheld = {len(expected)}
            if case.terms.unmatched:
                withheld.add(sum(len(members) for _, members in own) - len(expected))
            if withheld & set(range(1, case.terms.min_group)):
                assert result.matched is None
                assert result.tier_of is None
            else:
                assert result.matched == len(expected)
                assert side.matches() == expected
            assert [tier.label for tier in result.peer_tiers] == [label for label, _ in peer]
        with pytest.raises(ValueError, match="destroyed"):
            side.part._scalar.reveal()


@settings(max_examples=150)
@given(cases())
def test_results_are_those_of_plain_sets(case: Case) -> None:
    check(case, match(case.terms, case.receiver, case.sender, order=case.order))


@settings(max_examples=15)
@given(cases())
def test_results_on_disk_are_those_of_plain_sets(case: Case) -> None:
    with keeps_for("disk", case.terms) as keeps:
        check(case, match(case.terms, case.receiver, case.sender, keeps=keeps, order=case.order))


@settings(max_examples=25)
@given(cases())
def test_results_of_ristretto255_are_those_of_plain_sets(case: Case) -> None:
    case = replace(case, terms=replace(case.terms, suite=RISTRETTO255))
    check(case, match(case.terms, case.receiver, case.sender, order=case.order))


@everywhere
@pytest.mark.parametrize("suite", [X25519_ELL2, RISTRETTO255], ids=lambda suite: suite.id)
@pytest.mark.parametrize("both", [False, True])
def test_an_audience_learns_its_own_rows_by_the_partners_tier(where: str, suite: object, both: bool) -> None:
    terms = terms_for(both=both, suite=suite, receiver_tiered=both)
    receiver: Tiers = [("", people(*range(30)))]
    sender: Tiers = [("gold", people(*range(5, 15))), ("silver", people(*range(25, 45)))]
    with keeps_for(where, terms) as keeps:
        done = match(terms, receiver, sender, keeps=keeps)
    gold, silver = people(*range(5, 15)), people(*range(25, 30))
    assert done.receiver.matches() == dict.fromkeys(gold, "gold") | dict.fromkeys(silver, "silver")
    if both:
        assert done.sender.matches() == dict.fromkeys([*gold, *silver], "")
    else:
        assert done.sender.part.result is None


@everywhere
def test_an_overlap_counts_by_both_sides_tiers_and_withholds_small_cells(where: str) -> None:
    terms = terms_for(Kind.OVERLAP, min_group=5)
    receiver: Tiers = [("a", people(*range(20))), ("b", people(*range(20, 30)))]
    sender: Tiers = [("x", people(*range(16))), ("y", people(*range(16, 23)))]
    with keeps_for(where, terms) as keeps:
        done = match(terms, receiver, sender, keeps=keeps)
    cells = (Cell("a", "x", 16), Cell("a", "y", None), Cell("b", "x", None), Cell("b", "y", None))
    # Withheld are 4, 0 and 3 persons: three cells that jointly reach 5, so the total may hold them.
    assert done.receiver.part.result == OverlapResult(cells, 23, complete=True)
    assert done.receiver.part.result.withheld == 3


@pytest.mark.parametrize(("shared", "told"), [(0, 0), (1, None), (4, None), (5, 5), (6, 6)])
def test_a_list_below_min_group_is_withheld_on_both_sides(shared: int, told: int | None) -> None:
    terms = terms_for(both=True, min_group=5)
    done = match(terms, [("", people(*range(10)))], [("", people(*range(10 - shared, 30)))])
    for side in (done.receiver, done.sender):
        result = side.part.result
        assert isinstance(result, AudienceResult)
        assert result.matched == told
        assert (result.tier_of is None) == (told is None)


def test_those_who_do_not_match_follow_from_the_own_result() -> None:
    done = match(terms_for(), [("", people(*range(20)))], [("", people(*range(15, 60)))])
    result = done.receiver.part.result
    assert isinstance(result, AudienceResult)
    assert result.tier_of is not None
    left = [each for each, tier in zip(done.receiver.identifiers, result.tier_of, strict=True) if not tier]
    assert sorted(left) == sorted(people(*range(15)))


@pytest.mark.parametrize("kind", Kind)
def test_the_order_of_delivery_changes_nothing(kind: Kind) -> None:
    both = kind is Kind.AUDIENCE
    sets: tuple[Tiers, Tiers] = [("", people(*range(30)))], [("", people(*range(20, 48)))]
    runs = [match(terms_for(kind, both=both), *sets, order=order) for order in range(8)]
    for role in Role:
        assert len({tuple(map(str, run.talk.by(role))) for run in runs}) == 1
        assert all(run.talk.by(role) == runs[0].talk.by(role) for run in runs)


@everywhere
@pytest.mark.parametrize(
    ("kind", "both"), [(Kind.OVERLAP, False), (Kind.AUDIENCE, False), (Kind.AUDIENCE, True)]
)
def test_what_is_said_does_not_depend_on_where_tokens_are_kept(where: str, kind: Kind, both: bool) -> None:
    terms = terms_for(kind, both=both)
    sets: tuple[Tiers, Tiers] = (
        [("a", people(*range(20))), ("b", people(*range(20, 33)))],
        [("x", people(*range(10, 30))), ("y", people(*range(30, 50)))],
    )
    with keeps_for(where, terms) as keeps:
        assert match(terms, *sets, keeps=keeps).talk.said == match(terms, *sets).talk.said


def test_elements_are_counted_as_they_will_arrive() -> None:
    for both, inbound in ((False, (50, 20)), (True, (50, 50))):
        done = match(terms_for(both=both), [("", people(*range(20)))], [("", people(*range(30)))])
        told = done.receiver.part.expected_work, done.sender.part.expected_work
        assert told == inbound
        sizes = dict.fromkeys((Stream.RECEIVER_POINTS, Stream.SENDER_POINTS), 32)
        for role, expected in zip((Role.SENDER, Role.RECEIVER), inbound, strict=True):
            streams = [stream for stream in Stream if stream.sent_by is role]
            arrived = [len(done.talk.elements(stream, sizes.get(stream, 16))) for stream in streams]
            assert sum(arrived) == expected


# -- what a role refuses to its owner


def test_a_role_is_single_use() -> None:
    both = pair(terms_for(), [("", people(1, 2))], [("", people(2, 3))])
    both.talk.run()
    for side in (both.receiver, both.sender):
        with pytest.raises(RuntimeError, match="single-use"):
            side.part.start()


def test_a_role_is_started_before_it_hears_anything() -> None:
    both = pair(terms_for(), [("", people(1))], [("", people(2))])
    announce = next(both.sender.part.start())
    with pytest.raises(RuntimeError, match="start"):
        both.receiver.part.receive(announce)
    assert both.receiver.part.state is State.ANNOUNCEMENT


@pytest.mark.parametrize("role", Role)
def test_there_is_no_result_before_the_end(role: Role) -> None:
    terms = terms_for(both=True)
    said = match(terms, [("", people(*range(9)))], [("", people(*range(5, 20)))]).talk.by(role.other)
    side = party(role, terms, [("", people(*(range(9) if role is Role.RECEIVER else range(5, 20))))])
    list(side.part.start())
    for message in said:
        assert not side.part.done
        with pytest.raises(RuntimeError, match="no result"):
            _ = side.part.result
        list(side.part.receive(message))
    assert side.part.done
    assert side.part.result is not None


def test_peer_and_session_exist_from_the_announcement_on() -> None:
    both = pair(terms_for(), [("", people(1))], [("", people(2))])
    part = both.receiver.part
    part.start()
    for read in (lambda: part.peer, lambda: part.session):
        with pytest.raises(RuntimeError, match="announce"):
            read()
    announce = next(both.sender.part.start())
    part.receive(announce)
    assert part.peer is announce
    assert len(part.session.id) == 16


@pytest.mark.parametrize(
    ("changes", "tiers", "code", "sentence"),
    [
        ({"receiver_limit": 3}, [("", people(1, 2, 3, 4))], "over_limit", "own set has 4 persons.*allows 3"),
        ({"min_group": 5}, [("", people(1, 2, 3, 4))], "too_small", "min_group = 5"),
        (
            {"min_group": 2},
            [("a", people(1, 2, 3)), ("b", people(4))],
            "too_small",
            "tier of fewer than min_group = 2",
        ),
        (
            {"receiver_tiered": False},
            [("a", people(1)), ("b", people(2))],
            "over_limit",
            "which the contract does not say",
        ),
        ({"receiver_tiered": False}, [("a", people(1))], "over_limit", "which the contract does not say"),
        ({"receiver_labels": ("b", "a")}, [("c", people(1))], "over_limit", "other tiers, or another order"),
        (
            {"receiver_labels": ("b", "a")},
            [("a", people(1)), ("b", people(2))],
            "over_limit",
            "other tiers, or another order",
        ),
    ],
)
def test_an_own_set_that_does_not_keep_the_terms_is_a_refusal(
    changes: dict[str, Any], tiers: Tiers, code: str, sentence: str
) -> None:
    side = party(Role.RECEIVER, terms_for(**changes), tiers)
    with pytest.raises(PolicyRefusal, match=sentence) as raised:
        side.part.start()
    assert raised.value.code.name == code
    # Nothing was announced, so the role cannot go on either.
    with pytest.raises(RuntimeError, match="start"):
        side.part.receive(match(terms_for(), tiers, tiers).talk.said[0][1])


@pytest.mark.parametrize(
    "changes",
    [
        {"contract": b"short"},
        {"kind": Kind.OVERLAP, "both": True},
        {"min_group": 0},
        {"min_group": MAX_SET + 1},
        {"chunk_elements": 0},
        {"chunk_elements": CHUNK_ELEMENTS + 1},
    ],
    ids=str,
)
def test_impossible_terms_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        terms_for(**changes)


def test_chunk_arithmetic() -> None:
    terms = terms_for(chunk_elements=7)
    for elements in range(1, 30):
        lengths = [terms.chunk_length(elements, i) for i in range(terms.chunk_count(elements))]
        assert sum(lengths) == elements
        assert all(0 < length <= 7 for length in lengths)
        assert set(lengths[:-1]) <= {7}
        assert terms.chunk_length(elements, len(lengths)) == 0


def test_receiver_and_sender_swap() -> None:
    assert Role.RECEIVER.other is Role.SENDER
    assert Role.SENDER.other is Role.RECEIVER
    assert {stream: stream.sent_by for stream in Stream} == {
        Stream.RECEIVER_POINTS: Role.RECEIVER,
        Stream.SENDER_POINTS: Role.SENDER,
        Stream.RECEIVER_TOKENS: Role.SENDER,
        Stream.SENDER_TOKENS: Role.RECEIVER,
    }
