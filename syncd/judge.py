"""One field of one link: read what both sides hold, decide (SPEC §2), and say why in a sentence.

`decide` knows only canonical values. This file brings them: raw values through the codec, the shadow, blank cells,
one-way columns (SPEC §5), and the stamps of a conflict. It is pure; what it would have to ask a server it returns as
a `Question`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from syncd.decide import Kind, Rules, decide
from syncd.fields import NEVER_BLANK, Field
from syncd.model import ABSENT, UNKNOWN, Agreed, Direction, Missing, Observed, Raw, Record, Side, Stamp, Value
from syncd.policy import BlankCell, OneWay, Policy
from syncd.sides import Question
from syncd.values import Codec, Names, OwnerCodec, Problem, Reading, StageCodec, clipped, folded, label_of

WON = {Kind.X_WINS: Side.CRM, Kind.Y_WINS: Side.TABLE}
COPIED = {Kind.TO_X: Side.CRM, Kind.TO_Y: Side.TABLE, Kind.X_WINS: Side.TABLE, Kind.Y_WINS: Side.CRM}


NO_CHOICES = Policy()


class ChangeKind(StrEnum):
    """Why a value is written."""

    EDIT = "edit"  # one side changed
    CONFLICT = "conflict"  # both changed; what is overwritten is a loser and is kept
    FILL = "fill"  # a blank cell that may not be blank
    RENAME = "rename"  # a stage or owner has a new name; the value is the same


@dataclass(frozen=True, slots=True)
class Change:
    """One value to be written to `target`. `old` and `new` are canonical; `target_raw` and `source_raw` are what the
    two sides held when this was planned, against which they are read again before the write (SPEC §3.1).
    """

    index: int
    target: Side
    old: Observed
    new: Value
    kind: ChangeKind
    why: str
    target_raw: Raw
    source_raw: Raw
    target_clock: float | None = None  # of a conflict: when its loser was edited, as far as this decision knew


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided for one field. At most one of `change` and `agreed` is set; neither where it waits.

    `problem` is a sentence for the row's Sync cell; `needs_person` whether it counts for exit code 3 (CONTRACT).
    """

    index: int
    kind: Kind
    shadow: Observed
    crm: Observed
    table: Observed
    why: str
    change: Change | None = None
    agreed: Agreed | None = None
    problem: str = ""
    needs_person: bool = False
    question: Question | None = None
    stamps: tuple[Stamp | None, Stamp | None] = (None, None)


@dataclass(frozen=True, slots=True)
class Ground:
    """What every verdict of a pair stands on: its fields and codecs, the sides' names for people, the rules, and the
    answers that the table gave about edit times. `offsets` turn a server's seconds into our own."""

    fields: tuple[Field, ...]
    codecs: tuple[Codec, ...]
    labels: Mapping[Side, str]
    tie_side: Side = Side.CRM
    tie_seconds: float = 2.0
    offsets: Mapping[Side, float] | None = None
    clocks: Mapping[Question, Stamp] | None = None
    names_read_again: bool = False
    unlisted: frozenset[str] = (
        frozenset()
    )  # owners whom the CRM is known not to list: no reason to read the names again
    typed: tuple[bool, ...] = ()  # fields whose cells people type into: texts and numbers
    policy: Policy = NO_CHOICES

    def offset(self, side: Side) -> float:
        """Seconds to add to a stamp of that side's server."""
        return (self.offsets or {}).get(side, 0.0)


@dataclass(frozen=True, slots=True)
class Past:
    """What dates our own writes on the CRM: the stamps they set, and the newest that is none of them (SPEC §2)."""

    own: tuple[float, ...] = ()
    foreign: float | None = None


def read_raw(codec: Codec, side: Side, raw: Raw, known: Value) -> Reading:
    """The canonical value behind a raw one of either side."""
    return codec.from_crm(raw) if side is Side.CRM else codec.from_table(raw, known)


def write_raw(codec: Codec, side: Side, value: Value) -> Raw:
    """The raw value that makes either side hold `value`."""
    return codec.to_crm(value) if side is Side.CRM else codec.to_table(value)


def same_raw(codec: Codec, side: Side, now: Raw, planned: Raw, known: Value) -> bool:
    """Whether a side still holds what it held at planning: the same raw value, or one with the same meaning."""
    if now == planned:
        return True
    first, second = read_raw(codec, side, now, known), read_raw(codec, side, planned, known)
    return not isinstance(first, Problem) and not isinstance(second, Problem) and first == second


def unchanged(codec: Codec, stored: Raw, now: Raw) -> bool:
    """Whether a cell is as it was when its value was agreed. An option that our own write made was stored by its label,
    before its id was known; of a stage's two cells maybe only one. It may have been renamed since."""
    if now == stored:
        return True
    labels, met = cell_labels(codec, now), _first_met(codec, now)
    if isinstance(now, list) and isinstance(stored, list) and isinstance(labels, list) and len(now) == len(stored):
        return all(old in names for old, *names in zip(stored, now, labels, met, strict=True))
    return now is not None and stored in (labels, met)


def _first_met(codec: Codec, raw: Raw) -> Any:
    """A cell with what its options were called when first met; both cells of a stage."""
    if isinstance(codec, StageCodec) and isinstance(raw, list) and len(raw) == 2:
        return [codec.pipeline_names.met(raw[0]), codec.names.met(raw[1])]
    return getattr(codec, "names", Names()).met(raw)


def option_gone(codec: Codec, stored: Raw, now: Raw) -> bool:
    """Whether a cell is blank because somebody removed the option that it held: nobody cleared the cell (SPEC §4)."""
    column = getattr(codec, "column", None)
    if (
        column is None
        or column.kind != "select"
        or not codec.is_blank(now)
        or not isinstance(stored, str)
        or not stored
    ):
        return False
    return stored not in column.options and folded(stored) not in {folded(label) for label in column.options.values()}


def cell_labels(codec: Codec, raw: Raw) -> Raw:
    """A cell with labels in place of option ids; both cells of a stage."""
    if isinstance(codec, StageCodec) and isinstance(raw, list) and len(raw) == 2:
        return [label_of(raw[0], codec.pipeline_column), label_of(raw[1], codec.column)]
    return label_of(raw, getattr(codec, "column", None))


def _crm_value(ground: Ground, index: int, record: Record | None, agreed: Agreed | None) -> tuple[Observed, str]:
    """What the CRM holds, and a remark where it cannot be told."""
    if record is None or index in record.lacks:
        return UNKNOWN, f"{ground.labels[Side.CRM]} could not be read"
    raw, codec = record.raw[index], ground.codecs[index]
    if agreed is not None and raw == agreed.crm:
        return agreed.value, ""
    reading = codec.from_crm(raw)
    if isinstance(reading, Problem):
        return UNKNOWN, reading.sentence
    if reading is None and ground.fields[index].name in NEVER_BLANK:
        return UNKNOWN, f"it is blank in {ground.labels[Side.CRM]}"
    unlisted = isinstance(codec, (OwnerCodec, StageCodec)) and not codec.knows(reading)
    known_unlisted = isinstance(codec, OwnerCodec) and (ground.names_read_again or reading in ground.unlisted)
    if unlisted and not known_unlisted:
        return UNKNOWN, f"{ground.labels[Side.CRM]} does not list “{reading}”"
    return reading, ""


def _table_value(
    ground: Ground, index: int, record: Record, agreed: Agreed | None, known: Value
) -> tuple[Observed, Problem | None]:
    """What the table holds. A blank that may not be blank is no edit: it reads as the shadow and is filled (§5)."""
    if index in record.lacks:
        return UNKNOWN, None
    raw, codec = record.raw[index], ground.codecs[index]
    if agreed is not None and (
        unchanged(codec, agreed.table, raw) or option_gone(codec, agreed.table, raw) or _came_back(codec, agreed, raw)
    ):
        return agreed.value, None
    blankable = ground.fields[index].name not in NEVER_BLANK
    if not blankable and codec.is_blank(raw) and not _moves_pipeline(codec, raw, known):
        return (agreed.value if agreed is not None else None), None
    reading = codec.from_table(raw, known)
    return (UNKNOWN, reading) if isinstance(reading, Problem) else (reading, None)


def _came_back(codec: Codec, agreed: Agreed | None, raw: Raw) -> bool:
    """Whether the Pipeline column was not there when the stage was agreed on (only then its cell is stored as None), is
    there now, and the Stage cell is as it was. What the Pipeline cell shows may be older than the deal's last move, so
    it is no edit, and is filled from the CRM: a column restored from the trash must not move deals back (SPEC §4)."""
    stored = agreed.table if agreed is not None else None
    if not isinstance(codec, StageCodec) or codec.pipeline_column is None:
        return False
    if not isinstance(stored, list) or not isinstance(raw, list) or len(stored) != 2 or len(raw) != 2:
        return False
    labels = cell_labels(codec, raw)
    same_stage = raw[1] == stored[1] or (isinstance(labels, list) and labels[1] == stored[1])
    return stored[0] is None and not _empty(raw[0]) and same_stage


def _empty(raw: Raw) -> bool:
    return raw is None or raw == ""


def _moves_pipeline(codec: Codec, raw: Raw, known: Value) -> bool:
    """Whether a blank Stage cell stands beside a Pipeline cell that a person changed: then both wait for the stage."""
    if not isinstance(codec, StageCodec) or not isinstance(raw, list) or codec.pipeline_column is None:
        return False
    own = codec.to_table(known)
    labels = codec.pipeline_names.of(raw[0], codec.pipeline_column)
    return bool(raw[0]) and isinstance(own, list) and folded(own[0]) not in labels


def _crm_stamp(ground: Ground, index: int, record: Record, past: Past) -> Stamp | None:
    """When a person last edited the field in the CRM, in our own seconds; None where the CRM gave no time at all."""
    clock = record.clocks[index] if index < len(record.clocks) else None
    if clock is None:
        return None
    offset = ground.offset(Side.CRM)
    if clock in past.own:
        if past.foreign is None:
            return Stamp(-math.inf, clock + offset)
        clock = min(past.foreign, clock)
    return Stamp(clock + offset, clock + offset)


def _table_stamp(ground: Ground, index: int, record: Record, crm: Stamp | None) -> tuple[Stamp | None, Question | None]:
    """When the cell was last edited; where the table must be asked and has not been, the question instead."""
    clock = record.clocks[index] if index < len(record.clocks) else None
    if clock is not None:
        at = clock + ground.offset(Side.TABLE)
        return Stamp(at, at), None
    if crm is None:
        return None, None
    # One question decides: beyond this instant the table's edit wins, whatever its exact time is.
    instant = crm.high + ground.tie_seconds if ground.tie_side is Side.CRM else crm.high - ground.tie_seconds - 0.001
    question = Question(record.id, index, round(instant, 3))
    answer = (ground.clocks or {}).get(question)
    return answer, None if answer is not None else question


def judge(
    ground: Ground, index: int, agreed: Agreed | None, crm: Record | None, table: Record, past: Past = Past()
) -> Verdict:
    """Decides one field of one link (SPEC §2). `agreed` is None without a shadow, `crm` None while the deal is
    unknown.
    """
    codec = ground.codecs[index]
    shadow: Observed = agreed.value if agreed is not None else ABSENT
    x, remark = _crm_value(ground, index, crm, agreed)
    # A stage is looked up in the pipeline that the person saw: the agreed one, else the deal's.
    known = agreed.value if agreed is not None else (x if isinstance(x, str) else None)
    y, problem = _table_value(ground, index, table, agreed, known)
    if problem is not None and isinstance(x, str) and x != known:
        y, problem = _table_value(ground, index, table, agreed, x)  # or in the one where the deal is now (SPEC §3.8)
    edited = y is not shadow and y != shadow
    direction = ground.fields[index].direction
    if problem is not None and direction is Direction.TO_TABLE and crm is not None and x is not UNKNOWN:
        return _one_way(ground, index, shadow, x, UNKNOWN, crm, table, agreed)
    if problem is not None:
        return Verdict(index, Kind.HOLD, shadow, x, UNKNOWN, "it waits for a person", problem=problem.sentence,
                       needs_person=problem.person,
                       agreed=_renamed_behind(codec, x, crm, agreed))  # fmt: skip
    if x is UNKNOWN or y is UNKNOWN:
        return Verdict(index, Kind.HOLD, shadow, x, y, remark or "it could not be read")
    assert crm is not None  # an unknown deal was held above
    blankable = ground.fields[index].name not in NEVER_BLANK  # the others are filled again
    if blankable and agreed is not None and x == agreed.value and option_gone(codec, agreed.table, table.raw[index]):
        return _optionless(ground, index, shadow, x, y)
    if direction is Direction.OFF:
        return Verdict(index, Kind.HOLD, shadow, x, y, "this column is off")
    fills = _is_fill(ground, index, codec, table, x, y)
    if fills or (edited and _erases_nothing(ground, index, table, x, y)):
        return _refilled(ground, index, shadow, x, y, crm, table, fills=fills)
    if x == y and _came_back(codec, agreed, table.raw[index]) and not _shows(codec, table.raw[index], _value(x)):
        return _filled(ground, index, shadow, x, y, crm, table, "pipeline whose column was not there")
    if direction is not Direction.BOTH:
        return _one_way(ground, index, shadow, x, y, crm, table, agreed)
    stamps: tuple[Stamp | None, Stamp | None] = (None, None)
    rules = Rules(ground.tie_side is Side.CRM, ground.tie_seconds)
    if _is_nameless(codec, x, y, edited=edited):
        return _nameless(ground, index, shadow, x, y)
    kind = decide(shadow, x, y, None, None, rules)
    if kind is Kind.UNDATED:
        at_crm = _crm_stamp(ground, index, crm, past)
        at_table, question = _table_stamp(ground, index, table, at_crm)
        stamps = (at_crm, at_table)
        if question is not None:
            return Verdict(index, kind, shadow, x, y, "both changed; the edit times are not known yet",
                           question=question, stamps=stamps)  # fmt: skip
        anytime = Stamp(-math.inf, math.inf)
        kind = decide(shadow, x, y, at_crm or anytime, at_table or anytime, rules)
    if kind is Kind.AGREE:
        return _agreement(ground, index, shadow, x, crm, table, agreed)
    return _copied(ground, index, kind, shadow, x, y, crm, table, stamps)


def _is_fill(ground: Ground, index: int, codec: Codec, table: Record, x: Observed, y: Observed) -> bool:
    """Whether a cell that may not be blank is, while nothing else was typed into the field."""
    raw = table.raw[index]
    if x is None or ground.fields[index].name not in NEVER_BLANK or not codec.has_gap(raw):
        return False  # with nothing to fill it from, a blank cell agrees with a blank name
    return codec.is_blank(raw) or x == y


def _filled(
    ground: Ground, index: int, shadow: Observed, x: Observed, y: Observed, crm: Record, table: Record, what: str = ""
) -> Verdict:
    what = what or f"blank {ground.fields[index].name}"
    why = f"a {what} is filled again from {ground.labels[Side.CRM]}"
    change = Change(index, Side.TABLE, None, _value(x), ChangeKind.FILL, why, table.raw[index], crm.raw[index])
    return Verdict(index, Kind.TO_Y, shadow, x, y, why, change=change)


def _erases_nothing(ground: Ground, index: int, table: Record, x: Observed, y: Observed) -> bool:
    """Whether a cell is blank whose edits go to the CRM, where the settings say that a blank never erases (SPEC §5)."""
    goes = ground.fields[index].direction in (Direction.BOTH, Direction.TO_CRM)
    never = ground.policy.blank_cell is BlankCell.NEVER_ERASE
    return x != y and goes and never and ground.codecs[index].is_blank(table.raw[index])


def _refilled(
    ground: Ground, index: int, shadow: Observed, x: Observed, y: Observed, crm: Record, table: Record, *, fills: bool
) -> Verdict:
    """A cleared cell gets the CRM's value again; in a column that goes only to the CRM it stays blank, unless it may
    not be (`fills`)."""
    if fills:
        return _filled(ground, index, shadow, x, y, crm, table)
    if ground.fields[index].direction is Direction.TO_CRM:
        return Verdict(index, Kind.HOLD, shadow, x, y, "a blank cell erases nothing")
    codec = ground.codecs[index]
    if isinstance(codec, OwnerCodec) and not codec.knows(_value(x)):
        return _nameless(ground, index, shadow, x, y)
    return _filled(ground, index, shadow, x, y, crm, table)


def _is_nameless(codec: Codec, x: Observed, y: Observed, *, edited: bool) -> bool:
    """Whether the CRM's owner has no name for the cell, and nobody typed another one."""
    return isinstance(codec, OwnerCodec) and x != y and not codec.knows(_value(x)) and (not edited or y is None)


def _value(observed: Observed) -> Value:
    if isinstance(observed, Missing):
        raise TypeError("an unknown value is never written")
    return observed


def _one_way(
    ground: Ground,
    index: int,
    shadow: Observed,
    x: Observed,
    y: Observed,
    crm: Record,
    table: Record,
    agreed: Agreed | None,
) -> Verdict:
    """A column that goes one way: its owner's changes are carried; what is typed on the other side stays (SPEC §5)."""
    if x == y:
        return _agreement(ground, index, shadow, x, crm, table, agreed)
    to_table = ground.fields[index].direction is Direction.TO_TABLE
    owner, copied = (Side.CRM, Kind.TO_Y) if to_table else (Side.TABLE, Kind.TO_X)
    owned = x if to_table else y
    if shadow is ABSENT or owned != shadow:
        return _copied(ground, index, copied, shadow, x, y, crm, table, (None, None))
    if to_table and ground.policy.one_way is OneWay.WRITE_BACK:
        return _written_back(ground, index, shadow, x, y, crm, table)
    column, shown = ground.fields[index].columns[-1], clipped(ground.codecs[index].show(_value(x)))
    problem = (
        f"{ground.labels[Side.CRM]} owns “{column}” and holds “{shown}”; what was typed here stays here."
        if to_table
        else f"“{column}” goes only to {ground.labels[Side.CRM]}, which now holds “{shown}”."
    )
    why = f"{ground.labels[owner]} owns this column and did not change it"
    return Verdict(index, Kind.HOLD, shadow, x, y, why, problem=problem)


def _written_back(
    ground: Ground, index: int, shadow: Observed, x: Observed, y: Observed, crm: Record, table: Record
) -> Verdict:
    """What was typed into a column of the CRM's is written over, where the settings say so (SPEC §5)."""
    codec = ground.codecs[index]
    if isinstance(codec, OwnerCodec) and not codec.knows(_value(x)):
        return _nameless(ground, index, shadow, x, y)
    why = f"{ground.labels[Side.CRM]} owns this column; its value is written back"
    change = Change(index, Side.TABLE, y, _value(x), ChangeKind.FILL, why, table.raw[index], crm.raw[index])
    return Verdict(index, Kind.TO_Y, shadow, x, y, why, change=change)


def _agreement(
    ground: Ground, index: int, shadow: Observed, x: Observed, crm: Record, table: Record, agreed: Agreed | None
) -> Verdict:
    """Both hold the same: it becomes the shadow; a cell that still shows an old name gets the new one."""
    codec, value = ground.codecs[index], _value(x)
    named = not isinstance(codec, (OwnerCodec, StageCodec)) or codec.knows(value)
    # Who is not listed any more keeps the name under which everybody knew him.
    label = codec.show(value) if named or agreed is None else agreed.label
    renamed = agreed is not None and agreed.label != label and unchanged(codec, agreed.table, table.raw[index])
    if renamed and not _shows(codec, table.raw[index], value):
        assert agreed is not None
        why = f"“{clipped(agreed.label)}” is now called “{clipped(label)}” in {ground.labels[Side.CRM]}"
        change = Change(index, Side.TABLE, value, value, ChangeKind.RENAME, why, table.raw[index], crm.raw[index])
        return Verdict(index, Kind.AGREE, shadow, x, x, why, change=change)
    now = Agreed(value, crm.raw[index], table.raw[index], label)
    return Verdict(index, Kind.AGREE, shadow, x, x, "both hold the same", agreed=now if now != agreed else None)


def _renamed_behind(codec: Codec, x: Observed, crm: Record | None, agreed: Agreed | None) -> Agreed | None:
    """The shadow under its new name, where a value was renamed while its cell holds something that says nothing. The
    old name, typed later, is an edit then: by that time it may be another stage's (SPEC §1: "swap names")."""
    if agreed is None or crm is None or x != agreed.value or isinstance(x, Missing):
        return None
    if not isinstance(codec, (OwnerCodec, StageCodec)) or not codec.knows(x) or codec.show(x) == agreed.label:
        return None
    return Agreed(x, agreed.crm, codec.to_table(x), codec.show(x))


def _shows(codec: Codec, raw: Raw, value: Value) -> bool:
    """Whether a cell already shows the present name of `value`."""
    want, have = codec.to_table(value), cell_labels(codec, raw)
    wanted, shown = (want if isinstance(want, list) else [want]), (have if isinstance(have, list) else [have])
    return all(name is None or folded(name) == folded(label) for name, label in zip(wanted, shown, strict=False))


def _there(codec: Codec, target: Side, raw: Raw, value: Value) -> bool:
    """Whether the target shows `value` already, though what it holds is taken for another one: a stage or user of the
    same name, or the form into which a server once put the former value. Then nothing is to be written (SPEC §3.2)."""
    if target is Side.TABLE and isinstance(codec, StageCodec):
        return _shows(codec, raw, value)
    return read_raw(codec, target, raw, None) == value


def _copied(
    ground: Ground,
    index: int,
    kind: Kind,
    shadow: Observed,
    x: Observed,
    y: Observed,
    crm: Record,
    table: Record,
    stamps: tuple[Stamp | None, Stamp | None],
) -> Verdict:
    """The change that carries one side's value to the other, with its reason."""
    target = COPIED[kind]
    conflict = kind in WON
    codec = ground.codecs[index]
    if target is Side.TABLE and isinstance(codec, OwnerCodec) and not codec.knows(_value(x)):
        return _nameless(ground, index, shadow, x, y)
    new, old = (x, y) if target is Side.TABLE else (y, x)
    if _there(codec, target, (crm if target is Side.CRM else table).raw[index], _value(new)):
        agreed = Agreed(_value(new), crm.raw[index], table.raw[index], codec.show(_value(new)))
        return Verdict(index, kind, shadow, x, y, f"{ground.labels[target]} shows it already", agreed=agreed)
    source_raw, target_raw = (crm, table) if target is Side.TABLE else (table, crm)
    why = _reason(ground, kind, shadow, stamps)
    change = Change(
        index,
        target,
        old,
        _value(new),
        ChangeKind.CONFLICT if conflict else ChangeKind.EDIT,
        why,
        target_raw.raw[index],
        source_raw.raw[index],
        target_raw.clocks[index] if conflict and index < len(target_raw.clocks) else None,
    )
    return Verdict(index, kind, shadow, x, y, why, change=change, stamps=stamps)


def _optionless(ground: Ground, index: int, shadow: Observed, x: Observed, y: Observed) -> Verdict:
    """The cell's option was removed: it is not read as cleared, and nothing is written for it."""
    column, shown = ground.fields[index].columns[-1], clipped(ground.codecs[index].show(_value(x)))
    problem = f"“{shown}” is no option of “{column}” any more; make it again, or choose another."
    return Verdict(index, Kind.HOLD, shadow, x, y, "its option was removed from the column", problem=problem,
                   needs_person=True)  # fmt: skip


def _nameless(ground: Ground, index: int, shadow: Observed, x: Observed, y: Observed) -> Verdict:
    """An owner without a name to be shown: the cell keeps what it holds, and an edit of it goes its way."""
    crm = ground.labels[Side.CRM]
    problem = f"{crm} does not list this deal's owner among its users; “{ground.fields[index].columns[-1]}” waits."
    return Verdict(index, Kind.HOLD, shadow, x, y, "the owner has no name that could be shown", problem=problem)


def _reason(ground: Ground, kind: Kind, shadow: Observed, stamps: tuple[Stamp | None, Stamp | None]) -> str:
    if kind not in WON:
        source = ground.labels[COPIED[kind].other]
        if shadow is ABSENT:
            return f"nothing was agreed on yet; {source} gives this column"
        return f"changed in {source}, unchanged in {ground.labels[COPIED[kind]]}"
    both = "both changed" if shadow is not ABSENT else "they differ and nothing was agreed on yet"
    winner, loser = ground.labels[WON[kind]], ground.labels[WON[kind].other]
    window = _window_reason(ground, stamps, winner)
    if window:
        return f"{both}; {window}"
    first, second = stamps if WON[kind] is Side.CRM else (stamps[1], stamps[0])
    if first is not None and second is not None and first.low - second.high > ground.tie_seconds:
        return f"{both}; the edit in {winner} is the later one"
    return f"{both}; the edit in {loser} is not later for certain, and {winner} wins ties"


def _window_reason(ground: Ground, stamps: tuple[Stamp | None, Stamp | None], winner: str) -> str:
    """Where the CRM's clock lies to the window between two reads in which a sheet's cell changed (SPEC §2); "" where
    the table told something else."""
    crm, cell = stamps
    if crm is None or cell is None or not (crm.low == crm.high and -math.inf < cell.low < cell.high < math.inf):
        return ""
    said = f"the cell changed between two reads of {ground.labels[Side.TABLE]}, and {ground.labels[Side.CRM]}'s edit is"
    if crm.low - cell.high > ground.tie_seconds:
        return f"{said} after both, so it is the later one"
    if cell.low - crm.high > ground.tie_seconds:
        return f"{said} before both, so the cell's is the later one"
    return f"{said} inside that window: a tie, which {winner} wins"
