"""``veiljoin policy``: the own limits, budget and standing rules, and what they make of a job file."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from party.home import POLICY_FILE, Home
from party.jobfile import load_job
from party.policy import NO_POLICY, Policy, stricter
from party.policydigest import policy_bytes

_TEXT: Final = {
    "en": {
        "source": "{source}; a running node takes up an edit within seconds.",
        "digest": "In the log it is {digest}.",
        "default": "The default policy; {file} would change it.",
        "standing": "standing rule {name!r}: {kinds} over {datasets}",
        "none": "No standing rule: every proposal waits for a person.",
        "fits": "The job keeps to the policy as it is.",
    },
    "zh": {
        "source": "{source}；运行中的节点会在数秒内采用修改。",
        "digest": "在日志中为 {digest}。",
        "default": "默认策略；可用 {file} 修改。",
        "standing": "常设规则 {name!r}：{kinds}，数据集 {datasets}",
        "none": "没有常设规则：每个提议都由人批准。",
        "fits": "该任务符合策略。",
    },
}


def show(arguments: argparse.Namespace) -> int:
    """Print the policy; returns the exit status."""
    with Home.open(arguments.home) as home:
        policy, written = home.policy, (home.folder / POLICY_FILE).exists()
    facts = _as_data(policy)
    if arguments.json:
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    text = _TEXT[arguments.lang]
    file = arguments.home / POLICY_FILE
    print(text["source"].format(source=policy.source) if written else text["default"].format(file=file))
    print(text["digest"].format(digest=facts["digest"]))
    for section in ("limits", "budget", "differencing", "lifetime", "audit"):
        print(f"[{section}]")
        for key, value in facts[section].items():
            if value is not None:
                print(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    for rule in policy.standing:
        kinds, datasets = ", ".join(rule.kinds), ", ".join(rule.datasets)
        print(text["standing"].format(name=rule.name, kinds=kinds, datasets=datasets))
    if not policy.standing:
        print(text["none"])
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Say what the policy would make stricter in a job; returns the exit status."""
    job, _ = load_job(arguments.file)
    with Home.open(arguments.home) as home:
        _, changes = stricter(job, home.policy, NO_POLICY)
    if arguments.json:
        rows = [{"key": each.key, "before": each.before, "after": each.after} for each in changes]
        print(json.dumps({"changes": rows}, ensure_ascii=False))
        return 0
    for change in changes:
        print(change.zh if arguments.lang == "zh" else change.en)
    if not changes:
        print(_TEXT[arguments.lang]["fits"])
    return 0


def _as_data(policy: Policy) -> dict[str, Any]:
    limits, budget, differencing = policy.limits, policy.budget, policy.differencing
    hours = int(budget.period.total_seconds() // 3600)
    period = f"{hours} hours" if hours % 24 else f"{hours // 24} days"
    rules = policy.audit
    return {
        "digest": policy_bytes(policy)[0],
        "limits": {
            "min_group": limits.min_group,
            "min_converters": limits.min_converters,
            "dominance": limits.dominance,
            "max_set": limits.max_set,
            "max_growth": None if limits.max_growth is None else float(limits.max_growth),
            "epsilon": None if limits.epsilon is None else float(limits.epsilon),
        },
        "budget": {"period": period, "runs": budget.runs, "epsilon": float(budget.epsilon)},
        "differencing": {"action": differencing.action, "min_difference": differencing.min_difference},
        "lifetime": {"result_days": policy.result_days},
        "audit": {"key": None if rules.key is None else rules.key.hex(), "unwitnessed": rules.unwitnessed},
        "standing": [
            {
                "name": rule.name,
                "partners": rule.partners,
                "kinds": rule.kinds,
                "purposes": rule.purposes,
                "datasets": rule.datasets,
                "max_set": rule.max_set,
            }
            for rule in policy.standing
        ],
    }
