"""A database that fails at any single call: the pass stops with a sentence, and nothing is lost or done twice (SPEC
§3.7, hazard H37)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]  # as the store

from tests.memory import World
from tests.test_carry import story_of_deletions, story_of_edits, story_of_faults, story_of_records
from tests.test_store import Failing

A, B, C = "dealAAA1", "dealBBB2", "dealCCC3"
ERRORS = ("database or disk is full", "disk I/O error", "database is locked")


def story_of_freezing(world: World) -> None:
    """A field was set back and forth once too often."""
    for value in (1, 100, 1, 100, 1):
        world.edit_row(A, value=value)
        world.run(10)
    world.edit_row(A, value=100)


STORIES: dict[str, Callable[[World], None]] = {
    "edits": story_of_edits,
    "records": story_of_records,
    "faults": story_of_faults,
    "deletions": story_of_deletions,
    "freezing": story_of_freezing,
}


class Nth(Failing):
    """Fails with one of SQLite's errors at its n-th call."""

    def __init__(self, inner: object, nth: int, sentence: str) -> None:
        super().__init__(inner, nth)
        self.sentence = sentence

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise sqlite3.OperationalError(self.sentence)


def begun(folder: Path, name: str) -> World:
    """A filled world in which the story has happened, before any pass saw it."""
    world = World(folder).filled(A, B, C)
    STORIES[name](world)
    world.clear_logs()
    return world


def finish(world: World) -> tuple[object, tuple[int, int, int], object]:
    """Passes until nothing moves; the end state, what it cost, what is frozen."""
    for _ in range(4):
        assert world.run().error == ""
    assert world.store.open_writes() == []
    return world.state(), world.writes(), world.store.frozen()


@pytest.mark.parametrize("name", STORIES)
def test_any_call_of_the_database_may_fail(
    tmp_path: Path, name: str, record_property: Callable[[str, object], None]
) -> None:
    wanted = finish(begun(tmp_path / "reference", name))
    assert wanted[2] or wanted[1] != (0, 0, 0), "a story in which nothing happens shows nothing"
    failed = 0
    for nth in range(1, 400):
        world = begun(tmp_path / str(nth), name)
        whole = world.store.connection
        world.store.connection = Nth(whole, nth, ERRORS[nth % len(ERRORS)])
        result = world.run()
        ended = world.store.connection.left > 0
        world.store.connection = whole
        if ended:
            break
        failed += 1
        assert (result.code, ERRORS[nth % len(ERRORS)] in result.error) == (1, True), nth
        assert not whole.in_transaction, nth
        if nth % 2:
            world.restart()
        assert finish(world) == wanted, nth
        world.close()
    else:
        pytest.fail("a pass has no end")
    assert failed >= 30
    record_property("failures of the database", failed)
