"""Rows added below the last: where they stand, how they look, what grows with them, and when there is no room."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from syncd.model import Raw
from syncd.tables.files import Unwritable
from tests.workbook import books
from tests.workbook.books import deals, row, simple, with_table
from tests.workbook.test_edits import SHEET, opened

NEW: list[dict[int, Raw]] = [{0: "First", 3: 1.5, 4: "n1"}, {0: "Second", 2: "open", 5: None}]


def content(folder: Path, part: str = SHEET) -> str:
    return books.unzipped((folder / "deals.xlsx").read_bytes())[part].decode()


def test_into_a_table_of_excel(tmp_path: Path) -> None:
    book, read = opened(tmp_path, books.full())
    after = book.write(read, {(0, 1): "New"}, NEW)
    assert after.rows[3:] == (
        ("First", None, None, 1.5, "n1", None, None, None),
        ("Second", None, "open", None, None, None, None, None),
    )
    assert after.rows[0][1] == "New"
    assert after.formulas == read.formulas | {(3, 6), (4, 6)}
    table = content(tmp_path, "xl/tables/table1.xml")
    assert table.count('ref="A1:H6"') == 2
    xml = content(tmp_path)
    assert '<dimension ref="A1:H6"/>' in xml
    assert '<conditionalFormatting sqref="C2:C6">' in xml
    assert '<dataValidation type="list" allowBlank="1" sqref="C2:C6">' in xml
    assert 'sqref="D2:D1048576"' in xml  # a whole column stays as it is
    assert "<xm:sqref>D2:D6</xm:sqref>" in xml
    assert "<xm:sqref>B2:B6</xm:sqref>" in xml
    assert "<xm:f>Deals!D2:D4</xm:f><xm:sqref>H4</xm:sqref>" in xml  # a sparkline has its place
    assert '<row r="5" x14ac:dyDescent="0.25">' in xml
    assert '<c r="D5" s="2"><v>1.5</v></c><c r="E5" s="3" t="inlineStr">' in xml
    assert '<c r="G5" s="5"><f>T[[#This Row],[Value]]/100</f></c>' in xml
    assert '<c r="D6" s="2"/>' in xml
    changed = {
        name
        for name, data in books.unzipped((tmp_path / "deals.xlsx").read_bytes()).items()
        if data != books.unzipped(books.full())[name]
    }
    assert changed == {SHEET, "xl/tables/table1.xml", "xl/workbook.xml"}


def test_without_a_table(tmp_path: Path) -> None:
    names = (
        "<definedNames>"
        "<definedName name='_xlnm._FilterDatabase' localSheetId='1'>X!$A$1:$F$3</definedName>"
        "<definedName name='_xlnm._FilterDatabase' localSheetId='0' hidden='1'>Deals!$A$1:$F$3</definedName>"
        "</definedNames>"
    )
    tail = (
        '<autoFilter ref="A1:F3"/><dataValidations count="3"><dataValidation sqref="B2:B3 H2:H3"/>'
        '<dataValidation sqref="C3 C9"/><dataValidation sqref="D2:D4"/></dataValidations>'
        '<ignoredErrors><ignoredError sqref="A1:F3" numberStoredAsText="1"/></ignoredErrors>'
    )
    hidden = row(3, "B", about=' hidden="1" outlineLevel="1" ht="20" customHeight="1"')
    book, read = opened(tmp_path, simple(deals(row(2, "A"), hidden, after=tail), after=names))
    after = book.write(read, {}, NEW)
    assert [one[0] for one in after.rows] == ["A", "B", "First", "Second"]
    xml = content(tmp_path)
    assert '<autoFilter ref="A1:F5"/>' in xml
    assert 'sqref="B2:B5 H2:H3"' in xml
    assert 'sqref="C3:C5 C9"' in xml
    assert 'sqref="D2:D5"' in xml
    assert '<ignoredError sqref="A1:F5"' in xml
    assert '<row r="4" ht="20" customHeight="1">' in xml
    workbook = content(tmp_path, "xl/workbook.xml")
    assert "Deals!$A$1:$F$5<" in workbook
    assert "X!$A$1:$F$3<" in workbook


def test_into_an_empty_sheet(tmp_path: Path) -> None:
    columns = '<cols><col min="1" max="6" style="2"/></cols>'
    for place, rows in enumerate(("", '<row r="2"/>', '<row r="2" s="5" customFormat="1"><c r="A2" s="5"/></row>')):
        folder = tmp_path / str(place)
        folder.mkdir()
        tail = '<dataValidations count="1"><dataValidation sqref="B2"/></dataValidations>'
        book, read = opened(folder, simple(deals(rows, after=tail, before=columns)))
        assert read.rows == ()
        after = book.write(read, {}, NEW)
        assert [one[0] for one in after.rows] == ["First", "Second"]
        xml = content(folder)
        assert f'<c r="A2" s="{"5" if place == 2 else "2"}" t="inlineStr">' in xml
        assert 'sqref="B2:B3"' in xml


def test_into_a_table_with_blank_rows_at_its_end(tmp_path: Path) -> None:
    rows = [row(2, "A"), '<row r="3"><c r="A3" s="3"/></row>', '<row r="4"/>']
    book, read = opened(tmp_path, with_table(deals(*rows, after=books.TABLE_PARTS), "A1:F4"))
    assert len(read.rows) == 1
    after = book.write(read, {}, [{0: "B"}])
    assert 'ref="A1:F4"' in content(tmp_path, "xl/tables/table1.xml")
    after = book.write(after, {}, [{0: "C"}, {0: "D"}])
    assert [one[0] for one in after.rows] == ["A", "B", "C", "D"]
    assert content(tmp_path, "xl/tables/table1.xml").count('ref="A1:F5"') == 2
    assert '<c r="A3" s="3" t="inlineStr">' in content(tmp_path)


def test_rows_that_people_added_below_a_table_come_into_it(tmp_path: Path) -> None:
    rows = [row(2, "A"), row(3, "typed in LibreOffice")]
    book, read = opened(tmp_path, with_table(deals(*rows, after=books.TABLE_PARTS), "A1:F2"))
    book.write(read, {}, [{0: "C"}])
    assert content(tmp_path, "xl/tables/table1.xml").count('ref="A1:F4"') == 2


def test_a_formula_that_was_filled_in_beforehand_stays(tmp_path: Path) -> None:
    ready = '<row r="3"><c r="D3" t="str"><f>IF(A3="","",1)</f><v></v></c></row>'
    book, read = opened(tmp_path, simple(deals(row(2, "A"), ready)))
    assert len(read.rows) == 1
    after = book.write(read, {}, [{0: "B", 3: 7}])
    assert after.rows[1][:4] == ("B", None, None, None)
    assert after.formulas == {(1, 3)}


@pytest.mark.parametrize(
    ("rows", "tail", "table", "sentence"),
    [
        ([row(2, "A"), row(3, "Total")], "", {"ref": "A1:F3", "totals": 1}, "switch the totals row off"),
        ([row(2, "A"), row(4, "note")], "", {"ref": "A1:F2"}, "stands in the row below the table, at A4"),
        ([row(2, "A")], '<mergeCells><mergeCell ref="C4:D5"/></mergeCells>', {"ref": "A1:F2"}, "merged cells .* C4:D5"),
    ],
)
def test_no_room(tmp_path: Path, rows: list[str], tail: str, table: dict[str, object], sentence: str) -> None:
    data = with_table(deals(*rows, after=tail + books.TABLE_PARTS), **table)  # type: ignore[arg-type]
    book, read = opened(tmp_path, data)
    with pytest.raises(Unwritable, match=sentence) as caught:
        book.write(read, {}, NEW)
    assert caught.value.cell is None
    assert (tmp_path / "deals.xlsx").read_bytes() == data
    assert book.write(read, {(0, 0): "Z"}).rows[0][0] == "Z"  # the rest goes on


def test_another_table_below(tmp_path: Path) -> None:
    data = simple(
        deals(row(2, "A"), row(4, *books.HEADER), row(5, "other"), after=books.TABLE_PARTS),
        more={
            "xl/worksheets/_rels/sheet1.xml.rels": books.relations(("table", "../tables/table1.xml")),
            "xl/tables/table1.xml": books.table_part("A4:F5"),
        },
    )
    book, read = opened(tmp_path, data)
    assert [one[0] for one in read.rows] == ["A"]
    assert [one[0] for one in book.write(read, {}, [{0: "B"}]).rows] == ["A", "B"]
    with pytest.raises(Unwritable, match="another table stands in the way, at A4:F5"):
        book.write(book.load(), {}, [{0: "C"}])


def test_a_value_of_a_new_row_that_fits_in_no_cell(tmp_path: Path) -> None:
    book, read = opened(tmp_path, books.full())
    with pytest.raises(Unwritable) as caught:
        book.write(read, {}, [{0: "fine"}, {1: float("nan")}])
    assert caught.value.cell == (len(read.rows) + 1, 1)


def test_a_full_sheet(tmp_path: Path) -> None:
    book, read = opened(tmp_path, simple(deals(row(2, "A"))))
    with pytest.raises(Unwritable, match="the sheet is full"):
        book.write(read, {}, [{}] * 1_048_575)


@pytest.mark.filterwarnings("ignore:.*extension is not supported:UserWarning")  # openpyxl would lose them
def test_openpyxl_reads_what_was_added(tmp_path: Path) -> None:
    book, read = opened(tmp_path, books.full())
    book.write(read, {}, NEW)
    shown = openpyxl.load_workbook(tmp_path / "deals.xlsx", keep_vba=True)["Deals"]
    assert [cell.value for cell in shown[5]][:5] == ["First", None, None, 1.5, "n1"]
    assert shown["D5"].number_format == shown["D4"].number_format != "General"
    assert shown.tables["T"].ref == "A1:H6"


def test_rows_are_added_at_the_bottom_row_by_row(tmp_path: Path) -> None:
    """Twenty writes of one row, as a daemon makes them, end like one of twenty."""
    book, read = opened(tmp_path, books.full())
    for number in range(20):
        read = book.write(read, {}, [{0: f"deal {number}", 3: number}])
    many = content(tmp_path), content(tmp_path, "xl/tables/table1.xml")
    (tmp_path / "once").mkdir()
    book, read = opened(tmp_path / "once", books.full())
    book.write(read, {}, [{0: f"deal {number}", 3: number} for number in range(20)])
    assert many == (content(tmp_path / "once"), content(tmp_path / "once", "xl/tables/table1.xml"))
