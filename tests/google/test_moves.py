"""Whatever people do with the rows: a value is written to the row that was meant, and to no other cell.

People act between the listing and the second read (moves that are seen) in one test, and also between that read and the
write in the other, where only new rows and other rows may suffer nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.model import Raw
from syncd.tables import google_client
from syncd.tables.google_sheets import GoogleGrid, open_google
from tests.sandbox.google import BOOK, Desk

HEADER = ("Name", "Value", "Note", "GHL ID")
NAME, VALUE, NOTE, KEY = range(4)
KINDS = ("edit", "sort", "torn sort", "insert", "delete", "copy", "paste over", "clear", "add", "formula", "unkey")
Act = tuple[str, int, int]
acts = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 30), st.integers(0, 30)), max_size=5)
keys = st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=9)
happened: Counter[str] = Counter()


class World:
    """One sheet, made anew for each example."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.people = self.desk.google
        self.people.set(reads_per_minute=None, writes_per_minute=None)
        with mock.patch.object(google_client, "QUOTA", 10**9):
            self.grid: GoogleGrid = open_google(
                spreadsheet_id=BOOK, sheet="Deals", credentials=self.desk.key, base_url=self.desk.url
            )

    def fresh(self, rows: list[int | None]) -> None:
        self.desk.book.tabs[1:] = []
        self.people.add_tab(BOOK, "Deals", HEADER, rows=12)
        for at, key in enumerate(rows):
            cells: dict[str, Any] = {"Name": f"n{at}", "Value": at, "Note": f"note {at}"}
            self.people.person_add(BOOK, "Deals", cells | ({} if key is None else {"GHL ID": f"k{key}"}))
        self.grid._layout = None

    def rows(self) -> list[tuple[Any, ...]]:
        """What people see."""
        return [tuple(row.get(name) for name in HEADER) for row in self.people.rows(BOOK, "Deals")]

    def act(self, kind: str, one: int, two: int) -> None:
        """A person's act; nothing where there is no row for it."""
        count, people, where = len(self.people.rows(BOOK, "Deals")), self.people, (BOOK, "Deals")
        if kind == "add":
            people.person_add(*where, {"Name": f"added {one}"})
        elif not count:
            return
        elif kind in ("sort", "torn sort"):
            leave = ["GHL ID"] if kind == "torn sort" else []
            people.person_sort(*where, "Name" if one % 2 else "Note", descending=two % 2 == 0, leave=leave)
        elif kind == "insert":
            people.person_insert(*where, one % count, {"Name": f"inserted {two}"} if two % 2 else None)
        elif kind == "delete":
            people.person_delete(*where, one % count)
        elif kind == "copy":
            people.person_copy(*where, one % count)
        elif kind == "paste over":
            people.person_copy(*where, one % count, to=two % count)
        elif kind == "clear":
            people.person_clear(*where, one % count)
        elif kind == "unkey":
            people.person_edit(*where, one % count, {"GHL ID": None})
        else:
            people.person_edit(
                *where, one % count, {"Value": "=1+1"} if kind == "formula" else {"Note": f"typed {two}"}
            )
        happened[kind] += 1


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    yield made
    made.grid.close()
    made.desk.close()


def shown(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Without the blank rows at the end, which may be shown or not."""
    while rows and not any(cell is not None for cell in rows[-1]):
        rows = rows[:-1]
    return rows


def check_write(world: World, keys: list[int | None], acts: list[Act], wanted: set[int], new: int) -> None:
    world.fresh(keys)
    sheet = world.grid.load()
    assert shown(list(sheet.rows)) == world.rows()
    for act in acts:
        world.act(*act)
    rows = [row for row, cells in enumerate(sheet.rows) if cells[KEY] in {f"k{key}" for key in wanted}]
    again, before = world.grid.refresh(sheet, rows), world.rows()
    tab = world.desk.book.tab("Deals")
    for row in [row for row in rows if row < len(again.rows)]:  # what was asked for is what is there
        assert again.rows[row] == (before[row] if row < len(before) else (None,) * 4)
        assert ((row, VALUE) in again.formulas) == bool(tab.cell(row + 1, VALUE).formula)
    here, there = ([cells[KEY] for cells in some] for some in (again.rows, before))
    assert here[: len(there)] == there  # every key, where it is now
    assert not any(here[len(there) :])
    # The engine's rule: a row is written to only where it still carries the key that it is known by.
    targets = [row for row in rows if row < len(again.rows) and again.rows[row][KEY] == sheet.rows[row][KEY]]
    happened["held"] += len(targets) < len(rows)
    happened["written"] += bool(targets)
    happened["new"] += new > 0
    changes: dict[tuple[int, int], Raw] = {(row, NAME): f"=new {row}" for row in targets}
    changes |= {(row, NOTE): None for row in targets}
    after = world.grid.write(again, changes, [{NAME: f"made {at}", KEY: f"m{at}"} for at in range(new)])
    expected = [
        (f"=new {row}", cells[VALUE], None, cells[KEY]) if row in targets else cells for row, cells in enumerate(before)
    ]
    made = [(f"made {at}", None, None, f"m{at}") for at in range(new)]
    assert world.rows() == [*expected, *made]
    assert [after.rows[row] for row in targets] == [expected[row] for row in targets]
    assert [cells for cells in after.rows if str(cells[KEY]).startswith("m")] == made


def check_new(world: World, keys: list[int | None], acts: list[Act], late: list[Act], new: int) -> None:
    world.fresh(keys)
    sheet = world.grid.load()
    for act in acts:
        world.act(*act)
    again = world.grid.refresh(sheet, [])
    for act in late:
        world.act(*act)
    before = world.rows()
    happened["late"] += bool(late)
    world.grid.write(again, {}, [{NAME: f"made {at}", KEY: f"m{at}"} for at in range(new)])
    assert world.rows() == [*before, *((f"made {at}", None, None, f"m{at}") for at in range(new))]


often = settings(max_examples=150, deadline=None, database=None)


def test_a_value_is_never_put_in_a_wrong_row(world: World) -> None:
    happened.clear()

    @often
    @given(keys=keys, acts=acts, wanted=st.sets(st.integers(0, 9), max_size=4), new=st.integers(0, 2))
    def check(keys: list[int | None], acts: list[Act], wanted: set[int], new: int) -> None:
        check_write(world, keys, acts, wanted, new)

    check()
    assert [kind for kind in (*KINDS, "held", "written", "new") if not happened[kind]] == []


def test_new_rows_harm_nobody_whatever_happens_meanwhile(world: World) -> None:
    happened.clear()

    @often
    @given(keys=keys, acts=acts, late=acts, new=st.integers(1, 3))
    def check(keys: list[int | None], acts: list[Act], late: list[Act], new: int) -> None:
        check_new(world, keys, acts, late, new)

    check()
    assert [kind for kind in (*KINDS, "late") if not happened[kind]] == []
