"""The base itself: tables and rows, and transactions that change them.

A transaction is what one API call or one act of a person does. It is written to the log of writes and to the webhooks
as a whole. Whatever may be refused has been checked before it begins, so that it never fails half-way.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .airtable_formula import InvalidFormula, evaluator
from .airtable_formula_functions import FormulaError, Instant
from .airtable_model import Choice, Field, Ids, Row, Settings, Table, View, Write, iso
from .airtable_values import NewChoice, Reader, reader, shown
from .airtable_webhooks import Webhooks

Automation = Callable[[list[Write]], None]


@dataclass(slots=True)
class Transaction:
    """What one API call or one person's act does, as it happens. `changed` holds (old, new) as kept, by field id."""

    store: Store
    source: str
    at: float
    created: list[tuple[Table, Row]] = field(default_factory=list)
    changed: list[tuple[Table, Row, dict[str, tuple[Any, Any]]]] = field(default_factory=list)
    deleted: list[tuple[Table, Row]] = field(default_factory=list)
    fields_created: list[tuple[Table, Field]] = field(default_factory=list)
    fields_renamed: list[tuple[Table, Field, str]] = field(default_factory=list)
    fields_deleted: list[tuple[Table, Field]] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)

    @property
    def second(self) -> float:
        """The time that rows keep: whole seconds (reference/airtable.md §3)."""
        return float(math.floor(self.at))

    def create(self, table: Table, cells: Mapping[str, Any]) -> Row:
        """Makes a row of accepted values by field id."""
        row = Row(self.store.ids.new("rec"), table.last_number + 1, self.second)
        table.last_number = row.number
        self._place(table, row)
        changes = self._write_cells(table, row, cells)
        if not self.store.settings.creation_bumps:
            row.modified.clear()
        self.created.append((table, row))
        self._log("create", table, row, {key: change for key, change in changes.items() if change[1] is not None})
        return row

    def update(self, table: Table, row: Row, cells: Mapping[str, Any]) -> None:
        """Writes accepted values into a row; columns that are not named stay."""
        changes = self._write_cells(table, row, cells)
        self._log("update", table, row, changes)
        if real := {key: change for key, change in changes.items() if change[0] != change[1]}:
            self.changed.append((table, row, real))

    def delete(self, table: Table, row: Row) -> None:
        """Moves a row to the trash."""
        self._log("delete", table, row, {key: (value, None) for key, value in row.cells.items()})
        del table.rows[row.id]
        table.order.remove(row.id)
        table.trash[row.id] = row
        self.deleted.append((table, row))

    def restore(self, table: Table, rec_id: str) -> Row:
        """Takes a row out of the trash: same id, same cells. KeyError where it is not there."""
        row = table.trash.pop(rec_id)
        self._place(table, row)
        self.created.append((table, row))
        self._log("create", table, row, {key: (None, value) for key, value in row.cells.items()})
        return row

    def _place(self, table: Table, row: Row) -> None:
        table.rows[row.id] = row
        table.order.insert(self.store.ids.random.randint(0, len(table.order)), row.id)

    def _write_cells(self, table: Table, row: Row, cells: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        changes: dict[str, tuple[Any, Any]] = {}
        for field_id, value in cells.items():
            old, new = row.cells.get(field_id), self._with_choices(table.fields[field_id], value)
            changes[field_id] = (old, new)
            if old == new and not self.store.settings.noop_write_bumps:
                continue
            row.modified[field_id] = self.second
            if new is None:
                row.cells.pop(field_id, None)
            else:
                row.cells[field_id] = new
        return changes

    def _with_choices(self, column: Field, value: Any) -> Any:
        if isinstance(value, list):
            return [self._with_choices(column, one) for one in value]
        if not isinstance(value, NewChoice):
            return value
        return (column.choice(value.name) or self.store.add_choice(column, value.name)).id

    def _log(self, kind: str, table: Table, row: Row, changes: Mapping[str, tuple[Any, Any]]) -> None:
        columns = table.fields
        named = {
            columns[key].name: (shown(columns[key], old), shown(columns[key], new))
            for key, (old, new) in changes.items()
        }
        self.writes.append(Write(self.at, kind, table.id, row.id, named, self.source))


class Store:
    """The tables of one base, the log of writes, the webhooks, and the automations that run after API writes.

    Every method that touches them holds `lock`.
    """

    def __init__(self, *, base_id: str, clock: Callable[[], float], seed: int, settings: Settings) -> None:
        self.base_id = base_id
        self.clock = clock
        self.settings = settings
        self.lock = threading.RLock()
        self.ids = Ids(seed)
        self.tables: dict[str, Table] = {}
        self.writes: list[Write] = []
        self.automations: list[Automation] = []
        self.webhooks = Webhooks(self.ids, clock)

    @contextmanager
    def transaction(self, source: str) -> Iterator[Transaction]:
        """One transaction: logged and published at its end. `source` as in reference/airtable.md §7 (fromSources)."""
        with self.lock:
            current = Transaction(self, source, self.clock())
            yield current
            self.writes.extend(current.writes)
            self.webhooks.publish(current)

    def table(self, id_or_name: str) -> Table:
        """The table of this id or name. KeyError where there is none."""
        found = self.tables.get(id_or_name) or next((t for t in self.tables.values() if t.name == id_or_name), None)
        if found is None:
            raise KeyError(f"no table {id_or_name!r}")
        return found

    def column(self, table: Table, id_or_name: str) -> Field:
        """A table's column by id or name. KeyError where there is none."""
        found = table.field(id_or_name)
        if found is None:
            raise KeyError(f"no column {id_or_name!r} in table {table.name!r}")
        return found

    def add_choice(self, column: Field, name: str) -> Choice:
        """Adds an option to a select."""
        choice = self.ids.choices([name], already=len(column.choices))[0]
        column.choices.append(choice)
        return choice

    def new_field(self, definition: Mapping[str, Any]) -> Field:
        """A column from `{"name", "type", "options"?, "description"?}`, not yet in any table."""
        options = definition.get("options")
        found = Field(
            self.ids.new("fld"),
            definition["name"],
            definition.get("type", "singleLineText"),
            dict(options) if options is not None else None,
            definition.get("description"),
        )
        if found.type in ("singleSelect", "multipleSelects"):
            found.choices = self.ids.choices(one["name"] for one in (options or {}).get("choices", ()))
        return found

    def new_table(self, name: str, fields: Sequence[Mapping[str, Any]], description: str | None = None) -> Table:
        """Adds a table; its first column is the primary one."""
        columns = {found.id: found for found in map(self.new_field, fields)}
        view = View(self.ids.new("viw"), "Grid view")
        table = Table(self.ids.new("tbl"), name, next(iter(columns)), description, columns, views=[view])
        self.tables[table.id] = table
        return table

    def reader(self, table: Table, column: Field) -> Reader:
        """A function that reads a column of a row as REST shows it; None is an empty cell. Formula columns too."""
        if column.type != "formula":
            return reader(table, column)
        try:
            evaluate = evaluator(str((column.options or {}).get("formula", "")), table)
        except InvalidFormula:
            return lambda row: {"error": "#ERROR!"}

        def computed(row: Row) -> Any:
            try:
                value = evaluate(row)
            except FormulaError:
                return {"error": "#ERROR!"}
            return iso(value) if isinstance(value, Instant) else value

        return computed

    def readers(self, table: Table) -> list[tuple[Field, Reader]]:
        """A reader for every column."""
        return [(column, self.reader(table, column)) for column in table.fields.values()]
