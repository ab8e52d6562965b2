"""What people read: plans, passes, history and status as lines, tables or JSON. No decisions are made here."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from syncd.budget import Meter, Span
from syncd.carry import KEY_PLANTED
from syncd.decide import Kind
from syncd.guards import GuardKind, HeldSet
from syncd.judge import Change, ChangeKind, Ground, Verdict, cell_labels
from syncd.model import ABSENT, Missing, Observed, Raw, Record, Side
from syncd.newcomers import NewDeal
from syncd.plan import Finding, How, NewRow, Plan, Update
from syncd.reconcile import PassResult, waits_told
from syncd.store import PassRecord, Write
from syncd.values import Codec, OwnerCodec, StageCodec, clipped

if TYPE_CHECKING:
    from syncd.meters import Standing

SHOWN_PROBLEMS = 12
NOTHING_TO_WRITE = "nothing to write"
LONGEST_SHOWN = 1_000  # characters of a name or a sentence on a terminal; --json tells all of them
CHANGED = {ChangeKind.FILL: "blank, so it is filled", ChangeKind.RENAME: "the same under a new name"}
SHOWN_NEW_ROWS = 20  # of a first fill, on a terminal


def printable(text: object) -> str:
    """Text from a server or a person without anything that could steer a terminal, and no longer than a screen."""
    return clipped(text, LONGEST_SHOWN)


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 row", "2 rows"."""
    return f"{number:,} {one if number == 1 else (many or one + 's')}"


def shortened(lines: Sequence[str], limit: int | None, rest: str = "syncd status --json") -> list[str]:
    """The first `limit` lines (None: all), and how many more there are; a single line is never hidden."""
    if limit is None or len(lines) <= limit + 1:
        return list(lines)
    indent = " " * (len(lines[0]) - len(lines[0].lstrip()))
    return [*lines[:limit], f"{indent}… and {len(lines) - limit:,} more: {rest}"]


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


def raw_shown(codec: Codec, side: Side, raw: Raw) -> str:
    """What a side holds, as people see it there; not whether it can be read."""
    if side is Side.TABLE:
        raw = cell_labels(codec, raw)
    elif isinstance(raw, str) and isinstance(codec, OwnerCodec):
        raw = codec.show(raw)
    elif isinstance(codec, StageCodec) and isinstance(raw, list) and len(raw) == 2 and all(raw):
        raw = codec.show(f"{raw[0]}:{raw[1]}")
    cells = raw if isinstance(raw, list) else [raw]
    texts = [clipped(cell) for cell in cells if cell is not None and str(cell).strip()]
    return " / ".join(texts) or "(blank)"


def seen(ground: Ground, verdict: Verdict, side: Side, record: Record | None) -> str:
    """What `syncd why` shows of a side: the value, or what stands there where it cannot be read as one."""
    value, index = (verdict.crm if side is Side.CRM else verdict.table), verdict.index
    if not isinstance(value, Missing):
        return shown(ground, index, value)
    if record is None or index in record.lacks:
        return "?"
    return raw_shown(ground.codecs[index], side, record.raw[index])


def rule(ground: Ground, verdict: Verdict) -> str:
    """Which rule of SPEC §2 decided, in words."""
    crm, table = ground.labels[Side.CRM], ground.labels[Side.TABLE]
    if verdict.change is not None and verdict.change.kind in CHANGED:
        return CHANGED[verdict.change.kind]
    if verdict.shadow is ABSENT and verdict.kind in (Kind.TO_X, Kind.TO_Y):
        return f"nothing agreed on yet, {crm if verdict.kind is Kind.TO_Y else table} gives it"
    words = {
        Kind.HOLD: "waits",
        Kind.AGREE: "both hold the same",
        Kind.TO_Y: f"only {crm} changed",
        Kind.TO_X: f"only {table} changed",
        Kind.X_WINS: f"conflict, {crm} wins",
        Kind.Y_WINS: f"conflict, {table} wins",
        Kind.UNDATED: "conflict, not dated yet",
    }
    return words[verdict.kind]


# --- a plan ----------------------------------------------------------------------------------------------------------


def change_lines(
    ground: Ground, update: Update, waiting: Mapping[tuple[GuardKind, Side, str, str], str]
) -> list[str]:  # fmt: skip
    """One line a field: old -> new, and why; `waiting` names the held set of what is held."""
    lines = []
    whole = _held_whole(waiting, update.target, update.deal)
    for change in update.changes:
        field = ground.fields[change.index]
        digest = waiting.get((GuardKind.CHANGES, update.target, field.name, update.deal))
        held = _held(whole or (digest if change.kind is not ChangeKind.RENAME else None))
        lines.append(f"      {field.columns[-1]}: {_arrow(ground, change)}   ({change.why}){held}")
    if update.partner:
        lines.append(f"      GHL ID: (blank) -> {update.partner}   ({KEY_PLANTED}){_held(whole)}")
    return lines


def _held_whole(waiting: Mapping[tuple[GuardKind, Side, str, str], str], target: Side, record: str) -> str | None:
    """The set of a sheet's accident that holds everything of this record on its way to `target` (`guards.without`)."""
    shuffled = waiting.get((GuardKind.SHUFFLED, Side.CRM, "", record))
    return shuffled or waiting.get((GuardKind.OLD_COPY, target, "", record))


def _arrow(ground: Ground, change: Change) -> str:
    if change.kind is ChangeKind.RENAME:
        return f"-> {shown(ground, change.index, change.new)}"
    return f"{shown(ground, change.index, change.old)} -> {shown(ground, change.index, change.new)}"


def plan_lines(
    pair: str, ground: Ground, plan: Plan, held: Sequence[HeldSet] = (), *,
    rows: Mapping[str, tuple[str, str]] | None = None, new_rows: int | None = None, columns: Sequence[str] = (),
) -> list[str]:  # fmt: skip
    """A plan for people: + makes a row, ~ changes a record, - deletes one; one summary line at the end. What is held
    says so, and why. `rows` names the (deal, name) of rows whose Sync cell is written; at most `new_rows` are listed.
    `columns` is what is wrong with columns.
    """
    lines = [f"{pair}:"]
    waiting = {(one.kind, one.side, one.field, member.record): one.digest for one in held for member in one.members}
    made = [f"  + row for “{printable(row.title)}” ({printable(row.deal)})   ({row.why})" for row in plan.new_rows]
    lines += shortened(made, new_rows, "syncd plan --verbose")
    deals = [
        f"  + deal for “{printable(deal.title)}” ({row_called(deal.row)})   ({deal.why})"
        f"{_held(_held_whole(waiting, Side.CRM, deal.row) or waiting.get((GuardKind.DEALS, Side.CRM, '', deal.row)))}"
        for deal in plan.new_deals
    ]
    lines += shortened(deals, new_rows, "syncd plan --verbose")
    matches = [
        f"  ? row “{printable(match.title)}” ({row_called(match.row)}) may be deal {printable(match.deal)}: "
        f"{', '.join(match.by)}"
        for match in plan.matches
    ]
    lines += shortened(matches, new_rows, "syncd plan --verbose")
    for update in plan.updates:
        lines.append(f"  ~ {ground.labels[update.target]}: “{printable(update.title)}” ({printable(update.deal)})")
        lines += change_lines(ground, update, waiting)
    for one in plan.deletions:
        verb = "- delete in" if one.how is How.DELETE else "~ abandon in"
        digest = waiting.get((GuardKind.DELETIONS, one.side, "", one.deal))
        what = f"“{printable(one.title)}” ({printable(one.deal)})   ({one.why})"
        lines.append(f"  {verb} {ground.labels[one.side]}: {what}{_held(digest)}")
    for row_id, message in sorted(plan.messages.items()):
        name = (rows or {}).get(row_id, ("", ""))[1]
        row = f"“{printable(name)}” (row {row_id})" if name else f"row {row_id}"
        lines.append(f"  ! Sync cell of {row}: {printable(message) or '(cleared)'}")
    lines += [f"  · {printable(sentence)}" for sentence in columns]
    lines += [f"  · {told(f)}" for f in plan.findings if f.needs_person]
    lines += [f"  · {printable(line)}" for line in waits_told(plan.findings)]
    lines += [f"  · held ({one.digest}): {printable(one.sentence)}" for one in held]
    lines.append("  " + plan_summary(plan, held))
    return lines


def _held(digest: str | None) -> str:
    return f"   [held: {digest}]" if digest else ""


def plan_summary(plan: Plan, held: Sequence[HeldSet] = ()) -> str:
    """One line: what would be written."""
    if not plan.changes_anything() and held:
        return "Nothing is written until a person has decided."
    deals = sum(update.target is Side.CRM for update in plan.updates)
    rows = sum(update.target is Side.TABLE for update in plan.updates)
    waits = waiting_words(plan)
    if plan.is_empty():
        return f"Nothing to write; {waits}." if waits else "Nothing to write: both sides agree."
    made = counted(len(plan.new_rows), "row")
    made += f" and {counted(len(plan.new_deals), 'deal')}" if plan.new_deals else ""
    parts = [
        made + " to make",
        counted(rows, "row") + " and " + counted(deals, "deal") + " to change",
    ]
    if plan.deletions:
        parts.append(counted(len(plan.deletions), "deletion"))
    if plan.messages:
        parts.append(counted(len(plan.messages), "message"))
    waiting = sum(one.writes for one in held)
    if waiting:
        parts.append(f"{counted(waiting, 'write')} of these held")
    return "Plan: " + ", ".join(parts) + (f"; {waits}." if waits else ".")


def waiting_words(plan: Plan) -> str:
    """ "4 things wait for a person, 1 more waits"; "" where nothing does."""
    person = sum(finding.needs_person for finding in plan.findings)
    others = len(waits_told(plan.findings))
    parts = [f"{counted(person, 'thing waits', 'things wait')} for a person"] if person else []
    if others:
        parts.append(f"{others:,} more {'waits' if others == 1 else 'wait'}" if parts else
                     counted(others, "thing waits", "things wait"))  # fmt: skip
    return ", ".join(parts)


def held_json(held: Iterable[HeldSet]) -> list[dict[str, Any]]:
    """Held sets for programs."""
    return [
        {
            "plan": one.digest,
            "about": one.kind.value,
            "side": one.side.value,
            "field": one.field,
            "sentence": one.sentence,
            "members": [{"record": m.record, "name": m.title, "old": m.old, "new": m.new} for m in one.members],
        }
        for one in held
    ]


def plan_json(
    pair: str, ground: Ground, plan: Plan, held: Sequence[HeldSet] = (), *, columns: Sequence[str] = ()
) -> dict[str, Any]:  # fmt: skip
    """A plan for programs; see `plan_lines`."""
    return {
        "pair": pair,
        "create": [_new_row_json(ground, row) for row in plan.new_rows]
        + [_new_deal_json(ground, deal) for deal in plan.new_deals],
        "update": [_update_json(ground, update) for update in plan.updates],
        "delete": [
            {"side": one.side.value, "deal": one.deal, "row": one.row, "name": one.title, "how": one.how.value,
             "why": one.why} for one in plan.deletions
        ],
        "held": held_json(held),
        "columns": list(columns),
        "messages": plan.messages,
        "waiting": [
            {"deal": f.deal, "row": f.row, "name": f.title, "about": f.trouble.value, "sentence": f.sentence,
             "needs_person": f.needs_person} for f in plan.findings
        ],
        "rows_without_id": plan.rows_without_id,
        "matches": [
            {"row": one.row, "deal": one.deal, "name": one.title, "by": list(one.by), "alone": one.alone}
            for one in plan.matches
        ],
    }  # fmt: skip


def _new_row_json(ground: Ground, row: NewRow) -> dict[str, Any]:
    values = {ground.fields[index].name: shown(ground, index, planned[0]) for index, planned in row.values.items()}
    return {"side": Side.TABLE.value, "deal": row.deal, "name": row.title, "values": values, "why": row.why}


def _new_deal_json(ground: Ground, deal: NewDeal) -> dict[str, Any]:
    values = {ground.fields[index].name: shown(ground, index, planned[0]) for index, planned in deal.values.items()}
    return {"side": Side.CRM.value, "row": deal.row, "name": deal.title, "values": values, "why": deal.why}


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
    held = sum(one.writes for one in result.held)
    done = ", ".join(parts) or ("nothing written" if held or result.undone else NOTHING_TO_WRITE)
    if tally.conflicts:
        done += f", {counted(tally.conflicts, 'conflict')} decided"
    if held:
        done += f", {counted(held, 'write')} held"
    if tally.busy:
        done += f", {counted(tally.waiting, 'write waits', 'writes wait')}. {printable(tally.busy)}"
    calls = result.calls.get(Side.CRM, 0) + result.calls.get(Side.TABLE, 0)
    return f"{result.pair}: {done} ({counted(result.links, 'link')}, {counted(calls, 'call')}, {result.seconds:.1f} s)"


def told(finding: Finding) -> str:
    """A finding for people, with the name of the record it is about."""
    return printable(finding.told())


def pass_lines(result: PassResult) -> list[str]:
    """A pass for people, with what needs them."""
    lines = [pass_line(result), *(f"  {printable(note)}" for note in result.notes)]
    waiting = [told(f) for f in result.findings if f.needs_person]
    waiting += [printable(problem) for problem in result.problems()]
    if waiting:
        lines.append(f"  {counted(len(waiting), 'thing')} for a person:")
        lines += shortened([f"    {line}" for line in waiting], SHOWN_PROBLEMS)
    if result.unsettled:
        lines.append(f"  {counted(result.unsettled, 'write')} without an answer yet; the next pass looks them up.")
    if result.tally.faults:
        faults = counted(result.tally.faults, "record")
        lines.append(f"  {faults} could not be read for a fault of the server; the next pass tries again.")
    if result.undone:
        lines.append(f"  {counted(result.undone, 'write')} did not arrive; the next pass decides anew.")
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


def history_lines(
    writes: Iterable[Write], labels: Mapping[Side, str], columns: Mapping[str, str], asked: str | None = None
) -> list[str]:
    """What was written, newest first. `columns` are the columns' names by field, `asked` what was looked for."""
    lines = []
    for write in writes:
        state = f"   [{STATES.get(write.state, write.state)}]" if STATES.get(write.state, write.state) else ""
        made = "deal made" if write.side is Side.CRM else "row made"
        verb = {"create": made, "message": "Sync cell", "delete": "deleted"}.get(write.action, "changed")
        name = printable(write.title or write.deal or write.row)
        what = f"{verb}: “{name}” ({printable(write.deal or row_called(write.row))})"
        lines.append(f"{local(write.at)}  {labels[write.side]:<10} {what}{state}")
        for change in write.changes if write.action != "create" else ():
            column = columns.get(change.field, change.field.capitalize())
            old = "" if change.kind == ChangeKind.RENAME.value else f"{printable(change.shown_old) or '(blank)'} "
            lines.append(f"      {column}: {old}-> {printable(change.shown_new) or '(blank)'}   ({change.why})")
        if write.note:
            lines.append(f"      {printable(write.note)}")
    nothing = "Nothing was written yet." if asked is None else f"Nothing of “{clipped(asked)}” was written."
    return lines or [nothing]


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
    """Where a pair stands. `held` is whether a process holds the state folder: else an unended pass was killed.

    What waits is what the last completed pass found: one that failed has not looked at everything.
    """
    last = passes[0] if passes else None
    finished = next((record for record in passes if record.ended is not None), None)
    ended: Mapping[str, Any] = finished.report if finished else {}
    report = success.report if success is not None else ended
    age = now - success.ended if success is not None and success.ended is not None else None
    needs = list(report.get("needs_person", []))
    in_sync = int(report.get("in_sync", links)) if success is not None else links
    failed = ended.get("code", 0) in (1, 2)
    return {
        "pair": pair,
        "last_success": success.ended if success else None,
        "age_seconds": round(age, 1) if age is not None else None,
        "last_error": finished.error if finished else "",
        "running": held and last is not None and last.ended is None,
        "links": links,
        "in_sync": max(0, min(links, in_sync) - unsettled),
        "waiting": int(report.get("waiting", 0)) + unsettled,
        "needs_person": int(report.get("for_person", len(needs))),
        "sentences": needs,
        "waits": list(report.get("waits", [])),
        "rows_without_id": report.get("rows_without_id", 0),
        "matches": report.get("matches", 0),
        "unsettled": unsettled,
        "calls_last_pass": ended.get("calls", {"crm": 0, "table": 0}),
        "findings": report.get("findings", []),
        "code": ended["code"] if failed else report.get("code", 0),
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
    if status["last_error"] and status["age_seconds"] is not None:
        lines.append("  what waits is what the last completed pass found")
    if status["sentences"]:
        lines.append("  for a person:")
        lines += shortened([f"    {printable(sentence)}" for sentence in status["sentences"]], SHOWN_PROBLEMS)
    if status["waits"]:
        lines.append("  waiting:")
        lines += shortened([f"    {printable(sentence)}" for sentence in status["waits"]], SHOWN_PROBLEMS)
    return lines


# --- budgets of calls -------------------------------------------------------------------------------------------------

PERIODS = {Span.DAY: "today", Span.MONTH: "this month"}


def lasting(seconds: float) -> str:
    """A length of time in the largest unit that is worth it."""
    for unit, length in (("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _used(meter: Meter) -> str:
    """ "12,340 of 100,000 calls this month"."""
    limit = f" of {meter.limit:,}" if meter.limit is not None else ""
    calls = "call" if meter.used == 1 and meter.limit is None else "calls"
    return f"{meter.used:,}{limit} {calls} {PERIODS[meter.span]}"


def pace_sentence(found: Standing, table: str) -> str:
    """How often passes come, and why; `table` is how the table's service is called."""
    meter = found.slowed_by
    if meter is None:
        return f"a pass every {lasting(found.wanted)} again."
    side = "HighLevel" if meter is found.meters[Side.CRM] else table
    if not found.spent:
        pairs = found.pairs[meter.scope]
        each = "a pass" if pairs == 1 else f"a pass of each of its {pairs} pairs"
        when = "" if found.every == found.seconds else f" {found.pace.value}"
        return (
            f"a pass every {lasting(found.every)}{when} instead of every {lasting(found.wanted)}, so that {side}'s "
            f"limit lasts: {_used(meter)}, and {each} takes {found.calls[meter.scope]:,}."
        )
    if meter.told:
        return (
            f"{side}'s limit is almost used up: {_used(meter)}, by all programs together. Until the limit begins anew, "
            f"a pass comes every {lasting(found.seconds)}."
        )
    return (
        f"{side}'s limit is almost used up: {_used(meter)}. Passes wait until {local(meter.span.end(found.now))}; the "
        "rest is kept for commands such as `syncd --reconcile`."
    )


def budgets_json(found: Standing, table: str) -> dict[str, Any]:
    """The calls of both sides in their periods, for `status`; times are UTC seconds."""
    budgets = []
    for side, meter in found.meters.items():
        calls = found.calls[meter.scope]
        budgets.append(
            {
                "side": side.value,
                "scope": meter.scope,
                "period": meter.span.key(found.now),
                "used": meter.used,
                "limit": meter.limit,
                "projected": meter.projected(found.now, calls, found.seconds),
                "runs_out": meter.runs_out(found.now, calls, found.seconds),
            }
        )
    return {
        "budgets": budgets,
        "interval_seconds": found.every,
        "slowed_by": pace_sentence(found, table) if found.slowed_by is not None else "",
    }


def budgets_lines(found: Standing, table: str) -> list[str]:
    """The calls of both sides in their periods, for people."""
    lines = []
    for side, meter in found.meters.items():
        calls, line = found.calls[meter.scope], _used(meter)
        projected = meter.projected(found.now, calls, found.seconds)
        out = meter.runs_out(found.now, calls, found.seconds)
        if projected is not None and meter.limit is not None and not meter.spent(calls):
            line += f", {rounded(projected):,} projected"
            line += f"; used up about {local(out)[:-3]}" if out is not None else ""
        lines.append(f"  {'HighLevel' if side is Side.CRM else table}: {line}")
    if found.slowed_by is not None:
        lines.append(f"  {pace_sentence(found, table)}")
    return lines


def row_called(row: str) -> str:
    """A row as people find it. What a sheet's row without an id is called in the meantime says nothing to anybody."""
    return "a row without an id" if row.startswith("~") else f"row {row}"


def rounded(number: int) -> int:
    """To two digits that count, since a projection is no more exact than that."""
    return int(float(f"{number:.1e}"))
