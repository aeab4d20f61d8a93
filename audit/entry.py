"""An entry of a log: built from a draft, and read back with every check that needs no other entry.

SPEC 8. An entry is canonical JSON with the keys of :data:`KEYS`, always all of them; its SHA-256 behind a zero byte
is its leaf in the tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import orjson

from audit import canonical
from audit.events import EVENTS, LONGEST_NAME, MAX_INTEGER, check_facts, is_count, is_hex
from audit.keys import KeysError, role_of

VERSION: Final = 1
SALT_BYTES: Final = 16
ROLES: Final = ("bank", "platform")
KEYS: Final = frozenset(
    (
        "version",
        "log",
        "sequence",
        "time",
        "job",
        "type",
        "role",
        "actor",
        "policy",
        "facts",
        "shared",
        "commit",
        "salt",
    )
)
SHARED_KEYS: Final = frozenset(("job", "session", "name", "from", "to", "count", "bytes", "sha256"))
# SPEC 8.2: what an entry of type ``stream`` can be about. Streams of elements first, then single messages.
ELEMENT_STREAMS: Final = (
    "receiver_points",
    "sender_points",
    "receiver_tokens",
    "sender_tokens",
    "value_points",
    "value_sums",
    "group_points",
    "group_tokens",
)
SINGLE_MESSAGES: Final = (
    "receiver_announce",
    "sender_announce",
    "value_announce",
    "group_announce",
    "nonce_of_value_holder",
    "nonce_of_group_holder",
    "token_commitment",
    "cell_sums",
    "verdict",
    "openings",
    "table",
    "finish_of_receiver",
    "finish_of_sender",
    "finish_of_value_holder",
    "finish_of_group_holder",
)
STREAM_NAMES: Final = frozenset((*ELEMENT_STREAMS, *SINGLE_MESSAGES))
_SORTED: Final = orjson.OPT_SORT_KEYS
_SINGLES: Final = frozenset(SINGLE_MESSAGES)
# node:x, partner:x, rule:x or the bare name of a person.
_LONGEST_ACTOR: Final = len("partner:") + LONGEST_NAME


@dataclass(frozen=True, slots=True)
class Draft:
    """What happened, before the log gives it a place.

    ``details`` are kept beside the tree and enter as a salted commitment; they may hold what ``facts`` may not,
    counts that policy withholds for one, so ``repr`` leaves them out. An append with a ``key`` that the log has is
    dropped: who retries a step notes it once.
    """

    type: str
    actor: str
    job: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    shared: Mapping[str, Any] | None = None
    details: Mapping[str, Any] | None = field(default=None, repr=False)
    key: str | None = None


def build(
    draft: Draft,
    *,
    log: str,
    role: str,
    sequence: int,
    time: int,
    policy: str | None,
    commit: str | None,
    salt: bytes,
) -> bytes:
    """Return the canonical bytes of an entry; ``time`` is in milliseconds since 1970 UTC, ``salt`` 16 random bytes.

    Raises ``ValueError`` that names the key at fault, never its value.
    """
    entry = {
        "version": VERSION,
        "log": log,
        "sequence": sequence,
        "time": time,
        "job": draft.job,
        "type": draft.type,
        "role": role,
        "actor": draft.actor,
        "policy": policy,
        "facts": dict(draft.facts),
        "shared": None if draft.shared is None else dict(draft.shared),
        "commit": commit,
        "salt": salt.hex(),
    }
    check(entry)
    return canonical.encode(entry)


def parse(data: bytes) -> dict[str, Any]:
    """Return the entry in ``data``. Raises ``ValueError`` unless it is canonical JSON and passes :func:`check`."""
    # Not canonical.decode: that walks over every value once more, and check leaves none of them unseen.
    try:
        entry = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise ValueError("this is not JSON") from None
    if type(entry) is not dict:
        raise ValueError("this is not an object")
    check(entry)
    if orjson.dumps(entry, option=_SORTED) != data:
        raise ValueError("this JSON is not in its canonical form")
    return entry


def check(entry: Mapping[str, Any]) -> None:
    """Check one parsed entry by itself. Raises ``ValueError`` that names the key at fault, never its value."""
    if entry.keys() != KEYS:
        raise ValueError("the keys are not those of an entry")
    if type(entry["version"]) is not int or entry["version"] != VERSION:
        raise ValueError(f"version is not {VERSION}")
    role, kind, job, actor = entry["role"], entry["type"], entry["job"], entry["actor"]
    policy, commit = entry["policy"], entry["commit"]
    if type(role) is not str or role not in ROLES:
        raise ValueError("role is not bank or platform")
    if not is_log(entry["log"], role):
        raise ValueError("log is not the name of a log of this role")
    sequence, time = entry["sequence"], entry["time"]
    if type(sequence) is not int or not 0 <= sequence <= MAX_INTEGER:
        raise ValueError("sequence is not a count")
    if type(time) is not int or not 0 <= time <= MAX_INTEGER:
        raise ValueError("time is not a moment")
    if type(actor) is not str or not 0 < len(actor) <= _LONGEST_ACTOR or not actor.isprintable():
        raise ValueError("actor is not a name")
    if policy is not None and not (type(policy) is str and _is_digest(policy)):
        raise ValueError("policy is not a digest")
    if commit is not None and not is_hex(commit, 64):
        raise ValueError("commit is not a commitment")
    if not is_hex(entry["salt"], 32):
        raise ValueError("salt is not 32 hexadecimal digits")
    if type(kind) is not str:
        raise ValueError("type is not a word")
    check_facts(kind, entry["facts"])
    event = EVENTS[kind]
    if job is None:
        if event.job:
            raise ValueError(f"{kind} names no job")
    elif not is_hex(job, 32):
        raise ValueError("job is not 32 hexadecimal digits")
    if event.shared:
        check_shared(entry["shared"], job)
    elif entry["shared"] is not None:
        raise ValueError(f"{kind} has no shared object")


def check_shared(shared: Any, job: str | None) -> None:
    """Check the object that both parties log of one stream or message. Raises ``ValueError`` naming the key."""
    if shared.__class__ is not dict or shared.keys() != SHARED_KEYS:
        raise ValueError("the keys of shared are not those of a stream")
    if shared["job"] != job:
        raise ValueError("shared.job is not the entry's job")
    name = shared["name"]
    if type(name) is not str or name not in STREAM_NAMES:
        raise ValueError("shared.name is no stream and no message")
    if (shared["from"], shared["to"]) not in (ROLES, ROLES[::-1]):
        raise ValueError("shared.from and shared.to are not the two parties")
    if not is_hex(shared["session"], 32):
        raise ValueError("shared.session is not 32 hexadecimal digits")
    if not is_hex(shared["sha256"], 64):
        raise ValueError("shared.sha256 is not a digest")
    for key in ("count", "bytes"):
        if not is_count(shared[key]):
            raise ValueError(f"shared.{key} is not a count")
    if name in _SINGLES and shared["count"] != 1:
        raise ValueError("shared.count of a single message is not 1")


def is_log(value: Any, role: str) -> bool:
    """Return whether ``value`` is the name of a log (SPEC 4.2) of ``role``."""
    return type(value) is str and _role_of(value) == role


@lru_cache(maxsize=64)  # a policy holds for many entries
def _is_digest(value: str) -> bool:
    return is_hex(value, 64)


@lru_cache(maxsize=64)  # a bundle names one log, and some partners' logs
def _role_of(log: str) -> str | None:
    try:
        return role_of(log)
    except KeysError:
        return None
