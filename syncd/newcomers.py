"""Rows that have no deal yet (SPEC §5): which can become one, what the others lack, and which may be a deal already.

Pure, like all that decides: a row in, a `NewDeal` or sentences for its Sync cell out.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from syncd.fields import DEFAULT_COLUMNS, OF_CONTACT, PIPELINE
from syncd.judge import Ground, write_raw
from syncd.model import Direction, Raw, Record, Side, Value, pack
from syncd.sides import Person
from syncd.values import Problem, StageCodec, choices, clipped, folded, text

EMAIL: Final = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[^@\s,;]+")
E164: Final = re.compile(r"\+[1-9]\d{6,14}")
PHONE_DIGITS: Final = 9  # so many digits at the end tell two numbers apart, whatever stands for the country
FEWEST_DIGITS: Final = 6
MATCH_FIELDS: Final = ("name", "email", "phone")
CANDIDATES_NAMED: Final = 5  # of one record and one reason; keeps the report linear where a thousand share a name
WHY: Final = "the row has no deal yet"

Planned: TypeAlias = tuple[Value, Raw, Raw]


@dataclass(frozen=True, slots=True)
class NewDeal:
    """A deal to be made for a row: plain data. `values`: index -> canonical, raw in the table, raw for the CRM."""

    row: str
    title: str
    values: Mapping[int, Planned]
    person: Person
    why: str = WHY

    def twin(self, ground: Ground) -> tuple[str, str]:
        """Its pipeline and name: of two alike only one is under way at a time, so that answers can be told apart."""
        values = {ground.fields[at].name: planned[0] or "" for at, planned in self.values.items()}
        return values.get("stage", "").partition(":")[0], folded(values.get("name", ""))

    def text(self) -> str:
        """The same text for the same deal: what a refusal was about."""
        person = (self.person.name, self.person.email, self.person.phone, self.person.company)
        return pack([str(index) for index in self.values], [planned[0] for planned in self.values.values()]) + pack(
            ["person"], [list(person)]
        )


@dataclass(frozen=True, slots=True)
class Lacking:
    """Why a row cannot become a deal yet; `person` is whether somebody has to do something about it."""

    sentences: tuple[str, ...]
    person: bool = True


@dataclass(frozen=True, slots=True)
class Match:
    """A row without an id and a deal without a row that may be the same. `by` names what is equal; `alone` is whether
    neither has another candidate, so that an approval can link them."""

    row: str
    deal: str
    title: str
    by: tuple[str, ...]
    alone: bool = True


# --- a row that becomes a deal ---------------------------------------------------------------------------------------


class _Row:
    """The cells of a row by field name."""

    def __init__(self, ground: Ground, row: Record) -> None:
        self.ground, self.row = ground, row
        self.index = {f.name: at for at, f in enumerate(ground.fields)}
        self.sentences: list[str] = []
        self.person = False

    def column(self, name: str, part: int = -1) -> str:
        """The column's name, as people know it."""
        at = self.index.get(name)
        return self.ground.fields[at].columns[part] if at is not None else DEFAULT_COLUMNS[name][0]

    def has(self, name: str) -> bool:
        """Whether the table has such a column, and this row's cell could be read."""
        return name in self.index and self.index[name] not in self.row.lacks

    def raw(self, name: str) -> Raw:
        """What the cell holds; None without such a column."""
        return self.row.raw[self.index[name]] if self.has(name) else None

    def text(self, name: str) -> str:
        """The cell as text, "" where it is blank."""
        if not self.has(name):
            return ""
        reading = self.ground.codecs[self.index[name]].from_table(self.raw(name), None)
        return reading if isinstance(reading, str) else ""

    def complain(self, problem: Problem | str) -> None:
        """Notes why there can be no deal yet."""
        problem = Problem(problem) if isinstance(problem, str) else problem
        self.sentences.append(problem.sentence)
        self.person = self.person or problem.person


def read_row(ground: Ground, row: Record) -> NewDeal | Lacking:
    """The deal that a row without one stands for, or what keeps it from becoming one (SPEC §5)."""
    cells = _Row(ground, row)
    for at in sorted(row.lacks):
        why = "is a formula; type the value itself" if at in row.formulas else "of this row cannot be read"
        cells.complain(f"“{ground.fields[at].columns[-1]}” {why}.")
    _complain_of_missing(cells)
    person = _person(cells)
    values: dict[int, Planned] = {}
    for at, (field, codec) in enumerate(zip(ground.fields, ground.codecs, strict=True)):
        if at in row.lacks or field.name in OF_CONTACT:
            continue
        reading = _reading(cells, field.name, at)
        if isinstance(reading, Problem):
            cells.complain(reading)
        elif reading is not None:
            values[at] = (reading, row.raw[at], write_raw(codec, Side.CRM, reading))
    if cells.sentences:
        return Lacking(tuple(cells.sentences), cells.person)
    return NewDeal(row.id, cells.text("name"), values, person)


def _complain_of_missing(cells: _Row) -> None:
    """A deal needs a name, and a contact that can be found or made."""
    needs, lost = [], ""
    if not cells.text("name"):
        needs.append(f"“{cells.column('name')}”")
    if not cells.text("email") and not cells.text("phone"):
        needs.append(f"“{cells.column('email')}” or “{cells.column('phone')}”")
        lost = "" if {"email", "phone"} & cells.index.keys() else " (the table has no such column)"
    if needs:
        cells.complain(f"To become a deal, this row needs {', and '.join(needs)}{lost}.")


def _person(cells: _Row) -> Person:
    """Whom the deal is for. A number that is not international is not guessed at: beside an address it is left out."""
    email, phone = cells.text("email"), cells.text("phone")
    if email and not EMAIL.fullmatch(email):
        cells.complain(f"“{clipped(email)}” is no e-mail address.")
    number = international(phone)
    if phone and not number and not email:
        cells.complain(
            f"“{clipped(phone)}” is no international number. Write it like +15551234567, or fill in "
            f"“{cells.column('email')}”."
        )
    return Person(cells.text("contact"), email, number, cells.text("company"))


def international(phone: str) -> str:
    """A number as E.164 where it was typed like one (+1 555 123-4567), else ""."""
    plain = re.sub(r"[\s().\-/\u00a0]", "", phone)
    return plain if E164.fullmatch(plain) else ""


def _reading(cells: _Row, name: str, at: int) -> Value | Problem:
    """The value that the deal shall have; None where it is left to HighLevel."""
    if name == "stage":
        return _stage(cells, at)
    field, codec, raw = cells.ground.fields[at], cells.ground.codecs[at], cells.row.raw[at]
    if codec.is_blank(raw):
        return "open" if name == "status" else None
    if field.direction not in (Direction.BOTH, Direction.TO_CRM) and name not in ("name", "status"):
        return None  # that column's edits do not travel to the CRM
    return codec.from_table(raw, None)


def _stage(cells: _Row, at: int) -> Value | Problem:
    """Pipeline and stage: the only synced pipeline where none is named, its first stage where none is."""
    codec, raw = cells.ground.codecs[at], cells.row.raw[at]
    assert isinstance(codec, StageCodec)
    synced = [pipeline for pipeline in codec.pipelines if pipeline.synced]
    listed = choices(pipeline.name for pipeline in synced)
    given = raw[0] if isinstance(raw, list) and len(raw) == 2 and codec.pipeline_column is not None else None
    if not folded(given) and len(synced) != 1:
        if codec.pipeline_column is None:
            column = DEFAULT_COLUMNS[PIPELINE][0]
            return Problem(f"The table has no column “{column}”, and a new deal can be in any of: {listed}.")
        return Problem(f"Choose “{codec.pipeline_column.name}”: {listed}.")
    known = f"{synced[0].id}:" if len(synced) == 1 and not folded(given) else None
    pipeline = codec.pipeline(given, known)
    if isinstance(pipeline, Problem):
        return pipeline
    if not pipeline.synced:
        return Problem(f"Pipeline “{text(pipeline.name)}” is not synced. Choose one of: {listed}.")
    if not codec.is_blank(raw):
        return codec.from_table(raw, f"{pipeline.id}:")
    if not pipeline.stages:
        return Problem(f"Pipeline “{text(pipeline.name)}” has no stage yet.")
    return f"{pipeline.id}:{pipeline.stages[0].id}"


# --- rows and deals that may be the same -----------------------------------------------------------------------------


def match_key(name: str, value: str) -> str:
    """The form in which names, addresses and numbers of rows and deals are compared; "" where they say nothing."""
    if name == "phone":
        digits = re.sub(r"\D", "", value)
        return digits[-PHONE_DIGITS:] if len(digits) >= FEWEST_DIGITS else ""
    return folded(value)


def _places(ground: Ground, record: Record, side: Side) -> tuple[tuple[str, str], ...]:
    found = []
    for at, field in enumerate(ground.fields):
        if field.name not in MATCH_FIELDS or at in record.lacks:
            continue
        codec, raw = ground.codecs[at], record.raw[at]
        reading = codec.from_crm(raw) if side is Side.CRM else codec.from_table(raw, None)
        if isinstance(reading, str) and (key := match_key(field.name, reading)):
            found.append((field.name, key))
    return tuple(found)


def _grouped(places: Mapping[str, tuple[tuple[str, str], ...]]) -> Mapping[tuple[str, str], list[str]]:
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for id, own in places.items():
        for place in own:
            groups[place].append(id)
    return groups


def possible_matches(
    ground: Ground, rows: Sequence[Record], deals: Sequence[Record], refused: Collection[tuple[str, str]] = frozenset()
) -> list[Match]:
    """Rows and deals with an equal name, address or number, but for the (row, deal) pairs in `refused`.

    Every row and every deal that has a candidate is in some `Match`; of many candidates only some are named.
    """
    if not rows or not deals:
        return []
    titles = {row.id: row.title for row in rows}
    of_rows = {row.id: _places(ground, row, Side.TABLE) for row in sorted(rows, key=lambda row: row.id)}
    of_deals = {deal.id: _places(ground, deal, Side.CRM) for deal in sorted(deals, key=lambda deal: deal.id)}
    in_rows, in_deals = _grouped(of_rows), _grouped(of_deals)
    pairs: set[tuple[str, str]] = set()
    for row, own in of_rows.items():
        for place in own:
            free = ((row, deal) for deal in in_deals.get(place, ()) if (row, deal) not in refused)
            pairs.update(islice(free, CANDIDATES_NAMED))
    for deal, own in of_deals.items():
        for place in own:
            free = ((row, deal) for row in in_rows.get(place, ()) if (row, deal) not in refused)
            pairs.update(islice(free, CANDIDATES_NAMED))
    per_row, per_deal = Counter(row for row, _ in pairs), Counter(deal for _, deal in pairs)
    found = []
    for row, deal in sorted(pairs):
        equal = {name for name, _ in set(of_rows[row]) & set(of_deals[deal])}
        by = tuple(name for name in MATCH_FIELDS if name in equal)
        found.append(Match(row, deal, titles[row], by, per_row[row] == per_deal[deal] == 1))
    return found
