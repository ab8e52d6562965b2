"""The two accidents of sheets as the daemon meets them, which looks only at what was edited; how old a copy may be."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.memory
from syncd.guards import GuardKind
from syncd.incremental import CRM_OVERLAP_SECONDS
from syncd.reconcile import PassResult
from tests.grids import GridWorld
from tests.memory import NO_LIMITS

DEALS = tuple(f"d{number}" for number in range(1, 9))
DAY_SECONDS = 86_400.0


@pytest.fixture(params=["file", "server"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GridWorld:
    """Eight deals that differ in name, value and status, with rows long at rest; the daemon has seen some passes."""
    monkeypatch.setattr(tests.memory, "PAGE", 2)
    world = GridWorld(tmp_path, partial=request.param == "server")
    world.limits, world.incremental = NO_LIMITS, True
    world.restart()
    for number, deal in enumerate(DEALS):
        world.deal(deal, name="HGFEDCBA"[number], value=number, status=("open", "won", "lost")[number % 3])
    for _ in range(3):
        world.run()
    world.rested()
    return world


def kinds(result: PassResult) -> list[GuardKind]:
    """What is held."""
    return [held.kind for held in result.held]


def test_the_daemon_holds_a_sort_that_left_the_ids_behind(world: GridWorld) -> None:
    world.grid.sort_badly("Name")
    for _ in range(3):
        result = world.run()
        assert (result.code, kinds(result), world.writes()) == (3, [GuardKind.SHUFFLED], (0, 0, 0))


def test_the_daemon_holds_an_older_copy(world: GridWorld) -> None:
    world.grid.keep_copy()
    for deal in DEALS[:3]:
        world.crm.put(deal, name=f"New {deal}")
    assert not world.run().full
    world.clock.advance(2 * CRM_OVERLAP_SECONDS)
    assert not world.run().full
    world.clear_logs()
    world.grid.save_copy()
    for _ in range(3):
        result = world.run()
        assert (result.code, kinds(result), world.writes()) == (3, [GuardKind.OLD_COPY], (0, 0, 0))


@pytest.mark.parametrize(("days", "held"), [(6.9, [GuardKind.OLD_COPY]), (7.1, [])])
def test_an_older_copy_is_known_for_a_week(world: GridWorld, days: float, held: list[GuardKind]) -> None:
    world.grid.keep_copy()
    for deal in DEALS[:3]:
        world.crm.put(deal, name=f"New {deal}")
    world.run()
    world.clock.advance(days * DAY_SECONDS)
    world.grid.save_copy()
    assert kinds(world.run()) == held
