"""Passes that look at what changed (`incremental.py`): what they cost, what they find, what they leave to a full one.

A page of these worlds holds two records, so that six deals are worth asking for changes alone.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

import syncd.incremental
import tests.memory
from syncd.incremental import (
    CRM_OVERLAP_SECONDS,
    FIRST_PATIENCE_SECONDS,
    FULL_EVERY_SECONDS,
    OPENED_SECONDS,
    TABLE_OVERLAP_SECONDS,
    Memory,
)
from syncd.model import Link, Record, Side
from syncd.plan import Finding, Trouble
from syncd.policy import Policy, RowDeleted
from syncd.reconcile import PassResult
from syncd.sides import Refused, SideDown, Stage
from tests.memory import FIELD_NAMES, NO_LIMITS, SALES, SERVICE, VOCABULARY, World, field_of

DEALS = tuple(f"deal{number:02d}" for number in range(1, 31))
A, B, C = DEALS[:3]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Thirty agreed links, long at rest, of which a daemon has seen two passes."""
    monkeypatch.setattr(tests.memory, "PAGE", 2)
    world = World(tmp_path).choose(limits=NO_LIMITS)
    world.incremental = True
    world.restart()
    world.filled(*DEALS)
    world.rested()
    return world


def spent(world: World, *, seconds: float = 60.0, full: bool | None = False) -> tuple[int, int]:
    """The calls of one pass: (to the CRM, to the table)."""
    before = world.crm.calls, world.table.calls
    result = world.run(seconds)
    assert result.error == ""
    assert full is None or result.full is full
    return world.crm.calls - before[0], world.table.calls - before[1]


def passed(world: World, *, full: bool, seconds: float = 60.0) -> PassResult:
    result = world.run(seconds)
    assert (result.error, result.full) == ("", full)
    return result


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_an_idle_pass_is_one_call_a_side(world: World) -> None:
    assert [spent(world) for _ in range(5)] == [(1, 1)] * 5
    assert world.writes() == (0, 0, 0)


def test_ten_edited_rows_are_a_read_and_a_write_per_deal_and_one_read_of_the_table(world: World) -> None:
    for deal in DEALS[:10]:
        world.edit_row(deal, value=5)
    assert spent(world) == (1 + 10 + 10, 1 + 1)
    assert world.writes() == (10, 0, 10)
    assert spent(world) == (1, 1), "our own writes are listed, and nothing is made of them"
    world.agree(*DEALS)


def test_ten_edited_deals_are_a_read_each_and_one_read_and_one_write_of_the_table(world: World) -> None:
    for deal in DEALS[:10]:
        world.crm.put(deal, value=7)
    assert spent(world) == (1 + 10, 1 + 1 + 1)
    assert world.writes() == (0, 10, 0)
    assert spent(world) == (1, 1)
    world.agree(*DEALS)


def test_a_new_deal_gets_a_row_once_no_row_was_seen_to_carry_its_id(world: World) -> None:
    world.deal("dealNew")
    assert spent(world) == (1, 1 + 1 + 1)  # the listing, a search by the id, the row
    assert spent(world) == (1, 1)
    world.agree("dealNew")


def test_where_one_page_holds_everything_a_sweep_costs_no_more_and_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tests.memory, "PAGE", 100)
    spent(world, seconds=FULL_EVERY_SECONDS, full=True)
    assert [spent(world, full=True) for _ in range(3)] == [(1, 1)] * 3
    world.table.drop(world.table.row_of(A))
    passed(world, full=True)
    world.agree(A)  # a deletion is seen at once


@pytest.mark.parametrize("side", list(Side))
def test_a_server_that_cannot_be_asked_for_changes_is_swept(world: World, side: Side) -> None:
    world.crm.filters_dates = side is not Side.CRM
    world.table.clockless = side is Side.TABLE
    for _ in range(3):
        passed(world, full=True)


# --- what it finds ---------------------------------------------------------------------------------------------------


def test_edits_on_both_sides_are_a_conflict_by_their_times(world: World) -> None:
    world.crm.put(A, value=7)
    world.clock.advance(20)
    world.edit_row(A, value=9)
    world.edit_row(B, value=9)
    world.clock.advance(20)
    world.crm.put(B, value=7)
    assert passed(world, full=False).tally.conflicts == 2
    assert [world.row(deal).cells["value"] for deal in (A, B)] == [9, 7]
    world.agree(A, B)


def test_an_edit_that_search_does_not_show_yet_is_not_overwritten(world: World) -> None:
    """The pass takes the deal for what it was; the read before the write shows what it is."""
    world.crm.lag = 300.0
    world.clock.advance(1.0)
    world.edit_row(A, value=9)
    world.clock.advance(20)
    world.crm.put(A, value=7)
    assert passed(world, full=False).tally.waiting == 1
    assert world.writes() == (0, 0, 0)
    world.clock.advance(300.0)
    passed(world, full=False)
    assert world.row(A).cells["value"] == 7
    world.agree(A)


def test_a_new_row_becomes_a_deal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests.memory, "PAGE", 2)
    world = World(tmp_path, [field_of(name) for name in (*FIELD_NAMES, "email")])
    world.table.columns["email"] = replace(world.table.columns["name"], id="fldEmail", name="Email")
    world.incremental = True
    world.restart()
    world.filled(*DEALS)
    world.table.put("lead", None, name="Roof", email="ann@example.com", pipeline="Sales")
    assert passed(world, full=False).tally.created[Side.CRM] == 1
    world.table.put("lacking", None, name="Wall", pipeline="Sales")
    for _ in range(3):
        result = passed(world, full=False, seconds=90.0)
        assert (result.rows_without_id, result.code) == (1, 3)
    assert "Email" in world.table.rows["lacking"].message
    world.table.put("lacking", None, email="bob@example.com")
    assert passed(world, full=False).rows_without_id == 0
    assert len(world.crm.deals) == len(DEALS) + 2


def test_what_a_pass_could_not_write_is_tried_by_the_next_one(world: World) -> None:
    """Nobody edits anything meanwhile, and the edit is older than the overlap."""
    world.edit_row(A, value=9)
    world.crm.faults.unread = {A}
    for _ in range(4):
        passed(world, full=False)
    assert world.crm.log == []
    world.crm.faults.unread = set()
    passed(world, full=False)
    assert world.crm.now(A)["value"] == 9  # type: ignore[index]
    assert spent(world) == (1, 1)


def test_a_cell_that_is_being_typed_is_carried_once_it_rests(world: World) -> None:
    world.choose(quiet_seconds=100.0)
    world.edit_row(A, name="Half a na")
    for _ in range(2):
        assert [one.trouble for one in passed(world, full=False, seconds=40.0).findings] == [Trouble.TYPING]
    passed(world, full=False, seconds=100.0)
    assert world.crm.now(A)["name"] == "Half a na"  # type: ignore[index]


def test_a_cell_that_must_rest_for_longer_than_listings_overlap_is_carried_all_the_same(world: World) -> None:
    """No listing names it any more by then."""
    world.choose(quiet_seconds=3 * TABLE_OVERLAP_SECONDS)
    world.edit_row(A, name="Typed")
    for seconds in (1.0, 100.0):
        assert [one.trouble for one in passed(world, full=False, seconds=seconds).findings] == [Trouble.TYPING]
    assert passed(world, full=False, seconds=100.0).findings == []
    assert (world.crm.now(A) or {})["name"] == "Typed"


def test_a_conflict_that_could_not_be_dated_is_decided_once_it_can_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.crm.put(A, value=7)
    world.clock.advance(20)
    world.edit_row(A, value=9)
    with monkeypatch.context() as silent:
        silent.setattr(world.table, "edited", lambda _questions: {})
        for seconds in (60.0, 2 * CRM_OVERLAP_SECONDS):
            assert [one.trouble for one in passed(world, full=False, seconds=seconds).findings] == [Trouble.UNDATED]
    assert passed(world, full=False).tally.conflicts == 1
    world.agree(A)


def test_a_cell_that_could_not_be_told_is_carried_once_it_can_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it holds may be computed elsewhere, and be told anew without an edit of the row."""
    world.edit_row(A, value=9)
    told = world.table.record
    with monkeypatch.context() as silent:
        lacking = frozenset({FIELD_NAMES.index("value")})
        silent.setattr(world.table, "record", lambda row: replace(told(row), lacks=lacking))
        for seconds in (60.0, 2 * CRM_OVERLAP_SECONDS):
            assert [one.trouble for one in passed(world, full=False, seconds=seconds).findings] == [Trouble.NOT_TOLD]
    passed(world, full=False)
    world.agree(A)


def test_a_refused_record_is_tried_again_when_its_pause_is_over(world: World) -> None:
    world.crm.faults.refuse = lambda _verb, id, _changes: Refused("Locked.") if id == A else None
    world.edit_row(A, value=9)
    passed(world, full=False)
    for _ in range(2):
        world.crm.put(B, value=world.clock.now)
        assert passed(world, full=False, seconds=10.0).code == 3
        assert [one.deal for one in world.store.refused()] == [A]
    world.crm.faults.refuse = lambda _verb, _id, _changes: None
    passed(world, full=False, seconds=200.0)
    assert world.crm.now(A)["value"] == 9  # type: ignore[index]


def test_a_failed_pass_loses_no_edit(world: World) -> None:
    world.edit_row(A, value=9)
    world.table.faults.down_on = frozenset({"read"})
    for _ in range(4):
        assert world.run().error
    world.table.faults.down_on = frozenset()
    passed(world, full=False)
    assert world.crm.now(A)["value"] == 9  # type: ignore[index]


def test_after_a_failed_pass_names_and_columns_are_read_anew(world: World) -> None:
    """They may have been what was wrong."""
    world.table.faults.down_on = frozenset({"changed"})
    assert world.run().error
    world.table.faults.down_on = frozenset()
    assert spent(world) == (2, 2)
    assert spent(world) == (1, 1)


def test_what_waits_for_a_person_is_said_until_it_is_mended(world: World) -> None:
    world.edit_row(A, stage="Nope")
    assert passed(world, full=False).needs_person == 1
    for _ in range(3):
        result = passed(world, full=False, seconds=300.0)
        assert (result.needs_person, result.code) == (1, 3)
    world.edit_row(A, stage="New")
    assert passed(world, full=False).needs_person == 0
    assert world.row(A).message == ""


def test_a_typed_one_way_cell_is_seen_when_only_its_deal_changed(world: World) -> None:
    """Its row is not as last agreed: it is read, not remembered."""
    world.edit_row(A, source="typed")
    passed(world, full=False)
    world.clock.advance(1000.0)
    passed(world, full=False)
    world.crm.put(A, source="ad")
    passed(world, full=False)
    assert world.row(A).cells["source"] == "ad"


# --- what it leaves to a full pass -----------------------------------------------------------------------------------


def test_a_deletion_is_found_by_the_next_full_pass(world: World) -> None:
    world.table.drop(world.table.row_of(A))
    world.crm.drop(B)
    for _ in range(3):
        passed(world, full=False)
    assert len(world.table.rows) == len(DEALS) - 1
    passed(world, full=True, seconds=FULL_EVERY_SECONDS)
    assert world.row(A).cells["value"] == 100
    assert world.row(B).message == "Deleted in HighLevel"
    passed(world, full=False)


def test_a_row_that_is_gone_stays_a_doubt_until_a_full_pass_could_bring_it_back(world: World) -> None:
    """Nobody edits the deal any more, and so no listing names it."""
    world.table.faults.refuse = lambda verb, _id, _changes: Refused("No room.") if verb == "create" else None
    world.table.drop(world.table.row_of(A))
    world.crm.put(A, value=1)
    assert any(world.run().full for _ in range(3)), "a new doubt"
    memory = world.pair.memory
    assert memory is not None
    for _ in range(120):  # the doubt stays, and waits longer and longer
        if memory.patience >= 4 * CRM_OVERLAP_SECONDS:
            break
        world.run(60.0)
    assert memory.patience >= 4 * CRM_OVERLAP_SECONDS
    world.crm.put(A, value=2)
    passed(world, full=False)
    world.clock.advance(2 * CRM_OVERLAP_SECONDS)
    world.table.faults.refuse = lambda _verb, _id, _changes: None
    fulls = [world.run(60.0).full for _ in range(80)]
    assert any(fulls), "long before the next full pass that comes anyway"
    world.agree(A)


@pytest.mark.parametrize(("policy", "left"), [(RowDeleted.DELETE_DEAL, False), (RowDeleted.IGNORE, True)])
def test_what_becomes_of_a_deal_whose_row_is_gone_a_full_pass_decides(
    world: World, policy: RowDeleted, left: bool
) -> None:
    """Another row may have its key by now, and an incremental pass does not see that."""
    world.choose(policy=Policy(row_deleted=policy))
    world.table.drop(world.table.row_of(A))
    world.crm.put(A, value=7)
    passed(world, full=False)  # which finds the row gone as it is about to write
    world.crm.put(A, value=100)
    passed(world, full=True)
    assert (world.crm.now(A) is not None) is left
    assert [A in world.store.links(), len(world.table.rows)] == [left, len(DEALS) - 1]


def test_a_process_that_starts_looks_at_everything(world: World) -> None:
    world.restart()
    passed(world, full=True)
    passed(world, full=False)


@pytest.mark.parametrize("how", ["copied", "cleared", "moved", "typed"])
def test_a_key_that_is_not_where_it_was_asks_for_everything(world: World, how: str) -> None:
    row = world.table.row_of(A)
    if how == "copied":
        world.table.put("copy", A, name="Copy")
    elif how == "cleared":
        world.table.put(row, "")
    elif how == "moved":
        world.table.put(row, "")
        world.table.put("other", A, name="Deal")
    else:
        world.table.put("other", "dealNobody", name="Deal")
    passed(world, full=True)
    if how == "cleared":
        world.agree(A)
    elif how == "moved":
        link = world.store.link(A)
        assert link is not None
        assert link.row == "other"


def test_a_row_that_carries_a_new_deals_id_unseen_is_not_written_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.table, "changed", lambda _since: [])
    world.deal("dealNew")
    world.clock.advance(20)
    world.table.put("other", "dealNew", name="Typed later")
    passed(world, full=True)
    held = world.crm.now("dealNew")
    assert held is not None
    assert (held["name"], world.table.creates()) == ("Typed later", [])


def test_a_row_is_not_made_again_while_another_one_may_have_its_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.table.put("copy", A, name="Copy")
    world.table.drop(next(row for row, held in world.table.rows.items() if held.key == A and row != "copy"))
    monkeypatch.setattr(world.table, "changed", lambda _since: [])
    world.crm.put(A, value=7)
    passed(world, full=False)  # the row could not be read before the write
    passed(world, full=True)
    assert world.table.creates() == []
    assert world.row(A).cells["value"] == 7


def test_refused_reads_are_counted_on_while_there_are_too_many_to_look_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncd.incremental, "CHECKED_AT_MOST", 1)
    rows = {world.table.row_of(deal) for deal in (A, B)}
    world.table.faults.unread = rows
    world.table.rows = {row: held for row, held in world.table.rows.items() if row not in rows}
    world.restart()
    passed(world, full=True)
    counted = world.store.fact("unread")
    assert set(counted) == rows
    world.crm.put(C, value=7)
    passed(world, full=True)  # that many wait is a new doubt; from now on it is an old one
    before = world.store.fact("unread")
    world.crm.put(C, value=8)
    passed(world, full=False)
    assert world.store.fact("unread") == before


def test_a_doubt_that_stays_waits_longer_and_longer(world: World) -> None:
    """Two rows with one id, which nobody mends."""
    world.table.put("copy", A, name="Copy")
    fulls = []
    for _ in range(120):
        world.table.put("copy", None, name=f"Copy {world.clock.now}")
        fulls.append(world.run(60.0).full)
    at = [number for number, full in enumerate(fulls) if full]
    assert at[0] == 0
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert gaps[0] == FIRST_PATIENCE_SECONDS / 60
    assert all(later == 2 * earlier for earlier, later in pairwise(gaps))
    assert len(gaps) >= 3


def test_too_many_changes_are_counted_by_a_full_pass_and_held(world: World) -> None:
    world.choose(limits=replace(NO_LIMITS, max_changes=3, max_share=0.1))
    for deal in DEALS[:5]:
        world.edit_row(deal, status="won")
    result = passed(world, full=True)
    assert (result.code, result.as_json()["held"], world.writes()) == (3, 5, (0, 0, 0))
    world.edit_row(DEALS[20], status="won")
    world.edit_row(DEALS[21], value=9)
    assert passed(world, full=False).as_json()["held"] == 5
    assert [write.id for write in world.crm.log] == [DEALS[21]], "one more of the same waits, the rest goes on"
    assert passed(world, full=True, seconds=FIRST_PATIENCE_SECONDS).as_json()["held"] == 6
    assert passed(world, full=False).as_json()["held"] == 6
    (held,) = world.store.held()
    world.store.answer_held(held.digest, "approved")
    passed(world, full=True)
    assert len(world.crm.log) == 7
    assert spent(world, full=None)[0] <= 21


def test_names_are_read_each_hour_and_at_a_surprise(world: World) -> None:
    fresh = replace(SALES, stages=(Stage("s1", "Fresh"), *SALES.stages[1:], Stage("s9", "Ninth")))
    world.crm.vocabulary = replace(VOCABULARY, pipelines=(fresh, SERVICE))
    passed(world, full=False)
    assert world.row(A).cells["stage"] == "New"
    passed(world, full=True, seconds=OPENED_SECONDS)
    assert world.row(A).cells["stage"] == "Fresh"
    passed(world, full=False)
    later = replace(fresh, stages=(*fresh.stages, Stage("s10", "Tenth")))
    world.crm.vocabulary = replace(VOCABULARY, pipelines=(later, SERVICE))
    world.crm.put(B, stage=["p1", "s10"])
    passed(world, full=True)
    assert world.row(B).cells["stage"] == "Tenth"


def test_a_column_that_was_added_is_filled_by_the_pass_that_sees_it(world: World) -> None:
    column = world.table.columns.pop("source")
    passed(world, full=True, seconds=OPENED_SECONDS + 1)
    for deal in DEALS:
        world.crm.put(deal, source="fair")
    passed(world, full=False)
    world.clock.advance(2 * CRM_OVERLAP_SECONDS)
    passed(world, full=False)
    world.table.columns["source"] = column
    passed(world, full=False)
    passed(world, full=True, seconds=OPENED_SECONDS)
    assert {row.cells["source"] for row in world.table.rows.values()} == {"fair"}
    passed(world, full=False, seconds=OPENED_SECONDS + 1)


def test_a_write_without_an_answer_asks_for_no_sweep(world: World) -> None:
    with world.store.tx():
        world.store.intend(None, world.clock.now, Side.TABLE, "message", A, world.table.row_of(A), "", [])
    passed(world, full=False)
    assert not world.store.open_writes()


def test_a_field_that_is_set_back_and_forth_is_frozen_without_a_sweep(world: World) -> None:
    for _ in range(6):
        world.edit_row(A, status="won")
        passed(world, full=False, seconds=30)
        world.crm.put(A, status="open")
        passed(world, full=False, seconds=30)
    assert len([one for one in (*world.crm.log, *world.table.log) if "status" in one.changes]) == 5
    assert (A, "status") in world.store.frozen()


def test_a_new_name_that_an_incremental_pass_has_read_reaches_the_rows(world: World) -> None:
    """Where the doubt is an old one, such a pass looks at a few records: that says nothing of the others."""
    memory = world.pair.memory
    assert memory is not None
    memory.doubts = frozenset({"names have changed"})
    memory.full_at = world.clock.now
    memory.opened_at = -math.inf  # as after an error
    fresh = replace(SALES, stages=(Stage("s1", "Fresh"), *SALES.stages[1:]))
    world.crm.vocabulary = replace(VOCABULARY, pipelines=(fresh, SERVICE))
    passed(world, full=False)
    assert world.row(C).cells["stage"] == "New"
    passed(world, full=True, seconds=FIRST_PATIENCE_SECONDS)
    assert world.row(C).cells["stage"] == "Fresh"


def test_options_that_swapped_their_names_are_no_edit(world: World) -> None:
    """The list of options is looked at again where a select was edited."""
    world.table.make_select("status", "open", "won", "lost", "abandoned")
    world.restart()
    passed(world, full=True)
    before = world.table.columns["status"]
    schema = world.table.schema()
    world.table.columns["status"] = replace(before, options={**before.options, "optNew": "paused"})
    world.edit_row(A, status="won")
    passed(world, full=True)
    assert dict(schema.columns) != dict(world.table.schema().columns)
    assert world.crm.now(A)["status"] == "won"  # type: ignore[index]
    world.edit_row(B, status="lost")
    passed(world, full=False)
    assert world.crm.now(B)["status"] == "lost"  # type: ignore[index]


def test_an_agreement_is_not_taken_from_a_row_that_was_only_remembered(tmp_path: Path) -> None:
    """Without a Pipeline column a stage is read in its deal's pipeline: the same name there would pass for agreement,
    though the row says something else by now."""
    world = World(tmp_path).choose(limits=NO_LIMITS)
    del world.table.columns["pipeline"]
    world.incremental = True
    world.restart()
    world.filled(*DEALS[:3])
    assert world.pair.memory is not None
    world.clock.advance(2 * CRM_OVERLAP_SECONDS)
    world.pair.memory.sweep_calls = 2
    passed(world, full=False)
    world.crm.put(A, stage=["p2", "t1"])
    world.table.reads.clear()
    passed(world, full=False)
    assert world.table.row_of(A) in world.table.reads


# --- the memory by itself --------------------------------------------------------------------------------------------


def test_the_overlap_grows_with_the_lateness_of_search() -> None:
    memory = Memory(full_at=0.0, listed_at=10_000.0)
    assert memory.since(Side.CRM, 10_060.0) == 10_000.0 - CRM_OVERLAP_SECONDS
    late = Record(A, (), stamp=9_100.0)
    memory.note_late({A: late, B: Record(B, (), stamp=9_999.0), C: Record(C, (), stamp=10_050.0)}, {}, 0.0, 10_060.0)
    assert memory.late == {A: (10_060.0, 900.0), B: (10_060.0, 1.0)}
    assert memory.since(Side.CRM, 10_060.0) == 10_000.0 - 1_800.0
    memory.note_late({A: late}, {}, 0.0, 10_120.0)
    assert memory.late[A] == (10_060.0, 900.0), "it comes again in each overlap, and is measured once"
    assert memory.since(Side.CRM, 10_060.0 + 86_400.0) == 10_000.0 - CRM_OVERLAP_SECONDS, "a day later it is forgotten"
    memory.note_late({"far": Record("far", (), stamp=1.0, outside="p9")}, {}, 0.0, 10_060.0)
    assert "far" not in memory.late, "a deal that is never linked would always be late"


@pytest.mark.parametrize(
    ("stamp", "link", "offset", "late"),
    [
        (10_000.0, None, 0.0, None),  # as old as the listing: it may have come right after
        (9_999.9, None, 0.0, 0.1),
        (9_900.0, None, 40.0, 60.0),  # HighLevel's clock is behind ours
        (9_900.0, Link(A, "row", seen=9_900.0), 0.0, None),  # it was seen before
        (9_900.0, Link(A, "row", seen=9_899.0), 0.0, 100.0),
        (9_900.0, Link(A, "row"), 0.0, 100.0),
        (None, None, 0.0, None),
    ],
)
def test_what_the_last_listing_should_have_shown_is_late(
    stamp: float | None, link: Link | None, offset: float, late: float | None
) -> None:
    memory = Memory(full_at=0.0, listed_at=10_000.0)
    memory.note_late({A: Record(A, (), stamp=stamp)}, {A: link} if link is not None else {}, offset, 10_060.0)
    assert {deal: (at, round(seconds, 3)) for deal, (at, seconds) in memory.late.items()} == (
        {} if late is None else {A: (10_060.0, late)}
    )


def test_how_late_a_deal_was_counts_for_a_day_and_no_longer_than_full_passes_are_apart() -> None:
    memory = Memory(full_at=0.0, listed_at=100_000.0)
    memory.note_late({A: Record(A, (), stamp=1.0)}, {}, 0.0, 100_060.0)
    assert memory.since(Side.CRM, 100_060.0) == 100_000.0 - FULL_EVERY_SECONDS
    memory.note_late({}, {}, 0.0, 100_060.0 + 86_399.0)
    assert list(memory.late) == [A]
    memory.note_late({}, {}, 0.0, 100_060.0 + 86_400.0)
    assert memory.late == {}


def test_what_waits_is_kept_by_record() -> None:
    memory = Memory()
    typing = Finding(Trouble.TYPING, A, "row1", "A", "It waits.", False)
    person = Finding(Trouble.UNREADABLE_CELL, B, "row2", "B", "It asks.", True)
    loose = Finding(Trouble.TYPING, "", "row3", "C", "It waits.", False)
    memory.completed(100.0, [typing, person, loose], None)
    assert memory.passing() == ({A}, {"row3"})
    memory.completed(160.0, [], {A, "row1"})
    assert memory.waiting() == [person, loose]
    assert (memory.full_at, memory.listed_at) == (100.0, 160.0)
    memory.completed(220.0, [], None)
    assert memory.waiting() == []


def test_a_clock_that_was_set_back_asks_for_everything() -> None:
    memory = Memory(full_at=10_000.0)
    assert memory.may_look_at_changes(10_001.0)
    assert not memory.may_look_at_changes(9_999.0)
    assert not memory.may_look_at_changes(10_000.0 + FULL_EVERY_SECONDS)


def test_a_side_that_is_down_fails_the_pass(world: World) -> None:
    world.crm.faults.down_on = frozenset({"changed"})
    assert "does not answer" in world.run().error
    with pytest.raises(SideDown):
        world.crm.changed(0.0)
