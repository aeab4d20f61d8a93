"""The audit in the API: entries of the log, its verification, the bundle and evidence packs."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel

from audit.report import fingerprint_of
from console.access import Right, Visitor, allowed
from console.auditexports import bundle_answer, pack_answer
from console.auditing import Verification, line_of, log_entry, log_page, log_state, verifier, wanted
from party.logview import LogEntry, LogState

router = APIRouter(tags=["audit"])
Audits = Annotated[Visitor, Depends(allowed(Right.AUDIT))]
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Log = Annotated[
    int | None, Query(ge=1, le=10_000, description="an earlier log of the node, from before a restore")
]
Details = Annotated[
    bool, Query(description="open the sealed details, which hold counts that policy withholds")
]
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}
_ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}
}


class WitnessFacts(BaseModel):
    """A partner: how many entries it has cosigned, and why it does not cosign more (a code), if so."""

    partner: str
    size: int
    trouble: str | None


class LogFacts(BaseModel):
    """A log as a whole. `newest` is false once a restore has ended it; `identity` is what an auditor compares."""

    log: int
    newest: bool
    origin: str
    identity: str
    size: int
    policy: str | None
    checkpoint: int | None
    checkpoint_at: datetime.datetime | None
    witnesses: list[WitnessFacts]

    @classmethod
    def of(cls, state: LogState) -> Self:
        """Return it as the API tells it."""
        at = state.checkpoint_at
        return cls(
            log=state.facts.epoch,
            newest=state.newest,
            origin=state.facts.origin,
            identity=fingerprint_of(state.facts.identity.hex()),
            size=state.size,
            policy=state.policy,
            checkpoint=state.checkpoint,
            checkpoint_at=None if at is None else datetime.datetime.fromtimestamp(at, datetime.UTC),
            witnesses=[
                WitnessFacts(partner=each.partner, size=each.size, trouble=each.trouble)
                for each in state.witnesses
            ],
        )


class Entry(BaseModel):
    """One entry: `entry` as it is in the log and `text` in words; both are null for bytes that are no entry."""

    sequence: int
    text: str | None
    entry: dict[str, Any] | None

    @classmethod
    def of(cls, entry: LogEntry, language: str) -> Self:
        """Return it as the API tells it."""
        line = line_of(entry, language)
        said = None if entry.said is None else dict(entry.said)
        return cls(sequence=entry.sequence, text=None if line is None else line.text, entry=said)


class EntryPage(BaseModel):
    """Entries, the newest first. A page may have few or none and a `next` all the same: it looked no further."""

    items: list[Entry]
    next: str | None


class WholeEntry(Entry):
    """An entry with its canonical bytes as text, and its leaf hash in the tree."""

    canonical: str
    leaf: str


class AuditNote(BaseModel):
    """A sentence of the report under its code."""

    code: str
    text: str


class BundlePlace(BaseModel):
    """Where in the bundle."""

    bundle: str
    what: str
    number: int | None
    job: str | None


class AuditProblem(BaseModel):
    """One thing that is wrong."""

    code: str
    place: BundlePlace
    params: dict[str, str | int]
    text: str


class AuditCheckNote(AuditNote):
    """Something that a reader should know and that is no failure."""

    params: dict[str, str | int]


class AuditCheck(BaseModel):
    """One check, what it counted and found; `reason` says why it was not made."""

    id: str
    bundle: str
    state: Literal["passed", "failed", "not_checked"]
    text: str
    counts: dict[str, int]
    problems: list[AuditProblem]
    more_problems: int
    notes: list[AuditCheckNote]
    reason: str


class AuditSection(BaseModel):
    """Checks on one question of an auditor."""

    id: str
    checks: list[AuditCheck]


class MessagesSent(BaseModel):
    """How many messages of one name left a side, and their bytes."""

    count: int
    bytes: int


class JobTraffic(BaseModel):
    """What left one side in one job."""

    bundle: str
    job: str
    kind: str
    side: str
    bytes: int
    messages: dict[str, MessagesSent]


class BundleIdentity(BaseModel):
    """Whose log a bundle is."""

    bundle: str
    identity: str
    fingerprint: str


class AuditReport(BaseModel):
    """What `veiljoin audit verify --json` prints of the same log."""

    veiljoin_audit_report: int
    verdict: Literal["passed", "failed"]
    first_problem: AuditProblem | None
    scope: list[AuditNote]
    bundles: list[str]
    identities: list[BundleIdentity]
    sections: list[AuditSection]
    traffic: list[JobTraffic]
    unproven: list[str]


class VerificationFacts(BaseModel):
    """One verification of the own log. `broken`: it could not be made, and `error` says why."""

    state: Literal["none", "running", "passed", "failed", "broken"]
    by: str | None = None
    entries: int | None = None
    begun: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    report: AuditReport | None = None
    error: str | None = None

    @classmethod
    def of(cls, one: Verification) -> Self:
        """Return it as the API tells it."""
        report, error = one.report, one.error
        return cls(
            state=one.state,
            by=one.by,
            entries=one.entries,
            begun=one.begun,
            ended=one.ended,
            report=None if report is None else AuditReport.model_validate(report.to_json()),
            error=None if error is None else str(error),
        )


@router.get("/audit", operation_id="audit_log")
def state(visitor: Audits, log: Log = None) -> LogFacts:
    """Return the state of the log: its size, its last checkpoint and who cosigned it."""
    return LogFacts.of(log_state(visitor.place, log))


@router.get("/audit/entries", operation_id="audit_entries")
def entries(
    visitor: Audits,
    job: Annotated[
        str, Query(max_length=32, description="a job's id, or 4 or more digits it begins with")
    ] = "",
    type: Annotated[str, Query(max_length=40)] = "",
    actor: Annotated[
        str, Query(max_length=136, description="as the log has it, such as ann or node:bank")
    ] = "",
    since: Annotated[AwareDatetime | None, Query(description="entries of this moment or later")] = None,
    until: Annotated[AwareDatetime | None, Query(description="entries before this moment")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[
        str | None, Query(pattern="^[0-9]{1,15}$", description="`next` of the page before")
    ] = None,
    log: Log = None,
) -> EntryPage:
    """List entries of the log, the newest first."""
    what = wanted(visitor.place, job=job, type=type, actor=actor, since=since, until=until)
    epoch = log_state(visitor.place, log).facts.epoch
    before = None if after is None else int(after)
    found = log_page(visitor.place, epoch, what, before=before, limit=limit)
    return EntryPage(
        items=[Entry.of(each, visitor.words.language) for each in found.entries],
        next=None if found.following is None else str(found.following),
    )


@router.get("/audit/entries/{sequence}", operation_id="audit_entry")
def entry(visitor: Audits, sequence: Annotated[int, Path(ge=0, lt=2**53)], log: Log = None) -> WholeEntry:
    """Return one entry in the bytes that are in the tree."""
    epoch = log_state(visitor.place, log).facts.epoch
    found, leaf = log_entry(visitor.place, epoch, sequence)
    told = Entry.of(found, visitor.words.language)
    return WholeEntry(**told.model_dump(), canonical=found.data.decode("utf-8", "replace"), leaf=leaf.hex())


@router.post("/audit/verify", operation_id="audit_verify", status_code=202)
def verify_now(visitor: Audits) -> VerificationFacts:
    """Begin to verify the own log; its report is read at the same address."""
    return VerificationFacts.of(verifier(visitor.place).begin(visitor.place, str(visitor.actor)))


@router.get("/audit/verify", operation_id="audit_verification")
def verification(visitor: Audits) -> VerificationFacts:
    """Return the verification under way, or else the last one since the console was started."""
    latest = verifier(visitor.place).latest
    return VerificationFacts(state="none") if latest is None else VerificationFacts.of(latest)


@router.get("/audit/bundle", operation_id="audit_bundle", response_class=StreamingResponse, responses=_FILE)
def bundle(visitor: Audits, details: Details = False, log: Log = None) -> Response:
    """Hand out the whole log as a file that `veiljoin audit verify` reads. The export is an entry of the log."""
    return bundle_answer(visitor, details=details, epoch=log)


@router.get("/jobs/{job}/evidence", operation_id="job_evidence", response_class=Response, responses=_ZIP)
def pack(visitor: Audits, job: JobId, details: Details = False) -> Response:
    """Hand out the evidence pack of a job, an archive (zip). The export is an entry of the log."""
    visitor.place.jobs.get(job)
    return pack_answer(visitor, job, details=details)
