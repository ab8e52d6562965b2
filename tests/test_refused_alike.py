"""What a side refuses for everybody: Sync cells and deletions are suspended and named, and tried again in the next pass
(SPEC §3.7)."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.memory
from syncd.carry import FIRST_PAUSE_SECONDS
from syncd.model import Side
from syncd.policy import Policy, RowDeleted
from syncd.sides import Refused
from tests.memory import NO_LIMITS, World

A, B = "dealAAA1", "dealBBB2"
GONE = "Deleted in HighLevel"


def deals(count: int) -> list[str]:
    """That many ids."""
    return [f"deal{n:04d}" for n in range(count)]


def refusing(world: World, side: Side, verb: str, refused: Refused, of: tuple[str, ...] = ()) -> list[str]:
    """This side refuses such writes, of these records or of all; returns the list that gets the ids of all tries."""
    tries: list[str] = []

    def refuse(tried: str, id: str, changes: object) -> Refused | None:
        if tried != verb or (side is Side.TABLE and changes):
            return None
        tries.append(id)
        return refused if not of or id in of else None

    (world.crm if side is Side.CRM else world.table).faults.refuse = refuse
    return tries


# --- Sync cells ------------------------------------------------------------------------------------------------------

LOCKED = "The column “Sync” could not be written: Sync is locked."


def test_sync_cells_that_nobody_may_write_are_named_and_tried_once_a_pass(tmp_path: Path) -> None:
    world = World(tmp_path).filled(*deals(30))
    tries = refusing(world, Side.TABLE, "write", Refused("Sync is locked.", everyone=True))
    world.table.write_batch = 2
    for deal in deals(6):
        world.crm.drop(deal)
    world.edit_row("deal0020", value=7)
    for _ in range(3):
        tries.clear()
        result = world.run()
        assert (result.code, result.for_person()) == (3, [LOCKED])
        assert len(tries) == 2, "one call"
    assert (world.crm.now("deal0020") or {})["value"] == 7, "everything else goes on"
    world.table.faults.refuse = lambda _v, _id, _c: None
    assert world.run().code == 0
    assert [world.row(deal).message for deal in deals(7)] == [GONE] * 6 + [""]


def test_one_sync_cell_is_enough_where_nobody_may_write_them(tmp_path: Path) -> None:
    world = World(tmp_path).filled(*deals(6))
    refusing(world, Side.TABLE, "write", Refused("Sync is locked.", everyone=True))
    world.crm.drop("deal0000")
    assert world.run().for_person() == [LOCKED]


def test_a_daemon_tries_a_refused_sync_cell_again_though_nobody_edits_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tests.memory, "PAGE", 2)
    world = World(tmp_path)
    world.incremental = True
    world.start()
    world.filled(*deals(10))
    world.clock.advance(1300)  # longer than changes are asked for again
    tries = refusing(world, Side.TABLE, "write", Refused("Sync is locked.", everyone=True))
    world.edit_row("deal0000", status="Nope")
    world.table.put("lead", None, name="Roof")
    for _ in range(3):
        tries.clear()
        result = world.run(400)
        assert (result.full, LOCKED in result.for_person(), len(tries)) == (False, True, 2)
    world.table.faults.refuse = lambda _v, _id, _c: None
    result = world.run(400)
    assert (result.full, LOCKED in result.for_person()) == (False, False)
    assert "Nope" in world.row("deal0000").message
    assert world.table.rows["lead"].message


def test_the_second_row_whose_sync_cell_is_refused_alike_shows_that_it_is_no_rows_fault(tmp_path: Path) -> None:
    world = World(tmp_path).filled(*deals(6))
    tries = refusing(world, Side.TABLE, "write", Refused("Sync is locked."))
    world.table.write_batch = 1
    for deal in deals(4):
        world.crm.drop(deal)
    for _ in range(2):
        tries.clear()
        result = world.run()
        assert (result.code, result.for_person(), len(tries)) == (3, [LOCKED], 2)


def test_one_rows_sync_cell_that_is_refused_is_told_with_its_name(tmp_path: Path) -> None:
    world = World(tmp_path).filled(*deals(6))
    refusing(world, Side.TABLE, "write", Refused("Sync is locked."), (world.table.row_of("deal0000"),))
    for deal in deals(3):
        world.crm.drop(deal)
    for _ in range(2):
        result = world.run()
        assert (result.code, result.for_person()) == (3, [f"“Deal deal0000”: {LOCKED}"])
    assert [world.row(deal).message for deal in deals(3)] == ["", GONE, GONE]
    assert world.store.refused() == []


def test_a_row_that_is_gone_needs_no_sync_cell(tmp_path: Path) -> None:
    world = World(tmp_path).filled(*deals(6))
    row = world.table.row_of("deal0000")
    world.crm.drop("deal0000")

    def drop(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("table", "write", "before"):
            world.table.rows.pop(row, None)

    world.hooks.append(drop)
    assert world.run().code == 0
    assert world.run().code == 0


# --- deletions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("everyone", [False, True])
def test_deletions_that_are_refused_alike_are_suspended_and_named_once(tmp_path: Path, everyone: bool) -> None:
    world = World(tmp_path).choose(policy=Policy(row_deleted=RowDeleted.DELETE_DEAL), limits=NO_LIMITS)
    world.filled(*deals(12))
    said = "This user may not delete deals."
    tries = refusing(world, Side.CRM, "delete", Refused(said, everyone=everyone))
    for deal in deals(6):
        world.table.drop(world.table.row_of(deal))
    for _ in range(3):
        tries.clear()
        world.clear_logs()
        result = world.run(FIRST_PAUSE_SECONDS / 2)
        assert (result.code, result.for_person()) == (3, [said])
        assert len(tries) == (1 if everyone else 2), "the second one shows that it is no deal's fault"
        assert (world.store.refused(), result.tally.waiting) == ([], 6 - len(tries))
    world.crm.faults.refuse = lambda _v, _id, _c: None
    assert world.run().code == 0
    assert [world.crm.now(deal) for deal in deals(6)] == [None] * 6


def test_a_refused_deletion_says_nothing_of_the_columns(tmp_path: Path) -> None:
    world = World(tmp_path).choose(policy=Policy(row_deleted=RowDeleted.DELETE_DEAL)).filled(*deals(12))
    world.crm.faults.refuse = lambda _v, _id, _c: Refused("This is not allowed.")
    world.edit_row("deal0000", value=5)
    world.table.drop(world.table.row_of("deal0001"))
    told = [f"“Deal {deal}”: This is not allowed." for deal in deals(2)]
    assert world.run().for_person() == told
    assert {one.deal for one in world.store.refused()} == set(deals(2))


def test_abandoning_is_suspended_with_the_status(tmp_path: Path) -> None:
    world = World(tmp_path).choose(policy=Policy(row_deleted=RowDeleted.ABANDON), limits=NO_LIMITS)
    world.filled(*deals(12))
    tries = refusing(world, Side.CRM, "write", Refused("Status cannot be written."))
    for deal in deals(6):
        world.table.drop(world.table.row_of(deal))
    result = world.run()
    assert (result.code, result.for_person(), len(tries)) == (3, ["Status cannot be written."], 2)
    assert result.tally.waiting == 4


# --- conflicts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["", "before", "after"])
def test_a_conflict_counts_once_its_write_has_arrived(tmp_path: Path, lost: str) -> None:
    world = World(tmp_path).filled(A, B)
    world.edit_row(A, value=5, name="Roof")
    world.clock.advance(100)
    world.crm.put(A, value=6, source="fair")
    world.clock.advance(10)
    world.table.faults.lost = [lost] * 2  # what did not arrive is made once more
    result = world.run()
    arrived = int(lost != "before")
    assert (result.as_json()["conflicts"], result.as_json()["updated"]["table"]) == (arrived, arrived)
    world.table.faults.lost = []
    result = world.run()
    assert (result.as_json()["conflicts"], result.as_json()["updated"]["table"]) == (1 - arrived, 1 - arrived)
    world.agree(A, B)
