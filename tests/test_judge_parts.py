"""The parts of a verdict one by one: what counts as unchanged, as moved, as come back, which remark stands where."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from syncd.decide import Kind
from syncd.judge import (
    ChangeKind,
    Ground,
    Past,
    _came_back,
    _crm_stamp,
    _first_met,
    _moves_pipeline,
    _table_stamp,
    cell_labels,
    judge,
    unchanged,
)
from syncd.model import UNKNOWN, Agreed, Direction, Raw, Record, Side, Stamp
from syncd.sides import Column, Question
from syncd.values import Names, StageCodec, TextCodec, codec_for
from tests.memory import COLUMNS, SALES, SERVICE, VOCABULARY, field_of
from tests.test_judge import (
    DEAL,
    GROUND,
    LABELS,
    NAME,
    NAMES,
    ROW,
    SOURCE,
    STAGE,
    STATUS,
    agreed,
    make_ground,
    verdict,
    waits,
    with_raw,
)  # fmt: skip

STAGES = Column("fS", "Stage", "select", options={"o1": "New", "o2": "Qualified"})
PIPELINES = Column("fP", "Pipeline", "select", options={"p1": "Verkauf", "p2": "Service"})
RENAMED = StageCodec((SALES, SERVICE), STAGES, PIPELINES, Names({"o1": "New"}), Names({"p1": "Sales", "p2": "Service"}))


# --- cells -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "now", "same"),
    [
        (["Verkauf", "New"], ["p1", "o1"], True),  # by what they are called now
        (["Sales", "New"], ["p1", "o1"], True),  # by what they were called first
        (["Service", "New"], ["p1", "o1"], False),
        (None, ["p1", "o1"], False),
        (["Verkauf"], ["p1", "o1"], False),
        (["Verkauf", "New", "more"], ["p1", "o1"], False),
        (["Verkauf", "New"], None, False),
        (["Verkauf", "New"], "o1", False),
    ],
)
def test_both_cells_of_a_stage_are_known_again(stored: Raw, now: Raw, same: bool) -> None:
    assert unchanged(RENAMED, stored, now) is same


def test_the_names_in_cells() -> None:
    cells: list[Raw] = [None, "o1", ["p2"], ["p2", "o1", "o2"]]
    for raw in cells:
        if not isinstance(raw, list):
            assert cell_labels(RENAMED, raw) == ("New" if raw == "o1" else raw)
        assert _first_met(RENAMED, raw) == ("New" if raw == "o1" else raw)
    assert cell_labels(RENAMED, ["p1", "o2"]) == ["Verkauf", "Qualified"]
    assert _first_met(RENAMED, ["p1", "o1"]) == ["Sales", "New"]
    plain: list[Raw] = [["a", "b"], None, "a"]
    for raw in plain:
        assert (cell_labels(TextCodec(), raw), _first_met(TextCodec(), raw)) == (raw, raw)


@pytest.mark.parametrize(
    ("stored", "raw"),
    [
        ([None], ["p2", "o1"]),
        ([None, "o1", "o2"], ["p2", "o1"]),
        ([None, "o1"], ["p2", "o1", "o2"]),
        ([None, "o1"], "o1"),
    ],
)
def test_what_are_no_two_cells_did_not_come_back(stored: Raw, raw: Raw) -> None:
    assert not _came_back(RENAMED, Agreed("p1:s1", ["p1", "s1"], stored, ""), raw)
    assert not _came_back(TextCodec(), Agreed("a", "a", [None, "o1"], ""), ["p2", "o1"])
    assert not _came_back(RENAMED, None, ["p2", "o1"])


def test_what_moves_a_pipeline() -> None:
    called = replace(RENAMED, pipelines=(replace(SALES, name="Verkauf"), SERVICE))
    assert not _moves_pipeline(called, ["p1", None], "p1:s1"), "by what the option is called now"
    assert not _moves_pipeline(RENAMED, ["p1", None], "p1:s1"), "or was at first"
    assert _moves_pipeline(RENAMED, ["p2", None], "p1:s1")
    none_of_them: list[Raw] = [None, "p2", [None, None]]
    for raw in none_of_them:
        assert not _moves_pipeline(RENAMED, raw, "p1:s1")
    assert not _moves_pipeline(replace(RENAMED, pipeline_column=None), ["p2", None], "p1:s1")
    assert not _moves_pipeline(TextCodec(), ["p2", None], "p1:s1")


# --- times -----------------------------------------------------------------------------------------------------------


def test_times_that_are_not_there() -> None:
    for count in range(len(NAMES)):
        record = Record("d", DEAL, clocks=(7.0,) * count)
        known = Stamp(7.0, 7.0)
        assert [_crm_stamp(GROUND, at, record, Past()) for at in range(len(NAMES))] == [
            known if at < count else None for at in range(len(NAMES))
        ]
        assert [_table_stamp(GROUND, at, record, None) for at in range(len(NAMES))] == [
            (known if at < count else None, None) for at in range(len(NAMES))
        ]


def test_an_own_stamp_without_another_one_is_before_it_in_our_seconds() -> None:
    ground = replace(GROUND, offsets={Side.CRM: 5.0, Side.TABLE: 99.0})
    record = Record("d", DEAL, clocks=(100.0,) * len(NAMES))
    assert _crm_stamp(ground, NAME, record, Past((100.0,), None)) == Stamp(-math.inf, 105.0)


def test_a_question_is_asked_in_whole_milliseconds() -> None:
    _, question = _table_stamp(GROUND, NAME, Record("r", ROW), Stamp(0.0, 100.00049))
    assert question == Question("r", NAME, 102.0)


# --- remarks and what was read ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shadow", [None, agreed(NAME)])
def test_a_cell_that_cannot_be_read_says_so(shadow: Agreed | None) -> None:
    for deal in (DEAL, with_raw(DEAL, NAME, "Wall")):
        found = judge(GROUND, NAME, shadow, Record("d", deal), Record("r", ROW, lacks=frozenset({NAME})))
        assert (found.kind, found.table, found.why) == (Kind.HOLD, UNKNOWN, "it could not be read")


def test_a_choice_that_does_not_exist_waits_for_a_person() -> None:
    found = verdict(STATUS, row="sold", deal="won")
    assert (found.kind, found.crm, found.table, found.why) == (Kind.HOLD, "won", UNKNOWN, "it waits for a person")
    assert (found.shadow, found.needs_person) == ("open", True)


def test_a_blank_that_may_not_be_one_reads_as_the_shadow() -> None:
    assert verdict(STATUS, row=None).table == "open"
    assert verdict(STATUS, row=None, shadow=None).table is None


def test_a_stage_without_its_pipeline_is_looked_up_where_the_deal_is() -> None:
    """A person chose a pipeline and no stage yet; the deal has moved there, too: nothing is asked of the person."""
    found = verdict(STAGE, row=["Service", None], deal=["p2", "t1"])
    assert (found.table, found.problem) == ("p1:s1", "")
    assert found.change is not None
    assert found.change.kind is ChangeKind.FILL


@pytest.mark.parametrize("crm", [Record("d", DEAL), None, Record("d", DEAL, lacks=frozenset({STAGE}))])
def test_without_a_shadow_a_stage_is_looked_up_in_the_deals_own_pipeline(crm: Record | None) -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "pipeline"}
    codecs = tuple(codec_for(name, columns, VOCABULARY, {}) for name in NAMES)
    ground = Ground(GROUND.fields, codecs, LABELS, Side.CRM, 2.0, {}, {})
    found = judge(ground, STAGE, None, crm, Record("r", with_raw(ROW, STAGE, [None, "Done"])))
    waits(found)
    told = "Stage “Done” is not in pipeline “Sales”" if crm is not None and not crm.lacks else "not known yet"
    assert told in found.problem


# --- one way, options and columns that are gone -----------------------------------------------------------------------


def test_a_cell_of_the_crms_column_that_cannot_be_read_agrees_with_nothing() -> None:
    ground = make_ground(directions={"owner": Direction.TO_TABLE})
    shadow = Agreed(None, None, None, "")
    crm, row = Record("d", with_raw(DEAL, 4, None)), Record("r", with_raw(ROW, 4, "Nobody"))
    found = judge(ground, 4, shadow, crm, row)
    assert (found.table, found.agreed, found.change) == (UNKNOWN, None, None)
    assert "owns “Owner”" in found.problem


def options_ground(**options: str) -> Ground:
    """A source that is chosen from these options."""
    columns = {**COLUMNS, "source": Column("fSource", "Source", "select", options=options)}
    codecs = tuple(codec_for(name, columns, VOCABULARY, {}) for name in NAMES)
    fields = tuple(field_of(name, Direction.BOTH) for name in NAMES)
    return Ground(fields, codecs, LABELS, Side.CRM, 2.0, {}, {})


def test_a_cell_whose_option_was_removed_is_unchanged_where_the_deal_changed() -> None:
    """It is no edit, so no times are asked for (SPEC §4)."""
    shadow = Agreed("web", "web", "o1", "web")
    crm, row = Record("d", with_raw(DEAL, SOURCE, "ad")), Record("r", with_raw(ROW, SOURCE, None))
    found = judge(options_ground(o2="ad"), SOURCE, shadow, crm, row)
    assert (found.table, found.question) == ("web", None)
    assert found.change is not None
    assert (found.change.kind, found.change.new) == (ChangeKind.EDIT, "ad")
    kept = judge(options_ground(o1="web", o2="ad"), SOURCE, shadow, crm, row)
    assert kept.kind is Kind.X_WINS, "where the option is there, the cell was cleared"


def test_a_pipeline_column_that_came_back_is_no_edit_where_the_deal_moved() -> None:
    shadow = Agreed("p1:s1", ["p1", "s1"], [None, "New"], "Sales / New")
    crm, row = Record("d", with_raw(DEAL, STAGE, ["p1", "s2"])), Record("r", with_raw(ROW, STAGE, ["Service", "New"]))
    found = judge(GROUND, STAGE, shadow, crm, row)
    assert (found.table, found.question) == ("p1:s1", None)
    assert found.change is not None
    assert (found.change.kind, found.change.new, found.change.target) == (ChangeKind.EDIT, "p1:s2", Side.TABLE)


def test_a_cell_whose_option_was_removed_waits_for_a_person() -> None:
    shadow = Agreed("web", "web", "o1", "web")
    row = Record("r", with_raw(ROW, SOURCE, None))
    found = judge(options_ground(o2="ad"), SOURCE, shadow, Record("d", DEAL), row)
    assert (found.index, found.kind, found.shadow, found.crm, found.table) == (SOURCE, Kind.HOLD, "web", "web", "web")
    assert (found.needs_person, found.why) == (True, "its option was removed from the column")
    assert found.problem == "“web” is no option of “Source” any more; make it again, or choose another."
    waits(found)


def test_a_column_that_is_off_is_only_looked_at() -> None:
    ground = make_ground(directions={"source": Direction.OFF})
    found = verdict(SOURCE, row="mine", deal="theirs", ground=ground)
    assert (found.index, found.kind, found.shadow, found.crm, found.table) == (
        SOURCE, Kind.HOLD, "web", "theirs", "mine",
    )  # fmt: skip
    assert (found.why, found.problem) == ("this column is off", "")
    waits(found)


def test_a_pipeline_column_that_came_back_is_filled_where_it_shows_another_one() -> None:
    shadow = Agreed("p1:s1", ["p1", "s1"], [None, "New"], "Sales / New")
    other, same = (Record("r", with_raw(ROW, STAGE, [name, "New"])) for name in ("Service", "Sales"))
    found = judge(GROUND, STAGE, shadow, Record("d", DEAL), other)
    assert (found.index, found.shadow, found.crm, found.table) == (STAGE, "p1:s1", "p1:s1", "p1:s1")
    assert found.why == "a pipeline whose column was not there is filled again from HighLevel"
    assert found.change is not None
    assert (found.change.kind, found.change.new, found.change.target_raw, found.change.source_raw) == (
        ChangeKind.FILL, "p1:s1", ["Service", "New"], ["p1", "s1"],
    )  # fmt: skip
    agrees = judge(GROUND, STAGE, shadow, Record("d", DEAL), same)
    assert (agrees.change, agrees.kind) == (None, Kind.AGREE)


def test_a_blank_status_is_filled_in_whatever_direction_its_column_goes() -> None:
    for direction in (Direction.BOTH, Direction.TO_CRM, Direction.TO_TABLE):
        found = verdict(STATUS, row=None, ground=make_ground(directions={"status": direction}))
        assert found.change is not None
        assert (found.change.kind, found.change.new, found.change.target) == (ChangeKind.FILL, "open", Side.TABLE)


def test_an_unread_cell_leaves_the_shadow_as_it_is() -> None:
    found = judge(GROUND, NAME, agreed(NAME), Record("d", DEAL), Record("r", ROW, lacks=frozenset({NAME})))
    assert (found.index, found.shadow, found.crm) == (NAME, "Roof", "Roof")
