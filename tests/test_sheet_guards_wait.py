"""Accidents of sheets that wait for a person, and what is edited meanwhile: passes that look at few records carry
nothing of them (SPEC §4)."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.memory
from syncd.guards import GuardKind, HeldSet
from syncd.incremental import FULL_EVERY_SECONDS
from tests.grids import GridWorld
from tests.memory import NO_LIMITS
from tests.test_grid_side import LEAD_FIELDS, LEAD_HEADER

DEALS = tuple(f"d{number}" for number in range(1, 9))
PASSES = 20  # so many that no listing names any more what was edited before them


@pytest.fixture(params=["file", "server"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GridWorld:
    """Eight deals that differ in name, value and status, with rows long at rest; the daemon has seen some passes."""
    monkeypatch.setattr(tests.memory, "PAGE", 2)
    world = GridWorld(tmp_path, LEAD_FIELDS, partial=request.param == "server", header=LEAD_HEADER)
    world.limits, world.incremental = NO_LIMITS, True
    world.restart()
    for number, deal in enumerate(DEALS):
        world.deal(deal, name="HGFEDCBA"[number], value=number, status=("open", "won", "lost")[number % 3])
    for _ in range(3):
        world.run()
    world.rested()
    return world


def held(world: GridWorld) -> HeldSet:
    (found,) = [record.set for record in world.store.held() if record.state == "held"]
    return found


@pytest.fixture
def sorted_badly(world: GridWorld) -> GridWorld:
    """All rows but the sheet's last three were sorted without their ids, which is held and long past."""
    kept = [list(row) for row in world.grid.rows[5:]]
    del world.grid.rows[5:]
    world.grid.sort_badly("Name")
    world.grid.rows += kept
    world.run()
    assert held(world).kind is GuardKind.SHUFFLED
    assert {member.record for member in held(world).members} == {"d1", "d2", "d4", "d5"}, "the third stays in its place"
    for _ in range(PASSES):
        assert not world.run().full
    return world


@pytest.fixture
def older_copy(world: GridWorld) -> GridWorld:
    """An older copy took back the new names of three deals, which is held and long past."""
    world.grid.keep_copy()
    for deal in DEALS[:3]:
        world.crm.put(deal, name=f"New {deal}")
    world.run()
    world.rested()
    world.grid.save_copy()
    world.run()
    assert held(world).kind is GuardKind.OLD_COPY
    for _ in range(PASSES):
        assert not world.run().full
    return world


def still_held(world: GridWorld, *, writes: tuple[int, int]) -> None:
    """Nothing else was written, and the same deals wait."""
    before = {member.record for member in held(world).members}
    for _ in range(5):
        result = world.run()
        assert (result.code, [one.kind for one in result.held]) == (3, [held(world).kind])
    assert world.writes()[:2] == writes
    assert {member.record for member in held(world).members} == before


@pytest.mark.parametrize("edited", ["source", "value"])
def test_a_deal_whose_row_was_sorted_away_takes_nothing_of_it_when_it_is_edited(
    sorted_badly: GridWorld, edited: str
) -> None:
    sorted_badly.crm.put("d2", **{edited: "fair" if edited == "source" else 99})
    still_held(sorted_badly, writes=(0, 0))
    assert (sorted_badly.crm.now("d2") or {})["name"] == "G"


def test_a_row_that_was_sorted_away_carries_nothing_when_it_is_edited(sorted_badly: GridWorld) -> None:
    sorted_badly.edit_row("d2", value=77)
    still_held(sorted_badly, writes=(0, 0))


def test_all_is_well_when_the_sort_is_undone(sorted_badly: GridWorld) -> None:
    sorted_badly.crm.put("d2", value=99)
    sorted_badly.run()
    kept = [list(row) for row in sorted_badly.grid.rows[5:]]
    del sorted_badly.grid.rows[5:]
    sorted_badly.grid.sort_badly("Name", backwards=True)
    sorted_badly.grid.rows += kept
    for seconds in (60.0, FULL_EVERY_SECONDS, 60.0):
        result = sorted_badly.run(seconds)
    assert (result.code, result.held) == (0, [])
    assert sorted_badly.grid.cell("d2", "value") == 99
    sorted_badly.agree(*DEALS)


def test_what_may_belong_to_a_sort_that_waits_is_held_with_it(sorted_badly: GridWorld) -> None:
    """Other rows whose names change, and rows that would become deals; edits of one other cell go on."""
    sorted_badly.edit_row("d7", name="Typed")
    sorted_badly.edit_row("d8", value=55)
    sorted_badly.grid.add(name="Cellar", pipeline="Sales", email="c@example.com")
    for _ in range(5):
        result = sorted_badly.run()
    assert [one.kind for one in result.held] == [GuardKind.SHUFFLED]
    assert {member.title for member in held(sorted_badly).members} >= {"B", "Cellar"}
    assert [(write.id, dict(write.changes)) for write in sorted_badly.crm.log] == [("d8", {"value": (7, 55)})]


def test_a_deal_of_an_older_copy_takes_nothing_of_it_when_it_is_edited(older_copy: GridWorld) -> None:
    """What the deal got since is carried to its row: only what the copy holds waits."""
    older_copy.crm.put("d2", value=99)
    still_held(older_copy, writes=(0, 1))
    assert (older_copy.crm.now("d2") or {})["name"] == "New d2"
    assert older_copy.grid.cell("d2", "value") == 99


def test_a_row_of_an_older_copy_carries_nothing_when_it_is_edited(older_copy: GridWorld) -> None:
    older_copy.edit_row("d2", value=77)
    still_held(older_copy, writes=(0, 0))


# --- full passes -----------------------------------------------------------------------------------------------------


@pytest.fixture
def three_sorted(world: GridWorld) -> GridWorld:
    """Three rows show what the next one showed; that is held."""
    rows = world.grid.rows
    rows[0][:8], rows[1][:8], rows[2][:8] = rows[1][:8], rows[2][:8], rows[0][:8]
    world.grid.touched()
    world.run()
    assert (held(world).kind, len(held(world).members)) == (GuardKind.SHUFFLED, 3)
    return world


def test_the_other_rows_of_a_sort_stay_held_when_one_is_edited(three_sorted: GridWorld) -> None:
    """Two rows alone would not be taken for a sort."""
    three_sorted.edit_row("d1", value=77)
    for _ in range(3):
        result = three_sorted.run(FULL_EVERY_SECONDS)
        assert (result.full, [one.kind for one in result.held]) == (True, [GuardKind.SHUFFLED])
        assert (len(held(three_sorted).members), three_sorted.writes()) == (3, (0, 0, 0))


def test_a_sort_that_is_undone_row_by_row_waits_to_the_last_one(three_sorted: GridWorld) -> None:
    names = dict(zip(DEALS, "HGFEDCBA", strict=True))
    for at, (deal, left) in enumerate([("d1", 2), ("d2", 1), ("d3", 0)]):
        three_sorted.edit_row(deal, name=names[deal], value=at, status=("open", "won", "lost")[at])
        result = three_sorted.run(FULL_EVERY_SECONDS)
        assert sum(len(one.members) for one in result.held) == left
    assert (result.code, three_sorted.writes()) == (0, (0, 0, 0))
