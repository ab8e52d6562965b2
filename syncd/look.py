"""Observes both sides and plans; writes nothing anywhere but in memory. `syncd plan` and `syncd why` show just this."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from syncd import generation
from syncd.at_rest import NONE_RESTING, Sieve, apart
from syncd.carry_deals import under_way
from syncd.gone_stages import finding, listed_stages, stages_held, still_held
from syncd.guards import (
    OSCILLATION_SECONDS,
    GuardKind,
    HeldSet,
    almost_empty,
    answered_pairs,
    held_sets,
    made_set,
    match_sets,
    may_oscillate,
    missing_records,
    oscillations,
    planned_sets,
    total_links,
    unapproved,
    without,
)
from syncd.incremental import Changes, Memory, changes_of, taken_back, without_matches
from syncd.model import ABSENT, Link, Record, Side, Stamp, print_of_raw
from syncd.opened import Opened, Pair, _parts, label_text, make_ground
from syncd.plan import Needs, Plan, View, make_plan
from syncd.sheet_guards import HISTORY_SECONDS, Overwritten, may_be_one, sheet_sets, still_waiting, told
from syncd.sides import CrmSide, Question, ReadResult, TableSchema, TableSide, Unread, Vocabulary
from syncd.values import text

QUESTION_ROUNDS = 5
UNKNOWN_KEY_SECONDS = 3600.0  # how long "HighLevel has no such deal" is believed without asking again


@dataclass(slots=True)
class Look:
    """What was observed, and the plan that follows from it.

    `held` are the parts of the plan that wait for a person, `found` all parts that could (`guards.planned_sets`);
    `frozen` is what was found to be set back and forth just now. An `empty` side stops everything. `changes` are the
    records that an incremental pass looked at; None where it was a full one. `stages` are those that HighLevel lists,
    or did and still has deals in, by id (full looks only).
    """

    plan: Plan
    view: View
    vocabulary: Vocabulary
    schema: TableSchema
    gone_columns: tuple[str, ...] = ()
    held: list[HeldSet] = field(default_factory=list)
    found: list[HeldSet] = field(default_factory=list)
    frozen: Mapping[tuple[str, str], str] = field(default_factory=dict)
    empty: bool = False
    changes: Changes | None = None
    stages: Mapping[str, str] = field(default_factory=dict)


SELDOM = (50_000, 1_000, 1_000)
_waiting = 0
_usual_threshold = gc.get_threshold()
_waiting_lock = threading.Lock()


@contextmanager
def rubbish_waits() -> Iterator[None]:
    """Cyclic rubbish is seldom looked for meanwhile, and among new objects only. A sweep makes hundreds of thousands of
    objects that stay; looking at all of them again and again was a quarter of a pass's CPU (tests/benchmarks)."""
    global _waiting, _usual_threshold
    with _waiting_lock:
        if not _waiting:
            _usual_threshold = gc.get_threshold()
            gc.set_threshold(*SELDOM)
        _waiting += 1
    try:
        yield
    finally:
        with _waiting_lock:
            _waiting -= 1
            if not _waiting:
                gc.set_threshold(*_usual_threshold)


def sweep_both(pair: Pair, deals: Sieve, rows: Sieve) -> tuple[dict[str, Record], dict[str, Record]]:
    """The records of both sides that are not at rest, by id; both sides at the same time where the pair allows it,
    since most of it is waiting."""

    def swept(side: CrmSide | TableSide, sieve: Sieve) -> dict[str, Record]:
        sieve.begin()
        return sieve.strained(side.sweep(sieve))

    pair.progress(f"reading {pair.crm.label} and {pair.table.label}", 0, 0)
    if not pair.parallel:
        return swept(pair.crm, deals), swept(pair.table, rows)
    with ThreadPoolExecutor(1, thread_name_prefix="sweep") as executor:
        crm = executor.submit(swept, pair.crm, deals)
        table = swept(pair.table, rows)
        return crm.result(), table


def look(pair: Pair, opened: Opened, *, busy: frozenset[str] = frozenset()) -> Look:
    """Sweeps both sides, plans, asks what the plan needs to know, and plans again until nothing is left to ask."""
    with rubbish_waits():
        return _looked(pair, opened, busy)


def _looked(pair: Pair, opened: Opened, busy: frozenset[str]) -> Look:
    calls, store = (pair.crm.calls, pair.table.calls), pair.store
    anew = bool(opened.held) or not generation.is_current(store)  # then no link counts, and nothing said before
    stored = {} if anew else store.stored_links()
    view = view_of(pair, opened, {}, {}, {}, busy, anew=anew)
    # Where names have changed, every cell is looked at: none is at rest. A sheet's accidents are told from all rows.
    known, names = {} if view.renamed or view.rows_by_key else stored, [f.name for f in opened.ground.fields]
    deals = Sieve(Side.CRM, known, names, view.messages)
    rows = Sieve(Side.TABLE, known, names, view.messages)
    crm, table = sweep_both(pair, deals, rows)
    if pair.memory is not None:
        pair.memory.sweep_calls = max(pair.crm.calls - calls[0], pair.table.calls - calls[1])
    named = {deal for deal, _ in view.frozen} | {deal for _, deal in view.matched | view.unmatched} | busy
    if view.unread:  # what could not be read by its id is asked for again, whatever a list shows
        named |= {deal for deal, one in known.items() if deal in view.unread or one[1] in view.unread}
    if known:
        links, resting = apart(crm, table, deals, rows, named, store.unpack, opened.schema.message)
    else:
        links, resting = {deal: store.unpack(one) for deal, one in stored.items()}, NONE_RESTING
    offsets = {Side.CRM: pair.crm.clock_offset, Side.TABLE: pair.table.clock_offset}
    view = replace(view, ground=replace(view.ground, offsets=offsets), now=pair.clock())
    if view.rows_by_key and not anew:
        view = replace(view, messages=said_before(pair, table))
    seen = guarded(pair, opened, replace(view, links=links, crm=crm, table=table, resting=resting))
    name_gone_stages(seen, store.fact("stages") or {})
    return seen


def name_gone_stages(seen: Look, known: Mapping[str, str]) -> None:
    """Adds what people are told of stages that vanished while deals are in them, and what is to be remembered."""
    ground, listed = seen.view.ground, listed_stages(seen.vocabulary)
    seen.stages = listed
    if known.keys() <= listed.keys() or seen.empty:
        return
    held = stages_held(ground, with_resting(seen.view).crm.values())
    gone = still_held(known, listed, held)
    seen.stages = {**listed, **dict(gone)}
    seen.plan.findings += [finding(name, held[id], ground.labels[Side.CRM]) for id, name in gone]


def options_moved(pair: Pair, opened: Opened, links: Mapping[str, Link], rows: Mapping[str, Record]) -> bool:
    """Whether the options of a select are others than when the columns were read last, or those of another table. They
    are looked at where a cell of one was edited: by an old list of names, a renamed option would pass for an edit
    (SPEC §1)."""
    names = [f.name for f in opened.ground.fields]
    columns = opened.schema.columns
    selects = [
        at
        for at, name in enumerate(names)
        if any(columns[part].kind == "select" for part in _parts(name) if part in columns)
    ]
    for link in links.values():
        row = rows.get(link.row)
        if row is None or print_of_raw(names, row.raw) == link.shadow.table_print:
            continue
        agreed = link.agreed()
        if any(names[at] not in agreed or agreed[names[at]].table != row.raw[at] for at in selects):
            now = pair.table.schema()
            return now.identity != opened.schema.identity or dict(now.columns) != dict(columns)
    return False


def view_of(pair: Pair, opened: Opened, links: Mapping[str, Link], crm: Mapping[str, Record],
            table: Mapping[str, Record], busy: frozenset[str], *, anew: bool = False) -> View:  # fmt: skip
    """What a plan is made from: what was observed, and what the store knows beside it."""
    store, now = pair.store, pair.clock()
    labels, answers = label_text(opened.vocabulary, opened.schema), store.held()
    offsets = {Side.CRM: pair.crm.clock_offset, Side.TABLE: pair.table.clock_offset}
    return View(
        replace(opened.ground, offsets=offsets, clocks={}, unlisted=frozenset(store.fact("unlisted") or ())),
        links,
        crm,
        table,
        {Side.CRM: {}, Side.TABLE: {}},
        now,
        pair.read_lag_seconds,
        busy,
        {(r.deal, r.side): (r.sentence, r.fingerprint, r.next_try <= now) for r in store.refused()},
        store.absent_keys(now - UNKNOWN_KEY_SECONDS),
        {} if anew else said_before(pair, table),
        anew or labels != store.fact("labels"),
        store.fact("unread") or {},
        pair.policy,
        store.frozen(),
        pair.quiet_seconds,
        new_deals=pair.new_deals,
        making=under_way(store.open_writes()),
        matched=answered_pairs(record.set for record in answers if record.state == "approved"),
        unmatched=answered_pairs(record.set for record in answers if record.state == "refused"),
        rows_by_key=not pair.table.rows_have_ids,
        absent=store.absent_keys(0.0),
    )


def said_before(pair: Pair, rows: Mapping[str, Record]) -> dict[str, str]:
    """The last text written to each Sync cell. Where a row's id is only its key, another row may have it by now: there
    the text counts only where the cell still shows it."""
    said = pair.store.messages()
    if pair.table.rows_have_ids:
        return said
    shown = {id: rows[id].message for id in said if id in rows}
    return {id: one for id, one in said.items() if text(shown.get(id, one)) == text(one)}


def look_at_changes(pair: Pair, opened: Opened, memory: Memory, busy: frozenset[str]) -> Look | None:
    """Looks at what was edited since the last pass, and at what waits for nobody's edit; None where everything has to
    be looked at."""
    store, names, now = pair.store, [f.name for f in opened.ground.fields], pair.clock()
    pair.progress(f"asking {pair.crm.label} and {pair.table.label} what changed", 0, 0)
    deals = pair.crm.changed(memory.since(Side.CRM, now))
    rows = pair.table.changed(memory.since(Side.TABLE, now)) if deals is not None else None
    if deals is None or rows is None:
        return None
    changes = changes_of(deals, rows, store, memory, names, now)
    memory.note_late({deal.id: deal for deal in deals}, changes.links, pair.crm.clock_offset, now)
    if label_text(opened.vocabulary, opened.schema) != store.fact("labels"):
        changes.doubts.add("names have changed")
    if memory.opened_at < now and options_moved(pair, opened, changes.links, changes.rows):
        return None
    _look_up(pair, changes, busy)
    _look_up_twofold(pair, changes, memory.twofold(changes.links))
    if memory.needs_full(changes.doubts, now):
        return None
    view = view_of(pair, opened, changes.links, changes.deals, changes.rows, busy)
    # Matches that were approved are linked by a full pass, which sees whether each has one candidate alone.
    view = replace(view, remembered=frozenset(changes.remembered), matched=frozenset())
    seen = _guarded_changes(pair, opened, memory, view, changes)
    return None if memory.needs_full(changes.doubts, now) else seen


def _look_up(pair: Pair, changes: Changes, busy: frozenset[str]) -> None:
    """Reads the records that have no link and wait, and looks for rows of deals that seem to have none: one that is
    there was given its key by a person. What could not be read stays unknown."""
    deals = pair.crm.read(sorted(changes.unknown_deals)) if changes.unknown_deals else {}
    changes.deals |= {id: record for id, record in deals.items() if isinstance(record, Record)}
    loose = pair.table.read(sorted(changes.unknown_rows)) if changes.unknown_rows else {}
    changes.rows |= {id: record for id, record in loose.items() if isinstance(record, Record)}
    changes.unknown_deals = {id for id, record in deals.items() if isinstance(record, Unread)}
    changes.unknown_rows = {id for id, record in loose.items() if isinstance(record, Unread)}
    fresh = [deal.id for deal in changes.deals.values() if deal.id not in changes.links and not deal.outside]
    fresh = [deal for deal in fresh if deal not in busy]
    for deal, rows in (pair.table.find(fresh) if fresh else {}).items():
        if rows:
            changes.doubts.add(f"row {rows[0].id} carries {deal}")
            del changes.deals[deal]
            for row in rows:
                changes.rows.pop(row.id, None)


def _look_up_twofold(pair: Pair, changes: Changes, deals: list[str]) -> None:
    """Looks for all rows of deals that several rows name: one that was edited does not show that there are others."""
    if not deals:
        return
    changes.rows |= {row.id: row for rows in pair.table.find(deals).values() for row in rows}
    own = [changes.links[deal].row for deal in deals if changes.links[deal].row not in changes.rows]
    read = pair.table.read(sorted(own)) if own else {}  # they may carry other keys by now
    changes.rows |= {id: record for id, record in read.items() if isinstance(record, Record)}


def _guarded_changes(pair: Pair, opened: Opened, memory: Memory, view: View, changes: Changes) -> Look:
    """As `guarded`, for a part of the records. What would be held is left to a full pass, which counts everything."""
    view, plan = planned(pair, opened, view, changes.doubts)
    gone = {link.deal: link for link in view.links.values() if view.reads[Side.TABLE].get(link.row) is ABSENT}
    if gone:  # whether another row has their keys by now, only a look at all rows can tell
        changes.doubts |= {f"row {link.row} is gone" for link in gone.values()}
        links = {deal: link for deal, link in view.links.items() if deal not in gone}
        deals = {id: deal for id, deal in view.crm.items() if id not in gone}
        view, plan = planned(pair, opened, replace(view, links=links, crm=deals), changes.doubts)
    written = pair.store.written_values(may_oscillate(plan), view.now - OSCILLATION_SECONDS)
    fresh = oscillations(plan, view.ground, written)
    if fresh:
        view = replace(view, frozen={**view.frozen, **fresh})
        plan = make_plan(view)
    plan = without_matches(memory, view, plan, changes)
    # A row comes back by a full pass only: another one may have its id by now.
    changes.doubt_lastingly({f"{row.deal} gets its row back" for row in plan.new_rows if row.again})
    plan = replace(plan, new_rows=[row for row in plan.new_rows if not row.again])
    waiting = [record.set for record in pair.store.held() if record.state == "held"]
    known = {one.key: set(one.members) for one in waiting}
    accidents = still_waiting(waiting, plan, view.ground)
    found = planned_sets(without(plan, accidents, view.ground), view.ground)
    held = held_sets(found, view.ground, pair.store.count_links(), pair.limits, ())
    held += [one for one in found if one.key in known and one not in held]
    changes.doubt_lastingly(taken_back(waiting, found, view))
    held += [*accidents, *sheet_accidents(pair, view, plan)]
    news = [one for one in held if not known.get(one.key, set()).issuperset(one.members)]
    # What stands in no set yet is not written now either: it is for a full pass, though no listing names it again.
    changes.doubt_lastingly({f"{one.kind.value} {one.field} {one.side.value}" for one in news})
    return Look(plan, view, opened.vocabulary, opened.schema, opened.gone, held, found, fresh, changes=changes)


def guarded(pair: Pair, opened: Opened, view: View) -> Look:
    """Plans, and says which parts of the plan wait for a person (SPEC §4)."""
    approved = [record.set for record in pair.store.held() if record.state == "approved"]
    missing = [made_set(GuardKind.EMPTY, side, "", members) for side, members in missing_records(view).items()]
    empty = almost_empty(view, pair.limits, approved)
    if empty:
        # Nothing is planned now, so nothing tells which members of other approvals are still wanted: they stay.
        others = [one for one in approved if one.kind is not GuardKind.EMPTY]
        return Look(Plan(), view, opened.vocabulary, opened.schema, opened.gone, empty, [*missing, *others], empty=True)
    view, plan = planned(pair, opened, view)
    written = pair.store.written_values(may_oscillate(plan), view.now - OSCILLATION_SECONDS)
    fresh = oscillations(plan, view.ground, written)
    if fresh:
        view = replace(view, frozen={**view.frozen, **fresh})
        plan = make_plan(view)
    waiting = [record.set for record in pair.store.held() if record.state == "held"]
    accidents = sheet_accidents(pair, view, plan, waiting)
    # What an accident explains is held, or was approved, as such; it counts for no other limit.
    found = planned_sets(without(plan, accidents, view.ground), view.ground)
    held = held_sets(found, view.ground, total_links(view, plan), pair.limits, approved)
    rest = [unapproved(one, approved) for one in accidents]
    held += [told(one, view.ground) for one in rest if one.members]
    held += match_sets(plan)
    found += [*accidents, *missing, *match_sets(plan), *(one for one in approved if still_unlinked(one, view))]
    return Look(plan, view, opened.vocabulary, opened.schema, opened.gone, [*opened.held, *held], found, fresh)


def with_resting(view: View) -> View:
    """The view of everything: what rests is planned, too."""
    crm, table = view.resting.records()
    links = {**view.links, **view.resting.links()}
    return replace(view, links=links, crm={**crm, **view.crm}, table={**table, **view.table}, resting=NONE_RESTING)


def sheet_accidents(pair: Pair, view: View, plan: Plan, waiting: Sequence[HeldSet] = ()) -> list[HeldSet]:
    """Accidents of sheets that this plan would carry out (sheet_guards.py); `waiting` are the sets that are held."""
    before = {member.record for one in waiting if one.kind is GuardKind.SHUFFLED for member in one.members}
    if not (before or may_be_one(view, plan)):
        return []
    history = [Overwritten(*one) for one in pair.store.overwritten(view.now - HISTORY_SECONDS)]
    return sheet_sets(view, plan, history, before)


def still_unlinked(approved: HeldSet, view: View) -> bool:
    """Whether approved matches are still to be linked: their approval has not served yet."""
    return approved.kind is GuardKind.MATCHES and any(one.new not in view.links for one in approved.members)


def planned(pair: Pair, opened: Opened, view: View, doubts: set[str] | None = None) -> tuple[View, Plan]:
    """Plans, asks what the plan needs to know, and plans again until nothing is left to ask. Where `doubts` are
    collected, names are not read again: those of all records are to be looked at then."""
    plan = make_plan(view)
    named_again = False
    for _ in range(QUESTION_ROUNDS):
        if plan.needs.vocabulary and doubts is not None:
            doubts.add("a name is not listed")
            named_again = True
        needs = _still_needed(plan.needs, view, named_again)
        if not needs:
            break
        view = answer(pair, opened, view, needs)
        view = replace(view, asked=view.asked | needs.questions)
        named_again = named_again or needs.vocabulary
        plan = make_plan(view)
    return view, plan


def _still_needed(needs: Needs, view: View, named_again: bool) -> Needs:
    """What has not been asked yet; a question without an answer is not asked twice in a pass."""
    return Needs(
        needs.crm - view.reads[Side.CRM].keys(),
        needs.table - view.reads[Side.TABLE].keys(),
        needs.questions - view.asked,
        needs.vocabulary and not named_again,
    )


def answer(pair: Pair, opened: Opened, view: View, needs: Needs) -> View:
    """The view with what the plan asked for."""
    reads: dict[Side, Mapping[str, ReadResult]] = dict(view.reads)
    for side, ids in ((pair.crm, needs.crm), (pair.table, needs.table)):
        if ids:
            pair.progress(f"asking {side.label}", 0, len(ids))
            reads[side.side] = {**reads[side.side], **side.read(sorted(ids))}
    clocks: dict[Question, Stamp] = dict(view.ground.clocks or {})
    if needs.questions:
        clocks |= pair.table.edited(sorted(needs.questions, key=lambda q: (q.index, q.id)))
    ground = replace(view.ground, clocks=clocks)
    renamed = view.renamed
    if needs.vocabulary:
        view = with_resting(view)
        # A stage or a user that was not listed a moment ago: the names are read once more, then it waits.
        opened.vocabulary = pair.crm.schema()
        fresh = make_ground(pair, ground.fields, opened.vocabulary, opened.schema, opened.names)
        ground, renamed = replace(ground, codecs=fresh.codecs, names_read_again=True), True
    return replace(view, ground=ground, reads=reads, renamed=renamed)


def about_rows(view: View, plan: Plan) -> dict[str, tuple[str, str]]:
    """(deal, name) of each row whose Sync cell is written, for people: what is linked to it, else what it says."""
    if not plan.messages:
        return {}
    of_row = {link.row: (link.deal, link.title) for link in (*view.links.values(), *plan.links)}
    about = {}
    for row_id in plan.messages:
        read = view.reads[Side.TABLE].get(row_id)
        row = read if isinstance(read, Record) else view.table.get(row_id)
        deal, title = of_row.get(row_id, (row.partner or "" if row is not None else "", ""))
        about[row_id] = deal, title or (row.title if row is not None else "")
    return about


def observe_one(pair: Pair, deal: str, row: str | None) -> tuple[Record | None, Record | None]:
    """One deal and its row, read by id, for `syncd why`."""
    found = pair.crm.read([deal])[deal]
    at_row = pair.table.read([row])[row] if row else None
    return (found if isinstance(found, Record) else None), (at_row if isinstance(at_row, Record) else None)
