"""Lays out a Google sheet for `syncd init --table google`: columns, drop-down lists, the hidden key column.

What is there stays: a sheet that is missing is made, columns that it lacks are added on the right. All of it is one
atomic call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from syncd.sides import Misconfigured, SideDown
from syncd.tables.google_cells import extended, header_of, plain, quoted
from syncd.tables.google_errors import Refusal, refused
from syncd.tables.google_sheets import GoogleGrid

ROWS: Final = 1000
COLUMNS: Final = 26
# A text column is formatted as text: otherwise +15551234567 becomes a number when typed, and 3/4 a date.
_FORMATS: Final = {
    "text": {"type": "TEXT", "pattern": "@"},
    "key": {"type": "TEXT", "pattern": "@"},
    "number": {"type": "NUMBER", "pattern": "#,##0.00"},
    "date": {"type": "DATE", "pattern": "yyyy-mm-dd"},  # the form in which syncd reads it
}
_ASKED: Final = "sheets(properties(sheetId,title,gridProperties(columnCount,frozenRowCount)),basicFilter)"


@dataclass(frozen=True, slots=True)
class NewColumn:
    """A column to be made. `kind` is "text", "number", "date" or "key" (hidden and protected); `choices` are the items
    of its drop-down list."""

    name: str
    kind: str = "text"
    choices: tuple[str, ...] = ()


def lay_out(grid: GoogleGrid, columns: Sequence[NewColumn]) -> list[str]:
    """Makes the sheet, or the columns that it lacks; returns what was made, one sentence each.

    Raises `Misconfigured` (not shared as an editor, …), `SideDown`, and `grid.GridLost` where no answer came: then it
    can be called again.
    """
    try:
        found = grid.client.get("", [("fields", _ASKED)])
        sheets = [one for one in found["sheets"] if isinstance(one["properties"]["title"], str)]
        mine = next((one for one in sheets if one["properties"]["title"].casefold() == grid.sheet.casefold()), None)
        header = _header(grid) if mine else ()
    except Refusal as refusal:
        raise refused(refusal, grid.email, grid.client.spreadsheet_id) from refusal
    except (KeyError, TypeError) as error:
        raise SideDown("Google's answer describes no spreadsheet; a proxy may have changed it.") from error
    have = {name.casefold() for name in header}
    lacking = [column for column in columns if column.name.casefold() not in have]
    used = {one["properties"].get("sheetId", 0) for one in sheets}
    sheet_id = mine["properties"].get("sheetId", 0) if mine else next(one for one in count(1) if one not in used)
    requests = [*_room(grid.sheet, sheet_id, mine, len(header) + len(lacking))]
    for at, column in enumerate(lacking, len(header)):
        requests += _column(sheet_id, at, column)
    requests += _filter(sheet_id, mine, len(header) + len(lacking)) if lacking else []
    if not requests:
        return []
    try:
        grid.client.batch_update({"requests": requests}, "replies")
    except Refusal as refusal:
        raise _refused(grid, refusal) from refusal
    made = [] if mine else [f"The sheet “{grid.sheet}” was made."]
    return [*made, *(f"The column “{column.name}” was made." for column in lacking)]


def _header(grid: GoogleGrid) -> tuple[str, ...]:
    answer = grid.client.get("/values:batchGet", [("ranges", f"{quoted(grid.sheet)}!1:1")])
    rows = answer["valueRanges"][0].get("values", [])
    return header_of([plain(cell) for cell in rows[0]]) if rows else ()


def _refused(grid: GoogleGrid, refusal: Refusal) -> SideDown | Misconfigured:
    return refused(refusal, grid.email, grid.client.spreadsheet_id, writing=True)


def _room(title: str, sheet_id: int, mine: Mapping[str, Any] | None, width: int) -> list[dict[str, Any]]:
    """A sheet with a frozen header row and so many columns."""
    if mine is None:
        size = {"rowCount": ROWS, "columnCount": max(COLUMNS, width), "frozenRowCount": 1}
        return [{"addSheet": {"properties": {"sheetId": sheet_id, "title": title, "gridProperties": size}}}]
    size = mine["properties"].get("gridProperties", {})
    requests: list[dict[str, Any]] = []
    if (more := width - size.get("columnCount", 0)) > 0:
        requests.append({"appendDimension": {"sheetId": sheet_id, "dimension": "COLUMNS", "length": more}})
    if not size.get("frozenRowCount"):
        frozen = {"sheetId": sheet_id, "gridProperties": {"frozenRowCount": 1}}
        requests.append({"updateSheetProperties": {"properties": frozen, "fields": "gridProperties.frozenRowCount"}})
    return requests


def _column(sheet_id: int, at: int, column: NewColumn) -> list[dict[str, Any]]:
    """Header, format and drop-down list of a column; the key's is hidden and protected."""
    below = {"sheetId": sheet_id, "startRowIndex": 1, "startColumnIndex": at, "endColumnIndex": at + 1}
    form = {"userEnteredFormat": {"numberFormat": _FORMATS[column.kind]}}
    start = {"sheetId": sheet_id, "rowIndex": 0, "columnIndex": at}
    rows = [{"values": [extended(column.name)]}]
    requests: list[dict[str, Any]] = [
        {"updateCells": {"start": start, "rows": rows, "fields": "userEnteredValue"}},
        {"repeatCell": {"range": below, "cell": form, "fields": "userEnteredFormat.numberFormat"}},
    ]
    if column.choices:
        items = [{"userEnteredValue": choice} for choice in column.choices]
        # Not strict: what a person types stays, and its Sync cell says what is wrong with it.
        rule = {"condition": {"type": "ONE_OF_LIST", "values": items}, "showCustomUi": True, "strict": False}
        requests.append({"setDataValidation": {"range": below, "rule": rule}})
    if column.kind == "key":
        where = {"sheetId": sheet_id, "dimension": "COLUMNS", "startIndex": at, "endIndex": at + 1}
        hidden = {"range": where, "properties": {"hiddenByUser": True}, "fields": "hiddenByUser"}
        requests.append({"updateDimensionProperties": hidden})
        # A warning only: who may not edit a column cannot sort the sheet either, and would sort a part of it instead.
        words = "syncd knows the rows by this column. Sort and filter whole rows; do not edit it."
        protected = {"range": {**below, "startRowIndex": 0}, "description": words, "warningOnly": True}
        requests.append({"addProtectedRange": {"protectedRange": protected}})
    return requests


def _filter(sheet_id: int, mine: Mapping[str, Any] | None, width: int) -> list[dict[str, Any]]:
    """A filter over all columns: sorting by one that is narrower would tear rows apart."""
    there = dict(mine.get("basicFilter") or {}) if mine else {}
    part = there.get("range", {})
    if there and part.get("startColumnIndex", 0) == 0 and part.get("endColumnIndex", width) >= width:
        return []
    wide = {**part, "sheetId": sheet_id, "startColumnIndex": 0, "endColumnIndex": width}
    return [{"setBasicFilter": {"filter": {**there, "range": {"startRowIndex": 0, **wide}}}}]
