"""Two accidents that only a sheet knows, since its rows have no identity but a cell: rows that were sorted without
their ids, and a file that was saved from an older copy (SPEC §4). Both look like many people's edits and are nobody's.
They are held at any size, and can be approved like every other held set. Pure.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from syncd.guards import GuardKind, HeldSet, Member, made_set
from syncd.judge import Change, ChangeKind, Ground
from syncd.model import Link, LinkState, Missing, Record, Side, Value, pack, print_of
from syncd.plan import Plan, Update, View

FEWEST_ROWS: Final = 3  # that exchange what they show: two may have been swapped by people
FEWEST_CELLS: Final = 3  # that went back to what they held before, in at least two rows
HISTORY_SECONDS: Final = 7 * 86_400.0  # how old a copy may be that somebody saves


@dataclass(frozen=True, slots=True)
class Overwritten:
    """A value that a field of a deal lost, to syncd or by a person's edit that syncd carried, and when."""

    deal: str
    field: str
    old: Value
    at: float


def sheet_sets(
    view: View, plan: Plan, history: Sequence[Overwritten], sorted_before: Collection[str] = ()
) -> list[HeldSet]:
    """What looks like one of the two accidents, whether or not somebody has approved it. `sorted_before` are the deals
    whose rows wait because they were sorted without their ids."""
    if not view.rows_by_key:
        return []
    found = shuffled(view, plan, sorted_before) or old_copy(view, plan, history)
    return [found] if found is not None else []


def told(held: HeldSet, ground: Ground) -> HeldSet:
    """The set with its sentence for people."""
    table, crm = ground.labels[Side.TABLE], ground.labels[Side.CRM]
    mend = f"if it is meant, `syncd approve {held.digest}`."
    if held.kind is GuardKind.SHUFFLED:
        sentence = (
            f"Rows of {table} show what other rows showed before, as after a sort that left the GHL ID column behind. "
            f"{len(held.members)} of them wait. Undo that sort, and sort whole rows; {mend}"
        )
    else:
        sentence = (
            f"{len(held.members)} rows of {table} hold again what they held before their last changes, as after saving "
            f"an older copy. That is not carried to {crm}. Put the newer file back; {mend}"
        )
    return replace(held, sentence=sentence)


def may_be_one(view: View, plan: Plan) -> bool:
    """Whether it is worth while to look into the history."""
    edits = sum(len(_carried(update)) for update in plan.updates)
    return view.rows_by_key and edits >= FEWEST_CELLS


def _carried(update: Update) -> list[Change]:
    """What an update takes from the sheet to the CRM."""
    return [change for change in update.changes if update.target is Side.CRM and change.kind is not ChangeKind.RENAME]


# --- a sort that left the ids behind ---------------------------------------------------------------------------------


def exchanged(view: View, sorted_before: Collection[str] = ()) -> set[str]:
    """Deals whose rows show what the row of another one showed that does not show it any more itself.

    Rows with equal contents tell nothing: what a row shows must have gone from everywhere it was. Rows of which that
    was said before count until none of them shows what another one showed: that some were edited, or put right, says
    nothing of the rest.
    """
    names = [field.name for field in view.ground.fields]
    owners: dict[bytes, list[str]] = defaultdict(list)
    shows: dict[str, bytes] = {}
    for link in view.links.values():
        row = _row(view, link)
        if row is None:
            continue
        owners[link.shadow.table_print].append(link.deal)
        shown = print_of(pack(names, row.raw))
        if shown != link.shadow.table_print and not row.lacks:
            shows[link.deal] = shown
    found = {
        deal for deal, shown in shows.items() if owners.get(shown) and all(owner in shows for owner in owners[shown])
    }
    if any(owners.get(shows[deal]) for deal in shows.keys() & set(sorted_before)):
        return found.union(sorted_before)
    return found if len({shows[deal] for deal in found}) >= FEWEST_ROWS else set()


def _row(view: View, link: Link) -> Record | None:
    """The row of a link as it is now, where it carries the link's key."""
    if link.state is not LinkState.BOTH:
        return None
    row = view.reads[Side.TABLE].get(link.row) or view.table.get(link.row)
    return row if isinstance(row, Record) and row.partner == link.deal else None


def shuffled(view: View, plan: Plan, sorted_before: Collection[str] = ()) -> HeldSet | None:
    """Everything that would be written because rows exchanged what they show; None where they did not.

    Beside the rows that certainly did: rows of which several fields, or the name, changed in the same sheet, and rows
    that would become deals. After such a sort they are as likely to show somebody else's.
    """
    certain = exchanged(view, sorted_before)
    members = _sorted_away(plan, certain, view.ground) if certain else []
    return made_set(GuardKind.SHUFFLED, Side.CRM, "", members) if members else None


def _sorted_away(plan: Plan, certain: Collection[str], ground: Ground) -> list[Member]:
    """What waits while rows have exchanged what they show: the updates of these deals, and all that may be like it."""
    members = []
    for update in plan.updates:
        carried = _carried(update)
        doubtful = len(carried) > 1 or any(ground.fields[change.index].name == "name" for change in carried)
        if update.deal in certain or doubtful:
            members.append(_member(update, update.changes, ground))
    return members + [Member(new.row, None, new.text(), new.title, "a new deal") for new in plan.new_deals]


# --- a file that was saved from an older copy ------------------------------------------------------------------------


def old_copy(view: View, plan: Plan, history: Sequence[Overwritten]) -> HeldSet | None:
    """The edits that bring back what was overwritten since some moment; None where they are not most of what was.

    One person undoes a few of many values. An older copy has none of those that came after it.
    """
    names = [field.name for field in view.ground.fields]
    lost: dict[tuple[str, str], list[Overwritten]] = defaultdict(list)
    for one in history:
        if one.at >= view.now - HISTORY_SECONDS and one.deal in view.links:
            lost[one.deal, one.field].append(one)
    back: dict[tuple[str, str], float] = {}
    for update in plan.updates:
        for change in _carried(update):
            cell = update.deal, names[change.index]
            times = [one.at for one in lost.get(cell, ()) if one.old == change.new]
            if times:
                back[cell] = max(times)
    if len(back) < FEWEST_CELLS or len({deal for deal, _ in back}) < 2:
        return None
    since = min(back.values())
    changed_since = sum(any(one.at >= since for one in losses) for losses in lost.values())
    if 2 * len(back) <= changed_since:
        return None
    members = []
    for update in plan.updates:
        changes = [change for change in _carried(update) if (update.deal, names[change.index]) in back]
        if changes:
            members.append(_member(update, changes, view.ground))
    return made_set(GuardKind.OLD_COPY, Side.CRM, "", members)


# --- an accident that waits ------------------------------------------------------------------------------------------


def still_waiting(waiting: Iterable[HeldSet], plan: Plan, ground: Ground) -> list[HeldSet]:
    """The accidents that wait for a person, as they stand for the plan of a part of the records: a few rows do not show
    that they were sorted. What would be written to a member waits whatever it is, and so does, after a sort, what may
    belong to it; where that is no member yet, it stands beside them."""
    found = []
    for one in waiting:
        known = {member.record for member in one.members}
        if one.kind is GuardKind.SHUFFLED:
            news = [member for member in _sorted_away(plan, (), ground) if member.record not in known]
            found.append(made_set(one.kind, one.side, one.field, (*one.members, *news), one.sentence))
        elif one.kind is GuardKind.OLD_COPY:
            found.append(one)
    return found


# --- members ---------------------------------------------------------------------------------------------------------


def _member(update: Update, changes: Iterable[Change], ground: Ground) -> Member:
    """All that is held of one record, as one member: an approval covers exactly these values."""
    old: dict[str, Value] = {}
    new: dict[str, Value] = {}
    shown = []
    for change in changes:
        name, codec = ground.fields[change.index].name, ground.codecs[change.index]
        old[name] = None if isinstance(change.old, Missing) else change.old
        new[name] = change.new
        was, becomes = codec.show(old[name]) or "(blank)", codec.show(change.new) or "(blank)"
        shown.append(f"{ground.fields[change.index].columns[-1]}: {was} -> {becomes}")
    return Member(update.deal, _text(old), _text(new), update.title, "; ".join(shown))


def _text(values: Mapping[str, Value]) -> str:
    return json.dumps(dict(values), ensure_ascii=False, sort_keys=True)
