"""The differencing ledger and a party's home: exact comparisons, nothing readable on disk, private files."""

from __future__ import annotations

import datetime
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from party.home import Home
from party.ledger import Ledger, ledger_key
from party.policy import DEFAULT_POLICY, Differencing
from party.sketch import KEY_BYTES, LedgerKey
from psi.errors import PolicyRefusal, UsageError

NOISE, REFUSE = Differencing("noise"), Differencing("refuse")
KEY = LedgerKey(bytes(range(KEY_BYTES)))
DAY = datetime.timedelta(days=1)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)

    def __call__(self) -> datetime.datetime:
        return self.now


def people(start: int, stop: int) -> list[bytes]:
    """Return canonical phone numbers."""
    return [b"+86138%08d" % number for number in range(start, stop)]


def sketched(ledger: Ledger, start: int, stop: int, changed: int = 0) -> np.ndarray:
    """Return the tags of an input; of ``changed`` persons something else is known."""
    sketch = ledger.sketch()
    known = [b"was" if number < changed else b"is" for number in range(stop - start)]
    sketch.add(sketch.persons(people(start, stop)), sketch.records(known))
    return sketch.finish()


def record(ledger: Ledger, tags: np.ndarray, job: str) -> None:
    """Let a job release something over an input that nobody holds against earlier ones."""
    ledger.release(ledger.admit(tags, job, NOISE, 50, noised=True), NOISE, 50, noised=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def home(tmp_path: Path, clock: Clock, store_url: str) -> Iterator[Home]:
    elsewhere = None if store_url.startswith("sqlite") else store_url
    with Home.open(tmp_path / "home", clock, elsewhere) as home:
        yield home


@pytest.fixture
def ledger(home: Home) -> Ledger:
    return home.ledger("cards", "shop")


def test_the_nearest_earlier_input_is_found(ledger: Ledger) -> None:
    assert ledger.compare(sketched(ledger, 0, 1000)) is None
    for job, (start, stop) in {"far": (500, 1500), "near": (3, 1000), "nearer": (0, 998)}.items():
        record(ledger, sketched(ledger, start, stop), job)
    nearest = ledger.compare(sketched(ledger, 0, 1000))
    assert nearest is not None
    assert (nearest.job, nearest.difference) == ("nearer", 2)
    # One out and one in: the sizes are equal, the inputs are not.
    swapped = ledger.compare(sketched(ledger, 1, 999))
    assert swapped is not None
    assert (swapped.job, swapped.difference) == ("nearer", 2)
    # The same again is no difference, and does not hide another.
    again = ledger.compare(sketched(ledger, 0, 998))
    assert again is not None
    assert (again.job, again.difference) == ("near", 5)


@pytest.mark.parametrize(
    ("rules", "noised", "change", "admitted"),
    [
        (NOISE, False, 0, True),
        (NOISE, False, 1, False),
        (NOISE, False, 49, False),
        (NOISE, False, 50, True),
        (NOISE, True, 1, True),
        (REFUSE, True, 1, False),
        (REFUSE, False, 0, True),
        (REFUSE, True, 50, True),
        (Differencing("refuse", 10), False, 10, True),
        (Differencing("refuse", 10), False, 9, False),
    ],
)
@pytest.mark.parametrize("larger", [True, False])
def test_who_is_admitted(
    ledger: Ledger, rules: Differencing, noised: bool, change: int, admitted: bool, larger: bool
) -> None:
    ledger.admit(sketched(ledger, 0, 1000), "first", rules, 50, noised=False)
    second = sketched(ledger, 0, 1000 + change if larger else 1000 - change)
    if admitted:
        ledger.admit(second, "second", rules, 50, noised=noised)
        return
    with pytest.raises(PolicyRefusal, match="differs from that of job first on 2026-11-22") as caught:
        ledger.admit(second, "second", rules, 50, noised=noised)
    assert caught.value.code.name == "too_small"
    # By fewer than the threshold, and not by how many.
    assert f"fewer than {rules.least(50)} persons" in str(caught.value)
    assert ("epsilon" in caught.value.hint) == (rules.action == "noise")
    assert "wait until 2026-12-22" in caught.value.hint


def test_a_refused_input_is_not_remembered(ledger: Ledger) -> None:
    ledger.admit(sketched(ledger, 0, 1000), "first", REFUSE, 50, noised=False)
    with pytest.raises(PolicyRefusal):
        ledger.admit(sketched(ledger, 0, 1049), "second", REFUSE, 50, noised=False)
    # 51 from the first, 2 from the one that was refused.
    ledger.admit(sketched(ledger, 0, 1051), "third", REFUSE, 50, noised=False)


def test_a_job_that_released_nothing_is_forgotten(home: Home, ledger: Ledger) -> None:
    entry = ledger.admit(sketched(ledger, 0, 1000), "first", REFUSE, 50, noised=False)
    ledger.forget(entry)
    ledger.admit(sketched(ledger, 0, 1001), "second", REFUSE, 50, noised=False)
    assert len(list((home.folder / "ledger").glob("*.tags"))) == 1


def test_other_partners_are_another_story(home: Home, ledger: Ledger) -> None:
    record(ledger, sketched(ledger, 0, 1000), "first")
    other = home.ledger("cards", "another")
    assert other.compare(sketched(other, 0, 999)) is None


def test_the_same_customers_under_another_file_name_are_recognised(home: Home, ledger: Ledger) -> None:
    record(ledger, sketched(ledger, 0, 1000), "first")
    other = home.ledger("cards-2026-11-23.csv", "shop")
    with pytest.raises(PolicyRefusal, match=r"dataset cards-2026-11-23\.csv differs from that of job first"):
        other.admit(sketched(other, 0, 999), "second", NOISE, 50, noised=False)


def test_the_same_persons_with_other_rows_differ(ledger: Ledger) -> None:
    record(ledger, sketched(ledger, 0, 1000), "first")
    for changed in (1, 49):
        with pytest.raises(PolicyRefusal, match="fewer than 50 persons"):
            ledger.admit(sketched(ledger, 0, 1000, changed), "second", NOISE, 50, noised=False)
    ledger.admit(sketched(ledger, 0, 1000, 50), "third", NOISE, 50, noised=False)


def test_rows_that_all_changed_do_not_hide_a_person(ledger: Ledger) -> None:
    record(ledger, sketched(ledger, 0, 1000), "first")
    with pytest.raises(PolicyRefusal, match="fewer than 50 persons"):
        ledger.admit(sketched(ledger, 0, 1001, 1001), "second", NOISE, 50, noised=False)


@pytest.mark.parametrize(("noised", "hint"), [(False, True), (None, False)])
def test_noise_is_advised_where_there_is_some(ledger: Ledger, noised: bool | None, hint: bool) -> None:
    record(ledger, sketched(ledger, 0, 1000), "first")
    with pytest.raises(PolicyRefusal) as caught:
        ledger.admit(sketched(ledger, 0, 999), "second", NOISE, 50, noised=noised)
    assert ("epsilon" in caught.value.hint) == hint


def test_an_input_whose_job_was_killed_lapses_in_a_day(home: Home, ledger: Ledger, clock: Clock) -> None:
    ledger.admit(sketched(ledger, 0, 1000), "killed", REFUSE, 50, noised=False)
    clock.now += DAY / 2
    with pytest.raises(PolicyRefusal, match="differs from that of job killed"):
        ledger.admit(sketched(ledger, 0, 999), "second", REFUSE, 50, noised=False)
    clock.now += DAY / 2
    ledger.admit(sketched(ledger, 0, 999), "second", REFUSE, 50, noised=False)
    assert ledger.purge() == 1
    assert len(list((home.folder / "ledger").glob("*.tags"))) == 1


def test_a_job_that_starts_again_is_not_held_against_itself(home: Home, ledger: Ledger) -> None:
    ledger.admit(sketched(ledger, 0, 1000), "first", REFUSE, 50, noised=False)
    entry = ledger.admit(sketched(ledger, 0, 999), "first", REFUSE, 50, noised=False)
    ledger.purge()
    assert len(list((home.folder / "ledger").glob("*.tags"))) == 1
    # Unless it has released something.
    ledger.release(entry, REFUSE, 50, noised=False)
    with pytest.raises(PolicyRefusal, match="differs from that of job first"):
        ledger.admit(sketched(ledger, 0, 1000), "first", REFUSE, 50, noised=False)


def test_a_job_that_waited_too_long_is_compared_again(ledger: Ledger, clock: Clock) -> None:
    waiting = ledger.admit(sketched(ledger, 0, 1000), "waits", REFUSE, 50, noised=False)
    alone = ledger.admit(sketched(ledger, 5000, 6000), "alone", REFUSE, 50, noised=False)
    clock.now += DAY
    quick = ledger.admit(sketched(ledger, 0, 999), "quick", REFUSE, 50, noised=False)
    ledger.release(quick, REFUSE, 50, noised=False)
    with pytest.raises(PolicyRefusal, match="differs from that of job quick"):
        ledger.release(waiting, REFUSE, 50, noised=False)
    ledger.release(alone, REFUSE, 50, noised=False)
    waiting = ledger.admit(sketched(ledger, 8000, 9000), "waits", REFUSE, 50, noised=False)
    clock.now += DAY
    ledger.purge()
    with pytest.raises(UsageError, match="waited for the partner for longer"):
        ledger.release(waiting, REFUSE, 50, noised=False)


def test_what_the_period_no_longer_covers_is_forgotten(home: Home, ledger: Ledger, clock: Clock) -> None:
    record(ledger, sketched(ledger, 0, 1000), "first")
    clock.now += 29 * DAY
    assert ledger.purge() == 0
    assert ledger.compare(sketched(ledger, 0, 999)) is not None
    clock.now += DAY
    assert ledger.compare(sketched(ledger, 0, 999)) is None
    assert ledger.purge() == 1
    assert [path.name for path in (home.folder / "ledger").iterdir()] == ["key"]


def test_files_of_a_killed_process_are_removed(home: Home, ledger: Ledger) -> None:
    record(ledger, sketched(ledger, 0, 1000), "first")
    folder = home.folder / "ledger"
    for name in ("lost.tags", "half.tags.0a1b.partial"):
        (folder / name).write_bytes(b"")
    assert ledger.purge() == 0
    assert len(list(folder.iterdir())) == 2
    assert ledger.compare(sketched(ledger, 0, 999)) is not None


def test_an_empty_input_is_compared_too(ledger: Ledger) -> None:
    record(ledger, sketched(ledger, 0, 0), "empty")
    nearest = ledger.compare(sketched(ledger, 0, 7))
    assert nearest is not None
    assert nearest.difference == 7


def test_nothing_on_disk_or_in_a_repr_tells_a_person(home: Home, ledger: Ledger) -> None:
    ledger.admit(sketched(ledger, 0, 1000), "first", REFUSE, 50, noised=False)
    found = ledger.compare(sketched(ledger, 0, 998))
    assert found is not None
    assert "difference" not in repr(found)
    assert "redacted" in repr(KEY)
    content = b"".join(path.read_bytes() for path in home.folder.rglob("*") if path.is_file())
    for identifier in people(0, 1000):
        for form in (identifier, identifier[1:], identifier[3:]):
            assert form not in content
            for digest in (hashlib.sha256, hashlib.md5):
                assert digest(form).digest()[:8] not in content


def test_two_homes_have_nothing_in_common(tmp_path: Path) -> None:
    tags = []
    for name in ("bank", "platform"):
        with Home.open(tmp_path / name) as home:
            tags.append(sketched(home.ledger("cards", "shop"), 0, 1000))
    assert len(np.intersect1d(tags[0], tags[1])) == 0


@pytest.mark.parametrize("damage", ["gone", "shorter", "empty", "changed"])
def test_a_damaged_ledger_admits_nobody(home: Home, ledger: Ledger, damage: str) -> None:
    record(ledger, sketched(ledger, 0, 1000), "first")
    (path,) = (home.folder / "ledger").glob("*.tags")
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"shorter": content[:-8], "empty": b"", "changed": content[::-1]}[damage])
    with pytest.raises(UsageError, match=f"The ledger's file .*{path.name}") as caught:
        ledger.admit(sketched(ledger, 0, 1000), "second", REFUSE, 50, noised=False)
    assert "backup" in caught.value.hint


def test_a_lost_or_wrong_key_is_told(home: Home, ledger: Ledger) -> None:
    record(ledger, sketched(ledger, 0, 10), "first")
    key = home.folder / "ledger" / "key"
    key.write_bytes(b"short")
    with pytest.raises(UsageError, match="has 5 bytes instead of 32"):
        home.ledger("cards", "shop")
    key.unlink()
    with pytest.raises(UsageError, match="is gone") as caught:
        home.ledger("cards", "shop")
    assert caught.value.code.name == "missing_file"


def test_the_key_of_who_was_faster_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def overtaken(source: Path, target: Path) -> None:
        target.write_bytes(b"k" * KEY_BYTES)
        real(source, target)

    monkeypatch.setattr(os, "link", overtaken)
    assert ledger_key(tmp_path).reveal() == b"k" * KEY_BYTES
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


# The home


def test_a_home_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "home?x=1 #%20"
    with Home.open(folder) as home:
        assert home.policy == DEFAULT_POLICY
        tags = sketched(home.ledger("cards", "shop"), 0, 10)
        record(home.ledger("cards", "shop"), tags, "first")
        assert home.budget().spent("cards", "shop").runs == 0
        assert home.history().last("cards", "shop") is None
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
    tag_file = next(name for name in modes if name.endswith(".tags"))
    assert modes == {
        folder.name: 0o700,
        "ledger": 0o700,
        "store.sqlite": 0o600,
        "key": 0o600,
        tag_file: 0o600,
    }


def test_a_home_that_was_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    (folder / "policy.toml").write_text("[limits]\nmin_group = 77\n")
    with Home.open(folder) as home:
        assert home.policy.limits.min_group == 77
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_home_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file is a file"):
        Home.open(tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be written: Not a directory"):
        Home.open(tmp_path / "file" / "home")
