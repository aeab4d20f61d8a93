"""Passwords: what is taken for one, and argon2id (RFC 9106) over it.

A password is compared in its NFKC form, so that keyboards and browsers that compose characters in other ways mean the
same one. Every function here takes the same time for a person who isn't there.
"""

from __future__ import annotations

import secrets
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from psi.errors import UsageError

SHORTEST: Final = 12
LONGEST: Final = 256
# RFC 9106, section 4, the second recommended option: passes, memory in KiB, lanes.
COST: Final = (3, 65_536, 4)
_FEWEST_DIFFERENT: Final = 5
# What is typed before it is normalised; NFKC makes at most 18 characters of one.
_LONGEST_TYPED: Final = 1_024
# Two at once take 128 MiB. Who logs in waits so long for a turn, in seconds, while others do.
_AT_ONCE: Final = 2
_TURNS: Final = threading.BoundedSemaphore(_AT_ONCE)
_WAITING: Final = threading.BoundedSemaphore(8)
# Those of 12 characters or more that lists of leaked passwords begin with, without case.
# fmt: off
_COMMON: Final = frozenset(
    (
        "000000000000", "0123456789ab", "111111111111", "112233445566", "121212121212", "123123123123",
        "123412341234", "1234567890-=", "12345678900987654321", "123456789012", "1234567890123",
        "12345678901234567890", "1234567890qwe", "1234567890qwertyuiop", "1234567891011", "123456789123",
        "123456789abc", "123456qwerty", "1q2w3e4r5t6y", "1q2w3e4r5t6y7u8i", "1q2w3e4r5t6y7u8i9o0p",
        "1qaz2wsx3edc", "1qaz2wsx3edc4rfv", "1qazxsw23edc", "a123456789012", "abc123456789", "abcd12345678",
        "abcdefgh1234", "abcdefghijkl", "adminadminadmin", "administrator", "administrator1", "asdfghjkl123",
        "baseballbaseball", "changemechangeme", "changemenow1", "correcthorsebatterystaple", "dragondragon",
        "footballfootball", "iloveyou1234", "iloveyouiloveyou", "letmein12345", "letmeinletmein",
        "manchesterunited", "monkeymonkey", "p@ssw0rd1234", "passw0rd1234", "password1234", "password12345",
        "password123456", "passwordpassword", "princess1234", "q1w2e3r4t5y6", "qazwsxedcrfv", "qwer1234qwer",
        "qwerty123456", "qwerty12345678", "qwertyqwerty", "qwertyuiop12", "qwertyuiop123", "qwertyuiop[]",
        "qwertyuiopasdf", "starwars1234", "sunshine1234", "superman1234", "veiljoin1234", "veiljoinveiljoin",
        "welcome12345", "woaini123456", "woaini1314520", "woaini5201314", "zaq12wsxcde3", "zxcvbnm123456",
        "zxcvbnmasdfg",
    )
)
# fmt: on


def normal(password: str) -> bytes | None:
    """Return what is hashed of ``password``; ``None`` for what can't be one, which is no fault of ours."""
    if len(password) > _LONGEST_TYPED:
        return None
    plain = unicodedata.normalize("NFKC", password)
    return plain.encode() if len(plain) <= LONGEST and plain.isprintable() else None


def check_new(password: str, name: str) -> bytes:
    """Return what is hashed of a new ``password`` of the person ``name``.

    Raises ``UsageError`` if it is too short, too long, or among what is tried first.
    """
    plain = normal(password)
    if plain is None or len(plain.decode()) < SHORTEST:
        raise UsageError(
            f"A password has {SHORTEST} to {LONGEST} characters.",
            hint="four words that have nothing to do with each other are easy to keep",
        )
    folded = "".join(plain.decode().casefold().split())
    own = "".join(unicodedata.normalize("NFKC", name).casefold().split())
    if len(set(folded)) < _FEWEST_DIFFERENT or folded in _COMMON or not folded.replace(own, ""):
        raise UsageError(
            "This password is among the first that others would try.",
            hint="take four words that have nothing to do with each other, or let a password manager make one",
        )
    return plain


def one_time() -> str:
    """Return a password that is handed over once: 80 random bits in groups that can be read out."""
    # Without the characters that are taken for others.
    letters = "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(20))
    return "-".join(letters[start : start + 5] for start in range(0, 20, 5))


@contextmanager
def turn(seconds: float | None = None) -> Iterator[bool]:
    """Wait for one of the two places to hash at, at most ``seconds``; gives whether there was one.

    Of those who wait for a while only so many may wait at once: each holds a thread that others need.
    """
    if seconds is not None and not _WAITING.acquire(blocking=False):
        yield False
        return
    try:
        taken = _TURNS.acquire(timeout=seconds)
    finally:
        if seconds is not None:
            _WAITING.release()
    try:
        yield taken
    finally:
        if taken:
            _TURNS.release()


class Hasher:
    """argon2id of ``cost`` (passes, memory in KiB, lanes). Callers hold a :func:`turn`."""

    def __init__(self, cost: tuple[int, int, int] = COST) -> None:
        passes, memory, lanes = cost
        self._argon2 = PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=lanes)

    def hash(self, plain: bytes) -> str:
        """Return the encoded hash, with salt and parameters."""
        return self._argon2.hash(plain)

    def matches(self, encoded: str | None, plain: bytes | None) -> bool:
        """Return whether ``plain`` is what ``encoded`` was made of; of nobody (``None``) after the same work."""
        if encoded is None or plain is None:
            self._argon2.hash(b"nobody")
            return False
        try:
            return self._argon2.verify(encoded, plain)
        except (VerifyMismatchError, InvalidHashError):
            return False

    def outdated(self, encoded: str) -> bool:
        """Return whether ``encoded`` was made with other parameters than are used now."""
        return self._argon2.check_needs_rehash(encoded)
