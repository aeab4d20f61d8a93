"""The codec of the control stream and of enrolment, as strict as ``veiljoin.codec`` is with a job's messages."""

from __future__ import annotations

from typing import Final

from psi.errors import PeerViolation
from psi.messages import Message
from veiljoin import codec
from veiljoin.bounds import require
from veiljoin.control_messages import (
    MAX_COLUMNS,
    MAX_DATASETS,
    MAX_IDENTIFIERS,
    Accept,
    Cancel,
    CatalogueEntry,
    CheckReply,
    CheckRequest,
    ControlHello,
    ControlMessage,
    EnrolReply,
    EnrolRequest,
    EnrolState,
    JobProgress,
    JobState,
    Ping,
    PolicyLimits,
    PreflightAsk,
    PreflightPart,
    PreflightVerdict,
    Propose,
    Refuse,
    Renew,
    Renewed,
    Start,
)
from veiljoin.log_messages import MAX_PROOF, LogConflict, LogCosigned, LogKeys, LogOffer, LogRefused
from veiljoin.sum_codec import no_unknown_fields
from veiljoin.v1 import control_pb2 as pb

_STATES: Final = {
    EnrolState.PENDING: pb.ENROL_STATE_PENDING,
    EnrolState.ISSUED: pb.ENROL_STATE_ISSUED,
    EnrolState.REFUSED: pb.ENROL_STATE_REFUSED,
}


def encode(message: ControlMessage) -> pb.ControlEnvelope:
    """Return ``message`` as an envelope."""
    match message:
        case ControlHello(version, software, time, catalogue, limits):
            entries = [
                pb.CatalogueEntry(
                    name=entry.name,
                    identifiers=entry.identifiers,
                    columns=entry.columns,
                    persons=entry.persons,
                    schema=entry.schema,
                )
                for entry in catalogue
            ]
            hello = pb.ControlHello(
                protocol_version=version,
                software=software,
                time=time,
                catalogue=entries,
                limits=None if limits is None else _limits(limits),
            )
            return pb.ControlEnvelope(hello=hello)
        case Ping(number):
            return pb.ControlEnvelope(ping=pb.Ping(number=number))
        case Renew(csr):
            return pb.ControlEnvelope(renew=pb.Renew(csr=csr))
        case Renewed(certificate):
            return pb.ControlEnvelope(renewed=pb.Renewed(certificate=certificate))
        case Propose(job, table, contract, card, signature):
            propose = pb.Propose(job=job, table=table, contract=contract, card=card, signature=signature)
            return pb.ControlEnvelope(propose=propose)
        case Accept(job, contract, signature):
            return pb.ControlEnvelope(accept=pb.Accept(job=job, contract=contract, signature=signature))
        case Refuse(job, reason):
            return pb.ControlEnvelope(refuse=pb.Refuse(job=job, reason=reason))
        case Cancel(job):
            return pb.ControlEnvelope(cancel=pb.Cancel(job=job))
        case Start(job, attempt):
            return pb.ControlEnvelope(start=pb.Start(job=job, attempt=attempt))
        case JobState(job, state, code, attempt):
            told = pb.JobState(job=job, state=state, code=code, attempt=attempt)
            return pb.ControlEnvelope(job_state=told)
        case JobProgress(job, attempt, phase, percent):
            share = pb.JobProgress(job=job, attempt=attempt, phase=phase, percent=percent)
            return pb.ControlEnvelope(job_progress=share)
        case PreflightAsk():
            ask = pb.PreflightAsk(
                job=message.job,
                run=message.run,
                contract=message.contract,
                suite=message.suite,
                form=message.form,
                dataset=message.dataset,
                schema=message.schema,
                column=message.column,
                region=message.region,
            )
            return pb.ControlEnvelope(preflight_ask=ask)
        case PreflightPart(run, part):
            carried = pb.PreflightPart(run=run, message=codec.encode(part))
            return pb.ControlEnvelope(preflight_part=carried)
        case PreflightVerdict(run, code):
            return pb.ControlEnvelope(preflight_verdict=pb.PreflightVerdict(run=run, code=code))
        case LogKeys(origin, log_key, witness_key, proof):
            keys = pb.LogKeys(origin=origin, log_key=log_key, witness_key=witness_key, proof=proof)
            return pb.ControlEnvelope(log_keys=keys)
        case LogOffer(note, old_size, hashes):
            return pb.ControlEnvelope(log_offer=pb.LogOffer(note=note, old_size=old_size, proof=hashes))
        case LogCosigned(size, line):
            return pb.ControlEnvelope(log_cosigned=pb.LogCosigned(size=size, line=line))
        case LogConflict(size):
            return pb.ControlEnvelope(log_conflict=pb.LogConflict(size=size))
        case LogRefused(size, code):
            return pb.ControlEnvelope(log_refused=pb.LogRefused(size=size, code=code))


def _limits(limits: PolicyLimits) -> pb.PolicyLimits:
    return pb.PolicyLimits(
        min_group=limits.min_group,
        min_converters=limits.min_converters,
        dominance=limits.dominance,
        max_set=limits.max_set,
        epsilon=limits.epsilon,
    )


def decode(envelope: pb.ControlEnvelope) -> ControlMessage:
    """Return the message in ``envelope``. Raises ``PeerViolation`` for anything but exactly one message."""
    no_unknown_fields(envelope)
    name = envelope.WhichOneof("body")
    if name is None:
        raise PeerViolation("The partner sent an empty envelope.")
    body = getattr(envelope, name)
    no_unknown_fields(body)
    match body:
        case pb.ControlHello():
            return _hello(body)
        case pb.Ping():
            return Ping(body.number)
        case pb.Renew():
            return Renew(body.csr)
        case pb.Renewed():
            return Renewed(body.certificate)
        case pb.Propose():
            return Propose(body.job, body.table, body.contract, body.card, body.signature)
        case pb.Accept():
            return Accept(body.job, body.contract, body.signature)
        case pb.Refuse():
            return Refuse(body.job, body.reason)
        case pb.Cancel():
            return Cancel(body.job)
        case pb.Start():
            return Start(body.job, body.attempt)
        case pb.JobState():
            return JobState(body.job, body.state, body.code, body.attempt)
        case pb.JobProgress():
            return JobProgress(body.job, body.attempt, body.phase, body.percent)
        case pb.PreflightAsk():
            return _ask(body)
        case pb.PreflightPart():
            return PreflightPart(body.run, _part(body))
        case pb.PreflightVerdict():
            return PreflightVerdict(body.run, body.code)
        case pb.LogKeys():
            return LogKeys(body.origin, body.log_key, body.witness_key, body.proof)
        case pb.LogOffer():
            # Before the list is copied: one of a whole message would take eight times its size.
            require(len(body.proof) <= MAX_PROOF, "a proof of an impossible length")
            return LogOffer(body.note, body.old_size, tuple(body.proof))
        case pb.LogCosigned():
            return LogCosigned(body.size, body.line)
        case pb.LogConflict():
            return LogConflict(body.size)
        case pb.LogRefused():
            return LogRefused(body.size, body.code)
    raise PeerViolation("The partner sent a message that this version does not know.")


def _ask(body: pb.PreflightAsk) -> PreflightAsk:
    return PreflightAsk(
        body.job,
        body.run,
        body.contract,
        body.suite,
        body.form,
        body.dataset,
        body.schema,
        body.column,
        body.region,
    )


def _part(body: pb.PreflightPart) -> Message:
    # Of an envelope of a job's stream only the messages of a private match.
    message = codec.decode(body.message)
    if not isinstance(message, Message):
        raise PeerViolation("The partner sent a message that no preflight has.")
    return message


def _hello(body: pb.ControlHello) -> ControlHello:
    # Counted before anything is built: a message has room for a million.
    columns = sum(len(entry.columns) for entry in body.catalogue[: MAX_DATASETS + 1])
    if (
        len(body.catalogue) > MAX_DATASETS
        or columns > MAX_COLUMNS
        or any(len(entry.identifiers) > MAX_IDENTIFIERS for entry in body.catalogue)
    ):
        raise PeerViolation("The partner sent a list that is longer than the protocol allows.")
    no_unknown_fields(*body.catalogue)
    limits = None
    if body.HasField("limits"):
        told = body.limits
        no_unknown_fields(told)
        limits = PolicyLimits(told.min_group, told.min_converters, told.dominance, told.max_set, told.epsilon)
    return ControlHello(
        body.protocol_version,
        body.software,
        body.time,
        tuple(
            CatalogueEntry(
                entry.name, tuple(entry.identifiers), tuple(entry.columns), entry.persons, entry.schema
            )
            for entry in body.catalogue
        ),
        limits,
    )


def encode_enrol(message: EnrolRequest) -> pb.EnrolRequest:
    """Return an enrolment request as protobuf."""
    return pb.EnrolRequest(
        partner=message.partner,
        csr=message.csr,
        identity=message.identity,
        identity_proof=message.identity_proof,
        proof=message.proof,
        software=message.software,
    )


def decode_enrol(body: pb.EnrolRequest) -> EnrolRequest:
    """Return an enrolment request. Raises ``PeerViolation``."""
    no_unknown_fields(body)
    return EnrolRequest(body.partner, body.csr, body.identity, body.identity_proof, body.proof, body.software)


def encode_reply(message: EnrolReply) -> pb.EnrolReply:
    """Return the answer to an enrolment as protobuf."""
    return pb.EnrolReply(
        state=_STATES[message.state],
        code=message.code,
        bank=message.bank,
        identity=message.identity,
        certificate=message.certificate,
        address=message.address,
    )


def decode_reply(body: pb.EnrolReply) -> EnrolReply:
    """Return the answer to an enrolment. Raises ``PeerViolation``."""
    no_unknown_fields(body)
    try:
        state = EnrolState(body.state)
    except ValueError:
        raise PeerViolation("The partner named a state that does not exist.") from None
    return EnrolReply(state, body.code, body.bank, body.identity, body.certificate, body.address)


def encode_check(message: CheckRequest) -> pb.CheckRequest:
    """Return the question of a check as protobuf."""
    return pb.CheckRequest(protocol_version=message.protocol_version, software=message.software)


def decode_check(body: pb.CheckRequest) -> CheckRequest:
    """Return the question of a check. Raises ``PeerViolation``."""
    no_unknown_fields(body)
    return CheckRequest(body.protocol_version, body.software)


def encode_check_reply(message: CheckReply) -> pb.CheckReply:
    """Return the answer of a check as protobuf."""
    return pb.CheckReply(
        protocol_version=message.protocol_version,
        software=message.software,
        partner=message.partner,
        time=message.time,
    )


def decode_check_reply(body: pb.CheckReply) -> CheckReply:
    """Return the answer of a check. Raises ``PeerViolation``."""
    no_unknown_fields(body)
    return CheckReply(body.protocol_version, body.software, body.partner, body.time)
