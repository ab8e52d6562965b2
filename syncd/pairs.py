"""From configuration to a pair that can be run: clients with their shared rate limits, sides, and the pair's store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from syncd.config_files import ConfigError
from syncd.crm.highlevel import connect, daily_budget
from syncd.crm.side import HighLevelSide
from syncd.incremental import Memory
from syncd.meters import Ledger, standing
from syncd.model import Side
from syncd.opened import Pair
from syncd.reconcile import PassResult, run_pass
from syncd.settings import AirtableSettings, GoogleSettings, PairSettings, Settings, WorkbookSettings
from syncd.sides import CrmSide, Misconfigured
from syncd.store import Store, StoreFailed
from syncd.tables.airtable import AirtableSide, open_airtable
from syncd.tables.grid import Grid
from syncd.tables.grid_side import GridSide

Progress = Callable[[str, int, int], None]


def open_grid(table: WorkbookSettings | GoogleSettings, key_column: str, **http: Any) -> Grid:
    """The sheet that the configuration names; nothing is read yet. `http` (stop, on_sent) is for one on a server.

    What reads workbooks, and what speaks with Google, is imported where it is needed.
    """
    grid: Grid
    if isinstance(table, GoogleSettings):
        from syncd.tables.google_sheets import open_google

        grid = open_google(
            spreadsheet_id=table.spreadsheet_id,
            sheet=table.sheet,
            credentials=table.secret(),
            key_column=key_column,
            base_url=table.base_url,
            **http,
        )
    elif table.is_csv:
        from syncd.tables.csv_file import CsvFile

        grid = CsvFile(table.file, key_column)
    else:
        from syncd.tables.workbook import Workbook

        grid = Workbook(table.file, table.sheet, key_column)
    return grid


class Connection:
    """The clients of one pair, kept open between passes. Use as a context manager; one thread at a time."""

    def __init__(self, settings: Settings, pair: PairSettings, stop: threading.Event) -> None:
        self.settings, self.pair, self.stop = settings, pair, stop
        folder = Path(settings.state_dir)
        self.ledgers = {
            Side.CRM: Ledger(folder, pair, Side.CRM, told=daily_budget),
            Side.TABLE: Ledger(folder, pair, Side.TABLE),
        }
        self._memory = Memory(pair.full_every)
        self._crm: HighLevelSide | None = None
        self._table: AirtableSide | GridSide | None = None

    def crm(self) -> HighLevelSide:
        """HighLevel's side; connected on first use. Raises `ConfigError` where the token's reference is empty."""
        if self._crm is None:
            ghl = self.pair.ghl
            client = connect(
                ghl.secret(),
                ghl.location_id,
                version=ghl.version,
                base_url=ghl.base_url,
                stop=self.stop,
                on_sent=self.ledgers[Side.CRM].sent,
                traced=True,
            )
            self._crm = HighLevelSide(client, self.pair.fields(), ghl.pipelines)
        return self._crm

    def table(self, store: Store) -> AirtableSide | GridSide:
        """The table's side; connected on first use. Raises `ConfigError` where a token's reference is empty."""
        table = self.pair.table
        if self._table is None and isinstance(table, AirtableSettings):
            self._table = open_airtable(
                base_url=table.base_url,
                token=table.secret(),
                base_id=table.base_id,
                table=table.table,
                fields=self.pair.fields(),
                key_column=self.pair.key_column,
                message_column=self.pair.message_column,
                explicit=self.pair.explicit,
                remembered=store.fact("columns") or {},
                stop=self.stop,
                on_sent=self.ledgers[Side.TABLE].sent,
                traced=True,
            )
        elif self._table is None and not isinstance(table, AirtableSettings):
            self._table = GridSide(
                open_grid(
                    table, self.pair.key_column, stop=self.stop, on_sent=self.ledgers[Side.TABLE].sent, traced=True
                ),
                self.pair.fields(),
                self.pair.key_column,
                self.pair.message_column,
                self.pair.explicit,
                table.edited_column,
            )
        assert self._table is not None  # one of both
        if isinstance(self._table, GridSide):
            self._table.remember_in(store)  # which belongs to the thread of this pass
        return self._table

    def open(self, progress: Progress, store: Store) -> Pair:
        """The pair over a store that this thread has opened, and closes."""
        highlevel, table = self.crm(), self.table(store)
        crm: CrmSide = highlevel
        return Pair(
            self.pair.name,
            self.pair.fields(),
            crm,
            table,
            store,
            Side.TABLE if self.pair.policy.tie == "table" else Side.CRM,
            self.pair.skew,
            self.pair.read_lag,
            stopping=self.stop.is_set,
            progress=progress,
            limits=self.pair.guard.limits(),
            policy=self.pair.policy.policy(),
            siblings=frozenset(one.name for one in self.settings.pair),
            parallel=True,
            new_deals=self.pair.policy.new_row == "deal",
        )

    def run_pass(self, progress: Progress, *, patient: bool = False) -> PassResult:
        """One pass; its store belongs to the thread it runs in. What keeps the pair from being opened is its result.

        A `patient` pass is one of many: it leaves cells alone that somebody is typing into (SPEC §4), and looks at what
        has changed since the one before, where that is known.
        """
        store: Store | None = None
        for ledger in self.ledgers.values():
            ledger.keeping = True
        try:
            store = Store(Path(self.settings.state_dir), self.pair.name)
            pair = self.open(progress, store)
            if patient:
                pair.quiet_seconds, pair.memory = self.pair.quiet, self._memory
                wanted, now = self.settings.interval_of(self.pair), time.time()
                self._memory.full_every = standing(store, self.settings.pair, self.pair, wanted, now).full_every
            return run_pass(pair)
        except (ConfigError, Misconfigured) as error:
            return PassResult(self.pair.name, error=str(error), misconfigured=True)
        except StoreFailed as error:
            self._memory = Memory(self.pair.full_every)
            return PassResult(self.pair.name, error=str(error))
        finally:
            if store is not None:
                for ledger in self.ledgers.values():
                    ledger.keep(store)
                store.close()

    def close(self) -> None:
        """Closes the connections."""
        if self._crm is not None:
            self._crm.client.http.close()
        if self._table is not None:
            self._table.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
