"""One pass of syncd by its command line, its rate buckets wide open: these servers have no limits.

The servers' clock is moved on between passes instead of waiting, and this machine's with it: of a pass that follows
30 s later, syncd must not believe that it follows at once. The others never look at their own clock.
"""

from __future__ import annotations

import os
import sys
import time
from unittest import mock

from tests.benchmarks.alternatives.meter import report_peak

_true_time = time.time
time.time = lambda: _true_time() + float(os.environ["BENCH_AHEAD"])

# Only now: their parameters have `time.time` as a default.
from syncd.cli.main import run  # noqa: E402
from syncd.crm import highlevel  # noqa: E402
from syncd.tables import airtable  # noqa: E402


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
