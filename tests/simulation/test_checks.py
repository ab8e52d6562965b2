"""Checks of the harness whose cases are rare: each sees what it is there to see, and no more."""

from __future__ import annotations

from collections import Counter

import pytest

from syncd.model import Side
from syncd.store import ChangeLine
from tests.simulation.checks import Checks
from tests.simulation.ghost import PERSON, Broken, Effect, Held
from tests.simulation.knobs import Knobs
from tests.simulation.store import Intent
from tests.simulation.world import SimWorld

TYPED = Held("Old", "Old", PERSON, 100.0, 9)
LINE = ChangeLine("name", "Old", "New", "Old", "New", "edit", "changed in HighLevel")


def checks_of(world: SimWorld) -> Checks:
    """The checks of a world in which nothing has happened yet."""
    return Checks(world.ghost, Counter(), Side.CRM)


@pytest.fixture
def world() -> SimWorld:
    """A world without events."""
    return SimWorld(Knobs(), lambda _who, _verb, _phase, _what: None)


@pytest.mark.parametrize(("deal", "falls"), [("deal1", False), ("deal2", True)])
def test_the_old_value_typed_again_after_a_write_for_that_very_deal(world: SimWorld, deal: str, falls: bool) -> None:
    ghost = world.ghost
    ghost.shadow["deal2"], ghost.agreed_at["deal2", "name"] = {"name": "Old"}, 1
    ghost.effects[Side.TABLE, "row1", "name"] = Effect(5, 50.0, "Ours", deal)
    intent = Intent(1, Side.TABLE, "update", "deal2", "row1", (LINE,))
    if not falls:  # the write was for the deal that the row carried then
        checks_of(world).no_lost_update(Side.TABLE, "row1", intent, LINE, TYPED)
        return
    with pytest.raises(Broken, match="typed again after our write"):
        checks_of(world).no_lost_update(Side.TABLE, "row1", intent, LINE, TYPED)


@pytest.mark.parametrize(("copied", "put_back", "falls"), [(0.0, 0.0, True), (15.0, 65.0, False), (95.0, 99.0, True)])
def test_to_and_fro_counts_what_the_database_can_know(
    world: SimWorld, copied: float, put_back: float, falls: bool
) -> None:
    checks, start = checks_of(world), world.clock.now
    checks.to_and_fro["deal1", "name"] = [(start + 10.0 * n, "ab"[n % 2]) for n in range(1, 10)]
    if put_back:
        world.ghost.copied_at, world.ghost.restored_at = start + copied, start + put_back
    assert checks.set_to_and_fro("deal1", "name", "a", start + 100.0) is falls
