"""What a workbook reads as, and which files are refused with which sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from syncd.model import Raw
from syncd.sides import Misconfigured, SideDown
from syncd.tables.grid import Grid, GridMoved, Sheet
from syncd.tables.workbook import Workbook
from tests.workbook import books
from tests.workbook.books import deals, row, save, settle, sheet, simple, table_part, with_table
from tests.workbook.test_edits import opened


def test_it_is_a_grid(tmp_path: Path) -> None:
    grid: Grid = Workbook(tmp_path / "a.xlsx", None, "GHL ID")
    assert (grid.clock_offset, grid.calls) == (0.0, 0)


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        ('<c r="A2"><v>5</v></c>', 5),
        ('<c r="A2"><v>5.0</v></c>', 5),
        ('<c r="A2"><v>1234567890123</v></c>', 1234567890123),
        ('<c r="A2"><v>12345678901234567890</v></c>', 12345678901234567890.0),
        ('<c r="A2"><v>1E-3</v></c>', 0.001),
        ('<c r="A2" s="5"><v>0.25</v></c>', 0.25),
        ('<c r="A2" t="b"><v>0</v></c>', False),
        ('<c r="A2" s="1"><v>45293</v></c>', "2024-01-02"),
        ('<c r="A2" s="1"><v>45293.5</v></c>', "2024-01-02T12:00:00"),
        ('<c r="A2" s="6"><v>0.5</v></c>', "12:00:00"),
        ('<c r="A2" t="d"><v>2024-01-02</v></c>', "2024-01-02"),
        ('<c r="A2" t="s"><v>0</v></c>', "shared one"),
        ('<c r="A2" t="s"><v>1</v></c>', "rich shared"),
        (
            '<c r="A2" t="inlineStr"><is><r><t>rich</t></r><r><t xml:space="preserve"> inline</t></r></is></c>',
            "rich inline",
        ),
        ('<c r="A2" t="str"><f>"a"&amp;"b"</f><v>ab</v></c>', "ab"),
        ('<c r="A2"><f>NOW()</f></c>', None),
        ('<c r="A2" t="e"><v>#N/A</v></c>', "#N/A"),
        ('<c r="A2" t="e"><f>1/0</f><v>#DIV/0!</v></c>', "#DIV/0!"),
        ('<c r="A2" t="inlineStr"><is><t>007</t></is></c>', "007"),
        ('<c r="A2" t="inlineStr"><is><t></t></is></c>', None),
        ('<c r="A2" s="3"/>', None),
        ('<c r="A2"><v>nan</v></c>', "nan"),
    ],
)
def test_kinds_of_cells(tmp_path: Path, cell: str, read: Raw) -> None:
    rich = '<si><r><t>rich</t></r><r><t xml:space="preserve"> shared</t></r></si>'
    strings = f'<sst xmlns="{books.MAIN}"><si><t>shared one</t></si>{rich}</sst>'
    data = simple(
        deals(f'<row r="2">{cell}<c r="B2" t="inlineStr"><is><t>x</t></is></c></row>'),
        more={
            "xl/sharedStrings.xml": strings,
            "xl/_rels/workbook.xml.rels": books.relations(
                ("worksheet", "worksheets/sheet1.xml"), ("styles", "styles.xml"), ("sharedStrings", "sharedStrings.xml")
            ),
        },
    )
    _, read_sheet = opened(tmp_path, data)
    assert read_sheet.rows[0][0] == read
    assert type(read_sheet.rows[0][0]) is type(read)
    assert read_sheet.formulas == (frozenset({(0, 0)}) if "<f>" in cell else frozenset())


def test_dates_from_1904(tmp_path: Path) -> None:
    rows = deals('<row r="2"><c r="A2" s="1"><v>43831</v></c></row>')
    assert opened(tmp_path, simple(rows))[1].rows[0][0] == "2020-01-01"
    assert opened(tmp_path, simple(rows, about=' date1904="1"'))[1].rows[0][0] == "2024-01-02"


def test_a_number_written_into_a_dates_cell_is_told_as_what_the_sheet_shows(tmp_path: Path) -> None:
    data = simple(deals('<row r="2"><c r="A2" s="1"><v>45293</v></c></row>'))
    book, read = opened(tmp_path, data)
    assert book.write(read, {(0, 0): 45294}).rows[0][0] == "2024-01-03"


def test_the_header_may_stand_below_a_title_and_to_the_right(tmp_path: Path) -> None:
    head = "".join(
        f'<c r="{chr(67 + place)}4" t="inlineStr"><is><t> {title}\n</t></is></c>'
        for place, title in enumerate(books.HEADER)
    )
    data = simple(
        sheet(
            row(1, "Our deals")
            + f'<row r="4">{head}</row>'
            + '<row r="5"><c r="A5"><v>1</v></c><c r="C5" t="inlineStr"><is><t>Acme</t></is></c></row>'
        )
    )
    book, read = opened(tmp_path, data)
    assert (read.header, read.rows) == (books.HEADER, (("Acme", None, None, None, None, None),))
    after = book.write(read, {(0, 1): "New"}, [{0: "Bolt"}])
    assert [one[:2] for one in after.rows] == [("Acme", "New"), ("Bolt", None)]
    assert '<c r="C6"' in books.unzipped((tmp_path / "deals.xlsx").read_bytes())["xl/worksheets/sheet1.xml"].decode()


def test_blank_rows_stay_between_and_are_left_out_at_the_end(tmp_path: Path) -> None:
    data = simple(deals(row(2, "A"), row(4, "B"), '<row r="9"><c r="A9" s="2"/></row>'))
    assert [one[0] for one in opened(tmp_path, data)[1].rows] == ["A", None, "B"]


def test_the_sheet_is_the_first_visible_one_with_the_key(tmp_path: Path) -> None:
    data = books.full()
    assert opened(tmp_path, data)[1].header[0] == "Name"
    assert opened(tmp_path, data, "deals")[1].header[0] == "Name"
    with pytest.raises(Misconfigured, match="no sheet “Other”; its sheets are: “Deals”, “Lists”"):
        opened(tmp_path, data, "Other")
    with pytest.raises(Misconfigured, match="no column “GHL ID” in the first 50 rows of its sheet “Lists”"):
        opened(tmp_path, data, "Lists")
    hidden = simple(deals(row(2, "A")), state=' state="hidden"')
    with pytest.raises(Misconfigured, match="of any visible sheet"):
        opened(tmp_path, hidden)
    assert opened(tmp_path, hidden, "Deals")[1].rows[0][0] == "A"


@pytest.mark.parametrize(
    ("formula", "ranges", "items"),
    [
        ('"New, Won,,Lost "', "B2:B9", ("New", "Won", "Lost")),
        ("$H$1:$H$3", "B2:B1048576", ("x", "7")),
        ("Deals!$H$1:$H$9", "B2", ("x", "7")),
        ("'Deals'!H:H", "C5 B2:B3", ("x", "7")),
        ("Kinds", "B2:B9", ("x", "7")),
        ("INDIRECT(A1)", "B2:B9", None),
        ("Gone!$A$1:$A$2", "B2:B9", None),
        ('"only elsewhere"', "B50:B60", None),
    ],
)
def test_choices(tmp_path: Path, formula: str, ranges: str, items: tuple[str, ...] | None) -> None:
    validations = (
        f'<dataValidations count="1"><dataValidation type="list" sqref="{ranges}"><formula1>{formula}</formula1>'
        "</dataValidation></dataValidations>"
    )
    lists = '<row r="2"><c r="A2" t="inlineStr"><is><t>A</t></is></c><c r="H2"><v>7</v></c></row>'
    head = row(1, *books.HEADER).replace("</row>", '<c r="H1" t="inlineStr"><is><t>x</t></is></c></row>')
    data = simple(
        sheet(head + lists + row(3, "B"), after=validations),
        after='<definedNames><definedName name="Kinds">Deals!$H$1:$H$2</definedName></definedNames>',
    )
    assert opened(tmp_path, data)[1].choices == ({1: items} if items else {})


def test_below_a_table_only_what_people_added_belongs_to_it(tmp_path: Path) -> None:
    rows = [row(2, "A"), row(3, "B")]
    added, note = row(4, "C"), row(6, "A note")
    tail = books.TABLE_PARTS
    read = opened(tmp_path, with_table(deals(*rows, added, note, after=tail), "A1:F3"))[1]
    assert [one[0] for one in read.rows] == ["A", "B", "C"]
    read = opened(tmp_path, with_table(deals(*rows, added, after=tail), "A1:F4", totals=1))[1]
    assert [one[0] for one in read.rows] == ["A", "B"]


def refused(tmp_path: Path, data: bytes, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence) as caught:
        opened(tmp_path, data)
    text = str(caught.value)
    assert text.startswith(str(tmp_path / "deals.xlsx"))
    assert text.endswith(".")


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
GOOD = deals(row(2, "A"))


@pytest.mark.parametrize(
    ("data", "kind", "sentence"),
    [
        (b"", SideDown, "is empty"),
        (bytes(5000), SideDown, "nothing but zeros"),
        (simple(GOOD)[:-40], SideDown, "is not whole"),
        (OLE + bytes(600), Misconfigured, "old Excel file"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), Misconfigured, "protected by a password"),
        (b"Name,Stage\n", Misconfigured, "no Excel workbook: it is not a zip file"),
        (books.zipped({"a.txt": "x"}), Misconfigured, "no Excel workbook"),
        (
            books.zipped({"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": "<a/>"}),
            Misconfigured,
            "OpenDocument",
        ),
        (books.zipped({"xl/workbook.bin": b"x"}), Misconfigured, "binary workbook"),
        (simple(GOOD, more={"_xmlsignatures/sig1.xml": "<a/>"}), Misconfigured, "digitally signed"),
        (simple(GOOD, more={"xl/revisions/revisionHeaders.xml": "<a/>"}), Misconfigured, "shared workbook"),
        (simple(GOOD.replace(books.MAIN, "http://purl.oclc.org/ooxml/spreadsheetml/main")), Misconfigured, "strict"),
        (
            simple(sheet(row(1, *books.HEADER), after='<mergeCells><mergeCell ref="A1:B1"/></mergeCells>')),
            Misconfigured,
            "merged cells in its header, A1:B1",
        ),
        (
            simple(deals(row(2, "A"), row(3, "B"), after='<mergeCells><mergeCell ref="B2:B3"/></mergeCells>')),
            Misconfigured,
            "has merged cells, B2:B3",
        ),
        (simple(sheet(row(1, *books.HEADER, "Name"))), Misconfigured, "two columns named “Name”"),
        (simple(sheet(row(1, "Name"))), Misconfigured, "no column “GHL ID”"),
        (simple(f'<worksheet xmlns="{books.MAIN}"><sheetData/></worksheet>'), Misconfigured, "no column “GHL ID”"),
        (simple("<worksheet"), Misconfigured, "broken XML|cannot be read"),
        (simple('<!DOCTYPE a [<!ENTITY b "c">]>' + GOOD[GOOD.index("<work") :]), Misconfigured, "document type"),
        (
            simple(GOOD.encode("utf-16").decode("utf-16"), name="A&amp;B").replace(b"PK\5\6", b"PK\5\7"),
            SideDown,
            "end is",
        ),
        (
            simple(deals(row(2, "A"), '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>')),
            Misconfigured,
            "far away from all others, XFD1048576",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, data: bytes, kind: type[Exception], sentence: str) -> None:
    refused(tmp_path, data, kind, sentence)


def test_a_sheet_in_utf_16_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace("UTF-8", "UTF-16")
    refused(
        tmp_path,
        simple("x", more={"xl/worksheets/sheet1.xml": text.encode("utf-16")}),
        Misconfigured,
        "not written in UTF-8",
    )


def test_formats_far_away_do_no_harm(tmp_path: Path) -> None:
    rows = [row(2, "A"), '<row r="1048576"><c r="XFD1048576" s="1"/></row>']
    assert len(opened(tmp_path, simple(deals(*rows)))[1].rows) == 1
    assert (
        len(
            opened(
                tmp_path, simple(deals(row(2, "A"), row(9, "B"), '<row r="100000"><c r="A100000"><v>1</v></c></row>'))
            )[1].rows
        )
        == 99_999
    )


def test_merged_cells_elsewhere_do_no_harm(tmp_path: Path) -> None:
    merged = '<mergeCells><mergeCell ref="A9:B9"/><mergeCell ref="J1:K2"/></mergeCells>'
    assert opened(tmp_path, simple(deals(row(2, "A"), after=merged)))[1].rows


def test_no_file_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="There is no file"):
        Workbook(tmp_path / "none.xlsx", None, "GHL ID").load()
    with pytest.raises(Misconfigured, match="Is its drive connected"):
        Workbook(tmp_path / "no" / "none.xlsx", None, "GHL ID").load()
    with pytest.raises(Misconfigured, match="is a folder"):
        Workbook(tmp_path, None, "GHL ID").load()


def test_unchanged_is_told_by_the_files_print_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = simple(deals(row(2, "A")))
    book, read = opened(tmp_path, data)
    path = tmp_path / "deals.xlsx"
    with monkeypatch.context() as patch:
        patch.setattr("syncd.tables.files.TableFile.read", lambda _: pytest.fail("it was read"))
        assert book.unchanged(read)
        again = book.refresh(read, [0])
    assert again.rows is read.rows
    assert again.at >= read.at
    save(path, simple(deals(row(2, "B"))))
    assert not book.unchanged(read)
    assert book.refresh(read, [0]).rows[0][0] == "B"
    path.unlink()
    assert not book.unchanged(read)


def test_a_file_saved_just_now_may_be_saved_again_within_the_same_tick(tmp_path: Path) -> None:
    path = tmp_path / "deals.xlsx"
    path.write_bytes(simple(deals(row(2, "A"))))
    book = Workbook(path, None, "GHL ID")
    assert not book.unchanged(book.load())
    settle(path)
    read = book.load()
    assert book.unchanged(read)
    after = book.write(read, {(0, 0): "B"})
    assert not book.unchanged(after)
    assert not book.unchanged(read)


def test_a_file_saved_since_is_not_written(tmp_path: Path) -> None:
    book, read = opened(tmp_path, simple(deals(row(2, "A"))))
    other = simple(deals(row(2, "B"), row(3, "A")))
    about = (tmp_path / "deals.xlsx").stat()
    (tmp_path / "deals.xlsx").write_bytes(other)
    os.utime(tmp_path / "deals.xlsx", ns=(about.st_mtime_ns, about.st_mtime_ns))
    writes: list[Callable[[], Sheet]] = [
        lambda: book.write(read, {(0, 0): "C"}),
        lambda: book.delete(read, 0),
    ]
    for write in writes:
        with pytest.raises(GridMoved):
            write()
    assert (tmp_path / "deals.xlsx").read_bytes() == other


def test_the_identity_stays_over_saves_and_tells_files_apart(tmp_path: Path) -> None:
    book, read = opened(tmp_path, simple(deals(row(2, "A"))))
    before = book.identity
    book.write(read, {(0, 0): "B"})
    (tmp_path / "link.xlsx").symlink_to("deals.xlsx")
    assert book.identity == before == Workbook(tmp_path / "link.xlsx", None, "GHL ID").identity
    assert Workbook(tmp_path / "other.xlsx", None, "GHL ID").identity != before


def test_two_readers_of_one_file(tmp_path: Path) -> None:
    """One that has not read the newest state cannot write over it."""
    one, read = opened(tmp_path, simple(deals(row(2, "A"))))
    two = Workbook(tmp_path / "deals.xlsx", None, "GHL ID")
    seen = two.load()
    one.write(read, {(0, 0): "B"})
    with pytest.raises(GridMoved):
        two.write(seen, {(0, 1): "C"})
    assert two.write(two.load(), {(0, 1): "C"}).rows[0][:2] == ("B", "C")


def test_a_table_beside_the_deals_is_another(tmp_path: Path) -> None:
    head = row(1, *books.HEADER).replace("</row>", '<c r="H1" t="inlineStr"><is><t>Other</t></is></c></row>')
    data = simple(
        sheet(head + row(2, "A") + row(3, "B"), after=books.TABLE_PARTS),
        more={
            "xl/worksheets/_rels/sheet1.xml.rels": books.relations(("table", "../tables/table1.xml")),
            "xl/tables/table1.xml": table_part("H1:H2", ("Other",)),
        },
    )
    assert len(opened(tmp_path, data)[1].rows) == 2
