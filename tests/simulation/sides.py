"""The two sides of tests/memory.py with what a simulation needs beside: skewed clocks, sweeps page by page, an index
that is late by another time for every version, rows that a sweep leaves out, option ids that are never used twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from zlib import crc32

from syncd.at_rest import Sieve
from syncd.fields import STATUSES
from syncd.model import ABSENT, Raw, Record, Side, Stamp
from syncd.sides import (
    Column,
    Later,
    MadeDeal,
    NewRecord,
    Patch,
    Question,
    ReadResult,
    Refused,
    TableSchema,
    Unread,
    WriteResult,
    Written,
)
from syncd.values import text
from tests.memory import COLUMNS, VOCABULARY, Clock, MemoryCrm, MemoryTable, Row, Version
from tests.simulation.knobs import Knobs

PAGE = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """Writes that a server refuses until a pass: of one record, or naming one field, or all."""

    until: int
    record: str | None
    field: str | None
    everyone: bool


class Trouble:
    """What goes wrong on a side for some passes. `number` is the pass that runs."""

    def __init__(self) -> None:
        self.number = 0
        self.hidden: dict[str, int] = {}  # record -> last pass in which sweeps leave it out
        self.unread: dict[str, int] = {}
        self.ignores: dict[str, int] = {}  # field -> last pass in which writes are taken and thrown away
        self.rules: list[Rule] = []
        self.undated = -1
        self.busy = -1
        self.expired = False  # the cursor of the sweep under way is refused at its next page
        self.calm = False  # faults have stopped

    def on(self, since: Mapping[str, int], what: str) -> bool:
        """Whether it is still so."""
        return since.get(what, -1) >= self.number

    def end(self) -> None:
        """Faults stop."""
        self.__init__()  # type: ignore[misc]
        self.calm = True


def tidied(how: str, name: str, raw: Raw) -> Raw:
    """What a server makes of a value (H49)."""
    if name == "name" and isinstance(raw, str):
        if how == "upper":
            return raw.upper()
        if how == "cut":
            return raw[:24]
        if how == "trim":
            return text(raw)
    if name == "value" and how == "round" and isinstance(raw, int | float):
        return round(raw)
    return raw


def is_lost(knobs: Knobs, trouble: Trouble, record: str, at: float) -> bool:
    """Whether a listing of changes leaves this one out: half of those that do are never listed, half are late."""
    if trouble.calm or not knobs.feed_lost:
        return False
    chance = crc32(f"{record} {at}".encode()) % 1000 / 1000
    if chance < knobs.feed_lost / 2:
        return True
    return crc32(f"{record} {at} {trouble.number}".encode()) % 1000 / 1000 < knobs.feed_lost / 2


def is_doubled(knobs: Knobs, record: str, at: float) -> bool:
    """Whether a listing of changes names this one twice."""
    return crc32(f"twice {record} {at}".encode()) % 1000 / 1000 < knobs.feed_doubled


def pages(ids: Iterable[str]) -> list[list[str]]:
    """Ids by pages; a side without records has one empty page."""
    listed = list(ids)
    return [listed[start : start + PAGE] for start in range(0, len(listed), PAGE)] or [[]]


class SimCrm(MemoryCrm):
    """HighLevel in a simulation."""

    def __init__(self, clock: Clock, knobs: Knobs) -> None:
        super().__init__(clock, VOCABULARY)
        self.knobs, self.trouble, self.latency = knobs, Trouble(), knobs.latency
        self.allow_duplicates = not knobs.one_deal_a_contact
        self.true_offset = knobs.offsets[0]
        self.answers: dict[str, Version] = {}  # deals as the last write left them
        self.clock_offset = knobs.offsets[0] + knobs.errors[0]
        self.own_clocks = frozenset({"stage", "status"}) if knobs.own_clocks else frozenset()
        self.faults.tidy = lambda name, raw: tidied(knobs.tidy_crm, name, raw)

    @property
    def server_now(self) -> float:
        """The server's clock, which is off by another time than the engine believes."""
        return round(self.clock.now - self.true_offset, 3)

    def made_of(self, contact: str) -> list[MadeDeal]:
        """As the index has them."""
        with self.call("made_of", contact):
            shown = [(deal, self.indexed(deal)) for deal, owner in self.contact_of.items() if owner == contact]
            hidden = self.trouble.hidden
            return [
                self._made(deal, version)
                for deal, version in shown
                if version is not None and version.values is not None and not self.trouble.on(hidden, deal)
            ]

    def lag_of(self, deal: str, number: int) -> float:
        """By how much the index is late with this version: another time for each, the same in every run."""
        return self.knobs.lag * (crc32(f"{deal} {number}".encode()) % 1000) / 1000

    def indexed(self, deal: str) -> Version | None:
        """The newest version that the index has."""
        versions, now = self.deals[deal], self.clock.now
        for number in range(len(versions) - 1, -1, -1):
            if versions[number].at + self.lag_of(deal, number) <= now:
                return versions[number]
        return None

    def is_late(self, deal: str) -> bool:
        """Whether the index does not have the newest version."""
        return self.indexed(deal) is not self.deals[deal][-1]

    def sweep(self, sieve: Sieve | None = None) -> Iterator[Record]:
        """Deals as the index has them, page by page; people edit between two pages."""
        with self.call("sweep"):
            shown: dict[str, Record] = {}
            done = False
            while not done:
                shown, done = {}, True
                for page in pages(self.deals):
                    self.calls += 1
                    self.step("crm", "page", "before", page)
                    if self.trouble.expired:
                        self.trouble.expired = done = False
                        break
                    self.clock.advance(self.latency)
                    for deal in page:
                        version = self.indexed(deal)
                        hidden = self.trouble.on(self.trouble.hidden, deal)
                        if version is not None and version.values is not None and not hidden:
                            shown[deal] = self.record(deal, version)
                    self.step("crm", "page", "after", page)
            inside = [record for record in shown.values() if record.outside is None]
            yield from self.looked_at(inside, sieve, self.scope())

    def changed(self, since: float) -> list[Record] | None:
        """What the index says was changed since. Entries get lost, for good or for this pass, and come twice."""
        with self.call("changed"):
            found = []
            for deal in self.deals:
                version = self.indexed(deal)
                at = since - self.clock_offset
                if version is None or version.values is None or version.stamp < at:
                    continue
                if not is_lost(self.knobs, self.trouble, deal, version.stamp):
                    found += [deal] * (1 + is_doubled(self.knobs, deal, version.stamp))
            self.step("crm", "page", "before", found)
            shown = [self.record(deal, version) for deal in found if (version := self.indexed(deal)) is not None]
            self.step("crm", "page", "after", list(dict.fromkeys(found)))
            return [record for record in shown if self.deals[record.id][-1].values is not None or record.title]

    def read(self, ids: Sequence[str], *, needed: Collection[int] | None = None) -> dict[str, ReadResult]:
        """Each deal as it is now, or a refusal."""
        found: dict[str, ReadResult] = {}
        for deal in ids:
            with self.call("read", [deal]):
                versions = self.deals.get(deal)
                if self.trouble.on(self.trouble.unread, deal):
                    found[deal] = Unread("HighLevel refused the read.")
                elif not versions or versions[-1].values is None:
                    found[deal] = ABSENT
                else:
                    found[deal] = self.record(deal, versions[-1])
        return found

    def _write(self, patch: Patch) -> WriteResult:
        """The answer shows the deal as our write left it, not what somebody did while it was on its way."""
        self.answers.pop(patch.id, None)
        result = super()._write(patch)
        return Written(self.record(patch.id, self.answers[patch.id])) if isinstance(result, Written) else result


class SimTable(MemoryTable):
    """Airtable in a simulation."""

    def __init__(self, clock: Clock, knobs: Knobs) -> None:
        columns = {**COLUMNS, "value": replace(COLUMNS["value"], precision=knobs.precision)}
        if not knobs.pipeline_column:
            del columns["pipeline"]
        if knobs.leads:
            columns["email"] = Column("fldEmail", "Email", "text")
        super().__init__(clock, columns)
        self.knobs, self.trouble, self.latency = knobs, Trouble(), knobs.latency
        self.true_offset = knobs.offsets[1]
        self.clock_offset = knobs.offsets[1] + knobs.errors[1]
        self.faults.tidy = lambda name, raw: tidied(knobs.tidy_table, name, raw)
        self.options_made = 0
        self.listed: set[Raw] = set()
        self.linked: Callable[[str], bool] = lambda _row: False
        self.made_for: dict[str, int] = {}
        self.looked: dict[str, tuple[float, dict[str, Raw]]] = {}  # row -> when it was looked at, and what it held
        self.windows: dict[tuple[str, str], Stamp] = {}  # (row, cell) -> between which two looks it changed
        self.answered: dict[tuple[str, str], Stamp] = {}  # (row, field) -> what was told of it last
        self.writing = False
        if knobs.selects:
            for name in ("status", "stage", "pipeline"):
                if name in self.columns:
                    self.columns[name] = replace(self.columns[name], kind="select")
            for label in STATUSES:
                self.stored("status", label)

    @property
    def server_now(self) -> float:
        """As above."""
        return round(self.clock.now - self.true_offset, 3)

    def schema(self) -> TableSchema:
        """As in memory.py; the options that it lists are known by their ids from now on."""
        found = super().schema()
        self.listed = {option for column in found.columns.values() for option in column.options}
        return found

    def record(self, row: str) -> Record:
        """A row as the adapter shows it: an option that was made since the schema was read by its label."""
        if not self.writing:
            self.look(row)
        shown = super().record(row)
        if not self.options_made:
            return shown
        raw: list[Raw] = []
        for f, cell in zip(self.fields, shown.raw, strict=True):
            if f.name == "stage" and isinstance(cell, list):
                raw.append([self._label("pipeline", cell[0]), self._label("stage", cell[1])])
            else:
                raw.append(self._label(f.name, cell))
        return replace(shown, raw=tuple(raw))

    def _label(self, name: str, cell: Raw) -> Raw:
        column = self.columns.get(name)
        if column is None or cell in self.listed or not isinstance(cell, str):
            return cell
        return column.options.get(cell, cell)

    def new_id(self, key: str) -> str:
        """Named after the deal, so that a shorter story speaks of the same rows."""
        self.made_for[key] = number = self.made_for.get(key, 0) + 1
        return f"row-{key}-{number}"

    def stored(self, name: str, raw: Raw) -> Raw:
        """As in memory.py, with an id that no option had before."""
        column = self.columns.get(name)
        if raw is None or raw == "" or column is None or column.kind != "select" or raw in column.options:
            return None if raw == "" else raw
        for option, label in column.options.items():
            if label == raw:
                return option
        self.options_made += 1
        option = f"opt{column.id}{self.options_made}"
        self.columns[name] = replace(column, options={**column.options, option: str(raw)})
        return option

    def put(self, row: str, key: str | None = None, /, **cells: Raw) -> None:
        """As in memory.py; a cell that holds the same afterwards was not modified."""
        with self._same_is_no_edit(self.rows.get(row)):
            super().put(row, key, **cells)

    def _set(self, row: Row, name: str, raw: Raw) -> None:
        """Likewise."""
        with self._same_is_no_edit(row):
            super()._set(row, name, raw)

    @contextmanager
    def _same_is_no_edit(self, row: Row | None) -> Iterator[None]:
        before, edited = (dict(row.cells), dict(row.edited)) if row is not None else ({}, {})
        yield
        if row is not None:
            for column, cell in row.cells.items():
                if before.get(column) != cell:
                    continue
                row.edited.pop(column, None)  # a copy's cells were never edited: its row's age counts for them
                if column in edited:
                    row.edited[column] = edited[column]

    def sweep(self, sieve: Sieve | None = None) -> Iterator[Record]:
        """Rows page by page."""
        with self.call("sweep"):
            shown: dict[str, Record] = {}
            done = False
            while not done:
                shown, done = {}, True
                for page in pages(self.rows):
                    self.calls += 1
                    self.step("table", "page", "before", page)
                    if self.trouble.expired:
                        self.trouble.expired = done = False
                        break
                    self.clock.advance(self.latency)
                    for row in page:
                        # Rows are made with an upsert and no look before it (SPEC §3.5): one with a key of its own
                        # that a sweep left out would be overwritten. Only rows that the engine knows are left out.
                        hidden = self.trouble.on(self.trouble.hidden, row) and self.linked(row)
                        if row in self.rows and not hidden:
                            shown[row] = self.record(row)
                    self.step("table", "page", "after", page)
            yield from self.looked_at(shown.values(), sieve, self.fields)

    def changed(self, since: float) -> list[Record] | None:
        """Rows that were edited since, likewise."""
        with self.call("changed"):
            at = math.floor(since - self.clock_offset)
            found = []
            for row, held in self.rows.items():
                edited = max(held.created, held.keyed, *held.edited.values(), 0.0)
                if edited >= at and not is_lost(self.knobs, self.trouble, row, edited):
                    found += [row] * (1 + is_doubled(self.knobs, row, edited))
            self.step("table", "page", "before", found)
            found = [row for row in found if row in self.rows]
            shown = [self.record(row) for row in found]
            self.step("table", "page", "after", list(dict.fromkeys(found)))
            return shown

    def read(self, ids: Sequence[str], *, needed: Collection[int] | None = None) -> dict[str, ReadResult]:
        """Rows as they are now, or refusals."""
        self.faults.unread = {row for row in ids if self.trouble.on(self.trouble.unread, row)}
        return super().read(ids, needed=needed)

    def edited(self, questions: Sequence[Question]) -> dict[Question, Stamp]:
        """Edit times, unless the table refuses to tell them; of a sheet the two looks between which a cell changed."""
        self.clockless = self.trouble.undated >= self.trouble.number
        found = super().edited(questions)
        if self.knobs.table_clock:
            return found
        for question in found:
            name = self.fields[question.index].name
            parts = ("pipeline", "stage") if name == "stage" else (name,)
            windows = [self.windows[question.id, part] for part in parts if (question.id, part) in self.windows]
            low, high = (
                max((one.low for one in windows), default=-math.inf),
                max((one.high for one in windows), default=-math.inf),
            )
            found[question] = self.answered[question.id, name] = Stamp(low, high)
        return found

    def made_at(self, id: str) -> float | None:
        """A sheet does not say."""
        return super().made_at(id) if self.knobs.table_clock else None

    # --- a sheet's memory (tables/sheet_memory.py) ----------------------------------------------------------------

    def look(self, row: str, written: Collection[str] = ()) -> None:
        """The engine looks at a row; what it wrote itself is no edit."""
        held, now = self.rows[row].cells, self.clock.now
        at, before = self.looked.get(row, (-math.inf, {}))
        for cell, raw in held.items():
            changed = raw not in (None, "") if row not in self.looked else before.get(cell) != raw
            if changed and cell not in written:
                self.windows[row, cell] = Stamp(at, now)
        self.looked[row] = now, dict(held)

    def write(self, patches: Sequence[Patch]) -> list[WriteResult]:
        """As in memory.py, unless nothing can be written now."""
        if self.trouble.busy >= self.trouble.number:
            with self.call("write", list(patches)):
                return [Later("The table is open elsewhere.", everyone=True) for _ in patches]
        with self._our_own():
            results = super().write(patches)
        for patch, result in zip(patches, results, strict=True):
            if isinstance(result, Written) and patch.id in self.rows:
                self.look(patch.id, self._cells_of(self.names(patch.changes)))
        return results

    def upsert(self, records: Sequence[NewRecord]) -> list[WriteResult]:
        """Likewise."""
        if self.trouble.busy >= self.trouble.number:
            with self.call("create", list(records)):
                return [Later("The table is open elsewhere.", everyone=True) for _ in records]
        with self._our_own():
            results = super().upsert(records)
        for new, result in zip(records, results, strict=True):
            if isinstance(result, Written) and result.record.id in self.rows:
                self.look(result.record.id, self._cells_of(self.names(new.values)))
        return results

    @contextmanager
    def _our_own(self) -> Iterator[None]:
        """What is shown meanwhile is our own write."""
        self.writing = True
        try:
            yield
        finally:
            self.writing = False

    @staticmethod
    def _cells_of(names: Mapping[str, Raw]) -> set[str]:
        return {*names, *(("pipeline",) if "stage" in names else ())}


def refusal(side: SimCrm | SimTable, verb: str, record: str, changes: Mapping[str, Raw]) -> Refused | None:
    """What the rules of a side say to a write."""
    trouble = side.trouble
    indexes = {f.name: index for index, f in enumerate(side.fields)}
    for rule in trouble.rules:
        if rule.until < trouble.number:
            continue
        if rule.record is not None and rule.record == record:
            return Refused(f"{side.label} refuses “{record}”.")
        if rule.field is not None and rule.field in changes:
            return Refused(f"Nobody may write {rule.field}.", frozenset({indexes[rule.field]}), everyone=rule.everyone)
        if rule.record is None and rule.field is None and changes:
            return Refused("The token may not write.", everyone=True)
    return None


__all__ = ["PAGE", "Rule", "Side", "SimCrm", "SimTable", "Trouble", "refusal", "tidied"]
