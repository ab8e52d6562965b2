"""The guards on plans made by hand: every set, name and sentence exactly (found by mutants, tests/mutation)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.fields import ROW
from syncd.guards import (
    SEVERAL,
    GuardKind,
    HeldSet,
    Member,
    almost_empty,
    answered_pairs,
    held_sets,
    made_set,
    match_sets,
    missing_records,
    oscillations,
    planned_sets,
    still_wanted,
    swapped,
    total_links,
    unapproved,
    without,
)
from syncd.judge import Change, ChangeKind, Ground
from syncd.model import ABSENT, Agreed, Link, LinkState, Observed, Record, Side, Value, packed_shadow
from syncd.newcomers import Match, NewDeal
from syncd.plan import Deletion, How, NewRow, Plan, Update, View
from syncd.policy import Limits
from syncd.sides import Person
from syncd.values import codec_for
from tests.memory import COLUMNS, FIELD_NAMES, VOCABULARY, field_of

FIELDS = tuple(field_of(name) for name in FIELD_NAMES)
CODECS = tuple(codec_for(name, COLUMNS, VOCABULARY, {}) for name in FIELD_NAMES)
GROUND = Ground(FIELDS, CODECS, {Side.CRM: "HighLevel", Side.TABLE: "Airtable"})
NAME, STAGE, STATUS, VALUE = (FIELD_NAMES.index(name) for name in ("name", "stage", "status", "value"))
NONE_ALLOWED = Limits(0, 0.0, 0, 0, 0.0, 0, 0.0)


def change(index: int, old: Observed, new: Value, kind: ChangeKind = ChangeKind.EDIT) -> Change:
    """A change of one field; who writes it to which side stands in its update."""
    return Change(index, Side.TABLE, old, new, kind, "", None, None)


def update(deal: str, *changes: Change, target: Side = Side.TABLE, partner: str | None = None) -> Update:
    """An update of a deal's row, or of the deal."""
    return Update(target, deal, f"row-{deal}", f"Title {deal}", tuple(changes), partner)


def deletion(deal: str, side: Side, how: How = How.DELETE) -> Deletion:
    """A deletion that is planned."""
    return Deletion(side, deal, f"row-{deal}", f"Title {deal}", how, {}, "")


def new_deal(row: str, name: str = "Roof") -> NewDeal:
    """A deal that a row stands for."""
    return NewDeal(row, name, {NAME: (name, name, name)}, Person(email="a@b.c"))


def spelled(held: HeldSet) -> tuple[object, ...]:
    """A set with what equality leaves out."""
    members = [(one.record, one.old, one.new, one.title, one.shown) for one in held.members]
    return held.kind, held.side, held.field, members


def view(links: list[Link], crm: list[str] = [], table: dict[str, str | None] = {}) -> View:  # noqa: B006
    """Both sides with these records only: `table` maps rows to their keys."""
    none: tuple[None, ...] = (None,) * len(FIELDS)
    return View(
        GROUND,
        {link.deal: link for link in links},
        {deal: Record(deal, none) for deal in crm},
        {row: Record(row, none, partner=key) for row, key in table.items()},
        {Side.CRM: {}, Side.TABLE: {}},
        0.0,
    )


def test_what_is_held_as_a_sheets_accident_is_left_out_of_the_plan() -> None:
    """All of a shuffled deal; of an old copy what it would write to its side."""
    edits = [update(deal, change(STATUS, "open", "won"), target=Side.CRM) for deal in ("a", "b", "c", "d")]
    back = update("b", change(VALUE, "1", "2"))
    held = [
        made_set(GuardKind.SHUFFLED, Side.CRM, "", [Member("a", None, None)]),
        made_set(GuardKind.OLD_COPY, Side.CRM, "", [Member("b", None, None)]),
    ]
    assert without(Plan(updates=[*edits, back]), held, GROUND).updates == [edits[2], edits[3], back]


# --- sets and their names --------------------------------------------------------------------------------------------


def test_members_without_a_value_stand_before_those_with_one() -> None:
    some = [Member("a", "1", "2"), Member("a", None, "2"), Member("a", None, None), Member("A", "3", None)]
    wanted = (some[3], some[2], some[1], some[0])
    assert made_set(GuardKind.CHANGES, Side.CRM, "status", some).members == wanted
    assert made_set(GuardKind.CHANGES, Side.CRM, "status", reversed(some)).members == wanted


def test_a_set_keeps_its_sentence() -> None:
    assert made_set(GuardKind.CHANGES, Side.CRM, "status", []).sentence == ""
    assert made_set(GuardKind.CHANGES, Side.CRM, "status", [], "Look.").sentence == "Look."


def test_the_name_of_a_set_is_the_same_in_every_version() -> None:
    """Approvals are kept under it: another name for the same set would ask people again."""
    some = [Member("a", None, "Zoë"), Member("b", "x", None)]
    assert made_set(GuardKind.CHANGES, Side.CRM, "name", some).digest == "fa2a26d109df"


def test_what_is_approved_goes_on_and_what_is_left_keeps_its_sentence() -> None:
    one, two = Member("a", "1", "2"), Member("b", "1", "2")
    found = made_set(GuardKind.CHANGES, Side.CRM, "status", [one, two], "Look.")
    other = made_set(GuardKind.CHANGES, Side.TABLE, "status", [two])
    rest = unapproved(found, [other, replace(found, members=(one,))])
    assert (rest.members, rest.sentence) == ((two,), "Look.")
    elsewhere = replace(other, members=(one,))
    left = still_wanted(found, [elsewhere, replace(found, members=(two,))])
    assert (left.members, left.sentence) == ((two,), "Look.")
    assert still_wanted(found, []).members == ()


# --- what could be held ----------------------------------------------------------------------------------------------


def test_every_planned_write_stands_in_its_set() -> None:
    plan = Plan(
        updates=[
            update("b", change(STATUS, "open", "won"), change(NAME, None, "Roof"), target=Side.CRM),
            update("a", change(STAGE, "p1:s1", "p1:s2"), change(STATUS, ABSENT, "won")),
            update("a", change(STATUS, "won", None), target=Side.CRM),
            update("c", change(STAGE, "p1:s1", "p1:s1", ChangeKind.RENAME), change(STATUS, "open", "lost")),
        ],
        new_deals=[new_deal("row2"), new_deal("row1", "Wall")],
        deletions=[deletion("d", Side.TABLE), deletion("e", Side.CRM, How.ABANDON), deletion("f", Side.CRM)],
    )
    crm, table = Side.CRM, Side.TABLE
    assert [spelled(one) for one in planned_sets(plan, GROUND)] == [
        (GuardKind.CHANGES, crm, "name", [("b", None, "Roof", "Title b", "(blank) -> Roof")]),
        (
            GuardKind.CHANGES,
            crm,
            "status",
            [
                ("a", "won", None, "Title a", "won -> (blank)"),
                ("b", "open", "won", "Title b", "open -> won"),
                ("e", "open", "abandoned", "Title e", "open -> abandoned"),
            ],
        ),
        (
            GuardKind.CHANGES,
            table,
            "stage",
            [("a", "p1:s1", "p1:s2", "Title a", "Sales / New -> Sales / Qualified")],
        ),
        (
            GuardKind.CHANGES,
            table,
            "status",
            [("a", None, "won", "Title a", "(blank) -> won"), ("c", "open", "lost", "Title c", "open -> lost")],
        ),
        (
            GuardKind.DELETIONS,
            crm,
            "",
            [("e", "abandon", None, "Title e", ""), ("f", "delete", None, "Title f", "")],
        ),
        (GuardKind.DELETIONS, table, "", [("d", "delete", None, "Title d", "")]),
        (
            GuardKind.DEALS,
            crm,
            "",
            [
                ("row1", None, new_deal("row1", "Wall").text(), "Wall", "a new deal"),
                ("row2", None, new_deal("row2").text(), "Roof", "a new deal"),
            ],
        ),
    ]


def test_an_empty_plan_has_no_sets() -> None:
    assert planned_sets(Plan(), GROUND) == []
    assert planned_sets(Plan(updates=[update("a", partner="a")]), GROUND) == []
    assert match_sets(Plan()) == []


# --- what is held ----------------------------------------------------------------------------------------------------


def test_the_sentence_of_a_held_set_says_how_many_where_and_what_to_do() -> None:
    plan = Plan(
        updates=[
            update("a", change(STATUS, "open", "won"), change(STAGE, "p1:s1", "p1:s2")),
            update("b", change(STATUS, "lost", "won"), change(STAGE, "p1:s1", "p2:t1")),
            update("a", change(VALUE, "0", "5"), target=Side.CRM),
        ],
        new_deals=[new_deal("row1"), new_deal("row2")],
        deletions=[deletion("d", Side.TABLE), deletion("e", Side.CRM)],
    )
    held = held_sets(planned_sets(plan, GROUND), GROUND, 9, NONE_ALLOWED, [])
    told = {one.sentence.replace(one.digest, "ID") for one in held}
    mend = "Look with `syncd plan`, then carry it out with `syncd approve ID`."
    assert told == {
        f"“Value” would change in HighLevel on 1 of 9 records at once. {mend}",
        f"“Stage” would change in Airtable on 2 of 9 records at once. {mend}",
        f"“Status” would change in Airtable on 2 of 9 records at once to the same value. {mend}",
        f"1 deal of 9 links would be deleted in HighLevel at once. {mend}",
        f"1 row of 9 links would be deleted in Airtable at once. {mend}",
        f"2 new deals would be made in HighLevel at once. {mend}",
    }
    both = made_set(GuardKind.DELETIONS, Side.CRM, "", [Member("a", "abandon", None), Member("b", "delete", None)])
    [one] = held_sets([both], GROUND, 9, NONE_ALLOWED, [])
    assert one.sentence.startswith("2 deals of 9 links would be deleted or abandoned in HighLevel at once.")
    gone = made_set(GuardKind.CHANGES, Side.TABLE, "phone", [Member("a", "1", "2")])
    assert held_sets([gone], GROUND, 9, NONE_ALLOWED, [])[0].sentence.startswith("“phone” would change")


def test_every_kind_has_its_own_limit() -> None:
    some = [Member(f"d{n}", "1", "2") for n in range(3)]
    changes, deletions = (
        made_set(kind, Side.TABLE, "status", some) for kind in (GuardKind.CHANGES, GuardKind.DELETIONS)
    )
    few_changes, few_deletions = Limits(max_changes=2), Limits(max_deletions=2)
    assert held_sets([changes, deletions], GROUND, 10, few_changes, []) == [changes]
    assert held_sets([changes, deletions], GROUND, 10, few_deletions, []) == [deletions]
    many = replace(changes, side=Side.CRM)
    assert held_sets([changes, many], GROUND, 10, Limits(max_crm_changes=2), []) == [many]
    assert held_sets([changes], GROUND, 15, few_changes, []) == []


def test_what_is_approved_is_neither_held_nor_counted() -> None:
    some = [Member(f"d{n}", "1", "2") for n in range(3)]
    changes = made_set(GuardKind.CHANGES, Side.TABLE, "status", some)
    approved = replace(changes, members=(some[0],))
    assert held_sets([changes], GROUND, 3, Limits(max_changes=2), [approved]) == []
    (held,) = held_sets([changes], GROUND, 3, Limits(max_changes=1), [approved])
    assert held.members == (some[1], some[2])
    assert held.digest in held.sentence
    assert held_sets([changes], GROUND, 3, NONE_ALLOWED, [changes]) == []


def test_a_set_without_members_is_never_held() -> None:
    empty = made_set(GuardKind.CHANGES, Side.TABLE, "status", [])
    assert held_sets([empty], GROUND, 1, Limits(max_changes=-1, max_share=-1.0), []) == []


# --- the plan without what is held -----------------------------------------------------------------------------------


def test_only_what_is_held_is_left_out() -> None:
    rename = change(STATUS, "won", "won", ChangeKind.RENAME)
    status, stage = change(STATUS, "open", "won"), change(STAGE, "p1:s1", "p1:s2")
    plan = Plan(
        updates=[
            update("a", status, stage),
            update("a", status, target=Side.CRM),
            update("b", status),
            update("c", status, partner="c"),
            update("d", rename),
        ],
        new_deals=[new_deal("a"), new_deal("b")],
        deletions=[deletion("a", Side.TABLE), deletion("a", Side.CRM), deletion("b", Side.TABLE)],
        loose={f"row{number}" for number in range(7)},
    )

    def left(kind: GuardKind, side: Side, name: str, *records: str) -> Plan:
        held = made_set(kind, side, name, [Member(one, None, None) for one in records])
        return without(plan, [held], GROUND)

    table = left(GuardKind.CHANGES, Side.TABLE, "status", "a", "b", "c", "d")
    assert table.updates == [
        update("a", stage),
        update("a", status, target=Side.CRM),
        update("c", partner="c"),
        update("d", rename),
    ]
    assert (table.new_deals, table.deletions) == (plan.new_deals, plan.deletions)
    assert table.rows_without_id == 7
    crm = left(GuardKind.CHANGES, Side.CRM, "status", "a", "b")
    assert crm.updates == [plan.updates[0], *plan.updates[2:]]
    deals = left(GuardKind.DEALS, Side.CRM, "", "a")
    assert deals == replace(plan, new_deals=[plan.new_deals[1]])
    deletions = left(GuardKind.DELETIONS, Side.TABLE, "", "a")
    assert deletions == replace(plan, deletions=plan.deletions[1:])
    assert without(plan, [], GROUND) is plan


# --- matches ---------------------------------------------------------------------------------------------------------


def test_matches_are_reported_by_whether_they_can_be_told_apart() -> None:
    plan = Plan(
        matches=[
            Match("row2", "deal2", "Wall", ("email", "phone"), alone=False),
            Match("row2", "deal3", "Wall", ("name",), alone=False),
            Match("row1", "deal1", "Roof", ("name",), alone=True),
        ]
    )
    alone, several = match_sets(plan)
    matches, table = GuardKind.MATCHES, Side.TABLE
    assert spelled(alone) == (matches, table, "", [("row1", None, "deal1", "Roof", "deal deal1: same name")])
    assert spelled(several) == (
        matches,
        table,
        SEVERAL,
        [
            ("row2", None, "deal2", "Wall", "deal deal2: same email, phone"),
            ("row2", None, "deal3", "Wall", "deal deal3: same name"),
        ],
    )
    assert alone.sentence == (
        f"1 row without a GHL ID may be a deal that has no row yet. `syncd approve {alone.digest}` links them; "
        f"`syncd approve {alone.digest} --refuse` says that they are not, and both are made."
    )
    assert several.sentence == (
        "1 row without a GHL ID may be a deal that has no row yet, and there are several candidates. Put the right "
        f"GHL ID into the row; `syncd approve {several.digest} --refuse` says that they are not."
    )


def test_several_rows_that_may_be_deals_are_counted() -> None:
    plan = Plan(matches=[Match(f"row{n}", f"deal{n}", "", ("name",), alone=True) for n in range(2)])
    (found,) = match_sets(plan)
    assert found.sentence.startswith("2 rows without a GHL ID may be deals that have no row yet. `syncd")


def test_only_matches_answer_matches() -> None:
    matches = made_set(GuardKind.MATCHES, Side.TABLE, "", [Member("row", None, "deal"), Member("odd", None, None)])
    changes = made_set(GuardKind.CHANGES, Side.TABLE, "", [Member("a", None, "b")])
    assert answered_pairs([changes, matches]) == {("row", "deal"), ("odd", "")}


# --- a side that is almost empty -------------------------------------------------------------------------------------


def test_what_a_complete_sweep_lacks_is_missing() -> None:
    left = Agreed("p3:a1", ["p3", "a1"], ["Archive", "Kept"], "")
    links = [
        Link("dealGone", "row1", title="Gone"),
        Link("dealHere", "rowGone", title="Here"),
        Link("dealOutside", "row2", shadow=packed_shadow({"stage": left}, FIELD_NAMES)),
        Link("dealMoved", "rowOld"),
        Link("dealDeleted", "row3", state=LinkState.DEAL_GONE),
        Link("dealLast", "row4", title="Last"),
    ]
    seen = view(
        links, ["dealHere", "dealMoved"], {"row1": None, "row2": None, "rowNew": "dealMoved", "row3": None, "row4": ""}
    )
    missing = missing_records(seen)
    assert {side: [(m.record, m.old, m.new, m.title) for m in found] for side, found in missing.items()} == {
        Side.CRM: [("dealGone", "dealGone", None, "Gone"), ("dealLast", "dealLast", None, "Last")],
        Side.TABLE: [("dealHere", "rowGone", None, "Here")],
    }


def test_a_row_of_a_sheet_that_only_lost_its_id_is_not_missing() -> None:
    """Where nothing but the id says whose a row is, name and contact tell that it is there still."""

    def named(deal: str, name: str) -> Link:
        return Link(deal, deal, shadow=packed_shadow({"name": Agreed(name, name, name, name)}, FIELD_NAMES))

    def row(id: str, name: str, key: str | None) -> Record:
        return Record(id, (name, *(None,) * (len(FIELDS) - 1)), partner=key)

    rows = {"new1": row("new1", "Roof", None), "new2": row("new2", "Wall", "otherDeal")}
    seen = replace(view([named("d1", "Roof"), named("d2", "Wall")], ["d1", "d2"]), table=rows)
    for by_key, wanted in ((True, ["d2"]), (False, ["d1", "d2"])):
        assert [one.record for one in missing_records(replace(seen, rows_by_key=by_key))[Side.TABLE]] == wanted


@pytest.mark.parametrize(
    ("most", "share", "held"),
    [(2, 0.5, True), (3, 0.5, False), (2, 0.75, False), (2, 0.74, True)],
)
def test_a_side_that_lacks_more_than_both_limits_is_almost_empty(most: int, share: float, held: bool) -> None:
    links = [Link(f"deal{n}", f"row{n}") for n in range(4)]
    links += [Link("deal9", "row9", state=LinkState.DEAL_GONE)]  # not known to be on both sides
    limits = Limits(max_missing=most, max_missing_share=share)
    rows: dict[str, str | None] = {f"row{n}": f"deal{n}" for n in range(4)}
    crm = almost_empty(view(links, ["deal0"], rows), limits, [])
    table = almost_empty(view(links, [f"deal{n}" for n in range(4)], {"row0": "deal0"}), limits, [])
    assert (bool(crm), bool(table)) == (held, held)
    if held:
        assert (crm[0].side, table[0].side) == (Side.CRM, Side.TABLE)
        assert (crm[0].kind, crm[0].field) == (GuardKind.EMPTY, "")
        assert len(crm[0].members) == len(table[0].members) == 3
        assert crm[0].sentence == (
            "HighLevel shows 3 of 4 known deals no more. Nothing is written. Were they really deleted? Then "
            f"`syncd approve {crm[0].digest}`; else bring them back."
        )
        assert table[0].sentence.startswith("Airtable shows 3 of 4 known rows no more. Nothing")
        assert almost_empty(view(links, ["deal0"], rows), limits, crm) == []


# --- swapped, set back and forth, counted ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "label", "what"), [(Side.CRM, "HighLevel", "location"), (Side.TABLE, "Airtable", "table")]
)
def test_a_swapped_side_says_what_was_there_before(side: Side, label: str, what: str) -> None:
    held = swapped(side, label, "old", "new")
    assert spelled(held) == (GuardKind.SWAPPED, side, "", [("new", "old", "new", "", "")])
    assert held.sentence == (
        f"This is another {what} in {label} than before (new, formerly old). Nothing is written. `syncd plan` shows "
        f"what a first pass would do; then `syncd approve {held.digest}`, or put the former one back."
    )


def test_a_field_is_frozen_only_when_it_returns_once_too_often() -> None:
    plan = Plan(
        updates=[
            update("a", change(STAGE, "2", "1"), change(STATUS, "lost", "won")),
            update("b", change(STATUS, "lost", "won"), target=Side.CRM),
            update("c", change(STATUS, "won", "won", ChangeKind.RENAME)),
        ]
    )
    four = ["won", "lost", "won", "lost", "won", "lost"]  # four returns so far
    three = four[2:]
    written = {("a", "status"): four, ("b", "status"): three[:3], ("c", "status"): four, ("a", "stage"): ["1", "2"]}
    assert oscillations(plan, GROUND, written) == {
        ("a", "status"): "“Status” was set back and forth several times within an hour, probably by an automation; "
        "syncd leaves it alone. Stop the automation, then `syncd resume a`."
    }
    exactly = {("b", "status"): ["won", "lost", "won", "lost"]}  # with this one three returns: still believed
    assert oscillations(plan, GROUND, exactly) == {}
    once_more = {("b", "status"): ["lost", *exactly["b", "status"]]}
    assert list(oscillations(plan, GROUND, once_more)) == [("b", "status")]
    assert oscillations(plan, GROUND, {}) == {}


@pytest.mark.parametrize("again", [True, False])
def test_only_a_row_that_comes_back_can_come_back_too_often(again: bool) -> None:
    plan = Plan(new_rows=[NewRow("a", "Roof", {}, again, None, "why")])
    often = {("a", ROW): ["a"] * 5}
    assert list(oscillations(plan, GROUND, often)) == ([("a", ROW)] if again else [])
    assert oscillations(plan, GROUND, {("a", ROW): ["a"] * 4}) == {}


def test_links_that_a_plan_makes_count_and_those_that_it_changes_do_not() -> None:
    seen = view([Link("a", "1"), Link("b", "2")])
    assert total_links(seen, Plan()) == 2
    assert total_links(seen, Plan(links=[Link("b", "3"), Link("c", "4"), Link("c", "5")])) == 3
