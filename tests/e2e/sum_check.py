"""Holds a combined result of a grouped sum against the oracle: every figure to the cent, every gap with its rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from itertools import product
from typing import Any, Final

from tests.e2e.sum_oracle import Cell, Figures, SumOracle, add, fixed

_COUNTS: Final = ("matched", "converters", "conversions")
_COST_DIGITS: Final = 4


def check(result: dict[str, Any], oracle: SumOracle) -> None:
    """Assert that ``result`` (result.json of a rehearsal) says what the files say, as far as policy lets it."""
    assert result["kind"] == oracle.kind
    assert result["value_holder"] == oracle.value_holder
    check_groups(result, oracle)
    check_suppressed(result, oracle)
    check_totals(result, oracle)
    if oracle.kind == "lift":
        check_arms(result, oracle)
    if oracle.kind == "funnel":
        check_funnel(result, oracle)
    if oracle.window:
        moved = result["moved"]
        assert moved["days"] == {str(days): oracle.moved[days] for days in sorted(oracle.moved)}
        assert moved["persons"] == oracle.moved.total()


def check_groups(result: dict[str, Any], oracle: SumOracle) -> None:
    """Every cell with a label is listed once, in a profile once for each tag."""
    truth = {cell.label: cell for cell in oracle.cells if cell.label is not None}
    listed: Counter[tuple[str, ...]] = Counter()
    for row in result["groups"]:
        label = tuple(row["group"][column] for column in oracle.label_columns)
        listed[label] += 1
        if label in oracle.small_cells:
            check_withheld(row, "below_min_group", None, oracle.small_cells[label])
            continue
        cell = truth[label]
        reason = oracle.withheld(cell)
        if reason:
            check_withheld(row, reason, cell.persons, cell.cost)
        elif oracle.kind == "profile":
            check_tag(row, cell, oracle, tags_of(result))
        else:
            assert "withheld" not in row
            check_row(row, [cell], oracle, gaps(result, row["group"]))
    assert listed.keys() == truth.keys() | oracle.small_cells.keys()
    if oracle.kind != "profile":
        assert set(listed.values()) <= {1}


def check_withheld(row: dict[str, Any], reason: str, persons: int | None, cost: int) -> None:
    """A row of a withheld cell has its rule and no figure; how many persons a small one has is not said either."""
    assert row["withheld"] == reason
    assert row["persons"] == persons
    assert all(row.get(name) is None for name in (*_COUNTS, "retained", "rate"))
    assert not any(figure for part in ("sums", "stages", "mean") for figure in row.get(part, {}).values())
    if row.get("cost") is not None:
        assert Decimal(row["cost"]) == Decimal(fixed(cost, _COST_DIGITS))


def check_tag(row: dict[str, Any], cell: Cell, oracle: SumOracle, announced: set[tuple[str, str]]) -> None:
    """One row of a profile: matched persons of a cell who have one tag."""
    column, value = next((column, row["group"][column]) for column in oracle.tags if column in row["group"])
    count = cell.tags.get((column, value), 0)
    assert row["persons"] == cell.persons
    if row["matched"] is None:
        assert row["withheld"] == "below_min_group"
        # A count that is large enough may only be hidden beside a small one, which it would give away.
        counts = [cell.tags.get(tag, 0) for tag in announced if tag[0] == column]
        rest = cell.figures["matched"] - sum(counts)
        assert min(counts) < oracle.policy["min_group"] or 0 < rest < oracle.policy["min_group"]
    else:
        assert row["matched"] == count >= oracle.policy["min_group"]
        assert row["share"]["value"] == count / cell.figures["matched"]


def tags_of(result: dict[str, Any]) -> set[tuple[str, str]]:
    """Every tag that a profile shows or says is hidden, as (column, value)."""
    return {tag for row in result["groups"] for tag in row["group"].items()}


def check_row(row: dict[str, Any], cells: Sequence[Cell], oracle: SumOracle, hidden: set[str]) -> None:
    """One row of figures over ``cells``; only those named in ``hidden`` may be missing."""
    truth = add(cells)
    persons = sum(cell.persons for cell in cells)
    assert row["persons"] == persons
    for name in _COUNTS:
        same(row[name], truth[name], name, hidden)
    for column in oracle.values:
        assert row["sums"][column] == oracle.decimal(column, truth[f"sum:{column}"])
    for stage in oracle.stages:
        same(row["stages"][stage], truth[f"stage:{stage}"], f"stages.{stage}", hidden)
    if oracle.window and "retention_days" in oracle.window:
        same(row["retained"], truth["retained"], "retained", hidden)
    if "cost" in oracle.g:
        assert Decimal(row["cost"]) == Decimal(fixed(sum(cell.cost for cell in cells), _COST_DIGITS))
    if "rate" in row:
        assert row["rate"]["value"] == truth["converters"] / persons
        assert 0 <= row["rate"]["low"] <= row["rate"]["value"] <= row["rate"]["high"] <= 1
    if len(cells) == 1:
        check_hidden(truth, oracle, hidden)


def same(told: int | None, truth: int, name: str, hidden: set[str]) -> None:
    """A count is the true one, or missing with a reason."""
    assert told == (None if name in hidden else truth), name


def check_hidden(truth: Figures, oracle: SumOracle, hidden: set[str]) -> None:
    """Of a released cell: counts of few persons are hidden, and nothing without need."""
    fewest = max(3, oracle.policy["min_converters"])
    bases = {truth["matched"], truth["converters"]}
    for stage in [*oracle.stages, *(["retained"] if (oracle.window or {}).get("retention_days") else [])]:
        name, count = (
            (stage, truth[stage]) if stage == "retained" else (f"stages.{stage}", truth[f"stage:{stage}"])
        )
        few = 0 < count < fewest
        leaves_few = any(0 < base - count < fewest for base in bases)
        if few:
            assert name in hidden
        if name in hidden:
            assert few or leaves_few
        elif stage != "retained":
            bases.add(count)


def gaps(result: dict[str, Any], group: dict[str, str]) -> set[str]:
    """The figures of one released group that the result says are withheld."""
    return {each["figure"] for each in result["withheld"] if each.get("group") == group}


def gaps_of_totals(result: dict[str, Any]) -> set[str]:
    """The figures of the totals that the result says are withheld."""
    said = [each["figure"] for each in result["withheld"] if each["figure"].startswith("totals.")]
    return {figure.removeprefix("totals.") for figure in said}


def check_suppressed(result: dict[str, Any], oracle: SumOracle) -> None:
    """The number of groups that are not shown, by rule; small ones that were merged or dropped among them."""
    rules = Counter(
        rule
        for cell in oracle.cells
        if cell.label is not None and (rule := oracle.withheld(cell)) is not None
    )
    rules["below_min_group"] += len(oracle.small_cells)
    assert result["suppressed_by"] == {rule: count for rule, count in rules.items() if count}
    assert result["suppressed_groups"] == rules.total()


def covered(cells: Sequence[Cell], row: dict[str, Any], oracle: SumOracle) -> list[Cell]:
    """The cells of one scope that a total is over, told by its persons and matches.

    Beside the released cells it may be over hidden ones together: those that the group holder adds up because each
    has few matches, and those of which the value holder saw few converters or a few large amounts. Asserts that
    a total never gives one hidden cell away, and that it is called complete only when nobody is missing.
    """
    released = [cell for cell in cells if oracle.withheld(cell) is None]
    few = [cell for cell in cells if oracle.few_matches([cell])]
    seen = {
        rule: [cell for cell in cells if oracle.withheld(cell) == rule and cell not in few]
        for rule in ("below_min_converters", "dominated")
    }
    rest = few if len(few) >= 2 and not oracle.few_matches(few) else []
    for parts in product(*(([], part) for part in (rest, *seen.values()))):
        extra = [cell for part in parts for cell in part]
        over = [*released, *extra]
        told = (sum(cell.persons for cell in over), add(over)["matched"]) if over else (None, None)
        if told == (row["persons"], row["matched"]):
            break
    else:
        raise AssertionError(f"a total over {row['persons']} persons is over no known cells")
    whole = len(over) == len(cells) and not oracle.dropped[cells[0].scope]
    assert row["complete"] == (whole and bool(over))
    if extra:
        assert len(extra) >= 2
        jointly = Cell(None, "", sum(cell.persons for cell in extra), 0, add(extra))
        assert oracle.withheld(jointly) is None
    return over


def check_totals(result: dict[str, Any], oracle: SumOracle) -> None:
    """The totals are over all cells or, where those would tell of a hidden one, over the released ones."""
    totals = result["totals"]
    assert totals[f"{oracle.value_holder}_persons"] == oracle.value_persons
    assert totals[f"{oracle.group_holder}_persons"] == sum(cell.persons for cell in oracle.cells)
    if oracle.kind == "lift":
        # Each arm has a total of its own (check_arms); the whole is theirs together.
        arms = {arm["arm"]: arm for arm in result["arms"]}
        over = [cell for name, arm in arms.items() for cell in of_scope(name, arm, oracle)]
        assert totals["complete"] == (bool(over) and all(arm["complete"] for arm in arms.values()))
    else:
        over = covered(oracle.cells, totals, oracle)
    if not over:
        assert totals["persons"] is None
        assert not totals["complete"]
        assert "totals" in {each["figure"] for each in result["withheld"]}
    elif oracle.kind == "profile":
        assert totals["persons"] == sum(cell.persons for cell in over)
        assert totals["matched"] == add(over)["matched"]
    else:
        assert missing(totals, oracle) == gaps_of_totals(result)
        check_row(totals, over, oracle, missing(totals, oracle))


def of_scope(name: str, arm: dict[str, Any], oracle: SumOracle) -> list[Cell]:
    """The cells that an arm's total is over."""
    return covered([cell for cell in oracle.cells if cell.scope == name], arm, oracle)


def missing(row: dict[str, Any], oracle: SumOracle) -> set[str]:
    """Stage counts and the like that a total lacks: it may, where a cell under it hides them."""
    hidden = {f"stages.{stage}" for stage in oracle.stages if row["stages"][stage] is None}
    return hidden | {name for name in ("retained", "conversions") if name in row and row[name] is None}


def check_arms(result: dict[str, Any], oracle: SumOracle) -> None:
    """The arms, and what is said of test against control."""
    control = oracle.table["arms"]["control"]
    arms = {arm["arm"]: arm for arm in result["arms"]}
    assert list(arms) == [control, *sorted(arms.keys() - {control})]
    assert arms.keys() == {cell.scope for cell in oracle.cells}
    rates: dict[str, float] = {}
    for name, arm in arms.items():
        over = of_scope(name, arm, oracle)
        if over:
            check_row(arm, over, oracle, missing(arm, oracle))
            rates[name] = add(over)["converters"] / sum(cell.persons for cell in over)
        else:
            assert arm["withheld"]
            assert arm["persons"] is None
    if len(rates) == 2:
        lift = result["lift"]["converters"]
        test = rates[next(name for name in rates if name != control)]
        assert lift["control"] == rates[control]
        assert lift["test"] == test
        assert lift["absolute"] == test - rates[control]
        assert lift["low"] <= lift["absolute"] <= lift["high"]
        for column in oracle.values:
            assert result["lift"][column] is not None
    else:
        assert result["lift"] is None
        assert "lift" in {each["figure"] for each in result["withheld"]}


def check_funnel(result: dict[str, Any], oracle: SumOracle) -> None:
    """The group holder's stages over all its groups, then the value holder's among those who reached the last."""
    own: list[str] = oracle.g["stages"]
    steps = result["funnel"]
    assert [(step["stage"], step["side"]) for step in steps] == [
        *((stage, oracle.group_holder) for stage in own),
        *((stage, oracle.value_holder) for stage in oracle.stages),
    ]
    for place, step in enumerate(steps[: len(own)]):
        assert step["persons"] == oracle.reached(place + 1)
    last = [row for row in result["groups"] if row["group"]["stage"] == own[-1] and "withheld" not in row]
    told = [row for row in last if None not in row["stages"].values()]
    for stage, step in zip(oracle.stages, steps[len(own) :], strict=True):
        assert step["persons"] == (sum(row["stages"][stage] for row in told) if told else None)
