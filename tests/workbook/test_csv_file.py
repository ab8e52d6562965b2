"""A CSV file: read, changed line by line, and what must never happen to it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.model import Raw
from syncd.sides import Misconfigured, SideDown
from syncd.tables.csv_file import CsvFile
from syncd.tables.files import BACKUP, Unwritable
from syncd.tables.grid import Grid, GridBusy, GridMoved, Sheet
from tests.workbook.books import save


def opened(folder: Path, data: bytes) -> tuple[CsvFile, Sheet]:
    grid = CsvFile(save(folder / "deals.csv", data), "GHL ID")
    return grid, grid.load()


def content(folder: Path) -> bytes:
    return (folder / "deals.csv").read_bytes()


def test_it_is_a_grid(tmp_path: Path) -> None:
    grid: Grid = CsvFile(tmp_path / "a.csv", "GHL ID")
    assert (grid.clock_offset, grid.calls) == (0.0, 0)
    grid.close()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Name,Value,GHL ID\nAcme,1,id1\n", b"Name,Value,GHL ID\nAcme,7.5,id1\n"),
        (b"Name,Value,GHL ID\r\nAcme,1,id1", b"Name,Value,GHL ID\r\nAcme,7.5,id1"),
        (b"Name,Value,GHL ID\rAcme,1,id1\r", b"Name,Value,GHL ID\rAcme,7.5,id1\r"),
        (b"Name;Value;GHL ID\nA,B;1;id1\n", b"Name;Value;GHL ID\nA,B;7.5;id1\n"),
        (b"Name\tValue\tGHL ID\nAcme\t1\tid1\n", b"Name\tValue\tGHL ID\nAcme\t7.5\tid1\n"),
        (b"sep=|\r\nName|Value|GHL ID\r\nA|1|id1\r\n", b"sep=|\r\nName|Value|GHL ID\r\nA|7.5|id1\r\n"),
        (b'"Name","Value","GHL ID"\n"Acme","1","id1"\n', b'"Name","Value","GHL ID"\n"Acme","7.5","id1"\n'),
        (b'Name,Value,GHL ID\n"A, ""B""",1,id1\n', b'Name,Value,GHL ID\n"A, ""B""",7.5,id1\n'),
        (b'Name,Value,GHL ID\n"two\nlines",1,id1\n', b'Name,Value,GHL ID\n"two\nlines",7.5,id1\n'),
        ("\ufeffName,Value,GHL ID\nZoë,1,id1\n".encode(), "\ufeffName,Value,GHL ID\nZoë,7.5,id1\n".encode()),
        ("Name,Value,GHL ID\nZoë,1,id1\n".encode("cp1252"), "Name,Value,GHL ID\nZoë,7.5,id1\n".encode("cp1252")),
        (
            "\ufeffName,Value,GHL ID\nZoë,1,x\n".encode("utf-16-le"),
            "\ufeffName,Value,GHL ID\nZoë,7.5,x\n".encode("utf-16-le"),
        ),
        (
            "\ufeffName,Value,GHL ID\nZoë,1,x\n".encode("utf-16-be"),
            "\ufeffName,Value,GHL ID\nZoë,7.5,x\n".encode("utf-16-be"),
        ),
        (b"Name,Value,GHL ID\nAcme\n", b"Name,Value,GHL ID\nAcme,7.5,\n"),
        (b"Name,Value,GHL ID,,\nAcme,1,id1,,\n", b"Name,Value,GHL ID,,\nAcme,7.5,id1,,\n"),
    ],
)
def test_the_style_of_the_file_is_kept(tmp_path: Path, before: bytes, after: bytes) -> None:
    grid, read = opened(tmp_path, before)
    assert read.header == ("Name", "Value", "GHL ID")
    written = grid.write(read, {(0, 1): 7.5})
    assert content(tmp_path) == after
    assert written.rows[0][1] == "7.5"
    assert written == CsvFile(tmp_path / "deals.csv", "GHL ID").load().__class__(
        written.header, written.rows, written.at, written.version
    )
    assert (tmp_path / f"deals.csv{BACKUP}").read_bytes() == before


def test_other_lines_stay_byte_for_byte(tmp_path: Path) -> None:
    odd = b'"quoted for no reason", 1 ,id9\r\n'
    grid, read = opened(tmp_path, b"Name,Value,GHL ID\nAcme,1,id1\n" + odd + b"\nBolt,,\n\n")
    assert read.rows == (
        ("Acme", "1", "id1"),
        ("quoted for no reason", " 1 ", "id9"),
        (None, None, None),
        ("Bolt", None, None),
    )
    after = grid.write(read, {(3, 2): "id4"}, [{0: "New"}])
    assert content(tmp_path) == b"Name,Value,GHL ID\nAcme,1,id1\n" + odd + b"\nBolt,,id4\nNew,,\n\n"
    assert [one[0] for one in after.rows] == ["Acme", "quoted for no reason", None, "Bolt", "New"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Name,GHL ID\n", b"Name,GHL ID\nB,\nC,x\n"),
        (b"Name,GHL ID", b"Name,GHL ID\nB,\nC,x"),
        (b"Name,GHL ID\r\nA,1", b"Name,GHL ID\r\nA,1\r\nB,\r\nC,x"),
    ],
)
def test_new_rows(tmp_path: Path, before: bytes, after: bytes) -> None:
    grid, read = opened(tmp_path, before)
    grid.write(read, {}, [{0: "B"}, {0: "C", 1: "x"}])
    assert content(tmp_path) == after


@pytest.mark.parametrize(
    ("before", "row", "after"),
    [
        (b"Name,GHL ID\nA,1\nB,2\n", 0, b"Name,GHL ID\nB,2\n"),
        (b"Name,GHL ID\nA,1\nB,2", 1, b"Name,GHL ID\nA,1"),
        (b"Name,GHL ID\nA,1", 0, b"Name,GHL ID"),
        (b'Name,GHL ID\n"A\nB",1\nC,2\n', 0, b"Name,GHL ID\nC,2\n"),
    ],
)
def test_a_row_is_deleted(tmp_path: Path, before: bytes, row: int, after: bytes) -> None:
    grid, read = opened(tmp_path, before)
    assert len(grid.delete(read, row).rows) == len(read.rows) - 1
    assert content(tmp_path) == after


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (1500, b"1500"),
        (1500.0, b"1500"),
        (0.1, b"0.1"),
        (1e21, b"1" + b"0" * 21),
        (1e-7, b"0.0000001"),
        (True, b"TRUE"),
        (None, b""),
        ("", b""),
        ("007", b"007"),
        ("a,b", b'"a,b"'),
        ('say "x"', b'"say ""x"""'),
        ("two\r\nlines", b'"two\r\nlines"'),
        (" edges ", b'" edges "'),
        ("🎉", "🎉".encode()),
        ("half \ud83d\0", "half \ufffd\ufffd".encode()),
        ("+1 (555) 123-4567", b"+1 (555) 123-4567"),
        ("-5", b"-5"),
        ("'tis", b"'tis"),
        ('=HYPERLINK("http://x","y")', b'"\'=HYPERLINK(""http://x"",""y"")"'),
        ("=1+1", b"'=1+1"),
        ("@SUM(A1)", b"'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", b"'+cmd|' /C calc'!A0"),
        ("-2+3+cmd|x", b"'-2+3+cmd|x"),
        ("\t=1", b"'\t=1"),
        ("'=1", b"''=1"),
        ("＝1", "'＝1".encode()),
    ],
)
def test_values(tmp_path: Path, value: Raw, cell: bytes) -> None:
    grid, read = opened(tmp_path, b"Name,GHL ID\nAcme,x\n")
    after = grid.write(read, {(0, 0): value})
    assert content(tmp_path) == b"Name,GHL ID\n" + cell + b",x\n"
    if isinstance(value, str):
        assert after.rows[0][0] == (value.replace("\ud83d", "\ufffd").replace("\0", "\ufffd") or None)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), ["a"]])
def test_what_no_cell_can_hold(tmp_path: Path, value: Raw) -> None:
    grid, read = opened(tmp_path, b"Name,GHL ID\nAcme,x\n")
    with pytest.raises(Unwritable) as caught:
        grid.write(read, {(0, 0): value})
    assert caught.value.cell == (0, 0)


def test_decimal_commas(tmp_path: Path) -> None:
    before = "Name;Value;Note;GHL ID\nA;1.234,50;1,5;x\nB;7;see;y\nC;tbd;that;z\n"
    grid, read = opened(tmp_path, before.encode())
    assert [one[1] for one in read.rows] == ["1234.50", "7", "tbd"]
    assert [one[2] for one in read.rows] == ["1,5", "see", "that"]  # hardly a number
    after = grid.write(read, {(1, 1): 12.5, (2, 1): "3.25"}, [{1: 1000}])
    assert content(tmp_path).decode().splitlines()[2:] == ["B;12,5;see;y", "C;3,25;that;z", ";1000,00;;"]
    assert [one[1] for one in after.rows] == ["1234.50", "12.5", "3.25", "1000.00"]
    with pytest.raises(Unwritable, match="as a number") as caught:
        grid.write(after, {(0, 1): "1,5"})
    assert caught.value.cell == (0, 1)


@pytest.mark.parametrize("other", ["0.5", "1,234.50", "12.3456", "x\nC;y;z\nD;w"])
def test_no_decimal_commas_where_it_is_not_plain(tmp_path: Path, other: str) -> None:
    assert opened(tmp_path, f"Name;Value;GHL ID\nA;1,500;x\nB;{other};y\n".encode())[1].rows[0][1] == "1,500"


def test_an_encoding_that_lacks_a_letter(tmp_path: Path) -> None:
    before = "Name,GHL ID\nZoë,x\n".encode("cp1252")
    grid, read = opened(tmp_path, before)
    with pytest.raises(Unwritable, match="which has no “🎉”; save it as “CSV UTF-8”"):
        grid.write(read, {(0, 0): "🎉"})
    with pytest.raises(Unwritable) as caught:
        grid.write(read, {(0, 0): "Zoe"}, [{0: "fine"}, {0: "fine", 1: "日"}])
    assert caught.value.cell == (2, 1)
    assert content(tmp_path) == before


def test_a_write_leaves_no_doubt_about_decimal_commas(tmp_path: Path) -> None:
    grid, read = opened(tmp_path, b"Name;Value;GHL ID\nA;1,50;x\nB;1.500;y\n")
    read = grid.write(read, {(0, 1): 7})
    assert [one[1] for one in read.rows] == ["7.00", "1500"]
    before = content(tmp_path)
    for write in (grid.write, None):
        with pytest.raises(Unwritable, match="column “Value” has decimal commas"):
            grid.delete(read, 0) if write is None else write(read, {(0, 1): None})
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("data", "kind", "sentence"),
    [
        (b"", SideDown, "is empty"),
        (b"Name,Value\nA,1\n", Misconfigured, "no column “GHL ID” in its first line"),
        (b"Name,Name,GHL ID\n", Misconfigured, "two columns named “Name”"),
        (b"Name,GHL ID\nAcme, Inc,x\n", Misconfigured, "row 2 has more cells"),
        (b'Name,GHL ID\n"Acme,x\nB,y\n', SideDown, "line 2: a quotation mark"),
        (b"Name,GHL ID\nZo\xc3", SideDown, "middle of a letter"),
        ("\ufeffName,GHL ID\nA".encode("utf-16-le")[:-1], SideDown, "middle of a letter"),
        ("Name,GHL ID\nÄÖÜ,x\n".encode() + "ß".encode("cp1252") + b",y\n", Misconfigured, "mixes encodings"),
        (b"PK\3\4" + bytes(50), Misconfigured, "no CSV file"),
        ("Name,GHL ID\n".encode("utf-16-le"), Misconfigured, "encoding that syncd does not know"),
    ],
)
def test_what_is_refused(tmp_path: Path, data: bytes, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence) as caught:
        opened(tmp_path, data)
    assert str(caught.value).startswith(str(tmp_path / "deals.csv"))


def test_an_open_or_changed_file_is_not_written(tmp_path: Path) -> None:
    grid, read = opened(tmp_path, b"Name,GHL ID\nAcme,x\n")
    (tmp_path / ".~lock.deals.csv#").write_text(",sam,laptop,,;")
    with pytest.raises(GridBusy, match="sam on laptop"):
        grid.write(read, {(0, 0): "B"})
    (tmp_path / ".~lock.deals.csv#").unlink()
    save(tmp_path / "deals.csv", b"Name,GHL ID\nBcme,x\n")
    writes: list[Callable[[], Sheet]] = [
        lambda: grid.write(read, {(0, 0): "B"}),
        lambda: grid.delete(read, 0),
    ]
    for write in writes:
        with pytest.raises(GridMoved):
            write()
    assert not grid.unchanged(read)
    assert grid.unchanged(grid.refresh(read, []))


CELLS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="=+-@'\t\r\n,;\"0a ", max_size=8),
    st.sampled_from(["=cmd", "'=cmd", "''=x", "+1 555", "-", "", "'", '"', "a\nb"]),
)


def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Texts are written and read back; no line but the changed one moves; no cell runs in a spreadsheet program."""
    met: Counter[str] = Counter()

    @settings(max_examples=400, deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        any_text(tmp_path_factory.mktemp("csv"), data, met)

    check()
    assert all(met[kind] for kind in ("guarded", "lines", "blank")), met


def any_text(folder: Path, data: st.DataObject, met: Counter[str]) -> None:
    delimiter = data.draw(st.sampled_from([",", ";", "\t", "|"]))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    rows = [["Name", "Note", "GHL ID"]] + [[f"n{number}", "", f"x{number}"] for number in range(3)]
    text = end.join(delimiter.join(row) for row in rows) + data.draw(st.sampled_from([end, ""]))
    grid, read = opened(folder, text.encode())
    row, value = data.draw(st.integers(0, 2)), data.draw(CELLS)
    after = grid.write(read, {(row, 1): value}, [{0: value}])
    expected = value.replace("\0", "\ufffd")
    assert after.rows[row][1] == (expected or None)
    if expected:
        assert after.rows[3][0] == expected
    old, new = text.encode().split(end.encode()), content(folder).split(end.encode())
    assert old[: row + 1] == new[: row + 1]
    for cells in csv.reader(io.StringIO(content(folder).decode(), newline=""), delimiter=delimiter):
        for cell in cells:
            runs = cell[:1] in tuple("=@\t\r") or (cell[:1] in tuple("+-") and any(map(str.isalpha, cell)))
            assert not runs
            met["guarded"] += cell.startswith("'") and cell != value
    met["lines"] += "\n" in value or "\r" in value
    met["blank"] += not value


COMMAS = b"Name;Value;GHL ID\nA;1.500;x\nB;12.000;y\nC;99,50;z\n"


def values(grid: CsvFile) -> list[Raw]:
    return [row[1] for row in grid.load().rows]


@pytest.mark.parametrize(
    ("edited", "read"),
    [(COMMAS.replace(b"99,50", b"99.50"), ["1500", "12000", "99.50"]), (COMMAS[:-10], ["1500", "12000"])],
    ids=["a point in one cell", "the last comma gone"],
)
@pytest.mark.parametrize("again", [False, True], ids=["the same run", "another run"])
def test_one_cell_does_not_change_what_the_others_mean(
    tmp_path: Path, edited: bytes, read: list[Raw], again: bool
) -> None:
    grid, _ = opened(tmp_path, COMMAS)
    assert values(grid) == ["1500", "12000", "99.50"]
    known = dict(grid.styles)
    save(tmp_path / "deals.csv", edited)
    if again:
        grid = CsvFile(tmp_path / "deals.csv", "GHL ID")
        grid.styles |= known
    assert values(grid) == read


def test_a_comma_in_a_column_with_points_is_left_to_people(tmp_path: Path) -> None:
    grid, _ = opened(tmp_path, b"Name;Value;GHL ID\nA;1.500;x\nB;2;y\n")
    assert values(grid) == ["1.500", "2"]
    save(tmp_path / "deals.csv", b"Name;Value;GHL ID\nA;1.500;x\nB;2,5;y\n")
    assert values(grid) == ["1.500", "2,5"]
