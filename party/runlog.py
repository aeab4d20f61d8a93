"""What one side of a run notes in its party's log: what was said, and what was decided before each release.

Made of the role's state, so that a run which goes on after a cut notes the same, and the log, which knows each entry
by its key, keeps it once. Counts go into sealed details (audit/SPEC 7), never into the entry.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from audit.entry import Draft
from federated.holder import Holder
from federated.terms import SumRole
from party.auditlog import AuditLog
from party.contract import Contract
from party.intake import InputFacts
from party.transcript import OPENINGS, POINTS, SUMS, TABLE, TOKENS, records, session_name
from psi.participant import Participant
from psi.role import ProtocolRole

ALLOW: Final = "allow"
REFUSE: Final = "refuse"
# What a release consists of: a short stream is made whole before its first chunk waits at the gate.
_MADE: Final[Mapping[str, tuple[str, ...]]] = {
    POINTS: ("receiver_points", "sender_points", "value_points", "value_sums", "group_points"),
    TOKENS: ("receiver_tokens", "sender_tokens", "group_tokens"),
    SUMS: ("cell_sums",),
    OPENINGS: ("openings",),
    TABLE: ("table",),
}


class RunLog:
    """What ``side`` notes of the run of ``contract``; ``basis`` is the consent basis of its dataset, where stated."""

    def __init__(self, contract: Contract, side: str, basis: str | None) -> None:
        self._contract = contract
        self._side = side
        self._basis = basis
        self._actor = f"node:{side}"

    def before(self, release: str, role: ProtocolRole[Any], facts: InputFacts) -> list[Draft]:
        """Return what is noted before ``release``: what was said so far, and the decision to allow it."""
        said = self.said(role, withheld=(release,))
        used = [self._used(role, facts)] if release == POINTS else []
        return [*used, *said, self._decision(release, ALLOW, None, role)]

    def said(self, role: ProtocolRole[Any], withheld: Collection[str]) -> list[Draft]:
        """Return what was said so far. What we would release by ``withheld`` may be made already; it was not said."""
        unsaid = {name for release in withheld for name in _MADE.get(release, ())}
        return [
            self._draft("stream", key=f"{each['session']}/{each['name']}", shared=each)
            for each in records(role, self._contract, self._side)
            if each["from"] != self._side or each["name"] not in unsaid
        ]

    def broken(self, role: ProtocolRole[Any], passed: Collection[str]) -> list[Draft]:
        """Return what was said in a run that broke, after the releases in ``passed``."""
        return self.said(role, withheld=_MADE.keys() - set(passed))

    def refused(self, role: ProtocolRole[Any], code: str) -> list[Draft]:
        """Return what is noted where the own policy stops the run before anything was released."""
        return [self._decision(POINTS, REFUSE, code, role)]

    def _used(self, role: ProtocolRole[Any], facts: InputFacts) -> Draft:
        party = self._contract.body["parties"][self._side]
        told = {
            "dataset": party["dataset"],
            "schema": party["schema"],
            "basis": self._basis,
            "input": _own_input(role).hex(),
        }
        details = {
            "rows": facts.rows,
            "persons": facts.persons,
            "duplicates": facts.duplicates,
            "held_back": facts.held_back,
            "rejected": dict(facts.rejected),
        }
        return self._draft(
            "dataset_used", key=f"{session_name(role.session)}/input", facts=told, details=details
        )

    def _decision(self, release: str, outcome: str, code: str | None, role: ProtocolRole[Any]) -> Draft:
        session, policy = session_name(role.session), self._contract.body["policy"]
        facts = {
            "release": release,
            "outcome": outcome,
            "code": code,
            "session": session,
            "min_group": policy["min_group"],
            "min_converters": policy.get("min_converters"),
            "dominance": policy.get("dominance"),
            "epsilon": policy.get("epsilon"),
        }
        key = f"{session}/decision/{release}/{outcome}"
        return self._draft("decision", key=key, facts=facts, details=_grounds(role))

    def _draft(
        self,
        kind: str,
        *,
        key: str,
        facts: Mapping[str, Any] | None = None,
        shared: Mapping[str, Any] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Draft:
        job = self._contract.job
        return Draft(kind, self._actor, job, facts or {}, shared, details, f"{job}/{key}")


def released(log: AuditLog, job: str, side: str, receiver: str) -> list[Draft]:
    """Return what is noted once the result of ``job`` lies where ``side`` finds it, if the contract says it reads.

    Nothing of a job that ran before there was a log.
    """
    decided = log.last(job, "decision")
    if decided is None:
        return []
    facts = {
        "session": decided["facts"]["session"],
        "to": side if receiver in (side, "both") else "none",
    }
    return [Draft("result_released", f"node:{side}", job, facts, key=f"{job}/released")]


def _own_input(role: ProtocolRole[Any]) -> bytes:
    """Return the salted commitment to the own input that was announced."""
    if isinstance(role, Participant):
        return role.announced.input_commitment
    if not isinstance(role, Holder):
        raise TypeError("a role is of one of the two protocols")
    own = role.values if role.role is SumRole.VALUE_HOLDER else role.groups
    return own.input_commitment


def _grounds(role: ProtocolRole[Any]) -> dict[str, Any]:
    """Return the counts that a decision rests on."""
    if isinstance(role, Participant):
        grounds: dict[str, Any] = {"own_persons": role.announced.size, "peer_persons": role.peer.size}
    elif isinstance(role, Holder):
        values, groups = role.values.persons, role.groups.persons
        grounds = {"value_persons": values, "group_persons": groups}
        # Empty until there are sums to decide on.
        grounds["places"] = role.account()
    else:
        raise TypeError("a role is of one of the two protocols")
    return grounds
