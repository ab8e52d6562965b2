"""What a workbook holds, as a grid: calamine reads the cells, and the sheet's XML tells what calamine does not:
formulas, errors, drop-down lists, and cells so far away that reading them would fill the memory.
"""

from __future__ import annotations

import datetime
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from python_calamine import CalamineError, CalamineWorkbook

from syncd.model import Raw
from syncd.tables.grid import Sheet
from syncd.tables.xlsx_book import BadBook, Book, SheetPart
from syncd.tables.xlsx_cells import Area, area_of, area_text, reference
from syncd.tables.xlsx_sheet import SheetXml, attributes, children, plain

_HEADER_ROWS: Final = 50  # the header stands in one of these
_DENSE: Final = 4_000_000  # cells of the rectangle that calamine makes, about 100 MB
_WHOLE: Final = 10**15  # above, a float no longer holds every digit that a cell shows
_ERROR: Final = re.compile(rb"\st\s*=\s*[\"']e[\"']")
_FAR: Final = re.compile(rb"r\s*=\s*[\"'](?:[A-Za-z]{2}[0-9]|[A-Za-z]?[0-9]{6})")
_NEWER: Final = ("ext", "dataValidations", "dataValidation")

Cells: TypeAlias = (
    "list[list[int | float | str | bool | datetime.time | datetime.date | datetime.datetime | datetime.timedelta]]"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A grid with its place on the sheet: `header` is the header's row, from column `left` to `right`."""

    sheet_name: str
    header: int
    left: int
    right: int
    header_cells: tuple[str, ...]
    rows: tuple[tuple[Raw, ...], ...]
    formulas: frozenset[tuple[int, int]]
    choices: Mapping[int, tuple[str, ...]]

    def sheet(self, at: float, version: str) -> Sheet:
        """As `Grid` shows it."""
        return Sheet(self.header_cells, self.rows, at, version, self.formulas, self.choices)


def read_workbook(data: bytes, name: str | None, key: str) -> Reading:
    """The sheet `name` (None: the first visible one with the column `key`). Raises `BadBook` or `BadSheet`, whose text
    goes on after the file's name.
    """
    book = Book(data)
    source = _opened(data)
    for sheet in _candidates(book, name):
        xml = SheetXml(book.read(sheet.part))
        cells = _cells(source, sheet, xml)
        header = _header_row(cells, key)
        if header is not None:
            return _reading(book, source, sheet, xml, cells, *header)
    where = f"its sheet “{name}”" if name is not None else "any visible sheet"
    raise BadBook(f"has no column “{key}” in the first {_HEADER_ROWS} rows of {where}; add it, or set the right sheet")


def _candidates(book: Book, name: str | None) -> list[SheetPart]:
    if name is None:
        return [sheet for sheet in book.sheets if not sheet.hidden]
    for sheet in book.sheets:
        if sheet.name == name or sheet.name.casefold() == name.casefold():
            return [sheet]
    known = ", ".join(f"“{sheet.name}”" for sheet in book.sheets) or "none"
    raise BadBook(f"has no sheet “{name}”; its sheets are: {known}")


def _opened(data: bytes) -> CalamineWorkbook:
    try:
        return CalamineWorkbook.from_filelike(io.BytesIO(data))
    except BaseException as error:
        raise _unreadable(error) from error


def _unreadable(error: BaseException) -> BaseException:
    """calamine is written in Rust; what it did not foresee comes as a PanicException, which is no Exception."""
    if isinstance(error, CalamineError | ValueError | OSError) or type(error).__name__ == "PanicException":
        return BadBook(f"cannot be read: {' '.join(str(error).split())[:200]}")
    return error


def _cells(source: CalamineWorkbook, sheet: SheetPart, xml: SheetXml) -> Cells:
    _refuse_far(sheet, xml)
    try:
        return source.get_sheet_by_name(sheet.name).to_python(skip_empty_area=False)
    except BaseException as error:
        raise _unreadable(error) from error


def _refuse_far(sheet: SheetPart, xml: SheetXml) -> None:
    """Raises `BadBook` where a lonely cell far away would make a rectangle that fills the memory."""
    # What costs little first: no reference beyond column Z or row 99,999, as in most sheets.
    if not _FAR.search(xml.data):
        return
    if not xml.rows or (max(xml.rows) + 1) * (max(map(xml.last_column, xml.rows)) + 1) <= _DENSE:
        return
    filled = [(cell.row, cell.column) for row in xml.rows for cell in xml.cells(row) if not cell.tag.empty]
    if not filled:
        return
    bottom, right = max(filled), max(filled, key=lambda place: place[1])
    if (bottom[0] + 1) * (right[1] + 1) > max(_DENSE, 20 * len(filled)):
        far = reference(*(bottom if bottom[0] / 1_048_576 > right[1] / 16_384 else right))
        raise BadBook(f"has a cell far away from all others, {far} on the sheet “{sheet.name}”; delete it")


def _header_row(cells: Cells, key: str) -> tuple[int, int] | None:
    """The row of the header, and the key's column."""
    wanted = _title(key)
    for number, row in enumerate(cells[:_HEADER_ROWS]):
        for column, value in enumerate(row):
            if isinstance(value, str) and _title(value) == wanted:
                return number, column
    return None


def _title(value: object) -> str:
    return " ".join(str(value).split())


def _reading(
    book: Book, source: CalamineWorkbook, sheet: SheetPart, xml: SheetXml, cells: Cells, header: int, key: int
) -> Reading:
    left, right, bottom = _bounds(book, sheet, cells, header, key)
    titles = tuple(_title(raw(value)) if value != "" else "" for value in cells[header][left : right + 1])
    _refuse_twofold(sheet, titles)
    rows = [[raw(value) for value in row[left : right + 1]] for row in cells[header + 1 : bottom + 1]]
    top = header + 1
    for row, column, text in _errors(xml):
        if top <= row <= bottom and left <= column <= right:
            rows[row - top][column - left] = text
    while rows and all(value is None for value in rows[-1]):
        rows.pop()
    area = Area(header, left, header + len(rows), right)
    for merged in xml.areas("mergeCells", "mergeCell", "ref"):
        if merged.meets(area):
            what = "merged cells in its header" if merged.top <= header <= merged.bottom else "merged cells"
            raise BadBook(f"has {what}, {area_text(merged)} on the sheet “{sheet.name}”; unmerge them")
    return Reading(
        sheet.name,
        header,
        left,
        right,
        titles,
        tuple(map(tuple, rows)),
        _formulas(xml, area),
        _Lists(book, source, sheet, xml).choices(area),
    )


def _bounds(book: Book, sheet: SheetPart, cells: Cells, header: int, key: int) -> tuple[int, int, int]:
    """First and last column, and last row that may hold a record."""
    named = [column for column, value in enumerate(cells[header]) if value != ""]
    left, right, bottom = named[0], named[-1], len(cells) - 1
    tables = book.tables(sheet)
    own = next((one for one in tables if one.header and one.area.top == header and one.area.holds(header, key)), None)
    if own is None:
        below = [one.area.top for one in tables if one.area.top > header]
        return left, right, min([bottom, *(top - 1 for top in below)])
    left, right = own.area.left, min(own.area.right, len(cells[header]) - 1)
    last = own.area.bottom - own.totals
    if not own.totals:
        # LibreOffice does not widen a table when a row is typed below it.
        while last < bottom and any(value != "" for value in cells[last + 1][left : right + 1]):
            last += 1
    return left, right, min(bottom, last)


def _refuse_twofold(sheet: SheetPart, titles: Sequence[str]) -> None:
    seen: set[str] = set()
    for title in titles:
        if title and title in seen:
            raise BadBook(f"has two columns named “{title}” on its sheet “{sheet.name}”; rename one of them")
        seen.add(title)


def raw(value: object) -> Raw:
    """A cell's value as calamine gives it. Dates become ISO text, a whole number an int."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)  # no spreadsheet program writes it
        return int(value) if value.is_integer() and abs(value) < _WHOLE else value
    if isinstance(value, bool | int) or value is None:
        return value
    if isinstance(value, datetime.timedelta):
        seconds = round(value.total_seconds())
        minutes, sign = abs(seconds) // 60, "-" if seconds < 0 else ""
        return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}:{abs(seconds) % 60:02d}"
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def _errors(xml: SheetXml) -> list[tuple[int, int, str]]:
    """Cells that show an error, with its text: calamine shows them blank, and a blank cell clears a deal's value."""
    data, found = xml.data, []
    if b'"e"' not in data and b"'e'" not in data:
        return []
    area = xml.sheet_data
    starts = [one.start() for one in _ERROR.finditer(data, area.inner, area.tail)]
    if not starts:
        return []
    at = 0
    for number, row in xml.rows.items():
        hits = 0
        while at < len(starts) and starts[at] < row.end:
            at, hits = at + 1, hits + 1
        for cell in xml.cells(number) if hits else []:
            if attributes(data[cell.tag.start : cell.tag.inner]).get("t") == "e":
                shown = [
                    plain(data[one.inner : one.tail].decode())
                    for one in children(data, cell.tag.inner, cell.tag.tail)
                    if xml.own(one.name) == "v"
                ]
                found.append((number, cell.column, "".join(shown) or "#ERROR!"))
    return found


def _formulas(xml: SheetXml, area: Area) -> frozenset[tuple[int, int]]:
    """Computed cells below the header, by row and column of the grid."""
    cells, spread = xml.formulas
    top, left = area.top + 1, area.left
    found = {(row - top, column - left) for row, column in cells if row >= top and area.holds(row, column)}
    for one in spread:
        for row in range(max(one.top, top), min(one.bottom, area.bottom) + 1):
            for column in range(max(one.left, left), min(one.right, area.right) + 1):
                found.add((row - top, column - left))
    return frozenset(found)


class _Lists:
    """The drop-down lists of a sheet."""

    def __init__(self, book: Book, source: CalamineWorkbook, sheet: SheetPart, xml: SheetXml) -> None:
        self._book = book
        self._source = source
        self._sheet = sheet
        self._xml = xml
        self._read: dict[str, Cells] = {}  # sheets with items, by part

    def choices(self, area: Area) -> dict[int, tuple[str, ...]]:
        """The items of each column's list, by column of the grid: of the list that most of its rows have."""
        best: dict[int, tuple[int, str]] = {}
        rows = Area(area.top + 1, area.left, max(area.bottom, area.top + 1), area.right)
        for formula, ranges in self._validations():
            for one in ranges:
                if not one.meets(rows):
                    continue
                height = min(one.bottom, rows.bottom) - max(one.top, rows.top) + 1
                for column in range(max(one.left, rows.left), min(one.right, rows.right) + 1):
                    if height > best.get(column, (0, ""))[0]:
                        best[column] = (height, formula)
        items = {column - area.left: self._items(formula) for column, (_, formula) in best.items()}
        return {column: found for column, found in sorted(items.items()) if found}

    def _validations(self) -> list[tuple[str, list[Area]]]:
        found = []
        for part in self._xml.parts.get("dataValidations", []):
            for one in children(self._xml.data, part.inner, part.tail):
                about = attributes(self._xml.data[one.start : one.inner])
                if about.get("type") == "list":
                    formula = self._child(one.inner, one.tail, "formula1")
                    found.append((formula, _areas(about.get("sqref", ""))))
        for part in self._xml.parts.get("extLst", []):
            found += self._newer(part.inner, part.tail)
        return found

    def _newer(self, start: int, end: int) -> list[tuple[str, list[Area]]]:
        """Lists that stand on another sheet, as newer versions of Excel write them ([MS-XLSX] 2.3.2)."""
        found = []
        for one in children(self._xml.data, start, end):
            name = one.name.rpartition(":")[2]
            if name == "dataValidation":
                about = attributes(self._xml.data[one.start : one.inner])
                if about.get("type") == "list":
                    formula = self._child(one.inner, one.tail, "formula1")
                    ranges = _areas(self._child(one.inner, one.tail, "sqref"))
                    found.append((formula, ranges))
            elif name in _NEWER:
                found += self._newer(one.inner, one.tail)
        return found

    def _child(self, start: int, end: int, name: str) -> str:
        for one in children(self._xml.data, start, end):
            if one.name.rpartition(":")[2] == name:
                inner = next(children(self._xml.data, one.inner, one.tail), None)  # a newer list's formula is in xm:f
                bounds = (inner.inner, inner.tail) if inner is not None else (one.inner, one.tail)
                return plain(self._xml.data[slice(*bounds)].decode()).strip()
        return ""

    def _items(self, formula: str) -> tuple[str, ...]:
        """The items of `"a,b,c"`, of a range, or of a name for one; nothing for any other formula."""
        if len(formula) >= 2 and formula[0] == formula[-1] == '"':
            items = [item.strip() for item in formula[1:-1].replace('""', '"').split(",")]
            return tuple(item for item in items if item)
        place = self._book.names.get(formula.lstrip("=").casefold(), formula).lstrip("=")
        name, _, ranges = place.rpartition("!")
        area = area_of(ranges)
        if area is None:
            return ()
        if name.startswith("'"):
            name = name[1:-1].replace("''", "'")
        for sheet in self._book.sheets:
            if sheet.name.casefold() == (name or self._sheet.name).casefold():
                return self._column(sheet, area)
        return ()

    def _column(self, sheet: SheetPart, area: Area) -> tuple[str, ...]:
        if sheet.part not in self._read:
            xml = self._xml if sheet.part == self._sheet.part else SheetXml(self._book.read(sheet.part))
            self._read[sheet.part] = _cells(self._source, sheet, xml)
        cells = self._read[sheet.part]
        values = [value for row in cells[area.top : area.bottom + 1] for value in row[area.left : area.right + 1]]
        texts = [str(found).strip() for value in values if (found := raw(value)) is not None]
        return tuple(dict.fromkeys(text for text in texts if text))


def _areas(text: str) -> list[Area]:
    return [area for one in text.split() if (area := area_of(one)) is not None]
