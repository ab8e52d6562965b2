"""One pass of one pair: settle, observe, plan, carry, record (SPEC §§2, 3).

`look` observes and plans and writes nothing anywhere but in memory, which is what `syncd plan` and `syncd why` show;
`run_pass` carries the plan out.
"""

from __future__ import annotations

import gc
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

from syncd import generation
from syncd.at_rest import NONE_RESTING, Sieve, apart
from syncd.carry import Stopped, Tally, Work, carry_messages, carry_updates, settle
from syncd.carry_deals import carry_new_deals, settle_new_deals, under_way
from syncd.carry_deletions import carry_deletions
from syncd.carry_rows import carry_new_rows
from syncd.fields import PIPELINE, REQUIRED, Field
from syncd.guards import (
    OSCILLATION_SECONDS,
    GuardKind,
    HeldSet,
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
from syncd.incremental import OPENED_SECONDS, Changes, Memory, changes_of
from syncd.judge import ChangeKind, Ground
from syncd.model import ABSENT, Direction, Link, Record, Side, Stamp, packed_shadow, print_of_raw
from syncd.plan import Finding, Needs, Plan, Trouble, View, make_plan
from syncd.policy import Limits, Policy
from syncd.sheet_guards import HISTORY_SECONDS, Overwritten, may_be_one, sheet_sets, told
from syncd.sides import CrmSide, Misconfigured, Question, ReadResult, SideDown, TableSchema, TableSide, Vocabulary
from syncd.store import Store, StoreFailed
from syncd.values import Names, codec_for, text

QUESTION_ROUNDS = 5
UNKNOWN_KEY_SECONDS = 3600.0  # how long "HighLevel has no such deal" is believed without asking again
WAITING = frozenset(
    {Trouble.UNREAD, Trouble.UNDATED, Trouble.UNSETTLED, Trouble.TYPING, Trouble.NOT_TOLD, Trouble.BUSY}
)
BUSY_SECONDS = 4 * 3600.0  # a sheet that could not be written for so long needs a person
COARSEST_CLOCK_SECONDS = 1.0  # Airtable's modified times are whole seconds


@dataclass(slots=True)
class Pair:
    """A location and a table that are kept in agreement, with everything a pass needs."""

    name: str
    fields: tuple[Field, ...]
    crm: CrmSide
    table: TableSide
    store: Store
    tie_side: Side = Side.CRM
    skew_seconds: float = 1.0
    read_lag_seconds: float = 60.0
    clock: Callable[[], float] = time.time
    stopping: Callable[[], bool] = lambda: False
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None
    limits: Limits = field(default_factory=Limits)
    policy: Policy = field(default_factory=Policy)
    siblings: frozenset[str] = frozenset()  # the names of all pairs of the configuration
    quiet_seconds: float = 0.0  # how long a typed cell must rest; only the daemon waits (SPEC §4)
    parallel: bool = False  # whether both sides may be swept at once, in two threads; the simulation has one
    new_deals: bool = True  # whether a row without an id becomes a deal (SPEC §5)
    memory: Memory | None = None  # of a process that goes on; without it every pass is a full one


@dataclass(slots=True)
class Look:
    """What was observed, and the plan that follows from it.

    `held` are the parts of the plan that wait for a person, `found` all parts that could (`guards.planned_sets`);
    `frozen` is what was found to be set back and forth just now. An `empty` side stops everything. `changes` are the
    records that an incremental pass looked at; None where it was a full one.
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
        if self.error or self.unsettled:
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
            "failed": len(tally.refusals) + self.unsettled,
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
        apart = {finding.deal for finding in self.findings if finding.trouble in waits or finding.needs_person} | held
        refused = len(self.tally.refusals)
        moving = self.tally.waiting + refused
        return {
            "for_person": len(person) + len(self.problems()),
            "waiting": len(waiting - person - {""}) + self.tally.waiting,
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
            "waits": [f.told() for f in self.findings if f.trouble in WAITING and not f.needs_person],
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


def column_problems(gone: Sequence[str], computed: Sequence[str]) -> list[str]:
    """Sentences for a person about columns that cannot be synced."""
    return [
        f"The column “{name}” is gone, so its values are not carried. Make it again, or set its direction to off."
        for name in gone
    ] + [
        f"The column “{name}” is computed, so it cannot be written and is not synced. Use a plain column, "
        "or set its direction to to_crm or off."
        for name in computed
    ]


# --- observing -------------------------------------------------------------------------------------------------------


def active_fields(fields: Sequence[Field], schema: TableSchema) -> tuple[Field, ...]:
    """The fields that the table has a column for, in order. A computed column is only ever read, and only where the
    configuration says that it goes to the CRM: what a formula shows is no edit of a person.
    """
    return tuple(
        f for f in fields if f.name in schema.columns and f.direction is not Direction.OFF and not _computed(f, schema)
    )


def _computed(field: Field, schema: TableSchema) -> bool:
    kinds = {schema.columns[part].kind for part in _parts(field.name) if part in schema.columns}
    return "computed" in kinds and field.direction is not Direction.TO_CRM


def computed_columns(fields: Sequence[Field], schema: TableSchema) -> tuple[str, ...]:
    """Columns that are configured to be written and cannot be."""
    return tuple(f.columns[-1] for f in fields if f.name in schema.columns and _computed(f, schema))


def gone_columns(pair: Pair, schema: TableSchema) -> tuple[str, ...]:
    """Optional columns that were synced before and are gone (CONTRACT: exit code 3)."""
    before: Mapping[str, str] = pair.store.fact("columns") or {}
    names = {f.name: f.columns[-1] for f in pair.fields}
    names[PIPELINE] = next((f.columns[0] for f in pair.fields if f.name == "stage"), PIPELINE)
    return tuple(names[name] for name in before if name in names and name not in schema.columns)


def names_first_met(pair: Pair, schema: TableSchema, *, keep: bool) -> dict[str, Names]:
    """The meaning of each select's options as first met, by field; `keep` stores the new ones (SPEC §1)."""
    known: dict[str, dict[str, str]] = pair.store.fact("options") or {}
    met = {column: dict(options) for column, options in known.items()}
    for column in schema.columns.values():
        for option_id, label in column.options.items():
            met.setdefault(column.id, {}).setdefault(option_id, label)
    if keep:
        pair.store.set_fact("options", met)
    return {name: Names(met.get(column.id, {})) for name, column in schema.columns.items()}


def label_text(vocabulary: Vocabulary, schema: TableSchema) -> dict[str, str]:
    """All names that rows show, by id, and the column that shows the pipelines': where this is unchanged no cell can
    have an old name, or none at all.
    """
    labels = {
        stage.id: f"{pipeline.name}/{stage.name}" for pipeline in vocabulary.pipelines for stage in pipeline.stages
    }
    column = {PIPELINE: schema.columns[PIPELINE].id} if PIPELINE in schema.columns else {}
    return {**labels, **{user.id: f"{user.name}/{user.email}" for user in vocabulary.users}, **column}


def make_ground(pair: Pair, fields: tuple[Field, ...], vocabulary: Vocabulary, schema: TableSchema,
                names: Mapping[str, Names]) -> Ground:  # fmt: skip
    """The ground of all verdicts of this pass."""
    return Ground(
        fields,
        tuple(codec_for(f.name, schema.columns, vocabulary, names) for f in fields),
        {Side.CRM: pair.crm.label, Side.TABLE: pair.table.label},
        pair.tie_side,
        COARSEST_CLOCK_SECONDS + pair.skew_seconds,
        typed=tuple(_typed(f, schema) for f in fields),
        policy=pair.policy,
    )


def _parts(name: str) -> tuple[str, ...]:
    """The columns of a field: the stage has two cells (SPEC §3.8)."""
    return (PIPELINE, name) if name == "stage" else (name,)


def _typed(field: Field, schema: TableSchema) -> bool:
    """Whether people type into the field's cells: texts and numbers."""
    parts = [schema.columns[part] for part in _parts(field.name) if part in schema.columns]
    return any(part.kind in ("text", "number") for part in parts)


@dataclass(slots=True)
class Opened:
    """A pair whose schemas were read: ready to be swept."""

    ground: Ground
    vocabulary: Vocabulary
    schema: TableSchema
    names: Mapping[str, Names]
    gone: tuple[str, ...]
    computed: tuple[str, ...] = ()
    held: list[HeldSet] = field(default_factory=list)  # another table or location than before: nothing may be written


def schemas(pair: Pair, known: Mapping[str, str]) -> tuple[TableSchema, Vocabulary | None]:
    """The table's schema and, where both may be read at once and the columns are known from before, the CRM's names."""
    if not pair.parallel or not known:
        return pair.table.schema(), None
    pair.crm.use([f for f in pair.fields if f.name in known])
    with ThreadPoolExecutor(1, thread_name_prefix="schema") as executor:
        names = executor.submit(pair.crm.schema)
        schema = pair.table.schema()
        return schema, names.result()


def open_pair(pair: Pair, *, keep: bool) -> Opened:
    """Reads both schemas (one or two calls a side) and says which fields can be synced. `keep` remembers column ids."""
    known: Mapping[str, str] = pair.store.fact("columns") or {}
    schema, early = schemas(pair, known)
    held = identities_held(pair, schema.identity, keep=keep)
    keep = keep and not held
    gone = gone_columns(pair, schema)
    fields = active_fields(pair.fields, schema)
    missing = [name for name in REQUIRED if name not in {f.name for f in fields}]
    computed = computed_columns(pair.fields, schema)
    if missing:
        why = f"these are computed: {', '.join(computed)}" if computed else "it has none"
        raise Misconfigured(f"The table needs a plain column for {', '.join(missing)}; {why}.")
    if keep:
        now = {name: column.id for name, column in schema.columns.items()}
        forget_fields(pair, [f.name for f in fields if known.get(f.name, now[f.name]) != now[f.name]])
        pair.store.set_fact("columns", {**known, **now})
    names = names_first_met(pair, schema, keep=keep)
    pair.crm.use(fields)
    pair.table.use(fields)
    users_read = "owner" in known or not any(f.name == "owner" for f in fields)
    vocabulary = early if early is not None and users_read else pair.crm.schema()
    ground = make_ground(pair, fields, vocabulary, schema, names)
    return Opened(ground, vocabulary, schema, names, gone, computed, held)


def identities_held(pair: Pair, table: str, *, keep: bool) -> list[HeldSet]:
    """What waits for a person because a table or a location was swapped for another (SPEC §4). Once approved, the
    links are made anew by their ids."""
    now = {Side.CRM: pair.crm.identity, Side.TABLE: table}
    resume_renamed(pair, {side.value: name for side, name in now.items()}, keep=keep)
    before: Mapping[str, str] = pair.store.fact("identity") or {}
    labels = {Side.CRM: pair.crm.label, Side.TABLE: pair.table.label}
    sets = [
        swapped(side, labels[side], before[side.value], now[side])
        for side in Side
        if side.value in before and before[side.value] != now[side]
    ]
    approved = [record.set for record in pair.store.held() if record.state == "approved"]
    held = [one for one in sets if unapproved(one, approved).members]
    if keep and not held:
        if sets:
            pair.store.start_anew("The table or the location was swapped for another.", pair.clock())
        pair.store.set_fact("identity", {side.value: name for side, name in now.items()})
    return held


def resume_renamed(pair: Pair, identity: Mapping[str, str], *, keep: bool) -> None:
    """A pair that is new by its name, over a table and a location that another one synced, is that one renamed.

    Raises `Misconfigured` where the other one is still configured: two pairs on one table (SPEC §4).
    """
    if pair.store.fact("identity") is not None:
        return
    for other, known in pair.store.of_others("identity").items():
        # Whatever their locations are: one would take the other's rows for rows with wrong ids.
        if other in pair.siblings and known.get(Side.TABLE.value) == identity[Side.TABLE.value]:
            raise Misconfigured(f"The pairs “{other}” and “{pair.name}” use the same table; each needs its own.")
    for former in pair.store.pairs_with("identity", identity):
        if not keep:
            pair.store = pair.store.named(former)
            return
        if generation.take_over(pair.store, former):
            return


def forget_fields(pair: Pair, names: Sequence[str]) -> None:
    """Drops the shadow of columns that were made anew: their blank cells are not "all empty" (SPEC §4)."""
    if not names:
        return
    links = []
    for link in pair.store.links().values():
        agreed = {name: value for name, value in link.agreed().items() if name not in names}
        links.append(replace(link, shadow=packed_shadow(agreed, list(agreed))))
    pair.store.put_links(links)


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
    links = {} if anew else store.links()
    view = view_of(pair, opened, links, {}, {}, busy, anew=anew)
    # Where names have changed, every cell is looked at: none is at rest. A sheet's accidents are told from all rows.
    known, names = {} if view.renamed or view.rows_by_key else links, [f.name for f in opened.ground.fields]
    deals = Sieve(Side.CRM, known, names, view.messages)
    rows = Sieve(Side.TABLE, known, names, view.messages)
    crm, table = sweep_both(pair, deals, rows)
    if pair.memory is not None:
        pair.memory.sweep_calls = max(pair.crm.calls - calls[0], pair.table.calls - calls[1])
    named = {deal for deal, _ in view.frozen} | {deal for _, deal in view.matched | view.unmatched} | busy
    resting = NONE_RESTING
    if known:
        links, resting = apart(crm, table, deals, rows, named)
    offsets = {Side.CRM: pair.crm.clock_offset, Side.TABLE: pair.table.clock_offset}
    view = replace(view, ground=replace(view.ground, offsets=offsets), now=pair.clock())
    return guarded(pair, opened, replace(view, links=links, crm=crm, table=table, resting=resting))


def options_moved(pair: Pair, opened: Opened, links: Mapping[str, Link], rows: Mapping[str, Record]) -> bool:
    """Whether the options of a select are others than when the columns were read last. They are looked at where a cell
    of one was edited: by an old list of names, a renamed option would pass for an edit (SPEC §1)."""
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
            return dict(pair.table.schema().columns) != dict(columns)
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
    if memory.needs_full(changes.doubts, now):
        return None
    view = view_of(pair, opened, changes.links, changes.deals, changes.rows, busy)
    view = replace(view, remembered=frozenset(changes.remembered))
    seen = _guarded_changes(pair, opened, view, changes)
    return None if memory.needs_full(changes.doubts, now) else seen


def _look_up(pair: Pair, changes: Changes, busy: frozenset[str]) -> None:
    """Reads the records that have no link and wait, and looks for rows of deals that seem to have none: one that is
    there was given its key by a person."""
    deals = pair.crm.read(sorted(changes.unknown_deals)) if changes.unknown_deals else {}
    changes.deals |= {id: record for id, record in deals.items() if isinstance(record, Record)}
    loose = pair.table.read(sorted(changes.unknown_rows)) if changes.unknown_rows else {}
    changes.rows |= {id: record for id, record in loose.items() if isinstance(record, Record)}
    fresh = [deal.id for deal in changes.deals.values() if deal.id not in changes.links and not deal.outside]
    fresh = [deal for deal in fresh if deal not in busy]
    for deal, rows in (pair.table.find(fresh) if fresh else {}).items():
        if rows:
            changes.doubts.add(f"row {rows[0].id} carries {deal}")
            del changes.deals[deal]
            for row in rows:
                changes.rows.pop(row.id, None)


def _guarded_changes(pair: Pair, opened: Opened, view: View, changes: Changes) -> Look:
    """As `guarded`, for a part of the records. What would be held is left to a full pass, which counts everything."""
    view, plan = planned(pair, opened, view, changes.doubts)
    gone = {link.deal: link for link in view.links.values() if view.reads[Side.TABLE].get(link.row) is ABSENT}
    if gone:  # whether another row has their keys by now, only a look at all rows can tell
        changes.doubts |= {f"row {link.row} is gone" for link in gone.values()}
        links = {deal: link for deal, link in view.links.items() if deal not in gone}
        deals = {id: deal for id, deal in view.crm.items() if id not in gone}
        view, plan = planned(pair, opened, replace(view, links=links, crm=deals), changes.doubts)
    planned_deals = {update.deal for update in plan.updates}
    written = pair.store.written_values(planned_deals, view.now - OSCILLATION_SECONDS)
    fresh = oscillations(plan, view.ground, written)
    if fresh:
        view = replace(view, frozen={**view.frozen, **fresh})
        plan = make_plan(view)
    waiting = {record.set.key for record in pair.store.held() if record.state == "held"}
    found = planned_sets(plan, view.ground)
    held = held_sets(found, view.ground, pair.store.count_links(), pair.limits, ())
    held += [one for one in found if one.key in waiting and one not in held]
    held += match_sets(plan)
    held += sheet_accidents(pair, view, plan)
    changes.doubts |= {f"{one.kind.value} {one.field} {one.side.value}" for one in held}
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
    deals = {update.deal for update in plan.updates}
    fresh = oscillations(plan, view.ground, pair.store.written_values(deals, view.now - OSCILLATION_SECONDS))
    if fresh:
        view = replace(view, frozen={**view.frozen, **fresh})
        plan = make_plan(view)
    accidents = sheet_accidents(pair, view, plan)
    # What an accident explains is held, or was approved, as such; it counts for no other limit.
    found = planned_sets(without(plan, accidents, view.ground), view.ground)
    held = held_sets(found, view.ground, total_links(view, plan), pair.limits, approved)
    waiting = [unapproved(one, approved) for one in accidents]
    held += [told(one, view.ground) for one in waiting if one.members]
    held += match_sets(plan)
    found += [*accidents, *missing, *match_sets(plan), *(one for one in approved if still_unlinked(one, view))]
    return Look(plan, view, opened.vocabulary, opened.schema, opened.gone, [*opened.held, *held], found, fresh)


def with_resting(view: View) -> View:
    """The view of everything: what rests is planned, too."""
    crm, table = view.resting.records()
    links = {**view.links, **view.resting.links}
    return replace(view, links=links, crm={**crm, **view.crm}, table={**table, **view.table}, resting=NONE_RESTING)


def sheet_accidents(pair: Pair, view: View, plan: Plan) -> list[HeldSet]:
    """Accidents of sheets that this plan would carry out (sheet_guards.py)."""
    if not may_be_one(view, plan):
        return []
    history = [Overwritten(*one) for one in pair.store.overwritten(view.now - HISTORY_SECONDS)]
    return sheet_sets(view, plan, history)


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


# --- a pass ----------------------------------------------------------------------------------------------------------


def run_pass(pair: Pair) -> PassResult:
    """One full pass (CONTRACT `--reconcile`). Never raises for what a server or a record does; see
    `PassResult.error`.
    """
    result = PassResult(pair.name)
    began, calls = time.monotonic(), (pair.crm.calls, pair.table.calls)
    pass_id: int | None = None
    try:
        pass_id = pair.store.begin_pass(pair.clock())
        _pass(pair, pass_id, result)
    except Misconfigured as error:
        result.error, result.misconfigured = str(error), True
    except SideDown as error:
        result.stopped = pair.stopping()  # a wait that was cut short because the program ends is no failure
        result.error = "" if result.stopped else str(error)
    except StoreFailed as error:
        result.error = str(error)
    except Stopped:
        result.stopped = True
    if pair.memory is not None and (result.error or result.stopped):
        pair.memory.opened_at = -math.inf  # it may have been the columns' or the names' fault: they are read anew
    result.seconds = time.monotonic() - began
    result.calls = {Side.CRM: pair.crm.calls - calls[0], Side.TABLE: pair.table.calls - calls[1]}
    try:
        result.unsettled = len(pair.store.open_writes())
        if pass_id is not None:
            ended_by = result.error or ("stopped before its end" if result.stopped else "")
            pair.store.end_pass(pass_id, pair.clock(), result.as_report(), ended_by)
    except StoreFailed as failure:
        result.error = result.error or str(failure)
    return result


RESTORED = "The state database was lost, or is an old one: links were made anew by their ids."


def _pass(pair: Pair, pass_id: int, result: PassResult) -> None:
    if not generation.is_current(pair.store):
        result.notes += [RESTORED] if pair.store.start_anew(RESTORED, pair.clock()) else []
        generation.advance(pair.store)
        if pair.memory is not None:
            pair.memory.full_at = None
    began, memory = pair.clock(), pair.memory
    before: Opened | None = memory.opened if memory is not None else None
    opened = _still_open(pair, began) or open_pair(pair, keep=True)
    moved = before is None or dict(before.schema.columns) != dict(opened.schema.columns)
    if opened.held:
        result.held, result.findings = opened.held, held_findings(opened.held)
        with pair.store.tx():
            approvals = [record for record in pair.store.held() if record.state != "held"]
            pair.store.keep_held(opened.held, approvals, pair.clock())
        if memory is not None:
            memory.full_at = None
        return
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
    moved = bool(pair.store.open_writes())
    if moved:
        generation.advance(pair.store)
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
    result.rows_without_id = seen.plan.rows_without_id
    result.matches = len({match.row for match in seen.plan.matches})
    if not seen.empty:
        if not moved and seen.plan.changes_anything():
            generation.advance(pair.store)
            moved = True
        carry_out(pair, work, seen)
    if moved:
        generation.advance(pair.store)
    if memory is not None:
        _remember_pass(pair, memory, seen, began, pass_id, result)
    plan = seen.plan
    known = plan.links or plan.new_rows or plan.new_deals or plan.forget or plan.deletions or seen.changes is not None
    result.links = pair.store.count_links() if known else len(seen.view.links) + len(seen.view.resting.links)
    result.linked = linked(pair, result)
    result.findings += busy_finding(pair, result.tally.busy)


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
    """An incremental look where one is enough, else a full one; `moved` is whether columns are not as they were."""
    memory = pair.memory
    if memory is None or moved or not _may_look_at_changes(pair, memory, now):
        return look(pair, opened, busy=busy)
    seen = _cheap_look(pair, opened, busy) if memory.sweeps_are_cheap else look_at_changes(pair, opened, memory, busy)
    if seen is not None:
        return seen
    if memory.opened_at != now:
        memory.opened, memory.opened_at = open_pair(pair, keep=True), now
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
    memory.answers = _answers(pair)
    if changes is None:
        memory.completed(began, result.findings, None)
        memory.matches = result.matches
        return
    # Only a full pass may bring a row back: until one could, the doubt about it is raised again.
    memory.again |= {link.deal for link in changes.links.values() if f"row {link.row} is gone" in changes.doubts}
    memory.completed(began, result.findings, changes.touched)
    result.full = False
    result.findings = memory.waiting()
    result.matches = memory.matches
    result.rows_without_id = memory.matches + len({one.row for one in result.findings if not one.deal and one.row})


def linked(pair: Pair, result: PassResult) -> frozenset[str]:
    """Of the deals that something is said of, those that have a link now."""
    named = {one.deal for one in result.findings if one.trouble in WAITING or one.needs_person}
    named |= {member.record for one in result.held for member in one.members}
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
    before = {row.id: row.message or "" for row in seen.view.table.values() if row.id in plan.messages}
    carry_updates(work, Side.CRM, [update for update in plan.updates if update.target is Side.CRM])
    carry_updates(work, Side.TABLE, [update for update in plan.updates if update.target is Side.TABLE])
    carry_new_rows(work, plan.new_rows)
    carry_new_deals(work, plan.new_deals)
    carry_messages(work, plan.messages, before, about_rows(seen.view, plan))
    carry_deletions(work, plan.deletions)
    settle(work)  # a lost answer is looked up at once; what cannot be told yet stays open for the next pass
    settle_new_deals(work, pair.read_lag_seconds)
    renames = any(change.kind is ChangeKind.RENAME for update in plan.updates for change in update.changes)
    whole = seen.changes is None and plan.all_judged
    if whole and not renames and not seen.held and not pair.store.open_writes():
        # What a write without an answer made shows the names of its time, and no plan has looked at it yet.
        pair.store.set_fact("labels", label_text(seen.vocabulary, seen.schema))


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


def remember(pair: Pair, seen: Look) -> None:
    """Stores what the plan only remembers: agreements, stamps, states. One transaction, before anything is written."""
    plan, store = seen.plan, pair.store
    if seen.view.renamed and store.fact("labels"):
        # Until every row was looked at, cells may show old names or new ones: names that go back are new ones, too.
        store.set_fact("labels", {})
    part = seen.changes.touched if seen.changes is not None else None  # what else was known still holds
    unread, unlisted = store.fact("unread") or {}, store.fact("unlisted") or []
    if plan.unread or unread:
        others = {} if part is None else {id: count for id, count in unread.items() if id not in part}
        store.set_fact("unread", {**others, **plan.unread})
    if plan.unlisted or unlisted:
        store.set_fact("unlisted", sorted(plan.unlisted.union(unlisted if part is not None else ())))
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


def observe_one(pair: Pair, deal: str, row: str | None) -> tuple[Record | None, Record | None]:
    """One deal and its row, read by id, for `syncd why`."""
    found = pair.crm.read([deal])[deal]
    at_row = pair.table.read([row])[row] if row else None
    return (found if isinstance(found, Record) else None), (at_row if isinstance(at_row, Record) else None)
