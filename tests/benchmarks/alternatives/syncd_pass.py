"""One pass of syncd by its command line, its rate buckets wide open: these servers have no limits."""

from __future__ import annotations

import sys
from unittest import mock

from syncd.cli.main import run
from syncd.crm import highlevel
from syncd.tables import airtable
from tests.benchmarks.alternatives.meter import report_peak


def main() -> int:
    """`syncd --reconcile --json`."""
    wide = 100_000
    try:
        with mock.patch.object(airtable, "BUCKET_COUNT", wide), mock.patch.object(highlevel, "BUCKET_COUNT", wide):
            return run(["--reconcile", "--json"])
    finally:
        report_peak()


if __name__ == "__main__":
    sys.exit(main())
