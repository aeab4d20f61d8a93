"""Two parties' logs in real stores, each cosigning the other: appending, proofs, offers, forks, backups."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from audit import merkle
from audit.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from audit.commitment import check_opening
from audit.entry import SALT_BYTES, Draft, parse
from audit.keys import KeysError
from audit.note import Signer
from party.auditlog import AuditLog, note
from party.cosigning import SHORTER, UNKNOWN_LOG, WITHHELD, Cosigning, LogSecrets, begin_log
from party.identity import new_identity, public_identity
from party.notary import Notary
from party.store import Store
from party.tables import audit_entries, audit_nodes, audit_witnessed
from psi.errors import LinkLost, PeerViolation, VeiljoinError
from tests.party.enrolments import Clock
from veiljoin.log_messages import LogConflict, LogCosigned, LogKeys, LogOffer, LogRefused

SOFTWARE = "veiljoin test"
# Entries of a log whose party knows its partner's.
BEGUN = 2
STEP = Draft("result_purged", "ann", "0" * 32)


def party(store: Store, role: str, name: str, clock: Clock) -> tuple[Cosigning, bytes, LogSecrets]:
    """A log that has just begun, its party's public identity, and the log's keys."""
    identity, secrets = new_identity(), LogSecrets(new_identity(), new_identity())
    begin_log(AuditLog(store), secrets, identity, role, name, SOFTWARE, clock().timestamp())
    return Cosigning(store, secrets, clock), public_identity(identity), secrets


class Two:
    """A bank with its log in ``store``, and a platform; both know the other's log."""

    def __init__(self, store: Store, other: Store) -> None:
        self.clock = Clock()
        self.bank, self.bank_identity, self.bank_secrets = party(store, "bank", "First Bank", self.clock)
        self.acme, self.acme_identity, _ = party(other, "platform", "acme", self.clock)
        self.bank.learn("acme", self.acme_identity, self.acme.keys())
        self.acme.learn("bank", self.bank_identity, self.bank.keys())

    def cosign(self) -> Any:
        """Have the platform cosign the bank's log as it is now; returns what it said."""
        offer = self.bank.offer("acme")
        assert offer is not None
        answer = self.acme.judge("bank", offer)
        if isinstance(answer, LogCosigned):
            self.bank.take("acme", answer)
        return answer

    def append(self, count: int = 1) -> int:
        """Let something happen at the bank; returns the size of its log."""
        return self.bank.log.append([STEP] * count, self.clock().timestamp())


def strange(folder: Path, role: str, name: str) -> tuple[LogKeys, bytes]:
    """The keys of a log of another party, and its identity."""
    with closing(Store(f"sqlite:///{folder / 'strange.sqlite'}")) as store:
        cosigning, identity, _ = party(store, role, name, Clock())
        return cosigning.keys(), identity


@pytest.fixture
def two(store: Store, tmp_path: Path) -> Iterator[Two]:
    """The bank's store on either database."""
    with closing(Store(f"sqlite:///{tmp_path / 'acme.sqlite'}")) as other:
        yield Two(store, other)


def entries(log: AuditLog) -> list[dict[str, Any]]:
    """All entries, each of which hashes to its leaf."""
    read = []
    for sequence, leaf, data in log.entries(1):
        entry = parse(data)
        assert merkle.leaf_hash(data) == leaf
        assert entry["sequence"] == sequence
        read.append(entry)
    return read


def test_a_log_begins_with_its_keys_and_is_begun_once(two: Two) -> None:
    first = entries(two.bank.log)
    assert [entry["type"] for entry in first] == ["log_opened", "log_learned"]
    assert first[0]["facts"]["identity"] == two.bank_identity.hex()
    again = LogSecrets(new_identity(), new_identity())
    with pytest.raises(KeysError):
        begin_log(two.bank.log, LogSecrets(again.log, again.log), new_identity(), "bank", "x", SOFTWARE, 0.0)
    assert two.bank.log.size() == BEGUN


def test_entries_in_a_store_make_the_tree_of_their_bytes(two: Two) -> None:
    for count in (1, 2, 3, 5, 8, 70):
        two.append(count)
    written = entries(two.bank.log)
    tree = merkle.Tree()
    tree.extend([leaf for _, leaf, _ in two.bank.log.entries(1)])
    head = two.bank.log.head()
    assert head is not None
    assert (head.size, head.root) == (len(written), tree.root())
    for old, new in ((1, 2), (3, 90), (64, 65), (90, 90)):
        proof = two.bank.log.consistency(1, old, new)
        merkle.verify_consistency(old, new, proof, tree.root(old), tree.root(new))
    for index in (0, 1, 63, 64, 89):
        proof = two.bank.log.inclusion(1, index, head.size)
        leaf = merkle.leaf_hash(next(data for _, _, data in two.bank.log.entries(1, index, index + 1)))
        merkle.verify_inclusion(index, head.size, leaf, proof, head.root)


def test_times_never_go_back_though_the_clock_does(two: Two) -> None:
    two.append()
    two.clock.forward(hours=-5)
    two.append()
    times = [entry["time"] for entry in entries(two.bank.log)]
    assert times == sorted(times)


def test_an_entry_and_its_step_are_one_transaction(two: Two, store: Store) -> None:
    def step() -> None:
        with store.transaction() as connection:
            assert note(connection, STEP, 1.0) == BEGUN
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        step()
    assert two.bank.log.size() == BEGUN
    with store.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(audit_entries)).scalar() == BEGUN
        assert connection.execute(sa.select(sa.func.count()).select_from(audit_nodes)).scalar() == BEGUN + 1


def test_an_entry_with_a_key_is_written_once(two: Two) -> None:
    marked = Draft("result_purged", "ann", "0" * 32, key="once")
    two.bank.log.append([marked, marked], 0.0)
    two.bank.log.append([marked], 0.0)
    assert two.bank.log.size() == BEGUN + 1


def test_a_leaf_hash_tells_nobody_that_a_guess_is_right(two: Two) -> None:
    guessed = {"dataset": "vip customers"}
    for _ in range(2):
        two.bank.log.append([Draft("dataset_removed", "ann", facts=guessed)], 0.0)
    one, other = entries(two.bank.log)[-2:]
    assert {key for key in one if one[key] != other[key]} == {"sequence", "salt"}
    assert len(bytes.fromhex(one["salt"])) == SALT_BYTES


def test_details_stay_beside_the_entry_and_open_its_commitment(two: Two) -> None:
    details = {"persons": 12}
    two.bank.log.append([Draft("result_purged", "ann", "0" * 32, details=details)], 0.0)
    ((sequence, salt, _),) = two.bank.log.details(1)
    entry = entries(two.bank.log)[sequence]
    check_opening(entry["commit"], salt, details)
    assert "12" not in str(entry["facts"])


def test_a_growing_log_is_cosigned_again_and_again(two: Two) -> None:
    for _ in range(3):
        size = two.append(4)
        answer = two.cosign()
        assert answer == LogCosigned(size, answer.line)
        assert two.bank.cosigned_size("acme") == size
    assert two.bank.offer("acme") is None
    noted = two.bank.log.checkpoint(1, BEGUN + 12)
    assert noted is not None
    assert noted.count(b"\n\xe2\x80\x94 ") == 2  # the log's line and the witness's


def test_a_rewritten_log_is_refused_and_kept_as_evidence(two: Two) -> None:
    two.append(5)
    two.cosign()
    forged = Checkpoint(two.bank.facts.origin, 8, bytes(32))
    signed = sign_checkpoint(forged, Signer(two.bank.facts.origin, two.bank_secrets.log))
    proof = tuple(bytes(32) for _ in range(3))
    refusal = two.acme.judge("bank", LogOffer(signed, BEGUN + 5, proof))
    assert refusal == LogRefused(BEGUN + 5, "fork")
    seen = entries(two.acme.log)[-1]
    assert seen["type"] == "fork_seen"
    assert (seen["facts"]["partner"], seen["facts"]["size"]) == ("bank", 8)
    assert two.acme.trouble("bank") == "fork"
    # Nor does its next cosignature make it believed again.
    two.acme.learn("bank", two.bank_identity, two.bank.keys())
    offer = two.acme.offer("bank")
    assert offer is not None
    answer = two.bank.judge("acme", offer)
    assert isinstance(answer, LogCosigned)
    two.acme.take("bank", answer)
    assert two.acme.trouble("bank") == "fork"


def test_an_offer_from_another_size_is_a_conflict_and_goes_on_from_there(two: Two) -> None:
    two.append(3)
    offer = two.bank.offer("acme")
    assert offer is not None
    two.acme.judge("bank", offer)  # whose answer was lost
    two.append(3)
    late = two.bank.offer("acme")
    assert late is not None
    assert two.acme.judge("bank", late) == LogConflict(BEGUN + 3)
    again = two.bank.offer("acme", BEGUN + 3)
    assert again is not None
    assert isinstance(two.acme.judge("bank", again), LogCosigned)


def test_a_log_that_lost_its_end_is_told_so(two: Two) -> None:
    assert two.bank.offer("acme", 50) is None
    assert two.bank.trouble("acme") == SHORTER
    assert entries(two.bank.log)[-1]["type"] == "cosign_refused"


def test_a_new_log_of_the_same_party_begins_at_nothing(two: Two, store: Store) -> None:
    two.append(3)
    two.cosign()
    secrets, identity = LogSecrets(new_identity(), new_identity()), new_identity()
    begin_log(two.bank.log, secrets, identity, "bank", "First Bank.2", SOFTWARE, 5.0)
    fresh = Cosigning(store, secrets, two.clock)
    two.acme.learn("bank", public_identity(identity), fresh.keys())
    offer = fresh.offer("acme")
    assert offer is not None
    assert offer.old_size == 0
    assert isinstance(two.acme.judge("bank", offer), LogCosigned)


@pytest.mark.parametrize("what", ["proof", "key", "identity", "other partner", "own role", "rehearsal"])
def test_a_log_that_its_party_does_not_vouch_for_is_not_believed(two: Two, what: str, tmp_path: Path) -> None:
    keys, identity, name = two.bank.keys(), two.bank_identity, "bank"
    match what:
        case "proof":
            keys = LogKeys(keys.origin, keys.log_key, keys.witness_key, bytes(64))
        case "key":
            keys = LogKeys(keys.origin, keys.witness_key, keys.log_key, keys.proof)
        case "identity":
            identity = two.acme_identity
        case "own role" | "rehearsal":
            # Certified by its identity all the same.
            named = ("platform", "acme") if what == "own role" else ("bank", "rehearsal")
            keys, identity = strange(tmp_path, *named)
        case _:
            name = "mallory"
    with pytest.raises(PeerViolation):
        two.acme.learn(name, identity, keys)


def test_a_cosignature_that_does_not_hold_is_a_violation(two: Two) -> None:
    two.append()
    offer = two.bank.offer("acme")
    assert offer is not None
    answer = two.acme.judge("bank", offer)
    assert isinstance(answer, LogCosigned)
    for wrong in (
        LogCosigned(answer.size, answer.line[:-6] + b"AAAAA\n"),
        LogCosigned(answer.size + 5, answer.line),
    ):
        with pytest.raises(PeerViolation):
            two.bank.take("acme", wrong)
    assert two.bank.cosigned_size("acme") == 0


def test_an_unknown_log_is_refused(two: Two) -> None:
    offer = two.bank.offer("acme")
    assert offer is not None
    assert two.acme.judge("stranger", offer) == LogRefused(0, UNKNOWN_LOG)


# -- the notary


class Known:
    """What a notary asks about partners."""

    def __init__(self, identity: bytes) -> None:
        self.identity = identity

    def get(self, _: str) -> Known:
        return self


class Wire:
    """A notary at the bank and one at the platform, and what they say to each other."""

    def __init__(self, two: Two, patience: float) -> None:
        self.told: list[dict[str, Any]] = []
        self.bank = Notary(two.bank, Known(two.acme_identity), self.told.append, patience=patience)  # type: ignore[arg-type]
        self.acme = Notary(two.acme, Known(two.bank_identity), self.told.append)  # type: ignore[arg-type]
        self.deaf = False
        self.under_way: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Begin the control stream."""
        await self.bank.online("acme", self.to_acme)
        await self.acme.online("bank", self.to_bank)
        await self.settle()

    def to_acme(self, message: Any) -> None:
        if not self.deaf:
            self.carry(self.acme, "bank", message, self.to_bank)

    def to_bank(self, message: Any) -> None:
        self.carry(self.bank, "acme", message, self.to_acme)

    def carry(self, to: Notary, partner: str, message: Any, back: Any) -> None:
        """Let a message arrive, and its answer come back."""

        async def arrive() -> None:
            answer = await to.receive(partner, message)
            if answer is not None:
                back(answer)

        task = asyncio.create_task(arrive())
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    async def settle(self) -> None:
        """Let all arrive that is under way."""
        while self.under_way:
            await asyncio.gather(*self.under_way)


def test_a_gate_opens_once_the_partner_has_cosigned_what_it_noted(two: Two) -> None:
    async def run() -> None:
        wire = Wire(two, 5.0)
        await wire.connect()
        await asyncio.gather(*(wire.bank.gate("acme", [STEP]) for _ in range(5)))
        assert two.bank.cosigned_size("acme") == two.bank.log.size() == BEGUN + 5

    asyncio.run(run())


def test_a_gate_stays_shut_when_the_partner_withholds_and_opens_when_it_does_not(two: Two) -> None:
    async def run() -> None:
        wire = Wire(two, 0.2)
        await wire.connect()
        wire.deaf = True
        with pytest.raises(VeiljoinError) as withheld:
            await wire.bank.gate("acme", [STEP])
        assert withheld.value.code.name == "cosign_refused"
        assert two.bank.trouble("acme") == WITHHELD
        assert [event["event"] for event in wire.told] == ["not_cosigned"]
        wire.deaf = False
        await wire.bank.nudge("acme")
        await wire.settle()
        assert two.bank.trouble("acme") is None
        assert entries(two.bank.log)[-1]["type"] == "cosign_resumed"
        await wire.bank.gate("acme", [STEP])

    asyncio.run(run())


def test_a_gate_opens_also_where_the_cosignature_was_kept_as_its_stream_broke(two: Two) -> None:
    async def run() -> None:
        wire = Wire(two, 5.0)
        wire.deaf = True
        await wire.connect()
        waiting = asyncio.create_task(wire.bank.gate("acme", [STEP]))
        for _ in range(500):
            await asyncio.sleep(0.01)
            if two.bank.log.size() > BEGUN:
                break
        # Taken into the store, and nobody was told any more.
        two.cosign()
        wire.bank.offline("acme", wire.to_acme)
        wire.deaf = False
        await wire.connect()
        async with asyncio.timeout(5):
            await waiting

    asyncio.run(run())


def test_a_gate_does_not_wait_for_ever_for_a_partner_that_is_away(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("party.notary.ABSENT_SECONDS", 0.2)
    wire = Wire(two, 5.0)
    with pytest.raises(LinkLost):
        asyncio.run(wire.bank.gate("acme", [STEP]))


def test_checkpoints_are_of_the_log_that_signed_them(two: Two) -> None:
    size, signed = two.bank.checkpoint()
    assert open_checkpoint(signed, two.bank.facts.log_key).size == size
    assert two.bank.checkpoint() == (size, signed)


# -- a partner that means harm


def rows(two: Two, *, reason: bool) -> int:
    """How many notes of the bank's log the platform keeps, refused or cosigned."""
    of = audit_witnessed.c.reason.is_not(None) if reason else audit_witnessed.c.reason.is_(None)
    with two.acme._store.reading() as connection:
        return int(
            connection.execute(sa.select(sa.func.count()).select_from(audit_witnessed).where(of)).scalar_one()
        )


def test_lines_that_somebody_else_put_under_an_offer_are_not_kept(two: Two) -> None:
    two.append()
    offer = two.bank.offer("acme")
    assert offer is not None
    stranger = Signer("stranger", new_identity())
    foreign = [
        b"\xe2\x80\x94 witness%d %s\n" % (number, stranger.sign(b"x\n").split()[2]) for number in range(90)
    ]
    answer = two.acme.judge("bank", LogOffer(offer.note + b"".join(foreign), offer.old_size, offer.proof))
    assert isinstance(answer, LogCosigned)
    with two.acme._store.reading() as connection:
        kept = bytes(connection.execute(sa.select(audit_witnessed.c.note)).scalar_one())
    assert kept.count(b"\n\xe2\x80\x94 ") == 2
    two.bank.take("acme", answer)


def test_asking_again_and_again_fills_no_store(two: Two) -> None:
    size = two.append(5)
    two.cosign()
    signed = two.bank.log.checkpoint(1, size)
    assert signed is not None
    again = LogOffer(signed, size, ())
    answers = {str(two.acme.judge("bank", again)) for _ in range(5)}
    assert len(answers) == 1
    assert rows(two, reason=False) == 1
    before = two.acme.log.size()
    for number in range(5):
        forged = Checkpoint(two.bank.facts.origin, size, bytes([number]) * 32)
        note = sign_checkpoint(forged, Signer(two.bank.facts.origin, two.bank_secrets.log))
        assert two.acme.judge("bank", LogOffer(note, size, ())) == LogRefused(size, "fork")
    assert rows(two, reason=True) == 1
    assert two.acme.log.size() == before + 1


def test_a_cosignature_of_before_ends_no_refusal(two: Two) -> None:
    two.append()
    old = two.cosign()
    size = two.append()
    two.bank.note_refusal("acme", size, WITHHELD)
    before = two.bank.log.size()
    for _ in range(3):
        assert not two.bank.take("acme", old)
    assert two.bank.trouble("acme") == WITHHELD
    assert two.bank.log.size() == before
    two.cosign()
    assert two.bank.trouble("acme") is None


def test_a_store_that_went_back_signs_no_second_state(two: Two) -> None:
    two.append(4)
    two.cosign()
    # The partner has cosigned nine entries, and this store knows no checkpoint of nine.
    assert two.bank.offer("acme", 9) is None
    two.append(20)
    assert two.bank.offer("acme") is None
    assert two.bank.trouble("acme") == SHORTER


class Stubborn:
    """What a partner says to each offer, for a bank's notary with little patience."""

    def __init__(self, two: Two, answer: Any) -> None:
        self.told: list[dict[str, Any]] = []
        self.notary = Notary(two.bank, Known(two.acme_identity), self.told.append, patience=0.5)  # type: ignore[arg-type]
        self.answer = answer
        self.tasks: set[asyncio.Task[None]] = set()

    def say(self, message: Any) -> None:
        """Answer an offer in its own time."""
        if isinstance(message, LogOffer):
            task = asyncio.create_task(self.reply())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def reply(self) -> None:
        await asyncio.sleep(0.02)
        said = await self.notary.receive("acme", self.answer)
        if said is not None:
            self.say(said)


@pytest.mark.parametrize(
    "answer", [LogConflict(0), LogRefused(0, UNKNOWN_LOG), LogRefused(0, "fork"), LogCosigned(1, b"line\n")]
)
def test_no_answer_but_a_cosignature_holds_a_gate_open(two: Two, answer: Any) -> None:
    async def run() -> None:
        partner = Stubborn(two, answer)
        await partner.notary.online("acme", partner.say)
        async with asyncio.timeout(10):
            with pytest.raises(VeiljoinError) as ended:
                await partner.notary.gate("acme", [STEP])
        assert ended.value.code.name == "cosign_refused"
        assert [event["event"] for event in partner.told] == ["not_cosigned"]
        for task in list(partner.tasks):
            task.cancel()

    asyncio.run(run())


def test_a_gate_of_a_job_that_ended_ends(two: Two) -> None:
    wire = Wire(two, 5.0)
    with pytest.raises(LinkLost) as ended:
        asyncio.run(wire.bank.gate("acme", [STEP], lambda: False))
    assert ended.value.code.name == "cancelled"
