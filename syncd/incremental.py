"""Passes that look only at what was edited since the last one: what a process remembers between passes, which records a
pass looks at, and when everything has to be looked at again.

What such a pass is not told of is as last seen (SPEC §1): of a link at rest that is the shadow. Nothing relies on that
alone, since every write is preceded by reads by id (SPEC §3.1); a wrong guess costs a write that is held back, no more.
Whatever cannot be told from a few records (a key that moved, a new stage, a mass of changes) is a *doubt*, and a full
pass answers it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from syncd.guards import GuardKind, HeldSet
from syncd.model import Link, LinkState, Record, Side
from syncd.newcomers import Match, possible_matches
from syncd.plan import Finding, Plan, Trouble, View
from syncd.sides import Unread
from syncd.store import Store

FULL_EVERY_SECONDS: Final = 6 * 3600.0
CRM_OVERLAP_SECONDS: Final = (
    600.0  # search is seconds to minutes behind; an overlap that was too short lost rows (ghl.md §3.3)
)
TABLE_OVERLAP_SECONDS: Final = 60.0
LATEST_KEPT_SECONDS: Final = 86_400.0  # for how long a late arrival in the search makes the overlap longer
OPENED_SECONDS: Final = 3600.0  # how long names and columns are believed without a look
FIRST_PATIENCE_SECONDS: Final = 300.0  # a doubt that a full pass leaves asks for the next one after this, then twice...
CHECKED_AT_MOST: Final = 50  # records that wait are read one by one; beyond, a full pass is cheaper

# What may be over without an edit on either side; the rest waits for one, or for a person.
PASSING: Final = frozenset({Trouble.TYPING, Trouble.UNDATED, Trouble.UNREAD, Trouble.UNSETTLED, Trouble.NOT_TOLD})


@dataclass(slots=True)
class Memory:
    """What a running process knows of a pair. One that starts knows nothing: its first pass is a full one.

    Times are of our own clock. `full_at` and `listed_at` are when the last completed passes began; `findings` is what
    waits, by the record it is about; `raised` are doubts that call for a full pass now, `doubts` those that called for
    the last one, `patience` how long they must wait for the next if they are still there; `lasting` are those that only
    a full pass ends, though nothing that is listed may raise them again.

    `loose` are the rows without an id and `rowless` the deals without a row, as last seen, by id; `matched` are those
    of them that were found to be alike by the last full pass. `unclear` are the rows of a sheet and the deals of which
    it could not tell which belong together: they wait for a person, and for the next full pass.
    """

    full_every: float = FULL_EVERY_SECONDS
    full_at: float | None = None
    listed_at: float = 0.0
    opened: Any = None
    opened_at: float = 0.0
    findings: dict[str, list[Finding]] = field(default_factory=dict)
    loose: dict[str, Record] = field(default_factory=dict)
    rowless: dict[str, Record] = field(default_factory=dict)
    matched: frozenset[str] = frozenset()
    unclear: frozenset[str] = frozenset()
    sweep_calls: int = 2  # on the side where the last sweep took most
    answers: frozenset[str] = frozenset()  # what people have approved and resumed so far
    raised: frozenset[str] = frozenset()
    doubts: frozenset[str] = frozenset()
    lasting: frozenset[str] = frozenset()
    patience: float = FIRST_PATIENCE_SECONDS
    late: dict[str, tuple[float, float]] = field(default_factory=dict)  # deal -> (when it came, seconds late)
    again: frozenset[str] = frozenset()  # deals that the last pass planned a write for, and did not write
    again_rows: frozenset[str] = frozenset()  # likewise rows that are to become deals

    @property
    def matches(self) -> int:
        """How many rows without an id may be deals that have no row."""
        return len(self.matched & self.loose.keys())

    def may_look_at_changes(self, now: float) -> bool:
        """Whether the next pass need not be a full one."""
        return self.full_at is not None and 0 <= now - self.full_at < self.full_every

    @property
    def sweeps_are_cheap(self) -> bool:
        """Whether all records of a side come in one call: then nothing is saved by asking for changes alone."""
        return self.sweep_calls <= 1

    def needs_full(self, doubts: Collection[str], now: float) -> bool:
        """Whether these doubts call for a full pass at once: new ones do, those that one has left wait ever longer."""
        self.raised = frozenset(doubts)
        if self.full_at is None or self.raised - self.doubts:
            return True
        return bool(doubts) and now - self.full_at >= self.patience

    def since(self, side: Side, now: float) -> float:
        """From when on changes of this side are asked for."""
        if side is Side.TABLE:
            return self.listed_at - TABLE_OVERLAP_SECONDS
        latest = [late for at, late in self.late.values() if now - at < LATEST_KEPT_SECONDS]
        return self.listed_at - min(max(CRM_OVERLAP_SECONDS, 2 * max(latest, default=0.0)), self.full_every)

    def note_late(self, deals: Mapping[str, Record], links: Mapping[str, Link], offset: float, now: float) -> None:
        """Measures how late search is: a deal that the last listing should have shown, and did not (ghl.md §3.4)."""
        self.late = {deal: one for deal, one in self.late.items() if now - one[0] < LATEST_KEPT_SECONDS}
        for deal in deals.values():
            link = links.get(deal.id)
            if deal.stamp is None or deal.outside or deal.id in self.late:
                continue
            late = self.listed_at - (deal.stamp + offset)
            if late > 0 and (link is None or link.seen is None or deal.stamp > link.seen):
                self.late[deal.id] = now, late

    def completed(self, began: float, findings: Sequence[Finding], touched: Collection[str] | None) -> None:
        """A pass that began then was completed; `touched` are the records that it looked at, None for all."""
        if touched is None:
            self.findings.clear()
            again = bool(self.raised) and self.raised <= self.doubts
            self.patience = min(2 * self.patience, self.full_every) if again else FIRST_PATIENCE_SECONDS
            self.full_at, self.doubts = began, self.raised
            self.raised = self.lasting = frozenset()
        for record in touched or ():
            self.findings.pop(record, None)
        for finding in findings:
            known = self.findings.setdefault(finding.record, [])
            if touched is not None and not finding.record and finding.trouble in {one.trouble for one in known}:
                continue  # what is about no record by itself was said by the last full pass, of all of them
            known.append(finding)
        self.listed_at = began

    def unlinked(
        self, rows: Mapping[str, Record], deals: Mapping[str, Record], looked_at: Collection[str] | None
    ) -> None:
        """These rows have no id and these deals have no row, of those that were `looked_at`; None for all."""
        for kept, now in ((self.loose, rows), (self.rowless, deals)):
            for id in list(kept) if looked_at is None else kept.keys() & set(looked_at):
                del kept[id]
            kept.update(now)

    def waiting(self) -> list[Finding]:
        """Everything that waits."""
        return [finding for found in self.findings.values() for finding in found]

    def twofold(self, links: Collection[str]) -> list[str]:
        """Those of these deals that several rows named when all were looked at."""
        found = {one.deal for one in self.waiting() if one.trouble is Trouble.TWOFOLD}
        return sorted(found.intersection(links))

    def passing(self) -> tuple[set[str], set[str]]:
        """Deals, and rows without one, that wait for something that may be over by itself."""
        found = [one for one in self.waiting() if one.trouble in PASSING]
        return {one.deal for one in found if one.deal}, {one.row for one in found if not one.deal and one.row}


@dataclass(slots=True)
class Changes:
    """What a pass looks at: links with what is known of their records, new records, and the doubts so far. `unknown_*`
    are records without a link that have to be read; `left` are deals that only a full pass can look at, `remembered`
    records that stand here as last seen; `lasting` are doubts as in `Memory`."""

    links: dict[str, Link] = field(default_factory=dict)
    deals: dict[str, Record] = field(default_factory=dict)
    rows: dict[str, Record] = field(default_factory=dict)
    unknown_deals: set[str] = field(default_factory=set)
    unknown_rows: set[str] = field(default_factory=set)
    doubts: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    remembered: set[str] = field(default_factory=set)
    lasting: set[str] = field(default_factory=set)

    @property
    def touched(self) -> set[str]:
        """Every record that is looked at, by the ids under which findings are kept."""
        return {*self.links, *self.deals, *self.rows, *(link.row for link in self.links.values())}

    def doubt_lastingly(self, doubts: Collection[str]) -> None:
        """Raises doubts that only a full pass ends."""
        self.doubts.update(doubts)
        self.lasting.update(doubts)


def changes_of(
    deals: Sequence[Record], rows: Sequence[Record], store: Store, memory: Memory, names: Sequence[str], now: float
) -> Changes:
    """Puts together what a pass looks at: what was listed as changed, its partners as last seen, and what waits.

    Records of which nothing is known here are left out; the plan asks for them by id, or the caller (`unknown`).
    """
    found = Changes(deals={one.id: one for one in deals}, rows={one.id: one for one in rows})
    found.doubt_lastingly(memory.lasting)
    again, again_rows = memory.passing()
    due = {one.deal for one in store.refused() if one.next_try <= now}  # deals, or rows that are to become deals
    again, again_rows = again | memory.again | due, again_rows | memory.again_rows | due
    if len(again | again_rows) > CHECKED_AT_MOST:
        found.doubts.add("many records wait")
        again, again_rows = set(), set()
    keys = {row.partner for row in rows if row.partner}
    found.links = store.links_of({*found.deals, *keys, *again}, {*found.rows, *again_rows})
    known_rows = {link.row for link in found.links.values()}
    found.unknown_deals = again - due - found.links.keys() - found.deals.keys()
    found.unknown_rows = again_rows - due - known_rows - found.rows.keys()
    refused = [one for one in store.refused() if one.deal in due - found.links.keys()]
    found.unknown_deals |= {one.deal for one in refused if one.side is Side.TABLE} - found.deals.keys()
    found.unknown_rows |= {one.deal for one in refused if one.side is Side.CRM} - found.rows.keys()
    _doubt_keys(found)
    _leave_unclear(found, memory.unclear)
    messages = store.messages() if found.deals else {}
    held = {member.record for one in store.held() if one.state == "held" for member in one.set.members}
    for link in found.links.values():
        if link.state is not LinkState.BOTH or link.deal in again or link.deal in {*memory.findings, *held}:
            continue  # more is to be known of it than its shadow: it is read
        if link.row in found.rows and link.deal not in found.deals:
            seen = as_last_seen(link, Side.CRM, names)
            found.deals |= {link.deal: seen} if seen is not None else {}
            found.remembered.add(link.deal)
        elif link.deal in found.deals and link.row not in found.rows:
            seen = as_last_seen(link, Side.TABLE, names, messages.get(link.row, ""))
            found.rows |= {link.row: seen} if seen is not None else {}
            found.remembered.add(link.row)
    return found


def _doubt_keys(found: Changes) -> None:
    """Keys that moved, were cleared, doubled or typed in: which row a deal has, only a look at all rows can tell."""
    of_row = {link.row: link.deal for link in found.links.values()}
    for row in found.rows.values():
        if row.partner != of_row.get(row.id):
            found.doubts.add(f"row {row.id} carries {row.partner or 'no key'}")
            found.left |= {one for one in (row.partner, of_row.get(row.id)) if one is not None}
    for deal in found.left:
        found.links.pop(deal, None)
        found.deals.pop(deal, None)
    for row in list(found.rows.values()):
        if row.partner in found.left or of_row.get(row.id) in found.left:
            del found.rows[row.id]


def _leave_unclear(found: Changes, unclear: Collection[str]) -> None:
    """Leaves alone what a person was asked about: by itself, such a row would seem to be a new one without a deal."""
    looked_at = {*found.rows, *found.unknown_rows, *found.deals, *found.links} & set(unclear)
    found.doubt_lastingly({f"{id} is unclear" for id in looked_at})
    found.unknown_rows -= looked_at
    for id in looked_at:
        for kept in (found.rows, found.deals, found.links):
            kept.pop(id, None)


def as_last_seen(link: Link, side: Side, names: Sequence[str], message: str = "") -> Record | None:
    """A record of a link at rest, as both sides were last known to agree; None where they never did in some field."""
    agreed = link.agreed()
    if any(name not in agreed or agreed[name].raw(side) is False for name in names):
        return None
    raw = tuple(agreed[name].raw(side) for name in names)
    if side is Side.CRM:
        return Record(link.deal, raw, stamp=link.seen, title=link.title)
    return Record(link.row, raw, partner=link.deal, message=message, title=link.title)


# --- what waits elsewhere --------------------------------------------------------------------------------------------


def newest(view: View, side: Side, ids: Collection[str]) -> dict[str, Record]:
    """These records as they were seen last, those of them that are there."""
    swept, reads = view.crm if side is Side.CRM else view.table, view.reads[side]
    found = {id: reads.get(id, swept.get(id)) for id in sorted(ids)}
    found = {id: swept.get(id) if isinstance(one, Unread) else one for id, one in found.items()}
    return {id: record for id, record in found.items() if isinstance(record, Record)}


def matches_of_part(memory: Memory, view: View, plan: Plan) -> list[Match]:
    """Rows without an id and deals without a row that may be the same, where one of both is looked at; the other one
    may be as last seen."""
    rows = newest(view, Side.TABLE, plan.loose - view.making.keys())
    deals = newest(view, Side.CRM, plan.rowless)
    other_rows = [row for id, row in memory.loose.items() if id not in view.table and id not in view.making]
    other_deals = [deal for id, deal in memory.rowless.items() if id not in view.crm]
    return [
        *plan.matches,
        *possible_matches(view.ground, list(rows.values()), other_deals, view.unmatched),
        *possible_matches(view.ground, other_rows, list(deals.values()), view.unmatched),
    ]


def without_matches(memory: Memory, view: View, plan: Plan, changes: Changes) -> Plan:
    """The plan of a part of the records without what may be the same as something that waits elsewhere (SPEC §5).
    Matches that no full pass has seen are a doubt, and so are those that seem to be over."""
    found = matches_of_part(memory, view, plan)
    alike = {id for one in found for id in (one.row, one.deal)}
    changes.doubt_lastingly(
        {f"row {one.row} may be {one.deal}" for one in found if not {one.row, one.deal} <= memory.matched}
    )
    over = (memory.matched & {*view.table, *view.crm}) - alike
    changes.doubt_lastingly({f"{id} is like nothing any more" for id in over})
    if not alike:
        return plan
    return replace(
        plan,
        new_rows=[one for one in plan.new_rows if one.again or one.deal not in alike],
        new_deals=[one for one in plan.new_deals if one.row not in alike],
        messages={row: said for row, said in plan.messages.items() if row not in alike},
        findings=[one for one in plan.findings if one.record not in alike],
        loose=plan.loose | (alike & view.table.keys()),
    )


def taken_back(held: Sequence[HeldSet], found: Sequence[HeldSet], view: View) -> set[str]:
    """Doubts about held sets of which a member was looked at and is not planned any more: what is held, and with it the
    exit code, is for a full pass to say."""
    doubts = set()
    for one in held:
        if one.kind not in (GuardKind.CHANGES, GuardKind.DEALS, GuardKind.DELETIONS):
            continue
        planned = {member for other in found if other.key == one.key for member in other.members}
        over = [member.record for member in one.members if member not in planned]
        if any(record in view.table if one.kind is GuardKind.DEALS else both_seen(view, record) for record in over):
            doubts.add(f"{one.kind.value} {one.field} {one.side.value}: some were taken back")
    return doubts


def both_seen(view: View, deal: str) -> bool:
    """Whether a deal and its row were looked at, and are planned."""
    link = view.links.get(deal)
    if link is None or deal in view.busy:
        return False
    reads = view.reads[Side.CRM].get(deal), view.reads[Side.TABLE].get(link.row)
    if any(isinstance(read, Unread) for read in reads):
        return False
    return bool(newest(view, Side.CRM, [deal]) and newest(view, Side.TABLE, [link.row]))
