"""What errors say, in the language of who reads: whole sentences, with their values in place.

An error is made in English far from any page, with values in its sentence already. In the catalogues such a
sentence stands with holes, ``Job {1} is {2}.``, numbered from the left, and its translation takes the same numbers
in any order. ``{2:word}`` in a translation is a value that is one word of ours, such as the state of a job, or
several with commas between them; those are translated as well.

A sentence is compared with the literal text around the holes, from left to right and never back: whatever a value
holds, the work is at most twice the sentence's length for each pattern.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

# Longer sentences are shown as they are.
MOST_CHARACTERS: Final = 2_000
_HOLE: Final = re.compile(r"\{([0-9]+)(:word)?\}")


@dataclass(frozen=True, slots=True)
class _Hole:
    """A place in a translation: which value goes there, and whether it is a word of ours."""

    number: int
    word: bool


@dataclass(frozen=True, slots=True)
class _Pattern:
    """An English sentence with holes, as the literal texts around them, and its translation in pieces."""

    literals: tuple[str, ...]
    answer: tuple[str | _Hole, ...]

    @property
    def weight(self) -> int:
        """Return how much literal text there is; what has more of it says more exactly what is meant."""
        return sum(map(len, self.literals))

    @property
    def first_word(self) -> str:
        """Return the word that every sentence of this pattern begins with, empty if there is none."""
        word, blank, _ = self.literals[0].partition(" ")
        return word if blank else ""

    def values(self, sentence: str) -> tuple[str, ...] | None:
        """Return what stands in the holes, ``None`` for another sentence. Every hole holds something."""
        first, *middle, last = self.literals
        at, end = len(first), len(sentence) - len(last)
        if at >= end or not sentence.startswith(first) or not sentence.endswith(last):
            return None
        found = []
        for literal in middle:
            # The leftmost place leaves the most room for what follows, so there is no need to try another.
            following = sentence.find(literal, at + 1, end)
            if following < 0:
                return None
            found.append(sentence[at:following])
            at = following + len(literal)
        return None if at >= end else (*found, sentence[at:end])


class Sentences:
    """The sentences of one language. ``messages`` is its catalogue, English message -> message.

    Raises ``ValueError`` for holes that are not numbered 1, 2, … or that the translation doesn't have.
    """

    def __init__(self, messages: Mapping[str, str]) -> None:
        self._messages = messages
        patterns = [_pattern(message, text) for message, text in messages.items() if _HOLE.search(message)]
        self._by_word: dict[str, list[_Pattern]] = {}
        for pattern in sorted(patterns, key=lambda each: -each.weight):
            self._by_word.setdefault(pattern.first_word, []).append(pattern)

    def translate(self, sentence: str) -> str:
        """Return ``sentence`` in this language; as it is where the catalogue has nothing that fits.

        A value of several words that is a message itself is translated too, but nothing within that: names are
        mostly one word, and mean what they are.
        """
        return self._translated(sentence, nested=False)

    def _translated(self, sentence: str, *, nested: bool) -> str:
        if len(sentence) > MOST_CHARACTERS:
            return sentence
        known = self._messages.get(sentence)
        if known is not None:
            return known
        for pattern in self._candidates(sentence):
            values = pattern.values(sentence)
            if values is not None:
                return "".join(
                    part if isinstance(part, str) else self._value(values[part.number - 1], part.word, nested)
                    for part in pattern.answer
                )
        return sentence

    def _candidates(self, sentence: str) -> Iterator[_Pattern]:
        """Return the patterns that may fit, those with the most literal text first."""
        word = sentence.partition(" ")[0]
        alike, others = self._by_word.get(word, []), self._by_word.get("", [])
        return heapq.merge(alike, others, key=lambda each: -each.weight) if word else iter(others)

    def _value(self, value: str, word: bool, nested: bool) -> str:
        if word:
            return ", ".join(map(self._word, value.split(", ")))
        return value if nested or " " not in value else self._translated(value, nested=True)

    def _word(self, word: str) -> str:
        # States stand on pages with a capital letter.
        return self._messages.get(word.capitalize(), self._messages.get(word, word))


def _pattern(message: str, text: str) -> _Pattern:
    pieces = _HOLE.split(message)
    numbers = [int(each) for each in pieces[1::3]]
    answer: list[str | _Hole] = []
    at = 0
    for hole in _HOLE.finditer(text):
        answer += [text[at : hole.start()], _Hole(int(hole[1]), hole[2] is not None)]
        at = hole.end()
    answer.append(text[at:])
    taken = {part.number for part in answer if isinstance(part, _Hole)}
    if numbers != list(range(1, len(numbers) + 1)) or taken != set(numbers):
        raise ValueError(f"the holes of this message and its translation do not agree: {message}")
    return _Pattern(tuple(pieces[::3]), tuple(answer))
