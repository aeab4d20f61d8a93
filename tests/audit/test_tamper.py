"""A thousand seeded tamperings of two parties' logs: each is found, and named at or before the place of the deed.

``python -m tests.audit.test_tamper SEED`` repeats one and prints what the verifier says of it.
"""

from __future__ import annotations

import functools
import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import rfc8785

from audit import bundle
from audit.bundle import BundleFault
from tests.audit.synthetic_logs import (
    LABELS,
    Pair,
    bundles,
    check,
    closed,
    entry_lines,
    renumbered,
    resigned,
    with_header,
)

TAMPERINGS = 1_000
BATCHES = 10
_KINDS = ("audience", "both", "noised")


@dataclass(frozen=True)
class Deed:
    """What was done: the bundles as the auditor gets them, and where the first bad entry may be.

    ``first`` is the entry that was tampered with, ``None`` where it was a line behind them or the header; ``exact``
    says that it has to be named itself.
    """

    name: str
    given: list[tuple[str, list[bytes]]]
    role: str
    first: int | None = None
    exact: bool = False


@functools.cache
def _pair() -> Pair:
    pair = Pair("tampered")
    pair.jobs(_KINDS)
    pair.jobs(["overlap"])
    return pair


@functools.cache
def _honest() -> dict[str, tuple[bytes, ...]]:
    return {role: tuple(lines) for role, lines in bundles(_pair()).items()}


def _lines(role: str) -> list[bytes]:
    return list(_honest()[role])


def _both(role: str, lines: list[bytes]) -> list[tuple[str, list[bytes]]]:
    other = "platform" if role == "bank" else "bank"
    return [(role, lines), (other, _lines(other))]


def _any_role(rng: random.Random) -> str:
    return rng.choice(("bank", "platform"))


# -- the deeds: each takes the role whose bundle is tampered with


def _flip(rng: random.Random, role: str) -> Deed:
    """One byte of the file becomes another."""
    lines = _lines(role)
    number = rng.randrange(len(lines))
    line = bytearray(lines[number])
    at = rng.randrange(len(line))
    line[at] ^= rng.randrange(1, 256)
    lines[number] = bytes(line)
    # As a file is read: a byte that became a line end parts the line, a lost one joins two.
    text = b"".join(lines)
    given = [part + b"\n" for part in text.split(b"\n")]
    given = given[:-1] if text.endswith(b"\n") else [*given[:-1], given[-1][:-1]]
    entry = number - 1 if 1 <= number <= entry_lines(_lines(role)) else None
    return Deed(f"flip {at} of line {number + 1}", [(role, given)], role, entry, exact=True)


def _structure(rng: random.Random, role: str) -> Deed:
    """An entry is dropped, doubled, swapped with another or put in; header and end line are made to fit."""
    lines = _lines(role)
    count = entry_lines(lines)
    first = rng.randrange(1, count)
    kind = rng.choice(("drop", "double", "swap", "insert"))
    if kind == "drop":
        del lines[first]
    elif kind == "double":
        lines.insert(first, lines[first])
    elif kind == "insert":
        lines.insert(first, lines[rng.choice([n for n in range(1, count) if n != first])])
    else:
        second = rng.choice([n for n in range(1, count + 1) if n != first])
        lines[first], lines[second] = lines[second], lines[first]
        first = min(first, second)
    count += {"drop": -1, "double": 1, "insert": 1, "swap": 0}[kind]
    lines[0] = with_header(lines[0], size=count)
    # A doubled entry is the second of the two; line n + 1 holds entry n - 1.
    return Deed(kind, [(role, closed(lines))], role, first - (kind != "double"))


def _rehashed(rng: random.Random, role: str) -> Deed:
    """An entry is changed and its leaf hash with it: only the next checkpoint tells."""
    lines = _lines(role)
    number = rng.randrange(1, entry_lines(lines) + 1)
    said = json.loads(lines[number][65:])
    said["actor"] = said["actor"] + "x"
    [(leaf, data)] = bundle.hashed([rfc8785.dumps(said)])
    lines[number] = leaf.hex().encode() + b" " + data + b"\n"
    return Deed("rehashed", [(role, closed(lines))], role, number - 1)


def _fork(rng: random.Random, role: str) -> Deed:
    """The log's owner writes it anew from an entry on and signs everything again; it cannot cosign."""
    pair = _pair()
    own, other = pair.side(role)
    entries = list(own.entries)
    first = rng.randrange(2, own_witnessed(role))
    kind = rng.choice(("drop", "change", "insert"))
    if kind == "drop":
        del entries[first]
    elif kind == "insert":
        entries.insert(first, entries[rng.randrange(2, len(entries))])

    def change(said: dict[str, Any]) -> None:
        # A later entry may not lie before an earlier one, else that would be found first.
        said["time"] = own.time
        if kind == "change" and said["sequence"] == first:
            said["actor"] = "somebody"

    forged = renumbered(entries[:first]) + renumbered(entries, change)[first:]
    keep = rng.random() < 0.3
    lines = resigned(own, other, forged, keep=keep)
    given = [(role, lines)] if keep else _both(role, lines)
    return Deed(
        f"fork {kind}, cosignatures {'kept' if keep else 'dropped'}", given, role, None if keep else first
    )


def own_witnessed(role: str) -> int:
    """Return how many entries of a log the other party cosigned."""
    _, other = _pair().side(role)
    return max(size for size, _ in other.witnessed)


def _tail(rng: random.Random, role: str) -> Deed:
    """The log ends at an earlier checkpoint, and everything fits that: only the partner's bundle tells."""
    pair = _pair()
    own, other = pair.side(role)
    size = rng.choice([size for size in own.checkpoints if size < len(own.entries)])
    lines = resigned(own, other, own.entries[:size], keep=True)
    alone = check((role, lines))
    assert not any(c.problems for s in alone.sections for c in s.checks if s.id in ("integrity", "story"))
    return Deed(f"tail behind {size}", _both(role, lines), role, size, exact=True)


def _clock(rng: random.Random, role: str) -> Deed:
    """An entry's time is put back, and the leaf hash made to fit."""
    lines = _lines(role)
    number = rng.randrange(2, entry_lines(lines) + 1)
    said = json.loads(lines[number][65:])
    said["time"] -= rng.randrange(1_000, 10_000_000)
    [(leaf, data)] = bundle.hashed([rfc8785.dumps(said)])
    lines[number] = leaf.hex().encode() + b" " + data + b"\n"
    return Deed("clock", [(role, closed(lines))], role, number - 1, exact=True)


def _notes(lines: list[bytes], kind: str) -> list[tuple[int, dict[str, Any]]]:
    return [
        (number, said)
        for number, line in enumerate(lines)
        if line.startswith(b"{") and (said := json.loads(line)).get("kind") == kind
    ]


def _replaced(rng: random.Random, role: str) -> Deed:
    """A checkpoint of the partner's that was cosigned is replaced by another note of that log, or of this one."""
    lines = _lines(role)
    number, said = rng.choice(_notes(lines, "witnessed"))
    others = [each["note"] for each in (other for _, other in _notes(lines, "witnessed")) if each != said]
    others += [each["note"] for _, each in _notes(lines, "checkpoint")]
    said["note"] = rng.choice(others)
    lines[number] = rfc8785.dumps(said) + b"\n"
    return Deed("partner's checkpoint replaced", [(role, closed(lines))], role)


def _cosignatures(rng: random.Random, role: str) -> Deed:
    """A checkpoint carries the cosignature of another one."""
    lines = _lines(role)
    (number, said), (_, other) = rng.sample(_notes(lines, "checkpoint"), 2)
    mine = said["note"].splitlines(keepends=True)
    said["note"] = "".join([*mine[:-1], other["note"].splitlines(keepends=True)[-1]])
    lines[number] = rfc8785.dumps(said) + b"\n"
    return Deed("cosignature of another checkpoint", [(role, closed(lines))], role)


def _mixed(rng: random.Random, role: str) -> Deed:
    """Streams of two jobs change places, in a log that is signed anew."""
    own, other = _pair().side(role)
    entries = list(own.entries)
    streams = [number for number, (kind, _) in enumerate(own.types) if kind == "stream"]
    by_name: dict[str, list[int]] = {}
    for number in streams:
        by_name.setdefault(json.loads(entries[number])["shared"]["name"], []).append(number)
    one, two = sorted(rng.sample(rng.choice([each for each in by_name.values() if len(each) > 1]), 2))
    said = [json.loads(entries[number]) for number in (one, two)]
    for each in ("count", "bytes", "sha256"):
        said[0]["shared"][each], said[1]["shared"][each] = said[1]["shared"][each], said[0]["shared"][each]
    entries[one], entries[two] = (rfc8785.dumps(each) for each in said)
    lines = resigned(own, other, entries, keep=False)
    return Deed("two jobs mixed", _both(role, lines), role, one)


def _lie(rng: random.Random, role: str) -> Deed:
    """The log was false from the first and cosigned as it was: the sections behind integrity find it."""
    pair = Pair(f"lie {rng.random()}")
    job, again = pair.jobs([rng.choice(_KINDS), "audience"])
    own, other = pair.side(role)
    streams = [json.loads(data)["shared"] for data in own.entries if b'"stream"' in data]
    shared = rng.choice([each for each in streams if each["job"] == job and each["name"].endswith("points")])
    kind = rng.choice(("mixed", "twice", "foreign", "unsaid", "clock", "thresholds"))
    if kind == "mixed":
        first = own.append("stream", job=again, shared=shared | {"job": again})
    elif kind == "twice":
        first = own.append("stream", job=job, shared=shared)
    elif kind == "foreign":
        first = own.append(
            "stream", job=again, shared=_of(streams, again) | {"name": "cell_sums", "count": 1}
        )
    elif kind == "unsaid":
        gone = {
            "session": "0" * 32,
            "from": role,
            "to": other.role,
            "name": _own_points(streams, role, again),
        }
        first = own.append("stream", job=again, shared=_of(streams, again) | gone)
    elif kind == "clock":
        own.time -= 1_000_000
        first = own.append("login", "mary", facts={"code": None})
    else:
        facts = next(json.loads(data)["facts"] for data in own.entries if b'"decision"' in data)
        loose = {"min_group": facts["min_group"] - 1, "session": shared["session"], "release": "tokens"}
        first = own.append("decision", job=job, facts=facts | loose)
    own.checkpoint(other)
    lines = bundles(pair)
    given = [("bank", lines["bank"]), ("platform", lines["platform"])]
    return Deed(f"lie: {kind}", given, role, first, exact=kind not in ("twice", "mixed"))


def _of(streams: list[dict[str, Any]], job: str) -> dict[str, Any]:
    return next(each for each in streams if each["job"] == job)


def _own_points(streams: list[dict[str, Any]], role: str, job: str) -> str:
    return next(
        str(each["name"])
        for each in streams
        if each["job"] == job and each["from"] == role and each["name"].endswith("_points")
    )


_DEEDS: tuple[tuple[Callable[[random.Random, str], Deed], int], ...] = (
    (_flip, 40),
    (_structure, 14),
    (_rehashed, 8),
    (_fork, 10),
    (_tail, 4),
    (_clock, 4),
    (_replaced, 5),
    (_cosignatures, 5),
    (_mixed, 5),
    (_lie, 5),
)
_WEIGHTED = [deed for deed, weight in _DEEDS for _ in range(weight)]


def tamper(seed: int) -> Deed:
    """Return the tampering of ``seed``."""
    rng = random.Random(f"tamper {seed}")
    return _WEIGHTED[seed % len(_WEIGHTED)](rng, _any_role(rng))


def fault(deed: Deed) -> str:
    """Return what is wrong with what is found of ``deed``, or an empty string."""
    try:
        first = check(*deed.given).first
    except BundleFault:
        # A header that cannot be read: there is nothing to report on.
        return "" if deed.first is None else "was taken for a file that is no bundle"
    if first is None:
        return "was not found"
    if first.place.bundle != LABELS[deed.role] and deed.first is not None:
        return f"was found in the other bundle: {first.text()}"
    if deed.first is None:
        return ""
    if first.place.what != "entry" or first.place.number is None:
        return f"was found, and no entry is named: {first.text()}"
    named = first.place.number
    if named > deed.first or (deed.exact and named != deed.first):
        return f"is entry {deed.first}, and another is named: {first.text()}"
    # A range ends behind the entry that was tampered with.
    last = first.params.get("last", deed.first)
    if isinstance(last, int) and last < deed.first:
        return f"is entry {deed.first}, outside of what is named: {first.text()}"
    return ""


def test_the_honest_bundles_pass() -> None:
    for order in (("bank", "platform"), ("platform", "bank"), ("bank",), ("platform",)):
        assert check(*((role, _lines(role)) for role in order)).first is None


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_tampering_is_found_and_named(batch: int) -> None:
    each = TAMPERINGS // BATCHES
    for seed in range(batch * each, (batch + 1) * each):
        deed = tamper(seed)
        wrong = fault(deed)
        assert not wrong, f"seed {seed}: {deed.name} at the {deed.role} {wrong}"


if __name__ == "__main__":
    told = tamper(int(sys.argv[1]))
    print(told.name, told.role, told.first, fault(told) or "found", *check(*told.given).lines(), sep="\n")  # noqa: T201
