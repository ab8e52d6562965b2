"""What people typed, what was written, and what became of it: all from the sandbox's own logs.

A value is compared as text in one form for both sides (`Ledger.in_crm`, `Ledger.in_table`), without any code of syncd.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from syncd.sandbox.wire import Logged
from syncd.sandbox.world import TABLE, Sandbox

SideName = Literal["crm", "table"]
COLUMNS = {"Name": "name", "Stage": "stage", "Status": "status", "Value": "monetaryValue", "Owner": "assignedTo"}
_COLUMN_OF = {name: column for column, name in COLUMNS.items()}


@dataclass(frozen=True, slots=True)
class Edit:
    """A person types `value` into a column of a deal, on one side; `at` in epoch seconds of the servers' clock."""

    deal: str
    column: str
    value: str
    side: SideName
    at: float


@dataclass(slots=True)
class Counts:
    """What was asked and written since the last `Ledger.forget`.

    `fields_written` and `fields_equal`: named in writes to records that were there, and those of them that held the
    value already. `writes_equal`: writes of a record of which that is true of every field. `fired`: starts of the
    customer's workflows by the API. `undone`: API writes that replaced what a person had typed last.
    """

    crm_reads: int = 0
    crm_writes: int = 0
    table_reads: int = 0
    table_writes: int = 0
    fields_written: int = 0
    fields_equal: int = 0
    writes_equal: int = 0
    fired: int = 0
    undone: int = 0

    @property
    def calls(self) -> int:
        """Requests to both sides."""
        return self.crm_reads + self.crm_writes + self.table_reads + self.table_writes

    @property
    def writes(self) -> int:
        """Those that write."""
        return self.crm_writes + self.table_writes


@dataclass(slots=True)
class Fate:
    """What became of people's last words: on both sides, on one only, on neither; and records too many or missing.

    `in_window`: those of the lost that were typed into a record while a write of it was on its way.
    """

    carried: int = 0
    one_side: list[Edit] = field(default_factory=list)
    lost: list[Edit] = field(default_factory=list)
    in_window: int = 0
    duplicates: int = 0
    missing: int = 0


class Ledger:
    """Plays people on a sandbox and keeps account of their edits."""

    def __init__(self, sandbox: Sandbox, clock: Callable[[], float]) -> None:
        self.sandbox = sandbox
        self._clock = clock
        self.edits: list[Edit] = []
        self.in_window: list[Edit] = []
        self.new_deals: list[str] = []
        self.new_rows: dict[str, str] = {}  # the row of each name
        self._crm_writes: list[list[tuple[Any, Any]]] = []
        self._seen = 0
        self._stages = {
            stage["id"]: (pipeline["id"], _tidy(stage["name"]))
            for pipeline in sandbox.highlevel.pipelines
            for stage in pipeline["stages"]
        }
        self._users = {user["id"]: str(user["name"]) for user in sandbox.highlevel.users}
        self._first_deals = {str(deal["id"]) for deal in sandbox.highlevel.deals()}
        sandbox.highlevel.automations.append(self._written)

    def _written(self, *_: object) -> None:
        """After each write of a deal by the API: the triggers since the last one are that write's."""
        triggers = self.sandbox.highlevel.triggers
        mine = [one for one in triggers[self._seen :] if one.source == "api" and one.field]
        self._seen = len(triggers)
        if mine:  # none: a new deal
            self._crm_writes.append([(one.old, one.new) for one in mine])

    # --- people --------------------------------------------------------------------------------------------------

    def type(self, side: SideName, deal: str, column: str, value: str) -> None:
        """A person types; remembered even where the row to type into is gone."""
        if side == "crm":
            self.sandbox.highlevel.person_edit(deal, **self._crm_form(deal, column, value))
        elif rows := self.sandbox.airtable.find_rows(TABLE, "GHL ID", deal):
            cell: Any = float(value) if column == "Value" else value
            self.sandbox.airtable.person_edit(TABLE, rows[0], {column: cell})
        self.edits.append(Edit(deal, column, _of_table(column, value), side, self._clock()))

    def add_deal(self, name: str) -> None:
        """A person makes a deal in HighLevel, for a new contact."""
        contact = {"firstName": name, "email": f"{name.replace(' ', '.').lower()}@new.example"}
        self.new_deals.append(self.sandbox.highlevel.person_create(name=name, contact=contact, monetaryValue=700))

    def add_row(self, name: str) -> None:
        """A person makes a row with a name and an email: it is to become a deal."""
        email = f"{name.replace(' ', '.').lower()}@new.example"
        pipeline = self.sandbox.highlevel.pipelines[0]
        cells = {"Name": name, "Email": email, "Value": 800, "Status": "open", "Pipeline": _tidy(pipeline["name"])}
        cells["Stage"] = _tidy(pipeline["stages"][0]["name"])
        self.new_rows[name] = self.sandbox.airtable.person_add(TABLE, cells)

    @staticmethod
    def tidy(text: object) -> str:
        """A name as both sides can show it: in NFC, white space collapsed."""
        return _tidy(text)

    def _crm_form(self, deal: str, column: str, value: str) -> dict[str, Any]:
        if column == "Stage":
            pipeline = self.sandbox.highlevel.deal(deal)["pipelineId"]
            return {"pipelineStageId": next(key for key, at in self._stages.items() if at == (pipeline, value))}
        if column == "Owner":
            return {"assignedTo": next(key for key, name in self._users.items() if name == value)}
        return {COLUMNS[column]: int(value) if column == "Value" else value}

    # --- what stands where ---------------------------------------------------------------------------------------

    def in_crm(self, deal: str, column: str) -> str | None:
        """What a deal holds; None where it is gone."""
        try:
            held = self.sandbox.highlevel.deal(deal)
        except KeyError:
            return None
        name = "pipelineStageId" if column == "Stage" else COLUMNS[column]
        return self._of_crm(column, held.get(name))

    def in_table(self, deal: str, column: str) -> str | None:
        """What a deal's row holds; None where there is none, or more than one and they differ."""
        rows = self.sandbox.airtable.find_rows(TABLE, "GHL ID", deal)
        held = {_of_table(column, self.sandbox.airtable.row(TABLE, row).get(column)) for row in rows}
        return held.pop() if len(held) == 1 else None

    def _of_crm(self, column: str, value: Any) -> str:
        if column == "Stage":
            return self._stages.get(str(value or "").rpartition(":")[2], ("", ""))[1]
        if column == "Owner":
            return self._users.get(str(value or ""), "")
        return _of_table(column, value)

    def last_words(self) -> list[Edit]:
        """The last edit of each field of each deal: what must stand in the end."""
        last: dict[tuple[str, str], Edit] = {}
        for edit in self.edits:
            last[edit.deal, edit.column] = edit
        return list(last.values())

    def fate(self) -> Fate:
        """What has become of everything so far."""
        found = Fate()
        for edit in self.last_words():
            stands = [held(edit.deal, edit.column) == edit.value for held in (self.in_crm, self.in_table)]
            if all(stands):
                found.carried += 1
            else:
                (found.one_side if any(stands) else found.lost).append(edit)
        found.in_window = sum(edit in self.in_window for edit in found.lost)
        self._count_records(found)
        return found

    def _count_records(self, found: Fate) -> None:
        """Every deal must have one row, and every row that a person made one deal."""
        rows = self.sandbox.airtable.rows(TABLE)
        names = {str(deal["id"]): str(deal["name"]) for deal in self.sandbox.highlevel.deals()}
        rows_of = Counter(str(cells.get("GHL ID", "")) for cells in rows.values())
        known = self._first_deals | set(self.new_deals)
        made = Counter(name for deal, name in names.items() if deal not in known)
        found.missing += len(known - set(names))  # deals that went
        found.missing += sum(rows_of[deal] == 0 for deal in names)  # deals without a row
        found.missing += sum(made[name] == 0 for name in self.new_rows)  # rows that became no deal
        found.missing += sum(row not in rows for row in self.new_rows.values())  # rows that went
        found.duplicates += sum(rows_of[deal] - 1 for deal in names if rows_of[deal] > 1)
        found.duplicates += sum(count - (name in self.new_rows) for name, count in made.items())

    # --- counting ------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Counts start anew; edits are kept."""
        self.sandbox.crm_http.log.clear()
        self.sandbox.table_http.log.clear()
        self.sandbox.highlevel.triggers.clear()
        self.sandbox.airtable.writes.clear()
        self._crm_writes.clear()
        self._seen = 0

    def counts(self) -> Counts:
        """What happened since `forget`."""
        found = Counts()
        found.crm_reads, found.crm_writes = _sorted_calls(self.sandbox.crm_http.log, "/opportunities/search")
        found.table_reads, found.table_writes = _sorted_calls(self.sandbox.table_http.log, "/listRecords")
        for crm_changes in self._crm_writes:
            _count(found, crm_changes)
        for write in self.sandbox.airtable.writes:
            if write.source == "publicApi" and write.kind == "update":
                _count(found, list(write.fields.values()))
        found.fired = sum(one.source == "api" for one in self.sandbox.highlevel.triggers)
        found.undone = self._undone()
        return found

    def _undone(self) -> int:
        """API writes, in the order of time, that put something else in the place of a person's last word."""
        happened: list[tuple[float, str, str, str | None, str]] = [
            (edit.at, edit.deal, edit.column, None, edit.value) for edit in self.edits
        ]
        for one in self.sandbox.highlevel.triggers:
            if one.source == "api" and (column := _COLUMN_OF.get(one.field)):
                happened.append(
                    (one.at, one.deal_id, column, self._of_crm(column, one.old), self._of_crm(column, one.new))
                )
        key_of = {row: str(cells.get("GHL ID", "")) for row, cells in self.sandbox.airtable.rows(TABLE).items()}
        for write in self.sandbox.airtable.writes:
            if write.source == "publicApi" and write.kind == "update":
                for column in set(write.fields) & set(COLUMNS):
                    old, new = (_of_table(column, value) for value in write.fields[column])
                    happened.append((write.at, key_of.get(write.record_id, ""), column, old, new))
        words: dict[tuple[str, str], str] = {}
        undone = 0
        for _, deal, column, before, after in sorted(happened, key=lambda one: one[0]):
            if before is None:
                words[deal, column] = after
            else:
                undone += words.get((deal, column)) == before != after
        return undone


def _count(found: Counts, changes: list[tuple[Any, Any]]) -> None:
    equal = sum(old == new for old, new in changes)
    found.fields_written += len(changes)
    found.fields_equal += equal
    found.writes_equal += bool(changes) and equal == len(changes)


def _sorted_calls(log: Iterable[Logged], read_path: str) -> tuple[int, int]:
    reads = [line.method == "GET" or line.path.endswith(read_path) for line in list(log)]
    return reads.count(True), reads.count(False)


def _of_table(column: str, value: Any) -> str:
    if column == "Value":
        return str(round(Decimal(str(value or 0)), 2).normalize() + 0)
    return _tidy(value)


def _tidy(value: object) -> str:
    return " ".join(unicodedata.normalize("NFC", str(value or "")).split())
