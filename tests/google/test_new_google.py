"""A sheet that is laid out, and what it is good for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from syncd.sides import Misconfigured
from syncd.tables.google_sheets import GoogleGrid
from syncd.tables.new_google import NewColumn, lay_out
from tests.sandbox.google import BOOK, Desk

COLUMNS = [
    NewColumn("Name"),
    NewColumn("Stage", choices=("New", "Won")),
    NewColumn("Value", "number"),
    NewColumn("Due", "date"),
    NewColumn("Phone"),
    NewColumn("GHL ID", "key"),
]
Open = Callable[..., GoogleGrid]


def test_a_new_sheet(desk: Desk, opened: Open) -> None:
    grid = opened("My deals")
    desk.http.log.clear()
    made = lay_out(grid, COLUMNS)
    assert made[:2] == ["The sheet “My deals” was made.", "The column “Name” was made."]
    assert sum(line.method == "POST" and line.path.endswith(":batchUpdate") for line in desk.http.log) == 1
    found = desk.service().spreadsheets().get(spreadsheetId=BOOK, ranges=["'My deals'!A1:F3"], includeGridData=True)
    sheet = found.execute()["sheets"][0]
    assert sheet["properties"]["gridProperties"]["frozenRowCount"] == 1
    assert [column.get("hiddenByUser") for column in sheet["data"][0]["columnMetadata"]] == [None] * 5 + [True]
    protected = sheet["protectedRanges"][0]
    assert (protected["range"]["startColumnIndex"], protected["warningOnly"]) == (5, True)
    assert sheet["basicFilter"]["range"]["endColumnIndex"] == 6
    assert lay_out(grid, COLUMNS) == []
    loaded = grid.load()
    assert loaded.header == tuple(column.name for column in COLUMNS)
    assert loaded.choices == {1: ("New", "Won")}


def test_what_people_type_into_it_stays_what_they_typed(desk: Desk, opened: Open) -> None:
    grid = opened("My deals")
    lay_out(grid, COLUMNS)
    typed = {"Name": "3/4", "Phone": "+15551234567", "Value": "$1,250.50", "Due": "3/4/2026", "Stage": "=B1"}
    desk.google.person_add(BOOK, "My deals", typed)
    sheet = grid.load()
    assert sheet.rows[0] == ("3/4", "Stage", 1250.5, "2026-03-04", "+15551234567", None)
    after = grid.write(grid.refresh(sheet, [0]), {(0, 4): "+15557654321"}, [{0: "7", 5: "k1"}])
    assert [row[4] for row in after.rows] == ["+15557654321", None]
    assert after.rows[1][0] == "7"


def test_columns_that_a_sheet_lacks_are_added_on_the_right(desk: Desk, opened: Open) -> None:
    desk.google.add_tab(BOOK, "Mine", ["Note", "name", "GHL ID"], columns=4)
    desk.google.person_add(BOOK, "Mine", {"Note": "keep", "name": "Anna"})
    service, tab = desk.service().spreadsheets(), desk.book.tab("Mine")
    narrow = {"sheetId": tab.id, "startRowIndex": 0, "startColumnIndex": 0, "endColumnIndex": 2}
    specs = [{"columnIndex": 0, "filterCriteria": {"hiddenValues": ["x"]}}]
    body = {"requests": [{"setBasicFilter": {"filter": {"range": narrow, "filterSpecs": specs}}}]}
    service.batchUpdate(spreadsheetId=BOOK, body=body).execute()
    grid = opened("Mine")
    assert len(lay_out(grid, COLUMNS)) == 4
    sheet = grid.load()
    assert sheet.header == ("Note", "name", "GHL ID", "Stage", "Value", "Due", "Phone")
    assert sheet.rows == (("keep", "Anna", None, None, None, None, None),)
    kept = desk.book.tab("Mine").filter
    assert kept is not None
    assert kept["filterSpecs"] == specs
    assert kept["range"]["endColumnIndex"] == 7  # sorting by a narrower filter would tear rows apart
    assert desk.book.tab("Mine").hidden_columns == set()  # that column was there: it is the person's


def test_a_sheet_that_may_not_be_laid_out(desk: Desk, opened: Open) -> None:
    desk.book.roles[desk.google.email] = "reader"
    with pytest.raises(Misconfigured, match="as an editor"):
        lay_out(opened("New"), COLUMNS)
    desk.book.roles.clear()
    with pytest.raises(Misconfigured, match="may not see the spreadsheet"):
        lay_out(opened("New"), COLUMNS)
