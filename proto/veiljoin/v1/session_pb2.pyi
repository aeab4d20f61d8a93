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
ROLE_UNSPECIFIED: Role
ROLE_RECEIVER: Role
ROLE_SENDER: Role
STREAM_UNSPECIFIED: Stream
STREAM_RECEIVER_POINTS: Stream
STREAM_SENDER_POINTS: Stream
STREAM_RECEIVER_TOKENS: Stream
STREAM_SENDER_TOKENS: Stream

class Envelope(_message.Message):
    __slots__ = ("hello", "signed_contract", "abort", "announce", "chunk", "stream_end", "token_commitment", "finish")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    SIGNED_CONTRACT_FIELD_NUMBER: _ClassVar[int]
    ABORT_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCE_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    STREAM_END_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    signed_contract: SignedContract
    abort: Abort
    announce: Announce
    chunk: Chunk
    stream_end: StreamEnd
    token_commitment: TokenCommitment
    finish: Finish
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., signed_contract: _Optional[_Union[SignedContract, _Mapping]] = ..., abort: _Optional[_Union[Abort, _Mapping]] = ..., announce: _Optional[_Union[Announce, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., stream_end: _Optional[_Union[StreamEnd, _Mapping]] = ..., token_commitment: _Optional[_Union[TokenCommitment, _Mapping]] = ..., finish: _Optional[_Union[Finish, _Mapping]] = ...) -> None: ...

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
