"""Settling open intents (SPEC §3.3): what became of each write, by every way in which its target can answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from syncd import carry
from syncd.carry import TAKEN_NOTE, Work, settle
from syncd.judge import ChangeKind
from syncd.model import Raw, Record, Side, Stamp, Value, pack
from syncd.sides import Question
from syncd.store import ChangeLine, Write
from tests.memory import FIELD_NAMES, World
from tests.test_carry import A, B, C
from tests.test_carry_parts import CRM_RAW, GROUND, NAME, ROW_RAW, STAGE, STATUS, VALUE, with_raw, work_of

AT = 1000.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two deals with their rows, agreed on."""
    return World(tmp_path).filled(A, B)


def line(index: int, old: Value, new: Value, target: Raw, source: Raw, clock: float | None = None) -> ChangeLine:
    """What an intent keeps of one field."""
    return ChangeLine(FIELD_NAMES[index], old, new, "", "", ChangeKind.EDIT.value, "why", target, source, clock)


TO_FIVE, TO_WON = line(VALUE, "100", "5", 100, 5), line(STATUS, "open", "won", "open", "won")
TO_SECOND = line(STAGE, "p1:s1", "p1:s2", ["p1", "s1"], ["Sales", "QUALIFIED"])


def intent(*lines: ChangeLine, side: Side = Side.CRM, raws: tuple[Raw, ...] = CRM_RAW, at: float = AT) -> Write:
    """An open intent to write a record that held these raw values."""
    before = pack(FIELD_NAMES, raws)
    return Write(1, None, at, side, "update", A, "row", "Deal", lines, "open", None, "", before)


def deal(index: int = NAME, raw: Raw = "Deal", clock: float | None = None, lacks: Collection[int] = ()) -> Record:
    """A deal in which one field holds something else, last edited at `clock`."""
    clocks = tuple(clock if at == index else None for at in range(len(FIELD_NAMES)))
    return Record(A, with_raw(CRM_RAW, index, raw), clocks=clocks, lacks=frozenset(lacks))


# --- one value -------------------------------------------------------------------------------------------------------


def test_only_fields_that_were_not_written_tell_of_others(world: World) -> None:
    work, write = work_of(world), intent(TO_FIVE)
    assert not carry._others_changed(work, write, deal())
    assert not carry._others_changed(work, write, deal(VALUE, 7))
    assert carry._others_changed(work, write, deal(NAME, "Wall"))
    assert not carry._others_changed(work, write, deal(NAME, "Wall", lacks=[NAME]))
    assert not carry._others_changed(work, replace(write, before="{}"), deal(NAME, "Wall"))


def test_a_field_with_a_clock_of_its_own_is_not_moved_by_others(world: World) -> None:
    work, found = work_of(world), deal(NAME, "Wall")
    assert carry._explained(work, intent(TO_FIVE), TO_FIVE, found)
    assert not carry._explained(work, intent(TO_FIVE), TO_FIVE, deal())
    assert not carry._explained(work, intent(TO_WON), TO_WON, found)


@pytest.mark.parametrize(
    ("clock", "before", "offset", "edited"),
    [
        (AT + 1, 500.0, 0.0, True),
        (501.0, 500.0, 0.0, True),  # against what it showed right before the write, however old that is
        (500.0, 500.0, 0.0, False),
        (499.0, 500.0, 0.0, False),
        (AT, None, 0.0, True),
        (AT - 1, None, 0.0, False),
        (AT - 1, None, 1.0, True),  # in our own seconds
        (AT + 1, None, -2.0, False),
    ],
)
def test_a_clock_tells_whether_it_was_edited_since(
    world: World, clock: float, before: float | None, offset: float, edited: bool
) -> None:
    work = work_of(world)
    work.ground = replace(GROUND, offsets={Side.CRM: offset, Side.TABLE: 99.0})
    one = replace(TO_FIVE, target_clock=before)
    assert carry._edited_since(work, intent(one), one, deal(VALUE, 100, clock)) is edited


def test_a_clock_that_others_moved_tells_nothing(world: World) -> None:
    one = replace(TO_FIVE, target_clock=500.0)
    found = replace(deal(VALUE, 100, 501.0), raw=with_raw(CRM_RAW, NAME, "Wall"))
    assert carry._edited_since(work_of(world), intent(one), one, found) is False


@pytest.mark.parametrize(("low", "edited"), [(None, None), (AT - 1, False), (AT, False), (AT + 0.001, True)])
def test_a_table_is_asked_whether_a_cell_was_edited_since(world: World, low: float | None, edited: bool | None) -> None:
    asked = []

    def answer(questions: list[Question]) -> dict[Question, Stamp]:
        asked.extend(questions)
        return {} if low is None else {one: Stamp(low, low + 1) for one in questions}

    world.table.edited = answer  # type: ignore[assignment,method-assign]
    write = intent(TO_FIVE, side=Side.TABLE, raws=ROW_RAW, at=AT + 0.0004)
    row = Record("row", ROW_RAW, clocks=(None,) * VALUE)  # fewer clocks than fields
    assert carry._edited_since(work_of(world), write, TO_FIVE, row) is edited
    assert asked == [Question("row", VALUE, AT)]


@pytest.mark.parametrize(("then", "edited"), [(None, True), (7.0, True), (0.0, False)])
def test_a_clock_of_ours_that_was_set_since_tells_no_edit(world: World, then: float | None, edited: bool) -> None:
    """It was set forward by seven seconds; against the server's clock the intent is as late as it was."""
    work = work_of(world)
    work.ground = replace(GROUND, offsets={Side.CRM: 7.0, Side.TABLE: 99.0})
    one = replace(TO_FIVE, offset=then)
    assert carry._edited_since(work, intent(one), one, deal(VALUE, 100, AT - 5)) is edited


def test_every_intent_keeps_the_offset_of_its_target(world: World) -> None:
    world.crm.clock_offset, world.table.clock_offset = 3.0, 5.0
    world.edit_row(A, value=7)
    world.crm.put(B, value=8)
    world.deal(C)
    world.run()
    kept = {(write.side, write.action): {one.offset for one in write.changes} for write in world.store.history()[:3]}
    assert kept == {(Side.CRM, "update"): {3.0}, (Side.TABLE, "update"): {5.0}, (Side.TABLE, "create"): {5.0}}


def test_a_table_is_asked_by_the_servers_clock(world: World) -> None:
    """Also where only some of the lines know it; the row's age is measured likewise."""
    asked: list[Question] = []

    def answer(questions: list[Question]) -> dict[Question, Stamp]:
        asked.extend(questions)
        return {}

    world.table.edited = answer  # type: ignore[assignment,method-assign]
    work, one = work_of(world), replace(TO_FIVE, offset=1.0)
    work.ground = replace(GROUND, offsets={Side.CRM: 99.0, Side.TABLE: 7.0})
    carry._edited_since(work, intent(TO_WON, one, side=Side.TABLE, raws=ROW_RAW), one, Record("row", ROW_RAW))
    assert asked == [Question("row", VALUE, AT + 6)]


@pytest.mark.parametrize(("offset", "ours"), [(0.0, False), (100.0, True)])
def test_the_age_of_a_row_is_measured_by_the_servers_clock(world: World, offset: float, ours: bool) -> None:
    """Our clock is set back by 100 s after the intent: a row that was made then seems to be older than it."""
    stored(world, replace(NEW_NAME, offset=offset), side=Side.TABLE, action="create", deal=C)
    world.table.put("new", C, name="ROOF")
    world.table.made_at = lambda id: world.clock.now - 100  # type: ignore[method-assign]
    world.table.edited = lambda questions: {one: Stamp(0.0, one.instant) for one in questions}  # type: ignore[method-assign]
    assert settled(world)[0] == []
    link = world.store.link(C)
    assert link is not None
    assert ("name" in link.agreed()) is ours


def test_a_deal_without_times_was_not_edited(world: World) -> None:
    world.crm.edited = lambda questions: {}  # type: ignore[method-assign]
    assert carry._edited_since(work_of(world), intent(TO_FIVE), TO_FIVE, Record(A, CRM_RAW)) is False


@pytest.mark.parametrize(
    ("one", "found", "fate"),
    [
        (TO_FIVE, deal(VALUE, 5, AT + 9), "done"),
        (TO_FIVE, deal(VALUE, "5.00", AT + 9), "done"),
        (TO_FIVE, deal(VALUE, 100, AT - 9), "not_done"),
        (TO_FIVE, deal(VALUE, 100, AT + 9), "taken"),
        (TO_FIVE, deal(VALUE, 42, AT - 9), "taken"),
        (TO_FIVE, deal(VALUE, 5, lacks=[VALUE]), "taken"),
        (TO_SECOND, deal(STAGE, ["p1", "s2"]), "done"),
        (TO_SECOND, deal(STAGE, ["p1", "s1"], AT - 9), "not_done"),
        (TO_SECOND, deal(STAGE, ["p2", "t1"], AT - 9), "taken"),
    ],
)
def test_what_became_of_a_value_in_the_crm(world: World, one: ChangeLine, found: Record, fate: str) -> None:
    assert carry._fate(work_of(world), intent(one), one, found) == fate


def test_what_became_of_a_value_in_the_table(world: World) -> None:
    work = work_of(world)
    stage = line(STAGE, "p1:s1", "p1:s2", [None, "New"], ["p1", "s2"])
    write = intent(stage, side=Side.TABLE, raws=ROW_RAW)

    def fate(cells: Raw) -> str:
        return carry._fate(work, write, stage, Record("row", with_raw(ROW_RAW, STAGE, cells)))

    world.table.edited = lambda questions: {one: Stamp(0.0, one.instant) for one in questions}  # type: ignore[method-assign]
    assert fate([None, "qualified"]) == "done", "in the pipeline of what was written"
    assert fate([None, "NEW"]) == "not_done", "in the pipeline of what stood there"
    assert fate([None, "Nope"]) == "taken"
    world.table.edited = lambda questions: {}  # type: ignore[method-assign]
    assert fate([None, "New"]) == "undated"


def test_a_new_name_that_is_not_there_was_not_written(world: World) -> None:
    """Nobody has to be asked when that cell was edited: the value is the same under both names."""
    rename = replace(line(STAGE, "p1:s1", "p1:s1", ["Sales", "Old"], None), kind=ChangeKind.RENAME.value)
    write = intent(rename, side=Side.TABLE, raws=ROW_RAW)
    world.table.clockless = True
    row = Record("row", with_raw(ROW_RAW, STAGE, ["Sales", "Old"]))
    assert carry._fate(work_of(world), write, rename, row) == "not_done"


# --- whole writes ----------------------------------------------------------------------------------------------------


def stored(
    world: World, *lines: ChangeLine, side: Side = Side.CRM, action: str = "update", deal: str = A, row: str = ""
) -> int:
    """An open intent in the store, for a deal and its row as they are."""
    row = row or (world.table.row_of(deal) if deal in (A, B) else "")
    held = world.crm.deals.get(deal)
    before = pack(FIELD_NAMES, world.crm.record(deal, held[-1]).raw if held and side is Side.CRM else ROW_RAW)
    with world.store.tx():
        return world.store.intend(None, world.clock.now, side, action, deal, row, "Deal", lines, before)


def settled(world: World, work: Work | None = None) -> tuple[list[int], dict[int, tuple[str, str]]]:
    """Which are still open, and how the others ended."""
    begun = {write.id for write in world.store.open_writes()}
    left = settle(work or work_of(world))
    ended = {one.id: (one.state, one.note) for one in world.store.history() if one.id in begun}
    still = [one for one, (state, _) in ended.items() if state == "open"]
    assert sorted(one.id for one in left) == sorted(still)
    return sorted(still), {id: end for id, end in ended.items() if id not in still}


def agreed(world: World, deal: str, name: str) -> tuple[Value, Raw, Raw]:
    """The shadow of one field."""
    link = world.store.link(deal)
    assert link is not None
    one = link.agreed()[name]
    return one.value, one.crm, one.table


def test_each_field_of_a_write_has_its_own_fate(world: World) -> None:
    """The first never came, the second is there, the third was changed since: together the write counts as taken."""
    world.clock.advance(100)
    write = stored(world, TO_SECOND, TO_WON, TO_FIVE)
    world.crm.put(A, status="won", value=42)
    work = work_of(world)
    assert settled(world, work) == ([], {write: ("taken", TAKEN_NOTE)})
    assert agreed(world, A, "stage") == ("p1:s1", ["p1", "s1"], ["Sales", "New"])
    assert agreed(world, A, "status") == ("won", "won", "won")
    assert agreed(world, A, "value") == ("5", 5, 5)
    assert work.tally.updated == {Side.CRM: 1, Side.TABLE: 0}


def test_a_deal_that_was_moved_since_counts_as_written(world: World) -> None:
    world.clock.advance(100)
    write = stored(world, TO_SECOND)
    world.crm.put(A, stage=["p2", "t1"])
    work = work_of(world)
    assert settled(world, work) == ([], {write: ("taken", TAKEN_NOTE)})
    assert agreed(world, A, "stage") == ("p1:s2", ["p1", "s2"], ["Sales", "QUALIFIED"])
    assert work.tally.updated == {Side.CRM: 0, Side.TABLE: 0}


def test_a_write_of_which_one_field_is_there_is_done(world: World) -> None:
    world.clock.advance(100)
    write = stored(world, TO_SECOND, TO_WON)
    world.crm.put(A, status="Won")
    assert settled(world) == ([], {write: ("done", "")})
    assert agreed(world, A, "status") == ("won", "Won", "won")
    link = world.store.link(A)
    assert link is not None
    assert link.own[-1] == world.crm.deals[A][-1].stamp


def test_a_stamp_that_a_person_set_since_is_not_our_own(world: World) -> None:
    world.clock.advance(100)
    write = stored(world, TO_WON)
    world.crm.put(A, status="won", name="Wall")
    assert settled(world) == ([], {write: ("done", "")})
    link = world.store.link(A)
    assert link is not None
    assert link.own == ()


def test_a_row_that_holds_what_was_written_is_done(world: World) -> None:
    world.clock.advance(100)
    write = stored(world, line(VALUE, "100", "5", 100, 5.0), side=Side.TABLE)
    world.edit_row(A, value="5.00")
    work = work_of(world)
    before = world.store.link(A)
    assert settled(world, work) == ([], {write: ("done", "")})
    assert agreed(world, A, "value") == ("5", 5.0, "5.00")
    assert work.tally.updated == {Side.CRM: 0, Side.TABLE: 1}
    link = world.store.link(A)
    assert before is not None
    assert link is not None
    assert link.own == before.own, "a row's write dates no deal"


def test_a_row_that_was_changed_since_counts_as_written(world: World) -> None:
    world.clock.advance(100)
    write = stored(world, line(STAGE, "p1:s1", "p1:s2", ["Sales", "New"], ["p1", "s2"]), side=Side.TABLE)
    world.edit_row(A, stage="Closed Won")
    assert settled(world) == ([], {write: ("taken", TAKEN_NOTE)})
    assert agreed(world, A, "stage") == ("p1:s2", ["p1", "s2"], ["Sales", "Qualified"])


def test_a_write_whose_record_or_link_is_gone_never_came(world: World) -> None:
    gone, unlinked = stored(world, TO_FIVE), stored(world, TO_FIVE, deal=B)
    world.crm.drop(A)
    with world.store.tx():
        world.store.forget([B])
    note = "the record is gone"
    assert settled(world) == ([], {gone: ("not_done", note), unlinked: ("not_done", note)})


def test_what_cannot_be_read_or_dated_stays_open(world: World) -> None:
    unread, undated = stored(world, TO_FIVE), stored(world, line(VALUE, "100", "5", 100, 5), side=Side.TABLE, deal=B)
    world.crm.faults.unread.add(A)
    world.table.clockless = True
    assert settled(world) == ([unread, undated], {})


def test_a_key_that_was_put_back_is_settled_without_a_shadow(world: World) -> None:
    write = stored(world, replace(TO_FIVE, field="id", new=A), side=Side.TABLE)
    assert settled(world) == ([], {write: ("done", "")})


def test_a_message_is_settled_by_what_stands_there(world: World) -> None:
    rows = [world.table.row_of(deal) for deal in (A, B)]
    world.table.rows[rows[0]].message = "Look here."
    world.store.put_messages(dict.fromkeys(rows, "Before."))
    told, gone = (stored(world, side=Side.TABLE, action="message", deal=deal) for deal in (A, B))
    world.table.drop(rows[1])
    assert settled(world) == ([], {told: ("taken", ""), gone: ("taken", "")})
    assert world.store.messages() == {rows[0]: "Look here."}


def test_a_deletion_is_settled_by_whether_the_record_is_there(world: World) -> None:
    gone, there = stored(world, action="delete"), stored(world, side=Side.TABLE, action="delete", deal=B)
    world.crm.drop(A)
    work = work_of(world)
    assert settled(world, work) == ([], {gone: ("done", ""), there: ("not_done", "")})
    assert list(world.store.links()) == [B]
    assert work.tally.deleted == {Side.CRM: 1, Side.TABLE: 0}
    unread = stored(world, action="delete", deal=B)
    world.crm.faults.unread.add(B)
    assert settled(world) == ([unread], {})


@pytest.mark.parametrize(("rows", "end"), [(0, ("not_done", "")), (1, ("done", "")), (2, ("taken", ""))])
def test_a_new_row_is_looked_for_by_its_key(world: World, rows: int, end: tuple[str, str]) -> None:
    write = stored(world, replace(TO_WON, old=None, source_raw="won"), side=Side.TABLE, action="create", deal=C)
    for n in range(rows):
        world.table.put(f"new{n}", C, status="WON", name="Typed")
    work = work_of(world)
    assert settled(world, work) == ([], {write: end})
    assert work.tally.created == {Side.CRM: 0, Side.TABLE: int(rows == 1)}
    if rows == 1:
        link = world.store.link(C)
        assert link is not None
        assert (link.row, link.title, link.seen) == ("new0", "Deal", None)
        assert agreed(world, C, "status") == ("won", "won", "WON")
        assert "name" not in link.agreed(), "nobody wrote that"
        assert agreed(world, C, "value") == ("0", None, None), "blank and 0 are one"


def test_a_cell_that_was_cleared_since_is_not_agreed_on(world: World) -> None:
    new = [replace(TO_FIVE, old=None), replace(TO_WON, old=None)]
    stored(world, *new, side=Side.TABLE, action="create", deal=C)
    world.table.put("new", C, status="won")
    settled(world)
    link = world.store.link(C)
    assert link is not None
    assert "value" not in link.agreed()
    assert agreed(world, C, "status") == ("won", "won", "won")


NEW_NAME = replace(line(NAME, None, "Roof", None, "Roof"), shown_new="Former", sent="Roof")


@pytest.mark.parametrize(
    ("made", "later", "is_ours"),
    [
        (None, None, True),  # the table does not tell when a row was made
        (-2.1, None, False),  # the row was there before the write: no server put our value into its form
        (-2.0, 0.0, True),
        (0.12345, 0.0, True),
        (0.12345, -5.0, True),
        (0.12345, 0.5, False),  # it was typed after the row was made
        (0.0, None, None),  # nobody can tell: it waits
    ],
)
def test_a_spelling_in_a_row_that_was_made_is_the_servers_or_a_persons(
    world: World, made: float | None, later: float | None, is_ours: bool | None
) -> None:
    now = world.clock.now
    write = stored(world, NEW_NAME, side=Side.TABLE, action="create", deal=C)
    world.table.put("new", C, name="ROOF")
    asked: list[Question] = []

    def answer(questions: list[Question]) -> dict[Question, Stamp]:
        asked.extend(questions)
        return {} if later is None else {one: Stamp(one.instant + later, one.instant + later) for one in questions}

    world.table.edited = answer  # type: ignore[assignment,method-assign]
    world.table.made_at = lambda id: None if made is None or id != "new" else now + made  # type: ignore[method-assign]
    assert settled(world) == (([write], {}) if is_ours is None else ([], {write: ("done", "")}))
    known = made is None or made < -2.0
    assert asked == ([] if known else [Question("new", NAME, round(now + (made or 0.0) + 1.0, 3))])
    link = world.store.link(C)
    if is_ours is None:
        assert link is None
        return
    assert link is not None
    if is_ours:
        assert agreed(world, C, "name") == ("Roof", "Roof", "ROOF")
        assert link.agreed()["name"].label == "Former", "as it was called when it was written"
    else:
        assert "name" not in link.agreed()


def test_what_was_written_is_known_again_by_the_names_of_its_time() -> None:
    """A stage was written by its name; meanwhile that name belongs to another one."""
    codec = GROUND.codecs[STAGE]
    one = replace(line(STAGE, "p1:s1", "p1:s2", None, None), sent=["Sales", "New"])
    assert carry._as_sent(codec, Side.TABLE, one, ["Sales", "New"])
    assert carry._as_sent(codec, Side.TABLE, one, ["Sales", "Qualified"]), "or by those of now"
    assert not carry._as_sent(codec, Side.TABLE, one, ["Service", "New"])
    assert not carry._as_sent(codec, Side.TABLE, replace(one, sent=None), ["Sales", "New"])
    assert not carry._as_sent(codec, Side.CRM, one, ["p1", "s1"])
    assert carry._as_sent(codec, Side.CRM, one, ["p1", "s2"])


def test_a_stage_that_arrived_is_called_as_it_was_when_it_was_written(world: World) -> None:
    stage = replace(line(STAGE, "p1:s1", "p1:s2", ["Sales", "New"], ["p1", "s2"]), shown_new="Former")
    write = stored(world, stage, side=Side.TABLE)
    world.edit_row(A, stage="Qualified")
    assert settled(world) == ([], {write: ("done", "")})
    link = world.store.link(A)
    assert link is not None
    assert (link.agreed()["stage"].value, link.agreed()["stage"].label) == ("p1:s2", "Former")


def test_a_new_row_that_cannot_be_looked_for_stays_open(world: World) -> None:
    write = stored(world, TO_WON, side=Side.TABLE, action="create", deal=C)
    world.table.find = lambda partners: {}  # type: ignore[method-assign]
    assert settled(world) == ([write], {})


def test_new_deals_are_settled_elsewhere(world: World) -> None:
    stored(world, TO_WON, side=Side.CRM, action="create", deal="", row="row9")
    assert settle(work_of(world)) == []
    assert len(world.store.open_writes()) == 1


def test_nothing_is_read_where_nothing_is_open(world: World) -> None:
    world.clear_logs()
    assert settle(work_of(world)) == []
    assert world.steps == []


def test_a_line_of_a_field_that_is_no_longer_synced_is_left_out(world: World) -> None:
    write = stored(world, replace(TO_FIVE, field="phone"), TO_WON)
    world.crm.put(A, status="won")
    assert settled(world) == ([], {write: ("done", "")})
