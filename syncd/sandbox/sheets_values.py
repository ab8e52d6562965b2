"""The values methods of the local Google Sheets: get, batchGet, update, batchUpdate, append, clear.

As in the real one, trailing blank rows and cells are left out of answers, null leaves a cell as it is, and "" clears
it. Nothing is written where a part of a call is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .sheets_book import Book
from .sheets_grid import Area, Cell, Tab, invalid, letters
from .sheets_text import DATE_OPTIONS, VALUE_OPTIONS, entered, rendered


def chosen(value: str | None, options: Sequence[str], name: str) -> str:
    """One of the options of an enumeration; the first where none is named."""
    if value is None:
        return options[0]
    if value not in options:
        raise invalid(f"Invalid value at '{name}' (TYPE_ENUM), \"{value}\"")
    return value


def values_of(part: Area, render: str, dates: str, major: str = "ROWS") -> list[list[Any]]:
    """The values of a part, without trailing blanks."""
    tab = part.tab
    bottom = min(part.bottom, tab.last_row(range(part.left, part.right)))
    found = [
        _trimmed([rendered(tab, row, column, render, dates) for column in range(part.left, part.right)], tab, row, part)
        for row in range(part.top, bottom)
    ]
    while found and not found[-1]:
        found.pop()
    if major == "COLUMNS":
        width = max((len(row) for row in found), default=0)
        turned = [[row[column] if column < len(row) else None for row in found] for column in range(width)]
        return [_without_tail(column) for column in turned]
    return found


def _trimmed(values: list[Any], tab: Tab, row: int, part: Area) -> list[Any]:
    filled = [c for c, cell in tab.rows[row].items() if part.left <= c < part.right and not cell.blank]
    return values[: max(filled) - part.left + 1] if filled else []


def _without_tail(column: list[Any]) -> list[Any]:
    while column and column[-1] in (None, ""):
        column.pop()
    return ["" if value is None else value for value in column]


def read(book: Book, text: str, render: str | None, dates: str | None, major: str | None) -> dict[str, Any]:
    """A ValueRange."""
    part = book.area(text)
    found = values_of(
        part,
        chosen(render, VALUE_OPTIONS, "value_render_option"),
        chosen(dates, DATE_OPTIONS, "date_time_render_option"),
        side := chosen(major, ("ROWS", "COLUMNS"), "major_dimension"),
    )
    answer: dict[str, Any] = {"range": part.text, "majorDimension": side}
    return {**answer, "values": found} if found else answer


def planned(book: Book, data: Any, option: str | None, who: str, where: str = "") -> tuple[Area, list[Any]]:
    """A ValueRange that is to be written: where, and the rows of values. Raises `Refused`."""
    chosen(option, ("INPUT_VALUE_OPTION_UNSPECIFIED", "RAW", "USER_ENTERED"), "value_input_option")
    if option in (None, "INPUT_VALUE_OPTION_UNSPECIFIED"):
        raise invalid("'valueInputOption' is required but not specified")
    if not isinstance(data, dict) or not isinstance(data.get("range"), str):
        raise invalid(f"Invalid {where or 'data'}: a range is needed")
    if unknown := set(data) - {"range", "majorDimension", "values"}:
        raise invalid(f'Invalid JSON payload received. Unknown name "{min(unknown)}": Cannot find field.')
    part = book.area(data["range"])
    rows = data.get("values", [])
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise invalid(f"Invalid value at '{where or 'data'}.values' (type.googleapis.com/google.protobuf.ListValue)")
    if data.get("majorDimension") == "COLUMNS":
        rows = [
            [column[at] if at < len(column) else None for column in rows]
            for at in range(max(map(len, rows), default=0))
        ]
    part = _fitting(part, rows)
    book.may_edit(part.tab, range(part.top, part.bottom), range(part.left, part.right), who)
    return part, rows


def _fitting(part: Area, rows: list[list[Any]]) -> Area:
    """The part that the values fill; one cell stands for the corner of as many as are sent."""
    height, width = len(rows), max((len(row) for row in rows), default=0)
    tab = part.tab
    bottom, right = part.top + height, part.left + width
    if part.is_cell:
        if bottom > tab.row_count or right > tab.column_count:
            raise invalid(
                f"Range ({part.text}) exceeds grid limits. Max rows: {tab.row_count}, max columns: {tab.column_count}"
            )
    elif bottom > part.bottom:
        raise invalid(f"Requested writing within range [{part.text}], but tried writing to row [{part.bottom + 1}]")
    elif right > part.right:
        raise invalid(
            f"Requested writing within range [{part.text}], but tried writing to column [{letters(part.right)}]"
        )
    return Area(tab, part.top, max(bottom, part.top + 1), part.left, max(right, part.left + 1))


def put(part: Area, rows: list[list[Any]], option: str) -> dict[str, Any]:
    """Writes the values; returns an UpdateValuesResponse without the spreadsheet's id."""
    changes: list[tuple[int, int, Cell]] = []
    for at, row in enumerate(rows):
        for column, value in enumerate(row):
            if value is not None:
                cell = part.tab.cell(part.top + at, part.left + column)
                where = f"values[{at}][{column}]"
                changes.append((part.top + at, part.left + column, entered(cell, value, option, where)))
    for at, column, cell in changes:
        part.tab.put(at, column, cell)
    answer: dict[str, Any] = {"updatedRange": part.text}
    if changes:
        answer["updatedRows"] = len({at for at, _, _ in changes})
        answer["updatedColumns"] = len({column for _, column, _ in changes})
        answer["updatedCells"] = len(changes)
    return answer


def shown_after(part: Area, render: str | None, dates: str | None) -> dict[str, Any]:
    """`updatedData` of an answer."""
    found = values_of(
        part,
        chosen(render, VALUE_OPTIONS, "response_value_render_option"),
        chosen(dates, DATE_OPTIONS, "response_date_time_render_option"),
    )
    data: dict[str, Any] = {"range": part.text, "majorDimension": "ROWS"}
    return {**data, "values": found} if found else data


def batch_update(book: Book, body: Any, who: str) -> dict[str, Any]:
    """values:batchUpdate: every part of it, or none."""
    if not isinstance(body, dict) or not isinstance(body.get("data", []), list):
        raise invalid("Invalid JSON payload received.")
    option = body.get("valueInputOption")
    answers = []
    with book.change():
        plans = [planned(book, one, option, who, f"data[{at}]") for at, one in enumerate(body.get("data", []))]
        for part, rows in plans:
            answers.append({"spreadsheetId": book.id, **put(part, rows, str(option))})
        if body.get("includeValuesInResponse"):
            for (part, _), answer in zip(plans, answers, strict=True):
                answer["updatedData"] = shown_after(
                    part, body.get("responseValueRenderOption"), body.get("responseDateTimeRenderOption")
                )
    totals = {
        f"totalUpdated{name}": sum(answer.get(f"updated{name}", 0) for answer in answers)
        for name in ("Rows", "Columns", "Cells")
    }
    sheets = {"totalUpdatedSheets": len({part.tab.id for part, _ in plans})} if plans else {}
    return {"spreadsheetId": book.id, **totals, **sheets, "responses": answers}


def append(book: Book, text: str, body: Any, option: str | None, insert: str | None, who: str) -> dict[str, Any]:
    """values.append: below the table that the range touches, which is what has content without a blank row between."""
    part = book.area(text)
    tab = part.tab
    chosen(insert, ("OVERWRITE", "INSERT_ROWS"), "insert_data_option")
    bottom = tab.last_row() if part.bottom - part.top > 1 else _end_of_table(tab, part)
    table = Area(tab, part.top, max(bottom, part.top + 1), part.left, part.right)
    rows = body.get("values", []) if isinstance(body, dict) else []
    answer: dict[str, Any] = {"spreadsheetId": book.id}
    if bottom > part.top:
        answer["tableRange"] = table.text
    with book.change():
        missing = bottom + len(rows) - tab.row_count
        if insert == "INSERT_ROWS":
            tab.insert_rows(bottom, len(rows))
        elif missing > 0:
            tab.rows.extend({} for _ in range(missing))
        if not rows:
            return answer
        corner = Area(tab, bottom, bottom + 1, part.left, part.left + 1).text
        where, values = planned(book, {"range": corner, "values": rows}, option, who)
        answer["updates"] = {"spreadsheetId": book.id, **put(where, values, str(option))}
    return answer


def _end_of_table(tab: Tab, part: Area) -> int:
    row = part.top
    while row < tab.row_count and any(not cell.blank for cell in tab.rows[row].values()):
        row += 1
    return row


def clear(book: Book, ranges: Sequence[str], who: str) -> list[str]:
    """values.clear and batchClear: contents go, formats and rules stay. Returns the ranges as answers name them."""
    parts = [book.area(text) for text in ranges]
    with book.change():
        for part in parts:
            book.may_edit(part.tab, range(part.top, part.bottom), range(part.left, part.right), who)
            for row in range(part.top, part.bottom):
                for column in [c for c in part.tab.rows[row] if part.left <= c < part.right]:
                    part.tab.put(row, column, part.tab.cell(row, column).holding())
    return [part.text for part in parts]
