"""What a sheet held when it was read last: which row a row is, and between which two reads each of its cells changed.

A sheet has no times and its rows no identity but the key cell, so both are remembered here, in the pair's store: a run
knows what the run before it saw. A lost memory makes windows wide and ids new; it never makes either wrong.

- **Ids.** A row with a key is called by it. A row without one is called "~" and a digest of what it held when it was
  first met, and keeps that name while it can be recognised: by the same contents wherever it is now, else by contents
  of which at least half stayed, at its place or with its name, email or phone. So the name outlives a sort, an edit and
  a restart, and after a lost memory an unchanged row is called the same again.
- **Windows.** A cell that differs from what was remembered was edited after the last read of the whole sheet and not
  after this one. What we write ourselves is remembered as it is then, and opens no window.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from math import inf
from typing import Final, Protocol, TypeAlias

from syncd.model import Raw, Stamp
from syncd.values import folded

READ_AT: Final = "sheet_read_at"
NUMBER_STYLES: Final = "number_styles"
STRAYS: Final = "sheet_strays"
COMPARED_AT_MOST: Final = 10_000  # pairs of rows; beyond, an edited row without a key gets a new id
NAMELESS: Final = "~"  # begins the id of a row without a key
IDENTIFYING: Final = ("name", "email", "phone")
Cells: TypeAlias = Mapping[str, Raw]
Window: TypeAlias = tuple[float, float]


class SheetStore(Protocol):
    """Where it is kept between two runs (`store.Store`)."""

    def sheet_rows(self) -> dict[str, tuple[int, str, str]]:
        """(place, cells, windows) of each row, as they were stored."""

    def put_sheet_rows(self, rows: Mapping[str, tuple[int, str, str]], gone: Collection[str], at: float) -> None:
        """Keeps rows that changed, forgets those that are gone, and when the whole sheet was read."""

    def fact(self, key: str) -> object:
        """A small fact; None where there is none."""

    def put_number_styles(self, styles: Mapping[str, str]) -> None:
        """Keeps how the columns of a text file write their numbers."""

    def put_sheet_strays(self, strays: Mapping[str, object]) -> None:
        """Keeps which cells our own writes may have put into other rows than those they meant."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A row as it stands in the sheet: its place from 0, its key (None: blank), its cells by field."""

    place: int
    key: str | None
    cells: Cells


@dataclass(frozen=True, slots=True)
class Seen:
    """A row as it was read last. `windows` are (low, high) by cell: edited after `low`, not after `high`; `formulas`
    are cells that held a formula when that was last told, and have the same value since."""

    place: int
    cells: Cells
    windows: Mapping[str, Window] = field(default_factory=dict)
    formulas: frozenset[str] = frozenset()

    def stored(self) -> tuple[int, str, str]:
        """As the store keeps it; JSON knows no infinity, so null stands for it."""
        finite: dict[str, list[float | None]] = {
            name: [None if low == -inf else low, high] for name, (low, high) in self.windows.items()
        }
        known = {"windows": finite, "formulas": sorted(self.formulas)}
        return self.place, _packed(self.cells), json.dumps(known, sort_keys=True)


def _packed(cells: Cells) -> str:
    return json.dumps(dict(cells), ensure_ascii=False, sort_keys=True)


def _restored(place: int, cells: str, windows: str) -> Seen:
    known = json.loads(windows)
    found = {name: (-inf if low is None else low, high) for name, (low, high) in known["windows"].items()}
    return Seen(place, json.loads(cells), found, frozenset(known["formulas"]))


def filled(cells: Cells) -> dict[str, Raw]:
    """The cells that are not blank."""
    return {name: raw for name, raw in cells.items() if raw is not None and raw != ""}


class SheetMemory:
    """The memory of one sheet. `read_at` is when all of it was read last (None: never, as far as is known)."""

    def __init__(self) -> None:
        self.store: SheetStore | None = None
        self.rows: dict[str, Seen] = {}
        self.read_at: float | None = None
        self.styles: dict[str, str] = {}  # how the columns of a text file write their numbers
        self._known = self._saved = False
        self._changed: set[str] = set()
        self._gone: set[str] = set()

    def recall(self) -> None:
        """Takes up what an earlier run kept; once. Raises what the store raises."""
        if self.store is None or self._known:
            return
        self.rows = {id: _restored(*row) for id, row in self.store.sheet_rows().items()}
        at = self.store.fact(READ_AT)
        self.read_at = at if isinstance(at, int | float) else None
        self._known = True

    def read(self, rows: Sequence[SheetRow], began: float, at: float) -> tuple[list[str], set[str]]:
        """The whole sheet was read, between `began` and `at`: the ids of its rows in their order, and those that are
        there no more."""
        self.recall()
        ids = named(rows, {id: seen for id, seen in self.rows.items() if id.startswith(NAMELESS)})
        gone = self.rows.keys() - set(ids)
        former = {_packed(self.rows[id].cells): id for id in sorted(gone)}
        # A row that was not there at the last read came after it, unless it may be one whose key was changed.
        since = -inf if self.read_at is None or gone else self.read_at
        for id, row in zip(ids, rows, strict=True):
            if id in self.rows:
                self._note(id, row, at)
                continue
            twin = former.get(_packed(row.cells))
            windows = self.rows[twin].windows if twin else dict.fromkeys(filled(row.cells), (since, at))
            self._put(id, Seen(self._place(id, row), row.cells, windows))
        for id in gone:
            del self.rows[id]
        self._changed -= gone
        self._gone = (self._gone | gone) - set(ids)
        self.read_at = began
        return ids, set(gone)

    def read_some(self, rows: Mapping[str, SheetRow], at: float) -> None:
        """Some rows, whose ids are known, were read again."""
        for id, row in rows.items():
            self._note(id, row, at)

    def _note(self, id: str, row: SheetRow, at: float) -> None:
        seen, place = self.rows[id], self._place(id, row)
        if row.cells == seen.cells and place == seen.place:
            return
        low = -inf if self.read_at is None else self.read_at
        fresh = {name: (low, at) for name, raw in row.cells.items() if seen.cells.get(name) != raw}
        self._put(id, Seen(place, row.cells, {**seen.windows, **fresh}, seen.formulas - fresh.keys()))

    @staticmethod
    def _place(id: str, row: SheetRow) -> int:
        return row.place if id.startswith(NAMELESS) else 0  # a key is found wherever it is

    def _put(self, id: str, seen: Seen) -> None:
        self.rows[id] = seen
        self._changed.add(id)

    def put_formulas(self, id: str, names: frozenset[str]) -> None:
        """It was told which cells of a row hold a formula."""
        if self.rows[id].formulas != names:
            self._put(id, replace(self.rows[id], formulas=names))

    def wrote(self, id: str, row: SheetRow) -> None:
        """We wrote this row: what it holds now is no edit."""
        seen = self.rows.get(id, Seen(0, {}))
        self._put(id, replace(seen, place=self._place(id, row), cells=row.cells))

    def rename(self, old: str, new: str) -> None:
        """A row got its key from us."""
        self.rows[new] = self.rows.pop(old)
        self._changed.discard(old)
        self._gone.add(old)
        self._changed.add(new)

    def edited(self, id: str, names: Sequence[str]) -> Stamp | None:
        """When a field was edited last, of whatever cells it has; None for a row that was never read."""
        seen = self.rows.get(id)
        if seen is None:
            return None
        windows = [seen.windows[name] for name in names if name in seen.windows]
        if not windows:  # blank, and nobody was ever seen to edit it: no edit
            return Stamp(-inf, -inf)
        return Stamp(max(low for low, _ in windows), max(high for _, high in windows))

    def changed_since(self, instant: float) -> list[str]:
        """Rows of which some cell may have been edited after `instant`."""
        return [id for id, seen in self.rows.items() if any(high >= instant for _, high in seen.windows.values())]

    @property
    def is_dirty(self) -> bool:
        """Whether rows changed since it was saved."""
        return bool(self._changed or self._gone)

    def save(self) -> None:
        """Keeps what changed; one transaction. Raises what the store raises."""
        if self.store is None or self.read_at is None:
            return
        if self._saved and self.store.fact(READ_AT) is None:  # it was started anew: what we knew counts no more
            for id, seen in self.rows.items():
                self._put(id, replace(seen, windows={name: (-inf, high) for name, (_, high) in seen.windows.items()}))
        self._saved = True
        self.store.put_sheet_rows(
            {id: self.rows[id].stored() for id in sorted(self._changed)}, sorted(self._gone), self.read_at
        )
        self._changed.clear()
        self._gone.clear()
        if self.styles:
            self.store.put_number_styles(self.styles)


# --- which row is which ----------------------------------------------------------------------------------------------


def named(rows: Sequence[SheetRow], before: Mapping[str, Seen]) -> list[str]:
    """An id for each row. `before` are the rows without a key as they were read last."""
    ids: dict[int, str] = {}
    carriers: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.key is not None:
            carriers[row.key] += 1
            ids[row.place] = row.key if carriers[row.key] == 1 else f"{row.key}{NAMELESS}{carriers[row.key]}"
    loose = {row.place: row for row in rows if row.key is None}
    known = dict(before)
    for match in (_same, _alike):
        for place, id in match(loose, known):
            ids[place] = id
            del loose[place], known[id]
    taken = {*ids.values(), *before}
    for place in sorted(loose):
        base = NAMELESS + blake2b(_packed(loose[place].cells).encode(), digest_size=8).hexdigest()
        id, number = base, 1
        while id in taken:
            number += 1
            id = f"{base}.{number}"
        ids[place] = id
        taken.add(id)
    return [ids[row.place] for row in rows]


def _same(loose: Mapping[int, SheetRow], known: Mapping[str, Seen]) -> list[tuple[int, str]]:
    """Rows that hold what a known one held; of several alike those in their order."""
    of_contents: dict[str, list[str]] = defaultdict(list)
    for id in sorted(known, key=lambda one: (known[one].place, one), reverse=True):
        of_contents[_packed(known[id].cells)].append(id)
    found = []
    for place in sorted(loose):
        ids = of_contents.get(_packed(loose[place].cells))
        if ids:
            found.append((place, ids.pop()))
    return found


def _alike(loose: Mapping[int, SheetRow], known: Mapping[str, Seen]) -> list[tuple[int, str]]:
    """Rows that were edited: the likest first, each once, and none where two are as like."""
    scores = {}
    if len(loose) * len(known) > COMPARED_AT_MOST:
        return []
    for place, row in loose.items():
        for id, seen in known.items():
            if (score := _likeness(row, seen)) is not None:
                scores[place, id] = score
    found: list[tuple[int, str]] = []
    used: set[object] = set()
    for (place, id), score in sorted(scores.items(), key=lambda one: (one[1], one[0]), reverse=True):
        rivals = [key for key, other in scores.items() if other == score and (key[0] == place) != (key[1] == id)]
        if place in used or id in used or any(a not in used and b not in used for a, b in rivals):
            continue
        used |= {place, id}
        found.append((place, id))
    return found


def _likeness(row: SheetRow, seen: Seen) -> tuple[int, bool] | None:
    """How like a row is to a known one: equal cells, and whether it is at its place; None where it is not enough."""
    before = filled(seen.cells)
    equal = [name for name, raw in before.items() if row.cells.get(name) == raw]
    here = row.place == seen.place
    named_alike = any(folded(row.cells.get(name)) == folded(before[name]) for name in IDENTIFYING if name in before)
    if not equal or 2 * len(equal) < len(before) or not (here or named_alike):
        return None
    return len(equal), here
