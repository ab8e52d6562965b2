"""A rig with any kind of table, in which every pass is checked by what it changed: cells, rows, messages, workflows."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from syncd.model import Side
from syncd.pairs import Connection
from syncd.settings import load_settings
from syncd.tables import airtable, google_client
from tests.end_to_end.desk import Desk, same
from tests.end_to_end.rig import Ran
from tests.end_to_end.sheets.tables import KEY, Cells, table_of

SYNC = "Sync"


class Room(Desk):
    """A filled table of one kind beside HighLevel. `table` is what people have; `kind` which one it is."""

    def __init__(self, folder: Path, kind: str, *, deals: int = 8, config: str = "", pair: str = "") -> None:
        super().__init__(folder, deals=deals, with_google=kind == "google")
        self.kind = kind
        self.table = table_of(kind, self.sandbox, folder)
        self.environment = {
            "GHL_TOKEN": self.highlevel.token,
            "AIRTABLE_TOKEN": self.airtable.settings.token,
            "SYNCD_STATE_DIR": str(folder / "state"),
            **self.table.environment(),
        }
        self.configure(config, pair)
        for deal in self.deals():
            self.place([deal["id"]], "Sales", "New Lead")
            self.highlevel.person_edit(deal["id"], status="open", monetaryValue=100, assignedTo=None)

    def configure(self, more: str = "", pair: str = "") -> None:
        """Writes config/syncd.toml; `pair` is TOML of the pair itself, `more` of its further sections."""
        path = self.folder / "config" / "syncd.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f'[[pair]]\nname = "default"\n{pair}\n[pair.ghl]\n'
            f'location_id = "{self.highlevel.location_id}"\ntoken = "env:GHL_TOKEN"\n'
            f'base_url = "{self.sandbox.crm_url}"\n'
            f"[pair.table]\n{self.table.settings()}\n{more}\n",
            encoding="utf-8",
        )

    def run(self, *arguments: str, typed: str = "", **environment: str) -> Ran:
        """As the rig's; Google's quota of 60 reads a minute is opened wide, too."""
        with ExitStack() as stack:
            if threading.current_thread() is threading.main_thread():
                stack.enter_context(mock.patch.object(google_client, "QUOTA", 100_000))
            return super().run(*arguments, typed=typed, **environment)

    # --- what people see ----------------------------------------------------------------------------------------------

    def row(self, deal_id: str) -> Cells:
        """The one row of a deal, or of this name."""
        found = [cells for cells in self.table.rows() if deal_id in (cells.get(KEY), cells.get("Name"))]
        if len(found) != 1:
            raise LookupError(f"{len(found)} rows of {deal_id}: {found}")
        return found[0]

    def type(self, deal_id: str, **cells: Any) -> None:
        """A person types into the row of a deal."""
        self.table.type(deal_id, **cells)

    def differences(self) -> list[Any]:
        """What the two sides hold differently."""
        return list(self.sandbox.differences(self.table.rows()))

    def keys(self) -> list[str]:
        """The keys of all rows that have one."""
        return sorted(str(cells[KEY]) for cells in self.table.rows() if KEY in cells)

    def history(self) -> list[dict[str, Any]]:
        """Every change that was written, oldest first, with the deal and the side."""
        return [
            {**change, "deal": write["deal"], "side": write["side"]}
            for write in self.run("history", "--json").json["writes"]
            for change in write["changes"]
        ]

    # --- passes -------------------------------------------------------------------------------------------------------

    def forget_log(self) -> None:
        """Counts start anew."""
        super().forget_log()
        self.sandbox.google_http.log.clear()

    def fill(self) -> list[str]:
        """The first pass; returns the deals' ids in a stable order."""
        wide = mock.patch.object(google_client, "QUOTA", 100_000), mock.patch.object(airtable, "BUCKET_COUNT", 100_000)
        with wide[0], wide[1]:
            settings = load_settings(self.folder / "config" / "syncd.toml", self.environment)
            table = settings.pair[0].table
            if table.type == "workbook":
                table = table.model_copy(update={"path": str(self.folder / table.path)})
            pair = settings.pair[0].model_copy(update={"table": table})
            with Connection(settings, pair, threading.Event()) as connection:
                result = connection.run_pass(lambda _what, _done, _total: None)
        same("made by the first pass", result.tally.created, {Side.CRM: 0, Side.TABLE: len(self.deals())})
        same("differences after the first pass", self.differences(), [])
        self.forget_log()
        return sorted(str(deal["id"]) for deal in self.deals())

    def expect(  # type: ignore[override]
        self,
        *,
        fired: Iterable[tuple[str, str]] = (),
        cells: Iterable[tuple[str, str]] = (),
        made: Iterable[str] = (),
        told: Iterable[str] = (),
        code: int = 0,
        conflicts: int = 0,
        rest: bool = True,
    ) -> dict[str, Any]:
        """A pass that does exactly this, and a further one that writes nothing. `told` are the rows, by deal or name,
        whose Sync cell became another; the rest is as in `Desk.expect`. No row may change its place in the table."""
        self.forget_log()
        before = self.table.rows()
        printed = self.reconcile(expect=code)
        after = self.table.rows()
        wanted, wanted_cells, wanted_rows = sorted(fired), sorted(cells), sorted(made)
        changed, said = _changes(before, after)
        news = sorted(str(cells.get(KEY)) for cells in after[len(before) :])
        same("workflows fired", sorted(self.fired()), wanted)
        deals = {deal for deal, _ in wanted}
        same("writes to HighLevel", len(self.crm_writes()), len(deals))
        same("cells written", changed, wanted_cells)
        same("rows made", news, wanted_rows)
        same("Sync cells written", said, sorted(told))
        keyed = {deal for deal, column in wanted_cells if column != KEY}
        same("printed as updated", printed["updated"], {"crm": len(deals), "table": len(keyed)})
        same("printed as created", printed["created"], {"crm": 0, "table": len(wanted_rows)})
        same("printed as deleted", printed["deleted"], {"crm": 0, "table": 0})
        same("conflicts and failures", (printed["conflicts"], printed["failed"]), (conflicts, 0))
        logs = {"airtable": self.sandbox.table_http.log, "google": self.sandbox.google_http.log}
        asked = {"crm": len(self.sandbox.crm_http.log), "table": len(logs.get(self.kind, []))}
        same("printed as calls", printed["calls"], asked)
        if rest:
            self.rests(code)
        return printed

    def rests(self, code: int = 0) -> None:
        """A further pass writes nothing anywhere: the very file stays, and no write is sent."""
        self.forget_log()
        before = self.table.state()
        printed = self.reconcile(expect=code)
        same("the table at rest", self.table.state() == before, True)
        same("writes of a pass at rest", (self.crm_writes(), self.table.writes(), self.fired()), ([], 0, []))
        none = {"crm": 0, "table": 0}
        for key in ("created", "updated", "deleted"):
            same(f"printed as {key}", printed[key], none)
        same("at rest", (printed["conflicts"], printed["held"], printed["failed"]), (0, 0, 0))

    def agrees(self) -> None:
        """One row a deal, both sides equal, no message, and at rest."""
        same("differences", self.differences(), [])
        same("messages", [cells[SYNC] for cells in self.table.rows() if SYNC in cells], [])
        same("keys", self.keys(), sorted(str(deal["id"]) for deal in self.deals()))
        self.rests()


def _changes(before: list[Cells], after: list[Cells]) -> tuple[list[tuple[str, str]], list[str]]:
    """(row, column) of the cells that became others, and the rows whose Sync cell did. A row goes by its new key, else
    by its name."""
    if len(after) < len(before):
        raise AssertionError(f"rows were lost: {json.dumps(before)}\n{json.dumps(after)}")
    changed, said = [], []
    for old, new in zip(before, after, strict=False):
        name = str(new.get(KEY) or new.get("Name"))
        columns = {column for column in {*old, *new} if old.get(column) != new.get(column)}
        changed += [(name, column) for column in columns - {SYNC}]
        said += [name] * (SYNC in columns)
    return sorted(changed), sorted(said)
