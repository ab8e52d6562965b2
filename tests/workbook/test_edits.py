"""One cell after the other: what is written, what stays byte for byte, and what is refused."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import openpyxl
import pytest

from syncd.model import Raw
from syncd.sides import Misconfigured, SideDown
from syncd.tables.files import Unwritable
from syncd.tables.grid import Sheet
from syncd.tables.workbook import Workbook
from syncd.tables.zip_parts import BadZip, Parts
from tests.workbook import books
from tests.workbook.books import deals, row, save, sheet, simple

SHEET = "xl/worksheets/sheet1.xml"


def opened(folder: Path, data: bytes, name: str | None = None) -> tuple[Workbook, Sheet]:
    """The workbook in a file, and what it reads as."""
    book = Workbook(save(folder / "deals.xlsx", data), name, "GHL ID")
    return book, book.load()


def one_cell(folder: Path, data: bytes, cell: tuple[int, int], value: Raw) -> tuple[str, Raw, object]:
    """The sheet's XML after writing one cell, what calamine reads there, and what openpyxl does."""
    book, read = opened(folder, data)
    after = book.write(read, {cell: value})
    again = Workbook(folder / "deals.xlsx", None, "GHL ID").load()
    assert (after.rows, after.formulas, after.version) == (again.rows, again.formulas, again.version)
    shown = openpyxl.load_workbook(folder / "deals.xlsx").worksheets[0].cell(cell[0] + 2, cell[1] + 1).value
    content = books.unzipped((folder / "deals.xlsx").read_bytes())[SHEET].decode()
    return content, after.rows[cell[0]][cell[1]] if cell[0] < len(after.rows) else None, shown


PLAIN = simple(deals(row(2, "Acme", "New", "open", '<c r="D2" s="2"><v>1</v></c>', "id1")))


@pytest.mark.parametrize(
    ("value", "written", "read"),
    [
        (7, '<c r="D2" s="2"><v>7</v></c>', 7),
        (-0.5, "<v>-0.5</v>", -0.5),
        (1e300, "<v>1e+300</v>", 1e300),
        (0.1 + 0.2, "<v>0.30000000000000004</v>", 0.1 + 0.2),
        (10**20, "<v>100000000000000000000</v>", 1e20),
        (True, '<c r="D2" s="2" t="b"><v>1</v></c>', True),
        (None, '<c r="D2" s="2"/>', None),
        ("", '<c r="D2" s="2"/>', None),
        ("12.5", '<c r="D2" s="2" t="inlineStr"><is><t>12.5</t></is></c>', "12.5"),
        ("007", "<t>007</t>", "007"),
        ("2024-01-02", "<t>2024-01-02</t>", "2024-01-02"),
        ("=1+1", "<t>=1+1</t>", "=1+1"),
        ("TRUE", "<t>TRUE</t>", "TRUE"),
        ("  two  ", '<t xml:space="preserve">  two  </t>', "  two  "),
        ("a\nb", '<t xml:space="preserve">a\nb</t>', "a\nb"),
        ("<&>\"'", "<t>&lt;&amp;&gt;\"'</t>", "<&>\"'"),
        ("]]>", "<t>]]&gt;</t>", "]]>"),
        ("Zoë 🎉 日本", "<t>Zoë 🎉 日本</t>", "Zoë 🎉 日本"),
        ("\u00a0", '<t xml:space="preserve">\u00a0</t>', "\u00a0"),
    ],
)
def test_a_value_is_written_and_read_back(tmp_path: Path, value: Raw, written: str, read: Raw) -> None:
    content, found, shown = one_cell(tmp_path, PLAIN, (0, 3), value)
    assert written in content
    assert found == read
    assert type(found) is type(read)
    assert shown == (read if value != 10**20 else 10**20)


@pytest.mark.parametrize(
    ("value", "written", "read"),
    [
        ("a\r\nb", "<t", "a\r\nb"),
        ("bell \x07", "<t>bell _x0007_</t>", "bell \x07"),
        ("_x0041_", "<t>_x005F_x0041_</t>", "_x0041_"),
        ("half \ud83d", "<t>half \ufffd</t>", "half \ufffd"),
        ("odd \uffff", "<t>odd \ufffd</t>", "odd \ufffd"),
        ("\x00", "<t>_x0000_</t>", "\x00"),
    ],
)
def test_characters_that_xml_forbids(tmp_path: Path, value: str, written: str, read: str) -> None:
    content, found, _ = one_cell(tmp_path, PLAIN, (0, 3), value)
    assert written in content
    assert found == read


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, "x" * 32_768, "🎉" * 16_384, ["a"]])
def test_what_no_cell_can_hold_is_refused_and_nothing_is_written(tmp_path: Path, value: Raw) -> None:
    book, read = opened(tmp_path, PLAIN)
    with pytest.raises(Unwritable) as caught:
        book.write(read, {(0, 0): "Other", (0, 1): value})
    assert caught.value.cell == (0, 1)
    assert "fits in no cell" in str(caught.value)
    assert (tmp_path / "deals.xlsx").read_bytes() == PLAIN


def test_the_longest_text_fits(tmp_path: Path) -> None:
    assert one_cell(tmp_path, PLAIN, (0, 0), "y" * 32_767)[1] == "y" * 32_767


def test_a_formula_is_never_overwritten(tmp_path: Path) -> None:
    array = '<c r="D2"><f t="array" ref="D2:D3">F2:F3*2</f><v>1</v></c>'
    data = simple(
        deals(
            row(2, "Acme", '<c r="B2" t="str"><f>"N"&amp;"ew"</f><v>New</v></c>', "open", array, "id1"),
            row(3, "Bolt", "New", "open", '<c r="D3"><v>2</v></c>', "id2"),
        )
    )
    book, read = opened(tmp_path, data)
    assert read.formulas == {(0, 1), (0, 3), (1, 3)}
    for cell in read.formulas:
        with pytest.raises(Unwritable, match="holds a formula") as caught:
            book.write(read, {cell: "x"})
        assert caught.value.cell == cell
    assert (tmp_path / "deals.xlsx").read_bytes() == data


def test_a_formula_beside_the_changed_cell_stays_and_is_computed_anew(tmp_path: Path) -> None:
    book, read = opened(tmp_path, books.full())
    after = book.write(read, {(0, 3): 300, (0, 5): "seen"})
    parts = books.unzipped((tmp_path / "deals.xlsx").read_bytes())
    assert b'<f t="shared" ref="G2:G4" si="0">D2/100</f><v>1</v>' in parts[SHEET]
    assert b'<calcPr calcId="191029" fullCalcOnLoad="1"/>' in parts["xl/workbook.xml"]
    assert after.formulas == read.formulas == {(0, 6), (1, 6), (2, 6)}


def test_a_workbook_without_formulas_is_not_told_to_compute(tmp_path: Path) -> None:
    book, read = opened(tmp_path, PLAIN)
    book.write(read, {(0, 0): "Other"})
    assert b"fullCalcOnLoad" not in books.unzipped((tmp_path / "deals.xlsx").read_bytes())["xl/workbook.xml"]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("", "</sheets><calcPr"),
        (
            "<definedNames><definedName name='a'>1</definedName></definedNames>",
            '</definedNames><calcPr fullCalcOnLoad="1"/>',
        ),
        ("<calcPr fullCalcOnLoad='0' calcId='1'/>", "<calcPr fullCalcOnLoad=\"1\" calcId='1'/>"),
        ("<pivotCaches/>", '<calcPr fullCalcOnLoad="1"/><pivotCaches/>'),
    ],
)
def test_where_the_workbook_is_told_to_compute(tmp_path: Path, after: str, expected: str) -> None:
    data = simple(deals(row(2, "A", "", "", '<c r="D2"><f>1+1</f><v>2</v></c>')), after=after)
    book, read = opened(tmp_path, data)
    book.write(read, {(0, 0): "B"})
    assert expected in books.unzipped((tmp_path / "deals.xlsx").read_bytes())["xl/workbook.xml"].decode()


def raw_entries(data: bytes) -> dict[str, bytes]:
    """Each entry as it stands in the file, header and packed data together."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        starts = {one.filename: one.header_offset for one in file.infolist()}
    ends = [*sorted(starts.values())[1:], data.index(b"PK\1\2")]
    following = dict(zip(sorted(starts.values()), ends, strict=True))
    return {name: data[start : following[start]] for name, start in starts.items()}


def test_every_other_part_stays_byte_for_byte_and_in_its_place(tmp_path: Path) -> None:
    before = books.full()
    book, read = opened(tmp_path, before)
    book.write(read, {(1, 0): "Changed", (2, 2): "lost"})
    after = (tmp_path / "deals.xlsx").read_bytes()
    old, new = raw_entries(before), raw_entries(after)
    assert list(old) == list(new)
    assert {name for name in old if old[name] != new[name]} == {SHEET, "xl/workbook.xml"}
    for kept in ("xl/charts/chart1.xml", "xl/drawings/drawing1.xml", "xl/vbaProject.bin", "xl/comments1.xml"):
        assert old[kept] == new[kept]
    assert zipfile.ZipFile(io.BytesIO(after)).testzip() is None


def test_of_the_sheet_only_the_cells_bytes_change(tmp_path: Path) -> None:
    book, read = opened(tmp_path, books.full())
    book.write(read, {(1, 0): "Changed"})
    before = books.unzipped(books.full())[SHEET]
    after = books.unzipped((tmp_path / "deals.xlsx").read_bytes())[SHEET]
    old = b'<c r="A3" s="0" t="s"><v>12</v></c>'
    assert before.count(old) == 1
    assert after == before.replace(old, b'<c r="A3" s="0" t="inlineStr"><is><t>Changed</t></is></c>')


def test_rich_text_becomes_plain_only_where_it_changes(tmp_path: Path) -> None:
    book, read = opened(tmp_path, books.full())
    book.write(read, {(0, 0): "Plain"})
    assert b"<r><rPr><b/></rPr><t>text</t></r>" in books.unzipped((tmp_path / "deals.xlsx").read_bytes())[SHEET]
    again = book.load()
    book.write(again, {(2, 0): "Plain too"})
    assert b"<rPr>" not in books.unzipped((tmp_path / "deals.xlsx").read_bytes())[SHEET]


def test_nothing_to_change_writes_nothing(tmp_path: Path) -> None:
    book, read = opened(tmp_path, books.full())
    assert book.write(read, {}) is read
    book.write(read, {(0, 5): None, (0, 7): None})
    assert (tmp_path / "deals.xlsx").read_bytes() == books.full()


@pytest.mark.parametrize(
    ("rows", "cell", "expected"),
    [
        # A cell between two, before all, after all; a row that closes itself; one without cells; one that is not there.
        ('<row r="2"><c r="A2"/><c r="F2"/></row>', (0, 2), '<c r="A2"/><c r="C2" t="b"><v>1</v></c><c r="F2"/>'),
        ('<row r="2"><c r="B2"/></row>', (0, 0), '<row r="2"><c r="A2" t="b"><v>1</v></c><c r="B2"/></row>'),
        ('<row r="2"><c r="B2"/></row>', (0, 5), '<c r="B2"/><c r="F2" t="b"><v>1</v></c></row>'),
        ('<row r="2" ht="9"/><row r="3"/>', (0, 1), '<row r="2" ht="9"><c r="B2" t="b"><v>1</v></c></row><row r="3"/>'),
        ('<row r="2"></row>', (0, 1), '<row r="2"><c r="B2" t="b"><v>1</v></c></row>'),
        ('<row r="4"/>', (1, 1), '<row r="3"><c r="B3" t="b"><v>1</v></c></row><row r="4"'),
        # Without positions: they follow from the order.
        ("<row><c/><c s='1'/><c/></row>", (0, 1), "<row><c/><c s='1' t=\"b\"><v>1</v></c><c/></row>"),
        ("<row><c/></row>", (0, 3), '<row><c/><c r="D2" s="2" t="b"><v>1</v></c></row>'),
        # `spans` grows, other attributes stay; styles come from the row, else from the column.
        ('<row r="2" spans="1:2" x="y"><c r="A2"/></row>', (0, 4), '<row r="2" spans="1:5" x="y"><c r="A2"/>'),
        ('<row r="2" s="5" customFormat="1"/>', (0, 4), '<c r="E2" s="5" t="b">'),
        ('<row r="2" s="5"/>', (0, 3), '<c r="D2" s="2" t="b">'),
        # Comments, CDATA and `>` within attributes are not tags.
        ("<row r='2' x='a>b'><!-- <c r=\"A2\"/> --><c r='B2'/></row>", (0, 0), '<!-- <c r="A2"/> --><c r="A2" t='),
        (
            '<row r="2"><c r="A2" t="inlineStr"><is><t><![CDATA[</c></row>]]></t></is></c></row>',
            (0, 0),
            '<c r="A2" t="b">',
        ),
        ('<row r="2"><c r="A2" vm="1" t="e" cm="1"><v>#VALUE!</v></c></row>', (0, 0), '<c r="A2" t="b"><v>1</v></c>'),
    ],
)
def test_where_a_cell_is_put(tmp_path: Path, rows: str, cell: tuple[int, int], expected: str) -> None:
    bottom = '<row r="9"><c r="A9"><v>1</v></c></row>'
    before = '<cols><col min="4" max="4" style="2"/></cols>'
    content, found, _ = one_cell(tmp_path, simple(deals(rows, bottom, before=before)), cell, True)
    assert expected in content
    assert found is True


def test_a_prefix_for_the_spreadsheets_own_names(tmp_path: Path) -> None:
    inner = "".join(
        f'<x:c r="{chr(65 + place)}1" t="inlineStr"><x:is><x:t>{title}</x:t></x:is></x:c>'
        for place, title in enumerate(books.HEADER)
    )
    data = simple(
        f'<x:worksheet xmlns:x="{books.MAIN}"><x:dimension ref="A1:F1"/><x:sheetData><x:row r="1">{inner}</x:row>'
        '<x:row r="2"><x:c r="A2"><x:v>5</x:v></x:c><x:c r="B2"><x:f>A2</x:f><x:v>5</x:v></x:c></x:row></x:sheetData>'
        "</x:worksheet>"
    )
    book, read = opened(tmp_path, data)
    assert read.formulas == {(0, 1)}
    after = book.write(read, {(0, 0): "Acme", (0, 2): 3}, [{0: "Bolt"}])
    assert [one[:3] for one in after.rows] == [("Acme", 5, 3), ("Bolt", None, None)]
    content = books.unzipped((tmp_path / "deals.xlsx").read_bytes())[SHEET].decode()
    assert '<x:c r="A2" t="inlineStr"><x:is><x:t>Acme</x:t></x:is></x:c>' in content
    assert '<x:dimension ref="A1:F3"/>' in content
    assert "<row" not in content


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ('<row r="3"/><row r="2"/>', "rows are out of order"),
        ('<row r="2"/><row r="2"/>', "rows are out of order"),
        ('<row r="2"><c r="B2"/><c r="A2"/></row>', "cells in row 2 that are out of order"),
        ('<row r="2"><c r="A3"/></row>', "cells in row 2 that are out of order"),
    ],
)
def test_a_sheet_out_of_order_is_not_edited(tmp_path: Path, rows: str, sentence: str) -> None:
    data = simple(deals(rows, '<row r="9"><c r="A9"><v>1</v></c></row>'))
    with pytest.raises(Misconfigured, match=sentence):
        opened(tmp_path, data)[0].write(Workbook(tmp_path / "deals.xlsx", None, "GHL ID").load(), {(0, 0): "x"})
    assert (tmp_path / "deals.xlsx").read_bytes() == data


def test_what_would_not_read_the_same_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = simple(deals(row(2, "Acme", "New"), row(3, "Bolt", "New")))
    book, read = opened(tmp_path, data)
    wrong = simple(deals(row(2, "Changed", "New"), row(3, "Bolt", "Lost")))
    monkeypatch.setattr("syncd.tables.workbook.edited", lambda *_: wrong)
    with pytest.raises(SideDown, match="nothing was written"):
        book.write(read, {(0, 0): "Changed"})
    assert (tmp_path / "deals.xlsx").read_bytes() == data


def test_deleting_clears_the_row_and_keeps_formulas_and_looks(tmp_path: Path) -> None:
    book, read = opened(tmp_path, books.full())
    after = book.delete(read, 1)
    assert after.rows[1] == (None, None, None, None, None, None, 2.505, None)
    assert (after.rows[0], after.rows[2], len(after.rows)) == (read.rows[0], read.rows[2], 3)
    content = books.unzipped((tmp_path / "deals.xlsx").read_bytes())[SHEET].decode()
    assert '<c r="E3" s="3"/>' in content


def test_a_blank_row_at_the_end_is_used_again(tmp_path: Path) -> None:
    book, read = opened(tmp_path, simple(deals(row(2, "A"), row(3, "B"))))
    after = book.delete(read, 1)
    assert len(after.rows) == 1
    after = book.write(after, {}, [{0: "C"}])
    assert [one[0] for one in after.rows] == ["A", "C"]


# --- the zip file


def test_parts_are_copied_as_they_are_packed() -> None:
    parts: dict[str, str | bytes] = {"a.xml": "<a/>", "b.bin": bytes(1000), "c.xml": "<c/>"}
    data = books.zipped(parts, stored=("b.bin",))
    changed = Parts(data).with_parts({"a.xml": b"<a>longer</a>"})
    old, new = raw_entries(data), raw_entries(changed)
    assert (old["b.bin"], old["c.xml"]) == (new["b.bin"], new["c.xml"])
    assert books.unzipped(changed) == {"a.xml": b"<a>longer</a>", "b.bin": bytes(1000), "c.xml": b"<c/>"}
    with zipfile.ZipFile(io.BytesIO(changed)) as file:
        assert [one.compress_type for one in file.infolist()] == [8, 0, 8]
        assert {one.date_time for one in file.infolist()} == {(2025, 3, 4, 5, 6, 8)}
        assert {one.external_attr for one in file.infolist()} == {0o644 << 16}


def test_entries_with_a_descriptor_behind_them_and_a_comment_of_the_file() -> None:
    class Streamed(io.BytesIO):
        def seekable(self) -> bool:
            return False

    out = Streamed()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.comment = b"made elsewhere"
        for name in ("a", "b"):
            with file.open(name, "w") as entry:
                entry.write(name.encode() * 50)
    data = out.getvalue()
    changed = Parts(data).with_parts({"a": b"new"})
    assert books.unzipped(changed) == {"a": b"new", "b": b"b" * 50}
    with zipfile.ZipFile(io.BytesIO(changed)) as file:
        assert file.comment == b"made elsewhere"
        assert file.testzip() is None


@pytest.mark.parametrize("cut", [10, 100, 300])
def test_a_file_that_is_cut_short_is_told_from_one_that_is_none(cut: int) -> None:
    with pytest.raises(BadZip) as caught:
        Parts(PLAIN[:-cut])
    assert caught.value.cut
    with pytest.raises(BadZip) as caught:
        Parts(b"hello" * 100)
    assert not caught.value.cut


def test_hostile_zips_are_refused() -> None:
    bomb = books.zipped({"a": bytes(10_000_000)})
    place = bomb.index(b"PK\1\2")
    lying = bomb[: place + 24] + struct.pack("<L", 10) + bomb[place + 28 :]
    with pytest.raises(BadZip, match="damaged"):
        Parts(lying).read("a")
    with pytest.raises(BadZip, match="same name"):
        Parts(books.zipped({"a.xml": "1", "A.XML": "2"}))
    data = books.zipped({"a": "1", "b": "2"})
    second = data.rindex(b"PK\1\2")
    overlapping = data[: second + 42] + struct.pack("<L", 0) + data[second + 46 :]
    with pytest.raises(BadZip):
        Parts(overlapping)


def test_sheet_helper_is_what_excel_would_write(tmp_path: Path) -> None:
    """The helper's sheets are no worse than they claim: openpyxl reads them."""
    path = save(tmp_path / "a.xlsx", simple(sheet(row(1, "x"))))
    assert openpyxl.load_workbook(path).worksheets[0]["A1"].value == "x"
