"""A new workbook for `syncd init`: the only place where openpyxl writes one.

The key column is not locked by a protected sheet: Excel allows no sorting of a protected sheet that has locked cells,
and its tables do not grow there, so people could neither sort nor add rows. Instead the key's cells are grey and Excel
warns who types into them; and a key that is lost or wrong is told in the row's Sync cell (SPEC §5).
"""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter, quote_sheetname
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.table import Table, TableStyleInfo
from openpyxl.worksheet.worksheet import Worksheet

from syncd.sides import Misconfigured

SHEET: Final = "Deals"
LISTS: Final = "Lists"  # hidden; holds the items of the drop-downs
_LAST_ROW: Final = 1_048_576
_WIDTHS: Final = {"Name": 34, "Email": 28, "Company": 24, "Contact": 24, "GHL ID": 24, "Sync": 44, "Value": 14}
_MONEY: Final = "#,##0.00"  # the deal's currency is the location's, which a format would only guess


def make_workbook(
    path: Path,
    columns: Sequence[str],
    choices: Mapping[str, Sequence[str]],
    *,
    key: str = "GHL ID",
    numbers: Collection[str] = ("Value",),
) -> None:
    """Makes a workbook with one sheet of these columns, and drop-downs for those in `choices`.

    Raises `Misconfigured` where the file exists already (it is never overwritten) or cannot be made.
    """
    if len({column.casefold() for column in columns}) != len(columns):
        raise Misconfigured("Two columns of a workbook cannot have the same name.")
    book = Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    sheet.title = SHEET
    sheet.append(list(columns))
    for place, column in enumerate(columns, 1):
        letter = get_column_letter(place)
        sheet.column_dimensions[letter].width = _WIDTHS.get(column, 16)
        title = sheet.cell(1, place)
        title.font, title.data_type = Font(bold=True), "s"  # a text, also where it begins with "="
        if column in numbers:
            _style_column(sheet, place, number_format=_MONEY)
        elif column != key:
            # As text: Excel would make a date of "1/2" and lose the zeros of a phone number.
            _style_column(sheet, place, number_format="@")
    sheet.freeze_panes = "A2"
    _add_table(sheet, len(columns))
    _add_key(sheet, columns, key)
    _add_lists(book, sheet, columns, choices)
    content = io.BytesIO()
    book.save(content)
    _create(path, content.getvalue())


def _style_column(sheet: Worksheet, place: int, *, number_format: str) -> None:
    sheet.column_dimensions[get_column_letter(place)].number_format = number_format
    sheet.cell(2, place).number_format = number_format  # a table has at least one row


def _add_table(sheet: Worksheet, width: int) -> None:
    table = Table(displayName="Deals", ref=f"A1:{get_column_letter(width)}2")
    table.tableStyleInfo = TableStyleInfo(name="TableStyleMedium2", showRowStripes=True)
    sheet.add_table(table)


def _add_key(sheet: Worksheet, columns: Sequence[str], key: str) -> None:
    if key not in columns:
        return
    place = columns.index(key) + 1
    letter = get_column_letter(place)
    grey, pale = Font(color="808080"), PatternFill("solid", fgColor="F2F2F2")
    for target in (sheet.column_dimensions[letter], sheet.cell(2, place)):
        target.font, target.fill, target.number_format = grey, pale, "@"
    sheet.cell(1, place).alignment = Alignment(horizontal="left")
    warning = DataValidation(type="custom", formula1="FALSE", allow_blank=True, errorStyle="warning")
    warning.errorTitle = "This column belongs to syncd"
    warning.error = "The id ties this row to its deal. Change it only to mend a row; leave it blank in a new one."
    warning.showErrorMessage = True
    warning.add(f"{letter}2:{letter}{_LAST_ROW}")
    sheet.add_data_validation(warning)


def _add_lists(book: Workbook, sheet: Worksheet, columns: Sequence[str], choices: Mapping[str, Sequence[str]]) -> None:
    """Drop-downs, whose items stand on a hidden sheet: a list within the validation holds 255 characters, no commas."""
    shown = {column: list(items) for column, items in choices.items() if column in columns and items}
    if not shown:
        return
    lists = book.create_sheet(LISTS)
    lists.sheet_state = "hidden"
    for place, (column, items) in enumerate(shown.items(), 1):
        letter = get_column_letter(place)
        lists.cell(1, place, column)
        for row, item in enumerate(items, 2):
            cell = lists.cell(row, place, item)
            cell.data_type = "s"  # also what begins with "="
        ranges = f"{quote_sheetname(LISTS)}!${letter}$2:${letter}${len(items) + 1}"
        validation = DataValidation(type="list", formula1=ranges, allow_blank=True, errorStyle="warning")
        validation.errorTitle = column[:32]  # as much as Excel takes; with more it calls the file damaged
        validation.error = f"HighLevel knows no such {column.lower()[:100]}, as far as this list goes."
        validation.showErrorMessage = True
        target = get_column_letter(columns.index(column) + 1)
        validation.add(f"{target}2:{target}{_LAST_ROW}")
        sheet.add_data_validation(validation)


def _create(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.syncd-init")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, path)  # fails where the path exists; a replacement would not
        except FileExistsError:
            raise
        except OSError:  # a drive without second names
            with open(path, "xb") as file:
                file.write(content)
    except FileExistsError:
        raise Misconfigured(f"{path} exists already, and syncd does not overwrite it.") from None
    except OSError as error:
        raise Misconfigured(f"{path} cannot be made: {error.strerror or error}.") from None
    finally:
        aside.unlink(missing_ok=True)
