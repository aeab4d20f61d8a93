"""The attacks of the threat model, run against the real roles of a grouped sum: what they bring, and what they don't.

Where a partner that deviates does learn something, the test says how much: that is what the disclosure card, the
budget and the replay audit are there for.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Sequence
from fractions import Fraction

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz

from federated import reference
from federated.ciphertexts import decode
from federated.group_holder import GroupHolder
from federated.holder import region_bytes
from federated.keys import PaillierPrivateKey
from federated.memory import MemoryGroupSet, MemorySumKeep, MemoryValueSet, Person
from federated.messages import CellSums, Openings, SumStream, SumTable, Verdict
from federated.noise import bounded_laplace, tail
from federated.ports import OwnCell
from federated.results import SumResult
from federated.slots import MASK_BITS, Layout
from federated.stream import LABEL_COVER, KeyStream, StreamKey, stream_key
from federated.suppression import count_passes
from federated.terms import SumRole, SumTerms, ValueColumn, WindowTerms
from federated.value_holder import ValueHolder
from federated.windows import Covered, cover, open_values, read
from psi.errors import PeerViolation, UsageError
from psi.secret import Seed
from psi.seed import JobRandomness
from tests.federated.keys_for_tests import STREAM_KEY, private_key
from tests.federated.keys_for_tests import stream as draws_from
from tests.federated.lying import (
    AMOUNT,
    CELLS,
    REST,
    CellPlan,
    G,
    Play,
    Script,
    Setting,
    V,
    elements,
    lying_terms,
    proofs_made_once,  # noqa: F401  (a fixture for all tests here)
    remembering,
    replaced,
    retold,
    setting,
    single,
    world_of,
)
from tests.federated.lying import named as person
from tests.federated.pair import SumConversation, engine_for, paillier, randomness_for, sum_terms


def key() -> PaillierPrivateKey:
    """Return the value holder's key, which a role destroys in its own copy."""
    return private_key()


def played(where: Setting, liar: SumRole, script: Script) -> Play:
    """Let the honest partner of ``liar`` hear as much of ``script`` as it takes."""
    return Play(where.part(liar.other)).hear(script)


def result_of(where: Setting, role: SumRole) -> SumResult:
    """Return what ``role`` reads in an honest run."""
    return played(where, role.other, where.scripts[role.other]).part.result


# -- the same, slowly: phe


def test_the_sums_are_those_that_phe_computes() -> None:
    where = setting()
    layout, sums = where.layout, single(where, CellSums)
    private, public = reference.to_phe_private(key()), key().public
    group = played(where, V, where.scripts[V]).part
    assert isinstance(group, GroupHolder)
    covers = [
        cover(layout, KeyStream(stream_key(randomness_for(G, where.terms), LABEL_COVER)), p)
        for p in sums.places
    ]
    partners = group._join.partners()
    rows = reference.to_phe_ciphertexts(
        public,
        b"".join(elements(where, SumStream.VALUE_SUMS)),
    )
    starts = list(itertools.accumulate((plan.persons for plan in CELLS), initial=0))
    read_by_v = result_of(where, V)
    figures = {cell.label: cell.figures for cell in read_by_v.cells}
    for sent, place, own in zip(
        reference.to_phe_ciphertexts(public, sums.ciphertexts), sums.places, covers, strict=True
    ):
        members = [place] if place != REST else [2, 3]
        hits = [
            row for cell in members for row in partners[starts[cell] : starts[cell + 1]].tolist() if row >= 0
        ]
        slowly = rows[hits[0]]
        for row in hits[1:]:
            slowly = slowly + rows[row]
        decrypted = private.decrypt(sent)
        assert decrypted == private.decrypt(slowly) + own.mask
        covered = read(layout, decrypted)
        planned = [CELLS[cell] for cell in members]
        assert covered.counts == (sum(p.hits for p in planned), sum(p.converters for p in planned))
        amounts = [100 + i for p in planned for i in range(p.converters)]
        opened = open_values(layout, covered, own.opening)
        assert opened == (len(amounts), sum(amounts), sum(a * a for a in amounts))
        shown = figures.get((f"cell {place}",))
        if shown is not None:
            assert tuple(shown.values()) == (*covered.counts, *opened)


# -- single amounts


def test_what_the_value_holder_sees_of_a_withheld_cell_fits_every_amount() -> None:
    where = setting()
    layout, sums = where.layout, single(where, CellSums)
    covered = [read(layout, plain) for plain in paillier().decrypt(key(), sums.ciphertexts)]
    verdict, openings = single(where, Verdict), single(where, Openings)
    assert [each.place for each in openings.openings] == [
        place for place, passes in zip(sums.places, verdict.passes, strict=True) if passes
    ]
    withheld = [each for each, passes in zip(covered, verdict.passes, strict=True) if not passes]
    assert [each.counts for each in withheld] == [(5, 2), (6, 1)]
    for each in withheld:
        # For whatever conversions, sum and squares there is one mask under which the very same bytes are seen; and
        # masks are uniform.
        for values in ((1, 0, 0), (1, 1_000, 1_000_000), (2, 201, 20_201), (50, 777, 99_999)):
            mask = (each.masked - layout.pack_values(values)) % (1 << layout.value_bits)
            assert open_values(layout, each, mask) == values
    # Their joint mask tells the sum of both and leaves each of them open.
    (joint,) = openings.joint
    assert joint is not None
    together = Covered((11, 3), sum(each.masked for each in withheld) % (1 << layout.value_bits))
    assert open_values(layout, together, int.from_bytes(joint[0], "big")) == (3, 301, 30_201)


def test_the_masked_bytes_are_uniform_whatever_is_beneath() -> None:
    layout = setting().layout
    sums = [
        layout.pack_values(values) for values in ((0, 0, 0), (1, 1_000, 1_000_000), (11, 9_999, 55_555_555))
    ]
    below, runs = layout.guard + layout.count_bits, 3_000
    for number, beneath in enumerate(sums):
        seen = [
            read(layout, (beneath << below) + cover(layout, draws_from(number), index).mask).masked
            for index in range(runs)
        ]
        ones = np.array([[masked >> bit & 1 for bit in range(layout.value_bits)] for masked in seen])
        assert abs(ones.mean(axis=0) - 0.5).max() < 0.05  # 5.5 standard deviations
        assert len(set(seen)) > 0.99 * runs


def test_the_same_run_with_other_amounts_shows_the_value_holder_the_same_counts_and_no_more() -> None:
    # The group holder's answers, but for what it opens, are functions of hits alone.
    plan = [
        dataclasses.replace(each, amounts=(977, 3, 14)) if i == 4 else each for i, each in enumerate(CELLS)
    ]
    one, other = setting(), Setting(lying_terms(), world_of(lying_terms(), plan)).recorded()
    for each in (one, other):
        assert single(each, CellSums).places == (0, 1, 4, 5, REST)
        assert single(each, Verdict).passes == (True, True, False, False, True)
    shown = [{cell.label: cell.figures for cell in result_of(each, V).cells} for each in (one, other)]
    assert shown[0] == shown[1]
    assert ("cell 4",) not in shown[0]


def test_a_cell_that_one_amount_dominates_is_shown_to_nobody() -> None:
    plan = [CellPlan(10, 6, 6, amounts=(990,)), CellPlan(10, 6, 6)]
    for readers in ({V}, {G}, {V, G}):
        terms = lying_terms(readers=frozenset(readers), dominance=3)
        where = Setting(terms, world_of(terms, plan)).recorded()
        for role in readers:
            result = result_of(where, role)
            assert result.withheld == {"dominated": 1}
            assert [cell.figures is None for cell in result.cells] == [True, False]
            # Nor by subtraction: the total is that of the other cell.
            assert result.totals[0].figures == result.cells[1].figures
        if readers == {V, G}:
            # Not even in the message.
            assert single(where, SumTable).dominated == (0,)
            assert [row.place for row in single(where, SumTable).rows] == [1]


def test_a_joint_sum_that_one_amount_dominates_leaves_the_value_holder_for_nobody() -> None:
    # Two cells of too few converters may be totalled jointly; but not if one person is most of both.
    plan = [CellPlan(10, 6, 6), CellPlan(9, 5, 2, amounts=(1_000, 1)), CellPlan(9, 6, 1, amounts=(1,))]
    terms = lying_terms(dominance=2)
    where = Setting(terms, world_of(terms, plan)).recorded()
    assert single(where, Verdict).joint == (True,)
    assert single(where, SumTable).joint == (None,)
    for role in SumRole:
        (total,) = result_of(where, role).totals
        assert (total.complete, total.persons) == (False, 10)


def test_the_totals_of_both_readers_never_differ_by_a_dominated_cell() -> None:
    plan = [
        CellPlan(10, 6, 6),
        CellPlan(10, 6, 6, amounts=(600, 1, 1, 1, 1, 1)),
        CellPlan(9, 5, 2),
        CellPlan(9, 6, 1),
    ]
    for readers in ({V}, {G}, {V, G}):
        terms = lying_terms(readers=frozenset(readers), dominance=2)
        where = Setting(terms, world_of(terms, plan)).recorded()
        totals = [result_of(where, role).totals[0] for role in readers]
        assert [cell.label for cell in result_of(where, next(iter(readers))).cells if cell.figures] == [
            ("cell 0",)
        ]
        if len(readers) == 1:
            # Three withheld cells that jointly pass, which a single reader may total.
            assert (totals[0].complete, totals[0].persons) == (True, 38)
        else:
            assert totals[0] == totals[1]
            assert (totals[0].complete, totals[0].persons) == (False, 10)


def test_figures_that_are_hidden_jointly_are_missing_in_the_total_of_both() -> None:
    # One of the joint three is retained: too few to be told, so the total of retained persons is not told either.
    terms = lying_terms(values=(), window=WindowTerms(5, 2))
    plan = [CellPlan(10, 6, 6), CellPlan(9, 5, 2), CellPlan(9, 6, 1)]
    rows = [(1000, (), 0), (1003, (), 0)]
    people: list[Person] = []
    members, number = [], 0
    for cell, own in enumerate(plan):
        members.append((cell, 0, [person(number + i) for i in range(own.persons)]))
        keeps = own.converters if cell == 0 else 0
        people += [
            (
                person(number + i),
                rows[: 2 if i < keeps or (cell, i) == (1, 0) else 1] if i < own.converters else [],
                (),
            )
            for i in range(own.hits)
        ]
        number += own.persons
    engine = engine_for(terms.suite)
    sets = (
        MemoryValueSet(terms, randomness_for(V, terms), engine, people),
        MemoryGroupSet(
            terms,
            randomness_for(G, terms),
            engine,
            [OwnCell((str(cell),), own.persons, "") for cell, own in enumerate(plan)],
            members,
            first_day=1000,
            days=2,
        ),
    )
    where = Setting(terms, sets).recorded()
    (row,) = single(where, SumTable).joint
    assert row is not None
    assert row.hidden
    for role in SumRole:
        (total,) = result_of(where, role).totals
        assert total.complete
        assert total.figures is not None
        assert total.figures["converters"] == 9
        assert "retained" not in total.figures


# -- differencing


def measured(terms: SumTerms, plan: Sequence[CellPlan], role: SumRole = V) -> SumResult:
    """Return what ``role`` reads of a run over ``plan``."""
    talk = Setting(terms, world_of(terms, plan)).recorded()
    return result_of(talk, role)


def test_a_cell_of_one_person_less_than_min_group_is_not_taken() -> None:
    terms = lying_terms(min_group=10)
    assert measured(terms, [CellPlan(10, 6, 6), CellPlan(20, 9, 9)]).cells[0].figures is not None
    own_values, own_groups = world_of(terms, [CellPlan(9, 6, 6), CellPlan(20, 9, 9)])
    with pytest.raises(PeerViolation, match="a unit of fewer than min_group = 10"):
        Setting(terms, (own_values, own_groups)).recorded()


def test_one_withheld_cell_is_in_no_total() -> None:
    # All cells shown but one: the total less the shown ones would be that one.
    for plan in (
        [CellPlan(10, 6, 6), CellPlan(10, 5, 4), CellPlan(10, 5, 2)],
        [CellPlan(10, 6, 6), CellPlan(10, 5, 4), CellPlan(10, 2, 2)],
    ):
        for role in SumRole:
            result = measured(lying_terms(), plan, role)
            shown = [cell.figures for cell in result.cells if cell.figures]
            (total,) = result.totals
            assert len(shown) == 2
            assert not total.complete
            assert total.persons == 20
            assert total.figures == {name: sum(each[name] for each in shown) for name in shown[0]}


def test_without_noise_two_jobs_that_differ_by_a_person_tell_its_outcome() -> None:
    # Thresholds can't help here; the ledger, the budget and noise are what stands against it.
    plan = [CellPlan(12, 8, 8, amounts=(377,)), CellPlan(10, 6, 6)]
    without = [CellPlan(11, 7, 7, amounts=(101, 102, 103, 104, 105, 106, 107)), plan[1]]
    one, other = (measured(lying_terms(), each).cells[0].figures for each in (plan, without))
    assert one is not None
    assert other is not None
    assert one["converters"] - other["converters"] == 1
    assert one["sum:amount"] - other["sum:amount"] == 377


def noisy(terms: SumTerms, plan: Sequence[CellPlan], seed: int, group_seed: int = 0) -> SumConversation:
    """Run a job with fresh randomness on the value holder's side, and one of its own choosing on the other."""
    seeds = {V: Seed(bytes([1, seed]) * 16), G: Seed(bytes([2, group_seed]) * 16)}
    own = {role: JobRandomness(seeds[role], terms.contract) for role in SumRole}
    engine, sets = engine_for(terms.suite), world_of(terms, plan)
    people: list[Person] = []
    members, number = [], 0
    for cell, each in enumerate(plan):
        members.append((cell, 0, [person(number + i) for i in range(each.persons)]))
        people += [
            (person(number + i), [(0, (100,) if terms.values else (), 0)] if i < each.converters else [], ())
            for i in range(each.hits)
        ]
        number += each.persons
    values = MemoryValueSet(terms, own[V], engine, people)
    groups = MemoryGroupSet(terms, own[G], engine, sets[1].cells, members)
    private = PaillierPrivateKey(key().reveal())
    keep = MemorySumKeep(terms)
    return SumConversation(
        ValueHolder(terms, own[V], values, engine, keep, private, remembering()),
        GroupHolder(terms, own[G], groups, engine, keep, remembering()),
    ).run()


def test_with_noise_released_figures_vary_and_no_verdict_follows_from_the_partners_noise() -> None:
    terms = sum_terms(min_group=5, min_converters=6, epsilon=1)
    plan = [CellPlan(20, 12, 6), CellPlan(20, 15, 14)]
    shown, verdicts = set(), set()
    for seed in range(12):
        talk = noisy(terms, plan, seed)
        (verdict,) = [each for _, each in talk.said if isinstance(each, Verdict)]
        (table,) = [each for _, each in talk.said if isinstance(each, SumTable)]
        verdicts.add(verdict.passes)
        shown |= {row.counts for row in table.rows if row.place == 1}
        # What the group holder reads passes the thresholds as it reads it, and so it is decided.
        assert all(count_passes(terms, 20, *row.counts) is None for row in table.rows)
        assert [row.place for row in table.rows] == [i for i, passes in enumerate(verdict.passes) if passes]
    # The group holder's noise is the same each time. Did the verdict hang on it alone, it would tell the true count.
    assert len(verdicts) > 1
    assert len(shown) > 1


def test_with_noise_the_joint_row_tells_no_more_than_its_cells_would() -> None:
    terms = sum_terms(min_group=5, min_converters=10, epsilon=2)
    plan = [CellPlan(20, 15, 8), CellPlan(20, 15, 8), CellPlan(20, 15, 15)]
    for seed in range(30):
        talk = noisy(terms, plan, seed)
        (table,) = [each for _, each in talk.said if isinstance(each, SumTable)]
        (joint,) = table.joint
        if joint is None:
            continue
        values = talk.values
        assert isinstance(values, ValueHolder)
        hidden = [place for place in range(3) if place not in {row.place for row in table.rows}]
        noise = [values._noise(values.layout, place)[0] for place in hidden]
        seen = [values._covered[place].counts for place in hidden]
        assert joint.counts == tuple(sum(column) for column in zip(*noise, *seen, strict=True))
        return
    pytest.fail("no run had a joint row")


def test_noised_counts_of_neighbouring_inputs_are_within_epsilon_of_each_other() -> None:
    terms = sum_terms(epsilon=Fraction(3, 2))
    counts, values = terms.fields()
    runs = 6_000
    total = 0.0
    for number, field in enumerate((*counts, values[0])):
        scale = terms.noise_scale(field.name, field.low, field.high)
        assert scale is not None
        step = max(abs(field.low), abs(field.high))
        total += float(step / scale)
        stream = draws_from(50 + number)
        drawn = np.array([bounded_laplace(stream, index, scale) for index in range(runs)])
        assert abs(drawn).max() <= tail(scale)
        spread = math.ceil(float(scale))
        for edge in (-spread, 0, spread):
            # Of hits h and h + step: how often is the noised figure at least h + edge?
            without, with_one = (drawn >= edge).mean(), (drawn + step >= edge).mean()
            slack = 5 * math.sqrt(2 / (runs * min(without, 1 - without)))
            for one, other in ((with_one, without), (1 - without, 1 - with_one)):
                assert abs(math.log(one / other)) <= float(step / scale) + slack
    assert total <= 1.5 + 1e-9


@pytest.mark.parametrize("own", [-3, 0, 2])
def test_a_verdict_tells_a_partner_that_knows_its_own_noise_no_more_than_epsilon(own: int) -> None:
    terms = sum_terms(min_group=1, min_converters=10, epsilon=1)
    field = terms.fields()[0][1]
    scale = terms.noise_scale(field.name, field.low, field.high)
    assert scale is not None
    stream = draws_from(70)
    drawn = [bounded_laplace(stream, index, scale) for index in range(6_000)]

    def passing(true: int, noise: Sequence[int]) -> float:
        return sum(count_passes(terms, 50, 30, true + own + each) is None for each in noise) / len(noise)

    border = 10 - own
    # On the partner's noise alone the verdict names the last converter ...
    assert (passing(border, [0]), passing(border - 1, [0])) == (1.0, 0.0)
    # ... with ours it is a coin, and one person moves it by epsilon's share.
    ratio = passing(border, drawn) / passing(border - 1, drawn)
    assert 1 < ratio <= math.exp(1 / float(scale)) * 1.1


# -- coded groups


def test_coded_groups_of_one_run_are_refused_before_any_token() -> None:
    # Six cells, one per bit of a person's number: the hits per cell would spell out who matched.
    terms = sum_terms(min_group=5)
    engine = engine_for(terms.suite)
    persons = [person(number) for number in range(1, 64)]
    members = [(bit, 0, [persons[n - 1] for n in range(1, 64) if n >> bit & 1]) for bit in range(6)]
    coded = MemoryGroupSet(
        terms, randomness_for(G, terms), engine, [OwnCell((str(bit),), 32, "") for bit in range(6)], members
    )
    values = MemoryValueSet(
        terms, randomness_for(V, terms), engine, [(each, [(0, (), 0)], ()) for each in persons[:20]]
    )
    talk = SumConversation(Setting(terms, (values, coded)).part(V), Setting(terms, (values, coded)).part(G))
    with pytest.raises(PeerViolation, match="129 of its set are copies"):
        talk.run()
    assert talk.failed is V
    assert not any(getattr(each, "stream", None) is SumStream.GROUP_TOKENS for _, each in talk.said)


def test_coded_groups_over_several_runs_give_counts_that_many_audiences_have() -> None:
    # One run per bit, two cells each: all that is learned is how many matched have the bit. 64 persons, 20 of them
    # matched: 6 counts leave the attacker with far more audiences than it could try.
    draw = random.Random(4)
    matched = set(draw.sample(range(64), 20))
    counts = [sum(n >> bit & 1 for n in matched) for bit in range(6)]
    other = next(
        swapped
        for one, two in itertools.product(sorted(matched), range(64))
        for three, four in itertools.product(sorted(matched - {one}), range(64))
        if len(swapped := (matched - {one, three}) | {two, four}) == 20
        and swapped != matched
        and [sum(n >> bit & 1 for n in swapped) for bit in range(6)] == counts
    )
    assert other != matched
    # Nor does a run tell which persons of a unit matched, or which of the partner's rows they were in the last one.
    seen = []
    for contract in (b"\1" * 32, b"\2" * 32):
        terms = sum_terms(contract=contract, min_group=1)
        where = Setting(terms, world_of(terms, [CellPlan(40, 20, 20)], others=20)).recorded()
        part = played(where, V, where.scripts[V]).part
        assert isinstance(part, GroupHolder)
        _, groups = where.sets
        assert isinstance(groups, MemoryGroupSet)
        found = part._join.partners()
        # Taking the tokens to come back in the order of the points names half of them right, as any guess does.
        guessed = {int(groups.origin[place]) for place, row in enumerate(found) if row >= 0}
        assert len(guessed) == 20
        assert 4 <= len(guessed & set(range(20))) <= 16
        seen.append({int(row) for row in found if row >= 0})
    assert seen[0] != seen[1]
    assert 4 <= len(seen[0] & seen[1]) <= 16


# -- weights: the value holder's slots as a covert channel


def marked(where: Setting, marks: Sequence[int]) -> Script:
    """Return the script of a value holder that encrypts ``marks``, by sending position, instead of outcomes."""
    batch = paillier().encrypt(key(), list(marks), STREAM_KEY, 0)
    told = [batch[start : start + 512] for start in range(0, len(batch), 512)]
    return retold(where, SumStream.VALUE_SUMS, lambda _: told)


def rows_in(where: Setting, cell: int) -> set[int]:
    """Return the sending positions of the matched persons of ``cell``."""
    values, _ = where.sets
    assert isinstance(values, MemoryValueSet)
    first = sum(plan.hits for plan in CELLS[:cell])
    wanted = set(range(first, first + CELLS[cell].hits))
    return {position for position, index in enumerate(values.origin.tolist()) if index in wanted}


def test_marks_in_the_slots_name_as_many_rows_as_the_slots_have_bits() -> None:
    # A value holder that encrypts a bit per row instead of an outcome reads off who is in a cell. Nothing in the
    # protocol sees it; the replay of its seed and input does. It gets the declared bits, and not more.
    where = setting()
    layout = where.layout
    width = layout.count_bits + layout.value_bits
    rows = 32
    assert rows <= width
    script = marked(where, [1 << row for row in range(rows)])
    play = played(where, V, script[: script.index(single(where, Verdict))])
    (sums,) = [each for each in play.said if isinstance(each, CellSums)]
    # The counts' bits are clear at once ...
    plain = paillier().decrypt(key(), sums.ciphertexts)[0]
    clear = {row for row in range(layout.count_bits) if plain >> row & 1}
    assert clear == {row for row in rows_in(where, 0) if row < layout.count_bits}
    # ... those of the values once it says that the cell passes, which only it can know.
    verdict = dataclasses.replace(single(where, Verdict), passes=(True,) * 5, joint=(False,))
    (openings,) = [each for each in play.part.receive(verdict) if isinstance(each, Openings)]
    masked = plain >> layout.count_bits
    region = (masked - int.from_bytes(openings.openings[0].mask, "big")) % (1 << layout.value_bits)
    named = clear | {row for row in range(layout.count_bits, rows) if region >> row - layout.count_bits & 1}
    assert named == rows_in(where, 0)


def test_marks_above_the_slots_name_nobody() -> None:
    # There is room for 1,900 bits above the last slot: without a cover over all of it a run would name as many rows.
    where = setting()
    layout = where.layout
    top = layout.block + MASK_BITS + 8
    script = marked(where, [1 << top + row for row in range(32)])
    play = played(where, V, script[: script.index(single(where, Verdict))])
    (sums,) = [each for each in play.said if isinstance(each, CellSums)]
    plains = paillier().decrypt(key(), sums.ciphertexts)
    stream = KeyStream(stream_key(randomness_for(G, where.terms), LABEL_COVER))
    told = sum(1 << row for row in rows_in(where, 0))
    # The marks are in there, and only the group holder's mask tells them from any others.
    assert plains[0] - cover(layout, stream, 0).mask == told << top
    assert plains[0] >> top & (1 << 32) - 1 != told
    # As far as it can be measured: what is seen there is uniform, marks or none.
    for marks in (0, told, (1 << 32) - 1):
        seen = [
            ((marks << top) + cover(layout, draws_from(9), index).mask) >> top & (1 << 32) - 1
            for index in range(2_000)
        ]
        ones = np.array([[value >> bit & 1 for bit in range(32)] for value in seen]).mean(axis=0)
        assert abs(ones - 0.5).max() < 0.06  # 5.4 standard deviations


@pytest.mark.parametrize("days", [1, 14])
def test_the_cover_leaves_a_handful_of_bits_beyond_the_counts(days: int) -> None:
    # Whatever a value holder encrypts, of all 2,048 bits it reads in clear those of the target's counts, the carries
    # behind a cover's end, and the top bits that no cover may reach because a sum must not pass n / 2.
    terms = sum_terms(values=(AMOUNT,), window=WindowTerms(7) if days > 1 else None)
    layout = terms.layout(rows=1_000, days=days)
    covers = [cover(layout, draws_from(1), index).mask for index in range(3_000)]
    ones = np.array([[mask >> bit & 1 for bit in range(2_047)] for mask in covers]).mean(axis=0)
    uncovered = [bit for bit in range(2_047) if abs(ones[bit] - 0.5) > 0.06]
    assert len(uncovered) <= layout.count_bits + 6
    below = layout.block * (layout.days_per_ciphertext - 1)
    counts = set(range(below + layout.guard, below + layout.guard + layout.count_bits))
    assert counts <= set(uncovered)


# -- the group holder's side of it


def test_one_row_counted_many_times_passes_every_check_and_is_what_a_replay_convicts() -> None:
    # A group holder that deviates sends a multiple of one row as a cell's sum: thresholds and dominance see six
    # persons of the same amount. No check on the wire can tell; the cell sums that its seed and input give can.
    where = setting(G)
    layout, sums = where.layout, single(where, CellSums)
    values, _ = where.sets
    assert isinstance(values, MemoryValueSet)
    row = next(position for position, index in enumerate(values.origin.tolist()) if index == 2)
    engine, public = paillier(), key().public
    rows = b"".join(elements(where, SumStream.VALUE_SUMS))
    six = engine.add(public, [rows[row * 512 : row * 512 + 512] * 6])
    own = cover(layout, KeyStream(StreamKey(b"z" * 32)), 0)
    covered = engine.add_plain(public, six, [own.mask])
    script = replaced(
        where.scripts[G],
        lambda each: each is sums,
        lambda _: [dataclasses.replace(sums, ciphertexts=covered + sums.ciphertexts[512:])],
    )
    play = Play(where.part(V))
    with pytest.raises(PeerViolation, match="transcript"):  # the script's last word is that of the honest run
        play.hear(script)
    (table,) = [each for each in play.said if isinstance(each, SumTable)]
    region = int.from_bytes(table.rows[0].region, "big")
    conversions, amount, squares = open_values(layout, Covered((), region), own.opening)
    assert (conversions, amount, squares) == (6, 6 * 102, 6 * 102**2)
    # The replay: seeds and inputs give these bytes and no others.
    again = played(where, V, where.scripts[V])
    assert sums in again.said


# -- re-randomisation


def test_a_sum_that_is_not_rerandomised_shows_its_rows_and_one_that_is_does_not() -> None:
    engine, public = paillier(), key().public
    n = mpz(public.n)
    batch = engine.encrypt(key(), [5, 6, 7, 8], STREAM_KEY, 10)
    rows = decode(public, batch)
    chosen = (0, 2, 3)
    summed = engine.add(public, [b"".join(batch[i * 512 : i * 512 + 512] for i in chosen)])
    covered = engine.add_plain(public, summed, [123_456_789])

    def search(sent: bytes) -> list[tuple[int, ...]]:
        """Return the subsets that the sum can be of: adding a plain number changes nothing modulo n."""
        (number,) = decode(public, sent)
        found = []
        for size in range(5):
            for subset in itertools.combinations(range(4), size):
                product = math.prod([rows[i] for i in subset], start=mpz(1))
                if number * gmpy2.invert(product, n) % n == 1:
                    found.append(subset)
        return found

    assert search(covered) == [chosen]
    assert search(engine.rerandomise(public, covered, StreamKey(b"r" * 32), 0)) == []


def test_no_sum_that_is_sent_is_a_product_of_rows() -> None:
    where = setting()
    public, sums = key().public, single(where, CellSums)
    n = mpz(public.n)
    rows = decode(
        public,
        b"".join(elements(where, SumStream.VALUE_SUMS)),
    )
    for place, number in zip(sums.places, decode(public, sums.ciphertexts), strict=True):
        members = {place} if place != REST else {2, 3}
        right = [rows[row] for cell in members for row in rows_in(where, cell)]
        assert number * gmpy2.invert(math.prod(right, start=mpz(1)), n) % n != 1


# -- overflow


@pytest.mark.parametrize("sign", ["largest", "smallest"])
def test_everybody_at_the_bounds_reaches_no_neighbour(sign: str) -> None:
    column, small = ValueColumn("amount", -4_000_000, 5_000_000), ValueColumn("fee", -1, 1)
    terms = lying_terms(values=(column, small), max_rows=4)
    bound = [each.high if sign == "largest" else each.low for each in (column, small)]
    people: list[Person] = [(person(n), [(0, bound, 0)] * 4, ()) for n in range(20)]
    engine = engine_for(terms.suite)
    sets = (
        MemoryValueSet(terms, randomness_for(V, terms), engine, people),
        MemoryGroupSet(
            terms,
            randomness_for(G, terms),
            engine,
            [OwnCell(("all",), 20, "")],
            [(0, 0, [who for who, _, _ in people])],
        ),
    )
    where = Setting(terms, sets).recorded()
    for role in SumRole:
        (cell,) = result_of(where, role).cells
        assert cell.figures == {
            "matched": 20,
            "converters": 20,
            "conversions": 80,
            "sum:amount": 80 * bound[0],
            "square:amount": 20 * (4 * bound[0]) ** 2,
            "sum:fee": 80 * bound[1],
            "square:fee": 20 * 16,
        }


def test_a_value_beyond_its_bound_is_never_encrypted() -> None:
    terms = lying_terms(max_rows=1)
    people: list[Person] = [(person(n), [(0, (1_001 if n == 7 else 1,), 0)], ()) for n in range(20)]
    engine = engine_for(terms.suite)
    own = MemoryValueSet(terms, randomness_for(V, terms), engine, people)
    where = Setting(terms, (own, setting().sets[1]))
    part = where.part(V)
    list(part.start())
    with pytest.raises(UsageError, match="'sum:amount' lies outside its declared bounds") as raised:
        list(part.receive(setting().scripts[G][0]))
    assert "1001" not in str(raised.value)


# -- what a layout promises


def test_a_mask_is_as_long_as_the_values_that_it_hides() -> None:
    layout: Layout = setting().layout
    for opening in single(setting(), Openings).openings:
        assert len(opening.mask) == region_bytes(layout)
