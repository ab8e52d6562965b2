"""The whole engine over a sheet (issue 5): rows by their key, whatever people do to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.grids import GridWorld


@pytest.fixture(params=["file", "server"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> GridWorld:
    return GridWorld(tmp_path, partial=request.param == "server")


def test_the_first_pass_fills_the_sheet_and_the_second_rests(world: GridWorld) -> None:
    world.filled("d1", "d2", "d3")
    assert [row[8] for row in world.grid.rows] == ["d1", "d2", "d3"]
    world.agree("d1", "d2", "d3")
    world.run()
    assert world.writes() == (0, 0, 0)


def test_edits_travel_both_ways(world: GridWorld) -> None:
    world.filled("d1", "d2")
    world.edit_row("d1", stage="Qualified", value=250.5)
    world.crm.put("d2", status="won", name="New name")
    result = world.run()
    assert (result.error, result.code) == ("", 0)
    assert len(world.crm.log) == 1
    assert world.grid.cell("d2", "name") == "New name"
    world.agree("d1", "d2")
