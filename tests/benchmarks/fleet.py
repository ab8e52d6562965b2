"""Many pairs in one process: a full round of hundreds of them, and what a thousand idle ones cost.

`python -m tests.benchmarks.fleet` prints the figures.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final
from unittest import mock

from syncd import incremental
from syncd.opened import COARSEST_CLOCK_SECONDS
from syncd.pairs import Connection
from syncd.reconcile import run_pass
from syncd.settings import load_settings
from syncd.store import Store
from tests.benchmarks.alternatives.meter import peak_bytes
from tests.benchmarks.canned import Canteen, pages_in, served
from tests.benchmarks.process import of_process
from tests.benchmarks.report import Check
from tests.benchmarks.server import serving
from tests.hostile.bench import Bench

PAIRS: Final = 300
DEALS: Final = 300
LATENCY_SECONDS: Final = 0.15
THREADS: Final = 16  # as syncd's own default
IDLE_PAIRS: Final = 1_000
INTERVAL_SECONDS: Final = 60.0
IDLE_PASSES: Final = 40
ROUND_TARGET: Final = 1.5
MEMORY_TARGET: Final = 350 * 10**6
CORE_TARGET: Final = 0.6


@dataclass(frozen=True, slots=True)
class Fleet:
    """Wall seconds of a full round and of a bare loop of the same calls in the same pool, the peak in bytes, and the
    share of a core that a thousand idle pairs take."""

    round: float
    bare: float
    peak: int
    idle_core: float


def timed(works: Iterable[Callable[[], object]]) -> float:
    """Wall seconds of works in a pool."""
    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()
    return time.perf_counter() - began


def bare(one: Canteen) -> None:
    """The calls of a full pass: names, users, columns, and every page of both sides."""
    one.client.pipelines()
    one.client.users()
    one.table.schema()
    one.page_bare()


def idle_pass(folder: Path, one: Canteen) -> None:
    """A full pass that finds nothing to do; its store is opened in the thread that it runs in, as syncd does."""
    store = one.pair.store = Store(folder, one.pair.name)
    try:
        result = run_pass(one.pair)
    finally:
        store.close()
    if result.error or result.links != DEALS:
        raise RuntimeError(f"A pass did not end well: {result.error or result.links}")


def full_round(folder: Path) -> tuple[float, float]:
    """Seconds of a full round of all pairs, and of the bare loop."""
    with Bench(deals=100) as bench, ExitStack() as stack:
        pages = pages_in(folder, bench, DEALS)
        fleet = [
            stack.enter_context(served(bench, pages, folder, f"pair-{number}", latency=LATENCY_SECONDS, parallel=True))
            for number in range(PAIRS)
        ]
        passes = [partial(idle_pass, folder, one) for one in fleet]
        timed(passes)  # the first one makes the links
        of_bare = timed([partial(bare, one) for one in fleet])
        of_round = timed(passes)
        return of_round, of_bare


def idle_core(folder: Path) -> float:
    """The share of a core for a thousand idle pairs: the CPU of one pair's incremental passes, as the daemon runs them,
    over real connections."""
    with serving(DEALS) as environment:
        settings = load_settings(None, {**environment, "SYNCD_STATE_DIR": str(folder / "idle")})
        calls: list[int] = []
        with Connection(settings, settings.pair[0], threading.Event()) as connection:

            def once() -> None:
                result = connection.run_pass(lambda *_: None, patient=True)
                if result.error:
                    raise RuntimeError(result.error)
                calls.append(sum(result.calls.values()))

            once()
            time.sleep(2 * COARSEST_CLOCK_SECONDS)
            # Rows that were made a moment ago are listed again for a minute; a pair at rest has none.
            with mock.patch.object(incremental, "TABLE_OVERLAP_SECONDS", 0.0):
                for _ in range(3):
                    once()
                began = time.process_time()
                for _ in range(IDLE_PASSES):
                    once()
            spent = time.process_time() - began
            if set(calls[-IDLE_PASSES:]) != {2}:
                raise RuntimeError(f"An idle pass took {max(calls[-IDLE_PASSES:])} calls instead of one a side.")
            return spent / IDLE_PASSES * IDLE_PAIRS / INTERVAL_SECONDS


def measured() -> Fleet:
    """Everything, in a process of its own."""
    return Fleet(**json.loads(of_process("-m", "tests.benchmarks.fleet", "--step").stdout))


def table_of(one: Fleet) -> str:
    """The figures for people."""
    return (
        f"{PAIRS} pairs of {DEALS} deals at {LATENCY_SECONDS * 1000:.0f} ms latency, {THREADS} threads: a full round "
        f"takes {one.round:.1f} s, a bare loop of the same calls {one.bare:.1f} s ({one.round / one.bare:.2f} times); "
        f"at most {one.peak / 1e6:.0f} MB. {IDLE_PAIRS:,} idle pairs at an interval of {INTERVAL_SECONDS:.0f} s take "
        f"{one.idle_core:.0%} of a core."
    )


def checks(one: Fleet) -> list[Check]:
    """The figures beside their targets."""
    ratio = one.round / one.bare
    return [
        Check(f"{PAIRS} pairs: full round / bare loop", None, f"{ratio:.2f}", f"<= {ROUND_TARGET}",
              ratio <= ROUND_TARGET),
        Check(f"{PAIRS} pairs: peak memory", None, f"{one.peak / 1e6:.0f} MB", "< 350 MB", one.peak < MEMORY_TARGET),
        Check(f"{IDLE_PAIRS:,} idle pairs: share of a core", None, f"{one.idle_core:.0%}", "< 60%",
              one.idle_core < CORE_TARGET),
    ]  # fmt: skip


def main() -> None:
    """One process's part, or everything."""
    if sys.argv[1:] != ["--step"]:
        print(table_of(measured()))
        return
    with tempfile.TemporaryDirectory(prefix="syncd-fleet-") as folder:
        of_round, of_bare = full_round(Path(folder))
        peak = peak_bytes()
        print(json.dumps(asdict(Fleet(of_round, of_bare, peak, idle_core(Path(folder))))))


if __name__ == "__main__":
    main()
