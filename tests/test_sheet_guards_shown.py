"""What `syncd plan` shows of a sheet's accidents: each write that is held says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.guards import GuardKind
from syncd.look import look
from syncd.opened import open_pair
from syncd.report import plan_lines
from tests.grids import GridWorld
from tests.test_grid_side import LEAD, LEAD_FIELDS, LEAD_HEADER


@pytest.fixture
def world(tmp_path: Path) -> GridWorld:
    """A sheet of four deals that differ in name and value."""
    world = GridWorld(tmp_path, LEAD_FIELDS, header=LEAD_HEADER)
    for number in range(4):
        world.deal(f"d{number}", name="DCBA"[number], value=number)
    world.run()
    world.run()
    return world


def shown(world: GridWorld, kind: GuardKind) -> set[tuple[str, bool]]:
    """Of each line of what would be written: what, and whether it says that it is held in a set of `kind`."""
    seen = look(world.pair, open_pair(world.pair, keep=False))
    (held,) = seen.held
    assert held.kind is kind
    lines = plan_lines("test", seen.view.ground, seen.plan, seen.held)
    writes = [line.strip() for line in lines if line.startswith(("      ", "  + deal"))]
    return {(line.split(":")[0].split(" (")[0], held.digest in line) for line in writes if "->" in line or "+" in line}


def test_all_writes_of_rows_that_were_sorted_without_their_ids_are_held(world: GridWorld) -> None:
    world.grid.add(None, **LEAD)
    world.grid.sort_badly("Name")
    world.crm.put("d1", source="ad")
    found = shown(world, GuardKind.SHUFFLED)
    assert {"Name", "Value", "Source"} <= {what for what, _ in found}
    assert any(what.startswith("+ deal") for what, _ in found)
    assert all(held for _, held in found)


def test_of_an_older_copy_only_what_goes_to_highlevel_is_held(world: GridWorld) -> None:
    before = [list(row) for row in world.grid.rows]
    for number in range(4):
        world.crm.put(f"d{number}", value=1000 + number)
    world.run(600)
    world.grid.rows = before
    world.grid.touched()
    world.crm.put("d1", source="ad")
    world.clock.advance(600)
    assert shown(world, GuardKind.OLD_COPY) == {("Value", True), ("Source", False)}
