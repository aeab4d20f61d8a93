"""One side's part in a private grouped sum: profile, measure, lift and funnel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from federated.group_holder import GroupHolder
from federated.holder import Holder
from federated.keys import generate_key
from federated.stream import LABEL_PRIMES, KeyStream, stream_key
from federated.terms import SumRole
from federated.value_holder import ValueHolder
from party.checkpoint import Checkpoint
from party.combine import header
from party.figures import figures
from party.groups import GroupPreparation, PreparedGroups
from party.intake import InputFacts
from party.memo import RememberedPaillier
from party.part import Setting
from party.report import write_reports
from party.values import PreparedValues, ValuePreparation
from party.workspace import DiskSumKeep


class SumPart:
    """A ``party.part.Part``."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._terms = setting.contract.sum_terms()
        self._is_value_holder = setting.contract.sum_role(setting.side) is SumRole.VALUE_HOLDER
        self._paillier = RememberedPaillier(setting.memo, setting.threads)
        setting.closing.callback(self._paillier.close)
        self._values: PreparedValues | None = None
        self._groups: PreparedGroups | None = None
        self._role: Holder | None = None

    def prepare(self, rejects: Path) -> InputFacts:
        """Read the dataset and prepare the own set."""
        own = self._setting
        parts = (
            own.job,
            own.side,
            own.dataset,
            self._terms,
            own.randomness,
            own.engine,
            own.workspace,
            own.progress,
            own.sketch,
        )
        if self._is_value_holder:
            self._values = ValuePreparation(*parts).run(rejects)
            return self._values.facts
        self._groups = GroupPreparation(*parts).run(rejects)
        return self._groups.facts

    def save(self, checkpoint: Checkpoint, extra: Mapping[str, int]) -> None:
        """Save what was prepared."""
        checkpoint.save(self._values if self._is_value_holder else self._groups, extra)

    def load(self, checkpoint: Checkpoint) -> InputFacts | None:
        """Take up what was saved."""
        if self._is_value_holder:
            self._values = checkpoint.load(PreparedValues)
            return None if self._values is None else self._values.facts
        self._groups = checkpoint.load(PreparedGroups)
        return None if self._groups is None else self._groups.facts

    def role(self) -> Holder:
        """Return the role of this side; the value holder makes its key here, of the job's seed."""
        own, keep = self._setting, DiskSumKeep(self._setting.workspace, self._terms)
        common = (self._terms, own.randomness)
        if self._values is not None:
            source = KeyStream(stream_key(own.randomness, LABEL_PRIMES))
            key = generate_key(self._terms.key_bits, source.reader())
            self._paillier.prepare(key)
            self._role = ValueHolder(*common, self._values, own.engine, keep, key, self._paillier)
        elif self._groups is not None:
            self._role = GroupHolder(
                *common,
                self._groups,
                own.engine,
                keep,
                self._paillier,
                small=self._groups.small,
                dropped=self._groups.dropped,
                moved=sorted(self._groups.facts.moved.items()),
            )
        else:
            raise RuntimeError("prepare() comes first")
        return self._role

    def _played(self) -> Holder:
        if self._role is None:
            raise RuntimeError("role() comes first")
        return self._role

    def write(self, staging: Path) -> tuple[dict[str, Any], list[str]]:
        """Write this side's reports, where it reads the table."""
        own, role = self._setting, self._played()
        result = role.result
        facts = self._values.facts if self._values is not None else None
        facts = (
            facts if facts is not None else self._groups.facts if self._groups is not None else InputFacts()
        )
        persons = {SumRole.VALUE_HOLDER: role.values.persons, SumRole.GROUP_HOLDER: role.groups.persons}
        sizes = {side: persons[own.contract.sum_role(side)] for side in ("bank", "platform")}
        told = figures(own.job, own.side, result, sizes=sizes, tags=role.values.tags, facts=facts)
        if not result.readable:
            return told, []
        return told, write_reports(staging, header(own.job, own.contract) | told, own.job)

    @property
    def phase(self) -> str:
        """Encryption is the long part; the group holder waits for it."""
        return "encrypt" if self._is_value_holder else "collect"

    @property
    def peer_persons(self) -> int:
        """Persons of the partner's set."""
        role = self._played()
        return role.groups.persons if self._is_value_holder else role.values.persons

    @property
    def processes(self) -> Sequence[int]:
        """The workers of the Paillier engine."""
        return self._paillier.processes

    @property
    def details(self) -> dict[str, Any]:
        """Sizes of what was encrypted and summed."""
        role = self._played()
        layout = role.layout
        return {
            "ciphertexts_per_row": layout.ciphertexts,
            "days_per_ciphertext": layout.days_per_ciphertext,
            "rows_encrypted": role.values.persons,
            "units": len(role.groups.units),
            "cells": len(role.groups.cell_scopes),
            "key_bits": layout.modulus_bits,
            **self._counts(),
        }

    def _counts(self) -> dict[str, int]:
        """Return what the preparation counted beside rejects: figures of the own input alone."""
        if self._values is None:
            return {}
        facts = self._values.facts
        return {
            "outcomes": facts.outcomes,
            "clipped": facts.clipped,
            "untimed": facts.untimed,
            "small_tags": facts.small_tags,
        }
