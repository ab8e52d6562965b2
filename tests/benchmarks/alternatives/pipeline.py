"""A dlt pipeline that reads the same deals into SQLite: one way. Runs in the environment of `install.py`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt  # type: ignore[import-not-found,unused-ignore]
from dlt.sources.helpers import requests  # type: ignore[import-not-found,unused-ignore]

from tests.benchmarks.alternatives.meter import report_peak


def pages() -> Iterator[list[dict[str, Any]]]:
    """All deals by search, 100 a page; dlt's own requests repeat what fails."""
    headers = {"Authorization": f"Bearer {os.environ['GHL_TOKEN']}", "Version": "2021-07-28"}
    body: dict[str, Any] = {"locationId": os.environ["GHL_LOCATION_ID"], "limit": 100, "page": 1}
    while True:
        answer = requests.post(f"{os.environ['GHL_BASE_URL']}/opportunities/search", json=body, headers=headers)
        rows = answer.json()["opportunities"]
        yield rows
        if len(rows) < 100:
            return
        body["page"] += 1


def main() -> int:
    """One pass: extract, normalize, merge by id."""
    folder = Path(os.environ["BENCH_STATE"])
    pipeline = dlt.pipeline(
        "deals",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.sqlalchemy(f"sqlite:///{folder / 'deals.db'}"),
        dataset_name="main",  # without a second file
    )
    resource = dlt.resource(
        pages,
        name="deals",
        primary_key="id",
        write_disposition="merge",
        max_table_nesting=0,
        columns={"monetary_value": {"data_type": "double"}},  # else whole numbers and others get two columns
    )
    try:
        pipeline.run(resource)
    finally:
        report_peak()
    return 0


if __name__ == "__main__":
    sys.exit(main())
