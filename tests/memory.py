"""Two in-memory sides, a clock that only moves when told, and a world that joins them to the engine and a real store.

Deterministic and single-threaded. A side answers as SPEC and sides.py say, and can be told to lag, fail, refuse or lose
an answer. Every remote call and every commit passes through `World.step`, where a test can look, edit or crash.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from syncd.at_rest import Familiar, Sieve
from syncd.fields import DEFAULT_COLUMNS, Field
from syncd.incremental import CRM_OVERLAP_SECONDS, Memory
from syncd.model import ABSENT, Direction, Missing, Raw, Record, Side, Stamp
from syncd.opened import Pair
from syncd.policy import Limits, Policy
from syncd.reconcile import PassResult, run_pass
from syncd.sides import (
    Column,
    Lost,
    MadeDeal,
    NewRecord,
    Patch,
    Person,
    Pipeline,
    Question,
    ReadResult,
    Refused,
    SideDown,
    Stage,
    TableSchema,
    TableSide,
    TryAgain,
    Unread,
    User,
    Vocabulary,
    WriteResult,
    Written,
)
from syncd.store import Store
from syncd.values import Names, Problem, codec_for, text

START = 1_700_000_000.0
NO_LIMITS = Limits(10**9, 1.0, 10**9, 10**9, 1.0)  # for stories that are about something else than mass changes
PAGE = 100
SALES = Pipeline("p1", "Sales", (Stage("s1", "New"), Stage("s2", "Qualified"), Stage("s3", "Closed  Won ")))
SERVICE = Pipeline("p2", "Service", (Stage("t1", "New"), Stage("t2", "Done")))
ARCHIVE = Pipeline("p3", "Archive", (Stage("a1", "Kept"),), synced=False)
VOCABULARY = Vocabulary((SALES, SERVICE, ARCHIVE), (User("u1", "Ann"), User("u2", "Bob", "bob@example.com")))
FIELD_NAMES = ("name", "stage", "status", "value", "owner", "source")
COLUMNS = {
    "name": Column("fldName", "Name", "text"),
    "pipeline": Column("fldPipeline", "Pipeline", "text"),
    "stage": Column("fldStage", "Stage", "text"),
    "status": Column("fldStatus", "Status", "text"),
    "value": Column("fldValue", "Value", "number", precision=2),
    "owner": Column("fldOwner", "Owner", "text"),
    "source": Column("fldSource", "Source", "text"),
}


class Crash(BaseException):
    """The process dies here; no `except Exception` may survive it."""


Step = Callable[[str, str, str, object], None]  # who ("crm", "table", "store"), verb, "before" or "after", what


def field_of(name: str, direction: Direction | None = None) -> Field:
    """A field with its default column."""
    column, usual = DEFAULT_COLUMNS[name]
    columns = (DEFAULT_COLUMNS["pipeline"][0], column) if name == "stage" else (column,)
    return Field(name, columns, usual if direction is None else direction)


@dataclass
class Clock:
    """Seconds since 1970 that pass only when somebody says so."""

    now: float = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += seconds


@dataclass(frozen=True)
class LoggedWrite:
    """One write that took effect: what each named field held before and after."""

    side: Side
    verb: str  # "update", "create"
    id: str
    changes: Mapping[str, tuple[Raw, Raw]]


def _quiet(_who: str, _verb: str, _phase: str, _what: object) -> None:
    """A step that does nothing."""


@dataclass
class Faults:
    """What goes wrong on a side. `lost` is used up from its front, one entry a write: "before", "after" or ""."""

    unread: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    refuse: Callable[[str, str, Mapping[str, Raw]], Refused | None] = lambda _verb, _id, _changes: None
    down_from: int | None = None  # SideDown from this call on, counted like `calls`
    down_on: frozenset[str] = frozenset()  # verbs that raise SideDown
    ignores: set[str] = field(default_factory=set)  # fields whose new value is taken and thrown away
    tidy: Callable[[str, Raw], Raw] = lambda _name, raw: raw
    waits: list[float] = field(default_factory=list)  # used up by writes that would have had to wait so long


class _MemorySide:
    """What both sides have in common: calls, faults, the log of writes."""

    side: Side
    label: str
    write_batch: int
    read_batch: int

    def __init__(self, clock: Clock, latency: float = 0.01) -> None:
        self.clock, self.latency = clock, latency
        self.clock_offset = 0.0
        self.calls = 0
        self.faults = Faults()
        self.step: Step = _quiet
        self.fields: tuple[Field, ...] = ()
        self.log: list[LoggedWrite] = []
        self.made = 0
        self.reads: list[str] = []  # ids read one by one, in order
        self.familiar = Familiar()
        self.knew = 0  # answers that were known
        self.ways = 0  # how often way was made for a read and a write

    @property
    def server_now(self) -> float:
        """The server's clock, in whole milliseconds."""
        return round(self.clock.now - self.clock_offset, 3)

    def use(self, fields: Sequence[Field]) -> None:
        """The order of raw values from now on."""
        self.fields = tuple(fields)

    def names(self, changes: Mapping[int, Raw]) -> dict[str, Raw]:
        """Changes by field name."""
        return {self.fields[index].name: raw for index, raw in changes.items()}

    @contextmanager
    def call(self, verb: str, what: object = None, requests: int = 1) -> Iterator[None]:
        """One verb: counted, timed, and seen by `step` on both sides of its effect."""
        self.step(self.side.value, verb, "before", what)
        for _ in range(requests):
            self.calls += 1
            self.clock.advance(self.latency)
            if verb in self.faults.down_on or (
                self.faults.down_from is not None and self.calls >= self.faults.down_from
            ):
                raise SideDown(f"{self.label} does not answer.")
        yield
        self.step(self.side.value, verb, "after", what)

    def make_way(self) -> None:
        """Whatever has to be waited for is waited for now."""
        self.ways += 1

    def may_wait(self) -> None:
        """A write, or a deletion, that would have had to wait."""
        if self.faults.waits:
            self.clock.advance(self.faults.waits.pop(0))
            raise TryAgain(f"{self.label} gets too many requests (429).")

    def next_loss(self) -> str:
        """Whether the answer of this write is lost, and when."""
        return self.faults.lost.pop(0) if self.faults.lost else ""

    def updates(self) -> list[LoggedWrite]:
        """Writes to existing records that named a field (not only the key or Sync cell)."""
        return [write for write in self.log if write.verb == "update" and set(write.changes) - {"id", "sync"}]

    def messages(self) -> list[tuple[str, Raw]]:
        """(row, text) of every write to a Sync cell."""
        return [(write.id, write.changes["sync"][1]) for write in self.log if "sync" in write.changes]

    def creates(self) -> list[str]:
        """Ids of records that were made."""
        return [write.id for write in self.log if write.verb == "create"]

    def looked_at(self, shown: Iterable[Record], sieve: Sieve | None, columns: object) -> Iterator[Record]:
        """What has to be looked at; the real sides leave out answers that they know, too."""
        if sieve is not None:
            self.familiar.lend(sieve, columns)
        for record in shown:
            deal, row = (record.id, None) if self.side is Side.CRM else (record.partner, record.id)
            told = [record.id, record.raw, record.stamp, record.partner, record.message, record.title]
            if sieve is not None and sieve.knows(deal, row, [*told, record.outside, sorted(record.lacks)]):
                self.knew += 1
            else:
                yield record


# --- the CRM ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Version:
    """One state of a deal: `values` is None once it was deleted. `clocks` are the fields' own edit times."""

    at: float
    values: Mapping[str, Raw] | None
    stamp: float = 0.0
    clocks: Mapping[str, float] = field(default_factory=dict)


class MemoryCrm(_MemorySide):
    """Deals with all their versions: search may lag behind, a read by id is current. A named field fires a workflow."""

    side = Side.CRM
    label = "HighLevel"
    write_batch = 1
    read_batch = 1
    identity = "loc1"

    def __init__(self, clock: Clock, vocabulary: Vocabulary = VOCABULARY) -> None:
        super().__init__(clock)
        self.vocabulary = vocabulary
        self.deals: dict[str, list[Version]] = {}
        self.lag = 0.0  # seconds that search is behind
        self.frozen_at = math.inf  # search shows nothing that happened after this moment
        self.hidden: set[str] = set()  # deals that search does not show
        self.unread_as = Unread("HighLevel refused the read.")  # what a refused read is told as
        self.triggers: list[tuple[str, str]] = []
        self.own_clocks = frozenset({"stage", "status"})  # fields with a clock of their own
        self.clockless = False  # answers carry no times at all
        self.filters_dates = True  # whether search can be asked for what was edited since
        self.contacts: dict[str, Person] = {}
        self.contact_of: dict[str, str] = {}
        self.allow_duplicates = True  # whether a contact may have two deals in one pipeline

    # people

    def put(self, deal: str, **values: Raw) -> None:
        """A person makes a deal or edits fields of one."""
        versions = self.deals.setdefault(deal, [])
        before = versions[-1] if versions and versions[-1].values is not None else None
        held = dict(before.values or {}) if before else {}
        clocks = dict(before.clocks) if before else {}
        now = self.server_now
        for name, raw in values.items():
            if not before or held.get(name) != raw:
                clocks[name] = now
            held[name] = raw
        versions.append(Version(self.clock.now, held, now, clocks))

    def drop(self, deal: str) -> None:
        """A person deletes a deal."""
        self.deals[deal].append(Version(self.clock.now, None))

    def now(self, deal: str) -> Mapping[str, Raw] | None:
        """What a deal holds; None where it is deleted."""
        return self.deals[deal][-1].values

    # the side

    def schema(self) -> Vocabulary:
        """Names as they are now."""
        with self.call("schema"):
            return self.vocabulary

    def sweep(self, sieve: Sieve | None = None) -> Iterator[Record]:
        """Deals as the search index has them."""
        with self.call("sweep", None, max(1, math.ceil(len(self.deals) / PAGE))):
            shown, newest = [], min(self.clock.now - self.lag, self.frozen_at)
            for deal, versions in self.deals.items():
                indexed = [version for version in versions if version.at <= newest]
                if deal in self.hidden or not indexed or indexed[-1].values is None:
                    continue
                record = self.record(deal, indexed[-1])
                if record.outside is None:
                    shown.append(record)
            yield from self.looked_at(shown, sieve, self.scope())

    def scope(self) -> object:
        """What a deal's reading depends on."""
        return self.fields, [p.id for p in self.vocabulary.pipelines if p.synced]

    def changed(self, since: float) -> list[Record] | None:
        """Deals that the index shows with a newer stamp, also those of other pipelines."""
        with self.call("changed"):
            if not self.filters_dates:
                return None
            shown, newest = [], min(self.clock.now - self.lag, self.frozen_at)
            for deal, versions in self.deals.items():
                indexed = [version for version in versions if version.at <= newest]
                if deal in self.hidden or not indexed or indexed[-1].values is None:
                    continue
                if indexed[-1].stamp >= since - self.clock_offset:
                    shown.append(self.record(deal, indexed[-1]))
            return shown

    def record(self, deal: str, version: Version) -> Record:
        """A version as the engine sees it."""
        values = version.values or {}
        raw = tuple(values.get(f.name) for f in self.fields)
        clocks = tuple(version.clocks.get(f.name) if f.name in self.own_clocks else version.stamp for f in self.fields)
        stage = values.get("stage")
        pipeline = str(stage[0]) if isinstance(stage, list) and stage else ""
        outside = None if pipeline in {p.id for p in self.vocabulary.pipelines if p.synced} else pipeline
        times: dict[str, object] = {} if self.clockless else {"stamp": version.stamp, "clocks": clocks}
        made = Record(deal, raw, title=str(values.get("name") or ""), outside=outside)
        return replace(made, **times)  # type: ignore[arg-type]

    def read(self, ids: Sequence[str], *, needed: Collection[int] | None = None) -> dict[str, ReadResult]:
        """Each deal as it is now."""
        found: dict[str, ReadResult] = {}
        for deal in ids:
            with self.call("read", [deal]):
                self.reads.append(deal)
                versions = self.deals.get(deal)
                if deal in self.faults.unread:
                    found[deal] = self.unread_as
                elif not versions or versions[-1].values is None:
                    found[deal] = ABSENT
                else:
                    found[deal] = self.record(deal, versions[-1])
        return found

    def write(self, patches: Sequence[Patch]) -> list[WriteResult]:
        """One PUT a patch."""
        assert len(patches) <= self.write_batch
        return [self._write(patch) for patch in patches]

    def _write(self, patch: Patch) -> WriteResult:
        assert patch.changes, "an empty patch"
        assert patch.message is None, "a deal has no Sync cell"
        assert patch.partner is None, "a deal has no key cell"
        changes = self.names(patch.changes)
        with self.call("write", [patch]):
            self.may_wait()
            loss = self.next_loss()
            refused = self.faults.refuse("write", patch.id, changes)
            versions = self.deals.get(patch.id)
            if loss == "before":
                return Lost("The answer was lost.")
            if refused is not None:
                return refused
            if not versions or versions[-1].values is None:
                return Refused("This deal is not there.")
            before = versions[-1].values
            self.triggers += [(patch.id, name) for name in changes]
            held = {n: self.faults.tidy(n, raw) for n, raw in changes.items() if n not in self.faults.ignores}
            logged = {name: (before.get(name), raw) for name, raw in changes.items()}
            self.log.append(LoggedWrite(self.side, "update", patch.id, logged))
            self.put(patch.id, **held)
        return Lost("The answer was lost.") if loss else Written(self.record(patch.id, versions[-1]))

    def contact_for(self, person: Person) -> str | Refused | Lost:
        """By address, else by number, else a new one."""
        with self.call("contact", person):
            for key in ("email", "phone"):
                wanted = getattr(person, key).casefold()
                found = [id for id, one in self.contacts.items() if wanted and getattr(one, key).casefold() == wanted]
                if found:
                    return found[0]
            loss = self.next_loss()
            refused = self.faults.refuse("contact", person.email, {})
            if loss == "before":
                return Lost("The answer was lost.")
            if refused is not None:
                return refused
            contact = f"contact{len(self.contacts) + 1}"
            self.contacts[contact] = person
        return Lost("The answer was lost.") if loss else contact

    def create_deal(self, contact: str, values: Mapping[int, Raw]) -> WriteResult:
        """One POST: a deal and the start of its workflows."""
        assert contact in self.contacts, "a deal for nobody"
        changes = self.names(values)
        with self.call("create", changes):
            self.may_wait()
            loss = self.next_loss()
            refused = self.faults.refuse("create", contact, changes)
            if loss == "before":
                return Lost("The answer was lost.")
            if refused is not None:
                return refused
            if not self.has_stage(changes["stage"]):
                return Refused("There is no such stage.")
            in_the_way = None if self.allow_duplicates else self.deal_of(contact, changes["stage"])
            if in_the_way is not None:
                return Refused(f"There is one already: {in_the_way}.", existing=in_the_way)
            self.made += 1
            deal = f"dealNew{self.made}"
            ignored = self.faults.ignores - {"name", "stage", "status"}  # there is no deal without these
            held = {n: self.faults.tidy(n, raw) for n, raw in changes.items() if n not in ignored}
            self.person_makes(deal, contact, **held)
            self.triggers.append((deal, "created"))
            self.log.append(LoggedWrite(self.side, "create", deal, {n: (None, raw) for n, raw in changes.items()}))
        return Lost("The answer was lost.") if loss else Written(self.record(deal, self.deals[deal][-1]), made=True)

    def person_makes(self, deal: str, contact: str, **values: Raw) -> None:
        """A deal comes to be, for a contact that is there."""
        person = self.contacts[contact]
        shown = {"contact": person.name, "email": person.email, "phone": person.phone, "company": person.company}
        self.contact_of[deal] = contact
        self.put(deal, **{"value": 0, **{name: text or None for name, text in shown.items()}, **values})

    def has_stage(self, raw: Raw) -> bool:
        """Whether a stage is there, as HighLevel looks before it makes a deal."""
        return any([p.id, stage.id] == raw for p in self.vocabulary.pipelines for stage in p.stages)

    def deal_of(self, contact: str, stage: Raw) -> str | None:
        """A deal that the contact has in the pipeline of this stage."""
        for deal, owner in self.contact_of.items():
            held = (self.now(deal) or {}).get("stage")
            if owner == contact and isinstance(held, list) and isinstance(stage, list) and held[0] == stage[0]:
                return deal
        return None

    def made_of(self, contact: str) -> list[MadeDeal]:
        """As far as search shows them."""
        with self.call("made_of", contact):
            newest = min(self.clock.now - self.lag, self.frozen_at)
            found = []
            for deal, owner in self.contact_of.items():
                indexed = [version for version in self.deals[deal] if version.at <= newest]
                if owner == contact and deal not in self.hidden and indexed and indexed[-1].values is not None:
                    found.append(self._made(deal, indexed[-1]))
            return found

    def made_deal(self, id: str) -> MadeDeal | None:
        """One deal as it is now."""
        with self.call("made_deal", id):
            versions = self.deals.get(id)
            return self._made(id, versions[-1]) if versions and versions[-1].values is not None else None

    def _made(self, deal: str, version: Version) -> MadeDeal:
        stage = (version.values or {})["stage"]
        assert isinstance(stage, list)
        created = self.deals[deal][0].stamp
        return MadeDeal(self.record(deal, version), str(stage[0]), self.contact_of.get(deal, ""), created)

    def delete(self, id: str) -> WriteResult | Missing:
        """Deletes a deal."""
        with self.call("delete", id):
            self.may_wait()
            loss = self.next_loss()
            refused = self.faults.refuse("delete", id, {})
            versions = self.deals.get(id)
            if loss == "before":
                return Lost("The answer was lost.")
            if refused is not None:
                return refused
            if not versions or versions[-1].values is None:
                return ABSENT
            self.log.append(
                LoggedWrite(self.side, "delete", id, {n: (v, None) for n, v in versions[-1].values.items()})
            )
            self.drop(id)
        return Lost("The answer was lost.") if loss else Written(Record(id, (None,) * len(self.fields)))

    def edited(self, questions: Sequence[Question]) -> dict[Question, Stamp]:
        """The CRM shows its clocks; a question has no other answer."""
        return {}


# --- the table -------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """A row: cells by column, the second in which each was edited, its key and Sync cell."""

    cells: dict[str, Raw]
    edited: dict[str, float]
    created: float
    key: str | None = None
    message: str = ""
    keyed: float = 0.0  # the second in which the key was edited


class MemoryTable(_MemorySide):
    """Rows as Airtable has them: writes of ten, all or nothing; modified times of whole seconds; an upsert by key."""

    side = Side.TABLE
    label = "Airtable"
    identity = "app1/tbl1"
    write_batch = 10
    rows_have_ids = True
    at_once = 3  # calls that make rows
    read_batch = 100

    def __init__(self, clock: Clock, columns: Mapping[str, Column] = COLUMNS) -> None:
        super().__init__(clock)
        self.columns = dict(columns)
        self.rows: dict[str, Row] = {}
        self.sync_column = True
        self.clockless = False  # questions about edit times get no answer

    # people

    def put(self, row: str, key: str | None = None, /, **cells: Raw) -> None:
        """A person makes a row or edits cells of one ("" clears the key)."""
        second = float(math.floor(self.server_now))
        held = self.rows.setdefault(row, Row({}, {}, second))
        if key is not None:
            held.key, held.keyed = key or None, second
        for name, raw in cells.items():
            held.cells[name] = self.stored(name, raw)
            held.edited[name] = second

    def drop(self, row: str) -> None:
        """A person deletes a row."""
        del self.rows[row]

    def row_of(self, deal: str) -> str:
        """The one row that carries this key."""
        found = [row for row, held in self.rows.items() if held.key == deal]
        assert len(found) == 1, f"{len(found)} rows carry {deal}"
        return found[0]

    def shown(self, row: str, column: str) -> Raw:
        """A cell as people see it."""
        raw = self.rows[row].cells.get(column)
        return self.columns[column].options.get(raw, raw) if isinstance(raw, str) else raw

    def make_select(self, name: str, *labels: str) -> None:
        """The column becomes a select; its cells hold option ids from now on."""
        options = {f"opt{self.columns[name].id}{n}": label for n, label in enumerate(labels)}
        self.columns[name] = replace(self.columns[name], kind="select", options=options)
        for row in self.rows.values():
            row.cells[name] = self.stored(name, row.cells.get(name))

    def rename_option(self, name: str, old: str, new: str) -> None:
        """A person renames an option; every cell that has it shows the new label."""
        options = {key: new if label == old else label for key, label in self.columns[name].options.items()}
        self.columns[name] = replace(self.columns[name], options=options)

    def new_id(self, _key: str) -> str:
        """The id of a row that is about to be made."""
        self.made += 1
        return f"rec{self.made:04d}"

    def stored(self, name: str, raw: Raw) -> Raw:
        """What a cell holds after `raw` was typed or written into it."""
        column = self.columns.get(name)
        if raw is None or raw == "":
            return None
        if column is None or column.kind != "select" or raw in column.options:
            return raw
        for option, label in column.options.items():
            if label == raw:
                return option
        option = f"opt{column.id}{len(column.options)}"
        self.columns[name] = replace(column, options={**column.options, option: str(raw)})
        return option

    # the side

    def schema(self) -> TableSchema:
        """Columns as they are now."""
        with self.call("schema"):
            return TableSchema(self.identity, dict(self.columns), self.sync_column)

    def record(self, row: str) -> Record:
        """A row as the engine sees it."""
        held = self.rows[row]
        raw: list[Raw] = []
        for f in self.fields:
            cell = held.cells.get(f.name)
            raw.append([held.cells.get("pipeline"), cell] if f.name == "stage" else cell)
        message = held.message if self.sync_column else None
        return Record(row, tuple(raw), partner=held.key, message=message, title=str(held.cells.get("name") or ""))

    def sweep(self, sieve: Sieve | None = None) -> Iterator[Record]:
        """Every row that is not known."""
        with self.call("sweep", None, max(1, math.ceil(len(self.rows) / PAGE))):
            yield from self.looked_at([self.record(row) for row in list(self.rows)], sieve, self.fields)

    def changed(self, since: float) -> list[Record] | None:
        """Rows that were made or edited since; their keys count."""
        with self.call("changed"):
            if self.clockless:
                return None
            at = math.floor(since - self.clock_offset)
            return [
                self.record(row)
                for row, held in self.rows.items()
                if max(held.created, held.keyed, *held.edited.values(), 0.0) >= at
            ]

    def read(self, ids: Sequence[str], *, needed: Collection[int] | None = None) -> dict[str, ReadResult]:
        """Rows as they are now, a hundred a request."""
        with self.call("read", list(ids), max(1, math.ceil(len(ids) / self.read_batch))):
            self.reads += ids
            found: dict[str, ReadResult] = {}
            for row in ids:
                if row in self.faults.unread:
                    found[row] = Unread("Airtable refused the read.")
                else:
                    found[row] = self.record(row) if row in self.rows else ABSENT
            return found

    def find(self, partners: Sequence[str]) -> dict[str, list[Record]]:
        """Rows by their key."""
        with self.call("find", list(partners)):
            return {key: [self.record(row) for row, held in self.rows.items() if held.key == key] for key in partners}

    def put_back(self) -> None:
        """A write hits the record whose id it names."""

    def made_at(self, id: str) -> float | None:
        """When a row was made."""
        return self.rows[id].created + self.clock_offset if id in self.rows else None

    def write(self, patches: Sequence[Patch]) -> list[WriteResult]:
        """At most ten rows in one PATCH; a refused batch is split, as SPEC §3.7 says."""
        assert 0 < len(patches) <= self.write_batch
        with self.call("write", list(patches)):
            self.may_wait()
            loss = self.next_loss()
            refused = [self._refusal("write", patch.id, self.names(patch.changes)) for patch in patches]
            if loss == "before":
                return [Lost("The answer was lost.") for _ in patches]
            if any(refused) and len(patches) > 1:
                self.calls += len(patches)
            results = [self._write(patch, no) for patch, no in zip(patches, refused, strict=True)]
        return [Lost("The answer was lost.") for _ in patches] if loss else results

    def _refusal(self, verb: str, row: str, changes: Mapping[str, Raw]) -> Refused | None:
        if verb == "write" and row not in self.rows:
            return Refused("This row is not there.")
        return self.faults.refuse(verb, row, changes)

    def _write(self, patch: Patch, refused: Refused | None) -> WriteResult:
        assert patch.changes or patch.message is not None or patch.partner is not None, "an empty patch"
        if refused is not None:
            return refused
        row, logged = self.rows[patch.id], dict[str, tuple[Raw, Raw]]()
        for name, raw in self.names(patch.changes).items():
            logged[name] = (self._cell(row, name), raw)
            if name not in self.faults.ignores:
                self._set(row, name, raw)
        if patch.message is not None:
            assert self.sync_column, "there is no Sync column"
            logged["sync"] = (row.message, patch.message)
            row.message = patch.message
        if patch.partner is not None:
            logged["id"] = (row.key, patch.partner)
            row.key, row.keyed = patch.partner, float(math.floor(self.server_now))
        self.log.append(LoggedWrite(self.side, "update", patch.id, logged))
        return Written(self.record(patch.id))

    def _cell(self, row: Row, name: str) -> Raw:
        return [row.cells.get("pipeline"), row.cells.get("stage")] if name == "stage" else row.cells.get(name)

    def _set(self, row: Row, name: str, raw: Raw) -> None:
        second = float(math.floor(self.server_now))
        raw = self.faults.tidy(name, raw)
        if name == "stage":
            assert isinstance(raw, list)
            cells = {"pipeline": raw[0], "stage": raw[1]}  # a cell that is not named stays as it is
            parts: list[tuple[str, Raw]] = [(c, cell) for c, cell in cells.items() if cell and c in self.columns]
            assert parts, "a stage was written without naming a cell"
        else:
            parts = [(name, raw)]
        for column, cell in parts:
            row.cells[column] = self.stored(column, cell)
            row.edited[column] = second

    def create(self, records: Sequence[NewRecord]) -> list[WriteResult]:
        """Rows that come back."""
        self.may_wait()
        return self.upsert(records)

    def upsert(self, records: Sequence[NewRecord]) -> list[WriteResult]:
        """An upsert on the key column."""
        assert 0 < len(records) <= self.write_batch
        with self.call("create", list(records)):
            loss = self.next_loss()
            refused = [self._refusal("create", new.partner, self.names(new.values)) for new in records]
            if loss == "before":
                return [Lost("The answer was lost.") for _ in records]
            if any(refused) and len(records) > 1:
                self.calls += len(records)
            results = [no or self._create(new) for new, no in zip(records, refused, strict=True)]
        return [Lost("The answer was lost.") for _ in records] if loss else results

    def create_each(
        self, batches: Iterator[Sequence[NewRecord]]
    ) -> Generator[list[WriteResult] | SideDown, None, None]:
        """Each is carried out at once, but after the first some answers are on their way while others are asked for."""
        under_way: deque[list[WriteResult] | SideDown] = deque()
        is_down, room = False, 1
        while not is_down and (records := next(batches, None)) is not None:
            try:
                under_way.append(self.upsert(records))
            except SideDown as error:
                under_way.append(error)
                is_down = True
            if len(under_way) == room:
                yield under_way.popleft()
            room = self.at_once
        yield from under_way

    def _create(self, new: NewRecord) -> WriteResult:
        rows = [row for row, held in self.rows.items() if held.key == new.partner]
        if len(rows) > 1:
            return Refused("Several rows carry this key.")
        if not rows:
            rows = [self.new_id(new.partner)]
            self.rows[rows[0]] = Row({}, {}, float(math.floor(self.server_now)), key=new.partner)
        row, values = self.rows[rows[0]], self.names(new.values)
        logged = {name: (self._cell(row, name), raw) for name, raw in values.items()}
        for name, raw in values.items():
            if name not in self.faults.ignores:
                self._set(row, name, raw)
        row.message = new.message or row.message
        self.log.append(LoggedWrite(self.side, "create", rows[0], logged))
        return Written(self.record(rows[0]), made=True)

    def delete(self, id: str) -> WriteResult | Missing:
        """Deletes a row."""
        with self.call("delete", id):
            self.may_wait()
            loss = self.next_loss()
            refused = self.faults.refuse("delete", id, {})
            if loss == "before":
                return Lost("The answer was lost.")
            if refused is not None:
                return refused
            if id not in self.rows:
                return ABSENT
            self.log.append(
                LoggedWrite(self.side, "delete", id, {n: (v, None) for n, v in self.rows[id].cells.items()})
            )
            self.drop(id)
        return Lost("The answer was lost.") if loss else Written(Record(id, (None,) * len(self.fields)))

    def edited(self, questions: Sequence[Question]) -> dict[Question, Stamp]:
        """After this instant or not, by the cell's own modified time (blank: when the row was made)."""
        if self.clockless:
            return {}
        answers = {}
        with self.call("edited", list(questions), len({question.index for question in questions})):
            for question in questions:
                row = self.rows.get(question.id)
                if row is None:
                    continue
                name = self.fields[question.index].name
                parts = ("pipeline", "stage") if name == "stage" else (name,)
                # A blank cell that was never edited is no edit: the row's age counts for filled cells only.
                filled = any(row.cells.get(part) not in (None, "") for part in parts)
                never = row.created if filled else -math.inf
                at = max(row.edited.get(part, never) for part in parts) + self.clock_offset
                after = at > question.instant
                answers[question] = (
                    Stamp(question.instant + 0.001, math.inf) if after else Stamp(-math.inf, question.instant)
                )
        return answers


# --- both, with a store ----------------------------------------------------------------------------------------------


class CountedStore(Store):
    """A store whose commits are steps of the world."""

    def __init__(self, folder: Path, pair: str, step: Step) -> None:
        self.step = step
        super().__init__(folder, pair)

    def _connect(self, folder: Path) -> Any:
        connection = super()._connect(folder)
        connection.execute("PRAGMA synchronous=OFF")  # no power cuts here; tests need not wait for the disk
        return connection

    @contextmanager
    def tx(self) -> Iterator[None]:
        """As in the store, with a step on both sides of the commit."""
        with super().tx():
            yield
            self.step("store", "commit", "before", None)
        self.step("store", "commit", "after", None)


class World:
    """A location, a table, a clock and a pair with an on-disk store. `crash_at` kills the n-th step (from 1)."""

    def __init__(self, folder: Path, fields: Sequence[Field] | None = None, *, tie_side: Side = Side.CRM) -> None:
        self.folder, self.tie_side = folder, tie_side
        self.limits, self.policy, self.quiet_seconds = Limits(), Policy(), 0.0
        self.incremental = False
        self.fields = tuple(fields) if fields is not None else tuple(field_of(name) for name in FIELD_NAMES)
        self.clock = Clock()
        self.crm, self.table = MemoryCrm(self.clock), MemoryTable(self.clock)
        self.steps: list[tuple[str, str, str]] = []
        self.crash_at: int | None = None
        self.hooks: list[Step] = []
        self.crm.step = self.table.step = self.step
        self.store: CountedStore
        self.pair: Pair
        self.stopping = False
        self.start()

    def step(self, who: str, verb: str, phase: str, what: object) -> None:
        """Something durable or remote is about to happen, or just did."""
        self.steps.append((who, verb, phase))
        if self.crash_at is not None and len(self.steps) == self.crash_at:
            raise Crash(f"killed {phase} {who} {verb}")
        for hook in list(self.hooks):
            hook(who, verb, phase, what)

    def start(self) -> None:
        """The program starts: a new store object and a new pair."""
        self.store = CountedStore(self.folder, "test", self.step)
        self.pair = self.new_pair(self.table)

    def new_pair(self, table: TableSide) -> Pair:
        """A pair of this world's deals and a table."""
        return Pair(
            "test",
            self.fields,
            self.crm,
            table,
            self.store,
            self.tie_side,
            clock=self.clock,
            stopping=lambda: self.stopping,
            limits=self.limits,
            policy=self.policy,
            quiet_seconds=self.quiet_seconds,
            memory=Memory() if self.incremental else None,
        )

    def choose(
        self, *, limits: Limits | None = None, policy: Policy | None = None, quiet_seconds: float | None = None
    ) -> World:
        """Other settings, from now on."""
        self.limits, self.policy = limits or self.limits, policy or self.policy
        self.quiet_seconds = self.quiet_seconds if quiet_seconds is None else quiet_seconds
        pair = self.pair
        pair.limits, pair.policy, pair.quiet_seconds = self.limits, self.policy, self.quiet_seconds
        return self

    def restart(self) -> None:
        """The program was killed and starts again."""
        self.store.connection.close()
        self.start()

    def close(self) -> None:
        """Closes the store."""
        self.store.close()

    def run(self, seconds_later: float = 60.0) -> PassResult:
        """Some time later, one pass."""
        self.clock.advance(seconds_later)
        return run_pass(self.pair)

    def deal(self, deal: str, **values: Raw) -> None:
        """A person makes an ordinary deal."""
        usual: dict[str, Raw] = {
            "name": f"Deal {deal}",
            "stage": ["p1", "s1"],
            "status": "open",
            "value": 100,
            "owner": "u1",
            "source": "web",
        }
        self.crm.put(deal, **{**usual, **values})

    def filled(self, *deals: str) -> World:
        """Deals with their rows, agreed on, with empty logs."""
        for deal in deals:
            self.deal(deal)
        self.clock.advance(10)
        result = self.run()
        assert result.error == ""
        assert result.tally.created[Side.TABLE] == len(deals)
        assert len(self.crm.log) == 0
        settled = self.run()
        assert (settled.error, settled.code) == ("", 0)
        self.clear_logs()
        return self

    def rested(self) -> None:
        """A daemon's pass so much later that no listing names what was edited until now; with empty logs."""
        self.clock.advance(2 * CRM_OVERLAP_SECONDS)
        assert not self.run().full
        self.clear_logs()

    def clear_logs(self) -> None:
        """Forgets what was written so far."""
        for side in (self.crm, self.table):
            side.log.clear()
            side.reads.clear()
        self.crm.triggers.clear()
        self.steps.clear()

    def row(self, deal: str) -> Row:
        """The row of a deal."""
        return self.table.rows[self.table.row_of(deal)]

    def edit_row(self, deal: str, **cells: Raw) -> None:
        """A person edits cells of a deal's row."""
        self.table.put(self.table.row_of(deal), None, **cells)

    def writes(self) -> tuple[int, int, int]:
        """(writes to the CRM, writes to the table, workflows fired), messages and keys included."""
        return len(self.crm.log), len(self.table.log), len(self.crm.triggers)

    def meaning(self, deal: str) -> tuple[dict[str, object], dict[str, object]]:
        """The canonical values of both sides of a deal, by field."""
        held, row = self.crm.now(deal) or {}, self.row(deal)
        deal_values: dict[str, object] = {}
        row_values: dict[str, object] = {}
        options: Mapping[str, Mapping[str, str]] = self.store.fact("options") or {}
        names = {name: Names(options.get(column.id, {})) for name, column in self.table.columns.items()}
        for name in (f.name for f in self.fields if f.name in self.table.columns):
            codec = codec_for(name, self.table.columns, self.crm.vocabulary, names)
            known = codec.from_crm(held.get(name))
            cell: Raw = row.cells.get(name)
            raw: Raw = [row.cells.get("pipeline"), cell] if name == "stage" else cell
            deal_values[name] = known
            row_values[name] = codec.from_table(raw, None if isinstance(known, Problem) else known)
        return deal_values, row_values

    def agree(self, *deals: str) -> None:
        """Asserts that both sides and the shadow hold the same for these deals (P4)."""
        for deal in deals:
            ours, theirs = self.meaning(deal)
            assert ours == theirs, deal
            link = self.store.link(deal)
            assert link is not None
            assert {name: agreed.value for name, agreed in link.agreed().items()} == ours

    def state(self) -> object:
        """Everything that two runs of one story must share, but for times and row ids."""
        rows = {
            (row.key or ""): ({name: text(cell) for name, cell in sorted(row.cells.items())}, row.message)
            for row in self.table.rows.values()
        }
        deals = {deal: versions[-1].values for deal, versions in self.crm.deals.items()}
        links = {
            deal: {name: agreed.value for name, agreed in link.agreed().items()}
            for deal, link in self.store.links().items()
        }
        return rows, deals, links, len(self.table.rows)
