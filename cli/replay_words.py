"""What ``veiljoin audit replay`` says, in both languages: names of streams, verdicts, what a difference means."""

from __future__ import annotations

from typing import Final

# stream or single message -> (English, Chinese)
NAMES: Final = {
    "receiver_announce": ("the receiver's announcement", "接收方的声明"),
    "sender_announce": ("the sender's announcement", "发送方的声明"),
    "value_announce": ("the value holder's announcement", "数值方的声明"),
    "group_announce": ("the group holder's announcement", "分组方的声明"),
    "receiver_points": ("the receiver's masked points", "接收方的掩码点"),
    "sender_points": ("the sender's masked points", "发送方的掩码点"),
    "value_points": ("the value holder's masked points", "数值方的掩码点"),
    "group_points": ("the group holder's masked points", "分组方的掩码点"),
    "receiver_tokens": ("the tokens of the receiver's points", "接收方各点的令牌"),
    "sender_tokens": ("the tokens of the sender's points", "发送方各点的令牌"),
    "group_tokens": ("the tokens of the group holder's points", "分组方各点的令牌"),
    "value_sums": ("the encrypted values", "加密的数值"),
    "nonce_of_value_holder": ("the value holder's nonce", "数值方的随机数"),
    "nonce_of_group_holder": ("the group holder's nonce", "分组方的随机数"),
    "cell_sums": ("the encrypted sums of the groups", "各分组的加密总和"),
    "verdict": ("which groups pass", "哪些分组通过"),
    "openings": ("the opened masks and labels", "公开的掩码与名称"),
    "table": ("the table of figures", "数字表"),
    "token_commitment": ("the commitment to tokens", "对令牌的承诺"),
}
# Of these the number of elements is told too; the others are single messages.
STREAM_ENDINGS: Final = ("_points", "_tokens", "value_sums")
OUTCOMES: Final = {
    "equal": ("equal", "一致"),
    "differs": ("DIFFERS", "不一致"),
    "unlogged": ("not in the log", "日志中没有"),
    "unmade": ("only in the log", "仅日志中有"),
}
DIRECTIONS: Final = (("received", "接收"), ("sent", "发送"))
VERDICTS: Final = {
    "equal": (
        "All that the log says was sent is what seed, input and received messages give.",
        "日志所记的全部发送内容，与由种子、输入和所收到的消息得出的一致。",
    ),
    "announcement": (
        "The {side} announced something else than this seed and this input give.",
        "{side}当时所声明的，与由此种子和此输入得出的不一致。",
    ),
    "not_logged": (
        "The log has no stream of this run.",
        "日志中没有本次运行的任何数据流。",
    ),
    "kept": (
        "The kept messages are not those that the log names: {name}.",
        "保留的消息不是日志所记的消息：{name}。",
    ),
    "sent": (
        "The bytes sent are not those that seed and input give: {name}.",
        "发送的字节与由种子和输入得出的不一致：{name}。",
    ),
    "refused": (
        "A party that keeps to the protocol would have ended the run at one of the kept messages.",
        "遵守协议的一方在收到其中某条保留的消息时就会终止运行。",
    ),
}
_POINTS: Final = (
    (
        "Either its rows went under other secrets than the job's one scalar, such as a scalar of its own per row, or "
        "persons were sent that are not in this input."
    ),
    "要么其各行使用了本任务唯一标量以外的密钥（例如逐行使用不同标量），要么发送了此输入中没有的人。",
)
_TOKENS: Final = (
    "What it received was not masked with the job's one scalar, or went back in another order than the seed gives.",
    "它没有用本任务唯一的标量处理所收到的内容，或返回的顺序与种子所定的不同。",
)
_NONCE: Final = (
    "Its nonce was chosen instead of drawn, so it could choose the partner's noise.",
    "其随机数是挑选的而非由种子得出，因此可以左右对方的噪声。",
)
# what is different -> what that means
SENT: Final = {
    "receiver_points": _POINTS,
    "sender_points": _POINTS,
    "value_points": _POINTS,
    "group_points": _POINTS,
    "receiver_tokens": _TOKENS,
    "sender_tokens": _TOKENS,
    "group_tokens": _TOKENS,
    "nonce_of_value_holder": _NONCE,
    "nonce_of_group_holder": _NONCE,
    "value_sums": (
        "It encrypted other values than those of this input, or attached them to other persons.",
        "它加密的数值不是此输入中的数值，或被附在了别人身上。",
    ),
    "cell_sums": (
        "A sum is false: not of the rows that match, or without the noise that the contract asks for.",
        "总和有误：不是匹配行的总和，或缺少合同要求的噪声。",
    ),
    "verdict": (
        (
            "It let groups pass, or withheld groups, against the thresholds, or without the noise that the contract "
            "asks for."
        ),
        "它违背阈值放行或隐去了分组，或缺少合同要求的噪声。",
    ),
    "openings": (
        "It opened other masks, labels or counts of withheld groups than those of this run.",
        "它公开的掩码、名称或被隐去分组的数目不是本次运行的。",
    ),
    "table": (
        "It told other figures than it read, or left out the noise that the contract asks for.",
        "它告知的数字与其读到的不同，或缺少合同要求的噪声。",
    ),
}
UNMADE: Final = (
    "The log names a message that an honest run of this seed and input does not have.",
    "日志记有一条消息，而按此种子和输入诚实运行不会有该消息。",
)
UNLOGGED: Final = (
    "It was sent, and the log does not say so though the result was allowed.",
    "它已发送，结果也已放行，但日志中没有记录。",
)
ANNOUNCEMENTS: Final = {
    True: (
        "Input and seed are those that the log names, so the sizes or the commitment to the seed were false.",
        "输入和种子与日志所记的相同，因此声明的人数或对种子的承诺是假的。",
    ),
    False: (
        (
            "The log names another input commitment: bring the file as it was when the job ran, or this is not what "
            "the party ran on."
        ),
        "日志记的是另一个输入承诺：请提供任务运行时的原文件，否则该方运行时用的并非此文件。",
    ),
    None: (
        "Bring the file as it was when the job ran; if it is that one, the party ran on other data or another seed.",
        "请提供任务运行时的原文件；若确是该文件，则该方运行时用的是别的数据或别的种子。",
    ),
}
NOTHING_SAID: Final = (
    "Nothing can be said of what the {side} sent until the kept messages are the true ones.",
    "在保留的消息为真实消息之前，无法判断{side}发送了什么。",
)
