"""Deals whose making had no answer (SPEC §3.5): which one is ours, how long search has had, what is made again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from syncd.model import Raw
from syncd.sides import Column, MadeDeal
from tests.memory import COLUMNS, FIELD_NAMES, World, field_of

A, B = "dealAAA1", "dealBBB2"
NEW = "dealNew1"
OF_CONTACT = ("contact", "email", "phone", "company")
LEAD: Mapping[str, Raw] = {"name": "Roof", "email": "jo@x.example", "pipeline": "Sales"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One deal with its row, agreed on, and a new row."""
    world = World(tmp_path, [field_of(name) for name in (*FIELD_NAMES, *OF_CONTACT)])
    world.table.columns = {**COLUMNS, **{name: Column(f"fld{name}", name.title(), "text") for name in OF_CONTACT}}
    world.filled(A)
    world.table.put("lead", None, **LEAD, value=3)
    return world


def lost(world: World, when: str = "after") -> None:
    """The row's deal is asked for; its answer is lost "after" or "before" it was made, and search is far behind."""
    world.crm.lag = 10_000.0
    world.crm.faults.lost = ["", when]
    assert world.run().unsettled == 1


# --- when it is made again -------------------------------------------------------------------------------------------


def test_search_has_had_its_time_when_it_is_asked_not_when_it_answers(world: World) -> None:
    """What it shows is older than its answer: a deal shown 58 s late is not there at 50 s, however slow the answer."""
    world.crm.lag = 58.0
    world.crm.faults.lost = ["", "after"]
    world.run()
    search = world.crm.made_of

    def slow(contact: str) -> list[MadeDeal]:
        found = search(contact)
        world.clock.advance(15.0)
        return found

    world.crm.made_of = slow  # type: ignore[method-assign]
    world.run(50.0)
    assert world.crm.creates() == [NEW]
    assert (world.run().code, world.table.rows["lead"].key) == (0, NEW)
