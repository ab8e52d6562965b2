"""Which row is which, and when a cell changed: the memory of a sheet (tables/sheet_memory.py)."""

from __future__ import annotations

from math import inf
from pathlib import Path

from syncd.model import Raw, Stamp
from syncd.store import Store
from syncd.tables.sheet_memory import Seen, SheetMemory, SheetRow, named


def row(place: int, key: str | None = None, /, **cells: Raw) -> SheetRow:
    return SheetRow(place, key, cells)


def read(memory: SheetMemory, at: float, *rows: SheetRow) -> list[str]:
    """A read that takes no time."""
    return memory.read(rows, at, at)[0]


# --- ids -------------------------------------------------------------------------------------------------------------


def test_a_row_is_called_by_its_key_and_a_second_one_by_its_number() -> None:
    assert named([row(0, "a"), row(1, "b"), row(2, "a"), row(3, "a")], {}) == ["a", "b", "a~2", "a~3"]


def test_a_row_without_a_key_keeps_its_name_over_sorts_edits_and_lost_memories() -> None:
    rows = [row(0, None, name="A", value=1, email="a@x.y"), row(1, None, name="B", value=2, email="b@x.y")]
    a, b = named(rows, {})
    assert a != b
    assert named(rows[::-1], {}) == [b, a]  # nothing is remembered, and nothing changed
    before = {a: Seen(0, rows[0].cells), b: Seen(1, rows[1].cells)}
    moved = [row(0, None, name="B", value=2, email="b@x.y"), row(1, None, name="A", value=7, email="a@x.y")]
    assert named(moved, before) == [b, a]
    assert named([row(4, None, name="Other", value=1, email="a@x.y")], before) == [a]


def test_equal_rows_have_names_of_their_own() -> None:
    rows = [row(place, None, name="A") for place in range(3)]
    first = named(rows, {})
    assert len(set(first)) == 3
    assert named(rows, {id: Seen(at, {"name": "A"}) for at, id in enumerate(first)}) == first


def test_a_row_that_is_half_another_one_is_new() -> None:
    before = {"~x": Seen(0, {"name": "A", "value": 1, "status": "open", "email": "a@x.y"})}
    assert named([row(0, None, name="B", value=1, status="won", email="b@x.y")], before) != ["~x"]
    assert named([row(5, None, name="B", value=1, status="open", email="b@x.y")], before) != ["~x"]
    assert named([row(0, None, name="B", value=1, status="open", email="b@x.y")], before) == ["~x"]  # at its place


def test_two_rows_that_are_as_like_are_nobody() -> None:
    before = {"~x": Seen(9, {"name": "A", "value": 1})}
    found = named([row(0, None, name="A", value=2), row(1, None, name="A", value=3)], before)
    assert "~x" not in found


def test_a_new_row_never_gets_the_name_of_another() -> None:
    (a,) = named([row(0, None, name="A")], {})
    before = {a: Seen(0, {"name": "A", "value": 1})}
    found = named([row(0, None, name="A", value=1), row(1, None, name="A")], before)
    assert found[0] == a
    assert found[1] != a


# --- windows ---------------------------------------------------------------------------------------------------------


def test_a_window_is_between_the_last_read_and_this_one() -> None:
    memory = SheetMemory()
    read(memory, 10, row(0, "a", name="A", value=None))
    assert memory.edited("a", ["name"]) == Stamp(-inf, 10)
    assert memory.edited("a", ["value"]) == Stamp(-inf, -inf)  # blank, and nobody was seen to edit it
    assert memory.edited("b", ["name"]) is None
    read(memory, 20, row(5, "a", name="A", value=3))
    assert memory.edited("a", ["value"]) == Stamp(10, 20)
    assert memory.edited("a", ["name", "value"]) == Stamp(10, 20)
    memory.read_some({"a": row(5, "a", name="B", value=3)}, 25)
    assert memory.edited("a", ["name"]) == Stamp(20, 25)
    assert memory.changed_since(21) == ["a"]
    assert memory.changed_since(26) == []


def test_a_read_takes_time() -> None:
    memory = SheetMemory()
    memory.read([row(0, "a", name="A")], 10, 12)
    memory.read([row(0, "a", name="B")], 20, 22)
    assert memory.edited("a", ["name"]) == Stamp(10, 22)


def test_a_new_row_came_after_the_last_read_unless_it_may_be_another_one() -> None:
    memory = SheetMemory()
    read(memory, 10, row(0, "a", name="A"))
    read(memory, 20, row(0, "a", name="A"), row(1, "b", name="B"))
    assert memory.edited("b", ["name"]) == Stamp(10, 20)
    read(memory, 30, row(0, "a", name="A"), row(1, "c", name="B"))
    assert memory.edited("c", ["name"]) == Stamp(10, 20)  # only its key was changed
    read(memory, 40, row(0, "a", name="A"), row(1, "d", name="C"))
    assert memory.edited("d", ["name"]) == Stamp(-inf, 40)


def test_it_outlives_the_process(tmp_path: Path) -> None:
    store = Store(tmp_path, "p")
    memory = SheetMemory()
    memory.store = store
    (loose,) = (id for id in read(memory, 10, row(0, "a", name="A"), row(1, None, name="L")) if id != "a")
    memory.save()
    read(memory, 20, row(0, "a", name="B"), row(1, None, name="L"))
    memory.put_formulas("a", frozenset({"value"}))
    memory.save()
    other = SheetMemory()
    other.store = store
    assert read(other, 30, row(0, "a", name="B"), row(2, None, name="L", email="x@y.z")) == ["a", loose]
    assert other.edited("a", ["name"]) == Stamp(10, 20)
    assert other.edited(loose, ["email"]) == Stamp(20, 30)
    assert other.rows["a"].formulas == {"value"}
    other.save()
    read(other, 40, row(0, "b", name="B"))
    other.save()
    assert set(store.sheet_rows()) == {"b"}
    store.close()


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    store = Store(tmp_path, "p")
    memory = SheetMemory()
    memory.store = store
    read(memory, 10, row(0, "a", name="A"), row(1, "b", name="B"))
    memory.save()
    written: list[set[str]] = []
    real = store.put_sheet_rows
    store.put_sheet_rows = lambda rows, gone, at: (written.append(set(rows)), real(rows, gone, at))[1]  # type: ignore[method-assign,func-returns-value]
    read(memory, 20, row(3, "a", name="A"), row(1, "b", name="C"))
    memory.save()
    read(memory, 30, row(0, "a", name="A"), row(1, "b", name="C"))
    memory.save()
    assert written == [{"b"}, set()]
    store.close()


def test_a_state_that_was_started_anew_makes_every_window_wide(tmp_path: Path) -> None:
    store = Store(tmp_path, "p")
    memory = SheetMemory()
    memory.store = store
    read(memory, 10, row(0, "a", name="A"))
    memory.save()
    read(memory, 20, row(0, "a", name="B"))
    memory.save()
    store.start_anew("lost", 25)
    assert store.sheet_rows() == {}
    read(memory, 30, row(0, "a", name="B"))
    memory.save()
    assert memory.edited("a", ["name"]) == Stamp(-inf, 20)
    assert set(store.sheet_rows()) == {"a"}
    store.close()


def test_what_only_looks_keeps_nothing(tmp_path: Path) -> None:
    Store(tmp_path, "p").close()
    reader = Store(tmp_path, "p", read_only=True)
    memory = SheetMemory()
    memory.store = reader
    read(memory, 10, row(0, "a", name="A"))
    memory.save()
    assert reader.sheet_rows() == {}
    reader.connection.close()
    alone = SheetMemory()
    read(alone, 10, row(0, "a", name="A"))
    alone.save()


def test_a_database_of_an_older_version_can_be_read(tmp_path: Path) -> None:
    store = Store(tmp_path, "p")
    store.connection.execute("DROP TABLE sheet_rows")
    store.connection.commit()
    assert store.sheet_rows() == {}
    store.close()
