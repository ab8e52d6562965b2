"""Writes to a sheet on a server that have to wait for their place among the requests."""

from __future__ import annotations

from pathlib import Path

from tests.grids import GridWorld


def test_a_sheet_that_is_sorted_while_a_write_waits_is_read_again(tmp_path: Path) -> None:
    world = GridWorld(tmp_path, partial=True).filled("d1", "d2", "d3")
    world.crm.put("d1", value=7)
    world.grid.waits = [61.0]

    def sort(who: str, verb: str, phase: str, what: object) -> None:
        if (who, verb) == ("table", "ready"):
            world.hooks = []
            world.grid.rows.reverse()
            world.grid.touched()

    world.hooks = [sort]
    world.run()
    assert [row[4] for row in world.grid.rows] == [100, 100, 7]
    assert len(world.grid.log) == 1
    world.agree("d1", "d2", "d3")


def test_a_write_that_would_have_to_wait_is_made_in_the_next_pass(tmp_path: Path) -> None:
    world = GridWorld(tmp_path, partial=True).filled("d1")
    world.crm.put("d1", value=7)
    world.grid.full = 1
    result = world.run()
    assert (result.code, result.tally.waiting, result.unsettled) == (0, 1, 0)
    assert world.store.fact("sheet_strays") == {"sent": [], "owed": {}}
    world.run()
    world.agree("d1")
    assert world.grid.cell("d1", "value") == 7
