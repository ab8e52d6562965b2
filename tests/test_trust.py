"""Guards, deletions and an old database, in whole passes over in-memory sides (SPEC §§4, 5)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncd.look import look
from syncd.marks import FILE_NAME as GENERATION
from syncd.model import Direction, LinkState, Record, Side
from syncd.opened import open_pair
from syncd.plan import Trouble
from syncd.policy import BlankCell, DealDeleted, Limits, OneWay, Policy, RowDeleted
from syncd.reconcile import RESTORED, PassResult
from syncd.sides import Column, ReadResult, Refused
from syncd.store import FILE_NAME, Store
from tests.memory import COLUMNS, FIELD_NAMES, NO_LIMITS, SALES, CountedStore, Crash, World, field_of

A, B, C = "dealAAA1", "dealBBB2", "dealCCC3"


def deals(count: int) -> list[str]:
    """Ids."""
    return [f"deal{number:04d}" for number in range(count)]


@pytest.fixture
def many(tmp_path: Path) -> World:
    """Fifty deals with their rows, agreed on."""
    return World(tmp_path).filled(*deals(50))


def held(world: World) -> list[str]:
    """Names of what waits."""
    return [record.digest for record in world.store.held() if record.state == "held"]


def held_troubles(result: PassResult) -> int:
    """How many findings say that something is held."""
    return sum(finding.trouble is Trouble.HELD for finding in result.findings)


def rests(world: World, code: int = 0) -> None:
    """Nothing more is written."""
    world.clear_logs()
    for _ in range(2):
        result = world.run()
        assert (result.error, result.code) == ("", code)
    assert world.writes() == (0, 0, 0)


# --- mass changes ----------------------------------------------------------------------------------------------------


def test_a_mass_change_is_held_and_the_rest_goes_on(many: World) -> None:
    for deal in deals(21):
        many.edit_row(deal, value=5)
    many.edit_row("deal0040", status="won")
    many.crm.put("deal0041", name="Renamed")
    result = many.run()
    assert (result.code, result.as_json()["held"], held_troubles(result)) == (3, 21, 1)
    assert many.writes() == (1, 1, 1)
    assert many.crm.triggers == [("deal0040", "status")]
    sentence = next(f.sentence for f in result.findings if f.trouble is Trouble.HELD)
    assert "“Value” would change in HighLevel on 21 of 50 records at once to the same value" in sentence
    assert f"syncd approve {held(many)[0]}" in sentence
    for _ in range(3):
        assert many.run().as_json()["held"] == 21
    assert many.writes() == (1, 1, 1)
    assert len(held(many)) == 1


def test_twenty_changes_are_people_at_work(many: World) -> None:
    for deal in deals(20):
        many.edit_row(deal, value=5)
        many.crm.put(deal, name=f"New name of {deal}")
    assert many.run().code == 0
    assert many.writes() == (20, 20, 20)


def test_each_direction_and_field_is_counted_by_itself(many: World) -> None:
    for deal in deals(15):
        many.edit_row(deal, value=5, status="won")
    for deal in deals(50)[15:30]:
        many.crm.put(deal, value=6)
    assert many.run().code == 0
    assert many.writes() == (15, 15, 30)


def test_towards_the_table_changes_are_held_too(many: World) -> None:
    for deal in deals(30):
        many.crm.put(deal, stage=["p1", "s2"])
    result = many.run()
    assert (result.code, result.as_json()["held"]) == (3, 30)
    assert many.writes() == (0, 0, 0)
    assert "would change in Airtable" in next(f.sentence for f in result.findings if f.trouble is Trouble.HELD)


def test_an_approved_plan_is_carried_out_once(many: World) -> None:
    for deal in deals(30):
        many.edit_row(deal, value=5)
    many.run()
    (digest,) = held(many)
    assert many.store.answer_held(digest, "approved")
    assert not many.store.answer_held(digest, "approved"), "nothing of that name waits any more"
    result = many.run()
    assert (result.code, result.as_json()["held"]) == (0, 0)
    assert many.writes() == (30, 0, 30)
    many.agree(*deals(30))
    many.run()
    assert many.store.held() == [], "an approval that has served is gone"
    for deal in deals(30):
        many.crm.put(deal, value=100)
    many.choose(limits=NO_LIMITS).run()
    many.choose(limits=Limits()).clear_logs()
    for deal in deals(30):
        many.edit_row(deal, value=5)
    assert many.run().as_json()["held"] == 30, "the same accident again is asked about again"
    assert many.writes() == (0, 0, 0)


def test_an_approval_covers_exactly_the_set_that_was_seen(many: World) -> None:
    for deal in deals(30):
        many.edit_row(deal, value=5)
    many.run()
    many.store.answer_held(held(many)[0], "approved")
    many.edit_row("deal0000", value=100)  # one drops out
    many.edit_row("deal0001", value=6)  # one is another value
    for deal in deals(50)[30:]:
        many.edit_row(deal, value=5)  # twenty are new, and 21 with the other value
    result = many.run()
    assert many.crm.triggers == [(deal, "value") for deal in deals(30)[2:]]
    assert (result.code, result.as_json()["held"]) == (3, 21)
    record = next(record for record in many.store.held() if record.state == "held")
    assert {member.record for member in record.set.members} == {"deal0001", *deals(50)[30:]}


def test_new_ones_beside_an_approval_are_judged_by_themselves(many: World) -> None:
    for deal in deals(30):
        many.edit_row(deal, value=5)
    many.run()
    many.store.answer_held(held(many)[0], "approved")
    many.edit_row("deal0040", value=5)
    assert many.run().code == 0
    assert len(many.crm.triggers) == 31


def test_an_approval_given_while_a_pass_runs_is_kept(many: World) -> None:
    for deal in deals(30):
        many.edit_row(deal, value=5)
    many.run()
    (digest,) = held(many)
    swept, given, tx = [False], [False], many.store.tx

    def sweep(who: str, verb: str, phase: str, _what: object) -> None:
        swept[0] = swept[0] or (who, verb, phase) == ("table", "sweep", "after")

    def approve_first() -> Any:
        if swept[0] and not given[0]:
            given[0] = True  # at the last moment: before the first of the commits that follow the sweep
            assert many.store.answer_held(digest, "approved")
        return tx()

    many.hooks.append(sweep)
    many.store.tx = approve_first  # type: ignore[method-assign]
    assert many.run().code == 3, "too late for this pass"
    assert given[0]
    many.store.tx = tx  # type: ignore[method-assign]
    assert many.run().code == 0
    assert many.writes() == (30, 0, 30)


def test_an_approval_outlives_a_pass_that_plans_nothing(many: World) -> None:
    for deal in deals(30):
        many.edit_row(deal, value=5)
    many.run()
    many.store.answer_held(held(many)[0], "approved")
    many.crm.hidden.update(deals(40))
    assert held_troubles(many.run()) == 1, "almost empty"
    many.crm.hidden.clear()
    many.crm.identity = "loc2"
    assert held_troubles(many.run()) == 1, "another location"
    many.crm.identity = "loc1"
    assert many.run().code == 0
    assert many.writes() == (30, 0, 30)


def test_a_mass_change_that_is_taken_back_is_forgotten(many: World) -> None:
    for deal in deals(30):
        many.edit_row(deal, value=5)
    many.run()
    for deal in deals(30):
        many.edit_row(deal, value=100)
    assert many.run().code == 0
    assert many.store.held() == []
    assert many.writes() == (0, 0, 0)


def test_new_names_of_stages_are_no_change(many: World) -> None:
    stages = tuple(replace(stage, name="Fresh" if stage.id == "s1" else stage.name) for stage in SALES.stages)
    pipelines = (replace(SALES, stages=stages), *many.crm.vocabulary.pipelines[1:])
    many.crm.vocabulary = replace(many.crm.vocabulary, pipelines=pipelines)
    assert many.run().code == 0
    assert many.writes() == (0, 50, 0)
    rests(many)


def test_a_first_fill_is_not_held(tmp_path: Path) -> None:
    World(tmp_path).filled(*deals(300))


def test_a_first_run_over_rows_with_ids_holds_what_differs(tmp_path: Path) -> None:
    world = World(tmp_path)
    for deal in deals(30):
        world.deal(deal)
        world.table.put(f"row-{deal}", deal, name="Old export", pipeline="Sales", stage="New", status="open", value=100,
                        owner="Ann", source="web")  # fmt: skip
    result = world.run()
    assert (result.code, result.as_json()["held"]) == (3, 30)
    assert world.writes() == (0, 0, 0)
    world.store.answer_held(held(world)[0], "approved")
    assert world.run().code == 0
    assert world.writes()[1] == 30


def test_looking_shows_what_is_held_and_holds_nothing(many: World) -> None:
    for deal in deals(30):
        many.edit_row(deal, value=5)
    seen = look(many.pair, open_pair(many.pair, keep=False))
    assert (len(seen.plan.updates), len(seen.held)) == (30, 1)
    assert many.store.held() == []


def test_a_state_that_lost_both_its_marks_is_an_old_one(many: World) -> None:
    many.store.set_fact("generation", None)
    (many.store.path.parent / GENERATION).unlink()
    assert many.run().notes == [RESTORED]
    assert many.run().notes == []


def test_an_old_state_forgets_all_that_it_remembered_of_records(many: World) -> None:
    store, tables = many.store, ("links", "messages", "refused", "absent", "held", "sheet_rows")
    store.put_messages({"row": "said"})
    store.put_absent(["nobody"], 1.0)
    store.put_sheet_rows({"row": (1, "cells", "windows")}, (), 1.0)
    many.crm.faults.refuse = lambda _v, _id, _c: Refused("HighLevel says no.")
    many.edit_row("deal0001", value=5)
    many.run()
    for deal in deals(32)[2:]:
        many.crm.drop(deal)
    many.run()

    def counts() -> list[int]:
        return [store.connection.execute(f"SELECT COUNT(*) FROM {one}").fetchone()[0] for one in tables]  # noqa: S608

    assert all(counts()), "there is something to forget"
    assert store.start_anew(RESTORED, 1.0) == 50
    assert not any(counts())


# --- an almost empty side --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", list(Side))
def test_an_almost_empty_side_stops_everything(many: World, side: Side) -> None:
    gone = deals(26)
    if side is Side.CRM:
        many.crm.hidden.update(gone)
    else:
        kept = {deal: many.row(deal) for deal in gone}
        for deal in gone:
            many.table.drop(many.table.row_of(deal))
    many.edit_row("deal0040", value=5)
    many.clear_logs()
    result = many.run()
    assert (result.code, result.as_json()["held"], held_troubles(result)) == (3, 0, 1)
    assert many.writes() == (0, 0, 0)
    assert (many.crm.reads, many.table.reads) == ([], []), "nothing is looked up one by one"
    if side is Side.CRM:
        many.crm.hidden.clear()
    else:
        many.table.rows |= {f"back-{deal}": row for deal, row in kept.items()}
    assert many.run().code == 0
    assert many.writes()[0] == 1
    assert many.store.held() == []


def test_half_of_what_was_known_is_not_more_than_half(many: World) -> None:
    many.crm.hidden.update(deals(25))
    many.clear_logs()
    assert many.run().code == 0
    assert len(many.crm.reads) == 25


def test_deals_that_are_long_gone_are_not_known_any_more(tmp_path: Path) -> None:
    world = World(tmp_path).filled(*deals(20))
    for deal in deals(10):
        world.crm.drop(deal)
    world.run()
    world.clear_logs()
    world.crm.hidden.update(deals(16))
    assert (held_troubles(world.run()), world.crm.reads) == (1, []), "6 of the 10 that are left"


def test_five_missing_records_are_looked_up(tmp_path: Path) -> None:
    world = World(tmp_path).filled(*deals(6))
    world.crm.hidden.update(deals(5))
    world.clear_logs()
    assert world.run().code == 0
    assert sorted(world.crm.reads) == deals(5)
    world.crm.hidden.update(deals(6))
    assert held_troubles(world.run()) == 1


def test_an_approved_emptiness_stays_approved_while_it_lasts(many: World) -> None:
    many.crm.hidden.update(deals(30))
    many.run()
    many.store.answer_held(held(many)[0], "approved")
    for _ in range(3):
        result = many.run()
        assert (result.code, held_troubles(result)) == (0, 0), "nobody is asked again"
    many.crm.hidden.clear()
    many.run()
    assert not [record for record in many.store.held() if record.state == "approved"], "it has served"


def test_an_approved_emptiness_is_looked_up_and_nothing_else(many: World) -> None:
    gone = deals(30)
    for deal in gone:
        many.crm.drop(deal)
    many.run()
    many.store.answer_held(held(many)[0], "approved")
    many.clear_logs()
    result = many.run()
    assert result.code == 0
    assert sorted(many.crm.reads) == gone
    assert len(many.table.messages()) == 30
    assert [link.state for link in many.store.links().values()].count(LinkState.DEAL_GONE) == 30
    rests(many)
    assert many.store.held() == []


def test_more_that_goes_missing_after_an_approval_is_judged_by_itself(many: World) -> None:
    many.choose(limits=Limits(max_missing_share=0.3))
    many.crm.hidden.update(deals(16))
    many.run()
    many.store.answer_held(held(many)[0], "approved")
    many.crm.hidden.update(deals(31))
    many.clear_logs()
    assert many.run().code == 0
    assert sorted(many.crm.reads) == deals(31), "15 more are within the limits"
    many.crm.hidden.update(deals(50))
    many.clear_logs()
    result = many.run()
    assert (held_troubles(result), many.crm.reads) == (1, [])
    assert {member.record for member in many.store.held()[-1].set.members} >= set(deals(50)[31:])


def test_a_pipeline_that_is_no_longer_synced_is_no_emptiness(many: World) -> None:
    pipelines = tuple(replace(pipeline, synced=pipeline.id == "p2") for pipeline in many.crm.vocabulary.pipelines)
    many.crm.vocabulary = replace(many.crm.vocabulary, pipelines=pipelines)
    result = many.run()
    assert (result.code, held_troubles(result)) == (0, 0)
    assert len(many.table.messages()) == 50, "each row says that its deal left the pipelines"


# --- another table, another location ---------------------------------------------------------------------------------


@pytest.mark.parametrize("side", list(Side))
def test_a_swapped_table_or_location_waits_for_a_person(
    many: World, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    if side is Side.CRM:
        many.crm.identity = "loc2"
    else:
        many.table.identity = "app2/tbl2"
    many.edit_row("deal0001", value=5)
    for _ in range(2):
        result = many.run()
        assert (result.code, held_troubles(result), many.writes()) == (3, 1, (0, 0, 0))
    seen = look(many.pair, open_pair(many.pair, keep=False))
    assert len(seen.plan.links) == 50, "the plan shows a first run"
    many.store.answer_held(held(many)[0], "approved")
    result = many.run()
    assert (result.code, result.tally.conflicts) == (0, 1)
    assert many.writes() == (1, 0, 1), "without a shadow they differ; the edit in the table is the later one"
    many.agree(*deals(50))
    rests(many)


def test_the_former_table_put_back_goes_on_as_before(many: World) -> None:
    before = many.store.links()["deal0001"].agreed()
    many.table.identity, former = "app2/tbl2", many.table.identity
    assert many.run().code == 3
    many.table.identity = former
    assert many.run().code == 0
    assert many.store.held() == []
    assert many.store.links()["deal0001"].agreed() == before
    assert many.writes() == (0, 0, 0)


# --- set back and forth ----------------------------------------------------------------------------------------------


def automation(world: World) -> None:
    """Whatever syncd writes to the deal's status, a workflow sets back; an automation sets the row again."""
    world.edit_row(A, status="won")
    world.run(30)
    world.crm.put(A, status="open")
    world.run(30)


def test_a_field_that_is_set_back_and_forth_is_frozen(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B)
    for _ in range(6):
        automation(world)
    written = [write.changes for write in (*world.crm.log, *world.table.log) if "status" in write.changes]
    assert len(written) == 5, "two values, and three returns to the one before last"
    result = world.run()
    assert result.code == 3
    assert [f.trouble for f in result.findings] == [Trouble.FROZEN]
    assert "syncd resume" in result.findings[0].sentence
    assert "back and forth" in world.row(A).message
    world.edit_row(A, value=7)
    world.edit_row(B, status="lost")
    before = len(world.crm.log)
    world.run()
    assert len(world.crm.log) == before + 2, "the other fields and deals go on"
    world.clock.advance(7200)
    assert world.run().code == 3, "it stays frozen until a person resumes it"
    world.store.resume(A, world.clock())
    assert world.run().code == 0
    world.agree(A, B)
    assert world.row(A).message == ""
    rests(world)


def test_what_was_written_before_resuming_does_not_count(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A)
    for _ in range(4):
        automation(world)
    assert world.run(1).code == 3
    world.store.resume(A, world.clock())
    automation(world)
    assert world.run(1).code == 0


def test_slow_returns_are_people(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A)
    for _ in range(6):
        automation(world)
        world.clock.advance(3600)
    assert world.run().code == 0


# --- quiet time ------------------------------------------------------------------------------------------------------


def test_a_typed_cell_rests_before_it_is_carried(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A).choose(quiet_seconds=5.0)
    world.edit_row(A, name="Half a na", value=12)
    result = world.run(2)
    assert (result.code, world.writes()) == (0, (0, 0, 0))
    assert [f.trouble for f in result.findings] == [Trouble.TYPING, Trouble.TYPING]
    world.edit_row(A, name="Half a name")
    world.run(4)
    assert world.crm.triggers == [(A, "value")]
    world.run(4)
    assert world.crm.triggers == [(A, "value"), (A, "name")]
    world.agree(A)


def test_an_edit_in_the_crm_asks_nobody_whether_its_cell_is_being_typed(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A).choose(quiet_seconds=5.0)
    world.crm.put(A, name="Edited", value=12)
    world.run(2)
    assert world.row(A).cells["value"] == 12
    assert ("table", "edited", "before") not in world.steps
    world.agree(A)


def test_a_name_that_was_cleared_a_moment_ago_is_not_filled_yet(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A).choose(quiet_seconds=5.0)
    world.edit_row(A, name="")
    assert [f.trouble for f in world.run(2).findings] == [Trouble.TYPING]
    assert world.writes() == (0, 0, 0), "somebody is about to type another one"
    world.run(10)
    assert world.row(A).cells["name"] == f"Deal {A}"
    rests(world)


def test_a_one_shot_pass_does_not_wait(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A)
    world.edit_row(A, name="Typed just now")
    world.run(0.1)
    assert world.crm.triggers == [(A, "name")]


def test_a_select_never_waits_but_a_changed_pipeline_does(tmp_path: Path) -> None:
    world = World(tmp_path)
    for name in ("status", "stage", "pipeline"):
        world.table.columns[name] = replace(COLUMNS[name], kind="select")
    world.filled(A).choose(quiet_seconds=5.0)
    world.edit_row(A, status="won", stage="Qualified")
    world.run(1)
    assert sorted(world.crm.triggers) == [(A, "stage"), (A, "status")]
    world.clear_logs()
    world.edit_row(A, pipeline="Service", stage="New")  # first the pipeline; the stage may be next
    world.run(1)
    assert world.crm.triggers == []
    world.edit_row(A, stage="Done")
    world.run(6)
    assert world.crm.triggers == [(A, "stage")]
    assert world.crm.now(A)["stage"] == ["p2", "t2"]  # type: ignore[index]


def test_a_cell_that_is_being_typed_is_not_overwritten_by_a_conflict(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A).choose(quiet_seconds=5.0)
    world.edit_row(A, value=1)
    world.clock.advance(3)
    world.crm.put(A, value=2)
    world.run(0.5)
    assert world.writes() == (0, 0, 0)
    world.run(10)
    assert world.row(A).cells["value"] == 2


def test_a_table_that_cannot_tell_does_not_wait_for_ever(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A).choose(quiet_seconds=5.0)
    world.table.clockless = True
    world.edit_row(A, value=1)
    world.run(1)
    assert world.crm.triggers == [(A, "value")]


# --- options that vanish ---------------------------------------------------------------------------------------------


def test_an_option_that_is_removed_does_not_clear_the_owners(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.table.columns["owner"] = replace(COLUMNS["owner"], kind="select")
    world.filled(A, B)
    world.table.columns["owner"] = replace(world.table.columns["owner"], options={"optZ": "Zed"})
    for deal in (A, B):
        world.row(deal).cells["owner"] = None  # what Airtable does when an option is removed
    for _ in range(2):
        result = world.run()
        assert (result.code, world.crm.triggers) == (3, [])
    assert "is no option of “Owner” any more" in world.row(A).message
    world.edit_row(A, owner="Bob")
    world.crm.put(B, owner="u2")
    world.run()
    assert world.crm.triggers == [(A, "owner")]
    world.agree(A, B)
    assert world.run().code == 0
    assert world.row(A).message == ""
    world.edit_row(A, owner=None)
    world.run()
    assert world.crm.now(A)["owner"] is None, "a cell that a person clears is cleared"  # type: ignore[index]


# --- an old database -------------------------------------------------------------------------------------------------


def restored(world: World, change: Callable[[], object]) -> None:
    """Puts back the database as it was before `change`."""
    path, backup = world.folder / FILE_NAME, world.folder / "backup"
    world.store.close()
    shutil.copy(path, backup)
    world.start()
    change()
    world.store.close()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copy(backup, path)
    world.start()


def test_an_old_database_is_not_believed(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B)

    def change() -> None:
        world.edit_row(A, value=5)
        world.run()
        world.crm.put(A, value=100)  # back to what the old database takes for agreed
        world.crm.put(B, status="won")
        world.run()

    restored(world, change)
    world.clear_logs()
    result = world.run()
    assert result.notes == ["The state database was lost, or is an old one: links were made anew by their ids."]
    assert world.writes() == (0, 0, 0)
    world.agree(A, B)
    world.edit_row(A, value=7)
    world.run()
    assert world.writes() == (1, 0, 1)
    assert world.run().notes == []


def test_the_database_of_the_last_pass_is_believed(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A)
    restored(world, lambda: [world.run() for _ in range(3)])
    world.edit_row(A, value=5)
    world.crm.put(A, value=100)
    assert world.run().notes == []


@pytest.mark.parametrize("missing", [FILE_NAME, GENERATION])
def test_one_of_the_two_files_alone_is_not_believed(tmp_path: Path, missing: str) -> None:
    world = World(tmp_path).filled(A, B)
    world.store.close()
    (tmp_path / missing).unlink()
    world.start()
    world.clear_logs()
    result = world.run()
    assert (result.code, world.writes()) == (0, (0, 0, 0))
    assert bool(result.notes) is (missing == GENERATION), "a new database has nothing to forget"
    world.agree(A, B)
    rests(world)


def test_an_approval_in_an_old_database_is_gone(tmp_path: Path) -> None:
    world = World(tmp_path).filled(*deals(50))
    for deal in deals(30):
        world.edit_row(deal, value=5)
    world.run()
    world.store.answer_held(held(world)[0], "approved")
    restored(world, lambda: world.run() and world.run())
    assert [record.state for record in world.store.held()] == ["approved"]
    world.run()
    assert [record.state for record in world.store.held()] == []


def test_a_crash_while_the_mark_moves_is_no_old_database(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    crashes = 0
    for at in range(1, 40):
        world = World(tmp_path / str(at)).filled(A)
        world.edit_row(A, value=5)
        world.crash_at = at
        try:
            world.run()
        except Crash:
            crashes += 1
        world.crash_at = None
        world.restart()
        result = world.run()
        assert result.notes == []
        world.run()
        world.agree(A)
        assert len(world.crm.triggers) == 1
        world.close()
    assert crashes > 15
    record_property("kills at a step", crashes)


# --- deletions -------------------------------------------------------------------------------------------------------


def ruled(tmp_path: Path, **choices: str) -> World:
    """Three deals under other settings."""
    policy = Policy(DealDeleted(choices.get("deal_deleted", "keep")), RowDeleted(choices.get("row_deleted", "restore")))
    return World(tmp_path).filled(A, B, C).choose(policy=policy)


def test_a_deleted_deal_takes_its_row_along_if_told_to(tmp_path: Path) -> None:
    world = ruled(tmp_path, deal_deleted="delete_row")
    world.crm.drop(A)
    result = world.run()
    assert (result.code, result.tally.deleted) == (0, {Side.CRM: 0, Side.TABLE: 1})
    assert len(world.table.rows) == 2
    write = world.store.history(deal=A)[0]
    assert (write.action, write.state) == ("delete", "done")
    assert {line.field: line.old for line in write.changes}["value"] == "100", "what it held is in the history"
    assert A not in world.store.links()
    rests(world)


def test_a_row_of_which_a_cell_cannot_be_told_is_not_deleted(tmp_path: Path) -> None:
    """What was typed there would be gone."""
    world = ruled(tmp_path, deal_deleted="delete_row")
    row, real = world.table.row_of(A), world.table.read

    def read(ids: Sequence[str], *, needed: Collection[int] | None = None) -> dict[str, ReadResult]:
        found = real(ids, needed=needed)
        return {id: replace(one, lacks=frozenset({3})) if isinstance(one, Record) else one for id, one in found.items()}

    world.crm.drop(A)
    world.table.read = read  # type: ignore[method-assign]
    world.run()
    assert row in world.table.rows


@pytest.mark.parametrize("who", ["syncd deletes the deal", "syncd deletes the row", "people delete both",
                                 "both go while syncd looks", "the answer is lost"])  # fmt: skip
def test_a_deleted_deal_that_search_shows_once_more_gets_no_row(tmp_path: Path, who: str) -> None:
    policies = {"people delete both": {}, "syncd deletes the row": {"deal_deleted": "delete_row"}}
    world = ruled(tmp_path, **policies.get(who, {"row_deleted": "delete_deal"}))
    if who != "syncd deletes the row":
        world.table.drop(world.table.row_of(A))
    if who in ("syncd deletes the row", "people delete both"):
        world.crm.drop(A)
    if who == "both go while syncd looks":
        world.hooks.append(lambda *step: world.crm.drop(A) if step[:3] == ("crm", "sweep", "after") else None)
    world.crm.faults.lost = ["after"] if who == "the answer is lost" else []
    world.run()
    world.hooks.clear()
    assert (world.store.link(A), world.crm.now(A)) == (None, None)
    world.crm.lag = 90.0
    for _ in range(2):
        result = world.run(1.0)  # search is behind, or another part of it answers
        assert result.calls[Side.CRM] == 3, "it is read by its id"
        assert A not in world.store.links()
    assert len(world.table.rows) == 2
    rests(world)


def test_a_deal_that_was_deleted_and_restored_gets_a_row_after_a_read_of_it(tmp_path: Path) -> None:
    world = ruled(tmp_path)
    world.table.drop(world.table.row_of(A))
    world.crm.drop(A)
    world.run()
    world.deal(A, value=7)
    world.run(1.0)
    assert world.row(A).cells["value"] == 7
    world.agree(A, B, C)
    rests(world)


def test_a_key_of_a_deleted_deal_that_search_shows_once_more_makes_no_link(tmp_path: Path) -> None:
    world = ruled(tmp_path)
    world.table.drop(world.table.row_of(A))
    world.crm.drop(A)
    world.run()
    world.table.put("recTyped", A, name="typed")
    world.crm.lag = 70.0
    world.run(1.0)
    assert A not in world.store.links()
    assert world.writes() == (0, 1, 0), "its Sync cell"


def test_a_row_edited_after_its_deal_was_deleted_stays(tmp_path: Path) -> None:
    world = ruled(tmp_path, deal_deleted="delete_row")
    world.crm.drop(A)
    world.edit_row(A, value=5)
    assert world.run().code == 0
    assert world.row(A).message == "Deleted in HighLevel"
    assert world.row(A).cells["value"] == 5
    rests(world)


@pytest.mark.parametrize(("policy", "status", "there"), [
    ("ignore", "open", True), ("abandon_deal", "abandoned", True), ("delete_deal", None, False)])  # fmt: skip
def test_a_deleted_row_does_what_the_settings_say(tmp_path: Path, policy: str, status: str | None, there: bool) -> None:
    world = ruled(tmp_path, row_deleted=policy)
    world.table.drop(world.table.row_of(A))
    result = world.run()
    assert result.code == 0
    now = world.crm.now(A)
    assert (now is not None) is there
    assert now is None or now["status"] == status
    assert result.tally.deleted == {Side.CRM: int(not there), Side.TABLE: 0}
    assert len(world.crm.triggers) == (1 if policy == "abandon_deal" else 0)
    assert len(world.table.rows) == 2
    rests(world)
    world.crm.put(B, value=1)
    world.run()
    world.agree(B, C)


def choosing(tmp_path: Path, policy: Policy, **directions: Direction) -> World:
    """Two deals under another policy."""
    fields = [field_of(name, directions.get(name)) for name in FIELD_NAMES]
    return World(tmp_path, fields).filled(A, B).choose(policy=policy)


def test_a_cleared_cell_is_filled_again_where_nothing_may_be_erased(tmp_path: Path) -> None:
    world = choosing(tmp_path, Policy(blank_cell=BlankCell.NEVER_ERASE))
    world.edit_row(A, value="", owner="")
    assert world.run().code == 0
    assert (world.row(A).cells["value"], world.row(A).cells["owner"]) == (100, "Ann")
    assert world.crm.triggers == []
    world.edit_row(A, value=0, owner="Bob")
    world.run()
    assert sorted(world.crm.triggers) == [(A, "owner"), (A, "value")], "0 was typed, and is an edit"
    world.crm.put(A, owner=None)
    world.run()
    assert not world.row(A).cells["owner"], "cleared in HighLevel"
    world.crm.put(A, owner="u1")
    world.run()
    kinds = [line.kind for line in world.store.history(deal=A)[0].changes]
    assert (world.row(A).cells["owner"], kinds) == ("Ann", ["edit"]), "nobody cleared that cell"
    world.agree(A, B)
    rests(world)


def test_a_cleared_cell_of_a_column_to_the_crm_erases_nothing_there(tmp_path: Path) -> None:
    world = choosing(tmp_path, Policy(blank_cell=BlankCell.NEVER_ERASE), owner=Direction.TO_CRM)
    world.edit_row(A, owner="")
    world.run()
    assert world.writes() == (0, 0, 0)
    world.edit_row(A, owner="Bob")
    world.run()
    assert world.crm.triggers == [(A, "owner")]
    rests(world)


def test_what_was_typed_into_a_column_of_the_crm_is_written_over_if_told_to(tmp_path: Path) -> None:
    world = choosing(tmp_path, Policy(one_way=OneWay.WRITE_BACK), value=Direction.TO_TABLE)
    world.edit_row(A, source="typed", value="much")
    assert world.run().code == 0
    assert (world.row(A).cells["source"], world.row(A).cells["value"]) == ("web", 100)
    assert not world.row(A).message
    lines = [line for write in world.store.history(deal=A) for line in write.changes if line.field == "source"]
    assert [(line.old, line.new) for line in lines if line.kind == "fill"] == [("typed", "web")], "it is in the history"
    world.edit_row(A, source="")
    world.run()
    assert world.row(A).cells["source"] == "web"
    world.agree(A, B)
    rests(world)


def test_a_won_deal_is_not_abandoned(tmp_path: Path) -> None:
    world = ruled(tmp_path, row_deleted="abandon_deal")
    world.crm.put(A, status="won")
    world.run()
    world.table.drop(world.table.row_of(A))
    world.clear_logs()
    assert world.run().code == 0
    assert world.writes() == (0, 0, 0)
    rests(world)


@pytest.mark.parametrize("policy", ["ignore", "abandon_deal", "delete_deal"])
def test_a_deal_edited_after_its_row_was_deleted_gets_its_row_back(tmp_path: Path, policy: str) -> None:
    world = ruled(tmp_path, row_deleted=policy)
    world.table.drop(world.table.row_of(A))
    world.crm.put(A, value=77)
    assert world.run().code == 0
    assert world.row(A).cells["value"] == 77
    assert world.crm.now(A)["status"] == "open"  # type: ignore[index]
    rests(world)


def test_a_deal_edited_between_plan_and_deletion_is_not_deleted(tmp_path: Path) -> None:
    world = ruled(tmp_path, row_deleted="delete_deal")
    world.table.drop(world.table.row_of(A))
    done: list[bool] = []

    def edit(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "sweep", "after") and not done:
            done.append(True)
            world.crm.put(A, value=77)

    world.hooks.append(edit)
    world.run()
    assert world.crm.now(A) is not None
    world.run()
    assert world.row(A).cells["value"] == 77


@pytest.mark.parametrize("key", ["", B])
def test_a_row_given_to_another_deal_between_plan_and_deletion_stays(tmp_path: Path, key: str) -> None:
    world = ruled(tmp_path, deal_deleted="delete_row")
    row = world.table.row_of(A)
    world.crm.drop(A)

    def edit(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("table", "sweep", "after"):
            world.table.put(row, key)

    world.hooks.append(edit)
    world.run()
    assert row in world.table.rows


def test_a_row_that_comes_back_saves_its_deal(tmp_path: Path) -> None:
    world = ruled(tmp_path, row_deleted="delete_deal")
    row = world.table.row_of(A)
    kept = world.table.rows[row]
    world.table.drop(row)
    back: list[bool] = []

    def undo(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("table", "read", "after") and not back:  # the plan has read that it is gone
            back.append(True)
            world.table.rows[row] = kept

    world.hooks.append(undo)
    world.run()
    assert back
    assert world.crm.now(A) is not None
    rests(world)


def test_a_refused_deletion_is_told_and_tried_again_later(tmp_path: Path) -> None:
    world = ruled(tmp_path, row_deleted="delete_deal")
    world.table.drop(world.table.row_of(A))
    world.crm.faults.refuse = lambda verb, _id, _c: Refused("This deal is locked.") if verb == "delete" else None
    assert world.run().code == 3
    assert world.run(10).code == 3
    assert sum(step[:2] == ("crm", "delete") and step[2] == "before" for step in world.steps) == 1
    world.crm.faults.refuse = lambda _v, _id, _c: None
    world.run(4000)
    assert world.crm.now(A) is None
    assert world.run().code == 0


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("side", list(Side))
def test_a_lost_answer_to_a_deletion_is_looked_up(tmp_path: Path, side: Side, when: str) -> None:
    world = ruled(tmp_path, row_deleted="delete_deal", deal_deleted="delete_row")
    if side is Side.CRM:
        world.table.drop(world.table.row_of(A))
        world.crm.faults.lost = [when]
    else:
        world.crm.drop(A)
        world.table.faults.lost = [when]
    world.run()
    world.run()
    assert world.crm.now(A) is None
    assert len(world.table.rows) == 2
    log = world.crm.log if side is Side.CRM else world.table.log
    assert [write.verb for write in log] == ["delete"]
    rests(world)


@pytest.mark.parametrize("policy", ["abandon_deal", "delete_deal"])
def test_a_crash_at_any_step_of_a_deletion_ends_as_without(
    tmp_path: Path, policy: str, record_property: Callable[[str, object], None]
) -> None:
    crashes = 0
    for at in range(1, 40):
        world = ruled(tmp_path / f"{at}", row_deleted=policy)
        world.table.drop(world.table.row_of(A))
        world.clear_logs()
        world.crash_at = at
        try:
            world.run()
        except Crash:
            crashes += 1
        world.crash_at = None
        world.restart()
        world.run()
        world.run()
        now = world.crm.now(A)
        assert now is None if policy == "delete_deal" else now is not None and now["status"] == "abandoned"
        assert len(world.crm.log) == 1
        assert len(world.table.rows) == 2
        world.close()
    assert crashes > 15
    record_property("kills at a step", crashes)


def test_mass_deletions_are_held(tmp_path: Path) -> None:
    world = World(tmp_path).filled(*deals(50)).choose(policy=Policy(DealDeleted.DELETE_ROW, RowDeleted.DELETE_DEAL))
    for deal in deals(6):
        world.table.drop(world.table.row_of(deal))
    result = world.run()
    assert (result.code, result.as_json()["held"], world.writes()) == (3, 6, (0, 0, 0))
    world.store.answer_held(held(world)[0], "approved")
    assert world.run().code == 0
    assert [write.verb for write in world.crm.log] == ["delete"] * 6
    rests(world)


def test_five_deletions_are_not_held(tmp_path: Path) -> None:
    world = World(tmp_path).filled(*deals(50)).choose(policy=Policy(DealDeleted.DELETE_ROW, RowDeleted.DELETE_DEAL))
    for deal in deals(5):
        world.crm.drop(deal)
    assert world.run().code == 0
    assert len(world.table.rows) == 45


def test_by_default_nothing_is_deleted(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B, C)
    world.crm.drop(A)
    world.table.drop(world.table.row_of(B))
    world.run()
    world.run()
    assert all(write.verb != "delete" for write in (*world.crm.log, *world.table.log))
    assert len(world.table.rows) == 3


def test_a_store_of_one_pair_does_not_touch_the_other_pair(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A)
    other = Store(tmp_path, "other")
    other.put_frozen({(A, "status"): "frozen"}, 1.0)
    assert world.store.frozen() == {}
    assert world.store.resume(A, 2.0) == 0
    assert other.frozen() == {(A, "status"): "frozen"}
    other.close()


def test_limits_are_of_the_pair(many: World) -> None:
    many.choose(limits=Limits(max_changes=3, max_share=0.05))
    for deal in deals(4):
        many.edit_row(deal, value=5)
    assert many.run().as_json()["held"] == 4


# --- a pair that is renamed ------------------------------------------------------------------------------------------


def renamed(world: World, name: str, siblings: tuple[str, ...] = ()) -> Store:
    """The configuration calls the pair otherwise from now on."""
    store = CountedStore(world.folder, name, world.step)
    world.pair = replace(world.pair, name=name, store=store, siblings=frozenset((name, *siblings)))
    return store


def test_a_renamed_pair_goes_on_where_it_was(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B)
    world.edit_row(A, value=5)
    world.clock.advance(5)
    world.crm.put(A, name="Later edit of another field")
    store = renamed(world, "acme")
    assert [u.deal for u in look(world.pair, open_pair(world.pair, keep=False)).plan.updates] == [A, A]
    world.pair.store = store
    result = world.run()
    assert (result.error, result.notes, result.tally.conflicts) == ("", [], 0)
    assert world.writes() == (1, 1, 1)
    assert world.store.count_links() == 0
    assert store.count_links() == 2
    assert len(store.history()) > 2
    assert world.run().notes == []


@pytest.mark.parametrize("location", ["loc1", "loc2"])
def test_two_pairs_on_one_table_are_refused(tmp_path: Path, location: str) -> None:
    world = World(tmp_path).filled(A)
    world.crm.identity = location
    renamed(world, "acme", siblings=("test",))
    result = world.run()
    assert result.code == 2
    assert "use the same table" in result.error
    assert world.writes() == (0, 0, 0)


def test_an_old_state_under_a_former_name_is_not_taken_over(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A)
    (tmp_path / GENERATION).unlink()
    store = renamed(world, "acme")
    result = world.run()
    assert (result.error, world.writes()) == ("", (0, 0, 0))
    assert (store.count_links(), world.store.count_links()) == (1, 1)
    world.store = store  # type: ignore[assignment]
    world.agree(A)


# --- rows that become deals, and the guards --------------------------------------------------------------------------

PEOPLE_FIELDS = tuple(field_of(name) for name in ("name", "stage", "status", "value", "owner", "email", "phone"))


def people(tmp_path: Path, *known: str) -> World:
    """A table with columns for the contact, and deals that are agreed on."""
    world = World(tmp_path, PEOPLE_FIELDS)
    for name in ("email", "phone"):
        world.table.columns[name] = Column(f"fld{name}", name.capitalize(), "text")
    return world.filled(*known) if known else world


def lead(world: World, row: str, **cells: str) -> None:
    """A person types a new row."""
    world.table.put(row, None, **{"name": f"Lead {row}", "email": f"{row}@example.com", "pipeline": "Sales", **cells})


def test_many_new_deals_at_once_are_held(tmp_path: Path) -> None:
    world = people(tmp_path, *deals(50))
    for number in range(21):
        lead(world, f"new{number:02d}")
    result = world.run()
    assert (result.code, result.as_json()["held"], len(world.crm.deals)) == (3, 21, 50)
    assert "21 new deals would be made in HighLevel at once" in held_sentences(result)[0]
    world.store.answer_held(held(world)[0], "approved")
    lead(world, "extra")
    assert world.run().code == 0
    assert len(world.crm.deals) == 72
    rests(world)


def held_sentences(result: PassResult) -> list[str]:
    """What is said of what is held."""
    return [f.sentence for f in result.findings if f.trouble is Trouble.HELD]


def test_a_half_typed_row_makes_no_deal_and_is_told_nothing(tmp_path: Path) -> None:
    world = people(tmp_path, A).choose(quiet_seconds=5.0)
    world.table.put("new", None, name="Ja")
    result = world.run(1)
    assert (result.code, [f.trouble for f in result.findings]) == (0, [Trouble.TYPING])
    assert world.writes() == (0, 0, 0)
    world.table.put("new", None, name="Jane Roe", email="jane@example.com", pipeline="Sales")
    world.run(2)
    assert len(world.crm.deals) == 1
    world.run(10)
    assert len(world.crm.deals) == 2
    assert {str(world.crm.now(deal)["name"]) for deal in world.crm.deals} == {f"Deal {A}", "Jane Roe"}  # type: ignore[index]


def match(tmp_path: Path) -> World:
    """A deal without a row and a row without an id that have one name."""
    world = people(tmp_path, B)
    world.deal(A)
    lead(world, "mine", name=f"Deal {A}", stage="Qualified")
    return world


def test_a_match_waits_until_a_person_approves_it(tmp_path: Path) -> None:
    world = match(tmp_path)
    for _ in range(2):
        result = world.run()
        assert (result.code, result.matches, world.writes()) == (3, 1, (0, 0, 0))
    assert result.as_json()["held"] == 0
    world.store.answer_held(held(world)[0], "approved")
    assert world.run().code == 0
    assert world.table.rows["mine"].key == A
    assert (len(world.crm.deals), len(world.table.rows)) == (2, 2)
    assert world.run().code == 0
    world.agree(A, B)
    assert world.store.held() == []
    rests(world)


def test_a_match_that_is_refused_makes_both(tmp_path: Path) -> None:
    world = match(tmp_path)
    world.run()
    world.store.answer_held(held(world)[0], "refused")
    assert world.run().code == 0
    assert (len(world.crm.deals), len(world.table.rows)) == (3, 3)
    for _ in range(2):
        assert world.run().code == 0
    assert (len(world.crm.deals), len(world.table.rows)) == (3, 3)
    assert [record.state for record in world.store.held()] == ["refused"]


def test_an_approved_match_outlives_a_failed_write(tmp_path: Path) -> None:
    world = match(tmp_path)
    world.run()
    world.store.answer_held(held(world)[0], "approved")
    world.table.faults.down_on = frozenset({"write"})
    assert world.run().code == 1
    world.table.faults.down_on = frozenset()
    assert world.run().code == 0
    assert world.table.rows["mine"].key == A


def test_an_approved_match_outlives_a_crash_before_it_is_linked(tmp_path: Path) -> None:
    world = match(tmp_path)
    world.run()
    world.store.answer_held(held(world)[0], "approved")
    swept = [False]

    def kill(who: str, verb: str, phase: str, _what: object) -> None:
        swept[0] = swept[0] or (who, verb, phase) == ("table", "sweep", "after")
        if swept[0] and (who, verb, phase) == ("store", "commit", "after"):
            raise Crash("killed after the first commit that follows the sweep")

    world.hooks.append(kill)
    with pytest.raises(Crash):
        world.run()
    assert A not in world.store.links()
    world.hooks.clear()
    world.restart()
    assert world.run().code == 0
    assert world.table.rows["mine"].key == A


def test_a_deal_that_was_deleted_stays_so_however_long_search_shows_it(tmp_path: Path) -> None:
    """Once absent, only a read by its id makes it present again (SPEC §1)."""
    world = World(tmp_path).filled(*deals(50)).choose(policy=Policy(DealDeleted.DELETE_ROW, RowDeleted.DELETE_DEAL))
    world.crm.frozen_at = world.clock.now
    world.table.drop(world.table.row_of("deal0001"))
    world.run()
    assert world.crm.now("deal0001") is None
    rows = len(world.table.rows)
    for _ in range(3):
        assert world.run(4000.0).code == 0
    assert len(world.table.rows) == rows == 49


def test_a_deal_that_was_deleted_and_brought_back_gets_a_row(tmp_path: Path) -> None:
    world = World(tmp_path).filled(*deals(50)).choose(policy=Policy(DealDeleted.DELETE_ROW, RowDeleted.DELETE_DEAL))
    values = world.crm.now("deal0001")
    world.table.drop(world.table.row_of("deal0001"))
    world.run()
    assert values is not None
    world.crm.put("deal0001", **values)
    world.run(4000.0)
    world.agree(*deals(50))
