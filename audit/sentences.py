"""The words of a report, in English and Chinese: one table for sections, checks, problems and notes.

A sentence names places, counts and words of ours, never a value out of an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from audit.problems import PROBLEMS as PROBLEMS

LANGUAGES: Final = ("en", "zh")

_Table = Mapping[str, tuple[str, str]]

STATES: Final[_Table] = {
    "passed": ("ok     ", "通过  "),
    "failed": ("FAILED ", "未通过"),
    "not_checked": ("not checked", "未检查"),
}
VERDICTS: Final[_Table] = {
    "passed": ("Verdict: passed. Nothing that was checked is wrong.", "结论：通过。所检查的内容均无问题。"),
    "failed": ("Verdict: FAILED. First problem: {first}", "结论：未通过。首个问题：{first}"),
}
PLACES: Final[_Table] = {
    "entry": ("entry {number}", "第 {number} 条记录"),
    "checkpoint": ("checkpoint {number}", "检查点 {number}"),
    "line": ("line {number}", "第 {number} 行"),
}
SECTIONS: Final[_Table] = {
    "integrity": ("Integrity: is this the log as it was written?", "完整性：日志是否保持写入时的原样？"),
    "story": ("Same story: do both logs say the same?", "一致性：双方日志是否相符？"),
    "approvals": ("Approvals and contracts: who agreed to what?", "审批与合同：谁同意了什么？"),
    "policy": (
        "Policy: was each release decided and witnessed before?",
        "策略：每次披露之前是否已作决定并经见证？",
    ),
    "egress": ("Egress: what left each side?", "外发：各方发出了什么？"),
    "unproven": ("What this cannot prove", "本次验证无法证明的内容"),
}
# Why a check was not made.
REASONS: Final[_Table] = {
    "one_bundle": ("needs the bundles of both parties", "需要双方的日志包"),
    "not_whole": ("the bundle could not be read as a whole log", "日志包未能完整读取"),
    "not_partners": ("both bundles are of one log", "两个日志包属于同一日志"),
    "rehearsal": (
        "this log is of a rehearsal: one hand played both parties, and nothing had to be approved or paid for",
        "此日志属于演练：双方由同一操作者扮演，无需审批，也不消耗预算",
    ),
    "bad_entry": ("reading ended at the first bad entry", "读取在首条错误记录处停止"),
    "sealed": (
        "the details behind the decisions were not opened; ask the party for a bundle with details",
        "决定的明细未公开；请向该方索取含明细的日志包",
    ),
}
# What a check says of what it looked at; counts that are missing are 0.
CHECKS: Final[_Table] = {
    "keys": (
        "the log's keys are certified by the party's identity, and those of {partners} partner logs by theirs",
        "日志密钥由该方身份签发，另有 {partners} 个伙伴日志的密钥由其各自身份签发",
    ),
    "identity": ("the log is of an identity that was given", "日志属于所给的身份之一"),
    "entries": (
        "{entries} entries hashed, none missing, none out of order",
        "已对 {entries} 条记录计算哈希，无缺失，无乱序",
    ),
    "entries_of_pack": (
        "{entries} entries hashed: of the log the first, and what the party says is all of one job",
        "已对 {entries} 条记录计算哈希：日志首条，以及该方所称属于同一任务的全部记录",
    ),
    "file": ("{lines} lines read to the end", "已读至末尾，共 {lines} 行"),
    "checkpoints": (
        "{checkpoints} signed checkpoints, each with the root that the entries give",
        "{checkpoints} 个已签名检查点，根哈希均与记录相符",
    ),
    "cosignatures": ("{cosignatures} cosignatures of partners", "{cosignatures} 个伙伴联署"),
    "witnessed": (
        "{notes} checkpoints of partners that this party cosigned",
        "该方联署了伙伴的 {notes} 个检查点",
    ),
    "evidence": ("{notes} refused checkpoints kept as evidence", "作为证据保存的被拒检查点：{notes} 个"),
    "attached": (
        (
            "{contracts} contracts with their cards, {policies} policies and {details} of {commitments} sealed"
            " details fit the log"
        ),
        "{contracts} 份合同及其披露卡、{policies} 份策略、{commitments} 项密封明细中的 {details} 项与日志相符",
    ),
    "proofs": (
        "{inclusion} entries proved to be in the log, {consistency} pairs of checkpoints proved consistent",
        "已证明 {inclusion} 条记录在日志中，{consistency} 对检查点一致",
    ),
    "witness": (
        "{checkpoints} checkpoints that one party cosigned fit the other party's entries",
        "一方联署的 {checkpoints} 个检查点与另一方的记录相符",
    ),
    "evidence_judged": (
        "{notes} refused checkpoints held against the other log",
        "已用对方日志核对 {notes} 个被拒检查点",
    ),
    "streams": (
        "{streams} streams and messages equal in both logs, {in_one} in one log of jobs that did not finish in both",
        "双方日志中 {streams} 个数据流和消息一致；未在双方完成的任务中另有 {in_one} 个只见于一方",
    ),
    "released": (
        (
            "{releases} releases that one party received had been decided by the other and cosigned in time,"
            " {elsewhere} belong to another log of that party"
        ),
        "一方收到的 {releases} 次披露均已由另一方事先决定并及时联署；另有 {elsewhere} 次属于该方的另一日志",
    ),
    "jobs": (
        "{jobs} jobs of both parties: {finished} finished in both logs, {ended} ended otherwise, {open} open",
        "双方共有 {jobs} 个任务：{finished} 个双方均已完成，{ended} 个以其他方式结束，{open} 个未结束",
    ),
    "contracts": (
        "{contracts} contracts signed by both parties before anything moved, {signatures} signatures checked",
        "{contracts} 份合同在数据流动前由双方签署，已核验 {signatures} 个签名",
    ),
    "approved": (
        (
            "{approved} agreements, {by_rule} of them by a rule and {by_schedule} by an approved schedule; nobody"
            " approved a draft of their own"
        ),
        "{approved} 次同意，其中 {by_rule} 次由规则、{by_schedule} 次由已批准的计划作出；无人审批自己的草稿",
    ),
    "basis": (
        "consent basis stated for {stated} uses of a dataset, not stated for {not_stated}",
        "数据集使用中 {stated} 次注明了同意依据，{not_stated} 次未注明",
    ),
    "clock": (
        "times within a day of {cosignatures} cosignatures of partners",
        "记录时间与伙伴的 {cosignatures} 次联署相差不超过一天",
    ),
    "opened": (
        "{opened} times somebody opened a result, each time one that was there for this party",
        "结果共被打开 {opened} 次，每次均为该方可读的结果",
    ),
    "policies": (
        "{policies} policies, each set by an entry; {contracts} contracts as strict as the policy then in force",
        "{policies} 份策略均由记录设定；{contracts} 份合同不低于当时策略的要求",
    ),
    "decisions": (
        "{decisions} decisions with the contract's thresholds, {refused} of them refusals; none is missing",
        "{decisions} 项决定均采用合同阈值，其中 {refused} 项为拒绝；无缺失",
    ),
    "gate": (
        "{releases} releases behind a decision that the partner had cosigned",
        "{releases} 次披露均在伙伴联署其决定之后",
    ),
    "results": (
        (
            "{released} results shown behind a cosigned decision, {unwitnessed} without as the policy allows,"
            " {closed} kept closed, {not_shown} not shown"
        ),
        (
            "{released} 份结果在联署后展示，{unwitnessed} 份按策略未经联署即展示，"
            "{closed} 份保持关闭，{not_shown} 份未展示"
        ),
    ),
    "budget": ("{runs} runs spent, none over its budget", "已消耗 {runs} 次运行预算，均未超限"),
    "thresholds": (
        "{opened} of {allowed} decisions opened and recomputed",
        "{allowed} 项决定中有 {opened} 项的明细已公开并重新计算",
    ),
    "allowed": (
        "{messages} streams and messages, all of them what their contracts allow",
        "{messages} 个数据流和消息，均为合同所允许",
    ),
    "sizes": (
        (
            "{streams} streams with bytes = count x size of an element, {singles} single messages as long as theirs"
            " can be; {bytes} bytes left this side"
        ),
        (
            "{streams} 个数据流的字节数 = 数量乘以元素大小，{singles} 条单个消息的长度在允许范围内；"
            "该方共发出 {bytes} 字节"
        ),
    ),
    "complete": (
        "{jobs} finished jobs with every message that their kind has",
        "{jobs} 个已完成任务包含其类型应有的全部消息",
    ),
}
NOTES: Final[_Table] = {
    "more": ("... and {count} more", "……另有 {count} 项"),
    "cosigned_by": ("{count} of them cosigned by {name}", "其中 {count} 个由 {name} 联署"),
    "further_log": (
        "Also verify {log}, another log of the party of {name}: {size} entries of it were cosigned.",
        "还须验证 {log}：它是 {name} 一方的另一日志，其中 {size} 条记录曾被联署。",
    ),
    "identity": (
        "identity of {name}, to be compared with what that party reads out: {fingerprint}",
        "{name} 的身份指纹，请与该方读出的比对：{fingerprint}",
    ),
    "schedule_elsewhere": (
        "job {job} was approved with its schedule, whose approval is not in these entries",
        "任务 {job} 随其计划获批，而该计划的审批不在这些记录中",
    ),
    "scope_pack": (
        "{name} is an evidence pack: this is about the entries in it, not about the whole log.",
        "{name} 为证据包：结论只涉及其中的记录，而非整个日志。",
    ),
    "scope_rehearsal": (
        "{name} is of a rehearsal: nobody had to agree, and no budget was spent.",
        "{name} 属于演练：无人审批，也未消耗预算。",
    ),
    "uncosigned": (
        "entries from {first} on (of {size}) are cosigned by nobody: only this party says that they stand there",
        "自第 {first} 条起的记录（共 {size} 条）无人联署：仅有该方自述",
    ),
    "refused_note": ("a checkpoint of {name} was refused: {reason}", "{name} 的一个检查点被拒：{reason}"),
    "pack_witness": (
        "{name} is an evidence pack: only its own checkpoints were compared",
        "{name} 为证据包：仅比对了其所含检查点",
    ),
    "undecided": (
        "a refused checkpoint of size {size} lies beyond the entries of {name}",
        "大小为 {size} 的被拒检查点超出 {name} 的记录范围",
    ),
    "job_differs": (
        "job {job}: {first} in {one}, {second} in {two}",
        "任务 {job}：在 {one} 中为 {first}，在 {two} 中为 {second}",
    ),
    "clock_still": (
        (
            "entry {entry} says that less was spent than the runs before it add up to, of which some have its own"
            " time: the party's clock had been put back"
        ),
        "第 {entry} 条所述消耗少于此前各次运行的合计，其中部分与其时间相同：该方时钟曾被调回",
    ),
    "traffic": (
        "job {job} ({kind}): {bytes} bytes left the {side}: {messages}",
        "任务 {job}（{kind}）：{side}发出 {bytes} 字节：{messages}",
    ),
    "side_bank": ("bank", "银行"),
    "side_platform": ("platform", "平台"),
}
# What no check here can show, told in every report; ``dropped_tail`` with one bundle only.
UNPROVEN: Final[_Table] = {
    "dropped_tail": (
        "That this is the whole log: entries dropped from its end show only against the partner's bundle.",
        "这是完整的日志：末尾被删去的记录只有对照伙伴的日志包才能发现。",
    ),
    "rest_of_pack": (
        "That an evidence pack has all entries of its job: it proves those that are in it.",
        "证据包含有该任务的全部记录：它只证明其中已有的记录。",
    ),
    "identities": (
        (
            "That the logs are those of the parties: compare the identities above with what each party reads out, or"
            " give them with --identity."
        ),
        "日志确属双方：请将上述身份指纹与各方读出的比对，或以 --identity 给出。",
    ),
    "names": (
        "That a name is the person: who may act under which name is for each party's own login to ensure.",
        "姓名即本人：谁以何名操作，由各方自身的登录机制保证。",
    ),
    "inputs": (
        (
            "That the parties put true data in; a replay with the party's data and kept seed shows what it sent, not"
            " whether that was true."
        ),
        "各方输入的数据真实；以该方数据和留存种子重放可证明其发送了什么，但不能证明内容真实。",
    ),
    "collusion": (
        "That the two parties did not agree on a false story: logs that both keep wrongly fit each other.",
        "双方没有串通：共同伪造的日志彼此相符。",
    ),
    "card_text": (
        "That the text beside a disclosure card words it truly: both signed the card's SHA-256, not its sentences.",
        "披露卡所附文字如实表述该卡：双方签署的是披露卡的 SHA-256，而非其文字。",
    ),
    "channels": (
        "That nothing was passed on by other ways than these protocols.",
        "没有通过这些协议之外的途径传递信息。",
    ),
}
