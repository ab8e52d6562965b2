"""The edges of the two accidents of sheets, and of rows that lost their ids: by name and contact, never less."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.guards import GuardKind
from syncd.judge import Ground
from syncd.lost_keys import twins
from syncd.model import Agreed, Link, Raw, Record, Side, packed_shadow
from syncd.values import codec_for
from tests.grids import GridWorld
from tests.memory import COLUMNS, VOCABULARY, field_of
from tests.test_grid_side import LEAD_FIELDS, LEAD_HEADER

DEALS = ("d1", "d2", "d3", "d4")


@pytest.fixture
def world(tmp_path: Path) -> GridWorld:
    """Four deals that differ in name and value."""
    world = GridWorld(tmp_path)
    for number, deal in enumerate(DEALS):
        world.deal(deal, name="DCBA"[number], value=number)
    world.run()
    world.run()
    return world


def exchange(world: GridWorld) -> None:
    """Three rows show what the next one showed; their ids stay."""
    rows = world.grid.rows
    rows[0][:7], rows[1][:7], rows[2][:7] = rows[1][:7], rows[2][:7], rows[0][:7]
    world.grid.touched()


def test_a_person_may_undo_three_values_of_one_row(world: GridWorld) -> None:
    world.crm.put("d2", name="New", value=70, status="won")
    world.run()
    world.edit_row("d2", name="C", value=1, status="open")
    assert world.run().held == []
    assert (world.crm.now("d2") or {})["name"] == "C"


def test_a_person_may_undo_half_of_what_was_changed(world: GridWorld) -> None:
    for deal in DEALS[:3]:
        world.crm.put(deal, name=f"New {deal}", value=70)
    world.run()
    for deal, name in zip(DEALS, "DCB", strict=False):
        world.edit_row(deal, name=name)
    assert world.run().held == []
    assert (world.crm.now("d3") or {})["name"] == "B"


@pytest.mark.parametrize(("cells", "waits"), [({"name": "Typed"}, True), ({"value": 9}, False)])
def test_a_new_name_waits_with_a_bad_sort_and_another_single_value_does_not(
    world: GridWorld, cells: dict[str, Raw], waits: bool
) -> None:
    """After such a sort a row with another name is as likely to show another deal's."""
    exchange(world)
    world.edit_row("d4", **cells)
    (held,) = world.run().held
    assert held.kind is GuardKind.SHUFFLED
    assert ("d4" in {member.record for member in held.members}) == waits
    assert [one.id for one in world.crm.log] == ([] if waits else ["d4"])


def test_a_row_that_cannot_be_read_whole_shows_no_other_ones_values(world: GridWorld) -> None:
    """A formula's value changes by itself: what the row shows tells nothing of whose it is."""
    exchange(world)
    world.grid.formulas.add((1, world.grid.column("value")))
    world.grid.touched()
    assert world.run().held == []


def test_rows_of_one_name_are_known_by_their_contact(tmp_path: Path) -> None:
    world = GridWorld(tmp_path, LEAD_FIELDS, header=LEAD_HEADER)
    for deal, email in (("d1", "a@example.com"), ("d2", "b@example.com")):
        world.deal(deal, name="Roof", email=email)
    world.run()
    world.run()
    world.grid.sort("Email", backwards=True)
    for at in (0, 1):
        world.grid.type(at, id=None)
    result = world.run()
    assert (result.code, result.tally.created) == (0, {Side.CRM: 0, Side.TABLE: 0})
    assert (world.grid.cell("d1", "email"), world.grid.cell("d2", "email")) == ("a@example.com", "b@example.com")


FIELDS = (field_of("name"), field_of("email"))
GROUND = Ground(
    FIELDS,
    tuple(codec_for(one.name, COLUMNS, VOCABULARY, {}) for one in FIELDS),
    {Side.CRM: "HighLevel", Side.TABLE: "the sheet"},
)


@pytest.mark.parametrize(
    ("known", "shown", "found"),
    [
        (("Roof", "a@example.com"), ("Roof", "a@example.com"), {"d1": ["~1"]}),
        (("Roof", "a@example.com"), ("Roof", "b@example.com"), {}),
        ((None, "a@example.com"), (None, "a@example.com"), {}),  # a contact may have several deals
    ],
)
def test_name_and_contact_together_tell_a_row(
    known: tuple[Raw, Raw], shown: tuple[Raw, Raw], found: dict[str, list[str]]
) -> None:
    agreed = {
        name: Agreed(one if isinstance(one, str) else None, one, one, str(one or ""))
        for name, one in zip(("name", "email"), known, strict=True)
    }
    link = Link("d1", "d1", shadow=packed_shadow(agreed, ["name", "email"]))
    assert twins(GROUND, [link], [Record("~1", shown)]) == found
