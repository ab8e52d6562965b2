"""The guards' predicates (SPEC §4), by themselves: limits, exact sets, approvals, returns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.guards import (
    GuardKind,
    HeldSet,
    Member,
    made_set,
    returns,
    still_wanted,
    swapped,
    too_many_changes,
    too_many_deletions,
    unapproved,
)
from syncd.model import Side
from syncd.policy import Limits

LIMITS = Limits()
members = st.builds(Member, st.sampled_from("abcdefgh"), st.sampled_from(["1", "2", None]), st.sampled_from(["3", "4", None]))  # fmt: skip  # noqa: E501
sets = st.lists(members, unique=True, max_size=8).map(
    lambda some: made_set(GuardKind.CHANGES, Side.CRM, "status", some)
)


@pytest.mark.parametrize(
    ("count", "total", "side", "held"),
    [
        (20, 20, Side.TABLE, False),  # not over 20 records
        (21, 21, Side.TABLE, True),
        (21, 104, Side.TABLE, True),
        (21, 105, Side.TABLE, False),  # 20% exactly is not over 20%
        (21, 105, Side.CRM, False),
        (200, 10_000, Side.CRM, False),
        (201, 10_000, Side.CRM, True),  # so many towards the CRM in any case
        (201, 10_000, Side.TABLE, False),
        (2_001, 10_000, Side.TABLE, True),
        (0, 0, Side.CRM, False),
        (21, 0, Side.TABLE, True),  # without any link everything is over the share
    ],
)
def test_changes_beyond_both_limits_are_held(count: int, total: int, side: Side, held: bool) -> None:
    assert too_many_changes(count, total, side, LIMITS) is held


@pytest.mark.parametrize(
    ("count", "total", "held"), [(5, 5, False), (6, 6, True), (6, 59, True), (6, 60, False), (7, 60, True)]
)
def test_deletions_beyond_both_limits_are_held(count: int, total: int, held: bool) -> None:
    assert too_many_deletions(count, total, LIMITS) is held


def test_other_limits_count() -> None:
    assert too_many_changes(3, 3, Side.TABLE, Limits(max_changes=2))
    assert not too_many_changes(3, 4, Side.TABLE, Limits(max_changes=2, max_share=0.75))
    assert too_many_changes(3, 100, Side.CRM, Limits(max_crm_changes=2))
    assert too_many_deletions(1, 100, Limits(max_deletions=0, max_deletion_share=0.0))


@given(st.permutations([Member("a", "1", "2"), Member("b", None, "2"), Member("c", "1", None), Member("a", "1", "3")]))
def test_the_name_of_a_set_does_not_depend_on_order_or_titles(some: list[Member]) -> None:
    named = [Member(one.record, one.old, one.new, "a title", "shown") for one in some]
    first = made_set(GuardKind.CHANGES, Side.CRM, "status", sorted(some, key=Member.sort_key), "a sentence")
    assert made_set(GuardKind.CHANGES, Side.CRM, "status", named).digest == first.digest


@given(sets, sets)
def test_two_sets_share_a_name_only_if_they_are_the_same(one: HeldSet, other: HeldSet) -> None:
    assert (one.digest == other.digest) == (one.members == other.members)


def test_the_name_tells_direction_field_and_kind_apart() -> None:
    some = [Member("a", "1", "2")]
    made = [
        made_set(kind, side, name, some)
        for kind in (GuardKind.CHANGES, GuardKind.DELETIONS)
        for side in Side
        for name in ("status", "value")
    ]
    assert len({one.digest for one in made}) == len(made) == 8


@given(sets, sets)
def test_an_approval_covers_exactly_its_members(found: HeldSet, approved: HeldSet) -> None:
    rest = unapproved(found, [approved])
    assert set(rest.members) == set(found.members) - set(approved.members)
    assert set(still_wanted(approved, [found]).members) == set(found.members) & set(approved.members)


def test_an_approval_covers_no_other_field_side_or_value() -> None:
    found = made_set(GuardKind.CHANGES, Side.CRM, "status", [Member("a", "open", "won")])
    for kind, side, name, member in (
        (GuardKind.CHANGES, Side.TABLE, "status", Member("a", "open", "won")),
        (GuardKind.CHANGES, Side.CRM, "stage", Member("a", "open", "won")),
        (GuardKind.DELETIONS, Side.CRM, "status", Member("a", "open", "won")),
        (GuardKind.CHANGES, Side.CRM, "status", Member("a", "lost", "won")),
        (GuardKind.CHANGES, Side.CRM, "status", Member("a", "open", "lost")),
        (GuardKind.CHANGES, Side.CRM, "status", Member("b", "open", "won")),
    ):
        assert unapproved(found, [made_set(kind, side, name, [member])]).members == found.members


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ("", 0),
        ("ab", 0),
        ("aba", 1),
        ("abab", 2),
        ("ababab", 4),
        ("abcabc", 0),  # going round is not going back
        ("aaaa", 2),  # what was written was set back by somebody, and is written again
        ("abba", 0),
        ("abacab", 2),
    ],
)
def test_returns_to_the_value_before_last(values: str, count: int) -> None:
    assert returns(list(values)) == count


def test_a_swapped_table_is_named_with_both_ids() -> None:
    held = swapped(Side.TABLE, "Airtable", "appA/tblA", "appB/tblB")
    assert "appB/tblB" in held.sentence
    assert "appA/tblA" in held.sentence
    assert held.digest in held.sentence
    assert held.writes == 0
    assert held.digest != swapped(Side.TABLE, "Airtable", "appA/tblA", "appC/tblC").digest
