"""The daemon as a process on every kind of table: its passes after the first look only at what has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.hooks import passes, running, wait_for
from tests.end_to_end.sheets.room import Room
from tests.end_to_end.sheets.tables import KEY, KINDS

PATIENCE_SECONDS = 60.0
PAIR = 'quiet = "100ms"\nread_lag = "100ms"'


@pytest.mark.parametrize("kind", KINDS)
def test_the_daemon_carries_edits_both_ways_and_makes_deals_of_rows(tmp_path: Path, kind: str) -> None:
    """Edits, a sort, a new row, a deleted row and a cleared key, one after the other, while it runs."""
    with Room(tmp_path, kind, pair=PAIR) as room:
        typed, moved, both, gone, cleared, *_ = room.fill()
        interval = "1500ms" if kind == "google" else "500ms"  # Google: 60 reads a minute
        with running(room, SYNCD_INTERVAL=interval) as process:
            wait_for(lambda: passes(room) >= 2, "two passes", seconds=PATIENCE_SECONDS)
            room.type(typed, Value=501)
            room.highlevel.person_edit(moved, status="won")
            room.type(both, Name="One name")
            room.highlevel.person_edit(both, monetaryValue=777)
            room.table.sort("Name")
            wait_for(lambda: room.differences() == [], "the edits arrive", seconds=PATIENCE_SECONDS)
            room.table.add_row(Name="New roof", Email="jo.new@mail.example", Pipeline="Sales")
            room.table.delete_row(gone)
            room.type(cleared, **{KEY: None})
            wait_for(lambda: len(room.deals()) == 9, "the deal is made", seconds=PATIENCE_SECONDS)
            wait_for(lambda: room.differences() == [], "the rows come back", seconds=PATIENCE_SECONDS)
            process.terminate()
            _, err = process.communicate(timeout=PATIENCE_SECONDS)
            assert (process.returncode, "Traceback" in err) == (0, False), err
        made = room.row("New roof")[KEY]
        assert sorted(room.fired()) == sorted([(typed, "monetaryValue"), (both, "name"), (made, "")])
        room.reconcile()
        room.agrees()
