"""One table of people, in four kinds: Airtable, a workbook, a CSV file, a Google sheet. Rows are found as people find
them: by what stands in their key cell, or by their name."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from syncd.model import Raw
from syncd.sandbox.sheets_people import COLUMNS
from syncd.sandbox.world import SPREADSHEET, TABLE, Sandbox
from syncd.tables.csv_file import CsvFile
from syncd.tables.new_workbook import make_workbook
from syncd.tables.workbook import Workbook

KEY = "GHL ID"
KINDS = ("airtable", "workbook", "csv", "google")
Cells = dict[str, Any]


class PeoplesTable(Protocol):
    """What people do to a table, and see of it. A row is named by its deal's id, or by its name where it has none."""

    def settings(self) -> str:
        """The keys of [pair.table]."""

    def environment(self) -> dict[str, str]:
        """The variables that they name."""

    def rows(self) -> list[Cells]:
        """All rows that are not blank, in the table's order; blank cells are left out."""

    def state(self) -> Hashable:
        """Another one after every write, whoever wrote."""

    def writes(self) -> int:
        """How many writes of syncd the table has seen; a file counts none."""

    def type(self, row: str, **cells: Raw) -> None:
        """Into cells of a row; None clears."""

    def add_row(self, **cells: Raw) -> None:
        """Below the last one."""

    def delete_row(self, row: str) -> None:
        """Those below move up, where rows have an order."""

    def copy_row(self, row: str) -> None:
        """With its key."""

    def sort(self, column: str) -> None:
        """Backwards. A table whose rows have no order of their own is only looked at otherwise."""


def place_of(rows: Sequence[Cells], row: str) -> int:
    """Where a row is: the first with this key, else the only one of this name."""
    found = [at for at, cells in enumerate(rows) if cells.get(KEY) == row]
    found = found or [at for at, cells in enumerate(rows) if cells.get("Name") == row]
    if not found:
        raise LookupError(row)
    return found[0]


class AirtableTable:
    """Airtable's base of the sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.airtable = sandbox, sandbox.airtable

    def settings(self) -> str:
        """See `PeoplesTable`; the others likewise."""
        return (
            f'type = "airtable"\nbase_id = "{self.airtable.base_id}"\ntable = "{TABLE}"\n'
            f'token = "env:AIRTABLE_TOKEN"\nbase_url = "{self.sandbox.table_url}"'
        )

    def environment(self) -> dict[str, str]:
        """The token is among the rig's own."""
        return {}

    def rows(self) -> list[Cells]:
        """In the order in which they were made."""
        return [cells for cells in self.airtable.rows(TABLE).values() if cells]

    def _id(self, row: str) -> str:
        everything = self.airtable.rows(TABLE)
        return list(everything)[place_of(list(everything.values()), row)]

    def state(self) -> Hashable:
        """The writes of everybody."""
        return len(self.airtable.writes)

    def writes(self) -> int:
        """Requests that write."""
        log = self.sandbox.table_http.log
        return sum(line.method != "GET" and not line.path.endswith("/listRecords") for line in log)

    def type(self, row: str, **cells: Raw) -> None:
        """In a row."""
        self.airtable.person_edit(TABLE, self._id(row), cells)

    def add_row(self, **cells: Raw) -> None:
        """A new record."""
        self.airtable.person_add(TABLE, cells)

    def delete_row(self, row: str) -> None:
        """To the trash."""
        self.airtable.person_delete(TABLE, self._id(row))

    def copy_row(self, row: str) -> None:
        """Its duplicate."""
        self.airtable.person_copy_row(TABLE, self._id(row))

    def sort(self, column: str) -> None:
        """A view of it: nothing that the API shows."""


class FileTable:
    """A workbook or a CSV file, saved by a program that is not syncd's daemon."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_csv = path.suffix == ".csv"
        if self.is_csv:
            path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
        else:
            make_workbook(path, COLUMNS, {"Status": ["open", "won", "lost", "abandoned"]})

    def _grid(self) -> Workbook | CsvFile:
        return CsvFile(self.path, KEY) if self.is_csv else Workbook(self.path, None, KEY)

    def settings(self) -> str:
        """The path counts from the rig's folder."""
        return f'type = "workbook"\npath = "{self.path.name}"'

    def environment(self) -> dict[str, str]:
        """None."""
        return {}

    def rows(self) -> list[Cells]:
        """Of a CSV file's column of numbers, the numbers."""
        sheet = self._grid().load()
        found = []
        for row in sheet.rows:
            cells = {name: cell for name, cell in zip(sheet.header, row, strict=True) if cell not in (None, "")}
            if self.is_csv and "Value" in cells:
                cells["Value"] = _number(str(cells["Value"]))
            if cells:
                found.append(cells)
        return found

    def state(self) -> Hashable:
        """The file itself: every save makes another one, even with the same content."""
        about = self.path.stat()
        return about.st_ino, about.st_mtime_ns, self.path.read_bytes()

    def writes(self) -> int:
        """Nobody counts a file's saves."""
        return 0

    def type(self, row: str, **cells: Raw) -> None:
        """In a row."""
        rows = self.rows()
        rows[place_of(rows, row)] |= cells
        self._save(rows)

    def add_row(self, **cells: Raw) -> None:
        """Below the last one."""
        self._save([*self.rows(), cells])

    def delete_row(self, row: str) -> None:
        """Those below move up."""
        rows = self.rows()
        del rows[place_of(rows, row)]
        self._save(rows)

    def copy_row(self, row: str) -> None:
        """Below itself; those below move down."""
        rows = self.rows()
        at = place_of(rows, row)
        self._save([*rows[: at + 1], dict(rows[at]), *rows[at + 1 :]])

    def sort(self, column: str) -> None:
        """Whole rows."""
        self._save(sorted(self.rows(), key=lambda cells: str(cells.get(column, "")), reverse=True))

    def _save(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The same file with these rows and no others."""
        grid = self._grid()
        sheet = grid.load()
        wanted = [tuple(cells.get(name) for name in sheet.header) for cells in rows]
        wanted += [(None,) * len(sheet.header)] * (len(sheet.rows) - len(rows))
        changes: dict[tuple[int, int], Raw] = {
            (at, column): new
            for at, (held, cells) in enumerate(zip(sheet.rows, wanted, strict=False))
            for column, (old, new) in enumerate(zip(held, cells, strict=True))
            if old != new
        }
        more: list[dict[int, Raw]] = [
            {column: cell for column, cell in enumerate(cells) if cell is not None}
            for cells in wanted[len(sheet.rows) :]
        ]
        grid.write(sheet, changes, more)


class GoogleTable:
    """The sandbox's Google sheet, edited in the browser."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.google = sandbox, sandbox.google
        self.google.settings.reads_per_minute = self.google.settings.writes_per_minute = None

    def settings(self) -> str:
        """The key stands in the environment."""
        return (
            f'type = "google"\nspreadsheet_id = "{SPREADSHEET}"\nsheet = "{TABLE}"\n'
            f'credentials = "env:GOOGLE_KEY"\nbase_url = "{self.sandbox.google_url}"'
        )

    def environment(self) -> dict[str, str]:
        """The service account's key."""
        return {"GOOGLE_KEY": self.google.credentials()}

    def rows(self) -> list[Cells]:
        """In the sheet's order."""
        return [cells for cells in self.google.rows(SPREADSHEET, TABLE) if cells]

    def _at(self, row: str) -> int:
        return place_of(self.google.rows(SPREADSHEET, TABLE), row)

    def state(self) -> Hashable:
        """The version, and what it shows."""
        return self.google.books[SPREADSHEET].version, str(self.rows())

    def writes(self) -> int:
        """Calls of batchUpdate."""
        return sum(line.path.endswith(":batchUpdate") for line in self.sandbox.google_http.log)

    def type(self, row: str, **cells: Raw) -> None:
        """In a row."""
        self.google.person_edit(SPREADSHEET, TABLE, self._at(row), _scalars(cells))

    def add_row(self, **cells: Raw) -> None:
        """Below the last one."""
        self.google.person_add(SPREADSHEET, TABLE, _scalars(cells))

    def delete_row(self, row: str) -> None:
        """Those below move up."""
        self.google.person_delete(SPREADSHEET, TABLE, self._at(row))

    def copy_row(self, row: str) -> None:
        """Below itself."""
        self.google.person_copy(SPREADSHEET, TABLE, self._at(row))

    def sort(self, column: str) -> None:
        """Whole rows."""
        self.google.person_sort(SPREADSHEET, TABLE, column, descending=True)


def _scalars(cells: Mapping[str, Raw]) -> dict[str, Any]:
    return dict(cells)


def _number(written: str) -> float | str:
    try:
        return float(written)
    except ValueError:
        return written


def table_of(kind: str, sandbox: Sandbox, folder: Path) -> PeoplesTable:
    """A fresh, empty table of a kind."""
    match kind:
        case "airtable":
            return AirtableTable(sandbox)
        case "google":
            return GoogleTable(sandbox)
        case _:
            return FileTable(folder / ("deals.csv" if kind == "csv" else "deals.xlsx"))
