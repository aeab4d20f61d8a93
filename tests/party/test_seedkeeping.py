"""A seed sealed to the auditor, the auditor's key file, and the runs that a node keeps."""

from __future__ import annotations

import contextlib
import json
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from audit import canonical
from party.auditlog import AuditLog
from party.consent import approve
from party.cosigning import LogSecrets, begin_log
from party.drafting import draft_with
from party.guard import Guard
from party.identity import new_identity
from party.jobfile import parse_job
from party.jobrecords import JobRecord
from party.jobstates import JobState
from party.journal import DiskJournal, ReadOnlyJournal
from party.keeping import Keeping
from party.keptruns import KEPT_FILE, KeptRuns, load_run
from party.policy import AuditRules, Policy
from party.seedkeeping import (
    SEALED_BYTES,
    AuditorKey,
    new_auditor_key,
    public_key,
    read_auditor_key,
    seal,
    unseal,
    write_auditor_key,
)
from party.workroom import Workroom
from psi.errors import PolicyRefusal, UsageError
from psi.messages import Finish
from psi.replay import Entry
from psi.secret import Seed
from psi.seed import new_seed
from tests.party.jobs import job
from tests.party.standing_pair import TABLE, Pair, Side

JOB, CONTRACT = "a" * 32, bytes(range(32))
AUDITOR = new_auditor_key()
WITH_KEY = f'[audit]\nkey = "{AUDITOR.public.hex()}"\n'


# -- sealing


def opened(sealed: bytes, private: bytes, info: bytes) -> bytes:
    """Open as RFC 9180, 4 and 5 say, step by step: base mode, the suite of ids 0x0020, 0x0001, 0x0003."""

    def extract(salt: bytes, label: bytes, keying: bytes, suite: bytes) -> bytes:
        made = hmac.HMAC(salt or bytes(32), hashes.SHA256())
        made.update(b"HPKE-v1" + suite + label + keying)
        return made.finalize()

    def expand(key: bytes, label: bytes, context: bytes, length: int, suite: bytes) -> bytes:
        made = hmac.HMAC(key, hashes.SHA256())
        made.update(length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context + b"\x01")
        return made.finalize()[:length]

    kem = b"KEM\x00\x20"
    suite = b"HPKE\x00\x20\x00\x01\x00\x03"
    enc, text = sealed[:32], sealed[32:]
    own = X25519PrivateKey.from_private_bytes(private)
    shared = own.exchange(X25519PublicKey.from_public_bytes(enc))
    eae = extract(b"", b"eae_prk", shared, kem)
    secret = expand(eae, b"shared_secret", enc + own.public_key().public_bytes_raw(), 32, kem)
    context = b"\x00" + extract(b"", b"psk_id_hash", b"", suite) + extract(b"", b"info_hash", info, suite)
    main = extract(secret, b"secret", b"", suite)
    key, nonce = expand(main, b"key", context, 32, suite), expand(main, b"base_nonce", context, 12, suite)
    return ChaCha20Poly1305(key).decrypt(nonce, text, b"")


def test_sealing_is_hpke_over_a_bound_info() -> None:
    seed = new_seed()
    sealed = seal(seed, AUDITOR.public, job=JOB, side="bank", contract=CONTRACT)
    assert len(sealed) == SEALED_BYTES
    info = (
        b"veiljoin/v1/kept-seed\x00" + b"\x00\x04bank" + b"\x00\x20" + JOB.encode() + b"\x00\x20" + CONTRACT
    )
    assert opened(sealed, AUDITOR.reveal(), info) == seed.reveal()
    assert unseal(sealed, AUDITOR, job=JOB, side="bank", contract=CONTRACT) == seed
    again = seal(seed, AUDITOR.public, job=JOB, side="bank", contract=CONTRACT)
    assert again[:32] != sealed[:32]


@pytest.mark.parametrize(
    "changes", [{"job": "b" * 32}, {"side": "platform"}, {"contract": bytes(32)}], ids=str
)
def test_a_sealed_seed_opens_for_nothing_else(changes: dict[str, Any]) -> None:
    bound: dict[str, Any] = {"job": JOB, "side": "bank", "contract": CONTRACT}
    sealed = seal(new_seed(), AUDITOR.public, **bound)
    with pytest.raises(UsageError, match=f"The kept seed of job {changes.get('job', JOB)} does not open"):
        unseal(sealed, AUDITOR, **(bound | changes))
    with pytest.raises(UsageError, match="does not open with this key"):
        unseal(sealed, new_auditor_key(), **bound)
    for spoilt in (b"", sealed[:-1], bytes(SEALED_BYTES), sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(UsageError, match="does not open with this key"):
            unseal(spoilt, AUDITOR, **bound)


def test_the_key_file(tmp_path: Path) -> None:
    path = tmp_path / "auditor.pem"
    write_auditor_key(path, AUDITOR)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_auditor_key(path) == AUDITOR
    assert read_auditor_key(path).public == AUDITOR.public
    with pytest.raises(UsageError, match="is there already"):
        write_auditor_key(path, AUDITOR)
    with pytest.raises(UsageError, match="cannot be written"):
        write_auditor_key(tmp_path / "no" / "folder", AUDITOR)
    with pytest.raises(UsageError, match="is not there"):
        read_auditor_key(tmp_path / "other.pem")
    with pytest.raises(UsageError, match="cannot be read"):
        read_auditor_key(tmp_path)
    for text in ("", "no key", path.read_text()[:60]):
        other = tmp_path / "other.txt"
        other.write_text(text)
        with pytest.raises(UsageError, match=r"other.txt is not an auditor's private key"):
            read_auditor_key(other)
    assert AUDITOR.reveal().hex() not in repr(AUDITOR) + str([AUDITOR])


def test_what_is_a_public_key() -> None:
    text = AUDITOR.public.hex()
    assert public_key(text) == AUDITOR.public
    for other in (
        "",
        text[:-2],
        text + "00",
        text.upper(),
        f" {text}",
        "zz" * 32,
        "00" * 32,
        "01" + "00" * 31,
    ):
        assert public_key(other) is None


# -- runs that are kept


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two nodes, both with an auditor."""
    both = Pair(tmp_path, policy=WITH_KEY)
    with_auditor(both.bank, AUDITOR)
    both.connect()
    yield both
    both.close()


def with_auditor(side: Side, key: AuditorKey | None) -> None:
    """Give the policy of a node an auditor's key, or none."""
    side.node.home.policy = Policy(audit=AuditRules(None if key is None else key.public))


def accepted(pair: Pair, keeper: str = "platform") -> JobRecord:
    """Draft a job in which ``keeper`` keeps its seed, and have it approved at the platform; returns its record."""
    record = pair.draft(untried=True, keep_seed=keeper)
    pair.connect()
    theirs = pair.platform.jobs.get(record.id)
    assert theirs.state is JobState.PROPOSED
    return approve(pair.platform.node, pair.platform.jobs, theirs, "carol")


def heard(run: Path, messages: int = 2) -> None:
    """Put messages of a partner into the journal of a run."""
    journal = DiskJournal(run / "journal", run / "aside")
    for number in range(messages):
        journal.add(Entry(number, Finish(bytes(16), bytes(32)), bytes(32)))


def test_a_run_is_kept_whatever_ends_it(pair: Pair) -> None:
    record, side = accepted(pair), pair.platform
    room = Workroom(side.folder)
    keeping = Keeping(side.node, room)
    seeds = []
    for number in (1, 2):
        seed = keeping.seed(record.id)
        keeping.seal(record, seed, delimiter=";", encoding="gb18030")
        keeping.seal(record, seed)  # the next attempt of the run
        seeds.append(seed.reveal())
        heard(room.run(record.id), number)
        # At the end of the job, or because its folder has no seed any more.
        if number == 1:
            side.node.vault.destroy(f"job/{record.id}/seed")
        else:
            keeping.end(record.id)
    assert not room.run(record.id).exists()
    runs = room.kept.runs(record.id)
    contract = record.digest
    assert [run.number for run in runs] == [1, 2]
    assert [run.seed(AUDITOR, bytes.fromhex(contract)).reveal() for run in runs] == seeds
    assert [len(ReadOnlyJournal(run.journal)) for run in runs] == [1, 2]
    first = runs[0]
    assert (first.job, first.side, first.delimiter, first.encoding) == (
        record.id,
        "platform",
        ";",
        "gb18030",
    )
    assert (first.contract, first.table) == (record.contract, record.table)
    assert first.auditor == AUDITOR.public
    for folder in (side.folder / "kept", first.folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in first.folder.iterdir()) == ["journal", KEPT_FILE]
    with pytest.raises(UsageError, match="was sealed to the auditor's key"):
        first.seed(new_auditor_key(), bytes.fromhex(contract))
    for path in (side.folder / "kept").rglob("*"):
        assert path.is_dir() or seeds[0] not in path.read_bytes()


def test_a_seed_that_is_kept_is_in_the_log(pair: Pair) -> None:
    record, side = accepted(pair), pair.platform
    keeping = Keeping(side.node, Workroom(side.folder))
    log = AuditLog(side.node.home.store)
    secrets = LogSecrets(new_identity(), new_identity())
    begin_log(log, secrets, side.node.credentials.identity(), "platform", "acme", "veiljoin", 0.0)
    for _ in range(3):
        keeping.seal(record, keeping.seed(record.id))
    facts = log.facts()
    assert facts is not None
    entries = [canonical.decode(data) for *_, data in log.entries(facts.epoch, job=record.id)]
    kept = [entry for entry in entries if entry["type"] == "seed_kept"]
    assert [entry["facts"] for entry in kept] == [{"auditor": AUDITOR.public.hex()}]


def test_nothing_is_kept_of_who_was_not_to_keep_it(pair: Pair) -> None:
    record, side = accepted(pair, "bank"), pair.platform
    room = Workroom(side.folder)
    keeping = Keeping(side.node, room)
    keeping.seal(record, keeping.seed(record.id))
    heard(room.run(record.id))
    keeping.end(record.id)
    assert room.kept.jobs() == ()


def test_nothing_is_kept_of_a_run_that_heard_nobody(pair: Pair) -> None:
    record, side = accepted(pair), pair.platform
    room = Workroom(side.folder)
    keeping = Keeping(side.node, room)
    keeping.seal(record, keeping.seed(record.id))
    keeping.end(record.id)
    assert room.kept.runs(record.id) == ()


@pytest.mark.parametrize("step", range(8))
def test_a_node_that_dies_while_it_keeps_a_run(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed before any of its steps, keeping goes on with the next attempt, and nothing is lost or doubled."""
    record, side = accepted(pair), pair.platform
    room = Workroom(side.folder)
    keeping = Keeping(side.node, room)
    keeping.seal(record, keeping.seed(record.id))
    heard(room.run(record.id))
    left = step

    def killed(original: Any) -> Any:
        def stop_or_do(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return original(*arguments, **more)

        return stop_or_do

    steps = ("mkdir", "rename", "unlink", "chmod")
    with monkeypatch.context() as patch:
        for name in steps:
            patch.setattr(Path, name, killed(getattr(Path, name)))
        patch.setattr("os.replace", killed(shutil.os.replace))  # type: ignore[attr-defined]
        with contextlib.suppress(KeyboardInterrupt):
            keeping.end(record.id)
    keeping.end(record.id)
    (run,) = room.kept.runs(record.id)
    assert len(ReadOnlyJournal(run.journal)) == 2
    assert sorted(path.name for path in run.folder.parent.iterdir()) == ["1"]
    assert not room.run(record.id).exists()


def test_kept_runs_are_removed_when_their_time_has_come(pair: Pair, tmp_path: Path) -> None:
    record, side = accepted(pair), pair.platform
    kept = KeptRuns(side.folder)
    for at in (100.0, 200.0):
        run = tmp_path / f"run{at}"
        heard(run)
        room = Workroom(side.folder)
        keeping = Keeping(side.node, room)
        keeping.seal(record, keeping.seed(record.id))
        shutil.copy(room.run(record.id) / KEPT_FILE, run)
        assert kept.keep(record.id, run, at)
        room.end_run(record.id)
    assert kept.expire(100.0) == ()
    assert kept.expire(150.0) == (record.id,)
    assert [run.number for run in kept.runs(record.id)] == [2]
    # One that nobody can read any more goes by the age of its folder.
    (side.folder / "kept" / record.id / "2" / KEPT_FILE).write_text("{}")
    assert kept.expire(300.0) == ()
    assert kept.expire(time.time() + 60) == (record.id,)
    assert kept.jobs() == ()
    kept.remove(record.id)  # nothing is there


def test_a_file_that_was_changed_is_told(tmp_path: Path) -> None:
    for content in ("", "{}", json.dumps({"version": 2}), "[]"):
        (tmp_path / KEPT_FILE).write_text(content)
        with pytest.raises(UsageError, match=r"kept.json cannot be read as a kept run"):
            load_run(tmp_path)


# -- who refuses


def test_a_bank_without_an_auditor_drafts_no_job_that_keeps_its_seed(pair: Pair) -> None:
    with_auditor(pair.bank, None)
    for keeper in ("bank", "both"):
        table = TABLE | {"keep_seed": keeper}
        with pytest.raises(
            PolicyRefusal, match=r"the bank keeps its seed, and .* names no auditor"
        ) as caught:
            draft_with(pair.bank.node, parse_job(table, "JOB.toml"), table, "acme")
        assert "veiljoin audit new-key" in caught.value.hint
    table = TABLE | {"keep_seed": "platform"}
    assert draft_with(pair.bank.node, parse_job(table, "JOB.toml"), table, "acme").contract.keeps_seed(
        "platform"
    )


def test_a_platform_without_an_auditor_refuses_to_keep_its_seed(pair: Pair) -> None:
    with_auditor(pair.platform, None)
    record = pair.draft(untried=True, keep_seed="platform")
    pair.connect()
    theirs = pair.platform.jobs.get(record.id)
    assert (theirs.state, theirs.code) == (JobState.REFUSED, "policy")


def test_a_key_that_is_gone_by_now_stops_approval_and_start(pair: Pair) -> None:
    record = pair.draft(untried=True, keep_seed="platform")
    pair.connect()
    with_auditor(pair.platform, None)
    theirs = pair.platform.jobs.get(record.id)
    with pytest.raises(PolicyRefusal, match="the platform keeps its seed"):
        approve(pair.platform.node, pair.platform.jobs, theirs, "carol")
    guard = Guard(pair.platform.node.home, job(keep_seed="platform"), "platform", "users", "bank", JOB)
    with pytest.raises(PolicyRefusal, match="the platform keeps its seed"):
        guard.__enter__()
    keeping = Keeping(pair.platform.node, Workroom(pair.platform.folder))
    with pytest.raises(PolicyRefusal, match="the platform keeps its seed"):
        keeping.seal(theirs, Seed(bytes(32)))


def test_a_contract_with_a_kept_seed_is_of_the_second_version(pair: Pair) -> None:
    plain, kept = (pair.draft(untried=True, **keys) for keys in ({}, {"keep_seed": "both"}))
    assert [json.loads(each.contract or b"")["version"] for each in (plain, kept)] == [1, 2]
    assert "keep_seed" not in json.loads(plain.contract or b"")
