"""One job out of a bundle: what an evidence pack shows, and its files. From the bundle's lines alone.

Nothing is verified here but the two signatures under the contract: whether the log is what the party kept, and the
partner cosigned, is for :mod:`audit.verify` to say. SPEC 9.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from audit.bundle import Bundle, Extra, Header
from audit.checkpoint import check_cosignature
from audit.contracts import Contract, decoded, other, read, verify_signature
from audit.entry import ROLES, parse
from audit.note import NoteError, lines_of, parse_verifier, split

# What the folder of a pack holds, beside the page.
BUNDLE_FILE: Final = "pack.veiljoin-log"
PAGE_FILE: Final = "index.html"
CONTRACT_FILE: Final = "contract.json"
CARD_FILES: Final = {"en": "card.en.txt", "zh": "card.zh.txt"}
APPROVALS_FILE: Final = "approvals.json"
TRANSCRIPT_FILE: Final = "transcript.json"
DECISIONS_FILE: Final = "decisions.json"

SHORTEST_JOB: Final = 4
_JOB_HEX: Final = 32
_HEX: Final = frozenset("0123456789abcdef")
_TEXTS: Final = ("purpose", "identifier", "suite", "expires")
AGREEMENT: Final = frozenset(
    (
        *("job_draft", "job_edit", "job_approve", "job_void", "job_propose", "job_accept", "job_refuse"),
        *("rehearsal", "preflight"),
    )
)
COURSE: Final = frozenset(
    (
        *("dataset_used", "job_start", "job_retry", "job_fail", "job_cancel", "job_expire", "job_finish"),
        *(
            "key_created",
            "key_destroyed",
            "seed_kept",
            "result_released",
            "result_read",
            "result_purged",
            "result_closed",
        ),
    )
)


class PackFault(ValueError):
    """The bundle does not hold the job that was asked for; the text says why."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """The contract: its canonical bytes, what they say, the sides whose signature under it holds, and its card.

    ``texts`` has purpose, identifier, suite and expires; ``card`` the card's lines by language.
    """

    canonical: bytes
    terms: Contract
    texts: Mapping[str, str]
    signed: tuple[str, ...]
    card: Mapping[str, tuple[str, ...]]

    @property
    def hash(self) -> str:
        """The hex SHA-256 of the canonical bytes: what was approved and signed."""
        return self.terms.hash.hex()


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The checkpoint over ``size`` entries carries the signature of ``partner``, of ``seconds`` since 1970."""

    size: int
    partner: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Pack:
    """What a bundle says of one job.

    ``entries`` are parsed, in sequence; ``cosigned`` is by size; ``names`` maps bank and platform to names, as far as
    they are known; ``inclusions`` maps entries to the size of the checkpoint that they are proved to be in.
    ``details`` are opened commitments by sequence, unchecked.
    """

    header: Header
    job: str
    entries: tuple[Mapping[str, Any], ...]
    agreed: Agreed | None
    cosigned: tuple[Cosigned, ...]
    names: Mapping[str, str]
    inclusions: Mapping[int, int]
    details: Mapping[int, Mapping[str, Any]]

    def of(self, *types: str) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of ``types``, in sequence."""
        return (entry for entry in self.entries if entry["type"] in types)

    def covered(self, sequence: int) -> Cosigned | None:
        """Return the first cosigned checkpoint that covers entry ``sequence``."""
        return next((each for each in self.cosigned if each.size > sequence), None)


def read_pack(bundle: Bundle, job: str | None = None) -> Pack:
    """Read one job out of ``bundle``: that of an evidence pack, or the one whose id begins with ``job``.

    Raises :class:`PackFault` unless it is exactly one, ``BundleFault`` for what cannot be read.
    """
    wanted = _wanted(bundle.header, job)
    entries = _entries(bundle, wanted)
    jobs = {str(entry["job"]) for entry in entries}
    if not jobs:
        raise PackFault(f"{bundle.label} has no entry of a job {wanted}")
    if len(jobs) > 1:
        raise PackFault(f"{bundle.label} has more than one job whose id begins with {wanted}")
    (found,) = jobs
    agreed, partners, notes = None, [], []
    inclusions: dict[int, int] = {}
    details: dict[int, Mapping[str, Any]] = {}
    sequences = {entry["sequence"] for entry in entries}
    signed = {entry["facts"]["digest"] for entry in entries if entry["type"] in ("job_propose", "job_accept")}
    for extra in bundle.extras():
        fields = extra.fields
        match extra.kind:
            case "contract" if agreed is None or agreed.hash not in signed:
                agreed = _agreed(bundle.label, extra, found) or agreed
            case "partner":
                partners.append(fields)
            case "checkpoint":
                notes.append((fields["size"], fields["note"].encode()))
            case "inclusion" if fields["sequence"] in sequences:
                inclusions[fields["sequence"]] = fields["size"]
            case "details" if fields["sequence"] in sequences:
                details[fields["sequence"]] = fields["details"]
    return Pack(
        bundle.header,
        found,
        tuple(entries),
        agreed,
        tuple(_cosigned(notes, partners)),
        _names(bundle.header, agreed, partners),
        inclusions,
        details,
    )


def _wanted(header: Header, job: str | None) -> str:
    if job is None:
        if header.pack is None:
            raise PackFault("the bundle is of a whole log, so the job has to be named")
        return header.pack
    start = job.strip().lower()
    if not SHORTEST_JOB <= len(start) <= _JOB_HEX or not set(start) <= _HEX:
        raise PackFault(
            f"a job is named by the first {SHORTEST_JOB} to {_JOB_HEX} hexadecimal digits of its id"
        )
    return start


def _entries(bundle: Bundle, wanted: str) -> list[dict[str, Any]]:
    # Found in the bytes: parsing each of a million entries would take a quarter of a minute.
    mark = b'"job":"' + wanted.encode("ascii")
    found = []
    for line in bundle.entries():
        if mark in line.data:
            try:
                entry = parse(line.data)
            except ValueError:
                raise PackFault(f"{bundle.label}, line {line.line}, is not an entry of a log") from None
            if str(entry["job"]).startswith(wanted):
                found.append(entry)
    return found


def _agreed(label: str, extra: Extra, job: str) -> Agreed | None:
    """Return the contract of a line if it is that of ``job``."""
    fields = extra.fields
    try:
        data = decoded(fields["contract"])
        terms = read(data)
        texts = {key: _text(json.loads(data)[key]) for key in _TEXTS}
    except (ValueError, KeyError):
        raise PackFault(f"{label}, line {extra.line}, holds no contract of this version") from None
    if terms.job != job:
        return None
    signed = tuple(side for side in ROLES if _holds(terms, side, fields[f"{side}_signature"]))
    card = {"en": tuple(fields["card_en"]), "zh": tuple(fields["card_zh"])}
    return Agreed(data, terms, texts, signed, card)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("not a text")
    return value


def _holds(terms: Contract, side: str, signature: str | None) -> bool:
    """Return whether ``signature`` is that of the identity which the contract names for ``side``."""
    if signature is None:
        return False
    try:
        verify_signature(terms.identities[side], terms.hash, side, bytes.fromhex(signature))
    except ValueError:
        return False
    return True


def _cosigned(notes: list[tuple[int, bytes]], partners: list[dict[str, Any]]) -> Iterator[Cosigned]:
    """Yield the cosignatures that hold, by size."""
    for size, note in sorted(notes):
        for partner in partners:
            try:
                verifier = parse_verifier(partner["witness_key"])
                text, lines = split(note)
                for line in lines_of(lines, verifier):
                    seconds = check_cosignature(text, bytes(line), partner["witness_key"])
                    yield Cosigned(size, partner["name"], seconds)
            except NoteError:
                continue  # not a cosignature: audit.verify says what is wrong with it


def _names(header: Header, agreed: Agreed | None, partners: list[dict[str, Any]]) -> dict[str, str]:
    names = {header.role: header.name}
    peer = other(header.role)
    for partner in partners:
        if agreed is not None and bytes.fromhex(partner["identity"]) == agreed.terms.identities[peer]:
            names[peer] = partner["name"]
    return names


# -- files


def files(pack: Pack) -> dict[str, bytes]:
    """Return the readable files of a pack by name; its bundle and its page are not among them.

    ``contract.json`` are the canonical bytes, so that its SHA-256 is what was signed.
    """
    made: dict[str, bytes] = {}
    if pack.agreed is not None:
        made[CONTRACT_FILE] = pack.agreed.canonical
        for language, name in CARD_FILES.items():
            if pack.agreed.card[language]:
                made[name] = ("\n".join(pack.agreed.card[language]) + "\n").encode()
    made[APPROVALS_FILE] = _json([_plain(pack, entry) for entry in pack.of(*AGREEMENT, *COURSE)])
    made[TRANSCRIPT_FILE] = _json([_plain(pack, entry) for entry in pack.of("stream")])
    made[DECISIONS_FILE] = _json([_plain(pack, entry) for entry in pack.of("decision", "budget_spent")])
    return made


def _plain(pack: Pack, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what people look for in an entry; all of it is in the bundle, under the same sequence."""
    plain: dict[str, Any] = {
        "sequence": entry["sequence"],
        "time": entry["time"],
        "type": entry["type"],
        "actor": entry["actor"],
        "policy": entry["policy"],
        **entry["facts"],
        **({} if entry["shared"] is None else {"shared": entry["shared"]}),
    }
    covered = pack.covered(entry["sequence"])
    if covered is not None:
        plain["cosigned"] = {
            "by": covered.partner,
            "checkpoint": covered.size,
            "at": covered.seconds * 1000,
        }
    if entry["sequence"] in pack.details:
        plain["details"] = pack.details[entry["sequence"]]
    return plain


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
