"""One idle full pass in a process of its own, to see how much memory it takes: `once STATE_FOLDER` or `once --imports`.

Prints the peak in bytes. Everything that the daemon imports is imported in both cases.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import syncd.cli.main
import syncd.cli.progress
import syncd.daemon
import syncd.pairs
import syncd.report  # noqa: F401  (its memory counts)
from tests.benchmarks.scene import opened


def peak_bytes() -> int:
    """The most memory this process has had at once.

    Linux: VmHWM, since ru_maxrss starts with what the parent had before it executed this program.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Runs the pass, unless told not to, and prints the peak."""
    if sys.argv[1] != "--imports":
        with opened(os.environ, Path(sys.argv[1])) as scene:
            scene.run_idle()
    print(peak_bytes())


if __name__ == "__main__":
    main()
