from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_RECEIVER: _ClassVar[Role]
    ROLE_SENDER: _ClassVar[Role]

class Stream(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_UNSPECIFIED: _ClassVar[Stream]
    STREAM_RECEIVER_POINTS: _ClassVar[Stream]
    STREAM_SENDER_POINTS: _ClassVar[Stream]
    STREAM_RECEIVER_TOKENS: _ClassVar[Stream]
    STREAM_SENDER_TOKENS: _ClassVar[Stream]
    STREAM_VALUE_POINTS: _ClassVar[Stream]
    STREAM_VALUE_SUMS: _ClassVar[Stream]
    STREAM_GROUP_POINTS: _ClassVar[Stream]
    STREAM_GROUP_TOKENS: _ClassVar[Stream]
ROLE_UNSPECIFIED: Role
ROLE_RECEIVER: Role
ROLE_SENDER: Role
STREAM_UNSPECIFIED: Stream
STREAM_RECEIVER_POINTS: Stream
STREAM_SENDER_POINTS: Stream
STREAM_RECEIVER_TOKENS: Stream
STREAM_SENDER_TOKENS: Stream
STREAM_VALUE_POINTS: Stream
STREAM_VALUE_SUMS: Stream
STREAM_GROUP_POINTS: Stream
STREAM_GROUP_TOKENS: Stream

class Envelope(_message.Message):
    __slots__ = ("hello", "signed_contract", "abort", "position", "announce", "chunk", "stream_end", "token_commitment", "finish", "value_announce", "group_announce", "nonce", "cell_sums", "verdict", "openings", "sum_table")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    SIGNED_CONTRACT_FIELD_NUMBER: _ClassVar[int]
    ABORT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCE_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    STREAM_END_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    VALUE_ANNOUNCE_FIELD_NUMBER: _ClassVar[int]
    GROUP_ANNOUNCE_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    CELL_SUMS_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    OPENINGS_FIELD_NUMBER: _ClassVar[int]
    SUM_TABLE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    signed_contract: SignedContract
    abort: Abort
    position: Position
    announce: Announce
    chunk: Chunk
    stream_end: StreamEnd
    token_commitment: TokenCommitment
    finish: Finish
    value_announce: ValueAnnounce
    group_announce: GroupAnnounce
    nonce: Nonce
    cell_sums: CellSums
    verdict: Verdict
    openings: Openings
    sum_table: SumTable
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., signed_contract: _Optional[_Union[SignedContract, _Mapping]] = ..., abort: _Optional[_Union[Abort, _Mapping]] = ..., position: _Optional[_Union[Position, _Mapping]] = ..., announce: _Optional[_Union[Announce, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., stream_end: _Optional[_Union[StreamEnd, _Mapping]] = ..., token_commitment: _Optional[_Union[TokenCommitment, _Mapping]] = ..., finish: _Optional[_Union[Finish, _Mapping]] = ..., value_announce: _Optional[_Union[ValueAnnounce, _Mapping]] = ..., group_announce: _Optional[_Union[GroupAnnounce, _Mapping]] = ..., nonce: _Optional[_Union[Nonce, _Mapping]] = ..., cell_sums: _Optional[_Union[CellSums, _Mapping]] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., openings: _Optional[_Union[Openings, _Mapping]] = ..., sum_table: _Optional[_Union[SumTable, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol_version", "job", "software")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    job: str
    software: str
    def __init__(self, protocol_version: _Optional[int] = ..., job: _Optional[str] = ..., software: _Optional[str] = ...) -> None: ...

class SignedContract(_message.Message):
    __slots__ = ("contract", "signature")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    contract: bytes
    signature: bytes
    def __init__(self, contract: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("announced", "heard", "received")
    ANNOUNCED_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    announced: bytes
    heard: bytes
    received: int
    def __init__(self, announced: _Optional[bytes] = ..., heard: _Optional[bytes] = ..., received: _Optional[int] = ...) -> None: ...

class Abort(_message.Message):
    __slots__ = ("code",)
    CODE_FIELD_NUMBER: _ClassVar[int]
    code: str
    def __init__(self, code: _Optional[str] = ...) -> None: ...

class Tier(_message.Message):
    __slots__ = ("label", "size")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    label: str
    size: int
    def __init__(self, label: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class Announce(_message.Message):
    __slots__ = ("contract", "role", "tiers", "seed_commitment", "input_commitment")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    SEED_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    INPUT_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    contract: bytes
    role: Role
    tiers: _containers.RepeatedCompositeFieldContainer[Tier]
    seed_commitment: bytes
    input_commitment: bytes
    def __init__(self, contract: _Optional[bytes] = ..., role: _Optional[_Union[Role, str]] = ..., tiers: _Optional[_Iterable[_Union[Tier, _Mapping]]] = ..., seed_commitment: _Optional[bytes] = ..., input_commitment: _Optional[bytes] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("session", "stream", "sequence", "data")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    stream: Stream
    sequence: int
    data: bytes
    def __init__(self, session: _Optional[bytes] = ..., stream: _Optional[_Union[Stream, str]] = ..., sequence: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class StreamEnd(_message.Message):
    __slots__ = ("session", "stream", "count", "digest")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    stream: Stream
    count: int
    digest: bytes
    def __init__(self, session: _Optional[bytes] = ..., stream: _Optional[_Union[Stream, str]] = ..., count: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class TokenCommitment(_message.Message):
    __slots__ = ("session", "digest")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    digest: bytes
    def __init__(self, session: _Optional[bytes] = ..., digest: _Optional[bytes] = ...) -> None: ...

class Finish(_message.Message):
    __slots__ = ("session", "transcript")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    transcript: bytes
    def __init__(self, session: _Optional[bytes] = ..., transcript: _Optional[bytes] = ...) -> None: ...

class Tag(_message.Message):
    __slots__ = ("column", "value")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    column: str
    value: str
    def __init__(self, column: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class ValueAnnounce(_message.Message):
    __slots__ = ("contract", "persons", "modulus", "proof", "tags", "seed_commitment", "input_commitment")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    MODULUS_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    SEED_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    INPUT_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    contract: bytes
    persons: int
    modulus: bytes
    proof: bytes
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    seed_commitment: bytes
    input_commitment: bytes
    def __init__(self, contract: _Optional[bytes] = ..., persons: _Optional[int] = ..., modulus: _Optional[bytes] = ..., proof: _Optional[bytes] = ..., tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ..., seed_commitment: _Optional[bytes] = ..., input_commitment: _Optional[bytes] = ...) -> None: ...

class GroupAnnounce(_message.Message):
    __slots__ = ("contract", "first_day", "days", "cell_scopes", "unit_cells", "unit_days", "unit_sizes", "seed_commitment", "input_commitment")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    FIRST_DAY_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    CELL_SCOPES_FIELD_NUMBER: _ClassVar[int]
    UNIT_CELLS_FIELD_NUMBER: _ClassVar[int]
    UNIT_DAYS_FIELD_NUMBER: _ClassVar[int]
    UNIT_SIZES_FIELD_NUMBER: _ClassVar[int]
    SEED_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    INPUT_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    contract: bytes
    first_day: int
    days: int
    cell_scopes: _containers.RepeatedScalarFieldContainer[int]
    unit_cells: _containers.RepeatedScalarFieldContainer[int]
    unit_days: _containers.RepeatedScalarFieldContainer[int]
    unit_sizes: _containers.RepeatedScalarFieldContainer[int]
    seed_commitment: bytes
    input_commitment: bytes
    def __init__(self, contract: _Optional[bytes] = ..., first_day: _Optional[int] = ..., days: _Optional[int] = ..., cell_scopes: _Optional[_Iterable[int]] = ..., unit_cells: _Optional[_Iterable[int]] = ..., unit_days: _Optional[_Iterable[int]] = ..., unit_sizes: _Optional[_Iterable[int]] = ..., seed_commitment: _Optional[bytes] = ..., input_commitment: _Optional[bytes] = ...) -> None: ...

class Nonce(_message.Message):
    __slots__ = ("session", "nonce")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    nonce: bytes
    def __init__(self, session: _Optional[bytes] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class CellSums(_message.Message):
    __slots__ = ("session", "places", "ciphertexts")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXTS_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    places: _containers.RepeatedScalarFieldContainer[int]
    ciphertexts: bytes
    def __init__(self, session: _Optional[bytes] = ..., places: _Optional[_Iterable[int]] = ..., ciphertexts: _Optional[bytes] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("session", "passes", "joint")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    JOINT_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    passes: _containers.RepeatedScalarFieldContainer[bool]
    joint: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, session: _Optional[bytes] = ..., passes: _Optional[_Iterable[bool]] = ..., joint: _Optional[_Iterable[bool]] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("parts",)
    PARTS_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, parts: _Optional[_Iterable[str]] = ...) -> None: ...

class Opening(_message.Message):
    __slots__ = ("place", "label", "cost", "mask")
    PLACE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    place: int
    label: Label
    cost: int
    mask: bytes
    def __init__(self, place: _Optional[int] = ..., label: _Optional[_Union[Label, _Mapping]] = ..., cost: _Optional[int] = ..., mask: _Optional[bytes] = ...) -> None: ...

class Joint(_message.Message):
    __slots__ = ("mask", "cost")
    MASK_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    mask: bytes
    cost: int
    def __init__(self, mask: _Optional[bytes] = ..., cost: _Optional[int] = ...) -> None: ...

class Scope(_message.Message):
    __slots__ = ("joint", "name", "dropped")
    JOINT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    joint: Joint
    name: str
    dropped: int
    def __init__(self, joint: _Optional[_Union[Joint, _Mapping]] = ..., name: _Optional[str] = ..., dropped: _Optional[int] = ...) -> None: ...

class Moved(_message.Message):
    __slots__ = ("days", "persons")
    DAYS_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    days: int
    persons: int
    def __init__(self, days: _Optional[int] = ..., persons: _Optional[int] = ...) -> None: ...

class Openings(_message.Message):
    __slots__ = ("session", "openings", "scopes", "small", "few", "moved")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    OPENINGS_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    SMALL_FIELD_NUMBER: _ClassVar[int]
    FEW_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    openings: _containers.RepeatedCompositeFieldContainer[Opening]
    scopes: _containers.RepeatedCompositeFieldContainer[Scope]
    small: int
    few: int
    moved: _containers.RepeatedCompositeFieldContainer[Moved]
    def __init__(self, session: _Optional[bytes] = ..., openings: _Optional[_Iterable[_Union[Opening, _Mapping]]] = ..., scopes: _Optional[_Iterable[_Union[Scope, _Mapping]]] = ..., small: _Optional[int] = ..., few: _Optional[int] = ..., moved: _Optional[_Iterable[_Union[Moved, _Mapping]]] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("place", "counts", "region", "hidden")
    PLACE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_FIELD_NUMBER: _ClassVar[int]
    place: int
    counts: _containers.RepeatedScalarFieldContainer[int]
    region: bytes
    hidden: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, place: _Optional[int] = ..., counts: _Optional[_Iterable[int]] = ..., region: _Optional[bytes] = ..., hidden: _Optional[_Iterable[int]] = ...) -> None: ...

class JointRow(_message.Message):
    __slots__ = ("row",)
    ROW_FIELD_NUMBER: _ClassVar[int]
    row: Row
    def __init__(self, row: _Optional[_Union[Row, _Mapping]] = ...) -> None: ...

class SumTable(_message.Message):
    __slots__ = ("session", "rows", "joint", "dominated")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    JOINT_FIELD_NUMBER: _ClassVar[int]
    DOMINATED_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    joint: _containers.RepeatedCompositeFieldContainer[JointRow]
    dominated: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, session: _Optional[bytes] = ..., rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ..., joint: _Optional[_Iterable[_Union[JointRow, _Mapping]]] = ..., dominated: _Optional[_Iterable[int]] = ...) -> None: ...
