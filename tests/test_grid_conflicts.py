"""Conflicts in a sheet, whose cells have no time of their own: the window between two reads decides (SPEC §2)."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest

from syncd.cli.look import explain
from syncd.model import Raw, Side
from syncd.opened import open_pair
from syncd.sides import Question
from syncd.tables.grid_side import instant_of
from tests.grids import HEADER, GridWorld
from tests.memory import START


def reasons(world: GridWorld) -> list[str]:
    """Why each value of a conflict was written."""
    return [line.why for write in world.store.history() for line in write.changes if line.kind == "conflict"]


def why(world: GridWorld, deal: str) -> list[str]:
    """The sentences of `syncd why`, now."""
    link = world.store.link(deal)
    assert link is not None
    opened = open_pair(world.pair, keep=False)
    return [verdict.why for verdict in explain(world.pair, opened.ground, link).verdicts]


@pytest.fixture(params=["daemon", "one run each"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> GridWorld:
    """A pass has just read everything; what comes next is another pass, or another process."""
    world = GridWorld(tmp_path).filled("d1")
    if request.param == "one run each":
        world.restart()
    return world


def test_the_crms_edit_before_the_window_loses(world: GridWorld) -> None:
    world.clock.advance(100)
    world.crm.put("d1", value=1)
    world.crm.frozen_at = world.clock.now - 1  # search does not show it yet
    world.clock.advance(100)
    world.run()
    world.clock.advance(30)
    world.edit_row("d1", value=2)
    assert any("before both, so the cell's is the later one" in one for one in why(world, "d1"))
    world.crm.frozen_at = inf
    world.run()
    assert (world.crm.now("d1") or {})["value"] == 2
    assert "before both" in reasons(world)[0]
    world.agree("d1")


def test_the_crms_edit_after_the_window_wins(world: GridWorld) -> None:
    world.edit_row("d1", value=2)
    world.clock.advance(30)
    world.table.read(["d1"])
    list(world.table.sweep())
    world.clock.advance(30)
    world.crm.put("d1", value=1)
    assert any("after both, so it is the later one" in one for one in why(world, "d1"))
    result = world.run()
    assert (world.grid.cell("d1", "value"), result.code, result.tally.conflicts) == (1, 0, 1)
    assert "after both" in reasons(world)[0]


@pytest.mark.parametrize("tie_side", list(Side))
@pytest.mark.parametrize("first", ["crm", "sheet"])
def test_inside_the_window_is_a_tie(tmp_path: Path, tie_side: Side, first: str) -> None:
    world = GridWorld(tmp_path, tie_side=tie_side).filled("d1")
    world.restart()
    world.clock.advance(100)
    for side in ("crm", "sheet") if first == "crm" else ("sheet", "crm"):
        if side == "crm":
            world.crm.put("d1", value=1)
        else:
            world.edit_row("d1", value=2)
        world.clock.advance(100)
    said = f"inside that window: a tie, which {'HighLevel' if tie_side is Side.CRM else 'the sheet'} wins"
    assert any(said in one for one in why(world, "d1"))
    world.run()
    assert world.grid.cell("d1", "value") == (1 if tie_side is Side.CRM else 2)
    world.agree("d1")
    assert said in reasons(world)[0]


def test_a_lost_memory_makes_the_window_wide(tmp_path: Path) -> None:
    world = GridWorld(tmp_path).filled("d1")
    world.clock.advance(100)
    world.crm.put("d1", value=1)
    world.crm.frozen_at = world.clock.now - 1
    world.clock.advance(100)
    world.run()
    world.edit_row("d1", value=2)
    world.store.connection.execute("DELETE FROM sheet_rows")
    world.store.connection.execute("DELETE FROM facts WHERE key = 'sheet_read_at'")
    world.store.connection.commit()
    world.restart()
    world.crm.frozen_at = inf
    world.run()
    assert world.grid.cell("d1", "value") == 1  # a tie: nobody knows since when the cell says so
    assert "wins ties" in reasons(world)[0]


def test_own_writes_open_no_window(tmp_path: Path) -> None:
    world = GridWorld(tmp_path).filled("d1")
    before = world.table.memory.edited("d1", ["value"])
    world.crm.put("d1", value=5)
    world.run()
    assert world.table.memory.edited("d1", ["value"]) == before
    world.restart()
    world.run()
    assert world.table.memory.edited("d1", ["value"]) == before
    world.edit_row("d1", value=6)
    world.run()
    stamp = world.table.memory.edited("d1", ["value"])
    assert stamp is not None
    assert stamp != before
    assert 0 < stamp.high - stamp.low <= 61


def test_a_cell_that_was_blank_all_the_time_is_no_edit(tmp_path: Path) -> None:
    """Without a shadow, differing values are a conflict; a blank cell that nobody typed into must not win it."""
    world = GridWorld(tmp_path, tie_side=Side.TABLE)
    world.grid.add(None, id="d1", status="open", stage="New", pipeline="Sales", name="Deal d1")
    world.deal("d1")
    world.run()
    assert world.grid.cell("d1", "source") == "web"
    assert (world.crm.now("d1") or {})["owner"] == "u1"


def test_windows_follow_a_row_whose_key_was_typed_in(tmp_path: Path) -> None:
    """The row was there long before; only its key is new, and that dates no value."""
    world = GridWorld(tmp_path, tie_side=Side.TABLE).filled("d2")
    world.grid.add(None, name="Old", status="open", stage="New", pipeline="Sales")
    world.run()
    world.clock.advance(1000)
    world.deal("d1", name="Newer")
    world.crm.hidden.add("d1")
    world.clock.advance(1000)
    world.grid.type(1, id="d1")
    world.run()
    world.run()
    assert world.grid.cell("d1", "name") == "Newer"


@pytest.mark.parametrize(("cell", "winner"), [("inside", 2), ("outside", 1), ("in the future", 1), ("no time", 1)])
def test_a_last_edited_column_narrows_the_window(tmp_path: Path, cell: str, winner: int) -> None:
    world = GridWorld(tmp_path, header=(*HEADER, "Last edited"))
    world.edited_column = "Last edited"
    world.restart()
    world.filled("d1")
    world.clock.advance(100)
    world.crm.put("d1", value=1)
    world.clock.advance(100)
    world.edit_row("d1", value=2)
    now = world.clock.now
    shown: dict[str, Raw] = {"inside": now, "outside": now - 10_000, "in the future": now + 10_000, "no time": None}
    told = shown[cell]
    iso = None if told is None else instant_text(float(str(told)))
    world.edit_row("d1", **{"Last edited": iso})
    world.run()
    assert (world.crm.now("d1") or {})["value"] == winner
    world.agree("d1")


def instant_text(instant: float) -> str:
    """An instant as a script writes it."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(instant, UTC).isoformat().replace("+00:00", "Z")


def test_a_last_edited_column_must_be_there(tmp_path: Path) -> None:
    world = GridWorld(tmp_path)
    world.edited_column = "Last edited"
    world.restart()
    result = world.run()
    assert (result.code, "no column “Last edited”" in result.error) == (2, True)


def test_times_in_cells() -> None:
    assert instant_of(instant_text(START)) == START
    assert instant_of("2023-11-14T22:13:20+00:00") == START
    local = instant_of("2023-11-14 22:13:20")
    assert local is not None
    serial = instant_of(45244.92592592593)
    assert serial is not None
    assert abs(local - serial) < 0.01
    for raw in (None, "", "yesterday", True, 1e300):
        assert instant_of(raw) is None


def test_a_question_about_a_row_that_nobody_saw_has_no_answer(tmp_path: Path) -> None:
    world = GridWorld(tmp_path).filled("d1")
    assert world.table.edited([Question("d7", 0, 1.0)]) == {}


def test_a_server_that_is_late_to_tell_of_changes_makes_no_window_too_short(tmp_path: Path) -> None:
    """The sheet was edited before the last sweep, which did not show it."""
    world = GridWorld(tmp_path, partial=True).filled("d1")
    world.clock.advance(100)
    world.edit_row("d1", value=2)
    edited_at = world.clock.now
    world.grid.late = True
    world.clock.advance(20)
    world.run(1)
    world.grid.late = False
    world.run()
    stamp = world.table.memory.edited("d1", ["value"])
    assert stamp is not None
    assert stamp.low < edited_at < stamp.high


def test_a_file_that_nobody_saved_makes_windows_short(tmp_path: Path) -> None:
    world = GridWorld(tmp_path).filled("d1")
    world.run(1000)
    world.edit_row("d1", value=2)
    world.run(10)
    stamp = world.table.memory.edited("d1", ["value"])
    assert stamp is not None
    assert stamp.high - stamp.low < 12
