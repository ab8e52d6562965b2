"""How long values that syncd wrote count as setting a field back and forth: an hour, to both sides of it (SPEC §4)."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.memory
from syncd.incremental import CRM_OVERLAP_SECONDS
from syncd.plan import Trouble
from tests.memory import World

DEALS = tuple(f"deal{number}" for number in range(1, 9))
A = DEALS[0]


@pytest.fixture(params=["full passes", "the daemon's passes"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Eight links, long at rest."""
    monkeypatch.setattr(tests.memory, "PAGE", 2)
    world = World(tmp_path)
    world.incremental = request.param != "full passes"
    world.restart()
    world.filled(*DEALS)
    world.clock.advance(2 * CRM_OVERLAP_SECONDS)
    assert world.run().full != world.incremental
    return world


@pytest.mark.parametrize(("minutes", "frozen"), [(55, True), (65, False)])
def test_returns_within_an_hour_freeze_a_field(world: World, minutes: int, frozen: bool) -> None:
    """Two values and, with the last of six writes, four returns to the one before last."""
    for number in range(6):
        if number % 2:
            world.crm.put(A, status="open")
        else:
            world.edit_row(A, status="won")
        result = world.run(minutes * 60 / 5)
        assert result.full != world.incremental
        assert result.code == (3 if frozen and number == 5 else 0), f"pass {number}"
    assert [one.trouble for one in result.findings] == ([Trouble.FROZEN] if frozen else [])
    assert world.row(A).cells["status"] == ("won" if frozen else "open")
