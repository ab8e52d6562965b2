"""The filters and sort fields of POST /opportunities/search (reference/ghl.md §3.2)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from .highlevel_dto import Refused
from .highlevel_index import Doc
from .highlevel_store import full_name

Test: TypeAlias = Callable[[Doc], bool]
Getter: TypeAlias = Callable[[Doc], Any]

OPERATORS: Final = ("eq", "not_eq", "contains", "not_contains", "exists", "not_exists", "range")
_BOUNDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "gte": operator.ge,
    "lte": operator.le,
    "gt": operator.gt,
    "lt": operator.lt,
}


def _deal(name: str) -> Getter:
    return lambda doc: doc.deal[name]


def _contact(name: str) -> Getter:
    return lambda doc: doc.contact[name]


_DATES: Final[dict[str, Getter]] = {
    "date_added": _deal("createdAt"),
    "date_updated": _deal("updatedAt"),
    "last_status_change_date": _deal("lastStatusChangeAt"),
    "last_stage_change_date": _deal("lastStageChangeAt"),
}
_FIELDS: Final[dict[str, Getter]] = _DATES | {
    "id": _deal("id"),
    "name": _deal("name"),
    "monetary_value": _deal("monetaryValue"),
    "pipeline_id": _deal("pipelineId"),
    "pipeline_stage_id": _deal("pipelineStageId"),
    "status": _deal("status"),
    "lost_reason_id": _deal("lostReasonId"),
    "source": _deal("source"),
    "assigned_to": _deal("assignedTo"),
    "followers": _deal("followers"),
    "contact_id": _deal("contactId"),
    "contact_name": lambda doc: full_name(doc.contact),
    "company_name": _contact("companyName"),
    "email": _contact("email"),
    "phone": _contact("phone"),
}
SORTS: Final = (*_DATES, "name", "monetary_value")


def sort_value(doc: Doc, name: str) -> Any:
    """What a row is sorted by, as its `sort` array shows it: ms, a number, or a lower-case name."""
    value = _FIELDS[name](doc)
    return value.lower() if name == "name" else value


def cursor_value(given: Any, name: str) -> Any:
    """One value of searchAfter, as `sort_value` has it; numbers may come as text (OpenAPI types them so)."""
    if name == "name":
        return str(given)
    try:
        return float(given)
    except (TypeError, ValueError):
        raise Refused(422, [f"searchAfter value {given!r} must be a number"]) from None


class Filters:
    """Turns filters into one test. `honours_date_filter` False: ranges of date_updated pass everything (§13.6)."""

    def __init__(self, honours_date_filter: bool) -> None:
        self._honours_date_filter = honours_date_filter

    def compile(self, given: Any, group: str = "AND") -> Test:
        """The test that all (AND) or any (OR) of the filters pass; 422 where one is not understood."""
        tests = [self._one(one) for one in given]
        if not tests:
            return lambda doc: True
        if len(tests) == 1:
            return tests[0]
        joined = all if group == "AND" else any
        return lambda doc: joined(test(doc) for test in tests)

    def _one(self, given: Any) -> Test:
        if not isinstance(given, dict):
            raise Refused(422, ["each value in filters must be an object"])
        if "group" in given:
            if given["group"] not in ("AND", "OR") or not isinstance(given.get("filters"), list):
                raise Refused(422, ["filters.group must be one of the following values: AND, OR"])
            return self.compile(given["filters"], given["group"])
        name, how, value = given.get("field"), given.get("operator"), given.get("value")
        if not isinstance(name, str):
            raise Refused(422, ["filters.field must be a string"])
        if how not in OPERATORS:
            raise Refused(422, [f"filters.operator must be one of the following values: {', '.join(OPERATORS)}"])
        get = self._getter(name)
        if name in _DATES and how not in ("range", "exists", "not_exists"):
            raise Refused(422, [f"operator {how} is not supported for field {name}"])
        if how == "range":
            if name == "date_updated" and not self._honours_date_filter:
                return lambda doc: True
            return _range(get, value, is_date=name in _DATES)
        return _comparison(get, str(how), value)

    def _getter(self, name: str) -> Getter:
        if name.startswith("custom_fields."):
            field_id = name.removeprefix("custom_fields.")
            return lambda doc: doc.deal["customFields"].get(field_id)
        if name not in _FIELDS:
            raise Refused(422, [f"filters.field {name} is not supported"])
        return _FIELDS[name]


def _comparison(get: Getter, how: str, value: Any) -> Test:
    if how == "exists":
        return lambda doc: get(doc) not in (None, "", [])
    if how == "not_exists":
        return lambda doc: get(doc) in (None, "", [])
    if not isinstance(value, str | int | float):
        raise Refused(422, ["filters.value must be a string, a number or a boolean"])
    if how in ("contains", "not_contains"):
        if not isinstance(value, str) or len(value) > 75 or re.search(r"[^\w\s]", value):
            raise Refused(422, ["filters.value must be a text without special characters of at most 75 characters"])
        needle = value.casefold()
        return lambda doc: (needle in str(get(doc) or "").casefold()) is (how == "contains")
    wanted = value.casefold() if isinstance(value, str) else value

    def equal(doc: Doc) -> bool:
        found = get(doc)
        if isinstance(found, list):
            return value in found
        return bool((found.casefold() if isinstance(found, str) else found) == wanted)

    return equal if how == "eq" else lambda doc: not equal(doc)


def _range(get: Getter, value: Any, *, is_date: bool) -> Test:
    if not isinstance(value, dict) or not value or set(value) - set(_BOUNDS):
        raise Refused(422, ["filters.value must be an object of gte, lte, gt, lt"])
    bounds = [(_BOUNDS[name], _instant(bound) if is_date else _amount(bound)) for name, bound in value.items()]

    if len(bounds) == 1 and is_date:  # dates are never missing; this is the test of every incremental read
        ((holds, bound),) = bounds
        return lambda doc: holds(get(doc), bound)

    def within(doc: Doc) -> bool:
        found = get(doc)
        return isinstance(found, int | float) and all(holds(found, bound) for holds, bound in bounds)

    return within


def _amount(value: Any) -> float:
    if isinstance(value, int | float):
        return value
    raise Refused(422, ["filters.value must be of numbers"])


def _instant(value: Any) -> float:
    """An instant in ms, from epoch ms or ISO-8601. Which of them the real service reads is not known (§13.6)."""
    if isinstance(value, int | float):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Refused(422, [f"filters.value {value!r} must be a valid date"]) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000
