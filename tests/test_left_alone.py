"""What is left alone until a person answers stays so in the passes that look only at what was edited (SPEC §§4, 5)."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.memory
from syncd.incremental import CRM_OVERLAP_SECONDS
from syncd.plan import Trouble
from syncd.reconcile import PassResult
from tests.grids import GridWorld
from tests.memory import NO_LIMITS, World
from tests.test_grid_side import LEAD_FIELDS, LEAD_HEADER

PASSES = 12  # so many that no listing names any more what was edited before them


@pytest.fixture(params=["file", "server"])
def sheet(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GridWorld:
    """Eight deals with rows long at rest, of which the first two have one name and one address; the daemon has seen
    some passes."""
    monkeypatch.setattr(tests.memory, "PAGE", 2)
    world = GridWorld(tmp_path, LEAD_FIELDS, partial=request.param == "server", header=LEAD_HEADER)
    world.limits, world.incremental = NO_LIMITS, True
    world.restart()
    for number in range(8):
        who = {"name": "Roof", "email": "a@example.com"} if number < 2 else {"name": f"Wall {number}"}
        world.deal(f"d{number}", **who)
    for _ in range(3):
        world.run()
    world.rested()
    return world


def troubles(result: PassResult) -> list[Trouble]:
    """What waits."""
    return sorted(one.trouble for one in result.findings)


# --- rows of a sheet that lost their keys, where nothing tells whose they are ----------------------------------------


@pytest.fixture
def asked(sheet: GridWorld) -> GridWorld:
    """The keys of both alike rows were cleared, and both rows ask; nothing that is listed names them any more."""
    for at in (0, 1):
        sheet.grid.type(at, id=None)
    assert troubles(sheet.run()) == [Trouble.WRONG_KEY] * 4
    assert [sheet.run().full for _ in range(PASSES)].count(True) <= 1, "at most one for the Sync cells just written"
    sheet.clear_logs()
    return sheet


def still_asked(world: GridWorld) -> None:
    for _ in range(PASSES):
        result = world.run()
        assert (result.code, troubles(result)) == (3, [Trouble.WRONG_KEY] * 4)
    assert world.crm.log == []
    sync = world.grid.column("sync")
    assert all("may be the row of" in str(world.grid.rows[at][sync]) for at in (0, 1))


def test_a_row_that_asks_whose_it_is_becomes_no_deal_when_somebody_types_into_it(asked: GridWorld) -> None:
    asked.grid.type(0, value=777)
    still_asked(asked)


def test_an_edit_of_a_deal_whose_row_is_asked_for_takes_nothing_back(asked: GridWorld) -> None:
    asked.crm.put("d0", value=777)
    still_asked(asked)
    assert len(asked.grid.rows) == 8


def test_a_third_row_like_those_that_ask_becomes_no_deal(asked: GridWorld) -> None:
    asked.grid.add(name="Roof", pipeline="Sales", email="a@example.com")
    asked.run()
    assert asked.crm.log == []
    assert "may be the row of" in str(asked.grid.rows[-1][asked.grid.column("sync")])


def test_what_was_typed_is_carried_when_the_person_has_answered(asked: GridWorld) -> None:
    asked.grid.type(0, value=777)
    asked.run()
    for at in (0, 1):
        asked.grid.type(at, id=f"d{at}")
    for _ in range(2):
        result = asked.run()
    assert (result.code, troubles(result)) == (0, [])
    assert asked.crm.now("d0")["value"] == 777  # type: ignore[index]


# --- rows that carry one deal's id -----------------------------------------------------------------------------------

DEALS = tuple(f"deal{number:02d}" for number in range(1, 13))
A, B = DEALS[:2]
COPY = "copy"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Twelve links of a table whose rows have ids. The first row was copied, both were told, and it is long past."""
    monkeypatch.setattr(tests.memory, "PAGE", 2)
    world = World(tmp_path).choose(limits=NO_LIMITS)
    world.incremental = True
    world.restart()
    world.filled(*DEALS)
    world.clock.advance(2 * CRM_OVERLAP_SECONDS)
    assert not world.run().full
    world.table.put(COPY, A, **world.row(A).cells)
    assert troubles(world.run()) == [Trouble.TWOFOLD] * 2
    for _ in range(PASSES):
        world.run()
    world.clear_logs()
    return world


def own_row(world: World) -> str:
    link = world.store.link(A)
    assert link is not None
    return link.row


def still_twofold(world: World, *, full: int) -> None:
    results = [world.run() for _ in range(4)]
    assert [(one.code, troubles(one)) for one in results] == [(3, [Trouble.TWOFOLD] * 2)] * 4
    assert [one.full for one in results].count(True) == full
    assert world.writes() == (0, 0, 0)
    assert all("2 rows have this GHL ID" in str(world.table.rows[row].message) for row in (own_row(world), COPY))


def test_twofold_rows_take_nothing_when_their_deal_is_edited(world: World) -> None:
    world.crm.put(A, value=9)
    still_twofold(world, full=0)


@pytest.mark.parametrize(("copied", "full"), [(False, 0), (True, 1)])
def test_twofold_rows_carry_nothing_when_one_of_them_is_edited(world: World, copied: bool, full: int) -> None:
    world.table.put(COPY if copied else own_row(world), None, value=77)
    still_twofold(world, full=full)


def test_twofold_rows_of_a_sheet_take_nothing_when_their_deal_is_edited(sheet: GridWorld) -> None:
    sheet.grid.copy(2)
    for _ in range(PASSES):
        assert troubles(sheet.run()) == [Trouble.TWOFOLD] * 2
    sheet.clear_logs()
    sheet.crm.put("d2", value=9)
    for _ in range(4):
        result = sheet.run()
        assert (result.full, result.code, troubles(result)) == (False, 3, [Trouble.TWOFOLD] * 2)
    assert sheet.writes()[:2] == (0, 0)


@pytest.mark.parametrize("kept", ["own", "copy"])
def test_the_row_that_is_left_of_two_gets_what_its_deal_got(world: World, kept: str) -> None:
    """No listing names a row that was deleted; the next edit shows that it is gone."""
    world.table.drop(COPY if kept == "own" else own_row(world))
    world.crm.put(A, value=9)
    for _ in range(2):
        result = world.run()
    assert (result.code, troubles(result)) == (0, [])
    assert (world.row(A).cells["value"], world.row(A).message) == (9, "")


def test_what_else_is_said_of_a_twofold_deals_own_row_stays(world: World) -> None:
    """Two copies carry its deal's id, and its own cell another one."""
    world.table.put("another", A, **world.table.rows[COPY].cells)
    world.table.put(own_row(world), "nonsense id!")
    for _ in range(PASSES):
        world.run()
    said = [Trouble.TWOFOLD, Trouble.TWOFOLD, Trouble.WRONG_KEY]
    assert troubles(world.run()) == said
    world.crm.put(A, value=9)
    for _ in range(3):
        result = world.run()
        assert (result.full, result.code, troubles(result)) == (False, 3, said)
    assert world.crm.log == []
