"""A real spreadsheet program beside syncd: people open, edit, sort, widen and save what syncd wrote, and the other way.

Needs LibreOffice Calc and its Python module (Debian: libreoffice-calc, python3-uno); skipped where they are missing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from syncd.model import Raw
from syncd.tables.csv_file import CsvFile
from syncd.tables.grid import GridBusy, GridMoved
from syncd.tables.new_workbook import make_workbook
from syncd.tables.workbook import Workbook
from tests.workbook import books
from tests.workbook.test_new_workbook import CHOICES, COLUMNS

OFFICE = shutil.which("soffice") or shutil.which("libreoffice")


@cache
def python_with_uno() -> str | None:
    """A Python that can speak to LibreOffice: the system's, else LibreOffice's own."""
    beside = Path(os.path.realpath(OFFICE)).parent / "python" if OFFICE else None
    for candidate in ("/usr/bin/python3", str(beside)):
        try:
            found = subprocess.run([candidate, "-c", "import uno"], capture_output=True, check=False, timeout=30)
        except OSError:
            continue
        if found.returncode == 0:
            return candidate
    return None


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        OFFICE is None or python_with_uno() is None, reason="needs LibreOffice: libreoffice-calc and python3-uno"
    ),
]


class Person:
    """Somebody at LibreOffice; see `office.py`."""

    def __init__(self, talk: subprocess.Popen[str]) -> None:
        self._talk = talk

    def __call__(self, verb: str, *args: object) -> Any:
        assert self._talk.stdin is not None
        assert self._talk.stdout is not None
        self._talk.stdin.write(json.dumps([verb, *map(str_of, args)]) + "\n")
        self._talk.stdin.flush()
        line = self._talk.stdout.readline()
        assert line, "LibreOffice refused"
        return json.loads(line)


def str_of(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    assert OFFICE is not None
    python = python_with_uno()
    assert python is not None
    pipe = f"syncd{os.getpid()}"
    profile = tmp_path_factory.mktemp("office")
    command = [OFFICE, "--headless", "--norestore", "--nologo", f"-env:UserInstallation={profile.as_uri()}"]
    null = subprocess.DEVNULL
    with subprocess.Popen(
        [*command, f"--accept=pipe,name={pipe};urp;"], stdout=null, stderr=null, start_new_session=True
    ) as office:
        script = str(Path(__file__).with_name("office.py"))
        with subprocess.Popen(
            [python, script, pipe], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as talk:
            try:
                yield Person(talk)
            finally:
                talk.kill()
                os.killpg(office.pid, signal.SIGKILL)


def test_what_syncd_wrote_opens_and_is_computed(tmp_path: Path, person: Person) -> None:
    path = books.save(tmp_path / "deals.xlsm", books.full())
    book = Workbook(path, None, "GHL ID")
    read = book.write(
        book.load(), {(0, 0): "<Zed> & “Co”\n🎉", (0, 3): 50, (1, 2): None}, [{0: "=1+1", 3: 7, 4: "007"}]
    )
    person("open", path)
    assert person("read", "A1:G5") == [
        list(read.header[:7]),
        ["<Zed> & “Co”\n🎉", "Qualified", "open", 50, "id1", "", 0.5],
        ["Müller 🎉", "Qualified", "", 250.5, "id2", "", 2.505],
        ["Rich text", "Qualified", "open", 1000, "id3", "", 10],
        ["=1+1", "", "", 7, "007", "", 0.07],
    ]
    assert person("kind", "A5") == "TEXT"
    assert person("charts")[1] == 1
    person("close")


def test_people_edit_sort_widen_and_save(tmp_path: Path, person: Person) -> None:
    path = tmp_path / "deals.xlsx"
    make_workbook(path, COLUMNS, CHOICES)
    book = Workbook(path, None, "GHL ID")
    identity = book.identity
    deals: list[dict[int, Raw]] = [
        {0: f"Deal {number}", 2: "New", 4: number * 10.5, 11: f"id{number}"} for number in range(1, 6)
    ]
    read = book.write(book.load(), {}, deals)
    books.settle(path)
    read = book.load()

    person("open", path)
    with pytest.raises(GridBusy, match="open in LibreOffice") as caught:
        book.write(read, {(0, 0): "mine"})
    assert "left the file .~lock.deals.xlsx# behind" in str(caught.value)
    assert book.refresh(read, [0]).rows == read.rows
    person("type", "A3", "Renamed by Ann")
    person("type", "E4", 99)
    person("type", "A7", "A new row")
    person("sort", "A2:M7", 4, False)
    person("add_column", 3, "Notes")
    person("type", "D2", "a note")
    person("save")
    person("close")

    assert not book.unchanged(read)
    with pytest.raises(GridMoved):
        book.write(read, {(0, 0): "mine"})
    after = book.load()
    assert book.identity == identity
    assert after.header[3] == "Notes"
    key = after.header.index("GHL ID")
    assert [(one[0], one[5], one[key]) for one in after.rows] == [
        ("Deal 3", 99, "id3"),
        ("Deal 5", 52.5, "id5"),
        ("Deal 4", 42, "id4"),
        ("Renamed by Ann", 21, "id2"),
        ("Deal 1", 10.5, "id1"),
        ("A new row", None, None),
    ]
    assert after.rows[0][3] == "a note"
    assert after.choices[2] == tuple(CHOICES["Stage"])

    # syncd's turn again, in the file as LibreOffice writes it.
    written = book.write(after, {(5, key): "id6", (0, 5): 1.25}, [{0: "From HighLevel", 5: 3, key: "id7"}])
    assert written.rows[:1] == ((*after.rows[0][:5], 1.25, *after.rows[0][6:]),)
    person("open", path)
    shown = person("read", "A2:M8")
    assert [(one[0], one[5], one[12]) for one in shown][-2:] == [("A new row", "", "id6"), ("From HighLevel", 3, "id7")]
    assert shown[0][5] == 1.25
    person("delete_row", 1)
    person("save")
    person("close")
    assert [one[0] for one in book.load().rows][:2] == ["Deal 5", "Deal 4"]


def test_a_full_workbook_saved_by_libreoffice_can_still_be_synced(tmp_path: Path, person: Person) -> None:
    path = books.save(tmp_path / "deals.xlsx", books.full())
    person("open", path)
    person("type", "A2", "Typed")
    person("save")
    person("close")
    book = Workbook(path, None, "GHL ID")
    read = book.load()
    assert read.rows[0][0] == "Typed"
    assert read.formulas == {(0, 6), (1, 6), (2, 6)}
    after = book.write(read, {(1, 3): 5}, [{0: "More", 4: "id9"}])
    assert [one[0] for one in after.rows] == ["Typed", "Müller 🎉", "Rich text", "More"]
    person("open", path)
    assert [one[0] for one in person("read", "A2:A5")] == ["Typed", "Müller 🎉", "Rich text", "More"]
    # Of its own files LibreOffice does not compute formulas anew when it opens them, whatever the file asks for.
    person("compute")
    assert person("read", "G3:G3") == [[0.05]]
    person("close")


def test_a_csv_file(tmp_path: Path, person: Person) -> None:
    """A guarded text is none of LibreOffice's formulas."""
    path = books.save(tmp_path / "Deals.csv", b"Name,GHL ID\nAcme,x\n")
    grid = CsvFile(path, "GHL ID")
    grid.write(grid.load(), {(0, 0): "=1+1"})
    person("open", path)
    assert person("read", "A2:B2") == [["'=1+1", "x"]]
    person("close")
