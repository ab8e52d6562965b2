"""Cells of a workbook as XML: references, ranges, and how a value is written so that every program reads it back.

Rows and columns count from 0 here; only the text of a reference counts from 1. Source: ECMA-376 part 1, 18.3.1.4
(cells), 22.9.2.19 (`_xHHHH_`), 18.18.62 and 18.18.76 (references, lists of ranges).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from syncd.model import Raw

MAX_ROWS: Final = 1_048_576
MAX_COLUMNS: Final = 16_384
MAX_TEXT: Final = 32_767  # characters in a cell, counted as Excel does: a character outside the first 65,536 is two


class Unfit(Exception):
    """A value that no cell can hold. The text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of cells, all four bounds within it."""

    top: int
    left: int
    bottom: int
    right: int

    def holds(self, row: int, column: int) -> bool:
        """Whether a cell stands in it."""
        return self.top <= row <= self.bottom and self.left <= column <= self.right

    def meets(self, other: Area) -> bool:
        """Whether the two have a cell in common."""
        return not (
            self.bottom < other.top or other.bottom < self.top or self.right < other.left or other.right < self.left
        )


_REFERENCE: Final = re.compile(r"\$?([A-Za-z]{1,3})\$?([0-9]{1,7})")
_COLUMNS_ONLY: Final = re.compile(r"\$?([A-Za-z]{1,3}):\$?([A-Za-z]{1,3})")
_ROWS_ONLY: Final = re.compile(r"\$?([0-9]{1,7}):\$?([0-9]{1,7})")


def column_name(column: int) -> str:
    """0 is "A", 26 is "AA"."""
    name = ""
    column += 1
    while column:
        column, letter = divmod(column - 1, 26)
        name = chr(65 + letter) + name
    return name


def column_index(name: str) -> int:
    """ "A" is 0."""
    found = 0
    for letter in name.upper():
        found = found * 26 + ord(letter) - 64
    return found - 1


def reference(row: int, column: int) -> str:
    """The cell's name: (0, 0) is "A1"."""
    return f"{column_name(column)}{row + 1}"


def cell_of(text: str) -> tuple[int, int] | None:
    """Row and column of a reference such as "B7" or "$B$7"; None where it is none, or lies outside every sheet."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        return None
    row, column = int(found[2]) - 1, column_index(found[1])
    return (row, column) if 0 <= row < MAX_ROWS and column < MAX_COLUMNS else None


def area_of(text: str) -> Area | None:
    """The area that "A1", "A1:B7", "A:B" or "1:7" names; None where it names none."""
    if found := _COLUMNS_ONLY.fullmatch(text):
        left, right = sorted((column_index(found[1]), column_index(found[2])))
        return Area(0, left, MAX_ROWS - 1, right) if right < MAX_COLUMNS else None
    if found := _ROWS_ONLY.fullmatch(text):
        top, bottom = sorted((int(found[1]) - 1, int(found[2]) - 1))
        return Area(top, 0, bottom, MAX_COLUMNS - 1) if top >= 0 and bottom < MAX_ROWS else None
    first, _, last = text.partition(":")
    start = cell_of(first)
    end = cell_of(last) if last else start
    if start is None or end is None:
        return None
    return Area(min(start[0], end[0]), min(start[1], end[1]), max(start[0], end[0]), max(start[1], end[1]))


def area_text(area: Area) -> str:
    """The area as "A1:B7", or "A1" where it is one cell."""
    first, last = reference(area.top, area.left), reference(area.bottom, area.right)
    return first if first == last else f"{first}:{last}"


_ESCAPE_LIKE: Final = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f]")  # a carriage return too: XML would make a line feed of it
_UNWRITABLE: Final = re.compile("[\ud800-\udfff\ufffe\uffff]")  # half a character, and the two that XML forbids


def text_xml(text: str) -> str:
    """A cell's text as XML character data. Characters that XML forbids are written as Excel does (`_x0001_`), what only
    looks like such an escape is escaped itself, and what has no form at all becomes U+FFFD.
    """
    text = _ESCAPE_LIKE.sub("_x005F_", _UNWRITABLE.sub("\ufffd", text))
    text = _CONTROL.sub(lambda found: f"_x{ord(found[0]):04X}_", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def attribute_xml(text: str) -> str:
    """Text as it stands between the quotes of an attribute."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def number_text(value: float) -> str:
    """A number as a cell holds it; raises `Unfit` for what is no finite number of 64 bits."""
    try:
        finite = math.isfinite(float(value))
    except OverflowError:
        finite = False
    if not finite:
        raise Unfit("a number of this size fits in no cell")
    return repr(value)


def content(value: Raw, prefix: str) -> tuple[str, str]:
    """The `t` attribute ("" for a number) and the inner XML of a cell that holds `value`, which is not blank.

    Raises `Unfit`.
    """
    if isinstance(value, bool):
        return "b", f"<{prefix}v>{int(value)}</{prefix}v>"
    if isinstance(value, int | float):
        return "", f"<{prefix}v>{number_text(value)}</{prefix}v>"
    if not isinstance(value, str):
        raise Unfit("a list of values fits in no cell")
    length = len(value) + sum(character > "\uffff" for character in value)
    if length > MAX_TEXT:
        raise Unfit(f"a text of {length:,} characters fits in no cell: {MAX_TEXT:,} is the most")
    # Without xml:space a reader may drop white space at the ends; Excel marks line feeds too.
    keep = ' xml:space="preserve"' if value != value.strip() or "\n" in value else ""
    return "inlineStr", f"<{prefix}is><{prefix}t{keep}>{text_xml(value)}</{prefix}t></{prefix}is>"


def is_blank(value: Raw) -> bool:
    """Whether a cell that holds this is blank."""
    return value is None or value == ""
