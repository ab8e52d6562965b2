"""The workbook that `syncd init` makes: what people find in it, and that it can be synced and opened."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from syncd.sides import Misconfigured
from syncd.tables.new_workbook import make_workbook
from syncd.tables.workbook import Workbook

COLUMNS = "Name,Pipeline,Stage,Status,Value,Owner,Contact,Email,Phone,Company,Source,GHL ID,Sync".split(",")  # noqa: SIM905
CHOICES = {
    "Stage": ["New", "Won, paid", "=odd", "Ünïque 🎉", *[f"A stage with a long name {number}" for number in range(40)]],
    "Status": ["open", "won", "lost", "abandoned"],
    "Owner": ["Ann", "Bob"],
    "Not a column": ["x"],
}


def test_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "deals.xlsx"
    make_workbook(path, COLUMNS, CHOICES)
    sheet = openpyxl.load_workbook(path)["Deals"]
    assert [cell.value for cell in sheet[1]] == COLUMNS
    assert sheet.freeze_panes == "A2"
    assert sheet.tables["Deals"].ref == "A1:M2"
    assert sheet.tables["Deals"].autoFilter is not None
    assert sheet["E2"].number_format == "#,##0.00"
    lists = {str(one.sqref): one for one in sheet.data_validations.dataValidation}
    assert set(lists) == {"C2:C1048576", "D2:D1048576", "F2:F1048576", "L2:L1048576"}
    assert lists["L2:L1048576"].errorStyle == "warning"  # people may mend a key
    assert not sheet.protection.sheet
    assert openpyxl.load_workbook(path)["Lists"].sheet_state == "hidden"


def test_it_can_be_synced(tmp_path: Path) -> None:
    path = tmp_path / "deals.xlsx"
    make_workbook(path, COLUMNS, CHOICES)
    book = Workbook(path, None, "GHL ID")
    read = book.load()
    assert (read.header, read.rows) == (tuple(COLUMNS), ())
    assert read.choices == {2: tuple(CHOICES["Stage"]), 3: tuple(CHOICES["Status"]), 5: ("Ann", "Bob")}
    read = book.write(read, {}, [{0: f"Deal {number}", 2: "=odd", 4: 12.5, 11: f"id{number}"} for number in range(3)])
    read = book.write(read, {(1, 4): 99, (2, 2): "Won, paid"})
    assert [(one[0], one[2], one[4]) for one in read.rows] == [
        ("Deal 0", "=odd", 12.5),
        ("Deal 1", "=odd", 99),
        ("Deal 2", "Won, paid", 12.5),
    ]
    sheet = openpyxl.load_workbook(path)["Deals"]
    assert sheet.tables["Deals"].ref == "A1:M4"
    assert sheet["E4"].number_format == "#,##0.00"
    assert (sheet["A4"].number_format, sheet["L4"].font.color.rgb) == ("@", "00808080")


def test_it_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "deals.xlsx"
    path.write_bytes(b"precious")
    with pytest.raises(Misconfigured, match="exists already"):
        make_workbook(path, COLUMNS, {})
    assert path.read_bytes() == b"precious"
    with pytest.raises(Misconfigured, match="cannot be made"):
        make_workbook(tmp_path / "none" / "deals.xlsx", COLUMNS, {})
    with pytest.raises(Misconfigured, match="same name"):
        make_workbook(tmp_path / "new.xlsx", ["Name", "name"], {})
    assert [one.name for one in tmp_path.iterdir()] == ["deals.xlsx"]


def test_odd_names(tmp_path: Path) -> None:
    path = tmp_path / "deals.xlsx"
    columns = ["=Name", "A very long column name that Excel would not take as a title", "GHL ID"]
    make_workbook(path, columns, {columns[1]: ["x"]})
    read = Workbook(path, None, "GHL ID").load()
    assert read.header == tuple(columns)
    assert read.choices == {1: ("x",)}
