"""The first pass: rows for deals that have none, rows that are there already, blank against zero, awkward names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.sandbox.world import TABLE
from tests.end_to_end.desk import Desk


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A small sandbox, not filled yet."""
    with Desk(tmp_path, deals=10) as made:
        yield made


def test_250_deals_take_25_writes_and_a_second_pass_none(tmp_path: Path) -> None:
    """ceil(N/10) writes, ceil(N/100) + 4 reads a side at most; HighLevel is not written to, and the rest is silence."""
    with Desk(tmp_path, deals=250) as rig:
        printed = rig.reconcile()
        assert printed["created"] == {"crm": 0, "table": 250}
        assert len(rig.table_calls()) == 25
        assert len(rig.table_writes()) == 250
        assert (rig.crm_writes(), rig.highlevel.triggers) == ([], [])
        assert len(rig.sandbox.crm_http.log) <= 3 + 4
        assert len(rig.sandbox.table_http.log) - 25 <= 1 + 4
        asked = {"crm": len(rig.sandbox.crm_http.log), "table": len(rig.sandbox.table_http.log)}
        assert printed["calls"] == asked
        assert rig.sandbox.differences() == []
        rig.rests()
        assert len(rig.sandbox.crm_http.log) <= 3 + 4
        assert len(rig.sandbox.table_http.log) <= 3 + 4
        assert len(rig.airtable.rows(TABLE)) == 250


def test_a_new_row_shows_what_the_deal_and_its_contact_hold(rig: Desk) -> None:
    """Every default column is filled, the key too; an empty field stays an empty cell, and Sync is blank."""
    rig.fill()
    users = {user["id"]: user["name"] for user in rig.highlevel.users}
    for deal in rig.deals():
        contact = deal["contact"]
        wanted = {
            "GHL ID": deal["id"],
            "Name": deal["name"],
            "Status": deal["status"],
            "Value": deal["monetaryValue"],
            "Owner": users.get(deal.get("assignedTo") or ""),
            "Contact": contact["name"],
            "Email": contact["email"],
            "Phone": contact["phone"],
            "Company": contact["companyName"],
            "Source": deal.get("source"),
        }
        row = rig.row(deal["id"])
        assert {column: row.get(column) for column in wanted} == wanted
        assert "Sync" not in row


def test_blank_and_zero_are_one_value(rig: Desk) -> None:
    """0 is shown in a new row, and a cell that is blank stays blank; only a real change of the value travels."""
    emptied, zeroed, cleared, zero = (deal["id"] for deal in rig.deals()[:4])
    for deal_id, value in ((emptied, 0), (zeroed, 500), (cleared, 700), (zero, 0)):
        rig.highlevel.person_edit(deal_id, monetaryValue=value)
    rig.fill()
    assert [rig.row(deal_id)["Value"] for deal_id in (emptied, zeroed, cleared, zero)] == [0, 500, 700, 0]
    rig.type(emptied, Value=None)
    rig.type(cleared, Value=None)
    rig.highlevel.person_edit(zeroed, monetaryValue=0)
    rig.expect(fired=[(cleared, "monetaryValue")], cells=[(zeroed, "Value")])
    assert rig.read(cleared, "monetaryValue") == 0
    assert rig.row(zeroed)["Value"] == 0
    assert "Value" not in rig.row(emptied)
    assert "Value" not in rig.row(cleared)
    rig.type(emptied, Value=0)
    rig.rests()
    rig.highlevel.person_edit(emptied, monetaryValue=12.5)
    rig.expect(cells=[(emptied, "Value")], rest=False)
    assert rig.row(emptied)["Value"] == 12.5


def test_awkward_stage_names_are_shown_tidy_and_found_again(rig: Desk) -> None:
    """Blanks, NFD, emoji, and stages that differ in case only: each stage has its option, and no option is added."""
    places = {}
    for pipeline in rig.highlevel.pipelines:
        for stage in pipeline["stages"]:
            made = rig.highlevel.person_create(contact={"firstName": stage["name"]}, pipelineStageId=stage["id"])
            places[made] = (pipeline["name"], stage["name"])
    before = rig.options("Stage"), rig.options("Pipeline")
    rig.fill()
    assert (rig.options("Stage"), rig.options("Pipeline")) == before
    shown = {place: rig.row(deal_id)["Stage"] for deal_id, place in places.items()}
    assert shown["Sales", "Contacted "] == "Contacted"
    assert shown["Sales", "Proposal  Sent"] == "Proposal Sent"
    assert shown["Sales", "Ne\u0301gociation"] == "N\u00e9gociation"
    assert shown["Sales", "🔥 Hot"] == "🔥 Hot"
    assert (shown["Renewals  2026 ", "new lead"], shown["Renewals  2026 ", "WON"]) == ("new lead", "WON")
    assert rig.row(next(one for one, place in places.items() if place[0] == "Renewals  2026 "))["Pipeline"] == (
        "Renewals 2026"
    )
    by_place = {place: deal_id for deal_id, place in places.items()}
    hot, renewed = by_place["Sales", "New Lead"], by_place["Renewals  2026 ", "new lead"]
    rig.type(hot, Stage="🔥 Hot")
    rig.type(renewed, Stage="Won")  # the option of another pipeline's stage; in this one it is spelt WON
    rig.type(by_place["Onboarding", "Won"], Stage="WON")  # the same stage in another case is no edit
    rig.expect(fired=[(hot, "stage"), (renewed, "stage")])
    assert rig.stage(hot) == ("Sales", "🔥 Hot")
    assert rig.stage(renewed) == ("Renewals  2026 ", "WON")
    assert rig.row(by_place["Onboarding", "Won"])["Stage"] == "WON"


def test_rows_that_are_there_are_adopted_by_their_key(rig: Desk) -> None:
    """First run: equal values are agreed on without a write, differing ones go to the later edit, and no row is made
    twice. A cell that nobody ever filled is no edit: the deal's value goes there."""
    ids = [deal["id"] for deal in rig.deals()]
    same, row_later, deal_later, bare, *rest = ids
    shown = {}
    for deal_id in (same, row_later, deal_later):
        rig.place([deal_id], "Sales", "New Lead")
        rig.highlevel.person_edit(deal_id, status="open", monetaryValue=100, assignedTo=rig.highlevel.users[0]["id"])
    rig.highlevel.person_edit(bare, monetaryValue=250)
    rig.later()
    for deal_id in (same, row_later, deal_later):
        deal = rig.highlevel.deal(deal_id)
        contact = {"Contact": "name", "Email": "email", "Phone": "phone", "Company": "companyName"}
        shown[deal_id] = {
            "GHL ID": f" {deal_id} " if deal_id == same else deal_id,
            "Name": deal["name"],
            "Pipeline": "Sales",
            "Stage": "New Lead",
            "Status": "open",
            "Value": 100,
            "Owner": rig.highlevel.users[0]["name"],
            "Source": deal.get("source"),
            **{column: deal["contact"][key] for column, key in contact.items()},
        }
    rows = {deal_id: rig.airtable.person_add(TABLE, cells) for deal_id, cells in shown.items()}
    rows[bare] = rig.airtable.person_add(TABLE, {"GHL ID": bare})
    rig.airtable.person_edit(TABLE, rows[row_later], {"Value": 175, "Status": "won"})
    rig.airtable.person_edit(TABLE, rows[deal_later], {"Value": 180})
    rig.later()
    rig.highlevel.person_edit(deal_later, monetaryValue=190)
    rig.forget_log()
    printed = rig.reconcile()
    assert sorted(rig.fired()) == sorted([(row_later, "monetaryValue"), (row_later, "status")])
    assert len(rig.crm_writes()) == 1
    assert printed["created"] == {"crm": 0, "table": len(rest)}
    assert (deal_later, "Value") in rig.cells()
    assert {deal for deal, _ in rig.cells()} == {deal_later, bare}
    assert [column for deal, column in rig.cells() if deal == deal_later] == ["Value"]
    assert printed["updated"] == {"crm": 1, "table": 2}
    assert rig.read(row_later, "monetaryValue") == 175
    assert rig.read(row_later, "status") == "won"
    assert rig.row(deal_later)["Value"] == 190
    assert rig.row(bare)["Value"] == 250
    assert rig.read(bare, "monetaryValue") == 250
    assert len(rig.airtable.rows(TABLE)) == len(ids)
    assert {rig.sandbox.row_of(deal_id) for deal_id in (row_later, deal_later, bare)} == {
        rows[deal_id] for deal_id in (row_later, deal_later, bare)
    }
    rig.rests()


def test_a_deal_that_appears_later_gets_its_row(rig: Desk) -> None:
    """One row, one write, and nothing else."""
    rig.fill()
    made = rig.highlevel.person_create(contact={"firstName": "Ada", "email": "ada@mail.example"}, name="New one")
    rig.expect(made=[made])
    assert rig.row(made)["Name"] == "New one"
    assert rig.row(made)["Stage"] == "New Lead"


def test_a_lost_state_is_a_first_run_without_writes(rig: Desk) -> None:
    """Where both sides agree, links are made again by key and nothing is written; new rows least of all."""
    deals = rig.fill()
    (rig.folder / "state").rename(rig.folder / "state lost")
    rig.rests()
    rig.type(deals[0], Name="After the loss")
    rig.expect(fired=[(deals[0], "name")], rest=False)
