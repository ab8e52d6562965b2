"""A deletion is carried across only where its record is gone, and the other one is what was agreed on, at that very
moment (SPEC §6, P8)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from syncd.carry import FIRST_PAUSE_SECONDS
from syncd.carry_deletions import carry_deletions
from syncd.model import LinkState, Side, packed_shadow
from syncd.plan import Deletion, How
from syncd.policy import DealDeleted, Policy, RowDeleted
from syncd.sides import Refused
from tests.memory import NO_LIMITS, World
from tests.test_carry_parts import work_of

A, B, C = "dealAAA1", "dealBBB2", "dealCCC3"


def ruled(folder: Path, row_deleted: RowDeleted) -> World:
    """Three deals, under settings that carry deletions across."""
    policy = Policy(DealDeleted.DELETE_ROW, row_deleted)
    return World(folder).choose(policy=policy, limits=NO_LIMITS).filled(A, B, C)


@pytest.mark.parametrize("policy", [RowDeleted.DELETE_DEAL, RowDeleted.ABANDON])
def test_a_row_that_comes_back_after_planning_saves_its_deal(tmp_path: Path, policy: RowDeleted) -> None:
    world = ruled(tmp_path, policy)
    row = world.table.row_of(A)
    kept = world.table.rows.pop(row)

    def undo(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("table", "read", "after"):  # the first one is the plan's
            world.table.rows.setdefault(row, kept)

    world.hooks.append(undo)
    assert world.run().tally.waiting == 1
    assert ("table", "read", "after") in world.steps, "the plan has read it by its id"
    assert world.run().code == 0
    assert world.writes() == (0, 0, 0)
    world.agree(A, B, C)


def test_a_deal_that_comes_back_after_planning_saves_its_row(tmp_path: Path) -> None:
    world = ruled(tmp_path, RowDeleted.RESTORE)
    values = dict(world.crm.now(A) or {})
    world.crm.drop(A)
    back: list[bool] = []

    def undo(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "read", "after") and not back:  # the first one is the plan's
            back.append(True)
            world.crm.put(A, **values)

    world.hooks.append(undo)
    assert world.run().tally.waiting == 1
    assert back
    assert world.run().code == 0
    assert world.writes() == (0, 0, 0)
    world.agree(A, B, C)


def test_a_deal_that_could_not_be_abandoned_is_tried_again(tmp_path: Path) -> None:
    world = ruled(tmp_path, RowDeleted.ABANDON)
    world.table.drop(world.table.row_of(A))
    world.crm.faults.refuse = lambda _v, _id, _c: Refused("This deal is locked.")
    assert world.run().code == 3
    link = world.store.link(A)
    assert link is not None
    assert link.state is LinkState.BOTH, "its deletion has not been dealt with"
    world.crm.faults.refuse = lambda _v, _id, _c: None
    world.crm.faults.lost = ["before"]
    world.run(FIRST_PAUSE_SECONDS * 2)
    assert (world.crm.now(A) or {})["status"] == "open"
    world.run()
    assert (world.crm.now(A) or {})["status"] == "abandoned"
    assert world.crm.triggers == [(A, "status")]
    world.run()
    world.clear_logs()
    assert (world.run().code, world.writes(), A in world.store.links()) == (0, (0, 0, 0), True)


def gone(world: World, side: Side, deal: str) -> Deletion:
    """A person has deleted the other record of this link; this one is to go."""
    row = world.table.row_of(deal)
    if side is Side.CRM:
        world.table.drop(row)
    else:
        world.crm.drop(deal)
    return Deletion(side, deal, row, f"Deal {deal}", How.DELETE, {}, "it was deleted")


@pytest.mark.parametrize("side", list(Side))
def test_a_record_of_which_a_field_was_never_agreed_on_is_not_deleted(tmp_path: Path, side: Side) -> None:
    world = ruled(tmp_path, RowDeleted.DELETE_DEAL)
    work, deletions = work_of(world), [gone(world, side, A), gone(world, side, B)]
    link = world.store.link(A)
    assert link is not None
    agreed = {name: one for name, one in link.agreed().items() if name != "value"}
    world.store.put_links([replace(link, shadow=packed_shadow(agreed, list(agreed)))])
    carry_deletions(work, deletions)
    log = world.crm.log if side is Side.CRM else world.table.log
    assert [write.verb for write in log] == ["delete"]
    assert (work.tally.deleted[side], work.tally.waiting) == (1, 1)
    assert (A in world.store.links(), B in world.store.links()) == (True, False)


def test_nothing_is_deleted_on_a_side_that_takes_no_write(tmp_path: Path) -> None:
    world = ruled(tmp_path, RowDeleted.DELETE_DEAL)
    work, deletions = work_of(world), [gone(world, Side.CRM, deal) for deal in (A, B)]
    work.closed.add(Side.CRM)
    carry_deletions(work, deletions)
    assert (world.crm.log, work.tally.waiting, world.crm.reads) == ([], 2, [])
