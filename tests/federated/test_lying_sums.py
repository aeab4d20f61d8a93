"""One test per lie about a grouped sum: the honest side notices, says what it was, closes, and has told nothing."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.holder import Holder
from federated.keys import PaillierPublicKey
from federated.memory import MemoryGroupSet
from federated.messages import (
    CellSums,
    GroupAnnounce,
    Nonce,
    Opening,
    Openings,
    Row,
    SumMessage,
    SumStream,
    SumTable,
    ValueAnnounce,
    Verdict,
    fingerprint,
)
from federated.ports import OwnCell, Tag, Unit
from federated.proof import prove_modulus
from federated.terms import SumRole
from psi.errors import PeerViolation
from psi.machine import State
from psi.messages import Announce, Chunk, Finish, Stream, StreamEnd, Tier, TokenCommitment
from psi.points import LOW_ORDER_X
from psi.role import MAX_COPIES
from psi.terms import Role
from tests.federated.keys_for_tests import complete, prime, private_key
from tests.federated.lying import CELLS as PLAN
from tests.federated.lying import (
    JOINT,
    REST,
    G,
    Play,
    Script,
    Setting,
    V,
    arms_setting,
    assert_caught,
    assert_closed,
    chunk,
    elements,
    end,
    is_a,
    lying_terms,
    named,
    proofs_made_once,  # noqa: F401  (a fixture for all tests here)
    replaced,
    retold,
    setting,
    shape,
    single,
    world_of,
)
from tests.federated.lying import CellPlan as Plan
from tests.federated.pair import engine_for, paillier, randomness_for, sum_terms
from tests.psi.pair import party, terms_for

Elements = list[bytes]
BOTH = setting
every_liar = pytest.mark.parametrize("liar", [V, G], ids=["value holder", "group holder"])
POINTS = {V: "Chunk VALUE_POINTS", G: "Chunk GROUP_POINTS"}
FIRST = {V: is_a(ValueAnnounce), G: is_a(GroupAnnounce)}


def changed(where: Setting, wanted: type, **changes: Any) -> Script:
    """Return the script of the side that says ``wanted``, with ``changes`` made to that message."""
    (liar,) = [role for role in SumRole if any(isinstance(each, wanted) for each in where.scripts[role])]
    return replaced(where.scripts[liar], is_a(wanted), lambda each: [dataclasses.replace(each, **changes)])


# -- the announcement


@every_liar
@pytest.mark.parametrize("contract", [bytes(32), b"\1" * 32], ids=["none", "another"])
def test_another_contract(liar: SumRole, contract: bytes) -> None:
    where = setting()
    script = replaced(
        where.scripts[liar], FIRST[liar], lambda each: [dataclasses.replace(each, contract=contract)]
    )
    assert_caught(where, liar, script, "another contract", before=POINTS[liar.other])


@every_liar
def test_both_sides_in_the_same_role(liar: SumRole) -> None:
    where = setting()
    assert_caught(where, liar, where.scripts[liar.other], "same role as ours", before=POINTS[liar.other])


@every_liar
def test_a_second_announcement_that_differs(liar: SumRole) -> None:
    where = setting()
    script = replaced(
        where.scripts[liar],
        FIRST[liar],
        lambda each: [each, dataclasses.replace(each, seed_commitment=bytes(32))],
    )
    before = "CellSums" if liar is V else "Chunk GROUP_TOKENS"
    assert_caught(where, liar, script, "sent announce while the protocol was at nonce", before=before)


def against(changes: dict[str, Any]) -> Setting:
    """Return the usual setting under narrower terms, with the usual scripts."""
    return dataclasses.replace(setting(), terms=dataclasses.replace(setting().terms, **changes))


def test_more_persons_than_the_contract_allows() -> None:
    where = against({"group_limit": 52})
    assert_caught(
        where, G, where.scripts[G], "53 persons; the contract allows 52", before="Chunk VALUE_POINTS"
    )
    where = against({"value_limit": 31})
    assert_caught(
        where, V, where.scripts[V], "32 persons; the contract allows 31", before="Chunk GROUP_POINTS"
    )


def test_fewer_persons_than_min_group() -> None:
    for liar, message in ((V, {"persons": 4}), (G, {"units": (Unit(0, 0, 4),), "cell_scopes": (0,)})):
        where = setting()
        wanted = ValueAnnounce if liar is V else GroupAnnounce
        script = changed(where, wanted, **message)
        assert_caught(where, liar, script, "fewer than min_group = 5 persons", before=POINTS[liar.other])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"units": (Unit(0, 0, 49), Unit(1, 0, 4)), "cell_scopes": (0, 0)},
            "a unit of fewer than min_group = 5",
        ),
        ({"days": 2}, "exposure days, which the contract does not have"),
        ({"first_day": 19_000}, "exposure days, which the contract does not have"),
        ({"cell_scopes": (0, 0, 0, 0, 0, 1)}, "several totals, which only arms have"),
        ({"cell_scopes": (0, 1, 2, 3, 4, 5)}, "several totals, which only arms have"),
    ],
    ids=["small unit", "days", "first day", "two totals", "a total for each cell"],
)
def test_units_that_the_contract_does_not_allow(changes: dict[str, Any], sentence: str) -> None:
    where = setting()
    assert_caught(where, G, changed(where, GroupAnnounce, **changes), sentence, before="Chunk VALUE_POINTS")


@cache
def profile(**changes: Any) -> Setting:
    """Return a setting in which the value holder has tags."""
    terms = lying_terms(values=(), customers=True, tag_columns=("age", "city"), **changes)
    return Setting(terms, world_of(terms, PLAN[:2], tags=("30", "Wuhan"))).recorded()


@pytest.mark.parametrize(
    "tags",
    [
        [Tag("income", "high")],
        [Tag("city", "Wuhan"), Tag("age", "30")],
        [Tag("age", "30"), Tag("city", "Wuhan"), Tag("age", "40")],
    ],
    ids=["unknown", "out of order", "mixed"],
)
def test_tags_that_the_contract_does_not_name(tags: list[Tag]) -> None:
    where = profile()
    script = changed(where, ValueAnnounce, tags=tuple(tags))
    assert_caught(where, V, script, "tags that the contract does not name", before="Chunk GROUP_POINTS")


def test_tags_where_the_contract_has_none() -> None:
    script = changed(setting(), ValueAnnounce, tags=(Tag("age", "30"),))
    assert_caught(setting(), V, script, "tags that the contract does not name", before="Chunk GROUP_POINTS")


def test_more_tags_than_a_plaintext_has_room_for() -> None:
    where = profile(epsilon=Fraction(1, 100))
    tags = tuple(Tag("age", str(number)) for number in range(128))
    script = changed(where, ValueAnnounce, tags=tags)
    assert_caught(where, V, script, "more tags than the contract's key", before="Chunk GROUP_POINTS")


# -- the key


SMOOTH, _ = complete(251)
BAD_KEYS = {
    "even": (private_key().public.n - 1, "is even"),
    "prime": (prime(2048), "is a prime"),
    "square": (prime(1024) ** 2, "is a square or another perfect power"),
    "a small factor": (SMOOTH, "has a prime factor below"),
    "short": (private_key().public.n >> 8, "has 255 bytes"),
    "leading zero": (private_key().public.n >> 1 | 1, "has 2047 bits"),
    "somebody else's": (private_key(seed=2).public.n, "proof .* does not hold"),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_modulus_that_is_not_well_formed(name: str) -> None:
    n, sentence = BAD_KEYS[name]
    modulus = n.to_bytes(255 if name == "short" else 256, "big")
    where = setting()
    error = assert_caught(
        where, V, changed(where, ValueAnnounce, modulus=modulus), sentence, before="Chunk GROUP_POINTS"
    )
    assert str(n) not in str(error)


@pytest.mark.parametrize(
    ("proof", "sentence"),
    [
        (bytes(2048), "out of range at place 0"),
        (b"\xff" * 2048, "out of range at place 0"),
        (b"\0" * 255 + b"\1" + b"\0" * 1792, "does not hold at place 0"),
        (b"x", "has 1 bytes"),
    ],
)
def test_a_proof_that_does_not_hold(proof: bytes, sentence: str) -> None:
    where = setting()
    script = changed(where, ValueAnnounce, proof=proof)
    assert_caught(where, V, script, f"proof .*{sentence}", before="Chunk GROUP_POINTS")


def test_the_proof_of_another_contract() -> None:
    where = setting()
    proof = prove_modulus(private_key(), b"\7" * 32)
    assert_caught(
        where,
        V,
        changed(where, ValueAnnounce, proof=proof),
        "does not hold at place 0",
        before="Chunk GROUP_POINTS",
    )


# -- the nonce


@every_liar
def test_data_before_the_nonce(liar: SumRole) -> None:
    where = setting()
    script = replaced(where.scripts[liar], is_a(Nonce), lambda _: ())
    before = "CellSums" if liar is V else "Chunk GROUP_TOKENS"
    assert_caught(where, liar, script, "chunk while the protocol was at nonce", before=before)


@every_liar
def test_a_second_nonce_once_ours_is_known(liar: SumRole) -> None:
    where = setting()
    script = replaced(where.scripts[liar], is_a(Nonce), lambda each: [each, Nonce(each.session, b"\7" * 32)])
    before = "CellSums" if liar is V else "Chunk GROUP_TOKENS"
    assert_caught(where, liar, script, "sent nonce while the protocol was at points", before=before)


# -- streams: order, lengths, ends; the same for all four

BEHIND = {
    SumStream.VALUE_POINTS: "CellSums",
    SumStream.VALUE_SUMS: "CellSums",
    SumStream.GROUP_TOKENS: "CellSums",
    SumStream.GROUP_POINTS: "Chunk GROUP_TOKENS",
}
every_stream = pytest.mark.parametrize("stream", list(SumStream), ids=lambda each: each.name.lower())


def caught_in(stream: SumStream, script: Script, sentence: str) -> None:
    """Check that a lie in ``stream`` is noticed before what follows from the stream is released."""
    assert_caught(setting(), stream.sent_by, script, sentence, before=BEHIND[stream])


def last(stream: SumStream) -> int:
    """Return the number of the last chunk."""
    return shape(setting(), stream).chunks - 1


@every_stream
def test_a_gap(stream: SumStream) -> None:
    script = replaced(setting().scripts[stream.sent_by], chunk(stream, 0), lambda _: ())
    caught_in(stream, script, f"chunk 1 of {stream.name.lower()} instead of 0")


@every_stream
def test_another_chunk_under_a_number_that_was_used(stream: SumStream) -> None:
    def twice(each: Chunk) -> Iterable[SumMessage]:
        return each, dataclasses.replace(each, data=bytes([each.data[0] ^ 1]) + each.data[1:])

    script = replaced(setting().scripts[stream.sent_by], chunk(stream, 0), twice)
    caught_in(stream, script, "chunk 0 of .* instead of 1|shares a factor|low order|no .* point")


@every_stream
@pytest.mark.parametrize("longer", [-1, 1, 512])
def test_a_chunk_of_another_length(stream: SumStream, longer: int) -> None:
    def resized(each: Chunk) -> Iterable[SumMessage]:
        data = (each.data + bytes(512))[: len(each.data) + longer]
        return (dataclasses.replace(each, data=data),)

    script = replaced(setting().scripts[stream.sent_by], chunk(stream, 1), resized)
    caught_in(stream, script, f"Chunk 1 of {stream.name.lower()} has [0-9]+ bytes, not the [0-9]+")


@every_stream
def test_a_wrong_count(stream: SumStream) -> None:
    count = shape(setting(), stream).elements
    for told in (count - 1, count + 1, 1):
        (said,) = [each for each in setting().scripts[stream.sent_by] if end(stream)(each)]
        assert isinstance(said, StreamEnd)
        instead = dataclasses.replace(said, count=told)
        script = [instead if each is said else each for each in setting().scripts[stream.sent_by]]
        caught_in(stream, script, f"ended {stream.name.lower()} with {told} elements")


@every_stream
def test_a_wrong_digest(stream: SumStream) -> None:
    script = replaced(
        setting().scripts[stream.sent_by],
        end(stream),
        lambda each: [dataclasses.replace(each, digest=bytes(32))],
    )
    caught_in(stream, script, f"digest of {stream.name.lower()} does not fit")


@every_stream
def test_a_chunk_replaced_on_the_way(stream: SumStream) -> None:
    size = shape(setting(), stream).element_bytes

    def swapped(each: Chunk) -> Iterable[SumMessage]:
        return (dataclasses.replace(each, data=each.data[size:] + each.data[:size]),)

    script = replaced(setting().scripts[stream.sent_by], chunk(stream, 0), swapped)
    caught_in(stream, script, f"digest of {stream.name.lower()} does not fit")


@every_stream
def test_an_end_before_the_end(stream: SumStream) -> None:
    short = [each for each in setting().scripts[stream.sent_by] if not chunk(stream, last(stream))(each)]
    caught_in(
        stream, short, f"ended {stream.name.lower()} with [0-9]+ elements after sending 16|after sending 48"
    )


@every_stream
def test_more_than_announced(stream: SumStream) -> None:
    def more(each: Chunk) -> Iterable[SumMessage]:
        return each, dataclasses.replace(each, sequence=each.sequence + 1)

    script = replaced(setting().scripts[stream.sent_by], chunk(stream, last(stream)), more)
    caught_in(stream, script, f"more of {stream.name.lower()} than the [0-9]+ it announced")


@every_stream
def test_a_chunk_after_the_end(stream: SumStream) -> None:
    def more(each: StreamEnd) -> Iterable[SumMessage]:
        return each, Chunk(each.session, stream, last(stream) + 1, b"x")

    script = replaced(setting().scripts[stream.sent_by], end(stream), more)
    told = {SumStream.GROUP_POINTS: "Verdict", SumStream.GROUP_TOKENS: "Openings"}.get(stream, "CellSums")
    assert_caught(setting(), stream.sent_by, script, "chunk while the protocol was at", before=told)


@every_stream
def test_the_partners_stream_sent_back(stream: SumStream) -> None:
    liar = stream.sent_by.other
    foreign = next(each for each in setting().scripts[stream.sent_by] if chunk(stream, 0)(each))
    script = replaced(setting().scripts[liar], is_a(Nonce), lambda each: [each, foreign])
    before = "CellSums" if liar is V else "Chunk GROUP_TOKENS"
    assert_caught(setting(), liar, script, "chunk while the protocol was at points", before=before)


# -- points


def encoded(value: int) -> bytes:
    """Write ``value`` little-endian."""
    return value.to_bytes(32, "little")


BAD_POINTS = [*map(encoded, LOW_ORDER_X), encoded(2**255 - 19), encoded(2**255 - 10), b"\xff" * 32]


@pytest.mark.parametrize("stream", [SumStream.VALUE_POINTS, SumStream.GROUP_POINTS], ids=lambda s: s.name)
@pytest.mark.parametrize("bad", BAD_POINTS, ids=range(len(BAD_POINTS)))
def test_a_point_that_must_not_be_masked(stream: SumStream, bad: bytes) -> None:
    script = retold(setting(), stream, lambda e: [*e[:18], bad, *e[19:]])
    error = assert_caught(
        setting(), stream.sent_by, script, "Element 2 .*(low order|canonical)", before=BEHIND[stream]
    )
    assert bad.hex() not in str(error)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: [*e[:-1], e[0]],
        lambda e: [e[0]] * len(e),
        lambda e: [*e[:16], *e[:16], *e[32:]],
    ],
    ids=["one person in two cells", "one person everywhere", "a chunk twice"],
)
def test_one_person_in_several_cells(change: Callable[[Elements], Elements]) -> None:
    # SECURITY 1: nine coded groups would name everybody. The value holder returns no token.
    script = retold(setting(), SumStream.GROUP_POINTS, change)
    assert_caught(
        setting(), G, script, "repeated elements: [0-9]+ of its set are copies", before="Chunk GROUP_TOKENS"
    )


def test_one_row_several_times() -> None:
    script = retold(setting(), SumStream.VALUE_POINTS, lambda e: [*e[:-1], e[0]])
    assert_caught(setting(), V, script, "repeated elements: 0 .* and 1 of its own", before="CellSums")


@pytest.mark.parametrize(
    ("change", "copies"),
    [(lambda e: [*e[:-1], e[0]], 1), (lambda e: [e[0]] * len(e), 52)],
    ids=["one copy", "all copies"],
)
def test_returned_tokens_that_are_copies(change: Callable[[Elements], Elements], copies: int) -> None:
    script = retold(setting(), SumStream.GROUP_TOKENS, change)
    assert_caught(setting(), V, script, f"{copies} of our returned", before="CellSums")


@pytest.mark.parametrize("how", ["in order", "shuffled", "one of them"])
def test_our_own_points_sent_back(how: str) -> None:
    ours = [point[:16] for point in elements(setting(), SumStream.GROUP_POINTS)]

    def change(tokens: Elements) -> Elements:
        if how == "one of them":
            return [*tokens[:20], ours[3], *tokens[21:]]
        return random.Random(3).sample(ours, len(ours)) if how == "shuffled" else ours

    script = retold(setting(), SumStream.GROUP_TOKENS, change)
    assert_caught(setting(), V, script, "our own points without masking", before="CellSums")


@pytest.mark.parametrize(
    "change",
    [lambda e: e[:-1], lambda e: e[:16], lambda e: [*e, b"x" * 16]],
    ids=["short", "a subset", "long"],
)
def test_another_number_of_tokens(change: Callable[[Elements], Elements]) -> None:
    script = retold(setting(), SumStream.GROUP_TOKENS, change)
    assert_caught(
        setting(), V, script, "bytes, not the|16 elements after sending 16 of 53", before="CellSums"
    )


def test_our_own_points_as_the_partners_set_bring_nothing() -> None:
    # Nothing tells them from an honest set; but they lack one mask, so that they match nobody.
    where = setting()
    ours = elements(where, SumStream.GROUP_POINTS)
    script = retold(where, SumStream.VALUE_POINTS, lambda e: ours[: len(e)])
    play = Play(where.part(G)).hear(script[: script.index(single(where, Verdict))])
    (sums,) = [each for each in play.said if isinstance(each, CellSums)]
    assert sums.places == ()


# -- ciphertexts


def bad_ciphertexts() -> dict[str, bytes]:
    """Return what is no encryption."""
    p, _ = private_key().primes
    n = private_key().public.n
    numbers = {
        "zero": 0,
        "n": n,
        "p": int(p),
        "7p": 7 * int(p),
        "n squared": n * n,
        "the largest": 2**4096 - 1,
    }
    return {name: number.to_bytes(512, "big") for name, number in numbers.items()}


@pytest.mark.parametrize("name", bad_ciphertexts())
def test_a_row_that_is_no_ciphertext(name: str) -> None:
    script = retold(setting(), SumStream.VALUE_SUMS, lambda e: [*e[:20], bad_ciphertexts()[name], *e[21:]])
    error = assert_caught(
        setting(), V, script, "Ciphertext 20 (shares a factor|is zero|is out of range)", before="CellSums"
    )
    assert bad_ciphertexts()[name].hex() not in str(error)


@pytest.mark.parametrize("name", bad_ciphertexts())
def test_a_sum_that_is_no_ciphertext(name: str) -> None:
    where, sums = setting(), single(setting(), CellSums)
    data = sums.ciphertexts[:512] + bad_ciphertexts()[name] + sums.ciphertexts[1024:]
    script = changed(where, CellSums, ciphertexts=data)
    assert_caught(
        where, G, script, "Ciphertext 1 (shares a factor|is zero|is out of range)", before="Verdict"
    )


# -- the sums


def plus(batch: bytes, place: int, plain: int) -> bytes:
    """Add a plain number to one ciphertext of ``batch``."""
    public = private_key().public
    own = paillier().add_plain(public, batch[place * 512 : place * 512 + 512], [plain])
    return batch[: place * 512] + own + batch[place * 512 + 512 :]


@pytest.mark.parametrize(
    ("places", "count", "sentence"),
    [
        ((0, 1, 4, 5, REST), 4, "another number of sums than it said"),
        ((0, 1, 4, 5), 5, "another number of sums than it said"),
        ((0, 1, 4, 5, JOINT), 5, "a cell that it had not announced"),
        ((0, 1, 4, 5, 9_999), 5, "a cell that it had not announced"),
        ((0, 1, 2, 3, REST), 5, "0"),
        ((0, 1, 2, 4, REST), 5, "0"),
        ((0, 1, 2, 4, 5, REST), 6, "a scope's rest of fewer than two cells"),
        ((0, 1, 2, 3, 4, 5, REST), 7, "a scope's rest of fewer than two cells"),
    ],
)
def test_sums_of_other_places(places: tuple[int, ...], count: int, sentence: str) -> None:
    where, sums = setting(), single(setting(), CellSums)
    data = (sums.ciphertexts * 2)[: count * 512]
    script = changed(where, CellSums, places=places, ciphertexts=data)
    if sentence == "0":
        # Sums of other cells than those that they were made of can't be told; the openings then don't fit.
        script = script[: script.index(single(where, Openings))]
        play = Play(where.part(V)).hear(script)
        assert not any(isinstance(each, SumTable | Finish) for each in play.said)
        return
    assert_caught(where, G, script, sentence, before="Verdict")


def offset(where: Setting, name: str) -> int:
    """Return the lowest bit of a field in a sum without window."""
    names = [each.name for each in (*where.layout.counts, *where.layout.values)]
    return list(where.layout.offsets())[names.index(name)]


@pytest.mark.parametrize(
    ("field", "by"),
    [("matched", 5), ("matched", -1), ("matched", -6), ("converters", 1), ("converters", -7)],
    ids=["more than persons", "fewer than converters", "none", "more than matched", "negative"],
)
def test_counts_that_cannot_be(field: str, by: int) -> None:
    where, sums = setting(), single(setting(), CellSums)
    data = plus(sums.ciphertexts, 0, by << offset(where, field))
    script = changed(where, CellSums, ciphertexts=data)
    assert_caught(where, G, script, "figures of a cell cannot be", before="Verdict")


def test_sums_in_another_order_are_no_message() -> None:
    sums = single(setting(), CellSums)
    with pytest.raises(PeerViolation, match="sums out of order"):
        dataclasses.replace(sums, places=sums.places[::-1])


def test_a_sum_of_nothing_is_a_sum() -> None:
    # An honest partner may have no cell that passes: then nobody reads anything.
    where = setting()
    script = changed(where, CellSums, places=(), ciphertexts=b"")
    play = Play(where.part(V)).hear(script[: script.index(single(where, Openings))])
    verdict = next(each for each in play.said if isinstance(each, Verdict))
    assert (verdict.passes, verdict.joint) == ((), (False,))


def unheard(where: Setting, liar: SumRole, script: Script) -> Holder:
    """Let the honest partner of ``liar`` hear ``script`` while nothing that it answers has left yet."""
    part = where.part(liar.other)
    list(part.start())
    for message in script:
        part.receive(message)
    return part


def test_sums_before_our_rows_are_out() -> None:
    # Ciphertexts are made as they are sent, with a key that is destroyed once the sums are read.
    where, script = setting(), setting().scripts[G]
    place = script.index(single(where, CellSums))
    part = unheard(where, G, script[:place])
    with pytest.raises(PeerViolation, match="before it had heard all"):
        part.receive(script[place])
    assert_closed(part, script)


def test_tokens_before_our_points_are_out() -> None:
    where, script = setting(), setting().scripts[V]
    place = script.index(single(where, Verdict)) - 1
    part = unheard(where, V, script[:place])
    with pytest.raises(PeerViolation, match="before it had heard all"):
        part.receive(script[place])
    assert_closed(part, script)


# -- the verdict


@pytest.mark.parametrize(
    ("passes", "joint", "sentence"),
    [
        ((True,) * 4, (False,), "verdict is on other sums"),
        ((True,) * 6, (False,), "verdict is on other sums"),
        ((), (False,), "verdict is on other sums"),
        ((True,) * 5, (False, False), "verdict is on other sums"),
        ((True,) * 5, (True,), "joint sum of fewer than two cells"),
        ((False, True, True, True, True), (True,), "joint sum of fewer than two cells"),
        ((True, True, True, True, False), (True,), "joint sum of fewer than two cells"),
    ],
)
def test_a_verdict_that_cannot_be(passes: tuple[bool, ...], joint: tuple[bool, ...], sentence: str) -> None:
    script = changed(setting(), Verdict, passes=passes, joint=joint)
    assert_caught(setting(), V, script, sentence, before="Openings")


def test_the_joint_sum_of_one_cell_in_its_arm() -> None:
    where = arms_setting()
    script = changed(where, Verdict, passes=(False, False), joint=(True, True))
    assert_caught(where, V, script, "joint sum of fewer than two cells", before="Openings")


# -- the openings


def opened(where: Setting, change: Callable[[list[Opening]], Iterable[Opening]], **others: Any) -> Script:
    """Return the group holder's script with other openings."""
    openings = list(single(where, Openings).openings)
    return changed(where, Openings, openings=tuple(change(openings)), **others)


def with_first(**changes: Any) -> Callable[[list[Opening]], Iterable[Opening]]:
    """Change the first opening."""
    return lambda all_: [dataclasses.replace(all_[0], **changes), *all_[1:]]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda all_: all_[1:], "opened other sums than those that passed"),
        (lambda all_: [], "opened other sums than those that passed"),
        (lambda all_: [*all_[:2], Opening(4, ("cell 4",), 1, all_[0].mask), all_[2]], "opened other sums"),
        (with_first(place=1), None),
        (with_first(mask=b""), "mask of a wrong length"),
        (
            lambda all_: [*all_[:2], dataclasses.replace(all_[2], mask=all_[2].mask + b"\0")],
            "mask of a wrong length",
        ),
        (with_first(mask=b"\xff" * 7), "mask of a wrong length"),
        (with_first(label=("cell 1",)), "other labels than the contract says"),
        (with_first(label=()), "other labels than the contract says"),
        (with_first(label=("cell 0", "x")), "other labels than the contract says"),
        (lambda all_: [*all_[:2], dataclasses.replace(all_[2], label=("x",))], "named a scope's rest"),
    ],
    ids=[
        "one missing",
        "none",
        "one that failed",
        "another place",
        "no mask",
        "long mask",
        "mask out of range",
        "label twice",
        "label too short",
        "label too long",
        "labelled rest",
    ],
)
def test_openings_that_cannot_be(
    change: Callable[[list[Opening]], Iterable[Opening]], sentence: str | None
) -> None:
    where = setting()
    if sentence is None:
        with pytest.raises(PeerViolation, match="openings out of order"):
            opened(where, change)
        return
    assert_caught(where, G, opened(where, change), sentence, before="SumTable")


def test_masks_of_other_cells() -> None:
    where = setting()
    masks = [each.mask for each in single(where, Openings).openings]
    script = opened(
        where,
        lambda all_: [
            dataclasses.replace(all_[0], mask=masks[1]),
            dataclasses.replace(all_[1], mask=masks[0]),
            all_[2],
        ],
    )
    assert_caught(where, G, script, "figures of a cell cannot be", before="SumTable")


@pytest.mark.parametrize("by", [-1, 1, 616, -(6_000 - 614)])
def test_a_mask_that_moves_a_sum_out_of_its_bounds(by: int) -> None:
    # Six persons have 615 together, within 0 to 6,000; and (615 + x)^2 is at most 6 times their squares.
    where = setting()
    own, bits = single(where, Openings).openings[0], where.layout.value_bits
    start = offset(where, "sum:amount") - offset(where, "conversions")
    mask = (int.from_bytes(own.mask, "big") + (by << start)) % (1 << bits)
    script = opened(where, with_first(mask=mask.to_bytes(len(own.mask), "big")))
    if by == 1:
        # One less in all is nothing that a value holder could tell; a partner can lie about its own cells.
        play = Play(where.part(V))
        with pytest.raises(PeerViolation, match="transcript"):
            play.hear(script)
        return
    assert_caught(where, G, script, "cannot be", before="SumTable")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"joint": (None,)}, "opened other totals"),
        ({"joint": ((b"", None),)}, "mask of a wrong length"),
        ({"joint": ((b"\0" * 7, None),)}, "cannot be"),
        ({"scope_names": ("x",)}, "named other totals"),
        ({"joint": (None, None), "scope_names": ("", "x"), "dropped": (0, 0)}, "opened other totals"),
    ],
    ids=["not opened", "no mask", "no mask's mask", "a name", "one more"],
)
def test_totals_that_cannot_be(changes: dict[str, Any], sentence: str) -> None:
    where = setting()
    if "joint" in changes and changes["joint"][0] == (b"\0" * 7, None):
        size = len(single(where, Openings).joint[0][0])
        changes = {"joint": ((bytes(size), None),)}
    assert_caught(where, G, changed(where, Openings, **changes), sentence, before="SumTable")


@pytest.mark.parametrize(
    ("labels", "names", "sentence"),
    [
        ([("test",), ("control",)], ("control", "test"), "another arm than its label says"),
        ([("control",), ("test",)], ("test", "control"), "another arm than its label says"),
        ([("control",), ("control",)], ("control", "test"), "other labels than"),
        ([("control",), ("test",)], ("control", "control"), "named other totals"),
        ([("control",), ("test",)], ("control", "placebo"), "another arm than its label says"),
    ],
)
def test_cells_in_another_arm(labels: list[tuple[str, ...]], names: tuple[str, ...], sentence: str) -> None:
    where = arms_setting()

    def relabelled(all_: list[Opening]) -> Iterable[Opening]:
        return [dataclasses.replace(each, label=label) for each, label in zip(all_, labels, strict=True)]

    assert_caught(where, G, opened(where, relabelled, scope_names=names), sentence, before="SumTable")


# -- the table


def rows(where: Setting, change: Callable[[list[Row]], Iterable[Row]], **others: Any) -> Script:
    """Return the value holder's script with other rows."""
    return changed(where, SumTable, rows=tuple(change(list(single(where, SumTable).rows))), **others)


def first_row(**changes: Any) -> Callable[[list[Row]], Iterable[Row]]:
    """Change the first row."""
    return lambda all_: [dataclasses.replace(all_[0], **changes), *all_[1:]]


def joint_row(where: Setting, **changes: Any) -> Script:
    """Change the joint row."""
    (row,) = single(where, SumTable).joint
    return changed(where, SumTable, joint=(dataclasses.replace(row, **changes),))


ROWS: dict[str, tuple[Callable[[Setting], Script], str]] = {
    "a row less": (lambda w: rows(w, lambda all_: all_[1:]), "other cells than those that passed"),
    "no row": (lambda w: rows(w, lambda all_: []), "other cells than those that passed"),
    "a cell that failed": (
        lambda w: rows(w, lambda all_: [*all_[:2], dataclasses.replace(all_[0], place=4), all_[2]]),
        "other cells",
    ),
    "told and withheld": (
        lambda w: changed(w, SumTable, dominated=(0,)),
        "other cells than those that passed",
    ),
    "too many counts": (lambda w: rows(w, first_row(counts=(6, 6, 0))), "other fields than the contract's"),
    "no counts": (lambda w: rows(w, first_row(counts=())), "other fields than the contract's"),
    "fewer matched": (lambda w: rows(w, first_row(counts=(5, 5))), "other counts than the hits"),
    "more matched": (lambda w: rows(w, first_row(counts=(7, 6))), "other counts than the hits"),
    "more converters": (lambda w: rows(w, first_row(counts=(6, 7))), "cannot be"),
    "negative converters": (lambda w: rows(w, first_row(counts=(6, -1))), "cannot be"),
    "no values": (lambda w: rows(w, first_row(region=b"")), "values of a wrong length"),
    "short values": (
        lambda w: rows(w, lambda all_: [dataclasses.replace(all_[0], region=all_[0].region[1:]), *all_[1:]]),
        "values of a wrong length",
    ),
    "values out of range": (
        lambda w: rows(
            w, lambda all_: [dataclasses.replace(all_[0], region=b"\xff" * len(all_[0].region)), *all_[1:]]
        ),
        "values of a wrong length|cannot be",
    ),
    "values of another cell": (
        lambda w: rows(w, lambda all_: [*all_[:2], dataclasses.replace(all_[2], region=all_[0].region)]),
        "cannot be",
    ),
    "a hidden field that is none": (
        lambda w: rows(w, first_row(hidden=(3,))),
        "other fields than the contract's",
    ),
    "no joint row": (lambda w: changed(w, SumTable, joint=(None, None)), "other totals"),
    "joint row elsewhere": (lambda w: joint_row(w, place=6), "other totals"),
    "joint counts": (lambda w: joint_row(w, counts=(10, 3)), "other counts than the hits"),
    "joint converters": (lambda w: joint_row(w, counts=(11, 12)), "cannot be"),
    "joint values": (
        lambda w: joint_row(w, region=bytes([1] * len(single(w, SumTable).rows[0].region))),
        "cannot be",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_table_that_cannot_be(name: str) -> None:
    script, sentence = ROWS[name]
    assert_caught(setting(), V, script(setting()), sentence, before="Finish")


@pytest.mark.parametrize("name", ["hidden", "hidden jointly", "dominated", "no joint row"])
def test_a_partner_that_does_not_read_cannot_withhold(name: str) -> None:
    where = setting(G)
    table = single(where, SumTable)
    script = {
        "hidden": lambda: rows(where, first_row(hidden=(0,))),
        "hidden jointly": lambda: joint_row(where, hidden=(0,)),
        "dominated": lambda: changed(where, SumTable, rows=table.rows[1:], dominated=(0,)),
        "no joint row": lambda: changed(where, SumTable, joint=(None,)),
    }[name]()
    assert_caught(where, V, script, "cannot have read|other totals", before="Finish")


def test_a_masked_row_of_another_cell() -> None:
    where = setting(G)
    script = rows(where, lambda all_: [dataclasses.replace(all_[0], region=all_[1].region), *all_[1:]])
    assert_caught(where, V, script, "cannot be", before="Finish")


# -- the end


@every_liar
def test_another_transcript(liar: SumRole) -> None:
    where = setting()
    script = changed_finish(where.scripts[liar], bytes(32))
    play = Play(where.part(liar.other))
    with pytest.raises(PeerViolation, match="transcript of this session differs"):
        play.hear(script)
    assert_closed(play.part, script)


def changed_finish(script: Script, transcript: bytes) -> Script:
    """Return ``script`` with another last word."""
    return replaced(script, is_a(Finish), lambda each: [dataclasses.replace(each, transcript=transcript)])


@every_liar
def test_our_own_last_word_sent_back(liar: SumRole) -> None:
    where = setting()
    (own,) = [each for each in where.scripts[liar.other] if isinstance(each, Finish)]
    script = changed_finish(where.scripts[liar], own.transcript)
    play = Play(where.part(liar.other))
    with pytest.raises(PeerViolation, match="transcript of this session differs"):
        play.hear(script)
    assert_closed(play.part, script)


@every_liar
def test_the_last_word_in_place_of_any_other(liar: SumRole) -> None:
    where = setting()
    script = where.scripts[liar]
    for place in range(1, len(script) - 1):
        play = Play(where.part(liar.other))
        with pytest.raises(PeerViolation, match="sent finish while the protocol was at"):
            play.hear([*script[:place], script[-1]])
        assert_closed(play.part, script)


@every_liar
def test_nothing_comes_after_the_end(liar: SumRole) -> None:
    where = setting()
    play = Play(where.part(liar.other)).hear(where.scripts[liar])
    assert play.part.done
    nonce = next(each for each in where.scripts[liar] if isinstance(each, Nonce))
    assert not list(play.part.receive(nonce))  # a copy, which is what resuming brings
    with pytest.raises(PeerViolation, match="sent nonce while the protocol was at done"):
        play.part.receive(dataclasses.replace(nonce, nonce=b"\7" * 32))


@every_liar
def test_a_line_that_falls_silent_gives_no_result(liar: SumRole) -> None:
    where = setting()
    script = where.scripts[liar]
    for heard in range(len(script)):
        play = Play(where.part(liar.other)).hear(script[:heard])
        assert not play.part.done
        with pytest.raises(RuntimeError, match="no result"):
            _ = play.part.result


# -- copies, other sessions, other protocols


@every_liar
def test_copies_without_end(liar: SumRole) -> None:
    where = setting()
    script = [where.scripts[liar][0]] * (MAX_COPIES + 2)
    before = "CellSums" if liar is V else "Chunk GROUP_TOKENS"
    assert_caught(where, liar, script, f"repeated more than {MAX_COPIES:,} messages", before=before)


@cache
def elsewhere(source: str) -> Setting:
    """Return the same data in another job, or in another run with other persons."""
    terms = lying_terms(**({"contract": b"\5" * 32} if source == "another job" else {}))
    return Setting(terms, world_of(terms, PLAN, others=8)).recorded()


@every_liar
@pytest.mark.parametrize("source", ["another job", "another run"])
def test_messages_of_another_session(liar: SumRole, source: str) -> None:
    where = setting()
    own, foreign = where.scripts[liar], elsewhere(source).scripts[liar]
    tried = 0
    for place, message in enumerate(own):
        instead = next((each for each in foreign if type(each) is type(message)), None)
        if place == 0 or instead is None or type(message) is type(own[place - 1]):
            continue
        play = Play(where.part(liar.other))
        with pytest.raises(PeerViolation, match=r"another session|while the protocol was at"):
            play.hear([*own[:place], instead])
        assert_closed(play.part, own)
        tried += 1
    assert tried >= 4


@every_liar
def test_messages_of_a_private_match(liar: SumRole) -> None:
    where = setting()
    foreign: list[Any] = [
        Announce(where.terms.contract, Role.SENDER, (Tier("", 60),), bytes(32), bytes(32)),
        TokenCommitment(where.session.id, bytes(32)),
        Chunk(where.session.id, Stream.SENDER_POINTS, 0, b"x" * 32),
        StreamEnd(where.session.id, Stream.SENDER_POINTS, 1, bytes(32)),
    ]
    for message in foreign:
        for heard in (0, 2):
            script = [*where.scripts[liar][:heard], message]
            before = "CellSums" if liar is V else "Chunk GROUP_TOKENS"
            assert_caught(where, liar, script, "of another protocol|while the protocol was", before=before)


def test_messages_of_a_sum_in_a_private_match() -> None:
    singles: list[Any] = [each for role in SumRole for each in setting().scripts[role]]
    for message in singles:
        part = party(Role.SENDER, terms_for(), [("", [named(i) for i in range(9)])]).part
        list(part.start())
        with pytest.raises(PeerViolation, match=r"of another protocol|while the protocol was"):
            part.receive(message)
        assert part.state is State.CLOSED


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([V, G]), st.data())
def test_honest_messages_in_any_order_are_ignored_or_refused(liar: SumRole, data: st.DataObject) -> None:
    # Swapped, repeated, left out: the honest side ends like in an honest run, or refuses, or still waits.
    where = setting()
    script = list(where.scripts[liar])
    for _ in range(data.draw(st.integers(1, 4))):
        place, other = (data.draw(st.integers(0, len(script) - 1)) for _ in range(2))
        match data.draw(st.sampled_from(["swap", "repeat", "leave out"])):
            case "swap":
                script[place], script[other] = script[other], script[place]
            case "repeat":
                script.insert(other, script[place])
            case _:
                del script[place]
    play = Play(where.part(liar.other))
    try:
        play.hear(script)
    except PeerViolation:
        assert play.part.state is State.CLOSED
    # Whatever happened, all that was said is what is said in an honest run, from the first on.
    honest = where.scripts[liar.other]
    assert list(map(fingerprint, play.said)) == list(map(fingerprint, honest[: len(play.said)]))
    if play.part.done:
        untouched = Play(where.part(liar.other)).hear(where.scripts[liar])
        assert repr(play.part.result) == repr(untouched.part.result)
        assert play.part.result == untouched.part.result


# -- our own side


def test_units_out_of_order_are_refused_where_they_are_made() -> None:
    terms = sum_terms()
    with pytest.raises(ValueError, match="units are in order"):
        MemoryGroupSet(
            terms,
            randomness_for(G, terms),
            engine_for(terms.suite),
            [OwnCell(("x",), 2, "")] * 2,
            [(1, 0, [b"a"]), (0, 0, [b"b"])],
        )


def test_errors_name_no_element_and_no_figure() -> None:
    where, sums = setting(), single(setting(), CellSums)
    n = PaillierPublicKey(private_key().public.n).n
    data = plus(sums.ciphertexts, 0, 5 << offset(where, "matched"))
    error = assert_caught(where, G, changed(where, CellSums, ciphertexts=data), "cannot be", before="Verdict")
    told = f"{error!r} {error}"
    assert str(n)[:20] not in told
    assert "11" not in told
    for play in (where.part(V), where.part(G)):
        assert repr(play).count("0x") <= 1


def test_what_cells_were_planned_is_what_was_tried() -> None:
    assert [plan.hits for plan in PLAN] == [6, 5, 2, 1, 5, 6]
    assert isinstance(PLAN[0], Plan)
    assert single(setting(), CellSums).places == (0, 1, 4, 5, REST)
    assert single(setting(), Verdict).passes == (True, True, False, False, True)
    assert single(setting(), SumTable).joint[0].place == JOINT
