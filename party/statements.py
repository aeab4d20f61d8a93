"""The sentences of the disclosure card, in both languages: one table for private matches, one for grouped sums.

Those of matches follow psi/SPEC.md, section 9, those of sums federated/SPEC.md, section 16. Fields in braces are
filled from a statement's parameters; {other}, {values}, {groups} and {counter} are parties.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LANGUAGES: Final = ("en", "zh")


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of a card: its id in the table and the parameters that it shows."""

    id: str
    params: Mapping[str, str | int]


# statement -> (English, Chinese)
MATCH_STATEMENTS: Final[Mapping[str, tuple[str, str]]] = {
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
    "kept_seed": (
        (
            "the {keeper} keeps its seed of this job, sealed to its auditor: whoever has the auditor's private key "
            "and the {keeper}'s data can recompute all that it sent; if the seed gets to the other side, that side "
            "can try out identifiers against all that it received, so learn who is in the {keeper}'s set"
        ),
        (
            "{keeper}保留本任务的种子，并用其审计方的公钥加密：持有审计方私钥和{keeper}数据的人可重新计算{keeper}发送过的一切；"
            "若种子落入对方之手，对方可用标识符逐一试探所收到的内容，从而得知谁在{keeper}的集合中"
        ),
    ),
}
# The statements of matches that are true of sums too.
_SHARED: Final = ("other_size", "no_identifiers", "false_input", "last_member")
_SUMS: Final[Mapping[str, tuple[str, str]]] = {
    # what the value holder learns
    "cells": (
        "how many groups the {other} has, and how many of its persons each of them holds",
        "{other}有多少个分组，以及每个分组有多少人",
    ),
    "cells_by_day": (
        (
            "how many groups the {other} has, the first exposure day, and how many of its persons each group "
            "holds per exposure day; neighbouring days are merged until they hold {min_group} persons"
        ),
        "{other}有多少个分组、首个曝光日，以及每个分组每个曝光日的人数；相邻日期会合并到至少 {min_group} 人",
    ),
    "arms_of_cells": (
        "which of these groups belong to the same arm",
        "哪些分组属于同一实验组",
    ),
    "counts_of_cells": (
        (
            "how many persons match and how many of those convert, in each group that the {other} sends, without "
            "its name; the software reads counts of groups that are then withheld, and drops them"
        ),
        "{other}发送的每个分组（不含名称）中匹配与转化的人数；软件会读到随后被隐去的分组的数字，并将其丢弃",
    ),
    "matches_of_cells": (
        (
            "how many persons match in each group that the {other} sends, without its name; the software reads "
            "counts of groups that are then withheld, and drops them"
        ),
        "{other}发送的每个分组（不含名称）中匹配的人数；软件会读到随后被隐去的分组的数字，并将其丢弃",
    ),
    # what the group holder learns
    "other_converters": (
        "how many of the {other}'s persons have any outcome in its file; only these are sent",
        "{other}文件中有多少人有任何结果；只发送这些人",
    ),
    "tag_values": (
        "which values occur in the {other}'s columns {columns}",
        "{other}的列 {columns} 中出现过哪些取值",
    ),
    "hits": (
        (
            "how many persons of each of its groups are among those that the {other} sends, exactly; where that "
            "is all of a group or nobody, it knows so of each member"
        ),
        "自己每个分组中有多少人属于{other}发送的人（精确数字）；若全组都是或都不是，则可知每个成员的情况",
    ),
    "hits_by_day": (
        (
            "how many persons of each of its groups and exposure days are among those that the {other} sends, "
            "exactly; where that is all of them or nobody, it knows so of each member"
        ),
        (
            "自己每个分组、每个曝光日中有多少人属于{other}发送的人（精确数字）；"
            "若全部都是或都不是，则可知每个成员的情况"
        ),
    ),
    "linked_rows": (
        "which of the {other}'s rows, all without names, fall into the same of its groups",
        "{other}的哪些行（均不含名称）落入自己的同一分组",
    ),
    "verdict": (
        "which of its groups pass the thresholds",
        "自己的哪些分组达到阈值",
    ),
    # what a side that reads the table learns
    "labels": ("the names of the groups that pass", "达到阈值的分组的名称"),
    "arm_names": ("the names of the arms", "各实验组的名称"),
    "figures": (
        "of each group that passes, how many persons match, how many of those convert and how often",
        "每个达到阈值的分组的匹配人数、转化人数和转化次数",
    ),
    "tag_figures": (
        (
            "of each group that passes, how many persons match, and how many of those have each value of "
            "{columns}; fewer than {min_group} is withheld"
        ),
        "每个达到阈值的分组的匹配人数，以及其中 {columns} 各取值的人数；少于 {min_group} 人的不显示",
    ),
    "sums": (
        "of each group that passes, the sum of {columns}, and of the squares of each person's total",
        "每个达到阈值的分组中 {columns} 的总和，以及每人合计的平方和",
    ),
    "stage_figures": (
        "of each group that passes, how many persons reach {columns}",
        "每个达到阈值的分组中到达 {columns} 的人数",
    ),
    "retained": (
        "of each group that passes, how many persons are active again {days} days or more later",
        "每个达到阈值的分组中 {days} 天或更久之后再次活跃的人数",
    ),
    "costs": ("the {other}'s cost of each group that passes", "{other}在每个达到阈值的分组上的成本"),
    "totals": (
        "the same in total; withheld groups are in a total only where it does not tell them apart",
        "以上数字的合计；被隐去的分组只有在无法由合计区分时才计入",
    ),
    "withheld": ("how many groups are withheld, and by which rule", "有多少分组被隐去，以及依据哪条规则"),
    "moved": (
        "for how many persons the exposure day moved by merging, and by how many days",
        "因合并而移动曝光日的人数和天数",
    ),
    "dominated_sums": (
        (
            "its software reads the sums of groups that are then withheld because few persons dominate them, and "
            "drops them"
        ),
        "软件会读到因少数人占主导而随后被隐去的分组的总和，并将其丢弃",
    ),
    "table_first": ("the figures before the {other} has them", "比{other}先得到数字"),
    "no_table": ("no further figure of a group, and no sum", "不会得知分组的其他数字，也不会得知任何总和"),
    # what nobody learns
    "unnamed": (
        "nobody is told which persons match, or what any one of them did",
        "任何一方都不会被告知匹配的是哪些人，或其中任何一人做了什么",
    ),
    "one_sided": (
        "nothing about persons whom only one side has, beyond what is said above of whole groups",
        "除上述整个分组的信息外，不会得知只有一方拥有的人的任何信息",
    ),
    "thresholds": (
        "figures of a group with fewer than {min_group} persons or {min_converters} converters are not shown",
        "少于 {min_group} 人或少于 {min_converters} 名转化者的分组，其数字不显示",
    ),
    "thresholds_matched": (
        (
            "figures of a group with fewer than {min_group} persons, {min_group} matches or {min_converters} "
            "converters are not shown"
        ),
        "少于 {min_group} 人、少于 {min_group} 个匹配或少于 {min_converters} 名转化者的分组，其数字不显示",
    ),
    "thresholds_profile": (
        "figures of a group with fewer than {min_group} persons or {min_group} matches are not shown",
        "少于 {min_group} 人或少于 {min_group} 个匹配的分组，其数字不显示",
    ),
    "dominance": (
        (
            "figures of a group where few persons make up a sum are not shown ((sum)^2 / sum of squares below "
            "{dominance})"
        ),
        "若某总和主要由少数人构成（总和的平方除以平方和小于 {dominance}），该分组的数字不显示",
    ),
    # what stays possible
    "exact_figures": (
        "no noise is added: the figures that are shown are exact",
        "不添加噪声：所显示的数字是精确的",
    ),
    "noise": (
        (
            "noise is added to the figures of groups that a side reads (epsilon = {epsilon} for each reader in this "
            "job); sizes of sets and groups, costs and the {groups}'s own hits stay exact"
        ),
        (
            "各方读取的分组数字都添加了噪声（本任务中每个读取方 epsilon = {epsilon}）；"
            "集合与分组的人数、成本以及{groups}自己的命中数仍是精确的"
        ),
    ),
    "differencing": (
        (
            "a partner that changes its own input from one job to the next learns from the difference; budgets "
            "and noise limit that, they do not prevent it"
        ),
        "若一方在两次任务之间改变自己的输入，可从差异中得知信息；预算和噪声只能限制，不能防止",
    ),
    "single_amounts": (
        "whoever knows the other amounts in a sum can compute the last one, and unusual amounts can show in a sum",
        "已知总和中其他金额的人可算出最后一笔，异常金额也可能在总和中显现",
    ),
    "no_dominance": (
        "sums that a single person dominates are shown too: the dominance rule is switched off",
        "由单个人主导的总和也会显示：主导规则已关闭",
    ),
    "padded_groups": (
        (
            "a {groups} that fills a group with invented persons around a real one learns from the hits whether "
            "the {values} sends that person; no threshold stops this"
        ),
        "若{groups}用虚构的人填充某个真实的人所在的分组，可由命中数得知{values}是否发送了此人；阈值无法防止",
    ),
    "coded_values": (
        (
            "a {values} that gives its persons coded values can read from the sums who is in which group; a replay "
            "audit finds codes in what it encrypted, not in its own file"
        ),
        "若{values}给其人员赋予编码数值，可由总和读出谁在哪个分组；重放审计能发现加密时的编码，不能发现其自有文件中的编码",
    ),
    "repeated_rows": (
        (
            "a {groups} that does not add up as agreed can pass one matched row off as a group, and read its "
            "figures; a replay audit finds it"
        ),
        "若{groups}不按约定求和，可将某一条匹配记录冒充为一个分组并读取其数字；重放审计可以发现",
    ),
    "wrong_figures": (
        (
            "either side can make the figures wrong, by its input or by not computing as agreed; a replay audit "
            "finds the latter"
        ),
        "任何一方都可通过输入或错误计算使数字出错；重放审计能发现后者",
    ),
    "kept_seed_values": (
        (
            "the {keeper} keeps its seed of this job, sealed to its auditor: whoever has the auditor's private key "
            "and the {keeper}'s data can recompute all that it sent; if the seed gets to the other side, that side "
            "can try out identifiers against all that it received and decrypt what the {keeper} sent of each person"
        ),
        (
            "{keeper}保留本任务的种子，并用其审计方的公钥加密：持有审计方私钥和{keeper}数据的人可重新计算{keeper}发送过的一切；"
            "若种子落入对方之手，对方可用标识符逐一试探所收到的内容，并可解密{keeper}发送的每个人的数值"
        ),
    ),
    "kept_seed_groups": (
        (
            "the {keeper} keeps its seed of this job, sealed to its auditor: whoever has the auditor's private key "
            "and the {keeper}'s data can recompute all that it sent; if the seed gets to the other side, that side "
            "can try out identifiers against all that it received, so learn who is in which group, and take masks "
            "and noise off the sums"
        ),
        (
            "{keeper}保留本任务的种子，并用其审计方的公钥加密：持有审计方私钥和{keeper}数据的人可重新计算{keeper}发送过的一切；"
            "若种子落入对方之手，对方可用标识符逐一试探所收到的内容，从而得知谁在哪个分组，并可去除总和上的掩码与噪声"
        ),
    ),
    "stopping": (
        "a side that breaks off keeps what it has learned by then",
        "中途退出的一方保留其已得知的信息",
    ),
    "wire_sums": (
        (
            "whoever watches the network sees the volume of traffic, so the sizes of both sets, and about how many "
            "groups and exposure days there are"
        ),
        "网络旁观者能看到流量大小，从而得知双方集合的人数，以及分组和曝光日的大致数量",
    ),
}
SUM_STATEMENTS: Final = (*_SHARED, *_SUMS)
STATEMENTS: Final[Mapping[str, tuple[str, str]]] = {**MATCH_STATEMENTS, **_SUMS}
