"""A workbook (.xlsx, .xlsm) as a grid: read with calamine, changed by `xlsx.py`, replaced by `files.py`.

The header is the first row that holds the key column's name, so that a title may stand above it. The grid reaches from
the first to the last named column, and down to the last row that holds anything; where a table of Excel begins with the
header, to its last row before the totals, and to rows that people added directly below it.

A row is "deleted" by clearing its cells: moving the rows below it up would break formulas, charts, comments and
validations that point at them, in this sheet and in others. Blank rows are ignored; those at the end are used again.

A formula's value is what it gave when a spreadsheet program last computed it; one that was never computed is blank,
and an error is its text ("#N/A").
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from syncd.model import Raw
from syncd.sides import Misconfigured, SideDown
from syncd.tables.files import Content, TableFile, Unwritable
from syncd.tables.grid import GridMoved, Sheet
from syncd.tables.workbook_read import Reading, read_workbook
from syncd.tables.xlsx import edited
from syncd.tables.xlsx_append import Growth
from syncd.tables.xlsx_book import BadBook
from syncd.tables.xlsx_cells import is_blank
from syncd.tables.xlsx_sheet import BadSheet
from syncd.tables.xlsx_splice import CannotEdit


class Workbook:
    """One sheet of a workbook. `sheet` left out: the first visible one with the key column."""

    label = "the workbook"

    def __init__(self, path: Path, sheet: str | None, key: str, clock: Callable[[], float] = time.time) -> None:
        self._file = TableFile(path, clock)
        self._sheet = sheet
        self._key = key
        self._clock = clock
        self._seen: tuple[Content, Reading] | None = None  # without the file's bytes

    @property
    def identity(self) -> str:
        """The file's place and the sheet's configured name: what stays when programs save it anew."""
        return f"{self._file.resolved}|{self._sheet or ''}"

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
        reading = self._understood(content.data)
        self._seen = replace(content, data=b""), reading
        return reading.sheet(at, content.version)

    def unchanged(self, sheet: Sheet) -> bool:
        """See `Grid`. False for two seconds after a save: a second one within them might not show."""
        if self._seen is None:
            return False
        content, _ = self._seen
        return content.version == sheet.version and content.settled and self._file.glance() == content.print

    def refresh(self, sheet: Sheet, rows: Collection[int]) -> Sheet:
        """See `Grid`: the whole sheet, where the file was saved since."""
        at = self._clock()
        return replace(sheet, at=at) if self.unchanged(sheet) else self.load()

    def write(
        self, sheet: Sheet, changes: Mapping[tuple[int, int], Raw], new: Sequence[Mapping[int, Raw]] = ()
    ) -> Sheet:
        """See `Grid`. Also raises `Unwritable`, a `GridBusy`, where a value fits in no cell, a cell holds a formula or
        there is no room for new rows.
        """
        if not changes and not new:
            return sheet
        self._file.refuse_busy()
        content = self._file.read()
        if content.version != sheet.version:
            raise GridMoved(f"{self._file.name} was saved since it was read.")
        old = self._layout(content)
        data = self._edited(old, content.data, changes, new)
        if data == content.data:
            return replace(sheet, at=self._clock())
        fresh = self._proved(sheet, old, data, changes, new)
        made = self._file.replace(data, content)
        at = self._clock()
        version = self._file.version_of(data)
        self._seen = Content(b"", made, version, settled=False), fresh
        return fresh.sheet(at, version)

    def delete(self, sheet: Sheet, row: int) -> Sheet:
        """See `Grid`. Clears the row's cells; its formulas stay, and so does the blank row, unless it is the last."""
        filled = [(row, column) for column, value in enumerate(sheet.rows[row]) if value is not None]
        return self.write(sheet, {cell: None for cell in filled if cell not in sheet.formulas})

    def close(self) -> None:
        """Nothing is held."""

    def _understood(self, data: bytes) -> Reading:
        try:
            return read_workbook(data, self._sheet, self._key)
        except (BadBook, BadSheet) as error:
            sentence = f"{self._file.path} {error}."
            if isinstance(error, BadBook) and error.passing:
                raise SideDown(sentence) from error
            raise Misconfigured(sentence) from error

    def _layout(self, content: Content) -> Reading:
        if self._seen is not None and self._seen[0].version == content.version:
            return self._seen[1]
        return self._understood(content.data)

    def _edited(
        self,
        old: Reading,
        data: bytes,
        changes: Mapping[tuple[int, int], Raw],
        new: Sequence[Mapping[int, Raw]],
    ) -> bytes:
        top, left = old.header + 1, old.left
        absolute = {(top + row, left + column): value for (row, column), value in changes.items()}
        growth = None
        if new:
            rows = [{left + column: value for column, value in row.items()} for row in new]
            growth = Growth(old.header, old.header + len(old.rows), left, old.right, rows)
        try:
            return edited(data, old.sheet_name, absolute, growth)
        except CannotEdit as error:
            cell = (error.cell[0] - top, error.cell[1] - left) if error.cell else None
            raise Unwritable(f"{self._file.name} cannot take this: {error}.", cell) from error
        except (BadBook, BadSheet) as error:
            raise Misconfigured(f"{self._file.path} {error}.") from error

    def _proved(
        self,
        sheet: Sheet,
        old: Reading,
        data: bytes,
        changes: Mapping[tuple[int, int], Raw],
        new: Sequence[Mapping[int, Raw]],
    ) -> Reading:
        """What the new content reads as. Every cell that was not to change must read as before, else nothing is
        written: people's data is worth the tenth of a second.
        """
        fresh = self._understood(data)
        expected: list[Sequence[Raw]] = list(sheet.rows)
        for row, column in changes:
            cells = list(expected[row])
            value = changes[row, column]
            found = fresh.rows[row][column] if row < len(fresh.rows) else None
            cells[column] = found if is_blank(found) == is_blank(value) else value
            expected[row] = cells
        read: list[Sequence[Raw]] = list(fresh.rows[: len(expected)])
        read += [(None,) * len(sheet.header)] * (len(expected) - len(read))  # blank rows at the end are not read
        same = all(tuple(a) == tuple(b) for a, b in zip(expected, read, strict=True))
        if fresh.header_cells != old.header_cells or fresh.header != old.header or not same:
            raise SideDown(
                f"{self._file.path} would not read the same after this change, so nothing was written. "
                "Please report this with a copy of the file."
            )
        return fresh
