"""Carrying a plan out, one write at a time: read again, write, read back, acknowledge (SPEC §3).

Every step that makes something durable stands in this order: the intent (local), the write (remote), the
acknowledgement with the new shadow (local, one transaction). Killed between any two of them, `settle` finds the
intent open and asks the target what happened, before anything else is planned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import TypeVar, cast

from syncd.fields import MESSAGE_COLUMN, NEVER_BLANK, OWN_CLOCK
from syncd.judge import Change, ChangeKind, Ground, read_raw, same_raw, unchanged, write_raw
from syncd.model import ABSENT, Agreed, Link, LinkState, Raw, Record, Side, Value, pack, packed_shadow
from syncd.plan import OWN_STAMPS_KEPT, Update, fingerprint
from syncd.sides import (
    CrmSide,
    Later,
    Lost,
    Patch,
    Question,
    ReadResult,
    RecordSide,
    Refused,
    SideDown,
    TableSide,
    TryAgain,
    Unread,
    WriteResult,
    Written,
)
from syncd.store import ChangeLine, RefusedWrite, Store, Write, change_line
from syncd.values import Codec, MoneyCodec, Problem, StageCodec, folded

_T = TypeVar("_T")
TRIES = 7  # of a write that is told to wait, each after another read
SLOW_READS = 3  # of a target, while its source gets too old
SOURCE_AGE_SECONDS = 5.0  # a batched read of the table is at most this old when a value is copied (SPEC §3.1)
FIRST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 6 * 3600.0
FORM_TRIES = 3  # refusals, of whatever records, after which a server's form of a value counts as that value
GAP = False  # stands for what a cell held that was blank and is to be filled: no cell ever holds this
NO_CELLS: list[Raw] = [None, None]  # of a stage's two cells none is to be written
KEY_FIELD = "id"
KEY_PLANTED = "the row had no GHL ID"
TAKEN_NOTE = (
    "No answer came. The record was changed since, so this counts as written, and what it holds now as a later edit."
)


class Stopped(Exception):
    """The program was asked to end; what was begun is finished, the rest is left for the next pass."""


@dataclass(slots=True)
class Tally:
    """What was carried out, in records."""

    created: dict[Side, int] = field(default_factory=lambda: {Side.CRM: 0, Side.TABLE: 0})
    updated: dict[Side, int] = field(default_factory=lambda: {Side.CRM: 0, Side.TABLE: 0})
    deleted: dict[Side, int] = field(default_factory=lambda: {Side.CRM: 0, Side.TABLE: 0})
    conflicts: int = 0
    waiting: int = 0  # somebody was faster: the next pass decides anew
    refusals: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # of `refusals`: the deal, or the row of a deal to be
    suspended: list[str] = field(default_factory=list)
    busy: str = ""  # why a side could not be written now
    faults: int = 0  # reads of single records that failed in the server


@dataclass(slots=True)
class Work:
    """What carrying needs: both sides, the ground of the plan, the store, and the clock."""

    ground: Ground
    sides: Mapping[Side, RecordSide]
    store: Store
    pass_id: int | None
    clock: Callable[[], float]
    stopping: Callable[[], bool] = lambda: False
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None
    tally: Tally = field(default_factory=Tally)
    suspended: dict[Side, set[int]] = field(default_factory=lambda: {Side.CRM: set(), Side.TABLE: set()})
    closed: set[Side] = field(default_factory=set)  # sides that refuse every write in this pass
    no_new_rows: bool = False  # making rows was refused, and not for a record's sake
    no_new_deals: bool = False  # likewise
    no_deletions: set[Side] = field(default_factory=set)  # likewise, sides that delete nothing in this pass
    no_messages: bool = False  # likewise Sync cells
    refused_alike: dict[tuple[Side, str], tuple[str, str]] = field(default_factory=dict)
    probing: bool = False  # the table could not be written in the last pass: one row is tried first
    lost: set[str] = field(default_factory=set)  # deals with a write of this pass that nobody answered
    unseen: set[str] = field(default_factory=set)  # see `doubt`

    @property
    def names(self) -> list[str]:
        """Field names in order."""
        return [f.name for f in self.ground.fields]

    @property
    def crm(self) -> CrmSide:
        """The CRM, for what only it can do."""
        return cast("CrmSide", self.sides[Side.CRM])

    @property
    def table(self) -> TableSide:
        """The table, likewise."""
        return cast("TableSide", self.sides[Side.TABLE])

    def doubt(self, id: str, read: ReadResult | None) -> None:
        """Notes a record that the last look by its id did not show, since that was refused, or the record is gone. The
        next pass reads it by its id before it plans, whatever a list says (SPEC §1)."""
        if isinstance(read, Unread) or read is ABSENT:
            self.unseen.add(id)
        self.tally.faults += isinstance(read, Unread) and read.fault

    def check_stop(self) -> None:
        """Raises `Stopped` between two writes, never within one."""
        if self.stopping():
            raise Stopped


def groups(items: Sequence[_T], size: int, first: int | None = None) -> Iterator[list[_T]]:
    """`items` in lists of `size`, the first one of `first`."""
    rest = iter(items)
    while batch := list(islice(rest, first or size)):
        first = None
        yield batch


class _Sources:
    """Reads of the source side, shared by as many updates as one call can name, and used only while they are fresh."""

    def __init__(self, work: Work, side: RecordSide, updates: Sequence[Update]) -> None:
        self.work, self.side, self.updates = work, side, updates
        self.results: dict[str, ReadResult] = {}
        self.read_at = float("-inf")
        self.between = 0.0  # seconds that the last read of targets took

    def of(self, batch: list[Update], position: int) -> dict[str, ReadResult]:
        """The sources of `batch`, which starts at `position`; an update that copies no value needs none."""
        wanted = [update.source_id for update in batch if copies(update)]
        if self.are_old(self.between) or any(source_id not in self.results for source_id in wanted):
            ahead = self.updates[position : position + max(len(batch), self.side.read_batch)]
            self.read_at = self.work.clock()
            ids = [update.source_id for update in ahead if copies(update)]
            told = {change.index for update in ahead for change in update.changes}
            self.results = self.side.read(ids, needed=told) if ids else {}
        return {source_id: self.results[source_id] for source_id in wanted}

    def are_old(self, ahead: float = 0.0) -> bool:
        """Whether what was read for many at once must not be copied any more, so many seconds from now."""
        return bool(self.results) and self.work.clock() + ahead - self.read_at > SOURCE_AGE_SECONDS


def copies(update: Update) -> bool:
    """Whether a value is copied. A new name of a stage, or a key put back, needs no read of the source (SPEC §3.1)."""
    return any(change.kind is not ChangeKind.RENAME for change in update.changes)


def carry_updates(work: Work, target: Side, updates: Sequence[Update]) -> None:
    """Carries out all updates of one direction. Raises `SideDown`, `StoreFailed` or `Stopped`; never for a record."""
    side = work.sides[target]
    sources = _Sources(work, work.sides[target.other], updates)
    done = 0
    for batch in groups(updates, side.write_batch, first=1 if work.probing and target is Side.TABLE else None):
        work.check_stop()
        if target in work.closed:
            work.tally.waiting += len(updates) - done
            return
        try_again(partial(_carry_batch, work, side, sources, batch, done))
        done += len(batch)
        work.progress(f"writing to {side.label}", done, len(updates))


def _carry_batch(work: Work, side: RecordSide, sources: _Sources, batch: list[Update], position: int) -> None:
    """Reads sources, then targets, and writes (SPEC §3.1). Whatever has to be waited for is, before the targets are
    read. Sources that are read many at once must still be young then; a side that reads one by one reads each anew."""
    for _ in range(SLOW_READS):
        read_sources = sources.of(batch, position)
        side.make_way()
        before = work.clock()
        read_targets = side.read([update.target_id for update in batch], needed=())
        sources.between = work.clock() - before
        if sources.side.read_batch == 1 or not sources.are_old():
            break
    else:
        work.tally.waiting += len(batch)
        return
    ready = []
    for update in batch:
        checked = recheck(work, update, read_sources.get(update.source_id), read_targets[update.target_id])
        if checked is not None:
            ready.append(checked)
    if ready:
        write_updates(work, side, ready)


def try_again(attempt: Callable[[], None]) -> None:
    """Runs what reads and then writes until it need not wait between both; the last `TryAgain` is a side that is
    down."""
    for _ in range(TRIES - 1):
        with suppress(TryAgain):
            return attempt()
    return attempt()


@dataclass(frozen=True, slots=True)
class Ready:
    """An update that passed the second look, with the records it was checked against."""

    update: Update
    source: Record | None
    target: Record


def recheck(work: Work, update: Update, source: ReadResult | None, target: ReadResult) -> Ready | None:
    """The part of an update that still holds (SPEC §3.1): source still x and target still u. Where the target holds x
    already it is adopted; anything else waits for the next pass."""
    link = work.store.link(update.deal)
    if update.deal in work.lost:
        link = None  # it is settled first: until then nobody knows whose stamp the deal has
    if link is None or not isinstance(target, Record) or (copies(update) and not isinstance(source, Record)):
        work.doubt(update.target_id, target)
        work.doubt(update.source_id, source)
        work.tally.waiting += 1
        return None
    source = source if isinstance(source, Record) else None
    deal, row = (target, source) if update.target is Side.CRM else (source, target)
    left = deal is not None and deal.outside is not None  # out of scope is unknown (SPEC §1)
    if left or (row is not None and row.partner not in (None, update.deal)):
        work.tally.waiting += 1
        return None
    keep, adopt, held = [], [], False
    agreed = link.agreed().get("stage")
    known = agreed.value if agreed is not None else None
    for change in update.changes:
        codec = work.ground.codecs[change.index]
        if (
            change.index in work.suspended[update.target]
            or change.index in target.lacks
            or (source is not None and not _still_source(work, update, change, source, known))
            or _edited_again(change, target)
        ):
            held = True
        elif outgoing(work, update.target, change, target) == NO_CELLS:
            adopt.append(change)  # somebody filled both cells meanwhile: an empty write would be left
        elif same_raw(codec, update.target, target.raw[change.index], change.target_raw, known):
            if _typed_anew(change, target):
                held = True
            else:
                keep.append(change)
        elif read_raw(codec, update.target, target.raw[change.index], known) == change.new:
            adopt.append(change)
        else:
            held = True
    moved = link if deal is None or deal.stamp is None else advanced(link, deal.stamp, work.clock())
    if adopt:
        moved = with_agreed(
            work, moved, [(change, _pair_raw(update.target, change, source, target)) for change in adopt]
        )
    if moved != link:
        work.store.put_links([moved])
    work.tally.waiting += held
    partner = update.partner if row is not None and row.partner is None else None
    if not keep and partner is None:
        return None
    return Ready(replace(update, changes=tuple(keep), partner=partner), source, target)


def _still_source(work: Work, update: Update, change: Change, source: Record, known: Value) -> bool:
    """Whether the source still holds what is to be copied."""
    if change.index in source.lacks:
        return False
    codec = work.ground.codecs[change.index]
    return same_raw(codec, update.target.other, source.raw[change.index], change.source_raw, known)


def _edited_again(change: Change, target: Record) -> bool:
    """Whether the loser of a conflict shows a later edit than the one it lost with, though its value is the same: a
    list may be behind. Then the conflict is decided anew."""
    now = target.clocks[change.index] if change.index < len(target.clocks) else None
    return change.target_clock is not None and now is not None and now > change.target_clock


def _typed_anew(change: Change, target: Record) -> bool:
    """Whether the loser of a conflict holds its value in another form than when its time was asked, such as 0 in a cell
    that was blank: it was edited since, and the conflict is decided anew. A record that tells its times by itself says
    so better (`_edited_again`): HighLevel's search and its GET may differ in form."""
    undated = change.kind is ChangeKind.CONFLICT and change.target_clock is None
    return undated and target.raw[change.index] != change.target_raw


def _pair_raw(target_side: Side, change: Change, source: Record | None, target: Record) -> tuple[Raw, Raw]:
    """(CRM's raw, table's raw) of a field."""
    source_raw = source.raw[change.index] if source is not None else change.source_raw
    target_raw = target.raw[change.index]
    return (target_raw, source_raw) if target_side is Side.CRM else (source_raw, target_raw)


def advanced(link: Link, stamp: float, now: float) -> Link:
    """The link with its newest stamp moved forward; never back (SPEC §6, P6)."""
    if link.seen is not None and stamp <= link.seen:
        return link
    foreign = link.foreign if stamp in link.own else stamp
    return replace(link, seen=stamp, seen_at=now, foreign=foreign)


def with_agreed(
    work: Work, link: Link, changes: Sequence[tuple[Change, tuple[Raw, Raw]]], shown: Mapping[str, str] | None = None
) -> Link:
    """The link whose shadow holds the new values, with what each side shows for them. `shown` gives the names that
    the cells were written with, where that was before the names of now were read."""
    agreed = link.agreed()
    for change, (crm_raw, table_raw) in changes:
        name, codec = work.names[change.index], work.ground.codecs[change.index]
        if name in NEVER_BLANK and codec.has_gap(table_raw):
            table_raw = GAP  # a cell is still blank: it must not count as unchanged, it is filled next
        label = (shown or {}).get(name, codec.show(change.new))
        agreed[name] = Agreed(change.new, crm_raw, table_raw, label)
    return replace(link, shadow=packed_shadow(agreed, work.names))


# --- writing updates -------------------------------------------------------------------------------------------------


def _lines(work: Work, update: Update, target: Record) -> list[ChangeLine]:
    lines, offset = [], work.ground.offset(update.target)
    for change in update.changes:
        codec = work.ground.codecs[change.index]
        old = codec.show(change.old) if isinstance(change.old, str) else ""
        clock = target.clocks[change.index] if change.index < len(target.clocks) else None
        sent = _cell_after(work, change, target) if update.target is Side.TABLE else None
        lines.append(change_line(work.names[change.index], change, old, codec.show(change.new), clock, sent, offset))
    if update.partner:
        kind = ChangeKind.FILL.value
        lines.append(ChangeLine(KEY_FIELD, None, update.partner, "", update.partner, kind, KEY_PLANTED))
    return lines


def write_updates(work: Work, side: RecordSide, ready: Sequence[Ready]) -> None:
    """Intents, one call, acknowledgements. What was refused for a column's sake is tried once more without it."""
    refused = _write_once(work, side, ready)
    again = []
    for item in refused:
        rest = tuple(change for change in item.update.changes if change.index not in work.suspended[side.side])
        if side.side not in work.closed and rest and len(rest) < len(item.update.changes):
            again.append(replace(item, update=replace(item.update, changes=rest)))
    if again:
        _write_once(work, side, again)


def outgoing(work: Work, side: Side, change: Change, target: Record) -> Raw:
    """What the write names: of a stage's two cells only the one that changes (SPEC §3.2)."""
    codec = work.ground.codecs[change.index]
    raw = write_raw(codec, side, change.new)
    if side is Side.TABLE and isinstance(codec, StageCodec):
        return codec.only_changed(raw, target.raw[change.index])
    return raw


def _cell_after(work: Work, change: Change, target: Record) -> Raw:
    """What the cell holds if the write arrives: of a stage's two cells one may stay as it is."""
    sent, present = outgoing(work, Side.TABLE, change, target), target.raw[change.index]
    if isinstance(sent, list) and isinstance(present, list) and len(sent) == len(present):
        return [old if new is None else new for new, old in zip(sent, present, strict=True)]
    return sent


def _write_once(work: Work, side: RecordSide, ready: Sequence[Ready]) -> list[Ready]:
    """One call with its intents; returns what was refused."""
    now = work.clock()
    with work.store.tx():
        ids = [
            work.store.intend(
                work.pass_id,
                now,
                side.side,
                "update",
                r.update.deal,
                r.update.row,
                r.update.title,
                _lines(work, r.update, r.target),
                pack(work.names, r.target.raw),
            )
            for r in ready
        ]
    patches = [
        Patch(
            r.update.target_id,
            {c.index: outgoing(work, side.side, c, r.target) for c in r.update.changes},
            partner=r.update.partner,
        )
        for r in ready
    ]
    results = _sent(work, ids, lambda: side.write(patches))
    for write_id, item, result in zip(ids, ready, results, strict=True):
        finish_update(work, side, write_id, item, result)
    return [item for item, result in zip(ready, results, strict=True) if isinstance(result, Refused)]


def _sent(work: Work, ids: Sequence[int], send: Callable[[], list[WriteResult]]) -> list[WriteResult]:
    """What `send` returns. A side that is down says so before anything was sent (sides.py), so its intents end here."""
    try:
        return send()
    except TryAgain:
        with work.store.tx():
            for write_id in ids:
                work.store.withdraw(write_id)  # nothing happened, and it may be so several times
        raise
    except SideDown as error:
        with work.store.tx():
            for write_id in ids:
                work.store.end(write_id, work.clock(), "not_done", note=str(error))
        raise


def finish_update(work: Work, side: RecordSide, write_id: int, item: Ready, result: WriteResult) -> None:
    """Acknowledges one write, or keeps why it was refused. A lost one stays open: it is settled by reading."""
    if isinstance(result, Lost):
        work.lost.add(item.update.deal)
        return
    if isinstance(result, Later):
        postpone(work, side.side, write_id, result)
        return
    if isinstance(result, Refused):
        refuse(work, side.side, write_id, item.update, result)
        return
    answer = result.record
    ignored = [change for change in item.update.changes if _ignored(work, side.side, change, answer)]
    if ignored:
        # Some servers answer a write with the record as it was: what it holds now is asked before it is called ignored.
        fresh = side.read([item.update.target_id], needed=())[item.update.target_id]
        result = Written(fresh) if isinstance(fresh, Record) else result
        ignored = [change for change in item.update.changes if _ignored(work, side.side, change, result.record)]
    if ignored and not _takes_its_form(work, side.side, ignored, result.record):
        _finish_part(work, side.side, write_id, item, ignored, answer, result.record)
        return
    with work.store.tx():
        work.store.put_links([acknowledged(work, side.side, _linked(work, item), item, result.record)])
        work.store.end(write_id, work.clock(), "done")
    _count(work, side.side, item.update)


def postpone(work: Work, side: Side, write_id: int, later: Later, records: int = 1) -> None:
    """Takes back the intent of a write that was not made: nothing happened, and it may be so in many passes. Where
    nothing can be written now, the rest of this pass waits."""
    work.store.withdraw(write_id)
    work.tally.waiting += records
    if later.everyone:
        work.closed.add(side)
        work.tally.busy = later.sentence


def _linked(work: Work, item: Ready) -> Link:
    link = work.store.link(item.update.deal)
    if link is None:
        raise RuntimeError(f"the link of {item.update.deal} vanished during its write")
    return link


def _count(work: Work, side: Side, update: Update) -> None:
    work.tally.updated[side] += bool(update.changes)
    work.tally.conflicts += sum(change.kind is ChangeKind.CONFLICT for change in update.changes)


def _finish_part(
    work: Work, side: Side, write_id: int, item: Ready, ignored: Sequence[Change], answer: Record, record: Record
) -> None:
    """Refuses the fields that were taken and thrown away (H20), and acknowledges the others: what they hold is ours,
    and must not look like an edit later on. `answer` is what the write returned, `record` what was read after it."""
    taken = replace(item.update, changes=tuple(change for change in item.update.changes if change not in ignored))
    link = _linked(work, item)
    if side is Side.CRM:
        # Such a write may still move the deal's time, and that dates no person's edit (SPEC §2).
        link = own_write(link, answer, [change.index for change in item.update.changes], work.clock())
    link = with_written(work, side, link, replace(item, update=taken), record)
    partner = None if record.partner == item.update.partner else item.update.partner
    rest = replace(item.update, changes=tuple(ignored), partner=partner)
    refuse(work, side, write_id, rest, Refused(_kept(work, side, ignored)), link=link)
    _count(work, side, taken)


def _ignored(work: Work, side: Side, change: Change, record: Record) -> bool:
    """Whether the server answered yes and still holds the old value (hazard H20)."""
    if change.index in record.lacks:
        return False
    if change.kind is ChangeKind.RENAME:
        return record.raw[change.index] == change.target_raw  # its meaning is the same in any case
    reading = read_raw(work.ground.codecs[change.index], side, record.raw[change.index], change.new)
    return reading != change.new and record.raw[change.index] == change.target_raw


def _takes_its_form(work: Work, side: Side, ignored: Sequence[Change], record: Record) -> bool:
    """Whether a server that keeps the old value puts ours into that very form (hazard H49): known only by trying it
    several times, since one that throws a write away looks the same (H20)."""
    forms = [
        (work.ground.codecs[c.index], c.new, read_raw(work.ground.codecs[c.index], side, record.raw[c.index], c.new))
        for c in ignored
    ]
    alike = all(isinstance(a, str) and isinstance(b, str) and _normalised(codec, a, b) for codec, a, b in forms)
    return alike and work.store.count_refused(side, _kept(work, side, ignored)) >= FORM_TRIES


def _kept(work: Work, side: Side, ignored: Sequence[Change]) -> str:
    """What is said of a write that changed nothing."""
    names = ", ".join(work.names[change.index] for change in ignored)
    label = work.sides[side].label
    return f"{label[:1].upper()}{label[1:]} took the write but kept its {names}."


def returned_raw(codec: Codec, side: Side, change_new: Value, raw: Raw) -> Raw:
    """What to remember as the target's raw value after a write: what it returned, where that is our value or the form
    into which the server puts it. Anything else is a later edit, and must look like one (SPEC §3.3)."""
    reading = read_raw(codec, side, raw, change_new)
    if reading == change_new or (isinstance(reading, str) and isinstance(change_new, str)
                                 and _normalised(codec, change_new, reading)):  # fmt: skip
        return raw
    return write_raw(codec, side, change_new)


def left_out(codec: Codec, side: Side, value: Value, raw: Raw) -> bool:
    """Whether a record that was made with `value` is blank there: the server left it out (H20). That must not look like
    a person's edit."""
    empty = read_raw(codec, Side.CRM, None, None)
    if value in (None, empty):
        return False
    return codec.is_blank(raw) if side is Side.TABLE else read_raw(codec, Side.CRM, raw, None) == empty


def _in_form(codec: Codec, cell: Raw, value: Value) -> bool:
    """Whether a cell holds a form into which a server may have put `value`."""
    reading = read_raw(codec, Side.TABLE, cell, value)
    return isinstance(reading, str) and isinstance(value, str) and _normalised(codec, value, reading)


def _normalised(codec: Codec, sent: str, returned: str) -> bool:
    """Whether `returned` is `sent` as a server may tidy it: other case, cut off, or with fewer decimals."""
    if isinstance(codec, MoneyCodec):
        return any(round(Decimal(sent), digits) == Decimal(returned) for digits in range(4))
    return folded(sent) == folded(returned) or (len(returned) >= 20 and sent.startswith(returned))


def acknowledged(work: Work, side: Side, link: Link, item: Ready, record: Record) -> Link:
    """The link after a write that the server confirmed with `record`."""
    link = with_written(work, side, link, item, record)
    if side is Side.CRM:
        link = own_write(link, record, [change.index for change in item.update.changes], work.clock())
    return link


def with_written(work: Work, side: Side, link: Link, item: Ready, record: Record) -> Link:
    """The link whose shadow holds what was written, beside it what `record` shows for it."""
    if side is Side.TABLE and record.id != item.update.target_id:
        link = replace(link, row=record.id)  # a sheet's row gets its id with its key
    pairs = []
    for change in item.update.changes:
        codec = work.ground.codecs[change.index]
        lacking = change.index in record.lacks
        raw = write_raw(codec, side, change.new) if lacking else record.raw[change.index]
        held = returned_raw(codec, side, change.new, raw)
        source = item.source.raw[change.index] if item.source is not None else change.source_raw
        pairs.append((change, (held, source) if side is Side.CRM else (source, held)))
    return with_agreed(work, link, pairs)


def own_write(link: Link, record: Record, indexes: Sequence[int], now: float) -> Link:
    """Remembers the stamps that our own write set: they date no person's edit (SPEC §2)."""
    stamps = {record.stamp, *(record.clocks[index] for index in indexes if index < len(record.clocks))}
    fresh = sorted(stamp for stamp in stamps if stamp is not None and stamp not in link.own)
    own = (*link.own, *fresh)[-OWN_STAMPS_KEPT:]
    return advanced(replace(link, own=own), record.stamp, now) if record.stamp is not None else replace(link, own=own)


# --- refusals --------------------------------------------------------------------------------------------------------


def _alike(sentence: str) -> str:
    """A refusal without what belongs to the record: ids, quoted values, numbers."""
    return re.sub(r"[“\"'].*?[”\"']|\b[A-Za-z]*\d[\w-]*\b", "…", sentence)


def refuse(
    work: Work,
    side: Side,
    write_id: int,
    update: Update,
    refused: Refused,
    *,
    making: bool = False,
    deleting: bool = False,
    link: Link | None = None,
) -> None:
    """Keeps a refusal (SPEC §3.7). A record's own is quarantined; what would hit others alike suspends the column, or
    making rows, or deleting. `link` is stored with it where a part was taken."""
    named = refused.fields or frozenset(change.index for change in update.changes)
    alike = (side, ("making: " if making else "deleting: " if deleting else "") + _alike(refused.sentence))
    before = work.refused_alike.get(alike)
    everyone = refused.everyone or (before is not None and not refused.existing)
    now = work.clock()
    with work.store.tx():
        work.store.end(write_id, now, "refused", note=refused.sentence)
        if link is not None:
            work.store.put_links([link])
        if before is not None and everyone:
            work.store.clear_refused([(before[0], side)])
        if not everyone:
            work.store.put_refused(_refusal(work, side, update, refused.sentence, now))
    if not everyone:
        told = f"“{update.title}”: {refused.sentence}"
        work.refused_alike[alike] = (update.deal, told)
        work.tally.refusals.append(told)
        work.tally.refused[told] = update.deal
        return
    if before is not None:
        _take_back(work, before[1])
    if deleting:
        work.no_deletions.add(side)
    elif making and not named:
        work.no_new_rows = work.no_new_rows or side is Side.TABLE
        work.no_new_deals = work.no_new_deals or side is Side.CRM
    elif refused.everyone and not refused.fields:
        work.closed.add(side)
    else:
        work.suspended[side] |= named
    _suspended(work, refused.sentence)


def _take_back(work: Work, told: str) -> None:
    """A refusal that was no record's fault after all."""
    if told in work.tally.refusals:
        work.tally.refusals.remove(told)
        work.tally.refused.pop(told, None)


def _suspended(work: Work, sentence: str) -> None:
    """Says once what nothing more is tried of in this pass."""
    if _alike(sentence) not in map(_alike, work.tally.suspended):
        work.tally.suspended.append(sentence)


def _refusal(work: Work, side: Side, update: Update, sentence: str, now: float) -> RefusedWrite:
    known = {(r.deal, r.side): r for r in work.store.refused()}.get((update.deal, side))
    tries = known.tries + 1 if known else 1
    pause = min(FIRST_PAUSE_SECONDS * 2 ** (tries - 1), LONGEST_PAUSE_SECONDS)
    since = known.since if known else now
    return RefusedWrite(update.deal, side, sentence, fingerprint(update), update.title, tries, since, now + pause)


# --- new rows --------------------------------------------------------------------------------------------------------


def acknowledge_rows(work: Work, made: Sequence[tuple[int, Link]]) -> None:
    """Links rows that now exist: their shadows, in one transaction with the ends of their intents."""
    with work.store.tx():
        work.store.put_links([link for _, link in made])
        for write_id, link in made:
            work.store.end(write_id, work.clock(), "done", row=link.row)
    work.tally.created[Side.TABLE] += len(made)


def row_link(
    work: Work,
    deal: str,
    title: str,
    stamp: float | None,
    values: Mapping[int, tuple[Value, Raw]],
    record: Record,
    differs: Collection[int] = (),
    shown: Mapping[int, str] | None = None,
) -> Link:
    """The link of a row that now exists; its shadow is what was written, but for fields in which it `differs`. `shown`
    as in `with_agreed`."""
    agreed = {}
    for index, name in enumerate(work.names):
        if index in differs:
            continue
        codec = work.ground.codecs[index]
        value, crm_raw = values.get(index, (None, None))
        raw = record.raw[index]
        if index in values and left_out(codec, Side.TABLE, value, raw):
            continue
        if index in values:
            raw = raw if shown is not None else returned_raw(codec, Side.TABLE, value, raw)
            if name in NEVER_BLANK and codec.has_gap(record.raw[index]):
                raw = GAP  # somebody has cleared one of its two cells meanwhile: it is filled next
        elif not codec.is_blank(raw):
            continue  # nothing was written here, so nothing was agreed on
        else:
            blank = codec.from_table(raw, None)  # of a value that is 0: blank and 0 are one (SPEC §1)
            value = None if isinstance(blank, Problem) else blank
        agreed[name] = Agreed(value, crm_raw, raw, (shown or {}).get(index, codec.show(value)))
    known = work.store.link(deal)
    now = work.clock()
    link = known or Link(deal, record.id, seen=stamp, seen_at=now, foreign=stamp)
    state = LinkState.BOTH
    return replace(link, row=record.id, state=state, title=title, shadow=packed_shadow(agreed, work.names))


# --- messages --------------------------------------------------------------------------------------------------------


def carry_messages(
    work: Work, messages: Mapping[str, str], before: Mapping[str, str], about: Mapping[str, tuple[str, str]]
) -> None:
    """Writes Sync cells. They are the program's own, so nothing is read first; a row that is gone needs none. `before`
    is what the cells hold, and `about` names the (deal, title) of each row, for the history and for what is said of a
    refusal."""
    side = work.sides[Side.TABLE]
    there = {row: text for row, text in messages.items() if before.get(row) == text}
    if there:  # a person typed it, or cleared the cell: nothing is to be written (SPEC §6, P3), but it counts as said
        with work.store.tx():
            work.store.put_messages(there)
    items = sorted((row, text) for row, text in messages.items() if row not in there)
    for start in range(0, len(items), side.write_batch):
        work.check_stop()
        if Side.TABLE in work.closed or work.no_messages:
            return
        batch = items[start : start + side.write_batch]
        now = work.clock()
        with work.store.tx():
            ids = []
            for row, message in batch:
                old = before.get(row, "")
                line = ChangeLine(
                    "sync", old or None, message or None, old, message, "message", "what to know of this row"
                )
                deal, title = about.get(row, ("", ""))
                ids.append(work.store.intend(work.pass_id, now, side.side, "message", deal, row, title, [line]))
        patches = [Patch(row, {}, message=message) for row, message in batch]
        results = _sent(work, ids, partial(_written_in_time, side, patches))
        written = {row: text for (row, text), r in zip(batch, results, strict=True) if isinstance(r, Written)}
        with work.store.tx():
            work.store.put_messages(written)
            for write_id, result in zip(ids, results, strict=True):
                if isinstance(result, Written):
                    work.store.end(write_id, work.clock(), "done")
                elif isinstance(result, Refused):
                    work.store.end(write_id, work.clock(), "refused", note=result.sentence)
        for write_id, result in zip(ids, results, strict=True):
            if isinstance(result, Later):
                postpone(work, side.side, write_id, result, records=0)
        refused = {row: r for (row, _), r in zip(batch, results, strict=True) if isinstance(r, Refused)}
        _messages_refused(work, refused, {row: title for row, (_, title) in about.items()})


def _messages_refused(work: Work, refused: Mapping[str, Refused], titles: Mapping[str, str]) -> None:
    """Tells of Sync cells that could not be written. One row's own refusal is told with its name; what would hit others
    alike ends it for this pass (SPEC §3.7). They are derived anew by every plan, so nothing else has to be kept."""
    if not refused:
        return
    there = work.table.read(sorted(refused), needed=())
    for row, one in refused.items():
        if there[row] is ABSENT:
            continue  # it needs none
        sentence = f"The column “{MESSAGE_COLUMN}” could not be written: {one.sentence}"
        told = f"“{titles.get(row) or row}”: {sentence}"
        alike = (Side.TABLE, "message: " + _alike(one.sentence))
        before = work.refused_alike.setdefault(alike, (row, told))
        if one.everyone or before[0] != row:
            work.no_messages = True
            _take_back(work, before[1])
            _suspended(work, sentence)
        else:
            work.tally.refusals.append(told)


def _written_in_time(side: RecordSide, patches: Sequence[Patch]) -> list[WriteResult]:
    """What a write of Sync cells returns. It rests on no read: one only waits until there is a way again."""
    for _ in range(TRIES - 1):
        with suppress(TryAgain):
            return side.write(patches)
        side.read([patches[0].id], needed=())
    return side.write(patches)


# --- settling --------------------------------------------------------------------------------------------------------


def settle(work: Work) -> list[Write]:
    """Settles intents without an end by reading their targets (SPEC §3.3); returns those that are still open. Those of
    new deals are settled by `carry_deals`."""
    writes = [write for write in work.store.open_writes() if not makes_deal(write)]
    found: dict[tuple[Side, str], ReadResult] = {}
    for side in Side:
        ids = {_target_id(write) for write in writes if write.side is side and write.action != "create"}
        read = work.sides[side].read(sorted(ids), needed=()) if ids else {}
        found.update({(side, id): result for id, result in read.items()})
    keys = [write.deal for write in writes if write.action == "create"]
    rows = work.table.find(keys) if keys else {}
    left = []
    for write in writes:
        if write.action == "create":
            settled = _settle_create(work, write, rows.get(write.deal))
        elif write.action == "delete":
            settled = _settle_delete(work, write, found[write.side, _target_id(write)])
        elif write.action == "message":
            settled = _settle_message(work, write, found[write.side, _target_id(write)])
        else:
            settled = _settle_update(work, write, found[write.side, _target_id(write)])
        if not settled:
            left.append(write)
    return left


def makes_deal(write: Write) -> bool:
    """Whether this is the making of a deal."""
    return write.side is Side.CRM and write.action == "create"


def _target_id(write: Write) -> str:
    return write.deal if write.side is Side.CRM else write.row


def _settle_message(work: Work, write: Write, found: ReadResult) -> bool:
    """A Sync cell is derived anew by every plan: which text stands there is all that has to be known."""
    with work.store.tx():
        if isinstance(found, Record) and found.message is not None:
            work.store.put_messages({write.row: found.message})
        else:
            work.store.forget_message(write.row)  # then what the next sweep shows counts
        work.store.end(write.id, work.clock(), "taken")
    return True


def _settle_delete(work: Work, write: Write, found: ReadResult) -> bool:
    """A record that is gone was deleted, whoever did it; one that is there is planned anew."""
    if isinstance(found, Unread):
        return False
    with work.store.tx():
        if found is ABSENT:
            forget_both(work, write.deal)
        work.store.end(write.id, work.clock(), "done" if found is ABSENT else "not_done")
    work.tally.deleted[write.side] += found is ABSENT
    return True


def forget_both(work: Work, deal: str) -> None:
    """Forgets a link whose both records are gone. Search may show the deal for a while yet, or again: that it is gone
    is remembered, so that it is no new deal (SPEC §1). Within the caller's transaction."""
    work.store.forget([deal])
    work.store.put_absent([deal], work.clock())


def _settle_create(work: Work, write: Write, found: Sequence[Record] | None) -> bool:
    """A row was looked for by its key; one that is found is compared, never rewritten (SPEC §3.5)."""
    if found is None:
        return False
    if len(found) != 1:
        with work.store.tx():
            work.store.end(write.id, work.clock(), "not_done" if not found else "taken")
        return True
    written = {work.names.index(line.field): line for line in write.changes if line.field in work.names}
    # Whoever made this row: only what it holds as written is agreed on, the rest is decided by the edit times.
    holds = _held_as_written(work, write, written, found[0])
    if holds is None:
        return False  # it waits until the table tells edit times again
    values = {index: (line.new, line.source_raw) for index, line in written.items() if index in holds}
    shown = {index: line.shown_new for index, line in written.items()}
    link = row_link(work, write.deal, write.title, None, values, found[0], written.keys() - holds, shown)
    acknowledge_rows(work, [(write.id, link)])
    return True


def _held_as_written(
    work: Work, write: Write, written: Mapping[int, ChangeLine], row: Record
) -> Collection[int] | None:
    """The fields in which a row holds what was written into it, or the form into which the server put that when the row
    was made (H49). Another spelling that came later is a person's edit; None while nobody can tell."""
    codecs = work.ground.codecs
    same = {index for index, line in written.items() if _as_sent(codecs[index], Side.TABLE, line, row.raw[index])}
    alike = [i for i, line in written.items() if i not in same and _in_form(codecs[i], row.raw[i], line.new)]
    made = work.table.made_at(row.id)
    if not alike or made is None:
        return {*same, *alike}
    if made < _begun(work, write) - work.ground.tie_seconds:
        return same  # the row was there before: no server put our values into its form
    # Airtable's times are whole seconds, rounded down.
    questions = {index: Question(row.id, index, round(made + 1.0, 3)) for index in alike}
    answers = work.table.edited(list(questions.values()))
    if answers.keys() != set(questions.values()):
        return None
    return same | {index for index, one in questions.items() if answers[one].low <= one.instant}


def _settle_update(work: Work, write: Write, found: ReadResult) -> bool:
    link = work.store.link(write.deal)
    if found is ABSENT or link is None:
        with work.store.tx():
            work.store.end(write.id, work.clock(), "not_done", note="the record is gone")
        return True
    if not isinstance(found, Record):
        return False
    states = {line.field: _fate(work, write, line, found) for line in write.changes if line.field in work.names}
    if "undated" in states.values():
        return False  # it waits until the table tells edit times again: either guess could undo somebody's edit
    pairs = []
    for line in write.changes:
        if states.get(line.field) not in ("done", "taken"):
            continue
        index = work.names.index(line.field)
        codec = work.ground.codecs[index]
        # What the target holds now is ours, or a person's later edit and must look like one (SPEC §3.3: anything else).
        raw = found.raw[index] if states[line.field] == "done" else write_raw(codec, write.side, line.new)
        change = Change(index, write.side, None, line.new, ChangeKind(line.kind), line.why, None, None)
        pairs.append((change, (raw, line.source_raw) if write.side is Side.CRM else (line.source_raw, raw)))
    link = with_agreed(work, link, pairs, {line.field: line.shown_new for line in write.changes})
    edited = _others_changed(work, write, found) or "taken" in states.values()  # then the stamp is a person's
    if write.side is Side.CRM and "done" in states.values() and not edited:
        link = own_write(link, found, [change.index for change, _ in pairs], work.clock())
    state = "taken" if "taken" in states.values() else ("done" if pairs or not states else "not_done")
    with work.store.tx():
        work.store.put_links([link])
        note = TAKEN_NOTE if state == "taken" else ""
        work.store.end(write.id, work.clock(), state, note=note)
    work.tally.updated[write.side] += "done" in states.values()
    work.tally.conflicts += sum(
        line.kind == ChangeKind.CONFLICT.value and states.get(line.field) == "done" for line in write.changes
    )
    return True


def _fate(work: Work, write: Write, line: ChangeLine, found: Record) -> str:
    """What became of one value: "done" (it is there), "not_done" (the old one is, untouched since), "undated" (the old
    one is, and the table does not say since when), else "taken"."""
    index = work.names.index(line.field)
    codec = work.ground.codecs[index]
    if index in found.lacks:
        return "taken"
    if _as_sent(codec, write.side, line, found.raw[index]):
        return "done"
    if not same_raw(codec, write.side, found.raw[index], line.target_raw, line.old):
        return "taken"
    if line.kind == ChangeKind.RENAME.value:
        return "not_done"
    edited = _edited_since(work, write, line, found)
    return "undated" if edited is None else "taken" if edited else "not_done"


def _as_sent(codec: Codec, side: Side, line: ChangeLine, raw: Raw) -> bool:
    """Whether a field holds what was written: as it was sent, whatever names say now, or the same value (SPEC §1)."""
    if side is Side.TABLE and line.sent is not None and unchanged(codec, line.sent, raw):
        return True
    return read_raw(codec, side, raw, line.new) == line.new


def _others_changed(work: Work, write: Write, found: Record) -> bool:
    """Whether a field that the write did not name holds something else than before it."""
    before = json.loads(write.before)
    written = {one.field for one in write.changes}
    return any(
        name in before and name not in written and index not in found.lacks and before[name] != found.raw[index]
        for index, name in enumerate(work.names)
    )


def _explained(work: Work, write: Write, line: ChangeLine, found: Record) -> bool:
    """Whether another field of the deal changed meanwhile, which moved the clock that this field shares with it."""
    return line.field not in OWN_CLOCK and _others_changed(work, write, found)


def _begun(work: Work, write: Write) -> float:
    """When a write was begun, in our own seconds of now: our clock may have been set since, the server's was not."""
    offset = next((line.offset for line in write.changes if line.offset is not None), None)
    return write.at if offset is None else write.at - offset + work.ground.offset(write.side)


def _edited_since(work: Work, write: Write, line: ChangeLine, found: Record) -> bool | None:
    """Whether the field was edited after the intent, by its own clock: against what that clock showed right before the
    write, which no difference between servers' clocks can blur; else against the time of the intent."""
    index = work.names.index(line.field)
    clock = found.clocks[index] if index < len(found.clocks) else None
    if clock is not None and line.target_clock is not None:
        return clock > line.target_clock and not _explained(work, write, line, found)
    if clock is not None:
        return clock + work.ground.offset(write.side) >= _begun(work, write)
    # A table's clock counts whole seconds, rounded down: what it shows as later than the intent is later. Nobody types
    # the old value again within that very second.
    question = Question(found.id, index, round(_begun(work, write), 3))
    answer = work.sides[write.side].edited([question]).get(question)
    if answer is None and write.side is Side.TABLE:
        return None
    return answer is not None and answer.low > question.instant
