"""Columns that a grouped sum reads beside the identifier: label texts and 0/1 stages, with the rows they refuse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from federated.messages import text_fault
from party.datasets import Batch
from party.identifiers.reasons import CODE
from psi.errors import UsageError

Reasons = npt.NDArray[np.uint8]

# Different texts of one label column: far above what a report can show, so that a column of identifiers is found out.
MAX_TEXTS: Final = 100_000
_FLAGS: Final = {"1": 1, "true": 1, "yes": 1, "1.0": 1, "0": 0, "false": 0, "no": 0, "0.0": 0, "": 0}


def refuse(reasons: Reasons, rows: npt.NDArray[np.bool_], name: str) -> None:
    """Give the rows that are usable so far and set in ``rows`` the reason ``name``; in place."""
    reasons[rows & (reasons == 0)] = CODE[name]


class LabelColumns:
    """Numbers the texts of some columns: from 1 by first appearance in accepted rows; 0 is an empty cell.

    ``texts[c][i - 1]`` is the text with number i of column c, without blanks around it.
    """

    def __init__(self, columns: Sequence[str], path: Path) -> None:
        self.columns = tuple(columns)
        self.texts: list[list[str]] = [[] for _ in columns]
        self._path = path
        self._numbers: list[dict[str, int]] = [{} for _ in columns]
        self._encoded: list[pa.DictionaryArray] = []

    def decide(self, batch: Batch, reasons: Reasons) -> None:
        """Refuse the rows whose text cannot be told to a partner (``bad_label``); in place."""
        self._encoded = []
        for name in self.columns:
            cells = pc.utf8_trim_whitespace(batch.columns[name])
            encoded = pc.dictionary_encode(pc.if_else(pc.equal(cells, ""), None, cells))
            faulty = np.array(
                [bool(text_fault(text)) for text in encoded.dictionary.to_pylist()], dtype=np.bool_
            )
            if faulty.any():
                codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
                refuse(
                    reasons, faulty[codes] & encoded.is_valid().to_numpy(zero_copy_only=False), "bad_label"
                )
            self._encoded.append(encoded)

    def numbers(self, usable: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
        """Return the numbers of these rows of the batch decided last, shape (len(usable), columns).

        Raises ``UsageError`` for a column with more than ``MAX_TEXTS`` texts.
        """
        result = np.zeros((len(usable), len(self.columns)), dtype=np.uint32)
        for place, encoded in enumerate(self._encoded):
            codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)[usable]
            found, first = np.unique(codes, return_index=True)
            texts = encoded.dictionary
            number_of = np.zeros(len(texts) + 1, dtype=np.uint32)  # the last one, index -1, is an empty cell
            for code in found[np.argsort(first)].tolist():
                if code >= 0:
                    number_of[code] = self._number(place, texts[code].as_py())
            result[:, place] = number_of[codes]
        return result

    def _number(self, place: int, text: str) -> int:
        known = self._numbers[place]
        if text not in known:
            if len(known) == MAX_TEXTS:
                raise UsageError(
                    f"Column {self.columns[place]!r} of {self._path} has more than {MAX_TEXTS:,} different values.",
                    hint="a column of groups or tags has few values that many persons share; name another column",
                )
            known[text] = len(known) + 1
            self.texts[place].append(text)
        return known[text]


class StageColumns:
    """The 0/1 columns of a funnel in order; without columns nobody has a stage."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)

    def read(self, batch: Batch, reasons: Reasons) -> npt.NDArray[np.uint8]:
        """Return the last stage that each row reached, from 1, or 0; refuse unreadable rows (``bad_flag``)."""
        reached = np.zeros(len(batch), dtype=np.uint8)
        for number, name in enumerate(self.columns, start=1):
            encoded = pc.dictionary_encode(pc.utf8_trim_whitespace(pc.fill_null(batch.columns[name], "")))
            flags = [_FLAGS.get(text.lower(), -1) for text in encoded.dictionary.to_pylist()]
            flag = np.array(flags, dtype=np.int8)[encoded.indices.to_numpy(zero_copy_only=False)]
            refuse(reasons, flag < 0, "bad_flag")
            reached[flag == 1] = number
        return reached
