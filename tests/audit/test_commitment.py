"""Salted commitments: bound to their details, mute without the salt."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.canonical import CanonicalError
from audit.commitment import CommitmentError, check_opening, commit

SALT = bytes(range(32))
DETAILS = {"rows": 12, "rejected": {"empty": 1}, "file": "ab" * 32}


def test_a_commitment_is_what_the_specification_says() -> None:
    text = b'{"file":"' + b"ab" * 32 + b'","rejected":{"empty":1},"rows":12}'
    assert commit(SALT, DETAILS) == hashlib.sha256(b"veiljoin/v1/audit/commit\x00" + SALT + text).hexdigest()
    check_opening(commit(SALT, DETAILS), SALT, DETAILS)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3), max_size=3),
    st.binary(min_size=32, max_size=32),
)
def test_other_details_or_another_salt_do_not_open_it(details: dict[str, int], salt: bytes) -> None:
    commitment = commit(SALT, {"a": 4})
    with pytest.raises(CommitmentError, match="do not fit"):
        check_opening(commitment, SALT, details)
    if salt != SALT:
        with pytest.raises(CommitmentError, match="do not fit"):
            check_opening(commitment, salt, {"a": 4})


@pytest.mark.parametrize(
    "commitment", ["", "0" * 64, "é" * 64, commit(SALT, {"a": 4}).upper(), commit(SALT, {"a": 4})[:-1]]
)
def test_another_text_is_no_commitment(commitment: str) -> None:
    with pytest.raises(CommitmentError, match="do not fit"):
        check_opening(commitment, SALT, {"a": 4})


def test_the_same_details_give_another_commitment_each_time() -> None:
    assert commit(SALT, DETAILS) != commit(bytes(32), DETAILS)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_salt_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(CommitmentError, match="32 bytes"):
        commit(bytes(length), DETAILS)


def test_details_without_a_canonical_form_are_refused() -> None:
    with pytest.raises(CanonicalError):
        commit(SALT, {"noise": 0.5})
