"""Integrity of one bundle behind its entries: keys, checkpoints, cosignatures, evidence and what is attached.

SPEC 11.2. The entries themselves were checked as they were read (``audit.reading``). Roots are recomputed from the
leaves at the size of every checkpoint, so that all pairs of checkpoints are consistent where all of them fit.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from audit import canonical, keys
from audit.bundle import Extra
from audit.checkpoint import Checkpoint, check_cosignature, open_checkpoint
from audit.commitment import CommitmentError, check_opening
from audit.contracts import check_line, decoded
from audit.contracts import read as read_contract
from audit.keys import KeysError, LogKeys
from audit.merkle import ProofError, verify_consistency, verify_inclusion
from audit.note import COSIGNATURE_V1, ED25519, NoteError, parse_line, parse_verifier, split
from audit.reading import Partner, Reading, Signed, facts_of_policy, root_of
from audit.report import Check, Checking, Place, fingerprint_of


def check(reading: Reading) -> list[Check]:
    """Check everything of ``reading`` but its entries, and fill in what later sections need."""
    extras: dict[str, list[Extra]] = {}
    for extra in reading.extras:
        extras.setdefault(extra.kind, []).append(extra)
    reading.extras.clear()
    checks = [_keys(reading, extras.get("partner", []))]
    names = ("checkpoints", "cosignatures", "witnessed", "evidence", "attached")
    if not reading.whole:
        return checks + [Checking(name, reading.label).skip("not_whole").done() for name in names]
    signed, cosigned = _checkpoints(reading, extras.get("checkpoint", []))
    checks += [signed, cosigned, _witnessed(reading, extras.get("witnessed", []))]
    checks += [_evidence(reading, extras.get("evidence", [])), _attached(reading, extras)]
    if reading.header.pack is not None:
        checks.append(_proofs(reading, extras))
    return checks


def _line(reading: Reading, extra: Extra) -> Place:
    return Place(reading.label, "line", extra.line)


def _certified(fields: Mapping[str, Any]) -> None:
    """Check that the identity in ``fields`` certified the two keys there. Raises ``ValueError``."""
    log_key, witness_key = parse_verifier(fields["log_key"]), parse_verifier(fields["witness_key"])
    if (log_key.type, witness_key.type) != (ED25519, COSIGNATURE_V1):
        raise KeysError("a key of a log is of another type")
    certified = LogKeys(fields["log"], log_key.public, witness_key.public, bytes.fromhex(fields["proof"]))
    keys.check(certified, bytes.fromhex(fields["identity"]))
    if (certified.log_verifier, certified.witness_verifier) != (fields["log_key"], fields["witness_key"]):
        raise KeysError("a key of a log has another name")


def _keys(reading: Reading, partners: list[Extra]) -> Check:
    check, header = Checking("keys", reading.label), reading.header
    check.note("identity", name=header.name, fingerprint=fingerprint_of(header.identity))
    try:
        _certified(header.as_data())
    except ValueError as error:
        check.fail("keys", Place(reading.label, "line", 1), what=str(error))
    for extra in partners:
        fields = extra.fields
        try:
            _certified(fields)
        except ValueError as error:
            check.fail("keys", _line(reading, extra), what=str(error))
            continue
        identity = bytes.fromhex(fields["identity"])
        if fields["identity"] == header.identity or fields["log"] in reading.partners:
            check.fail("partner_twice", _line(reading, extra))
            continue
        reading.partners[fields["log"]] = Partner(
            fields["name"], fields["log"], identity, fields["log_key"], fields["witness_key"]
        )
    check.counts["partners"] = len(reading.partners)
    return check.done()


def _checkpoints(reading: Reading, lines: list[Extra]) -> tuple[Check, Check]:
    signed, cosigned = Checking("checkpoints", reading.label), Checking("cosignatures", reading.label)
    header, last, good, broken = reading.header, -1, 0, False
    witnesses = {parse_verifier(each.witness_key).name: each for each in reading.partners.values()}
    for extra in lines:
        size = extra.fields["size"]
        place = Place(reading.label, "checkpoint", size)
        note = extra.fields["note"].encode("utf-8")
        if size <= last:
            signed.fail("order", _line(reading, extra))
            continue
        last = size
        try:
            told = open_checkpoint(note, header.log_key)
        except NoteError as error:
            signed.fail("note", place, what=str(error))
            continue
        if told.size != size:
            signed.fail("note_size", place, found=told.size)
            continue
        signed.counts["checkpoints"] += 1
        if not broken and not _fits(reading, told, signed, good):
            broken = True
        if not broken:
            good = size
        cosigners = _cosigners(note, place, witnesses, cosigned)
        reading.checkpoints.append(Signed(size, told.root, extra.line, cosigners))
    # A pack's entries lie in checkpoints of its own; the log has grown since.
    if header.pack is None and last < header.size and not signed.failed:
        signed.fail("uncovered", reading.entry(max(last, 0)), last=max(last, 0), size=header.size)
    for partner in reading.partners.values():
        count = sum(partner.log in each.cosigners for each in reading.checkpoints)
        cosigned.note("cosigned_by", count=count, name=partner.name)
    covered = max((each.size for each in reading.checkpoints if each.cosigners), default=0)
    if covered < header.size:
        cosigned.note("uncosigned", first=covered, size=header.size)
    return signed.done(), cosigned.done()


def _fits(reading: Reading, told: Checkpoint, check: Checking, good: int) -> bool:
    """Return whether the entries lead to the checkpoint's root; ``good`` is the last size at which they did."""
    if reading.header.pack is not None:
        return True  # _proofs looks at these
    if told.size > reading.size:
        check.fail("beyond", reading.entry(good), size=told.size, entries=reading.size)
        return False
    if root_of(reading, told.size) != told.root:
        check.fail("root", reading.entry(good), last=max(told.size - 1, 0), size=told.size)
        return False
    return True


def _cosigners(
    note: bytes, place: Place, witnesses: Mapping[str, Partner], check: Checking
) -> dict[str, int]:
    """Return the partners' logs whose owners cosigned ``note``, and when; a wrong cosignature is a problem."""
    found: dict[str, int] = {}
    text, lines = split(note)
    for line in lines:
        partner = witnesses.get(parse_line(line).name)
        if partner is None:
            continue  # the log's own line, or a witness that is not known here (C2SP signed-note)
        try:
            seconds = check_cosignature(text, line, partner.witness_key)
        except NoteError as error:
            check.fail("cosignature", place, name=partner.name, what=str(error))
            continue
        check.counts["cosignatures"] += 1
        found[partner.log] = min(seconds, found.get(partner.log, seconds))
    return found


def _witnessed(reading: Reading, lines: list[Extra]) -> Check:
    """Check the partners' checkpoints that this party cosigned: theirs, cosigned, and no two of one size differ."""
    check, own = Checking("witnessed", reading.label), parse_verifier(reading.header.witness_key)
    for extra in lines:
        fields, place = extra.fields, _line(reading, extra)
        partner = reading.partners.get(fields["log"])
        if partner is None:
            check.fail("unknown_partner", place)
            continue
        note = fields["note"].encode("utf-8")
        try:
            told = open_checkpoint(note, partner.log_key)
            text, signatures = split(note)
            mine = [line for line in signatures if parse_line(line).name == own.name]
            seconds = [check_cosignature(text, line, reading.header.witness_key) for line in mine]
        except NoteError as error:
            check.fail("witnessed_note", place, name=partner.name, what=str(error))
            continue
        if told.size != fields["size"]:
            check.fail("note_size", place, found=told.size)
            continue
        if not mine:
            check.fail("not_cosigned", place, name=partner.name)
            continue
        notes = reading.witnessed.setdefault(partner.log, [])
        if any(each.size == told.size and each.root != told.root for each in notes[-1:]):
            check.fail("two_roots", place, name=partner.name, size=told.size)
        elif notes and notes[-1].size > told.size:
            check.fail("order", place)
        else:
            check.counts["notes"] += 1
            notes.append(Signed(told.size, told.root, extra.line, {reading.header.log: min(seconds)}))
    return check.done()


def _evidence(reading: Reading, lines: list[Extra]) -> Check:
    """Look at the notes that were refused: who signed two stories is named; what cannot be judged here is told.

    A fork shows from one bundle where the refused note has the size of a cosigned one. Where it has another, only
    the log's own entries decide (``audit.story``); until then it is this party's word, and the verdict is failed.
    """
    check = Checking("evidence", reading.label)
    kept = {sha256(extra.fields["note"].encode("utf-8")).digest() for extra in lines}
    for step in reading.others:
        if step.type == "fork_seen" and step["evidence"] not in kept:
            check.fail("evidence_missing", reading.entry(step.sequence))
    for extra in lines:
        fields, place = extra.fields, _line(reading, extra)
        check.counts["notes"] += 1
        partner = reading.partners.get(fields["log"])
        if partner is None:
            check.fail("unknown_partner", place)
            continue
        if fields["reason"] != "fork":
            check.note("refused_note", name=partner.name, reason=fields["reason"])
            continue
        try:
            told = open_checkpoint(fields["note"].encode("utf-8"), partner.log_key)
        except NoteError as error:
            check.fail("false_evidence", place, name=partner.name, what=str(error))
            continue
        same = [each for each in reading.witnessed.get(partner.log, []) if each.size == told.size]
        if any(each.root != told.root for each in same):
            check.fail("fork", place, name=partner.name, log=partner.log, size=told.size)
        elif same:
            check.fail("false_evidence", place, name=partner.name, what="the note is one that was cosigned")
        else:
            check.fail("fork_told", place, name=partner.name, log=partner.log, size=told.size)
            reading.refused.append((partner.log, Signed(told.size, told.root, extra.line)))
    return check.done()


def _attached(reading: Reading, extras: Mapping[str, list[Extra]]) -> Check:
    """Check that contracts, cards, policies and opened details are those that the entries name by their hashes."""
    check = Checking("attached", reading.label)
    for extra in extras.get("contract", []):
        _contract(reading, extra, check)
    for extra in extras.get("policy", []):
        digest = sha256(canonical.encode(extra.fields["policy"])).hexdigest()
        if digest != extra.fields["digest"]:
            check.fail("policy_hash", _line(reading, extra))
        elif facts_of_policy(digest, extra.fields["policy"]) is None:
            check.fail("policy_form", _line(reading, extra))
        else:
            check.counts["policies"] += 1
            reading.effective[digest] = extra.fields["policy"]
    for extra in extras.get("details", []):
        sequence = extra.fields["sequence"]
        commit = reading.commits.get(sequence)
        try:
            if commit is None:
                raise CommitmentError("the entry commits to nothing")
            check_opening(commit, bytes.fromhex(extra.fields["salt"]), extra.fields["details"])
        except (CommitmentError, canonical.CanonicalError) as error:
            check.fail("details", reading.entry(sequence), what=str(error))
        else:
            check.counts["details"] += 1
            reading.details[sequence] = extra.fields["details"]
    check.counts["commitments"] = len(reading.commits)
    return check.done()


def _contract(reading: Reading, extra: Extra, check: Checking) -> None:
    fields, place = extra.fields, _line(reading, extra)
    try:
        data = decoded(fields["contract"])
        if not hmac.compare_digest(sha256(data).hexdigest(), fields["hash"]):
            raise ValueError("the contract's bytes have another hash")
        contract = read_contract(data)
        check_line(contract, fields)
    except ValueError as error:
        check.fail("contract", place, what=str(error))
        return
    check.counts["contracts"] += 1
    reading.contracts[contract.hash] = contract


def _proofs(reading: Reading, extras: Mapping[str, list[Extra]]) -> Check:
    """Check the proofs of a pack: each entry is in a checkpoint, and the checkpoints are of one log."""
    check = Checking("proofs", reading.label)
    roots = {each.size: each.root for each in reading.checkpoints}
    missing = set(reading.leaves)
    for extra in extras.get("inclusion", []):
        sequence, size = extra.fields["sequence"], extra.fields["size"]
        leaf, root = reading.leaves.get(sequence), roots.get(size)
        if leaf is None or root is None:
            check.fail("proof_of_nothing", _line(reading, extra))
            continue
        try:
            verify_inclusion(sequence, size, leaf, _hashes(extra), root)
        except ProofError as error:
            check.fail("proof", reading.entry(sequence), what=str(error))
        else:
            check.counts["inclusion"] += 1
            missing.discard(sequence)
    for sequence in sorted(missing):
        check.fail("no_proof", reading.entry(sequence))
    newest = max(roots, default=0)
    unlinked = set(roots) - {newest}
    for extra in extras.get("consistency", []):
        old, new = extra.fields["old"], extra.fields["new"]
        if old not in roots or new not in roots:
            check.fail("proof_of_nothing", _line(reading, extra))
            continue
        try:
            verify_consistency(old, new, _hashes(extra), roots[old], roots[new])
        except ProofError as error:
            check.fail("proof", Place(reading.label, "checkpoint", old), what=str(error))
        else:
            check.counts["consistency"] += 1
            if new == newest:
                unlinked.discard(old)
    for size in sorted(unlinked):
        check.fail("no_proof", Place(reading.label, "checkpoint", size))
    return check.done()


def _hashes(extra: Extra) -> list[bytes]:
    return [bytes.fromhex(each) for each in extra.fields["proof"]]
