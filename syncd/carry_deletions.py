"""Carrying deletions across, where the settings ask for it (SPEC §5): one record at a time, and never on a guess.

Before each both records are read by their ids: one must be gone, the other must hold what was agreed on, so that
nothing which somebody typed meanwhile is lost (SPEC §6, P8). All that the record held stands in the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from syncd.carry import Ready, Work, forget_both, postpone, refuse, try_again, write_updates
from syncd.judge import Change, ChangeKind, same_raw, write_raw
from syncd.model import ABSENT, LinkState, Record, Side
from syncd.plan import Deletion, How, Update
from syncd.sides import Later, Lost, Refused, SideDown, TryAgain
from syncd.store import ChangeLine


def carry_deletions(work: Work, deletions: Sequence[Deletion]) -> None:
    """Carries out all deletions. Raises `SideDown`, `StoreFailed` or `Stopped`; never for a record."""
    for done, deletion in enumerate(deletions):
        work.check_stop()
        if deletion.side in work.closed:
            work.tally.waiting += len(deletions) - done
            return
        try_again(partial(_carry_one, work, deletion))
        work.progress(f"deleting in {work.sides[deletion.side].label}", done + 1, len(deletions))


def _carry_one(work: Work, deletion: Deletion) -> None:
    work.sides[deletion.side].make_way()
    target = None if _suspended(work, deletion) else _still_due(work, deletion)
    if target is None:
        work.tally.waiting += 1
    elif deletion.how is How.ABANDON:
        _abandon(work, deletion, target)
    else:
        _delete(work, deletion)


def _suspended(work: Work, deletion: Deletion) -> bool:
    """Whether such a write was refused in this pass, and not for its record's sake (SPEC §3.7)."""
    if deletion.how is How.ABANDON:
        return work.names.index("status") in work.suspended[deletion.side]
    return deletion.side in work.no_deletions


def _still_due(work: Work, deletion: Deletion) -> Record | None:
    """The record to go, where its partner is gone for certain and it holds what was agreed on; else None."""
    side = deletion.side
    target_id, source_id = _ids(deletion)
    if work.sides[side.other].read([source_id], needed=())[source_id] is not ABSENT:
        return None
    found = work.sides[side].read([target_id], needed=())[target_id]
    work.doubt(target_id, found)
    link = work.store.link(deletion.deal)
    if found is ABSENT and link is not None:
        with work.store.tx():
            forget_both(work, deletion.deal)  # somebody was faster: both are gone
    if not isinstance(found, Record) or link is None or found.lacks:
        return None
    if side is Side.TABLE and found.partner != deletion.deal:
        return None
    agreed = link.agreed()
    for index, name in enumerate(work.names):
        known = agreed.get(name)
        if known is None or not same_raw(
            work.ground.codecs[index], side, found.raw[index], known.raw(side), known.value
        ):
            return None
    return found


def _ids(deletion: Deletion) -> tuple[str, str]:
    """(the id of the record to go, the id of the one that is gone)."""
    ids = {Side.CRM: deletion.deal, Side.TABLE: deletion.row}
    return ids[deletion.side], ids[deletion.side.other]


def _delete(work: Work, deletion: Deletion) -> None:
    side = work.sides[deletion.side]
    lines = [
        ChangeLine(work.names[index], value, None, work.ground.codecs[index].show(value), "", "deletion", deletion.why)
        for index, value in deletion.values.items()
    ]
    with work.store.tx():
        write_id = work.store.intend(
            work.pass_id, work.clock(), deletion.side, "delete", deletion.deal, deletion.row, deletion.title, lines
        )
    try:
        result = side.delete(_ids(deletion)[0])
    except TryAgain:
        with work.store.tx():
            work.store.withdraw(write_id)
        raise
    except SideDown as error:
        with work.store.tx():
            work.store.end(write_id, work.clock(), "not_done", note=str(error))
        raise
    if isinstance(result, Lost):
        return
    if isinstance(result, Later):
        postpone(work, deletion.side, write_id, result)
        return
    if isinstance(result, Refused):
        refuse(work, deletion.side, write_id, _update(deletion, ()), result, deleting=True)
        return
    with work.store.tx():
        forget_both(work, deletion.deal)
        work.store.end(write_id, work.clock(), "done")
    work.tally.deleted[deletion.side] += 1


def _update(deletion: Deletion, changes: tuple[Change, ...]) -> Update:
    return Update(deletion.side, deletion.deal, deletion.row, deletion.title, changes)


def _abandon(work: Work, deletion: Deletion, target: Record) -> None:
    """The deal's status becomes "abandoned", by an ordinary write; then the deal goes on without a row."""
    index = work.names.index("status")
    codec = work.ground.codecs[index]
    raw = target.raw[index]
    change = Change(index, Side.CRM, "open", "abandoned", ChangeKind.EDIT, deletion.why, raw,
                    write_raw(codec, Side.TABLE, "abandoned"))  # fmt: skip
    write_updates(work, work.sides[Side.CRM], [Ready(_update(deletion, (change,)), None, target)])
    link = work.store.link(deletion.deal)
    known = link.agreed().get("status") if link is not None else None
    if link is not None and known is not None and known.value == "abandoned":
        work.store.put_links([replace(link, state=LinkState.ROW_GONE)])
