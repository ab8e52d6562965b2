"""spreadsheets.get and spreadsheets:batchUpdate of the local Google Sheets: tabs, cells with their types, rules,
rows and columns, protection, filters, sorting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from .sheets_book import Book, mentions
from .sheets_grid import Area, Cell, CellError, Refused, Scalar, Tab, invalid
from .sheets_text import formatted, plain

_VALUES: Final = {"numberValue": (int, float), "stringValue": (str,), "boolValue": (bool,), "formulaValue": (str,)}
_CELL_FIELDS: Final = frozenset({"userEnteredValue", "userEnteredFormat", "dataValidation", "note"})


# --- looking ---------------------------------------------------------------------------------------------------------


def shown(book: Book, ranges: list[str], grid: bool) -> dict[str, Any]:
    """A Spreadsheet. With ranges only the sheets that they touch; `grid`: with cells."""
    parts = [book.area(text) for text in ranges]
    tabs = [tab for tab in book.tabs if not parts or any(part.tab is tab for part in parts)]
    return {
        "spreadsheetId": book.id,
        "properties": {"title": book.title, "locale": "en_US", "autoRecalc": "ON_CHANGE", "timeZone": "Etc/GMT"},
        "sheets": [_sheet(book, tab, [part for part in parts if part.tab is tab], grid) for tab in tabs],
        "spreadsheetUrl": f"https://docs.google.com/spreadsheets/d/{book.id}/edit",
    }


def properties(book: Book, tab: Tab) -> dict[str, Any]:
    """SheetProperties."""
    size: dict[str, Any] = {"rowCount": tab.row_count, "columnCount": tab.column_count}
    if tab.frozen_rows:
        size["frozenRowCount"] = tab.frozen_rows
    found = {"sheetId": tab.id, "title": tab.title, "index": book.tabs.index(tab), "sheetType": "GRID"}
    return {**found, "gridProperties": size}


def _sheet(book: Book, tab: Tab, parts: list[Area], grid: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"properties": properties(book, tab)}
    if grid:
        found["data"] = [_grid(part) for part in parts or [Area(tab, 0, tab.row_count, 0, tab.column_count)]]
    if tab.protected:
        found["protectedRanges"] = tab.protected
    if tab.filter is not None:
        found["basicFilter"] = tab.filter
    return found


def _grid(part: Area) -> dict[str, Any]:
    """GridData; what is 0 is left out, as everywhere in Google's answers."""
    tab, rows = part.tab, []
    last = max(
        (row for row in range(part.top, part.bottom) if any(part.left <= c < part.right for c in tab.rows[row])),
        default=part.top - 1,
    )
    for row in range(part.top, last + 1):
        columns = [c for c in tab.rows[row] if part.left <= c < part.right]
        cells = [_cell(tab, row, column) for column in range(part.left, max(columns, default=part.left - 1) + 1)]
        rows.append({"values": cells} if cells else {})
    found: dict[str, Any] = {"startRow": part.top, "startColumn": part.left, "rowData": rows}
    found = {name: value for name, value in found.items() if value}
    found["columnMetadata"] = [
        {"pixelSize": 100, **({"hiddenByUser": True} if column in tab.hidden_columns else {})}
        for column in range(part.left, part.right)
    ]
    return found


def _cell(tab: Tab, row: int, column: int) -> dict[str, Any]:
    cell, found = tab.cell(row, column), dict[str, Any]()
    if not cell.blank:
        value = tab.shown(row, column)
        found["userEnteredValue"] = {"formulaValue": cell.formula} if cell.formula else _extended(cell.value)
        found["effectiveValue"] = _extended(0 if value is None else value)
        found["formattedValue"] = value.text if isinstance(value, CellError) else formatted(value, cell.format)
    if cell.format is not None:
        form = {"numberFormat": {"type": cell.format[0], **({"pattern": cell.format[1]} if cell.format[1] else {})}}
        found["userEnteredFormat"] = form
        found["effectiveFormat"] = {**form, "verticalAlignment": "BOTTOM"}
    if cell.rule is not None:
        found["dataValidation"] = cell.rule
    return found


def _extended(value: Scalar | CellError) -> dict[str, Any]:
    if isinstance(value, CellError):
        return {"errorValue": {"type": value.kind, "message": f"Error: {value.text}"}}
    if isinstance(value, bool):
        return {"boolValue": value}
    return {"stringValue": value} if isinstance(value, str) else {"numberValue": plain(value)}


# --- changing --------------------------------------------------------------------------------------------------------


def batch_update(book: Book, body: Any, who: str, mask: str | None) -> dict[str, Any]:
    """spreadsheets:batchUpdate: every request, or none. A fields mask decides alone whether cells are answered."""
    requests = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(requests, list) or not requests:
        raise invalid("Must specify at least one request.")
    replies = []
    with book.change():
        for at, request in enumerate(requests):
            if not isinstance(request, dict) or len(request) != 1:
                raise invalid(f"Invalid value at 'requests[{at}]' (oneof), exactly one kind of request is needed")
            (kind, what), *_ = request.items()
            if kind not in _KINDS:
                raise invalid(
                    f"Invalid JSON payload received. Unknown name \"{kind}\" at 'requests[{at}]': Cannot find field."
                )
            try:
                reply = _KINDS[kind](book, what, who)
            except Refused as refused:
                raise Refused(
                    refused.code, refused.status, f"Invalid requests[{at}].{kind}: {refused.message}"
                ) from None
            except (KeyError, TypeError, AttributeError) as error:
                raise invalid(f"Invalid requests[{at}].{kind}: {error}") from None
            replies.append({kind: reply} if reply else {})
        answer: dict[str, Any] = {"spreadsheetId": book.id, "replies": replies}
        if body.get("includeSpreadsheetInResponse"):
            path = ("updatedSpreadsheet", "sheets", "data")
            grid = mentions(mask, *path) if mask else bool(body.get("responseIncludeGridData"))
            answer["updatedSpreadsheet"] = shown(book, body.get("responseRanges", []), grid)
    return answer


def _tab(book: Book, sheet_id: Any) -> Tab:
    try:
        return book.tab(int(sheet_id or 0))
    except KeyError:
        raise invalid(f"No grid with id: {sheet_id or 0}") from None


def _part(book: Book, where: dict[str, Any]) -> Area:
    """The Area of a GridRange. An open end is the grid's."""
    tab = _tab(book, where.get("sheetId"))
    top, left = where.get("startRowIndex", 0), where.get("startColumnIndex", 0)
    bottom, right = where.get("endRowIndex", tab.row_count), where.get("endColumnIndex", tab.column_count)
    if not (0 <= top <= bottom <= tab.row_count and 0 <= left <= right <= tab.column_count):
        raise invalid(
            f"range: GridRange is off the grid of {tab.row_count} rows and {tab.column_count} columns: {where}"
        )
    return Area(tab, top, bottom, left, right)


def _dimension(book: Book, where: dict[str, Any]) -> tuple[Tab, bool, int, int]:
    tab = _tab(book, where.get("sheetId"))
    if where.get("dimension") not in ("ROWS", "COLUMNS"):
        raise invalid("No dimension specified.")
    is_rows = where["dimension"] == "ROWS"
    count = tab.row_count if is_rows else tab.column_count
    start, end = where.get("startIndex", 0), where.get("endIndex", count)
    if not 0 <= start < end:
        raise invalid(f"range.endIndex[{end}] must be after range.startIndex[{start}]")
    return tab, is_rows, start, end


def _insert(book: Book, what: dict[str, Any], who: str) -> None:
    tab, is_rows, start, end = _dimension(book, what["range"])
    if start > (tab.row_count if is_rows else tab.column_count):
        raise invalid("range.startIndex is beyond the grid")
    (tab.insert_rows if is_rows else tab.insert_columns)(start, end - start)


def _append_dimension(book: Book, what: dict[str, Any], who: str) -> None:
    tab = _tab(book, what.get("sheetId"))
    if what.get("dimension") == "ROWS":
        tab.rows.extend({} for _ in range(int(what["length"])))
    else:
        tab.column_count += int(what["length"])


def _delete(book: Book, what: dict[str, Any], who: str) -> None:
    tab, is_rows, start, end = _dimension(book, what["range"])
    count = tab.row_count if is_rows else tab.column_count
    if end > count:
        raise invalid(f"Cannot delete a row that doesn't exist. Tried to delete row index {end - 1} but there are only "
                      f"{count} rows.")  # fmt: skip
    if end - start == count:
        raise invalid(f"You can't delete all the {'rows' if is_rows else 'columns'} on the sheet.")
    if is_rows and start <= tab.frozen_rows and count - (end - start) <= tab.frozen_rows:
        raise invalid("You can't delete all non-frozen rows on the sheet.")
    rows = range(start, end) if is_rows else range(tab.row_count)
    columns = range(tab.column_count) if is_rows else range(start, end)
    book.may_edit(tab, rows, columns, who)
    (tab.delete_rows if is_rows else tab.delete_columns)(start, end)


def _update_dimension(book: Book, what: dict[str, Any], who: str) -> None:
    tab, is_rows, start, end = _dimension(book, what["range"])
    if not what.get("fields"):
        raise invalid("At least one field must be listed in 'fields'. (Use '*' to indicate all fields.)")
    if not is_rows and "hiddenByUser" in what["fields"]:
        columns = set(range(start, end))
        hidden = what["properties"].get("hiddenByUser")
        tab.hidden_columns = tab.hidden_columns | columns if hidden else tab.hidden_columns - columns


def _changed(cell: Cell, data: dict[str, Any], fields: str) -> Cell:
    """The cell after the named fields were taken from a CellData; what that lacks is cleared."""
    names = {name.split(".")[0].split("(")[0] for name in fields.split(",")}
    if "*" in names:
        names = set(_CELL_FIELDS)
    if not fields or (unknown := names - _CELL_FIELDS):
        raise invalid(f"Invalid field mask: {fields or ''}{'' if not fields else ' ' + min(unknown)}".rstrip())
    if "userEnteredValue" in names:
        cell = _with_value(cell, data.get("userEnteredValue") or {})
    if "userEnteredFormat" in names:
        form = (data.get("userEnteredFormat") or {}).get("numberFormat")
        cell = replace(cell, format=(form["type"], form.get("pattern", "")) if form else None)
    if "dataValidation" in names:
        cell = replace(cell, rule=_rule(data.get("dataValidation")))
    return cell


def _with_value(cell: Cell, value: dict[str, Any]) -> Cell:
    if not value:
        return cell.holding()
    kind, content = next(iter(value.items()))
    fitting = isinstance(content, _VALUES.get(kind, ())) and not (kind == "numberValue" and isinstance(content, bool))
    if len(value) > 1 or not fitting:
        raise invalid(f"Invalid value at 'user_entered_value': {value}")
    if kind == "formulaValue" and not str(content).startswith("="):
        raise invalid(f"Invalid formula: {content}")
    if kind == "formulaValue":
        return cell.holding(formula=str(content))
    if len(str(content)) > 50_000:
        raise invalid("Your input contains more than the maximum of 50000 characters in a single cell.")
    return cell.holding(content)


def _rule(rule: Any) -> Any:
    if rule is not None and "type" not in rule.get("condition", {}):
        raise invalid("dataValidation.condition.type is required")
    return rule


def _update_cells(book: Book, what: dict[str, Any], who: str) -> None:
    rows = what.get("rows", [])
    if "start" in what:
        start = what["start"]
        tab = _tab(book, start.get("sheetId"))
        top, left = start.get("rowIndex", 0), start.get("columnIndex", 0)
        width = max((len(row.get("values", [])) for row in rows), default=0)
        if top + len(rows) > tab.row_count:
            raise invalid(f"Attempting to write row: {tab.row_count}, beyond the last requested row of: "
                          f"{tab.row_count - 1}")  # fmt: skip
        part = Area(tab, top, top + len(rows), left, left + width)
    else:
        part = _part(book, what["range"])
    if part.right > part.tab.column_count:
        raise invalid(f"Attempting to write column: {part.tab.column_count}, beyond the last requested column of: "
                      f"{part.tab.column_count - 1}")  # fmt: skip
    book.may_edit(part.tab, range(part.top, part.bottom), range(part.left, part.right), who)
    for row in range(part.top, part.bottom):
        cells = rows[row - part.top].get("values", []) if row - part.top < len(rows) else []
        for column in range(part.left, part.right):
            at = column - part.left
            if "start" in what and at >= len(cells):
                continue
            data = cells[at] if at < len(cells) else {}
            part.tab.put(row, column, _changed(part.tab.cell(row, column), data, what.get("fields", "")))


def _append_cells(book: Book, what: dict[str, Any], who: str) -> None:
    tab, rows = _tab(book, what.get("sheetId")), what.get("rows", [])
    top = tab.last_row()
    tab.rows.extend({} for _ in range(top + len(rows) - tab.row_count))
    where = {"sheetId": tab.id, "rowIndex": top, "columnIndex": 0}
    _update_cells(book, {"start": where, "rows": rows, "fields": what.get("fields", "")}, who)


def _repeat_cell(book: Book, what: dict[str, Any], who: str) -> None:
    part = _part(book, what["range"])
    book.may_edit(part.tab, range(part.top, part.bottom), range(part.left, part.right), who)
    for row in range(part.top, part.bottom):
        for column in range(part.left, part.right):
            data = what.get("cell", {})
            part.tab.put(row, column, _changed(part.tab.cell(row, column), data, what.get("fields", "")))


def _set_rule(book: Book, what: dict[str, Any], who: str) -> None:
    part = _part(book, what["range"])
    rule = _rule(what.get("rule"))
    for row in range(part.top, part.bottom):
        for column in range(part.left, part.right):
            part.tab.put(row, column, replace(part.tab.cell(row, column), rule=rule))


def _protect(book: Book, what: dict[str, Any], who: str) -> dict[str, Any]:
    wanted = what["protectedRange"]
    tab = _part(book, wanted["range"]).tab
    made = {"protectedRangeId": book.new_id(), **wanted}
    if not made.get("warningOnly"):  # whoever protects a range may edit it
        users = made.get("editors", {}).get("users", [])
        made["editors"] = {"users": [*users, *([] if who in users else [who])]}
    tab.protected.append(made)
    return {"protectedRange": made}


def _unprotect(book: Book, what: dict[str, Any], who: str) -> None:
    for tab in book.tabs:
        if any(one["protectedRangeId"] == what["protectedRangeId"] for one in tab.protected):
            tab.protected = [one for one in tab.protected if one["protectedRangeId"] != what["protectedRangeId"]]
            return
    raise invalid(f"No protected range with id: {what['protectedRangeId']}")


def _update_sheet(book: Book, what: dict[str, Any], who: str) -> None:
    wanted = what["properties"]
    tab, fields = _tab(book, wanted.get("sheetId")), what.get("fields", "")
    if not fields:
        raise invalid("At least one field must be listed in 'fields'. (Use '*' to indicate all fields.)")
    if "title" in fields.split(","):
        _free_title(book, wanted["title"], but=tab)
        tab.title = wanted["title"]
    size = wanted.get("gridProperties", {})
    if "frozenRowCount" in fields:
        if size.get("frozenRowCount", 0) >= tab.row_count:
            raise invalid("You can't freeze all visible rows on the sheet.")
        tab.frozen_rows = size.get("frozenRowCount", 0)
    if "rowCount" in fields:
        del tab.rows[size["rowCount"] :]
        tab.rows.extend({} for _ in range(size["rowCount"] - tab.row_count))
    if "columnCount" in fields:
        tab.column_count = size["columnCount"]


def _free_title(book: Book, title: str, but: Tab | None = None) -> None:
    if any(tab.title.casefold() == title.casefold() for tab in book.tabs if tab is not but):
        raise invalid(f'A sheet with the name "{title}" already exists. Please enter another name.')


def _add_sheet(book: Book, what: dict[str, Any], who: str) -> dict[str, Any]:
    wanted = what.get("properties", {})
    size = wanted.get("gridProperties", {})
    new_id = wanted.get("sheetId", max((tab.id for tab in book.tabs), default=0) + 1_001)
    title = wanted.get("title", f"Sheet{len(book.tabs) + 1}")
    _free_title(book, title)
    tab = Tab(new_id, title, size.get("columnCount", 26), [{} for _ in range(size.get("rowCount", 1000))])
    tab.frozen_rows = size.get("frozenRowCount", 0)
    book.tabs.append(tab)
    return {"properties": properties(book, tab)}


def _delete_sheet(book: Book, what: dict[str, Any], who: str) -> None:
    if len(book.tabs) == 1:
        raise invalid("You can't remove all the sheets in a document.")
    book.tabs = [tab for tab in book.tabs if tab is not _tab(book, what["sheetId"])]


def _sort(book: Book, what: dict[str, Any], who: str) -> None:
    part = _part(book, what["range"])
    keys = [(spec["dimensionIndex"], spec.get("sortOrder") == "DESCENDING") for spec in what["sortSpecs"]]
    book.may_edit(part.tab, range(part.top, part.bottom), range(part.left, part.right), who)
    part.tab.sort(part.top, part.bottom, range(part.left, part.right), keys)


def _filter(book: Book, what: dict[str, Any], who: str) -> None:
    _part(book, what["filter"]["range"]).tab.filter = what["filter"]


def _clear_filter(book: Book, what: dict[str, Any], who: str) -> None:
    _tab(book, what["sheetId"]).filter = None


def _rename(book: Book, what: dict[str, Any], who: str) -> None:
    book.title = what["properties"].get("title", book.title)


_KINDS: Final[dict[str, Callable[[Book, Any, str], dict[str, Any] | None]]] = {
    "addProtectedRange": _protect,
    "addSheet": _add_sheet,
    "appendCells": _append_cells,
    "appendDimension": _append_dimension,
    "clearBasicFilter": _clear_filter,
    "deleteDimension": _delete,
    "deleteProtectedRange": _unprotect,
    "deleteSheet": _delete_sheet,
    "insertDimension": _insert,
    "repeatCell": _repeat_cell,
    "setBasicFilter": _filter,
    "setDataValidation": _set_rule,
    "sortRange": _sort,
    "updateCells": _update_cells,
    "updateDimensionProperties": _update_dimension,
    "updateSheetProperties": _update_sheet,
    "updateSpreadsheetProperties": _rename,
}
