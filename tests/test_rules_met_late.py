"""Rules that it takes a coincidence to see: new names behind a held accident, approved matches that keep what was
agreed on, many new names and one move, a column that is new since a row was let go, a key typed before a row comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from syncd.guards import GuardKind
from syncd.lost_keys import twins
from syncd.model import Agreed, Link, Raw, Record, packed_shadow
from syncd.policy import Policy, RowDeleted
from syncd.sides import Pipeline, Vocabulary
from tests.grids import GridWorld
from tests.memory import NO_LIMITS, VOCABULARY, World, field_of
from tests.test_grid_side import LEAD_FIELDS, LEAD_HEADER
from tests.test_newcomers import NAMES, ground, row

A, B = "dealAAA1", "dealBBB2"


def first_stage_is_called(name: str) -> Vocabulary:
    """The names of before, but for one stage."""
    first: Pipeline = VOCABULARY.pipelines[0]
    stages = (replace(first.stages[0], name=name), *first.stages[1:])
    return replace(VOCABULARY, pipelines=(replace(first, stages=stages), *VOCABULARY.pipelines[1:]))


def test_rows_that_were_held_get_the_new_name_of_a_stage_later(tmp_path: Path) -> None:
    world = GridWorld(tmp_path)
    world.choose(limits=NO_LIMITS)
    for n in range(6):
        world.deal(f"d{n}", name="FEDCBA"[n], value=n, status=("open", "won", "lost")[n % 3])
    for _ in range(3):
        world.run()
    before = [list(cells) for cells in world.grid.rows]
    world.grid.sort_badly("Name")
    assert [one.kind for one in world.run().held] == [GuardKind.SHUFFLED]
    world.crm.vocabulary = first_stage_is_called("Renamed")
    for _ in range(3):
        world.run()
    at = world.grid.column("id")
    for cells in before:  # the sort is undone
        place = world.grid.place(str(cells[at]))
        world.grid.rows[place][:] = cells
    world.grid.touched()
    for _ in range(4):
        world.run()
    assert [cells[world.grid.column("stage")] for cells in world.grid.rows] == ["Renamed"] * 6


@pytest.mark.parametrize("partial", [False, True])
def test_an_approved_match_keeps_what_was_agreed_on(tmp_path: Path, partial: bool) -> None:
    """A name that was typed since is an edit of its own, whenever it was typed."""
    world = GridWorld(tmp_path, LEAD_FIELDS, partial=partial, header=LEAD_HEADER)
    world.choose(limits=NO_LIMITS)
    for n in range(3):
        world.deal(f"d{n}", name=f"N{n}", email=f"n{n}@example.com")
    for _ in range(3):
        world.run()
    world.grid.type(0, id=None, name="Typed by a person")
    world.run()
    (record,) = world.store.held()
    world.store.answer_held(record.digest, "approved")
    conflicts = sum(world.run().tally.conflicts for _ in range(2))
    assert (conflicts, (world.crm.now("d0") or {})["name"]) == (0, "Typed by a person")
    assert world.grid.cell("d0", "name") == "Typed by a person"


def test_many_new_names_of_a_stage_are_no_setting_back(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A)
    for n in range(6):
        world.crm.vocabulary = first_stage_is_called(f"Name {n}")
        world.run()
    assert world.row(A).cells["stage"] == "Name 5"
    world.crm.put(A, stage=["p1", "s2"])
    assert world.run().code == 0
    assert world.row(A).cells["stage"] == "Qualified"


def test_a_new_column_brings_no_row_back_that_was_let_go(tmp_path: Path) -> None:
    few = ("name", "stage", "status", "value")
    world = World(tmp_path, tuple(field_of(name) for name in few)).choose(policy=Policy(row_deleted=RowDeleted.IGNORE))
    world.filled(A, B)
    world.table.drop(world.table.row_of(A))
    for _ in range(2):
        world.run()
    world.fields = tuple(field_of(name) for name in (*few, "owner"))
    world.restart()
    world.choose(policy=Policy(row_deleted=RowDeleted.IGNORE))
    for _ in range(2):
        assert world.run().code == 0
    assert len(world.table.rows) == 1
    world.crm.put(A, value=7)
    world.run()
    assert len(world.table.rows) == 2, "an edit does"


@pytest.mark.parametrize("partial", [False, True])
def test_a_key_typed_right_before_a_row_is_made_leaves_it_unmade(
    tmp_path: Path, partial: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = GridWorld(tmp_path, partial=partial).filled("d1")
    world.deal("d2")
    create = world.table.create

    def typed(records: object) -> object:
        monkeypatch.undo()
        world.grid.add(id="d2", name="Mine")
        return create(records)  # type: ignore[arg-type]

    monkeypatch.setattr(world.table, "create", typed)
    world.run()
    assert [cells[world.grid.column("id")] for cells in world.grid.rows] == ["d1", "d2"]
    world.run()
    world.agree("d1", "d2")


@pytest.mark.parametrize("name", ["contact", "email", "phone"])
def test_a_row_is_known_again_by_every_part_of_whom_it_is_about(name: str) -> None:
    on = ground()
    cells: dict[str, Raw] = {"name": "Roof", "contact": "Jo", "email": "jo@x.example", "phone": "+15551234567"}
    agreed = {one: Agreed(str(raw), raw, raw, str(raw)) for one, raw in cells.items()}
    link = Link("d1", "r1", shadow=packed_shadow(agreed, NAMES))
    others: dict[str, Raw] = {"contact": "Al", "email": "al@x.example", "phone": "+15559999999"}
    same, other = row(on, "r8", **cells), row(on, "r9", **{**cells, name: others[name]})
    assert twins(on, [link], [other]) == {}
    assert twins(on, [link], [same, other]) == {"d1": ["r8"]}
    assert isinstance(same, Record)
