"""`syncd why` says of each field why its write is not made now: frozen, held, refused, or not answered yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.cli.look import Explained, explain, why_json, why_lines
from syncd.guards import GuardKind
from syncd.model import Direction, Side
from syncd.opened import open_pair
from syncd.policy import Limits
from syncd.sides import Refused
from tests.grids import GridWorld
from tests.memory import FIELD_NAMES, Crash, World, field_of

A, B = "dealAAA1", "dealBBB2"


def asked(world: World, deal: str = A) -> tuple[Explained, list[str], dict[str, dict[str, object]]]:
    """What `why` found, its lines, and its JSON by field."""
    link = world.store.link(deal)
    assert link is not None
    found = explain(world.pair, open_pair(world.pair, keep=False).ground, link)
    shown = why_json("test", link, found)
    return found, why_lines("test", link, found), {field["field"]: field for field in shown["fields"]}


def told(lines: list[str]) -> list[str]:
    """What is not written now."""
    return [line.split(": ", 1)[1] for line in lines if "not written now" in line]


def test_a_frozen_field_waits_and_another_one_does_not(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B)
    with world.store.tx():
        world.store.put_frozen({(A, "status"): "It is frozen."}, world.clock())
    for deal in (A, B):
        world.edit_row(deal, status="won", value=7)
    found, lines, fields = asked(world)
    assert told(lines) == ["It is frozen."]
    assert (fields["status"]["waits"], fields["status"]["writes"]) == ("It is frozen.", None)
    assert (fields["value"]["waits"], fields["value"]["writes"]) == (None, "crm")
    assert found.waits
    assert asked(world, B)[0].waits == {}


def test_a_refused_value_waits_until_it_is_another_one(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B)
    world.crm.faults.refuse = lambda _v, _id, changes: Refused("Too large.") if "value" in changes else None
    world.edit_row(A, value=5)
    world.edit_row(B, status="won")
    world.run()
    (line,) = told(asked(world)[1])
    assert line.startswith("It was refused: Too large. Next try: ")
    assert told(asked(world, B)[1]) == []
    world.edit_row(A, value=6)
    _, lines, fields = asked(world)
    assert (told(lines), fields["value"]["writes"]) == ([], "crm")


def test_what_one_side_refused_says_nothing_of_the_other(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A)
    world.table.faults.refuse = lambda _v, _id, changes: Refused("No.") if "value" in changes else None
    world.crm.put(A, value=7)
    world.run()
    world.edit_row(A, status="lost")
    _, _, fields = asked(world)
    assert str(fields["value"]["waits"]).startswith("It was refused: No. ")
    assert (fields["status"]["waits"], fields["status"]["writes"]) == (None, "crm")


def test_a_held_change_names_the_set(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B)
    world.choose(limits=Limits(max_changes=1, max_share=0.1))
    for deal in (A, B):
        world.edit_row(deal, value=7)
    world.run()
    (record,) = world.store.held()
    _, lines, fields = asked(world)
    assert told(lines) == [f"It is held with many others; `syncd approve {record.digest}` carries them out."]
    assert fields["value"]["writes"] is None
    world.edit_row(A, value=8)
    assert told(asked(world)[1]) == [], "another value is no member of that set"
    world.edit_row(A, value=7)
    assert told(asked(world)[1]) != []
    world.store.answer_held(record.digest, "approved")
    assert asked(world)[0].waits == {}


def test_a_write_without_an_answer_is_told(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B)
    world.edit_row(A, value=7)

    def killed(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "write", "after"):
            raise Crash

    world.hooks.append(killed)
    with pytest.raises(Crash):
        world.run()
    world.hooks.clear()
    world.restart()
    assert [write.deal for write in world.store.open_writes()] == [A]
    assert "An earlier write has no answer yet" in asked(world)[0].note
    assert asked(world, B)[0].note == ""


def test_what_another_deal_was_refused_says_nothing_of_this_one(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B)
    world.crm.faults.refuse = lambda _v, _id, changes: Refused("Too large.") if "value" in changes else None
    world.edit_row(A, value=5)
    world.run()
    world.edit_row(B, value=5)
    assert [len(told(asked(world, deal)[1])) for deal in (A, B)] == [1, 0]


def test_a_refusal_counts_beside_what_goes_to_the_other_side(tmp_path: Path) -> None:
    """What was refused are all changes of one write; those of the other side are another one."""
    world = World(tmp_path).filled(A)
    world.crm.faults.refuse = lambda _v, _id, changes: Refused("Too large.") if "value" in changes else None
    world.edit_row(A, value=5)
    world.run()
    world.crm.put(A, status="won")
    _, _, fields = asked(world)
    assert str(fields["value"]["waits"]).startswith("It was refused: Too large. ")
    assert (fields["status"]["waits"], fields["status"]["writes"]) == (None, "table")


def test_a_change_that_is_held_on_the_way_to_one_side_is_not_on_its_way_to_the_other(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B)
    world.choose(limits=Limits(max_changes=1, max_share=0.1))
    for deal in (A, B):
        world.crm.put(deal, value=7)
    world.run()
    (record,) = world.store.held()
    assert record.set.side is Side.TABLE
    assert asked(world)[2]["value"]["waits"] is not None
    for deal in (A, B):
        world.crm.put(deal, value=100)
        world.edit_row(deal, value=7)
    assert asked(world)[2]["value"]["writes"] == "crm"


def test_the_same_change_of_another_deal_is_not_held_with_it(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B, "dealCCC3")
    world.choose(limits=Limits(max_changes=1, max_share=0.1))
    for deal in (A, B):
        world.edit_row(deal, value=7)
    world.run()
    world.edit_row("dealCCC3", value=7)
    assert [len(told(asked(world, deal)[1])) for deal in (A, B, "dealCCC3")] == [1, 1, 0]


def test_a_value_over_a_cell_that_says_nothing_is_held_as_one_over_a_blank_cell(tmp_path: Path) -> None:
    fields = [field_of(name, Direction.TO_TABLE if name == "owner" else None) for name in FIELD_NAMES]
    world = World(tmp_path, fields).filled(A, B).choose(limits=Limits(max_changes=1, max_share=0.1))
    for deal in (A, B):
        world.edit_row(deal, owner="Nobody")
        world.crm.put(deal, owner="u2")
    world.run()
    (record,) = world.store.held()
    assert record.digest in str(asked(world)[2]["owner"]["waits"])


@pytest.fixture
def grid(tmp_path: Path) -> GridWorld:
    """A sheet of four deals that differ in name, value and status."""
    grid = GridWorld(tmp_path)
    for number in range(4):
        grid.deal(f"d{number}", name="DCBA"[number], value=number, status=("open", "won", "lost", "open")[number])
    grid.run()
    grid.run()
    return grid


def waits_in(grid: GridWorld, deal: str) -> dict[str, object]:
    """By field what waits."""
    link = grid.store.link(deal)
    assert link is not None
    found = explain(grid.pair, open_pair(grid.pair, keep=False).ground, link)
    return {field["field"]: field["waits"] for field in why_json("test", link, found)["fields"] if field["waits"]}


def test_rows_sorted_without_their_ids_are_held_on_both_sides(grid: GridWorld) -> None:
    grid.grid.sort_badly("Name")
    (held,) = grid.run().held
    assert held.kind is GuardKind.SHUFFLED
    grid.crm.put("d1", source="ad")
    waits = waits_in(grid, "d1")
    assert {"name", "value", "source"} <= waits.keys()
    assert all(held.digest in str(one) for one in waits.values())


def test_an_older_copy_is_held_towards_the_crm_alone(grid: GridWorld) -> None:
    before = [list(row) for row in grid.grid.rows]
    for number in range(4):
        grid.crm.put(f"d{number}", value=1000 + number)
    grid.run(600)
    grid.grid.rows = before
    grid.grid.touched()
    (held,) = grid.run(600).held
    assert held.kind is GuardKind.OLD_COPY
    grid.crm.put("d1", source="ad")
    waits = waits_in(grid, "d1")
    assert list(waits) == ["value"]
    assert held.digest in str(waits["value"])
