"""What the engine itself costs, without servers: CPU and memory of an idle full pass by the number of deals, and the
three-way comparison alone. Each figure comes from a process of its own.

`python -m tests.benchmarks.engine` prints the table.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from syncd.decide import Kind, Rules, decide
from syncd.reconcile import run_pass
from tests.benchmarks.alternatives.meter import peak_bytes
from tests.benchmarks.canned import canned
from tests.benchmarks.process import of_process
from tests.benchmarks.report import Check, table

SIZES: Final = (1_000, 10_000, 100_000, 200_000)
COMPARED: Final = 100_000
FIELDS_A_LINK: Final = 10
ROUNDS: Final = 3
MEMORY_TARGET: Final = 200 * 10**6
COMPARE_TARGET: Final = 0.5
STEADY: Final = 1.5  # the dearest deal of the larger sizes may cost so many times the cheapest one


@dataclass(frozen=True, slots=True)
class Cost:
    """One size: CPU seconds of an idle full pass (the first of a process, and later ones) and of the bare loop, bytes
    at the peak and of the imports alone."""

    deals: int
    first: float
    idle: float
    bare: float
    peak: int
    imports: int

    @property
    def micros(self) -> float:
        """Microseconds of CPU for a deal and its row."""
        return self.first / self.deals * 1e6

    @property
    def extra(self) -> int:
        """Bytes more than the interpreter with its imports."""
        return self.peak - self.imports


def cpu(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The least CPU seconds of a few runs: other programs only ever add."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def fill(folder: Path, deals: int) -> None:
    """The first pass: rows and deals are linked by their keys."""
    with canned(folder, deals) as one:
        result = run_pass(one.pair)
        if result.error or result.links != deals:
            raise RuntimeError(f"The first pass linked {result.links} of {deals} deals. {result.error}")


def measure(folder: Path, deals: int) -> Cost:
    """Idle passes in this process, over what `fill` left."""
    imports = peak_bytes()
    with canned(folder, deals) as one:
        first = cpu(lambda: run_pass(one.pair), 1)
        idle = cpu(lambda: run_pass(one.pair))
        peak = peak_bytes()
        return Cost(deals, first, idle, cpu(one.page_bare), peak, imports)


def compare() -> float:
    """CPU seconds to compare all fields of many links at rest by their canonical values."""
    rules = Rules(True, 2.0)
    links = [[(f"v{link}-{at}",) * 3 for at in range(FIELDS_A_LINK)] for link in range(COMPARED)]

    def work() -> None:
        for link in links:
            for shadow, crm, row in link:
                if decide(shadow, crm, row, None, None, rules) is not Kind.AGREE:
                    raise RuntimeError("Equal values were not found equal.")

    return cpu(work)


def costs(sizes: Sequence[int] = SIZES, note: Callable[[str], None] = lambda _: None) -> list[Cost]:
    """Every size, in fresh processes."""
    found = []
    with tempfile.TemporaryDirectory(prefix="syncd-engine-") as folder:
        for deals in sizes:
            note(f"the engine alone, {deals:,} deals")
            for step in ("fill", "measure"):
                told = of_process("-m", "tests.benchmarks.engine", "--step", step, folder, "--sizes", str(deals)).stdout
            found.append(Cost(**json.loads(told)))
    return found


def tables(found: Sequence[Cost], compared: float) -> str:
    """The figures for people."""
    rows = [
        ("idle full pass, first of a process: CPU", *(f"{one.first:.2f} s" for one in found)),
        ("a deal and its row: CPU", *(f"{one.micros:.0f} µs" for one in found)),
        ("later idle full passes: CPU", *(f"{one.idle:.2f} s" for one in found)),
        ("bare loop over the same answers: CPU", *(f"{one.bare:.2f} s" for one in found)),
        ("idle full pass: memory beside the imports", *(f"{one.extra / 1e6:.0f} MB" for one in found)),
    ]  # fmt: skip
    compares = (
        f"The three-way comparison of {COMPARED:,} links with {FIELDS_A_LINK} fields each: {compared:.2f} s of CPU."
    )
    return table(["deals", *(f"{one.deals:,}" for one in found)], rows) + "\n\n" + compares


def checks(found: Sequence[Cost], compared: float) -> list[Check]:
    """The figures beside their targets."""
    made = [
        Check("engine: memory of an idle pass beside the imports", one.deals, f"{one.extra / 1e6:.0f} MB",
              f"<= {MEMORY_TARGET / 1e6:.0f} MB", one.extra <= MEMORY_TARGET)
        for one in found if one.deals == COMPARED
    ]  # fmt: skip
    larger = [one.micros for one in found if one.deals > min(SIZES)]
    if larger:
        steady = max(larger) / min(larger)
        made.append(Check("engine: CPU a deal, dearest / cheapest size", None, f"{steady:.2f}", f"<= {STEADY}",
                          steady <= STEADY))  # fmt: skip
    met = compared < COMPARE_TARGET
    made.append(Check("engine: three-way comparison, CPU", COMPARED, f"{compared:.2f} s", f"< {COMPARE_TARGET} s", met))
    return made


def main() -> None:
    """One step in a process of its own, or everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.engine", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--step", choices=["fill", "measure", "compare"], help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="DEALS")
    given = parser.parse_args()
    if given.step == "compare":
        print(compare())
    elif given.step == "fill":
        fill(given.folder, given.sizes[0])
    elif given.step == "measure":
        print(json.dumps(asdict(measure(given.folder, given.sizes[0]))))
    else:
        print(tables(costs(given.sizes, lambda text: print(text, file=sys.stderr)), compared_alone()))


def compared_alone() -> float:
    """`compare` in a process of its own."""
    return float(of_process("-m", "tests.benchmarks.engine", "--step", "compare").stdout)


if __name__ == "__main__":
    main()
