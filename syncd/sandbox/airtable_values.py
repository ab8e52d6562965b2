"""Cell values: what writes may hold, what reads and webhook payloads show, how rows sort (reference/airtable.md §5)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from .airtable_model import COMPUTED, Field, Refused, Row, Table, iso, refusal

TEXT_TYPES: Final = frozenset({"singleLineText", "multilineText", "email", "url", "phoneNumber", "richText"})
NUMBER_TYPES: Final = frozenset({"number", "currency", "percent", "duration", "rating"})
DATE_TYPES: Final = frozenset({"date", "dateTime", "createdTime", "lastModifiedTime"})
_TRUE_WORDS = frozenset({"1", "true", "yes", "checked", "x"})


@dataclass(frozen=True, slots=True)
class NewChoice:
    """A select value whose choice does not exist yet: it is made only when the whole request has been found valid."""

    name: str


def accept(field: Field, value: Any, *, typecast: bool) -> Any:
    """A value from outside as it is kept in the row; None is empty. Raises the 422 of reference/airtable.md §§4, 9."""
    if field.type in COMPUTED:
        raise refusal(
            422,
            "INVALID_VALUE_FOR_COLUMN",
            f'Field "{field.name}" cannot accept a value because the field is computed',
        )
    if value is None:
        return None
    if field.type in TEXT_TYPES:
        return _text(field, value, typecast)
    if field.type in NUMBER_TYPES:
        return _number(field, value, typecast)
    taker = _TAKERS.get(field.type)
    return taker(field, value, typecast) if taker else value


def _wrong(field: Field) -> Refused:
    return refusal(422, "INVALID_VALUE_FOR_COLUMN", f'Field "{field.name}" cannot accept the provided value')


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _text(field: Field, value: Any, typecast: bool) -> str | None:
    if typecast and not isinstance(value, str):
        value = str(value) if isinstance(value, bool | int | float) else None
        return value or None
    if not isinstance(value, str):
        raise _wrong(field)
    return value or None


def _number(field: Field, value: Any, typecast: bool) -> int | float | None:
    if _is_number(value):
        return value  # type: ignore[no-any-return]
    if not typecast or not isinstance(value, str):
        raise _wrong(field)
    try:
        found = float(value.strip().lstrip("$€£").replace(",", "").removesuffix("%"))
    except ValueError:
        return None
    if not math.isfinite(found):
        return None
    return int(found) if found.is_integer() else found


def _option(field: Field, value: Any, typecast: bool) -> str | NewChoice:
    if not isinstance(value, str):
        raise _wrong(field)
    if found := field.choice(value):
        return found.id
    if typecast and value.strip():
        return NewChoice(value)
    raise refusal(
        422,
        "INVALID_MULTIPLE_CHOICE_OPTIONS",
        f'Insufficient permissions to create new select option ""{value}""',
    )


def _single_select(field: Field, value: Any, typecast: bool) -> str | NewChoice | None:
    if typecast and value == "":
        return None
    return _option(field, value, typecast)


def _multiple_selects(field: Field, value: Any, typecast: bool) -> list[Any] | None:
    if typecast and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list):
        raise _wrong(field)
    return [_option(field, one, typecast) for one in value] or None


def _checkbox(field: Field, value: Any, typecast: bool) -> bool | None:
    if typecast and not isinstance(value, bool):
        value = str(value).strip().lower() in _TRUE_WORDS
    if not isinstance(value, bool):
        raise _wrong(field)
    return value or None


def parse_instant(text: str) -> float:
    """Epoch seconds of an ISO date or date and time; without a zone it is UTC. ValueError where it is neither."""
    found = datetime.fromisoformat(text.strip())
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _date(field: Field, value: Any, typecast: bool) -> str | None:
    try:
        if not isinstance(value, str):
            raise _wrong(field)
        shown = iso(parse_instant(value))
    except ValueError:
        if typecast:
            return None
        raise _wrong(field) from None
    return shown[:10] if field.type == "date" else shown


def _links(field: Field, value: Any, typecast: bool) -> list[str] | None:
    if not isinstance(value, list) or not all(isinstance(one, str) and one.startswith("rec") for one in value):
        raise _wrong(field)
    return list(value) or None


def _objects(field: Field, value: Any, typecast: bool) -> list[Any] | None:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise _wrong(field)
    return value or None


def _object(field: Field, value: Any, typecast: bool) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(field)
    return value


_TAKERS: Final[dict[str, Callable[[Field, Any, bool], Any]]] = {
    "singleSelect": _single_select,
    "multipleSelects": _multiple_selects,
    "checkbox": _checkbox,
    "date": _date,
    "dateTime": _date,
    "multipleRecordLinks": _links,
    "multipleAttachments": _objects,
    "multipleCollaborators": _objects,
    "singleCollaborator": _object,
    "barcode": _object,
}


def shown(field: Field, stored: Any) -> Any:
    """A kept value as REST shows it (V1); None is an empty cell, which reads leave out."""
    if stored is None:
        return None
    if field.type == "singleSelect":
        choice = field.choice_of_id(stored)
        return choice.name if choice else None
    if field.type == "multipleSelects":
        return [choice.name for one in stored if (choice := field.choice_of_id(one))] or None
    return stored


def shown_in_payload(field: Field, stored: Any) -> Any:
    """A kept value as webhook payloads show it (V2): selects and links are objects, a cleared cell is None."""
    if stored is None:
        return None
    if field.type == "singleSelect":
        return _choice_object(field, stored)
    if field.type == "multipleSelects":
        return [_choice_object(field, one) for one in stored]
    if field.type == "multipleRecordLinks":
        return [{"id": one, "name": one} for one in stored]
    return stored


def _choice_object(field: Field, choice_id: str) -> dict[str, str] | None:
    choice = field.choice_of_id(choice_id)
    return {"id": choice.id, "name": choice.name, "color": choice.color} if choice else None


Reader: TypeAlias = Callable[[Row], Any]


def reader(table: Table, field: Field) -> Reader:
    """A function that reads this column of a row as REST shows it. Formula columns are in `airtable_formula`."""
    field_id = field.id
    if field.type == "singleSelect":
        names = {choice.id: choice.name for choice in field.choices}
        return lambda row: names.get(row.cells.get(field_id, ""))
    if field.type == "multipleSelects":
        return lambda row: shown(field, row.cells.get(field_id))
    if field.type == "createdTime":
        return lambda row: iso(row.created)
    if field.type == "autoNumber":
        return lambda row: row.number
    if field.type == "lastModifiedTime":
        watched = (field.options or {}).get("referencedFieldIds") or None
        return lambda row: None if (at := last_modified(row, watched)) is None else iso(at)
    return lambda row: row.cells.get(field_id)


def last_modified(row: Row, field_ids: list[str] | None) -> float | None:
    """When one of these columns (None: any) was last written: epoch seconds, None if never (reference §3)."""
    if field_ids is None:
        return max(row.modified.values(), default=None)
    found = [at for one in field_ids if (at := row.modified.get(one)) is not None]
    return max(found, default=None)


def sort_key(field: Field) -> Callable[[Any], tuple[int, Any]]:
    """A function from a shown value to its sort key: empty first, text without case, selects in their own order."""
    if field.type == "singleSelect":
        places = {choice.name: place for place, choice in enumerate(field.choices)}
        return lambda value: (0, 0) if value is None else (1, places.get(value, len(places)))
    if field.type in NUMBER_TYPES or field.type in ("autoNumber", "checkbox"):
        return lambda value: (0, 0) if value is None else (1, value)
    return lambda value: (0, "") if value is None else (1, str(value).casefold())
