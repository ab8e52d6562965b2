"""`python -m tests.simulation --seeds N`: many seeds, what they went through, and the shortest story of what failed.

`make soak SEEDS=n` runs it. Exit code 0: all held; 1: a property fell, or a transition never happened.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation import results
from tests.simulation.knobs import draw
from tests.simulation.marks import missing
from tests.simulation.run import Outcome, simulate
from tests.simulation.shrink import shrink

CHUNK = 50
ENOUGH_FOR_ALL = 1_000  # seeds in which every transition must happen


def run_seeds(start: int, count: int) -> tuple[int, Counter[str], list[Outcome]]:
    """Runs seeds in a row: how many events, what they went through, and those that failed."""
    marks: Counter[str] = Counter()
    events, failed = 0, []
    for seed in range(start, start + count):
        outcome = simulate(seed, draw(seed))
        marks.update(outcome.marks)
        events += len(outcome.events)
        if outcome.broken:
            failed.append(outcome)
    return events, marks, failed


def told(outcome: Outcome) -> str:
    """A failing seed: its knobs and its shortest history found."""
    short = shrink(outcome)
    lines = [line for line in short.log if not line.endswith("0 to crm, 0 to table, 0 waiting, 0 unsettled")]
    head = (
        f"Seed {outcome.seed} breaks {outcome.broken}; {len(short.events)} of {len(outcome.events)} events are needed:"
    )
    return "\n".join([head, *lines])


def chunks(start: int, seeds: int) -> Iterator[tuple[int, int]]:
    """(first seed, number) of each part."""
    for first in range(start, start + seeds, CHUNK):
        yield first, min(CHUNK, start + seeds - first)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="The engine in simulated worlds.")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (default: 1000)")
    parser.add_argument("--start", type=int, default=0, help="the first one (default: 0)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--stories", type=int, default=3, help="failing seeds to be told at length (default: 3)")
    parser.add_argument("--keep", action="store_true", help="add a run without a failure to results.json")
    parser.add_argument("--log", action="store_true", help="print the whole event log of the first seed only")
    given = parser.parse_args()
    if given.log:
        print("\n".join(simulate(given.start, draw(given.start)).log))
        return 0
    marks: Counter[str] = Counter()
    done, events, began = 0, 0, time.monotonic()
    failed: list[Outcome] = []
    with ProcessPoolExecutor(given.jobs) as pool:
        parts = list(chunks(given.start, given.seeds))
        for (_, count), part in zip(parts, pool.map(run_seeds, *zip(*parts, strict=True)), strict=True):
            done, events = done + count, events + part[0]
            marks.update(part[1])
            failed += part[2]
            speed = done / (time.monotonic() - began)
            print(f"\r{done} of {given.seeds} seeds, {speed:.0f} a second, {len(failed)} failed", end="", flush=True)
    print(f"\n{events} events. What happened:")
    for name, times in sorted(marks.items()):
        print(f"{times:10}  {name}")
    never = missing(marks, given.seeds) if given.seeds >= ENOUGH_FOR_ALL else []
    for name in never:
        print(f"Never happened: {name}")
    for outcome in failed[: given.stories]:
        print("\n" + told(outcome))
    if given.keep and not failed and not never:
        results.add(given.seeds, events, marks)
    if failed:
        print("\nFailed:", ", ".join(f"{outcome.seed} ({outcome.broken})" for outcome in failed))
    return 1 if failed or never else 0


if __name__ == "__main__":
    sys.exit(main())
