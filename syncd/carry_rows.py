"""Making rows for deals (SPEC §3.5): intents, calls of which several may be under way, acknowledgements in their order.

The intents of a call are durable before it is sent, and each call's rows become links as soon as its answer is there.
Killed in between, some calls may have happened and others not: their rows are looked for by their keys.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from syncd.carry import Work, acknowledge_rows, groups, postpone, refuse, row_link, try_again
from syncd.judge import same_raw
from syncd.model import Link, Record, Side
from syncd.plan import NewRow, Update
from syncd.sides import Later, Lost, NewRecord, Refused, SideDown, TryAgain, WriteResult
from syncd.store import ChangeLine


@dataclass(frozen=True, slots=True)
class _Call:
    """Rows that one call makes, with the ids of their intents and the columns that it left out."""

    rows: Sequence[NewRow]
    intents: Sequence[int]
    suspended: frozenset[int]


def carry_new_rows(work: Work, rows: Sequence[NewRow]) -> None:
    """Makes rows for deals. One that comes back is made from a fresh read of its deal. Raises `SideDown`,
    `StoreFailed` or `Stopped`; never for a record."""
    fresh, again = [row for row in rows if not row.again], [row for row in rows if row.again]
    for make, some in ((_make, fresh), (_make_again, again)):
        refused = make(work, some) if some else []
        if refused:
            make(work, refused)  # once more, without the columns that were refused
    if rows:
        work.check_stop()


def _make(work: Work, rows: Sequence[NewRow]) -> list[NewRow]:
    """Makes rows; returns those that were refused for the sake of columns that are suspended now."""
    side = work.table
    under_way: deque[_Call] = deque()
    again: list[NewRow] = []
    down: SideDown | None = None
    done = 0
    with closing(side.create_each(_intended(work, rows, under_way))) as answers:
        for answer in answers:
            call = under_way.popleft()
            if isinstance(answer, SideDown):
                down = down or answer
                _not_sent(work, call, str(answer))
                continue
            refused = _acknowledge(work, call, answer)
            if refused and work.suspended[Side.TABLE] > call.suspended:
                again += refused
            done += len(call.rows)
            work.progress(f"making rows in {side.label}", done, len(rows))
    if down is not None:
        raise down
    return again


def _intended(work: Work, rows: Sequence[NewRow], under_way: deque[_Call]) -> Iterator[Sequence[NewRecord]]:
    """What each call makes, once its intents are durable; ends where nothing more may be asked for."""
    size = work.table.write_batch
    for start in range(0, len(rows), size):
        if work.stopping():
            return
        if Side.TABLE in work.closed or work.no_new_rows:
            work.tally.waiting += len(rows) - start
            return
        batch = rows[start : start + size]
        suspended = frozenset(work.suspended[Side.TABLE])
        batch = [_without(row, suspended) for row in batch]
        under_way.append(_Call(batch, _intents(work, batch), suspended))
        yield _records(batch)


def _records(rows: Sequence[NewRow]) -> list[NewRecord]:
    return [NewRecord(row.deal, {index: planned[2] for index, planned in row.values.items()}) for row in rows]


def _make_again(work: Work, rows: Sequence[NewRow]) -> list[NewRow]:
    """Makes rows that come back, each from a read of its deal directly before; returns those that were refused for the
    sake of columns that are suspended now."""
    side, again, done = work.table, list[NewRow](), 0
    for batch in groups(rows, side.write_batch):
        if work.stopping():
            break
        if Side.TABLE in work.closed or work.no_new_rows:
            work.tally.waiting += len(rows) - done
            break
        done += len(batch)
        try_again(partial(_make_batch, work, batch, again))
        if batch:
            work.progress(f"making rows in {side.label}", done, len(rows))
    return again


def _make_batch(work: Work, batch: list[NewRow], again: list[NewRow]) -> None:
    """One call of `_make_again`. What need not be made any more is taken out of `batch`."""
    work.table.make_way()
    batch[:] = _without_those_back(work, [row for row in batch if _still(work, row)])
    if not batch:
        return
    suspended = frozenset(work.suspended[Side.TABLE])
    made = [_without(row, suspended) for row in batch]
    call = _Call(made, _intents(work, made), suspended)
    try:
        answer = work.table.create(_records(made))
    except TryAgain:
        with work.store.tx():
            for write_id in call.intents:
                work.store.withdraw(write_id)  # nothing happened, and it may be so several times
        raise
    except SideDown as error:
        _not_sent(work, call, str(error))
        raise
    refused = _acknowledge(work, call, answer)
    if refused and work.suspended[Side.TABLE] > suspended:
        again += refused


def _still(work: Work, row: NewRow) -> bool:
    """Whether the deal of a row that comes back still holds what was planned; else the next pass makes it."""
    deal = work.sides[Side.CRM].read([row.deal], needed=row.values)[row.deal]
    same = isinstance(deal, Record) and all(
        index not in deal.lacks and same_raw(work.ground.codecs[index], Side.CRM, deal.raw[index], planned[1], None)
        for index, planned in row.values.items()
    )
    work.doubt(row.deal, deal)
    work.tally.waiting += not same
    return same


def _without_those_back(work: Work, batch: list[NewRow]) -> list[NewRow]:
    """The rows without those that came back by themselves meanwhile, out of a trash: what they hold is a person's."""
    found = work.table.find([row.deal for row in batch]) if batch else {}
    back = {deal for deal, rows in found.items() if rows}
    work.tally.waiting += len(back)
    return [row for row in batch if row.deal not in back]


def _without(row: NewRow, suspended: Collection[int]) -> NewRow:
    return replace(row, values={index: planned for index, planned in row.values.items() if index not in suspended})


def _intents(work: Work, rows: Sequence[NewRow]) -> list[int]:
    ids = []
    now = work.clock()
    with work.store.tx():
        for row in rows:
            lines = [
                ChangeLine(
                    work.names[index],
                    None,
                    value,
                    "",
                    work.ground.codecs[index].show(value),
                    "new",
                    row.why,
                    source_raw=raw,
                    sent=cell,
                    offset=work.ground.offset(Side.TABLE),
                )
                for index, (value, raw, cell) in row.values.items()
            ]
            ids.append(work.store.intend(work.pass_id, now, Side.TABLE, "create", row.deal, "", row.title, lines))
    return ids


def _not_sent(work: Work, call: _Call, why: str) -> None:
    """A table that is down says so before anything was sent (sides.py), so the intents end here."""
    with work.store.tx():
        for write_id in call.intents:
            work.store.end(write_id, work.clock(), "not_done", note=why)


def _acknowledge(work: Work, call: _Call, results: Sequence[WriteResult]) -> list[NewRow]:
    """Links the rows that were made; returns those that were refused. A lost one stays open: it is looked for."""
    made: list[tuple[int, Link]] = []
    refused = []
    for write_id, row, result in zip(call.intents, call.rows, results, strict=True):
        if isinstance(result, Lost):
            continue
        if isinstance(result, Later):
            postpone(work, Side.TABLE, write_id, result)
            continue
        if isinstance(result, Refused):
            refused.append(row)
            update = Update(Side.TABLE, row.deal, "", row.title, ())
            refuse(work, Side.TABLE, write_id, update, result, making=True)
            continue
        values = {index: (value, crm_raw) for index, (value, crm_raw, _) in row.values.items()}
        made.append((write_id, row_link(work, row.deal, row.title, row.stamp, values, result.record)))
    acknowledge_rows(work, made)
    return refused
