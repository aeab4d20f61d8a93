"""How the report speaks one language: words, numbers and intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from party.report.reasons import METHOD, NOTES, REASONS
from party.report.words import LANGUAGES, WORDS


class Voice:
    """One language of the report. ``limits`` fills the thresholds into reasons."""

    def __init__(self, language: str, limits: Mapping[str, int]) -> None:
        self.language = language
        self._index = LANGUAGES.index(language)
        self._limits = limits

    def say(self, key: str, **parameters: str) -> str:
        """Return the words for ``key``."""
        return WORDS[key][self._index].format(**parameters)

    def method(self, key: str, **parameters: str) -> str:
        """Return a sentence of the method."""
        return METHOD[key][self._index].format(**parameters)

    def reason(self, reason: str) -> str:
        """Return why a figure is withheld; a reason without words as it is."""
        words = REASONS.get(reason)
        return reason if words is None else words[self._index].format(**self._limits)

    def note(self, note: str) -> str:
        """Return a statistical note; one without words as it is."""
        words = NOTES.get(note)
        return note if words is None else words[self._index]

    def listed(self, parts: list[str]) -> str:
        """Join ``parts`` as a list."""
        return self.say("list_comma").join(parts)

    def beside(self, text: str, inner: str) -> str:
        """Return ``text`` with ``inner`` in parentheses."""
        return self.say("paren", text=text, inner=inner)

    def group(self, row: Mapping[str, Any]) -> str:
        """Return the name of a group; the only one of a job without group columns is the total."""
        return self.listed([str(part) for part in row["group"].values()]) or self.say("totals")

    def named(self, figure: str) -> str:
        """Return how a person calls ``figure`` of result.json."""
        kind, _, column = figure.partition(".")
        match kind:
            case "sums":
                return self.say("sum_of", column=column)
            case "stages":
                return column
            case "totals" | "conversions" | "converters" | "retained":
                return self.say(kind)
            case "lift":
                return self.say("effect")
            case _:
                return figure

    # -- numbers

    def count(self, number: float, *, signed: bool = False) -> str:
        """Return a number of persons or rows, rounded to a whole one."""
        return _minus(f"{round(number):{'+' if signed else ''},}")

    def decimal(self, text: str) -> str:
        """Return an exact decimal of the result, grouped by thousands, every digit kept."""
        return _minus(f"{Decimal(text):,f}")

    def amount(self, number: float, *, signed: bool = False, like: float | None = None) -> str:
        """Return an estimated amount with as many digits as can matter, or as many as ``like`` would have."""
        size = abs(number if like is None else like)
        places = 0 if size >= 10_000 else 2 if size >= 1 or size == 0 else _after_point(size) + 2
        return _rounded(number, min(places, 8), signed)

    def percent(self, share: float, *, signed: bool = False, like: float | None = None) -> str:
        """Return a share as per cent with about three digits, or as many as ``like`` would have."""
        return self.say("percent", number=_hundredths(share, signed, like))

    def points(self, difference: float, *, like: float | None = None) -> str:
        """Return a difference of shares in percentage points."""
        return self.say("percentage_points", number=_hundredths(difference, True, like))

    def p_value(self, p: float | None) -> str:
        """Return a p-value."""
        if p is None:
            return self.say("nothing")
        return "< 0.001" if p < 0.001 else f"{p:.3f}"

    def span(self, low: str | None, high: str | None) -> str:
        """Return an interval, open where a bound is missing."""
        if low is None and high is None:
            return self.say("nothing")
        if high is None:
            return self.say("at_least", low=str(low))
        return self.say("at_most", high=high) if low is None else self.say("span", low=low, high=high)

    def interval(self, estimate: Mapping[str, Any], kind: str = "percent", *, signed: bool = False) -> str:
        """Return the interval of ``estimate``; ``kind`` is percent, points, amount or count."""
        ends = [estimate["low"], estimate["high"]]
        # Both ends with the same number of decimals.
        like = max((abs(end) for end in ends if end is not None), default=None)
        low, high = (self.figure(end, kind, signed=signed, like=like) for end in ends)
        return self.span(low, high)

    def figure(
        self, number: float | None, kind: str, *, signed: bool = False, like: float | None = None
    ) -> str | None:
        """Return ``number`` as ``kind``, ``None`` where there is none."""
        if number is None:
            return None
        match kind:
            case "percent":
                return self.percent(number, signed=signed, like=like)
            case "points":
                return self.points(number, like=like)
            case "count":
                return self.count(number, signed=signed)
            case _:
                return self.amount(number, signed=signed, like=like)


def _hundredths(share: float, signed: bool, like: float | None) -> str:
    size = 100 * abs(share if like is None else like)
    places = 1 if size >= 10 else 2 if size >= 1 or size == 0 else min(_after_point(size) + 1, 6)
    return _rounded(100 * share, places, signed)


def _after_point(size: float) -> int:
    """Return the place after the point of the first digit of ``size`` < 1."""
    return -math.floor(math.log10(size))


def _rounded(number: float, places: int, signed: bool) -> str:
    return _minus(f"{number:{'+' if signed else ''},.{places}f}")


def _minus(text: str) -> str:
    """Return ``text`` with a true minus sign; a rounded zero has none."""
    if not any(digit in "123456789" for digit in text):
        text = text.lstrip("+-")
    return text.replace("-", "\N{MINUS SIGN}", 1) if text.startswith("-") else text
