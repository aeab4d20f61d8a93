"""audit/SPEC.md against the code: the worked example, computed a second time without `audit`, and the limits."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import canonical, checkpoint, commitment, keys, merkle, note, witness
from psi.secret import SigningSeed

AUDIT = Path(__file__).resolve().parents[2] / "audit"
SPEC = (AUDIT / "SPEC.md").read_text(encoding="utf-8")
EXAMPLE = SPEC.split("## 12 Worked example")[1]
IDENTITY, LOG, WITNESS, PARTNER, PARTNER_WITNESS = (
    SigningSeed(bytes([number]) * 32) for number in range(1, 6)
)
SECONDS = 1_700_000_000


def _key(seed: SigningSeed) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed.reveal())


def _public(seed: SigningSeed) -> bytes:
    return _key(seed).public_key().public_bytes_raw()


def _sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def value(what: str) -> str:
    """The value of one row of the example's table."""
    (found,) = re.findall(rf"^\| {re.escape(what)} \| `?([^`|]+?)`? \|$", EXAMPLE, flags=re.MULTILINE)
    return str(found)


def blocks() -> list[str]:
    """The indented blocks of the example; an empty line inside a note belongs to it."""
    found = re.findall(r"(?:^    .*\n(?:\n(?=    — ))?)+", EXAMPLE, flags=re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in found]


def test_the_example_s_tree() -> None:
    a, b, c = (_sha(b"\0", entry) for entry in (b"a", b"b", b"c"))
    two = _sha(b"\1", a, b)
    three = _sha(b"\1", two, c)
    assert [value(f"leaf hash of `{entry}`") for entry in "abc"] == [leaf.hex() for leaf in (a, b, c)]
    assert [value("root of size 2"), value("root of size 3")] == [two.hex(), three.hex()]
    tree = merkle.Tree()
    tree.extend([merkle.leaf_hash(entry) for entry in (b"a", b"b", b"c")])
    assert [tree.root(size) for size in range(4)] == [_sha(), a, two, three]
    assert merkle.consistency_proof(1, 3, tree.read) == [b, c]
    assert merkle.consistency_proof(2, 3, tree.read) == [c]


def test_the_example_s_keys_and_proof() -> None:
    identity = _public(IDENTITY)
    origin = "veiljoin/bank/First%20Bank/" + _sha(identity).hex()[:16]
    assert keys.origin_of("bank", "First Bank", identity) == origin
    statement = (
        b"veiljoin/v1/log-keys\0"
        + len(origin).to_bytes(2, "big")
        + origin.encode()
        + _public(LOG)
        + _public(WITNESS)
    )
    proof = _key(IDENTITY).sign(statement)
    assert value("proof of the bank's keys") == proof.hex()
    assert keys.certify(IDENTITY, origin, _public(LOG), _public(WITNESS)) == proof
    own = keys.LogKeys(origin, _public(LOG), _public(WITNESS), proof)
    keys.check(own, identity)
    partner = keys.origin_of("platform", "acme", _public(PARTNER))
    theirs = note.verifier_of(partner + "/witness", note.COSIGNATURE_V1, _public(PARTNER_WITNESS))
    assert blocks()[0].splitlines() == [own.log_verifier, own.witness_verifier, str(theirs)]


def test_the_example_s_checkpoint() -> None:
    log, platform = (line.split("+")[0] for line in blocks()[0].splitlines()[::2])
    root = bytes.fromhex(value("root of size 3"))
    text = f"{log}\n3\n{base64.b64encode(root).decode()}\n".encode()

    def line(name: str, kind: int, seed: SigningSeed, signature: bytes) -> str:
        key_id = _sha(name.encode(), b"\n", bytes([kind]), _public(seed))[:4]
        return f"— {name} {base64.b64encode(key_id + signature).decode()}\n"

    cosigned = b"cosignature/v1\ntime 1700000000\n" + text
    expected = text.decode() + "\n"
    expected += line(log, 1, LOG, _key(LOG).sign(text))
    expected += line(
        platform, 4, PARTNER_WITNESS, SECONDS.to_bytes(8, "big") + _key(PARTNER_WITNESS).sign(cosigned)
    )
    assert blocks()[1] == expected

    signed = checkpoint.sign_checkpoint(checkpoint.Checkpoint(log, 3, root), note.Signer(log, LOG))
    cosigner = checkpoint.Cosigner(platform, PARTNER_WITNESS)
    assert checkpoint.with_cosignature(signed, cosigner.cosign(signed, SECONDS)).decode() == expected


def test_the_example_s_commitment() -> None:
    what = 'commitment, salt 00 01 … 1f, details `{"name":"é\\n","rows":12}`'
    details = '{"name":"é\\n","rows":12}'.encode()
    salt = bytes(range(32))
    assert value(what) == _sha(b"veiljoin/v1/audit/commit\0", salt, details).hex()
    assert value(what) == commitment.commit(salt, {"rows": 12, "name": "é\n"})


def test_limits_and_words_are_those_of_the_code() -> None:
    assert f"nested at most {canonical.MAX_DEPTH} deep" in SPEC
    assert canonical.MAX_INTEGER == checkpoint.LARGEST == 2**53 - 1
    assert f"at most {note.LONGEST_NOTE:,} bytes and {note.MOST_LINES} lines" in SPEC
    assert set(re.findall(r"`(malformed|bad_signature|fork)`", SPEC.split("## 6 ")[1].split("## 7 ")[0])) == {
        witness.MALFORMED,
        witness.BAD_SIGNATURE,
        witness.FORK,
    }


def test_every_clause_that_the_code_cites_exists() -> None:
    numbers = set(re.findall(r"^#{2,3} ([0-9.]+) ", SPEC, flags=re.MULTILINE))
    steps = {
        f"6.{number}"
        for number in re.findall(r"^(\d)\. ", SPEC.split("## 6 ")[1].split("## 7 ")[0], flags=re.MULTILINE)
    }
    core = ["merkle", "note", "checkpoint", "keys", "witness", "commitment", "canonical"]
    cited = {
        clause.rstrip(".")
        for name in core
        for clause in re.findall(r"SPEC ([0-9.]+)", (AUDIT / f"{name}.py").read_text(encoding="utf-8"))
    }
    assert cited
    assert cited <= numbers | steps
