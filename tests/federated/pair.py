"""The two roles of a grouped sum joined by a list: no network."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from typing import Any

from federated.engine import PaillierEngine
from federated.group_holder import GroupHolder
from federated.holder import Holder
from federated.keys import PaillierPrivateKey
from federated.memory import MemorySumKeep
from federated.messages import SumMessage
from federated.ports import GroupSet, SumKeep, ValueSet
from federated.results import SumResult
from federated.terms import SumRole, SumTerms
from federated.value_holder import ValueHolder
from psi.engines import Engine, open_engine
from psi.secret import Seed
from psi.seed import JobRandomness
from psi.suites import X25519_ELL2, Suite
from tests.federated.keys_for_tests import private_key

CONTRACT = hashlib.sha256(b"the contract of the sums' tests").digest()
VALUE_SEED, GROUP_SEED = b"v" * 32, b"g" * 32
# (who speaks, what it says) to what arrives instead
Tamper = Callable[[SumRole, SumMessage], Iterable[SumMessage]]
BOTH = frozenset(SumRole)


@cache
def engine_for(suite: Suite) -> Engine:
    """Return one masking engine per suite; batches this small never start a worker process."""
    return open_engine(suite, threads=1)


@cache
def paillier() -> PaillierEngine:
    """Return one Paillier engine with small tables."""
    return PaillierEngine(threads=1, window=6)


def sum_terms(**changes: Any) -> SumTerms:
    """Return terms with small chunks and without thresholds."""
    plain = SumTerms(
        contract=CONTRACT,
        suite=X25519_ELL2,
        readers=BOTH,
        min_group=1,
        min_converters=1,
        dominance=0,
        max_rows=10,
        label_parts=1,
        chunk_elements=16,
    )
    if "epsilon" in changes and changes["epsilon"] is not None:
        changes["epsilon"] = Fraction(changes["epsilon"])
    return replace(plain, **changes)


def randomness_for(role: SumRole, terms: SumTerms) -> JobRandomness:
    """Return the randomness of the tests' seed for ``role``."""
    seed = VALUE_SEED if role is SumRole.VALUE_HOLDER else GROUP_SEED
    return JobRandomness(Seed(seed), terms.contract)


def value_holder(terms: SumTerms, own: ValueSet, keep: SumKeep | None = None) -> ValueHolder:
    """Return an honest value holder."""
    randomness = randomness_for(SumRole.VALUE_HOLDER, terms)
    engine = engine_for(terms.suite)
    # A copy, because the role destroys its key when it is done.
    key = PaillierPrivateKey(private_key(terms.key_bits).reveal())
    return ValueHolder(terms, randomness, own, engine, keep or MemorySumKeep(terms), key, paillier())


def group_holder(terms: SumTerms, own: GroupSet, keep: SumKeep | None = None, **facts: Any) -> GroupHolder:
    """Return an honest group holder."""
    randomness = randomness_for(SumRole.GROUP_HOLDER, terms)
    engine = engine_for(terms.suite)
    return GroupHolder(terms, randomness, own, engine, keep or MemorySumKeep(terms), paillier(), **facts)


@dataclass
class SumConversation:
    """Carries messages between two roles until neither has anything to say; ``tamper`` stands on the line.

    ``said`` has what was delivered, in that order; ``failed`` is the role that raised.
    """

    values: Holder
    groups: Holder
    tamper: Tamper | None = None
    order: random.Random = field(default_factory=lambda: random.Random(1))
    said: list[tuple[SumRole, SumMessage]] = field(default_factory=list)
    failed: SumRole | None = None

    def part(self, role: SumRole) -> Holder:
        """Return the participant in ``role``."""
        return self.values if role is SumRole.VALUE_HOLDER else self.groups

    def run(self) -> SumConversation:
        """Deliver everything; whatever a role raises comes through."""
        outboxes: dict[SumRole, deque[Iterator[SumMessage]]] = {
            role: deque([self.part(role).start()]) for role in SumRole
        }
        while waiting := [role for role in outboxes if outboxes[role]]:
            speaker = self.order.choice(waiting)
            message = next(outboxes[speaker][0], None)
            if message is None:
                outboxes[speaker].popleft()
                continue
            for arriving in self.tamper(speaker, message) if self.tamper else (message,):
                outboxes[speaker.other].append(self._deliver(speaker.other, arriving))
        return self

    def _deliver(self, to: SumRole, message: SumMessage) -> Iterator[SumMessage]:
        self.said.append((to.other, message))
        try:
            return self.part(to).receive(message)
        except Exception:
            self.failed = to
            raise


def run_sum(
    terms: SumTerms, own_values: ValueSet, own_groups: GroupSet, **facts: Any
) -> tuple[SumResult, SumResult]:
    """Run an honest grouped sum to its end; returns the value holder's and the group holder's result."""
    talk = SumConversation(value_holder(terms, own_values), group_holder(terms, own_groups, **facts)).run()
    assert talk.values.done
    assert talk.groups.done
    return talk.values.result, talk.groups.result
