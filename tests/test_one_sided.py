"""What somebody takes away again and again is left alone in the end, as what is set back and forth is (SPEC §4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from syncd.fields import ROW
from syncd.model import Side
from syncd.plan import Trouble
from syncd.policy import BlankCell, OneWay, Policy, RowDeleted
from tests.memory import World

A, B = "dealAAA1", "dealBBB2"
Undo = Callable[[World], None]


def clear_key(world: World) -> None:
    """An automation clears the id of A's row."""
    link = world.store.link(A)
    assert link is not None
    world.table.put(link.row, "")


CASES: list[tuple[str, Policy, Undo, str]] = [
    ("stage", Policy(), lambda w: w.edit_row(A, stage="", pipeline=""), "“Stage” was set back and forth"),
    ("name", Policy(), lambda w: w.edit_row(A, name=""), "“Name” was set back and forth"),
    ("value", Policy(blank_cell=BlankCell.NEVER_ERASE), lambda w: w.edit_row(A, value=None), "“Value” was set back"),
    ("source", Policy(one_way=OneWay.WRITE_BACK), lambda w: w.edit_row(A, source="mine"), "“Source” was set back"),
    ("row", Policy(), lambda w: w.table.drop(w.table.row_of(A)), "Its row was deleted several times within an hour"),
    ("key", Policy(), clear_key, "The GHL ID of its row was cleared several times within an hour"),
]


@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize(("policy", "undo", "told"), [one[1:] for one in CASES], ids=[one[0] for one in CASES])
def test_it_is_frozen_after_five_writes(
    tmp_path: Path, policy: Policy, undo: Undo, told: str, incremental: bool
) -> None:
    world = World(tmp_path).filled(A, B).choose(policy=policy)
    world.incremental = incremental
    world.restart()
    world.run()
    world.clear_logs()
    codes = []
    for _ in range(10):
        if world.store.frozen():
            break
        undo(world)
        codes += [world.run(30).code for _ in range(2)]
    count = len(carried(world))
    # The row that the first pass made counts, too.
    assert count == (4 if told.startswith("Its row was deleted") else 5)
    assert set(codes[:-2]) == {0}
    undo_once_more(world, undo)
    result = world.run(400)
    assert result.code == 3
    (finding,) = [one for one in result.findings if one.trouble is Trouble.FROZEN]
    assert finding.sentence.startswith(told)
    assert finding.sentence.endswith(f"Stop the automation, then `syncd resume {A}`.")
    world.edit_row(B, status="won")
    world.run(30)
    assert (world.crm.now(B) or {})["status"] == "won", "all else goes on"
    assert len(carried(world)) == count
    world.store.resume(A, world.clock())
    assert [world.run(400).code for _ in range(2)][-1] == 0
    world.agree(A, B)


def carried(world: World) -> list[int]:
    """What was written to A's row since the first pass, but for Sync cells."""
    writes = [
        one for one in world.store.history() if one.side is Side.TABLE and one.deal == A and one.action != "message"
    ]
    return [one.id for one in writes][:-1]


def undo_once_more(world: World, undo: Undo) -> None:
    """What is away already stays so."""
    try:
        undo(world)
    except (AssertionError, KeyError, StopIteration):
        return


def test_a_deal_edited_after_its_row_was_deleted_counts_likewise(tmp_path: Path) -> None:
    """Under `ignore` a row comes back only with an edit of its deal: that is a person's, every time another value."""
    world = World(tmp_path).filled(A).choose(policy=Policy(row_deleted=RowDeleted.IGNORE))
    for n in range(3):
        world.table.drop(world.table.row_of(A))
        world.run(60)
        world.crm.put(A, value=1000 + n)
        assert world.run(60).tally.created[Side.TABLE] == 1
    assert world.store.frozen() == {}


def test_other_deals_and_other_hours_do_not_count(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B)
    for _ in range(8):
        for deal in (A, B):
            world.edit_row(deal, name="")
            world.run(1000)
    assert world.store.frozen() == {}


def test_a_deal_that_has_no_link_any_more_gets_its_first_row_whatever_was_frozen(tmp_path: Path) -> None:
    """Its row does not come back: there is none that anybody could have taken away."""
    world = World(tmp_path).filled(A)
    with world.store.tx():
        world.store.put_frozen({(B, ROW): "Its row was deleted several times."}, world.clock())
    world.deal(B)
    assert world.run().tally.created[Side.TABLE] == 1
