"""Writes that never arrived: the pass says so, and is not called complete (CONTRACT, exit codes)."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.model import Side
from syncd.report import pass_lines
from tests.memory import NO_LIMITS, World

A, B = "dealAAA1", "dealBBB2"


@pytest.mark.parametrize("side", list(Side))
def test_a_write_that_did_not_arrive_is_a_failure_of_its_pass_alone(tmp_path: Path, side: Side) -> None:
    world = World(tmp_path).choose(limits=NO_LIMITS).filled(A, B)
    if side is Side.CRM:
        world.edit_row(A, value=5)
    else:
        world.crm.put(A, value=5)
    (world.crm if side is Side.CRM else world.table).faults.lost = ["before"] * 2
    result = world.run()
    assert (result.code, result.undone, result.unsettled, result.error) == (1, 1, 0, "")
    assert (result.as_json()["failed"], result.counts()["in_sync"], result.counts()["waiting"]) == (1, 1, 1)
    assert "  1 write did not arrive; the next pass decides anew." in pass_lines(result)
    again = world.run()
    assert (again.code, again.undone, again.tally.updated[side]) == (0, 0, 1)
    world.agree(A, B)


@pytest.mark.parametrize("side", list(Side))
def test_a_write_that_did_not_arrive_is_made_once_more_after_another_look(tmp_path: Path, side: Side) -> None:
    world = World(tmp_path).choose(limits=NO_LIMITS).filled(A, B)
    if side is Side.CRM:
        world.edit_row(A, name="Ours", value=5)
    else:
        world.crm.put(A, name="Ours", value=5)
    target = world.crm if side is Side.CRM else world.table
    target.faults.lost = ["before"]
    lost = list[bool]()

    def typed(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == (side.value, "write", "after") and not lost:
            lost.append(True)
            if side is Side.CRM:
                world.crm.put(A, name="Theirs")
            else:
                world.edit_row(A, name="Theirs")

    world.hooks.append(typed)
    result = world.run()
    held = (world.crm.now(A) or {}) if side is Side.CRM else world.row(A).cells
    assert held["name"] == "Theirs", "what was typed meanwhile is not written over"
    assert result.undone == 0
    world.run()
    world.run()
    assert (world.crm.now(A) or {})["name"] == "Theirs"
    world.agree(A, B)


def test_what_waits_for_its_answer_is_not_made_again(tmp_path: Path) -> None:
    """Only what is known not to have arrived is."""
    world = World(tmp_path).choose(limits=NO_LIMITS).filled(A, B)
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["after"]
    world.hooks.append(
        lambda who, verb, phase, _what: (
            world.crm.faults.unread.add(A) if (who, verb, phase) == ("crm", "write", "after") else None
        )
    )
    result = world.run()
    assert (result.code, result.unsettled, len(world.crm.log)) == (1, 1, 1)


def test_a_write_that_arrived_without_an_answer_is_none(tmp_path: Path) -> None:
    world = World(tmp_path).choose(limits=NO_LIMITS).filled(A, B)
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["after"]
    result = world.run()
    assert (result.code, result.undone, result.tally.updated[Side.CRM]) == (0, 0, 1)


def test_a_row_that_was_not_made_is_one(tmp_path: Path) -> None:
    world = World(tmp_path).choose(limits=NO_LIMITS).filled(A)
    world.deal(B)
    world.table.faults.lost = ["before"] * 2
    assert (world.run().code, world.run().code) == (1, 0)
    world.agree(A, B)


def test_a_row_that_was_not_made_is_made_once_more(tmp_path: Path) -> None:
    world = World(tmp_path).choose(limits=NO_LIMITS).filled(A)
    world.deal(B)
    world.table.faults.lost = ["before"]
    result = world.run()
    assert (result.code, result.tally.created[Side.TABLE]) == (0, 1)
    world.agree(A, B)


def test_a_message_that_arrived_does_not_hide_a_write_that_did_not(tmp_path: Path) -> None:
    world = World(tmp_path).choose(limits=NO_LIMITS).filled(A, B)
    world.edit_row(A, stage="Nowhere")
    world.crm.put(A, value=5)
    world.table.faults.lost = ["before", "", "before"]  # the value, its Sync cell, the value once more
    result = world.run()
    assert (world.row(A).message != "", result.undone, result.code) == (True, 1, 1)
