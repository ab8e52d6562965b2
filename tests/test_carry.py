"""Carrying a plan out (SPEC §3): each rule has a test that fails without it. Every test counts writes and triggers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]  # as the store: pysqlite3 where it is installed

from syncd.carry import FIRST_PAUSE_SECONDS, SOURCE_AGE_SECONDS
from syncd.model import Raw, Side
from syncd.plan import Trouble
from syncd.policy import DealDeleted, Policy, RowDeleted
from syncd.sides import Patch, Refused, WriteResult, Written
from tests.memory import NO_LIMITS, Crash, World

A, B, C, D = "dealAAA1", "dealBBB2", "dealCCC3", "dealDDD4"
Counts = tuple[int, int, int]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three deals with their rows, agreed on; nothing is in the logs."""
    return World(tmp_path).filled(A, B, C)


def when(world: World, who: str, verb: str, phase: str, act: Callable[[], None]) -> None:
    """Does `act` once, at the first such step."""

    def hook(a_who: str, a_verb: str, a_phase: str, _what: object) -> None:
        if (a_who, a_verb, a_phase) == (who, verb, phase):
            world.hooks.remove(hook)
            act()

    world.hooks.append(hook)


def after_looking(world: World, act: Callable[[], None]) -> None:
    """Does `act` between the plan and the first write: somebody is faster."""
    when(world, "table", "sweep", "after", act)


def held(world: World, deal: str, name: str) -> Raw:
    """What a deal holds now."""
    values = world.crm.now(deal)
    assert values is not None
    return values[name]


def ends_well(world: World, counts: Counts, *deals: str) -> None:
    """Asserts the exact number of writes and triggers, agreement, no open intent, and rest."""
    world.agree(*deals)
    assert world.store.open_writes() == []
    for _ in range(2):
        assert world.run().error == ""
    assert world.writes() == counts


# --- §3.1: read again before a value is copied -----------------------------------------------------------------------


def test_a_source_that_changed_since_the_plan_is_held_and_never_written(world: World) -> None:
    world.edit_row(A, value=5)
    after_looking(world, lambda: world.edit_row(A, value=6))
    assert world.run().tally.waiting == 1
    assert world.writes() == (0, 0, 0)
    world.run()
    assert [write.changes["value"][1] for write in world.crm.log] == [6]
    ends_well(world, (1, 0, 1), A)


def test_a_deal_that_changed_since_the_plan_is_held_and_never_written(world: World) -> None:
    world.crm.put(A, value=5)
    after_looking(world, lambda: world.crm.put(A, value=6))
    assert world.run().tally.waiting == 1
    assert world.writes() == (0, 0, 0)
    world.run()
    assert [write.changes["value"][1] for write in world.table.log] == [6]
    ends_well(world, (0, 1, 0), A)


def test_a_target_that_holds_the_value_already_is_adopted(world: World) -> None:
    world.edit_row(A, value=5)
    after_looking(world, lambda: world.crm.put(A, value=5))
    world.crm.put(B, status="won")
    when(world, "crm", "read", "after", lambda: world.edit_row(B, status="won"))
    world.run()
    assert world.writes() == (0, 0, 0)
    ends_well(world, (0, 0, 0), A, B)


def test_a_loser_typed_anew_in_another_form_is_dated_anew(world: World) -> None:
    """Blank and 0 are one value, but a 0 that was not there before is an edit, and later than what it lost with."""
    world.edit_row(A, value=None)
    world.clock.advance(10)
    world.crm.put(A, value=9)
    world.clock.advance(10)
    when(world, "crm", "read", "before", lambda: world.edit_row(A, value=0))
    result = world.run()
    assert (result.tally.waiting, result.tally.conflicts, world.writes()) == (1, 0, (0, 0, 0))
    assert world.run().tally.conflicts == 1
    assert (held(world, A, "value"), world.row(A).cells["value"]) == (0, 0)
    ends_well(world, (1, 0, 1), A)


def test_a_target_that_changed_is_held_and_the_next_pass_decides(world: World) -> None:
    world.edit_row(A, value=5)
    world.clock.advance(10)
    after_looking(world, lambda: world.crm.put(A, value=9))
    result = world.run()
    assert (result.tally.waiting, result.tally.conflicts, world.writes()) == (1, 0, (0, 0, 0))
    assert world.run().tally.conflicts == 1
    assert world.row(A).cells["value"] == 9, "the later edit"
    ends_well(world, (0, 1, 0), A)


def test_a_row_that_changed_is_held_and_the_next_pass_decides(world: World) -> None:
    world.crm.put(A, value=5)
    world.clock.advance(10)
    after_looking(world, lambda: world.edit_row(A, value=9))
    result = world.run()
    assert (result.tally.waiting, world.writes()) == (1, (0, 0, 0))
    world.run()
    assert held(world, A, "value") == 9
    ends_well(world, (1, 0, 1), A)


def test_only_the_field_that_somebody_touched_is_held(world: World) -> None:
    world.edit_row(A, value=5, name="Roof")
    after_looking(world, lambda: world.crm.put(A, name="Wall"))
    world.run()
    assert world.crm.triggers == [(A, "value")]
    world.run()
    ends_well(world, (1, 1, 1), A)


def test_another_field_that_changed_in_between_holds_nothing_up(world: World) -> None:
    world.edit_row(A, value=5)
    after_looking(world, lambda: world.crm.put(A, name="Wall"))
    assert world.run().tally.waiting == 0
    assert world.crm.triggers == [(A, "value")]
    world.run()
    ends_well(world, (1, 1, 1), A)


@pytest.mark.parametrize("target", list(Side))
def test_sources_are_read_first_and_the_target_directly_before_the_write(world: World, target: Side) -> None:
    if target is Side.CRM:
        world.edit_row(A, value=5)
    else:
        world.crm.put(A, value=5)
    world.run()
    calls = [(who, verb) for who, verb, phase in world.steps if phase == "before" and who != "store"]
    write = calls.index((target.value, "write"))
    assert calls[write - 2 : write] == [(target.other.value, "read"), (target.value, "read")]


def test_a_batched_read_of_sources_is_used_while_it_is_fresh(tmp_path: Path) -> None:
    deals = [f"deal{n:04d}" for n in range(30)]
    world = World(tmp_path).filled(*deals).choose(limits=NO_LIMITS)
    world.crm.latency = 0.3
    for deal in deals:
        world.edit_row(deal, value=5)
    read_at, ages = [0.0], []

    def watch(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("table", "read", "before"):
            read_at[0] = world.clock.now
        elif (who, verb, phase) == ("crm", "write", "before"):
            ages.append(world.clock.now - read_at[0])

    world.hooks.append(watch)
    result = world.run()
    assert len(ages) == 30
    assert max(ages) <= SOURCE_AGE_SECONDS
    assert result.calls[Side.TABLE] == 2 + 4, "30 deals at 0.6 s each: a new read after each 5 s"
    assert result.calls[Side.CRM] == 2 + 30 + 30, "and none in vain"
    world.hooks.clear()
    ends_well(world, (30, 0, 30), *deals)


@pytest.mark.parametrize("side", list(Side))
def test_a_record_that_cannot_be_read_again_is_not_written(world: World, side: Side) -> None:
    world.edit_row(A, value=5)
    failing, id_ = (world.crm, A) if side is Side.CRM else (world.table, world.table.row_of(A))
    failing.faults.unread.add(id_)
    assert world.run().tally.waiting == 1
    assert world.writes() == (0, 0, 0)
    failing.faults.unread.clear()
    world.run()
    ends_well(world, (1, 0, 1), A)


def test_a_record_deleted_in_between_is_not_written(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.put(B, value=6)

    def delete() -> None:
        world.crm.drop(A)
        world.table.drop(world.table.row_of(B))

    after_looking(world, delete)
    world.run()
    assert world.writes() == (0, 0, 0)
    world.run()
    assert world.row(A).cells["value"] == 5, "what was typed stays"
    assert world.table.creates() == [world.table.row_of(B)]
    ends_well(world, (0, 2, 0), B)


def test_a_row_whose_key_was_changed_in_between_is_not_written(world: World) -> None:
    world.crm.put(A, value=5)
    row = world.table.row_of(A)
    after_looking(world, lambda: world.table.put(row, "otherDeal99"))
    world.run()
    assert world.table.rows[row].cells["value"] == 100
    assert world.writes() == (0, 0, 0)


# --- §3.2: only what changes -----------------------------------------------------------------------------------------


def test_a_write_names_only_the_fields_that_change(world: World) -> None:
    world.edit_row(A, value=5, name=" Deal  dealAAA1 ", status="OPEN")
    world.run()
    assert [set(write.changes) for write in world.crm.log] == [{"value"}]
    ends_well(world, (1, 0, 1), A)


def test_a_stage_goes_with_its_pipeline_as_one_trigger(world: World) -> None:
    world.edit_row(A, pipeline="Service", stage="Done")
    world.run()
    assert world.crm.log[0].changes == {"stage": (["p1", "s1"], ["p2", "t2"])}
    ends_well(world, (1, 0, 1), A)


# --- §3.3: intents and acknowledgements ------------------------------------------------------------------------------


def test_before_every_write_its_intent_is_stored(world: World) -> None:
    world.edit_row(A, value=5, status="won")
    world.crm.put(B, name="Roof")
    world.deal(D)
    world.edit_row(C, stage="Nope")
    seen: list[tuple[str, str, tuple[tuple[str, str | None, str | None], ...]]] = []

    def watch(who: str, verb: str, phase: str, _what: object) -> None:
        if verb in ("write", "create") and phase == "before":
            for write in world.store.open_writes():
                changes = tuple((line.field, line.old, line.new) for line in write.changes)
                assert world.clock.now - write.at < 1.0
                seen.append((write.side.value, write.action, changes))

    world.hooks.append(watch)
    world.run()
    new = (("name", None, f"Deal {D}"), ("stage", None, "p1:s1"), ("status", None, "open"), ("value", None, "100"),
           ("owner", None, "u1"), ("source", None, "web"))  # fmt: skip
    sentence = "Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won."
    assert seen == [
        ("crm", "update", (("status", "open", "won"), ("value", "100", "5"))),
        ("table", "update", (("name", f"Deal {B}", "Roof"),)),
        ("table", "create", new),
        ("table", "message", (("sync", None, sentence),)),
    ]
    assert [write.state for write in world.store.history()] == ["done"] * (4 + 3), "with those of the first fill"
    assert world.writes() == (1, 3, 2)


def test_the_shadow_moves_only_with_the_acknowledgement(world: World) -> None:
    world.edit_row(A, value=5)

    def shadow() -> str | None:
        link = world.store.link(A)
        assert link is not None
        return link.agreed()["value"].value

    when(world, "crm", "write", "after", lambda: pytest.fail("moved early") if shadow() != "100" else None)
    world.run()
    assert shadow() == "5"
    ends_well(world, (1, 0, 1), A)


def test_what_the_server_tidied_is_remembered_and_not_sent_again(world: World) -> None:
    world.crm.faults.tidy = lambda name, raw: str(raw).title() if name == "name" else raw
    world.table.faults.tidy = lambda name, raw: round(raw, 1) if name == "value" and isinstance(raw, float) else raw
    world.edit_row(A, name="big roof")
    world.crm.put(B, value=7.25)
    world.run()
    for _ in range(3):
        assert world.run().error == ""
    assert world.writes()[0] <= 1
    assert world.writes()[2] <= 1
    assert world.table.log[0].changes["value"][1] == 7.25
    assert world.writes() == (1, 1, 1), "no ping-pong over a tidied value"


def test_a_person_who_edits_while_the_write_is_under_way_is_not_lost(world: World) -> None:
    """The answer carries what somebody typed after our write: it is their later edit, and travels back."""
    world.edit_row(A, value=5)
    world.crm.faults.tidy = lambda name, raw: 42 if name == "value" else raw
    world.run()
    world.run()
    assert world.row(A).cells["value"] == 42
    ends_well(world, (1, 1, 1), A)


def test_a_value_that_is_taken_and_thrown_away_is_refused_not_repeated(world: World) -> None:
    world.crm.faults.ignores.add("value")
    world.edit_row(A, value=5)
    result = world.run(10)
    assert (result.code, len(result.tally.refusals)) == (3, 1)
    for _ in range(3):
        assert world.run(1).code == 3
    assert world.writes() == (1, 1, 1), "one try, and one sentence in the row"
    assert "kept its value" in world.row(A).message


# --- §3.3 and §3.5: lost answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", list(Side))
@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_lost_answer_to_an_update_is_settled_by_reading(world: World, target: Side, lost: str) -> None:
    if target is Side.CRM:
        world.edit_row(A, value=5)
        world.crm.faults.lost = [lost]
    else:
        world.crm.put(A, value=5)
        world.table.faults.lost = [lost]
    result = world.run()
    assert (result.error, result.unsettled) == ("", 0), "settled in the same pass"
    world.run()
    counts = (1, 0, 1) if target is Side.CRM else (0, 1, 0)
    states = [write.state for write in reversed(world.store.history(deal=A))][1:]
    assert states == (["done"] if lost == "after" else ["not_done", "done"])
    ends_well(world, counts, A)


@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_lost_answer_to_new_rows_makes_no_twofold_row(world: World, lost: str) -> None:
    deals = [f"new{n:05d}" for n in range(12)]
    for deal in deals:
        world.deal(deal)
    world.table.faults.lost = [lost, ""]
    world.run()
    world.run()
    assert len(world.table.rows) == 3 + 12
    assert len(world.table.creates()) == 12
    ends_well(world, (0, 12, 0), *deals)


@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_lost_answer_to_a_message_says_it_once(world: World, lost: str) -> None:
    world.edit_row(A, stage="Nope")
    world.table.faults.lost = [lost]
    world.run()
    world.run()
    assert len(world.table.messages()) == 1
    assert world.writes() == (0, 1, 0)
    assert world.store.open_writes() == []


@pytest.mark.parametrize("target", list(Side))
@pytest.mark.parametrize("lost", ["before", "after"])
def test_an_unsettled_write_holds_its_deal_and_only_that(world: World, target: Side, lost: str) -> None:
    side, id_ = (world.crm, A) if target is Side.CRM else (world.table, world.table.row_of(A))
    if target is Side.CRM:
        world.edit_row(A, value=5)
    else:
        world.crm.put(A, value=5)
    side.faults.lost = [lost]
    when(world, target.value, "write", "after", lambda: side.faults.unread.add(id_))
    result = world.run()
    assert (result.code, result.unsettled) == (1, 1)
    world.edit_row(A, name="Roof")
    world.crm.put(B, status="won")
    result = world.run()
    assert [finding.trouble for finding in result.findings if finding.deal == A] == [Trouble.UNSETTLED]
    assert world.row(B).cells["status"] == "won"
    assert not [write for write in world.crm.log if "name" in write.changes]
    side.faults.unread.clear()
    world.run()
    world.run()
    puts = 1 if (target, lost) == (Side.CRM, "before") else 2  # one that never came goes together with the name
    ends_well(world, (puts, 1, 2) if target is Side.CRM else (1, 2, 1), A, B)


def test_a_stamp_that_a_person_set_after_a_lost_write_is_the_persons(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["after"]

    def edits(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "write", "after"):
            world.clock.advance(10)
            world.edit_row(A, name="Earlier")
            world.clock.advance(10)
            world.crm.put(A, name="Later")

    world.hooks.append(edits)
    world.run()
    world.hooks.clear()
    world.run()
    assert world.row(A).cells["name"] == "Later"
    world.agree(A)


def test_an_edit_of_another_field_explains_the_newer_time_of_a_write_that_never_arrived(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["before"]
    edited: list[bool] = []

    def edit(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "write", "after") and not edited:
            edited.append(True)
            world.clock.advance(10)
            world.crm.put(A, name="Another")

    world.hooks.append(edit)
    world.run()
    world.run()
    assert (world.crm.now(A)["value"], world.row(A).cells["value"]) == (5, 5)  # type: ignore[index]
    assert world.row(A).cells["name"] == "Another"
    world.agree(A)


def test_a_lost_write_of_a_cell_waits_until_the_table_tells_edit_times_again(world: World) -> None:
    world.crm.put(A, value=5)
    world.table.faults.lost = ["before"]
    world.table.clockless = True
    for _ in range(2):
        result = world.run()
        assert (result.code, result.unsettled, world.table.log) == (1, 1, []), "a person may have set it back"
    world.table.clockless = False
    assert world.run().code == 0
    assert world.row(A).cells["value"] == 5
    world.agree(A)


def test_a_lost_row_that_was_copied_meanwhile_is_told_and_not_linked(world: World) -> None:
    world.deal("dealNEW9")
    world.table.faults.lost = ["after"]
    copied: list[bool] = []

    def copy(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("table", "create", "after") and not copied:
            copied.append(True)
            world.table.put("copy", "dealNEW9", name="Copy")

    world.hooks.append(copy)
    world.run()
    assert world.store.link("dealNEW9") is None, "which of the two is the deal's, nobody knows"
    assert world.run().code == 3
    assert len(world.table.creates()) == 1


def test_an_answer_that_shows_the_record_as_it_was_is_no_refusal(world: World) -> None:
    world.edit_row(A, value=5)
    write = world.crm.write

    def behind(patches: Sequence[Patch]) -> list[WriteResult]:
        before = [Written(world.crm.record(patch.id, world.crm.deals[patch.id][-1])) for patch in patches]
        write(patches)
        return list(before)

    world.crm.write = behind  # type: ignore[method-assign]
    result = world.run()
    assert (result.code, result.tally.updated[Side.CRM], world.store.refused()) == (0, 1, [])
    world.agree(A)


def test_a_deal_with_a_lost_write_waits_with_the_rest_of_its_changes(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.put(A, name="Edited")
    world.crm.faults.lost = ["after"]
    result = world.run()
    assert (result.tally.waiting, world.table.updates()) == (1, []), "whose stamp the deal has is not known yet"
    world.run()
    assert world.row(A).cells["name"] == "Edited"
    world.agree(A)


def test_an_edit_after_a_lost_write_is_the_persons_later_edit(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["after"]
    when(world, "crm", "write", "after", lambda: world.crm.put(A, value=9))
    result = world.run()
    assert result.tally.conflicts == 0
    assert world.store.history(deal=A)[0].state == "taken"
    world.run()
    assert world.row(A).cells["value"] == 9
    ends_well(world, (1, 1, 1), A)


def test_a_value_set_back_after_a_lost_write_is_the_persons_later_edit(world: World) -> None:
    """The target holds u, but its clock is later than the intent: it was written and set back."""
    world.edit_row(A, status="won")
    world.crm.faults.lost = ["after"]

    def back() -> None:
        world.clock.advance(1)
        world.crm.put(A, status="open")

    when(world, "crm", "write", "after", back)
    world.run()
    world.run()
    assert world.row(A).cells["status"] == "open"
    ends_well(world, (1, 1, 1), A)


def test_a_cell_set_back_after_a_lost_write_is_the_persons_later_edit(world: World) -> None:
    world.crm.put(A, status="won")
    world.table.faults.lost = ["after"]

    def back() -> None:
        world.clock.advance(3)
        world.edit_row(A, status="open")

    when(world, "table", "write", "after", back)
    world.run()
    world.run()
    assert held(world, A, "status") == "open"
    ends_well(world, (1, 1, 1), A)


def test_an_edit_of_another_field_does_not_settle_a_status(world: World) -> None:
    """The field's own clock says that the lost write never came, whatever updatedAt says."""
    world.edit_row(A, status="won")
    world.crm.faults.lost = ["before"]

    def touch() -> None:
        world.clock.advance(1)
        world.crm.put(A, name="Wall")

    when(world, "crm", "write", "before", touch)
    world.run()
    world.run()
    assert (held(world, A, "status"), world.row(A).cells["name"]) == ("won", "Wall")
    ends_well(world, (1, 1, 1), A)


def test_an_open_intent_is_settled_before_anything_is_planned(world: World) -> None:
    """The pass after a crash carries what was edited since; it does not spend itself on the old write."""
    world.edit_row(A, value=5)

    def die() -> None:
        raise Crash

    when(world, "crm", "write", "after", die)
    with pytest.raises(Crash):
        world.run()
    world.restart()
    world.edit_row(A, name="Roof")
    assert world.run().error == ""
    assert world.crm.triggers == [(A, "value"), (A, "name")]
    ends_well(world, (2, 0, 2), A)


def test_a_found_row_is_compared_and_never_rewritten(world: World) -> None:
    world.deal(D)
    world.table.faults.lost = ["after"]
    when(world, "table", "create", "after", lambda: world.edit_row(D, value=7))
    world.run()
    world.run()
    assert held(world, D, "value") == 7, "typed between the write and its settling"
    ends_well(world, (1, 1, 1), D)


# --- §3.7: refusals --------------------------------------------------------------------------------------------------


def refusing(deal_or_row: str, name: str, sentence: str) -> Callable[[str, str, Mapping[str, Raw]], Refused | None]:
    """A server that refuses one record's field."""

    def refuse(_verb: str, id_: str, changes: Mapping[str, Raw]) -> Refused | None:
        return Refused(sentence) if id_ == deal_or_row and name in changes else None

    return refuse


def attempts(world: World, who: str, verb: str = "write") -> int:
    """Write calls that were begun."""
    return sum(step == (who, verb, "before") for step in world.steps)


def test_one_bad_record_does_not_hold_up_its_batch(world: World) -> None:
    for deal in (A, B, C):
        world.crm.put(deal, value=5)
    world.table.faults.refuse = refusing(world.table.row_of(B), "value", "No.")
    result = world.run()
    assert (result.code, len(result.tally.refusals)) == (3, 1)
    assert [world.row(deal).cells["value"] for deal in (A, B, C)] == [5, 100, 5]
    assert world.writes() == (0, 3, 0)
    assert [(r.deal, r.side) for r in world.store.refused()] == [(B, Side.TABLE)]


def test_a_quarantined_record_is_tried_again_after_growing_pauses(world: World) -> None:
    world.crm.faults.refuse = refusing(A, "value", "The value is too large.")
    world.edit_row(A, value=5)
    tried = []
    for _ in range(100):
        world.steps.clear()
        result = world.run(10)
        assert result.code == 3
        if attempts(world, "crm"):
            tried.append(world.clock.now)
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert [round(pause / FIRST_PAUSE_SECONDS) for pause in pauses] == [1, 2, 4, 8]
    assert world.row(A).message == "The value is too large."
    assert world.writes() == (0, 1, 0), "the sentence is written once"
    world.crm.faults.refuse = lambda _verb, _id, _changes: None
    world.run(1e4)
    world.run()
    assert world.store.refused() == []
    assert world.row(A).message == ""
    ends_well(world, (1, 2, 1), A)


def test_a_quarantined_record_is_tried_at_once_when_its_value_changes(world: World) -> None:
    world.crm.faults.refuse = lambda _v, id_, changes: Refused("Too large.") if changes.get("value") == 5 else None
    world.edit_row(A, value=5)
    world.run(10)
    world.steps.clear()
    world.run(1)
    assert attempts(world, "crm") == 0
    world.edit_row(A, value=6)
    assert world.run(1).code == 0
    assert held(world, A, "value") == 6
    ends_well(world, (1, 2, 1), A)


def test_others_travel_while_one_is_quarantined(world: World) -> None:
    world.crm.faults.refuse = refusing(A, "value", "Too large.")
    world.edit_row(A, value=5)
    world.run(10)
    world.edit_row(B, value=5)
    world.crm.put(A, status="won")
    world.run(10)
    assert (held(world, B, "value"), world.row(A).cells["status"]) == (5, "won")
    assert world.crm.triggers == [(B, "value")]


def test_a_second_record_refused_alike_is_no_records_fault(world: World) -> None:
    """The sentences differ only in what belongs to the record."""
    world.crm.faults.refuse = lambda _v, id_, changes: (
        Refused(f"Field “{changes['value']}” of {id_} is read-only.") if "value" in changes else None
    )
    for n, deal in enumerate((A, B, C)):
        world.edit_row(deal, value=n + 5, name=f"Roof {n}")
    result = world.run(10)
    assert result.code == 3
    assert world.store.refused() == [], "nobody is quarantined"
    assert len(result.tally.suspended) == 1
    assert len(result.tally.refusals) <= 1
    world.crm.faults.refuse = lambda _v, _id, _changes: None
    assert world.run(1).code == 0, "it is tried in every pass"
    assert [held(world, deal, "value") for deal in (A, B, C)] == [5, 6, 7]
    assert len([trigger for trigger in world.crm.triggers if trigger[1] == "value"]) == 3
    assert len([trigger for trigger in world.crm.triggers if trigger[1] == "name"]) == 3
    ends_well(world, (len(world.crm.log), 0, 6), A, B, C)


@pytest.mark.parametrize("target", list(Side))
def test_a_refusal_that_names_a_column_suspends_it_and_the_rest_goes_on(world: World, target: Side) -> None:
    index = [field.name for field in world.fields].index("owner")
    side = world.crm if target is Side.CRM else world.table
    side.faults.refuse = lambda _v, _id, changes: (
        Refused("Owner cannot be written.", frozenset({index}), everyone=True) if "owner" in changes else None
    )
    for deal in (A, B, C):
        if target is Side.CRM:
            world.edit_row(deal, owner="Bob", value=5)
        else:
            world.crm.put(deal, owner="u2", value=5)
    for _ in range(3):
        result = world.run(10)
        assert (result.code, result.tally.suspended) == (3, ["Owner cannot be written."])
        assert world.store.refused() == []
    assert [held(world, deal, "value") for deal in (A, B, C)] == [5, 5, 5]
    assert [world.row(deal).cells["value"] for deal in (A, B, C)] == [5, 5, 5]
    counts = (3, 0, 3) if target is Side.CRM else (0, 3, 0)
    assert world.writes() == counts
    side.faults.refuse = lambda _v, _id, _changes: None
    assert world.run().code == 0
    ends_well(world, (6, 0, 6) if target is Side.CRM else (0, 6, 0), A, B, C)


def test_a_refused_permission_is_tried_once_a_pass(world: World) -> None:
    world.crm.faults.refuse = lambda _v, _id, _c: Refused("This token may not write deals.", everyone=True)
    for deal in (A, B, C):
        world.edit_row(deal, value=5)
    world.crm.put(B, status="won")
    for _ in range(2):
        world.steps.clear()
        result = world.run(10)
        assert (result.code, result.tally.suspended) == (3, ["This token may not write deals."])
        assert attempts(world, "crm") == 1
        assert world.store.refused() == []
    assert world.row(B).cells["status"] == "won", "the other direction goes on"
    assert world.writes() == (0, 1, 0)


def test_making_rows_is_suspended_where_two_are_refused_alike(tmp_path: Path) -> None:
    world = World(tmp_path)
    for n in range(60):
        world.deal(f"deal{n:04d}")
    world.table.faults.refuse = lambda verb, id_, _c: Refused(f"No row for {id_}.") if verb == "create" else None
    for _ in range(2):
        world.steps.clear()
        result = world.run(10)
        assert (result.code, world.store.refused()) == (3, [])
        assert attempts(world, "table", "create") == 1
    world.table.faults.refuse = lambda _v, _id, _c: None
    assert world.run(1).code == 0
    assert world.writes() == (0, 60, 0)


def test_what_was_under_way_is_not_lost_where_the_table_is_down_for_a_call(tmp_path: Path) -> None:
    """Its intents end, those of the answered calls are links, and no call is begun after it."""
    world = World(tmp_path)
    for n in range(60):
        world.deal(f"deal{n:04d}")
    calls: list[str] = []

    def hook(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("table", "create", "before"):
            calls.append(verb)
            world.table.faults.down_on = frozenset(["create"] if len(calls) == 2 else [])

    world.hooks.append(hook)
    result = world.run(10)
    assert (result.error, len(calls)) == ("Airtable does not answer.", 2)
    assert world.store.open_writes() == []
    assert (len(world.store.links()), result.tally.created[Side.TABLE]) == (10, 10)
    assert world.run(10).code == 0
    assert (len(world.table.rows), len(world.table.creates())) == (60, 60)


def test_rows_that_nobody_knows_to_be_made_are_looked_for_in_one_call(tmp_path: Path) -> None:
    world = World(tmp_path)
    for n in range(30):
        world.deal(f"deal{n:04d}")
    world.table.faults.lost = ["after"] * 3
    assert world.run(10).tally.created[Side.TABLE] == 30
    assert attempts(world, "table", "find") == 1
    assert (len(world.table.rows), len(world.table.creates())) == (30, 30)


def test_rows_are_made_without_a_column_that_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path).choose(limits=NO_LIMITS)
    for n in range(25):
        world.deal(f"deal{n:04d}")
    index = [field.name for field in world.fields].index("owner")
    world.table.faults.refuse = lambda _v, _id, changes: (
        Refused("Owner cannot be written.", frozenset({index}), everyone=True) if "owner" in changes else None
    )
    assert world.run(10).code == 3
    assert len(world.table.rows) == 25
    assert {row.cells.get("owner") for row in world.table.rows.values()} == {None}
    world.table.faults.refuse = lambda _v, _id, _c: None
    assert world.run(10).code == 0
    assert {row.cells.get("owner") for row in world.table.rows.values()} == {"Ann"}
    assert world.writes() == (0, 50, 0)


def test_one_refused_row_does_not_hold_up_the_others(world: World) -> None:
    deals = [f"new{n:05d}" for n in range(12)]
    for deal in deals:
        world.deal(deal)
    world.table.faults.refuse = lambda verb, id_, _c: Refused("Bad.") if id_ == deals[3] else None
    assert world.run(10).code == 3
    assert len(world.table.creates()) == 11
    assert world.run(10).code == 3
    world.table.faults.refuse = lambda _v, _id, _c: None
    assert world.run(100).code == 0
    ends_well(world, (0, 12, 0), *deals)


def test_a_gap_that_somebody_fills_before_the_second_look_is_adopted(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A)
    world.edit_row(A, pipeline=None)

    def fill(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("table", "read", "before"):
            world.edit_row(A, pipeline="Sales")

    world.hooks.append(fill)
    assert world.run().error == ""
    world.hooks.clear()
    assert world.writes() == (0, 0, 0)
    world.agree(A)
    assert world.run().code == 0
    assert world.writes() == (0, 0, 0)


# --- P7: killed anywhere ---------------------------------------------------------------------------------------------

Story = Callable[[World], None]


def story_of_edits(world: World) -> None:
    """Edits both ways, a conflict, an equal edit, an unknown stage."""
    world.edit_row(A, value=5, name="Roof")
    world.crm.put(B, status="won")
    world.crm.put(C, status="won")
    world.clock.advance(20)
    world.edit_row(C, status="lost", stage="Nope")
    world.edit_row(B, value=7)


def story_of_records(world: World) -> None:
    """A new deal, a deleted deal, a deleted row, a cleared key."""
    world.deal(D, value=3)
    world.crm.drop(A)
    world.table.drop(world.table.row_of(B))
    world.table.put(world.table.row_of(C), "")


def story_of_faults(world: World) -> None:
    """Lost answers both ways and a lost create."""
    world.deal(D)
    world.edit_row(A, value=5)
    world.crm.put(B, value=6)
    world.crm.faults.lost = ["after"]
    world.table.faults.lost = ["after", "after"]


def story_of_deletions(world: World) -> None:
    """A deal and a row are deleted, and the settings say that the other one goes, too."""
    world.choose(policy=Policy(DealDeleted.DELETE_ROW, RowDeleted.DELETE_DEAL))
    world.crm.drop(A)
    world.table.drop(world.table.row_of(B))
    world.edit_row(C, value=9)


STORIES: dict[str, tuple[Story, Counts]] = {
    "deletions": (story_of_deletions, (2, 1, 1)),
    "edits": (story_of_edits, (3, 2, 4)),
    "records": (story_of_records, (0, 4, 0)),
    "faults": (story_of_faults, (1, 2, 1)),
}


def finish(world: World) -> tuple[object, Counts]:
    """Passes until nothing moves; the end state and what it cost."""
    for _ in range(4):
        assert world.run().error == ""
    assert world.store.open_writes() == []
    return world.state(), world.writes()


def begun(folder: Path, story: Story) -> World:
    """A filled world in which the story has happened, before any pass saw it."""
    world = World(folder).filled(A, B, C)
    story(world)
    world.clear_logs()
    return world


def killed_at(world: World, step: int) -> bool:
    """Runs a pass that dies at this step, and starts the program again; false where the pass has fewer steps."""
    world.steps.clear()
    world.crash_at = step
    try:
        world.run()
    except Crash:
        world.restart()
        return True
    finally:
        world.crash_at = None
    return False


@pytest.mark.parametrize("name", STORIES)
def test_killed_at_any_step_it_ends_as_if_it_had_not_been(
    tmp_path: Path, name: str, record_property: Callable[[str, object], None]
) -> None:
    story, counts = STORIES[name]
    reference = begun(tmp_path / "reference", story)
    wanted = finish(reference)
    assert wanted[1] == counts
    kills = 0
    for step in range(1, 400):
        world = begun(tmp_path / str(step), story)
        if not killed_at(world, step):
            break
        kills += 1
        assert finish(world) == wanted, step
        world.close()
    else:
        pytest.fail("a pass has no end")
    assert kills >= 30, "too few steps to have killed anything of interest"
    record_property("kills at a step", kills)


@pytest.mark.parametrize("name", STORIES)
def test_killed_twice_it_ends_as_if_it_had_not_been(
    tmp_path: Path, name: str, record_property: Callable[[str, object], None]
) -> None:
    story, counts = STORIES[name]
    wanted = finish(begun(tmp_path / "reference", story))
    assert wanted[1] == counts
    kills = 0
    for first in range(11, 90, 7):
        for second in (7, 13, 17, 21, 26):
            world = begun(tmp_path / f"{first}-{second}", story)
            if killed_at(world, first) and killed_at(world, second):
                kills += 1
                assert finish(world) == wanted, (first, second)
            world.close()
    assert kills >= 15
    record_property("pairs of kills", kills)


@pytest.mark.parametrize("name", STORIES)
def test_a_database_that_fails_at_any_commit_stops_the_pass_and_loses_nothing(
    tmp_path: Path, name: str, record_property: Callable[[str, object], None]
) -> None:
    story, _ = STORIES[name]
    wanted = finish(begun(tmp_path / "reference", story))
    for nth in range(1, 60):
        world = begun(tmp_path / str(nth), story)
        commits = [0]

        def full(who: str, _verb: str, phase: str, _what: object, count: list[int] = commits, at: int = nth) -> None:
            if (who, phase) == ("store", "before"):
                count[0] += 1
                if count[0] == at:
                    raise sqlite3.OperationalError("database or disk is full")

        world.hooks.append(full)
        result = world.run()
        world.hooks.clear()
        if commits[0] < nth:
            break
        assert (result.code, "disk is full" in result.error) == (1, True), nth
        assert finish(world) == wanted, nth
        world.close()
    else:
        pytest.fail("a pass has no end")
    assert nth > 8
    record_property("failures of the database", nth - 1)


@pytest.mark.parametrize("name", ["edits", "records"])
@pytest.mark.parametrize("side", list(Side))
def test_a_side_that_goes_down_at_any_call_loses_nothing(
    tmp_path: Path, name: str, side: Side, record_property: Callable[[str, object], None]
) -> None:
    story, _ = STORIES[name]
    wanted = finish(begun(tmp_path / "reference", story))
    for nth in range(1, 60):
        world = begun(tmp_path / str(nth), story)
        failing = world.crm if side is Side.CRM else world.table
        failing.faults.down_from = failing.calls + nth
        result = world.run()
        failing.faults.down_from = None
        if not result.error:
            break
        assert result.code == 1
        assert finish(world) == wanted, nth
        world.close()
    else:
        pytest.fail("a pass has no end")
    assert nth > 3
    record_property("calls at which a side goes down", nth - 1)


def test_what_a_server_has_in_its_own_form_already_is_not_written_again(world: World) -> None:
    """The deal takes the very form into which the table once put its name: the cell shows it (SPEC §3.2)."""
    world.table.faults.tidy = lambda name, raw: str(raw).title() if name == "name" else raw
    world.crm.put(A, name="roof of jo")
    world.run(100)
    world.run()
    assert world.row(A).cells["name"] == "Roof Of Jo"
    world.clear_logs()
    world.crm.put(A, name="Roof Of Jo")
    world.run(100)
    world.run()
    assert world.table.updates() == []
    world.agree(A)


@pytest.mark.parametrize("edited", list(Side))
def test_a_deal_that_left_the_pipelines_in_between_is_neither_written_nor_copied(world: World, edited: Side) -> None:
    if edited is Side.CRM:
        world.crm.put(A, value=5)
    else:
        world.edit_row(A, value=5)
    after_looking(world, lambda: world.crm.put(A, stage=["p3", "a1"]))
    assert world.run().tally.waiting == 1
    assert world.writes() == (0, 0, 0)


@pytest.mark.parametrize("edited", list(Side))
@pytest.mark.parametrize(("key", "carried"), [("otherDeal99", False), ("", True)])
def test_a_row_that_names_another_deal_in_between_is_not_its_row_one_that_names_none_is(
    world: World, edited: Side, key: str, carried: bool
) -> None:
    if edited is Side.CRM:
        world.crm.put(A, value=5)
    else:
        world.edit_row(A, value=5)
    row = world.table.row_of(A)
    after_looking(world, lambda: world.table.put(row, key))
    assert world.run().tally.waiting == int(not carried)
    assert (held(world, A, "value") == world.table.rows[row].cells["value"]) is carried
