"""Bundles: what is written is read back, and every other file is refused at the line that is wrong."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import rfc8785

from audit import bundle
from audit.bundle import KINDS, LONGEST_LINE, Bundle, BundleFault, Header, lines_of
from tests.audit.synthetic_logs import Pair, bundles, closed, with_header


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    pair = Pair("bundle")
    pair.jobs(["measure"])
    pair.bank.evidence.append(("bad_signature", pair.platform.sign()))
    return bundles(pair)["bank"]


def _read(lines: list[bytes]) -> tuple[Header, int, list[bundle.Extra]]:
    read = Bundle("x", lines)
    return read.header, sum(1 for _ in read.entries()), list(read.extras())


def test_what_is_written_is_read_back(lines: list[bytes]) -> None:
    header, entries, extras = _read(lines)
    assert header.size == entries == int(json.loads(lines[0])["size"])
    assert {extra.kind for extra in extras} == KINDS.keys() - {"inclusion", "consistency"}
    assert 1 + entries + len(extras) + 1 == len(lines)
    read = Bundle("x", lines_of(io.BytesIO(b"".join(lines))))
    written = bundle.write(
        read.header,
        ((bytes.fromhex(line.leaf.decode()), line.data) for line in read.entries()),
        ({"kind": extra.kind, **extra.fields} for extra in read.extras()),
    )
    assert list(written) == lines


def test_reading_over_the_entries_is_reading_them(lines: list[bytes]) -> None:
    assert [each.kind for each in Bundle("x", lines).extras()] == [each.kind for each in _read(lines)[2]]


def _faults(lines: list[bytes]) -> BundleFault:
    with pytest.raises(BundleFault) as caught:
        _read(lines)
    assert str(caught.value).isprintable()
    return caught.value


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"veiljoin_bundle": 2}, "version"),
        ({"role": "platform"}, "role"),
        ({"size": -1}, "size"),
        ({"identity": "00"}, "identity"),
        ({"log": "x"}, "log"),
        ({"entries_from": 5}, "entries_from"),
        ({"pack": "x"}, "pack"),
        ({"more": 1}, "key"),
    ],
)
def test_a_header_that_is_none_is_refused(lines: list[bytes], change: dict[str, Any], what: str) -> None:
    fault = _faults([with_header(lines[0], **change), *lines[1:]])
    assert fault.line == 1
    assert what in fault.what


def test_other_files_are_no_bundles() -> None:
    for content, what in ((b"", "empty"), (b"id,phone\n", "JSON"), (b"{}\n", "header"), (b"{}", "cut short")):
        fault = _faults([content] if content else [])
        assert (fault.line, what in fault.what) == (1, True)


@pytest.mark.parametrize("kept", [1, 2, 10, -1])
def test_a_file_that_is_cut_is_refused(lines: list[bytes], kept: int) -> None:
    cut = lines[:kept]
    assert _faults(cut).line == len(cut) + 1
    assert _faults([*cut[:-1], cut[-1][:-1]]).line >= len(cut)


def test_lines_of_no_kind_and_of_another_shape_are_refused(lines: list[bytes]) -> None:
    told: tuple[tuple[dict[str, Any], str], ...] = (
        ({"kind": "gossip"}, "kind"),
        ({"kind": "policy", "digest": "0" * 64}, "policy is missing"),
        ({"kind": "policy", "digest": "0" * 64, "policy": {}, "more": 1}, "does not know"),
        ({"kind": "inclusion", "sequence": 0, "size": 1, "proof": ["00"]}, "proof"),
        ({"kind": "evidence", "log": "x", "reason": "fork", "note": ""}, "log"),
        ({"policy": {}}, "kind"),
    )
    for line, what in told:
        fault = _faults([*lines[:-1], rfc8785.dumps(line) + b"\n", lines[-1]])
        assert (fault.line, what in fault.what) == (len(lines), True)


def test_the_end_line_counts_and_hashes_what_is_before_it(lines: list[bytes]) -> None:
    end = json.loads(lines[-1])
    for changed, what in (
        ({"lines": len(lines) + 1}, "number"),
        ({"sha256": "0" * 64}, "digest"),
        ({"lines": "x"}, "lines"),
    ):
        assert what in _faults([*lines[:-1], rfc8785.dumps(end | changed) + b"\n"]).what
    assert "behind" in _faults([*lines, b"\n"]).what
    shorter = closed([*lines[:-2], lines[-1]])
    assert _read(shorter)[1] == _read(lines)[1]


def test_a_line_without_an_end_takes_no_more_memory_than_a_line(lines: list[bytes]) -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def readline(self, limit: int | None = -1, /) -> bytes:
            assert limit is not None
            assert limit == LONGEST_LINE + 1
            self.taken += 1
            return lines[0] if self.taken == 1 else b"x" * 1_000

    read = Bundle("x", lines_of(Endless()))
    with pytest.raises(BundleFault, match="line 2"):
        list(read.entries())


def test_the_writer_refuses_what_no_reader_takes(lines: list[bytes]) -> None:
    header = Bundle("x", lines).header
    for entries, extras in (
        ([(b"\0" * 32, b"{\n}")], []),
        ([], [{"kind": "gossip"}]),
        ([], [{"kind": "evidence", "log": header.log, "reason": "two words", "note": ""}]),
    ):
        with pytest.raises(ValueError, match=r"line|evidence"):
            list(bundle.write(header, entries, extras))
