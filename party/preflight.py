"""One side of a preflight: what is tried, the look at the own data, and the match of canaries (docs/preflight.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import rfc8785

from party.canaries import COMMON, PERSONS, cells
from party.catalogue import Catalogue, Registered
from party.contract import parse_contract
from party.identifiers import REASON_TEXT, REASONS, Normaliser, parse_form
from party.identifiers.phone import check_region
from party.jobfile import parse_job
from party.jobrecords import Actor, JobRecord
from party.jobspec import SIDES
from party.node import Node
from party.nodefile import BANK
from party.preflights import Preflight, Preflights
from party.sample import check_content
from psi.engines import open_engine
from psi.errors import PeerViolation, UsageError, VeiljoinError
from psi.memory import MemoryKeep, MemorySet
from psi.messages import Announce, Message
from psi.participant import Participant
from psi.receiver import Receiver
from psi.results import AudienceResult
from psi.seed import JobRandomness, new_seed
from psi.sender import Sender
from psi.suites import suite_by_id
from psi.terms import Kind, Terms
from veiljoin.control_messages import PREFLIGHT_PASSED, CatalogueEntry, PreflightAsk

_SCOPE: Final = b"veiljoin/v1/preflight\x00"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tried of a contract at one side; ``contract`` is its hash and ``schema`` the dataset's, both hex."""

    job: str
    contract: str
    suite: str
    form: str
    dataset: str
    schema: str
    column: str
    region: str

    @classmethod
    def asked(cls, ask: PreflightAsk) -> Subject:
        """Return what the bank asks the platform to try."""
        return cls(
            ask.job,
            ask.contract.hex(),
            ask.suite,
            ask.form,
            ask.dataset,
            ask.schema.hex(),
            ask.column,
            ask.region,
        )

    def ask(self, run: bytes) -> PreflightAsk:
        """Return the question that has this subject. Raises ``UsageError`` for a region that there isn't."""
        check_region(self.region)
        contract, schema = bytes.fromhex(self.contract), bytes.fromhex(self.schema)
        return PreflightAsk(
            self.job, run, contract, self.suite, self.form, self.dataset, schema, self.column, self.region
        )


class UnfitError(Exception):
    """The own side can't take part: the ``word`` for the partner, and a sentence and a hint for this side."""

    def __init__(self, word: str, detail: str, hint: str = "") -> None:
        super().__init__(word)
        self.word = word
        self.detail = detail
        self.hint = hint


def subjects_of(record: JobRecord) -> Mapping[str, Subject]:
    """Return what is tried at either side of a job that has a contract."""
    contract = parse_contract(record.contract or b"")
    job = parse_job(record.table, f"job {record.id[:8]}")
    return {
        side: Subject(
            record.id,
            record.digest,
            job.suite.id,
            job.form.text,
            str(contract.body["parties"][side]["dataset"]),
            contract.schema(side),
            job.side(side).identifier,
            # It is of telephone numbers alone, and nobody looks at it elsewhere.
            job.side(side).region.upper() if job.form.type == "phone" else "CN",
        )
        for side in SIDES
    }


def facts_of(own: Subject, registered: Registered | None, theirs: CatalogueEntry | None = None) -> str:
    """Return a hash over what a run of ``own`` says something of: the job's side and the datasets.

    ``theirs`` is the partner's dataset as it told of it, known at the bank alone.
    """
    tried: list[object] = [
        *(own.job, own.contract, own.suite, own.form, own.dataset, own.schema, own.column, own.region),
    ]
    if registered is not None:
        tried += [registered.form, registered.identifier, registered.schema, registered.added.isoformat()]
    if theirs is not None:
        tried += [theirs.name, list(theirs.identifiers), theirs.schema.hex(), theirs.persons]
    return hashlib.sha256(rfc8785.dumps(tried)).hexdigest()  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class View:
    """The datasets of this node and of one partner, as they are known now."""

    own: Mapping[str, Registered]
    theirs: Mapping[str, CatalogueEntry]

    @classmethod
    def of(cls, node: Node, partner: str) -> View:
        """Read it; a platform has no use for what the bank told."""
        catalogue = Catalogue(node.home.store, node.clock)
        told = catalogue.told(partner) if node.file.role == BANK else None
        entries = () if told is None else told.catalogue
        return cls({one.name: one for one in catalogue.all()}, {one.name: one for one in entries})

    def facts(self, subjects: Mapping[str, Subject], side: str) -> str:
        """Return the facts of a run of ``side``."""
        own = subjects[side]
        theirs = self.theirs.get(subjects["platform"].dataset) if side == BANK else None
        return facts_of(own, self.own.get(own.dataset), theirs)


def standing_of(node: Node, record: JobRecord) -> Preflight:
    """Return how the preflight of a job stands at ``node``; not run for one without a contract."""
    preflights = Preflights(node.home.store, node.clock)
    rows = preflights.rows([record.id])[record.id]
    facts = ""
    if record.contract is not None:
        facts = View.of(node, record.partner).facts(subjects_of(record), node.file.role)
    return preflights.standing(rows, record.digest, facts)


@contextmanager
def held_to(node: Node, record: JobRecord, actor: Actor, *, without: bool = False) -> Iterator[None]:
    """Hold an approval in the block to the preflight, or note that ``actor`` goes ``without``.

    The note is taken back if the approval fails. Raises ``UsageError`` (``form_mismatch``) before the block if the
    preflight failed; at a platform also if there was none.
    """
    preflights = Preflights(node.home.store, node.clock)
    found = standing_of(node, record)
    if not without:
        preflights.require(found, record.id[:8], must_have_run=node.file.role != BANK)
    if not without or found.clear:
        yield
        return
    # Before the approval: the node ends an approved job whose preflight has failed.
    note = preflights.go_without(record.id, record.digest, record.partner, str(actor))
    try:
        yield
    except VeiljoinError:
        preflights.take_back(note)
        raise


def look(registered: Registered | None, subject: Subject, side: str) -> list[bytes]:
    """Look at the own data of ``side`` and return its canaries as the job would have them.

    Raises ``UnfitError``.
    """
    if registered is None:
        raise UnfitError(
            "dataset",
            f"There is no dataset {subject.dataset!r} at this node.",
            "`veiljoin dataset add` registers it",
        )
    if registered.schema != subject.schema:
        raise UnfitError(
            "dataset",
            f"The columns of dataset {subject.dataset!r} are not those that the job was drafted over.",
            "draft the job again",
        )
    if registered.identifier != subject.column:
        raise UnfitError(
            "column",
            f"The job takes identifiers from column {subject.column!r}, and dataset {subject.dataset!r} is "
            f"registered by column {registered.identifier!r}.",
            "correct the job file, or register the file under another name by that column",
        )
    canaries = _canaries(registered, subject, side)
    try:
        check_content(registered, subject.region)
    except UsageError as error:
        word = "content" if error.code.name == "form_mismatch" else "unreadable"
        raise UnfitError(word, error.message, error.hint) from None
    return canaries


def _canaries(registered: Registered, subject: Subject, side: str) -> list[bytes]:
    known = f"Dataset {subject.dataset!r} is registered as {registered.form}"
    mismatch = f"{known}, and the job matches on {subject.form}"
    mend = (
        "draft the job with a form that both datasets have, or add the dataset in the form that it really has"
    )
    try:
        form, declared = parse_form(subject.form), parse_form(registered.form)
        if form.type != declared.type:
            raise UnfitError("form", f"{mismatch}.", mend)
        seed = hashlib.sha256(_SCOPE + subject.contract.encode() + subject.job.encode()).digest()
        written = cells(form, declared, seed, side, subject.region)
        normalised = Normaliser(form, region=subject.region)(pa.array(written, pa.large_string()))
    except UsageError as error:
        raise UnfitError("form", error.message, error.hint) from None
    refused = normalised.reason[normalised.reason != 0]
    if len(refused):
        why = REASON_TEXT[REASONS[int(refused[0])]]["en"]
        raise UnfitError("form", f"{mismatch}: a test identifier {why}.", mend)
    found: list[bytes] = normalised.canonical.to_pylist()
    return found


class Trial:
    """The match of canaries at ``side``, in memory; ``canaries`` as :func:`look` returns them.

    Raises ``UsageError`` (``engine_unavailable``) if the suite can't run here.
    """

    def __init__(self, subject: Subject, run: bytes, side: str, canaries: list[bytes]) -> None:
        job = hashlib.sha256(subject.job.encode()).digest()
        scope = hashlib.sha256(_SCOPE + bytes.fromhex(subject.contract) + run + job).digest()
        terms = Terms(
            contract=scope,
            suite=suite_by_id(subject.suite),
            kind=Kind.AUDIENCE,
            both=True,
            receiver_limit=PERSONS,
            sender_limit=PERSONS,
            min_group=1,  # nobody is in these sets
            chunk_elements=PERSONS,
        )
        # A seed of its own, kept nowhere: a cut run is not resumed.
        self._randomness = JobRandomness(new_seed(), scope)
        self._engine = open_engine(terms.suite, threads=1)
        self._own = MemorySet(terms, self._randomness, self._engine, [("", canaries)])
        part = Sender if side == BANK else Receiver
        keep = MemoryKeep(terms)
        self._role: Participant = part(terms, self._randomness, self._own, self._engine, keep)

    def start(self) -> list[Message]:
        """Return the first messages."""
        return list(self._role.start())

    def receive(self, message: Message) -> list[Message]:
        """Return the answers to a message. Raises ``PeerViolation``."""
        if isinstance(message, Announce) and message.size != PERSONS:
            raise PeerViolation(f"The partner began a preflight with {message.size} instead of {PERSONS}.")
        return list(self._role.receive(message))

    @property
    def done(self) -> bool:
        """Whether the match is over."""
        return self._role.done

    def word(self) -> str:
        """Return what the match came to, once it is done."""
        result = self._role.result
        if not isinstance(result, AudienceResult) or result.tier_of is None:
            raise VeiljoinError("A preflight ended without a list.")
        met = {int(self._own.origin[at]) for at in result.tier_of.nonzero()[0]}
        return PREFLIGHT_PASSED if met == set(range(COMMON)) else "mismatch"

    def close(self) -> None:
        """Drop the secrets."""
        self._role.close()
        self._randomness.destroy()
        self._engine.close()
