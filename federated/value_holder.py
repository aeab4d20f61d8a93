"""The value holder: encrypts outcomes, shuffles tokens within units, decrypts one sum per cell (SPEC 12)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from federated.engine import PaillierEngine
from federated.holder import Holder, SingleMessage, region_bytes
from federated.keys import PaillierPrivateKey
from federated.messages import (
    CellSums,
    GroupAnnounce,
    Nonce,
    Opening,
    Openings,
    Row,
    Said,
    SumMessage,
    SumStream,
    SumTable,
    ValueAnnounce,
    Verdict,
)
from federated.packing import pack_rows
from federated.ports import SumKeep, ValueSet
from federated.proof import prove_modulus
from federated.results import SumResult
from federated.settlement import Facts, Opened, Rest, figures_of, hidden_fields, is_dominated, settle
from federated.stream import LABEL_ENCRYPT, stream_key
from federated.suppression import HiddenCell, complete_total, count_passes, dominated
from federated.terms import SumRole, SumTerms
from federated.windows import Covered, open_values, read
from psi.engines import Engine
from psi.errors import PeerViolation
from psi.messages import Finish
from psi.seed import LABEL_SHUFFLE, JobRandomness
from psi.streams import outgoing


class ValueHolder(Holder):
    """Learns the counts of every cell that is sent and, where it reads, the values of those that pass."""

    role = SumRole.VALUE_HOLDER

    def __init__(
        self,
        terms: SumTerms,
        randomness: JobRandomness,
        own: ValueSet,
        engine: Engine,
        keep: SumKeep,
        private: PaillierPrivateKey,
        paillier: PaillierEngine,
    ) -> None:
        super().__init__(terms, randomness, own, engine, keep)
        self._own = own
        self._private = private
        self._paillier = paillier
        self._tokens = keep.shelf()
        # Only for finding repeats: the value holder joins nothing.
        self._received = keep.join()
        self._announced: ValueAnnounce | None = None
        self._groups: GroupAnnounce | None = None
        self._sums: CellSums | None = None
        self._covered: list[Covered] = []
        self._sizes: list[int] = []
        # Per scope, the numbers of the sums that were sent.
        self._scopes: list[list[int]] = []
        self._verdict: Verdict | None = None

    @property
    def values(self) -> ValueAnnounce:
        """Our own announcement."""
        if self._announced is None:
            raise RuntimeError("start() comes first")
        return self._announced

    @property
    def groups(self) -> GroupAnnounce:
        """The partner's announcement."""
        if self._groups is None:
            raise RuntimeError("the partner has not announced itself")
        return self._groups

    def account(self) -> list[dict[str, int]]:
        """Return per sum that arrived its persons and exact counts, our noise on them, and whether it passes."""
        if self._sums is None or self._verdict is None:
            return []
        made = []
        for number, place in enumerate(self._sums.places):
            matched, converters = self._covered[number].counts
            on_counts, _ = self._noise_on([place])
            made.append(
                {
                    "place": place,
                    "persons": self._sizes[number],
                    "matched": matched,
                    "converters": converters,
                    "noise_on_matched": on_counts[0],
                    "noise_on_converters": on_counts[1],
                    "passes": int(self._verdict.passes[number]),
                }
            )
        return made

    def close(self) -> None:
        """End the role and drop its keys."""
        super().close()
        self._private.destroy()

    def _announce(self) -> ValueAnnounce:
        self._check_size(self._own.size, self.role)
        self._announced = ValueAnnounce(
            contract=self.terms.contract,
            persons=self._own.size,
            modulus=self._private.public.encode(),
            proof=prove_modulus(self._private, self.terms.contract),
            tags=self._own.tags,
            seed_commitment=self._randomness.seed_commitment(),
            input_commitment=self._own.input_commitment,
        )
        return self._announced

    def _on_announce(self, announce: ValueAnnounce | GroupAnnounce) -> Iterable[SumMessage]:
        if not isinstance(announce, GroupAnnounce):
            raise PeerViolation("The partner announced the same role as ours.")
        self._check_contract(announce.contract)
        self._check_size(announce.persons, SumRole.GROUP_HOLDER)
        if self.terms.window is None and (announce.days != 1 or announce.first_day != 0):
            raise PeerViolation("The partner announced exposure days, which the contract does not have.")
        if self.terms.arm_part is None and announce.scopes != 1:
            raise PeerViolation("The partner announced several totals, which only arms have.")
        if any(unit.size < self.terms.min_group for unit in announce.units):
            # SPEC 11.1: in a smaller unit a hit would name somebody.
            raise PeerViolation(
                f"The partner's set has a unit of fewer than min_group = {self.terms.min_group} persons."
            )
        self._groups = announce
        return self._first_messages(self._begin())

    def _first_messages(self, nonce: Nonce) -> Iterator[SumMessage]:
        yield nonce
        points = self._shape(SumStream.VALUE_POINTS)
        yield from outgoing(self.session, points, (self._own.chunk(i) for i in range(points.chunks)))
        yield from outgoing(self.session, self._shape(SumStream.VALUE_SUMS), self._ciphertexts())

    def _ciphertexts(self) -> Iterator[bytes]:
        """Yield the rows of ciphertexts chunk by chunk, made as they are sent (SPEC 12.1)."""
        layout, shape = self.layout, self._shape(SumStream.VALUE_SUMS)
        key = stream_key(self._randomness, LABEL_ENCRYPT)
        for start in range(0, shape.elements, shape.chunk_elements):
            stop = min(start + shape.chunk_elements, shape.elements)
            outcomes = self._own.outcomes(start, stop, self.groups.first_day, self.groups.days)
            plaintexts = pack_rows(self.terms, layout, outcomes, self._own.tag_slots(start, stop))
            yield self._paillier.encrypt(self._private, plaintexts, key, start * layout.ciphertexts)

    def _on_chunk(self, stream: SumStream, data: bytes) -> Iterable[SumMessage]:
        tokens = self._mask_to_tokens(data)
        self._tokens.append(tokens)
        self._received.add_peer(tokens)
        return ()

    def _on_end(self, stream: SumStream) -> Iterable[SumMessage]:
        _, repeated = self._received.repeated()
        if repeated:
            # SPEC 12.2: a person in several cells carries one token into each, and overlapping cells name people.
            raise PeerViolation(f"The partner repeated elements: {repeated} of its set are copies.")
        sizes = [unit.size for unit in self.groups.units]
        shuffled = self._tokens.shuffled(sizes, self._shuffle_ranks)
        return outgoing(self.session, self._shape(SumStream.GROUP_TOKENS), shuffled)

    def _shuffle_ranks(self, start: int, count: int) -> npt.NDArray[np.uint64]:
        return self._randomness.ranks(LABEL_SHUFFLE, start, count)

    # -- sums

    def _on_single(self, message: SingleMessage) -> Iterable[SumMessage]:
        match message:
            case CellSums():
                return self._on_sums(message)
            case Openings():
                return self._on_openings(message)
            case _:
                raise PeerViolation("The partner sent what is ours to send.")

    def _on_sums(self, sums: CellSums) -> Iterable[SumMessage]:
        self._check_all_sent(SumStream.GROUP_POINTS, Said.CELL_SUMS)
        self._check_places(sums)
        public = self._private.public
        self._paillier.check(public, sums.ciphertexts)
        layout = self.layout
        self._covered = [
            read(layout, plain) for plain in self._paillier.decrypt(self._private, sums.ciphertexts)
        ]
        self._private.destroy()
        self._sizes = persons = self._persons(sums)
        counts = [each.counts for each in self._covered]
        for size, own in zip(persons, counts, strict=True):
            self._check_figures(size, own, ())
        # The partner sees the verdict and knows its own noise, so only with ours does the verdict tell it no more
        # than noised counts do.
        noised = [self._noised(own, [place]) for own, place in zip(counts, sums.places, strict=True)]
        passes = tuple(
            count_passes(self.terms, size, matched, converters) is None
            for size, (matched, converters) in zip(persons, noised, strict=True)
        )
        self._scopes = self._by_scope(sums.places)
        joint = []
        for members in self._scopes:
            failing = [HiddenCell(persons[i], noised[i][0], noised[i][1]) for i in members if not passes[i]]
            joint.append(len(failing) >= 2 and complete_total(self.terms, failing))
        self._sums = sums
        self._verdict = Verdict(self.session.id, passes, tuple(joint))
        self._note(self._verdict)
        if self.terms.reads(self.role):
            return (self._verdict,)
        self._result = SumResult((), (), {}, {}, readable=False)
        return self._verdict, self._masked_table()

    def _check_places(self, sums: CellSums) -> None:
        cells, scopes = self.groups.cell_scopes, self.groups.scopes
        width = self._private.public.ciphertext_bytes
        if len(sums.ciphertexts) != len(sums.places) * width:
            raise PeerViolation("The partner sent another number of sums than it said.")
        if any(place >= len(cells) + scopes for place in sums.places):
            raise PeerViolation("The partner sent the sum of a cell that it had not announced.")
        sent, unsent = set(sums.places), [0] * scopes
        for cell, scope in enumerate(cells):
            unsent[scope] += cell not in sent
        if any(len(cells) + scope in sent and few < 2 for scope, few in enumerate(unsent)):
            # SPEC 12.3: the rest of one cell would be that cell.
            raise PeerViolation("The partner sent a scope's rest of fewer than two cells.")

    def _scope_of(self, place: int) -> int:
        cells = self.groups.cell_scopes
        return cells[place] if place < len(cells) else place - len(cells)

    def _persons(self, sums: CellSums) -> list[int]:
        """Return the persons of each sum that was sent; those of a scope's rest are in the cells not sent."""
        cells, sizes = self.groups.cell_scopes, self.groups.cell_persons()
        sent = set(sums.places)
        rests = [0] * self.groups.scopes
        for cell, scope in enumerate(cells):
            rests[scope] += 0 if cell in sent else sizes[cell]
        return [sizes[place] if place < len(cells) else rests[place - len(cells)] for place in sums.places]

    # -- opening

    def _on_openings(self, openings: Openings) -> Iterable[SumMessage]:
        sums, verdict = self._told()
        passing = [place for place, passes in zip(sums.places, verdict.passes, strict=True) if passes]
        if [each.place for each in openings.openings] != passing:
            raise PeerViolation("The partner opened other sums than those that passed.")
        if [scope is not None for scope in openings.joint] != list(verdict.joint):
            raise PeerViolation("The partner opened other totals than those that passed.")
        self._check_labels(openings)
        told = {each.place: each for each in openings.openings}
        opened = [self._opened(i, told.get(place)) for i, place in enumerate(sums.places)]
        rests = [
            None if joint is None else self._rest(scope, *joint) for scope, joint in enumerate(openings.joint)
        ]
        facts = Facts(openings.scope_names, openings.dropped, openings.small, openings.few, openings.moved)
        noise = self.terms.noise_variances(len(self._own.tags))
        self._result = settle(self.terms, self.layout, self._own.tags, opened, rests, facts, noise)
        return (self._open_table(opened, rests),) if self.terms.reads(SumRole.GROUP_HOLDER) else ()

    def _check_labels(self, openings: Openings) -> None:
        """Hold labels to the contract's group columns: each cell one of its own, arms equal to their scopes."""
        cells, arm = len(self.groups.cell_scopes), self.terms.arm_part
        labels = [each.label for each in openings.openings if each.label is not None]
        if any(each.label is not None for each in openings.openings if each.place >= cells):
            raise PeerViolation("The partner named a scope's rest.")
        if any(len(label) != self.terms.label_parts for label in labels) or len(set(labels)) != len(labels):
            raise PeerViolation("The partner's cells have other labels than the contract says.")
        if (
            len(openings.scope_names) != self.groups.scopes
            or len(set(openings.scope_names)) != self.groups.scopes
            or (arm is None and openings.scope_names != ("",))
        ):
            raise PeerViolation("The partner named other totals than it had announced.")
        for each in openings.openings:
            name = openings.scope_names[self._scope_of(each.place)]
            if arm is not None and each.label is not None and each.label[arm] != name:
                raise PeerViolation("The partner put a cell into another arm than its label says.")

    def _told(self) -> tuple[CellSums, Verdict]:
        if self._sums is None or self._verdict is None:
            raise RuntimeError("the sums come before the openings")
        return self._sums, self._verdict

    def _opened(self, index: int, opening: Opening | None) -> Opened:
        sums, _ = self._told()
        covered = self._covered[index]
        values = None if opening is None else self._open(covered, opening.mask)
        self._check_figures(self._sizes[index], covered.counts, values or ())
        return Opened(
            scope=self._scope_of(sums.places[index]),
            persons=self._sizes[index],
            label=None if opening is None else opening.label,
            cost=None if opening is None else opening.cost,
            counts=covered.counts,
            values=values,
        )

    def _rest(self, scope: int, mask: bytes, cost: int | None) -> Rest:
        """Return the joint figures of the sums of ``scope`` that did not pass."""
        hidden, covered = self._joint(scope)
        persons = sum(self._sizes[i] for i in hidden)
        values = self._open(covered, mask)
        self._check_figures(persons, covered.counts, values)
        return Rest(persons, covered.counts, values, cost, len(hidden))

    def _joint(self, scope: int) -> tuple[list[int], Covered]:
        """Return the sums of ``scope`` that did not pass, and all of them added up, still masked."""
        _, verdict = self._told()
        hidden = [i for i in self._scopes[scope] if not verdict.passes[i]]
        counts = zip(*(self._covered[i].counts for i in hidden), strict=True)
        masked = sum(self._covered[i].masked for i in hidden) & (1 << self.layout.value_bits) - 1
        return hidden, Covered(tuple(sum(column) for column in counts), masked)

    def _open(self, covered: Covered, mask: bytes) -> tuple[int, ...]:
        layout = self.layout
        opening = int.from_bytes(mask, "big")
        if len(mask) != region_bytes(layout) or opening >> layout.value_bits:
            raise PeerViolation("The partner sent a mask of a wrong length.")
        return open_values(layout, covered, opening)

    # -- the table for the group holder

    def _masked_table(self) -> SumTable:
        """Return the table of a group holder that alone reads: values as they are masked, with our noise."""
        sums, verdict = self._told()
        rows = [
            self._row(place, [place], covered.counts, covered.masked)
            for place, covered, passes in zip(sums.places, self._covered, verdict.passes, strict=True)
            if passes
        ]
        joint: list[Row | None] = []
        for scope, told in enumerate(verdict.joint):
            if not told:
                joint.append(None)
                continue
            hidden, covered = self._joint(scope)
            places = [sums.places[i] for i in hidden]
            joint.append(self._row(self._joint_place(scope), places, covered.counts, covered.masked))
        return self._noted(SumTable(self.session.id, tuple(rows), tuple(joint), ()))

    def _open_table(self, opened: list[Opened], rests: list[Rest | None]) -> SumTable:
        """Return the table that both read: what settled as passing, without the fields that policy hides."""
        places = self._told()[0].places
        rows, out = [], []
        for place, each in zip(places, opened, strict=True):
            if is_dominated(self.terms, self.layout, each):
                out.append(place)
            elif each.values is not None:
                rows.append(self._shown_row(place, [place], each.counts, each.values))
        # Dominated sums are in no joint row: what both may add to a total is told by the rows alone.
        joint: list[Row | None] = []
        for scope, rest in enumerate(rests):
            if rest is None or dominated(self.terms, figures_of(self.layout, rest.counts, rest.values)):
                joint.append(None)
                continue
            hidden = [places[i] for i in self._joint(scope)[0]]
            joint.append(self._shown_row(self._joint_place(scope), hidden, rest.counts, rest.values))
        return self._noted(SumTable(self.session.id, tuple(rows), tuple(joint), tuple(out)))

    def _shown_row(
        self, place: int, noised: Sequence[int], counts: tuple[int, ...], values: tuple[int, ...]
    ) -> Row:
        """Return a row of what is shown. What is hidden is decided on figures as the partner reads them."""
        layout = self.layout
        on_counts, on_values = self._noise_on(noised)
        read = [
            figure + noise for figure, noise in zip((*counts, *values), (*on_counts, *on_values), strict=True)
        ]
        figures = figures_of(layout, read[: len(counts)], read[len(counts) :])
        withheld = hidden_fields(self.terms, figures, self._own.tags)
        hidden = tuple(number for number, each in enumerate(layout.values) if each.name in withheld)
        shown = [0 if number in hidden else value for number, value in enumerate(values)]
        return self._row(place, noised, counts, layout.pack_values(shown), hidden)

    def _joint_place(self, scope: int) -> int:
        return len(self.groups.cell_scopes) + self.groups.scopes + scope

    def _row(
        self,
        place: int,
        noised: Sequence[int],
        counts: tuple[int, ...],
        region: int,
        hidden: tuple[int, ...] = (),
    ) -> Row:
        """Return the row at ``place``, the sum of what was sent at ``noised``, with our noise."""
        layout = self.layout
        _, on_values = self._noise_on(noised)
        shown = [0 if number in hidden else noise for number, noise in enumerate(on_values)]
        noisy = (region + layout.pack_values(shown)) & (1 << layout.value_bits) - 1
        return Row(place, self._noised(counts, noised), noisy.to_bytes(region_bytes(layout), "big"), hidden)

    def _noise_on(self, places: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return our noise on the joint sum of ``places``: (counts, values).

        It is that of each of them added up. A draw of its own would tell more: the verdict on each hangs on its
        noise already.
        """
        layout = self.layout
        counts, values = [0] * len(layout.counts), [0] * len(layout.values)
        for place in places:
            on_counts, on_values = self._noise(layout, place)
            counts = [one + two for one, two in zip(counts, on_counts, strict=True)]
            values = [one + two for one, two in zip(values, on_values, strict=True)]
        return counts, values

    def _noised(self, counts: Sequence[int], places: Sequence[int]) -> tuple[int, ...]:
        on_counts, _ = self._noise_on(places)
        return tuple(count + noise for count, noise in zip(counts, on_counts, strict=True))

    def _noted(self, table: SumTable) -> SumTable:
        self._note(table)
        return table

    def _on_finish(self, message: Finish) -> Iterable[SumMessage]:
        self._check_transcript(message)
        self._scalar.destroy()
        return (self._finish_message(),)
