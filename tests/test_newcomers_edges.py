"""Rows without a deal at the edges (SPEC §5): one-way columns, addresses beside numbers, formulas, whom they match."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.model import Direction, Raw
from syncd.newcomers import Lacking, match_key, possible_matches, read_row
from syncd.sides import Vocabulary
from tests.memory import SALES, SERVICE, VOCABULARY
from tests.test_newcomers import BARE, GOOD, NAMES, deal, ground, read, row, values

VALUE, OWNER = NAMES.index("value"), NAMES.index("owner")


@pytest.mark.parametrize("direction", [Direction.TO_TABLE, Direction.OFF])
def test_what_a_deal_needs_is_read_from_the_row_though_its_edits_do_not_travel(direction: Direction) -> None:
    on = ground(name=direction, status=direction, value=direction)
    found = read_row(on, row(on, **{**GOOD, "status": "won", "value": 5}))
    assert values(found) == {**BARE, "status": "won"}
    unknown = read_row(on, row(on, **{**GOOD, "status": "sold"}))
    assert isinstance(unknown, Lacking)
    assert unknown.sentences[0].startswith("Status “sold” does not exist.")


@pytest.mark.parametrize("phone", [None, "+15551234567", "555 1234"])
def test_a_bad_address_is_told_whatever_stands_beside_it(phone: str | None) -> None:
    """It would be left out silently, and what was typed would never reach HighLevel."""
    assert read(email="jo at x", phone=phone) == Lacking(("“jo at x” is no e-mail address.",))


def test_a_formula_is_told_apart_from_a_cell_that_cannot_be_read() -> None:
    on = ground()
    unread = replace(row(on, **GOOD), lacks=frozenset({VALUE, OWNER}), formulas=frozenset({VALUE}))
    sentences = ("“Value” is a formula; type the value itself.", "“Owner” of this row cannot be read.")
    assert read_row(on, unread) == Lacking(sentences)


@pytest.mark.parametrize(
    ("typed", "held", "same"),
    [
        ("0 987 654 321", "+49 987 654 321", True),  # nine digits at the end
        ("1 987 654 321", "+2 987 654 321", True),  # and only those
        ("8 87 654 321", "+49 987 654 321", False),
        ("123-456", "(123) 456", True),  # six are enough for a number
        ("123-45", "(123) 45", False),
    ],
)
def test_how_many_digits_make_two_numbers_one(typed: str, held: str, same: bool) -> None:
    on = ground()
    found = possible_matches(on, [row(on, phone=typed)], [deal(on, "d", phone=held)])
    assert [one.by for one in found] == ([("phone",)] if same else [])
    assert (match_key("phone", typed) == match_key("phone", held) != "") is same


def test_of_many_candidates_five_are_named_for_each_record() -> None:
    on, cells = ground(), dict[str, Raw](name="New deal")
    rows = [row(on, f"r{n}", **cells) for n in range(10)]
    deals = [deal(on, f"d{n}", **cells) for n in range(10)]
    found = {(one.row, one.deal) for one in possible_matches(on, rows, deals)}
    first = range(5)
    assert found == {(f"r{n}", f"d{m}") for n in range(10) for m in range(10) if n in first or m in first}
    assert not any(one.alone for one in possible_matches(on, rows, deals))


def test_what_a_row_lacks_is_called_as_its_columns_are() -> None:
    on = ground()
    fields = tuple(replace(one, columns=tuple(f"My {part}" for part in one.columns)) for one in on.fields)
    mine = replace(on, fields=fields)
    found = read_row(mine, row(mine))
    assert isinstance(found, Lacking)
    assert found.sentences[0] == "To become a deal, this row needs “My Name”, and “My Email” or “My Phone”."


@pytest.mark.parametrize("lacking", ["email", "phone"])
def test_one_of_both_columns_is_enough_for_a_contact(lacking: str) -> None:
    on = ground(VOCABULARY, lacking)
    found = read_row(on, row(on, name="Roof", pipeline="Sales"))
    assert found == Lacking(("To become a deal, this row needs “Email” or “Phone”.",))


def test_a_stage_that_cannot_be_read_is_told_once() -> None:
    on = ground()
    unread = replace(row(on, **{**GOOD, "pipeline": None}), lacks=frozenset({NAMES.index("stage")}))
    assert read_row(on, unread) == Lacking(("“Stage” of this row cannot be read.",))


@pytest.mark.parametrize("first", [True, False])
def test_of_two_pipelines_with_one_name_none_is_guessed(first: bool) -> None:
    twin = replace(SALES, id="p9")
    found = read(Vocabulary((SALES, twin) if first else (SERVICE, SALES, twin), VOCABULARY.users))
    assert found == Lacking(("Two pipelines are called “Sales”. Rename one of them in HighLevel.",))
