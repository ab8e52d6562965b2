"""What stands in Sync cells (SPEC §5): written only where it changes, against what the cell holds by now."""

from __future__ import annotations

from pathlib import Path

import pytest

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
