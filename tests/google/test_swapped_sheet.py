"""Another sheet gets the name of the one that is synced, while the program runs: nothing is written to either, and the
next look is told of the other one (SPEC §4). Values are read by a sheet's name, and written by its id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syncd.sandbox.sheets_people import COLUMNS
from syncd.tables.google_sheets import LAYOUT_SECONDS, AnotherSheet, GoogleGrid
from syncd.tables.grid import GridLost, GridMoved, Sheet
from tests.google.conftest import Clock
from tests.sandbox.google import BOOK, Desk

NAME, KEY = COLUMNS.index("Name"), COLUMNS.index("GHL ID")
TOLD = "The sheet “Deals” is not the one of before"


def fill(desk: Desk, *keys: str) -> None:
    """Rows of the sheet that is called so now."""
    for key in keys:
        desk.google.person_add(BOOK, "Deals", {"Name": f"Name of {key}", "GHL ID": key})


def swap(desk: Desk, *keys: str) -> None:
    """A person gives the sheet another name, and makes a new one with these rows."""
    desk.google.person_rename(BOOK, "Deals", "Old")
    desk.google.deals_tab(BOOK)
    fill(desk, *keys)


def shown(desk: Desk, title: str) -> list[tuple[Any, Any]]:
    """Names and keys of a sheet, as people see them."""
    return [(row.get("Name"), row.get("GHL ID")) for row in desk.google.rows(BOOK, title)]


def untouched(desk: Desk, *keys: str) -> None:
    """Both sheets are as people made them."""
    assert shown(desk, "Old") == [("Name of k1", "k1"), ("Name of k2", "k2")]
    assert shown(desk, "Deals") == [(f"Name of {key}", key) for key in keys]


@pytest.fixture
def sheet(desk: Desk, grid: GoogleGrid) -> Sheet:
    """The sheet of before, as it was read."""
    fill(desk, "k1", "k2")
    return grid.load()


def test_the_second_look_shows_it(desk: Desk, grid: GoogleGrid, sheet: Sheet) -> None:
    before = grid.identity
    swap(desk, "k2", "k1")
    with pytest.raises(AnotherSheet, match=TOLD):
        grid.refresh(sheet, [0, 1])
    verbs: list[Callable[[], Sheet]] = [
        lambda: grid.write(sheet, {(0, NAME): "Bennet"}),
        lambda: grid.write(sheet, {}, [{KEY: "k3"}]),
        lambda: grid.delete(sheet, 0),
    ]
    for verb in verbs:
        with pytest.raises(GridMoved):
            verb()
    untouched(desk, "k2", "k1")
    now = grid.load()
    assert [row[KEY] for row in now.rows] == ["k2", "k1"]
    assert grid.identity != before
    grid.write(grid.refresh(now, [0]), {(0, NAME): "Bennet"})
    assert shown(desk, "Deals") == [("Bennet", "k2"), ("Name of k1", "k1")]


def test_a_listing_that_lacks_a_key_shows_it(desk: Desk, grid: GoogleGrid, sheet: Sheet) -> None:
    """Else its deals would pass for rows that a person has deleted."""
    assert len(sheet.rows) == 2
    before = grid.identity
    swap(desk, "k2", "k3")
    with pytest.raises(AnotherSheet, match=TOLD):
        grid.load()
    assert [row[KEY] for row in grid.load().rows] == ["k2", "k3"]
    assert grid.identity != before
    untouched(desk, "k2", "k3")


def test_a_new_look_at_the_layout_shows_it(desk: Desk, grid: GoogleGrid, sheet: Sheet, clock: Clock) -> None:
    assert len(sheet.rows) == 2
    swap(desk, "k1", "k2")
    clock.offset += LAYOUT_SECONDS
    with pytest.raises(AnotherSheet, match=TOLD):
        grid.load()
    untouched(desk, "k1", "k2")


def test_it_goes_on_where_the_sheet_gets_its_name_back(desk: Desk, grid: GoogleGrid, sheet: Sheet) -> None:
    before = grid.identity
    swap(desk)
    with pytest.raises(AnotherSheet):
        grid.refresh(sheet, [0])
    desk.google.person_rename(BOOK, "Deals", "Other")
    desk.google.person_rename(BOOK, "Old", "Deals")
    with pytest.raises(AnotherSheet):
        grid.load()
    assert [row[KEY] for row in grid.load().rows] == ["k1", "k2"]
    assert grid.identity == before


def test_a_swap_within_the_write_is_an_answer_that_is_lost(desk: Desk, grid: GoogleGrid, sheet: Sheet) -> None:
    """It went to the sheet that was meant, but what the answer shows is of the other one. Nothing else of that pass is
    written: the next look ends it."""
    now = grid.refresh(sheet, [0])
    swap(desk, "k2", "k1")
    with pytest.raises(GridLost):
        grid.write(now, {(0, NAME): "Anne"})
    with pytest.raises(AnotherSheet):
        grid.load()
    assert shown(desk, "Old") == [("Anne", "k1"), ("Name of k2", "k2")]
    assert shown(desk, "Deals") == [("Name of k2", "k2"), ("Name of k1", "k1")]


def test_a_deleted_row_is_no_other_sheet(desk: Desk, grid: GoogleGrid, sheet: Sheet) -> None:
    assert len(sheet.rows) == 2
    before = grid.identity
    desk.google.person_delete(BOOK, "Deals", 0)
    assert [row[KEY] for row in grid.load().rows] == ["k2"]
    assert grid.identity == before
