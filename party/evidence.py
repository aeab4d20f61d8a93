"""What a party hands to an auditor: its whole log as a bundle, or one job as an evidence pack (audit/SPEC 9).

Read from the store, line by line, as it was at the checkpoint that is signed now; a node may run meanwhile. Opened
commitments are in it only where they are asked for.
"""

from __future__ import annotations

import base64
import io
import json
import os
import secrets
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from audit import bundle, canonical
from audit.bundle import Bundle, Header, lines_of
from audit.entry import Draft
from audit.keys import WITNESS_SUFFIX
from audit.note import NoteError, parse_line, split
from audit.pack import BUNDLE_FILE, PAGE_FILE, files, read_pack
from audit.page import page
from party.archive import staging, to_disk
from party.auditlog import LogFacts
from party.contract import parse_contract
from party.cosigning import Cosigning, PartnerLog
from party.disclosure import card_for
from party.jobfile import parse_job
from party.jobrecords import JobList, JobRecord
from party.jobspec import Job, other_side
from party.spool import disk_error
from party.store import Store
from party.tables import audit_witnessed, jobs
from psi.errors import UsageError

SUFFIX: Final = ".veiljoin-log"
LANGUAGES: Final = ("en", "zh")
_ZIP: Final = ".zip"
# The earliest moment that a zip archive can give to a file; packs of the same log are the same bytes.
_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
_OPENED: Final = 0
# Where the run of a job begins in its entries.
_RUN: Final = frozenset(("job_start", "stream", "decision", "dataset_used"))

Line = Mapping[str, Any]


class Evidence:
    """The log of one party, to be exported: ``store`` has it, ``cosigning`` signs its newest checkpoint.

    ``contracts`` are lines made by :func:`contract_line`. ``epoch`` is the number of a log that a restore has ended,
    up to the last checkpoint that was signed then: to sign more of it would contradict what partners have seen.
    Raises ``UsageError`` where the store fails, and for an epoch that it doesn't have.
    """

    def __init__(
        self,
        store: Store,
        cosigning: Cosigning,
        contracts: Callable[[], Iterable[Line]],
        epoch: int | None = None,
    ) -> None:
        self._store = store
        self._cosigning = cosigning
        self._log = cosigning.log
        self._contracts = contracts
        self._ended = epoch is not None and epoch != cosigning.facts.epoch
        facts = self._log.facts(epoch) if self._ended else cosigning.facts
        if facts is None:
            known = ", ".join(map(str, self._log.epochs()))
            raise UsageError(f"There is no log {epoch} in this home.", hint=f"there is {known}")
        self._facts = facts

    def note(self, actor: str, what: str) -> None:
        """Note in the log that ``actor`` exports ``what``: the export is in what it exports."""
        facts = {"what": what, "entries": self._log.size()}
        self._log.append([Draft("exported", actor, facts=facts)], self._now())

    def whole(self, *, details: bool = False) -> Iterator[bytes]:
        """Yield the lines of the bundle of the whole log."""
        size, facts = self._size(), self._facts
        entries = ((leaf, data) for _, leaf, data in self._log.entries(facts.epoch, 0, size))
        return bundle.write(_header(facts, size, self._now()), entries, self._extras(size, details))

    def pack(self, job: str, *, details: bool = False) -> Iterator[bytes]:
        """Yield the lines of the evidence pack of ``job`` (its whole id). Raises ``UsageError`` for no entries."""
        size, facts = self._size(), self._facts
        entries = list(self._log.entries(facts.epoch, 0, size, job=job))
        if not entries:
            raise UsageError(
                f"The log has no entry of job {job[:8]}.",
                hint="a job that ended before the log began has none; `veiljoin audit show` lists what there is",
                code="unknown_job",
            )
        opened = next(self._log.entries(facts.epoch, _OPENED, _OPENED + 1))
        if entries[0][0] != _OPENED:
            entries.insert(0, opened)
        header = _header(facts, size, self._now(), job)
        pairs = ((leaf, data) for _, leaf, data in entries)
        extras = self._pack_extras(size, job, [(number, data) for number, _, data in entries], details)
        return bundle.write(header, pairs, extras)

    def _size(self) -> int:
        """Return how many entries are exported: those of the newest checkpoint, which is signed now if need be."""
        if not self._ended:
            return self._cosigning.checkpoint()[0]
        sizes = [size for size, _ in self._log.checkpoints(self._facts.epoch)]
        if not sizes:
            raise UsageError(
                "That log ended before any of it was signed.", hint="export the newest log, without --log"
            )
        return sizes[-1]

    # -- lines behind the entries

    def _extras(self, size: int, details: bool) -> Iterator[Line]:
        epoch = self._facts.epoch
        for at, note in self._log.checkpoints(epoch):
            if at <= size:
                yield bundle.checkpoint(at, note)
        partners = self._cosigning.partner_logs()
        yield from map(_partner, partners)
        for partner in partners:
            yield from self._witnessed(partner)
        yield from self._contracts()
        for partner in partners:
            yield from self._refused(partner)
        if details:
            yield from self._details(size, None)
        for _, policy in self._log.policies():
            yield bundle.policy(json.loads(policy))

    def _pack_extras(
        self, size: int, job: str, entries: list[tuple[int, bytes]], details: bool
    ) -> Iterator[Line]:
        epoch = self._facts.epoch
        parsed = [(number, canonical.decode(data)) for number, data in entries]
        contracts = [line for line in self._contracts() if _job_of(line) == job]
        partners = self._partners_of(contracts)
        sequences = [number for number, _ in parsed]
        kept = _needed(dict(self._log.checkpoints(epoch)), partners, sequences, size)
        newest = max(kept)
        for at, note in sorted(kept.items()):
            yield bundle.checkpoint(at, note)
        yield from map(_partner, partners)
        run = [each["time"] for number, each in parsed if number != _OPENED and each["type"] in _RUN]
        span = (run[0] / 1000 - 1, parsed[-1][1]["time"] / 1000 + 1) if run else None
        for partner in partners:
            if span is not None:
                yield from self._witnessed(partner, span)
        yield from contracts
        for partner in partners:
            yield from self._refused(partner)
        if details:
            yield from self._details(size, job)
        named = {each["policy"] for _, each in parsed}
        for digest, policy in self._log.policies():
            if digest in named:
                yield bundle.policy(json.loads(policy))
        for number in sequences:
            yield bundle.inclusion(number, newest, self._log.inclusion(epoch, number, newest))
        for at in sorted(kept):
            if at < newest:
                yield bundle.consistency(at, newest, self._log.consistency(epoch, at, newest))

    def _partners_of(self, contracts: list[Line]) -> list[PartnerLog]:
        """Return the logs of the contract's other party; of all partners where there is no contract."""
        known = self._cosigning.partner_logs()
        if not contracts:
            return known
        other = other_side(self._facts.role)
        parties = [parse_contract(_bytes_of(line)).identity(other) for line in contracts]
        return [partner for partner in known if partner.identity in parties]

    def _witnessed(self, partner: PartnerLog, span: tuple[float, float] | None = None) -> Iterator[Line]:
        """Yield the partner's checkpoints that were cosigned here, within ``span`` (seconds since 1970)."""
        query = (
            sa.select(audit_witnessed.c.size, audit_witnessed.c.note)
            .where(audit_witnessed.c.origin == partner.origin, audit_witnessed.c.reason.is_(None))
            .order_by(audit_witnessed.c.size, audit_witnessed.c.id)
        )
        if span is not None:
            query = query.where(audit_witnessed.c.at.between(*span))
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        ours = f"{self._facts.origin}{WITNESS_SUFFIX}"
        for row in rows:
            # A store that was put back cosigned before under the key of the log that it had then.
            if ours in _signers(bytes(row.note)):
                yield bundle.witnessed(partner.origin, row.size, bytes(row.note))

    def _refused(self, partner: PartnerLog) -> Iterator[Line]:
        query = (
            sa.select(audit_witnessed.c.reason, audit_witnessed.c.note)
            .where(audit_witnessed.c.origin == partner.origin, audit_witnessed.c.reason.is_not(None))
            .order_by(audit_witnessed.c.id)
        )
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        for row in rows:
            yield bundle.evidence(partner.origin, row.reason, bytes(row.note))

    def _details(self, size: int, job: str | None) -> Iterator[Line]:
        for number, salt, told in self._log.details(self._facts.epoch, job=job):
            if number < size:
                yield bundle.details(number, salt, json.loads(told))

    def _now(self) -> float:
        return self._cosigning.clock().timestamp()


def _header(facts: LogFacts, size: int, now: float, job: str | None = None) -> Header:
    return Header(
        log=facts.origin,
        role=facts.role,
        name=facts.name,
        identity=facts.identity.hex(),
        log_key=facts.log_key,
        witness_key=facts.witness_key,
        proof=facts.proof.hex(),
        size=size,
        exported=int(now * 1000),
        pack=job,
    )


def _partner(log: PartnerLog) -> Line:
    return bundle.partner(log.partner, log.origin, log.identity, log.log_key, log.witness_key, log.proof)


def _needed(
    notes: Mapping[int, bytes], partners: list[PartnerLog], sequences: list[int], size: int
) -> dict[int, bytes]:
    """Return the checkpoints that a pack needs: per entry the first cosigned one behind it, and one over all.

    That last one is the newest cosigned one, or, where no cosigned one is large enough, the newest of all.
    """
    names = {partner.witness_key.partition("+")[0] for partner in partners}
    cosigned = sorted(at for at, note in notes.items() if at <= size and names & _signers(note))
    kept = {}
    for sequence in sequences:
        behind = next((at for at in cosigned if at > sequence), None)
        if behind is not None:
            kept[behind] = notes[behind]
    newest = cosigned[-1] if cosigned and cosigned[-1] > sequences[-1] else size
    return {**kept, newest: notes[newest]}


def _signers(note: bytes) -> set[str]:
    try:
        return {parse_line(line).name for line in split(note)[1]}
    except NoteError:
        return set()


# -- contracts


def contract_line(
    contract: bytes, bank_signature: bytes | None, platform_signature: bytes | None, job: Job
) -> Line:
    """Return the bundle's line of a contract of ``job``, with the disclosure card that follows from the job."""
    card = card_for(job)
    lines = {language: list(card.lines(language)) for language in LANGUAGES}
    return bundle.contract(
        contract, bank_signature, platform_signature, card.as_data(), lines["en"], lines["zh"]
    )


def contracts_of(store: Store) -> Iterator[Line]:
    """Yield a line for each job in ``store`` whose contract somebody has signed, the oldest first."""
    listed = JobList(store)
    query = (
        sa.select(jobs.c.id)
        .where(
            jobs.c.contract.is_not(None),
            sa.or_(jobs.c.bank_signature.is_not(None), jobs.c.platform_signature.is_not(None)),
        )
        .order_by(jobs.c.number)
    )
    with store.reading() as connection:
        found = list(connection.execute(query).scalars())
    for job in found:
        yield _line_of(listed.get(job))


def _line_of(record: JobRecord) -> Line:
    if record.contract is None:
        raise ValueError("the job has no contract")
    job = parse_job(record.table, record.id)
    return contract_line(record.contract, record.bank_signature, record.platform_signature, job)


def _bytes_of(line: Line) -> bytes:
    return base64.b64decode(line["contract"])


def _job_of(line: Line) -> str:
    return parse_contract(_bytes_of(line)).job


# -- files


def write_bundle(out: Path, lines: Iterable[bytes]) -> int:
    """Write a bundle to ``out``, for its owner only; returns how many entries it has.

    Raises ``UsageError`` if there is such a file already or it can't be written.
    """
    rest = iter(lines)
    head = next(rest)
    _write_new(out, chain([head], rest))
    return int(canonical.decode(head[:-1])["size"])


def write_pack(out: Path, lines: Iterable[bytes]) -> int:
    """Write an evidence pack: a folder, or one archive where the name of ``out`` ends in ``.zip``.

    Returns how many entries it has. Raises ``UsageError`` if it is there already or can't be written.
    """
    content = b"".join(lines)
    pack = read_pack(Bundle(BUNDLE_FILE, lines_of(io.BytesIO(content))))
    made = {PAGE_FILE: page(pack).encode(), BUNDLE_FILE: content, **files(pack)}
    if out.suffix.lower() == _ZIP:
        _write_new(out, [_zipped(made, out.stem)])
        return len(pack.entries)
    _refuse_existing(out)
    with staging(out.absolute().parent, out.name) as stage:
        for name, data in made.items():
            _write_new(stage / name, [data])
        os.rename(stage, out)
        to_disk(out.absolute().parent)
    return len(pack.entries)


def _zipped(made: Mapping[str, bytes], folder: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in made.items():
            member = zipfile.ZipInfo(f"{folder}/{name}", _ZIP_TIME)
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, (stat.S_IFREG | 0o600) << 16
            archive.writestr(member, data)
    return buffer.getvalue()


def _write_new(out: Path, parts: Iterable[bytes]) -> None:
    """Write a private file that is there whole or not at all, and never in the place of another."""
    _refuse_existing(out)
    partial = out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            # Not a rename, which would replace what somebody else wrote there meanwhile.
            os.link(partial, out)
        finally:
            with suppress(FileNotFoundError):
                partial.unlink()
        to_disk(out.absolute().parent)
    except FileExistsError:
        _refuse_existing(out)
    except OSError as error:
        raise disk_error(error, out.absolute().parent) from None


def _refuse_existing(out: Path) -> None:
    if out.exists():
        kind = "folder" if out.is_dir() else "file"
        raise UsageError(f"There is a {kind} {out} already.", hint="give each export a name of its own")
