"""What must hold once edits and faults stop: P4 (agreement), P5 (rest) and the end of P7 (no deal has two rows).

Every exemption is something that SPEC §5 leaves to a person, and the person must have been told in the row's Sync cell.
"""

from __future__ import annotations

from collections import Counter

from syncd.fields import NEVER_BLANK
from syncd.model import Direction, LinkState, Side, Value
from syncd.values import Problem, folded, label_of, text
from tests.simulation.checks import shows
from tests.simulation.ghost import ENGINE, PERSON, Broken, Ghost, Held
from tests.simulation.sides import tidied


class Rest:
    """The checks of the convergence phase."""

    def __init__(self, ghost: Ghost, marks: Counter[str]) -> None:
        self.ghost, self.marks = ghost, marks

    def agreed(self) -> None:
        """P4 for every deal that is there, P7 for its rows."""
        ghost = self.ghost
        left = ghost.store.open_writes()
        if left:
            raise Broken("P4", f"a write is still open: {left[0]}")
        carriers: dict[str, list[str]] = {}
        for row, held in ghost.table.rows.items():
            if held.key:
                carriers.setdefault(held.key, []).append(row)
        self.loose_rows()
        for deal, versions in ghost.crm.deals.items():
            rows = carriers.get(deal, [])
            self.one_row(deal, rows)
            if versions[-1].values is None:
                continue
            stage = versions[-1].values.get("stage")
            scope = {p.id for p in ghost.crm.vocabulary.pipelines if p.synced}
            if not isinstance(stage, list) or stage[0] not in scope:
                self.marks["at rest: outside"] += 1
                continue
            self.pair(deal, rows)

    def one_row(self, deal: str, rows: list[str]) -> None:
        """P7: of several rows with one key the engine made at most one, and the others are told."""
        ours = [row for row in rows if self.ghost.made.get(row) == deal and self.ghost.keyed[row][1] != PERSON]
        if len(ours) > 1:
            raise Broken("P7", f"{deal} has the rows {ours}, all made by the engine")

    def loose_rows(self) -> None:
        """A row without an id has become a deal, is blank, or says what it lacks (SPEC §5)."""
        linked = {link.row for link in self.ghost.store.links().values()}
        for row, held in self.ghost.table.rows.items():
            filled = any(text(cell) is not None for cell in held.cells.values())  # white space is blank (SPEC §1)
            if held.key or row in linked or not filled:
                continue
            if not self.told(row):
                raise Broken("P4", f"{row} has no id, is no deal, and nobody is told: {held.cells}")
            self.marks["at rest: row lacks something"] += 1

    def told(self, row: str) -> bool:
        """Whether the row's Sync cell says something."""
        return bool(self.ghost.table.rows[row].message)

    def pair(self, deal: str, rows: list[str]) -> None:
        """P4 for one deal in scope."""
        ghost = self.ghost
        links = ghost.store.links()
        link = links.get(deal)
        if len(rows) > 1:
            if not all(self.told(row) for row in rows):
                raise Broken("P4", f"{deal} has the rows {rows}, and not all are told")
            self.marks["at rest: twofold"] += 1
            return
        if not rows and link is not None and link.state is LinkState.ROW_GONE:
            self.marks["at rest: row stays away"] += 1
            return
        owners = [one.deal for one in links.values() if one.state is LinkState.BOTH and one.row in rows]
        if not rows:
            own = ghost.table.rows.get(link.row) if link is not None else None
            if link is None or own is None or not own.key or not self.told(link.row):
                raise Broken("P4", f"{deal} has no row, and nobody is told")
            self.marks["at rest: wrong key"] += 1
            return
        row = rows[0]
        if any(owner != deal for owner in owners):
            if not self.told(row):
                raise Broken("P4", f"{row} carries {deal}, belongs to {owners}, and is not told")
            self.marks["at rest: wrong key"] += 1
            return
        if link is None or link.row != row:
            raise Broken("P4", f"{deal} and {row} are not linked")
        if link.state is not LinkState.BOTH:
            raise Broken("P4", f"{deal} is there and in scope, and its link says {link.state.value}")
        shadow = ghost.linked(link)
        waiting = [
            self.waits(deal, row, field.name, field.direction, shadow)
            for field in ghost.fields
            if field.name in ghost.table.columns
        ]
        refused = any(one.deal == deal for one in ghost.store.refused())
        if self.told(row) and not any(waiting) and not refused:
            raise Broken("P4", f"all is well with {row}, and its Sync cell says: {ghost.table.rows[row].message}")

    def waits(self, deal: str, row: str, name: str, direction: Direction, shadow: dict[str, Value]) -> bool:
        """Whether the field waits for a person, who was told; else both sides and the shadow hold the same, and the
        cell shows it by its present name."""
        ghost = self.ghost
        held = ghost.held[Side.CRM][deal][name]
        cell = ghost.held[Side.TABLE][row][name]
        value = held.value
        codec = ghost.codec(name)
        fresh = codec.from_table(cell.raw, value if isinstance(value, str) else None)
        if isinstance(value, Problem):
            raise Broken("P4", f"{deal}: {name} cannot be read: {value.sentence}")
        if value is None and name in NEVER_BLANK:
            self.marks["at rest: blank in the CRM"] += 1
            return True  # it is never carried (SPEC §5), and counted as waiting
        listed = getattr(codec, "knows", lambda _: True)(value)
        if not listed:
            self.marks["at rest: unlisted owner"] += 1
            return True
        if name in NEVER_BLANK and self.left_blank(row, name, cell, value):
            raise Broken("P4", f"{row}: {name} is blank, and is not filled again")
        if isinstance(fresh, Problem):
            if not self.told(row):
                raise Broken("P4", f"{row}: {name} {cell.raw!r} cannot be read, and nobody is told")
            self.marks["at rest: unknown choice"] += 1
            return True
        # A person gave this row to the deal, or gave it back, with all that stood in it.
        moved = (Side.TABLE, row) in ghost.gone or ghost.made.get(row) != deal or ghost.keyed[row][1] == PERSON
        if direction is Direction.TO_TABLE and (cell.by != ENGINE or moved) and fresh != value and self.told(row):
            self.marks["at rest: typed into a one-way column"] += 1
            return True
        if fresh != value and not self.same_to_a_server(name, held, cell):
            raise Broken(
                "P4", f"{deal}: {name} is {value!r} in the CRM, {fresh!r} in {row}; shadow {shadow.get(name)!r}"
            )
        known = name in shadow and shadow[name] in (value, fresh)
        if not known and (fresh == value or not self.same_to_a_server(name, held, cell)):
            raise Broken("P4", f"{deal}: both hold {name} {value!r}, the shadow {shadow.get(name, 'nothing')!r}")
        if name in ("stage", "owner") and not shows(ghost, name, cell.raw, value):
            raise Broken("P4", f"{row}: {name} still shows {cell.raw!r}, whose name is {codec.show(value)!r} now")
        return False

    def left_blank(self, row: str, name: str, cell: Held, value: Value) -> bool:
        """SPEC §5: a blank stage, status or name is filled again; a stage waits where its pipeline was changed."""
        codec = self.ghost.codec(name)
        if not codec.is_blank(cell.raw):
            return False
        if name != "stage" or not isinstance(cell.raw, list) or cell.raw[0] in (None, ""):
            return True
        wanted = codec.to_table(value)
        shown = label_of(cell.raw[0], self.ghost.table.columns.get("pipeline"))
        return isinstance(wanted, list) and folded(shown) == folded(wanted[0])

    def same_to_a_server(self, name: str, held: Held, cell: Held) -> bool:
        """H49: a server puts what is written into a form of its own; the difference is explained once and stays."""
        knobs = self.ghost.crm.knobs
        codec = self.ghost.codec(name)
        if isinstance(held.value, Problem) or isinstance(cell.value, Problem):
            return False
        to_crm = codec.from_crm(tidied(knobs.tidy_crm, name, codec.to_crm(cell.value)))
        to_table = codec.from_table(tidied(knobs.tidy_table, name, codec.to_table(held.value)), None)
        same = to_crm == held.value or to_table == cell.value
        self.marks["at rest: tidied by a server"] += same
        return same

    def rested(self, before: tuple[int, int, int], after: tuple[int, int, int]) -> None:
        """P5: one more pass writes nothing. A refused record is tried again after its pause (SPEC §3.7)."""
        if before != after and not self.ghost.store.refused():
            raise Broken("P5", f"all is calm, and a pass wrote: before {before}, after {after} (crm, table, workflows)")
