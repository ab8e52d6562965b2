"""The two clients that the script and the wiring of item_synchronizer share: httpx and pyairtable, as in recipes.

A record is a dict by column, the same for both sides. What fails for a passing reason is repeated three times, writes
too, as recipes and pyairtable's own retries do.
"""

from __future__ import annotations

import os
import time
import unicodedata
from typing import Any

import httpx
import pyairtable

KEY, STAMP = "GHL ID", "Last modified"  # STAMP: a column of that type, which the recipes tell one to add
SHARED = ("Name", "Pipeline", "Stage", "Status", "Value", "Owner")  # both ways
REPEATED = (429, 500, 502, 503, 504)
Record = dict[str, Any]


def tidy(text: object) -> str:
    """Names in one form: HighLevel's may hold spaces at the end, or accents in NFD."""
    return " ".join(unicodedata.normalize("NFC", str(text or "")).split())


class HighLevel:
    """The calls that are needed, and the names of stages and users."""

    def __init__(self) -> None:
        token, self._location = os.environ["GHL_TOKEN"], os.environ["GHL_LOCATION_ID"]
        headers = {"Authorization": f"Bearer {token}", "Version": "2021-07-28"}
        self._http = httpx.Client(base_url=os.environ["GHL_BASE_URL"], headers=headers, timeout=30)
        self._stages: dict[str, tuple[str, str, str]] = {}  # pipeline id, its name, the stage's name
        for pipeline in self._call("GET", "/opportunities/pipelines", params=self._here)["pipelines"]:
            for stage in pipeline["stages"]:
                self._stages[stage["id"]] = pipeline["id"], tidy(pipeline["name"]), tidy(stage["name"])
        users = self._call("GET", "/users/", params=self._here)["users"]
        self._users = {user["id"]: str(user["name"]) for user in users}

    @property
    def _here(self) -> dict[str, str]:
        return {"locationId": self._location}

    def _call(self, method: str, path: str, **sent: Any) -> Any:
        for pause in (0.2, 0.4, 0.8):
            try:
                answer = self._http.request(method, path, **sent)
            except httpx.TransportError:
                time.sleep(pause)
                continue
            if answer.status_code not in REPEATED:
                return answer.raise_for_status().json()
            time.sleep(float(answer.headers.get("Retry-After", pause)))
        return self._http.request(method, path, **sent).raise_for_status().json()

    def deals(self) -> list[Record]:
        """All deals, by search: 100 a page."""
        found: list[Record] = []
        while True:
            body = {**self._here, "limit": 100, "page": len(found) // 100 + 1}
            rows = self._call("POST", "/opportunities/search", json=body)["opportunities"]
            found += rows
            if len(rows) < 100:
                return found

    def deal(self, deal_id: str) -> Record:
        """One deal, current; KeyError where there is none."""
        try:
            found: Record = self._call("GET", f"/opportunities/{deal_id}")["opportunity"]
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 404:
                raise KeyError(deal_id) from error
            raise
        return found

    def update(self, deal_id: str, record: Record) -> None:
        """PUT of all fields."""
        self._call("PUT", f"/opportunities/{deal_id}", json=self._body(record))

    def create(self, record: Record) -> str:
        """The contact, found by email or made, and a deal for it; returns the deal's id."""
        person = {**self._here, "name": record["Name"], "email": record["Email"]}
        contact = self._call("POST", "/contacts/upsert", json=person)["contact"]["id"]
        body = {**self._here, **self._body(record), "contactId": contact}
        return str(self._call("POST", "/opportunities/", json=body)["opportunity"]["id"])

    def delete(self, deal_id: str) -> None:
        """Deletes a deal."""
        self._call("DELETE", f"/opportunities/{deal_id}")

    def record(self, deal: Record) -> Record:
        """A deal as a record: the shared columns, and those that only the table is given."""
        _, pipeline, stage = self._stages[deal["pipelineStageId"]]
        contact = deal.get("contact") or {}
        return {
            "Name": deal["name"],
            "Pipeline": pipeline,
            "Stage": stage,
            "Status": deal["status"],
            "Value": float(deal.get("monetaryValue") or 0),
            "Owner": self._users.get(deal.get("assignedTo") or "", ""),
            "Contact": contact.get("name") or "",
            "Email": contact.get("email") or "",
            "Phone": contact.get("phone") or "",
            "Company": contact.get("companyName") or "",
            "Source": deal.get("source") or "",
            KEY: deal["id"],
            STAMP: deal["updatedAt"],
        }

    def _body(self, record: Record) -> Record:
        """Every field of a record, in HighLevel's words."""
        where = record["Pipeline"], record["Stage"]
        stage = next(key for key, (_, *names) in self._stages.items() if tuple(names) == where)
        owner = next((key for key, name in self._users.items() if name == record["Owner"]), None)
        return {
            "name": record["Name"],
            "pipelineId": self._stages[stage][0],
            "pipelineStageId": stage,
            "status": record["Status"],
            "monetaryValue": record["Value"],
            "assignedTo": owner,
        }


class Table:
    """The table through pyairtable, whose own retries are told to mend 5xx too."""

    def __init__(self) -> None:
        retries = pyairtable.retry_strategy(status_forcelist=REPEATED)
        api = pyairtable.Api(
            os.environ["AIRTABLE_TOKEN"], endpoint_url=os.environ["AIRTABLE_BASE_URL"], retry_strategy=retries
        )
        self._table = api.table(os.environ["AIRTABLE_BASE_ID"], os.environ["AIRTABLE_TABLE"])

    def rows(self) -> dict[str, Record]:
        """All rows as records, by row id."""
        return {row["id"]: _record(row["fields"]) for row in self._table.all()}

    def row(self, row_id: str) -> Record:
        """One row; KeyError where there is none."""
        try:
            return _record(self._table.get(row_id)["fields"])
        except Exception as error:
            if getattr(getattr(error, "response", None), "status_code", None) == 404:
                raise KeyError(row_id) from error
            raise

    def make(self, records: list[Record]) -> dict[str, str]:
        """New rows by an upsert on the key, ten a call; returns the row of each key."""
        made = self._table.batch_upsert([{"fields": _cells(one)} for one in records], key_fields=[KEY])
        return {row["fields"][KEY]: row["id"] for row in made["records"]}

    def update(self, records: dict[str, Record]) -> None:
        """Writes all columns of rows, ten a call."""
        self._table.batch_update([{"id": row, "fields": _cells(record)} for row, record in records.items()])

    def delete(self, row_id: str) -> None:
        """Deletes a row."""
        self._table.delete(row_id)


def _record(cells: Record) -> Record:
    found = {column: cells.get(column) or "" for column in (*SHARED, "Email", KEY, STAMP)}
    return {**found, "Value": float(cells.get("Value") or 0)}


def _cells(record: Record) -> Record:
    return {column: value if value != "" else None for column, value in record.items() if column != STAMP}
