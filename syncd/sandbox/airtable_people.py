"""People at the table: typing, adding, deleting, copying rows, renaming columns and options; and how tests look."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from .airtable_model import Field, Row, Table
from .airtable_store import Store
from .airtable_values import accept

DEFAULT_STAGES: Final = ("New Lead", "Contacted", "Proposal Sent", "Closed")
STATUSES: Final = ("open", "won", "lost", "abandoned")


def _select(names: Sequence[str]) -> dict[str, Any]:
    return {"type": "singleSelect", "options": {"choices": [{"name": name} for name in names]}}


class People(Store):
    """A base as people use it. Tables and columns are named by name or id; KeyError where there is none."""

    # --- laying out -----------------------------------------------------------------------------------------------

    def add_table(self, name: str, fields: Sequence[Mapping[str, Any]]) -> str:
        """Adds a table of `{"name", "type", "options"?}` columns, computed types too; returns its id."""
        with self.lock:
            return self.new_table(name, fields).id

    def deals_table(
        self,
        *,
        name: str = "Deals",
        stages: Sequence[str] = DEFAULT_STAGES,
        pipelines: Sequence[str] = ("Sales",),
        statuses: Sequence[str] = STATUSES,
        owners: Sequence[str] | None = None,
        value_precision: int = 2,
        include: Collection[str] | None = None,
    ) -> str:
        """Adds a table with the default columns of CONTRACT.md, in their order; returns its id.

        `include` names the columns to have (None: all). With `owners`, Owner is a select of them, else it is text.
        """
        text: dict[str, Any] = {"type": "singleLineText"}
        columns: dict[str, dict[str, Any]] = {
            "Name": text,
            "Pipeline": _select(pipelines),
            "Stage": _select(stages),
            "Status": _select(statuses),
            "Value": {"type": "currency", "options": {"precision": value_precision, "symbol": "$"}},
            "Owner": text if owners is None else _select(owners),
            "Contact": text,
            "Email": {"type": "email"},
            "Phone": {"type": "phoneNumber"},
            "Company": text,
            "Source": text,
            "GHL ID": text,
            "Sync": text,
        }
        if unknown := set(include or ()) - set(columns):
            raise KeyError(f"not among the default columns: {sorted(unknown)}")
        wanted = columns if include is None else [column for column in columns if column in include]
        return self.add_table(name, [{"name": column, **columns[column]} for column in wanted])

    def add_field(self, table: str, name: str, type: str, options: Mapping[str, Any] | None = None) -> str:
        """A person adds a column (computed types too); returns its id."""
        with self.transaction("client") as current:
            found_table = self.table(table)
            found = self.new_field({"name": name, "type": type, "options": options})
            found_table.fields[found.id] = found
            current.fields_created.append((found_table, found))
            return found.id

    def rename_field(self, table: str, old: str, new: str) -> None:
        """A person renames a column; its id stays."""
        with self.transaction("client") as current:
            found_table = self.table(table)
            found = self.column(found_table, old)
            current.fields_renamed.append((found_table, found, found.name))
            found.name = new

    def delete_field(self, table: str, name: str) -> None:
        """A person deletes a column with everything in it."""
        with self.transaction("client") as current:
            found_table = self.table(table)
            found = self.column(found_table, name)
            for row in [*found_table.rows.values(), *found_table.trash.values()]:
                row.cells.pop(found.id, None)
                row.modified.pop(found.id, None)
            del found_table.fields[found.id]
            current.fields_deleted.append((found_table, found))

    def rename_option(self, table: str, field: str, old: str, new: str) -> None:
        """A person renames an option of a select: every row that has it shows the new name, its id stays."""
        with self.lock:
            found_table = self.table(table)
            column = self.column(found_table, field)
            choice = column.choice(old)
            if choice is None:
                raise KeyError(f"no option {old!r} in {column.name!r}")
            choice.name = new
            if self.settings.rename_option_bumps:
                now = float(int(self.clock()))
                for row in found_table.rows.values():
                    if row.cells.get(column.id) == choice.id:
                        row.modified[column.id] = now

    # --- rows -----------------------------------------------------------------------------------------------------

    def person_edit(self, table: str, rec_id: str, cells: Mapping[str, Any], *, source: str = "client") -> None:
        """A person types into cells; None clears one. A new name in a select becomes a new option.

        `source` "automation" plays an automation. Refused for computed columns.
        """
        with self.transaction(source) as current:
            found = self.table(table)
            current.update(found, self._row(found, rec_id), self._typed(found, cells))

    def person_add(self, table: str, cells: Mapping[str, Any] | None = None, *, source: str = "client") -> str:
        """A person adds a row, blank or not; returns its id."""
        with self.transaction(source) as current:
            found = self.table(table)
            return current.create(found, self._typed(found, cells or {})).id

    def person_delete(self, table: str, rec_id: str) -> None:
        """A person deletes a row; it lies in the trash."""
        with self.transaction("client") as current:
            found = self.table(table)
            current.delete(found, self._row(found, rec_id))

    def person_restore(self, table: str, rec_id: str) -> None:
        """A person takes a row out of the trash: the same id, the same cells (reference/airtable.md §8)."""
        with self.transaction("client") as current:
            current.restore(self.table(table), rec_id)

    def person_copy_row(self, table: str, rec_id: str) -> str:
        """A person duplicates a row (Ctrl-D): every cell is copied, the key too; returns the new row's id."""
        with self.transaction("client") as current:
            found = self.table(table)
            return current.create(found, dict(self._row(found, rec_id).cells)).id

    # --- looking --------------------------------------------------------------------------------------------------

    def rows(self, table: str) -> dict[str, dict[str, Any]]:
        """Every row as REST shows it, in the order in which they were made: {record id: {column name: value}}."""
        with self.lock:
            found = self.table(table)
            return {rec_id: self._shown(found, row) for rec_id, row in found.rows.items()}

    def row(self, table: str, rec_id: str) -> dict[str, Any]:
        """One row as REST shows it: empty cells are left out."""
        with self.lock:
            found = self.table(table)
            return self._shown(found, self._row(found, rec_id))

    def find_rows(self, table: str, field: str, value: Any) -> list[str]:
        """The ids of the rows whose cell shows `value`; None finds empty cells."""
        with self.lock:
            found = self.table(table)
            read = self.reader(found, self.column(found, field))
            return [rec_id for rec_id, row in found.rows.items() if read(row) == value]

    def modified(self, table: str, rec_id: str, field: str) -> float | None:
        """When a cell was last written, in whole epoch seconds; None if never."""
        with self.lock:
            found = self.table(table)
            return self._row(found, rec_id).modified.get(self.column(found, field).id)

    # --- within ---------------------------------------------------------------------------------------------------

    def _row(self, table: Table, rec_id: str) -> Row:
        if rec_id not in table.rows:
            raise KeyError(f"no row {rec_id!r} in table {table.name!r}")
        return table.rows[rec_id]

    def _typed(self, table: Table, cells: Mapping[str, Any]) -> dict[str, Any]:
        columns: list[tuple[Field, Any]] = [(self.column(table, name), value) for name, value in cells.items()]
        return {column.id: accept(column, value, typecast=True) for column, value in columns}

    def _shown(self, table: Table, row: Row) -> dict[str, Any]:
        values = {column.name: read(row) for column, read in self.readers(table)}
        return {name: value for name, value in values.items() if value is not None and value is not False}
