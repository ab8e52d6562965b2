"""A world of a simulation: two faulty sides, a database that outlives the process, and the ghost that knows it all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syncd.fields import Field
from syncd.incremental import Memory
from syncd.model import Raw, Side
from syncd.opened import Pair
from syncd.policy import DealDeleted, Policy, RowDeleted
from tests.memory import FIELD_NAMES, Clock, Row, Step, World, field_of
from tests.simulation.ghost import PERSON, Ghost
from tests.simulation.knobs import SKEW_SECONDS, Knobs
from tests.simulation.sides import SimCrm, SimTable, refusal
from tests.simulation.store import SimMarks, SimStore, copy_of, fresh_database


class SimWorld(World):
    """See `tests.memory.World`; the store is in memory and every step goes to `on_step`."""

    def __init__(self, knobs: Knobs, on_step: Step) -> None:
        self.knobs, self.on_step = knobs, on_step
        self.tie_side = Side.CRM if knobs.tie_crm else Side.TABLE
        names = (*FIELD_NAMES, "email") if knobs.leads else FIELD_NAMES
        self.fields: tuple[Field, ...] = tuple(field_of(name) for name in names)
        self.clock = Clock()
        self.crm: SimCrm = SimCrm(self.clock, knobs)
        self.table: SimTable = SimTable(self.clock, knobs)
        self.crm.step = self.table.step = on_step
        self.crm.faults.refuse = lambda verb, record, changes: refusal(self.crm, verb, record, changes)
        self.table.faults.refuse = lambda verb, record, changes: refusal(self.table, verb, record, changes)
        self.table.linked = self.is_linked
        self.stopping = False
        self.bin: dict[str, Row] = {}  # deleted rows, for whoever wants them back
        self.lost_keys: dict[str, str] = {}
        self.serials = 0
        self.pausing = False  # between two passes
        self.database: Any = fresh_database()
        self.old_database: Any = None
        self.mark_file = SimMarks(on_step)
        self.start()
        self.ghost = Ghost(self.crm, self.table, self.fields, self.sim_store)

    def is_linked(self, row: str) -> bool:
        """Whether the engine knows this row as that of the deal whose id it carries."""
        link = self.sim_store.link(self.table.rows[row].key or "") if row in self.table.rows else None
        return link is not None and link.row == row

    @property
    def in_transaction(self) -> bool:
        """Whether the engine is in the midst of one: then nobody else writes to the database."""
        return bool(self.database.in_transaction)

    def quietly(self, write: Callable[[], object]) -> None:
        """A command of a person writes to the database: no step of the engine."""
        step, self.sim_store.step = self.sim_store.step, lambda _who, _verb, _phase, _what: None
        try:
            write()
        finally:
            self.sim_store.step = step

    def serial(self) -> int:
        """A number that was not used before."""
        self.serials += 1
        return self.serials

    def start(self) -> None:
        """The program starts."""
        self.sim_store = SimStore(self.database, self.on_step, self.mark_file)
        self.store = self.sim_store  # type: ignore[assignment]
        self.pair = Pair(
            "test",
            self.fields,
            self.crm,
            self.table,
            self.sim_store,
            self.tie_side,
            SKEW_SECONDS,
            self.knobs.read_lag,
            clock=self.clock,
            stopping=lambda: self.stopping,
            limits=self.knobs.limits(),
            policy=Policy(DealDeleted(self.knobs.deal_deleted), RowDeleted(self.knobs.row_deleted)),
            quiet_seconds=self.knobs.quiet,
            memory=Memory(self.knobs.full_every) if self.knobs.incremental else None,
        )

    def restart(self) -> None:
        """The program was killed, or ended, and starts again."""
        self.sim_store.close()
        self.stopping = False
        self.start()
        self.ghost.store = self.sim_store

    def keep_copy(self) -> None:
        """Somebody copies the database file."""
        self.old_database = copy_of(self.database)
        self.ghost.copied_at = self.clock.now

    def put_copy_back(self) -> None:
        """Somebody puts the copy back while the program is not running."""
        if self.old_database is not None:
            self.sim_store.close()
            self.database = copy_of(self.old_database)
            self.restart()
            self.ghost.restored, self.ghost.restored_at = True, self.clock.now

    def made(self, deal: str, **values: Raw) -> None:
        """A deal that is there from the start."""
        self.deal(deal, **values)
        self.ghost.changed(Side.CRM, deal, PERSON)
