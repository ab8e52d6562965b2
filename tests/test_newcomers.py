"""Rows without a deal, one by one (SPEC §5): the deal that each stands for, what it lacks, and whom it may match."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.judge import Ground
from syncd.model import Direction, Raw, Record, Side
from syncd.newcomers import (
    CANDIDATES_NAMED,
    E164,
    Lacking,
    Match,
    NewDeal,
    international,
    match_key,
    possible_matches,
    read_row,
)
from syncd.sides import Column, Person, User, Vocabulary
from syncd.values import codec_for
from tests.memory import ARCHIVE, COLUMNS, SALES, SERVICE, VOCABULARY, field_of

NAMES = ("name", "stage", "status", "value", "owner", "contact", "email", "phone", "company", "source")
OF_CONTACT = {name: Column(f"fld{name}", name.title(), "text") for name in ("contact", "email", "phone", "company")}
ALL = {**COLUMNS, **OF_CONTACT}
GOOD: dict[str, Raw] = {"name": "Roof", "email": "jo@x.example", "pipeline": "Sales"}
ONE = Vocabulary((SALES, ARCHIVE), VOCABULARY.users)


def ground(vocabulary: Vocabulary = VOCABULARY, *lacking: str, **directions: Direction) -> Ground:
    """A pair whose table has all columns but these."""
    columns = {name: column for name, column in ALL.items() if name not in lacking}
    fields = tuple(field_of(name, directions.get(name)) for name in NAMES if name in columns)
    codecs = tuple(codec_for(f.name, columns, vocabulary, {}) for f in fields)
    return Ground(fields, codecs, {Side.CRM: "HighLevel", Side.TABLE: "Airtable"})


def row(on: Ground, id: str = "r", /, **cells: Raw) -> Record:
    """A row with these cells."""
    raw: list[Raw] = [[cells.get("pipeline"), cells.get("stage")] if f.name == "stage" else cells.get(f.name)
                      for f in on.fields]  # fmt: skip
    return Record(id, tuple(raw), title=str(cells.get("name") or ""))


def read(vocabulary: Vocabulary = VOCABULARY, /, *lacking: str, **cells: Raw) -> NewDeal | Lacking:
    """What becomes of a good row with these cells changed."""
    on = ground(vocabulary, *lacking)
    return read_row(on, row(on, **{**GOOD, **cells}))


def values(found: NewDeal | Lacking, *lacking: str) -> dict[str, Raw]:
    """What the CRM is to hold, by field."""
    assert isinstance(found, NewDeal), found
    names = [name for name in NAMES if name not in lacking]
    return {names[at]: planned[2] for at, planned in found.values.items()}


NATIONAL = "“123” is no international number. Write it like +15551234567, or fill in “Email”."
BARE: dict[str, Raw] = {"name": "Roof", "stage": ["p1", "s1"], "status": "open"}


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        ({}, {}),
        ({"name": "  Roof \u00a0top "}, {"name": "Roof top"}),
        ({"stage": "qualified"}, {"stage": ["p1", "s2"]}),
        ({"pipeline": "service"}, {"stage": ["p2", "t1"]}),
        ({"pipeline": "Service", "stage": "Done"}, {"stage": ["p2", "t2"]}),
        ({"status": " WON "}, {"status": "won"}),
        ({"value": "1,200.505"}, {"value": 1200.51}),
        ({"value": 0}, {"value": 0}),
        ({"value": "  "}, {}),
        ({"owner": "bob@example.com"}, {"owner": "u2"}),
        ({"source": "Fair"}, {}),
    ],
)
def test_what_the_deal_holds(cells: dict[str, Raw], wanted: dict[str, Raw]) -> None:
    assert values(read(**cells)) == {**BARE, **wanted}


@pytest.mark.parametrize(
    ("cells", "person"),
    [
        ({}, Person("", "jo@x.example", "", "")),
        ({"contact": "Jo  Park", "company": "Acme"}, Person("Jo Park", "jo@x.example", "", "Acme")),
        ({"phone": "+1 (555) 123-4567"}, Person("", "jo@x.example", "+15551234567", "")),
        ({"phone": "555 123 4567"}, Person("", "jo@x.example", "", "")),
        ({"email": "", "phone": "+49 170 / 12.34.56"}, Person("", "", "+49170123456", "")),
    ],
)
def test_whom_it_is_for(cells: dict[str, Raw], person: Person) -> None:
    found = read(**cells)
    assert isinstance(found, NewDeal)
    assert found.person == person
    assert (found.row, found.title) == ("r", "Roof")


@pytest.mark.parametrize(
    ("cells", "sentences"),
    [
        ({"name": " "}, ["To become a deal, this row needs “Name”."]),
        ({"email": None}, ["To become a deal, this row needs “Email” or “Phone”."]),
        ({"name": None, "email": ""}, ["To become a deal, this row needs “Name”, and “Email” or “Phone”."]),
        ({"email": "jo"}, ["“jo” is no e-mail address."]),
        ({"email": "a@x.y, b@x.y"}, ["“a@x.y, b@x.y” is no e-mail address."]),
        ({"email": None, "phone": "123"}, [NATIONAL]),
        ({"pipeline": None}, ["Choose “Pipeline”: Sales, Service."]),
        ({"pipeline": None, "stage": "New"}, ["Choose “Pipeline”: Sales, Service."]),
        ({"pipeline": "X"}, ["Pipeline “X” does not exist. Choose one of: Sales, Service."]),
        ({"pipeline": "Archive"}, ["Pipeline “Archive” is not synced. Choose one of: Sales, Service."]),
        ({"stage": "X"}, ["Stage “X” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won."]),
        ({"stage": "Done"}, ["Stage “Done” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won."]),
        ({"status": "X"}, ["Status “X” does not exist. Choose one of: open, won, lost, abandoned."]),
        ({"owner": "X"}, ["Owner “X” is no single user of this location. Choose one of: Ann, Bob."]),
        ({"value": "12,50"}, ["“12,50” is not a number that a deal's value can hold."]),
        ({"name": "", "status": "X"}, ["To become a deal, this row needs “Name”.",
                                       "Status “X” does not exist. Choose one of: open, won, lost, abandoned."]),
    ],
)  # fmt: skip
def test_what_it_lacks(cells: dict[str, Raw], sentences: list[str]) -> None:
    assert read(**cells) == Lacking(tuple(sentences), True)


def test_the_only_synced_pipeline_is_meant_where_none_is_named() -> None:
    assert values(read(ONE, pipeline=None))["stage"] == ["p1", "s1"]
    assert values(read(ONE, "pipeline", stage="Qualified"), "pipeline")["stage"] == ["p1", "s2"]
    assert values(read(ONE, pipeline="Sales"))["stage"] == ["p1", "s1"]
    found = read(ONE, pipeline="Archive")
    assert isinstance(found, Lacking)
    several = read(VOCABULARY, "pipeline")
    assert several == Lacking(("The table has no column “Pipeline”, and a new deal can be in any of: Sales, Service.",))


def test_a_pipeline_without_stages_has_no_first_one() -> None:
    bare = Vocabulary((replace(SALES, stages=()), SERVICE))
    assert read(bare) == Lacking(("Pipeline “Sales” has no stage yet.",))


def test_columns_that_the_table_lacks() -> None:
    assert values(read(ONE, "value", "owner"), "value", "owner") == BARE
    found = read(ONE, "email", "phone")
    assert found == Lacking(("To become a deal, this row needs “Email” or “Phone” (the table has no such column).",))
    assert isinstance(read(ONE, "email", phone="+15551234567"), NewDeal)
    nameless = read(ONE, "name")
    assert nameless == Lacking(("To become a deal, this row needs “Name”.",))


def test_a_cell_that_cannot_be_read_waits() -> None:
    on = ground()
    unread = replace(row(on, **GOOD), lacks=frozenset({NAMES.index("value")}))
    assert read_row(on, unread) == Lacking(("“Value” of this row cannot be read.",))


def test_only_what_travels_to_the_crm_is_taken_but_for_what_a_deal_needs() -> None:
    on = ground(VOCABULARY, value=Direction.TO_TABLE, owner=Direction.TO_CRM, name=Direction.TO_TABLE)
    found = read_row(on, row(on, **{**GOOD, "value": 5, "owner": "Ann", "status": "won"}))
    assert values(found) == {**BARE, "status": "won", "owner": "u1"}


def test_two_users_of_one_name_are_asked_about() -> None:
    twins = Vocabulary(VOCABULARY.pipelines, (User("u1", "Ann", "a@x.y"), User("u2", "Ann", "b@x.y")))
    found = read(twins, owner="Ann")
    assert isinstance(found, Lacking)
    assert "Ann (a@x.y), Ann (b@x.y)" in found.sentences[0]


def test_the_text_of_a_refusal_changes_with_every_cell_that_matters() -> None:
    changes: list[dict[str, Raw]] = [
        {}, {"name": "X"}, {"email": "x@x.example"}, {"phone": "+15551234567"}, {"contact": "X"}, {"company": "X"},
        {"stage": "Qualified"}, {"pipeline": "Service"}, {"status": "won"}, {"value": 1}, {"owner": "Ann"},
    ]  # fmt: skip
    texts = []
    for cells in changes:
        found = read(**cells)
        assert isinstance(found, NewDeal)
        texts.append(found.text())
    assert len(set(texts)) == len(changes)
    same = read(name=" Roof ")
    assert isinstance(same, NewDeal)
    assert same.text() == texts[0]


@pytest.mark.parametrize(
    ("typed", "number"),
    [("+15551234567", "+15551234567"), (" +1 555-123.4567 ", "+15551234567"), ("15551234567", ""), ("+05551234", ""),
     ("+123456", ""), ("+1234567", "+1234567"), ("+1555123456789012", ""), ("+1555 ext 7", ""), ("", "")],
)  # fmt: skip
def test_international_numbers(typed: str, number: str) -> None:
    assert international(typed) == number
    assert not number or E164.fullmatch(number)


# --- matches ---------------------------------------------------------------------------------------------------------


def deal(on: Ground, id: str, /, **held: Raw) -> Record:
    """A deal of the CRM."""
    usual: dict[str, Raw] = {"stage": ["p1", "s1"], "status": "open", "value": 0, "name": id}
    return Record(id, tuple({**usual, **held}.get(f.name) for f in on.fields), title=str(held.get("name") or id))


@pytest.mark.parametrize(
    ("cells", "held", "by"),
    [
        ({"name": "ROOF "}, {"name": "Roof"}, ("name",)),
        ({"name": "Straße"}, {"name": "STRASSE"}, ("name",)),
        ({"name": "Roof"}, {"name": "Roof 2"}, None),
        ({"email": "JO@x.example"}, {"email": "jo@X.example"}, ("email",)),
        ({"phone": "(555) 123-4567"}, {"phone": "+15551234567"}, ("phone",)),
        ({"phone": "0170 1234567"}, {"phone": "+49 170 1234567"}, ("phone",)),
        ({"phone": "12345"}, {"phone": "12345"}, None),
        ({"phone": "+15551234568"}, {"phone": "+15551234567"}, None),
        ({"name": "Roof", "email": "a@x.y"}, {"name": "roof", "email": "A@x.y", "phone": "+1"}, ("name", "email")),
        ({"email": None}, {"email": None}, None),
        ({"name": "Jo", "contact": "Roof"}, {"name": "Roof", "contact": "Jo"}, None),
    ],
)
def test_what_matches(cells: dict[str, Raw], held: dict[str, Raw], by: tuple[str, ...] | None) -> None:
    on = ground()
    found = possible_matches(on, [row(on, **cells)], [deal(on, "d", **held)])
    assert [(one.row, one.deal, one.by, one.alone) for one in found] == ([] if by is None else [("r", "d", by, True)])


def test_what_an_answer_does_not_tell_matches_nothing() -> None:
    on = ground()
    blind = replace(deal(on, "d", name="Roof"), lacks=frozenset({NAMES.index("name")}))
    assert possible_matches(on, [row(on, name="Roof")], [blind]) == []
    assert (
        possible_matches(on, [replace(row(on, name="Roof"), lacks=frozenset({0}))], [deal(on, "d", name="Roof")]) == []
    )


def test_more_than_one_candidate_is_ambiguous_on_either_side() -> None:
    on = ground()
    rows = [row(on, "r1", name="A", email="a@x.y"), row(on, "r2", name="B"), row(on, "r3", name="C")]
    deals = [deal(on, "d1", name="A"), deal(on, "d2", name="x", email="a@x.y"), deal(on, "d3", name="b")]
    found = possible_matches(on, rows, deals)
    assert found == [
        Match("r1", "d1", "A", ("name",), False), Match("r1", "d2", "A", ("email",), False),
        Match("r2", "d3", "B", ("name",), True),
    ]  # fmt: skip
    swapped = possible_matches(on, [row(on, "r1", name="A"), row(on, "r2", name="a")], deals)
    assert [(one.row, one.deal, one.alone) for one in swapped] == [("r1", "d1", False), ("r2", "d1", False)]


def test_a_refused_pair_is_no_candidate() -> None:
    on = ground()
    rows = [row(on, "r1", name="A"), row(on, "r2", name="A")]
    deals = [deal(on, "d1", name="A")]
    found = possible_matches(on, rows, deals, {("r2", "d1")})
    assert found == [Match("r1", "d1", "A", ("name",), True)]
    assert possible_matches(on, rows, deals, {("r1", "d1"), ("r2", "d1")}) == []


def test_order_changes_nothing() -> None:
    on = ground()
    rows = [row(on, f"r{n}", name=f"N{n % 7}", email=f"e{n % 5}@x.y") for n in range(40)]
    deals = [deal(on, f"d{n}", name=f"N{n % 9}", email=f"e{n % 4}@x.y") for n in range(40)]
    assert possible_matches(on, rows, deals) == possible_matches(on, rows[::-1], deals[::-1])


def test_twenty_thousand_of_one_name_are_reported_without_every_pair() -> None:
    """Every record is in the report, and it does not grow with the square (which would never end here)."""
    on, number = ground(), 20_000
    rows = [row(on, f"r{n:05}", name="New deal") for n in range(number)]
    deals = [deal(on, f"d{n:05}", name="new deal") for n in range(number)]
    found = possible_matches(on, rows, deals)
    assert {one.row for one in found} == {one.id for one in rows}
    assert {one.deal for one in found} == {one.id for one in deals}
    assert len(found) <= 2 * number * CANDIDATES_NAMED
    assert not any(one.alone for one in found)


def test_keys_say_nothing_where_nothing_is_said() -> None:
    assert [match_key("name", " "), match_key("email", ""), match_key("phone", "n/a")] == ["", "", ""]
