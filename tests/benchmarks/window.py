"""How long the window between the last read of a target and its write is open (LIMITS): measured at the servers.

Neither service has a compare-and-swap, so an edit that lands in this window is overwritten. Without latency it is what
syncd itself needs; with real services one round trip is added.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from syncd.sandbox.wire import Logged
from syncd.sandbox.world import TABLE
from tests.benchmarks.scene import opened
from tests.benchmarks.server import unlimited_sandbox

DEALS = 100


@dataclass(frozen=True, slots=True)
class Window:
    """Milliseconds from the target's read to its write: the median and the longest of `writes`."""

    side: str
    writes: int
    median: float
    longest: float


def measure() -> list[Window]:
    """One pass that carries an edit of every deal, half of them each way."""
    with (
        tempfile.TemporaryDirectory(prefix="syncd-window-") as folder,
        unlimited_sandbox(DEALS) as sandbox,
        opened(sandbox.environment(), Path(folder)) as scene,
    ):
        scene.run()
        deals = [str(deal["id"]) for deal in sandbox.highlevel.deals()]
        for number, deal in enumerate(deals):
            if number % 2:
                sandbox.airtable.person_edit(TABLE, sandbox.row_of(deal), {"Value": 1_000_001 + number})
            else:
                sandbox.highlevel.person_edit(deal, monetaryValue=1_000_001 + number)
        for log in (sandbox.crm_http.log, sandbox.table_http.log):
            log.clear()
        scene.pair.limits = type(scene.pair.limits)(10**9, 1.0, 10**9)
        scene.run()
        return [
            _window("HighLevel", list(sandbox.crm_http.log), "PUT"),
            _window("Airtable", list(sandbox.table_http.log), "PATCH"),
        ]


def _window(side: str, log: Sequence[Logged], verb: str) -> Window:
    """Every write comes right after the read of its target."""
    gaps = [
        (line.at - before.at) * 1000 for before, line in pairwise(log) if line.method == verb and before.method != verb
    ]
    if not gaps:
        raise RuntimeError(f"No write to {side} was seen right after a read.")
    return Window(side, len(gaps), statistics.median(gaps), max(gaps))
