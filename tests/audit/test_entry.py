"""Entries: built once, read back as they were, and refused where anything is not as section 8 says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit import canonical
from audit.entry import KEYS, SHARED_KEYS, STREAM_NAMES, Draft, build, parse
from audit.events import EVENTS
from tests.audit.test_events import facts_of

LOG = "veiljoin/bank/first%20bank/0123456789abcdef"
JOB = "0f" * 16
SHARED = {
    "job": JOB,
    "session": "ab" * 16,
    "name": "sender_points",
    "from": "bank",
    "to": "platform",
    "count": 3,
    "bytes": 96,
    "sha256": "cd" * 32,
}


def made(kind: str, **changed: Any) -> bytes:
    """Return an entry of ``kind``; ``changed`` are arguments of ``build``."""
    shared = SHARED if EVENTS[kind].shared else None
    draft = Draft(kind, "mary", JOB, facts_of(kind), shared)
    told: dict[str, Any] = {
        "log": LOG,
        "role": "bank",
        "sequence": 7,
        "time": 5,
        "policy": None,
        "commit": None,
        "salt": bytes(16),
    }
    return build(draft, **(told | changed))


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_an_entry_is_canonical_and_read_back_as_it_was(kind: str) -> None:
    data = made(kind)
    said = parse(data)
    assert said.keys() == KEYS
    assert rfc8785.dumps(said) == data
    assert canonical.decode(data) == said
    assert (said["type"], said["facts"], said["sequence"]) == (kind, facts_of(kind), 7)


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("version", 2),
        ("version", True),
        ("log", "veiljoin/platform/first%20bank/0123456789abcdef"),
        ("log", "somewhere/else"),
        ("log", None),
        ("sequence", -1),
        ("sequence", 2**53),
        ("sequence", "7"),
        ("time", 1.5),
        ("time", True),
        ("job", "0f" * 15),
        ("job", 5),
        ("type", "chatter"),
        ("type", 5),
        ("role", "client"),
        ("role", ["bank"]),
        ("actor", ""),
        ("actor", "a\nb"),
        ("actor", "a" * 137),
        ("policy", "AB" * 32),
        ("commit", 0),
        ("salt", None),
        ("salt", "00" * 15),
        ("facts", {"code": None, "note": "x"}),
        ("facts", []),
        ("shared", SHARED),
        ("extra", 1),
    ],
)
def test_a_wrong_value_is_refused_without_being_quoted(key: str, bad: Any) -> None:
    said = json.loads(made("login")) | {key: bad}
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse(rfc8785.dumps(said))
    assert not (isinstance(bad, str) and len(bad) > 8 and bad in str(caught.value))


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("job", "0e" * 16),
        ("session", "ab" * 15),
        ("name", "everything"),
        ("from", "platform"),
        ("to", "client"),
        ("count", -1),
        ("bytes", True),
        ("sha256", "CD" * 32),
        ("note", "x"),
    ],
)
def test_a_wrong_shared_object_is_refused(key: str, bad: Any) -> None:
    said = json.loads(made("stream"))
    said["shared"][key] = bad
    with pytest.raises(ValueError, match="shared"):
        parse(rfc8785.dumps(said))


def test_a_single_message_is_one_and_every_name_is_known() -> None:
    for name in STREAM_NAMES:
        single = not name.endswith(("_points", "_tokens", "_sums")) or name == "cell_sums"
        shared = SHARED | {"name": name, "count": 1}
        build(
            Draft("stream", "node:x", JOB, {}, shared),
            log=LOG, role="bank", sequence=0, time=0, policy=None, commit=None, salt=bytes(16),
        )  # fmt: skip
        said = json.loads(made("stream"))
        said["shared"] |= {"name": name, "count": 2}
        if single:
            with pytest.raises(ValueError, match="single"):
                parse(rfc8785.dumps(said))
        else:
            parse(rfc8785.dumps(said))
    assert len(SHARED_KEYS) == 8


def test_a_job_is_there_where_the_type_needs_one() -> None:
    with pytest.raises(ValueError, match="job"):
        build(
            Draft("job_finish", "node:x"),
            log=LOG, role="bank", sequence=0, time=0, policy=None, commit=None, salt=bytes(16),
        )  # fmt: skip


OTHER_FORMS: dict[str, Callable[[bytes], bytes]] = {
    "a space": lambda data: data.replace(b'"job":', b'"job": '),
    "a float": lambda data: data.replace(b'"time":5', b'"time":5.0'),
    "a leading zero": lambda data: data.replace(b'"time":5', b'"time":05'),
    "an escape": lambda data: data.replace(b'"actor":"mary"', b'"actor":"m\\u0061ry"'),
    "a key twice": lambda data: data.replace(b'"time":5,', b'"time":5,"time":5,'),
    "the last key twice": lambda data: data[:-1] + b',"version":1}',
    "another order": lambda data: b'{"version":1,' + data[1:].replace(b',"version":1', b""),
    "a space behind": lambda data: data + b" ",
    "cut": lambda data: data[:-1],
    "a list": lambda data: b"[" + data + b"]",
    "nothing": lambda data: b"",
    "no text": lambda data: b"\xff" + data,
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_another_form_of_the_same_entry_is_refused(form: str) -> None:
    data = made("login")
    other = OTHER_FORMS[form](data)
    assert other != data
    with pytest.raises(ValueError, match=r"JSON|object|keys|time"):
        parse(other)


@given(st.binary(max_size=60), st.integers(0, 400), st.integers(1, 40))
def test_what_is_parsed_is_what_would_be_built(junk: bytes, at: int, cut: int) -> None:
    data = made("stream")
    data = data[:at] + junk + data[at + cut :]
    try:
        said = parse(data)
    except ValueError:
        return
    assert rfc8785.dumps(said) == data
