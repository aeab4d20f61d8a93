"""Jobs and results of grouped sums for tests of what is made of them, without files or a protocol."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from federated.ports import Tag
from federated.results import BELOW_MIN_CONVERTERS, BELOW_MIN_GROUP, CellResult, ScopeTotal, SumResult
from party.identifiers import parse_form
from party.jobspec import Arms, Job, JobKind, SideSpec, SumSpec, ValueSpec, Window
from psi.suites import X25519_ELL2

SIZES = {"bank": 40_000, "platform": 100_000}
AMOUNT = ValueSpec("amount", 0, 5_000_000, 100)
POINTS = ValueSpec("points", -100, 100, 1)
TAGS = (Tag("city", "上海"), Tag("city", "北京"), Tag("device", "phone"))
MONTH = Window(days=7, retention_days=30)


@dataclass(frozen=True)
class Facts:
    """What a preparation tells, as far as figures need it."""

    clipped: int = 0


def sum_job(kind: str, **changes: Any) -> Job:
    """Return a job of ``kind``, values at the bank and groups at the platform, with ``changes`` to ``Job`` or to
    ``SumSpec``."""
    bank: dict[str, Any] = {"identifier": "mobile"}
    platform: dict[str, Any] = {"identifier": "phone", "groups": ("creative",), "cost": "cost"}
    spec = SumSpec(window=Window(days=7))
    match kind:
        case "measure":
            bank |= {"values": (AMOUNT, POINTS), "time": "at"}
        case "lift":
            bank |= {"values": (AMOUNT,), "time": "at"}
            platform |= {"groups": ("arm", "creative")}
            spec = replace(spec, arms=Arms("arm", "control", 0.5))
        case "funnel":
            bank |= {"stages": ("bound", "activated")}
            platform |= {"stages": ("exposed", "clicked")}
            spec = replace(spec, window=MONTH)
        case "profile":
            bank |= {"tags": ("city", "device")}
            spec = replace(spec, window=None, base="customers")
    ours = {name: changes.pop(name) for name in list(changes) if hasattr(spec, name)}
    job = Job(
        source="jobs/spring.toml",
        kind=JobKind(kind),
        purpose="reactivate dormant card holders",
        form=parse_form("phone"),
        suite=X25519_ELL2,
        receiver="bank",
        bank=SideSpec(**bank),
        platform=SideSpec(**platform),
        sums=replace(spec, **ours),
    )
    return replace(job, **changes)


def cell(
    label: tuple[str, ...], persons: int, scope: str = "", /, *, cost: int | None = None, **figures: int
) -> CellResult:
    """Return a released cell; ``sum_amount`` stands for the field ``sum:amount``."""
    return CellResult(label, persons, scope, {named(name): x for name, x in figures.items()}, cost=cost)


def hidden(
    label: tuple[str, ...], persons: int, scope: str = "", reason: str | None = BELOW_MIN_CONVERTERS
) -> CellResult:
    """Return a withheld cell."""
    return CellResult(label, persons, scope, None, withheld=reason)


def total(*cells: CellResult, scope: str = "", complete: bool = True) -> ScopeTotal:
    """Return the total over ``cells``, all released."""
    names = cells[0].figures or {}
    costs = [each.cost for each in cells if each.cost is not None]
    return ScopeTotal(
        scope,
        sum(each.persons for each in cells),
        {name: sum((each.figures or {})[name] for each in cells) for name in names},
        complete,
        sum(costs) if costs else None,
        sums=len(cells),
    )


def named(name: str) -> str:
    """Return a field's name: ``sum_amount`` is ``sum:amount``."""
    kind, _, rest = name.partition("_")
    return f"{kind}:{rest}" if kind in ("sum", "square", "stage", "tag") else name


def measured() -> SumResult:
    """Return a measure of two released creatives and one withheld, as the bank reads it."""
    first = cell(
        ("A",), 50_000, cost=2_500_000, **_counts(900, 400, 450, 2_000_050, 13_000_000_000, -40, 900)
    )
    second = cell(("",), 30_000, cost=1_000_000, **_counts(500, 150, 150, 600_000, 4_000_000_000, 12, 300))
    return SumResult(
        (first, second),
        (total(first, second, complete=False),),
        {BELOW_MIN_CONVERTERS: 1},
        {},
        ((1, 12), (2, 30)),
    )


def lifted(epsilon: Fraction | None = None) -> SumResult:
    """Return a lift of two arms of 50,000 persons, 500 converters against 700, the test arm in two creatives."""
    control = cell(
        ("control", ""), 50_000, "control", cost=0, **_counts(800, 500, 520, 2_500_000, 14_000_000_000)
    )
    one = cell(
        ("test", "A"), 25_000, "test", cost=40_000_000, **_counts(400, 400, 410, 2_100_000, 12_000_000_000)
    )
    two = cell(
        ("test", "B"), 25_000, "test", cost=20_000_000, **_counts(400, 300, 330, 1_600_000, 9_000_000_000)
    )
    names = control.figures or {}
    return SumResult(
        (control, one, two),
        (total(one, two, scope="test"), total(control, scope="control")),
        {},
        {} if epsilon is None else dict.fromkeys(names, 100.0),
    )


def funnelled(last_released: bool = True) -> SumResult:
    """Return a funnel of three platform stages, with two creatives at the last."""
    cells = [
        cell(("none", "A"), 10_000, **_stages(60, 40, 20)),
        cell(("exposed", "A"), 5_000, **_stages(50, 30, 15)),
        cell(("clicked", "A"), 2_000, **_stages(300, 200, 100)),
    ]
    last = cell(("clicked", "B"), 1_000, **_stages(120, 80, 40))
    if not last_released:
        return SumResult(tuple(cells), (total(*cells, complete=False),), {BELOW_MIN_CONVERTERS: 1}, {})
    return SumResult((*cells, last), (total(*cells, last),), {}, {})


def profiled() -> SumResult:
    """Return a profile of one creative with three tags, of which the second count is withheld."""
    figures = {"matched": 1_000, "converters": 0, "conversions": 0, "tag:0": 600, "tag:2": 900}
    one = CellResult(("A",), 20_000, "", figures)
    small = hidden(("B",), 300, reason=BELOW_MIN_GROUP)
    return SumResult((one, small), (total(one, complete=False),), {BELOW_MIN_GROUP: 1}, {})


def own_view(result: SumResult, *more: CellResult) -> SumResult:
    """Return what the group holder knows of ``result`` if it does not read: its cells, and ``more`` withheld ones."""
    cells = tuple(replace(each, figures=None) for each in result.cells)
    return replace(result, cells=(*cells, *more), totals=(), readable=False)


def _counts(matched: int, converters: int, conversions: int, *values: int) -> dict[str, int]:
    names = ("sum_amount", "square_amount", "sum_points", "square_points")
    return {"matched": matched, "converters": converters, "conversions": conversions} | dict(
        zip(names, values, strict=False)
    )


def _stages(converters: int, bound: int, activated: int) -> dict[str, int]:
    counts = {"matched": converters, "converters": converters, "conversions": converters}
    return counts | {"stage_bound": bound, "stage_activated": activated, "retained": activated // 2}
