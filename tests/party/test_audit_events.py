"""Every step leaves its entry in the party's log, in one transaction; and no entry holds what a log may not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from audit.canonical import decode
from party.auditlog import AuditLog
from party.authority import StandingAuthority
from party.backup import save
from party.budget import Budget
from party.callers import Caller
from party.catalogue import Catalogue
from party.certificates import partner_uri
from party.credentials import Credentials
from party.drafting import Draft
from party.enrolment import MAX_FAILURES
from party.home import Home
from party.identifiers import parse_form
from party.invitation import new_secret
from party.jobfile import parse_job
from party.jobrecords import node, partner, rule
from party.jobs import Jobs
from party.jobstates import JobState
from party.node import Node
from party.nodefile import BANK, NodeFile, bank_ports, write_node
from party.policy import BudgetRules, Limits, Policy
from party.policydigest import effective_policy, note_in_force, policy_bytes, settings_digest
from party.preflights import Preflights
from party.restoring import restore
from party.schedulerecords import Outcome
from party.schedules import Schedules
from party.scheduleterms import Terms, new_timetable
from party.store import Store
from party.tables import approvals, audit_entries, datasets, events, jobs, secrets
from party.vault import open_vault
from psi.errors import PeerViolation, PolicyRefusal, UsageError
from psi.secret import SecretBytes
from tests.party import enrolments
from tests.party.blankstore import write_store
from tests.party.joblife import ANN, BEN, DAY, MINUTE, SIGNATURE, Clock, contract, table
from tests.party.logs import Stopped, begin, entries, killed_at, stopping_at, told

SHOP = partner("shop")
SOURCE = 'kind = "audience"\npurpose = "win them back in Qingdao"\n'
SIGNED = SIGNATURE.hex()


def drafted(bank: Jobs, clock: Clock, **changes: Any) -> str:
    """Draft a job; returns its id."""
    signed = contract(clock, **changes)
    return bank.draft(table(**changes), SOURCE, ANN, partner="shop", dataset="cards", contract=signed).id


def accepted(bank: Jobs, clock: Clock) -> str:
    """Return the id of a job that both sides agreed to."""
    job = drafted(bank, clock)
    digest = bank.get(job).digest
    bank.approve(job, BEN, digest)
    bank.propose(job, node("one"), SIGNATURE)
    return bank.accept(job, SHOP, digest, SIGNATURE).id


# -- jobs


def test_the_life_of_a_job_at_the_bank(store: Store) -> None:
    clock = Clock()
    begin(store)
    bank = Jobs(store, "bank", clock)
    job = drafted(bank, clock)
    first = bank.get(job)
    with pytest.raises(PolicyRefusal):
        bank.approve(job, ANN, first.digest)
    bank.approve(job, BEN, first.digest)
    clock.now += MINUTE
    again = contract(clock, job, 2 * DAY)
    bank.edit(job, table(), SOURCE, ANN, dataset="other-cards", contract=again)
    second = bank.get(job)
    bank.approve(job, BEN, second.digest)
    bank.propose(job, node("one"), SIGNATURE)
    bank.accept(job, SHOP, second.digest, SIGNATURE)
    bank.start(job, "one")
    bank.retry(job, "one", "link_lost")
    bank.start(job, "two")
    bank.finish(job, "two", keep=DAY)
    clock.now += 2 * DAY
    bank.expire(job, "two")

    card = again.body["card"]
    about = {"kind": "audience", "partner": "shop", "card": card}
    assert told(store) == [
        ("job_draft", "ann", {"digest": first.digest, "dataset": "cards", **about}),
        ("attempt_refused", "ann", {"step": "approve", "code": "not_allowed"}),
        ("job_approve", "ben", {"digest": first.digest, "as": "bank"}),
        ("job_edit", "ann", {"digest": second.digest, "dataset": "other-cards", **about}),
        ("job_void", "ann", {"digest": first.digest}),
        ("job_approve", "ben", {"digest": second.digest, "as": "bank"}),
        ("job_propose", "node:bank", {"digest": second.digest, "signature": SIGNED}),
        ("job_accept", "partner:shop", {"digest": second.digest, "signature": SIGNED}),
        ("job_start", "node:bank", {"attempt": 1}),
        ("job_retry", "node:bank", {"code": "link_lost"}),
        ("job_start", "node:bank", {"attempt": 2}),
        ("job_finish", "node:bank", {}),
        ("result_purged", "node:bank", {}),
        ("job_expire", "node:bank", {"code": None}),
    ]
    assert {entry["job"] for entry in entries(store)[1:]} == {job}
    times = [entry["time"] for entry in entries(store)]
    assert times == sorted(times)
    assert times[-1] == int(clock().timestamp() * 1000)


def test_the_life_of_a_job_at_the_platform(store: Store) -> None:
    clock = Clock()
    begin(store, "platform")
    platform = Jobs(store, "platform", clock)

    def received() -> tuple[str, str]:
        signed = contract(clock)
        for _ in range(2):  # it comes again after a lost link
            record = platform.receive(
                table(), SOURCE, partner("bank"), dataset="users", contract=signed, signature=SIGNATURE
            )
        return record.id, record.digest

    job, digest = received()
    platform.accept(job, rule("monthly lists"), digest, SIGNATURE)
    platform.start(job, "one")
    platform.fail(job, "one", "over_budget")
    refused, _ = received()
    platform.refuse(refused, BEN, "purpose")
    taken_back, _ = received()
    with pytest.raises(UsageError, match="There is no job"):
        platform.cancel(taken_back, partner("other-bank"))
    platform.cancel(taken_back, partner("bank"))

    arrived = {"kind": "audience", "partner": "bank", "dataset": "users"}
    assert [
        (kind, who) for kind, who, facts in told(store, "job_draft") if facts.items() >= arrived.items()
    ] == [("job_draft", "partner:bank")] * 3
    assert [entry["facts"]["signature"] for entry in entries(store, "job_propose")] == [SIGNED] * 3
    others = [each for each in told(store) if each[0] not in ("job_draft", "job_propose")]
    assert others == [
        ("job_approve", "rule:monthly lists", {"digest": digest, "as": "platform"}),
        ("job_accept", "rule:monthly lists", {"digest": digest, "signature": SIGNED}),
        ("job_start", "node:platform", {"attempt": 1}),
        ("job_fail", "node:platform", {"code": "over_budget"}),
        ("job_refuse", "ben", {"digest": platform.get(refused).digest, "code": "purpose"}),
        ("attempt_refused", "partner:other-bank", {"step": "cancel", "code": "unknown_job"}),
        ("job_cancel", "partner:bank", {"code": "cancelled"}),
    ]


def test_what_was_refused_is_noted_once_a_minute_and_changes_nothing_else(store: Store) -> None:
    clock = Clock()
    begin(store)
    bank = Jobs(store, "bank", clock)
    job = drafted(bank, clock)
    before = bank.get(job)
    for _ in range(5):
        with pytest.raises(PolicyRefusal):
            bank.approve(job, ANN, before.digest)
    with pytest.raises(PolicyRefusal):
        bank.cancel(job, rule("any"))
    clock.now += MINUTE
    with pytest.raises(PolicyRefusal):
        bank.approve(job, ANN, before.digest)
    assert [
        (entry["job"], entry["actor"], entry["facts"]["step"]) for entry in entries(store, "attempt_refused")
    ] == [
        (job, "ann", "approve"),
        (job, "rule:any", "cancel"),
        (job, "ann", "approve"),
    ]
    assert bank.get(job) == before


def test_a_store_without_a_log_takes_the_same_steps(store: Store) -> None:
    clock = Clock()
    bank = Jobs(store, "bank", clock)
    job = accepted(bank, clock)
    with pytest.raises(PolicyRefusal):
        bank.cancel(job, rule("any"))
    assert bank.cancel(job, ANN).state is JobState.CANCELLED
    with store.reading() as connection:
        assert connection.execute(sa.select(audit_entries)).all() == []


# -- one transaction


def _rows(store: Store) -> tuple[int, ...]:
    """Return what steps write: counts, and the jobs' revisions."""
    with store.reading() as connection:
        counts = [
            connection.execute(sa.select(sa.func.count()).select_from(each)).scalar_one()
            for each in (events, approvals, datasets, secrets, audit_entries)
        ]
        revisions = connection.execute(
            sa.select(sa.func.coalesce(sa.func.sum(jobs.c.revision), 0))
        ).scalar_one()
    return (*counts, revisions)


def _steps(store: Store, folder: Path, clock: Clock) -> dict[str, Callable[[], object]]:
    """Return steps that can be taken now, each of them once."""
    bank, catalogue = Jobs(store, "bank", clock), Catalogue(store, clock)
    to_edit, to_accept = drafted(bank, clock), drafted(bank, clock)
    for job in (to_edit, to_accept):
        bank.approve(job, BEN, bank.get(job).digest)
    bank.propose(to_accept, node("one"), SIGNATURE)
    path = folder / "cards.csv"
    path.write_text("mobile\n13800138000\n")
    again, vault = contract(clock, to_edit), open_vault(folder, store)
    digest = bank.get(to_accept).digest
    return {
        "draft": lambda: drafted(bank, clock),
        "edit": lambda: bank.edit(to_edit, table(), SOURCE, ANN, contract=again),
        "accept": lambda: bank.accept(to_accept, SHOP, digest, SIGNATURE),
        "dataset": lambda: catalogue.add("cards", path, "mobile", parse_form("phone"), 1, "ann"),
        "key": lambda: vault.seal("tls/x", SecretBytes(b"k" * 32), purpose="link"),
    }


_STEPS = ("draft", "edit", "accept", "dataset", "key")
# How many entries each writes.
_ENTRIES = {"draft": 1, "edit": 2, "accept": 1, "dataset": 1, "key": 1}


@pytest.mark.parametrize("name", _STEPS)
def test_a_step_that_fails_at_any_statement_leaves_neither_itself_nor_an_entry(
    store: Store, tmp_path: Path, name: str
) -> None:
    clock = Clock()
    begin(store)
    take = _steps(store, tmp_path, clock)[name]
    before, size = _rows(store), AuditLog(store).size()
    for number in range(1, 60):
        try:
            with stopping_at(number):
                take()
        except Stopped:
            if _rows(store) == before:
                assert AuditLog(store).size() == size
                continue
        break
    assert number > 6
    assert AuditLog(store).size() == size + _ENTRIES[name]
    assert _rows(store)[4] == before[4] + _ENTRIES[name]
    entries(store)


@pytest.mark.parametrize("name", _STEPS)
def test_a_process_that_is_killed_at_any_statement_leaves_both_or_neither(tmp_path: Path, name: str) -> None:
    write_store(tmp_path / "store.sqlite")
    address, clock = f"sqlite:///{tmp_path / 'store.sqlite'}", Clock()
    with closing(Store(address)) as store:
        begin(store)
        steps = _steps(store, tmp_path, clock)
        before, size = _rows(store), AuditLog(store).size()
    for number in range(1, 60):
        # Closed here, so that the child opens connections of its own.
        came = killed_at(number, lambda: _discard(steps[name]()))
        with closing(Store(address)) as store:
            if not came or _rows(store) != before:
                break
            assert AuditLog(store).size() == size
    with closing(Store(address)) as store:
        assert AuditLog(store).size() == size + _ENTRIES[name]
        assert _rows(store)[4] == before[4] + _ENTRIES[name]


def _discard(_: object) -> None:
    """Take what a step returns."""


# -- partners


@pytest.fixture
def bank(tmp_path: Path, store_url: str) -> Iterator[enrolments.Bank]:
    """A bank whose log begins after it was made."""
    elsewhere = store_url if "postgres" in store_url else None
    made = enrolments.Bank(tmp_path / "bank", enrolments.Clock(), store_url=elsewhere)
    with closing(made.home.store):
        begin(made.home.store)
        yield made


def test_how_a_partner_comes_and_goes(bank: enrolments.Bank) -> None:
    clock, store = bank.clock, bank.home.store
    invitation = bank.invite()
    asking, wrong = enrolments.Node(invitation), enrolments.Node(invitation)
    bank.ask(asking)
    identity = asking.asked().identity.hex()
    with pytest.raises(PolicyRefusal):
        bank.enrolments.confirm("acme", asking.fingerprint, "Ann")
    with pytest.raises(PeerViolation):
        bank.enrolments.confirm("acme", wrong.fingerprint, "ben")
    for _ in range(3):
        assert bank.ask(wrong).code == "used"
    bank.enrolments.confirm("acme", asking.fingerprint, "ben")
    issued = bank.partners.certificate("acme")
    assert issued is not None
    caller = Caller(frozenset({partner_uri("bank", "acme")}), issued.certificate)
    assert bank.partners.admit(caller) == "acme"
    bank.enrolments.revoke("acme", "cui")
    for _ in range(50):
        with pytest.raises(PeerViolation):
            bank.partners.identify(caller)
    clock.forward(minutes=1)
    with pytest.raises(PeerViolation):
        bank.partners.admit(caller)
    bank.invite(actor="cui")
    bank.ask(enrolments.Node(bank.invite()))
    bank.enrolments.refuse("acme", "ben")

    known, fresh = {"partner": "acme", "identity": identity}, {"partner": "acme", "identity": None}
    certificate = {
        "partner": "acme",
        "serial": issued.serial,
        "until": int(issued.expires.timestamp() * 1000),
    }
    said = told(store)
    assert all(len(facts.pop("digest")) == 64 for kind, _, facts in said if kind == "certificate_issued")
    assert said[:-3] == [
        ("partner_invited", "ann", fresh),
        ("partner_asked", "partner:acme", known),
        ("attempt_refused", "Ann", {"step": "confirm", "code": "not_allowed"}),
        ("access_refused", "ben", {"partner": "acme", "code": "fingerprint_differs"}),
        ("access_refused", "partner:acme", {"partner": "acme", "code": "token_used"}),
        ("partner_confirmed", "ben", known),
        ("certificate_issued", "ben", certificate),
        ("partner_revoked", "cui", known),
        ("access_refused", "partner:acme", {"partner": "acme", "code": "revoked"}),
        ("access_refused", "partner:acme", {"partner": "acme", "code": "revoked"}),
        ("partner_invited", "cui", fresh),
    ]
    assert [each[:2] for each in said[-3:]] == [
        ("partner_invited", "ann"),
        ("partner_asked", "partner:acme"),
        ("partner_refused", "ben"),
    ]
    assert said[-1][2] == said[-2][2] != known


def test_who_is_not_let_in_is_named_and_strangers_do_not_fill_the_log(bank: enrolments.Bank) -> None:
    clock, store = bank.clock, bank.home.store
    asking = enrolments.Node(bank.invite("other"))
    bank.ask(asking)
    bank.enrolments.confirm("other", asking.fingerprint, "ben")
    held = bank.partners.certificate("other")
    assert held is not None
    other = frozenset({partner_uri("bank", "other")})
    own = bank.home.credentials.current()
    assert own is not None
    refused = {
        # The bank's own certificate is no partner's.
        "unknown": Caller(frozenset({"spiffe://bank/node"}), own.certificate),
        "not_active": Caller(frozenset({partner_uri("bank", "acme")}), held.certificate),
    }
    for caller in refused.values():
        for _ in range(20):
            with pytest.raises(PeerViolation):
                bank.partners.admit(caller)
    clock.forward(days=8)
    with pytest.raises(PeerViolation):
        bank.partners.admit(Caller(other, held.certificate))
    assert told(store, "access_refused") == [
        ("access_refused", "stranger:unknown", {"partner": None, "code": "unknown"}),
        ("access_refused", "partner:other", {"partner": "other", "code": "not_active"}),
        ("access_refused", "partner:other", {"partner": "other", "code": "expired"}),
    ]
    token = bank.invite("third")
    for _ in range(MAX_FAILURES + 5):
        guess = enrolments.Node(dataclasses.replace(token, secret=new_secret()))
        assert bank.ask(guess).code == "unproven"
    assert told(store, "access_refused")[3:] == [
        ("access_refused", "stranger:unknown", {"partner": "third", "code": "wrong_secret"}),
        ("access_refused", "stranger:unknown", {"partner": "third", "code": "token_locked"}),
    ]


# -- keys, datasets, budget


def test_keys_are_named_and_never_shown(tmp_path: Path, store: Store) -> None:
    begin(store)
    vault, job = open_vault(tmp_path, store), "0" * 32
    kept = {name: SecretBytes(name.encode() * 8) for name in ("identity", f"job/{job}/seed", "join/5ec2e7")}
    for name, secret in kept.items():
        vault.seal(name, secret, purpose="run" if "job" in name else "link")
    vault.seal("identity", SecretBytes(b"another" * 8), purpose="link", replace=True)
    with pytest.raises(UsageError):
        vault.seal("identity", SecretBytes(b"third" * 8), purpose="link")
    assert vault.destroy(f"job/{job}/seed")
    assert not vault.destroy(f"job/{job}/seed")
    assert [
        (e["type"], e["actor"], e["job"], e["facts"]["key"], e["facts"]["purpose"])
        for e in entries(store)[1:]
    ] == [
        ("key_created", "node:bank", None, "identity", "link"),
        ("key_created", "node:bank", job, f"job/{job}/seed", "run"),
        ("key_created", "node:bank", None, "join", "link"),
        ("key_destroyed", "node:bank", None, "identity", "link"),
        ("key_created", "node:bank", None, "identity", "link"),
        ("key_destroyed", "node:bank", job, f"job/{job}/seed", "run"),
    ]


def test_certificates_of_the_own_node(tmp_path: Path) -> None:
    clock = enrolments.Clock()
    home = enrolments.home(tmp_path / "bank", clock)
    with closing(home.store) as store:
        begin(store)
        authority = StandingAuthority.create(store, home.vault, "bank", clock)
        assert authority.renew_own(home.credentials)
        clock.forward(days=5)
        assert authority.renew_own(home.credentials)
        said = told(store, "certificate_issued", "certificate_renewed")
    assert [(kind, facts["partner"]) for kind, _, facts in said] == [
        ("certificate_issued", None),  # the authority's
        ("certificate_issued", None),
        ("certificate_renewed", None),
    ]
    assert len({facts["digest"] for _, _, facts in said}) == 3


def test_a_dataset_with_its_consent_basis(tmp_path: Path, store: Store) -> None:
    begin(store)
    path = tmp_path / "card holders.csv"
    path.write_text("mobile\n13800138000\n")
    catalogue, form = Catalogue(store, Clock()), parse_form("phone")
    plain = catalogue.add("cards", path, "mobile", form, 1, "ann")
    assert plain.basis is None
    replaced = catalogue.add("cards", path, "mobile", form, 1, "ben", basis="contract_2026", replace=True)
    assert replaced.basis == catalogue.get("cards").basis == "contract_2026"
    with pytest.raises(UsageError, match="not one word"):
        catalogue.add("more", path, "mobile", form, 1, "ann", basis="They signed it, on paper")
    about = {"dataset": "cards", "schema": plain.schema, "form": "phone"}
    assert told(store) == [
        ("dataset_added", "ann", {**about, "basis": None}),
        ("dataset_changed", "ben", {**about, "basis": "contract_2026"}),
    ]


def test_a_dataset_of_an_earlier_version_has_no_basis(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "cards.csv"
    path.write_text("mobile\n13800138000\n")
    catalogue = Catalogue(store, Clock())
    catalogue.add("cards", path, "mobile", parse_form("phone"), 1, "ann", basis="consent")
    with store.transaction() as connection:
        row = connection.execute(sa.select(datasets.c.settings)).scalar_one()
        kept = {key: value for key, value in json.loads(row).items() if key != "basis"}
        connection.execute(datasets.update().values(settings=json.dumps(kept)))
    assert catalogue.get("cards").basis is None


def test_what_is_spent_of_the_budget(store: Store) -> None:
    clock = Clock()
    begin(store)
    rules = BudgetRules(period=7 * DAY, runs=5, epsilon=Fraction(3))
    budget = Budget(store, rules, clock)
    jobs_ = [f"{number:032x}" for number in range(4)]
    first, second, third = (budget.reserve("cards", "shop", each, Fraction(1, 2)) for each in jobs_[:3])
    assert budget.spend(first)
    assert not budget.spend(first)
    clock.now += DAY
    budget.spend(budget.reserve("cards", "shop", jobs_[3], None))
    clock.now += 6 * DAY + MINUTE  # the first has lapsed; reservations lapse after a day, and are taken again
    assert budget.spend(second)
    about = {"dataset": "cards", "partner": "shop", "limit": 5, "hours": 168, "epsilon_limit": "3/1"}
    assert [(entry["job"], entry["facts"]) for entry in entries(store, "budget_spent")] == [
        (jobs_[0], {**about, "runs": 1, "epsilon": "1/2", "epsilon_spent": "1/2"}),
        (jobs_[3], {**about, "runs": 2, "epsilon": None, "epsilon_spent": "1/2"}),
        (jobs_[1], {**about, "runs": 2, "epsilon": "1/2", "epsilon_spent": "1/2"}),
    ]
    budget.cancel(third)
    assert len(entries(store, "budget_spent")) == 3


# -- schedules and preflights


def _drafted(clock: Clock) -> Draft:
    signed = contract(clock)
    return Draft(parse_job(table(), "JOB.toml"), table(), signed, "cards", "users", (), clock())


def test_the_life_of_a_schedule(store: Store) -> None:
    clock = Clock()
    begin(store)
    schedules, bank = Schedules(store, clock), Jobs(store, "bank", clock)
    timetable = new_timetable("daily at 06:00", "Asia/Shanghai", "2027-06-30", None, 7, clock())
    terms = Terms.of(_drafted(clock), "shop", timetable)
    schedule = schedules.draft(terms, SOURCE, ANN).id
    digest = terms.digest
    with pytest.raises(PolicyRefusal):
        schedules.approve(schedule, ANN, digest)
    record = schedules.approve(schedule, BEN, digest)
    assert record.next_due is not None
    clock.now = record.next_due
    job = schedules.take(schedules.due()[0], record.next_due, 0, _drafted(clock), bank, "one")
    assert job is not None
    bank.cancel(job.id, ANN)
    schedules.settle("one")
    clock.now += DAY
    record = schedules.due()[0]
    assert record.next_due is not None
    assert schedules.pass_over(record, record.next_due, 0, Outcome.PAUSED, "dataset", "one")
    schedules.resume(schedule, BEN)
    schedules.remove(schedule, ANN)

    def step(word: str, code: str | None = None) -> dict[str, Any]:
        return {"schedule": schedule, "step": word, "digest": digest, "code": code}

    who = f"schedule:{schedule}"
    steps = [(entry["actor"], entry["job"], entry["facts"]) for entry in entries(store, "schedule_step")]
    assert steps == [
        ("ann", None, step("draft")),
        ("ben", None, step("approve")),
        ("node:bank", job.id, step("drafted")),
        ("node:bank", job.id, step("cancelled", "cancelled")),
        ("node:bank", None, step("paused", "dataset")),
        ("node:bank", None, step("pause", "dataset")),
        ("ben", None, step("resume")),
        ("ann", None, step("remove")),
    ]
    assert [
        (kind, actor) for kind, actor, _ in told(store, "job_draft", "job_approve", "attempt_refused")
    ] == [
        ("attempt_refused", "ann"),
        ("job_draft", who),
        ("job_approve", who),
    ]


def test_what_preflights_came_to(store: Store) -> None:
    begin(store)
    preflights, job, digest = Preflights(store, Clock()), "a" * 32, "b" * 64
    run = b"r" * 16
    assert preflights.begin(run, job, digest, "facts", "shop")
    preflights.say_own(run, "passed")
    preflights.say_peer(run, "other", "passed")  # no run of its
    preflights.say_peer(run, "shop", "column")
    preflights.say_peer(run, "shop", "passed")  # the first one counts
    note = preflights.go_without(job, digest, "shop", "ben")
    preflights.take_back(note)
    preflights.again(job, digest, "shop", "ann")
    assert told(store) == [
        ("preflight", "node:bank", {"digest": digest, "own": "passed", "peer": None}),
        ("preflight", "partner:shop", {"digest": digest, "own": "passed", "peer": "column"}),
        ("preflight", "ben", {"digest": digest, "own": "without", "peer": None}),
        ("preflight", "ben", {"digest": digest, "own": "taken_back", "peer": None}),
        ("preflight", "ann", {"digest": digest, "own": "again", "peer": None}),
    ]


# -- policy and settings


def _file(store: str | None = None) -> NodeFile:
    return NodeFile("bank", BANK, bank_ports("127.0.0.1:7443", None, None, None), store)


def test_policy_and_settings_are_noted_when_they_change(store: Store) -> None:
    begin(store)
    loose, strict = (
        Policy(),
        Policy(limits=Limits(min_group=80, epsilon=Fraction("0.5")), source="/etc/x.toml"),
    )
    for policy in (loose, loose, strict, strict, loose):
        note_in_force(store, policy, _file(), 1.0)
    note_in_force(store, loose, _file("postgresql+psycopg://u:s3cret@db/name"), 1.0)
    note_in_force(store, loose, _file("postgresql+psycopg://u:other@db/name"), 1.0)
    note_in_force(store, loose, _file(), 1.0)
    policies = [policy_bytes(each)[0] for each in (loose, strict, loose)]
    assert [facts["digest"] for _, _, facts in told(store, "policy_set")] == policies
    assert [facts["epsilon"] for _, _, facts in told(store, "policy_set")] == [None, "1/2", None]
    plain, elsewhere = (
        settings_digest(_file()),
        settings_digest(_file("postgresql+psycopg://u:third@db/name")),
    )
    assert [facts["digest"] for _, _, facts in told(store, "setting_set")] == [plain, elsewhere, plain]
    # An entry names the policy that it was made under, its own included.
    assert [entry["policy"] for entry in entries(store, "policy_set")] == policies
    kept = dict(AuditLog(store).policies())
    assert {digest: decode(data) for digest, data in kept.items()} == {
        policy_bytes(each)[0]: effective_policy(each) for each in (loose, strict)
    }
    assert b"x.toml" not in b"".join(kept.values())


def test_a_log_is_told_first_what_there_is(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    write_home(folder)
    with Node.open(folder) as node_:
        store = node_.home.store
        kinds = [entry["type"] for entry in entries(store)]
        assert kinds[0] == "log_opened"
        assert kinds[1:3] == ["policy_set", "setting_set"]
        names = [facts["key"] for _, _, facts in told(store, "key_created")]
        assert sorted(names) == ["identity", "log/1/checkpoints", "log/1/cosignatures"]
        assert [
            (who, facts["dataset"], facts["basis"]) for _, who, facts in told(store, "dataset_added")
        ] == [("ann", "cards", "consent")]
        size = AuditLog(store).size()
    with Node.open(folder) as node_:
        assert AuditLog(node_.home.store).size() == size
    (folder / "policy.toml").write_text("[limits]\nmin_group = 90\n")
    # As the process of a job does.
    with Home.open(folder) as home:
        assert [facts["min_group"] for _, _, facts in told(home.store)[size - 1 :]] == [90]
    with Node.open(folder) as node_:
        assert AuditLog(node_.home.store).size() == size + 1


def write_home(folder: Path) -> None:
    """Make a bank's home with an identity and a dataset, of a version that had no log."""
    folder.mkdir(mode=0o700)
    write_store(folder / "store.sqlite")
    (folder / "cards.csv").write_text("mobile\n13800138000\n")
    write_node(folder, _file())
    with Home.open(folder) as home:
        catalogue = Catalogue(home.store)
        catalogue.add("cards", folder / "cards.csv", "mobile", parse_form("phone"), 1, "ann", basis="consent")
        Credentials(home.store, open_vault(folder, home.store)).ensure_identity()
        assert entries(home.store) == []


def test_a_backup_and_what_was_restored_from_it(tmp_path: Path) -> None:
    folder, archive = tmp_path / "bank", tmp_path / "bank.tar"
    write_home(folder)
    with Node.open(folder) as node_:
        node_.vault.seal(f"job/{'1' * 32}/seed", SecretBytes(b"s" * 32), purpose="run")
        size = AuditLog(node_.home.store).size()
        save(node_, archive, with_key=True, actor="cui")
        assert told(node_.home.store)[-1] == ("backed_up", "cui", {"size": size})
    restore(archive, tmp_path / "again", actor="cui")
    with Node.open(tmp_path / "again") as node_:
        store = node_.home.store
        assert AuditLog(store).epochs() == (1, 2)
        assert len(entries(store, epoch=1)) >= size
        assert [entry["type"] for entry in entries(store, epoch=1)[size:]] in ([], ["key_created"] * 2)
        first = entries(store)
        assert [entry["type"] for entry in first[:2]] == ["log_opened", "restored"]
        assert (first[1]["actor"], first[1]["facts"]) == ("cui", {"size": size})
        assert first[0]["log"] != entries(store, epoch=1)[0]["log"]
        assert told(store, "policy_set", "setting_set", "dataset_added")


# -- what no entry holds


def test_no_entry_holds_a_path_a_sentence_a_token_or_a_key(tmp_path: Path, bank: enrolments.Bank) -> None:
    clock, store, vault = bank.clock, bank.home.store, bank.home.vault
    note_in_force(store, Policy(source=str(tmp_path / "policy.toml")), _file(f"sqlite:///{tmp_path}/s"), 1.0)
    invitation = bank.invite()
    asking = enrolments.Node(invitation)
    bank.ask(asking)
    bank.enrolments.confirm("acme", asking.fingerprint, "ben")
    path = tmp_path / "card holders.csv"
    path.write_text("mobile\n13800138000\n")
    Catalogue(store, clock).add("cards", path, "mobile", parse_form("phone"), 1, "ann", basis="consent")
    life = Clock()
    jobs_ = Jobs(store, "bank", life)
    purpose = "win the card holders of Qingdao back"
    job = drafted(jobs_, life, purpose=purpose)
    jobs_.approve(job, BEN, jobs_.get(job).digest)
    jobs_.propose(job, node("9f8e7d6c5b4a3210"), SIGNATURE)
    jobs_.accept(job, SHOP, jobs_.get(job).digest, SIGNATURE)
    seed = SecretBytes(b"\x5a" * 32)
    vault.seal(f"job/{job}/seed", seed, purpose="run")
    bank.home.credentials.joining_key("0123456789abcdef" * 4)
    preflights = Preflights(store, clock)
    preflights.begin(b"q" * 16, job, jobs_.get(job).digest, "facts", "shop")
    preflights.say_own(b"q" * 16, "column", f"{path} has no column 'phone'.", "Add it.")
    with store.reading() as connection:
        request = connection.execute(sa.text("SELECT csr, verifier, fingerprint FROM invitations")).one()
    forbidden = {
        "path": str(tmp_path),
        "file": path.name,
        "identifier": "13800138000",
        "purpose": purpose,
        "source": "Qingdao",
        "token": invitation.token(),
        "secret": invitation.secret.reveal().hex(),
        "verifier": request.verifier.hex(),
        "fingerprint": request.fingerprint,
        "request": request.csr.hex(),
        "seed": seed.reveal().hex(),
        "joining": "0123456789abcdef" * 4,
        "instance": "9f8e7d6c5b4a3210",
        "sentence": "has no column",
        "network": "192.0.2.1",
    } | {
        f"key {name}": vault.open(name, purpose=_purpose(store, name)).reveal().hex()
        for name in vault.names()
    }
    written = b"\n".join(data for _, _, data in AuditLog(store).entries(1))
    assert len(entries(store)) > 15
    for what, text in forbidden.items():
        assert text.encode() not in written, what
        assert text.upper().encode() not in written, what
    # A space is in a name alone; there are none with one here.
    for entry in entries(store):
        for key, value in entry["facts"].items():
            assert not isinstance(value, str) or " " not in value or key == "software", (entry["type"], key)


def _purpose(store: Store, name: str) -> str:
    with store.reading() as connection:
        query = sa.select(secrets.c.purpose).where(secrets.c.name == name)
        return str(connection.execute(query).scalar_one())
