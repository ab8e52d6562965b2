"""Cells of a Google sheet: ranges in A1 notation, values out of both forms of answers, and values to be written.

The values methods answer with plain JSON values and no types; grid data answers with typed values and formulas. For one
cell both give the same value here. A date is the text that people see, in the cell's own format: as a serial number
it could not be told from an amount. A column formatted yyyy-mm-dd gives ISO dates.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from syncd.model import Raw

CELL_MASK: Final = (
    "data(startRow,startColumn,rowData(values(effectiveValue,formattedValue,userEnteredValue/formulaValue,"
    "effectiveFormat/numberFormat/type)))"
)
RANGES_AT_MOST: Final = 120  # in one address; rows that lie close together are read with what is between them
RANGES_IN_BODY: Final = 1_000
LONGEST_TEXT: Final = 50_000  # characters of one cell
RANGES_LENGTH_AT_MOST: Final = 6_000  # characters of an address
_DATES: Final = frozenset({"DATE", "TIME", "DATE_TIME"})
_WHOLE_BELOW: Final = 1e15  # a float is exact up to here
_BROKEN: Final = "#ERROR!"  # for a text that is none (half of an emoji), as Google shows what it cannot work out
At = tuple[int, int]


def letters(column: int) -> str:
    """The letters of a column that counts from 0."""
    text, column = "", column + 1
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def quoted(sheet: str) -> str:
    """A sheet's name for a range; always in quotes, so that none is taken for a cell or a named range."""
    return "'" + sheet.replace("'", "''") + "'"


def runs(rows: Collection[int], most: int) -> list[range]:
    """At most `most` ranges that hold all of these rows; where rows are more scattered, with rows in between."""
    ordered = sorted(set(rows))
    gaps = sorted(((after - before, after) for before, after in pairwise(ordered) if after - before > 1), reverse=True)
    starts = sorted(after for _, after in gaps[: max(most, 1) - 1])
    places = [0, *(bisect_left(ordered, start) for start in starts), len(ordered)]
    return [range(ordered[first], ordered[behind - 1] + 1) for first, behind in pairwise(places) if behind]


# --- out of answers --------------------------------------------------------------------------------------------------


def plain(value: Any) -> Raw:
    """A value of the values methods."""
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE_BELOW:
        return int(value)
    return value if isinstance(value, str | bool | int | float) else _BROKEN


def row_of(values: Any, width: int) -> tuple[Raw, ...]:
    """A row of the values methods at the header's width."""
    cells = [plain(value) for value in values[:width]] if isinstance(values, list) else []
    return (*cells, *([None] * (width - len(cells))))


@dataclass(slots=True)
class Grid:
    """What grid data showed, by row and column of the sheet (the header is row 0): values, and which are formulas."""

    values: dict[At, Raw] = field(default_factory=dict)
    formulas: set[At] = field(default_factory=set)
    behind: int = 0  # the row behind the last one with a value

    @property
    def header(self) -> tuple[str, ...]:
        """The names in row 0."""
        return header_of(self.row(0, max((column for row, column in self.values if not row), default=-1) + 1))

    def row(self, row: int, width: int) -> tuple[Raw, ...]:
        """A row at the header's width."""
        return tuple(self.values.get((row, column)) for column in range(width))


def grid_of(sheet: Mapping[str, Any]) -> Grid:
    """The cells of one sheet in an answer with `CELL_MASK`. Raises ValueError where it holds none."""
    found = Grid()
    parts = sheet.get("data")
    if not isinstance(parts, list):
        raise ValueError("no cells")
    for part in parts:
        top, left = part.get("startRow", 0), part.get("startColumn", 0)
        for at, row in enumerate(part.get("rowData", [])):
            for column, cell in enumerate(row.get("values", [])):
                _take(found, (top + at, left + column), cell)
    return found


def _take(found: Grid, at: At, cell: Mapping[str, Any]) -> None:
    if "formulaValue" in cell.get("userEnteredValue", {}):
        found.formulas.add(at)
    value = _typed(cell)
    if value is not None:
        found.values[at] = value
        found.behind = max(found.behind, at[0] + 1)


def _typed(cell: Mapping[str, Any]) -> Raw:
    value = cell.get("effectiveValue")
    if not isinstance(value, dict) or not value:
        return None
    kind = cell.get("effectiveFormat", {}).get("numberFormat", {}).get("type")
    if "errorValue" in value or ("numberValue" in value and kind in _DATES):
        return plain(cell.get("formattedValue")) or _BROKEN
    return plain(next(iter(value.values())))


# --- to be written ---------------------------------------------------------------------------------------------------


def extended(value: Raw) -> dict[str, Any]:
    """A CellData that holds exactly this value, as RAW would: a text stays a text, whatever it looks like; None and ""
    clear the cell."""
    if value is None or value == "":
        return {}
    if isinstance(value, bool):
        return {"userEnteredValue": {"boolValue": value}}
    if isinstance(value, int | float):
        return {"userEnteredValue": {"numberValue": value}}
    if isinstance(value, str):
        return {"userEnteredValue": {"stringValue": value}}
    raise TypeError("a cell holds no list")


def cells_between(values: Mapping[int, Raw]) -> list[tuple[int, list[dict[str, Any]]]]:
    """Runs of neighbouring columns: the first column of each, and its cells."""
    found: list[tuple[int, list[dict[str, Any]]]] = []
    for column in sorted(values):
        if found and found[-1][0] + len(found[-1][1]) == column:
            found[-1][1].append(extended(values[column]))
        else:
            found.append((column, [extended(values[column])]))
    return found


def whole_row(values: Mapping[int, Raw]) -> dict[str, Any]:
    """A RowData from the first column on; what is not named stays blank."""
    return {"values": [extended(values.get(column)) for column in range(max(values, default=-1) + 1)]}


def without_blank_end(rows: Sequence[tuple[Raw, ...]]) -> tuple[tuple[Raw, ...], ...]:
    """The rows up to the last one that shows something; notes beside the table, or formulas that give "", go on."""
    count = len(rows)
    while count and all(cell is None for cell in rows[count - 1]):
        count -= 1
    return tuple(rows[:count])


def header_of(cells: Sequence[Raw]) -> tuple[str, ...]:
    """Column names, without the blank ones at the end."""
    names = ["" if cell is None else str(cell).strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    return tuple(names)
