"""One idle full pass in a process of its own, to see how much memory it takes: `once STATE_FOLDER` or `once --imports`.

Prints the peak in bytes. Everything that the daemon imports is imported in both cases.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import syncd.cli.main
import syncd.cli.progress
import syncd.daemon
import syncd.pairs
import syncd.report  # noqa: F401  (its memory counts)
from tests.benchmarks.alternatives.meter import peak_bytes
from tests.benchmarks.scene import opened


def main() -> None:
    """Runs the pass, unless told not to, and prints the peak."""
    if sys.argv[1] != "--imports":
        with opened(os.environ, Path(sys.argv[1])) as scene:
            scene.run_idle()
    print(peak_bytes())


if __name__ == "__main__":
    main()
