"""Records that come, go, move and are doubled: twofold rows, deleted rows and deals, keys, pipelines out of scope."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.sandbox.world import TABLE
from tests.end_to_end.desk import Desk

OFF = 'new_row = "off"'  # rows without an id are left alone; what becomes of them by default: test_new_rows.py


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A small sandbox in which every deal is open, worth 100, and a New Lead in Sales."""
    with Desk(tmp_path, deals=12) as made:
        for deal in made.deals():
            made.place([deal["id"]], "Sales", "New Lead")
            made.highlevel.person_edit(deal["id"], status="open", monetaryValue=100)
        made.later()
        yield made


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_copied_row_leaves_both_alone_until_one_is_deleted(rig: Desk) -> None:
    """Two rows with one id: nothing is written for either but a message to both; then the waiting edits travel."""
    deal_id, other, *_ = rig.fill()
    original = rig.sandbox.row_of(deal_id)
    copy = rig.airtable.person_copy_row(TABLE, original)
    rig.airtable.person_edit(TABLE, original, {"Value": 7})
    rig.airtable.person_edit(TABLE, copy, {"Value": 8})
    rig.highlevel.person_edit(deal_id, status="won")
    rig.type(other, Value=9)
    rig.expect(fired=[(other, "monetaryValue")], told=2, code=3)
    for row_id in (original, copy):
        row = rig.airtable.row(TABLE, row_id)
        assert "2 rows have this GHL ID" in row["Sync"]
        assert row["Status"] == "open"
    assert rig.read(deal_id, "monetaryValue") == 100
    rig.airtable.person_delete(TABLE, copy)
    rig.expect(fired=[(deal_id, "monetaryValue")], cells=[(deal_id, "Status")], told=1)
    assert rig.read(deal_id, "monetaryValue") == 7
    assert "Sync" not in rig.row(deal_id)


def test_a_twofold_row_is_healed_by_clearing_one_key(rig: Desk) -> None:
    """The row whose GHL ID was cleared is a row without an id from then on: untouched, and nothing is put back."""
    rig.write_config(policy=OFF)
    deal_id = rig.fill()[0]
    copy = rig.airtable.person_copy_row(TABLE, rig.sandbox.row_of(deal_id))
    rig.expect(told=2, code=3, rest=False)
    rig.airtable.person_edit(TABLE, copy, {"GHL ID": None})
    rig.forget_log()
    rig.reconcile()
    assert (rig.crm_writes(), rig.table_writes()) == ([], [])
    assert "Sync" not in rig.row(deal_id)
    rig.rests()
    assert rig.run("status", "--json").json["rows_without_id"] == 1


def test_a_deleted_row_comes_back_whole(rig: Desk) -> None:
    """One row is made, with what the deal holds now, and edits in it travel. Deleted twice, it comes back twice."""
    deal_id = rig.fill()[0]
    old = rig.sandbox.row_of(deal_id)
    rig.airtable.person_delete(TABLE, old)
    rig.highlevel.person_edit(deal_id, name="Edited after its row was deleted")
    rig.expect(made=[deal_id])
    assert rig.sandbox.row_of(deal_id) != old
    assert rig.sandbox.differences() == []
    rig.airtable.person_delete(TABLE, rig.sandbox.row_of(deal_id))
    rig.expect(made=[deal_id], rest=False)
    rig.type(deal_id, Value=3)
    rig.expect(fired=[(deal_id, "monetaryValue")], rest=False)


def test_a_row_taken_out_of_the_trash_is_the_same_row(rig: Desk) -> None:
    """Deleted and restored between two passes: nothing happened. Restored after it came back: twofold; both stay."""
    quick, slow, *_ = rig.fill()
    rows = rig.sandbox.row_of(quick), rig.sandbox.row_of(slow)
    rig.airtable.person_delete(TABLE, rows[0])
    rig.airtable.person_restore(TABLE, rows[0])
    rig.airtable.person_delete(TABLE, rows[1])
    rig.expect(made=[slow], rest=False)
    rig.airtable.person_restore(TABLE, rows[1])
    rig.expect(told=2, code=3, rest=False)
    assert len(rig.airtable.find_rows(TABLE, "GHL ID", slow)) == 2


def test_a_row_cut_and_pasted_takes_its_link_along(rig: Desk) -> None:
    """The key stands in a new row: nothing is written, and what was typed there travels."""
    deal_id, typed, *_ = rig.fill()
    new = {}
    for one in (deal_id, typed):
        cells = rig.row(one)
        rig.airtable.person_delete(TABLE, rig.sandbox.row_of(one))
        new[one] = rig.airtable.person_add(TABLE, cells)
    rig.airtable.person_edit(TABLE, new[typed], {"Name": "Typed into the pasted row"})
    rig.expect(fired=[(typed, "name")])
    assert {one: rig.sandbox.row_of(one) for one in new} == new
    rig.airtable.person_edit(TABLE, new[deal_id], {"Value": 4})
    rig.highlevel.person_edit(typed, status="lost")
    rig.expect(fired=[(deal_id, "monetaryValue")], cells=[(typed, "Status")], rest=False)


def test_rows_without_an_id_are_left_untouched_and_counted(rig: Desk) -> None:
    """With the policy off: exit 0, no message, a number in status; a wholly blank row is not counted."""
    rig.write_config(policy=OFF)
    rig.fill()
    named = rig.airtable.person_add(TABLE, {"Name": "A new idea", "Email": "idea@mail.example", "Stage": "New Lead"})
    partly = rig.airtable.person_add(TABLE, {"Value": 10})
    rig.airtable.person_add(TABLE)
    blanks = rig.airtable.person_add(TABLE, {"GHL ID": "   "})
    before = rig.airtable.rows(TABLE)
    rig.rests()
    rig.rests()
    assert rig.airtable.rows(TABLE) == before
    assert {named, partly, blanks} <= before.keys()
    found = rig.run("status", "--json")
    assert (found.code, found.json["rows_without_id"], found.json["needs_person"]) == (0, 2, 0)
    assert "2 rows without a GHL ID" in rig.run("status").out


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_cleared_key_comes_back_to_its_row(rig: Desk) -> None:
    """One write that names the key alone, whatever else was typed; a key that moved to another row stays there."""
    rig.write_config(policy=OFF)
    cleared, edited, moved, *_ = rig.fill()
    rows = {one: rig.sandbox.row_of(one) for one in (cleared, edited, moved)}
    cells = rig.row(moved)
    rig.airtable.person_edit(TABLE, rows[cleared], {"GHL ID": None})
    rig.airtable.person_edit(TABLE, rows[edited], {"GHL ID": "  ", "Value": 11})
    rig.airtable.person_edit(TABLE, rows[moved], {"GHL ID": None})
    new = rig.airtable.person_add(TABLE, cells)
    rig.expect(fired=[(edited, "monetaryValue")], cells=[(cleared, "GHL ID"), (edited, "GHL ID")], rest=False)
    assert rig.airtable.row(TABLE, rows[cleared])["GHL ID"] == cleared
    assert rig.sandbox.row_of(edited) == rows[edited]
    assert rig.sandbox.row_of(moved) == new
    rig.rests()
    assert "GHL ID" not in rig.airtable.row(TABLE, rows[moved])


def test_a_wrong_key_stops_its_row_until_it_is_mended(rig: Desk) -> None:
    """Another deal's id, one that HighLevel does not have, and nonsense: the row is told, nothing else is written, no
    row is made instead, and the deals' edits wait. Mended, everything goes on."""
    taken, owner, unknown, nonsense, *_ = rig.fill()
    rows = {one: rig.sandbox.row_of(one) for one in (taken, owner, unknown, nonsense)}
    wrong = {taken: owner, unknown: "abcdefghij0123456789", nonsense: "see notes!"}
    for one, key in wrong.items():
        rig.airtable.person_edit(TABLE, rows[one], {"GHL ID": key, "Value": 55})
        rig.highlevel.person_edit(one, status="won")
    number = len(rig.airtable.rows(TABLE))
    rig.expect(told=4, code=3)  # the row of the deal whose id was copied has a twofold id now
    assert len(rig.airtable.rows(TABLE)) == number
    for one, key in wrong.items():
        row = rig.airtable.row(TABLE, rows[one])
        assert (row["GHL ID"], row["Status"], rig.read(one, "monetaryValue")) == (key, "open", 100)
        assert row["Sync"]
    assert "2 rows" in rig.airtable.row(TABLE, rows[owner])["Sync"]
    for one, row_id in rows.items():
        rig.airtable.person_edit(TABLE, row_id, {"GHL ID": one})
    rig.expect(fired=[(one, "monetaryValue") for one in wrong], cells=[(one, "Status") for one in wrong], told=4)
    assert rig.sandbox.differences() == []


def test_a_new_row_with_a_key_that_is_nothing_is_told_once(rig: Desk) -> None:
    """An unknown id is asked for once an hour, not in every pass; nonsense is never asked for."""
    rig.write_config(policy=OFF)
    rig.fill()
    unknown = rig.airtable.person_add(TABLE, {"Name": "Copied from elsewhere", "GHL ID": "abcdefghij0123456789"})
    nonsense = rig.airtable.person_add(TABLE, {"Name": "Half typed", "GHL ID": "?!"})
    rig.expect(told=2, code=3)
    assert rig.gets() == []  # in the second pass
    assert "no deal" in rig.airtable.row(TABLE, unknown)["Sync"]
    assert "no id" in rig.airtable.row(TABLE, nonsense)["Sync"]
    for row_id in (unknown, nonsense):
        rig.airtable.person_edit(TABLE, row_id, {"GHL ID": None})
    rig.expect(told=2)


def test_two_keys_that_were_swapped_stop_both_rows(rig: Desk) -> None:
    """Either row carries the other's id: that may be a slip or a wish, so nothing is copied from deal to deal."""
    first, second, *_ = rig.fill()
    rows = rig.sandbox.row_of(first), rig.sandbox.row_of(second)
    rig.airtable.person_edit(TABLE, rows[0], {"GHL ID": second})
    rig.airtable.person_edit(TABLE, rows[1], {"GHL ID": first})
    names = rig.read(first, "name"), rig.read(second, "name")
    rig.expect(told=2, code=3)
    assert (rig.read(first, "name"), rig.read(second, "name")) == names
    assert [rig.airtable.row(TABLE, row)["Name"] for row in rows] == list(names)


# --- deals -----------------------------------------------------------------------------------------------------------


def test_a_deleted_deal_leaves_its_row_with_a_message(rig: Desk) -> None:
    """Exit 0, one message; edits in the row go nowhere. Undeleted, the row's edits travel and the message goes."""
    deal_id, other, *_ = rig.fill()
    row_id = rig.sandbox.row_of(deal_id)
    rig.highlevel.person_delete(deal_id)
    rig.expect(told=1)
    assert rig.airtable.row(TABLE, row_id)["Sync"] == "Deleted in HighLevel"
    rig.type(deal_id, Value=66, Status="won")
    rig.type(other, Value=67)
    rig.expect(fired=[(other, "monetaryValue")])
    assert rig.airtable.row(TABLE, row_id)["Value"] == 66
    rig.highlevel.person_restore(deal_id)
    rig.expect(fired=[(deal_id, "monetaryValue"), (deal_id, "status")], told=1)
    assert (rig.read(deal_id, "monetaryValue"), rig.read(deal_id, "status")) == (66, "won")
    assert "Sync" not in rig.airtable.row(TABLE, row_id)


def test_where_both_are_deleted_nothing_comes_back(rig: Desk) -> None:
    """At once, or the row after its deal: no row is made, no error, nothing to do."""
    both, later, *_ = rig.fill()
    number = len(rig.airtable.rows(TABLE))
    rig.airtable.person_delete(TABLE, rig.sandbox.row_of(both))
    rig.highlevel.person_delete(both)
    rig.highlevel.person_delete(later)
    rig.expect(told=1, rest=False)
    rig.airtable.person_delete(TABLE, rig.sandbox.row_of(later))
    rig.rests()
    rig.rests()
    assert len(rig.airtable.rows(TABLE)) == number - 2
    assert rig.run("status", "--json").json["links"] == number - 2
    rig.highlevel.person_restore(both)
    rig.expect(made=[both], rest=False)


def test_typing_into_a_one_way_column_stays_until_the_crm_changes(rig: Desk) -> None:
    """The Sync cell says who owns it and what it holds; exit 0; HighLevel's next value replaces it."""
    deal_id, other, *_ = rig.fill()
    contact_id = rig.read(deal_id, "contactId")
    of_contact = [deal["id"] for deal in rig.deals() if deal["contactId"] == contact_id]
    rig.type(deal_id, Source="Typed here", Company="Typed as well")
    rig.type(other, Value=68)
    rig.expect(fired=[(other, "monetaryValue")], told=1)
    row = rig.row(deal_id)
    assert (row["Source"], row["Company"]) == ("Typed here", "Typed as well")
    assert "Source" in row["Sync"]
    assert "Company" in row["Sync"]
    rig.highlevel.person_edit(deal_id, source="From HighLevel")
    rig.highlevel.person_edit_contact(contact_id, companyName="New Co")
    cells = [(deal_id, "Source"), *((one, "Company") for one in of_contact)]
    rig.expect(cells=cells, told=1)
    row = rig.row(deal_id)
    assert (row["Source"], row["Company"], row.get("Sync")) == ("From HighLevel", "New Co", None)


# --- pipelines -------------------------------------------------------------------------------------------------------


def test_a_deal_that_leaves_the_pipelines_keeps_its_row(rig: Desk) -> None:
    """The row stays and says so, exit 0; what is edited meanwhile waits, and travels when the deal returns."""
    rig.write_config(pipelines=["Sales"])
    leaver, edited, *_ = rig.fill()
    elsewhere = rig.highlevel.person_create(pipelineStageId=rig.highlevel.stage_id("Onboarding", "Won"))
    rig.place([leaver, edited], "Onboarding", "Kick-off call")
    rig.expect(told=2)
    assert "left the synced pipelines" in rig.row(leaver)["Sync"]
    assert rig.row(leaver)["Stage"] == "New Lead"
    rig.highlevel.person_edit(leaver, name="Renamed out of sight")
    rig.type(edited, Value=70)
    rig.rests()
    assert rig.airtable.find_rows(TABLE, "GHL ID", elsewhere) == []
    rig.place([leaver, edited], "Sales", "🔥 Hot")
    rig.expect(
        fired=[(edited, "monetaryValue")], cells=[(leaver, "Name"), (leaver, "Stage"), (edited, "Stage")], told=2
    )
    assert "Sync" not in rig.row(leaver)


def test_a_changed_pipelines_setting_is_a_change_of_scope(rig: Desk) -> None:
    """No deal is asked for by itself, nothing is deleted and nothing made; widened again, all goes on."""
    deals = [deal["id"] for deal in rig.deals()]
    out = deals[:8]
    rig.place(out, "Onboarding", "New Lead")
    rig.fill()
    rig.write_config(pipelines=["Sales"])
    rig.expect(told=len(out), rest=False)
    assert rig.gets() == []
    assert len(rig.airtable.rows(TABLE)) == len(deals)
    rig.type(out[0], Value=71)
    rig.highlevel.person_edit(out[1], monetaryValue=72)
    rig.rests()
    assert rig.gets() == []
    rig.write_config()
    rig.expect(fired=[(out[0], "monetaryValue")], cells=[(out[1], "Value")], told=len(out))
    assert rig.sandbox.differences() == []


def test_without_a_sync_column_people_are_told_in_status(rig: Desk) -> None:
    """The table never had one: no message is written, the exit code and status say that a person is needed."""
    rig.airtable.delete_field(TABLE, "Sync")
    deal_id, other, *_ = rig.fill()
    rig.type(deal_id, Stage="No such stage", Value=73)
    rig.highlevel.person_delete(other)
    rig.expect(fired=[(deal_id, "monetaryValue")], code=3)
    found = rig.run("status", "--json").json
    assert found["needs_person"] == 1
    assert "No such stage" in found["sentences"][0]
    assert "No such stage" in rig.run("status").out
