"""What Google Sheets makes of typed text, and how it shows values: dates as serial numbers, formats, render options.

The locale is en_US: 3/4/2026 is the fourth of March.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

from .sheets_grid import Cell, CellError, Scalar, Tab, invalid

EPOCH: Final = date(1899, 12, 30)
DATES: Final = frozenset({"DATE", "DATE_TIME", "TIME"})
_NUMBER = re.compile(r"([-+]?)(\$?)(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(%?)\Z")
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?\Z")
_US = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})\Z")
VALUE_OPTIONS: Final = ("FORMATTED_VALUE", "UNFORMATTED_VALUE", "FORMULA")
DATE_OPTIONS: Final = ("SERIAL_NUMBER", "FORMATTED_STRING")


def serial(year: int, month: int, day: int, seconds: int = 0) -> int | float:
    """A date as the number of days since 30 December 1899. Raises ValueError for no date."""
    days = (date(year, month, day) - EPOCH).days
    return days + seconds / 86_400 if seconds else days


def typed(cell: Cell, text: str) -> Cell:
    """The cell after a person typed `text` into it, or USER_ENTERED sent it."""
    if text.startswith("=") and len(text) > 1:
        return cell.holding(formula=text)
    if text.startswith("'"):
        return cell.holding(text[1:])
    if cell.format is not None and cell.format[0] == "TEXT":
        return cell.holding(text)
    if text.upper() in ("TRUE", "FALSE"):
        return cell.holding(text.upper() == "TRUE")
    stripped = text.strip()
    if found := _NUMBER.match(stripped):
        return _typed_number(cell, found)
    try:
        if found := _ISO.match(stripped):
            hour, minute, second = (int(one or 0) for one in found.group(4, 5, 6))
            at = serial(int(found[1]), int(found[2]), int(found[3]), hour * 3600 + minute * 60 + second)
            form = ("DATE_TIME", "yyyy-mm-dd h:mm:ss") if found[4] else ("DATE", "yyyy-mm-dd")
            return replace(cell.holding(at), format=cell.format or form)
        if found := _US.match(stripped):
            at = serial(int(found[3]), int(found[1]), int(found[2]))
            return replace(cell.holding(at), format=cell.format or ("DATE", "m/d/yyyy"))
    except ValueError:
        pass
    return cell.holding(text)


def _typed_number(cell: Cell, found: re.Match[str]) -> Cell:
    digits = found[3].replace(",", "")
    value: int | float = float(digits + found[4]) if found[4] else int(digits)
    value = -value if found[1] == "-" else value
    if found[5]:
        return replace(cell.holding(value / 100), format=cell.format or ("PERCENT", "0.00%" if found[4] else "0%"))
    form = cell.format or (("CURRENCY", '"$"#,##0.00') if found[2] else None)
    return replace(cell.holding(value), format=form)


def entered(cell: Cell, value: object, option: str, where: str) -> Cell:
    """The cell after the API wrote a JSON value: RAW keeps texts as they are, USER_ENTERED parses them."""
    if isinstance(value, str):
        if len(value) > 50_000:
            raise invalid("Your input contains more than the maximum of 50000 characters in a single cell.")
        return typed(cell, value) if option == "USER_ENTERED" else cell.holding(value)
    if isinstance(value, bool | int | float):
        return cell.holding(value)
    kind = "struct_value" if isinstance(value, dict) else "list_value"
    raise invalid(f"Invalid {where}: {kind} {{\n}}\n")


def rendered(tab: Tab, row: int, column: int, option: str, dates: str) -> Scalar:
    """A cell as the values methods show it; a blank one is ""."""
    cell = tab.cell(row, column)
    if cell.blank:
        return ""
    if option == "FORMULA" and cell.formula:
        return cell.formula
    value = tab.shown(row, column)
    if isinstance(value, CellError):
        return value.text
    if value is None:
        return "" if option == "FORMATTED_VALUE" else 0  # a formula that points at a blank cell
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_date = is_number and cell.format is not None and cell.format[0] in DATES
    if option == "FORMATTED_VALUE" or (is_date and dates == "FORMATTED_STRING" and option != "FORMULA"):
        return formatted(value, cell.format)
    return plain(value)


def plain(value: Scalar) -> Scalar:
    """A number without a needless fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def formatted(value: Scalar, form: tuple[str, str] | None) -> str:
    """A value as the sheet shows it in its number format."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, str):
        return value
    kind, pattern = form or ("", "")
    if kind in DATES:
        return _date_text(float(value), kind, pattern)
    if kind == "PERCENT":
        return f"{value * 100:.2f}%" if "." in pattern else f"{value * 100:.0f}%"
    if kind == "CURRENCY":
        return f"{'-' if value < 0 else ''}${abs(value):,.2f}"
    if kind == "NUMBER" and "#,##0" in pattern:
        return f"{value:,.2f}" if "." in pattern else f"{value:,.0f}"
    return str(plain(round(float(value), 10)) if isinstance(value, float) else value)


def _date_text(value: float, kind: str, pattern: str) -> str:
    at = datetime(EPOCH.year, EPOCH.month, EPOCH.day) + timedelta(seconds=round(value * 86_400))  # noqa: DTZ001
    if kind == "TIME":
        return f"{at:%H:%M:%S}"
    day = f"{at:%Y-%m-%d}" if pattern.startswith("yyyy-mm-dd") else f"{at.month}/{at.day}/{at.year}"
    return f"{day} {at.hour}:{at:%M:%S}" if kind == "DATE_TIME" else day
