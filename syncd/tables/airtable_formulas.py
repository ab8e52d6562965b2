"""Formulas for `filterByFormula` (reference/airtable.md §3). Columns stand in them by id, as names change under you."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime


def quoted(value: str) -> str:
    """A text literal. Line breaks are escaped: raw ones are left as they are by pyairtable and may end the literal."""
    for plain, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        value = value.replace(plain, escaped)
    return f"'{value}'"


def any_of(parts: Iterable[str]) -> str:
    """Rows for which one of `parts` holds."""
    return f"OR({','.join(parts)})"


def with_ids(ids: Iterable[str]) -> str:
    """Rows with one of these record ids."""
    return any_of(map(_is_row, ids))


def with_keys(key_column_id: str, keys: Iterable[str]) -> str:
    """Rows whose key cell holds one of `keys`."""
    return any_of(f"{{{key_column_id}}}={quoted(key)}" for key in keys)


def modified_after(column_ids: Sequence[str], at: float) -> str:
    """Rows in which one of these columns was modified after `at` (seconds of the server's clock)."""
    columns = ",".join(f"{{{one}}}" for one in column_ids)
    return f"IS_AFTER(LAST_MODIFIED_TIME({columns}),{_instant(at)})"


def changed_after(column_ids: Sequence[str], at: float) -> str:
    """Rows made after `at`, or in which one of these columns was modified since. The modified time may be blank, and
    what errs drops the row; so it is asked for first."""
    columns = ",".join(f"{{{one}}}" for one in column_ids)
    return f"IF(LAST_MODIFIED_TIME({columns}),{modified_after(column_ids, at)},{created_after(at)})"


def created_after(at: float) -> str:
    """Rows made after `at` (seconds of the server's clock)."""
    return f"IS_AFTER(CREATED_TIME(),{_instant(at)})"


def row_and(id: str, condition: str) -> str:
    """The row `id`, if `condition` holds for it."""
    return f"AND({_is_row(id)},{condition})"


def _is_row(id: str) -> str:
    return f"RECORD_ID()={quoted(id)}"


def _instant(at: float) -> str:
    # DATETIME_PARSE, since a date compared with a text misbehaves; with Z, since the zone is the column's otherwise.
    shown = datetime.fromtimestamp(round(at, 3), UTC).isoformat(timespec="milliseconds")
    return f'DATETIME_PARSE("{shown.removesuffix("+00:00")}Z")'
