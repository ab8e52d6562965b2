"""A spreadsheet as a side: rows by their key cell, edit times from what was seen before, writes in few calls.

**What a row is.** A sheet is sorted, filtered, copied and saved by people, and a row has no identity but the deal's id
in its key column. So the id of a row *is* its key: it is looked up by that before every write, wherever it stands then.
Of rows with one key the second is called "key~2"; nothing but a message is ever written to any of them. A row without a
key has a name for the time being (`sheet_memory`), which survives sorting, editing and a restart, so that a deal that
was made for it finds its row again; as soon as its key is planted the row is called by that. If the program is killed
between the deal and the key, or the sheet cannot be written just then, the link holds the row by its passing name, and
the key comes back as a cleared one does. Where even that name is lost (memory gone, and the row edited), the row is
found again by equal name and contact, or the Sync cell asks (SPEC §5; `plan.py`).

**Reading.** A sweep reads the sheet whole. A read by ids reads these rows and the key column in one call; where any key
is not where it was, the whole sheet is read again. A row whose id no key column shows is gone for certain.

**Writing.** One call for many rows. Right before it the rows are read again, unless that was a moment ago, and compared
with what the engine was shown: what moved or changed waits for the next pass (`Later`), as does everything where the
file was saved meanwhile (`GridMoved`) or is open in a spreadsheet program (`GridBusy`). A server's sheet may be sorted
between that read and the write: then the answer shows other keys, and the rows that were hit get back what they held,
at once or before anything else is written (`strays.py`).

**Edit times.** Between the last read that showed the old value and the first one that showed the new one (SPEC §2). A
column that a script fills with the time of the last edit narrows that down, where its time lies in that window.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Final

from syncd.at_rest import Sieve
from syncd.fields import KEY, KEY_COLUMN, MESSAGE, MESSAGE_COLUMN, PIPELINE, REQUIRED, Field
from syncd.model import ABSENT, Direction, Missing, Raw, Record, Side, Stamp
from syncd.sides import (
    Column,
    Later,
    Lost,
    Misconfigured,
    NewRecord,
    Patch,
    Question,
    ReadResult,
    Refused,
    SideDown,
    TableSchema,
    WriteResult,
    Written,
)
from syncd.tables.grid import Grid, GridBusy, GridLater, GridLost, GridMoved, Sheet
from syncd.tables.sheet_memory import NUMBER_STYLES, STRAYS, SheetMemory, SheetRow, SheetStore
from syncd.tables.strays import Strays
from syncd.values import choices, folded, text

BATCH: Final = 1_000  # rows a write or a read names
FRESH_SECONDS: Final = 2.0  # what was read so lately is not read again before it is written
LATE_SECONDS: Final = 60.0  # for so long a server may say that nothing changed where something did
VANISHED_SECONDS: Final = 86_400.0  # no incremental pass asks for what is older
PUT_BACK_TRIES: Final = 2  # rows may move under that write, too
EDITED: Final = "edited"
MOVED: Final = "The sheet changed while it was to be written; the next pass looks at it again."
ROW_MOVED: Final = "The row changed while it was to be written; the next pass looks at it again."
SERIAL_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001  (a spreadsheet's day 0, in no time zone)


@dataclass(frozen=True, slots=True)
class _Blamed:
    """Nothing was written, because of one cell."""

    sentence: str
    cell: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each field stands in the header: `at` by field name ("pipeline" beside "stage", "id", "sync")."""

    at: Mapping[str, int]
    header: tuple[str, ...]

    @property
    def parts(self) -> dict[str, int]:
        """The columns whose cells are values."""
        return {name: at for name, at in self.at.items() if name not in (KEY, MESSAGE, EDITED)}


class GridSide:
    """A sheet as a `TableSide`. One thread at a time; `remember_in` says where its memory is kept."""

    side = Side.TABLE
    write_batch = BATCH
    read_batch = BATCH
    rows_have_ids = False

    def __init__(
        self,
        grid: Grid,
        fields: Sequence[Field],
        key_column: str = KEY_COLUMN,
        message_column: str = MESSAGE_COLUMN,
        explicit: Collection[str] = (),
        edited_column: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`explicit` are fields whose column a person named: it must exist. `edited_column` holds the time of a row's
        last edit."""
        self.grid, self.label = grid, grid.label
        self.fields = tuple(fields)
        self.memory = SheetMemory()
        self.strays = Strays()
        self._wanted = _wanted(fields, key_column, message_column, edited_column)
        self._explicit = frozenset(explicit) | ({EDITED} if edited_column else set())
        self._clock = clock
        self._sheet: Sheet | None = None
        self._columns = Columns({}, ())
        self._computed: frozenset[str] = frozenset()
        self._rows: dict[str, SheetRow] = {}  # by id, in the sheet's order
        self._read_at = self._looked_at = float("-inf")
        self._unswept = False  # whether the sheet was read for its header alone, a moment ago
        self._vanished: list[tuple[float, str]] = []  # rows that were there no more, and when that was seen
        self._shown: dict[str, SheetRow] = {}  # as the engine was told last
        self._renamed: dict[str, str] = {}  # passing id -> key

    @property
    def identity(self) -> str:
        """What the sheet is known by."""
        return self.grid.identity

    @property
    def clock_offset(self) -> float:
        """As the grid says. Edit times are our own: they are those of our reads."""
        return self.grid.clock_offset

    @property
    def calls(self) -> int:
        """Requests sent; 0 for a file."""
        return self.grid.calls

    def remember_in(self, store: SheetStore) -> None:
        """Keeps what was seen in this store from now on; it belongs to the thread of the pass."""
        self.memory.store = store
        styles = getattr(self.grid, "styles", None)  # how a CSV file's columns write their numbers
        if styles is not None:
            known = store.fact(NUMBER_STYLES)
            styles |= known if isinstance(known, dict) else {}
            self.memory.styles = styles

    def close(self) -> None:
        """Ends the connections."""
        self.grid.close()

    # --- the sheet ----------------------------------------------------------------------------------------------------

    def _load(self) -> Sheet:
        """The whole sheet; where the grid says that nothing changed, as it was read before. A server may say that some
        seconds too long: good enough for a sweep, for nothing that is decided once."""
        sheet = self._sheet
        began = self._clock()
        self._looked_at = began
        if sheet is not None and self.grid.unchanged(sheet):
            if not self.grid.calls:  # a file
                self.memory.read_at = self._read_at = began
            elif self.memory.read_at is not None:
                self.memory.read_at = max(self.memory.read_at, began - LATE_SECONDS)
            return sheet
        return self._reload()

    def _reload(self) -> Sheet:
        """The whole sheet, read now."""
        began = self._clock()
        return self._take(self.grid.load(), began)

    def _take(self, sheet: Sheet, began: float) -> Sheet:
        """A sheet that was read whole, from `began` on: its columns, its rows and their ids."""
        self._find_columns(sheet)
        found = self._as_meant([self._row(sheet, place) for place in range(len(sheet.rows))], whole=True)
        rows = [row for row in found if row.key is not None or any(not _blank(raw) for raw in row.cells.values())]
        now = self._clock()
        ids, gone = self.memory.read(rows, began, now)
        self._rows = dict(zip(ids, rows, strict=True))
        self._renamed = {old: new for old, new in self._renamed.items() if old not in self._rows}
        lately = [one for one in self._vanished if one[1] not in self._rows and one[0] > now - VANISHED_SECONDS]
        self._vanished = lately + [(now, id) for id in gone]
        self._sheet, self._read_at = sheet, began
        if sheet.formulas:  # some tell them only of rows that are read by themselves
            self._put_formulas(sheet, ids)
        return sheet

    # --- formulas -----------------------------------------------------------------------------------------------------

    def _formulas_of(self, id: str) -> frozenset[str]:
        """The fields of a row whose cells hold a formula, but for those of computed columns."""
        return self.memory.rows[id].formulas - self._computed

    def _put_formulas(self, sheet: Sheet, ids: Collection[str]) -> None:
        """Notes which cells of these rows hold a formula, as the sheet tells it."""
        columns = {at: name for name, at in self._columns.parts.items()}
        told: dict[int, set[str]] = defaultdict(set)
        for row, column in sheet.formulas:
            if column in columns:
                told[row].add(columns[column])
        for id in ids:
            self.memory.put_formulas(id, frozenset(told.get(self._rows[id].place, ())))

    def formula_cells(self) -> dict[str, int]:
        """How many cells hold a formula, by the column's name, of columns that are not computed as a whole."""
        found = Counter(name for id in self._rows for name in self._formulas_of(id))
        return {self._wanted[name]: count for name, count in sorted(found.items())}

    def _find_columns(self, sheet: Sheet) -> None:
        if sheet.header == self._columns.header:
            return
        places: dict[str, list[int]] = defaultdict(list)
        for at, name in enumerate(sheet.header):
            places[folded(name)].append(at)
        columns: dict[str, int] = {}
        for name, column in self._wanted.items():
            found = places.get(folded(column), [])
            if len(found) > 1:
                raise Misconfigured(f"The sheet has {len(found)} columns called “{column}”. Rename all but one.")
            if found:
                columns[name] = found[0]
            elif name in (KEY, *REQUIRED, *self._explicit):
                listed = choices(one for one in sheet.header if text(one))
                raise Misconfigured(
                    f"{_capital(self.label)} has no column “{column}” in its first row. It has: {listed or 'none'}. "
                    "Write the column's name there, or name another one in the configuration."
                )
        self._columns = Columns(columns, sheet.header)

    def _row(self, sheet: Sheet, place: int) -> SheetRow:
        cells, columns = sheet.rows[place], self._columns
        key = text(plain(cells[columns.at[KEY]]))
        return SheetRow(place, key, {name: plain(cells[at]) for name, at in columns.parts.items()})

    def _refresh(self, ids: Collection[str]) -> None:
        """Reads these rows and the key column again; everything where a row is not where it was."""
        sheet = self._sheet
        ids = [self._now_called(id) for id in ids]
        if sheet is None or any(id not in self._rows for id in ids):
            self._reload()  # a row without a key may be anywhere, and that one is gone must be certain
            return
        began = self._clock()  # never `unchanged`: a server may be late to tell, and a file's refresh looks by itself
        places = [self._rows[id].place for id in ids]
        fresh = self.grid.refresh(sheet, places)
        if not self._in_place(sheet, fresh, places):
            self._reload()
            return
        self._sheet, self._read_at = fresh, began
        again = dict(zip(ids, self._as_meant([self._row(fresh, self._rows[id].place) for id in ids]), strict=True))
        self.memory.read_some(again, self._clock())
        self._rows |= again
        self._put_formulas(fresh, ids)
        if self.memory.is_dirty:
            self.memory.save()

    def _as_meant(self, rows: list[SheetRow], *, whole: bool = False) -> list[SheetRow]:
        """Rows that were read, as if those that a write of ours has hit by mistake had back what they held."""
        self._recall_strays()
        known = self.strays.stored()
        if whole and self.strays.sent:
            self.memory.recall()
            self.strays.settle(rows, {id: seen.cells for id, seen in self.memory.rows.items()})
        if self.strays.owed:
            self.strays.seen(rows)
        if self.strays.stored() != known:
            self._keep_strays()
        return [self.strays.as_meant(row) for row in rows] if self.strays.owed else rows

    def _recall_strays(self) -> None:
        if self.memory.store is not None:
            self.strays = Strays.restored(self.memory.store.fact(STRAYS))

    def _keep_strays(self) -> None:
        if self.memory.store is not None:
            self.memory.store.put_sheet_strays(self.strays.stored())

    def _in_place(self, old: Sheet, new: Sheet, places: Collection[int]) -> bool:
        """Whether every key is where it was, and so is each of these rows that has none."""
        if new.header != old.header or len(new.rows) != len(old.rows):
            return False
        key = self._columns.at[KEY]
        if any(a[key] != b[key] for a, b in zip(old.rows, new.rows, strict=True)):
            return False
        return all(not _blank(new.rows[at][key]) or new.rows[at] == old.rows[at] for at in places)

    def _now_called(self, id: str) -> str:
        return self._renamed.get(id, id)

    # --- schema -------------------------------------------------------------------------------------------------------

    def schema(self) -> TableSchema:
        """The columns by their names in the first row; raises `Misconfigured` for a required one that is not there."""
        self._columns = Columns({}, ())
        sheet = self._load()
        self._find_columns(sheet)
        self._unswept = True
        self._computed = frozenset(n for n, at in self._columns.parts.items() if self._is_computed(sheet, n, at))
        columns = {}
        for name, at in self._columns.at.items():
            kind = "computed" if name in self._computed else "number" if name == "value" else "text"
            if name != EDITED:
                columns[name] = Column(self._wanted[name], text(sheet.header[at]) or "", kind)
        missing = tuple(column for name, column in self._wanted.items() if name not in self._columns.at)
        return TableSchema(self.identity, columns, MESSAGE in columns, missing)

    def _is_computed(self, sheet: Sheet, name: str, at: int) -> bool:
        """Whether most of a column's cells are formulas, as far as is known: then it is a computed one, else those
        cells are."""
        cells = sum(not _blank(row[at]) for row in sheet.rows)
        formulas = sum(column == at for _, column in sheet.formulas)
        if not sheet.formulas:
            formulas = sum(name in self.memory.rows[id].formulas for id in self._rows)
        return formulas * 2 > max(cells, formulas)

    def use(self, fields: Sequence[Field]) -> None:
        """The order of raw values from now on."""
        self.fields = tuple(fields)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _record(self, id: str) -> Record:
        row, sheet = self._rows[id], self._sheet
        assert sheet is not None  # rows come from a sheet
        self._shown[id] = row
        raw: list[Raw] = []
        lacks, formulas = set(), set()
        for index, one in enumerate(self.fields):
            names = _parts(one)
            cells = [row.cells.get(name) for name in names]
            raw.append(cells if one.name == "stage" else cells[0])
            if one.name not in self._columns.at:
                lacks.add(index)  # the column was there when the columns were read
            if self._formulas_of(id).intersection(names):
                formulas.add(index)
        message = None
        if MESSAGE in self._columns.at:
            message = _shown(sheet.rows[row.place][self._columns.at[MESSAGE]])
        title = _shown(row.cells.get("name"))
        return Record(
            id,
            tuple(raw),
            partner=row.key,
            message=message,
            title=title,
            lacks=frozenset(lacks | formulas),
            formulas=frozenset(formulas),
        )

    def sweep(self, _sieve: Sieve | None = None) -> Iterator[Record]:
        """Every row that is not wholly blank."""
        if not (self._unswept and self._clock() - self._looked_at < FRESH_SECONDS):
            self._load()
        self._unswept = False
        self.memory.save()
        return iter([self._record(id) for id in self._rows])

    def changed(self, since: float) -> list[Record] | None:
        """Rows that differ from what they were at a read after `since`; None where rows are there no more, or have
        other keys: then everything is to be looked at."""
        if not (self._unswept and self._clock() - self._looked_at < FRESH_SECONDS):
            self._load()
        self._unswept = False
        self.memory.save()
        if any(at >= since for at, _ in self._vanished):
            return None
        return [self._record(id) for id in self.memory.changed_since(since) if id in self._rows]

    def read(self, ids: Sequence[str], *, needed: Collection[int] | None = None) -> dict[str, ReadResult]:
        """Rows by their ids, as they are now."""
        self._refresh(ids)
        found: dict[str, ReadResult] = {}
        for id in ids:
            now = id if id in self._rows else self._now_called(id)
            found[id] = self._record(now) if now in self._rows else ABSENT
        return found

    def find(self, partners: Sequence[str]) -> dict[str, list[Record]]:
        """All rows with these keys, as they are now."""
        self._reload()
        carriers = self._carriers()
        return {key: [self._record(id) for id in carriers.get(key, [])] for key in partners}

    def _carriers(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for id, row in self._rows.items():
            if row.key is not None:
                found[row.key].append(id)
        return found

    def made_at(self, id: str) -> float | None:
        """A sheet does not say."""
        return None

    def edited(self, questions: Sequence[Question]) -> dict[Question, Stamp]:
        """Between which two reads each cell changed; the same whatever instant is asked about."""
        answers = {}
        for question in questions:
            id = self._now_called(question.id)
            stamp = self.memory.edited(id, _parts(self.fields[question.index]))
            if stamp is not None:
                answers[question] = self._narrowed(id, stamp)
        return answers

    def _narrowed(self, id: str, stamp: Stamp) -> Stamp:
        """The window, or the instant within it that the row's own "Last edited" cell names."""
        at, row, sheet = self._columns.at.get(EDITED), self._rows.get(id), self._sheet
        if at is None or row is None or sheet is None:
            return stamp
        instant = instant_of(sheet.rows[row.place][at])
        if instant is None or not stamp.low <= instant <= stamp.high:
            return stamp
        return Stamp(instant, instant)

    # --- writing ------------------------------------------------------------------------------------------------------

    def make_way(self) -> None:
        """A sheet is looked at as a whole directly before it is written."""

    def write(self, patches: Sequence[Patch]) -> list[WriteResult]:
        """Writes the cells of many rows in one call. See the module's first lines."""
        before = dict(self._shown)
        self.put_back()
        self.grid.ready()
        if self._sheet is None or self._clock() - self._read_at > FRESH_SECONDS:
            self._refresh([patch.id for patch in patches])
        sole = Counter(row.key for row in self._rows.values())
        results: list[WriteResult | None] = []
        changes: dict[tuple[int, int], Raw] = {}
        for patch in patches:
            refused = self._objection(patch, before, sole)
            results.append(refused)
            if refused is None:
                changes |= self._outgoing(self._rows[self._now_called(patch.id)].place, patch)
        failed, astray = self._change(changes) if changes else (None, {})
        if isinstance(failed, _Blamed):
            return self._without(patches, failed)
        written = [
            result or failed or self._written(patch, astray) for result, patch in zip(results, patches, strict=True)
        ]
        if failed is None:
            self.memory.save()
        if astray:
            with suppress(SideDown, Misconfigured):  # the write was made, and what is owed is known: nothing is lost
                self.put_back()
            self._sheet = None
        return written

    def _change(
        self, changes: Mapping[tuple[int, int], Raw]
    ) -> tuple[Later | Lost | _Blamed | None, dict[int, SheetRow]]:
        """One write of cells: why it failed, and the rows that were hit by mistake, by their places. On a server, which
        row is to get what is noted before it is sent, and what rows have lost as soon as it is known."""
        known = {row.place: row for row in self._rows.values()}
        if self.grid.calls:  # a file is compared directly before it is replaced
            cells: dict[int, dict[str, Raw]] = defaultdict(dict)
            names = {at: name for name, at in self._columns.parts.items()}
            for (place, column), raw in changes.items():
                if column in names and known[place].key is not None:
                    cells[place][names[column]] = plain(raw)
            self.strays.sent = {place: (known[place].key or "", some) for place, some in cells.items()}
            self._keep_strays()
        try:
            failed = self._send(lambda sheet: self.grid.write(sheet, changes))
        except (SideDown, Misconfigured):
            self._forget_sent()
            raise
        if isinstance(failed, Lost):
            return failed, {}  # the next look at the whole sheet tells
        astray = self._astray(known, {place for place, _ in changes}) if failed is None else {}
        for place, held in astray.items():
            assert self._sheet is not None  # the write returned it
            self.strays.hit(self._row(self._sheet, place), held.cells, self._names_at(changes, place))
        self._forget_sent()
        return failed, astray

    def _forget_sent(self) -> None:
        """The outcome of the last write is known."""
        self.strays.sent = {}
        self._keep_strays()

    def _names_at(self, changes: Collection[tuple[int, int]], place: int) -> set[str]:
        """The cells of one row that a write names."""
        return {name for name, column in self._columns.parts.items() if (place, column) in changes}

    def put_back(self) -> None:
        """Gives rows that a write of ours has hit by mistake what they held, where that is owed; where nothing can be
        written now it stays owed. See `TableSide`."""
        self._recall_strays()
        for _ in range(PUT_BACK_TRIES):
            if not self.strays.owed:
                return
            self.grid.ready()
            self._refresh(list(self.strays.owed))
            back = self._owed_cells()
            failed, _astray = self._change(back) if back else (None, {})
            if failed is not None or not back:
                return
            self._as_meant([self._row(self._sheet, place) for place in {at for at, _ in back}] if self._sheet else [])

    def _owed_cells(self) -> dict[tuple[int, int], Raw]:
        """What is owed to rows that are there, once, and still show what we put there."""
        sheet, back = self._sheet, {}
        assert sheet is not None  # it was read a moment ago
        carriers = self._carriers()
        for key, debts in self.strays.owed.items():
            if len(carriers.get(key, ())) != 1:
                continue
            place = self._rows[carriers[key][0]].place
            shown = self._row(sheet, place).cells
            for name, (put, held) in debts.items():
                column = self._columns.at.get(name)
                if column is not None and shown[name] == put and (place, column) not in sheet.formulas:
                    back[place, column] = held
        return back

    def _without(self, patches: Sequence[Patch], blamed: _Blamed) -> list[WriteResult]:
        """The patch whose cell cannot be written is refused, the others are tried without it (SPEC §3.7)."""
        place, column = blamed.cell
        bad = [n for n, patch in enumerate(patches) if self._rows[self._now_called(patch.id)].place == place]
        others = [patch for n, patch in enumerate(patches) if n not in bad]
        results = iter(self.write(others) if others and bad else [Later(blamed.sentence) for _ in others])
        fields = frozenset(
            index
            for index, one in enumerate(self.fields)
            if any(self._columns.at.get(name) == column for name in _parts(one))
        )
        refused = Refused(blamed.sentence, fields)
        return [refused if n in bad else next(results) for n in range(len(patches))]

    def _astray(self, known: Mapping[int, SheetRow], places: Collection[int]) -> dict[int, SheetRow]:
        """Where rows moved between our read and our write, cells were written into other rows: what these held, by
        their places. The answer to a write shows the keys that its rows have (LIMITS)."""
        sheet = self._sheet
        assert sheet is not None  # the write returned it
        owners = {row.key: row for row in self._rows.values() if row.key is not None}
        found = {}
        for place in places:
            key = self._row(sheet, place).key
            if place in known and known[place].key not in (None, key):
                found[place] = owners.get(key or "", SheetRow(place, key, {}))
        return found

    def _objection(self, patch: Patch, before: Mapping[str, SheetRow], sole: Counter[str | None]) -> WriteResult | None:
        """Why a row is not written now; None where it can be."""
        id = self._now_called(patch.id)
        row, sheet = self._rows.get(id), self._sheet
        if row is None or sheet is None:
            return Later(ROW_MOVED)
        if not patch.changes and patch.partner is None:
            return None  # a message, which any row may have
        if row.key in self.strays.owed:
            return Later(ROW_MOVED)  # it gets back what it held first
        gone = frozenset(at for at in patch.changes if self.fields[at].name not in self._columns.at)
        if gone:
            names = " and ".join(f"“{self.fields[at].columns[-1]}”" for at in sorted(gone))
            return Refused(f"{_capital(self.label)} has no column {names} any more.", gone, everyone=True)
        if patch.partner is not None and (row.place, self._columns.at[KEY]) in sheet.formulas:
            return Refused("The GHL ID of this row holds a formula, which is never overwritten. Clear that cell.")
        shown = before.get(id, row)
        parts = [name for at in patch.changes for name in _parts(self.fields[at])]
        changed = any(row.cells.get(name) != shown.cells.get(name) for name in parts) or row.key != shown.key
        twofold = row.key is not None and sole[row.key] > 1
        formula = any((row.place, column) in sheet.formulas for _, column in self._outgoing(row.place, patch))
        taken = patch.partner is not None and (row.key is not None or sole[patch.partner] > 0)
        return Later(ROW_MOVED) if changed or twofold or formula or taken else None

    def _outgoing(self, place: int, patch: Patch) -> dict[tuple[int, int], Raw]:
        """The cells of one patch. Of a stage's two cells None is not written."""
        at = self._columns.at
        found = {(place, at[name]): raw for name, raw in self._cells(patch.changes).items() if name in at}
        if patch.partner is not None:
            found[place, at[KEY]] = patch.partner
        if patch.message is not None and MESSAGE in at:
            found[place, at[MESSAGE]] = patch.message or None
        return found

    def _cells(self, changes: Mapping[int, Raw]) -> dict[str, Raw]:
        cells: dict[str, Raw] = {}
        for index, raw in changes.items():
            one = self.fields[index]
            if one.name != "stage":
                cells[one.name] = None if raw == "" else raw
                continue
            both = raw if isinstance(raw, list) else [None, raw]
            cells |= {name: cell for name, cell in zip(_parts(one), both, strict=True) if not _blank(cell)}
        return cells

    def _send(self, send: Callable[[Sheet], Sheet]) -> Later | Lost | _Blamed | None:
        """One write; what became of it where it failed. What is raised was not sent."""
        assert self._sheet is not None  # rows were looked up in it
        try:
            self._sheet = send(self._sheet)
        except GridMoved:
            self._sheet = None
            return Later(MOVED)
        except GridLater as later:
            self._sheet = None
            return Later(str(later))
        except GridBusy as busy:
            cell = getattr(busy, "cell", None)  # a file may blame one cell
            return _Blamed(str(busy), cell) if cell is not None else Later(str(busy), everyone=True)
        except GridLost as lost:
            self._sheet = None
            return Lost(str(lost))
        except (SideDown, Misconfigured):
            self._sheet = None
            raise
        return None

    def _written(self, patch: Patch, astray: Collection[int]) -> WriteResult:
        """The row as it is after the write; one that got its key is called by it from now on."""
        id, sheet = self._now_called(patch.id), self._sheet
        assert sheet is not None  # the write returned it
        if self._rows[id].place in astray:
            return Lost(f"The rows of {self.label} moved while it was written.")
        row = self._row(sheet, self._rows[id].place)
        if patch.partner is not None:
            self._rows = {(patch.partner if one == id else one): held for one, held in self._rows.items()}
            self.memory.rename(id, patch.partner)
            self._shown.pop(id, None)
            self._renamed[id] = id = patch.partner
        self._rows[id] = row
        self.memory.wrote(id, row)
        return Written(self._record(id))

    def create(self, records: Sequence[NewRecord]) -> list[WriteResult]:
        """New rows at the end, in one call; none for a key that the column shows by then."""
        self.grid.ready()
        if self._sheet is None:
            self._load()
        else:
            self._refresh([])
        taken = {row.key for row in self._rows.values()}
        fresh = [record for record in records if record.partner not in taken]
        rows = [self._new_row(record) for record in fresh]
        known = len(self._sheet.rows) if self._sheet is not None else 0
        failed = self._send(lambda sheet: self.grid.write(sheet, {}, rows)) if rows else None
        if isinstance(failed, _Blamed):
            return self._created_without(records, fresh, failed, failed.cell[0] - known)
        made: dict[str, WriteResult] = {}
        if failed is None and rows:
            made = self._made()
            self.memory.save()
        late = Later("A row with this id is there already; the next pass looks at it.")
        unseen = failed or Lost(f"{_capital(self.label)} took the row, but does not show it.")
        return [late if record.partner in taken else made.get(record.partner, unseen) for record in records]

    def _created_without(
        self, records: Sequence[NewRecord], fresh: Sequence[NewRecord], blamed: _Blamed, at: int
    ) -> list[WriteResult]:
        """The new row whose cell cannot be written is refused, the others are made without it (SPEC §3.7)."""
        if not 0 <= at < len(fresh):
            return [Later(blamed.sentence)] * len(records)
        bad = fresh[at]
        others = iter(self.create([record for record in records if record is not bad]))
        return [Refused(blamed.sentence) if record is bad else next(others) for record in records]

    def _new_row(self, record: NewRecord) -> dict[int, Raw]:
        at = self._columns.at
        cells = {at[name]: raw for name, raw in self._cells(record.values).items() if name in at and not _blank(raw)}
        cells[at[KEY]] = record.partner
        if record.message and MESSAGE in at:
            cells[at[MESSAGE]] = record.message
        return cells

    def _made(self) -> dict[str, WriteResult]:
        """The rows that the sheet has beyond those that were known."""
        sheet = self._sheet
        assert sheet is not None  # the write returned it
        known = {row.place for row in self._rows.values()}
        made: dict[str, WriteResult] = {}
        for place in range(len(sheet.rows)):
            if place in known:
                continue
            row = self._row(sheet, place)
            if row.key is not None and row.key not in self._rows:
                self._rows[row.key] = row
                self.memory.wrote(row.key, row)
                made[row.key] = Written(self._record(row.key), made=True)
        return made

    def create_each(
        self, batches: Iterator[Sequence[NewRecord]]
    ) -> Generator[list[WriteResult] | SideDown, None, None]:
        """One call after the other."""
        for batch in batches:
            try:
                yield self.create(batch)
            except SideDown as error:
                yield error
                return

    def delete(self, id: str) -> WriteResult | Missing:
        """Deletes one row, wherever it stands now."""
        shown = self._shown.get(self._now_called(id))
        self.grid.ready()
        self._refresh([id])
        row = self._rows.get(self._now_called(id))
        if row is None:
            return ABSENT
        twofold = row.key is not None and len(self._carriers()[row.key]) > 1
        if twofold or (shown is not None and shown.cells != row.cells):
            return Later(ROW_MOVED)
        record = self._record(self._now_called(id))
        failed = self._send(lambda sheet: self.grid.delete(sheet, row.place))
        if failed is not None:
            return Later(failed.sentence) if isinstance(failed, _Blamed) else failed
        assert self._sheet is not None  # the deletion returned it
        self._take(self._sheet, self._read_at)
        self.memory.save()
        return Written(record)


# --- names and cells -------------------------------------------------------------------------------------------------


def _wanted(fields: Sequence[Field], key: str, message: str, edited: str | None) -> dict[str, str]:
    """Column names by field; the pipeline stands beside the stage."""
    found: dict[str, str] = {}
    for one in fields:
        if one.direction is Direction.OFF:
            continue
        if one.name == "stage" and len(one.columns) > 1:
            found[PIPELINE] = one.columns[0]
        found[one.name] = one.columns[-1]
    return found | {KEY: key, MESSAGE: message} | ({EDITED: edited} if edited else {})


def _parts(one: Field) -> tuple[str, ...]:
    """The cells of a field: the stage has two (SPEC §3.8)."""
    return (PIPELINE, "stage") if one.name == "stage" else (one.name,)


def _blank(raw: Raw) -> bool:
    return raw is None or (isinstance(raw, str) and not raw.strip())


def _shown(raw: Raw) -> str:
    return "" if raw is None else str(plain(raw))


def _capital(label: str) -> str:
    return label[:1].upper() + label[1:]


def plain(raw: Raw) -> Raw:
    """One form for what different programs store: whole numbers as such, truth values as people see them."""
    if isinstance(raw, bool):
        return "TRUE" if raw else "FALSE"
    if isinstance(raw, float) and isfinite(raw) and raw.is_integer() and abs(raw) < 2**53:
        return int(raw)
    return None if raw == "" else raw


def instant_of(raw: Raw) -> float | None:
    """The time in a "Last edited" cell: ISO text (without a zone: this machine's), or a spreadsheet's serial number of
    days; None where it holds no time."""
    try:
        if isinstance(raw, str):
            return datetime.fromisoformat(raw.strip().replace("Z", "+00:00")).timestamp()
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            return (SERIAL_EPOCH + timedelta(days=raw)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return None


__all__ = ["BATCH", "Columns", "GridSide", "instant_of", "plain"]
