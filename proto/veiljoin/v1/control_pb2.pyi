from veiljoin.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EnrolState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENROL_STATE_UNSPECIFIED: _ClassVar[EnrolState]
    ENROL_STATE_PENDING: _ClassVar[EnrolState]
    ENROL_STATE_ISSUED: _ClassVar[EnrolState]
    ENROL_STATE_REFUSED: _ClassVar[EnrolState]
ENROL_STATE_UNSPECIFIED: EnrolState
ENROL_STATE_PENDING: EnrolState
ENROL_STATE_ISSUED: EnrolState
ENROL_STATE_REFUSED: EnrolState

class EnrolRequest(_message.Message):
    __slots__ = ("partner", "csr", "identity", "identity_proof", "proof", "software")
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_PROOF_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    partner: str
    csr: bytes
    identity: bytes
    identity_proof: bytes
    proof: bytes
    software: str
    def __init__(self, partner: _Optional[str] = ..., csr: _Optional[bytes] = ..., identity: _Optional[bytes] = ..., identity_proof: _Optional[bytes] = ..., proof: _Optional[bytes] = ..., software: _Optional[str] = ...) -> None: ...

class EnrolReply(_message.Message):
    __slots__ = ("state", "code", "bank", "identity", "certificate", "address")
    STATE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    BANK_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    state: EnrolState
    code: str
    bank: str
    identity: bytes
    certificate: bytes
    address: str
    def __init__(self, state: _Optional[_Union[EnrolState, str]] = ..., code: _Optional[str] = ..., bank: _Optional[str] = ..., identity: _Optional[bytes] = ..., certificate: _Optional[bytes] = ..., address: _Optional[str] = ...) -> None: ...

class CheckRequest(_message.Message):
    __slots__ = ("protocol_version", "software")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    software: str
    def __init__(self, protocol_version: _Optional[int] = ..., software: _Optional[str] = ...) -> None: ...

class CheckReply(_message.Message):
    __slots__ = ("protocol_version", "software", "partner", "time")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    software: str
    partner: str
    time: int
    def __init__(self, protocol_version: _Optional[int] = ..., software: _Optional[str] = ..., partner: _Optional[str] = ..., time: _Optional[int] = ...) -> None: ...

class ControlEnvelope(_message.Message):
    __slots__ = ("hello", "ping", "renew", "renewed", "propose", "accept", "refuse", "cancel", "start", "job_state", "job_progress", "preflight_ask", "preflight_part", "preflight_verdict", "log_keys", "log_offer", "log_cosigned", "log_conflict", "log_refused")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    RENEW_FIELD_NUMBER: _ClassVar[int]
    RENEWED_FIELD_NUMBER: _ClassVar[int]
    PROPOSE_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    REFUSE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    JOB_STATE_FIELD_NUMBER: _ClassVar[int]
    JOB_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PREFLIGHT_ASK_FIELD_NUMBER: _ClassVar[int]
    PREFLIGHT_PART_FIELD_NUMBER: _ClassVar[int]
    PREFLIGHT_VERDICT_FIELD_NUMBER: _ClassVar[int]
    LOG_KEYS_FIELD_NUMBER: _ClassVar[int]
    LOG_OFFER_FIELD_NUMBER: _ClassVar[int]
    LOG_COSIGNED_FIELD_NUMBER: _ClassVar[int]
    LOG_CONFLICT_FIELD_NUMBER: _ClassVar[int]
    LOG_REFUSED_FIELD_NUMBER: _ClassVar[int]
    hello: ControlHello
    ping: Ping
    renew: Renew
    renewed: Renewed
    propose: Propose
    accept: Accept
    refuse: Refuse
    cancel: Cancel
    start: Start
    job_state: JobState
    job_progress: JobProgress
    preflight_ask: PreflightAsk
    preflight_part: PreflightPart
    preflight_verdict: PreflightVerdict
    log_keys: LogKeys
    log_offer: LogOffer
    log_cosigned: LogCosigned
    log_conflict: LogConflict
    log_refused: LogRefused
    def __init__(self, hello: _Optional[_Union[ControlHello, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., renew: _Optional[_Union[Renew, _Mapping]] = ..., renewed: _Optional[_Union[Renewed, _Mapping]] = ..., propose: _Optional[_Union[Propose, _Mapping]] = ..., accept: _Optional[_Union[Accept, _Mapping]] = ..., refuse: _Optional[_Union[Refuse, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., start: _Optional[_Union[Start, _Mapping]] = ..., job_state: _Optional[_Union[JobState, _Mapping]] = ..., job_progress: _Optional[_Union[JobProgress, _Mapping]] = ..., preflight_ask: _Optional[_Union[PreflightAsk, _Mapping]] = ..., preflight_part: _Optional[_Union[PreflightPart, _Mapping]] = ..., preflight_verdict: _Optional[_Union[PreflightVerdict, _Mapping]] = ..., log_keys: _Optional[_Union[LogKeys, _Mapping]] = ..., log_offer: _Optional[_Union[LogOffer, _Mapping]] = ..., log_cosigned: _Optional[_Union[LogCosigned, _Mapping]] = ..., log_conflict: _Optional[_Union[LogConflict, _Mapping]] = ..., log_refused: _Optional[_Union[LogRefused, _Mapping]] = ...) -> None: ...

class CatalogueEntry(_message.Message):
    __slots__ = ("name", "identifiers", "columns", "persons", "schema")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    name: str
    identifiers: _containers.RepeatedScalarFieldContainer[str]
    columns: _containers.RepeatedScalarFieldContainer[str]
    persons: int
    schema: bytes
    def __init__(self, name: _Optional[str] = ..., identifiers: _Optional[_Iterable[str]] = ..., columns: _Optional[_Iterable[str]] = ..., persons: _Optional[int] = ..., schema: _Optional[bytes] = ...) -> None: ...

class PolicyLimits(_message.Message):
    __slots__ = ("min_group", "min_converters", "dominance", "max_set", "epsilon")
    MIN_GROUP_FIELD_NUMBER: _ClassVar[int]
    MIN_CONVERTERS_FIELD_NUMBER: _ClassVar[int]
    DOMINANCE_FIELD_NUMBER: _ClassVar[int]
    MAX_SET_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    min_group: int
    min_converters: int
    dominance: int
    max_set: int
    epsilon: str
    def __init__(self, min_group: _Optional[int] = ..., min_converters: _Optional[int] = ..., dominance: _Optional[int] = ..., max_set: _Optional[int] = ..., epsilon: _Optional[str] = ...) -> None: ...

class ControlHello(_message.Message):
    __slots__ = ("protocol_version", "software", "time", "catalogue", "limits")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    software: str
    time: int
    catalogue: _containers.RepeatedCompositeFieldContainer[CatalogueEntry]
    limits: PolicyLimits
    def __init__(self, protocol_version: _Optional[int] = ..., software: _Optional[str] = ..., time: _Optional[int] = ..., catalogue: _Optional[_Iterable[_Union[CatalogueEntry, _Mapping]]] = ..., limits: _Optional[_Union[PolicyLimits, _Mapping]] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class Renew(_message.Message):
    __slots__ = ("csr",)
    CSR_FIELD_NUMBER: _ClassVar[int]
    csr: bytes
    def __init__(self, csr: _Optional[bytes] = ...) -> None: ...

class Renewed(_message.Message):
    __slots__ = ("certificate",)
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    def __init__(self, certificate: _Optional[bytes] = ...) -> None: ...

class Propose(_message.Message):
    __slots__ = ("job", "table", "contract", "card", "signature")
    JOB_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    job: str
    table: bytes
    contract: bytes
    card: bytes
    signature: bytes
    def __init__(self, job: _Optional[str] = ..., table: _Optional[bytes] = ..., contract: _Optional[bytes] = ..., card: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Accept(_message.Message):
    __slots__ = ("job", "contract", "signature")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    job: str
    contract: bytes
    signature: bytes
    def __init__(self, job: _Optional[str] = ..., contract: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Refuse(_message.Message):
    __slots__ = ("job", "reason")
    JOB_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    job: str
    reason: str
    def __init__(self, job: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class Start(_message.Message):
    __slots__ = ("job", "attempt")
    JOB_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    job: str
    attempt: int
    def __init__(self, job: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...

class JobState(_message.Message):
    __slots__ = ("job", "state", "code", "attempt")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    job: str
    state: str
    code: str
    attempt: int
    def __init__(self, job: _Optional[str] = ..., state: _Optional[str] = ..., code: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...

class JobProgress(_message.Message):
    __slots__ = ("job", "attempt", "phase", "percent")
    JOB_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    job: str
    attempt: int
    phase: str
    percent: int
    def __init__(self, job: _Optional[str] = ..., attempt: _Optional[int] = ..., phase: _Optional[str] = ..., percent: _Optional[int] = ...) -> None: ...

class PreflightAsk(_message.Message):
    __slots__ = ("job", "run", "contract", "suite", "form", "dataset", "schema", "column", "region")
    JOB_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    SUITE_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    job: str
    run: bytes
    contract: bytes
    suite: str
    form: str
    dataset: str
    schema: bytes
    column: str
    region: str
    def __init__(self, job: _Optional[str] = ..., run: _Optional[bytes] = ..., contract: _Optional[bytes] = ..., suite: _Optional[str] = ..., form: _Optional[str] = ..., dataset: _Optional[str] = ..., schema: _Optional[bytes] = ..., column: _Optional[str] = ..., region: _Optional[str] = ...) -> None: ...

class PreflightPart(_message.Message):
    __slots__ = ("run", "message")
    RUN_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    message: _session_pb2.Envelope
    def __init__(self, run: _Optional[bytes] = ..., message: _Optional[_Union[_session_pb2.Envelope, _Mapping]] = ...) -> None: ...

class PreflightVerdict(_message.Message):
    __slots__ = ("run", "code")
    RUN_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    code: str
    def __init__(self, run: _Optional[bytes] = ..., code: _Optional[str] = ...) -> None: ...

class LogKeys(_message.Message):
    __slots__ = ("origin", "log_key", "witness_key", "proof")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    LOG_KEY_FIELD_NUMBER: _ClassVar[int]
    WITNESS_KEY_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    origin: str
    log_key: str
    witness_key: str
    proof: bytes
    def __init__(self, origin: _Optional[str] = ..., log_key: _Optional[str] = ..., witness_key: _Optional[str] = ..., proof: _Optional[bytes] = ...) -> None: ...

class LogOffer(_message.Message):
    __slots__ = ("note", "old_size", "proof")
    NOTE_FIELD_NUMBER: _ClassVar[int]
    OLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    note: bytes
    old_size: int
    proof: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, note: _Optional[bytes] = ..., old_size: _Optional[int] = ..., proof: _Optional[_Iterable[bytes]] = ...) -> None: ...

class LogCosigned(_message.Message):
    __slots__ = ("size", "line")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    size: int
    line: bytes
    def __init__(self, size: _Optional[int] = ..., line: _Optional[bytes] = ...) -> None: ...

class LogConflict(_message.Message):
    __slots__ = ("size",)
    SIZE_FIELD_NUMBER: _ClassVar[int]
    size: int
    def __init__(self, size: _Optional[int] = ...) -> None: ...

class LogRefused(_message.Message):
    __slots__ = ("size", "code")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    size: int
    code: str
    def __init__(self, size: _Optional[int] = ..., code: _Optional[str] = ...) -> None: ...
