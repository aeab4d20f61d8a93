"""What is exported: everything that verifying needs, no more than was asked for, and whole or not at all."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from audit.bundle import Bundle, Extra, lines_of
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.verify import verify
from party.auditlog import AuditLog
from party.cosigning import Cosigning, LogSecrets, begin_log
from party.evidence import Evidence, write_bundle, write_pack
from party.identity import new_identity
from psi.errors import UsageError
from tests.party.evidence_pair import NAMES, LogPair
from tests.party.jobs import job
from veiljoin.log_messages import LogOffer, LogRefused


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[LogPair]:
    made = LogPair(tmp_path)
    made.set_policy()
    yield made
    made.close()


def read(lines: Iterable[bytes], label: str = "bundle") -> Bundle:
    """Read a bundle of these lines."""
    return Bundle(label, lines_of(io.BytesIO(b"".join(lines))))


def kinds(lines: Iterable[bytes]) -> Counter[str]:
    """Count the lines behind the entries by their kind."""
    return Counter(extra.kind for extra in read(lines).extras())


def extras(lines: Iterable[bytes], kind: str) -> list[Extra]:
    """Return the lines of a kind."""
    return [extra for extra in read(lines).extras() if extra.kind == kind]


def test_both_bundles_pass(pair: LogPair) -> None:
    pair.run_audience(pair.agree(job()))
    report = verify([read(pair.evidence(side).whole(), side) for side in ("bank", "platform")])
    assert report.passed, report.first


def test_packs_pass_alone_and_together(pair: LogPair) -> None:
    contract = pair.agree(job())
    pair.run_audience(contract)
    pair.note("bank", "login", "ann", None, code=None)  # behind the last checkpoint that was cosigned
    packs = {side: b"".join(pair.evidence(side).pack(contract.job)) for side in ("bank", "platform")}
    for names in (["bank"], ["platform"], ["bank", "platform"]):
        report = verify([read([packs[name]], name) for name in names])
        assert report.passed, report.first


def test_pack_has_few_of_many_checkpoints(pair: LogPair) -> None:
    contract = pair.agree(job())
    for _ in range(30):
        pair.note("bank", "login", "ann", None, code=None)
        pair.cosign("bank")
    pair.run_audience(contract)
    whole, pack = kinds(pair.evidence("bank").whole()), kinds(pair.evidence("bank").pack(contract.job))
    assert whole["checkpoint"] > 30
    assert pack["checkpoint"] < 8
    assert pack["consistency"] == pack["checkpoint"] - 1
    assert verify([read(pair.evidence("bank").pack(contract.job))]).passed


def test_pack_has_one_job_alone(pair: LogPair) -> None:
    first, second = pair.agree(job()), pair.agree(job(purpose="another"))
    pair.run_audience(first)
    pair.run_audience(second)
    pack = b"".join(pair.evidence("bank").pack(first.job))
    assert first.job.encode() in pack
    assert second.job.encode() not in pack
    assert kinds([pack])["contract"] == 1


def test_details_are_opened_only_when_asked_for(pair: LogPair) -> None:
    contract = pair.agree(job())
    pair.run_audience(contract, rows=(20_123, 40_321))
    evidence = pair.evidence("bank")
    sealed = b"".join([*evidence.whole(), *evidence.pack(contract.job)])
    assert b"own_persons" not in sealed
    assert b"rejected" not in sealed
    opened = b"".join(evidence.pack(contract.job, details=True))
    assert b'"own_persons":20123' in opened
    report = verify([read([opened], "bank"), read(pair.evidence("platform").whole(details=True), "platform")])
    assert report.passed, report.first


def test_fork_that_was_refused_is_exported_as_evidence(pair: LogPair) -> None:
    pair.run_audience(pair.agree(job()))
    # The platform signs another history of the size that the bank has cosigned.
    bank, platform = pair.sides["bank"], pair.sides["platform"]
    known = bank.partner_log(NAMES["platform"])
    assert known is not None
    other = Checkpoint(known.origin, known.size, b"\1" * 32)
    offer = LogOffer(sign_checkpoint(other, platform._signer), known.size, ())
    assert isinstance(bank.judge(NAMES["platform"], offer), LogRefused)
    lines = b"".join(pair.evidence("bank").whole())
    (evidence,) = extras([lines], "evidence")
    assert evidence.fields["reason"] == "fork"
    report = verify([read([lines], "bank")])
    assert not report.passed
    assert report.first is not None
    assert report.first.code == "fork"


def test_export_is_in_what_it_exports(pair: LogPair) -> None:
    evidence = pair.evidence("bank")
    evidence.note("eve", "whole_log")
    *_, last = read(evidence.whole()).entries()
    assert b'"actor":"eve"' in last.data
    assert b'"what":"whole_log"' in last.data


def test_job_without_entries_is_one_sentence(pair: LogPair) -> None:
    with pytest.raises(UsageError, match="The log has no entry of job 00000000"):
        pair.evidence("bank").pack("0" * 32)


def test_file_that_is_there_is_left_alone(pair: LogPair, tmp_path: Path) -> None:
    out = tmp_path / "x.veiljoin-log"
    out.write_text("mine")
    with pytest.raises(UsageError, match=r"There is a file .* already"):
        write_bundle(out, pair.evidence("bank").whole())
    assert out.read_text() == "mine"
    contract = pair.agree(job())
    (tmp_path / "pack").mkdir()
    with pytest.raises(UsageError, match=r"There is a folder .* already"):
        write_pack(tmp_path / "pack", pair.evidence("bank").pack(contract.job))


def test_export_that_fails_leaves_nothing(pair: LogPair, tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield from list(pair.evidence("bank").whole())[:3]
        raise UsageError("The store is locked.", code="store_unavailable")

    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(UsageError, match="The store is locked"):
        write_bundle(folder / "x.veiljoin-log", broken())
    assert list(folder.iterdir()) == []


def test_archive_is_the_same_each_time(pair: LogPair, tmp_path: Path) -> None:
    contract = pair.agree(job())
    pair.run_audience(contract)
    lines = list(pair.evidence("bank").pack(contract.job))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_pack(tmp_path / name / "job.zip", lines)
    assert (tmp_path / "a" / "job.zip").read_bytes() == (tmp_path / "b" / "job.zip").read_bytes()


def test_log_that_a_restore_ended_can_be_exported(pair: LogPair) -> None:
    contract = pair.agree(job())
    pair.run_audience(contract)
    signed = pair.sides["bank"].log.size()
    pair.note("bank", "login", "ann", None, code=None)  # never signed, so nothing that the log can prove
    store, secrets = pair.stores["bank"], LogSecrets(new_identity(), new_identity())
    log, now = AuditLog(store), pair.clock.now.timestamp()
    begin_log(log, secrets, pair.identities["bank"], "bank", "bank.2", "veiljoin 0", now)
    cosigning = Cosigning(store, secrets, pair.clock)
    old = read(Evidence(store, cosigning, pair.lines, 1).whole(), "bank")
    assert (old.header.name, old.header.size) == ("bank", signed)
    report = verify([old, read(pair.evidence("platform").whole(), "platform")])
    assert report.passed, report.first
    assert read(Evidence(store, cosigning, pair.lines).whole()).header.name == "bank.2"
    with pytest.raises(UsageError, match="There is no log 3 in this home"):
        Evidence(store, cosigning, pair.lines, 3)
