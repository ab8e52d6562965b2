"""The table of the demo as its team uses it: Airtable's by the sandbox, a workbook by saving the file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from syncd.fields import ALL_COLUMNS, KEY_COLUMN, STATUSES
from syncd.sandbox.world import TABLE, Difference, Sandbox
from syncd.tables.grid import GridBusy, GridMoved
from syncd.tables.new_workbook import make_workbook
from syncd.tables.workbook import Workbook
from syncd.values import folded

SAVES_AT_MOST = 20
SAVED_AGAIN_SECONDS = 0.05


class DemoTable(Protocol):
    """What the team does with the table. A row is named by what `row_of` gives."""

    label: str

    def settings(self) -> Mapping[str, str]:
        """The keys of [pair.table]."""

    def row_of(self, deal: str) -> str:
        """The one row of a deal; LookupError where there is none, or more."""

    def cell(self, row: str, column: str) -> Any:
        """What a cell holds; None where it is blank."""

    def type(self, row: str, column: str, value: Any) -> None:
        """A person types a value."""

    def spelled(self, label: str) -> str:
        """The table's own spelling of a stage's name."""

    def differences(self) -> list[Difference]:
        """What differs from HighLevel."""


class AirtableTable:
    """The sandbox's Airtable."""

    label = "Airtable"

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def settings(self) -> Mapping[str, str]:
        """See `DemoTable`."""
        return {}

    def row_of(self, deal: str) -> str:
        """See `DemoTable`."""
        return self.sandbox.row_of(deal)

    def cell(self, row: str, column: str) -> Any:
        """See `DemoTable`."""
        return self.sandbox.airtable.row(TABLE, row).get(column)

    def type(self, row: str, column: str, value: Any) -> None:
        """See `DemoTable`."""
        self.sandbox.airtable.person_edit(TABLE, row, {column: value})

    def spelled(self, label: str) -> str:
        """See `DemoTable`."""
        choices = self.sandbox.airtable.table(TABLE).field("Stage")
        names = [choice.name for choice in choices.choices] if choices is not None else []
        return next((name for name in names if folded(name) == folded(label)), label)

    def differences(self) -> list[Difference]:
        """See `DemoTable`."""
        return self.sandbox.differences()


class WorkbookTable:
    """A new workbook that the team edits and saves. Raises `Misconfigured` where there is such a file already."""

    label = "the workbook"

    def __init__(self, sandbox: Sandbox, path: Path) -> None:
        self.sandbox, self.path = sandbox, path
        stages = [stage["name"] for one in sandbox.highlevel.pipelines for stage in one["stages"]]
        choices = {
            "Pipeline": [" ".join(one["name"].split()) for one in sandbox.highlevel.pipelines],
            "Stage": list(dict.fromkeys(" ".join(name.split()) for name in stages)),
            "Status": list(STATUSES),
            "Owner": sorted({user["name"] for user in sandbox.highlevel.users}),
        }
        make_workbook(path, ALL_COLUMNS, choices)
        self.grid = Workbook(path, None, KEY_COLUMN)
        self.sheet = self.grid.load()

    def settings(self) -> Mapping[str, str]:
        """See `DemoTable`."""
        return {"type": "workbook", "path": str(self.path)}

    def _read(self) -> None:
        if not self.grid.unchanged(self.sheet):
            self.sheet = self.grid.load()

    def _column(self, name: str) -> int:
        return self.sheet.header.index(name)

    def row_of(self, deal: str) -> str:
        """See `DemoTable`."""
        self._read()
        found = sum(row[self._column(KEY_COLUMN)] == deal for row in self.sheet.rows)
        if found != 1:
            raise LookupError(f"{found} rows carry {deal}")
        return deal

    def _at(self, row: str) -> int:
        key = self._column(KEY_COLUMN)
        return next(at for at, cells in enumerate(self.sheet.rows) if cells[key] == row)

    def cell(self, row: str, column: str) -> Any:
        """See `DemoTable`."""
        self._read()
        return self.sheet.rows[self._at(row)][self._column(column)]

    def type(self, row: str, column: str, value: Any) -> None:
        """See `DemoTable`. Somebody who finds the file saved meanwhile opens it again."""
        for attempt in range(SAVES_AT_MOST):
            self._read()
            try:
                self.sheet = self.grid.write(self.sheet, {(self._at(row), self._column(column)): value})
            except (GridMoved, GridBusy):
                if attempt == SAVES_AT_MOST - 1:
                    raise
                time.sleep(SAVED_AGAIN_SECONDS)
            else:
                return

    def spelled(self, label: str) -> str:
        """See `DemoTable`."""
        return label

    def differences(self) -> list[Difference]:
        """See `DemoTable`."""
        self._read()
        return self.sandbox.differences([dict(zip(self.sheet.header, row, strict=True)) for row in self.sheet.rows])
