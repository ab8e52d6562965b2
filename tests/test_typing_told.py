"""In the daemon nothing new is said of a cell into which somebody is typing (SPEC §4: it is left for the next pass)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from syncd.model import Raw, Stamp
from syncd.plan import Trouble
from syncd.sides import Column, Question
from tests.memory import ARCHIVE, SALES, SERVICE, VOCABULARY, World

A, B = "dealAAA1", "dealBBB2"


@pytest.fixture(params=[False, True], ids=["full", "incremental"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Two deals with their rows in a daemon that waits five seconds."""
    world = World(tmp_path).filled(A, B).choose(quiet_seconds=5.0)
    world.incremental = request.param
    world.restart()
    world.run()
    world.clear_logs()
    return world


@pytest.mark.parametrize(
    ("cells", "told", "code"),
    [({"stage": "Quali"}, "Stage “Quali” is not in", 3), ({"source": "mi"}, "HighLevel owns “Source”", 0)],
)
def test_half_a_word_is_not_told(world: World, cells: dict[str, Raw], told: str, code: int) -> None:
    world.edit_row(A, **cells)
    result = world.run(1)
    assert (result.code, [one.trouble for one in result.findings]) == (0, [Trouble.TYPING])
    assert world.writes() == (0, 0, 0)
    result = world.run(6)
    assert result.code == code
    assert told in world.row(A).message


def test_what_was_told_before_stays_and_nobody_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.edit_row(A, stage="Quali")
    world.run(60)
    said = world.row(A).message
    asked: list[Question] = []
    edited = world.table.edited

    def noted(questions: list[Question]) -> dict[Question, Stamp]:
        asked.extend(questions)
        return edited(questions)

    monkeypatch.setattr(world.table, "edited", noted)
    world.clear_logs()
    assert [world.run(60).code for _ in range(3)] == [3, 3, 3]
    assert (world.row(A).message, world.table.messages(), asked) == (said, [], [])
    world.edit_row(B, name="Typed")  # somebody types elsewhere in the table
    world.edit_row(A, value=7)
    world.run(1)
    assert world.row(A).message == said


def test_another_mistake_is_told_when_it_rests(world: World) -> None:
    """Until then what was told of the former one is taken back: it is no more."""
    world.edit_row(A, stage="Quali")
    world.run(60)
    world.edit_row(A, stage="Nothi")
    world.run(1)
    assert "Quali" not in world.row(A).message
    assert "Nothi" not in world.row(A).message
    world.run(6)
    assert "Nothi" in world.row(A).message


def test_without_a_sync_column_it_is_told_at_once_where_it_can_be(world: World) -> None:
    world.table.sync_column = False
    world.restart()
    world.run()
    world.edit_row(A, stage="Quali")
    assert world.run(1).code == 3


def test_a_choice_is_told_at_once(tmp_path: Path) -> None:
    """Selects never wait."""
    world = World(tmp_path)
    world.table.columns["status"] = Column("fldStatus", "Status", "select")
    world.filled(A).choose(quiet_seconds=5.0)
    world.edit_row(A, status="sold")
    assert world.run(1).code == 3
    assert "sold" in world.row(A).message


@pytest.mark.parametrize("select", ["stage", "pipeline"])
def test_a_stage_waits_where_one_of_its_two_cells_is_typed(tmp_path: Path, select: str) -> None:
    world = World(tmp_path)
    world.table.make_select(select, "New", "Qualified", "Sales", "Service")
    world.filled(A).choose(quiet_seconds=5.0)
    world.edit_row(A, stage="Qualified")
    assert [one.trouble for one in world.run(1).findings] == [Trouble.TYPING]
    assert world.writes() == (0, 0, 0)
    assert world.run(6).code == 0
    assert (world.crm.now(A) or {})["stage"] == ["p1", "s2"]


def test_a_stage_renamed_while_another_one_is_being_typed_has_its_new_name_in_the_end(tmp_path: Path) -> None:
    """The person types the former name back: that cell is as it was, and shows the old name."""
    world = World(tmp_path).filled(A, B).choose(quiet_seconds=5.0)
    world.crm.put(B, stage=["p1", "s2"])
    assert world.run().code == 0
    stages = tuple(replace(one, name="Fresh") if one.id == "s1" else one for one in SALES.stages)
    world.crm.vocabulary = replace(VOCABULARY, pipelines=(replace(SALES, stages=stages), SERVICE, ARCHIVE))
    world.edit_row(A, stage="Qualified")
    assert [one.trouble for one in world.run(1).findings] == [Trouble.TYPING]
    world.edit_row(A, stage="New")
    for _ in range(3):
        world.run(60)
    assert world.row(A).cells["stage"] == "Fresh"
    assert (world.crm.now(A) or {})["stage"] == ["p1", "s1"]
