"""Sheets of any shape, edited at random: what was written is read back by two libraries, and nothing else changes."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.model import Raw
from syncd.tables.grid import Sheet
from tests.workbook import books
from tests.workbook.test_edits import SHEET, opened

CELL = f"{{{books.MAIN}}}c"
TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), min_size=1, max_size=9
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**14), 10**14),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    TEXTS,
    st.sampled_from(["007", "1e5", "=1+1", " a ", "x\ny", "#N/A", "1,5", "TRUE", "🎉"]),
)


@st.composite
def a_cell(draw: st.DrawFn, name: str, met: Counter[str]) -> str:
    """The XML of one cell, as one of many programs writes it."""
    place = draw(st.sampled_from([f' r="{name}"', f" r='{name}'", f' s="2" r="{name}"', f' r="{name}" s="3" ']))
    kind = draw(st.sampled_from(["gap", "self", "number", "inline", "formula", "bool", "error", "shared", "comment"]))
    met[kind] += 1
    return {
        "gap": "",
        "self": f"<c{place}/>",
        "number": f"<c{place}><v>{draw(st.integers(0, 999))}.5</v></c>",
        "inline": f'<c{place} t="inlineStr">\n<is><t>text {draw(st.integers(0, 9))}</t></is></c>',
        "formula": f"<c{place}><f>1+{draw(st.integers(0, 9))}</f><v>3</v></c>",
        "bool": f'<c{place} t="b"><v>1</v></c>',
        "error": f'<c{place} t="e"><v>#REF!</v></c>',
        "shared": f"<c{place} t='s'><v>0</v></c>",
        "comment": f'<!-- <c r="A1"><v>1</v></c> --><c{place}><v >8</v ></c >',
    }[kind]


@st.composite
def a_sheet(draw: st.DrawFn, met: Counter[str]) -> str:
    """Rows with gaps between and within, below the usual header."""
    rows, number = "", 1
    for _ in range(draw(st.integers(0, 5))):
        number += draw(st.sampled_from([1, 1, 1, 2, 5]))
        cells = "".join(draw(a_cell(f"{letter}{number}", met)) for letter in "ABCDEF")
        about = draw(st.sampled_from(["", ' spans="1:2"', ' ht="20" customHeight="1"', ' s="2" customFormat="1"']))
        form = draw(st.sampled_from(["normal", "normal", "self", "spaced"]))
        met[f"row {form}"] += 1
        if form == "self":
            rows += f'<row r="{number}"{about}/>'
        else:
            gap = "\n  " if form == "spaced" else ""
            rows += f'<row r="{number}"{about}>{gap}{cells}{gap}</row>{gap}'
    return books.deals(rows, before=draw(st.sampled_from(["", '<dimension ref="A1"/>', '<dimension ref="A1:F9"/>'])))


def a_book(xml: str) -> bytes:
    strings = f'<sst xmlns="{books.MAIN}"><si><t>a shared one</t></si></sst>'
    return books.simple(
        xml,
        more={
            "xl/sharedStrings.xml": strings,
            "xl/media/image1.png": bytes(range(256)),
            "xl/_rels/workbook.xml.rels": books.relations(
                ("worksheet", "worksheets/sheet1.xml"), ("styles", "styles.xml"), ("sharedStrings", "sharedStrings.xml")
            ),
        },
    )


def cells_of(xml: str) -> dict[str, bytes]:
    """Each cell of a sheet by its name, as XML: an independent view of what changed."""
    return {cell.attrib["r"]: ElementTree.tostring(cell).strip() for cell in ElementTree.fromstring(xml).iter(CELL)}


def same(written: Raw, read: object) -> bool:
    if isinstance(written, bool) or isinstance(read, bool):
        return written is read
    return written == read or (written in (None, "") and read in (None, ""))


def edits_for(data: st.DataObject, read: Sheet) -> dict[tuple[int, int], Raw]:
    places = [(row, column) for row in range(len(read.rows)) for column in range(6)]
    open_places = [place for place in places if place not in read.formulas]
    if not open_places:
        return {}
    chosen = data.draw(st.lists(st.sampled_from(open_places), max_size=6, unique=True))
    return {place: data.draw(VALUES) for place in chosen}


def check_one(folder: Path, data: st.DataObject, met: Counter[str]) -> None:
    xml = data.draw(a_sheet(met))
    book, read = opened(folder, a_book(xml))
    changes = edits_for(data, read)
    new = data.draw(st.lists(st.dictionaries(st.integers(0, 5), VALUES, max_size=4), max_size=3))
    after = book.write(read, changes, new)
    met["edits"] += bool(changes)
    met["rows added"] += bool(new)

    expected = [list(cells) for cells in read.rows] + [[None] * 6 for _ in new]
    for (row, column), value in changes.items():
        expected[row][column] = value
    for place, added in enumerate(new):
        for column, value in added.items():
            if (len(read.rows) + place, column) not in after.formulas:
                expected[len(read.rows) + place][column] = value
    grown = [*after.rows, *[(None,) * 6] * (len(expected) - len(after.rows))]
    for row, wanted in enumerate(expected):
        assert all(map(same, wanted, grown[row])), (row, wanted, grown[row])

    path = folder / "deals.xlsx"
    shown = openpyxl.load_workbook(path).worksheets[0]
    written = {
        **changes,
        **{
            (len(read.rows) + place, column): value
            for place, cells in enumerate(new)
            for column, value in cells.items()
        },
    }
    for (row, column), value in written.items():
        cell = shown.cell(row + 2, column + 1)
        assert (row, column) in after.formulas or same(value, cell.value), (cell.coordinate, value, cell.value)
        assert cell.data_type != "f" or (row, column) in after.formulas or str(value).startswith("=")

    old, fresh = books.unzipped(a_book(xml)), books.unzipped(path.read_bytes())
    assert {name for name in old if old[name] != fresh[name]} <= {SHEET, "xl/workbook.xml"}
    names = {f"{chr(65 + column)}{row + 2}" for row, column in written}
    before, now = cells_of(xml), cells_of(fresh[SHEET].decode())
    for name in before.keys() | now.keys():
        if name not in names:
            touched = int(re.sub(r"\D", "", name)) >= len(read.rows) + 2 and bool(new)
            assert before.get(name) == now.get(name) or (touched and b"<v>" not in now[name]), name


@pytest.mark.filterwarnings("ignore:.*:UserWarning:openpyxl")
def test_any_sheet(tmp_path_factory: pytest.TempPathFactory) -> None:
    met: Counter[str] = Counter()

    @settings(max_examples=250, deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        check_one(tmp_path_factory.mktemp("sheet"), data, met)

    check()
    kinds = ["gap", "self", "number", "inline", "formula", "bool", "error", "shared", "comment"]
    forms = ["row normal", "row self", "row spaced", "edits", "rows added"]
    assert all(met[kind] for kind in kinds + forms), met
