"""What is left alone until a person answers stays so in the passes that look only at what was edited (SPEC §§4, 5)."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.memory
from syncd.incremental import CRM_OVERLAP_SECONDS
from syncd.plan import Trouble
from syncd.reconcile import PassResult
from tests.grids import GridWorld
from tests.memory import NO_LIMITS
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
    world.clock.advance(2 * CRM_OVERLAP_SECONDS)
    assert not world.run().full
    world.clear_logs()
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
