"""The grouped sums of the demo: what is asked over the synthetic campaign, as job files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Question:
    """One job: its kind, the question in English and Chinese, and the job file's text after the first lines."""

    kind: str
    text: tuple[str, str]
    job: str


QUESTIONS: Final = (
    Question(
        "profile",
        (
            "What are the bank's segments interested in? The platform holds the tags.",
            "银行各客群的兴趣是什么？标签由平台持有。",
        ),
        """\
purpose = "choose the offer for each segment"
identifier = "phone"
value_holder = "platform"

[bank]
identifier = "mobile"
groups = ["segment"]

[platform]
identifier = "phone"
tags = ["interest"]
""",
    ),
    Question(
        "measure",
        (
            "What did each creative bring, within seven days of the first exposure?",
            "首次曝光后七天内，各创意带来了多少转化？",
        ),
        """\
purpose = "see which creative binds most cards"
identifier = "phone"
receiver = "both"

[bank]
identifier = "mobile"
time = "converted_at"

[bank.values]
amount = { max = 5000, scale = 100 }

[platform]
identifier = "phone"
time = "exposed_at"
groups = ["creative"]
cost = "cost"

[window]
days = 7
exposure = "first"
timezone = "Asia/Shanghai"
""",
    ),
    Question(
        "lift",
        (
            "What would not have happened without the campaign? Test against control, everybody as assigned.",
            "没有这次活动，哪些转化不会发生？按分组比较实验组与对照组。",
        ),
        """\
purpose = "see what the campaign added to card binding"
identifier = "phone"
receiver = "both"

[bank]
identifier = "mobile"
time = "converted_at"

[bank.values]
amount = { max = 5000, scale = 100 }

[platform]
identifier = "phone"
time = "exposed_at"
groups = ["arm", "creative"]
cost = "cost"

[window]
days = 7

[arms]
column = "arm"
control = "control"
control_share = 0.5
""",
    ),
    Question(
        "funnel",
        (
            "Where do people stop on the way from the offer to the loan, and who comes back?",
            "从看到优惠到用款，客户在哪一步流失？谁会再来？",
        ),
        """\
purpose = "find the step at which people leave"
identifier = "phone"
base = "converters"

[bank]
identifier = "mobile"
time = "converted_at"
stages = ["bound", "activated", "drawn"]

[platform]
identifier = "phone"
time = "exposed_at"
stages = ["exposed", "clicked"]

[window]
days = 7
retention_days = 10
""",
    ),
)
