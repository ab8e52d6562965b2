"""A workbook that somebody has open: in Excel, as its lock file says, and in a real LibreOffice beside the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.hooks import running, wait_for
from tests.end_to_end.sheets.room import Room
from tests.end_to_end.sheets.tables import FileTable
from tests.workbook.test_libreoffice import OFFICE, Person, person, python_with_uno

__all__ = ["person"]  # a fixture

PATIENCE_SECONDS = 60.0


def excel_lock(path: Path, who: str) -> Path:
    """The file that Excel keeps beside an open workbook: the name in both of its encodings."""
    lock = path.with_name(f"~${path.name}")
    note = bytes([len(who)]) + who.encode("cp1252").ljust(54) + bytes([len(who), 0]) + who.encode("utf-16-le")
    lock.write_bytes(note.ljust(165, b" "))
    return lock


@pytest.mark.parametrize("kind", ["workbook", "csv"])
def test_a_file_that_is_open_in_excel_is_read_and_written_when_it_is_closed(tmp_path: Path, kind: str) -> None:
    """What was saved travels to HighLevel meanwhile; status says who has it; nothing is lost."""
    with Room(tmp_path, kind) as room:
        assert isinstance(room.table, FileTable)
        typed, moved, both, gone, *_ = room.fill()
        room.type(typed, Value=7)
        room.type(both, Name="Typed in Excel")
        room.table.delete_row(gone)
        lock = excel_lock(room.table.path, "Ann Lee")
        room.highlevel.person_edit(moved, status="won")
        room.highlevel.person_edit(both, monetaryValue=8)
        new = room.highlevel.person_create(contact={"firstName": "Ada", "email": "ada@mail.example"}, name="New one")
        room.expect(fired=[(typed, "monetaryValue"), (both, "name")])
        status = room.run("status")
        assert (status.code, "is open in Excel (Ann Lee)" in status.out) == (0, True)
        assert room.run("status", "--json").json["waiting"] == 4
        assert f"note  file: {room.table.path.name} is open in Excel (Ann Lee)" in room.run("doctor").out
        room.later()
        room.highlevel.person_edit(moved, status="lost")
        room.rests()
        lock.unlink()
        room.expect(cells=[(moved, "Status"), (both, "Value")], made=[gone, new])
        assert room.row(moved)["Status"] == "lost"
        assert "Excel" not in room.run("status").out
        room.agrees()


def test_a_deleted_row_comes_back_soon_after_the_file_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With passes such as the daemon makes: it does not take until everything is looked at, six hours later."""
    monkeypatch.setenv("SYNCD_TESTS", "incremental")
    with Room(tmp_path, "csv") as room:
        assert isinstance(room.table, FileTable)
        assert room.remembering is not None
        gone = room.fill()[0]
        room.reconcile()
        room.table.delete_row(gone)
        lock = excel_lock(room.table.path, "Ann Lee")
        for _ in range(4):
            room.reconcile()
        assert len(room.table.rows()) == 7
        lock.unlink()
        memory = room.remembering.memories["default"]
        assert memory.full_at is not None
        memory.full_at -= 3600  # an hour goes by
        room.reconcile()
        room.agrees()


def place(person: Person, deal: str) -> int:
    """The line of a deal's row in LibreOffice."""
    keys = [row[0] for row in person("read", "L1:L40")]
    return keys.index(deal) + 1


@pytest.mark.slow
@pytest.mark.skipif(
    OFFICE is None or python_with_uno() is None, reason="needs LibreOffice: libreoffice-calc and python3-uno"
)
def test_nothing_is_lost_between_libreoffice_and_the_daemon(tmp_path: Path, person: Person) -> None:
    """Twice a person opens the workbook, edits three cells, sorts, saves and closes it, while deals are edited in
    HighLevel before, during and after; the daemon runs all the time."""
    with Room(tmp_path, "workbook", pair='quiet = "500ms"') as room:
        assert isinstance(room.table, FileTable)
        path, deals = room.table.path, room.fill()
        wanted: dict[tuple[str, str], Any] = {}
        fired: set[tuple[str, str]] = set()
        with running(room, SYNCD_INTERVAL="1s") as daemon:
            for turn in range(2):
                first, second, third, other, *_ = deals[turn * 4 :]
                person("open", path)
                room.highlevel.person_edit(other, name=f"Renamed in HighLevel {turn}")
                person("type", f"A{place(person, first)}", f"Renamed in LibreOffice {turn}")
                room.highlevel.person_edit(first, monetaryValue=700 + turn)  # another field of the same deal
                person("type", f"E{place(person, second)}", 1_000.5 + turn)
                person("type", f"D{place(person, third)}", "won")
                wanted |= {
                    (first, "Name"): f"Renamed in LibreOffice {turn}", (first, "Value"): 700 + turn,
                    (second, "Value"): 1_000.5 + turn, (third, "Status"): "won",
                    (other, "Name"): f"Renamed in HighLevel {turn}",
                }  # fmt: skip
                fired.update({(first, "name"), (second, "monetaryValue"), (third, "status")})
                wait_for(lambda: "LibreOffice" in room.run("status").out, "status says it", seconds=PATIENCE_SECONDS)
                person("sort", "A2:M9", 4, bool(turn))
                person("save")
                wait_for(lambda: fired <= set(room.fired()), "what was saved travels", seconds=PATIENCE_SECONDS)
                room.highlevel.person_edit(second, status="lost")
                wanted[second, "Status"] = "lost"
                person("close")
                wait_for(lambda: room.differences() == [], "the rest travels", seconds=PATIENCE_SECONDS)
            daemon.terminate()
            _, err = daemon.communicate(timeout=PATIENCE_SECONDS)
            assert daemon.returncode == 0, err
        assert {(deal, column): room.row(deal)[column] for deal, column in wanted} == wanted
        assert sorted(room.fired()) == sorted(fired), "each workflow once, and none for what came from HighLevel"
        assert [one["deal"] for one in room.history() if one["kind"] == "conflict"] == []
        room.agrees()
