"""The values of formulas, how they compare, and the functions that need nothing but their arguments.

Where Airtable documents nothing, the harder reading is taken: a text in a sum, or a date ordered against a text, is an
error.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from .airtable_model import iso
from .airtable_values import parse_instant


class Instant(float):
    """A date and time: epoch seconds, told apart from plain numbers."""

    __slots__ = ()


Value: TypeAlias = "str | bool | int | float | Instant | None"


class FormulaError(Exception):
    """#ERROR! for one row (reference/airtable.md §2: such a row is silently dropped)."""


def truthy(value: Value) -> bool:
    """Whether a result keeps its row: not 0, false, "", blank or NaN (reference/airtable.md §2)."""
    if value is True or value is False:
        return value
    if isinstance(value, Instant):
        return True
    return bool(value) and value == value


def text(value: Value) -> str:
    """A value as text: a blank is empty, a date its ISO form, a whole number has no point."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Instant):
        return iso(value)
    if isinstance(value, float) and not value.is_integer():
        return repr(value)
    return str(int(value))


def number(value: Value) -> int | float:
    """A value in a sum: a blank is 0, true is 1. FormulaError for texts and dates."""
    if value is None:
        return 0
    if isinstance(value, str | Instant):
        raise FormulaError
    return int(value) if isinstance(value, bool) else value


def equal(left: Value, right: Value) -> bool:
    """`=`: texts count case; a blank equals "", 0 and false; of a text and anything else the texts are compared."""
    if type(left) is str and type(right) is str:
        return left == right
    if left is None or right is None:
        other = right if left is None else left
        return other is None or (not isinstance(other, Instant) and not other)
    if isinstance(left, str) or isinstance(right, str):
        return text(left) == text(right)
    return float(left) == float(right)


_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compare(sign: str, left: Value, right: Value) -> bool:
    """`<`, `<=`, `>` or `>=`. FormulaError where a date or a number meets a text, or a date a blank."""
    if left is None and right is None:
        left = right = 0
    elif left is None:
        left = _blank_beside(right)
    elif right is None:
        right = _blank_beside(left)
    if isinstance(left, str) != isinstance(right, str):
        raise FormulaError
    return _ORDERS[sign](left, right)


def _blank_beside(other: Value) -> Value:
    if isinstance(other, Instant):
        raise FormulaError
    return "" if isinstance(other, str) else 0


def _instant(value: Value) -> Instant:
    if not isinstance(value, Instant):
        raise FormulaError
    return value


def _is_after(left: Value, right: Value) -> Value:
    return _instant(left) > _instant(right)


def _is_before(left: Value, right: Value) -> Value:
    return _instant(left) < _instant(right)


_UNITS: Final = {
    "year": "%Y",
    "month": "%Y-%m",
    "day": "%Y-%m-%d",
    "hour": "%Y-%m-%dT%H",
    "minute": "%Y-%m-%dT%H:%M",
    "second": "%Y-%m-%dT%H:%M:%S",
}


def _is_same(left: Value, right: Value, unit: Value = None) -> Value:
    if unit is None:
        return _instant(left) == _instant(right)
    shape = _UNITS.get(text(unit).removesuffix("s"))
    if shape is None:
        raise FormulaError
    first, second = (datetime.fromtimestamp(_instant(one), UTC).strftime(shape) for one in (left, right))
    return first == second


def _datetime_parse(value: Value, shape: Value = None, locale: Value = None) -> Value:
    if isinstance(value, Instant):
        return value
    if shape is not None:
        raise FormulaError  # formats of one's own are beyond this server
    try:
        return Instant(parse_instant(text(value)))
    except ValueError:
        raise FormulaError from None


def _find(wanted: Value, within: Value, start: Value = None) -> Value:
    return text(within).find(text(wanted), max(int(number(start)) - 1, 0)) + 1


def _search(wanted: Value, within: Value, start: Value = None) -> Value:
    return _find(text(wanted).lower(), text(within).lower(), start) or None


def _value(found: Value) -> Value:
    if not isinstance(found, str):
        return number(found)
    try:
        return float(found.strip().lstrip("$").replace(",", ""))
    except ValueError:
        raise FormulaError from None


@dataclass(frozen=True, slots=True)
class Function:
    """A function of its arguments' values, and how many of them it takes."""

    call: Callable[..., Value]
    fewest: int
    most: int


_MANY: Final = 10_000

FUNCTIONS: Final[dict[str, Function]] = {
    "AND": Function(lambda *values: all(map(truthy, values)), 1, _MANY),
    "BLANK": Function(lambda: None, 0, 0),
    "CONCATENATE": Function(lambda *values: "".join(map(text, values)), 1, _MANY),
    "DATETIME_PARSE": Function(_datetime_parse, 1, 3),
    "FALSE": Function(lambda: False, 0, 0),
    "FIND": Function(_find, 2, 3),
    "IS_AFTER": Function(_is_after, 2, 2),
    "IS_BEFORE": Function(_is_before, 2, 2),
    "IS_SAME": Function(_is_same, 2, 3),
    "LEN": Function(lambda value: len(text(value)), 1, 1),
    "LOWER": Function(lambda value: text(value).lower(), 1, 1),
    "NOT": Function(lambda value: not truthy(value), 1, 1),
    "SEARCH": Function(_search, 2, 3),
    "TRIM": Function(lambda value: text(value).strip(), 1, 1),
    "TRUE": Function(lambda: True, 0, 0),
    "UPPER": Function(lambda value: text(value).upper(), 1, 1),
    "VALUE": Function(_value, 1, 1),
}
