"""Looks for traces of identifiers in whatever a run wrote, in every form that would give one away."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from psi.hash_to_curve import hash_to_group
from psi.suites import Suite, domain_separation_tag

_WINDOW: Final = 8
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_BITS: Final = 22
# Lists that belong to the owner of the identifiers in them, finished or being written.
OWNERS: Final = re.compile(r"\.?(matches|holdout|rejects)\.(csv|parquet)(\.[0-9a-f]+\.part)?\Z")


@dataclass(frozen=True, slots=True)
class Seen:
    """One file or folder as it was at some moment; ``content`` is empty for folders."""

    name: str
    mode: int
    is_folder: bool
    content: bytes

    @property
    def exempt(self) -> bool:
        """Whether this is a list of its owner's own rows."""
        return OWNERS.fullmatch(self.name.rpartition("/")[2]) is not None


def capture(*folders: Path) -> list[Seen]:
    """Everything below ``folders`` now. What vanishes meanwhile is left out."""
    seen = []
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                status = path.lstat()
                content = path.read_bytes() if path.is_file() else b""
            except FileNotFoundError:
                continue
            seen.append(Seen(str(path), status.st_mode & 0o7777, path.is_dir(), content))
    return seen


def cells(path: Path, column: str) -> list[str]:
    """The cells of one column of a CSV file."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


def phone_forms(cell: str) -> set[bytes]:
    """What would give a telephone number away: as it stands, normalised, hashed."""
    wide = str.maketrans("０１２３４５６７８９", "0123456789")
    digits = re.sub(r"\D", "", re.sub(r"\.0\Z", "", cell.translate(wide).strip()))
    texts = {cell, cell.strip(), cell.lower()}
    if len(digits) >= 11:
        number = digits[-11:]
        texts |= {number, f"86{number}", f"+86{number}", f"0086{number}"}
    forms = {text.encode() for text in texts}
    for text in list(forms):
        for algorithm in (hashlib.sha256, hashlib.md5, hashlib.sha1):
            digest = algorithm(text, usedforsecurity=False).digest()
            forms |= {digest, digest.hex().encode(), digest.hex().upper().encode()}
    return {form for form in forms if len(form) >= _WINDOW}


def curve_points(suite: Suite, contract: bytes, phones: Iterable[str]) -> set[bytes]:
    """The unmasked group elements of one job: whoever has them can try out every number there is."""
    identifiers = [f"+86{phone}".encode() for phone in phones]
    points = hash_to_group(suite, domain_separation_tag(suite, contract), identifiers)
    size = suite.element_size
    return {points[start : start + size] for start in range(0, len(points), size)}


class Search:
    """Finds any of many byte strings (8 bytes or more each) in data of any length."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        self._by_start: dict[int, list[bytes]] = {}
        for pattern in patterns:
            if len(pattern) < _WINDOW:
                raise ValueError("a pattern has at least 8 bytes")
            self._by_start.setdefault(int.from_bytes(pattern[:_WINDOW], "little"), []).append(pattern)
        self._maybe = np.zeros(1 << _BITS, np.bool_)
        starts = np.fromiter(self._by_start, np.uint64, len(self._by_start))
        self._maybe[self._slots(starts)] = True

    @staticmethod
    def _slots(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        return (words * _MIX) >> np.uint64(64 - _BITS)

    def first_in(self, data: bytes) -> int | None:
        """The offset of something that was looked for, or None. The bytes themselves are not told."""
        for shift in range(_WINDOW):
            count = (len(data) - shift) // _WINDOW
            if count <= 0:
                break
            words = np.frombuffer(data, "<u8", count, shift)
            for place in np.flatnonzero(self._maybe[self._slots(words)]).tolist():
                at = shift + place * _WINDOW
                for pattern in self._by_start.get(int(words[place]), ()):
                    if data.startswith(pattern, at):
                        return at
        return None
