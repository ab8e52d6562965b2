"""Cells that a write put into other rows than those it meant (LIMITS: rows that move under a write)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syncd.model import Raw
from syncd.reconcile import PassResult
from syncd.tables.sheet_memory import SheetRow
from syncd.tables.strays import Strays
from tests.grids import GridWorld
from tests.memory import Crash

DEALS = ("d1", "d2", "d3")


class Moving(GridWorld):
    """A sheet on a server that is turned round while d1's row is written: d3's row is hit. `events` happen at the n-th
    write of a row, before or after it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, partial=True)
        self.filled(*DEALS)
        self.events: dict[tuple[int, str], str] = {}
        self.sorts = {1}
        self.count = 0

    def begin(self) -> PassResult | None:
        """The pass in which it happens; None where it was killed."""
        self.clear_logs()
        self.crm.put("d1", name="Zz new name", value=4711)
        self.hooks = [self._meanwhile]
        try:
            return self.run()
        except Crash:
            self.restart()
            return None
        finally:
            self.hooks = []
            self.grid.down, self.grid.busy, self.grid.lost = False, "", []

    def _meanwhile(self, who: str, verb: str, phase: str, what: object) -> None:
        if (who, verb) != ("table", "write"):
            return
        self.count += phase == "before"
        if phase == "before" and self.count in self.sorts:
            self.grid.rows.reverse()
            self.grid.touched()
        event = self.events.get((self.count, phase), "")
        if event == "crash":
            raise Crash
        if event == "down":
            self.grid.down = True
        if event.startswith("lost"):
            self.grid.lost = [event.partition(" ")[2]]
        if event == "busy":
            self.grid.busy = "The sheet is protected."

    def is_whole(self) -> None:
        """Nothing of d1 is in d3, and both sides agree."""
        assert (self.grid.cell("d3", "name"), self.grid.cell("d3", "value")) == ("Deal d3", 100)
        assert self.grid.cell("d1", "name") == "Zz new name"
        assert [one for one in self.crm.triggers if one[0] != "d1"] == []
        assert [one for one in self.crm.log if one.id != "d1"] == []
        self.agree(*DEALS)
        assert self.store.fact("sheet_strays") in (None, {"sent": [], "owed": {}})


@pytest.fixture
def world(tmp_path: Path) -> Moving:
    return Moving(tmp_path)


@pytest.mark.parametrize(
    "event",
    [
        ((2, "before"), "down"),
        ((2, "before"), "lost before"),
        ((2, "before"), "lost after"),
        ((2, "before"), "busy"),
        ((2, "before"), "crash"),
        ((2, "after"), "crash"),
        ((1, "after"), "crash"),
        ((1, "before"), "lost after"),
    ],
)
def test_rows_that_moved_under_a_write_get_back_what_they_held_whatever_happens(
    world: Moving, event: tuple[tuple[int, str], str]
) -> None:
    world.events = dict([event])
    world.begin()
    for _ in range(3):
        world.run()
        assert world.crm.triggers == []
    world.is_whole()
    assert world.table.memory.edited("d3", ["name"]) == world.table.memory.edited("d2", ["name"]), "it is no edit"


def test_what_is_owed_is_put_back_where_nothing_else_is_to_be_written(world: Moving) -> None:
    world.events = {(2, "before"): "busy"}
    world.begin()
    world.crm.put("d1", name="Deal d1", value=100)
    world.run()
    assert world.grid.cell("d3", "name") == "Deal d3"
    assert world.grid.log[-1][0] == "d3"


def test_rows_that_moved_under_the_second_write_as_well(world: Moving) -> None:
    world.sorts = {1, 2}
    world.begin()
    for _ in range(2):
        world.run()
        assert world.crm.triggers == []
    world.is_whole()


def test_what_a_person_typed_since_stays_and_travels(world: Moving) -> None:
    world.events = {(2, "before"): "busy"}
    world.begin()
    world.edit_row("d3", name="Typed")
    for _ in range(2):
        world.run()
    assert world.grid.cell("d3", "name") == "Typed"
    assert (world.crm.now("d3") or {})["name"] == "Typed"
    assert (world.crm.now("d3") or {})["value"] == world.grid.cell("d3", "value") == 100
    world.agree(*DEALS)


def test_a_row_is_not_written_before_it_has_back_what_it_held(world: Moving) -> None:
    world.events = {(2, "before"): "busy"}
    world.begin()
    world.grid.busy = "The sheet is protected."
    world.crm.put("d3", name="Zz new name")
    world.run()
    world.grid.busy = ""
    for _ in range(2):
        world.run()
    assert (world.grid.cell("d3", "name"), world.grid.cell("d3", "value")) == ("Zz new name", 100)
    world.agree(*DEALS)


def test_a_side_that_is_down_for_the_second_write_says_nothing_of_the_first(world: Moving) -> None:
    """The first write was made: its outcome is found by reading, not taken for "not sent"."""
    world.events = {(2, "before"): "down"}
    assert world.begin() is not None
    states = [write.state for write in world.store.history() if write.deal == "d1" and write.action == "update"]
    assert states == ["open"]


def test_an_old_database_is_owed_nothing(world: Moving) -> None:
    world.events = {(2, "before"): "busy"}
    world.begin()
    owed = {"name": ["Zz new name", "Deal d3"], "value": [4711, 100]}
    assert world.store.fact("sheet_strays")["owed"] == {"d3": owed}
    world.store.start_anew("", world.clock.now)
    assert world.store.fact("sheet_strays") is None


def test_a_refused_write_was_not_sent(world: Moving) -> None:
    world.sorts = set()
    world.events = {(1, "before"): "down"}
    world.begin()
    assert world.store.fact("sheet_strays") == {"sent": [], "owed": {}}


def test_rows_that_move_under_both_writes_are_whole_after_the_same_pass(world: Moving) -> None:
    world.sorts = {1, 2}
    world.begin()
    assert (world.grid.cell("d3", "name"), world.grid.cell("d3", "value")) == ("Deal d3", 100)
    assert world.store.fact("sheet_strays") == {"sent": [], "owed": {}}


def test_of_two_rows_with_one_key_nobody_knows_which_was_hit(world: Moving) -> None:
    """Both are left alone until only one has it."""
    world.events = {(2, "before"): "busy"}
    world.begin()
    world.grid.copy(world.grid.place("d3"))
    name = world.grid.column("name")
    world.run()
    assert [row[name] for row in world.grid.rows if row[world.grid.column("id")] == "d3"] == ["Zz new name"] * 2
    world.grid.drop(len(world.grid.rows) - 1)
    for _ in range(2):
        world.run()
    world.is_whole()


def test_a_formula_that_shows_what_we_put_there_is_left_alone(world: Moving) -> None:
    world.events = {(2, "before"): "busy"}
    world.begin()
    world.grid.formulas = {(world.grid.place("d3"), world.grid.column("name"))}
    world.run()
    assert world.grid.cell("d3", "name") == "Zz new name"
    assert world.grid.cell("d3", "value") == 100


# --- by themselves ---------------------------------------------------------------------------------------------------


def row(place: int, key: str | None, **cells: Raw) -> SheetRow:
    return SheetRow(place, key, cells)


BEFORE: dict[str, dict[str, Raw]] = {"a": {"name": "A", "value": 1}, "b": {"name": "B", "value": 1}}
SENT: dict[int, tuple[str, dict[str, Raw]]] = {0: ("a", {"name": "N", "value": 1})}


@pytest.mark.parametrize(
    ("rows", "owed"),
    [
        ([row(0, "b", name="N", value=1), row(1, "a", name="A", value=1)], {"b": {"name": ("N", "B")}}),
        ([row(0, "a", name="N", value=1), row(1, "b", name="B", value=1)], {}),  # it arrived
        ([row(0, "a", name="A", value=1), row(1, "b", name="N", value=1)], {}),  # nothing moved: somebody typed it
        ([row(0, "b", name="N", value=1), row(1, "a", name="N", value=1)], {}),  # it arrived, then rows were sorted
        ([row(0, "b", name="N", value=2), row(1, "a", name="A", value=1)], {}),  # not all of it is there
        ([row(0, None, name="N", value=1), row(1, "a", name="A", value=1)], {}),
        ([row(0, "c", name="N", value=1), row(1, "a", name="A", value=1)], {}),  # nobody knows what it held
        ([row(1, "a", name="A", value=1)], {}),
    ],
)
def test_what_a_write_without_an_answer_did(rows: list[SheetRow], owed: dict[str, object]) -> None:
    strays = Strays(dict(SENT))
    strays.settle(rows, BEFORE)
    assert (strays.sent, strays.owed) == ({}, owed)


def test_a_row_that_is_hit_twice_gets_back_what_it_held_at_first() -> None:
    strays = Strays(owed={"b": {"name": ("N", "B")}})
    strays.hit(row(0, "b", name="M", value=7), {"name": "B", "value": 1}, {"name", "value"})
    assert strays.owed == {"b": {"name": ("M", "B"), "value": (7, 1)}}


def test_a_row_reads_as_if_it_had_back_what_it_is_owed() -> None:
    strays = Strays(owed={"b": {"name": ("N", "B"), "value": (7, 1)}})
    assert strays.as_meant(row(0, "b", name="N", value=8)) == row(0, "b", name="B", value=8)
    strays.seen([row(0, "b", name="N", value=8), row(1, "a", name="N", value=7)])
    assert strays.owed == {"b": {"name": ("N", "B")}}
    strays.seen([row(1, "a", name="A", value=7)])
    assert strays.owed == {"b": {"name": ("N", "B")}}, "the row may come back"
    strays.seen([row(0, "b", name="B", value=8)])
    assert strays.owed == {}


def test_it_is_kept_and_restored() -> None:
    strays = Strays(dict(SENT), {"b": {"name": ("N", "B")}})
    assert Strays.restored(json.loads(json.dumps(strays.stored()))) == strays
    assert Strays.restored(None) == Strays()
