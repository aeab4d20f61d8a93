"""The right answer of a grouped sum, by DuckDB SQL over the two raw files, and the thresholds by plain Python.

Nothing of the product is used here. Identifiers, times, amounts and flags are read anew by SQL expressions, which
cover what ``sum_data`` writes. The answer is what the files say, cell by cell, and then what the stated rules leave
of it: which cells are merged, dropped or withheld, and what a total may cover.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb

from tests.e2e.oracle import CANONICAL

Label = tuple[str, ...]
Figures = dict[str, int]

_EPOCH_DIGITS: Final = {
    10: "to_timestamp(CAST({t} AS BIGINT))",
    13: "make_timestamptz(CAST({t} AS BIGINT) * 1000)",
}


def _moment(cell: str, zone: str) -> str:
    """SQL of the local time in ``zone`` that a cell says; NULL for an empty or unreadable one."""
    t = f"trim({cell})"
    seconds, millis = (_EPOCH_DIGITS[n].format(t=t) for n in (10, 13))
    return rf"""CASE
        WHEN regexp_full_match({t}, '\d{{4}}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?') THEN
            try_cast({t} AS TIMESTAMP)
        WHEN regexp_full_match({t}, '\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)') THEN
            timezone('{zone}', try_cast(regexp_replace({t}, '([+-]\d\d)(\d\d)$', '\1:\2') AS TIMESTAMPTZ))
        WHEN regexp_full_match({t}, '\d{{4}}/\d\d/\d\d.*') THEN
            try_strptime({t}, ['%Y/%m/%d', '%Y/%m/%d %H:%M', '%Y/%m/%d %H:%M:%S'])
        WHEN regexp_full_match({t}, '\d{{8}}|\d{{14}}') THEN try_strptime({t}, ['%Y%m%d', '%Y%m%d%H%M%S'])
        WHEN regexp_full_match({t}, '\d{{10}}') THEN timezone('{zone}', {seconds})
        WHEN regexp_full_match({t}, '\d{{13}}') THEN timezone('{zone}', {millis}) END"""


def _units(cell: str, scale: int) -> str:
    """SQL of a decimal cell in whole units of 1/``scale``; NULL for an empty or unreadable one."""
    number = f"try_cast(trim({cell}) AS DECIMAL(30, 6))"
    plain = rf"regexp_full_match(trim({cell}), '[+-]?\d+(\.\d+)?')"
    whole = f"CAST({number} * {scale} AS BIGINT)"
    return f"CASE WHEN {plain} AND {number} * {scale} = {whole} THEN {whole} END"


def _flag(cell: str) -> str:
    """SQL of a 0/1 cell; empty is 0, NULL for an unreadable one."""
    word = f"lower(trim(coalesce({cell}, '')))"
    return (
        f"CASE WHEN {word} IN ('1', 'true', 'yes') THEN 1 WHEN {word} IN ('0', 'false', 'no', '') THEN 0 END"
    )


def _empty(cell: str) -> str:
    return f"trim(coalesce({cell}, '')) = ''"


def _unreadable(cell: str, read: str) -> str:
    return f"(NOT {_empty(cell)} AND {read} IS NULL)"


def _any(conditions: Sequence[str]) -> str:
    return " OR ".join(f"({each})" for each in conditions) or "false"


@dataclass(frozen=True, slots=True)
class Cell:
    """The truth of one cell that the group holder sends; ``figures`` in whole units, squares and tags included."""

    label: Label | None
    scope: str
    persons: int
    cost: int
    figures: Figures
    tags: dict[tuple[str, str], int] = field(default_factory=dict)


class SumOracle:
    """Answers about one job (the parsed job file) over two files of text columns, CSV or Parquet."""

    def __init__(self, table: dict[str, Any], bank: Path, platform: Path) -> None:
        self.table = table
        self.kind: str = table["kind"]
        self.value_holder: str = table.get("value_holder", "bank")
        self.group_holder = "platform" if self.value_holder == "bank" else "bank"
        self.v: dict[str, Any] = table[self.value_holder]
        self.g: dict[str, Any] = table[self.group_holder]
        self.window: dict[str, Any] | None = table.get("window")
        self.policy: dict[str, Any] = {
            "min_group": 50, "min_converters": 10, "dominance": 10, "max_rows": 100, "outside": "clip",
        } | table.get("policy", {})  # fmt: skip
        self.customers = self.kind == "profile" or table.get("base") == "customers"
        self.values: list[str] = list(self.v.get("values", {}))
        self.scales: list[int] = [self.v["values"][name].get("scale", 100) for name in self.values]
        self.stages: list[str] = self.v.get("stages", [])
        self.tags: list[str] = self.v.get("tags", [])
        self.zone: str = (self.window or {}).get("timezone", "Asia/Shanghai")
        self._db = duckdb.connect(":memory:", config={"threads": 1})
        paths = {"bank": bank, "platform": platform}
        for side, path in paths.items():
            name = str(path).replace("'", "''")
            source = (
                f"read_parquet('{name}')"
                if path.suffix == ".parquet"
                else f"read_csv('{name}', all_varchar=true, header=true, delim=',', quote='\"', escape='\"')"
            )
            column = table[side]["identifier"]
            person = CANONICAL[table["identifier"]].format(cell=f'"{column}"')
            self._db.execute(
                f"CREATE TABLE {side} AS SELECT row_number() OVER () AS n, *, {person} AS person FROM {source}"
            )
        self._load_values()
        self._load_groups()
        # Persons of small cells that are in no cell at all are in no total either; by scope, how many such cells.
        self.dropped: Counter[str] = Counter()
        # Those that are sent, and the label and cost of those that are too small.
        self.cells, self.small_cells = self._cells()

    # -- the value holder ------------------------------------------------------------------------------------

    def _load_values(self) -> None:
        """Accepted rows with what they say, the outcome rows that count, and the persons that are sent."""
        time = self.v.get("time")
        bad, columns, filled = ["person IS NULL"], [], []
        clock, moment = f'"{time}"', "CAST(NULL AS TIMESTAMP)"
        if time:
            moment = _moment(clock, self.zone)
            bad.append(_unreadable(clock, moment))
            filled.append(f"NOT {_empty(clock)}")
        for place, name in enumerate(self.values):
            spec, cell = self.v["values"][name], f'"{name}"'
            scale = self.scales[place]
            low, high = (round(Decimal(str(spec.get(end, 0))) * scale) for end in ("min", "max"))
            units = _units(cell, scale)
            bad.append(_unreadable(cell, units))
            filled.append(f"NOT {_empty(cell)}")
            if self.policy["outside"] == "reject":
                bad.append(f"coalesce({units} NOT BETWEEN {low} AND {high}, false)")
            clipped = f"greatest({low}, least({high}, {units}))"
            columns.append(f"CASE WHEN {_empty(cell)} THEN 0 ELSE {clipped} END AS v{place}")
        flags = [_flag(f'"{name}"') for name in self.stages]
        bad += [f"{flag} IS NULL" for flag in flags]
        stage = (
            "greatest(0, " + ", ".join(f"{j} * {flag}" for j, flag in enumerate(flags, 1)) + ")"
            if flags
            else "0"
        )
        if self.window:
            # What has no day is in no window; the person is there all the same.
            filled = filled[:1]
            stage = f"CASE WHEN {_empty(clock)} THEN 0 ELSE {stage} END"
        is_outcome = _any(filled) if filled else (f"{stage} > 0" if flags else "true")
        columns += [f"{moment} AS t", f"{stage} AS stage", f"({is_outcome}) AS outcome"]
        columns += [f"""trim(coalesce("{name}", '')) AS tag{place}""" for place, name in enumerate(self.tags)]
        self._db.execute(
            f"""CREATE TABLE v AS SELECT n, person, {", ".join(columns)} FROM {self.value_holder}
            WHERE NOT coalesce({_any(bad)}, true)"""
        )
        self._db.execute(
            f"""CREATE TABLE counted AS SELECT * FROM (SELECT *, row_number() OVER
            (PARTITION BY person ORDER BY t NULLS LAST, n) AS place FROM v WHERE outcome OR stage > 0)
            WHERE place <= {self.policy["max_rows"]}"""
        )
        sent = "true" if self.customers else "bool_or(outcome OR stage > 0)"
        self._db.execute(f"CREATE TABLE sent AS SELECT person FROM v GROUP BY person HAVING {sent}")
        self.value_rows = self._one("SELECT count(*) FROM v")
        self.value_persons = self._one("SELECT count(*) FROM sent")

    # -- the group holder ------------------------------------------------------------------------------------

    def _load_groups(self) -> None:
        """The row of each person that decides its cell, with cost and highest stage over all rows."""
        time = self.g.get("time")
        bad, columns = ["person IS NULL"], []
        if time:
            moment = _moment(f'"{time}"', self.zone)
            bad.append(_unreadable(f'"{time}"', moment))
            if self.window:
                bad.append(_empty(f'"{time}"'))
        else:
            moment = "CAST(NULL AS TIMESTAMP)"
        groups: list[str] = list(self.g.get("groups", []))
        arm = self.table["arms"]["column"] if self.kind == "lift" else None
        if arm and arm not in groups:
            groups.insert(0, arm)
        self.label_columns = (["stage"] if self.kind == "funnel" else []) + groups
        for place, name in enumerate(groups):
            label = f"""trim(coalesce("{name}", ''))"""
            bad.append(f"regexp_matches({label}, '^[=@+-]')")
            columns.append(f"CASE WHEN {label} = '' THEN '(none)' ELSE {label} END AS g{place}")
        flags = [_flag(f'"{name}"') for name in self.g.get("stages", [])]
        bad += [f"{flag} IS NULL" for flag in flags]
        if flags:
            names = ["none", *self.g["stages"]]
            steps = ", ".join(f"{j} * {flag}" for j, flag in enumerate(flags, 1))
            columns.append(f"greatest(0, {steps}) AS reached")
        cost = self.g.get("cost")
        units = _units(f'"{cost}"', 10_000) if cost else "0"
        if cost:
            bad.append(_unreadable(f'"{cost}"', units))
        columns += [f"coalesce({units}, 0) AS cost", f"{moment} AS t"]
        self._db.execute(
            f"""CREATE TABLE g AS SELECT n, person, {", ".join(columns)} FROM {self.group_holder}
            WHERE NOT coalesce({_any(bad)}, true)"""
        )
        last = self.window.get("exposure") if self.window else self.g.get("keep")
        direction = "DESC" if last == "last" else "ASC"
        self._db.execute(
            f"""CREATE TABLE chosen AS SELECT * EXCLUDE (place) FROM (SELECT *, row_number() OVER
            (PARTITION BY person ORDER BY t {direction} NULLS LAST, n {direction}) AS place FROM g) WHERE place = 1"""
        )
        parts = [f"g{place}" for place in range(len(groups))]
        if flags:
            parts.insert(0, f"list_extract({names}, CAST(top AS INTEGER) + 1)")
        top = "max(reached)" if flags else "0"
        scope = f"g{groups.index(arm)}" if arm else "''"
        day = "date_diff('day', DATE '1970-01-01', CAST(t AS DATE))" if self.window else "0"
        self._db.execute(
            f"""CREATE TABLE own AS SELECT person, [{", ".join(parts)}]::VARCHAR[] AS label, {scope} AS scope,
            {day} AS day, spent FROM chosen JOIN
            (SELECT person, {top} AS top, sum(cost) AS spent FROM g GROUP BY person) USING (person)"""
        )
        self.group_rows = self._one("SELECT count(*) FROM g")
        self.group_persons = self._one("SELECT count(*) FROM own")

    # -- cells -----------------------------------------------------------------------------------------------

    def _cells(self) -> tuple[list[Cell], dict[Label, int]]:
        """The cells that are sent, and the costs of those that are too small to be sent on their own."""
        fewest = self.policy["min_group"]
        by_cell: dict[tuple[Label, str], Counter[int]] = defaultdict(Counter)
        costs: Counter[Label] = Counter()
        for label, scope, day, count, cost in self._db.execute(
            "SELECT label, scope, day, count(*), sum(spent) FROM own GROUP BY ALL"
        ).fetchall():
            by_cell[tuple(label), scope][day] = count
            costs[tuple(label)] += cost
        small = [key for key, days in by_cell.items() if days.total() < fewest]
        # What becomes of a cell: (label or None, scope) of the cell that its persons are sent in.
        becomes: dict[tuple[Label, str], tuple[Label | None, str]] = {
            key: key for key in by_cell if key not in small
        }
        for scope in {scope for _, scope in small}:
            mine = [key for key in small if key[1] == scope]
            if len(mine) >= 2 and sum(by_cell[key].total() for key in mine) >= fewest:
                becomes |= dict.fromkeys(mine, (None, scope))
            else:
                self.dropped[scope] = len(mine)
        days: dict[tuple[Label | None, str], Counter[int]] = defaultdict(Counter)
        for key, target in becomes.items():
            days[target].update(by_cell[key])
        self._db.execute(
            "CREATE TABLE units (label VARCHAR[], scope VARCHAR, day INTEGER, cell INTEGER, nominal INTEGER)"
        )
        self.moved: Counter[int] = Counter()
        order = list(days)
        for key, target in becomes.items():
            nominal = merged_days(days[target], fewest)
            for day, count in by_cell[key].items():
                self._db.execute(
                    "INSERT INTO units VALUES (?, ?, ?, ?, ?)",
                    [list(key[0]), key[1], day, order.index(target), nominal[day]],
                )
                self.moved[nominal[day] - day] += count
        del self.moved[0]
        cells = [self._cell(number, *target) for number, target in enumerate(order)]
        return cells, {label: costs[label] for label, _ in small}

    def _cell(self, number: int, label: Label | None, scope: str) -> Cell:
        members = f"""(SELECT person, nominal AS day, spent FROM own JOIN units USING (label, scope, day)
            WHERE cell = {number})"""
        persons, cost = self._row(f"SELECT count(*), coalesce(sum(spent), 0) FROM {members}")
        tags: dict[tuple[str, str], int] = {}
        last = self.v.get("keep", "first") == "last"
        for place, column in enumerate(self.tags):
            direction = "DESC" if last else "ASC"
            rows = self._db.execute(
                f"""SELECT tag, count(*) FROM {members} JOIN (SELECT person, tag{place} AS tag, row_number() OVER
                (PARTITION BY person ORDER BY t {direction} NULLS LAST, n {direction}) AS place FROM v
                WHERE tag{place} <> '') USING (person) WHERE place = 1 GROUP BY tag"""
            ).fetchall()
            tags |= {(column, tag): count for tag, count in rows}
        return Cell(label, scope, persons, cost, self._figures(members), tags)

    def _figures(self, members: str) -> Figures:
        inside, lag = "true", "date_diff('day', DATE '1970-01-01', CAST(t AS DATE)) - day"
        if self.window:
            inside = f"coalesce({lag} BETWEEN 0 AND {self.window['days']}, false)"
        real = f"({inside} AND outcome)"
        totals = [f"coalesce(sum(v{i}) FILTER ({real}), 0) AS s{i}" for i in range(len(self.values))]
        retained = "0"
        if self.window and "retention_days" in self.window:
            first = f"min({lag}) FILTER ({real})"
            retained = (
                f"CAST(max({lag}) FILTER (outcome) >= {first} + {self.window['retention_days']} AS INTEGER)"
            )
        sums = "".join(f", {each}" for each in totals)
        per_person = f"""SELECT person, count(*) FILTER ({real}) AS c,
            coalesce(max(stage) FILTER ({inside}), 0) AS top, coalesce({retained}, 0) AS kept {sums}
            FROM {members} JOIN sent USING (person) LEFT JOIN counted USING (person) GROUP BY person"""
        names = ["matched", "converters", "conversions", "retained"]
        columns = ["count(*)", "count(*) FILTER (c > 0)", "sum(c)", "sum(kept)"]
        for place, stage in enumerate(self.stages, 1):
            names.append(f"stage:{stage}")
            columns.append(f"count(*) FILTER (top >= {place})")
        for place, name in enumerate(self.values):
            names += [f"sum:{name}", f"square:{name}"]
            columns += [f"sum(s{place})", f"sum(s{place} * s{place})"]
        row = self._row(f"SELECT {', '.join(columns)} FROM ({per_person})")
        return {name: int(figure or 0) for name, figure in zip(names, row, strict=True)}

    def _row(self, query: str) -> tuple[Any, ...]:
        row = self._db.execute(query).fetchone()
        assert row is not None
        return tuple(row)

    def _one(self, query: str) -> int:
        return int(self._row(query)[0])

    def reached(self, stage: int) -> int:
        """How many of the group holder's persons reached its stage number ``stage`` (from 1) or a later one."""
        names = list(self.g["stages"])[stage - 1 :]
        return self._one(f"SELECT count(*) FROM own WHERE list_contains({names}, list_extract(label, 1))")

    # -- the rules -------------------------------------------------------------------------------------------

    def few_matches(self, cells: Sequence[Cell]) -> str | None:
        """The rule by which the group holder withholds the sum of some cells, or None: it only sees who matches."""
        matched = sum(cell.figures["matched"] for cell in cells)
        if self.customers:
            return "below_min_group" if matched < self.policy["min_group"] else None
        return "below_min_converters" if matched < self.policy["min_converters"] else None

    def withheld(self, cell: Cell) -> str | None:
        """The rule by which a cell is withheld, or None; the first that applies in the protocol's order."""
        converters, figures = self.policy["min_converters"], cell.figures
        if few := self.few_matches([cell]):
            return few
        if self.kind != "profile" and figures["converters"] < converters:
            return "below_min_converters"
        for name in self.values:
            if figures[f"sum:{name}"] ** 2 < self.policy["dominance"] * figures[f"square:{name}"]:
                return "dominated"
        return None

    def decimal(self, column: str, units: int) -> str:
        """An amount as the report writes it: as many decimals as the column's scale has."""
        scale = self.scales[self.values.index(column)]
        return fixed(units, len(str(scale)) - 1)


def fixed(units: int, digits: int) -> str:
    """A whole number of units of 10^-``digits`` as a decimal."""
    return f"{Decimal(units).scaleb(-digits):.{digits}f}"


def merged_days(sizes: Counter[int], fewest: int) -> dict[int, int]:
    """The nominal day of each day: neighbours together until ``fewest`` persons, the latest day of them.

    A rest that is too small joins those before it.
    """
    units: list[list[int]] = []
    waiting: list[int] = []
    for day in sorted(sizes):
        waiting.append(day)
        if sum(sizes[each] for each in waiting) >= fewest:
            units.append(waiting)
            waiting = []
    if waiting and units:
        units[-1] += waiting
    elif waiting:
        units.append(waiting)
    return {day: max(unit) for unit in units for day in unit}


def add(cells: Sequence[Cell]) -> Figures:
    """The figures of several cells together."""
    total: Counter[str] = Counter()
    for cell in cells:
        total.update(cell.figures)
    return dict(total)
