"""One pass of one pair: settle, look, carry out, record (SPEC §§2, 3)."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from syncd import generation
from syncd.carry import Stopped, Tally, Work, carry_messages, carry_updates, settle
from syncd.carry_deals import carry_new_deals, settle_new_deals
from syncd.carry_deletions import carry_deletions
from syncd.carry_rows import carry_new_rows
from syncd.guards import (
    GuardKind,
    HeldSet,
    still_wanted,
    without,
)
from syncd.incremental import OPENED_SECONDS, Memory, newest
from syncd.judge import ChangeKind
from syncd.look import Look, about_rows, look, look_at_changes, options_moved
from syncd.model import Side
from syncd.opened import Opened, Pair, column_problems, label_text, open_pair
from syncd.plan import ITS_MAKING, Finding, Plan, Trouble, retell
from syncd.sides import Misconfigured, SideDown, Unread
from syncd.store import StoreFailed

WAITING = frozenset(
    {Trouble.UNREAD, Trouble.UNDATED, Trouble.UNSETTLED, Trouble.TYPING, Trouble.NOT_TOLD, Trouble.BUSY}
)
BUSY_SECONDS = 4 * 3600.0  # a sheet that could not be written for so long needs a person


@dataclass(slots=True)
class PassResult:
    """How a pass ended. `error` is a sentence where it could not be completed; `code` as CONTRACT "Exit codes"."""

    pair: str
    tally: Tally = field(default_factory=Tally)
    findings: list[Finding] = field(default_factory=list)
    held: list[HeldSet] = field(default_factory=list)
    links: int = 0
    linked: frozenset[str] = frozenset()  # of the deals that something is said of, those with a link
    rows_without_id: int = 0
    matches: int = 0
    unsettled: int = 0
    undone: int = 0  # writes that did not arrive
    gone_columns: tuple[str, ...] = ()
    computed_columns: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    calls: dict[Side, int] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    misconfigured: bool = False
    stopped: bool = False
    full: bool = True

    @property
    def needs_person(self) -> int:
        """How many things wait for a person."""
        waiting = sum(finding.needs_person for finding in self.findings)
        return (
            waiting
            + len(self.tally.refusals)
            + len(self.tally.suspended)
            + len(self.gone_columns)
            + len(self.computed_columns)
        )

    @property
    def code(self) -> int:
        """The pass's part of the exit code."""
        if self.misconfigured:
            return 2
        if self.error or self.unsettled or self.undone or self.tally.faults:
            return 1
        return 3 if self.needs_person else 0

    def as_json(self) -> dict[str, Any]:
        """The object that `--reconcile --json` prints (CONTRACT)."""
        tally = self.tally
        shown: dict[str, Any] = {
            "pair": self.pair,
            "created": {side.value: tally.created[side] for side in Side},
            "updated": {side.value: tally.updated[side] for side in Side},
            "deleted": {side.value: tally.deleted[side] for side in Side},
            "conflicts": tally.conflicts,
            "held": sum(one.writes for one in self.held),
            "failed": len(tally.refusals) + self.unsettled + self.undone + tally.faults,
            "calls": {side.value: self.calls.get(side, 0) for side in Side},
            "seconds": round(self.seconds, 3),
        }
        if self.error:
            shown["error"] = self.error
        person = self.for_person()
        return {**shown, "needs_person": person} if person else shown

    def for_person(self) -> list[str]:
        """What a person is needed for: sentences, with the records' names."""
        return [finding.told() for finding in self.findings if finding.needs_person] + self.problems()

    def counts(self) -> dict[str, int]:
        """Records, not sentences: "for_person", "waiting" and "in_sync". What is about no record by itself, such as a
        column that is gone, counts as one for a person. A write without an answer is counted by the store.
        """
        person = {finding.record or finding.sentence for finding in self.findings if finding.needs_person}
        waits = WAITING - {Trouble.UNSETTLED}
        waiting = {f.record for f in self.findings if f.trouble in waits and not f.needs_person}
        held = {member.record for one in self.held for member in one.members}
        apart = {finding.deal for finding in self.findings if finding.trouble in waits or finding.needs_person}
        refused = set(self.tally.refused.values())
        apart |= held | refused
        moving = self.tally.waiting + self.undone
        return {
            "for_person": len(person | refused) + sum(one not in self.tally.refused for one in self.problems()),
            "waiting": len(waiting - person - {""}) + self.tally.waiting + self.undone,
            "in_sync": max(0, self.links - len(apart & self.linked) - moving),
        }

    def as_report(self) -> dict[str, Any]:
        """What the store keeps of a pass, for `status`."""
        return {
            **self.as_json(),
            "full": self.full,
            "links": self.links,
            "rows_without_id": self.rows_without_id,
            "matches": self.matches,
            **self.counts(),
            "unsettled": self.unsettled,
            "needs_person": self.for_person(),
            "waits": waits_told(self.findings),
            "findings": [
                {"trouble": f.trouble.value, "deal": f.deal, "row": f.row, "title": f.title, "sentence": f.sentence,
                 "needs_person": f.needs_person} for f in self.findings[:200]
            ],
            "code": self.code,
        }  # fmt: skip

    def problems(self) -> list[str]:
        """Sentences about what no single record is to blame for, and about refused records."""
        columns = column_problems(self.gone_columns, self.computed_columns)
        return [*self.tally.refusals, *self.tally.suspended, *columns]


def waits_told(findings: Sequence[Finding]) -> list[str]:
    """What waits for nobody in particular, a line each. A row, and a deal that may be its own, wait for one and the
    same answer: they are told once."""
    waiting = [f for f in findings if f.trouble in WAITING and not f.needs_person]
    told = {(f.told(), "" if f.sentence == ITS_MAKING else f.record): f.told() for f in waiting}
    return list(told.values())


def run_pass(pair: Pair) -> PassResult:
    """One full pass (CONTRACT `--reconcile`). Never raises for what a server or a record does; see
    `PassResult.error`.
    """
    result = PassResult(pair.name)
    began, calls = time.monotonic(), (pair.crm.calls, pair.table.calls)
    pass_id: int | None = None
    try:
        pass_id = pair.store.begin_pass(pair.clock())
        try:
            _pass(pair, pass_id, result)
        except Swapped as swap:
            hold_swapped(pair, swap.held, result)
    except Misconfigured as error:
        result.error, result.misconfigured = str(error), True
    except SideDown as error:
        result.stopped = pair.stopping()  # a wait that was cut short because the program ends is no failure
        result.error = "" if result.stopped else str(error)
    except StoreFailed as error:
        result.error = str(error)
    except Stopped:
        result.stopped = True
    except Exception:
        _open_anew(pair)
        raise
    if result.error or result.stopped:
        _open_anew(pair)
    result.seconds = time.monotonic() - began
    result.calls = {Side.CRM: pair.crm.calls - calls[0], Side.TABLE: pair.table.calls - calls[1]}
    try:
        result.unsettled = len(pair.store.open_writes())
        if pass_id is not None:
            result.undone = len(pair.store.undone_in(pass_id))
            ended_by = result.error or ("stopped before its end" if result.stopped else "")
            pair.store.end_pass(pass_id, pair.clock(), result.as_report(), ended_by)
    except StoreFailed as failure:
        result.error = result.error or str(failure)
    return result


def _open_anew(pair: Pair) -> None:
    """After a pass that did not come to its end: it may have been the columns' or the names' fault, or their order on a
    side is not that of before. They are read anew."""
    if pair.memory is not None:
        pair.memory.opened_at = -math.inf


class Swapped(Exception):
    """Another table or location than before was found: `held` is what waits for a person."""

    def __init__(self, held: list[HeldSet]) -> None:
        super().__init__("The table or the location was swapped for another.")
        self.held = held


RESTORED = "The state database was lost, or is an old one: links were made anew by their ids."


def _pass(pair: Pair, pass_id: int, result: PassResult) -> None:
    if not generation.is_current(pair.store):
        result.notes += [RESTORED] if pair.store.start_anew(RESTORED, pair.clock()) else []
        generation.advance(pair.store)
        if pair.memory is not None:
            pair.memory.full_at = None
    began, memory = pair.clock(), pair.memory
    before: Opened | None = memory.opened if memory is not None else None
    opened = _still_open(pair, began) or _open(pair)
    moved = before is None or dict(before.schema.columns) != dict(opened.schema.columns)
    if memory is not None and memory.opened is not opened:
        memory.opened, memory.opened_at = opened, began
    sides = {Side.CRM: pair.crm, Side.TABLE: pair.table}
    offsets = {Side.CRM: pair.crm.clock_offset, Side.TABLE: pair.table.clock_offset}
    work = Work(
        replace(opened.ground, offsets=offsets),
        sides,
        pair.store,
        pass_id,
        pair.clock,
        pair.stopping,
        pair.progress,
        result.tally,
        probing=pair.store.fact("busy_since") is not None,
    )
    advanced = bool(pair.store.open_writes())
    if advanced:
        generation.advance(pair.store)
    pair.table.put_back()
    busy = frozenset(write.deal for write in settle(work))
    settle_new_deals(work, pair.read_lag_seconds)
    seen = _look(pair, opened, began, busy, moved=moved)
    opened = memory.opened if memory is not None else opened
    work.ground = seen.view.ground
    result.computed_columns, result.gone_columns = opened.computed, seen.gone_columns
    if seen.changes is None:
        result.held = seen.held
        remember_held(pair, seen)
    else:
        result.held = [record.set for record in pair.store.held() if record.state == "held"]
        pair.store.put_frozen(seen.frozen, pair.clock())
    result.findings = [*seen.plan.findings, *held_findings(seen.held if seen.changes is None else [])]
    reads = [read for side in Side for read in seen.view.reads[side].values()]
    result.tally.faults += sum(isinstance(read, Unread) and read.fault for read in reads)
    result.rows_without_id = seen.plan.rows_without_id
    result.matches = len({match.row for match in seen.plan.matches})
    if not seen.empty:
        if not advanced and seen.plan.changes_anything():
            generation.advance(pair.store)
            advanced = True
        carry_out(pair, work, seen)
    loose, rowless = unlinked(pair, seen.plan)
    result.rows_without_id = len(loose)
    if advanced:
        generation.advance(pair.store)
    if memory is not None:
        looked_at = None if seen.changes is None else {*seen.view.table, *seen.view.crm}
        memory.unlinked(newest(seen.view, Side.TABLE, loose), newest(seen.view, Side.CRM, rowless), looked_at)
        _remember_pass(pair, memory, seen, began, pass_id, result)
    plan = seen.plan
    known = plan.links or plan.new_rows or plan.new_deals or plan.forget or plan.deletions or seen.changes is not None
    result.links = pair.store.count_links() if known else len(seen.view.links) + len(seen.view.resting.stored)
    result.linked = linked(pair, result)
    result.findings += busy_finding(pair, result.tally.busy)


def hold_swapped(pair: Pair, held: list[HeldSet], result: PassResult) -> None:
    """Ends a pass that found another table or location than before: nothing is written, and the next one begins with
    a look at both (SPEC §4)."""
    result.held, result.findings = held, held_findings(held)
    with pair.store.tx():
        approvals = [record for record in pair.store.held() if record.state != "held"]
        pair.store.keep_held(held, approvals, pair.clock())
    if pair.memory is not None:
        pair.memory.full_at = None


def busy_finding(pair: Pair, why: str) -> list[Finding]:
    """What is said of a side that could not be written in this pass: nobody is needed unless that lasts."""
    since, now = pair.store.fact("busy_since"), pair.clock()
    if not why:
        if since is not None:
            pair.store.set_fact("busy_since", None)
        return []
    since = now if since is None else min(float(since), now)
    pair.store.set_fact("busy_since", since)
    lasts = now - since >= BUSY_SECONDS
    told = f"{why} It has been so for {round((now - since) / 3600)} hours." if lasts else why
    return [Finding(Trouble.BUSY, "", "", "", told, lasts)]


def _open(pair: Pair) -> Opened:
    """The columns and names as they are now. Raises `Swapped`: whenever in a pass that shows, nothing is written."""
    opened = open_pair(pair, keep=True)
    if opened.held:
        raise Swapped(opened.held)
    return opened


def _still_open(pair: Pair, now: float) -> Opened | None:
    """What the last look at columns and names has shown, where this pass may do without another one."""
    memory = pair.memory
    if memory is None or memory.opened is None or not 0 <= now - memory.opened_at < OPENED_SECONDS:
        return None
    return cast("Opened", memory.opened) if _may_look_at_changes(pair, memory, now) else None


def _may_look_at_changes(pair: Pair, memory: Memory, now: float) -> bool:
    return memory.may_look_at_changes(now) and memory.answers == _answers(pair)


def _answers(pair: Pair) -> frozenset[str]:
    """What people have answered so far: where that changes, everything is looked at again."""
    answers = {f"{record.state} {record.digest}" for record in pair.store.held()}
    return frozenset(answers | {f"frozen {deal} {name}" for deal, name in pair.store.frozen()})


def _look(pair: Pair, opened: Opened, now: float, busy: frozenset[str], *, moved: bool) -> Look:
    """An incremental look where one is enough, else a full one; `moved` is whether columns are not as they were.
    Raises `Swapped`."""
    memory = pair.memory
    if memory is None or moved or not _may_look_at_changes(pair, memory, now):
        return look(pair, opened, busy=busy)
    seen = _cheap_look(pair, opened, busy) if memory.sweeps_are_cheap else look_at_changes(pair, opened, memory, busy)
    if seen is not None:
        return seen
    if memory.opened_at != now:
        memory.opened, memory.opened_at = _open(pair), now
    return look(pair, memory.opened, busy=busy)


def _cheap_look(pair: Pair, opened: Opened, busy: frozenset[str]) -> Look | None:
    """A full look by the names and columns of before; None where these may have changed."""
    if label_text(opened.vocabulary, opened.schema) != pair.store.fact("labels"):
        return None  # old names may stand in some rows: they are read before anything is made of that
    seen = look(pair, opened, busy=busy)
    changed = seen.view.renamed or seen.empty or options_moved(pair, opened, seen.view.links, seen.view.table)
    return None if changed else seen


def _remember_pass(pair: Pair, memory: Memory, seen: Look, began: float, pass_id: int, result: PassResult) -> None:
    """Keeps what the next pass builds on: where this one began, what waits, and what it could not write."""
    changes = seen.changes
    if seen.empty:
        memory.full_at = None  # as long as that is so, everything is looked at
        return
    plan = without(seen.plan, seen.held, seen.view.ground)
    written = pair.store.written_in(pass_id)
    planned_writes = {(one.target, one.deal) for one in plan.updates} | {(one.side, one.deal) for one in plan.deletions}
    planned_writes |= {(Side.TABLE, one.deal) for one in plan.new_rows}
    memory.again = frozenset(deal for side, deal in planned_writes if (side, deal) not in written)
    memory.again_rows = frozenset(one.row for one in plan.new_deals if (Side.CRM, one.row) not in written)
    for row, (deal, _) in about_rows(seen.view, plan).items():
        if (Side.TABLE, row) not in written:  # what is said of a Sync cell that was refused must not be forgotten
            memory.again |= {deal} if deal else set()
            memory.again_rows |= set() if deal else {row}
    memory.answers = _answers(pair)
    if changes is None:
        memory.completed(began, result.findings, None)
        memory.matched = frozenset(id for match in seen.plan.matches for id in (match.row, match.deal))
        memory.unclear = frozenset(seen.plan.unclear)
        return
    memory.again, memory.again_rows = memory.again | changes.unknown_deals, memory.again_rows | changes.unknown_rows
    # Only a full pass may bring a row back: until one could, the doubt about it is raised again.
    memory.again |= {link.deal for link in changes.links.values() if f"row {link.row} is gone" in changes.doubts}
    memory.completed(began, result.findings, changes.touched)
    memory.lasting = frozenset(changes.lasting)
    result.full = False
    result.findings = memory.waiting()
    result.matches = memory.matches
    result.rows_without_id = len(memory.loose)


def unlinked(pair: Pair, plan: Plan) -> tuple[set[str], set[str]]:
    """(Rows without an id, deals without a row), of those that were looked at, now that the pass has made what it made.
    A row of a sheet may have lost its id: then its deal has a link, and no row, while that may be another one."""
    links = pair.store.links_of(plan.rowless, plan.loose)
    matched = {match.deal for match in plan.matches} | plan.unclear
    loose = plan.loose.difference(link.row for link in links.values())
    return loose, {deal for deal in plan.rowless if deal in matched or deal not in links}


def linked(pair: Pair, result: PassResult) -> frozenset[str]:
    """Of the deals that something is said of, those that have a link now."""
    named = {one.deal for one in result.findings if one.trouble in WAITING or one.needs_person}
    named |= {member.record for one in result.held for member in one.members}
    named |= set(result.tally.refused.values())
    return frozenset(deal for deal in named if deal and pair.store.link(deal) is not None)


def held_findings(held: Sequence[HeldSet]) -> list[Finding]:
    """What is held, as findings for a person."""
    return [
        Finding(Trouble.HELD, "", "", "", one.sentence, True)
        for one in held
        if one.kind is not GuardKind.MATCHES  # the plan says so itself
    ]


def remember_held(pair: Pair, seen: Look) -> None:
    """Stores what waits for a person now, what is left of earlier approvals, and what was frozen."""
    if not (pair.store.held() or seen.held or seen.frozen):
        return
    with pair.store.tx():  # a person may answer at any moment: nobody does between this look and the end
        answered = [
            replace(record, set=still_wanted(record.set, seen.found)) if record.state == "approved" else record
            for record in pair.store.held()
            if record.state != "held"
        ]
        pair.store.keep_held(seen.held, answered, pair.clock())
        pair.store.put_frozen(seen.frozen, pair.clock())


def carry_out(pair: Pair, work: Work, seen: Look) -> None:
    """Everything of the plan that is not held."""
    remember(pair, seen)
    plan = without(seen.plan, seen.held, seen.view.ground)
    carry_updates(work, Side.CRM, [update for update in plan.updates if update.target is Side.CRM])
    carry_updates(work, Side.TABLE, [update for update in plan.updates if update.target is Side.TABLE])
    carry_new_rows(work, plan.new_rows)
    carry_new_deals(work, plan.new_deals)
    retell(seen.view, plan, refused_now(work))
    before = {row.id: row.message or "" for row in seen.view.table.values() if row.id in plan.messages}
    carry_messages(work, plan.messages, before, about_rows(seen.view, plan))
    carry_deletions(work, plan.deletions)
    remember_unseen(work)
    settle(work)  # a lost answer is looked up at once; what cannot be told yet stays open for the next pass
    carry_again(work, plan)
    settle_new_deals(work, pair.read_lag_seconds)
    whole = seen.changes is None and plan.all_judged
    if whole and not _renames(plan) and not seen.held and not pair.store.open_writes():
        # What a write without an answer made shows the names of its time, and no plan has looked at it yet.
        pair.store.set_fact("labels", label_text(seen.vocabulary, seen.schema))


def refused_now(work: Work) -> dict[tuple[str, Side], tuple[str, str]]:
    """(deal, side) -> sentence and the text of the changes, for writes that were refused and not made since."""
    refused = work.store.refused()
    arrived = work.store.written_in(work.pass_id or 0) if refused else set()
    there = [one for one in refused if (one.side, one.deal) not in arrived]
    return {(one.deal, one.side): (one.sentence, one.fingerprint) for one in there}


def carry_again(work: Work, plan: Plan) -> None:
    """Makes once more what is known not to have arrived, after another look at both records."""
    undone = work.store.undone_in(work.pass_id or 0)
    if not undone:
        return
    work.lost -= {deal for _, deal in undone}
    for side in Side:
        carry_updates(work, side, [one for one in plan.updates if one.target is side and (side, one.deal) in undone])
    carry_new_rows(work, [row for row in plan.new_rows if (Side.TABLE, row.deal) in undone])
    settle(work)


def remember_unseen(work: Work) -> None:
    """Counts the records that the second look was not shown, with those that planning was not shown (SPEC §1)."""
    if work.unseen:
        unread = work.store.fact("unread") or {}
        work.store.set_fact("unread", {**unread, **{id: unread.get(id, 0) + 1 for id in work.unseen}})


def _renames(plan: Plan) -> bool:
    """Whether a cell shows the old name of something."""
    return any(change.kind is ChangeKind.RENAME for update in plan.updates for change in update.changes)


def remember(pair: Pair, seen: Look) -> None:
    """Stores what the plan only remembers: agreements, stamps, states. One transaction, before anything is written."""
    plan, store = seen.plan, pair.store
    if (seen.view.renamed or _renames(plan)) and store.fact("labels"):
        # Until every row was looked at, cells may show old names or new ones: names that go back are new ones, too. A
        # deal that comes back can have an old one long after all others; its new name may be refused, or lost.
        store.set_fact("labels", {})
    part = seen.changes.touched if seen.changes is not None else None  # what else was known still holds
    unread, unlisted = store.fact("unread") or {}, store.fact("unlisted") or []
    if plan.unread or unread:
        others = {} if part is None else {id: count for id, count in unread.items() if id not in part}
        store.set_fact("unread", {**others, **plan.unread})
    if plan.unlisted or unlisted:
        store.set_fact("unlisted", sorted(plan.unlisted.union(unlisted if part is not None else ())))
    if part is None and seen.stages != store.fact("stages"):
        store.set_fact("stages", dict(seen.stages))
    kept = {(f.deal or f.row, side) for f in plan.findings if f.trouble.value == "refused" for side in Side}
    tried = (
        {(update.deal, update.target) for update in plan.updates}
        | {(row.deal, Side.TABLE) for row in plan.new_rows}
        | {(deal.row, Side.CRM) for deal in plan.new_deals}
        | {(one.deal, one.side) for one in plan.deletions}
    )
    over = [
        (r.deal, r.side)
        for r in store.refused()
        if (r.deal, r.side) not in kept | tried and (part is None or r.deal in part)
    ]
    if not (plan.links or plan.forget or plan.absent_keys or over):
        return
    with store.tx():
        store.put_links(plan.links)
        store.forget(plan.forget)
        store.put_absent(plan.absent_keys, pair.clock())
        store.clear_refused(over)
