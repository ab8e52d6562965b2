"""What stands in Sync cells (SPEC §5): written only where it changes, against what the cell holds by now."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.sides import Refused
from tests.memory import World

A, B = "dealAAA1", "dealBBB2"
OTHER = "Status “sold” does not exist."


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A row whose Sync cell says what is wrong with it."""
    world = World(tmp_path).filled(A, B)
    world.edit_row(A, status="sold")
    world.run()
    assert OTHER in world.row(A).message
    world.clear_logs()
    return world


def test_a_cell_that_a_person_cleared_is_not_written_blank_again(world: World) -> None:
    world.row(A).message = ""
    world.edit_row(A, status="open")
    assert world.run().code == 0
    assert world.table.messages() == []
    assert world.store.messages()[world.table.row_of(A)] == "", "or its row would never rest"
    world.edit_row(A, status="sold")
    world.run()
    assert OTHER in world.row(A).message, "the same cause once more is told once more"
    assert len(world.table.messages()) == 1


def test_what_a_person_put_there_already_is_not_written_again(world: World) -> None:
    told = world.row(A).message
    world.edit_row(A, status="open")
    world.run()
    world.row(A).message = told
    world.clear_logs()
    world.edit_row(A, status="sold")
    world.run()
    assert (world.row(A).message, world.table.messages()) == (told, [])
    world.edit_row(A, status="open")
    world.run()
    assert [text for _, text in world.table.messages()] == [""], "it was said, so it is taken back"


def test_the_others_are_written_beside_one_that_is_there(world: World) -> None:
    world.row(A).message = ""
    world.edit_row(A, status="open")
    world.edit_row(B, status="sold")
    world.run()
    assert [row for row, _ in world.table.messages()] == [world.table.row_of(B)]
    assert [write.row for write in world.store.history() if write.action == "message"][:1] == [world.table.row_of(B)]


TOO_LARGE = "The value is too large."


def refusing_values(world: World) -> None:
    world.crm.faults.refuse = lambda _v, _id, changes: Refused(TOO_LARGE) if "value" in changes else None


def test_what_was_refused_is_told_in_the_same_pass_beside_what_stood_there(world: World) -> None:
    refusing_values(world)
    world.edit_row(A, value=5)
    world.run()
    told = world.row(A).message
    assert TOO_LARGE in told
    assert OTHER in told
    world.clear_logs()
    assert world.run().code == 3
    assert (world.row(A).message, world.table.messages()) == (told, []), "the next plan says the same"


def test_what_is_refused_no_more_is_taken_back_in_the_same_pass(world: World) -> None:
    refusing_values(world)
    world.edit_row(A, value=5)
    world.run()
    world.crm.faults.refuse = lambda _v, _id, _c: None
    world.edit_row(A, value=6)
    world.run()
    assert world.row(A).message.startswith(OTHER)
    assert TOO_LARGE not in world.row(A).message


def test_another_refusal_takes_the_place_of_the_one_before(world: World) -> None:
    refusing_values(world)
    world.edit_row(A, value=5)
    world.run()
    world.crm.faults.refuse = lambda _v, _id, changes: Refused("No such day.") if "value" in changes else None
    world.edit_row(A, value=6)
    world.run()
    assert "No such day." in world.row(A).message
    assert TOO_LARGE not in world.row(A).message


def test_another_value_refused_alike_keeps_its_sentence(world: World) -> None:
    refusing_values(world)
    world.edit_row(A, value=5)
    world.run()
    world.clear_logs()
    world.edit_row(A, value=6)
    world.run()
    assert TOO_LARGE in world.row(A).message
    assert world.table.messages() == []


def test_what_the_table_refuses_of_a_row_is_told_in_the_same_pass(world: World) -> None:
    world.table.faults.refuse = lambda _v, _id, changes: Refused("No such option.") if "value" in changes else None
    world.crm.put(B, value=7)
    world.run()
    assert world.row(B).message == "No such option."
    world.clear_logs()
    world.run(1e4)
    assert world.table.messages() == [], "it was tried again, and refused again"


def test_what_is_refused_for_everybody_is_no_rows_message(world: World) -> None:
    world.crm.faults.refuse = lambda _v, _id, changes: Refused("Read-only.", everyone=True) if changes else None
    world.edit_row(B, value=5)
    result = world.run()
    assert (result.tally.suspended, world.row(B).message) == (["Read-only."], "")


def test_the_very_write_that_was_refused_is_taken_back_in_the_pass_that_makes_it(world: World) -> None:
    refusing_values(world)
    world.edit_row(A, value=5)
    world.run()
    assert TOO_LARGE in world.row(A).message
    world.crm.faults.refuse = lambda _v, _id, _c: None
    world.run(1e4)
    assert (world.crm.now(A) or {})["value"] == 5
    assert world.row(A).message.startswith(OTHER)
    assert TOO_LARGE not in world.row(A).message


def test_of_a_write_without_an_answer_nothing_is_told_that_was_said_of_another(world: World) -> None:
    refusing_values(world)
    world.edit_row(A, value=5)
    world.run()
    world.crm.faults.refuse = lambda _v, _id, _c: None
    world.edit_row(A, value=6)
    world.crm.faults.lost = ["before"] * 3
    world.run()
    assert world.store.refused() != [], "what was said of 5"
    assert TOO_LARGE not in world.row(A).message


def test_a_part_that_was_thrown_away_is_told_in_the_same_pass(world: World) -> None:
    world.crm.faults.ignores = {"value"}
    world.edit_row(B, value=7, status="won")
    world.run()
    assert (world.crm.now(B) or {})["status"] == "won"
    assert world.row(B).message == "HighLevel took the write but kept its value."


def test_without_a_sync_column_nothing_is_written_of_what_a_person_should_know(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.table.sync_column = False
    world.filled(A)
    world.edit_row(A, status="sold")
    result = world.run()
    assert (result.error, result.code, world.table.log) == ("", 3, [])
