"""The group holder: finds which rows belong to its cells, adds them up under encryption, masks the sums (SPEC 12)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import numpy.typing as npt

from federated.engine import PaillierEngine
from federated.holder import Holder, SingleMessage, region_bytes
from federated.keys import PaillierPublicKey
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
)
from federated.ports import GroupSet, OwnCell, RecordShelf, SumKeep
from federated.proof import receive_public_key
from federated.results import BELOW_MIN_CONVERTERS, BELOW_MIN_GROUP, CellResult, SumResult
from federated.settlement import Facts, Opened, Rest, settle
from federated.slots import unsign
from federated.stream import LABEL_COVER, LABEL_RERANDOMISE, KeyStream, stream_key
from federated.suppression import HiddenCell, complete_total, group_passes
from federated.terms import SumRole, SumTerms
from federated.totals import CellTotals
from federated.windows import Cover, cover, place_noise
from psi.engines import Engine
from psi.errors import PeerViolation
from psi.messages import Finish
from psi.seed import JobRandomness
from psi.streams import outgoing


class GroupHolder(Holder):
    """Learns how many of each unit's persons match and, where it reads, the values of the cells that pass.

    ``small`` are the own cells that were below ``min_group``, ``dropped`` the number per scope of those that no
    remainder covers, ``moved`` (days, persons) of merged units; the preparation found them.
    """

    role = SumRole.GROUP_HOLDER

    def __init__(
        self,
        terms: SumTerms,
        randomness: JobRandomness,
        own: GroupSet,
        engine: Engine,
        keep: SumKeep,
        paillier: PaillierEngine,
        *,
        small: Sequence[OwnCell] = (),
        dropped: Mapping[str, int] | None = None,
        moved: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__(terms, randomness, own, engine, keep)
        self._own = own
        self._paillier = paillier
        self._join = keep.join()
        self._records: RecordShelf | None = None
        self._small = tuple(small)
        self._dropped = dropped or {}
        self._moved = tuple(moved)
        # A scope of which every cell was dropped has nothing to total; only those with cells are announced.
        self._scopes = tuple(dict.fromkeys(cell.scope for cell in own.cells))
        self._announced: GroupAnnounce | None = None
        self._values: ValueAnnounce | None = None
        self._public: PaillierPublicKey | None = None
        self._checked = 0
        self._sums: CellSums | None = None
        self._covers: list[Cover] = []
        self._verdict: Verdict | None = None
        # Per scope, the numbers of the sums that did not pass.
        self._failing: list[list[int]] = []

    @property
    def values(self) -> ValueAnnounce:
        """The partner's announcement."""
        if self._values is None:
            raise RuntimeError("the partner has not announced itself")
        return self._values

    @property
    def groups(self) -> GroupAnnounce:
        """Our own announcement."""
        if self._announced is None:
            raise RuntimeError("start() comes first")
        return self._announced

    @property
    def public(self) -> PaillierPublicKey:
        """The partner's key, once its proof held."""
        if self._public is None:
            raise RuntimeError("the partner has not announced itself")
        return self._public

    def account(self) -> list[dict[str, int]]:
        """Return per cell its persons, how many of them matched, and whether it passes on this side."""
        if self._sums is None:
            return []
        sizes = self.groups.cell_persons()
        return [
            {"place": cell, "persons": size, "matched": hits, "passes": int(passes)}
            for cell, (size, hits, passes) in enumerate(zip(sizes, self._hits, self._passes, strict=True))
        ]

    def _announce(self) -> GroupAnnounce:
        announce = GroupAnnounce(
            contract=self.terms.contract,
            first_day=self._own.first_day,
            days=self._own.days,
            cell_scopes=tuple(self._scopes.index(cell.scope) for cell in self._own.cells),
            units=self._own.units,
            seed_commitment=self._randomness.seed_commitment(),
            input_commitment=self._own.input_commitment,
        )
        self._check_size(announce.persons, self.role)
        self._announced = announce
        return announce

    def _on_announce(self, announce: ValueAnnounce | GroupAnnounce) -> Iterable[SumMessage]:
        if not isinstance(announce, ValueAnnounce):
            raise PeerViolation("The partner announced the same role as ours.")
        self._check_contract(announce.contract)
        self._check_size(announce.persons, SumRole.VALUE_HOLDER)
        columns = iter(self.terms.tag_columns)
        # `in` on an iterator goes forward only: tags come column by column, in the contract's order.
        if not all(column in columns for column, _ in groupby(tag.column for tag in announce.tags)):
            raise PeerViolation("The partner announced tags that the contract does not name.")
        # SPEC 3.3: nothing of a key is kept before it was checked.
        self._public = receive_public_key(
            announce.modulus, announce.proof, self.terms.key_bits, self.terms.contract
        )
        self._values = announce
        self._records = self._keep.records(self._public.ciphertext_bytes)
        return self._first_messages(self._begin())

    def _first_messages(self, nonce: Nonce) -> Iterator[SumMessage]:
        yield nonce
        shape = self._shape(SumStream.GROUP_POINTS)
        yield from outgoing(self.session, shape, (self._own.chunk(i) for i in range(shape.chunks)))

    def _on_chunk(self, stream: SumStream, data: bytes) -> Iterable[SumMessage]:
        match stream:
            case SumStream.VALUE_POINTS:
                self._join.add_peer(self._mask_to_tokens(data))
            case SumStream.VALUE_SUMS:
                self._paillier.check(self.public, data, self._checked)
                self._checked += len(data) // self.public.ciphertext_bytes
                self._shelf().append(data)
            case _:
                if self._copies_of_ours(data):
                    raise PeerViolation("The partner returned our own points without masking them.")
                self._join.add_own(data)
        return ()

    def _shelf(self) -> RecordShelf:
        if self._records is None:
            raise RuntimeError("the partner has not announced itself")
        return self._records

    def _on_end(self, stream: SumStream) -> Iterable[SumMessage]:
        if stream is not SumStream.GROUP_TOKENS:
            return ()
        self._check_all_sent(SumStream.VALUE_POINTS, SumStream.VALUE_SUMS, SumStream.GROUP_TOKENS)
        repeated_own, repeated_peer = self._join.repeated()
        if repeated_own or repeated_peer:
            where = f"{repeated_own} of our returned and {repeated_peer} of its own elements"
            raise PeerViolation(f"The partner repeated elements: {where} are copies.")
        self._sums = self._cell_sums(self._join.partners())
        self._note(self._sums)
        return (self._sums,)

    # -- sums

    def _cell_sums(self, partners: npt.NDArray[np.int64]) -> CellSums:
        """Return a covered, re-randomised sum per cell that passes, and per scope that of the others (SPEC 12.3)."""
        layout, cells = self.layout, self.groups.cell_scopes
        sizes = self.groups.cell_persons()
        totals = CellTotals(self._paillier, self.public, layout, self._shelf())
        hits, sums = totals.add_units(self.groups.units, partners, len(cells))
        passes = [group_passes(self.terms, size, hit) is None for size, hit in zip(sizes, hits, strict=True)]
        self._hits, self._passes = hits, passes
        places = [cell for cell, passed in enumerate(passes) if passed]
        groups = [[sums[cell]] for cell in places]
        self._rests: dict[int, list[int]] = {}
        for scope, members in enumerate(self._by_scope(range(len(cells)))):
            others = [cell for cell in members if not passes[cell]]
            # Hits stand for converters, which only the partner sees. Who knows why each of them is withheld, and
            # the joint count, must not be left with too few choices for one of them. With noise nothing is
            # withheld here.
            hidden = [HiddenCell(sizes[cell], hits[cell], hits[cell]) for cell in others]
            if hidden and complete_total(self.terms, hidden):
                self._rests[scope] = others
                places.append(len(cells) + scope)
                groups.append([sums[cell] for cell in others])
        if not places:
            return CellSums(self.session.id, (), b"")
        added = self._paillier.add(self.public, [b"".join(group) for group in groups])
        stream = KeyStream(stream_key(self._randomness, LABEL_COVER))
        self._covers = [cover(layout, stream, place) for place in places]
        plain = [
            own.mask + place_noise(layout, layout.noise(*self._noise(layout, place)))
            for own, place in zip(self._covers, places, strict=True)
        ]
        covered = self._paillier.add_plain(self.public, added, plain)
        key = stream_key(self._randomness, LABEL_RERANDOMISE)
        return CellSums(
            self.session.id, tuple(places), self._paillier.rerandomise(self.public, covered, key, 0)
        )

    # -- opening

    def _on_single(self, message: SingleMessage) -> Iterable[SumMessage]:
        match message:
            case Verdict():
                return self._on_verdict(message)
            case SumTable():
                return self._on_table(message)
            case _:
                raise PeerViolation("The partner sent what is ours to send.")

    def _on_verdict(self, verdict: Verdict) -> Iterable[SumMessage]:
        if len(verdict.passes) != len(self._told().places) or len(verdict.joint) != self.groups.scopes:
            raise PeerViolation("The partner's verdict is on other sums than those it was sent.")
        places = self._told().places
        self._failing = [[i for i in members if not verdict.passes[i]] for members in self._by_scope(places)]
        if any(
            joint and len(failing) < 2 for joint, failing in zip(verdict.joint, self._failing, strict=True)
        ):
            # SPEC 12.4: the joint sum of one cell is that cell.
            raise PeerViolation("The partner asked for the joint sum of fewer than two cells.")
        self._verdict = verdict
        if not self.terms.reads(SumRole.VALUE_HOLDER):
            return ()
        openings = self._openings(verdict)
        self._note(openings)
        if self.terms.reads(self.role):
            return (openings,)
        self._result = self._unread()
        return openings, self._finish_message()

    def _told(self) -> CellSums:
        if self._sums is None:
            raise RuntimeError("our sums come before the verdict")
        return self._sums

    def _scope_of(self, place: int) -> int:
        cells = self.groups.cell_scopes
        return cells[place] if place < len(cells) else place - len(cells)

    def _members(self, place: int) -> list[int]:
        cells = self.groups.cell_scopes
        return [place] if place < len(cells) else self._rests[place - len(cells)]

    def _cost(self, places: Iterable[int]) -> int | None:
        costs = [self._own.cells[cell].cost for place in places for cell in self._members(place)]
        return None if any(each is None for each in costs) else sum(each or 0 for each in costs)

    def _label(self, place: int) -> tuple[str, ...] | None:
        return self._own.cells[place].label if place < len(self._own.cells) else None

    def _opening(self, indices: Sequence[int]) -> int:
        return sum(self._covers[i].opening for i in indices) & (1 << self.layout.value_bits) - 1

    def _facts(self, verdict: Verdict) -> Facts:
        """Return what no sum tells: names of totals, cells withheld by rule, moved windows (SPEC 12.5)."""
        cells = self._own.cells
        summed = set(self._told().places)
        dropped = [self._dropped.get(name, 0) for name in self._scopes]
        small, few = len(self._small), 0
        sizes = self.groups.cell_persons()
        for cell, own in enumerate(cells):
            reason = group_passes(self.terms, sizes[cell], self._hits[cell])
            scope = self.groups.cell_scopes[cell]
            if cell not in summed and scope not in self._rests:
                dropped[scope] += 1
            if own.label is None:
                continue
            small += reason == BELOW_MIN_GROUP
            few += reason not in (None, BELOW_MIN_GROUP)
        for place, passed in zip(self._told().places, verdict.passes, strict=True):
            few += not passed and self._label(place) is not None
        return Facts(self._scopes, tuple(dropped), small, few, self._moved)

    def _openings(self, verdict: Verdict) -> Openings:
        places, size = self._told().places, region_bytes(self.layout)
        openings = [
            Opening(place, self._label(place), self._cost([place]), own.opening.to_bytes(size, "big"))
            for place, own, passes in zip(places, self._covers, verdict.passes, strict=True)
            if passes
        ]
        joint: list[tuple[bytes, int | None] | None] = []
        for scope, told in enumerate(verdict.joint):
            hidden = self._failing[scope]
            cost = self._cost(places[i] for i in hidden)
            joint.append((self._opening(hidden).to_bytes(size, "big"), cost) if told else None)
        facts = self._facts(verdict)
        return Openings(
            self.session.id,
            tuple(openings),
            tuple(joint),
            facts.scopes,
            facts.dropped,
            facts.small,
            facts.few,
            facts.moved,
        )

    def _unread(self) -> SumResult:
        """Return what a group holder that does not read keeps: its own cells and why some are withheld."""
        facts = self._facts(self._judged())
        withheld = {BELOW_MIN_GROUP: facts.small, BELOW_MIN_CONVERTERS: facts.few}
        told = {rule: count for rule, count in withheld.items() if count}
        return SumResult(self._all_cells(()), (), told, {}, self._moved, readable=False)

    def _judged(self) -> Verdict:
        if self._verdict is None:
            raise RuntimeError("the verdict comes before the table")
        return self._verdict

    def _all_cells(self, read: Sequence[CellResult]) -> tuple[CellResult, ...]:
        """Return all own cells, in their order: as they were read, or with the reason why not."""
        known = {cell.label: cell for cell in read}
        passing = {
            place for place, passes in zip(self._told().places, self._judged().passes, strict=True) if passes
        }
        cells = []
        for number, own in enumerate(self._own.cells):
            if own.label is None:
                continue
            reason = group_passes(self.terms, own.persons, self._hits[number])
            if reason is None and number not in passing:
                reason = BELOW_MIN_CONVERTERS
            unread = CellResult(own.label, own.persons, own.scope, None, reason, own.cost)
            cells.append(known.get(own.label, unread))
        small = [
            CellResult(own.label, own.persons, own.scope, None, BELOW_MIN_GROUP, own.cost)
            for own in self._small
        ]
        return (*cells, *small)

    # -- the table

    def _on_table(self, table: SumTable) -> Iterable[SumMessage]:
        verdict = self._judged()
        places = self._told().places
        passing = [place for place, passes in zip(places, verdict.passes, strict=True) if passes]
        told = {row.place: row for row in table.rows}
        if sorted([*told, *table.dominated]) != passing:
            raise PeerViolation("The partner's table has other cells than those that passed.")
        masked = not self.terms.reads(SumRole.VALUE_HOLDER)
        self._check_joint(table, masked)
        joint = [row for row in table.joint if row is not None]
        if masked and (table.dominated or any(row.hidden for row in (*table.rows, *joint))):
            raise PeerViolation("The partner withheld what it cannot have read.")
        opened = [self._opened(i, place, told.get(place), masked, table) for i, place in enumerate(places)]
        rests = [
            None if row is None else self._rest(scope, row, masked) for scope, row in enumerate(table.joint)
        ]
        tags = self.values.tags
        # Our own noise is in what was decrypted, the partner's on top of it.
        noise = {name: 2 * each for name, each in self.terms.noise_variances(len(tags)).items()}
        read = settle(self.terms, self.layout, tags, opened, rests, self._facts(verdict), noise)
        self._result = replace(read, cells=self._all_cells(read.cells))
        return (self._finish_message(),)

    def _check_joint(self, table: SumTable, masked: bool) -> None:
        """Hold joint rows to the verdict; one whose values are dominated is withheld by a partner that reads them."""
        told, first = self._judged().joint, len(self.groups.cell_scopes) + self.groups.scopes
        places = [None if row is None else row.place for row in table.joint]
        may = [[first + scope] if passes else [None] for scope, passes in enumerate(told)]
        if not masked:
            may = [[*each, None] for each in may]
        if len(places) != len(may) or any(
            place not in each for place, each in zip(places, may, strict=False)
        ):
            raise PeerViolation("The partner's table has other totals than those that passed.")

    def _opened(self, index: int, place: int, row: Row | None, masked: bool, table: SumTable) -> Opened:
        out = place in table.dominated
        if row is None:
            counts: tuple[int, ...] = (0,) * len(self.layout.counts)
            values = (0,) * len(self.layout.values) if out else None
        else:
            counts, values = self._read(row, [place], self._covers[index].opening if masked else 0)
        return Opened(
            scope=self._scope_of(place),
            persons=self._persons([place]),
            label=self._label(place),
            cost=self._cost([place]),
            counts=counts,
            values=values,
            dominated=out,
            hidden=() if row is None else row.hidden,
        )

    def _rest(self, scope: int, row: Row, masked: bool) -> Rest:
        hidden = self._failing[scope]
        places = [self._told().places[i] for i in hidden]
        counts, values = self._read(row, places, self._opening(hidden) if masked else 0)
        return Rest(self._persons(places), counts, values, self._cost(places), len(hidden), row.hidden)

    def _persons(self, places: Sequence[int]) -> int:
        return sum(self._own.cells[cell].persons for place in places for cell in self._members(place))

    def _read(self, row: Row, places: Sequence[int], opening: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the figures of a row, which is about the sums at ``places``."""
        layout = self.layout
        region = int.from_bytes(row.region, "big")
        if len(row.region) != region_bytes(layout) or region >> layout.value_bits:
            raise PeerViolation("The partner sent values of a wrong length.")
        if len(row.counts) != len(layout.counts) or any(
            number >= len(layout.values) for number in row.hidden
        ):
            raise PeerViolation("The partner sent a row of other fields than the contract's.")
        hits = sum(self._hits[cell] for place in places for cell in self._members(place))
        if abs(row.counts[0] - hits) > layout.counts[0].tail:
            # SPEC 12.6: who matched is what we counted ourselves, up to noise.
            raise PeerViolation("The partner's table has other counts than the hits that we found.")
        signed, _ = unsign(region - opening, layout.value_bits)
        values = layout.unpack_values(signed)
        self._check_figures(self._persons(places), row.counts, values, row.hidden)
        return row.counts, values

    def _on_finish(self, message: Finish) -> Iterable[SumMessage]:
        self._check_transcript(message)
        self._scalar.destroy()
        return ()
