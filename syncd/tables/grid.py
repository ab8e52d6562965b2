"""What a spreadsheet is to syncd: a grid that is read whole, whose rows have no identity but their key cell, and whose
cells have no time of their own. A workbook, a CSV file and a Google sheet each implement `Grid`; one side
(`grid_side.py`) makes records of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from syncd.model import Raw


class GridMoved(Exception):
    """The sheet is no longer what was read (rows moved, the file was saved anew): nothing was written."""


class GridBusy(Exception):
    """The sheet cannot be written now, for instance while a spreadsheet program has the file open: nothing was written,
    and reading still works. The text is a sentence for people."""


class GridLater(Exception):
    """A write would have had to wait after the last look at the rows: nothing was written. The text is a sentence for
    people."""


class GridLost(Exception):
    """No answer came: the write may have happened. The text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A grid as it was read. Rows and columns count from 0; row 0 is the first one below the header.

    Cells are text, int, float, bool or None (blank, also ""); a date is its ISO text. Every row is as long as the
    header. `formulas` are the cells that hold a formula (their value is what it last gave). `choices` are the items of
    a column's drop-down list, where it has one. `at` is when it was read, in seconds of our own clock, and `version`
    what tells one state of the file from another ("" where nothing does).
    """

    header: tuple[str, ...]
    rows: Sequence[tuple[Raw, ...]]
    at: float
    version: str = ""
    formulas: frozenset[tuple[int, int]] = frozenset()
    choices: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


class Grid(Protocol):
    """A sheet with one header row. All verbs may raise `sides.SideDown` or `sides.Misconfigured`."""

    label: str  # as people know it: "Google Sheets", "the workbook"

    @property
    def identity(self) -> str:
        """What this sheet is known by, so that another one under the same name is noticed (SPEC §4)."""

    @property
    def clock_offset(self) -> float:
        """Seconds to add to a stamp of this sheet's server to get our own clock."""

    @property
    def calls(self) -> int:
        """Requests sent since it was made, retries counted; 0 for a file."""

    def ready(self) -> None:
        """Waits until a write could go out at once: before the last look at the rows, since they may move meanwhile."""

    def load(self) -> Sheet:
        """The whole sheet, read now."""

    def unchanged(self, sheet: Sheet) -> bool:
        """Whether the sheet is certainly still as `sheet` shows it; cheap. False where that cannot be told."""

    def refresh(self, sheet: Sheet, rows: Collection[int]) -> Sheet:
        """`sheet` with its header, its key column and these rows read again now, in one call.

        Rows that were added or removed show in the key column: the answer has as many rows as there are now.
        """

    def write(
        self, sheet: Sheet, changes: Mapping[tuple[int, int], Raw], new: Sequence[Mapping[int, Raw]] = ()
    ) -> Sheet:
        """Writes cells by (row, column), and `new` rows (by column) below the last one: all of it or nothing, in one
        call. A text is written as text, whatever it looks like. Returns the sheet with what those cells hold now.

        `sheet` is the newest state that was read. A file is compared with it once more, and `GridMoved` raised where it
        differs; `GridBusy` where it cannot be written now; `GridLater` where it would have to wait; `GridLost` where no
        answer came.
        """

    def delete(self, sheet: Sheet, row: int) -> Sheet:
        """Deletes one row; otherwise as `write`."""

    def close(self) -> None:
        """Ends its connections."""
