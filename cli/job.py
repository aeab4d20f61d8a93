"""``veiljoin job``: before a joint job is drafted: is the campaign large enough to show its effect?"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from federated.statistics import MINIMUM_CONVERSIONS, minimal_detectable_lift, plan, power
from psi.errors import UsageError

_TEXT: Final = {
    "en": {
        "persons": "To show a change of {lift} against a control rate of {rate} with a probability of {power}, the "
        "campaign needs {persons:,} persons: {control:,} in the control arm and {test:,} in the test arm.",
        "power": "With {persons:,} persons ({control:,} in the control arm, {test:,} in the test arm) a change of "
        "{lift} against a control rate of {rate} shows with a probability of {power}.",
        "lift": "With {persons:,} persons ({control:,} in the control arm, {test:,} in the test arm) the smallest "
        "increase over a control rate of {rate} that shows with a probability of {power} is {lift}.",
        "never": "With {persons:,} persons ({control:,} in the control arm, {test:,} in the test arm) no increase "
        "over a control rate of {rate} shows with a probability of {power}, not even if everybody in the test arm "
        "converts.",
        "expected": "Expected converters: {control_converters:,.0f} of control and {test_converters:,.0f} of test.",
        "low": "That is below {target}, so the campaign would probably end without an answer; "
        "leave --persons out to see how many it needs.",
        "few": "Fewer than {fewest} converters in all: the report will call its figures uncertain.",
        "method": "Two-sided test at {alpha}. Persons are those assigned to an arm, reached or not; the rate is that "
        "of control persons who convert within the window.",
        "noise": "Noise with a standard deviation of {deviation:g} converters per arm is taken into account.",
        "left_out": "The job adds noise (epsilon = {epsilon:g}), which takes more persons and is not in this answer; "
        "result.json of a rehearsal says its standard deviation, to be given with --noise.",
    },
    "zh": {
        "persons": "若要以 {power} 的概率检出相对对照组转化率 {rate} 的 {lift} 变化，活动需要 {persons:,} 人："
        "对照组 {control:,} 人，实验组 {test:,} 人。",
        "power": "共 {persons:,} 人（对照组 {control:,} 人，实验组 {test:,} 人）时，相对对照组转化率 {rate} 的 "
        "{lift} 变化被检出的概率为 {power}。",
        "lift": "共 {persons:,} 人（对照组 {control:,} 人，实验组 {test:,} 人）时，以 {power} 的概率能检出的最小提升"
        "（对照组转化率 {rate}）为 {lift}。",
        "never": "共 {persons:,} 人（对照组 {control:,} 人，实验组 {test:,} 人）时，在对照组转化率 {rate} 下，"
        "即使实验组全部转化，也无法以 {power} 的概率检出提升。",
        "expected": "预期转化人数：对照组 {control_converters:,.0f}，实验组 {test_converters:,.0f}。",
        "low": "该概率低于 {target}，活动很可能得不到结论；去掉 --persons 可查看所需人数。",
        "few": "转化人数合计不足 {fewest}：报告会注明结果不可靠。",
        "method": "双侧检验，显著性水平 {alpha}。人数指分到各组的人，无论是否触达；"
        "转化率指对照组在窗口期内转化者的比例。",
        "noise": "已计入各组转化人数上标准差为 {deviation:g} 的噪声。",
        "left_out": "该任务会加入噪声（epsilon = {epsilon:g}），需要更多人数，此处未计入；"
        "预演的 result.json 给出其标准差，可用 --noise 传入。",
    },
}


@dataclass(frozen=True, slots=True)
class PowerAnswer:
    """What was asked (persons | power | lift) and all figures of the answer; shares are between 0 and 1.

    ``lift`` is relative to ``control_rate`` and ``None`` where none could be shown. ``epsilon`` is that of a job
    file whose noise was not given, so that it is not in the answer.
    """

    question: str
    control_rate: float
    lift: float | None
    control: int
    test: int
    control_share: float
    alpha: float
    power: float
    target: float
    noise_deviation: float
    epsilon: float | None

    def as_data(self) -> dict[str, Any]:
        """Return the answer as plain data."""
        return {
            "question": self.question,
            "control_rate": self.control_rate,
            "lift": self.lift,
            "persons": self.control + self.test,
            "control_persons": self.control,
            "test_persons": self.test,
            "control_share": self.control_share,
            "alpha": self.alpha,
            "power": self.power,
            "noise_deviation": self.noise_deviation,
            "epsilon_left_out": self.epsilon,
            "expected_converters": None
            if self.lift is None
            else {"control": self.control_converters, "test": self.test_converters(self.lift)},
        }

    @property
    def control_converters(self) -> float:
        """Expected converters of the control arm."""
        return self.control * self.control_rate

    def test_converters(self, lift: float) -> float:
        """Expected converters of the test arm with ``lift``."""
        return self.test * self.control_rate * (1.0 + lift)


def job_power(arguments: argparse.Namespace) -> int:
    """Run ``veiljoin job power``; returns the exit status. Raises ``UsageError`` that names the option."""
    answer = _answer(arguments)
    if arguments.json:
        print(json.dumps(answer.as_data()))
    else:
        for line in _lines(answer, arguments.lang):
            print(line)
    return 0


def _answer(arguments: argparse.Namespace) -> PowerAnswer:
    rate, lift, persons = arguments.control_rate, arguments.lift, arguments.persons
    for option, value in (
        ("--control-rate", rate),
        ("--alpha", arguments.alpha),
        ("--power", arguments.power),
        ("--control-share", arguments.control_share),
    ):
        if value is not None and not 0.0 < value < 1.0:
            raise UsageError(
                f"{option} {value:g} does not lie between 0 and 1.", hint="write 5 % as 0.05 or 5%"
            )
    if arguments.power <= arguments.alpha:
        raise UsageError(
            f"--power {arguments.power:g} is not above --alpha {arguments.alpha:g}.",
            hint="0.8 and 0.05 are usual",
        )
    if arguments.noise is not None and not 0.0 <= arguments.noise < float("inf"):
        raise UsageError(
            f"--noise {arguments.noise:g} is out of range.", hint="give a standard deviation, 0 or more"
        )
    if arguments.find_lift and persons is None:
        raise UsageError("--find-lift needs --persons.", hint="give the persons of both arms together")
    if lift is not None and (lift == 0.0 or not 0.0 <= rate * (1.0 + lift) <= 1.0):
        raise UsageError(
            f"--lift {lift:g} cannot be: it is relative to --control-rate {rate:g}.",
            hint="0.1 means that 10 % more persons convert than in the control arm",
        )
    control_share, epsilon = _of_job(arguments)
    deviation = arguments.noise or 0.0
    noise = {"alpha": arguments.alpha, "converters_noise": deviation**2}
    if persons is None:
        planned = plan(rate, lift, test_share=1.0 - control_share, target=arguments.power, **noise)
        question, control, test, reached = "persons", planned.control, planned.test, planned.power
    else:
        control = round(persons * control_share)
        test = persons - control
        if min(control, test) < 1:
            raise UsageError(
                f"--persons {persons} leaves an arm without a person.",
                hint="give the persons of both arms together",
            )
        if arguments.find_lift:
            lift = minimal_detectable_lift(rate, control, test, target=arguments.power, **noise)
            question, reached = "lift", arguments.power
        else:
            question, reached = "power", power(rate, lift, control, test, **noise)
    return PowerAnswer(
        question,
        rate,
        lift,
        control,
        test,
        control_share,
        arguments.alpha,
        reached,
        arguments.power,
        deviation,
        epsilon if arguments.noise is None else None,
    )


def _of_job(arguments: argparse.Namespace) -> tuple[float, float | None]:
    """The share of control persons (as given, else as the job file plans it, else a half), and the job's epsilon."""
    path: Path | None = arguments.job
    given: float | None = arguments.control_share
    if path is None:
        return 0.5 if given is None else given, None
    # Here, so that the calculation without a job file runs in the smallest install.
    from party.jobfile import load_job

    job, _ = load_job(path)
    if job.sums is None or job.sums.arms is None:
        raise UsageError(
            f"The job file {path} has no arms to compare (kind = {job.kind.value!r}).",
            hint='name a job file with kind = "lift", or leave --job out',
        )
    planned = job.sums.arms.control_share
    if given is not None and planned is not None and given != planned:
        raise UsageError(
            f"--control-share {given:g} is not the control_share = {planned:g} in [arms] of {path}.",
            hint="leave --control-share out, or change the job file",
        )
    if given is None and planned is None:
        raise UsageError(
            f"[arms] of {path} does not say which share of the persons is control.",
            hint="add control_share = 0.5 there, or give --control-share",
        )
    epsilon = None if job.sums.epsilon is None else float(job.sums.epsilon)
    return next(share for share in (given, planned) if share is not None), epsilon


def _lines(answer: PowerAnswer, language: str) -> list[str]:
    text = _TEXT[language]
    figures = {
        "rate": _percent(answer.control_rate),
        "power": _percent(answer.power),
        "target": _percent(answer.target),
        "alpha": _percent(answer.alpha),
        "control": answer.control,
        "test": answer.test,
        "persons": answer.control + answer.test,
        "fewest": MINIMUM_CONVERSIONS,
        "deviation": answer.noise_deviation,
        "epsilon": answer.epsilon,
    }
    names = []
    if answer.lift is None:
        names.append("never")
    else:
        converters = answer.control_converters, answer.test_converters(answer.lift)
        figures |= {
            "lift": _change(answer.lift),
            "control_converters": converters[0],
            "test_converters": converters[1],
        }
        names += [answer.question, "expected"]
        if answer.power < answer.target:
            names.append("low")
        if sum(converters) < MINIMUM_CONVERSIONS:
            names.append("few")
    names.append("method")
    if answer.noise_deviation:
        names.append("noise")
    if answer.epsilon is not None:
        names.append("left_out")
    return [text[name].format(**figures) for name in names]


def _percent(value: float) -> str:
    """A share in percent, with three significant digits; what is not certain is not called so."""
    if 0.9995 <= value < 1.0:
        return ">99.9 %"
    return f"{float(f'{100.0 * value:.3g}'):g} %"


def _change(lift: float) -> str:
    """A relative change in percent, with its sign."""
    return f"{float(f'{100.0 * lift:.3g}'):+g} %"
