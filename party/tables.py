"""The tables of a party's store, in SQLAlchemy Core.

Times are seconds since 1970-01-01 UTC. Keys are never used again: who holds an old one can't mean a new row. What
is written here holds names of datasets, partners and people, job files, contracts, times and numbers of persons;
never an identifier or a hash of one. Secrets are sealed before they come here (``party.vault``).

``party.migrations`` makes these tables and changes those of an older store; a test holds the two together.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

METADATA: Final = sa.MetaData()

# One row. Programs before the first migration read their version here, and leave alone what has another one. On
# PostgreSQL this is also what a transaction that writes locks (``party.databases``).
schema_version = sa.Table("schema_version", METADATA, sa.Column("version", sa.Integer, nullable=False))

# One row per run. `epsilon` is an exact fraction as text, such as "1/2", and null without noise. A row that is not
# `spent` is a reservation.
budget_spent = sa.Table(
    "budget_spent",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("partner", sa.Text, nullable=False),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("epsilon", sa.Text),
    sa.Column("spent", sa.Boolean, nullable=False),
    sa.Index("budget_of", "dataset", "partner"),
    sqlite_autoincrement=True,
)
# One row per input that was compared: which file of the ledger has its tags, how many, and the file's SHA-256. A row
# that is not `released` is that of a job which has not told the partner anything yet.
ledger_sketch = sa.Table(
    "ledger_sketch",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("partner", sa.Text, nullable=False),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("persons", sa.Integer, nullable=False),
    sa.Column("file", sa.Text, nullable=False, unique=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False),
    sa.Index("sketches_of", "partner"),
    sqlite_autoincrement=True,
)
# One row per job that got as far as the partner's size.
jobs_seen = sa.Table(
    "jobs_seen",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("partner", sa.Text, nullable=False),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("own_persons", sa.Integer, nullable=False),
    sa.Column("peer_persons", sa.Integer, nullable=False),
    sa.Index("jobs_of", "dataset", "partner"),
    sqlite_autoincrement=True,
)

# One row per secret at rest: AES-256-GCM under the node key that `key_id` names.
secrets = sa.Table(
    "secrets",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("nonce", sa.LargeBinary, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)
# One row per own dataset: where it lies and, as JSON, which column means what. Nothing of its content.
datasets = sa.Table(
    "datasets",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("form", sa.Text, nullable=False),
    sa.Column("settings", sa.Text, nullable=False),
    sa.Column("rows", sa.Integer),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
# What was found when an own dataset was read for its registration: numbers of rows and persons as JSON, no content.
dataset_health = sa.Table(
    "dataset_health",
    METADATA,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("counts", sa.Text, nullable=False),
)
# What each partner's node said of itself when it was last on the line: `hello` is its catalogue and its limits as
# JSON, `skew` by how many seconds its clock was ahead of ours.
partner_hellos = sa.Table(
    "partner_hellos",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("partner", sa.Text, nullable=False, unique=True),
    sa.Column("software", sa.Text, nullable=False),
    sa.Column("hello", sa.Text, nullable=False),
    sa.Column("skew", sa.Float, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sqlite_autoincrement=True,
)
# One row per joint job. `job_table` is the job file's table as JSON, `source` its text, `digest` the SHA-256 of
# what approvals are about, `revision` grows with every step. `holder` runs the job until `held_until`.
jobs = sa.Table(
    "jobs",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("partner", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("job_table", sa.Text, nullable=False),
    sa.Column("contract", sa.LargeBinary),
    sa.Column("bank_signature", sa.LargeBinary),
    sa.Column("platform_signature", sa.LargeBinary),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("code", sa.Text),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("drafter", sa.Text, nullable=False),
    sa.Column("editor", sa.Text, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("changed", sa.Float, nullable=False),
    sa.Column("expires", sa.Float),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("holder", sa.Text),
    sa.Column("held_until", sa.Float),
    sa.Index("jobs_by_state", "state"),
    sa.Index("jobs_by_partner", "partner"),
    sqlite_autoincrement=True,
)
# One row per job that was cut: `reached` grows with what of the protocol is durable, `idle` counts the attempts in a
# row that died without adding to it.
job_progress = sa.Table(
    "job_progress",
    METADATA,
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("reached", sa.Integer, nullable=False),
    sa.Column("idle", sa.Integer, nullable=False),
)
# Who agreed to what: an approval stays as evidence once an edit has voided it.
approvals = sa.Table(
    "approvals",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("voided", sa.Float),
    sa.Index("approvals_of", "job"),
    sqlite_autoincrement=True,
)
# One row per step of a job: who, when, from which state to which, and why as one code word.
events = sa.Table(
    "events",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("before", sa.Text),
    sa.Column("after", sa.Text, nullable=False),
    sa.Column("note", sa.Text),
    sa.Index("events_of", "job"),
    sqlite_autoincrement=True,
)

# One row per recurring job. `terms` is, as canonical JSON, all that a second person approves (the job's table, when
# it is due, over what, with whom), `digest` its SHA-256. `next_due` is null unless it is active. `drafted` counts its
# jobs, `failures` those in a row that came to nothing.
schedules = sa.Table(
    "schedules",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("partner", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("terms", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("code", sa.Text),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("drafter", sa.Text, nullable=False),
    sa.Column("editor", sa.Text, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("changed", sa.Float, nullable=False),
    sa.Column("next_due", sa.Float),
    sa.Column("drafted", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Index("schedules_by_state", "state"),
    sqlite_autoincrement=True,
)
schedule_approvals = sa.Table(
    "schedule_approvals",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("schedule", sa.Text, sa.ForeignKey("schedules.id"), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("voided", sa.Float),
    sa.Index("schedule_approvals_of", "schedule"),
    sqlite_autoincrement=True,
)
schedule_events = sa.Table(
    "schedule_events",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("schedule", sa.Text, sa.ForeignKey("schedules.id"), nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("after", sa.Text, nullable=False),
    sa.Column("note", sa.Text),
    sa.Index("schedule_events_of", "schedule"),
    sqlite_autoincrement=True,
)
# One row per time that a schedule was due, and no second one, whichever process is at work: what was made of it, as
# one code word, with the `job` that was drafted. `missed` is how many times before it passed with no node at work.
schedule_runs = sa.Table(
    "schedule_runs",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("schedule", sa.Text, sa.ForeignKey("schedules.id"), nullable=False),
    sa.Column("due", sa.Float, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("code", sa.Text),
    sa.Column("missed", sa.Integer, nullable=False),
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id")),
    sa.UniqueConstraint("schedule", "due", name="one_run_per_due"),
    sqlite_autoincrement=True,
)
# One row per preflight of a job at this side (`run` is its id on the wire), and one per wish of a person about it
# (`wish`: "again" or "without"). `digest` is the contract's hash, `facts` a hash over what was tried, `own` and
# `peer` the word of each side once it is known; `detail` and `hint` say what is wrong on this side. A job may not be
# here: a platform is asked about drafts.
preflights = sa.Table(
    "preflights",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("facts", sa.Text, nullable=False),
    sa.Column("partner", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("run", sa.Text, unique=True),
    sa.Column("own", sa.Text),
    sa.Column("peer", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("hint", sa.Text),
    sa.Column("wish", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Index("preflights_of", "job"),
    sa.Index("preflights_with", "partner", "at"),
    sqlite_autoincrement=True,
)

# The party's own log (audit/SPEC.md). One row per log: a store that was put back from a backup begins another, since
# partners have cosigned what came after the backup. The newest row is the log that entries go to; `size` and
# `last_time` (milliseconds) are of its last entry, `policy` is the digest of the policy in force.
audit_logs = sa.Table(
    "audit_logs",
    METADATA,
    sa.Column("epoch", sa.Integer, primary_key=True),
    sa.Column("origin", sa.Text, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("log_key", sa.Text, nullable=False),
    sa.Column("witness_key", sa.Text, nullable=False),
    sa.Column("proof", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("last_time", sa.BigInteger, nullable=False),
    sa.Column("policy", sa.Text),
    sa.Column("at", sa.Float, nullable=False),
    sqlite_autoincrement=True,
)
# One row per entry: its canonical bytes. An entry with a `mark` is written once, however often its step is retried.
audit_entries = sa.Table(
    "audit_entries",
    METADATA,
    sa.Column("epoch", sa.Integer, sa.ForeignKey("audit_logs.epoch"), primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("job", sa.Text),
    sa.Column("mark", sa.Text),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    sa.Index("audit_entries_of", "job", "epoch", "sequence"),
    sa.Index("audit_entries_by_type", "epoch", "type", "sequence"),
    sa.Index("audit_marks", "epoch", "mark", unique=True),
)
# Hashes of the tree's complete subtrees, leaves included: `node` is level * 2^48 + index.
audit_nodes = sa.Table(
    "audit_nodes",
    METADATA,
    sa.Column("epoch", sa.Integer, sa.ForeignKey("audit_logs.epoch"), primary_key=True, autoincrement=False),
    sa.Column("node", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)
# What an entry commits to: canonical JSON, kept here alone, shown to an auditor or erased.
audit_details = sa.Table(
    "audit_details",
    METADATA,
    sa.Column("epoch", sa.Integer, sa.ForeignKey("audit_logs.epoch"), primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("salt", sa.LargeBinary, nullable=False),
    sa.Column("details", sa.LargeBinary, nullable=False),
)
# Signed notes of the own log, with the cosignatures that partners gave so far.
audit_checkpoints = sa.Table(
    "audit_checkpoints",
    METADATA,
    sa.Column("epoch", sa.Integer, sa.ForeignKey("audit_logs.epoch"), primary_key=True, autoincrement=False),
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)
# How far each partner has cosigned each log of ours, and why it refused last, where it did (`code`).
audit_cosigned = sa.Table(
    "audit_cosigned",
    METADATA,
    sa.Column("epoch", sa.Integer, sa.ForeignKey("audit_logs.epoch"), primary_key=True, autoincrement=False),
    sa.Column("partner", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("code", sa.Text),
)
# The logs of partners that we cosign: their keys, and the tree that we cosigned last.
audit_partner_logs = sa.Table(
    "audit_partner_logs",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("partner", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False, unique=True),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("log_key", sa.Text, nullable=False),
    sa.Column("witness_key", sa.Text, nullable=False),
    sa.Column("proof", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Index("audit_logs_of", "partner"),
    sqlite_autoincrement=True,
)
# Their checkpoints that we cosigned, with our cosignature; and offers that we refused (`reason`), kept as evidence.
audit_witnessed = sa.Table(
    "audit_witnessed",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("at", sa.Float, nullable=False),
    sa.Index("audit_witnessed_of", "origin"),
    sqlite_autoincrement=True,
)
# Every policy that was in force, as canonical JSON, by its digest.
audit_policies = sa.Table(
    "audit_policies",
    METADATA,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("policy", sa.LargeBinary, nullable=False),
)

# One row per account. `spelling` is the name without case, width and spaces, so that nobody is there twice;
# `password` is argon2id's encoding; `roles` are words with blanks between.
people = sa.Table(
    "people",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("spelling", sa.Text, nullable=False, unique=True),
    sa.Column("roles", sa.Text, nullable=False),
    sa.Column("password", sa.Text, nullable=False),
    sa.Column("language", sa.Text),
    sa.Column("disabled", sa.Boolean, nullable=False),
    sa.Column("must_change", sa.Boolean, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("changed", sa.Float, nullable=False),
    sqlite_autoincrement=True,
)
# One row per session of a browser: the SHA-256 of its secret, and from where it was begun.
sessions = sa.Table(
    "sessions",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("person", sa.Integer, sa.ForeignKey("people.id"), nullable=False),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("begun", sa.Float, nullable=False),
    sa.Column("used", sa.Float, nullable=False),
    sa.Index("sessions_of", "person"),
)
# Tokens of programs, which act as their owner: the SHA-256, and what each may be used for.
api_tokens = sa.Table(
    "api_tokens",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("person", sa.Integer, sa.ForeignKey("people.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("made", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
    sa.Column("used", sa.Float),
    sa.Column("revoked", sa.Float),
    sa.Index("api_tokens_of", "person"),
    sqlite_autoincrement=True,
)
# What was answered to a program under a key of its own; no `status` while that is still being done.
api_answers = sa.Table(
    "api_answers",
    METADATA,
    sa.Column("person", sa.Integer, sa.ForeignKey("people.id"), primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("body", sa.LargeBinary),
    sa.Index("api_answers_by_age", "at"),
)
# Failed tries of passwords, by the SHA-256 of whom or where from they count against: none is checked before `until`,
# and the row means nothing any more from `forget` on.
login_tries = sa.Table(
    "login_tries",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("until", sa.Float, nullable=False),
    sa.Column("forget", sa.Float, nullable=False),
    sa.Index("login_tries_by_age", "forget"),
)
# From where (as a SHA-256) each person logged in lately.
login_places = sa.Table(
    "login_places",
    METADATA,
    sa.Column("person", sa.Integer, sa.ForeignKey("people.id"), primary_key=True, autoincrement=False),
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
)
