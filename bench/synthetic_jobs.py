"""One made-up joint job: what both parties log of it, from its draft to its end (see ``bench.synthetic_logs``)."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import bundle

if TYPE_CHECKING:
    from bench.synthetic_logs import Pair, Party

KINDS: Final = ("audience", "overlap", "both", "profile", "measure", "noised")
_SUM_KINDS: Final = ("profile", "measure", "noised")
LIMIT_RUNS: Final = 1_000_000
LIMIT_HOURS: Final = 720
LIMIT_EPSILON: Final = "1000000/1"


@dataclass(frozen=True, slots=True)
class _Record:
    """A stream or message as both logs have it, in the order in which it is sent."""

    name: str
    sender: str
    gate: str | None
    count: int
    size: int


class Run:
    """One job of a pair."""

    def __init__(self, pair: Pair, kind: str, job: str, source: random.Random) -> None:
        self.pair = pair
        self.kind = kind
        self.job = job
        self.session = hashlib.sha256(f"session {job}".encode()).hexdigest()[:32]
        self._random = source
        self.sums = kind in _SUM_KINDS
        self.epsilon = "1/2" if kind == "noised" else None
        self.body = self._body()
        self.canonical = rfc8785.dumps(self.body)
        self.digest = hashlib.sha256(self.canonical).digest()
        self.records = list(self._sum_records() if self.sums else self._match_records())
        # Per side the releases it decides on, in order: each stage logs what was said up to there.
        self.releases = {side: self._releases(side) for side in ("bank", "platform")}
        self._told = {"bank": 0, "platform": 0}

    @property
    def stages(self) -> int:
        """How many releases the busier side decides on."""
        return max(len(each) for each in self.releases.values())

    def agree(self) -> None:
        """Draft, approve, propose and accept, up to the moment before data moves."""
        pair, job, digest = self.pair, self.job, self.digest.hex()
        bank, platform = pair.bank, pair.platform
        card = self.body["card"]
        drafted = {"digest": digest, "kind": self.body["kind"], "partner": platform.name, "card": card}
        signatures = {
            one.role: Ed25519PrivateKey.from_private_bytes(one.identity.reveal()).sign(
                b"veiljoin/v1/contract\0" + one.role.encode() + b"\0" + self.digest
            )
            for one in (bank, platform)
        }
        proposed = {"digest": digest, "signature": signatures["bank"].hex()}
        accepted = {"digest": digest, "signature": signatures["platform"].hex()}
        bank.append("job_draft", "mary", job, {**drafted, "dataset": "segment"})
        bank.append("job_approve", "ben", job, {"digest": digest, "as": "bank"})
        bank.append("job_propose", "node:bank", job, proposed)
        platform.append("job_propose", f"partner:{bank.name}", job, proposed)
        platform.append("job_accept", "li", job, accepted)
        bank.append("job_accept", f"partner:{platform.name}", job, accepted)
        line = bundle.contract(
            self.canonical,
            signatures["bank"],
            signatures["platform"],
            self._card(),
            ["Disclosure card"],
            ["披露卡"],
        )
        for one in (bank, platform):
            one.contracts.append(line)
            one.append("job_start", job=job, facts={"attempt": 1})
            self._spend(one, platform if one is bank else bank)

    def advance(self, stage: int, *, cut: bool = False) -> None:
        """Log, at both sides, what was said before release number ``stage``, and the decision."""
        for role, releases in self.releases.items():
            if stage < len(releases) and not (cut and releases[stage] == "result"):
                self._decide(role, releases[stage])

    def end(self, *, cut: bool = False) -> None:
        """Release the result and finish, or fail."""
        for role in self.releases:
            own, _ = self.pair.side(role)
            if cut:
                own.append("job_fail", job=self.job, facts={"code": "link_lost"})
                continue
            reads = self.body["receiver"] in (role, "both")
            facts = {"session": self.session, "to": role if reads else "none"}
            own.append("result_released", job=self.job, facts=facts)
            own.append("job_finish", job=self.job)
            if reads:
                own.append("result_read", "mary", self.job, {"part": "report"})

    # -- parts

    def _spend(self, own: Party, other: Party) -> None:
        own.runs += 1
        facts = {
            "dataset": "segment" if own.role == "bank" else "users",
            "partner": other.name,
            "runs": own.runs,
            "limit": LIMIT_RUNS,
            "hours": LIMIT_HOURS,
            "epsilon": self.epsilon,
            "epsilon_spent": f"{own.runs}/2",
            "epsilon_limit": LIMIT_EPSILON,
        }
        own.append("budget_spent", job=self.job, facts=facts)

    def _decide(self, role: str, release: str) -> None:
        own, _ = self.pair.side(role)
        party = self.body["parties"][role]
        if release == "points":
            facts = {
                "dataset": party["dataset"],
                "schema": party["schema"],
                "basis": "consent",
                "input": hashlib.sha256(f"input {role} {self.job}".encode()).hexdigest(),
            }
            own.append("dataset_used", job=self.job, facts=facts, details={"rows": 1_500, "persons": 1_200})
        until = self._until(role, release)
        for record in self.records[self._told[role] : until]:
            own.append("stream", job=self.job, shared=self._shared(record))
        self._told[role] = until
        policy = self.body["policy"]
        facts = {
            "release": release,
            "outcome": "allow",
            "code": None,
            "session": self.session,
            "min_group": policy["min_group"],
            "min_converters": policy.get("min_converters"),
            "dominance": policy.get("dominance"),
            "epsilon": policy.get("epsilon"),
        }
        own.append("decision", job=self.job, facts=facts, details=self._grounds(role, release))

    def _until(self, role: str, release: str) -> int:
        """Return how many records were complete before a side decides on a release."""
        if release == "result":
            return len(self.records)
        first = next(
            number
            for number, record in enumerate(self.records)
            if record.sender == role and record.gate == release
        )
        # Both sides' points cross on the way: nothing but what was said before either began is complete.
        points = next(number for number, record in enumerate(self.records) if record.gate == "points")
        return points if release == "points" else first

    def _shared(self, record: _Record) -> dict[str, Any]:
        return {
            "job": self.job,
            "session": self.session,
            "name": record.name,
            "from": record.sender,
            "to": "platform" if record.sender == "bank" else "bank",
            "count": record.count,
            "bytes": record.size,
            "sha256": hashlib.sha256(f"{self.session} {record.name}".encode()).hexdigest(),
        }

    def _grounds(self, role: str, release: str) -> dict[str, Any]:
        counts = {record.name: record.count for record in self.records}
        if not self.sums:
            sizes = {"bank": counts["sender_points"], "platform": counts["receiver_points"]}
            return {"own_persons": sizes.pop(role), "peer_persons": next(iter(sizes.values()))}
        grounds: dict[str, Any] = {
            "value_persons": counts["value_points"],
            "group_persons": counts["group_points"],
            "places": [],
        }
        if release in ("points", "tokens"):
            return grounds
        for place in range(4):
            persons, matched, converters = 225, 40 + 20 * place, 4 * place
            told = {"place": place, "persons": persons, "matched": matched}
            if role != self.body["value_holder"]:
                passes = self.epsilon is not None or matched >= 50
            else:
                noise = (place - 2, 3 - place) if self.epsilon is not None else (0, 0)
                told |= {"converters": converters}
                told |= {"noise_on_matched": noise[0], "noise_on_converters": noise[1]}
                enough = converters + noise[1] >= 10 or self.kind == "profile"
                passes = matched + noise[0] >= 50 and enough
            grounds["places"].append(told | {"passes": int(passes)})
        return grounds

    def _releases(self, side: str) -> list[str]:
        own = [record.gate for record in self.records if record.sender == side and record.gate is not None]
        return [*dict.fromkeys(own), "result"]

    def _match_records(self) -> Iterator[_Record]:
        receiver = self.body["protocol_receiver"]
        sender = "platform" if receiver == "bank" else "bank"
        sizes = [self._random.randrange(60, 5_000) for _ in range(2)]
        yield _Record("receiver_announce", receiver, None, 1, 120)
        yield _Record("sender_announce", sender, None, 1, 120)
        yield _Record("receiver_points", receiver, "points", sizes[0], 32 * sizes[0])
        yield _Record("sender_points", sender, "points", sizes[1], 32 * sizes[1])
        if self.kind == "both":
            yield _Record("token_commitment", receiver, None, 1, 48)
        yield _Record("receiver_tokens", sender, "tokens", sizes[0], 16 * sizes[0])
        if self.kind == "both":
            yield _Record("sender_tokens", receiver, "tokens", sizes[1], 16 * sizes[1])

    def _sum_records(self) -> Iterator[_Record]:
        values, groups = "bank", "platform"
        persons, members = (self._random.randrange(60, 5_000) for _ in range(2))
        yield _Record("value_announce", values, None, 1, 900)
        yield _Record("group_announce", groups, None, 1, 300)
        yield _Record("nonce_of_value_holder", values, None, 1, 32)
        yield _Record("nonce_of_group_holder", groups, None, 1, 32)
        yield _Record("value_points", values, "points", persons, 32 * persons)
        yield _Record("value_sums", values, "points", persons, 2 * 512 * persons)
        yield _Record("group_points", groups, "points", members, 32 * members)
        yield _Record("group_tokens", values, "tokens", members, 16 * members)
        yield _Record("cell_sums", groups, "sums", 1, 4 + 4 * 516)
        yield _Record("verdict", values, None, 1, 17)
        yield _Record("openings", groups, "openings", 1, 700)
        yield _Record("table", values, "table", 1, 650)

    def _card(self) -> dict[str, Any]:
        settings = {"kind": self.body["kind"], "receiver": self.body["receiver"], **self.body["policy"]}
        statements = [{"id": "audience_size", "params": {}}]
        if self.epsilon is not None:
            told = {"epsilon": f"{float(Fraction(self.epsilon)):g}", "groups": "platform"}
            statements.append({"id": "noise", "params": told})
        return {"settings": settings, "sections": {"bank": statements}}

    def _body(self) -> dict[str, Any]:
        """Return a contract's body: the keys that a real one has."""
        kind = {"both": "audience", "noised": "measure"}.get(self.kind, self.kind)
        body: dict[str, Any] = {
            "version": 1,
            "protocol_version": 1,
            "job": self.job,
            "kind": kind,
            "purpose": "reactivate dormant customers",
            "identifier": "phone",
            "suite": "x25519-ell2",
            "chunk_elements": 65_536,
            "expires": "2026-12-24T00:00:00+00:00",
        }
        sides = {"bank": ("segment", self.pair.bank), "platform": ("users", self.pair.platform)}
        parties = {
            side: {
                "dataset": dataset,
                "schema": hashlib.sha256(dataset.encode()).hexdigest(),
                "identity": party.identity_public.hex(),
                "keep": "first",
                "columns": {"identifier": "phone", "tags": ["tag"] if self.kind == "profile" else []},
            }
            for side, (dataset, party) in sides.items()
        }
        body["parties"] = parties
        if self.sums:
            body |= {"receiver": "both", "value_holder": "bank", "base": "customers", "key_bits": 2_048}
            body["window"] = {"days": 30, "exposure": "first", "retention_days": None, "timezone": "UTC"}
            body["arms"] = None
            body["policy"] = {
                "min_group": 50,
                "max_set": 1_000_000,
                "min_converters": 10,
                "dominance": 10,
                "max_rows": 100,
                "epsilon": self.epsilon,
                "outside": "clip",
            }
        else:
            body |= {"receiver": "both" if self.kind == "both" else "platform", "output": "matched"}
            body |= {"protocol_receiver": "platform", "holdout": 0.1}
            body["policy"] = {"min_group": 50, "max_set": 1_000_000}
        self.body = body
        body["card"] = hashlib.sha256(rfc8785.dumps(self._card())).hexdigest()
        return body
