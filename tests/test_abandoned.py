"""Rows are deleted, and the settings say that their deals become abandoned: a write of the status, and a deletion."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.guards import GuardKind, HeldSet
from syncd.model import Side
from syncd.plan import Trouble
from syncd.policy import Limits, Policy, RowDeleted
from tests.memory import NO_LIMITS, World

A, B = "dealAAA1", "dealBBB2"
ABANDON = Policy(row_deleted=RowDeleted.ABANDON)


def deals(count: int) -> list[str]:
    """That many ids."""
    return [f"deal{n:04d}" for n in range(count)]


def abandoning(folder: Path, count: int, limits: Limits) -> World:
    """So many deals with their rows, and these limits from then on."""
    world = World(folder).choose(policy=ABANDON, limits=NO_LIMITS).filled(*deals(count))
    return world.choose(limits=limits)


def lose_rows(world: World, gone: list[str]) -> None:
    """A person deletes the rows of these deals."""
    for deal in gone:
        world.table.drop(world.table.row_of(deal))


def held(world: World) -> list[HeldSet]:
    """What waits for a person."""
    return [record.set for record in world.store.held() if record.state == "held"]


def approve(world: World) -> None:
    """A person approves the one set that waits."""
    (one,) = held(world)
    assert world.store.answer_held(one.digest, "approved")


def abandoned(world: World) -> list[str]:
    """Deals that are abandoned now."""
    return [deal for deal in world.crm.deals if (world.crm.now(deal) or {})["status"] == "abandoned"]


FEW = Limits(max_changes=10, max_share=0.0, max_deletions=10**9, max_deletion_share=1.0)


@pytest.mark.parametrize("rows", [10, 11])
def test_abandoned_deals_are_changes_of_their_status(tmp_path: Path, rows: int) -> None:
    world = abandoning(tmp_path, 30, FEW)
    lose_rows(world, deals(rows))
    result = world.run()
    if rows == 10:
        assert (result.code, len(world.crm.triggers)) == (0, 10)
        return
    assert (result.code, result.as_json()["held"], world.crm.triggers) == (3, 11, [])
    assert [(one.kind, one.side, one.field) for one in held(world)] == [(GuardKind.CHANGES, Side.CRM, "status")]
    approve(world)
    result = world.run()
    assert (result.code, result.as_json()["updated"]["crm"], abandoned(world)) == (0, 11, deals(11))
    assert world.run().code == 0
    assert (world.store.held(), len(world.crm.triggers)) == ([], 11)


def test_abandoned_deals_and_typed_statuses_are_counted_together(tmp_path: Path) -> None:
    world = abandoning(tmp_path, 30, FEW)
    lose_rows(world, deals(6))
    for deal in deals(11)[6:]:
        world.edit_row(deal, status="won")
    assert world.run().as_json()["held"] == 11
    assert world.crm.triggers == []
    approve(world)
    lose_rows(world, deals(13)[11:])  # what is new is judged by itself
    assert world.run().code == 0
    assert abandoned(world) == [*deals(6), *deals(13)[11:]]


MANY = Limits(max_changes=3, max_share=0.0, max_deletions=3, max_deletion_share=0.0)


def test_a_deal_that_is_held_as_a_deletion_is_asked_about_once(tmp_path: Path) -> None:
    world = abandoning(tmp_path, 30, MANY)
    lose_rows(world, deals(4))
    for deal in deals(7)[4:]:
        world.edit_row(deal, status="won")
    result = world.run()
    assert (result.code, result.as_json()["held"], len(world.crm.triggers)) == (3, 4, 3), "everything else goes on"
    assert [one.kind for one in held(world)] == [GuardKind.DELETIONS]
    assert held(world)[0].sentence.startswith("4 deals of 30 links would be abandoned in HighLevel at once.")
    approve(world)
    lose_rows(world, deals(10)[7:])
    assert world.run().code == 0
    assert abandoned(world) == [*deals(4), *deals(10)[7:]]
    world.run()
    assert world.store.held() == []


def test_an_approved_change_of_status_is_no_deletion_to_be_asked_about(tmp_path: Path) -> None:
    limits = Limits(max_changes=3, max_share=0.0, max_deletions=4, max_deletion_share=0.0)
    world = abandoning(tmp_path, 30, limits)
    lose_rows(world, deals(4))
    assert world.run().as_json()["held"] == 4
    approve(world)
    lose_rows(world, deals(6)[4:])
    assert world.run().code == 0
    assert abandoned(world) == deals(6)


@pytest.mark.parametrize("policy", [RowDeleted.ABANDON, RowDeleted.DELETE_DEAL])
def test_so_many_deals_wait_whatever_their_share_is(tmp_path: Path, policy: RowDeleted) -> None:
    world = abandoning(tmp_path, 60, Limits(max_crm_changes=5)).choose(policy=Policy(row_deleted=policy))
    lose_rows(world, deals(6))  # not more than a tenth
    assert world.run().as_json()["held"] == 6
    assert world.crm.log == []
    approve(world)
    assert world.run().code == 0
    assert len(world.crm.log) == 6


def test_a_frozen_status_waits_though_its_row_was_deleted(tmp_path: Path) -> None:
    world = World(tmp_path).choose(policy=ABANDON).filled(A, B)
    sentence = f"“Status” was set back and forth; then `syncd resume {A}`."
    world.store.put_frozen({(A, "status"): sentence, (B, "value"): "Another field."}, world.clock())
    lose_rows(world, [A, B])
    for _ in range(2):
        result = world.run()
        assert (result.code, abandoned(world)) == (3, [B])
        assert [(one.trouble, one.deal, one.told()) for one in result.findings] == [
            (Trouble.FROZEN, A, f"“Deal {A}”: {sentence}")
        ]
    world.store.resume(A, world.clock())
    assert world.run().code == 0
    assert abandoned(world) == [A, B]


def test_who_approved_that_deals_are_abandoned_has_not_approved_that_they_are_deleted(tmp_path: Path) -> None:
    world = abandoning(tmp_path, 30, FEW)
    lose_rows(world, deals(11))
    world.run()
    approve(world)
    world.choose(policy=Policy(row_deleted=RowDeleted.DELETE_DEAL), limits=MANY)
    assert world.run().as_json()["held"] == 11
    assert world.crm.log == []
