"""Edits of people on either side and on both: what travels, what wins, what is kept, and how often it is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.desk import Desk

TRIGGER = {"Name": "name", "Stage": "stage", "Status": "status", "Value": "monetaryValue", "Owner": "assignedTo"}
FIELDS = list(TRIGGER)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A small sandbox in which every deal is open, worth 100, without owner, and a New Lead in Sales."""
    with Desk(tmp_path, deals=12) as made:
        for deal in made.deals():
            made.place([deal["id"]], "Sales", "New Lead")
            made.highlevel.person_edit(deal["id"], status="open", monetaryValue=100, assignedTo=None)
        made.later()
        yield made


def edit_deal(rig: Desk, deal_id: str, column: str, *, other: bool = False) -> Any:
    """A person edits the field of this column in HighLevel; returns what the row should show."""
    stage = "🔥 Hot" if other else "Contacted "
    owner = rig.highlevel.users[1 if other else 0]
    new: dict[str, tuple[str, Any, Any]] = {
        "Name": ("name", "From HighLevel", "From HighLevel"),
        "Stage": ("pipelineStageId", rig.highlevel.stage_id("Sales", stage), stage.strip()),
        "Status": ("status", "won", "won"),
        "Value": ("monetaryValue", 321.5, 321.5),
        "Owner": ("assignedTo", owner["id"], owner["name"]),
    }
    key, value, shown = new[column]
    rig.highlevel.person_edit(deal_id, **{key: value})
    return shown


def edit_row(rig: Desk, deal_id: str, column: str) -> tuple[str, Any]:
    """A person edits this column in the table; returns what the deal should hold, by HighLevel's name."""
    owner = rig.highlevel.users[2]
    new: dict[str, tuple[Any, str, Any]] = {
        "Name": ("From the table", "name", "From the table"),
        "Stage": ("Proposal Sent", "pipelineStageId", rig.highlevel.stage_id("Sales", "Proposal  Sent")),
        "Status": ("lost", "status", "lost"),
        "Value": (654.25, "monetaryValue", 654.25),
        "Owner": (owner["name"], "assignedTo", owner["id"]),
    }
    typed, key, held = new[column]
    rig.type(deal_id, **{column: typed})
    return key, held


def test_every_field_travels_to_the_table(rig: Desk) -> None:
    """One row write each, naming that field alone; HighLevel is not written to."""
    deals = rig.fill()
    shown = {(deal_id, column): edit_deal(rig, deal_id, column) for deal_id, column in zip(deals, FIELDS, strict=False)}
    moved, sourced, closed = deals[5:8]
    rig.place([moved], "Onboarding", "Kick-off call")
    rig.highlevel.person_edit(sourced, source="Trade fair")
    rig.highlevel.person_edit(closed, status="lost", monetaryValue=0, name="Two  words ")
    cells = [*shown, (moved, "Pipeline"), (moved, "Stage"), (sourced, "Source")]
    cells += [(closed, column) for column in ("Status", "Value", "Name")]
    rig.expect(cells=cells)
    for (deal_id, column), value in shown.items():
        assert rig.row(deal_id)[column] == value
    assert (rig.row(moved)["Pipeline"], rig.row(moved)["Stage"]) == ("Onboarding", "Kick-off call")
    assert rig.row(sourced)["Source"] == "Trade fair"
    assert rig.row(closed)["Name"] == "Two words"
    assert rig.sandbox.differences() == []


def test_a_contacts_edits_reach_every_row_of_that_contact(rig: Desk) -> None:
    """Contact, Email, Phone and Company go to the table, in one write a row, for all deals of the contact."""
    deals = rig.fill()
    contact_id = rig.read(deals[0], "contactId")
    own = [deal["id"] for deal in rig.deals() if deal["contactId"] == contact_id]
    rig.highlevel.person_edit_contact(
        contact_id,
        firstName="Renamed",
        lastName="Person",
        email="r@mail.example",
        phone="+12125550777",
        companyName="R Co",
    )
    columns = ("Contact", "Email", "Phone", "Company")
    rig.expect(cells=[(deal_id, column) for deal_id in own for column in columns])
    row = rig.row(own[-1])
    assert [row[column] for column in columns] == ["Renamed Person", "r@mail.example", "+12125550777", "R Co"]
    rig.highlevel.person_edit_contact(contact_id, email=None)
    rig.expect(cells=[(deal_id, "Email") for deal_id in own], rest=False)
    assert "Email" not in rig.row(own[0])


def test_every_field_travels_to_highlevel(rig: Desk) -> None:
    """One PUT a deal, one trigger a field that changed; no row is written."""
    deals = rig.fill()
    held = {(deal_id, column): edit_row(rig, deal_id, column) for deal_id, column in zip(deals, FIELDS, strict=False)}
    everything = deals[5]
    whole = [edit_row(rig, everything, column) for column in FIELDS]
    fired = [(deal_id, TRIGGER[column]) for deal_id, column in held] + [(everything, TRIGGER[c]) for c in FIELDS]
    rig.expect(fired=fired)
    for (deal_id, _), (key, value) in held.items():
        assert rig.read(deal_id, key) == value
    assert [rig.read(everything, key) for key, _ in whole] == [value for _, value in whole]
    assert rig.sandbox.differences() == []


def test_an_owner_is_cleared_and_told_from_one_of_a_similar_name(rig: Desk) -> None:
    """A blank Owner clears it, on either side; “Jo Park” is not “Jo Parker”, and case does not matter."""
    cleared, emptied, park, parker, *_ = deals = [deal["id"] for deal in rig.deals()]
    users = {user["name"]: user["id"] for user in rig.highlevel.users}
    for deal_id in (cleared, emptied):
        rig.highlevel.person_edit(deal_id, assignedTo=users["Marco Bellini"])
    assert rig.fill() == deals
    rig.type(cleared, Owner=None)
    rig.highlevel.person_edit(emptied, assignedTo=None)
    rig.type(park, Owner="jo park ")
    rig.type(parker, Owner="Jo Parker")
    fired = [(deal_id, "assignedTo") for deal_id in (cleared, park, parker)]
    rig.expect(fired=fired, cells=[(emptied, "Owner")])
    assert rig.read(cleared, "assignedTo") is None
    assert (rig.read(park, "assignedTo"), rig.read(parker, "assignedTo")) == (users["Jo Park"], users["Jo Parker"])
    assert "Owner" not in rig.row(emptied)


def test_different_fields_of_one_deal_travel_both_ways(rig: Desk) -> None:
    """No conflict: what changed on each side goes to the other, and neither undoes the other."""
    first, second, *_ = rig.fill()
    rig.highlevel.person_edit(first, name="Name from HighLevel", status="won")
    rig.type(first, Value=777, Stage="🔥 Hot")
    rig.type(second, Name="Name from the table")
    rig.later()
    rig.highlevel.person_edit(second, monetaryValue=888)
    rig.expect(
        fired=[(first, "monetaryValue"), (first, "stage"), (second, "name")],
        cells=[(first, "Name"), (first, "Status"), (second, "Value")],
    )
    assert (rig.read(first, "name"), rig.read(first, "monetaryValue")) == ("Name from HighLevel", 777)
    assert (rig.row(second)["Name"], rig.row(second)["Value"]) == ("Name from the table", 888)
    assert rig.sandbox.differences() == []


def test_the_same_edit_on_both_sides_is_no_write(rig: Desk) -> None:
    """Both hold the same: it is agreed on. It becomes the shadow, so that going back afterwards is an edit."""
    first, second, *_ = rig.fill()
    owner = rig.highlevel.users[3]
    rig.highlevel.person_edit(
        first,
        name="Same  name",
        status="won",
        monetaryValue=42,
        assignedTo=owner["id"],
        pipelineStageId=rig.highlevel.stage_id("Sales", "🔥 Hot"),
    )
    rig.later()
    rig.type(first, Name=" Same name", Status="won", Value=42, Owner=owner["name"].upper(), Stage="🔥 Hot")
    rig.type(second, Value=100.0, Name=f"  {rig.read(second, 'name')}  ")  # only blanks were typed
    rig.rests()
    rig.type(first, Status="open")
    rig.highlevel.person_edit(first, monetaryValue=100)
    rig.expect(fired=[(first, "status")], cells=[(first, "Value")], rest=False)
    assert (rig.read(first, "status"), rig.row(first)["Value"]) == ("open", 100)


def test_of_two_edits_of_one_field_the_later_wins_and_the_other_is_kept(rig: Desk) -> None:
    """Each field, in both orders; the loser stands in the history with its value."""
    deals = rig.fill()
    table_wins, deal_wins = dict(zip(FIELDS, deals, strict=False)), dict(zip(FIELDS, deals[5:], strict=False))
    lost = {deal_id: edit_deal(rig, deal_id, column, other=True) for column, deal_id in table_wins.items()}
    for column, deal_id in deal_wins.items():
        edit_row(rig, deal_id, column)
    rig.later()
    held = {deal_id: edit_row(rig, deal_id, column) for column, deal_id in table_wins.items()}
    shown = {deal_id: edit_deal(rig, deal_id, column) for column, deal_id in deal_wins.items()}
    rig.expect(
        fired=[(deal_id, TRIGGER[column]) for column, deal_id in table_wins.items()],
        cells=[(deal_id, column) for column, deal_id in deal_wins.items()],
        conflicts=10,
    )
    for deal_id, (key, value) in held.items():
        assert rig.read(deal_id, key) == value
    for column, deal_id in deal_wins.items():
        assert rig.row(deal_id)[column] == shown[deal_id]
    kept = {
        write["deal"]: change
        for write in rig.run("history", "--json").json["writes"]
        for change in write["changes"]
        if change["kind"] == "conflict"
    }
    assert kept.keys() == {*table_wins.values(), *deal_wins.values()}
    for column in ("Name", "Status", "Value", "Owner"):
        assert kept[table_wins[column]]["old_shown"] == str(lost[table_wins[column]])
    assert "Hot" in kept[table_wins["Stage"]]["old_shown"]
    assert kept[deal_wins["Name"]]["old_shown"] == "From the table"
    assert kept[deal_wins["Value"]]["old_shown"] == "654.25"
    assert kept[deal_wins["Status"]]["old_shown"] == "lost"
    assert "Proposal" in kept[deal_wins["Stage"]]["old_shown"]


def test_status_and_stage_have_clocks_of_their_own(rig: Desk) -> None:
    """An unrelated later edit in HighLevel makes an older status or stage no younger, nor one in the table."""
    status, stage, row_status, row_stage, *_ = rig.fill()
    edit_deal(rig, status, "Status")
    edit_deal(rig, stage, "Stage")
    edit_row(rig, row_status, "Status")
    edit_row(rig, row_stage, "Stage")
    rig.later()
    edit_row(rig, status, "Status")
    edit_row(rig, stage, "Stage")
    edit_deal(rig, row_status, "Status")
    edit_deal(rig, row_stage, "Stage")
    rig.later()
    for deal_id in (status, stage):
        rig.highlevel.person_edit(deal_id, name="Edited last of all")
    for deal_id in (row_status, row_stage):
        rig.type(deal_id, Name="Typed last of all")
    rig.expect(
        fired=[(status, "status"), (stage, "stage"), (row_status, "name"), (row_stage, "name")],
        cells=[(status, "Name"), (stage, "Name"), (row_status, "Status"), (row_stage, "Stage")],
        conflicts=4,
    )
    assert rig.read(status, "status") == "lost"
    assert rig.stage(stage) == ("Sales", "Proposal  Sent")
    assert rig.row(row_status)["Status"] == "won"
    assert rig.row(row_stage)["Stage"] == "Contacted"


def test_an_own_write_does_not_make_a_persons_edit_younger(rig: Desk) -> None:
    """The stamp that syncd's own PUT set dates no edit: the person's edit before it does. Here the owner waited, and
    the row's edit, later than the deal's and before that PUT, was seen after it."""
    deal_id = rig.fill()[0]
    users = rig.highlevel.users
    rig.type(deal_id, Owner="Nobody")
    rig.highlevel.person_edit(deal_id, assignedTo=users[0]["id"])
    rig.later(120)
    rig.type(deal_id, Value=5)
    rig.expect(fired=[(deal_id, "monetaryValue")], told=1, code=3, rest=False)
    rig.later(-60)
    rig.type(deal_id, Owner=users[1]["name"])
    rig.later(60)
    rig.expect(fired=[(deal_id, "assignedTo")], told=1, conflicts=1)
    assert rig.read(deal_id, "assignedTo") == users[1]["id"]


@pytest.mark.parametrize("winner", ["crm", "table"])
def test_edits_too_close_to_tell_go_to_the_configured_side(rig: Desk, winner: str) -> None:
    """A tie is HighLevel's, or the table's where [pair.policy] says so; for each kind of clock."""
    columns = ("Name", "Status", "Stage")
    deals = dict(zip(columns, rig.fill(), strict=False))
    if winner == "table":
        rig.write_config(policy='tie = "table"')
    for column, deal_id in deals.items():
        edit_row(rig, deal_id, column)
        edit_deal(rig, deal_id, column)
    if winner == "crm":
        rig.expect(cells=[(deal_id, column) for column, deal_id in deals.items()], conflicts=3)
        assert rig.row(deals["Name"])["Name"] == "From HighLevel"
    else:
        rig.expect(fired=[(deal_id, TRIGGER[column]) for column, deal_id in deals.items()], conflicts=3)
        assert rig.read(deals["Name"], "name") == "From the table"
    assert rig.sandbox.differences() == []


def test_an_edit_goes_back_and_forth_once_each_time(rig: Desk) -> None:
    """No echo: after a value travelled, the other side's next edit of the same field travels back, once."""
    deal_id = rig.fill()[0]
    rig.type(deal_id, Status="won", Stage="🔥 Hot")
    rig.expect(fired=[(deal_id, "status"), (deal_id, "stage")], rest=False)
    rig.later()
    rig.highlevel.person_edit(deal_id, status="open")
    rig.place([deal_id], "Sales", "New Lead")
    rig.expect(cells=[(deal_id, "Status"), (deal_id, "Stage")], rest=False)
    rig.later()
    rig.type(deal_id, Status="won")
    rig.expect(fired=[(deal_id, "status")])
    assert rig.sandbox.differences() == []


def test_a_column_of_one_direction_is_carried_that_way_only(rig: Desk) -> None:
    """direction = "to_crm": HighLevel's own edit stays there; "off": neither side's edit travels."""
    fields = '[[pair.field]]\ncrm = "value"\ndirection = "to_crm"\n[[pair.field]]\ncrm = "owner"\ndirection = "off"\n'
    to_crm, stays, off, *_ = rig.fill()
    rig.write_config(fields=fields)
    rig.type(to_crm, Value=5)
    rig.highlevel.person_edit(stays, monetaryValue=6)
    rig.type(off, Owner="Nobody at all")
    printed = rig.expect(fired=[(to_crm, "monetaryValue")], told=1)
    assert printed["updated"] == {"crm": 1, "table": 0}
    assert rig.row(stays)["Value"] == 100
    assert "6" in rig.row(stays)["Sync"]
