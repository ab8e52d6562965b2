"""One field of one link: raw values, blanks, one-way columns, new names, clocks (SPEC §§2, 3.8, 5)."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from syncd.decide import Kind
from syncd.judge import ChangeKind, Ground, Past, Verdict, _came_back, _moves_pipeline, judge
from syncd.model import ABSENT, UNKNOWN, Agreed, Direction, Raw, Record, Side, Stamp, Value
from syncd.sides import Column, Pipeline, Question, Stage, User, Vocabulary
from syncd.values import Names, StageCodec, codec_for
from tests.memory import COLUMNS, SALES, SERVICE, VOCABULARY, field_of

NAMES = ("name", "stage", "status", "value", "owner", "source")
NAME, STAGE, STATUS, VALUE, OWNER, SOURCE = range(6)
LABELS = {Side.CRM: "HighLevel", Side.TABLE: "Airtable"}
DEAL: tuple[Raw, ...] = ("Roof", ["p1", "s1"], "open", 100, "u1", "web")
ROW: tuple[Raw, ...] = ("Roof", ["Sales", "New"], "open", 100, "Ann", "web")
VALUES: tuple[Value, ...] = ("Roof", "p1:s1", "open", "100", "u1", "web")


def make_ground(
    vocabulary: Vocabulary = VOCABULARY, tie_side: Side = Side.CRM, directions: dict[str, Direction] | None = None
) -> Ground:
    """A ground over the default fields."""
    fields = tuple(field_of(name, (directions or {}).get(name)) for name in NAMES)
    codecs = tuple(codec_for(name, COLUMNS, vocabulary, {}) for name in NAMES)
    return Ground(fields, codecs, LABELS, tie_side, 2.0, {}, {})


GROUND = make_ground()
NO_PAST = Past()


def with_raw(raws: tuple[Raw, ...], index: int, raw: Raw) -> tuple[Raw, ...]:
    """The raw values with one replaced."""
    return (*raws[:index], raw, *raws[index + 1 :])


def agreed(index: int, ground: Ground = GROUND) -> Agreed:
    """The shadow of a field when deal and row were the same."""
    return Agreed(VALUES[index], DEAL[index], ROW[index], ground.codecs[index].show(VALUES[index]))


def verdict(
    index: int,
    *,
    deal: Raw = "as agreed",
    row: Raw = "as agreed",
    shadow: Agreed | str | None = "as agreed",
    ground: Ground = GROUND,
    clock: float | None = None,
    past: Past = NO_PAST,
) -> Verdict:
    """Judges one field where the deal, the row or the shadow differs from the ordinary."""
    crm = DEAL if deal == "as agreed" else with_raw(DEAL, index, deal)
    table = ROW if row == "as agreed" else with_raw(ROW, index, row)
    clocks = tuple(clock for _ in NAMES)
    known = agreed(index) if shadow == "as agreed" else shadow
    assert not isinstance(known, str)
    return judge(ground, index, known, Record("d", crm, clocks=clocks), Record("r", table), past)


def copied(found: Verdict, target: Side, new: Value, kind: ChangeKind = ChangeKind.EDIT) -> None:
    """Asserts that the verdict is exactly this copy."""
    assert found.change is not None
    assert (found.change.target, found.change.new, found.change.kind) == (target, new, kind)
    assert found.agreed is None
    assert not found.problem


def waits(found: Verdict) -> None:
    """Asserts that nothing is written or agreed."""
    assert found.change is None
    assert found.agreed is None


# --- plain ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(6))
def test_what_both_hold_unchanged_is_neither_written_nor_stored_again(index: int) -> None:
    found = verdict(index)
    assert found.kind is Kind.AGREE
    waits(found)


@pytest.mark.parametrize("index", range(6))
def test_without_a_shadow_equal_values_become_one(index: int) -> None:
    found = verdict(index, shadow=None)
    assert found.change is None
    assert found.agreed == agreed(index)


@pytest.mark.parametrize(
    ("index", "raw", "value"),
    [(NAME, "Wall", "Wall"), (STAGE, ["p2", "t2"], "p2:t2"), (STATUS, "won", "won"), (VALUE, 7.5, "7.5"),
     (OWNER, "u2", "u2"), (OWNER, None, None), (SOURCE, "ad", "ad")],
)  # fmt: skip
def test_an_edit_in_the_crm_goes_to_the_table(index: int, raw: Raw, value: Value) -> None:
    found = verdict(index, deal=raw)
    copied(found, Side.TABLE, value)
    assert found.change is not None
    assert (found.change.source_raw, found.change.target_raw) == (raw, ROW[index])


@pytest.mark.parametrize(
    ("index", "raw", "value"),
    [(NAME, "Wall", "Wall"), (STAGE, ["Service", "Done"], "p2:t2"), (STAGE, ["Sales", "qualified"], "p1:s2"),
     (STATUS, "WON", "won"), (VALUE, 7.5, "7.5"), (VALUE, None, "0"), (OWNER, "bob@example.com", "u2"),
     (OWNER, "", None)],
)  # fmt: skip
def test_an_edit_in_the_table_goes_to_the_crm(index: int, raw: Raw, value: Value) -> None:
    found = verdict(index, row=raw)
    copied(found, Side.CRM, value)
    assert found.change is not None
    assert (found.change.source_raw, found.change.target_raw) == (raw, DEAL[index])


@pytest.mark.parametrize(("index", "raw"), [(NAME, " Roof "), (VALUE, 100.001), (STATUS, "Open"), (OWNER, "ANN")])
def test_another_spelling_of_the_same_value_is_agreed_on_without_a_write(index: int, raw: Raw) -> None:
    found = verdict(index, row=raw)
    assert found.change is None
    assert found.agreed is not None
    assert (found.agreed.value, found.agreed.table) == (VALUES[index], raw)


def test_what_the_answer_does_not_tell_is_unknown() -> None:
    for lacking in (Record("d", DEAL, lacks=frozenset({VALUE})), None):
        found = judge(GROUND, VALUE, agreed(VALUE), lacking, Record("r", with_raw(ROW, VALUE, 5)))
        assert (found.kind, found.crm) == (Kind.HOLD, UNKNOWN)
        waits(found)
    row = Record("r", ROW, lacks=frozenset({VALUE}))
    waits(judge(GROUND, VALUE, agreed(VALUE), Record("d", with_raw(DEAL, VALUE, 5)), row))


@pytest.mark.parametrize(
    ("index", "raw"), [(STATUS, "all"), (STAGE, None), (STAGE, ["p1", None]), (NAME, ""), (VALUE, "x"),
                       (STAGE, ["p1", "s99"]), (STAGE, ["p99", "s1"])],
)  # fmt: skip
def test_what_the_crm_should_never_hold_is_no_reason_to_write(index: int, raw: Raw) -> None:
    for row in ("as agreed", ROW[index]):
        found = verdict(index, deal=raw, row=row)
        assert found.crm is UNKNOWN
        waits(found)
        assert not found.needs_person


# --- one-way columns -------------------------------------------------------------------------------------------------


def test_a_column_to_the_table_keeps_what_was_typed_and_says_who_owns_it() -> None:
    found = verdict(SOURCE, row="typed")
    waits(found)
    assert "HighLevel owns “Source” and holds “web”" in found.problem
    assert not found.needs_person


def test_a_column_to_the_table_is_overwritten_when_the_crm_changes() -> None:
    copied(verdict(SOURCE, deal="ad", row="typed"), Side.TABLE, "ad")
    copied(verdict(SOURCE, deal=None), Side.TABLE, None)


def test_a_column_to_the_table_takes_the_crms_value_where_nothing_was_agreed() -> None:
    copied(verdict(SOURCE, row="typed", shadow=None), Side.TABLE, "web")


def test_a_column_to_the_table_agrees_where_the_same_was_typed() -> None:
    found = verdict(SOURCE, deal="ad", row="ad")
    assert found.agreed is not None
    assert found.agreed.value == "ad"


def test_a_column_to_the_crm_is_the_mirror_of_it() -> None:
    ground = make_ground(directions={"source": Direction.TO_CRM})
    copied(verdict(SOURCE, row="typed", ground=ground), Side.CRM, "typed")
    copied(verdict(SOURCE, row="typed", deal="ad", ground=ground), Side.CRM, "typed")
    copied(verdict(SOURCE, row="typed", shadow=None, ground=ground), Side.CRM, "typed")
    found = verdict(SOURCE, deal="ad", ground=ground)
    waits(found)
    assert "goes only to HighLevel, which now holds “ad”" in found.problem


def test_a_column_that_is_off_is_never_carried() -> None:
    ground = make_ground(directions={"source": Direction.OFF})
    for deal, row in (("ad", "web"), ("web", "typed"), ("ad", "typed")):
        assert verdict(SOURCE, deal=deal, row=row, ground=ground).change is None


# --- blanks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "blank"), [(NAME, ""), (NAME, None), (NAME, "  "), (STATUS, None), (STAGE, [None, None]),
                         (STAGE, ["Sales", None]), (STAGE, ["Sales", " "])],
)  # fmt: skip
def test_a_blank_that_may_not_be_blank_is_filled_from_the_crm(index: int, blank: Raw) -> None:
    copied(verdict(index, row=blank), Side.TABLE, VALUES[index], ChangeKind.FILL)
    copied(verdict(index, row=blank, shadow=None), Side.TABLE, VALUES[index], ChangeKind.FILL)


@pytest.mark.parametrize(
    ("index", "new", "value"), [(NAME, "Wall", "Wall"), (STATUS, "won", "won"), (STAGE, ["p2", "t2"], "p2:t2")]
)
def test_a_blank_is_filled_with_the_crms_newest_value(index: int, new: Raw, value: Value) -> None:
    blank: Raw = [None, None] if index == STAGE else None
    copied(verdict(index, row=blank, deal=new), Side.TABLE, value, ChangeKind.FILL)


def test_a_blank_pipeline_beside_the_deals_stage_is_filled() -> None:
    copied(verdict(STAGE, row=[None, "New"]), Side.TABLE, "p1:s1", ChangeKind.FILL)


def test_a_stage_typed_beside_a_blank_pipeline_is_meant_in_the_deals_own() -> None:
    copied(verdict(STAGE, row=[None, "Qualified"]), Side.CRM, "p1:s2")


def test_a_changed_pipeline_with_a_blank_stage_waits_for_the_person() -> None:
    found = verdict(STAGE, row=["Service", None])
    waits(found)
    assert found.needs_person
    assert "Choose a stage of pipeline “Service”: New, Done." in found.problem


def test_a_changed_pipeline_that_has_the_old_stages_name_means_its_own() -> None:
    copied(verdict(STAGE, row=["Service", "New"]), Side.CRM, "p2:t1")


def test_a_changed_pipeline_without_the_stage_waits_with_its_choices() -> None:
    found = verdict(STAGE, row=["Service", "Qualified"])
    waits(found)
    assert "Stage “Qualified” is not in pipeline “Service”. Choose one of: New, Done." in found.problem


def test_blank_and_zero_are_one_value() -> None:
    shadow = Agreed("0", 0, None, "0")
    for deal in (0, None, 0.0, 0.004):
        found = verdict(VALUE, shadow=shadow, deal=deal, row=None)
        assert found.change is None, "a cell that is blank stays blank"
    for row in (0, None, "0.00"):
        assert verdict(VALUE, shadow=shadow, deal=0, row=row).change is None
    copied(verdict(VALUE, shadow=shadow, deal=5, row=None), Side.TABLE, "5")


# --- names of stages and owners --------------------------------------------------------------------------------------


def renamed(pipeline: Pipeline, **names: str) -> Pipeline:
    """The pipeline with other names for these stages."""
    return replace(pipeline, stages=tuple(replace(s, name=names.get(s.id, s.name)) for s in pipeline.stages))


def with_pipelines(*pipelines: Pipeline) -> Ground:
    """A ground over these pipelines."""
    return make_ground(Vocabulary(pipelines, VOCABULARY.users))


def test_a_renamed_stage_is_written_to_the_table_only() -> None:
    ground = with_pipelines(renamed(SALES, s1="Fresh"), SERVICE)
    found = verdict(STAGE, ground=ground)
    copied(found, Side.TABLE, "p1:s1", ChangeKind.RENAME)
    assert found.change is not None
    assert ground.codecs[STAGE].to_table(found.change.new) == ["Sales", "Fresh"]


def test_a_renamed_pipeline_and_a_renamed_owner_are_new_names_too() -> None:
    copied(verdict(STAGE, ground=with_pipelines(replace(SALES, name="Deals"))), Side.TABLE, "p1:s1", ChangeKind.RENAME)
    users = Vocabulary(VOCABULARY.pipelines, (User("u1", "Anna"),))
    copied(verdict(OWNER, ground=make_ground(users)), Side.TABLE, "u1", ChangeKind.RENAME)


def test_an_owner_whom_nobody_lists_waits_and_an_edit_of_the_cell_goes_its_way() -> None:
    assert verdict(OWNER, deal="u99").crm is UNKNOWN, "the names are read once more first"
    again = replace(GROUND, names_read_again=True)
    for ground in (again, replace(GROUND, unlisted=frozenset({"u99"}))):
        found = verdict(OWNER, deal="u99", ground=ground)
        assert (found.change, found.needs_person) == (None, False)
        assert "does not list" in found.problem
    assert verdict(OWNER, deal="u99", row="Bob (bob@example.com)", ground=again).crm == "u99", "a conflict, not a hold"


def test_options_that_swapped_their_labels_leave_the_cells_their_meaning() -> None:
    column = Column("f", "Status", "select", options={"o1": "lost", "o2": "won"})
    codec = codec_for("status", {"status": column}, VOCABULARY, {"status": Names({"o1": "won", "o2": "lost"})})
    ground = replace(GROUND, codecs=(*GROUND.codecs[:STATUS], codec, *GROUND.codecs[STATUS + 1 :]))
    shadow = Agreed("won", "won", "o1", "won")
    assert verdict(STATUS, shadow=shadow, deal="won", row="o1", ground=ground).change is None
    assert verdict(STATUS, shadow=shadow, deal="won", row="o2", ground=ground).change is None, "picked: won, as it says"


def test_a_deal_in_a_stage_that_is_gone_still_counts_as_unchanged() -> None:
    """The deal holds what it held (SPEC §1), so an edit of the row travels though nobody lists the old stage."""
    ground = with_pipelines(replace(SALES, stages=SALES.stages[1:]), SERVICE)
    copied(verdict(STAGE, row=["Sales", "Qualified"], ground=ground), Side.CRM, "p1:s2")


def test_an_owner_who_left_the_list_still_counts_as_unchanged() -> None:
    """The deal holds what it held (SPEC §1), so an edit of the row travels though nobody can name the old owner."""
    ground = make_ground(Vocabulary(VOCABULARY.pipelines, (User("u2", "Bob", "bob@example.com"),)))
    copied(verdict(OWNER, row="Bob", ground=ground), Side.CRM, "u2")


def test_a_stage_renamed_in_case_only_costs_no_write() -> None:
    found = verdict(STAGE, ground=with_pipelines(renamed(SALES, s1="NEW"), SERVICE))
    assert found.change is None
    assert found.agreed is not None
    assert found.agreed.label == "Sales / NEW"


def test_stages_that_swapped_their_names_leave_the_rows_their_meaning() -> None:
    ground = with_pipelines(renamed(SALES, s1="Qualified", s2="New"), SERVICE)
    found = verdict(STAGE, ground=ground)
    assert found.kind is Kind.AGREE
    copied(found, Side.TABLE, "p1:s1", ChangeKind.RENAME)


def test_an_edited_stage_goes_by_the_new_names() -> None:
    ground = with_pipelines(renamed(SALES, s1="Fresh"), SERVICE)
    copied(verdict(STAGE, row=["Sales", "Qualified"], ground=ground), Side.CRM, "p1:s2")
    assert verdict(STAGE, row=["Sales", "Lost"], ground=ground).change is None


def test_an_unchanged_cell_keeps_its_meaning_whatever_its_label_means_now() -> None:
    """The stage's old name now belongs to another stage, and the deal moved: that is an edit of the CRM alone."""
    ground = with_pipelines(renamed(SALES, s1="Old", s2="New"), SERVICE)
    copied(verdict(STAGE, deal=["p1", "s3"], ground=ground), Side.TABLE, "p1:s3")


def test_names_that_swap_behind_an_unreadable_cell_are_the_names_by_which_it_is_read_later() -> None:
    """The cell says nothing that anybody could read when two stages swap their names; the row's message then offers the
    new ones, and picking one of them is an edit, though the cell held that very text before (soak seed 312558)."""
    ground = with_pipelines(renamed(SALES, s1="Qualified", s2="New"), SERVICE)
    lost = verdict(STAGE, row=["Sales", "Nope"], ground=ground)
    assert (lost.change, lost.needs_person) == (None, True)
    assert lost.agreed == Agreed("p1:s1", ["p1", "s1"], ["Sales", "Qualified"], "Sales / Qualified")
    copied(verdict(STAGE, shadow=lost.agreed, row=["Sales", "New"], ground=ground), Side.CRM, "p1:s2")
    assert verdict(STAGE, shadow=lost.agreed, row=["Sales", "Qualified"], ground=ground).change is None
    assert verdict(STAGE, row=["Sales", "Nope"]).agreed is None, "no name changed"
    assert verdict(STAGE, deal=["p1", "s3"], row=["Sales", "Nope"], ground=ground).agreed is None, "the deal moved"


def test_an_option_that_our_write_made_may_be_renamed_before_its_id_is_known() -> None:
    """The shadow has the label that was written; meanwhile two stages swapped their names, which is no edit either."""
    columns = {
        "pipeline": Column("fp", "Pipeline", "select", options={"o1": "Selling"}),
        "stage": Column("fs", "Stage", "select", options={"o2": "New"}),
    }
    swapped = Vocabulary((renamed(SALES, s1="Qualified", s2="New"), SERVICE))
    names = {"pipeline": Names({"o1": "Sales"}), "stage": Names({"o2": "New"})}
    codec = codec_for("stage", columns, swapped, names)
    ground = replace(GROUND, codecs=(*GROUND.codecs[:STAGE], codec, *GROUND.codecs[STAGE + 1 :]))
    found = verdict(STAGE, row=["o1", "o2"], ground=ground)
    assert found.kind is Kind.AGREE
    copied(found, Side.TABLE, "p1:s1", ChangeKind.RENAME)


def test_a_renamed_option_of_the_table_is_no_edit() -> None:
    column = Column("f", "Status", "select", options={"o1": "Hooray", "o2": "lost"})
    codec = codec_for("status", {"status": column}, VOCABULARY, {"status": Names({"o1": "won", "o2": "lost"})})
    ground = replace(GROUND, codecs=(*GROUND.codecs[:STATUS], codec, *GROUND.codecs[STATUS + 1 :]))
    shadow = Agreed("won", "won", "o1", "won")
    assert verdict(STATUS, shadow=shadow, deal="won", row="o1", ground=ground).change is None
    assert verdict(STATUS, shadow=None, deal="won", row="o1", ground=ground).change is None


@pytest.mark.parametrize(
    ("index", "raw", "choices"),
    [(STAGE, ["Sales", "Nope"], "New, Qualified, Closed Won."), (STAGE, ["Nope", "New"], "Sales, Service."),
     (STATUS, "sold", "open, won, lost, abandoned."), (OWNER, "Zoe", "Ann, Bob.")],
)  # fmt: skip
def test_an_unknown_choice_waits_and_lists_what_can_be_typed(index: int, raw: Raw, choices: str) -> None:
    for deal in ("as agreed", DEAL[index]):
        found = verdict(index, deal=deal, row=raw)
        waits(found)
        assert found.problem.endswith(f"Choose one of: {choices}")
        assert found.needs_person
        assert found.table is UNKNOWN


def test_an_unknown_choice_still_waits_where_the_deal_changed_too() -> None:
    waits(verdict(STATUS, deal="won", row="sold"))


# --- conflicts -------------------------------------------------------------------------------------------------------


def conflict(ground: Ground, clock: float | None, answer: Stamp | None, past: Past = NO_PAST) -> Verdict:
    """Both sides changed the status; the table's answer to the one question is given."""
    first = verdict(STATUS, deal="won", row="lost", clock=clock, past=past, ground=ground)
    if answer is None or first.question is None:
        return first
    answered = replace(ground, clocks={first.question: answer})
    return verdict(STATUS, deal="won", row="lost", clock=clock, past=past, ground=answered)


def asked(found: Verdict) -> Question:
    """The question of a verdict that must have one."""
    waits(found)
    assert found.question is not None
    assert found.kind is Kind.UNDATED
    return found.question


def test_a_conflict_asks_one_question_beyond_the_tie() -> None:
    assert asked(conflict(GROUND, 1000.0, None)) == Question("r", STATUS, 1002.0)
    table_wins = make_ground(tie_side=Side.TABLE)
    assert asked(conflict(table_wins, 1000.0, None)) == Question("r", STATUS, 997.999)


@pytest.mark.parametrize("tie_side", list(Side))
def test_the_tables_answer_decides(tie_side: Side) -> None:
    ground = make_ground(tie_side=tie_side)
    instant = asked(conflict(ground, 1000.0, None)).instant
    later = conflict(ground, 1000.0, Stamp(instant + 0.001, math.inf))
    copied(later, Side.CRM, "lost", ChangeKind.CONFLICT)
    earlier = conflict(ground, 1000.0, Stamp(-math.inf, instant))
    copied(earlier, Side.TABLE, "won", ChangeKind.CONFLICT)
    assert earlier.change is not None
    assert earlier.change.old == "lost", "the loser is kept"


@pytest.mark.parametrize("edited", [990.0, 997.0, 998.0, 999.0, 1000.0, 1001.0, 1002.0, 1003.0, 1010.0])
@pytest.mark.parametrize("tie_side", list(Side))
def test_one_question_decides_as_the_exact_time_would(edited: float, tie_side: Side) -> None:
    ground = make_ground(tie_side=tie_side)
    instant = asked(conflict(ground, 1000.0, None)).instant
    answer = Stamp(instant + 0.001, math.inf) if edited > instant else Stamp(-math.inf, instant)
    if abs(edited - 1000.0) <= 2.0:
        winner = tie_side
    else:
        winner = Side.TABLE if edited > 1000.0 else Side.CRM
    change = conflict(ground, 1000.0, answer).change
    assert change is not None
    assert change.target is winner.other


@pytest.mark.parametrize("tie_side", list(Side))
def test_a_conflict_that_nobody_can_date_goes_to_the_configured_side(tie_side: Side) -> None:
    found = conflict(make_ground(tie_side=tie_side), None, None)
    assert found.question is None
    assert found.change is not None
    assert found.change.target is tie_side.other


def test_a_stamp_of_our_own_write_does_not_date_a_persons_edit() -> None:
    past = Past(own=(900.0, 1000.0), foreign=500.0)
    assert asked(conflict(GROUND, 1000.0, None, past)).instant == 502.0
    assert asked(conflict(GROUND, 1000.5, None, past)).instant == 1002.5
    newer = Past(own=(1000.0,), foreign=1500.0)  # of another field: this one was not edited after its own clock
    assert asked(conflict(GROUND, 1000.0, None, newer)).instant == 1002.0


def test_an_own_stamp_without_any_foreign_one_only_bounds_the_edit() -> None:
    past = Past(own=(1000.0,))
    assert asked(conflict(GROUND, 1000.0, None, past)).instant == 1002.0
    earlier = conflict(GROUND, 1000.0, Stamp(-math.inf, 1002.0), past)
    copied(earlier, Side.TABLE, "won", ChangeKind.CONFLICT)
    later = conflict(GROUND, 1000.0, Stamp(1002.001, math.inf), past)
    copied(later, Side.CRM, "lost", ChangeKind.CONFLICT)


def test_stamps_are_corrected_by_each_servers_clock() -> None:
    ground = replace(GROUND, offsets={Side.CRM: 30.0, Side.TABLE: -5.0})
    assert asked(conflict(ground, 1000.0, None)).instant == 1032.0
    clocked = Record("r", with_raw(ROW, STATUS, "lost"), clocks=tuple(1040.0 for _ in NAMES))
    deal = Record("d", with_raw(DEAL, STATUS, "won"), clocks=tuple(1000.0 for _ in NAMES))
    found = judge(ground, STATUS, agreed(STATUS), deal, clocked)
    assert found.stamps == (Stamp(1030.0, 1030.0), Stamp(1035.0, 1035.0))
    copied(found, Side.CRM, "lost", ChangeKind.CONFLICT)


def test_without_a_shadow_differing_values_are_a_conflict() -> None:
    found = verdict(STATUS, shadow=None, deal="won", row="lost", clock=1000.0)
    assert found.shadow is ABSENT
    assert asked(found).instant == 1002.0


def test_equal_edits_on_both_sides_agree_without_a_clock() -> None:
    found = verdict(STATUS, deal="won", row="WON")
    assert found.change is None
    assert found.agreed is not None
    assert found.agreed.value == "won"


def test_two_new_stages_are_one_conflict_of_one_field() -> None:
    found = verdict(STAGE, deal=["p2", "t2"], row=["Sales", "Qualified"], clock=None)
    copied(found, Side.TABLE, "p2:t2", ChangeKind.CONFLICT)
    assert found.change is not None
    assert found.change.old == "p1:s2"


def test_a_reason_is_given_for_every_write() -> None:
    for found in (
        verdict(NAME, deal="Wall"),
        verdict(NAME, row="Wall"),
        verdict(NAME, row=None),
        conflict(GROUND, None, None),
        verdict(STAGE, ground=with_pipelines(renamed(SALES, s1="Fresh"), SERVICE)),
    ):
        assert found.change is not None
        assert len(found.change.why) > 20
        assert found.change.why == found.why


def test_a_name_in_a_stage_column_without_pipelines_reads_in_the_deals_own() -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "pipeline"}
    codec = codec_for("stage", columns, VOCABULARY, {})
    ground = replace(GROUND, codecs=(GROUND.codecs[0], codec, *GROUND.codecs[2:]))
    shadow = Agreed("p2:t1", ["p2", "t1"], [None, "New"], "Service / New")
    copied(verdict(STAGE, shadow=shadow, deal=["p2", "t1"], row=[None, "Done"], ground=ground), Side.CRM, "p2:t2")
    waits(verdict(STAGE, shadow=shadow, deal=["p2", "t1"], row=[None, "Qualified"], ground=ground))
    moved = verdict(STAGE, shadow=shadow, deal=["p1", "s1"], row=[None, "Qualified"], ground=ground)
    assert (moved.table, moved.problem) == ("p1:s2", ""), "the deal is in another pipeline by now"


def test_an_added_stage_reads_as_its_own() -> None:
    sales = replace(SALES, stages=(*SALES.stages, Stage("s4", "Signed")))
    copied(verdict(STAGE, row=["Sales", "signed"], ground=with_pipelines(sales, SERVICE)), Side.CRM, "p1:s4")


def renamed_columns() -> StageCodec:
    """A stage in two selects, of which the Pipeline's option is called otherwise than when it was first met."""
    stages = Column("fS", "Stage", "select", options={"o1": "New", "o2": "Qualified"})
    pipelines = Column("fP", "Pipeline", "select", options={"p1": "Verkauf", "p2": "Service"})
    return StageCodec(
        (SALES, SERVICE), stages, pipelines, Names({"o1": "New"}), Names({"p1": "Sales", "p2": "Service"})
    )


def test_a_renamed_pipeline_beside_a_blank_stage_is_no_move() -> None:
    assert not _moves_pipeline(renamed_columns(), ["p1", None], "p1:s1")
    assert _moves_pipeline(renamed_columns(), ["p2", None], "p1:s1")
    assert not _moves_pipeline(renamed_columns(), [None, None], "p1:s1")


@pytest.mark.parametrize(
    ("stored", "raw", "back"),
    [
        ([None, "o1"], ["p2", "o1"], True),
        ([None, "New"], ["p2", "o1"], True),  # stored by the label of an option that our own write made
        ([None, "o1"], ["p2", "o2"], False),  # the stage was edited, too
        ([None, "o1"], [None, "o1"], False),  # the column is there, and blank
        ([None, "o1"], ["", "o1"], False),
        (["p1", "o1"], ["p2", "o1"], False),  # it was there all the time
        (None, ["p2", "o1"], False),
    ],
)
def test_a_pipeline_column_that_came_back_is_no_edit_of_an_unchanged_stage(stored: Raw, raw: Raw, back: bool) -> None:
    assert _came_back(renamed_columns(), Agreed("p1:s1", ["p1", "s1"], stored, "Sales / New"), raw) is back


# --- what gives no time, and who is not listed any more ---------------------------------------------------------------


@pytest.mark.parametrize("tie_side", list(Side))
def test_without_any_time_of_the_crm_it_is_a_tie_whatever_the_table_says(tie_side: Side) -> None:
    """Nobody knows that the edit in the CRM was the earlier one."""
    crm, table = Record("d", with_raw(DEAL, VALUE, 7)), with_raw(ROW, VALUE, 9)
    for clocks in ((), (1_700_000_000.0,) * len(NAMES)):
        row = Record("r", table, clocks=clocks)
        found = judge(make_ground(tie_side=tie_side), VALUE, agreed(VALUE), crm, row)
        copied(found, tie_side.other, "7" if tie_side is Side.CRM else "9", ChangeKind.CONFLICT)


def test_an_owner_who_is_listed_no_more_keeps_the_name_that_the_row_shows() -> None:
    shadow = Agreed("u9", "u9", "Zoe", "Zoe")
    found = verdict(OWNER, deal="u9", row="Zoe", shadow=shadow)
    assert found.kind is Kind.AGREE
    waits(found)
    other = verdict(OWNER, deal="u9", row="Zoe", shadow=replace(shadow, crm="U9"), ground=replace(
        GROUND, names_read_again=True))  # fmt: skip
    assert (other.change, other.agreed) == (None, shadow), "not his id"
