"""Airtable rows about as old as the instant of a question (SPEC §2): one made at that second is not after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncd.sides import Question
from tests.test_airtable_side import NOW, VALUE, Setup, World, after, until, ways


@pytest.fixture
def world() -> Iterator[World]:
    """A base with a table of the default columns."""
    world = World().deals()
    yield world
    world.close()


@ways
@pytest.mark.parametrize("swept", [True, False])
def test_a_row_made_at_the_very_instant_is_not_after_it(world: World, setup: Setup, swept: bool) -> None:
    world.clock.now = NOW + 100
    id = world.add(Value=1)
    setup(world)
    side = world.ready()
    if swept:
        list(side.sweep())
    for instant, expected in ((NOW + 99.999, after), (NOW + 100, until), (NOW + 100.001, until)):
        question = Question(id, VALUE, round(instant, 3))
        assert side.edited([question]) == {question: expected(question.instant)}
