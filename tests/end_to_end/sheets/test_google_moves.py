"""A Google sheet that people change in the very instant in which syncd writes: nobody can lock it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncd.sandbox.wire import Answer, Request
from tests.end_to_end.hooks import LOST, intercept
from tests.end_to_end.sheets.room import Room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """Eight deals and their rows."""
    with Room(tmp_path, "google") as made:
        yield made


def test_rows_sorted_right_before_the_write_are_mended(room: Room) -> None:
    """The write goes astray, its answer says so, and the rows that were hit get back what they held: no edit of a sheet
    that nobody made reaches HighLevel, and HighLevel's reach their rows."""
    first, second, typed, *_ = room.fill()
    room.highlevel.person_edit(first, name="Renamed")
    room.highlevel.person_edit(second, status="won", monetaryValue=9)

    def act(request: Request, pass_on: Callable[[Request], Answer]) -> Answer:
        room.table.sort("Name")
        room.type(typed, Source="Typed in the same instant")
        return pass_on(request)

    stands = intercept(room.sandbox.google_http, act, "POST", ":batchUpdate")
    room.reconcile(expect=None)
    assert stands.times == 0
    for _ in range(3):
        room.reconcile(expect=None)
    assert room.row(first)["Name"] == "Renamed"
    assert (room.row(second)["Status"], room.row(second)["Value"]) == ("won", 9)
    assert room.row(typed)["Source"] == "Typed in the same instant"
    assert room.fired() == []
    assert room.differences() == []


@pytest.mark.parametrize("effect", [True, False])
def test_a_lost_answer_writes_nothing_twice(room: Room, effect: bool) -> None:
    """Cells and new rows whose answer is lost: looked up, and written again only where they are not there."""
    first, gone, *_ = room.fill()
    room.highlevel.person_edit(first, name="Renamed")
    room.table.delete_row(gone)
    new = room.highlevel.person_create(contact={"firstName": "Ada", "email": "ada@mail.example"}, name="New one")

    def act(request: Request, pass_on: Callable[[Request], Answer]) -> Answer:
        if effect:
            pass_on(request)
        return LOST

    stands = intercept(room.sandbox.google_http, act, "POST", ":batchUpdate", times=2)
    for _ in range(4):
        room.reconcile(expect=None)
    assert stands.times == 0
    assert room.row(first)["Name"] == "Renamed"
    assert {gone, new} <= set(room.keys())
    assert room.fired() == []
    room.agrees()
