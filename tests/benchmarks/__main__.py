"""`make bench`: measures, prints the tables, writes them to results.md; exit code 1 where a target is missed."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.benchmarks import engine, fleet
from tests.benchmarks.alternatives.compare import compare
from tests.benchmarks.alternatives.report import readme_part, write_section
from tests.benchmarks.process import REPOSITORY, of_process
from tests.benchmarks.report import Measured, Startup, checks_of, markdown, write_readme
from tests.benchmarks.scene import counted_calls, forget_calls, opened
from tests.benchmarks.server import serving
from tests.benchmarks.window import measure as measure_windows

RESULTS = Path(__file__).with_name("results.md")
SIZES = (1_000, 5_000, 20_000)
STARTS = 10


def note(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of one run in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def peak_memory(folder: str, environment: Mapping[str, str]) -> int:
    """Bytes of a fresh process after one idle pass; "--imports" for one that does nothing."""
    return int(of_process("-m", "tests.benchmarks.once", folder, **environment).stdout)


def alternated(first: Callable[[], None], second: Callable[[], None], rounds: int) -> list[tuple[float, float]]:
    """The median wall and CPU seconds of two works that take turns, so that both meet the same machine."""
    times: tuple[list[tuple[float, float]], ...] = ([], [])
    for _ in range(rounds):
        for work, seen in zip((first, second), times, strict=True):
            seen.append(timed(work))
    return [(statistics.median(wall for wall, _ in seen), statistics.median(cpu for _, cpu in seen)) for seen in times]


def first_pass(environment: Mapping[str, str], folder: Path, rounds: int) -> tuple[float, float]:
    """The median wall and CPU seconds of an idle pass on sides that have listed nothing before."""
    seen = []
    for _ in range(rounds):
        with opened(environment, folder) as scene:
            seen.append(timed(scene.run_idle))
    return statistics.median(wall for wall, _ in seen), statistics.median(cpu for _, cpu in seen)


def measure(deals: int, folder: Path, rounds: int) -> tuple[Measured, float]:
    """Everything about one size, and the seconds that `syncd status` takes on its state."""
    note(f"{deals:,} deals: starting the sandbox")
    with serving(deals) as environment:
        with opened(environment, folder) as scene:
            forget_calls(environment)
            shown = [0]

            def progress(_what: str, done: int, total: int) -> None:
                if done * 10 // max(total, 1) > shown[0]:
                    shown[0] = done * 10 // total
                    note(f"{deals:,} deals: {done:,} rows made")

            scene.pair.progress = progress
            fill_seconds, _ = timed(lambda: scene.run())
            fill = counted_calls(environment)
            forget_calls(environment)
            scene.run_idle()
            idle = counted_calls(environment)
            note(f"{deals:,} deals: filled in {fill_seconds:.1f} s; {rounds} idle passes and bare loops")
            scene.page_bare()  # both have run once before they are timed
            bare_times, idle_times = alternated(scene.page_bare, scene.run_idle, rounds)
        first_times = first_pass(environment, folder, rounds)
        note(f"{deals:,} deals: memory of a fresh process")
        peak = peak_memory(str(folder), environment)
        status = median_start("status", SYNCD_STATE_DIR=str(folder), **environment)
    return Measured(deals, fill, fill_seconds, idle, bare_times, idle_times, first_times, peak), status


def median_start(*arguments: str, **variables: str) -> float:
    """The median wall time in seconds of a whole run of `syncd` with these arguments."""
    runs = [timed(lambda: of_process("-m", "syncd", *arguments, **variables))[0] for _ in range(STARTS)]
    return statistics.median(runs)


def main() -> int:
    """Measures all sizes; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="DEALS", help="numbers of deals")
    parser.add_argument("--rounds", type=int, default=7, help="repetitions of a timed pass (default: 7)")
    parser.add_argument("--output", type=Path, help="where to write the tables (default: results.md, all sizes only)")
    given = parser.parse_args()
    began, load = time.monotonic(), os.getloadavg()[0]
    found, status = [], 0.0
    with tempfile.TemporaryDirectory(prefix="syncd-bench-") as folder:
        for deals in sorted(given.sizes):
            measured, status = measure(deals, Path(folder) / str(deals), given.rounds)
            found.append(measured)
    note("start-up")
    bare = statistics.median(timed(lambda: of_process("-c", "pass"))[0] for _ in range(STARTS))
    startup = Startup(median_start("--version"), status, bare, peak_memory("--imports", {}))
    alone, compared = engine.costs(note=note), engine.compared_alone()
    note(f"{fleet.PAIRS} pairs")
    many = fleet.measured()
    checks = [*checks_of(found, startup), *engine.checks(alone, compared), *fleet.checks(many)]
    note("the window between read and write")
    sections = {"The engine alone": engine.tables(alone, compared), "Many pairs": fleet.table_of(many)}
    windows = measure_windows()
    seconds = time.monotonic() - began
    text = markdown(found, startup, checks, windows, sections, load=load, seconds=seconds)
    print(text)
    output = given.output or (RESULTS if sorted(given.sizes) == list(SIZES) else None)
    if output is not None:
        output.write_text(text, encoding="utf-8")
        others = write_section(compare(), output)
        print(others)
        if output == RESULTS:
            write_readme(REPOSITORY / "README.md", found, startup, sections, readme_part(others))
        note(f"written to {output}")
    return 0 if all(check.met for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
