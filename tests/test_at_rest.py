"""What a full pass may leave out: nothing but records that are exactly as they were left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from syncd.at_rest import NONE_RESTING, Familiar, Sieve, apart, as_left
from syncd.model import Agreed, Link, LinkState, Raw, Record, Side, packed_shadow
from tests.stored import stored

NAMES = ["name", "status"]
DEAL = Record("d1", ("Roof", "open"), stamp=5.0, title="Roof")
ROW = Record("r1", ("Roof", "o1"), partner="d1", message="", title="Roof")


def link(deal: str = "d1", row: str = "r1") -> Link:
    """A link whose deal was seen with a stamp of a person's."""
    agreed = {"name": Agreed("Roof", "Roof", "Roof", "Roof"), "status": Agreed("open", "open", "o1", "open")}
    return Link(deal, row, title="Roof", seen=5.0, foreign=5.0, shadow=packed_shadow(agreed, NAMES))


def sieve(side: Side, *links: Link, **messages: str) -> Sieve:
    """A sieve over these links."""
    return Sieve(side, {one.deal: stored(one) for one in links or (link(),)}, NAMES, messages)


@pytest.mark.parametrize(
    ("side", "record"),
    [
        (Side.CRM, DEAL),
        (Side.CRM, replace(DEAL, title="")),
        (Side.TABLE, ROW),
        (Side.TABLE, replace(ROW, message=None)),
    ],
)
def test_what_is_as_it_was_left_rests(side: Side, record: Record) -> None:
    held = sieve(side)
    assert held.holds(record)
    assert held.found == {"d1"}


@pytest.mark.parametrize(
    "deal",
    [
        replace(DEAL, id="d2"),
        replace(DEAL, raw=("Roof", "won")),
        replace(DEAL, stamp=6.0),
        replace(DEAL, stamp=4.0),
        replace(DEAL, stamp=None),
        replace(DEAL, title="Other"),
        replace(DEAL, outside="p2"),
        replace(DEAL, lacks=frozenset({1})),
    ],
)
def test_a_deal_that_differs_in_the_least_is_kept(deal: Record) -> None:
    held = sieve(Side.CRM)
    assert held.strained(iter([deal])) == {deal.id: deal}
    assert not held.found


@pytest.mark.parametrize(
    "row",
    [
        replace(ROW, id="r2"),
        replace(ROW, partner=None),
        replace(ROW, partner="d2"),
        replace(ROW, raw=("Roof", "o2")),
        replace(ROW, message="Deleted in HighLevel"),
        replace(ROW, lacks=frozenset({0})),
    ],
)
def test_a_row_that_differs_in_the_least_is_kept(row: Record) -> None:
    held = sieve(Side.TABLE)
    assert held.strained(iter([row])) == {row.id: row}
    assert not held.found


@pytest.mark.parametrize("state", [state for state in LinkState if state is not LinkState.BOTH])
def test_only_links_with_both_records_rest(state: LinkState) -> None:
    assert not sieve(Side.CRM, replace(link(), state=state)).holds(DEAL)
    assert not sieve(Side.TABLE, replace(link(), state=state)).holds(ROW)


def test_a_stamp_of_which_nobody_knows_whose_it_is_keeps_the_deal() -> None:
    assert not sieve(Side.CRM, replace(link(), foreign=None)).holds(DEAL)
    assert not sieve(Side.CRM, replace(link(), foreign=4.0)).holds(DEAL)
    assert sieve(Side.CRM, replace(link(), foreign=None, own=(5.0,))).holds(DEAL), "it is our own"


def test_what_was_last_written_to_the_sync_cell_counts_more_than_what_was_listed() -> None:
    assert not sieve(Side.TABLE, r1="Deleted in HighLevel").holds(ROW)
    assert sieve(Side.TABLE, r1="").holds(replace(ROW, message="said before"))


def both(deals: Iterable[Record], rows: Iterable[Record], *named: str) -> tuple[set[str], set[str], set[str], set[str]]:
    """(Links to plan, links at rest, deals, rows) after two sweeps over two links."""
    links = (link(), link("d2", "r2"))
    crm, table = sieve(Side.CRM, *links), sieve(Side.TABLE, *links)
    kept, kept_rows = crm.strained(iter(deals)), table.strained(iter(rows))
    planned, resting = apart(kept, kept_rows, crm, table, named, {stored(one): one for one in links}.__getitem__, True)
    assert {one.deal: one for one in links} == planned | resting.links(), "each is here or there"
    return set(planned), set(resting.stored), set(kept), set(kept_rows)


DEALS, ROWS = (DEAL, replace(DEAL, id="d2")), (ROW, replace(ROW, id="r2", partner="d2"))


def test_a_link_rests_with_both_its_records() -> None:
    assert both(DEALS, ROWS) == (set(), {"d1", "d2"}, set(), set())


def test_an_edited_record_brings_its_partner_along_as_it_was_left() -> None:
    edited = replace(DEAL, raw=("Roof", "won"), stamp=9.0)
    assert both([edited, DEALS[1]], ROWS) == ({"d1"}, {"d2"}, {"d1"}, {"r1"})
    typed = replace(ROW, raw=("Roof", "o2"))
    assert both(DEALS, [typed, ROWS[1]]) == ({"d1"}, {"d2"}, {"d1"}, {"r1"})


def test_a_missing_record_is_planned() -> None:
    assert both(DEALS[1:], ROWS) == ({"d1"}, {"d2"}, set(), {"r1"})
    assert both(DEALS, ROWS[1:]) == ({"d1"}, {"d2"}, {"d1"}, set())


@pytest.mark.parametrize("first", [True, False])
def test_a_copied_row_brings_the_original_along(first: bool) -> None:
    copy = replace(ROW, id="copy")
    assert both(DEALS, [copy, *ROWS] if first else [*ROWS, copy]) == ({"d1"}, {"d2"}, {"d1"}, {"r1", "copy"})


@pytest.mark.parametrize("key", [None, "d9"])
def test_a_row_that_comes_twice_and_lost_its_id_in_between_is_planned(key: str | None) -> None:
    """Else it would pass for a row without a deal, and get one of its own (P7)."""
    assert both(DEALS, [*ROWS, replace(ROW, partner=key)]) == ({"d1"}, {"d2"}, {"d1"}, {"r1"})


def test_a_row_with_another_ones_key_brings_both_links_along() -> None:
    swapped = replace(ROW, partner="d2")
    assert both(DEALS, [swapped, ROWS[1]]) == ({"d1", "d2"}, set(), {"d1", "d2"}, {"r1", "r2"})


def test_of_a_record_that_is_shown_twice_the_later_one_counts() -> None:
    typed = replace(ROW, raw=("Roof", "o2"))
    assert both(DEALS, [ROW, typed, ROWS[1]])[0] == {"d1"}
    assert both(DEALS, [typed, ROW, ROWS[1]])[:2] == (set(), {"d1", "d2"})


def test_a_record_that_is_shown_again_and_was_edited_rests_no_more() -> None:
    held, rows = sieve(Side.CRM), sieve(Side.TABLE)
    assert held.holds(DEAL)
    assert not held.holds(replace(DEAL, stamp=6.0))
    assert rows.holds(ROW)
    assert not rows.holds(replace(ROW, raw=("Roof", "o2")))
    assert held.found == rows.found == set()


@pytest.mark.parametrize(("has_messages", "message"), [(True, ""), (False, None)])
def test_a_row_that_rests_has_a_sync_cell_where_the_table_has_that_column(
    has_messages: bool, message: str | None
) -> None:
    crm, table = sieve(Side.CRM), sieve(Side.TABLE)
    assert table.holds(replace(ROW, message=message))
    rows: dict[str, Record] = {}
    apart({"d1": replace(DEAL, stamp=6.0)}, rows, crm, table, (), lambda _: link(), has_messages)
    assert rows["r1"].message == message


@pytest.mark.parametrize(("names", "title"), [(NAMES, "Shown"), (["status"], "Kept")])
def test_a_row_that_rests_is_called_as_it_shows_itself(names: list[str], title: str) -> None:
    agreed = {"name": Agreed("Roof", "Roof", "Shown", "Roof"), "status": Agreed("open", "open", "o1", "open")}
    one = replace(link(), title="Kept", shadow=packed_shadow(agreed, NAMES))
    row = as_left(one, Side.TABLE, names)
    assert (row.title, row.partner, as_left(one, Side.CRM, names).title) == (title, "d1", "Kept")


def test_a_row_whose_name_is_no_text_is_called_nothing() -> None:
    agreed = {"name": Agreed("5", "5", 5, "5"), "status": Agreed("open", "open", "o1", "open")}
    assert as_left(replace(link(), shadow=packed_shadow(agreed, NAMES)), Side.TABLE, NAMES).title == ""


def test_deals_that_are_named_are_planned() -> None:
    assert both(DEALS, ROWS, "d2") == ({"d2"}, {"d1"}, {"d2"}, {"r2"})


def test_a_listing_that_begins_anew_forgets_what_was_found() -> None:
    held = sieve(Side.TABLE)
    held.holds(ROW)
    held.begin()
    assert not held.found


@pytest.mark.parametrize("raw", [("Roof", "open"), ("Žižkov “1”", None), (["p1", "s1"], 1.5), (True, 10**30)])
def test_a_record_that_rests_is_put_together_as_it_was(raw: tuple[Raw, ...]) -> None:
    agreed = {name: Agreed("x", value, value, "x") for name, value in zip(NAMES, raw, strict=True)}
    one = Link("d1", "r1", title="T", seen=5.0, foreign=5.0, shadow=packed_shadow(agreed, NAMES))
    held, rows = sieve(Side.CRM, one), sieve(Side.TABLE, one)
    deal, row = Record("d1", raw, stamp=5.0, title="T"), Record("r1", raw, partner="d1", message="")
    assert held.holds(deal)
    assert rows.holds(row)
    _, resting = apart({}, {}, held, rows, (), lambda _: one, True)
    deals, found = resting.records()
    assert (deals["d1"].raw, deals["d1"].stamp, deals["d1"].title) == (raw, 5.0, "T")
    assert (found["r1"].raw, found["r1"].partner, found["r1"].message) == (raw, "d1", "")
    assert NONE_RESTING.records() == ({}, {})


DEAL_ANSWER = {"id": "d1", "name": "Roof", "status": "open", "at": 5.0}
ROW_ANSWER = {"id": "r1", "name": "Roof", "status": "o1", "sync": ""}


def shown(side: Side, answer: dict[str, Any]) -> Record:
    """The record of an answer of these made-up servers."""
    raw = (answer["name"], answer["status"])
    if side is Side.CRM:
        return Record(answer["id"], raw, stamp=answer["at"], title=answer["name"])
    return Record(answer["id"], raw, partner="d1", message=answer["sync"])


def listed(familiar: Familiar, one: Sieve, answer: dict[str, Any], columns: object = "columns") -> tuple[bool, bool]:
    """(Whether the answer was known, whether its record rests) in one listing."""
    familiar.lend(one, columns)
    known = one.knows("d1", answer["id"] if one.side is Side.TABLE else None, answer)
    rests = known or one.holds(shown(one.side, answer))
    assert one.found == ({"d1"} if rests else set())
    return known, rests


@pytest.mark.parametrize(("side", "answer"), [(Side.CRM, DEAL_ANSWER), (Side.TABLE, ROW_ANSWER)])
def test_an_answer_that_rested_once_is_known_when_it_comes_again(side: Side, answer: dict[str, Any]) -> None:
    familiar = Familiar()
    seen = [listed(familiar, sieve(side), answer) for _ in range(4)]
    assert seen == [(False, True), (False, True), (True, True), (True, True)], "the first listing of a process is free"


def used_to(side: Side, answer: dict[str, Any], *links: Link) -> Familiar:
    """What two listings of this answer leave."""
    familiar = Familiar()
    for _ in range(2):
        assert listed(familiar, sieve(side, *links), answer) == (False, True)
    return familiar


@pytest.mark.parametrize(
    "change",
    [{"status": "won"}, {"at": 6.0}, {"name": "Other"}],
)  # fmt: skip
def test_another_answer_is_looked_at(change: dict[str, Any]) -> None:
    assert listed(used_to(Side.CRM, DEAL_ANSWER), sieve(Side.CRM), DEAL_ANSWER | change) == (False, False)


def test_the_same_answer_is_looked_at_for_another_link_or_other_columns() -> None:
    familiar = used_to(Side.CRM, DEAL_ANSWER)
    gone = replace(link(), state=LinkState.DEAL_GONE)
    assert listed(familiar, sieve(Side.CRM, gone), DEAL_ANSWER) == (False, False)
    assert listed(familiar, sieve(Side.CRM, replace(link(), seen=6.0)), DEAL_ANSWER) == (False, False)
    assert listed(familiar, sieve(Side.CRM, replace(link(), title="Other")), DEAL_ANSWER) == (False, False)
    assert listed(familiar, sieve(Side.CRM), DEAL_ANSWER, "other columns") == (False, True)
    assert listed(familiar, sieve(Side.CRM), DEAL_ANSWER) == (True, True)
    assert not sieve(Side.CRM, link("d2")).knows("d1", None, DEAL_ANSWER)


def test_a_row_is_looked_at_where_its_sync_cell_was_written_meanwhile() -> None:
    familiar = used_to(Side.TABLE, ROW_ANSWER)
    assert listed(familiar, sieve(Side.TABLE, r1="Deleted in HighLevel"), ROW_ANSWER) == (False, False)
    assert listed(familiar, sieve(Side.TABLE, link(row="r2")), ROW_ANSWER) == (False, False)
    assert listed(familiar, sieve(Side.TABLE), ROW_ANSWER) == (True, True)


def test_a_message_that_was_taken_away_but_is_listed_still_is_no_rest_for_later() -> None:
    familiar, late = Familiar(), ROW_ANSWER | {"sync": "said before"}
    for _ in range(3):
        assert listed(familiar, sieve(Side.TABLE, r1=""), late) == (False, True)
    assert listed(familiar, sieve(Side.TABLE), late) == (False, False)


def test_a_copy_of_a_row_does_not_become_familiar() -> None:
    familiar, copied = Familiar(), ROW_ANSWER | {"id": "copy"}
    for _ in range(3):
        one = sieve(Side.TABLE)
        familiar.lend(one, "columns")
        assert not one.knows("d1", "copy", copied)
        assert not one.holds(shown(Side.TABLE, copied))
    assert not familiar.answers


def test_a_listing_that_begins_anew_remembers_no_answer_of_the_former() -> None:
    familiar, one = used_to(Side.CRM, DEAL_ANSWER), sieve(Side.CRM)
    familiar.lend(one, "columns")
    assert not one.knows("d1", None, DEAL_ANSWER | {"status": "won"})
    one.begin()
    assert not one.knows("d1", None, DEAL_ANSWER | {"big": 10**30})
    assert one.holds(DEAL)
    assert len(familiar.answers) == 1, "the edited answer was at no rest"


def test_what_cannot_be_written_as_json_is_looked_at() -> None:
    familiar = Familiar()
    for _ in range(3):
        assert listed(familiar, sieve(Side.CRM), DEAL_ANSWER | {"big": 10**30}) == (False, True)


def test_answers_that_nobody_gives_any_more_are_forgotten() -> None:
    familiar = used_to(Side.CRM, DEAL_ANSWER)
    familiar.answers |= {bytes([at % 256, at // 256]) for at in range(1_003)}
    assert listed(familiar, sieve(Side.CRM), DEAL_ANSWER) == (False, True)
    assert len(familiar.answers) == 1


_LINKS = (link(), replace(link(), seen=6.0, foreign=6.0), replace(link(), state=LinkState.OUTSIDE))


@given(
    side=some.sampled_from(Side),
    listings=some.lists(
        some.tuples(
            some.fixed_dictionaries({
                "name": some.sampled_from(["Roof", "Other"]), "status": some.sampled_from(["open", "o1"]),
                "at": some.sampled_from([5.0, 6.0]), "sync": some.sampled_from(["", "said"]),
            }),
            some.sampled_from(_LINKS), some.sampled_from([{}, {"r1": ""}, {"r1": "said"}]),
            some.sampled_from(["these", "those"]),
        ),
        min_size=3, max_size=12,
    ),
)  # fmt: skip
def test_what_is_known_is_at_rest(side: Side, listings: list[tuple[dict[str, Any], Link, dict[str, str], str]]) -> None:
    """Whatever happens between listings: a sieve that remembers says the same as one that looks."""
    familiar = Familiar()
    for fields, one, messages, columns in listings:
        answer = fields | {"id": "d1" if side is Side.CRM else "r1"}
        _, rests = listed(familiar, sieve(side, one, **messages), answer, columns)
        assert rests is sieve(side, one, **messages).holds(shown(side, answer))
