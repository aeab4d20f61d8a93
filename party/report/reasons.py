"""Why a figure is withheld, missing or to be read with care, in both languages."""

from __future__ import annotations

from typing import Final

# reason of `federated.results` or `party.figures` -> (English, Chinese)
REASONS: Final[dict[str, tuple[str, str]]] = {
    "below_min_group": ("fewer than {min_group} people", "不足 {min_group} 人"),
    "below_min_converters": ("fewer than {min_converters} converters", "转化不足 {min_converters} 人"),
    "dominated": ("a few people make up most of an amount", "金额主要由少数人构成"),
    "not_told_by_contract": ("the contract gives it to the other side", "按合同只提供给对方"),
    "all_withheld": ("every group of it is withheld", "其所有分组均不显示"),
    "no_such_arm": ("an arm has no people", "其中一组没有人"),
}

# `federated.statistics.Note`, or a note of `party.effects` -> (English, Chinese)
NOTES: Final[dict[str, tuple[str, str]]] = {
    "incomplete_arm": ("an arm leaves out withheld groups", "某组未计入不显示的分组"),
    "empty_arm": ("an arm has no people", "其中一组没有人"),
    "withheld": ("a count that is needed was withheld", "所需的人数不显示"),
    "zero_control": ("the control group's figure is zero", "对照组数字为零"),
    "negative_control": ("the control group's mean is negative", "对照组均值为负"),
    "control_near_zero": (
        "the control group's figure cannot be told from zero, so the relative interval is open",
        "对照组数字与零无法区分，相对区间无界",
    ),
    "no_variation": ("everybody has the same value", "所有人的数值相同"),
    "one_person": ("an arm has one person only", "其中一组只有一人"),
    "clamped_rate": (
        "noise moved a count out of range; the nearest possible rate stands in",
        "噪声使人数超出范围，以最接近的可能值代替",
    ),
    "clamped_variance": (
        "noise hid the variance; the noise's own size stands in",
        "噪声掩盖了方差，以噪声本身的大小代替",
    ),
    "noise_too_large": ("the noise leaves no bounded interval", "噪声过大，区间无界"),
    "few_large_amounts": (
        "few large amounts make up the total; the interval may be too narrow",
        "合计主要由少数大额构成，区间可能偏窄",
    ),
    "too_few_conversions": ("too few conversions", "转化过少"),
    "no_effect": ("no additional conversions, so no price", "没有新增转化，无法计算单价"),
    "includes_zero": ("the effect may be zero, so the cost has no upper bound", "效果可能为零，成本没有上限"),
    "no_cost": ("nothing was spent", "没有支出"),
    "sample_ratio_mismatch": ("the arms' sizes do not fit the plan", "各组人数与计划不符"),
    "sample_ratio_unchecked": ("the arms' sizes were not checked", "未核对各组人数"),
}

METHOD: Final[dict[str, tuple[str, str]]] = {
    "sum": (
        (
            "Both sides computed the figures together on encrypted data. Neither saw the other's people; nobody's "
            "single outcome was opened."
        ),
        "双方在加密数据上共同计算。任何一方都看不到对方的客户，也没有打开任何个人的结果。",
    ),
    "people": (
        (
            "People are the {holder}'s own people in a group. Matched are those of them whom the {values} sent "
            "({base}); converters are matched people with an outcome that counts; conversions are such outcomes."
        ),
        (
            "人数为{holder}自己在该组中的人数；匹配人数是其中{values}发送的人（{base}）；转化人数是至少有一次计入结果的人；"
            "转化次数是计入的结果次数。"
        ),
    ),
    "people_profile": (
        "People are the {holder}'s own people in a group. Matched are those of them whom the {values} sent ({base}).",
        "人数为{holder}自己在该组中的人数；匹配人数是其中{values}发送的人（{base}）。",
    ),
    "base_converters": ("people with an outcome only", "仅有结果的人"),
    "base_customers": ("all its customers", "全部客户"),
    "window": (
        (
            "An outcome counts from the day of the {exposure} exposure to {days} days after it, in calendar days of "
            "{timezone}."
        ),
        "结果从{exposure}曝光当日起至其后 {days} 天内计入，按 {timezone} 的日历日计算。",
    ),
    "first": ("first", "首次"),
    "last": ("last", "末次"),
    "no_window": (
        "All outcomes in the {values}'s data count, whenever they happened.",
        "{values}数据中的所有结果均计入，不限时间。",
    ),
    "wilson": (
        (
            "Intervals of rates are Wilson's, at 95 %. Means per person count people without an outcome as 0, with "
            "Student's interval."
        ),
        "转化率区间为 95% Wilson 区间；人均值把没有结果的人计为 0，区间用 t 分布。",
    ),
    "itt": (
        (
            "Everybody assigned to an arm is in it, reached or not (intention to treat). All arms but {control} "
            "are pooled as test."
        ),
        "凡分配到某组的人均计入该组，无论是否触达（意向性分析）。{control} 以外的各组合并为实验组。",
    ),
    "difference": (
        "Rates: Newcombe's interval of the difference, Donner and Zou's of the ratio. Means: Welch's and Fieller's.",
        "比率之差用 Newcombe 区间，比率之比用 Donner-Zou 区间；均值之差用 Welch 区间，均值之比用 Fieller 区间。",
    ),
    "nested": (
        (
            "A stage counts all who reached it or a later one. The {values}'s stages are counted among people who "
            "reached the {holder}'s last stage."
        ),
        "每个阶段统计到达该阶段或更后阶段的人。{values}的阶段只在到达{holder}最后阶段的人中统计。",
    ),
    "tags": (
        (
            "A share is the people with a tag among the group's matched people; the interval takes them for a sample "
            "of such people."
        ),
        "占比为该组匹配人数中带有该标签者的比例；其区间把这些人视为同类人群的样本。",
    ),
    "thresholds": (
        "Groups with fewer than {min_group} people or {min_converters} converters are withheld{dominance}.",
        "不足 {min_group} 人或转化不足 {min_converters} 人的分组不显示{dominance}。",
    ),
    "thresholds_profile": (
        "Groups and tags with fewer than {min_group} people are withheld, and others where they would tell those.",
        "不足 {min_group} 人的分组和标签不显示；会暴露它们的其他数字也不显示。",
    ),
    "dominance": (", and amounts that few people make up", "，主要由少数人构成的金额也不显示"),
    "exact": ("No noise was added: the figures are exact.", "未加噪声：数字为精确值。"),
    "unit": ("Amounts and costs are in the units of their columns.", "金额与成本的单位与原列一致。"),
}
