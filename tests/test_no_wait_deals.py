"""A deal is made from its row as it is directly before, however long there is no way for it (SPEC §3.1)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from syncd.carry import TRIES
from syncd.sides import Column
from tests.memory import COLUMNS, FIELD_NAMES, World, field_of
from tests.test_lost_deals import LEAD, OF_CONTACT


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A row that is to become a deal."""
    world = World(tmp_path, [field_of(name) for name in (*FIELD_NAMES, *OF_CONTACT)])
    world.table.columns = {**COLUMNS, **{name: Column(f"fld{name}", name.title(), "text") for name in OF_CONTACT}}
    world.filled("dealAAA1")
    world.table.put("lead", None, **LEAD, value=100)
    return world


def once(world: World, act: Callable[[], object]) -> None:
    """Something happens when a deal is asked for the first time."""
    left = [act]

    def hook(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "create", "before") and left:
            left.pop()()

    world.hooks.append(hook)


@pytest.mark.parametrize("seconds", [6.0, 100.0])
def test_a_row_edited_while_its_deal_is_told_to_wait_is_made_as_it_is_then(world: World, seconds: float) -> None:
    world.crm.faults.waits = [seconds]
    once(world, lambda: world.table.put("lead", None, name="Other roof", value=200))
    result = world.run(10)
    assert (result.error, world.crm.creates(), world.store.open_writes()) == ("", [], [])
    world.run(10)
    [deal] = world.crm.creates()
    assert {name: (world.crm.now(deal) or {})[name] for name in ("name", "value")} == {
        "name": "Other roof",
        "value": 200,
    }


def test_a_row_deleted_while_its_deal_is_told_to_wait_becomes_none(world: World) -> None:
    world.crm.faults.waits = [100.0, 100.0]
    once(world, lambda: world.table.drop("lead"))
    assert world.run(10).code == 0
    assert world.run(10).code == 0
    assert (world.crm.creates(), world.crm.triggers) == ([], [])


def test_a_deal_that_is_told_to_wait_is_made_once_there_is_a_way(world: World) -> None:
    world.crm.faults.waits = [30.0] * (TRIES - 1)
    ways = world.crm.ways
    assert world.run(10).code == 0
    assert (len(world.crm.creates()), world.crm.ways - ways, world.crm.faults.waits) == (1, TRIES, [])
    assert world.run(10).code == 0
    assert len(world.crm.creates()) == 1


def test_a_deal_that_is_told_to_wait_for_ever_ends_the_pass(world: World) -> None:
    world.crm.faults.waits = [1.0] * TRIES
    result = world.run(10)
    assert (result.code, "429" in result.error, world.store.open_writes()) == (1, True, [])
    assert world.run(10).code == 0
    assert len(world.crm.creates()) == 1
