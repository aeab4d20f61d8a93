"""What people read, in their language: gettext catalogues, and figures, dates and money as each language writes them.

English is the source: a message is its own key. What errors say has values in it, and is found by its pattern
(``console.errorwords``). Every ``locale/zh/*.po`` file is read when the console starts.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from babel.dates import format_date, format_datetime, format_time
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent

from console.errorwords import Sentences
from console.settings import LANGUAGES

_LOCALES: Final = {"en": "en_GB", "zh": "zh_CN"}
_FOLDER: Final = Path(__file__).parent / "locale"
_NONE: Final = "\N{EN DASH}"
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Return English message -> message of ``language``, of all its files together."""
    found: dict[str, str] = {}
    for path in sorted((_FOLDER / language).glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=_LOCALES[language], abort_invalid=True):
                if message.id and isinstance(message.id, str) and message.string:
                    found[message.id] = str(message.string)
    return found


@cache
def _sentences(language: str) -> Sentences:
    return Sentences(catalogue(language))


class Words:
    """One language. ``say`` translates; the other methods write figures and times. ``zone`` is the node's."""

    def __init__(self, language: str, zone: datetime.tzinfo | None = None) -> None:
        self.language = language if language in LANGUAGES else LANGUAGES[0]
        self._locale = _LOCALES[self.language]
        self._zone = zone

    def say(self, message: str, **values: object) -> str:
        """Return ``message`` in this language, with ``{name}`` replaced by what is given."""
        text = catalogue(self.language).get(message, message)
        return text.format(**values) if values else text

    def error(self, sentence: str) -> str:
        """Return what an error says, or its hint, in this language; English where no catalogue has it."""
        return _sentences(self.language).translate(sentence)

    def number(self, value: float | int | decimal.Decimal | str | None) -> str:
        """Return a count or figure with its separators; a dash for what isn't there."""
        if value is None:
            return _NONE
        number = decimal.Decimal(value) if isinstance(value, str) else value
        return str(format_decimal(number, locale=self._locale))

    def money(self, value: decimal.Decimal | str | float | None) -> str:
        """Return an amount with two decimals; its currency is the column's, which nobody told us."""
        if value is None:
            return _NONE
        number = decimal.Decimal(value) if isinstance(value, str) else value
        return str(format_decimal(number, format="#,##0.00", locale=self._locale))

    def percent(self, share: float | None, digits: int = 1) -> str:
        """Return a share between 0 and 1 as a percentage."""
        if share is None:
            return _NONE
        return str(format_percent(share, format=f"#,##0.{'0' * digits} %", locale=self._locale))

    def moment(self, when: datetime.datetime | float | None) -> str:
        """Return date and time to the minute, in the node's zone; numbers are seconds since 1970 UTC."""
        if when is None:
            return _NONE
        return str(format_datetime(self._local(when), "yyyy-MM-dd HH:mm", locale=self._locale))

    def day(self, when: datetime.datetime | datetime.date | float) -> str:
        """Return the day as this language writes it."""
        day = when if isinstance(when, datetime.date) else self._local(when)
        return str(format_date(day, "medium", locale=self._locale))

    def clock(self, when: datetime.datetime | float) -> str:
        """Return the time of day to the second."""
        return str(format_time(self._local(when), "HH:mm:ss", locale=self._locale))

    def span(self, seconds: float | None) -> str:
        """Return a length of time in its two largest units."""
        if seconds is None:
            return _NONE
        rest = max(0, round(seconds))
        units = ((_DAY, "{n} d"), (_HOUR, "{n} h"), (_MINUTE, "{n} min"), (1, "{n} s"))
        for place, (size, name) in enumerate(units):
            if rest >= size or size == 1:
                said = [self.say(name, n=rest // size)]
                left = rest % size
                if place + 1 < len(units) and left // units[place + 1][0]:
                    said.append(self.say(units[place + 1][1], n=left // units[place + 1][0]))
                return " ".join(said)
        raise AssertionError("every length of time has a unit")

    def bytes(self, count: float | None) -> str:
        """Return a number of bytes in the largest unit that leaves a digit before the point."""
        if count is None:
            return _NONE
        value = float(count)
        for unit in ("B", "kB", "MB", "GB"):
            if value < 1000 or unit == "GB":
                shown = format_decimal(
                    value, format="#,##0" if unit == "B" else "#,##0.#", locale=self._locale
                )
                return f"{shown} {unit}"
            value /= 1000
        raise AssertionError("every size has a unit")

    def _local(self, when: datetime.datetime | float) -> datetime.datetime:
        if not isinstance(when, datetime.datetime):
            when = datetime.datetime.fromtimestamp(when, datetime.UTC)
        return when.astimezone(self._zone)


def accepted(header: str) -> str | None:
    """Return the first language of an ``Accept-Language`` header that there is, by its order."""
    for part in header.split(",")[:16]:
        tag = part.split(";", 1)[0].strip().lower()
        for language in LANGUAGES:
            if tag == language or tag.startswith(language + "-"):
                return language
    return None
