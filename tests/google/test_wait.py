"""A write's place in the minute's quota is waited for before the last look at the keys, never after it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from syncd.sandbox.wire import Fault
from syncd.sides import Later, Patch, Written
from syncd.tables.google_sheets import GoogleGrid
from syncd.tables.grid import GridLater
from syncd.tables.grid_side import GridSide
from tests.google.conftest import Clock
from tests.memory import FIELD_NAMES, field_of
from tests.sandbox.google import BOOK, Desk

Open = Callable[..., GoogleGrid]
VALUE = FIELD_NAMES.index("value")


def values(desk: Desk) -> dict[object, object]:
    return {row["Name"]: row["Value"] for row in desk.google.rows(BOOK, "Deals") if row.get("Name")}


@pytest.fixture
def side(desk: Desk, grid: GoogleGrid, clock: Clock) -> GridSide:
    """Three rows, which were read a moment ago."""
    for number, name in enumerate("bca"):
        desk.google.person_add(BOOK, "Deals", {"Name": name, "Value": number, "GHL ID": f"k-{name}", "Stage": "New"})
    made = GridSide(grid, [field_of(name) for name in FIELD_NAMES], clock=clock)
    made.schema()
    made.read(["k-b"])
    return made


def sort_while_waiting(desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person sorts the sheet in the first wait."""
    done: list[float] = []
    sleep = clock.sleep

    def sorting(seconds: float) -> None:
        if not done:
            desk.google.person_sort(BOOK, "Deals", "Name")
        done.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(clock, "sleep", sorting)


def test_rows_that_move_while_a_write_waits_for_its_place_are_seen(
    desk: Desk, side: GridSide, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = side.grid
    assert isinstance(grid, GoogleGrid)
    sort_while_waiting(desk, clock, monkeypatch)
    grid.client._writes._sleep = clock.sleep
    while not grid.buckets[1].reserve():
        pass  # other sheets of the same account have used up the minute
    (result,) = side.write([Patch("k-b", {VALUE: 4711})])
    assert isinstance(result, Written)
    assert values(desk) == {"a": 2, "b": 4711, "c": 1}
    assert sum(clock.slept) > 60


def test_a_429_to_a_write_waits_for_another_look(
    desk: Desk, side: GridSide, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sort_while_waiting(desk, clock, monkeypatch)
    assert isinstance(side.grid, GoogleGrid)
    side.grid.client._writes._sleep = clock.sleep
    desk.http.faults.append(Fault(path=":batchUpdate", status=429))
    (result,) = side.write([Patch("k-b", {VALUE: 4711})])
    assert isinstance(result, Later)
    assert not result.everyone
    assert "429" in result.sentence
    assert values(desk) == {"b": 0, "c": 1, "a": 2}
    (result,) = side.write([Patch("k-b", {VALUE: 4711})])
    assert isinstance(result, Written)
    assert values(desk) == {"a": 2, "b": 4711, "c": 1}


def test_a_write_whose_place_was_taken_meanwhile_is_not_made(desk: Desk, grid: GoogleGrid) -> None:
    desk.google.person_add(BOOK, "Deals", {"Name": "a", "Value": 1, "GHL ID": "k-a"})
    sheet = grid.load()
    grid.ready()
    while not grid.buckets[1].reserve():
        pass  # another pair of the same account
    with pytest.raises(GridLater, match="as many requests as it takes"):
        grid.write(sheet, {(0, list(sheet.header).index("Value")): 4711})
    assert values(desk) == {"a": 1}
