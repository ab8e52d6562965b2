"""Making deals from rows, one after the other (SPEC §3.5): intent, contact, deal, link, and the key in the row.

What is durable stands in this order: the intent, the contact's id in it, the deal (remote), its end with the link (one
transaction), the key. Killed before the contact is noted, no deal was asked for. Killed after, the deal is looked for
among that contact's, and adopted or, when search has had its time, asked for again. Killed before the key, the link
is there, and the key comes back as a cleared one does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from syncd.carry import (
    GAP,
    SOURCE_AGE_SECONDS,
    TRIES,
    Work,
    carry_updates,
    left_out,
    makes_deal,
    own_write,
    postpone,
    refuse,
    returned_raw,
)
from syncd.fields import NEVER_BLANK, OF_CONTACT
from syncd.judge import ChangeKind, judge, read_raw, write_raw
from syncd.model import Agreed, Direction, Link, Raw, Record, Side, Value, packed_shadow
from syncd.newcomers import NewDeal, match_key, read_row
from syncd.plan import Update, stands_for
from syncd.sides import Later, Lost, MadeDeal, Misconfigured, ReadResult, Refused, SideDown, TryAgain, WriteResult
from syncd.store import ChangeLine, Write
from syncd.values import Codec, Problem, StageCodec, clipped, folded

NOT_ASKED = "The contact was not known yet, so no deal was asked for."
NOT_FOUND = "No answer came, and search shows no such deal: it is made again."
FOUND = "No answer came; the deal was found."
CREATION_SECONDS = 1.0  # a deal whose newest stamp is that close to its making has not been edited since


class _Rows:
    """Rows read directly before their deals are made: many a call, and used only while they are fresh (SPEC §3.1)."""

    def __init__(self, work: Work, ids: Sequence[str]) -> None:
        self.work, self.ids = work, ids
        self.found: dict[str, ReadResult] = {}
        self.read_at = float("-inf")

    def of(self, position: int) -> ReadResult:
        """The row of the deal at `position`."""
        id = self.ids[position]
        if id not in self.found or self.work.clock() - self.read_at > SOURCE_AGE_SECONDS:
            self.read_at = self.work.clock()
            table = self.work.table
            self.found = table.read(self.ids[position : position + table.read_batch])
        return self.found[id]


def carry_new_deals(work: Work, deals: Sequence[NewDeal]) -> None:
    """Makes deals, and plants their keys as many rows a call as the table takes. Raises `SideDown`, `StoreFailed` or
    `Stopped`; never for a record. No deal is made whose key could not be planted now."""
    rows = _Rows(work, [deal.row for deal in deals])
    unsure: set[tuple[str, str]] = set()
    keys: list[Update] = []
    planted = False
    for done, planned in enumerate(deals):
        work.check_stop()
        work.progress(f"making deals in {work.crm.label}", done, len(deals))
        if work.no_new_deals or Side.CRM in work.closed or work.tally.busy:
            work.tally.waiting += len(deals) - done
            break
        row, twin = rows.of(done), planned.twin(work.ground)
        ready = _without(work, planned)
        if not isinstance(row, Record) or not _still(work, planned, row) or twin in unsure or ready is None:
            work.doubt(planned.row, row)
            work.tally.waiting += 1
            continue
        key = _make(work, ready, row, partial(_unchanged, work, planned, rows, done))
        if key is None:
            unsure.add(twin)  # until it is known what became of this one, its twin would be taken for it
        else:
            keys += key
        first = not work.table.rows_have_ids and not planted
        if len(keys) >= work.table.write_batch or (keys and first):
            # The first by itself: a sheet that cannot be written now is known before more deals are made.
            carry_updates(work, Side.TABLE, keys)
            keys, planted = [], True
    if keys:
        carry_updates(work, Side.TABLE, keys)


def _still(work: Work, planned: NewDeal, row: Record) -> bool:
    """Whether the row still has no key and says the same."""
    return row.partner is None and read_row(work.ground, row) == planned


def _unchanged(work: Work, planned: NewDeal, rows: _Rows, position: int) -> bool:
    """Likewise, of a row that is read again where its contact took long to find."""
    row = rows.of(position)
    return isinstance(row, Record) and _still(work, planned, row)


def _without(work: Work, deal: NewDeal) -> NewDeal | None:
    """The deal without what HighLevel refuses from everyone; None where it cannot be made without that."""
    suspended = work.suspended[Side.CRM] & deal.values.keys()
    if any(work.names[at] in NEVER_BLANK for at in suspended):
        return None
    return replace(deal, values={at: planned for at, planned in deal.values.items() if at not in suspended})


def _make(work: Work, deal: NewDeal, row: Record, unchanged: Callable[[], bool]) -> list[Update] | None:
    """Makes one deal; returns the key to be planted (none where it was refused, or the row not `unchanged` when its
    contact was known), or None where no answer came."""
    write_id = _intend(work, deal)
    try:
        contact = work.crm.contact_for(deal.person)
        if isinstance(contact, Lost):
            return None
        if isinstance(contact, Refused):
            _refuse(work, write_id, deal, contact, own=True)
            return []
        asked, result = _asked_for(work, write_id, deal, contact, unchanged)
        if result is None:
            work.store.withdraw(write_id)  # nothing was asked for but the contact
            work.tally.waiting += 1
            return []
    except (SideDown, Misconfigured) as error:
        with work.store.tx():
            work.store.end(write_id, work.clock(), "not_done", note=str(error))  # what raises was not sent (sides.py)
        raise
    if isinstance(result, Lost):
        _note(work, write_id, contact, asked)  # from now on search has its time
        return None
    if isinstance(result, Later):
        postpone(work, Side.CRM, write_id, result)
        return []
    if isinstance(result, Refused):
        return _ours_already(work, write_id, deal, contact, result)
    values = {at: (planned[0], planned[1]) for at, planned in deal.values.items()}
    link = _linked(work, deal.row, deal.title, values, MadeDeal(result.record, "", contact, None), row)
    _acknowledge(work, write_id, link)
    return [_key_update(work, link, result.record, row)]


def _asked_for(
    work: Work, write_id: int, deal: NewDeal, contact: str, unchanged: Callable[[], bool]
) -> tuple[float, WriteResult | None]:
    """When the deal was asked for, by HighLevel's clock, and the answer; None where the row is not `unchanged` by then.
    It is read again after whatever had to be waited for (SPEC §3.1). The last `TryAgain` is a side that is down."""
    for left in reversed(range(TRIES)):
        work.crm.make_way()
        if not unchanged():
            break
        asked = work.clock() - work.crm.clock_offset
        _note(work, write_id, contact, asked)
        try:
            return asked, work.crm.create_deal(contact, {at: planned[2] for at, planned in deal.values.items()})
        except TryAgain:
            if not left:
                raise
    return 0.0, None


def _intend(work: Work, deal: NewDeal) -> int:
    lines = [
        ChangeLine(work.names[at], None, value, "", work.ground.codecs[at].show(value), "new", deal.why, None, raw)
        for at, (value, raw, _) in deal.values.items()
    ]
    with work.store.tx():
        return work.store.intend(work.pass_id, work.clock(), Side.CRM, "create", "", deal.row, deal.title, lines)


def _note(work: Work, write_id: int, contact: str, asked: float) -> None:
    """Keeps whose deal it is, before when none of his can be ours (by HighLevel's clock), and since when search has had
    its time to show it (by our own, with the offset that it had then)."""
    kept = {"contact": contact, "asked": asked, "at": work.clock(), "offset": work.crm.clock_offset}
    with work.store.tx():
        work.store.put_before(write_id, json.dumps(kept))


def _refuse(work: Work, write_id: int, deal: NewDeal, refused: Refused, *, own: bool = False) -> None:
    """Keeps a refusal by the row's id. What is wrong with a person is no other row's fault (`own`)."""
    if own and not refused.everyone:
        refused = replace(refused, existing=refused.existing or deal.row)
    refuse(work, Side.CRM, write_id, stands_for(deal), refused, making=True)


# --- the link of a new deal ------------------------------------------------------------------------------------------


def _linked(
    work: Work,
    row_id: str,
    title: str,
    values: Mapping[int, tuple[Value, Raw]],
    made: MadeDeal,
    row: Record | None,
    shown: Mapping[str, str] | None = None,
) -> Link:
    """The link of a deal that now exists. Its shadow is what was written, and nothing where nothing was: a later edit
    of either side must look like one (SPEC §3.3). What a person typed into a column of the contact's, and the contact
    holds otherwise, stays (SPEC §5). `shown` are the names that the row showed, where that was in an earlier pass."""
    record, agreed = made.record, dict[str, Agreed]()
    edited = False
    untouched = made.created is None or abs((record.stamp or 0.0) - made.created) <= CREATION_SECONDS
    for at, field in enumerate(work.ground.fields):
        codec, lacking = work.ground.codecs[at], at in record.lacks
        value: Value
        if at in values:
            value, table_raw = values[at]
            table_raw = GAP if field.name in NEVER_BLANK and codec.has_gap(table_raw) else table_raw
            now = write_raw(codec, Side.CRM, value) if lacking else record.raw[at]
            if untouched and left_out(codec, Side.CRM, value, now):
                agreed |= _blank(codec, field.name)  # then what the row holds is to be carried once more
                continue
            same = read_raw(codec, Side.CRM, now, value) == value
            edited = edited or not same
            # What differs in a deal that was edited since may be that edit, and is not taken for the server's form.
            held = returned_raw(codec, Side.CRM, value, now) if same or untouched else write_raw(codec, Side.CRM, value)
            label = (shown or {}).get(field.name, codec.show(value))
            agreed[field.name] = Agreed(value, held, table_raw, label)
        elif field.direction is Direction.TO_TABLE:
            kept = None if row is None or lacking or at in row.lacks else _kept(work, at, record, row)
            agreed |= {field.name: kept} if kept is not None else {}
        elif not isinstance(codec, StageCodec):
            agreed |= _blank(codec, field.name)  # it was blank, and left to HighLevel
    now_at = work.clock()
    link = Link(record.id, row_id, title=record.title or title, shadow=packed_shadow(agreed, work.names))
    if untouched and not edited:
        return replace(own_write(link, record, range(len(work.names)), now_at), seen_at=now_at)
    return replace(link, seen=record.stamp, seen_at=now_at, foreign=record.stamp)


def _blank(codec: Codec, name: str) -> dict[str, Agreed]:
    """The shadow of a field that is blank in a new deal."""
    blank = codec.from_crm(None)
    if isinstance(blank, Problem):
        return {}
    return {name: Agreed(blank, write_raw(codec, Side.CRM, blank), None, codec.show(blank))}


def _kept(work: Work, at: int, record: Record, row: Record) -> Agreed | None:
    """The shadow of a column that only HighLevel fills, where something else was typed into the row; None where the
    cell is blank or says the same in other words, so that it takes HighLevel's form."""
    codec, name = work.ground.codecs[at], work.names[at]
    if codec.is_blank(row.raw[at]):
        return None
    held, typed = codec.from_crm(record.raw[at]), codec.from_table(row.raw[at], None)
    if isinstance(held, Problem) or isinstance(typed, Problem):
        return None
    if name in OF_CONTACT and match_key(name, held or "") == match_key(name, typed or ""):
        return None
    return Agreed(held, record.raw[at], codec.to_table(held), codec.show(held))


def _acknowledge(work: Work, write_id: int, link: Link, note: str = "") -> None:
    with work.store.tx():
        work.store.put_links([link])
        work.store.end(write_id, work.clock(), "done", deal=link.deal, note=note)
    work.tally.created[Side.CRM] += 1


def _key_update(work: Work, link: Link, deal: Record, row: Record) -> Update:
    """The write that plants the key, and fills what the person left blank and HighLevel knows."""
    agreed = link.agreed()
    verdicts = [judge(work.ground, at, agreed.get(name), deal, row) for at, name in enumerate(work.names)]
    fills = tuple(
        one.change
        for one in verdicts
        if one.change is not None and one.change.target is Side.TABLE and one.change.kind is not ChangeKind.CONFLICT
    )
    return Update(Side.TABLE, link.deal, row.id, link.title, fills, link.deal)


# --- settling --------------------------------------------------------------------------------------------------------


def settle_new_deals(work: Work, read_lag_seconds: float) -> list[Write]:
    """Looks for the deals whose making had no answer; returns the intents that are still open (SPEC §3.5)."""
    return [
        write for write in work.store.open_writes() if makes_deal(write) and not _settled(work, write, read_lag_seconds)
    ]


def under_way(writes: Sequence[Write]) -> dict[str, tuple[str, str]]:
    """The rows whose deals are being made, with the pipeline and the name of each."""
    return {write.row: _twin(write) for write in writes if makes_deal(write)}


def _twin(write: Write) -> tuple[str, str]:
    values = {line.field: line.new or "" for line in write.changes}
    return values.get("stage", "").partition(":")[0], folded(values.get("name", ""))


def _settled(work: Work, write: Write, read_lag_seconds: float) -> bool:
    before: dict[str, Any] = json.loads(write.before)
    contact, now = before.get("contact"), work.clock()  # before search is asked: its answer shows no later moment
    if not contact:
        with work.store.tx():
            work.store.end(write.id, now, "not_done", note=NOT_ASKED)
        return True
    found = [made for made in work.crm.made_of(contact) if _ours(work, write, contact, made)]
    if found:
        first = min(found, key=lambda made: (made.created or 0.0, made.record.id))
        _adopt(work, write.id, write, work.crm.made_deal(first.record.id) or first)
        return True
    if _waited(work, before, now) < read_lag_seconds:
        return False
    with work.store.tx():
        work.store.end(write.id, now, "not_done", note=NOT_FOUND)
        work.store.put_before(write.id, write.before)  # a refusal may name the deal yet (`_ours_already`)
    return True


def _waited(work: Work, before: Mapping[str, Any], asked_at: float) -> float:
    """Seconds that search has had when it was asked. Where our own clock was set meanwhile, HighLevel's has told by how
    much."""
    now = work.crm.clock_offset
    was_set = now - float(before.get("offset", now))  # older versions kept none
    waited = asked_at - float(before["at"])
    return waited - was_set if abs(was_set) > work.ground.tie_seconds else waited


def _ours(work: Work, write: Write, contact: str, made: MadeDeal) -> bool:
    """Whether this is the deal that the intent was about: contact, pipeline, name, created not before the intent less
    the skew, by HighLevel's own clock, not linked to another row. Names are compared folded: a server may tidy what it
    is given (H49)."""
    pipeline, name = _twin(write)
    if (made.contact, made.pipeline, folded(made.record.title)) != (contact, pipeline, name):
        return False
    before, created = json.loads(write.before), made.created
    asked = float(before.get("asked", write.at - work.ground.offset(Side.CRM)))  # older versions kept none
    early = created is not None and created < asked - work.ground.tie_seconds
    return not early and work.store.link(made.record.id) is None


def _adopt(work: Work, write_id: int, asked: Write, made: MadeDeal) -> Link:
    """Links a deal that was made without our hearing of it; `asked` is the intent that it came from."""
    row = work.table.read([asked.row])[asked.row]
    values = {
        work.names.index(line.field): (line.new, line.source_raw) for line in asked.changes if line.field in work.names
    }
    shown = {line.field: line.shown_new for line in asked.changes}
    link = _linked(work, asked.row, asked.title, values, made, row if isinstance(row, Record) else None, shown)
    _acknowledge(work, write_id, link, FOUND)
    return link


def _ours_already(work: Work, write_id: int, deal: NewDeal, contact: str, refused: Refused) -> list[Update]:
    """A refusal; where the deal in the way is the one that an earlier, lost making of this row made, it is adopted."""
    lost = work.store.lost_deals(deal.row, NOT_FOUND) if refused.existing else []
    made = work.crm.made_deal(refused.existing) if lost else None
    asked = [write for write in lost if made is not None and _ours(work, write, contact, made)]
    if made is None or not asked:
        theirs = work.store.link(refused.existing) if refused.existing else None
        if theirs is not None:  # its id must not be put into a second row
            sentence = f"This contact has the deal “{clipped(theirs.title)}” already, and that has a row of its own."
            refused = replace(refused, sentence=f"{sentence} Delete this row, or allow several deals per contact.")
        # Without its name or stage no deal is made at all: two rows with one mistake must not stop the others.
        _refuse(work, write_id, deal, refused, own=any(work.names[at] in NEVER_BLANK for at in refused.fields))
        return []
    link = _adopt(work, write_id, asked[-1], made)
    return [Update(Side.TABLE, link.deal, deal.row, link.title, (), link.deal)]
