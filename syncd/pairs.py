"""From configuration to a pair that can be run: clients with their shared rate limits, sides, and the pair's store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from syncd.crm.highlevel import connect
from syncd.crm.side import HighLevelSide
from syncd.model import Side
from syncd.reconcile import Pair, PassResult, run_pass
from syncd.sides import CrmSide, TableSide
from syncd.store import Store
from syncd.tables.airtable import open_airtable

if TYPE_CHECKING:
    from syncd.daemon import Pulse
    from syncd.settings import PairSettings, Settings

Progress = Callable[[str, int, int], None]


class Connection:
    """The clients of one pair, kept open between passes. Use as a context manager; one thread at a time."""

    def __init__(self, settings: Settings, pair: PairSettings, stop: threading.Event) -> None:
        self.settings, self.pair, self.stop = settings, pair, stop
        self._crm: HighLevelSide | None = None
        self._table: TableSide | None = None
        self._stores: list[Store] = []

    def crm(self) -> HighLevelSide:
        """HighLevel's side; connected on first use. Raises `ConfigError` where the token's reference is empty."""
        if self._crm is None:
            ghl = self.pair.ghl
            client = connect(ghl.secret(), ghl.location_id, version=ghl.version, base_url=ghl.base_url, stop=self.stop)
            self._crm = HighLevelSide(client, self.pair.fields(), ghl.pipelines)
        return self._crm

    def table(self, store: Store) -> TableSide:
        """The table's side; connected on first use."""
        if self._table is None:
            table = self.pair.table
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
            )
        return self._table

    def open(self, progress: Progress, store: Store | None = None) -> Pair:
        """The pair with its store, opened in this thread unless one is given."""
        if store is None:
            store = Store(Path(self.settings.state_dir), self.pair.name)
        self._stores.append(store)
        crm: CrmSide = self.crm()
        return Pair(
            self.pair.name,
            self.pair.fields(),
            crm,
            self.table(store),
            store,
            Side.TABLE if self.pair.policy.tie == "table" else Side.CRM,
            self.pair.skew,
            self.pair.read_lag,
            stopping=self.stop.is_set,
            progress=progress,
        )

    def run_pass(self, pulse: Pulse) -> PassResult:
        """One pass for the daemon: its store belongs to the thread it runs in, every step is a sign of life."""
        store = Store(Path(self.settings.state_dir), self.pair.name)
        try:
            return run_pass(self.open(lambda _what, _done, _total: pulse.beat(self.pair.name), store))
        finally:
            store.close()
            self._stores.remove(store)

    def close(self) -> None:
        """Closes what this thread opened."""
        for store in self._stores:
            store.close()
        self._stores.clear()
        if self._crm is not None:
            self._crm.client.http.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
