"""A spreadsheet in memory, with what people do to one, and a world that joins it to the engine through `GridSide`.

`partial` is a sheet on a server, whose rows are read one by one and which is written without a look; otherwise it is a
file, which is compared before it is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from syncd.fields import DEFAULT_COLUMNS, KEY_COLUMN, MESSAGE_COLUMN, Field
from syncd.model import Raw, Side
from syncd.sides import SideDown
from syncd.tables.grid import GridBusy, GridLater, GridLost, GridMoved, Sheet
from syncd.tables.grid_side import GridSide
from syncd.values import Problem, codec_for
from tests.memory import FIELD_NAMES, Clock, CountedStore, Step, World, _quiet

COLUMN_NAMES = {name: DEFAULT_COLUMNS[name][0] for name in (*FIELD_NAMES, "pipeline", "email")} | {
    "id": KEY_COLUMN,
    "sync": MESSAGE_COLUMN,
}
HEADER = ("Name", "Pipeline", "Stage", "Status", "Value", "Owner", "Source", "Notes", "GHL ID", "Sync")
Cells = list[Raw]


class Unwritable(GridBusy):
    """One cell is to blame, as a workbook says it."""

    def __init__(self, sentence: str, cell: tuple[int, int]) -> None:
        super().__init__(sentence)
        self.cell = cell


class MemoryGrid:
    """A `Grid`. People's verbs stand above, the program's below."""

    label = "the sheet"
    identity = "sheet1"
    clock_offset = 0.0

    def __init__(self, clock: Clock, header: Sequence[str] = HEADER, *, partial: bool = False) -> None:
        self.clock, self.partial = clock, partial
        self.header: list[str] = list(header)
        self.rows: list[Cells] = []
        self.formulas: set[tuple[int, int]] = set()
        self.version = 0
        self.calls = 0
        self.step: Step = _quiet
        self.busy = ""
        self.waits: list[float] = []  # seconds, one entry a write
        self.full = 0  # so many writes find that others have taken their places
        self.late = False  # a server that says for a while that nothing changed
        self.hides_formulas = False  # where the whole sheet is read
        self.down = False
        self.unwritable: dict[tuple[str, str], str] = {}  # (key, column) -> why no value can be written there
        self.lost: list[str] = []  # one entry a write: "before", "after" or ""
        self.log: list[tuple[str, dict[str, Raw]]] = []  # (key, cells by column) of every row that was written
        self.copies: list[list[Cells]] = []

    # people

    def column(self, name: str) -> int:
        """Where a column is, by its name or its field's."""
        return self.header.index(COLUMN_NAMES.get(name, name))

    def touched(self) -> None:
        """The sheet is another one."""
        self.version += 1

    def place(self, key: str) -> int:
        """Where the one row with this key is."""
        places = [at for at, row in enumerate(self.rows) if row[self.column("id")] == key]
        assert len(places) == 1, f"{len(places)} rows carry {key}"
        return places[0]

    def cell(self, key: str, name: str) -> Raw:
        """A cell of the row with this key."""
        return self.rows[self.place(key)][self.column(name)]

    def type(self, at: int, **cells: Raw) -> None:
        """A person types into the row at a place."""
        for name, raw in cells.items():
            self.rows[at][self.column(name)] = raw
        self.touched()

    def add(self, at: int | None = None, **cells: Raw) -> None:
        """A person inserts a row, or types below the last one."""
        self.rows.insert(len(self.rows) if at is None else at, [None] * len(self.header))
        self.type(len(self.rows) - 1 if at is None else at, **cells)

    def copy(self, at: int) -> None:
        """A person copies a row, its key too."""
        self.rows.append(list(self.rows[at]))
        self.touched()

    def drop(self, at: int) -> None:
        """A person deletes a row."""
        del self.rows[at]
        self.touched()

    def sort(self, name: str, *, backwards: bool = False) -> None:
        """A person sorts the sheet."""
        self.rows.sort(key=lambda row: str(row[self.column(name)] or ""), reverse=backwards)
        self.touched()

    def sort_badly(self, name: str, *, backwards: bool = False) -> None:
        """A person sorts all columns but the last two: the ids stay where they were."""
        kept = [row[-2:] for row in self.rows]
        self.rows.sort(key=lambda row: str(row[self.column(name)] or ""), reverse=backwards)
        self.rows = [[*row[:-2], *ends] for row, ends in zip(self.rows, kept, strict=True)]
        self.touched()

    def add_column(self, name: str, at: int = 0) -> None:
        """A person inserts a column."""
        self.header.insert(at, name)
        for row in self.rows:
            row.insert(at, None)
        self.touched()

    def keep_copy(self) -> None:
        """A person opens the sheet as it is now."""
        self.copies.append([list(row) for row in self.rows])

    def save_copy(self) -> None:
        """And saves it, whatever it has become meanwhile."""
        self.rows = [list(row) for row in self.copies[-1]]
        self.touched()

    # the grid

    def _call(self, verb: str, phase: str) -> None:
        self.step("table", verb, phase, None)
        if phase == "before":
            self.calls += self.partial  # a file counts none
            self.clock.advance(0.01)
            if self.down:
                raise SideDown("The sheet does not answer.")

    def _sheet(self, rows: Sequence[Sequence[Raw]]) -> Sheet:
        width = len(self.header)
        shown = [tuple(row)[:width] for row in rows]
        return Sheet(tuple(self.header), shown, self.clock.now, str(self.version), frozenset(self.formulas))

    def ready(self) -> None:
        """A write may have to wait."""
        self.clock.advance(self.waits.pop(0) if self.waits else 0)
        self.step("table", "ready", "after", None)

    def load(self) -> Sheet:
        """The whole sheet."""
        self._call("load", "before")
        found = self._sheet(self.rows)
        if self.hides_formulas:
            found = replace(found, formulas=frozenset())
        self._call("load", "after")
        return found

    def unchanged(self, sheet: Sheet) -> bool:
        """A file tells; a server does not, or too late."""
        return self.late if self.partial else sheet.version == str(self.version)

    def refresh(self, sheet: Sheet, rows: Collection[int]) -> Sheet:
        """The key column and these rows; the others as they were."""
        self._call("refresh", "before")
        key = self.column("id")
        shown: list[Sequence[Raw]] = []
        for at, row in enumerate(self.rows):
            old = sheet.rows[at] if at < len(sheet.rows) else (None,) * len(self.header)
            keep = self.partial and at not in rows and len(old) == len(row)
            shown.append([*old[:key], row[key], *old[key + 1 :]] if keep else row)
        found = self._sheet(shown)
        self._call("refresh", "after")
        return found

    def write(
        self, sheet: Sheet, changes: Mapping[tuple[int, int], Raw], new: Sequence[Mapping[int, Raw]] = ()
    ) -> Sheet:
        """All or nothing."""
        assert changes or new, "an empty write"
        for (at, column), raw in changes.items():
            assert (sheet.rows[at][column] or None) != raw, f"{raw!r} stands there already"

        def put() -> None:
            touched: dict[int, dict[str, Raw]] = {}
            for (at, column), raw in changes.items():
                self.rows[at][column] = raw
                touched.setdefault(at, {})[self.header[column]] = raw
            for cells in new:
                self.rows.append([cells.get(column) for column in range(len(self.header))])
                touched[len(self.rows) - 1] = {self.header[column]: raw for column, raw in cells.items()}
            self.log += [(str(self.rows[at][self.column("id")]), cells) for at, cells in touched.items()]

        for at, column in changes:
            told = self.unwritable.get((str(sheet.rows[at][self.column("id")]), self.header[column]))
            if told:
                raise Unwritable(told, (at, column))
        self._write("write", sheet, put)
        rows = [list(row) for row in sheet.rows]
        for at, _ in changes:
            rows[at] = list(self.rows[at])  # a server's answer shows the row that was written to, whose ever it is
        rows += [list(row) for row in self.rows[len(rows) :][: len(new)]]
        return replace(self._sheet(rows), formulas=sheet.formulas)

    def _write(self, verb: str, sheet: Sheet, put: Callable[[], None]) -> None:
        self._call(verb, "before")
        loss = self.lost.pop(0) if self.lost else ""
        if self.busy:
            raise GridBusy(self.busy)
        if self.full:
            self.full -= 1
            raise GridLater("Too many requests.")
        if not self.partial and sheet.version != str(self.version):
            raise GridMoved
        if loss != "before":
            put()
            self.touched()
        self._call(verb, "after")
        if loss:
            raise GridLost("No answer came.")

    def delete(self, sheet: Sheet, row: int) -> Sheet:
        """One row."""
        key = self.rows[row][self.column("id")] if row < len(self.rows) else None

        def put() -> None:
            del self.rows[row]
            self.log.append((str(key), {}))

        self._write("delete", sheet, put)
        return self._sheet([held for at, held in enumerate(sheet.rows) if at != row])

    def close(self) -> None:
        """Nothing to close."""


class GridWorld(World):
    """A location and a sheet. `restart` makes a new side: what it remembers is what the store kept."""

    table: GridSide  # type: ignore[assignment]

    def __init__(self, folder: Path, fields: Sequence[Field] | None = None, *, partial: bool = False,
                 tie_side: Side = Side.CRM, header: Sequence[str] = HEADER) -> None:  # fmt: skip
        self.clock = Clock()
        self.edited_column: str | None = None
        self.grid = MemoryGrid(self.clock, header, partial=partial)
        self.grid.step = self.step
        super().__init__(folder, fields, tie_side=tie_side)
        self.grid.clock = self.clock

    def start(self) -> None:
        """The program starts."""
        self.grid.clock = self.clock
        self.table = GridSide(self.grid, self.fields, edited_column=self.edited_column, clock=self.clock)
        self.store = CountedStore(self.folder, "test", self.step)
        self.table.remember_in(self.store)
        self.pair = self.new_pair(self.table)

    def filled(self, *deals: str) -> GridWorld:
        """Deals with their rows, agreed on."""
        super().filled(*deals)
        return self

    def clear_logs(self) -> None:
        """Forgets what was written so far."""
        self.crm.log.clear()
        self.crm.reads.clear()
        self.crm.triggers.clear()
        self.grid.log.clear()
        self.steps.clear()

    def edit_row(self, deal: str, **cells: Raw) -> None:
        """A person types into a deal's row."""
        self.grid.type(self.grid.place(deal), **cells)

    def writes(self) -> tuple[int, int, int]:
        """(writes to the CRM, rows written, workflows fired)."""
        return len(self.crm.log), len(self.grid.log), len(self.crm.triggers)

    def meaning(self, deal: str) -> tuple[dict[str, object], dict[str, object]]:
        """The canonical values of both sides of a deal, by field."""
        held, columns = self.crm.now(deal) or {}, self.table.schema().columns
        deal_values: dict[str, object] = {}
        row_values: dict[str, object] = {}
        for name in (f.name for f in self.fields if f.name in columns):
            codec = codec_for(name, columns, self.crm.vocabulary, {})
            known = codec.from_crm(held.get(name))
            cell = self.grid.cell(deal, name)
            raw: Raw = [self.grid.cell(deal, "pipeline"), cell] if name == "stage" else cell
            deal_values[name] = known
            row_values[name] = codec.from_table(raw, None if isinstance(known, Problem) else known)
        return deal_values, row_values

    def state(self) -> Any:
        """Everything that two runs of one story must share, but for times and places."""
        key = self.grid.column("id")
        rows = sorted((tuple(map(str, row)) for row in self.grid.rows), key=lambda row: row[key])
        deals = {deal: versions[-1].values for deal, versions in self.crm.deals.items()}
        links = {
            deal: (link.row, {name: agreed.value for name, agreed in link.agreed().items()})
            for deal, link in self.store.links().items()
        }
        return rows, deals, links
