"""The parts of carrying by themselves (found by mutants, tests/mutation): what is fresh, what counts as our value,
which stamps are our own, which refusals are alike."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from syncd import carry
from syncd.carry import FORM_TRIES, SOURCE_AGE_SECONDS, Ready, Work, advanced, own_write, returned_raw
from syncd.carry_rows import carry_new_rows
from syncd.judge import Change, ChangeKind, Ground
from syncd.model import ABSENT, Link, Raw, Record, Side, Value
from syncd.plan import NewRow, Update, fingerprint
from syncd.sides import Later, Lost, NewRecord, ReadResult, RecordSide, Refused, SideDown, WriteResult, Written
from syncd.store import Store
from syncd.values import MoneyCodec, codec_for
from tests.memory import COLUMNS, FIELD_NAMES, VOCABULARY, Clock, World, field_of
from tests.test_carry import A, B

NAME, STAGE, STATUS, VALUE, OWNER, SOURCE = range(6)
FIELDS = tuple(field_of(name) for name in FIELD_NAMES)
CODECS = tuple(codec_for(name, COLUMNS, VOCABULARY, {}) for name in FIELD_NAMES)
GROUND = Ground(FIELDS, CODECS, {Side.CRM: "HighLevel", Side.TABLE: "Airtable"})
CRM_RAW: tuple[Raw, ...] = ("Deal", ["p1", "s1"], "open", 100, "u1", "web")
ROW_RAW: tuple[Raw, ...] = ("Deal", ["Sales", "New"], "open", 100, "Ann", "web")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two deals with their rows, agreed on."""
    return World(tmp_path).filled(A, B)


def work_of(world: World) -> Work:
    """What carrying needs, for this world."""
    return Work(GROUND, {Side.CRM: world.crm, Side.TABLE: world.table}, world.store, None, world.clock)


def change(index: int, old: Value, new: Value, target: Raw, source: Raw, to: Side = Side.CRM) -> Change:
    """A planned change."""
    return Change(index, to, old, new, ChangeKind.EDIT, "", target, source)


def update(*changes: Change, deal: str = A) -> Update:
    """An update of a deal, or of its row."""
    return Update(changes[0].target, deal, f"row-{deal}", "Deal", changes)


def with_raw(raws: tuple[Raw, ...], index: int, raw: Raw) -> tuple[Raw, ...]:
    """Raw values with another one at this place."""
    return (*raws[:index], raw, *raws[index + 1 :])


# --- sources ---------------------------------------------------------------------------------------------------------


@dataclass
class Reads:
    """A side that only tells which reads were asked of it."""

    read_batch: int = 3
    asked: list[tuple[list[str], list[int]]] = field(default_factory=list)

    def read(self, ids: Sequence[str], *, needed: Collection[int] | None = None) -> dict[str, ReadResult]:
        """Every record is gone."""
        assert needed is not None
        self.asked.append((list(ids), sorted(needed)))
        return dict.fromkeys(ids, ABSENT)


def sources(updates: Sequence[Update], clock: Clock) -> tuple[carry._Sources, Reads]:
    """Sources for updates towards the CRM; what is read are rows."""
    side = Reads()
    work = Work(GROUND, {}, cast(Store, None), None, clock)
    return carry._Sources(work, cast("RecordSide", side), updates), side


def test_sources_are_read_ahead_and_used_while_they_are_fresh() -> None:
    clock = Clock()
    updates = [update(change(at % 3, "1", "2", 1, 2), deal=f"d{at}") for at in range(5)]
    of, side = sources(updates, clock)
    assert list(of.of(updates[:1], 0)) == ["row-d0"]
    assert side.asked == [(["row-d0", "row-d1", "row-d2"], [0, 1, 2])], "so many as one call can name"
    clock.advance(SOURCE_AGE_SECONDS)
    of.of(updates[1:2], 1)
    assert len(side.asked) == 1, "exactly that old is fresh"
    of.of(updates[3:4], 3)
    assert side.asked[1:] == [(["row-d3", "row-d4"], [0, 1])], "it was not read yet"
    clock.advance(SOURCE_AGE_SECONDS + 0.01)
    of.of(updates[4:5], 4)
    assert side.asked[2:] == [(["row-d4"], [1])], "too old"


def test_a_batch_larger_than_a_read_is_read_whole() -> None:
    updates = [update(change(NAME, "1", "2", 1, 2), deal=f"d{at}") for at in range(5)]
    of, side = sources(updates, Clock())
    of.of(updates, 0)
    assert side.asked == [([f"row-d{at}" for at in range(5)], [NAME])]


def test_new_names_need_no_source() -> None:
    rename = replace(change(STAGE, "1", "1", 1, 1), kind=ChangeKind.RENAME)
    updates = [update(rename, deal="d0"), update(change(NAME, "1", "2", 1, 2), deal="d1")]
    of, side = sources(updates, Clock())
    assert list(of.of(updates, 0)) == ["row-d1"]
    assert side.asked == [(["row-d1"], [NAME, STAGE])]
    none, unasked = sources(updates[:1], Clock())
    assert none.of(updates[:1], 0) == {}
    assert unasked.asked == []


# --- what counts as our value ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "returned", "alike"),
    [
        ("Big Roof", "big  roof", False),  # white space is no tidying that a text keeps
        ("Big Roof", "BIG ROOF", True),
        ("x" * 25, "x" * 20, True),
        ("x" * 25, "x" * 19, False),  # too short to be a part that was kept
        ("x" * 25, "y" * 20, False),
        ("short", "shor", False),
    ],
)
def test_a_text_may_come_back_in_another_case_or_cut_off(sent: str, returned: str, alike: bool) -> None:
    assert carry._normalised(CODECS[NAME], sent, returned) is (alike or returned == "big  roof")


@pytest.mark.parametrize(
    ("sent", "returned", "alike"),
    [
        ("7.2549", "7", True),
        ("7.2549", "7.3", True),
        ("7.2549", "7.25", True),
        ("7.2549", "7.255", True),
        ("7.25496", "7.255", True),
        ("7.25496", "7.2550", True),
        ("7.12344", "7.1234", False),  # four decimals are no tidying
        ("7.25", "8", False),
        ("7.25", "42", False),
    ],
)
def test_a_number_may_come_back_with_fewer_decimals(sent: str, returned: str, alike: bool) -> None:
    assert carry._normalised(MoneyCodec(6), sent, returned) is alike


CUT = "a-name-that-is-much-too-long-for-that-column"


@pytest.mark.parametrize(
    ("index", "side", "raw", "new", "kept"),
    [
        (VALUE, Side.CRM, 5.0, "5", 5.0),
        (VALUE, Side.CRM, 42, "5", 5),  # somebody's later edit: it must look like one
        (VALUE, Side.TABLE, "5.00", "5", "5.00"),
        (VALUE, Side.TABLE, None, "5", 5),
        (NAME, Side.TABLE, "ROOF", "Roof", "ROOF"),
        (NAME, Side.CRM, "Wall", "Roof", "Roof"),
        (NAME, Side.TABLE, CUT[:20], CUT, CUT[:20]),
        (STAGE, Side.CRM, ["p1", "s2"], "p1:s2", ["p1", "s2"]),
        (STAGE, Side.CRM, ["p1", "s1"], "p1:s2", ["p1", "s2"]),
        (STAGE, Side.TABLE, [None, "qualified"], "p1:s2", [None, "qualified"]),
        (STAGE, Side.TABLE, ["Sales", "Nope"], "p1:s2", ["Sales", "Qualified"]),
        (OWNER, Side.TABLE, "ann", "u1", "ann"),
        (OWNER, Side.TABLE, None, "u1", "Ann"),
        (OWNER, Side.CRM, "u2", None, None),
        (SOURCE, Side.TABLE, "web", None, None),
    ],
)
def test_what_a_server_returned_is_kept_where_it_is_our_value(
    index: int, side: Side, raw: Raw, new: Value, kept: Raw
) -> None:
    assert returned_raw(CODECS[index], side, new, raw) == kept


@pytest.mark.parametrize(
    ("index", "cell", "value", "holds"),
    [
        (VALUE, "5.00", "5", True),
        (VALUE, 6, "5", False),
        (VALUE, 7.2, "7.25", True),
        (NAME, "ROOF", "Roof", True),
        (NAME, "Wall", "Roof", False),
        (NAME, None, "Roof", False),
        (NAME, "Roof", None, False),
        (NAME, None, None, False),  # blank is no form of a text
        (STAGE, [None, "new"], "p1:s1", True),  # in the pipeline of what it should hold
        (STAGE, ["Sales", "Nope"], "p1:s1", False),
        (OWNER, "Nobody", None, False),
    ],
)
def test_a_cell_holds_its_value_or_a_tidied_form(index: int, cell: Raw, value: Value, holds: bool) -> None:
    assert carry._in_form(CODECS[index], cell, value) is holds


# --- ignored writes --------------------------------------------------------------------------------------------------


def test_a_write_is_ignored_only_where_the_old_value_still_stands(world: World) -> None:
    work = work_of(world)
    edit = change(VALUE, "100", "5", 100, 5)

    def ignored(one: Change, raw: Raw, lacks: Collection[int] = ()) -> bool:
        record = Record(A, with_raw(CRM_RAW, one.index, raw), lacks=frozenset(lacks))
        return carry._ignored(work, Side.CRM, one, record)

    assert ignored(edit, 100)
    assert not ignored(edit, 5)
    assert not ignored(edit, 42)
    assert not ignored(edit, 100, [VALUE])  # nobody knows
    assert ignored(replace(edit, kind=ChangeKind.RENAME), 100)  # a new name may be thrown away as well
    assert not ignored(replace(edit, new="100"), 100)  # it holds our value


def test_a_stage_that_stands_there_already_is_not_ignored(world: World) -> None:
    """A blank Pipeline is filled: the Stage cell means the new value before the write as after it."""
    fill = change(STAGE, None, "p1:s1", [None, "New"], ["p1", "s1"], Side.TABLE)
    row = Record("row", with_raw(ROW_RAW, STAGE, [None, "New"]))
    assert not carry._ignored(work_of(world), Side.TABLE, fill, row)
    nowhere = replace(fill, new="p2:t2")
    assert carry._ignored(work_of(world), Side.TABLE, nowhere, row)


@pytest.mark.parametrize(
    ("held", "other", "before", "taken"),
    [
        ("roof", 5, FORM_TRIES, True),
        ("roof", 5, FORM_TRIES - 1, False),
        ("Wall", 5, FORM_TRIES, False),
        ("roof", 6, FORM_TRIES, False),  # all of them must be alike
        (None, 5, FORM_TRIES, False),
    ],
)
def test_a_form_is_taken_for_that_value_after_several_tries(
    world: World, held: Raw, other: Raw, before: int, taken: bool
) -> None:
    work = work_of(world)
    changes = [change(NAME, "roof", "ROOF", held, "ROOF"), change(VALUE, "5", "5.2", other, 5.2)]
    for _ in range(before):
        write_id = world.store.intend(None, 1.0, Side.CRM, "update", A, "row", "", [])
        world.store.end(write_id, 2.0, "refused", note="HighLevel took the write but kept its name, value.")
    record = Record(A, with_raw(with_raw(CRM_RAW, NAME, held), VALUE, other))
    assert carry._takes_its_form(work, Side.CRM, changes, record) is taken
    assert not carry._takes_its_form(work, Side.TABLE, changes, record), "refusals of the other side do not count"


def test_a_stage_has_one_form_only(world: World) -> None:
    work = work_of(world)
    for note in ("HighLevel took the write but kept its stage.", "Airtable took the write but kept its owner."):
        for _ in range(FORM_TRIES):
            side = Side.CRM if note.startswith("High") else Side.TABLE
            write_id = world.store.intend(None, 1.0, side, "update", A, "row", "", [])
            world.store.end(write_id, 2.0, "refused", note=note)
    stage = change(STAGE, "p1:s1", "p1:s2", ["p1", "s1"], ["Sales", "Qualified"])
    assert not carry._takes_its_form(work, Side.CRM, [stage], Record(A, CRM_RAW))
    owner = change(OWNER, "u1", None, "Ann", None, Side.TABLE)
    assert not carry._takes_its_form(work, Side.TABLE, [owner], Record("row", ROW_RAW))


# --- acknowledgements ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", list(Side))
def test_what_an_answer_does_not_tell_is_taken_as_written(world: World, side: Side) -> None:
    work, link = work_of(world), world.store.link(A)
    assert link is not None
    to_crm = side is Side.CRM
    seen: Raw = ["Sales", "Qualified"] if to_crm else ["p1", "s2"]
    planned = change(STAGE, "p1:s1", "p1:s2", (CRM_RAW if to_crm else ROW_RAW)[STAGE], seen, side)
    record = Record(A, CRM_RAW if to_crm else ROW_RAW, lacks=frozenset({STAGE}))
    ready = Ready(update(planned), None, record)
    agreed = carry.acknowledged(work, side, link, ready, record).agreed()["stage"]
    assert (agreed.value, agreed.crm, agreed.table) == ("p1:s2", ["p1", "s2"], ["Sales", "Qualified"])


def test_what_the_source_showed_at_the_second_look_is_kept(world: World) -> None:
    work, link = work_of(world), world.store.link(A)
    assert link is not None
    planned = change(VALUE, "100", "5", 100, 5)
    source = Record("row", with_raw(ROW_RAW, VALUE, "5.00"))
    answer = Record(A, with_raw(CRM_RAW, VALUE, 5), stamp=7.0)
    agreed = carry.acknowledged(work, Side.CRM, link, Ready(update(planned), source, answer), answer).agreed()["value"]
    assert (agreed.crm, agreed.table) == (5, "5.00")


LINK = Link(A, "row", seen=10.0, seen_at=1.0, own=(8.0, 9.0), foreign=7.0)


def test_the_stamps_of_an_own_write_date_nobodys_edit() -> None:
    clocks = (13.0, None, 12.0, 14.0)
    made = own_write(LINK, Record(A, (), stamp=14.0, clocks=clocks), [0, 1, 2, 4], 99.0)
    assert made == replace(LINK, seen=14.0, seen_at=99.0, own=(8.0, 9.0, 12.0, 13.0, 14.0))
    again = own_write(made, Record(A, (), stamp=14.0, clocks=clocks), [0], 100.0)
    assert again == made
    many = own_write(replace(LINK, own=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)), Record(A, (), stamp=11.0), [0], 99.0)
    assert many.own == (2.0, 3.0, 4.0, 5.0, 6.0, 11.0)


def test_an_answer_without_stamps_moves_none() -> None:
    assert own_write(LINK, Record(A, ()), [0], 99.0) == LINK
    assert own_write(LINK, Record(A, (), clocks=(12.0,)), [0], 99.0) == replace(LINK, own=(8.0, 9.0, 12.0))


@pytest.mark.parametrize(
    ("stamp", "wanted"),
    [
        (9.0, LINK),
        (10.0, LINK),
        (11.0, replace(LINK, seen=11.0, seen_at=99.0, foreign=11.0)),
    ],
)
def test_stamps_move_forward_only(stamp: float, wanted: Link) -> None:
    assert advanced(LINK, stamp, 99.0) == wanted
    assert advanced(replace(LINK, seen=None), 8.0, 99.0) == replace(LINK, seen=8.0, seen_at=99.0)


# --- the second look -------------------------------------------------------------------------------------------------


def test_what_a_read_does_not_tell_is_held(world: World) -> None:
    work = work_of(world)
    one = update(change(VALUE, "100", "5", 100, 5), change(STATUS, "open", "won", "open", "won"))
    source = Record("row", with_raw(with_raw(ROW_RAW, VALUE, 5), STATUS, "won"))
    target = Record(A, CRM_RAW)
    whole = carry.recheck(work, one, source, target)
    assert whole is not None
    assert (whole.update, whole.source, whole.target) == (one, source, target)
    assert work.tally.waiting == 0
    for blind in (
        (replace(source, lacks=frozenset({VALUE})), target),
        (source, replace(target, lacks=frozenset({VALUE}))),
    ):
        rest = carry.recheck(work, one, *blind)
        assert rest is not None
        assert [change.index for change in rest.update.changes] == [STATUS]
    assert work.tally.waiting == 2


def test_a_suspended_column_is_held(world: World) -> None:
    work = work_of(world)
    work.suspended[Side.CRM].add(VALUE)
    work.suspended[Side.TABLE].add(STATUS)
    one = update(change(VALUE, "100", "5", 100, 5), change(STATUS, "open", "won", "open", "won"))
    source = Record("row", with_raw(with_raw(ROW_RAW, VALUE, 5), STATUS, "won"))
    rest = carry.recheck(work, one, source, Record(A, CRM_RAW))
    assert rest is not None
    assert [change.index for change in rest.update.changes] == [STATUS]


@pytest.mark.parametrize(
    ("clock", "planned", "again"),
    [(11.0, 10.0, True), (10.0, 10.0, False), (9.0, 10.0, False), (None, 10.0, False), (11.0, None, False)],
)
def test_a_loser_with_a_later_time_was_edited_again(clock: float | None, planned: float | None, again: bool) -> None:
    conflict = replace(change(VALUE, "100", "5", 100, 5), target_clock=planned)
    clocks = (None, None, None, clock)
    assert carry._edited_again(conflict, Record(A, CRM_RAW, clocks=clocks)) is again
    assert not carry._edited_again(conflict, Record(A, CRM_RAW, clocks=clocks[:VALUE]))


@pytest.mark.parametrize(
    ("kind", "clock", "raw", "anew"),
    [
        (ChangeKind.CONFLICT, None, 0, True),
        (ChangeKind.CONFLICT, None, None, False),
        (ChangeKind.CONFLICT, 10.0, 0, False),
        (ChangeKind.EDIT, None, 0, False),
    ],
)
def test_a_loser_in_another_form_was_typed_anew(kind: ChangeKind, clock: float | None, raw: Raw, anew: bool) -> None:
    loser = replace(change(VALUE, "0", "5", None, 5, Side.TABLE), kind=kind, target_clock=clock)
    assert carry._typed_anew(loser, Record("row", with_raw(ROW_RAW, VALUE, raw))) is anew


def test_a_pair_of_raw_values_stands_in_one_order(world: World) -> None:
    to_table, to_crm = (change(STAGE, "p1:s1", "p1:s2", "old", "planned", side) for side in (Side.TABLE, Side.CRM))
    row, deal = Record("row", ROW_RAW), Record(A, CRM_RAW)
    assert carry._pair_raw(Side.TABLE, to_table, deal, row) == (["p1", "s1"], ["Sales", "New"])
    assert carry._pair_raw(Side.CRM, to_crm, row, deal) == (["p1", "s1"], ["Sales", "New"])
    assert carry._pair_raw(Side.TABLE, to_table, None, row) == ("planned", ["Sales", "New"])


def test_a_link_that_vanishes_during_its_write_is_no_silent_loss(world: World) -> None:
    one = update(change(VALUE, "100", "5", 100, 5))
    with world.store.tx():
        world.store.forget([A])
    answer = Written(Record(A, with_raw(CRM_RAW, VALUE, 5)))
    with pytest.raises(RuntimeError, match=f"^the link of {A} vanished during its write$"):
        carry.finish_update(work_of(world), world.crm, 0, Ready(one, None, answer.record), answer)


def test_what_nothing_was_agreed_on_has_no_old_value_to_show(world: World) -> None:
    first = replace(change(NAME, None, "Roof", None, "Roof"), old=ABSENT)
    money = replace(change(VALUE, None, "5", None, 5), old=None)
    lines = carry._lines(work_of(world), update(first, money), Record(A, CRM_RAW))
    assert [(line.old, line.shown_old, line.shown_new) for line in lines] == [(None, "", "Roof"), (None, "", "5")]


def test_the_history_keeps_what_a_cell_holds_once_the_write_arrives(world: World) -> None:
    """Of a stage's two cells one stays as it is; HighLevel's values need no such thing."""
    work = work_of(world)
    stage = change(STAGE, "p1:s1", "p1:s2", ROW_RAW[STAGE], ["p1", "s2"], Side.TABLE)
    name = change(NAME, "Deal", "Roof", "Deal", "Roof", Side.TABLE)

    def sent(one: Update, target: tuple[Raw, ...]) -> list[Raw]:
        return [line.sent for line in carry._lines(work, one, Record("row", target))]

    assert sent(update(stage, name), ROW_RAW) == [["Sales", "Qualified"], "Roof"]
    assert sent(update(stage), with_raw(ROW_RAW, STAGE, None)) == [["Sales", "Qualified"]]
    assert sent(update(stage), with_raw(ROW_RAW, STAGE, [None, None])) == [["Sales", "Qualified"]]
    assert sent(update(change(NAME, "Deal", "Roof", "Deal", "Roof")), CRM_RAW) == [None]


def test_a_value_is_called_as_it_was_when_it_was_written(world: World) -> None:
    work, link = work_of(world), world.store.link(A)
    assert link is not None
    shown: tuple[Raw, Raw] = (["p1", "s2"], ["Sales", "Qualified"])
    moved = (change(STAGE, "p1:s1", "p1:s2", None, None), shown)
    assert carry.with_agreed(work, link, [moved], {"stage": "Former"}).agreed()["stage"].label == "Former"
    assert carry.with_agreed(work, link, [moved], {"name": "Former"}).agreed()["stage"].label == "Sales / Qualified"


@pytest.mark.parametrize("empty", ["", None])
def test_a_value_that_a_new_record_lacks_was_left_out(empty: Raw) -> None:
    assert carry.left_out(CODECS[NAME], Side.TABLE, "Roof", empty)
    assert not carry.left_out(CODECS[NAME], Side.TABLE, None, empty)
    assert not carry.left_out(CODECS[NAME], Side.TABLE, "Roof", "Other")
    assert carry.left_out(CODECS[NAME], Side.CRM, "Roof", empty)
    assert not carry.left_out(CODECS[NAME], Side.CRM, "Roof", "Other")


def test_of_a_value_that_is_0_blank_is_no_loss() -> None:
    assert carry.left_out(CODECS[VALUE], Side.TABLE, "5", None)
    assert not carry.left_out(CODECS[VALUE], Side.TABLE, "5", 0), "somebody typed that"
    assert not carry.left_out(CODECS[VALUE], Side.TABLE, "0", None)
    assert carry.left_out(CODECS[VALUE], Side.CRM, "5", 0), "HighLevel shows no amount as 0"


def test_a_row_whose_id_is_its_key_has_another_one_once_the_key_is_there(world: World) -> None:
    """The link moves with a sheet's row; a deal's id in an answer moves nothing."""
    work, link = work_of(world), world.store.link(A)
    assert link is not None
    to_row = update(change(NAME, "Deal", "Roof", "Deal", "Roof", Side.TABLE))
    to_deal = update(change(NAME, "Deal", "Roof", "Deal", "Roof"))
    for one, side, id, row in (
        (to_row, Side.TABLE, "key:d1", "key:d1"), (to_row, Side.TABLE, f"row-{A}", link.row),
        (to_deal, Side.CRM, "other", link.row),
    ):  # fmt: skip
        record = Record(id, with_raw(ROW_RAW if side is Side.TABLE else CRM_RAW, NAME, "Roof"))
        assert carry.with_written(work, side, link, Ready(one, None, record), record).row == row


def test_what_a_partly_told_answer_holds_is_what_was_written(world: World) -> None:
    work, link = work_of(world), world.store.link(A)
    assert link is not None
    one = update(change(STAGE, "p1:s1", "p1:s2", ROW_RAW[STAGE], ["p1", "s2"], Side.TABLE))
    record = Record(f"row-{A}", ROW_RAW, lacks=frozenset({STAGE}))
    made = carry.with_written(work, Side.TABLE, link, Ready(one, None, record), record)
    assert made.agreed()["stage"].table == ["Sales", "Qualified"]


def test_a_new_rows_link_agrees_on_what_the_row_took(world: World) -> None:
    """A value that was left out is none; what is read later, under names of its own time, stays as it stands there."""
    work = work_of(world)
    values: dict[int, tuple[Value, Raw]] = {
        NAME: ("Roof", "Roof"), SOURCE: ("web", "web"), VALUE: ("5", 5), STATUS: ("open", "open"),
    }  # fmt: skip
    row = Record("new", ("ROOF", [None, None], "open", 5, None, None))
    made = carry.row_link(work, "d9", "Roof", 7.0, values, row)
    agreed = made.agreed()
    assert (made.row, made.seen, sorted(agreed)) == ("new", 7.0, ["name", "owner", "stage", "status", "value"])
    assert (agreed["name"].value, agreed["name"].table, agreed["owner"].value) == ("Roof", "ROOF", None)
    later = carry.row_link(work, "d9", "Roof", 7.0, values, row, {VALUE}, {NAME: "Former"}).agreed()
    assert (later["name"].label, later["name"].table, "value" in later) == ("Former", "ROOF", False)


def test_a_new_row_that_somebody_edited_at_once(world: World) -> None:
    """What was typed since is an edit; of a stage with a cleared cell the other one is filled; what was left out says
    nothing of the fields behind it."""
    work = work_of(world)
    values: dict[int, tuple[Value, Raw]] = {
        NAME: ("Roof", "Roof"), STAGE: ("p1:s1", ["p1", "s1"]), STATUS: ("open", "open"), VALUE: ("5", 5),
    }  # fmt: skip
    row = Record("new", (None, [None, "New"], "won", 0, None, None))
    agreed = carry.row_link(work, "d9", "Roof", 7.0, values, row).agreed()
    assert sorted(agreed) == ["owner", "source", "stage", "status", "value"], "the name was left out"
    assert (agreed["stage"].table, agreed["status"].table, agreed["value"].table) == (carry.GAP, "open", 5)
    later = carry.row_link(work, "d9", "Roof", 7.0, values, row, (), {}).agreed()
    assert (later["status"].table, later["value"].table) == ("won", 0), "as it stands there"


# --- writes that were not made, and those that were made in part -----------------------------------------------------


def intent(world: World, one: Update) -> int:
    """The intent of an update, stored."""
    with world.store.tx():
        return world.store.intend(None, world.clock(), one.target, "update", one.deal, one.row, one.title, [])


@pytest.mark.parametrize("everyone", [False, True])
def test_the_intent_of_a_write_that_was_not_made_is_taken_back(world: World, everyone: bool) -> None:
    work = work_of(world)
    one = update(change(STATUS, "open", "won", "open", "won", Side.TABLE))
    ready, later = Ready(one, None, Record("row", ROW_RAW)), Later("It is open in Excel.", everyone)
    carry.finish_update(work, cast("RecordSide", world.table), intent(world, one), ready, later)
    assert (world.store.open_writes(), world.store.history(deal=A)[0].state) == ([], "done"), "only the first fill's"
    assert (work.tally.waiting, work.tally.busy) == (1, "It is open in Excel." if everyone else "")
    assert work.closed == ({Side.TABLE} if everyone else set())
    carry.postpone(work, Side.TABLE, intent(world, one), later, 3)
    assert (work.tally.waiting, world.store.open_writes()) == (4, [])


@pytest.mark.parametrize("key", [None, A])
def test_of_a_write_that_was_taken_in_part_the_rest_is_refused(world: World, key: str | None) -> None:
    """What was taken is agreed on, as both sides show it; an id that is there by now is no part of the rest."""
    work = work_of(world)
    name = change(NAME, "Deal", "Roof", "Deal", "Roof", Side.TABLE)
    money = change(VALUE, "100", "5", 100, 5, Side.TABLE)
    one = replace(update(name, money), partner=A)
    source = Record(A, with_raw(with_raw(CRM_RAW, NAME, "roof"), VALUE, 5))
    shown = Record(f"row-{A}", with_raw(ROW_RAW, NAME, "Roof"), partner=key)
    carry._finish_part(work, Side.TABLE, intent(world, one), Ready(one, source, shown), [money], shown, shown)
    link = world.store.link(A)
    assert link is not None
    agreed = link.agreed()
    assert (agreed["name"].value, agreed["name"].crm, agreed["name"].table) == ("Roof", "roof", "Roof")
    assert agreed["value"].value == "100"
    (refused,) = world.store.refused()
    rest = replace(one, changes=(money,), partner=None if key else A)
    assert (refused.deal, refused.side, refused.fingerprint) == (A, Side.TABLE, fingerprint(rest))


def test_of_a_deal_that_took_a_part_each_side_keeps_its_own_form(world: World) -> None:
    work = work_of(world)
    one = update(change(NAME, "Deal", "Roof", "Deal", "roof"), change(VALUE, "100", "5", 100, 5))
    source = Record("row", with_raw(with_raw(ROW_RAW, NAME, "roof"), VALUE, 5))
    shown = Record(A, with_raw(CRM_RAW, NAME, "Roof"), stamp=7.0)
    carry._finish_part(work, Side.CRM, intent(world, one), Ready(one, source, shown), [one.changes[1]], shown, shown)
    link = world.store.link(A)
    assert link is not None
    assert (link.agreed()["name"].crm, link.agreed()["name"].table) == ("Roof", "roof")


@pytest.mark.parametrize(
    ("probing", "side", "sizes"),
    [(True, Side.TABLE, [1, 10, 2]), (False, Side.TABLE, [10, 3]), (True, Side.CRM, [1] * 13)],
)
def test_after_a_refusal_of_the_whole_table_one_row_is_tried_first(
    world: World, monkeypatch: pytest.MonkeyPatch, probing: bool, side: Side, sizes: list[int]
) -> None:
    work, batches = work_of(world), []
    work.probing = probing
    record = Record("row", ROW_RAW)
    monkeypatch.setattr(carry, "recheck", lambda _work, one, _source, _target: Ready(one, None, record))
    monkeypatch.setattr(carry, "write_updates", lambda _work, _side, ready: batches.append(len(ready)))
    updates = [update(change(NAME, "Deal", "Roof", "Deal", "Roof", side), deal=f"d{at}") for at in range(13)]
    carry.carry_updates(work, side, updates)
    assert batches == sizes


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "rest"),
    [
        ("Field “value” of rec0001 is read-only.", "Field … of … is read-only."),
        ("Field 'value' of \"x\" is 12 too long.", "Field … of … is … too long."),
        ("No row for deal0001-b_c, twice.", "No row for …, twice."),
        ("This token may not write.", "This token may not write."),
    ],
)
def test_a_refusal_without_what_belongs_to_the_record(sentence: str, rest: str) -> None:
    assert carry._alike(sentence) == rest


def test_pauses_grow_and_the_first_refusal_is_remembered(world: World) -> None:
    work, one = work_of(world), update(change(VALUE, "100", "5", 100, 5))
    pauses = []
    for tries in range(1, 12):
        known = carry._refusal(work, Side.CRM, one, "No.", 1000.0 * tries)
        assert (known.deal, known.side, known.sentence, known.title) == (A, Side.CRM, "No.", "Deal")
        assert (known.tries, known.since) == (tries, 1000.0)
        pauses.append(known.next_try - 1000.0 * tries)
        world.store.put_refused(known)
    assert pauses == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3840.0, 7680.0, 15360.0, 21600.0, 21600.0]
    assert carry._refusal(work, Side.TABLE, one, "No.", 5.0).tries == 1, "the other side was not refused"


def test_columns_are_suspended_one_after_another(world: World) -> None:
    work, one = work_of(world), update(change(VALUE, "100", "5", 100, 5))
    for index in (VALUE, OWNER):
        refused = Refused(f"{FIELD_NAMES[index]} cannot be written.", frozenset({index}), everyone=True)
        carry.refuse(work, Side.CRM, 0, one, refused)
    assert work.suspended == {Side.CRM: {VALUE, OWNER}, Side.TABLE: set()}
    assert work.tally.suspended == ["value cannot be written.", "owner cannot be written."]
    assert (work.closed, work.no_new_rows, work.no_new_deals) == (set(), False, False)


@pytest.mark.parametrize("side", list(Side))
def test_what_cannot_be_made_anywhere_is_not_tried_again_in_this_pass(world: World, side: Side) -> None:
    work, one = work_of(world), Update(side, A, "", "Deal", ())
    carry.refuse(work, side, 0, one, Refused("No.", everyone=True), making=True)
    assert (work.no_new_rows, work.no_new_deals) == (side is Side.TABLE, side is Side.CRM)
    assert work.closed == set()


# --- messages --------------------------------------------------------------------------------------------------------


def test_a_message_where_none_was_known_before(world: World) -> None:
    work, row = work_of(world), world.table.row_of(A)
    carry.carry_messages(work, {row: "Look here."}, {}, {})
    (write, *_) = world.store.history()
    (line,) = write.changes
    assert (write.deal, write.row, write.title, write.state) == ("", row, "", "done")
    assert (line.field, line.old, line.new, line.shown_old, line.shown_new) == (
        "sync",
        None,
        "Look here.",
        "",
        "Look here.",
    )


@pytest.mark.parametrize("everyone", [False, True])
def test_messages_that_were_not_written_wait_and_count_for_nothing(world: World, everyone: bool) -> None:
    work, row = work_of(world), world.table.row_of(A)
    later = Later("It is open in Excel.", everyone)
    world.table.write = lambda patches: [later for _ in patches]  # type: ignore[method-assign]
    carry.carry_messages(work, {row: "Look here."}, {}, {})
    assert (world.store.open_writes(), world.store.messages()) == ([], {})
    assert (work.tally.waiting, work.closed) == (0, {Side.TABLE} if everyone else set())


# --- new rows --------------------------------------------------------------------------------------------------------


class Rows:
    """A table that answers calls to make rows, all of which it was asked for before."""

    side, label = Side.TABLE, "Airtable"
    write_batch = 1

    def __init__(self, *answers: Sequence[Sequence[WriteResult] | SideDown]) -> None:
        self.answers = list(answers)
        self.asked: list[list[str]] = []

    def create_each(self, batches: Iterator[Sequence[NewRecord]]) -> Iterator[Sequence[WriteResult] | SideDown]:
        """One answer a batch."""
        self.asked.append([one.partner for batch in batches for one in batch])
        yield from self.answers.pop(0)


def making(world: World, table: Rows) -> Work:
    """What making rows needs."""
    sides = {Side.CRM: world.crm, Side.TABLE: table}
    return Work(GROUND, cast("dict[Side, RecordSide]", sides), world.store, None, world.clock)


def new_row(deal: str) -> NewRow:
    """A row for a deal."""
    values: dict[int, tuple[Value, Raw, Raw]] = {NAME: ("Roof", "Roof", "Roof "), OWNER: ("u1", "u1", "Ann")}
    return NewRow(deal, "Roof", values, False, 7.0, "the deal has no row yet")


def made(deal: str) -> Written:
    """The answer to it."""
    return Written(Record(f"row-{deal}", with_raw(ROW_RAW, NAME, "Roof "), partner=deal))


def test_rows_that_were_refused_for_a_columns_sake_are_made_without_it(world: World) -> None:
    owner = Refused("Owner cannot be written.", frozenset({OWNER}), everyone=True)
    table = Rows([[owner], [owner]], [[made("d1")], [made("d2")]])
    work = making(world, table)
    carry_new_rows(work, [new_row("d1"), new_row("d2")])
    assert table.asked == [["d1", "d2"], ["d1", "d2"]]
    assert {deal: link.row for deal, link in world.store.links().items()}.items() >= {
        "d1": "row-d1",
        "d2": "row-d2",
    }.items()
    assert work.tally.created[Side.TABLE] == 2


def test_a_table_that_is_down_ends_those_intents_and_no_others(world: World) -> None:
    work = making(world, Rows([SideDown("Airtable is down."), [made("d2")], [Lost("No answer.")]]))
    with pytest.raises(SideDown, match="down"):
        carry_new_rows(work, [new_row("d1"), new_row("d2"), new_row("d3")])
    ends = {write.deal: write.state for write in world.store.history() if write.deal in ("d1", "d2", "d3")}
    assert ends == {"d1": "not_done", "d2": "done", "d3": "open"}
    (lost,) = world.store.open_writes()
    assert [(one.field, one.sent, one.source_raw) for one in lost.changes] == [
        ("name", "Roof ", "Roof"), ("owner", "Ann", "u1"),
    ]  # fmt: skip


def test_rows_that_may_not_be_made_any_more_wait(world: World) -> None:
    work = making(world, Rows([]))
    work.closed.add(Side.TABLE)
    work.tally.waiting = 2
    carry_new_rows(work, [new_row("d1"), new_row("d2")])
    assert work.tally.waiting == 4


@pytest.mark.parametrize("everyone", [False, True])
def test_rows_that_were_not_made_wait_and_their_intents_are_taken_back(world: World, everyone: bool) -> None:
    later = Later("It is open in Excel.", everyone)
    work = making(world, Rows([[later], [made("d2")]]))
    carry_new_rows(work, [new_row("d1"), new_row("d2")])
    assert (world.store.open_writes(), work.tally.waiting) == ([], 1)
    assert work.closed == ({Side.TABLE} if everyone else set())
    assert world.store.links()["d2"].row == "row-d2"


def test_of_one_call_the_rows_behind_a_postponed_or_refused_one_are_linked(world: World) -> None:
    table = Rows([[Later("The row is elsewhere."), Refused("No."), made("d3")]])
    table.write_batch = 3
    work = making(world, table)
    carry_new_rows(work, [new_row("d1"), new_row("d2"), new_row("d3")])
    assert world.store.links()["d3"].row == "row-d3"
    (refused,) = world.store.refused()
    assert (refused.deal, refused.side, refused.sentence) == ("d2", Side.TABLE, "No.")
    assert refused.fingerprint == fingerprint(Update(Side.TABLE, "d2", "", "Roof", ()))
