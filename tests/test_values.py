"""Canonical values (SPEC §1): round trips, awkward names, numbers, owners, options."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.fields import STATUSES
from syncd.model import Raw, Value
from syncd.sides import Column, Pipeline, Stage, User, Vocabulary
from syncd.values import (
    MAX_CHOICES_NAMED,
    Codec,
    MoneyCodec,
    Names,
    OwnerCodec,
    Problem,
    Reading,
    StageCodec,
    StatusCodec,
    TextCodec,
    choices,
    clipped,
    codec_for,
    folded,
    money,
    text,
)

settings.register_profile("units", derandomize=True, deadline=None, max_examples=150)
settings.load_profile("units")

AWKWARD = (
    "New",
    "Closed  Won",  # two spaces
    "Trailing ",
    " leading",
    "🔥 Hot 🔥",
    unicodedata.normalize("NFD", "Café élan"),
    "STRASSE",
    "No\u00a0break",
    "tab\there",
    "a, b; c",
    "“quoted”",
    "ﬁnal",
)
FIRST = Pipeline("p1", "Sales  Pipe ", tuple(Stage(f"s{n}", name) for n, name in enumerate(AWKWARD)))
SECOND = Pipeline("p2", "Service", tuple(Stage(f"t{n}", name) for n, name in enumerate(AWKWARD)))
UNSYNCED = Pipeline("p3", "Old", (Stage("o0", "New"),), synced=False)
PIPELINES = (FIRST, SECOND, UNSYNCED)
STAGE_COLUMN, PIPELINE_COLUMN = Column("f1", "Stage", "select"), Column("f2", "Pipeline", "select")
STAGES = StageCodec(PIPELINES, STAGE_COLUMN, PIPELINE_COLUMN)
STAGES_ALONE = StageCodec(PIPELINES, STAGE_COLUMN)
STAGE_VALUES = [f"{p.id}:{stage.id}" for p in (FIRST, SECOND) for stage in p.stages]
USERS = (
    User("u1", "Ann"),
    User("u2", "Bob", "bob@example.com"),
    User("u3", "Bob", "bob2@example.com"),
    User("u4", "Carl", "carl@example.com", deleted=True),
    User("u5", "Dora", "old@example.com", deleted=True),
    User("u6", "Dora", "dora@example.com"),
    User("u7", "", "nameless@example.com"),
)
OWNERS = OwnerCodec(USERS)
words = st.text(max_size=40)
raws = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    words,
    st.lists(st.one_of(st.none(), words), max_size=3),
)


def problem(reading: Reading) -> str:
    """The sentence of a reading that must be a problem."""
    assert isinstance(reading, Problem), reading
    return reading.sentence


def value(reading: Reading) -> Value:
    """The value of a reading that must not be a problem."""
    assert not isinstance(reading, Problem), reading
    return reading


# --- every codec -----------------------------------------------------------------------------------------------------

ALL: dict[str, Codec] = {
    "text": TextCodec(),
    "money": MoneyCodec(2),
    "money as text": MoneyCodec(2, as_text=True),
    "status": StatusCodec(),
    "owner": OWNERS,
    "stage": STAGES,
    "stage alone": STAGES_ALONE,
}


@given(raw=raws)
@pytest.mark.parametrize("name", ALL)
def test_what_was_read_is_read_again_after_it_was_written(name: str, raw: Raw) -> None:
    codec = ALL[name]
    for reading in (codec.from_crm(raw), codec.from_table(raw, "p1:s0")):
        if isinstance(reading, Problem) or (isinstance(codec, (StageCodec, OwnerCodec)) and not codec.knows(reading)):
            continue
        assert codec.from_crm(codec.to_crm(reading)) == reading
        assert codec.from_table(codec.to_table(reading), reading) == reading


@given(raw=raws)
@pytest.mark.parametrize("name", ALL)
def test_whatever_stands_in_a_cell_is_a_value_or_a_sentence(name: str, raw: Raw) -> None:
    codec = ALL[name]
    for reading in (codec.from_crm(raw), codec.from_table(raw, None), codec.from_table(raw, "p1:s1")):
        assert reading is None or isinstance(reading, (str, Problem))
        if isinstance(reading, Problem):
            assert reading.sentence.endswith(".")
            assert reading.sentence.isprintable()
    assert codec.is_blank(raw) in (True, False)
    assert codec.has_gap(raw) in (True, False)


@pytest.mark.parametrize("stage", STAGE_VALUES)
def test_every_awkward_stage_comes_back(stage: str) -> None:
    assert STAGES.from_crm(STAGES.to_crm(stage)) == stage
    assert STAGES.from_table(STAGES.to_table(stage), None) == stage
    assert STAGES_ALONE.from_table(STAGES_ALONE.to_table(stage), stage) == stage


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (None, None),
        ("", None),
        (" \t\n\u00a0 ", None),
        ("  a \n b  ", "a b"),
        ("Cafe\u0301", "Caf\u00e9"),
        (0, "0"),
        ("0", "0"),
        (12.5, "12.5"),
    ],
)
def test_text_is_trimmed_collapsed_and_composed(raw: Raw, wanted: Value) -> None:
    assert text(raw) == wanted
    assert TextCodec().from_table(raw, None) == wanted


@given(words)
def test_text_is_canonical_at_once(raw: str) -> None:
    assert text(text(raw)) == text(raw)
    assert folded(folded(raw)) == folded(raw)


def test_text_in_a_select_is_the_label_of_its_option() -> None:
    column = Column("f", "Source", "select", options={"opt1": "  Web "})
    assert TextCodec(column).from_table("opt1", None) == "Web"
    assert TextCodec(column).from_table("typed", None) == "typed"


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "precision", "wanted"),
    [
        (None, 2, "0"),
        ("", 2, "0"),
        ("  ", 2, "0"),
        (0, 2, "0"),
        (0.0, 2, "0"),
        (-0.0, 2, "0"),
        ("-0", 2, "0"),
        (-0.001, 2, "0"),
        (1200.5, 2, "1200.5"),
        ("1,200.50", 2, "1200.5"),
        (" 1200 ", 2, "1200"),
        (1e-7, 2, "0"),
        (1e-7, 7, "0.0000001"),
        (0.1 + 0.2, 2, "0.3"),
        (0.1 + 0.2, 8, "0.3"),
        (1.005, 2, "1.01"),
        (2.5, 0, "3"),
        (-2.5, 0, "-3"),
        (100, 0, "100"),
        (1e14, 0, "100000000000000"),
        (1000, 3, "1000"),
        (99.999, 2, "100"),
    ],
)
def test_a_number_is_a_plain_decimal(raw: Raw, precision: int, wanted: str) -> None:
    assert money(raw, precision) == wanted


@pytest.mark.parametrize(
    "raw",
    [float("nan"), float("inf"), float("-inf"), "NaN", "Infinity", 1e15, -1e300, True, False, "abc", "1.2.3", [1]],
)
def test_what_is_no_amount_of_money_is_a_problem(raw: Raw) -> None:
    assert "number" in problem(money(raw, 2))


@given(st.decimals(min_value=-(10**14), max_value=10**14, allow_nan=False, places=8), st.integers(0, 8))
def test_a_number_is_rounded_half_up_to_the_precision_of_its_column(number: Decimal, precision: int) -> None:
    canon = value(money(str(number), precision))
    assert canon is not None
    assert Decimal(canon) == number.quantize(Decimal(1).scaleb(-precision), ROUND_HALF_UP)
    assert "E" not in canon
    assert canon != "-0"
    assert not ("." in canon and canon.endswith("0"))
    assert money(canon, precision) == canon


@given(st.integers(-(10**11), 10**11), st.integers(0, 4))
def test_a_written_number_reads_the_same_on_both_sides(cents: int, precision: int) -> None:
    canon = value(money(str(Decimal(cents).scaleb(-precision)), precision))
    codec = MoneyCodec(precision)
    assert codec.from_crm(codec.to_crm(canon)) == canon
    assert codec.from_table(codec.to_table(canon), None) == canon
    assert MoneyCodec(precision, as_text=True).from_table(canon, None) == canon


def test_a_column_of_text_gets_its_number_as_text() -> None:
    assert MoneyCodec(2, as_text=True).to_table("1200.5") == "1200.5"
    assert MoneyCodec(2, as_text=True).to_table(None) == "0"
    assert MoneyCodec(2).to_table("1200") == 1200
    assert isinstance(MoneyCodec(2).to_table("1200"), int)


def test_a_blank_number_is_zero_but_still_a_blank_cell() -> None:
    codec = MoneyCodec(2)
    assert codec.from_table(None, None) == codec.from_table(0, None) == "0"
    assert codec.is_blank(None)
    assert not codec.is_blank(0)
    assert not codec.is_blank("0")


# --- stages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["CLOSED WON", "closed  won", " Closed Won ", "closed\u00a0won"])
def test_a_stage_is_matched_without_case_or_spaces(typed: str) -> None:
    assert STAGES.from_table(["service", typed], None) == "p2:t1"


def test_accents_match_in_either_unicode_form() -> None:
    for form in ("NFC", "NFD"):
        assert STAGES.from_table(["Service", unicodedata.normalize(form, "CAFÉ ÉLAN")], None) == "p2:t5"
    assert STAGES.from_table(["Service", "straße"], None) == "p2:t6"


def test_the_same_stage_name_is_looked_up_in_the_named_pipeline() -> None:
    assert STAGES.from_table(["Sales Pipe", "New"], "p2:t1") == "p1:s0"
    assert STAGES.from_table(["Service", "New"], "p1:s1") == "p2:t0"


def test_without_a_pipeline_the_deals_own_is_meant() -> None:
    assert STAGES.from_table([None, "New"], "p2:t1") == "p2:t0"
    assert STAGES_ALONE.from_table([None, "New"], "p1:s1") == "p1:s0"
    assert STAGES_ALONE.from_table(["Service", "New"], "p1:s1") == "p1:s0"
    unknown = STAGES_ALONE.from_table([None, "New"], None)
    assert isinstance(unknown, Problem)
    assert not unknown.person


def test_an_unknown_stage_lists_the_stages_of_its_pipeline_only() -> None:
    small = StageCodec((Pipeline("p1", "A", (Stage("s1", "One"), Stage("s2", "Two  b "))), SECOND), STAGE_COLUMN)
    assert problem(small.from_table([None, "Three"], "p1:s1")) == (
        "Stage “Three” is not in pipeline “A”. Choose one of: One, Two b."
    )


def test_an_unknown_pipeline_lists_the_synced_ones() -> None:
    sentence = problem(STAGES.from_table(["Nope", "New"], "p1:s0"))
    assert sentence == "Pipeline “Nope” does not exist. Choose one of: Sales Pipe, Service."


def test_a_blank_stage_beside_a_pipeline_asks_for_one() -> None:
    sentence = problem(STAGES.from_table(["Service", None], "p1:s0"))
    assert "Service" in sentence
    assert "Closed Won" in sentence


def test_two_stages_of_one_name_keep_the_deals_own_and_else_ask() -> None:
    twins = StageCodec((Pipeline("p1", "A", (Stage("s1", "Call"), Stage("s2", "call "), Stage("s3", "x"))),))
    assert twins.from_table([None, "Call"], "p1:s2") == "p1:s2"
    assert "Two stages" in problem(twins.from_table([None, "Call"], "p1:s3"))


def test_a_deal_without_a_stage_is_nobodys_fault() -> None:
    broken: list[Raw] = [None, [], ["p1"], ["p1", None], [None, "s1"], "p1:s1"]
    for raw in broken:
        reading = STAGES.from_crm(raw)
        assert isinstance(reading, Problem)
        assert not reading.person


def test_a_blank_pipeline_is_a_gap_only_where_there_is_such_a_column() -> None:
    assert STAGES.has_gap([None, "New"])
    assert STAGES.has_gap(["Service", " "])
    assert not STAGES.has_gap(["Service", "New"])
    assert not STAGES_ALONE.has_gap([None, "New"])
    assert not STAGES.is_blank([None, "New"])


# --- status and owner ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_is_read_in_any_case(status: str) -> None:
    assert StatusCodec().from_table(f"  {status.upper()} ", None) == status
    assert StatusCodec().from_crm(status.title()) == status


def test_an_unknown_status_lists_the_four() -> None:
    assert problem(StatusCodec().from_table("gone", None)) == (
        "Status “gone” does not exist. Choose one of: open, won, lost, abandoned."
    )
    unknown = StatusCodec().from_crm("all")
    assert isinstance(unknown, Problem)
    assert not unknown.person


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("ann", "u1"),
        ("bob@example.com", "u2"),
        ("BOB2@example.com", "u3"),
        ("Bob (bob@example.com)", "u2"),
        ("Carl", "u4"),  # deleted, but the only one
        ("Dora", "u6"),  # the living one
        ("old@example.com", "u5"),
        ("nameless@example.com", "u7"),
        ("", None),
        (None, None),
    ],
)
def test_an_owner_is_found_by_name_or_address(typed: Raw, wanted: Value) -> None:
    assert OWNERS.from_table(typed, None) == wanted


def test_two_users_of_one_name_are_told_apart_by_their_address() -> None:
    sentence = problem(OWNERS.from_table("Bob", None))
    assert "Bob (bob@example.com), Bob (bob2@example.com)" in sentence
    assert "Carl" not in sentence  # deleted users are no choice
    assert OWNERS.to_table("u2") == "Bob (bob@example.com)"
    assert OWNERS.to_table("u1") == "Ann"


@pytest.mark.parametrize("user", [user.id for user in USERS])
def test_every_owner_comes_back_from_its_name(user: str) -> None:
    assert OWNERS.from_table(OWNERS.to_table(user), None) == user


def test_an_owner_that_is_not_listed_has_no_name() -> None:
    assert OWNERS.from_crm("u99") == "u99"
    assert not OWNERS.knows("u99")
    assert OWNERS.knows("u1")
    assert "no single user" in problem(OWNERS.from_table("u99", "u1"))
    assert OWNERS.from_crm("") is None


# --- options ---------------------------------------------------------------------------------------------------------


def test_a_renamed_option_keeps_its_meaning() -> None:
    met = Names({"opt1": "won", "opt2": "lost"})
    column = Column("f", "Status", "select", options={"opt1": "Hooray", "opt2": "lost"})
    assert StatusCodec(column, met).from_table("opt1", None) == "won"


def test_an_option_that_is_picked_means_what_the_person_saw() -> None:
    """An untouched cell keeps its meaning by its raw value (judge); one that was picked anew is read by name."""
    met = Names({"opt1": "won", "opt2": "lost"})
    column = Column("f", "Status", "select", options={"opt1": "lost", "opt2": "won"})
    assert StatusCodec(column, met).from_table("opt1", None) == "lost"
    assert StatusCodec(column, met).from_table("opt2", None) == "won"


def test_an_option_met_before_its_stage_existed_is_found_by_its_new_label() -> None:
    met = Names({"opt1": "draft"})
    column = replace(STAGE_COLUMN, options={"opt1": "New"})
    assert StageCodec(PIPELINES, column, PIPELINE_COLUMN, met).from_table(["Service", "opt1"], None) == "p2:t0"


def test_a_first_met_option_is_matched_by_its_label() -> None:
    column = Column("f", "Owner", "select", options={"optA": " ANN "})
    codec = codec_for("owner", {"owner": column}, Vocabulary(PIPELINES, USERS), {"owner": Names({"optA": " ANN "})})
    assert codec.from_table("optA", None) == "u1"


# --- sentences -------------------------------------------------------------------------------------------------------


def test_long_lists_are_cut_and_long_values_clipped() -> None:
    listed = choices(f"stage {n}" for n in range(MAX_CHOICES_NAMED + 3))
    assert listed.endswith("stage 11, and 3 more")
    assert clipped("x" * 200) == "x" * 59 + "…"
    assert clipped("a\nb\x00") == "a·b·"


def test_codecs_follow_the_columns_that_are_there() -> None:
    vocabulary = Vocabulary(PIPELINES, USERS)
    number = codec_for("value", {"value": Column("f", "Value", "number", precision=0)}, vocabulary, {})
    assert number.from_table(2.5, None) == "3"
    as_text = codec_for("value", {"value": Column("f", "Value", "text")}, vocabulary, {})
    assert as_text.to_table("2.5") == "2.5"
    alone = codec_for("stage", {"stage": STAGE_COLUMN}, vocabulary, {})
    assert alone.to_table("p2:t0") == [None, "New"]
