"""A Google sheet as a Grid, against the local Google over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syncd.sandbox.sheets_people import COLUMNS
from syncd.sandbox.wire import Fault
from syncd.sides import Misconfigured, SideDown
from syncd.tables.google_cells import letters, runs
from syncd.tables.google_client import QUOTA
from syncd.tables.google_sheets import LAYOUT_SECONDS, TRUST_SECONDS, CellRefused, GoogleGrid
from syncd.tables.grid import Grid, GridBusy, GridLater, GridLost, GridMoved, Sheet
from tests.google.conftest import Clock
from tests.sandbox.google import BOOK, Desk

NAME, STATUS, VALUE, KEY, SYNC = (COLUMNS.index(one) for one in ("Name", "Status", "Value", "GHL ID", "Sync"))
Open = Callable[..., GoogleGrid]


def add(desk: Desk, name: Any, key: Any, **cells: Any) -> None:
    desk.google.person_add(BOOK, "Deals", {"Name": name, "GHL ID": key, **cells})


def edit(desk: Desk, row: int, **cells: Any) -> None:
    desk.google.person_edit(BOOK, "Deals", row, cells)


def asked(desk: Desk) -> list[str]:
    """What was asked since the last time: method and last part of the path."""
    found = [f"{line.method} {line.path.partition(BOOK)[2] or line.path.split('/')[1]}" for line in desk.http.log]
    desk.http.log.clear()
    return found


def names(sheet: Sheet) -> list[Any]:
    return [(row[NAME], row[KEY]) for row in sheet.rows]


def test_it_is_a_grid(grid: GoogleGrid) -> None:
    as_any_other: Grid = grid
    assert as_any_other.label == "Google Sheets"


# --- reading ---------------------------------------------------------------------------------------------------------


def test_cells_come_with_their_types(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "Anna", "k1", Value="1,234.50", Status="open", Phone="'007", Source="TRUE")
    desk.google.person_edit(BOOK, "Deals", 2, {"Name": '=B9&"x"', "Value": "10%", "Company": "2026-03-04"})
    sheet = grid.load()
    assert sheet.header == COLUMNS
    first, second, third = (dict(zip(COLUMNS, row, strict=True)) for row in sheet.rows)
    assert {name: value for name, value in first.items() if value is not None} == {
        "Name": "Anna", "Status": "open", "Value": 1234.5, "Phone": "007", "Source": True, "GHL ID": "k1",
    }  # fmt: skip
    assert set(second.values()) == {None}
    assert (third["Name"], third["Value"], third["Company"], third["GHL ID"]) == ("x", 0.1, "2026-03-04", None)
    assert isinstance(first["Source"], bool)
    assert grid.refresh(sheet, [0, 1, 2]).rows == sheet.rows  # typed answers give the same values as untyped ones


def test_a_date_is_what_people_see(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "3/4/2026", "k1", Company="2026-03-04 10:30:00", Value=46085)
    sheet = grid.load()
    assert (sheet.rows[0][NAME], sheet.rows[0][VALUE]) == ("3/4/2026", 46085)
    assert sheet.rows[0][COLUMNS.index("Company")] == "2026-03-04 10:30:00"
    assert grid.refresh(sheet, [0]).rows == sheet.rows


def test_drop_down_lists(desk: Desk, grid: GoogleGrid, clock: Clock) -> None:
    desk.google.add_tab(BOOK, "Lists", ["Owners"])
    for one in ("Ann", "Bob"):
        desk.google.person_add(BOOK, "Lists", {"Owners": one})
    tab, owner = desk.book.tab("Deals"), COLUMNS.index("Owner")
    rule = {"condition": {"type": "ONE_OF_RANGE", "values": [{"userEnteredValue": "=Lists!$A$2:$A$9"}]}}
    body = {"requests": [{"setDataValidation": {"range": {"sheetId": tab.id, "startRowIndex": 1,
            "startColumnIndex": owner, "endColumnIndex": owner + 1}, "rule": rule}}]}  # fmt: skip
    desk.service().spreadsheets().batchUpdate(spreadsheetId=BOOK, body=body).execute()
    lists = {COLUMNS[column]: items for column, items in grid.load().choices.items()}
    assert lists["Status"] == ("open", "won", "lost", "abandoned")
    assert lists["Owner"] == ("Ann", "Bob")
    assert set(lists) == {"Pipeline", "Stage", "Status", "Owner"}
    desk.google.set_list(BOOK, "Deals", "Status", ["open", "gone"])
    assert grid.load().choices[STATUS][1] == "won"  # not asked for anew each time
    clock.offset += LAYOUT_SECONDS
    assert grid.load().choices[STATUS] == ("open", "gone")


def test_a_pass_costs_one_read_and_writing_one_more_and_a_write(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "Anna", "k1")
    sheet = grid.load()
    assert asked(desk) == ["POST token", "GET v4", "GET /values:batchGet"]
    sheet = grid.load()
    assert asked(desk) == ["GET /values:batchGet"]
    sheet = grid.refresh(sheet, [0])
    assert asked(desk) == ["GET v4"]
    grid.write(sheet, {(0, STATUS): "won", (0, SYNC): "Hello"}, [{NAME: "Ben", KEY: "k2"}])
    assert asked(desk) == ["POST :batchUpdate"]
    assert grid.calls == 6


def test_a_pass_without_changes_costs_one_question_to_drive(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "Anna", "k1")
    assert not grid.unchanged(grid.load())  # what Drive called it then is not known
    sheet = grid.load()
    asked(desk)
    assert grid.unchanged(sheet)
    assert asked(desk) == ["GET drive"]
    edit(desk, 0, Name="Anne")
    assert not grid.unchanged(sheet)
    sheet = grid.load()
    assert grid.unchanged(sheet)
    sheet = grid.write(grid.refresh(sheet, [0]), {(0, NAME): "Anna"})
    assert not grid.unchanged(sheet)


def test_a_drive_that_is_late_is_not_believed_for_ever(desk: Desk, grid: GoogleGrid, clock: Clock) -> None:
    desk.google.set(drive_lag=10**9)
    assert not grid.unchanged(grid.load())
    sheet = grid.load()
    add(desk, "Anna", "k1")
    assert grid.unchanged(sheet)  # LIMITS: an edit is seen when Drive shows it …
    clock.offset += TRUST_SECONDS
    assert not grid.unchanged(sheet)  # … or so much later


def test_after_an_own_write_the_sheet_is_read_again_whatever_drive_says(desk: Desk, grid: GoogleGrid) -> None:
    desk.google.set(drive_lag=10**9)
    add(desk, "Anna", "k1")
    assert not grid.unchanged(grid.load())
    sheet = grid.write(grid.refresh(grid.load(), [0]), {(0, NAME): "x"})
    assert not grid.unchanged(sheet)
    assert not grid.unchanged(grid.delete(grid.load(), 0))


@pytest.mark.parametrize("trouble", [{"enabled": ["sheets"]}, {"drive_per_minute": 0}])
def test_without_drive_the_sheet_is_read(desk: Desk, grid: GoogleGrid, clock: Clock, trouble: dict[str, Any]) -> None:
    desk.google.set(**trouble)
    assert not grid.unchanged(grid.load())
    assert not grid.unchanged(grid.load())
    assert "GET drive" in asked(desk)
    assert clock.slept == []  # nothing waits for an answer that can be done without


def test_a_refused_drive_is_asked_again_an_hour_later(desk: Desk, grid: GoogleGrid, clock: Clock) -> None:
    desk.google.set(enabled=["sheets"])
    sheet = grid.load()
    assert [grid.unchanged(sheet) for _ in range(3)] == [False] * 3
    assert sum("/drive/" in line.path for line in desk.http.log) == 1
    desk.google.set(enabled=["sheets", "drive"])
    clock.offset += 3600
    grid.unchanged(sheet)
    assert grid.unchanged(grid.load())


# --- the second read -------------------------------------------------------------------------------------------------


def test_moved_rows_are_seen(desk: Desk, grid: GoogleGrid) -> None:
    for name, key in (("c", "k1"), ("b", "k2"), ("a", "k3"), ("d", None)):
        add(desk, name, key)
    sheet = grid.load()
    desk.google.person_sort(BOOK, "Deals", "Name")
    again = grid.refresh(sheet, [0])
    assert names(again) == [("a", "k3"), ("b", "k2"), ("c", "k1"), ("d", None)]
    desk.google.person_delete(BOOK, "Deals", 1)
    desk.google.person_insert(BOOK, "Deals", 0, {"Name": "new"})
    desk.google.person_copy(BOOK, "Deals", 1)
    add(desk, "last", "k9")
    now = grid.refresh(again, [0, 2])
    assert names(now) == [("new", None), ("a", "k3"), ("a", "k3"), ("c", "k1"), ("d", None), ("last", "k9")]
    desk.google.person_sort(BOOK, "Deals", "GHL ID", leave=["Name"])
    assert [row[KEY] for row in grid.refresh(now, []).rows][:4] == ["k1", "k3", "k3", "k9"]


def test_a_row_that_is_gone_and_a_smaller_grid(desk: Desk, grid: GoogleGrid) -> None:
    for at in range(5):
        add(desk, f"n{at}", f"k{at}")
    sheet = grid.load()
    desk.google.person_delete(BOOK, "Deals", 4)
    assert names(grid.refresh(sheet, [0]))[-1] == ("n3", "k3")
    assert len(grid.refresh(sheet, [4]).rows) == 4
    desk.google.person_edit(BOOK, "Deals", 3, {"GHL ID": None})
    sheet = grid.load()
    desk.google.person_delete(BOOK, "Deals", 3)
    assert len(grid.refresh(sheet, []).rows) == 3  # a row without a key, too
    add(desk, "n3", "k3")
    sheet = grid.load()
    del desk.book.tab("Deals").rows[3:]
    assert names(grid.refresh(sheet, [3])) == [("n0", "k0"), ("n1", "k1")]
    with pytest.raises(GridMoved):
        grid.write(sheet, {(3, NAME): "x"})
    assert [row["Name"] for row in desk.google.rows(BOOK, "Deals")] == ["n0", "n1"]


def test_formulas_are_known_before_they_could_be_overwritten(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "Anna", "k1", Value="=2*3", Company="'=2*3")
    add(desk, "Ben", "k2", Value="=NOPE()")
    sheet = grid.load()
    assert [row[VALUE] for row in sheet.rows] == [6, "#NAME?"]
    again = grid.refresh(sheet, [0, 1])
    assert again.formulas == {(0, VALUE), (1, VALUE)}
    assert again.rows == sheet.rows
    assert again.rows[0][COLUMNS.index("Company")] == "=2*3"
    desk.google.person_delete(BOOK, "Deals", 0)
    assert grid.refresh(again, [0]).formulas == {(0, VALUE)}


def test_a_sheet_that_is_read_anew_because_rows_moved_tells_its_formulas(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "b", "k1", Value="=1+1")
    add(desk, "a", "k2", Company="=1/0")
    sheet = grid.load()
    assert sheet.formulas == frozenset()
    desk.google.person_sort(BOOK, "Deals", "Name")
    again = grid.refresh(sheet, [0])
    asked(desk)
    loaded = grid.load()  # as a side does, which then writes at once
    assert asked(desk) == ["GET v4"]
    assert loaded.formulas == {(0, COLUMNS.index("Company")), (1, VALUE)}
    assert names(loaded) == names(again) == [("a", "k2"), ("b", "k1")]
    assert loaded.choices == sheet.choices
    assert grid.refresh(loaded, [0]).formulas == loaded.formulas
    assert grid.load().formulas == frozenset()
    assert asked(desk)[-1] == "GET /values:batchGet"


def test_what_goes_on_beside_the_header_adds_no_rows(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "a", "k1")
    desk.google.person_edit(BOOK, "Deals", 6, {"Value": '=IF(1=2,"x","")'})
    tab = desk.book.tab("Deals")
    tab.put(9, 20, tab.cell(9, 20).holding("a note far away"))
    sheet = grid.load()
    assert names(sheet) == [("a", "k1")]
    assert grid.refresh(sheet, [0]).rows == sheet.rows
    after = grid.write(sheet, {}, [{NAME: "b", KEY: "k2"}])
    assert [pair for pair in names(after) if pair[0]] == [("a", "k1"), ("b", "k2")]
    assert names(grid.load()) == names(after)


def test_a_text_that_no_cell_can_hold_is_blamed_alone(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "a", "k1")
    with pytest.raises(CellRefused) as caught:
        grid.write(grid.load(), {(0, STATUS): "won", (0, NAME): "x" * 50_001})
    assert caught.value.cell == (0, NAME)
    assert len(desk.google.rows(BOOK, "Deals")) == 1
    assert grid.write(grid.load(), {(0, NAME): "x" * 50_000})


def test_columns_that_moved_are_seen(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "Anna", "k1", Value=5)
    sheet = grid.load()
    desk.book.tab("Deals").insert_columns(0, 1)
    desk.google.person_edit(BOOK, "Deals", 0, {})
    again = grid.refresh(sheet, [0])
    assert again.header == ("", *COLUMNS)
    assert again.rows[0][KEY + 1] == "k1"
    loaded = grid.load()
    assert loaded.rows == again.rows
    assert loaded.choices[STATUS + 1][0] == "open"  # the lists moved along


def test_a_sheet_without_rows_or_without_anything(desk: Desk, opened: Open) -> None:
    grid = opened()
    sheet = grid.load()
    assert sheet.rows == ()
    assert grid.refresh(sheet, []).rows == ()
    del desk.book.tab("Deals").rows[1:]
    assert grid.load().rows == ()
    assert names(grid.write(grid.refresh(sheet, []), {}, [{NAME: "a", KEY: "k"}])) == [("a", "k")]
    blank = opened("Sheet1")
    sheet = blank.load()
    assert (sheet.header, sheet.rows) == ((), ())
    assert blank.refresh(sheet, []).header == ()


def test_ranges() -> None:
    assert runs([], 5) == []
    assert runs([3, 1, 2, 9, 7, 20], 99) == [range(1, 4), range(7, 8), range(9, 10), range(20, 21)]
    assert runs([3, 1, 2, 9, 7, 20], 2) == [range(1, 10), range(20, 21)]
    assert runs([3, 1, 2, 9, 7, 20], 1) == [range(1, 21)]
    assert [letters(at) for at in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]


def test_twenty_thousand_rows(desk: Desk, grid: GoogleGrid) -> None:
    tab = desk.book.tab("Deals")
    for at in range(20_000):
        while len(tab.rows) < 20_002:
            tab.rows.append({})
        for column, value in ((NAME, f"name {at}"), (KEY, f"k{at}")):
            tab.put(at + 1, column, tab.cell(at + 1, column).holding(value))
    sheet = grid.load()
    assert len(sheet.rows) == 20_000
    rows = list(range(0, 20_000, 61))  # far more runs than one address holds
    again = grid.refresh(sheet, rows)
    assert again.rows == sheet.rows
    assert max(len(str(line.query)) for line in desk.http.log) < 16_000
    after = grid.write(again, {(row, SYNC): "x" for row in rows}, [{KEY: "new"}])
    assert len(after.rows) == 20_001
    assert sum(row[SYNC] == "x" for row in after.rows) == len(rows)
    assert grid.load().rows == after.rows


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["=1+1", "+1", "00123", "1/2/2026", "TRUE", "'quoted", "1e5", "-", "@x", "tab\tand\nline", "🙂"]
)
def test_a_text_stays_a_text(desk: Desk, grid: GoogleGrid, value: str) -> None:
    add(desk, "Anna", "k1")
    sheet = grid.write(grid.load(), {(0, NAME): value}, [{NAME: value, KEY: "k2"}])
    assert [row[NAME] for row in sheet.rows] == [value, value]
    assert sheet.formulas == frozenset()
    assert grid.load().rows == sheet.rows
    assert [row["Name"] for row in desk.google.rows(BOOK, "Deals")] == [value, value]


def test_numbers_booleans_and_blanks(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "Anna", "k1", Value=5, Status="open")
    sheet = grid.write(grid.load(), {(0, VALUE): 1234.56, (0, STATUS): None, (0, SYNC): "", (0, NAME): True})
    assert sheet.rows[0][: VALUE + 1] == (True, None, None, None, 1234.56)
    assert desk.google.rows(BOOK, "Deals") == [{"Name": True, "Value": 1234.56, "GHL ID": "k1"}]
    assert grid.write(sheet, {}) is sheet


def test_new_rows_never_land_on_one_that_a_person_added(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "Anna", "k1")
    sheet = grid.refresh(grid.load(), [])
    add(desk, "typed meanwhile", None)
    after = grid.write(sheet, {(0, STATUS): "won"}, [{NAME: "Ben", KEY: "k2"}, {NAME: "Cleo", KEY: "k3"}])
    expected = [("Anna", "k1"), ("typed meanwhile", None), ("Ben", "k2"), ("Cleo", "k3")]
    assert names(after) == expected
    assert after.rows[0][STATUS] == "won"
    assert names(grid.load()) == expected


def test_a_grid_without_room_grows(desk: Desk, opened: Open) -> None:
    desk.google.deals_tab(BOOK, "Small", rows=2)
    grid = opened("Small")
    desk.google.person_add(BOOK, "Small", {"Name": "Anna"})
    after = grid.write(grid.load(), {}, [{NAME: "Ben", KEY: "k2"}, {NAME: "Cleo", KEY: "k3"}])
    assert names(after) == [("Anna", None), ("Ben", "k2"), ("Cleo", "k3")]


def test_a_move_between_the_second_read_and_the_write_shows_in_the_answer(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "b", "k1")
    add(desk, "a", "k2")
    sheet = grid.refresh(grid.load(), [0])
    desk.google.person_sort(BOOK, "Deals", "Name")
    after = grid.write(sheet, {(0, STATUS): "won"})
    assert sheet.rows[0][KEY] == "k1"
    assert after.rows[0][KEY] == "k2"  # LIMITS: it happened, and is noticed


def test_a_protected_cell_refuses_all_of_it(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "Anna", "k1")
    sheet = grid.load()
    part = {"startColumnIndex": STATUS, "endColumnIndex": STATUS + 1}
    desk.book.tab("Deals").protected.append({"protectedRangeId": 1, "range": part, "editors": {"users": ["boss@x.y"]}})
    with pytest.raises(GridBusy, match="Protected cells must be open to syncd@sandbox"):
        grid.write(sheet, {(0, NAME): "x", (0, STATUS): "won"}, [{NAME: "Ben"}])
    assert grid.load().rows == sheet.rows
    assert grid.write(sheet, {(0, NAME): "x"}).rows[0][NAME] == "x"


def test_a_row_is_deleted(desk: Desk, grid: GoogleGrid) -> None:
    for name, key in (("a", "k1"), ("b", "k2"), ("c", "k3")):
        add(desk, name, key, Value="=1+1")
    sheet = grid.refresh(grid.load(), [0, 1, 2])
    after = grid.delete(sheet, 1)
    assert names(after) == [("a", "k1"), ("c", "k3")]
    assert after.formulas == {(0, VALUE), (1, VALUE)}
    assert grid.load().rows == after.rows
    del desk.book.tab("Deals").rows[3:]
    with pytest.raises(GridMoved):
        grid.delete(after, 5)


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("how", [{"cut": True}, {"status": 503}, {"status": 500}, {"status": 200, "body": b"<html>"}])
def test_a_write_without_an_answer_is_lost_and_not_repeated(
    desk: Desk, grid: GoogleGrid, when: str, how: dict[str, Any]
) -> None:
    add(desk, "Anna", "k1")
    sheet = grid.load()
    desk.http.faults.append(Fault(method="POST", path=":batchUpdate", when=when, **how))
    asked(desk)
    with pytest.raises(GridLost):
        grid.write(sheet, {(0, NAME): "x"}, [{NAME: "Ben", KEY: "k2"}])
    assert asked(desk) == ["POST :batchUpdate"]
    assert names(grid.load()) == ([("x", "k1"), ("Ben", "k2")] if when == "after" else [("Anna", "k1")])


def test_an_answer_that_shows_no_cells_is_lost(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "Anna", "k1")
    sheet = grid.load()
    desk.http.faults.append(Fault(method="POST", path=":batchUpdate", when="after", status=200, body={"replies": []}))
    with pytest.raises(GridLost, match="does not show the cells"):
        grid.write(sheet, {(0, NAME): "x"})


def test_reads_are_repeated_with_longer_and_longer_pauses(desk: Desk, grid: GoogleGrid, clock: Clock) -> None:
    grid.load()
    desk.http.faults.append(Fault(path="values:batchGet", status=503, times=4))
    grid.load()
    assert len(clock.slept) == 4
    assert all(0.5 * 2**at * 0.5 <= pause <= 0.5 * 2**at * 1.5 for at, pause in enumerate(clock.slept))
    desk.http.faults.append(Fault(path="values:batchGet", status=503, times=-1))
    with pytest.raises(SideDown, match="503"):
        grid.load()


def test_a_429_is_waited_for_with_truncated_exponential_backoff(desk: Desk, grid: GoogleGrid, clock: Clock) -> None:
    add(desk, "Anna", "k1")
    sheet = grid.load()
    desk.google.set(reads_per_minute=1, writes_per_minute=1)
    grid.load()  # served after about a minute
    rests = [pause for pause in clock.slept if pause >= 0.9]
    assert len(rests) >= 5
    assert all(2**at <= rest <= 2**at + 1.1 for at, rest in enumerate(rests)), rests
    clock.slept.clear()
    grid.write(sheet, {(0, NAME): "x"})
    postponed = 0
    while sheet.rows[0][NAME] != "y":
        try:
            sheet = grid.write(sheet, {(0, NAME): "y"})
        except GridLater:  # nothing was done at the 429: it is made again, after another look at the rows
            postponed += 1
            grid.ready()
    assert postponed == len([pause for pause in clock.slept if pause >= 0.9]) > 1
    assert 2.0 > min(pause for pause in clock.slept if pause >= 0.9) >= 0.9  # from the shortest on again


def test_retry_after_is_heeded_and_an_endless_429_ends_the_pass(desk: Desk, grid: GoogleGrid, clock: Clock) -> None:
    grid.load()
    desk.google.set(reads_per_minute=0, retry_after=30)
    with pytest.raises(SideDown, match="too many requests"):
        grid.load()
    assert all(pause >= 29.9 for pause in clock.slept if pause > 0.1)
    desk.google.set(retry_after=3600)
    with pytest.raises(SideDown, match="rest of 3600 s"):
        grid.load()


def test_pairs_with_one_service_account_share_its_quotas(desk: Desk, opened: Open, clock: Clock) -> None:
    desk.google.add_tab(BOOK, "Other", ["Name", "GHL ID"])
    desk.google.set(reads_per_minute=QUOTA)  # a 429 would show that the limit was not kept by itself
    one, two = opened(), opened("Other")
    assert one.buckets[0] is two.buckets[0]
    assert one.buckets[1] is two.buckets[1]
    assert one.buckets[0] is not one.buckets[1]
    for _ in range(QUOTA):
        one.load(), two.load()
    assert all(line.status == 200 for line in desk.http.log)
    assert clock.slept


def test_a_refused_token_is_replaced_once(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "Anna", "k1")
    sheet = grid.load()
    desk.google.revoke_tokens()
    asked(desk)
    assert grid.write(sheet, {(0, NAME): "x"}).rows[0][NAME] == "x"
    assert asked(desk) == ["POST :batchUpdate", "POST token", "POST :batchUpdate"]
    body = {"error": {"code": 401, "message": "Request had invalid authentication credentials. ya29.secret-token"}}
    desk.http.faults.append(Fault(path="values:batchGet", status=401, body=body, times=-1))
    with pytest.raises(SideDown, match="refused the access of syncd@sandbox") as caught:
        grid.load()
    assert "ya29.secret" not in str(caught.value)


def test_a_token_is_renewed_before_it_ends(desk: Desk, opened: Open, clock: Clock) -> None:
    grid = opened()
    grid.load(), opened().load()
    assert sum(line.path == "/token" for line in desk.http.log) == 1  # both with one token
    clock.offset += 3400
    grid.load()
    assert sum(line.path == "/token" for line in desk.http.log) == 2
    assert all(line.status == 200 for line in desk.http.log)


@pytest.mark.parametrize(
    ("spoil", "kind", "says"),
    [
        (lambda desk: desk.book.roles.clear(), Misconfigured, "Share it with syncd@sandbox.iam.gserviceaccount.com as"),
        (lambda desk: desk.google.books.clear(), Misconfigured, f"no spreadsheet {BOOK}"),
        (lambda desk: desk.google.set(enabled=[]), SideDown, "not switched on .* https://console.developers.google"),
        (lambda desk: setattr(desk.book, "office", True), Misconfigured, "Save as Google Sheets"),
        (
            lambda desk: desk.google.person_rename(BOOK, "Deals", "Old"),
            Misconfigured,
            "no sheet “Deals”; it has “Sheet1”",
        ),
    ],
)
def test_refusals_name_the_mend(desk: Desk, grid: GoogleGrid, spoil: Any, kind: Any, says: str) -> None:
    sheet = grid.load()
    spoil(desk)
    with pytest.raises(kind, match=says):
        grid.load()
    with pytest.raises(kind, match=says):
        grid.refresh(sheet, [0])


def test_a_sheet_that_may_only_be_looked_at(desk: Desk, grid: GoogleGrid) -> None:
    add(desk, "Anna", "k1")
    desk.book.roles[grid.email] = "reader"
    sheet = grid.load()
    with pytest.raises(Misconfigured, match=r"may look at the spreadsheet .* as an editor"):
        grid.write(sheet, {(0, NAME): "x"})


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"valueRanges": 5}', b'{"valueRanges": [5]}', b"{}"])
def test_answers_that_are_none(desk: Desk, grid: GoogleGrid, body: bytes) -> None:
    sheet = grid.load()
    desk.http.faults.append(Fault(method="GET", status=200, body=body, times=-1))
    for call in (grid.load, lambda: grid.refresh(sheet, [0])):
        with pytest.raises(SideDown):
            call()


def test_a_spreadsheets_address_will_do(desk: Desk, opened: Open) -> None:
    add(desk, "Anna", "k1")
    grid = opened(spreadsheet_id=f"https://docs.google.com/spreadsheets/d/{BOOK}/edit#gid=0")
    assert len(grid.load().rows) == 1
    assert grid.identity == f"{BOOK}/{desk.book.tab('Deals').id}"
    with pytest.raises(Misconfigured, match="between /d/ and /edit"):
        opened(spreadsheet_id="../x")


def test_a_renamed_sheet_keeps_its_identity_and_another_one_under_its_name_has_another(
    desk: Desk, opened: Open
) -> None:
    first = opened().identity
    desk.google.person_rename(BOOK, "Deals", "Old")
    assert opened("Old").identity == first
    desk.google.deals_tab(BOOK)
    assert opened().identity != first
