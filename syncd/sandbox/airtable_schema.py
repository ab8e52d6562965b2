"""The metadata calls: bases, tables, columns (reference/airtable.md §6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .airtable_model import Field, Refused, Table, bad_request, refusal
from .airtable_store import Store

_UNCREATABLE: Final = frozenset(
    {
        "aiText",
        "autoNumber",
        "button",
        "count",
        "createdBy",
        "createdTime",
        "externalSyncSource",
        "lastModifiedBy",
        "lastModifiedTime",
        "lookup",
        "manualSort",
        "multipleLookupValues",
        "rollup",
    }
)
_NEEDED_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "checkbox": ("icon", "color"),
    "currency": ("precision", "symbol"),
    "date": ("dateFormat",),
    "dateTime": ("timeZone", "dateFormat", "timeFormat"),
    "duration": ("durationFormat",),
    "formula": ("formula",),
    "multipleRecordLinks": ("linkedTableId",),
    "multipleSelects": ("choices",),
    "number": ("precision",),
    "percent": ("precision",),
    "rating": ("icon", "max", "color"),
    "singleSelect": ("choices",),
}
_PLAIN: Final = frozenset(
    {
        "barcode",
        "email",
        "multilineText",
        "multipleAttachments",
        "multipleCollaborators",
        "phoneNumber",
        "richText",
        "singleCollaborator",
        "singleLineText",
        "url",
    }
)
_PRIMARY: Final = _PLAIN - {"multipleAttachments", "multipleCollaborators", "singleCollaborator"} | {
    "currency",
    "date",
    "dateTime",
    "duration",
    "number",
    "percent",
}


def create_table(store: Store, body: Any) -> dict[str, Any]:
    """POST tables: the new table's schema. 422 for names that are taken and columns that cannot be."""
    if not isinstance(body, dict) or not isinstance(body.get("fields"), list) or not body["fields"]:
        raise bad_request()
    name = body.get("name")
    if not isinstance(name, str) or not name.strip():
        raise bad_request()
    if any(table.name.casefold() == name.casefold() for table in store.tables.values()):
        raise refusal(422, "DUPLICATE_TABLE_NAME", f"Cannot create table {name}: the name is taken")
    taken: set[str] = set()
    for definition in body["fields"]:
        _check_field(store, name, definition, taken)
        taken.add(definition["name"].casefold())
    if body["fields"][0]["type"] not in _PRIMARY:
        raise _bad_options(name, body["fields"][0], "the type cannot be that of a primary field")
    return store.new_table(name, body["fields"], body.get("description")).schema()


def create_field(store: Store, table: Table, body: Any) -> dict[str, Any]:
    """POST fields: the new column's schema; 422 UNSUPPORTED_FIELD_TYPE_FOR_CREATE for computed types."""
    _check_field(store, table.name, body, {one.name.casefold() for one in table.fields.values()})
    found = store.new_field(body)
    with store.transaction("publicApi") as current:
        table.fields[found.id] = found
        current.fields_created.append((table, found))
    return found.schema()


def update_field(store: Store, table: Table, found: Field, body: Any) -> dict[str, Any]:
    """PATCH field: name and description, nothing else; choices are refused (reference/airtable.md §6)."""
    if not isinstance(body, dict) or not body or not set(body) <= {"name", "description"}:
        raise bad_request()
    name = body.get("name", found.name)
    _check_name(name, {one.name.casefold() for one in table.fields.values() if one.id != found.id})
    if "description" in body:
        found.description = body["description"] or None
    if name != found.name:
        with store.transaction("publicApi") as current:
            current.fields_renamed.append((table, found, found.name))
            found.name = name
    return found.schema()


def _check_name(name: Any, taken: set[str]) -> None:
    if not isinstance(name, str) or not name.strip() or name.casefold() in taken:
        raise refusal(422, "DUPLICATE_OR_EMPTY_FIELD_NAME", f"The field name {name!r} is empty or taken")


def _check_field(store: Store, table_name: str, definition: Any, taken: set[str]) -> None:
    if not isinstance(definition, dict) or not isinstance(definition.get("type"), str):
        raise bad_request()
    _check_name(definition.get("name"), taken)
    kind, options = definition["type"], definition.get("options")
    if kind in _UNCREATABLE or (kind == "formula" and not store.settings.formula_creatable):
        message = f"Invalid options for {table_name}.{definition['name']}: "
        message += f"Creating {kind} fields is not supported at this time"
        raise refusal(422, "UNSUPPORTED_FIELD_TYPE_FOR_CREATE", message)
    if kind in _PLAIN:
        if options:
            raise _bad_options(table_name, definition, f"{kind} fields have no options")
        return
    if kind not in _NEEDED_OPTIONS:
        raise _bad_options(table_name, definition, f"there is no field type {kind}")
    missing = [one for one in _NEEDED_OPTIONS[kind] if one not in (options or {})]
    if missing:
        raise _bad_options(table_name, definition, f"{', '.join(missing)} must be given")
    if "choices" in _NEEDED_OPTIONS[kind]:
        _check_choices(table_name, definition, definition["options"]["choices"])


def _check_choices(table_name: str, definition: Mapping[str, Any], choices: Any) -> None:
    if not isinstance(choices, list) or not all(isinstance(one, dict) and one.get("name") for one in choices):
        raise _bad_options(table_name, definition, "every choice needs a name")
    if len({one["name"] for one in choices}) != len(choices):
        raise _bad_options(table_name, definition, "two choices have one name")


def _bad_options(table_name: str, definition: Mapping[str, Any], why: str) -> Refused:
    message = f"Invalid options for {table_name}.{definition['name']}: {why}"
    return refusal(422, "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE", message)
