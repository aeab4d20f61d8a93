"""The words of an evidence pack's page, in English and Chinese. What entries say is in :mod:`audit.words`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PAGE: Final[Mapping[str, tuple[str, str]]] = {
    "title": ("Evidence pack: {kind} of {bank} and {platform}", "证据包：{bank} 与 {platform} 的{kind}"),
    "title_alone": ("Evidence pack: job {job}", "证据包：任务 {job}"),
    "purpose": ("Purpose: {purpose}", "用途：{purpose}"),
    "source": (
        "From the log of {name} ({role}), {log}, exported {exported}. All times are UTC.",
        "来自 {name}（{role}）的日志 {log}，导出时间 {exported}。所有时间均为 UTC。",
    ),
    "in_short": ("In short", "概要"),
    "cautions": ("To be looked at", "需要注意"),
    "agreed": ("What was agreed", "约定内容"),
    "course": ("Who did what, and when", "谁在何时做了什么"),
    "card": ("The disclosure card, as this party words it", "披露卡（由本方表述）"),
    "card_told": (
        (
            "Both parties signed the card's SHA-256 in the contract. These sentences are this party's wording of that"
            " card, which nothing here checks."
        ),
        "双方在合同中签署的是披露卡的 SHA-256。以下文字是本方对该卡的表述，此处未作核对。",
    ),
    "left": ("What left each side", "各方发出的内容"),
    "decisions": ("Decisions before each release", "每次释放前的决定"),
    "checking": ("How this can be checked", "如何核验"),
    "unproven": ("What no log can prove", "日志无法证明的事项"),
    "entries": ("All entries of the job", "该任务的全部条目"),
    # in short
    "s_drafted": ("Drafted by {actor} on {time}.", "由 {actor} 于 {time} 起草。"),
    "s_approved": (
        "Approved for the {side} by {actor} on {time}.",
        "由 {actor} 于 {time} 代表{side}批准。",
    ),
    "s_proposed": ("Signed by the bank on {time}.", "银行于 {time} 签署。"),
    "s_accepted": ("Signed by the platform on {time}.", "平台于 {time} 签署。"),
    "s_signed": (
        "The contract carries the signatures of both parties, and both hold.",
        "合同带有双方签名，且均有效。",
    ),
    "s_left": (
        "{count} messages left the {side}, {bytes} bytes in all.",
        "{side}共发出 {count} 项消息，合计 {bytes} 字节。",
    ),
    "s_decided": (
        (
            "{count} decisions allowed a release; {cosigned} of them are in a checkpoint that the "
            "partner signed."
        ),
        "{count} 项决定允许释放；其中 {cosigned} 项已包含在对方签署的检查点中。",
    ),
    "s_released": (
        "At this side the result was released on {time}, to: {to}.",
        "本方结果于 {time} 释放，可读方：{to}。",
    ),
    "s_read": (
        "It was read {count} times, last by {actor} on {time}.",
        "已读取 {count} 次，最近由 {actor} 于 {time} 读取。",
    ),
    "s_purged": ("It was deleted on {time}.", "结果已于 {time} 删除。"),
    # cautions
    "c_rehearsal": (
        "This was a rehearsal: one machine played both parties, with both parties' files.",
        "这是一次演练：一台机器使用双方的文件扮演双方。",
    ),
    "c_contract": ("The bundle holds no contract of this job.", "包中没有该任务的合同。"),
    "c_unsigned": (
        "The signature of the {side} under the contract is missing or does not hold.",
        "{side}在合同上的签名缺失或无效。",
    ),
    "c_card": ("The text of the disclosure card is not in the bundle.", "包中没有披露卡文本。"),
    "c_refused": (
        "Entry {sequence}: the release of {release} was refused.",
        "条目 {sequence}：拒绝释放{release}。",
    ),
    "c_uncosigned": (
        "Entry {sequence}: no checkpoint that the partner signed covers the decision to release {release}.",
        "条目 {sequence}：释放{release}的决定未包含在对方签署的任何检查点中。",
    ),
    "c_attempts": (
        "The run was begun {count} times; each attempt is listed.",
        "任务运行了 {count} 次；各次均已列出。",
    ),
    "c_unfinished": ("The log does not say that the job was done.", "日志中没有任务完成的记录。"),
    "c_unexpected": (
        "Entry {sequence}: {name} is not among the messages that a contract of this kind allows.",
        "条目 {sequence}：此类合同不允许发送“{name}”。",
    ),
    # what was agreed
    "a_kind": ("Kind", "类型"),
    "a_purpose": ("Purpose", "用途"),
    "a_side": ("The {side}", "{side}方"),
    "a_party": ("{name}, dataset {dataset}", "{name}，数据集 {dataset}"),
    "a_identifier": ("Matched on", "匹配标识"),
    "a_receiver": ("Who receives the result", "结果接收方"),
    "a_min_group": ("Smallest group", "最小群体"),
    "a_max_set": ("Largest set", "最大集合"),
    "a_min_converters": ("Fewest converters of a group", "分组最少转化者"),
    "a_dominance": ("Dominance rule", "主导规则"),
    "a_epsilon": ("Noise (epsilon)", "噪声（epsilon）"),
    "a_exact": ("none: figures are exact", "无：数值精确"),
    "a_suite": ("Cryptographic suite", "密码套件"),
    "a_expires": ("Contract ends", "合同到期"),
    "a_hash": ("Contract, SHA-256", "合同 SHA-256"),
    "a_card": ("Disclosure card, SHA-256", "披露卡 SHA-256"),
    "persons": ("{count} persons", "{count} 人"),
    # tables
    "t_time": ("Time (UTC)", "时间（UTC）"),
    "t_actor": ("Who", "操作者"),
    "t_said": ("What", "内容"),
    "t_sequence": ("Entry", "条目"),
    "t_message": ("Message", "消息"),
    "t_count": ("How many", "数量"),
    "t_bytes": ("Bytes", "字节"),
    "t_each": ("Bytes each", "每项字节"),
    "t_allowed": ("Allowed by the contract", "合同是否允许"),
    "t_release": ("Release of", "释放内容"),
    "t_outcome": ("Decision", "决定"),
    "t_thresholds": ("With thresholds", "所用阈值"),
    "t_cosigned": ("Signed by the partner before the release", "释放前对方签署"),
    "t_proof": ("Proved to be in checkpoint", "包含证明所在检查点"),
    "t_sum": ("Together", "合计"),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "not_at_all": ("not signed", "未签署"),
    "cosigned": ("{partner}, checkpoint {size}, {time}", "{partner}，检查点 {size}，{time}"),
    "attempt": ("Attempt {number}, session {session}", "第 {number} 次运行，会话 {session}"),
    "left_side": ("From the {side} to the {other}", "{side}至{other}"),
    "bytes": ("{count} bytes", "{count} 字节"),
    "chart": ("Bytes that left each side", "各方发出的字节数"),
    "no_messages": (
        "The log has no message of this job: no data moved.",
        "日志中没有该任务的消息：没有数据传输。",
    ),
    "no_decisions": ("The log has no decision of this job.", "日志中没有该任务的决定。"),
    "left_note": (
        (
            "These are all messages of the job that the log names. Masked identifiers and tokens are points "
            "multiplied by a secret that is made for this job alone and destroyed at its end; "
            "encrypted values are "
            "Paillier ciphertexts."
        ),
        (
            "以上为日志中该任务的全部消息。掩码标识与令牌是乘以本任务专用且结束即销毁的秘密值的曲线点；"
            "加密数值为 Paillier 密文。"
        ),
    ),
    "budget": ("Privacy budget", "隐私预算"),
    # how it is checked
    "h_page": (
        (
            "This page shows what the log says; it proves nothing by itself. The file {bundle} "
            "beside it is what can be "
            "checked, and this page can be made again from it."
        ),
        "本页展示日志所述内容，其本身不是证明。可核验的是旁边的文件 {bundle}，本页可由该文件重新生成。",
    ),
    "h_install": (
        (
            "Install Veiljoin's wheel from a source that you trust, in an environment of its own. "
            "No network, no key and "
            "no customer data is needed."
        ),
        "从可信来源在独立环境中安装 Veiljoin。无需网络、密钥或客户数据。",
    ),
    "h_verify": ("Verify:", "核验："),
    "h_remake": ("Make this page again, and compare:", "重新生成本页并比对："),
    "h_contract": (
        "The SHA-256 of {file} is that of the contract: {hash}",
        "{file} 的 SHA-256 即合同的哈希：{hash}",
    ),
    "h_proofs": (
        (
            "{count} of {entries} entries carry a proof that they are in the checkpoint of {size} "
            "entries, which "
            "{partner} signed on {time}."
        ),
        (
            "{entries} 个条目中有 {count} 个附有证明，表明其包含在 {size} 条的检查点中，该检查点由 "
            "{partner} 于 {time} 签署。"
        ),
    ),
    "h_unsigned": (
        (
            "{count} of {entries} entries carry a proof that they are in the checkpoint of {size} "
            "entries, which no "
            "partner has signed."
        ),
        "{entries} 个条目中有 {count} 个附有证明，表明其包含在 {size} 条的检查点中，该检查点未获对方签署。",
    ),
    "h_whole": (
        "This page was made from a whole log; its entries need no proofs of their own.",
        "本页由完整日志生成，条目无需单独的证明。",
    ),
    "h_both": (
        (
            "Ask the other party for its bundle too: with both, the verifier compares message by "
            "message what each "
            "says was sent, and sees whether either dropped the end of its log."
        ),
        (
            "请同时向另一方索取其日志包：有了双方的日志，可逐条比对双方所述的传输内容，"
            "并能发现任何一方是否删去日志末尾。"
        ),
    ),
    # what no log can prove
    "u_inputs": (
        (
            "That a party entered its true customers and outcomes. Limits, budgets and the "
            "committed input are the answer "
            "to that."
        ),
        "一方录入的客户与结果是否真实。对此依靠限额、预算和对输入的承诺。",
    ),
    "u_channels": (
        "That the parties did not exchange data on other channels.",
        "双方是否通过其他渠道交换数据。",
    ),
    "u_collusion": (
        "Anything, if both parties together made up their logs.",
        "若双方合谋伪造日志，则无法证明任何事项。",
    ),
    "u_tail": (
        "That nothing happened after the newest checkpoint that the partner signed.",
        "对方签署的最新检查点之后是否还发生过其他事项。",
    ),
    "u_actors": (
        (
            "That a person of a name did what stands under that name: the party's own login says so, "
            "and the log keeps it."
        ),
        "某操作确由署名者本人所为：日志记录的是该方系统登录的身份。",
    ),
}
