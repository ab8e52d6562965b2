"""Another Google sheet gets the name of the synced one while the daemon runs: nothing is written to either of them, and
no deal is touched, whatever was edited before (SPEC §4)."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from syncd.pairs import Connection
from syncd.reconcile import PassResult
from syncd.settings import load_settings
from syncd.tables import google_client
from tests.end_to_end.sheets.room import Room
from tests.sandbox.google import BOOK

POLICY = '[pair.policy]\nrow_deleted = "delete_deal"'


def one_pass(connection: Connection) -> PassResult:
    """A pass as the daemon runs it."""
    return connection.run_pass(lambda _what, _done, _total: None, patient=True)


@pytest.mark.parametrize("rows", ["none", "all but one", "all in another order"])
def test_the_daemon_asks(tmp_path: Path, rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google_client, "QUOTA", 100_000)
    with Room(tmp_path, "google", config=POLICY) as room:
        deals = room.fill()
        settings = load_settings(room.folder / "config" / "syncd.toml", room.environment)
        with Connection(settings, settings.pair[0], threading.Event()) as connection:
            for _ in range(2):
                assert (one_pass(connection).code, room.table.writes()) == (0, 0)
            google, kept = room.sandbox.google, room.table.rows()
            google.person_rename(BOOK, "Deals", "Old")
            google.deals_tab(BOOK)
            for cells in {"none": [], "all but one": kept[1:], "all in another order": kept[::-1]}[rows]:
                room.table.add_row(**cells)
            other = room.table.rows()
            room.highlevel.person_edit(deals[0], monetaryValue=777)
            room.forget_log()
            results = [one_pass(connection) for _ in range(3)]
            assert (room.table.writes(), room.fired(), len(room.deals())) == (0, [], len(deals))
            assert google.rows(BOOK, "Old") == kept
            assert room.table.rows() == other
            assert "is not the one of before" in results[0].error
            assert [[one.kind.value for one in result.held] for result in results[1:]] == [["swapped"]] * 2
            assert [result.code for result in results] == [1, 3, 3]
