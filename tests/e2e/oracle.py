"""The right answer, by DuckDB SQL over the same files, with normalisation written anew as SQL expressions.

Nothing of the product is used here. The expressions cover what the synthetic data and the hand-made files of
these tests hold, which is less than the product accepts.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

Row = tuple[str, str]

_PHONE: Final = r"""nullif(regexp_extract(
    regexp_replace(
        regexp_replace(translate({cell}, '０１２３４５６７８９', '0123456789'), '[\s-]', '', 'g'), '\.0$', ''
    ),
    '^(?:\+86|0086|86|0|)(1[3-9][0-9]{{9}})$', 1), '')"""


def _valid(cleaned: str, pattern: str) -> str:
    return f"CASE WHEN regexp_full_match({cleaned}, '{pattern}') THEN {cleaned} END"


# Identifier form -> SQL expression of a cell that yields its canonical text, or NULL for what is not one.
CANONICAL: Final = {
    "phone": _PHONE,
    "email": _valid("lower(trim({cell}))", r"[^@\s]+@[^@\s]+\.[a-z]+"),
    "oaid": _valid("lower(trim({cell}))", "[0-9a-f]{{16}}"),
    "national_id": _valid("upper(trim({cell}))", "[0-9]{{17}}[0-9X]"),
    "sha256:phone:cn11": "coalesce("
    + _valid("lower(trim({cell}))", "[0-9a-f]{{64}}")
    + f", sha256({_PHONE}))",
}


@dataclass(frozen=True, slots=True)
class File:
    """One party's file: ``tiers`` are the labels, highest first, where the column ``tier`` is one."""

    path: Path
    column: str
    tiers: tuple[str, ...] = ()
    delimiter: str = ","

    @property
    def source(self) -> str:
        """The SQL that reads it, every column as text, in file order."""
        name = str(self.path).replace("'", "''")
        if self.path.suffix == ".parquet":
            return f"read_parquet('{name}')"
        if self.path.suffix == ".jsonl":
            return f"read_json('{name}', format='newline_delimited', columns={{'{self.column}': 'VARCHAR'}})"
        return (
            f"read_csv('{name}', all_varchar=true, header=true, delim='{self.delimiter}', "
            "quote='\"', escape='\"', auto_detect=false, columns={columns})"
        ).format(columns=self._columns())

    def _columns(self) -> str:
        with open(self.path, encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file, delimiter=self.delimiter))
        return "{" + ", ".join(f"'{name}': 'VARCHAR'" for name in names) + "}"


class Oracle:
    """Answers about two files whose columns hold identifiers of one form."""

    def __init__(self, form: str, bank: File, platform: File) -> None:
        self._database = duckdb.connect(":memory:", config={"threads": 1})
        self._form = form
        self._files = {"bank": bank, "platform": platform}
        for side, file in self._files.items():
            self._load(side, file.source, file.column, file.tiers)

    def _load(self, name: str, source: str, column: str, tiers: Sequence[str]) -> None:
        place = f"list_position({list(tiers)}, tier)" if tiers else "0"
        self._database.execute(
            f"""CREATE TABLE {name} AS SELECT n, cell, place, {CANONICAL[self._form].format(cell="cell")} AS person
            FROM (SELECT row_number() OVER () AS n, "{column}" AS cell, {place} AS place FROM {source})"""
        )
        self._database.execute(f"DELETE FROM {name} WHERE person IS NULL OR place IS NULL")

    def persons(self, side: str) -> int:
        """How many persons a file has."""
        return self._count(f"SELECT count(DISTINCT person) FROM {side}")

    def usable_rows(self, side: str) -> int:
        """How many rows hold an identifier."""
        return self._count(f"SELECT count(*) FROM {side}")

    def list_of(self, side: str, *, matched: bool = True, without: Sequence[str] = ()) -> list[Row]:
        """The list that ``side`` should receive: original cell of each person's first row, in file order, and
        the other side's highest tier. ``without``: cells of the other side whose persons were kept back.
        """
        other = "platform" if side == "bank" else "bank"
        labels = list(self._files[other].tiers) or [""]
        self._database.execute("CREATE OR REPLACE TABLE held (cell VARCHAR)")
        if without:
            self._database.executemany("INSERT INTO held VALUES (?)", [[cell] for cell in without])
        held = f"SELECT {CANONICAL[self._form].format(cell='cell')} FROM held"
        tier = f"{labels}[greatest(place, 1)]" if matched else "''"
        return self._database.execute(
            f"""WITH own AS (SELECT person, min(n) AS n, arg_min(cell, n) AS cell FROM {side} GROUP BY person),
            theirs AS (SELECT person, min(place) AS place FROM {other}
                       WHERE person NOT IN ({held}) GROUP BY person)
            SELECT cell, {tier} FROM own LEFT JOIN theirs USING (person)
            WHERE (theirs.person IS NOT NULL) = {matched} ORDER BY n"""
        ).fetchall()

    def held_by(self, side: str, cells: Sequence[str]) -> tuple[int, list[str]]:
        """How many persons ``cells`` are, and what the file has as the first row of each, in file order."""
        self._database.execute("CREATE OR REPLACE TABLE held (cell VARCHAR)")
        self._database.executemany("INSERT INTO held VALUES (?)", [[cell] for cell in cells])
        canonical = CANONICAL[self._form].format(cell="cell")
        rows = self._database.execute(
            f"""SELECT arg_min(cell, n) FROM {side} WHERE person IN (SELECT {canonical} FROM held)
            GROUP BY person ORDER BY min(n)"""
        ).fetchall()
        return len(rows), [row[0] for row in rows]

    def overlap(self, bank_tiers: bool, platform_tiers: bool) -> dict[tuple[str, str], int]:
        """How many persons both have, by the highest tier on each side ('' where it is not asked for)."""
        tiers = {"bank": bank_tiers, "platform": platform_tiers}
        parts = {
            side: f"{list(self._files[side].tiers)}[b{side}.place]" if split else "''"
            for side, split in tiers.items()
        }
        rows = self._database.execute(
            f"""WITH bbank AS (SELECT person, min(place) AS place FROM bank GROUP BY person),
            bplatform AS (SELECT person, min(place) AS place FROM platform GROUP BY person)
            SELECT {parts["bank"]}, {parts["platform"]}, count(*)
            FROM bbank JOIN bplatform USING (person) GROUP BY ALL"""
        ).fetchall()
        return {(bank, platform): count for bank, platform, count in rows}

    def tier_sizes(self, side: str) -> dict[str, int]:
        """Persons by highest tier."""
        rows = self._database.execute(
            f"""SELECT {list(self._files[side].tiers)}[place], count(*) FROM
            (SELECT person, min(place) AS place FROM {side} GROUP BY person) GROUP BY ALL"""
        ).fetchall()
        return dict(rows)

    def _count(self, query: str) -> int:
        row = self._database.execute(query).fetchone()
        assert row is not None
        return int(row[0])


def read_list(path: Path) -> tuple[list[str], list[Row]]:
    """Header and rows of a list, by Python's csv module."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return rows[0], [(row[0], row[1]) for row in rows[1:]]
