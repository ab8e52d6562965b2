"""Runs the comparison, prints the table and puts it into results.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.benchmarks.alternatives.compare import ALTERNATIVES, compare
from tests.benchmarks.alternatives.report import section, write_section

RESULTS = Path(__file__).parents[1] / "results.md"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.alternatives", description=__doc__)
    names = [one.name for one in ALTERNATIVES]
    parser.add_argument("--only", nargs="+", choices=names, default=[], help="these only; results.md stays as it is")
    given = parser.parse_args()
    found = compare(names=tuple(given.only))
    print(section(found) if given.only else write_section(found, RESULTS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
