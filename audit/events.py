"""The events of a log: what each type of entry may say, as one table.

SPEC 7. Every fact has a kind; no kind takes a sentence, so that no identifier, cell or path can reach a log by way
of a message. Names are those that people gave to datasets, partners and keys. A type or a key that is not there
is a fault, to who writes an entry and to who verifies it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

# JSON numbers are doubles to many readers: whole ones are exact below this (RFC 8785 section 3.2.2.3).
MAX_INTEGER: Final = 2**53 - 1
LONGEST_NAME: Final = 128
LONGEST_VERSION: Final = 64

_WORD: Final = re.compile("[a-z][a-z0-9_]{0,39}")
# A fraction in lowest terms is not asked for here; a denominator of 0 is refused.
_FRACTION: Final = re.compile("(?:0|[1-9][0-9]{0,99})/[1-9][0-9]{0,99}")
# C2SP signed note: name, key id, type and 32 bytes of public key in base64.
_KEY: Final = re.compile("[!-*,-~]{1,2048}\\+[0-9a-f]{8}\\+[A-Za-z0-9+/]{44}")
_HEX: Final = {length: re.compile(f"[0-9a-f]{{{length}}}") for length in (32, 64, 128)}


def is_word(value: Any) -> bool:
    """Return whether ``value`` is a word of a table of ours: lower-case ASCII, at most 40 characters."""
    return type(value) is str and _WORD.fullmatch(value) is not None


def is_name(value: Any) -> bool:
    """Return whether ``value`` is a name: 1 to 128 printable characters, no control character."""
    return type(value) is str and 0 < len(value) <= LONGEST_NAME and value.isprintable()


def is_count(value: Any) -> bool:
    """Return whether ``value`` is a whole number from 0 that JSON keeps exactly; a boolean is none."""
    return type(value) is int and 0 <= value <= MAX_INTEGER


def is_hex(value: Any, length: int) -> bool:
    """Return whether ``value`` is lower-case hexadecimal of ``length`` characters (32, 64 or 128)."""
    return type(value) is str and _HEX[length].fullmatch(value) is not None


def _is_fraction(value: Any) -> bool:
    return type(value) is str and _FRACTION.fullmatch(value) is not None


def _is_key(value: Any) -> bool:
    return type(value) is str and _KEY.fullmatch(value) is not None


def _is_version(value: Any) -> bool:
    return is_name(value) and len(value) <= LONGEST_VERSION


def _one_of(*words: str) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and value in words


RELEASES: Final = ("points", "tokens", "sums", "openings", "table", "result")
OUTCOMES: Final = ("allow", "refuse")
READERS: Final = ("bank", "platform", "both", "none")

Check = Callable[[Any], bool]
# What a kind of fact is, for the table of the specification, and its check.
KINDS: Final[Mapping[str, tuple[str, Check]]] = {
    "word": ("`[a-z][a-z0-9_]{0,39}`", is_word),
    "name": ("1 to 128 printable characters", is_name),
    "hex32": ("32 lower-case hexadecimal digits", lambda value: is_hex(value, 32)),
    "hex64": ("64 lower-case hexadecimal digits", lambda value: is_hex(value, 64)),
    "hex128": ("128 lower-case hexadecimal digits", lambda value: is_hex(value, 128)),
    "key": ("a C2SP verifier key", _is_key),
    "count": ("a whole number from 0 to 2^53 - 1", is_count),
    "moment": ("milliseconds since 1970 UTC", is_count),
    "fraction": ("two whole numbers, as in `1/2`", _is_fraction),
    "version": ("1 to 64 printable characters", _is_version),
    "release": (", ".join(RELEASES), _one_of(*RELEASES)),
    "outcome": (", ".join(OUTCOMES), _one_of(*OUTCOMES)),
    "readers": (", ".join(READERS), _one_of(*READERS)),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One type of entry: its ``facts`` (key to kind; a kind with ``?`` may be null), whether it names a ``job``.

    ``shared`` tells whether the entry carries the object that both parties log alike.
    """

    facts: Mapping[str, str]
    job: bool = False
    shared: bool = False


def _event(facts: str = "", *, job: bool = False, shared: bool = False) -> Event:
    pairs = ((key, kind) for key, kind in (fact.split() for fact in facts.split(",") if fact.strip()))
    return Event(dict(pairs), job, shared)


_POLICY: Final = (
    "digest hex64, min_group count, min_converters count, dominance count, max_set count, epsilon fraction?,"
    "budget_runs count, budget_hours count, budget_epsilon fraction, result_days count, unwitnessed word"
)
_DECISION: Final = (
    "release release, outcome outcome, code word?, session hex32, min_group count, min_converters count?,"
    "dominance count?, epsilon fraction?"
)
_SPENT: Final = (
    "dataset name, partner name, runs count, limit count, hours count, epsilon fraction?,"
    "epsilon_spent fraction, epsilon_limit fraction"
)
_DATASET: Final = "dataset name, schema hex64, form name, basis word?"
_PARTNER: Final = "partner name, identity hex64?"
_PERSON: Final = "person name, roles word"
_CERTIFICATE: Final = "partner name?, serial name, digest hex64, until moment"
_DRAFT: Final = "digest hex64, kind word, partner name, dataset name, card hex64?"
_SIGNED: Final = "digest hex64, signature hex128"

EVENTS: Final[Mapping[str, Event]] = {
    # the log and its party
    "log_opened": _event(
        "identity hex64, log_key key, witness_key key, proof hex128, software version",
    ),
    "policy_set": _event(_POLICY),
    "setting_set": _event("digest hex64, software version"),
    "key_created": _event("key name, purpose word"),
    "key_destroyed": _event("key name, purpose word"),
    "backed_up": _event("size count"),
    "restored": _event("size count"),
    "exported": _event("what word, entries count"),
    # datasets
    "dataset_added": _event(_DATASET),
    "dataset_changed": _event(_DATASET),
    "dataset_removed": _event("dataset name"),
    "dataset_used": _event("dataset name, schema hex64, basis word?, input hex64", job=True),
    # partners and people
    "partner_invited": _event(_PARTNER),
    "partner_asked": _event(_PARTNER),
    "partner_confirmed": _event(_PARTNER),
    "partner_refused": _event(_PARTNER),
    "partner_revoked": _event(_PARTNER),
    "certificate_issued": _event(_CERTIFICATE),
    "certificate_renewed": _event(_CERTIFICATE),
    "access_refused": _event("partner name?, code word"),
    "attempt_refused": _event("step word, code word"),
    "login": _event("code word?"),
    "login_refused": _event("code word?"),
    "logout": _event("code word?"),
    "person_added": _event(_PERSON),
    "person_changed": _event(_PERSON),
    "person_disabled": _event("person name"),
    "person_enabled": _event("person name"),
    "password_changed": _event("person name"),
    "token_created": _event("person name, token count, scopes name, until moment"),
    "token_revoked": _event("person name, token count"),
    # a job, from its draft to its end
    "job_draft": _event(_DRAFT, job=True),
    "job_edit": _event(_DRAFT, job=True),
    "job_approve": _event("digest hex64, as word", job=True),
    "job_void": _event("digest hex64", job=True),
    "job_propose": _event(_SIGNED, job=True),
    "job_accept": _event(_SIGNED, job=True),
    "job_refuse": _event("digest hex64, code word", job=True),
    "job_start": _event("attempt count", job=True),
    "job_retry": _event("code word?", job=True),
    "job_fail": _event("code word?", job=True),
    "job_cancel": _event("code word?", job=True),
    "job_expire": _event("code word?", job=True),
    "job_finish": _event(job=True),
    "schedule_step": _event("schedule hex32, step word, digest hex64, code word?"),
    "preflight": _event("digest hex64, own word?, peer word?"),
    # what a run sends, decides and releases
    "stream": _event(job=True, shared=True),
    "decision": _event(_DECISION, job=True),
    "budget_spent": _event(_SPENT, job=True),
    "seed_kept": _event("auditor hex64", job=True),
    "rehearsal": _event(job=True),
    "result_released": _event("session hex32, to readers", job=True),
    "result_read": _event("part word", job=True),
    "result_purged": _event(job=True),
    "result_closed": _event("code word", job=True),
    # witnessing
    "cosign_refused": _event("partner name, size count, code word"),
    "cosign_resumed": _event("partner name, size count"),
    "log_learned": _event("partner name, log name"),
    "fork_seen": _event("partner name, size count, evidence hex64"),
}

# What check_facts walks, built once since a log has a million entries: per type its keys, and per key the pattern of
# a text or else the check of its kind, and whether it may be null.
_PATTERNS: Final = {
    "word": _WORD,
    "fraction": _FRACTION,
    "key": _KEY,
    **{f"hex{length}": pattern for length, pattern in _HEX.items()},
}
_Row = tuple[str, Callable[[str], object] | None, Check, bool]


def _row(key: str, kind: str) -> _Row:
    name = kind.rstrip("?")
    pattern = _PATTERNS.get(name)
    return key, None if pattern is None else pattern.fullmatch, KINDS[name][1], kind.endswith("?")


_ROWS: Final[Mapping[str, tuple[frozenset[str], tuple[_Row, ...]]]] = {
    name: (frozenset(event.facts), tuple(_row(*fact) for fact in event.facts.items()))
    for name, event in EVENTS.items()
}


def check_facts(type: str, facts: Any) -> None:
    """Check that ``facts`` are exactly what the table names for ``type``, each of its kind.

    Raises ``ValueError`` that names the type or the key, never a value.
    """
    expected = _ROWS.get(type)
    if expected is None:
        raise ValueError("the type is not one of the event table")
    keys, rows = expected
    if facts.__class__ is not dict or facts.keys() != keys:
        raise ValueError(f"the facts of {type} are not the keys that the event table names")
    for key, matches, check, nullable in rows:
        value = facts[key]
        if value is None and nullable:
            continue
        if matches is None:
            if check(value):
                continue
        elif value.__class__ is str and matches(value):
            continue
        raise ValueError(f"the fact {key} of {type} is not a {EVENTS[type].facts[key].rstrip('?')}")
