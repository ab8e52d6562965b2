"""Rows added below a table: the ranges that end with its last row grow with it, as they would in a spreadsheet program.

Grown are the table and its filter, the sheet's filter, drop-down lists and other validations, conditional formats and
ignored errors: where a range covers the last row and ends before the new one. A range that reaches further (a whole
column, say) stays as it is. Charts and formulas that name a range do not grow; those that name a table do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from syncd.model import Raw
from syncd.tables.xlsx_book import Book, SheetPart, TablePart
from syncd.tables.xlsx_cells import MAX_ROWS, Area, area_of, area_text, column_name, reference
from syncd.tables.xlsx_sheet import SheetXml, Tag, attributes, children, plain, with_attribute
from syncd.tables.xlsx_splice import CannotEdit, Splices

# Elements whose children (or which themselves) name the cells that they are about.
_RANGED = {"dataValidations": "dataValidation", "ignoredErrors": "ignoredError"}
_RANGED_LATER = ("dataValidation", "conditionalFormatting")  # in extLst; a sparkline's range is its own place


@dataclass(frozen=True, slots=True)
class Growth:
    """Rows to add to a table: below `last`, its last row (the header where it has none), from column `left` to `right`.
    `rows` are values by column of the sheet.
    """

    header: int
    last: int
    left: int
    right: int
    rows: Sequence[Mapping[int, Raw]]

    @property
    def bottom(self) -> int:
        """The last row when they have been added."""
        return self.last + len(self.rows)

    @property
    def area(self) -> Area:
        """The cells of the new rows."""
        return Area(self.last + 1, self.left, self.bottom, self.right)

    def table(self, book: Book, sheet: SheetPart) -> TablePart | None:
        """The table that the rows belong to; None where they stand in none."""
        for table in book.tables(sheet):
            beside = table.area.right < self.left or self.right < table.area.left
            if table.header and table.area.top == self.header and not beside:
                return table
        return None

    def computed(self, book: Book, sheet: SheetPart) -> dict[int, str]:
        """Formulas that the table puts into each of its rows, by column."""
        table = self.table(book, sheet)
        return table.formulas if table is not None else {}


def refuse_growth(book: Book, sheet: SheetPart, xml: SheetXml, growth: Growth) -> None:
    """Raises `CannotEdit` where there is no room for the rows."""
    if growth.bottom >= MAX_ROWS:
        raise CannotEdit("the sheet is full")
    own = growth.table(book, sheet)
    if own is not None and own.totals and growth.bottom > own.area.bottom - own.totals:
        raise CannotEdit("the table has a row of totals, so no row can be added below it; switch the totals row off")
    for table in book.tables(sheet):
        if (own is None or table.part != own.part) and table.area.meets(growth.area):
            raise CannotEdit(f"another table stands in the way, at {area_text(table.area)}; move it aside")
    for merged in xml.areas("mergeCells", "mergeCell", "ref"):
        if merged.meets(growth.area):
            raise CannotEdit(f"merged cells stand in the way, at {area_text(merged)}; unmerge them or move them aside")
    for number in range(growth.last + 1, growth.bottom + 1):
        for cell in xml.cells(number):
            if not growth.left <= cell.column <= growth.right or cell.tag.empty:
                continue
            inner = b"".join(_values(xml, cell.tag))
            if inner and not xml.is_computed(number, cell.column):
                where = reference(number, cell.column)
                raise CannotEdit(f"something else stands in the row below the table, at {where}; move it aside")


def _values(xml: SheetXml, tag: Tag) -> Iterator[bytes]:
    for one in children(xml.data, tag.inner, tag.tail):
        yield xml.data[one.inner : one.tail]


def grown_ranges(xml: SheetXml, growth: Growth, splices: Splices) -> None:
    """Writes the ranges of the sheet's own part."""
    for part, child in _RANGED.items():
        for tag in xml.parts.get(part, []):
            for one in children(xml.data, tag.inner, tag.tail):
                if xml.own(one.name) == child:
                    _grow_attribute(xml, one, "sqref", growth, splices)
    for tag in xml.parts.get("conditionalFormatting", []):
        _grow_attribute(xml, tag, "sqref", growth, splices)
    for tag in xml.parts.get("autoFilter", []):
        opened = xml.data[tag.start : tag.inner]
        area = area_of(attributes(opened).get("ref", ""))
        if area is not None and area.top == growth.header and growth.last <= area.bottom < growth.bottom:
            wider = area_text(replace(area, bottom=growth.bottom))
            splices.replace(tag.start, tag.inner, with_attribute(opened, "ref", wider))
    for tag in xml.parts.get("extLst", []):
        _grow_later(xml, tag, growth, splices)


def _grow_later(xml: SheetXml, tag: Tag, growth: Growth, splices: Splices) -> None:
    """Validations and formats of newer kinds (18.2.7 and [MS-XLSX] 2.3.2): their range is an element of its own."""
    for one in children(xml.data, tag.inner, tag.tail):
        name = one.name.rpartition(":")[2]
        if name == "sqref":
            text = plain(xml.data[one.inner : one.tail].decode())
            wider = _grown(text, growth)
            if wider != text:
                splices.replace(one.inner, one.tail, wider.encode())
        elif name in ("ext", "dataValidations", "conditionalFormattings", *_RANGED_LATER):
            _grow_later(xml, one, growth, splices)


def _grow_attribute(xml: SheetXml, tag: Tag, name: str, growth: Growth, splices: Splices) -> None:
    opened = xml.data[tag.start : tag.inner]
    text = attributes(opened).get(name, "")
    wider = _grown(text, growth)
    if wider != text:
        splices.replace(tag.start, tag.inner, with_attribute(opened, name, wider))


def _grown(ranges: str, growth: Growth) -> str:
    """A list of ranges in which those that cover the last row reach the new last one."""
    # Where there is no row yet, the ranges are those of the first one.
    last = max(growth.last, growth.header + 1)
    found, changed = [], False
    for text in ranges.split():
        area = area_of(text)
        if (
            area is not None
            and area.top <= last <= area.bottom < growth.bottom
            and area.left <= growth.right
            and growth.left <= area.right
        ):
            text, changed = area_text(replace(area, bottom=growth.bottom)), True
        found.append(text)
    return " ".join(found) if changed else ranges


def grown_parts(book: Book, sheet: SheetPart, growth: Growth) -> dict[str, bytes]:
    """The other parts that say how far the table reaches, by name: the table's, and the workbook's for a filter."""
    parts: dict[str, bytes] = {}
    table = growth.table(book, sheet)
    if table is not None and table.area.bottom < growth.bottom:
        parts[table.part] = _grown_table(book.read(table.part), table, growth)
    names = _grown_filter_name(book, sheet, growth)
    if names is not None:
        parts[book.workbook] = names
    return parts


def _grown_table(data: bytes, table: TablePart, growth: Growth) -> bytes:
    wider = area_text(replace(table.area, bottom=growth.bottom))
    root = next(children(data, 0, len(data)))
    splices = Splices(data)
    splices.replace(root.start, root.inner, with_attribute(data[root.start : root.inner], "ref", wider))
    for tag in children(data, root.inner, root.tail):
        if tag.name.rpartition(":")[2] == "autoFilter":
            splices.replace(tag.start, tag.inner, with_attribute(data[tag.start : tag.inner], "ref", wider))
    return splices.applied()


def _grown_filter_name(book: Book, sheet: SheetPart, growth: Growth) -> bytes | None:
    """The workbook part with the hidden name that Excel keeps for a sheet's filter; None where none is to grow."""
    data = book.read(book.workbook)
    root = next(children(data, 0, len(data)))
    for names in children(data, root.inner, root.tail):
        if names.name.rpartition(":")[2] != "definedNames":
            continue
        for one in children(data, names.inner, names.tail):
            about = attributes(data[one.start : one.inner])
            if about.get("name") != "_xlnm._FilterDatabase" or about.get("localSheetId") != str(sheet.local):
                continue
            text = data[one.inner : one.tail].decode()
            place, mark, ranges = text.rpartition("!")
            area = area_of(ranges)
            if area is None or area.top != growth.header or not growth.last <= area.bottom < growth.bottom:
                continue
            first, last = column_name(area.left), column_name(area.right)
            wider = f"{place}{mark}${first}${area.top + 1}:${last}${growth.bottom + 1}"
            return data[: one.inner] + wider.encode() + data[one.tail :]
    return None
