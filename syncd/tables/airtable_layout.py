"""The table as the metadata shows it, and cells in and out of it. Pure. Sections (§) are of reference/airtable.md.

A `Layout` is built whole from one answer of the metadata call and never changed; what is learnt makes a new one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from syncd.at_rest import Sieve
from syncd.fields import KEY, MESSAGE, PIPELINE, REQUIRED, Field
from syncd.model import Raw, Record
from syncd.sides import Column, Misconfigured, TableSchema
from syncd.values import choices, folded

_TEXT: Final = frozenset(
    {"singleLineText", "multilineText", "richText", "email", "url", "phoneNumber", "date", "dateTime"}
)
_NUMBER: Final = frozenset({"number", "currency", "percent", "rating", "duration"})
_COMPUTED: Final = frozenset(
    {
        "aiText",
        "autoNumber",
        "button",
        "count",
        "createdBy",
        "createdTime",
        "externalSyncSource",
        "formula",
        "lastModifiedBy",
        "lastModifiedTime",
        "lookup",
        "manualSort",
        "multipleLookupValues",
        "rollup",
    }
)
# Of the types that rows may be matched by (§4), those that can hold a deal's id without becoming something else.
_KEY_TYPES: Final = frozenset({"singleLineText", "multilineText"})
_KEY_MEND: Final = "Make a single line text column for it, or turn this one into one."


MOST_DECIMALS: Final = 8  # of a number column (§5); anything else is no precision, least of all a negative one
_NOTHING: Final[frozenset[int]] = frozenset()


class Unreadable(Exception):
    """An answer that is not what the API promises."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the configuration names. `explicit` holds the fields whose column a person configured."""

    base_id: str
    table: str
    fields: tuple[Field, ...]
    key_column: str
    message_column: str
    explicit: frozenset[str] = frozenset()

    def columns(self) -> list[tuple[str, str]]:
        """(field name, column name) of everything that may have a column; the pipeline stands beside the stage."""
        found = []
        for one in self.fields:
            if one.name == "stage" and len(one.columns) > 1:
                found.append((PIPELINE, one.columns[0]))
            found.append((one.name, one.columns[-1]))
        return [*found, (KEY, self.key_column), (MESSAGE, self.message_column)]


@dataclass(frozen=True, slots=True)
class Cells:
    """What a patch or a new row writes: values by column id. `casting` says that a select gets a new option, `places`
    which field each column belongs to (not the key's and the Sync column)."""

    values: Mapping[str, Raw]
    places: Mapping[str, int]
    casting: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The table's columns by field name ("id" is the key, "sync" the Sync column), and the fields in their order.

    `cells` holds the column ids of each field (stage: of pipeline and stage, the former None where there is none),
    `labels` the labels of each select by column id, folded label -> label.
    """

    table_id: str
    table_name: str
    columns: Mapping[str, Column]
    missing: tuple[str, ...]
    fields: tuple[Field, ...] = ()
    cells: tuple[tuple[str | None, ...], ...] = ()
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    option_ids: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    reading: tuple[str, ...] = ()  # for `record`: the ids of `cells` in one row,
    selects: tuple[tuple[int, Mapping[str, str]], ...] = ()  # where selects stand in it, with the ids of their options,
    stage_at: int | None = None  # where a stage's two cells begin,
    beside: Mapping[str, str] = field(default_factory=dict)  # and the ids of the key, the Sync column and the name
    named: Mapping[str, str] = field(default_factory=dict)  # the ids of all columns by their names

    @property
    def key(self) -> Column:
        """The key column."""
        return self.columns[KEY]

    @property
    def column_ids(self) -> list[str]:
        """Every column that a listing needs: the fields', the key, the Sync column, and the Name for titles."""
        found = [one for cells in self.cells for one in cells if one is not None]
        found += self.beside.values()
        return list(dict.fromkeys(found))

    @property
    def edited_ids(self) -> list[str]:
        """The columns whose edits matter: the fields' and the key. What is computed has no edits."""
        of_fields = {one for cells in self.cells for one in cells if one is not None}
        names = [name for name, one in self.columns.items() if one.id in of_fields and one.kind != "computed"]
        return list(dict.fromkeys(self.columns[name].id for name in (*names, KEY)))

    def schema(self, identity: str) -> TableSchema:
        """The same for the engine."""
        return TableSchema(identity, self.columns, MESSAGE in self.columns, self.missing)

    def with_fields(self, fields: Sequence[Field]) -> Layout:
        """The layout for records whose raw values stand in the order of `fields`. Each needs its column."""
        cells = tuple(self._columns_of(one) for one in fields)
        reading = tuple(id or "" for ids in cells for id in ids)
        selects = [(place, self.option_ids[id]) for place, id in enumerate(reading) if self.option_ids.get(id)]
        stage_at = next((index for index, ids in enumerate(cells) if len(ids) > 1), None)
        beside = {name: self.columns[name].id for name in (KEY, MESSAGE, "name") if name in self.columns}
        named = {column.name: column.id for column in self.columns.values() if column.name != column.id}
        return replace(
            self, fields=tuple(fields), cells=cells, reading=reading, selects=tuple(selects), stage_at=stage_at,
            beside=beside, named=named,
        )  # fmt: skip

    def _columns_of(self, one: Field) -> tuple[str | None, ...]:
        column = self.columns.get(one.name)
        if column is None:
            raise Misconfigured(f"The table “{self.table_name}” lacks the column “{one.columns[-1]}”.")
        if one.name != "stage":
            return (column.id,)
        pipeline = self.columns.get(PIPELINE)
        return (pipeline.id if pipeline is not None else None, column.id)

    def with_label(self, column_id: str, label: str) -> Layout:
        """The layout that knows one more option, made by a write a moment ago; its id comes with the next schema."""
        of_column = {**self.labels.get(column_id, {}), label: label, folded(label): label}
        return replace(self, labels={**self.labels, column_id: of_column})

    # --- cells in -------------------------------------------------------------------------------------------------

    def record(self, row: Any) -> Record:
        """A row of the API as a record. Raises `Unreadable`."""
        record = self.unless_held(row, None)
        assert record is not None  # there is no sieve to hold it
        return record

    def unless_held(self, row: Any, sieve: Sieve | None) -> Record | None:
        """A row of the API as a record; None where the sieve holds it, and none has to be made. Raises `Unreadable`."""
        id, values = _parts(row)
        if not self.named.keys().isdisjoint(values):  # a server that does not know `returnFieldsByFieldId`: no cell is
            values = {self.named.get(name, name): cell for name, cell in values.items()}  # blank for that (SPEC §4)
        beside = self.beside
        partner = _shown(values.get(beside[KEY])).strip() or None
        if sieve is not None and sieve.knows(partner, id, row):
            return None
        raw: list[Raw] = [*map(values.get, self.reading)]
        plain = _PLAIN.issuperset(map(type, raw)) and math.inf not in raw and -math.inf not in raw
        odd = () if plain else [at for at, cell in enumerate(raw) if not _can_be_told(cell)]
        for at in odd:
            raw[at] = None
        for at, options in self.selects:
            cell = raw[at]
            if type(cell) is str:
                raw[at] = options.get(cell) or cell
        stage = self.stage_at
        if stage is not None:
            raw[stage : stage + 2] = [[raw[stage], raw[stage + 1]]]
        message = _shown(values.get(beside[MESSAGE])) if MESSAGE in beside else None
        if sieve is not None and sieve.holds_row(id, None if odd else raw, partner, message):
            return None
        return Record(
            id,
            tuple(raw),
            partner=partner,
            message=message,
            title=_shown(values.get(beside["name"])) if "name" in beside else "",
            lacks=frozenset(at - (stage is not None and at > stage) for at in odd) if odd else _NOTHING,
        )

    # --- cells out ------------------------------------------------------------------------------------------------

    def outgoing(self, changes: Mapping[int, Raw], message: str | None, partner: str | None) -> Cells:
        """What to send for these raw values. Of a stage's two cells only those that have a column and a value."""
        values: dict[str, Raw] = {}
        places: dict[str, int] = {}
        by_id = {column.id: column for column in self.columns.values()}
        casting = False
        for index, raw in changes.items():
            pair = self.fields[index].name == "stage"
            cells = (raw if isinstance(raw, list) else [None, raw]) if pair else [raw]
            for column_id, cell in zip(self.cells[index], cells, strict=False):
                if column_id is None or (pair and cell is None):
                    continue
                values[column_id], is_new = self._value(by_id[column_id], cell)
                places[column_id] = index
                casting = casting or is_new
        if message is not None and MESSAGE in self.columns:
            values[self.columns[MESSAGE].id] = message or None
        if partner is not None:
            values[self.key.id] = partner or None
        return Cells(values, places, casting)

    def _value(self, column: Column, raw: Raw) -> tuple[Raw, bool]:
        """A value in the type that the column takes, so that nothing is left to be cast; and if it is a new option."""
        if raw is None or (isinstance(raw, str) and not raw.strip() and column.kind != "text"):
            return None, False
        if column.kind == "select":
            label = str(raw)
            known = self.labels.get(column.id, {})
            found = column.options.get(label) or known.get(label) or known.get(folded(label))
            return (found, False) if found is not None else (label, True)
        if column.kind == "number":
            return _number(raw), False
        if isinstance(raw, str):
            return raw or None, False
        return raw if isinstance(raw, list) else str(raw), False

    def kept_new_labels(self, cells: Cells, record: Any) -> Layout:
        """The layout after a write that made options: those that the answer shows are known from now on."""
        layout = self
        shown = _parts(record)[1]
        for column in self.columns.values():
            label = cells.values.get(column.id)
            known = layout.labels.get(column.id, {})
            if column.kind == "select" and isinstance(label, str) and shown.get(column.id) == label not in known:
                layout = layout.with_label(column.id, label)
        return layout


def created_at(row: Any) -> float | None:
    """When a row was made, in seconds of the server's clock; None where the answer does not say."""
    try:
        return _instant(row["createdTime"])
    except (KeyError, TypeError, ValueError):
        return None


@lru_cache(maxsize=256)
def _instant(text: str) -> float:
    """Seconds since 1970; rows that were made together show the same time."""
    parsed = datetime.fromisoformat(text)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def id_of(row: Any) -> str:
    """The id of a row of the API. Raises `Unreadable`."""
    return _parts(row)[0]


def _parts(row: Any) -> tuple[str, Mapping[str, Any]]:
    id, values = (row.get("id"), row.get("fields", {})) if isinstance(row, dict) else (None, None)
    if not isinstance(id, str) or not id or not isinstance(values, dict):
        raise Unreadable("Airtable sent a row without an id or without cells.")
    return id, values


_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def _can_be_told(cell: object) -> bool:
    """Texts, numbers and ticks can be compared; objects and lists (links, aiText, errors of formulas) cannot (§5)."""
    return cell is None or isinstance(cell, str | int) or (isinstance(cell, float) and math.isfinite(cell))


def _shown(cell: Any) -> str:
    """A cell as text; "" where it is blank or no text at all."""
    if cell is None or type(cell) is str:
        return cell or ""
    return str(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else ""


def _number(raw: Raw) -> Raw:
    if not isinstance(raw, str):
        return raw
    try:
        number = float(raw)
    except ValueError:
        return raw  # refused by the server, with the column's name
    if not math.isfinite(number):
        return raw
    return int(number) if number.is_integer() else number


# --- the metadata -----------------------------------------------------------------------------------------------------


def read_layout(answer: Any, wanted: Wanted, remembered: Mapping[str, str]) -> Layout:
    """The layout behind an answer of GET meta tables. `remembered` maps field names to column ids of earlier passes.

    Raises `Misconfigured` with the mend for what is required or configured and not there (CONTRACT "Default columns"),
    `Unreadable` where the answer is no list of tables.
    """
    table = _table(answer, wanted)
    listed = _objects(table.get("fields"))
    shown_name = _name(table)
    columns: dict[str, Column] = {}
    missing: list[str] = []
    for name, configured in wanted.columns():
        needed = name == KEY or name in REQUIRED or name in wanted.explicit
        found = _found(listed, configured, f"table “{shown_name}”", "columns")
        if found is None:
            _check_renamed(listed, name, configured, remembered)
            if needed:
                raise Misconfigured(
                    f"The table “{shown_name}” lacks the column “{configured}”. Add it, or correct its name in the "
                    f"configuration. The table has: {choices(map(_name, listed))}."
                )
        elif name == KEY:
            columns[name] = _key(found)
        elif (column := _column(found)) is not None and (name != MESSAGE or column.kind == "text"):
            columns[name] = column
        elif needed:
            raise Misconfigured(
                f"The column “{_name(found)}” has the type {_type(found)}, which cannot be synced. Make it a "
                "single line text or single select column, or name another column in the configuration."
            )
        if name not in columns:
            missing.append(configured)
    _check_twice(columns)
    labels, option_ids = {}, {}
    for column in columns.values():
        if column.kind == "select":
            names = list(column.options.values())
            # An exact label wins over one that only looks alike; of these the first.
            labels[column.id] = {folded(label): label for label in reversed(names)} | {label: label for label in names}
            option_ids[column.id] = {label: option for option, label in column.options.items()}
    layout = Layout(str(table["id"]), shown_name, columns, tuple(missing), labels=labels, option_ids=option_ids)
    return layout.with_fields([one for one in wanted.fields if one.name in columns])


def _table(answer: Any, wanted: Wanted) -> Mapping[str, Any]:
    if not isinstance(answer, dict) or not isinstance(answer.get("tables"), list):
        raise Unreadable("Airtable's answer holds no list of tables.")
    tables = _objects(answer["tables"])
    found = _found(tables, wanted.table, f"base {wanted.base_id}", "tables")
    if found is None:
        listed = choices(map(_name, tables))
        has = f"It has: {listed}." if tables else "The token sees no table in it."
        raise Misconfigured(
            f"The base {wanted.base_id} has no table “{wanted.table}”. {has} Correct `table` in the configuration."
        )
    return found


def _objects(listed: Any) -> list[Mapping[str, Any]]:
    """The objects of a list that have an id; whatever else Airtable may add to it is no error (§6)."""
    found = listed if isinstance(listed, list) else []
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("id"), str)]


def _name(thing: Mapping[str, Any]) -> str:
    name = thing.get("name")
    return name if isinstance(name, str) else str(thing["id"])


def _type(column: Mapping[str, Any]) -> str:
    kind = column.get("type")
    return kind if isinstance(kind, str) else "(not told)"


def _option(choice: Mapping[str, Any]) -> tuple[str, str]:
    """(id, label) of an option; one without an id stands for itself by its name, one without a name for nothing."""
    id, name = choice.get("id"), choice.get("name")
    label = name if isinstance(name, str) else ""
    return (id if isinstance(id, str) and id else label), label


def _found(things: Iterable[Mapping[str, Any]], wanted: str, where: str, what: str) -> Mapping[str, Any] | None:
    """The thing of this name or id; failing that, the one whose name differs in case or white space only."""
    listed = list(things)
    exact = [one for one in listed if wanted in (_name(one), one["id"])]
    alike = exact or [one for one in listed if folded(_name(one)) == folded(wanted)]
    if not exact and len(alike) > 1:
        names = choices(map(_name, alike))
        raise Misconfigured(f"The {where} has several {what} like “{wanted}”: {names}. Write the exact name.")
    return alike[0] if alike else None


def _check_renamed(
    listed: Sequence[Mapping[str, Any]], name: str, configured: str, remembered: Mapping[str, str]
) -> None:
    now = next((_name(one) for one in listed if one["id"] == remembered.get(name)), None)
    if now is not None:
        raise Misconfigured(
            f"The column “{configured}” is now called “{now}”; write the new name into the configuration, or give the "
            "column its old name back in Airtable."
        )


def _key(found: Mapping[str, Any]) -> Column:
    kind, name = _type(found), _name(found)
    if kind in _COMPUTED:
        raise Misconfigured(
            f"The key column “{name}” is computed ({kind}), so deals' ids cannot be written to it. {_KEY_MEND}"
        )
    if kind not in _KEY_TYPES:
        raise Misconfigured(f"The key column “{name}” has the type {kind}, which cannot hold deals' ids. {_KEY_MEND}")
    return Column(str(found["id"]), name, "text")


def _column(found: Mapping[str, Any]) -> Column | None:
    """A column that can be synced; None for types whose cells are no single text, number or choice."""
    id, kind = str(found["id"]), _type(found)
    options = found.get("options")
    options = options if isinstance(options, dict) else {}
    if kind in _COMPUTED:
        return Column(id, _name(found), "computed")
    if kind == "singleSelect":
        listed = options.get("choices")
        named = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        return Column(id, _name(found), "select", options=dict(filter(all, map(_option, named))))
    if kind in _NUMBER:
        return Column(id, _name(found), "number", _precision(kind, options.get("precision")))
    return Column(id, _name(found), "text") if kind in _TEXT else None


def _precision(kind: object, precision: Any) -> int | None:
    if kind == "rating":
        return 0
    if not isinstance(precision, int) or isinstance(precision, bool) or not 0 <= precision <= MOST_DECIMALS:
        return None
    return precision + 2 if kind == "percent" else precision  # 12.3% is 0.123 (§5)


def _check_twice(columns: Mapping[str, Column]) -> None:
    """Two fields in one column would write over each other for ever."""
    first: dict[str, str] = {}
    for name, column in columns.items():
        other = first.setdefault(column.id, name)
        if other != name:
            raise Misconfigured(f"The column “{column.name}” is configured twice: for {other} and for {name}.")
