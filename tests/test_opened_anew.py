"""What is told where a table is not as it was: its Sync column is gone, or another pair has it (SPEC §4)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from syncd.model import Side
from syncd.opened import open_pair
from syncd.sides import Column, Misconfigured
from tests.memory import CountedStore, World, field_of

A, B = "dealAAA1", "dealBBB2"


@pytest.mark.parametrize("incremental", [False, True])
def test_a_sync_column_that_is_gone_is_named(tmp_path: Path, incremental: bool) -> None:
    world = World(tmp_path)
    world.incremental = incremental
    world.start()
    world.table.columns["sync"] = Column("fldSync", "Sync", "text")
    world.filled(A, B)
    del world.table.columns["sync"]
    world.table.sync_column = False
    for _ in range(2):
        result = world.run(4000)  # columns are looked at each hour
        assert (result.code, result.gone_columns) == (3, ("Sync",))
        assert result.for_person() == ["The column “Sync” is gone, so rows cannot say what they need. Make it again."]
    world.table.columns["sync"], world.table.sync_column = Column("fldSync2", "Sync", "text"), True
    assert world.run(4000).code == 0


@pytest.mark.parametrize("incremental", [False, True])
def test_a_pipeline_column_that_is_gone_is_named(tmp_path: Path, incremental: bool) -> None:
    """It is no field by itself, and goes by the name that the configuration gave it."""
    stage = replace(field_of("stage"), columns=("Funnel", "Stage"))
    world = World(tmp_path, (field_of("name"), stage, field_of("status")))
    world.incremental = incremental
    world.start()
    world.filled(A, B)
    held = world.table.columns.pop("pipeline")
    for _ in range(2):
        result = world.run(4000)  # columns are looked at each hour
        assert (result.code, result.gone_columns, world.writes()) == (3, ("Funnel",), (0, 0, 0))
        assert "The column “Funnel” is gone, so its values are not carried." in result.for_person()[0]
    world.table.columns["pipeline"] = held
    assert (world.run(4000).code, world.writes()) == (0, (0, 0, 0))


def test_a_pipeline_column_is_called_so_by_default(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A)
    del world.table.columns["pipeline"]
    result = world.run()
    assert (result.code, result.gone_columns) == (3, ("Pipeline",))


def test_a_table_that_never_had_a_sync_column_lacks_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.table.sync_column = False
    world.filled(A)
    assert world.run().code == 0


@pytest.mark.parametrize("before", [None, {"crm": "loc2", "table": "app9/tbl9"}, {"crm": "loc2", "table": "app1/tbl1"}])
def test_a_pair_that_comes_to_another_pairs_table_is_refused(tmp_path: Path, before: dict[str, str] | None) -> None:
    world = World(tmp_path).filled(A, B)
    store = CountedStore(world.folder, "acme", world.step)
    if before is not None:
        store.set_fact("identity", before)
    first = world.pair
    world.pair = replace(first, name="acme", store=store, siblings=frozenset(("test", "acme")))
    world.crm.identity = "loc2"
    for _ in range(2):
        result = world.run()
        assert (result.code, result.held, world.writes()) == (2, [], (0, 0, 0))
        assert result.error == "The pairs “test” and “acme” use the same table; each needs its own."
        assert store.held() == []
    with pytest.raises(Misconfigured, match="use the same table"):
        open_pair(world.pair, keep=False)  # `syncd plan` says so, too


def test_a_pair_may_come_to_a_table_that_no_other_pair_has_any_more(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B)
    store = CountedStore(world.folder, "acme", world.step)
    store.set_fact("identity", {"crm": "loc1", "table": "app9/tbl9"})
    world.pair = replace(world.pair, name="acme", store=store, siblings=frozenset(("acme", "third")))
    result = world.run()
    assert (result.code, [one.kind.value for one in result.held]) == (3, ["swapped"])
    assert [one.side for one in result.held] == [Side.TABLE]


def test_a_location_that_could_never_be_read_is_none_of_before(tmp_path: Path) -> None:
    """Mistyped at the very first run, and mended: nothing was swapped."""
    world = World(tmp_path)
    world.deal(A)
    world.crm.identity = "mistyped"
    world.crm.faults.down_on = frozenset({"schema"})
    assert world.run().code == 1
    world.crm.identity = "location"
    world.crm.faults.down_on = frozenset()
    result = world.run()
    assert (result.code, result.tally.created[Side.TABLE]) == (0, 1)
    world.crm.identity = "another"
    assert world.run().code == 3, "what was synced is known"


def test_nothing_of_another_table_is_remembered_while_it_waits(tmp_path: Path) -> None:
    """Its columns have ids of their own; taken for columns that were made anew, they would cost the links their shadow,
    and two edits of different fields would be conflicts once the former table is back."""
    world = World(tmp_path).filled(A, B)
    world.edit_row(A, value=5)
    world.clock.advance(60)
    world.crm.put(A, name="Later")
    table, columns = world.table.identity, world.table.columns
    world.table.identity = "app2/tbl2"
    world.table.columns = {name: replace(one, id=f"other{one.id}") for name, one in columns.items()}
    for _ in range(2):
        result = world.run()
        assert (result.code, [one.kind.value for one in result.held], world.writes()) == (3, ["swapped"], (0, 0, 0))
    world.table.identity, world.table.columns = table, columns
    result = world.run()
    assert (result.code, result.tally.conflicts, world.writes()) == (0, 0, (1, 1, 1))
    assert (world.crm.now(A) or {})["value"] == 5
    assert world.row(A).cells["name"] == "Later"
    world.agree(A, B)
