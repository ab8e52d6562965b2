"""The tabs of a local spreadsheet: a grid of fixed size whose rows have no identity, as Google Sheets keeps it.

A cell is a value of its own type, or a formula; beside it a number format and a rule (a drop-down list). Rows and
columns count from 0 here, and from 1 and A in ranges ("'My sheet'!A2:C").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

Scalar: TypeAlias = "str | int | float | bool | None"
MOST_CELLS: Final = 10_000_000
_WORD = re.compile(r"[A-Za-z_]\w*\Z")
_CELL = re.compile(r"(\$?)([A-Za-z]{1,3})(\$?)([1-9]\d*)(?![\w(])")
_A1 = re.compile(r"\$?([A-Za-z]{1,3})?\$?([1-9]\d*)?(?::\$?([A-Za-z]{1,3})?\$?([1-9]\d*)?)?\Z")
_R1C1 = re.compile(r"R([1-9]\d*)C([1-9]\d*)(?::R([1-9]\d*)C([1-9]\d*))?\Z")


class Refused(Exception):
    """A request that the API refuses: the answer's status, its word for it, and its message."""

    def __init__(self, code: int, status: str, message: str, details: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.code, self.status, self.message, self.details = code, status, message, list(details)

    @property
    def body(self) -> dict[str, Any]:
        """The answer in Google's form; Drive's is an older one, and its words are not in capitals."""
        if not self.status.isupper():
            why = {"domain": "global", "reason": self.status, "message": self.message}
            return {"error": {"code": self.code, "message": self.message, "errors": [why]}}
        error: dict[str, Any] = {"code": self.code, "message": self.message, "status": self.status}
        return {"error": {**error, "details": self.details} if self.details else error}


def invalid(message: str) -> Refused:
    """400 INVALID_ARGUMENT."""
    return Refused(400, "INVALID_ARGUMENT", message)


@dataclass(frozen=True, slots=True)
class CellError:
    """What a formula gives that cannot be worked out: `kind` as ErrorType names it, `text` as the cell shows it."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell; never changed, only replaced. `formula` begins with "="; `format` is a numberFormat, `rule` a
    dataValidation."""

    value: Scalar = None
    formula: str = ""
    format: tuple[str, str] | None = None  # type and pattern
    rule: Any = None

    @property
    def blank(self) -> bool:
        """Whether it holds neither a value nor a formula."""
        return self.value is None and not self.formula

    def holding(self, value: Scalar = None, formula: str = "") -> Cell:
        """The same cell with another content. An empty text is no content."""
        return replace(self, value=None if value == "" else value, formula=formula)


NOTHING: Final = Cell()
Row: TypeAlias = dict[int, Cell]


@dataclass(slots=True)
class Tab:
    """One sheet of a spreadsheet. `rows` is as long as the grid; a row holds only the cells that are not bare."""

    id: int
    title: str
    column_count: int = 26
    rows: list[Row] = field(default_factory=lambda: [{} for _ in range(1000)])
    frozen_rows: int = 0
    hidden_columns: set[int] = field(default_factory=set)
    protected: list[dict[str, Any]] = field(default_factory=list)
    filter: dict[str, Any] | None = None

    @property
    def row_count(self) -> int:
        """Rows of the grid, blank ones too."""
        return len(self.rows)

    def cell(self, row: int, column: int) -> Cell:
        """A cell of the grid."""
        return self.rows[row].get(column, NOTHING)

    def put(self, row: int, column: int, cell: Cell) -> None:
        """Replaces a cell."""
        if cell == NOTHING:
            self.rows[row].pop(column, None)
        else:
            self.rows[row][column] = cell

    def last_row(self, columns: range | None = None) -> int:
        """The index behind the last row with content (in these columns); 0 where there is none."""
        for index in range(len(self.rows) - 1, -1, -1):
            if any(not cell.blank and (columns is None or at in columns) for at, cell in self.rows[index].items()):
                return index + 1
        return 0

    def copy(self) -> Tab:
        """For putting everything back after a refusal."""
        return replace(
            self,
            rows=[dict(row) for row in self.rows],
            hidden_columns=set(self.hidden_columns),
            protected=[dict(one) for one in self.protected],
        )

    # --- rows and columns ---------------------------------------------------------------------------------------------

    def insert_rows(self, at: int, count: int) -> None:
        """Blank rows before row `at`; formulas follow."""
        self.rows[at:at] = [{} for _ in range(count)]
        self._follow(lambda row: row + count if row >= at else row)

    def delete_rows(self, start: int, end: int) -> None:
        """Takes rows out; a formula that named one holds #REF! then."""
        del self.rows[start:end]
        self._follow(lambda row: None if start <= row < end else row - (end - start) if row >= end else row)

    def insert_columns(self, at: int, count: int) -> None:
        """Blank columns before column `at`. Formulas are left as they are."""
        self.rows = [{(c + count if c >= at else c): cell for c, cell in row.items()} for row in self.rows]
        self.hidden_columns = {c + count if c >= at else c for c in self.hidden_columns}
        self.column_count += count

    def delete_columns(self, start: int, end: int) -> None:
        """Takes columns out. Formulas are left as they are."""
        gone = end - start

        def kept(columns: Iterable[int]) -> Iterator[tuple[int, int]]:
            return ((c, c - gone if c >= end else c) for c in columns if not start <= c < end)

        self.rows = [{new: row[old] for old, new in kept(row)} for row in self.rows]
        self.hidden_columns = {new for _, new in kept(self.hidden_columns)}
        self.column_count -= gone

    def sort(self, start: int, end: int, columns: Sequence[int], keys: Sequence[tuple[int, bool]]) -> None:
        """Sorts rows [start, end) by `keys` (column, descending). Only these columns move; blanks come last."""
        order = list(range(start, end))
        for column, descending in reversed(keys):
            filled = [row for row in order if not self.cell(row, column).blank]
            filled.sort(key=lambda row: _sort_key(self.shown(row, column)), reverse=descending)
            order = filled + [row for row in order if self.cell(row, column).blank]
        moving = set(columns)
        before = {row: {c: cell for c, cell in self.rows[row].items() if c in moving} for row in order}
        for new, old in zip(range(start, end), order, strict=True):
            for column in moving:
                self.rows[new].pop(column, None)
            self.rows[new].update({c: moved(cell, new - old) for c, cell in before[old].items()})

    def _follow(self, where: Callable[[int], int | None]) -> None:
        for row in self.rows:
            for column, cell in row.items():
                if cell.formula:
                    row[column] = replace(cell, formula=_with_rows(cell.formula, lambda _fixed, at: where(at)))

    # --- values -------------------------------------------------------------------------------------------------------

    def shown(self, row: int, column: int, depth: int = 0) -> Scalar | CellError:
        """The value of a cell: what was entered, or what its formula gives."""
        cell = self.cell(row, column)
        if not cell.formula:
            return cell.value
        from .sheets_formula import evaluate

        return evaluate(self, cell.formula, depth)


def moved(cell: Cell, rows: int) -> Cell:
    """A cell that was moved by so many rows within its columns: relative references in it move along."""
    if not cell.formula or not rows:
        return cell

    def by(fixed: bool, row: int) -> int | None:
        return row if fixed else row + rows if row + rows >= 0 else None

    return replace(cell, formula=_with_rows(cell.formula, by))


def _with_rows(formula: str, where: Callable[[bool, int], int | None]) -> str:
    def one(found: re.Match[str]) -> str:
        row = where(found[3] == "$", int(found[4]) - 1)
        return "#REF!" if row is None else f"{found[1]}{found[2]}{found[3]}{row + 1}"

    parts = re.split(r'("[^"]*")', formula)  # no references inside texts
    return "".join(part if at % 2 else _CELL.sub(one, part) for at, part in enumerate(parts))


def _sort_key(value: Scalar | CellError) -> tuple[int, float, str]:
    if isinstance(value, CellError):
        return (3, 0.0, value.text)
    if isinstance(value, bool):
        return (2, float(value), "")
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, str(value or "").casefold())


# --- ranges ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a tab: rows [top, bottom) and columns [left, right); `open` where its text named no last row."""

    tab: Tab
    top: int
    bottom: int
    left: int
    right: int

    @property
    def text(self) -> str:
        """As answers name it: the sheet's name, and the corners clipped to the grid."""
        corner = f"{letters(self.left)}{self.top + 1}"
        other = f"{letters(self.right - 1)}{self.bottom}"
        return f"{quoted(self.tab.title)}!{corner}" + ("" if corner == other else f":{other}")

    @property
    def is_cell(self) -> bool:
        """Whether it is a single cell."""
        return self.bottom - self.top == 1 and self.right - self.left == 1


def letters(column: int) -> str:
    """The letters of a column that counts from 0."""
    text = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text


def number(column: str) -> int:
    """The column that counts from 0 of its letters."""
    found = 0
    for letter in column.upper():
        found = found * 26 + ord(letter) - 64
    return found - 1


def quoted(title: str) -> str:
    """A sheet's name as ranges write it: in quotes where it needs them."""
    plain = _WORD.match(title) and not _A1.match(title) and not _R1C1.match(title)
    return title if plain else "'" + title.replace("'", "''") + "'"


def area(tabs: Sequence[Tab], text: str) -> Area:
    """The part that `text` names in A1 or R1C1 notation. Raises `Refused` where it names none, or is off the grid."""
    name, bang, cells = _split(text)
    if not bang:
        if not text.startswith("'") and (_A1.match(text) or _R1C1.match(text)) and (":" in text or text[-1:].isdigit()):
            name, cells = tabs[0].title, text
        else:
            cells = ""
    tab = next((one for one in tabs if one.title.casefold() == name.casefold()), None)
    if tab is None or (bang and not cells):
        raise invalid(f"Unable to parse range: {text}")
    if not cells:
        return Area(tab, 0, tab.row_count, 0, tab.column_count)
    top, bottom, left, right = _corners(cells, text)
    if max(top, (bottom or 1) - 1) >= tab.row_count or max(left, (right or 1) - 1) >= tab.column_count:
        asked = f"{quoted(tab.title)}!{cells}"
        raise invalid(
            f"Range ({asked}) exceeds grid limits. Max rows: {tab.row_count}, max columns: {tab.column_count}"
        )
    return Area(tab, top, bottom or tab.row_count, left, right or tab.column_count)


def _split(text: str) -> tuple[str, str, str]:
    if not text.startswith("'"):
        name, bang, cells = text.rpartition("!")
        return (name, bang, cells) if bang else (text, "", "")
    found = re.match(r"'((?:[^']|'')*)'(!?)(.*)\Z", text)
    if not found:
        raise invalid(f"Unable to parse range: {text}")
    return found[1].replace("''", "'"), found[2], found[3]


def _corners(cells: str, text: str) -> tuple[int, int | None, int, int | None]:
    """Top, bottom, left, right; None where the text leaves it open."""
    if found := _R1C1.match(cells):
        top, left = int(found[1]) - 1, int(found[2]) - 1
        return top, int(found[3] or found[1]), left, int(found[4] or found[2])
    found = _A1.match(cells)
    if not found or cells in ("", ":"):
        raise invalid(f"Unable to parse range: {text}")
    column, row, last_column, last_row = found.groups()
    if ":" not in cells:
        if column is None or row is None:
            raise invalid(f"Unable to parse range: {text}")
        return int(row) - 1, int(row), number(column), number(column) + 1
    if (column is None and row is None) or (last_column is None and last_row is None):
        raise invalid(f"Unable to parse range: {text}")
    rows = sorted(int(one) for one in (row, last_row) if one)
    columns = sorted(number(one) for one in (column, last_column) if one)
    top = rows[0] - 1 if row else 0  # "A:B2" begins at the top; "A3:B" and "A3:3" have an open end
    left = columns[0] if column else 0
    return top, rows[-1] if last_row else None, left, columns[-1] + 1 if last_column else None
