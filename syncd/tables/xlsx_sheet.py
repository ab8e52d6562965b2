"""Where rows, cells and everything else stand in a sheet's XML, as byte positions: an edit replaces only those bytes.

The XML is first proved to be well-formed by expat, to be UTF-8 and to have no document type; after that the patterns
here find exactly its tags, since comments, CDATA and quoted attributes are matched as a whole. That is several times
faster than asking expat for the position of each of some hundred thousand cells. Source: ECMA-376 part 1, 18.3.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import unescape

from syncd.tables.xlsx_cells import Area, area_of, cell_of

MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT: Final = "http://purl.oclc.org/ooxml/spreadsheetml/main"

_REST: Final = rb"((?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+)>"  # of a tag; ends with "/" where it closes itself
_SKIP: Final = rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>"
_TAG: Final = re.compile(_SKIP + rb"|<(/?)([^\s/>!?]+)" + _REST, re.DOTALL)
_ATTRIBUTE: Final = re.compile(rb"([^\s=]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_ENTITIES: Final = {"&quot;": '"', "&apos;": "'"}
_NUMBERED: Final = re.compile(r"&#(?:x([0-9A-Fa-f]+)|([0-9]+));")


class BadSheet(Exception):
    """XML that cannot be edited safely. The text continues a sentence "…: it …"."""


@dataclass(frozen=True, slots=True)
class Tag:
    """An element: [start, inner) is its start tag, [inner, tail) what is in it, [tail, end) its end tag. One that
    closes itself has inner == tail == end.
    """

    name: str  # without the prefix of the spreadsheet's own namespace
    start: int
    inner: int
    tail: int
    end: int

    @property
    def empty(self) -> bool:
        """Whether it closes itself."""
        return self.inner == self.end


@dataclass(frozen=True, slots=True)
class CellTag:
    """A cell's element."""

    row: int
    column: int
    tag: Tag


def check_xml(data: bytes) -> None:
    """Raises `BadSheet` unless this is well-formed XML in UTF-8 without a document type."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:64]:
        raise BadSheet("has a part that is not written in UTF-8")
    declared = re.match(rb"(?:\xef\xbb\xbf)?<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']+)", data)
    if declared and declared[1].lower() not in (b"utf-8", b"utf8", b"us-ascii"):
        raise BadSheet("has a part that is not written in UTF-8")
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise BadSheet("has a part with a document type, which no spreadsheet has")

    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise BadSheet(f"has a part with broken XML ({error})") from error


def attributes(tag: bytes) -> dict[str, str]:
    """Attributes of a start tag, by name with prefix."""
    found = {}
    for name, double, single in _ATTRIBUTE.findall(tag):
        found[name.decode()] = plain((double or single).decode())
    return found


def plain(text: str) -> str:
    """XML text without its entities."""
    if "&" not in text:
        return text
    text = _NUMBERED.sub(lambda found: chr(int(found[1], 16) if found[1] else int(found[2])), text)
    return unescape(text, _ENTITIES)


def with_attribute(tag: bytes, name: str, value: str) -> bytes:
    """A start tag with an attribute set; `value` is written as XML already."""
    found = re.search(rb"(\s" + re.escape(name.encode()) + rb"\s*=\s*)(\"[^\"]*\"|'[^']*')", tag)
    if found:
        return tag[: found.end(1)] + b'"' + value.encode() + b'"' + tag[found.end() :]
    end = len(tag) - (2 if tag.endswith(b"/>") else 1)
    return tag[:end].rstrip() + f' {name}="{value}"'.encode() + tag[end:]


def without_attribute(tag: bytes, name: str) -> bytes:
    """A start tag that lacks this attribute."""
    return re.sub(rb"\s" + re.escape(name.encode()) + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')", b"", tag, count=1)


def children(data: bytes, start: int, end: int) -> Iterator[Tag]:
    """The elements directly within [start, end), names with their prefixes."""
    depth = 0
    name, begun, inner = "", 0, 0
    for found in _TAG.finditer(data, start, end):
        if found[2] is None:
            continue
        if found[1]:
            depth -= 1
            if depth < 0:
                return  # the end of what they are in
            if depth == 0:
                yield Tag(name, begun, inner, found.start(), found.end())
        else:
            if depth == 0:
                name, begun, inner = found[2].decode(), found.start(), found.end()
            if not found[3].endswith(b"/"):
                depth += 1
            elif depth == 0:
                yield Tag(name, begun, inner, inner, inner)


class SheetXml:
    """The XML of a worksheet. Raises `BadSheet` where it cannot be edited."""

    def __init__(self, data: bytes) -> None:
        check_xml(data)
        self.data = data
        root = next((found for found in _TAG.finditer(data) if found[2] is not None), None)
        assert root is not None  # expat has seen an element
        self._root = root
        name = root[2].decode()
        self.prefix = name[: name.find(":") + 1]
        spaces = attributes(root[3])
        space = spaces.get(f"xmlns:{self.prefix[:-1]}" if self.prefix else "xmlns")
        if space == STRICT:
            raise BadSheet("is in the strict format; save it as “Excel Workbook (.xlsx)”, the usual one")
        if space != MAIN or name != f"{self.prefix}worksheet":
            raise BadSheet("has a sheet that is no worksheet with cells")
        mark = re.escape(self.prefix.encode())
        # Nothing to skip, as in what spreadsheet programs write: the patterns that need not look for it are faster.
        self._bare = b"<!" not in data and data.count(b"<?") < 2
        skip = b"" if self._bare else _SKIP + b"|"
        self._row_start = re.compile(skip + rb"<" + mark + rb"row(?=[\s/>])" + _REST, re.DOTALL)
        self._row_end = re.compile(skip + rb"</" + mark + rb"row\s*>", re.DOTALL)
        self._cell = re.compile(skip + rb"<" + mark + rb"c(?=[\s/>])" + _REST + rb"|</" + mark + rb"c\s*>", re.DOTALL)
        self._formula = re.compile(skip + rb"<" + mark + rb"([cf])(?=[\s/>])" + _REST, re.DOTALL)

    def own(self, name: str) -> str:
        """An element's name without the prefix, if it is the spreadsheet's own; else the name as it is."""
        return name.removeprefix(self.prefix) if self.prefix else name

    @cached_property
    def parts(self) -> dict[str, list[Tag]]:
        """The elements right below the root, by name."""
        if self._root[3].endswith(b"/"):
            raise BadSheet("has a sheet without a place for cells")
        data, found = self.data, dict[str, list[Tag]]()
        opened = f"<{self.prefix}sheetData".encode()
        closed = f"</{self.prefix}sheetData".encode()
        # Cells are most of the file: they are stepped over, and only what stands before and after is taken apart.
        start = self._outside(opened)
        tag = _TAG.match(data, start) if start >= 0 else None
        if tag is None:
            raise BadSheet("has a sheet without a place for cells")
        if tag[3].endswith(b"/"):
            inner = tail = end = tag.end()
        else:
            inner, tail = tag.end(), self._closing(closed, tag.end())
            end = data.index(b">", tail) + 1
        everything = [
            *children(data, self._root.end(), start),
            Tag(f"{self.prefix}sheetData", start, inner, tail, end),
            *children(data, end, len(data)),
        ]
        for one in everything:
            name = self.own(one.name)
            found.setdefault(name, []).append(Tag(name, one.start, one.inner, one.tail, one.end))
        if len(found["sheetData"]) != 1:
            raise BadSheet("has two places for cells in one sheet")
        return found

    def _outside(self, opened: bytes) -> int:
        """Where this tag starts, comments left out; -1 where it does not."""
        pattern = re.compile(_SKIP + rb"|" + re.escape(opened) + rb"(?=[\s/>])", re.DOTALL)
        for found in pattern.finditer(self.data):
            if found[0] == opened:
                return found.start()
        return -1

    def _closing(self, closed: bytes, start: int) -> int:
        if self._bare:
            return self.data.rfind(closed)
        pattern = re.compile(_SKIP + rb"|" + re.escape(closed) + rb"(?=[\s>])", re.DOTALL)
        return next(found.start() for found in pattern.finditer(self.data, start) if found[0] == closed)

    @property
    def sheet_data(self) -> Tag:
        """The element that holds the rows."""
        return self.parts["sheetData"][0]

    @cached_property
    def rows(self) -> dict[int, Tag]:
        """Rows that are there, by number, in order. Raises `BadSheet` where they are out of order."""
        area = self.sheet_data
        found: dict[int, Tag] = {}
        number, at = -1, area.inner
        while (one := self._next(self._row_start, at, area.tail)) is not None:
            stated = _stated(one[1])
            after = int(stated) - 1 if stated.isdecimal() else number + 1
            if after <= number:
                raise BadSheet(f"has a sheet whose rows are out of order (row {after + 1})")
            number, begun, inner = after, one.start(), one.end()
            tail, at = inner, inner
            if not one[1].endswith(b"/"):
                end = self._next(self._row_end, inner, area.tail)
                assert end is not None  # expat has seen it
                tail, at = end.start(), end.end()
            found[number] = Tag("row", begun, inner, tail, at)
        return found

    def _next(self, pattern: re.Pattern[bytes], start: int, end: int) -> re.Match[bytes] | None:
        """The next tag, comments and the like left out."""
        found = pattern.search(self.data, start, end)
        while found is not None and found[0].startswith((b"<!", b"<?")):
            found = pattern.search(self.data, found.end(), end)
        return found

    def cells(self, row: int) -> list[CellTag]:
        """Cells of a row, in order. Raises `BadSheet` where they are out of order or name another row."""
        tag = self.rows.get(row)
        if tag is None or tag.empty:
            return []
        found: list[CellTag] = []
        column, begun, inner = -1, 0, 0
        for one in self._cell.finditer(self.data, tag.inner, tag.tail):
            if one[1] is None:
                if one[0].startswith(b"</"):
                    found.append(CellTag(row, column, Tag("c", begun, inner, one.start(), one.end())))
                continue
            stated = attributes(one[1]).get("r")
            place = cell_of(stated) if stated else (row, column + 1)
            if place is None or place[0] != row or place[1] <= column:
                raise BadSheet(f"has cells in row {row + 1} that are out of order")
            column, begun, inner = place[1], one.start(), one.end()
            if one[1].endswith(b"/"):
                found.append(CellTag(row, column, Tag("c", begun, inner, inner, inner)))
        return found

    @cached_property
    def column_styles(self) -> list[tuple[int, int, str]]:
        """First and last column, and the style of their cells."""
        found = []
        for cols in self.parts.get("cols", []):
            for one in children(self.data, cols.inner, cols.tail):
                about = attributes(self.data[one.start : one.inner])
                first, last = about.get("min", ""), about.get("max", "")
                if first.isdecimal() and last.isdecimal():
                    found.append((int(first) - 1, int(last) - 1, about.get("style", "")))
        return found

    def last_column(self, row: int) -> int:
        """An upper bound of the columns in a row, found without reading its cells; -1 where it has none."""
        tag = self.rows[row]
        at = self.data.rfind(f"<{self.prefix}c ".encode(), tag.inner, tag.tail)
        if at < 0:
            return -1 if tag.empty else self.data.count(f"<{self.prefix}c".encode(), tag.inner, tag.tail) - 1
        place = cell_of(_stated(self.data[at : self.data.index(b">", at)]))
        return place[1] if place else self.data.count(f"<{self.prefix}c".encode(), tag.inner, tag.tail) - 1

    @cached_property
    def formulas(self) -> tuple[frozenset[tuple[int, int]], tuple[Area, ...]]:
        """Cells that hold a formula, and the areas whose values come from one formula (array formulas, spilled results,
        data tables).
        """
        data, area = self.data, self.sheet_data
        if f"<{self.prefix}f".encode() not in data:
            return frozenset(), ()
        rows = iter([*self.rows.items(), (-1, Tag("", len(data), 0, 0, 0))])
        row, (_, following) = -1, (0, Tag("", 0, 0, 0, 0))
        upcoming = -1
        cells: set[tuple[int, int]] = set()
        areas: list[Area] = []
        column = -1
        for one in self._formula.finditer(data, area.inner, area.tail):
            if one[1] is None:
                continue
            while one.start() >= following.start:
                row, column = upcoming, -1
                upcoming, following = next(rows)
            if one[1] == b"c":
                stated = _stated(one[2])
                place = cell_of(stated) if stated else None
                column = place[1] if place else column + 1
                continue
            cells.add((row, column))
            about = attributes(one[2])
            spread = area_of(about["ref"]) if about.get("t") in ("array", "dataTable") and "ref" in about else None
            if spread is not None:
                areas.append(spread)
        return frozenset(cells), tuple(areas)

    def is_computed(self, row: int, column: int) -> bool:
        """Whether a formula gives this cell its value."""
        cells, areas = self.formulas
        return (row, column) in cells or any(area.holds(row, column) for area in areas)

    def areas(self, part: str, child: str, name: str) -> list[Area]:
        """The areas that an attribute of the children of a part names (merged cells, for instance)."""
        found: list[Area] = []
        for tag in self.parts.get(part, []):
            for one in children(self.data, tag.inner, tag.tail):
                if self.own(one.name) == child:
                    named = attributes(self.data[one.start : one.inner]).get(name, "")
                    found += [area for text in named.split() if (area := area_of(text)) is not None]
        return found


_STATED: Final = re.compile(rb"\sr\s*=\s*[\"']([^\"']*)[\"']")


def _stated(tag: bytes) -> str:
    found = _STATED.search(tag)
    return found[1].decode() if found else ""
