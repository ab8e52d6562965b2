"""The record calls: listing, reading, writing, deleting (reference/airtable.md §§2, 4).

A write is checked as a whole before anything of it happens. What Airtable leaves undocumented is decided here the hard
way: one bad record fails its batch, and two records with the same new key in one upsert make two rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from .airtable_formula import InvalidFormula, kept
from .airtable_model import Field, Refused, Row, Table, bad_request, forbidden, iso, refusal, unknown_field
from .airtable_store import Store
from .airtable_values import accept, sort_key
from .wire import Request

MOST_RECORDS: Final = 10
MOST_PER_PAGE: Final = 100
_MOST_SCANS: Final = 500
_MERGE_TYPES: Final = frozenset(
    {"number", "singleLineText", "multilineText", "singleSelect", "multipleSelects", "date"}
)
_OFFSET: Final = re.compile(r"itr[0-9A-Za-z]{14}/rec[0-9A-Za-z]{14}")
_SORT: Final = re.compile(r"sort\[(\d+)\]\[(field|direction)\]")
_LISTED_FIELD: Final = re.compile(r"fields(\[\d*\])?")


@dataclass(slots=True)
class Listing:
    """The parameters of a list call, wherever they stood."""

    formula: str = ""
    sort: list[tuple[str, str]] = field(default_factory=list)
    fields: list[str] | None = None
    max_records: int | None = None
    page_size: int = MOST_PER_PAGE
    view: str = ""
    by_id: bool = False
    offset: str = ""


@dataclass(slots=True)
class Scan:
    """A server-side iterator: the ids at its start, when it was last used, and where each of its offsets stands.

    An offset may be asked for again: the answer to it may have been lost.
    """

    table_id: str
    ids: list[str]
    used: float
    places: dict[str, int] = field(default_factory=dict)


class Records:
    """The record endpoints of one base. The caller holds the store's lock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._scans: dict[str, Scan] = {}

    # --- reading --------------------------------------------------------------------------------------------------

    def page(self, table: Table, asked: Listing) -> dict[str, Any]:
        """One page, with `offset` where more may follow."""
        columns = self._columns(table, asked.fields)
        scan_id, scan, at = self._resumed(table, asked.offset) if asked.offset else self._started(table, asked)
        rows = table.rows
        found: list[Row] = []
        while at < len(scan.ids) and len(found) < asked.page_size:
            row = rows.get(scan.ids[at])  # rows that were deleted meanwhile vanish from the scan
            at += 1
            if row is not None:
                found.append(row)
        show = self._shower(table, columns, asked.by_id)
        answer: dict[str, Any] = {"records": [show(row) for row in found]}
        if at < len(scan.ids):
            self._keep(scan_id, scan)
            scan.places[scan.ids[at]] = at
            answer["offset"] = f"{scan_id}/{scan.ids[at]}"
        return answer

    def get(self, table: Table, rec_id: str, *, by_id: bool) -> dict[str, Any]:
        """One record by id."""
        row = table.rows.get(rec_id)
        if row is None and self._store.settings.base_wide_get:
            table = next((one for one in self._store.tables.values() if rec_id in one.rows), table)
            row = table.rows.get(rec_id)
        if row is None:
            raise self.not_found()
        return self._shower(table, list(table.fields.values()), by_id)(row)

    def expire_offsets(self) -> None:
        """Every iterator is lost, as after a restart of the server (reference/airtable.md §2)."""
        self._scans.clear()

    def not_found(self) -> Refused:
        """The answer for a record that does not exist, in the shape that is set (reference/airtable.md §9)."""
        return {
            "string": Refused(404, {"error": "NOT_FOUND"}),
            "type": refusal(404, "NOT_FOUND"),
            "model_id": refusal(404, "MODEL_ID_NOT_FOUND", "Record not found"),
            "forbidden": forbidden(),
        }[self._store.settings.not_found_shape]

    def _columns(self, table: Table, names: list[str] | None) -> list[Field]:
        if names is None:
            return list(table.fields.values())
        return [_column(table, name) for name in names]

    def _shower(self, table: Table, columns: list[Field], by_id: bool) -> Callable[[Row], dict[str, Any]]:
        readers = [(one.id if by_id else one.name, self._store.reader(table, one)) for one in columns]

        def show(row: Row) -> dict[str, Any]:
            cells = {}
            for key, read in readers:
                value = read(row)
                if value is not None and value is not False:
                    cells[key] = value
            return {"id": row.id, "createdTime": iso(row.created), "fields": cells}

        return show

    def _started(self, table: Table, asked: Listing) -> tuple[str, Scan, int]:
        scan = Scan(table.id, self._ids(table, asked), self._store.clock())
        return self._store.ids.new("itr"), scan, 0

    def _keep(self, scan_id: str, scan: Scan) -> None:
        self._scans[scan_id] = scan
        if len(self._scans) > _MOST_SCANS:
            del self._scans[next(iter(self._scans))]

    def _resumed(self, table: Table, offset: str) -> tuple[str, Scan, int]:
        if not _OFFSET.fullmatch(offset):
            raise refusal(422, "INVALID_OFFSET_VALUE", "The value of offset is invalid")
        scan_id, rec_id = offset.split("/")
        scan, now = self._scans.get(scan_id), self._store.clock()
        if scan is None or now - scan.used > self._store.settings.offset_lifetime_seconds:
            self._scans.pop(scan_id, None)
            raise refusal(
                422,
                "LIST_RECORDS_ITERATOR_NOT_AVAILABLE",
                "The iterator of this listing is no longer available. Please start over.",
            )
        if scan.table_id != table.id or rec_id not in scan.places:
            raise refusal(422, "INVALID_OFFSET_VALUE", "The value of offset is invalid")
        scan.used = now
        return scan_id, scan, scan.places[rec_id]

    def _ids(self, table: Table, asked: Listing) -> list[str]:
        """The ids of a new scan: filtered, sorted, cut. Without sort or view: an arbitrary order, begun anywhere."""
        if asked.view:
            if not any(asked.view in (view.id, view.name) for view in table.views):
                raise refusal(422, "VIEW_NAME_NOT_FOUND", f"View {asked.view} not found")
            ids = list(table.rows)
        else:
            turn = self._store.ids.random.randint(0, len(table.order))
            ids = table.order[turn:] + table.order[:turn]
        if asked.formula:
            try:
                ids = kept(asked.formula, table, ids, blank_dates_fail=self._store.settings.blank_dates_fail)
            except InvalidFormula as error:
                message = f"The formula for filtering records is invalid: {error}"
                raise refusal(422, "INVALID_FILTER_BY_FORMULA", message) from None
        for name, direction in reversed(asked.sort):
            column = _column(table, name)
            read, key = self._store.reader(table, column), sort_key(column)
            ids.sort(key=lambda one: key(read(table.rows[one])), reverse=direction == "desc")
        return ids if asked.max_records is None else ids[: asked.max_records]

    # --- writing --------------------------------------------------------------------------------------------------

    def create(self, table: Table, body: Any) -> dict[str, Any]:
        """POST: one record (`fields` in the body) or up to ten (`records`)."""
        records, several = _records_of(body)
        if table.id in self._store.settings.locked_tables:
            message = f"You are not permitted to create records in table {table.name} ({table.id})"
            raise refusal(403, "INVALID_PERMISSIONS", message)
        checked = [self._accepted(table, _fields(one, {"fields"}), body) for one in records]
        with self._store.transaction("publicApi") as current:
            rows = [current.create(table, cells) for cells in checked]
        made = self._written(table, rows, body)
        return {"records": made} if several else made[0]

    def update(self, table: Table, body: Any, *, replace: bool) -> dict[str, Any]:
        """PATCH (merges) or PUT (clears what is not named) of up to ten records, or an upsert of them."""
        records, several = _records_of(body)
        if not several:
            raise bad_request()
        upsert = body.get("performUpsert")
        keys = _merge_fields(table, upsert) if upsert is not None else None
        checked = [(one, self._accepted(table, _fields(one, {"id", "fields"}), body)) for one in records]
        matches = _matches(table, keys or [], [cells for one, cells in checked if "id" not in one])
        plan = [(self._target(table, one, cells, keys, matches), cells) for one, cells in checked]
        taken = [row.id for row, _ in plan if row is not None]
        if len(taken) != len(set(taken)):
            message = "You cannot update the same record multiple times in a single request"
            raise refusal(422, "INVALID_RECORDS", message)
        rows: list[Row] = []
        with self._store.transaction("publicApi") as current:
            for row, cells in plan:
                if row is None:
                    row = current.create(table, cells)
                else:
                    current.update(table, row, _replacing(row, cells) if replace else cells)
                rows.append(row)
        answer: dict[str, Any] = {"records": self._written(table, rows, body)}
        if keys is not None:
            answer |= {"createdRecords": [row.id for row in rows if row.id not in taken], "updatedRecords": taken}
        return answer

    def update_one(self, table: Table, rec_id: str, body: Any, *, replace: bool) -> dict[str, Any]:
        """PATCH or PUT of one record by its path."""
        row = table.rows.get(rec_id)
        if row is None:
            raise self.not_found()
        cells = self._accepted(table, _fields(body, None), body)
        with self._store.transaction("publicApi") as current:
            current.update(table, row, _replacing(row, cells) if replace else cells)
        return self._written(table, [row], body)[0]

    def delete(self, table: Table, rec_ids: list[str]) -> dict[str, Any]:
        """Deletes up to ten records; one unknown id fails the call."""
        _check_count(len(rec_ids), "deleted")
        rows = [self._existing(table, one) for one in dict.fromkeys(rec_ids)]
        with self._store.transaction("publicApi") as current:
            for row in rows:
                current.delete(table, row)
        return {"records": [{"id": row.id, "deleted": True} for row in rows]}

    def delete_one(self, table: Table, rec_id: str) -> dict[str, Any]:
        """Deletes one record by its path."""
        if rec_id not in table.rows:
            raise self.not_found()
        found: dict[str, Any] = self.delete(table, [rec_id])["records"][0]
        return found

    def _written(self, table: Table, rows: list[Row], body: Any) -> list[dict[str, Any]]:
        """Rows as the answer to a write shows them; read afterwards, when new choices have their names."""
        show = self._shower(table, list(table.fields.values()), _flag(body, "returnFieldsByFieldId"))
        return [show(row) for row in rows]

    def _existing(self, table: Table, rec_id: Any) -> Row:
        row = table.rows.get(rec_id) if isinstance(rec_id, str) else None
        if row is None:
            message = f"Record ID {rec_id} does not exist in this table"
            raise refusal(422, "ROW_DOES_NOT_EXIST", message)
        return row

    def _accepted(self, table: Table, fields: Mapping[str, Any], body: Any) -> dict[str, Any]:
        """Checked values by field id. `typecast` counts only in the body (reference/airtable.md §4)."""
        found: dict[str, Any] = {}
        for name, value in fields.items():
            column = _column(table, name)
            if column.id in self._store.settings.locked_fields:
                message = f"You are not permitted to edit field {column.name} ({column.id})"
                raise refusal(403, "INVALID_PERMISSIONS", message)
            found[column.id] = accept(column, value, typecast=_flag(body, "typecast"))
        return found

    def _target(
        self,
        table: Table,
        record: Mapping[str, Any],
        cells: Mapping[str, Any],
        keys: list[Field] | None,
        matches: Mapping[_Key, list[Row]],
    ) -> Row | None:
        """The row that a record of an update is for; None where an upsert makes it (reference/airtable.md §4)."""
        if "id" in record:
            return self._existing(table, record["id"])
        if keys is None:
            raise refusal(422, "INVALID_REQUEST_MISSING_FIELDS", 'Could not find field "id" in the request body')
        if any(key.id not in cells for key in keys):
            message = "Every record without an id must have a value for each of fieldsToMergeOn"
            raise refusal(422, "INVALID_REQUEST_MISSING_FIELDS", message)
        found = matches.get(_key(keys, cells), [])
        if len(found) > 1:
            raise bad_request("Cannot upsert: more than one record matches the values of fieldsToMergeOn")
        return found[0] if found else None


_Key: TypeAlias = tuple[Any, ...]


def _key(keys: list[Field], cells: Mapping[str, Any]) -> _Key:
    """The values of the merge fields; those of multiple selects as tuples."""
    return tuple(tuple(value) if isinstance(value := cells.get(key.id), list) else value for key in keys)


def _matches(table: Table, keys: list[Field], sought: list[dict[str, Any]]) -> dict[_Key, list[Row]]:
    """The rows that have the merge values of one of `sought`, found in one run. A blank never matches."""
    wanted = {key for cells in sought if None not in (key := _key(keys, cells))}
    found: dict[_Key, list[Row]] = {}
    if not keys or not wanted:
        return found
    first, firsts = keys[0].id, {key[0] for key in wanted}
    for row in table.rows.values():
        value = row.cells.get(first)
        if (tuple(value) if isinstance(value, list) else value) in firsts and (key := _key(keys, row.cells)) in wanted:
            found.setdefault(key, []).append(row)
    return found


# --- requests ---------------------------------------------------------------------------------------------------------


def listing_of_query(request: Request) -> Listing:
    """The parameters of GET, from the query. 422 where one cannot be read."""
    found: dict[str, Any] = {}
    sort: dict[int, dict[str, str]] = {}
    for name, value in request.query:
        if match := _SORT.fullmatch(name):
            sort.setdefault(int(match[1]), {})[match[2]] = value
        elif _LISTED_FIELD.fullmatch(name):
            found.setdefault("fields", []).append(value)
        else:
            found[name] = value
    found["sort"] = [sort[place] for place in sorted(sort)]
    return listing_of_body(found)


def listing_of_body(body: Any) -> Listing:
    """The parameters of POST listRecords, from the body. 422 where one cannot be read."""
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise bad_request()
    fields = body.get("fields")
    if fields is not None and not (isinstance(fields, list) and all(isinstance(one, str) for one in fields)):
        raise bad_request()
    page_size = _count(body, "pageSize") or MOST_PER_PAGE
    if page_size > MOST_PER_PAGE:
        raise bad_request()
    return Listing(
        formula=_string(body, "filterByFormula"),
        sort=_sort(body.get("sort")),
        fields=fields,
        max_records=_count(body, "maxRecords"),
        page_size=page_size,
        view=_string(body, "view"),
        by_id=flag(body.get("returnFieldsByFieldId")),
        offset=_string(body, "offset"),
    )


def flag(value: Any) -> bool:
    """A boolean parameter: true, "true" and "1" are true."""
    return value in (True, "true", "1")


def _string(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name)
    if found is not None and not isinstance(found, str):
        raise bad_request()
    return found or ""


def _count(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not re.fullmatch(r"\d{1,9}", str(value)) or int(value) < 1:
        raise bad_request()
    return int(value)


def _sort(value: Any) -> list[tuple[str, str]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) and "field" in one for one in value):
        raise bad_request()
    found = [(str(one["field"]), str(one.get("direction", "asc"))) for one in value]
    if any(direction not in ("asc", "desc") for _, direction in found):
        raise bad_request()
    return found


def _column(table: Table, name: str) -> Field:
    found = table.field(name)
    if found is None:
        raise unknown_field(name)
    return found


def _flag(body: Any, name: str) -> bool:
    return body.get(name) is True if isinstance(body, dict) else False


def _check_count(count: int, verb: str) -> None:
    if count == 0:
        raise bad_request()
    if count > MOST_RECORDS:
        message = f"A maximum of {MOST_RECORDS} records can be {verb} per request but you have provided {count}."
        raise refusal(422, "INVALID_RECORDS", message)


def _records_of(body: Any) -> tuple[list[Any], bool]:
    """The records of a write, and whether they came as a list."""
    if not isinstance(body, dict):
        raise refusal(422, "INVALID_REQUEST_MISSING_FIELDS", 'Could not find field "fields" in the request body')
    if "records" not in body:
        return [{"fields": body["fields"]} if "fields" in body else {}], False
    records = body["records"]
    if not isinstance(records, list):
        raise bad_request()
    _check_count(len(records), "written")
    return records, True


def _fields(record: Any, allowed: set[str] | None) -> Mapping[str, Any]:
    """The cells of one record of a write; `allowed` are the keys that may stand beside them (None: any)."""
    if not isinstance(record, dict) or (allowed is not None and not set(record) <= allowed):
        raise bad_request()
    if "fields" not in record:
        raise refusal(422, "INVALID_REQUEST_MISSING_FIELDS", 'Could not find field "fields" in the request body')
    fields = record["fields"]
    if not isinstance(fields, dict):
        raise bad_request()
    return fields


def _replacing(row: Row, cells: Mapping[str, Any]) -> dict[str, Any]:
    """What PUT writes: the cells named, and empty for every other cell that holds something."""
    return {**{key: None for key in row.cells if key not in cells}, **cells}


def _merge_fields(table: Table, upsert: Any) -> list[Field]:
    names = upsert.get("fieldsToMergeOn") if isinstance(upsert, dict) else None
    if not isinstance(names, list) or not 1 <= len(names) <= 3:
        raise bad_request("fieldsToMergeOn must name one to three fields")
    found = [_column(table, str(name)) for name in names]
    for column in found:
        if column.type not in _MERGE_TYPES:
            raise bad_request(f'Field "{column.name}" of type {column.type} cannot be merged on')
    return found
