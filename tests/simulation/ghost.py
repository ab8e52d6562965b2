"""What the harness knows and the engine does not: every value that a field ever held, who put it there and when, and
what both sides truly held when the engine last looked.

Values are canonical. A cell means what it meant when it was typed or written: a stage that is renamed afterwards does
not change it (SPEC §1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from syncd.fields import Field
from syncd.judge import unchanged
from syncd.model import Link, LinkState, Raw, Side, Value
from syncd.sides import Vocabulary
from syncd.values import Codec, Names, Problem, codec_for
from tests.simulation.sides import SimCrm, SimTable
from tests.simulation.store import SimStore

PERSON: Final = "person"
ENGINE: Final = "engine"
NOBODY: Final = "nobody"


class Broken(AssertionError):
    """A property of SPEC §6 does not hold. `name` is P1 … P10."""

    def __init__(self, name: str, story: str) -> None:
        super().__init__(f"{name}: {story}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Held:
    """What one field of one record holds: since when (`at`, true seconds; `tick`, the harness's order), by whom."""

    raw: Raw
    value: Value | Problem
    by: str
    at: float
    tick: int


@dataclass(frozen=True, slots=True)
class Sight:
    """What a record truly held when the engine looked at it; `held` is None where it was not there. `call` counts
    remote calls."""

    tick: int
    call: int
    number: int
    at: float
    by_id: bool
    held: Mapping[str, Held] | None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """The engine's last write of a field that took effect, and for which deal: a row may be given to another one."""

    tick: int
    at: float
    value: Value
    deal: str


@dataclass(slots=True)
class Ghost:
    """The history of a run. `tick` is moved by the harness."""

    crm: SimCrm
    table: SimTable
    fields: tuple[Field, ...]
    store: SimStore
    tick: int = 0
    number: int = 0  # of the pass that runs
    calls: list[tuple[Side, str]] = field(default_factory=list)
    held: dict[Side, dict[str, dict[str, Held]]] = field(default_factory=lambda: {Side.CRM: {}, Side.TABLE: {}})
    ever: dict[tuple[Side, str, str], set[Value]] = field(default_factory=dict)
    raws: dict[tuple[Side, str, str], list[Raw]] = field(default_factory=dict)
    sights: dict[tuple[Side, str], Sight] = field(default_factory=dict)  # the last one by id
    swept: dict[tuple[Side, str], Sight] = field(default_factory=dict)  # the last one in a list
    keyed: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # row -> (key, by whom, tick)
    shadow: dict[str, dict[str, Value]] = field(default_factory=dict)
    agreed_at: dict[tuple[str, str], int] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    effects: dict[tuple[Side, str, str], Effect] = field(default_factory=dict)
    windows: set[tuple[Side, str, str]] = field(default_factory=set)
    made: dict[str, str] = field(default_factory=dict)  # row -> the deal for which the engine made it
    states: dict[str, LinkState] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)  # deal -> the last pass in which search showed it as it was
    misdated: set[str] = field(default_factory=set)  # deals edited between the engine's read and its write
    touched_at: dict[str, float] = field(default_factory=dict)  # when people last changed anything in a deal
    gone: dict[tuple[Side, str], dict[str, Held]] = field(default_factory=dict)  # as it was when it was deleted
    dropped: dict[Side, set[str]] = field(default_factory=lambda: {Side.CRM: set(), Side.TABLE: set()})
    new_deals: dict[str, list[str]] = field(default_factory=dict)  # row -> the deals that the engine made for it
    respelled: set[tuple[Side, str, str]] = field(default_factory=set)  # typed once more, with the same meaning
    resumed: dict[str, float] = field(default_factory=dict)  # deal -> when a person let it go on
    restored: bool = False  # an old database was put back
    copied_at: float = math.inf  # when it was copied, and when it was put back last:
    restored_at: float = -math.inf  # of what was written between the two nothing is known any more
    approved: set[tuple[Side, str, str, Value, Value]] = field(default_factory=set)  # (side, field, deal, old, new)
    total: int = 0  # links, as the guards counted them last
    vocabulary_read: Vocabulary = field(default_factory=Vocabulary)  # as the engine knows it,
    vocabulary_read_at: float = -math.inf  # and since when
    _codecs: dict[str, Codec] = field(default_factory=dict)
    _codecs_for: tuple[object, ...] = ()
    _options: object = None

    # --- meaning -------------------------------------------------------------------------------------------------

    def codec(self, name: str) -> Codec:
        """The codec of a field, for names as they are now."""
        now = (self.crm.vocabulary, *self.table.columns.values(), self._options)
        if len(now) != len(self._codecs_for) or any(a is not b for a, b in zip(now, self._codecs_for, strict=True)):
            self._codecs_for = now
            options: Mapping[str, Mapping[str, str]] = self._options or {}  # type: ignore[assignment]
            names = {
                column: Names(options.get(kept.id, {})) for column, kept in self.table.columns.items() if kept.options
            }
            self._codecs = {
                f.name: codec_for(f.name, self.table.columns, self.crm.vocabulary, names) for f in self.fields
            }
        return self._codecs[name]

    def codec_read(self, name: str) -> Codec:
        """The codec of a field for the names that the engine has read."""
        options: Mapping[str, Mapping[str, str]] = self._options or {}  # type: ignore[assignment]
        names = {column: Names(options.get(kept.id, {})) for column, kept in self.table.columns.items() if kept.options}
        return codec_for(name, self.table.columns, self.vocabulary_read, names)

    def options_met(self) -> None:
        """The engine has read the schema: what options were called when it first met them is a fact now."""
        if self.table.options_made:
            self._options = self.store.fact("options")

    def first_met(self, column: str, raw: Raw) -> Raw:
        """What an option was called when the engine first met it."""
        options: Mapping[str, Mapping[str, str]] = self._options or {}  # type: ignore[assignment]
        met = options.get(self.table.columns[column].id, {}) if column in self.table.columns else {}
        return met.get(raw, raw) if isinstance(raw, str) else raw

    def cell(self, row: str, name: str) -> Raw:
        """A cell's raw value; both cells of a stage."""
        cells = self.table.rows[row].cells
        return [cells.get("pipeline"), cells.get("stage")] if name == "stage" else cells.get(name)

    def raw(self, side: Side, record: str, name: str) -> Raw:
        """What a side truly holds now."""
        if side is Side.TABLE:
            return self.cell(record, name)
        values = self.crm.deals[record][-1].values
        return None if values is None else values.get(name)

    def reading(self, side: Side, record: str, name: str, raw: Raw) -> Value | Problem:
        """What a raw value means now; a cell that holds what was agreed on means that, whatever names say (SPEC §1)."""
        if side is Side.CRM:
            return self.codec(name).from_crm(raw)
        deal = self.table.rows[record].key if record in self.table.rows else None
        link = self.store.link(deal) if deal and name in ("stage", "status", "owner") else None
        agreed = link.agreed().get(name) if link is not None else None
        if agreed is not None and unchanged(self.codec(name), agreed.table, raw):
            return agreed.value
        return self.codec(name).from_table(raw, self.known_stage(deal))

    def known_stage(self, deal: str | None) -> Value:
        """The stage that was agreed on, else the deal's."""
        agreed = self.shadow.get(deal or "", {}).get("stage")
        if agreed is not None:
            return agreed
        values = self.crm.deals[deal][-1].values if deal in self.crm.deals else None
        found = self.codec("stage").from_crm(values.get("stage")) if values else None
        return found if isinstance(found, str) else None

    def undated_lately(self) -> bool:
        """Whether the table did not tell edit times in this pass."""
        return self.table.trouble.undated >= self.number

    def alive(self, side: Side, record: str) -> bool:
        """Whether a record is truly there."""
        if side is Side.TABLE:
            return record in self.table.rows
        return record in self.crm.deals and self.crm.deals[record][-1].values is not None

    # --- what happens --------------------------------------------------------------------------------------------

    def changed(self, side: Side, record: str, by: str) -> None:
        """A record may have changed: whatever holds another raw value than before was put there by `by`."""
        if side is Side.CRM and by == PERSON:
            self.touched_at[record] = self.crm.clock.now
        if not self.alive(side, record):
            if record in self.held[side]:
                self.gone[side, record] = self.held[side].pop(record)
            self.dropped[side].add(record)
            self.keyed.pop(record, None)
            return
        old = self.held[side].get(record, {})
        if side is Side.TABLE and not old:
            old = self.gone.get((side, record), {})  # taken back from the bin: its cells were edited before
        fresh = dict(old)
        for name in (f.name for f in self.fields):
            raw, before = self.raw(side, record, name), old.get(name)
            if before is not None and before.raw == raw:
                continue
            value = self.reading(side, record, name, raw)
            if before is not None and before.value == value and before.by == by:
                # Another spelling of the same value is no edit (SPEC §1), but a cell's modified time moves with it.
                fresh[name] = replace(before, raw=raw, at=self.crm.clock.now if side is Side.TABLE else before.at)
                self.respelled.add((side, record, name))
                continue
            who = NOBODY if before is None and raw in (None, "", [None, None]) else by
            fresh[name] = Held(raw, value, who, self.crm.clock.now, self.tick)
            self.note(side, record, name, value)
            self.raws.setdefault((side, record, name), []).append(raw)
        self.held[side][record] = fresh
        if side is Side.TABLE:
            key = self.table.rows[record].key or ""
            if self.keyed.get(record, ("", "", 0))[0] != key or record not in self.keyed:
                self.keyed[record] = (key, by, self.tick)

    def note(self, side: Side, record: str, name: str, value: Value | Problem) -> None:
        """This value was held there, or written there."""
        if not isinstance(value, Problem):
            self.ever.setdefault((side, record, name), set()).add(value)

    def retold(self, side: Side, records: Iterable[str]) -> None:
        """Names changed: what nobody could read may have a meaning now."""
        for record in records:
            for name, held in self.held[side].get(record, {}).items():
                self.note(side, record, name, self.reading(side, record, name, held.raw))

    def look(self, side: Side, records: Iterable[str], *, by_id: bool = False, listed: bool = False) -> None:
        """The engine was shown these records: by their ids, or because it asked which there are."""
        for record in records:
            held = self.held[side].get(record) if self.alive(side, record) else None
            key = self.table.rows[record].key if side is Side.TABLE and held is not None else None
            sight = Sight(self.tick, len(self.calls), self.number, self.crm.clock.now, by_id, held, key)
            if listed:
                self.swept[side, record] = sight
            if by_id:
                self.sights[side, record] = sight

    def linked(self, link: Link) -> dict[str, Value]:
        """The shadow's values."""
        return {name: agreed.value for name, agreed in link.agreed().items()}
