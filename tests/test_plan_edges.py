"""Plans in awkward situations, exactly: every write, sentence, finding and question (found by mutants, tests/mutation).

Each case is two agreed links (dealA1, dealB2) to which something happens. diary/plans.txt has the whole plan of each,
but for what is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from syncd.judge import Change, ChangeKind
from syncd.model import ABSENT, Agreed, Link, LinkState, Missing, Raw, Record, Side, Stamp, packed_shadow
from syncd.newcomers import NewDeal
from syncd.plan import (
    ITS_MAKING,
    Deletion,
    Finding,
    How,
    NewRow,
    Plan,
    Trouble,
    Update,
    View,
    fingerprint,
    left_scope,
    make_plan,
    stands_for,
)
from syncd.policy import DealDeleted, Policy, RowDeleted
from syncd.sides import Person, Question, ReadResult, Stage, Unread
from syncd.values import TextCodec
from tests.diaries import check
from tests.memory import FIELD_NAMES as NAMES_OF_FIELDS
from tests.memory import SALES, SERVICE, START, VOCABULARY, field_of
from tests.test_plan import CELLS, DEAL_VALUES, Bench

FIELD_NAMES = (*NAMES_OF_FIELDS, "email")  # the last only where a case has that column
A, B = "dealA1", "dealB2"
NAME, STAGE, STATUS, VALUE, OWNER, SOURCE = range(6)
ALL_TYPED = (True, False, False, True, False, True)


def told(plan: Plan) -> list[str]:
    """All of a plan, a line a thing."""
    lines = []
    for update in plan.updates:
        key = f" key {update.partner}" if update.partner else ""
        lines.append(f"update {update.target} {update.deal} {update.row} “{update.title}”{key}")
        for c in update.changes:
            old = c.old.value if isinstance(c.old, Missing) else c.old
            lines.append(f"  {FIELD_NAMES[c.index]}: {c.kind} {old} -> {c.new}: {c.why}")
    for new in plan.new_rows:
        values = ", ".join(f"{FIELD_NAMES[at]} {planned}" for at, planned in new.values.items())
        lines.append(f"new row {new.deal} “{new.title}” again {new.again} stamp {_later(new.stamp)}: {new.why}")
        lines.append(f"  {values}")
    for gone in plan.deletions:
        held = ", ".join(f"{FIELD_NAMES[at]} {value}" for at, value in gone.values.items())
        lines.append(f"{gone.how} {gone.side} {gone.deal} {gone.row} “{gone.title}”: {gone.why}")
        lines.append(f"  {held}")
    lines += [f"new deal {new.row} “{new.title}”" for new in plan.new_deals]
    lines += [f"match {match.row} {match.deal}" for match in plan.matches]
    lines += [f"message {row}: {message}" for row, message in plan.messages.items()]
    lines += [
        f"link {link.deal} {link.row} {link.state} “{link.title}” {_later(link.seen)} {_later(link.seen_at)} "
        f"{_later(link.foreign)}"
        for link in plan.links
    ]
    lines += [f"forget {deal}" for deal in plan.forget] + [f"no such deal {key}" for key in plan.absent_keys]
    lines += [f"unread {id} {count}" for id, count in plan.unread.items()]
    lines += [f"unlisted {owner}" for owner in sorted(plan.unlisted)]
    lines += [
        f"{f.trouble} {_of(f.deal)} {_of(f.row)} “{f.title}” person {f.needs_person}: {f.sentence}"
        for f in plan.findings
    ]
    lines += [f"without id {plan.rows_without_id}"] * (plan.rows_without_id > 0)
    lines += [f"ask crm {id}" for id in sorted(plan.needs.crm)] + [f"ask table {id}" for id in sorted(plan.needs.table)]
    asked = sorted(plan.needs.questions, key=lambda question: (question.id, question.index))
    lines += [f"ask {one.id} {FIELD_NAMES[one.index]} {_later(one.instant)}" for one in asked]
    assert isinstance(plan.needs.vocabulary, bool)
    assert isinstance(plan.all_judged, bool)
    return lines + ["read names"] * plan.needs.vocabulary + ["not all judged"] * (not plan.all_judged)


def _of(record: str) -> str:
    return "-" if record == "" else record


def _later(stamp: float | None) -> str:
    """Seconds since the story began; with them the stamps stay the same whatever the year is."""
    return "-" if not stamp else f"{stamp - START:g}"


def begun() -> Bench:
    """Two agreed links at rest, 100 seconds after the last edit."""
    bench = Bench()
    bench.link(A)
    bench.link(B)
    bench.clock.advance(100)
    bench.links = {link.deal: link for link in make_plan(bench.view()).links}
    return bench


def reading(
    view: View, *, crm: Mapping[str, ReadResult] | None = None, table: Mapping[str, ReadResult] | None = None
) -> View:
    """The view after these reads by id; a record that is read as deleted or not at all has left the sweep."""
    return replace(view, reads={Side.CRM: dict(crm or {}), Side.TABLE: dict(table or {})})


def lost(view: View, *ids: str) -> View:
    """The view without these records."""
    return replace(
        view,
        crm={id: one for id, one in view.crm.items() if id not in ids},
        table={id: one for id, one in view.table.items() if id not in ids},
    )


def state(bench: Bench, deal: str, to: LinkState) -> None:
    """Puts a link into a state."""
    bench.links[deal] = replace(bench.links[deal], state=to)


def changed(view: View, row: str, **what: Any) -> View:
    """The view with another row in place of this one."""
    return replace(view, table={**view.table, row: replace(view.table[row], **what)})


def changed_deal(view: View, deal: str, **what: Any) -> View:
    """Likewise of a deal."""
    return replace(view, crm={**view.crm, deal: replace(view.crm[deal], **what)})


def deal_of(**values: Raw) -> dict[str, Raw]:
    """The values of an ordinary deal, but for these."""
    return {**DEAL_VALUES, **values}


def raw_of(record: Record, **values: Raw) -> tuple[Raw, ...]:
    """A record's raw values with these in place of the old ones."""
    return tuple(values.get(name, old) for name, old in zip(NAMES_OF_FIELDS, record.raw, strict=True))


Case = Callable[[Bench], View]
CASES: list[Case] = []


def whole(case: Case) -> Case:
    """The plan of this case stands in diary/plans.txt, whole."""
    CASES.append(case)
    return case


# --- reads that are refused ------------------------------------------------------------------------------------------


@whole
def row_unread(bench: Bench) -> View:
    return reading(lost(bench.view(), "row-dealA1"), table={"row-dealA1": Unread("Airtable refuses.")})


@whole
def row_unread_for_the_third_time(bench: Bench) -> View:
    return replace(row_unread(bench), unread={"row-dealA1": 2})


@whole
def deal_unread_for_the_second_time(bench: Bench) -> View:
    view = reading(lost(bench.view(), A), crm={A: Unread("HighLevel refuses.")})
    return replace(view, unread={A: 1})


@whole
def deal_unread_for_the_third_time(bench: Bench) -> View:
    return replace(deal_unread_for_the_second_time(bench), unread={A: 2})


@whole
def deal_of_a_deleted_row_unread(bench: Bench) -> View:
    view = lost(bench.view(), A, "row-dealA1")
    return reading(view, crm={A: Unread("HighLevel refuses.")}, table={"row-dealA1": ABSENT})


@whole
def key_unread(bench: Bench) -> View:
    bench.table.put("odd", "dealX9", **{**CELLS, "name": "Odd"})
    return replace(reading(bench.view(), crm={"dealX9": Unread("HighLevel refuses.")}), unread={"dealX9": 2})


# --- keys ------------------------------------------------------------------------------------------------------------


@whole
def twofold(bench: Bench) -> View:
    bench.table.put("copy", A, **{**CELLS, "name": "Copy"})
    bench.table.put("third", A, **{**CELLS, "name": "Third"})
    view = bench.view()
    return reading(view, table={"third": Unread("Airtable refuses.")})


@whole
def twofold_of_no_link(bench: Bench) -> View:
    bench.table.put("one", "dealC3", name="One")
    bench.table.put("two", "dealC3", name="Two")
    return bench.view()


@whole
def twofold_but_one_is_deleted(bench: Bench) -> View:
    bench.table.put("copy", A, **CELLS)
    return reading(bench.view(), table={"copy": ABSENT})


@whole
def key_of_another(bench: Bench) -> View:
    bench.table.put("row-dealA1", B, **CELLS)
    return bench.view()


@whole
def key_of_nobody(bench: Bench) -> View:
    bench.table.put("row-dealA1", "nobody", **CELLS)
    return bench.view()


@whole
def key_of_nobody_in_a_row_whose_deal_is_gone(bench: Bench) -> View:
    state(bench, A, LinkState.DEAL_GONE)
    bench.crm.drop(A)
    return key_of_nobody(bench)


@whole
def key_of_a_deal_in_a_row_whose_deal_is_gone(bench: Bench) -> View:
    state(bench, A, LinkState.DEAL_GONE)
    bench.crm.drop(A)
    bench.crm.put("dealC3", **DEAL_VALUES)
    bench.table.put("row-dealA1", "dealC3", **CELLS)
    return bench.view()


@whole
def key_of_a_link_without_deal_in_a_row_whose_deal_is_gone(bench: Bench) -> View:
    for deal in (A, B):
        state(bench, deal, LinkState.DEAL_GONE)
        bench.crm.drop(deal)
    bench.table.drop("row-dealB2")
    bench.table.put("row-dealA1", B, **CELLS)
    return bench.view()


@whole
def key_in_another_row(bench: Bench) -> View:
    bench.table.put("row-dealA1", "")
    bench.table.put("other", A, **CELLS)
    return bench.view()


@whole
def key_in_another_row_and_its_own_is_missing(bench: Bench) -> View:
    view = key_in_another_row(bench)
    return lost(view, "row-dealA1")


@whole
def key_in_another_row_and_its_own_is_unread(bench: Bench) -> View:
    return reading(key_in_another_row_and_its_own_is_missing(bench), table={"row-dealA1": Unread("Airtable refuses.")})


@whole
def key_in_another_row_and_its_own_is_deleted(bench: Bench) -> View:
    return reading(key_in_another_row_and_its_own_is_missing(bench), table={"row-dealA1": ABSENT})


@whole
def keys_exchanged(bench: Bench) -> View:
    bench.table.put("row-dealA1", B)
    bench.table.put("row-dealB2", A)
    return bench.view()


@whole
def key_of_another_and_its_own_row_is_deleted(bench: Bench) -> View:
    bench.table.put("row-dealB2", A)
    return reading(lost(bench.view(), "row-dealA1"), table={"row-dealA1": ABSENT})


@whole
def key_in_the_row_of_a_deal_that_is_gone(bench: Bench) -> View:
    state(bench, B, LinkState.DEAL_GONE)
    bench.crm.drop(B)
    bench.table.put("row-dealB2", A)
    bench.table.put("row-dealA1", "")
    return bench.view()


@whole
def keys_that_name_nothing(bench: Bench) -> View:
    bench.table.put("odd", "no id at all", name="Odd")
    bench.table.put("known", "nobody1", name="Known")
    bench.table.put("asked", "nobody2", name="Asked")
    bench.table.put("fresh", "nobody3", name="Fresh")
    bench.unknown_keys = frozenset({"nobody1"})
    return reading(bench.view(), crm={"nobody2": ABSENT})


@whole
def key_of_a_deal_outside(bench: Bench) -> View:
    bench.crm.put("dealC3", **deal_of(name="Far", stage=["p3", "a1"]))
    bench.table.put("far", "dealC3", name="Far")
    return reading(bench.view(), crm=bench.crm.read(["dealC3"]))


@whole
def key_of_a_deal_without_link(bench: Bench) -> View:
    bench.crm.put("dealC3", **DEAL_VALUES)
    bench.table.put("row3", "dealC3", **{**CELLS, "status": "won"})
    return bench.view()


@whole
def key_of_a_deal_with_an_open_write(bench: Bench) -> View:
    bench.busy = frozenset({"dealC3", A})
    bench.crm.put("dealC3", **DEAL_VALUES)
    bench.table.put("row3", "dealC3", **{**CELLS, "status": "won"})
    return bench.view()


# --- deletions -------------------------------------------------------------------------------------------------------


@whole
def row_missing(bench: Bench) -> View:
    return lost(bench.view(), "row-dealA1")


@whole
def row_deleted(bench: Bench) -> View:
    return reading(row_missing(bench), table={"row-dealA1": ABSENT})


@whole
def row_deleted_and_deal_missing(bench: Bench) -> View:
    return lost(row_deleted(bench), A)


@whole
def row_and_deal_deleted(bench: Bench) -> View:
    return replace(
        row_deleted_and_deal_missing(bench), reads={Side.CRM: {A: ABSENT}, Side.TABLE: {"row-dealA1": ABSENT}}
    )


@whole
def row_deleted_of_a_deal_outside(bench: Bench) -> View:
    bench.crm.put(A, stage=["p3", "a1"])
    view = lost(bench.view(), "row-dealA1")
    return reading(view, crm=bench.crm.read([A]), table={"row-dealA1": ABSENT})


@whole
def row_deleted_of_a_deal_that_is_gone(bench: Bench) -> View:
    state(bench, A, LinkState.DEAL_GONE)
    return row_deleted_and_deal_missing(bench)


@whole
def row_deleted_of_a_deal_that_is_back(bench: Bench) -> View:
    state(bench, A, LinkState.DEAL_GONE)
    return row_deleted(bench)


@whole
def row_deleted_and_ignored(bench: Bench) -> View:
    return replace(row_deleted(bench), policy=Policy(row_deleted=RowDeleted.IGNORE))


@whole
def row_deleted_and_ignored_but_the_deal_was_edited(bench: Bench) -> View:
    bench.crm.put(A, status="won")
    return row_deleted_and_ignored(bench)


@whole
def row_deleted_and_ignored_but_search_tells_not_all(bench: Bench) -> View:
    return changed_deal(row_deleted_and_ignored(bench), A, lacks=frozenset({VALUE}))


@whole
def row_deleted_and_the_deal_goes_too(bench: Bench) -> View:
    return replace(row_deleted(bench), policy=Policy(row_deleted=RowDeleted.DELETE_DEAL))


@whole
def row_deleted_and_the_deal_is_abandoned(bench: Bench) -> View:
    return replace(row_deleted(bench), policy=Policy(row_deleted=RowDeleted.ABANDON))


@whole
def row_deleted_and_the_deal_is_won(bench: Bench) -> View:
    bench.crm.put(A, status="won")
    bench.table.put("row-dealA1", None, status="won")
    bench.agree(A, "row-dealA1", ["status"])
    return row_deleted_and_the_deal_is_abandoned(bench)


@whole
def row_deleted_that_never_had_a_status(bench: Bench) -> View:
    bench.links[A] = replace(bench.links[A], shadow=Link("", "").shadow)
    bench.agree(A, "row-dealA1", ["name"])
    view = row_deleted_and_the_deal_is_abandoned(bench)
    nameless, other = bench.links[A].shadow, bench.links[B].shadow
    # What the CRM held is as agreed in every field; of which status that was nothing is kept.
    shadow = replace(other, values=nameless.values)  # type: ignore[type-var,attr-defined]
    return replace(view, links={**view.links, A: replace(bench.links[A], shadow=shadow)})


@whole
def deletion_refused_lately(bench: Bench) -> View:
    view = row_deleted_and_the_deal_goes_too(bench)
    return replace(view, refused={(A, Side.CRM): ("HighLevel says no.", "", False)})


@whole
def deletion_refused_long_ago(bench: Bench) -> View:
    view = row_deleted_and_the_deal_goes_too(bench)
    return replace(view, refused={(A, Side.CRM): ("HighLevel says no.", "", True)})


@whole
def row_gone_and_accepted(bench: Bench) -> View:
    state(bench, A, LinkState.ROW_GONE)
    return row_missing(bench)


@whole
def row_gone_and_put_back(bench: Bench) -> View:
    state(bench, A, LinkState.ROW_GONE)
    return bench.view()


@whole
def deal_missing(bench: Bench) -> View:
    return lost(bench.view(), A)


@whole
def deal_deleted(bench: Bench) -> View:
    return reading(deal_missing(bench), crm={A: ABSENT})


@whole
def deal_deleted_and_the_row_goes_too(bench: Bench) -> View:
    return replace(deal_deleted(bench), policy=Policy(deal_deleted=DealDeleted.DELETE_ROW))


@whole
def deal_deleted_but_the_row_was_edited(bench: Bench) -> View:
    bench.table.put("row-dealA1", None, status="won")
    return deal_deleted_and_the_row_goes_too(bench)


@whole
def deal_still_gone(bench: Bench) -> View:
    state(bench, A, LinkState.DEAL_GONE)
    return deal_missing(bench)


@whole
def deal_gone_that_search_shows(bench: Bench) -> View:
    state(bench, A, LinkState.DEAL_GONE)
    return bench.view()


@whole
def deal_outside(bench: Bench) -> View:
    bench.crm.put(A, stage=["p3", "a1"])
    return reading(bench.view(), crm=bench.crm.read([A]))


@whole
def deal_still_outside(bench: Bench) -> View:
    state(bench, A, LinkState.OUTSIDE)
    return deal_missing(bench)


@whole
def deal_inside_again(bench: Bench) -> View:
    state(bench, A, LinkState.OUTSIDE)
    return bench.view()


# --- new rows --------------------------------------------------------------------------------------------------------


@whole
def deal_without_row(bench: Bench) -> View:
    bench.crm.put("dealC3", **deal_of(owner=None))
    return bench.view()


@whole
def deal_with_an_owner_whom_nobody_lists(bench: Bench) -> View:
    bench.crm.put("dealC3", **deal_of(owner="u9"))
    return bench.view()


@whole
def deal_with_an_owner_who_is_known_not_to_be_listed(bench: Bench) -> View:
    view = deal_with_an_owner_whom_nobody_lists(bench)
    return replace(view, ground=replace(view.ground, unlisted=frozenset({"u9"})))


@whole
def deal_in_a_stage_that_nobody_lists(bench: Bench) -> View:
    bench.crm.put("dealC3", **deal_of(stage=["p1", "s9"]))
    return bench.view()


@whole
def deal_without_a_stage(bench: Bench) -> View:
    bench.crm.put("dealC3", **DEAL_VALUES)
    view = bench.view()
    return changed_deal(view, "dealC3", raw=raw_of(view.crm["dealC3"], stage=[None, None]))


@whole
def row_refused_lately(bench: Bench) -> View:
    bench.refused[("dealC3", Side.TABLE)] = ("Airtable says no.", "", False)
    return deal_without_row(bench)


@whole
def row_refused_long_ago(bench: Bench) -> View:
    bench.refused[("dealC3", Side.TABLE)] = ("Airtable says no.", "", True)
    return deal_without_row(bench)


@whole
def deal_of_which_search_tells_not_all(bench: Bench) -> View:
    return changed_deal(deal_without_row(bench), "dealC3", lacks=frozenset({VALUE}))


@whole
def deal_of_which_no_read_tells_all(bench: Bench) -> View:
    view = deal_of_which_search_tells_not_all(bench)
    return reading(view, crm={"dealC3": view.crm["dealC3"]})


@whole
def deal_without_row_that_cannot_be_read(bench: Bench) -> View:
    return reading(deal_without_row(bench), crm={"dealC3": Unread("HighLevel refuses.")})


@whole
def deal_without_row_that_has_left(bench: Bench) -> View:
    view = deal_without_row(bench)
    return reading(view, crm={"dealC3": replace(view.crm["dealC3"], outside="p3")})


@whole
def owners_whom_nobody_lists_and_one_is_known_to_be(bench: Bench) -> View:
    bench.crm.put("dealC3", **deal_of(owner="u8"))
    bench.crm.put("dealD4", **deal_of(owner="u9"))
    view = bench.view()
    return replace(view, ground=replace(view.ground, unlisted=frozenset({"u9"})))


# --- both records of a link ------------------------------------------------------------------------------------------


@whole
def deal_renamed(bench: Bench) -> View:
    bench.crm.put(A, name="Roof")
    return bench.view()


@whole
def deal_edited(bench: Bench) -> View:
    bench.crm.put(A, status="won")
    return bench.view()


@whole
def row_edited(bench: Bench) -> View:
    bench.table.put("row-dealA1", None, value=5, owner="Bob")
    return bench.view()


@whole
def both_edited(bench: Bench) -> View:
    bench.crm.put(A, status="won")
    bench.clock.advance(50)
    bench.table.put("row-dealA1", None, status="lost")
    return bench.view()


@whole
def stage_unknown_in_the_cell(bench: Bench) -> View:
    bench.table.put("row-dealA1", None, stage="Nope", status="sold")
    return bench.view()


@whole
def one_way_cell(bench: Bench) -> View:
    bench.table.put("row-dealA1", None, source="typed")
    return bench.view()


@whole
def owner_of_a_link_whom_nobody_lists(bench: Bench) -> View:
    bench.crm.put(A, owner="u9")
    return bench.view()


@whole
def stage_of_a_link_that_nobody_lists(bench: Bench) -> View:
    bench.crm.put(A, stage=["p1", "s9"])
    return bench.view()


@whole
def name_blank_in_the_crm(bench: Bench) -> View:
    bench.crm.put(A, name="")
    return bench.view()


@whole
def cell_that_cannot_be_told(bench: Bench) -> View:
    return changed(bench.view(), "row-dealA1", lacks=frozenset({VALUE}))


@whole
def key_cleared(bench: Bench) -> View:
    bench.table.put("row-dealA1", "")
    return bench.view()


@whole
def message_that_no_longer_holds(bench: Bench) -> View:
    bench.renamed = False
    bench.messages["row-dealA1"] = "Look here."
    return bench.view()


@whole
def message_of_which_nothing_is_remembered(bench: Bench) -> View:
    bench.renamed = False
    return changed(bench.view(), "row-dealA1", message="Look here.")


@whole
def no_sync_column_in_one_row(bench: Bench) -> View:
    bench.table.put("row-dealA1", None, status="sold")
    bench.table.put("row-dealB2", None, status="sold")
    return changed(bench.view(), "row-dealA1", message=None)


@whole
def update_refused_lately(bench: Bench) -> View:
    view = deal_edited(bench)
    (update,) = make_plan(view).updates
    return replace(view, refused={(A, Side.TABLE): ("Airtable says no.", fingerprint(update), False)})


@whole
def update_refused_long_ago(bench: Bench) -> View:
    view = deal_edited(bench)
    (update,) = make_plan(view).updates
    return replace(view, refused={(A, Side.TABLE): ("Airtable says no.", fingerprint(update), True)})


@whole
def other_update_refused(bench: Bench) -> View:
    view = deal_edited(bench)
    return replace(view, refused={(A, Side.TABLE): ("Airtable says no.", "another", False)})


@whole
def frozen(bench: Bench) -> View:
    bench.crm.put(A, status="won", value=7)
    bench.crm.put(B, status="won")
    return replace(bench.view(), frozen={(A, "status"): "It is frozen."})


@whole
def frozen_at_rest(bench: Bench) -> View:
    bench.renamed = False
    return replace(bench.view(), frozen={(A, "status"): "It is frozen."})


@whole
def busy(bench: Bench) -> View:
    bench.busy = frozenset({A})
    return bench.view()


def names_read_again(view: View) -> View:
    return replace(view, ground=replace(view.ground, names_read_again=True))


@whole
def owner_of_a_link_whom_nobody_lists_still(bench: Bench) -> View:
    return names_read_again(owner_of_a_link_whom_nobody_lists(bench))


@whole
def stage_of_a_link_that_nobody_lists_still(bench: Bench) -> View:
    return names_read_again(stage_of_a_link_that_nobody_lists(bench))


@whole
def deal_without_a_name(bench: Bench) -> View:
    view = bench.view()
    return changed_deal(view, A, title="", raw=raw_of(view.crm[A], status="won"))


@whole
def row_and_deal_edited_in_two_fields(bench: Bench) -> View:
    bench.crm.put(A, status="won")
    bench.table.put("row-dealA1", "", value=5)
    return bench.view()


@whole
def same_edit_on_both_sides(bench: Bench) -> View:
    bench.crm.put(A, status="won")
    bench.table.put("row-dealA1", None, status="won")
    return bench.view()


@whole
def row_written_otherwise(bench: Bench) -> View:
    bench.table.put("row-dealA1", None, status="OPEN", name=" Deal ")
    return bench.view()


@whole
def stage_renamed(bench: Bench) -> View:
    fresh = replace(SALES, stages=(Stage("s1", "Fresh"), *SALES.stages[1:]))
    bench.crm.vocabulary = replace(VOCABULARY, pipelines=(fresh, SERVICE))
    return bench.view()


@whole
def stage_renamed_but_names_are_not_looked_at(bench: Bench) -> View:
    bench.renamed = False
    return stage_renamed(bench)


@whole
def stage_renamed_while_the_deal_was_away(bench: Bench) -> View:
    state(bench, A, LinkState.OUTSIDE)
    return stage_renamed_but_names_are_not_looked_at(bench)


@whole
def pipeline_no_longer_synced(bench: Bench) -> View:
    bench.crm.vocabulary = replace(VOCABULARY, pipelines=(replace(SALES, synced=False), SERVICE))
    return bench.view()


@whole
def pipeline_no_longer_synced_of_a_deleted_row(bench: Bench) -> View:
    return reading(lost(pipeline_no_longer_synced(bench), "row-dealA1"), table={"row-dealA1": ABSENT})


@whole
def shadow_in_another_order(bench: Bench) -> View:
    """The fields of the configuration stand in another order than before."""
    bench.renamed = False
    link = bench.links[A]
    bench.links[A] = replace(link, shadow=packed_shadow(link.agreed(), FIELD_NAMES[::-1]))
    return bench.view()


@whole
def status_that_the_crm_should_not_hold(bench: Bench) -> View:
    bench.crm.put(A, status="all")
    return bench.view()


@whole
def new_link_of_a_deal_without_a_name(bench: Bench) -> View:
    bench.crm.put("dealC3", **deal_of(name=None))
    bench.table.put("row3", "dealC3", **CELLS)
    return bench.view()


# --- stamps and reads ------------------------------------------------------------------------------------------------


def stale(bench: Bench, seconds: float) -> View:
    """Search shows A as it was before the newest stamp seen, so many seconds after that stamp was seen."""
    bench.renamed = False
    view = bench.view()
    link = replace(bench.links[A], seen=view.now, seen_at=view.now - seconds)
    return replace(view, links={**view.links, A: link})


@whole
def search_is_behind(bench: Bench) -> View:
    return stale(bench, 60.0)


@whole
def search_is_behind_for_long(bench: Bench) -> View:
    return stale(bench, 60.5)


@whole
def search_is_behind_and_the_row_was_edited(bench: Bench) -> View:
    bench.table.put("row-dealA1", None, value=5)
    return stale(bench, 0.0)


@whole
def search_is_behind_and_the_message_no_longer_holds(bench: Bench) -> View:
    bench.messages["row-dealA1"] = "Look here."
    return stale(bench, 0.0)


@whole
def search_is_behind_and_the_key_is_cleared(bench: Bench) -> View:
    bench.table.put("row-dealA1", "")
    return stale(bench, 0.0)


@whole
def search_tells_not_all_of_a_deal_at_rest(bench: Bench) -> View:
    return changed_deal(bench.view(), A, lacks=frozenset({VALUE}))


@whole
def search_tells_not_all_of_a_deal_that_moved(bench: Bench) -> View:
    bench.crm.put(A, status="won")
    return changed_deal(bench.view(), A, lacks=frozenset({VALUE}))


@whole
def search_tells_not_all_of_a_deal_without_stamps(bench: Bench) -> View:
    bench.links[A] = replace(bench.links[A], seen=None)
    return changed_deal(bench.view(), A, lacks=frozenset({VALUE}), stamp=None)


@whole
def a_read_tells_not_all(bench: Bench) -> View:
    bench.crm.put(A, status="won", value=7)
    view = changed_deal(bench.view(), A, lacks=frozenset({VALUE}))
    return reading(view, crm={A: view.crm[A]})


@whole
def read_by_id(bench: Bench) -> View:
    bench.renamed = False
    view = bench.view()
    return reading(view, crm={A: view.crm[A]})


@whole
def read_by_id_and_older_than_search_was(bench: Bench) -> View:
    view = stale(bench, 0.0)
    return reading(view, crm={A: view.crm[A]})


@whole
def stamp_of_an_own_write(bench: Bench) -> View:
    bench.crm.put(A, status="won")
    view = bench.view()
    link = replace(view.links[A], own=(view.crm[A].stamp or 0.0,))
    return replace(view, links={**view.links, A: link})


@whole
def stamp_older_than_the_newest_of_a_person(bench: Bench) -> View:
    bench.crm.put(A, status="won")
    view = bench.view()
    link = replace(view.links[A], foreign=view.now + 5)
    return replace(view, links={**view.links, A: link})


@whole
def deal_without_stamps(bench: Bench) -> View:
    bench.renamed = False
    view = bench.view()
    return changed_deal(view, A, stamp=None)


@whole
def link_that_never_saw_a_stamp(bench: Bench) -> View:
    bench.renamed = False
    bench.links[A] = replace(bench.links[A], seen=None, foreign=None, seen_at=0.0)
    return bench.view()


@whole
def search_is_behind_and_names_are_looked_at(bench: Bench) -> View:
    bench.crm.put(A, status="won")
    return replace(stale(bench, 0.0), renamed=True)


@whole
def conflict_with_an_own_stamp(bench: Bench) -> View:
    """What dates the deal is our own write: the newest stamp before it counts."""
    bench.crm.put(A, value=7)
    bench.table.put("row-dealA1", None, value=5)
    view = bench.view()
    link = replace(view.links[A], own=(view.crm[A].stamp or 0.0,), foreign=START + 33)
    return replace(view, links={**view.links, A: link})


# --- typing ----------------------------------------------------------------------------------------------------------


def typing(view: View, clocks: Mapping[Question, Stamp] | None = None) -> View:
    ground = replace(view.ground, typed=ALL_TYPED, clocks=clocks or {})
    return replace(view, ground=ground, quiet_seconds=5.0)


@whole
def somebody_may_be_typing(bench: Bench) -> View:
    bench.table.put("row-dealA1", None, value=5, owner="Bob")
    return typing(bench.view())


@whole
def somebody_is_typing(bench: Bench) -> View:
    view = somebody_may_be_typing(bench)
    question = Question("row-dealA1", VALUE, round(view.now - 5.0, 3))
    return typing(view, {question: Stamp(view.now - 1, view.now)})


@whole
def somebody_has_typed(bench: Bench) -> View:
    view = somebody_may_be_typing(bench)
    question = Question("row-dealA1", VALUE, round(view.now - 5.0, 3))
    return typing(view, {question: Stamp(0.0, question.instant)})


@whole
def nobody_can_tell_who_is_typing(bench: Bench) -> View:
    view = somebody_may_be_typing(bench)
    return replace(view, asked=frozenset({Question("row-dealA1", VALUE, round(view.now - 5.0, 3))}))


def row_clock(view: View, seconds_ago: float) -> View:
    clocks = tuple(view.now - seconds_ago if at == VALUE else None for at in range(6))
    return changed(view, "row-dealA1", clocks=clocks)


@whole
def cell_with_a_clock_of_now(bench: Bench) -> View:
    return row_clock(somebody_may_be_typing(bench), 4.999)


@whole
def cell_with_a_clock_of_before(bench: Bench) -> View:
    return row_clock(somebody_may_be_typing(bench), 5.0)


@whole
def cell_of_a_server_whose_clock_is_behind(bench: Bench) -> View:
    view = row_clock(somebody_may_be_typing(bench), 7.0)
    return replace(view, ground=replace(view.ground, offsets={Side.TABLE: 3.0}))


@whole
def deal_edited_while_quiet(bench: Bench) -> View:
    bench.crm.put(A, value=7)
    return typing(bench.view())


@whole
def pipeline_picked(bench: Bench) -> View:
    bench.table.put("row-dealA1", None, pipeline="Service")
    return typing(bench.view())


@whole
def stage_picked(bench: Bench) -> View:
    bench.table.put("row-dealA1", None, stage="Qualified")
    return typing(bench.view())


@whole
def blank_name_while_quiet(bench: Bench) -> View:
    bench.table.put("row-dealA1", None, name="")
    return typing(bench.view())


@whole
def cell_edited_at_the_very_instant(bench: Bench) -> View:
    view = somebody_may_be_typing(bench)
    instant = round(view.now - 5.0, 3)
    return typing(view, {Question("row-dealA1", VALUE, instant): Stamp(instant, instant)})


@whole
def moment_between_two_milliseconds(bench: Bench) -> View:
    view = somebody_may_be_typing(bench)
    return replace(view, now=view.now + 0.0004)


@whole
def nobody_knows_whether_that_cell_is_typed(bench: Bench) -> View:
    view = somebody_may_be_typing(bench)
    return replace(view, ground=replace(view.ground, typed=(True,) * VALUE))


@whole
def blank_stage_of_a_new_link_while_quiet(bench: Bench) -> View:
    bench.crm.put("dealC3", **deal_of())
    bench.table.put("row3", "dealC3", **{**CELLS, "stage": None})
    return typing(bench.view())


# --- rows that have no deal ------------------------------------------------------------------------------------------


@whole
def rows_without_deal(bench: Bench) -> View:
    bench.table.put("blank", None)
    bench.table.put("space", None, name="  ")
    bench.table.put("pipe", None, pipeline="Sales")
    bench.table.put("named", None, name="Named")
    bench.messages["blank"] = "Look here."
    return bench.view()


@whole
def rows_that_stay_rows(bench: Bench) -> View:
    return replace(rows_without_deal(bench), new_deals=False)


@whole
def row_being_made(bench: Bench) -> View:
    bench.table.put("named", None, name="Named")
    bench.crm.put("dealC3", **deal_of(name="NAMED"))
    bench.crm.put("dealD4", **deal_of(name="Named", stage=["p2", "t1"]))
    return replace(bench.view(), making={"named": ("p1", "named")})


@whole
def row_half_typed(bench: Bench) -> View:
    bench.table.put("named", None, name="Named", status="open")
    return typing(bench.view())


@whole
def rows_half_typed(bench: Bench) -> View:
    for row in ("one", "two", "three"):
        bench.table.put(row, None, name=row)
    return typing(bench.view())


@whole
def row_without_deal_that_is_deleted(bench: Bench) -> View:
    bench.table.put("named", None, name="Named")
    return reading(bench.view(), table={"named": ABSENT})


@whole
def deal_without_stage_while_one_is_made(bench: Bench) -> View:
    bench.crm.put("dealC3", **deal_of(name="Named"))
    view = bench.view()
    view = changed_deal(view, "dealC3", raw=raw_of(view.crm["dealC3"], stage=[]))
    return replace(view, making={"named": ("p1", "named")})


@whole
def deal_whose_stage_is_not_told_while_one_is_made(bench: Bench) -> View:
    view = deal_without_stage_while_one_is_made(bench)
    raw = view.crm["dealC3"].raw
    return changed_deal(view, "dealC3", raw=(*raw[:STAGE], None, *raw[STAGE + 1 :]))


@whole
def row_that_may_be_a_deal(bench: Bench) -> View:
    bench.crm.put("dealC3", **deal_of(name="Named"))
    bench.table.put("named", None, name="named", status="won")
    return bench.view()


@whole
def rows_that_may_be_deals(bench: Bench) -> View:
    bench.crm.put("dealD4", **deal_of(name="Other"))
    bench.table.put("other", None, name=" Other ")
    bench.table.put("third", None, name="Third")
    return row_that_may_be_a_deal(bench)


@whole
def row_that_is_a_deal(bench: Bench) -> View:
    view = rows_that_may_be_deals(bench)
    return replace(view, matched=frozenset({("named", "dealC3")}))


@whole
def row_that_is_no_deal(bench: Bench) -> View:
    view = row_that_may_be_a_deal(bench)
    return replace(view, unmatched=frozenset({("named", "dealC3")}))


@whole
def row_that_may_be_one_of_two_deals(bench: Bench) -> View:
    bench.crm.put("dealD4", **deal_of(name="Named"))
    view = row_that_may_be_a_deal(bench)
    return replace(view, matched=frozenset({("named", "dealC3")}))


# --- sheets: rows that lost their ids --------------------------------------------------------------------------------


def sheet(bench: Bench, *gone: str) -> View:
    """A table in which nothing but its id says whose a row is; these rows carry theirs no more."""
    view = replace(bench.view(), rows_by_key=True)
    return reading(lost(view, *gone), table=dict.fromkeys(gone, ABSENT))


@whole
def id_cleared(bench: Bench) -> View:
    bench.table.put("other", "", **CELLS)
    return sheet(bench, "row-dealA1")


@whole
def id_cleared_and_its_deal_is_missing(bench: Bench) -> View:
    bench.crm.drop(A)
    bench.table.put("other", "", **CELLS)
    return sheet(bench, "row-dealA1")


@whole
def id_typed_over_by_one_of_nobody(bench: Bench) -> View:
    bench.table.put("other", "nobody1234", **CELLS)
    return sheet(bench, "row-dealA1")


@whole
def id_typed_over_by_that_of_another_row(bench: Bench) -> View:
    bench.table.put("other", B, **CELLS)
    return sheet(bench, "row-dealA1")


@whole
def id_cleared_in_a_row_like_two(bench: Bench) -> View:
    bench.table.put("other", "", **CELLS)
    return sheet(bench, "row-dealA1", "row-dealB2")


@whole
def id_cleared_and_two_rows_are_alike(bench: Bench) -> View:
    bench.table.put("other", "", **CELLS)
    bench.table.put("third", "", **CELLS)
    return sheet(bench, "row-dealA1")


@whole
def ids_of_two_cleared_and_one_is_known(bench: Bench) -> View:
    bench.links[B] = replace(bench.links[B], title="Bees")
    bench.table.put("other", "", **CELLS)
    bench.table.put("third", "", **CELLS)
    return sheet(bench, "row-dealA1", "row-dealB2")


@whole
def id_gone_with_its_row(bench: Bench) -> View:
    bench.table.put("other", "", name="Somebody else")
    return sheet(bench, "row-dealA1")


@whole
def id_gone_with_its_row_that_stays_away(bench: Bench) -> View:
    return replace(sheet(bench, "row-dealA1"), policy=Policy(row_deleted=RowDeleted.IGNORE))


@whole
def id_gone_and_a_row_alike_belongs_to_a_deal_that_is_new(bench: Bench) -> View:
    bench.crm.put("dealC3", **DEAL_VALUES)
    bench.table.put("row3", "dealC3", **CELLS)
    return sheet(bench, "row-dealA1")


@whole
def id_cleared_and_renamed_on_both_sides(bench: Bench) -> View:
    bench.crm.put(A, name="Renamed")
    bench.table.put("other", "", **{**CELLS, "name": "renamed"})
    return sheet(bench, "row-dealA1")


@whole
def id_cleared_and_renamed_on_both_sides_and_approved(bench: Bench) -> View:
    view = id_cleared_and_renamed_on_both_sides(bench)
    return replace(view, matched=frozenset({("other", A)}))


@whole
def id_cleared_approved_and_another_value_typed_before_the_deal_was_renamed(bench: Bench) -> View:
    """What was agreed on still tells that only the row's value changed: the deal's later edit was of its name."""
    bench.table.put("other", "", **{**CELLS, "name": "renamed", "value": 77})
    bench.clock.advance(50)
    bench.crm.put(A, name="Renamed")
    return replace(sheet(bench, "row-dealA1"), matched=frozenset({("other", A)}))


@whole
def twofold_and_its_own_id_was_typed_over(bench: Bench) -> View:
    bench.table.put("row-dealA1", "nobody1234")
    bench.table.put("copy", A, **CELLS)
    bench.table.put("third", A, **CELLS)
    return bench.view()


@whole
def formula_in_a_cell(bench: Bench) -> View:
    bench.crm.put(A, value=5)
    view, told_not = bench.view(), frozenset({VALUE})
    return changed(view, "row-dealA1", lacks=told_not, formulas=told_not)


# --- records that nobody has looked at now (an incremental pass) -----------------------------------------------------


def edited_alike(bench: Bench, *deals: str) -> View:
    """Somebody set the same status on both sides of these."""
    for deal in deals:
        bench.crm.put(deal, status="won")
        bench.table.put(f"row-{deal}", status="won")
    return bench.view()


@whole
def agreement_with_deals_that_are_only_remembered(bench: Bench) -> View:
    return replace(edited_alike(bench, A, B), remembered=frozenset({A, B}))


@whole
def agreement_with_rows_that_are_only_remembered(bench: Bench) -> View:
    return replace(edited_alike(bench, A, B), remembered=frozenset({"row-dealA1", "row-dealB2"}))


@whole
def agreement_with_what_was_remembered_and_has_been_read(bench: Bench) -> View:
    view = replace(edited_alike(bench, A), remembered=frozenset({A, "row-dealA1"}))
    return reading(view, crm={A: view.crm[A]}, table={"row-dealA1": view.table["row-dealA1"]})


@whole
def agreement_with_a_row_that_has_been_read_and_a_deal_that_has_not(bench: Bench) -> View:
    view = replace(edited_alike(bench, A), remembered=frozenset({A, "row-dealA1"}))
    return reading(view, table={"row-dealA1": view.table["row-dealA1"]})


# --- deals that were gone --------------------------------------------------------------------------------------------


@whole
def deals_that_were_gone_are_listed_again(bench: Bench) -> View:
    for deal in ("dealC3", "dealD4", "dealE5"):
        bench.crm.put(deal, **deal_of(name=deal))
    bench.unknown_keys = frozenset({"dealC3", "dealE5"})
    view = bench.view()
    return reading(view, crm={"dealE5": view.crm["dealE5"]})


@whole
def id_of_a_deal_that_was_gone_and_is_listed_again(bench: Bench) -> View:
    bench.crm.put("dealC3", **DEAL_VALUES)
    bench.table.put("row3", "dealC3", **CELLS)
    bench.unknown_keys = frozenset({"dealC3"})
    return bench.view()


@whole
def new_link_while_another_deal_was_not_told(bench: Bench) -> View:
    bench.crm.put("dealC3", **DEAL_VALUES)
    bench.table.put("row3", "dealC3", **CELLS)
    return replace(changed_deal(bench.view(), A, lacks=frozenset({SOURCE}), stamp=START + 500), renamed=True)


@pytest.mark.parametrize("case", CASES, ids=[case.__name__ for case in CASES])
def test_the_whole_plan(case: Case) -> None:
    check("plans", case.__name__, told(make_plan(case(begun()))))


# --- by themselves ---------------------------------------------------------------------------------------------------

UPDATE = Update(Side.TABLE, A, "row-dealA1", "Deal", ())
NEW_DEAL = NewDeal("row1", "Roof", {}, Person("Ann Lee", "ann@example.com"))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(updates=[UPDATE]),
        Plan(new_rows=[NewRow(A, "Deal", {}, False, None, "")]),
        Plan(new_deals=[NEW_DEAL]),
        Plan(deletions=[Deletion(Side.CRM, A, "row-dealA1", "Deal", How.DELETE, {}, "")]),
        Plan(messages={"row-dealA1": ""}),
    ],
)
def test_each_kind_of_write_is_something(plan: Plan) -> None:
    assert not plan.is_empty()
    assert plan.changes_anything()


@pytest.mark.parametrize("plan", [Plan(links=[Link(A, "row")]), Plan(forget=[A]), Plan(absent_keys=["x"])])
def test_what_is_only_remembered_writes_nothing_but_changes_something(plan: Plan) -> None:
    assert plan.is_empty()
    assert plan.changes_anything()


def test_a_plan_that_only_tells_changes_nothing() -> None:
    plan = Plan(unread={A: 1}, unlisted={"u9"}, loose={"row"}, all_judged=True)
    assert not plan.changes_anything()


def test_an_update_is_known_again_by_what_it_writes() -> None:
    won = Change(STATUS, Side.TABLE, "open", "won", ChangeKind.EDIT, "why", "open", "won")
    assert fingerprint(replace(UPDATE, changes=(won,))) == '{"2":["won"]}'
    again = replace(won, old="lost", why="otherwise", target_raw="lost", kind=ChangeKind.CONFLICT)
    assert fingerprint(replace(UPDATE, changes=(again,), title="Other")) == '{"2":["won"]}'
    assert fingerprint(replace(UPDATE, changes=(replace(won, index=VALUE),))) == '{"3":["won"]}'
    assert fingerprint(replace(UPDATE, partner=A)) == "{}" + A


def test_a_new_deal_is_refused_under_the_name_of_its_row() -> None:
    assert stands_for(NEW_DEAL) == Update(Side.CRM, "row1", "row1", "Roof", (), NEW_DEAL.text())


@pytest.mark.parametrize(("value", "left"), [("p3:a1", True), ("p3:a:1", True), ("p1:s1", False), (None, False)])
def test_a_deal_left_the_scope_when_its_pipeline_is_no_longer_synced(value: str | None, left: bool) -> None:
    bench = begun()
    agreed = {"stage": Agreed(value, None, None, "")}
    link = replace(bench.links[A], shadow=packed_shadow(agreed, FIELD_NAMES))
    assert left_scope(bench.ground(), link) is left
    assert not left_scope(bench.ground(), Link(A, "row"))


# --- rows that become deals ------------------------------------------------------------------------------------------


def one_row(**cells: Raw) -> View:
    """A table with one row that has no deal, and a column for addresses."""
    ground = begun().ground()
    fields, codecs = (*ground.fields, field_of("email")), (*ground.codecs, TextCodec())
    usual: dict[str, Raw] = {"name": "Roof", "stage": ["Sales", "New"], "email": "ann@example.com"}
    raw = tuple({**usual, **cells}.get(field.name) for field in fields)
    row = Record("row1", raw, message="", title="Roof")
    typed = tuple(field.name != "stage" for field in fields)
    ground = replace(ground, fields=fields, codecs=codecs, typed=typed)
    return View(ground, {}, {}, {row.id: row}, {Side.CRM: {}, Side.TABLE: {}}, START)


def refused_new_deal(view: View, due: bool) -> View:
    """The view after this very deal was refused."""
    (new,) = make_plan(view).new_deals
    return replace(view, refused={("row1", Side.CRM): ("HighLevel says no.", fingerprint(stands_for(new)), due)})


def test_a_row_with_a_name_and_an_address_becomes_a_deal() -> None:
    assert told(make_plan(one_row())) == ["new deal row1 “Roof”"]


def test_new_deals_stand_in_the_order_of_their_rows() -> None:
    view = one_row()
    rows = {id: replace(view.table["row1"], id=id) for id in ("row3", "row1", "row2")}
    rows = {id: replace(row, raw=(id, *row.raw[1:]), title=id) for id, row in rows.items()}
    assert [new.row for new in make_plan(replace(view, table=rows)).new_deals] == ["row1", "row2", "row3"]


def test_a_refused_deal_waits_and_its_row_says_why() -> None:
    assert told(make_plan(refused_new_deal(one_row(), due=False))) == [
        "message row1: HighLevel says no.",
        "refused - row1 “Roof” person True: HighLevel says no.",
        "without id 1",
    ]


def test_a_refused_deal_is_tried_again_in_time_and_its_row_still_says_why() -> None:
    assert told(make_plan(refused_new_deal(one_row(), due=True))) == [
        "new deal row1 “Roof”",
        "message row1: HighLevel says no.",
    ]


def test_another_deal_of_a_refused_row_is_tried_at_once() -> None:
    refused = refused_new_deal(one_row(), due=False).refused
    assert told(make_plan(replace(one_row(name="Wall"), refused=refused))) == ["new deal row1 “Wall”"]


def test_of_two_deals_alike_only_one_is_made_at_a_time() -> None:
    view = replace(one_row(), making={"row0": ("p1", "roof")})
    assert told(make_plan(view)) == [
        f"unfinished write - row1 “Roof” person False: {ITS_MAKING}",
        "without id 1",
    ]


def test_a_row_is_half_typed_while_any_of_its_cells_is() -> None:
    assert told(make_plan(replace(one_row(), quiet_seconds=5.0))) == [
        "still being typed - row1 “Roof” person False: It was edited a moment ago; it waits until that rests.",
        "without id 1",
        "ask row1 name -5",
        "ask row1 email -5",
    ]


# --- what is told ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deal", "row", "title", "told_so"),
    [
        ("deal1", "row1", "Roof", "“Roof”: It waits."),
        ("deal1", "row1", "", "“row1”: It waits."),
        ("deal1", "", "", "“deal1”: It waits."),
        ("", "row1", "", "“row1”: It waits."),
        ("", "", "", "It waits."),
        ("deal1", "row1", "x" * 61, f"“{'x' * 59}…”: It waits."),
    ],
)
def test_a_finding_is_told_by_the_name_that_people_know(deal: str, row: str, title: str, told_so: str) -> None:
    finding = Finding(Trouble.HELD, deal, row, title, "It waits.", True)
    assert finding.told() == told_so
    assert finding.record == (deal or row)
