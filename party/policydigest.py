"""The policy and the settings that are in force, as the party's log names them: canonical JSON and its SHA-256.

The digest of a policy is in every entry that is made under it, and the policy itself goes with a bundle, so that an
auditor can hold decisions to it. A node's settings are named by their digest alone.
"""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from typing import Any, Final

import sqlalchemy as sa

from audit import canonical
from audit.entry import Draft
from party.auditlog import AuditLog, note, notes
from party.logged import dataset_facts, fraction, note_key, own_actor
from party.nodefile import NodeFile
from party.policy import Policy
from party.store import Store
from party.tables import audit_entries, audit_logs, datasets, secrets
from party.version import SOFTWARE

# Settings are told from earlier ones by the key of their entry: this, its number in six digits, and the digest.
_SETTING: Final = "setting"
_LAST: Final = 999_999


def effective_policy(policy: Policy) -> dict[str, Any]:
    """Return all that ``policy`` sets, defaults included, in the sections of a policy file; numbers that are not
    whole are fractions such as ``1/2``, periods are hours."""
    limits, budget, differencing, rules = policy.limits, policy.budget, policy.differencing, policy.audit
    return {
        "limits": {
            "min_group": limits.min_group,
            "min_converters": limits.min_converters,
            "dominance": limits.dominance,
            "max_set": limits.max_set,
            "max_growth": _fraction(limits.max_growth),
            "epsilon": _fraction(limits.epsilon),
        },
        "budget": {
            "hours": int(budget.period.total_seconds()) // 3600,
            "runs": budget.runs,
            "epsilon": fraction(budget.epsilon),
        },
        "differencing": {"action": differencing.action, "min_difference": differencing.min_difference},
        "lifetime": {"result_days": policy.result_days},
        "audit": {
            "key": None if rules.key is None else rules.key.hex(),
            "unwitnessed": rules.unwitnessed,
        },
        "standing": [
            {
                "name": rule.name,
                "kinds": list(rule.kinds),
                "datasets": list(rule.datasets),
                "partners": list(rule.partners),
                "purposes": list(rule.purposes),
                "max_set": rule.max_set,
            }
            for rule in policy.standing
        ],
    }


def policy_bytes(policy: Policy) -> tuple[str, bytes]:
    """Return the hex SHA-256 of ``policy`` as canonical JSON, and that JSON."""
    encoded = canonical.encode(effective_policy(policy))
    return hashlib.sha256(encoded).hexdigest(), encoded


def settings_digest(file: NodeFile) -> str:
    """Return the hex SHA-256 of a node's settings; a password in the store's address plays no part."""
    store = None
    if file.store is not None:
        url = sa.make_url(file.store)
        # The password plays no part, wherever it is: the digest of something short can be guessed at.
        query = {key: url.query[key] for key in sorted(url.query) if "pass" not in key}
        parts = [url.drivername, url.username, url.host, url.port, url.database, query]
        store = json.dumps(parts, default=list)
    ports = None
    if file.ports is not None:
        each = file.ports
        ports = [str(each.listen), str(each.enrol_listen), str(each.address), str(each.enrol_address)]
    settings = {"name": file.name, "role": file.role, "ports": ports, "store": store}
    return hashlib.sha256(canonical.encode(settings)).hexdigest()


def note_policy(store: Store, policy: Policy, at: float) -> None:
    """Note ``policy`` where the log's last one is another, at ``at`` (seconds since 1970 UTC).

    For whoever has just read it and acts by it from now on. Raises ``UsageError`` where the store fails.
    """
    digest, encoded = policy_bytes(policy)
    with store.reading() as connection:
        known = _noted(connection)
    if known is None or known[0] == digest:
        return
    with store.transaction() as connection:
        known, actor = _noted(connection), own_actor(connection)
        if known is not None and actor is not None and known[0] != digest:
            AuditLog(store).keep_policy(connection, digest, encoded)
            note(connection, Draft("policy_set", actor, None, _policy_facts(policy, digest)), at)


def note_in_force(store: Store, policy: Policy, file: NodeFile, at: float) -> None:
    """Note ``policy`` and the settings in ``file`` where they are others than those noted last, at ``at`` (seconds).

    A log that has just begun is told then which keys and datasets there are. Raises ``UsageError`` where the store
    fails.
    """
    note_policy(store, policy, at)
    digest = settings_digest(file)
    setting = f"{digest}/{SOFTWARE}"
    with store.reading() as connection:
        known = _noted(connection)
    if known is None or known[1] == setting:
        return
    with store.transaction() as connection:
        known, actor = _noted(connection), own_actor(connection)
        if known is None or actor is None or known[1] == setting:
            return
        facts = {"digest": digest, "software": SOFTWARE}
        note(connection, Draft("setting_set", actor, None, facts, key=_next(connection, setting)), at)
        if known[1] is None:
            _take_stock(connection, at)


def _policy_facts(policy: Policy, digest: str) -> dict[str, Any]:
    limits, budget = policy.limits, policy.budget
    return {
        "digest": digest,
        "min_group": limits.min_group,
        "min_converters": limits.min_converters,
        "dominance": limits.dominance,
        "max_set": limits.max_set,
        "epsilon": _fraction(limits.epsilon),
        "budget_runs": budget.runs,
        "budget_hours": int(budget.period.total_seconds()) // 3600,
        "budget_epsilon": fraction(budget.epsilon),
        "result_days": policy.result_days,
        "unwitnessed": policy.audit.unwitnessed,
    }


def _take_stock(connection: sa.Connection, at: float) -> None:
    """Note the keys and datasets that were there before the log was."""
    for name, purpose in connection.execute(
        sa.select(secrets.c.name, secrets.c.purpose).order_by(secrets.c.name)
    ).all():
        note_key(connection, True, name, purpose, at)
    drafts = []
    for row in connection.execute(sa.select(datasets).order_by(datasets.c.name)):
        kept = json.loads(row.settings)
        facts = dataset_facts(row.name, kept["schema"], row.form, kept.get("basis"))
        drafts.append(Draft("dataset_added", row.actor, None, facts))
    notes(connection, drafts, at)


def _noted(connection: sa.Connection) -> tuple[str | None, str | None] | None:
    """Return the policy and the setting that were noted last, each ``None`` if there is none; ``None``: no log."""
    log = connection.execute(
        sa.select(audit_logs.c.epoch, audit_logs.c.policy).order_by(audit_logs.c.epoch.desc()).limit(1)
    ).first()
    if log is None:
        return None
    mark = _last_mark(connection, log.epoch)
    return log.policy, None if mark is None else mark.split("/", 2)[2]


def _last_mark(connection: sa.Connection, epoch: int) -> str | None:
    mark = audit_entries.c.mark
    query = sa.select(mark).where(
        audit_entries.c.epoch == epoch, mark.between(f"{_SETTING}/{0:06}", f"{_SETTING}/{_LAST}0")
    )
    return connection.execute(query.order_by(mark.desc()).limit(1)).scalar()


def _next(connection: sa.Connection, setting: str) -> str:
    epoch = connection.execute(sa.select(sa.func.max(audit_logs.c.epoch))).scalar_one()
    last = _last_mark(connection, epoch)
    number = 0 if last is None else int(last.split("/", 2)[1]) + 1
    return f"{_SETTING}/{number:06}/{setting}"


def _fraction(value: Fraction | None) -> str | None:
    return None if value is None else fraction(value)
