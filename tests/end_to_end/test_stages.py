"""Stages, pipelines, statuses and owners: what is typed that does not exist, what is renamed, deleted, or new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.sandbox.world import TABLE
from tests.end_to_end.desk import Desk


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A small sandbox in which every deal is open, worth 100, without owner, and a New Lead in Sales."""
    with Desk(tmp_path, deals=12) as made:
        for deal in made.deals():
            made.place([deal["id"]], "Sales", "New Lead")
            made.highlevel.person_edit(deal["id"], status="open", monetaryValue=100, assignedTo=None)
        made.later()
        yield made


# --- what does not exist ---------------------------------------------------------------------------------------------


def test_what_does_not_exist_waits_and_the_rest_goes_on(rig: Desk) -> None:
    """Unknown stage, owner, status, pipeline, and a stage of another pipeline: the Sync cell lists the choices, exit 3,
    what was typed stays, the message is written once, and goes when the cell is mended."""
    stage, owner, status, pipeline, strange, *_ = rig.fill()
    rig.type(stage, Stage="Hotter", Name="Goes on", Value=1)
    rig.type(owner, Owner="Jo", Value=2)
    rig.type(status, Status="paused", Value=3)
    rig.type(pipeline, Pipeline="Marketing", Value=4)
    rig.type(strange, Stage="Kick-off call", Value=5)
    rig.highlevel.person_edit(stage, source="Seen meanwhile")
    waiting = (stage, owner, status, pipeline, strange)
    fired = [(deal_id, "monetaryValue") for deal_id in waiting] + [(stage, "name")]
    rig.expect(fired=fired, cells=[(stage, "Source")], told=5, code=3)
    said = {deal_id: rig.row(deal_id)["Sync"] for deal_id in waiting}
    assert "“Hotter”" in said[stage]
    for name in ("New Lead", "Contacted", "Proposal Sent", "N\u00e9gociation", "🔥 Hot", "Won", "Lost"):
        assert name in said[stage]
        assert name in said[strange]
    assert "Kick-off call" not in said[stage]
    for user in rig.highlevel.users:
        assert user["name"] in said[owner]
    assert "open, won, lost, abandoned" in said[status]
    for name in ("Sales", "Onboarding", "Renewals 2026"):
        assert name in said[pipeline]
    assert (rig.row(stage)["Stage"], rig.row(owner)["Owner"]) == ("Hotter", "Jo")
    assert (rig.row(status)["Status"], rig.row(pipeline)["Pipeline"]) == ("paused", "Marketing")
    assert rig.row(strange)["Stage"] == "Kick-off call"
    rig.type(stage, Stage="🔥 Hot")
    rig.type(owner, Owner=None)
    rig.type(status, Status="won")
    rig.type(pipeline, Pipeline="Sales")
    rig.type(strange, Pipeline="Onboarding")
    rig.expect(fired=[(stage, "stage"), (status, "status"), (strange, "stage")], told=5)
    assert rig.stage(strange) == ("Onboarding", "Kick-off call")
    assert all("Sync" not in rig.row(deal_id) for deal_id in waiting)


def test_a_waiting_field_follows_the_crm_only_when_its_cell_is_mended(rig: Desk) -> None:
    """While a typed stage does not exist, HighLevel's own move is held, too: what was typed stays. Mended
    to the very stage where the deal is, it is agreed on without a write."""
    deal_id = rig.fill()[0]
    rig.type(deal_id, Stage="Hotter")
    rig.place([deal_id], "Sales", "Won")
    rig.expect(told=1, code=3)
    assert rig.row(deal_id)["Stage"] == "Hotter"
    assert rig.stage(deal_id) == ("Sales", "Won")
    rig.type(deal_id, Stage="Won")
    rig.expect(told=1)


def test_pipeline_and_stage_are_one_field_in_two_cells(rig: Desk) -> None:
    """Both typed: one PUT with both ids and one trigger. Pipeline alone: its stage of the same name, or it waits. Stage
    blank beside a new pipeline waits for the person."""
    both, same, lacking, blank, *_ = rig.fill()
    rig.place([lacking], "Sales", "🔥 Hot")
    rig.expect(cells=[(lacking, "Stage")], rest=False)
    rig.type(both, Pipeline="Onboarding", Stage="Going live")
    rig.type(same, Pipeline="Onboarding")
    rig.type(lacking, Pipeline="Onboarding")
    rig.type(blank, Pipeline="Onboarding", Stage=None)
    rig.forget_log()
    rig.reconcile(expect=3)
    assert sorted(rig.fired()) == sorted([(both, "stage"), (same, "stage")])
    ids = {"pipelineId", "pipelineStageId"}
    assert [set(json.loads(line.body)) for line in rig.crm_writes()] == [ids, ids]
    assert rig.table_writes() == []
    assert (rig.stage(both), rig.stage(same)) == (("Onboarding", "Going live"), ("Onboarding", "New Lead"))
    for deal_id in (lacking, blank):
        assert "Kick-off call" in rig.row(deal_id)["Sync"]
        assert rig.row(deal_id)["Pipeline"] == "Onboarding"
        assert rig.stage(deal_id)[0] == "Sales"
    assert "Stage" not in rig.row(blank)
    rig.rests(code=3)
    rig.type(lacking, Stage="Won")
    rig.type(blank, Stage="Won")
    rig.expect(fired=[(lacking, "stage"), (blank, "stage")], told=2)


def test_stages_of_the_same_name_are_told_apart_by_the_pipeline(rig: Desk) -> None:
    """“Won” and “New Lead” exist in two pipelines (and a third spells them otherwise): each deal stays in its own."""
    sales, onboarding, renewal, *_ = [deal["id"] for deal in rig.deals()]
    rig.place([onboarding], "Onboarding", "New Lead")
    rig.place([renewal], "Renewals  2026 ", "new lead")
    rig.fill()
    for deal_id in (sales, onboarding, renewal):
        rig.type(deal_id, Stage="Won")
    rig.expect(fired=[(deal_id, "stage") for deal_id in (sales, onboarding, renewal)])
    assert rig.stage(sales) == ("Sales", "Won")
    assert rig.stage(onboarding) == ("Onboarding", "Won")
    assert rig.stage(renewal) == ("Renewals  2026 ", "WON")


def test_without_a_pipeline_column_a_stage_is_the_deals_own(rig: Desk) -> None:
    """It is looked up in the deal's pipeline only; a stage of another one waits."""
    sales, onboarding, strange, moved, *_ = [deal["id"] for deal in rig.deals()]
    rig.airtable.delete_field(TABLE, "Pipeline")
    rig.place([onboarding], "Onboarding", "New Lead")
    rig.reconcile()
    for deal_id in (sales, onboarding):
        rig.type(deal_id, Stage="Won")
    rig.type(strange, Stage="Reminder sent")
    rig.place([moved], "Onboarding", "Going live")
    rig.expect(fired=[(sales, "stage"), (onboarding, "stage")], cells=[(moved, "Stage")], told=1, code=3)
    assert (rig.stage(sales), rig.stage(onboarding)) == (("Sales", "Won"), ("Onboarding", "Won"))
    assert "Reminder sent" in rig.row(strange)["Sync"]


def test_blank_cells_are_filled_again_where_they_may_not_be_blank(rig: Desk) -> None:
    """Stage, Status, Name and Pipeline come back from HighLevel with its present values; no deal is written."""
    stage, status, name, pipeline, changed, *_ = rig.fill()
    rig.type(stage, Stage=None)
    rig.type(status, Status=None)
    rig.type(name, Name="   ")
    rig.type(pipeline, Pipeline=None)
    rig.type(changed, Stage=None, Status=None, Name=None)
    rig.highlevel.person_edit(changed, status="won", name="Newer name")
    held = [(stage, "Stage"), (status, "Status"), (name, "Name"), (pipeline, "Pipeline")]
    rig.expect(cells=[*held, (changed, "Stage"), (changed, "Status"), (changed, "Name")])
    assert rig.sandbox.differences() == []
    assert (rig.row(changed)["Status"], rig.row(changed)["Name"]) == ("won", "Newer name")


# --- names that change -----------------------------------------------------------------------------------------------


def test_a_renamed_stage_renames_the_rows_and_nothing_else(rig: Desk) -> None:
    """Only the rows of that stage are written; no deal is written, none is read by itself; edits go on beside it."""
    *others, first, second, edited = rig.fill()
    rig.place([first, second, edited], "Sales", "🔥 Hot")
    rig.expect(cells=[(deal_id, "Stage") for deal_id in (first, second, edited)], rest=False)
    rig.highlevel.rename_stage(rig.highlevel.stage_id("Sales", "🔥 Hot"), "Sizzling")
    rig.expect(cells=[(deal_id, "Stage") for deal_id in (first, second, edited)], rest=False)
    assert rig.gets() == []
    assert {rig.row(deal_id)["Stage"] for deal_id in (first, second, edited)} == {"Sizzling"}
    assert {rig.row(deal_id)["Stage"] for deal_id in others} == {"New Lead"}
    rig.rests()
    rig.highlevel.rename_stage(rig.highlevel.stage_id("Sales", "Sizzling"), "Scorching")
    rig.type(edited, Stage="New Lead", Value=6)
    rig.expect(
        fired=[(edited, "stage"), (edited, "monetaryValue")],
        cells=[(deal_id, "Stage") for deal_id in (first, second)],
    )
    assert rig.sandbox.differences() == []


def test_two_stages_that_swap_names_move_no_deal(rig: Desk) -> None:
    """Every row of the two shows the other name; each deal stays where it was."""
    first, second, *_ = rig.fill()
    rig.place([first], "Sales", "Won")
    rig.place([second], "Sales", "Lost")
    rig.expect(cells=[(first, "Stage"), (second, "Stage")], rest=False)
    won, lost = rig.highlevel.stage_id("Sales", "Won"), rig.highlevel.stage_id("Sales", "Lost")
    rig.highlevel.rename_stage(won, "Lost")
    rig.highlevel.rename_stage(lost, "Won")
    rig.expect(cells=[(first, "Stage"), (second, "Stage")])
    assert (rig.row(first)["Stage"], rig.row(second)["Stage"]) == ("Lost", "Won")
    assert rig.read(first, "pipelineStageId") == won


def test_a_renamed_pipeline_renames_the_rows(rig: Desk) -> None:
    """The Pipeline cells get the new name, in rows of that pipeline; a renamed user likewise. No deal is written."""
    own, owned, *rest = [deal["id"] for deal in rig.deals()]
    rig.place([own], "Onboarding", "Won")
    rig.highlevel.person_edit(owned, assignedTo=rig.highlevel.users[0]["id"])
    rig.fill()
    onboarding = next(one["id"] for one in rig.highlevel.pipelines if one["name"] == "Onboarding")
    rig.highlevel.rename_pipeline(onboarding, "New customers")
    rig.highlevel.rename_user(rig.highlevel.users[0]["id"], "Dana Married")
    rig.expect(cells=[(own, "Pipeline"), (owned, "Owner")], rest=False)
    assert rig.gets() == []
    rig.rests()
    assert (rig.row(own)["Pipeline"], rig.row(owned)["Owner"]) == ("New customers", "Dana Married")
    rig.type(rest[0], Pipeline="New customers", Stage="Won", Owner="Dana Married")
    rig.expect(fired=[(rest[0], "stage"), (rest[0], "assignedTo")], rest=False)


def test_a_renamed_option_is_no_edit_and_keeps_its_meaning(rig: Desk) -> None:
    """Options count by id: nothing is written, and a person who picks the renamed one means the same stage."""
    deal_id, picked, status, *_ = rig.fill()
    rig.airtable.rename_option(TABLE, "Stage", "New Lead", "Fresh")
    rig.airtable.rename_option(TABLE, "Status", "won", "Signed!")
    rig.airtable.rename_option(TABLE, "Stage", "🔥 Hot", "Hot")
    rig.rests()
    rig.type(picked, Stage="Hot")
    rig.type(status, Status="Signed!")
    rig.expect(fired=[(picked, "stage"), (status, "status")])
    assert rig.stage(picked) == ("Sales", "🔥 Hot")
    assert rig.read(status, "status") == "won"
    assert rig.row(deal_id)["Stage"] == "Fresh"


# --- stages that come and go -----------------------------------------------------------------------------------------


def test_a_deleted_stage_takes_its_rows_to_where_its_deals_went(rig: Desk) -> None:
    """HighLevel moves its deals to the lowest stage; the rows follow. The old name, typed again, does not exist."""
    moved, typed, *_ = rig.fill()
    rig.place([moved], "Sales", "Won")
    rig.expect(cells=[(moved, "Stage")], rest=False)
    rig.highlevel.delete_stage(rig.highlevel.stage_id("Sales", "Won"))
    rig.type(typed, Stage="Won")
    rig.expect(cells=[(moved, "Stage")], told=1, code=3)
    assert rig.row(moved)["Stage"] == "New Lead"
    assert "“Won”" in rig.row(typed)["Sync"]
    assert rig.stage(typed) == ("Sales", "New Lead")


def test_a_new_stage_is_used_at_once_from_either_side(rig: Desk) -> None:
    """A deal brings it: the select gets the option. A person types it: the deal moves; no second option is made."""
    from_deal, from_row, *_ = rig.fill()
    sales = rig.highlevel.pipelines[0]["id"]
    brought, typed = (rig.highlevel.add_stage(sales, name) for name in ("Under  review", "On hold"))
    rig.highlevel.person_edit(from_deal, pipelineStageId=brought)
    rig.type(from_row, Stage="on hold")
    rig.expect(fired=[(from_row, "stage")], cells=[(from_deal, "Stage")])
    assert rig.row(from_deal)["Stage"] == "Under review"
    assert rig.read(from_row, "pipelineStageId") == typed
    assert rig.options("Stage").count("Under review") == 1
    assert [name.casefold() for name in rig.options("Stage")].count("on hold") == 1
    rig.type(from_row, Stage="Under review")
    rig.expect(fired=[(from_row, "stage")], rest=False)
    assert rig.read(from_row, "pipelineStageId") == brought


def test_a_deleted_pipeline_deletes_its_deals_and_no_row(rig: Desk) -> None:
    """Its rows say that their deals are gone; exit 0."""
    gone, *_ = [deal["id"] for deal in rig.deals()]
    rig.place([gone], "Onboarding", "Won")
    rig.fill()
    row_id = rig.sandbox.row_of(gone)
    rig.highlevel.delete_pipeline(next(one["id"] for one in rig.highlevel.pipelines if one["name"] == "Onboarding"))
    rig.expect(told=1)
    assert rig.airtable.row(TABLE, row_id)["Sync"] == "Deleted in HighLevel"


def test_an_owner_column_that_is_a_select_takes_the_same_names(tmp_path: Path) -> None:
    """Options are matched by name; an owner who is no option yet is added when a deal brings one."""
    with Desk(tmp_path, deals=8, owners_as_select=True) as rig:
        brought, typed, *_ = rig.fill()
        park = next(user["id"] for user in rig.highlevel.users if user["name"] == "Jo Park")
        rig.highlevel.rename_user(park, "Joanna Park")
        rig.highlevel.person_edit(brought, assignedTo=park)
        rig.type(typed, Owner="Marco Bellini")
        marco = next(user["id"] for user in rig.highlevel.users if user["name"] == "Marco Bellini")
        fired = [(typed, "assignedTo")] if rig.read(typed, "assignedTo") != marco else []
        rig.forget_log()
        rig.reconcile()
        assert rig.fired() == fired
        assert rig.row(brought)["Owner"] == "Joanna Park"
        assert rig.read(typed, "assignedTo") == marco
        rig.rests()
