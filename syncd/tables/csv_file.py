"""A CSV file as a grid. It is read and written whole, but a line whose row does not change stays as it is, byte for
byte: delimiter, encoding, byte-order mark, line ends, quotes and the missing end of the last line included.

A cell is text, or blank: a CSV file knows nothing else. Numbers are written plainly (1500, 0.5). In a column with
decimal commas they are read and written so: "1.234,50" is read as "1234.50". Such a column is one of a file whose cells
are separated by something else than commas; at least half of what it holds are such numbers, one of them has a comma,
and none has a decimal point. Other texts are read as they are: "1.500" in a column without a single comma is one and a
half. How a column's numbers are written is found out once and remembered (`styles`): what somebody types into one cell
must not change what all the others mean.

Formulas: a spreadsheet program that opens a CSV file runs a text such as `=HYPERLINK(…)`, and names of deals can come
from anybody who fills in a web form. So a text that would run is written with an apostrophe before it, as people do who
type one into a cell, and read without. That is a text that begins with = or @, a tab or a carriage return, or with + or
- unless it is only digits and signs (a phone number, a negative number).
"""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from syncd.model import Raw
from syncd.sides import Misconfigured, SideDown
from syncd.tables.files import Content, TableFile, Unwritable
from syncd.tables.grid import GridMoved, Sheet
from syncd.tables.xlsx_cells import is_blank

_DELIMITERS: Final = (",", ";", "\t", "|")
_LONGEST: Final = 16 * 1024 * 1024  # characters in a cell
_SEPARATOR_LINE: Final = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)  # Excel's own way to name the delimiter
_RUNS: Final = re.compile(r"[=@\t\r＝＠]|[+\-＋－](?![0-9 ().,/+-]*\Z)")
_COMMA_NUMBER: Final = re.compile(r"-?(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+)(?:,[0-9]+)?")
_POINT_NUMBER: Final = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)\.(?:[0-9]{1,2}|[0-9]{4,})")
_POINTED: Final = re.compile(r"-?[0-9][0-9,]*\.[0-9]+")
_UTF8_LETTER: Final = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_BOMS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


@dataclass(frozen=True, slots=True)
class _Text:
    """A file taken apart: what stands before the header's line, then each record as it is written and its cells."""

    bom: bytes
    encoding: str
    delimiter: str
    line_end: str
    quote_all: bool
    before: str
    header: tuple[str, ...]
    written: tuple[str, ...]  # the header's record first
    rows: tuple[tuple[Raw, ...], ...]
    commas: frozenset[int]  # columns with decimal commas
    evident: frozenset[int]  # those of which their cells show it
    marked: frozenset[int]  # those in which a number has a mark that could be read otherwise


class CsvFile:
    """A CSV file whose first line names the columns, `key` among them."""

    label = "the CSV file"

    def __init__(self, path: Path, key: str, clock: Callable[[], float] = time.time) -> None:
        self._file = TableFile(path, clock)
        self._key = key
        self._clock = clock
        self._seen: Content | None = None  # without its bytes
        self.styles: dict[str, str] = {}  # by column's title: "," where it has decimal commas, "." where points

    @property
    def identity(self) -> str:
        """The file's place."""
        return str(self._file.resolved)

    @property
    def clock_offset(self) -> float:
        """A file's times are of our own clock."""
        return 0.0

    @property
    def calls(self) -> int:
        """No requests."""
        return 0

    def ready(self) -> None:
        """A file is compared directly before it is replaced."""

    def load(self) -> Sheet:
        """See `Grid`."""
        at = self._clock()
        content = self._file.read()
        text = self._understood(content.data)
        self._seen = replace(content, data=b"")
        return Sheet(text.header, text.rows, at, content.version)

    def unchanged(self, sheet: Sheet) -> bool:
        """See `Grid`. False for two seconds after a save: a second one within them might not show."""
        seen = self._seen
        return seen is not None and (
            seen.version == sheet.version and seen.settled and self._file.glance() == seen.print
        )

    def refresh(self, sheet: Sheet, rows: Collection[int]) -> Sheet:
        """See `Grid`: the whole file, where it was saved since."""
        at = self._clock()
        return replace(sheet, at=at) if self.unchanged(sheet) else self.load()

    def write(
        self, sheet: Sheet, changes: Mapping[tuple[int, int], Raw], new: Sequence[Mapping[int, Raw]] = ()
    ) -> Sheet:
        """See `Grid`. Also raises `Unwritable`, a `GridBusy`, where the file's encoding lacks a letter; the cells of
        new rows are those that they would get.
        """
        if not changes and not new:
            return sheet
        content, text = self._current(sheet)
        rows = _by_row(changes)
        end, written = text.line_end, list(text.written)
        for row, cells in rows.items():
            values = _values(text.written[row + 1], text.delimiter)
            values += [""] * (len(text.header) - len(values))
            for column, value in cells.items():
                values[column] = self._cell(value, text, (row, column))
            written[row + 1] = _line(values, text) + _end_of(text.written[row + 1])
        # Blank lines at the end belong to no row: what is new goes before them.
        last = len(text.rows) + 1
        added = []
        for row, one in enumerate(new, len(text.rows)):
            whole = {column: self._cell(value, text, (row, column)) for column, value in one.items()}
            added.append(_line([whole.get(column, "") for column in range(len(text.header))], text) + end)
        if added and not _end_of(written[last - 1]):
            written[last - 1] += end
            if last == len(text.written):
                added[-1] = added[-1].removesuffix(end)  # the last line had no end, and has none
        written[last:last] = added
        return self._replace(content, text, written, sheet)

    def delete(self, sheet: Sheet, row: int) -> Sheet:
        """See `Grid`. The line goes, and the rows below move up."""
        content, text = self._current(sheet)
        written = list(text.written)
        gone = written.pop(row + 1)
        if not _end_of(gone) and row + 1 == len(written):
            written[-1] = written[-1].removesuffix(_end_of(written[-1]))
        return self._replace(content, text, written, sheet)

    def close(self) -> None:
        """Nothing is held."""

    def _cell(self, value: Raw, text: _Text, cell: tuple[int, int]) -> str:
        comma = cell[1] in text.commas
        written = _cell(value, comma, cell)
        if comma and isinstance(value, str) and "," in value and _COMMA_NUMBER.fullmatch(value.strip()):
            raise Unwritable(f"{self._file.name} would show the text “{value}” as a number.", cell)
        try:
            written.encode(text.encoding)
        except UnicodeEncodeError as error:
            raise Unwritable(
                f"{self._file.name} is written in the old encoding {text.encoding}, which has no "
                f"“{written[error.start]}”; save it as “CSV UTF-8”.",
                cell,
            ) from error
        return written

    def _current(self, sheet: Sheet) -> tuple[Content, _Text]:
        self._file.refuse_busy()
        content = self._file.read()
        if content.version != sheet.version:
            raise GridMoved(f"{self._file.name} was saved since it was read.")
        return content, self._understood(content.data)

    def _replace(self, content: Content, text: _Text, written: Iterable[str], sheet: Sheet) -> Sheet:
        data = text.bom + (text.before + "".join(written)).encode(text.encoding)
        fresh = self._understood(data)
        if data == content.data:
            return replace(sheet, at=self._clock())
        for column in (text.evident - fresh.evident) & fresh.marked:
            raise Unwritable(
                f"{self._file.name} would no longer show that the column “{text.header[column]}” has decimal commas; "
                "write the numbers in it with decimals (1500,00)."
            )
        made = self._file.replace(data, content)
        version = self._file.version_of(data)
        self._seen = Content(b"", made, version, settled=False)
        return Sheet(fresh.header, fresh.rows, self._clock(), version)

    def _understood(self, data: bytes) -> _Text:
        name = self._file.path
        if not data:
            raise SideDown(f"{name} is empty: it is being saved, or lacks its line with the columns' names.")
        bom, encoding, whole = self._decoded(data)
        if "\0" in whole:
            raise Misconfigured(
                f"{name} is no CSV file, or one in an encoding that syncd does not know; save it as UTF-8."
            )
        before, delimiter = _opening(whole, self._key)
        if delimiter is None:
            raise Misconfigured(
                f"{name} has no column “{self._key}” in its first line (separated by comma, semicolon, tab or |)."
            )
        written, records = self._records(whole[len(before) :], delimiter)
        header = tuple(" ".join(title.split()) for title in records[0])
        while header and not header[-1]:
            header = header[:-1]
        self._refuse(header, records)
        rows = [tuple(_padded(record, len(header))) for record in records[1:]]
        while rows and not any(rows[-1]):
            rows.pop()
        evident = _comma_columns(rows, len(header)) if delimiter != "," else frozenset[int]()
        commas = self._styled(header, rows, evident) if delimiter != "," else evident
        return _Text(
            bom,
            encoding,
            delimiter,
            _end_of(written[0]) or "\n",
            bool(records[0]) and written[0].count('"') >= 2 * len(records[0]),
            before,
            header,
            tuple(written),
            tuple(tuple(_read(value, column in commas) for column, value in enumerate(row)) for row in rows),
            commas,
            evident,
            frozenset(column for column in commas if any("," in row[column] or "." in row[column] for row in rows)),
        )

    def _styled(self, header: Sequence[str], rows: Sequence[Sequence[str]], evident: frozenset[int]) -> frozenset[int]:
        """The columns with decimal commas: those known to have them, and those that show it and were not known to have
        points. What is seen for the first time is remembered."""
        for column, title in enumerate(header):
            if column in evident:
                self.styles.setdefault(title, ",")
            elif any(_POINTED.fullmatch(row[column].strip()) for row in rows):
                self.styles.setdefault(title, ".")
        return frozenset(column for column, title in enumerate(header) if self.styles.get(title) == ",")

    def _decoded(self, data: bytes) -> tuple[bytes, str, str]:
        """Byte-order mark, encoding and text. Without a mark it is UTF-8 or, where it cannot be, what Excel on Windows
        writes."""
        bom, encoding = next(((bom, name) for bom, name in _BOMS if data.startswith(bom)), (b"", "utf-8"))
        try:
            return bom, encoding, data[len(bom) :].decode(encoding)
        except UnicodeDecodeError as error:
            if (
                len(data) - len(bom) - error.start < 4 and "unexpected end" in error.reason
            ) or "truncated" in error.reason:
                raise SideDown(
                    f"{self._file.path} ends in the middle of a letter: it is being saved just now."
                ) from None
            # Letters of several bytes that are all right, beside a few that are not: the other encoding would make
            # nonsense of every one of them.
            if bom or len(_UTF8_LETTER.findall(data)) > len(data.decode("utf-8", "replace").split("\ufffd")):
                raise Misconfigured(f"{self._file.path} mixes encodings; save it as “CSV UTF-8”.") from None
        try:
            return b"", "cp1252", data.decode("cp1252")
        except UnicodeDecodeError:
            return b"", "latin-1", data.decode("latin-1")

    def _records(self, text: str, delimiter: str) -> tuple[list[str], list[list[str]]]:
        """Each record as it is written, and its cells."""
        lines = list(io.StringIO(text, newline=""))
        csv.field_size_limit(_LONGEST)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        written, records, begun = [], [], 0
        try:
            for record in reader:
                records.append(record)
                written.append("".join(lines[begun : reader.line_num]))
                begun = reader.line_num
        except csv.Error as error:
            raise SideDown(
                f"{self._file.path} cannot be read at line {begun + 1}: a quotation mark is missing there or one too "
                f"many ({error}), or it is being saved just now."
            ) from None
        return written, records

    def _refuse(self, header: Sequence[str], records: Sequence[Sequence[str]]) -> None:
        """Raises `Misconfigured` for twofold names, and for a row that has more cells than there are columns: most
        likely a delimiter within a text, so that every cell behind it stands in the wrong column.
        """
        seen: set[str] = set()
        for title in header:
            if title and title in seen:
                raise Misconfigured(f"{self._file.path} has two columns named “{title}”; rename one of them.")
            seen.add(title)
        for number, record in enumerate(records[1:], 2):
            if any(record[len(header) :]):
                raise Misconfigured(
                    f"{self._file.path}: row {number} has more cells than the first line names columns; a text that "
                    "holds the separator must stand in quotation marks."
                )


def _by_row(changes: Mapping[tuple[int, int], Raw]) -> dict[int, dict[int, Raw]]:
    rows: dict[int, dict[int, Raw]] = {}
    for (row, column), value in changes.items():
        rows.setdefault(row, {})[column] = value
    return rows


def _opening(text: str, key: str) -> tuple[str, str | None]:
    """What stands before the header, and the delimiter: the one with which the header holds the key's name."""
    named = _SEPARATOR_LINE.match(text)
    before = named[0] if named else ""
    wanted = " ".join(key.split())
    for delimiter in (named[1],) if named else _DELIMITERS:
        reader = csv.reader(io.StringIO(text[len(before) :], newline=""), delimiter=delimiter)
        try:
            header = next(reader, [])
        except csv.Error:
            continue
        if any(" ".join(title.split()) == wanted for title in header):
            return before, delimiter
    return before, None


def _padded(record: Sequence[str], width: int) -> list[str]:
    return [*record[:width], *[""] * (width - len(record))]


def _comma_columns(rows: Sequence[Sequence[str]], width: int) -> frozenset[int]:
    found = set()
    for column in range(width):
        cells = [row[column].strip() for row in rows if row[column].strip()]
        numbers = [cell for cell in cells if _COMMA_NUMBER.fullmatch(cell)]
        some = any("," in cell for cell in numbers)
        if some and 2 * len(numbers) >= len(cells) and not any(map(_POINT_NUMBER.fullmatch, cells)):
            found.add(column)
    return frozenset(found)


def _read(cell: str, comma: bool) -> Raw:
    if comma and ("," in cell or "." in cell) and _COMMA_NUMBER.fullmatch(cell.strip()):
        return cell.strip().replace(".", "").replace(",", ".")
    if cell.startswith("'") and _RUNS.match(cell.lstrip("'")):
        cell = cell[1:]
    return cell or None


def _cell(value: Raw, comma: bool, cell: tuple[int, int]) -> str:
    """A value as a cell's text."""
    if is_blank(value):
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        number = Decimal(repr(value))
        if not number.is_finite():
            raise Unwritable("A number that is none cannot be written.", cell)
        plain = format(number, "f")
        plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
        return _with_comma(plain) if comma else plain
    if not isinstance(value, str):
        raise Unwritable("A list of values fits in no cell.", cell)
    text = re.sub("[\ud800-\udfff\0]", "\ufffd", value)
    if comma and re.fullmatch(r"-?[0-9]+(?:\.[0-9]+)?", text):
        return _with_comma(text)
    return f"'{text}" if _RUNS.match(text.lstrip("'")) else text


def _with_comma(number: str) -> str:
    """Always with decimals, so that the column still shows that it has commas when this is its last one."""
    return number.replace(".", ",") if "." in number else f"{number},00"


def _values(written: str, delimiter: str) -> list[str]:
    return next(csv.reader(io.StringIO(written, newline=""), delimiter=delimiter, strict=True), [])


def _line(values: Sequence[str], text: _Text) -> str:
    special = (text.delimiter, '"', "\r", "\n")
    cells = []
    for value in values:
        quoted = text.quote_all or any(mark in value for mark in special) or value != value.strip()
        cells.append('"' + value.replace('"', '""') + '"' if quoted else value)
    line = text.delimiter.join(cells)
    return line or '""'  # of one blank cell; a line with nothing at all is no record


def _end_of(written: str) -> str:
    for end in ("\r\n", "\n", "\r"):
        if written.endswith(end):
            return end
    return ""
