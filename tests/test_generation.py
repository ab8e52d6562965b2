"""A database that is put back is never believed, whenever the copy was made (SPEC §4)."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from syncd.look import look
from syncd.model import Side
from syncd.opened import open_pair
from syncd.reconcile import RESTORED
from syncd.store import FILE_NAME
from tests.memory import Crash, World

A, B, C = "dealAAA1", "dealBBB2", "dealCCC3"


def copy_of(world: World) -> Path:
    """A backup of the database as it is now."""
    backup = world.folder / "backup"
    with sqlite3.connect(world.folder / FILE_NAME) as now, sqlite3.connect(backup) as copy:
        now.backup(copy)
    now.close()
    copy.close()
    return backup


def put_back(world: World, backup: Path) -> None:
    """A person puts the backup in the database's place; the program starts again."""
    path = world.folder / FILE_NAME
    world.store.close()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copy(backup, path)
    world.start()


def at(world: World, who: str, verb: str, phase: str, act: Callable[[], object]) -> None:
    """Does something at the first such step that follows."""
    done: list[bool] = []

    def hook(*step: object) -> None:
        if step[:3] == (who, verb, phase) and not done:
            done.append(True)
            act()

    world.hooks.append(hook)


def dies(world: World, who: str, verb: str, phase: str) -> None:
    """The program is killed at the first such step of a pass."""

    def kill() -> None:
        raise Crash(f"killed {phase} {who} {verb}")

    at(world, who, verb, phase, kill)
    with pytest.raises(Crash):
        world.run()
    world.hooks.clear()


def test_a_copy_of_before_a_pass_that_was_killed_after_its_write(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B, C)
    backup = copy_of(world)
    world.edit_row(A, status="won")
    dies(world, "crm", "write", "after")
    put_back(world, backup)
    assert world.run().notes == [RESTORED]


def test_a_copy_that_was_made_in_the_middle_of_a_pass(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B, C)
    world.edit_row(A, status="won")
    world.edit_row(B, status="won")
    at(world, "crm", "write", "before", lambda: copy_of(world))
    world.run()
    world.hooks.clear()
    put_back(world, world.folder / "backup")
    assert world.run().notes == [RESTORED]


def test_a_copy_that_holds_the_open_write_which_a_pass_then_settled(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B, C)
    world.edit_row(A, status="won")
    dies(world, "crm", "write", "after")
    world.restart()
    backup = copy_of(world)
    assert world.store.open_writes()
    dies(world, "crm", "sweep", "before")  # what was open is settled, and nothing else has happened
    assert not world.store.open_writes()
    put_back(world, backup)
    assert world.run().notes == [RESTORED]


def test_a_pass_that_only_settles_leaves_another_mark_than_it_began_with(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B, C)
    world.edit_row(A, status="won")
    dies(world, "crm", "write", "after")
    world.restart()
    at(world, "crm", "sweep", "before", lambda: copy_of(world))
    assert world.run().code == 0
    world.hooks.clear()
    put_back(world, world.folder / "backup")
    assert world.run().notes == [RESTORED]


def test_a_pass_that_changes_nothing_leaves_the_mark_as_it_is(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B, C)
    backup = copy_of(world)
    world.run()
    put_back(world, backup)
    assert world.run().notes == []


def test_a_plan_over_a_restored_database_is_that_of_a_first_run(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B, C)
    backup = copy_of(world)
    world.edit_row(A, value=777)
    world.run()
    world.clock.advance(100)
    world.edit_row(A, value=100)  # what the old database takes for agreed
    world.clock.advance(100)
    put_back(world, backup)
    seen = look(world.pair, open_pair(world.pair, keep=False))
    assert sorted(link.deal for link in seen.plan.links) == [A, B, C], "all of them are made anew"
    (update,) = seen.plan.updates
    assert (update.target, update.deal, update.changes[0].new, update.changes[0].kind.value) == (
        Side.CRM, A, "100", "conflict",
    )  # fmt: skip
    assert world.store.count_links() == 3, "looking writes nothing"


def test_links_that_a_first_run_makes_count_for_the_shares(tmp_path: Path) -> None:
    deals = [f"deal{n:04d}" for n in range(200)]
    world = World(tmp_path).filled(*deals)
    world.store.close()
    for file in world.folder.iterdir():
        file.unlink()
    world.start()
    for deal in deals[:25]:
        world.edit_row(deal, status="won")
    result = world.run()
    assert (result.code, world.store.held(), len(world.crm.triggers)) == (0, [], 25), "an eighth of all"
