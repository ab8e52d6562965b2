"""What the second look by id did not show, though a list did: it is told, and it is believed (SPEC §1)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

import tests.memory
from syncd.incremental import CRM_OVERLAP_SECONDS
from syncd.model import LinkState, Side
from syncd.plan import Trouble
from syncd.policy import Policy, RowDeleted
from syncd.reconcile import PassResult
from syncd.sides import Column
from tests.memory import COLUMNS, FIELD_NAMES, NO_LIMITS, World, field_of

A, B = "dealAAA1", "dealBBB2"
NONE = (0, 0, 0)  # writes
OTHERS = [f"deal{number}xx" for number in range(5)]


def unread(result: PassResult) -> list[bool]:
    """Whether a person is needed, for each record that could not be read."""
    return [one.needs_person for one in result.findings if one.trouble is Trouble.UNREAD]


@pytest.fixture(params=["full", "daemon of few", "daemon of many"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Seven deals and their rows at rest, looked at as `--reconcile` does, or as the daemon."""
    monkeypatch.setattr(tests.memory, "PAGE", 2 if request.param == "daemon of many" else 100)
    world = World(tmp_path).choose(limits=NO_LIMITS)
    world.incremental = request.param != "full"
    world.restart()
    world.filled(A, B, *OTHERS)
    world.clock.advance(2 * CRM_OVERLAP_SECONDS)
    world.run()
    world.clear_logs()
    return world


@pytest.mark.parametrize("refused", list(Side))
@pytest.mark.parametrize("edited", list(Side))
def test_a_refused_second_look_is_told_by_the_third_pass(world: World, edited: Side, refused: Side) -> None:
    if edited is Side.TABLE:
        world.edit_row(A, value=9)
    else:
        world.crm.put(A, value=9)
    side = world.crm if refused is Side.CRM else world.table
    side.faults.unread.add(A if refused is Side.CRM else world.table.row_of(A))
    first, second, third = world.run(), world.run(), world.run()
    assert (first.code, unread(second), second.code) == (0, [False], 0)
    assert (unread(third), third.code) == ([True], 3)
    if refused is Side.CRM:
        assert world.row(A).message == "HighLevel refused the read."
    side.faults.unread.clear()
    world.run()
    last = world.run()
    assert (last.code, unread(last), world.row(A).message, world.store.fact("unread")) == (0, [], "", {})
    assert (world.crm.now(A) or {})["value"] == world.row(A).cells["value"] == 9


def test_a_deal_that_the_second_look_found_deleted_is_deleted_though_search_shows_it(world: World) -> None:
    world.crm.frozen_at = world.clock.now
    world.clock.advance(10)
    world.crm.drop(A)
    world.edit_row(A, value=9)
    world.run()
    world.run()
    link = world.store.link(A)
    assert link is not None
    assert link.state is LinkState.DEAL_GONE
    assert world.row(A).message == "Deleted in HighLevel"
    assert world.row(A).cells["value"] == 9


def test_a_row_is_not_made_again_and_again_for_a_deal_that_only_search_shows(world: World) -> None:
    world.crm.frozen_at = world.clock.now
    world.clock.advance(10)
    world.crm.drop(A)
    world.table.drop(world.table.row_of(A))
    for _ in range(3):
        world.run(7 * 3600)
    assert world.store.link(A) is None
    world.clear_logs()
    assert world.run(300).tally.waiting == 0
    assert world.writes() == NONE


def test_a_deal_that_was_gone_gets_no_row_while_reading_it_is_refused(tmp_path: Path) -> None:
    """Once absent, only a read by its id makes it present; a refused one makes nothing."""
    world = World(tmp_path).choose(limits=NO_LIMITS)
    world.filled(A, B)
    world.clock.advance(100)
    before = world.crm.frozen_at = world.clock.now
    world.clock.advance(10)
    world.crm.drop(A)
    world.table.drop(world.table.row_of(A))
    world.run()
    world.crm.frozen_at = math.inf
    world.run()
    world.crm.frozen_at = before  # search shows it once more
    world.crm.faults.unread.add(A)
    codes = [world.run().code for _ in range(3)]
    assert [row.key for row in world.table.rows.values()] == [B]
    assert codes == [0, 0, 3], "people are told in the end"
    world.crm.faults.unread.clear()
    assert world.run().code == 0
    assert [row.key for row in world.table.rows.values()] == [B]


def test_a_row_that_is_to_become_a_deal_and_cannot_be_read_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, [field_of(name) for name in (*FIELD_NAMES, "email")])
    world.table.columns = {**COLUMNS, "email": Column("fldEmail", "Email", "text")}
    world.filled(A)
    world.table.put("lead", None, name="Roof", email="jo@x.example", pipeline="Sales")
    world.table.faults.unread.add("lead")
    assert [world.run().code for _ in range(3)] == [0, 0, 3]
    world.table.faults.unread.clear()
    world.run()
    assert len(world.crm.creates()) == 1


def test_a_deletion_whose_evidence_cannot_be_read_is_told(tmp_path: Path) -> None:
    world = World(tmp_path).choose(limits=NO_LIMITS, policy=Policy(row_deleted=RowDeleted.DELETE_DEAL))
    world.filled(A, B)
    world.table.drop(world.table.row_of(A))
    world.crm.faults.unread.add(A)
    assert [world.run().code for _ in range(3)] == [0, 0, 3]
    assert world.crm.now(A) is not None
    world.crm.faults.unread.clear()
    world.run()
    assert world.crm.now(A) is None


@pytest.mark.parametrize("when", ["before it is noticed", "after"])
def test_a_deal_that_is_edited_gets_its_row_back_whatever_becomes_of_deleted_rows(world: World, when: str) -> None:
    """SPEC §2; it stays away until then, also where passes look at changes only."""
    world.choose(limits=NO_LIMITS, policy=Policy(row_deleted=RowDeleted.IGNORE))
    world.table.drop(world.table.row_of(A))
    if when == "after":
        for _ in range(2):
            world.run(7 * 3600)
        assert A not in [row.key for row in world.table.rows.values()]
        world.clear_logs()
        world.run()
        assert world.writes() == NONE
    world.crm.put(A, name="Edited")
    world.run(100)
    world.run(7 * 3600)
    assert world.row(A).cells["name"] == "Edited"
    assert [row.key for row in world.table.rows.values()].count(A) == 1
    world.clear_logs()
    world.run()
    assert world.writes() == NONE


def test_an_abandoned_deal_that_is_opened_again_gets_its_row_back(tmp_path: Path) -> None:
    world = World(tmp_path).choose(limits=NO_LIMITS, policy=Policy(row_deleted=RowDeleted.ABANDON))
    world.filled(A, B)
    world.table.drop(world.table.row_of(A))
    world.run()
    world.run()
    assert (world.crm.now(A) or {})["status"] == "abandoned"
    assert A not in [row.key for row in world.table.rows.values()], "our own write is no edit"
    world.crm.put(A, status="open")
    world.run(100)
    assert world.row(A).cells["status"] == "open"


def test_a_row_that_was_deleted_and_put_back_is_read_before_it_counts(tmp_path: Path) -> None:
    world = World(tmp_path).choose(limits=NO_LIMITS, policy=Policy(row_deleted=RowDeleted.IGNORE))
    world.filled(A, B)
    row_id = world.table.row_of(A)
    row = world.table.rows[row_id]
    world.table.drop(row_id)
    world.run()
    world.table.rows[row_id] = row
    world.table.faults.unread.add(row_id)
    world.run()
    assert replace(world.store.link(A) or pytest.fail("no link")).state is LinkState.ROW_GONE
    world.table.faults.unread.clear()
    world.run()
    link = world.store.link(A)
    assert link is not None
    assert link.state is LinkState.BOTH


def test_what_could_not_be_read_does_not_rest_though_a_list_shows_it_as_it_was(world: World) -> None:
    world.edit_row(A, value=9)
    world.table.faults.unread.add(world.table.row_of(A))
    assert world.run().code == 0
    world.edit_row(A, value=100)  # and back
    codes = [world.run().code for _ in range(3)]
    assert codes[1:] == [3, 3], "it still cannot be read"
    world.table.faults.unread.clear()
    world.run()
    assert world.run().code == 0
