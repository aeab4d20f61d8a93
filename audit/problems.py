"""What a report says is wrong: a sentence in English and Chinese for each problem that a check can find.

As in ``audit.sentences`` they name places, counts and words of ours, never a value out of an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PROBLEMS: Final[Mapping[str, tuple[str, str]]] = {
    # integrity
    "fault": ("this cannot be read: {what}.", "无法读取：{what}。"),
    "leaf": ("its bytes are not those of its hash.", "内容与其哈希不符。"),
    "malformed": ("this is no entry of a log: {what}.", "不是有效的日志记录：{what}。"),
    "sequence": (
        "an entry is missing, double or out of place: number {found} stands here.",
        "记录缺失、重复或错位：此处为第 {found} 条。",
    ),
    "time_back": ("its time lies before that of the entry before it.", "其时间早于上一条记录。"),
    "other_log": ("it belongs to another log.", "它属于另一日志。"),
    "opening": (
        "the first entry does not open the log with the keys of the header.",
        "首条记录未以文件头中的密钥开启日志。",
    ),
    "empty_pack": ("the pack has no entry of its job.", "证据包中没有该任务的任何记录。"),
    "other_identity": (
        "the log is of none of the identities that were given.",
        "日志不属于所给的任何身份。",
    ),
    "not_of_pack": ("it belongs to another job than the pack is of.", "它不属于该证据包的任务。"),
    "size": (
        "the bundle has {found} entries where its header says {told}.",
        "日志包有 {found} 条记录，文件头却称有 {told} 条。",
    ),
    "keys": ("the keys do not hold: {what}.", "密钥不成立：{what}。"),
    "partner_twice": ("a partner's log is named twice.", "同一伙伴日志被列出两次。"),
    "order": ("checkpoints do not grow in size here.", "此处检查点大小未递增。"),
    "note": ("the checkpoint is not signed by the log's key: {what}.", "检查点未由日志密钥签名：{what}。"),
    "note_size": (
        "the note is over {found} entries, its line says otherwise.",
        "该检查点覆盖 {found} 条记录，与所在行不符。",
    ),
    "beyond": (
        "a signed checkpoint covers {size} entries, the bundle has {entries}: some are missing here or behind.",
        "已签名的检查点覆盖 {size} 条记录，日志包只有 {entries} 条：此处或其后有记录缺失。",
    ),
    "root": (
        (
            "the entries do not lead to the signed checkpoint of size {size}: one of the entries from here to"
            " {last} was changed."
        ),
        "记录与大小为 {size} 的已签名检查点不符：自此处至第 {last} 条中有记录被改动。",
    ),
    "uncovered": (
        "no checkpoint covers the entries from here on ({last} of {size} are covered).",
        "自此处起的记录没有检查点覆盖（{size} 条中覆盖了 {last} 条）。",
    ),
    "cosignature": ("the cosignature of {name} is wrong: {what}.", "{name} 的联署有误：{what}。"),
    "unknown_partner": ("it is of a log whose keys are not in the bundle.", "所属日志的密钥不在日志包中。"),
    "witnessed_note": (
        "a checkpoint of {name} that was cosigned does not hold: {what}.",
        "所联署的 {name} 的检查点不成立：{what}。",
    ),
    "not_cosigned": (
        "a checkpoint of {name} does not carry this party's cosignature.",
        "{name} 的检查点没有该方的联署。",
    ),
    "two_roots": (
        "{name} signed two different logs of {size} entries.",
        "{name} 为 {size} 条记录签署了两份不同的日志。",
    ),
    "fork": (
        "{name} is convicted: its log {log} signed a checkpoint of size {size} that contradicts the log.",
        "{name} 被证实违规：其日志 {log} 签署了与日志相矛盾的检查点（大小 {size}）。",
    ),
    "fork_told": (
        (
            "{name} signed, in its log {log}, a checkpoint of size {size} that this party refused as a fork; the"
            " bundle of {name} decides which of them is right."
        ),
        "{name} 在其日志 {log} 中签署了大小为 {size} 的检查点，该方以分叉为由拒绝；需由 {name} 的日志包判定。",
    ),
    "false_evidence": (
        "this is no evidence against {name}: {what}.",
        "这不构成对 {name} 不利的证据：{what}。",
    ),
    "evidence_missing": (
        "a fork was seen, and the note that shows it is not in the bundle.",
        "曾发现分叉，但日志包中没有证明它的检查点。",
    ),
    "policy_hash": ("a policy has another hash than its line says.", "策略的哈希与所在行不符。"),
    "policy_form": ("what is attached is not a policy.", "所附内容不是策略。"),
    "details": (
        "the opened details are not what the entry commits to: {what}.",
        "公开的明细与记录的承诺不符：{what}。",
    ),
    "contract": ("the contract does not hold: {what}.", "合同不成立：{what}。"),
    "proof_of_nothing": (
        "a proof is about an entry or a checkpoint that is not in the pack.",
        "证明所指的记录或检查点不在证据包中。",
    ),
    "proof": ("the proof does not hold: {what}.", "证明不成立：{what}。"),
    "no_proof": ("nothing proves that this is part of the log.", "没有证明表明它属于该日志。"),
    # same story
    "same_log": ("this is the log of the other bundle once more.", "这与另一日志包是同一日志。"),
    "strangers": (
        "this party never knew the log {log}: the two bundles are not of partners.",
        "该方从未知悉日志 {log}：两个日志包并非伙伴关系。",
    ),
    "other_keys": ("the other party knows this log by other keys.", "对方所知的该日志密钥与此不同。"),
    "tail_dropped": (
        "entries are missing here or behind: {name} cosigned {size} entries of this log, it has {entries}.",
        "此处或其后有记录缺失：{name} 联署过该日志的 {size} 条记录，现仅有 {entries} 条。",
    ),
    "rewritten": (
        "the log was rewritten: one of the entries from here to {last} is not what {name} cosigned at size {size}.",
        "日志被改写：自此处至第 {last} 条中有记录与 {name} 在大小 {size} 时所联署的不符。",
    ),
    "other_job": (
        "{name} belongs to another job in the other log (entry {sequence}).",
        "{name} 在对方日志中属于另一任务（第 {sequence} 条）。",
    ),
    "streams_differ": (
        "{name} is not what entry {sequence} of {bundle} says.",
        "{name} 与 {bundle} 第 {sequence} 条所述不符。",
    ),
    "stream_missing": (
        "{name} is not in {bundle}, where the job finished too.",
        "{bundle} 中的该任务也已完成，却没有 {name}。",
    ),
    "half_rehearsal": (
        "this log is of a rehearsal and the other is not: nobody rehearses with a real partner.",
        "此日志属于演练而另一日志不是：演练不会与真实伙伴进行。",
    ),
    "history_shed": (
        (
            "{name} knows another log of this party, {log}, and cosigned {size} entries of it; this one does not"
            " begin as a log does whose store was put back."
        ),
        "{name} 还知悉该方的另一日志 {log}，并联署过其 {size} 条记录；而此日志的开头并非恢复后的日志。",
    ),
    "received_undecided": (
        "{name} arrived, and {bundle} has no decision that allowed {release} in this session.",
        "已收到 {name}，但 {bundle} 中没有允许本次会话 {release} 的决定。",
    ),
    "never_cosigned": (
        "{name} arrived, and this party never cosigned the decision (entry {decision} of {bundle}).",
        "已收到 {name}，但该方从未联署其决定（{bundle} 第 {decision} 条）。",
    ),
    "cosigned_late": (
        "{name} had arrived before this party cosigned the decision (entry {decision} of {bundle}).",
        "{name} 在该方联署其决定（{bundle} 第 {decision} 条）之前即已收到。",
    ),
    "other_contract": ("{bundle} has this job under another contract.", "{bundle} 中该任务的合同与此不同。"),
    "other_party": (
        "the contract of this job is not with the party of {bundle}.",
        "该任务的合同并非与 {bundle} 的一方签订。",
    ),
    # approvals
    "no_contract": ("the contract is not in the bundle.", "日志包中没有该合同。"),
    "foreign_contract": ("the contract is of another job or party.", "该合同属于另一任务或另一方。"),
    "unknown_identity": (
        "the {side} of the contract is no partner whose keys are in the bundle.",
        "合同中的另一方（{side}）不是日志包中有密钥的伙伴。",
    ),
    "signature": ("the signature of the {side} under the contract is wrong.", "合同上 {side} 的签名有误。"),
    "unsigned": (
        "something moved before both parties had signed the contract.",
        "在双方签署合同之前已有数据流动。",
    ),
    "two_contracts": ("the two parties signed different contracts.", "双方签署的合同不同。"),
    "after_end": ("the job goes on after its end ({how}).", "任务在结束（{how}）之后仍在继续。"),
    "run_out": ("the run begins after the contract has ended.", "运行开始时合同已到期。"),
    "not_released": ("somebody opened a result that was not released.", "有人打开了尚未披露的结果。"),
    "no_draft": ("a contract was proposed that nobody drafted.", "所提议的合同没有起草记录。"),
    "not_approved": (
        "a contract was proposed that nobody approved as it stands.",
        "所提议的合同未按其现有内容获得审批。",
    ),
    "own_approval": (
        "a contract was proposed that only its own author approved.",
        "所提议的合同只有起草人自己审批。",
    ),
    "nobody_accepted": (
        "a contract was accepted by no person and no rule of this party.",
        "接受合同的既非该方人员，也非该方规则。",
    ),
    "other_dataset": ("the dataset is not the one that the contract names.", "数据集并非合同所列。"),
    "no_basis": (
        "the consent basis is not stated, which the policy requires.",
        "策略要求注明同意依据，此处未注明。",
    ),
    "dataset_unnamed": (
        "points left before the log names their dataset.",
        "在日志注明数据集之前已有掩码标识发出。",
    ),
    # policy
    "policy_missing": ("the policy that it names is not in the bundle.", "其所指策略不在日志包中。"),
    "policy_facts": (
        "the policy that is attached has another {setting} than the entry says.",
        "所附策略的 {setting} 与记录不符。",
    ),
    "policy_named": (
        "a policy is set under another hash than the entry names.",
        "所设策略的哈希与记录所指不同。",
    ),
    "policy_unset": ("it names a policy that no entry has set.", "其所指策略没有任何记录设定。"),
    "looser": (
        "the contract's {setting} is looser than the policy allows.",
        "合同的 {setting} 低于策略要求。",
    ),
    "other_thresholds": ("the decision has other thresholds than the contract.", "该决定的阈值与合同不同。"),
    "decided_twice": ("the release of {release} was decided before.", "{release} 的披露此前已作决定。"),
    "no_decision": (
        "{name} left without a decision that allows {release}.",
        "{name} 在没有允许 {release} 的决定时即已发出。",
    ),
    "not_cosigned_before": (
        "{name} left before the partner had cosigned the decision (entry {decision}).",
        "{name} 在伙伴联署其决定（第 {decision} 条）之前即已发出。",
    ),
    "wrong_reader": (
        "the result was shown to a side that the contract does not name.",
        "结果展示给了合同未列的一方。",
    ),
    "not_spent": (
        "a session sent points and no run was spent for it.",
        "某次会话发出了掩码标识，却未消耗预算。",
    ),
    "over_budget": ("more runs were spent than the budget has.", "消耗的运行次数超出预算。"),
    "over_epsilon": ("more epsilon was spent than the budget has.", "消耗的 epsilon 超出预算。"),
    "miscounted": (
        "it says that less was spent than the log's own entries add up to.",
        "其所述消耗少于日志记录的合计。",
    ),
    "spent_elsewhere": (
        "the run was spent of another dataset than the contract names.",
        "所消耗的预算属于合同之外的数据集。",
    ),
    "other_epsilon": (
        "the run was spent with another epsilon than the contract's.",
        "所消耗的 epsilon 与合同不同。",
    ),
    "short_period": (
        "runs are counted over a shorter period than the policy says.",
        "运行次数的统计周期短于策略要求。",
    ),
    "clock": (
        "its time is more than a day away from what the partner's clock said as it cosigned {size} entries.",
        "其时间与伙伴联署 {size} 条记录时的时钟相差一天以上。",
    ),
    "no_policy": (
        "the party did this before it had set a policy.",
        "该方在设定策略之前即已执行此操作。",
    ),
    "unsealed": (
        "the decision commits to no counts, so that nobody can ever recompute it.",
        "该决定未承诺任何计数，无法重新计算。",
    ),
    "other_size": (
        "the opened details have another number of persons than the session's streams.",
        "公开明细中的人数与会话的数据流不符。",
    ),
    "places_missing": (
        "the opened details have not the groups that were decided on.",
        "公开明细缺少所决定的分组。",
    ),
    "other_budget": ("the run was held to another budget than the policy's.", "所用预算与策略不同。"),
    "details_form": ("the opened details are not those of a decision.", "公开的明细不是决定的明细。"),
    "size_out_of_range": ("a set is outside the contract's limits.", "某一方的集合超出合同限制。"),
    "threshold": (
        "a group's counts lead to another decision than was taken.",
        "某分组的计数所得结论与所作决定不同。",
    ),
    # egress
    "mixed": ("a session of another job stands in this one.", "此任务中出现了另一任务的会话。"),
    "not_allowed": (
        "{name} is nothing that a contract of kind {kind} allows.",
        "{kind} 类合同不允许 {name}。",
    ),
    "wrong_way": ("{name} is not for the {side} to send.", "{name} 不应由 {side} 发出。"),
    "twice": ("{name} stands in the log twice.", "{name} 在日志中出现两次。"),
    "wrong_bytes": ("{name} has other bytes than its elements take.", "{name} 的字节数与其元素不符。"),
    "out_of_limits": (
        "{name} has more or fewer elements than the contract allows.",
        "{name} 的元素数量超出合同范围。",
    ),
    "counts_differ": ("{name} has not as many elements as {like}.", "{name} 与 {like} 的元素数量不同。"),
    "no_stream": (
        "the job finished and the log has nothing that was sent.",
        "任务已完成，日志却无任何发送记录。",
    ),
    "incomplete": ("the job finished without {names}.", "任务已完成，却缺少 {names}。"),
}
