"""Which writes the store counts as written: those that arrived, and those that are taken for it (SPEC §3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.model import Side
from syncd.store import ChangeLine, Store
from tests.memory import World

STATES = ("done", "taken", "not_done", "refused", "open")

A = "dealAAA1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """One write of each fate, each of another deal and another value, in pass 7."""
    store = Store(tmp_path, "test")
    for at, state in enumerate(STATES):
        with store.tx():
            line = ChangeLine("value", "0", f"{at}", "", "", "edit", "")
            write = store.intend(7, 100.0 + at, Side.CRM, "update", state, f"row-{state}", "Title", [line])
            if state != "open":
                store.end(write, 200.0, state)
    yield store
    store.close()


def test_what_is_taken_as_written_is_a_value_that_was_written(store: Store) -> None:
    assert store.written_values(STATES, 0.0) == {("done", "value"): ["0"], ("taken", "value"): ["1"]}


def test_what_is_taken_as_written_need_not_be_planned_again(store: Store) -> None:
    assert store.written_in(7) == {
        (Side.CRM, id) for state in ("done", "taken") for id in (state, f"row-{state}")
    }  # fmt: skip
    assert store.written_in(8) == set()


def test_a_state_that_starts_anew_has_no_open_write(store: Store) -> None:
    store.start_anew("It was lost.", 300.0)
    assert store.open_writes() == []
    fates = {write.deal: (write.state, write.ended_at, write.note) for write in store.history()}
    assert fates.pop("open") == ("taken", 300.0, "It was lost.")
    assert fates == {state: (state, 200.0, "") for state in STATES if state != "open"}


def test_a_deals_history_is_found_by_any_name_that_it_has_or_had(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A)
    for name in ("Zebra one", "Yak two"):
        world.edit_row(A, name=name)
        world.run()
        world.edit_row(A, value=len(name))
        world.run()
    world.crm.put(A, name="Emu three")  # a name that nothing was written under yet
    world.run()
    whole = [write.id for write in world.store.history()]
    for asked in ("zebra", "yak", "EMU", A, world.table.row_of(A)):
        assert [write.id for write in world.store.history(deal=asked)] == whole, asked
    assert world.store.history(deal="gnu") == []
