"""The state database: what goes in comes out, and no failure leaves half of anything (SPEC §§3.3, 3.7)."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]  # as the store: pysqlite3 where it is installed

from syncd.judge import Change, ChangeKind
from syncd.model import ABSENT, Agreed, Link, LinkState, Raw, Side, packed_shadow
from syncd.store import FILE_NAME, SCHEMA_VERSION, ChangeLine, RefusedWrite, Store, StoreFailed, change_line

NAMES = ("name", "stage", "value")
AGREED = {
    "name": Agreed("Café 🔥", "Café 🔥", "Café  🔥 ", "Café 🔥"),
    "stage": Agreed("p1:s1", ["p1", "s1"], ["Sales", "New"], "Sales / New"),
    "value": Agreed("0", None, 0, "0"),
}
LINE = ChangeLine("stage", "p1:s1", None, "Sales / New", "", "conflict", "both changed", ["Sales", "New"], ["p1", "s2"])


class Killed(BaseException):
    """The process dies."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = Store(tmp_path, "acme")
    yield opened
    opened.close()


def make_link(deal: str = "d1", **changes: Any) -> Link:
    """A link with a full shadow."""
    given = {"seen": 12.125, "seen_at": 13.5, "own": (1.5, 2.25), "foreign": 9.75,
             "shadow": packed_shadow(AGREED, NAMES), "title": "Café 🔥", "row": f"row {deal}", **changes}  # fmt: skip
    return Link(deal, **given)


def unpacked(link: Link) -> Link:
    """A link of `Store.links`, its shadow fetched, and its fingerprints compared with those of what was fetched."""
    lazy, packed = link.shadow, packed_shadow(link.agreed(), NAMES)
    assert (lazy.crm_print, lazy.table_print) == (packed.crm_print, packed.table_print)
    return replace(link, shadow=packed)


def again(store: Store) -> Store:
    """The same file, opened anew."""
    return Store(store.path.parent, store.pair)


def intend(store: Store, deal: str = "d1", title: str = "Roof", at: float = 5.0) -> int:
    """An intent in a transaction of its own."""
    with store.tx():
        return store.intend(None, at, Side.CRM, "update", deal, "r1", title, [LINE])


# --- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(LinkState))
def test_a_link_comes_back_as_it_was(store: Store, state: LinkState) -> None:
    link = make_link(state=state)
    bare = Link("d2", "r2")
    store.put_links([link, bare])
    with_file = again(store)
    assert {deal: unpacked(one) for deal, one in with_file.links().items()} == {"d1": link, "d2": bare}
    assert [one.agreed() for one in with_file.links().values()] == [AGREED, {}]
    assert with_file.count_links() == 2
    assert with_file.link("d1") == link
    assert with_file.link("nobody") is None
    assert link.agreed() == AGREED
    with_file.close()


def test_links_are_replaced_and_forgotten(store: Store) -> None:
    store.put_links([make_link("d1"), make_link("d2")])
    store.put_links([make_link("d1", row="moved")])
    store.forget(["d2", "d9"])
    assert {deal: link.row for deal, link in store.links().items()} == {"d1": "moved"}


def test_a_link_that_moves_on_keeps_the_shadow_that_nobody_fetched(store: Store) -> None:
    store.put_links([make_link("d1"), make_link("d2")])
    moved = replace(store.links()["d1"], row="moved", seen=99.5, own=(7.0,), foreign=8.0, title="New")
    store.put_links([moved, make_link("d3")])
    assert unpacked(store.links()["d1"]) == make_link("d1", row="moved", seen=99.5, own=(7.0,), foreign=8.0,
                                                      title="New")  # fmt: skip
    assert store.count_links() == 3


def test_an_intent_becomes_history(store: Store) -> None:
    first, second = intend(store), intend(store, "d2")
    assert [write.id for write in store.open_writes()] == [first, second]
    with store.tx():
        store.end(first, 9.0, "done", row="r7", note="noted")
    (still,) = store.open_writes()
    assert still.id == second
    done = store.history(deal="d1")[0]
    assert (done.state, done.ended_at, done.row, done.note, done.at) == ("done", 9.0, "r7", "noted", 5.0)
    assert done.changes == (LINE,)
    assert (still.side, still.action, still.row, still.ended_at) == (Side.CRM, "update", "r1", None)
    assert [write.id for write in store.history()] == [second, first]
    assert [write.id for write in store.history(limit=1)] == [second]


@pytest.mark.parametrize(
    ("typed", "found"),
    [("100%", ["100% off"]), ("_", ["a_b"]), ("\\", ["back\\slash"]), ("Roof", ["Roof"]), ("roof", ["Roof"]),
     ("d3", ["back\\slash"]), ("%", ["100% off"]), ("o", ["Roof", "100% off"]), ("'; DROP TABLE writes; --", [])],
)  # fmt: skip
def test_a_search_in_the_history_takes_every_sign_as_it_is(store: Store, typed: str, found: list[str]) -> None:
    for n, title in enumerate(("100% off", "a_b", "Roof", "back\\slash")):
        intend(store, f"d{n}", title)
    assert [write.title for write in store.history(deal=typed)] == found


def test_facts_messages_refusals_and_keys_come_back(store: Store) -> None:
    store.set_fact("columns", {"name": "fld1"})
    store.put_messages({"r1": "Café", "r2": ""})
    refused = RefusedWrite("d1", Side.TABLE, "No.", "{}", "Roof", 3, 1.5, 99.25)
    store.put_refused(refused)
    store.put_absent(["k1"], 100.0)
    assert store.fact("columns") == {"name": "fld1"}
    assert store.fact("nothing") is None
    assert store.messages() == {"r1": "Café", "r2": ""}
    assert store.refused() == [refused]
    assert (store.absent_keys(99.0), store.absent_keys(100.0)) == (frozenset({"k1"}), frozenset())
    store.clear_refused([("d1", Side.CRM)])
    assert store.refused() == [refused]
    store.clear_refused([("d1", Side.TABLE)])
    assert store.refused() == []


def test_an_unchanged_fact_is_not_written_again(store: Store) -> None:
    store.set_fact("labels", {"b": 1, "a": 2})
    before = store.connection.total_changes
    store.set_fact("labels", {"a": 2, "b": 1})
    store.put_links([])
    assert store.connection.total_changes == before


def test_passes_end_and_the_last_success_is_found(store: Store) -> None:
    first = store.begin_pass(1.0)
    store.end_pass(first, 2.0, {"links": 3}, "")
    second = store.begin_pass(3.0)
    store.end_pass(second, 4.0, {}, "HighLevel does not answer.")
    third = store.begin_pass(5.0)
    assert [(p.id, p.ended, p.error) for p in store.last_passes()] == [
        (third, None, ""), (second, 4.0, "HighLevel does not answer."), (first, 2.0, "")]  # fmt: skip
    last = store.last_success()
    assert last is not None
    assert (last.id, last.report) == (first, {"links": 3})


def test_old_passes_are_forgotten(store: Store) -> None:
    for n in range(5):
        number = store.begin_pass(float(n))
    store.end_pass(number + 1000, 9.0, {}, "")
    assert [p.id for p in store.last_passes()] == [number]


def test_two_pairs_in_one_folder_do_not_see_each_other(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path, "other")
    store.put_links([make_link()])
    store.set_fact("x", 1)
    store.put_messages({"r1": "a"})
    store.put_absent(["k"], 1.0)
    write = intend(store)
    with other.tx():
        other.end(write, 1.0, "done")
    other.forget(["d1"])
    assert (other.links(), other.fact("x"), other.messages(), other.open_writes(), other.history()) == (
        {}, None, {}, [], [])  # fmt: skip
    assert other.absent_keys(0.0) == frozenset()
    assert len(store.open_writes()) == len(store.links()) == 1
    other.close()


def test_a_missing_old_value_is_kept_as_none() -> None:
    change = Change(0, Side.CRM, ABSENT, "x", ChangeKind.EDIT, "why", None, None)
    line = change_line("name", change, "", "x")
    assert (line.old, line.new, line.kind) == (None, "x", "edit")


# --- transactions ----------------------------------------------------------------------------------------------------


def test_what_is_killed_within_a_transaction_never_was(store: Store) -> None:
    store.put_links([make_link("d1")])

    def killed(error: type[BaseException]) -> None:
        with store.tx():
            store.put_links([make_link("d2")])
            store.intend(None, 1.0, Side.CRM, "update", "d2", "r2", "", [])
            raise error

    for error in (Killed, ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            killed(error)
        fresh = again(store)
        assert list(fresh.links()) == list(store.links()) == ["d1"]
        assert fresh.open_writes() == []
        fresh.close()
    store.put_links([make_link("d3")])
    assert sorted(again(store).links()) == ["d1", "d3"]


def steps(store: Store) -> list[Callable[[], None]]:
    """A write's life, each step its own commit."""

    def begin() -> None:
        intend(store)

    def acknowledge() -> None:
        with store.tx():
            store.put_links([make_link("d1", row="r1")])
            store.end(1, 2.0, "done")

    return [
        lambda: store.set_fact("columns", {"name": "fld1"}),
        lambda: store.put_links([make_link("d1")]),
        begin,
        acknowledge,
        lambda: store.put_messages({"r1": "x"}),
        lambda: store.forget(["d1"]),
    ]


def seen(store: Store) -> tuple[object, ...]:
    """Everything that a store tells."""
    return (store.fact("columns"), store.links(), store.history(), store.messages(), store.open_writes())


def test_a_copy_taken_after_any_commit_opens_to_that_state(tmp_path: Path) -> None:
    store = Store(tmp_path / "live", "acme")
    for n, step in enumerate(steps(store)):
        step()
        copy = tmp_path / f"copy{n}"
        copy.mkdir()
        for file in (tmp_path / "live").iterdir():
            if not file.name.endswith("-shm"):
                shutil.copy(file, copy / file.name)
        opened = Store(copy, "acme")
        assert seen(opened) == seen(store), n
        assert opened.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        opened.close()
    store.close()


class Failing:
    """A connection whose n-th statement, commit included, fails."""

    def __init__(self, inner: Any, nth: int, error: type[BaseException] = sqlite3.OperationalError) -> None:
        self.inner, self.left, self.error = inner, nth, error

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error("database or disk is full")

    def execute(self, *args: Any) -> Any:
        self._count()
        return self.inner.execute(*args)

    def executemany(self, *args: Any) -> Any:
        self._count()
        return self.inner.executemany(*args)

    def commit(self) -> None:
        self._count()
        self.inner.commit()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def fails(step: Callable[[], None]) -> bool:
    """Whether the step ends in a failed store, which must say so in a sentence."""
    try:
        step()
    except StoreFailed as error:
        return "disk is full" in str(error)
    return False


def test_any_statement_that_fails_is_a_failed_store_and_a_whole_file(tmp_path: Path) -> None:
    """After it the same store goes on: nothing half-done is pending, and nothing is committed later unseen."""
    for nth in range(1, 100):
        store = Store(tmp_path / str(nth), "acme")
        whole, fresh = store.connection, again(store)
        store.connection, failed = Failing(whole, nth), 0
        for step in steps(store):
            state = seen(fresh)
            if fails(step):
                failed += 1
                store.connection = whole
                assert seen(fresh) == seen(store) == state, "nothing of it"
                step()
            assert seen(fresh) != state, "all of it"
        store.connection = whole
        assert seen(fresh) == seen(store)
        fresh.close()
        whole.close()
        if not failed:
            assert nth > 15
            return
    pytest.fail("the statements have no end")


def test_a_commit_that_fails_leaves_nothing_pending(store: Store) -> None:
    whole = store.connection
    store.connection = Failing(whole, 3)
    with pytest.raises(StoreFailed):
        store.put_links([make_link("d1")])  # begin, insert, commit
    store.connection = whole
    assert not whole.in_transaction
    assert store.links() == {}
    store.put_links([make_link("d2")])
    fresh = again(store)
    assert list(fresh.links()) == ["d2"]
    fresh.close()


# --- opening ---------------------------------------------------------------------------------------------------------


def test_killed_at_any_statement_of_its_making_it_opens_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sqlite_utils.Database.execute
    for nth in range(1, 60):
        folder, count = tmp_path / str(nth), [0]

        def execute(self: Any, *args: Any, count: list[int] = count, at: int = nth) -> Any:
            count[0] += 1
            if count[0] == at:
                raise Killed
            return whole(self, *args)

        monkeypatch.setattr(sqlite_utils.Database, "execute", execute)
        try:
            Store(folder, "acme").close()
            done = True
        except Killed:
            done = False
        monkeypatch.setattr(sqlite_utils.Database, "execute", whole)
        opened = Store(folder, "acme")
        opened.put_links([make_link()])
        intend(opened)
        assert len(opened.links()) == len(opened.open_writes()) == 1
        opened.close()
        if done:
            assert nth > 8
            return
    pytest.fail("making the file has no end")


def test_a_file_of_version_2_keeps_its_links_and_rows(tmp_path: Path) -> None:
    store = Store(tmp_path, "acme")
    store.put_links([make_link("d1"), make_link("d2", row="r2")])
    store.put_sheet_rows({"r1": (3, "cells", "windows")}, (), 1.0)
    links, sheet = {deal: unpacked(one) for deal, one in store.links().items()}, store.sheet_rows()
    for table in ("links", "sheet_rows"):  # as version 2 made them
        [(made,)] = store.connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchall()
        store.connection.execute(f"ALTER TABLE {table} RENAME TO newer")
        store.connection.execute(f"{made} WITHOUT ROWID")
        store.connection.execute(f"INSERT INTO {table} SELECT * FROM newer")  # noqa: S608
        store.connection.execute("DROP TABLE newer")
    store.connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'rows_of_their_own'")
    store.connection.execute("PRAGMA user_version=2")
    store.connection.commit()
    store.close()
    assert list(Store(tmp_path, "acme", read_only=True).links()) == ["d1", "d2"], "read before the daemon starts anew"
    newer = Store(tmp_path, "acme")
    assert ({deal: unpacked(one) for deal, one in newer.links().items()}, newer.sheet_rows()) == (links, sheet)
    [(made,)] = newer.connection.execute("SELECT sql FROM sqlite_master WHERE name = 'links'").fetchall()
    assert "ROWID" not in made
    newer.put_links([make_link("d1", row="moved")])
    assert newer.links()["d1"].row == "moved", "one link a deal"
    assert newer.count_links() == 2


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_file_is_refused_with_a_sentence(tmp_path: Path, read_only: bool) -> None:
    store = Store(tmp_path, "acme")
    store.connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    store.close()
    with pytest.raises(StoreFailed, match=r"newer syncd.*\."):
        Store(tmp_path, "acme", read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database at all, but long enough to be one" * 50)
    with pytest.raises(StoreFailed, match=re.escape(str(tmp_path))):
        Store(tmp_path, "acme", read_only=read_only).links()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreFailed, match="a file stands there"):
        Store(tmp_path / "file" / "state", "acme")


def test_the_file_is_private(store: Store) -> None:
    assert store.path.stat().st_mode & 0o077 == 0


def test_a_reader_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed):
        Store(tmp_path, "acme", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_sees_the_newest_commit_while_a_writer_writes(store: Store) -> None:
    store.put_links([make_link("d1")])
    reader = Store(store.path.parent, "acme", read_only=True)
    with store.tx():
        store.put_links([make_link("d2")])
        assert list(reader.links()) == ["d1"], "not before its commit"
    assert sorted(reader.links()) == ["d1", "d2"]
    with pytest.raises(StoreFailed):
        reader.put_links([make_link("d3")])
    assert sorted(store.links()) == ["d1", "d2"]
    reader.close()


def test_writers_of_several_threads_lose_nothing(store: Store) -> None:
    failures: list[BaseException] = []

    def write(name: str) -> None:
        try:
            own = Store(store.path.parent, name)
            for n in range(20):
                own.put_links([make_link(f"{name}{n}")])
            own.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(f"pair{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for n in range(4):
        reader = Store(store.path.parent, f"pair{n}", read_only=True)
        assert len(reader.links()) == 20
        reader.close()


@pytest.mark.parametrize("raw", [None, 0, 1.5, True, "", "x\u0000y", "\U0001f525", ["a", None], [["p"], 3], "'\"\\"])
def test_every_raw_value_comes_back(store: Store, raw: Raw) -> None:
    store.put_links([make_link(shadow=packed_shadow({"name": Agreed("v", raw, raw, "l")}, NAMES))])
    link = store.link("d1")
    assert link is not None
    assert link.agreed() == {"name": Agreed("v", raw, raw, "l")}
