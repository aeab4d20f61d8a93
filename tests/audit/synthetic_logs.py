"""Two parties' logs for tests: those of ``bench.synthetic_logs``, and bundles made anew after a change."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import rfc8785

from audit import bundle, merkle
from audit.bundle import Bundle
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.report import Report
from audit.verify import verify
from bench.synthetic_logs import KINDS as KINDS
from bench.synthetic_logs import Pair as Pair
from bench.synthetic_logs import Party

LABELS = {"bank": "bank.veiljoin-log", "platform": "platform.veiljoin-log"}


def bundles(pair: Pair) -> dict[str, list[bytes]]:
    """Return the lines of both parties' bundles, by role."""
    return {
        "bank": list(pair.bank.bundle(pair.platform)),
        "platform": list(pair.platform.bundle(pair.bank)),
    }


def check(*told: tuple[str, Iterable[bytes]], policy: Any = None, identities: Sequence[str] = ()) -> Report:
    """Verify bundles, each given as role and lines."""
    return verify([Bundle(LABELS[role], lines) for role, lines in told], policy, identities)


def closed(lines: Sequence[bytes]) -> list[bytes]:
    """Return ``lines``, the last of which is an end line, with an end line that fits: what any forger can do."""
    body = list(lines[:-1])
    end = {"kind": "end", "lines": len(lines), "sha256": hashlib.sha256(b"".join(body)).hexdigest()}
    return [*body, rfc8785.dumps(end) + b"\n"]  # type: ignore[arg-type]


def with_header(line: bytes, **changed: Any) -> bytes:
    """Return a header line with some values changed."""
    return rfc8785.dumps(json.loads(line) | changed) + b"\n"


def entry_lines(lines: Sequence[bytes]) -> int:
    """Return how many lines behind the header are entries."""
    return sum(1 for line in lines[1:] if not line.startswith(b"{"))


def renumbered(
    entries: Iterable[bytes], change: Callable[[dict[str, Any]], None] | None = None
) -> list[bytes]:
    """Return ``entries`` numbered from 0; ``change`` may alter each."""
    made = []
    for number, data in enumerate(entries):
        said = json.loads(data) | {"sequence": number}
        if change is not None:
            change(said)
        made.append(rfc8785.dumps(said))
    return made


def resigned(
    party: Party, partner: Party, entries: Sequence[bytes], *, keep: bool, sizes: Sequence[int] | None = None
) -> list[bytes]:
    """Return the bundle of a party that wrote its log anew and signed every checkpoint again with its own key.

    It cannot cosign for ``partner``: with ``keep`` it leaves the old cosignatures in their places, else it drops
    them.
    """
    tree = merkle.Tree()
    tree.extend([merkle.leaf_hash(data) for data in entries])
    wanted = [size for size in (sizes or party.checkpoints) if size <= len(entries)]
    if not wanted or wanted[-1] != len(entries):
        wanted.append(len(entries))
    notes = {}
    for size in wanted:
        note = sign_checkpoint(Checkpoint(party.origin, size, tree.root(size)), party.signer)
        if keep and size in party.checkpoints:
            note += party.checkpoints[size].splitlines(keepends=True)[-1]
        notes[size] = note

    def extras() -> Iterator[dict[str, Any]]:
        for size, note in notes.items():
            yield bundle.checkpoint(size, note)
        # Without details: those of entries that moved would tell at once.
        yield from (extra for extra in party.extras(partner, details=False) if extra["kind"] != "checkpoint")

    return list(bundle.write(party.header(len(entries)), bundle.hashed(entries), extras()))


def pack(party: Party, partner: Party, job: str) -> list[bytes]:
    """Return the evidence pack of one job."""
    sequences = [0, *(number for number, (_, each) in enumerate(party.types) if each == job)]
    tree = party.tree
    newest = max(party.checkpoints)

    def extras() -> Iterator[dict[str, Any]]:
        for extra in party.extras(partner):
            named = extra.get("sequence")
            if extra["kind"] != "details" or named in sequences:
                yield extra
        for sequence in sequences:
            yield bundle.inclusion(sequence, newest, merkle.inclusion_proof(sequence, newest, tree.read))
        for size in party.checkpoints:
            if size != newest:
                yield bundle.consistency(size, newest, merkle.consistency_proof(size, newest, tree.read))

    header = dataclasses.replace(party.header(), pack=job)
    return list(bundle.write(header, bundle.hashed(party.entries[number] for number in sequences), extras()))
