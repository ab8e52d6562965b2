"""The rig with the words in which the tests of edits, rows and stages are told: what a pass does, to the last write."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from syncd.sandbox.world import TABLE
from tests.end_to_end.rig import Rig


class Desk(Rig):
    """A rig whose passes are checked write by write."""

    # --- people and what they see --------------------------------------------------------------------------------

    def later(self, seconds: float = 60.0) -> None:
        """Lets time pass on both servers, without waiting (only with the rig's own clock)."""
        self.time.offset += seconds

    def read(self, deal_id: str, key: str) -> Any:
        """A value that a deal holds, by HighLevel's name; None where it is empty."""
        return self.highlevel.deal(deal_id).get(key)

    def stage(self, deal_id: str) -> tuple[str, str]:
        """The names of a deal's pipeline and stage."""
        held = self.highlevel.deal(deal_id)["pipelineStageId"]
        for pipeline in self.highlevel.pipelines:
            for stage in pipeline["stages"]:
                if stage["id"] == held:
                    return str(pipeline["name"]), str(stage["name"])
        raise LookupError(held)

    def place(self, deal_ids: Iterable[str], pipeline: str, stage: str) -> None:
        """A person puts deals into a stage."""
        for deal_id in deal_ids:
            self.highlevel.person_edit(deal_id, pipelineStageId=self.highlevel.stage_id(pipeline, stage))

    def options(self, column: str) -> list[str]:
        """The options that a select of the table offers."""
        found = self.airtable.column(self.airtable.table(TABLE), column)
        return [choice.name for choice in found.choices]

    # --- passes --------------------------------------------------------------------------------------------------

    def fill(self) -> list[str]:
        """The first pass; returns the ids of all deals. What it did is forgotten."""
        self.reconcile()
        same("differences after the first pass", self.sandbox.differences(), [])
        self.forget_log()
        return [str(deal["id"]) for deal in self.deals()]

    def write_config(
        self, *, pipelines: list[str] | None = None, policy: str = "", pair: str = "", fields: str = ""
    ) -> None:
        """Writes config/syncd.toml, where every command finds it; `pair`, `policy` and `fields` are TOML."""
        ghl = f"pipelines = {json.dumps(pipelines, ensure_ascii=False)}" if pipelines is not None else ""
        text = f"""
[[pair]]
name = "default"
{pair}
[pair.ghl]
location_id = "{self.highlevel.location_id}"
token = "env:GHL_TOKEN"
base_url = "{self.sandbox.crm_url}"
{ghl}
[pair.table]
type = "airtable"
base_id = "{self.airtable.base_id}"
table = "{TABLE}"
token = "env:AIRTABLE_TOKEN"
base_url = "{self.sandbox.table_url}"
[pair.policy]
{policy}
{fields}
"""
        path = self.folder / "config" / "syncd.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def messages(self) -> list[tuple[str, str]]:
        """(row, text) of every write to a Sync cell by syncd, oldest first."""
        return [
            (write.record_id, write.fields["Sync"][1] or "")
            for write in self.airtable.writes
            if write.source == "publicApi" and "Sync" in write.fields and write.kind == "update"
        ]

    def table_calls(self) -> list[Any]:
        """Requests that wrote to Airtable."""
        log = self.sandbox.table_http.log
        return [line for line in log if line.method != "GET" and not line.path.endswith("/listRecords")]

    def gets(self) -> list[Any]:
        """Requests that read one deal of HighLevel by its id."""
        listed = ("/opportunities/search", "/opportunities/pipelines")
        log = self.sandbox.crm_http.log
        return [
            one
            for one in log
            if one.method == "GET" and one.path.startswith("/opportunities/") and one.path not in listed
        ]

    def cells(self) -> list[tuple[str, str]]:
        """(deal, column) of every cell that syncd wrote into rows that were there, Sync left out; a row without an id
        goes by its own."""
        rows = self.airtable.rows(TABLE)
        return sorted(
            (str(rows.get(write.record_id, {}).get("GHL ID", write.record_id)), column)
            for write in self.table_writes()
            if write.kind == "update"
            for column in set(write.fields) - {"Sync"}
        )

    def expect(
        self,
        *,
        fired: Iterable[tuple[str, str]] = (),
        cells: Iterable[tuple[str, str]] = (),
        made: Iterable[str] = (),
        told: int = 0,
        code: int = 0,
        conflicts: int = 0,
        rest: bool = True,
    ) -> dict[str, Any]:
        """A pass that does exactly this, and a further one that writes nothing.

        `fired` are the workflow triggers (one PUT a deal), `cells` the cells written into rows that are there (one
        write a row), `made` the deals that get a new row, `told` how many Sync cells are written; `code` is the exit
        code.
        """
        self.forget_log()
        printed = self.reconcile(expect=code)
        wanted_fired, wanted_cells, wanted_rows = sorted(fired), sorted(cells), sorted(made)
        rows_made = [write for write in self.table_writes() if write.kind == "create"]
        wanted_deals, wanted_keyed = {deal for deal, _ in wanted_fired}, {deal for deal, _ in wanted_cells}
        keyed = len(wanted_keyed) - self._only_keys(wanted_cells)
        asked = {"crm": len(self.sandbox.crm_http.log), "table": len(self.sandbox.table_http.log)}
        same("workflows fired", sorted(self.fired()), wanted_fired)
        same("writes to HighLevel", len(self.crm_writes()), len(wanted_deals))
        same("cells written", self.cells(), wanted_cells)
        same("rows made", sorted(write.fields["GHL ID"][1] for write in rows_made), wanted_rows)
        same("row writes", len(self.table_writes()), len(wanted_keyed) + len(wanted_rows))
        same("Sync cells written", (len(self.messages()), self.messages()), (told, self.messages()))
        same("printed as updated", printed["updated"], {"crm": len(wanted_deals), "table": keyed})
        same("printed as created", printed["created"], {"crm": 0, "table": len(wanted_rows)})
        same("printed as deleted", printed["deleted"], {"crm": 0, "table": 0})
        same("conflicts and failures", (printed["conflicts"], printed["failed"]), (conflicts, 0))
        same("printed as calls", printed["calls"], asked)
        if rest:
            self.rests(code)
        return printed

    @staticmethod
    def _only_keys(cells: list[tuple[str, str]]) -> int:
        """Rows of which nothing but the key was written: these are not counted (CONTRACT)."""
        columns: dict[str, set[str]] = {}
        for deal, column in cells:
            columns.setdefault(deal, set()).add(column)
        return sum(named == {"GHL ID"} for named in columns.values())

    def rests(self, code: int = 0) -> None:
        """A further pass writes nothing anywhere, not even a message, and ends with the same exit code."""
        self.forget_log()
        printed = self.reconcile(expect=code)
        same("writes of a pass at rest", (self.crm_writes(), self.table_calls(), self.fired()), ([], [], []))
        same("cells written at rest", self.airtable.writes, [])
        none = {"crm": 0, "table": 0}
        for key in ("created", "updated", "deleted"):
            same(f"printed as {key}", printed[key], none)
        same("at rest", (printed["conflicts"], printed["held"], printed["failed"]), (0, 0, 0))


def same(what: str, found: object, wanted: object) -> None:
    """Fails with both values where they differ: pytest explains only the asserts of test modules."""
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}\nexpected: {wanted!r}")
