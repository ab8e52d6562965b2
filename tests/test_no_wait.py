"""Nothing is waited for between the last read of a record and the write to it (SPEC §3.1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from syncd.carry import SOURCE_AGE_SECONDS, TRIES
from syncd.model import Record, Side
from syncd.policy import DealDeleted, Policy, RowDeleted
from syncd.sides import Column, ReadResult
from tests.memory import COLUMNS, FIELD_NAMES, NO_LIMITS, MemoryCrm, MemoryTable, World, field_of

A, B = "dealAAA1", "dealBBB2"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two deals and their rows at rest."""
    world = World(tmp_path).choose(limits=NO_LIMITS).filled(A, B)
    world.clock.advance(100)
    world.run()
    world.clear_logs()
    return world


def once(world: World, who: str, verb: str, phase: str, act: Callable[[], object]) -> None:
    """Something happens the first time that such a call stands there."""
    left = [act]

    def hook(a_who: str, a_verb: str, a_phase: str, _what: object) -> None:
        if (a_who, a_verb, a_phase) == (who, verb, phase) and left:
            left.pop()()

    world.hooks.append(hook)


def edit(world: World, side: Side, **values: str | int) -> None:
    """A person edits the deal A, or its row."""
    if side is Side.CRM:
        world.crm.put(A, **values)
    else:
        world.edit_row(A, **values)


def held(world: World, side: Side, name: str) -> object:
    """What the deal A, or its row, holds."""
    return (world.crm.now(A) or {})[name] if side is Side.CRM else world.row(A).cells[name]


@pytest.mark.parametrize("target", list(Side))
def test_what_a_person_types_while_a_write_is_told_to_wait_is_not_written_over(world: World, target: Side) -> None:
    side = world.crm if target is Side.CRM else world.table
    edit(world, target.other, name="From there", value=5)
    world.clock.advance(10)
    side.faults.waits = [100.0, 100.0]
    once(world, target.value, "write", "before", lambda: edit(world, target, name="Typed here"))
    result = world.run(1)
    assert (result.code, side.faults.waits) == (0, [])
    assert (held(world, target, "name"), held(world, target, "value")) == ("Typed here", 5), "the rest is carried"
    world.run()
    assert held(world, target.other, "name") == "Typed here", "the later edit"
    world.agree(A)


@pytest.mark.parametrize("target", list(Side))
def test_what_is_copied_is_read_again_too(world: World, target: Side) -> None:
    side = world.crm if target is Side.CRM else world.table
    edit(world, target.other, name="First")
    side.faults.waits = [100.0]
    once(world, target.value, "write", "before", lambda: edit(world, target.other, name="Second"))
    world.run(1)
    assert held(world, target, "name") == f"Deal {A}", "the first was not written any more"
    world.run()
    assert held(world, target, "name") == "Second"
    assert len([write for write in side.log if write.id in (A, world.table.row_of(A))]) == 1


@pytest.mark.parametrize("target", list(Side))
def test_a_side_that_says_wait_for_ever_ends_the_pass_and_keeps_no_intent(world: World, target: Side) -> None:
    side = world.crm if target is Side.CRM else world.table
    edit(world, target.other, value=5)
    side.faults.waits, before = [1.0] * TRIES, world.store.history()
    result = world.run()
    assert (result.code, "429" in result.error, side.faults.waits) == (1, True, [])
    assert (world.store.open_writes(), world.store.history()) == ([], before)
    assert world.run().code == 0
    world.agree(A)


def test_a_side_that_says_wait_almost_for_ever_does_not(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.waits = [1.0] * (TRIES - 1)
    assert world.run().code == 0
    assert len(world.crm.log) == 1
    world.agree(A)


def test_a_sync_cell_is_written_when_there_is_a_way_again(world: World) -> None:
    world.edit_row(A, stage="Nowhere")
    world.table.faults.waits = [30.0, 30.0]
    assert world.run().code == 3
    assert "Nowhere" in world.row(A).message
    assert (world.table.faults.waits, world.store.open_writes()) == ([], [])


def deleting(folder: Path, target: Side) -> tuple[World, MemoryCrm | MemoryTable]:
    """A world whose next pass is to delete A on that side, and is told to wait; and that side."""
    policy = Policy(row_deleted=RowDeleted.DELETE_DEAL, deal_deleted=DealDeleted.DELETE_ROW)
    world = World(folder).choose(limits=NO_LIMITS, policy=policy).filled(A, B)
    if target is Side.CRM:
        world.table.drop(world.table.row_of(A))
    else:
        world.crm.drop(A)
    side = world.crm if target is Side.CRM else world.table
    side.faults.waits = [100.0]
    return world, side


@pytest.mark.parametrize("target", list(Side))
def test_a_record_that_is_edited_while_its_deletion_waits_stays(tmp_path: Path, target: Side) -> None:
    world, side = deleting(tmp_path, target)
    once(world, target.value, "delete", "before", lambda: edit(world, target, name="Typed"))
    assert world.run().code == 0
    assert held(world, target, "name") == "Typed"
    assert (side.faults.waits, world.store.open_writes()) == ([], [])


@pytest.mark.parametrize("target", list(Side))
def test_a_deletion_that_waited_is_carried_out(tmp_path: Path, target: Side) -> None:
    world, _side = deleting(tmp_path, target)
    assert world.run().tally.deleted[target] == 1
    assert [one.state for one in world.store.history() if one.action == "delete"] == ["done"]


@pytest.mark.parametrize("target", list(Side))
def test_way_is_made_before_the_target_is_read(world: World, target: Side) -> None:
    """Waiting there is early enough: the read and the write follow each other."""
    edit(world, target.other, value=5)
    side, seen = (world.crm if target is Side.CRM else world.table), list[tuple[str, str, int]]()
    world.hooks.append(lambda who, verb, phase, _what: seen.append((who, verb, side.ways)))
    world.run()
    mine = [(verb, ways) for who, verb, ways in seen if who == target.value and verb in ("read", "write")]
    assert mine[-4:] == [("read", 1), ("read", 1), ("write", 1), ("write", 1)]


@pytest.mark.parametrize("seconds", [SOURCE_AGE_SECONDS - 1, SOURCE_AGE_SECONDS + 1])
def test_a_source_that_got_old_while_its_target_was_read_is_read_again(world: World, seconds: float) -> None:
    """A read of the deal takes that long; the row is edited meanwhile."""
    world.edit_row(A, value=5)

    def slow() -> None:
        world.clock.advance(seconds)
        world.edit_row(A, value=6)

    once(world, "crm", "read", "after", slow)
    world.run()
    late = seconds > SOURCE_AGE_SECONDS
    assert held(world, Side.CRM, "value") == (100 if late else 5), "a read that young is relied on"
    world.run()
    assert held(world, Side.CRM, "value") == 6


def test_a_target_that_always_takes_too_long_to_be_read_waits(world: World) -> None:
    world.edit_row(A, value=5)
    slow = [world.clock.advance]
    world.hooks.append(
        lambda who, verb, phase, _what: slow[0](10) if (who, verb, phase) == ("crm", "read", "after") and slow else None
    )
    assert (world.run().tally.waiting, world.crm.log) == (1, [])
    slow.clear()
    world.run()
    world.agree(A)


def test_a_row_is_read_again_where_its_contact_took_long_to_find(tmp_path: Path) -> None:
    world = World(tmp_path, [field_of(name) for name in (*FIELD_NAMES, "email")])
    world.table.columns = {**COLUMNS, "email": Column("fldEmail", "Email", "text")}
    world.filled(A)
    world.table.put("lead", None, name="Roof", email="jo@x.example", pipeline="Sales")

    def slow() -> None:
        world.clock.advance(40)
        world.table.put("lead", None, name="Another name", email="jo@x.example", pipeline="Sales")

    once(world, "crm", "contact", "after", slow)
    result = world.run()
    assert (world.crm.creates(), result.tally.waiting, world.store.open_writes()) == ([], 1, [])
    world.run()
    [made] = world.crm.creates()
    assert (world.crm.now(made) or {})["name"] == "Another name"


def test_a_row_that_came_back_by_itself_is_not_written_over(world: World) -> None:
    """Somebody takes it out of the trash, and types, after the table was listed."""
    row_id = world.table.row_of(A)
    row = world.table.rows[row_id]
    world.table.drop(row_id)

    def restored() -> None:
        world.table.rows[row_id] = row
        world.edit_row(A, value=777)

    once(world, "table", "read", "after", restored)
    world.run()
    assert world.row(A).cells["value"] == 777
    world.run()
    assert held(world, Side.CRM, "value") == 777
    assert [one.key for one in world.table.rows.values()].count(A) == 1


def test_a_row_that_comes_back_waits_for_what_its_deal_does_not_tell(world: World) -> None:
    world.table.drop(world.table.row_of(A))
    at = FIELD_NAMES.index("value")
    real = world.crm.read

    def untold(ids: Sequence[str], *, needed: Collection[int] | None = None) -> dict[str, ReadResult]:
        found = real(ids, needed=needed)
        return {id: replace(one, lacks=frozenset({at})) for id, one in found.items() if isinstance(one, Record)}

    with mock.patch.object(world.crm, "read", untold):
        assert world.run().tally.waiting == 1
    assert A not in [one.key for one in world.table.rows.values()]
    world.run()
    assert world.row(A).cells["value"] == 100


# --- rows that come back ---------------------------------------------------------------------------------------------


def test_a_row_that_comes_back_is_made_of_the_deal_as_it_is_after_a_wait(world: World) -> None:
    world.table.drop(world.table.row_of(A))
    world.table.faults.waits = [30.0]
    waits, writes = world.table.faults.waits, len(world.store.history())
    left = [lambda: world.crm.put(A, name="Later")]

    def hook(who: str, verb: str, phase: str, _what: object) -> None:
        if not waits and left and (who, verb, phase) == ("crm", "read", "before"):
            left.pop()()

    world.hooks.append(hook)
    result = world.run(10)
    assert (result.code, world.table.creates(), len(world.store.history())) == (0, [], writes)
    world.run(10)
    assert (len(world.table.creates()), world.row(A).cells["name"]) == (1, "Later")


def test_a_row_that_comes_back_is_made_once_there_is_a_way(world: World) -> None:
    world.table.drop(world.table.row_of(A))
    world.table.faults.waits = [30.0] * (TRIES - 1)
    ways = world.table.ways
    assert world.run(10).code == 0
    assert (len(world.table.creates()), world.table.ways - ways) == (1, TRIES)
    world.agree(A)


def test_a_row_that_came_back_by_itself_meanwhile_is_no_second_one(world: World) -> None:
    row = world.table.rows[world.table.row_of(A)]
    world.table.drop(world.table.row_of(A))
    world.table.faults.waits = [30.0]

    def hook(who: str, verb: str, phase: str, _what: object) -> None:
        if not world.table.faults.waits and (who, verb, phase) == ("crm", "read", "before"):
            world.table.rows.setdefault("rowOld", row)

    world.hooks.append(hook)
    world.run(10)
    assert world.table.creates() == []


def test_rows_that_come_back_wait_where_the_table_stays_busy_for_ever(world: World) -> None:
    world.table.drop(world.table.row_of(A))
    world.table.faults.waits = [1.0] * TRIES
    before = world.store.history()
    result = world.run(10)
    assert (result.code, "429" in result.error) == (1, True)
    assert (world.store.open_writes(), world.store.history()) == ([], before)
    assert world.run(10).code == 0
    world.agree(A)
