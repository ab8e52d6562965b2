"""HighLevel's search lags behind its writes: own writes, people's edits, new, deleted and hidden deals (SPEC §3)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.desk import Desk
from tests.end_to_end.hooks import at_rest, fill_here, ids, single_reads, written

LONG_SECONDS = 3600.0  # search shows nothing new until a test says so


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A filled table; from now on search shows no write until `flush_index`."""
    with Desk(tmp_path, deals=8) as rig:
        fill_here(rig)
        rig.highlevel.lag_seconds = LONG_SECONDS
        yield rig


def other_stage(rig: Desk, deal_id: str) -> str:
    """The name of another stage of the deal's pipeline, as a person would pick it in the row."""
    deal = rig.highlevel.deal(deal_id)
    stages = next(line["stages"] for line in rig.highlevel.pipelines if line["id"] == deal["pipelineId"])
    return " ".join(str(next(one["name"] for one in stages if one["id"] != deal["pipelineStageId"])).split())


def test_own_write_that_search_does_not_show_yet_does_not_bounce_back(rig: Desk) -> None:
    deal = ids(rig)[0]
    rig.type(deal, Value=4321, Stage=other_stage(rig, deal))
    assert rig.reconcile()["updated"] == {"crm": 1, "table": 0}
    assert sorted(rig.fired()) == [(deal, "monetaryValue"), (deal, "stage")]
    rig.forget_log()
    at_rest(rig, passes=3)  # search still shows the old values
    assert written(rig) == (0, 0)
    assert single_reads(rig) == []  # within the read lag nobody has to ask
    rig.highlevel.flush_index()
    at_rest(rig)
    assert written(rig) == (0, 0)


def test_edits_of_one_field_on_both_sides_while_search_is_behind(rig: Desk) -> None:
    row_later, crm_later, tied = ids(rig)[:3]
    rig.highlevel.person_edit(row_later, monetaryValue=10)
    rig.type(crm_later, Value=21)
    rig.later(5.0)
    rig.type(row_later, Value=11)
    rig.highlevel.person_edit(crm_later, monetaryValue=20)
    rig.type(tied, Value=31)
    rig.highlevel.person_edit(tied, monetaryValue=30)

    rig.reconcile()  # search shows none of the edits in HighLevel: the second look finds them
    assert written(rig) == (0, 0)
    told = rig.reconcile()
    assert (told["updated"], told["conflicts"]) == ({"crm": 1, "table": 2}, 3)
    assert rig.fired() == [(row_later, "monetaryValue")]
    assert len(rig.crm_writes()) == 1
    assert len(rig.table_writes()) == 2
    values = [rig.highlevel.deal(deal)["monetaryValue"] for deal in (row_later, crm_later, tied)]
    assert values == [11, 20, 30]
    at_rest(rig, passes=2)
    rig.highlevel.flush_index()
    at_rest(rig)


def test_edit_of_another_field_that_search_does_not_show_is_carried_after_the_read_lag(rig: Desk) -> None:
    deal = ids(rig)[0]
    rig.write_config(pair='read_lag = "3s"')
    rig.highlevel.person_edit(deal, name="Renamed in HighLevel")
    rig.type(deal, Status="won" if rig.highlevel.deal(deal)["status"] != "won" else "lost")
    rig.forget_log()
    rig.reconcile()
    assert rig.fired() == [(deal, "status")]
    assert '"name"' not in rig.crm_writes()[0].body
    assert rig.table_writes() == []
    time.sleep(3.0)
    rig.reconcile()
    assert rig.row(deal)["Name"] == "Renamed in HighLevel"
    assert (len(rig.crm_writes()), len(rig.table_writes())) == (1, 1)
    at_rest(rig)


def test_edit_after_an_own_write_of_the_same_field_is_carried_although_search_shows_neither(rig: Desk) -> None:
    first, second = ids(rig)[:2]
    rig.type(first, Value=100)
    rig.type(second, Value=100)
    rig.reconcile()
    rig.highlevel.person_edit(first, monetaryValue=200)
    rig.highlevel.person_edit(second, monetaryValue=200)
    rig.type(second, Name="The row is edited too")  # so the deal is asked for at once, without waiting
    rig.forget_log()
    rig.reconcile()
    assert rig.row(second)["Value"] == 200
    assert rig.row(first)["Value"] == 100  # nobody can know yet: within the read lag nothing asks
    assert rig.fired() == [(second, "name")]
    assert single_reads(rig).count(first) == 0
    rig.highlevel.flush_index()
    rig.reconcile()
    assert rig.row(first)["Value"] == 200
    assert (len(rig.crm_writes()), len(rig.table_writes())) == (1, 2)
    at_rest(rig)


def test_new_deal_that_search_does_not_show_yet(rig: Desk) -> None:
    deal = rig.highlevel.person_create(name="Just made", monetaryValue=5)
    rig.reconcile()
    assert written(rig) == (0, 0)
    rig.highlevel.flush_index()
    assert rig.reconcile()["created"] == {"crm": 0, "table": 1}
    assert rig.row(deal)["Name"] == "Just made"
    assert rig.fired() == []
    at_rest(rig)


def test_deleted_deal_that_search_still_shows(rig: Desk) -> None:
    idle, edited = ids(rig)[:2]
    row_id = rig.sandbox.row_of(edited)
    rig.highlevel.person_delete(idle)
    rig.highlevel.person_delete(edited)
    rig.type(edited, Value=77)
    for _ in range(2):
        rig.reconcile()
    assert rig.fired() == []
    assert rig.table_writes() == []
    assert len(rig.crm_writes()) == 0
    rig.highlevel.flush_index()
    rig.reconcile()
    assert [rig.row(deal)["Sync"] for deal in (idle, edited)] == ["Deleted in HighLevel"] * 2
    assert rig.airtable.row("Deals", row_id)["Value"] == 77  # what was typed stays
    rig.forget_log()
    rig.reconcile()
    assert written(rig) == (0, 0)
    assert single_reads(rig) == []


def test_deal_that_is_known_to_be_deleted_stays_so_while_search_shows_it(rig: Desk) -> None:
    deal = ids(rig)[0]
    rig.highlevel.person_delete(deal)
    rig.highlevel.hidden_from_search = {deal}
    rig.reconcile()
    assert rig.row(deal)["Sync"] == "Deleted in HighLevel"
    rig.highlevel.hidden_from_search = set()  # the index shows it again, though it is gone
    rig.forget_log()
    rig.reconcile()
    assert written(rig) == (0, 0)
    assert rig.row(deal)["Sync"] == "Deleted in HighLevel"


def test_deal_missing_from_search_only(rig: Desk) -> None:
    deal = ids(rig)[0]
    rig.highlevel.flush_index()
    rig.highlevel.lag_seconds = 0.0
    rig.highlevel.hidden_from_search = {deal}
    before = rig.row(deal)
    rig.reconcile()
    assert written(rig) == (0, 0)
    assert single_reads(rig) == [deal]  # suspected: one read by id, and no more
    assert rig.row(deal) == before
    rig.type(deal, Value=12)
    rig.highlevel.person_edit(deal, name="Hidden, and yet renamed")
    rig.reconcile()
    assert rig.fired() == [(deal, "monetaryValue")]
    assert rig.row(deal)["Name"] == "Hidden, and yet renamed"
    assert (len(rig.crm_writes()), len(rig.table_writes())) == (1, 1)
    rig.highlevel.hidden_from_search = set()
    at_rest(rig)


def test_total_that_drifts(rig: Desk) -> None:
    for drift in (3, -3, 0):
        rig.highlevel.total_drift = drift
        rig.reconcile()
    assert written(rig) == (0, 0)
    assert single_reads(rig) == []
    assert rig.sandbox.differences() == []


def test_deals_that_share_a_cursor_position_at_a_page_boundary(tmp_path: Path) -> None:
    with Desk(tmp_path, deals=150) as rig:
        assert rig.reconcile()["created"] == {"crm": 0, "table": 150}
        assert rig.sandbox.differences() == []
        ordered = sorted(rig.deals(), key=lambda deal: (deal["createdAt"], deal["contactId"]), reverse=True)
        last, first = ((deal["createdAt"], deal["contactId"]) for deal in ordered[99:101])
        assert last == first, "no page boundary falls between two deals of one position: the test shows nothing"
        rig.forget_log()
        rig.reconcile()
        assert written(rig) == (0, 0)
        assert single_reads(rig) == []
        assert rig.fired() == []
