"""The item_synchronizer engine wired to the same two clients, in the manner of its author's own program (syncall).

HighLevel is side A, Airtable side B. Changes are found by comparing a listing with the items of the last pass; an item
missing from a listing is asked for by id before it is called deleted. Runs in the environment of `install.py`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.alternatives.clients import KEY, SHARED, STAMP, HighLevel, Record, Table
from tests.benchmarks.alternatives.meter import report_peak


class State:
    """Which deal is which row, and what each item held when it was last brought into agreement."""

    def __init__(self, path: Path) -> None:
        from bidict import bidict  # type: ignore[import-not-found,unused-ignore]

        self._path = path
        kept = json.loads(path.read_text()) if path.exists() else {"ids": {}, "a": {}, "b": {}}
        self.ids: Any = bidict(kept["ids"])
        self.a: dict[str, list[Any]] = kept["a"]
        self.b: dict[str, list[Any]] = kept["b"]

    def save(self) -> None:
        """To the file."""
        self._path.write_text(json.dumps({"ids": dict(self.ids), "a": self.a, "b": self.b}))


def held(record: Record) -> list[Any]:
    """What is compared: the columns that go both ways."""
    return [record[column] for column in SHARED]


def changes(
    listed: dict[str, Record], known: dict[str, list[Any]], mapped: set[str], get: Callable[[str], Record]
) -> Any:
    """What is new, modified or deleted on one side."""
    from item_synchronizer.helpers import SideChanges  # type: ignore[import-not-found,unused-ignore]

    found = SideChanges(new={one for one in listed if one not in mapped})
    for one in mapped:
        try:
            record = listed[one] if one in listed else get(one)
        except KeyError:
            found.deleted.add(one)
        else:
            if held(record) != known.get(one):
                found.modified.add(one)
    return found


class Wiring:
    """The callables that the engine asks for."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.highlevel, self.table = HighLevel(), Table()

    def get_deal(self, deal_id: str) -> Record:
        """An item of side A."""
        return self.highlevel.record(self.highlevel.deal(deal_id))

    def get_row(self, row_id: str) -> Record:
        """An item of side B."""
        return {**self.table.row(row_id), "row": row_id}

    def insert_deal(self, record: Record) -> str:
        """Makes the deal of a row, and writes its id into the row."""
        deal = self.highlevel.create(record)
        self.table.update({record["row"]: {KEY: deal}})
        self.agree(deal, record["row"], record)
        return deal

    def insert_row(self, record: Record) -> str:
        """Makes the row of a deal."""
        row = self.table.make([record])[record[KEY]]
        self.agree(record[KEY], row, record)
        return row

    def update_deal(self, deal_id: str, record: Record) -> None:
        """Writes all fields of a row to its deal."""
        self.highlevel.update(deal_id, record)
        self.agree(deal_id, self.state.ids[deal_id], record)

    def update_row(self, row_id: str, record: Record) -> None:
        """Writes all fields of a deal to its row."""
        self.table.update({row_id: record})
        self.agree(self.state.ids.inverse[row_id], row_id, record)

    def delete_deal(self, deal_id: str) -> None:
        """A row went."""
        self.highlevel.delete(deal_id)

    def delete_row(self, row_id: str) -> None:
        """A deal went."""
        self.table.delete(row_id)

    def agree(self, deal_id: str, row_id: str, record: Record) -> None:
        """Remembers what both hold now; only once a write has succeeded, so that a failed one is tried again."""
        self.state.a[deal_id] = self.state.b[row_id] = held(record)

    def run(self) -> None:
        """One pass."""
        from item_synchronizer import MostRecentRS, Synchronizer  # type: ignore[import-not-found,unused-ignore]

        deals = {deal["id"]: self.highlevel.record(deal) for deal in self.highlevel.deals()}
        mapped = set(self.state.ids.inverse)
        rows = {
            row: {**record, "row": row}
            for row, record in self.table.rows().items()
            if row in mapped or (not record[KEY] and record["Name"] and record["Email"])
        }
        Synchronizer(
            A_to_B=self.state.ids,
            inserter_to_A=self.insert_deal,
            inserter_to_B=self.insert_row,
            updater_to_A=self.update_deal,
            updater_to_B=self.update_row,
            deleter_to_A=self.delete_deal,
            deleter_to_B=self.delete_row,
            converter_to_A=dict,
            converter_to_B=dict,
            item_getter_A=self.get_deal,
            item_getter_B=self.get_row,
            resolution_strategy=MostRecentRS(_stamp, _stamp),
            catch_exceptions=True,
            side_names=("HighLevel", "Airtable"),
        ).sync(
            changes_A=changes(deals, self.state.a, set(self.state.ids), self.get_deal),
            changes_B=changes(rows, self.state.b, mapped, self.get_row),
        )


def _stamp(record: Record) -> datetime:
    return datetime.fromisoformat(record[STAMP]).astimezone(UTC)


def main() -> int:
    """One pass with the items of the last."""
    state = State(Path(os.environ["BENCH_STATE"]) / "items.json")
    try:
        Wiring(state).run()
    finally:
        state.save()
        report_peak()
    return 0


if __name__ == "__main__":
    sys.exit(main())
