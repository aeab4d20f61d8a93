"""What a fuzz target is: one function that takes bytes from a partner, and what may come out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psi.errors import VeiljoinError
from tests.fuzz.mutators import Mutator, plain


class Broken(AssertionError):
    """An input got past a check that the target names."""


@dataclass(frozen=True)
class Target:
    """A parser under test.

    ``feed`` takes one input and returns; it may raise ``VeiljoinError`` and nothing else. ``seeds`` are valid
    inputs, made by code. ``longest`` is the most bytes of an input, ``mutate`` what knows its format, ``quick`` how
    many inputs take a second or so.
    """

    name: str
    feed: Callable[[bytes], None]
    seeds: Sequence[bytes]
    longest: int = 4_096
    mutate: Mutator = plain
    quick: int = 1_000


def run_one(target: Target, data: bytes) -> bool:
    """Feed one input; returns whether it was accepted.

    Raises whatever is no ``VeiljoinError``, and ``Broken`` for one whose sentence isn't fit for a terminal.
    """
    try:
        target.feed(data)
    except VeiljoinError as error:
        if not str(error).isprintable():
            raise Broken("an error's sentence has control characters") from None
        return False
    return True


def require(condition: bool, what: str) -> None:
    """Raise ``Broken`` unless ``condition`` holds."""
    if not condition:
        raise Broken(what)
