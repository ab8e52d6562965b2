"""A table that is gone while rows are written is no row's fault (SPEC §3.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from syncd.sides import WriteResult
from tests.test_airtable_side import World, new, refused, value


@pytest.fixture
def world() -> Iterator[World]:
    """A base with a table of the default columns."""
    world = World().deals()
    yield world
    world.close()


def test_a_table_that_is_gone_refuses_every_row_alike_in_one_call(world: World) -> None:
    rows = [world.add(Name=name) for name in "ABC"]
    side = world.ready()
    said = "Could not find table Deals in application app1"
    world.refuse(404, "TABLE_NOT_FOUND", said, times=-1)
    writes: list[Callable[[], list[WriteResult]]] = [
        lambda: side.write([value(row, 5) for row in rows]),
        lambda: side.create([new("d1"), new("d2")]),
    ]
    for write in writes:
        world.wire.log.clear()
        results = [refused(one) for one in write()]
        assert all(one.everyone and said in one.sentence for one in results)
        assert len(world.calls("PATCH")) == 1, "no batch is split in search of a bad row"
