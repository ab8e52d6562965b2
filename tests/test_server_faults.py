"""A record that a server cannot show, and answers in another form: the others go on (SPEC §§3.7, 4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from syncd.model import Record, Side
from syncd.report import pass_lines
from syncd.sides import Later, Patch, Person, SideDown, Unread, Written
from tests.memory import NO_LIMITS, World
from tests.test_airtable_side import World as Airtable
from tests.test_crm_side import Location, deal

A, B = "dealAAA1", "dealBBB2"


@pytest.fixture
def airtable() -> Iterator[Airtable]:
    """A local Airtable with a table of deals."""
    world = Airtable()
    yield world.deals()
    world.close()


@pytest.mark.parametrize("listed", [True, False])
def test_a_fault_at_one_deal_lets_the_others_go_on_and_fails_the_pass(tmp_path: Path, listed: bool) -> None:
    """At the second look, or already when planning."""
    world = World(tmp_path).choose(limits=NO_LIMITS).filled(A, B)
    world.crm.unread_as = Unread("HighLevel has a fault of its own (500).", fault=True)
    world.crm.faults.unread.add(A)
    if not listed:
        world.crm.hidden.add(A)
    world.edit_row(A, value=5)
    world.edit_row(B, value=6)
    for _ in range(3):
        result = world.run()
        assert (result.code, result.error, result.as_json()["failed"]) == (1, "", 1)
    assert "  1 record could not be read for a fault of the server; the next pass tries again." in pass_lines(result)
    assert (world.crm.now(B) or {})["value"] == 6
    assert world.row(A).message == "HighLevel has a fault of its own (500)."
    world.crm.faults.unread.clear()
    world.crm.hidden.clear()
    world.run()
    assert world.run().code == 0
    world.agree(A, B)


def test_a_refusal_is_no_fault(tmp_path: Path) -> None:
    world = World(tmp_path).choose(limits=NO_LIMITS).filled(A, B)
    world.crm.faults.unread.add(A)
    world.edit_row(A, value=5)
    result = world.run()
    assert (result.code, result.tally.faults, result.tally.waiting) == (0, 0, 1)
    assert Side.CRM not in result.tally.updated or result.tally.updated[Side.CRM] == 0


def faulty(location: Location, *ids: str) -> None:
    """HighLevel fails at these deals."""
    location.hook = lambda request: (
        httpx.Response(500, text="<html>") if request.url.path.rpartition("/")[2] in ids else None
    )


def test_one_sick_deal_is_its_own_trouble() -> None:
    location = Location([deal(number) for number in range(3)])
    side, (first, second, third) = location.side(), sorted(location.deals)
    faulty(location, first)
    found = side.read([first, second, third])
    assert isinstance(sick := found[first], Unread)
    assert sick.fault
    assert all(isinstance(found[id], Record) for id in (second, third))
    assert isinstance(side.read([first])[first], Unread), "and so it stays"


def test_two_in_a_row_are_no_deals_trouble() -> None:
    location = Location([deal(number) for number in range(3)])
    side, (first, second, _) = location.side(), sorted(location.deals)
    faulty(location, first, second)
    with pytest.raises(SideDown, match="500"):
        side.read([first, second])


def test_a_contact_is_made_by_upsert_where_there_is_no_other_way() -> None:
    location = Location([])
    asked: list[str] = []

    def contacts(request: httpx.Request) -> httpx.Response | None:
        asked.append(f"{request.method} {request.url.path}")
        if request.url.path.endswith("/duplicate"):
            return httpx.Response(200, json={"contact": None})
        if request.url.path == "/contacts/":
            return httpx.Response(404, json={"statusCode": 404, "message": "Cannot POST /contacts/"})
        if request.url.path == "/contacts/upsert":
            return httpx.Response(200, json={"new": True, "contact": {"id": "c9"}})
        return None

    location.hook = contacts
    assert location.side().contact_for(Person("Jo", "jo@x.example", "", "")) == "c9"
    assert asked == ["GET /contacts/search/duplicate", "POST /contacts/", "POST /contacts/upsert"]


def test_cells_under_their_columns_names_are_those_cells(airtable: Airtable) -> None:
    """A server that does not know `returnFieldsByFieldId`: no cell is blank for that."""
    rec_id = airtable.add(**{"Name": "A", "Stage": "New", "Value": 5, "GHL ID": "dealAAA1", "Sync": "look"})
    side = airtable.ready()
    layout, found = side._ready(), side.read([rec_id])[rec_id]
    ids = {column.id: column.name for column in layout.columns.values()}
    cells = airtable.base.row("Deals", rec_id)
    by_name = layout.record({"id": rec_id, "fields": {name: cells[name] for name in ids.values() if name in cells}})
    assert by_name == found
    assert isinstance(found, Record)
    assert (found.partner, found.message, found.title, found.raw[3]) == ("dealAAA1", "look", "A", 5)


def test_a_row_that_is_gone_when_it_is_written_waits_for_the_next_look(airtable: Airtable) -> None:
    first, second = airtable.add(Name="A"), airtable.add(Name="B")
    side = airtable.ready()
    airtable.base.person_delete("Deals", first)
    gone, there = side.write([Patch(first, {3: 1}), Patch(second, {3: 1})])
    assert isinstance(gone, Later)
    assert isinstance(there, Written)
