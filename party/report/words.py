"""The words of the report, each in both languages side by side, so that neither can lack one."""

from __future__ import annotations

from typing import Final

LANGUAGES: Final = ("en", "zh")
LANGUAGE_NAMES: Final = {"en": "English", "zh": "中文"}

# key -> (English, Chinese). Parameters in braces are the same in both.
WORDS: Final[dict[str, tuple[str, str]]] = {
    # what the report is
    "title_measure": ("Conversions by group", "各组转化"),
    "title_lift": ("What the campaign added", "活动带来的增量"),
    "title_funnel": ("From exposure to conversion", "从曝光到转化"),
    "title_profile": ("Profile of the joint audience", "共同人群画像"),
    "purpose": ("Purpose: {purpose}", "用途：{purpose}"),
    "language": ("Language", "语言"),
    "bank": ("bank", "银行"),
    "platform": ("platform", "平台"),
    "and": (" and ", "和"),
    "list_comma": (", ", "、"),
    "colon": (": ", "："),
    "paren": ("{text} ({inner})", "{text}（{inner}）"),
    # sections
    "in_short": ("In short", "要点"),
    "cautions": ("Before you use these figures", "使用前请注意"),
    "effect": ("Effect", "效果"),
    "arms": ("Arms", "实验组与对照组"),
    "money": ("What it brought and what it cost", "收益与成本"),
    "funnel": ("Funnel", "漏斗"),
    "groups": ("Groups", "分组"),
    "totals": ("Totals", "合计"),
    "method": ("How the figures were made", "数字的来历"),
    "learned": ("What each side learned", "双方各自得知的内容"),
    "details": ("Details of the run", "运行信息"),
    # columns
    "arm": ("arm", "组别"),
    "arm_name": ("arm {arm}", "{arm} 组"),
    "metric": ("figure", "指标"),
    "stage": ("stage", "阶段"),
    "side": ("where", "所在方"),
    "bank_persons": ("people in the bank's set", "银行集合人数"),
    "platform_persons": ("people in the platform's set", "平台集合人数"),
    "persons": ("people", "人数"),
    "persons_all": ("people in all groups", "所有分组的人数"),
    "persons_shown": ("people in the groups shown", "可显示分组的人数"),
    "matched": ("matched", "匹配人数"),
    "converters": ("converters", "转化人数"),
    "conversions": ("conversions", "转化次数"),
    "retained": ("retained", "留存人数"),
    "rate": ("conversion rate", "转化率"),
    "share": ("share of matched", "占匹配人数比例"),
    "interval": ("95 % interval", "95% 区间"),
    "cost": ("cost", "成本"),
    "sum_of": ("sum of {column}", "{column} 合计"),
    "mean_of": ("{column} per person", "人均 {column}"),
    "control": ("control", "对照组"),
    "test": ("test", "实验组"),
    "absolute": ("difference", "差值"),
    "relative": ("relative change", "相对变化"),
    "p_value": ("p value", "p 值"),
    "remarks": ("remarks", "备注"),
    "of_previous": ("of the stage before", "占上一阶段"),
    "of_first": ("of the first stage", "占第一阶段"),
    "figure": ("figure", "数字"),
    "value": ("value", "数值"),
    "incremental_converters": ("additional converters", "新增转化人数"),
    "incremental_value": ("additional {column}", "新增 {column}"),
    "cost_each": ("cost per additional converter", "每名新增转化的成本"),
    "return_of": ("additional {column} per 1 of cost", "每 1 成本带来的 {column}"),
    "percentage_points": ("{number} pp", "{number} 个百分点"),
    "tag": ("tag", "标签"),
    "tag_value": ("value of the tag", "标签值"),
    "first_rows": (
        "The first {shown} of {count} rows. {file} has all of them.",
        "仅列出 {count} 行中的前 {shown} 行，全部见 {file}。",
    ),
    # charts
    "chart_lift": (
        "Relative change by the campaign, with 95 % intervals",
        "活动带来的相对变化与 95% 区间",
    ),
    "chart_arms": ("Conversion rate by arm, with 95 % intervals", "各组转化率与 95% 区间"),
    "chart_groups": ("Conversion rate by group, with 95 % intervals", "各分组转化率与 95% 区间"),
    "chart_funnel": ("People at each stage", "各阶段人数"),
    "chart_tags": ("Share of the matched people, with 95 % intervals", "占匹配人数的比例与 95% 区间"),
    "chart_first": (
        "The {shown} largest of {count} groups; the table has more.",
        "仅画出 {count} 个分组中最大的 {shown} 个，其余见表格。",
    ),
    # details
    "d_job": ("job", "任务"),
    "d_contract": ("contract (SHA-256)", "合同（SHA-256）"),
    "d_identifier": ("identifier", "标识符"),
    "d_suite": ("suite", "密码套件"),
    "d_receiver": ("who reads the figures", "数字的接收方"),
    "d_rows": ("the {side}'s rows", "{side}行数"),
    "d_rejected": ("rejected by the {side}", "{side}剔除行数"),
    # numbers
    "percent": ("{number} %", "{number}%"),
    "span": ("{low} to {high}", "{low} 至 {high}"),
    "at_least": ("at least {low}", "不低于 {low}"),
    "at_most": ("at most {high}", "不高于 {high}"),
    "nothing": ("—", "—"),
    "withheld": ("withheld: {reason}", "不显示：{reason}"),
    # headlines
    "h_untold": (
        "The contract gives the figures of this job to the {reader} only.",
        "按合同，本任务的数字只提供给{reader}。",
    ),
    "h_all_withheld": ("Every figure of this job was withheld.", "本任务的所有数字均不显示。"),
    "h_mismatch": (
        "Do not use this comparison: the arms are not as large as planned, so not chance alone filled them.",
        "请勿使用本次对比：各组人数与计划不符，说明分组并非完全随机。",
    ),
    "h_gain": (
        "The campaign made {added} more people convert (95 % interval {span}){price}.",
        "活动使转化人数增加 {added} 人（95% 区间 {span}）{price}。",
    ),
    "h_unclear": (
        "No clear effect: the estimate is {added} converters, but the 95 % interval {span} includes zero.",
        "效果不明确：估计转化人数变化 {added} 人，但 95% 区间 {span} 包含零。",
    ),
    "h_loss": (
        "The campaign lost conversions: {added} fewer people converted (95 % interval {span}).",
        "活动反而减少了转化：转化人数减少 {added} 人（95% 区间 {span}）。",
    ),
    "h_price": (", at a cost of {cost} each ({span})", "，每名成本 {cost}（{span}）"),
    "h_rates": (
        "{test} of the test group converted, {control} of the control group{relative}.",
        "实验组转化率 {test}，对照组 {control}{relative}。",
    ),
    "h_relative": (": a change of {relative} ({span})", "：相对变化 {relative}（{span}）"),
    "h_value": (
        "{column}: {added} in total against no campaign (95 % interval {span}).",
        "{column}：相对无活动共变化 {added}（95% 区间 {span}）。",
    ),
    "h_return": (
        "Each 1 of cost brought back {value} of {column} (95 % interval {span}).",
        "每 1 成本带来 {column} {value}（95% 区间 {span}）。",
    ),
    "h_converted": (
        "{converters} of {persons} people converted{window}: {rate} (95 % interval {span}).",
        "{persons} 人中有 {converters} 人转化{window}：{rate}（95% 区间 {span}）。",
    ),
    "h_window": (" within {days} days", "（{days} 天内）"),
    "h_conversions": ("They converted {conversions} times.", "共转化 {conversions} 次。"),
    "h_sum": ("{column} adds up to {amount}.", "{column} 合计 {amount}。"),
    "h_best": (
        "The highest rate is in {group}: {rate} (95 % interval {span}).",
        "转化率最高的组：{group}，{rate}（95% 区间 {span}）。",
    ),
    "h_funnel": (
        "Of {persons} people who reached {first}, {reached} reached {last}: {share} (95 % interval {span}).",
        "到达 {first} 的 {persons} 人中，有 {reached} 人到达 {last}：{share}（95% 区间 {span}）。",
    ),
    "h_step": (
        "{persons} people reached {stage}: {share} of those who reached {previous}.",
        "{persons} 人到达 {stage}，占到达 {previous} 者的 {share}。",
    ),
    "h_step_first": ("{persons} people reached {stage}.", "{persons} 人到达 {stage}。"),
    "h_retained": (
        "Of all {converters} converters {retained} ({share}) were active again {days} days or more later.",
        "全部 {converters} 名转化者中，{retained} 人（{share}）在首次转化 {days} 天或更久之后再次活跃。",
    ),
    "h_matched": (
        "{matched} people of the joint audience were profiled, out of {persons} of the {holder}.",
        "画像覆盖共同人群 {matched} 人，来自{holder}的 {persons} 人。",
    ),
    "h_top_tag": (
        "{column}: {value} is the most frequent, {share}.",
        "{column}：{value} 占比最高，{share}。",
    ),
    "h_top_tag_of": (
        "{column} of {group}: {value} is the most frequent, {share}.",
        "{group} 的 {column}：{value} 占比最高，{share}。",
    ),
    # cautions
    "c_mismatch": (
        (
            "Sample ratio: {control} people in control and {test} in test were expected from the plan, p = {p}. "
            "Find out why before any figure here is used."
        ),
        "样本比例：按计划对照组应有 {control} 人、实验组 {test} 人，p = {p}。查明原因之前，请勿使用这里的任何数字。",
    ),
    "c_unchecked": (
        "The sizes of the arms were not checked against a plan: {why}.",
        "各组人数未与计划核对：{why}。",
    ),
    "c_no_plan": ("the job names no control_share", "任务未给出 control_share"),
    "c_incomplete_plan": ("groups are missing from an arm", "某组缺少部分分组"),
    "c_few": (
        "Fewer than {least} people converted in both arms together: these figures say more about chance.",
        "两组合计转化不足 {least} 人：这些数字更多反映偶然性。",
    ),
    "c_incomplete_arm": (
        (
            "An arm leaves out groups that may not be told: those with few converters are missing, so the effect may "
            "be overstated; run the job again with fewer groups to compare whole arms."
        ),
        "某一组未计入不可显示的分组，缺少转化少的分组，效果可能被高估；请减少分组后重新运行，以比较完整的组。",
    ),
    "c_released": (
        "Totals leave out groups that a full total would give away.",
        "合计未计入可由合计推算出的不显示分组。",
    ),
    "c_groups_one": ("1 group is withheld: {reasons}.", "1 个分组不显示：{reasons}。"),
    "c_groups": ("{count} groups are withheld: {reasons}.", "{count} 个分组不显示：{reasons}。"),
    "c_reason": ("{reason} ({count})", "{reason}（{count} 个）"),
    "c_figure": ("{figure} is not shown{where}: {reason}.", "{figure} 不显示{where}：{reason}。"),
    "c_figures": (
        "Single figures of {count} groups are not shown; the table says which and why.",
        "有 {count} 个分组的部分数字不显示，表中列出了具体数字和原因。",
    ),
    "c_in_totals": (" in the totals", "（合计）"),
    "c_where": (" for {group}", "（{group}）"),
    "c_noise": (
        (
            "Noise was added to protect individuals (epsilon = {epsilon}): a group's number of converters is off by "
            "about {deviation} people. All intervals include it."
        ),
        "为保护个人加入了随机噪声（epsilon = {epsilon}）：每组转化人数偏差约 {deviation} 人，区间已包含该影响。",
    ),
    "c_noise_matched": (
        (
            "Noise was added to protect individuals (epsilon = {epsilon}): the number of matched people is off by "
            "about {deviation}. All intervals include it."
        ),
        "为保护个人加入了随机噪声（epsilon = {epsilon}）：每组匹配人数偏差约 {deviation} 人，区间已包含该影响。",
    ),
    "c_moved": (
        (
            "For {persons} people the window begins up to {days} days after exposure, because days with few people "
            "were put together. Outcomes before that are missing."
        ),
        "有 {persons} 人的窗口起点比其曝光日最多晚 {days} 天，因为人数少的日期被合并；在此之前的结果未计入。",
    ),
    "c_clipped": (
        "The {side} cut {count} outcomes to the bounds of the contract.",
        "{side}有 {count} 条结果按合同界限被截断。",
    ),
    "c_no_control": (
        (
            "These rates are no effect of the campaign: those who would have converted anyway are among them. Only a "
            "comparison with a control group (kind lift) tells what it added."
        ),
        "这些转化率不等于活动效果：其中包括本来就会转化的人。只有与对照组比较（lift 任务）才能得知增量。",
    ),
    "c_order": (
        "Only the arms are known to be comparable. Other groups may differ for reasons of their own.",
        "只有实验组与对照组可比。其他分组之间的差异不一定由分组因素造成。",
    ),
    "c_large": (
        "{column}: few large amounts make up the total, so the interval may be too narrow.",
        "{column}：合计主要由少数大额构成，区间可能偏窄。",
    ),
}
