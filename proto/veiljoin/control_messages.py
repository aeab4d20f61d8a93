"""Messages between two standing nodes beside their jobs; each is valid once it is built.

A text that comes from a fixed list and is not on it reads as ``unknown``, so that a node can always be told less by
an older or newer one, never something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from psi.errors import PEER_WORDS
from psi.messages import Chunk, Message
from veiljoin.bounds import check_bytes, check_text, require
from veiljoin.log_messages import LogConflict, LogCosigned, LogKeys, LogOffer, LogRefused
from veiljoin.messages import MAX_CONTRACT_BYTES, SIGNATURE_BYTES

DIGEST_BYTES: Final = 32
IDENTITY_BYTES: Final = 32
MAX_SOFTWARE: Final = 64
MAX_JOB: Final = 64
MAX_TABLE_BYTES: Final = 64 * 1024
MAX_CSR_BYTES: Final = 4_096
MAX_CERTIFICATE_BYTES: Final = 8_192
MAX_TEXT_BYTES: Final = 128  # a name of a dataset or of a column, a form of identifiers
MAX_DATASETS: Final = 100
MAX_IDENTIFIERS: Final = 16
MAX_COLUMNS: Final = 5_000  # of all datasets together: 640 kB at most
MAX_PERSONS: Final = 10**12
MAX_ATTEMPTS: Final = 1_000
RUN_BYTES: Final = 16
MAX_PREFLIGHT_BYTES: Final = 2_048  # 64 elements
_LAST_TIME: Final = 253_402_300_799  # the end of the year 9999
# A party's name becomes part of a URI, of a folder and of a command line.
PARTY_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_FRACTION: Final = re.compile(r"[1-9][0-9]{0,19}/[1-9][0-9]{0,19}")
_REGION: Final = re.compile("[A-Z]{2}")
MAX_ADDRESS: Final = 261  # a host of 253 characters, brackets, a colon and five digits

# Why a bank does not issue a certificate. `unproven` says nothing about which part was wrong.
ENROL_REFUSALS: Final = frozenset({"unproven", "expired", "used", "locked", "replaced", "refused", "revoked"})
# Why a side does not take part in a job.
JOB_REFUSALS: Final = frozenset(
    {"person", "kind", "purpose", "dataset", "columns", "limit", "policy", "contract", "canary", "version"}
)
JOB_STATES: Final = frozenset(
    {"proposed", "accepted", "running", "done", "failed", "refused", "cancelled", "expired"}
)
# What a side's part of an attempt is at: the phases of ``party.progress``.
JOB_PHASES: Final = frozenset(
    {"check", "connect", "agree", "read", "order", "exchange", "match", "encrypt", "collect", "write"}
)
# What a preflight came to at one side: well, what is wrong there, that canaries did not meet, or why it was not done.
PREFLIGHT_PASSED: Final = "passed"
PREFLIGHT_WORDS: Final = frozenset(
    {
        PREFLIGHT_PASSED,
        "dataset",
        "column",
        "content",
        "unreadable",
        "form",
        "mismatch",
        "limited",
        "failed",
    }
)
UNKNOWN: Final = "unknown"


class EnrolState(Enum):
    """How an enrolment stands."""

    PENDING = 1
    ISSUED = 2
    REFUSED = 3


def _check_job(job: str) -> None:
    check_text(job, MAX_JOB, "a job's name")


def _check_time(time: int) -> None:
    require(0 <= time <= _LAST_TIME, "an impossible time")


def two_digits(number: int) -> int:
    """Return ``number`` rounded to two significant digits, as a catalogue shows a size."""
    step: int = 10 ** max(0, len(str(number)) - 2)
    return (number + step // 2) // step * step


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """A node asks for its certificate; ``proof`` and ``identity_proof`` as in ``party.invitation``."""

    partner: str
    csr: bytes
    identity: bytes
    identity_proof: bytes
    proof: bytes
    software: str

    def __post_init__(self) -> None:
        require(PARTY_NAME.fullmatch(self.partner) is not None, "an impossible partner's name")
        require(0 < len(self.csr) <= MAX_CSR_BYTES, "a certificate request of an impossible length")
        check_bytes(self.identity, IDENTITY_BYTES, "an identity")
        check_bytes(self.identity_proof, SIGNATURE_BYTES, "a signature")
        check_bytes(self.proof, SIGNATURE_BYTES, "a signature")
        check_text(self.software, MAX_SOFTWARE, "a software's name")


@dataclass(frozen=True, slots=True)
class EnrolReply:
    """How an enrolment stands: a word if refused, and all that the node needs once it is issued."""

    state: EnrolState
    code: str = ""
    bank: str = ""
    identity: bytes = b""
    certificate: bytes = b""
    address: str = ""

    def __post_init__(self) -> None:
        if self.state is EnrolState.REFUSED:
            if self.code not in ENROL_REFUSALS:
                object.__setattr__(self, "code", UNKNOWN)
        else:
            require(not self.code, "a refusal that is none")
        if self.state is EnrolState.ISSUED:
            require(PARTY_NAME.fullmatch(self.bank) is not None, "an impossible bank's name")
            check_bytes(self.identity, IDENTITY_BYTES, "an identity")
            require(
                0 < len(self.certificate) <= MAX_CERTIFICATE_BYTES, "a certificate of an impossible length"
            )
            check_text(self.address, MAX_ADDRESS, "an address")
        else:
            require(
                not (self.bank or self.identity or self.certificate or self.address),
                "more than the state of an enrolment allows",
            )


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """A node asks whether its certificate is accepted."""

    protocol_version: int
    software: str

    def __post_init__(self) -> None:
        check_text(self.software, MAX_SOFTWARE, "a software's name")


@dataclass(frozen=True, slots=True)
class CheckReply:
    """It is; what speaks at the other end, and its time in seconds since 1970-01-01 UTC."""

    protocol_version: int
    software: str
    partner: str
    time: int

    def __post_init__(self) -> None:
        check_text(self.software, MAX_SOFTWARE, "a software's name")
        require(PARTY_NAME.fullmatch(self.partner) is not None, "an impossible partner's name")
        _check_time(self.time)


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A dataset as the partner may see it; ``persons`` is rounded by :func:`two_digits`, ``schema`` a SHA-256."""

    name: str
    identifiers: tuple[str, ...]
    columns: tuple[str, ...]
    persons: int
    schema: bytes

    def __post_init__(self) -> None:
        check_text(self.name, MAX_TEXT_BYTES, "a dataset's name")
        check_bytes(self.schema, DIGEST_BYTES, "a schema's fingerprint")
        require(0 < len(self.identifiers) <= MAX_IDENTIFIERS, "an impossible number of identifiers")
        require(len(self.columns) <= MAX_COLUMNS, "too many columns")
        for text in (*self.identifiers, *self.columns):
            check_text(text, MAX_TEXT_BYTES, "a column's name")
        require(_distinct(self.columns) and _distinct(self.identifiers), "a column twice")
        require(0 <= self.persons <= MAX_PERSONS, "an impossible size of a dataset")
        # An exact size is more than a catalogue says.
        require(self.persons == two_digits(self.persons), "a size that is not rounded")


@dataclass(frozen=True, slots=True)
class PolicyLimits:
    """The limits of the sender's policy; ``epsilon`` as a fraction in lowest terms, empty for none."""

    min_group: int
    min_converters: int
    dominance: int
    max_set: int
    epsilon: str = ""

    def __post_init__(self) -> None:
        for number in (self.min_group, self.min_converters, self.max_set):
            require(0 < number <= MAX_PERSONS, "an impossible limit")
        require(0 <= self.dominance <= MAX_PERSONS, "an impossible limit")
        require(self.epsilon == "" or _FRACTION.fullmatch(self.epsilon) is not None, "an impossible limit")


def _distinct(texts: Iterable[str]) -> bool:
    listed = list(texts)
    return len(set(listed)) == len(listed)


@dataclass(frozen=True, slots=True)
class ControlHello:
    """First message of each side, and again when its catalogue has changed; ``time`` shows the clocks' difference."""

    protocol_version: int
    software: str
    time: int
    catalogue: tuple[CatalogueEntry, ...] = ()
    limits: PolicyLimits | None = None

    def __post_init__(self) -> None:
        check_text(self.software, MAX_SOFTWARE, "a software's name")
        _check_time(self.time)
        require(len(self.catalogue) <= MAX_DATASETS, "too many datasets")
        require(sum(len(entry.columns) for entry in self.catalogue) <= MAX_COLUMNS, "too many columns")
        require(_distinct(entry.name for entry in self.catalogue), "a dataset twice")


@dataclass(frozen=True, slots=True)
class Ping:
    """A sign of life of the node itself, not only of its kernel or gRPC; the other side sends it back."""

    number: int


@dataclass(frozen=True, slots=True)
class Renew:
    """A request (PKCS#10, DER) for a certificate of a new key."""

    csr: bytes

    def __post_init__(self) -> None:
        require(0 < len(self.csr) <= MAX_CSR_BYTES, "a certificate request of an impossible length")


@dataclass(frozen=True, slots=True)
class Renewed:
    """The certificate that was asked for, PEM."""

    certificate: bytes

    def __post_init__(self) -> None:
        require(0 < len(self.certificate) <= MAX_CERTIFICATE_BYTES, "a certificate of an impossible length")


@dataclass(frozen=True, slots=True)
class Propose:
    """The bank proposes a job: its table (canonical JSON), the contract, the card's SHA-256 and its signature."""

    job: str
    table: bytes
    contract: bytes
    card: bytes
    signature: bytes

    def __post_init__(self) -> None:
        _check_job(self.job)
        require(0 < len(self.table) <= MAX_TABLE_BYTES, "a job's table of an impossible length")
        require(0 < len(self.contract) <= MAX_CONTRACT_BYTES, "a contract of an impossible length")
        check_bytes(self.card, DIGEST_BYTES, "a card's hash")
        check_bytes(self.signature, SIGNATURE_BYTES, "a signature")


@dataclass(frozen=True, slots=True)
class Accept:
    """The platform accepts exactly the contract with this SHA-256, and signs it."""

    job: str
    contract: bytes
    signature: bytes

    def __post_init__(self) -> None:
        _check_job(self.job)
        check_bytes(self.contract, DIGEST_BYTES, "a contract's hash")
        check_bytes(self.signature, SIGNATURE_BYTES, "a signature")


@dataclass(frozen=True, slots=True)
class Refuse:
    """A side does not take part; the reason is a word of ``JOB_REFUSALS``."""

    job: str
    reason: str

    def __post_init__(self) -> None:
        _check_job(self.job)
        if self.reason not in JOB_REFUSALS:
            object.__setattr__(self, "reason", UNKNOWN)


@dataclass(frozen=True, slots=True)
class Cancel:
    """A person stopped the job."""

    job: str

    def __post_init__(self) -> None:
        _check_job(self.job)


@dataclass(frozen=True, slots=True)
class Start:
    """The bank waits for the stream of this job; attempts count from 1, each with a seed of its own."""

    job: str
    attempt: int

    def __post_init__(self) -> None:
        _check_job(self.job)
        require(0 < self.attempt <= MAX_ATTEMPTS, "an impossible number of attempts")


@dataclass(frozen=True, slots=True)
class JobState:
    """Where a side sees the job; ``code`` is the word of a job that failed, and empty otherwise.

    ``attempt`` is the one that it is said of, 0 where it is of none. ``done`` by the platform means: its part of this
    attempt is complete; by the bank: the job is.
    """

    job: str
    state: str
    code: str = ""
    attempt: int = 0

    def __post_init__(self) -> None:
        _check_job(self.job)
        if self.state not in JOB_STATES:
            object.__setattr__(self, "state", UNKNOWN)
        require(0 <= self.attempt <= MAX_ATTEMPTS, "an impossible number of attempts")
        if self.code and self.code not in PEER_WORDS:
            object.__setattr__(self, "code", UNKNOWN)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far the sender's part of an attempt is: a word of ``JOB_PHASES`` and the share of that phase in percent.

    A share, not rows: how many rows a side's file has, before those that are twice or unreadable, is its own affair.
    """

    job: str
    attempt: int
    phase: str
    percent: int

    def __post_init__(self) -> None:
        _check_job(self.job)
        require(0 < self.attempt <= MAX_ATTEMPTS, "an impossible number of attempts")
        require(0 <= self.percent <= 100, "an impossible share")
        if self.phase not in JOB_PHASES:
            object.__setattr__(self, "phase", UNKNOWN)


@dataclass(frozen=True, slots=True)
class PreflightAsk:
    """The bank asks for a preflight of a draft; from ``dataset`` on it is about the platform's side."""

    job: str
    run: bytes
    contract: bytes
    suite: str
    form: str
    dataset: str
    schema: bytes
    column: str
    region: str

    def __post_init__(self) -> None:
        _check_job(self.job)
        check_bytes(self.run, RUN_BYTES, "a preflight's number")
        check_bytes(self.contract, DIGEST_BYTES, "a contract's hash")
        check_bytes(self.schema, DIGEST_BYTES, "a schema's fingerprint")
        for text, what in (
            (self.suite, "a suite"),
            (self.form, "a form"),
            (self.dataset, "a dataset's name"),
        ):
            check_text(text, MAX_TEXT_BYTES, what)
        check_text(self.column, MAX_TEXT_BYTES, "a column's name")
        require(_REGION.fullmatch(self.region) is not None, "an impossible region")


@dataclass(frozen=True, slots=True)
class PreflightPart:
    """One message of a preflight's private match."""

    run: bytes
    message: Message

    def __post_init__(self) -> None:
        check_bytes(self.run, RUN_BYTES, "a preflight's number")
        arrived: object = self.message  # an envelope has room for the messages of every protocol
        require(isinstance(arrived, Message), "a message that no preflight has")
        if isinstance(arrived, Chunk):
            require(len(arrived.data) <= MAX_PREFLIGHT_BYTES, "more than a preflight has")


@dataclass(frozen=True, slots=True)
class PreflightVerdict:
    """What a preflight came to at the side that says it; the code is a word of ``PREFLIGHT_WORDS``."""

    run: bytes
    code: str

    def __post_init__(self) -> None:
        check_bytes(self.run, RUN_BYTES, "a preflight's number")
        if self.code not in PREFLIGHT_WORDS:
            object.__setattr__(self, "code", UNKNOWN)


ControlMessage = (
    ControlHello
    | Ping
    | Renew
    | Renewed
    | Propose
    | Accept
    | Refuse
    | Cancel
    | Start
    | JobState
    | JobProgress
    | PreflightAsk
    | PreflightPart
    | PreflightVerdict
    | LogKeys
    | LogOffer
    | LogCosigned
    | LogConflict
    | LogRefused
)
