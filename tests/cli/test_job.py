"""``veiljoin job power``: what is asked, what is answered, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from federated.statistics import plan, power

LIFT_JOB = """\
kind = "lift"
purpose = "test"
identifier = "phone"
[bank]
identifier = "mobile"
[platform]
identifier = "phone"
[arms]
column = "arm"
control = "control"
{share}
"""


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The answer as plain data."""
    assert main(["job", "power", *arguments, "--json"]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one sentence of a refusal, which names the option."""
    assert main(["job", "power", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("Hint:  ")
    return lines[0].removeprefix("Error: ")


def test_the_persons_that_are_needed(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "--control-rate", "2%", "--lift", "10%")
    # ((1.959964 sqrt(2 * 0.021 * 0.979) + 0.841621 sqrt(0.02 * 0.98 + 0.022 * 0.978)) / 0.002)^2 is 80,681.4.
    assert (found["control_persons"], found["test_persons"]) == (80_682, 80_682)
    assert found["persons"] == 161_364
    assert found["question"] == "persons"
    assert found["power"] == pytest.approx(0.8, abs=1e-4)
    assert found["expected_converters"]["test"] == pytest.approx(80_682 * 0.022)


def test_the_power_of_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(
        capsys, "--control-rate", "0.02", "--lift", "0.1", "--persons", "50000", "--control-share", "0.1"
    )
    assert (found["control_persons"], found["test_persons"]) == (5_000, 45_000)
    assert found["power"] == power(0.02, 0.1, 5_000, 45_000)
    assert found["question"] == "power"


def test_the_smallest_lift_that_shows(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "--control-rate", "2%", "--find-lift", "--persons", "50000", "--power", "90%")
    assert power(0.02, found["lift"], 25_000, 25_000) == pytest.approx(0.9, abs=1e-9)
    assert found["question"] == "lift"


def test_no_lift_that_shows(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--control-rate", "2%", "--find-lift", "--persons", "4"]
    assert answer(capsys, *arguments)["lift"] is None
    assert main(["job", "power", *arguments]) == 0
    assert "not even if everybody in the test arm converts" in capsys.readouterr().out


def test_noise_costs_persons(capsys: pytest.CaptureFixture[str]) -> None:
    without = answer(capsys, "--control-rate", "2%", "--lift", "20%")
    noised = answer(capsys, "--control-rate", "2%", "--lift", "20%", "--noise", "30")
    planned = plan(0.02, 0.2, converters_noise=900.0)
    assert noised["persons"] == planned.persons > without["persons"]


def test_the_job_file_says_how_many_are_control(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    job = tmp_path / "JOB.toml"
    job.write_text(LIFT_JOB.format(share="control_share = 0.2"), encoding="utf-8")
    arguments = ["--control-rate", "2%", "--lift", "10%", "--persons", "1000", "--job", str(job)]
    assert answer(capsys, *arguments)["control_persons"] == 200
    assert answer(capsys, *arguments, "--control-share", "20%")["control_persons"] == 200
    assert refused(capsys, *arguments, "--control-share", "30%") == (
        f"--control-share 0.3 is not the control_share = 0.2 in [arms] of {job}."
    )


def test_noise_of_the_job_that_is_not_in_the_answer_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    job = tmp_path / "JOB.toml"
    text = LIFT_JOB.format(share="control_share = 0.5") + "[policy]\nepsilon = 2\n"
    job.write_text(text, encoding="utf-8")
    arguments = ["--control-rate", "2%", "--lift", "10%", "--job", str(job)]
    assert answer(capsys, *arguments)["epsilon_left_out"] == 2.0
    assert answer(capsys, *arguments, "--noise", "40")["epsilon_left_out"] is None
    for language in ("en", "zh"):
        assert main(["job", "power", *arguments, "--lang", language]) == 0
        assert "epsilon = 2" in capsys.readouterr().out.splitlines()[-1]


def test_a_job_file_without_the_share(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    job = tmp_path / "JOB.toml"
    job.write_text(LIFT_JOB.format(share=""), encoding="utf-8")
    arguments = ["--control-rate", "2%", "--lift", "10%", "--persons", "1000", "--job", str(job)]
    assert (
        refused(capsys, *arguments) == f"[arms] of {job} does not say which share of the persons is control."
    )
    assert answer(capsys, *arguments, "--control-share", "0.4")["control_persons"] == 400
    job.write_text(
        'kind = "overlap"\npurpose = "test"\nidentifier = "phone"\nreceiver = "bank"\n'
        '[bank]\nidentifier = "mobile"\n[platform]\nidentifier = "phone"\n',
        encoding="utf-8",
    )
    assert refused(capsys, *arguments) == f"The job file {job} has no arms to compare (kind = 'overlap')."


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--control-rate", "2", "--lift", "10%"], "--control-rate 2 does not lie between 0 and 1."),
        (
            ["--control-rate", "2%", "--lift", "10%", "--alpha", "5"],
            "--alpha 5 does not lie between 0 and 1.",
        ),
        (
            ["--control-rate", "2%", "--lift", "10%", "--power", "1"],
            "--power 1 does not lie between 0 and 1.",
        ),
        (
            ["--control-rate", "2%", "--lift", "10%", "--power", "4%"],
            "--power 0.04 is not above --alpha 0.05.",
        ),
        (
            ["--control-rate", "2%", "--lift", "10%", "--control-share", "nan"],
            "--control-share nan does not lie between 0 and 1.",
        ),
        (["--control-rate", "2%", "--find-lift"], "--find-lift needs --persons."),
        (
            ["--control-rate", "60%", "--lift", "1"],
            "--lift 1 cannot be: it is relative to --control-rate 0.6.",
        ),
        (
            ["--control-rate", "2%", "--lift", "0"],
            "--lift 0 cannot be: it is relative to --control-rate 0.02.",
        ),
        (
            ["--control-rate", "2%", "--lift", "nan"],
            "--lift nan cannot be: it is relative to --control-rate 0.02.",
        ),
        (
            ["--control-rate", "2%", "--lift", "10%", "--persons", "1"],
            "--persons 1 leaves an arm without a person.",
        ),
        (["--control-rate", "2%", "--lift", "10%", "--noise", "-1"], "--noise -1 is out of range."),
        (["--control-rate", "2%", "--lift", "10%", "--noise", "inf"], "--noise inf is out of range."),
        (["--control-rate", "2%", "--lift", "1e-9"], "The lift is too small to be shown by any campaign."),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert refused(capsys, *arguments) == sentence


def test_both_languages_say_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["job", "power", "--control-rate", "1%", "--lift", "50%", "--persons", "4000", "--noise", "2"]
    said = {}
    for language in ("en", "zh"):
        assert main([*arguments, "--lang", language]) == 0
        said[language] = capsys.readouterr().out
    for text in said.values():
        for figure in ("4,000", "2,000", "+50 %", "1 %", "80 %", "100", "5 %"):
            assert figure in text
        assert len(text.splitlines()) == 6


def test_help_shows_the_three_questions(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["job", "power", "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(
        question in shown
        for question in ("how many persons", "with what probability", "what the smallest effect")
    )


def test_a_share_that_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["job", "power", "--control-rate", "often", "--lift", "10%"])
    assert ended.value.code == 2
    assert "'often' is no share; write 0.02 or 2%" in capsys.readouterr().err


def test_it_needs_nothing_but_the_base_install() -> None:
    program = (
        "import sys; from cli.main import main; "
        "status = main(['job', 'power', '--control-rate', '2%', '--lift', '10%']); "
        "sys.exit(status or bool({'numpy', 'pyarrow', 'duckdb', 'grpc'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
