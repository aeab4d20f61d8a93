"""Integrity behind the entries: each kind of line, made false by somebody who closes the file properly."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785

from audit import bundle
from audit.checkpoint import Checkpoint, sign_checkpoint
from tests.audit.synthetic_logs import Pair, bundles, check, closed, pack, renumbered, resigned, with_header
from tests.audit.test_verify import problems

Change = Callable[[dict[str, Any]], Any]


@functools.cache
def _pair() -> Pair:
    pair = Pair("attached")
    pair.jobs(["measure", "audience"])
    return pair


@functools.cache
def _lines() -> tuple[bytes, ...]:
    return tuple(bundles(_pair())["bank"])


def _codes(lines: list[bytes]) -> set[str]:
    return {each.code for each in problems(check(("bank", lines)))}


def _other(name: str) -> Change:
    """Return what puts in place of ``name`` what another log has there."""

    def change(said: dict[str, Any]) -> None:
        other = Pair("somebody else")
        header = other.platform.header().as_data()
        said[name] = header[name]

    return change


def _contract(change: Callable[[dict[str, Any]], Any], *, rehash: bool = True) -> Change:
    def changed(said: dict[str, Any]) -> None:
        body = json.loads(base64.b64decode(said["contract"]))
        change(body)
        line = bundle.contract(rfc8785.dumps(body), None, None, said["card"], [], [])
        said["contract"] = line["contract"]
        if rehash:
            said["hash"] = line["hash"]

    return changed


def _signed(size: int, root: bytes | None = None) -> Change:
    """Return what puts in a checkpoint that the log's own key signed."""
    own = _pair().bank
    at = Checkpoint(own.origin, size, root or own.tree.root(min(size, own.tree.size)))
    note = sign_checkpoint(at, own.signer).decode()
    return lambda said: said.update(note=note)


def _drop_own_cosignature(said: dict[str, Any]) -> None:
    said["note"] = said["note"].rsplit("\n", 2)[0] + "\n"


def _one_more(said: dict[str, Any]) -> None:
    said["size"] += 1


# name -> kind of the line, the change, the code of what is found
LIES: dict[str, tuple[str, Change, str]] = {
    "keys that nobody certified": ("partner", _other("log_key"), "keys"),
    "an identity that certified nothing": ("partner", _other("identity"), "keys"),
    "another proof": ("partner", lambda said: said.update(proof="0" * 128), "keys"),
    "a contract with another hash": (
        "contract", _contract(lambda body: body.update(purpose="x"), rehash=False), "contract",
    ),
    "a contract that nobody signed": (
        "contract", _contract(lambda body: body["policy"].update(min_group=51)), "contract",
    ),
    "a contract without a part": ("contract", _contract(lambda body: body.pop("parties")), "contract"),
    "a contract of no known kind": ("contract", _contract(lambda body: body.update(kind="gossip")), "contract"),
    "no base64": ("contract", lambda said: said.update(contract="AB="), "contract"),
    "another card": ("contract", lambda said: said["card"]["settings"].update(min_group=1), "contract"),
    "another policy": ("policy", lambda said: said["policy"]["limits"].update(min_group=1), "policy_hash"),
    "another salt": ("details", lambda said: said.update(salt="0" * 64), "details"),
    "other details": ("details", lambda said: said["details"].update(rows=2), "details"),
    "details of an entry that has none": ("details", lambda said: said.update(sequence=0), "details"),
    "a checkpoint of another size": ("checkpoint", _signed(5), "note_size"),
    "a checkpoint of nobody": (
        "checkpoint", lambda said: said.update(note=said["note"].replace("\n\n", "\n\n\n")), "note",
    ),
    "a checkpoint on another line": ("checkpoint", _one_more, "note_size"),
    "a witnessed note that was not cosigned": ("witnessed", _drop_own_cosignature, "not_cosigned"),
    "a witnessed note of another log": ("witnessed", _signed(3), "witnessed_note"),
    "a witnessed note of another size": ("witnessed", _one_more, "note_size"),
    "a witnessed note of a stranger": (
        "witnessed", lambda said: said.update(log=_pair().bank.origin), "unknown_partner",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_false_line_is_found(name: str) -> None:
    kind, change, code = LIES[name]
    lines = list(_lines())
    number = next(
        n for n, line in enumerate(lines) if line.startswith(b"{") and b'"kind":"%s"' % kind.encode() in line
    )
    said = json.loads(lines[number])
    change(said)
    lines[number] = rfc8785.dumps(said) + b"\n"
    assert code in _codes(closed(lines))


def _without(kind: str, keep: int = 0) -> list[bytes]:
    """Return the bundle without lines of ``kind``, but for the first ``keep``."""
    found = [n for n, line in enumerate(_lines()) if b'"kind":"%s"' % kind.encode() in line]
    return closed([line for n, line in enumerate(_lines()) if n not in found[keep:]])


@pytest.mark.parametrize(
    ("kind", "keep", "code"),
    [
        ("checkpoint", 2, "uncovered"),
        ("checkpoint", 0, "uncovered"),
        ("policy", 0, "policy_missing"),
        ("contract", 0, "no_contract"),
        ("partner", 0, "unknown_partner"),
    ],
)
def test_a_line_that_is_missing_is_told(kind: str, keep: int, code: str) -> None:
    assert code in _codes(_without(kind, keep))


def test_lines_that_stand_twice_or_in_another_order_are_told() -> None:
    lines = list(_lines())
    for kind, code in (("checkpoint", "order"), ("partner", "partner_twice")):
        number = next(n for n, line in enumerate(lines) if b'"kind":"%s"' % kind.encode() in line)
        assert code in _codes(closed([*lines[:number], lines[number], *lines[number:]]))
    first, *_, last = (n for n, line in enumerate(lines) if b'"kind":"witnessed"' in line)
    lines[first], lines[last] = lines[last], lines[first]
    assert "order" in _codes(closed(lines))


def test_two_cosigned_notes_of_one_size_convict_their_log() -> None:
    pair = _pair()
    lines = list(_lines())
    number = next(n for n, line in enumerate(lines) if b'"kind":"witnessed"' in line)
    said = json.loads(lines[number])
    forged = sign_checkpoint(Checkpoint(pair.platform.origin, said["size"], b"\2" * 32), pair.platform.signer)
    note = forged + pair.bank.cosigner.cosign(forged, 5)
    line = rfc8785.dumps(bundle.witnessed(pair.platform.origin, said["size"], note)) + b"\n"
    assert "two_roots" in _codes(closed([*lines[: number + 1], line, *lines[number + 1 :]]))


def test_a_header_that_counts_otherwise_is_told() -> None:
    lines = list(_lines())
    size = json.loads(lines[0])["size"]
    for told in (size - 1, size + 1):
        assert _codes(closed([with_header(lines[0], size=told), *lines[1:]])) >= {"size"}


def test_a_checkpoint_over_more_entries_than_there_are_is_told_from_one_bundle() -> None:
    pair = _pair()
    lines = resigned(pair.bank, pair.platform, pair.bank.entries, keep=True)
    number = max(n for n, line in enumerate(lines) if not line.startswith(b"{"))
    shorter = closed([with_header(lines[0], size=number - 1), *lines[1:number], *lines[number + 1 :]])
    found = problems(check(("bank", shorter)))
    assert found[0].code == "beyond"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"log": "veiljoin/bank/other/0123456789abcdef"}, "other_log"),
        ({"policy": "0" * 64}, "policy_unset"),
        ({"type": "chatter"}, "malformed"),
    ],
)
def test_an_entry_of_another_log_or_policy_is_found(change: dict[str, Any], code: str) -> None:
    pair = _pair()
    number = next(n for n, (kind, _) in enumerate(pair.bank.types) if kind == "job_start")

    def alter(said: dict[str, Any]) -> None:
        if said["sequence"] == number:
            said.update(change)

    lines = resigned(pair.bank, pair.platform, renumbered(pair.bank.entries, alter), keep=False)
    found = [each for each in problems(check(("bank", lines))) if each.code == code]
    assert [each.place.number for each in found][:1] == [number]


def test_a_policy_that_is_set_under_another_name_is_found() -> None:
    pair = _pair()

    def alter(said: dict[str, Any]) -> None:
        if said["type"] == "policy_set":
            said["facts"]["digest"] = "0" * 64

    lines = resigned(pair.bank, pair.platform, renumbered(pair.bank.entries, alter), keep=False)
    assert "policy_named" in _codes(lines)


def test_an_opening_with_other_keys_is_found() -> None:
    pair = _pair()
    lines = resigned(pair.bank, pair.platform, renumbered(pair.bank.entries[1:]), keep=False)
    [problem] = problems(check(("bank", lines)))
    assert (problem.code, problem.place.number) == ("opening", 0)


def test_proofs_about_what_a_pack_does_not_hold_are_told() -> None:
    pair = _pair()
    lines = pack(pair.bank, pair.platform, pair.bank.types[-2][1] or "")
    for kind, key in (("inclusion", "sequence"), ("inclusion", "size"), ("consistency", "old")):
        number = next(n for n, line in enumerate(lines) if b'"kind":"%s"' % kind.encode() in line)
        said = json.loads(lines[number])
        said[key] = 100_000
        told = closed([*lines[:number], rfc8785.dumps(said) + b"\n", *lines[number + 1 :]])
        assert "proof_of_nothing" in _codes(told)
