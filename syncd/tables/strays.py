"""Cells that our own write put into other rows than those it meant, until these have back what they held.

A server names a row by its number: where rows are sorted between our last read and our write, its cells land in others
(LIMITS). What is written where is noted before it is sent, so that it is known after a lost answer or a restart, too.
Until a row has back what it held, it is read as if it had it: what we put there by mistake is nobody's edit. A cell
that shows something else than what we put there was edited since, or has it back already: that is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from syncd.model import Raw
from syncd.tables.sheet_memory import SheetRow

Debts = dict[str, tuple[Raw, Raw]]  # by cell: what our write put there, and what it held before


@dataclass(slots=True)
class Strays:
    """`sent` is the write whose outcome is not known: by place the row's key and its new cells. `owed` is what rows are
    to get back, by their keys."""

    sent: dict[int, tuple[str, dict[str, Raw]]] = field(default_factory=dict)
    owed: dict[str, Debts] = field(default_factory=dict)

    def stored(self) -> dict[str, Any]:
        """As the store keeps it: JSON has no whole numbers as keys."""
        sent = [[place, key, cells] for place, (key, cells) in sorted(self.sent.items())]
        return {"sent": sent, "owed": {key: dict(debts) for key, debts in self.owed.items()}}

    @classmethod
    def restored(cls, stored: Any) -> Strays:
        """What `stored` made; none of anything else."""
        if not isinstance(stored, dict):
            return cls()
        sent = {place: (key, cells) for place, key, cells in stored["sent"]}
        owed = stored["owed"].items()
        return cls(sent, {key: {name: (put, held) for name, (put, held) in debts.items()} for key, debts in owed})

    def hit(self, row: SheetRow, held: Mapping[str, Raw], names: Collection[str]) -> None:
        """A row was hit: these cells show what we put there and held something else. Of what it is owed already it gets
        back the older value."""
        if row.key is None:
            return
        debts = self.owed.setdefault(row.key, {})
        for name in names:
            if name in held and held[name] != row.cells.get(name):
                debts[name] = (row.cells.get(name), held[name])
        if not debts:
            del self.owed[row.key]

    def settle(self, rows: Iterable[SheetRow], before: Mapping[str, Mapping[str, Raw]]) -> None:
        """The whole sheet was read after a write without an answer; `before` is what rows held, by key. Where another
        row stands by now, and shows what its former one was to get and does not show, our write has put that there."""
        at, of_key = {row.place: row for row in rows}, {row.key: row for row in rows}
        for place, (key, cells) in self.sent.items():
            here, meant = at.get(place), of_key.get(key)
            arrived = meant is not None and _shows(meant, cells)
            if here is not None and here.key not in (None, key) and not arrived and _shows(here, cells):
                self.hit(here, before.get(here.key or "", {}), cells)
        self.sent = {}

    def seen(self, rows: Iterable[SheetRow]) -> None:
        """Nothing is owed to a cell that no longer shows what we put there. A row that is not there may come back."""
        shown: dict[tuple[str, str], set[bool]] = {}
        for row in rows:
            for name, (put, _) in self.owed.get(row.key or "", {}).items():
                shown.setdefault((row.key or "", name), set()).add(row.cells.get(name) == put)
        for (key, name), there in shown.items():
            if True not in there:
                del self.owed[key][name]
        self.owed = {key: debts for key, debts in self.owed.items() if debts}

    def as_meant(self, row: SheetRow) -> SheetRow:
        """The row as if it had back what it is owed."""
        debts = self.owed.get(row.key or "", {})
        back = {name: held for name, (put, held) in debts.items() if row.cells.get(name) == put}
        return replace(row, cells={**row.cells, **back}) if back else row


def _shows(row: SheetRow, cells: Mapping[str, Raw]) -> bool:
    return all(row.cells.get(name) == raw for name, raw in cells.items())
