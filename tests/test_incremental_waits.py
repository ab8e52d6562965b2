"""What waits beside the few records that an incremental pass looks at (SPEC §§4, 5): rows without ids and deals without
rows that may be the same, held sets that people take back, and what is counted of them.

A page of these worlds holds two records, so that their deals are worth asking for changes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

import tests.memory
from syncd.incremental import CRM_OVERLAP_SECONDS, FIRST_PATIENCE_SECONDS, FULL_EVERY_SECONDS, Memory
from syncd.model import LinkState, Raw, Side
from syncd.newcomers import Match
from syncd.plan import Finding, Plan, Trouble
from syncd.policy import Limits, Policy, RowDeleted
from syncd.reconcile import PassResult, unlinked
from syncd.sides import Column, Refused
from tests.memory import COLUMNS, FIELD_NAMES, NO_LIMITS, World, field_of

DEALS = tuple(f"deal{number:02d}" for number in range(1, 13))
A, B, C = DEALS[:3]
OF_CONTACT = ("contact", "email", "phone", "company")
ROOF: Mapping[str, Raw] = {"name": "Roof"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Twelve agreed links, long at rest, whose table has the contact's columns; a daemon has seen two passes."""
    monkeypatch.setattr(tests.memory, "PAGE", 2)
    world = World(tmp_path, [field_of(name) for name in (*FIELD_NAMES, *OF_CONTACT)]).choose(limits=NO_LIMITS)
    world.table.columns = {**COLUMNS, **{name: Column(f"fld{name}", name.title(), "text") for name in OF_CONTACT}}
    world.incremental = True
    world.restart()
    world.filled(*DEALS)
    rested(world)
    world.clear_logs()
    return world


def rested(world: World) -> None:
    """So much later that no listing names what was edited until now."""
    world.run(2 * CRM_OVERLAP_SECONDS)
    assert not world.run(2 * CRM_OVERLAP_SECONDS).full


def lead(world: World, row: str, /, **cells: Raw) -> None:
    """A person types a new row; its address is its own."""
    world.table.put(row, None, **{"pipeline": "Sales", "email": f"{row}@x.example", **cells})


def memory_of(world: World) -> Memory:
    assert world.pair.memory is not None
    return world.pair.memory


def passed(world: World, *, full: bool, seconds: float = 60.0) -> PassResult:
    result = world.run(seconds)
    assert (result.error, result.full) == ("", full)
    return result


def nothing_made(result: PassResult) -> None:
    assert result.tally.created == {Side.CRM: 0, Side.TABLE: 0}


# --- rows and deals that may be the same (SPEC §5) -------------------------------------------------------------------


@pytest.mark.parametrize("off", [False, True])
def test_a_row_that_waits_and_a_new_deal_of_its_name_are_a_match(world: World, off: bool) -> None:
    """The row lacks an address, or rows become no deals; no listing names it any more when its deal comes."""
    world.pair.new_deals = not off
    world.table.put("lead", None, **ROOF)
    assert passed(world, full=False).rows_without_id == 1
    rested(world)
    world.deal("dealX", **ROOF)
    result = passed(world, full=True)
    nothing_made(result)
    assert (result.code, result.matches, result.rows_without_id) == (3, 1, 1)
    for _ in range(20):
        result = passed(world, full=False)
        nothing_made(result)
        assert (result.code, result.matches, result.rows_without_id, result.needs_person) == (3, 1, 1, 1)


@pytest.mark.parametrize("other", ["row", "deal"])
def test_a_second_record_like_one_that_waits_in_a_match_waits_too(world: World, other: str) -> None:
    world.deal("dealX", **ROOF)
    lead(world, "leadA", **ROOF)
    assert passed(world, full=True).matches == 1
    rested(world)
    if other == "row":
        lead(world, "leadB", **ROOF)
    else:
        world.deal("dealY", **ROOF)
    result = passed(world, full=True)
    nothing_made(result)
    assert result.matches == (2 if other == "row" else 1)
    for _ in range(20):
        nothing_made(passed(world, full=False))


def test_a_deal_of_a_held_rows_name_gets_no_row(world: World) -> None:
    world.choose(limits=Limits(max_changes=1, max_share=0.0))
    for number in range(3):
        lead(world, f"lead{number}", name=f"Roof {number}")
    result = passed(world, full=True)
    assert (result.as_json()["held"], result.rows_without_id) == (3, 3)
    rested(world)
    world.deal("dealX", name="Roof 1")
    result = passed(world, full=True)
    nothing_made(result)
    assert (result.matches, result.as_json()["held"], result.rows_without_id) == (1, 2, 3)


def test_a_deal_whose_row_was_refused_and_a_new_row_of_its_name_are_a_match(world: World) -> None:
    world.table.faults.refuse = lambda verb, _id, _changes: Refused("No room.") if verb == "create" else None
    world.deal("dealX", **ROOF)
    passed(world, full=False)
    world.crm.put("dealX", source="fair")
    passed(world, full=False)
    lead(world, "lead", **ROOF)
    result = passed(world, full=True)
    nothing_made(result)
    assert result.matches == 1


@pytest.mark.parametrize("daemon", [False, True])
def test_a_row_that_cannot_be_read_waits_as_a_list_shows_it(world: World, daemon: bool) -> None:
    world.table.put("lead", None, **ROOF)
    world.table.faults.unread = {"lead"}
    with world.store.tx():
        world.store.set_fact("unread", {"lead": 1})
    passed(world, full=False)
    world.pair.memory = world.pair.memory if daemon else None
    world.deal("dealX", **ROOF)
    result = passed(world, full=True)
    nothing_made(result)
    assert (result.matches, result.rows_without_id) == (1, 1)


def test_what_is_like_nothing_that_waits_asks_for_no_sweep(world: World) -> None:
    """However many rows without an id there are."""
    for number in range(5):
        world.table.put(f"poor{number}", None, name=f"Wall {number}")
    world.table.put("blank", None, name="  ")
    world.deal("dealX", **ROOF)
    lead(world, "lead", name="Cellar")
    result = passed(world, full=False)
    assert (result.tally.created, result.rows_without_id) == ({Side.CRM: 1, Side.TABLE: 1}, 5)
    rested(world)
    world.deal("dealY", name="  ")
    assert passed(world, full=False).tally.created[Side.TABLE] == 1


def test_what_a_person_said_to_be_two_things_is_made(world: World) -> None:
    world.deal("dealX", **ROOF)
    world.table.put("poor", None, **ROOF)
    passed(world, full=True)
    (held,) = [record for record in world.store.held() if record.state == "held"]
    assert world.store.answer_held(held.digest, "refused")
    assert passed(world, full=True).tally.created[Side.TABLE] == 1
    rested(world)
    world.table.put("poor", None, email="poor@x.example", pipeline="Sales")
    assert passed(world, full=False).tally.created[Side.CRM] == 1


def test_a_match_that_is_over_frees_both(world: World) -> None:
    """No listing names the deal when its row gets another name."""
    world.deal("dealX", **ROOF)
    lead(world, "lead", **ROOF)
    passed(world, full=True)
    rested(world)
    lead(world, "lead", name="Cellar")
    assert passed(world, full=True).tally.created == {Side.CRM: 1, Side.TABLE: 1}
    assert passed(world, full=False).rows_without_id == 0


def test_a_row_of_a_match_is_not_told_what_it_lacks(world: World) -> None:
    world.deal("dealX", **ROOF)
    world.table.put("poor", None, **ROOF)
    passed(world, full=True)
    rested(world)
    world.table.put("poor", None, contact="Jo")
    for _ in range(3):
        result = passed(world, full=False)
        assert [finding.trouble for finding in result.findings] == [Trouble.MATCH]
    assert world.table.rows["poor"].message == ""


def test_an_approval_links_where_everything_is_seen(world: World) -> None:
    """An incremental pass that is shown an approved pair does not know whether another row is like its deal, too."""
    lead(world, "leadB", **ROOF)
    lead(world, "leadA", **ROOF)
    world.deal("dealX", **ROOF)
    passed(world, full=True)
    (several,) = [record for record in world.store.held() if record.state == "held"]
    world.store.answer_held(several.digest, "approved")
    passed(world, full=True)
    rested(world)
    lead(world, "leadA", contact="Jo", **ROOF)
    world.crm.put("dealX", source="fair")
    passed(world, full=False)
    assert world.store.link("dealX") is None


def test_a_match_that_only_an_old_doubt_tells_of_waits_for_the_next_full_pass(world: World) -> None:
    """It is not forgotten when no listing names its records any more."""
    world.table.put("poor", None, **ROOF)
    passed(world, full=False)
    rested(world)
    memory_of(world).doubts |= {"row poor may be dealX"}
    memory_of(world).full_at = world.clock.now
    memory_of(world).patience = 4 * CRM_OVERLAP_SECONDS
    world.deal("dealX", **ROOF)
    fulls = []
    for _ in range(60):
        result = world.run()
        nothing_made(result)
        fulls.append(result.full)
    assert fulls.count(True) == 1
    assert fulls.index(True) == 4 * CRM_OVERLAP_SECONDS / 60.0 - 1
    assert world.run().matches == 1


# --- what is counted, and said once ----------------------------------------------------------------------------------


def test_a_match_is_said_once_however_many_passes_see_it(world: World) -> None:
    world.deal("dealX", **ROOF)
    lead(world, "lead", **ROOF)
    for full in (True, *[False] * 6):
        result = passed(world, full=full, seconds=5.0)
        assert (result.matches, result.rows_without_id, result.needs_person) == (1, 1, 1)
        assert len(result.for_person()) == 1


def test_what_is_about_no_record_is_kept_once() -> None:
    memory = Memory()
    held = [Finding(Trouble.HELD, "", "", "", f"{number} wait.", True) for number in range(2)]
    match = Finding(Trouble.MATCH, "", "", "rows", "1 row may be a deal.", True)
    memory.completed(100.0, held, None)
    memory.completed(160.0, [match], {"row1"})
    memory.completed(220.0, [match], {"row1"})
    assert memory.waiting() == [*held, match]


def test_a_match_that_an_incremental_pass_sees_is_held_at_once(world: World) -> None:
    world.deal("dealX", **ROOF)
    lead(world, "lead", **ROOF)
    passed(world, full=True)
    (record,) = world.store.held()
    assert [(one.record, one.new) for one in record.set.members] == [("lead", "dealX")]


def test_rows_without_ids_are_counted_alike_by_all_passes(world: World) -> None:
    world.pair.new_deals = False
    lead(world, "lead", **ROOF)
    lead(world, "other", name="Cellar")
    for _ in range(3):
        assert passed(world, full=False).rows_without_id == 2
    assert passed(world, full=True, seconds=FULL_EVERY_SECONDS).rows_without_id == 2
    assert passed(world, full=False).rows_without_id == 2
    world.table.put("other", None, name="")
    world.table.put("other", None, email="", pipeline="")
    assert passed(world, full=False).rows_without_id == 1


def test_rows_whose_deals_are_held_or_refused_are_without_an_id(world: World) -> None:
    world.pair.memory = None
    world.choose(limits=Limits(max_changes=1, max_share=0.0))
    for number in range(3):
        lead(world, f"lead{number}", name=f"Roof {number}")
    for _ in range(2):
        assert passed(world, full=True).rows_without_id == 3
    world.choose(limits=NO_LIMITS)
    world.crm.faults.refuse = lambda verb, _id, _changes: Refused("No.") if verb == "create" else None
    for _ in range(2):
        assert passed(world, full=True).rows_without_id == 3
    world.crm.faults.refuse = lambda _verb, _id, _changes: None
    passed(world, full=True, seconds=FULL_EVERY_SECONDS)
    assert passed(world, full=True).rows_without_id == 0


def test_a_row_whose_deal_could_not_be_made_is_tried_by_the_next_pass(world: World) -> None:
    """Nobody edits it meanwhile, and no listing names it."""
    world.table.faults.unread = {"lead"}
    lead(world, "lead", **ROOF)
    assert passed(world, full=False, seconds=120.0).rows_without_id == 1
    for _ in range(3):
        assert passed(world, full=False).rows_without_id == 1
    world.table.faults.unread = set()
    assert passed(world, full=False).tally.created[Side.CRM] == 1
    assert passed(world, full=False).rows_without_id == 0


def test_a_deal_whose_row_may_have_lost_its_id_has_a_link_and_no_row(world: World) -> None:
    plan = Plan(
        rowless={A, B, "dealX"}, loose={"lead", world.table.row_of(C)}, matches=[Match("lead", A, "", ("name",))]
    )
    assert unlinked(world.pair, plan) == ({"lead"}, {A, "dealX"})


# --- held sets -------------------------------------------------------------------------------------------------------


def held_changes(world: World) -> list[str]:
    """Six edits of one column, which are held; long enough ago that no listing names them."""
    world.choose(limits=replace(NO_LIMITS, max_changes=3, max_share=0.1))
    for deal in DEALS[:6]:
        world.edit_row(deal, status="won")
    assert passed(world, full=True).as_json()["held"] == 6
    rested(world)
    return list(DEALS[:6])


@pytest.mark.parametrize("side", list(Side))
def test_a_held_set_that_people_take_back_is_held_no_more(world: World, side: Side) -> None:
    for deal in held_changes(world):
        if side is Side.TABLE:
            world.edit_row(deal, status="open")
        else:
            world.crm.put(deal, status="won")
    result = passed(world, full=True)
    assert (result.code, result.as_json()["held"]) == (0, 0)
    for _ in range(20):
        assert passed(world, full=False).code == 0


def test_a_member_that_is_taken_back_alone_is_noticed_in_time(world: World) -> None:
    """Each doubt about one set waits longer, and none is lost when no listing names its record any more."""
    deals = held_changes(world)
    world.edit_row(deals[0], status="open")
    assert passed(world, full=True).as_json()["held"] == 5
    world.edit_row(deals[1], status="open")
    passes = int(FIRST_PATIENCE_SECONDS / 60)
    results = [world.run() for _ in range(passes)]
    assert [result.full for result in results] == [False] * (passes - 1) + [True]
    assert [result.as_json()["held"] for result in results] == [5] * (passes - 1) + [4]
    for _ in range(20):
        assert passed(world, full=False).as_json()["held"] == 4


def test_a_held_member_whose_deal_was_edited_elsewhere_stays_held(world: World) -> None:
    """Its row is no row at rest: it is read, and what it holds is still wanted."""
    deals = held_changes(world)
    for value in range(3):
        world.crm.put(deals[0], value=value)
        result = passed(world, full=False)
        assert (result.code, result.as_json()["held"]) == (3, 6)
    assert world.row(deals[0]).cells["value"] == 2


# --- what only a full pass may do, and what no pass may --------------------------------------------------------------


def without_its_row(world: World) -> None:
    """A's row was deleted, which was accepted."""
    world.choose(policy=Policy(row_deleted=RowDeleted.IGNORE))
    world.table.drop(world.table.row_of(A))
    passed(world, full=True, seconds=FULL_EVERY_SECONDS)
    link = world.store.link(A)
    assert link is not None
    assert link.state is LinkState.ROW_GONE
    rested(world)


def test_an_edited_deal_gets_its_row_back_by_a_full_pass(world: World) -> None:
    without_its_row(world)
    world.crm.put(A, value=7)
    passed(world, full=True)
    world.agree(A)
    passed(world, full=False)


@pytest.mark.parametrize("doubted", [False, True])
def test_a_row_does_not_come_back_beside_another_one_with_its_key(
    world: World, monkeypatch: pytest.MonkeyPatch, doubted: bool
) -> None:
    """No listing has shown that one yet. An old doubt waits, and meanwhile nothing is made."""
    without_its_row(world)
    world.clock.advance(20)
    world.table.put("other", A, name="Typed", value=1)
    monkeypatch.setattr(world.table, "changed", lambda _since: [])
    if doubted:
        memory_of(world).doubts |= {f"{A} gets its row back"}
        memory_of(world).full_at = world.clock.now
    world.clock.advance(20)
    world.crm.put(A, value=7)
    for _ in range(4 if doubted else 0):
        passed(world, full=False)
    passed(world, full=True)
    assert world.table.creates() == []
    assert world.table.row_of(A) == "other"
    assert world.table.rows["other"].cells["value"] == 7


@pytest.mark.parametrize("target", list(Side))
def test_an_unsettled_write_holds_its_deal_in_incremental_passes(world: World, target: Side) -> None:
    side, id = (world.crm, A) if target is Side.CRM else (world.table, world.table.row_of(A))
    if target is Side.CRM:
        world.edit_row(A, value=5)
    else:
        world.crm.put(A, value=5)
    side.faults.lost = ["after"]

    def hook(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == (target.value, "write", "after"):
            side.faults.unread.add(id)

    world.hooks.append(hook)
    result = world.run()
    assert (result.code, result.unsettled, result.full) == (1, 1, False)
    world.hooks.clear()
    world.edit_row(A, name="Cellar")
    world.crm.put(B, status="won")
    result = passed(world, full=False)
    assert [one.trouble for one in result.findings if one.deal == A] == [Trouble.UNSETTLED]
    assert world.row(B).cells["status"] == "won"
    assert not [write for write in world.crm.log if "name" in write.changes]
    side.faults.unread.clear()
    for _ in range(2):
        passed(world, full=False)
    assert world.crm.now(A)["name"] == "Cellar"  # type: ignore[index]
    world.agree(A, B)


def test_what_was_typed_while_a_write_had_no_answer_is_carried_once_it_is_settled(world: World) -> None:
    """No listing names the row any more by then."""
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["after"]

    def hook(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "write", "after"):
            world.crm.faults.unread.add(A)

    world.hooks.append(hook)
    assert world.run().unsettled == 1
    world.hooks.clear()
    world.edit_row(A, name="Cellar")
    for seconds in (60.0, 2 * CRM_OVERLAP_SECONDS):
        result = passed(world, full=False, seconds=seconds)
        assert [one.trouble for one in result.findings] == [Trouble.UNSETTLED]
    world.crm.faults.unread.clear()
    passed(world, full=False)
    world.agree(A)


def test_only_an_hours_writes_count_for_a_field_that_is_set_back(world: World) -> None:
    for number in range(8):
        world.edit_row(A, status=("won", "open")[number % 2])
        passed(world, full=False, seconds=1800.0)
    assert world.store.frozen() == {}
    assert len(world.crm.log) == 8
