"""A grouped sum in one process: the real preparations over the two files, the real roles, no network.

What two processes over TLS add is covered by the seeds that go through the command; this is for many seeds.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from federated.engine import PaillierEngine
from federated.group_holder import GroupHolder
from federated.keys import PaillierPrivateKey
from federated.terms import SumRole
from federated.value_holder import ValueHolder
from party.combine import combine
from party.contract import Contract, draft
from party.figures import figures
from party.groups import GroupPreparation, PreparedGroups
from party.identity import new_identity, public_identity
from party.jobfile import parse_job
from party.jobspec import SIDES
from party.progress import Progress
from party.runner import dataset_facts, open_side
from party.values import PreparedValues, ValuePreparation
from party.workspace import DiskSumKeep, Workspace
from tests.federated.keys_for_tests import private_key
from tests.federated.pair import SumConversation, engine_for, randomness_for


@cache
def paillier() -> PaillierEngine:
    """Return one engine for all runs, because its tables for the tests' key pay off over many."""
    return PaillierEngine(threads=1, window=9)


@dataclass(frozen=True, slots=True)
class InProcess:
    """What a run gave: the combined result, and what each preparation made of its file."""

    result: dict[str, Any]
    contract: Contract
    prepared: dict[str, PreparedValues | PreparedGroups] = field(repr=False)


def run_in_process(table: dict[str, Any], data: dict[str, Path], folder: Path) -> InProcess:
    """Run the job over the two files with working data in ``folder``; raises what the parties would say."""
    job = parse_job(table, "JOB.toml")
    datasets = {side: open_side(job.side(side), data[side]) for side in SIDES}
    contract = draft(
        job,
        {side: dataset_facts(datasets[side]) for side in SIDES},
        {side: public_identity(new_identity()) for side in SIDES},
        now=datetime.datetime.now(datetime.UTC),
    )
    terms = contract.sum_terms()
    spec = job.sums
    assert spec is not None
    engine = engine_for(terms.suite)
    values_randomness = randomness_for(SumRole.VALUE_HOLDER, terms)
    groups_randomness = randomness_for(SumRole.GROUP_HOLDER, terms)
    with Workspace(folder / "values", 1) as of_values, Workspace(folder / "groups", 1) as of_groups:
        progress = Progress(lambda event: None)
        values = ValuePreparation(
            job,
            spec.value_holder,
            datasets[spec.value_holder],
            terms,
            values_randomness,
            engine,
            of_values,
            progress,
        ).run(folder / "value-rejects.csv")
        groups = GroupPreparation(
            job,
            spec.group_holder,
            datasets[spec.group_holder],
            terms,
            groups_randomness,
            engine,
            of_groups,
            progress,
        ).run(folder / "group-rejects.csv")
        talk = SumConversation(
            ValueHolder(
                terms,
                values_randomness,
                values,
                engine,
                DiskSumKeep(of_values, terms),
                # A copy, because the role destroys its key when it is done.
                PaillierPrivateKey(private_key(terms.key_bits).reveal()),
                paillier(),
            ),
            GroupHolder(
                terms,
                groups_randomness,
                groups,
                engine,
                DiskSumKeep(of_groups, terms),
                paillier(),
                small=groups.small,
                dropped=groups.dropped,
                moved=sorted(groups.facts.moved.items()),
            ),
        ).run()
        results = {spec.value_holder: talk.values.result, spec.group_holder: talk.groups.result}
        sizes = {
            spec.value_holder: values.size,
            spec.group_holder: sum(cell.persons for cell in groups.cells),
        }
        prepared: dict[str, PreparedValues | PreparedGroups] = {
            spec.value_holder: values,
            spec.group_holder: groups,
        }
        reports = {
            side: figures(job, side, results[side], sizes=sizes, tags=values.tags, facts=prepared[side].facts)
            | {"party": {}}
            for side in SIDES
        }
    return InProcess(combine(job, contract, reports), contract, prepared)
