"""The whole sandbox: a HighLevel and an Airtable over HTTP on 127.0.0.1, with a fresh deals table between them; and a
Google with an empty spreadsheet of the same columns, where it is asked for.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .airtable import Airtable
from .control import Controlled
from .data import make_location
from .highlevel import HighLevel
from .sheets import GoogleSheets
from .wire import Faulty, PortUnusable, Served, serve

TABLE = "Deals"
SPREADSHEET = "1SandboxSpreadsheetOfDeals00000000000000000"


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of a deal that the two sides hold differently, found without any code of the engine."""

    deal: str
    field: str
    highlevel: Any
    airtable: Any


class Sandbox:
    """Both services, served. `highlevel` and `airtable` are edited as people do through their own methods; `crm_http`
    and `table_http` hold the faults and the request logs. Use as a context manager.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        deals: int = 250,
        lag_seconds: float = 0.0,
        rate_per_second: int | None = 5,
        crm_port: int = 0,
        table_port: int = 0,
        clock: Callable[[], float] = time.time,
        owners_as_select: bool = False,
        with_google: bool = False,
        google_port: int = 0,
    ) -> None:
        self.highlevel = HighLevel(make_location(seed, deals), lag_seconds=lag_seconds, clock=clock)
        self.airtable = Airtable(seed=seed, rate_per_second=rate_per_second, clock=clock)
        pipelines = self.highlevel.pipelines
        stages = dict.fromkeys(_tidy(stage["name"]) for pipeline in pipelines for stage in pipeline["stages"])
        self.table_id = self.airtable.deals_table(
            name=TABLE,
            stages=list(stages),
            pipelines=[_tidy(pipeline["name"]) for pipeline in pipelines],
            owners=[user["name"] for user in self.highlevel.users] if owners_as_select else None,
        )
        self.crm_http = Faulty(self.highlevel, clock=clock)
        self.table_http = Faulty(self.airtable, clock=clock)
        self.crm_control = Controlled(self.crm_http, self.highlevel)
        self.table_control = Controlled(self.table_http, self.airtable)
        self.google = GoogleSheets(clock=clock)
        self.google_http = Faulty(self.google, clock=clock)
        self.google_control = Controlled(self.google_http, self.google)
        self.served_google: Served | None = None
        self.served_crm = serve(self.crm_control, port=crm_port, clock=clock)
        try:
            self.served_table = serve(self.table_control, port=table_port, clock=clock)
        except PortUnusable:
            self.served_crm.close()
            raise
        if with_google:
            book = self.google.add_book(SPREADSHEET, "Deals of the sandbox")
            book.roles[self.google.email] = "writer"
            names = [_tidy(pipeline["name"]) for pipeline in pipelines]
            self.google.deals_tab(SPREADSHEET, TABLE, stages=list(stages), pipelines=names)
            try:
                self.served_google = serve(self.google_control, port=google_port, clock=clock)
            except PortUnusable:
                self.close()
                raise
            self.google.url = self.served_google.url

    @property
    def crm_url(self) -> str:
        """HighLevel's address."""
        return self.served_crm.url

    @property
    def table_url(self) -> str:
        """Airtable's address."""
        return self.served_table.url

    @property
    def google_url(self) -> str:
        """The address of Google Sheets, Drive and Google's sign-in; "" where none is served."""
        return self.google.url

    def environment(self) -> dict[str, str]:
        """The variables with which `syncd` works on this sandbox without a configuration file."""
        return {
            "GHL_TOKEN": self.highlevel.token,
            "GHL_LOCATION_ID": self.highlevel.location_id,
            "GHL_BASE_URL": self.crm_url,
            "AIRTABLE_TOKEN": self.airtable.settings.token,
            "AIRTABLE_BASE_ID": self.airtable.base_id,
            "AIRTABLE_TABLE": TABLE,
            "AIRTABLE_BASE_URL": self.table_url,
        }

    def row_of(self, deal_id: str) -> str:
        """The id of the one row that carries this deal's id; LookupError if there is none or more than one."""
        found = self.airtable.find_rows(TABLE, "GHL ID", deal_id)
        if len(found) != 1:
            raise LookupError(f"{len(found)} rows carry {deal_id}")
        return found[0]

    def differences(self, table: Iterable[dict[str, Any]] | None = None) -> list[Difference]:
        """What the two sides hold differently; a deal without exactly one row counts as one difference. `table` are the
        rows of another table than Airtable's."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in self.airtable.rows(TABLE).values() if table is None else table:
            rows.setdefault(str(row.get("GHL ID", "")), []).append(row)
        stages = {
            stage["id"]: (pipeline["name"], stage["name"])
            for pipeline in self.highlevel.pipelines
            for stage in pipeline["stages"]
        }
        users = {user["id"]: user["name"] for user in self.highlevel.users}
        found = []
        for deal in self.highlevel.deals():
            own = rows.get(deal["id"], [])
            if len(own) != 1:
                found.append(Difference(deal["id"], "row", "one row", f"{len(own)} rows"))
                continue
            pipeline, stage = stages[deal["pipelineStageId"]]
            expected = {
                "Name": deal["name"],
                "Pipeline": pipeline,
                "Stage": stage,
                "Status": deal["status"],
                "Owner": users.get(deal.get("assignedTo") or "", ""),
            }
            for column, value in expected.items():
                if _tidy(value).casefold() != _tidy(own[0].get(column)).casefold():
                    found.append(Difference(deal["id"], column, value, own[0].get(column)))
            money = Decimal(str(deal.get("monetaryValue") or 0)), Decimal(str(own[0].get("Value") or 0))
            if round(money[0], 2) != round(money[1], 2):
                found.append(Difference(deal["id"], "Value", deal.get("monetaryValue"), own[0].get("Value")))
        return found

    def close(self) -> None:
        """Stops the servers."""
        self.served_crm.close()
        self.served_table.close()
        if self.served_google is not None:
            self.served_google.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _tidy(text: object) -> str:
    return " ".join(unicodedata.normalize("NFC", str(text or "")).split())
