"""What people read: plans, passes, history and status as lines, tables or JSON. No decisions are made here."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from syncd.judge import Change, ChangeKind, Ground
from syncd.model import Missing, Observed, Side
from syncd.plan import NewRow, Plan, Update
from syncd.reconcile import PassResult
from syncd.store import PassRecord, Write
from syncd.values import clipped

SHOWN_PROBLEMS = 12
LONGEST_SHOWN = 1_000  # characters of a name or a sentence on a terminal; --json tells all of them


def printable(text: object) -> str:
    """Text from a server or a person without anything that could steer a terminal, and no longer than a screen."""
    return clipped(text, LONGEST_SHOWN)


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 row", "2 rows"."""
    return f"{number:,} {one if number == 1 else (many or one + 's')}"


def ago(seconds: float) -> str:
    """An age in the largest unit that is worth it."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def local(at: float) -> str:
    """An instant in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def shown(ground: Ground, index: int, value: Observed) -> str:
    """A canonical value for people."""
    if isinstance(value, Missing):
        return "?"
    text = ground.codecs[index].show(value)
    return printable(text) if text else "(blank)"


# --- a plan ----------------------------------------------------------------------------------------------------------


def change_lines(ground: Ground, update: Update) -> list[str]:
    """One line a field: old -> new, and why."""
    lines = []
    for change in update.changes:
        name = ground.fields[change.index].columns[-1]
        lines.append(f"      {name}: {_arrow(ground, change)}   ({change.why})")
    if update.partner:
        lines.append(f"      GHL ID: (blank) -> {update.partner}   (the GHL ID of this row was cleared)")
    return lines


def _arrow(ground: Ground, change: Change) -> str:
    if change.kind is ChangeKind.RENAME:
        return f"-> {shown(ground, change.index, change.new)}"
    return f"{shown(ground, change.index, change.old)} -> {shown(ground, change.index, change.new)}"


def plan_lines(pair: str, ground: Ground, plan: Plan) -> list[str]:
    """A plan for people: + makes a row, ~ changes a record; one summary line at the end."""
    lines = [f"{pair}:"]
    for row in plan.new_rows:
        lines.append(f"  + row for “{printable(row.title)}” ({printable(row.deal)})   ({row.why})")
    for update in plan.updates:
        lines.append(f"  ~ {ground.labels[update.target]}: “{printable(update.title)}” ({printable(update.deal)})")
        lines += change_lines(ground, update)
    for row_id, message in sorted(plan.messages.items()):
        lines.append(f"  ! Sync cell of row {row_id}: {printable(message) or '(cleared)'}")
    lines += [f"  · “{printable(f.title or f.deal)}”: {printable(f.sentence)}" for f in plan.findings if f.needs_person]
    lines.append("  " + plan_summary(plan))
    return lines


def plan_summary(plan: Plan) -> str:
    """One line: what would be written."""
    deals = sum(update.target is Side.CRM for update in plan.updates)
    rows = sum(update.target is Side.TABLE for update in plan.updates)
    if plan.is_empty():
        return "Nothing to write: both sides agree."
    parts = [
        counted(len(plan.new_rows), "row") + " to make",
        counted(rows, "row") + " and " + counted(deals, "deal") + " to change",
    ]
    if plan.messages:
        parts.append(counted(len(plan.messages), "message"))
    return "Plan: " + ", ".join(parts) + "."


def plan_json(pair: str, ground: Ground, plan: Plan) -> dict[str, Any]:
    """A plan for programs."""
    return {
        "pair": pair,
        "create": [_new_row_json(ground, row) for row in plan.new_rows],
        "update": [_update_json(ground, update) for update in plan.updates],
        "messages": plan.messages,
        "waiting": [
            {"deal": f.deal, "row": f.row, "name": f.title, "about": f.trouble.value, "sentence": f.sentence,
             "needs_person": f.needs_person} for f in plan.findings
        ],
        "rows_without_id": plan.rows_without_id,
    }  # fmt: skip


def _new_row_json(ground: Ground, row: NewRow) -> dict[str, Any]:
    values = {ground.fields[index].name: shown(ground, index, planned[0]) for index, planned in row.values.items()}
    return {"side": Side.TABLE.value, "deal": row.deal, "name": row.title, "values": values, "why": row.why}


def _update_json(ground: Ground, update: Update) -> dict[str, Any]:
    changes = [
        {
            "field": ground.fields[change.index].name,
            "column": ground.fields[change.index].columns[-1],
            "old": None if isinstance(change.old, Missing) else ground.codecs[change.index].show(change.old),
            "new": ground.codecs[change.index].show(change.new),
            "kind": change.kind.value,
            "why": change.why,
        }
        for change in update.changes
    ]
    return {
        "side": update.target.value,
        "direction": f"{update.target.other.value} -> {update.target.value}",
        "deal": update.deal,
        "row": update.row,
        "name": update.title,
        "key_restored": update.partner is not None,
        "changes": changes,
    }


# --- a pass ----------------------------------------------------------------------------------------------------------


def pass_line(result: PassResult) -> str:
    """A pass in one line, for logs and the end of `--reconcile`."""
    if result.error:
        return f"{result.pair}: not completed. {printable(' '.join(result.error.splitlines()))}"
    tally = result.tally
    parts = []
    for what, numbers in (("made", tally.created), ("changed", tally.updated), ("deleted", tally.deleted)):
        for side, noun in ((Side.TABLE, "row"), (Side.CRM, "deal")):
            if numbers[side]:
                parts.append(f"{counted(numbers[side], noun)} {what}")
    done = ", ".join(parts) or "nothing to write"
    if tally.conflicts:
        done += f", {counted(tally.conflicts, 'conflict')} decided"
    calls = result.calls.get(Side.CRM, 0) + result.calls.get(Side.TABLE, 0)
    return f"{result.pair}: {done} ({counted(result.links, 'link')}, {counted(calls, 'call')}, {result.seconds:.1f} s)"


def pass_lines(result: PassResult) -> list[str]:
    """A pass for people, with what needs them."""
    lines = [pass_line(result)]
    waiting = [
        f"“{printable(f.title or f.row or f.deal)}”: {printable(f.sentence)}" for f in result.findings if f.needs_person
    ] + [printable(problem) for problem in result.problems()]
    if waiting:
        lines.append(f"  {counted(len(waiting), 'thing')} for a person:")
        lines += [f"    {line}" for line in waiting[:SHOWN_PROBLEMS]]
        if len(waiting) > SHOWN_PROBLEMS:
            lines.append(f"    … and {len(waiting) - SHOWN_PROBLEMS} more: syncd status --json")
    if result.unsettled:
        lines.append(f"  {counted(result.unsettled, 'write')} without an answer yet; the next pass looks them up.")
    if result.rows_without_id:
        lines.append(f"  {counted(result.rows_without_id, 'row')} without a GHL ID, left untouched.")
    return lines


# --- history and status ----------------------------------------------------------------------------------------------

STATES = {
    "open": "no answer yet",
    "done": "",
    "not_done": "never arrived",
    "taken": "taken as done",
    "refused": "refused",
}


def history_lines(writes: Iterable[Write], labels: Mapping[Side, str]) -> list[str]:
    """What was written, newest first."""
    lines = []
    for write in writes:
        state = f"   [{STATES.get(write.state, write.state)}]" if STATES.get(write.state, write.state) else ""
        verb = {"create": "row made", "message": "Sync cell"}.get(write.action, "changed")
        name = printable(write.title or write.deal or write.row)
        lines.append(
            f"{local(write.at)}  {labels[write.side]:<10} {verb}: “{name}” ({printable(write.deal or write.row)}){state}"
        )
        for change in write.changes if write.action != "create" else ():
            lines.append(
                f"      {change.field}: {printable(change.shown_old) or '(blank)'} -> "
                f"{printable(change.shown_new) or '(blank)'}   ({change.why})"
            )
        if write.note:
            lines.append(f"      {printable(write.note)}")
    return lines or ["Nothing was written yet."]


def history_json(writes: Iterable[Write]) -> list[dict[str, Any]]:
    """The history for programs; times are UTC seconds."""
    return [
        {
            "id": write.id,
            "pass": write.pass_id,
            "at": write.at,
            "side": write.side.value,
            "direction": f"{write.side.other.value} -> {write.side.value}",
            "action": write.action,
            "deal": write.deal,
            "row": write.row,
            "name": write.title,
            "state": write.state,
            "note": write.note,
            "changes": [
                {
                    "field": change.field,
                    "old": change.old,
                    "new": change.new,
                    "old_shown": change.shown_old,
                    "new_shown": change.shown_new,
                    "kind": change.kind,
                    "why": change.why,
                }
                for change in write.changes
            ],
        }
        for write in writes
    ]


def status_json(
    pair: str,
    passes: Sequence[PassRecord],
    success: PassRecord | None,
    links: int,
    unsettled: int,
    now: float,
    *,
    held: bool,
) -> dict[str, Any]:
    """Where a pair stands. `held` is whether a process holds the state folder: else an unended pass was killed."""
    last = passes[0] if passes else None
    finished = next((record for record in passes if record.ended is not None), None)
    report = dict(finished.report) if finished else {}
    age = now - success.ended if success is not None and success.ended is not None else None
    needs = list(report.get("needs_person", []))
    waiting = int(report.get("waiting", 0)) + unsettled
    return {
        "pair": pair,
        "last_success": success.ended if success else None,
        "age_seconds": round(age, 1) if age is not None else None,
        "last_error": finished.error if finished else "",
        "running": held and last is not None and last.ended is None,
        "links": links,
        "in_sync": max(0, links - waiting - len(needs)),
        "waiting": waiting,
        "needs_person": len(needs),
        "sentences": needs,
        "rows_without_id": report.get("rows_without_id", 0),
        "unsettled": unsettled,
        "calls_last_pass": report.get("calls", {"crm": 0, "table": 0}),
        "findings": report.get("findings", []),
        "code": report.get("code", 0),
    }


def status_lines(status: Mapping[str, Any]) -> list[str]:
    """Where a pair stands, for people."""
    age = "never" if status["age_seconds"] is None else ago(status["age_seconds"])
    calls = status["calls_last_pass"]
    lines = [
        f"{status['pair']}: last success {age}" + ("; a pass is running" if status["running"] else ""),
        f"  {counted(status['links'], 'link')}: {status['in_sync']:,} in sync, {status['waiting']:,} waiting, "
        f"{status['needs_person']:,} for a person; {counted(status['rows_without_id'], 'row')} without a GHL ID",
        f"  calls in the last pass: HighLevel {calls['crm']}, table {calls['table']}",
    ]
    if status["last_error"]:
        lines.append(f"  last error: {printable(status['last_error'])}")
    lines += [f"    {printable(sentence)}" for sentence in status["sentences"][:SHOWN_PROBLEMS]]
    if len(status["sentences"]) > SHOWN_PROBLEMS:
        lines.append(f"    … and {len(status['sentences']) - SHOWN_PROBLEMS} more: syncd status --json")
    return lines
