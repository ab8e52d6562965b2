"""A pass that ends by a defect of the program: the next one reads columns and names anew, whatever was left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.memory import World

A, B = "dealAAA1", "dealBBB2"


def test_the_order_of_raw_values_is_not_taken_for_that_of_before(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.incremental = True
    world.restart()
    world.filled(A, B)

    def defect(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("table", "sweep", "before"):
            world.table.use(world.fields[::-1])
            raise ZeroDivisionError

    world.hooks.append(defect)
    with pytest.raises(ZeroDivisionError):
        world.run()
    world.hooks.clear()
    world.crm.put(A, name="Edited")
    result = world.run()
    assert (result.error, result.code, world.writes()) == ("", 0, (0, 1, 0))
    world.agree(A, B)
