"""A table or a location that is swapped for another while the program runs: the pass that finds it writes nothing,
wherever in the pass it is found (SPEC §4)."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.memory
from syncd.incremental import CRM_OVERLAP_SECONDS
from syncd.model import Side
from syncd.reconcile import PassResult
from tests.memory import World

DEALS = tuple(f"deal{n:02d}" for n in range(1, 11))
A, B = DEALS[:2]


def a_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int = 2) -> World:
    """A world whose next pass looks at changes alone (pages of two), or at all by the columns of before (of many)."""
    monkeypatch.setattr(tests.memory, "PAGE", page)
    world = World(tmp_path)
    world.incremental = True
    world.restart()
    world.filled(*DEALS)
    world.clock.advance(2 * CRM_OVERLAP_SECONDS)
    assert world.run().full == (page > len(DEALS))
    world.clear_logs()
    return world


def waits(world: World, result: PassResult, side: Side, links: dict[str, str]) -> None:
    """Nothing was written, nothing linked anew, and a person is asked."""
    assert (result.error, result.code, world.writes()) == ("", 3, (0, 0, 0))
    assert [(one.kind.value, one.side) for one in result.held] == [("swapped", side)]
    assert linked(world) == links


def linked(world: World) -> dict[str, str]:
    """The row of each deal."""
    return {deal: link.row for deal, link in world.store.links().items()}


def test_a_table_with_other_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in another row is the doubt that has everything read anew, and that shows the swap."""
    world = a_daemon(tmp_path, monkeypatch)
    links, rows = linked(world), world.table.rows
    world.table.identity, world.table.rows = "app1/tbl2", {}
    world.table.put("recNew", B, name="B, as in another table")
    for _ in range(3):
        waits(world, world.run(), Side.TABLE, links)
    world.table.identity, world.table.rows = "app1/tbl1", rows
    result = world.run()
    assert (result.code, result.held, world.writes(), linked(world)) == (0, [], (0, 0, 0), links)


@pytest.mark.parametrize("side", list(Side))
def test_a_side_with_the_same_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: Side) -> None:
    world = a_daemon(tmp_path, monkeypatch)
    links, swapped = linked(world), world.crm if side is Side.CRM else world.table
    before, swapped.identity = swapped.identity, "another/one"
    world.table.put(world.table.row_of(A), "")
    for _ in range(2):
        waits(world, world.run(), side, links)
    swapped.identity = before
    result = world.run()
    assert (result.code, world.table.row_of(A)) == (0, links[A])


@pytest.mark.parametrize("page", [2, 100])
def test_a_copy_that_is_found_by_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    """An edited select has the columns read: they are the same as before, and those of another table."""
    world = World(tmp_path)
    world.table.make_select("status", "open", "won", "lost")
    monkeypatch.setattr(tests.memory, "PAGE", page)
    world.incremental = True
    world.restart()
    world.filled(*DEALS)
    world.clock.advance(2 * CRM_OVERLAP_SECONDS)
    world.run()
    world.clear_logs()
    links = linked(world)
    world.table.identity = "app1/tbl2"
    world.edit_row(A, status="won")
    waits(world, world.run(), Side.TABLE, links)


def test_an_approval_makes_the_links_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = a_daemon(tmp_path, monkeypatch)
    world.table.identity = "app1/tbl2"
    world.table.put(world.table.row_of(A), "")
    world.run()
    world.table.put(next(row for row, one in world.table.rows.items() if one.key is None), A)
    assert [world.store.answer_held(record.digest, "approved") for record in world.store.held()] == [True]
    result = world.run()
    assert (result.code, result.held, len(linked(world)), world.writes()) == (0, [], len(DEALS), (0, 0, 0))
