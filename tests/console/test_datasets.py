"""The own datasets in pages and API: only files of the data folder, checked whole, with their health; removal."""

from __future__ import annotations

import html
import json
import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import party.catalogue
from console import datachecks
from console.datachecks import CheckState, checks
from console.datafiles import data_path, known_forms, shape
from console.problems import thread_fault
from party.auditlog import AuditLog
from party.catalogue import Catalogue
from party.datasethealth import DatasetHealth, known
from party.inspection import Inspection
from party.schedulerecords import ScheduleState
from party.tables import schedules
from psi.errors import UsageError
from tests.console.conftest import Site

PHONES = [f"1380013{number:04}" for number in range(40)]


def write(folder: Path, name: str = "cards.csv", phones: list[str] | None = None) -> Path:
    """Write a file with a tier column; two rows can't be used and one is a duplicate."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [*(PHONES if phones is None else phones), PHONES[0], "12", ""]
    path.write_text(
        "mobile,tier\n" + "".join(f"{row},{'gold' if at % 2 else 'plain'}\n" for at, row in enumerate(rows))
    )
    return path


def begin(site: Site, client: TestClient, **fields: str) -> str:
    """Begin a check as the form does, wait for its end, and return the address of its page."""
    asked = {"file": "cards.csv", "column": "mobile", "form": "phone", "region": "CN"} | fields
    answer = site.post(client, "/datasets/-/new", **asked)
    assert answer.status_code == 303, answer.text
    checks(site.place).wait(20)
    return answer.headers["location"]


def last_noted(site: Site) -> tuple[str, str]:
    """Type and actor of the last entry of the log, which the test began."""
    log = AuditLog(site.place.node.home.store)
    facts = log.facts()
    assert facts is not None
    entry = json.loads(list(log.entries(facts.epoch))[-1][2])
    return entry["type"], entry["actor"]


def test_a_file_is_registered_with_its_health(bank: Site, data: Path) -> None:
    bank.place.node.settle_log()
    write(data)
    ann = bank.client("ann")
    assert "cards.csv" in ann.get("/datasets/-/new").text
    columns = ann.get("/datasets/-/new?file=cards.csv").text
    assert "00000000000" in columns
    assert PHONES[0] not in columns
    assert "<option selected>mobile</option>" in columns
    assert "<option selected>phone</option>" in columns
    page = begin(bank, ann, tier="tier")
    found = ann.get(page).text
    assert "What was found" in found
    assert "is too short or too long" in found
    answer = bank.post(ann, page, name="cards", basis="consent")
    assert (answer.status_code, answer.headers["location"]) == (303, "/datasets/cards")
    shown = ann.get("/datasets/cards").text
    assert "95.3 %" in shown
    assert "as registered" in shown
    assert "<svg" in shown
    assert "consent" in shown
    kept = known(bank.place.node.home.store)["cards"].health
    assert (kept.rows, kept.persons, kept.duplicates) == (43, 40, 1)
    assert kept.rejected == {"bad_length": 1, "empty": 1}
    assert list(kept.tiers) == ["plain", "gold"]
    assert last_noted(bank) == ("dataset_added", "ann")
    assert ann.get(page).status_code == 404
    listed = ann.get("/datasets").text
    assert "cards" in listed
    assert "95.3 %" in listed


def test_no_identifier_reaches_a_page_or_the_log(
    bank: Site, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(data)
    ann = bank.client("ann")
    pages = [ann.get("/datasets/-/new?file=cards.csv").text]
    page = begin(bank, ann)
    pages += [ann.get(page).text, bank.post(ann, page, name="cards", basis="consent").text]
    pages += [
        ann.get("/datasets/cards").text,
        ann.get("/api/v1/dataset-files/look?file=cards.csv").text,
        caplog.text,
    ]
    assert not [phone for phone in PHONES for text in pages if phone in text]


def test_nothing_outside_the_data_folder_is_reached(bank: Site, data: Path) -> None:
    secret = write(data.parent, "secret.csv")
    for name in ("a/b/c/deep.csv", ".hidden.csv", "notes.docx"):
        write(data, name)
    (data / "out.csv").symlink_to(secret)
    (data / "outside").symlink_to(data.parent, target_is_directory=True)
    (data / "loop.csv").symlink_to(data / "loop.csv")
    ann = bank.client("ann")
    assert ann.get("/api/v1/dataset-files").json() == {"items": [], "next": None}
    for name in (
        "../secret.csv",
        "/etc/passwd",
        "sub/../../secret.csv",
        "out.csv",
        "outside/secret.csv",
        "a/b/c/deep.csv",
        ".hidden.csv",
        "notes.docx",
        "cards\x00.csv",
        "",
        "a",
        "x" * 300 + ".csv",
        "loop.csv",
    ):
        with pytest.raises(UsageError) as caught:
            data_path(bank.place, name)
        assert caught.value.code.name == "missing_file"
        answer = bank.post(ann, "/datasets/-/new", file=name, column="mobile", form="phone")
        assert answer.status_code == 422
        assert PHONES[0] not in answer.text


def test_links_that_stay_inside_and_two_levels_are_found(bank: Site, data: Path) -> None:
    write(data, "a/b/cards.csv.gz")
    (data / "link.csv").symlink_to(data / "a" / "b" / "cards.csv.gz")
    items = bank.client("ann").get("/api/v1/dataset-files").json()["items"]
    assert [each["name"] for each in items] == ["a/b/cards.csv.gz", "link.csv"]


def test_a_file_that_changes_between_check_and_registration_is_refused(bank: Site, data: Path) -> None:
    path = write(data)
    ann = bank.client("ann")
    page = begin(bank, ann)
    write(data, phones=PHONES[:5])
    answer = bank.post(ann, page, name="cards")
    assert answer.status_code == 409
    assert "changed while it was in use" in answer.text
    path.unlink()
    path.symlink_to(write(data.parent, "secret.csv"))
    assert "There is no such file" in bank.post(ann, page, name="cards").text
    assert "cards" not in known(bank.place.node.home.store)


def test_a_file_without_a_usable_row_is_not_registered(bank: Site, data: Path) -> None:
    write(data)
    ann = bank.client("ann")
    page = begin(bank, ann, form="imei")
    assert "No row of this file can be used" in ann.get(page).text
    answer = bank.post(ann, page, name="cards")
    assert answer.status_code == 422
    assert "holds no valid imei" in answer.text


def test_what_is_wrong_in_the_form_is_said_beside_it(bank: Site, data: Path) -> None:
    write(data)
    ann = bank.client("ann")
    wrong = {"column": "none", "form": "telephone", "region": "ZZ"}
    for field, value in wrong.items():
        fields = {"file": "cards.csv", "column": "mobile", "form": "phone", "region": "CN"} | {field: value}
        answer = bank.post(ann, "/datasets/-/new", **fields)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
    page = begin(bank, ann)
    for fields in (
        {"name": "a/b"},
        {"name": ".."},
        {"name": "x", "basis": "Two Words"},
        {"name": "customers"},
    ):
        answer = bank.post(ann, page, **fields)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
    assert bank.post(ann, page, name="customers", replace="yes").status_code == 303


def slowly(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Let checks wait for the second event, after they set the first."""
    begun, go_on = threading.Event(), threading.Event()

    def inspect(dataset: Any, spec: Any, form: Any, folder: Path, progress: Any, rejects: None) -> Inspection:
        progress.advance(7)
        begun.set()
        assert go_on.wait(20)
        progress.check()
        return Inspection(rows=9, persons=9)

    monkeypatch.setattr(datachecks, "inspect", inspect)
    return begun, go_on


def test_one_check_runs_at_a_time_and_can_be_stopped(
    bank: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(data)
    begun, go_on = slowly(monkeypatch)
    ann, zoe = bank.client("ann"), bank.client("zoe")
    wish = {"file": "cards.csv", "column": "mobile", "form": "phone"}
    page = bank.post(ann, "/datasets/-/new", **wish).headers["location"]
    assert begun.wait(20)
    running = ann.get(page).text
    assert '<noscript><meta http-equiv="refresh" content="2">' in running
    assert ">7<" in running
    assert page in zoe.get("/datasets/-/new").text
    second = bank.post(zoe, "/datasets/-/new", **wish)
    assert second.status_code == 409
    assert "one check runs at a time" in second.text
    assert bank.post(ann, page, name="early").status_code == 409
    number = page.rpartition("/")[2]
    check = checks(bank.place).get(number)
    assert check is not None
    assert bank.post(zoe, f"{page}/stop").status_code == 303
    go_on.set()
    checks(bank.place).wait(20)
    assert check.state is CheckState.STOPPED
    assert "This check was stopped" in ann.get(page).text


def test_a_check_that_runs_ends_with_the_console(
    bank: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(data)
    _, go_on = slowly(monkeypatch)
    go_on.set()
    with bank.client("ann") as ann:
        bank.post(ann, "/datasets/-/new", file="cards.csv", column="mobile", form="phone")
        monkeypatch.setattr(bank.place, "close", lambda: None)
    assert checks(bank.place).running is None


def test_a_fault_in_a_check_is_told_without_its_words(
    bank: Site, data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError(PHONES[0])

    write(data)
    monkeypatch.setattr(datachecks, "inspect", fail)
    monkeypatch.setattr(threading, "excepthook", thread_fault)
    ann = bank.client("ann")
    shown = ann.get(begin(bank, ann)).text
    assert "Something went wrong in this program while it read the file" in shown
    assert "ZeroDivisionError" in caplog.text
    assert PHONES[0] not in shown + caplog.text


def test_the_page_says_when_the_file_is_not_as_it_was(bank: Site, data: Path) -> None:
    path = write(data)
    ann = bank.client("ann")
    bank.post(ann, begin(bank, ann), name="cards")
    assert "as registered" in ann.get("/datasets/cards").text
    write(data, phones=PHONES[:30])
    assert "changed after it was registered" in ann.get("/datasets/cards").text
    path.write_text("other,tier\n13800130000,gold\n")
    assert "not those that were registered" in ann.get("/datasets/cards").text
    path.unlink()
    assert "not where it was registered" in ann.get("/datasets/cards").text


def test_a_dataset_is_removed_after_one_more_question(bank: Site) -> None:
    bank.place.node.settle_log()
    ann = bank.client("ann")
    assert "Remove customers?" in ann.get("/datasets/customers/remove").text
    assert bank.post(ann, "/datasets/customers/remove").headers["location"] == "/datasets"
    assert "customers" not in [each.name for each in Catalogue(bank.place.node.home.store).all()]
    assert last_noted(bank) == ("dataset_removed", "ann")
    assert (bank.side.folder / "customers.csv").exists()
    assert ann.get("/datasets/customers").status_code == 404
    assert bank.post(ann, "/datasets/customers/remove").status_code == 404


def test_a_dataset_in_use_is_not_removed(bank: Site, pair: Any) -> None:
    record = pair.draft(untried=True)
    ann = bank.client("ann")
    answer = bank.post(ann, "/datasets/customers/remove")
    assert answer.status_code == 409
    assert record.id in answer.text
    assert record.id in ann.get("/datasets/customers").text


def test_a_dataset_of_a_schedule_is_not_removed(bank: Site) -> None:
    row = dict.fromkeys(("partner", "kind", "purpose", "source", "digest", "drafter", "editor"), "x")
    numbers = dict.fromkeys(("revision", "created", "changed", "drafted", "failures"), 0)
    with bank.place.node.home.store.transaction() as connection:
        connection.execute(
            schedules.insert().values(
                id="5c" * 16,
                state=ScheduleState.PAUSED.value,
                terms='{"dataset": "customers"}',
                **row,
                **numbers,
            )
        )
    answer = bank.post(bank.client("ann"), "/datasets/customers/remove")
    assert answer.status_code == 409
    assert "5c" * 16 in answer.text


def test_every_living_state_of_a_schedule_is_one_that_holds_its_dataset() -> None:
    over = {ScheduleState.REFUSED, ScheduleState.REMOVED, ScheduleState.ENDED}
    assert set(party.catalogue._LIVING_SCHEDULES) == {state.value for state in set(ScheduleState) - over}


def test_health_goes_with_its_dataset(bank: Site, data: Path) -> None:
    write(data)
    ann, store = bank.client("ann"), bank.place.node.home.store
    bank.post(ann, begin(bank, ann), name="cards")
    bank.side.add("cards", "mobile")
    assert "cards" not in known(store)
    assert "Nothing was kept of the check" in ann.get("/datasets/cards").text
    bank.post(ann, begin(bank, ann), name="cards", replace="yes")
    bank.post(ann, "/datasets/cards/remove")
    assert "cards" not in known(store)


def test_a_console_without_a_data_folder_says_how_to_get_one(bank: Site) -> None:
    object.__setattr__(bank.place.settings, "data", None)
    ann = bank.client("ann")
    assert "--data FOLDER" in ann.get("/datasets/-/new").text
    answer = ann.get("/api/v1/dataset-files")
    assert answer.status_code == 422
    assert "--data FOLDER" in answer.json()["hint"]


def test_who_may_not_register_only_looks(bank: Site, data: Path) -> None:
    write(data)
    for name in ("bob", "eve", "adam"):
        client = bank.client(name)
        assert client.get("/datasets/customers").status_code == 200
        assert "/datasets/-/new" not in client.get("/datasets").text
        for path in ("/datasets/-/new", "/datasets/customers/remove"):
            assert client.get(path).status_code == 403
        assert bank.post(client, "/datasets/customers/remove").status_code == 403
        assert client.get("/api/v1/dataset-files").status_code == 403


def test_hostile_names_are_shown_as_text(bank: Site, data: Path) -> None:
    name = '<img src=x onerror="a()">'
    write(data, f"{name}.csv").write_text("<b>mobile</b>\n13800138000\n")
    ann = bank.client("ann")
    pages = [ann.get("/datasets/-/new").text, ann.get("/datasets/-/new", params={"file": f"{name}.csv"}).text]
    page = begin(bank, ann, file=f"{name}.csv", column="<b>mobile</b>")
    pages += [ann.get(page).text]
    assert bank.post(ann, page, name=name).status_code == 303
    pages += [ann.get("/datasets").text]
    address = re.search(r'href="(/datasets/%3C[^"]+)"', pages[-1])
    assert address is not None
    pages += [ann.get(address[1]).text]
    assert not [text for text in pages if "<img" in text or "<b>" in text]


@pytest.mark.parametrize("name", ["new", "-", "remove", "a new & better?#1%"])
def test_every_name_of_a_dataset_has_its_page(bank: Site, data: Path, name: str) -> None:
    """Also that of one which is called as a part of an address is."""
    write(data)
    ann = bank.client("ann")
    answer = bank.post(ann, begin(bank, ann), name=name)
    assert answer.status_code == 303
    address = answer.headers["location"]
    assert f'href="{html.escape(address)}"' in ann.get("/datasets").text
    shown = ann.get(address)
    assert shown.status_code == 200
    assert f"<h1>{html.escape(name)}" in shown.text
    assert "cards.csv" in ann.get("/datasets/-/new").text
    known = bank.token("ann", "see").get(f"/api/v1{address}")
    assert known.json()["name"] == name
    assert ann.get(f"{address}/remove").status_code == 200
    assert bank.post(ann, f"{address}/remove").status_code == 303
    assert ann.get(address).status_code == 404


def test_the_api_registers_lists_and_removes(bank: Site, data: Path) -> None:
    write(data)
    program = bank.token("ann", "see", "datasets")
    api = "/api/v1"
    look = program.get(f"{api}/dataset-files/look", params={"file": "cards.csv"}).json()
    assert look["columns"][0] | {"shapes": []} == {
        "name": "mobile",
        "forms": ["phone"],
        "hashed": [],
        "shapes": [],
    }
    begun = program.post(
        f"{api}/dataset-checks", json={"file": "cards.csv", "column": "mobile", "form": "phone"}
    )
    assert begun.status_code == 202
    checks(bank.place).wait(20)
    check = program.get(f"{api}/dataset-checks/{begun.json()['id']}").json()
    assert (check["state"], check["health"]["persons"]) == ("ready", 40)
    added = program.post(f"{api}/datasets", json={"check": check["id"], "name": "cards", "basis": "consent"})
    assert added.status_code == 201
    assert added.json()["file"] == "cards.csv"
    first = program.get(f"{api}/datasets", params={"limit": 1}).json()
    second = program.get(f"{api}/datasets", params={"limit": 1, "after": first["next"]}).json()
    names = [page["items"][0]["name"] for page in (first, second)]
    assert (names, second["next"]) == (["cards", "customers"], None)
    assert program.get(f"{api}/datasets/cards").json()["jobs"] == []
    assert program.delete(f"{api}/datasets/cards").status_code == 204
    assert program.get(f"{api}/datasets/cards").json()["status"] == 404
    assert program.delete(f"{api}/dataset-checks/{'0' * 32}").status_code == 404
    reader = bank.token("ann", "see")
    assert reader.delete(f"{api}/datasets/customers").status_code == 403


def test_every_form_on_offer_is_one() -> None:
    assert {"phone", "sha256:phone:e164", "sm3:idfa:upper", "md5:email"} <= set(known_forms())


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("+86 138-0013-8000", "+00 000-0000-0000"),
        ("ann.lee@example.com", "aaa.aaa@aaaaaaa.aaa"),
        ("张三", "aa"),
        ("a1" * 32, "x" * 39 + "…"),
        ("a\x07b", "a?a"),
    ],
)
def test_a_shape_shows_no_letter_and_no_digit(cell: str, shown: str) -> None:
    assert shape(cell) == shown


def test_health_of_no_rows_is_no_division() -> None:
    assert DatasetHealth(0, 0, 0, {}, {}, 0).coverage == 0.0


def test_a_folder_that_cannot_be_listed_is_named(bank: Site, data: Path) -> None:
    os.rmdir(data)
    ann = bank.client("ann")
    answer = ann.get("/datasets/-/new")
    assert ann.get("/datasets").status_code == 200
    assert answer.status_code == 422
    assert str(data) in answer.text
