"""The disclosure card: exactly what each side of a job will learn, computed from one leakage table.

A card is data (statement ids and parameters), so that its hash in the contract does not depend on the language
it is read in. The statements follow psi/SPEC.md, section 9; whoever changes what a protocol reveals changes this
table, and every contract's hash changes with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from party.jobfile import Job
from psi.terms import Kind

LANGUAGES: Final = ("en", "zh")

# statement -> (English, Chinese). {other} and {self} are party names in the reader's language.
_STATEMENTS: Final[dict[str, tuple[str, str]]] = {
    "other_size": ("the size of the {other}'s set", "{other}集合的人数"),
    "other_tiers": (
        "the labels and sizes of the {other}'s tiers",
        "{other}各层级的名称和人数",
    ),
    "count": (
        "how many of the bank's persons are on the platform; fewer than {min_group} is withheld",
        "银行人群中有多少人在平台上；少于 {min_group} 人的数字不显示",
    ),
    "count_by_tier": (
        "the same count per tier, each withheld below {min_group}",
        "各层级的同一人数，少于 {min_group} 人的不显示",
    ),
    "own_matches": (
        "which of its own rows match, as a list; it is withheld if it names fewer than {min_group} persons",
        "自己的哪些行匹配（名单）；不足 {min_group} 人时不输出名单",
    ),
    "own_unmatched": (
        (
            "which of its own rows do not match, as a list, and so which do; it is withheld if fewer than "
            "{min_group} match"
        ),
        "自己的哪些行不匹配（名单），因而也知道哪些行匹配；匹配不足 {min_group} 人时不输出名单",
    ),
    "tier_of_match": ("the {other}'s tier of each match", "每个匹配者在{other}的层级"),
    "no_count": ("not how many or which persons match", "不知道匹配的人数和对象"),
    "first": ("its list before the {other} has its own", "比{other}先得到名单"),
    "holdout_list": (
        "which of its own rows were kept back at random ({percent} %), as a list",
        "随机保留（对照）的自有行名单（{percent} %）",
    ),
    "holdout_hidden": (
        (
            "in this run the persons kept back look like persons whom the other side does not have; "
            "a second run keeps back others, and so shows who they were"
        ),
        "在本次任务中，被保留的人在对方看来与不存在的人无异；再次运行会另选他人，从而暴露本次被保留的人",
    ),
    "unfair": (
        (
            "a side that deviates can break off once it has its own list, or make the other's list wrong; "
            "a replay audit finds the latter"
        ),
        "偏离协议的一方可在得到自己的名单后中断，或使对方的名单出错；后者可由重放审计发现",
    ),
    "no_names": ("nobody learns which persons match", "任何一方都不知道匹配的是哪些人"),
    "no_identifiers": (
        "no identifier leaves either side, and a hash of one only under a secret mask",
        "任何标识符都不会离开任何一方，其哈希也只在秘密掩码之下传输",
    ),
    "non_members": (
        "nothing about the other side's persons that are not in the own set, beyond their number",
        "除人数外，不会得知对方集合中己方没有的人的任何信息",
    ),
    "wire": (
        "whoever watches the network sees the volume of traffic, so the sizes of both sets",
        "网络旁观者能看到流量大小，从而得知双方集合的人数",
    ),
    "deviating_counter": (
        (
            "a {counter} that deviates from the protocol (a secret of its own per row) can learn who matches; "
            "a replay audit of its committed seed finds it"
        ),
        "{counter}若偏离协议（逐行使用不同密钥）可得知匹配者；对其已承诺种子的重放审计可以发现",
    ),
    "false_input": (
        (
            "a party that enters persons it does not have can ask about them; limits and audits, not "
            "cryptography, stand against that"
        ),
        "若一方输入其并不拥有的人，即可探询这些人；对此只能依靠限额与审计，密码学无法防止",
    ),
    "last_member": (
        "whoever knows all members of a group but one can learn about that one",
        "若有人已知某群体中除一人外的全部成员，则可推知剩下的那一人",
    ),
}
_NAMES: Final = {"bank": ("bank", "银行"), "platform": ("platform", "平台")}
_HEADINGS: Final = {
    "bank": ("The bank learns", "银行将得知"),
    "platform": ("The platform learns", "平台将得知"),
    "nobody": ("What nobody learns", "任何一方都不会得知"),
    "beyond": ("What stays possible", "仍然可能发生的情况"),
}
_TITLE: Final = ("Disclosure card", "披露卡")
_SETTINGS: Final = (
    (
        "{kind}, receiver: {receiver}, matched on: {form}, suite: {suite}, smallest group: {min_group}, "
        "largest set: {max_set}"
    ),
    "{kind}，接收方：{receiver}，匹配标识：{form}，密码套件：{suite}，最小群体：{min_group}，最大集合：{max_set}",
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of a card: its id in the table and the parameters that it shows."""

    id: str
    params: dict[str, str | int]


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
                name: [{"id": each.id, "params": each.params} for each in statements]
                for name, statements in self.sections.items()
            },
        }

    def lines(self, language: str = "en") -> Iterator[str]:
        """Yield the card as text lines in ``language`` (en or zh)."""
        column = LANGUAGES.index(language)
        settings = {
            name: _NAMES[value][column] if value in _NAMES else value for name, value in self.settings.items()
        }
        yield f"{_TITLE[column]}: " + _SETTINGS[column].format(**settings)
        for name, statements in self.sections.items():
            yield f"{_HEADINGS[name][column]}:"
            for each in statements:
                params = {
                    key: _NAMES[value][column] if value in _NAMES else value
                    for key, value in each.params.items()
                }
                yield "  - " + _STATEMENTS[each.id][column].format(**params)


def card_for(job: Job) -> Card:
    """Compute the card of ``job`` from the leakage table."""
    statements = _overlap(job) if job.kind is Kind.OVERLAP else _audience(job)
    nobody = ["no_identifiers", "non_members"]
    beyond = ["wire", "false_input", "last_member"]
    if job.kind is Kind.OVERLAP:
        nobody.insert(0, "no_names")
        beyond.insert(0, "deviating_counter")
    if job.both:
        beyond.insert(0, "unfair")
    if job.holdout:
        beyond.insert(0, "holdout_hidden")
    params: dict[str, str | int] = {"counter": job.protocol_receiver}
    sections = {
        **statements,
        "nobody": tuple(Statement(each, {}) for each in nobody),
        "beyond": tuple(Statement(each, params if each == "deviating_counter" else {}) for each in beyond),
    }
    settings: dict[str, str | int] = {
        "kind": job.kind.value,
        "receiver": job.receiver,
        "form": job.form.text,
        "suite": job.suite.id,
        "min_group": job.min_group,
        "max_set": job.max_set,
    }
    return Card(settings, sections)


def tiered(job: Job, side: str) -> bool:
    """Whether ``side`` splits its set in this job: its tiers are told only where the result uses them."""
    if job.side(side).tier is None:
        return False
    return job.kind is Kind.OVERLAP or job.both or side == job.protocol_sender


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
