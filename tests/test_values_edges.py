"""Edges of the canonical values that mutants found (tests/mutation): exact sentences, options, odd ids, blanks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from syncd.fields import STATUSES
from syncd.model import Raw
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
    label_of,
    money,
)

SALES = Pipeline("p1", "Sales", (Stage("s1", "New"), Stage("s2", "Won"), Stage("x:y", "Odd")))
SERVICE = Pipeline("p2", "Service", (Stage("t1", "New"),))
OLD = Pipeline("p3", "Old", (Stage("o1", "Kept"),), synced=False)
TWINS = (Pipeline("q1", "Leads", (Stage("a", "Call"), Stage("b", "call "))), Pipeline("q2", "leads ", ()))
OPTIONS = {"optP": "Service", "optS": "New", "optX": "Gone", "optB": " "}
STAGE, PIPELINE = Column("f1", "Stage", "select", options=OPTIONS), Column("f2", "Pipeline", "select", options=OPTIONS)
STAGES = StageCodec((SALES, SERVICE, OLD), STAGE, PIPELINE)
STATUS = Column("f3", "Status", "select", options={"opt1": "Gone", "opt2": "WON"})
OWNER = Column("f4", "Owner", "select", options={"optA": "ann", "optX": "Gone", "optB": " "})
ANN = OwnerCodec((User("u1", "Ann"),), OWNER)

SENTENCES: list[tuple[Callable[[], Reading], Problem]] = [
    (lambda: money(True, 2), Problem("“True” is not a number.")),
    (lambda: money(["1"], 2), Problem("“['1']” is not a number.")),
    (lambda: money("a lot", 2), Problem("“a lot” is not a number that a deal's value can hold.")),
    (lambda: StatusCodec().from_crm("all"), Problem("HighLevel says status “all”.", person=False)),
    (
        lambda: StatusCodec(STATUS).from_table("opt1", None),
        Problem("Status “Gone” does not exist. Choose one of: open, won, lost, abandoned."),
    ),
    (
        lambda: ANN.from_table("optX", None),
        Problem("Owner “Gone” is no single user of this location. Choose one of: Ann."),
    ),
    (lambda: STAGES.from_crm(None), Problem("HighLevel did not say in which stage the deal is.", person=False)),
    (
        lambda: STAGES.from_table(["optP", None], "p1:s1"),
        Problem("Choose a stage of pipeline “Service”: New."),
    ),
    (
        lambda: STAGES.from_table([None, "optX"], "p1:s1"),
        Problem("Stage “Gone” is not in pipeline “Sales”. Choose one of: New, Won, Odd."),
    ),
    (
        lambda: STAGES.from_table(["optX", "New"], "p1:s1"),
        Problem("Pipeline “Gone” does not exist. Choose one of: Sales, Service."),
    ),
    (lambda: STAGES.from_table([None, "New"], None), Problem("The deal's pipeline is not known yet.", person=False)),
    (
        lambda: StageCodec(TWINS).from_table([None, "call"], "q1:c"),
        Problem("Two stages of pipeline “Leads” are called “Call”."),
    ),
    (
        lambda: StageCodec(TWINS, None, PIPELINE).from_table(["LEADS", "call"], None),
        Problem("Two pipelines are called “Leads”. Rename one of them in HighLevel."),
    ),
]


@pytest.mark.parametrize(("reading", "wanted"), SENTENCES, ids=[wanted.sentence[:30] for _, wanted in SENTENCES])
def test_people_read_exactly_these_words(reading: Callable[[], Reading], wanted: Problem) -> None:
    assert reading() == wanted


# --- lists and clips -------------------------------------------------------------------------------------------------


def test_a_list_is_never_cut_for_a_single_name() -> None:
    names = [f"n{at}" for at in range(MAX_CHOICES_NAMED + 2)]
    for count in (MAX_CHOICES_NAMED - 1, MAX_CHOICES_NAMED, MAX_CHOICES_NAMED + 1):
        assert choices(names[:count]) == ", ".join(names[:count])
    assert choices(names) == ", ".join(names[:MAX_CHOICES_NAMED]) + ", and 2 more"


def test_a_blank_name_is_listed_as_such() -> None:
    assert choices([" ", "b"]) == "(blank), b"


def test_what_just_fits_is_not_clipped() -> None:
    assert clipped("x" * 60) == "x" * 60
    assert clipped("x" * 61) == "x" * 59 + "…"


# --- nothing at all --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "crm", "table", "shown"),
    [
        (TextCodec(), None, None, ""),
        (MoneyCodec(), 0, 0, "0"),
        (MoneyCodec(as_text=True), 0, "0", "0"),
        (StatusCodec(), None, None, ""),
        (ANN, None, None, ""),
        (STAGES, ["", ""], [None, None], ""),
    ],
)
def test_no_value_is_shown_and_written_as_nothing(codec: Codec, crm: Raw, table: Raw, shown: str) -> None:
    assert (codec.to_crm(None), codec.to_table(None), codec.show(None)) == (crm, table, shown)


@pytest.mark.parametrize("codec", [TextCodec(), MoneyCodec(), StatusCodec(), ANN])
def test_a_cell_with_something_in_it_is_no_gap(codec: Codec) -> None:
    assert not codec.has_gap("5")
    assert not codec.is_blank("5")
    for blank in (None, "", "  "):
        assert codec.has_gap(blank)
        assert codec.is_blank(blank)


@pytest.mark.parametrize("raw", [None, "New", [], ["New"], ["a", "b", "c"], [None, None], ["Sales", " "]])
def test_a_stage_without_its_cell_is_blank_and_a_gap(raw: Raw) -> None:
    assert STAGES.is_blank(raw)
    assert STAGES.has_gap(raw)


def test_a_value_is_shown_as_it_is() -> None:
    assert MoneyCodec().show("1200.5") == "1200.5"
    assert StatusCodec().show("won") == "won"
    assert ANN.show("u9") == "u9"  # nobody in the list
    assert STAGES.show("p1:s2") == "Sales / Won"
    assert STAGES.show("p9:s9") == "p9:s9"  # no longer in the list


# --- options ---------------------------------------------------------------------------------------------------------


def test_an_option_is_read_by_its_label() -> None:
    assert STAGES.from_table(["optP", "optS"], "p1:s1") == "p2:t1"
    assert StatusCodec(STATUS).from_table("opt2", None) == "won"
    assert ANN.from_table("optA", None) == "u1"


def test_an_option_with_a_blank_label_is_nobody() -> None:
    assert isinstance(ANN.from_table("optB", None), Problem)  # Ann has no address; a blank one is none


def test_a_cell_that_shows_the_label_already_is_not_written() -> None:
    assert STAGES.only_changed(["Service", "New"], ["optP", "optS"]) == [None, None]
    assert STAGES.only_changed(["Service", "New"], ["optP", "Won"]) == [None, "New"]
    assert STAGES.only_changed(["Sales", "New"], ["optP", "optS"]) == ["Sales", None]


@pytest.mark.parametrize("present", [None, "New", [], ["New"]])
def test_without_two_cells_to_compare_both_are_written(present: Raw) -> None:
    assert STAGES.only_changed(["Service", "New"], present) == ["Service", "New"]


def test_what_is_no_pair_of_cells_is_written_as_it_is() -> None:
    assert STAGES.only_changed(None, ["Service", "New"]) is None


# --- stages ----------------------------------------------------------------------------------------------------------


def test_a_stage_id_may_hold_the_separator() -> None:
    value = STAGES.from_table(["Sales", "odd"], None)
    assert value == "p1:x:y"
    assert STAGES.to_crm(value) == ["p1", "x:y"]
    assert STAGES.to_table(value) == ["Sales", "Odd"]
    assert STAGES.from_table([None, "New"], value) == "p1:s1"


@pytest.mark.parametrize("raw", ["New", None, ["New"], ["Sales", "New", "x"], 7])
def test_what_is_no_pair_of_cells_names_no_stage(raw: Raw) -> None:
    assert STAGES.from_table(raw, "p2:t1") == Problem("Choose a stage of pipeline “Service”: New.")


# --- which codec -----------------------------------------------------------------------------------------------------


def test_every_codec_gets_its_own_column_and_names() -> None:
    columns = {name: Column(f"f-{name}", name, "select") for name in ("pipeline", "stage", "status", "owner", "source")}
    names = {name: Names({"opt": name}) for name in columns}
    vocabulary = Vocabulary((SALES,), (User("u1", "Ann"),))
    assert codec_for("stage", columns, vocabulary, names) == StageCodec(
        (SALES,), columns["stage"], columns["pipeline"], names["stage"], names["pipeline"]
    )
    assert codec_for("status", columns, vocabulary, names) == StatusCodec(columns["status"], names["status"])
    assert codec_for("owner", columns, vocabulary, names) == OwnerCodec(
        vocabulary.users, columns["owner"], names["owner"]
    )
    assert codec_for("source", columns, vocabulary, names) == TextCodec(columns["source"])
    bare = [codec_for(name, {}, vocabulary, {}) for name in ("stage", "status", "owner", "source", "value")]
    assert bare == [StageCodec((SALES,)), StatusCodec(), OwnerCodec(vocabulary.users), TextCodec(), MoneyCodec(2)]


def test_a_number_has_the_precision_of_its_column_else_two_digits() -> None:
    def made(column: Column) -> Codec:
        return codec_for("value", {"value": column}, Vocabulary((), ()), {})

    assert made(Column("f", "Value", "number", precision=3)) == MoneyCodec(3)
    assert made(Column("f", "Value", "number", precision=0)) == MoneyCodec(0)
    assert made(Column("f", "Value", "number")) == MoneyCodec(2)
    assert made(Column("f", "Value", "text")) == MoneyCodec(2, as_text=True)


def test_the_four_statuses() -> None:
    assert [StatusCodec().from_crm(one) for one in STATUSES] == ["open", "won", "lost", "abandoned"]


def test_options_are_looked_up_by_what_is_shown_and_by_what_they_were_called_first() -> None:
    column = Column("fld", "Status", "select", options={"sel1": "Won", "sel2": "Gone"})
    names = Names({"sel2": "Lost"})
    assert (names.of("sel1", column), names.of("sel2", column)) == (["won", "won"], ["gone", "lost"])
    assert (names.met("sel1"), names.met("sel2"), names.met(["sel2"]), names.met(2)) == ("sel1", "Lost", ["sel2"], 2)
    assert names.of(["sel2"], column) == [folded(label_of(["sel2"], column))] * 2
