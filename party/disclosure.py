"""The disclosure card: exactly what each side of a job will learn, computed from one leakage table.

A card is data (statement ids and parameters), so that its hash in the contract does not depend on the language
it is read in. The sentences are in ``party.statements``; whoever changes what a protocol reveals changes which of
them stand here (matches) or in ``party.sum_card`` (grouped sums), and every contract's hash changes with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from party.jobspec import Job, JobKind
from party.statements import LANGUAGES, STATEMENTS, Statement
from party.sum_card import sum_sections, sum_settings

# Words that stand for a setting's value; columns are never translated.
_WORDS: Final = {
    "bank": ("bank", "银行"),
    "platform": ("platform", "平台"),
    "both": ("both", "双方"),
    "converters": ("converters only", "仅转化者"),
    "customers": ("all customers", "全部客户"),
    "first": ("first", "首次"),
    "last": ("last", "末次"),
}
_WORD_PARAMS: Final = (
    *("other", "counter", "keeper", "values", "groups", "receiver", "value_holder", "base", "exposure"),
)
_HEADINGS: Final = {
    "bank": ("The bank learns", "银行将得知"),
    "platform": ("The platform learns", "平台将得知"),
    "nobody": ("What nobody learns", "任何一方都不会得知"),
    "beyond": ("What stays possible", "仍然可能发生的情况"),
}
_TITLE: Final = ("Disclosure card", "披露卡")
# setting -> (English, Chinese), in the order of the first line.
_SETTINGS: Final = {
    "kind": ("{kind}", "{kind}"),
    "receiver": ("receiver: {receiver}", "接收方：{receiver}"),
    "form": ("matched on: {form}", "匹配标识：{form}"),
    "suite": ("suite: {suite}", "密码套件：{suite}"),
    "min_group": ("smallest group: {min_group}", "最小群体：{min_group}"),
    "max_set": ("largest set: {max_set}", "最大集合：{max_set}"),
    "value_holder": ("values: {value_holder}", "数值方：{value_holder}"),
    "base": ("sent: {base}", "发送范围：{base}"),
    "min_converters": ("fewest converters: {min_converters}", "最少转化者：{min_converters}"),
    "dominance": ("dominance: {dominance}", "主导规则：{dominance}"),
    "days": ("window: {days} days", "窗口：{days} 天"),
    "exposure": ("from the {exposure} exposure", "自{exposure}曝光起"),
    "timezone": ("days in {timezone}", "时区：{timezone}"),
    "arms": ("arms in {arms}", "实验组列：{arms}"),
    "control": ("control: {control}", "对照组：{control}"),
    "key_bits": ("Paillier key: {key_bits} bits", "Paillier 密钥：{key_bits} 位"),
}
_SEPARATORS: Final = (", ", "，")


@dataclass(frozen=True, slots=True)
class Card:
    """What each side of one job learns. ``sections`` maps bank, platform, nobody, beyond to statements."""

    settings: dict[str, str | int]
    sections: dict[str, tuple[Statement, ...]]

    def as_data(self) -> dict[str, object]:
        """Return the card as plain data, the form that is hashed into the contract."""
        return {
            "settings": self.settings,
            "sections": {
                name: [{"id": each.id, "params": dict(each.params)} for each in statements]
                for name, statements in self.sections.items()
            },
        }

    def lines(self, language: str = "en") -> Iterator[str]:
        """Yield the card as text lines in ``language`` (en or zh)."""
        column = LANGUAGES.index(language)
        shown = _shown(self.settings, column)
        told = [_SETTINGS[name][column].format(**shown) for name in self.settings]
        yield f"{_TITLE[column]}: " + _SEPARATORS[column].join(told)
        for name, statements in self.sections.items():
            yield f"{_HEADINGS[name][column]}:"
            for each in statements:
                yield "  - " + STATEMENTS[each.id][column].format(**_shown(each.params, column))


def _shown(params: Mapping[str, str | int], column: int) -> dict[str, str | int]:
    """Return parameters as one language shows them."""
    return {
        key: _WORDS[str(value)][column] if key in _WORD_PARAMS else value for key, value in params.items()
    }


def card_for(job: Job) -> Card:
    """Compute the card of ``job`` from the leakage table."""
    settings: dict[str, str | int] = {
        "kind": job.kind.value,
        "receiver": job.receiver,
        "form": job.form.text,
        "suite": job.suite.id,
        "min_group": job.min_group,
        "max_set": job.max_set,
    }
    if job.sums is not None:
        return Card(settings | sum_settings(job, job.sums), sum_sections(job, job.sums))
    return Card(settings, _match_sections(job))


def _match_sections(job: Job) -> dict[str, tuple[Statement, ...]]:
    statements = _overlap(job) if job.kind is JobKind.OVERLAP else _audience(job)
    nobody = ["no_identifiers", "non_members"]
    beyond = ["wire", "false_input", "last_member"]
    if job.kind is JobKind.OVERLAP:
        nobody.insert(0, "no_names")
        beyond.insert(0, "deviating_counter")
    if job.both:
        beyond.insert(0, "unfair")
    if job.holdout:
        beyond.insert(0, "holdout_hidden")
    params: dict[str, str | int] = {"counter": job.protocol_receiver}
    kept = tuple(Statement("kept_seed", {"keeper": keeper}) for keeper in job.seed_keepers)
    return {
        **statements,
        "nobody": tuple(Statement(each, {}) for each in nobody),
        "beyond": kept
        + tuple(Statement(each, params if each == "deviating_counter" else {}) for each in beyond),
    }


def tiered(job: Job, side: str) -> bool:
    """Whether ``side`` splits its set in this job: its tiers are told only where the result uses them."""
    if job.side(side).tier is None:
        return False
    return job.kind is JobKind.OVERLAP or job.both or side == job.protocol_sender


def holds_back(job: Job, side: str) -> bool:
    """Whether ``side`` keeps the random holdout: the sender does; with two receivers the bank."""
    return job.holdout > 0 and side == job.protocol_sender


def _sizes(job: Job, other: str) -> list[Statement]:
    told = [Statement("other_size", {"other": other})]
    if tiered(job, other):
        told.append(Statement("other_tiers", {"other": other}))
    return told


def _overlap(job: Job) -> dict[str, tuple[Statement, ...]]:
    counter, other = job.protocol_receiver, job.protocol_sender
    min_group: dict[str, str | int] = {"min_group": job.min_group}
    counts = [Statement("count", min_group)]
    if tiered(job, counter) or tiered(job, other):
        counts.append(Statement("count_by_tier", min_group))
    learned = {
        counter: (*_sizes(job, other), *counts),
        other: (*_sizes(job, counter), Statement("no_count", {})),
    }
    return {side: learned[side] for side in ("bank", "platform")}


def _audience(job: Job) -> dict[str, tuple[Statement, ...]]:
    receives = ("bank", "platform") if job.both else (job.receiver,)
    listed = "own_matches" if job.output == "matched" else "own_unmatched"
    learned = {}
    for side, other in (("bank", "platform"), ("platform", "bank")):
        told = _sizes(job, other)
        if side in receives:
            told.append(Statement(listed, {"min_group": job.min_group}))
            if tiered(job, other):
                told.append(Statement("tier_of_match", {"other": other}))
            if job.both and side == job.protocol_receiver:
                told.append(Statement("first", {"other": other}))
        else:
            told.append(Statement("no_count", {}))
        if holds_back(job, side):
            told.append(Statement("holdout_list", {"percent": f"{job.holdout * 100:g}"}))
        learned[side] = tuple(told)
    return learned
