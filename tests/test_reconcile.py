"""Whole passes over in-memory sides with a real store: what travels, what it costs, what stays (SPEC §§2, 3, 5, 6)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from syncd.look import look
from syncd.model import Direction, LinkState, Raw, Side
from syncd.opened import open_pair
from syncd.plan import Trouble
from syncd.reconcile import PassResult
from syncd.sides import Column, Misconfigured, Stage, TableSchema, User
from tests.memory import ARCHIVE, COLUMNS, NO_LIMITS, SALES, SERVICE, VOCABULARY, World, field_of

A, B, C = "dealAAA1", "dealBBB2", "dealCCC3"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty location and an empty table."""
    return World(tmp_path)


@pytest.fixture
def filled(world: World) -> World:
    """Three deals with their rows, agreed on; nothing is in the logs."""
    return world.filled(A, B, C)


def rests(world: World, passes: int = 2) -> None:
    """Asserts that further passes write nothing at all (P3, P5)."""
    world.clear_logs()
    for _ in range(passes):
        result = world.run()
        assert result.error == ""
    assert world.writes() == (0, 0, 0)


def troubles(result: PassResult) -> list[tuple[Trouble, str]]:
    """What waits, by deal."""
    return sorted((finding.trouble, finding.deal) for finding in result.findings)


def rename_stage(world: World, **names: str) -> None:
    """A person renames stages of Sales in the CRM."""
    stages = tuple(replace(stage, name=names.get(stage.id, stage.name)) for stage in SALES.stages)
    world.crm.vocabulary = replace(VOCABULARY, pipelines=(replace(SALES, stages=stages), SERVICE, ARCHIVE))


# --- first fill and rest ---------------------------------------------------------------------------------------------


def test_a_first_fill_makes_one_row_a_deal_and_fires_nothing(world: World) -> None:
    deals = [f"deal{n:04d}" for n in range(250)]
    for deal in deals:
        world.deal(deal)
    world.clock.advance(5)
    result = world.run()
    assert (result.error, result.code) == ("", 0)
    assert result.tally.created == {Side.CRM: 0, Side.TABLE: 250}
    assert world.writes() == (0, 250, 0)
    assert len(world.table.rows) == 250
    assert result.calls[Side.TABLE] == 25 + 1 + 1, "25 writes of ten, one page, the schema"
    assert result.calls[Side.CRM] == 3 + 1, "three pages, the schema; no deal is read by id"
    world.agree(*deals[:5], deals[-1])
    rests(world)


def test_a_new_row_shows_names_and_zero(world: World) -> None:
    world.deal(A, stage=["p1", "s3"], value=0, owner=None)
    world.run()
    cells = world.row(A).cells
    assert cells == {"name": f"Deal {A}", "pipeline": "Sales", "stage": "Closed Won", "status": "open", "value": 0,
                     "source": "web"}  # fmt: skip
    rests(world)


def test_an_idle_pass_writes_nothing_and_costs_two_calls_a_side(filled: World) -> None:
    result = filled.run()
    assert result.calls == {Side.CRM: 2, Side.TABLE: 2}
    assert filled.writes() == (0, 0, 0)
    commits = [step for step in filled.steps if step[0] == "store" and step[2] == "after"]
    assert len(commits) == 2, "the pass begins, the pass ends"
    for _ in range(10):
        assert filled.run().calls == {Side.CRM: 2, Side.TABLE: 2}
    assert filled.writes() == (0, 0, 0)


def test_looking_writes_nothing_anywhere(filled: World) -> None:
    filled.crm.put(A, status="won")
    filled.edit_row(B, value=5)
    filled.clear_logs()
    plan = look(filled.pair, open_pair(filled.pair, keep=False)).plan
    assert len(plan.updates) == 2
    assert filled.writes() == (0, 0, 0)
    assert not [step for step in filled.steps if step[0] == "store"]


def test_rows_without_an_id_are_left_alone_and_counted_where_they_make_no_deals(filled: World) -> None:
    filled.pair.new_deals = False
    filled.table.put("typed", name="New lead")
    filled.table.put("blank", name="  ")
    result = filled.run()
    assert (result.code, result.rows_without_id) == (0, 1)
    assert filled.writes() == (0, 0, 0)


# --- edits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "raw", "shown"),
    [("name", "Roof", "Roof"), ("stage", ["p2", "t2"], "Done"), ("status", "won", "won"), ("value", 7.5, 7.5),
     ("owner", "u2", "Bob"), ("owner", None, None), ("source", "ad", "ad"), ("value", 0, 0)],
)  # fmt: skip
def test_an_edit_in_the_crm_travels_once(filled: World, name: str, raw: Raw, shown: Raw) -> None:
    filled.crm.put(A, **{name: raw})
    result = filled.run()
    assert result.tally.updated == {Side.CRM: 0, Side.TABLE: 1}
    assert filled.writes() == (0, 1, 0)
    assert set(filled.table.log[0].changes) == {name}
    assert filled.row(A).cells.get(name) == shown
    filled.agree(A)
    rests(filled)


@pytest.mark.parametrize(
    ("cells", "name", "held"),
    [({"name": "Roof"}, "name", "Roof"), ({"pipeline": "service", "stage": "DONE"}, "stage", ["p2", "t2"]),
     ({"stage": "Qualified"}, "stage", ["p1", "s2"]), ({"pipeline": "Service"}, "stage", ["p2", "t1"]),
     ({"status": "Won"}, "status", "won"), ({"value": 7.5}, "value", 7.5), ({"value": None}, "value", 0),
     ({"owner": "bob"}, "owner", "u2"), ({"owner": ""}, "owner", None)],
)  # fmt: skip
def test_an_edit_in_the_table_travels_once_and_fires_once(
    filled: World, cells: dict[str, Raw], name: str, held: Raw
) -> None:
    filled.edit_row(A, **cells)
    result = filled.run()
    assert result.tally.updated == {Side.CRM: 1, Side.TABLE: 0}
    assert filled.crm.triggers == [(A, name)]
    assert filled.writes() == (1, 0, 1)
    values = filled.crm.now(A)
    assert values is not None
    assert values[name] == held
    filled.agree(A)
    rests(filled)


def test_all_changed_fields_of_a_deal_go_in_one_put(filled: World) -> None:
    filled.edit_row(A, name="Roof", value=3, owner="Bob", pipeline="Service", stage="Done", status="lost")
    filled.run()
    assert filled.writes() == (1, 0, 5)
    assert set(filled.crm.log[0].changes) == {"name", "value", "owner", "stage", "status"}
    filled.agree(A)
    rests(filled)


def test_different_fields_of_one_deal_travel_both_ways(filled: World) -> None:
    filled.edit_row(A, name="Roof")
    filled.crm.put(A, status="won", value=9)
    result = filled.run()
    assert filled.writes() == (1, 1, 1)
    assert result.tally.conflicts == 0
    assert filled.crm.triggers == [(A, "name")]
    filled.agree(A)
    rests(filled)


def test_the_same_edit_on_both_sides_is_agreed_on_without_a_write(filled: World) -> None:
    filled.edit_row(A, status="Won", stage="Qualified")
    filled.crm.put(A, status="won", stage=["p1", "s2"])
    assert filled.run().tally.conflicts == 0
    assert filled.writes() == (0, 0, 0)
    link = filled.store.link(A)
    assert link is not None
    assert link.agreed()["status"].value == "won"
    rests(filled)
    filled.edit_row(A, status="open")
    filled.run()
    assert filled.writes() == (1, 0, 1), "an edit back to the old value travels"
    filled.agree(A)


def test_an_edit_back_and_forth_travels_each_time(filled: World) -> None:
    for n, status in enumerate(("won", "open", "won", "open"), start=1):
        filled.edit_row(A, status=status)
        filled.run(1900)  # faster than this, it would be taken for an automation (SPEC §4)
        assert filled.writes() == (n, 0, n)
        filled.agree(A)
    for n, status in enumerate(("lost", "open", "lost"), start=1):
        filled.crm.put(A, status=status)
        filled.run(1900)
        assert filled.writes() == (4, n, 4)
        filled.agree(A)
    rests(filled)


def test_edits_of_many_deals_cost_ten_rows_a_call_and_one_read(world: World) -> None:
    deals = [f"deal{n:04d}" for n in range(25)]
    world.choose(limits=NO_LIMITS).filled(*deals)
    for deal in deals:
        world.edit_row(deal, value=1)
    result = world.run()
    assert world.writes() == (25, 0, 25)
    assert result.calls[Side.TABLE] == 2 + 1, "the sources are read in one call"
    assert result.calls[Side.CRM] == 2 + 25 + 25
    for deal in deals:
        world.crm.put(deal, value=2)
    result = world.run()
    assert world.writes() == (25, 25, 25)
    assert result.calls[Side.TABLE] == 2 + 3 + 3, "three batches, each read before it is written"
    assert result.calls[Side.CRM] == 2 + 25
    world.agree(*deals)
    rests(world)


def test_order_of_records_changes_nothing(tmp_path: Path) -> None:
    ends = []
    for n, deals in enumerate(([A, B, C], [C, B, A])):
        world = World(tmp_path / str(n)).filled(*deals)
        for deal in deals:
            world.edit_row(deal, value=3)
            world.crm.put(deal, status="won")
        world.run()
        ends.append((world.state(), sorted(world.crm.triggers), world.writes()))
    assert ends[0] == ends[1]
    assert ends[0][2] == (3, 3, 3)


# --- conflicts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("crm_first", "winner"), [(True, "lost"), (False, "won")])
def test_the_later_edit_of_a_field_wins_and_the_loser_is_kept(filled: World, crm_first: bool, winner: str) -> None:
    for crm in (crm_first, not crm_first):
        if crm:
            filled.crm.put(A, status="won")
        else:
            filled.edit_row(A, status="lost")
        filled.clock.advance(10)
    result = filled.run()
    assert result.tally.conflicts == 1
    assert filled.writes() == ((1, 0, 1) if crm_first else (0, 1, 0))
    assert result.calls[Side.TABLE] == 2 + 1 + (1 if crm_first else 2), "one question, then the reads and writes"
    lines = [change for write in filled.store.history(deal=A) for change in write.changes if change.kind == "conflict"]
    assert [(line.field, line.new) for line in lines] == [("status", winner)]
    assert [line.old for line in lines] == ["won" if winner == "lost" else "lost"]
    filled.agree(A)
    rests(filled)


@pytest.mark.parametrize("tie_side", list(Side))
def test_a_tie_goes_to_the_configured_side(tmp_path: Path, tie_side: Side) -> None:
    world = World(tmp_path, tie_side=tie_side).filled(A)
    world.crm.put(A, status="won")
    world.edit_row(A, status="lost")
    assert world.run().tally.conflicts == 1
    assert world.writes() == ((0, 1, 0) if tie_side is Side.CRM else (1, 0, 1))
    world.agree(A)
    rests(world)


def test_a_conflict_goes_by_the_fields_own_clock(filled: World) -> None:
    filled.crm.put(A, status="won")
    filled.clock.advance(20)
    filled.edit_row(A, status="lost")
    filled.clock.advance(20)
    filled.crm.put(A, name="touched later")  # moves updatedAt, not lastStatusChangeAt
    filled.run()
    assert filled.crm.triggers == [(A, "status")]
    values = filled.crm.now(A)
    assert values is not None
    assert (values["status"], filled.row(A).cells["name"]) == ("lost", "touched later")
    filled.agree(A)
    rests(filled)


def test_a_loser_that_was_edited_once_more_to_the_same_value_is_decided_anew(filled: World) -> None:
    filled.crm.put(A, status="won")
    filled.clock.advance(20)
    filled.edit_row(A, status="lost")
    filled.crm.frozen_at = filled.clock.now
    filled.clock.advance(20)
    filled.crm.put(A, status="open")
    filled.crm.put(A, status="won")  # search shows the first "won" only, which lost
    result = filled.run()
    assert (filled.writes(), result.tally.waiting) == ((0, 0, 0), 1)
    filled.run()
    assert (filled.row(A).cells["status"], filled.crm.triggers) == ("won", [])
    filled.crm.frozen_at = math.inf
    filled.agree(A)
    rests(filled)


def test_another_cell_of_the_row_does_not_date_the_edit(filled: World) -> None:
    filled.edit_row(A, status="lost")
    filled.clock.advance(20)
    filled.crm.put(A, status="won")
    filled.clock.advance(20)
    filled.edit_row(A, name="touched later")
    filled.run()
    assert filled.crm.triggers == [(A, "name")]
    assert filled.row(A).cells["status"] == "won"
    filled.agree(A)
    rests(filled)


def test_the_stamp_of_an_own_write_dates_no_persons_edit(filled: World) -> None:
    """The CRM's value was set first, the row's later; our own write of the name came last and moved updatedAt."""
    filled.crm.frozen_at = filled.clock.now
    filled.clock.advance(1)
    filled.crm.put(A, value=1)
    filled.edit_row(A, name="Roof")

    def person(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "read", "before"):
            filled.hooks.clear()
            filled.edit_row(A, value=2)
            filled.clock.advance(10)

    filled.hooks.append(person)
    filled.run()
    assert filled.crm.triggers == [(A, "name")]
    filled.crm.frozen_at = math.inf
    assert filled.run().tally.conflicts == 1
    assert filled.crm.triggers == [(A, "name"), (A, "value")]
    values = filled.crm.now(A)
    assert values is not None
    assert values["value"] == 2, "the later edit of two people"
    filled.agree(A)
    rests(filled)


def test_a_conflict_waits_while_nobody_can_say_when_the_cell_was_edited(filled: World) -> None:
    filled.crm.put(A, status="won")
    filled.edit_row(A, status="lost")
    filled.table.clockless = True
    assert filled.run().tally.conflicts == 0
    assert filled.writes() == (0, 0, 0)
    filled.table.clockless = False
    assert filled.run().tally.conflicts == 1
    filled.agree(A)


def test_a_crm_without_any_clock_loses_no_more_than_ties(filled: World) -> None:
    filled.crm.clockless = True
    filled.crm.put(A, status="won")
    filled.edit_row(A, status="lost")
    filled.run()
    assert filled.writes() == (0, 1, 0)
    filled.agree(A)
    rests(filled)


# --- lag -------------------------------------------------------------------------------------------------------------


def test_an_own_write_that_search_does_not_show_yet_does_not_bounce(filled: World) -> None:
    filled.crm.lag = 30
    filled.edit_row(A, status="won", value=5)
    filled.run(1)
    assert filled.writes() == (1, 0, 2)
    for _ in range(5):
        filled.run(4)
        assert filled.writes() == (1, 0, 2)
        assert filled.crm.reads == [A], "read once, before the write"
    filled.run()
    filled.agree(A)
    rests(filled)


def test_a_stale_deal_is_read_by_id_when_its_row_changed(filled: World) -> None:
    filled.crm.lag = 30
    filled.edit_row(A, status="won")
    filled.run(1)
    filled.edit_row(A, status="lost")
    filled.run(1)
    assert filled.writes() == (2, 0, 2)
    assert filled.crm.reads == [A, A, A], "before each write, and because search was older than our own write"
    filled.run(40)
    filled.agree(A)
    rests(filled)


def test_a_deal_that_search_never_catches_up_with_is_read_once_a_lag(filled: World) -> None:
    filled.crm.frozen_at = filled.clock.now
    filled.edit_row(A, status="won")
    filled.run(1)
    filled.crm.put(A, name="Roof")
    filled.clear_logs()
    for _ in range(4):
        filled.run(10)
    assert filled.crm.reads == []
    filled.run(30)
    assert filled.row(A).cells["name"] == "Roof", "nothing waits for ever"
    assert filled.writes() == (0, 1, 0)
    filled.clear_logs()
    for _ in range(5):
        filled.run(10)
    assert filled.crm.reads == []


def test_an_edit_of_a_person_that_search_shows_late_arrives_late_but_whole(filled: World) -> None:
    filled.crm.lag = 30
    filled.crm.put(A, value=1)
    filled.run(10)
    assert filled.writes() == (0, 0, 0)
    filled.crm.put(A, value=2)
    filled.run(25)
    assert filled.writes() == (0, 0, 0), "search shows 1, the deal holds 2: held"
    filled.run(30)
    assert filled.writes() == (0, 1, 0)
    assert filled.row(A).cells["value"] == 2
    filled.agree(A)
    rests(filled)


def test_a_lagging_search_does_not_undo_a_newer_row(filled: World) -> None:
    """The row is written from the deal, the person edits the row, and search still shows the deal as it was before."""
    filled.crm.lag = 20
    filled.crm.put(A, value=1)
    filled.run(25)
    assert filled.row(A).cells["value"] == 1
    filled.edit_row(A, value=2)
    filled.run(1)
    assert filled.writes() == (1, 1, 1)
    for _ in range(10):
        filled.run(5)
    assert filled.writes() == (1, 1, 1)
    filled.agree(A)


def test_a_deal_missing_from_search_only_is_read_by_id_and_kept(filled: World) -> None:
    filled.crm.hidden.add(A)
    filled.crm.put(A, value=1)
    result = filled.run()
    assert filled.crm.reads == [A, A], "once for its absence, once before the write"
    assert filled.writes() == (0, 1, 0)
    assert troubles(result) == []
    filled.agree(A)


# --- deletions -------------------------------------------------------------------------------------------------------


def test_a_deleted_deal_leaves_its_row_and_a_message_once(filled: World) -> None:
    filled.crm.drop(A)
    result = filled.run()
    assert (result.code, troubles(result)) == (0, [(Trouble.DEAL_GONE, A)])
    assert filled.table.messages() == [("rec0001", "Deleted in HighLevel")]
    assert filled.writes() == (0, 1, 0)
    assert result.tally.updated[Side.TABLE] == 0, "a Sync cell alone counts as no update"
    rests(filled)
    filled.edit_row(A, name="typed after")
    assert filled.run().code == 0
    assert filled.row(A).cells["name"] == "typed after"
    assert filled.writes() == (0, 0, 0)


def test_a_deal_restored_in_the_crm_is_synced_again(filled: World) -> None:
    filled.crm.drop(A)
    filled.run()
    filled.clear_logs()
    filled.deal(A, value=77)
    filled.run()
    assert filled.row(A).cells["value"] == 77
    assert filled.row(A).message == ""
    link = filled.store.link(A)
    assert link is not None
    assert link.state is LinkState.BOTH
    assert filled.writes() == (0, 2, 0), "the value, and the message taken away"
    rests(filled)


@pytest.mark.parametrize("unread", [True, False])
def test_a_deal_that_cannot_be_read_is_never_deleted(filled: World, unread: bool) -> None:
    """A refused read is told from the third pass on (SPEC §1); a deal that only search lacks is nobody's business."""
    filled.crm.hidden.add(A)
    if unread:
        filled.crm.faults.unread.add(A)
    for n in range(1, 5):
        result = filled.run()
        told = unread and n >= 3
        assert filled.writes() == (0, int(told), 0), "one message"
        assert filled.row(A).message == ("HighLevel refused the read." if told else "")
        assert result.code == (3 if told else 0)
        assert troubles(result) == ([(Trouble.UNREAD, A)] if unread else [])
    link = filled.store.link(A)
    assert link is not None
    assert link.state is LinkState.BOTH
    filled.crm.faults.unread.clear()
    assert filled.run().code == 0
    assert filled.row(A).message == ""
    rests(filled)


def test_a_deleted_row_comes_back_with_the_deals_values(filled: World) -> None:
    filled.edit_row(A, owner="Bob")
    filled.run()
    filled.clear_logs()
    filled.table.drop(filled.table.row_of(A))
    filled.crm.put(A, value=5)
    result = filled.run()
    assert result.tally.created[Side.TABLE] == 1
    assert filled.writes() == (0, 1, 0)
    assert (filled.row(A).cells["owner"], filled.row(A).cells["value"]) == ("Bob", 5)
    assert filled.crm.reads == [A], "from a fresh read"
    filled.agree(A)
    rests(filled)


def test_a_deleted_row_of_a_deleted_deal_is_forgotten(filled: World) -> None:
    filled.table.drop(filled.table.row_of(A))
    filled.crm.drop(A)
    filled.run()
    assert filled.store.link(A) is None
    assert filled.writes() == (0, 0, 0)
    rests(filled)


def test_a_row_missing_from_a_sweep_is_confirmed_before_it_comes_back(filled: World) -> None:
    filled.table.faults.unread.add("rec0001")
    held = filled.table.rows.pop("rec0001")
    result = filled.run()
    assert filled.writes() == (0, 0, 0)
    assert troubles(result) == [(Trouble.UNREAD, A)]
    filled.table.rows["rec0001"] = held
    filled.table.faults.unread.clear()
    rests(filled)


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_cleared_key_comes_back(filled: World) -> None:
    filled.table.put("rec0001", "")
    result = filled.run()
    assert filled.table.rows["rec0001"].key == A
    assert filled.writes() == (0, 1, 0)
    assert set(filled.table.log[0].changes) == {"id"}
    assert result.tally.updated[Side.TABLE] == 0, "a write to a key cell alone counts as no update"
    assert len(filled.table.rows) == 3
    rests(filled)


def test_a_cleared_key_comes_back_together_with_an_edit(filled: World) -> None:
    filled.table.put("rec0001", "", value=4)
    filled.crm.put(A, status="won")
    filled.run()
    assert filled.table.rows["rec0001"].key == A
    assert filled.writes() == (1, 1, 1)
    filled.agree(A)
    rests(filled)


def test_a_key_typed_into_another_row_takes_the_link_along(filled: World) -> None:
    filled.pair.new_deals = False  # the row that is left behind without an id is another story
    cells = dict(filled.row(A).cells)
    filled.table.put("rec0001", "")
    filled.table.put("moved", A, **{**cells, "value": 8})
    filled.run()
    link = filled.store.link(A)
    assert link is not None
    assert link.row == "moved"
    assert filled.table.rows["rec0001"].key is None
    assert filled.writes() == (1, 0, 1)
    assert filled.crm.triggers == [(A, "value")]
    filled.agree(A)
    rests(filled)


def test_the_row_of_a_deleted_deal_can_be_given_to_another_deal(filled: World) -> None:
    filled.crm.drop(A)
    filled.run()
    filled.deal("dealNEW9")
    filled.table.put("rec0001", "dealNEW9")
    assert filled.run().code == 0
    assert filled.store.link(A) is None
    assert filled.store.link("dealNEW9").row == "rec0001"  # type: ignore[union-attr]
    assert (len(filled.table.rows), filled.row("dealNEW9").message) == (3, "")
    filled.run()
    filled.agree("dealNEW9", B, C)
    rests(filled)


def test_a_copy_takes_no_link_along_while_the_sweep_misses_the_row_itself(filled: World) -> None:
    cells = dict(filled.row(A).cells)
    filled.table.put("copy", A, **{**cells, "value": 8})
    row = filled.table.rows["rec0001"]

    def missed(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("table", "sweep", "before"):
            del filled.table.rows["rec0001"]
        elif (who, verb, phase) == ("table", "sweep", "after"):
            filled.table.rows["rec0001"] = row

    filled.hooks.append(missed)
    result = filled.run()
    assert filled.crm.log == []
    assert troubles(result) == [(Trouble.TWOFOLD, A), (Trouble.TWOFOLD, A)]
    assert filled.store.link(A).row == "rec0001"  # type: ignore[union-attr]


def test_two_rows_with_one_deals_id_are_left_alone_and_told(filled: World) -> None:
    filled.table.put("copy", A, **{**filled.row(A).cells, "value": 8})
    filled.crm.put(A, status="won")
    result = filled.run()
    assert result.code == 3
    assert troubles(result) == [(Trouble.TWOFOLD, A)] * 2
    assert sorted(row for row, _ in filled.table.messages()) == ["copy", "rec0001"]
    assert filled.writes() == (0, 2, 0)
    rests(filled)
    filled.table.drop("copy")
    result = filled.run()
    assert result.code == 0
    assert (filled.row(A).message, filled.row(A).cells["status"]) == ("", "won")
    assert filled.writes() == (0, 2, 0)
    filled.agree(A)
    rests(filled)


def test_a_key_overwritten_with_another_deals_is_told_once(filled: World) -> None:
    """Both links see the same row; its Sync cell must come to rest (P3)."""
    filled.table.put("rec0001", B)
    assert filled.run().code == 3
    assert filled.writes() == (0, 2, 0), "both rows are told"
    rests(filled, passes=4)


def test_rows_whose_keys_were_swapped_are_told(filled: World) -> None:
    filled.table.put("rec0001", B)
    filled.table.put("rec0002", A)
    filled.crm.put(A, value=5)
    filled.edit_row(B, value=6)
    result = filled.run()
    assert result.code == 3
    assert sorted({row for row, _ in filled.table.messages()}) == ["rec0001", "rec0002"]
    assert filled.writes() == (0, 2, 0)
    rests(filled)


@pytest.mark.parametrize("key", ["no id at all!", "x", "unknownDeal99"])
def test_a_key_that_names_no_deal_is_told_once(filled: World, key: str) -> None:
    filled.table.put("odd", key, name="Odd")
    result = filled.run()
    assert (result.code, [trouble for trouble, _ in troubles(result)]) == (3, [Trouble.WRONG_KEY])
    assert [row for row, _ in filled.table.messages()] == ["odd"]
    assert filled.writes() == (0, 1, 0)
    rests(filled)


def test_a_key_that_names_no_deal_is_asked_for_once_an_hour(filled: World) -> None:
    filled.table.put("odd", "unknownDeal99", name="Odd")
    filled.run()
    filled.clear_logs()
    for _ in range(6):
        filled.run(500)
    assert filled.crm.reads == []
    for _ in range(6):
        filled.run(500)
    assert filled.crm.reads == ["unknownDeal99"]


def test_a_key_with_its_deal_is_linked_and_compared(filled: World) -> None:
    filled.deal("dealDDD4", value=50)
    filled.table.put("typed", "dealDDD4", name="Deal dealDDD4", stage="New", status="open", owner="Ann", value=50,
                     source="web")  # fmt: skip
    filled.run()
    assert filled.writes() == (0, 1, 0), "only the blank Pipeline cell is filled"
    assert set(filled.table.log[0].changes) == {"stage"}
    assert filled.table.creates() == []
    filled.agree("dealDDD4")
    rests(filled)


def test_lost_state_links_again_by_key_without_a_write(tmp_path: Path) -> None:
    world = World(tmp_path / "one").filled(A, B)
    world.close()
    world.folder = tmp_path / "two"
    world.start()
    world.clear_logs()
    result = world.run()
    assert (result.code, result.links) == (0, 2)
    assert world.writes() == (0, 0, 0)
    world.agree(A, B)
    rests(world)


# --- names, choices, blanks ------------------------------------------------------------------------------------------


def test_a_renamed_stage_reaches_the_rows_without_a_read_of_the_crm(filled: World) -> None:
    filled.crm.put(C, stage=["p1", "s2"])
    filled.run()
    filled.clear_logs()
    rename_stage(filled, s1="Fresh")
    result = filled.run()
    assert filled.writes() == (0, 2, 0)
    assert filled.crm.reads == []
    assert result.calls[Side.CRM] == 2
    assert [filled.row(deal).cells["stage"] for deal in (A, B, C)] == ["Fresh", "Fresh", "Qualified"]
    filled.agree(A, B, C)
    rests(filled)


def test_a_stage_that_is_renamed_while_a_pass_looks_reaches_the_rows_at_rest(filled: World) -> None:
    """Another deal is in a stage that was just made, so that the names are read once more in that pass."""

    def people(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) != ("crm", "sweep", "before"):
            return
        stages = (Stage("s1", "Fresh"), *SALES.stages[1:], Stage("s9", "Brand new"))
        filled.crm.vocabulary = replace(VOCABULARY, pipelines=(replace(SALES, stages=stages), SERVICE, ARCHIVE))
        filled.crm.put(B, stage=["p1", "s9"])
        filled.crm.step = lambda *_: None

    filled.crm.step = people
    filled.run()
    filled.run()
    assert [filled.row(deal).cells["stage"] for deal in (A, B, C)] == ["Fresh", "Brand new", "Fresh"]


def test_swapped_stage_names_swap_the_labels_and_move_no_deal(filled: World) -> None:
    filled.crm.put(B, stage=["p1", "s2"])
    filled.run()
    filled.clear_logs()
    rename_stage(filled, s1="Qualified", s2="New")
    filled.run()
    assert filled.writes() == (0, 3, 0)
    assert [filled.row(deal).cells["stage"] for deal in (A, B)] == ["Qualified", "New"]
    filled.agree(A, B)
    rests(filled)


def test_a_renamed_stage_also_reaches_a_row_whose_deal_was_stale(filled: World) -> None:
    filled.edit_row(A, value=7)
    filled.crm.lag = 30
    filled.run(1)
    rename_stage(filled, s1="Fresh")
    filled.run(5)
    filled.run(60)
    filled.run(60)
    assert [filled.row(deal).cells["stage"] for deal in (A, B, C)] == ["Fresh"] * 3
    assert filled.writes() == (1, 3, 1)
    rests(filled)


def test_a_renamed_stage_also_reaches_a_row_whose_deal_was_away(filled: World) -> None:
    filled.crm.put(A, stage=["p3", "a1"])
    filled.run()
    rename_stage(filled, s1="Fresh")
    filled.run()
    filled.run()
    filled.crm.put(A, stage=["p1", "s1"])
    filled.run()
    assert [filled.row(deal).cells["stage"] for deal in (A, B, C)] == ["Fresh"] * 3
    rests(filled)


def test_a_renamed_stage_also_reaches_a_row_that_was_twofold(filled: World) -> None:
    filled.table.put("copy", A)
    filled.run()
    rename_stage(filled, s1="Fresh")
    filled.run()
    filled.run()
    filled.table.drop("copy")
    filled.run()
    filled.run()
    assert [filled.row(deal).cells["stage"] for deal in (A, B, C)] == ["Fresh"] * 3
    rests(filled)


def test_a_stage_made_a_moment_ago_is_asked_for_once(filled: World) -> None:
    """The names were read before somebody added a stage and moved a deal there."""
    filled.crm.put(A, stage=["p1", "s9"])
    result = filled.run()
    assert result.calls[Side.CRM] == 3, "the names are read once more, then it waits"
    assert (result.code, filled.writes()) == (0, (0, 0, 0))
    sales = replace(SALES, stages=(*SALES.stages, Stage("s9", "Signed")))
    filled.crm.vocabulary = replace(VOCABULARY, pipelines=(sales, SERVICE, ARCHIVE))
    filled.run()
    assert filled.row(A).cells["stage"] == "Signed"
    assert filled.writes() == (0, 1, 0)
    rests(filled)


def test_the_second_reading_of_the_names_is_used_in_the_same_pass(filled: World) -> None:
    filled.crm.put(A, stage=["p1", "s9"])
    sales = replace(SALES, stages=(*SALES.stages, Stage("s9", "Signed")))

    def made(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "sweep", "after"):
            filled.crm.vocabulary = replace(VOCABULARY, pipelines=(sales, SERVICE, ARCHIVE))

    filled.hooks.append(made)
    assert filled.run().code == 0
    assert filled.row(A).cells["stage"] == "Signed"
    assert filled.writes() == (0, 1, 0)
    filled.hooks.clear()
    filled.agree(A)
    rests(filled)


def test_a_new_deal_in_an_unlisted_stage_waits_for_its_name(world: World) -> None:
    world.deal(A, stage=["p1", "s9"])
    result = world.run()
    assert (result.error, world.writes()) == ("", (0, 0, 0))
    sales = replace(SALES, stages=(*SALES.stages, Stage("s9", "Signed")))
    world.crm.vocabulary = replace(VOCABULARY, pipelines=(sales, SERVICE, ARCHIVE))
    world.run()
    assert world.writes() == (0, 1, 0)
    world.agree(A)


def test_an_owner_whom_nobody_lists_waits_for_the_name(world: World) -> None:
    world.deal(A, owner="u9")
    world.run()
    assert world.row(A).cells.get("owner") is None, "an id is no name"
    world.run()
    assert "does not list" in world.row(A).message
    rests(world)
    world.clear_logs()
    world.crm.vocabulary = replace(VOCABULARY, users=(*VOCABULARY.users, User("u9", "Newcomer")))
    world.run()
    assert world.row(A).cells["owner"] == "Newcomer"
    assert world.writes() == (0, 2, 0), "the name, and the message taken back"
    world.agree(A)
    rests(world)


def test_an_unknown_stage_waits_while_the_rest_travels(filled: World) -> None:
    filled.edit_row(A, stage="Nope", value=5)
    result = filled.run()
    assert result.code == 3
    assert filled.row(A).cells["stage"] == "Nope", "what was typed stays"
    assert (
        filled.row(A).message == "Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won."
    )
    assert filled.writes() == (1, 1, 1)
    rests(filled)
    filled.edit_row(A, stage="qualified")
    result = filled.run()
    assert (result.code, filled.row(A).message) == (0, "")
    assert filled.writes() == (1, 1, 1)
    filled.agree(A)
    rests(filled)


def test_a_changed_pipeline_waits_for_its_stage(filled: World) -> None:
    filled.edit_row(A, pipeline="Service", stage=None)
    assert filled.run().code == 3
    assert filled.writes() == (0, 1, 0), "the message alone"
    filled.edit_row(A, stage="Done")
    assert filled.run().code == 0
    assert filled.crm.triggers == [(A, "stage")]
    filled.agree(A)
    rests(filled)


def test_the_same_stage_name_in_two_pipelines_stays_in_its_own(tmp_path: Path) -> None:
    world = World(tmp_path)
    del world.table.columns["pipeline"]
    world.deal(A)
    world.deal(B, stage=["p2", "t1"])
    world.run()
    assert world.row(A).cells["stage"] == world.row(B).cells["stage"] == "New"
    world.clear_logs()
    world.edit_row(B, stage="Done")
    world.edit_row(A, stage="Done")
    result = world.run()
    assert world.crm.triggers == [(B, "stage")], "Sales has no such stage; Service's own is meant"
    assert result.code == 3
    world.agree(B)


@pytest.mark.parametrize("cells", [{"name": None}, {"status": ""}, {"stage": None}, {"pipeline": None},
                                   {"pipeline": None, "stage": None}])  # fmt: skip
def test_a_blank_that_may_not_be_blank_is_filled_again(filled: World, cells: dict[str, Raw]) -> None:
    filled.edit_row(A, **cells)
    assert filled.run().code == 0
    assert filled.writes() == (0, 1, 0)
    filled.agree(A)
    assert filled.row(A).cells["pipeline"] == "Sales"
    rests(filled)


def test_a_stage_typed_beside_a_blank_pipeline_travels_and_the_pipeline_is_filled(filled: World) -> None:
    filled.edit_row(A, pipeline=None, stage="Qualified")
    filled.run()
    assert filled.crm.triggers == [(A, "stage")]
    filled.run()
    assert filled.row(A).cells["pipeline"] == "Sales"
    assert filled.writes() == (1, 1, 1)
    filled.agree(A)
    rests(filled)


def test_blank_against_zero(filled: World) -> None:
    filled.crm.put(A, value=0)
    filled.run()
    assert filled.row(A).cells["value"] == 0
    filled.edit_row(A, value=None)
    filled.run()
    assert filled.writes() == (0, 1, 0), "a blank is 0, so nothing changed"
    assert filled.row(A).cells["value"] is None
    rests(filled)
    filled.edit_row(A, value=0)
    rests(filled)


def test_a_renamed_option_of_the_table_moves_nothing(world: World) -> None:
    world.table.make_select("status", "open", "won", "lost", "abandoned")
    world.filled(A, B)
    world.table.rename_option("status", "open", "Still open")
    rests(world)
    world.edit_row(A, status="won")
    world.run()
    assert world.crm.triggers == [(A, "status")]
    world.agree(A)


def test_what_was_typed_into_a_one_way_column_stays_and_is_told(filled: World) -> None:
    filled.edit_row(A, source="mine")
    assert filled.run().code == 0
    assert "HighLevel owns “Source”" in filled.row(A).message
    assert filled.writes() == (0, 1, 0)
    rests(filled)
    filled.crm.put(A, source="ad")
    filled.run()
    assert (filled.row(A).cells["source"], filled.row(A).message) == ("ad", "")
    filled.agree(A)
    rests(filled)


# --- scope -----------------------------------------------------------------------------------------------------------


def test_a_deal_that_leaves_the_pipelines_leaves_its_row(filled: World) -> None:
    filled.crm.put(A, stage=["p3", "a1"])
    result = filled.run()
    assert (result.code, troubles(result)) == (0, [(Trouble.OUTSIDE, A)])
    assert filled.row(A).message == "This deal left the synced pipelines."
    assert filled.writes() == (0, 1, 0)
    assert filled.row(A).cells["pipeline"] == "Sales"
    rests(filled)
    filled.crm.put(A, stage=["p2", "t2"])
    filled.run()
    assert (filled.row(A).message, filled.row(A).cells["stage"]) == ("", "Done")
    filled.agree(A)
    rests(filled)


def test_a_deal_that_left_the_pipelines_unseen_by_search_is_not_written(filled: World) -> None:
    filled.crm.frozen_at = filled.clock.now
    filled.clock.advance(1)
    filled.crm.put(A, stage=["p3", "a1"])
    filled.edit_row(A, status="won")
    filled.run()
    assert (filled.crm.triggers, filled.crm.now(A)["status"]) == ([], "open")  # type: ignore[index]


def test_a_row_gets_nothing_of_a_deal_that_left_the_pipelines_meanwhile(filled: World) -> None:
    filled.crm.put(A, name="Edited")
    filled.clock.advance(1)
    filled.crm.frozen_at = filled.clock.now
    filled.clock.advance(1)
    filled.crm.put(A, stage=["p3", "a1"])
    filled.run()
    assert filled.row(A).cells["name"] != "Edited"
    filled.crm.frozen_at = math.inf
    filled.run()
    assert filled.row(A).message == "This deal left the synced pipelines."
    rests(filled)


def test_a_deal_that_left_the_pipelines_is_not_back_because_search_is_behind(filled: World) -> None:
    filled.crm.put(A, stage=["p3", "a1"])
    filled.run()
    assert filled.store.link(A).state is LinkState.OUTSIDE  # type: ignore[union-attr]
    filled.clear_logs()
    filled.crm.lag = 90.0  # another part of search answers
    for _ in range(2):
        filled.run(1.0)
        assert filled.store.link(A).state is LinkState.OUTSIDE  # type: ignore[union-attr]
    assert filled.writes() == (0, 0, 0)


def test_a_deleted_row_of_a_deal_that_left_the_pipelines_does_not_come_back(filled: World) -> None:
    filled.crm.put(A, stage=["p3", "a1"])
    filled.table.drop(filled.table.row_of(A))
    filled.run()
    assert filled.store.link(A) is None
    assert filled.writes() == (0, 0, 0)
    rests(filled)


def test_a_change_of_scope_costs_no_single_reads(filled: World) -> None:
    sales = replace(SALES, synced=False)
    filled.crm.vocabulary = replace(VOCABULARY, pipelines=(sales, SERVICE, ARCHIVE))
    result = filled.run()
    assert filled.crm.reads == []
    assert result.code == 0
    assert filled.writes() == (0, 3, 0), "three messages"
    rests(filled)
    filled.crm.vocabulary = VOCABULARY
    filled.run()
    assert [filled.row(deal).message for deal in (A, B, C)] == [""] * 3
    rests(filled)


# --- what cannot be used ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["schema", "sweep", "read"])
@pytest.mark.parametrize("side", list(Side))
def test_a_side_that_is_down_ends_the_pass_and_nothing_is_lost(filled: World, side: Side, verb: str) -> None:
    filled.edit_row(A, value=5)
    filled.crm.put(B, status="won")
    failing = filled.crm if side is Side.CRM else filled.table
    failing.faults.down_on = frozenset({verb})
    result = filled.run()
    assert (result.code, "does not answer" in result.error) == (1, True)
    before = filled.writes()
    failing.faults.down_on = frozenset()
    assert filled.run().code == 0
    assert filled.writes() == (1, 1, 1)
    assert before <= (1, 1, 1)
    filled.agree(A, B)
    rests(filled)


def test_a_required_column_that_is_gone_writes_nothing(filled: World) -> None:
    filled.crm.put(A, value=5)
    del filled.table.columns["status"]
    result = filled.run()
    assert (result.code, result.misconfigured) == (2, True)
    assert "status" in result.error
    assert filled.writes() == (0, 0, 0)


def test_an_optional_column_that_is_gone_is_named_and_nothing_is_cleared(filled: World) -> None:
    held = filled.table.columns.pop("owner")
    for row in filled.table.rows.values():
        row.cells.pop("owner")
        row.edited.pop("owner", None)  # a new column has never been edited
    filled.crm.put(A, value=5)
    result = filled.run()
    assert (result.code, result.gone_columns) == (3, ("Owner",))
    assert filled.writes() == (0, 1, 0)
    rests(filled)
    filled.table.columns["owner"] = replace(held, id="fldOwnerMadeAgain")
    filled.clear_logs()
    filled.run()
    assert filled.crm.triggers == [], "an empty new column clears no owner in the CRM"


def test_a_schema_error_is_a_sentence_and_exit_2(filled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def schema() -> TableSchema:
        raise Misconfigured("There is no table “Deals”.")

    monkeypatch.setattr(filled.table, "schema", schema)
    result = filled.run()
    assert (result.code, result.error) == (2, "There is no table “Deals”.")
    assert result.as_json()["error"] == result.error


def test_a_table_without_a_sync_column_gets_no_messages(world: World) -> None:
    world.table.sync_column = False
    world.filled(A)
    world.edit_row(A, stage="Nope")
    assert world.run().code == 3
    assert world.writes() == (0, 0, 0)


def test_being_asked_to_stop_ends_between_two_writes(filled: World) -> None:
    for deal in (A, B, C):
        filled.edit_row(deal, value=5)

    def stop(who: str, verb: str, phase: str, _what: object) -> None:
        filled.stopping = filled.stopping or (who, verb, phase) == ("crm", "write", "after")

    filled.hooks.append(stop)
    result = filled.run()
    assert (result.stopped, filled.writes()) == (True, (1, 0, 1))
    assert filled.store.open_writes() == []
    filled.hooks.clear()
    filled.stopping = False
    assert filled.run().code == 0
    assert filled.writes() == (3, 0, 3)
    rests(filled)


def test_the_report_of_a_pass_counts_records_and_calls(filled: World) -> None:
    filled.edit_row(A, value=5, name="Roof")
    filled.crm.put(B, status="won")
    result = filled.run()
    shown = result.as_json()
    assert shown["updated"] == {"crm": 1, "table": 1}
    assert shown["created"] == shown["deleted"] == {"crm": 0, "table": 0}
    assert shown["calls"] == {"crm": 2 + 2 + 1, "table": 2 + 2 + 1}
    assert (shown["conflicts"], shown["held"], shown["failed"], "error" in shown) == (0, 0, 0, False)
    last = filled.store.last_success()
    assert last is not None
    assert last.report["links"] == 3


def test_fields_that_the_table_lacks_are_left_out(tmp_path: Path) -> None:
    fields = [field_of(name) for name in ("name", "stage", "status", "value", "company")]
    world = World(tmp_path, fields)
    world.table.columns = {name: COLUMNS[name] for name in ("name", "stage", "status")}
    world.deal(A)
    assert world.run().code == 0
    assert world.row(A).cells == {"name": f"Deal {A}", "stage": "New", "status": "open"}
    rests(world)
    world.table.columns["value"] = Column("fldValue", "Value", "number", precision=2)
    world.run()
    assert world.crm.triggers == [], "a new blank column clears nothing in the CRM"


def test_a_direction_that_is_off_carries_nothing(tmp_path: Path) -> None:
    fields = [field_of("name"), field_of("stage"), field_of("status"), field_of("value", Direction.OFF)]
    world = World(tmp_path, fields).filled(A)
    world.edit_row(A, value=5)
    world.crm.put(A, value=6)
    world.run()
    assert world.writes() == (0, 0, 0)


def test_of_keys_that_went_crosswise_every_row_is_told(tmp_path: Path) -> None:
    """B's row carries A's id, A's row B's, and a copy of it, too: B is twofold, and its own row is somebody else's."""
    world = World(tmp_path).filled(A, B)
    first, second = world.table.row_of(A), world.table.row_of(B)
    world.table.put(first, B)
    world.table.put("copy", B, name="Copy")
    world.table.put(second, A)
    assert world.run().code == 3
    assert all(world.table.rows[row].message for row in (first, second, "copy"))
    assert "GHL ID was changed" in world.table.rows[second].message
