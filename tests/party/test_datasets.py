"""Reading people's files: every format gives the same text, and every broken file one clear sentence."""

from __future__ import annotations

import csv
import decimal
import gzip
import io
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from party.datasets import Dataset, check_unchanged, open_dataset, read_batches, read_rows
from psi.errors import UsageError

# A tab, a line break and quotes are what a CSV cell can be broken by; surrogates are no text.
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
PERSON = "13912345678"


def read(dataset: Dataset, *columns: str, batch_rows: int = 2) -> dict[str, list[str | None]]:
    """All cells by column; checks the row numbers on the way."""
    names = columns or tuple(name for name in dataset.names if name)
    cells: dict[str, list[str | None]] = {name: [] for name in names}
    expected = 0
    for batch in read_batches(dataset, names, batch_rows=batch_rows):
        assert batch.first_row == expected
        expected += len(batch)
        for name, array in batch.columns.items():
            assert array.type == pa.string()
            cells[name].extend(array.to_pylist())
    return cells


def fails(code: str, path: Path, *columns: str, **how: str) -> UsageError:
    """Opening or reading the file fails with this code, and nothing of the file's cells is in the error."""
    with pytest.raises(UsageError) as caught:
        read(open_dataset(path, **how), *columns)
    error = caught.value
    assert error.code.name == code
    assert str(path) in error.message
    assert error.hint
    assert PERSON not in "".join(traceback.format_exception(error))
    assert "\n" not in str(error)
    return error


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes | str], Path]:
    def _write(content: bytes | str, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write


# --- what is read


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=20), mark=st.sampled_from(",;\t|"))
@example(rows=[('say "hi"', "a,b"), ("two\nlines", "\r\n"), ("", "x")], mark=",")
def test_csv_gives_back_any_text(tmp_path: Path, rows: list[tuple[str, str]], mark: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=mark, quoting=csv.QUOTE_ALL)
    writer.writerows([("left", "right"), *rows])
    path = tmp_path / "any.csv"
    path.write_bytes(text.getvalue().encode())
    cells = read(open_dataset(path, delimiter=mark), batch_rows=3)
    assert list(zip(cells["left"], cells["right"], strict=True)) == [
        (left or None, right or None) for left, right in rows
    ]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_delimiter_and_encoding_are_found(
    write: Callable[[bytes], Path], mark: str, encoding: str, newline: str
) -> None:
    rows = [["手机", "姓名", "note"], ["0138", "张三", '"a,b;c|d\te"'], ["NULL", "", "NA"]]
    path = write((newline.join(mark.join(row) for row in rows) + newline).encode(encoding))
    dataset = open_dataset(path)
    assert dataset.delimiter == mark
    assert dataset.encoding == encoding.removesuffix("-sig")
    assert dataset.has_bom == (encoding in ("utf-8-sig", "utf-16"))
    assert read(dataset) == {
        "手机": ["0138", "NULL"],
        "姓名": ["张三", None],
        "note": ["a,b;c|d\te", "NA"],
    }


def test_an_explicit_delimiter_wins(write: Callable[[str], Path]) -> None:
    path = write("a,b;c\n1,2;3\n")
    assert read(open_dataset(path, delimiter=";")) == {"a,b": ["1,2"], "c": ["3"]}
    assert read(open_dataset(write('"a\nx";b\n1;2\n'))) == {"a\nx": ["1"], "b": ["2"]}
    assert read(open_dataset(write("a\tb\n1\t2\n"), delimiter="tab")) == {"a": ["1"], "b": ["2"]}


def test_the_same_rows_in_every_format(tmp_path: Path) -> None:
    rows: list[list[str | None]] = [
        ["0013800138000", "张三"],
        ["x,y", 'quo"te'],
        [None, "NULL"],
        ["13800138000123456789", "é"],
    ]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["id", "name"], *rows])
    (tmp_path / "a.csv").write_bytes(text.getvalue().encode())
    (tmp_path / "b.csv").write_bytes(text.getvalue().encode("gb18030"))
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(text.getvalue().encode()))
    objects = "".join(json.dumps(dict(zip(("id", "name"), row, strict=True))) + "\n" for row in rows)
    (tmp_path / "d.jsonl").write_text(objects)
    columns = [list(column) for column in zip(*rows, strict=True)]
    pq.write_table(pa.table(columns, names=["id", "name"]), tmp_path / "e.parquet", row_group_size=3)
    found = [read(open_dataset(path)) for path in sorted(tmp_path.iterdir())]
    assert found == [{"id": columns[0], "name": columns[1]}] * 5
    for path in sorted(tmp_path.iterdir()):
        picked = list(read_rows(open_dataset(path), "name", np.array([0, 3], np.uint64)))
        assert [cell for _, cells in picked for cell in cells.to_pylist()] == ["张三", "é"]


def test_blank_lines(write: Callable[[str], Path]) -> None:
    """In one column a blank line is an empty cell, else row numbers would shift; with more it is no row."""
    assert read(open_dataset(write("a\n1\n\n3\n"))) == {"a": ["1", None, "3"]}
    assert read(open_dataset(write("a,b\n1,2\n\n3,4\n\n"))) == {"a": ["1", "3"], "b": ["2", "4"]}


@pytest.mark.parametrize(
    "name",
    ["with space.csv", "semi;colon.csv", "$(touch x).csv", "手机 号.csv", "a'b\"c.csv", "st*r[1]?.csv"],
)
def test_no_path_is_special(write: Callable[[bytes | str, str], Path], tmp_path: Path, name: str) -> None:
    """A space or semicolon in a path read another file, or ran a command, elsewhere."""
    write("a\nwrong\n", name.split()[0].split(";")[0] + ".other")
    assert read(open_dataset(write("a\nright\n", name))) == {"a": ["right"]}
    assert len(list(tmp_path.iterdir())) == 2


def test_parquet_types_become_the_text_of_a_csv(tmp_path: Path) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    columns = {
        "integer": (pa.array([13800138000, None]), ["13800138000", None]),
        "big": (pa.array([2**64 - 1, 0], pa.uint64()), ["18446744073709551615", "0"]),
        "float": (pa.array([13800138000.0, 1.5]), ["13800138000", "1.5"]),
        "missing": (pa.array([float("nan"), None]), [None, None]),
        "decimal": (pa.array([decimal.Decimal("12.00"), decimal.Decimal("12.50")]), ["12", "12.50"]),
        "coded": (pa.array(["x", ""]).dictionary_encode(), ["x", None]),
        "bytes": (pa.array([b"007", b"y"]), ["007", "y"]),
        "fixed": (pa.array([b"ab", b"cd"], pa.binary(2)), ["ab", "cd"]),
        "truth": (pa.array([True, False]), ["true", "false"]),
        "date": (pa.array([date(2026, 1, 2), None]), ["2026-01-02", None]),
        "time": (pa.array([when.replace(tzinfo=None), None]), ["2026-01-02 03:04:05", None]),
        "zoned": (
            pa.array([when, None], pa.timestamp("us", "Asia/Shanghai")),
            ["2026-01-02 11:04:05+0800", None],
        ),
        "nothing": (pa.nulls(2), [None, None]),
        "dotted.name": (pa.array(["a", "b"]), ["a", "b"]),
    }
    path = tmp_path / "types.parquet"
    pq.write_table(pa.table({name: array for name, (array, _) in columns.items()}), path)
    assert read(open_dataset(path)) == {name: texts for name, (_, texts) in columns.items()}


def test_json_numbers_keep_their_digits(write: Callable[[str, str], Path]) -> None:
    lines = '{"id": 13800138000123456789012, "n": 1.50}\n\n{"n": true, "id": 13800138000.0}\n{"id": null}\n'
    assert read(open_dataset(write(lines, "x.jsonl"))) == {
        "id": ["13800138000123456789012", "13800138000", None],
        "n": ["1.50", "true", None],
    }


def test_batches_are_the_same_at_every_size(write: Callable[[str], Path]) -> None:
    path = write("a,b\n" + "".join(f"{row},x\n" for row in range(1000)))
    dataset = open_dataset(path)
    for size in (1, 7, 999, 1000, 65536):
        batches = list(read_batches(dataset, ["a"], batch_rows=size))
        assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
        assert [cell for batch in batches for cell in batch.columns["a"].to_pylist()] == list(
            map(str, range(1000))
        )
    wanted = np.array([0, 1, 500, 999], np.uint64)
    found = [(rows.tolist(), cells.to_pylist()) for rows, cells in read_rows(dataset, "a", wanted)]
    assert found == [([0, 1, 500, 999], ["0", "1", "500", "999"])]
    assert list(read_rows(dataset, "a", np.array([], np.uint64))) == []
    with pytest.raises(ValueError, match="beyond the end"):
        list(read_rows(dataset, "a", np.array([1000], np.uint64)))
    with pytest.raises(ValueError, match="sorted"):
        list(read_rows(dataset, "a", np.array([2, 1], np.uint64)))


def test_fingerprint_is_of_names_and_types_only(write: Callable[[str], Path]) -> None:
    first = open_dataset(write("a,b\n1,2\n")).schema_fingerprint()
    assert open_dataset(write("a,b\n3,4\n5,6\n")).schema_fingerprint() == first
    assert open_dataset(write("b,a\n1,2\n")).schema_fingerprint() != first
    assert len(bytes.fromhex(first)) == 32


# --- what goes wrong


def test_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("a\n1\n")
    assert "'customers.csv'" in fails("missing_file", tmp_path / "customer.csv").hint
    assert "folder" in fails("missing_file", tmp_path / "no" / "x.csv").hint


def test_what_is_no_file(tmp_path: Path) -> None:
    fails("unreadable_file", tmp_path)
    os.mkfifo(tmp_path / "pipe")
    fails("unreadable_file", tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    fails("unreadable_file", tmp_path / "loop")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "closed.csv"
    path.write_text("a\n1\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # a mode would not stop the superuser
    assert "Permission denied" in fails("unreadable_file", path).message


@pytest.mark.parametrize("content", [b"", b"\n", b"a,b\n", b"\xef\xbb\xbf", b"\xef\xbb\xbfa,b\r\n", b"  \n"])
def test_an_empty_file(write: Callable[[bytes], Path], content: bytes) -> None:
    fails("empty_file", write(content))


def test_an_empty_parquet_or_json_file(tmp_path: Path, write: Callable[[str, str], Path]) -> None:
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), tmp_path / "none.parquet")
    fails("empty_file", tmp_path / "none.parquet")
    fails("empty_file", write("\n\n", "none.jsonl"))


def test_a_missing_column_suggests_the_nearest(write: Callable[[str], Path]) -> None:
    path = write("Mobile,tier\n1,2\n")
    error = fails("missing_column", path, "mobile")
    assert error.message == f"{path} has no column 'mobile'."
    assert error.hint == "Did you mean 'Mobile'? Its columns are 'Mobile', 'tier'."
    dataset = open_dataset(write("mobile;tier\n1;2\n"), delimiter=",")
    with pytest.raises(UsageError, match="is the delimiter ';'"):
        dataset.require("mobile")


@pytest.mark.parametrize(
    "header", [PERSON, f"+86 {PERSON}", "me@mail.example", "ab" * 32, "11010519491231002X"]
)
def test_a_file_without_header_shows_no_cell(write: Callable[[str], Path], header: str) -> None:
    error = fails("bad_format", write(f"{header},gold\n{PERSON},basic\n"), "mobile")
    assert header not in str(error)
    assert "looks like data" in error.message


def test_repeated_columns(write: Callable[[str], Path]) -> None:
    assert "'a'" in fails("bad_format", write("a,b,a\n1,2,3\n")).message
    # A delimiter at the end of each line makes a nameless column, two of them even two.
    assert read(open_dataset(write("a,,\n1,,\n"))) == {"a": ["1"]}


def test_ragged_rows_are_named(write: Callable[[str], Path]) -> None:
    path = write("a,b\n1,2\n" + f"{PERSON},2,3\n4,5\n")
    assert fails("bad_format", path).message == f"{path} has 3 cells in data row 2, where the header has 2."
    far = "a,b\n" + "1,2\n" * 1_500_000 + PERSON + "\n"
    assert "data row 1500001" in fails("bad_format", write(far), "a").message


@pytest.mark.parametrize("end", ["", "\n"])
def test_an_unclosed_quotation_mark_swallows_nothing_silently(write: Callable[[str], Path], end: str) -> None:
    rest = "\n".join(f"{PERSON},{row}" for row in range(20_000))
    assert "inside a quoted cell" in fails("bad_format", write(f'a,b\n1,"2\n{rest}{end}'), "a").message
    many = "x" * 200_000  # longer than the csv module's own limit of a cell
    assert "inside a quoted cell" in fails("bad_format", write(f'a,b\n1,2\n3,"{many}{end}'), "a").message
    assert read(open_dataset(write(f'a,b\n1,5" screen\n{end}'))) == {"a": ["1"], "b": ['5" screen']}


def test_an_endless_row(write: Callable[[str], Path]) -> None:
    fails("bad_format", write("a,b\n1,2\n" + 'x,"' + "y" * (9 << 20) + '"\n'), "a")
    fails("bad_format", write('"' + "y" * (2 << 20)))


def test_encodings_that_do_not_fit(write: Callable[[bytes], Path]) -> None:
    fails("bad_encoding", write(b"a,b\n\xff\xff,1\n"))
    fails("bad_encoding", write("a,b\n张,1\n".encode("gb18030")), encoding="utf-8")
    fails("bad_encoding", write("a,b\n1,2\n".encode("utf-16-le")))
    fails("bad_encoding", write(b"a,b\n1,2\n"), encoding="utf-16")
    late = b"a,b\n" + b"1,2\n" * 600_000 + "张,2\n".encode("gb18030")
    assert "in line 600002" in fails("bad_encoding", write(late)).message
    late = "张,b\n".encode("gb18030") + b"1,2\n" * 600_000 + b"\xff\xff,2\n"
    assert "in line 600002" in fails("bad_encoding", write(late)).message
    with pytest.raises(UsageError, match="Encoding 'klingon' is not supported"):
        open_dataset(write(b"a\n1\n"), encoding="klingon")


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "、"])
def test_delimiters_that_cannot_be(write: Callable[[str], Path], delimiter: str) -> None:
    with pytest.raises(UsageError, match="is not a single ASCII character"):
        open_dataset(write("a\n1\n"), delimiter=delimiter)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.xlsx", b"PK\x03\x04rest", "spreadsheet"),
        ("x.parquet", b"a,b\n1,2\n", "not a Parquet file"),
        ("x.csv.gz", gzip.compress(b"a,b\n" * 5000, mtime=0)[:-12], "gzip"),
        ("x.json", b'[{"a": 1}]', "JSON array"),
        ("x.jsonl", b'{"a": 1}\n{"a": 1391234567', "line 2"),
        ("x.jsonl", b'{"a": 1}\n[13912345678]\n', "line 2"),
        ("x.jsonl", b'{"a": 1}\n{"a": [13912345678]}\n', "line 2"),
        ("x.jsonl", b'{"a": "\\ud800"}\n', "broken character escape"),
        ("x.csv", b"\na,b\n1,2\n", "blank line"),
    ],
)
def test_files_that_are_not_what_they_seem(
    write: Callable[[bytes, str], Path], name: str, content: bytes, says: str
) -> None:
    error = fails("bad_encoding" if "escape" in says else "bad_format", write(content, name))
    assert says in error.message


def test_a_broken_json_line_far_down(write: Callable[[str, str], Path]) -> None:
    lines = '{"a": "1"}\n' * 120_000
    assert "line 120001" in fails("bad_format", write(lines + '{"a": \n', "x.jsonl")).message
    broken = write(lines, "y.jsonl")
    with broken.open("ab") as file:
        file.write(b'{"a": "\xff"}\n')
    assert "line 120001" in fails("bad_encoding", broken).message


def test_nested_and_binary_parquet_columns(tmp_path: Path) -> None:
    path = tmp_path / "odd.parquet"
    pq.write_table(pa.table({"ok": ["a"], "list": [[1]], "struct": [{"x": 1}], "raw": [b"\xff"]}), path)
    assert read(open_dataset(path), "ok") == {"ok": ["a"]}
    assert "'list'" in fails("bad_format", path, "list").message
    assert "'struct'" in fails("bad_format", path, "struct").message
    assert "'raw'" in fails("bad_encoding", path, "raw").message
    path.write_bytes(path.read_bytes()[:-40])
    fails("bad_format", path, "ok")


def test_a_file_that_changes_is_noticed(write: Callable[[str], Path]) -> None:
    path = write("a\n" + "1\n" * 10)
    dataset = open_dataset(path)
    check_unchanged(dataset)
    batches = read_batches(dataset, ["a"], batch_rows=2)
    next(batches)
    path.write_text("a\n" + "2\n" * 11)
    for attempt in (
        lambda: check_unchanged(dataset),
        lambda: list(batches),
        lambda: read_batches(dataset, ["a"]),
    ):
        with pytest.raises(UsageError) as caught:
            attempt()
        assert caught.value.code.name == "file_changed"


def test_representations_show_no_cell(write: Callable[[str], Path]) -> None:
    dataset = open_dataset(write(f"a\n{PERSON}\n"))
    batch = next(iter(read_batches(dataset, ["a"])))
    assert repr(batch) == str(batch) == "Batch(rows 0 to 0, 1 columns)"
    assert PERSON not in repr(dataset)


_MEASURE = """
import resource, sys
from party.datasets import open_dataset, read_batches
dataset = open_dataset(sys.argv[1])
peaks, rows = [], 0
for batch in read_batches(dataset, ["id"]):
    rows += len(batch)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(rows, (peaks[-1] - peaks[len(peaks) // 10]) // 1024)
"""


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, ending: str) -> None:
    """After a tenth of the rows the peak is reached: the rest (tens of MiB of text) adds next to nothing."""
    rows = 300_000 if ending == "jsonl" else 3_000_000
    numbers = np.arange(13 * 10**9, 13 * 10**9 + rows)
    path = tmp_path / f"many.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({"id": pa.array(numbers).cast(pa.string())}), path, row_group_size=1 << 20)
    else:
        template = "%d\n" if ending == "csv" else '{"id": "%d"}\n'
        with path.open("w") as file:
            file.write("id\n" if ending == "csv" else "")
            file.writelines(template % number for number in numbers.tolist())
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(path)], cwd=root, check=True, capture_output=True, text=True
    )
    counted, grown = map(int, done.stdout.split())
    assert counted == rows
    assert grown < 16
