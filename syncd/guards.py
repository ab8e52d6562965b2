"""The guards of SPEC §4: predicates over a plan, between planning and writing, each with a sentence for people. Pure.

A guard never changes a plan by itself. It names a set of writes, exactly: record, field, old, new. That set is held
until a person approves it; an approval covers these writes and no others, so later planning may drop some of them,
and what it adds is judged by itself.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as made_by
from enum import StrEnum
from hashlib import sha256
from typing import Final, TypeAlias

from syncd.fields import KEY, KEY_COLUMN, ROW
from syncd.judge import Change, ChangeKind, Ground
from syncd.lost_keys import twins
from syncd.model import LinkState, Missing, Side, Value
from syncd.plan import Deletion, How, Plan, Update, View, left_scope
from syncd.policy import Limits
from syncd.values import Codec

OSCILLATIONS = 3  # returns to the value before last within an hour that are still believed to be people's
OSCILLATION_SECONDS = 3600.0
STATUS = "status"
SEVERAL = "several"  # matches with more than one candidate: an approval could not tell which


class GuardKind(StrEnum):
    """What a held set is about."""

    CHANGES = "changes"
    DEALS = "new deals"
    DELETIONS = "deletions"
    EMPTY = "almost empty"
    SWAPPED = "swapped"
    MATCHES = "matches"
    SHUFFLED = "rows sorted without their ids"
    OLD_COPY = "an older copy"


OF_WRITES = frozenset({GuardKind.CHANGES, GuardKind.DEALS, GuardKind.DELETIONS, GuardKind.SHUFFLED, GuardKind.OLD_COPY})


@dataclass(frozen=True, slots=True)
class Member:
    """One write of a held set. `record` is the deal's id (of a row without a deal: the row's), `title` for people."""

    record: str
    old: Value
    new: Value
    title: str = made_by(default="", compare=False)
    shown: str = made_by(default="", compare=False)  # old -> new as people read it

    def sort_key(self) -> tuple[str, str, str]:
        """Members stand in one order, whatever order they were planned in."""
        return self.record, self.old or "", self.new or ""


SetKey: TypeAlias = tuple[GuardKind, Side, str]


@dataclass(frozen=True, slots=True)
class HeldSet:
    """Writes that wait for a person together. `field` is the field's name, "" where there is none."""

    kind: GuardKind
    side: Side
    field: str
    members: tuple[Member, ...]
    sentence: str = made_by(default="", compare=False)

    @property
    def key(self) -> SetKey:
        """Which sets can cover each other's members."""
        return self.kind, self.side, self.field

    @property
    def digest(self) -> str:
        """The name of exactly this set: 12 hexadecimal digits."""
        members = [[one.record, one.old, one.new] for one in self.members]
        whole = json.dumps([self.kind.value, self.side.value, self.field, members], ensure_ascii=True)
        return sha256(whole.encode()).hexdigest()[:12]

    @property
    def writes(self) -> int:
        """How many writes wait (CONTRACT "held"); what waits for a look alone counts none."""
        return len(self.members) if self.kind in OF_WRITES else 0


def made_set(kind: GuardKind, side: Side, name: str, members: Iterable[Member], sentence: str = "") -> HeldSet:
    """A set with its members in order."""
    return HeldSet(kind, side, name, tuple(sorted(members, key=Member.sort_key)), sentence)


def unapproved(found: HeldSet, approved: Sequence[HeldSet]) -> HeldSet:
    """`found` without the members that a person has approved: these go on, the rest is judged by itself."""
    allowed = {member for one in approved if one.key == found.key for member in one.members}
    return replace(found, members=tuple(member for member in found.members if member not in allowed))


def still_wanted(approved: HeldSet, found: Sequence[HeldSet]) -> HeldSet:
    """What is left of an approval: members that are no longer planned were carried out, or dropped for good."""
    wanted = {member for one in found if one.key == approved.key for member in one.members}
    return replace(approved, members=tuple(member for member in approved.members if member in wanted))


# --- mass changes ----------------------------------------------------------------------------------------------------


def too_many_changes(count: int, total: int, side: Side, limits: Limits) -> bool:
    """Whether so many writes of one field in one direction wait for a person."""
    beyond_both = count > limits.max_changes and count > limits.max_share * total
    return beyond_both or (side is Side.CRM and count > limits.max_crm_changes)


def too_many_deletions(count: int, total: int, limits: Limits) -> bool:
    """Likewise for deletions."""
    return count > limits.max_deletions and count > limits.max_deletion_share * total


def planned_sets(plan: Plan, ground: Ground) -> list[HeldSet]:
    """Every set that could be held: the changes of each field and direction, new deals, deletions.

    New names of stages and owners are no change, and making rows is never held (SPEC §4). A deal that is to be
    abandoned stands in two sets: its row was deleted, and its status changes in the CRM.
    """
    sets: dict[tuple[Side, int], list[Member]] = defaultdict(list)
    for update in plan.updates:
        for change in update.changes:
            if change.kind is not ChangeKind.RENAME:
                sets[update.target, change.index].append(_member(update, change, ground))
    names = [one.name for one in ground.fields]
    for deletion in plan.deletions:
        if deletion.how is How.ABANDON:
            status = names.index(STATUS)
            sets[deletion.side, status].append(_abandoned(deletion, ground.codecs[status]))
    found = [made_set(GuardKind.CHANGES, side, names[index], sets[side, index]) for side, index in sorted(sets)]
    for side in Side:
        gone = [Member(one.deal, one.how.value, None, one.title) for one in plan.deletions if one.side is side]
        if gone:
            found.append(made_set(GuardKind.DELETIONS, side, "", gone))
    if plan.new_deals:
        made = [Member(one.row, None, one.text(), one.title, "a new deal") for one in plan.new_deals]
        found.append(made_set(GuardKind.DEALS, Side.CRM, "", made))
    return found


def match_sets(plan: Plan) -> list[HeldSet]:
    """Rows and deals that may be the same (SPEC §5): those that can be linked, and those where only a person can tell
    which of several it is. Both wait, however few they are."""
    sets = []
    for alone, name in ((True, ""), (False, SEVERAL)):
        pairs = [Member(m.row, None, m.deal, m.title, f"deal {m.deal}: same {', '.join(m.by)}")
                 for m in plan.matches if m.alone is alone]  # fmt: skip
        if pairs:
            found = made_set(GuardKind.MATCHES, Side.TABLE, name, pairs)
            rows = len({pair.record for pair in pairs})
            sets.append(replace(found, sentence=_match_sentence(found.digest, rows, alone=alone)))
    return sets


def _match_sentence(digest: str, rows: int, *, alone: bool) -> str:
    rows_may = "1 row without a GHL ID may be a deal that has" if rows == 1 else (
        f"{rows} rows without a GHL ID may be deals that have"
    )  # fmt: skip
    refuse = f"`syncd approve {digest} --refuse` says that they are not"
    if alone:
        return f"{rows_may} no row yet. `syncd approve {digest}` links them; {refuse}, and both are made."
    return f"{rows_may} no row yet, and there are several candidates. Put the right GHL ID into the row; {refuse}."


def answered_pairs(answered: Iterable[HeldSet]) -> frozenset[tuple[str, str]]:
    """The (row, deal) pairs of match reports that a person has answered."""
    return frozenset(
        (member.record, member.new or "") for one in answered if one.kind is GuardKind.MATCHES for member in one.members
    )


def _member(update: Update, change: Change, ground: Ground) -> Member:
    old = None if isinstance(change.old, Missing) else change.old
    codec = ground.codecs[change.index]
    shown = f"{codec.show(old) or '(blank)'} -> {codec.show(change.new) or '(blank)'}"
    return Member(update.deal, old, change.new, update.title, shown)


def _abandoned(deletion: Deletion, codec: Codec) -> Member:
    """The change of status that abandons an open deal."""
    old, new = _ABANDONS[GuardKind.CHANGES]
    return Member(deletion.deal, old, new, deletion.title, f"{codec.show(old)} -> {codec.show(new)}")


# The two sets in which a deal that is to be abandoned stands, and what stands there for the one write that it takes.
_ABANDONS: Final[Mapping[GuardKind, tuple[Value, Value]]] = {
    GuardKind.CHANGES: ("open", "abandoned"),
    GuardKind.DELETIONS: (How.ABANDON.value, None),
}
_OTHER_SET: Final[Mapping[SetKey, SetKey]] = {
    (GuardKind.CHANGES, Side.CRM, STATUS): (GuardKind.DELETIONS, Side.CRM, ""),
    (GuardKind.DELETIONS, Side.CRM, ""): (GuardKind.CHANGES, Side.CRM, STATUS),
}


def _asked_once(found: HeldSet, others: Sequence[HeldSet]) -> HeldSet:
    """`found` without the deals whose abandoning is held, or was approved, as a member of its other set."""
    other = _OTHER_SET.get(found.key)
    asked = {one.record for held in others if held.key == other for one in held.members if _is_abandoning(held, one)}
    if other is None or not asked:
        return found
    left = tuple(one for one in found.members if not (one.record in asked and _is_abandoning(found, one)))
    return replace(found, members=left)


def _is_abandoning(found: HeldSet, member: Member) -> bool:
    return (member.old, member.new) == _ABANDONS[found.kind]


def held_sets(found: Sequence[HeldSet], ground: Ground, total: int, limits: Limits,
              approved: Sequence[HeldSet]) -> list[HeldSet]:  # fmt: skip
    """The sets that go beyond the limits, without what was approved, each with its sentence. `total`: all links."""
    held: list[HeldSet] = []
    for one in sorted(found, key=lambda one: one.kind is not GuardKind.DELETIONS):  # these have the narrower limits
        rest = _asked_once(unapproved(one, approved), [*approved, *held])
        count = len(rest.members)
        if rest.kind is GuardKind.DELETIONS:
            in_any_case = rest.side is Side.CRM and count > limits.max_crm_changes  # existence is a field (SPEC §1)
            beyond = in_any_case or too_many_deletions(count, total, limits)
        else:
            beyond = too_many_changes(count, total, rest.side, limits)
        if count and beyond:
            held.append(replace(rest, sentence=_sentence(rest, ground, total)))
    return held


def _sentence(held: HeldSet, ground: Ground, total: int) -> str:
    count, side = len(held.members), ground.labels[held.side]
    plural = "" if count == 1 else "s"
    mend = f"Look with `syncd plan`, then carry it out with `syncd approve {held.digest}`."
    if held.kind is GuardKind.DELETIONS:
        noun = "deal" if held.side is Side.CRM else "row"
        abandoned = sum(one.old == How.ABANDON.value for one in held.members)
        what = "deleted" if not abandoned else "abandoned" if abandoned == count else "deleted or abandoned"
        return f"{count} {noun}{plural} of {total} links would be {what} in {side} at once. {mend}"
    if held.kind is GuardKind.DEALS:
        return f"{count} new deal{plural} would be made in {side} at once. {mend}"
    column = next((one.columns[-1] for one in ground.fields if one.name == held.field), held.field)
    news = {member.new for member in held.members}
    same = " to the same value" if len(news) == 1 and count > 1 else ""
    return f"“{column}” would change in {side} on {count} of {total} records at once{same}. {mend}"


def without(plan: Plan, held: Sequence[HeldSet], ground: Ground) -> Plan:
    """The plan without what is held; everything else goes on."""
    waiting = {(one.kind, one.side, one.field, member.record) for one in held for member in one.members}
    if not waiting:
        return plan
    names = [one.name for one in ground.fields]
    shuffled = {record for kind, _, _, record in waiting if kind is GuardKind.SHUFFLED}
    updates = []
    for update in plan.updates:
        if update.deal in shuffled or (GuardKind.OLD_COPY, update.target, "", update.deal) in waiting:
            continue
        rest = tuple(
            change
            for change in update.changes
            if change.kind is ChangeKind.RENAME
            or (GuardKind.CHANGES, update.target, names[change.index], update.deal) not in waiting
        )
        if rest or update.partner:
            updates.append(replace(update, changes=rest))
    deletions = [
        one
        for one in plan.deletions
        if (GuardKind.DELETIONS, one.side, "", one.deal) not in waiting
        and (one.how is not How.ABANDON or (GuardKind.CHANGES, one.side, STATUS, one.deal) not in waiting)
    ]
    new_deals = [
        one
        for one in plan.new_deals
        if (GuardKind.DEALS, Side.CRM, "", one.row) not in waiting and one.row not in shuffled
    ]
    return replace(plan, updates=updates, new_deals=new_deals, deletions=deletions)


# --- a side that is almost empty -------------------------------------------------------------------------------------


def missing_records(view: View) -> dict[Side, list[Member]]:
    """Per side, the links' records that a complete sweep does not show, though nothing explains it.

    A deal of a pipeline that the configuration no longer names has left the scope; that is no emptiness (SPEC §4).
    """
    missing: dict[Side, list[Member]] = {Side.CRM: [], Side.TABLE: []}
    carried: set[str] | None = None  # most passes need not know
    for link in view.links.values():
        if link.state is not LinkState.BOTH:
            continue
        if link.deal not in view.crm and not left_scope(view.ground, link):
            missing[Side.CRM].append(Member(link.deal, link.deal, None, link.title))
        if link.row in view.table:
            continue
        if carried is None:
            carried = {row.partner for row in view.table.values() if row.partner}
        if link.deal not in carried:
            missing[Side.TABLE].append(Member(link.deal, link.row, None, link.title))
    if view.rows_by_key and missing[Side.TABLE]:  # a row that only lost its key is no emptiness
        rows = [row for row in view.table.values() if row.partner is None]
        there = twins(view.ground, [view.links[one.record] for one in missing[Side.TABLE]], rows)
        missing[Side.TABLE] = [one for one in missing[Side.TABLE] if one.record not in there]
    return missing


def almost_empty(view: View, limits: Limits, approved: Sequence[HeldSet]) -> list[HeldSet]:
    """Sides that lack so much of what was there that nothing is written and nothing is asked one by one (SPEC §4)."""
    known = len(view.resting.stored) + sum(link.state is LinkState.BOTH for link in view.links.values())
    held = []
    for side, members in missing_records(view).items():
        found = made_set(GuardKind.EMPTY, side, "", members)
        rest = unapproved(found, approved)
        count = len(rest.members)
        if count > limits.max_missing and count > limits.max_missing_share * known:
            noun = "deals" if side is Side.CRM else "rows"
            label = view.ground.labels[side]
            sentence = (
                f"{label[:1].upper()}{label[1:]} shows {count} of {known} known {noun} no more. Nothing is written. "
                f"Were they really deleted? Then `syncd approve {rest.digest}`; else bring them back."
            )
            held.append(replace(rest, sentence=sentence))
    return held


def swapped(side: Side, label: str, before: str, now: str) -> HeldSet:
    """A base, table or location that is another than the one whose records were linked (SPEC §4)."""
    found = HeldSet(GuardKind.SWAPPED, side, "", (Member(now, before, now),))
    what = "location" if side is Side.CRM else "table"
    sentence = (
        f"This is another {what} in {label} than before ({now}, formerly {before}). Nothing is written. `syncd plan` "
        f"shows what a first pass would do; then `syncd approve {found.digest}`, or put the former one back."
    )
    return replace(found, sentence=sentence)


# --- an automation that sets things back -----------------------------------------------------------------------------


def returns(values: Sequence[Value]) -> int:
    """How often a value is the one before last again: after another one in between, or after what was written was
    set back on the other side's behalf, such as a blank cell that is filled again and again."""
    return sum(values[at] == values[at - 2] for at in range(2, len(values)))


def oscillations(
    plan: Plan, ground: Ground, written: Mapping[tuple[str, str], Sequence[Value]]
) -> dict[tuple[str, str], str]:
    """(deal, field) -> sentence, for planned changes that would set a field back and forth once too often.

    `written` are the values that syncd itself wrote to a field of a deal within the last hour, on either side, oldest
    first. The key of a row, and whether there is a row at all, are such fields, too (SPEC §1).
    """
    frozen = {}

    def weigh(deal: str, name: str, new: Value, what: str) -> None:
        if returns([*written.get((deal, name), ()), new]) > OSCILLATIONS:
            frozen[deal, name] = (
                f"{what} several times within an hour, probably by an automation; syncd leaves it alone. "
                f"Stop the automation, then `syncd resume {deal}`."
            )

    for update in plan.updates:
        for change in update.changes:
            if change.kind is not ChangeKind.RENAME:
                one = ground.fields[change.index]
                weigh(update.deal, one.name, change.new, f"“{one.columns[-1]}” was set back and forth")
        if update.partner is not None:
            weigh(update.deal, KEY, update.partner, f"The {KEY_COLUMN} of its row was cleared")
    for row in plan.new_rows:
        if row.again:
            weigh(row.deal, ROW, row.deal, "Its row was deleted")
    return frozen


def may_oscillate(plan: Plan) -> set[str]:
    """The deals of whom `oscillations` has to know what was written."""
    return {update.deal for update in plan.updates} | {row.deal for row in plan.new_rows if row.again}


def total_links(view: View, plan: Plan) -> int:
    """All links that the shares of the limits count: those known, and those that this plan makes."""
    known = {*view.links, *view.resting.stored}
    return len(known.union(link.deal for link in plan.links))
