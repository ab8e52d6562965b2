"""The two accidents of sheets (issue 5.3): held at any size, approvable; what people do on purpose is not held."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.guards import GuardKind
from syncd.reconcile import PassResult
from tests.grids import GridWorld
from tests.test_grid_side import LEAD, LEAD_FIELDS, LEAD_HEADER

DEALS = ("d1", "d2", "d3", "d4")


@pytest.fixture(params=["file", "server"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> GridWorld:
    """Four deals that differ in name, value and status."""
    world = GridWorld(tmp_path, partial=request.param == "server")
    for number, deal in enumerate(DEALS):
        world.deal(deal, name="DCBA"[number], value=number, status=("open", "won", "lost", "open")[number])
    world.run()
    world.run()
    world.clear_logs()
    return world


def approve(world: GridWorld, result: PassResult) -> None:
    """A person approves all that waits."""
    for held in result.held:
        assert held.digest in held.sentence
        assert world.store.answer_held(held.digest, "approved")


def kinds(result: PassResult) -> list[GuardKind]:
    """What is held."""
    return [held.kind for held in result.held]


# --- a sort that leaves the ids behind -------------------------------------------------------------------------------


def test_a_sort_that_leaves_the_ids_behind_is_held_until_it_is_undone(world: GridWorld) -> None:
    before = [list(row) for row in world.grid.rows]
    world.grid.sort_badly("Name")
    result = world.run()
    assert (result.code, kinds(result), world.writes()) == (3, [GuardKind.SHUFFLED], (0, 0, 0))
    assert "a sort that left the GHL ID column behind" in result.held[0].sentence
    world.crm.put("d1", source="ad")  # nothing is written into a row that may show another deal
    assert (kinds(world.run()), world.writes()) == ([GuardKind.SHUFFLED], (0, 0, 0))
    world.grid.rows = before
    world.grid.touched()
    result = world.run()
    assert (result.code, result.held) == (0, [])
    assert world.writes() == (0, 1, 0)
    world.agree(*DEALS)


def test_a_bad_sort_that_is_meant_is_approved(world: GridWorld) -> None:
    world.grid.sort_badly("Name")
    approve(world, world.run())
    result = world.run()
    assert (result.code, result.held) == (0, [])
    assert (world.crm.now("d1") or {})["name"] == "A"
    world.agree(*DEALS)
    world.run()
    assert all(record.state != "approved" for record in world.store.held())


def test_a_bad_sort_with_one_more_edit_is_held_whole(world: GridWorld) -> None:
    """A row that shows another's cells with one of them edited is as wrong as the others."""
    world.grid.sort_badly("Name")
    world.grid.type(0, value=77)
    result = world.run()
    assert (kinds(result), len(result.held[0].members), world.writes()) == ([GuardKind.SHUFFLED], 4, (0, 0, 0))


def test_a_row_that_would_become_a_deal_waits_with_a_bad_sort(tmp_path: Path) -> None:
    """After such a sort it may show the name and the address of another row."""
    world = GridWorld(tmp_path, LEAD_FIELDS, header=LEAD_HEADER)
    for number, deal in enumerate(DEALS):
        world.deal(deal, name="DCBA"[number], value=number)
    world.run()
    world.run()
    world.grid.add(None, **LEAD)
    world.grid.sort_badly("Name")
    result = world.run()
    assert kinds(result) == [GuardKind.SHUFFLED]
    assert len(world.crm.deals) == len(DEALS)


def test_edits_of_other_rows_go_on(world: GridWorld) -> None:
    world.deal("d5", name="E")
    world.run()
    world.run()
    world.clear_logs()
    rows = world.grid.rows
    rows[0][:7], rows[1][:7], rows[2][:7] = rows[1][:7], rows[2][:7], rows[0][:7]
    world.edit_row("d5", value=9)
    world.crm.put("d4", value=8)
    result = world.run()
    assert (kinds(result), {one.record for one in result.held[0].members}) == ([GuardKind.SHUFFLED], {"d1", "d2", "d3"})
    assert (world.crm.now("d5") or {})["value"] == 9
    assert world.grid.cell("d4", "value") == 8


def test_two_rows_may_be_swapped(world: GridWorld) -> None:
    rows = world.grid.rows
    rows[0][:7], rows[1][:7] = rows[1][:7], rows[0][:7]
    world.grid.touched()
    result = world.run()
    assert (result.code, result.held) == (0, [])
    assert (world.crm.now("d1") or {})["name"] == "C"


def test_one_row_copied_over_others_is_no_sort(world: GridWorld) -> None:
    rows = world.grid.rows
    for at in (1, 2, 3):
        rows[at][:7] = rows[0][:7]
    world.grid.touched()
    assert world.run().held == []


def test_rows_with_equal_contents_tell_nothing(tmp_path: Path) -> None:
    """Six rows, two of each kind: what a row shows now may be what its twin showed, which shows it still."""
    world = GridWorld(tmp_path)
    for number in range(6):
        world.deal(f"d{number}", name=f"Name {number // 2}")
    world.run()
    world.run()
    rows = world.grid.rows
    for one, other in ((0, 2), (2, 4), (4, 0)):  # of each kind one shows the next kind's values now
        rows[one][0] = f"Name {other // 2}"
    world.grid.touched()
    assert world.run().held == []


def test_a_whole_sort_is_no_accident(world: GridWorld) -> None:
    world.grid.sort("Name")
    result = world.run()
    assert (result.code, result.held, world.writes()) == (0, [], (0, 0, 0))


def test_three_rows_whose_statuses_were_exchanged_are_ordinary_edits(world: GridWorld) -> None:
    for deal, status in (("d1", "won"), ("d2", "lost"), ("d3", "open")):
        world.edit_row(deal, status=status)
    assert world.run().held == []


# --- an older copy ---------------------------------------------------------------------------------------------------


def test_an_older_copy_is_held_until_the_newer_one_is_back(world: GridWorld) -> None:
    world.grid.keep_copy()
    world.crm.put("d1", name="New 1")
    world.crm.put("d2", name="New 2", value=50)
    world.edit_row("d3", status="won")
    world.run()
    newer = [list(row) for row in world.grid.rows]
    world.clear_logs()
    world.clock.advance(3 * 3600)
    world.grid.save_copy()
    result = world.run()
    assert (result.code, kinds(result), world.writes()) == (3, [GuardKind.OLD_COPY], (0, 0, 0))
    assert "as after saving an older copy" in result.held[0].sentence
    world.grid.rows = newer
    world.grid.touched()
    assert (world.run().code, world.writes()) == (0, (0, 0, 0))
    world.agree(*DEALS)


def test_an_older_copy_that_is_meant_is_approved(world: GridWorld) -> None:
    world.grid.keep_copy()
    for deal in DEALS:
        world.crm.put(deal, name=f"New {deal}")
    world.run()
    world.clock.advance(3 * 3600)
    world.grid.save_copy()
    approve(world, world.run())
    assert world.run().held == []
    assert (world.crm.now("d1") or {})["name"] == "D"
    world.agree(*DEALS)


def test_what_else_was_typed_into_an_older_copy_goes_on(world: GridWorld) -> None:
    world.grid.keep_copy()
    for deal in ("d1", "d2", "d3"):
        world.crm.put(deal, name=f"New {deal}")
    world.run()
    world.grid.save_copy()
    world.edit_row("d4", value=44)
    result = world.run()
    assert kinds(result) == [GuardKind.OLD_COPY]
    assert (world.crm.now("d4") or {})["value"] == 44


def test_a_person_may_undo_two_values(world: GridWorld) -> None:
    for deal in ("d1", "d2"):
        world.crm.put(deal, name=f"New {deal}")
    world.run()
    world.edit_row("d1", name="D")
    world.edit_row("d2", name="C")
    assert world.run().held == []
    assert (world.crm.now("d1") or {})["name"] == "D"


def test_a_person_may_undo_three_of_many_values(world: GridWorld) -> None:
    for deal in DEALS:
        world.crm.put(deal, name=f"New {deal}", value=70, source="ad")
    world.run()
    for deal, name in (("d1", "D"), ("d2", "C"), ("d3", "B")):
        world.edit_row(deal, name=name)
    assert world.run().held == []


def test_a_copy_that_is_very_old_is_taken_for_edits(world: GridWorld) -> None:
    world.grid.keep_copy()
    for deal in DEALS:
        world.crm.put(deal, name=f"New {deal}")
    world.run()
    world.clock.advance(8 * 86_400)
    world.grid.save_copy()
    assert world.run().held == []


def test_the_other_limits_do_not_count_what_an_accident_explains(world: GridWorld) -> None:
    from syncd.policy import Limits

    world.choose(limits=Limits(max_changes=1, max_share=0.1))
    world.grid.sort_badly("Name")
    assert kinds(world.run()) == [GuardKind.SHUFFLED]


def test_airtables_rows_have_ids(tmp_path: Path) -> None:
    """A row of Airtable is what it is, whatever it shows."""
    from tests.memory import World

    world = World(tmp_path)
    for number, deal in enumerate(DEALS):
        world.deal(deal, name="DCBA"[number], value=number)
    world.run()
    world.run()
    for number, deal in enumerate(DEALS):
        world.edit_row(deal, name="CBAD"[number], value=(number + 1) % 4)
    assert world.run().held == []
