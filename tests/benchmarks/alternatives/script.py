"""The script that public recipes come to: page both sides, compare hashes with the last ones, write what differs.

All fields of a changed record are written; where both sides changed, the later `updatedAt` or `Last modified` wins.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from tests.benchmarks.alternatives.clients import KEY, SHARED, STAMP, HighLevel, Record, Table
from tests.benchmarks.alternatives.meter import report_peak


def digest(record: Record) -> str:
    """A hash of the columns that go both ways."""
    text = json.dumps([record[column] for column in SHARED], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sync(remembered: dict[str, str]) -> int:
    """One pass; `remembered` maps deals to hashes and is brought up to date. Returns how many records failed."""
    highlevel, table = HighLevel(), Table()
    deals = {deal["id"]: highlevel.record(deal) for deal in highlevel.deals()}
    rows = table.rows()
    row_of = {record[KEY]: row for row, record in rows.items() if record[KEY]}
    to_make: list[Record] = []
    to_update: dict[str, Record] = {}
    failed = 0
    for deal_id, deal in deals.items():
        if deal_id not in row_of:
            to_make.append(deal)
            continue
        row = rows[row_of[deal_id]]
        before = remembered.get(deal_id)
        deal_changed, row_changed = digest(deal) != before, digest(row) != before
        if digest(deal) == digest(row):
            remembered[deal_id] = digest(deal)
        elif deal_changed and (not row_changed or deal[STAMP] >= row[STAMP]):
            to_update[row_of[deal_id]] = deal
        else:
            try:
                highlevel.update(deal_id, row)
                remembered[deal_id] = digest(row)
            except Exception as error:
                print(f"{deal_id}: {error}", file=sys.stderr)
                failed += 1
    for row_id, record in rows.items():
        if not record[KEY] and record["Name"] and record["Email"]:
            try:
                table.update({row_id: {KEY: highlevel.create(record)}})
            except Exception as error:
                print(f"{row_id}: {error}", file=sys.stderr)
                failed += 1
    try:
        table.make(to_make)
        table.update(to_update)
    except Exception as error:
        print(f"rows: {error}", file=sys.stderr)
        return failed + 1
    remembered |= {record[KEY]: digest(record) for record in [*to_make, *to_update.values()]}
    return failed


def main() -> int:
    """One pass with the hashes of the last."""
    path = Path(os.environ["BENCH_STATE"]) / "hashes.json"
    remembered = json.loads(path.read_text()) if path.exists() else {}
    try:
        return 1 if sync(remembered) else 0
    finally:
        path.write_text(json.dumps(remembered))
        report_peak()


if __name__ == "__main__":
    sys.exit(main())
