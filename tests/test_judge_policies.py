"""One field under the settings of SPEC §5; by whose pipeline, whose name and whose clock it is read (SPEC §§1-3)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from syncd import carry
from syncd.decide import Kind
from syncd.judge import ChangeKind, Ground, Past, unchanged
from syncd.model import UNKNOWN, Agreed, Direction, Raw, Side, Stamp, Value
from syncd.policy import BlankCell, OneWay, Policy
from syncd.sides import Column
from syncd.values import Names, OwnerCodec, codec_for
from tests.memory import COLUMNS, VOCABULARY, World
from tests.test_carry_parts import NAME as WORLD_NAME
from tests.test_carry_parts import work_of
from tests.test_judge import (
    GROUND,
    NAME,
    OWNER,
    SOURCE,
    STAGE,
    STATUS,
    VALUE,
    asked,
    conflict,
    copied,
    make_ground,
    verdict,
    waits,
)
from tests.test_settle import TO_FIVE, TO_SECOND, TO_WON, deal, intent

NEVER_ERASE, WRITE_BACK = Policy(blank_cell=BlankCell.NEVER_ERASE), Policy(one_way=OneWay.WRITE_BACK)
NOBODY = Agreed("u99", "u99", "Zed", "Zed")  # an owner who left: the CRM does not list him any more


def under(policy: Policy, **directions: Direction) -> Ground:
    """A ground with these settings and directions."""
    return replace(make_ground(directions=directions), policy=policy)


# --- blank cells that never erase ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "deal", "value"), [(OWNER, None, None), (OWNER, "", None), (VALUE, 0, "0"), (VALUE, None, "0")]
)
def test_a_cell_cleared_where_the_deal_is_blank_too_stays_blank(index: int, deal: Raw, value: Value) -> None:
    """There is nothing to fill it with (SPEC §5: a cell that is blank stays blank); it is an equal edit."""
    for row in (None, "", " "):
        found = verdict(index, deal=deal, row=row, ground=under(NEVER_ERASE))
        assert (found.kind, found.change) == (Kind.AGREE, None)
        assert found.agreed is not None
        assert found.agreed.value == value


def test_a_cell_cleared_in_a_column_of_the_crms_stays_and_is_told() -> None:
    """Its edits never go to the CRM, so none can erase anything there: the rule of one-way columns holds."""
    found = verdict(SOURCE, row="", ground=under(NEVER_ERASE))
    waits(found)
    assert "HighLevel owns “Source” and holds “web”" in found.problem


def test_a_cell_cleared_in_a_column_that_goes_both_ways_is_filled_again() -> None:
    copied(verdict(OWNER, row="", ground=under(NEVER_ERASE)), Side.TABLE, "u1", ChangeKind.FILL)
    to_crm = verdict(OWNER, row="", ground=under(NEVER_ERASE, owner=Direction.TO_CRM))
    waits(to_crm)
    assert not to_crm.problem


def test_a_cell_that_was_blank_before_is_no_cleared_one() -> None:
    """Nobody cleared it: the CRM's new value is an ordinary edit of the CRM's, and a column that goes only to the CRM
    says what HighLevel holds."""
    shadow = Agreed(None, None, None, "")
    found = verdict(OWNER, shadow=shadow, row=None, ground=under(NEVER_ERASE))
    copied(found, Side.TABLE, "u1", ChangeKind.EDIT)
    to_crm = verdict(OWNER, shadow=shadow, row=None, ground=under(NEVER_ERASE, owner=Direction.TO_CRM))
    waits(to_crm)
    assert "“Owner” goes only to HighLevel, which now holds “Ann”" in to_crm.problem


# --- one-way columns -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [Policy(), WRITE_BACK])
def test_a_column_to_the_crm_is_never_written_over(policy: Policy) -> None:
    """What is written back is the CRM's value in a column of the CRM's; this one is the table's."""
    found = verdict(VALUE, deal=9, ground=under(policy, value=Direction.TO_CRM))
    waits(found)
    assert "“Value” goes only to HighLevel, which now holds “9" in found.problem


def test_what_cannot_be_read_in_a_column_of_the_crms_asks_nobody_to_mend_it() -> None:
    ground = under(Policy(), value=Direction.TO_TABLE)
    found = verdict(VALUE, row="much", ground=ground)
    waits(found)
    assert "HighLevel owns “Value”" in found.problem
    assert not found.needs_person
    copied(verdict(VALUE, row="much", deal=9, ground=ground), Side.TABLE, "9")
    back = verdict(VALUE, row="much", ground=under(WRITE_BACK, value=Direction.TO_TABLE))
    copied(back, Side.TABLE, "100", ChangeKind.FILL)


# --- owners without a name -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ["Ann", "", "Nobody we know", "u1"])
@pytest.mark.parametrize("shadow", [NOBODY, None, Agreed("u1", "u1", "Ann", "Ann")])
@pytest.mark.parametrize("direction", [Direction.BOTH, Direction.TO_TABLE, Direction.TO_CRM])
@pytest.mark.parametrize("policy", [Policy(), NEVER_ERASE, WRITE_BACK])
def test_an_id_is_never_written_into_an_owner_cell(
    policy: Policy, direction: Direction, shadow: Agreed | None, row: str
) -> None:
    ground = replace(under(policy, owner=direction), names_read_again=True)
    found = verdict(OWNER, deal="u99", row=row, shadow=shadow, ground=ground)
    if found.change is not None and found.change.target is Side.TABLE:
        assert found.change.new != "u99"


@pytest.mark.parametrize(
    ("policy", "direction", "row"),
    [(NEVER_ERASE, Direction.BOTH, ""), (WRITE_BACK, Direction.TO_TABLE, "Ann"), (WRITE_BACK, Direction.TO_TABLE, "")],
)
def test_a_cell_that_would_be_filled_waits_for_the_owners_name(policy: Policy, direction: Direction, row: str) -> None:
    found = verdict(OWNER, deal="u99", row=row, shadow=NOBODY, ground=under(policy, owner=direction))
    waits(found)
    assert "does not list this deal's owner" in found.problem
    assert not found.needs_person


# --- whose pipeline --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["t1", "t2"])
def test_without_a_pipeline_column_the_typed_stage_is_one_of_the_pipeline_that_was_seen(at: str) -> None:
    """The person saw “Qualified” of “Sales” and typed “New”; that the deal moved to “Service” meanwhile, which has a
    “New” as well, was not to be seen. It is a conflict, also where the deal is in that very stage by now."""
    columns = {name: column for name, column in COLUMNS.items() if name != "pipeline"}
    codec = codec_for("stage", columns, VOCABULARY, {})
    ground = replace(GROUND, codecs=(GROUND.codecs[NAME], codec, *GROUND.codecs[STATUS:]))
    shadow = Agreed("p1:s2", ["p1", "s2"], [None, "Qualified"], "Sales / Qualified")
    found = verdict(STAGE, shadow=shadow, deal=["p2", at], row=[None, "New"], clock=1000.0, ground=ground)
    assert found.table == "p1:s1"
    question = asked(found)
    later = replace(ground, clocks={question: Stamp(question.instant + 0.001, math.inf)})
    won = verdict(STAGE, shadow=shadow, deal=["p2", at], row=[None, "New"], clock=1000.0, ground=later)
    copied(won, Side.CRM, "p1:s1", ChangeKind.CONFLICT)


# --- whose clock -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tie_side", list(Side))
def test_a_deal_that_only_we_have_dated_was_edited_at_any_time_before(tie_side: Side) -> None:
    """The own stamp says when the edit was at the latest. A cell edited before it may have been edited after it all the
    same, so that the ties' side decides; only one that was edited after the stamp is later for certain."""
    ground, past = make_ground(tie_side=tie_side), Past(own=(1000.0,))
    instant = asked(conflict(ground, 1000.0, None, past)).instant
    earlier = conflict(ground, 1000.0, Stamp(-math.inf, instant), past)
    assert earlier.stamps[0] == Stamp(-math.inf, 1000.0)
    assert earlier.change is not None
    assert earlier.change.target is tie_side.other
    later = conflict(ground, 1000.0, Stamp(1002.001, math.inf), past)
    copied(later, Side.CRM, "lost", ChangeKind.CONFLICT)


def test_the_stage_and_the_status_are_not_moved_by_other_fields(tmp_path: Path) -> None:
    work, found = work_of(World(tmp_path)), deal(WORLD_NAME, "Wall")
    assert carry._explained(work, intent(TO_FIVE), TO_FIVE, found)
    for one in (TO_SECOND, TO_WON):
        assert not carry._explained(work, intent(one), one, found), one.field


# --- whose name ------------------------------------------------------------------------------------------------------


def owners(now: str, first: str | None) -> OwnerCodec:
    """An Owner column with one option, called so now, and so when it was first met (None: it was not met yet)."""
    column = Column("f", "Owner", "select", options={"o1": now})
    codec = codec_for("owner", {"owner": column}, VOCABULARY, {"owner": Names({"o1": first} if first else {})})
    assert isinstance(codec, OwnerCodec)
    return codec


@pytest.mark.parametrize(
    ("now", "first", "same"),
    [
        ("Bob", "Ann", True),  # our write made “Ann”; it was renamed before its id was known
        ("Ann", None, True),  # the id is new to us, and still called so
        ("Ann", "Bob", True),  # first met by another name, and called “Ann” when we wrote that into the cell
        ("Bob", "Bob", False),  # another option
        ("Bob", None, False),
    ],
)
def test_an_option_stored_by_its_label_is_known_by_the_new_label_or_the_first(
    now: str, first: str | None, same: bool
) -> None:
    assert unchanged(owners(now, first), "Ann", "o1") is same
    assert not unchanged(owners(now, first), "Ann", None)
    assert not unchanged(owners(now, first), None, "o1")


def test_an_option_renamed_before_its_id_was_known_makes_nobody_the_deals_owner() -> None:
    """Read by its new label the cell would say “Bob”, which nobody typed."""
    ground = replace(GROUND, codecs=(*GROUND.codecs[:OWNER], owners("Bob", "Ann"), *GROUND.codecs[SOURCE:]))
    found = verdict(OWNER, shadow=Agreed("u1", "u1", "Ann", "Ann"), row="o1", ground=ground)
    assert found.table == "u1"
    assert found.change is None
    assert found.crm is not UNKNOWN


@pytest.mark.parametrize("stored", [["o1", "New"], ["Sales", "o2"], ["Sales", "New"], ["o1", "o2"]])
def test_of_a_stages_two_cells_maybe_only_one_was_stored_by_its_label(stored: Raw) -> None:
    """Our write made one of the two options; the other was there, and its id was known."""
    columns = {
        "pipeline": Column("fp", "Pipeline", "select", options={"o1": "Selling"}),
        "stage": Column("fs", "Stage", "select", options={"o2": "Fresh"}),
    }
    codec = codec_for("stage", columns, VOCABULARY, {"pipeline": Names({"o1": "Sales"}), "stage": Names({"o2": "New"})})
    assert unchanged(codec, stored, ["o1", "o2"])
    assert not unchanged(codec, stored, ["o1", "o3"])
    assert not unchanged(codec, stored, ["o3", "o2"])
