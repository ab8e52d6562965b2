"""A workbook changed by writing only the bytes that must change: the cells in one sheet's XML and, where rows are
added, the ranges that grow with them. Styles, charts, pictures, macros, comments and everything that syncd has never
heard of stay as they are, byte for byte. openpyxl would lose text boxes, sparklines and more.

A cell that a formula computes is never written. Formulas elsewhere that depend on a changed cell are computed anew when
a spreadsheet program opens the file. What a cell loses when its value changes: the fonts of single words in it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from syncd.model import Raw
from syncd.tables.xlsx_append import Growth, grown_parts, grown_ranges, refuse_growth
from syncd.tables.xlsx_book import Book, SheetPart
from syncd.tables.xlsx_cells import (
    Area,
    Unfit,
    area_of,
    area_text,
    attribute_xml,
    content,
    is_blank,
    reference,
    text_xml,
)
from syncd.tables.xlsx_sheet import (
    CellTag,
    SheetXml,
    Tag,
    attributes,
    children,
    with_attribute,
    without_attribute,
)
from syncd.tables.xlsx_splice import CannotEdit, Splices

# What stands before calcPr in a workbook part (18.2.27).
_BEFORE_CALC = (
    "fileVersion",
    "fileSharing",
    "workbookPr",
    "workbookProtection",
    "bookViews",
    "sheets",
    "functionGroups",
    "externalReferences",
    "definedNames",
)


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell shall hold: a value, or a formula without a value yet."""

    value: Raw = None
    formula: str = ""
    style: str = ""  # of a cell that is not there yet; "" asks the row and the column


@dataclass(slots=True)
class _Row:
    """What happens to one row. `like` is the row whose look a row that is not there yet takes over."""

    cells: dict[int, Cell] = field(default_factory=dict)
    like: int | None = None


def edited(data: bytes, name: str, changes: Mapping[tuple[int, int], Raw], growth: Growth | None = None) -> bytes:
    """The workbook with these cells of the sheet `name` changed, by row and column of the sheet, and with the rows of
    `growth` below its table; `data` itself where nothing changes.

    A blank cell keeps its look. Raises `CannotEdit`, with the cell where it is to blame, `BadSheet` or `BadBook`.
    """
    book = Book(data)
    sheet = next(one for one in book.sheets if one.name == name)
    xml = SheetXml(book.read(sheet.part))
    rows: dict[int, _Row] = {}
    for (row, column), value in changes.items():
        if xml.is_computed(row, column):
            raise CannotEdit(f"the cell {reference(row, column)} holds a formula", (row, column))
        rows.setdefault(row, _Row()).cells[column] = Cell(value)
    if growth is not None:
        refuse_growth(book, sheet, xml, growth)
        _add_rows(book, sheet, xml, growth, rows)
    splices = Splices(xml.data)
    written = _write_rows(xml, rows, splices)
    _widen_dimension(xml, written, splices)
    parts: dict[str, bytes] = {}
    if growth is not None:
        grown_ranges(xml, growth, splices)
        parts |= grown_parts(book, sheet, growth)
    parts[sheet.part] = splices.applied()
    if parts[sheet.part] == xml.data and len(parts) == 1:
        return book.data  # blank cells that were blank before
    parts[book.workbook] = _calculated_on_load(book, parts.get(book.workbook, book.read(book.workbook)))
    return book.parts.with_parts(parts)


def _add_rows(book: Book, sheet: SheetPart, xml: SheetXml, growth: Growth, rows: dict[int, _Row]) -> None:
    like = growth.last if growth.last > growth.header else None
    styles = {cell.column: _style(xml, cell) for cell in xml.cells(like)} if like is not None else {}
    computed = growth.computed(book, sheet)
    for number, values in enumerate(growth.rows, growth.last + 1):
        row = rows.setdefault(number, _Row(like=like))
        there = {cell.column for cell in xml.cells(number)}
        for column in sorted(set(values) | set(styles) | set(computed)):
            if xml.is_computed(number, column):
                continue  # a formula was filled in beforehand, and it goes on computing this cell
            value, style = values.get(column), styles.get(column, "")
            if not is_blank(value):
                row.cells[column] = Cell(value, style=style)
            elif column in there or not growth.left <= column <= growth.right:
                continue
            elif column in computed:
                row.cells[column] = Cell(formula=computed[column], style=style)
            elif style:
                row.cells[column] = Cell(style=style)


def _style(xml: SheetXml, cell: CellTag) -> str:
    return attributes(xml.data[cell.tag.start : cell.tag.inner]).get("s", "0")


def _write_rows(xml: SheetXml, rows: Mapping[int, _Row], splices: Splices) -> set[tuple[int, int]]:
    """Writes all rows; returns the cells that stand in the sheet now and perhaps did not before."""
    numbers = list(xml.rows)
    written: set[tuple[int, int]] = set()
    data_tag = xml.sheet_data
    fresh: list[bytes] = []  # rows for a sheet without any
    for number in sorted(rows):
        row = rows[number]
        tag = xml.rows.get(number)
        if tag is not None:
            _write_cells(xml, number, tag, row.cells, splices)
        else:
            made = _new_row(xml, number, row)
            if not made:
                continue
            following = bisect_right(numbers, number)
            if data_tag.empty:
                fresh.append(made)
            else:
                at = xml.rows[numbers[following]].start if following < len(numbers) else data_tag.tail
                splices.insert(at, made)
        written.update((number, column) for column, cell in row.cells.items() if not _absent(cell))
    if fresh:
        opened = xml.data[data_tag.start : data_tag.inner].rstrip(b"/>").rstrip() + b">"
        closed = f"</{xml.prefix}sheetData>".encode()
        splices.replace(data_tag.start, data_tag.end, b"".join([opened, *fresh, closed]))
    return written


def _absent(cell: Cell) -> bool:
    return is_blank(cell.value) and not cell.formula and not cell.style


def _new_row(xml: SheetXml, number: int, row: _Row) -> bytes:
    cells = {column: cell for column, cell in sorted(row.cells.items()) if not _absent(cell)}
    if not cells:
        return b""
    tag = f"<{xml.prefix}row>".encode()
    like = xml.rows.get(row.like) if row.like is not None else None
    if like is not None:
        tag = xml.data[like.start : like.inner]
        if like.empty:
            tag = tag[:-2].rstrip() + b">"
        # A row may be hidden by a filter or a fold; a new one is shown.
        for name in ("hidden", "collapsed", "outlineLevel", "r", "spans"):
            tag = without_attribute(tag, name)
    opening = f"<{xml.prefix}row".encode()
    tag = opening + f' r="{number + 1}"'.encode() + tag[len(opening) :]
    inner = b"".join(_new_cell(xml, number, column, cell, tag) for column, cell in cells.items())
    return tag + inner + f"</{xml.prefix}row>".encode()


def _write_cells(xml: SheetXml, number: int, tag: Tag, cells: Mapping[int, Cell], splices: Splices) -> None:
    opened = xml.data[tag.start : tag.inner]
    there = {cell.column: cell for cell in xml.cells(number)}
    columns = list(there)
    added: dict[int, list[bytes]] = {}  # by position
    for column in sorted(cells):
        cell = cells[column]
        if column in there:
            old = there[column].tag
            splices.replace(old.start, old.end, _changed_cell(xml, number, column, old, cell))
        elif not _absent(cell):
            following = bisect_right(columns, column)
            at = there[columns[following]].tag.start if following < len(columns) else tag.tail
            added.setdefault(at, []).append(_new_cell(xml, number, column, cell, opened))
    if not added:
        return
    spanned = _spanning(opened, [column for column in cells if not _absent(cells[column])])
    if tag.empty:
        whole = b"".join(piece for pieces in added.values() for piece in pieces)
        spanned = spanned[:-2].rstrip() + b">"
        splices.replace(tag.start, tag.end, spanned + whole + f"</{xml.prefix}row>".encode())
        return
    if spanned != opened:
        splices.replace(tag.start, tag.inner, spanned)
    for at, pieces in added.items():
        splices.insert(at, b"".join(pieces))


def _spanning(opened: bytes, columns: Iterable[int]) -> bytes:
    """A row's start tag whose `spans`, where it has one, covers these columns too."""
    spans = attributes(opened).get("spans", "")
    first, _, last = spans.partition(":")
    if not (first.isdecimal() and last.isdecimal()):
        return opened
    wide = [int(first), int(last), *(column + 1 for column in columns)]
    widened = f"{min(wide)}:{max(wide)}"
    return opened if widened == spans else with_attribute(opened, "spans", widened)


def _inner(xml: SheetXml, row: int, column: int, cell: Cell) -> tuple[str, str]:
    if cell.formula:
        return "", f"<{xml.prefix}f>{text_xml(cell.formula)}</{xml.prefix}f>"
    try:
        return content(cell.value, xml.prefix)
    except Unfit as error:
        raise CannotEdit(f"{error} ({reference(row, column)})", (row, column)) from error


def _changed_cell(xml: SheetXml, row: int, column: int, old: Tag, cell: Cell) -> bytes:
    """A cell that is there, with its look and a new value."""
    tag = xml.data[old.start : old.inner]
    # `t` is the kind of the old value, `vm` and `cm` point to more about it (a picture in the cell, a data type).
    for name in ("t", "vm", "cm"):
        tag = without_attribute(tag, name)
    bare = (tag[:-2] if old.empty else tag[:-1]).rstrip()
    if is_blank(cell.value) and not cell.formula:
        return bare + b"/>"
    kind, inner = _inner(xml, row, column, cell)
    typed = f' t="{kind}"' if kind else ""
    return bare + f"{typed}>{inner}</{xml.prefix}c>".encode()


def _new_cell(xml: SheetXml, row: int, column: int, cell: Cell, row_tag: bytes) -> bytes:
    style = cell.style or _look(xml, column, row_tag)
    styled = f' s="{attribute_xml(style)}"' if style and style != "0" else ""
    opened = f'<{xml.prefix}c r="{reference(row, column)}"{styled}'
    if is_blank(cell.value) and not cell.formula:
        return f"{opened}/>".encode()
    kind, inner = _inner(xml, row, column, cell)
    typed = f' t="{kind}"' if kind else ""
    return f"{opened}{typed}>{inner}</{xml.prefix}c>".encode()


def _look(xml: SheetXml, column: int, row_tag: bytes) -> str:
    """The style of a cell that was not there: its row's, else its column's."""
    about = attributes(row_tag)
    if about.get("customFormat", "0") in ("1", "true") and "s" in about:
        return about["s"]
    return next((style for first, last, style in xml.column_styles if first <= column <= last), "")


def _widen_dimension(xml: SheetXml, written: set[tuple[int, int]], splices: Splices) -> None:
    for tag in xml.parts.get("dimension", []):
        opened = xml.data[tag.start : tag.inner]
        area = area_of(attributes(opened).get("ref", ""))
        if area is None or not written:
            return
        rows, columns = [row for row, _ in written], [column for _, column in written]
        wide = Area(min(area.top, *rows), min(area.left, *columns), max(area.bottom, *rows), max(area.right, *columns))
        if wide != area:
            splices.replace(tag.start, tag.inner, with_attribute(opened, "ref", area_text(wide)))


def _calculated_on_load(book: Book, data: bytes) -> bytes:
    """The workbook part, asking for all formulas to be computed when the file is opened; as it is without formulas."""
    if not book.has_formulas():
        return data
    root = next(children(data, 0, len(data)))
    prefix = root.name[: root.name.find(":") + 1]
    after = root.inner
    for tag in children(data, root.inner, root.tail):
        name = tag.name.removeprefix(prefix)
        if name == "calcPr":
            opened = with_attribute(data[tag.start : tag.inner], "fullCalcOnLoad", "1")
            return data[: tag.start] + opened + data[tag.inner :]
        if name in _BEFORE_CALC:
            after = tag.end
    return data[:after] + f'<{prefix}calcPr fullCalcOnLoad="1"/>'.encode() + data[after:]
